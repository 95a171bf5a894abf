"""The status of a project: what the index then serves, takes and says (PEP 792)."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kit import wheel
from kit.an_index import (
    WHEEL,
    actions,
    age,
    check,
    copy,
    copy_sdist,
    names,
    page,
    projects,
    publish,
    records,
    served,
    soon,
)
from private_pypi import distribution, journal
from private_pypi.change import Change, NoSuchReleaseError
from private_pypi.index import Index
from private_pypi.pages import ACTIVE, ProjectStatus
from private_pypi.statuses import EFFECTS, REASON, ClosedError, StatusError
from private_pypi.verify import differences

SIGNATURE = "signature"


def files(folder: Path, project: str = "my_lib") -> set[str]:
    """Return what a web server has of a project's files, also what nothing leads to."""
    return {path for path in served(folder) if path.startswith("packages/") and project in path}


def said(folder: Path, project: str = "my-lib") -> object:
    """Return the status that a page says."""
    return json.loads((folder / "simple" / project / "index.json").read_bytes())["project-status"]


def sign(index: Index, data: Path, file: str) -> None:
    """Upload a signature, as the application does."""
    unfinished = data / ".uploads" / "signature"
    unfinished.write_text(SIGNATURE)
    try:
        index.sign(unfinished, f"{file}.asc", by="alice")
    finally:
        unfinished.unlink()


@pytest.fixture
def filled(index: Index, data: Path) -> Index:
    """An index with a project of everything, of which a file lies in a subfolder, and others."""
    publish(index, data)
    sign(index, data, WHEEL)
    copy(data / "team", version="2.0")
    copy_sdist(data)
    # Their names begin like that of the project.
    publish(index, data, "my-lib-more")
    publish(index, data, "my")
    index.refresh()
    return index


# Quarantine ---------------------------------------------------------------------------------------


def test_of_a_quarantined_project_nothing_is_served_until_that_is_taken_back(
    filled: Index, folder: Path, data: Path
) -> None:
    before, others = served(folder), files(folder, "my_lib_more")
    assert len(files(folder) - others) == 7

    assert filled.mark("My_Lib", "quarantined", "steals <tokens>", by="bob") == "my-lib"

    assert files(folder) == others
    assert page(folder) == []
    assert said(folder) == {"status": "quarantined", "reason": "steals <tokens>"}
    assert {"my", "my-lib", "my-lib-more"} == set(projects(folder))
    assert filled.project_status("my-lib") == ProjectStatus("quarantined", "steals <tokens>")
    assert (filled.presence("my-lib"), filled.project_status("my")) == ("here", ACTIVE)
    check(filled, folder, data)

    filled.mark("my-lib", "active", "checked", by="carol")

    assert served(folder) == before
    assert filled.project_status("my-lib") == ACTIVE
    check(filled, folder, data)
    assert [
        (line["file"], line["status"], line["reason"], line["by"])
        for line in records(data)
        if line["action"] == "mark"
    ] == [
        ("my-lib", "quarantined", "steals <tokens>", "bob"),
        ("my-lib", "active", "checked", "carol"),
    ]


def test_a_project_of_many_files_among_many_others_is_quarantined(
    index: Index, folder: Path, data: Path
) -> None:
    for number in range(70):
        copy(data, f"lib-{number}", "1.0")
    index.refresh()
    before = served(folder)
    for number in range(60):
        index.mark(f"lib-{number}", "quarantined", by="bob")
    # All at once, as a start from nothing has it.
    shutil.rmtree(folder)
    again = Index(data, folder)
    again.refresh()

    assert len(files(folder, "lib_")) == 2 * 10
    check(again, folder, data)
    for number in range(60):
        again.mark(f"lib-{number}", "active", by="bob")
    assert served(folder) == before


def deleted_catalogue(folder: Path) -> None:
    for path in folder.glob("index.sqlite3*"):
        path.unlink()


def damaged_catalogue(folder: Path) -> None:
    (folder / "index.sqlite3").write_bytes(b"no database")


