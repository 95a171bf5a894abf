"""Core metadata: the few fields that the index reads, from a file that may be hostile."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from .archive import DistributionError
from .terminal import quoted

METADATA_LIMIT = 4 * 2**20
"""Bytes that metadata may have."""

FIELDS = {
    "metadata-version": 1000,
    "name": 1000,
    "version": 1000,
    "requires-python": 1000,
    "requires-dist": 10_000,
    "dynamic": 1000,
}
"""The fields that are read, and the bytes that one may have; the others are never parsed."""

FIELDS_LIMIT = 2**19
"""Bytes that all of these fields together may have."""

TOO_MUCH_METADATA = f"has more than {METADATA_LIMIT // 2**20} MB of metadata"

# The line after a field, and the line after all fields, as pip's parser of e-mails sees them
# (RFC 822).
_NEXT = re.compile(rb"^(?![ \t])", re.MULTILINE)
_END = re.compile(rb"^(?![!-9;-~]*:|[ \t]|From )", re.MULTILINE)


def split(content: bytes) -> tuple[bytes, bytes]:
    """Return the fields of core metadata, and the description behind them; each line ends alike."""
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    end = _END.search(lines)
    if not end:
        return lines, b""
    return lines[: end.start()], lines[end.start() :].removeprefix(b"\n")


def find_fields(head: bytes, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the name in lower case and the value of each field that has one of these names."""
    wanted = re.compile(rf"^({'|'.join(names)}):".encode(), re.IGNORECASE | re.MULTILINE)
    for start in wanted.finditer(head):
        following = _NEXT.search(head, start.end())
        yield start[1].decode().lower(), head[start.end() : following and following.start()]


@dataclass(frozen=True)
class Metadata:
    """The core metadata of a distribution.

    Attributes:
        content: all of it, as it is in the archive.
        fields: the values of each field that is read, by its name in lower case.
    """

    content: bytes
    fields: dict[str, list[str]]

    @classmethod
    def parse(cls, content: bytes) -> Metadata:
        """Read the fields; the description, behind an empty line, is left alone.

        Raises:
            DistributionError: if a field is too long, or all together are.
        """
        head, _ = split(content)
        fields: dict[str, list[str]] = {}
        total = 0
        for name, found in find_fields(head, FIELDS):
            length = len(name) + 1 + len(found)
            if length > FIELDS[name]:
                raise DistributionError(
                    f"has a {name.title()} of more than {FIELDS[name]:,} bytes in its metadata"
                )
            total += length
            if total > FIELDS_LIMIT:
                raise DistributionError(
                    f"has metadata whose Name, Version, Requires-Dist and the like have more than"
                    f" {FIELDS_LIMIT // 2**10} kB"
                )
            value = found.decode(errors="replace").strip()
            fields.setdefault(name, []).append(value)
        return cls(content, fields)

    @property
    def requires_python(self) -> str | None:
        """The versions of Python that it needs; None if it names none, or none that can be read."""
        value = self._only("requires-python")
        if not value:
            return None
        try:
            specifiers = SpecifierSet(value)
            specifiers.contains("3.13")  # Only this reads the numbers.
        except ValueError:
            return None
        return str(specifiers)

    @property
    def is_static(self) -> bool:
        """Whether building an sdist with this metadata cannot change it (PEP 643)."""
        match = re.fullmatch(r"([0-9]{1,4})\.([0-9]{1,4})", self._only("metadata-version") or "")
        is_new = match is not None and (int(match[1]), int(match[2])) >= (2, 2)
        return is_new and "dynamic" not in self.fields

    def check_release(self, file: str, project: str, version: str) -> None:
        """Check that Name and Version are those of the file name, however they are spelled.

        Raises:
            DistributionError: if not.
        """
        name, its_version = self._only("name"), self._only("version")
        if name is None or canonicalize_name(name) != project:
            raise _another(file, "Name", name, project)
        if its_version is None or not is_version(its_version, version):
            raise _another(file, "Version", its_version, version)

    def check_requirements(self, file: str) -> None:
        """Check that installers can read each Requires-Dist.

        Raises:
            DistributionError: if not.
        """
        for text in self.fields.get("requires-dist", []):
            try:
                Requirement(text)
            except (ValueError, RecursionError):
                raise DistributionError(
                    f"{file} has a Requires-Dist that installers cannot read: {quoted(text)}"
                ) from None

    def _only(self, name: str) -> str | None:
        """Return the value of a field; None if it is missing or there more than once."""
        values = self.fields.get(name, [])
        return values[0] if len(values) == 1 else None


def is_version(text: str, version: str) -> bool:
    """Return whether a text is this version, however it is spelled."""
    try:
        return Version(text) == Version(version)
    except ValueError:  # not a version, or a number of thousands of digits
        return False


def _another(file: str, field: str, value: str | None, expected: str) -> DistributionError:
    found = "missing" if value is None else quoted(value)
    return DistributionError(
        f"{file} has metadata of another {field.lower()}: {field} is {found},"
        f" the file name says {expected}"
    )
