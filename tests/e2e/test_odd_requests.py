"""What somebody with an account gets for requests that gateway and private_pypi may read apart.

After each, neighbours whose requests go the same way get the answers to their own.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from kit.http import address, ask
from kit.stack import Stack, make_stack

GET = "GET /simple/not-here/ HTTP/1.1\r\nHost: x\r\n{bob}\r\n"
POST = "POST / HTTP/1.1\r\nHost: x\r\n{bob}\r\n"
NEXT = "GET /simple/smuggled/ HTTP/1.1\r\nHost: x\r\n\r\n"
"""What follows each. It has no login, so that the gateway refuses it and hangs up."""


@pytest.fixture(scope="module")
def stack(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Both programs, running; the gateway waits for 5 seconds where it would for 10."""
    made = make_stack(rendered, tmp_path_factory.mktemp("odd") / "s")
    caddyfile = made.gateway.log.with_name("Caddyfile")
    text = caddyfile.read_text()
    assert "read_body 10s" in text
    caddyfile.write_text(text.replace("read_body 10s", "read_body 5s"))
    # Then private_pypi, too, reads the requests for unknown names.
    (made.server.data / "folder").mkdir()
    with made.server, made.gateway:
        yield made
    assert "Traceback" not in made.server.log.read_text()


def send(stack: Stack, request: str) -> list[int]:
    """Send a request as it is; return the status of each answer."""
    lines = {
        name: f"Authorization: {stack.login(name)['Authorization']}" for name in ("alice", "bob")
    }
    for name, line in lines.items():
        request = request.replace(f"{{{name}}}", line)
    answer = b""
    with socket.create_connection(address(stack.gateway.url), 30) as client:
        client.sendall(f"{request}{NEXT}".encode("latin-1"))
        while received := client.recv(65536):
            answer += received
    assert b"SQLite" not in answer
    return [int(status) for status in re.findall(rb"^HTTP/1\.[01] (\d{3}) ", answer, re.M)]


