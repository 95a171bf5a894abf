"""What PyPI tells of the files that were uploaded to it, in JSON and in HTML."""

from __future__ import annotations

import hashlib
import html
import zipfile
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from kit.public_index import digest

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"


@dataclass
class Upload:
    """One file as its page shows it.

    Attributes:
        uploaded: when (PEP 700), None if the page does not say.
        yanked: whether, or why (PEP 592).
        provenance: URL of its attestations (PEP 740), none if empty.
        has_metadata: whether its core metadata is served apart (PEP 658); of wheels alone.
        more: further keys of its JSON, which win over those above.
    """

    path: Path
    uploaded: datetime | None
    yanked: bool | str = False
    provenance: str = ""
    has_metadata: bool = True
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def metadata(self) -> bytes | None:
        """Its core metadata, None if that is not served apart."""
        if not self.has_metadata or self.path.suffix != ".whl":
            return None
        with zipfile.ZipFile(self.path) as archive:
            (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
            return archive.read(name)

    @property
    def location(self) -> str:
        """The path of its URL, which as PyPI's does not name the project."""
        sha256 = digest(self.path)
        return f"/files/{sha256[:2]}/{sha256[2:]}/{self.path.name}"

    def entry(self, base: str, *, is_wrong: bool) -> dict[str, Any]:
        """Return what the page of its project says of it (PEP 691, 700, 740).

        Args:
            base: of its URL, without a slash at the end.
            is_wrong: whether it tells another hash.
        """
        metadata = self.metadata
        hashes = {"sha256": hashlib.sha256(metadata).hexdigest()} if metadata is not None else False
        file: dict[str, Any] = {
            "filename": self.path.name,
            "url": f"{base}{self.location}",
            "hashes": {"sha256": "0" * 64 if is_wrong else digest(self.path)},
            "requires-python": ">=3.8",
            "size": self.path.stat().st_size,
            "yanked": self.yanked,
            "core-metadata": hashes,
            "data-dist-info-metadata": hashes,
        }
        if self.uploaded:
            file["upload-time"] = self.uploaded.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if self.provenance:
            file["provenance"] = self.provenance
        return file | self.more


def as_html(document: dict[str, Any]) -> str:
    """Return a page as HTML (PEP 503, 592, 629, 658, 714, 740, 792)."""

    def anchor(file: dict[str, Any]) -> str:
        attributes = {"href": f"{file['url']}#sha256={file['hashes']['sha256']}"}
        attributes["data-requires-python"] = file["requires-python"]
        if file["yanked"] is not False:
            attributes["data-yanked"] = file["yanked"] if isinstance(file["yanked"], str) else ""
        if file["core-metadata"]:
            hashes = f"sha256={file['core-metadata']['sha256']}"
            attributes["data-core-metadata"] = attributes["data-dist-info-metadata"] = hashes
        if "provenance" in file:
            attributes["data-provenance"] = file["provenance"]
        said = "".join(f' {key}="{html.escape(value)}"' for key, value in attributes.items())
        return f"<a{said}>{html.escape(file['filename'])}</a><br>"

    if "projects" in document:
        body = "".join(f'<a href="{p["name"]}/">{p["name"]}</a>' for p in document["projects"])
    else:
        body = "".join(map(anchor, document["files"]))
    metas = [("repository-version", document["meta"]["api-version"])]
    for key, value in document.get("project-status", {}).items():
        metas.append(("project-status" + ("" if key == "status" else f"-{key}"), value))
    head = "".join(f'<meta name="pypi:{name}" content="{html.escape(v)}">' for name, v in metas)
    return f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>"
