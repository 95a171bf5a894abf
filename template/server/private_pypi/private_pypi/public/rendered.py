"""Pages as clients get them: filtered by the policy, written once, and held in bounded memory."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

from . import forms
from .document import Document
from .kept_pages import KeptPages
from .pages import Page, in_thread
from .policy import Policy
from .recent import Recent
from .watched_policy import WatchedPolicy

LIMIT = 24 * 2**20
"""Bytes of compressed pages that are held."""


@dataclass(frozen=True)
class Rendered:
    """A page in one form.

    Attributes:
        compressed: the page, by gzip.
        etag: by which clients know it, with its quotation marks.
        until: when the next file leaves its cooldown, so that the page is no longer right; None if
            none will.
        status: of the project (PEP 792).
    """

    compressed: bytes
    etag: str
    until: datetime | None
    status: str


@dataclass(frozen=True)
class _Source:
    """What a page was rendered from."""

    identity: str
    policy: int


class Renderer:
    """Renders pages, each once as long as neither it nor the policy changes.

    Args:
        pages: those that are kept.
        policy: which of their files clients may have.
        limit: bytes of compressed pages that are held; the one that was not used for longest goes.
        clock: tells the time, in UTC.
    """

    def __init__(
        self,
        pages: KeptPages,
        policy: WatchedPolicy,
        *,
        limit: int = LIMIT,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._pages = pages
        self._policy = policy
        self._clock = clock
        self._recent = Recent[tuple[str, bool], tuple[_Source, Rendered]](limit)
        self._rendering: dict[
            tuple[str, bool, _Source, datetime | None], asyncio.Task[Rendered | None]
        ] = {}

    async def get(self, page: Page, *, as_json: bool) -> Rendered | None:
        """Return a page in one of two forms; None if somebody has deleted it since.

        Args:
            as_json: whether it is JSON (PEP 691) or HTML (PEP 503).
        """
        policy = self._policy.current
        source = _Source(page.identity, self._policy.number)
        key = (page.project, as_json)
        held, rendered = self._recent.get(key) or (None, None)
        if rendered and held == source and (not rendered.until or self._clock() < rendered.until):
            return rendered
        flight = (*key, source, rendered.until if rendered else None)
        task = self._rendering.get(flight)
        if not task:
            # In a thread: a large page takes a second, which other clients need not wait.
            task = asyncio.create_task(in_thread(self._render, page, policy, as_json=as_json))
            self._rendering[flight] = task
            task.add_done_callback(lambda _: self._rendering.pop(flight))
        # A client that leaves does not stop it for the others.
        made = await asyncio.shield(task)
        if made:
            self._recent.put(key, (source, made), len(made.compressed))
        return made

    def _render(self, page: Page, policy: Policy, *, as_json: bool) -> Rendered | None:
        document = page.document or self._pages.read(page.project)
        return render(document, policy, self._clock(), as_json=as_json) if document else None


def render(document: Document, policy: Policy, now: datetime, *, as_json: bool) -> Rendered:
    """Return a page with those files that the policy offers at a time."""
    files, ends, status = [], [], document.status
    for file in document.files:
        verdict = policy.verdict(document.name, file, now, status=status)
        if verdict.offered:
            files.append(file)
        elif verdict.until:
            ends.append(verdict.until)
    body = (forms.as_json if as_json else forms.as_html)(document, files)
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return Rendered(gzip.compress(body, 1, mtime=0), etag, min(ends, default=None), status)
