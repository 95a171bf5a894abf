"""The folder public_data: what of PyPI is kept there, and what goes when it becomes too much.

    public_data/
        public/<project>/<file name>    verified files; the gateway serves them by this very path
        pages/<project>.json            the pages of projects, which another module writes
        .unfinished/                    files that are still arriving

A file gets its name only once all of it is verified and on the disk, so whatever has a name can be
served, whenever the server was killed. What lies here can be fetched again: anybody may delete it
at any time. A file that somebody, or a broken disk, changed in place stays until it is deleted:
installers refuse it, as its hash is not that of the page.
"""

from __future__ import annotations

import heapq
import logging
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from .. import disk
from ..terminal import spelled

UNFINISHED, PUBLIC, PAGES = ".unfinished", "public", "pages"
METADATA = ".metadata"
"""What the name of a file's core metadata ends with (PEP 658)."""

RESERVE = 2**30
"""Bytes of the disk that are left free, for the private packages that may lie on it."""

_SHARE = 0.9
"""What remains of the limit when it was exceeded."""

# Paths that are held in memory at a time when the oldest files are looked for.
_BATCH = 1000

log = logging.getLogger(__name__)

Hidden = Callable[[str], Callable[[str], bool]]
"""What a policy hides of a project: given its name, a function of the names of its files."""


