"""What pip, uv and Poetry get from PyPI through a mirror, and what its policy hides from them."""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from kit import wheel
from kit.http import JSON
from kit.install import (
    Install,
    as_bob,
    poetry_account,
    poetry_project,
    with_pip,
    with_poetry,
    with_uv,
)
from kit.mirror import COOLDOWN, Mirror, running
from kit.public_index import digest
from kit.template import PASSWORD, Render
from kit.user import User, installed
from kit.waiting import wait_until

INSTALL = pytest.mark.parametrize(
    "install", [with_pip, with_uv, with_poetry], ids=["pip", "uv", "poetry"]
)
LONG_AGO = 1_700_000_000
OURS = {"my-private-lib": "0.2.0 from us", "public-lib": "1.2.3 from PyPI"}


@pytest.fixture(scope="module")
def mirror(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """All programs, running, with a private library that needs a public one.

    On PyPI strangers have a higher version of the private one, and a name with a reserved prefix.
    """
    answers = {"template": "server", "https": "none", "unknown_packages": "mirror"}
    rendered = render({**answers, "private_prefixes": ["acme"]})
    folder = tmp_path_factory.mktemp("mirror")
    with running(rendered, folder, PYPI_PRIVATE_PREFIXES="acme") as made:
        wheel.build(made.server.data, "my-private-lib", "0.2.0", "public-lib>=1", origin="us")
        os.utime(made.server.data, (LONG_AGO, LONG_AGO))
        made.pypi.release("public-lib", "1.2.3")
        for name in ("my-private-lib", "acme-not-yet"):
            made.pypi.release(name, "99.0.0", origin="a stranger")
        made.wait_until_settled()
        yield made
    for name in ("my-private-lib", "acme-not-yet"):
        assert not made.pypi.asked_for(name)
    assert not made.pypi.asked_headers() & {"authorization", "proxy-authorization", "cookie"}
    assert "bob" not in str(made.pypi.requests)
    log = made.public.log.read_text()
    assert "Traceback" not in log
    assert PASSWORD not in log


@pytest.fixture
def lib(mirror: Mirror) -> str:
    """A name on PyPI that no other test has asked for: 1.0, of which nothing is kept."""
    name = f"lib-{uuid.uuid4().hex[:8]}"
    mirror.pypi.release(name, "1.0")
    return name


@pytest.fixture
def policy(mirror: Mirror) -> Iterator[Mirror]:
    """The mirror, whose policy the test may change."""
    yield mirror
    mirror.set_policy(COOLDOWN)


def filename(lib: str, version: str) -> str:
    return f"{lib.replace('-', '_')}-{version}-py3-none-any.whl"


def warm(mirror: Mirror, lib: str) -> None:
    """Let the mirror keep the page and all files of a project."""
    names = mirror.offered(lib)
    for name in names:
        for end in ("", ".metadata"):
            assert mirror.download(lib, f"{name}{end}").status == 200
    expected = {f"public/{lib}/{name}" for name in names}
    wait_until(lambda: expected <= set(mirror.public.kept()), 10)


# Installing ---------------------------------------------------------------------------------------


@INSTALL
def test_private_and_public_packages_install_from_one_index(
    install: Install, mirror: Mirror, user: User, venv: Path
) -> None:
    install(user, venv, mirror.url, "my-private-lib")

    assert installed(venv) == OURS


@INSTALL
def test_what_was_asked_for_once_installs_while_pypi_is_away(
    install: Install, mirror: Mirror, lib: str, user: User, venv: Path
) -> None:
    warm(mirror, lib)
    warm(mirror, "public-lib")
    mirror.public.age(lib)

    with mirror.pypi.away():
        answer = mirror.get(f"/simple/{lib}/", JSON)
        install(user, venv, mirror.url, lib, "my-private-lib")

    assert re.fullmatch(
        r'110 - "PyPI cannot be reached; this page is from \w{3}, .* GMT"',
        answer.headers["Warning"],
    )
    assert installed(venv)[lib] == "1.0 from PyPI"
    assert installed(venv).items() >= OURS.items()


def test_a_page_that_is_old_is_asked_for_again_and_no_longer_marked(
    mirror: Mirror, lib: str
) -> None:
    warm(mirror, lib)
    mirror.public.age(lib)
    # After a 503, it would not be asked for ten seconds.
    mirror.pypi.release(lib, "1.1")
    with mirror.pypi.failing("html", lib):
        assert "Warning" in mirror.get(f"/simple/{lib}/").headers

    wait_until(lambda: mirror.offered(lib) == [filename(lib, "1.0"), filename(lib, "1.1")], 30)

    assert "Warning" not in mirror.get(f"/simple/{lib}/").headers


def test_pypi_is_asked_only_whether_an_old_page_has_changed(mirror: Mirror, lib: str) -> None:
    warm(mirror, lib)
    before = len(mirror.pypi.requests)
    mirror.public.age(lib)

    for _ in range(3):
        assert mirror.offered(lib) == [filename(lib, "1.0")]

    ((path, headers),) = mirror.pypi.requests[before:]
    assert path == f"/simple/{lib}/"
    assert headers["If-None-Match"]


def test_a_client_that_has_the_page_is_told_so_until_it_changes(policy: Mirror, lib: str) -> None:
    path = f"/simple/{lib}/"
    first = policy.get(path, JSON)
    known = {**JSON, "If-None-Match": first.headers["ETag"]}
    assert (policy.get(path, known).status, policy.get(path, known).body) == (304, b"")
    html = policy.get(path, {**known, "Accept": "text/html"})
    assert (html.status, html.headers.get_content_type()) == (200, "text/html")

    policy.set_policy(f'{COOLDOWN}[[block]]\nname = "{lib}"\nreason = "bad"\n')

    assert policy.get(path, known).status == 200


def test_within_ten_minutes_pypi_is_not_asked_for_a_page_again(mirror: Mirror, lib: str) -> None:
    for _ in range(5):
        assert mirror.offered(lib) == [filename(lib, "1.0")]

    assert mirror.pypi.times_asked(f"/simple/{lib}/") == 1


def test_a_page_tells_what_that_of_pypi_tells(mirror: Mirror, lib: str) -> None:
    attested = "https://pypi.invalid/integrity/1.1/provenance"
    mirror.pypi.release(lib, "1.1", yanked="broken <on> Windows", provenance=attested)
    mirror.pypi.status[lib] = {"status": "archived", "reason": "see other-lib"}
    theirs = mirror.pypi.document(lib)

    ours = mirror.page(lib)

    for file in (*theirs["files"], *ours["files"]):
        url = file.pop("url")
    assert urljoin(f"/simple/{lib}/", url) == f"/public/{lib}/{filename(lib, '1.1')}"
    assert ours["files"] == theirs["files"]
    for key in ("name", "versions", "project-status"):
        assert ours[key] == theirs[key]
    html = mirror.get(f"/simple/{lib}/", {"Accept": "text/html"})
    assert html.headers.get_content_type() == "text/html"
    text = html.body.decode()
    for file in theirs["files"]:
        assert file["filename"] in text
        assert file["hashes"]["sha256"] in text
        assert f"sha256={file['core-metadata']['sha256']}" in text
    assert attested in text
    assert "broken &lt;on&gt; Windows" in text
    assert '<meta name="pypi:project-status" content="archived">' in text


def test_a_kept_file_is_served_by_the_gateway_alone(mirror: Mirror, lib: str) -> None:
    first = mirror.download(lib, filename(lib, "1.0"))
    warm(mirror, lib)
    second = mirror.download(lib, filename(lib, "1.0"))

    upload = mirror.pypi.uploads[lib][0]
    assert first.body == second.body == upload.path.read_bytes()
    assert "Via" not in second.headers
    assert mirror.download(lib, filename(lib, "1.0.metadata")).status == 404
    assert mirror.pypi.times_asked(f"{filename(lib, '1.0')}") == 1
    path = f"/public/{lib}/{filename(lib, '1.0')}"
    head = mirror.get(path, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(first.body))


def test_a_file_that_its_publisher_deleted_stays_for_lock_files(mirror: Mirror, lib: str) -> None:
    warm(mirror, lib)
    mirror.pypi.delete(lib, filename(lib, "1.0"))
    mirror.pypi.release(lib, "1.1")
    mirror.public.age(lib)

    assert mirror.offered(lib) == [filename(lib, "1.1")]
    assert mirror.download(lib, filename(lib, "1.0")).status == 200


def test_a_project_that_pypi_does_not_have_is_not_found(
    mirror: Mirror, user: User, venv: Path
) -> None:
    name = f"nobody-{uuid.uuid4().hex[:8]}"

    assert mirror.get(f"/simple/{name}/").status == 404
    assert name in with_pip(user, venv, mirror.url, name, ok=False)


@pytest.mark.parametrize("name", ["Public.Lib", "PUBLIC__lib"])
def test_another_spelling_of_a_name_leads_to_the_page(mirror: Mirror, name: str) -> None:
    answer = mirror.get(f"/simple/{name}/")

    assert answer.status in (301, 303, 308)
    assert urljoin(f"/simple/{name}/", answer.headers["Location"]) == "/simple/public-lib/"
    assert mirror.get(f"/public/{name}/public_lib-1.2.3-py3-none-any.whl").status == 404
    assert mirror.pypi.times_asked(name) == mirror.pypi.times_asked(f"{name}/") == 0


def test_the_list_of_projects_has_ours_alone(mirror: Mirror) -> None:
    projects = json.loads(mirror.get("/simple/", JSON).body)["projects"]

    assert "my-private-lib" in [project["name"] for project in projects]
    assert "public-lib" not in [project["name"] for project in projects]


def test_whatever_is_deleted_from_public_data_is_fetched_again(
    mirror: Mirror, lib: str, user: User, venv: Path
) -> None:
    warm(mirror, lib)
    for place in ("pages", "public", ".unfinished"):
        shutil.rmtree(mirror.public.data / place)

    with_pip(user, venv, mirror.url, lib, "my-private-lib")

    assert installed(venv) == {lib: "1.0 from PyPI", **OURS}
    warm(mirror, lib)


# Names of ours ------------------------------------------------------------------------------------


def settle(mirror: Mirror) -> None:
    """Do nothing: the gateway knows the names."""


def without_names(mirror: Mirror) -> None:
    (mirror.folder / "pypi_index/complete_names").unlink()


def with_a_file_by_hand(mirror: Mirror) -> None:
    wheel.build(mirror.server.data, f"by-hand-{uuid.uuid4().hex[:8]}", "1.0", origin="us")


@pytest.mark.parametrize("disturb", [settle, without_names, with_a_file_by_hand])
@pytest.mark.parametrize("name", ["my-private-lib", "acme-not-yet", "acme"])
def test_a_name_of_ours_is_never_asked_of_pypi(mirror: Mirror, name: str, disturb: object) -> None:
    mirror.wait_until_settled()
    assert callable(disturb)
    disturb(mirror)

    file = f"{name.replace('-', '_')}-99.0.0-py3-none-any.whl"
    for _ in range(5):
        for path in (
            f"/public/{name}/{file}",
            f"/public/{name}/{file}.metadata",
            f"/public/{name}/",
            f"/simple/{name}/{file}",
        ):
            assert mirror.get(path).status in (404, 503), path
        page = mirror.get(f"/simple/{name}/", JSON)
        assert page.status in ((200, 503) if name == "my-private-lib" else (404, 503))
        assert b"99.0.0" not in page.body

    # The end of the module looks whether PyPI was asked.
    assert not mirror.pypi.asked_for(name)


def test_a_new_name_of_ours_is_not_asked_for_either_and_public_files_of_it_are_gone(
    mirror: Mirror, lib: str
) -> None:
    """As when a name that was used from PyPI becomes ours."""
    warm(mirror, lib)
    asked = len(mirror.pypi.requests)

    assert mirror.publish(lib) == 200

    wait_until(lambda: "/packages/" in str(mirror.page(lib)["files"][0]["url"]), 20)
    assert mirror.download(lib, filename(lib, "1.0")).status == 404
    assert mirror.download(lib, filename(lib, "2.0")).status == 404
    assert len(mirror.pypi.requests) == asked


@INSTALL
def test_a_strangers_package_with_a_reserved_prefix_is_never_installed(
    install: Install, mirror: Mirror, user: User, venv: Path
) -> None:
    said = install(user, venv, mirror.url, "Acme.Not_Yet", ok=False)

    assert "acme" in said.lower()
    assert installed(venv) == {}


def test_no_account_and_no_cookie_reaches_public_or_pypi(mirror: Mirror, lib: str) -> None:
    """The end of the module looks at all that PyPI was sent, of every test."""
    headers = {"Cookie": "session=bob", "Proxy-Authorization": "Basic Ym9iOmI=", **JSON}

    assert mirror.get(f"/simple/{lib}/", headers).status == 200
    path = f"/public/{lib}/{filename(lib, '1.0')}"
    assert mirror.get(path, headers).status == 200
    assert mirror.get(f"{path}.metadata", headers).status == 200


def test_without_an_account_nothing_is_fetched(mirror: Mirror, lib: str) -> None:
    wrong = {"Authorization": "Basic Ym9iOmI="}
    for path in (f"/simple/{lib}/", f"/public/{lib}/{filename(lib, '1.0')}"):
        assert mirror.get(path, wrong).status == 401

    assert not mirror.pypi.asked_for(lib)


# Policy -------------------------------------------------------------------------------------------


@INSTALL
def test_a_fresh_release_is_hidden_so_that_clients_take_the_older(
    install: Install, mirror: Mirror, lib: str, user: User, venv: Path
) -> None:
    mirror.pypi.release(lib, "2.0", days=1)

    install(user, venv, mirror.url, lib)

    assert installed(venv) == {lib: "1.0 from PyPI"}
    assert mirror.page(lib)["versions"] == ["1.0"]


@INSTALL
def test_an_exemption_lets_a_fresh_release_through_within_seconds(
    install: Install, policy: Mirror, lib: str, user: User, venv: Path
) -> None:
    policy.pypi.release(lib, "2.0", days=1)
    policy.pypi.release(lib, "2.1", days=1)
    assert policy.offered(lib) == [filename(lib, "1.0")]

    policy.set_policy(
        f'{COOLDOWN}[[exempt]]\nname = "{lib}"\nversion = "==2.0"\nreason = "a hole in 1.0"\n'
        "date = 2026-01-31\n"
    )
    install(user, venv, policy.url, lib)

    assert installed(venv) == {lib: "2.0 from PyPI"}


def test_a_release_is_offered_once_its_cooldown_is_over(mirror: Mirror, lib: str) -> None:
    mirror.pypi.release(lib, "2.0", days=7 - 4 / 86400)
    assert mirror.offered(lib) == [filename(lib, "1.0")]

    wait_until(lambda: mirror.offered(lib) == [filename(lib, "1.0"), filename(lib, "2.0")], 20)

    assert mirror.pypi.times_asked(f"/simple/{lib}/") == 1


def test_without_a_cooldown_the_newest_is_offered(policy: Mirror, lib: str) -> None:
    policy.pypi.release(lib, "2.0", days=0)

    policy.set_policy("cooldown_days = 0\n")

    assert policy.offered(lib) == [filename(lib, "1.0"), filename(lib, "2.0")]


@pytest.mark.parametrize("by", ["name", "version", "hash"])
def test_what_the_policy_blocks_is_hidden_and_refused_with_the_reason(
    policy: Mirror, lib: str, by: str
) -> None:
    bad = policy.pypi.release(lib, "1.5")
    rules = {
        "name": f'name = "{lib}"',
        "version": f'name = "{lib}"\nversion = ">1,<2"',
        "hash": f'sha256 = "{digest(bad.path)}"',
    }
    warm(policy, lib)
    kept = f"public/{lib}/{bad.path.name}"

    policy.set_policy(f'{COOLDOWN}[[block]]\n{rules[by]}\nreason = "steals tokens"\n')

    # It was kept, and served by the gateway alone: it must go, too.
    wait_until(lambda: policy.download(lib, bad.path.name).status == 403, 5)
    assert b"steals tokens" in policy.download(lib, bad.path.name).body
    assert policy.download(lib, f"{bad.path.name}.metadata").status == 403
    assert kept not in policy.public.kept()
    assert policy.offered(lib) == ([] if by == "name" else [filename(lib, "1.0")])


def test_where_there_is_a_list_of_what_is_allowed_all_else_is_hidden(
    policy: Mirror, lib: str
) -> None:
    policy.set_policy(f'{COOLDOWN}allow = ["public-lib", "policy-probe", "other-*"]\n')
    refused = policy.download(lib, filename(lib, "1.0"))

    assert policy.get(f"/simple/{lib}/", JSON).status in (200, 404)
    assert filename(lib, "1.0") not in str(policy.get(f"/simple/{lib}/", JSON).body)
    assert refused.status == 403
    assert b"allow" in refused.body
    assert policy.offered("public-lib") == ["public_lib-1.2.3-py3-none-any.whl"]


@pytest.mark.parametrize("speaks", ["json", "html"])
def test_a_file_of_which_pypi_tells_no_time_is_hidden(
    mirror: Mirror, lib: str, speaks: str
) -> None:
    unknown = mirror.pypi.release(lib, "0.9", days=None)
    mirror.pypi.speaks = "html" if speaks == "html" else "both"
    try:
        offered = mirror.offered(lib)
    finally:
        mirror.pypi.speaks = "both"

    assert offered == ([] if speaks == "html" else [filename(lib, "1.0")])
    refused = mirror.download(lib, unknown.path.name)
    assert refused.status == 403
    assert b"upload" in refused.body


def test_a_project_that_pypi_quarantined_offers_nothing(mirror: Mirror, lib: str) -> None:
    mirror.pypi.status[lib] = {"status": "quarantined"}

    assert mirror.offered(lib) == []
    refused = mirror.download(lib, filename(lib, "1.0"))
    assert refused.status == 403
    assert b"quarantine" in refused.body


def test_a_broken_policy_changes_nothing_and_the_log_says_where(policy: Mirror, lib: str) -> None:
    policy.pypi.release(lib, "2.0", days=1)
    policy.public.policy.write_text("cooldown_days = 'none'\n")

    wait_until(lambda: "cooldown_days" in policy.public.log.read_text(), 10)

    assert policy.offered(lib) == [filename(lib, "1.0")]


def test_the_command_says_of_each_release_whether_it_is_offered_and_why(
    mirror: Mirror, lib: str
) -> None:
    mirror.pypi.release(lib, "2.0", days=1)
    mirror.pypi.release(lib, "2.1", days=None)

    said = mirror.public.run("policy", lib)

    lines = {line.split()[0]: line for line in said.splitlines() if line[:1].isdigit()}
    assert lines.keys() == {"1.0", "2.0", "2.1"}, said
    assert "cooldown" in lines["2.0"]
    assert "upload" in lines["2.1"]


# Lock files ---------------------------------------------------------------------------------------


def uv_project(user: User, url: str, *requirements: str) -> Path:
    """Make a project that takes everything from an index; return its folder."""
    folder = user.home / "uv-project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.9"\n'
        f"dependencies = {json.dumps(requirements)}\n"
        f'[[tool.uv.index]]\nname = "private"\nurl = "{url}"\ndefault = true\n'
    )
    return folder


