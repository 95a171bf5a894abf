"""Programs and servers that run as long as a test needs them."""

from __future__ import annotations

import os
import signal
import socketserver
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from kit.waiting import wait_until

Self = TypeVar("Self", bound="Running")


class Running:
    """A program that runs from the first line of a block to the last.

    A subclass says which, by `command`, and when it has started, by `answers`.

    Attributes:
        name: what messages call it.
        log: what it printed, however often it was started.
    """

    ends_by = signal.SIGTERM
    seconds_to_start, seconds_to_end = 20.0, 10.0

    def __init__(
        self,
        name: str,
        log: Path,
        *,
        folder: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.name, self.log = name, log
        self._folder, self._environment = folder, environment
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> Sequence[str | Path]:
        """Return the program and its arguments."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Return whether it has started."""
        raise NotImplementedError

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process that was started last."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            AssertionError: with its name and log, if it does not.
        """
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until(
                lambda: self.process.poll() is not None or self.answers(), self.seconds_to_start
            )
            assert self.process.poll() is None
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{self.name} did not start:\n{self.log.read_text()}") from error

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self.process.send_signal(self.ends_by)
        try:
            self.process.wait(self.seconds_to_end)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End it and its children as a power failure would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self: Self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextmanager
def in_background(server: socketserver.BaseServer) -> Iterator[None]:
    """Let a server of this process answer, in a thread, as long as the block runs."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
