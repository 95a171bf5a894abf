"""The issuers of tokens and their public keys, as files between containers.

    gateway/accounts/issuers/issuers.txt        the URLs of the issuers, for the container `keys`
    gateway/accounts/issuers/authorities.pem    a copy of pypi_auth/.issuers.pem, if there is one
    keys/<hash of the URL>.json                 {"issuer": ..., "fetched": ..., "keys": [...]}

The container `keys` has a way out to the network. So it sees the first folder and nothing else, and
what it writes is read with suspicion.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..disk import stamp, write_atomically
from ..terminal import quoted
from .publishers import MOST_ISSUERS, Publisher, is_issuer

FOLDER = "issuers"
LIST = "issuers.txt"
AUTHORITIES = "authorities.pem"
OWN_AUTHORITIES = ".issuers.pem"

MOST_BYTES = 2**18
"""Of what an issuer may send, and of a file of keys."""
MOST_KEYS = 50
OLDEST = 24 * 60 * 60
"""Seconds after which keys that could not be fetched again count as none."""

_AHEAD = 5 * 60


class KeysMissingError(Exception):
    """There are no keys of an issuer; the message says since when."""


def write_for_keys(auth: Path, gateway: Path, publishers: Iterable[Publisher]) -> None:
    """Write for the container `keys` which issuers there are; nothing if there never was one.

    Args:
        auth: folder that may have certificates of authorities, for issuers within a company.
        gateway: folder of the gateway's copy of the accounts.
    """
    urls = list(dict.fromkeys(publisher.issuer for publisher in publishers))
    folder = gateway / FOLDER
    if not urls and not folder.exists():
        return
    folder.mkdir(exist_ok=True)
    _write(folder / AUTHORITIES, _bytes(auth / OWN_AUTHORITIES))
    _write(folder / LIST, "".join(f"{url}\n" for url in urls).encode())


def listed(folder: Path) -> list[str]:
    """Return the issuers of the list.

    Args:
        folder: of the list.
    """
    try:
        with (folder / LIST).open("rb") as file:
            text = file.read(MOST_BYTES).decode("ascii", "replace")
    except FileNotFoundError:
        return []
    found = [line for line in text.split("\n") if is_issuer(line)]
    return list(dict.fromkeys(found))[:MOST_ISSUERS]


def fingerprint(auth: Path) -> object:
    """Return a value that differs after the authorities were written, replaced or deleted."""
    return stamp(auth / OWN_AUTHORITIES)


def _bytes(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except FileNotFoundError:
        return None


def _write(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    elif _bytes(path) != content:
        write_atomically(path, content)


def path_of(folder: Path, issuer: str) -> Path:
    """Return the path of an issuer's file of keys."""
    return folder / f"{hashlib.sha256(issuer.encode()).hexdigest()[:16]}.json"


def write_keys(folder: Path, issuer: str, keys: list[dict[str, str]], now: float) -> None:
    """Write what was fetched from an issuer.

    Args:
        keys: public JSON Web Keys (RFC 7517).
        now: seconds of the epoch.
    """
    told = {"issuer": issuer, "fetched": int(now), "keys": keys}
    write_atomically(path_of(folder, issuer), json.dumps(told, indent=1).encode())


def keys_of(folder: Path, issuer: str) -> list[dict[str, object]]:
    """Return the public JSON Web Keys (RFC 7517) of an issuer, as they were fetched last.

    Nothing is known of what they hold, but that they are tables.

    Args:
        folder: of the files of keys.

    Raises:
        KeysMissingError: if there are none, or they are older than a day.
    """
    fetched, keys = _load(folder, issuer)
    age = time.time() - fetched
    if age > OLDEST or age < -_AHEAD:
        raise KeysMissingError(
            f"The keys of {issuer} were fetched last at {_shown(fetched)}, which is not within a"
            " day: make pypi-logs tells why the container `keys` does not get them."
        )
    return keys


def fetched(folder: Path, issuer: str) -> str:
    """Return when the keys of an issuer were fetched last, for people; empty if never."""
    try:
        return _shown(_load(folder, issuer)[0])
    except KeysMissingError:
        return ""


def _load(folder: Path, issuer: str) -> tuple[float, list[dict[str, object]]]:
    path = path_of(folder, issuer)
    try:
        told = json.loads(_content(path))
    except FileNotFoundError:
        raise KeysMissingError(
            f"The keys of {issuer} were never fetched: run make pypi-launch once, which starts the"
            " container `keys`; make pypi-logs tells what keeps it from them."
        ) from None
    except (OSError, ValueError, RecursionError):
        told = None
    if not (
        isinstance(told, dict)
        and told.get("issuer") == issuer
        and type(told.get("fetched")) is int
        and 0 <= told["fetched"] < 10**11
        and _are_tables(told.get("keys"))
    ):
        raise KeysMissingError(
            f"The file of the keys of {quoted(issuer)} is damaged: the container `keys` writes it"
            " anew within ten minutes, or when it is restarted."
        )
    return told["fetched"], told["keys"]


def _content(path: Path) -> bytes:
    # A pipe would never end, and a link could lead to any file of the container that reads.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a file")
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError("too long")
    return content


def _are_tables(keys: Any) -> bool:
    return (
        isinstance(keys, list)
        and 0 < len(keys) <= MOST_KEYS
        and all(isinstance(key, dict) for key in keys)
    )


def _shown(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M} UTC"
