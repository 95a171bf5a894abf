"""What a mirror of PyPI costs its clients, and its memory: with a stand-in of PyPI behind it."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import files
import httpx
import load
import nginx
from measurements import Measurements
from process import BenchError, environment, free_port, running, settle
from stacks import Ours, Server, Stack, render, wait_for

PRIVATE = files.TREE * files.VERSIONS
"""Distributions of the private index: its projects are the first tree, those of PyPI the others."""

PAGES = 10_000
"""Projects of PyPI. The first of them are a tree that is installed."""

AWAY = ", 20 ms away"
"""Ends the names of stacks for which each answer of PyPI waits so long."""

_FIRST = files.TREE

_PAIRS = 3
"""How often in a turn: the difference is small beside what one install differs from the next."""


class PyPI:
    """A stand-in of PyPI: nginx with pages as long as those of PyPI, and wheels for one tree.

    Args:
        folder: is made, for all of it.

    Attributes:
        index: URL of its simple pages.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._url = f"http://127.0.0.1:{self._port}"
        self.index = f"{self._url}/simple/"
        (folder / "served" / "files").mkdir(parents=True)
        for number in range(_FIRST, _FIRST + PAGES):
            page = folder / "served" / "simple" / files.project(number)
            page.mkdir(parents=True)
            (page / "index.json").write_text(json.dumps(self._page(number)))

    def stack(self, away: str) -> Stack:
        """Return it as a stack, so far away."""
        return Stack(f"nginx as PyPI{away}", 0, lambda: self._serve(0.02 if away else 0))

    def _serve(self, seconds: float) -> Iterator[Server]:
        command = nginx.command(self._folder, self._port, seconds=seconds)
        with running(command, self._folder, "nginx", environment()) as process:
            wait_for(self._url, f"/simple/{files.project(_FIRST)}/", [process])
            yield Server(self._url, [process], account=None)

    def _page(self, number: int) -> dict[str, Any]:
        """Return a project's page, with everything that PyPI says of a file."""
        versions = [f"1.{minor}" for minor in range(_releases(number - _FIRST))]
        return {
            "meta": {"api-version": "1.4", "_last-serial": number},
            "name": files.project(number),
            "project-status": {"status": "active"},
            "versions": versions,
            "files": [self._file(number, version, version == versions[-1]) for version in versions],
        }

    def _file(self, number: int, version: str, is_newest: bool) -> dict[str, Any]:
        name = files.file_name(number, version)
        wheel, metadata = name.encode(), files.metadata(number, version)
        # Of the others, no client asks for a file.
        if is_newest and number < _FIRST + files.TREE:
            wheel = files.wheel(number, version, _payload(number - _FIRST))
            (self._folder / "served" / "files" / name).write_bytes(wheel)
            (self._folder / "served" / "files" / f"{name}.metadata").write_bytes(metadata)
        core = {"sha256": hashlib.sha256(metadata).hexdigest()}
        return {
            "core-metadata": core,
            "data-dist-info-metadata": core,
            "filename": name,
            "hashes": {"sha256": hashlib.sha256(wheel).hexdigest()},
            "provenance": f"{self._url}/integrity/{files.project(number)}/{name}/provenance",
            "requires-python": ">=3.8",
            "size": len(wheel),
            "upload-time": "2025-01-31T12:00:00.000000Z",
            "url": f"{self._url}/files/{name}",
            "yanked": False,
        }


class Mirror(Ours):
    """The rendered server with `public`, which asks a stand-in of PyPI, and 500 files of its own.

    Args:
        rendered: the repository of the server.
        folder: is made, for its data.
        library: folder of the private distributions.
        index: URL of the simple pages of PyPI.
    """

    def __init__(self, rendered: Path, folder: Path, library: Path, index: str) -> None:
        self._index, self._gateway = index, rendered / "gateway" / "Caddyfile"
        super().__init__(rendered / "private_pypi", folder, library, PRIVATE)
        (folder / "public_policy.toml").write_text("cooldown_days = 7\n")
        self.socket = folder / "public.sock"

    def empty(self, away: str = "") -> Stack:
        """Return it as a stack that has nothing of PyPI, which is so far away."""
        data = self._folder / "public_data"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir()
        return self.stack(f"mirror{away}", self._gateway)

    def _programs(self, caddyfile: Path) -> dict[str, list[str]]:
        # private_pypi, which has the other variables too, listens on a port.
        public = ["env", f"PYPI_SOCKET={self.socket}", sys.executable, "-m", "private_pypi"]
        return {**super()._programs(caddyfile), "public": [*public, "public", "serve"]}

    def _environment(self, port: int = 0) -> dict[str, str]:
        return {
            **super()._environment(port),
            "PYPI_UNKNOWN_PACKAGES": "mirror",
            "public_index": self._index,
        }


