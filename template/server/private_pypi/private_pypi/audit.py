"""The journal in a form for people: what was done to the index, by which account and when."""

from __future__ import annotations

import fcntl
import heapq
import os
from collections.abc import Iterator
from pathlib import Path

from packaging.utils import canonicalize_name

from .journal import FILE, Record, check_chain
from .layout import project_of
from .terminal import aligned, printable
from .trust import refused
from .trust.refused import Refused

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

JOB = ("workflow", "commit", "run")
"""What is shown of the CI job of a trusted publisher."""

SHOWN = 80
"""Letters of a repository that are shown: a stranger chose it, and it widens every line."""


def audit(data: Path, index: Path, project: str = "") -> tuple[list[str], list[str]]:
    """Return the journal and the refused tokens as aligned lines, and complaints about the journal.

    The oldest line is the first.

    There is a complaint about each damaged line, and each that does not follow the one before.
    Writers do not wait for this: lines that are written meanwhile are not in it.

    Args:
        data: the data folder.
        index: the folder with the log of refused tokens.
        project: return only the lines about this project, however it is spelled; all if empty. No
            refused token is about a project.

    Raises:
        OSError: if the journal or the log cannot be read.
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
                rows.append((record.time, _row(record)))
        elif line.strip():
            torn = "" if line.endswith(b"\n") else ", and ends early"
            complaints.append(f"pypi_data/{FILE} line {number} is damaged{torn}: left out")
    tokens = [] if project else [(one.time, _row_of_token(one)) for one in refused.read(index)]
    merged = heapq.merge(rows, tokens, key=lambda row: row[0])
    return aligned([row for _, row in merged]), complaints


def as_lines(records: list[Record]) -> list[str]:
    """Return records as aligned lines."""
    return aligned([_row(record) for record in records])


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
    """Return the time in UTC to the second, the action, the file, the user and the reason.

    In place of a reason, an upload of a trusted publisher has which CI job sent it.
    """
    done = DONE.get(record.action, record.action)
    by = record.by or ("in pypi_data/" if record.action == "find" else "-")
    told = record.job or {}
    job = ", ".join(f"{name} {told[name]}" for name in JOB if name in told)
    return (_time(record.time), *map(printable, (done, record.file, by, why(record) or job)))


def _row_of_token(token: Refused) -> tuple[str, ...]:
    by = printable(token.repository)[:SHOWN] or "-"
    told = token.reason + (f" (issuer {token.issuer})" if token.issuer else "")
    return (_time(token.time), *map(printable, ("refused", "a token", by, told)))


def _time(time: str) -> str:
    return f"{time[:19].replace('T', ' ')} UTC"
