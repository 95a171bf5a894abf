"""A gateway and a server over one folder, without Docker."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit import wheel
from kit.accounts import htpasswd_line
from kit.gateway import Gateway, behind_gateway
from kit.http import basic
from kit.server import Server
from kit.template import PASSWORD


@dataclass(frozen=True)
class Stack:
    """A gateway and a server over one folder, and the passwords of its accounts."""

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

    All passwords are generated but that of carla, a reader, which is chosen.
    """
    server, gateway = behind_gateway(rendered, folder, PYPI_MAX_UPLOAD_MB="2")
    passwords = {f"guest{number}": secrets.token_urlsafe(24) for number in range(guests)}
    (server.auth / ".htpasswd-readers").write_text(
        "".join(htpasswd_line(*account) for account in passwords.items())
    )
    passwords["carla"] = PASSWORD
    for name, role in (("alice", "publisher"), ("dave", "publisher"), ("bob", "reader")):
        said = server.user("add", "--role", role, name)
        passwords[name] = said.partition("password: ")[2].split()[0]
    server.user("add", "carla", password=PASSWORD)
    wheel.build(server.data, "held-name", "1.0", origin="us")
    return Stack(server, gateway, passwords)
