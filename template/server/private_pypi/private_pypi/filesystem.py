"""Whether a disk can do what the index relies on, found out by doing it.

A file system that lacks something often shows it only when it is too late: the first upload fails,
two processes write at once, or a power failure takes back an upload that was answered with 200.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

PREFIX = ".proof-"
"""The start of the names of folders in which something is tried out; with its dot, on no page."""

_ABANDONED = 60
"""Seconds after which no process uses such a folder any more: it takes far less than one."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REMEDY = "put all of it on one disk with a file system such as ext4, XFS, Btrfs or ZFS"


class Need(NamedTuple):
    """An ability of the file system that the index relies on.

    Attributes:
        lack: the words for a folder that does not have it.
        attempt: uses it in an empty folder. It returns why that does not work, or an empty text, or
            raises OSError or sqlite3.Error.
    """

    lack: str
    attempt: Callable[[Path], str]


def complaints(folder: Path, name: str, *needs: Need) -> list[str]:
    """Try out each need on the disk of a folder; return a sentence for each that it lacks.

    It leaves nothing behind and disturbs no process that uses the folder meanwhile. There is no
    complaint about a full disk: it cannot show its abilities, and its files can still be served.

    Args:
        folder: one that may be written.
        name: what its owner calls it.
    """
    try:
        place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
    except OSError as error:
        if error.errno in _FULL:
            return []
        return [f"{name} takes nothing new ({error.strerror}): repair its disk, or mount it anew"]
    try:
        _delete_abandoned(folder, place)
        found = [(need.lack, _reason(need, place)) for need in needs]
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return [f"{name} {lack} ({reason}): {_REMEDY}" for lack, reason in found if reason]


def _reason(need: Need, place: Path) -> str:
    try:
        return need.attempt(Path(tempfile.mkdtemp(dir=place)))
    except OSError as error:
        return "" if error.errno in _FULL else error.strerror or str(error)
    except sqlite3.Error as error:
        return str(error)


def _delete_abandoned(folder: Path, place: Path) -> None:
    """Delete the folders that killed processes left behind."""
    now = place.stat().st_mtime
    for other in folder.glob(f"{PREFIX}*"):
        # The process that uses it may have deleted it by now.
        with suppress(FileNotFoundError):
            if now - other.stat().st_mtime > _ABANDONED:
                shutil.rmtree(other, ignore_errors=True)


def hard_links(arrives: Path) -> Need:
    """Return the need to give a file that arrives in another folder a name here, without a copy."""

    def attempt(place: Path) -> str:
        with tempfile.NamedTemporaryFile(dir=arrives) as unfinished:
            # Locked like an upload: a server that starts deletes those that are not.
            with suppress(OSError):
                fcntl.flock(unfinished, fcntl.LOCK_EX)
            os.link(unfinished.name, place / "link")
        return ""

    lack = f"has no hard links out of {arrives.name}, by which an upload gets its name"
    return Need(lack, attempt)


def _lock(place: Path) -> str:
    with (place / "file").open("w") as one, (place / "file").open("w") as other:
        fcntl.flock(one, fcntl.LOCK_EX)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return ""
        return "two have the same lock"


def _sync(place: Path) -> str:
    with (place / "file").open("wb") as file:
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return ""


def _replace(place: Path) -> str:
    for content in ("old", "new"):
        (place / "unfinished").write_text(content)
        (place / "unfinished").replace(place / "file")
    return ""


def _set_mode(place: Path) -> str:
    (place / "file").touch(0o600)
    (place / "file").chmod(0o644)
    return ""


def _keep_private(place: Path) -> str:
    descriptor, name = tempfile.mkstemp(dir=place)
    os.close(descriptor)
    mode = Path(name).stat().st_mode & 0o777
    return f"a file that is to have mode 0600 has {mode:04o}" if mode & 0o077 else ""


def _note_changes(place: Path) -> str:
    # Long ago, so that the time differs even where a clock ticks slowly.
    try:
        os.utime(place, (10**9, 10**9))
    except PermissionError:
        return ""  # Everything belongs to another user here: MODES complains of that.
    before = place.stat().st_mtime_ns
    (place / "file").touch()
    return "" if place.stat().st_mtime_ns != before else "its time stays what it was"


def _link(place: Path) -> str:
    for target in ("../old", "../new"):
        (place / "unfinished").symlink_to(target)
        (place / "unfinished").replace(place / "link")
    target = str((place / "link").readlink())
    return "" if target == "../new" else f"one to ../new leads to {target}"


def _share_memory(place: Path) -> str:
    # SQLite would not always say that the disk is full.
    (place / "room").write_bytes(bytes(2**18))

    def connect() -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(place / "file", isolation_level=None))

    with connect() as writer:
        (mode,) = writer.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            return f"it stays with journal_mode={mode}"
        writer.execute("CREATE TABLE tried (number)")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO tried VALUES (1)")
        with connect() as reader:
            reader.execute("SELECT * FROM tried").fetchall()
    return ""


LOCKS = Need("has no locks (flock), which keep two from writing at once", _lock)
SYNC = Need("forces nothing to the disk (fsync), so that a power failure may lose it", _sync)
REPLACE = Need("replaces no file by another at once (rename)", _replace)
MODES = Need("does not let the mode of a file be set (chmod)", _set_mode)
PRIVATE = Need("cannot keep a file secret from other users", _keep_private)
CHANGES = Need("does not show when something was added to a folder", _note_changes)
SYMBOLIC_LINKS = Need("has no symbolic links, through which distributions are served", _link)
SHARED_MEMORY = Need("has no memory that SQLite could share between processes", _share_memory)
