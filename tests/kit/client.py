"""A rendered client, and what its tools need of the public index."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from kit.commands import output, run
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
        said = run(
            *("make", *arguments),
            cwd=self.folder,
            environment=self.environment,
            ok=ok,
            timeout=240,
            **settings,
        )
        assert "Traceback" not in said
        for secret in (PASSWORD, quote(PASSWORD, safe="")):
            assert secret not in said
        return said

    def exempt(self, name: str) -> None:
        """Exempt a package from the cooldown, as the README says."""
        poetry, project = self.folder / "poetry.toml", self.folder / "pyproject.toml"
        if poetry.exists():
            text = re.sub(r"(exclude = \[.*)]", rf'\1, "{name}"]', poetry.read_text())
            poetry.write_text(text)
        else:
            pattern = r"(exclude-newer-package = {.*) }"
            text = re.sub(pattern, rf"\1, {name} = false }}", project.read_text())
            project.write_text(text)

    def installed(self, name: str) -> str:
        """Return version and origin of a library in .venv."""
        module = name.replace("-", "_")
        program = f"import {module} as m; print(m.VERSION, 'from', m.ORIGIN)"
        return output(self.folder / ".venv/bin/python", "-c", program).strip()


MakeClient = Callable[[Answers], Client]
