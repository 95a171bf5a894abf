"""The commands of the container that reaches PyPI: `python -m private_pypi public ACTION`."""

from __future__ import annotations

import argparse
import sys

from ..settings import SettingError
from . import handover, requirements
from .settings import PublicSettings


def run(options: argparse.Namespace) -> None:
    """Run the action that the options name.

    Raises:
        SettingError: if it failed; what it did until then is printed.
    """
    public = PublicSettings.from_environment()
    if options.action == "serve":
        from .server import serve  # What it imports would slow down all other actions.

        serve(public)
    elif options.action == "names":
        _names(public)
    elif options.action == "policy":
        _policy(public, options.project)
    else:
        _fetch(public)


def _names(public: PublicSettings) -> None:
    from . import listing

    for name in listing.names(public):
        print(name)
    print(handover.END)


def _policy(public: PublicSettings, name: str) -> None:
    from . import fetch

    print(fetch.explained(public, name).rstrip("\n"))


def _fetch(public: PublicSettings) -> None:
    """Fetch what the lines of public-requirements on standard input name."""
    from . import fetch

    lines = handover.whole(sys.stdin, "public-requirements")
    # All of them before the first request: half a list is a mistake.
    wanted = [requirements.loaded(line) for line in lines]
    files = size = 0
    projects, problems = set(), list[str]()
    for result in fetch.fetch(public, wanted):
        files += len(result.paths)
        size += result.size
        projects.add(result.project)
        problems += [f"{result.project}: {problem}." for problem in result.problems]
        print(f"{result.project}: {_counted(len(result.paths))}, {result.size / 1e6:.1f} MB")
    print(f"{_counted(files)} of {len(projects)} projects, {size / 1e6:.1f} MB")
    for problem in problems:
        print(problem)
    if problems:
        count = "one is" if len(problems) == 1 else f"{len(problems)} are"
        raise SettingError(f"not everything can be installed from the mirror: {count} named above")


def _counted(files: int) -> str:
    return "one file" if files == 1 else f"{files} files"
