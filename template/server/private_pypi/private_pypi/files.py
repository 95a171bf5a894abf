"""A file as an answer: whole, in part, or left out if the client has it (RFC 9110, 13 and 14)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from email.utils import formatdate, mktime_tz, parsedate_tz
from pathlib import Path
from typing import BinaryIO

from .answers import Answer, Environ, refusal

_CHUNK = 2**18


def send(path: Path, kind: str, environ: Environ) -> Answer:
    """Return the answer to GET or HEAD for a file, as the gateway gives it.

    Args:
        kind: the Content-Type.
        environ: the WSGI request.
    """
    try:
        if not path.is_file():
            return missing()
        file = path.open("rb")
    except PermissionError:
        return refusal(403, "The index cannot read that file: make pypi-verify names it.")
    except (OSError, ValueError):
        return missing()
    answer = _answer(file, kind, environ)
    if not answer.body or answer.status >= 400:
        file.close()
    return answer


def missing() -> Answer:
    """Return the answer for a file that is not there."""
    return refusal(404, "There is no such file.")


def _answer(file: BinaryIO, kind: str, environ: Environ) -> Answer:
    stat = os.fstat(file.fileno())
    etag, changed = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"', int(stat.st_mtime)
    if _is_unwanted(environ, etag, changed):
        text = "The file is not the one that the client has."
        return refusal(412, text, ("ETag", etag))
    if _is_known(environ, etag, changed):
        return Answer(304, (("ETag", etag),))
    start, end = 0, stat.st_size
    status, headers = 200, [("Content-Type", kind), ("ETag", etag), ("Accept-Ranges", "bytes")]
    headers.append(("Last-Modified", formatdate(changed, usegmt=True)))
    if "HTTP_RANGE" in environ and _range_applies(environ, etag, changed):
        part = _first_range(environ["HTTP_RANGE"], stat.st_size)
        if part is None:
            return refusal(416, "The file has no such part.", ("ETag", etag))
        status, (start, end) = 206, part
        headers.append(("Content-Range", f"bytes {start}-{end - 1}/{stat.st_size}"))
    headers.append(("Content-Length", str(end - start)))
    if environ["REQUEST_METHOD"] == "HEAD":
        return Answer(status, tuple(headers))
    file.seek(start)
    if status == 200 and "wsgi.file_wrapper" in environ:
        return Answer(status, tuple(headers), environ["wsgi.file_wrapper"](file))
    return Answer(status, tuple(headers), _Content(file, end - start))


class _Content:
    """So many bytes of an open file, which it closes (PEP 3333)."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self._length = length

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._file.read(min(self._length, _CHUNK)):
            self._length -= len(chunk)
            yield chunk

    def close(self) -> None:
        self._file.close()


def _is_unwanted(environ: Environ, etag: str, changed: int) -> bool:
    """Return whether the client goes on only with another file than this one."""
    match = _header(environ, "IF_MATCH")
    if match:
        # A weak tag is not enough to go on with what the client has.
        return etag not in re.split(r"\s*,\s*", match) and match != "*"
    since = _time(_header(environ, "IF_UNMODIFIED_SINCE"))
    return since is not None and changed > since


def _is_known(environ: Environ, etag: str, changed: int) -> bool:
    """Return whether the client has this file."""
    none_match = _header(environ, "IF_NONE_MATCH")
    if none_match:
        # It counts more than a time of whole seconds.
        return etag in re.findall('"[^"]*"', none_match) or none_match == "*"
    since = _time(_header(environ, "IF_MODIFIED_SINCE"))
    return since is not None and changed <= since


def _range_applies(environ: Environ, etag: str, changed: int) -> bool:
    """Return whether a range is one of this file; another file is sent whole."""
    condition = _header(environ, "IF_RANGE")
    return not condition or condition == etag or _time(condition) == changed


def _first_range(ranges: str, size: int) -> tuple[int, int] | None:
    """Return where the first range begins and ends that a file of this size has."""
    unit, _, listed = ranges.partition("=")
    for asked in listed.split(",") if unit == "bytes" else ():
        found = re.fullmatch(r"\s*([0-9]{0,99})-([0-9]{0,99})\s*", asked)
        if not found:
            continue
        first, last = found.groups()
        if first:
            start, end = int(first), min(int(last) + 1, size) if last else size
        else:
            start, end = max(0, size - int(last or 0)), size
        if start < end:
            return start, end
    return None


def _header(environ: Environ, name: str) -> str:
    value: str = environ.get(f"HTTP_{name}", "")
    return value.strip()


def _time(date: str) -> int | None:
    """Return the seconds of an HTTP date (RFC 9110, section 5.6.7), None if it is none."""
    try:
        return mktime_tz(parsedate_tz(date))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
