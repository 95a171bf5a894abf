"""A look at the data folder that opens no file: what lies there, and whether that changed."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from packaging.utils import canonicalize_name

from .distribution import is_normalised
from .journal import is_utf8

# What lies beside a distribution and belongs to it.
_COMPANIONS = (".asc", ".metadata")
# Folders in which distributions were installed or unpacked, or that are named like a file of one.
_UNPACKED = re.compile(
    r"\.(egg|egg-info|dist-info|whl|zip|exe|msi|rpm|deb|t(ar\.)?(gz|bz2|xz|z|zst)|tar)\Z"
    r"|-v?[0-9]+(\.[0-9]+)+[^-]*\Z",
    re.IGNORECASE,
)
_UNPACKED_HOLDS = {"PKG-INFO", "EGG-INFO"}
# Where fsck puts what has lost its name, for root alone.
_LOST = "lost+found/"
# The whole numbers that SQLite can hold.
_LEAST, _MOST = -(2**63), 2**63 - 1

# Where a project's name may end in a file name. Hyphens and dots stand in versions and names alike.
_ENDS = re.compile(
    r"-|[._](?=v?[0-9])|\.(?=[^-]*\Z)|\.(?=win(32|-amd64)-py)|[^A-Za-z0-9._-]|\Z",
    re.IGNORECASE,
)


class Seen(NamedTuple):
    """What a look at a file in the data folder, without opening it, tells of it."""

    size: int
    modified: int
    signed: bool

    @classmethod
    def of(cls, stat: os.stat_result, *, signed: bool) -> Seen:
        """Return what a file's status says; a time that no file can have is the nearest it can."""
        return cls(stat.st_size, min(max(stat.st_mtime_ns, _LEAST), _MOST), signed)


@dataclass
class Look:
    """What lies in the data folder, without what begins with a dot.

    Attributes:
        files: what may be a distribution, by location.
        others: the locations of what cannot be one, such as a signature of nothing, a pipe, an
            unpacked distribution or a file whose name is no UTF-8.
        folders: the time of the last change (st_mtime_ns) of every folder, which is earlier than
            the look at it.
        closed: a sentence for each folder or link that could not be looked into.
    """

    files: dict[str, Seen] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    folders: dict[Path, int] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)


def scan(data: Path) -> Look:
    """Look at the data folder without opening a file. Links to folders are followed.

    Raises:
        OSError: if the data folder itself cannot be looked into.
    """
    look = Look()
    known: set[tuple[int, int]] = set()
    # Links last: a folder that can be reached without one is where it is.
    folders, links = [""], list[str]()
    while folders or links:
        prefix = folders.pop() if folders else links.pop(0)
        folder = data / prefix
        try:
            stat = folder.stat()
            if prefix and _UNPACKED.search(prefix[:-1]):
                look.others.append(prefix)
            if (stat.st_dev, stat.st_ino) in known:
                continue
            known.add((stat.st_dev, stat.st_ino))
            look.folders[folder] = stat.st_mtime_ns
            with os.scandir(folder) as entries:
                found = [entry for entry in entries if not entry.name.startswith(".")]
        except NotADirectoryError:
            look.others.append(prefix)
            continue
        except OSError as error:
            if not prefix:
                raise
            # What was deleted meanwhile is no matter. A link that leads nowhere is one: it may
            # lead to a folder again.
            if prefix != _LOST and os.path.lexists(folder):
                look.closed.append(_closed(prefix, error))
            continue
        names = {entry.name for entry in found}
        if prefix and look.others[-1:] != [prefix] and names & _UNPACKED_HOLDS:
            look.others.append(prefix)
        for entry in found:
            location = f"{prefix}{entry.name}"
            try:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{location}/")
                elif entry.is_symlink() and not os.path.isfile(entry.path):  # noqa: PTH113
                    links.append(f"{location}/")
                elif entry.name.endswith(_COMPANIONS):
                    if entry.name.rpartition(".")[0] not in names:
                        look.others.append(location)
                elif entry.is_file() and is_utf8(location):
                    look.files[location] = Seen.of(
                        entry.stat(), signed=f"{entry.name}.asc" in names
                    )
                else:
                    look.others.append(location)
            except FileNotFoundError:
                continue
            except OSError as error:
                # Most often it is all of a folder, of which one sentence is enough.
                sentence = _closed(prefix or location, error)
                if look.closed[-1:] != [sentence]:
                    look.closed.append(sentence)
    return look


def projects(location: str) -> Iterator[str]:
    """Yield the normalised name of every project that a file name could stand for.

    The name may end before any hyphen, before a dot or underscore that a digit follows, before a
    dot behind the last hyphen, or before what no name has: mylib-1.0-py3.8.egg could be of mylib,
    of mylib-1-0 and of some more.
    """
    file = location.rstrip("/").rpartition("/")[2]
    for end in _ENDS.finditer(file):
        name = canonicalize_name(file[: end.start()])
        if is_normalised(name):
            yield name


def unchanged(folders: dict[Path, int]) -> bool:
    """Return whether nothing was added to, renamed in or deleted from folders since a scan."""
    try:
        return all(folder.stat().st_mtime_ns == modified for folder, modified in folders.items())
    except OSError:
        return False


def shown(location: str) -> str:
    """Return a location as a sentence may show it: whatever a file is called, in ASCII."""
    return os.fsencode(location).decode("ascii", "backslashreplace").rstrip("/")


def _closed(location: str, error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ELOOP):
        remedy = "delete the link, or have it lead to what the containers see, too"
    else:
        remedy = "let the owner of pypi_data read and enter it, or take it out of pypi_data"
    return f"pypi_data/{shown(location)} cannot be looked into ({error.strerror}): {remedy}"
