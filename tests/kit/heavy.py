"""Distributions made to take memory and time: as much of one thing as is taken, or far more."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib

from kit import wheel

METADATA = b"Metadata-Version: 2.2\nName: heavy\nVersion: 1.0\n"
WHEEL, SDIST = "heavy-1.0-py3-none-any.whl", "heavy-1.0.tar.gz"

_INFO = "heavy-1.0.dist-info"


def of_metadata(metadata: bytes) -> bytes:
    """Return a wheel with such metadata."""
    return wheel.packed({f"{_INFO}/METADATA": metadata}, zipfile.ZIP_DEFLATED)


def of_members(count: int, name: str = "x") -> bytes:
    """Return a wheel with so many members, most of them empty, whose names end in this one."""
    modules = {f"heavy/{number}{name}": b"" for number in range(count - 3)}
    content, listed = bytearray(), bytearray()
    # As zipfile writes them, in a tenth of the time.
    for path, text in wheel.complete({**modules, f"{_INFO}/METADATA": METADATA}).items():
        size = len(text)
        head = struct.pack("<5H3L2H", 20, 0, 0, 0, 33, zlib.crc32(text), size, size, len(path), 0)
        listed += b"PK\1\2\24\0" + head + struct.pack("<3H2L", 0, 0, 0, 0, len(content))
        listed += path.encode()
        content += b"PK\3\4" + head + path.encode() + text
    return bytes(content + listed) + _end(count, len(listed), len(content), zip64=True)


def of_a_list(count: int, length: int, *, zip64: bool = False) -> bytes:
    """Return a ZIP file whose list of members is all it has.

    Args:
        length: of the name of each.
        zip64: say how long the list is in the record of ZIP64, and nothing in the old one.
    """
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", *[0] * 9, length, *[0] * 6)
    listed = b"".join(entry + b"%0*d" % (length, number) for number in range(count))
    return listed + _end(count, len(listed), 0, zip64=zip64)


def of_tar_members(count: int, before: bytes = b"") -> bytes:
    """Return an sdist with so many members; before each but the first stand such headers."""
    metadata = tarfile.TarInfo("heavy-1.0/PKG-INFO")
    metadata.size = len(METADATA)
    first = metadata.tobuf(tarfile.USTAR_FORMAT) + METADATA.ljust(512, b"\0")
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed:
        packed.write(first)
        empty = before + tarfile.TarInfo("heavy-1.0/x").tobuf(tarfile.USTAR_FORMAT)
        for start in range(1, count, 1000):
            packed.write(empty * min(1000, count - start))
        packed.write(bytes(1024))
    return file.getvalue()


def _end(count: int, size: int, start: int, *, zip64: bool) -> bytes:
    """Return what stands behind the list of members of a ZIP file."""
    if not zip64:
        return struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, start, 0)
    return (
        struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
        + struct.pack("<4sLQL", b"PK\6\7", 0, start + size, 1)
        + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *[0xFFFF] * 2, *[0xFFFFFFFF] * 2, 0)
    )
