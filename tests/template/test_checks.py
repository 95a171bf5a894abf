"""The checks of `make lint`, which pre-commit runs from one list."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml
from kit.template import ROOT

CONFIGURATION: dict[str, Any] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
HOOKS: list[dict[str, Any]] = [hook for repo in CONFIGURATION["repos"] for hook in repo["hooks"]]


def test_nothing_is_downloaded_for_a_check() -> None:
    assert {repo["repo"] for repo in CONFIGURATION["repos"]} == {"local"}
    assert {hook["language"] for hook in HOOKS} == {"system"}


def test_each_check_runs_a_program_that_make_installs() -> None:
    programs = {Path(hook["entry"].split()[0]) for hook in HOOKS}

    assert {program.parent for program in programs} == {Path(".venv/bin")}
    installed = Path(sys.executable).parent
    assert [path.name for path in programs if not (installed / path.name).exists()] == []


def test_pre_commit_is_pinned_with_the_other_tools() -> None:
    pinned = (ROOT / "requirements/test.txt").read_text()

    assert re.search(r"^pre-commit==", pinned, re.MULTILINE)
