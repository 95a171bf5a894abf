"""Packages of this machine's Debian release, unpacked without installing them.

.ci/stand_ins.py uses this too, with whatever Python a machine has: nothing but its own library is
imported here.
"""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path


class CommandError(Exception):
    """A program failed; the text says which, and the end of what it printed."""


def ask(*command: str | Path, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command that may fail."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def run(*command: str | Path) -> str:
    """Run a command and return its output; a failure shows the end of what it said."""
    done = ask(*command)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise CommandError(
            f"{' '.join(map(str, command))} failed with exit code {done.returncode}:\n{said}"
        )
    return done.stdout


@functools.cache
def update_package_lists() -> None:
    run("apt-get", "-qq", "update")


def unpack_debian(package: str, folder: Path) -> Path:
    """Unpack a package of this machine's Debian release without installing it."""
    update_package_lists()
    debs = folder / f"{package}-deb"
    debs.mkdir()
    # apt downloads as its own user, who may not write here.
    run(
        "sh", "-c", 'cd "$0" && apt-get download -qq -o APT::Sandbox::User=root "$1"', debs, package
    )
    run("dpkg", "-x", next(debs.glob("*.deb")), folder / package)
    return folder / package
