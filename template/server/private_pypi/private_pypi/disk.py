"""Files: written so that a crash leaves the old content or the new, locked, synced, hashed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file that only its owner may read; the new one is on the disk when this returns."""
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink()
        raise
    # The new name is on the disk only when its folder is.
    sync(path.parent)


def write_unsynced(path: Path, content: bytes, unfinished: Path) -> None:
    """Replace a file that everybody may read and that can be made again, without fsync.

    Only a power failure may leave part of it.

    Args:
        unfinished: a path of the same file system that nothing else uses at the same time.
    """
    unfinished.unlink(missing_ok=True)
    unfinished.write_bytes(content)
    unfinished.replace(path)


def replace_files(
    folder: Path, files: Mapping[str, bytes], names: Iterable[str], unfinished: Path
) -> None:
    """Have these files in a folder, and no other of these names.

    One whose bytes stay the same stays the same file. Each is replaced at once, as write_unsynced
    does it: none is missing or torn for an instant.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if name not in files:
            (folder / name).unlink(missing_ok=True)
        elif _content(folder / name) != files[name]:
            write_unsynced(folder / name, files[name], unfinished)


def has_files(folder: Path, files: Mapping[str, bytes], names: Iterable[str]) -> bool:
    """Return whether a folder has these files, and no other of these names."""
    return all(_content(folder / name) == files.get(name) for name in names)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep others from changing files of a folder at the same time and losing this change."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def delete(path: Path) -> None:
    """Delete a file, a link or a folder with all that is in it; nothing need be there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Force a file, or the names that were given or taken in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Return the hex digest of a file."""
    with path.open("rb") as file:
        return digests(file, ["sha256"])["sha256"]


def digests(content: IO[bytes], algorithms: Iterable[str]) -> dict[str, str]:
    """Read the rest of a file once; return hex digests of it: md5, sha256 or blake2_256."""
    hashes = {
        name: hashlib.blake2b(digest_size=32) if name == "blake2_256" else hashlib.new(name)
        for name in algorithms
    }
    while chunk := content.read(2**20):
        for digest in hashes.values():
            digest.update(chunk)
    return {name: digest.hexdigest() for name, digest in hashes.items()}


def stamp(path: Path) -> object:
    """Return a value that differs after a file was written, replaced or deleted; None without one.

    After a change of its mode or owner, too: it may be readable from then on.
    """
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino
