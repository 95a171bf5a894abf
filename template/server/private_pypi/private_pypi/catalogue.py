"""The catalogue: what the index knows, in SQLite, so that no answer needs to look through files.

All of it is derived: `files` from the data folder, `lines` and `history` from the journal, `pages`
from the pages as they were written. A catalogue that is lost or damaged is made again.

`lines` is a copy of the journal's lines. What the journal loses is still known here: nothing that
`history` says is forgotten, and a repair of the journal writes the lost lines to it again.
"""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from .distribution import Distribution, DistributionError, identity, parse_name
from .journal import FILE as JOURNAL
from .journal import Journal, Record, is_utf8, timestamp
from .pages import Listed
from .scan import Seen

FILE = "index.sqlite3"

_VERSION = 3
_PATIENCE = 60
"""Seconds to wait for others who write."""

# In write-ahead mode a crash never damages the file; a power failure may take back the last
# changes, which the journal and the data folder then bring again.
_SCHEMA = f"""
CREATE TABLE files (
    location TEXT PRIMARY KEY,      -- path in the data folder
    file TEXT NOT NULL,
    identity TEXT,                  -- what its name says, however it is spelled
    project TEXT,
    version TEXT,
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL,      -- st_mtime_ns
    signed INTEGER NOT NULL,        -- whether its .asc lies beside it
    sha256 TEXT,
    requires_python TEXT,
    metadata_sha256 TEXT,
    metadata_size INTEGER,
    problem TEXT                    -- why it is not served
);
CREATE INDEX files_project ON files (project);
CREATE INDEX files_identity ON files (identity);
CREATE TABLE history (              -- every file there ever was
    number INTEGER PRIMARY KEY,     -- the order in which the journal heard of them
    file TEXT NOT NULL UNIQUE,
    identity TEXT NOT NULL,
    beside INTEGER NOT NULL,        -- whether it came beside another of its identity
    project TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    uploaded TEXT NOT NULL,
    by TEXT,                        -- the account that published it, if it was one
    signature TEXT,                 -- sha256 of the signature that it published
    yanked TEXT                     -- the reason
);
CREATE INDEX history_project ON history (project);
CREATE INDEX history_identity ON history (identity);
CREATE TABLE IF NOT EXISTS lines (number INTEGER PRIMARY KEY, line TEXT NOT NULL);
CREATE TABLE pages (project TEXT PRIMARY KEY, fingerprint TEXT NOT NULL);
CREATE TABLE state (
    journal TEXT,                   -- what tells the journal from one with other lines
    journal_end INTEGER,            -- how much of it was taken in
    journal_problem TEXT,           -- what is wrong with it
    complete INTEGER
);
INSERT INTO state VALUES ('', 0, NULL, 0);
PRAGMA user_version = {_VERSION};
"""


class Served(NamedTuple):
    """What must be there for a distribution to be served."""

    location: str
    signed: int
    sha256: str
    metadata_sha256: str | None
    metadata_size: int | None


class Rank(NamedTuple):
    """How a file stands to others of its identity, of which the first alone is served.

    Attributes:
        number: the order in which the journal heard of them, infinite if it has not.
        beside: whether it is served all the same, for it was published when two still could be.
    """

    number: float
    beside: bool


class Removed(NamedTuple):
    """A file that the journal says is removed and that is still entered."""

    location: str
    seen: Seen
    time: str


class Rival(NamedTuple):
    """A served file whose name says the same as that of another."""

    location: str
    seen: Seen
    rank: Rank


