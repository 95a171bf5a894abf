"""Checks of the files of a wheel beside its metadata: WHEEL, RECORD, entry_points.txt (PEP 427)."""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from itertools import count
from typing import IO

from packaging.utils import canonicalize_name

from .archive import MEMBERS, DistributionError, inside
from .metadata import is_version
from .terminal import quoted

RECORD, FORMAT, SCRIPTS = 16 * 2**20, 2**16, 2**18
"""Bytes that the files RECORD, WHEEL and entry_points.txt may have."""

RECORD_LINE, SCRIPTS_LINE = 2000, 1000
"""Characters that a line of RECORD or of entry_points.txt may have."""

# RECORD does not name the files that sign it.
_SIGNATURES = ("RECORD.jws", "RECORD.p7s")
# The folders of *.data that installers know (PEP 427).
_SCHEMES = "purelib|platlib|headers|scripts|data"
# A function of a module, and any extras, as a script names it.
_FUNCTION = re.compile(r"\s*[\w.]+\s*:\s*[\w.]+\s*(\[[^\]]*\]\s*)?", re.ASCII)
_ALGORITHMS = hashlib.algorithms_guaranteed - {"shake_128", "shake_256"}


def check_folder(file: str, folder: str, project: str, version: str) -> None:
    """Check that the .dist-info folder of a wheel names its release, however it is spelled.

    Raises:
        DistributionError: if it does not.
    """
    name, _, its_version = folder.removesuffix(".dist-info").rpartition("-")
    if canonicalize_name(name) != project or not is_version(its_version, version):
        raise DistributionError(
            f"{file} has the folder {quoted(folder)}, the file name says {project} {version}"
        )


def recorded(archive: zipfile.ZipFile, folder: str) -> dict[str, str]:
    """Return the hash of each member as RECORD writes it, by the member's name.

    Args:
        folder: the .dist-info folder.

    Raises:
        DistributionError: if installers would refuse the folders or files of the wheel, if a file
            beside the metadata is too large, or if RECORD does not name exactly the members.
    """
    names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    folders = [name for name in tops if name.endswith(".dist-info")]
    if len(folders) != 1:
        raise DistributionError(f"has {len(folders)} folders *.dist-info instead of one")
    for name in (f"{folder}/WHEEL", f"{folder}/RECORD"):
        if name not in names:
            raise DistributionError(f"has no file {quoted(name)}: build it again")
    for name in names:
        top, _, path = name.partition("/")
        if top.endswith(".data") and path and not re.match(f"({_SCHEMES})(/|$)", path):
            raise DistributionError(f"has {quoted(name)}, which installers put nowhere")
        if top.endswith(".data") and not path and not name.endswith("/"):
            raise DistributionError(f"has a file {quoted(name)} where installers want a folder")
    for a_file, name, limit in (
        ("a RECORD", "RECORD", RECORD),
        ("a WHEEL", "WHEEL", FORMAT),
        ("an entry_points.txt", "entry_points.txt", SCRIPTS),
    ):
        member = archive.NameToInfo.get(f"{folder}/{name}")
        if member and member.file_size > limit:
            raise DistributionError(f"has {a_file} of more than {limit // 2**10:,} kB")
    return _hashes(archive, folder)


def check_format(content: bytes) -> None:
    """Check that a file WHEEL names a format that installers know.

    Raises:
        DistributionError: if not.
    """
    head = re.split(rb"\r?\n\r?\n", content, maxsplit=1)[0]
    field = re.search(rb"(?im)^Wheel-Version:([^\r\n]*)", head)
    if not field or not re.fullmatch(rb"1(\.[0-9]{1,9})+", field[1].strip()):
        version = quoted(field[1].strip().decode(errors="replace")) if field else "missing"
        raise DistributionError(f"is of another format: its Wheel-Version is {version}, not '1.0'")