LOSSES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda folder: None,
    "the index": shutil.rmtree,
    "the catalogue": deleted_catalogue,
    "a whole catalogue": damaged_catalogue,
    "what is withheld": lambda folder: shutil.rmtree(folder / "withheld"),
    "the pages": lambda folder: shutil.rmtree(folder / "simple"),
}


@pytest.mark.parametrize("lost", LOSSES)
@pytest.mark.parametrize("reread", [True, False])
def test_a_quarantine_outlives(
    filled: Index, folder: Path, data: Path, lost: str, reread: bool
) -> None:
    before = served(folder)
    filled.mark("my-lib", "quarantined", "why", by="bob")
    quarantined = served(folder)

    # A copy that no process has open, as after a restart.
    shutil.copytree(folder.parent, folder.parent / "restarted", symlinks=True)
    data, folder = (folder.parent / "restarted" / path.name for path in (data, folder))
    LOSSES[lost](folder)
    again = Index(data, folder)
    again.refresh(reread=reread)

    assert served(folder) == quarantined
    check(again, folder, data)
    with pytest.raises(ClosedError):
        publish(again, data, version="3.0")
    again.mark("my-lib", "active", by="bob")
    again.refresh()
    assert served(folder) == before
    check(again, folder, data)


def test_without_a_catalogue_a_project_is_quarantined_just_as_well(
    filled: Index, folder: Path, data: Path
) -> None:
    before = served(folder)
    shutil.copytree(folder.parent, folder.parent / "restarted", symlinks=True)
    data, folder = (folder.parent / "restarted" / path.name for path in (data, folder))
    deleted_catalogue(folder)
    again = Index(data, folder)

    again.mark("my-lib", "quarantined", by="bob")

    assert not {path for path in files(folder) if "more" not in path}
    again.refresh()
    check(again, folder, data)
    again.mark("my-lib", "active", by="bob")
    assert served(folder) == before


def test_links_that_a_power_failure_brings_back_are_gone_after_the_start(
    filled: Index, folder: Path, data: Path
) -> None:
    filled.mark("my-lib", "quarantined", by="bob")
    before = served(folder)
    shutil.copytree(folder / "withheld", folder / "packages", symlinks=True, dirs_exist_ok=True)
    assert served(folder) != before
    assert [line for line in differences(data, folder) if "is no part of the index" in line]

    Index(data, folder).refresh()

    assert served(folder) == before
    check(filled, folder, data)


def test_an_index_of_an_older_version_is_made_anew_with_the_status(
    filled: Index, folder: Path, data: Path
) -> None:
    filled.mark("my-lib", "quarantined", by="bob")
    with closing(sqlite3.connect(folder / "index.sqlite3", isolation_level=None)) as db:
        db.execute("DROP TABLE statuses")
        db.execute("PRAGMA user_version = 4")

    again = Index(data, folder)
    again.refresh()

    assert again.project_status("my-lib").status == "quarantined"
    assert page(folder) == []
    check(again, folder, data)


def test_the_status_is_read_from_the_journal_while_the_index_is_served(
    following: Index, folder: Path, data: Path
) -> None:
    publish(following, data)
    # As by a process that was killed once the journal had it.
    with journal.locked(data) as lines:
        now = journal.timestamp(1.8e9)
        lines.append([journal.Record(now, "mark", "my-lib", status="quarantined")])

    assert soon(lambda: not files(folder))
    assert said(folder) == {"status": "quarantined"}


def test_what_is_put_there_by_hand_is_not_served_before_that_is_taken_back(
    filled: Index, folder: Path, data: Path
) -> None:
    filled.mark("my-lib", "quarantined", by="bob")
    before = served(folder)

    copy(data, version="7.0")
    copy(data / "other", version="8.0")
    (data / f"{WHEEL}.asc").unlink()
    (data / "my_lib-7.0-py3-none-any.whl.asc").write_text(SIGNATURE)
    filled.refresh()

    assert served(folder) == before
    check(filled, folder, data)
    filled.mark("my-lib", "active", by="bob")
    assert {"my_lib-7.0-py3-none-any.whl", "my_lib-8.0-py3-none-any.whl"} <= set(names(folder))
    assert "packages/my_lib-7.0-py3-none-any.whl.asc" in files(folder)
    assert f"packages/{WHEEL}.asc" not in files(folder)
    check(filled, folder, data)


