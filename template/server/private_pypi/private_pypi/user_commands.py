"""The commands that add, change, remove and list accounts: `python -m private_pypi user`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from . import accounts, gateway, last_use, preflight
from .accounts import AccountError
from .rights import Rights, RightsError, in_days, parse_projects
from .settings import Settings
from .terminal import aligned, printable


def add_to(commands: Any) -> None:
    """Add these commands to the parsers of a command line."""
    user = commands.add_parser("user", help="Add, change, remove or list accounts.")
    actions = user.add_subparsers(required=True, metavar="ACTION")
    for name, action in (
        ("add", run_add),
        ("passwd", run_passwd),
        ("remove", run_remove),
        ("list", run_list),
    ):
        parser = actions.add_parser(name, help=action.__doc__)
        parser.set_defaults(run=action)
        if action is not run_list:
            parser.add_argument("name")
        if action in (run_add, run_passwd):
            parser.add_argument("--password-stdin", action="store_true")
            parser.add_argument("--days")
        if action is run_add:
            parser.add_argument("--role", default="reader")
            parser.add_argument("--projects")


def run_add(settings: Settings, options: argparse.Namespace) -> None:
    """Add an account; generate and print its password, unless a chosen one is given."""
    given = _rights(options)
    password = _password(options)
    preflight.require_place_for_accounts(settings.auth, "pypi_auth")
    rights = accounts.add(
        settings.auth,
        options.name,
        options.role,
        password,
        generated=not options.password_stdin,
        rights=given,
    )
    _tell_gateway(settings)
    print(f"{options.name} may {_may(options.role, rights)}.")
    if rights.until:
        # A line that was written beforehand may say a day of the past.
        print(f"Its last day is {rights.until}{', which has passed' if rights.has_ended else ''}.")
    _show(password, options)


def run_passwd(settings: Settings, options: argparse.Namespace) -> None:
    """Give an account a new password."""
    until = _rights(options).until
    password = _password(options)
    preflight.require_place_for_accounts(settings.auth, "pypi_auth")
    rights = accounts.change_password(
        settings.auth,
        options.name,
        password,
        generated=not options.password_stdin,
        until=until,
    )
    _tell_gateway(settings)
    print(f"{options.name} has a new password; the old one no longer works.")
    if until:
        print(f"Its last day is {until}.")
    elif rights.has_ended:
        print(
            f"It ended on {rights.until}: run make pypi-user-passwd USER={options.name} DAYS=90 to"
            " give it more days."
        )
    _show(password, options)


def run_remove(settings: Settings, options: argparse.Namespace) -> None:
    """Remove an account."""
    preflight.require_place_for_accounts(settings.auth, "pypi_auth")
    accounts.remove(settings.auth, options.name)
    _tell_gateway(settings)
    print(f"{options.name} is shut out.")


def run_list(settings: Settings, _: argparse.Namespace) -> None:
    """Print every account: its role, hash scheme, projects, last day and last use."""
    valid, complaints = accounts.read(settings.auth)
    used, since = last_use.read(settings.gateway)
    never = f"not since {since}" if since else "unknown"
    rows = [("NAME", "ROLE", "HASH", "PROJECTS", "UNTIL", "LAST USE")]
    for account in accounts.listed(settings.auth):
        rights = account.rights
        rows.append(
            (
                # Spelled out before it is measured: a line by hand may hold any character.
                printable(account.name),
                account.role,
                account.scheme,
                (",".join(rights.projects) or "all") if account in valid else "shut out",
                f"{rights.until or '-'}{', ended' if rights.has_ended else ''}",
                str(used.get(account.name, never)),
            )
        )
    print("\n".join(aligned(rows)))
    for complaint in complaints:
        print(f"error: {complaint}", file=sys.stderr)


def _may(role: str, rights: Rights) -> str:
    projects = ", ".join(rights.projects)
    if role == "publisher":
        return (
            f"install, and publish these alone: {projects}" if projects else "publish and install"
        )
    if projects:
        return f"install these alone of the projects here: {projects}"
    return "install, not publish"


def _rights(options: argparse.Namespace) -> Rights:
    projects, days = getattr(options, "projects", None), options.days
    try:
        return Rights(
            () if projects is None else parse_projects(projects),
            None if days is None else in_days(days),
        )
    except RightsError as error:
        raise AccountError(str(error)) from None


def _password(options: argparse.Namespace) -> str:
    if not options.password_stdin:
        return accounts.new_password()
    try:
        return sys.stdin.readline().rstrip("\r\n")
    except UnicodeDecodeError:
        raise AccountError("use printable ASCII characters only in the password") from None


def _show(password: str, options: argparse.Namespace) -> None:
    if not options.password_stdin:
        print(f"password: {password}\nIt is shown this once: store it in your password manager.")


def _tell_gateway(settings: Settings) -> None:
    if settings.gateway:
        gateway.write(settings.auth, settings.gateway)
