"""A look at the data folder that opens no file: what lies there, and whether that changed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .journal import is_text


class Seen(NamedTuple):
    """What a look at a file in the data folder, without opening it, tells of it."""

    size: int
    modified: int
    signed: bool


def scan(data: Path) -> tuple[dict[str, Seen], dict[Path, int]]:
    """Look at the data folder without opening a file.

    Returns:
        What lies there by location, without signatures, metadata and what begins with a dot; and
        the time of the last change (st_mtime_ns) of every folder, which is earlier than the look
        at it.
    """
    files: dict[str, Seen] = {}
    folders: dict[Path, int] = {}
    _scan(data, "", files, folders)
    return files, folders


def _scan(folder: Path, prefix: str, files: dict[str, Seen], folders: dict[Path, int]) -> None:
    folders[folder] = folder.stat().st_mtime_ns
    signatures = set()
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            # What is no UTF-8 no URL could name.
            if entry.name.startswith(".") or not is_text(entry.name):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    with suppress(PermissionError):  # such as lost+found
                        _scan(folder / entry.name, f"{prefix}{entry.name}/", files, folders)
                elif entry.name.endswith(".asc"):
                    signatures.add(entry.name)
                elif entry.name.endswith(".metadata"):
                    continue  # As mirrors have it; what is served comes out of the distribution.
                elif entry.is_file():
                    stat = entry.stat()
                    found.append((entry.name, stat.st_size, stat.st_mtime_ns))
            except FileNotFoundError:
                continue
    for name, size, modified in found:
        files[f"{prefix}{name}"] = Seen(size, modified, f"{name}.asc" in signatures)


def unchanged(folders: dict[Path, int]) -> bool:
    """Return whether nothing was added to, renamed in or deleted from folders since a scan."""
    try:
        return all(folder.stat().st_mtime_ns == modified for folder, modified in folders.items())
    except OSError:
        return False
