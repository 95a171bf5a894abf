"""Half a minute of many clients at once at the rendered server: no error, and bounded memory.

What they were answered, and how fast, is written to build/load.md. The times are those of this
machine, which the clients share with the server: nothing is asserted of them.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import secrets
import subprocess
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from kit import integrity
from kit.accounts import ALICE
from kit.async_client import AsyncClient, LostError, Reply
from kit.background_installs import BackgroundInstalls
from kit.http import JSON
from kit.killable_server import MEBIBYTE
from kit.recorded_server import PROJECTS, RecordedServer, launched
from kit.template import ROOT, Render

pytestmark = pytest.mark.docker

PROJECT = "faults-load"
ANSWERS = {
    "template": "server",
    "project_name": PROJECT,
    "https": "none",
    "publisher": ALICE[0],
    "publisher_password": ALICE[1],
}

CLIENTS = 200
PUBLISHERS = 12
SECONDS = 30
PAUSE = 0.2
"""Seconds that a client rests after an answer, on average: 200 clients ask 1,000 times a second."""

SLICE = 10
LEAST_REQUESTS = 500
"""What is answered in each ten seconds, at least: a twentieth of what the clients would ask. A slow
machine does far more, a server that stands still for as long does less."""

MOST_REQUESTS = 60_000
MOST_UPLOADS = 300
MOST_WRONG_PASSWORDS = 300
"""Each costs the gateway a bcrypt, of a millisecond for a name without an account."""

MARGIN = 0.8
"""The share of its limit that a container's memory may reach."""

HTML = {"Accept": "text/html", "Accept-Encoding": "gzip"}


