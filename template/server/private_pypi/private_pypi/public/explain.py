"""What the policy makes of each release of a project, as a table for people."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone

from ..terminal import aligned
from .document import Document, File
from .policy import Policy, Verdict


def lines(document: Document, policy: Policy, now: datetime) -> list[str]:
    """Return a table of all releases, newest first: how many files are offered or hidden, and why.

    Files of which the names tell no version come last, each by itself.

    Args:
        now: aware.
    """
    if not document.files:
        return [f"PyPI has no files of {document.name}."]
    rows = [("RELEASE", "FILES", "RULE")]
    for release, files in _releases(document.files):
        for number, (count, verdict) in enumerate(_verdicts(document, files, policy, now)):
            state = f"{count} {'offered' if verdict.offered else 'hidden'}"
            rows.append(("" if number else release, state, verdict.rule))
    return aligned(rows)


def _releases(files: Iterable[File]) -> list[tuple[str, list[File]]]:
    releases: dict[str, list[File]] = {}
    versions = {}
    for file in files:
        name = file.filename if file.version is None else str(file.version)
        releases.setdefault(name, []).append(file)
        versions[name] = file.version
    known = [(version, name) for name, version in versions.items() if version is not None]
    unknown = sorted(name for name, version in versions.items() if version is None)
    ordered = [name for _, name in sorted(known, reverse=True)] + unknown
    return [(name, releases[name]) for name in ordered]


def _verdicts(
    document: Document, files: list[File], policy: Policy, now: datetime
) -> list[tuple[int, Verdict]]:
    """Return what is said of the files of a release, and of how many each.

    Files that the time of upload decides share one line, that of the latest of them.
    """
    found: dict[tuple[bool, str], list[Verdict]] = {}
    for file in sorted(files, key=_age):
        verdict = policy.verdict(document.name, file, now, status=document.status)
        key = (not verdict.offered, "" if verdict.is_by_time else verdict.rule)
        found.setdefault(key, []).append(verdict)
    return [(len(verdicts), verdicts[-1]) for _, verdicts in sorted(found.items())]


def _age(file: File) -> tuple[datetime, str]:
    return file.upload_time or datetime.min.replace(tzinfo=timezone.utc), file.filename
