"""Names without DNS: a proxy for HTTPS that knows where they lead, and nothing else."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socket import SHUT_WR, create_connection, socket

from kit.processes import in_background

Addresses = dict[str, tuple[str, int]]


@contextmanager
def leading_to(addresses: Addresses) -> Iterator[str]:
    """Run a proxy that tunnels to the address of a name (RFC 9110, 9.3.6); yield its URL.

    A client that has it in HTTPS_PROXY checks the server's certificate as ever: TLS ends there.
    """

    class Tunnel(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            _, target, _ = self.rfile.readline().decode().split(" ")
            while self.rfile.readline().strip():
                pass
            address = addresses.get(target.removesuffix(":443"))
            if address is None:
                self.wfile.write(b"HTTP/1.1 502 No such name\r\n\r\n")
                return
            with create_connection(address) as server:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                answers = threading.Thread(target=copy, args=(server, self.connection))
                answers.start()
                copy(self.connection, server)
                answers.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as proxy:
        proxy.daemon_threads = True
        with in_background(proxy):
            yield f"http://127.0.0.1:{proxy.server_address[1]}"


def copy(source: socket, target: socket) -> None:
    """Pass on what comes until no more does."""
    try:
        while received := source.recv(65536):
            target.sendall(received)
        target.shutdown(SHUT_WR)
    except OSError:
        pass
