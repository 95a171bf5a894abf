"""A rendered server as its Makefile runs it without Docker, on a free port of this machine."""

from __future__ import annotations

import base64
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

FIRST_PORT, LANES, LANE = 12_000, 20, 1_000
"""Ports of 20 workers of pytest-xdist: below those that Linux takes for outgoing connections."""


def _ports() -> Iterator[int]:
    """Return numbers of ports, over and over, that no other worker has.

    It takes a thousand calls until one comes again, so that what a test stopped can start anew at
    its port. Another run on this machine has the same numbers; most likely it begins elsewhere.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    lane = 1 + int(worker.removeprefix("gw")) if worker else 0
    first = FIRST_PORT + lane % LANES * LANE
    start = random.randrange(LANE)
    return itertools.cycle(first + (start + step) % LANE for step in range(LANE))


_next_ports = _ports()


def free_port() -> int:
    """Return a port that nobody listens on, and that nobody else is told to be free."""
    for port in itertools.islice(_next_ports, LANE):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("nothing is free")


def status(url: str, user: str, password: str) -> int:
    """Return what an account is answered at a URL, 0 if nothing listens there."""
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {pair}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            code: int = answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0
    return code


def started(
    name: str,
    process: subprocess.Popen[bytes],
    answers: Callable[[], bool],
    stop: Callable[[], None],
    log: Path,
) -> None:
    """Wait until a program answers; if it ends or takes 20 seconds, stop it.

    Raises:
        AssertionError: with the program's name and log, if it did not start.
    """
    deadline = time.monotonic() + 20
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            stop()
            raise AssertionError(f"{name} did not start:\n{log.read_text()}")
        time.sleep(0.05)


class Server:
    """The server package of a rendered repository, with folders of its own.

    As a context manager it runs from the first line of the block to the last.

    Attributes:
        data: the distributions.
        auth: the htpasswd files.
        log: what it printed.
    """

    def __init__(self, repository: Path, folder: Path, **settings: str) -> None:
        self.data, self.auth = folder / "pypi_data", folder / "pypi_auth"
        self.log = folder / "log"
        self.data.mkdir(parents=True)
        self.auth.mkdir()
        self.port = free_port()
        self._folder = folder
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(repository / "private_pypi"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYPI_PORT": str(self.port),
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "private_pypi", "serve"],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started("the server", self._process, self.healthy, self.__exit__, self.log)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def kill(self) -> None:
        """End it as a power failure would."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def url(self, user: str = "", password: str = "") -> str:
        """Return the root URL, with the credentials percent-encoded if any are given."""
        pair = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
        return f"http://{pair}127.0.0.1:{self.port}/"

    def healthy(self) -> bool:
        """Return whether it answers its health check."""
        try:
            urllib.request.urlopen(f"{self.url()}health", timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
            return False
        return True

    def user(self, *arguments: str, password: str = "") -> str:
        """Run the command line for accounts and return what it printed.

        With a password, that is typed into it.
        """
        command = [sys.executable, "-m", "private_pypi", "user", *arguments]
        done = subprocess.run(
            [*command, "--password-stdin"] if password else command,
            cwd=self._folder,
            env=self._environment,
            input=password,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def files(self) -> list[str]:
        """Return the names of the distributions it holds."""
        return sorted(
            entry.name
            for entry in self.data.iterdir()
            if entry.is_file() and not entry.name.startswith(".")
        )
