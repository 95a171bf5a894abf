"""The gateway's copy of the accounts.

Caddy reads users and hashes from its own configuration, not from htpasswd files, and checks that
configuration for changes every second. So the accounts are written for it in Caddy's form whenever
they change, and a revoked account is shut out within two seconds, without a restart.

By itself, Caddy compares the password of an unknown user with a hash of cost 14. That is a second
of work for each such request, and its duration tells which names exist. So a second file lets Caddy
recognise the names beforehand and replace an unknown one by the decoy's.
"""

from __future__ import annotations

import base64
import logging
import re
import time
from pathlib import Path

from . import accounts
from .disk import locked, write_atomically
from .last_use import Uses
from .rights import FILE as RIGHTS_FILE
from .rights import files_of, pages_of
from .trust import entries, issuers, publishers, routes

FILE = "accounts.caddy"
UNKNOWN_USERS = "strangers.conf"
"""Imported by the Caddyfile, which its owner may have edited: the name of this file stays."""

RIGHTS = "rights.routes"
"""What accounts with rights of their own may read; the Caddyfile imports all `*.routes`."""

TRUSTED = "trusted.jobs"
"""Which requests of trusted publishers it passes on. It is no `*.conf`: an older Caddyfile imports
all of those, and lacks what this file refers to."""

DECOY = "_none"
"""The decoy's name. No account can have it. The base64 of `_none:` ends where a group of four
letters does, so that the letters of the client's own login can follow it as the password."""

_DECOY_START = base64.b64encode(f"{DECOY}:".encode()).decode()
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_USER = "{http.auth.user.id}"
_FOR_ALL = r"static/[a-z]+\.(?:css|js|svg)|public/[^/]+/[^/]+"
_HEAD = "# Made from pypi_auth/ whenever that changes; an edit here does not last."

# The letters that may follow the start: those of a password of 72 bytes, the longest.
_REST = "[A-Za-z0-9+/]{0,98}={0,2}"
# The letters of a login that become the decoy's password: enough that no two wrong logins of usual
# length look alike. Caddy remembers each in memory.
_KEPT = "[A-Za-z0-9+/]{0,188}={0,2}"

log = logging.getLogger(__name__)


def write(auth: Path, gateway: Path) -> list[str]:
    """Write the accounts that are let in for the gateway; return a complaint for each other line.

    If there is no other line, but no publisher either, that is the one complaint.

    Args:
        auth: folder of the htpasswd files and the file of rights.
        gateway: folder from which the gateway imports its accounts.
    """
    # Locked, so that no process that read the accounts before they changed writes last.
    with locked(gateway):
        valid, complaints = accounts.read(auth)
        pairs = [(DECOY, accounts.DECOY), *((account.name, account.hash) for account in valid)]
        trusted, wrong = _trusted(auth, gateway)
        complaints += wrong
        names = [name for name, _ in pairs]
        # Their login must reach what is in TRUSTED, and is not one of an unknown user.
        others = [routes.LOGIN] if trusted else []
        _write(gateway / TRUSTED, routes.lines(logins(others)) if others else [])
        _write(gateway / UNKNOWN_USERS, _unknown_users(names + others))
        users, rights = [f"{name} {digest}" for name, digest in pairs], rights_of(valid)
        # Caddy may read them between two writes. Where there are rights, an account that they do
        # not name reads nothing from the disk. So they come first, unless there are none any more.
        files = [(RIGHTS, rights), (FILE, users)]
        for file, lines in files if rights else reversed(files):
            _write(gateway / file, lines)
    is_lost = not trusted and not any(account.role == "publisher" for account in valid)
    if not complaints and is_lost:
        # An editor that empties the file before it writes, or a full disk, may have left it so.
        complaints.append(
            f"pypi_auth/{accounts.FILES['publisher']} has no account: nobody may publish until you"
            " run make pypi-user-add USER=admin ROLE=publisher"
        )
    return complaints


def _trusted(auth: Path, gateway: Path) -> tuple[list[publishers.Publisher], list[str]]:
    """Return who is trusted, and complaints; write the issuers for the container `keys`.

    Whatever is wrong with that, the accounts are written: one that was revoked must not work on.
    """
    try:
        trusted, complaints = publishers.read(auth)
    except OSError as error:
        trusted = []
        complaints = [
            f"{entries.SHOWN} cannot be read, and nobody in it is trusted: {error.strerror};"
            f" make it a file with the owner and mode of pypi_auth/{accounts.FILES['publisher']}"
        ]
    try:
        issuers.write_for_keys(auth, gateway, trusted)
    except OSError as error:
        complaints.append(
            "the container `keys` does not have the current issuers, or not the authorities of"
            f" pypi_auth/{issuers.OWN_AUTHORITIES}: {error}"
        )
    return trusted, complaints


