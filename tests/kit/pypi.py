"""A stand-in of PyPI on this machine, which can fail in every way that PyPI can."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

from packaging.utils import canonicalize_name

from kit import wheel
from kit.ports import free_port
from kit.public_index import PublicIndex
from kit.pypi_uploads import HTML, JSON, Upload, as_html

DAY = timedelta(days=1)

How = Literal[
    "slow", "held", "dies", "hangs", "busy", "html", "broken", "endless", "altered", "wrong-hash"
]
Where = Literal["pages", "files", "everything"]


@dataclass(frozen=True)
class Fault:
    """What goes wrong with answers.

    Attributes:
        how: slow: a few bytes a second, until the fault is over. held: half of the body comes, the
            rest once the fault is over. dies: the connection ends after half of the body. hangs:
            nothing is answered until the fault is over. busy: 503. html: a page for people with
            status 200, as of a captive portal. broken: JSON that ends in the middle. endless: a
            body without an end. altered: other bytes than the page says, as many. wrong-hash: the
            page tells another hash than the file has.
        where: whether pages, files and their metadata, or both suffer.
        rate: bytes a second of a slow one.
    """

    how: How
    where: Where = "everything"
    rate: int = 20


@dataclass
class PyPI(PublicIndex):
    """Serves uploads by the simple API in JSON and HTML, with what PyPI tells of them.

    Attributes:
        requests: path and headers of every request so far.
        uploads: by normalised name of their project.
        status: of projects (PEP 792), by name.
        names: of projects without an upload, for the list of all.
        pages: status, type and body that are answered instead of a project's page, by name.
        faults: by name of the project, by an empty one for all others.
        speaks: what pages come in: as the client prefers, or JSON or HTML alone.
    """

    uploads: dict[str, list[Upload]] = field(default_factory=dict)
    status: dict[str, dict[str, str]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    pages: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    speaks: Literal["both", "json", "html"] = "both"
    host: str = "127.0.0.1"
    _server: _Server | None = None
    _thread: threading.Thread | None = None

    # What it has ---------------------------------------------------------------------------------

    def release(
        self,
        name: str,
        version: str,
        *requirements: str,
        days: float | None = 100,
        origin: str = "PyPI",
        **more: Any,
    ) -> Upload:
        """Upload a wheel, built here, that has been there for some days.

        Args:
            days: since its upload; the page does not say when if None.
            more: of Upload, and `contents`, further files in the wheel by path.
        """
        contents = more.pop("contents", {})
        path = wheel.build(self.folder, name, version, *requirements, origin=origin, more=contents)
        return self.add(path, name, days=days, **more)

    def add(self, path: Path, name: str, *, days: float | None = 100, **more: Any) -> Upload:
        """Upload a file that exists already, as release() does."""
        uploaded = None if days is None else datetime.now(timezone.utc) - days * DAY
        upload = Upload(path, uploaded, **more)
        self.uploads.setdefault(canonicalize_name(name), []).append(upload)
        return upload

    def delete(self, name: str, filename: str) -> None:
        """Delete a file, as its publisher can."""
        kept = [upload for upload in self.uploads[name] if upload.path.name != filename]
        self.uploads[name] = kept

    # What it was asked ---------------------------------------------------------------------------

    def times_asked(self, end: str) -> int:
        """Return how many requests had a path with such an end."""
        return sum(path.endswith(end) for path, _ in list(self.requests))

    def asked_headers(self) -> set[str]:
        """Return the names of all headers that it was sent, in lower case."""
        return {name.lower() for _, headers in list(self.requests) for name in headers}

    # What goes wrong -----------------------------------------------------------------------------

    @contextmanager
    def failing(
        self, how: How, project: str = "", where: Where = "everything", rate: int = 20
    ) -> Iterator[None]:
        """Let something go wrong, for one project or all, as long as the block runs."""
        self.faults[project] = Fault(how, where, rate)
        try:
            yield
        finally:
            del self.faults[project]

    @contextmanager
    def away(self) -> Iterator[None]:
        """Refuse connections, and end those there are, as long as the block runs."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def start(self) -> None:
        """Listen; at the same port if it did before."""
        port = int(self.url.split(":")[2].split("/")[0]) if self.url else free_port()
        self.url = self.url or f"http://{self.host}:{port}/simple/"
        self._server = _Server((self.host, port), self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}
        )
        self._thread.start()

    def stop(self) -> None:
        """Listen no more and end all connections."""
        assert self._server
        assert self._thread
        self._server.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for connection in list(self._server.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def fault(self, project: str, where: Where) -> Fault | None:
        """Return what goes wrong with a project's page or files."""
        fault = self.faults.get(project) or self.faults.get("")
        return fault if fault and fault.where in (where, "everything") else None

    # What it answers -----------------------------------------------------------------------------

    def file(self, location: str) -> tuple[str, bytes] | None:
        """Return project and bytes of what is at a path, None if nothing is."""
        for project, uploads in list(self.uploads.items()):
            for upload in uploads:
                if location == upload.location:
                    return project, upload.path.read_bytes()
                if location == f"{upload.location}.metadata" and upload.metadata is not None:
                    return project, upload.metadata
        return None

    def simple(self, project: str, accept: str) -> tuple[int, str, bytes]:
        """Return status, type and body of a project's page, or of the list if there is no name."""
        if project in self.pages:
            return self.pages[project]
        if project and project not in self.uploads:
            return 404, "text/html", b"404 Not Found"
        document = self.document(project) if project else self.projects()
        wants_json = accept.lower().find("+json") >= 0 and self.speaks != "html"
        if wants_json or self.speaks == "json":
            return 200, JSON, json.dumps(document).encode()
        kind = HTML if HTML in accept else "text/html; charset=utf-8"
        return 200, kind, as_html(document).encode()

    def projects(self) -> dict[str, Any]:
        """Return the names of all projects (PEP 691)."""
        names = sorted(self.names | self.uploads.keys())
        return {
            "meta": {"api-version": "1.4", "_last-serial": 7},
            "projects": [{"name": name, "_last-serial": 7} for name in names],
        }

    def document(self, project: str) -> dict[str, Any]:
        """Return a project's page (PEP 691, 700, 740, 792)."""
        uploads = self.uploads[project]
        wrong = self.faults.get(project) or self.faults.get("")
        document: dict[str, Any] = {
            "meta": {"api-version": "1.4", "_last-serial": 7},
            "name": project,
            "versions": sorted({upload.path.name.split("-")[1] for upload in uploads}),
            "files": [
                upload.entry(
                    self.url.removesuffix("/simple/"),
                    is_wrong=bool(wrong and wrong.how == "wrong-hash"),
                )
                for upload in uploads
            ],
        }
        if project in self.status:
            document["project-status"] = self.status[project]
        return document


@contextmanager
def running(folder: Path, host: str = "127.0.0.1") -> Iterator[PyPI]:
    """Run it with nothing in it.

    Args:
        folder: where wheels are built.
        host: the address it listens on, one of this machine's, and the name in its URLs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index = PyPI(folder, host=host)
    index.start()
    try:
        yield index
    finally:
        index.stop()


class _Server(ThreadingHTTPServer):
    """What listens, from one start to one stop.

    Attributes:
        over: set when it stops.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], index: PyPI) -> None:
        self.index, self.over = index, threading.Event()
        self.connections: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that has left."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        index = self.server.index
        index.requests.append((self.path, dict(self.headers.items())))
        kind, _, rest = self.path.strip("/").partition("/")
        if kind == "simple":
            fault = index.fault(rest, "pages")
            self._answer(fault, *index.simple(rest, self.headers.get("Accept", "")))
        elif found := index.file(self.path):
            fault = index.fault(found[0], "files")
            self._answer(fault, 200, "application/octet-stream", found[1])
        else:
            self._answer(None, 404, "text/plain", b"404 Not Found")

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, fault: Fault | None, status: int, kind: str, body: bytes) -> None:
        how = fault.how if fault else None
        if how == "hangs":
            self._wait_for_end_of(fault)
        elif how == "busy":
            status, kind, body = 503, "text/plain", b"503 Service Unavailable"
        elif how == "html":
            status, kind, body = 200, "text/html", b"<!DOCTYPE html><title>Log in</title>Log in!"
        elif how == "broken":
            body = body[: len(body) // 2]
        elif how == "altered":
            body = body[:-1] + bytes([body[-1] ^ 1])
        etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
        if status == 200 and self.headers.get("If-None-Match") == etag:
            self.send_response(304)
            self.send_header("ETag", etag)
            self.end_headers()
            return
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("ETag", etag)
        self.send_header("Cache-Control", "max-age=600, public")
        if how == "endless":
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self._send(fault, body)

    def _send(self, fault: Fault | None, body: bytes) -> None:
        half = len(body) // 2
        if fault is None or fault.how not in ("slow", "held", "dies", "endless"):
            self.wfile.write(body)
        elif fault.how == "slow":
            # Ten times a second, so that a client sees that something comes.
            step = max(1, fault.rate // 10)
            for start in range(0, len(body), step):
                self.wfile.write(body[start : start + step])
                if self._is_over(fault):
                    self.wfile.write(body[start + step :])
                    break
                if self.server.over.wait(step / fault.rate):
                    return
        elif fault.how == "held":
            self.wfile.write(body[:half])
            self._wait_for_end_of(fault)
            self.wfile.write(body[half:])
        elif fault.how == "dies":
            self.wfile.write(body[:half])
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.close_connection = True
            while not self._is_over(fault) and not self.server.over.is_set():
                self.wfile.write(b" " * 65536)

    def _wait_for_end_of(self, fault: Fault | None) -> None:
        while not self._is_over(fault) and not self.server.over.wait(0.02):
            pass

    def _is_over(self, fault: Fault | None) -> bool:
        return not any(fault is one for one in list(self.server.index.faults.values()))

    def log_message(self, *_: object) -> None:
        pass
