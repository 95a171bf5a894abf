"""Writes .pypi.env, the credentials for the private index, after a check against the server.

With --compose also the line of .env from which Docker Compose takes the build's credentials. Other
lines of both files stay.

Asks for user and password. Where nobody can be asked, INDEX_USER names the user and the password
is read from standard input.
"""

from __future__ import annotations

import argparse
import getpass
import os
import re
import sys
from pathlib import Path
from urllib.parse import quote

import env_files
from index import access_error

ROOT = Path(__file__).resolve().parent.parent
PYPI_ENV = ROOT / ".pypi.env"
DOTENV = ROOT / ".env"

LONGEST = 4095
"""Characters of a password. A terminal passes on no longer line, and no registry's token is."""

_REFUSED = {"'": "a single quote", "\\": "a backslash", " ": "a space"}
"""Characters that no quoting keeps literal in a file that both a shell and Compose read."""


def user_error(user: str) -> str:
    """Return why a text cannot be a user name and what to type instead, or an empty string."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63}", user):
        return (
            "The user name needs 1 to 64 letters, digits or any of . _ @ + -,"
            " starting with a letter, a digit or _."
        )
    return ""


def password_error(password: str) -> str:
    """Return why a password cannot be used and what to type instead, or an empty string."""
    for character, name in _REFUSED.items():
        if character in password:
            return f"The password holds {name}, which .env files cannot keep: leave it out."
    if not all("!" <= character <= "~" for character in password):
        return "Type printable ASCII characters only: letters, digits and punctuation."
    if not 1 <= len(password) <= LONGEST:
        return f"Type 1 to {LONGEST} characters; this password has {len(password)}."
    return ""


def pypi_env(name: str, url: str, publish_url: str, user: str, password: str) -> str:
    """Return the lines of .pypi.env.

    pip takes its credentials in the URL, percent-encoded; the others take them as they are, Poetry
    and uv from variables named after the index.
    """
    scheme, rest = url.split("://", 1)
    suffix = name.upper().replace("-", "_")
    return (
        f"PIP_EXTRA_INDEX_URL="
        f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}\n"
        f"POETRY_HTTP_BASIC_{suffix}_USERNAME='{user}'\n"
        f"POETRY_HTTP_BASIC_{suffix}_PASSWORD='{password}'\n"
        f"UV_INDEX_{suffix}_USERNAME='{user}'\n"
        f"UV_INDEX_{suffix}_PASSWORD='{password}'\n"
        f"TWINE_REPOSITORY_URL={publish_url}\n"
        f"TWINE_USERNAME='{user}'\n"
        f"TWINE_PASSWORD='{password}'\n"
    )


def write(lines: str) -> None:
    """Write .pypi.env, with these lines in place of those that set the same variables.

    Lines that name a credential and that nobody can read go, too: make would stop at them.

    Raises:
        OSError: it cannot be written, and is as it was.
    """
    mine = re.compile("|".join(re.findall("^[A-Z0-9_]+(?==)", lines, re.MULTILINE)))
    others = env_files.others(PYPI_ENV.read_bytes(), mine) if PYPI_ENV.is_file() else b""
    kept = []
    # make reads line by line, also what Compose takes for one value of several lines.
    for line in re.findall(r"[^\n]*\n", others.decode("latin-1")):
        name, value = env_files.credential(line)
        if not name or (value is not None and not mine.fullmatch(name)):
            kept.append(line)
    env_files.write_private(PYPI_ENV, lines.encode("ascii") + "".join(kept).encode("latin-1"))


def ask(url: str) -> tuple[str, str]:
    """Return user and password, from the terminal or from INDEX_USER and standard input."""
    user = os.environ.get("INDEX_USER", "")
    if sys.stdin.isatty():
        print(f"Your account on {url}", file=sys.stderr)
        try:
            return user or input("User: ").strip(), getpass.getpass("Password: ")
        except EOFError:
            sys.exit("\nNothing was written.")
    if not user:
        sys.exit("INDEX_USER is not set: it must name the user where nobody can be asked.")
    return user, sys.stdin.readline().rstrip("\r\n")


def main() -> None:
    """Ask, check, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="of the index in pyproject.toml, such as private")
    parser.add_argument("url", help="of its pages, such as https://pypi.example.com/simple/")
    parser.add_argument("publish_url", help="where it takes uploads")
    parser.add_argument("private", nargs="*", help="the private packages")
    parser.add_argument("--compose", action="store_true", help="write the line of .env as well")
    parser.add_argument("--no-check", action="store_true", help="write without asking the server")
    arguments = parser.parse_args()

    user, password = ask(arguments.url)
    refusal = user_error(user) or password_error(password)
    if not (refusal or arguments.no_check):
        refusal = access_error(arguments.url, user, password, arguments.private)
    if refusal:
        sys.exit(f"{refusal} Nothing was written.")
    lines = pypi_env(arguments.name, arguments.url, arguments.publish_url, user, password)
    try:
        write(lines)
    except OSError as error:
        sys.exit(f"{PYPI_ENV} cannot be written: {error.strerror}.")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        # GitHub hides a secret in logs, but not what it is in a URL; it reads %25 here as %.
        print(f"::add-mask::{quote(quote(password, safe=''), safe='')}")
    print(f"Wrote {PYPI_ENV.name}: git and Docker ignore it, only you can read it.")
    if arguments.compose:
        name, _, url = lines.partition("\n")[0].partition("=")
        if refusal := env_files.put_line(DOTENV, name, url):
            print(
                f"{refusal} It is as it was: `make build` needs nothing there, but plain"
                f" `docker compose build` needs {name}.",
                file=sys.stderr,
            )
        else:
            print(f"Wrote {name} in {DOTENV.name}, for plain `docker compose build`.")
    if not arguments.no_check and not access_error(arguments.url, "", "", arguments.private):
        print("Everybody may read this index: whether the password is right, publishing will show.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nNothing was written.")
