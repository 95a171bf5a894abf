"""The list of all names on PyPI: some 40 MB that pass through, a piece at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser

import httpx

from ..settings import SettingError
from .settings import PublicSettings
from .upstream import ACCEPT, USER_AGENT

_HEADERS = {"Accept": ACCEPT, "Accept-Encoding": "gzip", "User-Agent": USER_AGENT}
_TIMEOUT = httpx.Timeout(30, connect=5)
_MOST_LETTERS = 2**30
_LONGEST_ENTRY = 2**16
_BETWEEN = re.compile(r"[\s,]*")
_BEGINNING = re.compile(r'"projects"\s*:\s*\[')


def names(settings: PublicSettings) -> Iterator[str]:
    """Download the list (PEP 691, or the HTML of PEP 503) and yield each name as it stands there.

    Raises:
        SettingError: at once or later, if the list cannot be had to its end.
    """
    try:
        with (
            httpx.Client(headers=_HEADERS, follow_redirects=True, timeout=_TIMEOUT) as client,
            client.stream("GET", settings.index) as answer,
        ):
            if answer.status_code != 200:
                raise SettingError(f"PyPI answers {answer.status_code} for its list of names")
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            pieces = _bounded(answer.iter_text())
            yield from _from_json(pieces) if kind.endswith("json") else _from_html(pieces)
    except httpx.HTTPError as error:
        raise SettingError(
            f"PyPI's list of names cannot be had: {error or type(error).__name__}: try again later"
        ) from None


def _bounded(pieces: Iterable[str]) -> Iterator[str]:
    count = 0
    for piece in pieces:
        count += len(piece)
        if count > _MOST_LETTERS:
            raise SettingError("PyPI's list of names does not end: try again later")
        yield piece


def _from_json(pieces: Iterator[str]) -> Iterator[str]:
    # A list of 800,000 objects would take more memory than the container may have.
    decoder, text, has_begun = json.JSONDecoder(), "", False
    for piece in pieces:
        text += piece
        if not has_begun and (begin := _BEGINNING.search(text)):
            has_begun, text = True, text[begin.end() :]
        position = 0
        while has_begun:
            position = _BETWEEN.match(text, position).end()  # type: ignore[union-attr]
            if text.startswith("]", position):
                return
            try:
                entry, position = decoder.raw_decode(text, position)
            except (ValueError, RecursionError):
                break  # The rest of it is still to come.
            yield _name(entry)
        text = text[position:]
        if len(text) > _LONGEST_ENTRY:
            break
    raise _error()


def _name(told: object) -> str:
    name = told.get("name") if isinstance(told, dict) else None
    if not isinstance(name, str) or not name.isprintable():
        raise _error()
    return name


def _error() -> SettingError:
    return SettingError("PyPI's list of names is not what PEP 691 or PEP 503 says: try again later")


class _Anchors(HTMLParser):
    """Collects the texts of links."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self._text: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._text = ""

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._text is not None:
            self.names.append(self._text.strip())
            self._text = None


def _from_html(pieces: Iterable[str]) -> Iterator[str]:
    parser = _Anchors()
    for piece in pieces:
        parser.feed(piece)
        yield from (name for name in parser.names if name.isprintable())
        parser.names.clear()
