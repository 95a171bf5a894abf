"""What the index has of quarantined projects, moved out of the folder that is served."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from . import disk
from .layout import PACKAGES, WITHHELD, distribution_of, project_of

# Projects whose names make a regular expression that is soon compiled.
_FEW = 50


def withhold(folder: Path, projects: set[str]) -> None:
    """Let nobody get files of projects; when this returns, no power failure takes it back.

    Args:
        folder: of the index.
        projects: their normalised names.
    """
    _move(folder / PACKAGES, folder / WITHHELD, projects)


def release(folder: Path, projects: set[str]) -> None:
    """Let files of projects be served again if they were withheld; as withhold()."""
    _move(folder / WITHHELD, folder / PACKAGES, projects)


def _move(start: Path, end: Path, projects: set[str]) -> None:
    if not projects or not start.is_dir():
        return
    begins: Callable[[str], object] = bool
    if len(projects) <= _FEW:
        # Only names that begin like theirs are parsed: there may be very many.
        starts = "|".join(project.replace("-", "[-_.]+") for project in projects)
        begins = re.compile(starts, re.IGNORECASE).match
    for parent, _, names in os.walk(start):
        found = [
            Path(parent, name)
            for name in names
            if begins(name) and project_of(distribution_of(name)) in projects
        ]
        for path in found:
            place = end / path.relative_to(start)
            place.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(place):
                path.unlink()
            else:
                path.rename(place)
        if found:
            disk.sync(Path(parent))
