"""A server of this process that answers what a handler says, also over TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kit.processes import in_background


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that hangs up, as one does that does not trust a certificate."""


@contextmanager
def serving(
    handler: type[BaseHTTPRequestHandler],
    host: str = "127.0.0.1",
    context: ssl.SSLContext | None = None,
) -> Iterator[int]:
    """Answer on a free port, which is yielded, as long as the block runs.

    Args:
        context: with a certificate, to speak TLS.
    """
    with _QuietServer((host, 0), handler) as server:
        if context:
            # The handshake waits for the first read, so that it blocks its own thread alone.
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        with in_background(server):
            yield server.server_port
