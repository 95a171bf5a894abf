"""The mirror's answers: pages and files of PyPI, as far as the owner's policy offers them.

The gateway, which asks it, has removed accounts and cookies, and serves kept files itself.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from email.utils import format_datetime

from packaging.utils import canonicalize_name
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..negotiation import JSON, LEGACY, content_type, qualities
from ..terminal import printable
from . import explain
from .document import Document, File, version_of
from .files import Files
from .kept import METADATA, PUBLIC
from .kept_pages import KeptPages, is_project
from .pages import NoSuchProjectError, Page, Pages, Times, UnavailableError, in_thread
from .rendered import Renderer
from .settings import PublicSettings
from .upstream import NotFoundError, Upstream, UpstreamError
from .watched_policy import WatchedPolicy

_LOOK_EVERY = 1.0
"""Seconds between two looks at whether the policy has changed."""

log = logging.getLogger(__name__)


class Mirror:
    """One mirror: what it keeps, whom it asks, and what its owner lets through.

    Args:
        settings: its folders, limits and the index it mirrors.
        upstream: asks that index; None for one with the usual limits.
        times: how long what is known of pages is good for.
    """

    def __init__(
        self,
        settings: PublicSettings,
        upstream: Upstream | None = None,
        times: Times = Times(),  # noqa: B008
    ) -> None:
        self._folder = settings.data / PUBLIC
        self._upstream = upstream or Upstream(settings.index)
        self._files = Files(settings.data, settings.max_bytes, self._upstream)
        self._kept_pages = KeptPages(
            settings.data, self._kept_files, self._files.count_page, self._files.forget
        )
        self._pages = Pages(self._kept_pages, self._upstream, times)
        self._policy = WatchedPolicy(settings.policy, settings.data / "policy.toml")
        self._renderer = Renderer(self._kept_pages, self._policy)
        self._must_sweep = asyncio.Event()
        self._one_at_a_time = threading.Lock()

    @asynccontextmanager
    async def running(self, _: Starlette) -> AsyncIterator[None]:
        """Delete what is unfinished and what the policy hides by now; in the end, hang up."""
        await asyncio.to_thread(self._kept_pages.open)
        async with self._files:
            sweeping = asyncio.create_task(self._sweep_when_needed())
            try:
                yield
            finally:
                sweeping.cancel()
                await asyncio.wait({sweeping})
                await self._upstream.close()

    async def page(self, request: Request) -> Response:
        """Answer with the page of a project (PEP 503, 691)."""
        project = request.path_params["project"]
        normalised = canonicalize_name(project)
        if project != normalised and is_project(normalised):
            return _moved(f"../{normalised}/")
        asked = request.query_params.get("format", "")
        kind = content_type(request.headers.get("Accept", ""), asked)
        for _ in range(2):
            page = await self._pages.get(project)
            rendered = await self._renderer.get(page, as_json=kind == JSON)
            if rendered:
                break
        else:
            raise UnavailableError("the kept page was deleted")
        if rendered.status == "quarantined" and self._kept_files(project):
            self._must_sweep.set()
        headers = {
            # A weak one, as it is the same for both encodings.
            "ETag": f"W/{rendered.etag}",
            "Vary": "Accept, Accept-Encoding",
            "Cache-Control": "private, no-cache",
            **_warning(page),
        }
        if _is_known(request.headers.get("If-None-Match", ""), rendered.etag):
            return Response(status_code=304, headers=headers)
        charset = "; charset=utf-8" if kind == LEGACY else ""
        # Not as media_type, to which a charset would be added for each kind of text.
        headers["Content-Type"] = f"{kind}{charset}"
        if not qualities(request.headers.get("Accept-Encoding", "")).get("gzip"):
            body = await in_thread(gzip.decompress, rendered.compressed)
            return Response(body, headers=headers)
        headers["Content-Encoding"] = "gzip"
        return Response(rendered.compressed, headers=headers)

    async def file(self, request: Request) -> Response:
        """Answer with a file, or with its metadata (PEP 658)."""
        project, name = request.path_params["project"], request.path_params["filename"]
        is_metadata = name.endswith(METADATA)
        _, document = await self._document(project)
        file = document.file(name.removesuffix(METADATA))
        if not file or (is_metadata and not file.metadata_hashes):
            return _refusal(404, f"PyPI lists no file {name} of {project}")
        now = datetime.now(timezone.utc)
        verdict = self._policy.current.verdict(project, file, now, status=document.status)
        if not verdict.offered:
            return _refusal(403, f"{file.filename} is hidden by the policy: {verdict.rule}")
        size = None if is_metadata else file.size
        if request.method == "HEAD" and size is not None:
            return Response(headers={**_of_file(is_metadata), "Content-Length": str(size)})
        return _FileResponse(self._files, project, file, is_metadata=is_metadata)

    async def policy(self, request: Request) -> Response:
        """Answer with a table for people: what of a project is offered, and why."""
        page, document = await self._document(canonicalize_name(request.path_params["project"]))
        now = datetime.now(timezone.utc)
        lines = await in_thread(explain.lines, document, self._policy.current, now)
        if page.stale_since:
            when = format_datetime(page.stale_since, usegmt=True)
            lines = [f"PyPI cannot be reached: this is its page from {when}.", *lines]
        return PlainTextResponse("".join(f"{printable(line)}\n" for line in lines))

    async def health(self, _: Request) -> Response:
        """Answer that this process works, whatever PyPI does."""
        return PlainTextResponse("ok\n")

    async def _document(self, project: str) -> tuple[Page, Document]:
        for _ in range(2):
            page = await self._pages.get(project)
            document = await self._pages.load(page)
            if document:
                return page, document
        raise UnavailableError("the kept page was deleted")

    def _kept_files(self, project: str) -> set[str]:
        """Return the names of the files of a project that are kept."""
        try:
            return {path.name for path in (self._folder / project).iterdir()}
        except OSError:
            return set()

    def _hidden(self, project: str) -> Callable[[str], bool]:
        """Return whether the policy hides files of a project, by all that is kept of its page.

        Of a file that no kept page lists, nothing is known: a cooldown hides it. The kept page
        outlives a power failure from now on, as a kept file does, so that none is deleted because
        its page was lost.
        """
        # Many downloads may end at one time, and large pages take much memory.
        with self._one_at_a_time:
            self._kept_pages.sync(project)
            document = self._kept_pages.read(project)
        status = document.status if document else ""

        def is_hidden(filename: str) -> bool:
            file = document.file(filename) if document else None
            file = file or File(filename, "", {}, version=version_of(project, filename))
            now = datetime.now(timezone.utc)
            return not self._policy.current.verdict(project, file, now, status=status).offered

        return is_hidden

    async def _sweep_when_needed(self) -> None:
        """Delete kept files that the policy hides whenever it changes: the gateway serves them."""
        done = -1
        problem = ""
        while True:
            try:
                is_good, number = not self._policy.current.refusal, self._policy.number
                # Without a good policy nobody has decided what to delete.
                if is_good and (number != done or self._must_sweep.is_set()):
                    self._must_sweep.clear()
                    deleted = await self._files.discard(self._hidden)
                    done, problem = number, ""
                    if deleted:
                        log.info("deleted %d kept files that the policy hides", deleted)
            except Exception as error:
                done = -1
                # It is tried again each second: one line says it.
                if str(error) != problem:
                    problem = str(error)
                    cause = None if isinstance(error, OSError) else error
                    log.error(
                        "files that the policy hides cannot be deleted: %s", error, exc_info=cause
                    )
            await asyncio.sleep(_LOOK_EVERY)


def make_app(settings: PublicSettings) -> Starlette:
    """Return the mirror as an ASGI application."""
    return application(Mirror(settings))


def application(mirror: Mirror) -> Starlette:
    """Return an ASGI application that answers for a mirror."""
    routes = [
        Route("/simple/{project}/", mirror.page),
        Route("/simple/{project}", _to_page),
        Route(f"/{PUBLIC}/{{project}}/{{filename}}", mirror.file),
        Route("/policy/{project}", mirror.policy),
        Route("/health", mirror.health),
    ]
    app = Starlette(
        routes=routes,
        lifespan=mirror.running,
        middleware=[Middleware(_EndsInTime)],
        exception_handlers={
            HTTPException: _refused,
            NoSuchProjectError: _no_such_project,
            UnavailableError: _unavailable,
        },
    )
    # It would lead to the name by which the gateway knows this process.
    app.router.redirect_slashes = False
    return app


class _EndsInTime:
    """Lets a request end with an answer when the process is stopped, which cancels it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            # An answer that has begun is cut: its client knows that it is not whole.
            if not has_begun:
                refusal = _refusal(503, "The mirror is being stopped: ask again in a while")
                await refusal(scope, receive, send)


