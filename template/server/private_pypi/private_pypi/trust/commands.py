"""The commands of trusted publishing: `python -m private_pypi trust ACTION`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import re
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from .. import gateway, preflight, rights
from ..rights import RightsError
from ..settings import SettingError, Settings
from ..terminal import aligned, printable, quoted
from . import issuers, publishers
from .publishers import GITHUB, GITLAB, LONGEST, Publisher, PublishersError

_GITHUB_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_GITLAB_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*){1,20}")
_WORKFLOW = re.compile(r"[^/@*\s]+\.ya?ml")
_CONFIGURATION = re.compile(r"(?!/)[^@*\s]+\.ya?ml")
_FOLDER = ".github/workflows/"


def add_to(commands: Any) -> None:
    """Add these commands to the parsers of a command line."""
    trust = commands.add_parser("trust", help="Say which CI jobs may publish.")
    actions = trust.add_subparsers(required=True, metavar="ACTION")
    add = _add(actions, "add", run_add)
    for name in ("issuer", "repository", "workflow", "environment", "subject", "projects", "name"):
        add.add_argument(f"--{name}", default="")
    for name in ("repository-id", "owner-id", "found"):
        add.add_argument(f"--{name}", default="")
    _add(actions, "list", run_list)
    _add(actions, "remove", run_remove).add_argument("name")
    ids = _add(actions, "ids", run_ids)
    ids.add_argument("issuer")
    ids.add_argument("repository")
    ids.add_argument("--workflow", default="")
    _add(actions, "fetch-keys", run_fetch_keys).add_argument("--follow", action="store_true")


def run_add(settings: Settings, options: argparse.Namespace) -> None:
    """Add a publisher, pinned by the ids of its repository."""
    publisher = _publisher(options)
    preflight.require_place_for_accounts(settings.auth, "pypi_auth")
    publishers.add(settings.auth, publisher)
    _tell_containers(settings)
    print(f"{publisher.name} may publish {', '.join(publisher.projects)}.")
    print(f"A job is this publisher if a token of {publisher.issuer} says:")
    for claim, value in publisher.claims.items():
        print(f"  {claim}: {value}")


def run_list(settings: Settings, _: argparse.Namespace) -> None:
    """Print every publisher: its projects, its issuer and what is pinned."""
    trusted, complaints = publishers.read(settings.auth)
    rows: list[tuple[str, ...]] = [("NAME", "PROJECTS", "ISSUER", "KEYS FETCHED", "PINNED")]
    for one in trusted:
        never = "never" if settings.keys.is_dir() else "unknown"
        known = issuers.fetched(settings.keys, one.issuer) or never
        pinned = " ".join(f"{claim}={value}" for claim, value in one.claims.items())
        shown = (one.name, ",".join(one.projects), one.issuer, known, pinned)
        rows.append(tuple(map(printable, shown)))
    print("\n".join(aligned(rows)))
    for complaint in complaints:
        print(f"error: {complaint}", file=sys.stderr)


def run_remove(settings: Settings, options: argparse.Namespace) -> None:
    """Remove a publisher; passwords that its jobs have now end at once."""
    preflight.require_place_for_accounts(settings.auth, "pypi_auth")
    publishers.remove(settings.auth, options.name)
    _tell_containers(settings)
    print(f"{options.name} is no longer trusted.")


def run_ids(_: Settings, options: argparse.Namespace) -> None:
    """Ask GitHub or GitLab for the ids of a repository, and print them for `add --found`."""
    from . import ids  # What it imports would slow down all other commands.
    from .documents import DocumentError

    issuer = _issuer_of_repository(options)
    # What `add` would refuse is refused before anybody is asked.
    _check_name(issuer, options.repository)
    _workflow(issuer, options.workflow)
    try:
        found = asyncio.run(ids.look_up(issuer, options.repository))
    except DocumentError as error:
        raise SettingError(str(error)) from None
    print(json.dumps(found.to_json()))


def run_fetch_keys(settings: Settings, options: argparse.Namespace) -> None:
    """Fetch the public keys of all issuers, again and again with --follow."""
    from . import fetch  # What it imports would slow down all other commands.

    if not settings.issuers:
        raise SettingError("PYPI_ISSUERS is not set: it names the folder of the list of issuers")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # It would log each request.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(_until_told(fetch.follow(settings.issuers, settings.keys, once=not options.follow)))


async def _until_told(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, or until SIGTERM, which ends connections in order first."""
    task = asyncio.ensure_future(work)
    # sys.exit() in a handler of `signal` would come up within any line, some of which swallow it.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with suppress(asyncio.CancelledError):
        await task


