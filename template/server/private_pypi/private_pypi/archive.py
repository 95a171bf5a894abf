"""Checks that every installer unpacks the same files from an archive, inside its own folder.

pip and Poetry use the list of members at the end of a ZIP file, uv reads the file from its start.
So the list and the members must agree, with nothing before, between or behind them.
"""

from __future__ import annotations

import io
import re
import struct
import tarfile
import unicodedata
import zipfile
from itertools import pairwise
from typing import IO

from .terminal import quoted

MEMBERS = 100_000
"""Members that an archive may have; the largest known on PyPI has 58,474 (ansible)."""

DIRECTORY = 8 * 2**20
"""Bytes that the list of members at the end of a ZIP file may have."""

MEMBER_NAME = 1000
"""Bytes that the path of a member may have."""

_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# As APPNOTE.TXT of PKWARE names them: 4.3.7, 4.3.12, 4.3.14, 4.3.15, 4.3.16.
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_DIRECTORY_ENTRY = struct.Struct("<4s24x3H12x")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_END = struct.Struct("<4s4H2LH")
_SHORT, _LONG = 0xFFFF, 0xFFFFFFFF
_HAS_DESCRIPTOR = 8

# The bits of a Unix mode that tell a folder from a file; 0 in ZIP files made on Windows.
_KIND, _FOLDER, _FILE = 0o170000, 0o040000, 0o100000

# Matches any path that is not simply the names of folders and a file with slashes between them.
_UNUSUAL = re.compile(r"^$|[\\:]|(^|/)\.{0,2}(/|$)")

_UNPRINTABLE = ("Cc", "Cf", "Co")

TOO_MANY_MEMBERS = f"has more than {MEMBERS:,} members"
_TOO_LONG_A_NAME = f"has a member whose name has more than {MEMBER_NAME:,} bytes"
_AMBIGUOUS = "is a ZIP file that installers read in different ways: build it again"


class DistributionError(Exception):
    """The index cannot serve a file as a distribution; the message is a sentence that says why."""


def check_list(content: IO[bytes]) -> None:
    """Check the list of members of a ZIP file, before zipfile makes an object for each of them.

    Raises:
        DistributionError: if the list is too long, or has not as many members as it says.
        zipfile.BadZipFile: if there is no list.
    """
    _, length, number, end, _ = _directory(content)
    if number > MEMBERS:
        raise DistributionError(TOO_MANY_MEMBERS)
    if length > DIRECTORY:
        raise DistributionError(f"has a list of its members of more than {DIRECTORY // 2**20} MB")
    if length > end:
        raise zipfile.BadZipFile
    # As zipfile does; _check_layout() compares this with where the list says that it begins.
    content.seek(end - length)
    listed = content.read(length)
    place = found = 0
    while place + _DIRECTORY_ENTRY.size <= length:
        signature, name, more, comment = _DIRECTORY_ENTRY.unpack_from(listed, place)
        if signature != b"PK\1\2":
            break
        if name > MEMBER_NAME:
            raise DistributionError(_TOO_LONG_A_NAME)
        place += _DIRECTORY_ENTRY.size + name + more + comment
        found += 1
    if (place, found) != (length, number):
        raise DistributionError(_AMBIGUOUS)


def check_zip(archive: zipfile.ZipFile, content: IO[bytes]) -> None:
    """Check that all installers read a ZIP file in the same way and unpack the same files.

    Args:
        content: the file of the archive.

    Raises:
        DistributionError: if they do not, or refuse it.
    """
    members = archive.infolist()
    if any(member.compress_type not in _COMPRESSIONS for member in members):
        raise DistributionError("is compressed by another method than deflate")
    _check_layout(archive, content)
    paths = []
    for member in members:
        name = member.orig_filename
        if name != member.filename or not _is_printable(name):
            raise DistributionError(
                f"has a member whose name has control characters: {quoted(name)}"
            )
        if "\\" in name:
            raise DistributionError(f"has a member with a backslash in its name: {quoted(name)}")
        path = inside(name).replace("/", "\0")
        if not path and not member.is_dir():
            raise DistributionError("has a member without a name")
        if (member.external_attr >> 16) & _KIND not in (0, _FOLDER, _FILE):
            raise DistributionError(f"has a member that is no file or folder: {quoted(name)}")
        if member.is_dir() and member.file_size:
            raise DistributionError(f"has a folder that is a file, too: {quoted(name)}")
        # NUL sorts first, so that a path stands next to the paths below it.
        paths.append(f"{path}\0" if member.is_dir() else path)
    for path, following in pairwise(sorted(paths)):
        is_folder = path.endswith("\0")
        if following.startswith(f"{path}\0") or (path == following and not is_folder):
            name = path.replace("\0", "/")
            raise DistributionError(f"has more than one member {quoted(name)}")


def check_tar_member(member: tarfile.TarInfo) -> None:
    """Check that a member of a tar file, and the target of a link, are inside its folder.

    Raises:
        DistributionError: if not, or if it is a device or the like, which installers refuse.
    """
    for name in (member.name, member.linkname):
        if len(name.encode(errors="surrogateescape")) > MEMBER_NAME:
            raise DistributionError(_TOO_LONG_A_NAME)
    path = inside(member.name)
    if not path and not member.isdir():
        raise DistributionError("has a member without a name")
    if member.issym():
        # Installers drop the top folder, so that anything beside it is outside.
        above = path.split("/")[:-1]
        floor = min(len(above), 1)
        _check_link(member, above, floor)
    elif member.islnk():
        _check_link(member, [], 0)
    elif not member.isreg() and not member.isdir():
        raise DistributionError(f"has a member that is no file or folder: {quoted(member.name)}")


