"""A scan of the data folder, which opens no file, and the watch for changes there."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from packaging.utils import canonicalize_name

from .distribution import is_normalised
from .journal import is_utf8
from .layout import file_of
from .terminal import spelled

log = logging.getLogger(__name__)

# Files that lie beside a distribution and belong to it.
_COMPANIONS = (".asc", ".metadata", ".provenance")
# Folders in which distributions were installed or unpacked, or that are named like a file of one.
_UNPACKED = re.compile(
    r"\.(egg|egg-info|dist-info|whl|zip|exe|msi|rpm|deb|t(ar\.)?(gz|bz2|xz|z|zst)|tar)\Z"
    r"|-v?[0-9]+(\.[0-9]+)+[^-]*\Z",
    re.IGNORECASE,
)
_UNPACKED_HOLDS = {"PKG-INFO", "EGG-INFO"}
# Where fsck puts files that have lost their name, for root alone.
_LOST = "lost+found/"
# The whole numbers that SQLite can hold.
_LEAST, _MOST = -(2**63), 2**63 - 1

# Where a project's name may end in a file name. Hyphens and dots stand in versions and names alike.
_ENDS = re.compile(
    r"-|[._](?=v?[0-9])|\.(?=[^-]*\Z)|\.(?=win(32|-amd64)-py)|[^A-Za-z0-9._-]|\Z",
    re.IGNORECASE,
)

# Seconds until the next scan: a file overwritten in place does not change the time of its folder.
_SCAN_AT_LEAST_EVERY = 30


class Seen(NamedTuple):
    """What the status of a file in the data folder tells of it.

    Attributes:
        attested: when the attestations beside it were modified, 0 if there are none: others that
            are put in their place are noticed, too.
    """

    size: int
    modified: int
    signed: bool
    attested: int

    @classmethod
    def of(cls, stat: os.stat_result, *, signed: bool, attested: int) -> Seen:
        """Return what a file's status says; a time that no file can have is the nearest it can."""
        return cls(stat.st_size, _within(stat.st_mtime_ns), signed, attested)


def attested(path: str | Path) -> int:
    """Return when the attestations of a distribution were modified, 0 if there are none.

    Args:
        path: of the attestations.
    """
    try:
        stat = os.stat(path)  # noqa: PTH116
    except OSError:
        return 0
    return _within(stat.st_mtime_ns) or 1 if S_ISREG(stat.st_mode) else 0


def _within(when: int) -> int:
    return min(max(when, _LEAST), _MOST)


@dataclass
class Scan:
    """What lies in the data folder, except for names that begin with a dot.

    Attributes:
        files: every file that may be a distribution, by location.
        others: the locations of everything else, such as a signature without a distribution, a
            pipe, an unpacked distribution or a file whose name is not UTF-8.
        folders: when each folder last changed (st_mtime_ns), as it was before it was listed.
        unreadable: a sentence for each folder or link that could not be looked into.
    """

    files: dict[str, Seen] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    folders: dict[Path, int] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


def scan(data: Path) -> Scan:
    """List the data folder and its subfolders. Links to folders are followed.

    Raises:
        OSError: if the data folder itself cannot be looked into.
    """
    found = Scan()
    visited: set[tuple[int, int]] = set()
    # Links last: a folder that can be reached without one is where it is.
    folders, links = [""], list[str]()
    while folders or links:
        prefix = folders.pop() if folders else links.pop(0)
        folder = data / prefix
        try:
            stat = folder.stat()
            if prefix and _UNPACKED.search(prefix[:-1]):
                found.others.append(prefix)
            if (stat.st_dev, stat.st_ino) in visited:
                continue
            visited.add((stat.st_dev, stat.st_ino))
            found.folders[folder] = stat.st_mtime_ns
            with os.scandir(folder) as listed:
                entries = [entry for entry in listed if not entry.name.startswith(".")]
        except NotADirectoryError:
            found.others.append(prefix)
            continue
        except OSError as error:
            if not prefix:
                raise
            # A folder that was deleted meanwhile does not matter. A link that leads nowhere does:
            # it may lead to a folder again.
            if prefix == _LOST:
                del found.folders[folder]
            elif os.path.lexists(folder):
                found.unreadable.append(_unreadable(prefix, error))
            continue
        names = {entry.name for entry in entries}
        if prefix and found.others[-1:] != [prefix] and names & _UNPACKED_HOLDS:
            found.others.append(prefix)
        for entry in entries:
            location = f"{prefix}{entry.name}"
            try:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{location}/")
                elif entry.is_symlink() and not os.path.isfile(entry.path):  # noqa: PTH113
                    links.append(f"{location}/")
                elif entry.name.endswith(_COMPANIONS):
                    if entry.name.rpartition(".")[0] not in names:
                        found.others.append(location)
                elif entry.is_file() and is_utf8(location):
                    beside = f"{entry.name}.provenance"
                    found.files[location] = Seen.of(
                        entry.stat(),
                        signed=f"{entry.name}.asc" in names,
                        attested=attested(folder / beside) if beside in names else 0,
                    )
                else:
                    found.others.append(location)
            except FileNotFoundError:
                continue
            except OSError as error:
                # Most often no file of the folder can be reached: then one sentence is enough.
                sentence = _unreadable(prefix or location, error)
                if found.unreadable[-1:] != [sentence]:
                    found.unreadable.append(sentence)
    return found


