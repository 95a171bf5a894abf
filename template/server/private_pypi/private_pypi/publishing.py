"""Publishing: what arrived gets its name in the data folder, and counts once the journal has it."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from . import disk, journal, scan, statuses
from .catalogue_access import CatalogueAccess
from .change import Change
from .distribution import Distribution
from .journal import Record
from .layout import distribution_of, file_of, project_of, provenance, signature
from .scan import Seen, Watch

log = logging.getLogger(__name__)


class NameTakenError(Exception):
    """Other bytes have or had that file name, or one that says the same; the message says so."""


class NotYoursError(Exception):
    """Another account published what is signed or attested; the message says so."""


class NotReadyError(Exception):
    """The index is being made from nothing and does not know yet what it holds."""


class Publishing:
    """Puts distributions, and what belongs to them, into the data folder of one index."""

    def __init__(self, access: CatalogueAccess, watch: Watch) -> None:
        self._access = access
        self._data = access.data
        self._watch = watch

    def add(
        self,
        unfinished: Path,
        new: Distribution,
        *,
        by: str,
        job: dict[str, str] | None = None,
        attested: Path | None = None,
    ) -> None:
        """Publish a distribution that lies, whole and on the disk, in a file of the data folder.

        The same bytes under the same name are published already: nothing happens, unless
        attestations come with them, and none were there.

        Args:
            by, job: as Record has them.
            attested: another such file, with its attestations as a provenance object (PEP 740).

        Raises:
            NameTakenError: if the name has or had other bytes, or its identity belongs to
                another file, however its name is spelled; or if it has other attestations.
            NotYoursError: if another account published it, without these attestations.
            ClosedError: if the project is archived or quarantined.
            NotReadyError: if the index is being made.
            OSError: if the disk is full, among others; the distribution then is not published.
        """
        target = self._data / new.file
        with self._change(new.file) as change:
            if not change.catalogue.complete:
                raise NotReadyError
            noted = change.catalogue.sha256(new.file)
            location = change.catalogue.location(new.file)
            is_here = location is not None and scan.is_there(self._data / location)
            if noted not in (None, new.sha256):
                raise NameTakenError(_taken(new.file, is_here=is_here))
            if is_here:
                if attested:
                    self._attest(change, attested, str(location), by)
                return
            # The same bytes may come back under their name, but nothing in place of another.
            others = change.catalogue.other_names(new.file) if noted is None else []
            others += [file_of(rival.location) for rival in change.catalogue.rivals(new.file)]
            if others:
                is_here = any(map(change.catalogue.location, others))
                raise NameTakenError(_taken(new.file, f" as {others[0]}", is_here=is_here))
            if location not in (None, new.file):
                change.drop(location)
            now = journal.timestamp(time.time())
            with ExitStack() as links:
                records = []
                if attested:
                    # First, so that no client ever finds the file without them: one that is told
                    # to skip what is there would never send them again.
                    size, digest = attested.stat().st_size, disk.sha256(attested)
                    records = [Record(now, "attest", new.file, size, digest, by=by)]
                    place = self._free(provenance(target), digest)
                    links.enter_context(self._linked(change, attested, place, digest))
                linked = self._linked(change, unfinished, target, new.sha256)
                if links.enter_context(linked) or noted is None:
                    upload = Record(now, "upload", new.file, new.size, new.sha256, by=by, job=job)
                    records.insert(0, upload)
                if records:
                    change.note_all(records)
            seen = Seen.of(
                target.stat(),
                signed=signature(target).exists(),
                attested=scan.attested(provenance(target)),
            )
            change.put(new.file, seen, new)

    def sign(self, unfinished: Path, file: str, *, by: str) -> None:
        """Put a detached signature, `<distribution>.asc`, beside its distribution.

        Raises:
            NameTakenError: if the distribution has another signature, or is not there.
            NotYoursError: if another account published the distribution.
            ClosedError: if the project is archived or quarantined.
            OSError: if the disk is full, among others; the signature then is not published.
        """
        signed = file.removesuffix(".asc")
        with self._change(file) as change:
            location = change.catalogue.location(signed)
            if location is None:
                raise NameTakenError(f"{file} signs no distribution of this index")
            # An account that could sign for others could keep them from signing.
            if change.catalogue.published_by(signed) not in (None, by):
                raise NotYoursError(
                    f"{signed} was published by another account, which alone can sign it"
                )
            target, digest = signature(self._data / location), disk.sha256(unfinished)
            with self._linked(change, unfinished, target, digest):
                if change.catalogue.signature(signed) != digest:
                    size = target.stat().st_size
                    change.note("sign", [signed], size=size, sha256=digest, by=by)
            change.sign(location)

    def _attest(self, change: Change, attested: Path, location: str, by: str) -> None:
        """Put attestations beside a distribution that was published without."""
        file, digest = file_of(location), disk.sha256(attested)
        served = change.catalogue.attested(location)
        # As with signatures: an account that could attest for others could keep them from it.
        if served != digest and change.catalogue.published_by(file) not in (None, by):
            raise NotYoursError(
                f"{file} was published by another account, which alone can attest it"
            )
        if served not in (None, digest):
            raise NameTakenError(
                f"{file} already exists, with other attestations: publish a new version"
            )
        target = provenance(self._data / location)
        if served is None:
            self._free(target, digest)
        with self._linked(change, attested, target, digest):
            if change.catalogue.provenance(file) != digest:
                size = target.stat().st_size
                change.note("attest", [file], size=size, sha256=digest, by=by)
        change.attest(location, digest)

    def _free(self, place: Path, digest: str) -> Path:
        """Delete other attestations that are not served: damaged ones, or of a killed upload."""
        if scan.is_there(place) and disk.sha256(place) != digest:
            with self._watch.own_change(place.parent):
                place.unlink()
        return place

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
    def _change(self, file: str) -> Iterator[Change]:
        """Make a change that counts once the journal has it: follow() then does the rest."""
        change = None
        try:
            with self._access.change() as change:
                # Under the lock: a mark that was made before this upload holds for it.
                project = project_of(distribution_of(file))
                statuses.require_open(project, change.catalogue.history.statuses.of(project))
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
