"""Reads of the index from disk, as the gateway answers them: `make pypi-local` has no gateway."""

from __future__ import annotations

import re
import string
from pathlib import Path
from urllib.parse import parse_qs, quote

from packaging.utils import canonicalize_name

from . import attestations, files, pages, statuses
from .answers import Answer, Environ, refusal
from .distribution import is_normalised
from .index import Index
from .layout import PACKAGES, SIMPLE, distribution_of, pages_of, project_of
from .names import is_reserved
from .negotiation import JSON, LEGACY, content_type
from .refusals import not_ready
from .settings import Settings

FOR_PEOPLE = re.compile(
    r"/(|feed\.atom|projects\.html|search\.json|static/[a-z]+\.(css|js|svg)"
    r"|project/[a-z0-9-]+/(feed\.atom)?)"
)
"""The paths of the pages for people, as gateway/Caddyfile has them."""
FROM_PYPI = re.compile("/public/([a-z0-9]+(?:-[a-z0-9]+)*)/[A-Za-z0-9][A-Za-z0-9._+!~-]*")
"""The paths of files of PyPI, as gateway/Caddyfile has them."""
UNKNOWN = ("Private-Pypi", "unknown")
"""The header that tells the gateway that a name is not ours, so that it may ask `public`. No client
sees it."""
POLICY = (
    "default-src 'none'; connect-src 'self'; form-action 'self'; img-src 'self'; script-src 'self';"
    " style-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of these pages: they show texts of strangers, of which nothing runs,
loads or leads a form away."""
_KINDS = {
    "atom": "application/atom+xml; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
}


def answer(index: Index, settings: Settings, environ: Environ) -> Answer | None:
    """Answer GET and HEAD for all that the index has, and for names that are reserved.

    Returns:
        None for the root, for other methods, and for other projects that are unknown, unless the
            gateway has to ask for them elsewhere.
    """
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return None
    try:
        # PEP 3333 has each byte of a path as a character.
        path = environ.get("PATH_INFO", "").encode("latin-1").decode()
    except UnicodeError:
        return refusal(400, "The path of the URL is not UTF-8.")
    for_people = _for_people(index, settings.web, path, environ)
    return for_people or _find(index, settings, path, environ)


def _find(index: Index, settings: Settings, path: str, environ: Environ) -> Answer | None:
    simple = index.folder / SIMPLE
    if path == "/":
        return None
    if path.startswith("/packages/"):
        return _file(index, path.removeprefix("/packages/"), environ)
    if path == "/simple/":
        return _page(simple, environ) if (simple / pages.HTML).exists() else not_ready()
    if path == "/simple":
        return _moved("simple/", environ)
    if settings.mirror and (of_pypi := FROM_PYPI.fullmatch(path)):
        return _of_pypi(index, settings, of_pypi[1])
    # Clients whose URL of the index does not end in /simple/ ask for a name alone.
    found = re.fullmatch("(/simple)?/([^/]+)(/?)", path, re.DOTALL)
    if not found or path in ("/packages", "/favicon.ico"):
        return refusal(404, "There is nothing here: projects are under simple/, as JSON too.")
    below, name, slash = found.groups()
    normalised = canonicalize_name(name)
    if not is_normalised(normalised):
        return refusal(404, "That is not the name of a project.")
    if (below, normalised, "/") != ("/simple", name, slash):
        up, down = "../" if slash else "", "" if below else "simple/"
        return _moved(f"{up}{down}{normalised}/", environ)
    presence = index.presence(name)
    if presence == "here":
        return _page(pages_of(index.folder, name), environ)
    return _without_page(presence, name) or _unknown(settings, name)


def _of_pypi(index: Index, settings: Settings, name: str) -> Answer | None:
    """Answer for a file that the gateway has from PyPI, if the name is not ours."""
    presence = index.presence(name)
    if presence == "here":
        text = f"This index has a project {name} of its own, and no files of PyPI under that name."
        return refusal(404, text)
    return _without_page(presence, name) or _unknown(settings, name)


def _for_people(index: Index, web: Path, path: str, environ: Environ) -> Answer | None:
    """Answer for the pages for people; None for other paths, and for the root until it is made."""
    if FOR_PEOPLE.fullmatch(path):
        named = f"{path}index.html" if path.endswith("/") else path
        file = web / named[1:]
        if file.is_file():
            answer = files.send(file, _KINDS[named.rpartition(".")[2]], environ)
            policy = ("Content-Security-Policy", POLICY)
            return answer.with_headers(("Cache-Control", "private, no-cache"), policy)
    found = re.fullmatch(r"/project/([^/]+)(/?|/feed\.atom)", path, re.DOTALL)
    if not found:
        return None
    name, rest = found.groups()
    normalised = canonicalize_name(name)
    if not is_normalised(normalised):
        return refusal(404, "That is not the name of a project.")
    if name != normalised or not rest:
        return _moved(f"{'../' if rest else ''}{normalised}{rest or '/'}", environ)
    if index.presence(name) in ("here", "not ready"):
        text = "The page of this project is being made: reload it in a moment."
        return refusal(503, text, ("Retry-After", "5"))
    return refusal(404, f"This index has no project {name}.")


def _unknown(settings: Settings, name: str) -> Answer | None:
    if is_reserved(name, settings.private_prefixes):
        text = f"This index has no project {name}, and asks nobody else for a name with this prefix"
        return refusal(404, f"{text}.")
    return refusal(404, f"This index has no project {name}.", UNKNOWN) if settings.mirror else None


def _without_page(presence: str, name: str) -> Answer | None:
    """Answer for a name that is or could be ours, but of which no page can be served."""
    if presence == "not ready":
        return not_ready()
    if presence == "unreadable":
        text = "Part of pypi_data cannot be looked into, there may be files of any name"
        return refusal(503, f"{text}: the index's log says why.", ("Retry-After", "5"))
    if presence == "gone":
        # On the public index, anybody could have taken the name.
        text = f"This index serves no files of {name}, but has or had one that could be of it"
        return refusal(404, f"{text}: make pypi-verify on the server names what is there.")
    return None


def _moved(place: str, environ: Environ) -> Answer:
    """Redirect to a place relative to this one, whatever name and path a proxy gives the index."""
    # A client may send it with bytes that a header cannot have.
    query = quote(environ.get("QUERY_STRING", ""), safe=string.punctuation, encoding="latin-1")
    location = f"{place}?{query}" if query else place
    return Answer(301, (("Location", location), ("Content-Length", "0")))


def _page(folder: Path, environ: Environ) -> Answer:
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    kind = content_type(environ.get("HTTP_ACCEPT", ""), query.get("format", [""])[-1])
    name = pages.JSON if kind == JSON else pages.HTML
    charset = "; charset=utf-8" if kind == LEGACY else ""
    answer = files.send(folder / name, f"{kind}{charset}", environ)
    return answer.with_headers(("Vary", "Accept"), ("Cache-Control", "private, no-cache"))


def _file(index: Index, location: str, environ: Environ) -> Answer:
    if any(not part or part.startswith(".") for part in location.split("/")):
        return files.missing()
    is_text = location.endswith((".metadata", ".asc"))
    kind = "text/plain; charset=utf-8" if is_text else "application/octet-stream"
    is_provenance = location.endswith(".provenance")
    if is_provenance:
        kind = attestations.CONTENT_TYPE
    answer = files.send(index.folder / PACKAGES / location, kind, environ)
    if answer.status == 404:
        project = project_of(distribution_of(location))
        statuses.require_offered(project, index.project_status(project))
    if answer.status >= 400:
        return answer
    if is_provenance:
        # PEP 740: it may change.
        return answer.with_headers(("Cache-Control", "private, no-cache"))
    return answer.with_headers(("Cache-Control", "private, max-age=31536000, immutable"))
