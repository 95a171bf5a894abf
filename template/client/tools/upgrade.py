"""Takes the newest private packages that the pins allow, and leaves the others as they are.

With a lock, that is lock.py's work. Without one, Docker's cache cannot see a new release. So this
writes constraints.txt, which the Dockerfile copies if it is there: the public packages as the image
has them, and what the index tells of each private one. A new release changes the file, and only
then pip runs again. Which release to take is left to it: it knows pins, yanks, pre-releases and the
image's Python.
"""

import hashlib
import json
import os
import subprocess
import sys

from . import ROOT, lock
from .credentials import PIP_URL, split
from .index import project_page
from .settings import Settings, normalized

CONSTRAINTS = ROOT / "constraints.txt"

HEADER = """\
# Written by `make upgrade`: delete it to let every package float again.
# What the index told of the private packages, so that something new runs pip again:
"""

# Runs in the image, whatever Python that has.
LIST = (
    "import json; from importlib.metadata import distributions;"
    "print(json.dumps({d.metadata['Name']: d.version for d in distributions()}))"
)


def installed() -> dict[str, str]:
    """Return the version of each package in the image, which Compose builds if it is missing."""
    command = ["docker", "compose", "run", "--rm", "--no-deps", "-T", "app", "python", "-c", LIST]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    listed = json.loads(done.stdout.splitlines()[-1])
    return {normalized(name): version for name, version in listed.items()}


def note(name: str) -> str:
    """Return the line of constraints.txt that changes when the index has something new of a name.

    It is a digest of the page. If a page differs at each read, pip runs and finds nothing new.
    """
    url, user, password = split(os.environ[PIP_URL])
    try:
        page = project_page(url, user, password, name)
    except LookupError as error:
        sys.exit(str(error))
    if not page:
        sys.exit(
            f"{url} does not have {name}: publish it there,"
            " or take it out of `packages` in pyproject.toml."
        )
    return f"#   {name}: {hashlib.sha256(page[1]).hexdigest()[:16]}\n"


def main(settings: Settings, arguments: list[str]) -> None:
    """Ask the index for the packages that are named, or all private ones; build; tell what changed.

    With a lock, the first argument is the command of the tool that locks.
    """
    if settings.locked:
        return lock.main(settings, arguments[:1] + (arguments[1:] or [*settings.packages]))
    names = sorted(map(normalized, arguments or settings.packages))
    notes = "".join(map(note, names))
    try:
        before = installed()
        pins = [f"{name}=={before[name]}\n" for name in sorted(before) if name not in names]
        with lock.kept_unless_done([CONSTRAINTS]):
            CONSTRAINTS.write_text(HEADER + notes + "".join(pins), encoding="utf-8", newline="\n")
            subprocess.run(["docker", "compose", "build"], check=True)
        lock.tell_changes(before, installed())
    except subprocess.CalledProcessError:
        sys.exit(
            "Docker failed, and constraints.txt is as it was. Where a new release wants newer"
            " public packages: delete constraints.txt and run `make build ARGS=--no-cache`."
        )
