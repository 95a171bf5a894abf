"""One file on its way from PyPI: to the disk, and at once to all clients that wait for it.

Every client reads the unfinished file at its own pace, so a slow one neither stops the others nor
fills the memory. The last piece is held back until size and hash are right: no client ever gets the
whole of a wrong file, and all see at its end that it is torn.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from anyio import (
    CancelScope,
    create_memory_object_stream,
    current_time,
    move_on_after,
    to_thread,
)
from anyio.streams.memory import MemoryObjectSendStream

from .check import Check, Listed, WrongFileError
from .kept import METADATA, Kept
from .slots import Slots
from .upstream import Stream, UpstreamError

PIECE = 2**16
"""Bytes that are read from the disk at once; each client that waits has so many in memory."""

# Promised at a time to a file of which neither the page nor PyPI says how large it is.
_ASSUMED = 2**26

log = logging.getLogger(__name__)


class Pace(NamedTuple):
    """How slowly a file may come: so many bytes must arrive within so many seconds, ever again.

    Attributes:
        deserted: seconds for which it may go on when no client waits for it any more.
    """

    size: int = 60_000
    seconds: float = 60
    deserted: float = 600


class Source(Protocol):
    """Gives files, as upstream.Upstream does."""

    def stream(self, url: str) -> AbstractAsyncContextManager[Stream]:
        """Ask for a file.

        Raises:
            UpstreamError: if it cannot be had.
        """


async def _paced(chunks: AsyncIterator[bytes], pace: Pace) -> AsyncGenerator[bytes, None]:
    """Return the bytes that come.

    Raises:
        UpstreamError: if they come too slowly.
    """
    deadline, received = current_time() + pace.seconds, 0
    while True:
        # Another scope each time: none may be open while the caller has its turn.
        with CancelScope(deadline=deadline) as scope:
            chunk = await anext(chunks, None)
        if scope.cancelled_caught:
            raise UpstreamError(f"less than {pace.size} bytes came in {pace.seconds:g} seconds")
        if chunk is None:
            return
        received += len(chunk)
        if received >= pace.size:
            deadline, received = current_time() + pace.seconds, 0
        if chunk:
            yield chunk


def _write(descriptor: int, chunk: bytes, at: int) -> None:
    rest = memoryview(chunk)
    while rest:
        count = os.pwrite(descriptor, rest, at)
        rest, at = rest[count:], at + count


class Download:
    """A file that is fetched once for all clients that ask meanwhile.

    Each client calls join() first and leave() last.

    Args:
        slots: one is taken while the file comes.

    Attributes:
        size: in bytes, None if nobody says.
        is_outdated: it is not kept, as its page describes another file by now.
    """

    def __init__(
        self, listed: Listed, kept: Kept, source: Source, slots: Slots, pace: Pace
    ) -> None:
        self._listed = listed
        self._kept = kept
        self._source = source
        self._slots = slots
        self._pace = pace
        self.size = listed.size
        self.is_outdated = False
        self._scope = CancelScope()
        self._has_slot = False
        self._is_over = False
        self._readers = 0
        self._promised = 0
        self._path: Path | None = None
        self._descriptor = -1
        # Bytes that clients may have by now, and the last of them, which most clients want next.
        self._released = 0
        self._newest = b""
        self._error: UpstreamError | None = None
        self._is_whole = False
        self._is_unkept = False
        self._news = asyncio.Event()

    @property
    def has_ended(self) -> bool:
        """Whether no client can join any more."""
        return self._is_over or self._scope.cancel_called

    @property
    def is_deserted(self) -> bool:
        """Whether no client waits for it, and there is nothing to keep yet."""
        return not self._readers and not self._is_whole

    def join(self) -> None:
        """Add a client."""
        self._readers += 1
        self._scope.deadline = math.inf

    def leave(self) -> None:
        """Remove a client."""
        self._readers -= 1
        if self._is_over:
            self._close_if_unused()
        elif not self._readers:
            if self._has_slot:
                self._scope.deadline = current_time() + self._pace.deserted
                self._slots.make_way()
            else:
                self._scope.cancel()

    def end(self) -> None:
        """Stop, as no client waits for it and others wait for its slot."""
        self._scope.cancel()

    async def run(self) -> None:
        """Fetch, verify and keep the file.

        When all clients have left meanwhile, it goes on for a bounded time, if nobody waits for its
        slot.
        """
        try:
            with self._scope:
                async with self._slots.taken(self):
                    self._has_slot = True
                    await self._fetch()
            if self._scope.cancelled_caught and not self._is_whole:
                self._error = UpstreamError(
                    "it was not fetched to its end, as nobody waited for it"
                )
                log.info("%s: %s", self._listed, self._error)
        except UpstreamError as error:
            self._error = error
            log.warning("%s was not fetched: %s", self._listed, error)
        except asyncio.CancelledError:
            self._error = UpstreamError("the server is being stopped")
            raise
        except Exception:
            self._error = UpstreamError("the server failed: its log says more")
            log.exception("%s was not fetched", self._listed)
        finally:
            self._is_over = True
            self._tell()
            self._close_if_unused()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Return the bytes of the file as they come.

        Raises:
            UpstreamError: if PyPI fails, or sends another file than its page says.
        """
        at = 0
        while True:
            while self._released <= at and not (self._is_over or self._is_whole):
                await self._news.wait()
            if self._error:
                raise type(self._error)(*self._error.args)
            if self._released <= at:
                break
            size = min(PIECE, self._released - at)
            start = self._released - len(self._newest)
            if at >= start:
                chunk = self._newest[at - start :][:size]
            else:
                chunk = await to_thread.run_sync(os.pread, self._descriptor, size, at)
            if not chunk:
                raise UpstreamError("the unfinished file was cut off on the server's disk")
            at += len(chunk)
            yield chunk
        if self._is_unkept:
            async with aclosing(self._pass_on(at)) as rest:
                async for chunk in rest:
                    yield chunk

    async def _fetch(self) -> None:
        async with self._source.stream(self._listed.url) as answer:
            self._check_length(answer)
            try:
                # Few visits to threads: each takes as long as it takes to write a small file.
                await to_thread.run_sync(self._begin)
                last = await self._receive(answer.chunks)
                # Clients need not wait for the disk.
                self._is_whole = True
                self._release(last)
                await to_thread.run_sync(self._keep)
            except OSError as error:
                self._kept.complain(error)
                self._is_unkept = not self._is_whole
            finally:
                if self._path or self._promised:
                    with CancelScope(shield=True):
                        await to_thread.run_sync(self._clean_up)

    def _begin(self) -> None:
        """Open the unfinished file.

        Raises:
            OSError: if there is no room for it.
        """
        self._promise(_ASSUMED if self.size is None else self.size)
        self._descriptor, self._path = self._kept.begin()

    def _promise(self, size: int) -> None:
        if not self._kept.make_room(size):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._promised += size

    async def _receive(self, chunks: AsyncIterator[bytes]) -> bytes:
        """Write and verify the file; release all but the last piece, and return that."""
        check, last = Check(self._listed, self.size), b""

        def take(chunk: bytes) -> None:
            at = check.received
            check.add(chunk)
            if check.received > self._promised:
                self._promise(max(_ASSUMED, len(chunk)))
            _write(self._descriptor, chunk, at)

        async with aclosing(_paced(chunks, self._pace)) as paced:
            async for chunk in paced:
                await to_thread.run_sync(take, chunk)
                self._release(last)
                last = chunk
        check.finish()
        return last

    def _keep(self) -> None:
        """Give the file its name.

        Raises:
            OSError: if it cannot be kept.
        """
        assert self._path
        project, name = self._listed.project, self._listed.name
        try:
            self._kept.keep(self._descriptor, self._path, project, name)
            # Asked last: whoever says so later finds the file, and deletes it.
            if self.is_outdated:
                self._kept.forget(project, name.removesuffix(METADATA))
        finally:
            self._clean_up()

    def _clean_up(self) -> None:
        """Delete what is unfinished, and give back what was promised, if there is any."""
        if self._path:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
        self._path = None
        self._kept.give_back(self._promised)
        self._promised = 0

    async def _pass_on(self, at: int) -> AsyncGenerator[bytes, None]:
        """Fetch the file for one client, at its pace, as the disk does not take it.

        Args:
            at: how many bytes the client has already.
        """
        check, held = Check(self._listed, self.size), b""
        async with aclosing(self._fetched_again()) as chunks:
            async for chunk in chunks:
                start = check.received
                check.add(chunk)
                had = chunk[: max(0, at - start)]
                if had and had != os.pread(self._descriptor, len(had), start):
                    raise WrongFileError("PyPI sent two different files, one after the other")
                if held:
                    yield held
                held = chunk[len(had) :]
        try:
            check.finish()
        except WrongFileError as error:
            log.warning("%s was refused: %s", self._listed, error)
            raise
        if held:
            yield held

    async def _fetched_again(self) -> AsyncGenerator[bytes, None]:
        """Return the bytes that PyPI sends once more.

        A task of its own fetches them, as nothing here goes on while the client takes no more.
        """
        sender, receiver = create_memory_object_stream[bytes]()
        task = asyncio.create_task(self._fetch_again(sender))
        try:
            with receiver:
                async for chunk in receiver:
                    yield chunk
            await task
        finally:
            task.cancel()
            with CancelScope(shield=True):
                await asyncio.wait({task})

    async def _fetch_again(self, sender: MemoryObjectSendStream[bytes]) -> None:
        with sender:
            async with self._slots.passing, self._source.stream(self._listed.url) as answer:
                self._check_length(answer)
                async with aclosing(_paced(answer.chunks, self._pace)) as paced:
                    async for chunk in paced:
                        with move_on_after(self._pace.seconds) as scope:
                            await sender.send(chunk)
                        if scope.cancelled_caught:
                            seconds = f"{self._pace.seconds:g} seconds"
                            raise UpstreamError(f"the client took nothing for {seconds}")

    def _check_length(self, answer: Stream) -> None:
        if self.size is None:
            self.size = answer.size
        elif answer.size not in (None, self.size):
            raise WrongFileError(f"PyPI sends {answer.size} bytes, but the page says {self.size}")

    def _release(self, chunk: bytes) -> None:
        """Let the clients have the next bytes."""
        self._newest = chunk
        self._released += len(chunk)
        self._tell()

    def _tell(self) -> None:
        """Wake the clients that wait."""
        self._news.set()
        self._news = asyncio.Event()

    def _close_if_unused(self) -> None:
        if self._is_over and not self._readers and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
