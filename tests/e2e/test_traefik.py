"""`https=traefik`: the rendered server behind a Traefik that was there before."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from kit import tls_probe, wheel
from kit.acme import NOWHERE, pebble
from kit.authority import Authority
from kit.http import basic
from kit.https import ask
from kit.in_docker import Server, docker
from kit.template import PASSWORD, Render
from kit.waiting import wait_until

pytestmark = pytest.mark.docker

ADDRESS = "127.0.12.2"
HOST = "pypi.test"
PROJECT = "front-e2e"
TRAEFIK = "front-traefik"
NEIGHBOUR = "front-neighbour"
NETWORK = "front-edge"
STREET = "front-street"
"""A second network of Traefik, whose addresses count as public ones: documentation has them."""
ANSWERS = {
    "template": "server",
    "project_name": PROJECT,
    "pypi_url": HOST,
    "https": "traefik",
    "traefik_network": NETWORK,
    "traefik_certresolver": "acme",
    "publisher": "alice",
    "publisher_password": PASSWORD,
}


ALICE = basic("alice", PASSWORD)["Authorization"]
SLOW_SECONDS = 65
MINUTE = 8443
"""The port of an entry point that has Traefik's own limit of time."""


@dataclass(frozen=True)
class Front:
    """A running server behind Traefik, and what clients need."""

    server: Server
    authority: Authority
    image: str
    folder: Path
    slow: dict[int, tuple[Path, Future[tuple[int, float]]]]

    def client(self, network: str, command: str) -> str:
        """Run a command in a container of its own, where Traefik has the server's name."""
        return docker(
            *("run", "--rm", "--network", network, "--volume", f"{self.folder}:/client"),
            *("--volume", f"{shutil.which('uv')}:/usr/local/bin/uv:ro"),
            *(f"--env={name}=/client/root.crt" for name in ("PIP_CERT", "SSL_CERT_FILE")),
            *(self.image, "sh", "-euc", command),
        )


