"""A rendered server as its Makefile runs it without Docker, on a free port of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from kit.commands import run
from kit.http import status
from kit.ports import free_port
from kit.processes import Running


class Server(Running):
    """The server package of a rendered repository, with folders of its own.

    Attributes:
        data: the distributions.
        auth: the htpasswd files.
        port: where it listens, on 127.0.0.1.
    """

    def __init__(self, repository: Path, folder: Path, **settings: str) -> None:
        self.data, self.auth = folder / "pypi_data", folder / "pypi_auth"
        self.data.mkdir(parents=True)
        self.auth.mkdir()
        self.port = free_port()
        environment = {
            **os.environ,
            "PYTHONPATH": str(repository / "private_pypi"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYPI_PORT": str(self.port),
            **settings,
        }
        super().__init__("the server", folder / "log", folder=folder, environment=environment)

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "private_pypi", "serve"]

    def answers(self) -> bool:
        return status(f"{self.url()}health") == 200

    def url(self, user: str = "", password: str = "") -> str:
        """Return the root URL, with the credentials percent-encoded if any are given."""
        pair = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
        return f"http://{pair}127.0.0.1:{self.port}/"

    def run(self, *arguments: str, stdin: str = "", ok: bool = True, **settings: str) -> str:
        """Run a command of private_pypi over its folders; return what it printed.

        Args:
            settings: further variables of its environment.
        """
        return run(
            *(sys.executable, "-m", "private_pypi", *arguments),
            cwd=self._folder,
            environment={**(self._environment or {}), **settings},
            stdin=stdin,
            ok=ok,
        )

    def user(self, *arguments: str, password: str = "") -> str:
        """Run the command line for accounts and return what it printed.

        With a password, that is typed into it.
        """
        typed = ["--password-stdin"] if password else []
        return self.run("user", *arguments, *typed, stdin=password)

    def files(self) -> list[str]:
        """Return the names of the distributions it has."""
        return sorted(
            entry.name
            for entry in self.data.iterdir()
            if entry.is_file() and not entry.name.startswith(".")
        )
