"""Gives a client's .env to its owner: Copier runs this in the client's folder, after its own work.

Clients of earlier versions track a link .env to .pypi.env. The link is removed and no longer
tracked. The lines that Compose read through it go into a file .env, which git ignores; so does,
where .pypi.env was made of the answers, the one line that a build needs. A file .env that is there
is left alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "template/client"))

from tools import checkout, credentials

LINK = ".pypi.env"
"""What the link led to."""


def main() -> None:
    """Do it, and say what was done and what is left to do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("operation", choices=("copy", "update"))
    parser.add_argument("credentials", choices=("arg", "secret"), help="`build_credentials`")
    arguments = parser.parse_args()
    dotenv, pypi_env = Path.cwd() / ".env", Path.cwd() / LINK

    index = _git("ls-files", "--stage", "--", dotenv.name)
    if index.startswith("120000 ") and _git("cat-file", "blob", f":./{dotenv.name}") == LINK:
        # `git rm --cached` refuses what somebody has git overlook.
        _git("update-index", "--force-remove", "--", dotenv.name)
        if _git("ls-files", "--", dotenv.name):
            sys.exit("git keeps hold of the link .env: `git rm --cached .env` tells why.")
        _say("git tracks the link .env no longer: commit that.")
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
            _say("What Compose needs of .pypi.env is in .env now, which is yours; git ignores it.")


def _is_link(path: Path) -> bool:
    """Return whether a path is the link, or what a checkout without links has in its place."""
    if path.is_symlink():
        return path.readlink() == Path(LINK)
    return path.is_file() and path.read_bytes() == LINK.encode()


def _say(sentence: str) -> None:
    """Tell whoever runs Copier."""
    print(sentence, file=sys.stderr)


def _for_compose(pypi_env: Path, *, is_arg: bool) -> bytes:
    """Return the lines of .pypi.env that are Compose's."""
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
    """Return what git prints, or nothing where it finds no repository or is not installed."""
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
