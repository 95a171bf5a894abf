"""The pages of PyPI that are kept on the disk, each until another takes its place.

    public_data/pages/<project>.json    three lines of JSON: what is known of the page, the page,
                                        and files that are kept but no longer on it

The time of modification of such a file is when PyPI confirmed the page last. The first line is all
that a request needs whose answer is rendered already. Anybody may delete a page at any time.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import disk
from ..distribution import is_normalised
from .document import Document, File
from .kept import PAGES, RESERVE
from .recent import Recent

# The file of its page must have room for what is written beside it.
_LONGEST = 200
# Bytes of kept pages that are held in memory, read. They take six times as much there.
_HELD = 4 * 2**20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """The first line of a kept page, and when PyPI confirmed it (seconds since 1970)."""

    identity: str
    etag: str
    is_missing: bool
    checked: float


class KeptPages:
    """The kept pages of one index; its methods may be called in several threads at a time.

    Args:
        folder: public_data.
        files_of: returns the names of the files of a project that are kept.
        has_room: returns whether so many bytes may be kept.
        forget: deletes a kept file of a project, because PyPI has another one of this name.
    """

    def __init__(
        self,
        folder: Path,
        files_of: Callable[[str], Collection[str]],
        has_room: Callable[[int], bool],
        forget: Callable[[str, str], object],
    ) -> None:
        self._folder = folder / PAGES
        self._files_of = files_of
        self._has_room = has_room
        self._forget = forget
        self._problem = ""
        self._unsynced: set[str] = set()
        self._recent = Recent[str, tuple[str, Document]](_HELD)

    def open(self) -> None:
        """Make the folder, and delete what was unfinished when the server was killed.

        Raises:
            OSError: if the folder cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            if path.suffix != ".json":
                disk.delete(path)

    def known(self, project: str) -> Known | None:
        """Return what is known of a kept page; None if there is none."""
        if not is_project(project):
            return None
        try:
            with self._path(project).open("rb") as file:
                head = json.loads(file.readline(2**16))
                checked = os.fstat(file.fileno()).st_mtime
            return Known(head["identity"], head["etag"], head["missing"], checked)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def read(self, project: str) -> Document | None:
        """Return the kept page of a project, however old; None if there is none."""
        known = self.known(project)
        if not known:
            return None
        identity, read = self._recent.get(project) or ("", None)
        if read and identity == known.identity:
            return read
        try:
            head, page, gone = self._path(project).read_bytes().splitlines()
            if hashlib.sha256(page).hexdigest() != json.loads(head)["identity"]:
                raise ValueError
            etag = json.loads(head)["etag"]
            document = Document(project, json.loads(page), etag, tuple(json.loads(gone)))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError):
            log.warning("the kept page of %s is damaged: it is fetched again", project)
            self._path(project).unlink(missing_ok=True)
            return None
        self._recent.put(project, (json.loads(head)["identity"], document), len(page))
        return document

    def write(self, document: Document, *, is_missing: bool = False) -> tuple[str, Document | None]:
        """Keep a page, and what the former one says of files that are kept but not on this one.

        Args:
            is_missing: whether PyPI has no such project any more.

        Returns:
            its identity, and the page itself if it cannot be kept; the log says why.
        """
        page = json.dumps(document.raw, separators=(",", ":")).encode()
        identity = hashlib.sha256(page).hexdigest()
        names, former = self._before(document.name)
        gone = _gone(names, former, document)
        for filename in _replaced(names, former, document):
            log.warning("PyPI has another %s by now: the kept one is deleted", filename)
            self._forget(document.name, filename)
        document = Document(document.name, document.raw, document.etag, gone)
        head = {"identity": identity, "etag": document.etag, "missing": is_missing}
        content = b"\n".join([json.dumps(head).encode(), page, json.dumps(gone).encode(), b""])
        try:
            # Somebody may have deleted it.
            self._folder.mkdir(parents=True, exist_ok=True)
            problem = "" if self._has_room(len(content)) else self._lack(len(content))
            if not problem:
                self._write(document.name, content)
        except OSError as error:
            problem = f"{self._folder} cannot be written: {error.strerror}"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                problem += ": free some space on its disk"
        # Disks that are full stay so for a while: one line says it.
        if problem and problem != self._problem:
            log.warning("pages of PyPI are passed on, but not kept: %s", problem)
        self._problem = problem
        if problem:
            return identity, document
        self._recent.put(document.name, (identity, document), len(page))
        return identity, None

    def write_missing(self, project: str) -> None:
        """Keep what is known of the kept files of a project that PyPI no longer has."""
        page: dict[str, Any] = {"meta": {"api-version": "1.0"}, "name": project, "files": []}
        document = Document(project, page)
        gone = _gone(*self._before(project), document)
        if not gone or self.write(document, is_missing=True)[1]:
            self._path(project).unlink(missing_ok=True)

    def confirm(self, project: str) -> None:
        """Note that PyPI has said now that a kept page is right."""
        with suppress(OSError):
            os.utime(self._path(project))

    def _write(self, project: str, content: bytes) -> None:
        """Write a page; with fsync if files of the project are kept, which the policy judges by it.

        Most pages are of no kept file when they are written, and a client waits for each: these
        are written without fsync. A power failure may tear one, which its hash in the first line
        shows, so that it is fetched again. sync() is called before a file is kept.
        """
        path = self._path(project)
        if self._files_of(project):
            disk.write_atomically(path, content)
        else:
            disk.write_unsynced(path, content, path.with_suffix(".new"))
            self._unsynced.add(project)

    def sync(self, project: str) -> None:
        """Have the kept page of a project outlive a power failure, from now on.

        Raises:
            OSError: if it cannot be written to the disk.
        """
        if project not in self._unsynced:
            return
        # In this order: a page that is written meanwhile needs a sync of its own.
        self._unsynced.discard(project)
        try:
            disk.sync(self._path(project))
            disk.sync(self._folder)
        except FileNotFoundError:
            pass
        except OSError:
            self._unsynced.add(project)
            raise

    def _lack(self, size: int) -> str:
        """Return why there is no room for so many bytes, and what to do about it."""
        if shutil.disk_usage(self._folder).free < RESERVE + size:
            return (
                f"the disk of {self._folder} is full but for {RESERVE // 2**30} GB, which is left"
                " free: free some space there"
            )
        return "public_max_gb is reached: raise it in .pypi.env"

    def _before(self, project: str) -> tuple[set[str], Document | None]:
        """Return the names of kept files, and the page that is kept until now if there are any."""
        names = set(self._files_of(project))
        return names, self.read(project) if names else None

    def _path(self, project: str) -> Path:
        return self._folder / f"{project}.json"


