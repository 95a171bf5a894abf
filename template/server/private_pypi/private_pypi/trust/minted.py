"""Passwords that were minted for CI jobs, and the tokens that they were minted for.

All of it is in memory alone, and of a password there is only a hash. When the process ends, no
password works any more, and no token from before counts: which of them were used is forgotten, too.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .publishers import Publisher
from .refused import RefusedError

LIFE = 15 * 60
"""Seconds for which a password works: as at PyPI."""
MOST = 1000
"""Passwords that work at a time."""


@dataclass(frozen=True)
class Minted:
    """What a password was minted for.

    Attributes:
        publisher: as it was trusted then.
        job: which CI job, as tokens.job() has it.
        until: when the password ends, in seconds of the epoch.
    """

    publisher: Publisher
    job: Mapping[str, str]
    until: float


class MintedPasswords:
    """The passwords that work now; threads may share them.

    Args:
        since: when the process started, in seconds of the epoch.
    """

    def __init__(self, since: float) -> None:
        self._since = since
        self._lock = threading.Lock()
        self._passwords: dict[bytes, Minted] = {}
        self._used: dict[bytes, float] = {}

    def mint(
        self,
        publisher: Publisher,
        claims: Mapping[str, object],
        job: Mapping[str, str],
        ends: float,
        now: float,
    ) -> tuple[str, float]:
        """Return a new password and when it ends, for a token that was never used before.

        Args:
            claims: of the token, verified.
            ends: until when the token would be taken for one that counts.

        Raises:
            RefusedError: if the token was used, or it may have been.
        """
        issued = claims["iat"]
        if not isinstance(issued, int | float) or issued < self._since:
            raise RefusedError(
                "invalid-token",
                "The index was restarted after this token was issued, and does not know any more"
                " whether it was used: run the job again.",
            )
        token = _hash(f"{claims['iss']}\n{claims['jti']}".encode("utf-8", "surrogatepass"))
        with self._lock:
            # All end at some time: so neither of the two grows for ever.
            self._used = {one: until for one, until in self._used.items() if until > now}
            self._passwords = {
                one: minted for one, minted in self._passwords.items() if minted.until > now
            }
            if token in self._used:
                raise RefusedError(
                    "invalid-reuse-token",
                    "The token was used already: each mints one password. Run the job again.",
                )
            if len(self._passwords) >= MOST:
                raise RefusedError(
                    "not-ready",
                    f"The index has minted {MOST:,} passwords that work still: run the job again in"
                    f" {LIFE // 60} minutes.",
                    status=503,
                )
            password = secrets.token_urlsafe(32)
            minted = Minted(publisher, job, now + LIFE)
            self._used[token] = ends
            self._passwords[_hash(password.encode())] = minted
        return password, minted.until

    def burn(self, password: bytes) -> None:
        """Let a password work no more; it need not be one."""
        with self._lock:
            self._passwords.pop(_hash(password), None)

    def find(self, password: bytes, publishers: Iterable[Publisher], now: float) -> Minted | None:
        """Return what a password was minted for, None if it does not work or its publisher changed.

        Nobody learns a password from how long this takes: it compares hashes, of which a client
        cannot choose the letters.

        Args:
            publishers: those that are trusted now.
        """
        with self._lock:
            minted = self._passwords.get(_hash(password))
        if minted and now < minted.until and minted.publisher in publishers:
            return minted
        return None


def _hash(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
