"""The journal: what was published, found, yanked and removed, when and by whom.

It is the one file beside the distributions that cannot be derived from them. It only grows, by
whole lines of JSON, and lies in the data folder, so that a copy of that folder is a whole backup.

Each line ends with `after`, a hash of the line before it. So a line that is missing or that has
changed shows in the next one. Where the line before has no hash of its own, because it was torn by
a crash, edited in or written by an older version, `after` is the hash of all that stands before.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

FILE = ".journal.jsonl"

_HASHED = re.compile(rb', "after": "([0-9a-f]{16})"\}\r?\Z')
_BLOCK = 4096

TIMESTAMP = "%Y-%m-%dT%H:%M:%S.%fZ"
"""The form of PEP 700."""
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")

Record = dict[str, Any]
"""A line: `time`, `action` and `file`, and what else belongs to the action.

upload: size, sha256, by. find: size, sha256, uploaded, and instead_of if another name stood for the
same before. sign: size and sha256 of the signature, by. yank: reason, by. unyank, remove: by.
repair, whose file is the journal itself: reason, by. What a repair brought back is `restored`."""


class Journal:
    """The open, locked journal; nobody else writes as long as it is."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def end(self) -> int:
        """Where the next line will begin: the file's size in bytes."""
        return os.fstat(self._descriptor).st_size

    def mark(self, end: int) -> str:
        """Return what is other if a journal ended there that had another last line before."""
        if not 0 < end <= self.end:
            return ""
        # An older version did not hash its lines: then a few of them are better than one.
        start = min(self._start_of_line(end), max(0, end - 1024))
        return sha256(os.pread(self._descriptor, end - start, start)).hexdigest()

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
        # A machine that died while it wrote has left a line without its end.
        torn = bool(end) and os.pread(self._descriptor, 1, end - 1) != b"\n"
        lines, after = [b"\n"] if torn else [], self._hash(end, b"\n" if torn else b"")
        for record in records:
            line = json.dumps({**record, "after": after}, ensure_ascii=True).encode()
            lines.append(line + b"\n")
            after = _hashed(line)
        content = memoryview(b"".join(lines))
        try:
            while content:
                content = content[os.write(self._descriptor, content) :]
            os.fsync(self._descriptor)
        except BaseException:
            os.ftruncate(self._descriptor, end)
            raise

    def replace(self, data: Path, records: list[Record]) -> Path:
        """Put a journal with these records in the place of this one; return where this one is now.

        It happens at once, and is on the disk when this returns. The lock is held all the time.

        Raises:
            OSError: if the disk is full, among others; the journal is as it was.
        """
        unfinished, now = data / f"{FILE}.new", datetime.now(timezone.utc)
        kept = data / f"{FILE}.broken-{now:%Y%m%dT%H%M%S.%fZ}"
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(unfinished, flags, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            Journal(descriptor).append(records)
            os.link(data / FILE, kept)
            unfinished.replace(data / FILE)
            os.dup2(descriptor, self._descriptor, inheritable=False)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        folder = os.open(data, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return kept

    def since(self, offset: int) -> Iterator[Record]:
        """Yield the records from a place in the file on; what is not a record is left out."""
        for line in self._lines(offset):
            record = parse(line)
            if record:
                yield record

    def breaks(self) -> list[int]:
        """Read all of it; return the numbers of the lines that do not follow the one before."""
        return [number for number, _, follows in examined(self._lines(0)) if not follows]

    def _lines(self, offset: int) -> Iterator[bytes]:
        with open(self._descriptor, "rb", closefd=False) as file:
            file.seek(offset)
            yield from file

    def _hash(self, end: int, more: bytes) -> str:
        """Return the `after` of the line that will follow what ends there, and `more`."""
        start = self._start_of_line(end)
        line = os.pread(self._descriptor, end - start, start).removesuffix(b"\n")
        if _HASHED.search(line):
            return _hashed(line)
        before = sha256()
        for one in self._lines(0):
            before.update(one)
        before.update(more)
        return before.hexdigest()[:16]

    def _start_of_line(self, end: int) -> int:
        """Return where the line begins whose end is there."""
        searched = max(0, end - 1)
        while searched:
            start = max(0, searched - _BLOCK)
            found = os.pread(self._descriptor, searched - start, start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            searched = start
        return 0


@contextmanager
def locked(data: Path) -> Iterator[Journal]:
    """Open the journal of a data folder and wait until no other process or thread has it open.

    Whoever changes the data folder or the index holds this lock.
    """
    descriptor = _locked(data / FILE)
    try:
        yield Journal(descriptor)
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # A repair may have put another file there while this one was waited for.
            if _is_at(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def examined(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes, bool]]:
    """Yield number and content of each line of a whole journal, and whether it follows the others.

    A line that has no hash says nothing of those before it, and follows whatever they are.
    """
    before, last = sha256(), b""
    for number, line in enumerate(lines, start=1):
        content = line.removesuffix(b"\n")
        hashed = _HASHED.search(content)
        after = hashed[1].decode() if hashed else ""
        yield number, line, after in ("", _hashed(last)) or after == before.hexdigest()[:16]
        before.update(line)
        last = content


def parse(line: bytes) -> Record | None:
    """Return what a line says, without its hash; None if it is no record."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not {"time", "action", "file"} <= record.keys():
        return None
    record.pop("after", None)
    return record


def text(record: Record) -> str:
    """Return what two lines have in common that say the same, whatever stands before them."""
    return json.dumps({key: value for key, value in record.items() if key != "restored"})


def _hashed(line: bytes) -> str:
    return sha256(line).hexdigest()[:16]


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