@dataclass
class Seen:
    """What all clients saw.

    Attributes:
        seconds: how long each answer took, by kind of request.
        wrong: answers that should have been others, and requests without an answer.
        published: sha256 of what was uploaded, by file name.
        answered: how many answers came in each SLICE seconds, by number.
        began: when the first client was let loose, by time.monotonic().
        sent: how many uploads and wrong passwords there were.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wrong: list[str] = field(default_factory=list)
    published: dict[str, str] = field(default_factory=dict)
    answered: Counter[int] = field(default_factory=Counter)
    began: float = 0.0
    uploads: int = 0
    guesses: int = 0

    @property
    def requests(self) -> int:
        return sum(map(len, self.seconds.values()))

    @property
    def slices(self) -> list[int]:
        """How many answers came in each SLICE seconds, one after the other."""
        return [self.answered[number] for number in range(SECONDS // SLICE)]

    async def see(self, kind: str, asked: Awaitable[Reply], status: int) -> Reply | None:
        """Wait for an answer and note it; return it if it is what it should be."""
        began = time.monotonic()
        try:
            reply = await asked
        except LostError as error:
            self.wrong.append(f"{kind}: {error}")
            return None
        now = time.monotonic()
        self.seconds[kind].append(now - began)
        self.answered[int((now - self.began) / SLICE)] += 1
        if reply.status != status:
            self.wrong.append(f"{kind}: {reply.status} {reply.body[:200]!r}")
            return None
        return reply


class Crowd:
    """All clients, in one thread of this process."""

    def __init__(self, kept: RecordedServer, seen: Seen) -> None:
        self._kept, self._seen = kept, seen
        self._tags: dict[str, str] = {}
        self._files: dict[str, str] = {}
        self._kinds: list[tuple[Callable[[AsyncClient], Awaitable[None]], int]] = [
            (self._page, 30),
            (self._list, 5),
            (self._again, 25),
            (self._download, 25),
            (self._unknown, 5),
            (self._guess, 1),
        ]

    async def run(self) -> None:
        """Ask for SECONDS."""
        self._seen.began = time.monotonic()
        until = self._seen.began + SECONDS
        readers = [self._read(until) for _ in range(CLIENTS - PUBLISHERS)]
        publishers = [self._publish(number, until) for number in range(PUBLISHERS)]
        for error in await asyncio.gather(*readers, *publishers, return_exceptions=True):
            if error:
                self._seen.wrong.append(repr(error))

    async def _read(self, until: float) -> None:
        client = AsyncClient(self._kept.server.url, ALICE)
        kinds, weights = zip(*self._kinds, strict=True)
        # The first second tells them apart.
        await asyncio.sleep(random.uniform(0, 1))
        while time.monotonic() < until and self._seen.requests < MOST_REQUESTS:
            (ask,) = random.choices(kinds, weights)
            await ask(client)
            await asyncio.sleep(random.uniform(0, 2 * PAUSE))
        await client.close()

    async def _publish(self, number: int, until: float) -> None:
        client = AsyncClient(self._kept.server.url, ALICE)
        turn = 0
        while time.monotonic() < until and self._seen.uploads < MOST_UPLOADS:
            turn += 1
            self._seen.uploads += 1
            file, content = self._kept.wheel(f"load-{number}-{turn}", (0, 1, 20, 300)[turn % 4])
            if await self._seen.see("upload", client.publish(file, content), 200):
                self._seen.published[file] = integrity.digest(content)
            await asyncio.sleep(random.uniform(0.5, 1.5))
        await client.close()

    async def _page(self, client: AsyncClient) -> None:
        path, headers = self._any_page(), random.choice([JSON, HTML])
        reply = await self._seen.see("page", client.ask(path, headers), 200)
        if reply and headers is JSON:
            self._tags[path] = reply.headers["etag"]
            for file in json.loads(reply.body)["files"]:
                self._files[f"/packages/{file['filename']}"] = file["hashes"]["sha256"]

    async def _list(self, client: AsyncClient) -> None:
        await self._seen.see("list of projects", client.ask("/simple/", JSON), 200)

    async def _again(self, client: AsyncClient) -> None:
        path = self._any_page()
        if tag := self._tags.get(path):
            asked = client.ask(path, {**JSON, "If-None-Match": tag})
            await self._seen.see("page, not changed", asked, 304)

    async def _download(self, client: AsyncClient) -> None:
        if self._files:
            path, digest = random.choice(list(self._files.items()))
            reply = await self._seen.see("download", client.ask(path), 200)
            if reply and integrity.digest(reply.body) != digest:
                self._seen.wrong.append(f"{path} is torn")

    async def _unknown(self, client: AsyncClient) -> None:
        await self._seen.see("unknown name", client.ask("/simple/surely-unknown/", JSON), 303)

    async def _guess(self, client: AsyncClient) -> None:
        due = MOST_WRONG_PASSWORDS * (time.monotonic() - self._seen.began) / SECONDS
        if self._seen.guesses < min(due, MOST_WRONG_PASSWORDS):
            self._seen.guesses += 1
            account = (random.choice([ALICE[0], "nobody"]), secrets.token_hex(8))
            asked = client.ask(self._any_page(), JSON, account=account)
            await self._seen.see("wrong password", asked, 401)

    @staticmethod
    def _any_page() -> str:
        return f"/simple/seed-{random.randrange(PROJECTS)}/"


class Memory:
    """What both containers have in memory, for as long as the block runs.

    Attributes:
        used: bytes that `docker stats` counts, one after the other, by service: files that were
            just written are among them, which the kernel drops when it needs the space.
        resident: bytes of the service's own processes. Those of its health check come and go, and
            the larger of them has half of what the service may grow by.
        limits: bytes, by service.
    """

    def __init__(self) -> None:
        self.used: dict[str, list[float]] = defaultdict(list)
        self.resident: dict[str, list[float]] = defaultdict(list)
        self.limits: dict[str, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        containers = [f"{PROJECT}-{service}-1" for service in ("gateway", "private_pypi")]
        command = ["docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}"]
        while not self._over.wait(1):
            done = subprocess.run(
                [*command, *containers], capture_output=True, text=True, check=False
            )
            for name, used, limit in re.findall(r"(\S+) (\S+) / (\S+)", done.stdout):
                service = name.removeprefix(f"{PROJECT}-").removesuffix("-1")
                self.used[service].append(_bytes(used))
                self.limits[service] = _bytes(limit)
                top = ["docker", "top", name, "-eo", "pid,rss,args"]
                done = subprocess.run(top, capture_output=True, text=True, check=False)
                if size := _resident(done.stdout):
                    self.resident[service].append(size)


def _resident(top: str) -> int:
    """Return the bytes of all processes but a health check's, from what `docker top` says."""
    rows = re.findall(r"^\s*\d+\s+(\d+)\s+(.+?)\s*$", top, re.MULTILINE)
    return 1024 * sum(int(size) for size, command in rows if not _CHECK.search(command))