class _FileResponse(Response):
    """A file that comes from the disk, or from PyPI while it is sent."""

    def __init__(self, files: Files, project: str, file: File, *, is_metadata: bool) -> None:
        super().__init__()
        self._files, self._project, self._file = files, project, file
        self._is_metadata = is_metadata

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response: Response | None = None
        try:
            async with self._files.open(
                self._project, self._file, metadata=self._is_metadata
            ) as opened:
                headers = _of_file(self._is_metadata)
                if opened.size is not None:
                    headers["Content-Length"] = str(opened.size)
                response = StreamingResponse(opened.chunks, headers=headers)
                await response(scope, receive, send)
        except (UpstreamError, OSError) as error:
            if not isinstance(error, UpstreamError):
                log.error("a file cannot be read: %s", error)
            if response:
                # It has begun. Without an end to it, the connection is cut, so that the client
                # knows that the file is not whole.
                return
            await self._failure(error)(scope, receive, send)

    def _failure(self, error: UpstreamError | OSError) -> Response:
        name = self._file.filename
        if isinstance(error, NotFoundError):
            return _refusal(404, f"{name} cannot be had: {error}")
        if isinstance(error, UpstreamError):
            return _refusal(502, f"{name} cannot be had: {error}", {"Retry-After": "30"})
        return _refusal(500, f"{name} cannot be read: make pypi-logs on the server says more")


