"""The gateway's copy of the accounts.

Caddy reads users and hashes from its own configuration, not from htpasswd files, and looks at
that configuration every second. So the accounts are written for it in Caddy's form whenever they
change, and a revoked account is shut out within two seconds, without a restart.

Left alone, Caddy compares the password of a name it does not know with a hash of cost 14. That is a
second of work for each request of anybody, and tells by the clock which names exist. So a second
file has it recognise the names beforehand and ask for the decoy's password instead.
"""

from __future__ import annotations

import base64
import logging
import re
import time
from pathlib import Path

from . import accounts
from .disk import locked, write_atomically

FILE = "accounts.caddy"
STRANGERS = "strangers.conf"

DECOY = "_none"
"""The decoy's name. No account can have it; its length makes the base64 of `_none:` end where a
group of four letters does, so that what a stranger sent can follow it as the password."""

_DECOY_START = base64.b64encode(f"{DECOY}:".encode()).decode()
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_HEAD = "# Made from pypi_auth/ whenever that changes; an edit here does not last."

# Of the longest password, 72 bytes, what may follow the start; of all that is sent, what suffices
# that no two wrong passwords of usual length look alike. Caddy remembers each in memory.
_REST = "[A-Za-z0-9+/]{0,98}={0,2}"
_SENT = "[A-Za-z0-9+/]{0,188}={0,2}"

log = logging.getLogger(__name__)


def write(auth: Path, gateway: Path) -> list[str]:
    """Write the accounts that are let in for the gateway; return a complaint for each other line.

    Without any such line there is one complaint if nobody may publish.

    Args:
        auth: folder of the htpasswd files.
        gateway: folder from which the gateway imports its accounts.
    """
    # Locked, so that nobody who read the accounts before they changed writes last.
    with locked(gateway):
        known, complaints = accounts.read(auth)
        pairs = [(DECOY, accounts.DECOY), *((account.name, account.hash) for account in known)]
        _write(gateway / STRANGERS, _strangers([name for name, _ in pairs]))
        _write(gateway / FILE, [f"{name} {digest}" for name, digest in pairs])
    if not complaints and not any(account.role == "publisher" for account in known):
        # An editor that empties the file before it writes, or a full disk, may have left it so.
        complaints.append(
            f"pypi_auth/{accounts.FILES['publisher']} has no account: nobody may publish until you"
            " run make pypi-user-add USER=admin ROLE=publisher"
        )
    return complaints


def logins(names: list[str]) -> str:
    """Return a regular expression for the `Authorization` headers (RFC 7617) of these names.

    It is one of RE2, for a whole header, and does not decode: base64 (RFC 4648) writes `name:` as
    the same letters whatever follows, but for the last one, which holds some bits of that, too.
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


def _strangers(names: list[str]) -> list[str]:
    return [
        "# What is no login of an account becomes one of the decoy: see private_pypi/gateway.py.",
        "@stranger {",
        f'\tnot vars_regexp {{header.Authorization}} "{logins(names)}"',
        f'\tvars_regexp sent {{header.Authorization}} "^(?i:basic) ({_SENT})"',
        "}",
        f'request_header @stranger Authorization "Basic {_DECOY_START}{{re.sent.1}}"',
    ]


def _write(path: Path, lines: list[str]) -> None:
    write_atomically(path, "".join(f"{line}\n" for line in [_HEAD, *lines]).encode())


def follow(auth: Path, gateway: Path, *, every: float = 0.5) -> None:
    """Keep the gateway's copy current for ever, looking for changes every so many seconds."""
    seen, trouble = None, ""
    while True:
        now = accounts.fingerprint(auth)
        if now != seen:
            try:
                for complaint in write(auth, gateway):
                    log.error(complaint)
                seen, trouble = now, ""
            except OSError as error:
                # Once for each trouble, not twice a second.
                if str(error) != trouble:
                    trouble = str(error)
                    log.error("the gateway does not have the current accounts yet: %s", error)
        time.sleep(every)
