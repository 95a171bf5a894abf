"""The page of a project on PyPI, as a value: what it says, checked, with nothing left out.

PEP 503, 592, 658, 691, 700, 714, 740 and 792 say what a page has. A page that is none is an error;
a file on it that cannot be served, such as one without a hash, is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from simple_repository.html_parser import SimpleHTMLParser

from ..negotiation import HTML, JSON, LEGACY
from ..terminal import quoted
from .kept import METADATA

DIGESTS = {
    "sha256": 64,
    "sha512": 128,
    "sha384": 96,
    "sha3_256": 64,
    "sha3_512": 128,
    "sha3_384": 96,
    "blake2b": 128,
    "blake2s": 64,
}
"""The hashes by which a file is checked, best first, and the hexadecimal digits of each. Two files
can be made to have one md5 or sha1: these do not count."""

_DIGEST = {name: re.compile(f"[0-9A-Fa-f]{{{count}}}") for name, count in DIGESTS.items()}
# What almost all URLs are like: the others are read part by part, which takes ten times as long.
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9.-]+/[!-~]*")
# Bytes of an HTML page: Python reads it letter by letter.
_HTML_LIMIT = 16 * 2**20
# Bytes of the name of a file.
_LONGEST_NAME = 240
_SDIST_SUFFIXES = (".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tar.Z", ".tar")


class DocumentError(Exception):
    """An answer is not the page of the project; the message says why."""


@dataclass(frozen=True)
class File:
    """A file as a page lists it.

    Attributes:
        filename: without a slash, printable, and such that it can be the name of a file.
        url: absolute, http or https, without a fragment.
        hashes: hexadecimal digests in lower case, by the names in DIGESTS; at least one.
        size: in bytes; None if the page does not say.
        upload_time: in UTC; None if the page does not say.
        yanked: whether it is yanked, or why (PEP 592).
        version: as its name says; None if that is not the name of a distribution of the project.
        metadata_hashes: as hashes, of its core metadata; None if they cannot be had and checked.
        raw: what the page says of it, as JSON (PEP 691), with all keys.
    """

    filename: str
    url: str
    hashes: dict[str, str]
    size: int | None = None
    upload_time: datetime | None = None
    yanked: bool | str = False
    version: Version | None = None
    metadata_hashes: dict[str, str] | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Document:
    """The page of a project.

    Attributes:
        name: of the project, normalised.
        raw: the page as JSON (PEP 691), with all keys that it has; each of its files can be served.
        etag: by which PyPI knows the page; empty if it gave none.
        gone: what earlier pages said of files that are kept here, and that PyPI no longer lists.
    """

    name: str
    raw: Mapping[str, Any] = field(repr=False)
    etag: str = ""
    gone: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)

    @cached_property
    def files(self) -> tuple[File, ...]:
        """All its files, in the order of the page."""
        return tuple(_file(self.name, raw) for raw in self.raw["files"])

    def file(self, filename: str) -> File | None:
        """Return the file of this name, also one that is gone; None if there is none."""
        for raw in (*self.raw["files"], *self.gone):
            if raw["filename"] == filename:
                return _file(self.name, raw)
        return None

    @property
    def status(self) -> str:
        """The status of the project (PEP 792), `active` if the page does not say."""
        said = self.raw.get("project-status")
        status = said.get("status") if isinstance(said, dict) else None
        return status if isinstance(status, str) else "active"


def parse(project: str, body: bytes, content_type: str, url: str, etag: str = "") -> Document:
    """Read an answer of PyPI.

    Args:
        project: the normalised name that was asked for.
        content_type: the header of that name.
        url: where the answer came from, to which its links are relative.

    Raises:
        DocumentError: if it is not the page of this project.
    """
    kind = content_type.partition(";")[0].strip().lower().replace(".latest+", ".v1+")
    if kind == JSON:
        raw = _from_json(body)
    elif kind in (HTML, LEGACY):
        raw = _from_html(project, body, url)
    else:
        raise DocumentError(f"the page has the type {quoted(content_type)}")
    if not isinstance(raw["name"], str) or canonicalize_name(raw["name"]) != project:
        raise DocumentError(f"the page is that of {quoted(str(raw['name']))}")
    raw["files"] = list(_usable(raw["files"], url))
    return Document(project, raw, etag)


def strongest(hashes: Mapping[str, str]) -> tuple[str, str]:
    """Return the name and the digest of the hash by which a file is checked.

    Args:
        hashes: of a file or of its metadata.
    """
    name = next(name for name in DIGESTS if name in hashes)
    return name, hashes[name]


def _from_json(body: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise DocumentError("the page is not the JSON that it says it is") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("files"), list) or "name" not in raw:
        raise DocumentError("the page is JSON, but not the page of a project")
    if not isinstance(raw.get("meta"), dict):
        raw["meta"] = {"api-version": "1.0"}
    _check_api(str(raw["meta"].get("api-version", "1.0")))
    return raw


def _refuse_constant(_: str) -> None:
    raise ValueError("JSON has no such number")


def _check_api(version: str) -> None:
    """Refuse a page of another major version (PEP 629)."""
    if not re.fullmatch(r"1(\.[0-9]{1,9})?", version):
        raise DocumentError(f"the page is of version {quoted(version)} of the Simple API, not 1")


def _from_html(project: str, body: bytes, url: str) -> dict[str, Any]:
    if len(body) > _HTML_LIMIT:
        raise DocumentError(f"the page is HTML of more than {_HTML_LIMIT // 2**20} MB")
    parser = SimpleHTMLParser()
    parser.feed(body.decode(errors="replace"))
    parser.close()
    said: dict[str, str] = {}
    base = url
    files = []
    for element in parser.elements:
        attributes = {name: value or "" for name, value in element.attrs.items()}
        if element.tag == "meta":
            said.setdefault(attributes.get("name", ""), attributes.get("content", ""))
        elif element.tag == "base" and "href" in attributes:
            base = _joined(url, attributes["href"])
        elif element.tag == "a" and element.content:
            files.append(_of_anchor(element.content.strip(), attributes, base))
    _check_api(said.get("pypi:repository-version", "1.0"))
    if "pypi:repository-version" not in said and not any(_usable(files, base)):
        # The page of a proxy that wants a login, say.
        raise DocumentError("the page is HTML, but not the page of a project")
    # Whatever the page says: JSON from 1.1 on must have sizes and versions, which HTML never has.
    raw: dict[str, Any] = {"meta": {"api-version": "1.0"}, "name": project, "files": files}
    if "pypi:project-status" in said:
        raw["project-status"] = {"status": said["pypi:project-status"]}
        if "pypi:project-status-reason" in said:
            raw["project-status"]["reason"] = said["pypi:project-status-reason"]
    return raw


def _of_anchor(filename: str, attributes: Mapping[str, str], base: str) -> dict[str, Any]:
    """Return what an anchor says of a file, as JSON has it."""
    url, fragment = urldefrag(_joined(base, attributes.get("href", "")))
    raw: dict[str, Any] = {"filename": filename, "url": url, "hashes": _pair(fragment)}
    if "data-requires-python" in attributes:
        raw["requires-python"] = attributes["data-requires-python"]
    metadata = attributes.get("data-core-metadata", attributes.get("data-dist-info-metadata"))
    if metadata is not None:
        raw["core-metadata"] = _pair(metadata) or metadata != "false"
    if "data-yanked" in attributes:
        raw["yanked"] = attributes["data-yanked"] or True
    if "data-provenance" in attributes:
        raw["provenance"] = _joined(base, attributes["data-provenance"])
    return raw


def _pair(text: str) -> dict[str, str]:
    """Return the hash that a text such as sha256=0123 has, if it has one."""
    name, separator, digest = text.partition("=")
    return {name: digest} if separator else {}


def _joined(base: str, url: str) -> str:
    """Return an absolute URL; an empty text if it can be none."""
    if url.startswith(("https://", "http://")):
        return url
    try:
        return urljoin(base, url)
    except ValueError:
        return ""


def _usable(files: list[Any], base: str) -> Iterator[dict[str, Any]]:
    """Yield those files that can be served, with absolute URLs."""
    seen = set()
    for raw in files:
        if not isinstance(raw, dict):
            continue
        filename, url = raw.get("filename"), raw.get("url")
        if not isinstance(filename, str) or not isinstance(url, str):
            continue
        url = urldefrag(_joined(base, url))[0]
        # Of two files of one name, a client could get the other one.
        if (
            filename in seen
            or not _is_filename(filename)
            or not _is_url(url)
            or not _has_hash(raw.get("hashes"))
        ):
            continue
        seen.add(filename)
        usable = {**raw, "url": url}
        for key, fits in _FITS.items():
            if key in raw and not fits(raw[key]):
                del usable[key]
        if usable.get("provenance"):
            usable["provenance"] = _joined(base, raw["provenance"])
        yield usable


# What a client could stumble over is left out of what a page says of a file.
_FITS: dict[str, Callable[[Any], bool]] = {
    "requires-python": lambda value: value is None or isinstance(value, str),
    "yanked": lambda value: isinstance(value, (bool, str)),
    "provenance": lambda value: value is None or isinstance(value, str),
    "core-metadata": lambda value: _has_hash(value),
    "dist-info-metadata": lambda value: _has_hash(value),
    "data-dist-info-metadata": lambda value: _has_hash(value),
    # No signature is served.
    "gpg-sig": lambda value: value is False,
}


def _is_filename(name: str) -> bool:
    # METADATA must fit behind it on disk, and no file may have the name of another's metadata.
    return (
        name.isprintable()
        and not name.startswith(".")
        and not name.endswith(METADATA)
        and "/" not in name
        and "\\" not in name
        and 0 < len(name.encode()) <= _LONGEST_NAME
    )


def _is_url(url: str) -> bool:
    if _PLAIN_URL.fullmatch(url):
        return True
    try:
        parts = urlsplit(url)
        # Reading the port finds one that cannot be.
        has_host = bool(parts.hostname) and (parts.port or 1) > 0
        return parts.scheme in ("http", "https") and has_host and url.isprintable()
    except ValueError:
        return False


def _hashes(said: object) -> dict[str, str]:
    """Return those hashes that count."""
    if not isinstance(said, dict):
        return {}
    return {name: digest.lower() for name, digest in said.items() if _counts(name, digest)}


def _has_hash(said: object) -> bool:
    """Return whether there is a hash that counts."""
    return isinstance(said, dict) and any(_counts(*item) for item in said.items())


def _counts(name: str, digest: object) -> bool:
    pattern = _DIGEST.get(name)
    return bool(pattern and isinstance(digest, str) and pattern.fullmatch(digest))


def _file(project: str, raw: Mapping[str, Any]) -> File:
    size, yanked = raw.get("size"), raw.get("yanked")
    return File(
        filename=raw["filename"],
        url=raw["url"],
        hashes=_hashes(raw["hashes"]),
        size=size if type(size) is int and size >= 0 else None,
        upload_time=_time(raw.get("upload-time")),
        yanked=yanked if isinstance(yanked, str) and yanked else bool(yanked),
        version=version_of(project, raw["filename"]),
        metadata_hashes=_hashes(raw.get("core-metadata", raw.get("dist-info-metadata"))) or None,
        raw=raw,
    )


def _time(said: object) -> datetime | None:
    """Return a time with its zone, in UTC; None for all else."""
    if not isinstance(said, str):
        return None
    try:
        time = datetime.fromisoformat(said.replace("Z", "+00:00"))
        return time.astimezone(timezone.utc) if time.tzinfo else None
    except (ValueError, OverflowError):
        return None


def version_of(project: str, filename: str) -> Version | None:
    """Return the version of a project's file by its name (PEP 427, PEP 625, and older sdists).

    None if it is not the name of a wheel, an egg or an sdist of this project.
    """
    stem, _, suffix = filename.rpartition(".")
    if suffix in ("whl", "egg"):
        name, _, rest = stem.partition("-")
        return parse_version(rest.partition("-")[0]) if canonicalize_name(name) == project else None
    for ending in _SDIST_SUFFIXES:
        if filename.endswith(ending):
            stem = filename.removesuffix(ending)
            # Both the name and the version of an old sdist may have hyphens.
            for place in (found.start() for found in re.finditer("-", stem)):
                if canonicalize_name(stem[:place]) == project:
                    return parse_version(stem[place + 1 :])
    return None


def parse_version(text: str) -> Version | None:
    """Return a version, None if the text is none (PEP 440), or does not fit into a file name."""
    return _version(text) if len(text) <= _LONGEST_NAME else None


# All files of a release have one.
@lru_cache(maxsize=1024)
def _version(text: str) -> Version | None:
    try:
        return Version(text.replace("_", "-"))
    except InvalidVersion:
        return None
