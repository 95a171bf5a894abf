"""A rendered client beside indexes that are not ours: devpi, plain pypiserver, files over HTTP."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from kit import foreign_index, wheel
from kit.doctor import doctor
from kit.git import commit
from kit.http import status
from kit.ports import free_port
from kit.public_index import PublicIndex
from kit.template import PASSWORD, Answers, Render
from kit.user import User
from passlib.hash import bcrypt

PEERS = Path(sys.executable).parent.parent / "peers/bin"
"""Where `make test` installs requirements/bench.txt."""

SH = "set -a; . ./.pypi.env; set +a; "
"""How the README takes the credentials into the shell."""


@dataclass(frozen=True)
class Other:
    """An index, which holds my-private-lib 0.1.0 and 0.2.0 of ours.

    Attributes:
        answer: what to answer to the question `pypi_url`.
        publishes: whether it takes uploads.
        role: what the doctor finds out about alice.
        cooldown: whether clients learn when a public file was uploaded.
    """

    answer: str
    publishes: bool
    role: str
    cooldown: bool = False

    @property
    def simple(self) -> str:
        """The URL of its pages."""
        return self.answer if self.answer.endswith("simple/") else f"{self.answer}/simple/"


@contextmanager
def process(folder: Path, ready: str, *command: str | Path) -> Iterator[None]:
    """Run a server until the block ends.

    Args:
        ready: a URL that it answers once it runs.
    """
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(
            [str(word) for word in command], cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 60
        while status(ready, "alice", PASSWORD) not in (200, 401, 403, 404):
            said = (folder / "log").read_text()
            assert running.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
        yield
    finally:
        running.terminate()
        running.wait(30)


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two releases of our library."""
    folder = tmp_path_factory.mktemp("ours")
    for version in ("0.1.0", "0.2.0"):
        wheel.build(folder, "my-private-lib", version, "public-lib>=1", origin="us")
    return folder


@pytest.fixture(scope="session")
def pypiserver(
    ours: Path, public: PublicIndex, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Other]:
    """pypiserver's own command line, where alice alone may do anything."""
    folder = tmp_path_factory.mktemp("pypiserver")
    shutil.copytree(ours, folder / "packages")
    (folder / "htpasswd").write_text(f"alice:{bcrypt.using(rounds=4).hash(PASSWORD)}\n")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(Path(sys.executable).parent / "pypi-server"), "run", "-i", "127.0.0.1"]
    options = ["-p", str(port), "-P", "htpasswd", "-a", "update,download,list"]
    fallback = ["--fallback-url", public.url.rstrip("/"), "packages"]
    with process(folder, url, *command, *options, *fallback):
        role = "unknown: this index answers 400"
        yield Other(url, publishes=True, role=role, cooldown=True)


