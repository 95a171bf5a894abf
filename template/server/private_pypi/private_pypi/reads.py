"""Reads from disk, as the gateway answers them: for make pypi-local, which has no gateway."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from email.utils import mktime_tz, parsedate_tz
from pathlib import Path
from stat import S_ISREG
from urllib.parse import quote

from packaging.utils import canonicalize_name
from pypiserver.bottle_wrapper import HTTPResponse, request, static_file

from . import pages
from .distribution import is_normalised
from .index import Index
from .refusals import not_ready, refusal

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
LEGACY = "text/html"


def reads(index: Index) -> Callable[[], None]:
    """Return a hook of bottle that answers what the index has, and lets unknown names pass."""
    simple, packages = index.folder / "simple", index.folder / "packages"

    def answer() -> None:
        path = request.environ.get("PATH_INFO", "")
        if request.method not in ("GET", "HEAD") or path == "/":
            return
        if path.startswith("/packages/"):
            raise _file(packages, path.removeprefix("/packages/"))
        if path == "/simple/":
            raise _page(simple) if (simple / pages.HTML).exists() else not_ready()
        if path == "/simple":
            raise _moved("simple/")
        # A name alone is of clients whose URL of the index does not end in /simple/.
        found = re.fullmatch("(/simple)?/([^/]+)(/?)", path, re.DOTALL)
        if not found or path in ("/packages", "/favicon.ico"):
            raise refusal(404, "There is nothing here: projects are under simple/, as JSON too.")
        below, name, slash = found.groups()
        normalised = canonicalize_name(name)
        if not is_normalised(normalised):
            raise refusal(404, "That is not the name of a project.")
        if (below, normalised, "/") != ("/simple", name, slash):
            up, down = "../" if slash else "", "" if below else "simple/"
            raise _moved(f"{up}{down}{normalised}/")
        status = index.status(name)
        if status == "here":
            raise _page(simple / name)
        if status == "not ready":
            raise not_ready()
        if status == "unreadable":
            text = "Part of pypi_data cannot be looked into, there may be files of any name"
            raise refusal(503, f"{text}: the index's log says why.", **{"Retry-After": "5"})
        if status == "gone":
            # Whoever takes the name on the public index is a stranger.
            text = f"This index serves no files of {name}, but has or had one that could be of it"
            raise refusal(404, f"{text}: make pypi-verify on the server names what is there.")

    return answer


def content_type(accept: str, asked: str = "") -> str:
    """Choose between the representations of a page (PEP 691).

    Args:
        accept: the header of that name.
        asked: the parameter `format` of the URL, which counts more.
    """
    # A plus that nobody encoded is a space.
    wanted = {asked.replace(" ", "+"): 1.0} if asked else _qualities(accept)
    best, chosen = 0.0, LEGACY
    for kind in (JSON, HTML, LEGACY):
        names = (kind, kind.replace(".v1", ".latest"))
        quality = max(wanted.get(name, 0.0) for name in names)
        if quality > best:
            best, chosen = quality, kind
    if wanted.get("text/*", wanted.get("*/*", 0.0)) > best:
        return LEGACY
    return chosen


def _qualities(accept: str) -> dict[str, float]:
    qualities = {}
    for entry in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        quality = 1.0
        for parameter in parameters:
            if re.fullmatch(r"q=([01](\.[0-9]*)?|\.[0-9]+)?", parameter):
                quality = float(parameter[2:] or 0)
        qualities[kind] = quality
    return qualities


def _moved(place: str) -> HTTPResponse:
    """Lead on to a place, as seen from this one, so that no proxy in front need be known."""
    # A client may send it with bytes that a header cannot have.
    query = quote(request.query_string, safe=string.punctuation, encoding="latin-1")
    return HTTPResponse(status=301, Location=f"{place}?{query}" if query else place)


def _page(folder: Path) -> HTTPResponse:
    kind = content_type(request.get_header("Accept", ""), request.query.get("format", ""))
    name = pages.JSON if kind == JSON else pages.HTML
    charset = "; charset=utf-8" if kind == LEGACY else ""
    answer = _unless_known(folder, name, f"{kind}{charset}")
    answer.set_header("Vary", "Accept")
    answer.set_header("Cache-Control", "private, no-cache")
    return answer


def _file(folder: Path, location: str) -> HTTPResponse:
    if any(not part or part.startswith(".") for part in location.split("/")):
        return refusal(404, "There is no such file.")
    is_text = location.endswith((".metadata", ".asc"))
    kind = "text/plain; charset=utf-8" if is_text else "application/octet-stream"
    answer = _unless_known(folder, location, kind)
    if answer.status_code < 400:
        answer.set_header("Cache-Control", "private, max-age=31536000, immutable")
    return answer


def _unless_known(folder: Path, name: str, kind: str) -> HTTPResponse:
    """Answer with a file, or without it if the client has it or had another (RFC 9110, section 13).

    As the gateway does; bottle knows neither tags nor If-Range.
    """
    try:
        stat = (folder / name).stat()
    except (OSError, ValueError):
        return refusal(404, "There is no such file.")
    if not S_ISREG(stat.st_mode):
        return refusal(404, "There is no such file.")
    etag, changed = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"', int(stat.st_mtime)
    match, none_match = _taken("If-Match"), _taken("If-None-Match")
    since, unless_since = _time(_taken("If-Modified-Since")), _time(_taken("If-Unmodified-Since"))
    in_range = _taken("If-Range")
    if match:
        # A weak tag is not enough to go on with what the client has.
        is_other = etag not in re.split(r"\s*,\s*", match) and match != "*"
    else:
        is_other = unless_since is not None and changed > unless_since
    if is_other:
        return refusal(412, "The file is not the one that the client has.", ETag=etag)
    if none_match:
        # It counts more than a time of whole seconds.
        is_known = etag in re.findall('"[^"]*"', none_match) or none_match == "*"
    else:
        is_known = since is not None and changed <= since
    if is_known:
        return HTTPResponse(status=304, ETag=etag)
    if in_range and in_range != etag and _time(in_range) != changed:
        _taken("Range")
    answer = static_file(name, root=str(folder), mimetype=kind)
    answer.set_header("ETag", etag)
    return answer


def _taken(header: str) -> str:
    """Return a header of the request, which bottle then does not see; empty if there is none."""
    value: str = request.environ.pop(f"HTTP_{header.upper().replace('-', '_')}", "")
    return value.strip()


def _time(date: str) -> int | None:
    """Return the seconds of an HTTP date (RFC 9110, section 5.6.7), None if it is none."""
    try:
        return mktime_tz(parsedate_tz(date))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
