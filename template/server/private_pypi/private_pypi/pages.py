"""The pages of the Simple API as files that a web server sends as they are.

They follow PyPA's specification "Simple repository API", version 1.4: PEP 503, 592, 629, 658, 691,
700, 714, 740, 792 and 833.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from packaging.version import Version

from . import disk
from .html_page import REASON, STATUS, VERSION, html_page
from .layout import file_of

HTML, JSON = "index.html", "index.json"
NAMES = (HTML, JSON, f"{HTML}.gz", f"{JSON}.gz")

# Bytes below which gzip saves a client less than the extra file costs on disk.
_WORTH_COMPRESSING = 8192

API_VERSION = "1.4"
"""The version of the Simple API whose keys the pages have."""

# What browsers call a secure origin: TLS, or this very machine. PEP 740 wants one for provenance.
_SECURE = re.compile(r"https://|http://(localhost|127\.[0-9.]+|\[::1\])[:/]")


@dataclass(frozen=True)
class Listed:
    """A distribution as a project page shows it.

    Attributes:
        location: its path in the data folder, the file name if it is in no subfolder.
        metadata_sha256: of its core metadata, None if that is not served.
        uploaded: time in the form of PEP 700.
        yanked: None, or the reason, which may be empty (PEP 592).
        signed: whether a detached signature is served beside it.
        by: the account or trusted publisher of it, None if it was put there by hand.
        attested: whether its attestations are served beside it (PEP 740).
    """

    location: str
    version: str
    size: int
    sha256: str
    requires_python: str | None
    metadata_sha256: str | None
    uploaded: str
    yanked: str | None
    signed: bool
    by: str | None = None
    attested: bool = False

    @property
    def file(self) -> str:
        """Its file name."""
        return file_of(self.location)

    def as_json(self, url: str) -> dict[str, Any]:
        """Return what the JSON page says of it.

        Args:
            url: as `project_page` has it.
        """
        place = f"packages/{quote(self.location)}"
        said: dict[str, Any] = {
            "filename": self.file,
            # Relative: it is right under whatever name and path a proxy gives the index.
            "url": f"../../{place}",
            "hashes": {"sha256": self.sha256},
        }
        if self.requires_python is not None:
            said["requires-python"] = self.requires_python
        if self.metadata_sha256 is not None:
            said["core-metadata"] = {"sha256": self.metadata_sha256}
        said["gpg-sig"] = self.signed
        if self.yanked is not None:
            said["yanked"] = self.yanked or True
        said["size"] = self.size
        said["upload-time"] = f"{self.uploaded[:19]}Z"
        if self.attested and _SECURE.match(url):
            said["provenance"] = f"{url}{place}.provenance"
        return said


@dataclass(frozen=True)
class ProjectStatus:
    """The status of a project (PEP 792).

    Attributes:
        status: active, archived, deprecated or quarantined.
        reason: why, for people; may be empty.
    """

    status: str = "active"
    reason: str = ""


ACTIVE = ProjectStatus()
"""The status of a project that has no other."""


def project_page(
    project: str, listed: Iterable[Listed], status: ProjectStatus = ACTIVE, url: str = ""
) -> dict[str, bytes]:
    """Return the files of a project page, by name, oldest version first.

    Args:
        url: of the index, with a slash at its end; empty if it is not known. PEP 740 lets a page
            lead to attestations by a whole URL only, and only to a secure origin.
    """
    # Of a quarantined project a page offers nothing (PEP 792), whatever is still there.
    offered = () if status.status == "quarantined" else listed
    ordered = sorted(offered, key=lambda one: (version(one.version), one.location))
    said = {"status": status.status}
    if status.reason:
        said["reason"] = status.reason
    files = [one.as_json(url) for one in ordered]
    page = {
        "meta": {"api-version": API_VERSION},
        "name": project,
        "project-status": said,
        # 1.0 and 1.0.0 are one version.
        "versions": list(map(str, dict.fromkeys(version(one.version) for one in ordered))),
        "files": files,
    }
    metas = {VERSION: API_VERSION, STATUS: status.status}
    if status.reason:
        metas[REASON] = status.reason
    return _files(page, html_page(f"Links for {project}", metas, map(_anchor, files)))


def project_list(projects: Iterable[str]) -> dict[str, bytes]:
    """Return the files of the list of all projects, by name."""
    names = sorted(projects)
    page = {"meta": {"api-version": API_VERSION}, "projects": [{"name": name} for name in names]}
    anchors = ((name, {"href": f"{name}/"}) for name in names)
    return _files(page, html_page("Simple index", {VERSION: API_VERSION}, anchors))


def write(folder: Path, files: dict[str, bytes], unfinished: Path) -> str:
    """Make a folder's pages be these; return their fingerprint.

    A page whose bytes stay the same stays the same file, with the same ETag. Each is replaced at
    once, but not forced to the disk: if a power failure takes a page back, its fingerprint shows
    that it must be written again.

    Args:
        unfinished: as `disk.write_unsynced` has it.
    """
    disk.replace_files(folder, files, NAMES, unfinished)
    return fingerprint(folder)


def fingerprint(folder: Path) -> str:
    """Return a text that differs once a page in this folder is deleted, torn or changed."""
    marks = []
    for name in NAMES:
        try:
            stat = (folder / name).stat()
            marks.append(f"{stat.st_size}@{stat.st_mtime_ns}")
        except OSError:
            marks.append("-")
    return " ".join(marks)


def same(folder: Path, files: dict[str, bytes]) -> bool:
    """Return whether a folder's pages are these."""
    return disk.has_files(folder, files, NAMES)


@lru_cache(maxsize=4096)
def version(text: str) -> Version:
    """Return a version that was accepted once, and may be asked for many times."""
    return Version(text)


def _anchor(file: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Return text and attributes of the link to a file; HTML has no place for size and time."""
    attributes = {"href": f"{file['url']}#sha256={file['hashes']['sha256']}"}
    if "requires-python" in file:
        attributes["data-requires-python"] = file["requires-python"]
    if "core-metadata" in file:
        attributes["data-core-metadata"] = f"sha256={file['core-metadata']['sha256']}"
    attributes["data-gpg-sig"] = "true" if file["gpg-sig"] else "false"
    if "yanked" in file:
        attributes["data-yanked"] = "" if file["yanked"] is True else file["yanked"]
    if "provenance" in file:
        attributes["data-provenance"] = file["provenance"]
    return file["filename"], attributes


def _files(page: dict[str, Any], as_html: bytes) -> dict[str, bytes]:
    as_json = json.dumps(page, separators=(",", ":")).encode()
    return with_compressed({HTML: as_html, JSON: as_json})


def with_compressed(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return files by name, and beside each that is large `<name>.gz`, which a gateway may send."""
    compressed = {
        f"{name}.gz": gzip.compress(content, mtime=0)
        for name, content in files.items()
        if len(content) >= _WORTH_COMPRESSING
    }
    return files | compressed