_CHECK = re.compile(r"health$|\brunc\b.*\binit$")
"""Docker starts a health check as `runc init`, which becomes the command of docker-compose.yml."""


def _bytes(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[unit]


@pytest.fixture(scope="module")
def kept(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedServer]:
    """A running server with something to install."""
    folder = tmp_path_factory.mktemp("load")
    (folder / "wheels").mkdir()
    with launched(render(ANSWERS), folder / "server", folder / "wheels") as kept:
        yield kept


def test_half_a_minute_of_200_clients_sees_no_error_and_memory_stays_bounded(
    kept: RecordedServer, tmp_path: Path
) -> None:
    seen, installs, memory = Seen(), BackgroundInstalls(kept, tmp_path), Memory()
    with memory:
        installs.start(pip=3, uv=6)
        asyncio.run(Crowd(kept, seen).run())
        installs.finish()
    report(seen, memory)
    assert not seen.wrong, (len(seen.wrong), sorted(seen.wrong)[:: len(seen.wrong) // 5 + 1])
    kept.published |= seen.published

    kinds = {"page", "page, not changed", "download", "list of projects", "upload"}
    assert seen.seconds.keys() == kinds | {"unknown name", "wrong password"}
    assert min(seen.slices) >= LEAST_REQUESTS, seen.slices
    for service, used in memory.used.items():
        state = kept.server.inspect(service)
        assert state["RestartCount"] == 0
        assert not state["State"]["OOMKilled"]
        assert max(used) < MARGIN * memory.limits[service], (service, used)
        # Caches fill, and then it stays: the second half takes no more than the first and a bit.
        sizes = memory.resident[service]
        half = len(sizes) // 2
        assert max(sizes[half:]) < max(sizes[:half]) + 64 * MEBIBYTE, (service, sizes)
    assert memory.used.keys() == {"gateway", "private_pypi"}

    kept.check()
    lines = (kept.data / ".journal.jsonl").read_text().splitlines()
    noted = {(one["file"], one["sha256"]) for one in map(json.loads, lines)}
    assert len(noted) == len(lines)
    assert noted == set(kept.published.items())


def report(seen: Seen, memory: Memory) -> None:
    """Write what was seen to build/load.md."""
    text = [
        f"{CLIENTS} clients for {SECONDS} s, {seen.requests} requests, {len(seen.wrong)} wrong",
        f"Answers in each {SLICE} s: {', '.join(map(str, seen.slices))}",
        "",
        "| request | times | p50, ms | p99, ms |",
        "|---|---:|---:|---:|",
    ]
    for kind, seconds in sorted(seen.seconds.items()):
        ranked = sorted(seconds)
        p50, p99 = (1000 * ranked[int(share * (len(ranked) - 1))] for share in (0.5, 0.99))
        text.append(f"| {kind} | {len(ranked)} | {p50:.1f} | {p99:.1f} |")
    text += ["", "| memory, MB | first | most | last | limit |", "|---|---:|---:|---:|---:|"]
    for service, used in sorted(memory.used.items()):
        columns = (used[0], max(used), used[-1], memory.limits[service])
        cells = " | ".join(f"{column / MEBIBYTE:.0f}" for column in columns)
        text.append(f"| {service} | {cells} |")
        sizes = memory.resident[service]
        cells = " | ".join(f"{size / MEBIBYTE:.0f}" for size in (sizes[0], max(sizes), sizes[-1]))
        text.append(f"| {service}, its processes alone | {cells} | |")
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    (folder / "load.md").write_text("\n".join(text) + "\n")
