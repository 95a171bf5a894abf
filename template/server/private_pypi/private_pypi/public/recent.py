"""What was used last, held in memory as long as all of it together is small."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values by their keys; its methods may be called in several threads at a time.

    Args:
        limit: bytes that are held; beyond them goes what was not used for longest.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """Return what is held for a key; None if nothing is."""
        with self._lock:
            found = self._entries.get(key)
            if not found:
                return None
            self._entries.move_to_end(key)
            return found[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Hold a value in place of the former one.

        Args:
            size: of the value, in bytes; one that is larger than the limit is not held.
        """
        with self._lock:
            if key in self._entries:
                self._size -= self._entries.pop(key)[1]
            self._entries[key] = (value, size)
            self._size += size
            while self._size > self._limit:
                self._size -= self._entries.popitem(last=False)[1][1]
