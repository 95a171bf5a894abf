"""Poetry, uv and twine, as a publisher runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from kit.user import User


class Publish(Protocol):
    """Publishes what a project has built, as an account; returns what the client printed."""

    def __call__(
        self, user: User, project: Path, url: str, account: str, password: str, ok: bool
    ) -> str: ...


def with_poetry(
    user: User, project: Path, url: str, account: str, password: str, ok: bool, *flags: str
) -> str:
    return user.run(
        "poetry",
        "publish",
        "--repository",
        "private",
        *flags,
        folder=project,
        ok=ok,
        POETRY_REPOSITORIES_PRIVATE_URL=url,
        POETRY_HTTP_BASIC_PRIVATE_USERNAME=account,
        POETRY_HTTP_BASIC_PRIVATE_PASSWORD=password,
    )


def with_uv(
    user: User,
    project: Path,
    url: str,
    account: str,
    password: str,
    ok: bool,
    **settings: str,
) -> str:
    return user.run(
        "uv",
        "publish",
        "--publish-url",
        url,
        folder=project,
        ok=ok,
        UV_PUBLISH_USERNAME=account,
        UV_PUBLISH_PASSWORD=password,
        **settings,
    )


def with_twine(
    user: User, project: Path, url: str, account: str, password: str, ok: bool, *flags: str
) -> str:
    return user.run(
        "twine",
        "upload",
        "--non-interactive",
        "--disable-progress-bar",
        *flags,
        *sorted((project / "dist").iterdir()),
        ok=ok,
        TWINE_REPOSITORY_URL=url,
        TWINE_USERNAME=account,
        TWINE_PASSWORD=password,
    )
