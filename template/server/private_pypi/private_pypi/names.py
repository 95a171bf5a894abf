"""The names that are ours, as files: the gateway alone tells by them that a name is unknown here.

    pypi_index/names/<project>      empty; for each project that has or had a file, or that a file
                                    which is not served could be of
    pypi_index/complete_names       a link to names/; deleted before a name is added

A name without a file there is unknown only while the folder is *settled*: while the link leads to
it, and it bears the very time of modification that pypi_data bears. pypi_data gets a time that
nothing else gives it before it is scanned (see Watch.scan), and this folder gets it once it has all
names of that scan. A file that is put into pypi_data or taken from it moves its time, and the
gateway asks private_pypi again. So the gateway needs no process to tell it of a change, and a crash
leaves nothing that would have to be taken back.

Clocks of file systems tick slowly: a file and a name that are written within a tick leave both
folders with one time. That is what the link is for. The gateway reads the time through it, so that
it need not look for one more file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import disk
from .layout import COMPLETE_NAMES, NAMES, is_link_to, link_target
from .terminal import spelled


class Names:
    """The folder of names of one index. It is changed under the lock of the journal alone."""

    def __init__(self, data: Path, folder: Path) -> None:
        self._data = data
        self._folder = folder / NAMES
        self._complete = folder / COMPLETE_NAMES
        self._left: tuple[int | None, bool] | None = None

    def add(self, project: str) -> None:
        """Note that a name is ours from now on."""
        if not _is_file(self._folder / project):
            self._create(project)

    def replace(self, projects: set[str]) -> None:
        """Have exactly these names there."""
        there = self.listed()
        for name in there - projects:
            disk.delete(self._folder / name)
        for project in projects:
            self.add(project)

    def settle(self, stamp: int) -> None:
        """Let the gateway trust the names: every file in pypi_data could only be of these.

        Args:
            stamp: the time of modification (st_mtime_ns) that pypi_data was given before it was
                scanned, and bears still.
        """
        if not self._is_complete:
            self._folder.mkdir(exist_ok=True)
            # On the disk before the time is: a power failure cannot leave a right time above a name
            # that is lost.
            disk.sync(self._folder)
            disk.delete(self._complete)
            self._complete.symlink_to(link_target(self._complete, self._folder))
        os.utime(self._folder, ns=(stamp, stamp))
        self._left = self._state

    def distrust(self) -> None:
        """Have the gateway ask private_pypi for every name that has no page."""
        disk.delete(self._complete)
        self._left = self._state

    def differences(self, projects: set[str]) -> Iterator[str]:
        """Yield a sentence for each name that is missing there or too many."""
        there = self.listed()
        for name in sorted(projects - there):
            yield f"pypi_index/{NAMES}/{name} is missing"
        for name in sorted(there - projects):
            yield f"pypi_index/{NAMES}/{spelled(name)} is no part of the index"

    @property
    def is_settled(self) -> bool:
        """Whether the gateway takes names without a file for unknown."""
        times = {_modified(self._folder), _modified(self._data)}
        return len(times) == 1 and self._is_complete

    @property
    def was_changed(self) -> bool:
        """Whether anything was added or deleted there since settle() or distrust()."""
        return self._state != self._left

    @property
    def _is_complete(self) -> bool:
        return self._folder.is_dir() and is_link_to(self._complete, self._folder)

    @property
    def _state(self) -> tuple[int | None, bool]:
        return _modified(self._folder), self._is_complete

    def _create(self, project: str) -> None:
        disk.delete(self._complete)
        disk.delete(self._folder / project)
        self._folder.mkdir(exist_ok=True)
        (self._folder / project).write_bytes(b"")

    def listed(self) -> set[str]:
        """Return all names that are ours."""
        try:
            return {path.name for path in self._folder.iterdir()}
        except FileNotFoundError:
            return set()


def is_reserved(project: str, prefixes: Iterable[str]) -> bool:
    """Return whether a normalised name lies in one of the namespaces (PEP 752)."""
    return any(f"{project}-".startswith(f"{prefix}-") for prefix in prefixes)


def _is_file(path: Path) -> bool:
    """Return whether a path is a file of its own: the gateway would not find a folder, say."""
    return path.is_file() and not path.is_symlink()


def _modified(folder: Path) -> int | None:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return None
