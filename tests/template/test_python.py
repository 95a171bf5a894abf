"""The oldest Python that is promised: one for all, and what has to run on it does."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from kit.commands import run
from kit.template import ROOT, Render

OLDEST = "3.10"
"""What `make demo` and the server in it run on in CI, too."""

PROMISES = {
    "README.md": r"Python (3\.\d+) or newer",
    "Makefile": r"older than Python (3\.\d+)",
    "pyproject.toml": r'\npython_version = "(.*)"',
    "demo/my-private-lib/pyproject.toml": 'requires-python = ">=(.*)"',
    ".github/workflows/ci.yml": r'python: \["(.*?)"',
    "scripts/requirements.sh": r"--python-version (\S+)",
    "template/server/private_pypi/pyproject.toml": r'requires-python = ">=(.*?)"',
    "template/server/README.md.jinja": r"Python\s(3\.\d+) or newer",
    "template/server/Makefile.jinja": r"(?:older than Python|--python-version) (3\.\d+)",
    "template/client/README.md.jinja": r"make, Python (3\.\d+) or newer",
}


@pytest.mark.parametrize("file", PROMISES)
def test_every_file_names_the_same(file: str) -> None:
    found = re.findall(PROMISES[file], (ROOT / file).read_text(encoding="utf-8"))

    assert set(found) == {OLDEST}


def test_ruff_takes_what_is_promised_for_its_target() -> None:
    target = f'target-version = "py{OLDEST.replace(".", "")}"'
    assert target in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    package = ROOT / "template/server/private_pypi"
    settings = run("ruff", "check", "--show-settings", "private_pypi/app.py", cwd=package)
    assert f"unresolved_target_version = {OLDEST}" in settings


@pytest.mark.parametrize("locked", [True, False])
def test_the_scripts_of_a_client_use_nothing_newer(render: Render, locked: bool) -> None:
    """mypy knows which Python has which part of the standard library."""
    folder = render({"template": "client", "locked": locked})

    mypy = [sys.executable, "-m", "mypy", "--config-file=", "--cache-dir=/dev/null"]
    done = subprocess.run(
        [*mypy, "--no-error-summary", "--python-version", OLDEST, "scripts"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
