"""What the gateway spends on whoever has no account, and what it answers under another name."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import names, wheel
from kit.authority import Authority
from kit.https import https_server
from kit.in_docker import Server
from kit.install import with_pip
from kit.template import PASSWORD, ROOT, Render
from kit.user import User, installed

pytestmark = pytest.mark.docker

ADDRESS, HOST, OTHER = "127.0.14.1", "pypi.test", "wiki.test"
ANSWERS = {
    "template": "server",
    "project_name": "passers-by",
    "pypi_url": HOST,
    "https": "certificate",
    "publisher": "bob",
    "publisher_password": PASSWORD,
}
CLIENTS = 10_000


@pytest.fixture(scope="module")
def authority() -> Authority:
    """The one that signed the server's certificate."""
    return Authority()


@pytest.fixture(scope="module")
def server(
    render: Render, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A running server whose certificate has a second name, for something else."""
    server = https_server(render(ANSWERS), tmp_path_factory.mktemp("docker") / "server", ADDRESS)
    wheel.build(server.folder / "pypi_data", "held-name", "1.0", origin="us")
    if os.getuid() == 0:
        for folder in ("pypi_data", "pypi_index", "pypi_auth", "gateway/accounts", "gateway_data"):
            subprocess.run(["chown", "-R", "10001:10001", folder], cwd=server.folder, check=True)
    authority.pair(HOST, OTHER).write(server.folder / "certs")
    try:
        server.make("pypi-launch")
        yield server
    finally:
        server.make("pypi-stop")


@pytest.fixture
def user(user: User, authority: Authority, tmp_path: Path) -> Iterator[User]:
    """Somebody for whom both names lead to the server, and who trusts its certificate."""
    trusted = tmp_path / "authority.pem"
    trusted.write_bytes(authority.certificate)
    for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        user.environment[name] = str(trusted)
    with names.leading_to({HOST: (ADDRESS, 443), OTHER: (ADDRESS, 443)}) as proxy:
        user.environment["HTTPS_PROXY"] = proxy
        yield user


# A crowd ------------------------------------------------------------------------------------------


def test_ten_thousand_heads_without_their_bodies_cost_the_gateway_nothing_that_lasts(
    server: Server, user: User, venv: Path
) -> None:
    """Over TLS, and as many without: they go to its container, as from outside this machine."""
    networks = server.inspect("gateway")["NetworkSettings"]["Networks"]
    gateway = next(iter(networks.values()))["IPAddress"]
    command = [sys.executable, "-m", "kit.crowd", gateway]
    crowds = [
        subprocess.Popen([*command, *more], cwd=ROOT / "tests", stdout=subprocess.PIPE, text=True)
        for more in (["80", str(CLIENTS)], ["443", str(CLIENTS), HOST])
    ]
    for one in crowds:
        assert one.stdout
        assert one.stdout.readline() == "half of them are there\n"

    # While all files are taken it is told to ask again, which it does five times by itself.
    with_pip(user, venv, f"https://{HOST}/simple/", "held-name", "--retries=5")

    assert installed(venv) == {"held-name": "1.0 from us"}
    assert [one.communicate()[0] for one in crowds] == [f"{CLIENTS}\n"] * 2
    state = server.inspect("gateway")
    assert state["RestartCount"] == 0
    assert not state["State"]["OOMKilled"]


def test_no_connection_carries_many_requests_at_once(server: Server, authority: Authority) -> None:
    """Each stream of HTTP/2 and 3 would cost what a connection costs, and nobody bounds those."""
    context = authority.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection((ADDRESS, 443), timeout=30) as raw,
        context.wrap_socket(raw, server_hostname=HOST) as secured,
    ):
        assert secured.selected_alpn_protocol() == "http/1.1"
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((ADDRESS, 443), timeout=30) as raw,
        pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"),
    ):
        context.wrap_socket(raw, server_hostname=HOST)
    ports = server.inspect("gateway")["NetworkSettings"]["Ports"]
    assert not ports.get("443/udp")


# Another name -------------------------------------------------------------------------------------


def status(server_name: str, context: ssl.SSLContext | None, request: str) -> tuple[int, str]:
    """Send a request as it is, over TLS or to port 80; return its status and its Location."""
    with socket.create_connection((ADDRESS, 443 if context else 80), timeout=30) as raw:
        client = context.wrap_socket(raw, server_hostname=server_name) if context else raw
        client.sendall(request.encode())
        answer = b"".join(iter(lambda: client.recv(4096), b"")).decode()
        client.close()
    place = re.search(r"^Location: (\S+)", answer, re.M)
    return int(answer.split()[1]), place[1] if place else ""


CLOSE = "Connection: close\r\n\r\n"


@pytest.mark.parametrize("path", ["/", "/health", "/simple/", "/.well-known/acme-challenge/x"])
def test_another_name_is_refused_and_ours_is_not(
    server: Server, authority: Authority, path: str
) -> None:
    """Whether TLS or the request says it (RFC 9110, 7.4)."""
    context = authority.context()
    ours = 200 if path == "/health" else 401
    for name in (HOST, OTHER):
        for request, wanted in (
            (f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n", ours),
            (f"GET {path} HTTP/1.1\r\nHost: PYPI.test:443\r\n", ours),
            (f"GET https://{HOST}{path} HTTP/1.1\r\nHost: {OTHER}\r\n", ours),
            (f"GET {path} HTTP/1.1\r\nHost: {OTHER}\r\n", 421),
            (f"POST {path} HTTP/1.1\r\nHost: {OTHER}\r\n", 421),
            (f"GET https://{OTHER}{path} HTTP/1.1\r\nHost: {HOST}\r\n", 421),
            (f"GET {path} HTTP/1.1\r\nHost: {ADDRESS}\r\n", 421),
            (f"GET {path} HTTP/1.1\r\nHost: {HOST}.\r\n", 421),
            (f"GET {path} HTTP/1.1\r\nHost: {HOST}.{OTHER}\r\n", 421),
            (f"GET {path} HTTP/1.0\r\n", 421),
        ):
            assert (request, status(name, context, request + CLOSE)[0]) == (request, wanted)
            moved = (308, f"https://{HOST}{path}") if wanted == ours else (421, "")
            code, place = status(name, None, request + CLOSE)
            assert (request, code, place.lower().replace(":443", "")) == (request, *moved)


def test_nothing_is_published_under_another_name(server: Server, user: User) -> None:
    file = wheel.build(user.home, "elsewhere", "1.0", origin="us")

    def upload(host: str, *, ok: bool) -> str:
        user.environment |= {"TWINE_USERNAME": "bob", "TWINE_PASSWORD": PASSWORD}
        command = ("twine", "upload", "--non-interactive", "--disable-progress-bar", file)
        return user.run(*command, ok=ok, TWINE_REPOSITORY_URL=f"https://{host}/")

    assert "421 Misdirected Request" in upload(OTHER, ok=False)
    assert not list((server.folder / "pypi_data").glob("elsewhere*"))
    upload(HOST, ok=True)
    assert list((server.folder / "pypi_data").glob("elsewhere*"))