def _check_link(member: tarfile.TarInfo, folder: list[str], floor: int) -> None:
    target = member.linkname.replace("\\", "/")
    depth = len(folder)
    for part in target.split("/"):
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < floor or _is_absolute(target):
            raise DistributionError(f"has a link that leaves its folder: {quoted(member.name)}")


def inside(name: str) -> str:
    """Return the path at which installers write a member, below the folder they unpack to.

    It is empty for that folder itself.

    Raises:
        DistributionError: if the path leads out of that folder, on any system.
    """
    if not _UNUSUAL.search(name):
        return name
    path = name.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    plain = "/".join(parts)
    if ".." in parts or _is_absolute(path) or _is_absolute(plain):
        raise DistributionError(f"has a member that leaves its folder: {quoted(name)}")
    return plain


def _is_printable(name: str) -> bool:
    return (name.isascii() and name.isprintable()) or not any(
        unicodedata.category(letter) in _UNPRINTABLE for letter in name
    )


def _is_absolute(path: str) -> bool:
    return path.startswith("/") or bool(re.match("[A-Za-z]:", path))


def _check_layout(archive: zipfile.ZipFile, content: IO[bytes]) -> None:
    place = 0
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    if members and members[0].header_offset:
        raise DistributionError("has bytes before the archive: build it again")
    for member in members:
        if member.header_offset != place:
            raise DistributionError(_AMBIGUOUS)
        place = _end_of(member, content)
    start, length, number, end, comment = _directory(content)
    listed = start, start + length, number, comment
    if listed != (place, end, len(members), archive.comment):
        raise DistributionError(_AMBIGUOUS)


def _end_of(member: zipfile.ZipInfo, content: IO[bytes]) -> int:
    """Return where a member ends, after a check that its own header agrees with the list."""
    content.seek(member.header_offset)
    header = _LOCAL_HEADER.unpack(content.read(_LOCAL_HEADER.size))
    signature, _, flags, method, _, _, crc, packed, size, name, more = header
    extra = content.read(name + more)[name:]
    packed, size = _sizes_64(packed, size, extra)
    truth = member.CRC, member.compress_size, member.file_size
    # An archive that was written to a pipe has these numbers behind each member.
    is_behind = bool(flags & _HAS_DESCRIPTOR)
    differs = any(
        noted != true and (noted or not is_behind)
        for noted, true in zip((crc, packed, size), truth, strict=True)
    )
    is_stored = member.compress_type == zipfile.ZIP_STORED
    if (
        signature != b"PK\3\4"
        or method != member.compress_type
        or differs
        or (is_stored and member.compress_size != member.file_size)
    ):
        raise DistributionError(_AMBIGUOUS)
    end: int = member.header_offset + _LOCAL_HEADER.size + name + more + member.compress_size
    if is_behind:
        content.seek(end)
        descriptor = content.read(24)
        forms = ["<4sLQQ"] + ["<4sLLL"] * (max(truth) <= _LONG)
        lengths = [
            struct.calcsize(form)
            for form in forms
            if descriptor.startswith(struct.pack(form, b"PK\7\x08", *truth))
        ]
        if not lengths:
            raise DistributionError(_AMBIGUOUS)
        end += lengths[0]
    return end


def _sizes_64(packed: int, size: int, extra: bytes) -> tuple[int, int]:
    """Return the sizes of a member; ZIP64 keeps large ones in the extra field."""
    place = 0
    while _LONG in (packed, size) and place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        if kind == 1:
            numbers = iter(struct.unpack_from(f"<{length // 8}Q", extra, place + 4))
            size = next(numbers, size) if size == _LONG else size
            packed = next(numbers, packed) if packed == _LONG else packed
            break
        place += 4 + length
    return packed, size


def _directory(content: IO[bytes]) -> tuple[int, int, int, int, bytes]:
    """Read the end of a ZIP file.

    Returns:
        Start, length and number of entries of the list of members, where the list must end, and
        the comment of the archive.
    """
    tail_at = max(content.seek(0, io.SEEK_END) - _END.size - _SHORT, 0)
    content.seek(tail_at)
    tail = content.read()
    # zipfile searches for it in the same way.
    place = max(len(tail) - _END.size, 0)
    if tail[place : place + 4] != b"PK\5\6" or tail[-2:] != b"\0\0":
        place = tail.rfind(b"PK\5\6")
    if place < 0 or place + _END.size > len(tail):
        raise zipfile.BadZipFile
    _, *numbers, length = _END.unpack_from(tail, place)
    comment = tail[place + _END.size :]
    end = tail_at + place
    if len(comment) != length:
        raise DistributionError("has bytes behind the archive: build it again")
    # uv refuses such a comment, which could hide another archive.
    if re.search(b"[\1-\x08]", comment):
        raise DistributionError("has a comment with control characters: build it again")
    at_64 = end - _LOCATOR_64.size
    content.seek(max(at_64, 0))
    locator = content.read(_LOCATOR_64.size)
    if locator.startswith(b"PK\6\7"):
        end = at_64 - _END_64.size
        content.seek(max(end, 0))
        signature, size, _, _, *numbers_64 = _END_64.unpack(content.read(_END_64.size))
        limits = (_SHORT, _SHORT, _SHORT, _SHORT, _LONG, _LONG)
        agrees = all(
            old in (new, limit) for old, new, limit in zip(numbers, numbers_64, limits, strict=True)
        )
        where = _LOCATOR_64.unpack(locator)[2]
        if (signature, size, where) != (b"PK\6\6", _END_64.size - 12, end) or not agrees:
            raise DistributionError(_AMBIGUOUS)
        numbers = numbers_64
    disk, first_disk, here, number, length, start = numbers
    if disk or first_disk or here != number:
        raise DistributionError(_AMBIGUOUS)
    return int(start), int(length), int(number), end, comment
