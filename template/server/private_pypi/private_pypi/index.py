"""The index: the folder of pages, links and metadata that a web server serves, from the data.

    pypi_data/                      what must not be lost: distributions, .journal.jsonl
    pypi_index/                     what is derived from it
        simple/index.html           the list of projects (index.json: the same by PEP 691)
        simple/<project>/index.html
        packages/<location>         a link to the distribution in pypi_data
        packages/<location>.metadata
        index.sqlite3               the catalogue

Only what was read to its end gets a link, so nothing else is ever served. Every change is made
under the lock of the journal, which hears of it before the index does: so the index can catch up
with data and journal after any crash.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock
from typing import Literal

from . import database, distribution, journal, pages, scan
from .catalogue import Catalogue, Rank, Served
from .change import UNFINISHED, Change, changing, leads_to, link, metadata, signature, sync
from .distribution import Distribution, DistributionError
from .scan import Seen

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
Status = Literal["here", "gone", "unknown", "not ready", "unreadable"]

# A file that changed less than these seconds ago may still be written by whoever copies it.
_STILL_COPIED = 2
# About so many files are entered at once, while uploads wait.
_BATCH = 200
# A file overwritten in place does not change its folder; at the latest then it is noticed.
_LOOK_AT_LEAST_EVERY = 30


class NameTakenError(Exception):
    """Other bytes have or had that file name, or one that says the same; the message says so."""


class NotYoursError(Exception):
    """Another account published what is signed; the message says so."""


class NotReadyError(Exception):
    """The index is being made from nothing and does not know yet what it holds."""


class Index:
    """The index of one data folder. Any number of processes may have one at the same time."""

    def __init__(self, data: Path, folder: Path) -> None:
        # Links lead from one to the other, which must not depend on links on the way.
        self._data = data.resolve()
        self._folder = folder.resolve()
        self._refreshing = Lock()
        self._checked = False
        self._left: set[str] = set()
        self._unread: frozenset[str] = frozenset()
        self._unserved: frozenset[str] = frozenset()
        self._closed: list[str] = []
        self._journal_problem = ""
        self._folders: dict[Path, int] = {}
        self._published: dict[Path, int] = {}
        self._taken_in: tuple[int, int] | None = None
        self._look_again = False
        self._looked = self._look_took = 0.0
        self._kept_open: tuple[database.State, Catalogue] | None = None

    @property
    def folder(self) -> Path:
        """Where the pages are."""
        return self._folder

    def add(self, unfinished: Path, new: Distribution, *, by: str) -> None:
        """Publish a distribution that lies, whole and on the disk, in a file of the data folder.

        The same bytes under the same name are published already: nothing happens.

        Raises:
            NameTakenError: if the name stands or stood for other bytes, or what it says for
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
            is_here = location is not None and _is_there(self._data / location)
            if noted not in (None, new.sha256):
                raise NameTakenError(_taken(new.file, is_here=is_here))
            if is_here:
                return
            # The same bytes may come back under their name, but nothing in place of another.
            others = change.catalogue.other_names(new.file) if noted is None else []
            others += [_file(rival.location) for rival in change.catalogue.rivals(new.file)]
            if others:
                is_here = any(map(change.catalogue.location, others))
                raise NameTakenError(_taken(new.file, f" as {others[0]}", is_here=is_here))
            if location not in (None, new.file):
                change.drop(location)
            is_mine = self._link(unfinished, target, new.sha256)
            try:
                if is_mine or noted is None:
                    change.note("upload", [new.file], size=new.size, sha256=new.sha256, by=by)
                change.noted = True
            except BaseException:
                if is_mine and not change.noted:
                    target.unlink()
                raise
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
            # Whoever could sign what others published could keep them from signing it.
            if change.catalogue.publisher(signed) not in (None, by):
                raise NotYoursError(
                    f"{signed} was published by another account, which alone can sign it"
                )
            target, digest = signature(self._data / location), _sha256(unfinished)
            is_mine = self._link(unfinished, target, digest)
            try:
                if change.catalogue.signature(signed) != digest:
                    size = target.stat().st_size
                    change.note("sign", [signed], size=size, sha256=digest, by=by)
                change.noted = True
            except BaseException:
                if is_mine and not change.noted:
                    target.unlink()
                raise
            change.sign(location)

    def yank(self, project: str, version: str, reason: str, *, by: str) -> list[str]:
        """Mark a version as not to be chosen (PEP 592); return its file names.

        Raises:
            NoSuchReleaseError: if there is none.
        """
        with self._change() as change:
            files = [one.file for one in change.release(project, version)]
            change.note("yank", files, reason=reason, by=by)
        return files

    def unyank(self, project: str, version: str, *, by: str) -> list[str]:
        """Take back a yank; return the version's file names.

        Raises:
            NoSuchReleaseError: if there is no such version.
        """
        with self._change() as change:
            files = [one.file for one in change.release(project, version)]
            change.note("unyank", files, by=by)
        return files

    def release(self, project: str, version: str) -> list[str]:
        """Return the names of the files of a version, and of others that would be in their place.

        Raises:
            NoSuchReleaseError: if there is none.
        """
        with self._change() as change:
            return _names(_locations(change, project, version))

    def remove(self, project: str, version: str, *, by: str) -> list[str]:
        """Delete a version for good; return its file names, which never stand for other bytes.

        Raises:
            NoSuchReleaseError: if there is none.
            PermissionError: if a file cannot be deleted; then nothing is removed.
        """
        with self._change() as change:
            locations = _locations(change, project, version)
            change.require_deletable(locations)
            change.note("remove", _names(locations), by=by)
            for location in locations:
                change.delete(location)
        return _names(locations)

    def status(self, project: str) -> Status:
        """Say what a normalised name is to this index.

        "gone" had files once, or could be the name of a file that is not served. "not ready" cannot
        be told yet, "unreadable" not as long as a folder cannot be looked into. An unknown name takes
        as long whatever the index holds, unless files were just put into the data folder by hand:
        then one of them may bear it.
        """
        # First: what is entered between the two looks must not be taken for unknown.
        is_looked_through = (
            not self._left and not self._look_again and scan.unchanged(self._folders)
        )
        status = self._status(project)
        if status != "unknown" or is_looked_through or not self._lies_there(project):
            return status
        if not self._refreshing.acquire(blocking=False):
            return "not ready"
        try:
            self._refresh(reread=False, progress=None)
        except OSError:
            return "not ready"  # follow() meets the same, and says so.
        finally:
            self._refreshing.release()
        return self._status(project)

    @property
    def unreadable(self) -> list[str]:
        """Sentences that say what of the data folder could not be looked into at the last look.

        There may be files of any name, so that no name is unknown as long as there is one.
        """
        return self._closed

    def _lies_there(self, project: str) -> bool:
        """Return whether a file of the data folder could be of a project, or nobody can tell."""
        try:
            look = scan.scan(self._data)
        except OSError:
            return True
        if look.closed:
            return True
        # Of very many files, only those are taken apart that begin like it.
        begins = re.compile(project.replace("-", "[-_.]+"), re.IGNORECASE).match
        return any(
            begins(_file(location.rstrip("/"))) and project in scan.projects(location)
            for location in (*look.files, *look.others)
        )

    def _status(self, project: str) -> Status:
        page = self._folder / "simple" / project / pages.HTML
        if page.exists():
            return "here"
        if project in self._unread:
            return "not ready"
        try:
            with self._catalogue() as known:
                if not (self._checked and known.complete):
                    return "not ready"
                if project in self._unserved or known.ever_had(project):
                    # Whoever wrote the page since the first look was done before this one.
                    return "here" if page.exists() else "gone"
        except sqlite3.DatabaseError:
            return "not ready"
        return "unreadable" if self._closed else "unknown"

    def listed(self, project: str) -> list[pages.Listed]:
        """Return the distributions of a project, by its normalised name."""
        with self._catalogue() as known:
            return known.listed(project)

    def counts(self) -> tuple[int, int]:
        """Return how many distributions are served and of how many projects."""
        with self._catalogue() as known:
            return known.counts()

    def follow(self, *, every: float = 1.0, ready: Event | None = None) -> None:
        """Keep the index current for ever, looking for changes made by hand every so many seconds.

        What is copied into the data folder or deleted from it shows within three seconds.

        Args:
            ready: set when the index is current for the first time.
        """
        trouble = ""
        while True:
            try:
                if self._may_have_changed():
                    self.refresh()
                trouble = ""
                if ready:
                    ready.set()
            except Exception as error:
                # Whatever it is, the next try may do. Once for each trouble, not every second.
                if repr(error) != trouble:
                    trouble = repr(error)
                    log.error("the index does not show the latest changes yet: %s", trouble)
            # With very many files a look takes a while: at most a third of the time.
            time.sleep(max(every, 2 * self._look_took))

    def refresh(self, *, reread: bool = False, progress: Progress | None = None) -> None:
        """Bring the index up to the data and the journal.

        Args:
            reread: read every distribution again, not only those that look changed.
            progress: called with how many of how many files to read are done.
        """
        with self._refreshing:
            self._refresh(reread, progress)

    def _refresh(self, reread: bool, progress: Progress | None) -> None:
        if self._is_spoilt():
            self._delete_spoilt()
        with self._change(check=reread or not self._checked) as change:
            is_whole = self._checked and change.catalogue.complete
            known_problem = change.catalogue.history.journal_problem
            problem = known_problem if is_whole and not reread else change.examine_journal()
            self._note_journal_problem(problem or "")
        missing = self._mend() if reread or not is_whole else set()
        began = time.monotonic()
        with self._change() as change:
            known = change.catalogue.seen()
        look = scan.scan(self._data)
        found = look.files
        # The clock of a file system may tick too slowly to tell two changes apart. Those that this
        # index made are known.
        by_others = look.folders.items() - self._published.items()
        self._look_again = any(_is_recent(when) for _, when in by_others)
        with self._change() as change:
            gone = [one for one in known.keys() - found.keys() if not _is_there(self._data / one)]
            for location in gone:
                log.warning("%s is gone from pypi_data", location)
                change.drop(location)
            if gone:
                # What gave way to one of these is read again, by this look.
                known = change.catalogue.seen()
        todo = [
            location
            for location, seen in found.items()
            if reread or location in missing or known.get(location) != seen
        ]
        todo.sort(key=lambda location: (_project(location), location))
        self._look_took = time.monotonic() - began
        # Until all of it is read, also what the last look had left.
        self._unread |= _projects([*todo, *look.others])
        self._left = set()
        # Not before: what a folder that can be looked into now holds must not pass for unknown.
        self._note_closed(look.closed)
        done = 0
        for batch in _batches(todo):
            self._enter({location: found[location] for location in batch})
            done += len(batch)
            if progress:
                progress(done, len(todo))
        with self._change() as change:
            change.catalogue.set_complete()
            refused = [location for location, _ in change.catalogue.problems()]
        self._unserved = _projects([*refused, *look.others])
        self._unread = _projects(self._left)
        if reread:
            self._sweep()
        self._keep_open()
        # Last: who finds the folders unchanged takes it that all in them is entered.
        self._folders = look.folders
        self._looked, self._checked = time.monotonic(), True

    @property
    def problem(self) -> str:
        """A sentence without its end that says what has to be mended; empty if nothing is known."""
        if self._kept_open and self._kept_open[0] != database.state(self._folder):
            return "pypi_index/index.sqlite3 was damaged: it is being made again"
        return self._journal_problem

    def examine_journal(self) -> tuple[str, list[int], list[journal.Record]]:
        """Read the whole journal and return what is wrong with it, if anything.

        Returns:
            a sentence without its end, the numbers of lines that do not follow those before, and
            the lines that it has lost, as this index knows them.
        """
        with self._change() as change:
            problem = change.examine_journal()
            return (problem, *change.damage()) if problem else ("", [], [])

    def repair_journal(self, *, by: str) -> Path | None:
        """Write the journal anew with all lines that are known, unless nothing is wrong with it.

        Returns:
            where the damaged one is kept.

        Raises:
            OSError: if the disk is full, among others; the journal then is as it was.
        """
        with self._change() as change:
            return change.repair_journal(by=by) if change.examine_journal() else None

    def verify(self, progress: Progress | None = None) -> Iterator[str]:
        """Read every byte again and yield a sentence for each thing that is not as it should be.

        Args:
            progress: called with how many of how many distributions are done.
        """
        with self._catalogue() as known:
            if not known.complete:
                yield "the index is not made yet: run make pypi-index"
                return
        with self._change() as change:
            problem = change.examine_journal()
        if problem:
            yield problem
        with self._catalogue() as known:
            served, projects = list(known.served()), known.pages()
            for _, problem in known.problems():
                yield f"not served: {problem}"
            for project, fingerprint in sorted(projects.items()):
                folder = self._folder / "simple" / project
                files = (
                    pages.project_page(project, known.listed(project))
                    if project
                    else pages.project_list(filter(None, projects))
                )
                # What changed since it was listed above is not a difference.
                if not pages.same(folder, files) and fingerprint == known.pages().get(project):
                    yield f"pypi_index/simple/{project}: the pages are not what they should be"
            strays = set(self._strays(known))
        look = scan.scan(self._data)
        yield from look.closed
        locations = {one.location for one in served}
        for location in sorted(look.others):
            if location.rpartition(".")[0] in locations:
                continue  # Beside what is missing, which is said below.
            yield (
                f"not served: {scan.shown(location)} is no file of a distribution; names it could"
                " stand for are not asked for on PyPI"
            )
        unknown = look.files.keys() - locations
        if strays or unknown:
            # What is being published meanwhile is neither; under the lock nothing is.
            with self._change() as change:
                strays &= set(self._strays(change.catalogue))
                unknown -= change.catalogue.seen().keys()
        for stray in sorted(strays):
            yield f"{stray.relative_to(self._folder.parent)} is no part of the index"
        for location in sorted(unknown):
            yield f"{location} is in pypi_data but not in the index yet"
        for number, one in enumerate(served, start=1):
            yield from self._differences(one)
            if progress:
                progress(number, len(served))

    def _differences(self, served: Served) -> Iterator[str]:
        location = served.location
        try:
            if _sha256(self._data / location) != served.sha256:
                yield f"{location} has other bytes than those that were published"
        except OSError as error:
            yield f"{location} cannot be read: {error.strerror}"
        if not self._is_linked(served):
            yield f"{location} is not served whole: a link or file in pypi_index/packages is wrong"
        elif served.metadata_sha256 is not None:
            place = link(self._folder, location)
            if _sha256(metadata(place)) != served.metadata_sha256:
                yield f"{location} is served with metadata of another file"

    def _link(self, unfinished: Path, target: Path, digest: str) -> bool:
        """Give an unfinished file its name; return False if the same bytes have it already."""
        folder = target.parent
        is_looked_through = folder.stat().st_mtime_ns == self._folders.get(folder)
        try:
            os.link(unfinished, target)
        except FileExistsError:
            # Put there by hand, or by an upload that was killed before it had its answer.
            if _sha256(target) != digest:
                message = f"{target.name} already exists: publish a new version"
                raise NameTakenError(message) from None
            # Whoever put it there may not have forced it to the disk.
            sync(target)
            sync(folder)
            return False
        if is_looked_through:
            # No reason to look through it again before an unknown name is passed on.
            self._folders[folder] = self._published[folder] = folder.stat().st_mtime_ns
        try:
            sync(folder)
        except BaseException:
            target.unlink()
            raise
        return True

    def _enter(self, batch: dict[str, Seen]) -> None:
        """Read files and enter what they are."""
        read: dict[str, Distribution | DistributionError | OSError] = {}
        for location in batch:
            try:
                read[location] = distribution.read(self._data / location)
            except FileNotFoundError:
                continue
            except (DistributionError, OSError) as error:
                read[location] = error
        with self._change() as change:
            for location in sorted(read, key=lambda one: _precedence(change, one, read[one])):
                result = read[location]
                try:
                    stat = (self._data / location).stat()
                except FileNotFoundError:
                    continue
                seen = Seen.of(stat, signed=batch[location].signed)
                age = time.time() - stat.st_mtime
                if seen != batch[location] or (
                    isinstance(result, DistributionError) and 0 <= age < _STILL_COPIED
                ):
                    # It is being written: the next look tells.
                    self._left = self._left | {location}
                elif isinstance(result, Distribution):
                    change.put(location, seen, result)
                elif isinstance(result, DistributionError):
                    change.refuse(location, seen, str(result))
                elif change.catalogue.location(_file(location)) == location:
                    log.error("%s cannot be read now: %s", location, result.strerror)
                else:
                    problem = f"{location} cannot be read: {result.strerror}"
                    # Its size and time do not change when it can be read again.
                    change.refuse(location, Seen(-1, 0, signed=False), problem)

    def _note_journal_problem(self, problem: str) -> None:
        if problem and problem != self._journal_problem:
            log.error("%s", problem)
        self._journal_problem = problem

    def _note_closed(self, closed: list[str]) -> None:
        known = set(self._closed)
        for sentence in closed:
            if sentence not in known:
                log.error("names that are not held are answered 503: %s", sentence)
        self._closed = closed

    def _mend(self) -> set[str]:
        """Have damaged pages written again; return the locations that lack a link or metadata."""
        with self._change() as change:
            (self._folder / UNFINISHED).unlink(missing_ok=True)
            missing = change.catalogue.not_in_journal()
            for served in change.catalogue.served():
                if not self._is_linked(served):
                    missing.add(served.location)
            for project, fingerprint in change.catalogue.pages().items():
                if pages.fingerprint(self._folder / "simple" / project) != fingerprint:
                    change.touched.add(project)
        return missing

    def _is_linked(self, served: Served) -> bool:
        place, target = link(self._folder, served.location), self._data / served.location
        if not leads_to(place, target):
            return False
        if served.signed and not leads_to(signature(place), signature(target)):
            return False
        try:
            size = metadata(place).stat().st_size
        except OSError:
            size = None
        return size == served.metadata_size

    def _sweep(self) -> None:
        """Delete what lies in the index and is no part of it, and write the list of all anew."""
        with self._change() as change:
            for path in self._strays(change.catalogue):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            change.touched.add("")

    def _strays(self, known: Catalogue) -> Iterator[Path]:
        expected = {*known.projects(), *pages.NAMES}
        for path in sorted((self._folder / "simple").iterdir()):
            if path.name not in expected:
                yield path
            elif path.is_dir():
                yield from (page for page in path.iterdir() if page.name not in pages.NAMES)
        kept = set()
        for served in known.served():
            place = link(self._folder, served.location)
            kept.add(place)
            if served.signed:
                kept.add(signature(place))
            if served.metadata_sha256 is not None:
                kept.add(metadata(place))
        for folder, _, names in os.walk(self._folder / "packages"):
            yield from (path for name in names if (path := Path(folder, name)) not in kept)

    def _keep_open(self) -> None:
        """Hold the catalogue open: SQLite takes its time to tidy up after whoever is the last."""
        if not self._kept_open or self._kept_open[0] != database.state(self._folder):
            known = Catalogue(self._folder)
            self._kept_open = database.state(self._folder), known

    def _is_spoilt(self) -> bool:
        """Return whether the open catalogue lost its content or its companion to somebody else.

        SQLite would not find it damaged, but wait in vain or write what others do not see.
        """
        if not self._kept_open:
            return False
        return database.state(self._folder).is_spoilt_since(self._kept_open[0])

    def _delete_spoilt(self) -> None:
        with journal.locked(self._data):
            # Somebody else may have done it meanwhile.
            if self._is_spoilt():
                log.warning("pypi_index/index.sqlite3 was damaged: it is made again")
                database.delete(self._folder)
                self._checked = False

    def _may_have_changed(self) -> bool:
        return (
            not self._checked
            or bool(self._left or self._closed)
            or self._look_again
            or time.monotonic() - self._looked > _LOOK_AT_LEAST_EVERY
            or self._kept_open is None
            or self._kept_open[0] != database.state(self._folder)
            or journal.state(self._data) != self._taken_in
            or not scan.unchanged(self._folders)
        )

    @contextmanager
    def _change(self, *, check: bool = False) -> Iterator[Change]:
        with self._noticing_damage():
            with changing(self._data, self._folder, check=check) as change:
                yield change
            self._taken_in = change.taken_in

    @contextmanager
    def _publication(self, file: str) -> Iterator[Change]:
        """Make a change that counts once the journal has it: follow() does then what is left."""
        change = None
        try:
            with self._change() as change:
                yield change
        except (OSError, sqlite3.Error) as error:
            if not (change and change.noted):
                raise
            # Nor does the catalogue know the name: it must not be asked of the public index.
            self._unread |= _projects([file])
            log.error("%s is published, but not listed yet: %s", file, error)

    @contextmanager
    def _catalogue(self) -> Iterator[Catalogue]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._noticing_damage():
            if self._is_spoilt():
                raise sqlite3.DatabaseError("pypi_index/index.sqlite3 was damaged")
            known = Catalogue(self._folder)
            try:
                yield known
            finally:
                known.close()

    @contextmanager
    def _noticing_damage(self) -> Iterator[None]:
        """Let the next look read a damaged catalogue through, which finds that it must be made."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if database.is_damage(error):
                self._checked = False
            raise


def _batches(todo: list[str]) -> Iterator[list[str]]:
    """Yield parts of a list that is sorted by project, with all of a project in one part.

    So no page, while the index is made from nothing, shows some files of a project only.
    """
    batch: list[str] = []
    for _, locations in itertools.groupby(todo, lambda location: _project(location) or location):
        batch += locations
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _projects(locations: Iterable[str]) -> frozenset[str]:
    return frozenset(itertools.chain.from_iterable(map(scan.projects, locations)))


def _is_recent(when: int) -> bool:
    """Return whether a time is so near that a change after it may bear the same.

    A file server's clock may be ahead of ours. A folder dated far ahead is not changed then.
    """
    return -60 * 10**9 < time.time_ns() - when < 2 * 10**9


def _taken(file: str, where: str = "", *, is_here: bool) -> str:
    """Return why a name is not free, without a claim that what was removed is still here."""
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


def _precedence(change: Change, location: str, read: object) -> tuple[Rank, bool, str]:
    """Return what sorts before others whose names say the same: what the journal knew first."""
    file = _file(location)
    is_known = isinstance(read, Distribution) and read.sha256 == change.catalogue.sha256(file)
    return change.catalogue.rank(file), not is_known, location


def _names(locations: list[str]) -> list[str]:
    return list(dict.fromkeys(map(_file, locations)))


def _project(location: str) -> str:
    try:
        return distribution.parse_name(_file(location))[0]
    except DistributionError:
        return ""


def _file(location: str) -> str:
    return location.rpartition("/")[2]


def _is_there(path: Path) -> bool:
    """Return whether a file is there, which it is not in a folder that cannot be read."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return distribution.digests(file, ["sha256"])["sha256"]
