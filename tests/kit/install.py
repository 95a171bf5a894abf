"""pip, uv and Poetry, as a reader runs them to install."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from kit.template import PASSWORD
from kit.user import User

OURS = {"my-private-lib": "0.2.0 from us", "public-lib": "1.2.3 from the public index"}


class Install(Protocol):
    """Installs requirements into an environment as bob; returns what the client printed."""

    def __call__(
        self,
        user: User,
        venv: Path,
        url: str,
        *requirements: str,
        password: str = PASSWORD,
        ok: bool = True,
    ) -> str: ...


def as_bob(url: str, password: str = PASSWORD) -> str:
    """Return a URL with bob's login, as it stands in `.pypi.env`, the password percent-encoded."""
    return url.replace("://", f"://bob:{quote(password, safe='')}@")


def with_pip(
    user: User, venv: Path, url: str, *requirements: str, password: str = PASSWORD, ok: bool = True
) -> str:
    command = ["pip", "--python", str(venv), "install", *requirements]
    index = as_bob(url, password)
    return user.run(*command, ok=ok, PIP_INDEX_URL=index, PIP_RETRIES="0")


def with_uv(
    user: User, venv: Path, url: str, *requirements: str, password: str = PASSWORD, ok: bool = True
) -> str:
    command = ["uv", "pip", "install", "--python", str(venv), *requirements]
    index = as_bob(url, password)
    return user.run(*command, ok=ok, UV_DEFAULT_INDEX=index, UV_HTTP_RETRIES="0")


def with_poetry(
    user: User, venv: Path, url: str, *requirements: str, password: str = PASSWORD, ok: bool = True
) -> str:
    project = poetry_project(user, url, *requirements)
    account = poetry_account(password)
    return user.run("poetry", "update", folder=project, ok=ok, VIRTUAL_ENV=str(venv), **account)


def poetry_account(password: str = PASSWORD) -> dict[str, Any]:
    """Return the variables by which Poetry logs in as bob."""
    return {
        "POETRY_HTTP_BASIC_PRIVATE_USERNAME": "bob",
        "POETRY_HTTP_BASIC_PRIVATE_PASSWORD": password,
    }


def poetry_project(user: User, url: str, *requirements: str) -> Path:
    """Make a project that takes everything from an index; return its folder."""
    project = user.home / "project"
    project.mkdir(exist_ok=True)
    (project / "pyproject.toml").write_text(
        '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.9"\n'
        f"dependencies = {list(requirements)}\n\n[tool.poetry]\npackage-mode = false\n\n"
        f'[[tool.poetry.source]]\nname = "private"\nurl = "{url}"\npriority = "primary"\n'
    )
    return project
