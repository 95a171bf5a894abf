"""The files of a rendered repository: those for git and those it ignores."""

from __future__ import annotations

import atexit
import functools
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import yaml

from kit.git import git
from kit.template import Answers

LISTINGS = {
    "tracked": ("--cached", "--others", "--exclude-standard"),
    "ignored": ("--others", "--ignored", "--exclude-standard"),
}


class File(NamedTuple):
    """What there is to a file."""

    mode: int
    content: bytes
    """Of a link, its target."""


def read(path: Path) -> File:
    """Read one file; a link is not followed."""
    mode = path.lstat().st_mode
    content = bytes(path.readlink()) if stat.S_ISLNK(mode) else path.read_bytes()
    return File(mode, content)


def tracked(folder: Path) -> dict[str, File]:
    """Return the files that git tracks in a repository, or would track after `git add --all`."""
    return _files(folder, "tracked")


def ignored(folder: Path) -> dict[str, File]:
    """Return the files that git ignores in a repository."""
    return _files(folder, "ignored")


def holding(files: dict[str, File], secrets: Iterable[str]) -> list[str]:
    """Return the names of the files in which a secret stands, as it is or percent-encoded."""
    forms = {form.encode() for secret in secrets for form in (secret, quote(secret, safe=""))}
    return [name for name, file in files.items() if any(form in file.content for form in forms)]


def not_ignored(folder: Path, names: Iterable[str]) -> list[str]:
    """Return which names git would take for the repository, whether such files exist or not."""
    paths = list(names)
    command = ["git", *_where(folder), "check-ignore", "--no-index", "--stdin", "-z"]
    done = subprocess.run(
        command, cwd=folder, input="\0".join(paths), capture_output=True, text=True
    )
    assert done.returncode in (0, 1), done.stderr
    return [name for name in paths if name not in done.stdout.split("\0")]


def recorded(folder: Path) -> Answers:
    """Return what Copier recorded in a repository."""
    answers: Answers = yaml.safe_load((folder / ".copier-answers.yml").read_text(encoding="utf-8"))
    return answers


def _files(folder: Path, listing: str) -> dict[str, File]:
    names = git(folder, *_where(folder), "ls-files", "-z", *LISTINGS[listing]).split("\0")
    return {name: read(folder / name) for name in sorted(names) if name}


def _where(folder: Path) -> list[str]:
    return [] if (folder / ".git").exists() else [f"--git-dir={_no_commits()}", "--work-tree=."]


@functools.cache
def _no_commits() -> Path:
    """Return the folder of an empty repository, for asking git about a folder that is none."""
    folder = Path(tempfile.mkdtemp(prefix="no-commits-"))
    atexit.register(shutil.rmtree, folder)
    git(folder, "init", "--quiet", "--bare")
    return folder
