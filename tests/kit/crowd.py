"""Clients that each send the head of an upload and nothing more.

    python -m kit.crowd IP PORT COUNT [NAME]

With the name of a server they speak TLS with it. It prints a line when half of them
have sent their head, and how many were answered when the server has closed all connections.
"""

from __future__ import annotations

import resource
import selectors
import socket
import ssl
import sys
import time
from contextlib import suppress

HEAD = "POST / HTTP/1.1\r\nHost: {}\r\nContent-Length: 200000\r\n\r\n"
GIVES_UP_AFTER = 180.0
AT_ONCE = 200
"""How many of them start before the others are served again."""


class Crowd:
    """All of them, in one thread.

    Args:
        address: of the server, IP and port.
        count: how many there are.
        name: of the server if they speak TLS, or nothing.
    """

    def __init__(self, address: tuple[str, int], count: int, name: str) -> None:
        self._address, self._to_come, self._half, self._name = address, count, count // 2, name
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        # The cheapest for both sides.
        self._context.set_ecdh_curve("prime256v1")
        self._there = selectors.DefaultSelector()
        self._sent, self._answered = 0, 0

    def run(self) -> None:
        """Send everything, and wait until the server has closed all connections."""
        until = time.monotonic() + GIVES_UP_AFTER
        while self._to_come or self._there.get_map():
            assert time.monotonic() < until, f"{len(self._there.get_map())} are still connected"
            for _ in range(min(AT_ONCE, self._to_come)):
                self._come()
            for key, _ in self._there.select(0 if self._to_come else 1):
                assert isinstance(key.fileobj, socket.socket)
                self._go_on(key.fileobj, key.data)
        print(self._answered)

    def _come(self) -> None:
        self._to_come -= 1
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(self._address)
        self._there.register(client, selectors.EVENT_WRITE, "connect")

    def _go_on(self, client: socket.socket, step: str) -> None:
        try:
            if step == "connect" and self._name:
                self._there.unregister(client)
                client = self._context.wrap_socket(
                    client, server_hostname=self._name, do_handshake_on_connect=False
                )
                self._there.register(client, selectors.EVENT_WRITE, "handshake")
                step = "handshake"
            if step == "handshake":
                self._there.modify(client, selectors.EVENT_READ, step)
                assert isinstance(client, ssl.SSLSocket)
                client.do_handshake()
            if step == "answer":
                received = client.recv(4096)
                self._answered += received.startswith(b"HTTP/1.1 ")
                if not received:
                    self._leave(client)
            else:
                client.sendall(HEAD.format(self._name or self._address[0]).encode())
                self._there.modify(client, selectors.EVENT_READ, "answer")
                self._sent += 1
                if self._sent == self._half:
                    print("half of them are there", flush=True)
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError:
            self._leave(client)

    def _leave(self, client: socket.socket) -> None:
        with suppress(KeyError, ValueError):
            self._there.unregister(client)
        client.close()


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    ip, port, clients, *host = sys.argv[1:]
    Crowd((ip, int(port)), int(clients), *host or [""]).run()
