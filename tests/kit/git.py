"""git, in the repositories that tests make."""

from __future__ import annotations

from pathlib import Path

from kit.commands import output


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return what it printed."""
    return output("git", *arguments, cwd=folder)


def commit(folder: Path, message: str = "Change") -> None:
    """Commit everything in a folder, which becomes a repository if it is none."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
