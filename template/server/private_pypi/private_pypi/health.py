"""The health check of the container: whether the running index works.

Docker runs `python -m private_pypi.health` every few seconds, so it imports as little as it can:
the whole command line would take four times as long.
"""

from __future__ import annotations

import http.client
import socket
import sys
from pathlib import Path
from typing import Protocol

from .settings import SettingError, Settings
from .terminal import printable

_SECONDS = 4


class HealthError(Exception):
    """The index does not work or does not answer; the message says why."""


class Listening(Protocol):
    """The settings that say where a server listens."""

    @property
    def socket(self) -> Path | None:
        """The path of its Unix socket; None for a port."""

    @property
    def port(self) -> int:
        """Its port on this machine."""


def ask(settings: Listening) -> None:
    """Ask a running server of this package whether it works.

    Raises:
        HealthError: if it does not.
    """
    place = settings.socket or f"port {settings.port}"
    connection = http.client.HTTPConnection("127.0.0.1", settings.port, timeout=_SECONDS)
    try:
        if settings.socket:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(_SECONDS)
            connection.sock.connect(str(settings.socket))
        connection.request("GET", "/health")
        answer = connection.getresponse()
        sentence = answer.read().decode(errors="replace").strip()
    except http.client.HTTPException:
        raise HealthError(f"the server on {place} is no server of this index") from None
    except OSError as error:
        raise HealthError(f"nothing answers on {place} ({error.strerror or error})") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise HealthError(sentence)


def main() -> int:
    """Ask; return the exit code, 1 with a sentence on standard error if something is wrong."""
    try:
        ask(Settings.from_environment())
    except (HealthError, SettingError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
