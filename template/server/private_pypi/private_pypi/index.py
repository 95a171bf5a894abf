"""The index: the folder of pages, links and metadata that a web server serves, from the data.

    pypi_data/                      what must not be lost: distributions, .journal.jsonl
    pypi_index/                     derived from it
        simple/index.html           the list of projects (index.json: the same by PEP 691)
        simple/<project>/index.html
        packages/<location>         a link to the distribution in pypi_data
        packages/<location>.metadata
        names/<project>             whose name is ours: see names.py
        complete_names              a link to names/ while no name is missing
        public_index                where the gateway sends clients for other names
        index.sqlite3               the catalogue

Only a distribution that was read to its end gets a link, so nothing else is ever served. Every
change is made under the lock of the journal, which is written before the index: so the index can
catch up with data and journal after any crash.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Literal

from . import disk, pages, scan
from .catalogue_access import CatalogueAccess
from .change import Change
from .distribution import Distribution
from .journal import Record
from .layout import file_of, pages_of, signature
from .refresh import Refresher
from .scan import Seen, Watch
from .verify import Progress

log = logging.getLogger(__name__)

Status = Literal["here", "gone", "unknown", "not ready", "unreadable"]


class NameTakenError(Exception):
    """Other bytes have or had that file name, or one that says the same; the message says so."""


class NotYoursError(Exception):
    """Another account published the distribution that is signed; the message says so."""


class NotReadyError(Exception):
    """The index is being made from nothing and does not know yet what it holds."""


class Index:
    """The index of one data folder. Any number of processes may have one at the same time."""

    def __init__(self, data: Path, folder: Path) -> None:
        self._access = CatalogueAccess(data, folder)
        self._data = self._access.data
        self._watch = Watch(self._data)
        self._refresher = Refresher(self._access, self._watch)

    @property
    def folder(self) -> Path:
        """Where the pages are."""
        return self._access.folder

    def add(self, unfinished: Path, new: Distribution, *, by: str) -> None:
        """Publish a distribution that lies, whole and on the disk, in a file of the data folder.

        The same bytes under the same name are published already: nothing happens.

        Raises:
            NameTakenError: if the name has or had other bytes, or its identity belongs to
                another file, however its name is spelled.
            NotReadyError: if the index is being made.
            OSError: if the disk is full, among others; the distribution then is not published.
        """
        target = self._data / new.file
        with self._publication(new.file) as change:
            if not change.catalogue.complete:
                raise NotReadyError
            noted = change.catalogue.sha256(new.file)
            location = change.catalogue.location(new.file)
            is_here = location is not None and scan.is_there(self._data / location)
            if noted not in (None, new.sha256):
                raise NameTakenError(_taken(new.file, is_here=is_here))
            if is_here:
                return
            # The same bytes may come back under their name, but nothing in place of another.
            others = change.catalogue.other_names(new.file) if noted is None else []
            others += [file_of(rival.location) for rival in change.catalogue.rivals(new.file)]
            if others:
                is_here = any(map(change.catalogue.location, others))
                raise NameTakenError(_taken(new.file, f" as {others[0]}", is_here=is_here))
            if location not in (None, new.file):
                change.drop(location)
            with self._linked(change, unfinished, target, new.sha256) as is_new:
                if is_new or noted is None:
                    change.note("upload", [new.file], size=new.size, sha256=new.sha256, by=by)
            seen = Seen.of(target.stat(), signed=signature(target).exists())
            change.put(new.file, seen, new)

    def sign(self, unfinished: Path, file: str, *, by: str) -> None:
        """Put a detached signature, `<distribution>.asc`, beside its distribution.

        Raises:
            NameTakenError: if the distribution has another signature, or is not there.
            NotYoursError: if another account published the distribution.
            OSError: if the disk is full, among others; the signature then is not published.
        """
        signed = file.removesuffix(".asc")
        with self._publication(file) as change:
            location = change.catalogue.location(signed)
            if location is None:
                raise NameTakenError(f"{file} signs no distribution of this index")
            # An account that could sign for others could keep them from signing.
            if change.catalogue.publisher(signed) not in (None, by):
                raise NotYoursError(
                    f"{signed} was published by another account, which alone can sign it"
                )
            target, digest = signature(self._data / location), disk.sha256(unfinished)
            with self._linked(change, unfinished, target, digest):
                if change.catalogue.signature(signed) != digest:
                    size = target.stat().st_size
                    change.note("sign", [signed], size=size, sha256=digest, by=by)
            change.sign(location)

    def yank(self, project: str, version: str, reason: str, *, by: str) -> list[str]:
        """Mark a version as not to be chosen (PEP 592); return its file names.

        Raises:
            NoSuchReleaseError: if there is none.
        """
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

    def release(self, project: str, version: str) -> list[str]:
        """Return the names of the files of a version, and of others that would be in their place.

        Raises:
            NoSuchReleaseError: if there is none.
        """
        with self._access.change() as change:
            return _names(_locations(change, project, version))

    def remove(self, project: str, version: str, *, by: str) -> list[str]:
        """Delete a version for good; return its file names, which never stand for other bytes.

        Raises:
            NoSuchReleaseError: if there is none.
            PermissionError: if a file cannot be deleted; then nothing is removed.
        """
        with self._access.change() as change:
            locations = _locations(change, project, version)
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

    def status(self, project: str) -> Status:
        """Return the status of a project, by its normalised name.

        "here" has files, "gone" had files once or could be the project of a file that is not
        served, "unknown" is neither. "not ready" cannot be told yet, "unreadable" not as long as
        part of the data folder cannot be looked into. It takes the same time however much the index
        holds, unless files were just put into the data folder by hand: one of them may be of an
        unknown project.
        """
        # First: a project whose file is indexed in between must not pass for unknown.
        is_current = self._watch.is_current()
        status = self._status(project)
        if status != "unknown" or is_current or not scan.may_hold(self._data, project):
            return status
        return self._status(project) if self._refresher.try_refresh() else "not ready"

    def _status(self, project: str) -> Status:
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

    @contextmanager
    def _linked(
        self, change: Change, unfinished: Path, target: Path, digest: str
    ) -> Iterator[bool]:
        """Give an unfinished file its name, and take it back if the journal cannot be written.

        Yields:
            whether the name is new; otherwise the same bytes had it already.
        """
        is_new = self._link(unfinished, target, digest)
        try:
            yield is_new
            change.noted = True
        except BaseException:
            if is_new and not change.noted:
                target.unlink()
            raise

    def _link(self, unfinished: Path, target: Path, digest: str) -> bool:
        """Give an unfinished file its name; return False if the same bytes have it already."""
        folder = target.parent
        try:
            with self._watch.own_change(folder):
                os.link(unfinished, target)
        except FileExistsError:
            # It was put there by hand, or by an upload that was killed before it was answered.
            if disk.sha256(target) != digest:
                message = f"{target.name} already exists: publish a new version"
                raise NameTakenError(message) from None
            # It may not have been forced to the disk.
            disk.sync(target)
            disk.sync(folder)
            return False
        try:
            disk.sync(folder)
        except BaseException:
            target.unlink()
            raise
        return True

    @contextmanager
    def _publication(self, file: str) -> Iterator[Change]:
        """Make a change that counts once the journal has it: follow() then does the rest."""
        change = None
        try:
            with self._access.change() as change:
                yield change
        except (OSError, sqlite3.Error) as error:
            if not (change and change.noted):
                raise
            # The catalogue does not know the name either: it must not be redirected to PyPI.
            self._watch.note_unread(file)
            log.error("%s is published, but not listed yet: %s", file, error)


def _taken(file: str, where: str = "", *, is_here: bool) -> str:
    """Return why a name is not free, without a claim that a removed file is still here."""
    if is_here:
        return f"{file} already exists{where}: publish a new version"
    return (
        f"{file} was here before{where}, and no other bytes take its place: publish a new version"
    )


def _locations(change: Change, project: str, version: str) -> list[str]:
    """Return where the files of a version lie, and others of the same names, served or not."""
    found: dict[str, None] = {}
    for one in change.release(project, version):
        found.update(dict.fromkeys(change.catalogue.locations(one.file)))
    return list(found)


def _names(locations: list[str]) -> list[str]:
    return list(dict.fromkeys(map(file_of, locations)))
