"""The folder of the pages for people: where each file lies, and how it is replaced.

    pypi_web/
        index.html  projects.html  search.json  feed.atom
        project/<name>/index.html  feed.atom
        static/                 what the pages load
        .descriptions/          the descriptions that were rendered
        .site.json              what the pages were made for: the name and the URL of the index

Large files have a compressed one beside them, `<name>.gz`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from .. import disk, pages
from ..layout import UNFINISHED
from .render import ASSETS, FEED, OVERVIEW, PAGE, SEARCH, Site, Summary

_PROJECT, _STATIC, _DESCRIPTIONS, _SITE = "project", "static", ".descriptions", ".site.json"


class Folder:
    """The folder of one index.

    Attributes:
        path: where it is.
        descriptions: where the rendered descriptions are.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptions = self.path / _DESCRIPTIONS

    def site(self) -> Site | None:
        """Return what the pages were made for, None if there are none."""
        try:
            return Site(**json.loads((self.path / _SITE).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def summaries(self) -> dict[str, Summary]:
        """Return the summaries of all projects as they were written last."""
        try:
            rows = json.loads((self.path / SEARCH).read_bytes())
            return {name: Summary(*values) for name, *values in rows}
        except (OSError, ValueError, TypeError):
            return {}

    def write_static(self, site: Site) -> None:
        """Write what the pages load, and what they are made for."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._write(self.path / _STATIC, assets())
        self._write(self.path, {_SITE: json.dumps(asdict(site)).encode()})

    def write_overview(self, files: dict[str, bytes]) -> None:
        """Write the files that tell of all projects."""
        self._write(self.path, files)

    def write_project(self, name: str, files: dict[str, bytes]) -> None:
        """Write the files of one project."""
        self._write(self.path / _PROJECT / name, files)

    def delete_project(self, name: str) -> None:
        """Delete the files of a project that the index never had."""
        shutil.rmtree(self.path / _PROJECT / name, ignore_errors=True)

    def delete_description(self, key: str) -> None:
        """Delete a rendered description."""
        (self.descriptions / key).unlink(missing_ok=True)

    def has_static(self) -> bool:
        """Return whether what the pages load is what it should be."""
        return _has(self.path / _STATIC, assets())

    def has_overview(self, files: dict[str, bytes]) -> bool:
        """Return whether the files that tell of all projects are these."""
        return _has(self.path, files)

    def has_project(self, name: str, files: dict[str, bytes]) -> bool:
        """Return whether the files of a project are these."""
        return _has(self.path / _PROJECT / name, files)

    def strays(self, projects: Callable[[], Set[str]]) -> set[Path]:
        """Return each path that is no part of the pages.

        Args:
            projects: returns the projects that have pages. Other processes may write those of
                another one while this one looks: it is asked once more afterwards.
        """
        return set(self._others_than(projects())) & set(self._others_than(projects()))

    def _others_than(self, projects: Set[str]) -> Iterator[Path]:
        own = {".lock", UNFINISHED, _SITE, _DESCRIPTIONS, _PROJECT, _STATIC}
        expected = {
            self.path: own | _with_compressed(OVERVIEW),
            self.path / _STATIC: _with_compressed(assets()),
            self.path / _PROJECT: projects,
        }
        of_project = _with_compressed((PAGE, FEED))
        expected |= {self.path / _PROJECT / name: of_project for name in projects}
        for folder, names in expected.items():
            with suppress(FileNotFoundError):
                yield from (path for path in folder.iterdir() if path.name not in names)

    def sweep(self, projects: Callable[[], Set[str]], descriptions: Set[str]) -> None:
        """Delete all strays, and all descriptions but those with these names."""
        kept = (path for path in self.descriptions.glob("*") if path.name not in descriptions)
        with disk.locked(self.path):
            for path in [*self.strays(projects), *kept]:
                disk.delete(path)

    def _write(self, folder: Path, files: dict[str, bytes]) -> None:
        whole = pages.with_compressed(files)
        with disk.locked(self.path):
            disk.replace_files(folder, whole, _with_compressed(files), self.path / UNFINISHED)


def assets() -> dict[str, bytes]:
    """Return the files that all pages load, by name."""
    return {path.name: path.read_bytes() for path in sorted(ASSETS.iterdir())}


def _has(folder: Path, files: dict[str, bytes]) -> bool:
    return disk.has_files(folder, pages.with_compressed(files), _with_compressed(files))


def _with_compressed(names: Iterable[str]) -> set[str]:
    return {f"{name}{suffix}" for name in names for suffix in ("", ".gz")}
