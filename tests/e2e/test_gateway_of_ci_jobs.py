"""What the gateway lets through of CI jobs, which have no account, and what of passers-by."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kit import wheel
from kit.forms import TYPE, upload_form
from kit.gateway import Gateway, behind_gateway
from kit.http import Answer, Connection, address, basic
from kit.ports import free_port
from kit.processes import in_background
from kit.server import Server
from kit.template import PASSWORD, Render
from kit.tokens import PUBLISHERS, claims, signed, trust
from kit.waiting import wait_until
from private_pypi import gateway
from private_pypi.trust import routes
from private_pypi.trust.routes import AT_ONCE, AUDIENCE, MINT, MOST_BYTES, PUBLISHES_ALONE

LOGIN = "__token__"


class Programs:
    """A server with the publisher of PUBLISHERS, and the gateway in front of it.

    Attributes:
        sent: name and content of the file that was sent last.
    """

    def __init__(self, server: Server, front: Gateway) -> None:
        self.server, self.gateway = server, front
        self.sent = ("", b"")
        self._files = 0

    def ask(self, path: str, password: str = "", user: str = LOGIN, **more: Any) -> Answer:
        """Send one request on a connection of its own, without a login if there is no password."""
        headers = {**(basic(user, password) if password else {}), **more.pop("headers", {})}
        with Connection(self.gateway.url) as connection:
            return connection.ask(path, headers, **more)

    def mint(self) -> str:
        """Return a new password."""
        answer = self.ask(MINT, method="POST", body=mint_body())
        assert answer.status == 200, answer.body
        return str(json.loads(answer.body)["token"])

    def upload(self, password: str, user: str = LOGIN, *, padding: int = 0) -> Answer:
        """Publish a file of a new name."""
        self._files += 1
        name = f"acme_x{self._files}"
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n".encode()
        filling = os.urandom(padding)
        content = wheel.packed({"filling": filling, f"{name}-1.dist-info/METADATA": text})
        self.sent = (f"{name}-1-py3-none-any.whl", content)
        body, kind = upload_form(*self.sent)
        return self.ask(
            "/", password, user, method="POST", body=body, headers={"Content-Type": kind}
        )

    def refused(self) -> int:
        """Return how many logins the gateway has refused."""
        return len(self.gateway.refused.read_text().splitlines())

    def refused_later(self) -> int:
        """Return the same, once all requests so far were written down."""
        before = self.refused()
        assert self.ask("/simple/", "wrong-password", "nobody").status == 401
        wait_until(lambda: self.refused() > before)
        return self.refused() - 1

    def accesses(self) -> int:
        """Return how many requests stand in the log as those of accounts."""
        return self.gateway.log.read_text().count('"logger":"http.log.access.access"')


def mint_body() -> bytes:
    """Return a request to mint for a new token."""
    return json.dumps({"token": signed(claims(time.time() + 1))}).encode()


@pytest.fixture(scope="module")
def both(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """A server and its gateway; alice publishes."""
    folder = tmp_path_factory.mktemp("ci") / "s"
    server, front = behind_gateway(
        rendered, folder, PYPI_URL="https://pypi.example.com/", PYPI_KEYS=str(folder / "keys")
    )
    server.user("add", "alice", "--role", "publisher", password=PASSWORD)
    trust(server.auth, folder / "keys")
    server.run("follow", "--once")
    with server, front:
        yield Programs(server, front)
    assert "Traceback" not in server.log.read_text()


def test_a_ci_job_gets_a_password_and_publishes_with_it(both: Programs) -> None:
    audience = both.ask(AUDIENCE)
    assert (audience.status, json.loads(audience.body)) == (
        200,
        {"audience": "pypi.example.com"},
    )
    assert audience.headers["Connection"] == "close"

    password = both.mint()

    for megabytes in (0, 1, 20):
        assert both.upload(password, padding=megabytes * 2**20).status == 200
        file, content = both.sent
        assert (both.server.data / file).read_bytes() == content
    assert password not in both.gateway.log.read_text() + both.server.log.read_text()


def test_a_refused_token_is_answered_as_pypi_does(both: Programs) -> None:
    answer = both.ask(MINT, method="POST", body=b'{"token": "x.y.z"}')

    assert answer.status == 422
    assert answer.headers["Connection"] == "close"
    assert json.loads(answer.body)["errors"] == [
        {"code": "invalid-payload", "description": "The token is no JSON Web Token."}
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST"])
@pytest.mark.parametrize("path", ["/simple/", "/packages/x.whl", "/", AUDIENCE + "/"])
def test_a_minted_password_publishes_and_does_nothing_else(
    both: Programs, method: str, path: str
) -> None:
    if (method, path) == ("POST", "/"):
        return
    for password in ("wrong", "x" * 72):
        answer = both.ask(path, password, method=method)

        assert answer.status == 403
        assert answer.headers["Connection"] == "close"
        assert answer.body.decode() == ("" if method == "HEAD" else PUBLISHES_ALONE)


@pytest.mark.parametrize("megabytes", [0, 5])
def test_a_wrong_password_of_a_ci_job_is_refused_and_noted_for_fail2ban(
    both: Programs, megabytes: int
) -> None:
    before = both.refused()
    for _ in range(5):
        answer = both.upload("wrong", padding=megabytes * 2**20)

        assert answer.status == 401
        assert b"lasts 15 minutes" in answer.body
        assert answer.headers["Connection"] == "close"
    wait_until(lambda: both.refused() == before + 5)
    line = json.loads(both.gateway.refused.read_text().splitlines()[-1])
    assert line["request"].keys() == {"remote_ip", "remote_port", "client_ip", "proto"}


def test_a_longer_password_is_one_of_an_unknown_user(both: Programs) -> None:
    assert both.upload("x" * 100).status == 401


def test_a_request_to_mint_has_a_size(both: Programs) -> None:
    for body in (b"", b"x" * MOST_BYTES, b"x" * (MOST_BYTES + 1)):
        # Refused for the size that it announces, however much of it has come.
        size = {"Content-Length": str(MOST_BYTES + 1)}
        answer = both.ask(MINT, headers=size, method="POST", body=body)
        # The gateway refuses it: private_pypi does not learn of it.
        assert (answer.status, "Via" in answer.headers) == (413, False)
    chunked = both.ask(MINT, method="POST", body=b"x" * (MOST_BYTES + 1), chunked=True)
    assert chunked.status in (411, 413)
    assert both.ask(MINT, method="POST", body=b"x" * MOST_BYTES).status == 422


def test_an_account_is_let_in_as_before(both: Programs) -> None:
    assert both.ask("/simple/", PASSWORD, "alice").status == 200
    assert both.upload(PASSWORD, "alice").status == 200
    assert both.ask("/simple/").status == 401
    assert both.upload("").status == 401


def stalled(stack: ExitStack, both: Programs, head: str, count: int) -> None:
    """Open connections that send the head of a request and the start of its body."""
    for _ in range(count):
        one = stack.enter_context(socket.create_connection(address(both.gateway.url)))
        one.sendall(f"{head}\r\nHost: x\r\nContent-Length: 9000\r\n\r\n".encode() + b"x" * 5000)


def test_requests_that_do_not_arrive_stop_nobody(both: Programs) -> None:
    wrong = basic(LOGIN, "wrong")["Authorization"]
    with ExitStack() as stack:
        stalled(stack, both, f"POST {MINT} HTTP/1.1", 100)
        stalled(stack, both, f"POST / HTTP/1.1\r\nAuthorization: {wrong}", 100)

        began = time.monotonic()
        assert both.upload(both.mint()).status == 200
        assert both.upload(PASSWORD, "alice").status == 200
        assert time.monotonic() - began < 5


def test_what_changes_in_the_file_is_so_at_the_gateway(both: Programs) -> None:
    file = both.server.auth / ".publishers.toml"
    front = both.gateway
    accounts = file.parent.parent / "accounts"
    password = both.mint()

    file.unlink()
    gateway.write(file.parent, accounts)
    try:
        reloaded(front)
        assert both.ask(AUDIENCE).status == 401
        assert both.ask(MINT, method="POST", body=mint_body()).status == 401
        assert both.upload(password).status == 401
        assert both.ask("/simple/", password).status == 401
    finally:
        file.write_text(PUBLISHERS)
        gateway.write(file.parent, accounts)
    reloaded(front)
    assert both.ask(AUDIENCE).status == 200


def reloaded(front: Gateway) -> None:
    """Start the gateway anew, on what it is given now."""
    front.stop()
    front.start()


@contextmanager
def busy() -> Iterator[Any]:
    """Run what stands for private_pypi: each password works, and whatever is sent waits."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                told.at_once += 1
                told.most = max(told.most, told.at_once)
            told.go_on.wait(30)
            with lock:
                told.at_once -= 1
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    lock = threading.Lock()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told = SimpleNamespace(port=server.server_port, at_once=0, most=0, go_on=threading.Event())
        with in_background(server):
            yield told


