"""A server of JSON documents on this machine, over TLS or not, that can send anything."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from kit.authority import Pair
from kit.serving import serving

Document = tuple[int, bytes]
"""Status and body of an answer."""


@dataclass
class Documents:
    """A server that runs.

    Attributes:
        url: without a slash at the end.
        answers: by path; 404 for any other.
        held: paths that are answered once `let_go` is set.
        dripping: paths whose answers come a byte at a time, and do not end until then.
        headers: more of each answer.
        asked: the paths that were asked for, and the headers of these requests.
    """

    url: str
    answers: dict[str, Document] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    dripping: set[str] = field(default_factory=set)
    let_go: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def put(self, path: str, told: object, status: int = 200) -> None:
        """Answer a path with JSON."""
        self.answers[path] = status, json.dumps(told).encode()

    def paths(self) -> list[str]:
        """Return what was asked for."""
        return [path for path, _ in self.asked]


@contextmanager
def running(
    pair: Pair | None = None, address: str = "127.0.0.1", host: str = ""
) -> Iterator[Documents]:
    """Run a server as long as the block runs.

    Args:
        pair: its certificate and key; None for plain HTTP.
        address: on which it listens.
        host: by which clients know it, if not by that.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            documents.asked.append((self.path, dict(self.headers.items())))
            if self.path in documents.held:
                documents.let_go.wait(60)
            status, body = documents.answers.get(self.path, (404, b"{}"))
            self.send_response(status)
            for name, value in documents.headers.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):
                while self.path in documents.dripping and not documents.let_go.wait(0.05):
                    self.wfile.write(b" ")
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler, address, pair.context() if pair else None) as port:
        documents = Documents(f"{'https' if pair else 'http'}://{host or address}:{port}")
        try:
            yield documents
        finally:
            documents.let_go.set()
