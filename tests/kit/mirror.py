"""A mirror without Docker: private_pypi, `public` and the gateway over one folder."""

from __future__ import annotations

import itertools
import json
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from kit import pypi, wheel
from kit.accounts import ALICE, htpasswd_line
from kit.commands import run
from kit.forms import upload_form
from kit.gateway import Gateway, behind_gateway, knows_all_names
from kit.http import JSON, Answer, Connection, basic
from kit.processes import Running
from kit.pypi import PyPI
from kit.server import Server
from kit.template import PASSWORD
from kit.waiting import wait_until

BOB = basic("bob", PASSWORD)
COOLDOWN = "cooldown_days = 7\n"
PROBE = "policy-probe"


class PublicServer(Running):
    """`public` of a rendered repository, over folders of its own.

    Attributes:
        data: what it keeps.
        policy: the file that says what it offers.
        socket: where it listens.
    """

    def __init__(self, repository: Path, folder: Path, index: str, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.data, self.policy = folder / "public_data", folder / "public_policy.toml"
        self.socket = folder / "public.sock"
        self.data.mkdir(exist_ok=True)
        self.policy.write_text(COOLDOWN)
        environment = {
            **os.environ,
            "PYTHONPATH": str(repository / "private_pypi"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PUBLIC_DATA": str(self.data),
            "PUBLIC_POLICY": str(self.policy),
            "PYPI_SOCKET": str(self.socket),
            "public_index": index,
            **settings,
        }
        super().__init__("public", folder / "public.log", folder=folder, environment=environment)

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "private_pypi", "public", "serve"]

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.socket)) == 0

    def run(self, *arguments: str, stdin: str = "", ok: bool = True) -> str:
        """Run a command of `public` beside it; return what it printed."""
        return run(
            *(sys.executable, "-m", "private_pypi", "public", *arguments),
            cwd=self._folder,
            environment=self._environment,
            stdin=stdin,
            ok=ok,
        )

    def memory(self) -> int:
        """Return the most bytes that it ever had in memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])

    def kept(self) -> list[str]:
        """Return the paths of all files of PyPI it keeps or is about to, below its folder."""
        return sorted(
            str(path.relative_to(self.data))
            for folder in ("public", ".unfinished")
            for path in (self.data / folder).rglob("*")
            if path.is_file()
        )

    def age(self, project: str, days: float = 0.1) -> None:
        """Let the kept page of a project be so old that PyPI is asked again."""
        page = self.data / f"pages/{project}.json"
        before = page.stat().st_mtime - days * 24 * 3600
        os.utime(page, (before, before))


@dataclass
class Mirror:
    """All that a request for a package may pass, and the stand-in of PyPI behind it.

    Attributes:
        folder: what the programs share.
    """

    folder: Path
    pypi: PyPI
    server: Server
    public: PublicServer
    gateway: Gateway

    _numbers = itertools.count()

    @property
    def url(self) -> str:
        """What bob gives to pip, without his account."""
        return f"{self.gateway.url}/simple/"

    def get(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> Answer:
        """Ask the gateway as bob."""
        with Connection(self.gateway.url) as connection:
            return connection.ask(path, {**BOB, **(headers or {})}, method=method)

    def page(self, project: str) -> dict[str, Any]:
        """Return a project's page; it must have one."""
        answer = self.get(f"/simple/{project}/", JSON)
        assert answer.status == 200, (answer.status, answer.body)
        page: dict[str, Any] = json.loads(answer.body)
        return page

    def offered(self, project: str) -> list[str]:
        """Return the names of the files on a project's page."""
        return [file["filename"] for file in self.page(project)["files"]]

    def download(self, project: str, filename: str) -> Answer:
        """Ask for a file at the URL that a lock file has; its page may not show it."""
        return self.get(urljoin(f"/simple/{project}/", f"../../public/{project}/{filename}"))

    def set_policy(self, text: str) -> None:
        """Write the policy and wait until it applies; no longer than a few seconds."""
        number = f"policy number {next(self._numbers)}"
        probe = f'[[block]]\nname = "{PROBE}"\nreason = "{number}"\n'
        self.public.policy.write_text(f"{text}\n{probe}")

        def applies() -> bool:
            answer = self.download(PROBE, f"{PROBE.replace('-', '_')}-1.0-py3-none-any.whl")
            return answer.status == 403 and number.encode() in answer.body

        wait_until(applies, 10)

    def fetch(self, file: Path, *, ok: bool = True) -> str:
        """Fill the mirror with what a lock file names, as `make pypi-fetch` does."""
        wanted = self.server.run(
            *("public-requirements", file.name), stdin=file.read_text(), PYPI_URL=self.gateway.url
        )
        return self.public.run("fetch", stdin=wanted, ok=ok)

    def check_whole(self) -> None:
        """Check that each file that the gateway serves is what PyPI has, and nothing else stays."""
        wait_until(lambda: not [path for path in self.public.kept() if path.startswith(".")], 20)
        for path in self.public.kept():
            kind, project, name = path.split("/")
            assert kind == "public", path
            (upload,) = (
                upload
                for upload in self.pypi.uploads[project]
                if name.removesuffix(".metadata") == upload.path.name
            )
            theirs = upload.metadata if name.endswith(".metadata") else upload.path.read_bytes()
            assert (self.public.data / path).read_bytes() == theirs, path

    def publish(self, name: str) -> int:
        """Publish a wheel as alice; return the status."""
        file, content = wheel.of_size(self.folder, name, 10)
        body, kind = upload_form(file, content)
        with Connection(self.gateway.url) as connection:
            headers = {**basic(*ALICE), "Content-Type": kind}
            return connection.ask("/", headers, method="POST", body=body).status

    def wait_until_settled(self) -> None:
        """Wait until the gateway knows without private_pypi which names are ours."""

        def is_settled() -> bool:
            # A request for a name has private_pypi look.
            is_served = self.get(f"/simple/{PROBE}/").status == 200
            return is_served and knows_all_names(self.folder / "pypi_index", self.server.data)

        wait_until(is_settled, 20)


def make(rendered: Path, folder: Path, index: PyPI, **settings: str) -> Mirror:
    """Return all programs, not started: alice may publish, bob may install.

    Args:
        settings: of `public` if they begin with PUBLIC, else of private_pypi.
    """
    ours = {name: value for name, value in settings.items() if not name.startswith("PUBLIC")}
    theirs = {name: value for name, value in settings.items() if name.startswith("PUBLIC")}
    folder.mkdir(parents=True, exist_ok=True)
    public = PublicServer(rendered, folder, index.url, **theirs)
    server, gateway = behind_gateway(
        rendered, folder, public=f"unix/{public.socket}", PYPI_UNKNOWN_PACKAGES="mirror", **ours
    )
    (server.auth / ".htpasswd").write_text(htpasswd_line(*ALICE))
    server.user("add", "bob", password=PASSWORD)
    if PROBE not in index.uploads:
        index.release(PROBE, "1.0")
    return Mirror(folder, index, server, public, gateway)


@contextmanager
def running(rendered: Path, folder: Path, **settings: str) -> Iterator[Mirror]:
    """Run all programs and a stand-in of PyPI that has nothing yet."""
    with pypi.running(folder / "pypi") as index:
        mirror = make(rendered, folder / "s", index, **settings)
        with mirror.server, mirror.public, mirror.gateway:
            yield mirror
