"""Keeping an index current with its journal, and with files copied or deleted by hand."""

from __future__ import annotations

import itertools
import logging
import sqlite3
import time
from collections.abc import Iterator
from threading import Event, Lock

from . import database, disk, distribution, journal, pages
from .catalogue_access import CatalogueAccess
from .change import Change
from .distribution import Distribution, DistributionError
from .facts import Rank
from .layout import UNFINISHED, file_of, pages_of, project_of
from .names import Names
from .scan import Scan, Seen, Watch, is_there
from .verify import Progress, is_linked, strays

log = logging.getLogger(__name__)

# A file that changed less than these seconds ago may still be being copied.
_STILL_COPIED = 2
# About so many files are indexed at once, while uploads wait.
_BATCH = 200


class Refresher:
    """Brings one index up to its data folder and its journal.

    Args:
        url: where the index is served; empty leaves what was said last.

    Attributes:
        journal_problem: what is wrong with the journal, a sentence without its full stop, or empty.
    """

    def __init__(self, access: CatalogueAccess, watch: Watch, url: str = "") -> None:
        self.journal_problem = ""
        self._url = url
        self._access = access
        self._watch = watch
        self._names = Names(access.data, access.folder)
        self._lock = Lock()

    def follow(self, *, every: float, ready: Event | None) -> None:
        """Refresh for ever, whenever something may have changed."""
        trouble = ""
        while True:
            try:
                if self._may_have_changed():
                    self.refresh()
                trouble = ""
                if ready:
                    ready.set()
            except Exception as error:
                # The next try may succeed, whatever it is. Once for each trouble, not every second.
                if repr(error) != trouble:
                    trouble = repr(error)
                    log.error("the index does not show the latest changes yet: %s", trouble)
            # A scan of very many files takes a while: scan at most a third of the time.
            time.sleep(max(every, 2 * self._watch.scan_seconds))

    def refresh(self, *, reread: bool = False, progress: Progress | None = None) -> None:
        """Refresh now, after any other thread that does."""
        with self._lock:
            self._refresh(reread, progress)

    def try_refresh(self) -> bool:
        """Refresh unless another thread does; return whether it was done."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._refresh(reread=False, progress=None)
        except OSError:
            return False  # follow() meets the same, and logs it.
        finally:
            self._lock.release()
        return True

    def _may_have_changed(self) -> bool:
        return (
            not self._access.is_checked
            or self._access.is_lost
            or journal.state(self._access.data) != self._access.journal_state
            or self._watch.is_due()
            or self._names.was_changed
        )

    def _refresh(self, reread: bool, progress: Progress | None) -> None:
        self._access.delete_spoilt()
        try:
            missing = self._examine(reread)
        except sqlite3.DatabaseError as error:
            if not database.is_damage(error):
                raise
            # Now it is read through, and made again.
            missing = self._examine(reread)
        made = database.state(self._access.folder).inode
        found, todo = self._compare(reread, missing)
        self._watch.begin_reading(found, todo)
        done = 0
        for batch in _batches(todo):
            self._index({location: found.files[location] for location in batch})
            done += len(batch)
            if progress:
                progress(done, len(todo))
        with self._access.change() as change:
            is_the_same = database.state(self._access.folder).inode == made
            if is_the_same:
                change.catalogue.set_complete()
                refused = [location for location, _ in change.catalogue.problems()]
                self._watch.end_reading(found, refused)
                self._names.replace(change.catalogue.names() | self._watch.unserved)
        if not is_the_same:
            # It was spoilt and made again meanwhile, and lacks what was indexed before.
            self._access.is_checked = False
            self._refresh(reread, progress)
            return
        if reread:
            self._sweep()
        self._access.keep_open()
        # Last: once the folders are trusted, everything in them has to be indexed.
        self._watch.trust_folders(found)
        self._access.is_checked = True
        with self._access.change():
            # Once: a file that is copied meanwhile ends it.
            stamp = self._watch.stamp
            if stamp is None:
                self._names.distrust()
            else:
                self._names.settle(stamp)

    def _examine(self, reread: bool) -> set[str]:
        """Read journal and catalogue as far as necessary; return the locations to be mended."""
        with self._access.change(check=reread or not self._access.is_checked) as change:
            is_whole = self._access.is_checked and change.catalogue.complete
            known_problem = change.catalogue.history.journal_problem
            problem = known_problem if is_whole and not reread else change.examine_journal()
            self._note_journal_problem(problem or "")
            if self._url:
                change.set_url(self._url)
        return self._mend() if reread or not is_whole else set()

    def _compare(self, reread: bool, missing: set[str]) -> tuple[Scan, list[str]]:
        """Scan the data folder, drop files that are gone, and return the locations to be read."""
        began = time.monotonic()
        with self._access.change() as change:
            known = change.catalogue.seen()
        found = self._watch.scan()
        with self._access.change() as change:
            gone = [
                location
                for location in known.keys() - found.files.keys()
                if not is_there(self._access.data / location)
            ]
            for location in gone:
                log.warning("%s is gone from pypi_data", location)
                change.drop(location)
            if gone:
                # A file that was refused because of one of these is read again now.
                known = change.catalogue.seen()
        todo = [
            location
            for location, seen in found.files.items()
            if reread or location in missing or known.get(location) != seen
        ]
        todo.sort(key=lambda location: (project_of(location), location))
        self._watch.scan_seconds = time.monotonic() - began
        return found, todo

    def _index(self, batch: dict[str, Seen]) -> None:
        """Read files and index what they are."""
        read: dict[str, Distribution | DistributionError | OSError] = {}
        for location in batch:
            try:
                read[location] = distribution.read(self._access.data / location)
            except FileNotFoundError:
                continue
            except (DistributionError, OSError) as error:
                read[location] = error
        with self._access.change() as change:
            for location in sorted(read, key=lambda one: _precedence(change, one, read[one])):
                result = read[location]
                try:
                    stat = (self._access.data / location).stat()
                except FileNotFoundError:
                    continue
                was = batch[location]
                seen = Seen.of(stat, signed=was.signed, attested=was.attested)
                age = time.time() - stat.st_mtime
                if seen != was or (
                    isinstance(result, DistributionError) and 0 <= age < _STILL_COPIED
                ):
                    # It is being written: the next scan tells.
                    self._watch.postpone(location)
                elif isinstance(result, Distribution):
                    change.put(location, seen, result)
                elif isinstance(result, DistributionError):
                    change.refuse(location, seen, str(result))
                elif change.catalogue.location(file_of(location)) == location:
                    log.error("%s cannot be read now: %s", location, result.strerror)
                else:
                    problem = f"{location} cannot be read: {result.strerror}"
                    # Its size and time do not change when it can be read again.
                    change.refuse(location, Seen(-1, 0, signed=False, attested=0), problem)

    def _note_journal_problem(self, problem: str) -> None:
        if problem and problem != self.journal_problem:
            log.error("%s", problem)
        self.journal_problem = problem

    def _mend(self) -> set[str]:
        """Have damaged pages written again; return the locations that lack a link or metadata."""
        data, folder = self._access.data, self._access.folder
        with self._access.change() as change:
            (folder / UNFINISHED).unlink(missing_ok=True)
            # A power failure may have brought back what they had in packages/.
            change.touched |= change.catalogue.history.statuses.quarantined()
            missing = change.catalogue.not_in_journal()
            for served in change.catalogue.served():
                if not is_linked(data, folder, served):
                    missing.add(served.location)
            for project, fingerprint in change.catalogue.pages().items():
                if pages.fingerprint(pages_of(folder, project)) != fingerprint:
                    change.touched.add(project)
        return missing

    def _sweep(self) -> None:
        """Delete all strays from the folders of the index, and write the list of projects anew."""
        with self._access.change() as change:
            for path in strays(self._access.folder, change.catalogue):
                disk.delete(path)
            change.touched.add("")


def _batches(todo: list[str]) -> Iterator[list[str]]:
    """Yield parts of a list that is sorted by project, with all of a project in one part.

    So no page, while the index is made from nothing, shows some files of a project only.
    """
    batch: list[str] = []
    for _, locations in itertools.groupby(todo, lambda location: project_of(location) or location):
        batch += locations
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _precedence(change: Change, location: str, read: object) -> tuple[Rank, bool, str]:
    """Return a key that sorts files of one identity: those that the journal knew first."""
    file = file_of(location)
    is_known = isinstance(read, Distribution) and read.sha256 == change.catalogue.sha256(file)
    return change.catalogue.rank(file), not is_known, location
