"""The gateway of a rendered server without Docker: Caddy on the rendered Caddyfile."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from kit.http import status
from kit.ports import free_port
from kit.processes import Running
from kit.server import Server


class Gateway(Running):
    """Caddy in front of a server, over the folders of that.

    Attributes:
        url: where it listens; without a slash at the end.
        health: URL of the listener for the container's health check.
        refused: the logins it refused.
        watches: whether it takes changed accounts while it runs, as in its container.
    """

    # Caddy waits for connections that idle; no test needs them.
    ends_by = signal.SIGKILL
    watches = False

    def __init__(
        self, repository: Path, folder: Path, accounts: Path, server: Server, *, public: str = ""
    ) -> None:
        port, health = free_port(), free_port()
        self.url, self.health = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{health}"
        super().__init__("the gateway", folder / "gateway.log")
        self.refused = folder / "refused.log"
        self._caddyfile = folder / "Caddyfile"
        text = (repository / "gateway/Caddyfile").read_text()
        for there, here in (
            (":80 {", f":{port} {{"),
            (":2020 {", f":{health} {{"),
            ("unix//run/private_pypi/http.sock", f"127.0.0.1:{server.port}"),
            ("/accounts/", f"{accounts}/"),
            ("/srv", str(folder)),
            ("/data/refused.log", str(self.refused)),
            ("/data/uses/", f"{folder}/uses/"),
            *([("unix//run/public/http.sock", public)] if public else []),
        ):
            assert there in text
            text = text.replace(there, here)
        self._caddyfile.write_text(text)

    def memory(self) -> int:
        """Return how many bytes of memory it has."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])

    def processor_time(self) -> float:
        """Return the seconds that it kept a processor busy so far."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        # The second field is a name in parentheses, which may hold anything.
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def command(self) -> Sequence[str | Path]:
        caddy = str(shutil.which("caddy"))
        # A folder of its own, as in the container: of one that others share, Caddy might complain,
        # in lines that are no JSON, about what a killed one left there.
        own = f"XDG_DATA_HOME={self._caddyfile.parent}"
        flags = ["--watch"] if self.watches else []
        return [
            *("env", own, caddy, "run", *flags),
            *("--config", self._caddyfile, "--adapter", "caddyfile"),
        ]

    def answers(self) -> bool:
        return status(f"{self.url}/health") == 200


def knows_all_names(index: Path, data: Path) -> bool:
    """Return whether a gateway tells by itself which names are unknown, as it finds the folders."""
    try:
        times = {path.stat().st_mtime_ns for path in (index / "complete_names", data)}
    except OSError:
        return False
    return len(times) == 1


def behind_gateway(
    rendered: Path, folder: Path, *, public: str = "", **settings: str
) -> tuple[Server, Gateway]:
    """Return a server and the gateway in front of it, over one new folder, not started.

    Args:
        rendered: the repository both are run from.
        public: address of what fetches from PyPI, where the repository was rendered with a mirror.
        settings: of the server, as variables of its environment.
    """
    accounts = folder / "accounts"
    accounts.mkdir(parents=True)
    server = Server(rendered, folder, PYPI_GATEWAY=str(accounts), **settings)
    return server, Gateway(rendered, folder, accounts, server, public=public)