async def _to_page(request: Request) -> Response:
    normalised = canonicalize_name(request.path_params["project"])
    if not is_project(normalised):
        raise NoSuchProjectError(normalised)
    return _moved(f"{normalised}/")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentences = {
        404: "There is nothing here: pages are under simple/, files under public/",
        405: "Nothing but GET and HEAD is answered here",
    }
    headers = dict(error.headers or {})
    return _refusal(error.status_code, sentences.get(error.status_code, error.detail), headers)


async def _no_such_project(_: Request, error: Exception) -> Response:
    return _refusal(404, f"PyPI has no project {error}")


async def _unavailable(_: Request, error: Exception) -> Response:
    assert isinstance(error, UnavailableError)
    if error.is_wrong:
        return _refusal(502, f"The page cannot be had: {error}")
    text = f"The page cannot be had: {error}; ask again in a while"
    return _refusal(503, text, {"Retry-After": "30"})


def _refusal(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    """Return an answer that says why, in one line of text."""
    return PlainTextResponse(f"{printable(sentence)[:500]}.\n", status, headers)


def _moved(place: str) -> Response:
    """Redirect to a place relative to this one, whatever name and path a proxy gives the index."""
    return Response(status_code=301, headers={"Location": place})


def _warning(page: Page) -> dict[str, str]:
    """Return the header that says that a page is stale (RFC 7234, 5.5)."""
    if not page.stale_since:
        return {}
    when = format_datetime(page.stale_since, usegmt=True)
    return {"Warning": f'110 - "PyPI cannot be reached; this page is from {when}"'}


def _is_known(condition: str, etag: str) -> bool:
    """Return whether the client has this page (RFC 9110, 13.1.2)."""
    return etag in re.findall('"[^"]*"', condition) or condition.strip() == "*"


def _of_file(is_metadata: bool) -> dict[str, str]:
    return {
        "Content-Type": "text/plain; charset=utf-8" if is_metadata else "application/octet-stream",
        "Cache-Control": "private, max-age=31536000, immutable",
    }
