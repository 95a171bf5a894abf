"""Which account sent a request, and whether its password is right."""

from __future__ import annotations

import base64
import hmac
import secrets
import threading
from pathlib import Path

from passlib.hash import bcrypt

from . import accounts
from .rights import ALL


class Authenticator:
    """Verifies passwords against the htpasswd files, which it reads again when they change.

    A password that was right once is remembered, as a keyed digest in memory, until its account's
    line changes, so that a client pays for bcrypt once. An unknown user takes as long to refuse as
    an account whose password was generated; an account with a chosen password takes longer.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._fingerprint: object = None
        self._accounts: dict[str, accounts.Account] = {}
        self._key = secrets.token_bytes(32)
        self._verified: dict[str, tuple[str, bytes]] = {}

    def authenticate(self, header: str) -> accounts.Account | None:
        """Return the account of an `Authorization` header (RFC 7617); None if the login is wrong.

        Raises:
            OSError: if an htpasswd file cannot be read.
        """
        name, password = credentials(header)
        if not name:
            return None
        account = self._current().get(name)
        digest = hmac.digest(self._key, password, "sha256")
        if account:
            line, remembered = self._verified.get(name, ("", b""))
            if line == account.hash and hmac.compare_digest(digest, remembered):
                return account
        # bcrypt takes no NUL, and reads 72 bytes at most.
        is_possible = b"\0" not in password and len(password) <= accounts.LONGEST
        expected = account.hash if account else accounts.DECOY
        is_right = bcrypt.verify(password if is_possible else b"", expected)
        if not (account and is_possible and is_right):
            return None
        self._verified[name] = (account.hash, digest)
        return account

    def everybody(self) -> list[accounts.Account]:
        """Return all accounts that are let in.

        Raises:
            OSError: if an htpasswd file cannot be read.
        """
        return list(self._current().values())

    def _current(self) -> dict[str, accounts.Account]:
        with self._lock:
            now = accounts.fingerprint(self._folder)
            if now != self._fingerprint and not self._awaits_rights():
                valid, _ = accounts.read(self._folder)
                self._accounts = {account.name: account for account in valid}
                self._fingerprint = now
            return self._accounts

    def _awaits_rights(self) -> bool:
        has_rights = any(account.rights != ALL for account in self._accounts.values())
        return has_rights and accounts.is_being_saved(self._folder)


def credentials(header: str) -> tuple[str, bytes]:
    """Return user name and password of an `Authorization` header, both empty if it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", b""
    try:
        name, _, password = base64.b64decode(encoded, validate=True).partition(b":")
        return name.decode("utf-8"), password
    except ValueError:  # of base64 or of UTF-8
        return "", b""
