"""Passwords that were minted for CI jobs, and the tokens that they were minted for.

All of it is in memory alone, and of a password there is only a hash. When the process ends, no
password works any more, and no token from before counts: which of them were used is forgotten, too.
"""

from __future__ import annotations

import hashlib
import heapq
import secrets
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .publishers import Publisher
from .refused import RefusedError

LIFE = 15 * 60
"""Seconds for which a password works: as at PyPI."""
MOST = 1000
"""Passwords that work at a time."""
MOST_USED = 10 * MOST
"""Tokens that are remembered as used: of a job that burns its passwords, there are more."""
OF_ONE, USED_OF_ONE = MOST // 4, MOST_USED // 4
"""Of both, what one publisher may have: it leaves some to others."""


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
        # In the order of their ends, since all last as long.
        self._passwords: dict[bytes, Minted] = {}
        self._used: set[bytes] = set()
        # Of each token that was used: its end, its hash and its publisher's name.
        self._ends: list[tuple[float, bytes, str]] = []
        self._tokens_of: Counter[str] = Counter()

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
            RefusedError: if the token was used, or it may have been, or there are too many.
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
            self._forget(now)
            if token in self._used:
                raise RefusedError(
                    "invalid-reuse-token",
                    "The token was used already: each mints one password. Run the job again.",
                )
            if many := self._too_many(publisher.name):
                raise RefusedError("not-ready", many, status=503)
            password = secrets.token_urlsafe(32)
            minted = Minted(publisher, job, now + LIFE)
            self._used.add(token)
            heapq.heappush(self._ends, (ends, token, publisher.name))
            self._tokens_of[publisher.name] += 1
            self._passwords[_hash(password.encode())] = minted
        return password, minted.until

    def _forget(self, now: float) -> None:
        """Forget what has ended."""
        while self._ends and self._ends[0][0] <= now:
            _, token, name = heapq.heappop(self._ends)
            self._used.remove(token)
            self._tokens_of[name] -= 1
            if not self._tokens_of[name]:
                del self._tokens_of[name]
        while self._passwords:
            first = next(iter(self._passwords))
            if self._passwords[first].until > now:
                return
            del self._passwords[first]

    def _too_many(self, name: str) -> str:
        """Say why this publisher gets no password now, empty if it gets one."""
        passwords = f"passwords that work still: run the job again in {LIFE // 60} minutes."
        if sum(minted.publisher.name == name for minted in self._passwords.values()) >= OF_ONE:
            return f"For {name}, the index has minted {OF_ONE:,} {passwords}"
        if len(self._passwords) >= MOST:
            return f"The index has minted {MOST:,} {passwords}"
        tokens = "used tokens, and remembers no more: run the job again in an hour."
        if self._tokens_of[name] >= USED_OF_ONE:
            return f"Of {name}, the index remembers {USED_OF_ONE:,} {tokens}"
        if len(self._used) >= MOST_USED:
            return f"The index remembers {MOST_USED:,} {tokens}"
        return ""

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
