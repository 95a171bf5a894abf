"""The settings of the index, which it reads from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MEBIBYTE = 2**20


class SettingError(Exception):
    """A setting has a value that the index cannot use; the message names both and the remedy."""


@dataclass(frozen=True)
class Settings:
    """Where the index finds its folders and how it answers.

    Attributes:
        data: folder of the distributions and the journal, which must never be lost.
        index: folder of the pages and all else that is derived from them.
        web: folder of the pages for people.
        auth: folder of the accounts, their rights, and the trusted publishers.
        gateway: folder from which the gateway reads its accounts; None without a gateway.
        uses: folder of the gateway's logs of which account was used when; None without a gateway.
        socket: path of the Unix socket to listen on; None for an address.
        host, port: the address.
        redirect: whether unknown projects are redirected to the public index or get 404.
        mirror: whether the gateway asks the container `public` for them; then none is redirected.
        private_prefixes: namespaces (PEP 752), normalised: no name in them is redirected.
        public_index: URL of that index's simple pages; None for pypiserver's own default.
        max_upload: bytes a distribution may have.
        name: of the index, as its pages for people show it.
        url: where people and clients reach it, with a slash at the end.
        keys: folder of the keys of trusted publishers' issuers.
        issuers: folder of the list of these issuers; None but in the container that asks them.
    """

    data: Path
    index: Path
    web: Path
    auth: Path
    gateway: Path | None
    uses: Path | None
    socket: Path | None
    host: str
    port: int
    redirect: bool
    mirror: bool
    private_prefixes: tuple[str, ...]
    public_index: str | None
    max_upload: int
    name: str
    url: str
    keys: Path = Path("pypi_keys")
    issuers: Path | None = None

    @property
    def asks_pypi(self) -> bool:
        """Whether clients get from PyPI, through the index, what it does not have."""
        return self.redirect or self.mirror

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the `PYPI_*` variables that docker-compose.pypi.yml and the Makefile set.

        Raises:
            SettingError: if a variable has a value that it cannot have.
        """
        unknown = environ.get("PYPI_UNKNOWN_PACKAGES", "redirect")
        if unknown not in ("redirect", "mirror", "refuse"):
            raise SettingError(
                f"PYPI_UNKNOWN_PACKAGES is {unknown!r}: set redirect, mirror or refuse"
            )
        host = environ.get("PYPI_HOST") or "127.0.0.1"
        port = number(environ, "PYPI_PORT", "8080", most=65535)
        address = f"[{host}]" if ":" in host else host
        gateway, socket = environ.get("PYPI_GATEWAY"), environ.get("PYPI_SOCKET")
        uses = environ.get("PYPI_USES")
        issuers = environ.get("PYPI_ISSUERS")
        return cls(
            data=Path(environ.get("PYPI_DATA") or "pypi_data"),
            index=Path(environ.get("PYPI_INDEX") or "pypi_index"),
            web=Path(environ.get("PYPI_WEB") or "pypi_web"),
            auth=Path(environ.get("PYPI_AUTH") or "pypi_auth"),
            gateway=Path(gateway) if gateway else None,
            uses=Path(uses) if uses else None,
            socket=Path(socket) if socket else None,
            host=host,
            port=port,
            redirect=unknown == "redirect",
            mirror=unknown == "mirror",
            private_prefixes=_prefixes(environ.get("PYPI_PRIVATE_PREFIXES", "")),
            public_index=environ.get("PYPI_PUBLIC_INDEX") or None,
            max_upload=number(environ, "PYPI_MAX_UPLOAD_MB", "512", most=102400) * MEBIBYTE,
            name=_name(environ.get("PYPI_NAME") or "Private index"),
            url=_url(environ.get("PYPI_URL") or f"http://{address}:{port}"),
            keys=Path(environ.get("PYPI_KEYS") or "pypi_keys"),
            issuers=Path(issuers) if issuers else None,
        )


def _name(text: str) -> str:
    if not text.isprintable():
        raise SettingError(f"PYPI_NAME is {text!r}: set a name of printable characters")
    return text


def _prefixes(text: str) -> tuple[str, ...]:
    """Return the prefixes in a text that separates them by spaces."""
    for prefix in text.split():
        if not re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", prefix):
            raise SettingError(
                f"PYPI_PRIVATE_PREFIXES has {prefix!r}: write prefixes normalised, such as acme"
            )
    return tuple(text.split())


def _url(text: str) -> str:
    """Return a URL with a slash at its end."""
    if not re.fullmatch(r"https?://[A-Za-z0-9._~:/%\[\]-]+", text):
        raise SettingError(f"PYPI_URL is {text!r}: set the URL of the index, such as https://host/")
    return f"{text.rstrip('/')}/"


def number(environ: Mapping[str, str], name: str, default: str, *, most: int) -> int:
    """Return the whole number, from 1 on, that a variable holds.

    Raises:
        SettingError: if it holds something else.
    """
    text = environ.get(name, default)
    if not (re.fullmatch("[0-9]{1,6}", text) and 1 <= int(text) <= most):
        raise SettingError(f"{name} is {text!r}: set a whole number from 1 to {most}")
    return int(text)
