"""TOML (version 1.0), read once for policies, publishers and lock files."""

from __future__ import annotations

from typing import Any

from .settings import SettingError


class NoTomlError(Exception):
    """A text is no TOML; the message says what is wrong, and in which line."""


def parse(text: str) -> dict[str, Any]:
    """Return what a text says.

    Raises:
        NoTomlError: if it is no TOML.
        SettingError: if this Python is too old to read any.
    """
    try:
        import tomllib  # type: ignore[import-not-found]
    except ImportError:
        raise SettingError("Python 3.10 reads no TOML: use Python 3.11 or newer") from None
    try:
        told: dict[str, Any] = tomllib.loads(text)
    # Numbers of thousands of digits, and brackets in thousands of brackets, are no TOML either.
    except (ValueError, RecursionError) as error:
        raise NoTomlError(str(error)) from None
    return told