@pytest.fixture(scope="module")
def front(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A server behind Traefik, to which two slow uploads are on their way."""
    folder = tmp_path_factory.mktemp("traefik")
    server = Server(folder / "server", PROJECT, f"https://{HOST}")
    shutil.copytree(render(ANSWERS), server.folder, symlinks=True)
    authority = Authority()
    (folder / "client").mkdir()
    (folder / "client/root.crt").write_bytes(authority.certificate)
    (found,) = set(
        re.findall(r"^FROM (\S+)", (server.folder / "private_pypi/Dockerfile").read_text(), re.M)
    )
    remove()
    try:
        (limit,) = re.findall(
            r"`(--entrypoints\S+)`", (server.folder / "README.md").read_text(), re.IGNORECASE
        )
        start_traefik(folder / "traefik", authority, found, limit)
        said = server.make("pypi-launch")
        assert said.endswith(f"The index is at {server.url}/\n")
        with ThreadPoolExecutor(2) as pool:
            context = authority.context()
            wait_for_route(context, 443)
            wait_for_route(context, MINUTE)
            slow, hurry = {}, threading.Event()
            for port in (443, MINUTE):
                file = large(folder, f"slow-{port}", 1)
                slow[port] = file, pool.submit(post_slowly, context, port, file, hurry)
            yield Front(server, authority, found, folder / "client", slow)
            hurry.set()
    finally:
        server.make("pypi-stop")
        remove()


def start_traefik(folder: Path, authority: Authority, image: str, limit: str) -> None:
    """Start Traefik on the host as its owner has it: with a certificate and two entry points.

    No resolver answers, so that the certificate comes from a file.

    Args:
        limit: the option that lets uploads take long.
    """
    folder.mkdir()
    pair = authority.pair(HOST)
    (folder / "fullchain.pem").write_bytes(pair.chain)
    (folder / "privkey.pem").write_bytes(pair.key)
    (folder / "dynamic.yml").write_text(
        "tls:\n  certificates:\n"
        "    - {certFile: /etc/traefik/fullchain.pem, keyFile: /etc/traefik/privkey.pem}\n"
        "http:\n  routers:\n    minute:\n"
        f"      entryPoints: [minute]\n      rule: Host(`{HOST}`)\n"
        f"      service: {PROJECT}@docker\n      tls: {{}}\n"
    )
    docker("network", "create", NETWORK)
    docker("network", "create", "--subnet", "203.0.113.0/24", STREET)
    run_traefik(
        *(TRAEFIK, NETWORK, ADDRESS, folder, image, "https://127.0.0.1:1/directory"),
        "--providers.file.filename=/etc/traefik/dynamic.yml",
        limit,
        f"--entrypoints.minute.address=:{MINUTE}",
        other_network=STREET,
        ports=(80, 443, MINUTE),
    )


def run_traefik(
    name: str,
    network: str,
    address: str,
    folder: Path,
    image: str,
    directory: str,
    *options: str,
    other_network: str,
    host: str = HOST,
    ports: tuple[int, ...] = (80, 443),
) -> None:
    """Run Traefik in a container, with the entry points and the resolver that the labels name.

    Args:
        name: of the container.
        network: that it shares with its services.
        address: of this machine, where it listens.
        folder: of its files.
        directory: of the ACME server that its resolver asks; its root may lie in the folder.
        other_network: where it has the server's name, too.
        host: the server's name; each Traefik of a machine sees the containers of all.
    """
    docker(
        *("create", "--name", name, "--network", network, "--network-alias", host),
        *(f"--publish={address}:{port}:{port}" for port in ports),
        *("--volume", "/var/run/docker.sock:/var/run/docker.sock:ro"),
        *("--volume", f"{shutil.which('traefik')}:/usr/local/bin/traefik:ro"),
        *("--volume", f"{folder}:/etc/traefik:ro"),
        *("--env", "LEGO_CA_CERTIFICATES=/etc/traefik/acme-root.pem"),
        *(image, "traefik", "--global.checknewversion=false", "--global.sendanonymoususage=false"),
        *("--providers.docker.exposedbydefault=false", f"--providers.docker.network={network}"),
        *("--entrypoints.http.address=:80", "--entrypoints.https.address=:443"),
        f"--certificatesresolvers.acme.acme.caserver={directory}",
        "--certificatesresolvers.acme.acme.httpchallenge.entrypoint=http",
        "--certificatesresolvers.acme.acme.storage=/tmp/acme.json",
        *options,
    )
    docker("network", "connect", "--alias", host, other_network, name)
    docker("start", name)


def remove() -> None:
    """Remove Traefik and its networks, also those that an interrupted run has left."""
    docker("rm", "--force", "--volumes", TRAEFIK, NEIGHBOUR)
    left = docker("network", "ls", "--format", "{{.Name}}").split()
    for network in {NETWORK, STREET} & set(left):
        docker("network", "rm", network)


def wait_for_route(context: ssl.SSLContext, port: int) -> None:
    """Wait until Traefik has noticed that the server is there."""
    wait_until(
        lambda: send(context, port, "GET", "/health") == 200,
        30,
        explain=lambda: send(context, port, "GET", "/health"),
    )


def send(
    context: ssl.SSLContext,
    port: int,
    method: str,
    path: str,
    body: bytes | Iterable[bytes] = b"",
    headers: dict[str, str] | None = None,
) -> int:
    """Send one request as a client that resolves the name to Traefik; return the status."""
    with (
        socket.create_connection((ADDRESS, port), timeout=120) as raw,
        context.wrap_socket(raw, server_hostname=HOST) as secured,
    ):
        connection = http.client.HTTPConnection(HOST)
        connection.sock = secured
        connection.request(method, path, body, headers or {})
        return connection.getresponse().status


def post(
    context: ssl.SSLContext,
    port: int,
    file: Path,
    *,
    account: str = ALICE,
    pieces: int = 1,
    pause: Callable[[], object] = lambda: None,
) -> int:
    """Publish a file as the tools do.

    Args:
        pieces: how many it is sent in.
        pause: called after each.

    Returns:
        The status, 0 if the connection was cut.
    """
    form = (
        '--x\r\nContent-Disposition: form-data; name=":action"\r\n\r\nfile_upload\r\n'
        f'--x\r\nContent-Disposition: form-data; name="content"; filename="{file.name}"\r\n\r\n'
    ).encode()
    body = form + file.read_bytes() + b"\r\n--x--\r\n"
    size = -(-len(body) // pieces)

    def sent() -> Iterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]
            pause()

    headers = {
        "Authorization": account,
        "Content-Type": "multipart/form-data; boundary=x",
        "Content-Length": str(len(body)),
    }
    try:
        return send(context, port, "POST", "/", sent(), headers)
    except (OSError, http.client.HTTPException):
        return 0


def post_slowly(
    context: ssl.SSLContext, port: int, file: Path, hurry: threading.Event
) -> tuple[int, float]:
    """Publish a file within somewhat more than a minute; return the status and the seconds."""
    started = time.monotonic()
    status = post(context, port, file, pieces=SLOW_SECONDS, pause=lambda: hurry.wait(1))
    return status, time.monotonic() - started


def published(front: Front, file: Path) -> bool:
    """Return whether the server holds a file, byte for byte."""
    path = front.server.folder / "pypi_data" / file.name
    return path.exists() and path.read_bytes() == file.read_bytes()


def large(folder: Path, name: str, megabytes: int) -> Path:
    """Write a wheel that is larger than so many megabytes."""
    path = wheel.build(folder, name, "0.1.0", origin="us")
    wheel.add(path, f"{name.replace('-', '_')}/noise", os.urandom(megabytes * 2**20))
    return path


def test_https_is_verified_and_routed_by_the_name(front: Front) -> None:
    context = front.authority.context()

    answer = ask(ADDRESS, HOST, context)
    assert (answer.status, answer.body) == (200, b"ok")
    assert answer.headers.get_all("Strict-Transport-Security") == ["max-age=31536000"]
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(ADDRESS, HOST, ssl.create_default_context())
    assert send(context, 443, "GET", "/simple/") == 401
    assert send(context, 443, "GET", "/health", headers={"Host": "other.test"}) == 404


@pytest.mark.parametrize("version", [tls_probe.SSL3, tls_probe.TLS1_0, tls_probe.TLS1_1])
def test_no_tls_before_1_2_is_spoken(front: Front, version: int) -> None:
    suites = [suite for suites in tls_probe.WEAK.values() for suite in suites]
    suites += tls_probe.STRONG.values()

    refused = tls_probe.agreed(ADDRESS, HOST, version, suites)

    assert refused == tls_probe.PROTOCOL_VERSION
    assert isinstance(tls_probe.agreed(ADDRESS, HOST, tls_probe.TLS1_2, suites), tuple)


@pytest.mark.parametrize(("method", "status"), [("GET", 301), ("POST", 308)])
def test_plain_http_is_redirected(front: Front, method: str, status: int) -> None:
    answer = requests.request(
        method,
        f"http://{ADDRESS}/simple/x/?a=b",
        headers={"Host": HOST},
        allow_redirects=False,
        timeout=30,
    )

    assert (answer.status_code, answer.headers["Location"]) == (
        status,
        f"https://{HOST}/simple/x/?a=b",
    )


def test_nothing_of_the_index_listens_on_the_host(front: Front) -> None:
    for service in ("gateway", "private_pypi"):
        assert not any(front.server.inspect(service)["NetworkSettings"]["Ports"].values())


def test_what_uv_publishes_pip_installs(front: Front) -> None:
    file = wheel.build(front.folder, "through-traefik", "0.1.0", origin="us")
    (front.folder / "password").write_text(PASSWORD)
    (front.folder / "url").write_text(f"https://alice:{quote(PASSWORD, safe='')}@{HOST}/simple/")

    front.client(
        STREET,
        "UV_PUBLISH_PASSWORD=$(cat /client/password) uv publish --username alice"
        f" --publish-url https://{HOST}/ --trusted-publishing never /client/{file.name}",
    )
    front.client(
        STREET,
        "PIP_INDEX_URL=$(cat /client/url) pip install --target /client/installed"
        " --disable-pip-version-check --root-user-action ignore Through_Traefik",
    )

    assert published(front, file)
    installed = front.folder / "installed/through_traefik/__init__.py"
    assert "ORIGIN = 'us'" in installed.read_text()


# From an address that Caddy calls private, as the one of Traefik is, and from one it does not.
@pytest.mark.parametrize("network", [NETWORK, STREET])
def test_the_logs_have_the_address_of_the_client_whatever_that_forges(
    front: Front, network: str
) -> None:
    path = f"/packages/nobody-has-{network}.whl"
    (front.folder / "ask.py").write_text(ASK)
    (front.folder / "authorization").write_text(ALICE)

    address = front.client(network, f"python /client/ask.py https://{HOST}{path}").strip()

    assert ip_address(address).is_private

    def lines() -> list[str]:
        return [line for line in front.server.logs().splitlines() if path in line]

    wait_until(lambda: len(lines()) == 2, 20)
    said = dict(re.split(r"-1\s+\| ", line, maxsplit=1) for line in lines())
    assert json.loads(said["gateway"])["request"]["client_ip"] == address
    assert said["private_pypi"].startswith(f"{address} ")


ASK = """
import socket, ssl, sys, urllib.error, urllib.request
headers = {"Authorization": open("/client/authorization").read(), "Forwarded": "for=198.51.100.9"}
headers |= dict.fromkeys(("X-Forwarded-For", "X-Real-IP", "X-Forwarded-Host"), "198.51.100.9")
try:
    urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=headers), timeout=20)
