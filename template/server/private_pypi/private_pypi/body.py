"""The body of a request, which gunicorn alone would wait for without end."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import BinaryIO, ClassVar

from gunicorn.http.errors import ParseException

from .answers import Environ

PATIENCE = 30
"""Seconds that the next chunk of an upload may take, or the rest of it. A slow client that goes on
may take hours; one that sends a byte now and then would hold a thread for as long."""

CHUNK = 2**17
"""Bytes that are read at once."""


class Body:
    """The body of a WSGI request. It ends early if the client hangs up or sends too slowly.

    gunicorn waits without end for each byte of it, in a thread that other requests need.

    Attributes:
        received: bytes read so far.
        ended: whether there are no more.
        stalled: whether the client sent too slowly.
    """

    _reading: ClassVar[dict[Body, float]] = {}
    _watchdog: ClassVar[threading.Thread | None] = None
    _lock: ClassVar = threading.Lock()

    def __init__(self, environ: Environ) -> None:
        self._stream: BinaryIO = environ["wsgi.input"]
        self._socket: socket.socket | None = environ.get("gunicorn.socket")
        is_chunked = "HTTP_TRANSFER_ENCODING" in environ
        self._length = None if is_chunked else int(environ.get("CONTENT_LENGTH") or 0)
        self._broken = False
        self.received = 0
        self.ended = self._length == 0
        self.stalled = False

    @property
    def whole(self) -> bool:
        """Whether the next byte on the connection is the first of another request."""
        if self._length is None:
            return self.ended and not self._broken
        return self.received == self._length

    def read(self, size: int) -> bytes:
        """Return so many bytes, or fewer if the body ends."""
        with self._lock:
            self._reading[self] = time.monotonic() + PATIENCE
            if Body._watchdog is None:
                Body._watchdog = threading.Thread(target=self._end_stalled_reads, daemon=True)
                Body._watchdog.start()
        try:
            chunk = self._stream.read(size)
        except (OSError, ParseException):  # The client hung up, or sent no chunks.
            chunk, self._broken = b"", True
        finally:
            with self._lock:
                del self._reading[self]
        self.received += len(chunk)
        self.ended = not chunk
        return chunk

    def discard(self, most: int) -> None:
        """Read the rest and keep nothing of it: a client reads no answer while it sends.

        Args:
            most: bytes of the body after which no more are read.
        """
        while not (self.whole or self.stalled or self.received > most) and self.read(CHUNK):
            pass

    @classmethod
    def _end_stalled_reads(cls) -> None:
        """Let no read wait longer than PATIENCE: one thread does so for all, without end."""
        while True:
            time.sleep(1)
            with cls._lock:
                for body, until in cls._reading.items():
                    if body._socket and time.monotonic() > until:
                        body.stalled = True
                        # The read ends; the answer can still be sent.
                        with suppress(OSError):
                            body._socket.shutdown(socket.SHUT_RD)
