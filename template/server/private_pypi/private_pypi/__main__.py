"""The command line of the index: `python -m private_pypi`."""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from . import accounts, gateway
from .accounts import AccountError
from .settings import SettingError, Settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code, 1 with a sentence on standard error if it failed."""
    options = _parser().parse_args(arguments)
    try:
        options.run(Settings.from_environment(), options)
    except (AccountError, SettingError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def serve(settings: Settings, _: argparse.Namespace) -> None:
    """Become gunicorn, which serves until it is stopped."""
    _require_free(settings.host, settings.port)
    configuration = Path(__file__).with_name("gunicorn_conf.py")
    command = [sys.executable, "-m", "gunicorn", "--config", str(configuration)]
    os.execv(sys.executable, command)


def check(settings: Settings, _: argparse.Namespace) -> None:
    """Refuse to launch with accounts that would not work or with none at all."""
    known, complaints = accounts.read(settings.auth)
    if complaints:
        raise AccountError("\nerror: ".join(complaints))
    if not known:
        raise AccountError(
            "there is no account yet: run make pypi-user-add USER=admin ROLE=publisher"
        )
    for folder in filter(None, (settings.data, settings.gateway)):
        if not os.access(folder, os.W_OK):
            raise SettingError(
                f"{folder} is not writable for user {os.getuid()}: give it to the owner of the"
                " repository with chown"
            )
    _tell_gateway(settings)


def health(settings: Settings, _: argparse.Namespace) -> None:
    """Ask the running index whether it works."""
    url = f"http://127.0.0.1:{settings.port}/health"
    # The index never is behind the proxy that the environment may name.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(url, timeout=4).close()
    except urllib.error.HTTPError as error:
        raise SettingError(error.read().decode().strip()) from None
    except http.client.HTTPException:
        raise SettingError(f"what listens on port {settings.port} is not the index") from None


def user_add(settings: Settings, options: argparse.Namespace) -> None:
    """Add an account and print its password, unless the caller brought one."""
    password = _password(options)
    accounts.add(settings.auth, options.name, options.role, password)
    _tell_gateway(settings)
    may = "publish and install" if options.role == "publisher" else "install, not publish"
    print(f"{options.name} may {may}.")
    _show(password, options)


def user_passwd(settings: Settings, options: argparse.Namespace) -> None:
    """Give an account a new password."""
    password = _password(options)
    accounts.change_password(settings.auth, options.name, password)
    _tell_gateway(settings)
    print(f"{options.name} has a new password; the old one no longer works.")
    _show(password, options)


def user_remove(settings: Settings, options: argparse.Namespace) -> None:
    """Remove an account."""
    accounts.remove(settings.auth, options.name)
    _tell_gateway(settings)
    print(f"{options.name} is shut out.")


def user_list(settings: Settings, _: argparse.Namespace) -> None:
    """Print name, role and hash scheme of every account."""
    rows = [("NAME", "ROLE", "HASH")]
    for account in accounts.listed(settings.auth):
        # A line made by hand may hold anything, also what a terminal would act on.
        name = account.name if account.name.isprintable() else ascii(account.name)
        rows.append((name, account.role, account.scheme))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, role, scheme in rows:
        print(f"{name:{widths[0]}}  {role:{widths[1]}}  {scheme}")
    for complaint in accounts.read(settings.auth)[1]:
        print(f"error: {complaint}", file=sys.stderr)


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


def _require_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingError(
                f"cannot listen on port {port} of {host} ({error.strerror}): stop what uses it"
                " or choose another with PORT="
            ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="private_pypi", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (serve, check, health):
        _add(commands, command.__name__, command)
    user = commands.add_parser("user", help="Add, change, remove or list accounts.")
    actions = user.add_subparsers(required=True, metavar="ACTION")
    _add(actions, "list", user_list)
    _add(actions, "remove", user_remove).add_argument("name")
    for name, action in (("add", user_add), ("passwd", user_passwd)):
        subparser = _add(actions, name, action)
        subparser.add_argument("name")
        subparser.add_argument("--password-stdin", action="store_true")
        if action is user_add:
            subparser.add_argument("--role", default="reader")
    return parser


def _add(commands: Any, name: str, action: object) -> argparse.ArgumentParser:
    subparser: argparse.ArgumentParser = commands.add_parser(name, help=action.__doc__)
    subparser.set_defaults(run=action)
    return subparser


if __name__ == "__main__":
    sys.exit(main())
