"""The command line of the index: `python -m private_pypi`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from . import gateway, health, ownership, preflight, user_commands
from .accounts import AccountError
from .audit import as_lines, audit
from .certificate import CertificateError, copy_pair
from .change import NoSuchReleaseError
from .health import HealthError
from .index import Index
from .journal import ReasonError
from .layout import provenance
from .ownership import OwnershipError
from .settings import SettingError, Settings
from .statuses import EFFECTS, StatusError
from .terminal import guarded
from .trust import commands as trust_commands
from .trust import issuers
from .verify import differences

MIRROR = Path(__file__).with_name("public")
"""The folder that is rendered with unknown_packages=mirror alone."""


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
        # The program that read it has ended. Python would complain once more at its own end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (
        AccountError,
        CertificateError,
        HealthError,
        NoSuchReleaseError,
        OwnershipError,
        ReasonError,
        SettingError,
        StatusError,
        OSError,
        sqlite3.Error,
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def run_serve(settings: Settings, _: argparse.Namespace) -> None:
    """Become gunicorn, which serves until it is stopped."""
    if not settings.data.is_dir():
        raise SettingError(
            f"there is no folder {settings.data} for the distributions: create it, or set"
            " PYPI_DATA to the one that holds them"
        )
    preflight.require_gateway(settings)
    if not settings.socket:
        preflight.require_free(settings.host, settings.port)
    configuration = Path(__file__).with_name("gunicorn_conf.py")
    command = [sys.executable, "-m", "gunicorn", "--config", str(configuration)]
    os.execv(sys.executable, command)


def run_check(settings: Settings, _: argparse.Namespace) -> None:
    """Refuse to launch with accounts or a disk that would not work; warn of what is doubtful."""
    for warning in preflight.check(settings):
        print(f"warning: {warning}", file=sys.stderr)


def run_follow(settings: Settings, options: argparse.Namespace) -> None:
    """Give the gateway the accounts, now and whenever they change."""
    if not settings.gateway:
        raise SettingError("PYPI_GATEWAY is not set: it names the gateway's folder of accounts")
    if options.once:
        preflight.require_place_for_accounts(settings.gateway, "gateway/accounts")
        gateway.write(settings.auth, settings.gateway)
        # For launch.sh, which starts the container `keys` if there are any.
        print(*issuers.listed(settings.gateway / issuers.FOLDER), sep="\n", end="")
        return
    # Without an init, a container's first process gets no signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    gateway.follow(settings.auth, settings.gateway, settings.uses)


def run_certificate(_: Settings, options: argparse.Namespace) -> None:
    """Copy a certificate and its key, unless clients would refuse it; warn if it soon expires."""
    warning = copy_pair(options.folder, options.host, options.copy)
    if warning:
        print(f"warning: {warning}", file=sys.stderr)


def run_health(settings: Settings, _: argparse.Namespace) -> None:
    """Ask the running index whether it works."""
    health.ask(settings)


def run_web(settings: Settings, options: argparse.Namespace) -> None:
    """Write the pages for people, now and whenever something changes."""
    from .web import differences, writer  # What they import would slow down all other commands.

    if options.verify:
        _refuse(differences.differences(settings))
    elif options.once:
        writer.write_all(settings, _progress)
    elif options.project:
        writer.write_project(settings, canonicalize_name(options.project))
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        # Ctrl-C reaches this process, too: it ends with the one that started it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.nice(10)
        writer.follow(settings, options.parent)


def run_public(_: Settings, options: argparse.Namespace) -> None:
    """Run the mirror of PyPI, or ask the running one."""
    from .public import commands

    commands.run(options)


def run_ours(settings: Settings, options: argparse.Namespace) -> None:
    """Tell our names from those in a file, a name or a list that is given."""
    from . import ours

    ours.run(settings, options)


def run_own(_: Settings, options: argparse.Namespace) -> None:
    """Give folders and all that lies in them to the user of the containers."""
    ownership.give(options.folders, options.user, options.group)


def run_yank(settings: Settings, options: argparse.Namespace) -> None:
    """Hide a version from resolvers; exact pins still get it."""
    _report("yanked", _index(settings).yank(*_release(options), options.reason, by=_by()))


def run_unyank(settings: Settings, options: argparse.Namespace) -> None:
    """Take a yank back."""
    _report("no longer yanked", _index(settings).unyank(*_release(options), by=_by()))


def run_mark(settings: Settings, options: argparse.Namespace) -> None:
    """Give a project a status: active, archived, deprecated or quarantined."""
    index = _index(settings)
    name = index.mark(options.project, options.status, options.reason, by=_by())
    print(f"{name} is {options.status}: {EFFECTS[options.status]}.")


def run_remove(settings: Settings, options: argparse.Namespace) -> None:
    """Delete a version for good."""
    index = _index(settings)
    files = index.release(*_release(options))
    if not options.yes:
        if not sys.stdin.isatty():
            raise SettingError("say YES=1 to remove without being asked")
        print("\n".join(files))
        if not _confirmed("Remove for good files that others may have pinned?"):
            raise SettingError("nothing was removed")
    _report("removed", index.remove(*_release(options), by=_by()))


def run_index(settings: Settings, _: argparse.Namespace) -> None:
    """Make the index anew from the distributions, while it is served."""
    index = _index(settings)
    began = time.monotonic()
    index.refresh(reread=True, progress=_progress)
    distributions, projects = index.counts()
    took = time.monotonic() - began
    print(f"{distributions} distributions of {projects} projects, in {took:.1f} s")


def run_verify(settings: Settings, _: argparse.Namespace) -> None:
    """Read every distribution again and compare it with the index."""
    _refuse(differences(settings.data, settings.index, _progress))
    print(f"{_index(settings).counts()[0]} distributions are what was published")


def run_audit(settings: Settings, options: argparse.Namespace) -> None:
    """Print who published, yanked, removed or marked what, and which tokens were refused."""
    lines, complaints = audit(settings.data, settings.index, options.project)
    for line in lines:
        print(line)
    for complaint in complaints:
        print(f"error: {complaint}", file=sys.stderr)


def run_provenance(settings: Settings, options: argparse.Namespace) -> None:
    """Print the attestations of a project's files, one JSON object a line, to be verified."""
    listed = _index(settings).listed(canonicalize_name(options.project))
    if not listed:
        raise NoSuchReleaseError(f"this index has no project {options.project}")
    for one in listed:
        kept = provenance(settings.data / one.location).read_bytes() if one.attested else b"null"
        file = {"file": one.file, "sha256": one.sha256, "provenance": json.loads(kept)}
        print(json.dumps(file))


