"""Giving folders to one user while other processes may swap names and links in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


class OwnershipError(Exception):
    """Something in the folders could not be given away; the message names it and the reason."""


def give(within: Sequence[Path], user: int, group: int) -> None:
    """Make a user and a group the owners of folders and of all that lies in them.

    Nothing outside of the folders is touched, whatever becomes of a path meanwhile: each entry is
    changed by its name in an open folder, and of a link the link itself. An entry that cannot be
    given away does not stop the others.

    Args:
        user, group: their numbers.

    Raises:
        OwnershipError: if something could not be given away, once all else was.
    """
    refused, first, why = 0, "", ""

    def refuse(path: str, error: OSError) -> None:
        nonlocal refused, first, why
        # An upload may end meanwhile.
        if not isinstance(error, FileNotFoundError):
            refused += 1
            if refused == 1:
                first, why = path, str(error.strerror)

    def unreadable(error: OSError) -> None:
        refuse(os.fsdecode(error.filename), error)

    for folder in within:
        for path, folders, files, opened in os.fwalk(folder, onerror=unreadable):
            for name in (".", *folders, *files):
                try:
                    found = os.stat(name, dir_fd=opened, follow_symlinks=False)
                    if (found.st_uid, found.st_gid) != (user, group):
                        os.chown(name, user, group, dir_fd=opened, follow_symlinks=False)
                except OSError as error:
                    refuse(str(Path(path, name)), error)
    if refused:
        others = f" and {refused - 1} more" if refused > 1 else ""
        raise OwnershipError(f"{first!a}{others} cannot be given to {user}:{group}: {why}")
