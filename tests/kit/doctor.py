"""`make doctor` of a rendered client, run and read line by line."""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from kit.template import PASSWORD

ORDER = ("ok", "warn", "FAIL", "skipped")


class Line(NamedTuple):
    """What the doctor said of one check."""

    state: str
    text: str


class Diagnosis(NamedTuple):
    """All it said, by check, and with which code it ended."""

    code: int
    lines: dict[str, Line]

    def states(self, *checks: str) -> list[str]:
        """Return the states of some checks."""
        return [self.lines[check].state for check in checks]

    def bad(self) -> dict[str, str]:
        """Return the text of each check of the index or the account that did not pass."""
        return {
            check: line.text
            for check, line in self.lines.items()
            if line.state in ("warn", "FAIL") and check not in TOOLS
        }


TOOLS = ("python", "git", "docker", "compose", "buildx", "poetry", "twine", "uv")
"""Checks whose outcome depends on the machine."""


SAYS = {
    "docker": 'case "$1" in compose) echo 2.40.3 ;; buildx) echo v0.31.0 ;; *) echo 28.1.0 ;; esac',
    "poetry": "echo 'Poetry (version 2.5.1)'",
    "twine": "echo 'twine version 7.0.0 (readme-renderer: 46.0)'",
    "uv": "echo 'uv 0.13.9'",
}
"""Stand-ins for programs that take seconds to tell their version."""


def write_programs(folder: Path, texts: dict[str, str]) -> None:
    """Write programs into a folder, each the text of a shell script."""
    for name, text in texts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)


@functools.cache
def stand_ins() -> Path:
    """Return a folder with the stand-ins."""
    folder = Path(tempfile.mkdtemp(prefix="doctor-"))
    atexit.register(shutil.rmtree, folder)
    write_programs(folder, SAYS)
    return folder


def doctor(client: Path, **environment: str) -> Diagnosis:
    """Run it as a user would, and see that it is one line a check, without secret or traceback.

    With stand-ins for the programs that it asks for their versions, unless there is a PATH.
    """
    path = os.pathsep.join([str(stand_ins()), os.environ["PATH"]])
    done = subprocess.run(
        ["make", "doctor"],
        cwd=client,
        env={**os.environ, "PATH": path, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert "the check itself failed" not in said, said
    assert PASSWORD not in said
    assert quote(PASSWORD, safe="") not in said
    listed, _, end = done.stdout.partition("\n\n")
    lines = {}
    for line in listed.splitlines():
        found = re.fullmatch(r"(\w+) +([\w .-]+): (.+)", line)
        assert found, line
        state, check, text = found.groups()
        assert state in ORDER, line
        assert check not in lines, said
        lines[check] = Line(state, text)
    failed = [check for check, line in lines.items() if line.state == "FAIL"]
    assert end.startswith(f"{len(failed)} of {len(lines)} checks failed"), said
    assert (done.returncode != 0) is bool(failed), said
    return Diagnosis(done.returncode, lines)
