"""Files of PyPI as values, for what judges them without fetching one."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from packaging.version import Version
from private_pypi.public.document import Document, File

NOW = datetime(2026, 11, 28, 10, 14, 30, tzinfo=timezone.utc)
SHA256 = "ab" * 32


def public_file(
    version: str | None = "1.0",
    *,
    days: float | None = 30,
    sha256: str = SHA256,
    name: str = "urllib3",
    tag: str = "py3-none-any",
) -> File:
    """Return a wheel that was uploaded some days before NOW.

    Args:
        version: None for a file of which the name tells none.
        days: None if PyPI does not say when.
    """
    return File(
        filename=f"{name}-{version}-{tag}.whl" if version else f"{name}.rpm",
        url="http://public.example/file",
        hashes={"sha256": sha256} if sha256 else {"sha512": "cd" * 64},
        upload_time=None if days is None else NOW - timedelta(days=days),
        version=Version(version) if version else None,
    )


def document_of(*files: File, name: str = "urllib3", status: str = "") -> Document:
    """Return a page that lists files."""
    raw: dict[str, object] = {"name": name, "files": [as_json(file) for file in files]}
    if status:
        raw["project-status"] = {"status": status}
    return Document(name, raw)


def as_json(file: File) -> dict[str, object]:
    """Return a file as a page lists it (PEP 691, PEP 700)."""
    told: dict[str, object] = {"filename": file.filename, "url": file.url, "hashes": file.hashes}
    if file.upload_time:
        told["upload-time"] = file.upload_time.isoformat().replace("+00:00", "Z")
    return told