def test_private_pypi_gets_few_requests_to_mint_at_a_time_and_uploads_beside_them(
    rendered: Path, tmp_path: Path
) -> None:
    auth, accounts = tmp_path / "auth", tmp_path / "accounts"
    auth.mkdir()
    accounts.mkdir()
    trust(auth, tmp_path / "keys")
    gateway.write(auth, accounts)
    with busy() as told, Gateway(rendered, tmp_path, accounts, told) as front, ExitStack() as stack:
        for _ in range(30):
            one = stack.enter_context(socket.create_connection(address(front.url)))
            one.sendall(
                f"POST {MINT} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode()
            )
        wait_until(lambda: told.at_once == AT_ONCE)

        login = basic(LOGIN, "x")["Authorization"]
        one = stack.enter_context(socket.create_connection(address(front.url)))
        one.sendall(
            f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\nContent-Type: {TYPE}\r\n"
            "Content-Length: 2\r\n\r\n{}".encode()
        )

        wait_until(lambda: told.at_once == AT_ONCE + 1)
        told.go_on.set()
        wait_until(lambda: told.at_once == 0)
    assert told.most == AT_ONCE + 1


@pytest.mark.parametrize("unknown_packages", ["redirect", "mirror", "refuse"])
def test_caddy_takes_what_is_written_in_every_configuration(
    render: Render, tmp_path: Path, unknown_packages: str
) -> None:
    repository = render(
        {"template": "server", "https": "none", "unknown_packages": unknown_packages}
    )
    auth, accounts = tmp_path / "auth", tmp_path / "accounts"
    auth.mkdir()
    accounts.mkdir()
    (auth / ".publishers.toml").write_text(PUBLISHERS)
    gateway.write(auth, accounts)
    server: Any = SimpleNamespace(port=1)

    with Gateway(repository, tmp_path, accounts, server):
        pass


