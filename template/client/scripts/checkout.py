"""Asks the git repository that this folder is in whether all is committed, and which tags it has.

Only a folder without a repository counts as committed and untagged. Where git is missing or
refuses to answer, nobody would know what was published.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from env_files import git_environment

ROOT = Path(__file__).resolve().parent.parent

# What git passes over, and answers the rest with success.
PASSED_OVER = re.compile(r"ignoring (broken|dangling)|could not open")


class GitError(Exception):
    """Git does not answer; the message has its words and says what to do."""


def repository() -> Path | None:
    """Return the folder whose repository this folder belongs to, None if there is none."""
    return next((one for one in (ROOT, *ROOT.parents) if os.path.lexists(one / ".git")), None)


def git(*arguments: str) -> str:
    """Return what git answers about this folder, nothing if that belongs to no repository.

    Raises:
        GitError: it does not answer.
    """
    there = repository()
    if not there:
        return ""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=ROOT,
            env=git_environment(),
            capture_output=True,
            check=False,
        )
    except OSError:
        raise GitError(f"{there} is a git repository, but git is missing: install it.") from None
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode or PASSED_OVER.search(said):
        raise GitError(
            f"{said}\ngit does not tell what is committed in {there}: do what it"
            " says above. A broken repository is best cloned anew."
        )
    return os.fsdecode(done.stdout)


def tags() -> list[str]:
    """Return the tags of the commit that is checked out.

    Raises:
        GitError: git does not answer.
    """
    # Before the first commit there is no HEAD to ask about, and no tag either.
    return git("tag", "--points-at", "HEAD").split() if git("tag") else []


def main() -> None:
    """Refuse if not all of this folder is committed; a larger repository may have other changes."""
    # Settings may have git leave out new files or changes in submodules.
    options = ("--untracked-files=normal", "--ignore-submodules=none")
    try:
        changed = git("status", "--porcelain", *options, "--", ".")
        files = git("ls-files", "-v", "-z", "--", ".").split("\0")
    except GitError as error:
        sys.exit(str(error))
    if changed:
        sys.exit("Not everything is committed: commit it, or say 'make publish FORCE=1'.")
    # Lower-case: assumed unchanged. S: skipped, as what a sparse checkout leaves out is.
    unseen = [
        shlex.quote(name)
        for tag, _, name in (file.partition(" ") for file in files)
        if (tag == "S" or tag.islower()) and os.path.lexists(ROOT / name)
    ]
    if unseen:
        names = " ".join(unseen)
        sys.exit(
            f"git was told not to look at {names}: `git update-index --no-skip-worktree"
            f" --no-assume-unchanged {names}` has it look again."
        )


if __name__ == "__main__":
    main()
