"""A stranger has taken the name of our library on the public side, with a higher version.

What a client that was rendered with either strategy then gets, by pip alone and by make.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PASSWORD, Render

from e2e.public_index import PublicIndex
from e2e.server import Server
from e2e.user import User, installed

WRONG = "not-the-password"


@pytest.fixture
def client(request: pytest.FixtureRequest, render: Render, server: Server, tmp_path: Path) -> Path:
    """A client with bob's account, or with a wrong password; the parameter is both answers."""
    strategy, password = request.param
    answers = {
        "template": "client",
        "pypi_url": server.url().rstrip("/"),
        "private_packages": ["my-private-lib"],
        "index_strategy": strategy,
        "index_user": "bob",
        "index_password": password,
    }
    folder = tmp_path / "client"
    shutil.copytree(render(answers), folder, symlinks=True)
    # The public side has no pytest.
    (folder / "requirements-dev.txt").write_text("-r requirements.txt\n")
    return folder


PIP = 'set -a; . ./.pypi.env; set +a; pip --python "$0" install --no-input -r requirements.txt'
"""The classic recipe, as people type it."""


def origin(client: Path) -> str:
    """Return who made the library that make installed."""
    code = "import my_private_lib; print(my_private_lib.ORIGIN)"
    return subprocess.check_output([client / ".venv/bin/python", "-c", code], text=True).strip()


@pytest.mark.parametrize("client", [("extra", PASSWORD)], indirect=True)
def test_beside_the_public_index_the_strangers_higher_version_wins(
    client: Path, user: User, public: PublicIndex
) -> None:
    user.run("make", f"PYTHON={sys.executable}", "install", folder=client, PIP_INDEX_URL=public.url)

    assert origin(client) == "a stranger"


@pytest.mark.parametrize("client", [("extra", WRONG)], indirect=True)
def test_beside_the_public_index_a_wrong_password_installs_the_strangers_without_failing(
    client: Path, user: User, venv: Path, public: PublicIndex
) -> None:
    said = user.run("sh", "-c", PIP, venv / "bin/python", folder=client, PIP_INDEX_URL=public.url)

    assert "Successfully installed my-private-lib-0.9.9" in said
    assert installed(venv) == {"my-private-lib": "0.9.9 from a stranger"}


@pytest.mark.parametrize("client", [("single", PASSWORD)], indirect=True)
def test_the_single_index_gives_ours_whatever_the_stranger_has(
    client: Path, user: User, public: PublicIndex
) -> None:
    user.run("make", f"PYTHON={sys.executable}", "install", folder=client, PIP_INDEX_URL=public.url)

    assert origin(client) == "us"


@pytest.mark.parametrize("client", [("single", WRONG), ("extra", WRONG)], indirect=True)
def test_make_stops_at_a_wrong_password_before_anything_is_installed(
    client: Path, user: User, public: PublicIndex
) -> None:
    said = user.run(
        *("make", f"PYTHON={sys.executable}", "install"),
        folder=client,
        ok=False,
        PIP_INDEX_URL=public.url,
    )

    assert "refuses this user or password" in said
    assert not (client / ".venv").exists()


OLD_FORMS = {
    "an egg": "my_private_lib-1.0-py3.8.egg",
    "a version of no standard": "my-private-lib-1.0-SNAPSHOT.tar.gz",
    "an old archive in a folder": "old/my-private-lib-1.0.tar.bz2",
    "an installer": "My_Private_Lib-1.0.win32-py3.8.exe",
}


@pytest.mark.parametrize("file", OLD_FORMS.values(), ids=OLD_FORMS)
def test_a_library_that_only_old_tools_could_install_is_not_replaced_by_the_strangers(
    rendered: Path, public: PublicIndex, user: User, venv: Path, tmp_path: Path, file: str
) -> None:
    server = Server(rendered, tmp_path / "s", PYPI_PUBLIC_INDEX=public.url)
    server.user("add", "bob", password=PASSWORD)
    (server.data / file).parent.mkdir(exist_ok=True)
    (server.data / file).write_bytes(b"as pypiserver had it")
    with server:
        index = f"--index-url={server.url('bob', PASSWORD)}simple/"
        pip = ("pip", "--python", venv / "bin/python", "install", index)
        said = user.run(*pip, "my-private-lib", ok=False)
        user.run(*pip, "public-lib")

    assert "No matching distribution found for my-private-lib" in said
    assert installed(venv) == {"public-lib": "1.2.3 from the public index"}
