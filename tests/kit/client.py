"""A rendered client, and what its tools need of the public index."""

from __future__ import annotations

import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from kit.template import PASSWORD, Answers

REAL_PYTEST = f"""
import runpy
import sys

for name in [name for name in sys.modules if name.split(".")[0] == "pytest"]:
    del sys.modules[name]
sys.path.insert(0, {sysconfig.get_path("purelib")!r})
runpy.run_module("pytest", run_name="__main__", alter_sys=True)
"""
"""What the stand-in of pytest does: it hands over to the one that runs these tests."""


class Client:
    """A rendered client in a git repository, at whose make somebody sits."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def make(self, *arguments: str, ok: bool = True, **settings: str) -> str:
        """Run make, which is expected to succeed or to fail; return all it printed."""
        done = subprocess.run(
            ["make", *arguments],
            cwd=self.folder,
            env={**self.environment, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        assert (done.returncode == 0) is ok, f"make {arguments}\n{done.stdout}"
        assert "Traceback" not in done.stdout
        for secret in (PASSWORD, quote(PASSWORD, safe="")):
            assert secret not in done.stdout
        return done.stdout

    def installed(self, name: str) -> str:
        """Return version and origin of a library in .venv."""
        module = name.replace("-", "_")
        program = f"import {module} as m; print(m.VERSION, 'from', m.ORIGIN)"
        command = [str(self.folder / ".venv/bin/python"), "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()


MakeClient = Callable[[Answers], Client]
