"""Text for people's terminals: letters that are shown, and none that a terminal acts on.

Names, reasons and addresses come from whoever publishes or copies files. A terminal takes controls
in them for commands, and marks that turn the direction of writing show one name as another.
"""

from __future__ import annotations

import os
from typing import TextIO, cast


def printable(text: str) -> str:
    """Return a text with all spelled out that is not `str.isprintable`, ends of lines too."""
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


def guarded(stream: TextIO) -> TextIO:
    """Return a stream that writes to another only what is printable, and ends of lines."""
    return cast(TextIO, _Guarded(stream))


class _Guarded:
    """The stream in all but what it writes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write("\n".join(map(printable, text.split("\n"))))

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
