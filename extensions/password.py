"""The passwords this template accepts."""

from __future__ import annotations

from jinja2 import Environment
from jinja2.ext import Extension

SHORTEST, LONGEST = 12, 72
"""Bytes. bcrypt ignores everything after the 72nd."""

_REFUSED = {"'": "a single quote", "\\": "a backslash", " ": "a space"}
"""Characters that no quoting keeps literal in a .env file that both a shell and Compose read."""

LONGEST_TOKEN = 4095
"""The longest line that a terminal passes on; no registry's token is longer."""


def password_error(password: str) -> str:
    """Return why the server could not use a password and what to type instead, or nothing.

    The message never repeats any part of the password.
    """
    return _error(password, SHORTEST, LONGEST)


def token_error(token: str) -> str:
    """Return why an index's password or token cannot be used and what to type, or nothing.

    Unlike `password_error`, it accepts tokens of other indexes, which may be long or short.
    """
    return _error(token, 1, LONGEST_TOKEN)


def _error(password: str, shortest: int, longest: int) -> str:
    for character, name in _REFUSED.items():
        if character in password:
            return f"The password holds {name}, which .env files cannot keep: leave it out."
    if not all("!" <= character <= "~" for character in password):
        return f"Type {shortest} to {longest} printable ASCII characters, without ', \\ and spaces."
    if not shortest <= len(password) <= longest:
        return f"Type {shortest} to {longest} characters; this password has {len(password)}."
    return ""


class PasswordExtension(Extension):
    """Registers the filters `password_error` and `token_error`."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters["password_error"] = password_error
        environment.filters["token_error"] = token_error
