"""The status of a project: no name of ours is redirected, and unknown ones cost nothing."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit.an_index import WHEEL, age, copy, names, publish
from private_pypi import distribution, journal, scan
from private_pypi.catalogue_access import CatalogueAccess
from private_pypi.index import Index
from private_pypi.verify import differences


def test_an_unknown_name_is_answered_without_a_look_at_any_file(
    index: Index, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy(data)
    copy(data / "sub", version="2.0")
    for place in (data / "sub", data):
        os.utime(place, (1_000_000_000, 1_000_000_000))
    index.refresh()

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(os, "scandir", fail)
    monkeypatch.setattr(scan, "scan", fail)
    monkeypatch.setattr(journal, "locked", fail)

    assert index.presence("requests") == "unknown"
    assert index.presence("my-lib") == "here"


def test_an_unknown_name_costs_no_look_at_the_files_while_others_are_published(
    index: Index, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(data)
    index.refresh()
    looks = itertools.count()
    real = scan.scan
    monkeypatch.setattr(scan, "scan", lambda *args: (next(looks), real(*args))[1])

    for number in range(5):
        publish(index, data, version=f"1.{number}")
        index.refresh()
        assert index.presence("requests") == "unknown"

    assert next(looks) == 5  # One for each refresh.


@pytest.mark.parametrize("place", [".", "sub", "new"])
def test_a_name_that_was_copied_a_moment_ago_is_not_passed_on(
    index: Index, data: Path, place: str
) -> None:
    (data / "sub").mkdir()
    for path in (data, data / "sub"):
        age(path)
    index.refresh()
    assert index.presence("my-lib") == "unknown"

    copy(data / place)

    assert index.presence("my-lib") == "here"


def test_a_name_that_was_copied_while_no_server_ran_is_not_passed_on(
    index: Index, folder: Path, data: Path
) -> None:
    copy(data)

    # The new process has its old index, but has not scanned yet.
    assert Index(data, folder).presence("my-lib") != "unknown"


def test_nothing_is_known_of_a_name_before_the_first_look(data: Path, folder: Path) -> None:
    copy(data)
    index = Index(data, folder)

    assert index.presence("my-lib") == "not ready"
    assert index.presence("requests") == "not ready"
    index.refresh()
    assert index.presence("my-lib") == "here"
    assert index.presence("requests") == "unknown"


def test_names_of_files_that_are_left_for_later_are_not_ready_and_others_are_passed_on(
    index: Index, data: Path
) -> None:
    (data / "half_lib-1.0-py3-none-any.whl").write_bytes(b"half")
    index.refresh()

    assert index.presence("half-lib") == "not ready"
    assert index.presence("requests") == "unknown"


def in_a_folder(data: Path) -> None:
    (data / "old").mkdir()
    (data / "old" / "mylib-1.0-py3.8.egg").touch()


def behind_a_link(data: Path) -> None:
    elsewhere = data.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mylib-1.0-SNAPSHOT.tar.gz").touch()
    (data / "link").symlink_to(elsewhere)


def unpacked(data: Path) -> None:
    (data / "mylib-1.0.egg" / "EGG-INFO").mkdir(parents=True)


def no_utf_8(data: Path) -> None:
    Path(os.fsdecode(os.fsencode(data) + b"/mylib-1.0-\xff.whl")).touch()


def named(name: str) -> Callable[[Path], None]:
    return lambda data: (data / name).touch()


@pytest.mark.parametrize("before", [True, False], ids=["before the start", "while it runs"])
@pytest.mark.parametrize(
    "put",
    [
        *(
            pytest.param(named(name), id=name)
            for name in (
                "mylib-1.0-py3.8.egg",
                "MyLib-1.0-SNAPSHOT.tar.gz",
                "mylib-latest.tgz",
                "mylib-1.0.tar.bz2",
                "mylib.zip",
                "mylib-1.0.tar.gz.asc",
                "mylib-1.0.whl.metadata",
                "mylib 1.0.whl",
            )
        ),
        in_a_folder,
        behind_a_link,
        unpacked,
        no_utf_8,
        lambda data: os.mkfifo(data / "mylib-1.0.whl"),
    ],
)
def test_a_name_that_lies_there_in_any_form_is_ours_and_others_are_passed_on(
    index: Index, folder: Path, data: Path, put: Callable[[Path], None], *, before: bool
) -> None:
    copy(data)
    put(data)
    if before:
        for path in (*data.rglob("*"), *data.parent.glob("elsewhere/*")):
            age(path)
        index = Index(data, folder)
        index.refresh()

    # Beside a file that is still being copied, it cannot be told yet.
    assert index.presence("mylib") in ("gone", "not ready")
    assert index.presence("requests") == "unknown"
    assert index.presence("my-lib") == "here"
    if before:
        assert index.presence("mylib") == "gone"
        (sentence,) = differences(data, index.folder)
        assert sentence.startswith("not served: ")


def test_the_name_of_a_file_that_is_read_again_is_not_passed_on_meanwhile(
    index: Index, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy(data)
    path.write_bytes(path.read_bytes()[:100])
    index.refresh()
    statuses = []

    def reading(path: Path, file: str | None = None) -> distribution.Distribution:
        statuses.append(index.presence("my-lib"))
        return read(path, file)

    read = distribution.read
    monkeypatch.setattr(distribution, "read", reading)
    for _ in range(3):
        index.refresh()

    assert statuses == ["not ready"] * 3


def test_as_long_as_part_of_the_folder_cannot_be_looked_into_no_name_is_passed_on(
    index: Index, folder: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy(data)
    link = data / "more"
    link.symlink_to("nowhere")

    assert index.presence("requests") == "unreadable"
    for _ in range(3):
        index.refresh()

    assert index.presence("my-lib") == "here"
    (sentence,) = index.unreadable
    assert sentence.startswith("pypi_data/more cannot be looked into")
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert said == [f"names that this index does not have are answered 503: {sentence}"]
    assert list(differences(data, index.folder)) == [sentence]
    # As if a disk was mounted: nothing in pypi_data itself changes.
    (data / "nowhere").mkdir()
    age(data)
    index.refresh()
    assert index.presence("requests") == "unknown"
    assert index.unreadable == []


def test_what_a_folder_holds_is_not_passed_on_while_it_is_first_looked_into(
    index: Index, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy(data)
    (data / "old").symlink_to("../old")
    old = data.parent / "old"
    for place in (data, data.parent):
        age(place)
    index.refresh()
    assert index.presence("mylib") == "unreadable"
    # Nothing in pypi_data itself changes.
    old.mkdir()
    for name in ("mylib-1.0-py3.8.egg", "lonely-1.0.tar.gz.asc"):
        (old / name).touch()
        age(old / name)
    statuses: set[str] = set()
    real = CatalogueAccess.change

    def changing(self: CatalogueAccess, *arguments: Any, **options: Any) -> Any:
        statuses.update(index._presence(name) for name in ("mylib", "lonely"))
        return real(self, *arguments, **options)

    monkeypatch.setattr(CatalogueAccess, "change", changing)
    index.refresh()
    monkeypatch.undo()

    assert statuses <= {"unreadable", "not ready", "gone"}
    assert index.presence("mylib") == index.presence("lonely") == "gone"
    assert index.presence("requests") == "unknown"


def test_what_gave_way_to_a_file_is_served_by_the_look_that_finds_that_gone(
    index: Index, folder: Path, data: Path
) -> None:
    first = copy(data)
    second = copy(data / "sub", origin="b").rename(data / "sub" / "My_Lib-1.0-py3-none-any.whl")
    index.refresh()
    assert names(folder) == [WHEEL]

    first.unlink()
    age(data)
    Index(data, folder).refresh()

    assert names(folder) == [second.name]


def test_a_data_folder_that_cannot_be_looked_into_any_more_passes_no_name_on(
    index: Index, data: Path
) -> None:
    index.refresh()
    data.rename(data.with_name("away"))

    assert index.presence("requests") == "not ready"
