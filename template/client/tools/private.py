"""Tells apart what is private, and so exempt from the cooldown, from what is not.

It prints the table [tool.private-index] for the build of the image, where the rest of
pyproject.toml would have Docker install anew at every change.
"""

import json
import tomllib
from dataclasses import asdict
from typing import Any

from . import ROOT
from .settings import KEYS, Settings, normalized


def exempt(settings: Settings) -> list[str]:
    """Return the projects that uv or Poetry exempts, and the private ones."""
    uv = _read("pyproject.toml").get("tool", {}).get("uv", {}).get("exclude-newer-package", {})
    poetry = _read("poetry.toml").get("solver", {}).get("min-release-age-exclude", [])
    names = [*(name for name, until in uv.items() if until is False), *poetry]
    return list(dict.fromkeys((*settings.packages, *map(normalized, names))))


def is_exempt(name: str, settings: Settings) -> bool:
    """Return whether a project, by its normalized name, is private or exempt as if it were."""
    starts = tuple(f"{prefix}-" for prefix in settings.prefixes)
    return name in exempt(settings) or f"{name}-".startswith(starts)


def _read(name: str) -> dict[str, Any]:
    file = ROOT / name
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def main(settings: Settings, _: list[str]) -> None:
    """Print the table, in TOML, with each exempt project among `packages`."""
    known = {**asdict(settings), "packages": exempt(settings)}
    print("[tool.private-index]")
    for key in KEYS:
        # TOML writes these values as JSON does.
        print(f"{key} = {json.dumps(known[key.replace('-', '_')])}")
