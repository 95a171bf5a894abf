"""A server with a certificate of its owner's, in containers, and the gateway's TLS as such."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from kit import tls_probe, wheel
from kit.authority import Authority, Pair
from kit.forms import upload_form
from kit.http import basic
from kit.https import SecureAnswer, ask, https_server
from kit.in_docker import Server, docker
from kit.template import PASSWORD, Render
from kit.waiting import wait_until

pytestmark = pytest.mark.docker

ADDRESS, HOST = "127.0.11.1", "pypi.test"
ANSWERS = {
    "template": "server",
    "project_name": "tls-e2e-certificate",
    "pypi_url": HOST,
    "https": "certificate",
    "publisher": "alice",
    "publisher_password": PASSWORD,
}
YEAR = "max-age=31536000"


@pytest.fixture(scope="module")
def authority() -> Authority:
    """The one that signs the owner's certificates, and that clients trust."""
    return Authority()


@pytest.fixture(scope="module")
def stopped(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that was never launched, without a certificate."""
    server = https_server(render(ANSWERS), tmp_path_factory.mktemp("docker") / "server", ADDRESS)
    yield server
    server.make("pypi-stop")


@pytest.fixture(scope="module")
def server(stopped: Server, authority: Authority) -> Server:
    """The same with a certificate, running."""
    authority.pair(HOST).write(certs(stopped))
    assert stopped.make("pypi-launch") == f"The index is at https://{HOST}/\n"
    return stopped


@pytest.fixture
def good(server: Server, authority: Authority) -> Pair:
    """A new pair, which the server serves."""
    pair = authority.pair(HOST)
    pair.write(certs(server))
    server.make("pypi-reload")
    wait_for(authority, pair)
    return pair


def certs(server: Server) -> Path:
    """Return the folder for the owner's pair."""
    return server.folder / "certs"


def get(
    authority: Authority, path: str = "/health", headers: dict[str, str] | None = None
) -> SecureAnswer:
    """Send a request as pip and uv do, which repeat one that was not answered.

    While Caddy reads its configuration again, it closes a connection whose first request it has not
    read yet, without an answer. That is how Go's HTTP server shuts down (golang/go, issue 75591).
    If the handshake was not over either, OpenSSL calls that an unexpected end.
    """
    for _ in range(5):
        try:
            return ask(ADDRESS, HOST, authority.context(), path, headers)
        except (ConnectionError, ssl.SSLEOFError):
            time.sleep(0.1)
    return ask(ADDRESS, HOST, authority.context(), path, headers)


def served(authority: Authority) -> int:
    """Return the serial number of the certificate that a new connection gets."""
    return x509.load_der_x509_certificate(get(authority).der).serial_number


def wait_for(authority: Authority, pair: Pair) -> None:
    """Return when new connections get this certificate, also from a gateway that just starts."""

    def is_served() -> bool:
        try:
            return served(authority) == pair.serial
        except (ConnectionError, ssl.SSLEOFError):
            return False

    wait_until(is_served, 30, explain=lambda: f"the certificate served is {served(authority)}")


def make_unreadable(file: Path) -> None:
    """Take everybody's right to read a file, its owner's included."""
    file.chmod(0)


# Launch -------------------------------------------------------------------------------------------


def test_launch_names_what_is_wrong_with_the_pair_and_starts_nothing(
    stopped: Server, authority: Authority
) -> None:
    folder, good = certs(stopped), authority.pair(HOST)

    def refused(complaint: str) -> None:
        said = stopped.make("pypi-launch", ok=False)
        assert f"error: {complaint}" in said
        assert "Traceback" not in said
        assert not docker("ps", "--all", "--quiet", "--filter", f"name={stopped.project}-gateway")
        assert not list(stopped.folder.glob("gateway_data/certs/*"))

    refused("certs/fullchain.pem is missing: put the certificate")
    good.write(folder)
    make_unreadable(folder / "privkey.pem")
    refused("certs/privkey.pem cannot be read (Permission denied): give it to the owner of")
    authority.pair("other.test").write(folder)
    refused(f"certs/fullchain.pem is not for {HOST} but for other.test: get one for that name")
    settings = stopped.folder / ".pypi.env"
    right = settings.read_text()
    settings.write_text(right.replace("pypi_url=", "#pypi_url="))
    refused(".pypi.env has no pypi_url: add the DNS name of the index")
    settings.write_text(right)


def test_only_a_running_gateway_can_reload(stopped: Server) -> None:
    said = stopped.make("pypi-reload", ok=False)
    assert "error: the gateway does not run: start it with make pypi-launch" in said


def test_a_certificate_that_soon_ends_is_served_with_a_warning(
    server: Server, authority: Authority
) -> None:
    pair = authority.pair(HOST, days=20.5, begins=-70)
    pair.write(certs(server))
    began = server.inspect("gateway")["State"]["StartedAt"]

    said = server.make("pypi-launch")

    assert "warning: certs/fullchain.pem expires on" in said
    assert "in 20 days: replace both files and run make pypi-reload\n" in said
    assert said.endswith(f"The index is at https://{HOST}/\n")
    wait_for(authority, pair)
    assert server.inspect("gateway")["State"]["StartedAt"] == began


# Reload -------------------------------------------------------------------------------------------


def test_a_replaced_certificate_is_served_after_a_reload_without_a_restart(
    server: Server, authority: Authority, good: Pair, tmp_path: Path
) -> None:
    began = server.inspect("gateway")["State"]["StartedAt"]
    new = authority.pair(HOST)
    new.write(certs(server))

    with asked_all_the_time(authority), slow_upload(authority, tmp_path) as upload:
        assert server.make("pypi-reload").endswith("reads its Caddyfile and certificate again.\n")
        wait_for(authority, new)
        assert upload.finish() == 200

    assert server.inspect("gateway")["State"]["StartedAt"] == began
    assert new.serial != good.serial


def test_a_reload_works_after_the_gateway_noticed_a_change_by_itself(
    server: Server, authority: Authority, good: Pair
) -> None:
    wait_for_status(authority, basic("bob", server.add_user("bob", "reader")), 200)
    assert served(authority) == good.serial
    new = authority.pair(HOST)
    new.write(certs(server))

    server.make("pypi-reload")

    wait_for(authority, new)


def test_an_edited_caddyfile_has_effect_after_a_reload(
    server: Server, authority: Authority, good: Pair
) -> None:
    caddyfile = server.folder / "gateway/Caddyfile"
    right = caddyfile.read_text()
    try:
        caddyfile.write_text(right.replace('respond "ok"', 'respond "fine"'))
        server.make("pypi-reload")
        wait_until(lambda: get(authority).body == b"fine", 30)
    finally:
        caddyfile.write_text(right)
    server.make("pypi-reload")
    wait_for(authority, good)


def test_what_a_reload_refuses_is_named_and_the_old_goes_on(
    server: Server, authority: Authority, good: Pair
) -> None:
    caddyfile = server.folder / "gateway/Caddyfile"
    right = caddyfile.read_text()
    logged = server.logs().count("SIGUSR1")
    try:
        caddyfile.write_text(right.replace("respond", "resp0nd"))
        said = server.make("pypi-reload", ok=False)
        assert "resp0nd" in said
        assert "error: the gateway cannot use gateway/Caddyfile, see above" in said
    finally:
        caddyfile.write_text(right)
    try:
        for bad, complaint in (
            (
                Pair(authority.pair(HOST).chain, good.key),
                "certs/privkey.pem is not the key of the first certificate in certs/fullchain.pem",
            ),
            (
                authority.pair(HOST, days=-1),
                "clients would refuse certs/fullchain.pem (certificate has expired)",
            ),
            (
                labelled_as_of_old(authority.pair(HOST)),
                "the gateway cannot use the pair in certs/, see above: put another one there",
            ),
        ):
            bad.write(certs(server))
            assert f"error: {complaint}" in server.make("pypi-reload", ok=False)
    finally:
        good.write(certs(server))

    assert served(authority) == good.serial
    assert get(authority).body == b"ok"
    assert server.logs().count("SIGUSR1") == logged


def labelled_as_of_old(pair: Pair) -> Pair:
    """Return a pair in a form that OpenSSL reads and Caddy does not."""
    return Pair(pair.chain.replace(b" CERTIFICATE-", b" X509 CERTIFICATE-"), pair.key)


def test_a_broken_pair_keeps_nobody_in_and_stops_no_gateway(
    server: Server, authority: Authority, good: Pair
) -> None:
    account = basic("carol", server.add_user("carol", "reader"))
    wait_for_status(authority, account, 200)
    try:
        Pair(authority.pair(HOST).chain, good.key).write(certs(server))
        server.make("pypi-reload", ok=False)

        assert server.make("pypi-user-remove", "USER=carol") == "carol is shut out.\n"
        wait_for_status(authority, account, 401)
        assert get(authority, "/simple/", basic("alice", PASSWORD)).status == 200

        # As after a reboot of the host.
        docker("restart", f"{server.project}-gateway-1")
        wait_for(authority, good)
        assert get(authority, "/simple/", account).status == 401
    finally:
        good.write(certs(server))


def wait_for_status(authority: Authority, account: dict[str, str], status: int) -> None:
    """Return when the gateway answers an account like this."""
    wait_until(lambda: get(authority, "/simple/", account).status == status, 30)


@contextmanager
def asked_all_the_time(authority: Authority) -> Iterator[None]:
    """Connect again and again, as pip does; each request must be answered."""
    ended, failures, answered = threading.Event(), list[Exception](), list[int]()

    def connect() -> None:
        while not ended.wait(0.02):
            try:
                answered.append(get(authority).status)
            except (OSError, http.client.HTTPException) as error:
                failures.append(error)

    thread = threading.Thread(target=connect)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert not failures
    assert len(answered) > 5
    assert set(answered) == {200}


class SlowUpload:
    """A form that is sent over one connection, as slowly as the server allows: a context manager.

    The server waits 30 seconds for the next 128 kB, and a reload may take longer than that. So a
    part of that size goes out every five seconds, for as long as the body lasts.
    """

    PART, PAUSE = 130_000, 5.0

    def __init__(self, connection: http.client.HTTPConnection, body: bytes) -> None:
        self._connection, self._body, self._sent = connection, body, 0
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> SlowUpload:
        self._send(self.PART)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._hurry.set()
        self._thread.join()

    def _run(self) -> None:
        # What is left for finish() is never nothing.
        while not self._hurry.wait(self.PAUSE) and self._sent + self.PART < len(self._body):
            self._send(self.PART)

    def _send(self, size: int) -> None:
        self._connection.send(self._body[self._sent : self._sent + size])
        self._sent += size

    def finish(self) -> int:
        """Send the rest and return the status of the answer."""
        self._hurry.set()
        self._thread.join()
        assert self._sent < len(self._body)
        self._send(len(self._body))
        response = self._connection.getresponse()
        response.read()
        return response.status


@contextmanager
def slow_upload(authority: Authority, folder: Path) -> Iterator[SlowUpload]:
    """Begin to publish a wheel built in a folder, of two minutes at least; hand out the rest."""
    file = wheel.build(folder, "slow", "0.1.0", origin="us")
    wheel.add(file, "slow/noise", os.urandom(30 * SlowUpload.PART))
    body, kind = upload_form(file.name, file.read_bytes())
    headers = {"Content-Type": kind, "Content-Length": str(len(body))}
    with (
        socket.create_connection((ADDRESS, 443), timeout=60) as raw,
        authority.context().wrap_socket(raw, server_hostname=HOST) as secured,
    ):
        connection = http.client.HTTPConnection(HOST)
        connection.sock = secured
        connection.putrequest("POST", "/")
        for name, value in {**basic("alice", PASSWORD), **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        with SlowUpload(connection, body) as upload:
            yield upload


# TLS ----------------------------------------------------------------------------------------------


def test_tls_1_3_and_1_2_are_spoken(server: Server, authority: Authority) -> None:
    context = authority.context()
    assert ask(ADDRESS, HOST, context).protocol == "TLSv1.3"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert ask(ADDRESS, HOST, context).protocol == "TLSv1.2"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_a_client_of_older_tls_is_refused(
    server: Server, authority: Authority, version: ssl.TLSVersion
) -> None:
    context = authority.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="is deprecated"):
        context.minimum_version = context.maximum_version = version
    # It is the server that refuses, not this machine's OpenSSL.
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        ask(ADDRESS, HOST, context)


@pytest.mark.parametrize("kind", ["ECDSA", "RSA"])
def test_weak_cipher_suites_and_old_versions_are_refused(
    server: Server, authority: Authority, kind: str
) -> None:
    key = rsa.generate_private_key(65537, 2048) if kind == "RSA" else None
    pair = authority.pair(HOST, key=key)
    pair.write(certs(server))
    server.make("pypi-reload")
    wait_for(authority, pair)

    strong = tls_probe.STRONG[f"ECDHE-{kind}-AES128-GCM"]
    weak = [suite for suites in tls_probe.WEAK.values() for suite in suites]
    everything = [*weak, *tls_probe.STRONG.values()]
    for version in (tls_probe.SSL3, tls_probe.TLS1_0, tls_probe.TLS1_1):
        refused = tls_probe.agreed(ADDRESS, HOST, version, everything)
        assert refused == tls_probe.PROTOCOL_VERSION, hex(version)
    agreed = tls_probe.agreed(ADDRESS, HOST, tls_probe.TLS1_2, everything)
    assert agreed == (tls_probe.TLS1_2, strong)
    for why, suites in tls_probe.WEAK.items():
        chosen = tls_probe.agreed(ADDRESS, HOST, tls_probe.TLS1_2, suites)
        assert isinstance(chosen, int), f"{why}: {chosen}"


def test_a_browser_is_told_to_stay_with_tls(server: Server, authority: Authority) -> None:
    account = basic("alice", PASSWORD)
    for path, headers, status in (
        ("/health", {}, 200),
        ("/simple/", {}, 401),
        ("/simple/", account, 200),
        ("/.git", account, 404),
        ("/simple/surely-unknown/", account, 303),
    ):
        answer = get(authority, path, headers)
        assert (answer.status, answer.headers.get_all("Strict-Transport-Security")) == (
            status,
            [YEAR],
        ), path


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("path", ["/", "/health", "/simple/x/?format=json", "/packages/x.whl"])
def test_port_80_only_redirects(server: Server, method: str, path: str) -> None:
    account = ("alice", PASSWORD)
    answer = requests.request(
        method,
        f"http://{ADDRESS}{path}",
        headers={"Host": HOST},
        auth=account,
        allow_redirects=False,
        timeout=30,
    )
    assert (answer.status_code, answer.content) == (308, b"")
    assert answer.headers["Location"] == f"https://{HOST}{path}"
    # A promise that anybody on the way could have made counts nothing (RFC 6797, 7.2).
    assert "Strict-Transport-Security" not in answer.headers


def test_no_key_is_in_a_log_or_an_image(server: Server, good: Pair) -> None:
    secret = good.key.decode().splitlines()[1]
    assert secret not in server.logs()
    assert secret not in docker("inspect", f"{server.project}-gateway-1")


def test_only_the_containers_user_can_read_the_copy_that_is_served(
    server: Server, good: Pair
) -> None:
    folder = server.folder / "gateway_data/certs"
    assert [file.name for file in folder.iterdir()] == ["pair.pem"]
    copy = folder / "pair.pem"
    assert good.key in copy.read_bytes()
    owner = (server.folder / "pypi_data").stat().st_uid or 10001
    for path, mode in ((folder.parent, 0o700), (folder, 0o700), (copy, 0o600)):
        assert (path.stat().st_mode & 0o777, path.stat().st_uid) == (mode, owner)


def test_the_gateway_does_not_see_the_folder_of_the_pair(server: Server) -> None:
    sources = [mount["Source"] for mount in server.inspect("gateway")["Mounts"]]
    assert str(certs(server)) not in sources
    assert str(server.folder / "gateway_data") in sources
