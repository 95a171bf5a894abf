"""The index: whatever happens to the data folder or to the index, it shows what is there."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import itertools
import json
import logging
import multiprocessing
import os
import shutil
import sqlite3
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kit import wheel
from private_pypi import disk, distribution, journal, pages, scan
from private_pypi.access import Access
from private_pypi.catalogue import Catalogue
from private_pypi.change import NoSuchReleaseError
from private_pypi.index import Index, NameTakenError, NotReadyError, NotYoursError
from private_pypi.refresh import Refresher
from private_pypi.verify import differences

SPAWN = multiprocessing.get_context("spawn")
WHEEL = "my_lib-1.0-py3-none-any.whl"

# Of folders and files that nobody has touched for a while.
LONG_AGO = 1_700_000_000 * 10**9


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "pypi_data"
    (folder / ".uploads").mkdir(parents=True)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pypi_index"


@pytest.fixture
def index(data: Path, folder: Path) -> Index:
    """An index of nothing, which is current."""
    made = Index(data, folder)
    made.refresh()
    return made


def copy(data: Path, name: str = "my-lib", version: str = "1.0", origin: str = "a") -> Path:
    """Put a wheel into a folder by hand, as if it had been there for long."""
    data.mkdir(exist_ok=True, parents=True)
    path = wheel.build(data, name, version, origin=origin)
    age(path)
    return path


def age(path: Path) -> None:
    """Let a file look as if nobody was writing it."""
    os.utime(path, ns=(LONG_AGO, LONG_AGO))


def copy_sdist(data: Path, name: str = "my-lib", version: str = "1.0") -> Path:
    """Put an sdist with static metadata into a folder by hand."""
    start = f"{name.replace('-', '_')}-{version}"
    text = f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n".encode()
    path = data / f"{start}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo(f"{start}/PKG-INFO")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    age(path)
    return path


def publish(
    index: Index, data: Path, name: str = "my-lib", version: str = "1.0", origin: str = "a"
) -> str:
    """Upload a wheel, as the application does; return its file name."""
    unfinished = data / ".uploads" / f"{os.getpid()}-{threading.get_ident()}"
    unfinished.mkdir()
    try:
        path = wheel.build(unfinished, name, version, origin=origin)
        index.add(path, distribution.read(path), by="alice")
        return path.name
    finally:
        shutil.rmtree(unfinished)


def page(folder: Path, project: str = "my-lib") -> list[dict[str, Any]]:
    """Return the files a project page lists; none if there is no page."""
    path = folder / "simple" / project / "index.json"
    if not path.exists():
        assert not path.parent.exists() or not list(path.parent.iterdir())
        return []
    read = json.loads(path.read_bytes())
    html = path.with_name("index.html").read_text(encoding="utf-8")
    files = read["files"]
    assert read["name"] == project
    assert [html.count(f">{file['filename']}</a>") for file in files] == [1] * len(files)
    return list(files)


def names(folder: Path, project: str = "my-lib") -> list[str]:
    return [file["filename"] for file in page(folder, project)]


def projects(folder: Path) -> list[str]:
    read = json.loads((folder / "simple" / "index.json").read_bytes())
    return [project["name"] for project in read["projects"]]


def records(data: Path) -> list[dict[str, Any]]:
    """Return what the lines of the journal say, without the hash of the line before."""
    lines = (data / journal.FILE).read_text().splitlines()
    read = [json.loads(line) for line in lines if line]
    return [{key: line[key] for key in line if key != "after"} for line in read]


def actions(data: Path) -> list[tuple[str, str]]:
    return [(record["action"], record["file"]) for record in records(data)]


def served(folder: Path) -> dict[str, bytes]:
    """Return all that a web server would serve, by path; links that lead nowhere are no files."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for part in ("simple", "packages")
        for path in (folder / part).rglob("*")
        if path.is_file()
    }


def check_files(folder: Path, data: Path) -> None:
    """Check that each page lists what is behind its links and nothing else is served."""
    expected = set()
    for project in projects(folder):
        for file in page(folder, project):
            place = folder / "simple" / project / file["url"]
            location = os.path.normpath(place.relative_to(folder))
            content = (folder / location).read_bytes()
            assert (folder / location).is_symlink()
            assert not (folder / location).readlink().is_absolute()
            assert (folder / location).resolve().is_relative_to(data.resolve())
            assert file["hashes"] == {"sha256": hashlib.sha256(content).hexdigest()}
            assert file["size"] == len(content)
            expected.add(location)
            metadata = folder / f"{location}.metadata"
            if "core-metadata" in file:
                digest = hashlib.sha256(metadata.read_bytes()).hexdigest()
                assert file["core-metadata"] == {"sha256": digest}
                expected.add(f"{location}.metadata")
            if file.get("gpg-sig"):
                assert (folder / f"{location}.asc").resolve().is_relative_to(data.resolve())
                expected.add(f"{location}.asc")
    assert {path for path in served(folder) if path.startswith("packages")} == expected
    assert sorted(path.name for path in (folder / "simple").iterdir() if path.is_dir()) == sorted(
        projects(folder)
    )


def check(index: Index, folder: Path, data: Path) -> None:
    """Check an index from outside and by its own means."""
    check_files(folder, data)
    found = differences(data, folder)
    assert [line for line in found if not line.startswith("not served: ")] == []


# Looking at the data ------------------------------------------------------------------------------


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
    assert index.status("my-lib") == "unknown"


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
    assert index.status("my-lib") == "gone"
    restarted = Index(data, folder)
    restarted.refresh()
    assert restarted.status("my-lib") == "gone"
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
    assert index.status("broken-lib") == "gone"
    assert index.status("named-well") == "gone"
    assert index.status("readme") == "gone"
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
    assert index.status("my-lib") == "gone"
    check(index, folder, data)


def test_a_file_still_being_copied_is_neither_served_nor_complained_about_nor_passed_on(
    index: Index, folder: Path, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = copy(data)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])

    index.refresh()

    assert index.status("my-lib") == "not ready"
    assert caplog.records == []
    path.write_bytes(whole)
    index.refresh()
    assert names(folder) == [WHEEL]
    assert index.status("my-lib") == "here"


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
    assert index.status("my-lib") in ("gone", "not ready")

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
    assert index.status("requests") == "unknown"


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
    assert index.status("hidden-lib") == "gone"
    assert index.status("requests") == "unreadable"
    # As by chmod, which changes no time of the folder.
    monkeypatch.undo()
    index.refresh()
    assert projects(folder) == ["hidden-lib", "my-lib"]
    assert index.status("requests") == "unknown"


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
    assert "gpg-sig" not in page(folder)[0]
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


# Names --------------------------------------------------------------------------------------------


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

    assert index.status("requests") == "unknown"
    assert index.status("my-lib") == "here"


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
        assert index.status("requests") == "unknown"

    assert next(looks) == 5  # One for each refresh.


