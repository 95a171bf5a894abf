"""The file of the catalogue: a SQLite database that many processes use at the same time.

In write-ahead mode a crash never damages it; a power failure may take back the last changes, which
the journal and the data folder then bring again. A file that is lost or damaged is made again.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from stat import S_ISREG
from typing import Any, NamedTuple

FILE = "index.sqlite3"

_VERSION = 5
_PATIENCE = 60
"""Seconds to wait for other processes that write."""

_SCHEMA = f"""
CREATE TABLE files (
    location TEXT PRIMARY KEY,      -- path in the data folder
    file TEXT NOT NULL,
    identity TEXT,                  -- the same for all spellings of the name
    project TEXT,
    version TEXT,
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL,      -- st_mtime_ns
    signed INTEGER NOT NULL,        -- whether its .asc is beside it
    attested INTEGER NOT NULL,      -- st_mtime_ns of its .provenance, 0 if there is none
    sha256 TEXT,
    requires_python TEXT,
    metadata_sha256 TEXT,
    metadata_size INTEGER,
    provenance_sha256 TEXT,         -- of its .provenance, if that is served
    problem TEXT                    -- why it is not served
);
CREATE INDEX files_project ON files (project);
CREATE INDEX files_identity ON files (identity);
CREATE TABLE history (              -- every file there ever was
    number INTEGER PRIMARY KEY,     -- the order in the journal
    file TEXT NOT NULL UNIQUE,
    identity TEXT NOT NULL,
    beside INTEGER NOT NULL,        -- whether it came beside another of its identity
    project TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    uploaded TEXT NOT NULL,
    by TEXT,                        -- the account or trusted publisher of it, if any
    signature TEXT,                 -- sha256 of the signature that it published
    provenance TEXT,                -- sha256 of the attestations that it published
    yanked TEXT                     -- the reason
);
CREATE INDEX history_project ON history (project);
CREATE INDEX history_identity ON history (identity);
CREATE TABLE IF NOT EXISTS lines (number INTEGER PRIMARY KEY, line TEXT NOT NULL);
CREATE TABLE about (                -- which of the lines are about a project
    project TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (project, number)
) WITHOUT ROWID;
CREATE TABLE statuses (             -- of the projects that are not active
    project TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    reason TEXT NOT NULL            -- may be empty
);
CREATE TABLE pages (project TEXT PRIMARY KEY, fingerprint TEXT NOT NULL);
CREATE TABLE state (
    journal TEXT,                   -- digest of the last lines that were read
    journal_end INTEGER,            -- how much of it was read
    journal_problem TEXT,           -- what is wrong with it
    complete INTEGER,
    url TEXT NOT NULL               -- of the index, as the pages name it
);
INSERT INTO state VALUES ('', 0, NULL, 0, '');
PRAGMA user_version = {_VERSION};
"""


class Database(sqlite3.Connection):
    """A connection to the database of a catalogue."""

    def value(self, query: str, **parameters: object) -> Any:
        """Return the first column of the first row; None if there is no row."""
        row = self.execute(query, parameters).fetchone()
        return row[0] if row else None

    def values(self, query: str, **parameters: object) -> list[Any]:
        """Return the only column of all rows."""
        return [value for (value,) in self.execute(query, parameters)]


class State(NamedTuple):
    """What tells whether a database that a process has open is still the one in the folder.

    Attributes:
        inode: of the file, 0 if there is none.
        has_content: whether the file is not empty.
        wal: the inode of its -wal file, 0 if there is none.
    """

    inode: int
    has_content: bool
    wal: int

    def is_spoilt_since(self, opened: State) -> bool:
        """Return whether the same file lost its content or its -wal file since it was opened."""
        return self.inode == opened.inode and self != opened


def connect(folder: Path, *, check: bool = False, read_only: bool = False) -> Database:
    """Open the database in a folder, make it if there is none of this version.

    Args:
        check: read it through.
        read_only: write nothing.

    Raises:
        sqlite3.DatabaseError: if it is damaged; with `read_only`, also if it is missing or of
            another version.
    """
    if not is_whole(folder):
        raise sqlite3.DatabaseError(f"{FILE} was cut off or is no file")
    mode = "ro" if read_only else "rwc"
    db = sqlite3.connect(
        f"{(folder / FILE).absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_PATIENCE,
        isolation_level=None,
        factory=Database,
    )
    try:
        db.execute("PRAGMA synchronous = NORMAL")
        # The container has no other writable folder.
        db.execute("PRAGMA temp_store = MEMORY")
        if _version(db) != _VERSION:
            if read_only:
                raise sqlite3.DatabaseError(f"{FILE} is of another version")
            _make(db)
        if check and (found := db.value("PRAGMA quick_check(1)")) != "ok":
            raise sqlite3.DatabaseError(found)
    except BaseException:
        db.close()
        raise
    return db


def _version(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    return version


def _make(db: Database) -> None:
    _write_ahead(db)
    db.execute("BEGIN IMMEDIATE")
    # Another process may have made it meanwhile.
    if _version(db) != _VERSION:
        # Lines are kept: the journal is compared with them.
        for table in db.values(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name != 'lines'"
        ):
            db.execute(f'DROP TABLE "{table}"')
        for statement in _SCHEMA.split(";\n"):
            db.execute(statement)
    db.execute("COMMIT")


def _write_ahead(db: Database) -> None:
    """Let readers go on while another process writes, from now on."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # Another process makes the database: SQLite waits for locks, but not for this one.
            if str(error) != "database is locked" or time.monotonic() > until:
                raise
        time.sleep(0.01)


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Return whether an error says that the file is damaged, not that a disk is full or so."""
    return type(error) is sqlite3.DatabaseError


def is_current(folder: Path) -> bool:
    """Return whether a database of this version is there; to open another makes it anew."""
    try:
        with closing(
            sqlite3.connect(f"{(folder / FILE).absolute().as_uri()}?mode=ro", uri=True)
        ) as db:
            return _version(db) == _VERSION
    except sqlite3.Error:
        return False


def is_whole(folder: Path) -> bool:
    """Return whether SQLite can use what is there: no file, or one that was not cut to nothing.

    An empty file is a new database only as long as the files are missing that come with its first
    page. SQLite would wait in vain for processes that have the old one open.
    """
    file, *others = (_stat(folder / f"{FILE}{suffix}") for suffix in ("", "-wal", "-shm"))
    if not file.st_ino:
        return True
    return S_ISREG(file.st_mode) and (file.st_size > 0 or not any(one.st_ino for one in others))


def state(folder: Path) -> State:
    """Return the state of the database in a folder.

    While a process has it open, this changes only if another one spoils or replaces the files.
    """
    file, wal = (_stat(folder / name) for name in (FILE, f"{FILE}-wal"))
    return State(file.st_ino, file.st_size > 0, wal.st_ino)


def stamp(folder: Path) -> tuple[object, ...]:
    """Return what differs after each change of the database, without opening it."""
    stats = (_stat(folder / f"{FILE}{suffix}") for suffix in ("", "-wal"))
    # A time may be the same for two changes that follow closely; a counter in this file is not.
    try:
        with (folder / f"{FILE}-shm").open("rb") as shared:
            header = shared.read(48)
    except OSError:
        header = b""
    return header, *((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats)


def delete(folder: Path) -> None:
    """Delete a damaged database, or whatever is in its place."""
    for suffix in ("", "-wal", "-shm"):
        path = folder / f"{FILE}{suffix}"
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _stat(path: Path) -> os.stat_result:
    """Return the status of a file; all of it is 0 if there is none."""
    try:
        return path.stat()
    except FileNotFoundError:
        return os.stat_result((0,) * 10)
