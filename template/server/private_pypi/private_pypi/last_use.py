"""When each account was last used.

gateway_data/uses/*.log             one line a request, of the gateway: soon written over
gateway/accounts/last_use.json      the last day of each account, in UTC
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import date, datetime, timezone
from pathlib import Path

from .disk import write_atomically
from .rights import today

FILE = "last_use.json"

log = logging.getLogger(__name__)


class Uses:
    """Keeps, from the gateway's logs, the day on which each account was last used.

    Args:
        logs: folder of the logs, those that were rolled over, too.
        folder: where the days are written.
    """

    def __init__(self, logs: Path, folder: Path) -> None:
        self._logs = logs
        self._folder = folder
        # How much of each log was read, by its number in the file system: its name changes.
        self._done: dict[int, int] = {}
        self._days: dict[str, date] = {}
        self._since: date | None = None
        self._written = ""
        self._trouble = ""

    def note(self, accounts: Collection[str]) -> None:
        """Read what is new in the logs, and write the days if one changed.

        A log or file that fails is told of once: to follow the accounts matters more.

        Args:
            accounts: the names of those there are. All others are forgotten.
        """
        try:
            if not self._since:
                self._days, since = read(self._folder)
                self._since = since or today()
            self._days = {name: day for name, day in self._days.items() if name in accounts}
            for name, day in self._new():
                if name in accounts:
                    self._days[name] = max(day, self._days.get(name, day))
            days = {name: str(day) for name, day in self._days.items()}
            content = json.dumps({"since": str(self._since), "accounts": days})
            if content != self._written:
                write_atomically(self._folder / FILE, content.encode())
                self._written = content
            self._trouble = ""
        except OSError as error:
            if error.strerror != self._trouble:
                self._trouble = str(error.strerror)
                log.error("the last use of accounts is not noted: %s", error)

    def _new(self) -> Iterator[tuple[str, date]]:
        done: dict[int, int] = {}
        for path in filter(Path.is_file, self._logs.glob("*.log")):
            # The gateway may roll one over meanwhile.
            with suppress(FileNotFoundError), path.open("rb") as content:
                stat = os.fstat(content.fileno())
                start = self._done.get(stat.st_ino, 0)
                content.seek(start if start <= stat.st_size else 0)
                done[stat.st_ino] = content.tell()
                for line in content:
                    # The last one may not be whole yet.
                    if line.endswith(b"\n"):
                        done[stat.st_ino] += len(line)
                        yield from _parse(line)
        self._done = done


def read(folder: Path | None) -> tuple[dict[str, date], date | None]:
    """Return the day of each account's last request, and since when these days are noted.

    Args:
        folder: where they are written; None if there is no gateway. Without the file, or with one
            that was damaged, nothing is known.

    Raises:
        OSError: if the file cannot be read.
    """
    try:
        content = json.loads((folder / FILE).read_bytes()) if folder else {}
        days = {str(name): date.fromisoformat(day) for name, day in content["accounts"].items()}
        return days, date.fromisoformat(content["since"])
    except (
        *(FileNotFoundError, ValueError, KeyError, TypeError, AttributeError),
        RecursionError,  # of brackets without end
    ):
        return {}, None


def _parse(line: bytes) -> Iterator[tuple[str, date]]:
    """Return account and day of a line of the log, nothing for one that cannot be read."""
    with suppress(ValueError, KeyError, TypeError, OverflowError, RecursionError):
        entry = json.loads(line)
        yield str(entry["user_id"]), datetime.fromtimestamp(entry["ts"], timezone.utc).date()
