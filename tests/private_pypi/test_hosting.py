"""How a distribution gets into the data folder: whole or not at all, and never over another."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import pytest
from kit import wheel
from private_pypi import distribution, uploads
from private_pypi.hosting import ARCHIVES, Storage
from private_pypi.index import Index, NameTakenError, NotReadyError
from private_pypi.journal import Journal
from private_pypi.layout import UPLOADS
from private_pypi.turns import AccountTurns
from pypiserver.bottle_wrapper import HTTPError, request
from pypiserver.config import Config
from pypiserver.core import PkgFile

WHEEL = "my_private_lib-0.1.0-py3-none-any.whl"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder as the application prepares it."""
    folder = tmp_path / "pypi_data"
    (folder / UPLOADS).mkdir(parents=True)
    return folder


def storage(data: Path, *, ready: bool = True) -> Storage:
    index = Index(data, data.with_name("pypi_index"))
    if ready:
        index.refresh()
    return Storage(Config.default_with_overrides(roots=[data]), index)


def content(tmp_path: Path, origin: str, name: str = "my-private-lib") -> bytes:
    """Return a wheel of version 0.1.0 that is another one for each origin."""
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        return wheel.build(Path(folder), name, "0.1.0", origin=origin).read_bytes()


@pytest.fixture
def first(tmp_path: Path) -> bytes:
    """A wheel."""
    return content(tmp_path, "the first")


@pytest.fixture
def second(tmp_path: Path) -> bytes:
    """Another wheel of the same name."""
    return content(tmp_path, "the second")


def sent(data: Path, content: bytes, account: str = "alice") -> IO[bytes]:
    """Return an unfinished upload that an account has sent."""
    request.bind({"private_pypi.account": account, "private_pypi.digests": {}})
    unfinished = uploads.create(data / UPLOADS)
    unfinished.write(content)
    unfinished.flush()
    return unfinished


def publish(storage: Storage, data: Path, content: bytes, file: str = WHEEL) -> None:
    """Publish as pypiserver does."""
    with sent(data, content) as unfinished:
        storage.add_package(file, unfinished)


def left(data: Path) -> list[str]:
    """Return the names of everything in the data folder but the journal."""
    names = (str(path.relative_to(data)) for path in data.rglob("*") if path.is_file())
    return sorted(name for name in names if name != ".journal.jsonl")


def journal(data: Path) -> list[tuple[str, str, str]]:
    """Return action, file and who did it of every line of the journal."""
    lines = map(json.loads, (data / ".journal.jsonl").read_text().splitlines())
    return [(line["action"], line["file"], line.get("by", "")) for line in lines]


def listed(storage: Storage, project: str = "my-private-lib") -> list[tuple[str, str, str]]:
    """Return name, version and path of a project's files as pypiserver is told."""
    found: list[PkgFile] = list(storage.find_project_packages(project))
    return [(one.pkgname_norm, one.version, one.relfn) for one in found]


# Publishing ---------------------------------------------------------------------------------------


def test_a_distribution_is_stored_as_it_came_readable_to_all_and_listed(
    data: Path, first: bytes
) -> None:
    publish(storage(data), data, first)

    assert (data / WHEEL).read_bytes() == first
    assert (data / WHEEL).stat().st_mode & 0o777 == 0o644
    assert left(data) == [WHEEL]
    assert journal(data) == [("upload", WHEEL, "alice")]
    assert listed(storage(data), "My.Private_Lib") == [("my-private-lib", "0.1.0", WHEEL)]
    assert storage(data).package_count() == 1


def test_a_distribution_that_was_read_before_is_stored_from_its_start(
    data: Path, first: bytes
) -> None:
    with sent(data, first) as unfinished:
        unfinished.read()
        storage(data).add_package(WHEEL, unfinished)

    assert (data / WHEEL).read_bytes() == first


def test_a_name_that_is_taken_is_refused_and_the_first_stays(
    data: Path, first: bytes, second: bytes
) -> None:
    publish(storage(data), data, first)

    with pytest.raises(NameTakenError) as refusal:
        publish(storage(data), data, second)

    assert str(refusal.value) == f"{WHEEL} already exists: publish a new version"
    assert (data / WHEEL).read_bytes() == first
    assert left(data) == [WHEEL]
    assert journal(data) == [("upload", WHEEL, "alice")]


