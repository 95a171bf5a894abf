"""Checks before the index is launched or an account is changed."""

from __future__ import annotations

import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

from . import accounts, database, filesystem
from .accounts import AccountError
from .catalogue import Catalogue
from .index import Index
from .layout import UPLOADS
from .names import is_reserved
from .settings import SettingError, Settings
from .trust import publishers

SHOWN = 5
"""Names that a warning lists."""


def check(settings: Settings) -> list[str]:
    """Refuse accounts, folders or file systems with which the index would not work.

    Returns:
        warnings, with which the index can be served: of a damaged journal, and of projects that no
        reserved prefix covers.

    Raises:
        AccountError: if there is no account, or a line of an htpasswd file, of the file of rights,
            or an entry of the trusted publishers is refused.
        SettingError: if a folder or its file system cannot be used.
    """
    valid, complaints = accounts.read(settings.auth)
    complaints += publishers.read(settings.auth)[1]
    if complaints:
        raise AccountError("\nerror: ".join(complaints))
    if not valid:
        raise AccountError(
            "there is no account yet: run make pypi-user-add USER=admin ROLE=publisher"
        )
    settings.index.mkdir(exist_ok=True)
    for folder in (settings.data, settings.index):
        _require_writable(folder)
    uploads = settings.data / UPLOADS
    try:
        uploads.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        raise SettingError(
            f"{uploads} is not a folder where uploads can arrive: delete it"
        ) from None
    _require_writable(uploads)
    of_data = (
        filesystem.hard_links(uploads),
        filesystem.LOCKS,
        filesystem.SYNC,
        filesystem.MODES,
        filesystem.CHANGES,
    )
    of_index = (filesystem.SYMBOLIC_LINKS, filesystem.REPLACE, filesystem.SHARED_MEMORY)
    _require_none(
        *filesystem.complaints(settings.data, "pypi_data", *of_data),
        *filesystem.complaints(settings.index, "pypi_index", *of_index),
    )
    return [warning for warning in (_damage_of_journal(settings), _uncovered(settings)) if warning]


def require_place_for_accounts(folder: Path, name: str) -> None:
    """Refuse a folder where accounts would not be written safely, or would be shown to others.

    Args:
        name: of the folder, as its owner knows it.

    Raises:
        SettingError: saying what is wrong and what to do.
    """
    _require_writable(folder)
    needs = (filesystem.LOCKS, filesystem.SYNC, filesystem.REPLACE, filesystem.PRIVATE)
    _require_none(*filesystem.complaints(folder, name, *needs))


def require_gateway(settings: Settings) -> None:
    """Refuse to serve alone what only the gateway and the container `public` can answer.

    Raises:
        SettingError: if there is no gateway, but unknown packages are to come from `public`.
    """
    if settings.mirror and not (settings.socket or settings.gateway):
        raise SettingError(
            "PYPI_UNKNOWN_PACKAGES is mirror, which takes the containers of make pypi-launch: to"
            " try things out without them, set another: make pypi-local"
            " PYPI_UNKNOWN_PACKAGES=redirect"
        )


def require_free(host: str, port: int) -> None:
    """Refuse an address on which another process listens.

    Raises:
        SettingError: with the reason, and how to choose another port.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingError(
                f"cannot listen on port {port} of {host} ({error.strerror}): stop what uses it"
                " or choose another with PORT="
            ) from None


def _damage_of_journal(settings: Settings) -> str:
    # An older server may still run, whose catalogue must not be made anew under it.
    if not database.is_current(settings.index):
        return ""
    try:
        problem, _, _ = Index(settings.data, settings.index).examine_journal()
    except (OSError, sqlite3.Error):
        return ""  # A full disk, most likely: the server says so when it writes.
    return problem


def _uncovered(settings: Settings) -> str:
    prefixes = settings.private_prefixes
    if not (prefixes and settings.asks_pypi and database.is_current(settings.index)):
        return ""
    try:
        with closing(Catalogue(settings.index, read_only=True)) as known:
            names = [name for name in known.projects() if not is_reserved(name, prefixes)]
    except sqlite3.Error:
        return ""  # It is made again.
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (
        f"no prefix in private_prefixes covers {', '.join(names[:SHOWN])}{more}: PyPI is asked for"
        " a new or misspelt name like that; add the prefix, or choose names that have one"
    )


def _require_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK):
        raise SettingError(
            f"{folder} is not writable for user {os.getuid()}: give it to the owner of the"
            " repository with chown"
        )


def _require_none(*complaints: str) -> None:
    if complaints:
        raise SettingError("\nerror: ".join(complaints))
