"""Trusted publishing for clients: a CI job sends a token and gets a password, as at PyPI.

    GET  /_/oidc/audience       {"audience": "pypi.acme.com"}
    POST /_/oidc/mint-token     {"token": ...}  ->  {"success": true, "token": ..., "expires": ...}
    POST /_/oidc/burn-token     {"token": ...}, a password, which ends

The job then publishes as the user `__token__` with that password. Without a trusted publisher there
is none of this.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from urllib.parse import urlsplit

from ..accounts import Account
from ..answers import Answer, Environ, refusal
from ..body import Body
from ..rights import Rights
from ..settings import Settings
from . import issuers, publishers
from .issuers import KeysMissingError
from .minted import Minted, MintedPasswords
from .publishers import Publisher
from .refused import RefusedError, RefusedLog
from .routes import AUDIENCE, BURN, MOST_BYTES


class TrustService:
    """Mints passwords for the jobs of trusted publishers, and knows them again.

    Attributes:
        audience: whom tokens must be for: the host name of this index.

    Args:
        now: seconds of the epoch.
    """

    def __init__(self, settings: Settings, now: Callable[[], float] = time.time) -> None:
        self.audience = urlsplit(settings.url).hostname or ""
        self._auth, self._keys, self._now = settings.auth, settings.keys, now
        self._minted = MintedPasswords(since=now())
        self._log = RefusedLog(settings.index, now)
        self._lock = threading.Lock()
        self._fingerprint: object = None
        self._publishers: list[Publisher] = []

    def publishers(self) -> list[Publisher]:
        """Return who is trusted now.

        Raises:
            OSError: if the file of the publishers cannot be read.
        """
        with self._lock:
            now = publishers.fingerprint(self._auth)
            if now != self._fingerprint:
                self._publishers, _ = publishers.read(self._auth)
                self._fingerprint = now
            return self._publishers

    def accounts(self) -> list[Account]:
        """Return the trusted publishers as if they were accounts, which have no password.

        There are none if their file cannot be read: requests of accounts do without it.
        """
        try:
            return list(map(as_account, self.publishers()))
        except OSError:
            return []

    def minted(self, password: bytes) -> Minted | None:
        """Return what a password of the user `__token__` was minted for, None if it does not work.

        Raises:
            OSError: if the file of the publishers cannot be read.
        """
        return self._minted.find(password, self.publishers(), self._now())

    def answer(self, environ: Environ) -> Answer:
        """Answer a request for the audience, to mint or to burn.

        Args:
            environ: with one of these paths, and a Body as `wsgi.input`.
        """
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path == AUDIENCE:
            if method not in ("GET", "HEAD"):
                return refusal(405, "Ask for the audience with GET.", ("Allow", "GET, HEAD"))
            return _json(200, {"audience": self.audience})
        if method != "POST":
            return refusal(405, "Send the token with POST.", ("Allow", "POST"))
        try:
            token = _token(environ)
            if path == BURN:
                # As PyPI does: the answer does not tell whether there was such a password.
                self._minted.burn(token.encode("utf-8", "surrogatepass"))
                return _json(202, {})
            password, until = self._mint(token)
        except RefusedError as error:
            self._log.note(error)
            told = {"code": error.code, "description": str(error)}
            return _json(error.status, {"message": "Token request failed", "errors": [told]})
        return _json(200, {"success": True, "token": password, "expires": int(until)})

    def _mint(self, token: str) -> tuple[str, float]:
        # Here, since a server without trusted publishers has no use for a library of cryptography.
        from . import tokens

        try:
            publisher, claims = tokens.verify(
                token,
                self.publishers(),
                partial(issuers.keys_of, self._keys),
                self.audience,
                self._now(),
            )
        except KeysMissingError as error:
            raise RefusedError("not-ready", str(error), status=503) from None
        try:
            return self._minted.mint(
                publisher, claims, tokens.job(claims), tokens.end(claims), self._now()
            )
        except RefusedError as error:
            error.issuer, error.claims, error.is_of_owner = publisher.issuer, claims, True
            raise


def as_account(publisher: Publisher) -> Account:
    """Return a trusted publisher as an account that publishes its projects."""
    return Account(publisher.name, "publisher", "", 0, Rights(publisher.projects))


def _token(environ: Environ) -> str:
    """Return the token that a client sends as JSON.

    Raises:
        RefusedError: if there is none.
    """
    length = environ.get("CONTENT_LENGTH") or ""
    if "HTTP_TRANSFER_ENCODING" in environ or not length:
        raise RefusedError("invalid-payload", "Send a Content-Length with the token.", status=411)
    if int(length) > MOST_BYTES:
        text = f"The request has more than {MOST_BYTES // 2**10} kB: send nothing but the token."
        raise RefusedError("invalid-payload", text, status=413)
    body: Body = environ["wsgi.input"]
    content = b""
    while len(content) < int(length) and (chunk := body.read(int(length) - len(content))):
        content += chunk
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        told = None
    token = told.get("token") if isinstance(told, dict) else None
    if not isinstance(token, str) or not token:
        raise RefusedError("invalid-payload", 'Send the token as JSON: {"token": "..."}.')
    return token


def _json(status: int, told: object) -> Answer:
    body = json.dumps(told).encode()
    headers = (
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        # A password, or why there is none, is for this client alone.
        ("Cache-Control", "no-store"),
    )
    return Answer(status, headers, (body,))
