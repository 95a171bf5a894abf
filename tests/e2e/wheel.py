"""A wheel made in a millisecond, for tests that do not care how it was built."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path


def build(folder: Path, name: str, version: str, *requirements: str, origin: str) -> Path:
    """Write a wheel whose module has the constant ORIGIN; return its path.

    Args:
        name: of the distribution; the module has underscores instead of hyphens.
        requirements: of the distribution (PEP 508).
        origin: where whoever installs it will believe it came from.
    """
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {requirement}\n" for requirement in requirements)
    members = {
        f"{module}/__init__.py": f"ORIGIN = {origin!r}\nVERSION = {version!r}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\n"
        "Root-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},{_digest(text)},{len(text)}\n" for path, text in members.items())
    members[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in members.items():
            archive.writestr(zipfile.ZipInfo(member), text)
    return path


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
