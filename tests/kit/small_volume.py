"""A volume of its own for a process, small enough to be filled, where this machine allows it."""

from __future__ import annotations

from pathlib import Path

from kit.commands import CommandError, run


def small_volume(folder: Path) -> list[str] | None:
    """Return what to put before a command so that it may mount a volume; None if none may.

    Args:
        folder: where it is to be mounted.
    """
    for command in (
        ["unshare", "--mount"],
        ["unshare", "--user", "--map-root-user", "--mount"],
        ["sudo", "--non-interactive", "--preserve-env", "unshare", "--mount"],
    ):
        try:
            run(*command, "mount", "-t", "tmpfs", "tmpfs", folder)
        except (OSError, CommandError):
            continue
        return command
    return None
