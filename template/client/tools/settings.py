"""What this repository says of its private index: the table [tool.private-index]."""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Settings:
    """The table's values.

    Attributes:
        url: of the simple pages, with a slash at its end.
        packages: the private ones, by their normalized names (PEP 503).
        strategy: single or extra: whether pip asks this index alone, or PyPI as well.
        manager: poetry or uv.
        credentials: arg or secret: how the Docker build gets them.
        ca_certificate: the file of the index's own authority; empty if it has a public one.
        required: the requirements in pyproject.toml.
    """

    name: str
    url: str
    publish_url: str
    packages: tuple[str, ...]
    strategy: str
    manager: str
    locked: bool
    credentials: str
    ca_certificate: str = ""
    required: tuple[str, ...] = ()

    @classmethod
    def load(cls) -> Settings:
        """Read pyproject.toml, or stop and say what is wrong with it."""
        try:
            project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
            table = {k.replace("-", "_"): v for k, v in project["tool"]["private-index"].items()}
            table["packages"] = tuple(map(normalized, table["packages"]))
            return cls(**table, required=tuple(project["project"].get("dependencies", ())))
        except (OSError, KeyError, TypeError, ValueError) as error:
            sys.exit(f"pyproject.toml has no table [tool.private-index] as it should be: {error}.")

    @property
    def env_name(self) -> str:
        """The index's name in the names of variables."""
        return self.name.upper().replace("-", "_")

    @property
    def projects(self) -> tuple[str, ...]:
        """The private packages, and then what else the app requires."""
        names = [re.split(r"[^\w.-]", requirement)[0] for requirement in self.required]
        return tuple(dict.fromkeys((*self.packages, *map(normalized, names))))


def normalized(name: str) -> str:
    """Return the name that the page of a project has (PEP 503)."""
    return re.sub("[-_.]+", "-", name).lower()
