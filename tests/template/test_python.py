"""The oldest Python that is promised: one for the template and the server, one for a client."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from kit.commands import run
from kit.template import QUESTIONS, ROOT, Render

OLDEST = "3.10"
"""What `make demo` and the server in it run on in CI, too."""

OLDEST_OF_A_CLIENT = "3.11"
"""The first with tomllib, in which its tools read pyproject.toml."""

PROMISES = {
    "README.md": r"Python (3\.\d+) or newer",
    "Makefile": r"older than Python (3\.\d+)",
    "pyproject.toml": r'\npython_version = "(.*)"',
    "demo/my-private-lib/pyproject.toml": 'requires-python = ">=(.*)"',
    ".github/workflows/ci.yml": r'python: \["(.*?)"',
    "scripts/requirements.sh": r'--python-version (?:"\$\{2-)?(3\.\d+)',
    "template/server/private_pypi/pyproject.toml": r'requires-python = ">=(.*?)"',
    "template/server/README.md.jinja": r"Python\s(3\.\d+) or newer",
    # Two containers have the Python of their image alone.
    "template/server/Makefile.jinja": r"(?:older than Python|--python-version) (3\.\d+)"
    r"(?!.*\n.*requirements-(?:public|attestations))",
}

PROMISES_OF_A_CLIENT = {
    "template/client/README.md.jinja": r"make, Python (3\.\d+) or newer",
    "template/client/tools/__main__.py": r"older than Python (3\.\d+)",
    ".pre-commit-config.yaml": r"--python-version (\S+) template/client/tools",
}


@pytest.mark.parametrize("file", PROMISES)
def test_every_file_names_the_same(file: str) -> None:
    found = re.findall(PROMISES[file], (ROOT / file).read_text(encoding="utf-8"))

    assert set(found) == {OLDEST}


@pytest.mark.parametrize("file", PROMISES_OF_A_CLIENT)
def test_every_file_names_the_same_for_a_client(file: str) -> None:
    found = re.findall(PROMISES_OF_A_CLIENT[file], (ROOT / file).read_text(encoding="utf-8"))

    assert set(found) == {OLDEST_OF_A_CLIENT}


def test_the_oldest_python_of_an_app_is_that_of_its_tools() -> None:
    assert min(QUESTIONS["python_version"]["choices"]) == OLDEST_OF_A_CLIENT


def test_ruff_takes_what_is_promised_for_its_target() -> None:
    target = f'target-version = "py{OLDEST.replace(".", "")}"'
    assert target in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    package = ROOT / "template/server/private_pypi"
    settings = run("ruff", "check", "--show-settings", "private_pypi/app.py", cwd=package)
    assert f"unresolved_target_version = {OLDEST}" in settings


@pytest.mark.parametrize("locked", [True, False])
def test_the_tools_of_a_client_use_nothing_newer(render: Render, locked: bool) -> None:
    """mypy knows which Python has which part of the standard library."""
    folder = render({"template": "client", "locked": locked})

    mypy = [sys.executable, "-m", "mypy", "--config-file=", "--cache-dir=/dev/null"]
    done = subprocess.run(
        [*mypy, "--no-error-summary", "--python-version", OLDEST_OF_A_CLIENT, "tools"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
