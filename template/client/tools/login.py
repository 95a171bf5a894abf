"""Writes .pypi.env, the credentials for the private index, after a check against the server.

Where the build takes them as an ARG, also the line of .env from which Docker Compose takes them.
Other lines of both files stay. It asks for user and password; where nobody can be asked, INDEX_USER
names the user and the password is read from standard input.
"""

import getpass
import os
import re
import sys
from urllib.parse import quote

from .credentials import DOTENV, PIP_URL, PYPI_ENV, credential, others, put_line, write
from .index import access_error
from .settings import Settings

LONGEST = 4095
"""Characters of a password: a terminal cuts longer lines, and tokens are shorter."""

REFUSED = {"'": "a single quote", "\\": "a backslash", " ": "a space"}
"""Characters that no quoting keeps literal in a file that both a shell and Compose read."""


def error_of(user: str, password: str) -> str:
    """Return why an account cannot be used and what to type instead, or an empty string."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63}", user):
        return (
            "The user name needs 1 to 64 letters, digits or any of . _ @ + -,"
            " starting with a letter, a digit or _."
        )
    for character, name in REFUSED.items():
        if character in password:
            return f"The password holds {name}, which .env files cannot keep: leave it out."
    if not all("!" <= character <= "~" for character in password):
        return "Type printable ASCII characters only: letters, digits and punctuation."
    if not 1 <= len(password) <= LONGEST:
        return f"Type 1 to {LONGEST} characters; this password has {len(password)}."
    return ""


def write_pypi_env(lines: str) -> None:
    """Write .pypi.env, with these lines in place of those that set the same variables.

    Lines that name a credential and that nobody can read go, too: make would stop at them.

    Raises:
        OSError: it cannot be written, and is as it was.
    """
    mine = re.compile("|".join(re.findall("^[A-Z0-9_]+(?==)", lines, re.MULTILINE)))
    kept = others(PYPI_ENV.read_bytes(), mine) if PYPI_ENV.is_file() else b""
    # make reads line by line, also what Compose takes for one value of several lines.
    for line in re.findall(r"[^\n]*\n", kept.decode("latin-1")):
        name, value = credential(line)
        if not name or (value is not None and not mine.fullmatch(name)):
            lines += line
    write(PYPI_ENV, lines.encode("latin-1"))


def ask(url: str) -> tuple[str, str]:
    """Return user and password, from the terminal or from INDEX_USER and standard input."""
    user = os.environ.get("INDEX_USER", "")
    if sys.stdin.isatty():
        print(f"Your account on {url}", file=sys.stderr)
        # input() would wait on after a Ctrl-C that comes while it writes the prompt.
        print("" if user else "User: ", end="", flush=True)
        try:
            if typed := user or sys.stdin.readline():
                return typed.strip(), getpass.getpass("Password: ")
        except EOFError:
            pass
        sys.exit("\nNothing was written.")
    if not user:
        sys.exit("INDEX_USER is not set: it must name the user where nobody can be asked.")
    return user, sys.stdin.readline().rstrip("\r\n")


def main(settings: Settings, arguments: list[str]) -> None:
    """Ask, check, unless that is switched off by --no-check, and write."""
    user, password = ask(settings.url)
    checked = "--no-check" not in arguments
    refusal = error_of(user, password)
    if checked and not refusal:
        refusal = access_error(settings.url, user, password, settings.projects)
    if refusal:
        sys.exit(f"{refusal} Nothing was written.")
    in_url, name = quote(password, safe=""), settings.variable
    url = settings.url.replace("://", f"://{quote(user, safe='')}:{in_url}@", 1)
    # pip takes its credentials in the URL, Poetry and uv in variables named after the index.
    lines = f"{PIP_URL}={url}\n"
    for prefix in (f"POETRY_HTTP_BASIC_{name}", f"UV_INDEX_{name}", "TWINE"):
        lines += f"TWINE_REPOSITORY_URL={settings.publish_url}\n" if prefix == "TWINE" else ""
        lines += f"{prefix}_USERNAME='{user}'\n{prefix}_PASSWORD='{password}'\n"
    try:
        write_pypi_env(lines)
    except OSError as error:
        sys.exit(f"{PYPI_ENV} cannot be written: {error.strerror}.")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        # GitHub hides a secret in logs, but not what it is in a URL; it reads %25 here as %.
        print(f"::add-mask::{quote(in_url, safe='')}")
    print(f"Wrote {PYPI_ENV.name}: git and Docker ignore it, only you can read it.")
    if settings.credentials == "arg":
        if refusal := put_line(DOTENV, PIP_URL, url):
            print(
                f"{refusal} It is as it was: `make build` needs nothing there, but plain"
                f" `docker compose build` needs {PIP_URL}.",
                file=sys.stderr,
            )
        else:
            print(f"Wrote {PIP_URL} in {DOTENV.name}, for plain `docker compose build`.")
    if checked and not access_error(settings.url, "", "", settings.projects):
        print("Everybody may read this index: whether the password is right, publishing will show.")
