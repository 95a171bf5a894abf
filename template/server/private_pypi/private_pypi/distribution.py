"""Checks of a distribution: its file name, and its archive, read to its end and never trusted."""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import tarfile
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import IO

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_version,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from . import disk, wheel
from .archive import MEMBERS, TOO_MANY_MEMBERS, check_list, check_tar_member, check_zip
from .archive import DistributionError as DistributionError
from .metadata import METADATA_LIMIT, TOO_MUCH_METADATA, Metadata
from .terminal import quoted

# The characters that pypiserver accepts. ".metadata" must fit behind the name on disk.
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.!+-]{0,239}", re.ASCII)

TAGS = 500
"""Combinations of tags that a wheel's name may stand for (PEP 425); installers make all of them."""

# Bytes of the headers of one member of a tar file, such as a long name. The time that Python takes
# grows with their square.
_HEADER_LIMIT = 2**13
_UNPACKED_LIMIT, _UNPACKED_RATIO = 256 * 2**20, 20
_TOO_LARGE = (
    f"unpacks to more than {_UNPACKED_LIMIT // 2**20} MB plus {_UNPACKED_RATIO} times its size"
)


@dataclass(frozen=True)
class Distribution:
    """What the index needs to know of one sdist or wheel.

    Attributes:
        file: its file name (PEP 427, PEP 625).
        project: the normalised name (PEP 503).
        version: the normalised version (PEP 440).
        sha256: hex digest of the whole file.
        requires_python: the specifier of its metadata, None if there is none that can be read.
        core: the core metadata in it.
        is_static: whether no build can change them.
    """

    file: str
    project: str
    version: str
    size: int
    sha256: str
    requires_python: str | None
    core: bytes
    is_static: bool

    @property
    def metadata(self) -> bytes | None:
        """The core metadata to serve beside it (PEP 658), None if a build could change it."""
        return self.core if self.is_static else None


def parse_name(file: str) -> tuple[str, str]:
    """Return normalised project and version of a file name.

    Raises:
        DistributionError: if it is not the name of a wheel, or of a .tar.gz or .zip sdist.
    """
    project, version, _ = _split(file)
    return project, str(version)


def identity(file: str) -> str:
    """Return the identity of a file name: the same for all spellings of the name.

    A client may choose any of the files of one identity. A release has one sdist, and one wheel for
    each build tag and set of tags (PEP 425). Sets that only overlap are two identities, as on PyPI:
    all clients prefer the same one of them.

    Raises:
        DistributionError: as parse_name.
    """
    project, version, kind = _split(file)
    return f"{project}-{canonicalize_version(version)}{kind}"


# One change of the index asks for the same name several times.
@lru_cache(maxsize=16)
def _split(file: str) -> tuple[str, Version, str]:
    """Return the project and the version of a file name, and the rest of it, normalised."""
    if not _FILE_NAME.fullmatch(file):
        raise DistributionError(
            f"{quoted(file)} is not the name of a distribution: use at most 240 letters, digits"
            " or any of . _ + ! -"
        )
    try:
        if file.endswith(".whl"):
            # A name stands for all combinations of its tags: they are equal if these sets are.
            sets = [tag.split(".") for tag in file.removesuffix(".whl").lower().split("-")[-3:]]
            if prod(map(len, sets)) > TAGS:
                raise DistributionError(
                    f"{file} stands for more than {TAGS} combinations of tags: name fewer"
                )
            project, version, build, _ = parse_wheel_filename(file)
            kind = "-".join(
                ["", "".join(map(str, build)).lower()]
                + [".".join(sorted(set(tags))) for tags in sets]
            )
        else:
            project, version = parse_sdist_filename(file)
            kind = ""
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
        raise DistributionError(
            f"{file} is not the name of a wheel (PEP 427) or of a .tar.gz or .zip sdist (PEP 625)"
        ) from None
    if not is_normalised(project):
        raise DistributionError(f"{file} does not begin with the name of a project (PEP 508)")
    return project, version, kind


