"""Programs that a test runs to their end.

.ci/stand_ins.py uses this too, with whatever Python a machine has: nothing but its own library is
imported here.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SECONDS = 600


class CommandError(AssertionError):
    """A program failed, or did not; the text says which, and what it printed."""


def ask(
    *command: str | Path, cwd: Path | None = None, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program that may fail."""
    return subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def output(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a program that must succeed; return its output, without its errors."""
    done = ask(*command, cwd=cwd)
    if done.returncode:
        raise CommandError(_failure(command, done.returncode, done.stdout + done.stderr))
    return done.stdout


def run(
    *command: str | Path,
    cwd: Path | None = None,
    environment: dict[str, str] | None = None,
    stdin: str = "",
    ok: bool = True,
    timeout: float = SECONDS,
    **settings: str,
) -> str:
    """Run a program that must succeed, or must fail; return all it printed, errors included.

    Args:
        cwd: the folder it runs in.
        environment: its variables; those of this process if not said.
        stdin: what it reads.
        ok: whether it is expected to succeed.
        timeout: in seconds.
        settings: more variables of its environment.
    """
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**(os.environ if environment is None else environment), **settings},
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    if (done.returncode == 0) is not ok:
        raise CommandError(_failure(command, done.returncode, done.stdout))
    return done.stdout


def as_root(*command: str | Path) -> str:
    """Run a program as root, which every account that may test Docker can become."""
    sudo = [] if os.getuid() == 0 else ["sudo", "--non-interactive"]
    return run(*sudo, *command)


def _failure(command: tuple[str | Path, ...], code: int, said: str) -> str:
    return f"{' '.join(map(str, command))} ended with exit code {code}:\n{said.strip()}"
