"""Keeping the pages for people current: no request writes them, and none waits for them."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from contextlib import closing

from .. import database
from ..catalogue import Catalogue
from ..facts import LastChange
from ..settings import Settings
from ..verify import Progress
from . import description
from .contents import Contents
from .description import Descriptions, Renderer
from .folder import Folder
from .render import Site

log = logging.getLogger(__name__)

_EVERY = 0.25
"""Seconds between two looks at the catalogue."""
_AT_MOST = 1.0
"""Seconds that the pages wait for uploads which follow each other."""
_SLICE = 1.0
"""Seconds after which a long pass looks for what changed meanwhile, which then comes first."""
_REPORT = 20
"""Seconds after which the log says how far a long pass is."""
_REST = 4
"""Times as long as the pages of all projects took to write, until they may be written again: with
very many projects, each upload changes files of megabytes."""


def follow(settings: Settings, parent: int | None = None) -> None:
    """Keep the pages current for ever.

    Args:
        parent: the process that started this one, to end when that has ended.
    """
    writer, trouble, reported = Writer(settings), "", time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal reported
        if time.monotonic() - reported > _REPORT:
            print(f"{done} of {total} pages for people are current", flush=True)
            reported = time.monotonic()

    while parent in (None, os.getppid()):
        _wait_until_quiet(settings)
        try:
            writer.update(report)
            trouble = ""
        except Exception as error:
            # The next try may succeed, whatever it is. Once for each trouble, not every second.
            if repr(error) != trouble:
                trouble = repr(error)
                log.error("the pages for people do not show the latest changes: %s", trouble)
            time.sleep(1)


def _wait_until_quiet(settings: Settings) -> None:
    """Wait until nothing changes for a moment, but not too long: a burst of uploads goes first."""
    until, before = time.monotonic() + _AT_MOST, None
    while (now := database.stamp(settings.index)) != before and time.monotonic() < until:
        before = now
        time.sleep(_EVERY)


def write_all(settings: Settings, progress: Progress) -> None:
    """Make all pages anew, for the name and the URL that they had before.

    Args:
        progress: called with how many of how many projects are done.

    Raises:
        OSError: if the disk is full, for example.
    """
    # A command of an operator may have other settings than the process that keeps them current.
    writer = Writer(settings, Folder(settings.web).site())
    while not writer.update(progress):
        time.sleep(_EVERY)


def write_project(settings: Settings, name: str) -> None:
    """Write the pages of one project anew, as after a command that changed it.

    While the index is served, another process does the same; otherwise none does.
    """
    site = Folder(settings.web).site()
    if site:
        writer = Writer(settings, site)
        writer.take_for_current(name)
        writer.update()


class Writer:
    """Writes the pages of one index.

    Any number of processes may do so. One that wrote what had changed meanwhile sees that the
    catalogue is another, and writes it again.

    Args:
        site: what the pages are made for, if that is not what the settings say.
    """

    def __init__(self, settings: Settings, site: Site | None = None) -> None:
        self._index = settings.index.resolve()
        self._folder = Folder(settings.web.resolve())
        self._site = site or Site.of(settings)
        self._contents = Contents(settings, self._site, self._folder.summaries())
        self._stamp: object = None
        self._written: dict[str, LastChange] = {}
        self._descriptions: dict[str, str] = {}
        self._is_overview_old = False
        self._next_overview = 0.0
        self._is_swept = False

    def update(self, progress: Progress | None = None) -> bool:
        """Write every page that is not current; leave all as they are as long as no catalogue is.

        Args:
            progress: called with how many of how many projects are done.

        Returns:
            whether nothing is left to do now; the lists of projects may have to wait.

        Raises:
            OSError: if the disk is full, for example.
            sqlite3.Error: if the catalogue is damaged.
        """
        if self._stamp is None:
            self._folder.write_static(self._site)
        with Renderer() as renderer:
            descriptions = Descriptions(self._folder.descriptions, renderer)
            while (stamp := database.stamp(self._index)) != self._stamp or self._is_overview_old:
                if not database.is_current(self._index):
                    break
                with closing(Catalogue(self._index, read_only=True)) as known:
                    if stamp != self._stamp and self._write_some(known, descriptions, progress):
                        self._stamp = stamp
                    if self._is_overview_old and time.monotonic() >= self._next_overview:
                        self._write_overview(known)
                    elif self._is_overview_old and stamp == self._stamp:
                        return False
        return True

    def take_for_current(self, but: str) -> None:
        """Take the pages of all projects but one for current."""
        with closing(Catalogue(self._index, read_only=True)) as known:
            self._written = known.last_changes()
        self._written.pop(but, None)
        # It knows nothing of the others.
        self._is_swept = True

    def _write_some(
        self, known: Catalogue, descriptions: Descriptions, progress: Progress | None
    ) -> bool:
        """Write pages for a while, what is newest first; return whether all are current."""
        changes = known.last_changes()
        for name in self._contents.set_held(changes):
            self._written.pop(name, None)
        todo = [name for name, change in changes.items() if self._written.get(name) != change]
        todo.sort(key=lambda name: -changes[name].number)
        until = time.monotonic() + _SLICE
        while todo and time.monotonic() < until:
            name = todo.pop(0)
            self._write_project(name, known, descriptions)
            self._written[name] = changes[name]
            if progress:
                progress(len(changes) - len(todo), len(changes))
        # While the index is made from nothing, what is there already stays: it will be known again.
        if known.complete:
            for name in self._written.keys() - changes.keys():
                self._folder.delete_project(name)
                self._contents.forget(name)
                del self._written[name]
            self._is_overview_old = True
            if not todo and not self._is_swept:
                self._folder.sweep(
                    lambda: known.last_changes().keys(), {*self._descriptions.values()}
                )
                self._is_swept = True
        return not todo

    def _note_description(self, name: str, key: str) -> None:
        """Note which description a project has, and delete the one that it had."""
        old = self._descriptions.get(name)
        self._descriptions[name] = key
        if old and old != key and old not in self._descriptions.values():
            self._folder.delete_description(old)

    def _write_overview(self, known: Catalogue) -> None:
        began = time.monotonic()
        self._folder.write_overview(self._contents.overview(known))
        self._is_overview_old = False
        self._next_overview = time.monotonic() + _REST * (time.monotonic() - began)

    def _write_project(self, name: str, known: Catalogue, descriptions: Descriptions) -> None:
        try:
            found = self._contents.read(name, known)
            html = descriptions.html(found.details)
            self._note_description(name, description.key(found.details))
            files = self._contents.project(found, html)
        except (OSError, sqlite3.Error):
            raise
        except Exception as error:
            # A single project must not keep all others from their pages.
            log.error("the page of %s cannot be made: %r", name, error)
        else:
            self._folder.write_project(name, files)
