"""A disk with exFAT, as USB sticks have it: no hard links, no symbolic links, one mode for all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.commands import as_root

NEEDED = ("mkfs.exfat", "mount.exfat-fuse", "losetup")


@contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """Make such a disk and mount it in a new folder of a folder, until the end of the block."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    if lacking := [name for name in NEEDED if not shutil.which(name, path=path)]:
        pytest.skip(f"this machine has no {', '.join(lacking)}")
    image, disk = folder / "image", folder / "exfat"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(8 * 2**20)
    as_root("mkfs.exfat", image)
    device = as_root("losetup", "--show", "--find", image).strip()
    try:
        mine = f"uid={os.getuid()},gid={os.getgid()}"
        as_root("mount.exfat-fuse", "-o", mine, device, disk)
        try:
            yield disk
        finally:
            as_root("umount", disk)
    finally:
        as_root("losetup", "--detach", device)
