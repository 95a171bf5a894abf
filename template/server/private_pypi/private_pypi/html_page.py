"""A simple page in HTML (PEP 503), which is frozen at version 1.4 of the Simple API (PEP 833)."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping

FROZEN_MINOR = 4
"""What follows 1. in the version of every page: later ones are of JSON alone."""

VERSION = "pypi:repository-version"
STATUS, REASON = "pypi:project-status", "pypi:project-status-reason"
"""The names that PEP 629 and PEP 792 give to what a page says of itself."""


def html_page(
    title: str, metas: Mapping[str, str], anchors: Iterable[tuple[str, Mapping[str, str]]]
) -> bytes:
    """Return a page; what is not to be read as HTML is escaped here.

    Args:
        title: also the heading.
        metas: what the page says of itself, by name.
        anchors: the text and the attributes of each link.
    """
    heading = html.escape(title)
    lines = [
        "<!DOCTYPE html>",
        "<html>",
        "<head>",
        *(f"<meta {_attributes({'name': name, 'content': metas[name]})}>" for name in metas),
        f"<title>{heading}</title>",
        "</head>",
        "<body>",
        f"<h1>{heading}</h1>",
        *(f"<a {_attributes(values)}>{html.escape(text)}</a><br>" for text, values in anchors),
        "</body>",
        "</html>",
        "",
    ]
    # JSON can hold halves of characters, which no encoding has.
    return "\n".join(lines).encode(errors="replace")


def _attributes(values: Mapping[str, str]) -> str:
    return " ".join(f'{name}="{html.escape(value)}"' for name, value in values.items())
