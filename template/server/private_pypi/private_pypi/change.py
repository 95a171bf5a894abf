"""A change of the index: made by one process at a time, whole or not at all."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from . import database, journal, pages
from .catalogue import Catalogue
from .distribution import Distribution
from .journal import Journal, Record
from .scan import Seen

log = logging.getLogger(__name__)

UNFINISHED = ".new"
"""What is being written, in the folder of the index; whoever writes it has the lock."""


class NoSuchReleaseError(Exception):
    """There is no such project or version; the message names both."""


@contextmanager
def changing(data: Path, folder: Path, *, check: bool = False) -> Iterator[Change]:
    """Wait for the lock, bring the catalogue up to the journal, and let a change be made.

    What is not finished, because of an error or because the process died, leaves the catalogue as
    it was. Pages may already be newer: they are written again from what the journal says.

    Args:
        check: read the catalogue through first.
    """
    with journal.locked(data) as lines:
        known = _open(folder, check=check)
        try:
            known.begin()
            change = Change(data, folder, lines, known)
            if change.delete_removed():
                # Of its own: what is published next may be the same file.
                _finish(change, known)
                known.begin()
                change = Change(data, folder, lines, known)
            yield change
            _finish(change, known)
        finally:
            known.close()


def _finish(change: Change, known: Catalogue) -> None:
    change.write_pages()
    change.delete_obsolete()
    # Last: what is not finished before it is done again by the next look.
    known.commit()


def _open(folder: Path, *, check: bool) -> Catalogue:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        known = Catalogue(folder, check=check)
    except sqlite3.DatabaseError as error:
        if not database.is_damage(error):
            raise
        log.warning("pypi_index is damaged (%s): it is made again", error)
        database.delete(folder)
        known = Catalogue(folder)
    return known


class Change:
    """One change.

    Attributes:
        catalogue: to look things up, and to set what pages do not show.
        touched: the projects whose pages must be written.
        noted: whether the journal says that something happened.
        taken_in: state of the journal when the change was made.
    """

    def __init__(self, data: Path, folder: Path, lines: Journal, known: Catalogue) -> None:
        self._data = data
        self._folder = folder
        self._lines = lines
        self._unfinished = folder / UNFINISHED
        self._found: list[Record] = []
        self._obsolete: list[Path] = []
        self._doomed: list[Path] = []
        self.catalogue = known
        self.touched = known.history.replay(lines)
        self.noted = False
        self.taken_in: tuple[int, int] | None = None

    def release(self, project: str, version: str) -> list[pages.Listed]:
        """Return the distributions of one version.

        Raises:
            NoSuchReleaseError: if there is none.
        """
        try:
            wanted = Version(version)
            found = [
                one
                for one in self.catalogue.listed(canonicalize_name(project))
                if Version(one.version) == wanted
            ]
        except ValueError:
            found = []
        if not found:
            raise NoSuchReleaseError(f"this index has no version {version} of {project}")
        return found

    def note(self, action: str, files: list[str], **details: Any) -> None:
        """Write what happens to files to the journal, and to the disk, before it happens."""
        now = journal.timestamp(time.time())
        self._append([Record(now, action, file, **details) for file in files])

    def put(self, location: str, seen: Seen, new: Distribution) -> None:
        """Serve a distribution that lies in the data folder."""
        other = self.catalogue.location(new.file)
        if other not in (None, location):
            self.refuse(location, seen, f"{location} has the same file name as {other}")
            return
        if self._gives_way(location, seen):
            return
        noted = self.catalogue.sha256(new.file)
        if noted != new.sha256:
            if noted:
                log.warning("%s was replaced: it has other bytes than before", location)
            now = time.time()
            others = self.catalogue.other_names(new.file)
            found = Record(
                time=journal.timestamp(now),
                action="find",
                file=new.file,
                size=new.size,
                sha256=new.sha256,
                uploaded=journal.timestamp(min(now, seen.modified / 10**9)),
                instead_of=others[0] if others else None,
            )
            self._found.append(found)
        self.catalogue.put(location, seen, new)
        self.touched.add(new.project)
        place = link(self._folder, location)
        place.parent.mkdir(parents=True, exist_ok=True)
        self._lead(place, self._data / location)
        if seen.signed:
            self._lead(signature(place), signature(self._data / location))
        else:
            self._obsolete.append(signature(place))
        if new.metadata is None:
            self._obsolete.append(metadata(place))
        else:
            pages.write_atomically(metadata(place), new.metadata, self._unfinished)

    def _gives_way(self, location: str, seen: Seen) -> bool:
        """Of the files whose names say the same, let only the one be served that came first."""
        file = location.rpartition("/")[2]
        rank = self.catalogue.rank(file)
        for rival in self.catalogue.rivals(file):
            if max(rank, rival.rank).beside:
                continue
            if rank >= rival.rank:
                self.refuse(location, seen, _second(location, rival.location))
                return True
            self.refuse(rival.location, rival.seen, _second(rival.location, location))
        return False

    def sign(self, location: str) -> None:
        """Serve the signature that lies beside a distribution, too."""
        self.touched |= self.catalogue.set_signed(location)
        self._lead(signature(link(self._folder, location)), signature(self._data / location))

    def refuse(self, location: str, seen: Seen, problem: str) -> None:
        """Do not serve a file of the data folder, and log once why."""
        if self.catalogue.problem(location) != problem:
            log.error("not served: %s", problem)
        self.drop(location)
        self.catalogue.refuse(location, seen, problem)

    def drop(self, location: str) -> None:
        """Serve a file no more; it may be gone."""
        self.touched |= self.catalogue.drop(location)
        place = link(self._folder, location)
        self._obsolete += [place, metadata(place), signature(place)]

    def delete(self, location: str) -> None:
        """Serve a distribution no more and delete it from the data folder."""
        self.drop(location)
        self._doomed += [self._data / location, signature(self._data / location)]

    def delete_removed(self) -> bool:
        """Delete what somebody removed who was killed before it was deleted; return if any was.

        What was put there by hand after the removal stays.
        """
        for location, seen, time_removed in self.catalogue.history.removed:
            try:
                stat = (self._data / location).stat()
            except OSError:
                continue
            same = Seen.of(stat, signed=seen.signed) == seen
            if not same or journal.timestamp(stat.st_ctime) > time_removed:
                continue
            try:
                self.require_deletable([location])
            except PermissionError:
                problem = f"{location} was removed and cannot be deleted: delete it by hand"
                self.refuse(location, seen, problem)
                continue
            log.warning("%s was removed, and is deleted now", location)
            self.delete(location)
        return bool(self._doomed)

    def require_deletable(self, locations: list[str]) -> None:
        """Refuse to delete files of a folder that may not be written.

        Raises:
            PermissionError: with that folder.
        """
        for location in locations:
            folder = (self._data / location).parent
            if not os.access(folder, os.W_OK):
                sentence = "nothing can be deleted there: give the folder to the owner of pypi_data"
                raise PermissionError(errno.EACCES, sentence, str(folder))

    def examine_journal(self) -> str | None:
        """Read the whole journal; return what is wrong with it in a sentence without an end."""
        self.touched |= self.catalogue.history.replay(self._lines, whole=True)
        return self.catalogue.history.journal_problem

    def damage(self) -> tuple[list[int], list[Record]]:
        """Return which lines of the journal do not follow the others, and what it has lost."""
        return self._lines.breaks(), self.catalogue.history.lost(self._lines)

    def repair_journal(self, *, by: str) -> Path:
        """Write the journal anew, with all lines that are known; return where the old one is kept.

        Lost lines stand where they stood, with a mark that they were restored.
        """
        history = self.catalogue.history
        lost = history.lost(self._lines)
        records = history.repaired(self._lines)
        reason = f"{len(lost)} lost lines restored from pypi_index"
        now = journal.timestamp(time.time())
        records.append(Record(now, "repair", journal.FILE, reason=reason, by=by))
        kept = self._lines.replace(self._data, records)
        history.begin_journal()
        self.touched |= history.replay(self._lines)
        return kept

    def write_pages(self) -> None:
        """Make the pages of all touched projects, and the list of all, what they have to be."""
        if self._found:
            self._append(self._found)
        list_changed = "" in self.touched or not self.catalogue.has_list()
        for project in self.touched - {""}:
            listed = self.catalogue.listed(project)
            folder = self._folder / "simple" / project
            if listed:
                fingerprint = pages.write(
                    folder, pages.project_page(project, listed), self._unfinished
                )
            else:
                shutil.rmtree(folder, ignore_errors=True)
                fingerprint = None
            list_changed |= self.catalogue.set_page(project, fingerprint)
        if list_changed:
            projects = pages.project_list(self.catalogue.projects())
            fingerprint = pages.write(self._folder / "simple", projects, self._unfinished)
            self.catalogue.set_page("", fingerprint)
        self.taken_in = self._lines.state

    def delete_obsolete(self) -> None:
        """Delete what no page names any more."""
        for path in self._obsolete + self._doomed:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in self._doomed}:
            sync(folder)

    def _lead(self, place: Path, target: Path) -> None:
        if not leads_to(place, target):
            self._unfinished.unlink(missing_ok=True)
            self._unfinished.symlink_to(_relative(place, target))
            self._unfinished.replace(place)

    def _append(self, records: list[Record]) -> None:
        self._lines.append(records)
        self.noted = True
        self.touched |= self.catalogue.history.replay(self._lines)


def _second(location: str, first: str) -> str:
    what = (
        "wheel of the release, build and tags" if first.endswith(".whl") else "sdist of the release"
    )
    return f"{location} is a second {what} of {first}, which came first: delete one of them"


def link(folder: Path, location: str) -> Path:
    """Return where in the index a distribution is served."""
    return folder / "packages" / location


def metadata(place: Path) -> Path:
    """Return where the metadata of a served distribution is (PEP 658)."""
    return place.with_name(f"{place.name}.metadata")


def signature(path: Path) -> Path:
    """Return where the detached signature of a distribution is, in the data or in the index."""
    return path.with_name(f"{path.name}.asc")


def leads_to(place: Path, target: Path) -> bool:
    """Return whether a link is there and the one that serves this file."""
    try:
        return str(place.readlink()) == _relative(place, target)
    except OSError:
        return False


def sync(path: Path) -> None:
    """Force a file, or the names that were given or taken in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _relative(place: Path, target: Path) -> str:
    # The same in every container and outside: the two folders lie side by side.
    return f"{_way(place.parent, target.parent)}/{target.name}"


@lru_cache(maxsize=256)
def _way(start: Path, folder: Path) -> str:
    return os.path.relpath(folder, start)
