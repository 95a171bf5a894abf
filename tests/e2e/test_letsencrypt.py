"""A server with certificates from an ACME server, Pebble in place of Let's Encrypt."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from kit.acme import NOWHERE, Pebble, pebble
from kit.https import SecureAnswer, ask, https_server
from kit.in_docker import Server
from kit.template import PASSWORD, Render
from kit.waiting import wait_until

pytestmark = pytest.mark.docker

HOST = "pypi.test"
ANSWERS = {
    "template": "server",
    "pypi_url": HOST,
    "https": "letsencrypt",
    "letsencrypt_email": "ops@pypi.test",
    "publisher": "alice",
    "publisher_password": PASSWORD,
}
HTTP, TLS = "127.0.11.2", "127.0.11.3"


@contextmanager
def running(
    rendered: Path, folder: Path, address: str, acme: Pebble, *options: str
) -> Iterator[Server]:
    """Launch a server as the owner of a private ACME server would.

    Args:
        options: more of Caddy's global options.
    """
    server = https_server(rendered, folder, address)
    with (folder / ".pypi.env").open("a") as settings:
        settings.write(f"acme_directory={acme.directory}\n")
    # What docs/https.md says about an authority that is not publicly trusted.
    (folder / "gateway/acme-root.crt").write_bytes(acme.trusted)
    edit(
        folder / "gateway/Caddyfile",
        "\tacme_ca ",
        "".join(f"\t{line}\n" for line in ("acme_ca_root /acme-root.crt", *options)) + "\tacme_ca ",
    )
    compose = folder / "docker-compose.pypi.yml"
    mounted = "      - ./gateway/accounts:/accounts:ro\n"
    edit(compose, mounted, f"{mounted}      - ./gateway/acme-root.crt:/acme-root.crt:ro\n")
    # Where Pebble finds the gateway by its DNS name.
    edit(
        compose,
        "    healthcheck: &health\n",
        f"    networks: {{default: , acme: {{aliases: [{HOST}]}}}}\n    healthcheck: &health\n",
    )
    edit(
        compose,
        "\nnetworks:\n",
        f"\nnetworks:\n  acme: {{name: {acme.network}, external: true}}\n",
    )
    try:
        assert server.make("pypi-launch").endswith(f"The index is at https://{HOST}/\n")
        yield server
    finally:
        server.make("pypi-stop")


def edit(file: Path, old: str, new: str) -> None:
    """Replace the one place where a text is."""
    text = file.read_text()
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file.name}"
    file.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def over_http(
    render: Render, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Pebble]]:
    """A server whose ACME server only reaches its port 80."""
    folder = tmp_path_factory.mktemp("http")
    name = "tls-e2e-http"
    rendered = render({**ANSWERS, "project_name": name})
    with (
        pebble(
            f"{name}-acme", folder / "acme", http_port=80, tls_port=NOWHERE, seconds=90 * 86400
        ) as acme,
        running(rendered, folder / "server", HTTP, acme) as server,
    ):
        yield server, acme


def answer(address: str, acme: Pebble, server: Server) -> SecureAnswer:
    """Ask until there is a certificate, as long as that may take on a busy machine.

    Raises:
        ssl.SSLCertVerificationError: it is not the ACME server's, or not valid now.
    """
    context, answers = acme.context(), list[SecureAnswer]()

    def answered() -> bool:
        try:
            answers.append(ask(address, HOST, context))
        except ssl.SSLCertVerificationError:
            raise
        except (ssl.SSLError, ConnectionError):
            return False
        return True

    wait_until(answered, 120, pause=0.2, explain=lambda: f"{server.logs()}\n{acme.logs()}")
    return answers[0]


def serial(found: SecureAnswer) -> int:
    """Return the serial number of the certificate that came with an answer."""
    return x509.load_der_x509_certificate(found.der).serial_number


def test_port_80_alone_is_enough_for_a_certificate(over_http: tuple[Server, Pebble]) -> None:
    server, acme = over_http
    found = answer(HTTP, acme, server)
    assert (found.status, found.body) == (200, b"ok")
    assert found.certificate["subjectAltName"] == (("DNS", HOST),)
    assert found.headers.get_all("Strict-Transport-Security") == ["max-age=31536000"]
    assert f"Issued certificate serial {serial(found):016x}" in acme.logs()
    assert f"validate w/ HTTP: http://{HOST}:80/" in acme.logs()


def test_stop_and_launch_keep_the_certificate(over_http: tuple[Server, Pebble]) -> None:
    server, acme = over_http
    before, orders = serial(answer(HTTP, acme, server)), acme.orders()
    assert orders > 0
    server.make("pypi-stop")
    server.make("pypi-launch")
    assert serial(answer(HTTP, acme, server)) == before
    assert acme.orders() == orders


def test_another_directory_gives_another_certificate_and_the_first_is_kept(
    over_http: tuple[Server, Pebble],
) -> None:
    server, acme = over_http
    first, given = serial(answer(HTTP, acme, server)), acme.given()
    for directory in (acme.other_directory, acme.directory):
        settings = server.folder / ".pypi.env"
        lines = settings.read_text().splitlines()
        kept = "\n".join(line for line in lines if not line.startswith("acme_directory="))
        settings.write_text(f"{kept}\nacme_directory={directory}\n")
        server.make("pypi-launch")
        found = serial(answer(HTTP, acme, server))
        assert (found == first) is (directory == acme.directory)
    assert acme.given() == given + 1


def test_port_443_alone_is_enough_also_to_renew_while_it_serves(
    render: Render, tmp_path: Path
) -> None:
    name = "tls-e2e-tls-alpn"
    rendered = render({**ANSWERS, "project_name": name})
    with (
        pebble(
            f"{name}-acme", tmp_path / "acme", http_port=NOWHERE, tls_port=443, seconds=60
        ) as acme,
        # A minute in place of months: look every second, and renew after a sixth of it.
        running(
            *(rendered, tmp_path / "server", TLS, acme),
            *("renew_interval 1s", "renewal_window_ratio 0.83"),
        ) as server,
    ):
        first = serial(answer(TLS, acme, server))
        began = server.inspect("gateway")["State"]["StartedAt"]
        wait_until(
            lambda: serial(answer(TLS, acme, server)) != first,
            55,
            pause=0.5,
            explain=lambda: f"{server.logs()}\n{acme.logs()}",
        )
        assert server.inspect("gateway")["State"]["StartedAt"] == began
