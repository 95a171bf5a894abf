"""Versions and pins as pip understands them (PEP 440, PEP 592), without anything to install."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_VERSION = re.compile(
    r"""v?(?:(?P<epoch>[0-9]+)!)?(?P<release>[0-9]+(?:\.[0-9]+)*)
    (?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_number>[0-9]*))?
    (?:-(?P<post_alone>[0-9]+)|[-_.]?(?P<post>post|rev|r)[-_.]?(?P<post_number>[0-9]*))?
    (?:[-_.]?(?P<dev>dev)[-_.]?(?P<dev_number>[0-9]*))?
    (?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_PHASES = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
_LAST = "~"
"""Sorts after the letter of every pre-release."""


class Version(NamedTuple):
    """A version, which compares as PEP 440 orders it.

    Attributes:
        release: its numbers, without zeros at the end.
        pre: letter and number of a pre-release; a final release sorts after them all.
        post: -1 if it is no post-release.
        dev: infinite if it is no development release.
        text: as it was written.
    """

    epoch: int
    release: tuple[int, ...]
    pre: tuple[str, int]
    post: int
    dev: float
    local: tuple[tuple[int, int, str], ...]
    text: str

    @property
    def is_prerelease(self) -> bool:
        """Whether pip leaves it alone unless it is asked for."""
        return self.pre[0] in ("a", "b", "rc") or self.dev != float("inf")

    @property
    def public(self) -> Version:
        """The version without its local part."""
        return self._replace(local=(), text="")


class Release(NamedTuple):
    """A version that an index has, and what it says about its files.

    Attributes:
        yanked: whether every file of it is withdrawn (PEP 592).
    """

    version: Version
    yanked: bool


def parse(text: str) -> Version | None:
    """Return a version (PEP 440), None if the text is none."""
    found = _VERSION.fullmatch(text.strip())
    if not found:
        return None
    part = found.groupdict()
    numbers = [int(number) for number in part["release"].split(".")]
    dev = int(part["dev_number"] or 0) if part["dev"] else float("inf")
    post = int(part["post_alone"] or part["post_number"] or 0)
    if not (part["post_alone"] or part["post"]):
        post = -1
    if part["pre"]:
        letter = part["pre"].lower()
        pre = (_PHASES.get(letter, letter), int(part["pre_number"] or 0))
    else:
        # 1.0.dev1 comes before 1.0a1.
        pre = ("", 0) if post < 0 and part["dev"] else (_LAST, 0)
    local = tuple(
        (1, int(word), "") if word.isdigit() else (0, 0, word)
        for word in re.split("[-_.]", (part["local"] or "").lower())
        if word
    )
    release = _without_zeros(tuple(numbers))
    return Version(int(part["epoch"] or 0), release, pre, post, dev, local, text.strip())


def allows(pin: str, version: Version) -> bool:
    """Return whether a pin such as `>=1,!=1.3.*` takes a version, pre-release or not.

    Raises:
        ValueError: if it is not a pin.
    """
    # All of them, for one that cannot be read may stand behind one that says no.
    answers = [_allows(clause.strip(), version) for clause in pin.split(",") if clause.strip()]
    return all(answers)


def pick(pin: str, releases: Iterable[Release]) -> Release | None:
    """Return the release that pip would install, None if there is none.

    That is the highest the pin takes. A yanked one only if the pin names it alone; a pre-release
    only if the pin names one or nothing else is left.

    Raises:
        ValueError: if it is not a pin.
    """
    exact = re.fullmatch(r"\s*={2,3}[^,*]+", pin) is not None
    fitting = [
        release
        for release in releases
        if allows(pin, release.version) and (exact or not release.yanked)
    ]
    asked_for = any(
        version.is_prerelease
        for text in re.findall(r"(?:^|,)\s*(?!!=)[=<>~]+\s*([^\s,]+)", pin)
        if (version := parse(text.removesuffix(".*")))
    )
    final = [release for release in fitting if asked_for or not release.version.is_prerelease]
    return max(final or fitting, key=lambda release: release.version[:-1], default=None)


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return a line for each package whose version changed, that came or that went.

    Args:
        before, after: the version of each package, by its name.
    """
    return [
        f"{name} {before.get(name, '(new)')} -> {after.get(name, '(gone)')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _without_zeros(numbers: tuple[int, ...]) -> tuple[int, ...]:
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers = numbers[:-1]
    return numbers


def _allows(clause: str, version: Version) -> bool:
    found = re.fullmatch(r"(===|==|!=|<=|>=|~=|<|>)\s*(\S+)", clause)
    if not found:
        raise ValueError(clause)
    operator, text = found.groups()
    if operator == "===":
        return version.text.lower() == text.lower()
    star = text.endswith(".*") and operator in ("==", "!=")
    wanted = parse(text.removesuffix(".*") if star else text)
    if not wanted:
        raise ValueError(clause)
    if star:
        same = _starts_with(version, text.removesuffix(".*"))
    elif operator == "~=":
        return _compatible(version, wanted, text)
    else:
        # A local part counts only against another.
        mine = version if wanted.local else version.public
        same = mine[:-1] == wanted[:-1]
    if operator in ("==", "!="):
        return same is (operator == "==")
    return _compares(operator, version, wanted)


def _compares(operator: str, version: Version, wanted: Version) -> bool:
    mine, theirs = version.public[:-1], wanted[:-1]
    if operator == ">=":
        return mine >= theirs
    if operator == "<=":
        return mine <= theirs
    same_release = (version.epoch, version.release) == (wanted.epoch, wanted.release)
    if operator == ">":
        # 1.0.post1 and 1.0+local are no later releases than 1.0.
        is_post = version.post >= 0 and wanted.post < 0 and wanted.dev == float("inf")
        family = same_release and version.pre == wanted.pre and is_post
        return version[:-1] > theirs and mine != theirs and not family
    # 1.0rc1 is no earlier release than 1.0.
    early = version.is_prerelease and not wanted.is_prerelease
    family = early and same_release and (wanted.post < 0 or version[2:4] == wanted[2:4])
    return version[:-1] < theirs and not family


def _starts_with(version: Version, prefix: str) -> bool:
    """Return whether a version is one of `prefix.*`."""
    wanted = parse(prefix)
    if not wanted:
        raise ValueError(prefix)
    if wanted.is_prerelease or wanted.post >= 0:
        return version.public[:-1] == wanted[:-1]
    length = _length(prefix)
    padded = version.release + (0,) * length
    given = wanted.release + (0,) * length
    return version.epoch == wanted.epoch and padded[:length] == given[:length]


def _compatible(version: Version, wanted: Version, text: str) -> bool:
    """Return whether `~=` takes a version: `~=1.4.2` is `>=1.4.2,==1.4.*`."""
    length = _length(text) - 1
    if length < 1:
        raise ValueError(text)
    padded = version.release + (0,) * length
    given = wanted.release + (0,) * length
    return (
        version.public[:-1] >= wanted[:-1]
        and version.epoch == wanted.epoch
        and padded[:length] == given[:length]
    )


def _length(text: str) -> int:
    """Return how many numbers the release of a version was written with."""
    found = _VERSION.match(text)
    return len(found["release"].split(".")) if found else 0
