"""Free texts of the questionnaire: one line, an e-mail address."""

from __future__ import annotations

import re
import unicodedata

from jinja2 import Environment
from jinja2.ext import Extension

_NOT_IN_A_LINE = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode's control characters, surrogates, line separators and paragraph separators."""

_EMAIL = re.compile(
    r"[A-Za-z0-9_%+-]+(\.[A-Za-z0-9_%+-]+)*"
    r"@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+"
)


def line_error(text: str) -> str:
    """Return why a text is not one line and what to type instead, or an empty string.

    Each character that any rule takes for a line end is refused: the core metadata's `Summary` is
    one line.
    """
    if any(unicodedata.category(character) in _NOT_IN_A_LINE for character in text):
        return "Type one line of text, without control characters and line separators."
    return ""


def email_error(address: str) -> str:
    """Return why a text is not an e-mail address and what to type, or an empty string.

    An empty text passes: each question for an address may be left unanswered.
    """
    if address and not _EMAIL.fullmatch(address):
        return f"{address} is not an e-mail address: type one such as you@example.com, or nothing."
    return ""


class TextExtension(Extension):
    """Registers the filters `line_error` and `email_error`."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters["line_error"] = line_error
        environment.filters["email_error"] = email_error