@pytest.mark.parametrize("place", [".", "sub", "new"])
def test_a_name_that_was_copied_a_moment_ago_is_not_passed_on(
    index: Index, data: Path, place: str
) -> None:
    (data / "sub").mkdir()
    for path in (data, data / "sub"):
        age(path)
    index.refresh()
    assert index.status("my-lib") == "unknown"

    copy(data / place)

    assert index.status("my-lib") == "here"


def test_a_name_that_was_copied_while_no_server_ran_is_not_passed_on(
    index: Index, folder: Path, data: Path
) -> None:
    copy(data)

    # The new process has its old index, but has not looked yet.
    assert Index(data, folder).status("my-lib") != "unknown"


def test_nothing_is_known_of_a_name_before_the_first_look(data: Path, folder: Path) -> None:
    copy(data)
    index = Index(data, folder)

    assert index.status("my-lib") == "not ready"
    assert index.status("requests") == "not ready"
    index.refresh()
    assert index.status("my-lib") == "here"
    assert index.status("requests") == "unknown"


def test_names_of_files_that_are_left_for_later_are_not_ready_and_others_are_passed_on(
    index: Index, data: Path
) -> None:
    (data / "half_lib-1.0-py3-none-any.whl").write_bytes(b"half")
    index.refresh()

    assert index.status("half-lib") == "not ready"
    assert index.status("requests") == "unknown"


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
    assert index.status("mylib") in ("gone", "not ready")
    assert index.status("requests") == "unknown"
    assert index.status("my-lib") == "here"
    if before:
        assert index.status("mylib") == "gone"
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
        statuses.append(index.status("my-lib"))
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

    assert index.status("requests") == "unreadable"
    for _ in range(3):
        index.refresh()

    assert index.status("my-lib") == "here"
    (sentence,) = index.unreadable
    assert sentence.startswith("pypi_data/more cannot be looked into")
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert said == [f"names that this index does not have are answered 503: {sentence}"]
    assert list(differences(data, index.folder)) == [sentence]
    # As if a disk was mounted: nothing in pypi_data itself changes.
    (data / "nowhere").mkdir()
    age(data)
    index.refresh()
    assert index.status("requests") == "unknown"
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
    assert index.status("mylib") == "unreadable"
    # Nothing in pypi_data itself changes.
    old.mkdir()
    for name in ("mylib-1.0-py3.8.egg", "lonely-1.0.tar.gz.asc"):
        (old / name).touch()
        age(old / name)
    statuses: set[str] = set()
    real = Access.change

    def changing(self: Access, *arguments: Any, **options: Any) -> Any:
        statuses.update(index._status(name) for name in ("mylib", "lonely"))
        return real(self, *arguments, **options)

    monkeypatch.setattr(Access, "change", changing)
    index.refresh()
    monkeypatch.undo()

    assert statuses <= {"unreadable", "not ready", "gone"}
    assert index.status("mylib") == index.status("lonely") == "gone"
    assert index.status("requests") == "unknown"


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

    assert index.status("requests") == "not ready"


# Uploads ------------------------------------------------------------------------------------------


def test_an_upload_is_served_at_once_and_in_the_journal(
    index: Index, folder: Path, data: Path
) -> None:
    name = publish(index, data)

    content = (data / name).read_bytes()
    assert names(folder) == [name]
    (record,) = records(data)
    assert record == {
        "time": record["time"],
        "action": "upload",
        "file": name,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "by": "alice",
    }
    assert page(folder)[0]["upload-time"][:16] == record["time"][:16]
    assert projects(folder) == ["my-lib"]
    check(index, folder, data)


def test_nothing_is_taken_before_the_first_look(data: Path, folder: Path) -> None:
    index = Index(data, folder)

    with pytest.raises(NotReadyError):
        publish(index, data)

    assert not (data / WHEEL).exists()
    index.refresh()
    publish(index, data)
    assert names(folder) == [WHEEL]


def test_the_same_bytes_again_are_no_news(index: Index, folder: Path, data: Path) -> None:
    publish(index, data)
    before, lines = served(folder), records(data)

    publish(index, data)

    assert served(folder) == before
    assert records(data) == lines


@pytest.mark.parametrize("place", [".", "sub"])
def test_what_was_deleted_by_hand_a_moment_ago_is_published_by_an_upload_of_the_same_bytes(
    index: Index, folder: Path, data: Path, place: str
) -> None:
    path = copy(data / place)
    index.refresh()
    path.unlink()

    publish(index, data)
    index.refresh()

    assert names(folder) == [WHEEL]
    assert (data / WHEEL).exists()
    check(index, folder, data)


