"""A change of the index: made by one process at a time, whole or not at all."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version

from . import attestations, database, disk, journal, pages, scan, withheld
from .attestations import AttestationError
from .catalogue import Catalogue
from .distribution import Distribution
from .journal import Journal, Record
from .layout import (
    SIMPLE,
    UNFINISHED,
    file_of,
    is_link_to,
    link,
    link_target,
    metadata,
    pages_of,
    project_of,
    provenance,
    signature,
)
from .names import Names
from .scan import Seen

log = logging.getLogger(__name__)


class NoSuchReleaseError(Exception):
    """There is no such project or version; the message names both."""


@contextmanager
def changing(data: Path, folder: Path, *, check: bool = False) -> Iterator[Change]:
    """Wait for the lock, bring the catalogue up to the journal, and let a change be made.

    A change that is not finished, because of an error or because the process died, leaves the
    catalogue as it was. Pages may already be newer: they are written again from the journal.

    Args:
        check: read the catalogue through first.
    """
    with journal.locked(data) as opened, closing(_open(folder, check=check)) as catalogue:
        catalogue.begin()
        change = Change(data, folder, opened, catalogue)
        if change.delete_removed():
            # A change of its own: the next one may publish the same file.
            _finish(change)
            catalogue.begin()
            change = Change(data, folder, opened, catalogue)
        yield change
        _finish(change)


def _finish(change: Change) -> None:
    change.write_pages()
    change.finish_files()
    # Last: whatever is not finished before is done again by the next refresh.
    change.catalogue.commit()


def _open(folder: Path, *, check: bool) -> Catalogue:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return Catalogue(folder, check=check)
    except sqlite3.DatabaseError as error:
        if not database.is_damage(error):
            raise
        log.warning("pypi_index is damaged (%s): it is made again", error)
        database.delete(folder)
        return Catalogue(folder)


class Change:
    """One change.

    Attributes:
        catalogue: to be asked, and to set facts that no page shows.
        touched: the projects whose pages must be written; an empty name is the list of projects.
        noted: whether the journal says that something happened.
        journal_state: the state of the journal after the change.
    """

    def __init__(self, data: Path, folder: Path, opened: Journal, catalogue: Catalogue) -> None:
        self._data = data
        self._folder = folder
        self._journal = opened
        self._unfinished = folder / UNFINISHED
        self._names = Names(data, folder)
        self._found: list[Record] = []
        self._obsolete: list[Path] = []
        self._to_delete: list[Path] = []
        self._to_withhold: set[str] = set()
        self.catalogue = catalogue
        self.touched = catalogue.history.replay(opened)
        self.noted = False
        self.journal_state: tuple[int, int] | None = None

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

    def locations(self, project: str, version: str) -> list[str]:
        """Return where the files of a version lie, and others of the same names, served or not.

        Raises:
            NoSuchReleaseError: if there is none.
        """
        found: dict[str, None] = {}
        for one in self.release(project, version):
            found.update(dict.fromkeys(self.catalogue.locations(one.file)))
        return list(found)

    def note(self, action: str, files: list[str], **details: Any) -> None:
        """Write to the journal, and so to the disk, what is about to happen to files."""
        now = journal.timestamp(time.time())
        self.note_all([Record(now, action, file, **details) for file in files])

    def note_all(self, records: list[Record]) -> None:
        """Write lines to the journal, all or none, and act on them."""
        self._journal.append(records)
        self.noted = True
        self.touched |= self.catalogue.history.replay(self._journal)

    def put(self, location: str, seen: Seen, new: Distribution) -> None:
        """Serve a distribution that lies in the data folder."""
        other = self.catalogue.location(new.file)
        if other not in (None, location):
            self.refuse(location, seen, f"{location} has the same file name as {other}")
            return
        if self._is_second(location, seen):
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
        attested = self._attested(location, new) if seen.attested else None
        self.catalogue.put(location, seen, new, attested)
        self.touched.add(new.project)
        self._names.add(new.project)
        place = self._place(location)
        place.parent.mkdir(parents=True, exist_ok=True)
        self._relink(place, self._data / location)
        if seen.signed:
            self._relink(signature(place), signature(self._data / location))
        else:
            self._obsolete.append(signature(place))
        if attested:
            self._relink(provenance(place), provenance(self._data / location))
        else:
            self._obsolete.append(provenance(place))
        if new.metadata is None:
            self._obsolete.append(metadata(place))
        else:
            disk.write_unsynced(metadata(place), new.metadata, self._unfinished)

    def _is_second(self, location: str, seen: Seen) -> bool:
        """Refuse all files of one identity but the first; return whether this is another."""
        file = file_of(location)
        rank = self.catalogue.rank(file)
        for rival in self.catalogue.rivals(file):
            if max(rank, rival.rank).beside:
                continue
            if rank >= rival.rank:
                self.refuse(location, seen, _second_problem(location, rival.location))
                return True
            self.refuse(rival.location, rival.seen, _second_problem(rival.location, location))
        return False

    def sign(self, location: str) -> None:
        """Serve the signature that lies beside a distribution."""
        self.touched |= self.catalogue.set_signed(location)
        self._relink(signature(self._place(location)), signature(self._data / location))

    def attest(self, location: str, digest: str) -> None:
        """Serve the attestations that lie beside a distribution, with this sha256."""
        kept = provenance(self._data / location)
        self.touched |= self.catalogue.set_attested(location, scan.attested(kept), digest)
        self._relink(provenance(self._place(location)), kept)

    def _attested(self, location: str, new: Distribution) -> str | None:
        """Return the digest of the attestations beside a file, None if they cannot be served."""
        kept = provenance(self._data / location)
        try:
            return attestations.kept(kept, new.file, new.sha256)
        except AttestationError as error:
            log.error("not served: %s, as %s", provenance(Path(location)), error)
        except OSError as error:
            log.error("not served: %s cannot be read: %s", provenance(Path(location)), error)
        return None

    def refuse(self, location: str, seen: Seen, problem: str) -> None:
        """Do not serve a file of the data folder, and log once why."""
        if self.catalogue.problem(location) != problem:
            log.error("not served: %s", problem)
        self.drop(location)
        self.catalogue.refuse(location, seen, problem)

    def drop(self, location: str) -> None:
        """Stop serving a file, which may be gone."""
        self.touched |= self.catalogue.drop(location)
        for is_withheld in (False, True):
            place = link(self._folder, location, withheld=is_withheld)
            self._obsolete += [place, metadata(place), signature(place), provenance(place)]

    def delete(self, location: str) -> None:
        """Stop serving a distribution and delete it from the data folder."""
        self.drop(location)
        place = self._data / location
        self._to_delete += [place, signature(place), provenance(place)]

    def delete_removed(self) -> bool:
        """Delete files whose removal a killed process had only noted; return if there were any.

        A file that was put there by hand after the removal stays.
        """
        for location, seen, time_removed in self.catalogue.history.removed:
            try:
                stat = (self._data / location).stat()
            except OSError:
                continue
            same = Seen.of(stat, signed=seen.signed, attested=seen.attested) == seen
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
        return bool(self._to_delete)

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

    def set_url(self, url: str) -> None:
        """Say at which URL the index is served; pages that name another one are written anew."""
        if url != self.catalogue.url:
            self.catalogue.set_url(url)
            self.touched |= self.catalogue.attested_projects()

    def examine_journal(self) -> str | None:
        """Read the whole journal; return its problem, without a full stop, if there is one."""
        self.touched |= self.catalogue.history.replay(self._journal, whole=True)
        return self.catalogue.history.journal_problem

    def damage(self) -> tuple[list[int], list[Record]]:
        """Return the numbers of lines that do not follow the others, and the lost records."""
        return self._journal.breaks(), self.catalogue.history.lost(self._journal)

    def repair_journal(self, *, by: str) -> Path:
        """Write the journal anew, with all lines that are known; return where the old one is kept.

        Lost lines come back to their places, marked as restored.
        """
        history = self.catalogue.history
        lost = history.lost(self._journal)
        records = history.repaired(self._journal)
        reason = f"{len(lost)} lost lines restored from pypi_index"
        now = journal.timestamp(time.time())
        records.append(Record(now, "repair", journal.FILE, reason=reason, by=by))
        kept = self._journal.replace(self._data, records)
        history.begin_journal()
        self.touched |= history.replay(self._journal)
        return kept

    def write_pages(self) -> None:
        """Write the pages of all touched projects, and the list of projects if that changes."""
        if self._found:
            self.note_all(self._found)
        quarantined = self.catalogue.history.statuses.quarantined()
        # What is listed has to be there, before and after.
        withheld.release(self._folder, self.catalogue.history.marked - quarantined)
        self._to_withhold = self.touched & quarantined
        list_changed = "" in self.touched or not self.catalogue.has_list()
        for project in self.touched - {""}:
            listed = self.catalogue.listed(project)
            folder = pages_of(self._folder, project)
            if listed:
                status = self.catalogue.history.statuses.of(project)
                page = pages.project_page(project, listed, status, self.catalogue.url)
                fingerprint = pages.write(folder, page, self._unfinished)
            else:
                shutil.rmtree(folder, ignore_errors=True)
                fingerprint = None
            list_changed |= self.catalogue.set_page(project, fingerprint)
        if list_changed:
            projects = pages.project_list(self.catalogue.projects())
            fingerprint = pages.write(self._folder / SIMPLE, projects, self._unfinished)
            self.catalogue.set_page("", fingerprint)
        self.journal_state = self._journal.state

    def finish_files(self) -> None:
        """Delete the files that no page names any more, and withhold those in quarantine."""
        withheld.withhold(self._folder, self._to_withhold)
        for path in self._obsolete + self._to_delete:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in self._to_delete}:
            disk.sync(folder)

    def _place(self, location: str) -> Path:
        """Return where in the index a distribution belongs."""
        status = self.catalogue.history.statuses.of(project_of(location))
        return link(self._folder, location, withheld=status.status == "quarantined")

    def _relink(self, place: Path, target: Path) -> None:
        if not is_link_to(place, target):
            self._unfinished.unlink(missing_ok=True)
            self._unfinished.symlink_to(link_target(place, target))
            self._unfinished.replace(place)


def _second_problem(location: str, first: str) -> str:
    what = (
        "wheel of the release, build and tags" if first.endswith(".whl") else "sdist of the release"
    )
    return f"{location} is a second {what} of {first}, which came first: delete one of them"
