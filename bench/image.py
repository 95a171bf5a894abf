"""A client's image, built by Docker: how long a rebuild takes after a change of the code."""

from __future__ import annotations

import json
import statistics
import subprocess
from contextlib import suppress
from pathlib import Path

import files
from load import timed
from process import BenchError
from stacks import Server, render

NAME = "bench-client"
REBUILDS = 3


class Image:
    """The image of a rendered client that installs one package of a server.

    Args:
        folder: is made, for the client.
        server: runs at an address of this machine.
    """

    def __init__(self, folder: Path, server: Server) -> None:
        user, password = server.account or ("", "")
        answers = {
            "template": "client",
            "project_name": NAME,
            "pypi_url": server.url,
            # This project requires no other.
            "private_packages": [f"{files.project(files.TREE - 1)}==1.*"],
            "index_user": user,
            "index_password": password,
            "ci": "none",
        }
        self._folder = render(folder, answers)
        override = {"services": {"app": {"build": {"network": "host"}}}}
        (folder / "docker-compose.override.yml").write_text(json.dumps(override))

    def rebuild(self) -> float:
        """Build the image, then again after changes of the code; return the median of the seconds.

        Raises:
            BenchError: if Docker is missing or cannot build it.
        """
        try:
            self._docker("compose", "build")
            taken = []
            for number in range(REBUILDS):
                (code,) = self._folder.glob("src/*/app.py")
                code.write_text(f"{code.read_text()}\n# Change {number}.\n")
                taken.append(timed(lambda: self._docker("compose", "build")))
            return statistics.median(taken)
        finally:
            with suppress(BenchError):
                self._docker("image", "rm", "--force", f"{NAME}-app")

    def _docker(self, *arguments: str) -> None:
        command = ["docker", *arguments]
        try:
            done = subprocess.run(
                command, cwd=self._folder, capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            raise BenchError("docker is not installed") from None
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or ["it printed nothing"]
            raise BenchError(f"docker {arguments[0]} failed: {said[-1]}")
