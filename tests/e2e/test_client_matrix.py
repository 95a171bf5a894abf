"""A rendered client's life with make, however it is answered, against a server without Docker."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from kit import wheel
from kit.client import MakeClient
from kit.git import commit, git
from kit.public_index import PublicIndex
from kit.rendered_files import holding, tracked
from kit.server import Server
from kit.template import PASSWORD, Answers
from kit.waiting import wait_until
from kit.ways import COVERING, name_of

LIBRARY = "my-private-lib"
CI = itertools.cycle(("github", "gitlab", "none"))
LOCKS = {"poetry": "poetry.lock", "uv": "uv.lock"}


@pytest.mark.parametrize(
    ("way", "ci"), list(zip(COVERING, CI, strict=False)), ids=[name_of(way) for way in COVERING]
)
def test_the_app_is_installed_tested_and_published(
    client: MakeClient, server: Server, public: PublicIndex, way: Answers, ci: str
) -> None:
    manager, locked = way["package_manager"], way["locked"]
    name = f"app-{name_of(way)}"
    app = client({**way, "package_name": name, "ci": ci})
    if locked:
        assert "run 'make lock'" in app.make("install", ok=False)
        app.make("lock")
        check_lock(app.folder, LOCKS[manager], server)
        commit(app.folder, "Lock")

    app.make("install")
    # What the README warns of: pip takes the higher version, whoever published it.
    unsafe = manager == "poetry" and not locked and way["index_strategy"] == "extra"
    assert app.installed(LIBRARY) == ("0.9.9 from a stranger" if unsafe else "0.2.0 from us")
    assert re.search(r"\d passed", app.make("test"))

    # A stranger published the same version of the same name.
    wheel.build(public.folder, name, "0.1.0", origin="a stranger")
    asked = len(public.requests)
    assert f"Published {name} 0.1.0 to {server.url()}\n" in app.make("publish")
    stem = name.replace("-", "_")
    wanted = [f"{stem}-0.1.0-py3-none-any.whl", f"{stem}-0.1.0.tar.gz"]
    assert [file for file in server.files() if file.startswith(f"{stem}-")] == wanted
    if way["build_credentials"] == "arg":
        assert "The index had this version already" in app.make("publish")
        assert [file for file in server.files() if file.startswith(f"{stem}-")] == wanted
    assert public.requests[asked:] == []
    assert git(app.folder, "status", "--short") == ""


def check_lock(folder: Path, lock: str, server: Server) -> None:
    """Refuse a lock that has credentials, and an export that has URLs or lacks hashes."""
    files = tracked(folder)
    assert {lock, "requirements.txt"} <= files.keys()
    assert holding(files, [PASSWORD]) == []
    assert "alice" not in (folder / lock).read_text()
    exported = (folder / "requirements.txt").read_text()
    assert "://" not in exported
    assert "index-url" not in exported
    pins = re.findall(r"^([\w-]+)==(\S+).*\\\n +--hash=sha256:", exported, re.M)
    assert pins == [(LIBRARY, "0.2.0"), ("public-lib", "1.2.3")]


@pytest.mark.parametrize("manager", LOCKS)
def test_an_upgrade_of_the_lock_takes_new_private_releases_only(
    client: MakeClient, server: Server, public: PublicIndex, manager: str
) -> None:
    private, other = f"private-for-{manager}", f"public-for-{manager}"
    wheel.build(server.data, private, "0.1.0", other, origin="us")
    wheel.build(public.folder, other, "1.0.0", origin="the public index")
    answers = {"package_manager": manager, "locked": True, "index_strategy": "single"}
    app = client({**answers, "private_packages": [private]})
    assert f"{private} (new) -> 0.1.0" in app.make("lock")
    wheel.build(server.data, private, "0.2.0", other, origin="us")
    wheel.build(public.folder, other, "1.0.1", origin="the public index")
    wait_for_page(server, private, "0.2.0")

    before = (app.folder / "requirements.txt").read_bytes()
    assert "Nothing changed" in app.make("lock")
    assert (app.folder / "requirements.txt").read_bytes() == before
    said = app.make("upgrade")
    assert f"{private} 0.1.0 -> 0.2.0" in said
    assert other not in said.splitlines()[-1]
    assert "Nothing changed: there is no newer release." in app.make("upgrade")
    exported = (app.folder / "requirements.txt").read_text()
    assert f"{private}==0.2.0" in exported
    assert f"{other}==1.0.0" in exported


@pytest.mark.parametrize("manager", LOCKS)
def test_beside_pypi_what_private_packages_require_has_to_be_pinned_to_the_index_too(
    client: MakeClient, server: Server, public: PublicIndex, manager: str
) -> None:
    top, below = f"top-for-{manager}", f"below-for-{manager}"
    wheel.build(server.data, below, "0.1.0", origin="us")
    wheel.build(server.data, top, "0.1.0", below, origin="us")
    wheel.build(public.folder, below, "99.0.0", origin="a stranger")
    for name in (top, below):
        wait_for_page(server, name, "0.1.0")
    answers = {"package_manager": manager, "locked": True, "index_strategy": "extra"}
    app = client({**answers, "private_packages": [top]})

    app.make("lock")
    assert f"{below}==99.0.0" in (app.folder / "requirements.txt").read_text()

    # Where it is required, and where what is required is pinned to the index.
    project = app.folder / "pyproject.toml"
    lines = re.findall(rf"^(?!packages |exclude).*\b{top}\b.*\n", project.read_text(), re.M)
    assert len(lines) == 2
    for line in lines:
        project.write_text(project.read_text().replace(line, line + line.replace(top, below)))
    app.exempt(below)
    app.make("lock")
    assert f"{below}==0.1.0" in (app.folder / "requirements.txt").read_text()


@pytest.mark.parametrize("place", ["environment", "settings"])
def test_uv_takes_ours_from_the_single_index_whatever_other_index_a_machine_names(
    client: MakeClient, public: PublicIndex, tmp_path: Path, place: str
) -> None:
    app = client({"package_manager": "uv", "index_strategy": "single"})
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv/uv.toml").write_text(f'[[index]]\nurl = "{public.url}"\n')
    named = {
        "environment": ("UV_INDEX", public.url),
        "settings": ("XDG_CONFIG_HOME", str(tmp_path)),
    }
    app.environment |= [named[place]]

    app.make("install")

    assert app.installed(LIBRARY) == "0.2.0 from us"


def test_credentials_for_another_server_are_refused(
    client: MakeClient, public: PublicIndex
) -> None:
    app = client({})
    env = app.folder / ".pypi.env"
    other = rf"\g<1>{public.url.removeprefix('http://')}"
    env.write_text(re.sub(r"^(PIP_EXTRA_INDEX_URL=http://[^@]*@).*", other, env.read_text()))

    said = app.make("install", ok=False)

    assert f"is for {public.url}, this repository for " in said
    assert not (app.folder / ".venv").exists()


def wait_for_page(server: Server, project: str, version: str) -> None:
    """Wait until the server lists a version that was copied into its folder."""
    page = server.data.with_name("pypi_index") / "simple" / project / "index.html"
    wait_until(lambda: page.exists() and version in page.read_text(), 30)
