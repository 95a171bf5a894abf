"""The WSGI application (PEP 3333): pypiserver behind our accounts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

import pypiserver
from pypiserver.backend import BackendProxy
from pypiserver.bottle_wrapper import HTTPError, request
from pypiserver.config import Config

from .authentication import Authenticator
from .settings import MEBIBYTE, Settings
from .storage import UPLOADS, Storage, too_large

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

# Room for the fields that surround a distribution in an upload form.
FORM = MEBIBYTE


def create_app(settings: Settings | None = None) -> Callable[..., Iterable[bytes]]:
    """Return the application that gunicorn serves."""
    settings = settings or Settings.from_environment()
    uploads = settings.data / UPLOADS
    uploads.mkdir(mode=0o700, exist_ok=True)
    # Uploads are spooled here, not to /tmp, which is memory in the container.
    tempfile.tempdir = str(uploads.resolve())
    return Gatekeeper(_pypiserver(settings), Authenticator(settings.auth), settings)


class Gatekeeper:
    """Answers the health check and lets nothing else pass without an account that may do it."""

    def __init__(
        self,
        index: Callable[..., Iterable[bytes]],
        authenticator: Authenticator,
        settings: Settings,
    ) -> None:
        self._index = index
        self._authenticator = authenticator
        self._settings = settings

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
        if path == "/health":
            return self._health(start_response)
        account = self._authenticator.authenticate(environ.get("HTTP_AUTHORIZATION", ""))
        if not account:
            challenge = ("WWW-Authenticate", 'Basic realm="private index", charset="UTF-8"')
            text = "Wrong or missing user name and password."
            return _answer(start_response, "401 Unauthorized", text, challenge)
        if path.startswith("/RPC2"):
            return _answer(start_response, "404 Not Found", "This index has no XML-RPC.")
        if method not in ("GET", "HEAD") and account.role != "publisher":
            _read_to_end(environ)
            text = f"{account.name} may install, not publish."
            return _answer(start_response, "403 Forbidden", text)
        if int(environ.get("CONTENT_LENGTH") or 0) > self._settings.max_upload + FORM:
            _read_to_end(environ)
            text = too_large(self._settings.max_upload)
            return _answer(start_response, "413 Content Too Large", text)
        return self._index(environ, start_response)

    def _health(self, start_response: StartResponse) -> list[bytes]:
        if os.access(self._settings.data / UPLOADS, os.W_OK):
            return _answer(start_response, "200 OK", "ok")
        text = f"pypi_data/{UPLOADS} is not writable for user {os.getuid()}."
        return _answer(start_response, "503 Service Unavailable", text)


def _pypiserver(settings: Settings) -> Any:
    config = Config.default_with_overrides(
        roots=[settings.data.resolve()],
        authenticate=[],
        password_file=".",
        disable_fallback=not settings.redirect,
        welcome_msg="A private Python package index; pip finds its packages under {{SIMPLE}}.",
        **({"fallback_url": settings.public_index} if settings.public_index else {}),
    )
    config.backend = BackendProxy(Storage(config, settings.max_upload))
    app = pypiserver.app_from_config(config)
    app.add_hook("before_request", _refuse_all_but_uploads)
    app.add_hook("after_request", _close_spooled_files)
    return app


def _refuse_all_but_uploads() -> None:
    """Let a whole upload form publish and nothing else: an index that CI depends on only grows."""
    if request.method != "POST":
        return
    if request.chunked:
        # gunicorn has decoded the chunks, and bottle would decode them again.
        raise HTTPError(411, "Send a Content-Length: this index takes no chunked uploads.")
    if request.body.seek(0, os.SEEK_END) < request.content_length:
        # A client that went away in the middle; its file would be cut short for good.
        raise HTTPError(400, "The upload ended early: send it again.")
    try:
        action = request.forms.get(":action")
    except ValueError as error:
        raise HTTPError(400, f"This is not an upload form: {error}") from None
    if action in ("remove_pkg", "doc_upload"):
        raise HTTPError(403, "This index takes file uploads only.")


def _close_spooled_files() -> None:
    """Free what an upload took on disk, which bottle keeps until its thread's next request."""
    for upload in request.environ.get("bottle.request.files", {}).values():
        upload.file.close()
    if "bottle.request.body" in request.environ:
        request.environ["bottle.request.body"].close()


def _read_to_end(environ: Environ) -> None:
    """Read a refused upload and keep nothing of it: a client that still sends reads no answer."""
    while environ["wsgi.input"].read(MEBIBYTE):
        pass


def _answer(
    start_response: StartResponse, status: str, text: str, *headers: tuple[str, str]
) -> list[bytes]:
    body = f"{text}\n".encode()
    plain = ("Content-Type", "text/plain; charset=utf-8")
    start_response(status, [plain, ("Content-Length", str(len(body))), *headers])
    return [body]
