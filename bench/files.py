"""The distributions that every stack serves: small, valid wheels with dependencies among them."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import random
import zipfile
from pathlib import Path

VERSIONS = 10
"""Versions of each project, at every scale: the number of projects grows, not their pages."""

TREE = 50
"""As many projects in a row depend on each other: installing the first installs them all."""

_PAYLOAD = random.Random(0).randbytes(2_000_000)
_WHEEL = b"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def project(number: int) -> str:
    """Return the normalised name of a project."""
    return f"bench-lib-{number:05}"


def file_name(number: int, version: str) -> str:
    """Return the file name of a project's wheel."""
    return f"bench_lib_{number:05}-{version}-py3-none-any.whl"


def wheel(number: int, version: str, payload: int = 19_000) -> bytes:
    """Return a wheel, the same bytes every time: of 20 kB, or with so many bytes of data in it."""
    module = f"bench_lib_{number:05}"
    info = f"{module}-{version}.dist-info"
    members = {
        f"{module}/__init__.py": b"",
        f"{module}/payload.bin": _PAYLOAD[:payload],
        f"{info}/METADATA": metadata(number, version),
        f"{info}/WHEEL": _WHEEL,
    }
    lines = [f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in members.items()]
    members[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"]).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in members.items():
            archive.writestr(zipfile.ZipInfo(path), data)
    return buffer.getvalue()


def metadata(number: int, version: str) -> bytes:
    """Return the core metadata of a wheel: a project needs the two below it in a binary tree."""
    tree, place = divmod(number, TREE)
    needs = [tree * TREE + child for child in (2 * place + 1, 2 * place + 2) if child < TREE]
    lines = ["Metadata-Version: 2.1", f"Name: {project(number)}", f"Version: {version}"]
    lines += [f"Requires-Dist: {project(need)}>=1.0" for need in needs]
    return "".join(f"{line}\n" for line in lines).encode()


def write(folder: Path, count: int) -> None:
    """Write a number of wheels into a new folder, those of the first projects first."""
    folder.mkdir()
    for number in range(count // VERSIONS):
        for version in range(VERSIONS):
            name = file_name(number, f"1.{version}")
            (folder / name).write_bytes(wheel(number, f"1.{version}"))


def link(library: Path, folder: Path, count: int) -> None:
    """Link the first wheels of a library into a new folder."""
    folder.mkdir(parents=True)
    for number in range(count // VERSIONS):
        for version in range(VERSIONS):
            name = file_name(number, f"1.{version}")
            os.link(library / name, folder / name)


def _digest(data: bytes) -> str:
    digest = hashlib.sha256(data).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
