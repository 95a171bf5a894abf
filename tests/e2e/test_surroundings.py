"""What a shell exports and what the tools' own settings say, and make does not care about."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from kit import wheel
from kit.client import MakeClient
from kit.git import commit
from kit.public_index import PublicIndex
from kit.rendered_files import File, read
from kit.server import Server
from kit.template import PASSWORD, Answers
from kit.user import User
from kit.ways import FEW, name_of

NOWHERE = "http://127.0.0.1:9/simple/"
"""Where nothing listens."""


def exported(foreign: Path, elsewhere: Path, stranger: str) -> dict[str, str]:
    """Return variables each of which would have a tool do something else.

    Args:
        foreign: an environment that is not the repository's.
        elsewhere: a folder.
        stranger: an index where somebody has taken our names.
    """
    python = str(foreign / "bin/python")
    into = {
        "CONDA_DEFAULT_ENV": "foreign",
        "CONDA_PREFIX": str(foreign),
        "PIP_PREFIX": str(elsewhere),
        "PIP_PYTHON": python,
        "PIP_ROOT": str(elsewhere),
        "PIP_SRC": str(elsewhere),
        "PIP_TARGET": str(elsewhere),
        "PIP_USER": "1",
        "POETRY_VIRTUALENVS_CREATE": "false",
        "POETRY_VIRTUALENVS_IN_PROJECT": "false",
        "POETRY_VIRTUALENVS_PATH": str(elsewhere),
        "PYTHONHOME": str(elsewhere),
        "PYTHONPATH": str(elsewhere),
        "PYTHONUSERBASE": str(elsewhere),
        "UV_PROJECT": str(elsewhere),
        "UV_PROJECT_ENVIRONMENT": str(foreign),
        "UV_PYTHON": python,
        "UV_SYSTEM_PYTHON": "1",
        "UV_WORKING_DIRECTORY": str(elsewhere),
        "VIRTUAL_ENV": str(foreign),
    }
    come_from = {
        "PIP_FIND_LINKS": stranger,
        "PIP_INDEX_URL": stranger,
        "POETRY_PYPI_MIRROR_URL": stranger,
        "POETRY_REPOSITORIES_OTHER_URL": NOWHERE,
        "UV_DEFAULT_INDEX": stranger,
        "UV_EXTRA_INDEX_URL": stranger,
        "UV_FIND_LINKS": stranger,
        "UV_INDEX": f"private={stranger}",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_INDEX_URL": stranger,
    }
    go_to = {
        "POETRY_PYPI_TOKEN_PRIVATE": "a-token",
        "POETRY_REPOSITORIES_PRIVATE_URL": NOWHERE,
        "TWINE_REPOSITORY_URL": NOWHERE,
        "UV_PUBLISH_PASSWORD": "another",
        "UV_PUBLISH_TOKEN": "a-token",
        "UV_PUBLISH_URL": NOWHERE,
        "UV_PUBLISH_USERNAME": "mallory",
    }
    whether = {
        "PIP_DRY_RUN": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_REQUIRE_HASHES": "1",
        "POETRY_INSTALLER_ONLY_BINARY": ":none:",
        "POETRY_INSTALLER_NO_BINARY": ":all:",
        "POETRY_SOLVER_MIN_RELEASE_AGE": "3650",
        "UV_EXCLUDE_NEWER": "2001-01-01",
        "UV_FROZEN": "1",
        "UV_NO_CONFIG": "1",
        "UV_NO_INDEX": "1",
        "UV_NO_SYNC": "1",
        "UV_NO_SOURCES": "1",
        "UV_OFFLINE": "1",
        "UV_REQUIRE_HASHES": "1",
    }
    return into | come_from | go_to | whether


def settings(home: Path, elsewhere: Path, index: str, stranger: str) -> None:
    """Write what people and machines have as settings of the tools.

    Args:
        index: the private one, for which they know another account.
        stranger: an index where somebody has taken our names.
    """
    machine = stranger.removeprefix("http://").split(":", 1)[0]
    texts = {
        ".config/pip/pip.conf": f"[global]\nindex-url = {stranger}\nfind-links = {stranger}\n"
        f"[install]\ntarget = {elsewhere}\nno-deps = true\n",
        ".config/uv/uv.toml": f'offline = true\n[[index]]\nurl = "{stranger}"\n'
        '[pip]\nindex-strategy = "unsafe-best-match"\n',
        ".config/pypoetry/config.toml": "[virtualenvs]\ncreate = false\n"
        f'[repositories.private]\nurl = "{NOWHERE}"\n',
        ".config/pypoetry/auth.toml": '[pypi-token]\nprivate = "a-token"\n'
        '[http-basic.private]\nusername = "mallory"\npassword = "another"\n',
        ".local/share/uv/credentials/credentials.toml": f'[[credential]]\nservice = "{index}"\n'
        'username = "mallory"\nscheme = "basic"\npassword = "another"\n',
        ".netrc": f"machine {machine}\nlogin mallory\npassword another\n",
        ".pypirc": f"[pypi]\nrepository = {NOWHERE}\nusername = mallory\npassword = another\n",
    }
    for name, text in texts.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
        (home / name).chmod(0o600)


@pytest.fixture
def foreign(user: User) -> Path:
    """An environment of somebody's own, with a package in it."""
    folder = user.home / "foreign"
    user.run("uv", "venv", "--quiet", "--python", sys.executable, folder)
    package = wheel.build(user.home, "somebodys-own", "1.0", origin="somebody")
    user.run("uv", "pip", "install", "--quiet", "--offline", "--python", folder, package)
    return folder


