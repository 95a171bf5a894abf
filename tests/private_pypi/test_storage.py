"""How a distribution gets into the data folder: whole or not at all, and never over another."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO

import pytest
import quiet_pypiserver  # noqa: F401
from private_pypi.storage import UPLOADS, Storage
from pypiserver.bottle_wrapper import HTTPError
from pypiserver.config import Config
from pypiserver.core import PkgFile

WHEEL = "my_private_lib-0.1.0-py3-none-any.whl"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder as the application prepares it."""
    folder = tmp_path / "pypi_data"
    (folder / UPLOADS).mkdir(parents=True)
    return folder


def storage(data: Path, max_upload: int = 1000) -> Storage:
    return Storage(Config.default_with_overrides(roots=[data]), max_upload)


def left(data: Path) -> list[str]:
    """Return the names of everything in the data folder."""
    return sorted(str(path.relative_to(data)) for path in data.rglob("*") if path.is_file())


def test_a_distribution_is_stored_as_it_came_readable_to_all_and_listed(data: Path) -> None:
    content = os.urandom(1000)

    storage(data).add_package(WHEEL, io.BytesIO(content))

    assert (data / WHEEL).read_bytes() == content
    assert (data / WHEEL).stat().st_mode & 0o777 == 0o644
    assert left(data) == [WHEEL]
    (listed,) = storage(data).find_project_packages("My.Private_Lib")
    assert (listed.pkgname_norm, listed.version) == ("my-private-lib", "0.1.0")


def test_a_distribution_that_was_read_before_is_stored_from_its_start(data: Path) -> None:
    stream = io.BytesIO(b"whole")
    stream.read()

    storage(data).add_package(WHEEL, stream)

    assert (data / WHEEL).read_bytes() == b"whole"


def test_a_name_that_is_taken_is_refused_and_the_first_stays(data: Path) -> None:
    storage(data).add_package(WHEEL, io.BytesIO(b"first"))

    with pytest.raises(HTTPError) as refusal:
        storage(data).add_package(WHEEL, io.BytesIO(b"second"))

    assert refusal.value.status_code == 409
    assert refusal.value.body == f"{WHEEL} already exists: publish a new version"
    assert (data / WHEEL).read_bytes() == b"first"
    assert left(data) == [WHEEL]


def test_exactly_one_of_many_who_store_the_same_name_at_once_succeeds(data: Path) -> None:
    start = threading.Barrier(8)
    stored: list[bytes] = []
    refused: list[int] = []
    whole = storage(data, max_upload=2**20)

    def store(content: bytes) -> None:
        start.wait()
        try:
            whole.add_package(WHEEL, io.BytesIO(content))
            stored.append(content)
        except HTTPError as refusal:
            refused.append(refusal.status_code)

    threads = [
        threading.Thread(target=store, args=(bytes([number]) * 300_000,)) for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert refused == [409] * 7
    assert [(data / WHEEL).read_bytes()] == stored
    assert left(data) == [WHEEL]


def test_the_largest_is_stored_and_one_byte_more_is_refused(data: Path) -> None:
    storage(data, max_upload=10).add_package(WHEEL, io.BytesIO(b"x" * 10))

    with pytest.raises(HTTPError) as refusal:
        storage(data, max_upload=10).add_package("other-1.0.tar.gz", io.BytesIO(b"x" * 11))

    assert refusal.value.status_code == 413
    assert left(data) == [WHEEL]


def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_before_the_answer(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, link = os.fsync, os.link

    def recorded_fsync(descriptor: int) -> None:
        fsync(descriptor)
        done.append(f"{os.fstat(descriptor).st_mode & 0o170000:o} on disk")

    def recorded_link(source: str, target: str) -> None:
        link(source, target)
        done.append("named")

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "link", recorded_link)
    storage(data).add_package(WHEEL, io.BytesIO(b"content"))

    assert done == ["100000 on disk", "named", "40000 on disk"]


@pytest.mark.parametrize("step", [(shutil, "copyfileobj"), (os, "fsync"), (os, "link")])
def test_a_full_disk_leaves_nothing_behind(
    data: Path, monkeypatch: pytest.MonkeyPatch, step: tuple[object, str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*step, fail)

    with pytest.raises(OSError, match="No space left"):
        storage(data).add_package(WHEEL, io.BytesIO(b"content"))

    assert left(data) == []


def test_what_is_unfinished_is_on_the_same_volume_and_in_no_list(data: Path) -> None:
    seen: list[list[str]] = []

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            seen.append(left(data))
            assert list(storage(data).get_all_packages()) == []
            return super().read(size)

    stream: BinaryIO = Slow(b"content")
    storage(data).add_package(WHEEL, stream)

    assert seen
    assert all(len(names) == 1 and names[0].startswith(f"{UPLOADS}/") for names in seen)


def test_nothing_is_removed_over_http(data: Path) -> None:
    storage(data).add_package(WHEEL, io.BytesIO(b"content"))
    package = PkgFile("my_private_lib", "0.1.0", fn=str(data / WHEEL))

    with pytest.raises(HTTPError) as refusal:
        storage(data).remove_package(package)

    assert refusal.value.status_code == 403
    assert left(data) == [WHEEL]


def test_a_copied_file_is_listed_without_a_restart(data: Path) -> None:
    running = storage(data)
    assert list(running.get_projects()) == []

    with tempfile.NamedTemporaryFile(dir=data, suffix=".part") as part:
        part.write(b"content")
        os.link(part.name, data / WHEEL)

    assert list(running.get_projects()) == ["my-private-lib"]
