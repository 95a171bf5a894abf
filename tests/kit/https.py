"""A server that terminates TLS itself, on an address of its own, asked by a name without DNS."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kit.http import Answer
from kit.in_docker import Server


@dataclass(frozen=True)
class SecureAnswer(Answer):
    """What a request over TLS was answered with, and by which server.

    Attributes:
        certificate: the server's, as `ssl.SSLSocket.getpeercert` has it; empty if not verified.
        der: the same, encoded.
        protocol: the version of TLS, such as TLSv1.3.
    """

    certificate: dict[str, Any]
    der: bytes
    protocol: str


def https_server(rendered: Path, folder: Path, address: str) -> Server:
    """Copy a server that was rendered with a mode of `https` which takes the ports 80 and 443.

    Args:
        rendered: the repository, which stays as it is.
        folder: where the copy goes.
        address: one of 127.0.0.0/8, on which no other test listens.
    """
    shutil.copytree(rendered, folder, symlinks=True)
    answers = yaml.safe_load((folder / ".copier-answers.yml").read_text())
    host = answers["pypi_url"]
    (folder / ".pypi.env").write_text(f"pypi_url={host}\nlisten_address={address}\n")
    return Server(folder, answers["project_name"], f"https://{host}")


def ask(
    address: str,
    host: str,
    context: ssl.SSLContext,
    path: str = "/health",
    headers: dict[str, str] | None = None,
    *,
    method: str = "GET",
) -> SecureAnswer:
    """Send one request as a client would that resolves the host to the address.

    Raises:
        ssl.SSLError: the connection is not what the context asks for.
        OSError: nobody listens there.
    """
    with (
        socket.create_connection((address, 443), timeout=30) as raw,
        context.wrap_socket(raw, server_hostname=host) as secured,
    ):
        # Before the answer, which may end the connection.
        certificate = dict(secured.getpeercert() or {})
        der, protocol = secured.getpeercert(binary_form=True) or b"", secured.version() or ""
        connection = http.client.HTTPConnection(host)
        connection.sock = secured
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return SecureAnswer(
            response.status,
            response.headers,
            response.read(),
            certificate,
            der,
            protocol,
        )
