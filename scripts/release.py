"""Releases a version of the templates: run by `make release VERSION=1.2.3`.

Moves the entries under "Unreleased" in CHANGELOG.md to the version, commits that and tags it.
Nothing is pushed: the last line says how.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

BRANCH = "main"
CHANGELOG = Path("CHANGELOG.md")
UNRELEASED = "## Unreleased\n"

Version = tuple[int, int, int]


class ReleaseError(Exception):
    """A reason not to release; the message says what to do."""


def parsed(version: str) -> Version | None:
    """Return a version X.Y.Z as numbers, or nothing if the text is no such version."""
    number = r"(0|[1-9][0-9]*)"
    found = re.fullmatch(rf"{number}\.{number}\.{number}", version)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def released(changelog: str, version: str, date: str) -> str:
    """Return a changelog whose unreleased entries are those of a version.

    Args:
        changelog: the text, with a section "Unreleased".
        version: X.Y.Z.
        date: of the release, YYYY-MM-DD.

    Raises:
        ReleaseError: if there is no such section, or no entry in it.
    """
    before, heading, after = changelog.partition(UNRELEASED)
    if not heading:
        raise ReleaseError(f"{CHANGELOG} has no section {UNRELEASED.strip()!r}: add it")
    entries = re.split(r"^## ", after, maxsplit=1, flags=re.MULTILINE)[0]
    if not re.search(r"^- \S", entries, re.MULTILINE):
        raise ReleaseError(f"{CHANGELOG} has no unreleased entry: say there what has changed")
    return f"{before}{heading}\n## {version} - {date}\n{after}"


def check_repository() -> None:
    """Refuse to release from another branch, or with changes that are not committed."""
    branch = git("branch", "--show-current")
    if branch != BRANCH:
        raise ReleaseError(f"this is {branch or 'no branch'}: git switch {BRANCH}")
    if git("status", "--porcelain"):
        raise ReleaseError("there are changes that are not committed: commit or stash them")


def check_version(version: str) -> None:
    """Refuse a text that is no version, or a version that is not higher than the last."""
    wanted = parsed(version)
    if wanted is None:
        raise ReleaseError("say which version: make release VERSION=1.2.3")
    tags = git("tag", "--list", "v*").split()
    last = max(filter(None, (parsed(tag.removeprefix("v")) for tag in tags)), default=None)
    if last and wanted <= last:
        raise ReleaseError(
            f"{version} is not higher than the last release, {'.'.join(map(str, last))}"
        )


def git(*arguments: str) -> str:
    """Run git and return what it printed.

    Raises:
        ReleaseError: with git's own words if it fails.
    """
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def commit_and_tag(changelog: str, version: str) -> None:
    """Commit the changelog and tag that; if git refuses either, leave everything as it was."""
    before, message = git("rev-parse", "HEAD"), f"Release {version}"
    try:
        CHANGELOG.write_text(changelog, encoding="utf-8")
        git("commit", "--quiet", "--message", message, "--", str(CHANGELOG))
        git("tag", "--annotate", f"v{version}", "--message", message)
    except ReleaseError:
        # Nothing but the changelog had changed: see check_repository.
        git("reset", "--quiet", "--hard", before)
        raise


def main() -> int:
    """Release; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="X.Y.Z, higher than the last")
    version: str = parser.parse_args().version
    today = datetime.now(timezone.utc).date().isoformat()
    try:
        check_version(version)
        check_repository()
        changelog = released(CHANGELOG.read_text(encoding="utf-8"), version, today)
        commit_and_tag(changelog, version)
    except ReleaseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{version} is committed and tagged. To publish it:")
    print(f"    git push --atomic origin {BRANCH} v{version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
