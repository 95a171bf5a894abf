"""The status of each project (PEP 792): what the journal's last mark of it says."""

from __future__ import annotations

from .database import Database
from .distribution import is_normalised
from .journal import Record, require_utf8
from .pages import ACTIVE, ProjectStatus

EFFECTS = {
    "active": "its files are served, and it takes uploads",
    "archived": "its files are served, and it takes no uploads",
    "deprecated": "its files are served, it takes uploads, and clients may warn of it",
    "quarantined": "none of its files is served, and it takes no uploads",
}
"""What each status does, for people."""
REASON = 200
"""Letters that a reason may have: it stands in answers of one line."""

_TAKES_NO_UPLOADS = ("archived", "quarantined")


class StatusError(ValueError):
    """A project cannot be given a status; the message names the value and the remedy."""


class ClosedError(Exception):
    """The status of a project lets nobody publish or fetch a file of it; the message says so."""


class Statuses:
    """The statuses in an open catalogue. A project without one is active."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def of(self, project: str) -> ProjectStatus:
        """Return the status of a project, by its normalised name."""
        row = self._db.execute(
            "SELECT status, reason FROM statuses WHERE project = :project", {"project": project}
        ).fetchone()
        return ProjectStatus(*row) if row else ACTIVE

    def quarantined(self) -> set[str]:
        """Return the quarantined projects."""
        return set(self._db.values("SELECT project FROM statuses WHERE status = 'quarantined'"))

    def replay(self, record: Record) -> str:
        """Set the status that a mark of the journal says; return its project.

        Raises:
            StatusError: if somebody edited the line badly.
        """
        project, status = record.file, record.status
        if status not in EFFECTS or not is_normalised(project):
            raise StatusError(f"{project[:80]!a} has no such status: {status!a}")
        self._db.execute("DELETE FROM statuses WHERE project = :project", {"project": project})
        if status != ACTIVE.status:
            self._db.execute(
                "INSERT INTO statuses VALUES (:project, :status, :reason)",
                # A longer reason was written by hand. It does not take the status back.
                {"project": project, "status": status, "reason": (record.reason or "")[:REASON]},
            )
        return project


def require_open(project: str, status: ProjectStatus) -> None:
    """Refuse to publish a distribution of a project, or what belongs to one.

    Raises:
        ClosedError: if the project is archived or quarantined.
    """
    if status.status in _TAKES_NO_UPLOADS:
        raise ClosedError(
            f"{_told(project, status)} and takes no uploads: make pypi-mark PKG={project}"
            " STATUS=active on the server takes that back"
        )


def require_offered(project: str, status: ProjectStatus) -> None:
    """Refuse to serve a file of a project.

    Raises:
        ClosedError: if the project is quarantined.
    """
    if status.status == "quarantined":
        raise ClosedError(
            # Every reader may see this; the command is for the owner alone.
            f"{_told(project, status)}, so no file of it is served: ask the server's owner"
        )


def check(status: str, reason: str) -> None:
    """Refuse what cannot be the status of a project and its reason.

    Raises:
        StatusError: if it cannot.
        ReasonError: if the reason is not UTF-8.
    """
    if status not in EFFECTS:
        *others, last = EFFECTS
        raise StatusError(f"there is no status {status[:80]!a}: use {', '.join(others)} or {last}")
    if len(reason) > REASON:
        raise StatusError(f"the reason has {len(reason)} letters: use at most {REASON}")
    require_utf8(reason)


def _told(project: str, status: ProjectStatus) -> str:
    return f"{project} is {status.status}" + (f" ({status.reason})" if status.reason else "")
