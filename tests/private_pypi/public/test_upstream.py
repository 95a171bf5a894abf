"""PyPI as the mirror asks it: what is asked, how long it waits, and what it does not take."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from kit.foreign_index import Authority, ForeignIndex, running
from kit.ports import free_port
from kit.pypi import PyPI
from kit.raw_server import answering
from private_pypi.public.upstream import (
    Fetched,
    NotFoundError,
    Upstream,
    UpstreamError,
    WrongAnswerError,
)

T = TypeVar("T")
JSON = "application/vnd.pypi.simple.v1+json"
PATH = "/simple/a-lib/"


def using(
    index: str, ask: Callable[[Upstream], Awaitable[T]], *, seconds: float = 30, **limits: Any
) -> T:
    """Ask an index, within limits."""

    async def scene() -> T:
        upstream = Upstream(index, **limits)
        try:
            return await asyncio.wait_for(ask(upstream), seconds)
        finally:
            await upstream.close()

    return asyncio.run(scene())


def page(index: str, name: str = "a-lib", etag: str = "", **limits: Any) -> Fetched:
    return using(index, lambda upstream: upstream.page(name, etag), **limits)


def file(url: str, index: str = "http://127.0.0.1/", **limits: Any) -> tuple[int | None, bytes]:
    async def whole(upstream: Upstream) -> tuple[int | None, bytes]:
        async with upstream.stream(url) as stream:
            return stream.size, b"".join([chunk async for chunk in stream.chunks])

    return using(index, whole, **limits)


def test_a_page_comes_with_what_is_needed_to_ask_again(pypi: PyPI) -> None:
    first = page(pypi.url)
    again = page(pypi.url, etag=first.etag)

    assert json.loads(first.body or b"")["name"] == "a-lib"
    assert (first.content_type, first.url) == (JSON, f"{pypi.url}a-lib/")
    assert first.etag
    assert (again.body, again.etag) == (None, first.etag)
    assert pypi.requests[1][1]["If-None-Match"] == first.etag


def test_nothing_is_said_but_what_is_wanted(pypi: PyPI) -> None:
    page(pypi.url)
    file(pypi.document("a-lib")["files"][0]["url"])

    for _, headers in pypi.requests:
        assert headers.keys() <= {
            *("Host", "Accept", "Accept-Encoding", "Cache-Control", "Connection", "User-Agent")
        }
        assert headers["User-Agent"].startswith("private_pypi")
    assert [headers["Accept-Encoding"] for _, headers in pypi.requests] == ["gzip", "identity"]


@pytest.mark.parametrize("status", [404, 410])
def test_what_pypi_does_not_have_is_not_found(status: int) -> None:
    with running() as index:
        index.pages[PATH] = (status, "text/html", b"")

        with pytest.raises(NotFoundError):
            page(index.url)
        with pytest.raises(NotFoundError):
            file(f"{index.url}a-lib/")


@pytest.mark.parametrize("status", [204, 400, 401, 403, 429, 500, 502, 503])
def test_other_answers_are_errors(status: int) -> None:
    with running() as index:
        index.pages[PATH] = (status, "text/html", b"")

        with pytest.raises(UpstreamError, match=f"^PyPI answered {status}$"):
            page(index.url)
        with pytest.raises(UpstreamError, match=f"^PyPI answered {status}$"):
            file(f"{index.url}a-lib/")


@pytest.mark.parametrize(
    ("status", "is_alone"),
    [(400, True), (401, True), (403, True), (451, True), (408, False), (429, False), (500, False)],
)
def test_only_what_pypi_refuses_of_one_page_is_wrong_of_that_alone(
    status: int, is_alone: bool
) -> None:
    with running() as index:
        index.pages[PATH] = (status, "text/html", b"")

        with pytest.raises(UpstreamError) as caught:
            page(index.url)

    assert isinstance(caught.value, WrongAnswerError) is is_alone


def test_not_modified_is_an_error_if_nothing_was_there() -> None:
    with running() as index:
        index.pages[PATH] = (304, "text/html", b"")

        with pytest.raises(UpstreamError, match="304"):
            page(index.url)


def test_nobody_listens() -> None:
    url = f"http://127.0.0.1:{free_port()}/simple/"

    with pytest.raises(UpstreamError, match="PyPI cannot be reached"):
        page(url)
    with pytest.raises(UpstreamError, match="PyPI cannot be reached"):
        file(url)


def test_pypi_that_says_nothing_is_too_slow(pypi: PyPI) -> None:
    with pypi.failing("hangs"):
        with pytest.raises(UpstreamError, match="too slow"):
            page(pypi.url, read=0.2)
        with pytest.raises(UpstreamError, match="too slow"):
            file(pypi.document("a-lib")["files"][0]["url"], read=0.2)


def test_a_page_of_some_bytes_a_second_is_given_up(pypi: PyPI) -> None:
    with pypi.failing("slow"), pytest.raises(UpstreamError, match=r"more than 0\.5 seconds"):
        page(pypi.url, total=0.5)


def test_an_answer_that_breaks_off_is_an_error(pypi: PyPI) -> None:
    with pypi.failing("dies"):
        with pytest.raises(UpstreamError, match="broke off"):
            page(pypi.url)
        with pytest.raises(UpstreamError, match="broke off"):
            file(pypi.document("a-lib")["files"][0]["url"])


def test_a_page_without_an_end_is_given_up(pypi: PyPI) -> None:
    with pypi.failing("endless"), pytest.raises(WrongAnswerError, match="more than 1 MB"):
        page(pypi.url, max_page=2**20)


def test_a_page_may_be_as_large_as_the_limit() -> None:
    with running() as index:
        index.pages[PATH] = (200, JSON, b" " * 1000)

        assert page(index.url, max_page=1000).body == b" " * 1000
        with pytest.raises(WrongAnswerError):
            page(index.url, max_page=999)


# Bytes as they come -------------------------------------------------------------------------------


def head(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", f"Content-Type: {JSON}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


@pytest.mark.parametrize(
    ("etag", "usable"),
    [('"1"', '"1"'), ('W/"1"', 'W/"1"'), ('"ä"', ""), ('"a\tb"', ""), (f'"{"1" * 1000}"', "")],
)
def test_an_etag_that_cannot_be_sent_back_is_none(etag: str, usable: str) -> None:
    with answering(head(b"{}", f"ETag: {etag}")) as server:
        assert page(server.url).etag == usable


def test_a_compressed_page_is_unpacked_up_to_the_limit() -> None:
    body = gzip.compress(b" " * 1000)

    with answering(head(body, "Content-Encoding: gzip")) as server:
        assert page(server.url).body == b" " * 1000
        with pytest.raises(WrongAnswerError):
            page(server.url, max_page=999)


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip", "x\ty"])
def test_an_encoding_that_was_not_asked_for_is_refused(encoding: str) -> None:
    body = gzip.compress(gzip.compress(b" " * 1000))

    with (
        answering(head(body, f"Content-Encoding: {encoding}")) as server,
        pytest.raises(WrongAnswerError, match="encoding"),
    ):
        page(server.url)


def test_a_compressed_file_is_refused() -> None:
    body = gzip.compress(b" " * 1000)

    with (
        answering(head(body, "Content-Encoding: gzip")) as server,
        pytest.raises(WrongAnswerError, match="encoding"),
    ):
        file(server.url)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain",
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * 300_000,
        b"HTTP/1.1 302 Found\r\nLocation: http://[/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: ftp://a/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_what_is_no_answer_is_an_error_like_any_other(answer: bytes) -> None:
    with answering(answer) as server:
        with pytest.raises(UpstreamError):
            page(server.url)
        with pytest.raises(UpstreamError):
            file(server.url)


def test_no_cookie_is_kept_and_an_idle_connection_that_ends_is_no_error() -> None:
    async def twice(upstream: Upstream) -> None:
        await upstream.page("a-lib")
        await upstream.page("a-lib")

    answer = head(b"{}", "Set-Cookie: a=b; Path=/")
    with answering(answer, hangs_up_late=True) as server:
        using(server.url, twice)

        assert len(server.requests) == 3
        assert not any(b"ookie" in request for request in server.requests)


# Redirects ----------------------------------------------------------------------------------------


def redirect(index: ForeignIndex, start: str, target: str) -> None:
    index.pages[start] = (302, target, b"")


def test_a_redirect_leads_to_the_page() -> None:
    with running() as index:
        redirect(index, PATH, "/elsewhere/a-lib/")
        index.pages["/elsewhere/a-lib/"] = (200, JSON, b"{}")

        found = page(index.url)

        assert (found.body, found.url) == (b"{}", index.url.replace("simple", "elsewhere/a-lib"))


def test_redirects_come_to_an_end() -> None:
    with running() as index:
        redirect(index, PATH, PATH)

        with pytest.raises(UpstreamError, match="redirected more than 5 times"):
            page(index.url)
        assert len(index.gets) == 6


def test_a_redirect_or_a_link_does_not_leave_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with running() as plain, running(context=authority.context("127.0.0.1")) as index:
        redirect(index, PATH, f"{plain.url}a-lib/")

        with pytest.raises(WrongAnswerError, match="without HTTPS"):
            page(index.url)
        with pytest.raises(WrongAnswerError, match="without HTTPS"):
            file(f"{plain.url}a-lib/", index.url)
        assert plain.gets == []


def test_a_certificate_of_nobody_known_is_refused(tmp_path: Path) -> None:
    context = Authority(tmp_path).context("127.0.0.1")
    with running(context=context) as index, pytest.raises(UpstreamError, match="be reached"):
        page(index.url)


# Files --------------------------------------------------------------------------------------------


def test_a_file_comes_with_its_size_and_as_it_is(pypi: PyPI) -> None:
    (upload,) = pypi.uploads["a-lib"]
    content = upload.path.read_bytes()

    assert file(f"{pypi.url.removesuffix('/simple/')}{upload.location}") == (len(content), content)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999/", "http://a b/", "http://a..b/", "http://127.0.0.1:x/"]
)
def test_a_link_that_leads_nowhere_is_an_error_like_any_other(url: str) -> None:
    with pytest.raises(UpstreamError):
        file(url)


def test_the_size_of_a_file_in_chunks_is_unknown() -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    with answering(answer) as server:
        assert file(server.url) == (None, b"abc")


def test_slow_files_leave_connections_for_pages(pypi: PyPI) -> None:
    url = pypi.document("a-lib")["files"][0]["url"]

    async def ask(upstream: Upstream) -> Fetched:
        async def hold() -> None:
            async with upstream.stream(url) as stream:
                async for _ in stream.chunks:
                    pass

        held = [asyncio.create_task(hold()) for _ in range(100)]
        while pypi.times_asked(".whl") < 100:
            await asyncio.sleep(0.02)
        try:
            return await upstream.page("a-lib")
        finally:
            for task in held:
                task.cancel()
            await asyncio.gather(*held, return_exceptions=True)

    with pypi.failing("held", where="files"):
        assert using(pypi.url, ask, seconds=60).body
