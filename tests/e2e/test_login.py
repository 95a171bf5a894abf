"""`make login` at a terminal, and every tool with nothing but what it wrote."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pytest
from kit import foreign_index, wheel
from kit.in_docker import docker
from kit.public_index import PublicIndex
from kit.server import Server
from kit.template import PASSWORD, Render
from kit.user import User, installed

SH = "set -a; . ./.pypi.env; set +a; "
"""How the README takes the credentials into the shell."""

ANSWERS = {"template": "client", "python_version": "3.11", "ci": "none"}


@pytest.fixture
def manager() -> str:
    """The client's `package_manager`; a test may have it otherwise by a parameter of this name."""
    return "poetry"


@pytest.fixture
def client(repository: Render, server: Server, manager: str) -> Path:
    """A client of our server that nobody has logged in to."""
    answers = {**ANSWERS, "package_manager": manager, "package_name": "login-app"}
    return repository({**answers, "pypi_url": server.url()})


def at_a_terminal(folder: Path, user: str = "") -> pexpect.spawn:
    """Start `make login` at a terminal."""
    environment = {**os.environ, "INDEX_USER": user} if user else dict(os.environ)
    if not user:
        environment.pop("INDEX_USER", None)
    return pexpect.spawn(
        "make",
        ["login", f"PYTHON={sys.executable}"],
        cwd=str(folder),
        env=environment,
        encoding="utf-8",
        timeout=60,
        echo=True,
        # Whoever runs the tests in the background ignores Ctrl-C, and so would what they start.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def login(
    folder: Path, user: str, password: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run `make login` where nobody can be asked."""
    return subprocess.run(
        ["make", "login", f"PYTHON={sys.executable}"],
        cwd=folder,
        env={**os.environ, "INDEX_USER": user, **settings},
        input=f"{password}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def finish(session: pexpect.spawn) -> str:
    """Read to the end and return what was not read yet."""
    session.expect(pexpect.EOF)
    session.close()
    return str(session.before)


def nothing_new(folder: Path) -> bool:
    """Return whether login has left nothing behind but what was there."""
    return [path.name for path in folder.glob("*.env*")] == [".pypi.env.example"]


# The prompt ---------------------------------------------------------------------------------------


def test_it_asks_for_user_and_password_and_shows_the_password_nowhere(
    client: Path, server: Server
) -> None:
    session = at_a_terminal(client)
    session.expect_exact(f"Your account on {server.url()}simple/")
    session.expect_exact("User: ")
    session.sendline("alice")
    session.expect_exact("Password: ")
    session.sendline(PASSWORD)

    said = finish(session)

    assert "Wrote .pypi.env" in said
    assert PASSWORD not in said
    assert session.exitstatus == 0
    assert stat.S_IMODE((client / ".pypi.env").stat().st_mode) == 0o600


def test_a_wrong_password_at_the_terminal_writes_nothing(client: Path) -> None:
    session = at_a_terminal(client, "alice")
    session.expect_exact("Password: ")
    session.sendline("another-password")

    said = finish(session)

    assert "refuses this user or password (401)" in said
    assert "Nothing was written." in said
    assert "another-password" not in said
    assert session.exitstatus != 0
    assert nothing_new(client)


@pytest.mark.parametrize("key", ["c", "d"])
@pytest.mark.parametrize("prompt", ["User: ", "Password: "])
def test_who_breaks_off_is_told_that_nothing_was_written(
    client: Path, prompt: str, key: str
) -> None:
    session = at_a_terminal(client, "" if prompt == "User: " else "alice")
    session.expect_exact(prompt)
    session.sendcontrol(key)

    said = finish(session)

    assert "Nothing was written." in said
    assert "Traceback" not in said
    assert nothing_new(client)


# The file -----------------------------------------------------------------------------------------


def test_a_new_password_replaces_the_old_one_whatever_mode_the_file_had(
    client: Path, server: Server
) -> None:
    (client / ".pypi.env").write_text("# by hand\n")
    (client / ".pypi.env").chmod(0o644)

    done = login(client, "alice", PASSWORD)

    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((client / ".pypi.env").stat().st_mode) == 0o600
    assert "# by hand" not in (client / ".pypi.env").read_text()


def test_a_write_that_fails_in_the_middle_leaves_the_old_file_and_nothing_else(
    client: Path, tmp_path: Path
) -> None:
    (client / ".pypi.env").write_text("OLD=1\n")
    # As a full disk does, after 100 bytes.
    limited = tmp_path / "python"
    limited.write_text(
        f"#!{sys.executable}\n"
        "import resource, os, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        f"os.execv({sys.executable!r}, [{sys.executable!r}, *sys.argv[1:]])\n"
    )
    limited.chmod(0o755)

    done = subprocess.run(
        ["make", "login", f"PYTHON={limited}"],
        cwd=client,
        env={**os.environ, "INDEX_USER": "alice"},
        input=f"{PASSWORD}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode != 0
    assert ".pypi.env cannot be written: File too large." in done.stderr
    assert "Traceback" not in done.stderr
    assert (client / ".pypi.env").read_text() == "OLD=1\n"
    assert {path.name for path in client.glob(".pypi.env*")} == {".pypi.env", ".pypi.env.example"}


def test_an_index_that_lists_nothing_is_asked_for_what_the_app_requires(
    repository: Render,
) -> None:
    with foreign_index.running() as index:
        del index.pages["/simple/"]
        folder = repository({**ANSWERS, "pypi_url": index.url})
        refused = login(folder, "alice", PASSWORD)
        index.has("my-private-lib")
        taken = login(folder, "alice", PASSWORD)

    assert "does not exist (404): check the repository's `pypi_url`" in refused.stderr
    assert refused.returncode != 0
    assert taken.returncode == 0, taken.stderr


def test_an_account_that_may_read_some_projects_alone_logs_in_by_one_of_them(
    repository: Render,
) -> None:
    with foreign_index.running() as index:
        index.pages["/simple/"] = (403, "text/plain", b"You may not list all projects.")
        folder = repository({**ANSWERS, "pypi_url": index.url})
        index.pages["/simple/my-private-lib/"] = (403, "text/plain", b"")
        refused = login(folder, "alice", PASSWORD)
        index.has("my-private-lib")
        taken = login(folder, "alice", PASSWORD)
        index.pages["/simple/"] = (401, "text/plain", b"")
        unknown = login(folder, "alice", PASSWORD)

    assert "refuses this user or password (403): run `make login` again." in refused.stderr
    assert refused.returncode != 0
    assert taken.returncode == 0, taken.stderr
    assert "refuses this user or password (401): run `make login` again." in unknown.stderr


# One account, every tool --------------------------------------------------------------------------


@pytest.fixture
def logged_in(client: Path) -> Path:
    """A client whose owner has run `make login`."""
    done = login(client, "alice", PASSWORD)
    assert done.returncode == 0, done.stderr
    return client


OURS = {"my-private-lib": "0.2.0 from us", "public-lib": "1.2.3 from the public index"}


def test_pip_installs(logged_in: Path, user: User, venv: Path) -> None:
    readme = (logged_in / "README.md").read_text()
    (line,) = [line for line in readme.splitlines() if " pip install " in line]
    command = line.strip().replace("pip install login-app", f"pip --python {venv} install")

    user.run("sh", "-ec", f"{SH} {command} 'my-private-lib==0.*'", folder=logged_in)

    assert installed(venv) == OURS


@pytest.mark.parametrize(
    ("manager", "command"),
    [
        (
            "uv",
            f"uv venv --quiet --python {sys.executable}; uv pip install -r pyproject.toml",
        ),
        ("poetry", "poetry install --no-root"),
    ],
    ids=["uv", "poetry"],
)
def test_uv_and_poetry_install(logged_in: Path, user: User, command: str) -> None:
    user.run(
        "sh",
        "-ec",
        SH + command,
        folder=logged_in,
        POETRY_VIRTUALENVS_IN_PROJECT="true",
        POETRY_VIRTUALENVS_OPTIONS_NO_PIP="true",
    )

    assert installed(logged_in / ".venv") == OURS


@pytest.mark.parametrize(
    ("name", "manager", "command"),
    [
        ("by-twine", "poetry", "twine upload --non-interactive --disable-progress-bar dist/*"),
        ("by-uv", "uv", ""),
        ("by-poetry", "poetry", "poetry publish --repository private"),
    ],
)
def test_twine_uv_and_poetry_publish_and_ask_nobody_else(
    logged_in: Path, user: User, server: Server, public: PublicIndex, name: str, command: str
) -> None:
    readme = (logged_in / "README.md").read_text()
    command = command or re.findall(r"^ +UV_PUBLISH_.*\\\n.*", readme, re.M)[0]
    wheel.build(public.folder, name, "0.1.0", origin="a stranger")
    asked = len(public.requests)
    project = logged_in / "pyproject.toml"
    project.write_text(project.read_text().replace('name = "login-app"', f'name = "{name}"'))
    user.run("make", "package", folder=logged_in)

    user.run("sh", "-ec", SH + command, folder=logged_in)

    stem = name.replace("-", "_")
    assert {file for file in server.files() if file.startswith(stem)} == {
        f"{stem}-0.1.0-py3-none-any.whl",
        f"{stem}-0.1.0.tar.gz",
    }
    assert public.requests[asked:] == []


@pytest.mark.docker
def test_compose_hands_the_build_what_pip_gets(logged_in: Path, user: User) -> None:
    before = "GREETING='$HOME'\nCOMPOSE_PROJECT_NAME=ours"
    (logged_in / ".env").write_text(before)
    assert login(logged_in, "alice", PASSWORD).returncode == 0
    assert (logged_in / ".env").read_text().startswith(f"{before}\n")
    sourced = user.run("sh", "-ec", f'{SH} printf %s "$PIP_EXTRA_INDEX_URL"', folder=logged_in)

    model = json.loads(docker("compose", "config", "--format", "json", cwd=logged_in))

    assert model["services"]["app"]["build"]["args"] == {"PIP_EXTRA_INDEX_URL": sourced}
    assert "environment" not in model["services"]["app"]
    assert model["name"] == "ours"
