"""What the tools know of the private index: the table [tool.private-index] in pyproject.toml."""

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Settings:
    """The table, and what else of pyproject.toml the tools go by."""

    name: str
    url: str  # of the simple pages, with a slash at its end
    publish_url: str
    packages: tuple[str, ...]  # the private ones, by their normalized names (PEP 503)
    strategy: str  # single or extra: whether pip asks this index alone, or PyPI as well
    manager: str  # poetry or uv
    locked: bool
    credentials: str  # arg or secret: how the Docker build gets them
    ca_certificate: str = ""  # the file of the index's own authority, if it has one
    required: tuple[str, ...] = ()  # what pyproject.toml requires

    @classmethod
    def load(cls) -> Self:
        """Read pyproject.toml, or stop and say what is wrong with it."""
        try:
            project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
            table = {k.replace("-", "_"): v for k, v in project["tool"]["private-index"].items()}
            table["packages"] = tuple(map(normalized, table["packages"]))
            return cls(**table, required=tuple(project["project"].get("dependencies", ())))
        except (OSError, KeyError, TypeError, ValueError) as error:
            sys.exit(f"[tool.private-index] in pyproject.toml is not as it should be: {error}")

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
