"""Somebody at a shell, with a home folder and settings of their own."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

from kit.commands import run


class User:
    """Runs the clients as a user would, from the same folder and without anybody's settings."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            # What every script that calls these clients sets, for they would ask or wait.
            "PIP_NO_INPUT": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "POETRY_NO_INTERACTION": "1",
            "POETRY_KEYRING_ENABLED": "false",
        }

    def run(
        self, *command: str | Path, folder: Path | None = None, ok: bool = True, **settings: str
    ) -> str:
        """Run a program with more variables in its environment; return all it printed.

        Args:
            folder: where; the home folder if not said.
            ok: whether it is expected to succeed.
        """
        environment = {**self.environment, **settings}
        return run(*command, cwd=folder or self.home, environment=environment, ok=ok, timeout=120)


def installed(venv: Path) -> dict[str, str]:
    """Return version and origin of what is installed."""
    (packages,) = venv.glob("lib/python*/site-packages")
    found = {}
    for info in packages.glob("*.dist-info"):
        module, _, version = info.name.removesuffix(".dist-info").partition("-")
        constants = runpy.run_path(str(packages / module / "__init__.py"))
        found[module.replace("_", "-")] = f"{version} from {constants['ORIGIN']}"
    return found
