"""Gives a client's .env to its owner: Copier runs this in the client's folder, after its own work.

Clients of earlier versions track a link .env to .pypi.env. The link is removed and no longer
tracked, and the lines that Compose read through it go into a file .env, which git ignores. After a
copy whose answers made a .pypi.env, the one line that a build needs goes there, too. A file .env
that exists is left alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "template/client"))

from tools import checkout, credentials

LINK = ".pypi.env"
"""The target of the link."""


def main() -> None:
    """Replace the link or write the file; say what was done and what is left to do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("operation", choices=("copy", "update"))
    parser.add_argument("credentials", choices=("arg", "secret"), help="`build_credentials`")
    arguments = parser.parse_args()
    dotenv, pypi_env = Path.cwd() / ".env", Path.cwd() / LINK

    index = _git("ls-files", "--stage", "--", dotenv.name)
    if index.startswith("120000 ") and _git("cat-file", "blob", f":./{dotenv.name}") == LINK:
        # `git rm --cached` would refuse a file that git was told to overlook.
        _git("update-index", "--force-remove", "--", dotenv.name)
        if _git("ls-files", "--", dotenv.name):
            sys.exit("git still tracks the link .env: `git rm --cached .env` says why.")
        _say("git no longer tracks the link .env: commit that.")
    elif index:
        _say(
            "git tracks .env, your own file, which was left as it is. If it holds anything secret:"
            " `git rm --cached .env`, commit, and have that changed. Otherwise `make login` leaves"
            " it alone."
        )
    was_link = _is_link(dotenv)
    is_missing = not (dotenv.is_symlink() or dotenv.exists())
    if not (was_link or (is_missing and arguments.operation == "copy")):
        return
    lines = _for_compose(pypi_env, is_arg=arguments.credentials == "arg")
    if (was_link or lines) and (refusal := checkout.ignore_error(dotenv)):
        _say(refusal)
        return
    if was_link:
        dotenv.unlink()
    if lines:
        credentials.write(dotenv, lines)
        if was_link:
            _say(
                "The lines of .pypi.env for Compose are in .env now: your file, which git ignores."
            )


def _is_link(path: Path) -> bool:
    """Tell whether a path is the link, or the file that a checkout without links has instead."""
    if path.is_symlink():
        return path.readlink() == Path(LINK)
    return path.is_file() and path.read_bytes() == LINK.encode()


def _say(sentence: str) -> None:
    """Print a sentence for the person who runs Copier."""
    print(sentence, file=sys.stderr)


def _for_compose(pypi_env: Path, *, is_arg: bool) -> bytes:
    """Return the lines of .pypi.env that Compose needs."""
    if not pypi_env.is_file():
        return b""
    lines = credentials.others(pypi_env.read_bytes(), credentials.CREDENTIAL)
    try:
        url = credentials.read(pypi_env).get(credentials.PIP_URL)
    except ValueError:
        url = None
    if url and is_arg:
        return credentials.with_line(lines, credentials.PIP_URL, url)
    return lines


def _git(*arguments: str) -> str:
    """Return what git prints, or nothing if git is not installed or finds no repository."""
    try:
        return subprocess.run(
            ["git", *arguments],
            env=checkout.git_environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return ""


if __name__ == "__main__":
    main()