@pytest.fixture(scope="session")
def devpi(
    ours: Path, public: PublicIndex, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Other]:
    """devpi-server with an index of alice's on top of a mirror of the public one."""
    if not (PEERS / "devpi-server").exists() and not os.environ.get("CI"):
        pytest.skip("devpi-server is not installed: `make .venv/peers/installed`")
    folder = tmp_path_factory.mktemp("devpi")
    data = ["--serverdir", "data"]
    subprocess.run(
        [PEERS / "devpi-init", *data, "--no-root-pypi"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    address = ["--host", "127.0.0.1", "--port", str(port)]
    with process(folder, f"{url}/+api", PEERS / "devpi-server", *data, *address):
        put(f"{url}/alice", {"password": PASSWORD}, "")
        put(f"{url}/bob", {"password": PASSWORD}, "")
        put(
            f"{url}/alice/public",
            {"type": "mirror", "mirror_url": public.url, "mirror_no_project_list": True},
            "alice",
        )
        stage = {"type": "stage", "bases": ["alice/public"], "volatile": False}
        put(f"{url}/alice/dev", stage, "alice")
        User(folder).run(
            "twine",
            "upload",
            *sorted(ours.iterdir()),
            TWINE_REPOSITORY_URL=f"{url}/alice/dev/",
            TWINE_USERNAME="alice",
            TWINE_PASSWORD=PASSWORD,
        )
        yield Other(f"{url}/alice/dev/+simple/", publishes=True, role="unknown")


def put(url: str, value: dict[str, object], user: str) -> None:
    """Tell devpi to have something, as a user or as nobody."""
    headers = {"Content-Type": "application/json"}
    if user:
        login = urllib.request.Request(
            f"{url.split('/alice')[0]}/+login",
            json.dumps({"user": user, "password": PASSWORD}).encode(),
            headers,
        )
        with urllib.request.urlopen(login, timeout=30) as answer:
            token = json.load(answer)["result"]["password"]
        pair = base64.b64encode(f"{user}:{token}".encode()).decode()
        headers["X-Devpi-Auth"] = pair
    request = urllib.request.Request(url, json.dumps(value).encode(), headers, method="PUT")
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read()) from None


@pytest.fixture(scope="session")
def files(
    public: PublicIndex, tmp_path_factory: pytest.TempPathFactory, ours: Path
) -> Iterator[Other]:
    """Pages and files that somebody put there, without accounts and uploads.

    They have a path as Azure Artifacts makes them of a project and of a view.
    """
    root = tmp_path_factory.mktemp("files")
    listed = [*ours.iterdir(), *(public.folder.glob("public_lib-*.whl"))]
    for path in listed:
        project = path.name.partition("-")[0].replace("_", "-")
        page = root / "Our Team/feed@v1/simple" / project / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, page.parent)
        with page.open("a") as html:
            html.write(f'<a href="{path.name}">{path.name}</a><br>\n')
    port = free_port()
    command = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    with process(root, f"http://127.0.0.1:{port}/", *command):
        yield Other(
            f"http://127.0.0.1:{port}/Our%20Team/feed@v1",
            publishes=False,
            role="unknown: this index answers 501",
        )


@pytest.fixture(params=["pypiserver", "devpi", "files"])
def other(request: pytest.FixtureRequest) -> Other:
    """Each of the indexes."""
    chosen: Other = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(params=["pypiserver", "devpi"])
def publishing(request: pytest.FixtureRequest) -> Other:
    """Each of those that take uploads."""
    chosen: Other = request.getfixturevalue(request.param)
    return chosen


def client(repository: Render, other: Other, user: User, **answers: str) -> Path:
    """Render a client, with a cooldown where there can be one, and log in as its owner would."""
    own: Answers = {"pypi_url": other.answer, "python_version": "3.11"}
    days = {} if other.cooldown else {"cooldown_days": 0}
    folder = repository({"template": "client", **own, **days, **answers})
    if (folder / "requirements-dev.txt").exists():
        # Nobody has pytest there.
        (folder / "requirements-dev.txt").write_text("-r requirements.txt\n")
        commit(folder)
    login(folder, user, PASSWORD)
    return folder


def login(folder: Path, user: User, password: str, ok: bool = True) -> str:
    """Run `make login` as alice."""
    command = f"printf '%s\\n' \"$ALICES\" | make login PYTHON={sys.executable}"
    return user.run("sh", "-c", command, folder=folder, ok=ok, INDEX_USER="alice", ALICES=password)


