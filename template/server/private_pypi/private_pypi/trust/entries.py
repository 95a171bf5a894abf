"""The text of the file of trusted publishers: its entries, added and taken out one by one.

A person writes it, too: whatever belongs to no entry that is taken out stays byte for byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import toml
from ..settings import SettingError
from ..terminal import quoted

FILE = ".publishers.toml"
SHOWN = f"pypi_auth/{FILE}"
MOST_BYTES = 2**18

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_HEADER = re.compile(r"\ufeff?[ \t]*\[\[[ \t]*[\"']?publisher[\"']?[ \t]*\]\]")
_OF_ENTRY = re.compile(r"[ \t]*\[[ \t]*[\"']?publisher[\"']?[ \t]*\.")
_ANY_HEADER = re.compile(r"[ \t]*\[")
_NO_CONTENT = re.compile(r"[ \t]*(#.*)?\r?\n?")


class PublishersError(ValueError):
    """A publisher cannot be read, added or removed; the message says why and what to do."""


def text_of(folder: Path) -> str:
    """Return the text of the file; empty if there is none.

    Args:
        folder: pypi_auth.

    Raises:
        PublishersError: if it is too long, or not UTF-8.
        OSError: if it cannot be read.
    """
    try:
        with (folder / FILE).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return ""
    if len(content) > MOST_BYTES:
        raise PublishersError(f"{SHOWN} is larger than {MOST_BYTES // 1024} kB: shorten it")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise PublishersError(f"{SHOWN} is no TOML: save it as UTF-8") from None


def entries_of(text: str) -> list[dict[str, Any]]:
    """Return the entries as TOML (version 1.0) has them.

    Raises:
        PublishersError: if the text is no TOML, or has anything else than entries.
    """
    told = _told(text)
    for key in told:
        if key != "publisher":
            raise PublishersError(
                f"{SHOWN}: the key {quoted(key)} is not known: begin each entry with a line"
                " [[publisher]]"
            )
    entries = told.get("publisher", [])
    if not (isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)):
        raise PublishersError(f"{SHOWN}: begin each entry with a line [[publisher]]")
    return entries


def _told(text: str) -> dict[str, Any]:
    # Without the byte order mark of editors on Windows.
    text = text.removeprefix("\ufeff")
    if not any(not _NO_CONTENT.fullmatch(line) for line in _lines(text)):
        return {}
    try:
        return toml.parse(text)
    except toml.NoTomlError as error:
        raise PublishersError(f"{SHOWN} is no TOML, and nobody in it is trusted: {error}") from None
    except SettingError:
        raise PublishersError(
            f"{SHOWN} cannot be read by this Python: trusted publishing takes Python 3.11 or newer"
        ) from None


def _lines(text: str) -> Iterator[str]:
    """Yield the lines as TOML has them, with their ends."""
    return (found[0] for found in re.finditer(r"[^\n]*\n|[^\n]+", text))


def appended(text: str, entry: Mapping[str, Any]) -> str:
    """Return the text with one more entry at its end.

    Args:
        entry: its texts, lists of texts and, last, tables of texts, all of printable letters.
    """
    lines = ["[[publisher]]"]
    for key, value in entry.items():
        if isinstance(value, Mapping):
            lines += [
                f"[publisher.{key}]",
                *(f"{_key(x)} = {_quoted(y)}" for x, y in value.items()),
            ]
        else:
            lines.append(f"{key} = {_quoted(value)}")
    end = "\r\n" if "\r\n" in text else "\n"
    if text.strip("\ufeff"):
        text += end if text.endswith("\n") else end * 2
    return text + "".join(f"{line}{end}" for line in lines)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _quoted(name)


def _quoted(value: object) -> str:
    # JSON and TOML write printable letters, and lists of them, in the same way.
    return json.dumps(value, ensure_ascii=False)


def without(text: str, name: str) -> str:
    """Return the text without the entries of a name, from `[[publisher]]` to their last keys.

    Which lines those are is found out by leaving them out: a line that looks like the start of an
    entry may be part of a text.

    Raises:
        PublishersError: if one is written in a way that takes a person to delete it.
    """
    told = entries_of(text)
    for place in reversed([place for place, entry in enumerate(told) if entry.get("name") == name]):
        del told[place]
        text = _left(text, told)
    return text


def _left(text: str, others: list[dict[str, Any]]) -> str:
    lines = list(_lines(text))
    for start, line in enumerate(lines):
        if _HEADER.match(line):
            left = "".join(_cut(lines, start))
            try:
                if entries_of(left) == others:
                    return left
            except PublishersError:
                continue
    raise PublishersError(f"{SHOWN} is written in a way that only you can edit: delete it there")


def _cut(lines: list[str], start: int) -> list[str]:
    end = start + 1
    while end < len(lines) and (not _ANY_HEADER.match(lines[end]) or _OF_ENTRY.match(lines[end])):
        end += 1
    while _NO_CONTENT.fullmatch(lines[end - 1]):
        end -= 1
    # An empty line on each side would become two.
    is_last = end == len(lines)
    if start and not lines[start - 1].strip() and (is_last or not lines[end].strip()):
        start -= 1
    return lines[:start] + lines[end:]
