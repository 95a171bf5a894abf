"""`make demo` when something is wrong; that it works is shown by running it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kit.template import ROOT


@pytest.fixture
def checkout(template: Path, tmp_path: Path) -> Path:
    """A checkout of the template with the demo, in which a test may break things."""
    folder = tmp_path / "checkout"
    shutil.copytree(template, folder, symlinks=True)
    shutil.copytree(ROOT / "demo", folder / "demo")
    return folder


def demo(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the demo of a checkout and return how it ended."""
    return subprocess.run(
        [sys.executable, "demo/demo.py"],
        cwd=checkout,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_template_that_does_not_render_is_named(checkout: Path) -> None:
    (checkout / "template/server/Makefile.jinja").write_text("{{ no_such_answer }}")
    done = demo(checkout)
    assert done.returncode == 1
    assert done.stderr.startswith("error: Render the server into build/demo/server: ")
    assert "no_such_answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_does_not_start_is_named_and_nothing_is_left_running(checkout: Path) -> None:
    broken = "error: broken on purpose\n"
    (checkout / "template/server/Makefile.jinja").write_text(
        f"pypi-local:\n\t@printf '{broken.strip()}\\n'; exit 1\n"
    )
    done = demo(checkout)
    assert done.returncode == 1
    assert "error: Start the server on http://127.0.0.1:" in done.stderr
    assert broken in done.stderr
    assert "Traceback" not in done.stderr


def test_a_machine_without_make_is_told_so(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for program in ("git", "sh"):
        (tmp_path / "bin" / program).symlink_to(str(shutil.which(program)))
    done = demo(checkout, PATH=str(tmp_path / "bin"))
    assert done.returncode == 1
    assert done.stderr == "error: make is not installed: install it\n"
