"""A page as a client is sent it: as JSON (PEP 691) or HTML (PEP 503), with links that lead here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from ..html_page import FROZEN_MINOR, REASON, STATUS, VERSION, html_page
from .document import Document, File, parse_version, strongest
from .kept import PUBLIC


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
    """Return a page with some of its files; HTML has no place for versions, sizes and times.

    What it could have, and a client has no use for here, is left out: that a file has no signature.

    Args:
        files: as as_json.
    """
    anchors = ((file.filename, _anchor(document, file)) for file in files)
    return html_page(f"Links for {document.name}", _metas(document), anchors)


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


def _metas(document: Document) -> dict[str, str]:
    meta = document.raw.get("meta")
    said = meta.get("api-version") if isinstance(meta, dict) else None
    # HTML stays at 1.4 when JSON goes on.
    minor = min(int(str(said or "1.0").partition(".")[2] or 0), FROZEN_MINOR)
    metas = {VERSION: f"1.{minor}"}
    status = document.raw.get("project-status")
    if isinstance(status, dict):
        for key, name in (("status", STATUS), ("reason", REASON)):
            if isinstance(status.get(key), str):
                metas[name] = status[key]
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
