"""The container `accounts` of a server, without Docker: it gives the gateway changed accounts."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from kit.processes import Running


class Follower(Running):
    """Follows the accounts of a server, and the gateway's log of which was used.

    Args:
        repository: the rendered one that it is run from.
        folder: of the server and the gateway.
    """

    def __init__(self, repository: Path, folder: Path) -> None:
        self._last_use = folder / "accounts/last_use.json"
        environment = {
            **os.environ,
            "PYTHONPATH": str(repository / "private_pypi"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYPI_GATEWAY": str(folder / "accounts"),
            "PYPI_USES": str(folder / "uses"),
        }
        log = folder / "follower.log"
        super().__init__("the follower", log, folder=folder, environment=environment)

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "private_pypi", "follow"]

    def answers(self) -> bool:
        # Written last, in its first round.
        return self._last_use.exists()
