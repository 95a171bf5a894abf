"""What the pages for people of one index say: files made from the catalogue and from metadata."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from ..catalogue import Catalogue
from ..facts import LastChange
from ..layout import project_of
from ..settings import Settings
from . import project
from .details import line
from .project import Project
from .render import FEED_LENGTH, Pages, Published, Site, Summary

_FILES = 20 * FEED_LENGTH
"""Files among which the releases of a feed are looked for."""


class Contents:
    """Makes the files, and remembers of each project what other pages say of it.

    Args:
        site: what the pages are made for.
        summaries: of projects that read() was not asked for yet, as far as they are known.
    """

    def __init__(
        self, settings: Settings, site: Site, summaries: dict[str, Summary] | None = None
    ) -> None:
        self._data, self._index = settings.data.resolve(), settings.index.resolve()
        self._pages = Pages(site)
        self._held: frozenset[str] = frozenset()
        self._summaries = summaries or {}
        self._requires: dict[str, frozenset[str]] = {}

    def set_held(self, changes: Mapping[str, LastChange]) -> set[str]:
        """Note which projects are served; return those whose pages name one that came or went."""
        held = frozenset(name for name, change in changes.items() if change.fingerprint)
        changed = held ^ self._held
        self._held = held
        return {name for name, required in self._requires.items() if required & changed}

    def read(self, name: str, known: Catalogue) -> Project:
        """Return what is known of a project."""
        found = project.read(name, self._data, self._index, known, self._held)
        details = found.details
        self._requires[name] = frozenset(one.project for one in details.requires)
        keywords = " ".join(details.keywords)
        self._summaries[name] = Summary(found.version, details.summary, keywords)
        return found

    def forget(self, name: str) -> None:
        """Forget a project that the index never had."""
        self._requires.pop(name, None)
        self._summaries.pop(name, None)

    def project(self, found: Project, html: str) -> dict[str, bytes]:
        """Return the files of a project.

        Args:
            html: its description, sanitised; empty to show it as text.
        """
        return self._pages.project(found, html)

    def overview(self, known: Catalogue) -> dict[str, bytes]:
        """Return the files that tell of all projects."""
        summaries = {name: self._summaries.get(name, Summary()) for name in self._held}
        return self._pages.overview(summaries, known.releases(), self._latest(known))

    def _latest(self, known: Catalogue) -> list[Published]:
        found: dict[tuple[str, str], Published] = {}
        for one in known.published(_FILES):
            name = project_of(one.location)
            published = Published(
                project=name,
                version=one.version,
                summary=self._summaries.get(name, Summary()).summary,
                uploaded=project.seconds(one.uploaded),
                by=line(one.by or ""),
            )
            found.setdefault((name, one.version), published)
        return list(islice(found.values(), FEED_LENGTH))