except urllib.error.HTTPError as error:
    assert error.code == 404, error
print(socket.gethostbyname(socket.gethostname()))
"""
"""Forges where it comes from, and prints where that really is."""


def test_more_than_a_hundred_megabytes_are_published(front: Front, tmp_path: Path) -> None:
    file = large(tmp_path, "large", 101)

    assert post(front.authority.context(), 443, file) == 200
    assert published(front, file)


def test_a_client_reads_why_it_is_refused_though_it_had_much_to_send(
    front: Front, tmp_path: Path
) -> None:
    file = large(tmp_path, "refused", 8)

    account = basic("alice", PASSWORD + "x")["Authorization"]
    assert post(front.authority.context(), 443, file, account=account) == 401
    assert not published(front, file)


def test_a_neighbour_that_takes_the_name_of_private_pypi_gets_no_request(front: Front) -> None:
    heard = front.folder / "heard"
    (front.folder / "neighbour.py").write_text(LISTEN)
    docker(
        *("run", "--detach", "--name", NEIGHBOUR, "--network", NETWORK),
        *("--network-alias", "private_pypi", "--volume", f"{front.folder}:/client"),
        *(front.image, "python", "/client/neighbour.py"),
    )
    wait_until(heard.exists)
    context = front.authority.context()
    login = {"Authorization": ALICE}

    paths = [f"/packages/not-there-{number}.whl" for number in range(20)]
    answers = {send(context, 443, "GET", path, headers=login) for path in paths}

    assert answers == {404}
    assert heard.read_text() == ""


LISTEN = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open("/client/heard", "a") as heard:
            heard.write(f"{self.path} {self.headers['Authorization']}\\n")
        self.send_response(200)
        self.end_headers()
server = http.server.ThreadingHTTPServer(("", 8080), Handler)
open("/client/heard", "w").close()
server.serve_forever()
"""
"""Answers in place of private_pypi, where that once listened, and notes the logins it gets."""


