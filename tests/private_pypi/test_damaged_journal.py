"""A journal that lost lines: the index forgets none of them, says so, and repairs the journal."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from kit.an_index import publish
from private_pypi import database, journal
from private_pypi.__main__ import main
from private_pypi.index import Index, NameTakenError
from private_pypi.verify import differences

Captured = pytest.CaptureFixture[str]
Damage = Callable[[Path], None]

GONE = "gone_lib-1.0-py3-none-any.whl"
KEPT = "kept_lib-1.0-py3-none-any.whl"


@pytest.fixture
def data(repository: Path) -> Path:
    folder = repository / "pypi_data"
    (folder / ".uploads").mkdir(parents=True)
    return folder


@pytest.fixture
def index(data: Path) -> Index:
    """An index of a project that was removed and one that was yanked, both by their journal."""
    index = Index(data, data.with_name("pypi_index"))
    index.refresh()
    publish(index, data, "gone-lib")
    publish(index, data, "kept-lib")
    index.yank("kept-lib", "1.0", "breaks on Tuesdays", by="bob")
    index.remove("gone-lib", "1.0", by="bob")
    publish(index, data, "last-lib")
    return index


def lines(data: Path) -> list[bytes]:
    return (data / journal.FILE).read_bytes().splitlines(keepends=True)


def write(data: Path, content: list[bytes]) -> None:
    (data / journal.FILE).write_bytes(b"".join(content))


def yanked(index: Index) -> list[str | None]:
    return [one.yanked for one in index.listed("kept-lib")]


def knowing_a_damaged_journal(index: Index, data: Path) -> Index:
    """Damage the journal and lose the index; return the new one, which knows what is left."""
    DAMAGES["without lines in the middle"](data)
    shutil.rmtree(index.folder)
    index = Index(data, index.folder)
    index.refresh()
    return index


def check_known(index: Index, data: Path) -> None:
    """Check that a removed name stays ours and that a yank stays one."""
    assert index.presence("gone-lib") == "gone"
    assert index.presence("requests") == "unknown"
    with pytest.raises(NameTakenError):
        publish(index, data, "gone-lib", origin="somebody else")
    assert yanked(index) == ["breaks on Tuesdays"]


def check_whole(index: Index, data: Path) -> None:
    """Check that the journal alone tells all of it again."""
    index.refresh()
    assert index.problem == ""
    assert list(differences(data, index.folder)) == []
    anew = Index(data, data.with_name("another_index"))
    anew.refresh()
    assert anew.problem == ""
    check_known(anew, data)


DAMAGES: dict[str, Damage] = {
    "deleted": lambda data: (data / journal.FILE).unlink(),
    "emptied": lambda data: write(data, []),
    "begun anew by a backup": lambda data: write(data, lines(data)[:1]),
    "without its last line": lambda data: write(data, lines(data)[:-1]),
    "without its first line": lambda data: write(data, lines(data)[1:]),
    "without lines in the middle": lambda data: write(data, [lines(data)[0], lines(data)[-1]]),
    "overwritten in the middle": lambda data: write(
        data, [*lines(data)[:2], b"\0" * len(lines(data)[2]), *lines(data)[3:]]
    ),
    "overwritten at its end": lambda data: write(
        data, [*lines(data)[:-1], b"\0" * len(lines(data)[-1])]
    ),
    "in another order": lambda data: write(data, lines(data)[::-1]),
}


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_a_damaged_journal_said_stays_known_is_said_and_repaired(
    index: Index,
    data: Path,
    capsys: Captured,
    caplog: pytest.LogCaptureFixture,
    damage: str,
    restarted: bool,
) -> None:
    before = [json.loads(line) for line in lines(data)]

    DAMAGES[damage](data)
    damaged = (data / journal.FILE).read_bytes() if (data / journal.FILE).exists() else b""
    if restarted or damage == "overwritten in the middle":
        index = Index(data, index.folder)
    index.refresh()
    index.refresh()
    check_known(index, data)

    assert index.problem.startswith("pypi_data/.journal.jsonl was damaged (")
    assert index.problem.endswith("): run make pypi-journal-repair")
    assert [one.getMessage() for one in caplog.records].count(index.problem) == 1
    assert index.problem in list(differences(data, index.folder))
    publish(index, data, "more-lib")
    assert main(["journal-repair", "--yes"]) == 0

    said = capsys.readouterr().out
    assert said.endswith("Z.\n"), said
    (kept,) = data.glob(".journal.jsonl.broken-*")
    assert kept.read_bytes().startswith(damaged)
    check_whole(index, data)
    after = [json.loads(line) for line in lines(data)]
    for line in [*before, *after]:
        del line["after"]
    assert any("restored" in line for line in after) is (damage != "in another order")
    assert [{k: line[k] for k in line if k != "restored"} for line in after[:5]] == before
    assert (after[-1]["action"], after[-1]["file"]) == ("repair", ".journal.jsonl")


def test_repair_says_what_is_wrong_and_asks_before_it_changes_anything(
    index: Index, data: Path, capsys: Captured
) -> None:
    write(data, [lines(data)[0], *lines(data)[4:]])
    damaged = lines(data)

    assert main(["journal-repair"]) == 1

    printed = capsys.readouterr()
    assert printed.err == "error: say YES=1 to repair without being asked\n"
    first, second, third, *missing = printed.out.splitlines()
    assert first == (
        "pypi_data/.journal.jsonl was damaged (line 2 does not follow the lines before,"
        " 3 lines that pypi_index knows are missing)."
    )
    assert second == "Line 2 does not follow the lines before it: some were lost or changed."
    assert third == "The journal lacks these lines, which pypi_index has:"
    assert [line.split()[3:] for line in missing] == [
        ["published", KEPT, "alice"],
        ["yanked", KEPT, "bob", "breaks", "on", "Tuesdays"],
        ["removed", GONE, "bob"],
    ]
    assert lines(data) == damaged


def test_damage_that_only_the_journal_can_tell_is_said_until_it_is_repaired(
    index: Index, data: Path, capsys: Captured
) -> None:
    DAMAGES["without lines in the middle"](data)
    shutil.rmtree(index.folder)

    anew = Index(data, index.folder)
    anew.refresh()

    assert "(line 2 does not follow the lines before)" in anew.problem
    assert main(["audit"]) == 0
    assert capsys.readouterr().err == (
        "error: pypi_data/.journal.jsonl line 2 does not follow the lines before it: some were"
        " lost or changed\n"
    )
    assert main(["journal-repair", "--yes"]) == 0
    assert "pypi_index does not have the lost lines either" in capsys.readouterr().out
    anew.refresh()
    assert anew.problem == ""
    assert main(["audit"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines()[-1].split()[3:5] == ["repaired", ".journal.jsonl"]


@pytest.mark.parametrize("made_anew", [False, True])
def test_a_second_repair_keeps_the_marks_of_the_first(
    index: Index, data: Path, made_anew: bool
) -> None:
    for number in (1, 3):
        write(data, [line for place, line in enumerate(lines(data)) if place != number])
        assert main(["journal-repair", "--yes"]) == 0
        if made_anew:
            shutil.rmtree(index.folder)
            Index(data, index.folder).refresh()

    restored = [json.loads(line).get("restored", False) for line in lines(data)]
    assert restored == [False, True, False, True, False, False, False]


def test_a_repair_keeps_what_only_a_newer_version_can_read(index: Index, data: Path) -> None:
    newer = {
        "time": "2026-01-01T00:00:00.000000Z",
        "action": "bless",
        "file": KEPT,
        "size": "large",
        "how": {"often": [1, 2.5, None]},
        "by": "bob",
    }
    with (data / journal.FILE).open("a") as file:
        file.write(f"{json.dumps(newer)}\n")
    index.refresh()
    write(data, lines(data)[1:])

    assert main(["journal-repair", "--yes"]) == 0

    kept = next(line for line in map(json.loads, lines(data)) if line["action"] == "bless")
    del kept["after"]
    assert kept == newer
    check_whole(index, data)


def test_a_backup_of_the_journal_put_in_place_brings_what_it_knows(
    index: Index, data: Path
) -> None:
    backup = lines(data)
    index = knowing_a_damaged_journal(index, data)
    publish(index, data, "newer-lib")
    assert index.presence("gone-lib") == "gone"
    assert yanked(index) == [None]

    write(data, backup)
    assert main(["journal-repair", "--yes"]) == 0

    check_whole(index, data)
    assert sum(b"newer_lib" in line for line in lines(data)) == 1


def test_a_backup_put_in_place_does_not_undo_what_happened_after_it(
    index: Index, data: Path
) -> None:
    backup = lines(data)
    index = knowing_a_damaged_journal(index, data)
    index.unyank("kept-lib", "1.0", by="bob")

    write(data, backup)
    index.refresh()
    assert yanked(index) == [None]
    assert main(["journal-repair", "--yes"]) == 0

    actions = [json.loads(line)["action"] for line in lines(data) if b"kept_lib" in line]
    assert [one for one in actions if one in ("upload", "yank", "unyank")] == [
        "upload",
        "yank",
        "unyank",
    ]
    for folder in (index.folder, data.with_name("another_index")):
        other = Index(data, folder)
        other.refresh()
        assert other.problem == ""
        assert yanked(other) == [None]


def test_an_update_that_makes_the_index_anew_forgets_nothing_that_the_journal_lost(
    index: Index, data: Path
) -> None:
    DAMAGES["deleted"](data)
    with closing(sqlite3.connect(index.folder / database.FILE)) as known:
        known.execute("PRAGMA user_version = 1")

    updated = Index(data, index.folder)
    updated.refresh()

    assert "journal" in updated.problem
    check_known(updated, data)
    assert main(["journal-repair", "--yes"]) == 0
    check_whole(updated, data)


def test_a_whole_journal_is_left_alone(index: Index, data: Path, capsys: Captured) -> None:
    before = lines(data)

    assert main(["journal-repair", "--yes"]) == 0

    assert capsys.readouterr().out == "The journal is whole.\n"
    assert lines(data) == before
    assert index.problem == ""


@pytest.mark.parametrize("chained", [0, 1, 4])
def test_lines_of_older_versions_are_taken_as_they_are_and_proven_by_the_next_line(
    index: Index, data: Path, chained: int
) -> None:
    old = [line.split(b', "after": ')[0] + b"}\n" for line in lines(data)]
    write(data, old)
    shutil.rmtree(index.folder)
    index = Index(data, index.folder)
    index.refresh()
    assert index.problem == ""
    for number in range(chained):
        publish(index, data, f"lib-{number}")
    # As an older version does that ran once more.
    with (data / journal.FILE).open("ab") as file:
        file.write(old[0])
    index.refresh()
    publish(index, data, "newest")
    check_whole(index, data)

    write(data, [b"#" + lines(data)[0], *lines(data)[1:]])
    index = Index(data, index.folder)
    index.refresh()
    check_known(index, data)
    assert "does not follow" in index.problem or "do not follow" in index.problem


def test_a_torn_last_line_is_no_damage_and_what_follows_proves_it(index: Index, data: Path) -> None:
    for torn in (b'{"time": "2026-', b"{}", b""):
        with (data / journal.FILE).open("ab") as file:
            file.write(torn)
        if not torn:
            # Its end may be all that a whole line lacks.
            os.truncate(data / journal.FILE, (data / journal.FILE).stat().st_size - 1)
            index.refresh()
        publish(index, data, f"lib-{len(torn)}")
        index = Index(data, index.folder)
        index.refresh()
        assert index.problem == ""

    check_whole(index, data)


def test_launching_warns_and_goes_on(index: Index, data: Path, capsys: Captured) -> None:
    (data.parent / "pypi_auth").mkdir()
    hashed = "$2y$04$private.pypi.tests..uugfvOQnbet/tUFgFlRVT9OR15g5aLe82"
    (data.parent / "pypi_auth/.htpasswd").write_text(f"alice:{hashed}\n")
    assert main(["check"]) == 0
    assert capsys.readouterr().err == ""

    DAMAGES["without lines in the middle"](data)

    assert main(["check"]) == 0
    index.refresh()
    assert capsys.readouterr().err == f"warning: {index.problem}\n"

    with closing(sqlite3.connect(index.folder / "index.sqlite3")) as other:
        other.execute("PRAGMA user_version = 2")
    assert main(["check"]) == 0
    assert capsys.readouterr().err == ""
    with closing(sqlite3.connect(index.folder / "index.sqlite3")) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_repair_killed_before_any_step_can_be_done_again(index: Index, data: Path) -> None:
    DAMAGES["without lines in the middle"](data)
    index.refresh()
    broken = lines(data)
    for step in ("append", "link", "replace", "dup2", "replay", "commit"):
        write(data, broken)
        child = os.fork()
        if not child:
            kill_at(step)
            index.repair_journal(by="bob")
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL

        index.refresh()
        check_known(index, data)
        assert (index.problem == "") is (step in ("dup2", "replay", "commit"))
        index.repair_journal(by="bob")
        check_whole(index, data)
        shutil.rmtree(data.with_name("another_index"))


def kill_at(step: str) -> None:
    """Have this process killed when it comes to a step of a repair."""
    from private_pypi import catalogue

    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    places: dict[str, tuple[object, str]] = {
        "append": (journal.Journal, "append"),
        "link": (os, "link"),
        "replace": (Path, "replace"),
        "dup2": (os, "dup2"),
        "commit": (catalogue.Catalogue, "commit"),
    }
    if step == "replay":
        # Not the first, which finds the damage.
        replace = journal.Journal.replace

        def replaced(*arguments: object) -> None:
            replace(*arguments)  # type: ignore[arg-type]
            die()

        journal.Journal.replace = replaced  # type: ignore[method-assign,assignment]
    else:
        setattr(*places[step], die)
