"""An index that was lost or damaged in any part is made again."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from kit.an_index import check, copy, fill, publish, records, served, soon
from private_pypi import pages
from private_pypi.index import Index
from private_pypi.verify import differences


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


@pytest.mark.parametrize("damage", ["deleted", "emptied", "garbage"])
def test_each_file_of_the_index_that_is_damaged_is_made_again_by_a_restart(
    index: Index, folder: Path, data: Path, damage: str
) -> None:
    fill(index, data)
    # A copy that no process has open, as after a restart.
    shutil.copytree(folder.parent, folder.parent / "restarted", symlinks=True)
    data, folder = (folder.parent / "restarted" / path.name for path in (data, folder))
    Index(data, folder).refresh()
    before, lines = served(folder), records(data)
    assert before == served(index.folder)
    wrong = []

    for name in files_of(folder):
        if "big" in name and "1.5" not in name and "simple" not in name:
            continue
        path = folder / name
        was_link = path.is_symlink()
        path.unlink()
        if damage == "emptied":
            path.write_bytes(b"")
        elif damage == "garbage":
            path.symlink_to("/dev/null") if was_link else path.write_bytes(os.urandom(5000))
        again = Index(data, folder)
        again.refresh()
        if served(folder) != before or records(data) != lines or list(differences(data, folder)):
            wrong.append(name)
            shutil.rmtree(folder)
            Index(data, folder).refresh()

    assert wrong == []


@pytest.mark.parametrize("part", [".", "simple", "packages", "index.sqlite3"])
@pytest.mark.parametrize("running", [True, False])
def test_a_part_of_the_index_that_is_deleted_is_made_again(
    index: Index, folder: Path, data: Path, part: str, running: bool
) -> None:
    fill(index, data)
    before, lines = served(folder), records(data)

    if (folder / part).is_dir():
        shutil.rmtree(folder / part)
    else:
        (folder / part).unlink()
    again = index if running and part in (".", "index.sqlite3") else Index(data, folder)
    assert again.presence("requests") in ("not ready", "unknown")
    again.refresh()

    assert served(folder) == before
    assert records(data) == lines
    check(again, folder, data)


def overwrite(path: Path, start: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: overwrite(path, 0, b"not SQLite at all"), id="header"),
        pytest.param(lambda path: overwrite(path, 100, bytes(3996)), id="first page"),
        pytest.param(lambda path: overwrite(path, 4096, b"?" * 4096), id="second page"),
        pytest.param(lambda path: overwrite(path, 4096, bytes(size(path) - 4096)), id="zeros"),
        pytest.param(lambda path: overwrite(path, 4096, b"?" * (size(path) - 4096)), id="garbage"),
        pytest.param(lambda path: os.truncate(path, size(path) // 2), id="half"),
        pytest.param(lambda path: os.truncate(path, 5000), id="a page and a piece"),
        pytest.param(lambda path: os.truncate(path, 100), id="a piece"),
        pytest.param(lambda path: beside(path, "-wal").write_bytes(b"?" * 9000), id="wal"),
        pytest.param(lambda path: beside(path, "-shm").write_bytes(b"?" * 40_000), id="shm"),
        pytest.param(lambda path: execute(path, "PRAGMA user_version = 99"), id="version"),
    ],
)
@pytest.mark.parametrize("running", [True, False])
def test_a_damaged_catalogue_is_made_again(
    index: Index, folder: Path, data: Path, damage: Callable[[Path], object], running: bool
) -> None:
    fill(index, data)
    before, lines = served(folder), records(data)

    damage(folder / "index.sqlite3")
    again = index if running else Index(data, folder)
    again.refresh()

    assert served(folder) == before
    assert records(data) == lines
    check(again, folder, data)


def test_a_catalogue_is_made_while_somebody_else_makes_it(
    folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index(data, folder)
    copy(data)
    folder.mkdir()
    with closing(sqlite3.connect(folder / "index.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waits = itertools.count()

        def sleep(seconds: float) -> None:
            assert seconds < 1
            if next(waits) == 2:
                other.execute("COMMIT")

        clock = SimpleNamespace(**{**vars(time), "sleep": sleep})
        monkeypatch.setattr("private_pypi.database.time", clock)
        index.refresh()

    assert next(waits) == 3
    check(index, folder, data)


def test_each_page_of_the_catalogue_may_be_damaged_while_nobody_has_it_open(
    folder: Path, data: Path
) -> None:
    index = Index(data, folder)
    index.refresh()
    fill(index, data)
    before = served(folder)
    path = folder / "index.sqlite3"
    close(index)
    pages_of_it = size(path) // 4096

    for number in range(pages_of_it):
        overwrite(path, number * 4096, b"?" * 4096)
        again = Index(data, folder)
        again.refresh()
        close(again)
        assert served(folder) == before
        assert list(differences(data, folder)) == []
    assert pages_of_it > 10


def close(index: Index) -> None:
    """Let go of an index as its process does when it ends."""
    assert index._access._kept_open
    index._access._kept_open[1].close()


def test_a_catalogue_damaged_while_it_is_used_is_made_again_by_the_next_look(
    index: Index, folder: Path, data: Path
) -> None:
    fill(index, data)
    before = served(folder)
    execute(folder / "index.sqlite3", "PRAGMA wal_checkpoint(TRUNCATE)")
    overwrite(folder / "index.sqlite3", 4096, b"?" * (size(folder / "index.sqlite3") - 4096))

    with pytest.raises(sqlite3.DatabaseError):
        index.counts()
    assert index.presence("requests") == "not ready"
    index.refresh()

    assert served(folder) == before
    assert index.presence("requests") == "unknown"


SPOILT = ["cut", "cut and alone", "alone", "a folder"]


def spoil(file: Path, what: str) -> None:
    """Do to the catalogue what SQLite does not take for damage.

    An index that follows may make it again between two steps.
    """
    while what == "a folder" and not file.is_dir():
        file.unlink(missing_ok=True)
        with suppress(FileExistsError):
            (file / "lost").mkdir(parents=True)
    if what.startswith("cut"):
        os.truncate(file, 0)
    if what.endswith("alone"):
        beside(file, "-wal").unlink(missing_ok=True)


@pytest.mark.parametrize("what", SPOILT)
def test_a_catalogue_spoilt_while_it_is_used_is_said_and_made_again(
    index: Index, folder: Path, data: Path, what: str
) -> None:
    fill(index, data)
    before, counted = served(folder), index.counts()
    assert index.problem == ""

    spoil(folder / "index.sqlite3", what)

    assert index.problem == "pypi_index/index.sqlite3 was damaged: it is being made again"
    with pytest.raises(sqlite3.DatabaseError):
        index.counts()
    assert index.presence("requests") == "not ready"
    index.refresh()
    assert (index.problem, index.counts()) == ("", counted)
    assert served(folder) == before
    assert index.presence("requests") == "unknown"
    publish(index, data, version="4.0")
    check(index, folder, data)


@pytest.mark.parametrize("what", SPOILT)
def test_a_catalogue_spoilt_while_it_is_used_is_noticed(
    following: Index, folder: Path, data: Path, what: str
) -> None:
    publish(following, data)

    spoil(folder / "index.sqlite3", what)

    assert soon(lambda: not following.problem and following.presence("my-lib") == "here")
    assert following.counts() == (1, 1)


def size(path: Path) -> int:
    return path.stat().st_size


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.name}{suffix}")


def execute(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_pages_that_nobody_made_are_not_there_after_the_index_was_made_again(
    index: Index, folder: Path, data: Path
) -> None:
    fill(index, data)
    before = served(folder)
    pages.write(folder / "simple" / "stray", pages.project_page("stray", []), folder / ".new")
    (folder / "packages" / "stray-1.0.tar.gz").write_bytes(b"stray")
    (folder / "packages" / "sub" / "stray-1.0.tar.gz").symlink_to("/dev/null")

    index.refresh(reread=True)

    assert served(folder) == before
    check(index, folder, data)


def test_the_index_made_from_nothing_is_the_same_as_the_one_that_grew(
    index: Index, folder: Path, data: Path, tmp_path: Path
) -> None:
    fill(index, data)

    other = Index(data, tmp_path / "other_index")
    other.refresh()

    assert served(other.folder) == served(folder)
    done: list[tuple[int, int]] = []
    index.refresh(reread=True, progress=lambda *numbers: done.append(numbers))
    assert done[-1] == (43, 43)
    assert served(folder) == served(other.folder)
