"""What an account with rights of its own may not do, in a sentence that says who may."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from packaging.utils import canonicalize_name

from .accounts import Account
from .index import Index
from .layout import distribution_of, project_of
from .terminal import listed

SHOWN = 3
"""Accounts that a sentence names."""

# The look of the pages for people; files of PyPI, of which none has a name that is ours.
_FOR_ALL = re.compile(r"/static/[a-z]+\.(css|js|svg)|/public/.*", re.DOTALL)
_PROJECT = re.compile(r"(/simple|/project)?/([^/]+)(/(feed\.atom)?)?", re.DOTALL)
_OF_ALL = ("simple", "project", "packages", "feed.atom", "projects.html", "search.json")


def of_account(account: Account) -> str:
    """Return why an account may do nothing any more, empty if it may."""
    if not account.rights.has_ended:
        return ""
    return (
        f"The account {account.name} ended on {account.rights.until}: make pypi-user-passwd"
        f" USER={account.name} DAYS=90 on the server gives it more days, and a new password."
    )


def of_upload(account: Account, project: str, everybody: Callable[[], Iterable[Account]]) -> str:
    """Return why a publisher may not publish a project, empty if it may."""
    if account.rights.covers(project):
        return ""
    others = [one for one in everybody() if one.role == "publisher" and one.rights.covers(project)]
    own = listed(account.rights.projects)
    return f"{account.name} may publish {own}, not {project}: {_who(others)}."


def of_read(
    account: Account, path: str, index: Index, everybody: Callable[[], Iterable[Account]]
) -> str:
    """Return why an account may not read what a path leads to, empty if it may.

    Names that are not here are asked elsewhere for every account.

    Args:
        path: decoded, without the query.
    """
    if account.role == "publisher" or not account.rights.projects or _FOR_ALL.fullmatch(path):
        return ""
    project = ""
    if path.startswith("/packages/"):
        project = project_of(distribution_of(path))
    elif (named := _PROJECT.fullmatch(path)) and (named[1] or named[2] not in _OF_ALL):
        project = canonicalize_name(named[2])
        presence = index.presence(project)
        # The page for people of a project outlives its last file.
        if presence == "unknown" or (presence != "here" and named[1] != "/project"):
            return ""
    own = listed(account.rights.projects)
    if not project:
        return f"{account.name} may see {own}, not what belongs to all projects."
    if account.rights.covers(project):
        return ""
    others = [one for one in everybody() if one.role == "publisher" or one.rights.covers(project)]
    return f"{account.name} may install {own}, not {project}: {_who(others)}."


def _who(others: Iterable[Account]) -> str:
    names = [one.name for one in others if not one.rights.has_ended]
    if not names:
        return "no account may"
    more = [f"{len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return f"{listed([*names[:SHOWN], *more])} may"
