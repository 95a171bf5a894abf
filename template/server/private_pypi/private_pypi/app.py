"""The WSGI application (PEP 3333): pypiserver behind our accounts."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterable
from functools import partial, wraps
from http import HTTPStatus
from typing import Any

import pypiserver
from pypiserver.backend import BackendProxy
from pypiserver.bottle_wrapper import Bottle, HTTPError, request, response
from pypiserver.config import Config

from . import uploads
from .authentication import Authenticator
from .index import Index
from .reads import reads
from .refusals import refusal, refusals, too_large
from .settings import Settings
from .storage import Storage
from .terminal import printable

ROUTES = {("GET", "/"), ("POST", "/"), ("GET", "/simple/:project/")}
"""What pypiserver answers: the welcome, uploads, and names that are not here. All other reads that
are open stand in `reads`, so that no version of pypiserver opens one more."""

UPLOADS, REFUSED = 24, 8
"""Uploads at once, and refused ones whose rest is read at once. Of gunicorn's 40 threads, some are
always left for what is neither."""

READ_ON = 4
"""How many times the largest upload is read of a refused one, so that its client sees why."""
READ_ON_LEAST = 2**30
"""Bytes of a refused upload that are read in any case."""

FOR_BROWSERS = [
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]
"""Headers of every answer, as gateway/Caddyfile has them: no page of another site loads or shows
what is here in a browser that is logged in, and nothing that was published runs there."""

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

DIED = (
    "A process of the index died and another took over. Most likely it was killed at the limit of"
    " its memory: look in the log which requests it had, or raise mem_limit of private_pypi in"
    " docker-compose.pypi.yml."
)
DIED_SHOWS = 300
"""What health check and log say of that, and for how many seconds the health check fails."""

log = logging.getLogger(__name__)

# As the gateway's log: what may hold a password is left out of an address.
_SECRET = re.compile(r"//[^/]*@|\?.*")
_ALLOWED = ("Allow", "GET, HEAD, POST")
_HOST = re.compile(r"([A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{0,5})?")


def create_app(settings: Settings | None = None) -> Gatekeeper:
    """Return the application that gunicorn serves; its index is current once it was refreshed."""
    settings = settings or Settings.from_environment()
    index = Index(settings.data, settings.index)
    folder = settings.data / uploads.FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    uploads.delete_abandoned(folder)
    return Gatekeeper(index, Authenticator(settings.auth), settings)


class Gatekeeper:
    """Answers the health check and lets nothing else pass without an account that may do it.

    Attributes:
        index: what it serves.
    """

    def __init__(
        self,
        index: Index,
        authenticator: Authenticator,
        settings: Settings,
    ) -> None:
        self.index = index
        self._pypiserver = _pypiserver(settings, index)
        self._authenticator = authenticator
        self._settings = settings
        self._death_shows_until = 0.0
        self._uploads, self._refused = uploads.Places(UPLOADS), uploads.Places(REFUSED)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["private_pypi.path"] = _SECRET.sub("", environ.get("RAW_URI", ""))
        body = environ["wsgi.input"] = uploads.Body(environ)
        answer = self._respond(environ, partial(_start, start_response))
        # What is left of the body would be taken for the next request on this connection, which may
        # be somebody else's: the gateway keeps its connections for all.
        if not body.whole:
            with self._refused.taken(environ.get("private_pypi.account", "")) as free:
                if free:
                    self._read_to_end(body)
        if not body.whole:
            _close(start_response)
        return answer

    def note_death(self) -> str:
        """Let the health check fail for a while because the process before this one died.

        Returns:
            the sentence that it says meanwhile, for the log.
        """
        self._death_shows_until = time.monotonic() + DIED_SHOWS
        return DIED

    def _respond(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
        if path == "/health":
            return self._health(start_response)
        try:
            account = self._authenticator.authenticate(environ.get("HTTP_AUTHORIZATION", ""))
        except OSError as error:
            log.error("the accounts cannot be read: %s", error)
            text = "The accounts of the index cannot be read: see its log."
            return _refuse(start_response, 503, text)
        if not account:
            challenge = ("WWW-Authenticate", 'Basic realm="private index", charset="UTF-8"')
            text = "Wrong or missing user name and password."
            return _refuse(start_response, 401, text, challenge)
        environ["private_pypi.account"] = account.name
        for host in (environ.get("HTTP_HOST", ""), environ.get("HTTP_X_FORWARDED_HOST", "")):
            if not _HOST.fullmatch(host):
                text = "The Host header names no host."
                return _refuse(start_response, 400, text)
        if path.startswith("/RPC2"):
            return _refuse(start_response, 404, "This index has no XML-RPC.")
        if method in ("GET", "HEAD"):
            return self._ask_pypiserver(environ, start_response)
        # A browser that is logged in sends the login with whatever another site has it send. These
        # headers tell that it is one (RFC 6454, W3C Fetch Metadata); no client that publishes has
        # them. The two are not compared with this index: proxies in front change its name.
        if "HTTP_ORIGIN" in environ or "HTTP_SEC_FETCH_SITE" in environ:
            text = "This index takes nothing from browsers: publish with twine, uv or Poetry."
            return _refuse(start_response, 403, text)
        if account.role != "publisher":
            text = f"{account.name} may install, not publish."
            return _refuse(start_response, 403, text)
        if (method, path) != ("POST", "/"):
            return _refuse(start_response, 405, _where(path), _ALLOWED)
        if int(environ.get("CONTENT_LENGTH") or 0) > self._settings.max_upload + uploads.FORM:
            text = too_large(self._settings.max_upload)
            return _refuse(start_response, 413, text)
        with self._uploads.taken(account.name) as free:
            if free:
                answer = self._ask_pypiserver(environ, start_response)
                self._read_to_end(environ["wsgi.input"])
                return answer
        text = "Too many uploads at once: send it again later."
        again = ("Retry-After", "5")
        return _refuse(start_response, 503, text, again)

    def _ask_pypiserver(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        answer: Iterable[bytes] = self._pypiserver(environ, start_response)
        return answer

    def _read_to_end(self, body: uploads.Body) -> None:
        """Let the client of a refused upload send on until it reads why, unless that has no end."""
        most = READ_ON * (self._settings.max_upload + uploads.FORM)
        body.read_to_end(max(most, READ_ON_LEAST))

    def _health(self, start_response: StartResponse) -> list[bytes]:
        if not os.access(self._settings.data / uploads.FOLDER, os.W_OK):
            text = f"pypi_data/{uploads.FOLDER} is not writable for user {os.getuid()}."
        elif unreadable := self.index.unreadable:
            text = f"{unreadable[0]}."
        elif problem := self.index.problem:
            text = f"{problem}."
        elif time.monotonic() < self._death_shows_until:
            text = DIED
        else:
            return _answer(start_response, "200 OK", "ok")
        return _answer(start_response, "503 Service Unavailable", text)


def _pypiserver(settings: Settings, index: Index) -> Any:
    config = Config.default_with_overrides(
        roots=[settings.data.resolve()],
        authenticate=[],
        password_file=".",
        disable_fallback=not settings.redirect,
        welcome_msg="A private Python package index; pip finds its packages under simple/.",
        **({"fallback_url": settings.public_index} if settings.public_index else {}),
    )
    config.backend = BackendProxy(Storage(config, index))
    app = Bottle()
    for route in pypiserver.app_from_config(config).routes:
        if (route.method, route.rule) in ROUTES:
            app.route(route.rule, route.method, route.callback)
    app.add_hook("before_request", _answering(settings.max_upload, reads(index)))
    app.add_hook("before_request", partial(_take_in, settings))
    app.add_hook("after_request", _close_form)
    app.install(partial(_answering, settings.max_upload))
    app.default_error_handler = _plain
    return app


def _answering(max_upload: int, callback: Callable[..., Any]) -> Callable[..., Any]:
    """Return a handler whose refusals have our form (a plugin of bottle)."""

    @wraps(callback)
    def answering(*arguments: Any, **options: Any) -> Any:
        with refusals(max_upload):
            return callback(*arguments, **options)

    return answering


def _take_in(settings: Settings) -> None:
    """Let a whole upload form publish and nothing else: an index that CI depends on only grows."""
    if request.method != "POST":
        return
    if request.chunked:
        # gunicorn has decoded the chunks, and bottle would decode them again.
        raise refusal(411, "Send a Content-Length: this index takes no chunked uploads.")
    with refusals(settings.max_upload):
        form = uploads.read_form(
            request.environ, settings.data / uploads.FOLDER, settings.max_upload
        )
        # Where bottle keeps a form it has read; pypiserver finds it there.
        request.environ["bottle.request.post"] = form
        if form.get(":action") in ("remove_pkg", "doc_upload"):
            raise refusal(403, "This index takes file uploads only.")
        uploads.check(form)


def _close_form() -> None:
    """Delete what an upload took on disk beside its own file, whatever became of it."""
    if "bottle.request.post" in request.environ:
        uploads.close(request.environ["bottle.request.post"])


def _plain(error: HTTPError) -> str:
    """Answer with a sentence, not with bottle's page."""
    response.content_type = "text/plain; charset=utf-8"
    # pypiserver repeats what was sent.
    said = str(error.body or f"{error.status_code} {HTTPStatus(error.status_code).phrase}").strip()
    return f"{printable(said)[:500]}\n"


