"""Files are replaced whole, and forced to the disk where that is promised."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from private_pypi import disk


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Everything that is forced to the disk, in order, by its path at that time."""
    paths: list[Path] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return paths


def test_a_file_that_only_its_owner_reads_is_on_the_disk_before_it_has_its_name_and_after(
    tmp_path: Path, synced: list[Path]
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    path.chmod(0o644)

    disk.write_atomically(path, b"new")

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    unfinished, folder = synced
    assert unfinished.parent == folder == tmp_path
    assert unfinished.name.startswith("secret.")


def test_a_page_that_can_be_made_again_is_not_waited_for(
    tmp_path: Path, synced: list[Path]
) -> None:
    path, unfinished = tmp_path / "page", tmp_path / "unfinished"
    unfinished.write_bytes(b"left behind by a process that was killed")

    disk.write_unsynced(path, b"new", unfinished)

    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
    assert synced == []


def broken(*_: object, **__: object) -> None:
    """Fail as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace"])
def test_what_cannot_be_written_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    monkeypatch.setattr(call, broken)

    with pytest.raises(OSError, match="No space"):
        disk.write_atomically(path, b"new")

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_locked_folder_lets_one_in_at_a_time(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with disk.locked(tmp_path):
            order.append("second")

    waiting = threading.Thread(target=second)
    with disk.locked(tmp_path):
        waiting.start()
        waiting.join(0.2)
        order.append("first")
    waiting.join()

    assert order == ["first", "second"]


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
def test_files_and_folders_are_forced_to_the_disk(
    tmp_path: Path, synced: list[Path], make: Callable[[Path], None]
) -> None:
    make(tmp_path / "it")

    disk.sync(tmp_path / "it")

    assert synced == [tmp_path / "it"]


@pytest.mark.parametrize("content", [b"", b"short", bytes(3 * 2**20 + 1)])
def test_the_digest_of_a_file_is_that_of_its_content(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)

    assert disk.sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_digests_of_what_is_left_of_a_file_are_those_of_hashlib() -> None:
    content = bytes(range(256)) * 10_000
    file = io.BytesIO(b"read before" + content)
    file.seek(11)

    assert disk.digests(file, ["md5", "sha256", "blake2_256"]) == {
        "md5": hashlib.md5(content).hexdigest(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "blake2_256": hashlib.blake2b(content, digest_size=32).hexdigest(),
    }
