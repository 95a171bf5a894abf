"""The catalogue: all that the index knows, in SQLite, so that no question is answered from files.

All of it is derived: `files` from the data folder; `lines`, `about`, `history` and `statuses` from
the journal; `pages` from the pages as they were written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from . import database
from .distribution import Distribution, DistributionError, identity, parse_name
from .facts import LastChange, Rank, Rival, Served
from .history import History
from .journal import timestamp
from .layout import file_of
from .pages import Listed
from .scan import Seen


class Catalogue:
    """An open catalogue.

    Attributes:
        history: the records of the journal, and what they say of each file.
    """

    def __init__(self, folder: Path, *, check: bool = False, read_only: bool = False) -> None:
        """Open the catalogue in a folder, make it if there is none.

        Args:
            check: read it through.
            read_only: write nothing, not even a catalogue that is missing.

        Raises:
            sqlite3.DatabaseError: if it is damaged; with `read_only`, also if it is missing.
        """
        self._db = database.connect(folder, check=check, read_only=read_only)
        self.history = History(self._db)

    def close(self) -> None:
        """Close it; changes since begin() that were not committed are undone."""
        self._db.close()

    def begin(self) -> None:
        """Begin a change, which counts from commit() on."""
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Let the change count."""
        self._db.execute("COMMIT")

    @property
    def complete(self) -> bool:
        """Whether all files were indexed once; before that, an unknown one may well be here."""
        return bool(self._db.value("SELECT complete FROM state"))

    def set_complete(self) -> None:
        """Say that all files were indexed."""
        self._db.execute("UPDATE state SET complete = 1")

    @property
    def url(self) -> str:
        """The URL of the index, as its pages name it; empty before it was served once."""
        return str(self._db.value("SELECT url FROM state"))

    def attested_projects(self) -> set[str]:
        """Return the projects of whose files attestations are served."""
        query = "SELECT DISTINCT project FROM files WHERE provenance_sha256 IS NOT NULL"
        return set(self._db.values(query))

    def set_url(self, url: str) -> None:
        """Say what the URL is."""
        self._db.execute("UPDATE state SET url = ?", (url,))

    def put(
        self, location: str, seen: Seen, distribution: Distribution, provenance_sha256: str | None
    ) -> None:
        """Add a distribution that is served, with the digest of the attestations that are."""
        metadata = distribution.metadata
        self._put(
            location,
            seen,
            project=distribution.project,
            version=distribution.version,
            sha256=distribution.sha256,
            requires_python=distribution.requires_python,
            metadata_sha256=None if metadata is None else sha256(metadata).hexdigest(),
            metadata_size=None if metadata is None else len(metadata),
            provenance_sha256=provenance_sha256,
        )

    def refuse(self, location: str, seen: Seen, problem: str) -> None:
        """Add a file that is not served, and why."""
        project = version = None
        with suppress(DistributionError):
            project, version = parse_name(file_of(location))
        self._put(location, seen, project=project, version=version, problem=problem)

    def _put(self, location: str, seen: Seen, **details: object) -> None:
        """Set the row of a file in `files`; columns that are not given become NULL."""
        row = {
            "location": location,
            "file": file_of(location),
            "identity": _identity(location),
            **seen._asdict(),
            **details,
        }
        self._db.execute(
            f"INSERT OR REPLACE INTO files ({', '.join(row)})"
            f" VALUES ({', '.join(f':{column}' for column in row)})",
            row,
        )

    def drop(self, location: str) -> set[str]:
        """Forget a file; return the project whose pages that changes, if any."""
        projects = self._db.values(
            "SELECT project FROM files WHERE location = :location AND problem IS NULL",
            location=location,
        )
        self._db.execute("DELETE FROM files WHERE location = :location", {"location": location})
        if projects:
            # Files of its identity were refused because of it: the next scan reads them again.
            self._db.execute(
                "DELETE FROM files WHERE problem IS NOT NULL AND identity = :identity",
                {"identity": _identity(location)},
            )
        return set(projects)

    def set_signed(self, location: str) -> set[str]:
        """Note that the signature of a distribution has arrived; return its project."""
        return self._set_beside(location, signed=1)

    def set_attested(self, location: str, modified: int, digest: str) -> set[str]:
        """Note that the attestations of a distribution have arrived; return its project."""
        return self._set_beside(location, attested=modified, provenance_sha256=digest)

    def _set_beside(self, location: str, **columns: object) -> set[str]:
        values = ", ".join(f"{column} = :{column}" for column in columns)
        self._db.execute(
            f"UPDATE files SET {values} WHERE location = :location",
            {"location": location, **columns},
        )
        projects = self._db.values(
            "SELECT project FROM files WHERE location = :location", location=location
        )
        return set(projects)

    def seen(self) -> dict[str, Seen]:
        """Return every file it knows, by location, as it was when it was indexed or refused."""
        rows = self._db.execute("SELECT location, size, modified, signed, attested FROM files")
        return {location: _seen(*seen) for location, *seen in rows}

    def problems(self) -> list[tuple[str, str]]:
        """Return location and sentence of every file that is not served."""
        return self._db.execute(
            "SELECT location, problem FROM files WHERE problem IS NOT NULL ORDER BY location"
        ).fetchall()

    def problem(self, location: str) -> str | None:
        """Return why a file is not served, None if it is or is not known."""
        problem: str | None = self._db.value(
            "SELECT problem FROM files WHERE location = :location", location=location
        )
        return problem

    def served(self) -> Iterator[Served]:
        """Yield all that is served."""
        rows = self._db.execute(
            "SELECT location, signed, sha256, metadata_sha256, metadata_size, attested,"
            " provenance_sha256, status IS 'quarantined'"
            " FROM files LEFT JOIN statuses USING (project)"
            " WHERE problem IS NULL ORDER BY location"
        )
        return map(Served._make, rows)

    def listed(self, project: str) -> list[Listed]:
        """Return the distributions of a project."""
        rows = self._db.execute(
            f"SELECT {_LISTED} FROM files LEFT JOIN history USING (file, sha256)"
            " WHERE files.project = :project AND problem IS NULL ORDER BY location",
            {"project": project},
        )
        return list(map(_listed, rows))

    def not_in_journal(self) -> set[str]:
        """Return the locations of served files whose bytes the journal does not have."""
        return set(
            self._db.values(
                "SELECT location FROM files LEFT JOIN history USING (file, sha256)"
                " WHERE problem IS NULL AND uploaded IS NULL"
            )
        )

    def location(self, file: str) -> str | None:
        """Return the location of the served file of this name."""
        location: str | None = self._db.value(
            "SELECT location FROM files"
            " WHERE identity = :identity AND file = :file AND problem IS NULL",
            identity=_identity(file),
            file=file,
        )
        return location

    def locations(self, file: str) -> list[str]:
        """Return the locations of all files of the identity of this name, served or not."""
        return self._db.values(
            "SELECT location FROM files WHERE identity = :identity ORDER BY location",
            identity=_identity(file),
        )

    def other_names(self, file: str) -> list[str]:
        """Return the other names of the same identity in the journal, the first one first."""
        return self._db.values(
            "SELECT file FROM history WHERE identity = :identity AND file != :file ORDER BY number",
            identity=_identity(file),
            file=file,
        )

    def rivals(self, file: str) -> list[Rival]:
        """Return the files served under other names of the same identity."""
        rows = self._db.execute(
            "SELECT location, size, modified, signed, attested, number, beside FROM files"
            " LEFT JOIN history USING (file) WHERE files.identity = :identity"
            " AND file != :file AND problem IS NULL ORDER BY location",
            {"identity": _identity(file), "file": file},
        )
        return [
            Rival(location, _seen(*seen), _rank(number, beside))
            for location, *seen, number, beside in rows
        ]

    def rank(self, file: str) -> Rank:
        """Return the place of a file name among those of its identity."""
        row = self._db.execute(
            "SELECT number, beside FROM history WHERE file = :file", {"file": file}
        ).fetchone()
        return _rank(*(row or (None, None)))

    def sha256(self, file: str) -> str | None:
        """Return the digest that the journal has for a file name."""
        digest: str | None = self._db.value(
            "SELECT sha256 FROM history WHERE file = :file", file=file
        )
        return digest

    def published_by(self, file: str) -> str | None:
        """Return the account or trusted publisher of a file; None if it was put there by hand."""
        account: str | None = self._db.value("SELECT by FROM history WHERE file = :file", file=file)
        return account

    def signature(self, file: str) -> str | None:
        """Return the digest that the journal has for the signature of a file."""
        digest: str | None = self._db.value(
            "SELECT signature FROM history WHERE file = :file", file=file
        )
        return digest

    def provenance(self, file: str) -> str | None:
        """Return the digest that the journal has for the attestations of a file."""
        digest: str | None = self._db.value(
            "SELECT provenance FROM history WHERE file = :file", file=file
        )
        return digest

    def provenances(self) -> dict[str, str]:
        """Return the digests that the journal has for attestations, by file name."""
        return dict(
            self._db.execute("SELECT file, provenance FROM history WHERE provenance IS NOT NULL")
        )

    def attested(self, location: str) -> str | None:
        """Return the digest of the attestations that are served beside a file."""
        digest: str | None = self._db.value(
            "SELECT provenance_sha256 FROM files WHERE location = :location", location=location
        )
        return digest

    def ever_had(self, project: str) -> bool:
        """Return whether this index has or had files of a project, served or not."""
        return bool(
            self._db.value(
                "SELECT EXISTS (SELECT 1 FROM history WHERE project = :project)"
                " OR EXISTS (SELECT 1 FROM files WHERE project = :project)",
                project=project,
            )
        )

    def names(self) -> set[str]:
        """Return the projects of which this index has or had files, served or not."""
        return set(
            self._db.values(
                "SELECT project FROM history UNION SELECT project FROM files"
                " WHERE project IS NOT NULL"
            )
        )

    def counts(self) -> tuple[int, int]:
        """Return how many distributions are served and of how many projects."""
        counts: tuple[int, int] = self._db.execute(
            "SELECT (SELECT count(*) FROM files WHERE problem IS NULL),"
            " (SELECT count(*) FROM pages WHERE project != '')"
        ).fetchone()
        return counts

    def releases(self) -> int:
        """Return of how many releases distributions are served."""
        count: int = self._db.value(
            "SELECT count(*) FROM"
            " (SELECT DISTINCT project, version FROM files WHERE problem IS NULL)"
        )
        return count

    def published(self, most: int) -> list[Listed]:
        """Return the served distributions that the journal had last, the newest first."""
        rows = self._db.execute(
            f"SELECT {_LISTED} FROM history JOIN files USING (identity, file, sha256)"
            " WHERE problem IS NULL ORDER BY history.number DESC LIMIT :most",
            {"most": most},
        )
        return list(map(_listed, rows))

    def last_changes(self) -> dict[str, LastChange]:
        """Return the last change of each project that is served or ever was.

        It changes whenever the simple page changes, and with each record about the project.
        """
        rows = self._db.execute("SELECT project, max(number) FROM about GROUP BY project")
        changes = {project: LastChange(number, "") for project, number in rows}
        for project, fingerprint in self.pages().items():
            if project:
                # A file that was put there by hand may not be in the journal yet.
                changes[project] = changes.get(project, LastChange(0, ""))._replace(
                    fingerprint=fingerprint
                )
        return changes

    def has_list(self) -> bool:
        """Return whether the list of all projects was written."""
        return self._has_page("")

    def projects(self) -> list[str]:
        """Return all projects that have pages, in order."""
        return self._db.values("SELECT project FROM pages WHERE project != '' ORDER BY project")

    def pages(self) -> dict[str, str]:
        """Return the fingerprint of the pages of every project; '' stands for the list of all."""
        return dict(self._db.execute("SELECT project, fingerprint FROM pages"))

    def set_page(self, project: str, fingerprint: str | None) -> bool:
        """Note that pages were written, or deleted if the fingerprint is None.

        Return True if the project was added or removed.
        """
        had_page = self._has_page(project)
        if fingerprint is None:
            self._db.execute("DELETE FROM pages WHERE project = :project", {"project": project})
        else:
            self._db.execute(
                "INSERT OR REPLACE INTO pages VALUES (:project, :fingerprint)",
                {"project": project, "fingerprint": fingerprint},
            )
        return had_page == (fingerprint is None)

    def _has_page(self, project: str) -> bool:
        query = "SELECT count(*) FROM pages WHERE project = :project"
        return bool(self._db.value(query, project=project))


# The columns of which _listed() makes a Listed.
_LISTED = (
    "location, version, size, sha256, requires_python, metadata_sha256, by, uploaded, yanked,"
    " signed, provenance_sha256, modified"
)


def _listed(row: tuple[Any, ...]) -> Listed:
    *first, by, uploaded, yanked, signed, provenance, modified = row
    when = uploaded or timestamp(modified / 10**9)
    return Listed(*[*first, when, yanked, bool(signed), by, provenance is not None])


def _identity(location: str) -> str | None:
    try:
        return identity(file_of(location))
    except DistributionError:
        return None


def _seen(size: int, modified: int, signed: int, attested: int) -> Seen:
    return Seen(size, modified, bool(signed), attested)


def _rank(number: int | None, beside: int | None) -> Rank:
    return Rank(math.inf if number is None else number, bool(beside))