@pytest.mark.parametrize("way", FEW, ids=name_of)
def test_no_target_goes_by_the_shell_or_the_settings_of_the_tools(
    client: MakeClient,
    server: Server,
    public: PublicIndex,
    foreign: Path,
    user: User,
    way: Answers,
) -> None:
    manager, locked, strategy = way["package_manager"], way["locked"], way["index_strategy"]
    name = f"surrounded-{name_of(way)}"
    app = client({**way, "package_name": name})
    elsewhere = user.home / "elsewhere"
    elsewhere.mkdir()
    before = contents(foreign)
    settings(user.home, elsewhere, server.url(), public.url)
    variables = exported(foreign, elsewhere, public.url)
    if strategy == "extra":
        # Beside the private index, this machine may say where PyPI is.
        mirrors = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "POETRY_PYPI_MIRROR_URL")
        variables = {k: v for k, v in variables.items() if k not in mirrors}
    for variable in ("NETRC", "PIP_CONFIG_FILE", "POETRY_CONFIG_DIR"):
        app.environment.pop(variable, None)
    app.environment |= {**variables, "HOME": str(user.home)}

    if locked:
        app.make("lock")
        assert re.search(
            r"my-private-lib==0\.2\.0\b", (app.folder / "requirements.txt").read_text()
        )
    app.make("install")
    # Which stranger's package pip takes beside PyPI, the shell does not say either.
    unsafe = manager == "poetry" and not locked and strategy == "extra"
    ours = "0.9.9 from a stranger" if unsafe else "0.2.0 from us"
    assert app.installed("my-private-lib") == ours
    assert "passed" in app.make("test")
    app.make("bump", "PART=minor")
    assert 'version = "0.2.0"' in (app.folder / "pyproject.toml").read_text()
    commit(app.folder, "Bump")
    app.make("publish")

    stem = name.replace("-", "_")
    assert [file for file in server.files() if file.startswith(f"{stem}-")] == [
        f"{stem}-0.2.0-py3-none-any.whl",
        f"{stem}-0.2.0.tar.gz",
    ]
    assert contents(foreign) == before
    assert list(elsewhere.iterdir()) == []


def contents(folder: Path) -> dict[str, File]:
    """Return every file of a folder, less what Python compiles."""
    return {
        str(path.relative_to(folder)): read(path)
        for path in sorted(folder.rglob("*"))
        if not path.is_dir() and "__pycache__" not in path.parts
    }