def possible_projects(location: str) -> Iterator[str]:
    """Yield the normalised name of every project that a file could be of, by its name.

    The project's name may end before any hyphen, before a dot or underscore that a digit follows,
    before a dot behind the last hyphen, or before a character that no name has: mylib-1.0-py3.8.egg
    could be of mylib, of mylib-1-0 and of some more.
    """
    file = file_of(location.rstrip("/"))
    for end in _ENDS.finditer(file):
        name = canonicalize_name(file[: end.start()])
        if is_normalised(name):
            yield name


def may_hold(data: Path, project: str) -> bool:
    """Scan the data folder; return whether a file could be of a project, or cannot be seen."""
    try:
        found = scan(data)
    except OSError:
        return True
    if found.unreadable:
        return True
    # Names are only parsed if they begin like the project's: there may be very many.
    begins = re.compile(project.replace("-", "[-_.]+"), re.IGNORECASE).match
    return any(
        begins(file_of(location.rstrip("/"))) and project in possible_projects(location)
        for location in (*found.files, *found.others)
    )


class Watch:
    """What the last scans of one data folder found, and whether it has to be scanned again.

    Other threads read it while the files that a scan found are being indexed.

    Attributes:
        unread: the projects that files could be of which are not indexed yet.
        unserved: the projects that files could be of which are not served.
        unreadable: a sentence for each folder or link that the last scan could not look into.
        scan_seconds: how long the last scan took.
    """

    def __init__(self, data: Path) -> None:
        self.unread: frozenset[str] = frozenset()
        self.unserved: frozenset[str] = frozenset()
        self.unreadable: list[str] = []
        self.scan_seconds = 0.0
        self._data = data
        self._postponed: frozenset[str] = frozenset()
        self._folders: dict[Path, int] = {}
        self._changed_by_us: dict[Path, int] = {}
        self._changed_just_now = False
        self._finished = 0.0
        self._stamp: int | None = None

    def scan(self) -> Scan:
        """Scan the data folder, after giving it a time of modification that nothing else gives it.

        Clocks tick slowly, and tools that copy put times back: only of such a time is it certain
        that it ends with the next change.

        Raises:
            OSError: if it cannot be looked into.
        """
        if self._data.stat().st_mtime_ns != self._stamp:
            self._stamp = _stamped(self._data)
        found = scan(self._data)
        # The clock of a file system may tick too slowly to tell two changes apart. Those that this
        # index made are known.
        by_others = found.folders.items() - self._changed_by_us.items()
        self._changed_just_now = any(_is_recent(when) for _, when in by_others)
        return found

    def begin_reading(self, found: Scan, todo: Iterable[str]) -> None:
        """Note the locations of a scan that are going to be read."""
        # Until all of it is read, also the files that were postponed.
        self.unread |= _possible_projects([*todo, *found.others])
        self._postponed = frozenset()
        known = set(self.unreadable)
        for sentence in found.unreadable:
            if sentence not in known:
                log.error("names that this index does not have are answered 503: %s", sentence)
        # Not before: the names in a folder that has become readable must not pass for unknown.
        self.unreadable = found.unreadable

    def postpone(self, location: str) -> None:
        """Leave a file that is being written for the next scan."""
        self._postponed |= {location}

    def note_unread(self, location: str) -> None:
        """Note that a file is there which is not indexed yet."""
        self.unread |= _possible_projects([location])

    def end_reading(self, found: Scan, refused: Iterable[str]) -> None:
        """Note that all of a scan is read, and the locations that are not served."""
        self.unserved = projects_not_served(found, refused)
        self.unread = _possible_projects(self._postponed)

    def trust_folders(self, found: Scan) -> None:
        """Take every file for indexed from now on, as long as no folder of the scan changes."""
        self._folders = found.folders
        self._finished = time.monotonic()

    @contextmanager
    def own_change(self, folder: Path) -> Iterator[None]:
        """Let a change that this index makes to a folder be no reason to scan it again."""
        was_unchanged = folder.stat().st_mtime_ns == self._folders.get(folder)
        yield
        if was_unchanged:
            self._folders[folder] = self._changed_by_us[folder] = folder.stat().st_mtime_ns

    def is_current(self) -> bool:
        """Return whether every file that lies there was found by the last scan, and read."""
        return not self._postponed and not self._changed_just_now and unchanged(self._folders)

    @property
    def stamp(self) -> int | None:
        """The time that the data folder was given and bears still, if all in it is known.

        None, too, as long as files lie in subfolders: the time of the data folder would not tell
        that one was added there.
        """
        is_all_known = self.is_current() and not self.unread and not self.unreadable
        is_stamped = self._folders == {self._data: self._stamp}
        return self._stamp if is_all_known and is_stamped else None

    def is_due(self) -> bool:
        """Return whether it is time for another scan."""
        return (
            bool(self.unreadable)
            or time.monotonic() - self._finished > _SCAN_AT_LEAST_EVERY
            or not self.is_current()
            or self._may_be_stamped()
        )

    def _may_be_stamped(self) -> bool:
        """Return whether a change of this index itself has ended the stamp a while ago.

        Not just now: another upload may follow, and end the next one.
        """
        modified = self._folders.get(self._data, 0)
        return self._stamp not in (None, modified) and not _is_recent(modified)