def test_what_a_hand_has_put_there_is_forced_to_the_disk_before_an_upload_of_it_counts(
    index: Index, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy(data)
    forced = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        forced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    publish(index, data)

    assert forced == [path, data, data / journal.FILE]


def test_other_bytes_under_a_name_in_use_are_refused(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    before, content = served(folder), (data / WHEEL).read_bytes()

    with pytest.raises(NameTakenError, match=f"{WHEEL} already exists: publish a new version"):
        publish(index, data, origin="b")

    assert served(folder) == before
    assert (data / WHEEL).read_bytes() == content


def test_a_name_a_hand_has_just_used_is_taken_before_anybody_has_looked(
    index: Index, folder: Path, data: Path
) -> None:
    copy(data)

    with pytest.raises(NameTakenError):
        publish(index, data, origin="b")
    publish(index, data)

    assert names(folder) == [WHEEL]
    index.refresh()
    check(index, folder, data)


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_name_once_used_refuses_other_bytes_and_takes_the_same_again(
    index: Index, folder: Path, data: Path, by_hand: bool
) -> None:
    publish(index, data)
    (before,) = page(folder)
    if by_hand:
        (data / WHEEL).unlink()
        index.refresh()
    else:
        index.remove("my-lib", "1.0", by="bob")

    for known in (index, Index(data, folder)):
        known.refresh()
        with pytest.raises(NameTakenError):
            publish(known, data, origin="b")
        assert not (data / WHEEL).exists()
        assert known.status("my-lib") == "gone"
    publish(index, data)

    assert page(folder) == [before]
    check(index, folder, data)


def test_a_removed_name_refuses_other_bytes_after_the_index_was_lost(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    index.remove("my-lib", "1.0", by="bob")
    shutil.rmtree(folder)

    index = Index(data, folder)
    index.refresh()

    assert index.status("my-lib") == "gone"
    with pytest.raises(NameTakenError):
        publish(index, data, origin="b")


@pytest.mark.parametrize("target", ["note", "pages", "link"])
def test_a_full_disk_leaves_an_index_that_shows_what_is_there(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    publish(index, data)
    before = served(folder)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    where: dict[str, tuple[Any, str]] = {
        "note": (journal.Journal, "append"),
        "pages": (disk, "write_unsynced"),
        "link": (os, "link"),
    }
    monkeypatch.setattr(*where[target], full)
    if target == "pages":
        # The journal has it: it is published, and listed when there is space.
        publish(index, data, version="2.0")
    else:
        with pytest.raises(OSError, match="No space left"):
            publish(index, data, version="2.0")
    monkeypatch.undo()

    shown = {path: content for path, content in served(folder).items() if "simple/" in path}
    assert shown.items() <= before.items()
    index.refresh()
    check(index, folder, data)
    publish(index, data, version="2.0")
    assert names(folder) == [WHEEL, "my_lib-2.0-py3-none-any.whl"]
    assert len(records(data)) == 2
    check(index, folder, data)


def test_a_process_that_died_between_data_and_index_leaves_what_is_found_later(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise KilledError

    monkeypatch.setattr("private_pypi.change.Change.put", die)
    with pytest.raises(KilledError):
        publish(index, data)
    monkeypatch.undo()

    restarted = Index(data, folder)
    restarted.refresh()
    publish(restarted, data)

    assert names(folder) == [WHEEL]
    assert actions(data) == [("upload", WHEEL)]
    check(restarted, folder, data)


def test_a_signature_is_taken_for_what_is_there_and_once_and_noted(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    unfinished = data / ".uploads" / "signature"
    unfinished.write_text("signature")

    index.sign(unfinished, f"{WHEEL}.asc", by="alice")
    index.sign(unfinished, f"{WHEEL}.asc", by="alice")
    index.refresh()
    check(index, folder, data)
    assert page(folder)[0]["gpg-sig"] is True

    unfinished.unlink()
    unfinished.write_text("another")
    with pytest.raises(NameTakenError):
        index.sign(unfinished, f"{WHEEL}.asc", by="alice")
    with pytest.raises(NameTakenError):
        index.sign(unfinished, "nothing-1.0.tar.gz.asc", by="alice")
    assert (data / f"{WHEEL}.asc").read_text() == "signature"
    record = records(data)[-1]
    assert record == {
        "time": record["time"],
        "action": "sign",
        "file": WHEEL,
        "size": 9,
        "sha256": hashlib.sha256(b"signature").hexdigest(),
        "by": "alice",
    }
    assert len(records(data)) == 2


def sign(index: Index, data: Path, text: str, by: str) -> None:
    """Upload a signature of the wheel, as the application does."""
    unfinished = data / ".uploads" / by
    unfinished.write_text(text)
    try:
        index.sign(unfinished, f"{WHEEL}.asc", by=by)
    finally:
        unfinished.unlink()


def test_a_stranger_cannot_sign_what_another_account_published(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)

    for made_anew in (False, True):
        if made_anew:
            shutil.rmtree(folder)
            index.refresh()
        with pytest.raises(NotYoursError):
            sign(index, data, "a stranger's", by="mallory")
    sign(index, data, "the owner's", by="alice")

    assert (data / f"{WHEEL}.asc").read_text() == "the owner's"
    assert actions(data) == [("upload", WHEEL), ("sign", WHEEL)]


def test_anybody_who_may_publish_signs_what_was_put_there_by_hand(index: Index, data: Path) -> None:
    copy(data)
    index.refresh()

    sign(index, data, "bob's", by="bob")

    assert actions(data) == [("find", WHEEL), ("sign", WHEEL)]


def test_a_signature_goes_with_its_distribution_and_another_may_come_with_it_again(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    sign(index, data, "the first", by="alice")
    index.remove("my-lib", "1.0", by="bob")
    assert not (data / f"{WHEEL}.asc").exists()

    publish(index, data)
    sign(index, data, "the second", by="alice")
    sign(index, data, "the second", by="alice")

    done = [action for action, _ in actions(data)]
    assert done == ["upload", "sign", "remove", "upload", "sign"]
    assert page(folder)[0]["gpg-sig"] is True
    index.refresh(reread=True)
    check(index, folder, data)


# Spellings ----------------------------------------------------------------------------------------

SPELLINGS = [
    ("replib-1.0.0-py3-none-any.whl", "Replib-1.0.0-py3-none-any.whl"),
    ("Replib-1.0.0-py3-none-any.whl", "replib-1.0.0-py3-none-any.whl"),
    ("replib-1.0.0-py3-none-any.whl", "replib-1.0-py3-none-any.whl"),
    ("rep_lib-1.0-py3-none-any.whl", "rep.lib-v1.0-py3-none-any.whl"),
    ("replib-1.0-py3.py2-none-any.whl", "replib-1.0-py2.py3-none-any.whl"),
    ("replib-1.0-1-py3-none-any.whl", "replib-1.0-01-py3-none-any.whl"),
    ("replib-1.0.tar.gz", "replib-1.0.zip"),
    ("replib-1.0.zip", "replib-1.0.0.tar.gz"),
    ("rep_lib-1.0.post1.tar.gz", "rep-lib-1.0.0post1.tar.gz"),
]


def build(folder: Path, file: str, origin: str = "a") -> Path:
    """Write a distribution of that name that looks as if it had been there for long."""
    folder.mkdir(exist_ok=True, parents=True)
    if file.endswith(".whl"):
        name, version = file.split("-")[:2]
        path = wheel.build(folder, name, version, origin=origin)
    else:
        suffix = ".zip" if file.endswith(".zip") else ".tar.gz"
        name, _, version = file.removesuffix(suffix).rpartition("-")
        path = wheel.build_sdist(folder, name, version, origin=origin, suffix=suffix)
    path = path.rename(folder / file)
    age(path)
    return path


def upload(index: Index, data: Path, file: str, origin: str = "a") -> None:
    """Upload a distribution of that name, as the application does."""
    path = build(data / ".uploads" / "one", file, origin)
    index.add(path, distribution.read(path), by="alice")


def all_names(folder: Path) -> list[str]:
    """Return the files that all pages list."""
    return [name for project in projects(folder) for name in names(folder, project)]


def lose(index: Index, folder: Path, data: Path) -> Index:
    """Return the index made again from data and journal."""
    shutil.rmtree(folder)
    index = Index(data, folder)
    index.refresh()
    return index


@pytest.mark.parametrize("origin", ["a", "other bytes"])
@pytest.mark.parametrize(("first", "second"), SPELLINGS)
def test_another_spelling_of_what_is_published_is_refused_whatever_its_bytes(
    index: Index, folder: Path, data: Path, first: str, second: str, origin: str
) -> None:
    upload(index, data, first)

    for _ in range(2):
        with pytest.raises(NameTakenError) as error:
            upload(index, data, second, origin)
        assert str(error.value) == f"{second} already exists as {first}: publish a new version"
        assert all_names(folder) == [first]
        assert actions(data) == [("upload", first)]
        assert not (data / second).exists()
        index = lose(index, folder, data)
    # The very same again is no news.
    upload(index, data, first)
    assert actions(data) == [("upload", first)]
    check(index, folder, data)


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize(("first", "second"), SPELLINGS)
def test_another_spelling_of_what_was_removed_is_refused(
    index: Index, folder: Path, data: Path, first: str, second: str, by_hand: bool, lost: bool
) -> None:
    upload(index, data, first)
    if by_hand:
        (data / first).unlink()
        index.refresh()
    else:
        (project,) = projects(folder)
        index.remove(project, "1.0" if "post1" not in first else "1.0.post1", by="bob")
    if lost:
        index = lose(index, folder, data)
    assert all_names(folder) == []

    for file, origin in ((first, "other bytes"), (second, "a"), (second, "other bytes")):
        with pytest.raises(NameTakenError, match="was here before"):
            upload(index, data, file, origin)
    assert all_names(folder) == []
    upload(index, data, first)
    assert all_names(folder) == [first]
    check(index, folder, data)


def test_what_says_another_thing_is_published_beside(
    index: Index, folder: Path, data: Path
) -> None:
    files = [
        "replib-1.0-py2-none-any.whl",
        "replib-1.0-py2.py3-none-any.whl",
        "replib-1.0-py3-none-any.whl",
        "replib-1.0-1-py3-none-any.whl",
        "replib-1.0-2-py3-none-any.whl",
        "replib-1.0-py3-none-linux_x86_64.whl",
        "replib-1.0+local-py3-none-any.whl",
        "replib-1.0.1-py3-none-any.whl",
        "replib-1!1.0-py3-none-any.whl",
        "replib-1.0.tar.gz",
        "replib-1.0.post1.zip",
        "rep-lib-1.0.tar.gz",
    ]
    for file in files:
        upload(index, data, file)

    assert sorted(all_names(folder)) == sorted(files)
    assert list(differences(data, index.folder)) == []


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(("first", "second"), SPELLINGS)
def test_of_two_spellings_put_there_by_hand_the_first_is_served_until_it_is_gone(
    index: Index,
    folder: Path,
    data: Path,
    caplog: pytest.LogCaptureFixture,
    first: str,
    second: str,
    known: bool,
) -> None:
    # Whichever is looked at first: what the journal knows counts, and only then the place.
    place = data / "z" if known else data / "a"
    path = build(place, first)
    if known:
        index.refresh()
    other = build(data / "b", second, "other bytes")
    index.refresh()

    for _ in range(3):
        assert all_names(folder) == [first]
        (said,) = (line for line in differences(data, folder) if line.startswith("not served: "))
        assert f"b/{second} is a second " in said
        assert f" of {place.name}/{first}, which came first: delete one of them" in said
        assert caplog.text.count(f"b/{second} is a second ") == 1
        check(index, folder, data)
        index.refresh()
    index = lose(index, folder, data)
    assert all_names(folder) == [first]

    content = path.read_bytes()
    path.unlink()
    for _ in range(2):
        index.refresh()
    assert all_names(folder) == [second]
    with pytest.raises(NameTakenError, match=f"already exists as {second}"):
        upload(index, data, first)
    index = lose(index, folder, data)
    assert all_names(folder) == [second]
    check(index, folder, data)

    path.write_bytes(content)
    age(path)
    index.refresh()
    assert all_names(folder) == [first]
    index = lose(index, folder, data)
    assert all_names(folder) == [first]
    check(index, folder, data)

    other.unlink()
    index.refresh()
    assert all_names(folder) == [first]
    assert not any(line.startswith("not served: ") for line in differences(data, index.folder))


def test_another_spelling_takes_the_place_of_a_file_only_as_long_as_that_is_damaged(
    index: Index, folder: Path, data: Path
) -> None:
    first, second = SPELLINGS[0]
    path = build(data, first)
    index.refresh()
    build(data / "hand", second)
    index.refresh()
    whole = path.read_bytes()

    for content, expected in ((whole[:-10], second), (whole, first)):
        path.write_bytes(content)
        age(path)
        for _ in range(2):
            index.refresh()
        assert all_names(folder) == [expected]
        index = lose(index, folder, data)
        assert all_names(folder) == [expected]
        check(index, folder, data)


def test_a_hand_that_has_just_used_another_spelling_is_second_to_an_upload(
    index: Index, folder: Path, data: Path
) -> None:
    first, second = SPELLINGS[0]
    build(data, second)

    upload(index, data, first)
    index.refresh()

    assert all_names(folder) == [first]
    index = lose(index, folder, data)
    assert all_names(folder) == [first]
    check(index, folder, data)


def published_before(index: Index, folder: Path, data: Path) -> Index:
    """Return an index that took two spellings in when it still could."""
    for file in SPELLINGS[0]:
        path = build(data, file, file)
        content = path.read_bytes()
        record = {
            "time": "2025-01-02T03:04:05.000000Z",
            "action": "upload",
            "file": file,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "by": "alice",
        }
        with (data / journal.FILE).open("a") as lines:
            lines.write(f"{json.dumps(record)}\n")
    return lose(index, folder, data)


def test_what_was_published_twice_before_stays_listed(
    index: Index, folder: Path, data: Path
) -> None:
    first, second = SPELLINGS[0]
    third = "REPLIB-1-py3-none-any.whl"
    index = published_before(index, folder, data)
    assert sorted(all_names(folder)) == sorted([first, second])

    build(data / "a", third)
    index.refresh(reread=True)
    with pytest.raises(NameTakenError):
        upload(index, data, third)
    for file in (first, second):
        upload(index, data, file, file)
        with pytest.raises(NameTakenError):
            upload(index, data, file, "other bytes")
    assert len(records(data)) == 2
    for file in (first, second):
        path = data / file
        content = path.read_bytes()
        path.unlink()
        index.refresh()
        assert len(all_names(folder)) == 1
        path.write_bytes(content)
        age(path)
        for _ in range(2):
            index.refresh()
        assert sorted(all_names(folder)) == sorted([first, second])
    index = lose(index, folder, data)
    assert sorted(all_names(folder)) == sorted([first, second])
    check(index, folder, data)

    for file in (first, second):
        (data / file).unlink()
    for _ in range(2):
        index.refresh()
    assert all_names(folder) == [third]
    index = lose(index, folder, data)
    assert all_names(folder) == [third]


def test_what_was_published_twice_before_is_removed_as_a_whole(
    index: Index, folder: Path, data: Path
) -> None:
    index = published_before(index, folder, data)
    build(data / "a", "REPLIB-1-py3-none-any.whl")
    index.refresh()
    expected = sorted([*SPELLINGS[0], "REPLIB-1-py3-none-any.whl"])

    assert sorted(index.release("replib", "1")) == expected
    assert sorted(index.remove("replib", "1", by="bob")) == expected

    assert sorted(file for action, file in actions(data) if action == "remove") == expected
    for _ in range(2):
        index.refresh()
        assert all_names(folder) == []
        index = lose(index, folder, data)
    assert list(data.rglob("*.whl")) == []


def test_of_two_files_of_one_name_the_one_that_was_published_is_served_after_all_was_lost(
    index: Index, folder: Path, data: Path
) -> None:
    name = publish(index, data)
    published = page(folder)
    copy(data / "a", origin="other bytes")
    index.refresh()

    index = lose(index, folder, data)

    assert page(folder) == published
    assert (data / name).exists()
    check(index, folder, data)


def test_a_version_is_listed_once_however_it_is_spelled(
    index: Index, folder: Path, data: Path
) -> None:
    for file in ("zer-1.0.0.tar.gz", "zer-1.0-py3-none-any.whl", "zer-2-py3-none-any.whl"):
        upload(index, data, file)

    assert json.loads((folder / "simple/zer/index.json").read_bytes())["versions"] == ["1.0", "2"]
    assert index.yank("zer", "1", "x", by="bob") == ["zer-1.0-py3-none-any.whl", "zer-1.0.0.tar.gz"]
    assert index.remove("zer", "2.0", by="bob") == ["zer-2-py3-none-any.whl"]


# Yank, remove -------------------------------------------------------------------------------------


def test_a_version_is_yanked_with_a_reason_and_taken_back(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    publish(index, data, version="2.0")
    copy_sdist(data)
    index.refresh()
    before = served(folder)
    files = [WHEEL, "my_lib-1.0.tar.gz"]

    assert sorted(index.yank("My.Lib", "v1.0", 'breaks "x" <3', by="bob")) == files

    reasons = [file.get("yanked") for file in page(folder)]
    assert reasons == ['breaks "x" <3', 'breaks "x" <3', None]
    check(index, folder, data)
    assert sorted(index.unyank("my_lib", "1.0", by="carol")) == files
    assert served(folder) == before
    lines = [line for line in records(data) if "yank" in line["action"]]
    assert [(line["action"], line["by"], line.get("reason")) for line in lines] == [
        ("yank", "bob", 'breaks "x" <3'),
        ("yank", "bob", 'breaks "x" <3'),
        ("unyank", "carol", None),
        ("unyank", "carol", None),
    ]
    assert sorted(line["file"] for line in lines) == sorted(files * 2)


def test_a_version_is_yanked_without_a_reason_or_with_another(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)

    index.yank("my-lib", "1.0", "", by="bob")
    assert page(folder)[0]["yanked"] is True
    index.yank("my-lib", "1.0", "because", by="bob")
    assert page(folder)[0]["yanked"] == "because"


def test_a_yank_outlives_the_index(index: Index, folder: Path, data: Path) -> None:
    publish(index, data)
    index.yank("my-lib", "1.0", "broken", by="bob")
    before = served(folder)
    shutil.rmtree(folder)

    Index(data, folder).refresh()

    assert served(folder) == before
    assert page(folder)[0]["yanked"] == "broken"


def test_a_removed_version_is_gone_with_its_signature_and_in_the_journal(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    publish(index, data, version="2.0")
    copy_sdist(data)
    (data / f"{WHEEL}.asc").write_text("signature")
    index.refresh()

    removed = index.remove("my-lib", "1.0", by="bob")

    assert sorted(removed) == [WHEEL, "my_lib-1.0.tar.gz"]
    assert sorted(path.name for path in data.iterdir() if path.is_file()) == [
        journal.FILE,
        "my_lib-2.0-py3-none-any.whl",
    ]
    assert names(folder) == ["my_lib-2.0-py3-none-any.whl"]
    lines = [(x["file"], x["by"]) for x in records(data) if x["action"] == "remove"]
    assert sorted(lines) == [(WHEEL, "bob"), ("my_lib-1.0.tar.gz", "bob")]
    check(index, folder, data)


def test_nothing_is_removed_where_nothing_can_be_deleted(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(index, data)
    before = records(data)
    monkeypatch.setattr("private_pypi.change.os.access", lambda *_: False)

    with pytest.raises(PermissionError, match="nothing can be deleted there"):
        index.remove("my-lib", "1.0", by="bob")

    assert records(data) == before
    assert names(folder) == [WHEEL]


def test_what_was_removed_and_cannot_be_deleted_stops_nothing_else(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(index, data)
    publish(index, data, version="2.0")
    now = journal.timestamp(time.time())
    with journal.locked(data) as lines:
        # As somebody does who is killed before anything is deleted.
        lines.append([journal.Record(now, "remove", WHEEL, by="bob")])
    monkeypatch.setattr("private_pypi.change.os.access", lambda *_: False)

    index.refresh()
    publish(index, data, version="3.0")

    assert names(folder) == ["my_lib-2.0-py3-none-any.whl", "my_lib-3.0-py3-none-any.whl"]
    assert (data / WHEEL).exists()
    assert index.status("requests") == "unknown"
    problem = f"{WHEEL} was removed and cannot be deleted: delete it by hand"
    assert f"not served: {problem}" in list(differences(data, index.folder))


def test_a_name_is_ours_though_the_disk_was_full_once_the_journal_had_it(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    # Long ago, so that no second look would tell that it is there.
    os.utime(data, (10**9, 10**9))
    index.refresh()
    with monkeypatch.context() as patch:
        patch.setattr(pages, "write", full)
        publish(index, data, "new-lib")
        assert index.status("new-lib") == "not ready"
        with pytest.raises(OSError, match="No space left"):
            index.refresh()
        assert index.status("new-lib") == "not ready"

    index.refresh()
    assert index.status("new-lib") == "here"


def test_of_a_removed_version_the_refused_file_of_the_same_name_does_not_take_the_place(
    index: Index, data: Path, folder: Path
) -> None:
    copy(data / "a")
    copy(data / "b", origin="other bytes")
    index.refresh()
    index.remove("my-lib", "1.0", by="bob")
    for _ in range(2):
        index.refresh()

    assert projects(folder) == []
    assert index.status("my-lib") == "gone"
    assert list(data.rglob("*.whl")) == []
    assert actions(data) == [("find", WHEEL), ("remove", WHEEL)]


@pytest.mark.parametrize(
    ("project", "version"), [("my-lib", "2.0"), ("other", "1.0"), ("my-lib", "x"), ("../x", "1.0")]
)
@pytest.mark.parametrize("act", ["yank", "unyank", "remove", "release"])
def test_there_is_nothing_to_do_for_a_version_that_is_not_there(
    index: Index, folder: Path, data: Path, act: str, project: str, version: str
) -> None:
    publish(index, data)
    before, lines = served(folder), records(data)
    options = {} if act == "release" else {"by": "bob"}
    reason = ["reason"] if act == "yank" else []

    with pytest.raises(NoSuchReleaseError, match=f"no version {version} of {project}"):
        getattr(index, act)(project, version, *reason, **options)

    assert (served(folder), records(data)) == (before, lines)


# Times --------------------------------------------------------------------------------------------


def test_a_file_put_there_by_hand_has_the_time_it_was_last_changed(
    index: Index, folder: Path, data: Path
) -> None:
    copy(data)
    index.refresh()

    assert page(folder)[0]["upload-time"] == "2023-11-14T22:13:20Z"
    assert actions(data) == [("find", WHEEL)]
    (record,) = records(data)
    assert record["uploaded"] == "2023-11-14T22:13:20.000000Z"
    assert record["sha256"] == hashlib.sha256((data / WHEEL).read_bytes()).hexdigest()


def test_a_time_in_the_future_is_not_shown(index: Index, folder: Path, data: Path) -> None:
    path = copy(data)
    os.utime(path, (9e9, 9e9))
    index.refresh()

    assert page(folder)[0]["upload-time"][:19] <= journal.timestamp(time.time())[:19]


@pytest.mark.parametrize("when", [2**63, 10**21, -(2**63) - 1, -(10**21)])
def test_a_time_that_no_database_can_hold_does_no_harm(
    folder: Path, tmp_path: Path, when: int
) -> None:
    # Few file systems can hold it either: this one is in memory.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        data = Path(name)
        (data / ".uploads").mkdir()
        path = copy(data)
        os.utime(path, ns=(when, when))
        index = Index(data, folder)

        for _ in range(2):
            index.refresh()

        assert path.stat().st_mtime_ns == when
        assert names(folder) == [WHEEL]
        assert list(differences(data, index.folder)) == []
        assert index.status("requests") == "unknown"


@pytest.mark.parametrize("ahead", [120, 10**9])
def test_a_folder_dated_ahead_costs_an_unknown_name_no_look_at_the_files(
    index: Index, data: Path, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    copy(data / "sub")
    for place in (data, data / "sub"):
        os.utime(place, (time.time() + ahead, time.time() + ahead))
    index.refresh()

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(scan, "scan", fail)
    assert index.status("requests") == "unknown"


def test_upload_times_outlive_a_copy_without_times_and_the_index(
    index: Index, folder: Path, data: Path, tmp_path: Path
) -> None:
    publish(index, data)
    copy(data, "other")
    index.refresh()
    line = records(data)[0] | {"time": "2020-02-02T02:02:02.000000Z"}
    (data / journal.FILE).write_text(f"{json.dumps(line)}\n{json.dumps(records(data)[1])}\n")

    restored = tmp_path / "restored" / "pypi_data"
    for path in (path for path in data.rglob("*") if path.is_file()):
        target = restored / path.relative_to(data)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    new = Index(restored, tmp_path / "restored" / "pypi_index")
    new.refresh()

    assert page(new.folder)[0]["upload-time"] == "2020-02-02T02:02:02Z"
    assert page(new.folder, "other")[0]["upload-time"] == "2023-11-14T22:13:20Z"
    assert len(records(restored)) == 2
    check(new, new.folder, restored)


# Lost and damaged ---------------------------------------------------------------------------------


def fill(index: Index, data: Path) -> None:
    """Put something of everything into an index."""
    copy(data)
    copy(data / "sub", version="2.0")
    copy_sdist(data, "other")
    (data / f"{WHEEL}.asc").write_text("signature")
    for number in range(40):
        copy(data, "big", f"1.{number}")
    index.refresh()
    publish(index, data, version="3.0")
    index.yank("my-lib", "1.0", "broken", by="bob")
    index.remove("big", "1.0", by="bob")


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


@pytest.mark.parametrize("damage", ["deleted", "emptied", "garbage"])
def test_each_file_of_the_index_that_is_damaged_is_made_again_by_a_restart(
    index: Index, folder: Path, data: Path, damage: str
) -> None:
    fill(index, data)
    # A copy nobody has open, as after a restart.
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
    assert again.status("requests") in ("not ready", "unknown")
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
    assert index.status("requests") == "not ready"
    index.refresh()

    assert served(folder) == before
    assert index.status("requests") == "unknown"


SPOILT = ["cut", "cut and alone", "alone", "a folder"]


def spoil(file: Path, what: str) -> None:
    """Do to the catalogue what SQLite does not take for damage."""
    if what == "a folder":
        file.unlink()
        (file / "lost").mkdir(parents=True)
    if what.startswith("cut"):
        os.truncate(file, 0)
    if what.endswith("alone"):
        beside(file, "-wal").unlink()


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
    assert index.status("requests") == "not ready"
    index.refresh()
    assert (index.problem, index.counts()) == ("", counted)
    assert served(folder) == before
    assert index.status("requests") == "unknown"
    publish(index, data, version="4.0")
    check(index, folder, data)


@pytest.mark.parametrize("what", SPOILT)
def test_a_catalogue_spoilt_while_it_is_used_is_noticed(
    following: Index, folder: Path, data: Path, what: str
) -> None:
    publish(following, data)

    spoil(folder / "index.sqlite3", what)

    assert soon(lambda: not following.problem and following.status("my-lib") == "here")
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


# Journal ------------------------------------------------------------------------------------------


def test_a_journal_that_another_process_wrote_is_followed(
    index: Index, folder: Path, data: Path
) -> None:
    name = publish(index, data)
    with journal.locked(data) as lines:
        now = journal.timestamp(time.time())
        lines.append([journal.Record(now, "yank", name, reason="broken")])

    index.refresh()

    assert page(folder)[0]["yanked"] == "broken"


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": None},
        {"sha256": 5},
        {"sha256": ["x"]},
        {"sha256": "\ud800" * 64},
        {"sha256": "x" * 64},
        {"file": None},
        {"file": 5},
        {"file": {}},
        {"file": "no distribution"},
        {"file": "../../x-1.0.tar.gz"},
        {"file": "my_lib-1.0-py3\ud800-none-any.whl"},
        {"time": None},
        {"time": 5},
        {"time": "yesterday"},
        {"time": "2026-1-2T3:4:5.0Z"},
        {"time": "2026-02-30T00:00:00.000000Z"},
        {"uploaded": "2026-01-01"},
        {"uploaded": 7},
        {"uploaded": {}},
        {"action": "dance"},
        {"action": None},
        {"action": []},
        {"action": "yank", "reason": None},
        {"action": "yank", "reason": 5},
        {"action": "yank", "reason": ["x"]},
        {"action": "yank", "reason": {}},
        {"action": "yank", "reason": "\ud800"},
    ],
)
@pytest.mark.parametrize("rebuilt", [True, False])
def test_a_line_of_the_journal_that_makes_no_sense_does_no_harm(
    index: Index, folder: Path, data: Path, changes: dict[str, Any], rebuilt: bool
) -> None:
    publish(index, data)
    good = json.dumps(records(data)[0])
    line = json.loads(good) | changes
    bad = f"{json.dumps(line)}\n{json.dumps(line | {'file': 'gone_lib-1.0.tar.gz'})}\n"
    if rebuilt:
        (data / journal.FILE).write_text(f"{bad}{good}\n{bad}")
        shutil.rmtree(folder)
        index = Index(data, folder)
    else:
        with (data / journal.FILE).open("a") as file:
            file.write(bad)

    index.refresh()
    publish(index, data, version="2.0")
    index.refresh(reread=True)

    assert names(folder) == [WHEEL, "my_lib-2.0-py3-none-any.whl"]
    check(index, folder, data)


# Verify -------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    """Change a byte but neither size nor time, as a failing disk would."""
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def compressed(path: Path) -> None:
    """Replace a page by another that is compressed as well as it was."""
    path.write_bytes(gzip.compress(b"another page"))


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        (f"pypi_data/{WHEEL}", flip, f"{WHEEL} has other bytes"),
        (f"pypi_data/{WHEEL}", Path.unlink, f"{WHEEL} cannot be read: No such file"),
        ("pypi_data/new_lib-1.0-py3-none-any.whl", Path.touch, "not in the index yet"),
        (
            f"pypi_index/packages/{WHEEL}",
            Path.unlink,
            "a link or file in pypi_index/packages is wrong",
        ),
        (f"pypi_index/packages/{WHEEL}.metadata", flip, "metadata of another file"),
        (
            f"pypi_index/packages/{WHEEL}.metadata",
            Path.unlink,
            "a link or file in pypi_index/packages is wrong",
        ),
        (f"pypi_index/packages/{WHEEL}.asc", Path.unlink, f"{WHEEL}"),
        ("pypi_index/packages/stray-1.0.tar.gz", Path.touch, "stray-1.0.tar.gz"),
        ("pypi_index/simple/stray", Path.mkdir, "pypi_index/simple/stray"),
        ("pypi_index/simple/my-lib/index.html", flip, "pypi_index/simple/my-lib: the pages"),
        ("pypi_index/simple/my-lib/index.json", Path.unlink, "pypi_index/simple/my-lib: the pages"),
        ("pypi_index/simple/index.json", flip, "pypi_index/simple/: the pages"),
        ("pypi_index/simple/big/index.html.gz", compressed, "pypi_index/simple/big: the pages"),
        ("pypi_index/simple/my-lib/index.html.gz", compressed, "pypi_index/simple/my-lib"),
    ],
)
def test_verify_finds_each_difference_and_nothing_else_and_index_mends_it(
    index: Index, folder: Path, data: Path, name: str, damage: Callable[[Path], None], said: str
) -> None:
    fill(index, data)
    assert list(differences(data, index.folder)) == []

    damage(folder.parent / name)
    (difference,) = differences(data, folder)

    assert said in difference
    if "pypi_index" in name:
        index.refresh(reread=True)
        assert list(differences(data, index.folder)) == []


def test_verify_says_what_is_not_served_and_why(index: Index, data: Path) -> None:
    path = copy(data)
    path.write_bytes(b"damaged")
    age(path)
    index.refresh()

    (line,) = differences(data, index.folder)

    assert line.startswith(f"not served: {WHEEL}")


def test_verify_takes_what_is_published_meanwhile_for_no_difference(
    index: Index, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(index, data)
    published: list[str] = []
    walk = os.walk

    def publish_and_walk(*arguments: Any) -> Any:
        if not published:
            published.append(publish(index, data, version="2.0"))
        return walk(*arguments)

    monkeypatch.setattr(os, "walk", publish_and_walk)
    assert list(differences(data, index.folder)) == []
    assert published


def test_verify_counts_what_it_has_read(index: Index, data: Path) -> None:
    copy(data)
    copy(data, "other")
    index.refresh()
    done: list[tuple[int, int]] = []

    assert list(differences(data, index.folder, lambda *numbers: done.append(numbers))) == []
    assert done == [(1, 2), (2, 2)]


def test_verify_of_an_index_that_is_not_made_says_how_to_make_it(data: Path, folder: Path) -> None:
    copy(data)

    assert list(differences(data, folder)) == ["the index is not made yet: run make pypi-index"]


# At the same time ---------------------------------------------------------------------------------


CONTESTED = ["contested", "Contested", "conTested", "CONTESTED"]


def publish_many(data: Path, folder: Path, worker: int, start: Any, results: Any) -> None:
    """Upload files of its own and one that all upload with other bytes, in another process."""
    index = Index(data, folder)
    start.wait(60)
    index.refresh()
    won = 0
    for number in range(10):
        publish(index, data, f"lib{number % 3}", f"{worker}.{number}")
        try:
            publish(index, data, CONTESTED[worker], f"1.{number}", origin=f"{worker}")
            won += 1
        except NameTakenError:
            pass
    results.put(won)


def test_processes_that_publish_at_once_into_nothing_lose_nothing(data: Path, folder: Path) -> None:
    start, results = SPAWN.Barrier(4), SPAWN.Queue()
    processes = [
        SPAWN.Process(target=publish_many, args=(data, folder, worker, start, results))
        for worker in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)

    assert [process.exitcode for process in processes] == [0] * 4
    assert sum(results.get(timeout=10) for _ in processes) == 10
    index = Index(data, folder)
    assert index.counts() == (50, 4)
    assert len(names(folder, "contested")) == 10
    assert len(records(data)) == len({record["file"] for record in records(data)}) == 50
    check(index, folder, data)
    index.refresh()
    check(index, folder, data)


def test_an_index_made_again_goes_on_serving_and_taking_uploads(
    index: Index, folder: Path, data: Path
) -> None:
    fill(index, data)
    before = served(folder)
    stop = threading.Event()
    trouble: list[BaseException] = []
    reads = itertools.count()

    def guarded(work: Callable[[], None]) -> None:
        try:
            while not stop.is_set():
                work()
        except BaseException as error:
            trouble.append(error)

    def read() -> None:
        for path in before:
            assert (folder / path).exists(), path
        assert index.status("my-lib") == "here"
        assert index.status("requests") == "unknown"
        next(reads)

    numbers = itertools.count()

    def upload() -> None:
        publish(index, data, "during", f"1.{next(numbers)}")

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (read, upload)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            index.refresh(reread=True)
            other = Index(data, folder)
            other.refresh()
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)

    assert trouble == []
    assert next(reads) > 1
    assert len(names(folder, "during")) == next(numbers) > 0
    index.refresh()
    check(index, folder, data)
    after = served(folder)
    lists = {path for path in before if path.startswith("simple/index.")}
    assert {path: after[path] for path in before.keys() - lists} == {
        path: before[path] for path in before.keys() - lists
    }


def test_names_are_not_passed_on_while_an_index_is_made_again_from_nothing(
    index: Index, folder: Path, data: Path
) -> None:
    fill(index, data)
    shutil.rmtree(folder)
    again = Index(data, folder)
    seen: set[str] = set()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            seen.add(again.status("my-lib"))
            seen.add(again.status("big"))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        again.refresh()
    finally:
        stop.set()
        thread.join()

    assert seen <= {"not ready", "here"}
    assert again.status("requests") == "unknown"


def test_a_name_is_here_whose_page_is_written_between_the_two_looks_for_it(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy(data)
    again = Index(data, folder)
    again.refresh()
    page = folder / "simple" / "my-lib"
    hidden = page.rename(folder / "hidden")
    ever_had = Catalogue.ever_had

    def written(known: Catalogue, project: str) -> bool:
        hidden.rename(page)
        return ever_had(known, project)

    monkeypatch.setattr(Catalogue, "ever_had", written)

    assert again.status("my-lib") == "here"


def test_a_file_that_is_removed_while_it_is_read_again_does_not_come_back(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(index, data)
    read = distribution.read

    def remove_meanwhile(path: Path, file: str | None = None) -> distribution.Distribution:
        done = read(path, file)
        Index(data, folder).remove("my-lib", "1.0", by="bob")
        return done

    monkeypatch.setattr(distribution, "read", remove_meanwhile)
    index.refresh(reread=True)
    monkeypatch.undo()

    assert projects(folder) == []
    assert index.status("my-lib") == "gone"
    index.refresh()
    check(index, folder, data)


# Following ----------------------------------------------------------------------------------------


@pytest.fixture
def following(index: Index, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An index that is kept current by a thread of its own."""

    class StoppedError(BaseException):
        pass

    stop, ready = threading.Event(), threading.Event()
    trouble: list[BaseException] = []
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if stop.wait(min(seconds, 0.02)):
            raise StoppedError

    def follow() -> None:
        try:
            index.follow(ready=ready)
        except StoppedError:
            pass
        except BaseException as error:
            trouble.append(error)

    # Its own clock: other threads of this process sleep, too.
    clock = SimpleNamespace(**{**vars(time), "sleep": sleep})
    monkeypatch.setattr("private_pypi.refresh.time", clock)
    thread = threading.Thread(target=follow)
    thread.start()
    try:
        assert ready.wait(10)
        yield index
    finally:
        stop.set()
        thread.join(10)
    assert trouble == []
    # Longer only where a look takes long: docs/data.md promises that changes show in three seconds.
    assert min(pauses) <= 1


def links(folder: Path, project: str = "my-lib") -> list[str]:
    """Return what the JSON page links to while somebody may be writing it."""
    try:
        read = json.loads((folder / "simple" / project / "index.json").read_bytes())
    except OSError:
        return []
    return [f"{file['url']} {file.get('yanked', '')}".strip() for file in read["files"]]


def soon(condition: Callable[[], bool], seconds: float = 30) -> bool:
    """Return whether something becomes true."""
    waiting = threading.Event()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        waiting.wait(0.01)
    return False


def test_changes_by_hand_and_by_others_show_by_themselves(
    following: Index, folder: Path, data: Path
) -> None:
    first = f"../../packages/{WHEEL}"
    second = "../../packages/new/my_lib-2.0-py3-none-any.whl"

    path = copy(data)
    assert soon(lambda: links(folder) == [first])
    copy(data / "new", version="2.0")
    assert soon(lambda: links(folder) == [first, second])
    path.unlink()
    assert soon(lambda: links(folder) == [second])
    Index(data, folder).yank("my-lib", "2.0", "x", by="bob")
    assert soon(lambda: links(folder) == [f"{second} x"])
    folder.rename(folder.with_name("old_index"))
    assert soon(lambda: links(folder) == [f"{second} x"])
    assert soon(lambda: following.status("requests") == "unknown")


def test_what_the_start_takes_does_not_put_off_the_next_look(
    data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StoppedError(BaseException):
        pass

    def stop(seconds: float) -> None:
        assert seconds == 1
        raise StoppedError

    mend = Refresher._mend

    def mend_long(refresher: Refresher) -> set[str]:
        time.sleep(0.6)
        return mend(refresher)

    monkeypatch.setattr(Refresher, "_mend", mend_long)
    clock = SimpleNamespace(**{**vars(time), "sleep": stop})
    monkeypatch.setattr("private_pypi.refresh.time", clock)
    with pytest.raises(StoppedError):
        Index(data, folder).follow()


def test_trouble_is_said_once_and_the_index_follows_again_when_it_is_over(
    following: Index,
    folder: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real, calls = scan.scan, itertools.count()

    def fail(*_: object) -> None:
        next(calls)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(scan, "scan", fail)
    copy(data)
    assert soon(lambda: next(calls) > 10)
    monkeypatch.setattr(scan, "scan", real)

    assert soon(lambda: len(links(folder)) == 1)
    assert caplog.text.count("Input/output error") == 1


def test_nothing_that_goes_wrong_ends_the_following(
    following: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()
    read = distribution.read

    def fail(path: Path, file: str | None = None) -> distribution.Distribution:
        if not failed.is_set():
            failed.set()
            raise ValueError("nobody thought of that")
        return read(path, file)

    monkeypatch.setattr(distribution, "read", fail)
    copy(data)

    assert failed.wait(10)
    assert soon(lambda: len(links(folder)) == 1)


# Size ---------------------------------------------------------------------------------------------


def test_ten_times_as_many_files_take_about_ten_times_as_long_to_look_through(
    tmp_path: Path, data: Path
) -> None:
    copies = [copy(data, f"lib{number % 50}", f"1.{number}") for number in range(500)]
    few = tmp_path / "few"
    few.mkdir()
    for path in copies[:50]:
        shutil.copy(path, few)

    def look(place: Path, name: str) -> list[float]:
        """Return the processor time of a look where all is known, and of one after a restart."""
        index = Index(place, tmp_path / name)
        index.refresh()
        assert index.counts() == (len(list(place.glob("*.whl"))), 50)
        for number in range(100):
            assert index.status(f"unknown{number}") == "unknown"
        known = index, Index(place, tmp_path / name)
        return [min(processor_time(each.refresh) for _ in range(5)) for each in known]

    # Where each file is compared with each, it is 100 times.
    for small, large in zip(look(few, "small"), look(data, "large"), strict=True):
        assert large < 15 * small


def processor_time(task: Callable[[], object]) -> float:
    began = time.process_time()
    task()
    return time.process_time() - began