def test_what_is_replaced_by_hand_meanwhile_is_served_as_it_is_then(
    filled: Index, folder: Path, data: Path
) -> None:
    filled.mark("my-lib", "quarantined", by="bob")
    for path in (data / WHEEL, data / f"{WHEEL}.asc"):
        path.unlink()
    replaced = copy(data, origin="somebody else")
    filled.refresh()
    filled.mark("my-lib", "active", by="bob")

    assert served(folder)[f"packages/{WHEEL}"] == replaced.read_bytes()
    check(filled, folder, data)


def test_yanks_and_removals_go_on_in_quarantine(filled: Index, folder: Path, data: Path) -> None:
    filled.mark("my-lib", "quarantined", by="bob")

    assert len(filled.yank("my-lib", "2.0", "broken", by="bob")) == 1
    assert sorted(filled.remove("my-lib", "1.0", by="bob")) == [WHEEL, "my_lib-1.0.tar.gz"]

    assert page(folder) == []
    check(filled, folder, data)
    assert not (data / WHEEL).exists()
    filled.mark("my-lib", "active", by="bob")
    (one,) = page(folder)
    assert (one["filename"], one["yanked"]) == ("my_lib-2.0-py3-none-any.whl", "broken")
    check(filled, folder, data)


def test_a_status_stays_when_the_last_file_is_removed(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    index.mark("my-lib", "quarantined", by="bob")

    index.remove("my-lib", "1.0", by="bob")

    assert projects(folder) == []
    assert index.presence("my-lib") == "gone"
    assert index.project_status("my-lib").status == "quarantined"
    with pytest.raises(ClosedError):
        publish(index, data, version="2.0")
    index.mark("my-lib", "active", by="bob")
    publish(index, data, version="2.0")
    check(index, folder, data)


def test_a_project_of_which_all_was_removed_can_still_be_closed(index: Index, data: Path) -> None:
    publish(index, data)
    index.remove("my-lib", "1.0", by="bob")

    index.mark("my-lib", "archived", by="bob")

    with pytest.raises(ClosedError):
        publish(index, data, version="2.0")


# Uploads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", EFFECTS)
@pytest.mark.parametrize("what", ["a new release", "the same bytes", "a signature"])
def test_a_project_takes_uploads_unless_it_is_archived_or_quarantined(
    index: Index, folder: Path, data: Path, status: str, what: str
) -> None:
    publish(index, data)
    index.mark("my-lib", status, "it moved", by="bob")
    before, lines = served(folder), records(data)

    def upload() -> None:
        if what == "a signature":
            sign(index, data, WHEEL)
        else:
            publish(index, data, version="2.0" if what == "a new release" else "1.0")

    if status in ("active", "deprecated"):
        upload()
        check(index, folder, data)
        return
    sentence = (
        f"my-lib is {status} (it moved) and takes no uploads: make pypi-mark PKG=my-lib"
        " STATUS=active on the server takes that back"
    )
    with pytest.raises(ClosedError, match=f"^{sentence.replace('(', '.').replace(')', '.')}$"):
        upload()
    assert (served(folder), records(data)) == (before, lines)
    assert {path.name for path in data.iterdir() if path.is_file()} == {journal.FILE, WHEEL}
    publish(index, data, "my-lib-more")


@pytest.mark.parametrize("spelled", ["My.Lib-1.0-py3-none-any.whl", "my__lib-2.0.tar.gz"])
def test_another_spelling_of_the_name_is_the_same_project(
    index: Index, folder: Path, data: Path, spelled: str
) -> None:
    publish(index, data)
    shutil.copy(data / WHEEL, data / "MY_LIB-1.0-py3-none-any.whl")
    age(data / "MY_LIB-1.0-py3-none-any.whl")
    index.refresh()
    index.mark("mY.-_lib", "quarantined", by="bob")

    assert files(folder) | files(folder, "MY_LIB") == set()
    unfinished = data / ".uploads" / "one"
    shutil.copy(data / WHEEL, unfinished)
    new = distribution.read(unfinished, WHEEL)
    with pytest.raises(ClosedError):
        index.add(unfinished, type(new)(**{**vars(new), "file": spelled}), by="alice")


def test_an_upload_that_was_checked_before_the_mark_is_refused_after_it(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    unfinished = wheel.build(data / ".uploads", "my-lib", "2.0", origin="us")
    new = distribution.read(unfinished)
    # Another process, which this one learns of by the journal alone.
    Index(data, folder).mark("my-lib", "quarantined", by="bob")

    with pytest.raises(ClosedError):
        index.add(unfinished, new, by="alice")

    assert ("upload", new.file) not in actions(data)
    assert not (data / new.file).exists()


def test_a_mark_that_is_made_while_an_upload_waits_for_the_lock_holds_for_it(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(index, data)
    change = index._access.change

    @contextmanager
    def waiting() -> Iterator[Change]:
        Index(data, folder).mark("my-lib", "quarantined", by="bob")
        with change() as opened:
            yield opened

    monkeypatch.setattr(index._access, "change", waiting)

    with pytest.raises(ClosedError):
        publish(index, data, version="2.0")
    assert [action for action, _ in actions(data)] == ["upload", "mark"]


# What can be said ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason", "complaint"),
    [
        ("Quarantined", "", r"^there is no status 'Quarantined': use active, archived, deprecated"),
        ("", "", "^there is no status '': use active, archived, deprecated or quarantined$"),
        ("x" * 200, "", f"^there is no status '{'x' * 80}': "),
        ("archived", "r" * (REASON + 1), f"^the reason has {REASON + 1} letters: use at most"),
    ],
)
def test_what_is_no_status_is_refused(
    index: Index, folder: Path, data: Path, status: str, reason: str, complaint: str
) -> None:
    publish(index, data)
    before, lines = served(folder), records(data)

    with pytest.raises(StatusError, match=complaint):
        index.mark("my-lib", status, reason, by="bob")

    assert (served(folder), records(data)) == (before, lines)


@pytest.mark.parametrize("project", ["other", "my", "", "../my-lib", "my-lib-1.0", WHEEL])
def test_a_project_that_never_was_here_has_no_status(
    index: Index, folder: Path, data: Path, project: str
) -> None:
    publish(index, data)
    before, lines = served(folder), records(data)

    with pytest.raises(NoSuchReleaseError, match=f"^this index has no project {project}$"):
        index.mark(project, "quarantined", by="bob")

    assert (served(folder), records(data)) == (before, lines)


def test_a_reason_may_hold_what_a_page_could_trip_over(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    reason = "\x1b[31m\"'<b>&\n\r\t é \u202e" + "r" * 150

    index.mark("my-lib", "archived", reason, by="bob")

    assert said(folder) == {"status": "archived", "reason": reason}
    assert names(folder) == [WHEEL]
    check(index, folder, data)


def test_the_last_mark_counts_and_without_a_reason_there_is_none(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    index.mark("my-lib", "quarantined", "why", by="bob")
    index.mark("my-lib", "deprecated", by="bob")

    assert said(folder) == {"status": "deprecated"}
    assert names(folder) == [WHEEL]
    assert "reason" not in records(data)[-1]
    check(index, folder, data)


# The journal --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "quarantine"},
        {"status": None},
        {"status": 5},
        {"status": ["quarantined"]},
        {"status": "\ud800"},
        {"file": "My.Lib"},
        {"file": ""},
        {"file": "../packages"},
        {"file": WHEEL},
        {"file": "\ud800"},
        {"file": "x" * 300},
        {"reason": 5},
        {"reason": "\ud800"},
        {"time": "yesterday"},
    ],
)
@pytest.mark.parametrize("rebuilt", [True, False])
def test_a_mark_that_somebody_edited_badly_does_no_harm(
    index: Index, folder: Path, data: Path, changes: dict[str, Any], rebuilt: bool
) -> None:
    publish(index, data)
    before = served(folder)
    line = {
        "time": "2026-01-01T00:00:00.000000Z",
        "action": "mark",
        "file": "my-lib",
        "reason": "why",
        "status": "quarantined",
        **changes,
    }
    with (data / journal.FILE).open("a") as file:
        file.write(json.dumps(line) + "\n")
    if rebuilt:
        shutil.rmtree(folder)
        index = Index(data, folder)

    index.refresh()

    assert served(folder) == before
    assert index.project_status("my-lib") == ACTIVE
    assert index.presence("requests") == "unknown"
    index.mark("my-lib", "quarantined", by="bob")
    assert files(folder) == set()
    check(index, folder, data)


def test_a_reason_that_is_too_long_does_not_end_a_quarantine(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    with journal.locked(data) as lines:
        now = journal.timestamp(1.8e9)
        lines.append(
            [journal.Record(now, "mark", "my-lib", status="quarantined", reason="r" * 999)]
        )

    index.refresh()

    assert index.project_status("my-lib") == ProjectStatus("quarantined", "r" * REASON)
    assert files(folder) == set()


def test_a_mark_that_the_journal_lost_holds_and_a_repair_brings_it_back(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    index.mark("my-lib", "quarantined", "why", by="bob")
    publish(index, data, "other")
    path = data / journal.FILE
    first, _, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + last)

    index.refresh()
    assert files(folder) == set()
    assert "damaged" in index.problem
    index.repair_journal(by="bob")

    lines = records(data)
    assert [line["action"] for line in lines] == ["upload", "mark", "upload", "repair"]
    assert (lines[1]["status"], lines[1]["restored"]) == ("quarantined", True)
    shutil.rmtree(folder)
    again = Index(data, folder)
    again.refresh()
    assert files(folder) == set()
    assert again.project_status("my-lib") == ProjectStatus("quarantined", "why")
    check(again, folder, data)


def test_an_older_journal_takes_the_mark_back_with_an_index_made_from_nothing(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    older = (data / journal.FILE).read_bytes()
    before = served(folder)
    index.mark("my-lib", "quarantined", by="bob")
    (data / journal.FILE).write_bytes(older)
    shutil.rmtree(folder)

    again = Index(data, folder)
    again.refresh()

    assert served(folder) == before


# Verify -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["quarantined", "active"])
def test_verify_takes_a_mark_that_is_made_meanwhile_for_no_difference(
    filled: Index, folder: Path, data: Path, status: str
) -> None:
    filled.mark("my-lib", "active" if status == "quarantined" else "quarantined", by="bob")
    marked: list[str] = []

    def progress(done: int, total: int) -> None:
        if not marked:
            marked.append(filled.mark("my-lib", status, by="bob"))

    assert list(differences(data, folder, progress)) == []
    assert marked


def test_verify_finds_what_is_wrong_with_a_quarantined_file(
    filled: Index, folder: Path, data: Path
) -> None:
    filled.mark("my-lib", "quarantined", by="bob")
    (folder / "withheld" / f"{WHEEL}.metadata").unlink()
    (folder / "packages" / WHEEL).symlink_to(os.path.relpath(data / WHEEL, folder / "packages"))
    (folder / "simple/my-lib/index.html").write_text("another page")

    found = "\n".join(differences(data, folder))

    assert f"{WHEEL} is not served whole" in found
    assert f"packages/{WHEEL} is no part of the index" in found
    assert "pypi_index/simple/my-lib: the pages are not what they should be" in found
    filled.refresh(reread=True)
    assert list(differences(data, folder)) == []
    assert files(folder) - files(folder, "my_lib_more") == set()
