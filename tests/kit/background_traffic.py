"""Clients that install and publish in the background, and what they were answered and lost."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from kit.accounts import Account
from kit.async_client import GIVES_UP_AFTER, AsyncClient, LostError
from kit.integrity import digest

READERS = 50
PUBLISHERS = 20


@dataclass
class Traffic:
    """Clients that install and publish in the background for as long as the block runs.

    At its end every publisher sends its last wheel until that is answered with 200.

    Attributes:
        projects: what the readers install.
        wheels: makes file name and content of a new wheel of so many kilobytes.
        retrying: whether readers try again what they lost, as pip and uv do.
        readers, publishers: how many of each.
        most: how many wheels a publisher publishes at most.
        installed: how many projects were read to the end.
        published: sha256 of all that was answered with 200, by file name.
        unanswered: the names of what was sent and never answered with 200.
        refused: how often an upload got another status; 0 stands for no answer.
        lost: what readers that retry had to ask for again.
        wrong: what should not have happened.
    """

    url: str
    account: Account
    projects: list[str]
    wheels: Callable[[str, int], tuple[str, bytes]]
    retrying: bool = False
    readers: int = READERS
    publishers: int = PUBLISHERS
    most: int = 300
    name: str = "traffic"
    installed: int = 0
    published: dict[str, str] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    refused: Counter[int] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __enter__(self) -> Traffic:
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(2 * GIVES_UP_AFTER)
        assert not self._thread.is_alive()

    def go_on(self, *, installs: int = 0, uploads: int = 0, seconds: float = 120) -> None:
        """Wait until so many more were installed and uploaded than are now."""
        wanted = self.installed + installs, len(self.published) + uploads
        deadline = time.monotonic() + seconds
        while self.installed < wanted[0] or len(self.published) < wanted[1]:
            assert not self.wrong, self.wrong[:3]
            assert time.monotonic() < deadline, (self.installed, len(self.published), wanted)
            time.sleep(0.02)

    async def _run(self) -> None:
        clients = [self._read() for _ in range(self.readers)]
        clients += [self._publish(number) for number in range(self.publishers)]
        for error in await asyncio.gather(*clients, return_exceptions=True):
            if error:
                self.wrong.append(repr(error))

    async def _read(self) -> None:
        client = AsyncClient(self.url, self.account)
        try:
            while not self._over.is_set():
                await self._install(client, random.choice(self.projects))
                self.installed += 1
                await asyncio.sleep(random.uniform(0, 0.2))
        finally:
            await client.close()

    async def _install(self, client: AsyncClient, project: str) -> None:
        deadline = time.monotonic() + GIVES_UP_AFTER
        while True:
            try:
                await client.install(project)
            except LostError as error:
                if not self.retrying or time.monotonic() > deadline:
                    raise
                self.lost.append(str(error))
                await asyncio.sleep(0.2)
            else:
                return

    async def _publish(self, number: int) -> None:
        client = AsyncClient(self.url, self.account)
        try:
            for turn in range(self.most):
                if self._over.is_set():
                    return
                # Of one chunk on its way to the disk, or of two.
                kilobytes = (0, 1, 20, 300)[turn % 4]
                await self._send(client, *self.wheels(f"{self.name}-{number}-{turn}", kilobytes))
                await asyncio.sleep(random.uniform(0, 2))
        finally:
            await client.close()

    async def _send(self, client: AsyncClient, file: str, content: bytes) -> None:
        deadline = time.monotonic() + GIVES_UP_AFTER
        self.unanswered.add(file)
        while True:
            try:
                status = (await client.publish(file, content)).status
            except LostError:
                status = 0
            if status == 200:
                self.unanswered.remove(file)
                self.published[file] = digest(content)
                return
            self.refused[status] += 1
            if time.monotonic() > deadline:
                raise AssertionError(f"{file} was never taken: {self.refused}")
            await asyncio.sleep(0.3)
