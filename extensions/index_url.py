"""URLs of a package index, made from the DNS name or URL that a person types."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from jinja2 import Environment
from jinja2.ext import Extension

_PATH = re.compile(r"(/(?!(\.|%2[Ee]){1,2}(?:/|\Z))([A-Za-z0-9._~+@-]|%[0-9A-Fa-f]{2})+)*")
"""Segments of letters, digits and characters that no shell, make or Compose expands; any other
character can be percent-encoded (RFC 3986)."""

_PAGES = ("/+simple", "/simple")
"""Ends of the URL of an index's simple pages; devpi's is the first."""

_AZURE = re.compile(r".*/_packaging/[^/]+/pypi")
_CLOUDSMITH = re.compile(
    r"https://dl\.cloudsmith\.io/(?:basic|public)/([^/]+/[^/]+)/python", re.IGNORECASE
)


def base_url(typed: str) -> str:
    """Return the base URL of an index, without a slash at its end.

    A bare DNS name becomes an https URL. A URL keeps its scheme, port and path, less a last
    `/simple` or `/+simple`: see `simple_url`.
    """
    scheme, rest = typed.split("://", 1) if "://" in typed else ("https", typed)
    rest = rest.rstrip("/")
    pages = next((end for end in _PAGES if rest.endswith(end)), "")
    return f"{scheme.lower()}://{rest.removesuffix(pages).rstrip('/')}"


def simple_url(typed: str) -> str:
    """Return the URL of an index's simple pages (PEP 503), with a slash at its end.

    It ends in `/simple/`, or in `/+simple/` if that was typed, as devpi needs.
    """
    pages = "/+simple" if typed.rstrip("/").endswith("/+simple") else "/simple"
    return f"{base_url(typed)}{pages}/"


def publish_url(typed: str) -> str:
    """Return the URL for uploads to an index: the base URL, with two exceptions.

    Azure Artifacts accepts them beside its pages, Cloudsmith on another host.
    """
    base = base_url(typed)
    if _AZURE.fullmatch(urlsplit(base).path):
        return f"{base}/upload/"
    if found := _CLOUDSMITH.fullmatch(base):
        return f"https://python.cloudsmith.io/{found[1]}/"
    return f"{base}/"


def base_url_error(typed: str) -> str:
    """Return why a text is no URL of an index and what to type instead, or an empty string.

    The host is not checked here: see `index_host` and `hostname_error`.
    """
    with_account = "Leave user and password out of the URL: they are asked for separately."
    authority = base_url(typed).split("://", 1)[1].split("/", 1)[0]
    if "@" in authority:
        return with_account
    if "[" in authority or authority.count(":") > 1:
        return f"{typed!r} has an IPv6 address: type a DNS name that leads to it."
    try:
        parts = urlsplit(base_url(typed))
        port = parts.port
    except ValueError:
        if "@" in typed:  # A password with a slash in it may look like a port.
            return with_account
        return f"{typed!r} has a port that is not 1 to 65535: correct it or leave it out."
    if authority.endswith(":"):
        return f"{typed!r} has an empty port: leave the colon out."
    if parts.scheme not in ("http", "https"):
        return f"{typed!r} is neither http:// nor https://: type the index's DNS name or base URL."
    if port == 0:
        return f"{typed!r} has port 0: type a number from 1 to 65535 or leave the port out."
    if "://" not in typed and (port or parts.path):
        return (
            f"{typed!r} has a port or a path: type a full URL that starts with http:// or https://."
        )
    # urlsplit drops an empty query, an empty fragment and line ends.
    whole = f"{parts.scheme}://{parts.netloc}{parts.path}"
    if whole != base_url(typed) or parts.query or parts.fragment:
        return f"{typed!r} is not a base URL: type scheme, host, port and path, nothing after that."
    if not _PATH.fullmatch(parts.path):
        return (
            f"{typed!r} has an empty part, . or .. in its path, or a character that has to be"
            " percent-encoded: type that as %20 for a space."
        )
    return ""


def index_host(typed: str) -> str:
    """Return the host of an index, of which a DNS name or a base URL was typed."""
    return re.sub(r":\d*$", "", base_url(typed).split("://", 1)[1].split("/", 1)[0])


def with_credentials(base: str, user: str, password: str) -> str:
    """Return a base URL that carries user and password, each percent-encoded (RFC 3986)."""
    scheme, rest = base.split("://", 1)
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"


class IndexUrlExtension(Extension):
    """Registers the filters of this module by their names."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        for function in (
            base_url,
            base_url_error,
            index_host,
            publish_url,
            simple_url,
            with_credentials,
        ):
            environment.filters[function.__name__] = function