def _gone(names: set[str], former: Document | None, new: Document) -> tuple[Any, ...]:
    """Return what the former page says of kept files that are not on the new one."""
    if not former:
        return ()
    names = names - {raw["filename"] for raw in new.raw["files"]}
    listed = (*former.raw["files"], *former.gone)
    return tuple(raw for raw in listed if raw["filename"] in names)


def _replaced(names: set[str], former: Document | None, new: Document) -> list[str]:
    """Return the names of kept files that are not those of the new page, by their hashes."""
    found = [(former and former.file(name), new.file(name)) for name in names]
    return [now.filename for before, now in found if before and now and _differ(before, now)]


def _differ(before: File, now: File) -> bool:
    theirs, ours = before.metadata_hashes, now.metadata_hashes
    has_other_metadata = bool(theirs and ours) and not _agree(theirs or {}, ours or {})
    return has_other_metadata or not _agree(before.hashes, now.hashes)


def _agree(some: dict[str, str], others: dict[str, str]) -> bool:
    """Return whether hashes are those of one file, as far as they can be compared."""
    common = some.keys() & others.keys()
    return bool(common) and all(some[name] == others[name] for name in common)


def is_project(name: str) -> bool:
    """Return whether a text is the normalised name of a project, and not too long for a file."""
    return len(name) <= _LONGEST and is_normalised(name)
