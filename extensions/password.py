"""The passwords this template accepts."""

from __future__ import annotations

from jinja2 import Environment
from jinja2.ext import Extension

SHORTEST, LONGEST = 12, 72
"""Bytes. bcrypt ignores everything after the 72nd."""

_REFUSED = {"'": "a single quote", "\\": "a backslash", " ": "a space"}
"""Characters that no quoting keeps literal in a .env file that both a shell and Compose read."""


def password_error(password: str) -> str:
    """Return why a password cannot be used and what to type instead, or an empty string.

    The message never repeats any part of the password.
    """
    for character, name in _REFUSED.items():
        if character in password:
            return f"The password holds {name}, which .env files cannot keep: leave it out."
    if not all("!" <= character <= "~" for character in password):
        return f"Type {SHORTEST} to {LONGEST} printable ASCII characters, without ', \\ and spaces."
    if not SHORTEST <= len(password) <= LONGEST:
        return f"Type {SHORTEST} to {LONGEST} characters; this password has {len(password)}."
    return ""


class PasswordExtension(Extension):
    """Registers the filter `password_error`."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters["password_error"] = password_error
