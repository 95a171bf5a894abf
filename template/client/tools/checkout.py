"""The git repository that this folder is in: whether all is committed, and which tags it has.

Only a folder without a repository counts as committed and untagged. Where git is missing or
refuses to answer, nobody would know what was published.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from . import ROOT

CONFIG_HOME = "USERS_XDG_CONFIG_HOME"
"""The variable in which git finds what uv must not see; empty where it was not set."""

PASSED_OVER = re.compile(r"ignoring (broken|dangling)|could not open")
"""What git warns of, and answers the rest with success."""


def repository(path: Path = ROOT) -> Path | None:
    """Return the folder whose repository a folder belongs to, None if there is none."""
    return next((one for one in (path, *path.parents) if os.path.lexists(one / ".git")), None)


def git_environment() -> dict[str, str]:
    """Return the environment in which git tells of the folder that it is called in."""
    # Git calls a hook with variables that name another repository. GIT_CONFIG_... are settings.
    other = re.compile("GIT_(?!CONFIG).*")
    kept = {name: value for name, value in os.environ.items() if not other.fullmatch(name)}
    if CONFIG_HOME in kept:
        kept["XDG_CONFIG_HOME"] = kept.pop(CONFIG_HOME)
    return {**kept, "GIT_DISCOVERY_ACROSS_FILESYSTEM": "1", "LC_ALL": "C"}


def run_git(
    *arguments: str, folder: Path = ROOT, timeout: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run git in a folder; return its code and all that it said."""
    return subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=git_environment(),
        capture_output=True,
        timeout=timeout,
        check=False,
    )


def git(*arguments: str) -> str:
    """Return what git answers about this folder, nothing if that belongs to no repository."""
    there = repository()
    if not there:
        return ""
    try:
        done = run_git(*arguments)
    except OSError:
        sys.exit(f"{there} is a git repository, but git is missing: install it.")
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode or PASSED_OVER.search(said):
        sys.exit(
            f"{said}\ngit does not tell what is committed in {there}: do what it"
            " says above. A broken repository is best cloned anew."
        )
    return os.fsdecode(done.stdout)


def tags() -> list[str]:
    """Return the tags of the commit that is checked out."""
    # Before the first commit there is no HEAD to ask about, and no tag either.
    return git("tag", "--points-at", "HEAD").split() if git("tag") else []


def ignore_error(path: Path) -> str:
    """Return why git might commit a file, and what to do, or an empty string."""
    if not repository(path.parent):
        return ""
    try:
        done = run_git("check-ignore", "--quiet", "--", path.name, folder=path.parent)
    except FileNotFoundError:
        return ""
    if done.returncode > 1:
        said = done.stderr.decode(errors="replace").strip()
        return f"git does not tell whether it ignores {path.name}: {said}."
    remedy = f"`git rm --cached {path.name}`, let .gitignore name it, and run `make login` again."
    return f"git would commit {path.name}: {remedy}" if done.returncode else ""


def main(*_: object) -> None:
    """Refuse if not all of this folder is committed; a larger repository may have other changes."""
    # Settings may have git leave out new files or changes in submodules.
    options = ("--untracked-files=normal", "--ignore-submodules=none")
    if git("status", "--porcelain", *options, "--", "."):
        sys.exit("Not everything is committed: commit it, or say 'make publish FORCE=1'.")
    # Lower-case: assumed unchanged. S: skipped, as what a sparse checkout leaves out is.
    files = re.findall(r"(?:^|(?<=\0))[a-zS] ([^\0]+)", git("ls-files", "-v", "-z", "--", "."))
    if unseen := shlex.join(name for name in files if os.path.lexists(ROOT / name)):
        sys.exit(
            f"git was told not to look at {unseen}: `git update-index --no-skip-worktree"
            f" --no-assume-unchanged {unseen}` has it look again."
        )
