"""Pages of the simple API: which releases of a project an index has (PEP 503, 691, 592)."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from versions import Release, Version, allows, parse

ACCEPT = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2,"
    " text/html;q=0.01"
)


class File(NamedTuple):
    """A distribution on a page.

    Attributes:
        requires_python: the versions of Python it is for (PEP 440), empty for all.
        hashes: in hexadecimal, by their algorithm's name in hashlib.
    """

    name: str
    yanked: bool
    requires_python: str
    hashes: dict[str, str]


def normalized(name: str) -> str:
    """Return the name that the page of a project has, equal for all spellings of it (PEP 503)."""
    return re.sub("[-_.]+", "-", name).lower()


def files(content_type: str, body: bytes) -> list[File]:
    """Return what a project's page lists.

    Args:
        content_type: the header of that name, which tells JSON from HTML.

    Raises:
        ValueError: if the page is not what its type says.
    """
    return _json(body) if "json" in content_type.lower() else _html(body)


def releases(project: str, content_type: str, body: bytes) -> list[Release]:
    """Return the releases on a project's page that this Python may install.

    Args:
        project: its normalized name.
        content_type, body: as files() takes them.

    Raises:
        ValueError: as files() does.
    """
    found: dict[Version, bool] = {}
    for file in files(content_type, body):
        version = _version(project, file.name)
        if version and _for_this_python(file.requires_python):
            found[version] = found.get(version, True) and file.yanked
    return [Release(version, yanked) for version, yanked in found.items()]


def _json(body: bytes) -> list[File]:
    page: Any = json.loads(body)
    files = page.get("files") if isinstance(page, dict) else None
    if files is None or isinstance(files, (str, int, float, dict)):
        raise ValueError("the page has no list of files")
    return [
        File(
            str(file.get("filename", "")),
            # Whoever withdraws a file may give the reason instead of true.
            file.get("yanked", False) is not False,
            str(file.get("requires-python") or ""),
            _hashes(file.get("hashes")),
        )
        for file in files
        if isinstance(file, dict)
    ]


def _hashes(value: Any) -> dict[str, str]:
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}


def _html(body: bytes) -> list[File]:
    parser = _Links()
    parser.feed(body.decode("utf-8", "replace"))
    parser.close()
    return parser.files


class _Links(HTMLParser):
    """Collects the anchors of a page; the text of each is the name of a file."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[File] = []
        self._attributes: dict[str, str | None] | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._attributes, self._text = dict(attrs), ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._attributes is not None:
            requires_python = self._attributes.get("data-requires-python") or ""
            yanked = "data-yanked" in self._attributes
            hashes = dict(parse_qsl((self._attributes.get("href") or "").partition("#")[2]))
            self.files.append(File(self._text.strip(), yanked, requires_python, hashes))
            self._attributes = None


def _version(project: str, file: str) -> Version | None:
    """Return the version in the name of a wheel or an sdist, None if it is neither."""
    if file.endswith(".whl"):
        parts = file.split("-")
        return parse(parts[1].replace("_", "-")) if len(parts) in (5, 6) else None
    stem, count = re.subn(r"\.(tar\.gz|zip|tar\.bz2|tgz)$", "", file)
    if not count:
        return None
    # The name itself may have hyphens, the version of an old sdist as well.
    for hyphen in re.finditer("-", stem):
        if normalized(stem[: hyphen.start()]) == project:
            return parse(stem[hyphen.end() :])
    return None


def _for_this_python(requires_python: str) -> bool:
    version = parse(".".join(map(str, sys.version_info[:3])))
    assert version is not None
    try:
        return allows(requires_python, version)
    except ValueError:
        return True  # as pip does
