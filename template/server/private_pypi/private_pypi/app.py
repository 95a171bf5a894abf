"""The WSGI application (PEP 3333): pypiserver behind our accounts."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin

import pypiserver
from pypiserver.backend import BackendProxy
from pypiserver.bottle_wrapper import HTTPError, HTTPResponse, request, response
from pypiserver.config import Config

from . import uploads
from .authentication import Authenticator
from .index import Index
from .reads import reads
from .refusals import refusal, refusals, too_large
from .settings import Settings
from .storage import Storage

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

log = logging.getLogger(__name__)

# As the gateway's log: what may hold a password is left out of an address.
_SECRET = re.compile(r"//[^/]*@|\?.*")
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
        # Of gunicorn's 40 threads, some are always left for what is no upload.
        self._uploads = uploads.Places(each=12, altogether=24)
        self._refused = uploads.Places(each=2, altogether=8)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
        environ["private_pypi.path"] = _SECRET.sub("", environ.get("RAW_URI", ""))
        if path == "/health":
            return self._health(start_response)
        try:
            account = self._authenticator.authenticate(environ.get("HTTP_AUTHORIZATION", ""))
        except OSError as error:
            log.error("the accounts cannot be read: %s", error)
            text = "The accounts of the index cannot be read: see its log."
            return _answer(start_response, "503 Service Unavailable", text)
        if not account:
            challenge = ("WWW-Authenticate", 'Basic realm="private index", charset="UTF-8"')
            text = "Wrong or missing user name and password."
            return _answer(start_response, "401 Unauthorized", text, challenge)
        environ["private_pypi.account"] = account.name
        for host in (environ.get("HTTP_HOST", ""), environ.get("HTTP_X_FORWARDED_HOST", "")):
            if not _HOST.fullmatch(host):
                self._read_to_end(environ, account.name)
                return _answer(start_response, "400 Bad Request", "The Host header names no host.")
        if path.startswith("/RPC2"):
            return _answer(start_response, "404 Not Found", "This index has no XML-RPC.")
        if method not in ("GET", "HEAD") and account.role != "publisher":
            self._read_to_end(environ, account.name)
            text = f"{account.name} may install, not publish."
            return _answer(start_response, "403 Forbidden", text)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > self._settings.max_upload + uploads.FORM:
            self._read_to_end(environ, account.name)
            text = too_large(self._settings.max_upload)
            return _answer(start_response, "413 Content Too Large", text)
        if method in ("GET", "HEAD"):
            return self._ask_pypiserver(environ, start_response)
        with self._uploads.taken(account.name) as free:
            if free:
                return self._ask_pypiserver(environ, start_response)
        text = f"Too many uploads of {account.name} at once: send it again later."
        again = ("Retry-After", "5")
        return _answer(start_response, "503 Service Unavailable", text, again)

    def _ask_pypiserver(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        answer: Iterable[bytes] = self._pypiserver(environ, start_response)
        return answer

    def _read_to_end(self, environ: Environ, name: str) -> None:
        """Read a refused upload, or not if too many send such at once."""
        with self._refused.taken(name) as free:
            if free:
                uploads.Body(environ).read_to_end()

    def _health(self, start_response: StartResponse) -> list[bytes]:
        if not os.access(self._settings.data / uploads.FOLDER, os.W_OK):
            text = f"pypi_data/{uploads.FOLDER} is not writable for user {os.getuid()}."
        elif self.index.closed:
            text = f"{self.index.closed[0]}."
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
    app = pypiserver.app_from_config(config)
    app.add_hook("before_request", reads(index))
    app.add_hook("before_request", partial(_take_in, settings))
    app.add_hook("after_request", _close_form)
    app.install(partial(_answering, settings.max_upload))
    app.default_error_handler = _plain
    return app


def _answering(max_upload: int, callback: Callable[..., Any]) -> Callable[..., Any]:
    """Return a handler of pypiserver whose answers have our form (a plugin of bottle)."""

    @wraps(callback)
    def answering(*arguments: Any, **options: Any) -> Any:
        with refusals(max_upload), _relative_redirects():
            return callback(*arguments, **options)

    return answering


@contextmanager
def _relative_redirects() -> Iterator[None]:
    """Let redirects within this index name no host (RFC 9110, section 10.2.2).

    So they are right for clients who know it by another name, or below a path of a proxy.
    """
    try:
        yield
    except HTTPResponse as answer:
        root = urljoin(request.url, "/")
        location = answer.get_header("Location", "")
        if location.startswith(root):
            up = "../" * (request.path.count("/") - 1)
            answer.set_header("Location", up + location.removeprefix(root))
        raise


def _take_in(settings: Settings) -> None:
    """Let a whole upload form publish and nothing else: an index that CI depends on only grows."""
    if request.method != "POST":
        return
    if request.chunked:
        # gunicorn has decoded the chunks, and bottle would decode them again.
        raise refusal(411, "Send a Content-Length: this index takes no chunked uploads.")
    try:
        with refusals(settings.max_upload):
            form = uploads.read_form(
                request.environ, settings.data / uploads.FOLDER, settings.max_upload
            )
    except HTTPError as error:
        if error.status_code != HTTPStatus.REQUEST_TIMEOUT:
            uploads.Body(request.environ).read_to_end()
        raise
    # Where bottle keeps a form it has read; pypiserver finds it there.
    request.environ["bottle.request.post"] = form
    if form.get(":action") in ("remove_pkg", "doc_upload"):
        raise refusal(403, "This index takes file uploads only.")


def _close_form() -> None:
    """Delete what an upload took on disk beside its own file, whatever became of it."""
    if "bottle.request.post" in request.environ:
        uploads.close(request.environ["bottle.request.post"])


def _plain(error: HTTPError) -> str:
    """Answer with a sentence, not with bottle's page."""
    response.content_type = "text/plain; charset=utf-8"
    # pypiserver repeats what was sent.
    said = str(error.body or f"{error.status_code} {HTTPStatus(error.status_code).phrase}").strip()
    text = "".join(letter if letter.isprintable() else "?" for letter in said)
    return f"{text[:500]}\n"


def _answer(
    start_response: StartResponse, status: str, text: str, *headers: tuple[str, str]
) -> list[bytes]:
    body = f"{text}\n".encode()
    plain = ("Content-Type", "text/plain; charset=utf-8")
    start_response(status, [plain, ("Content-Length", str(len(body))), *headers])
    return [body]