def measure(found: Measurements, folder: Path, library: Path, turns: int) -> None:
    """Measure all of the mirror.

    Args:
        folder: is made.
        library: folder of at least PRIVATE distributions.
        turns: how often installs are timed.
    """
    if not nginx.program():
        found.skip("the mirror, as nginx is not installed: apt-get install nginx-light")
        return
    if not nginx.ECHO.exists():
        found.skip(f"PyPI{AWAY}, as nginx has no module echo: apt-get install nginx-light")
    print(f"Making {PAGES:,} pages of a stand-in of PyPI", flush=True)
    pypi = PyPI(folder / "pypi")
    answers = {"template": "server", "ci": "none", "https": "none", "unknown_packages": "mirror"}
    rendered = render(folder / "mirrored", answers)
    mirror = Mirror(rendered, folder / "mirror", library, pypi.index)
    for away in ("", AWAY) if nginx.ECHO.exists() else ("",):
        with pypi.stack(away).running() as direct:
            for _ in range(turns):
                for program in load.INSTALLERS:
                    _install(found, program, mirror.empty(away), pypi.stack(away), direct)
            if not away:
                _remember(found, mirror)


def _install(found: Measurements, program: str, mirror: Stack, pypi: Stack, direct: Server) -> None:
    """Time an install through a mirror that has nothing, then one that has everything."""
    with mirror.running() as server:
        # The first install of all would pay for what the disk has not read yet.
        load.install(program, direct.index_url(), tree=1)

        def time(stack: Stack, what: str, url: str) -> None:
            found.note(stack, what, load.install(program, url, tree=1))
            settle(server.processes)

        time(mirror, f"{program}, cold", server.index_url())
        for _ in range(_PAIRS):
            time(pypi, program, direct.index_url())
            time(mirror, f"{program}, warm", server.index_url())


def _remember(found: Measurements, mirror: Mirror) -> None:
    """Ask a mirror once for each page, and measure its memory after that."""
    stack = mirror.empty()
    with stack.running() as server:
        transport = httpx.HTTPTransport(uds=str(mirror.socket))
        with (
            httpx.Client(transport=transport, base_url="http://public", timeout=120) as client,
            ThreadPoolExecutor(load.CONNECTIONS) as crowd,
        ):

            def ask(number: int) -> None:
                answer = client.get(f"/simple/{files.project(number)}/")
                if answer.status_code != 200:
                    raise BenchError(f"public answered {answer.status_code}: {answer.text[:200]}")

            for _ in crowd.map(ask, range(_FIRST, _FIRST + PAGES)):
                pass
        settle(server.processes)
        public = next(process for process in server.processes if process.name == "public")
        found.note(stack, "MB of public", public.memory() / 2**20)


def _payload(place: int) -> int:
    """Return how many bytes of data a wheel has: from 19 kB to 2 MB, half of them below 200 kB."""
    return round(19_000 * math.pow(2_000_000 / 19_000, _spread(place)))


def _releases(place: int) -> int:
    """Return how many releases a project of PyPI has.

    What is installed is popular, with 10 to 400. Most others have one to 100, a few 2,000.
    """
    if place < files.TREE:
        return round(10 * math.pow(40, _spread(place)))
    return 2_000 if place % 1_000 == 0 else round(math.pow(100, _spread(place)))


def _spread(place: int) -> float:
    """Return a share from 0 to 1, the same for every tree and well mixed within one."""
    return place * 7 % files.TREE / (files.TREE - 1)
