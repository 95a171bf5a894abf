"""Fixtures of several files: a private server, a public index, a library, a user, a browser."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from kit import chromium, people, public_index, wheel
from kit import issuer as issuers
from kit.authority import Authority
from kit.client import REAL_PYTEST, Client, MakeClient
from kit.git import commit
from kit.issuer import Issuer
from kit.library import Library
from kit.people import Window
from kit.public_index import PublicIndex
from kit.server import Server
from kit.showcase import Running
from kit.template import PASSWORD, Answers, Render
from kit.user import User
from playwright.sync_api import Browser, Page


@pytest.fixture
def user(tmp_path: Path) -> User:
    """A person with an empty home folder."""
    home = tmp_path / "home"
    home.mkdir()
    return User(home)


@pytest.fixture
def venv(user: User) -> Path:
    """An empty virtual environment."""
    folder = user.home / "venv"
    user.run("uv", "venv", "--quiet", "--python", sys.executable, folder)
    return folder


@pytest.fixture(scope="session")
def rendered(render: Render) -> Path:
    """A rendered server repository, which must not be changed."""
    return render({"template": "server", "https": "none"})


@pytest.fixture(scope="session")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublicIndex]:
    """A public index where an attacker has taken the name of the private library."""
    folder = tmp_path_factory.mktemp("public")
    for version in ("0.9.9", "99.0.0"):
        wheel.build(folder, "my-private-lib", version, origin="a stranger")
    wheel.build(folder, "public-lib", "1.2.3", origin="the public index")
    main = {"pytest/__main__.py": REAL_PYTEST}
    wheel.build(folder, "pytest", "99.0.0", origin="the public index", more=main)
    # With a cooldown, clients take this one in place of an older pip.
    wheel.of_installed(folder, "pip")
    with public_index.running(folder) as index:
        yield index


@pytest.fixture(scope="session")
def server(
    rendered: Path, public: PublicIndex, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A running server that redirects clients to the public index for unknown names.

    It has my-private-lib 0.1.0 and 0.2.0, which need public-lib; alice may publish, bob may
    install, both with the password that breaks whatever quotes it wrongly.
    """
    server = Server(rendered, tmp_path_factory.mktemp("server") / "s", PYPI_PUBLIC_INDEX=public.url)
    server.user("add", "alice", "--role", "publisher", password=PASSWORD)
    server.user("add", "bob", "--role", "reader", password=PASSWORD)
    for version in ("0.1.0", "0.2.0"):
        wheel.build(server.data, "my-private-lib", version, "public-lib>=1", origin="us")
    with server:
        yield server
    assert PASSWORD not in server.log.read_text()
    assert "Traceback" not in server.log.read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser in which nobody has been anywhere."""
    with chromium.running() as started:
        yield started


@pytest.fixture(scope="module")
def window(browser: Browser) -> Window:
    """Open windows in which nothing may go wrong."""
    return partial(people.window, browser)


@pytest.fixture(scope="module", params=["gateway", "private_pypi"])
def url(programs: Running, request: pytest.FixtureRequest) -> str:
    """The URL of each of the two programs of a file's own index, without a slash at its end."""
    return programs.urls()[request.param]


@pytest.fixture
def page(window: Window, url: str) -> Iterator[Page]:
    """The window of somebody who is logged in at one of the two programs."""
    with window(url) as opened:
        yield opened


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Make a project, built with Poetry, and return its folder, which must not be changed."""
    made: dict[tuple[str, str, int], Path] = {}

    def make(name: str, version: str = "0.1.0", *, megabytes: int = 0) -> Path:
        if (name, version, megabytes) not in made:
            folder = tmp_path_factory.mktemp(name)
            module = name.replace("-", "_")
            (folder / "pyproject.toml").write_text(
                f'[project]\nname = "{name}"\nversion = "{version}"\ndescription = "Ours"\n'
                'requires-python = ">=3.9"\n\n[build-system]\nrequires = ["poetry-core>=2"]\n'
                'build-backend = "poetry.core.masonry.api"\n'
            )
            (folder / "src" / module).mkdir(parents=True)
            (folder / "src" / module / "__init__.py").write_text('ORIGIN = "us"\n')
            if megabytes:
                noise = os.urandom(megabytes * 2**20)
                (folder / "src" / module / "noise").write_bytes(noise)
            User(folder).run("poetry", "build", "--quiet", POETRY_VIRTUALENVS_CREATE="false")
            made[name, version, megabytes] = folder
        return made[name, version, megabytes]

    return make


@pytest.fixture
def client(
    repository: Render,
    server: Server,
    public: PublicIndex,
    tmp_path_factory: pytest.TempPathFactory,
) -> MakeClient:
    """Make a client of the server, whose tools take the public index for PyPI."""
    base = tmp_path_factory.getbasetemp()
    environment = {
        **os.environ,
        "HOME": str(base / "home-of-clients"),
        "PIP_INDEX_URL": public.url,
        "POETRY_CACHE_DIR": str(base / "poetry-cache"),
        "UV_CACHE_DIR": str(base / "uv-cache"),
        "UV_DEFAULT_INDEX": public.url,
        "UV_PYTHON_DOWNLOADS": "never",
    }
    # The Makefile has to set it.
    del environment["POETRY_KEYRING_ENABLED"]

    def make(answers: Answers) -> Client:
        extra = answers.get("index_strategy") == "extra"
        own = {
            k: v for k, v in environment.items() if extra or not k.endswith(("INDEX", "INDEX_URL"))
        }
        whole = {
            "template": "client",
            "pypi_url": server.url().rstrip("/"),
            "python_version": "3.11",
            "private_packages": ["my-private-lib"],
            "index_user": "alice",
            "index_password": PASSWORD,
            **answers,
        }
        folder = repository(whole)
        if answers.get("package_manager") != "uv" and extra:
            public.stand_in_for_poetry(folder)
            commit(folder, "Ask the stand-in of PyPI")
        return Client(folder, own)

    return make


@pytest.fixture(scope="module")
def authority() -> Authority:
    """The authority that signs the certificates of an index and of issuers."""
    return Authority()


@pytest.fixture(scope="module")
def issuer(authority: Authority) -> Iterator[Issuer]:
    """An issuer of tokens, such as GitHub's."""
    with issuers.running(authority) as running:
        yield running
