"""Requests, letter for letter, and what they are answered with."""

from __future__ import annotations

import base64
import http.client
import ssl
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from urllib.parse import urlsplit

JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}
"""The header that asks for a simple page in JSON (PEP 691)."""


def basic(name: str | bytes, password: str | bytes) -> dict[str, str]:
    """Return the header a client makes of name and password (RFC 7617)."""
    pair = (part.encode() if isinstance(part, str) else part for part in (name, password))
    return basic_header(b":".join(pair))


def basic_header(pair: str | bytes) -> dict[str, str]:
    """Return the header of a pair as it is, which need not have one colon."""
    content = pair.encode() if isinstance(pair, str) else pair
    return {"Authorization": f"Basic {base64.b64encode(content).decode()}"}


def address(url: str) -> tuple[str, int]:
    """Return where the server of a URL listens."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


@dataclass(frozen=True)
class Answer:
    """What a request was answered with; names of headers know no case."""

    status: int
    headers: Message
    body: bytes


class Connection:
    """A connection that is kept for as long as the server keeps it; a context manager.

    Args:
        url: of the server; of its path nothing counts.
        context: what to check of its certificate.
        source: the address that requests come from, one of this machine's.
    """

    def __init__(
        self, url: str, context: ssl.SSLContext | None = None, *, source: str = ""
    ) -> None:
        where, source_address = urlsplit(url), (source, 0) if source else None
        self._connection = (
            http.client.HTTPSConnection(
                where.netloc, timeout=60, context=context, source_address=source_address
            )
            if where.scheme == "https"
            else http.client.HTTPConnection(where.netloc, timeout=60, source_address=source_address)
        )

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(
        self,
        path: str,
        headers: dict[str, str] | None = None,
        *,
        method: str = "GET",
        body: bytes | None = None,
        chunked: bool = False,
    ) -> Answer:
        """Send one request, its path letter for letter and without headers of the client's own.

        Args:
            chunked: send the body as one chunk, without its length.
        """
        headers, connection = headers or {}, self._connection
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None:
            if chunked:
                connection.putheader("Transfer-Encoding", "chunked")
                body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            elif "Content-Length" not in headers:
                connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        if body is not None:
            with suppress(OSError):  # A server that hangs up early has answered before.
                connection.send(body)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())


def ask(
    url: str, path: str, headers: dict[str, str] | None = None, *, method: str = "GET"
) -> Answer:
    """Send one request on a connection of its own, as Connection.ask does."""
    with Connection(url) as connection:
        return connection.ask(path, headers, method=method)


def status(url: str, user: str = "", password: str = "") -> int:
    """Return what an account is answered at a URL, 0 if nothing listens there."""
    request = urllib.request.Request(url, headers=basic(user, password))
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            code: int = answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0
    return code
