"""Tokens that were refused: why, and a log of them that cannot grow without end.

    pypi_index/refused.jsonl        {"time", "reason", "issuer", "repository"}, a line for each
    pypi_index/refused.1.jsonl      the lines before

Nothing is lost with these files but the memory of what was refused.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..journal import is_timestamp, timestamp

FILE, OLDER = "refused.jsonl", "refused.1.jsonl"

MOST_BYTES = 2**20
"""Of one file, of which there are two."""
MOST_LINES = 60
"""A minute: of tokens of the owner's repositories, and as many of all others, so that whoever makes
up tokens, or has an issuer sign some, does not push those out."""
LONGEST = 500
"""Letters of a value."""

REPOSITORIES = ("repository", "project_path", "sub")
"""The claims that tell people whose token it is; the first that is there does."""

log = logging.getLogger(__name__)


class RefusedError(Exception):
    """A token is refused; the message is a sentence that says why.

    Attributes:
        code: as PyPI calls it, for programs.
        status: of the answer (RFC 9110).
        issuer: whose keys verified the signature; empty if none did.
        claims: those of the token if its signature was verified.
        is_of_owner: whether these have something in common with a trusted publisher.
        detail: the sentence for the owner of the server, if the client is told less.
    """

    def __init__(self, code: str, sentence: str, *, status: int = 422, detail: str = "") -> None:
        super().__init__(sentence)
        self.code, self.status, self.detail = code, status, detail or sentence
        self.issuer = ""
        self.claims: Mapping[str, object] = {}
        self.is_of_owner = False


@dataclass(frozen=True)
class Refused:
    """A line of the log.

    Attributes:
        time: in the form of PEP 700.
        issuer, repository: as the token has them; empty if nobody vouches for that.
    """

    time: str
    reason: str
    issuer: str = ""
    repository: str = ""


class RefusedLog:
    """Writes the log; threads may share it.

    Args:
        folder: pypi_index.
        now: seconds of the epoch.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self._folder, self._now = folder, now
        self._lock = threading.Lock()
        self._minute = 0
        self._lines = {True: 0, False: 0}

    def note(self, error: RefusedError) -> None:
        """Write down why a token was refused, unless there were too many within this minute."""
        now = self._now()
        named = (error.claims.get(name) for name in REPOSITORIES)
        line = {
            "time": timestamp(now),
            "reason": error.detail[:LONGEST],
            "issuer": error.issuer[:LONGEST],
            "repository": next((one[:LONGEST] for one in named if isinstance(one, str)), ""),
        }
        with self._lock:
            if int(now // 60) != self._minute:
                self._minute, self._lines = int(now // 60), {True: 0, False: 0}
            self._lines[error.is_of_owner] += 1
            if self._lines[error.is_of_owner] > MOST_LINES:
                return
            try:
                self._write(json.dumps(line).encode() + b"\n")
            except OSError as trouble:
                log.error("pypi_index/%s cannot be written: %s", FILE, trouble.strerror)

    def _write(self, line: bytes) -> None:
        path = self._folder / FILE
        with path.open("ab") as file:
            file.write(line)
            is_full = file.tell() >= MOST_BYTES
        if is_full:
            path.replace(self._folder / OLDER)


def read(folder: Path) -> Iterator[Refused]:
    """Yield the lines of the log, the oldest first; those that cannot be read are left out.

    Args:
        folder: pypi_index.
    """
    for name in (OLDER, FILE):
        try:
            lines = (folder / name).read_bytes().splitlines()
        except FileNotFoundError:
            continue
        for line in lines:
            try:
                told = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(told, dict) and is_timestamp(told.get("time")):
                values = (told.get(name, "") for name in ("reason", "issuer", "repository"))
                yield Refused(told["time"], *(str(value)[:LONGEST] for value in values))