ODD: dict[str, tuple[str, list[int]]] = {
    # Other protocols, HTTP/2 among them.
    "WebSocket": (
        f"{GET}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        [303, 401],
    ),
    "h2c": (
        f"{GET}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        [303, 401],
    ),
    "upgrade of an upload": (
        f"{POST}Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\nabc",
        [403, 401],
    ),
    "HTTP/2 at once": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", []),
    "HTTP/2.0": (f"{GET}\r\n".replace("1.1", "2.0"), [505]),
    "HTTP/0.9": ("GET /simple/\r\n\r\n", [400]),
    "HTTP/1.0": (f"{GET}\r\n".replace("1.1", "1.0"), [303]),
    "HTTP/1.0 without Host": ("GET /simple/not-here/ HTTP/1.0\r\n{bob}\r\n\r\n", [303]),
    "HTTP/1.0 in chunks": (
        f"{POST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".replace("1.1", "1.0", 1),
        [403],
    ),
    "CONNECT": ("CONNECT pypi.org:443 HTTP/1.1\r\nHost: pypi.org:443\r\n{bob}\r\n\r\n", [403, 401]),
    "TRACE": (f"{GET}\r\n".replace("GET", "TRACE"), [403, 401]),
    "another expectation": (f"{POST}Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", [417]),
    # Where a body ends.
    "two lengths": (f"{POST}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", [400]),
    "two lengths in a line": (f"{POST}Content-Length: 3, 4\r\n\r\nabcd", [400]),
    "the same length twice": (
        f"{POST}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        [403, 401],
    ),
    "a length with a sign": (f"{POST}Content-Length: +3\r\n\r\nabc", [400]),
    "a negative length": (f"{POST}Content-Length: -3\r\n\r\nabc", [400]),
    "a length in hex": (f"{POST}Content-Length: 0x3\r\n\r\nabc", [400]),
    "a length and chunks": (
        f"{POST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        [403, 401],
    ),
    "chunks and no length": (
        f"{POST}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        [403, 401],
    ),
    "chunks twice": (f"{POST}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", [501]),
    "chunks in two lines": (
        f"{POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        [501],
    ),
    "chunks of gzip": (f"{POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", [501]),
    "identity": (f"{POST}Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc", [501]),
    "chunks after a tab": (f"{POST}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", [400]),
    "chunks with a space": (f"{POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", [400]),
    "chunks in an underscore": (
        f"{POST}Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        [403, 401],
    ),
    "a length in an underscore": (
        f"{POST}Content_Length: 0\r\nContent-Length: 3\r\n\r\nabc",
        [403, 401],
    ),
    "a huge chunk": (f"{POST}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc", [502]),
    "a chunk with a sign": (
        f"{POST}Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
        [502],
    ),
    "a chunk with an extension": (
        f"{POST}Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n",
        [403, 401],
    ),
    "a chunk without CR": (f"{POST}Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n", [502]),
    "a GET with a body": (f"{GET}Content-Length: {len(NEXT)}\r\n\r\n{NEXT}", [303, 401]),
    "a page with a body": (
        f"{GET}Content-Length: {len(NEXT)}\r\n\r\n{NEXT}".replace("not-here", "held-name"),
        [200, 401],
    ),
    "a publisher in the trailer": (
        f"{POST}Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n0\r\n{{alice}}\r\n\r\n",
        [403, 401],
    ),
    "a trailer nobody announced": (
        f"{POST}Transfer-Encoding: chunked\r\n\r\n0\r\n{{alice}}\r\nContent-Length: 99\r\n\r\n",
        [403, 401],
    ),
    # Headers.
    "no Host": (f"{GET}\r\n".replace("Host: x\r\n", ""), [400]),
    "two Hosts": (f"{GET}Host: y\r\n\r\n", [400]),
    "a path in Host": (f"{GET}\r\n".replace("Host: x", "Host: x/../y"), [400]),
    "an account in Host": (f"{GET}\r\n".replace("Host: x", "Host: alice@x"), [400]),
    "a folded header": (f"{GET}X: y\r\n z\r\n\r\n", [303, 401]),
    "a header without a name": (f"{GET}: x\r\n\r\n", [400]),
    "a header without a colon": (f"{GET}x\r\n\r\n", [400]),
    "NUL in a header": (f"{GET}X: a\0b\r\n\r\n", [400]),
    "CR in a header": (f"{GET}X: a\rb\r\n\r\n", [400]),
    "LF ends lines": (f"{GET}\r\n".replace("\r\n", "\n"), [303, 401]),
    "the login is of this connection alone": (
        f"{GET}Connection: Authorization\r\n\r\n",
        [401, 401],
    ),
    "the length is of this connection alone": (
        f"{POST}Connection: Content-Length\r\nContent-Length: 3\r\n\r\nabc",
        [403, 401],
    ),
    # Addresses.
    "absolute": ("GET http://y/simple/not-here/ HTTP/1.1\r\nHost: x\r\n{bob}\r\n\r\n", [303, 401]),
    "absolute, of another scheme": (
        "GET ftp://y/simple/not-here/ HTTP/1.1\r\nHost: x\r\n{bob}\r\n\r\n",
        [303, 401],
    ),
    "the server itself": ("OPTIONS * HTTP/1.1\r\nHost: x\r\n{bob}\r\n\r\n", [200, 401]),
    "no slash": ("GET simple/ HTTP/1.1\r\nHost: x\r\n{bob}\r\n\r\n", [400]),
    "a space": ("GET /simple/ /x HTTP/1.1\r\nHost: x\r\n{bob}\r\n\r\n", [400]),
    "half an escape": ("GET /simple/%2 HTTP/1.1\r\nHost: x\r\n{bob}\r\n\r\n", [400]),
    "bytes that are no text": (
        "GET /simple/\xff\xfe/ HTTP/1.1\r\nHost: x\r\n{bob}\r\n\r\n",
        [400, 401],
    ),
    "two requests in a line end": (
        "GET /simple/not-here/%0d%0aHost:%20y HTTP/1.1\r\nHost: x\r\n{bob}\r\n\r\n",
        [404, 401],
    ),
}


