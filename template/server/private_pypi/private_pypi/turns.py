"""Turns that accounts take at work that needs much memory."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class AccountTurns:
    """Lets so many accounts work at once, each on one thing at a time; the others wait.

    The account whose last turn ended longest ago goes first: it never waits for two turns of
    another.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._working: set[str] = set()
        self._waiting: Counter[str] = Counter()
        self._ended: dict[str, float] = {}
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, account: str) -> Iterator[None]:
        """Wait until it is this account's turn, which ends with the block."""
        with self._changed:
            self._waiting[account] += 1
            self._changed.wait_for(lambda: self._is_next(account))
            self._waiting[account] -= 1
            self._waiting += Counter()  # Forgets the accounts that do not wait.
            self._working.add(account)
            # The next account may be able to work, too.
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._working.remove(account)
                self._ended[account] = time.monotonic()
                self._changed.notify_all()

    def _is_next(self, account: str) -> bool:
        if account in self._working or len(self._working) == self._total:
            return False
        able = (other for other in self._waiting if other not in self._working)
        return account == min(able, key=lambda other: self._ended.get(other, 0))