def test_launch_names_the_network_where_there_is_no_traefik(render: Render, tmp_path: Path) -> None:
    answers = {**ANSWERS, "project_name": f"{PROJECT}-alone", "traefik_network": "front-nowhere"}
    server = Server(tmp_path / "server", f"{PROJECT}-alone", f"https://{HOST}")
    shutil.copytree(render(answers), server.folder, symlinks=True)
    try:
        said = server.make("pypi-launch", ok=False)
    finally:
        server.make("pypi-stop")

    assert "network front-nowhere" in said
    assert (
        "error: a network is missing, see above: start Traefik first,"
        " or create it with docker network create\n" in said
    )


def test_the_resolver_gets_the_certificate(render: Render, tmp_path: Path, front: Front) -> None:
    project, address, host = f"{PROJECT}-acme", "127.0.12.3", "resolved.test"
    server = Server(tmp_path / "server", project, f"https://{host}")
    answers = {"project_name": project, "pypi_url": host, "traefik_network": project}
    answers = {**ANSWERS, **answers}
    shutil.copytree(render(answers), server.folder, symlinks=True)
    (tmp_path / "traefik").mkdir()
    with pebble(
        project, tmp_path / "acme", http_port=80, tls_port=NOWHERE, seconds=90 * 86400
    ) as acme:
        (tmp_path / "traefik/acme-root.pem").write_bytes(acme.trusted)
        try:
            server.make("pypi-launch")
            # This one leads out. What both are on is the ACME server's, which finds Traefik there.
            docker("network", "create", f"{project}-street")
            run_traefik(
                *(f"{project}-traefik", f"{project}-street", address, tmp_path / "traefik"),
                *(front.image, acme.directory),
                other_network=project,
                host=host,
            )
            context = acme.context()
            deadline = time.monotonic() + 120
            while True:
                try:
                    answer = ask(address, host, context)
                    break
                except (ssl.SSLError, ConnectionError):
                    # Until then Traefik has a certificate of its own making.
                    assert time.monotonic() < deadline, docker("logs", f"{project}-traefik")
                    time.sleep(0.5)
            assert (answer.status, answer.body) == (200, b"ok")
            assert acme.given() == 1
        finally:
            server.make("pypi-stop")
            docker("rm", "--force", "--volumes", f"{project}-traefik")
            docker("network", "rm", f"{project}-street")


def test_an_upload_may_take_longer_than_a_minute_where_traefik_is_told_so(front: Front) -> None:
    """Last, for the fixture has started them."""
    for port, (file, sent) in front.slow.items():
        status, seconds = sent.result()
        if port == MINUTE:
            assert status != 200
            assert not published(front, file)
        else:
            assert (status, published(front, file)) == (200, True)
            assert seconds > 60
