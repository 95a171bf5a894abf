"""The owner's policy: which files of PyPI clients get, and which sentence tells why.

It is one tracked file, public_policy.toml:

    cooldown_days = 7
    allow = ["numpy", "types-*"]        # optional: no other name is offered

    [[exempt]]                          # from the cooldown alone, for a repair that cannot wait
    name = "urllib3"
    version = "==2.9.1"                 # optional: of all versions
    reason = "repairs CVE-2026-1234"
    date = 2026-11-20

    [[block]]                           # by name, version or both, or by sha256
    name = "colourama"
    reason = "imitates colorama"

What blocks a file counts most, then PyPI's quarantine (PEP 792), the allow list, the exemptions and
last the cooldown. Wherever PyPI does not tell what a rule needs to know, the file is hidden.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from .. import toml
from ..settings import SettingError
from ..terminal import quoted

if TYPE_CHECKING:
    from .document import File

MOST_DAYS = 3650
# Letters: in less than this, no number has more digits than Python reads.
_LONGEST_SPECIFIER = 1000


class PolicyError(SettingError):
    """The policy cannot be used; the message names the file, the value and the remedy."""


@dataclass(frozen=True)
class Verdict:
    """Whether clients get a file.

    Attributes:
        offered: whether they do.
        rule: a sentence without its full stop: which rule says so, and what to do about it.
        until: when the cooldown ends that hides the file (aware, UTC); None if nothing ends by
            itself.
        is_by_time: whether the time of upload decides, so that the rule differs from file to file.
    """

    offered: bool
    rule: str
    until: datetime | None = None
    is_by_time: bool = False


@dataclass(frozen=True)
class Block:
    """An entry of the block list: the files it matches are offered to nobody."""

    reason: str
    name: str = ""
    version: SpecifierSet | None = None
    sha256: str = ""

    def matches(self, project: str, file: File) -> bool:
        """Return whether it blocks a file; if PyPI does not tell, it does."""
        if self.sha256:
            return file.hashes.get("sha256", self.sha256).lower() == self.sha256
        if self.name not in ("", project):
            return False
        return (
            self.version is None
            or file.version is None
            or self.version.contains(file.version, prereleases=True)
        )

    @property
    def by(self) -> str:
        """What it goes by, as a sentence names it."""
        if self.sha256:
            return "hash"
        if not self.name:
            return f"version {self.version}"
        return "name" if self.version is None else f"name and version {self.version}"


@dataclass(frozen=True)
class Exemption:
    """An entry that lets files through before their cooldown is over."""

    name: str
    reason: str
    since: date
    version: SpecifierSet | None = None

    def matches(self, file: File) -> bool:
        """Return whether it exempts a file of its project."""
        if self.version is None:
            return True
        return file.version is not None and self.version.contains(file.version, prereleases=True)


@dataclass(frozen=True)
class Policy:
    """What public_policy.toml says.

    Attributes:
        cooldown_days: how long a file must have been on PyPI; 0 is no cooldown.
        allow: names, and beginnings of names that end in `*`, which alone are offered; None for
            all.
        refusal: a sentence without its full stop that says why nothing at all is offered.
    """

    cooldown_days: int = 0
    allow: tuple[str, ...] | None = None
    exemptions: tuple[Exemption, ...] = ()
    blocks: tuple[Block, ...] = ()
    refusal: str = ""
    file: str = field(default="public_policy.toml", compare=False)

    @classmethod
    def parse(cls, text: str, name: str) -> Policy:
        """Read the policy in a text.

        Args:
            name: of the file, for messages.

        Raises:
            PolicyError: if it is no TOML (version 1.0), or says anything that the policy does not
                know.
        """
        try:
            told = toml.parse(text)
        except toml.NoTomlError as error:
            raise PolicyError(f"{name} is no TOML: {error}") from None
        return _Reader(name).policy(told)

    @classmethod
    def refusing(cls, reason: str) -> Policy:
        """Return the policy that offers nothing, for a reason: a sentence without its full stop."""
        return cls(refusal=reason)

    def verdict(self, project: str, file: File, now: datetime, *, status: str = "") -> Verdict:
        """Say whether clients get a file.

        Args:
            project: its normalised name.
            now: aware.
            status: of the project (PEP 792), as its page tells it.
        """
        if self.refusal:
            return Verdict(False, self.refusal)
        for block in self.blocks:
            if block.matches(project, file):
                return Verdict(False, f"blocked by {block.by}: {block.reason}")
        if status == "quarantined":
            return Verdict(False, "PyPI has quarantined the project")
        if not self._is_allowed(project):
            rule = f"not in the allow list: {project} would have to stand in allow in {self.file}"
            return Verdict(False, rule)
        for exemption in self.exemptions:
            if exemption.name == project and exemption.matches(file):
                rule = f"exempt from the cooldown since {exemption.since}: {exemption.reason}"
                return Verdict(True, rule)
        return self._after_cooldown(project, file, now)

    def _is_allowed(self, project: str) -> bool:
        return self.allow is None or any(
            project.startswith(name[:-1]) if name.endswith("*") else project == name
            for name in self.allow
        )

    def _after_cooldown(self, project: str, file: File, now: datetime) -> Verdict:
        days = self.cooldown_days
        if not days:
            return Verdict(True, "cooldown_days is 0")
        if file.upload_time is None:
            rule = f"PyPI tells no time of upload, and cooldown_days is {days}"
            return Verdict(False, f"{rule}: {self._way_out}")
        # A time to come is a clock that is wrong, or a lie: the file is taken for one of now.
        age = max(now - file.upload_time, timedelta())
        if age >= timedelta(days=days):
            rule = f"published {_ago(age)}, and cooldown_days is {days}"
            return Verdict(True, rule, is_by_time=True)
        what = file.filename if file.version is None else f"{project} {file.version}"
        rule = f"{what} was published {_ago(age)}, and cooldown_days is {days}"
        # Python counts no further than to the year 9999.
        until = file.upload_time + timedelta(days) if file.upload_time.year < 9000 else None
        if until:
            # Rounded up: at the minute that it names, the file is there.
            shown = until + timedelta(seconds=59)
            rule += f": it is offered from {shown:%Y-%m-%d %H:%M} UTC"
        return Verdict(False, f"{rule}; {self._way_out}", until, is_by_time=True)

    @property
    def _way_out(self) -> str:
        return f"an [[exempt]] in {self.file} lets it through"


def _ago(age: timedelta) -> str:
    for count, unit in ((age.days, "day"), (age.seconds // 3600, "hour")):
        if count:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "less than an hour ago"


class _Reader:
    """Turns what a TOML file says into a policy, or into an error that says what is wrong."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._where = ""

    def policy(self, told: dict[str, Any]) -> Policy:
        self._require_known(told, ("cooldown_days", "allow", "exempt", "block"))
        days = told.get("cooldown_days")
        # Of bool, which is an int to Python, too.
        if type(days) is not int or not 0 <= days <= MOST_DAYS:
            what = f"cooldown_days is {_shown(days)}" if days is not None else "no cooldown_days"
            remedy = f"write a whole number of days from 0, which is none, to {MOST_DAYS}"
            raise self._error(what, remedy)
        allow = told.get("allow")
        return Policy(
            cooldown_days=days,
            allow=None if allow is None else self._allow(allow),
            exemptions=tuple(map(self._exemption, self._tables(told, "exempt"))),
            blocks=tuple(map(self._block, self._tables(told, "block"))),
            file=self._file,
        )

    def _allow(self, told: Any) -> tuple[str, ...]:
        remedy = 'write a list of names, such as ["numpy", "types-*"]'
        if not isinstance(told, list):
            raise self._error(f"allow is {_shown(told)}", remedy)
        names = []
        for name in told:
            is_beginning = isinstance(name, str) and name.endswith("*")
            start = name.removesuffix("*") if is_beginning else name
            # What a beginning ends with stays: `types-*` does not match `typeshed`.
            normalised = _normalised(f"{start}x" if is_beginning else start)
            if not normalised or start == "":
                raise self._error(f"allow has {_shown(name)}", remedy)
            names.append(f"{normalised[:-1]}*" if is_beginning else normalised)
        return tuple(names)

    def _tables(self, told: dict[str, Any], key: str) -> Iterable[dict[str, Any]]:
        tables = told.get(key, [])
        if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
            raise self._error(f"{key} is {_shown(tables)}", f"begin each entry with [[{key}]]")
        for number, table in enumerate(tables, 1):
            self._where = f"[[{key}]] number {number}: "
            yield table
        self._where = ""

    def _exemption(self, told: dict[str, Any]) -> Exemption:
        self._require_known(told, ("name", "version", "reason", "date"))
        day = told.get("date")
        if type(day) is not date:
            what = "no date" if day is None else f"date is {_shown(day)}"
            raise self._error(
                what, "write the day it was added, such as 2026-11-20, without quotes"
            )
        if "name" not in told:
            raise self._error("no name", "write the name of the project that it lets through")
        return Exemption(self._name(told), self._reason(told), day, self._version(told))

    def _block(self, told: dict[str, Any]) -> Block:
        self._require_known(told, ("name", "version", "sha256", "reason"))
        if "sha256" not in told:
            if not ("name" in told or "version" in told):
                raise self._error("neither name, version nor sha256", "write what it blocks")
            name = self._name(told) if "name" in told else ""
            return Block(self._reason(told), name, self._version(told))
        if "name" in told or "version" in told:
            raise self._error("sha256 beside name or version", "write an entry for each")
        sha256 = told["sha256"]
        if not (isinstance(sha256, str) and re.fullmatch("[0-9A-Fa-f]{64}", sha256)):
            raise self._error(f"sha256 is {_shown(sha256)}", "write the 64 hexadecimal digits")
        return Block(self._reason(told), sha256=sha256.lower())

    def _name(self, told: dict[str, Any]) -> str:
        name = _normalised(told["name"])
        if not name:
            raise self._error(f"name is {_shown(told['name'])}", "write the name of one project")
        return name

    def _version(self, told: dict[str, Any]) -> SpecifierSet | None:
        if "version" not in told:
            return None
        version = told["version"]
        remedy = 'write a specifier, such as "==2.9.1" or "<2", or leave it out for all versions'
        if (
            not isinstance(version, str)
            or not version.strip(" ,")
            or len(version) > _LONGEST_SPECIFIER
        ):
            raise self._error(f"version is {_shown(version)}", remedy)
        try:
            return SpecifierSet(f"=={version}" if _is_version(version) else version)
        except InvalidSpecifier:
            raise self._error(f"version is {_shown(version)}", remedy) from None

    def _reason(self, told: dict[str, Any]) -> str:
        reason = told.get("reason")
        if not isinstance(reason, str) or not reason.strip() or not reason.isprintable():
            what = "no reason" if reason is None else f"reason is {_shown(reason)}"
            raise self._error(what, 'write one line for those who ask why, such as "malware"')
        return reason.strip().rstrip(".")

    def _require_known(self, told: dict[str, Any], known: Collection[str]) -> None:
        for key in told:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1, cutoff=0.7)
                remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
                raise self._error(f"the key {_shown(key)} is not known", remedy)

    def _error(self, what: str, remedy: str) -> PolicyError:
        return PolicyError(f"{self._file}: {self._where}{what}: {remedy}")


def _normalised(name: Any) -> str:
    """Return a name as PEP 503 normalises it; empty if it is none."""
    try:
        return canonicalize_name(name, validate=True)
    except (InvalidName, TypeError):
        return ""


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _shown(value: object) -> str:
    """Return a value as a message quotes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float, date)):
        # In hexadecimal, TOML may have more digits than Python prints.
        return str(value) if not isinstance(value, int) or abs(value) < 10**80 else "a huge number"
    if isinstance(value, str):
        return quoted(value)
    return "a table" if isinstance(value, dict) else f"a {type(value).__name__}"
