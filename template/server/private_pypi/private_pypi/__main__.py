"""The command line of the index: `python -m private_pypi`."""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import socket
import sqlite3
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from . import accounts, database, filesystem, gateway, ownership
from .accounts import AccountError
from .audit import as_lines
from .audit import audit as audited
from .certificate import CertificateError, copy_pair
from .change import NoSuchReleaseError
from .index import Index
from .layout import UPLOADS
from .ownership import OwnershipError
from .settings import SettingError, Settings
from .terminal import guarded, printable
from .verify import differences


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code, 1 with a sentence on standard error if it failed."""
    options = _parser().parse_args(arguments)
    with redirect_stdout(guarded(sys.stdout)), redirect_stderr(guarded(sys.stderr)):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        options.run(Settings.from_environment(), options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it has seen enough; Python would say so once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (
        AccountError,
        CertificateError,
        NoSuchReleaseError,
        OwnershipError,
        SettingError,
        OSError,
        sqlite3.Error,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def serve(settings: Settings, _: argparse.Namespace) -> None:
    """Become gunicorn, which serves until it is stopped."""
    if not settings.data.is_dir():
        raise SettingError(
            f"there is no folder {settings.data} for the distributions: create it, or set"
            " PYPI_DATA to the one that holds them"
        )
    if not settings.socket:
        _require_free(settings.host, settings.port)
    configuration = Path(__file__).with_name("gunicorn_conf.py")
    command = [sys.executable, "-m", "gunicorn", "--config", str(configuration)]
    os.execv(sys.executable, command)


def check(settings: Settings, _: argparse.Namespace) -> None:
    """Refuse to launch with accounts or a disk that would not work; warn of a damaged journal."""
    known, complaints = accounts.read(settings.auth)
    if complaints:
        raise AccountError("\nerror: ".join(complaints))
    if not known:
        raise AccountError(
            "there is no account yet: run make pypi-user-add USER=admin ROLE=publisher"
        )
    settings.index.mkdir(exist_ok=True)
    for folder in (settings.data, settings.index):
        _require_writable(folder)
    arrives = settings.data / UPLOADS
    try:
        arrives.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        raise SettingError(f"{arrives} is no folder where uploads can arrive: delete it") from None
    _require_writable(arrives)
    _require_disk(
        *filesystem.complaints(
            settings.data,
            "pypi_data",
            *(
                filesystem.hard_links(arrives),
                filesystem.LOCKS,
                filesystem.SYNC,
                filesystem.MODES,
                filesystem.CHANGES,
            ),
        ),
        *filesystem.complaints(
            settings.index,
            "pypi_index",
            *(filesystem.SYMBOLIC_LINKS, filesystem.REPLACE, filesystem.SHARED_MEMORY),
        ),
    )
    _warn_of_journal(settings)


def follow(settings: Settings, options: argparse.Namespace) -> None:
    """Give the gateway the accounts, now and whenever they change."""
    if not settings.gateway:
        raise SettingError("PYPI_GATEWAY is not set: it names the gateway's folder of accounts")
    if options.once:
        _require_disk_for_accounts(settings.gateway, "gateway/accounts")
        gateway.write(settings.auth, settings.gateway)
        return
    # A container's first process gets no signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    gateway.follow(settings.auth, settings.gateway)


def certificate(_: Settings, options: argparse.Namespace) -> None:
    """Copy a certificate and its key, unless clients would refuse it; warn if it soon expires."""
    warning = copy_pair(options.folder, options.host, options.copy)
    if warning:
        print(f"warning: {warning}", file=sys.stderr)


def health(settings: Settings, _: argparse.Namespace) -> None:
    """Ask the running index whether it works."""
    place = settings.socket or f"port {settings.port}"
    connection = http.client.HTTPConnection("127.0.0.1", settings.port, timeout=4)
    try:
        if settings.socket:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(4)
            connection.sock.connect(str(settings.socket))
        connection.request("GET", "/health")
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace").strip()
    except http.client.HTTPException:
        raise SettingError(f"what listens on {place} is not the index") from None
    except OSError as error:
        raise SettingError(f"nothing answers on {place} ({error.strerror or error})") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise SettingError(said)


def own(_: Settings, options: argparse.Namespace) -> None:
    """Give folders, and all that lies in them, to the user of the containers."""
    ownership.give(options.folders, options.user, options.group)


def yank(settings: Settings, options: argparse.Namespace) -> None:
    """Mark a version as not to be chosen any more; who pins it still gets it."""
    _tell("yanked", _index(settings).yank(*_release(options), options.reason, by=_by()))


def unyank(settings: Settings, options: argparse.Namespace) -> None:
    """Take a yank back."""
    _tell("no longer yanked", _index(settings).unyank(*_release(options), by=_by()))


def remove(settings: Settings, options: argparse.Namespace) -> None:
    """Delete a version for good."""
    index = _index(settings)
    files = index.release(*_release(options))
    if not options.yes:
        if not sys.stdin.isatty():
            raise SettingError("say YES=1 to remove without being asked")
        print("\n".join(files))
        if not _confirmed("Remove for good what others may have pinned?"):
            raise SettingError("nothing was removed")
    _tell("removed", index.remove(*_release(options), by=_by()))


def index(settings: Settings, _: argparse.Namespace) -> None:
    """Make the index anew from the distributions, while it is served."""
    made = _index(settings)
    began = time.monotonic()
    made.refresh(reread=True, progress=_progress)
    distributions, projects = made.counts()
    took = time.monotonic() - began
    print(f"{distributions} distributions of {projects} projects, in {took:.1f} s")


def verify(settings: Settings, _: argparse.Namespace) -> None:
    """Read every distribution again and compare it with the index."""
    count = 0
    for difference in differences(settings.data, settings.index, _progress):
        print(difference)
        count += 1
    if count:
        raise SettingError(
            f"{count} differences, see above" if count > 1 else "one difference, see above"
        )
    print(f"{_index(settings).counts()[0]} distributions are what was published")


def audit(settings: Settings, options: argparse.Namespace) -> None:
    """Print who published, yanked or removed what and when, from the journal."""
    lines, complaints = audited(settings.data, options.project)
    for line in lines:
        print(line)
    for complaint in complaints:
        print(f"error: {complaint}", file=sys.stderr)


def journal_repair(settings: Settings, options: argparse.Namespace) -> None:
    """Say what is wrong with the journal, and write it anew with all lines that are known."""
    index = _index(settings)
    problem, breaks, lost = index.examine_journal()
    if not problem:
        print("The journal is whole.")
        return
    print(f"{problem.partition(':')[0]}.")
    for number in breaks:
        print(f"Line {number} does not follow the lines before it: some were lost or changed.")
    if lost:
        print("These lines are missing, and stand in pypi_index:")
        print("\n".join(f"  {line}" for line in as_lines(lost)))
    if breaks and not lost:
        print("pypi_index does not know what stood there. With a backup of pypi_data that is older")
        print("than the damage, put its .journal.jsonl in place first: nothing newer is forgotten.")
    if not options.yes:
        if not sys.stdin.isatty():
            raise SettingError("say YES=1 to repair without being asked")
        if not _confirmed("Write the journal anew with all lines that are known?"):
            raise SettingError("nothing was changed")
    kept = index.repair_journal(by=_by())
    where = f" The damaged one is pypi_data/{kept.name}." if kept else ""
    print(f"The journal is whole again.{where}")


def user_add(settings: Settings, options: argparse.Namespace) -> None:
    """Add an account and print its password, unless the caller brought one."""
    password = _password(options)
    _require_disk_for_accounts(settings.auth, "pypi_auth")
    accounts.add(
        settings.auth, options.name, options.role, password, generated=not options.password_stdin
    )
    _tell_gateway(settings)
    may = "publish and install" if options.role == "publisher" else "install, not publish"
    print(f"{options.name} may {may}.")
    _show(password, options)


def user_passwd(settings: Settings, options: argparse.Namespace) -> None:
    """Give an account a new password."""
    password = _password(options)
    _require_disk_for_accounts(settings.auth, "pypi_auth")
    accounts.change_password(
        settings.auth, options.name, password, generated=not options.password_stdin
    )
    _tell_gateway(settings)
    print(f"{options.name} has a new password; the old one no longer works.")
    _show(password, options)


def user_remove(settings: Settings, options: argparse.Namespace) -> None:
    """Remove an account."""
    _require_disk_for_accounts(settings.auth, "pypi_auth")
    accounts.remove(settings.auth, options.name)
    _tell_gateway(settings)
    print(f"{options.name} is shut out.")


def user_list(settings: Settings, _: argparse.Namespace) -> None:
    """Print name, role and hash scheme of every account."""
    rows = [("NAME", "ROLE", "HASH")]
    for account in accounts.listed(settings.auth):
        # Spelled out before it is measured: a line made by hand may hold anything.
        rows.append((printable(account.name), account.role, account.scheme))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, role, scheme in rows:
        print(f"{name:{widths[0]}}  {role:{widths[1]}}  {scheme}")
    for complaint in accounts.read(settings.auth)[1]:
        print(f"error: {complaint}", file=sys.stderr)


def _warn_of_journal(settings: Settings) -> None:
    """Say that the journal was damaged; the index can be served all the same."""
    # An older server may still run, whose catalogue must not be made anew under it.
    if not database.is_current(settings.index):
        return
    try:
        problem, _, _ = _index(settings).examine_journal()
    except (OSError, sqlite3.Error):
        return  # A full disk, most likely: the server says so when it writes.
    if problem:
        print(f"warning: {problem}", file=sys.stderr)


def _confirmed(question: str) -> bool:
    try:
        return input(f"{question} [y/N] ").lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        return False


def _index(settings: Settings) -> Index:
    return Index(settings.data, settings.index)


def _release(options: argparse.Namespace) -> tuple[str, str]:
    return options.project, options.version


def _by() -> str:
    return os.environ.get("PYPI_BY") or f"user {os.getuid()}"


def _tell(what: str, files: list[str]) -> None:
    for file in files:
        print(f"{file} is {what}.")


def _progress(done: int, total: int) -> None:
    """Draw a bar on a terminal."""
    if sys.stderr.isatty():
        bar = "#" * (40 * done // total)
        end = "\n" if done == total else ""
        # Past the stream, which would spell out the way back to the start of the line.
        os.write(sys.stderr.fileno(), f"\r[{bar:40}] {done} of {total} {end}".encode())


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


def _require_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK):
        raise SettingError(
            f"{folder} is not writable for user {os.getuid()}: give it to the owner of the"
            " repository with chown"
        )


def _require_disk(*complaints: str) -> None:
    if complaints:
        raise SettingError("\nerror: ".join(complaints))


def _require_disk_for_accounts(folder: Path, name: str) -> None:
    _require_writable(folder)
    needs = (filesystem.LOCKS, filesystem.SYNC, filesystem.REPLACE, filesystem.PRIVATE)
    _require_disk(*filesystem.complaints(folder, name, *needs))


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
    for command in (serve, check, health, index, verify):
        _add(commands, command.__name__, command)
    _add(commands, "follow", follow).add_argument("--once", action="store_true")
    _add(commands, "audit", audit).add_argument("--project", default="")
    repair = _add(commands, "journal-repair", journal_repair)
    repair.add_argument("--yes", action="store_true")
    for release_command in (yank, unyank, remove):
        subparser = _add(commands, release_command.__name__, release_command)
        subparser.add_argument("project")
        subparser.add_argument("version")
        if release_command is yank:
            subparser.add_argument("--reason", default="")
        if release_command is remove:
            subparser.add_argument("--yes", action="store_true")
    subparser = _add(commands, "certificate", certificate)
    subparser.add_argument("folder", type=Path)
    subparser.add_argument("host")
    subparser.add_argument("copy", type=Path)
    subparser = _add(commands, "own", own)
    subparser.add_argument("user", type=int)
    subparser.add_argument("group", type=int)
    subparser.add_argument("folders", type=Path, nargs="+")
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
