"""The pages of the Simple API (PEP 503, 691, 700) as files that a web server sends as they are."""

from __future__ import annotations

import gzip
import html
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import cast
from urllib.parse import quote

from packaging.version import Version
from simple_repository import model
from simple_repository.content_negotiation import Format
from simple_repository.serializer import serialize

from . import disk
from .layout import file_of

HTML, JSON = "index.html", "index.json"
NAMES = (HTML, JSON, f"{HTML}.gz", f"{JSON}.gz")

# Bytes below which gzip saves a client less than the extra file costs on disk.
_WORTH_COMPRESSING = 8192

_META = model.Meta(api_version="1.1")


@dataclass(frozen=True)
class Listed:
    """A distribution as a project page shows it.

    Attributes:
        location: its path in the data folder, the file name if it is in no subfolder.
        metadata_sha256: of its core metadata, None if that is not served.
        uploaded: time in the form of PEP 700.
        yanked: None, or the reason, which may be empty (PEP 592).
        signed: whether a detached signature is served beside it.
        by: the account that published it, None if it was put there by hand.
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

    def as_file(self) -> model.File:
        """Return it in the model of the Simple API."""
        return model.File(
            filename=self.file,
            url=f"../../packages/{quote(self.location)}",
            hashes={"sha256": self.sha256},
            requires_python=self.requires_python,
            dist_info_metadata={"sha256": self.metadata_sha256} if self.metadata_sha256 else None,
            gpg_sig=self.signed or None,
            yanked=self.yanked if self.yanked is None else (self.yanked or True),
            size=self.size,
            upload_time=datetime.fromisoformat(self.uploaded.removesuffix("Z")),
        )


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
    project: str, listed: Iterable[Listed], status: ProjectStatus = ACTIVE
) -> dict[str, bytes]:
    """Return the files of a project page, by name, oldest version first."""
    ordered = sorted(listed, key=lambda one: (version(one.version), one.location))
    # 1.0 and 1.0.0 are one version.
    versions = dict.fromkeys(version(one.version) for one in ordered)
    page = model.ProjectDetail(
        meta=_META,
        name=project,
        files=tuple(one.as_file() for one in ordered),
        # In order, where the model has a set, so that the same page has the same bytes each time.
        versions=cast("frozenset[str]", tuple(map(str, versions))),
    )
    # The HTML serializer puts a reason into the attribute as it is.
    escaped = tuple(
        replace(file, yanked=html.escape(file.yanked)) if isinstance(file.yanked, str) else file
        for file in page.files
    )
    return _files(page, replace(page, files=escaped))


def project_list(projects: Iterable[str]) -> dict[str, bytes]:
    """Return the files of the list of all projects, by name."""
    elements = tuple(model.ProjectListElement(project) for project in sorted(projects))
    page = model.ProjectList(_META, cast("frozenset[model.ProjectListElement]", elements))
    return _files(page, page)


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


def _files(
    page: model.ProjectDetail | model.ProjectList,
    page_for_html: model.ProjectDetail | model.ProjectList,
) -> dict[str, bytes]:
    files = {
        HTML: serialize(page_for_html, Format.HTML_V1).encode(),
        JSON: serialize(page, Format.JSON_V1).encode(),
    }
    return with_compressed(files)


def with_compressed(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return files by name, and beside each that is large `<name>.gz`, which a gateway may send."""
    compressed = {
        f"{name}.gz": gzip.compress(content, mtime=0)
        for name, content in files.items()
        if len(content) >= _WORTH_COMPRESSING
    }
    return files | compressed
