"""The settings of the mirror, which it reads from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..settings import SettingError, number

GIGABYTE = 2**30


@dataclass(frozen=True)
class PublicSettings:
    """Where the mirror keeps what it fetched, and where it fetches and listens.

    Attributes:
        data: folder of the kept pages and files, all of which can be fetched again.
        policy: path of public_policy.toml.
        socket: path of the Unix socket to listen on; None for an address.
        host, port: the address.
        index: URL of the simple pages that are mirrored, with a slash at its end.
        max_bytes: how much the folder may hold before the least recently used is deleted.
    """

    data: Path
    policy: Path
    socket: Path | None
    host: str
    port: int
    index: str
    max_bytes: int

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> PublicSettings:
        """Read the variables that docker-compose.pypi.yml and the Makefile set.

        Raises:
            SettingError: if a variable has a value that it cannot have.
        """
        socket = environ.get("PYPI_SOCKET")
        return cls(
            data=Path(environ.get("PUBLIC_DATA") or "public_data"),
            policy=Path(environ.get("PUBLIC_POLICY") or "public_policy.toml"),
            socket=Path(socket) if socket else None,
            host=environ.get("PUBLIC_HOST") or "127.0.0.1",
            port=number(environ, "PUBLIC_PORT", "8081", most=65535),
            index=_index(environ.get("public_index") or default_index()),
            max_bytes=number(environ, "public_max_gb", "20", most=100_000) * GIGABYTE,
        )


def _index(text: str) -> str:
    # Without a user name: nothing in the environment of a container may be a secret. The message
    # does not show the value, as a log would keep a password that was tried.
    if not re.fullmatch(r"https?://[A-Za-z0-9._~:/%\[\]-]+", text):
        raise SettingError(
            "public_index in .pypi.env is no URL of simple pages: set one such as"
            " https://host/simple/, without user name and password"
        )
    return f"{text.rstrip('/')}/"


def default_index() -> str:
    """Return the URL of PyPI's simple pages."""
    # Here, so that a mirror with an index of its own does not load pypiserver.
    from pypiserver.config import DEFAULTS

    url: str = DEFAULTS.FALLBACK_URL
    return url
