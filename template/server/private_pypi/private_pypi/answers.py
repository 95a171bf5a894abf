"""Answers to HTTP requests, as values until the last moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from .terminal import printable

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Header = tuple[str, str]


@dataclass(frozen=True)
class Answer:
    """What a client is sent.

    Attributes:
        status: the number, such as 200.
        headers: names and values.
        body: the content in pieces; it may have a method `close` (PEP 3333).
        reason: the words of the status line; empty for the usual ones of the status.
    """

    status: int
    headers: tuple[Header, ...] = ()
    body: Iterable[bytes] = ()
    reason: str = ""

    def with_headers(self, *headers: Header) -> Answer:
        """Return the same answer with more headers."""
        return replace(self, headers=(*self.headers, *headers))

    def without_body(self) -> Answer:
        """Return the answer to HEAD instead of GET."""
        return replace(self, body=())

    def close(self) -> None:
        """Close its body, if that is of a file, because it is not sent."""
        if close := getattr(self.body, "close", None):
            close()

    def send(self, start_response: StartResponse) -> Iterable[bytes]:
        """Start the response of a WSGI server (PEP 3333) and return its body."""
        reason = self.reason or HTTPStatus(self.status).phrase
        start_response(f"{self.status} {reason}", list(self.headers))
        return self.body


def plain(status: int, text: str, *headers: Header, reason: str = "") -> Answer:
    """Return an answer of one line of text."""
    body = f"{text}\n".encode()
    described = (
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
    )
    return Answer(status, (*described, *headers), (body,), reason)


def refusal(status: int, sentence: str, *headers: Header) -> Answer:
    """Return an answer that says why in its body and, for twine, in its status line."""
    sentence = printable(sentence)[:500]
    reason = sentence.encode("ascii", "replace").decode()
    return plain(status, sentence, *headers, reason=reason)
