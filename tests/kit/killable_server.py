"""A server that is killed or starved, and what it is sent meanwhile."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import requests

from kit.accounts import ALICE, htpasswd_line
from kit.forms import upload_form
from kit.http import JSON
from kit.integrity import Found, digest
from kit.server import Server

MEBIBYTE = 2**20


class KillableServer(Server):
    """A server with one publisher, alice, whose password costs a millisecond."""

    def __init__(self, repository: Path, folder: Path, **settings: str) -> None:
        super().__init__(repository, folder, PYPI_UNKNOWN_PACKAGES="refuse", **settings)
        self.index = folder / "pypi_index"
        (self.auth / ".htpasswd").write_text(htpasswd_line(*ALICE))

    def publish(self, file: str, content: bytes) -> tuple[int, str]:
        """Send a distribution; return status and sentence, status 0 if no answer came."""
        body, kind = upload_form(file, content)
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
            session.headers.update(JSON)
            for project in session.get(f"{self.url()}simple/", timeout=60).json()["projects"]:
                page = session.get(f"{self.url()}simple/{project['name']}/", timeout=60)
                for file in page.json()["files"]:
                    download = session.get(
                        requests.compat.urljoin(page.url, file["url"]), timeout=60
                    )
                    assert digest(download.content) == file["hashes"]["sha256"], file
                    found[file["filename"]] = file["hashes"]["sha256"]
        return found

    def verify(self) -> str:
        """Run the command of that name, which must find nothing; return what it printed."""
        return self.run("verify")

    def check(self) -> str:
        """Run the command of that name, as a launch does; return what it printed."""
        return self.run("check")

    def kill_master(self) -> list[int]:
        """Kill gunicorn's master alone; return the numbers of its processes: two.

        One is its worker; the other writes the pages for people.
        """
        master = self.process.pid
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        os.kill(master, signal.SIGKILL)
        self.process.wait()
        assert len(children) == 2
        return [int(child) for child in children]

    def memory(self) -> int:
        """Return the most bytes that any of its processes ever had in memory."""
        most = 0
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
                if os.getsid(int(status.parent.name)) == self.process.pid:
                    most = max(most, int(lines["VmHWM"].split()[0]) * 1024)
            except (OSError, KeyError):
                continue  # It has ended.
        assert most
        return most
