"""Many clients at once in one cheap process: what they were answered, and what they lost."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urljoin, urlsplit

from kit import crash

JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}
READERS = 50
PUBLISHERS = 20
GIVES_UP_AFTER = 120.0


class LostError(Exception):
    """A request got no whole answer; the message says at which point."""


@dataclass(frozen=True)
class Reply:
    """What a request was answered with; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """One client that keeps its connection, as pip and uv do (HTTP/1.1, RFC 9112).

    Args:
        url: of the server, without a path.
        account: user name and password.
    """

    def __init__(self, url: str, account: tuple[str, str]) -> None:
        self._host, self._port = urlsplit(url).hostname or "", urlsplit(url).port or 80
        self._account = account
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        body: bytes = b"",
        account: tuple[str, str] | None = None,
    ) -> Reply:
        """Send one request and read its answer to the end.

        Raises:
            LostError: if nobody listens, or the connection ends before the answer does.
        """
        pair = base64.b64encode(":".join(account or self._account).encode()).decode()
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self._host}:{self._port}",
            f"Authorization: Basic {pair}",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in (headers or {}).items()),
        ]
        request = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        try:
            return await asyncio.wait_for(self._exchange(request), GIVES_UP_AFTER)
        except (OSError, EOFError, asyncio.TimeoutError) as error:
            await self.close()
            raise LostError(f"{method} {path}: {error!r}") from error

    async def _exchange(self, request: bytes) -> Reply:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(request)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        status = int(first.split()[1])
        content = b""
        if status not in (204, 304):
            content = await _content(reader, headers)
        if headers.get("connection", "").lower() == "close":
            await self.close()
        return Reply(status, headers, content)

    async def publish(self, file: str, content: bytes) -> Reply:
        """Send an upload form, as twine does."""
        body, kind = crash.form(file, content)
        return await self.ask("/", {"Content-Type": kind}, method="POST", body=body)

    async def install(self, project: str) -> dict[str, str]:
        """Read the page of a project and download all it names; return the digest by file name.

        Raises:
            LostError: as ask().
            AssertionError: if anything is refused, or is not what the page says.
        """
        path = f"/simple/{project}/"
        page = await self.ask(path, JSON)
        assert page.status == 200, f"{path}: {page.status} {page.body[:200]!r}"
        files = json.loads(page.body)["files"]
        for file in files:
            place = urljoin(path, file["url"])
            download = await self.ask(place)
            assert download.status == 200, f"{place}: {download.status} {download.body[:200]!r}"
            assert crash.digest(download.body) == file["hashes"]["sha256"], f"{place} is torn"
        return {file["filename"]: file["hashes"]["sha256"] for file in files}

    async def close(self) -> None:
        """Hang up; the next request connects again."""
        if self._streams:
            writer, self._streams = self._streams[1], None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _content(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    """Read the body of an answer, as long as it says or in chunks."""
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    assert headers.get("transfer-encoding") == "chunked", headers
    content = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        content += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return content


async def everything(url: str, account: tuple[str, str]) -> dict[str, str]:
    """Download all that a server lists; return the digest, which each has, by file name.

    Raises:
        LostError, AssertionError: as Client.install().
    """
    clients = [Client(url, account) for _ in range(4)]
    projects = json.loads((await clients[0].ask("/simple/", JSON)).body)["projects"]
    found: dict[str, str] = {}

    async def install(client: Client) -> None:
        while projects:
            name = projects.pop()["name"]
            try:
                found.update(await client.install(name))
            except LostError:
                # The gateway closes idle connections when accounts change: clients ask once more.
                found.update(await client.install(name))

    await asyncio.gather(*map(install, clients))
    for client in clients:
        await client.close()
    return found


@dataclass
class Traffic:
    """Clients that install and publish in the background for as long as the block runs.

    At its end every publisher sends its last wheel until that is answered with 200.

    Attributes:
        projects: what the readers install.
        wheels: makes file name and content of a new wheel of so many kilobytes.
        retrying: whether readers try again what they lost, as pip and uv do.
        readers, publishers: how many of each.
        most: how many wheels a publisher publishes at most.
        installed: how many projects were read to the end.
        published: sha256 of all that was answered with 200, by file name.
        unanswered: the names of what was sent and never answered with 200.
        refused: how often an upload got another status; 0 stands for no answer.
        lost: what readers that retry had to ask for again.
        wrong: what should not have happened.
    """

    url: str
    account: tuple[str, str]
    projects: list[str]
    wheels: Callable[[str, int], tuple[str, bytes]]
    retrying: bool = False
    readers: int = READERS
    publishers: int = PUBLISHERS
    most: int = 300
    name: str = "traffic"
    installed: int = 0
    published: dict[str, str] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    refused: Counter[int] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __enter__(self) -> Traffic:
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._over.set()
        self._thread.join(2 * GIVES_UP_AFTER)
        assert not self._thread.is_alive()

    def go_on(self, *, installs: int = 0, uploads: int = 0, seconds: float = 120) -> None:
        """Wait until so many more were installed and uploaded than are now."""
        wanted = self.installed + installs, len(self.published) + uploads
        deadline = time.monotonic() + seconds
        while self.installed < wanted[0] or len(self.published) < wanted[1]:
            assert not self.wrong, self.wrong[:3]
            assert time.monotonic() < deadline, (self.installed, len(self.published), wanted)
            time.sleep(0.02)

    async def _run(self) -> None:
        clients = [self._read() for _ in range(self.readers)]
        clients += [self._publish(number) for number in range(self.publishers)]
        for error in await asyncio.gather(*clients, return_exceptions=True):
            if error:
                self.wrong.append(repr(error))

    async def _read(self) -> None:
        client = Client(self.url, self.account)
        try:
            while not self._over.is_set():
                await self._install(client, random.choice(self.projects))
                self.installed += 1
                await asyncio.sleep(random.uniform(0, 0.2))
        finally:
            await client.close()

    async def _install(self, client: Client, project: str) -> None:
        deadline = time.monotonic() + GIVES_UP_AFTER
        while True:
            try:
                await client.install(project)
            except LostError as error:
                if not self.retrying or time.monotonic() > deadline:
                    raise
                self.lost.append(str(error))
                await asyncio.sleep(0.2)
            else:
                return

    async def _publish(self, number: int) -> None:
        client = Client(self.url, self.account)
        try:
            for turn in range(self.most):
                if self._over.is_set():
                    return
                # Of one chunk on its way to the disk, or of two.
                kilobytes = (0, 1, 20, 300)[turn % 4]
                await self._send(client, *self.wheels(f"{self.name}-{number}-{turn}", kilobytes))
                await asyncio.sleep(random.uniform(0, 2))
        finally:
            await client.close()

    async def _send(self, client: Client, file: str, content: bytes) -> None:
        deadline = time.monotonic() + GIVES_UP_AFTER
        self.unanswered.add(file)
        while True:
            try:
                status = (await client.publish(file, content)).status
            except LostError:
                status = 0
            if status == 200:
                self.unanswered.remove(file)
                self.published[file] = crash.digest(content)
                return
            self.refused[status] += 1
            if time.monotonic() > deadline:
                raise AssertionError(f"{file} was never taken: {self.refused}")
            await asyncio.sleep(0.3)
