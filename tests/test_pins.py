"""What the rendered repositories pin is kept fresh: the bot's configuration covers every pin."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Render

# Which files each of Dependabot's ecosystems reads in its directory.
DEPENDABOT = {
    "docker": r"(?i)^[^/]*dockerfile[^/]*$",
    "docker-compose": r"(?i)^(docker-)?compose(-\w+)?(\.[\w-]+)?\.ya?ml$",
    "pip": r"^[^/]*\.(txt|in)$",
    "github-actions": r"^\.github/workflows/[^/]+\.ya?ml$",
}
# Which files each of Renovate's managers reads by itself.
RENOVATE = {
    "dockerfile": r"(^|/|\.)([Dd]ocker|[Cc]ontainer)file$",
    "docker-compose": r"(^|/)(?:docker-)?compose[^/]*\.ya?ml$",
    "pip_requirements": r"(^|/)[\w-]*requirements([-._]\w+)?\.(txt|pip)$",
    "gitlabci": r"\.gitlab-ci\.ya?ml$",
}
PINS = {
    "image": r"^\s*(?:FROM|-?\s*image:|services:)\s.*?\b([\w./-]+:[\w.-]*\d[\w.-]*)",
    "requirement": r"^([A-Za-z0-9][\w.-]*(?:\[\w+\])?==\d+(?:\.\d+)*)(?![.\w*])",
    "action": r"uses:\s*(\S+@[0-9a-f]{40})",
}


def pins(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the file and the text of each image, requirement and action that is pinned."""
    for path in sorted(folder.rglob("*")):
        file = path.relative_to(folder).as_posix()
        if path.is_file() and re.search(r"file$|\.(ya?ml|txt|in)$", file, re.I):
            for line in path.read_text().splitlines():
                for pattern in PINS.values():
                    if (found := re.match(pattern, line)) or (found := re.search(pattern, line)):
                        yield file, found[1]


def test_the_pins_that_this_looks_for_are_found(render: Render) -> None:
    found = {pin for _, pin in pins(render({"template": "server", "ci": "gitlab"}))}

    assert {"caddy:2.11.7-alpine", "pypiserver==2.4.2", "docker:28.5-dind"} <= found
    assert any(pin.startswith("python:3.") for pin in found)
    actions = {pin for _, pin in pins(render({"template": "server", "ci": "github"}))}
    assert any(pin.startswith("actions/checkout@") for pin in actions)


@pytest.mark.parametrize("kind", ["server", "client"])
def test_dependabot_reads_every_file_that_pins_something(render: Render, kind: str) -> None:
    folder = render({"template": kind, "ci": "github"})
    updates = yaml.safe_load((folder / ".github/dependabot.yml").read_text())["updates"]
    assert {update["package-ecosystem"] for update in updates} <= DEPENDABOT.keys()

    def covered(file: str) -> bool:
        return any(
            re.search(DEPENDABOT[update["package-ecosystem"]], below)
            for update in updates
            if (below := relative(file, update["directory"]))
        )

    found = list(pins(folder))
    assert found
    assert [pin for pin in found if not covered(pin[0])] == []


def relative(file: str, directory: str) -> str:
    """Return a file's path below one of Dependabot's directories, empty if it is not in there."""
    start = directory.strip("/")
    if start and not file.startswith(f"{start}/"):
        return ""
    below = file.removeprefix(f"{start}/")
    return below if below.startswith(".github/") or "/" not in below else ""


@pytest.mark.parametrize("kind", ["server", "client"])
def test_renovate_reads_every_file_that_pins_something(render: Render, kind: str) -> None:
    folder = render({"template": kind, "ci": "gitlab"})
    config: dict[str, Any] = json.loads((folder / "renovate.json").read_text())
    patterns = [
        pattern
        for manager, usual in RENOVATE.items()
        if config.get(manager, {}).get("enabled", True)
        for pattern in [usual, *map(bare, config.get(manager, {}).get("managerFilePatterns", []))]
    ]

    found = list(pins(folder))
    assert found
    assert [pin for pin in found if not any(re.search(p, pin[0]) for p in patterns)] == []


@pytest.mark.parametrize("tool", ["poetry", "uv"])
def test_renovate_finds_the_versions_of_the_tools(render: Render, tool: str) -> None:
    folder = render({"template": "client", "ci": "gitlab", "package_manager": tool})
    managers = json.loads((folder / "renovate.json").read_text())["customManagers"]
    text = (folder / ".gitlab-ci.yml").read_text()
    pinned = dict(re.findall(r'^  ([A-Z]+)_VERSION: "(\d+(?:\.\d+)+)"$', text, re.M))

    found = {}
    for manager in managers:
        assert re.search(bare(manager["managerFilePatterns"][0]), ".gitlab-ci.yml")
        (match,) = manager["matchStrings"]
        (version,) = re.findall(match.replace("(?<", "(?P<"), text)
        found[manager["depNameTemplate"].upper()] = version
    assert found == pinned
    assert found.keys() == {tool.upper(), "TWINE"}


def bare(pattern: str) -> str:
    """Return a pattern without the slashes that Renovate puts around regular expressions."""
    assert pattern.startswith("/")
    assert pattern.endswith("/")
    return pattern[1:-1]
