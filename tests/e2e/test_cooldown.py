"""The cooldown of a rendered client: what is fresh on PyPI waits, what is private does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit import public_index, wheel
from kit.client import Client, MakeClient
from kit.doctor import SAYS, doctor, write_programs
from kit.git import commit
from kit.public_index import PublicIndex
from kit.server import Server
from kit.template import Answers
from kit.waiting import wait_until
from kit.ways import FEW, name_of


def publish(public: PublicIndex, name: str, version: str, *requirements: str) -> None:
    """Put a release on the public index that was uploaded just now."""
    made = wheel.build(public.folder, name, version, *requirements, origin="the public index")
    public.fresh.add(made.name)


def pair(server: Server, public: PublicIndex, end: str) -> tuple[str, str]:
    """Publish a private project, fresh, and a public one that it needs, old and fresh."""
    ours, theirs = f"fresh-private-{end}", f"fresh-public-{end}"
    wheel.build(public.folder, theirs, "1.0.0", origin="the public index")
    publish(public, theirs, "2.0.0")
    wheel.build(server.data, ours, "0.1.0", theirs, origin="us")
    return ours, theirs


def install(app: Client) -> None:
    """Lock, if that is how the app installs, and install."""
    if "locked = true" in (app.folder / "pyproject.toml").read_text():
        app.make("lock")
    app.make("install")


def versions(app: Client, *names: str) -> list[str]:
    """Return the versions in .venv."""
    return [app.installed(name).split()[0] for name in names]


@pytest.mark.parametrize("way", FEW, ids=name_of)
def test_a_fresh_private_release_is_taken_and_a_fresh_public_one_waits(
    client: MakeClient, server: Server, public: PublicIndex, way: Answers
) -> None:
    ours, theirs = pair(server, public, name_of(way))

    app = client({**way, "private_packages": [ours]})
    install(app)

    assert versions(app, ours, theirs) == ["0.1.0", "1.0.0"]


@pytest.mark.parametrize(("manager", "locked"), [("poetry", False), ("uv", True)])
def test_without_a_cooldown_both_are_taken(
    client: MakeClient, server: Server, public: PublicIndex, manager: str, locked: bool
) -> None:
    ours, theirs = pair(server, public, f"off-{manager}-{locked}".lower())
    answers = {"package_manager": manager, "locked": locked, "private_packages": [ours]}

    app = client({**answers, "cooldown_days": 0})
    install(app)

    assert versions(app, ours, theirs) == ["0.1.0", "2.0.0"]


@pytest.mark.parametrize("manager", ["poetry", "uv"])
def test_an_upgrade_takes_a_private_release_at_once(
    client: MakeClient, server: Server, public: PublicIndex, manager: str
) -> None:
    ours, theirs = pair(server, public, f"upgrade-{manager}")
    app = client({"package_manager": manager, "locked": True, "private_packages": [ours]})
    app.make("lock")
    commit(app.folder, "Lock")
    wheel.build(server.data, ours, "0.2.0", theirs, origin="us")
    page = server.data.with_name("pypi_index") / "simple" / ours / "index.html"
    wait_until(lambda: "0.2.0" in page.read_text(), 30)

    assert app.make("upgrade").splitlines()[-1] == f"{ours} 0.1.0 -> 0.2.0"
    assert "Nothing changed" in app.make("upgrade", f"ARGS={theirs}")


@pytest.mark.parametrize(("manager", "locked"), [("poetry", True), ("uv", False)])
def test_a_public_release_is_taken_early_when_its_package_is_exempt(
    client: MakeClient, server: Server, public: PublicIndex, manager: str, locked: bool
) -> None:
    ours, theirs = pair(server, public, f"glass-{manager}-{locked}".lower())
    app = client({"package_manager": manager, "locked": locked, "private_packages": [ours]})
    if locked:
        app.make("lock")
    app.exempt(theirs)

    if locked:
        app.make("upgrade", f"ARGS={theirs}")
    app.make("install")

    assert versions(app, ours, theirs) == ["0.1.0", "2.0.0"]


def test_pip_takes_private_packages_that_only_private_ones_require_and_their_extras(
    client: MakeClient, server: Server, public: PublicIndex
) -> None:
    wheel.build(public.folder, "old-public", "1.0.0", origin="the public index")
    publish(public, "old-public", "2.0.0")
    for version in ("1.0.0", "2.0.0"):
        wheel.build(server.data, "acme-below", version, "old-public", origin="us")
    wheel.build(server.data, "acme-more", "1.0.0", origin="us")
    needs = ("acme-below<2", "acme-more; extra == 'more'", "acme-never; extra == 'never'")
    fields = [*(f"Requires-Dist: {one}\n" for one in needs), "Provides-Extra: more\n"]
    wheel.described(server.data, "top-private", "0.1.0", "".join(fields))

    app = client({"private_packages": ["top-private[more]==0.*"], "private_prefixes": ["acme-"]})
    app.make("install")

    names = ("acme-below", "acme-more", "old-public")
    assert versions(app, *names) == ["1.0.0", "1.0.0", "1.0.0"]


def test_a_private_release_that_needs_a_fresh_public_one_waits_and_make_says_why(
    client: MakeClient, server: Server, public: PublicIndex
) -> None:
    ours, theirs = pair(server, public, "needs-fresh")
    wheel.build(server.data, ours, "0.2.0", f"{theirs}>=2", origin="us")
    app = client({"private_packages": [ours]})

    said = app.make("install", ok=False)

    assert f"No matching distribution found for {theirs}>=2" in said
    assert "pip leaves out releases on PyPI that are younger than 7 days: README.md says" in said


@pytest.mark.parametrize("manager", ["poetry", "uv"])
def test_an_index_that_tells_no_upload_times_matters_not_beside_pypi(
    client: MakeClient, public: PublicIndex, tmp_path: Path, manager: str
) -> None:
    ours, theirs = f"undated-{manager}", f"dated-{manager}"
    wheel.build(public.folder, theirs, "1.0.0", origin="the public index")
    publish(public, theirs, "2.0.0")
    wheel.build(tmp_path, ours, "0.1.0", theirs, origin="us")
    with public_index.running(tmp_path) as index:
        index.dated = False
        answers = {"package_manager": manager, "locked": True, "index_strategy": "extra"}
        app = client({**answers, "private_packages": [ours], "pypi_url": index.url})
        install(app)

    assert versions(app, ours, theirs) == ["0.1.0", "1.0.0"]


def test_pip_needs_no_upload_times_of_an_index_beside_pypi(
    client: MakeClient, public: PublicIndex, tmp_path: Path
) -> None:
    wheel.build(tmp_path, "undated-pip", "0.1.0", "public-lib", origin="us")
    with public_index.running(tmp_path) as index:
        index.dated = False
        answers = {"index_strategy": "extra", "private_packages": ["undated-pip"]}
        app = client({**answers, "pypi_url": index.url})
        app.make("install")

    assert versions(app, "undated-pip", "public-lib") == ["0.1.0", "1.2.3"]


@pytest.mark.parametrize("days", [0, 7])
@pytest.mark.parametrize(
    ("manager", "version", "state", "text"),
    [
        ("poetry", "2.3.1", "warn", "2.3.1 is too old: install 2.4 or newer"),
        ("uv", "0.9.17", "FAIL", "0.9.17 is too old: install 0.10 or newer"),
    ],
)
def test_the_doctor_says_which_tool_is_too_old_for_it(
    client: MakeClient,
    tmp_path: Path,
    manager: str,
    version: str,
    state: str,
    text: str,
    days: int,
) -> None:
    write_programs(tmp_path, {**SAYS, manager: f"echo '{manager} {version}'"})
    path = f"{tmp_path}:/usr/local/bin:/usr/bin:/bin"

    app = client({"package_manager": manager, "cooldown_days": days})
    found = doctor(app.folder, PATH=path).lines[manager]

    assert found.state == (state if days else "ok")
    assert (text in found.text) is bool(days)


def test_make_refuses_a_uv_that_would_pass_over_the_index(
    client: MakeClient, tmp_path: Path
) -> None:
    write_programs(tmp_path, {"uv": "echo 'uv 0.9.17'"})
    app = client({"package_manager": "uv"})

    said = app.make("install", f"UV={tmp_path}/uv", ok=False)

    assert "error: this uv is too old for the cooldown in pyproject.toml" in said


@pytest.mark.parametrize(
    ("way", "state"),
    [
        ({}, "FAIL"),
        ({"package_manager": "uv", "locked": True}, "FAIL"),
        ({"locked": True}, "warn"),
        ({"locked": True, "index_strategy": "extra"}, "ok"),
        ({"cooldown_days": 0}, "ok"),
    ],
    ids=str,
)
def test_the_doctor_says_where_a_mirror_of_pypi_tells_no_upload_times(
    client: MakeClient, public: PublicIndex, way: Answers, state: str
) -> None:
    with public_index.running(public.folder) as mirror:
        mirror.dated = False
        app = client({**way, "pypi_url": mirror.url})
        found = doctor(app.folder).lines["other packages"]

    assert found.state == state
    assert ("answer 0 to `cooldown_days`" in found.text) is (state != "ok")
