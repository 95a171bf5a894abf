"""The names that are ours, as the gateway looks them up: which, and when it may trust them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from kit.an_index import age, check, copy, page, publish, soon
from kit.gateway import knows_all_names
from private_pypi import disk
from private_pypi.index import Index
from private_pypi.verify import differences


def ours(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "names").iterdir())


def test_every_name_that_is_or_was_ours_is_there(index: Index, folder: Path, data: Path) -> None:
    copy(data)
    (data / "old_lib-1.0-py3.8.egg").touch()
    for path in (data / "old_lib-1.0-py3.8.egg", data):
        age(path)
    index.refresh()
    publish(index, data, "other")
    index.remove("other", "1.0", by="alice")
    index.refresh()

    assert {"my-lib", "old-lib", "other"} <= {*ours(folder)}
    assert "requests" not in ours(folder)


def test_nothing_may_be_trusted_before_the_first_look(data: Path, folder: Path) -> None:
    copy(data)
    index = Index(data, folder)
    age(data)

    assert not knows_all_names(folder, data)
    index.refresh()
    assert knows_all_names(folder, data)


def test_after_an_upload_the_names_are_trusted_again_once_they_are_on_the_disk(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.refresh()
    synced: list[list[str]] = []
    real = disk.sync

    def sync(path: Path) -> None:
        if path == folder / "names":
            synced.append(ours(folder))
        real(path)

    monkeypatch.setattr(disk, "sync", sync)

    for version in ("1.0", "2.0"):
        publish(index, data, version=version)
        assert not knows_all_names(folder, data)
        index.refresh()
        assert knows_all_names(folder, data)

    assert synced == [["my-lib"]]  # The second added none.


def test_from_the_moment_a_file_is_copied_nothing_may_be_trusted_until_it_is_known(
    index: Index, folder: Path, data: Path
) -> None:
    age(data)
    index.refresh()
    assert knows_all_names(folder, data)

    copy(data, "by-hand")

    assert not knows_all_names(folder, data)
    age(data)
    index.refresh()
    assert knows_all_names(folder, data)
    assert "by-hand" in ours(folder)


def test_a_time_that_is_put_back_never_passes_for_unchanged(
    index: Index, folder: Path, data: Path
) -> None:
    """As by `rsync --archive` or `tar`, which give a folder its source's time, run twice."""
    age(data)
    index.refresh()

    copy(data, "by-hand")
    age(data)

    assert not knows_all_names(folder, data)


def test_an_upload_within_the_same_tick_of_the_clock_trusts_nothing(
    index: Index, folder: Path, data: Path
) -> None:
    index.refresh()
    copy(data, "by-hand")
    now = data.stat().st_mtime_ns

    publish(index, data)
    for path in (data, folder / "names"):
        os.utime(path, ns=(now, now))

    assert not knows_all_names(folder, data)
    index.refresh()
    assert knows_all_names(folder, data)


def test_a_running_index_is_trusted_again_a_while_after_an_upload(
    following: Index, data: Path
) -> None:
    assert soon(lambda: knows_all_names(following.folder, data))

    publish(following, data)

    assert not knows_all_names(following.folder, data)
    assert soon(lambda: knows_all_names(following.folder, data))


@pytest.mark.parametrize("lost", ["names", "names/my-lib"])
def test_a_name_that_was_deleted_by_hand_comes_back_before_anything_is_trusted_again(
    index: Index, folder: Path, data: Path, lost: str
) -> None:
    copy(data)
    age(data)
    index.refresh()
    path = folder / lost
    if path.is_dir():
        for name in path.iterdir():
            name.unlink()
        path.rmdir()
    else:
        path.unlink()

    assert not knows_all_names(folder, data)
    publish(index, data, "other")
    assert not knows_all_names(folder, data)
    index.refresh()

    assert knows_all_names(folder, data)
    assert ours(folder) == ["my-lib", "other"]


def test_a_running_index_mends_the_names_by_itself(following: Index, data: Path) -> None:
    names = following.folder / "names"
    age(data)
    assert soon(lambda: knows_all_names(following.folder, data))

    (names / "by-hand").touch()

    assert not knows_all_names(following.folder, data)
    assert soon(lambda: knows_all_names(following.folder, data))
    assert ours(following.folder) == []


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_what_the_gateway_takes_for_no_file_becomes_one(
    index: Index, folder: Path, data: Path, kind: str
) -> None:
    copy(data)
    index.refresh()
    name = folder / "names/my-lib"
    name.unlink()
    if kind == "folder":
        name.mkdir()
    else:
        name.symlink_to("nowhere")

    assert not knows_all_names(folder, data)
    index.refresh()

    assert name.is_file()
    assert knows_all_names(folder, data)


def test_a_time_that_cannot_be_set_stops_nothing(
    following: Index, data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a share whose files belong to another user."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "utime", refuse)

    publish(following, data)
    assert soon(lambda: "my-lib" in ours(following.folder))

    following.refresh()
    assert not knows_all_names(following.folder, data)
    assert page(following.folder)
    assert "ERROR" not in caplog.text


def test_lost_and_found_of_a_disk_does_not_keep_names_from_being_trusted(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "lost+found").mkdir()
    real = os.scandir

    def scandir(path: Path) -> Any:
        if Path(path).name == "lost+found":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    index.refresh()

    assert knows_all_names(folder, data)


def test_while_files_lie_in_subfolders_the_names_are_not_trusted(
    index: Index, folder: Path, data: Path
) -> None:
    """The time of pypi_data would not tell that one was added there."""
    index.refresh()
    stamp = data.stat().st_mtime_ns
    copy(data / "sub")
    index.refresh()
    os.utime(data, ns=(stamp, stamp))
    index.refresh()

    assert ours(folder) == ["my-lib"]
    assert not knows_all_names(folder, data)
    assert index.presence("requests") == "unknown"


def test_as_long_as_part_of_the_folder_cannot_be_looked_into_nothing_is_trusted(
    index: Index, folder: Path, data: Path
) -> None:
    (data / "link").symlink_to("nowhere")
    index.refresh()

    assert not knows_all_names(folder, data)


def test_verify_finds_names_that_are_missing_or_too_many(
    index: Index, folder: Path, data: Path
) -> None:
    copy(data)
    age(data)
    index.refresh()
    check(index, folder, data)
    (folder / "names" / "my-lib").unlink()
    (folder / "names" / "stranger").touch()
    assert list(differences(data, folder)) == []  # The gateway does not trust them now.
    stamp = data.stat().st_mtime_ns
    os.utime(folder / "names", ns=(stamp, stamp))

    assert sorted(differences(data, folder)) == [
        "pypi_index/names/my-lib is missing",
        "pypi_index/names/stranger is no part of the index",
    ]
    index.refresh(reread=True)
    check(index, folder, data)


def test_a_killed_upload_never_leaves_a_trusted_folder_without_its_name(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(data)
    index.refresh()

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("private_pypi.change.Change.put", die)
    with pytest.raises(KeyboardInterrupt):
        publish(index, data)

    assert (data / "my_lib-1.0-py3-none-any.whl").exists()
    assert "my-lib" not in ours(folder)
    assert not knows_all_names(folder, data)
