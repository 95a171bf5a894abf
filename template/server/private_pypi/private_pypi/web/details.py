"""What core metadata tells a person about a release, from a file that may be hostile.

Whatever it says, reading it takes a time that grows with its size alone, and no more is taken over
than a page can show. Nothing is refused here: a field that makes no sense is left out.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from email.utils import getaddresses
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..metadata import find_fields, split

_FIELDS = (
    "name",
    "summary",
    "keywords",
    "description",
    "description-content-type",
    "author",
    "author-email",
    "maintainer",
    "maintainer-email",
    "license",
    "license-expression",
    "classifier",
    "home-page",
    "download-url",
    "project-url",
    "requires-dist",
)
LONGEST_VALUE, MOST_VALUES = 1000, 200
"""Bytes of one value, and values of one field, that are looked at; only a description is longer."""
_ONE_LINE = 500
"""Letters of a value that a page shows in one line."""

# As packaging writes markers: a condition for an extra, the same with the word that joins it to
# another condition, and conditions of which one has to hold.
_EXTRA = re.compile(r'extra == "([A-Za-z0-9._-]{1,100})"|"([A-Za-z0-9._-]{1,100})" == extra')
_JOINED = re.compile(rf" and (?:{_EXTRA.pattern})|(?:{_EXTRA.pattern})(?: and )?")
_EITHER = re.compile(r"\([^()]*\)")
_LICENSE = "License :: "


@dataclass(frozen=True)
class Dependency:
    """A distribution that another one requires.

    Attributes:
        name: as it is spelled there.
        project: its normalised name.
        rest: extras, versions and markers.
        extra: the extra that requires it, empty if it is always required.
        is_held: whether this index has the project.
    """

    name: str
    project: str
    rest: str
    extra: str
    is_held: bool = False


@dataclass(frozen=True)
class Details:
    """The details of one release.

    Attributes:
        name: as its author spells it.
        description: as it was written; its form is `content_type`.
        authors: names and e-mail addresses, of which one may be empty.
        links: labels and absolute http(s) URLs.
    """

    name: str = ""
    summary: str = ""
    keywords: tuple[str, ...] = ()
    description: str = ""
    content_type: str = ""
    license: str = ""
    authors: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    classifiers: tuple[str, ...] = ()
    requires: tuple[Dependency, ...] = ()

    @classmethod
    def parse(cls, metadata: bytes) -> Details:
        """Read core metadata."""
        head, body = split(metadata)
        fields: dict[str, list[str]] = {}
        described = ""
        for name, value in find_fields(head, _FIELDS):
            values = fields.setdefault(name, [])
            if name == "description":
                described = described or value.decode(errors="replace")
            elif len(values) < MOST_VALUES and not _says_less_when_cut(name, value):
                values.append(value[:LONGEST_VALUE].decode(errors="replace").strip())

        def only(name: str) -> str:
            return line(next(iter(fields.get(name, [])), ""))

        classifiers = tuple(map(line, fields.get("classifier", [])))
        written = body.decode(errors="replace") if body.strip() else _dedented(described)
        return cls(
            name=only("name"),
            summary=only("summary"),
            keywords=_keywords(only("keywords")),
            description=text(written).strip("\n"),
            content_type=only("description-content-type"),
            license=only("license-expression") or _license(fields.get("license"), classifiers),
            authors=_authors(fields),
            links=tuple(_links(fields)),
            classifiers=classifiers,
            requires=_requires(fields.get("requires-dist", [])),
        )


def line(value: str) -> str:
    """Return a text as one line of characters that are shown, and none that a page acts on.

    Marks of writing direction, which show one name as another, are among those that are left out.
    """
    joined = " ".join(value[: 4 * _ONE_LINE].split())
    shown = "".join(letter for letter in joined if letter.isprintable())
    return shown if len(shown) <= _ONE_LINE else f"{shown[: _ONE_LINE - 1]}…"


def text(value: str) -> str:
    """Return a text of many lines with only the characters that HTML and XML can have."""
    return re.sub("[^\t\n\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", value)


def _says_less_when_cut(name: str, value: bytes) -> bool:
    """Return whether a value is too long to be shown, and the start of it would be another one."""
    return name in ("requires-dist", "project-url") and len(value) > LONGEST_VALUE


def _keywords(value: str) -> tuple[str, ...]:
    found = value.split("," if "," in value else None)
    return tuple(dict.fromkeys(filter(None, map(str.strip, found))))


def _dedented(value: str) -> str:
    """Return a description that stands in a field, without the indent that it must have there."""
    first, _, rest = value.partition("\n")
    return f"{first.strip()}\n{textwrap.dedent(re.sub('(?m)^ {7}[|]', ' ' * 8, rest))}"


def _license(values: list[str] | None, classifiers: tuple[str, ...]) -> str:
    # Some put all of a license there: its first line tells which one it is.
    first = line(values[0].partition("\n")[0]) if values else ""
    if first and first.upper() != "UNKNOWN":
        return first
    named = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith(_LICENSE)]
    return ", ".join(named)


def _authors(fields: dict[str, list[str]]) -> tuple[tuple[str, str], ...]:
    found: dict[tuple[str, str], None] = {}
    for role in ("author", "maintainer"):
        names = [line(value) for value in fields.get(role, [])[:1]]
        try:
            addresses = getaddresses([line(value) for value in fields.get(f"{role}-email", [])[:1]])
        except RecursionError:  # Comments within comments.
            addresses = []
        pairs = [(name, address if "@" in address else "") for name, address in addresses]
        if len(names) == len(pairs) == 1 and not pairs[0][0]:
            pairs = [(names[0], pairs[0][1])]
        elif not {name for name, _ in pairs if name}:
            pairs = [*((name, "") for name in names), *pairs]
        found.update(dict.fromkeys(pair for pair in pairs if any(pair)))
    return tuple(found)


def _links(fields: dict[str, list[str]]) -> list[tuple[str, str]]:
    labelled = [("Home page", value) for value in fields.get("home-page", [])[:1]]
    for value in fields.get("project-url", []):
        label, _, url = value.partition(",")
        labelled.append((label, url))
    labelled += [("Download", value) for value in fields.get("download-url", [])[:1]]
    stripped = [(line(label), url.strip()) for label, url in labelled]
    return [(label or line(url), url) for label, url in stripped if is_web(url)]


def is_web(url: str) -> bool:
    """Return whether a text is an absolute http(s) URL that a link may have."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable()


def _requires(values: list[str]) -> tuple[Dependency, ...]:
    found = []
    for value in values:
        try:
            requirement = Requirement(value)
        except (ValueError, RecursionError):
            continue
        marker = str(requirement.marker or "")
        extras = ["".join(either) for either in _EXTRA.findall(marker)]
        rest = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        rest += f"@ {requirement.url} " if requirement.url else str(requirement.specifier)
        # Where all conditions have to hold, the page says by a heading which extra it is.
        plain = _EITHER.sub("", marker)
        is_heading = _EXTRA.search(plain) and " or " not in plain and "(" not in plain
        other = _JOINED.sub("", marker) if is_heading else marker
        rest = line(f"{rest}; {other}" if other else rest)
        found += [
            Dependency(
                name=requirement.name,
                project=canonicalize_name(requirement.name),
                rest=f" {rest}" if requirement.url else rest,
                extra=extra,
            )
            for extra in dict.fromkeys(extras or [""])
        ]
    return tuple(found)