def logins(names: list[str]) -> str:
    """Return a regular expression for the `Authorization` headers (RFC 7617) of these names.

    It is for RE2 and matches a whole header without decoding it: base64 (RFC 4648) always encodes
    `name:` as the same letters, except the last, which also carries bits of the password.
    """
    return f"^(?i:basic) ({'|'.join(map(_start, names))}){_REST}$"


def _start(name: str) -> str:
    pair = f"{name}:".encode()
    first, last = (base64.b64encode(pair + filler * 2).decode() for filler in (b"\0", b"\xff"))
    whole, bits = divmod(len(pair) * 8, 6)
    letters = re.escape(first[:whole])
    if bits:
        low, high = _BASE64.index(first[whole]), _BASE64.index(last[whole])
        letters += f"[{_BASE64[low : high + 1]}]"
    return letters


def _unknown_users(names: list[str]) -> list[str]:
    return [
        "# A login under no account's name becomes one of the decoy: see private_pypi/gateway.py.",
        "@unknown_user {",
        f'\tnot vars_regexp {{header.Authorization}} "{logins(names)}"',
        f'\tvars_regexp sent {{header.Authorization}} "^(?i:basic) ({_KEPT})"',
        "}",
        f'request_header @unknown_user Authorization "Basic {_DECOY_START}{{re.sent.1}}"',
    ]


def rights_of(valid: list[accounts.Account]) -> list[str]:
    """Return lines that tell the Caddyfile what a request of an account with rights may have.

    `ask`: what private_pypi answers. `files`: all that there is, from the disk. `names`: the answer
    to a name that is unknown here, but no page. No line if every account may read everything.
    """
    readers = [one for one in valid if one.role == "reader" and one.rights.projects]
    limited = [one for one in valid if one.rights.has_ended or one in readers]
    if not limited:
        return []
    # Those who may read everything are named, so that nobody is taken for one of them.
    free = [one.name for one in valid if one not in limited]
    lines = [f"@limited not vars {_USER} {' '.join(free)}"] if free else ["@limited path *"]
    lines += ["route @limited {", "\tvars rights ask"]
    for number, one in enumerate(one for one in readers if not one.rights.has_ended):
        pages, files = pages_of(one.rights.projects), files_of(one.rights.projects)
        lines += [
            f"\t@account_{number} vars {_USER} {one.name}",
            f"\troute @account_{number} {{",
            "\t\t@names path_regexp ^/simple/[a-z0-9]+(?:-[a-z0-9]+)*/$",
            "\t\tvars @names rights names",
            f"\t\t@files path_regexp ^/(?:{_FOR_ALL}|(?:simple|project)/(?:{pages})/"
            f"|project/(?:{pages})/feed\\.atom|packages/(?:[^/]+/)*{files})$",
            "\t\tvars @files rights files",
            "\t}",
        ]
    return [*lines, "}"]


def _write(path: Path, lines: list[str]) -> None:
    write_atomically(path, "".join(f"{line}\n" for line in [_HEAD, *lines]).encode())


def follow(auth: Path, gateway: Path, uses: Path | None = None, *, every: float = 0.5) -> None:
    """Keep the gateway's copy current without end, and note when each account was used.

    Args:
        uses: folder of the gateway's logs of that; None if it has none.
        every: seconds between two checks for changes.
    """
    written, trouble, had_rights = None, "", False
    names: set[str] = set()
    noting = Uses(uses, gateway) if uses else None
    while True:
        now = [part.fingerprint(auth) for part in (accounts, publishers, issuers)]
        try:
            if now != written and not (had_rights and accounts.is_being_saved(auth)):
                for complaint in write(auth, gateway):
                    log.error(complaint)
                names = {account.name for account in accounts.listed(auth)}
                written, trouble, had_rights = now, "", (auth / RIGHTS_FILE).exists()
        except OSError as error:
            # Each trouble is told once, not twice a second.
            if str(error) != trouble:
                trouble = str(error)
                log.error("the gateway does not have the current accounts yet: %s", error)
        if noting:
            noting.note(names)
        time.sleep(every)
