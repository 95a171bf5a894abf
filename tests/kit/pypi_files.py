"""A PyPI of which a test decides what it sends, and when: it gives files without a network."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from anyio import fail_after
from private_pypi.public.document import File
from private_pypi.public.files import Files, Opened
from private_pypi.public.upstream import NotFoundError, Stream, UpstreamError

PROJECT = "six"
NAME = "six-1.0-py3-none-any.whl"


class PypiFiles:
    """Gives files as Upstream does.

    Attributes:
        asked: the URLs that it was asked for, in order.
        open: how many answers are under way.
        most: how many were under way at a time.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = self.most = 0
        self._answers: dict[str, tuple[Callable[[], AsyncGenerator[bytes, None]], int | None]] = {}

    def sends(self, url: str, *chunks: bytes | Exception, length: int | None = None) -> None:
        """Answer with these pieces, or fail where an exception stands."""

        async def answer() -> AsyncGenerator[bytes, None]:
            for chunk in chunks:
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk

        self._answers[url] = answer, length

    def sends_as_told(self, url: str, length: int | None = None) -> Told:
        """Answer with what a test says later."""
        told = Told()
        self._answers[url] = told.chunks, length
        return told

    @asynccontextmanager
    async def stream(self, url: str) -> AsyncIterator[Stream]:
        self.asked.append(url)
        if url not in self._answers:
            raise NotFoundError("PyPI does not have it")
        answer, length = self._answers[url]
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            yield Stream(length, answer())
        finally:
            self.open -= 1


class Told:
    """An answer that comes as a test says."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes | UpstreamError | None] = asyncio.Queue()

    def send(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self._queue.put_nowait(chunk)

    def end(self) -> None:
        self._queue.put_nowait(None)

    def break_off(self) -> None:
        self._queue.put_nowait(UpstreamError("PyPI broke off its answer"))

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        while True:
            chunk = await self._queue.get()
            if chunk is None:
                return
            if isinstance(chunk, UpstreamError):
                raise chunk
            yield chunk


def a_file(content: bytes, name: str = NAME, **changes: Any) -> File:
    """Return a file as its page lists it."""
    said: dict[str, Any] = {
        "filename": name,
        "url": f"http://files.example/{name}",
        "hashes": {"sha256": hashlib.sha256(content).hexdigest()},
        "size": len(content),
    }
    return File(**{**said, **changes})


async def content(files: Files, file: File, project: str = PROJECT, **options: bool) -> bytes:
    """Ask for a file and read it to its end."""
    async with files.open(project, file, **options) as opened:
        return await rest(opened)


async def rest(opened: Opened) -> bytes:
    """Read what a client has not read yet."""
    return b"".join([chunk async for chunk in opened.chunks])


async def until(done: Callable[[], object]) -> None:
    """Wait until something is so, while the other tasks of the loop go on."""
    with fail_after(30):
        while not done():
            await asyncio.sleep(0.002)


def kept(folder: Path) -> list[str]:
    """Return all files below public_data, also unfinished ones."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
