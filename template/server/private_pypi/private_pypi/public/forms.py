"""A page as a client is sent it: as JSON (PEP 691) or HTML (PEP 503), with links that lead here."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from .document import Document, File, parse_version, strongest
from .kept import PUBLIC

_STATUS, _REASON = "pypi:project-status", "pypi:project-status-reason"


def as_json(document: Document, files: Sequence[File]) -> bytes:
    """Return a page with some of its files; all else that it says stays (PEP 700, 740, 792).

    Args:
        files: those of the document that clients may have.
    """
    page = {**document.raw, "files": [_entry(document, file) for file in files]}
    if "versions" in page:
        page["versions"] = _versions(page["versions"], files)
    return json.dumps(page, separators=(",", ":")).encode()


def as_html(document: Document, files: Sequence[File]) -> bytes:
    """Return a page with some of its files; HTML has no place for size and time of upload.

    Args:
        files: as as_json.
    """
    title = html.escape(f"Links for {document.name}")
    lines = [
        "<!DOCTYPE html>",
        "<html>",
        "<head>",
        *(f"<meta {_attributes(meta)}>" for meta in _metas(document)),
        f"<title>{title}</title>",
        "</head>",
        "<body>",
        f"<h1>{title}</h1>",
        *(
            f"<a {_attributes(_anchor(document, file))}>{html.escape(file.filename)}</a><br>"
            for file in files
        ),
        "</body>",
        "</html>",
        "",
    ]
    # JSON can hold halves of characters, which no encoding has.
    return "\n".join(lines).encode(errors="replace")


def _url(document: Document, file: File) -> str:
    """Return where a file is: relative, whatever name and path a proxy gives the index."""
    return f"../../{PUBLIC}/{document.name}/{quote(file.filename)}"


def _entry(document: Document, file: File) -> dict[str, Any]:
    return {**file.raw, "url": _url(document, file)}


def _versions(said: object, files: Sequence[File]) -> list[str]:
    """Return those versions of which there are files, in the order and the spelling of PyPI."""
    offered = {file.version for file in files} - {None}
    spelled = said if isinstance(said, list) else []
    return [text for text in spelled if isinstance(text, str) and parse_version(text) in offered]


def _metas(document: Document) -> list[dict[str, str]]:
    meta = document.raw.get("meta")
    said = meta.get("api-version") if isinstance(meta, dict) else None
    metas = [{"name": "pypi:repository-version", "content": str(said or "1.0")}]
    status = document.raw.get("project-status")
    if isinstance(status, dict):
        for key, name in (("status", _STATUS), ("reason", _REASON)):
            if isinstance(status.get(key), str):
                metas.append({"name": name, "content": status[key]})
    return metas


def _anchor(document: Document, file: File) -> dict[str, str]:
    attributes = {"href": f"{_url(document, file)}#{'='.join(strongest(file.hashes))}"}
    if isinstance(file.raw.get("requires-python"), str):
        attributes["data-requires-python"] = file.raw["requires-python"]
    if file.metadata_hashes:
        # Under the name of PEP 714, and that of PEP 658 for older clients.
        for name in ("data-core-metadata", "data-dist-info-metadata"):
            attributes[name] = "=".join(strongest(file.metadata_hashes))
    if file.yanked:
        attributes["data-yanked"] = file.yanked if isinstance(file.yanked, str) else ""
    if file.raw.get("provenance"):
        attributes["data-provenance"] = file.raw["provenance"]
    return attributes


def _attributes(values: Mapping[str, str]) -> str:
    return " ".join(f'{name}="{html.escape(value)}"' for name, value in values.items())
