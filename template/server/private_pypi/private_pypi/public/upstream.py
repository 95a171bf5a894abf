"""PyPI, as the mirror asks it: within limits of time and size, and with nothing of a client."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from ..negotiation import HTML, JSON, LEGACY
from ..terminal import quoted

USER_AGENT = "private_pypi (a mirror with a policy)"
ACCEPT = f"{JSON}, {HTML};q=0.2, {LEGACY};q=0.01"
"""The forms in which an index has its pages, the best first (PEP 691)."""

_REDIRECTS = 5
_CHUNK = 2**16
_LARGE = 2**20
_LONGEST_ETAG = 1000
# With these, PyPI asks to come again later, whatever for.
_BUSY = (408, 425, 429)


class UpstreamError(Exception):
    """PyPI gave no answer that is of use; the message is a sentence without a full stop."""


class NotFoundError(UpstreamError):
    """PyPI does not have it."""


class WrongAnswerError(UpstreamError):
    """PyPI works, but this answer cannot be used."""


@dataclass(frozen=True)
class Fetched:
    """The answer to a request for a page.

    Attributes:
        body: None if the page is the one that the mirror has already.
        content_type, etag: the headers of these names; empty if there is none.
        url: where the answer came from, after all redirects.
    """

    body: bytes | None
    content_type: str
    etag: str
    url: str


@dataclass(frozen=True)
class Stream:
    """The answer to a request for a file.

    Attributes:
        size: in bytes, None if PyPI does not say.
        chunks: the bytes, once; raises UpstreamError when they end before the file does.
    """

    size: int | None
    chunks: AsyncIterator[bytes]


class Upstream:
    """Asks one index.

    Args:
        index: URL of its simple pages, with a slash at its end.
        connect: seconds until a connection must stand.
        read: seconds within which the next bytes must come.
        total: seconds within which a whole page must come.
        max_page: bytes that a page may have.
    """

    def __init__(
        self,
        index: str,
        *,
        connect: float = 5,
        read: float = 20,
        total: float = 30,
        max_page: int = 32 * 2**20,
    ) -> None:
        self._index = index
        self._total = total
        self._max_page = max_page
        timeout = httpx.Timeout(read, connect=connect)
        # Once: it takes a moment, and memory.
        tls = httpx.create_ssl_context()
        # Apart, so that slow downloads of files leave connections for pages.
        self._pages = self._client(timeout, tls, 20)
        self._files = self._client(timeout, tls, 100)

    async def page(
        self,
        project: str,
        etag: str = "",
        before_large: Callable[[], Awaitable[object]] | None = None,
    ) -> Fetched:
        """Ask for the page of a project.

        Args:
            project: its normalised name.
            etag: of the page that the mirror has; empty if it has none.
            before_large: called once more than a megabyte has come, before the rest is read.

        Raises:
            NotFoundError: if PyPI has no such project.
            WrongAnswerError: if what it sends cannot be a page.
            UpstreamError: if it is away, too slow, or refuses.
        """
        headers = {
            "Accept": ACCEPT,
            # No other compression, which could make very much of a few bytes.
            "Accept-Encoding": "gzip",
            "Cache-Control": "max-age=0",
        }
        if etag:
            headers["If-None-Match"] = etag
        try:
            return await asyncio.wait_for(self._page(project, headers, before_large), self._total)
        except asyncio.TimeoutError:
            raise UpstreamError(f"PyPI took more than {self._total:g} seconds") from None
        except httpx.HTTPError as error:
            raise UpstreamError(_reason(error)) from None

    @asynccontextmanager
    async def stream(self, url: str) -> AsyncIterator[Stream]:
        """Ask for a file, or for its metadata.

        Args:
            url: as the page has it; of metadata with `.metadata` behind it.

        Raises:
            NotFoundError: if PyPI no longer has it.
            UpstreamError: if PyPI is away, too slow, or refuses.
        """
        try:
            headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
            async with _get(self._files, url, headers) as response:
                _check(response, ("", "identity"))
                length = response.headers.get("Content-Length", "")
                yield Stream(int(length) if length.isdecimal() else None, _chunks(response))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UpstreamError(_reason(error)) from None

    async def close(self) -> None:
        """Hang up."""
        await self._pages.aclose()
        await self._files.aclose()

    async def _page(
        self,
        project: str,
        headers: dict[str, str],
        before_large: Callable[[], Awaitable[object]] | None,
    ) -> Fetched:
        url = f"{self._index}{project}/"
        async with _get(self._pages, url, headers) as response:
            kind = response.headers.get("Content-Type", "")
            new = _sendable(response.headers.get("ETag", ""))
            if response.status_code == 304 and "If-None-Match" in headers:
                return Fetched(None, kind, headers["If-None-Match"], str(response.url))
            _check(response, ("", "identity", "gzip"))
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if before_large and len(body) > _LARGE:
                    await before_large()
                    before_large = None
                if len(body) > self._max_page:
                    limit = f"{self._max_page / 2**20:g} MB"
                    raise WrongAnswerError(f"the page of PyPI has more than {limit}")
            return Fetched(bytes(body), kind, new, str(response.url))

    def _client(
        self, timeout: httpx.Timeout, tls: ssl.SSLContext, connections: int
    ) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=tls,
            timeout=timeout,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=20),
            follow_redirects=True,
            max_redirects=_REDIRECTS,
            headers={"User-Agent": USER_AGENT},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            event_hooks={"request": [self._check_target]},
        )

    async def _check_target(self, request: httpx.Request) -> None:
        """Refuse a link or a redirect that leaves TLS, or leads to a port that there cannot be."""
        if request.url.port is not None and request.url.port > 65535:
            raise WrongAnswerError("PyPI leads to a place that cannot be")
        if self._index.startswith("https:") and request.url.scheme != "https":
            raise WrongAnswerError("PyPI leads to a place without HTTPS")


@asynccontextmanager
async def _get(
    client: httpx.AsyncClient, url: str, headers: Mapping[str, str]
) -> AsyncIterator[httpx.Response]:
    async with AsyncExitStack() as stack:
        try:
            opening = client.stream("GET", url, headers=headers)
            response = await stack.enter_async_context(opening)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            # PyPI may have closed an idle connection at the moment in which it was used again.
            opening = client.stream("GET", url, headers=headers)
            response = await stack.enter_async_context(opening)
        yield response


async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_raw(_CHUNK):
            yield chunk
    except httpx.HTTPError as error:
        raise UpstreamError(_reason(error)) from None


def _check(response: httpx.Response, encodings: tuple[str, ...]) -> None:
    """Refuse an answer that has no content, or content in an encoding that was not asked for."""
    if response.status_code in (404, 410):
        raise NotFoundError("PyPI does not have it")
    if response.status_code != 200:
        # Most of 4xx are about one page or file, such as a name that is blocked somewhere.
        is_alone = 400 <= response.status_code < 500 and response.status_code not in _BUSY
        kind = WrongAnswerError if is_alone else UpstreamError
        raise kind(f"PyPI answered {response.status_code}")
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in encodings:
        raise WrongAnswerError(f"PyPI sent the encoding {quoted(encoding)}")


def _sendable(etag: str) -> str:
    """Return an ETag if it can be sent back (RFC 9110, 8.8.3), else an empty text."""
    fits = etag.isascii() and etag.isprintable() and len(etag) <= _LONGEST_ETAG
    return etag if fits else ""


def _reason(error: Exception) -> str:
    """Return why a request failed, without the names and numbers of this machine."""
    if isinstance(error, httpx.TimeoutException):
        return "PyPI is too slow"
    if isinstance(error, httpx.ConnectError):
        return "PyPI cannot be reached"
    if isinstance(error, httpx.TooManyRedirects):
        return f"PyPI redirected more than {_REDIRECTS} times"
    return "PyPI broke off its answer, or sent what is no answer"