def _where(path: str) -> str:
    """Return the sentence for what is sent to a place or by a method that takes no uploads."""
    if path in ("", "/"):
        return "Publish with POST, as twine, uv and Poetry do."
    # A proxy may have taken a path off in front; what is behind the root is the same for all.
    return (
        "Publish with POST to the root URL of this index: this one without"
        f" {path[1:81]!a} at its end."
    )


def _refuse(
    start_response: StartResponse, status: int, sentence: str, *headers: tuple[str, str]
) -> list[bytes]:
    """Answer with one sentence in the body and, for twine, in the status line."""
    return _answer(start_response, f"{status} {sentence}", sentence, *headers)


def _start(
    start_response: StartResponse, status: str, headers: list[tuple[str, str]], *error: Any
) -> Any:
    return start_response(status, [*headers, *FOR_BROWSERS], *error)


def _close(start_response: StartResponse) -> None:
    """Let the connection close behind an answer, and the answer say so.

    gunicorn drops an application's header for that; its own response, whose method it hands to the
    application, can be told.
    """
    answer = getattr(start_response, "__self__", None)
    if answer is not None:
        answer.force_close()


def _answer(
    start_response: StartResponse, status: str, text: str, *headers: tuple[str, str]
) -> list[bytes]:
    body = f"{text}\n".encode()
    plain = ("Content-Type", "text/plain; charset=utf-8")
    start_response(status, [plain, ("Content-Length", str(len(body))), *headers])
    return [body]