def run_journal_repair(settings: Settings, options: argparse.Namespace) -> None:
    """Say how the journal is damaged, and write it anew with all lines that are known."""
    index = _index(settings)
    problem, breaks, lost = index.examine_journal()
    if not problem:
        print("The journal is whole.")
        return
    print(f"{problem.partition(':')[0]}.")
    for number in breaks:
        print(f"Line {number} does not follow the lines before it: some were lost or changed.")
    if lost:
        print("The journal lacks these lines, which pypi_index has:")
        print("\n".join(f"  {line}" for line in as_lines(lost)))
    if breaks and not lost:
        print(
            "pypi_index does not have the lost lines either. If you have a backup of pypi_data from"
        )
        print("before the damage, put its .journal.jsonl in place first: no newer line is lost.")
    if not options.yes:
        if not sys.stdin.isatty():
            raise SettingError("say YES=1 to repair without being asked")
        if not _confirmed("Write the journal anew with all lines that are known?"):
            raise SettingError("nothing was changed")
    kept = index.repair_journal(by=_by())
    where = f" The damaged one is pypi_data/{kept.name}." if kept else ""
    print(f"The journal is whole again.{where}")


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


def _report(change: str, files: list[str]) -> None:
    for file in files:
        print(f"{file} is {change}.")


def _refuse(differences: Iterable[str]) -> None:
    """Print all differences, and fail if there are any."""
    count = 0
    for difference in differences:
        print(difference)
        count += 1
    if count:
        raise SettingError(
            f"{count} differences, see above" if count > 1 else "one difference, see above"
        )


def _progress(done: int, total: int) -> None:
    """Draw a bar on a terminal."""
    if sys.stderr.isatty():
        bar = "#" * (40 * done // total)
        end = "\n" if done == total else ""
        # Not by the stream, which would spell out the return to the start of the line.
        os.write(sys.stderr.fileno(), f"\r[{bar:40}] {done} of {total} {end}".encode())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="private_pypi", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    _add(commands, "serve", run_serve)
    _add(commands, "check", run_check)
    _add(commands, "health", run_health)
    web = _add(commands, "web", run_web)
    web.add_argument("--parent", type=int)
    web.add_argument("--once", action="store_true")
    web.add_argument("--project", default="")
    web.add_argument("--verify", action="store_true")
    if MIRROR.is_dir():
        _add_mirror(commands)
    _add(commands, "index", run_index)
    _add(commands, "verify", run_verify)
    _add(commands, "follow", run_follow).add_argument("--once", action="store_true")
    _add(commands, "audit", run_audit).add_argument("--project", default="")
    _add(commands, "provenance", run_provenance).add_argument("project")
    repair = _add(commands, "journal-repair", run_journal_repair)
    repair.add_argument("--yes", action="store_true")
    for name, command in (("yank", run_yank), ("unyank", run_unyank), ("remove", run_remove)):
        subparser = _add(commands, name, command)
        subparser.add_argument("project")
        subparser.add_argument("version")
        if command is run_yank:
            subparser.add_argument("--reason", default="")
        if command is run_remove:
            subparser.add_argument("--yes", action="store_true")
    mark = _add(commands, "mark", run_mark)
    mark.add_argument("project")
    mark.add_argument("status")
    mark.add_argument("--reason", default="")
    subparser = _add(commands, "certificate", run_certificate)
    subparser.add_argument("folder", type=Path)
    subparser.add_argument("host")
    subparser.add_argument("copy", type=Path)
    subparser = _add(commands, "own", run_own)
    subparser.add_argument("user", type=int)
    subparser.add_argument("group", type=int)
    subparser.add_argument("folders", type=Path, nargs="+")
    user_commands.add_to(commands)
    trust_commands.add_to(commands)
    return parser


def _add_mirror(commands: Any) -> None:
    public = commands.add_parser("public", help=run_public.__doc__)
    actions = public.add_subparsers(required=True, metavar="ACTION", dest="action")
    for name in ("serve", "fetch", "names"):
        _add(actions, name, run_public)
    _add(actions, "policy", run_public).add_argument("project")
    _add(commands, "public-requirements", run_ours).add_argument("file")
    _add(commands, "public-name", run_ours).add_argument("name")
    _add(commands, "names-on-pypi", run_ours)


def _add(commands: Any, name: str, action: object) -> argparse.ArgumentParser:
    subparser: argparse.ArgumentParser = commands.add_parser(name, help=action.__doc__)
    subparser.set_defaults(run=action)
    return subparser


if __name__ == "__main__":
    sys.exit(main())