UV: dict[str, Any] = {"UV_INDEX_PRIVATE_USERNAME": "bob", "UV_INDEX_PRIVATE_PASSWORD": PASSWORD}


class Locked:
    """An application whose lock file has been made, by one person, through the mirror."""

    def __init__(self, way: str, mirror: Mirror, user: User, lib: str) -> None:
        self.way, self.mirror = way, mirror
        if way == "pip":
            self.file = user.home / "requirements.txt"
            path = max(mirror.pypi.folder.glob(f"{lib.replace('-', '_')}-*-py3-*.whl"))
            version = path.name.split("-")[1]
            self.file.write_text(f"{lib}=={version} --hash=sha256:{digest(path)}\n")
        elif way == "uv":
            self.file = uv_project(user, mirror.url, lib) / "uv.lock"
            user.run("uv", "lock", folder=self.file.parent, **UV)
        else:
            self.file = poetry_project(user, mirror.url, lib) / "poetry.lock"
            user.run("poetry", "lock", folder=self.file.parent, **poetry_account())

    def install(self, user: User, venv: Path, *, ok: bool = True) -> str:
        """Install what it names, as somebody else, who has nothing yet."""
        folder = self.file.parent
        environment: dict[str, Any] = {
            "HOME": str(user.home / "elsewhere"),
            "VIRTUAL_ENV": str(venv),
        }
        if self.way == "pip":
            command = ["pip", "--python", str(venv), "install", "--require-hashes"]
            environment["PIP_INDEX_URL"] = as_bob(self.mirror.url)
            return user.run(*command, "-r", self.file, ok=ok, PIP_RETRIES="0", **environment)
        if self.way == "uv":
            command = ["uv", "sync", "--locked", "--active"]
            return user.run(
                *command, folder=folder, ok=ok, **environment, **UV, UV_HTTP_RETRIES="0"
            )
        return user.run(
            *("poetry", "sync"), folder=folder, ok=ok, **environment, **poetry_account()
        )