class Kept:
    """What is kept of PyPI, with a limit in bytes.

    Methods may be called in several threads at a time, but by one process only.

    Args:
        folder: public_data.
        max_bytes: the limit of all that lies in it.
        reserve: bytes of the disk that are left free: with less, old files make room for new ones.
    """

    def __init__(self, folder: Path, max_bytes: int, *, reserve: int = RESERVE) -> None:
        self._folder = folder
        self._unfinished = folder / UNFINISHED
        self._public = folder / PUBLIC
        self._max_bytes = max_bytes
        self._reserve = reserve
        self._lock = threading.Lock()
        self._counted = 0
        self._promised = 0
        self._hidden: Hidden = lambda project: lambda filename: False
        self._is_complaining = False

    def open(self) -> None:
        """Make the folders, delete what is unfinished, and count the rest.

        Raises:
            OSError: if the folder cannot be written.
        """
        self._make_folders()
        for entry in _entries(self._unfinished):
            disk.delete(Path(entry.path))
        self._promised = 0
        self.sweep()

    def sweep(self) -> None:
        """Count what lies here, and delete the oldest files if it is more than the limit.

        The time that counts is that of the last access.
        """
        with self._lock:
            self._count()
            limit = self._limit()
            if self._counted + self._promised > limit:
                self._shrink(int(limit * _SHARE) - self._promised)

    def make_room(self, size: int) -> bool:
        """Promise space for a file, for which old ones are deleted if need be.

        Each promise ends with keep() or give_back().

        Args:
            size: of the file, in bytes.

        Returns:
            whether there is so much; if not, the file must not be kept.
        """
        with self._lock:
            if self._counted + self._promised + size > self._limit():
                self._count()
                limit = self._limit()
                # It would delete everything else in vain.
                if self._promised + size <= limit < self._counted + self._promised + size:
                    self._shrink(int(limit * _SHARE) - self._promised - size)
                if self._counted + self._promised + size > limit:
                    self.complain(f"there is no room for {size} bytes, of {limit} in all")
                    return False
            self._promised += size
            return True

    def give_back(self, promised: int) -> None:
        """End a promise of make_room()."""
        with self._lock:
            self._promised -= promised

    def count_page(self, size: int) -> bool:
        """Make room for a page that is about to be written, and count it.

        A page that another replaces counts until the next sweep().

        Returns:
            whether there is so much; if not, the page must not be kept.
        """
        if not self.make_room(size):
            return False
        with self._lock:
            self._promised -= size
            self._counted += size
        return True

    def begin(self) -> tuple[int, Path]:
        """Open a new unfinished file, to write and to read.

        Returns:
            its descriptor and its path.

        Raises:
            OSError: if the disk is full, say.
        """
        self._make_folders()
        descriptor, path = tempfile.mkstemp(dir=self._unfinished, prefix="")
        return descriptor, Path(path)

    def _make_folders(self) -> None:
        # Somebody may delete them at any time.
        for folder in (self._unfinished, self._public):
            folder.mkdir(parents=True, exist_ok=True)

    def complain(self, reason: object) -> None:
        """Log once, until a file is kept again, why none are."""
        if not self._is_complaining:
            self._is_complaining = True
            log.warning(
                "files of PyPI are passed on, but not kept: %s; free some space on the disk of"
                " public_data, or raise public_max_gb in .pypi.env",
                reason,
            )

    def keep(self, descriptor: int, unfinished: Path, project: str, name: str) -> bool:
        """Give a verified file its name; it is on the disk when this returns.

        The promise of make_room() stays to be given back. A file that the policy hides by now is
        deleted.

        Args:
            descriptor: of the unfinished file.
            project: the normalised name.
            name: that of the file.

        Returns:
            whether it is kept.

        Raises:
            OSError: if it cannot be kept; `unfinished` is still there then.
        """
        # The gateway may be another user.
        os.fchmod(descriptor, 0o644)
        os.fsync(descriptor)
        size = os.fstat(descriptor).st_size
        filename = name.removesuffix(METADATA)
        if self._hidden(project)(filename):
            unfinished.unlink()
            return False
        path = self._public / project / name
        self._rename(unfinished, path)
        with self._lock:
            self._counted += size
        disk.sync(path.parent)
        self._is_complaining = False
        # discard() may have passed by before the file was there.
        if self._hidden(project)(filename):
            self._delete(path, size)
            return False
        return True

    def _rename(self, unfinished: Path, path: Path) -> None:
        for _ in range(10):
            if path.parent.is_symlink():
                raise NotADirectoryError(f"{path.parent} is a link")
            with suppress(FileExistsError):
                path.parent.mkdir()
                disk.sync(self._public)
            try:
                # A link in its place is replaced, not followed.
                unfinished.replace(path)
                return
            except FileNotFoundError:
                # Its folder was empty, so it was deleted at this very moment: make it again.
                if not unfinished.exists():
                    raise
        raise FileNotFoundError(f"{path.parent} disappears again and again")

    def find(self, project: str, name: str, size: int | None) -> int | None:
        """Open a kept file to read it, if there is one.

        What is kept was verified when it came, so its hash is not computed again. Should PyPI's
        page have another hash by now, forget() deletes the file.

        Args:
            size: in bytes, as the page says; a file of another size is none. None if it is unknown.

        Returns:
            its descriptor, which the caller closes.
        """
        path = self._public / project / name
        try:
            if path.parent.is_symlink():
                return None
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError):
            return None
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or size not in (None, found.st_size):
            os.close(descriptor)
            return None
        return descriptor

    def discard(self, hidden: Hidden) -> int:
        """Delete the kept files, and their metadata, that a policy hides, now and from now on.

        Args:
            hidden: is asked, in any thread, once for each project of which files are kept. It is
                asked again, until the next discard(), whenever a file is about to be kept: it must
                judge by the time of that moment.

        Returns:
            how many files were deleted.
        """
        self._hidden = hidden
        deleted = 0
        for folder in _entries(self._public):
            if not folder.is_dir(follow_symlinks=False):
                continue
            is_hidden = hidden(folder.name)
            for entry in _entries(Path(folder.path)):
                if is_hidden(entry.name.removesuffix(METADATA)):
                    deleted += self._delete_if_there(Path(entry.path))
        return deleted

    def forget(self, project: str, filename: str) -> None:
        """Delete a kept file and its metadata, if they are kept.

        Args:
            project: the normalised name.
            filename: of the file.
        """
        folder = self._public / project
        if not folder.is_symlink():
            for name in (filename, f"{filename}{METADATA}"):
                self._delete_if_there(folder / name)

    def _delete_if_there(self, path: Path) -> bool:
        try:
            found = path.lstat()
            if stat.S_ISDIR(found.st_mode):
                return False
            self._delete(path, found.st_size)
        except FileNotFoundError:
            return False
        return True

    def _delete(self, path: Path, size: int) -> None:
        path.unlink(missing_ok=True)
        with self._lock:
            self._counted -= size
        self._delete_empty(path.parent)

    def _delete_empty(self, folder: Path) -> None:
        if folder.parent == self._public:
            # It fails, as it should, if a file has just arrived there.
            with suppress(OSError):
                folder.rmdir()

    def _limit(self) -> int:
        """Return the bytes that may lie here now: on a full disk, no more than there are."""
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError:
            # Deleted by somebody, it is made again. All else shows when something is written.
            return self._max_bytes
        return min(self._max_bytes, self._counted + max(0, free - self._reserve))

    def _count(self) -> None:
        self._counted = 0
        for entry in self._all():
            with suppress(FileNotFoundError):
                self._counted += entry.stat(follow_symlinks=False).st_size

    def _shrink(self, target: int) -> None:
        """Delete the files that were read last, longest ago, until so many bytes remain.

        Of a project the page goes last: the policy judges the kept files by it.
        """
        deleted = before = self._counted
        while self._counted > target and deleted:
            deleted = 0
            # Each look holds only some paths in memory, however many there are.
            for _, path, size in heapq.nsmallest(_BATCH, self._last_reads()):
                if self._counted <= target:
                    break
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    log.warning("%s cannot be deleted: %s", spelled(str(path)), error.strerror)
                    continue
                self._counted -= size
                deleted += 1
                self._delete_empty(path.parent)
        log.info("deleted %d bytes that were read longest ago", before - self._counted)

    def _last_reads(self) -> Iterator[tuple[int, Path, int]]:
        for entry in self._all():
            path = Path(entry.path)
            if path.parent.name == PAGES and (self._public / path.stem).is_dir():
                continue
            with suppress(FileNotFoundError):
                found = entry.stat(follow_symlinks=False)
                yield found.st_atime_ns, path, found.st_size

    def _all(self) -> Iterator[os.DirEntry[str]]:
        for entry in _entries(self._folder):
            if entry.name != UNFINISHED and entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path))


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Return all entries below a folder that are no folders, as they are found."""
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        else:
            yield entry


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    # Somebody may delete it meanwhile.
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
