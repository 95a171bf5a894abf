"""The public side: an index that needs no account and remembers what it was asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from kit.processes import in_background

JSON = "application/vnd.pypi.simple.v1+json"
LONG_AGO = "2020-01-01T00:00:00Z"


@dataclass
class PublicIndex:
    """Serves the wheels in a folder by the simple API (PEP 691), with upload times (PEP 700).

    Attributes:
        requests: path and headers of every request so far.
        fresh: names of the files that were uploaded just now; all others were long ago.
        dated: whether it tells upload times, as few private indexes do.
    """

    folder: Path
    url: str = ""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    fresh: set[str] = field(default_factory=set)
    dated: bool = True

    def page(self, path: str) -> bytes | None:
        """Return what is at a path, None if nothing is."""
        kind, _, rest = path.strip("/").partition("/")
        if kind == "files" and (self.folder / rest).is_file():
            return (self.folder / rest).read_bytes()
        wheels = sorted(self.folder.glob(f"{rest.replace('-', '_')}-*.whl"))
        if kind == "simple" and wheels:
            body = {
                "meta": {"api-version": "1.1"},
                "name": rest,
                "versions": sorted({wheel.name.split("-")[1] for wheel in wheels}),
                "files": list(map(self._file, wheels)),
            }
            return json.dumps(body).encode()
        return None

    def _file(self, wheel: Path) -> dict[str, object]:
        """Return what the page says of a file."""
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        uploaded = {"upload-time": now if wheel.name in self.fresh else LONG_AGO}
        return {
            "filename": wheel.name,
            "url": f"/files/{wheel.name}",
            "hashes": {"sha256": digest(wheel)},
            "size": wheel.stat().st_size,
            **(uploaded if self.dated else {}),
        }

    def stand_in_for_poetry(self, folder: Path) -> None:
        """Have Poetry ask this index for PyPI's packages in a project: no variable tells it to."""
        with (folder / "pyproject.toml").open("a") as project:
            project.write(f'\n[[tool.poetry.source]]\nname = "public"\nurl = "{self.url}"\n')

    def stand_in_for_uv(self, folder: Path) -> None:
        """Have uv ask this index for PyPI's packages in a project."""
        with (folder / "pyproject.toml").open("a") as project:
            project.write(f'\n[[tool.uv.index]]\nurl = "{self.url}"\ndefault = true\n')

    def stand_in_for_pip(self, folder: Path) -> None:
        """Have pip ask this index for PyPI's packages in the build of a client's image."""
        dockerfile = folder / "Dockerfile"
        variable = "ENV PIP_DISABLE_PIP_VERSION_CHECK=1"
        before, found, after = dockerfile.read_text().partition(variable)
        assert found
        dockerfile.write_text(f"{before}ENV PIP_INDEX_URL={self.url}\n{found}{after}")

    def asked_for(self, project: str) -> bool:
        """Return whether a client asked for a project, its page or its files."""
        names = (f"/{project}/", f"/{project.replace('-', '_')}-")
        return any(name in path for path, _ in self.requests for name in names)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def running(folder: Path) -> Iterator[PublicIndex]:
    """Serve a folder on a free port of this machine."""
    index = PublicIndex(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            index.requests.append((self.path, dict(self.headers.items())))
            page = index.page(self.path)
            self.send_response(404 if page is None else 200)
            kind = "application/octet-stream" if self.path.endswith(".whl") else JSON
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(page or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(page or b"")

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        index.url = f"http://127.0.0.1:{server.server_port}/simple/"
        with in_background(server):
            yield index
