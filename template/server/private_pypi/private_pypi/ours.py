"""Which names are ours: asked here, where they are known, so that none of them goes to PyPI.

The container that reaches PyPI knows no private name. What it is to fetch passes through here, and
what it fetched about all names is compared here.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from packaging.utils import InvalidName, canonicalize_name

from .index import Index
from .names import Names, is_reserved
from .public import handover, requirements
from .public.settings import default_index
from .settings import SettingError, Settings
from .terminal import printable, quoted

_FEWEST_NAMES = 1000


def run(settings: Settings, options: argparse.Namespace) -> None:
    """Run the command that the options name.

    Raises:
        SettingError: if it failed, or if the answer is a bad one.
    """
    if options.command == "public-requirements":
        filter_requirements(settings, options.file)
    elif options.command == "public-name":
        check_public_name(settings, options.name)
    else:
        compare_with_pypi(settings)


def filter_requirements(settings: Settings, file: str) -> None:
    """Read a requirements or lock file on standard input; print what of it PyPI may be asked for.

    Args:
        file: its name, which tells its format.

    Raises:
        SettingError: if it cannot be read; then nothing is printed.
    """
    name = Path(file).name
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingError(f"{printable(name)} is no text in UTF-8: save it as such") from None
    indexes = (default_index(), f"{settings.url}simple/")
    found = requirements.read(text, name, indexes)
    ours = Ours(settings)
    for remark in found.remarks:
        print(f"{remark}.", file=sys.stderr)
    for project in sorted({wanted.project for wanted in found.wanted if wanted.project in ours}):
        print(f"{project} is ours: it is not fetched from PyPI.", file=sys.stderr)
    if not found.is_complete:
        sentence = f"{printable(name)} is no lock file: what its packages need is fetched only if"
        print(f"{sentence} it names that, too.", file=sys.stderr)
    for wanted in found.wanted:
        if wanted.project not in ours:
            print(requirements.dumped(wanted))
    print(handover.END)


def check_public_name(settings: Settings, name: str) -> None:
    """Print a name, normalised, unless it is ours.

    Raises:
        SettingError: if it is, or is no name.
    """
    try:
        project = canonicalize_name(name, validate=True)
    except InvalidName:
        raise SettingError(f"{quoted(name)} is no name of a package: give one") from None
    if project in Ours(settings):
        raise SettingError(f"{project} is ours: none of its releases comes from PyPI")
    print(project)


def compare_with_pypi(settings: Settings) -> None:
    """Read PyPI's list of names on standard input; print each name of ours that is there.

    Raises:
        SettingError: if there is one, or the list is not whole.
    """
    ours = Ours(settings)
    there, count = set(), 0
    for name in handover.whole(sys.stdin, "public names"):
        count += 1
        # Names on PyPI keep the spelling that their owners chose.
        if (project := canonicalize_name(name)) in ours:
            there.add(project)
    for project in sorted(there):
        print(ours.sentence(project))
    if count < _FEWEST_NAMES:
        raise SettingError(
            f"PyPI's list has only {count} names, so it is not PyPI's: see what `public names` says"
        )
    if there:
        one = len(there) == 1
        raise SettingError(
            f"PyPI has {'a name' if one else f'{len(there)} names'} of yours: a client that asks"
            f" PyPI, too, may get {'it' if one else 'them'} from there"
        )
    also = ", nor any in your prefixes" if settings.private_prefixes else ""
    print(f"None of your {len(ours.listed)} names is among the {count} on PyPI{also}.")


class Ours:
    """The names that PyPI is never asked for: those of the index, and those in our prefixes.

    Raises:
        SettingError: if part of pypi_data cannot be read, which may have any name.
    """

    def __init__(self, settings: Settings) -> None:
        self._prefixes = settings.private_prefixes
        self.listed = _listed(settings)

    def __contains__(self, project: str) -> bool:
        return project in self.listed or is_reserved(project, self._prefixes)

    def sentence(self, project: str) -> str:
        """Return a sentence on a name of ours that PyPI has, too."""
        if project in self.listed:
            return f"{project} is yours, and is on PyPI, too."
        prefix = next(one for one in self._prefixes if is_reserved(project, [one]))
        return f"{project} is on PyPI, and lies in your prefix {prefix}."


def _listed(settings: Settings) -> set[str]:
    """Return all names of the index, those of files that are being copied in included."""
    names = Names(settings.data, settings.index)
    if names.is_settled:
        return names.listed()
    # As long as pypi_data has subfolders, the names are complete, but never settled.
    index = Index(settings.data, settings.index)
    index.refresh()
    if index.unreadable:
        problems = "; ".join(index.unreadable)
        raise SettingError(f"not all names of the index can be known: {problems}: mend that")
    return names.listed() | index.unread
