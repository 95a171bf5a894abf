"""The journal in the catalogue: a copy of its lines, and the history of each file.

Records that the journal loses are still known here: the table `history` forgets nothing, and a
repair writes the lost `lines` to the journal again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from .database import Database
from .distribution import DistributionError, identity, parse_name
from .journal import FILE, Journal, Record, is_utf8
from .layout import file_of
from .scan import Seen
from .statuses import StatusError, Statuses


class Removed(NamedTuple):
    """A file that the journal says was removed, and that the catalogue still knows."""

    location: str
    seen: Seen
    time: str


class History:
    """The history in an open catalogue.

    Attributes:
        removed: the files whose removal the last replay() has read.
        statuses: those of the projects.
        marked: the projects of which replay() has read a mark since the catalogue was opened.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self.removed: list[Removed] = []
        self.statuses = Statuses(db)
        self.marked: set[str] = set()

    @property
    def journal_problem(self) -> str | None:
        """What is wrong with the journal, if anything, in a sentence without a full stop."""
        problem: str | None = self._db.value("SELECT journal_problem FROM state")
        return problem

    def replay(self, journal: Journal, *, whole: bool = False) -> set[str]:
        """Read the new records of the journal; return the projects whose pages they change.

        Records that the journal has lost stay known, and journal_problem says so from then on.

        Args:
            whole: read the journal from its start, to see whether it has lost records.
        """
        mark, end, problem = self._db.execute(
            "SELECT journal, journal_end, journal_problem FROM state"
        ).fetchone()
        self.removed = []
        changed = set()
        # A catalogue that has read nothing but has lines was made anew, or has another journal.
        has_grown = mark == journal.mark(end) and (end > 0 or not self._has_lines())
        if has_grown and end != journal.end:
            for record in journal.since(end):
                self._note_removed(record)
                changed |= self._add(record)
        if whole or not has_grown:
            breaks = journal.breaks()
            # As long as each line follows the one before, all that was read is still there.
            lost = [] if has_grown and not breaks and not problem else self.lost(journal)
            problem = _problem(breaks, lost)
            if not has_grown and not problem:
                # Another journal that has all known lines, such as one that was repaired.
                changed |= self._replace_all(journal.since(0))
                self._db.execute("UPDATE state SET complete = 0")
            elif not has_grown:
                changed |= self._replace_all(_merged(list(self._lines()), journal.since(0)))
        self._db.execute(
            "UPDATE state SET journal = :mark, journal_end = :end, journal_problem = :problem",
            {"mark": journal.mark(journal.end), "end": journal.end, "problem": problem},
        )
        return changed

    def begin_journal(self) -> None:
        """Let the next replay() read the journal from its start and compare it with the lines."""
        self._db.execute("UPDATE state SET journal = '', journal_end = 0")

    def lost(self, journal: Journal) -> list[Record]:
        """Return the known records that the journal does not have any more, in order."""
        here = {record.text for record in journal.since(0)}
        return [record for record in self._lines() if record.text not in here]

    def repaired(self, journal: Journal) -> list[Record]:
        """Return all known records in order, those that the journal ever lost marked as restored.

        A record that an earlier repair restored keeps its mark.
        """
        marks = {record.text: record.restored for record in journal.since(0)}
        return [replace(record, restored=marks.get(record.text, True)) for record in self._lines()]

    def about(self, project: str, most: int) -> list[Record]:
        """Return the last records about a project, at most so many, the newest first."""
        rows = self._db.values(
            "SELECT line FROM about JOIN lines USING (number) WHERE project = :project"
            " ORDER BY number DESC LIMIT :most",
            project=project,
            most=most,
        )
        return list(filter(None, map(Record.parse, rows)))

    def _lines(self) -> Iterator[Record]:
        """Yield all known records, in order."""
        for (line,) in self._db.execute("SELECT line FROM lines ORDER BY number"):
            # An older version kept lines that this one does not count as records.
            if record := Record.parse(line):
                yield record

    def _has_lines(self) -> bool:
        return bool(self._db.value("SELECT EXISTS (SELECT 1 FROM lines)"))

    def _replace_all(self, records: Iterable[Record]) -> set[str]:
        """Keep only these records; return the projects whose pages may change."""
        changed = set(self._db.values("SELECT project FROM history"))
        self._db.execute("DELETE FROM history")
        self._db.execute("DELETE FROM lines")
        self._db.execute("DELETE FROM about")
        for record in records:
            changed |= self._add(record)
        return changed

    def _note_removed(self, record: Record) -> None:
        """Add the files of a removal to `removed`; drop those that came back later."""
        self.removed = [one for one in self.removed if file_of(one.location) != record.file]
        if record.action == "remove" and record.is_valid:
            rows = self._db.execute(
                "SELECT location, size, modified, signed, attested FROM files WHERE file = :file",
                {"file": record.file},
            )
            self.removed += [
                Removed(location, Seen(*seen), record.time) for location, *seen in rows
            ]

    def _add(self, record: Record) -> set[str]:
        """Add one record; return the project whose pages that changes, if any."""
        added = self._db.execute("INSERT INTO lines (line) VALUES (:line)", {"line": record.text})
        if not record.is_valid:
            return set()
        try:
            is_mark = record.action == "mark"
            project = self.statuses.replay(record) if is_mark else parse_name(record.file)[0]
        except (DistributionError, StatusError):
            return set()
        if is_mark:
            self.marked.add(project)
        self._db.execute(
            "INSERT INTO about (project, number) VALUES (:project, :number)",
            {"project": project, "number": added.lastrowid},
        )
        if record.action in ("upload", "find"):
            self._db.execute(
                "INSERT INTO history (file, identity, beside, project, sha256, uploaded) VALUES"
                " (:file, :identity, NOT :replaces"
                " AND EXISTS (SELECT 1 FROM history WHERE identity = :identity),"
                " :project, :sha256, :uploaded) ON CONFLICT (file) DO UPDATE"
                " SET sha256 = excluded.sha256, uploaded = excluded.uploaded,"
                " by = NULL, signature = NULL, provenance = NULL, yanked = NULL"
                " WHERE sha256 != excluded.sha256",
                {
                    "file": record.file,
                    "identity": identity(record.file),
                    "replaces": record.instead_of is not None,
                    "project": project,
                    "sha256": record.sha256,
                    "uploaded": record.uploaded or record.time,
                },
            )
            if record.action == "upload":
                by = record.by if record.by is not None and is_utf8(record.by) else None
                self._set("by", by, record.file)
        elif record.action == "sign":
            self._set("signature", record.sha256, record.file)
        elif record.action == "attest":
            self._set("provenance", record.sha256, record.file)
        elif record.action == "remove":
            self._set("signature", None, record.file)
            self._set("provenance", None, record.file)
        elif record.action in ("yank", "unyank"):
            reason = (record.reason or "") if record.action == "yank" else None
            self._set("yanked", reason, record.file)
        return {project}

    def _set(self, column: str, value: str | None, file: str) -> None:
        self._db.execute(
            f"UPDATE history SET {column} = :value WHERE file = :file",
            {"value": value, "file": file},
        )


