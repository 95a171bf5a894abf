"""Where everything lies in the folder of the data and in that of the index.

A *location* is the path of a file in the data folder, written with slashes.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from .distribution import DistributionError, parse_name

SIMPLE, PACKAGES = "simple", "packages"
"""The folders of the index that are served: the pages, and links to the distributions."""

WITHHELD = "withheld"
"""The folder of the index with what `packages` would have of the projects in quarantine."""

NAMES, COMPLETE_NAMES = "names", "complete_names"
"""The folder of the index that has a file for each name that is ours, and the link to it that is
there while it has all: see names.py."""

PUBLIC_INDEX = "public_index"
"""The file of the index with the URL to which the gateway redirects names that are unknown here."""

BESIDE = (".metadata", ".asc", ".provenance")
"""The ends of the names of the files that are served beside a distribution."""

UPLOADS = ".uploads"
"""The folder of unfinished uploads: in the data folder, so that a hard link can publish them."""

UNFINISHED = ".new"
"""The file being written, in the folder of the index, by the process that has the lock."""


def pages_of(folder: Path, project: str) -> Path:
    """Return the folder of a project's pages; for an empty name, of the list of projects."""
    return folder / SIMPLE / project


def link(folder: Path, location: str, *, withheld: bool = False) -> Path:
    """Return where in the index a distribution is served, or lies if its project is quarantined."""
    return folder / (WITHHELD if withheld else PACKAGES) / location


def metadata(place: Path) -> Path:
    """Return where the metadata of a served distribution is (PEP 658)."""
    return place.with_name(f"{place.name}.metadata")


def signature(path: Path) -> Path:
    """Return where the detached signature of a distribution is, in the data or in the index."""
    return path.with_name(f"{path.name}.asc")


def provenance(path: Path) -> Path:
    """Return where the attestations of a distribution are, in the data or in the index."""
    return path.with_name(f"{path.name}.provenance")


def is_link_to(place: Path, target: Path) -> bool:
    """Return whether a link is there and is the one that leads to this file or folder."""
    try:
        # Not by Path.readlink, which would leave the dot out of `./names`.
        return os.readlink(place) == link_target(place, target)  # noqa: PTH115
    except OSError:
        return False


def link_target(place: Path, target: Path) -> str:
    """Return what a link must hold to lead to this target, in every container and outside of them.

    It is relative, since the two folders lie side by side everywhere.
    """
    return f"{_relative(place.parent, target.parent)}/{target.name}"


@lru_cache(maxsize=256)
def _relative(start: Path, folder: Path) -> str:
    return os.path.relpath(folder, start)


def file_of(location: str) -> str:
    """Return the file name of a location."""
    return location.rpartition("/")[2]


def distribution_of(location: str) -> str:
    """Return the location of the distribution that a file is, or beside which it is served."""
    return location.removesuffix(next(filter(location.endswith, BESIDE), ""))


def project_of(location: str) -> str:
    """Return the project of a distribution by its file name; empty if the name is not of one."""
    try:
        return parse_name(file_of(location))[0]
    except DistributionError:
        return ""
