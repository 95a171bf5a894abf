"""A stranger has taken the name of our library on the public side, with a higher version.

What a client that was rendered with either strategy then gets, by pip alone and by make.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests
from kit import wheel
from kit.public_index import PublicIndex
from kit.server import Server
from kit.template import PASSWORD, Render
from kit.user import User, installed

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


def test_a_large_library_of_a_new_name_is_never_looked_for_elsewhere_while_it_is_copied(
    rendered: Path, public: PublicIndex, tmp_path: Path
) -> None:
    """The copy takes seconds and stands still in between for longer than a look waits."""
    large = wheel.build(tmp_path, "new-lib", "1.0", origin="us", more={"noise": "x" * (40 * 2**20)})
    chunks = 40
    size = large.stat().st_size // chunks + 1
    server = Server(rendered, tmp_path / "s", PYPI_PUBLIC_INDEX=public.url)
    server.user("add", "bob", password=PASSWORD)
    copied, listed = threading.Event(), threading.Event()
    answers: list[tuple[str, int]] = []

    def ask() -> None:
        with requests.Session() as session:
            session.auth = ("bob", PASSWORD)
            while not listed.is_set():
                when = "after" if copied.is_set() else "while"
                answer = session.get(
                    f"{server.url()}simple/new-lib/", allow_redirects=False, timeout=30
                )
                answers.append((when, answer.status_code))
                if answer.status_code == 200:
                    listed.set()

    with server, large.open("rb") as source, (server.data / large.name).open("wb") as target:
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(chunks):
            target.write(source.read(size))
            target.flush()
            time.sleep(3 if number == chunks // 2 else 0.05)
        copied.set()
        # What stood still was taken for damaged; another file has it looked at again at once.
        wheel.build(server.data, "next-lib", "1.0", origin="us")
        listed.wait(30)
        is_listed = listed.is_set()
        listed.set()
        for thread in threads:
            thread.join()

    assert is_listed
    assert {status for _, status in answers} <= {200, 404, 503}
    assert len([when for when, _ in answers if when == "while"]) > 100
