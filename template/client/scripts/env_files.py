"""The two files of settings: .pypi.env, which is make's, and .env, which is Compose's and yours.

Both hold lines such as NAME='value'. They are read here as data: nothing in them is expanded or
run.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

PIP_URL = "PIP_EXTRA_INDEX_URL"

CONFIG_HOME = "USERS_XDG_CONFIG_HOME"
"""The variable in which run.py keeps for git what uv must not see; empty where it was not set."""

CREDENTIAL = re.compile(
    f"{PIP_URL}|(POETRY_HTTP_BASIC|UV_INDEX)_[A-Z0-9_]+_(USERNAME|PASSWORD)"
    "|TWINE_(REPOSITORY_URL|USERNAME|PASSWORD)"
)
"""The variables that make takes from .pypi.env; it passes over all others."""

_LITERAL = re.compile(r"('[ -&(-\[\]-~]*'|[A-Za-z0-9_%+,./:=@~-]*)\s*")
"""What every reader of these files, also sh and Compose, takes for the same value."""

_STATEMENT = re.compile(
    rb"""
    [^\S\n]* (?P<export>export[^\S\n]+)? (?P<name>[A-Za-z_][A-Za-z0-9_.-]*)
    [^\S\n]* [=:] [^\S\n]*
    (?: '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" )? [^\n]* (?:\n|\Z)
    | [^\n]*\n | [^\n]+\Z
    """,
    re.VERBOSE | re.DOTALL,
)
"""What Compose takes for one: a line, or several if the value is quoted and goes on."""


def read(path: Path) -> dict[str, str]:
    """Return the credentials in .pypi.env; none if there is no such file.

    Raises:
        ValueError: why it cannot be read and what to do, in a sentence.
    """
    try:
        # ASCII matters alone; what else there is may have any encoding.
        lines = _without_mark(path.read_bytes()).decode("latin-1").split("\n")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ValueError(
            f"{path.name} cannot be read ({error.strerror}): remove it, and run `make login`."
        ) from None
    found = {}
    for number, line in enumerate(lines, 1):
        name, value = credential(line)
        if not name:
            continue
        if value is None:
            raise ValueError(
                f"Line {number} of {path.name} is not of the form NAME='value': correct it, or run"
                " `make login`."
            )
        found[name] = value
    return found


def credential(line: str) -> tuple[str, str | None]:
    """Return which credential a line of .pypi.env names, and its value.

    The name is empty if the line names none; the value is None if the line is not of the form
    NAME='value'.
    """
    named = re.match(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)", line)
    if not (named and CREDENTIAL.fullmatch(named[1])):
        return "", None
    name, equals, value = line.partition("=")
    if name != named[1] or not equals or not _LITERAL.fullmatch(value):
        return named[1], None
    return name, value.strip().strip("'")


def with_line(content: bytes, name: str, value: str) -> bytes:
    """Return the text of a file in which a variable has a value, whatever else is in it.

    Every line that sets the variable is changed, or one is added at the end. All others stay as
    they are, byte for byte.
    """
    line_end = b"\r\n" if b"\r\n" in content else b"\n"
    line = f"{name}={value}".encode("ascii")
    statements, found = [], False
    for statement in _STATEMENT.finditer(_without_mark(content)):
        text = statement[0]
        if statement["name"] == name.encode("ascii"):
            end = re.search(rb"\r?\n?\Z", text)
            text = (statement["export"] or b"") + line + (end[0] if end else b"")
            found = True
        statements.append(text)
    mark = content[: len(content) - len(_without_mark(content))]
    whole = mark + b"".join(statements)
    if found:
        return whole
    if whole.removeprefix(mark) and not whole.endswith(b"\n"):
        whole += line_end
    return whole + line + line_end


def others(content: bytes, mine: re.Pattern[str]) -> bytes:
    """Return the lines of a file, less comments and the variables whose names match."""
    kept = [
        statement[0]
        for statement in _STATEMENT.finditer(_without_mark(content))
        if statement[0].strip()
        and not statement[0].lstrip().startswith(b"#")
        and not mine.fullmatch((statement["name"] or b"").decode("ascii"))
    ]
    return b"".join(line if line.endswith(b"\n") else line + b"\n" for line in kept)


def write_private(path: Path, content: bytes) -> None:
    """Write a file at once or not at all, at no time readable to anybody else."""
    # Both git and Docker ignore such a name, should it be left behind.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".pypi.env.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


def put_line(path: Path, name: str, value: str) -> str:
    """Set a variable in .env; return why that was not done and what to do, or an empty string."""
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            return f"{path.name} is no file of its own: make it one, and run `make login` again."
        if path.exists() and not path.stat().st_mode & 0o200:
            return f"{path.name} is read-only: `chmod u+w {path.name}`, and run `make login` again."
        if refusal := commit_error(path):
            return refusal
        content = path.read_bytes() if path.exists() else b""
        if b"\0" in content:
            return f"{path.name} is no text that Compose can read: save it as UTF-8."
        write_private(path, with_line(content, name, value))
    except OSError as error:
        return f"{path.name} cannot be written: {error.strerror}."
    return ""


def git_environment() -> dict[str, str]:
    """Return the environment in which git tells of the folder that it is called in."""
    # Git calls a hook with variables that name another repository. GIT_CONFIG_... are settings.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG")
    }
    if CONFIG_HOME in kept:
        kept["XDG_CONFIG_HOME"] = kept.pop(CONFIG_HOME)
    return {**kept, "GIT_DISCOVERY_ACROSS_FILESYSTEM": "1", "LC_ALL": "C"}


def commit_error(path: Path) -> str:
    """Return why git might commit a file, and what to do, or an empty string.

    Args:
        path: of the file, absolute.
    """
    if not any((folder / ".git").exists() for folder in path.parents):
        return ""
    command = ["git", "check-ignore", "--quiet", "--", path.name]
    try:
        done = subprocess.run(
            command,
            cwd=path.parent,
            env=git_environment(),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        return ""
    if done.returncode == 0:
        return ""
    if done.returncode == 1:
        return (
            f"git would commit {path.name}: `git rm --cached {path.name}`, let .gitignore name it,"
            " and run `make login` again."
        )
    return f"git does not tell whether it ignores {path.name}: {done.stderr.strip()}."


def _without_mark(content: bytes) -> bytes:
    """Return a text without the byte order mark that some editors write before it."""
    return content.removeprefix(b"\xef\xbb\xbf")
