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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
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

_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Record:
    """What one line of the journal says.

    Attributes:
        time: when it happened, in the form of PEP 700.
        action: upload, find, sign, yank, unyank, remove or repair; others come from newer versions.
        file: the name of the distribution; for a repair, that of the journal itself.
        size, sha256: of the distribution; for a sign, of its signature.
        uploaded: for a find, when the file was last modified.
        instead_of: for a find, another name that said the same and was in the journal before.
        reason: why a release was yanked, or what was repaired.
        by: the account, or the user of the machine.
        more: fields that this version does not know, or whose values it cannot read.
        restored: whether a repair brought the line back.
        after: the hash of the line before; two records are equal whatever it is.
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
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)
    restored: bool = False
    after: str | None = field(default=None, compare=False)

    @classmethod
    def parse(cls, line: bytes | str) -> Record | None:
        """Return what a line says; None if it is torn, damaged, or not a record at all."""
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
            is_right = _FORMS.get(name)
            (known if is_right and is_right(value) else more)[name] = value
        # A person reads these, so a record has them in a form that can be read.
        if not {"time", "action", "file"} <= known.keys() or not more.keys().isdisjoint(_SHOWN):
            return None
        return cls(
            **known, more=more, restored=restored, after=after if isinstance(after, str) else None
        )

    def as_line(self) -> bytes:
        """Return the line that says this, without its end."""
        values: dict[str, object] = {}
        for name in _NAMES:
            value = getattr(self, name)
            if name == "more":
                values |= value
            elif value is not None and value is not False:
                values[name] = value
        return json.dumps(values, ensure_ascii=True).encode()

    @property
    def text(self) -> str:
        """What two lines have in common that say the same, wherever they stand."""
        return replace(self, restored=False, after=None).as_line().decode()

    @property
    def is_valid(self) -> bool:
        """Whether the index can act on it: a person may have edited the line."""
        has_digest = self.sha256 is not None or self.action not in ("upload", "find", "sign")
        return (
            has_digest and "uploaded" not in self.more and is_utf8(self.file + (self.reason or ""))
        )


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
            record = Record.parse(line)
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


def is_utf8(text: str) -> bool:
    """Return whether UTF-8 can hold a text: JSON and names of files may have half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def timestamp(seconds: float) -> str:
    """Return a time since 1970 as PEP 700 writes it."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime(TIMESTAMP)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_FORMS: dict[str, Callable[[object], bool]] = {
    "time": is_timestamp,
    "action": _is_text,
    "file": _is_text,
    "size": lambda value: type(value) is int,
    "sha256": lambda value: isinstance(value, str) and bool(_DIGEST.fullmatch(value)),
    "uploaded": is_timestamp,
    "instead_of": _is_text,
    "reason": _is_text,
    "by": _is_text,
}
_SHOWN = ("time", "action", "file", "by", "reason")
_NAMES = [one.name for one in fields(Record)]