SPELLINGS = [
    ("GET", f"/{AUDIENCE}"),
    ("GET", "/_/OIDC/audience"),
    ("GET", "/_/oidc/x/../audience"),
    ("GET", "/_/%6fidc/audience?x"),
    ("HEAD", f"/{AUDIENCE}"),
    ("POST", "/_/oidc//mint-token"),
    ("POST", "/_/oidc/x/../mint-token"),
    ("POST", "/_/%6fidc/burn-token?x"),
    ("POST", "/_/OIDC/mint-token"),
    ("GET", f"/{routes.PASSWORD}"),
    ("GET", routes.PASSWORD),
    ("POST", "/_/oidc//password"),
]


@pytest.mark.parametrize(("method", "path"), SPELLINGS)
@pytest.mark.parametrize("user", ["alice", LOGIN])
def test_no_spelling_of_these_requests_tells_whether_a_password_is_right(
    both: Programs, method: str, path: str, user: str
) -> None:
    """A password could be guessed there, unseen by fail2ban."""
    right = PASSWORD if user == "alice" else both.mint()
    told = []
    for password in (right, "wrong-password"):
        before = both.refused()
        answer = both.ask(path, password, user, method=method, body=b"{}")
        told.append((answer.status, both.refused_later() - before))

    is_asked = told[0][0] in (200, 422)
    if user == "alice" and not is_asked:
        # It is a request of an account as any other: a wrong password is refused, and noted.
        assert told[1] == (401, 1)
    else:
        assert told[0] == told[1]
        assert told[0][1] == 0


ODD = {
    "X-Forwarded-Ssl": {"X-Forwarded-Ssl": "on"},
    "two schemes": {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off"},
    "underscore": {"X_Odd": "1", "Expect": "100-continue"},
    "many": {f"X-{number}": "" for number in range(110)},
}


@pytest.mark.parametrize("odd", [*ODD, "query"])
@pytest.mark.parametrize(
    ("method", "path", "user", "status"),
    [
        ("GET", AUDIENCE, "", 200),
        ("POST", MINT, "", 422),
        ("POST", "/", LOGIN, 401),
    ],
)
def test_no_header_or_query_of_a_stranger_reaches_private_pypi(
    both: Programs, method: str, path: str, user: str, status: int, odd: str
) -> None:
    query = f"?{'x' * 4500}" if odd == "query" else ""
    before, lines = both.refused(), both.accesses()
    warnings = both.server.log.read_text().count("Invalid request")

    answer = both.ask(
        path + query,
        *(["junk", user] if user else []),
        method=method,
        body=b"{}",
        headers=ODD.get(odd, {}),
    )

    assert answer.status == status
    assert both.refused_later() - before == (1 if user else 0)
    assert both.server.log.read_text().count("Invalid request") == warnings
    assert both.accesses() == lines


def test_a_wrong_password_that_nobody_can_check_is_no_request_of_an_account(
    rendered: Path, tmp_path: Path
) -> None:
    auth, accounts = tmp_path / "auth", tmp_path / "accounts"
    auth.mkdir()
    accounts.mkdir()
    trust(auth, tmp_path / "keys")
    gateway.write(auth, accounts)
    # Nothing listens there.
    server: Any = SimpleNamespace(port=free_port())
    with Gateway(rendered, tmp_path, accounts, server) as front:
        both = Programs(server, front)

        assert both.ask("/", "junk", method="POST", body=b"{}").status == 502

        both.refused_later()
        assert both.accesses() == 0


def test_a_flood_of_bad_tokens_pushes_nobody_out_of_the_log(both: Programs) -> None:
    for _ in range(150):
        assert both.ask(MINT, method="POST", body=b"{}").status == 422

    assert both.upload(PASSWORD, "alice").status == 200

    def lines() -> list[str]:
        return both.server.log.read_text().splitlines()

    wait_until(lambda: "alice" in lines()[-1])
    # There are sixty a minute, and the minute may have changed.
    assert sum(MINT in line and " 422 " in line for line in lines()) <= 2 * 60
