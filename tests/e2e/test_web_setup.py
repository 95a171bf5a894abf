"""The lines that the pages for people show, run as they are shown."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect  # type: ignore[import-untyped]
import pytest
import yaml
from kit import chromium, people, wheel
from kit.commands import run
from kit.gateway import behind_gateway
from kit.in_docker import docker
from kit.install import OURS
from kit.library import Library
from kit.public_index import PublicIndex
from kit.template import PASSWORD
from kit.user import User, installed
from playwright.sync_api import Page

LIBRARY = "my-private-lib"

# A person sees what to replace by how it looks: all else is run to the letter.
READ = """
values => [...document.querySelectorAll("[data-copy^='the code for ']")].map(code => {
    for (const one of code.querySelectorAll("var"))
        one.textContent = values[one.textContent] ?? one.textContent;
    return [code.dataset.copy.replace("the code for ", ""), code.textContent];
})
"""


@dataclass(frozen=True)
class Shown:
    """What the pages of an index tell a person to run.

    Attributes:
        reader, publisher: blocks of lines by the name of a tool, with the account and the package
            that such a person has put there.
        project: those on the page of the package.
        pin: the requirement there.
    """

    url: str
    data: Path
    reader: dict[str, list[str]]
    publisher: dict[str, list[str]]
    project: dict[str, list[str]]
    pin: str


def read(page: Page, account: str) -> dict[str, list[str]]:
    """Return the blocks of a page by the name of a tool, as a person completes them."""
    values = {"USER": account, "PASSWORD": PASSWORD, "PACKAGE": LIBRARY}
    found: dict[str, list[str]] = {}
    for tool, text in page.evaluate(READ, values):
        assert not re.search("USER|PASSWORD|PACKAGE", re.sub("INDEX_[A-Z]+", "", text)), text
        found.setdefault(tool, []).append(text)
    return found


def shown(index: tuple[str, Path]) -> Shown:
    """Return what the pages of a running index show in a browser."""
    url, data = index
    with chromium.running() as browser, people.window(browser, url) as page:
        page.goto("")
        reader = read(page, "bob")
        page.reload()
        publisher = read(page, "alice")
        page.goto(f"project/{LIBRARY}/")
        pin = page.locator("#install ~ p code").first.inner_text()
        return Shown(url, data, reader, publisher, read(page, ""), pin)


def index(
    rendered: Path, folder: Path, public: PublicIndex, unknown: str
) -> Iterator[tuple[str, Path]]:
    """Run an index that holds the library, which needs public-lib; alice publishes, bob installs.

    Its settings have another URL than the one by which a browser reaches it.
    """
    server, gateway = behind_gateway(
        rendered,
        folder,
        PYPI_PUBLIC_INDEX=public.url,
        PYPI_UNKNOWN_PACKAGES=unknown,
        PYPI_URL="https://pypi.example.org",
    )
    for name, role in (("alice", "publisher"), ("bob", "reader")):
        server.user("add", name, "--role", role, password=PASSWORD)
    wheel.build(server.data, LIBRARY, "0.2.0", "public-lib>=1", origin="us")
    with server, gateway:
        people.wait_for(gateway.url, LIBRARY)
        yield gateway.url, server.data


@pytest.fixture(scope="module")
def lines(
    rendered: Path, public: PublicIndex, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shown]:
    """What is shown by an index that redirects to the public index."""
    folder = tmp_path_factory.mktemp("setup") / "s"
    for running in index(rendered, folder, public, "redirect"):
        yield shown(running)


@pytest.fixture(scope="module")
def lines_beside(
    rendered: Path, public: PublicIndex, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shown]:
    """What is shown by an index that does not: public packages come from elsewhere."""
    folder = tmp_path_factory.mktemp("beside") / "s"
    for running in index(rendered, folder, public, "refuse"):
        yield shown(running)


@pytest.fixture
def person(user: User, venv: Path) -> User:
    """Somebody at a shell, whose installers know the environment to install into."""
    own = {
        "PIP_PYTHON": str(venv),
        "VIRTUAL_ENV": str(venv),
        "POETRY_VIRTUALENVS_CREATE": "false",
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
    }
    user.environment |= own
    for silent in ("PIP_NO_INPUT", "POETRY_NO_INTERACTION"):
        del user.environment[silent]
    return user


def log_in(person: User, blocks: list[str]) -> None:
    """Do what the page says about logging in."""
    machine, chmod = blocks
    netrc = person.home / ".netrc"
    with netrc.open("w") as file:
        file.write(f"{machine}\n")
    type_in(person, chmod)
    assert netrc.stat().st_mode & 0o777 == 0o600


def type_in(person: User, lines: str, folder: Path | None = None, **settings: Any) -> str:
    """Run lines in a shell that stops at the first error; return all they printed."""
    environment = {**person.environment, **settings}
    said = run("bash", "-ec", lines, cwd=folder or person.home, environment=environment)
    assert PASSWORD not in said
    return said


def answer(person: User, lines: str, folder: Path) -> None:
    """Run lines at a terminal, and type the account and the password where they are asked for."""
    terminal = pexpect.spawn(
        "bash",
        ["-ec", lines],
        cwd=str(folder),
        env=person.environment,
        encoding="utf-8",
        timeout=60,
        dimensions=(24, 300),
    )
    prompts = ["(?i)user ?name[^\n]*: ?", "(?i)password[^\n]*: ?"]
    # One that has the account asks for the password at once.
    if terminal.expect(prompts) == 0:
        terminal.sendline("alice")
        terminal.expect(prompts[1])
    terminal.sendline(PASSWORD)
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0, terminal.before
    assert PASSWORD not in terminal.before


def project(person: User) -> Path:
    """Make an empty project; return its folder."""
    folder = person.home / "app"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.9"\n'
        "dependencies = []\n\n[tool.poetry]\npackage-mode = false\n"
    )
    return folder


# Installing ---------------------------------------------------------------------------------------


def test_no_line_has_a_password_and_all_have_the_url_that_the_browser_uses(lines: Shown) -> None:
    blocks = [
        block for them in (lines.reader, lines.project) for one in them.values() for block in one
    ]

    assert list(lines.reader) == [
        *("Log in", "pip", "uv", "Poetry", "twine", "Dockerfile", "GitHub", "GitLab")
    ]
    assert [block for block in blocks if PASSWORD in block] == [lines.reader["Log in"][0]]
    assert not [block for block in blocks if "example.org" in block]
    assert sum(f"{lines.url}/" in block for block in blocks) >= 10


def test_the_page_of_a_project_has_the_same_lines_for_that(lines: Shown) -> None:
    for tool in ("pip", "uv", "Poetry"):
        assert lines.project[tool] == [lines.reader[tool][0]]
    assert lines.pin == f"{LIBRARY}==0.*"


def test_pip_installs(lines: Shown, person: User, venv: Path) -> None:
    log_in(person, lines.reader["Log in"])

    (install,) = lines.reader["pip"]
    type_in(person, install)

    assert installed(venv) == OURS


def test_pip_installs_by_the_pin(lines: Shown, person: User, venv: Path) -> None:
    log_in(person, lines.reader["Log in"])
    requirements = f"--index-url {lines.url}/simple/\n{lines.pin}\n"
    (person.home / "requirements.txt").write_text(requirements)

    type_in(person, "pip install -r requirements.txt")

    assert installed(venv) == OURS


def test_uv_adds_to_a_project(lines: Shown, person: User) -> None:
    log_in(person, lines.reader["Log in"])
    folder = project(person)

    type_in(person, lines.reader["uv"][0], folder, VIRTUAL_ENV="")

    assert installed(folder / ".venv") == OURS


def test_uv_adds_to_a_project_beside_the_public_index(
    lines_beside: Shown, public: PublicIndex, person: User
) -> None:
    log_in(person, lines_beside.reader["Log in"])
    folder = project(person)
    public.stand_in_for_uv(folder)

    type_in(person, lines_beside.reader["uv"][0], folder, VIRTUAL_ENV="")

    assert installed(folder / ".venv") == OURS


def test_poetry_adds_to_a_project(lines: Shown, person: User, venv: Path) -> None:
    log_in(person, lines.reader["Log in"])

    type_in(person, lines.reader["Poetry"][0], project(person))

    assert installed(venv) == OURS


def test_poetry_adds_to_a_project_beside_the_public_index(
    lines_beside: Shown, public: PublicIndex, person: User, venv: Path
) -> None:
    log_in(person, lines_beside.reader["Log in"])
    folder = project(person)
    public.stand_in_for_poetry(folder)

    type_in(person, lines_beside.reader["Poetry"][0], folder)

    assert installed(venv) == OURS


# Publishing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tool", "block"), [("uv", 1), ("Poetry", 1), ("twine", 0)])
def test_a_publisher_types_the_password_and_publishes(
    lines: Shown, person: User, library: Library, tmp_path: Path, tool: str, block: int
) -> None:
    name = f"shown-by-{tool.lower()}"
    folder = tmp_path / name
    shutil.copytree(library(name), folder)
    if tool == "Poetry":  # Its line builds as well.
        shutil.rmtree(folder / "dist")

    answer(person, lines.publisher[tool][block], folder)

    published = {path.name for path in lines.data.glob(f"{name.replace('-', '_')}-*")}
    assert published == {path.name for path in (folder / "dist").iterdir()}
    assert len(published) == 2


# CI -----------------------------------------------------------------------------------------------

ACCOUNT = {"INDEX_USER": "bob", "INDEX_PASSWORD": PASSWORD}


def test_the_steps_for_github_install(lines: Shown, person: User, venv: Path) -> None:
    (block,) = lines.reader["GitHub"]

    steps: list[dict[str, Any]] = yaml.safe_load(block)
    for step in steps:
        secrets = {
            name: ACCOUNT[re.fullmatch(r"\${{ secrets\.(\w+) }}", value)[1]]  # type: ignore[index]
            for name, value in step.get("env", {}).items()
        }
        type_in(person, step["run"], None, **secrets)

    assert installed(venv) == OURS
    assert (person.home / ".netrc").stat().st_mode & 0o777 == 0o600


def test_the_job_for_gitlab_installs(lines: Shown, person: User, venv: Path) -> None:
    (block,) = lines.reader["GitLab"]

    ((_, job),) = yaml.safe_load(block).items()
    type_in(person, "\n".join([*job["before_script"], *job["script"]]), None, **ACCOUNT)

    assert installed(venv) == OURS
    assert (person.home / ".netrc").stat().st_mode & 0o777 == 0o600


@pytest.mark.docker
def test_the_dockerfile_makes_an_image_with_the_package_and_without_the_account(
    lines: Shown, person: User
) -> None:
    log_in(person, lines.reader["Log in"])
    dockerfile, build = lines.reader["Dockerfile"]
    folder = person.home / "image"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"{dockerfile}\n")

    # The index listens on this machine's 127.0.0.1 alone, which a build sees if it is allowed to.
    here = 'docker() { command docker "$@" --network host --no-cache --iidfile id; }\n'
    settings = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
    said = type_in(person, here + build, folder, BUILDKIT_PROGRESS="plain", DOCKER_CONFIG=settings)

    assert f"Successfully installed {LIBRARY}-0.2.0 public-lib-1.2.3" in said
    image = (folder / "id").read_text()
    try:
        look = "import my_private_lib, pathlib; print(list(pathlib.Path.home().glob('.netrc')))"
        # Its mount point is left, empty.
        assert docker("run", "--rm", "--network", "none", image, "python", "-c", look)
        saved = subprocess.run(["docker", "save", image], capture_output=True, check=True).stdout
        assert b"Name: my-private-lib" in saved
        assert PASSWORD.encode() not in saved
    finally:
        docker("image", "rm", "--force", image)
