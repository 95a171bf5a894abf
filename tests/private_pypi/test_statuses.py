"""The status of a project as clients and operators meet it: answers, and the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from kit import wheel
from kit.an_index import actions
from kit.forms import upload_form
from kit.http import basic
from kit.template import PASSWORD
from kit.wsgi import Answer, call
from private_pypi import distribution, journal
from private_pypi.__main__ import main
from private_pypi.app import Gatekeeper, create_app
from private_pypi.distribution import Distribution
from private_pypi.index import Index
from private_pypi.settings import Settings

WHEEL = "my_lib-1.0-py3-none-any.whl"
REMEDY = "make pypi-mark PKG=my-lib STATUS=active on the server takes that back."

Captured = pytest.CaptureFixture[str]


class Site:
    """The application with an index that has my-lib 1.0, signed, once on top and once below."""

    def __init__(self, settings: Settings, made: Path) -> None:
        self.data, self.folder = settings.data, settings.index
        self.app: Gatekeeper = create_app(settings)
        self.app.index.refresh()
        self._made = made
        made.mkdir()
        assert self.upload("my-lib", "1.0").status == 200
        (self.data / f"{WHEEL}.asc").write_text("signature")
        (self.data / "team").mkdir()
        os.utime(wheel.build(self.data / "team", "my-lib", "2.0", origin="us"), (0, 0))
        self.app.index.refresh()

    def upload(self, name: str, version: str, user: str = "alice") -> Answer:
        """Send a wheel."""
        path = wheel.build(self._made, name, version, origin="us")
        body, kind = upload_form(path.name, path.read_bytes())
        headers = basic(user, PASSWORD)
        return call(self.app, "POST", "/", body=body, headers=headers, CONTENT_TYPE=kind)

    def get(self, path: str, method: str = "GET") -> Answer:
        """Ask as bob."""
        return call(self.app, method, path, headers=basic("bob", PASSWORD))


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Site:
    return Site(settings, tmp_path / "made")


@pytest.fixture
def repository(repository: Path) -> Path:
    """The folder of a repository that has my-lib 1.0."""
    (repository / "pypi_data").mkdir()
    os.utime(wheel.build(repository / "pypi_data", "my-lib", "1.0", origin="us"), (0, 0))
    assert main(["index"]) == 0
    return repository


# Over HTTP ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason", "begins"),
    [
        ("archived", "", "my-lib is archived and takes no uploads: "),
        ("archived", "take acme-lib", "my-lib is archived (take acme-lib) and takes no uploads: "),
        (
            "quarantined",
            "it\r\nSet-Cookie: a=b \x1b[31m",
            r"my-lib is quarantined (it\r\nSet-Cookie: a=b \x1b[31m) and takes no uploads: ",
        ),
    ],
)
def test_an_upload_is_refused_with_status_and_reason(
    site: Site, status: str, reason: str, begins: str
) -> None:
    site.app.index.mark("my-lib", status, reason, by="bob")

    answer = site.upload("My.Lib", "3.0")

    assert (answer.status, answer.body) == (403, f"{begins}{REMEDY}\n")
    # twine shows the status line alone.
    assert answer.reason == answer.body.strip()
    assert list((site.data / ".uploads").iterdir()) == []
    assert site.upload("my-lib-more", "1.0").status == 200
    assert site.upload("my-lib", "3.0", user="bob").body == "bob may install, not publish.\n"


@pytest.mark.parametrize("status", ["quarantined", "archived"])
def test_a_mark_that_is_made_while_an_upload_is_read_holds_for_it(
    site: Site, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    read = distribution.read

    def read_and_mark(path: Path, file: str) -> Distribution:
        found = read(path, file)
        # As the command does it, in a process of its own.
        Index(site.data, site.folder).mark("my-lib", status, by="bob")
        return found

    monkeypatch.setattr(distribution, "read", read_and_mark)

    answer = site.upload("my-lib", "3.0")

    assert answer.status == 403
    assert not list(site.data.glob("*3.0*"))
    assert actions(site.data) == [
        ("upload", WHEEL),
        ("find", "my_lib-2.0-py3-none-any.whl"),
        ("mark", "my-lib"),
    ]


FILES = [f"{WHEEL}{suffix}" for suffix in ("", ".metadata", ".asc")]
ALL = [*FILES, "team/my_lib-2.0-py3-none-any.whl", "team/my_lib-2.0-py3-none-any.whl.metadata"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_of_a_quarantined_project_is_refused_with_a_sentence(
    site: Site, method: str
) -> None:
    assert [site.get(f"/packages/{file}", method).status for file in ALL] == [200] * len(ALL)
    site.app.index.mark("my-lib", "quarantined", "it steals", by="bob")
    # A reader cannot run the command, which the answer to an upload names.
    said = "my-lib is quarantined (it steals), so no file of it is served: ask the server's owner."

    # What never was there, too: the project is quarantined, whatever it is asked for.
    for file in [*ALL, f"{WHEEL}.provenance", "My.Lib-9.0.tar.gz", "MY_LIB-1.0-py3-none-any.whl"]:
        answer = site.get(f"/packages/{file}", method)
        assert (answer.status, answer.reason) == (403, said), file
        assert answer.body == ("" if method == "HEAD" else f"{said}\n")

    assert site.get("/packages/my_lib_more-1.0-py3-none-any.whl").status == 404
    assert site.get("/packages/notes.txt").status == 404
    assert site.get("/withheld/" + WHEEL).status == 404
    assert site.get("/packages/../withheld/" + WHEEL).status == 404
    assert site.get("/simple/my-lib/?format=application/vnd.pypi.simple.v1+json").status == 200
    site.app.index.mark("my-lib", "active", by="bob")
    assert [site.get(f"/packages/{file}", method).status for file in ALL] == [200] * len(ALL)


@pytest.mark.parametrize("status", ["archived", "deprecated", "active"])
def test_files_of_a_project_of_another_status_are_served(site: Site, status: str) -> None:
    site.app.index.mark("my-lib", status, by="bob")

    assert [site.get(f"/packages/{file}").status for file in ALL] == [200] * len(ALL)
    assert site.get("/packages/my_lib-9.0.tar.gz").status == 404


def test_nobody_else_is_asked_for_a_name_whatever_its_status(site: Site) -> None:
    for status in ("quarantined", "archived"):
        site.app.index.mark("my-lib", status, by="bob")
        assert site.get("/simple/my-lib/").status == 200
    site.app.index.mark("my-lib", "quarantined", by="bob")
    for version in ("1.0", "2.0"):
        site.app.index.remove("my-lib", version, by="bob")

    assert site.get("/simple/my-lib/").status == 404
    assert site.get("/simple/requests/").status == 303


# On the command line ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("active", "its files are served, and it takes uploads"),
        ("archived", "its files are served, and it takes no uploads"),
        (
            "deprecated",
            "its files are served, it takes uploads, and clients may warn of it",
        ),
        ("quarantined", "none of its files is served, and it takes no uploads"),
    ],
)
def test_mark_says_what_the_status_does(
    repository: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, status: str, said: str
) -> None:
    monkeypatch.setenv("PYPI_BY", "carol")
    capsys.readouterr()

    assert main(["mark", "--reason=it's $why", "--", "My.Lib", status]) == 0

    assert capsys.readouterr() == (f"my-lib is {status}: {said}.\n", "")
    lines = (repository / "pypi_data" / journal.FILE).read_text().splitlines()
    line = json.loads(lines[-1])
    assert [line[key] for key in ("action", "file", "status", "reason", "by")] == [
        *("mark", "my-lib", status, "it's $why", "carol"),
    ]
    assert main(["verify"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["other", "archived"], "this index has no project other"),
        (["my-lib", "banned"], "there is no status 'banned': use active, archived, deprecated or"),
        (["my-lib", ""], "there is no status '': use active"),
        (["--reason", "x" * 201, "my-lib", "archived"], "the reason has 201 letters: use at most"),
        (["--reason", "\udcff", "my-lib", "archived"], "the reason is not UTF-8: "),
    ],
)
def test_mark_says_what_is_wrong_and_changes_nothing(
    repository: Path, capsys: Captured, arguments: list[str], said: str
) -> None:
    before = (repository / "pypi_data" / journal.FILE).read_bytes()
    capsys.readouterr()

    assert main(["mark", *arguments]) == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {said}")
    assert (repository / "pypi_data" / journal.FILE).read_bytes() == before
