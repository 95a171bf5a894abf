"""Archives of given members, as bytes that are the same at any time."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Mapping

Members = Mapping[str, str | bytes]


def zipped(members: Members, compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return a ZIP file of such members, by path."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for path, content in members.items():
            archive.writestr(zipfile.ZipInfo(path), content, compression)
    return file.getvalue()


def tarred(members: Members, *others: tarfile.TarInfo, level: int = 9) -> bytes:
    """Return a .tar.gz of such members, by path, and of others that are empty.

    Args:
        level: of the compression; with 0 the content stands in the archive as it is.
    """
    file = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=file, mode="wb", compresslevel=level, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for path, content in members.items():
            header = tarfile.TarInfo(path)
            data = content.encode() if isinstance(content, str) else content
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
        for other in others:
            archive.addfile(other)
    return file.getvalue()
