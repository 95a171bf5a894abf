"""What single accounts may do: for which projects, and until when.

    pypi_auth/.rights       ci-billing projects=billing,acme-* until=2027-02-25

An account that has no line there may do all that its role may. A publisher with `projects`
publishes those alone, a reader installs those alone of the projects that are here; `until` is the
last day, in UTC, on which the account may do anything. The file is edited by `make pypi-user-*` and
by hand. A line that cannot be read shuts its account out: a slip never gives more than was meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from .layout import BESIDE

FILE = ".rights"

# A normalised name, or the start of one.
_PATTERN = re.compile(r"(?=.{1,240}$)[a-z0-9]+(-[a-z0-9]+)*(-?\*)?")
_SPELLINGS = re.compile(r"[-_.]+")


class RightsError(ValueError):
    """A text does not say what an account may do; the message says what to write instead."""


@dataclass(frozen=True)
class Rights:
    """What an account may do beside what its role says.

    Attributes:
        projects: normalised names (PEP 503); one that ends in `*` stands for all that begin so.
            Empty: all projects.
        until: the last day in UTC on which the account may do anything; None: it has no end.
    """

    projects: tuple[str, ...] = ()
    until: date | None = None

    @classmethod
    def parse(cls, words: Iterable[str]) -> Rights:
        """Read the words of a line behind the account's name, such as `until=2027-02-25`.

        Raises:
            RightsError: if a word is none of these, stands there twice or has a wrong value.
        """
        values: dict[str, str] = {}
        for word in words:
            key, sign, value = word.partition("=")
            if key not in ("projects", "until") or not sign or key in values:
                raise RightsError("write projects=NAME,PREFIX-* or until=YYYY-MM-DD, each once")
            values[key] = value
        # Without a value, it is not all projects: somebody meant some.
        if not values or values.get("projects") == "":
            raise RightsError("write projects=NAME,PREFIX-* or until=YYYY-MM-DD, or delete it")
        return cls(
            parse_projects(values["projects"]) if "projects" in values else (),
            _parse_day(values["until"]) if "until" in values else None,
        )

    def __str__(self) -> str:
        """The words of a line, as `parse` reads them."""
        projects = [f"projects={','.join(self.projects)}"] if self.projects else []
        return " ".join([*projects, *([f"until={self.until}"] if self.until else [])])

    @property
    def has_ended(self) -> bool:
        """Whether its last day is over."""
        return self.until is not None and today() > self.until

    def covers(self, project: str) -> bool:
        """Return whether a normalised name is one of its projects."""
        return not self.projects or any(_covers(pattern, project) for pattern in self.projects)


ALL = Rights()
"""What an account may do that has no line."""


def read(lines: Iterable[str]) -> tuple[dict[str, Rights | None], list[str]]:
    """Read the lines of the file.

    Returns:
        the rights by account, None for one that is to be shut out because its line cannot be read,
        and a complaint about each such line.
    """
    rights: dict[str, Rights | None] = {}
    complaints = []
    for number, line in enumerate(lines, start=1):
        name = name_of(line)
        if not name:
            continue
        try:
            if name in rights:
                raise RightsError("it has another line above: make one of the two")
            rights[name] = Rights.parse(line.split()[1:])
        except RightsError as error:
            rights[name] = None
            complaints.append(f"pypi_auth/{FILE} line {number}: {name[:80]!a} is shut out: {error}")
    return rights, complaints


def name_of(line: str) -> str:
    """Return the account whose rights a line tells; empty for a comment or an empty line.

    A colon behind the name, as the htpasswd files have it, is no part of the name.
    """
    words = line.split()
    return words[0].removesuffix(":") if words and not words[0].startswith("#") else ""


def parse_projects(text: str) -> tuple[str, ...]:
    """Return the names and prefixes of a list with commas, normalised.

    Raises:
        RightsError: if there is none, or one of them is neither a name nor a prefix with a `*` at
            its end.
    """
    if not text.strip():
        raise RightsError("PROJECTS= is empty: say which projects")
    patterns = [_SPELLINGS.sub("-", one.strip().lower()) for one in text.split(",")]
    for given, pattern in zip(text.split(","), patterns, strict=True):
        if not pattern:
            raise RightsError(
                f"an entry of {text[:80]!a} is empty: write one comma between two names"
            )
        if not _PATTERN.fullmatch(pattern):
            raise RightsError(
                f"{given.strip()[:80]!a} is not the name of a project, nor the start of names such"
                " as acme-*"
            )
    return tuple(dict.fromkeys(patterns))


def in_days(days: str) -> date:
    """Return the last day of an account that is to work for so many days from now.

    Raises:
        RightsError: if that is not a number from 1 to 9999.
    """
    if not re.fullmatch("[1-9][0-9]{0,3}", days):
        raise RightsError(f"DAYS={days[:80]!a} is not a number of days: use 1 to 9999")
    return today() + timedelta(days=int(days))


def today() -> date:
    """Return the day in UTC."""
    return datetime.now(timezone.utc).date()


def files_of(projects: Iterable[str]) -> str:
    """Return a regular expression (RE2) for the file names of distributions of these projects.

    It fits the name of a wheel or an sdist (PEP 427, PEP 625) exactly if `covers` fits its project,
    and the names of the files beside it.

    Args:
        projects: as Rights has them.
    """
    wheels, sdists = [], []
    for pattern in projects:
        name = pattern.rstrip("*").replace("-", "[-_.]+")
        # The name in a wheel's ends at its first dash, that in an sdist's at its last.
        in_wheel = name.replace("[-_.]", "[_.]")
        wheels.append(f"{in_wheel}[a-z0-9_.]*" if pattern.endswith("*") else in_wheel)
        sdists.append(f"{name}[a-z0-9_.-]*" if pattern.endswith("*") else name)
    wheel = rf"(?:{'|'.join(wheels)})-[a-z0-9_.!+-]+\.whl"
    sdist = rf"(?:{'|'.join(sdists)})-[a-z0-9_.!+]+\.(?:tar\.gz|zip)"
    beside = "|".join(map(re.escape, BESIDE))
    return rf"(?i:{wheel}|{sdist})(?:{beside})?"


def pages_of(projects: Iterable[str]) -> str:
    """Return a regular expression (RE2) for the normalised names of these projects."""
    return "|".join(
        f"{pattern[:-1]}[a-z0-9-]*" if pattern.endswith("*") else pattern for pattern in projects
    )


def _covers(pattern: str, project: str) -> bool:
    if pattern.endswith("*"):
        return project.startswith(pattern[:-1])
    return project == pattern


def _parse_day(text: str) -> date:
    try:
        # Python 3.11 takes other forms, too.
        if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise RightsError(f"until={text[:80]!a} is not a day: write it as 2027-02-25")
