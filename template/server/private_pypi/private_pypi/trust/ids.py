"""The ids of a repository, which stay the same whatever its name becomes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from . import documents
from .documents import DocumentError, NotFoundError
from .publishers import IDS, is_github

GITHUB_API = "https://api.github.com"


@dataclass(frozen=True)
class Ids:
    """A repository as its issuer knows it.

    Attributes:
        repository: its name, in the issuer's spelling.
        repository_id: of the repository; GitLab calls it project.
        owner_id: of its owner; GitLab calls it namespace.
    """

    repository: str
    repository_id: str
    owner_id: str

    def to_json(self) -> dict[str, str]:
        """Return what the container with a network hands over to the one without."""
        return asdict(self)


async def look_up(issuer: str, repository: str) -> Ids:
    """Ask GitHub or GitLab for the ids of a public repository, without an account.

    Args:
        issuer: URL of GitHub's issuer, or of a GitLab.
        repository: its name there; its characters are not looked at.

    Raises:
        DocumentError: saying how else to get the ids.
    """
    try:
        async with documents.client() as opened:
            if is_github(issuer):
                url = f"{_github_api(issuer)}/repos/{quote(repository)}"
                told = await documents.fetch(opened, url)
                return _ids(told, "full_name", "owner")
            url = f"{issuer.rstrip('/')}/api/v4/projects/{quote(repository, safe='')}"
            return _ids(await documents.fetch(opened, url), "path_with_namespace", "namespace")
    except NotFoundError as error:
        raise DocumentError(
            f"{error}: there is no such repository, or it is not public."
            f" {_remedy(issuer, repository)}"
        ) from None
    except DocumentError as error:
        raise DocumentError(f"{error}. {_remedy(issuer, repository)}") from None


def _github_api(issuer: str) -> str:
    host = issuer.removesuffix("/_services/token")
    return GITHUB_API if host == issuer else f"{host}/api/v3"


def _ids(told: Any, name: str, owner: str) -> Ids:
    try:
        found = told[name], told["id"], told[owner]["id"]
    except (KeyError, TypeError):
        raise DocumentError("the answer has no ids") from None
    if not isinstance(found[0], str) or any(type(one) is not int or one < 0 for one in found[1:]):
        raise DocumentError("the answer has no ids")
    return Ids(found[0], *map(str, found[1:]))


def _remedy(issuer: str, repository: str) -> str:
    # Both programs ask the public service, unless they are told another host.
    host = "" if issuer in IDS else f"--hostname {urlsplit(issuer).netloc} "
    if is_github(issuer):
        how = f"gh api {host}repos/{repository} --jq '.id, .owner.id' prints both ids"
    else:
        path = f"projects/{quote(repository, safe='')}"
        how = f"glab api {host}{path} prints both, as id and namespace.id"
    return (
        f"For a private repository, {how}: run the same command with REPOSITORY_ID=... OWNER_ID=..."
        " behind it"
    )