LOCKED = pytest.mark.parametrize("way", ["pip", "uv", "poetry"])


@LOCKED
def test_what_a_lock_file_names_installs_offline_once_it_was_fetched(
    way: str, mirror: Mirror, lib: str, user: User, venv: Path
) -> None:
    for platform in ("win_amd64", "macosx_11_0_arm64"):
        tag = f"cp311-cp311-{platform}"
        mirror.pypi.add(wheel.described(mirror.pypi.folder, lib, "1.0", "", tag=tag), lib)
    app = Locked(way, mirror, user, lib)
    assert not [name for name in mirror.public.kept() if name.endswith(".whl") and lib in name]

    mirror.fetch(app.file)
    mirror.public.age(lib)
    with mirror.pypi.away():
        app.install(user, venv)
        others = {mirror.download(lib, name).status for name in mirror.offered(lib)[1:]}

    assert installed(venv) == {lib: "1.0 from PyPI"}
    # The requirements file names the hash of one.
    assert others == ({502} if way == "pip" else {200})


@LOCKED
def test_a_lock_file_that_names_a_hidden_file_does_not_install(
    way: str, policy: Mirror, lib: str, user: User, venv: Path
) -> None:
    bad = policy.pypi.release(lib, "1.5")
    app = Locked(way, policy, user, lib)
    policy.set_policy(f'{COOLDOWN}[[block]]\nname = "{lib}"\nversion = "==1.5"\nreason = "bad"\n')

    said = app.install(user, venv, ok=False)

    assert installed(venv) == {}
    if way == "uv":
        assert "403" in said
    path = f"/public/{lib}/{bad.path.name}"
    answer = policy.get(path)
    assert (answer.status, b"bad" in answer.body) == (403, True)
    assert answer.headers.get_content_type() == "text/plain"
    direct = f"{lib} @ {as_bob(policy.gateway.url)}{path}#sha256={digest(bad.path)}"
    assert "403" in with_pip(user, venv, policy.url, direct, ok=False)


# Name radar ---------------------------------------------------------------------------------------


def test_pypis_list_of_names_is_compared_here(mirror: Mirror) -> None:
    before = len(mirror.pypi.requests)
    mirror.pypi.names |= {f"Name_{number}" for number in range(2000)}

    names = mirror.public.run("names")
    said = mirror.server.run("names-on-pypi", stdin=names, ok=False)

    assert "my-private-lib" in names.splitlines()
    assert "my-private-lib is yours, and is on PyPI, too." in said
    assert "acme-not-yet is on PyPI, and lies in your prefix acme." in said
    assert "public-lib" not in said
    assert {path for path, _ in mirror.pypi.requests[before:]} == {"/simple/"}
