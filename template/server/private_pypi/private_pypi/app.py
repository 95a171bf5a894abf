"""The WSGI application (PEP 3333): a gatekeeper in front of reads, uploads and pypiserver."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import closing

from . import disk, permissions, reads, refusals, uploads
from .accounts import Account
from .answers import Answer, Environ, StartResponse, plain, refusal
from .authentication import Authenticator, credentials
from .body import Body
from .distribution import parse_name
from .hosting import Pypiserver
from .index import Index
from .layout import PUBLIC_INDEX, UPLOADS
from .settings import Settings
from .slots import UploadSlots
from .statuses import ClosedError
from .trust import routes
from .trust.minted import LIFE
from .trust.service import TrustService, as_account
from .web import errors

SLOTS, REFUSED_SLOTS = 24, 8
"""Uploads at once, and refused ones whose rest is read at once. The rest of gunicorn's 40 threads
stay free for other requests."""

READ_ON = 4
"""A refused upload is read up to this many times the largest upload, so that its client reads why
it was refused."""
READ_ON_LEAST = 2**30
"""Bytes of a refused upload that are read in any case."""

FOR_BROWSERS = (
    # Pages for people have another policy: they set it themselves.
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
)
"""Headers of every answer, as gateway/Caddyfile has them: in a browser that is logged in, no other
site can load or show what is here, and nothing that was published runs."""

DIED = (
    "A process of the index died and another took over. Most likely it was killed at the limit of"
    " its memory: look in the log which requests it had, or raise mem_limit of private_pypi in"
    " docker-compose.pypi.yml."
)
DIED_SHOWS = 300
"""The sentence of health check and log for that, and how many seconds the health check fails."""

_ENDED = (
    f"The password of {routes.LOGIN} does not work, or does not any more: one that is minted lasts"
    f" {LIFE // 60} minutes. Run the job again."
)

log = logging.getLogger(__name__)

# User, password and query may be secret: they are left out of an address, as in the gateway's log.
_SECRET = re.compile(r"//[^/]*@|\?.*")
_ALLOWED = ("Allow", "GET, HEAD, POST")
_HOST = re.compile(r"([A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{0,5})?")
_REFUSED_ACTIONS = ("remove_pkg", "doc_upload")

# Marks a request that anybody may send: the rest of its body is not worth a thread.
_HANGS_UP = "private_pypi.hangs_up"


def create_app(settings: Settings | None = None) -> Gatekeeper:
    """Return the application that gunicorn serves; its index is current once it was refreshed."""
    settings = settings or Settings.from_environment()
    index = Index(settings.data, settings.index, settings.url)
    folder = settings.data / UPLOADS
    folder.mkdir(mode=0o700, exist_ok=True)
    uploads.delete_abandoned(folder)
    gatekeeper = Gatekeeper(index, Authenticator(settings.auth), settings)
    gatekeeper.tell_gateway()
    return gatekeeper


class Gatekeeper:
    """Answers the health check, and all else only to an account that may do it.

    Attributes:
        index: the index that it serves.
    """

    def __init__(self, index: Index, authenticator: Authenticator, settings: Settings) -> None:
        self.index = index
        self._pypiserver = Pypiserver(settings, index)
        self._authenticator = authenticator
        self._settings = settings
        self._trust = TrustService(settings)
        self._death_shows_until = 0.0
        self._upload_slots, self._refused_slots = UploadSlots(SLOTS), UploadSlots(REFUSED_SLOTS)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["private_pypi.path"] = _SECRET.sub("", environ.get("RAW_URI", ""))
        body = environ["wsgi.input"] = Body(environ)
        try:
            answer = self._answer(environ, body)
        except Exception as error:
            answer = refusals.explain(error, environ, self._settings.max_upload)
        # The rest of the body would be taken for the next request on this connection, which may be
        # of another client: the gateway keeps its connections for all.
        if not body.whole and _HANGS_UP not in environ:
            with self._refused_slots.slot(environ.get("private_pypi.account", "")) as is_granted:
                if is_granted:
                    self._discard(body)
        if not body.whole:
            _close(start_response)
        if answer.status >= 400 and errors.is_person(environ):
            answer = errors.as_page(answer, environ)
        if environ["REQUEST_METHOD"] == "HEAD":
            answer = answer.without_body()
        return _for_browsers(answer).send(start_response)

    def tell_gateway(self) -> None:
        """Write down where the gateway redirects unknown names; without that, it asks each time."""
        url = self._pypiserver.public_index.encode()
        wanted = {PUBLIC_INDEX: url} if url else {}
        if disk.has_files(self.index.folder, wanted, [PUBLIC_INDEX]):
            return
        place = self.index.folder / PUBLIC_INDEX
        try:
            if url:
                self.index.folder.mkdir(parents=True, exist_ok=True)
                disk.write_atomically(place, url)
            else:
                place.unlink()
        except OSError as error:
            log.error(
                "pypi_index/%s cannot be written, so the gateway asks for each unknown name: %s",
                PUBLIC_INDEX,
                error.strerror,
            )

    def note_death(self) -> str:
        """Let the health check fail for a while because the process before this one died.

        Returns:
            the sentence that it says meanwhile, for the log.
        """
        self._death_shows_until = time.monotonic() + DIED_SHOWS
        return DIED

    def _answer(self, environ: Environ, body: Body) -> Answer:
        path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
        if path == "/health":
            return self._health()
        try:
            if path in (routes.AUDIENCE, routes.MINT, routes.BURN) and self._trust.publishers():
                environ[_HANGS_UP] = True
                return self._trust.answer(environ)
            account, job = self._who(environ)
        except OSError as error:
            log.error("the accounts cannot be read: %s", error)
            return refusal(503, "The accounts of the index cannot be read: see its log.")
        if not account:
            challenge = ("WWW-Authenticate", 'Basic realm="private index", charset="UTF-8"')
            text = _ENDED if _HANGS_UP in environ else "Wrong or missing user name and password."
            return refusal(401, text, challenge)
        environ["private_pypi.account"] = account.name
        if ended := permissions.of_account(account):
            return refusal(403, ended)
        for host in (environ.get("HTTP_HOST", ""), environ.get("HTTP_X_FORWARDED_HOST", "")):
            if not _HOST.fullmatch(host):
                return refusal(400, "The Host header names no host.")
        if path.startswith("/RPC2"):
            return refusal(404, "This index has no XML-RPC.")
        if method in ("GET", "HEAD"):
            if job is not None:
                works = path == routes.PASSWORD
                return Answer(204) if works else refusal(403, routes.PUBLISHES_ALONE)
            return self._read(environ, account)
        # A browser that is logged in sends the login with every request that another site makes
        # it send. These headers tell that a request is of a browser (RFC 6454, W3C Fetch Metadata);
        # no client that publishes has them. They are not compared with this index, since proxies in
        # front change its name.
        if "HTTP_ORIGIN" in environ or "HTTP_SEC_FETCH_SITE" in environ:
            text = "This index takes nothing from browsers: publish with twine, uv or Poetry."
            return refusal(403, text)
        if account.role != "publisher":
            return refusal(403, f"{account.name} may install, not publish.")
        if (method, path) != ("POST", "/"):
            return refusal(405, _publish_where(path), _ALLOWED)
        if int(environ.get("CONTENT_LENGTH") or 0) > self._settings.max_upload + uploads.FORM:
            return refusals.too_large(self._settings.max_upload)
        with self._upload_slots.slot(account.name) as is_granted:
            if is_granted:
                try:
                    return self._publish(environ, account, job)
                finally:
                    self._discard(body)
        text = "Too many uploads at once: send it again later."
        return refusal(503, text, ("Retry-After", "5"))

    def _read(self, environ: Environ, account: Account) -> Answer:
        # PEP 3333 has each byte of a path as a character.
        path = environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace")
        try:
            found = reads.answer(self.index, self._settings, environ)
            closed = None
        except ClosedError as error:
            found, closed = None, error
        # Last: a project that gets its first file in between is refused. Before the status of a
        # project is told, too.
        if refused := permissions.of_read(account, path, self.index, self._everybody):
            if found:
                found.close()
            return refusal(403, refused)
        if closed:
            raise closed
        if found:
            return found
        self.tell_gateway()  # The file may have been deleted together with the index.
        return self._pypiserver.read(environ)

    def _who(self, environ: Environ) -> tuple[Account | None, Mapping[str, str] | None]:
        """Return the account of a request, and the CI job if it is that of a trusted publisher."""
        header = environ.get("HTTP_AUTHORIZATION", "")
        name, password = credentials(header)
        if name != routes.LOGIN or not self._trust.publishers():
            return self._authenticator.authenticate(header), None
        if minted := self._trust.minted(password):
            return as_account(minted.publisher), minted.job
        environ[_HANGS_UP] = True
        return None, None

    def _everybody(self) -> list[Account]:
        return [*self._authenticator.everybody(), *self._trust.accounts()]

    def _publish(self, environ: Environ, account: Account, job: Mapping[str, str] | None) -> Answer:
        """Let a whole form publish and nothing else: the index that CI depends on only grows."""
        if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
            return refusal(411, "Send a Content-Length: this index takes no chunked uploads.")
        folder = self._settings.data / UPLOADS
        with closing(uploads.read_form(environ, folder, self._settings.max_upload)) as form:
            if form.action in _REFUSED_ACTIONS:
                return refusal(403, "This index takes file uploads only.")
            uploads.check(form)
            if form.distribution:
                project, _ = parse_name(form.distribution.name)
                if refused := permissions.of_upload(account, project, self._everybody):
                    return refusal(403, refused)
            return self._pypiserver.publish(form, account.name, job)

    def _discard(self, body: Body) -> None:
        """Let the client of a refused upload send on until it reads why, unless that has no end."""
        most = READ_ON * (self._settings.max_upload + uploads.FORM)
        body.discard(max(most, READ_ON_LEAST))

    def _health(self) -> Answer:
        if not os.access(self._settings.data / UPLOADS, os.W_OK):
            text = f"pypi_data/{UPLOADS} is not writable for user {os.getuid()}."
        elif unreadable := self.index.unreadable:
            text = f"{unreadable[0]}."
        elif problem := self.index.problem:
            text = f"{problem}."
        elif time.monotonic() < self._death_shows_until:
            text = DIED
        else:
            return plain(200, "ok")
        return plain(503, text)


def _for_browsers(answer: Answer) -> Answer:
    own = {name for name, _ in answer.headers}
    return answer.with_headers(*(header for header in FOR_BROWSERS if header[0] not in own))


def _publish_where(path: str) -> str:
    """Return the sentence for an upload to another path, or by another method than POST."""
    if path in ("", "/"):
        return "Publish with POST, as twine, uv and Poetry do."
    # A proxy may have taken the start of the path off; the part behind the root is the same.
    return (
        "Publish with POST to the root URL of this index: this one without"
        f" {path[1:81]!a} at its end."
    )


def _close(start_response: StartResponse) -> None:
    """Let the connection close behind an answer, and the answer say so.

    gunicorn drops an application's header for that; but it hands a method of its own response to
    the application, and that response can be told.
    """
    response = getattr(start_response, "__self__", None)
    if response is not None:
        response.force_close()
