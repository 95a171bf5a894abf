"""The rooms of the server package: how large they are, and which way their doors open."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import private_pypi
import pytest

FOLDER = Path(private_pypi.__file__).parent
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")

# From the top to the ground. A module imports from its own floor and those below.
FLOORS = {
    "the command line, and the server process": [
        "__main__",
        "preflight",
        "health",
        "gunicorn_conf",
    ],
    "who may do what, and the answer to each request": ["app", "reads", "hosting", "refusals"],
    "requests and answers as values": ["uploads", "body", "slots", "turns", "files", "answers"],
    "the index: asked, published to, kept current": [
        "index",
        "refresh",
        "verify",
        "catalogue_access",
    ],
    "one change, and what is known": ["change", "catalogue", "history"],
    "what is written where, and what changed by hand": ["pages", "scan", "audit", "layout"],
    "distributions, which nobody has checked": ["distribution", "wheel", "metadata", "archive"],
    "who may come in, and over TLS": ["authentication", "gateway", "accounts", "certificate"],
    "records that outlive a crash": ["journal", "database"],
    "the machine": ["settings", "terminal", "ownership", "filesystem", "disk"],
}

LONGEST = 400


def imported(path: Path) -> set[str]:
    """Return what a module imports; a module of the package has its name there, such as `disk`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = "private_pypi" if node.level else ""
            module = ".".join(filter(None, (package, node.module)))
            # Of a package, modules are imported like any other name.
            imports_modules = module == "private_pypi"
            names |= {f"{module}.{a.name}" for a in node.names} if imports_modules else {module}
    return {name.removeprefix("private_pypi.") for name in names}


IMPORTS = {module: imported(FOLDER / f"{module}.py") for module in MODULES}


def test_every_module_stands_on_one_floor() -> None:
    assert sorted(module for floor in FLOORS.values() for module in floor) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_longer_than_a_sitting(module: str) -> None:
    lines = (FOLDER / f"{module}.py").read_text().count("\n")

    assert lines <= LONGEST, f"{module} has {lines} lines: give one of its nouns its own module"


def test_no_imports_make_a_circle() -> None:
    graph = {module: names & IMPORTS.keys() for module, names in IMPORTS.items()}

    # It raises CycleError with the circle.
    assert sorted(TopologicalSorter(graph).static_order()) == MODULES


@pytest.mark.parametrize("floor", FLOORS)
def test_no_module_imports_one_of_a_higher_floor(floor: str) -> None:
    above = [name for other in list(FLOORS)[: list(FLOORS).index(floor)] for name in FLOORS[other]]

    upward = {module: sorted(IMPORTS[module] & {*above}) for module in FLOORS[floor]}

    assert {module: names for module, names in upward.items() if names} == {}


def test_hosting_alone_knows_pypiserver_and_its_framework() -> None:
    foreign = ("pypiserver", "bottle")

    knowing = {
        module
        for module, names in IMPORTS.items()
        if any(name.partition(".")[0] in foreign for name in names)
    }

    assert knowing == {"hosting"}
