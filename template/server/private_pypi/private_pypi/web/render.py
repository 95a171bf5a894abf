"""The files of the pages for people, rendered from what they show."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..settings import Settings
from .instructions import Instructions
from .project import Project

TEMPLATES, ASSETS = Path(__file__).with_name("templates"), Path(__file__).with_name("assets")

PAGE, FEED = "index.html", "feed.atom"
"""The files of a project."""
PROJECTS, SEARCH = "projects.html", "search.json"
FEED_LENGTH = 50
"""Releases in a feed."""
OVERVIEW = (PAGE, PROJECTS, SEARCH, FEED)
"""The files that tell of all projects."""


@dataclass(frozen=True)
class Published:
    """A release that was published, as the start page and the feeds list it."""

    project: str
    version: str
    summary: str
    uploaded: str
    by: str


class Summary(NamedTuple):
    """What lists of projects say of one."""

    version: str = ""
    summary: str = ""
    keywords: str = ""


@dataclass(frozen=True)
class Site:
    """What every page says of the index.

    Attributes:
        name: of the index.
        url: where people and clients reach it, with a slash at the end.
        asks_pypi: whether clients get from PyPI, through it, what it does not have.
    """

    name: str
    url: str
    asks_pypi: bool

    @classmethod
    def of(cls, settings: Settings) -> Site:
        """Return what the settings say."""
        return cls(settings.name, settings.url, settings.asks_pypi)

    def id(self, path: str) -> str:
        """Return the id of what is at a path, as feeds need it (RFC 4287): the same for one URL."""
        return uuid5(NAMESPACE_URL, f"{self.url}{path}").urn


class Pages:
    """Renders the pages of one index."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._instructions = Instructions(site.url, asks_pypi=site.asks_pypi)

    def project(self, project: Project, description: str) -> dict[str, bytes]:
        """Return the files of the page of a project.

        Args:
            description: as sanitised HTML; empty to show it as text.
        """
        page = self._render(
            "project.html",
            "../../",
            page=project,
            description=Markup(description),
            setups=self._instructions.for_project(project.name),
        )
        latest = [
            Published(
                project.name,
                release.version,
                project.details.summary,
                release.uploaded,
                release.first.by,
            )
            for release in sorted(project.releases, key=attrgetter("uploaded"), reverse=True)
        ]
        feed = self._feed(latest[:FEED_LENGTH], f"project/{project.name}/", project.title)
        return {PAGE: page, FEED: feed}

    def overview(
        self, summaries: dict[str, Summary], releases: int, latest: list[Published]
    ) -> dict[str, bytes]:
        """Return the files that tell of all projects, by name.

        Args:
            releases: how many there are.
            latest: what was published last, the newest first.
        """
        rows = [(name, *one) for name, one in sorted(summaries.items())]
        home = self._render(
            "home.html",
            "./",
            projects=len(summaries),
            releases=releases,
            latest=latest[:10],
            login=self._instructions.login(),
            setups=self._instructions.for_all(),
        )
        return {
            PAGE: home,
            PROJECTS: self._render(PROJECTS, "./", projects=[row[:3] for row in rows]),
            SEARCH: json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode(),
            FEED: self._feed(latest, "", ""),
        }

    def _feed(self, latest: Iterable[Published], path: str, title: str) -> bytes:
        return self._render("feed.atom", "", latest=latest, path=path, title=title)

    def _render(self, template: str, root: str, **values: object) -> bytes:
        text = environment().get_template(template).render(site=self._site, root=root, **values)
        return text.encode()


@cache
def environment() -> Environment:
    """Return what renders the templates of this package; all that they show is escaped."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
