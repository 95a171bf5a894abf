"""Damage to files that are served."""

from __future__ import annotations

import gzip
import os
from pathlib import Path


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
