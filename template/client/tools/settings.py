"""What the tools know of the private index: the table [tool.private-index] in pyproject.toml."""

import re
import sys
import tomllib
from dataclasses import dataclass
from typing import Self

from . import ROOT

TEXTS = ("name", "url", "publish-url", "strategy", "manager", "credentials", "ca-certificate")
LISTS = ("packages", "prefixes")
KEYS: dict[str, type] = {
    **dict.fromkeys(TEXTS, str),
    **dict.fromkeys(LISTS, list),
    **dict.fromkeys(("locked", "trusted-publishing"), bool),
    "cooldown-days": int,
}
"""The keys of the table and their types."""


@dataclass(frozen=True)
class Settings:
    """The table, and what pyproject.toml says of the app."""

    name: str
    url: str  # of the simple pages, with a slash at its end
    publish_url: str
    packages: tuple[str, ...]  # the private ones, by their normalized names (PEP 503)
    prefixes: tuple[str, ...]  # of private names, as the index reserves them (PEP 752)
    strategy: str  # single or extra: whether pip asks this index alone, or PyPI as well
    manager: str  # poetry or uv
    locked: bool
    trusted_publishing: bool  # whether CI publishes without a stored password
    cooldown_days: int  # how old a release on PyPI must be before a tool takes it
    credentials: str  # arg or secret: how the Docker build gets them
    ca_certificate: str  # the file of the index's own authority, empty if it has none
    project: str  # the name under which the app is published
    version: str  # as it is written there; empty if the tool that builds the app finds it out
    python: str  # the versions of Python that it allows, empty if any
    required: tuple[str, ...]  # the dependencies of the app

    @classmethod
    def load(cls) -> Self:
        """Read pyproject.toml, or stop and say what is wrong with it."""
        try:
            document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            sys.exit(f"pyproject.toml cannot be read: {error}")
        table = document.get("tool", {}).get("private-index", {})
        optional = {"ca-certificate": "", "prefixes": [], "cooldown-days": 0}
        table = {**optional, "trusted-publishing": False, **table}
        wrong = {key for key, kind in KEYS.items() if not isinstance(table.get(key), kind)}
        if wrong:
            sys.exit(
                f"[tool.private-index] in pyproject.toml lacks {', '.join(sorted(wrong))}, or the"
                " value is of another type: `git log -p pyproject.toml` shows how it was."
            )
        known = {key.replace("-", "_"): table[key] for key in KEYS}
        for key in LISTS:
            known[key] = tuple(map(normalized, known[key]))
        app = document.get("project", {})
        keys = {"project": "name", "version": "version", "python": "requires-python"}
        known |= {name: str(app.get(key, "")) for name, key in keys.items()}
        return cls(**known, required=tuple(app.get("dependencies", ())))

    @property
    def variable(self) -> str:
        """The index's name in the names of environment variables."""
        return self.name.upper().replace("-", "_")

    @property
    def projects(self) -> list[str]:
        """The private packages, and then what else is required, by their normalized names."""
        names = [re.split(r"[^\w.-]", requirement)[0] for requirement in self.required]
        return list(dict.fromkeys((*self.packages, *map(normalized, names))))


def normalized(name: str) -> str:
    """Return the name that the page of a project has (PEP 503)."""
    return re.sub("[-_.]+", "-", name).lower()