def installed(venv: Path) -> dict[str, str]:
    """Return version and origin of our packages in an environment, which has others as well."""
    script = "import {0}; from importlib.metadata import version as v; print(v('{0}'), {0}.ORIGIN)"
    return {
        name: subprocess.run(
            [venv / "bin/python", "-c", script.format(name)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for name in ("my_private_lib", "public_lib")
    }


OURS = {"my_private_lib": "0.2.0 us", "public_lib": "1.2.3 the public index"}


def test_make_install_works(repository: Render, other: Other, user: User) -> None:
    folder = client(repository, other, user)

    user.run("make", "install", f"PYTHON={sys.executable}", folder=folder)

    assert installed(folder / ".venv") == OURS


@pytest.mark.parametrize(
    ("manager", "command"),
    [
        (
            "uv",
            f"uv venv --quiet --python {sys.executable}; uv pip install -r pyproject.toml",
        ),
        ("poetry", "poetry install --no-root"),
    ],
)
def test_uv_and_poetry_install_what_the_project_requires(
    repository: Render, other: Other, user: User, manager: str, command: str
) -> None:
    folder = client(repository, other, user, package_manager=manager)

    user.run("sh", "-ec", SH + command, folder=folder, POETRY_VIRTUALENVS_IN_PROJECT="true")

    assert installed(folder / ".venv") == OURS


def test_the_doctor_finds_it_healthy(repository: Render, other: Other, user: User) -> None:
    found = doctor(client(repository, other, user), PYTHON=sys.executable)

    bad = {check: text for check, text in found.bad().items() if check != "other packages"}
    assert bad == {}
    assert found.lines["package my-private-lib"].text == "my-private-lib==0.* picks 0.2.0."
    assert other.role in found.lines["role"].text


@pytest.mark.parametrize("manager", ["poetry", "uv"])
def test_make_publish_is_harmless_when_repeated_and_replaces_nothing(
    repository: Render, publishing: Other, public: PublicIndex, user: User, manager: str
) -> None:
    name = f"published-by-make-and-{manager}"
    # The index redirects to this, or shows it on its own pages.
    wheel.build(public.folder, name, "0.1.0", origin="a stranger")
    folder = client(repository, publishing, user, package_name=name, package_manager=manager)

    assert f"Published {name} 0.1.0" in user.run("make", "publish", folder=folder)
    assert "had this version already" in user.run("make", "publish", folder=folder)

    (folder / "README.md").write_text("Something else.\n")
    said = user.run("make", "publish", "FORCE=1", folder=folder, ok=False)
    assert "The index has or had this version and replaces none" in said
    page = f"{publishing.simple}{name}/"
    assert status(page, "alice", PASSWORD) == 200


def test_uv_locks_nothing_from_an_index_without_hashes_and_make_lock_says_so(
    repository: Render, files: Other, user: User
) -> None:
    folder = client(repository, files, user, package_manager="uv", locked="true")
    project = folder / "pyproject.toml"
    # Nobody has it there.
    project.write_text(project.read_text().replace('dev = ["pytest"]', "dev = []"))

    said = user.run("make", "lock", folder=folder, ok=False)

    assert f"{files.simple} gives no hash for my-private-lib, public-lib, and pip takes" in said
    assert not (folder / "uv.lock").exists()
    assert not (folder / "requirements.txt").exists()


@pytest.mark.parametrize(
    ("tool", "manager", "command"),
    [
        (
            "uv",
            "uv",
            "UV_PUBLISH_USERNAME=$TWINE_USERNAME UV_PUBLISH_PASSWORD=$TWINE_PASSWORD"
            ' uv publish --publish-url "$TWINE_REPOSITORY_URL"',
        ),
        ("twine", "poetry", "twine upload --non-interactive --disable-progress-bar dist/*"),
    ],
)
def test_other_tools_publish_with_what_login_wrote(
    repository: Render, publishing: Other, user: User, tool: str, manager: str, command: str
) -> None:
    name = f"published-by-{tool}"
    folder = client(repository, publishing, user, package_name=name, package_manager=manager)
    user.run("make", "package", folder=folder)

    user.run("sh", "-ec", SH + command, folder=folder)

    assert status(f"{publishing.simple}{name}/", "alice", PASSWORD) == 200


@pytest.mark.parametrize("manager", ["poetry", "uv"])
def test_uploads_go_to_the_path_that_was_typed(
    repository: Render, user: User, manager: str
) -> None:
    with foreign_index.running() as index:
        index.post_status = 200
        path = "/Our%20Team/feed@v1/"
        base = index.url.removesuffix("/simple/")
        answers = {"pypi_url": f"{base}{path}", "python_version": "3.11"}
        folder = repository({"template": "client", "package_manager": manager, **answers})
        index.pages[f"{path}simple/"] = index.pages["/simple/"]
        login(folder, user, PASSWORD)

        user.run("make", "publish", folder=folder)

    assert index.posted_to == [path, path]


def test_a_wrong_password_is_refused_at_login(
    repository: Render, pypiserver: Other, user: User
) -> None:
    folder = client(repository, pypiserver, user)
    before = (folder / ".pypi.env").read_bytes()

    said = login(folder, user, "another-password", ok=False)

    assert "refuses this user or password" in said
    assert (folder / ".pypi.env").read_bytes() == before


@pytest.mark.parametrize("name", ["devpi", "files"])
def test_where_everybody_may_read_login_cannot_tell_and_says_so(
    repository: Render, name: str, user: User, request: pytest.FixtureRequest
) -> None:
    folder = client(repository, request.getfixturevalue(name), user)

    assert "Everybody may read this index" in login(folder, user, "another-password")