class Catalogue:
    """An open catalogue.

    Attributes:
        removed: what the last replay() was told is removed.
    """

    def __init__(self, folder: Path, *, check: bool = False) -> None:
        """Open the catalogue in a folder, make it if there is none.

        Args:
            check: read it through.

        Raises:
            sqlite3.DatabaseError: if it is damaged.
        """
        self.removed: list[Removed] = []
        if not is_whole(folder):
            raise sqlite3.DatabaseError(f"{FILE} was cut off or is no file")
        self._db = sqlite3.connect(folder / FILE, timeout=_PATIENCE, isolation_level=None)
        try:
            self._db.execute("PRAGMA synchronous = NORMAL")
            # The container has no other writable folder.
            self._db.execute("PRAGMA temp_store = MEMORY")
            if self._version() != _VERSION:
                self._make()
            if check:
                self._check()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close it; what was begun and not committed is undone."""
        self._db.close()

    def begin(self) -> None:
        """Begin a change, which counts from commit() on."""
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Let the change count."""
        self._db.execute("COMMIT")

    @property
    def complete(self) -> bool:
        """Whether it was filled once; before that, what it does not know may well be here."""
        return bool(self._db.execute("SELECT complete FROM state").fetchone()[0])

    def set_complete(self) -> None:
        """Say that it was filled."""
        self._db.execute("UPDATE state SET complete = 1")

    @property
    def journal_problem(self) -> str | None:
        """What is wrong with the journal, in a sentence without an end, if anything."""
        row: tuple[str | None] = self._db.execute("SELECT journal_problem FROM state").fetchone()
        return row[0]

    def replay(self, journal: Journal, *, whole: bool = False) -> set[str]:
        """Take in what the journal has gained; return the projects whose pages that changes.

        What the journal has lost stays known, and journal_problem says so from then on.

        Args:
            whole: read the journal from its start, to see whether it has lost something.
        """
        mark, end, problem = self._db.execute(
            "SELECT journal, journal_end, journal_problem FROM state"
        ).fetchone()
        self.removed = []
        changed = set()
        # With nothing taken in, the lines are those of another journal, or were kept by a catalogue
        # that was made anew.
        has_grown = mark == journal.mark(end) and (end > 0 or not self._has_lines())
        if has_grown and end != journal.end:
            for record in journal.since(end):
                self._note_removed(record)
                changed |= self._take_in(record)
        if whole or not has_grown:
            breaks = journal.breaks()
            # As long as each line follows the one before, what was taken in is there.
            lost = [] if has_grown and not breaks and not problem else self.lost(journal)
            problem = _problem(breaks, lost)
            if not has_grown and not problem:
                # Another one which has all that was known, such as one that was repaired.
                changed |= self._take_in_all(journal.since(0))
                self._db.execute("UPDATE state SET complete = 0")
            elif not has_grown:
                changed |= self._take_in_all(_merged(list(self.lines()), journal.since(0)))
        self._db.execute(
            "UPDATE state SET journal = ?, journal_end = ?, journal_problem = ?",
            (journal.mark(journal.end), journal.end, problem),
        )
        return changed

    def begin_journal(self) -> None:
        """Let the next replay() read the journal from its start and compare it with the lines."""
        self._db.execute("UPDATE state SET journal = '', journal_end = 0")

    def lost(self, journal: Journal) -> list[Record]:
        """Return what the journal once said and does not say any more, in order."""
        here = {record.text for record in journal.since(0)}
        return [record for record in self.lines() if record.text not in here]

    def lines(self) -> Iterator[Record]:
        """Yield what the journal has ever said, in order."""
        for (line,) in self._db.execute("SELECT line FROM lines ORDER BY number"):
            # An older version has kept lines that are no records to this one.
            if record := Record.parse(line):
                yield record

    def _has_lines(self) -> bool:
        return bool(self._db.execute("SELECT EXISTS (SELECT 1 FROM lines)").fetchone()[0])

    def _take_in_all(self, records: Iterable[Record]) -> set[str]:
        """Take in these lines in place of all that were; return the projects that may change."""
        changed = {project for (project,) in self._db.execute("SELECT project FROM history")}
        self._db.execute("DELETE FROM history")
        self._db.execute("DELETE FROM lines")
        for record in records:
            changed |= self._take_in(record)
        return changed

    def _note_removed(self, record: Record) -> None:
        """Keep in mind what a removal is of, unless it came back later."""
        self.removed = [one for one in self.removed if _file(one.location) != record.file]
        if record.action == "remove" and record.is_valid:
            for location, *seen in self._db.execute(
                "SELECT location, size, modified, signed FROM files WHERE file = ?",
                (record.file,),
            ):
                self.removed.append(Removed(location, Seen(*seen), record.time))

    def _take_in(self, record: Record) -> set[str]:
        file, action = record.file, record.action
        self._db.execute("INSERT INTO lines (line) VALUES (?)", (record.text,))
        if not record.is_valid:
            return set()
        try:
            project, _ = parse_name(file)
        except DistributionError:
            return set()
        if action in ("upload", "find"):
            self._db.execute(
                "INSERT INTO history (file, identity, beside, project, sha256, uploaded) VALUES"
                " (?1, ?2, NOT ?3 AND EXISTS (SELECT 1 FROM history WHERE identity = ?2),"
                " ?4, ?5, ?6) ON CONFLICT (file) DO UPDATE SET sha256 = excluded.sha256,"
                " uploaded = excluded.uploaded, by = NULL, signature = NULL, yanked = NULL"
                " WHERE sha256 != excluded.sha256",
                (
                    file,
                    identity(file),
                    record.instead_of is not None,
                    project,
                    record.sha256,
                    record.uploaded or record.time,
                ),
            )
            if action == "upload":
                by = record.by if record.by is not None and is_utf8(record.by) else None
                self._db.execute("UPDATE history SET by = ? WHERE file = ?", (by, file))
        elif action in ("sign", "remove"):
            digest = record.sha256 if action == "sign" else None
            self._db.execute("UPDATE history SET signature = ? WHERE file = ?", (digest, file))
        elif action in ("yank", "unyank"):
            reason = (record.reason or "") if action == "yank" else None
            self._db.execute("UPDATE history SET yanked = ? WHERE file = ?", (reason, file))
        return {project}

    def put(self, location: str, seen: Seen, distribution: Distribution) -> None:
        """Enter a distribution that is served."""
        metadata = distribution.metadata
        self._enter(
            location,
            seen,
            distribution.project,
            distribution.version,
            sha256=distribution.sha256,
            requires_python=distribution.requires_python,
            metadata_sha256=None if metadata is None else sha256(metadata).hexdigest(),
            metadata_size=None if metadata is None else len(metadata),
        )

    def refuse(self, location: str, seen: Seen, problem: str) -> None:
        """Enter a file that is not served, and why."""
        project = version = None
        with suppress(DistributionError):
            project, version = parse_name(_file(location))
        self._enter(location, seen, project, version, problem=problem)

    def _enter(
        self,
        location: str,
        seen: Seen,
        project: str | None,
        version: str | None,
        *,
        sha256: str | None = None,
        requires_python: str | None = None,
        metadata_sha256: str | None = None,
        metadata_size: int | None = None,
        problem: str | None = None,
    ) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                location,
                _file(location),
                _identity(location),
                project,
                version,
                *seen,
                sha256,
                requires_python,
                metadata_sha256,
                metadata_size,
                problem,
            ),
        )

    def drop(self, location: str) -> set[str]:
        """Delete the entry of a file; return the project whose pages that changes, if one."""
        rows = self._db.execute(
            "SELECT project FROM files WHERE location = ? AND problem IS NULL", (location,)
        ).fetchall()
        self._db.execute("DELETE FROM files WHERE location = ?", (location,))
        if rows:
            # What was refused for its name, which says the same: the next look reads it again.
            self._db.execute(
                "DELETE FROM files WHERE problem IS NOT NULL AND identity = ?",
                (_identity(location),),
            )
        return {project for (project,) in rows}

    def set_signed(self, location: str) -> set[str]:
        """Note that the signature of a distribution has arrived; return its project."""
        self._db.execute("UPDATE files SET signed = 1 WHERE location = ?", (location,))
        rows = self._db.execute("SELECT project FROM files WHERE location = ?", (location,))
        return {project for (project,) in rows}

    def seen(self) -> dict[str, Seen]:
        """Return every file it knows, by location, as it was when it was entered."""
        rows = self._db.execute("SELECT location, size, modified, signed FROM files")
        return {location: Seen(size, when, bool(signed)) for location, size, when, signed in rows}

    def problems(self) -> list[tuple[str, str]]:
        """Return location and sentence of every file that is not served."""
        return self._db.execute(
            "SELECT location, problem FROM files WHERE problem IS NOT NULL ORDER BY location"
        ).fetchall()

    def problem(self, location: str) -> str | None:
        """Return why a file is not served, None if it is or is not known."""
        row = self._db.execute(
            "SELECT problem FROM files WHERE location = ?", (location,)
        ).fetchone()
        return row[0] if row else None

    def served(self) -> Iterator[Served]:
        """Yield all that is served."""
        for row in self._db.execute(
            "SELECT location, signed, sha256, metadata_sha256, metadata_size FROM files"
            " WHERE problem IS NULL ORDER BY location"
        ):
            yield Served(*row)

    def listed(self, project: str) -> list[Listed]:
        """Return the distributions of a project."""
        rows = self._db.execute(
            "SELECT files.location, files.version, files.size, files.sha256, requires_python,"
            " metadata_sha256, uploaded, yanked, signed, modified FROM files"
            " LEFT JOIN history USING (file, sha256)"
            " WHERE files.project = ? AND problem IS NULL ORDER BY location",
            (project,),
        )
        return [
            Listed(
                location=location,
                version=version,
                size=size,
                sha256=digest,
                requires_python=requires_python,
                metadata_sha256=metadata_digest,
                uploaded=uploaded or timestamp(modified / 10**9),
                yanked=yanked,
                signed=bool(signed),
            )
            for (
                location,
                version,
                size,
                digest,
                requires_python,
                metadata_digest,
                uploaded,
                yanked,
                signed,
                modified,
            ) in rows
        ]

    def not_in_journal(self) -> set[str]:
        """Return the locations of what is served with other bytes than the journal says, if any."""
        rows = self._db.execute(
            "SELECT location FROM files LEFT JOIN history USING (file, sha256)"
            " WHERE problem IS NULL AND uploaded IS NULL"
        )
        return {location for (location,) in rows}

    def location(self, file: str) -> str | None:
        """Return where a served file of this name lies."""
        row = self._db.execute(
            "SELECT location FROM files WHERE identity = ? AND file = ? AND problem IS NULL",
            (_identity(file), file),
        ).fetchone()
        return row[0] if row else None

    def locations(self, file: str) -> list[str]:
        """Return where files lie whose names say the same as this, served or not."""
        rows = self._db.execute(
            "SELECT location FROM files WHERE identity = ? ORDER BY location", (_identity(file),)
        )
        return [location for (location,) in rows]

    def other_names(self, file: str) -> list[str]:
        """Return other names that say the same and stand in the journal, the first one first."""
        rows = self._db.execute(
            "SELECT file FROM history WHERE identity = ? AND file != ? ORDER BY number",
            (_identity(file), file),
        )
        return [other for (other,) in rows]

    def rivals(self, file: str) -> list[Rival]:
        """Return what is served under other names that say the same."""
        rows = self._db.execute(
            "SELECT location, size, modified, signed, number, beside FROM files"
            " LEFT JOIN history USING (file)"
            " WHERE files.identity = ? AND file != ? AND problem IS NULL ORDER BY location",
            (_identity(file), file),
        )
        return [
            Rival(location, Seen(size, modified, bool(signed)), _rank(number, beside))
            for location, size, modified, signed, number, beside in rows
        ]

    def rank(self, file: str) -> Rank:
        """Return how a file name stands to others that say the same."""
        row = self._db.execute("SELECT number, beside FROM history WHERE file = ?", (file,))
        return _rank(*(row.fetchone() or (None, None)))

    def sha256(self, file: str) -> str | None:
        """Return the digest under which a file name stands in the journal."""
        row = self._db.execute("SELECT sha256 FROM history WHERE file = ?", (file,)).fetchone()
        return row[0] if row else None

    def publisher(self, file: str) -> str | None:
        """Return the account that published a file; None if it was put there by hand."""
        row = self._db.execute("SELECT by FROM history WHERE file = ?", (file,)).fetchone()
        return row[0] if row else None

    def signature(self, file: str) -> str | None:
        """Return the digest of the signature of a file that stands in the journal."""
        row = self._db.execute("SELECT signature FROM history WHERE file = ?", (file,)).fetchone()
        return row[0] if row else None

    def ever_had(self, project: str) -> bool:
        """Return whether this index has or had files of that project, served or not."""
        return bool(
            self._db.execute(
                "SELECT EXISTS (SELECT 1 FROM history WHERE project = ?1)"
                " OR EXISTS (SELECT 1 FROM files WHERE project = ?1)",
                (project,),
            ).fetchone()[0]
        )

    def counts(self) -> tuple[int, int]:
        """Return how many distributions are served and of how many projects."""
        row: tuple[int, int] = self._db.execute(
            "SELECT (SELECT count(*) FROM files WHERE problem IS NULL),"
            " (SELECT count(*) FROM pages WHERE project != '')"
        ).fetchone()
        return row

    def has_list(self) -> bool:
        """Return whether the list of all projects was written."""
        return bool(self._db.execute("SELECT count(*) FROM pages WHERE project = ''").fetchone()[0])

    def projects(self) -> list[str]:
        """Return all projects that have pages, in order."""
        rows = self._db.execute("SELECT project FROM pages WHERE project != '' ORDER BY project")
        return [project for (project,) in rows]

    def pages(self) -> dict[str, str]:
        """Return the fingerprint of every project's pages; the list of all is that of ''."""
        return dict(self._db.execute("SELECT project, fingerprint FROM pages"))

    def set_page(self, project: str, fingerprint: str | None) -> bool:
        """Note that pages were written, or deleted if None; return whether that is news."""
        (known,) = self._db.execute(
            "SELECT count(*) FROM pages WHERE project = ?", (project,)
        ).fetchone()
        if fingerprint is None:
            self._db.execute("DELETE FROM pages WHERE project = ?", (project,))
        else:
            self._db.execute("INSERT OR REPLACE INTO pages VALUES (?, ?)", (project, fingerprint))
        return bool(known) == (fingerprint is None)

    def _check(self) -> None:
        (said,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise sqlite3.DatabaseError(said)

    def _version(self) -> int:
        version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        return version

    def _make(self) -> None:
        self._write_ahead()
        self.begin()
        if self._version() != _VERSION:
            # But for the lines: they are what the journal is compared with.
            for kind, name in self._db.execute(
                "SELECT type, name FROM sqlite_master WHERE type = 'table' AND name != 'lines'"
            ).fetchall():
                self._db.execute(f'DROP {kind} "{name}"')
            for statement in _SCHEMA.split(";\n"):
                self._db.execute(statement)
        self.commit()

    def _write_ahead(self) -> None:
        """Let readers go on while somebody writes, from now on."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                # Somebody else makes the catalogue. SQLite waits for locks, but not for this one.
                if str(error) != "database is locked" or time.monotonic() > until:
                    raise
            time.sleep(0.01)


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Return whether an error says that the file is damaged, not that a disk is full or so."""
    return type(error) is sqlite3.DatabaseError


def is_current(folder: Path) -> bool:
    """Return whether a catalogue of this version lies there; to open another makes it anew."""
    try:
        with closing(
            sqlite3.connect(f"{(folder / FILE).absolute().as_uri()}?mode=ro", uri=True)
        ) as db:
            return bool(db.execute("PRAGMA user_version").fetchone()[0] == _VERSION)
    except sqlite3.Error:
        return False


def is_whole(folder: Path) -> bool:
    """Return whether SQLite can use what lies there: a file, or none, that nobody cut to nothing.

    An empty file is a new catalogue only as long as the files are missing that come with its first
    page. SQLite would wait in vain for those who have the old one open.
    """
    file, *others = (_stat(folder / f"{FILE}{suffix}") for suffix in ("", "-wal", "-shm"))
    if not file.st_ino:
        return True
    return S_ISREG(file.st_mode) and (file.st_size > 0 or not any(one.st_ino for one in others))


def numbers(folder: Path) -> list[int]:
    """Return the inode of the file, whether it holds anything, and the inode of its -wal file.

    As long as somebody has the catalogue open, these change only if others spoil it.
    """
    file, added = (_stat(folder / name) for name in (FILE, f"{FILE}-wal"))
    return [file.st_ino, file.st_size > 0, added.st_ino]


def delete(folder: Path) -> None:
    """Delete a damaged catalogue, or what lies in its place."""
    for suffix in ("", "-wal", "-shm"):
        path = folder / f"{FILE}{suffix}"
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _merged(known: list[Record], here: Iterable[Record]) -> list[Record]:
    """Return all lines that are known or stand in the journal.

    Those known come in their order; each other one comes behind the line that it follows here, and
    behind what is known and not later.
    """
    place_of = {record.text: place for place, record in enumerate(known)}
    merged: list[Record] = []
    taken = 0
    for record in here:
        place = place_of.get(record.text)
        if place is None:
            while taken < len(known) and known[taken].time <= record.time:
                merged.append(known[taken])
                taken += 1
            merged.append(record)
        elif place >= taken:
            merged += known[taken : place + 1]
            taken = place + 1
    return merged + known[taken:]


def _problem(breaks: list[int], lost: list[Record]) -> str | None:
    """Return what is wrong with the journal: lines that do not follow others, and lost ones."""
    said = []
    if breaks:
        which = f"line {breaks[0]} does" if len(breaks) == 1 else f"{len(breaks)} lines do"
        said.append(f"{which} not follow the lines before")
    if lost:
        lines = "one line" if len(lost) == 1 else f"{len(lost)} lines"
        said.append(f"{lines} that pypi_index knows {'is' if len(lost) == 1 else 'are'} missing")
    if not said:
        return None
    return f"pypi_data/{JOURNAL} was damaged ({', '.join(said)}): run make pypi-journal-repair"


def _stat(path: Path) -> os.stat_result:
    """Return the status of a file; all of it is 0 if there is none."""
    try:
        return path.stat()
    except FileNotFoundError:
        return os.stat_result((0,) * 10)


def _file(location: str) -> str:
    return location.rpartition("/")[2]


def _identity(location: str) -> str | None:
    try:
        return identity(_file(location))
    except DistributionError:
        return None


def _rank(number: int | None, beside: int | None) -> Rank:
    return Rank(math.inf if number is None else number, bool(beside))
