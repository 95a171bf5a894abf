"""The journal: what was published, found, yanked and removed, when and by whom.

It is the only file besides the distributions that cannot be derived from them. It only grows, by
whole lines of JSON, and is in the data folder, so that a copy of that folder is a whole backup.

Each line ends with `after`, a hash of the line before it, so that the next line shows if a line is
missing or was changed. If the line before has no hash of its own, because a crash tore it, or a
person or an older version wrote it, `after` is the hash of everything before.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

from .disk import sync

FILE = ".journal.jsonl"

_HASHED = re.compile(rb', "after": "([0-9a-f]{16})"\}\r?\Z')
_BLOCK = 4096

_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")

_DIGEST = re.compile("[0-9a-f]{64}")
_WITH_DIGEST = ("upload", "find", "sign", "attest")


class ReasonError(ValueError):
    """A reason cannot be written down; the message says why, and the remedy."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the journal: something that happened to a file.

    Attributes:
        time: when it happened, in the form of PEP 700.
        action: upload, find, sign, attest, yank, unyank, remove, mark or repair; others come from
            newer versions.
        file: the name of the distribution; for a mark the normalised name of the project, for a
            repair that of the journal itself.
        size, sha256: of the distribution; for a sign or attest, of what was put beside it.
        uploaded: for a find, when the file was last modified.
        instead_of: for a find, the earlier file of the same identity whose place it takes.
        reason: why a release was yanked, or what was repaired.
        by: the account, the trusted publisher, or the user of the machine.
        status: for a mark, the status that the project has from now on.
        job: for an upload without a stored password, which CI job sent it: the claims of its
            token that tell, by the names that `trust` gives them.
        more: fields that this version does not know, or whose values it cannot read.
        restored: whether a repair brought the line back.
        after: the hash of the line before; it does not matter when records are compared.
    """

    time: str
    action: str
    file: str
    size: int | None = None
    sha256: str | None = None
    uploaded: str | None = None
    instead_of: str | None = None
    reason: str | None = None
    by: str | None = None
    status: str | None = None
    job: dict[str, str] | None = field(default=None, hash=False)
    more: dict[str, Any] = field(default_factory=dict, hash=False)
    restored: bool = False
    after: str | None = field(default=None, compare=False)

    @classmethod
    def parse(cls, line: bytes | str) -> Record | None:
        """Read one line; return None if it is torn, damaged or not a record."""
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(values, dict):
            return None
        restored, after = bool(values.pop("restored", False)), values.pop("after", None)
        known: dict[str, Any] = {}
        more: dict[str, Any] = {}
        for name, value in values.items():
            is_readable = _READABLE.get(name)
            (known if is_readable and is_readable(value) else more)[name] = value
        if not {"time", "action", "file"} <= known.keys():
            return None
        return cls(
            **known, more=more, restored=restored, after=after if isinstance(after, str) else None
        )

    def as_line(self) -> bytes:
        """Return the line of the journal, without its newline."""
        marks: dict[str, object] = {"restored": True} if self.restored else {}
        if self.after is not None:
            marks["after"] = self.after
        return json.dumps({**self._values(), **marks}).encode()

    @property
    def text(self) -> str:
        """The line without `restored` and `after`: equal for two lines that say the same."""
        return json.dumps(self._values())

    def _values(self) -> dict[str, object]:
        values = {name: getattr(self, name) for name in _READABLE}
        return {name: value for name, value in values.items() if value is not None} | self.more

    @property
    def is_valid(self) -> bool:
        """Whether the index can act on it; it cannot if a person edited the line badly."""
        has_digest = self.sha256 is not None or self.action not in _WITH_DIGEST
        is_readable = self.more.keys().isdisjoint(("reason", "uploaded"))
        return has_digest and is_readable and is_utf8(self.file + (self.reason or ""))


class Journal:
    """The open journal. Its lock keeps all other processes and threads from writing."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @property
    def end(self) -> int:
        """The size of the file in bytes, where the next line will begin."""
        return os.fstat(self._descriptor).st_size

    def mark(self, end: int) -> str:
        """Return a digest of the last line before `end`, and of at least 1 KiB.

        It differs if the file was swapped for another journal; it is empty if this one is shorter.
        """
        if not 0 < end <= self.end:
            return ""
        # Lines of an older version have no hash: a few of them prove more than one.
        start = min(self._start_of_line(end), max(0, end - 1024))
        return sha256(os.pread(self._descriptor, end - start, start)).hexdigest()

    @property
    def state(self) -> tuple[int, int]:
        """The inode and the size of the file."""
        stat = os.fstat(self._descriptor)
        return stat.st_ino, stat.st_size

    def append(self, records: list[Record]) -> None:
        """Write records and sync them, all or none.

        Raises:
            OSError: if the disk is full, for example; the journal is as it was.
        """
        end = self.end
        # A crash may have left a line without its newline.
        torn = bool(end) and os.pread(self._descriptor, 1, end - 1) != b"\n"
        lines, after = [b"\n"] if torn else [], self._after(end, b"\n" if torn else b"")
        for record in records:
            line = replace(record, after=after).as_line()
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
        """Replace this journal by one with these records; return where the old one is kept.

        The change is atomic and synced, and the lock is held all the time.

        Raises:
            OSError: if the disk is full, for example; the journal is as it was.
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
        sync(data)
        return kept

    def since(self, offset: int) -> Iterator[Record]:
        """Yield the records from an offset in the file on; skip lines that are not records."""
        for line in self._lines(offset):
            record = Record.parse(line)
            if record:
                yield record

    def breaks(self) -> list[int]:
        """Read the whole journal; return the numbers of lines that do not follow the one before."""
        return [number for number, _, follows in check_chain(self._lines(0)) if not follows]

    def _lines(self, offset: int) -> Iterator[bytes]:
        with open(self._descriptor, "rb", closefd=False) as file:
            file.seek(offset)
            yield from file

    def _after(self, end: int, newline: bytes) -> str:
        """Return the `after` of a line that will follow at `end`, behind a missing newline."""
        start = self._start_of_line(end)
        line = os.pread(self._descriptor, end - start, start).removesuffix(b"\n")
        if _HASHED.search(line):
            return _hashed(line)
        before = sha256()
        for one in self._lines(0):
            before.update(one)
        before.update(newline)
        return before.hexdigest()[:16]

    def _start_of_line(self, end: int) -> int:
        """Return where the line begins that ends at `end`."""
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
    """Open the journal of a data folder; wait until no other process or thread has it open.

    Every change of the data folder or of the index is made under this lock.
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
            # A repair may have replaced the file while we waited.
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