def at_once(data: Path, contents: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Publish all under the same name at the same time; return who succeeded and who did not."""
    start = threading.Barrier(len(contents))
    stored: list[bytes] = []
    refused: list[bytes] = []
    whole = storage(data)

    def store(content: bytes) -> None:
        with sent(data, content) as unfinished:
            start.wait()
            try:
                whole.add_package(WHEEL, unfinished)
                stored.append(content)
            except NameTakenError:
                refused.append(content)

    threads = [threading.Thread(target=store, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return stored, refused


def test_exactly_one_of_many_who_store_the_same_name_at_once_succeeds(
    data: Path, tmp_path: Path
) -> None:
    contents = [content(tmp_path, str(number)) for number in range(8)]

    stored, refused = at_once(data, contents)

    assert sorted(stored + refused) == sorted(contents)
    assert [(data / WHEEL).read_bytes()] == stored
    assert left(data) == [WHEEL]
    assert journal(data) == [("upload", WHEEL, "alice")]


def test_all_of_many_who_store_the_same_bytes_at_once_succeed_and_it_happens_once(
    data: Path, first: bytes
) -> None:
    stored, refused = at_once(data, [first] * 8)

    assert (stored, refused) == ([first] * 8, [])
    assert (data / WHEEL).read_bytes() == first
    assert left(data) == [WHEEL]
    assert journal(data) == [("upload", WHEEL, "alice")]


def test_the_disk_has_the_bytes_then_the_name_then_the_journal_and_then_comes_the_answer(
    data: Path, first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = storage(data)
    done: list[str] = []
    fsync, link = os.fsync, os.link
    names = {data.stat().st_ino: "folder", (data / ".journal.jsonl").stat().st_ino: "journal"}

    def recorded_fsync(descriptor: int) -> None:
        fsync(descriptor)
        done.append(f"{names.get(os.fstat(descriptor).st_ino, 'content')} on disk")

    def recorded_link(source: str, target: str) -> None:
        link(source, target)
        done.append("named")

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "link", recorded_link)
    publish(ready, data, first)

    assert done == ["content on disk", "named", "folder on disk", "journal on disk"]


@pytest.mark.parametrize(
    ("accounts", "most"), [(["alice"] * 8, 1), ([f"user-{n}" for n in range(9)], ARCHIVES)]
)
def test_an_account_has_one_archive_read_at_a_time_and_only_so_many_have(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    accounts: list[str],
    most: int,
) -> None:
    read, whole = distribution.read, storage(data)
    inside: list[str] = []
    highest: list[int] = []
    # As many as may be read at once come in together, or this would end with an error.
    together = threading.Barrier(most, timeout=60)

    def counted(path: Path, file: str) -> distribution.Distribution:
        inside.append(request.environ["private_pypi.account"])
        highest.append(len(inside))
        together.wait()
        try:
            return read(path, file)
        finally:
            inside.remove(request.environ["private_pypi.account"])

    monkeypatch.setattr(distribution, "read", counted)

    # To read one takes long enough for all the others to come.
    more = {f"lib/{number}.py": "" for number in range(1000)}
    start = threading.Barrier(len(accounts))

    def store(number: int) -> None:
        built = wheel.build(tmp_path, f"lib-{number}", "0.1.0", origin="us", more=more)
        with sent(data, built.read_bytes(), accounts[number]) as unfinished:
            start.wait()
            whole.add_package(built.name, unfinished)

    with ThreadPoolExecutor(len(accounts)) as pool:
        for _ in pool.map(store, range(len(accounts))):
            pass

    assert max(highest) == most
    assert len(highest) == len(accounts)
    assert whole.package_count() == len(accounts)


def test_the_account_whose_last_turn_is_longest_ago_goes_first() -> None:
    turns, order = AccountTurns(1), list[str]()

    def take(account: str) -> None:
        with turns.turn(account):
            order.append(account)

    threads = []
    with turns.turn("alice"):
        for account in ("alice", "alice", "bob", "bob", "carla"):
            thread = threading.Thread(target=take, args=[account])
            thread.start()
            threads.append(thread)
            while turns._waiting.total() < len(threads):
                time.sleep(0.001)
    for thread in threads:
        thread.join()

    assert order == ["bob", "carla", "alice", "bob", "alice"]


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def full_at(number: int) -> Any:
    """Return an os.fsync for which the disk is full from its call with this number on."""
    fsync, calls = os.fsync, iter(range(1, 100))

    def some(descriptor: int) -> None:
        if next(calls) >= number:
            full()
        fsync(descriptor)

    return some


@pytest.mark.parametrize(
    "step",
    [
        (os, "fsync", full_at(1)),
        (os, "fsync", full_at(2)),
        (os, "fsync", full_at(3)),
        (os, "link", full),
        (Journal, "append", full),
    ],
    ids=["content", "folder", "journal", "name", "lines of the journal"],
)
def test_a_full_disk_leaves_nothing_behind_and_the_next_attempt_succeeds(
    data: Path,
    first: bytes,
    second: bytes,
    monkeypatch: pytest.MonkeyPatch,
    step: tuple[object, str, Any],
) -> None:
    ready = storage(data)

    with monkeypatch.context() as patch:
        patch.setattr(*step)
        with pytest.raises(OSError, match="No space left"):
            publish(ready, data, first)

    assert left(data) == []
    assert journal(data) == []
    assert listed(ready) == []
    publish(ready, data, second)
    assert (data / WHEEL).read_bytes() == second
    assert len(listed(ready)) == 1


def test_what_is_unfinished_is_on_the_same_volume_and_in_no_list(data: Path, first: bytes) -> None:
    with sent(data, first) as unfinished:
        place = Path(unfinished.name)
        place.with_name(WHEEL).write_bytes(first)
        again = storage(data)

        assert place.parent == data / UPLOADS
        assert place.stat().st_dev == data.stat().st_dev
        assert again.package_count() == 0
        assert listed(again) == []


def test_an_index_that_is_not_ready_publishes_nothing(data: Path, first: bytes) -> None:
    with pytest.raises(NotReadyError):
        publish(storage(data, ready=False), data, first)

    assert left(data) == []


# What pypiserver is told --------------------------------------------------------------------------


def test_nothing_is_removed_over_http(data: Path, first: bytes) -> None:
    publish(storage(data), data, first)
    package = PkgFile("my_private_lib", "0.1.0", fn=str(data / WHEEL))

    with pytest.raises(HTTPError) as refusal:
        storage(data).remove_package(package)

    assert refusal.value.status_code == 403
    assert left(data) == [WHEEL]


def test_no_request_is_answered_from_a_list_of_all_files(data: Path, first: bytes) -> None:
    publish(storage(data), data, first)

    assert list(storage(data).get_all_packages()) == []
    assert storage(data).exists(WHEEL) is False
