"""How much is kept of PyPI: what goes when it is too much, and what does not."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from private_pypi.public import kept as kept_module
from private_pypi.public.kept import Kept

GIGABYTE = 2**30
LONG_AGO = 10**9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "public_data"


def opened(folder: Path, max_bytes: int, reserve: int = 0) -> Kept:
    kept = Kept(folder, max_bytes, reserve=reserve)
    kept.open()
    return kept


def keep(kept: Kept, project: str, name: str, size: int) -> bool:
    """Keep a file as a download does."""
    assert kept.make_room(size)
    descriptor, unfinished = kept.begin()
    os.write(descriptor, bytes(size))
    try:
        return kept.keep(descriptor, unfinished, project, name)
    finally:
        os.close(descriptor)
        kept.give_back(size)


def age(path: Path, days: int) -> None:
    """Have a file read last so many days before others."""
    time = LONG_AGO - days * 86400
    os.utime(path, (time, time))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_the_files_that_were_read_longest_ago_go_until_a_tenth_is_free(folder: Path) -> None:
    kept = opened(folder, 1000)
    for number in range(10):
        assert keep(kept, f"p{number}", f"f{number}", 100)
        age(folder / "public" / f"p{number}" / f"f{number}", days=(number * 7) % 10)
    by_age = sorted(range(10), key=lambda number: -((number * 7) % 10))

    assert keep(kept, "new", "new", 100)

    gone = {f"f{number}" for number in by_age[:2]}
    assert names(folder) == {"new", *(f"f{number}" for number in range(10))} - gone
    # Of a project without files nothing remains.
    assert {path.name for path in (folder / "public").iterdir()} == {
        "new",
        *(f"p{number}" for number in by_age[2:]),
    }


def test_a_file_that_is_read_stays(folder: Path) -> None:
    kept = opened(folder, 1000)
    for number in range(10):
        keep(kept, "p", f"f{number}", 100)
        age(folder / "public" / "p" / f"f{number}", days=100 - number)
    # As the gateway reads it; the disk notes the time, at least of the first read in a day.
    (folder / "public" / "p" / "f0").read_bytes()

    keep(kept, "p", "new", 100)

    assert names(folder) == {"new", "f0", *(f"f{number}" for number in range(3, 10))}


def test_pages_count_and_go_as_files_do(folder: Path) -> None:
    kept = opened(folder, 1000)
    pages = folder / "pages"
    pages.mkdir()
    for number in range(6):
        (pages / f"{number}.json").write_bytes(bytes(100))
        age(pages / f"{number}.json", days=number)
    keep(kept, "p", "old", 400)
    age(folder / "public" / "p" / "old", days=2)
    kept.sweep()
    assert len(names(folder)) == 7

    keep(kept, "p", "new", 100)

    assert names(folder) == {*(f"{number}.json" for number in range(4)), "old", "new"}
    assert pages.is_dir()


def test_a_page_stays_as_long_as_a_file_of_its_project_does(folder: Path) -> None:
    kept = opened(folder, 1000)
    (folder / "pages").mkdir()
    for project in ("with", "without"):
        (folder / "pages" / f"{project}.json").write_bytes(bytes(110))
        age(folder / "pages" / f"{project}.json", days=100)
    keep(kept, "with", "old", 300)
    age(folder / "public" / "with" / "old", days=10)
    keep(kept, "other", "young", 300)
    kept.sweep()

    assert kept.make_room(190)
    assert names(folder) == {"with.json", "old", "young"}
    kept.give_back(190)

    assert kept.make_room(400)
    assert names(folder) == {"with.json", "young"}
    kept.give_back(400)

    assert kept.make_room(900)
    assert names(folder) == set()


def test_a_page_that_is_counted_makes_room_for_itself(folder: Path) -> None:
    kept = opened(folder, 1000)
    keep(kept, "p", "f", 300)

    assert kept.count_page(700)
    assert names(folder) == {"f"}

    assert kept.count_page(700)
    assert names(folder) == {"f"}, "what was said to be written is not there"

    (folder / "pages").mkdir()
    (folder / "pages" / "q.json").write_bytes(bytes(701))
    assert not kept.count_page(1001)
    assert kept.count_page(100)
    assert names(folder) == {"q.json"}


def test_pages_alone_cannot_exceed_the_limit_for_long(folder: Path) -> None:
    kept = opened(folder, 1000)
    (folder / "pages").mkdir()
    for number in range(11):
        (folder / "pages" / f"{number}.json").write_bytes(bytes(100))
        age(folder / "pages" / f"{number}.json", days=number)

    kept.sweep()

    assert names(folder) == {f"{number}.json" for number in range(9)}
    shutil.rmtree(folder / "pages")
    kept.sweep()


def test_what_lies_there_at_the_start_counts(folder: Path) -> None:
    for number in range(10):
        place = folder / "public" / "p" / f"f{number}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(bytes(100))
        age(place, days=number)

    kept = opened(folder, 500)

    assert names(folder) == {f"f{number}" for number in range(4)}
    # A larger limit, or more of it deleted by hand, leaves room.
    (folder / "public" / "p" / "f0").unlink()
    assert keep(kept, "p", "new", 200)
    assert names(folder) == {"f1", "f2", "f3", "new"}


def test_many_files_go_though_few_are_held_in_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_module, "_BATCH", 3)
    kept = opened(folder, GIGABYTE)
    for number in range(40):
        keep(kept, f"p{number % 5}", f"f{number}", 10)
        age(folder / "public" / f"p{number % 5}" / f"f{number}", days=number)

    opened(folder, 200)

    assert names(folder) == {f"f{number}" for number in range(18)}


def test_a_file_larger_than_everything_deletes_nothing(folder: Path) -> None:
    kept = opened(folder, 1000)
    keep(kept, "p", "small", 100)

    assert not kept.make_room(1001)

    assert names(folder) == {"small"}
    assert kept.make_room(1000)
    assert names(folder) == set()


def test_files_that_still_arrive_count(folder: Path) -> None:
    kept = opened(folder, 1000)
    keep(kept, "p", "kept", 300)
    assert kept.make_room(400)
    assert kept.make_room(300)
    assert names(folder) == {"kept"}

    assert kept.make_room(100)
    assert names(folder) == set()
    assert not kept.make_room(300)

    kept.give_back(400)
    assert kept.make_room(300)


def test_each_time_that_nothing_is_kept_is_logged_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = opened(folder, 1000)
    for _ in range(2):
        assert not kept.make_room(1001)
        assert not kept.make_room(1002)
        keep(kept, "p", "f", 100)

    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert all("there is no room for 1001 bytes, of 1000 in all" in text for text in said)


def test_what_cannot_be_deleted_makes_no_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = opened(folder, 1000)
    keep(kept, "p", "stays", 900)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        assert not kept.make_room(200)

    assert kept.make_room(200)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_that_is_nearly_full_keeps_what_it_has_and_replaces_the_oldest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = opened(folder, GIGABYTE, reserve=5000)
    for number in range(10):
        keep(kept, "p", f"f{number}", 100)
        age(folder / "public" / "p" / f"f{number}", days=number)

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(9000, 4000, 4999))
    kept.sweep()
    assert len(names(folder)) == 10

    assert keep(kept, "p", "new", 100)
    assert names(folder) == {"new", *(f"f{number}" for number in range(8))}

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(9000, 3000, 6000))
    assert keep(kept, "p", "more", 1000)
    assert len(names(folder)) == 10


def test_empty_folders_go_while_files_come(folder: Path) -> None:
    kept = opened(folder, GIGABYTE)
    refused: list[BaseException] = []

    def keep_many(mine: str) -> None:
        try:
            for number in range(100):
                keep(kept, "p", f"{mine}{number}", 1)
        except BaseException as error:
            refused.append(error)

    def discard_all() -> None:
        while any(thread.is_alive() for thread in keeping):
            kept.discard(lambda project: lambda name: name.endswith(("1", "3", "5", "7", "9")))

    keeping = [threading.Thread(target=keep_many, args=(mine,)) for mine in "ab"]
    deleting = threading.Thread(target=discard_all)
    for thread in (*keeping, deleting):
        thread.start()
    for thread in (*keeping, deleting):
        thread.join()

    assert refused == []
    assert names(folder) == {f"{mine}{number}" for mine in "ab" for number in range(0, 100, 2)}


def test_a_policy_is_asked_once_for_each_project(folder: Path) -> None:
    kept = opened(folder, GIGABYTE)
    for name in ("a", "a.metadata", "b", "c"):
        keep(kept, "p", name, 1)
    keep(kept, "q", "a", 1)
    asked: list[str] = []

    def hidden(project: str) -> Callable[[str], bool]:
        asked.append(project)
        return {"a", "c"}.__contains__

    assert kept.discard(hidden) == 4
    assert sorted(asked) == ["p", "q"]
    assert names(folder) == {"b"}


def test_what_is_forgotten_lies_in_the_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"precious")
    kept = opened(folder, GIGABYTE)
    (folder / "public" / "link").symlink_to(tmp_path)
    (folder / "public" / "p" / "folder").mkdir(parents=True)

    kept.forget("link", "f")
    kept.forget("p", "folder")
    kept.forget("other", "f")

    assert (tmp_path / "f").exists()


def test_a_folder_that_vanishes_at_the_last_moment_is_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = opened(folder, GIGABYTE)
    real, times = Path.replace, 0

    def late(path: Path, target: Path) -> Path:
        nonlocal times
        times += 1
        if times < 4:
            target.parent.rmdir()
        return real(path, target)

    monkeypatch.setattr(Path, "replace", late)

    assert keep(kept, "p", "f", 10)
    assert names(folder) == {"f"}


def test_files_of_strangers_are_no_obstacle(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(bytes(5000))
    kept = opened(folder, 1000)
    (folder / "link").symlink_to(outside)
    (folder / "public" / "link").symlink_to(outside)
    (folder / "public" / "stray").write_bytes(bytes(10))
    (folder / "public" / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "public" / "pipe")

    kept.discard(lambda project: lambda name: name != "f")
    keep(kept, "p", "f", 500)
    kept.sweep()

    assert (outside / "precious").exists()
    assert "f" in names(folder)


def test_nothing_unfinished_is_deleted_or_counted(folder: Path) -> None:
    kept = opened(folder, 1000)
    descriptor, unfinished = kept.begin()
    os.write(descriptor, bytes(5000))
    os.close(descriptor)
    age(unfinished, days=1000)
    keep(kept, "p", "f", 900)

    kept.sweep()

    assert names(folder) == {"f", unfinished.name}
