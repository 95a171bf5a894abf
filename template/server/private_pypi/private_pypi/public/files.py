"""The files of PyPI: from the disk if they are kept, else fetched, once for all that ask."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio import create_task_group, sleep, to_thread

from ..distribution import is_normalised
from .check import Listed
from .document import File, strongest
from .download import PIECE, Download, Pace, Source
from .kept import METADATA, RESERVE, Hidden, Kept
from .slots import Slots
from .upstream import NotFoundError, UpstreamError


@dataclass(frozen=True)
class Opened:
    """A file that can be sent to a client.

    Attributes:
        size: in bytes, None if nobody says.
        chunks: its bytes, once; raises UpstreamError if they end before the file does. The client
            must see then that its answer is not whole.
    """

    size: int | None
    chunks: AsyncIterator[bytes]


class Files:
    """The files of an index, kept in a folder: to be entered as a context before it is used.

    Args:
        folder: public_data.
        max_bytes: the limit of all that lies in it.
        source: where files come from.
        reserve: bytes of the disk that are left free.
        most: files that are fetched at a time; the others wait. Metadata do not count: installers
            ask for them first, and they are small.
        pace: how slowly a file may come.
        every: seconds between two looks at how much is kept.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        source: Source,
        *,
        reserve: int = RESERVE,
        most: int = 32,
        pace: Pace = Pace(),  # noqa: B008
        every: float = 3600,
    ) -> None:
        self._kept = Kept(folder, max_bytes, reserve=reserve)
        self._source = source
        self._most = most
        self._pace = pace
        self._every = every
        self._downloads: dict[Listed, Download] = {}

    async def __aenter__(self) -> Files:
        await to_thread.run_sync(self._kept.open)
        # Together no more than the connections of Upstream.
        self._slots = Slots(self._most, 52)
        self._metadata_slots = Slots(8, 8)
        self._stack = AsyncExitStack()
        self._tasks = await self._stack.enter_async_context(create_task_group())
        self._tasks.start_soon(self._sweep)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._tasks.cancel_scope.cancel()
        await self._stack.aclose()

    @asynccontextmanager
    async def open(
        self, project: str, file: File, *, metadata: bool = False
    ) -> AsyncIterator[Opened]:
        """Give a file to a client, from its first byte.

        This waits until there is something to send, so that a file that cannot be had at all is
        known before the answer begins. The client may leave at any time.

        Args:
            project: the normalised name.
            metadata: give its core metadata (PEP 658) instead.

        Raises:
            NotFoundError: if PyPI no longer has it, or does not say by which hash it is verified.
            UpstreamError: if PyPI fails, or sends another file than its page says.
        """
        listed = _listed(project, file, metadata=metadata)
        download = self._downloads.get(listed)
        if not download or download.has_ended:
            descriptor = self._kept.find(project, listed.name, listed.size)
            if descriptor is not None:
                try:
                    async with aclosing(_read(descriptor)) as chunks:
                        yield Opened(os.fstat(descriptor).st_size, chunks)
                finally:
                    os.close(descriptor)
                return
            slots = self._metadata_slots if metadata else self._slots
            download = Download(listed, self._kept, self._source, slots, self._pace)
            self._downloads[listed] = download
            self._tasks.start_soon(self._run, listed, download)
        download.join()
        try:
            async with aclosing(download.chunks()) as chunks:
                first = await anext(chunks, b"")
                async with aclosing(_chain(first, chunks)) as all_chunks:
                    yield Opened(download.size, all_chunks)
        finally:
            download.leave()

    def count_page(self, size: int) -> bool:
        """Return whether a page of this size may be kept; it is called in a thread.

        As Kept.count_page has it: with this, pages leave as much of the disk free as files do.
        """
        return self._kept.count_page(size)

    async def discard(self, hidden: Hidden) -> int:
        """Delete the kept files, and their metadata, that a policy hides; return how many.

        Args:
            hidden: as Kept.discard has it.
        """
        return await to_thread.run_sync(self._kept.discard, hidden)

    def forget(self, project: str, filename: str) -> None:
        """Delete a kept file and its metadata, as PyPI has another file of this name by now.

        This may be called in any thread. What is under way is not kept.

        Args:
            project: the normalised name.
            filename: of the file.
        """
        for listed, download in list(self._downloads.items()):
            if (listed.project, listed.name.removesuffix(METADATA)) == (project, filename):
                download.is_outdated = True
        self._kept.forget(project, filename)

    async def _run(self, listed: Listed, download: Download) -> None:
        try:
            await download.run()
        finally:
            if self._downloads.get(listed) is download:
                del self._downloads[listed]

    async def _sweep(self) -> None:
        # Pages are kept, too, and nobody counts these.
        while True:
            await sleep(self._every)
            await to_thread.run_sync(self._kept.sweep)


def _listed(project: str, file: File, *, metadata: bool) -> Listed:
    """Return what is asked for.

    Raises:
        NotFoundError: if the server cannot have such a file.
    """
    if not is_normalised(project) or "/" in file.filename or file.filename.startswith("."):
        raise NotFoundError("there is no such file")
    hashes = (file.metadata_hashes or {}) if metadata else file.hashes
    if not hashes:
        if metadata:
            raise NotFoundError("the page of PyPI has no hash of these metadata")
        raise UpstreamError("the page of PyPI has no hash of this file")
    end = METADATA if metadata else ""
    return Listed(
        project,
        f"{file.filename}{end}",
        f"{file.url}{end}",
        *strongest(hashes),
        None if metadata else file.size,
    )


async def _read(descriptor: int) -> AsyncGenerator[bytes, None]:
    while chunk := await to_thread.run_sync(os.read, descriptor, PIECE):
        yield chunk


async def _chain(first: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    if first:
        yield first
        async for chunk in rest:
            yield chunk
