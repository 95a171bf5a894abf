"""The journal in a form for people: what was done to the index, by which account and when."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from packaging.utils import canonicalize_name

from .journal import FILE, Record, check_chain
from .layout import project_of
from .terminal import printable

DONE = {
    "upload": "published",
    "find": "found",
    "sign": "signed",
    "attest": "attested",
    "yank": "yanked",
    "unyank": "unyanked",
    "remove": "removed",
    "mark": "marked",
    "repair": "repaired",
}
"""What each action of the journal is called for people."""


def audit(data: Path, project: str = "") -> tuple[list[str], list[str]]:
    """Return the journal as aligned lines, the oldest first, and complaints about it.

    There is a complaint about each damaged line, and each that does not follow the one before.
    Writers do not wait for this: lines that are written meanwhile are not in it.

    Args:
        data: the data folder; if it has no journal, nothing is returned.
        project: return only the lines about this project, however it is spelled; all if empty.

    Raises:
        OSError: if the journal cannot be read.
    """
    rows, complaints = [], []
    for number, line, follows in check_chain(_lines(data)):
        if not follows:
            complaints.append(
                f"pypi_data/{FILE} line {number} does not follow the lines before it: some were"
                " lost or changed"
            )
        record = Record.parse(line)
        if record and record.more.keys().isdisjoint(("by", "reason")):
            if not project or canonicalize_name(project) == _project(record):
                rows.append(_row(record))
        elif line.strip():
            torn = "" if line.endswith(b"\n") else ", and ends early"
            complaints.append(f"pypi_data/{FILE} line {number} is damaged{torn}: left out")
    return _aligned(rows), complaints


def as_lines(records: list[Record]) -> list[str]:
    """Return records as aligned lines."""
    return _aligned([_row(record) for record in records])


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    form = "  ".join(f"{{:{width}}}" for width in widths)
    return [form.format(*row).rstrip() for row in rows]


def _lines(data: Path) -> Iterator[bytes]:
    try:
        journal = (data / FILE).open("rb")
    except FileNotFoundError:
        return
    with journal:
        # The process that has the lock may be in the middle of a line.
        fcntl.flock(journal, fcntl.LOCK_SH)
        end = os.fstat(journal.fileno()).st_size
        fcntl.flock(journal, fcntl.LOCK_UN)
        while journal.tell() < end:
            yield journal.readline(end - journal.tell())


def why(record: Record) -> str:
    """Return the reason of a record; for a mark, the status and the reason. May be empty."""
    return ": ".join(filter(None, (record.status, record.reason)))


def _project(record: Record) -> str:
    return record.file if record.action == "mark" else project_of(record.file)


def _row(record: Record) -> tuple[str, ...]:
    """Return the time in UTC to the second, the action, the file, the user and the reason."""
    time = f"{record.time[:19].replace('T', ' ')} UTC"
    done = DONE.get(record.action, record.action)
    by = record.by or ("in pypi_data/" if record.action == "find" else "-")
    return (time, *map(printable, (done, record.file, by, why(record))))
