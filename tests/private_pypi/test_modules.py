"""The rooms of the server package: how large they are, and which way their doors open."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import private_pypi
import pytest

FOLDER = Path(private_pypi.__file__).parent
FILES = {
    ".".join(path.relative_to(FOLDER).with_suffix("").parts): path
    for path in FOLDER.rglob("*.py")
    if path.stem != "__init__"
}
MODULES = sorted(FILES)
PACKAGES = ("private_pypi", "private_pypi.web", "private_pypi.public", "private_pypi.trust")

# From the top to the ground. A module imports from its own floor and those below.
FLOORS = {
    "the command line, and the server process": [
        "__main__",
        "attestation_check",
        "preflight",
        "health",
        "gunicorn_conf",
        "user_commands",
        "ours",
        "trust.commands",
        "trust.fetch",
        "trust.ids",
        "trust.documents",
        "public.commands",
        "public.fetch",
        "public.listing",
        "public.server",
    ],
    "who may do what, and the answer to each request": [
        "app",
        "permissions",
        "reads",
        "hosting",
        "refusals",
        "trust.service",
    ],
    "requests and answers as values": [
        "uploads",
        "body",
        "slots",
        "turns",
        "files",
        "web.errors",
        "answers",
    ],
    "the mirror: what it answers, fetches and keeps": [
        "public.app",
        "public.rendered",
        "public.pages",
        "public.files",
        "public.download",
        "public.slots",
        "public.check",
        "public.kept_pages",
        "public.recent",
        "public.upstream",
    ],
    "the mirror: what is offered, and in which form": [
        "public.explain",
        "public.forms",
        "public.watched_policy",
        "public.policy",
        "public.document",
        "public.requirements",
        "public.handover",
        "public.settings",
    ],
    "the mirror: its folder": ["public.kept"],
    "the pages for people: kept current, compared": ["web.writer", "web.differences"],
    "the index: asked, published to, kept current": [
        "index",
        "publishing",
        "refresh",
        "verify",
        "catalogue_access",
    ],
    "what the pages for people say": [
        "web.contents",
        "web.folder",
        "web.render",
        "web.project",
        "web.instructions",
        "web.description",
        "web.details",
    ],
    "one change, and what is known": ["change", "catalogue", "facts", "history", "statuses"],
    "who may come in, and over TLS": [
        "authentication",
        "gateway",
        "accounts",
        "rights",
        "last_use",
        "certificate",
        "trust.publishers",
        "trust.entries",
        "trust.issuers",
        "trust.tokens",
        "trust.minted",
        "trust.routes",
    ],
    "what is written where, and what changed by hand": [
        "pages",
        "withheld",
        "html_page",
        "scan",
        "names",
        "audit",
        "layout",
    ],
    "distributions, which nobody has checked": [
        "distribution",
        "attestations",
        "wheel",
        "metadata",
        "archive",
    ],
    "records that outlive a crash": ["journal", "database", "trust.refused"],
    "the machine": [
        "settings",
        "terminal",
        "ownership",
        "filesystem",
        "disk",
        "negotiation",
        "toml",
    ],
}

LONGEST = 400


def imported(path: Path) -> set[str]:
    """Return what a module imports; one of the package is there as `disk` or `web.folder`."""
    names = set()
    packages = ["private_pypi", *path.relative_to(FOLDER).parent.parts]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = packages[: len(packages) + 1 - node.level] if node.level else []
            module = ".".join(filter(None, (*package, node.module)))
            # Of a package, modules are imported like any other name.
            imports_modules = module in PACKAGES
            names |= {f"{module}.{a.name}" for a in node.names} if imports_modules else {module}
    return {name.removeprefix("private_pypi.") for name in names}


IMPORTS = {module: imported(path) for module, path in FILES.items()}


def test_every_module_stands_on_one_floor() -> None:
    assert sorted(module for floor in FLOORS.values() for module in floor) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_no_module_is_longer_than_a_sitting(module: str) -> None:
    lines = FILES[module].read_text().count("\n")

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


@pytest.mark.parametrize(
    ("foreign", "modules"),
    [
        # The mirror asks the very index that pypiserver would redirect to.
        (("pypiserver", "bottle"), {"hosting", "public.settings"}),
        (("jinja2", "markupsafe"), {"web.render"}),
        # It runs in an image of its own, which alone has these.
        (("pypi_attestations", "sigstore", "pydantic"), {"attestation_check"}),
        (("readme_renderer", "nh3", "docutils", "comrak", "pygments"), {"web.description"}),
        (("jwt",), {"trust.tokens"}),
        (("starlette",), {"public.app"}),
        (("uvicorn",), {"public.server"}),
        # The processes that answer requests of clients, or write accounts, ask no other server.
        (
            ("httpx",),
            {
                "public.fetch",
                "public.listing",
                "public.upstream",
                "trust.documents",
                "trust.fetch",
            },
        ),
    ],
)
def test_few_modules_know_a_framework(foreign: tuple[str, ...], modules: set[str]) -> None:
    knowing = {
        other
        for other, names in IMPORTS.items()
        if any(name.partition(".")[0] in foreign for name in names)
    }

    assert knowing == modules


def test_no_module_of_the_private_index_knows_the_mirror() -> None:
    """A server without one has no folder `public`."""
    knowing = {
        module
        for module, names in IMPORTS.items()
        if not module.startswith("public.") and any(name.startswith("public") for name in names)
    }

    assert knowing == {"__main__", "ours"}


def test_the_command_line_is_the_only_way_from_requests_to_the_writing_of_pages_for_people() -> (
    None
):
    writing = {"web.writer", "web.differences", "web.description"}

    importing = {module for module, names in IMPORTS.items() if names & writing}

    assert importing == {"__main__", *writing - {"web.description"}}


def test_each_module_of_a_package_is_found_by_any_form_of_its_import() -> None:
    assert {"disk", "pages", "layout", "web.render"} <= IMPORTS["web.folder"]
    assert {"web.project", "web.details", "layout"} <= IMPORTS["web.contents"]
    assert {"web.writer", "web.differences", "gateway"} <= IMPORTS["__main__"]
    assert "web.errors" in IMPORTS["app"]
