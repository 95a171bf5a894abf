"""Who did what to the index, and when: the journal, to be read by people."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

from packaging.utils import canonicalize_name

from .distribution import DistributionError, parse_name
from .journal import FILE, Record, is_timestamp
from .terminal import printable

_DONE = {
    "upload": "published",
    "find": "found",
    "yank": "yanked",
    "unyank": "unyanked",
    "remove": "removed",
}


def audit(data: Path, project: str = "") -> tuple[list[str], list[str]]:
    """Return the journal as aligned lines, the oldest first, and a complaint for each damaged line.

    Nobody has to wait for it: what is written meanwhile is not in it.

    Args:
        data: the folder whose journal it is; without one nothing was done.
        project: whose files to return, however its name is spelled; all if empty.

    Raises:
        OSError: if the journal cannot be read.
    """
    rows, complaints = [], []
    for number, line in enumerate(_lines(data), start=1):
        record = _record(line)
        if record:
            if not project or canonicalize_name(project) == _project(record["file"]):
                rows.append(_row(record))
        elif line.strip():
            torn = "" if line.endswith(b"\n") else ", and ends early"
            complaints.append(f"pypi_data/{FILE} line {number} is damaged{torn}: left out")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    form = "  ".join(f"{{:{width}}}" for width in widths)
    return [form.format(*row).rstrip() for row in rows], complaints


def _lines(data: Path) -> Iterator[bytes]:
    try:
        journal = (data / FILE).open("rb")
    except FileNotFoundError:
        return
    with journal:
        # Whoever has the lock may be in the middle of a line.
        fcntl.flock(journal, fcntl.LOCK_SH)
        end = os.fstat(journal.fileno()).st_size
        fcntl.flock(journal, fcntl.LOCK_UN)
        while journal.tell() < end:
            yield journal.readline(end - journal.tell())


def _record(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not is_timestamp(record.get("time")):
        return None
    texts = (record.get(key, "") for key in ("action", "file", "by", "reason"))
    return record if {"action", "file"} <= record.keys() and all(map(_is_text, texts)) else None


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _project(file: str) -> str:
    try:
        return parse_name(file)[0]
    except DistributionError:
        return ""


def _row(record: Record) -> tuple[str, ...]:
    """Return time in UTC to the second, what was done, to which file, by whom, and why."""
    time = f"{record['time'][:19].replace('T', ' ')} UTC"
    action = record["action"]
    done = _DONE.get(action, action)
    by = record.get("by") or ("in pypi_data/" if action == "find" else "-")
    return (time, *map(printable, (done, record["file"], by, record.get("reason", ""))))
