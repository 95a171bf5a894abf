"""How many uploads may hold a thread of the server at once, and how accounts share them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class UploadSlots:
    """A number of slots; an upload holds one while its client sends.

    An account gets another slot only if more slots are free than it holds. So a single account gets
    half of them, the next one half of the rest, and two accounts never fill all, however slowly
    they send.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()

    @contextmanager
    def slot(self, account: str) -> Iterator[bool]:
        """Hold a slot until the end of the block, if the account gets one: yield whether it did."""
        with self._lock:
            is_granted = self._held[account] < self._total - self._held.total()
            self._held[account] += is_granted
        try:
            yield is_granted
        finally:
            with self._lock:
                self._held[account] -= is_granted
                self._held += Counter()  # Forgets the accounts that hold none.
