"""What becomes of the next request after one that was answered before its body was read."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kit import wheel
from kit.forms import upload_form
from kit.gateway import Gateway, behind_gateway
from kit.http import Answer, Connection, basic
from kit.server import Server
from kit.template import PASSWORD

WHEEL = "held_name-1.0-py3-none-any.whl"
LENGTH = 300_000
"""More than gunicorn reads of a body by itself, and than a socket holds until somebody reads."""

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"]
PATHS = [
    "/",
    "/health",
    "/simple",
    "/simple/",
    "/simple/held-name/",
    "/simple/not-here/",
    "/held-name/json",
    f"/packages/{WHEEL}",
    "/packages/none.whl",
    "/RPC2",
    "/%ff",
]


CLIENTS: dict[str, dict[str, str]] = {
    "publisher": basic("alice", PASSWORD),
    "publisher of a form": {
        **basic("alice", PASSWORD),
        "Content-Type": "multipart/form-data; boundary=x",
    },
    "reader": basic("bob", PASSWORD),
    "stranger": basic("mallory", PASSWORD),
    "client of an odd host": {**basic("alice", PASSWORD), "Host": "a_b!"},
}


@dataclass(frozen=True)
class Programs:
    """Both programs over one folder, and an upload of what they have."""

    server: Server
    gateway: Gateway
    upload: bytes
    kind: str

    def urls(self) -> dict[str, str]:
        """Return where each of the two listens."""
        return {"gateway": self.gateway.url, "private_pypi": self.server.url()}

    def publish(self, connection: Connection) -> int:
        """Send the upload as dave; return the status."""
        headers = {**basic("dave", PASSWORD), "Content-Type": self.kind}
        return connection.ask("/", headers, method="POST", body=self.upload).status


@pytest.fixture(scope="module")
def both(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """Both, running, and a library that may be published again and again."""
    folder = tmp_path_factory.mktemp("bodies") / "s"
    server, gateway = behind_gateway(rendered, folder, PYPI_MAX_UPLOAD_MB="1")
    server.user("add", "alice", "--role", "publisher", password=PASSWORD)
    server.user("add", "dave", "--role", "publisher", password=PASSWORD)
    server.user("add", "erin", "--role", "publisher", password=PASSWORD)
    server.user("add", "bob", "--role", "reader", password=PASSWORD)
    file = wheel.build(server.data, "held-name", "1.0", origin="us")
    with server, gateway:
        yield Programs(server, gateway, *upload_form(file.name, file.read_bytes()))
    assert "Traceback" not in server.log.read_text()


@pytest.fixture(params=["gateway", "private_pypi"])
def program(request: pytest.FixtureRequest) -> str:
    """Each of the two programs."""
    name: str = request.param
    return name


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("method", METHODS)
def test_the_next_upload_is_published_whatever_was_sent_before_it(
    both: Programs, program: str, method: str, chunked: bool
) -> None:
    url = both.urls()[program]
    broken = []
    for path in PATHS:
        for who, headers in CLIENTS.items():
            with Connection(url) as same, Connection(url) as other:
                body = bytes(LENGTH)
                before = same.ask(path, headers, method=method, body=body, chunked=chunked).status
                after = [both.publish(client) for client in (same, other)]
                if not 200 <= before < 500 or after != [200, 200]:
                    broken.append((path, who, before, after))
    assert broken == []


@pytest.mark.parametrize("size", [0, LENGTH, 6 * 2**20])
def test_an_upload_that_waits_until_it_may_send_is_answered(
    both: Programs, program: str, size: int
) -> None:
    """A client that expects a 100 sends its body then, and never if it reads the end before."""
    url = urlsplit(both.urls()[program])
    for who, path, status in (
        ("alice", "/", 413 if size > 5 * 2**20 else 400),
        ("alice", "/simple/held-name/", 405),
        ("bob", "/", 403),
        ("eve", "/", 401),
        ("eve", "/health", 200),
    ):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n"
        head += "Expect: 100-continue\r\n"
        login = f"Authorization: {basic(who, PASSWORD)['Authorization']}\r\n"
        with (
            socket.create_connection((str(url.hostname), url.port or 80), timeout=60) as client,
            client.makefile("rb") as answers,
        ):
            client.sendall(f"{head}{login}\r\n".encode())
            line = answers.readline()
            if line.startswith(b"HTTP/1.1 100 "):
                client.sendall(bytes(size))
            while line and not re.match(rb"HTTP/1.1 [2-5]", line):
                line = answers.readline()
            assert line.startswith(b"HTTP/1.1 %d " % status)
        with Connection(url.geturl()) as other:
            assert both.publish(other) == 200


@pytest.mark.parametrize("chunks", [b"nonsense\r\n", b"10\r\nshort\r\n0\r\n\r\n", b"-5\r\n\r\n"])
def test_a_body_whose_chunks_are_none_spoils_only_its_own_connection(
    both: Programs, program: str, chunks: bytes
) -> None:
    url = urlsplit(both.urls()[program])
    for path in ("/", "/simple/not-here/", "/no/such/page"):
        login = f"Authorization: {basic('alice', PASSWORD)['Authorization']}\r\n"
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n{login}\r\n"
        with socket.create_connection((str(url.hostname), url.port or 80), timeout=60) as client:
            client.sendall(head.encode() + chunks)
            client.shutdown(socket.SHUT_WR)
            answer = b""
            while received := client.recv(65536):
                answer += received
        # The gateway answers for itself.
        assert int(answer.split(b" ")[1]) in (*range(400, 500), 502)
        with Connection(url.geturl()) as other:
            assert both.publish(other) == 200


@dataclass(frozen=True)
class Staller:
    """A publisher that begins uploads and finishes none, until the connections are closed."""

    account: str
    kind: str
    connections: ExitStack

    def stall(self, url: str) -> None:
        """Begin an upload: enough of it that the gateway passes it on."""
        host = urlsplit(url).netloc
        connection = self.connections.enter_context(
            closing(http.client.HTTPConnection(host, timeout=60))
        )
        connection.putrequest("POST", "/")
        headers = {
            **basic(self.account, PASSWORD),
            "Content-Type": self.kind,
            "Content-Length": "900000",
        }
        for name, value in headers.items():
            connection.putheader(name, value)
        file = 'Content-Disposition: form-data; name="content"; filename="x-1.0.zip"'
        boundary = self.kind.partition("boundary=")[2]
        connection.endheaders(f"--{boundary}\r\n{file}\r\n\r\n".encode() + bytes(100_000))

    def stall_until(self, url: str, wanted: Callable[[Answer], bool]) -> None:
        """Begin one after the other until one more that is sent whole is answered as wanted."""
        headers = {**basic(self.account, PASSWORD), "Content-Type": self.kind}
        for _ in range(100):
            self.stall(url)
            with Connection(url) as client:
                answer = client.ask("/", headers, method="POST", body=bytes(LENGTH))
            if wanted(answer):
                return
        raise AssertionError("no upload was one too many")


def test_uploads_that_are_too_many_at_once_spoil_nobody_elses(both: Programs, program: str) -> None:
    """Also once so many refused ones are read that no more are: their connections close."""
    url = both.urls()[program]
    with ExitStack() as connections:
        alice = Staller("alice", both.kind, connections)
        alice.stall_until(url, lambda answer: answer.status == 503)
        with Connection(url) as client:
            assert both.publish(client) == 200
        # Of some refused ones at once the rest is read.
        alice.stall_until(both.server.url(), lambda answer: answer.headers["Connection"] == "close")
        for _ in range(3):
            with Connection(url) as client:
                headers = {**basic("alice", PASSWORD), "Content-Type": both.kind}
                answer = client.ask("/", headers, method="POST", body=bytes(LENGTH))
                assert answer.status == 503
            with Connection(url) as client:
                assert both.publish(client) == 200


def test_two_publishers_who_stall_as_many_uploads_as_they_can_do_not_stop_a_third(
    both: Programs, program: str
) -> None:
    url = both.urls()[program]
    with ExitStack() as connections:
        for account in ("alice", "erin"):
            staller = Staller(account, both.kind, connections)
            staller.stall_until(url, lambda answer: answer.status == 503)
        for _ in range(3):
            with Connection(url) as client:
                assert both.publish(client) == 200
