"""A gateway and a server over one folder, without Docker."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from passlib.hash import bcrypt

from kit import wheel
from kit.gateway import Gateway
from kit.server import Server
from kit.template import PASSWORD


def basic(name: str | bytes, password: str | bytes) -> dict[str, str]:
    """Return the header a client makes of name and password."""
    pair = b":".join(x.encode() if isinstance(x, str) else x for x in (name, password))
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


@dataclass(frozen=True)
class Stack:
    """A gateway and a server over one folder, and the passwords that were made up."""

    server: Server
    gateway: Gateway
    passwords: dict[str, str]

    def login(self, name: str) -> dict[str, str]:
        """Return the right header of an account."""
        return basic(name, self.passwords[name])

    def logged(self, **fields: object) -> list[dict[str, Any]]:
        """Return the access log's lines whose request has these fields."""
        lines = map(json.loads, self.gateway.log.read_text().splitlines())
        return [
            line
            for line in lines
            if line.get("logger", "").startswith("http.log.access.")
            and fields.items() <= line["request"].items()
        ]


def make_stack(rendered: Path, folder: Path, *, guests: int = 0) -> Stack:
    """Return both, not started: alice and dave may publish, bob and the guests may install.

    All have passwords that were made up but carla, a reader, who brought hers.
    """
    accounts = folder / "accounts"
    accounts.mkdir(parents=True)
    server = Server(rendered, folder, PYPI_MAX_UPLOAD_MB="2", PYPI_GATEWAY=str(accounts))
    passwords = {f"guest{number}": secrets.token_urlsafe(24) for number in range(guests)}
    cheap = bcrypt.using(rounds=4, ident="2y")
    (server.auth / ".htpasswd-readers").write_text(
        "".join(f"{name}:{cheap.hash(password)}\n" for name, password in passwords.items())
    )
    passwords["carla"] = PASSWORD
    for name, role in (("alice", "publisher"), ("dave", "publisher"), ("bob", "reader")):
        said = server.user("add", "--role", role, name)
        passwords[name] = said.partition("password: ")[2].split()[0]
    server.user("add", "carla", password=PASSWORD)
    wheel.build(server.data, "held-name", "1.0", origin="us")
    return Stack(server, Gateway(rendered, folder, accounts, server), passwords)


def address(url: str) -> tuple[str, int]:
    """Return where somebody listens."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port
