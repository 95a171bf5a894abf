"""The gateway's copy of the accounts.

Caddy reads users and hashes from its own configuration, not from htpasswd files, and looks at
that configuration every second. So the accounts are written for it in Caddy's form whenever they
change, and a revoked account is shut out within two seconds, without a restart.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from . import accounts

FILE = "accounts.caddy"

log = logging.getLogger(__name__)


def write(auth: Path, gateway: Path) -> list[str]:
    """Write the accounts that are let in for the gateway; return a complaint for each other line.

    Args:
        auth: folder of the htpasswd files.
        gateway: folder from which the gateway imports its accounts.
    """
    known, complaints = accounts.read(auth)
    lines = ["# Made from pypi_auth/ whenever that changes; an edit here does not last."]
    lines += [f"{account.name} {account.hash}" for account in known]
    accounts.write_atomically(gateway / FILE, "".join(f"{line}\n" for line in lines))
    return complaints


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
