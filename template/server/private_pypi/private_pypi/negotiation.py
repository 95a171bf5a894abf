"""Which representation of a simple page a client is sent (PEP 691)."""

from __future__ import annotations

import re

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
LEGACY = "text/html"


def content_type(accept: str, asked: str = "") -> str:
    """Choose between the representations of a page (PEP 691).

    Args:
        accept: the header of that name.
        asked: the parameter `format` of the URL, which counts more.
    """
    # A plus that is not encoded in a URL is a space.
    wanted = {asked.replace(" ", "+"): 1.0} if asked else qualities(accept)
    best, chosen = 0.0, LEGACY
    for kind in (JSON, HTML, LEGACY):
        names = (kind, kind.replace(".v1", ".latest"))
        quality = max(wanted.get(name, 0.0) for name in names)
        if quality > best:
            best, chosen = quality, kind
    if wanted.get("text/*", wanted.get("*/*", 0.0)) > best:
        return LEGACY
    return chosen


def qualities(accept: str) -> dict[str, float]:
    """Return how much a client likes each form or encoding, from 0 to 1 (RFC 9110, 12.5).

    Args:
        accept: the header Accept, or one like it.
    """
    found = {}
    for entry in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        quality = 1.0
        for parameter in parameters:
            if re.fullmatch(r"q=([01](\.[0-9]*)?|\.[0-9]+)?", parameter):
                quality = float(parameter[2:] or 0)
        found[kind] = quality
    return found