def check_scripts(content: bytes) -> None:
    """Check that entry_points.txt names scripts that installers can make.

    Raises:
        DistributionError: if not.
    """
    entries = configparser.RawConfigParser(delimiters=("=",), strict=False)
    # The parser's time grows with the square of the length of a line.
    if any(len(line) > SCRIPTS_LINE for line in content.split(b"\n")):
        raise DistributionError(
            f"has an entry_points.txt with a line of more than {SCRIPTS_LINE:,} letters"
        )
    try:
        entries.read_string(content.decode())
        scripts = [
            (name, called)
            for section in ("console_scripts", "gui_scripts")
            if entries.has_section(section)
            for name, called in entries.items(section)
        ]
    except (ValueError, configparser.Error):
        raise DistributionError("has an entry_points.txt that cannot be read") from None
    for name, called in scripts:
        if not _FUNCTION.fullmatch(called):
            raise DistributionError(
                f"has a script {quoted(name)} that calls {quoted(called)}: name module:function"
            )


def _hashes(archive: zipfile.ZipFile, folder: str) -> dict[str, str]:
    record = archive.getinfo(f"{folder}/RECORD")
    members = {inside(one.filename): one for one in archive.infolist() if not one.is_dir()}
    hashes: dict[str, str] = {}
    with archive.open(record) as unpacked:
        try:
            for path, digest, size in csv.reader(_lines(unpacked)):
                if path.endswith("/"):
                    continue  # Some tools list folders, too.
                member = members.get(path) or members.get(inside(path))
                if member is None:
                    raise DistributionError(f"lacks {quoted(path)}, which its RECORD names")
                if member is record:
                    digest = size = ""
                if not digest.isascii():
                    raise ValueError
                if (size and int(size) != member.file_size) or (
                    hashes.setdefault(member.filename, digest) != digest
                ):
                    raise DistributionError(_another(path))
        except (ValueError, csv.Error):
            raise DistributionError(
                "has a RECORD that cannot be read: each line has a path, a hash and a size"
            ) from None
    unrecorded = {f"{folder}/{name}" for name in ("RECORD", *_SIGNATURES)}
    for path, member in members.items():
        if member.filename not in hashes and path not in unrecorded:
            raise DistributionError(f"has {quoted(path)}, which its RECORD does not name")
    return hashes


def _lines(record: IO[bytes]) -> Iterator[str]:
    """Yield the lines of RECORD; csv would keep a line of any length in memory."""
    text = io.TextIOWrapper(record, "utf-8", newline="")
    for number in count():
        line = text.readline(RECORD_LINE + 1)
        if not line:
            return
        if len(line) > RECORD_LINE:
            raise DistributionError(
                f"has a RECORD with a line of more than {RECORD_LINE:,} letters"
            )
        if number >= MEMBERS:
            raise DistributionError(f"has a RECORD of more than {MEMBERS:,} lines")
        yield line


class Digest:
    """The hash of one member that RECORD gives, to be compared with its content."""

    def __init__(self, name: str, recorded: str) -> None:
        """Begin with a member of that name.

        Args:
            recorded: its hash as RECORD writes it; empty if RECORD gives none.

        Raises:
            DistributionError: if the kind of hash is unknown.
        """
        self._name = name
        algorithm, _, self._expected = recorded.partition("=")
        if recorded and algorithm not in _ALGORITHMS:
            raise DistributionError(f"has a RECORD with an unknown kind of hash of {quoted(name)}")
        self._hash = hashlib.new(algorithm) if recorded else None

    def update(self, chunk: bytes) -> None:
        """Add the next bytes of the member."""
        if self._hash:
            self._hash.update(chunk)

    def check(self) -> None:
        """Compare the hashes, at the end of the member.

        Raises:
            DistributionError: if they differ.
        """
        if self._hash:
            digest = base64.urlsafe_b64encode(self._hash.digest()).decode()
            if digest.rstrip("=") != self._expected.rstrip("="):
                raise DistributionError(_another(self._name))


def _another(name: str) -> str:
    return f"has another {quoted(name)} than its RECORD says: build it again"