def check_chain(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes, bool]]:
    """Yield each line of a whole journal with its number, and whether it follows those before it.

    A line without a hash follows any lines: it says nothing about them.
    """
    before, last = sha256(), b""
    for number, line in enumerate(lines, start=1):
        content = line.removesuffix(b"\n")
        hashed = _HASHED.search(content)
        after = hashed[1].decode() if hashed else ""
        yield number, line, after in ("", _hashed(last)) or after == before.hexdigest()[:16]
        before.update(line)
        last = content


def _hashed(line: bytes) -> str:
    return sha256(line).hexdigest()[:16]


def state(data: Path) -> tuple[int, int] | None:
    """Return the state of the journal without waiting for its lock; None if there is none."""
    try:
        stat = (data / FILE).stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size


def is_timestamp(value: object) -> bool:
    """Return whether a value is a time exactly as the journal writes it."""
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        return False
    try:
        return bool(datetime.fromisoformat(value.removesuffix("Z")))
    except ValueError:
        return False


def require_utf8(reason: str) -> None:
    """Refuse a reason with half a character, which no reader of the journal could act on.

    Raises:
        ReasonError: if it has one.
    """
    if not is_utf8(reason):
        raise ReasonError("the reason is not UTF-8: write it in letters that are")


def is_utf8(text: str) -> bool:
    """Return whether a text can be encoded: JSON and file names may have half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def timestamp(seconds: float) -> str:
    """Return a time in seconds since 1970 in the form of PEP 700."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime(_TIME)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


# The fields in the order in which a line has them, and what tells whether a value can be read.
_READABLE: dict[str, Callable[[object], bool]] = {
    "time": is_timestamp,
    "action": _is_text,
    "file": _is_text,
    "size": lambda value: type(value) is int,
    "sha256": lambda value: isinstance(value, str) and bool(_DIGEST.fullmatch(value)),
    "uploaded": is_timestamp,
    "instead_of": _is_text,
    "reason": _is_text,
    "by": _is_text,
    "status": _is_text,
    "job": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
}
