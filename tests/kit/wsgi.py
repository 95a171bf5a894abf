"""A WSGI server of one request (PEP 3333): calls an application and keeps its answer."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import unquote

HOST = "index.example"

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class Answer:
    """An application's answer; names of headers know no case.

    Attributes:
        closed: whether the connection closes behind it.
    """

    status: int
    reason: str
    headers: Message
    content: bytes
    closed: bool

    @property
    def body(self) -> str:
        """The content as text."""
        return self.content.decode()


def call(
    application: Application,
    method: str,
    path: str | bytes,
    *,
    body: bytes | Iterable[bytes] = b"",
    headers: dict[str, str] | None = None,
    **environ: str | None,
) -> Answer:
    """Call an application and check that it answers once, each header once, and logs no error.

    Args:
        path: as in a URL, maybe with a query; or the decoded bytes.
        body: what a stream of, the caller gives the length of as CONTENT_LENGTH.
        environ: of the request; what is None is left out.
    """
    query = ""
    if isinstance(path, str):
        path, _, query = path.partition("?")
        path = unquote(path, "latin-1")
    else:
        path = path.decode("latin-1")
    errors = io.StringIO()
    request: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": HOST,
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": HOST,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body) if isinstance(body, bytes) else body,
        "wsgi.errors": errors,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **{f"HTTP_{name.upper().replace('-', '_')}": x for name, x in (headers or {}).items()},
    }
    if isinstance(body, bytes) and body:
        request["CONTENT_LENGTH"] = str(len(body))
    request = {name: x for name, x in {**request, **environ}.items() if x is not None}
    response = _Response()
    chunks = application(request, response.start_response)
    content = b"".join(chunks)
    if hasattr(chunks, "close"):
        chunks.close()
    ((status, pairs),) = response.started
    code, _, reason = status.partition(" ")
    sent = Message()
    for name, value in pairs:
        assert name not in sent, f"{name} comes twice"
        sent[name] = value
    assert errors.getvalue() == ""
    return Answer(int(code), reason, sent, content, response.closed)


class _Response:
    """What gunicorn hands to the application as PEP 3333 says: a method of its own response."""

    def __init__(self) -> None:
        self.started: list[tuple[str, list[tuple[str, str]]]] = []
        self.closed = False

    def start_response(
        self, status: str, headers: list[tuple[str, str]], _: object = None
    ) -> Callable[[bytes], object]:
        """Note what is answered."""
        self.started.append((status, headers))
        return io.BytesIO().write

    def force_close(self) -> None:
        """Note that the connection closes behind the answer."""
        self.closed = True
