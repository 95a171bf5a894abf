"""A server that sends the same bytes to everybody, whether they are HTTP or not."""

from __future__ import annotations

import socketserver
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from kit.processes import in_background


@dataclass
class RawServer:
    """What it sends and was sent.

    Attributes:
        answer: the bytes that each client gets once it has sent something.
        hangs_up_late: whether it waits for the next request before it hangs up, and does not answer
            that.
        requests: what clients sent, as far as it came at once.
    """

    answer: bytes
    hangs_up_late: bool = False
    url: str = ""
    requests: list[bytes] = field(default_factory=list)


@contextmanager
def answering(answer: bytes, *, hangs_up_late: bool = False) -> Iterator[RawServer]:
    """Run it on a free port; each client is hung up on after one answer."""
    raw = RawServer(answer, hangs_up_late)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(ConnectionError):
                raw.requests.append(self.request.recv(65536))
                self.request.sendall(raw.answer)
                if raw.hangs_up_late and (more := self.request.recv(65536)):
                    raw.requests.append(more)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        raw.url = f"http://127.0.0.1:{server.server_address[1]}/simple/"
        with in_background(server):
            yield raw
