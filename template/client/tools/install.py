"""Installs with pip, which leaves out releases on PyPI that are younger than the cooldown.

pip has one rule for all packages. So it is called twice: first for the private ones alone, which it
puts into a folder however new they are. Then it installs everything, takes those from there, and
others only if they are old enough. What it needs to build a private sdist it takes without a
cooldown: publish wheels.
"""

import importlib.metadata
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from email.parser import HeaderParser
from pathlib import Path
from tempfile import TemporaryDirectory

from .private import is_exempt
from .settings import Settings, normalized

OLDEST, RECENT = (26, 1), "pip==26.3"
"""The first pip that knows --uploaded-prior-to, and what takes the place of an older one."""

ROUNDS = 10
"""How often what the wheels require of each other may change which ones are needed."""

NAMED = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[([^]]*)\])?(?!.* @ )", re.ASCII)
"""A requirement of an index (PEP 508): its name, and its extras."""

EXTRA = re.compile(r"""extra\s*==\s*["']([^"']*)["']""")
"""The part of a marker that asks for an extra."""


def pip(*arguments: str | Path) -> int:
    """Run pip; return its exit code."""
    # -P: no module of this repository takes the place of one of pip's.
    command = [sys.executable, "-P", "-m", "pip", *arguments]
    return subprocess.run(command, check=False).returncode


def lines(file: Path) -> Iterator[str]:
    """Yield the requirements in a file and in those that it includes."""
    for line in file.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if included := re.match(r"\s*(?:-r|--requirement)[\s=]*(\S+)", line):
            yield from lines(file.parent / included[1])
        else:
            yield re.sub(r"(^|\s)#.*", "", line).strip()


def private(requirements: Iterable[str], settings: Settings) -> list[str]:
    """Return those of some requirements that the cooldown exempts, each once."""
    named = ((one, NAMED.match(one)) for one in requirements)
    found = (one for one, name in named if name and is_exempt(normalized(name[1]), settings))
    return list(dict.fromkeys(found))


def metadata(wheel: Path) -> tuple[str, list[str]]:
    """Return the name of a wheel's project and what it requires."""
    with zipfile.ZipFile(wheel) as archive:
        member = next(one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        fields = HeaderParser().parsestr(archive.read(member).decode(errors="replace"))
    return normalized(fields["Name"]), fields.get_all("Requires-Dist", [])


def required(wheels: Iterable[Path], requirements: Iterable[str]) -> Iterator[str]:
    """Yield what wheels require, with the extras that some requirements ask for."""
    asked: dict[str, set[str]] = {}
    for name in filter(None, map(NAMED.match, requirements)):
        extras = {normalized(extra.strip()) for extra in (name[2] or "").split(",")}
        asked.setdefault(normalized(name[1]), set()).update(extras)
    for project, needs in map(metadata, wheels):
        for need in needs:
            extra = EXTRA.search(need)
            # pip does not know here for which extras it is asked.
            is_asked = extra and normalized(extra[1]) in asked.get(project, ())
            yield EXTRA.sub("python_version >= '3'", need) if is_asked else need


def fetch(requirements: list[str], constraints: list[str], folder: Path) -> list[Path]:
    """Put the wheels of some requirements into a folder, without others; return them."""
    folder.mkdir()
    listed = folder / "requirements.txt"
    listed.write_text("".join(f"{one}\n" for one in requirements), encoding="utf-8")
    if code := pip("wheel", "--no-deps", "--wheel-dir", folder, "-r", listed, *constraints):
        sys.exit(code)
    return sorted(folder.glob("*.whl"))


def renew_pip() -> None:
    """Install a pip that knows the cooldown, if this one does not."""
    version = importlib.metadata.version("pip")
    if tuple(map(int, re.findall(r"\d+", version)[:2])) >= OLDEST:
        return
    # The environment that pip works for may have none of its own.
    target = os.environ.pop("PIP_PYTHON", None)
    if code := pip("install", RECENT):
        print(
            f"pip {version} knows no cooldown, and there is no {RECENT} to be had. If the index has"
            " nothing of PyPI's, answer 0 to the template's question `cooldown_days`.",
            file=sys.stderr,
        )
        sys.exit(code)
    if target:
        os.environ["PIP_PYTHON"] = target


def main(settings: Settings, arguments: list[str]) -> None:
    """Install what the files after -r list, as those after -c constrain it."""
    pairs = list(zip(arguments[::2], arguments[1::2], strict=False))
    constraints = [part for pair in pairs if pair[0] == "-c" for part in pair]
    listed = [one for option, name in pairs if option == "-r" for one in lines(Path(name))]
    os.environ["PIP_NO_INPUT"] = "1"
    with TemporaryDirectory() as name:
        folder, wheels = Path(name), list[Path]()
        wanted, needed = list[str](), private(listed, settings)
        for number in range(ROUNDS):
            if set(wanted) == set(needed):
                break
            wanted = needed
            wheels = fetch(wanted, constraints, folder / str(number))
            needed = private([*listed, *required(wheels, wanted)], settings)
        chosen = folder / "private.txt"
        urls = (f"{metadata(wheel)[0]} @ {wheel.as_uri()}\n" for wheel in wheels)
        chosen.write_text("".join(urls), encoding="utf-8")
        renew_pip()
        days = f"--uploaded-prior-to=P{settings.cooldown_days}D"
        if code := pip("install", days, *arguments, "-c", chosen):
            print(
                f"pip leaves out releases on PyPI that are younger than {settings.cooldown_days}"
                " days: README.md says how to take one at once. If the index tells no upload times,"
                " answer 0 to the template's question `cooldown_days`.",
                file=sys.stderr,
            )
            sys.exit(code)
