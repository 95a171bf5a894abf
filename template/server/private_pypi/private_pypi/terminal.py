"""Text for terminals: only characters that a terminal shows, none that it acts on.

Names, reasons and addresses come from publishers and from files copied by hand. A terminal takes
control characters in them for commands, and marks of writing direction show one name as another.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TextIO, cast


def printable(text: str) -> str:
    """Return a text with every character spelled out that is not printable, ends of lines, too."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def quoted(text: str) -> str:
    """Return a text of unknown origin as a message quotes it: short, and in ASCII."""
    return ascii(text if len(text) <= 80 else f"{text[:77]}...")


def spelled(location: str) -> str:
    """Return the path of a file as a sentence shows it: in ASCII, whatever its name is."""
    return os.fsencode(location).decode("ascii", "backslashreplace").rstrip("/")


def listed(words: Iterable[str]) -> str:
    """Return one word or more as a sentence lists them: `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of as many texts each as lines whose columns are aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def guarded(stream: TextIO) -> TextIO:
    """Return a stream that spells out all it writes but printable text and ends of lines."""
    return cast(TextIO, _Guarded(stream))


class _Guarded:
    """Behaves as another stream, and writes to it only what is printable."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write("\n".join(map(printable, text.split("\n"))))

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
