"""Starts, watches and stops a server's process with all its children."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """Something cannot be measured; the message says why."""


class Process:
    """A server with its children, which are one process group."""

    def __init__(self, name: str, leader: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self._leader = leader
        self._log = log

    def check(self) -> None:
        """Raise BenchError, with the end of the log, if the server stopped."""
        if self._leader.poll() is not None:
            said = "\n  ".join(self._log.read_text(errors="replace").splitlines()[-8:])
            raise BenchError(f"{self.name} stopped. It said:\n  {said}")

    def cpu_seconds(self) -> float:
        """Return the processor time that the group has used so far."""
        ticks = 0
        for process in self._members():
            fields = _read(process / "stat").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12]) if fields else 0
        return ticks / _TICKS

    def memory(self) -> int:
        """Return the group's bytes of memory; memory that processes share counts once."""
        kilobytes = 0
        for process in self._members():
            for line in _read(process / "smaps_rollup").splitlines():
                if line.startswith("Pss:"):
                    kilobytes += int(line.split()[1])
        return kilobytes * 1024

    @contextmanager
    def paused(self, command: str) -> Iterator[None]:
        """Let those of the group whose command line has a word do nothing in the block."""
        found = [
            int(process.name)
            for process in self._members()
            if command in _read(process / "cmdline").split("\0")
        ]
        if not found:
            raise BenchError(f"{self.name} has no process that runs {command}")
        for pid in found:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in found:
                os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop the group, by SIGKILL if it ignores SIGTERM for 20 seconds."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._leader.pid, number)
                self._leader.wait(20)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue

    def _members(self) -> list[Path]:
        members = []
        for process in Path("/proc").glob("[0-9]*"):
            fields = _read(process / "stat").rpartition(")")[2].split()
            if fields and int(fields[2]) == self._leader.pid:
                members.append(process)
        return members


@contextmanager
def running(
    command: Sequence[str], folder: Path, name: str, environment: Mapping[str, str]
) -> Iterator[Process]:
    """Run a server in a folder, which gets its log, until the block ends."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        leader = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    process = Process(name, leader, log)
    try:
        yield process
    finally:
        process.stop()


def settle(processes: Sequence[Process], *, seconds: float = 180) -> None:
    """Wait until servers that were just started have not used the processor for a second.

    One that waits for the disk does not use it for a moment.
    """
    deadline = time.monotonic() + seconds
    used = sum(process.cpu_seconds() for process in processes)
    idle = 0
    while time.monotonic() < deadline:
        time.sleep(0.3)
        before, used = used, sum(process.cpu_seconds() for process in processes)
        idle = idle + 1 if used - before <= 0.02 else 0
        if idle == 4:
            return
    raise BenchError(f"a server still uses the processor {seconds:.0f} s after its start")


def free_port() -> int:
    """Return a port of 127.0.0.1 on which no process listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def environment(**variables: str) -> dict[str, str]:
    """Return the environment without variables that change how servers and installers behave."""
    foreign = ("CADDY_", "DEVPISERVER_", "GUNICORN_", "PIP_", "PYPI_", "PYTHON", "UV_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    proxies = ("http_proxy", "https_proxy", "all_proxy")
    kept = {name: value for name, value in kept.items() if name.lower() not in proxies}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **variables}


def _read(path: Path) -> str:
    # A process may end at any time.
    try:
        return path.read_text()
    except OSError:
        return ""