def test_a_workspace_around_the_repository_keeps_its_own_environment(
    client: MakeClient, foreign: Path
) -> None:
    app = client({"package_manager": "uv", "locked": True})
    outer = app.folder.parent
    index = (
        (app.folder / "pyproject.toml").read_text().split("[[tool.uv.index]]")[1].split("\n\n")[0]
    )
    (outer / "pyproject.toml").write_text(
        '[project]\nname = "outer"\nversion = "1"\nrequires-python = ">=3.10"\n'
        f'[tool.uv.workspace]\nmembers = ["{app.folder.name}"]\n[[tool.uv.index]]{index}\n'
    )
    foreign.rename(outer / ".venv")
    before = contents(outer / ".venv")

    app.make("lock")
    app.make("install")

    assert contents(outer / ".venv") == before
    assert app.installed("my-private-lib") == "0.2.0 from us"


# .pypi.env is text --------------------------------------------------------------------------------

HOSTILE = [
    "touch pwned",
    "A=1; touch pwned",
    "A=$(touch pwned)",
    "A=`touch pwned`",
    'A="$(touch pwned)"',
    "A=1 touch pwned",
    "A='x'$(touch pwned)",
    "UV_INDEX_PRIVATE_PASSWORD=$(touch pwned)",
    "PIP_EXTRA_INDEX_URL='$(touch pwned)'",
    "A=1\\\ntouch pwned",
    "A='\ntouch pwned\n'",
    "<pwned\n>pwned",
    "PATH=.\nLD_PRELOAD=./pwned.so\nGIT_SSH_COMMAND='touch pwned'",
    "PIP_INDEX_URL=http://127.0.0.1:9/\nUV_FROZEN=1\nCONDA_PREFIX=/",
    "GREETING=hello world",
    "export GREETING='hello'",
    "caf\xe9",
]


@pytest.mark.parametrize("line", HOSTILE)
def test_nothing_in_the_credentials_file_is_run_or_set_but_credentials(
    client: MakeClient, line: str
) -> None:
    app = client({"package_manager": "uv"})
    path = app.folder / ".pypi.env"
    path.write_bytes(f"{line}\n".encode("latin-1") + path.read_bytes())

    taken = line.startswith(("UV_INDEX", "PIP_EXTRA"))
    if taken and "'" not in line:
        assert "Line 1 of .pypi.env is not of the form" in app.make("need-credentials", ok=False)
    else:
        app.make("need-credentials")
        printed = probe(app.folder, app.environment)
        assert printed["UV_INDEX_PRIVATE_USERNAME"] == "alice"
        assert printed["PATH"] == app.environment["PATH"]
        assert not printed.keys() & {
            *("A", "LD_PRELOAD", "GIT_SSH_COMMAND", "PIP_INDEX_URL", "UV_FROZEN", "CONDA_PREFIX"),
            "GREETING",
        } - {"PIP_INDEX_URL"}
        assert printed["PIP_INDEX_URL"] == printed["PIP_EXTRA_INDEX_URL"]
    assert not (app.folder / "pwned").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: f"\ufeff{text}",
        lambda text: text.rstrip("\n"),
        lambda text: re.sub("^(UV_INDEX.*USERNAME)='(.*)'", r"\1=\2", text, flags=re.M),
    ],
    ids=["CRLF", "byte order mark", "no newline", "no quotes"],
)
def test_the_credentials_are_read_as_they_are_however_an_editor_saved_them(
    client: MakeClient, change: object
) -> None:
    app = client({"package_manager": "uv"})
    path = app.folder / ".pypi.env"
    assert callable(change)
    path.write_bytes(change(path.read_text()).encode())

    app.make("need-credentials")

    printed = probe(app.folder, app.environment)
    assert printed["UV_INDEX_PRIVATE_USERNAME"] == "alice"
    assert printed["UV_INDEX_PRIVATE_PASSWORD"] == PASSWORD


def probe(folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """Return what the tools of a client have in their environment."""
    makefile = (folder / "Makefile").read_text()
    done = subprocess.run(
        ["make", "-f", "-", "probe"],
        cwd=folder,
        env=environment,
        input=f"{makefile}\nprobe:\n\t@$(with_credentials) env -0\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(pair.split("=", 1) for pair in done.stdout.split("\0") if pair)