def _merged(known: list[Record], here: Iterable[Record]) -> list[Record]:
    """Return all records that are known or are in the journal.

    The known ones keep their order. Each other one follows the record that it follows in the
    journal, and all known ones that are not later.
    """
    place_of = {record.text: place for place, record in enumerate(known)}
    merged: list[Record] = []
    following = 0
    for record in here:
        place = place_of.get(record.text)
        if place is None:
            while following < len(known) and known[following].time <= record.time:
                merged.append(known[following])
                following += 1
            merged.append(record)
        elif place >= following:
            merged += known[following : place + 1]
            following = place + 1
    return merged + known[following:]


def _problem(breaks: list[int], lost: list[Record]) -> str | None:
    """Return what is wrong with the journal, if anything, in a sentence without a full stop.

    Args:
        breaks: the numbers of lines that do not follow the line before.
        lost: the records that are missing.
    """
    found = []
    if breaks:
        which = f"line {breaks[0]} does" if len(breaks) == 1 else f"{len(breaks)} lines do"
        found.append(f"{which} not follow the lines before")
    if lost:
        lines = "one line" if len(lost) == 1 else f"{len(lost)} lines"
        found.append(f"{lines} that pypi_index knows {'is' if len(lost) == 1 else 'are'} missing")
    if not found:
        return None
    return f"pypi_data/{FILE} was damaged ({', '.join(found)}): run make pypi-journal-repair"
