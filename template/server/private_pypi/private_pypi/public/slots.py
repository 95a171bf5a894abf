"""How many files come from PyPI at a time; who has no client makes way for who has one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol


class Holder(Protocol):
    """Takes a slot."""

    @property
    def is_deserted(self) -> bool:
        """Whether no client waits for it."""

    def end(self) -> None:
        """Have it give its slot back soon."""


class Slots:
    """Lets only so many downloads run at a time.

    Attributes:
        passing: lets so many files be passed on to a client at its own pace. They are apart: slow
            clients of a full disk hold no slot.

    Args:
        most: downloads that run at a time.
        passed_on: files that are passed on at a time.
    """

    def __init__(self, most: int, passed_on: int) -> None:
        self.passing = asyncio.Semaphore(passed_on)
        self._free = asyncio.Semaphore(most)
        self._waiting = 0
        # In the order in which they began.
        self._holders: dict[Holder, None] = {}

    @asynccontextmanager
    async def taken(self, holder: Holder) -> AsyncIterator[None]:
        """Wait for a slot, and hold it."""
        self._waiting += 1
        self.make_way()
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        self._holders[holder] = None
        try:
            yield
        finally:
            del self._holders[holder]
            self._free.release()

    def make_way(self) -> None:
        """End as many downloads without a client as others wait for a slot."""
        if self._free.locked():
            deserted = [holder for holder in self._holders if holder.is_deserted]
            for holder in deserted[: self._waiting]:
                holder.end()
