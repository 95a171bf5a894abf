"""The journal: what was published, found, yanked and removed, when and by whom.

It is the one file beside the distributions that cannot be derived from them. It only grows, by
whole lines of JSON, and lies in the data folder, so that a copy of that folder is a whole backup.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

FILE = ".journal.jsonl"

TIMESTAMP = "%Y-%m-%dT%H:%M:%S.%fZ"
"""The form of PEP 700."""
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")

Record = dict[str, Any]
"""A line: `time`, `action` and `file`, and what else belongs to the action.

upload: size, sha256, by. find: size, sha256, uploaded, and instead_of if another name stood for the
same before. yank: reason, by. unyank, remove: by."""


class Journal:
    """The open, locked journal; nobody else writes as long as it is."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def end(self) -> int:
        """Where the next line will begin: the file's size in bytes."""
        return os.fstat(self._descriptor).st_size

    def mark(self, end: int) -> str:
        """Return what is other if a journal ended there that had other lines before."""
        start = max(0, end - 1024)
        before = os.pread(self._descriptor, end - start, start)
        return sha256(before).hexdigest() if len(before) == end - start and end else ""

    @property
    def state(self) -> tuple[int, int]:
        """Which file this is, and its end."""
        stat = os.fstat(self._descriptor)
        return stat.st_ino, stat.st_size

    def append(self, records: list[Record]) -> None:
        """Write lines to the disk, all or none.

        Raises:
            OSError: if the disk is full, among others; the journal is as it was.
        """
        end = self.end
        lines = [json.dumps(record, ensure_ascii=True).encode() + b"\n" for record in records]
        # A machine that died while it wrote has left a line without its end.
        if end and os.pread(self._descriptor, 1, end - 1) != b"\n":
            lines.insert(0, b"\n")
        content = memoryview(b"".join(lines))
        try:
            while content:
                content = content[os.write(self._descriptor, content) :]
            os.fsync(self._descriptor)
        except BaseException:
            os.ftruncate(self._descriptor, end)
            raise

    def since(self, offset: int) -> Iterator[Record]:
        """Yield the records from a place in the file on; what is not a record is left out."""
        with open(self._descriptor, "rb", closefd=False) as file:
            file.seek(offset)
            for line in file:
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(record, dict) and {"time", "action", "file"} <= record.keys():
                    yield record


@contextmanager
def locked(data: Path) -> Iterator[Journal]:
    """Open the journal of a data folder and wait until no other process or thread has it open.

    Whoever changes the data folder or the index holds this lock.
    """
    descriptor = os.open(data / FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield Journal(descriptor)
    finally:
        os.close(descriptor)


def state(data: Path) -> tuple[int, int] | None:
    """Return the state of the journal, without its lock; None if there is none."""
    try:
        stat = (data / FILE).stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size


def is_timestamp(value: object) -> bool:
    """Return whether a value has the form of a time in the journal, to the digit."""
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        return False
    try:
        return bool(datetime.fromisoformat(value.removesuffix("Z")))
    except ValueError:
        return False


def is_text(value: object) -> bool:
    """Return whether a value is text that UTF-8 can hold: JSON may name half a character."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def timestamp(seconds: float) -> str:
    """Return a time since 1970 as PEP 700 writes it."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime(TIMESTAMP)
