"""Pebble, Let's Encrypt's ACME server for tests (RFC 8555), in a container."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kit.authority import Authority
from kit.debian import unpack_debian
from kit.in_docker import docker
from kit.template import ROOT
from kit.waiting import wait_until

NOWHERE = 1
"""A port on which no gateway listens."""

NAME, OTHER_NAME = "acme.test", "other.acme.test"
REPOSITORY = "tls-e2e-pebble"

ROOT_OF_PEBBLE = """
import ssl, urllib.request
context = ssl.create_default_context(cafile="/pebble/root.pem")
url = "https://acme.test:15000/roots/0"
print(urllib.request.urlopen(url, context=context).read().decode())
"""


@dataclass(frozen=True)
class Pebble:
    """An ACME server that runs.

    Attributes:
        network: the Docker network where it looks for names, and is found itself.
        directory: the URL that clients are given.
        other_directory: the same, by which clients take it for another server.
        trusted: the certificate, in PEM, by which clients of its API know it.
        issuer: the root, in PEM, of the certificates it gives.
    """

    network: str
    directory: str
    other_directory: str
    trusted: bytes
    issuer: str

    def context(self) -> ssl.SSLContext:
        """Return what a client connects with that trusts its certificates alone."""
        # Not as strict as Python 3.13 by default, which Pebble's certificates need not be.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.issuer)
        return context

    def logs(self) -> str:
        """Return what it printed."""
        return docker("logs", self.network)

    def orders(self) -> int:
        """Return how often it was asked for a certificate."""
        return self.logs().count(" Added order ")

    def given(self) -> int:
        """Return how many certificates it gave; what failed one challenge is ordered again."""
        return self.logs().count(" Issued certificate ")


def image() -> str:
    """Return the tag of an image with Debian's pebble in the Python image that the template names.

    It is made once; to have it made anew, remove it.

    Raises:
        CommandError: there is no pebble on this machine and no Debian package of it either.
    """
    dockerfile = (ROOT / "template/server/private_pypi/Dockerfile.jinja").read_text()
    base = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)[0]
    tag = f"{REPOSITORY}:{base.replace(':', '-')}"
    if docker("images", "--quiet", tag):
        return tag
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = shutil.which("pebble") or unpack_debian("pebble", folder) / "usr/bin/pebble"
        context = folder / "context"
        context.mkdir()
        shutil.copy(program, context / "pebble")
        (context / "Dockerfile").write_text(f"FROM {base}\nCOPY pebble /usr/bin/pebble\n")
        docker("build", "--quiet", "--tag", tag, str(context))
    return tag


@contextmanager
def pebble(
    name: str, folder: Path, *, http_port: int, tls_port: int, seconds: int
) -> Iterator[Pebble]:
    """Run an ACME server on a network without a way out.

    Args:
        name: of its container and its network.
        folder: for its settings.
        http_port: where it looks for the answer to an HTTP-01 challenge.
        tls_port: where it looks for the answer to a TLS-ALPN-01 challenge (RFC 8737).
        seconds: how long its certificates are valid.
    """
    authority = Authority()
    pair = authority.pair(NAME, OTHER_NAME)
    settings = {
        "listenAddress": "0.0.0.0:14000",
        "managementListenAddress": "0.0.0.0:15000",
        "certificate": "/pebble/fullchain.pem",
        "privateKey": "/pebble/privkey.pem",
        "httpPort": http_port,
        "tlsPort": tls_port,
        "certificateValidityPeriod": seconds,
    }
    folder.mkdir()
    (folder / "fullchain.pem").write_bytes(pair.chain)
    (folder / "privkey.pem").write_bytes(pair.key)
    (folder / "root.pem").write_bytes(authority.certificate)
    (folder / "settings.json").write_text(json.dumps({"pebble": settings}))
    docker("network", "create", "--internal", name)
    try:
        docker(
            *("run", "--detach", "--name", name, "--network", name),
            *("--network-alias", NAME, "--network-alias", OTHER_NAME),
            # Without the pauses and refusals that try a client's patience.
            *("--env", "PEBBLE_VA_NOSLEEP=1", "--env", "PEBBLE_WFE_NONCEREJECT=0"),
            # Each certificate must be earned.
            *("--env", "PEBBLE_AUTHZREUSE=0"),
            *("--volume", f"{folder}:/pebble:ro"),
            *(image(), "pebble", "-config", "/pebble/settings.json"),
        )
        wait_until(
            lambda: "ACME directory available" in docker("logs", name),
            explain=lambda: docker("logs", name),
        )
        issuer = docker("exec", name, "python3", "-c", ROOT_OF_PEBBLE)
        first, second = (f"https://{host}:14000/dir" for host in (NAME, OTHER_NAME))
        yield Pebble(name, first, second, authority.certificate, issuer)
    finally:
        docker("rm", "--force", "--volumes", name)
        docker("network", "rm", name)
