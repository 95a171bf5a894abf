"""Distributions made in a millisecond, for tests that do not care how they were built."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import random
import zipfile
from collections.abc import Mapping
from pathlib import Path

from kit.archives import tarred, zipped

_BACKEND = """
import zipfile

WHEEL, MEMBERS = {name!r}, {members!r}


def build_wheel(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(folder + "/" + WHEEL, "w") as archive:
        for member, text in MEMBERS.items():
            archive.writestr(member, text)
    return WHEEL
"""


def build(
    folder: Path,
    name: str,
    version: str,
    *requirements: str,
    origin: str,
    requires_python: str = "",
    more: Mapping[str, str] | None = None,
) -> Path:
    """Write a wheel whose module has the constant ORIGIN; return its path.

    Args:
        name: of the distribution; the module has underscores instead of hyphens.
        requirements: of the distribution (PEP 508).
        origin: where whoever installs it will believe it came from.
        requires_python: the versions of Python it says it needs (PEP 440), empty for all.
        more: texts of further files in it, by path.
    """
    metadata = _metadata("2.1", name, version, requirements, requires_python)
    members = _members(name, version, metadata, origin, more or {})
    path = folder / _wheel(name, version)
    write(path, members)
    return path


def described(
    folder: Path, name: str, version: str, fields: str, description: str = "", *, tag: str = ""
) -> Path:
    """Write a wheel whose core metadata has more fields, and a description; return its path.

    Args:
        fields: whole lines, as METADATA has them.
        tag: of the platform it is for (PEP 425), empty for all.
    """
    module = name.replace("-", "_")
    head = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
    members = {
        f"{module}/__init__.py": "ORIGIN = 'us'\n",
        f"{module}-{version}.dist-info/METADATA": f"{head}{fields}\n{description}",
    }
    path = folder / f"{module}-{version}-{tag or 'py3-none-any'}.whl"
    write(path, members)
    return path


def of_installed(folder: Path, name: str) -> Path:
    """Write the wheel that a package of this Python was installed from; return its path."""
    installed = importlib.metadata.distribution(name)
    names = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json")
    members = {
        str(file): file.read_binary()
        for file in installed.files or ()
        if file.parts[0] != ".." and "__pycache__" not in file.parts and file.name not in names
    }
    path = folder / _wheel(name, installed.version)
    write(path, members, zipfile.ZIP_DEFLATED)
    return path


def of_size(folder: Path, name: str, kilobytes: int = 0) -> tuple[str, bytes]:
    """Write a wheel of about that size; return its file name and content."""
    path = build(folder, name, "1.0", origin=random.randbytes(512 * kilobytes).hex())
    return path.name, path.read_bytes()


def write(
    path: Path, members: Mapping[str, str | bytes], compression: int = zipfile.ZIP_STORED
) -> None:
    """Write a wheel of such files, by path, and of WHEEL and RECORD if it has METADATA."""
    path.write_bytes(packed(members, compression))


def packed(members: Mapping[str, str | bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return a wheel of such files, by path, and of WHEEL and RECORD if it has METADATA."""
    return zipped(complete(members), compression)


def complete(members: Mapping[str, str | bytes]) -> dict[str, bytes]:
    """Return the files of a wheel, by path, with WHEEL and RECORD if it has METADATA."""
    whole = {
        path: content.encode() if isinstance(content, str) else content
        for path, content in members.items()
    }
    for info in {path.partition("/")[0] for path in members if path.endswith("-info/METADATA")}:
        whole.setdefault(
            f"{info}/WHEEL",
            b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        lines = (f"{path},{_digest(content)},{len(content)}\n" for path, content in whole.items())
        whole[f"{info}/RECORD"] = f"{''.join(lines)}{info}/RECORD,,\n".encode()
    return whole


def add(path: Path, member: str, content: bytes) -> None:
    """Write a wheel again with one more file in it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members = {name: old for name, old in members.items() if not name.endswith("-info/RECORD")}
    write(path, {**members, member: content})


def build_sdist(
    folder: Path,
    name: str,
    version: str,
    *requirements: str,
    origin: str,
    requires_python: str = "",
    suffix: str = ".tar.gz",
    metadata_version: str = "2.2",
) -> Path:
    """Write an sdist of the same as build() and return its path; nothing is needed to install it.

    Args:
        suffix: .tar.gz or .zip.
        metadata_version: from 2.2 on the metadata is what the wheel's will be (PEP 643).
    """
    metadata = _metadata(metadata_version, name, version, requirements, requires_python)
    members = _members(name, version, metadata, origin, {})
    stem = f"{name.replace('-', '_')}-{version}"
    sources = {
        f"{stem}/PKG-INFO": metadata,
        f"{stem}/pyproject.toml": "[build-system]\nrequires = []\n"
        'build-backend = "backend"\nbackend-path = ["."]\n',
        f"{stem}/backend.py": _BACKEND.format(name=_wheel(name, version), members=members),
    }
    path = folder / f"{stem}{suffix}"
    path.write_bytes(zipped(sources) if suffix == ".zip" else tarred(sources))
    return path


def _wheel(name: str, version: str) -> str:
    return f"{name.replace('-', '_')}-{version}-py3-none-any.whl"


def _metadata(
    metadata_version: str,
    name: str,
    version: str,
    requirements: tuple[str, ...],
    requires_python: str,
) -> str:
    metadata = f"Metadata-Version: {metadata_version}\nName: {name}\nVersion: {version}\n"
    if requires_python:
        metadata += f"Requires-Python: {requires_python}\n"
    return metadata + "".join(f"Requires-Dist: {requirement}\n" for requirement in requirements)


def _members(
    name: str, version: str, metadata: str, origin: str, more: Mapping[str, str]
) -> dict[str, bytes]:
    """Return every file in a wheel, by path."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    members: dict[str, str | bytes] = {
        f"{module}/__init__.py": f"ORIGIN = {origin!r}\nVERSION = {version!r}\n",
        f"{info}/METADATA": metadata,
        **more,
    }
    return complete(members)


def _digest(content: bytes) -> str:
    digest = hashlib.sha256(content).digest()
    return f"sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