def is_normalised(project: str) -> bool:
    """Return whether a text is the normalised name of a project, as in URLs (PEP 503)."""
    return len(project) <= 240 and bool(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", project))


def read(path: Path, file: str | None = None) -> Distribution:
    """Read an archive to its end.

    Args:
        file: the file name, if it is not that of the path.

    Raises:
        DistributionError: if the name, the archive or its metadata is wrong.
        OSError: if the disk cannot be read.
    """
    file = file or path.name
    project, version = parse_name(file)
    is_wheel = file.endswith(".whl")
    try:
        with path.open("rb") as content:
            size = os.fstat(content.fileno()).st_size
            sha256 = disk.digests(content, ["sha256"])["sha256"]
            content.seek(0)
            limit = _UNPACKED_LIMIT + _UNPACKED_RATIO * size
            if file.endswith(".tar.gz"):
                core, folder = Metadata.parse(_from_tar(content, limit)), ""
            else:
                found, folder = _from_zip(content, limit, is_wheel=is_wheel)
                core = Metadata.parse(found)
    except DistributionError as error:
        raise DistributionError(f"{file} {error}") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # The disk failed, not the archive.
        # Hostile archives make the parsers raise nearly anything.
        raise DistributionError(
            f"{file} is damaged: it cannot be read to its end ({type(error).__name__})"
        ) from None
    core.check_release(file, project, version)
    if is_wheel:
        wheel.check_folder(file, folder, project, version)
        core.check_requirements(file)
    return Distribution(
        file=file,
        project=project,
        version=version,
        size=size,
        sha256=sha256,
        requires_python=core.requires_python,
        core=core.content,
        is_static=is_wheel or core.is_static,
    )


def _from_zip(content: IO[bytes], limit: int, *, is_wheel: bool) -> tuple[bytes, str]:
    """Read an archive to its end; return its metadata, and the folder that has it."""
    check_list(content)
    with zipfile.ZipFile(content) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > limit:
            raise DistributionError(_TOO_LARGE)
        check_zip(archive, content)
        wanted = r"[^/]+\.dist-info/METADATA" if is_wheel else "[^/]+/PKG-INFO"
        candidates = [member for member in members if re.fullmatch(wanted, member.filename)]
        if len(candidates) != 1:
            name = "*.dist-info/METADATA" if is_wheel else "*/PKG-INFO"
            raise DistributionError(f"has {len(candidates)} files {name} instead of one")
        (found,) = candidates
        folder = found.filename.partition("/")[0]
        hashes = wheel.recorded(archive, folder) if is_wheel else {}
        kept = {found.filename: b""}
        if is_wheel:
            kept |= {f"{folder}/WHEEL": b"", f"{folder}/entry_points.txt": b""}
        if found.file_size > METADATA_LIMIT:
            raise DistributionError(TOO_MUCH_METADATA)
        for member in members:
            digest = wheel.Digest(member.filename, hashes.get(member.filename, ""))
            with archive.open(member) as unpacked:
                while chunk := unpacked.read(2**20):
                    digest.update(chunk)
                    if member.filename in kept:
                        kept[member.filename] += chunk
            digest.check()
        if is_wheel:
            wheel.check_format(kept[f"{folder}/WHEEL"])
            wheel.check_scripts(kept[f"{folder}/entry_points.txt"])
    return kept[found.filename], folder


class _Unpacked(io.RawIOBase):
    """The content of a gzip file, with a limit for all of it and one for each member."""

    def __init__(self, packed: gzip.GzipFile, limit: int) -> None:
        self._packed = packed
        self._limit = limit
        self._allowed = 0
        self.allow(_HEADER_LIMIT)

    def allow(self, size: int) -> None:
        """Let so many bytes be read from now on."""
        self._allowed = size

    def read(self, size: int = -1) -> bytes:
        self._allowed -= size
        if size < 0 or self._allowed < 0:
            raise DistributionError(
                f"has a member with more than {_HEADER_LIMIT // 2**10} kB of headers"
            )
        self._check(self._packed.tell() + size)
        return self._packed.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if offset < self._packed.tell():
            raise DistributionError("has a member that leads back")
        self._check(offset)
        return self._packed.seek(offset, whence)

    def tell(self) -> int:
        return self._packed.tell()

    def _check(self, end: int) -> None:
        if end > self._limit:
            raise DistributionError(_TOO_LARGE)


def _from_tar(content: IO[bytes], limit: int) -> bytes:
    metadata = None
    with gzip.GzipFile(fileobj=content) as packed:
        unpacked = _Unpacked(packed, limit)
        with tarfile.open(fileobj=unpacked, mode="r:") as archive:
            number = 0
            while member := archive.next():
                number += 1
                if number > MEMBERS:
                    raise DistributionError(TOO_MANY_MEMBERS)
                # tarfile would keep all members in memory.
                archive.members = []  # type: ignore[attr-defined]
                archive.pax_headers = {}
                check_tar_member(member)
                if re.fullmatch("[^/]+/PKG-INFO", member.name.removeprefix("./")):
                    if metadata is not None:
                        raise DistributionError("has more than one file */PKG-INFO")
                    metadata = _content(archive, member, unpacked)
                unpacked.allow(_HEADER_LIMIT)
        # Behind the last member are padding and the checksum of all.
        unpacked.allow(limit)
        while rest := unpacked.read(2**16):
            if rest.strip(b"\0"):
                raise DistributionError("has bytes behind the archive: build it again")
    if metadata is None:
        raise DistributionError("has no file */PKG-INFO")
    return metadata


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, unpacked: _Unpacked) -> bytes:
    if member.size > METADATA_LIMIT:
        raise DistributionError(TOO_MUCH_METADATA)
    if not member.isreg() or member.issparse():
        raise DistributionError("has a PKG-INFO that is not a file")
    unpacked.allow(METADATA_LIMIT + _HEADER_LIMIT)
    file = archive.extractfile(member)
    return file.read() if file else b""
