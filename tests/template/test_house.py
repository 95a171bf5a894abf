"""How the tests are laid out: what they share is in kit, and nobody leans on another's test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.template import ROOT

TESTS = ROOT / "tests"


def imported(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    "path", sorted(TESTS.rglob("*.py")), ids=lambda p: str(p.relative_to(TESTS))
)
def test_nobody_imports_a_test_or_the_fixtures_of_another_folder(path: Path) -> None:
    rooms = {part for name in imported(path) for part in name.split(".")}

    assert not [part for part in rooms if part.startswith("test_") or part in ("conftest", "e2e")]
