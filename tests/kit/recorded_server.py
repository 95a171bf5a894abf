"""A server in containers, and a record of all that it must keep, whatever happens to it."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests

from kit.accounts import ALICE, ANNA, Account, htpasswd_line
from kit.async_client import everything
from kit.background_traffic import PUBLISHERS, READERS, Traffic
from kit.commands import as_root
from kit.forms import upload_form
from kit.http import JSON, basic
from kit.in_docker import Server, plain_server
from kit.integrity import check_tidy, digest
from kit.waiting import SECONDS, wait_until
from kit.wheel import of_size

PROJECTS = 30
"""How many projects there are to install."""


@dataclass
class RecordedServer:
    """A running server and all that it must keep.

    Attributes:
        server: as Compose runs it.
        folder: where wheels are made.
        published: sha256 of all that was answered with 200, by file name.
        unanswered: what was sent without an answer: it may be there, and is whole if it is.
    """

    server: Server
    folder: Path
    published: dict[str, str] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    made: int = 0

    @property
    def data(self) -> Path:
        return self.server.folder / "pypi_data"

    @property
    def index(self) -> Path:
        return self.server.folder / "pypi_index"

    def wheel(self, name: str, kilobytes: int = 0) -> tuple[str, bytes]:
        """Return file name and content of a new wheel."""
        return of_size(self.folder, name, kilobytes)

    def new(self, name: str = "new", kilobytes: int = 0) -> tuple[str, bytes]:
        """Return file name and content of a wheel whose name no other has."""
        self.made += 1
        return self.wheel(f"{name}-number-{self.made}", kilobytes)

    def seed(self) -> None:
        """Publish what the readers install."""
        for number in range(PROJECTS):
            file, content = self.wheel(f"seed-{number}", (1, 20, 200)[number % 3])
            assert self.publish(file, content) == (200, "")

    def publish(self, file: str, content: bytes) -> tuple[int, str]:
        """Send a distribution; return status and sentence, the latter empty if it was taken."""
        body, kind = upload_form(file, content)
        url, headers = f"{self.server.url}/", {"Content-Type": kind}
        self.unanswered.add(file)
        answer = requests.post(url, body, headers=headers, auth=ALICE, timeout=SECONDS)
        self.unanswered.remove(file)
        if answer.status_code == 200:
            self.published[file] = digest(content)
            return 200, ""
        return answer.status_code, answer.text.strip()

    def half_send(self, file: str, content: bytes, account: Account = ALICE) -> Callable[[], int]:
        """Send half of an upload; return what sends the rest and returns the status, or 0."""
        body, kind = upload_form(file, content)
        connection = http.client.HTTPConnection(urlsplit(self.server.url).netloc, timeout=SECONDS)
        connection.putrequest("POST", "/")
        headers = {"Content-Type": kind, "Content-Length": str(len(body))}
        for name, value in {**basic(*account), **headers}.items():
            connection.putheader(name, value)
        connection.endheaders(body[: len(body) // 2])

        def finish() -> int:
            try:
                connection.send(body[len(body) // 2 :])
                return connection.getresponse().status
            except (OSError, http.client.HTTPException):
                return 0
            finally:
                connection.close()

        return finish

    def wait_for_unfinished(self, count: int, size: int) -> None:
        """Wait until so many uploads are under way of which more than so many bytes have come."""

        def large() -> Iterator[Path]:
            for path in (self.data / ".uploads").iterdir():
                with suppress(FileNotFoundError):  # Another one is finished meanwhile.
                    if path.stat().st_size > size:
                        yield path

        wait_until(lambda: len(list(large())) == count)

    def reads(self) -> None:
        """Check that a page and a file can be read now."""
        page = requests.get(
            f"{self.server.url}/simple/seed-0/", headers=JSON, auth=ALICE, timeout=30
        )
        assert page.status_code == 200, page.text
        (file,) = page.json()["files"]
        download = requests.get(
            requests.compat.urljoin(page.url, file["url"]), auth=ALICE, timeout=30
        )
        assert digest(download.content) == file["hashes"]["sha256"]

    def traffic(
        self, *, retrying: bool = False, readers: int = READERS, publishers: int = PUBLISHERS
    ) -> Traffic:
        """Return clients that install what was seeded and publish what is new."""
        self.made += 1
        return Traffic(
            self.server.url,
            ALICE,
            [f"seed-{number}" for number in range(PROJECTS)],
            self.wheel,
            retrying=retrying,
            readers=readers,
            publishers=publishers,
            name=f"traffic-{self.made}",
        )

    def add(self, traffic: Traffic) -> None:
        """Remember what was published in the background, which must have gone well."""
        self.published |= traffic.published
        self.unanswered |= traffic.unanswered
        assert not traffic.wrong, traffic.wrong[:5]
        assert not traffic.unanswered

    def check(self, verify: Callable[[], str] | None = None) -> None:
        """Check that nothing is lost, nothing is torn and the server works.

        Args:
            verify: runs the command of that name, which must find nothing.
        """
        assert self.publish(*self.new("after")) == (200, "")
        self.check_listed()
        said = (verify or (lambda: self.server.make("pypi-verify")))()
        on_disk = check_tidy(self.data, self.index)
        assert self.published.items() <= on_disk.items()
        assert f"{len(on_disk)} distributions are what was published" in said

    def check_listed(self) -> None:
        """Check through the gateway that all that was published is there, and nothing else."""
        listed = asyncio.run(everything(self.server.url, ALICE))
        lacking = self.published.items() - listed.items()
        assert not lacking, f"published and lost: {sorted(lacking)[:5]}"
        assert listed.keys() - self.published.keys() <= self.unanswered

    def process(self, service: str) -> int:
        """Return the number that the host knows a container's first process by."""
        pid: int = self.server.inspect(service)["State"]["Pid"]
        return pid

    def kill(self, service: str) -> None:
        """Kill all processes of a service's container; return when none of them runs any more."""
        # `docker kill` would count as stopped by hand: the restart policy would not apply.
        first = str(self.process(service))
        as_root("kill", "-KILL", first)
        # It takes the others along and stays until they are gone. They may answer until then.
        wait_until(lambda: not Path("/proc", first).exists())

    def is_healthy(self, service: str) -> bool:
        """Return whether Docker takes the container for healthy."""
        state = self.server.inspect(service)["State"]
        return bool(state["Running"]) and state["Health"]["Status"] == "healthy"


@contextmanager
def launched(rendered: Path, folder: Path, wheels: Path) -> Iterator[RecordedServer]:
    """Copy a rendered server to a folder and run it, with something to install, for a block.

    Anna may publish as well as alice: one account has 12 uploads under way at most.
    """
    kept = RecordedServer(plain_server(rendered, folder), wheels)
    with (kept.server.folder / "pypi_auth/.htpasswd").open("a") as accounts:
        accounts.write(htpasswd_line(*ANNA))
    for content in (kept.data, kept.index):
        (content / ".gitignore").unlink()
    kept.server.make("pypi-launch")
    try:
        kept.seed()
        yield kept
    finally:
        kept.server.make("pypi-stop")
