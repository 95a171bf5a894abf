"""What the page of a project shows, from the catalogue and the metadata of its newest release."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from urllib.parse import quote

from .. import audit, distribution, layout
from ..catalogue import Catalogue
from ..distribution import DistributionError
from ..journal import Record
from ..pages import Listed, ProjectStatus, version
from .details import Dependency, Details, is_web, line

RELEASES = 200
"""Releases that a page shows; the simple page has all."""
HISTORY = 100
"""Records that a page shows; `make pypi-audit` prints all."""


@dataclass(frozen=True)
class Job:
    """The job of CI that published a file, as its token told.

    Attributes:
        url: of its log; empty if the token told none.
    """

    workflow: str
    commit: str
    run: str
    url: str


@dataclass(frozen=True)
class File:
    """A distribution as a person sees it.

    Attributes:
        url: relative to the page of its project, as the others; empty if it is not offered.
        by: the account or trusted publisher that published it, empty if it was put there by hand.
        job: the job that published it, if it was a trusted publisher's and the page has the record.
    """

    name: str
    kind: str
    url: str
    size: str
    sha256: str
    uploaded: str
    by: str
    job: Job | None
    metadata_url: str
    signature_url: str
    provenance_url: str


@dataclass(frozen=True)
class Release:
    """One version of a project.

    Attributes:
        yanked: None, or the reason, which may be empty (PEP 592).
    """

    version: str
    uploaded: str
    yanked: str | None
    files: tuple[File, ...]

    @property
    def first(self) -> File:
        """The file that was published first."""
        return min(self.files, key=lambda one: one.uploaded)


@dataclass(frozen=True)
class Event:
    """Something that happened to a file, as the journal has it."""

    time: str
    what: str
    file: str
    by: str
    job: Job | None
    reason: str


@dataclass(frozen=True)
class Project:
    """A project that is served, or once was; the latest release gives its details.

    Attributes:
        name: normalised.
        status: its status and the reason, on one line (PEP 792).
        releases: the newest first; empty if nothing is served any more.
        older: how many releases there are besides these.
        history: the newest first.
        is_history_cut: whether the journal has more.
    """

    name: str
    status: ProjectStatus
    details: Details
    releases: tuple[Release, ...]
    older: int
    latest: Release | None
    requires_python: str
    history: tuple[Event, ...]
    is_history_cut: bool

    @property
    def is_removed(self) -> bool:
        """Whether nothing of it is served any more."""
        return not self.releases

    @property
    def is_offered(self) -> bool:
        """Whether clients get files of it."""
        return bool(self.releases) and self.status.status != "quarantined"

    @property
    def title(self) -> str:
        """Its name as its author spells it."""
        return self.details.name or self.name

    @property
    def version(self) -> str:
        """The latest version, empty if there is none."""
        return self.latest.version if self.latest else ""

    @property
    def pin(self) -> str:
        """A requirement that takes what is compatible with the latest version: `==0.*` for 0.1."""
        latest = version(self.version or "0")
        epoch = f"{latest.epoch}!" if latest.epoch else ""
        return f"{self.name}=={epoch}{latest.release[0]}.*"

    @property
    def dependencies(self) -> list[Dependency]:
        """What it always requires."""
        return [one for one in self.details.requires if not one.extra]

    @property
    def extras(self) -> list[tuple[str, list[Dependency]]]:
        """What each of its extras requires."""
        by_extra = attrgetter("extra")
        wanted = sorted((one for one in self.details.requires if one.extra), key=by_extra)
        return [(extra, list(group)) for extra, group in groupby(wanted, key=by_extra)]


def read(name: str, data: Path, folder: Path, known: Catalogue, held: Set[str]) -> Project:
    """Return a project.

    Args:
        name: its normalised name.
        data, folder: of the distributions and of the index.
        held: the normalised names of all projects that are served.
    """
    listed = sorted(known.listed(name), key=lambda one: version(one.version), reverse=True)
    records = known.history.about(name, HISTORY + 1)
    jobs = {one.file: _job(one) for one in reversed(records) if one.action == "upload"}
    status = known.history.statuses.of(name)
    is_offered = status.status != "quarantined"
    releases = tuple(
        _release([_file(one, jobs.get(one.file), is_offered) for one in files], files)
        for files in _by_version(listed)
    )
    latest = _latest(releases)
    files = [one for one in listed if latest and version(one.version) == version(latest.version)]
    details = Details.parse(_metadata(files, data, folder, is_offered))
    requires = tuple(replace(one, is_held=one.project in held) for one in details.requires)
    return Project(
        name=name,
        status=replace(status, reason=line(status.reason)),
        details=replace(details, requires=requires),
        releases=releases[:RELEASES],
        older=len(releases[RELEASES:]),
        latest=latest,
        requires_python=next((one.requires_python for one in files if one.requires_python), ""),
        history=tuple(map(_event, records[:HISTORY])),
        is_history_cut=len(records) > HISTORY,
    )


def _latest(releases: tuple[Release, ...]) -> Release | None:
    """Return the release that installers choose: the newest that is neither yanked nor early."""
    offered = [one for one in releases if one.yanked is None] or list(releases)
    final = [one for one in offered if not version(one.version).is_prerelease]
    return next(iter(final or offered), None)


def _metadata(files: list[Listed], data: Path, folder: Path, is_offered: bool) -> bytes:
    """Return the core metadata of a release: of a wheel, if there is one."""
    for one in sorted(files, key=lambda one: not one.file.endswith(".whl")):
        try:
            if one.metadata_sha256:
                place = layout.link(folder, one.location, withheld=not is_offered)
                return layout.metadata(place).read_bytes()
            return distribution.read(data / one.location).core
        except (OSError, DistributionError):
            # It was replaced just now, or is damaged: that keeps no other project from its page.
            continue
    return b""


def _release(files: list[File], listed: list[Listed]) -> Release:
    yanked = [one.yanked for one in listed]
    return Release(
        version=listed[0].version,
        uploaded=seconds(min(one.uploaded for one in listed)),
        # As PyPI has it: a release is yanked if all of its files are.
        yanked=None if None in yanked else line(yanked[0] or ""),
        files=tuple(sorted(files, key=lambda one: one.name)),
    )


def _by_version(listed: list[Listed]) -> list[list[Listed]]:
    return [list(files) for _, files in groupby(listed, lambda one: version(one.version))]


def _file(one: Listed, job: Job | None, is_offered: bool) -> File:
    url = f"../../packages/{quote(one.location)}" if is_offered else ""
    return File(
        name=one.file,
        kind="wheel" if one.file.endswith(".whl") else "sdist",
        url=url,
        size=_size(one.size),
        sha256=one.sha256,
        uploaded=seconds(one.uploaded),
        by=line(one.by or ""),
        job=job,
        metadata_url=f"{url}.metadata" if url and one.metadata_sha256 else "",
        signature_url=f"{url}.asc" if url and one.signed else "",
        provenance_url=f"{url}.provenance" if url and one.attested else "",
    )


def _job(record: Record) -> Job | None:
    told = record.job
    if not told:
        return None
    workflow, commit, run, url = (
        line(told.get(it, "")) for it in ("workflow", "commit", "run", "url")
    )
    return Job(workflow, commit, run, url if is_web(url) else "")


def _event(record: Record) -> Event:
    return Event(
        time=seconds(record.time),
        what=_what(record),
        file=record.file,
        by=line(record.by or ""),
        job=_job(record),
        reason=line(record.reason or ""),
    )


def _what(record: Record) -> str:
    done = audit.DONE.get(record.action, line(record.action))
    return f"{done} {line(record.status)}" if record.status else done


def seconds(time: str) -> str:
    """Return a time in the form of PEP 700 without its fraction of a second."""
    return f"{time[:19]}Z"


def _size(size: int) -> str:
    units = ("bytes", "kB", "MB", "GB")
    value, unit = float(size), 0
    while value >= 1000 and unit < len(units) - 1:
        value, unit = value / 1000, unit + 1
    return f"{size} bytes" if unit == 0 else f"{value:.1f} {units[unit]}"