def _stamped(folder: Path) -> int | None:
    """Give a folder a time of its own; return it, or None where its owner alone can do that."""
    # Not just now: a change that follows bears another time, whatever the clock does.
    stamp = time.time_ns() - 60 * 10**9 - secrets.randbelow(10**9)
    try:
        os.utime(folder, ns=(stamp, stamp))
        return stamp if folder.stat().st_mtime_ns == stamp else None
    except PermissionError:
        return None


def projects_not_served(found: Scan, refused: Iterable[str]) -> frozenset[str]:
    """Return the projects that those files of a scan could be of which are not served.

    Args:
        refused: the locations of the distributions among them.
    """
    return _possible_projects([*refused, *found.others])


def unchanged(folders: dict[Path, int]) -> bool:
    """Return whether nothing was added to, renamed in or deleted from folders since a scan."""
    try:
        return all(folder.stat().st_mtime_ns == modified for folder, modified in folders.items())
    except OSError:
        return False


def _unreadable(location: str, error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ELOOP):
        remedy = "delete the link, or have it lead to what the containers see, too"
    else:
        remedy = "let the owner of pypi_data read and enter it, or take it out of pypi_data"
    return f"pypi_data/{spelled(location)} cannot be looked into ({error.strerror}): {remedy}"


def _possible_projects(locations: Iterable[str]) -> frozenset[str]:
    return frozenset(itertools.chain.from_iterable(map(possible_projects, locations)))


def _is_recent(when: int) -> bool:
    """Return whether a time is so near that a change after it may bear the same.

    A file server's clock may be ahead of ours. A folder dated far ahead is not changed then.
    """
    return -60 * 10**9 < time.time_ns() - when < 2 * 10**9


def is_there(path: Path) -> bool:
    """Return whether a file is there, which it is not in a folder that cannot be looked into."""
    try:
        path.stat()
    except OSError:
        return False
    return True
