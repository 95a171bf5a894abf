"""Whatever happens in the data folder, a refresh lets the index show what is there."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import wheel
from kit.an_index import (
    WHEEL,
    actions,
    age,
    check,
    check_files,
    copy,
    copy_sdist,
    names,
    page,
    projects,
    publish,
    served,
)
from private_pypi import distribution
from private_pypi.index import Index
from private_pypi.verify import differences


def test_an_empty_index_is_a_whole_one(index: Index, folder: Path, data: Path) -> None:
    assert projects(folder) == []
    assert index.counts() == (0, 0)
    assert (folder / "simple" / "index.html").is_file()
    check(index, folder, data)


def test_what_was_copied_into_the_folder_and_its_subfolders_is_served(
    index: Index, folder: Path, data: Path
) -> None:
    copy(data)
    copy(data / "team a" / "2026", version="2.0")
    copy(data, "other")
    copy_sdist(data)

    index.refresh()

    assert names(folder) == [WHEEL, "my_lib-1.0.tar.gz", "my_lib-2.0-py3-none-any.whl"]
    assert page(folder)[2]["url"].endswith("/packages/team%20a/2026/my_lib-2.0-py3-none-any.whl")
    assert projects(folder) == ["my-lib", "other"]
    assert index.counts() == (4, 2)
    link = folder / "packages" / WHEEL
    assert str(link.readlink()) == f"../../pypi_data/{WHEEL}"
    deep = folder / "packages/team a/2026/my_lib-2.0-py3-none-any.whl"
    assert str(deep.readlink()).startswith("../../../../pypi_data/team a/")
    assert [file["core-metadata"]["sha256"] for file in page(folder)]
    assert b"Name: my-lib\n" in link.with_name(f"{WHEEL}.metadata").read_bytes()


def test_the_folder_may_be_moved_with_its_index(index: Index, folder: Path, data: Path) -> None:
    copy(data)
    index.refresh()
    moved = folder.parent.with_name(f"{folder.parent.name}-moved")
    folder.parent.rename(moved)

    index = Index(moved / "pypi_data", moved / "pypi_index")
    index.refresh()

    check(index, moved / "pypi_index", moved / "pypi_data")
    assert names(moved / "pypi_index") == [WHEEL]


def test_what_is_hidden_and_what_is_unfinished_is_not_looked_at(
    index: Index, folder: Path, data: Path
) -> None:
    copy(data / ".hidden")
    copy(data / ".uploads", version="2.0")
    copy(data, version="3.0").rename(data / ".my_lib-3.0-py3-none-any.whl")

    index.refresh()

    assert projects(folder) == []
    assert index.presence("my-lib") == "unknown"


def test_what_was_deleted_is_served_no_more_and_its_name_is_never_passed_on(
    index: Index, folder: Path, data: Path
) -> None:
    first, second = copy(data), copy(data, version="2.0")
    copy(data, "other")
    index.refresh()

    first.unlink()
    index.refresh()
    assert names(folder) == [second.name]
    assert not os.path.lexists(folder / "packages" / WHEEL)
    assert not (folder / "packages" / f"{WHEEL}.metadata").exists()
    check(index, folder, data)

    second.unlink()
    index.refresh()
    assert projects(folder) == ["other"]
    assert index.presence("my-lib") == "gone"
    restarted = Index(data, folder)
    restarted.refresh()
    assert restarted.presence("my-lib") == "gone"
    check(index, folder, data)


def test_a_subfolder_that_was_deleted_is_served_no_more(
    index: Index, folder: Path, data: Path
) -> None:
    copy(data / "sub")
    index.refresh()

    shutil.rmtree(data / "sub")
    index.refresh()

    assert projects(folder) == []
    check(index, folder, data)


def test_a_file_overwritten_in_place_is_read_again_and_served_as_it_is(
    index: Index, folder: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = copy(data)
    index.refresh()
    (before,) = page(folder)

    other = wheel.build(data / ".uploads", "my-lib", "1.0", "requests", origin="longer")
    path.write_bytes(other.read_bytes())
    age(path)
    index.refresh()

    (after,) = page(folder)
    assert after["hashes"] != before["hashes"]
    assert after["core-metadata"] != before["core-metadata"]
    assert f"{WHEEL} was replaced: it has other bytes than before" in caplog.text
    check(index, folder, data)


def test_a_file_that_was_moved_is_served_from_its_new_place_with_its_old_time(
    index: Index, folder: Path, data: Path
) -> None:
    name = publish(index, data)
    (before,) = page(folder)
    (data / "sub").mkdir()

    (data / name).rename(data / "sub" / name)
    index.refresh()

    (after,) = page(folder)
    assert after["url"] == f"../../packages/sub/{name}"
    assert after["upload-time"] == before["upload-time"]
    assert actions(data) == [("upload", name)]
    check(index, folder, data)
    (data / "sub" / name).rename(data / name)
    index.refresh()
    assert page(folder) == [before]
    check(index, folder, data)


def test_of_two_files_of_one_name_one_is_served_and_the_other_when_that_is_gone(
    index: Index, folder: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = copy(data / "a")
    second = copy(data / "b", origin="other bytes")

    for _ in range(3):
        index.refresh()

    assert [file["url"] for file in page(folder)] == [f"../../packages/a/{WHEEL}"]
    assert caplog.text.count(f"b/{WHEEL} has the same file name as a/{WHEEL}") == 1
    check(index, folder, data)

    first.unlink()
    index.refresh()
    index.refresh()
    (file,) = page(folder)
    assert file["url"] == f"../../packages/b/{WHEEL}"
    assert file["hashes"] == {"sha256": hashlib.sha256(second.read_bytes()).hexdigest()}
    check(index, folder, data)


def test_of_many_files_of_one_name_each_is_complained_about_once(
    index: Index, folder: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for place in ("a", "b", "c"):
        copy(data / place)
    for place in ("d", "e"):
        (data / place).mkdir()
        (data / place / "broken_lib-1.0-py3-none-any.whl").write_bytes(b"PK, but no ZIP file")
        age(data / place / "broken_lib-1.0-py3-none-any.whl")

    for _ in range(4):
        index.refresh()

    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(said) == 4
    check(index, folder, data)


def test_a_file_that_cannot_be_read_is_said_once_and_its_name_is_not_passed_on(
    index: Index, folder: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = data / "broken_lib-1.0-py3-none-any.whl"
    broken.write_bytes(b"PK, but no ZIP file")
    age(broken)
    path = copy(data, "misnamed").rename(data / "named_well-1.0-py3-none-any.whl")
    age(path)
    (data / "README.txt").write_text("These are our packages.")
    age(data / "README.txt")
    copy(data)

    for _ in range(3):
        index.refresh()

    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(said) == 3
    assert [text for text in said if broken.name in text]
    assert [text for text in said if "Name is 'misnamed'" in text]
    assert [text for text in said if "README.txt" in text]
    assert projects(folder) == ["my-lib"]
    assert index.presence("broken-lib") == "gone"
    assert index.presence("named-well") == "gone"
    assert index.presence("readme") == "gone"
    assert [line.split(":")[0] for line in differences(data, folder)] == ["not served"] * 3
    check_files(folder, data)


def test_a_file_that_was_mended_is_served(index: Index, folder: Path, data: Path) -> None:
    path = copy(data)
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    age(path)
    index.refresh()
    assert projects(folder) == []

    path.write_bytes(whole)
    age(path)
    index.refresh()

    assert names(folder) == [WHEEL]
    check(index, folder, data)


def test_a_served_file_that_is_damaged_later_is_served_no_more(
    index: Index, folder: Path, data: Path
) -> None:
    path = copy(data)
    index.refresh()

    path.write_bytes(path.read_bytes()[:-10])
    age(path)
    index.refresh()

    assert projects(folder) == []
    assert index.presence("my-lib") == "gone"
    check(index, folder, data)


def test_a_file_still_being_copied_is_neither_served_nor_complained_about_nor_passed_on(
    index: Index, folder: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = copy(data)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])

    index.refresh()

    assert index.presence("my-lib") == "not ready"
    assert caplog.records == []
    path.write_bytes(whole)
    index.refresh()
    assert names(folder) == [WHEEL]
    assert index.presence("my-lib") == "here"


def test_a_file_that_could_not_be_read_is_served_as_soon_as_it_can_be(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy(data)
    copy(data, "other")
    open_path = Path.open

    def deny(self: Path, *arguments: Any, **options: Any) -> Any:
        if self == path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_path(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", deny)
    index.refresh()
    assert projects(folder) == ["other"]
    assert index.presence("my-lib") in ("gone", "not ready")

    # As by chmod, which changes neither size nor time.
    monkeypatch.undo()
    index.refresh()

    assert projects(folder) == ["my-lib", "other"]


def test_a_folder_that_may_not_be_looked_into_does_not_keep_the_rest_from_being_served(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "lost+found").mkdir()
    copy(data)
    scandir = os.scandir

    def deny(path: Any) -> Any:
        if Path(path).name == "lost+found":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    index.refresh()

    assert names(folder) == [WHEEL]
    # Where fsck puts what has lost its name.
    assert index.presence("requests") == "unknown"


def test_metadata_beside_a_file_as_mirrors_have_it_does_not_take_the_place_of_ours(
    index: Index, folder: Path, data: Path
) -> None:
    copy(data)
    foreign = data / f"{WHEEL}.metadata"
    foreign.write_text("Name: another\n")
    age(foreign)

    index.refresh()
    index.refresh(reread=True)

    check(index, folder, data)
    assert b"Name: my-lib" in (folder / "packages" / foreign.name).read_bytes()
    assert foreign.read_text() == "Name: another\n"


def test_a_folder_that_may_not_be_looked_into_any_more_takes_its_files_along_and_nothing_else(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy(data / "sub", "hidden-lib")
    index.refresh()
    copy(data)

    def deny(real: Callable[..., Any], start: str) -> Callable[..., Any]:
        def denying(path: Any, *arguments: Any, **options: Any) -> Any:
            if str(path).startswith(start):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real(path, *arguments, **options)

        return denying

    monkeypatch.setattr(os, "scandir", deny(os.scandir, f"{data}/sub"))
    monkeypatch.setattr(os, "stat", deny(os.stat, f"{data}/sub/"))
    index.refresh()

    assert projects(folder) == ["my-lib"]
    assert index.presence("hidden-lib") == "gone"
    assert index.presence("requests") == "unreadable"
    # As by chmod, which changes no time of the folder.
    monkeypatch.undo()
    index.refresh()
    assert projects(folder) == ["hidden-lib", "my-lib"]
    assert index.presence("requests") == "unknown"


@pytest.mark.parametrize("name", [b"\xff.txt", b"\xff_lib-1.0-py3-none-any.whl", b"a\nb\x1b[2J"])
def test_a_file_with_an_unprintable_name_does_not_keep_the_rest_from_being_served(
    index: Index, folder: Path, data: Path, name: bytes
) -> None:
    path = Path(os.fsdecode(os.fsencode(data) + b"/" + name))
    path.write_bytes(b"")
    age(path)
    copy(data)

    index.refresh()
    index.refresh(reread=True)

    assert names(folder) == [WHEEL]
    check(index, folder, data)


def test_a_distribution_in_a_folder_with_an_unprintable_name_does_no_harm(
    index: Index, folder: Path, data: Path
) -> None:
    copy(Path(os.fsdecode(os.fsencode(data) + b"/\xff")), "other")
    copy(data)

    index.refresh()

    assert names(folder) == [WHEEL]


def test_a_file_with_values_that_python_cannot_count_is_refused_and_does_no_harm(
    index: Index, folder: Path, data: Path
) -> None:
    copy(data)
    path = data / "other-1.0-py3-none-any.whl"
    info = "other-1.0.dist-info/METADATA"
    text = f"Metadata-Version: 2.1\nName: other\nVersion: {'9' * 5000}\n"
    wheel.write(path, {info: text})
    age(path)

    index.refresh()

    assert projects(folder) == ["my-lib"]


def test_the_longest_name_there_may_be_is_served(index: Index, folder: Path, data: Path) -> None:
    name = "a" * (240 - len("-1.0-py3-none-any.whl"))
    path = copy(data, name)
    path.with_name(f"{path.name}.asc").write_text("signature")

    index.refresh()

    assert names(folder, name) == [path.name]
    check(index, folder, data)


def test_a_signature_beside_a_file_is_served_with_it(
    index: Index, folder: Path, data: Path
) -> None:
    path = copy(data)
    signature = data / f"{WHEEL}.asc"
    signature.write_text("signature")
    (data / "nothing-1.0.tar.gz.asc").write_text("of nothing")
    index.refresh()

    (file,) = page(folder)
    assert file["gpg-sig"] is True
    assert served(folder)[f"packages/{WHEEL}.asc"] == b"signature"
    check(index, folder, data)

    signature.unlink()
    index.refresh()
    assert page(folder)[0]["gpg-sig"] is False
    check(index, folder, data)
    assert path.exists()


def test_a_page_nothing_changed_on_keeps_its_file(index: Index, folder: Path, data: Path) -> None:
    copy(data)
    copy(data, "other")
    index.refresh()
    path = folder / "simple" / "my-lib" / "index.html"
    before, list_before = path.stat(), (folder / "simple/index.json").stat()

    copy(data, "other", "2.0")
    index.refresh()
    index.refresh(reread=True)
    Index(data, folder).refresh()

    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert (folder / "simple/index.json").stat().st_mtime_ns == list_before.st_mtime_ns


def test_one_file_more_does_not_cost_a_look_into_the_others(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1.0", "2.0", "3.0"):
        copy(data, version=version)
    index.refresh()
    read = distribution.read
    seen: list[str] = []

    def recorded(path: Path, file: str | None = None) -> distribution.Distribution:
        seen.append(path.name)
        return read(path, file)

    monkeypatch.setattr(distribution, "read", recorded)
    new = copy(data, version="4.0")
    index.refresh()
    Index(data, folder).refresh()

    assert seen == [new.name]


# Size ---------------------------------------------------------------------------------------------


def test_ten_times_as_many_files_take_about_ten_times_as_long_to_look_through(
    tmp_path: Path, data: Path
) -> None:
    copies = [copy(data, f"lib{number % 50}", f"1.{number}") for number in range(500)]
    few = tmp_path / "few"
    few.mkdir()
    for path in copies[:50]:
        shutil.copy(path, few)

    def refreshed(place: Path, name: str) -> list[float]:
        """Return the processor time of a refresh where all is known, and of one after a restart."""
        index = Index(place, tmp_path / name)
        index.refresh()
        assert index.counts() == (len(list(place.glob("*.whl"))), 50)
        for number in range(100):
            assert index.presence(f"unknown{number}") == "unknown"
        known = index, Index(place, tmp_path / name)
        return [min(processor_time(each.refresh) for _ in range(5)) for each in known]

    # Where each file is compared with each, it is 100 times.
    for small, large in zip(refreshed(few, "small"), refreshed(data, "large"), strict=True):
        assert large < 15 * small


def processor_time(task: Callable[[], object]) -> float:
    began = time.process_time()
    task()
    return time.process_time() - began
