"""A client that costs little, of which many fit into one process: asyncio over one connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from kit.accounts import Account
from kit.forms import upload_form
from kit.http import JSON, basic
from kit.integrity import digest

GIVES_UP_AFTER = 120.0


class LostError(Exception):
    """A request got no whole answer; the message says at which point."""


@dataclass(frozen=True)
class Reply:
    """What a request was answered with; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class AsyncClient:
    """One client that keeps its connection, as pip and uv do (HTTP/1.1, RFC 9112).

    Args:
        url: of the server, without a path.
        account: user name and password.
    """

    def __init__(self, url: str, account: Account) -> None:
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
        account: Account | None = None,
    ) -> Reply:
        """Send one request and read its answer to the end.

        Raises:
            LostError: if nobody listens, or the connection ends before the answer does.
        """
        login = basic(*(account or self._account))
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self._host}:{self._port}",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in {**login, **(headers or {})}.items()),
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
        body, kind = upload_form(file, content)
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
            assert digest(download.body) == file["hashes"]["sha256"], f"{place} is torn"
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


async def everything(url: str, account: Account) -> dict[str, str]:
    """Download all that a server lists; return the digest, which each has, by file name.

    Raises:
        LostError, AssertionError: as AsyncClient.install().
    """
    clients = [AsyncClient(url, account) for _ in range(4)]
    projects = json.loads((await clients[0].ask("/simple/", JSON)).body)["projects"]
    found: dict[str, str] = {}

    async def install(client: AsyncClient) -> None:
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
