"""The pages of PyPI: fresh for some minutes, then asked for again, and stale if need be."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import NamedTuple, ParamSpec, TypeVar

from ..terminal import printable
from .document import Document, DocumentError, parse
from .kept_pages import KeptPages, Known, is_project
from .upstream import Fetched, NotFoundError, Upstream, UpstreamError, WrongAnswerError

_MISSING = 1024

# One reads from the disk while one computes; more would take memory only.
_THREADS = ThreadPoolExecutor(2, "pages")

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


class NoSuchProjectError(Exception):
    """PyPI has no project of this name."""


class UnavailableError(Exception):
    """There is no page to be had; the message is a sentence without its full stop.

    Attributes:
        is_wrong: whether PyPI answered, but not with the page of the project.
    """

    def __init__(self, sentence: str, *, is_wrong: bool = False) -> None:
        super().__init__(sentence)
        self.is_wrong = is_wrong


@dataclass(frozen=True)
class Page:
    """The page of a project as it can be had now.

    Attributes:
        project: its normalised name.
        identity: differs from page to page, and stays while PyPI confirms the page.
        stale_since: when PyPI confirmed the page last, if it should have done so again but cannot
            be asked; None if the page is fresh.
        document: the page itself if it could not be kept.
    """

    project: str
    identity: str
    stale_since: datetime | None = None
    document: Document | None = None


class Times(NamedTuple):
    """How long what is known of pages is good for, in seconds.

    Attributes:
        fresh: a page is served without asking.
        missing: a name is known to be missing.
        patience: a client waits for PyPI although there is a kept page.
        pause: PyPI is not asked again for kept pages after it did not answer.
    """

    fresh: float = 600
    missing: float = 60
    patience: float = 3
    pause: float = 10


class Pages:
    """The pages of one index.

    Args:
        kept: those that are kept.
        upstream: is asked for what is not kept, or no longer fresh.
        times: how long what is known is good for.

    Attributes:
        kept: those that are kept.
    """

    def __init__(
        self,
        kept: KeptPages,
        upstream: Upstream,
        times: Times = Times(),  # noqa: B008
    ) -> None:
        self.kept = kept
        self._upstream = upstream
        self._times = times
        self._paused_until = 0.0
        # A large page takes ten times as much memory while it is read: one at a time.
        self._one_large = asyncio.Semaphore(1)
        self._asking: dict[str, asyncio.Task[Page]] = {}
        self._missing: OrderedDict[str, float] = OrderedDict()

    async def get(self, project: str) -> Page:
        """Return the page of a project: kept, from PyPI, or stale while PyPI does not answer.

        However many clients wait for a page, PyPI is asked once.

        Args:
            project: a name that need not be one.

        Raises:
            NoSuchProjectError: if PyPI has none of this name.
            UnavailableError: if there is neither an answer nor a kept page.
        """
        if not is_project(project) or self._missing.get(project, 0) > time.monotonic():
            raise NoSuchProjectError(project)
        known = self.kept.known(project)
        if known and not known.is_missing:
            if 0 <= time.time() - known.checked < self._times.fresh:
                return Page(project, known.identity)
            stale = Page(project, known.identity, _time(known.checked))
            if time.monotonic() < self._paused_until:
                return stale
            task = self._ask(project, known)
            await asyncio.wait({task}, timeout=self._times.patience)
            if not task.done():
                self._paused_until = time.monotonic() + self._times.pause
                return stale
        else:
            stale = None
            task = self._ask(project, known)
            await asyncio.wait({task})
        try:
            return task.result()
        except (UpstreamError, DocumentError) as error:
            if stale:
                return stale
            is_wrong = isinstance(error, (DocumentError, WrongAnswerError))
            raise UnavailableError(str(error), is_wrong=is_wrong) from None

    async def load(self, page: Page) -> Document | None:
        """Return what a page says; None if somebody has deleted it since."""
        return page.document or await in_thread(self.kept.read, page.project)

    def _ask(self, project: str, known: Known | None) -> asyncio.Task[Page]:
        """Ask PyPI for a page, unless that is under way."""
        task = self._asking.get(project)
        if not task:
            task = asyncio.create_task(self._fetch(project, known))
            self._asking[project] = task
            task.add_done_callback(lambda done: self._answered(project, done))
        return task

    def _answered(self, project: str, task: asyncio.Task[Page]) -> None:
        del self._asking[project]
        error = None if task.cancelled() else task.exception()
        if error and not isinstance(error, NoSuchProjectError):
            text = printable(str(error))
            # The cause is what nobody has thought of.
            cause = error.__cause__
            log.warning("the page of %s cannot be fetched: %s", project, text, exc_info=cause)
        # They hold what was read until the garbage collector comes by.
        while error:
            traceback.clear_frames(error.__traceback__)
            error = error.__context__

    async def _fetch(self, project: str, known: Known | None) -> Page:
        try:
            async with AsyncExitStack() as large:
                return await self._fetch_within(project, known, large)
        except (NoSuchProjectError, UpstreamError, DocumentError):
            raise
        except Exception as error:
            # Whatever a page can do to this code, the one that is kept is as good as before.
            raise WrongAnswerError("PyPI sent what the mirror cannot read") from error

    async def _fetch_within(self, project: str, known: Known | None, large: AsyncExitStack) -> Page:
        try:
            etag = known.etag if known else ""
            fetched = await self._upstream.page(
                project, etag, lambda: large.enter_async_context(self._one_large)
            )
        except NotFoundError:
            await in_thread(self._note_missing, project)
            raise NoSuchProjectError(project) from None
        except WrongAnswerError:
            raise
        except UpstreamError:
            self._paused_until = time.monotonic() + self._times.pause
            raise
        self._paused_until = 0.0
        self._missing.pop(project, None)
        if fetched.body is None and known:
            self.kept.confirm(project)
            return Page(project, known.identity)
        return await in_thread(self._take, project, fetched)

    def _take(self, project: str, fetched: Fetched) -> Page:
        """Read an answer and keep it.

        Raises:
            DocumentError: if it is not the page of this project.
        """
        body = fetched.body or b""
        document = parse(project, body, fetched.content_type, fetched.url, fetched.etag)
        identity, unkept = self.kept.write(document)
        return Page(project, identity, None, unkept)

    def _note_missing(self, project: str) -> None:
        """Remember that PyPI has no such project, and what is kept of one that it had."""
        self._missing[project] = time.monotonic() + self._times.missing
        while len(self._missing) > _MISSING:
            self._missing.popitem(last=False)
        self.kept.write_missing(project)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Read or write a page without holding up other clients; two pages at a time are in memory."""
    call = functools.partial(function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_THREADS, call)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
