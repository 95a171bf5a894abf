"""The gateway of a rendered server without Docker: Caddy on the rendered Caddyfile."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from kit.server import Server, free_port, started, status


@dataclass(frozen=True)
class Answer:
    """What a request was answered with; names of headers know no case."""

    status: int
    headers: Message
    body: bytes


def ask(
    url: str, path: str, headers: dict[str, str] | None = None, *, method: str = "GET"
) -> Answer:
    """Send one request, its path letter for letter and without headers of the client's own."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


class Gateway:
    """Caddy in front of a server, over the folders of that.

    As a context manager it runs from the first line of the block to the last.

    Attributes:
        url: where it listens; without a slash at the end.
        health: URL of the listener for the container's health check.
        log: what it printed.
        refused: the logins it refused.
    """

    def __init__(self, repository: Path, folder: Path, accounts: Path, server: Server) -> None:
        port, health = free_port(), free_port()
        self.url, self.health = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{health}"
        self.log, self.refused = folder / "gateway.log", folder / "refused.log"
        self._caddyfile = folder / "Caddyfile"
        text = (repository / "gateway/Caddyfile").read_text()
        for there, here in (
            (":80 {", f":{port} {{"),
            (":2020 {", f":{health} {{"),
            ("unix//run/private_pypi/http.sock", f"127.0.0.1:{server.port}"),
            ("/accounts/", f"{accounts}/"),
            ("/srv", str(folder)),
            ("/data/refused.log", str(self.refused)),
        ):
            assert there in text
            text = text.replace(there, here)
        self._caddyfile.write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    def memory(self) -> int:
        """Return how many bytes it holds."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])

    def processor_time(self) -> float:
        """Return the seconds that it kept a processor busy so far."""
        assert self._process is not None
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        # The second field is a name in parentheses, which may hold anything.
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Gateway:
        command = [str(shutil.which("caddy")), "run", "--config", str(self._caddyfile)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--adapter", "caddyfile"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        started("the gateway", self._process, self._healthy, self.__exit__, self.log)
        return self

    def _healthy(self) -> bool:
        return status(f"{self.url}/health", "", "") == 200

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        assert self._process is not None
        # Caddy waits for connections that idle; nobody here needs them.
        self._process.kill()
        self._process.wait()