@pytest.mark.parametrize(("request_", "statuses"), ODD.values(), ids=ODD)
def test_an_odd_request_is_read_alike_by_both_and_nobody_else_notices(
    stack: Stack, request_: str, statuses: list[int]
) -> None:
    assert send(stack, request_) == statuses
    for number in range(2):
        page = f"/simple/neighbour-{number}/"
        assert ask(stack.gateway.url, page, stack.login("alice")).headers["Location"].endswith(page)


FORGED = {
    "Forwarded": "for=192.0.2.66;host=evil.test;proto=gopher",
    "X-Forwarded-Host": "evil.test",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-User": "alice",
    "X-Remote-User": "alice",
    "Remote-User": "alice",
    "X-Original-URL": "/packages/",
    "X-Rewrite-URL": "/packages/",
    "X-HTTP-Method-Override": "DELETE",
    "X-Script-Name": "/evil",
    "Script_Name": "/evil",
    "Path_Info": "/packages/",
    "Remote_User": "alice",
    "Via": "1.1 Caddy",
    "X-Accel-Redirect": "/index.sqlite3",
    "X-Sendfile": "/srv/pypi_index/index.sqlite3",
}


@pytest.mark.parametrize("path", ["/simple/", "/simple/Held_Name/", "/simple/not-here/", "/x/"])
def test_headers_that_proxies_set_change_no_answer(stack: Stack, path: str) -> None:
    plain = ask(stack.gateway.url, path, stack.login("bob"))
    for name, value in FORGED.items():
        answer = ask(stack.gateway.url, path, {**stack.login("bob"), name: value})
        place = answer.headers["Location"]
        assert (name, answer.status, answer.body) == (name, plain.status, plain.body)
        assert (name, place) == (name, plain.headers["Location"])


def test_a_forged_account_does_not_publish(stack: Stack) -> None:
    for name, value in FORGED.items():
        answer = ask(stack.gateway.url, "/", {**stack.login("bob"), name: value}, method="POST")
        assert (name, answer.status) == (name, 403)


# Bodies that do not come --------------------------------------------------------------------------

ANSWERED = {
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n": 401,
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\nab": 401,
    "PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab": 401,
    "GET /simple/ HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 9\r\n\r\n": 401,
    "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic eDp4\r\nContent-Length: 9\r\n\r\n": 401,
    "POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n": 200,
    "OPTIONS * HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n": 200,
}


def test_only_who_has_an_account_is_waited_for(stack: Stack) -> None:
    """The others are hung up on, and keep no connection for what they were answered."""
    with ExitStack() as opened:

        def begin(request: str) -> socket.socket:
            client = opened.enter_context(socket.create_connection(address(stack.gateway.url), 20))
            client.sendall(request.encode())
            return client

        login = f"Authorization: {stack.login('bob')['Authorization']}\r\n"
        pausing = begin(f"POST / HTTP/1.1\r\nHost: x\r\n{login}Content-Length: 9\r\n\r\nab")
        others = [(begin(request), status) for request, status in ANSWERED.items()]
        for client, status in others:
            answer = b"".join(iter(partial(client.recv, 4096), b""))
            assert int(answer.split()[1]) == status
        pausing.sendall(b"cdefghi")
        assert pausing.recv(4096).startswith(b"HTTP/1.1 403 ")


def test_who_has_no_account_keeps_no_connection(stack: Stack) -> None:
    for path, status in (("/simple/", 401), ("/", 401), ("/health", 200), ("/RPC2", 401)):
        answer = ask(stack.gateway.url, path)
        assert (answer.status, answer.headers["Connection"]) == (status, "close")
    assert ask(stack.gateway.url, "/simple/", stack.login("bob")).headers["Connection"] is None
