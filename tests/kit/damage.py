"""Damage to files of the index."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path


def delete(path: Path) -> None:
    """Delete a file, a folder with all that is in it, or a link, but not what that leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def flip(path: Path) -> None:
    """Change a byte but neither size nor time, as a failing disk would."""
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def compress_another(path: Path) -> None:
    """Replace a compressed page by another that is compressed as well."""
    path.write_bytes(gzip.compress(b"another page"))
