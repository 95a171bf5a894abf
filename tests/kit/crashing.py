"""A server that is killed or starved, and what it is sent meanwhile."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import requests
from passlib.hash import bcrypt

from kit import crash, wheel
from kit.crash import Found
from kit.server import Server
from kit.template import PASSWORD

ALICE = ("alice", PASSWORD)
MEBIBYTE = 2**20


class Crashing(Server):
    """A server with one publisher, alice, whose password costs a millisecond."""

    def __init__(self, repository: Path, folder: Path, **settings: str) -> None:
        super().__init__(repository, folder, PYPI_UNKNOWN_PACKAGES="refuse", **settings)
        self.index = folder / "pypi_index"
        cheap = bcrypt.using(rounds=4, ident="2y").hash(PASSWORD)
        (self.auth / ".htpasswd").write_text(f"alice:{cheap}\n")

    def publish(self, file: str, content: bytes) -> tuple[int, str]:
        """Send a distribution; return status and sentence, status 0 if no answer came."""
        body, kind = crash.form(file, content)
        headers = {"Content-Type": kind}
        try:
            answer = requests.post(self.url(), body, headers=headers, auth=ALICE, timeout=60)
        except requests.ConnectionError:
            return 0, ""
        return answer.status_code, answer.text

    def listed(self) -> Found:
        """Return what it lists, by location, and check that each is served as it says."""
        found = Found()
        with requests.Session() as session:
            session.auth = ALICE
            session.headers["Accept"] = "application/vnd.pypi.simple.v1+json"
            for project in session.get(f"{self.url()}simple/", timeout=60).json()["projects"]:
                page = session.get(f"{self.url()}simple/{project['name']}/", timeout=60)
                for file in page.json()["files"]:
                    download = session.get(
                        requests.compat.urljoin(page.url, file["url"]), timeout=60
                    )
                    assert crash.digest(download.content) == file["hashes"]["sha256"], file
                    found[file["filename"]] = file["hashes"]["sha256"]
        return found

    def verify(self) -> str:
        """Run the command of that name, which must find nothing; return what it printed."""
        return self._command("verify")

    def check(self) -> str:
        """Run the command of that name, as a launch does; return what it printed."""
        return self._command("check")

    def _command(self, name: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "private_pypi", name],
            cwd=self.index.parent,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def kill_master(self) -> int:
        """Kill gunicorn's master alone; return the number of its worker's process."""
        assert self._process is not None
        master = self._process.pid
        (worker,) = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        os.kill(master, signal.SIGKILL)
        self._process.wait()
        return int(worker)

    def memory(self) -> int:
        """Return the most bytes that any of its processes ever had in memory."""
        assert self._process is not None
        most = 0
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
                if os.getsid(int(status.parent.name)) == self._process.pid:
                    most = max(most, int(lines["VmHWM"].split()[0]) * 1024)
            except (OSError, KeyError):
                continue  # It has ended.
        assert most
        return most


def made(folder: Path, name: str, kilobytes: int = 0) -> tuple[str, bytes]:
    """Return file name and content of a wheel of about that size."""
    path = wheel.build(folder, name, "1.0", origin=random.randbytes(512 * kilobytes).hex())
    return path.name, path.read_bytes()
