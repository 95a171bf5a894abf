"""Fetches the public keys of issuers: the work of the container `keys`, which has nothing else."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ..disk import stamp
from . import documents, issuers
from .documents import DocumentError
from .issuers import AUTHORITIES, LIST, MOST_KEYS, path_of, write_keys
from .publishers import is_issuer

EVERY = 10 * 60
"""Seconds between two requests for the keys of an issuer; they change every few weeks."""
SOONEST = 10
"""Seconds until an issuer that failed is asked again, twice as long each time, up to EVERY."""

# What verifies a signature (RFC 7517, RFC 7518). Anything else stays out of the file.
_MEMBERS = {
    "RSA": ("kty", "kid", "use", "alg", "n", "e"),
    "EC": ("kty", "kid", "use", "alg", "crv", "x", "y"),
}
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_VALUE = re.compile(r"[!-~]{1,3000}")

log = logging.getLogger(__name__)


@dataclass
class _Turn:
    """When an issuer is asked next, and what its trouble was last."""

    at: float = 0
    wait: float = SOONEST
    trouble: str = ""


async def keys_from(opened: httpx.AsyncClient, issuer: str) -> list[dict[str, str]]:
    """Ask an issuer for its public keys (OpenID Connect Discovery 1.0).

    Raises:
        DocumentError: if it has none that are of use; a sentence without its full stop.
    """
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    told = await documents.fetch(opened, url)
    if not isinstance(told, dict) or told.get("issuer") != issuer:
        raise DocumentError(f"{url} is not of the issuer {issuer}: write the URL that it has there")
    url = told.get("jwks_uri", "")
    # Only a test has an issuer without TLS.
    if not is_issuer(url) or (url.startswith("http:") and issuer.startswith("https:")):
        raise DocumentError(f"{issuer} has its keys at no address with HTTPS")
    return _public(issuer, await documents.fetch(opened, url))


def _public(issuer: str, told: Any) -> list[dict[str, str]]:
    listed = told.get("keys") if isinstance(told, dict) else None
    keys = list(filter(None, map(_key, listed))) if isinstance(listed, list) else []
    if not keys:
        raise DocumentError(f"{issuer} sends no public key that could verify a token")
    if len(keys) > MOST_KEYS:
        raise DocumentError(f"{issuer} sends more than {MOST_KEYS} keys")
    return keys


def _key(told: Any) -> dict[str, str] | None:
    """Return the public members of a key; None for one that is secret, unknown or malformed."""
    if not isinstance(told, dict) or any(member in told for member in _PRIVATE):
        return None
    kind = told.get("kty")
    members = _MEMBERS.get(kind, ()) if isinstance(kind, str) else ()
    key = {member: told[member] for member in members if member in told}
    is_whole = {"kid", *members} - {"use", "alg"} <= key.keys()
    fits = all(isinstance(value, str) and _VALUE.fullmatch(value) for value in key.values())
    return key if members and is_whole and fits else None


async def follow(folder: Path, keys: Path, *, look: float = 1, once: bool = False) -> None:
    """Keep the keys of all issuers of the list current, without end.

    What cannot be fetched stays as it was fetched last.

    Args:
        folder: of the list of issuers, and of the authorities that they need.
        keys: folder of the files of keys.
        look: seconds between two looks at the list.
        once: return after one request to each.
    """
    turns: dict[str, _Turn] = {}
    seen: object = None
    while True:
        now = _fingerprint(folder)
        if now != seen:
            seen = now
            turns = {issuer: turns.get(issuer, _Turn()) for issuer in issuers.listed(folder)}
            for turn in turns.values():
                turn.at, turn.wait = 0, SOONEST
            _forget(keys, turns)
        due = [issuer for issuer, turn in turns.items() if turn.at <= time.monotonic()]
        if due:
            await _ask(folder, keys, {issuer: turns[issuer] for issuer in due})
        if once:
            return
        await asyncio.sleep(look)


async def _ask(folder: Path, keys: Path, turns: dict[str, _Turn]) -> None:
    try:
        # Anew each time: the authorities may have changed.
        async with documents.client(folder / AUTHORITIES) as opened:
            asking = (_renew(opened, keys, issuer, turn) for issuer, turn in turns.items())
            await asyncio.gather(*asking)
    except DocumentError as error:
        for issuer, turn in turns.items():
            _fail(issuer, turn, error)


async def _renew(opened: httpx.AsyncClient, keys: Path, issuer: str, turn: _Turn) -> None:
    try:
        found = await keys_from(opened, issuer)
        write_keys(keys, issuer, found, time.time())
    except (DocumentError, OSError) as error:
        _fail(issuer, turn, error)
        return
    if turn.trouble or not turn.at:
        log.info("the keys of %s were fetched: %d", issuer, len(found))
    turn.at, turn.wait, turn.trouble = time.monotonic() + EVERY, SOONEST, ""


def _fail(issuer: str, turn: _Turn, error: Exception) -> None:
    # Each trouble is told once, not every few minutes.
    if str(error) != turn.trouble:
        log.error("the keys of %s could not be fetched: %s", issuer, error)
    turn.trouble = str(error)
    turn.at = time.monotonic() + turn.wait
    turn.wait = min(2 * turn.wait, EVERY)


def _forget(keys: Path, turns: dict[str, _Turn]) -> None:
    """Delete the keys of issuers that are no longer trusted."""
    kept = {path_of(keys, issuer) for issuer in turns}
    for path in keys.glob("*.json*"):
        if path not in kept:
            with suppress(FileNotFoundError):
                path.unlink()


def _fingerprint(folder: Path) -> object:
    return tuple(stamp(folder / name) for name in (LIST, AUTHORITIES))
