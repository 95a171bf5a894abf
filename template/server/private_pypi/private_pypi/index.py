"""The index: the folder of pages, links and metadata that a web server serves, from the data.

    pypi_data/                      what must not be lost: distributions, .journal.jsonl
    pypi_index/                     derived from it
        simple/index.html           the list of projects (index.json: the same by PEP 691)
        simple/<project>/index.html
        packages/<location>         a link to the distribution in pypi_data
        packages/<location>.metadata
        packages/<location>.asc, .provenance    links to what lies beside it in pypi_data
        withheld/                   the same for the projects in quarantine
        names/<project>             whose name is ours: see names.py
        complete_names              a link to names/ while no name is missing
        public_index                where the gateway sends clients for other names
        index.sqlite3               the catalogue
        refused.jsonl               tokens of CI jobs that were refused; the one file not derived

Only a distribution that was read to its end gets a link, so nothing else is ever served. Every
change is made under the lock of the journal, which is written before the index: so the index can
catch up with data and journal after any crash.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from threading import Event
from typing import Literal

from packaging.utils import canonicalize_name

from . import pages, scan, statuses
from .catalogue_access import CatalogueAccess
from .change import NoSuchReleaseError
from .distribution import Distribution
from .journal import Record, require_utf8
from .layout import file_of, pages_of
from .publishing import NameTakenError as NameTakenError
from .publishing import NotReadyError as NotReadyError
from .publishing import NotYoursError as NotYoursError
from .publishing import Publishing
from .refresh import Refresher
from .scan import Watch
from .verify import Progress

Presence = Literal["here", "gone", "unknown", "not ready", "unreadable"]


class Index:
    """The index of one data folder. Any number of processes may have one at the same time."""

    def __init__(self, data: Path, folder: Path, url: str = "") -> None:
        """Take the index in a folder, made from another one.

        Args:
            url: where it is served, with a slash at its end; empty leaves what was said last.
        """
        self._access = CatalogueAccess(data, folder)
        self._data = self._access.data
        self._watch = Watch(self._data)
        self._refresher = Refresher(self._access, self._watch, url)
        self._publishing = Publishing(self._access, self._watch)

    @property
    def folder(self) -> Path:
        """Where the pages are."""
        return self._access.folder

    def add(
        self,
        unfinished: Path,
        new: Distribution,
        *,
        by: str,
        job: dict[str, str] | None = None,
        attested: Path | None = None,
    ) -> None:
        """Publish a distribution, as Publishing.add."""
        self._publishing.add(unfinished, new, by=by, job=job, attested=attested)

    def sign(self, unfinished: Path, file: str, *, by: str) -> None:
        """Publish a signature, as Publishing.sign."""
        self._publishing.sign(unfinished, file, by=by)

    def yank(self, project: str, version: str, reason: str, *, by: str) -> list[str]:
        """Mark a version as not to be chosen (PEP 592); return its file names.

        Raises:
            ReasonError: if the reason is not UTF-8.
            NoSuchReleaseError: if there is no such version.
        """
        require_utf8(reason)
        with self._access.change() as change:
            files = [one.file for one in change.release(project, version)]
            change.note("yank", files, reason=reason, by=by)
        return files

    def unyank(self, project: str, version: str, *, by: str) -> list[str]:
        """Take back a yank; return the version's file names.

        Raises:
            NoSuchReleaseError: if there is no such version.
        """
        with self._access.change() as change:
            files = [one.file for one in change.release(project, version)]
            change.note("unyank", files, by=by)
        return files

    def mark(self, project: str, status: str, reason: str = "", *, by: str) -> str:
        """Give a project a status (PEP 792); return its normalised name.

        Once this returns, nobody gets a file of a quarantined project any more.

        Args:
            status: active, archived, deprecated or quarantined.
            reason: for people; may be empty.

        Raises:
            StatusError, ReasonError: if status or reason cannot be those of a project.
            NoSuchReleaseError: if there is and was no such project.
        """
        statuses.check(status, reason)
        name = canonicalize_name(project)
        with self._access.change() as change:
            if not change.catalogue.ever_had(name):
                raise NoSuchReleaseError(f"this index has no project {project}")
            change.note("mark", [name], status=status, reason=reason or None, by=by)
        return name

    def release(self, project: str, version: str) -> list[str]:
        """Return the names of the files of a version, and of others that would be in their place.

        Raises:
            NoSuchReleaseError: if there is none.
        """
        with self._access.change() as change:
            return _names(change.locations(project, version))

    def remove(self, project: str, version: str, *, by: str) -> list[str]:
        """Delete a version for good; return its file names, which never stand for other bytes.

        Raises:
            NoSuchReleaseError: if there is none.
            PermissionError: if a file cannot be deleted; then nothing is removed.
        """
        with self._access.change() as change:
            locations = change.locations(project, version)
            change.require_deletable(locations)
            change.note("remove", _names(locations), by=by)
            for location in locations:
                change.delete(location)
        return _names(locations)

    def examine_journal(self) -> tuple[str, list[int], list[Record]]:
        """Read the whole journal and return what is wrong with it, if anything.

        Returns:
            a sentence without its full stop, the numbers of lines that do not follow those before,
            and the lines that it has lost, as this index knows them.
        """
        with self._access.change() as change:
            problem = change.examine_journal()
            return (problem, *change.damage()) if problem else ("", [], [])

    def repair_journal(self, *, by: str) -> Path | None:
        """Write the journal anew with all lines that are known, unless nothing is wrong with it.

        Returns:
            where the damaged one is kept.

        Raises:
            OSError: if the disk is full, among others; the journal then is as it was.
        """
        with self._access.change() as change:
            return change.repair_journal(by=by) if change.examine_journal() else None

    def presence(self, project: str) -> Presence:
        """Return whether the index has a project, by its normalised name.

        "here" has files, "gone" had files once or could be the project of a file that is not
        served, "unknown" is neither. "not ready" cannot be told yet, "unreadable" not as long as
        part of the data folder cannot be looked into. It takes the same time however much the index
        holds, unless files were just put into the data folder by hand: one of them may be of an
        unknown project.
        """
        # First: a project whose file is indexed in between must not pass for unknown.
        is_current = self._watch.is_current()
        presence = self._presence(project)
        if presence != "unknown" or is_current or not scan.may_hold(self._data, project):
            return presence
        return self._presence(project) if self._refresher.try_refresh() else "not ready"

    def _presence(self, project: str) -> Presence:
        page = pages_of(self.folder, project) / pages.HTML
        if page.exists():
            return "here"
        if project in self._watch.unread:
            return "not ready"
        try:
            with self._access.catalogue() as known:
                if not (self._access.is_checked and known.complete):
                    return "not ready"
                if project in self._watch.unserved or known.ever_had(project):
                    # The page may have been written since it was looked for.
                    return "here" if page.exists() else "gone"
        except sqlite3.DatabaseError:
            return "not ready"
        return "unreadable" if self._watch.unreadable else "unknown"

    @property
    def unreadable(self) -> list[str]:
        """Sentences that say which parts of the data folder the last scan could not look into.

        There may be files of any name in them, so no name is unknown as long as there are any.
        """
        return self._watch.unreadable

    @property
    def unread(self) -> frozenset[str]:
        """The projects that files could be of which the last scan found, and nobody has read."""
        return self._watch.unread

    @property
    def problem(self) -> str:
        """What has to be mended, in a sentence without its full stop; empty if nothing is known."""
        if self._access.is_lost:
            return "pypi_index/index.sqlite3 was damaged: it is being made again"
        return self._refresher.journal_problem

    def project_status(self, project: str) -> pages.ProjectStatus:
        """Return the status of a project (PEP 792), by its normalised name."""
        with self._access.catalogue() as known:
            return known.history.statuses.of(project)

    def listed(self, project: str) -> list[pages.Listed]:
        """Return the distributions of a project, by its normalised name."""
        with self._access.catalogue() as known:
            return known.listed(project)

    def counts(self) -> tuple[int, int]:
        """Return how many distributions are served and of how many projects."""
        with self._access.catalogue() as known:
            return known.counts()

    def follow(self, *, every: float = 1.0, ready: Event | None = None) -> None:
        """Keep the index current for ever, looking for changes made by hand every so many seconds.

        Files that are copied into the data folder or deleted from it show within three seconds.

        Args:
            ready: set when the index is current for the first time.
        """
        self._refresher.follow(every=every, ready=ready)

    def refresh(self, *, reread: bool = False, progress: Progress | None = None) -> None:
        """Bring the index up to the data and the journal.

        Args:
            reread: read every distribution again, not only those that look changed.
            progress: called with how many of how many files to read are done.
        """
        self._refresher.refresh(reread=reread, progress=progress)


def _names(locations: list[str]) -> list[str]:
    return list(dict.fromkeys(map(file_of, locations)))
