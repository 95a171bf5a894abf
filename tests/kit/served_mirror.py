"""A mirror of a stand-in of PyPI, in this process."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import httpx
import uvicorn
from private_pypi.public.app import Mirror, application
from private_pypi.public.pages import Times
from private_pypi.public.server import configuration
from private_pypi.public.settings import PublicSettings
from private_pypi.public.upstream import Upstream

from kit.waiting import wait_until


class Served:
    """A mirror of a stand-in of PyPI, which uvicorn serves in a thread.

    Attributes:
        folder: public_data.
        policy: the file that says what it offers: seven days of cooldown, at first.
        socket: where it listens.
    """

    def __init__(self, folder: Path, index: str) -> None:
        self.folder = folder / "public_data"
        self.policy = folder / "public_policy.toml"
        self.policy.write_text("cooldown_days = 7\n")
        self.socket = folder / "public.sock"
        self._index = index
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._client: httpx.Client | None = None

    def start(self, limits: dict[str, float] | None = None, **times: float) -> None:
        """Begin to serve, with other limits of Upstream or times of Pages than the usual ones."""
        environment = {
            "PUBLIC_DATA": str(self.folder),
            "PUBLIC_POLICY": str(self.policy),
            "PYPI_SOCKET": str(self.socket),
            "public_index": self._index,
        }
        settings = PublicSettings.from_environment(environment)
        upstream = Upstream(settings.index, **(limits or {}))  # type: ignore[arg-type]
        app = application(Mirror(settings, upstream, Times(**{"pause": 0, **times})))
        self._server = uvicorn.Server(configuration(app, settings))
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        self._client = self.client()
        wait_until(lambda: listens(self.socket))

    def stop(self) -> None:
        """Stop serving."""
        if self._server and self._thread and self._client:
            self._client.close()
            self._server.should_exit = True
            self._thread.join(60)
            assert not self._thread.is_alive()

    def client(self) -> httpx.Client:
        """Return a client with a connection of its own."""
        transport = httpx.HTTPTransport(uds=str(self.socket))
        return httpx.Client(transport=transport, base_url="http://public", timeout=60)

    def ask(self, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        """Send a request, with headers such as if_none_match."""
        assert self._client
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.request(method, path, headers=named)

    def age(self, project: str = "a-lib", seconds: float = 3600) -> float:
        """Let a kept page be as old as that; return when PyPI confirmed it, then."""
        moment = float(int(time.time() - seconds))
        os.utime(self.folder / f"pages/{project}.json", (moment, moment))
        return moment

    def kept(self) -> list[str]:
        """Return the paths of all kept files, below the folder of its project."""
        public = self.folder / "public"
        return sorted(str(path.relative_to(public)) for path in public.rglob("*") if path.is_file())


def listens(path: Path) -> bool:
    """Return whether a program listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True