def _publisher(options: argparse.Namespace) -> Publisher:
    issuer = _issuer_of_repository(options) if options.repository else _issuer(options.issuer)
    if not options.projects:
        raise SettingError("say which projects it may publish: PROJECTS=billing,acme-*")
    if options.repository and options.subject:
        raise SettingError("give REPOSITORY= for GitHub and GitLab, or SUBJECT= for another issuer")
    if options.repository:
        name, claims = _of_repository(issuer, options)
    elif options.subject and issuer not in publishers.IDS:
        name = f"{urlsplit(issuer).hostname} {options.subject}"[:LONGEST].strip()
        claims = {"sub": options.subject}
    elif issuer in publishers.IDS:
        raise SettingError("say which repository: REPOSITORY=acme/billing")
    else:
        raise SettingError(
            "say what pins its jobs: REPOSITORY=acme/billing for a GitLab of your own, or SUBJECT="
            " with what the tokens of another issuer have in sub"
        )
    if options.environment:
        name = f"{name} {options.environment}"
        claims["environment"] = options.environment
    try:
        projects = rights.parse_projects(options.projects)
    except RightsError as error:
        raise SettingError(str(error)) from None
    return Publisher(options.name or name, issuer, projects, claims)


def _of_repository(issuer: str, options: argparse.Namespace) -> tuple[str, dict[str, str]]:
    """Return a name, and the claims by which GitHub or GitLab name a repository and its file."""
    _check_name(issuer, options.repository)
    workflow = _workflow(issuer, options.workflow)
    repository, repository_id, owner_id = _ids(options)
    if publishers.is_github(issuer):
        return f"{repository} {workflow}", {
            "repository": repository,
            "repository_id": repository_id,
            "repository_owner_id": owner_id,
            "job_workflow_ref": f"{repository}/{_FOLDER}{workflow}@*",
        }
    return f"{repository} {workflow}", {
        "project_path": repository,
        "project_id": repository_id,
        "namespace_id": owner_id,
        "ci_config_ref_uri": f"{urlsplit(issuer).netloc}{urlsplit(issuer).path}/"
        f"{repository}//{workflow}@*",
        # Without it, whoever may push a branch could change that file there, and publish.
        "ref_protected": "true",
    }


def _check_name(issuer: str, repository: str) -> None:
    """Refuse what cannot be the name of a repository."""
    if publishers.is_github(issuer):
        if not _GITHUB_NAME.fullmatch(repository):
            raise SettingError(
                f"REPOSITORY={quoted(repository)} is no repository: write OWNER/NAME, such as"
                " acme/billing"
            )
    elif not _GITLAB_NAME.fullmatch(repository) or len(repository) > 300:
        raise SettingError(
            f"REPOSITORY={quoted(repository)} is no project: write GROUP/NAME with all subgroups,"
            " such as acme/billing"
        )


def _workflow(issuer: str, workflow: str) -> str:
    """Return the file whose jobs are meant, as the tokens of an issuer name it."""
    if publishers.is_github(issuer):
        workflow = workflow.removeprefix(_FOLDER)
        if not _WORKFLOW.fullmatch(workflow):
            raise SettingError(
                f"WORKFLOW={quoted(workflow)} is no file in {_FOLDER}: write its name, such as"
                " WORKFLOW=publish.yml"
            )
        return workflow
    workflow = workflow or ".gitlab-ci.yml"
    if not _CONFIGURATION.fullmatch(workflow):
        raise SettingError(
            f"WORKFLOW={quoted(workflow)} is no file of the repository: leave it out for"
            " .gitlab-ci.yml"
        )
    return workflow


def _ids(options: argparse.Namespace) -> tuple[str, str, str]:
    """Return the name and the two ids of a repository, as they were found or given."""
    if not options.found:
        if not options.repository_id or not options.owner_id:
            raise SettingError(
                "give REPOSITORY_ID= and OWNER_ID= both, or neither: then they are looked up"
            )
        return options.repository, options.repository_id, options.owner_id
    try:
        told = json.loads(options.found)
        found = told["repository"], told["repository_id"], told["owner_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        found = ("", "", "")
    if not all(isinstance(one, str) for one in found):
        found = ("", "", "")
    # It comes from the network: another repository than the one that was asked for is not trusted.
    if found[0].lower() != options.repository.lower():
        raise SettingError(
            f"{quoted(options.repository)} was asked for, and the ids of {quoted(found[0])} came:"
            " use the name that it has now, or give REPOSITORY_ID= and OWNER_ID="
        )
    return found


def _issuer_of_repository(options: argparse.Namespace) -> str:
    # Neither GitHub nor a GitLab ends its iss with a slash. Another issuer may.
    return _issuer(options.issuer).rstrip("/")


def _issuer(text: str) -> str:
    # GitHub's tokens do not have its address in iss, as GitLab's have theirs.
    known = {"github": GITHUB, "https://github.com": GITHUB, "gitlab": GITLAB}
    issuer = known.get(text.lower().rstrip("/"), text)
    if not publishers.is_issuer(issuer):
        raise SettingError(
            f"ISSUER={quoted(text)} is no issuer: write github, gitlab, or the URL that its tokens"
            " have in iss, such as https://gitlab.acme.com"
        )
    return issuer


def _tell_containers(settings: Settings) -> None:
    if settings.gateway:
        gateway.write(settings.auth, settings.gateway)


def _add(
    actions: Any, name: str, action: Callable[[Settings, argparse.Namespace], None]
) -> argparse.ArgumentParser:
    def run(settings: Settings, options: argparse.Namespace) -> None:
        try:
            action(settings, options)
        except PublishersError as error:
            raise SettingError(str(error)) from None

    parser: argparse.ArgumentParser = actions.add_parser(name, help=action.__doc__)
    parser.set_defaults(run=run)
    return parser
