"""The two files of credentials: .pypi.env, which is make's, and .env, which is Compose's and yours.

Both have lines such as NAME='value'. They are read here as data: nothing in them is expanded or
run.
"""

import os
import re
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from . import ROOT
from .checkout import ignore_error

PYPI_ENV = ROOT / ".pypi.env"
DOTENV = ROOT / ".env"
PIP_URL = "PIP_EXTRA_INDEX_URL"

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

_MARK = b"\xef\xbb\xbf"
"""The byte order mark that some editors write before a text."""


def read(path: Path = PYPI_ENV) -> dict[str, str]:
    """Return the credentials in .pypi.env; none if there is no such file.

    Raises ValueError if it cannot be read: it says why and what to do.
    """
    try:
        # Credentials are ASCII; other lines may have any encoding.
        lines = path.read_bytes().removeprefix(_MARK).decode("latin-1").split("\n")
    except FileNotFoundError:
        return {}
    except OSError as error:
        remedy = "remove it, and run `make login`."
        raise ValueError(f"{path.name} cannot be read ({error.strerror}): {remedy}") from None
    found = {}
    for number, line in enumerate(lines, 1):
        name, value = credential(line)
        if name and value is None:
            remedy = "is not of the form NAME='value': correct it, or run `make login`."
            raise ValueError(f"Line {number} of {path.name} {remedy}")
        found[name] = value or ""
    found.pop("", None)
    return found


def credential(line: str) -> tuple[str, str | None]:
    """Return which credential a line of .pypi.env names, if any, and its value.

    The value is None if the line is not of the form NAME='value'.
    """
    named = re.match(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)", line)
    if not (named and CREDENTIAL.fullmatch(named[1])):
        return "", ""
    name, equals, value = line.partition("=")
    is_literal = name == named[1] and equals and _LITERAL.fullmatch(value)
    return named[1], value.strip().strip("'") if is_literal else None


def split(url: str) -> tuple[str, str, str]:
    """Return URL, user and password of what pip is given: `https://user:pw@host/simple/`.

    Raises ValueError if the text is not the URL of an index.
    """
    parts = urlsplit(url)
    if not url.isascii() or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(url)
    base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}/"
    return base, unquote(parts.username or ""), unquote(parts.password or "")


def with_line(content: bytes, name: str, value: str) -> bytes:
    """Return the text of a file in which a variable has a value, whatever else is in it.

    Every line that sets the variable is changed, or one is added at the end. All others stay as
    they are, byte for byte.
    """
    line, key = f"{name}={value}".encode("ascii"), name.encode("ascii")
    mark = _MARK if content.startswith(_MARK) else b""
    text, found = content.removeprefix(mark), False

    def changed(one: re.Match[bytes]) -> bytes:
        nonlocal found
        if one["name"] != key:
            return one[0]
        found = True
        end = re.search(rb"\r?\n?\Z", one[0])
        return (one["export"] or b"") + line + (end[0] if end else b"")

    text = _STATEMENT.sub(changed, text)
    if not found:
        line_end = b"\r\n" if b"\r\n" in text else b"\n"
        text += (b"" if not text or text.endswith(b"\n") else line_end) + line + line_end
    return mark + text


def others(content: bytes, mine: re.Pattern[str]) -> bytes:
    """Return the lines of a file, less comments and the variables whose names match."""
    kept = b""
    for one in _STATEMENT.finditer(content.removeprefix(_MARK)):
        is_mine = mine.fullmatch((one["name"] or b"").decode("ascii"))
        if not is_mine and not re.match(rb"\s*(#|\Z)", one[0]):
            kept += one[0] if one[0].endswith(b"\n") else one[0] + b"\n"
    return kept


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file at once or not at all, at no time readable to anybody whom its mode excludes."""
    # Both git and Docker ignore such a name, should it be left behind.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".pypi.env.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).chmod(mode)
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
        content = path.read_bytes() if path.exists() else b""
        refusal = ignore_error(path)
        if not refusal and b"\0" in content:
            refusal = f"{path.name} is no text that Compose can read: save it as UTF-8."
        if not refusal:
            write(path, with_line(content, name, value))
        return refusal
    except OSError as error:
        return f"{path.name} cannot be written: {error.strerror}."
