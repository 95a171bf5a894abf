"""Descriptions as HTML, which strangers wrote in Markdown or reStructuredText.

A process of its own renders them: one that takes too long, or too much memory, ends that process
alone. `python -m private_pypi.web.description` is that process. It reads questions and writes
answers, each a line of JSON.
"""

from __future__ import annotations

import io
import json
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from email.message import Message
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

from .. import disk
from .details import Details

SECONDS = 2
"""Seconds of a processor that rendering one description may take."""
LIMIT = 4_000_000
"""Letters of HTML that a description may become."""
MEMORY = 256 * 2**20
"""Bytes of memory that the process may have."""

ID_PREFIX = "text-"
"""What the ids of a description begin with, so that they are no ids of the page around it."""

_TAGS = """
a abbr b blockquote br caption cite code col colgroup dd del details div dl dt em figcaption figure
h1 h2 h3 h4 h5 h6 hr i kbd li ol p pre span strong sub summary sup table tbody td th thead tr tt
ul var
"""
_ATTRIBUTES = {
    "*": {"id"},
    "a": {"href", "title"},
    "abbr": {"title"},
    "ol": {"start"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan"},
}

_OTHERS = r"""(?: (?!alt=)[a-z]+="[^"]*")*"""
_REPLACED: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # Images are not loaded: their text takes their place.
    (re.compile(rf'<img{_OTHERS}(?: alt="([^"]*)")?{_OTHERS}>'), r"\1"),
    # The marks beside headings are links without a name.
    (re.compile(r'<a(?: [a-z]+="[^"]*")*></a>'), ""),
    # They have ids that are linked, but are no landmarks of the page.
    (re.compile("<(/?)(?:aside|nav|section)(?=[ >])"), r"<\1div"),
    # The page has headings of the first two levels itself.
    (re.compile("<(/?)h([1-6])"), lambda found: f"<{found[1]}h{min(6, int(found[2]) + 2)}"),
)


class Renderer:
    """Renders descriptions, in a process that lives from the first one to the end of the block."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Renderer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def html(self, details: Details) -> str:
        """Return a description as sanitised HTML; empty if it has to be shown as text.

        A process that ends may have been ended by something else: another one tries it once more.
        """
        if not details.description:
            return ""
        answer = self._ask(details) or self._ask(details)
        html: str = json.loads(answer) if answer else ""
        return html

    def _ask(self, details: Details) -> bytes:
        """Return the answer, empty if the process ends at it."""
        if not self._process:
            command = [sys.executable, "-m", __spec__.name]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # What it complains about is a stranger's text.
                stderr=subprocess.DEVNULL,
            )
        question = json.dumps([details.description, details.content_type]).encode()
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(question + b"\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer.endswith(b"\n"):
            self._end()
            return b""
        return answer

    def _end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None


class Descriptions:
    """The descriptions that were rendered, by their content, in a folder of files.

    Args:
        folder: where they are kept, in the folder of the pages.
        renderer: renders the others.
    """

    def __init__(self, folder: Path, renderer: Renderer) -> None:
        self._folder = folder
        self._renderer = renderer

    def html(self, details: Details) -> str:
        """Return a description as sanitised HTML; empty if it has to be shown as text."""
        if not details.description:
            return ""
        kept = self._folder / key(details)
        with suppress(OSError):
            digest, _, content = kept.read_bytes().partition(b"\n")
            # A power failure may have left part of it.
            if digest == _digest(content):
                return content.decode()
        html = self._renderer.html(details)
        content = html.encode()
        whole = _digest(content) + b"\n" + content
        # Other processes may write at the same time, or sweep what is not in its place yet.
        with disk.locked(self._folder.parent):
            self._folder.mkdir(exist_ok=True)
            disk.write_unsynced(kept, whole, self._folder / ".new")
        return html


def key(details: Details) -> str:
    """Return what a description is kept under: it differs if its HTML may."""
    content = json.dumps([_renderer_version(), details.content_type, details.description])
    return sha256(content.encode()).hexdigest()


def _digest(content: bytes) -> bytes:
    return sha256(content).hexdigest().encode()


@cache
def _renderer_version() -> str:
    used = ("readme_renderer", "nh3", "docutils", "comrak", "Pygments")
    rules = sha256(Path(__file__).read_bytes()).hexdigest()
    return " ".join([*map(version, used), rules])


def render(text: str, content_type: str) -> str:
    """Return a description as sanitised HTML; empty if it is plain text or its markup is wrong.

    Args:
        content_type: Description-Content-Type of the core metadata; without one, it may be
            reStructuredText.
    """
    from readme_renderer import markdown, rst

    header = Message()
    header["Content-Type"] = content_type or "text/x-rst"
    if header.get_content_type() == "text/markdown":
        variant = str(header.get_param("variant", "GFM"))
        html = markdown.render(text, variant if variant in markdown.variants else "GFM")
    elif header.get_content_type() == "text/x-rst":
        html = rst.render(text, stream=io.StringIO())
    else:
        html = None
    return clean(html) if html else ""


def clean(html: str) -> str:
    """Return HTML without all that runs, loads, or looks like a part of the page around it.

    Args:
        html: as readme_renderer returns it: sanitised, with each attribute in double quotes.
    """
    import nh3

    # Before it is sanitised once more, so that no mistake here can do harm.
    for pattern, replacement in _REPLACED:
        html = pattern.sub(replacement, html)
    return nh3.clean(
        html,
        tags=set(_TAGS.split()),
        clean_content_tags={"script", "style"},
        attributes=_ATTRIBUTES,
        allowed_classes={"span": _highlighted()},
        url_schemes={"http", "https", "mailto"},
        url_relative=_within,
        link_rel="nofollow noopener noreferrer",
        attribute_filter=lambda _, name, value: _id(value) if name == "id" else value,
    )


def _within(url: str) -> str | None:
    """Return a link to a place in the same description; None for all else of this server."""
    if not url.startswith("#"):
        return None
    return url if url == "#top" else f"#{_id(url[1:])}"


def _id(text: str) -> str:
    # The renderers have a prefix of their own, which ids that were written as HTML lack.
    return f"{ID_PREFIX}{text.removeprefix('user-content-')}"


@cache
def _highlighted() -> set[str]:
    from pygments.token import STANDARD_TYPES

    return set(filter(None, STANDARD_TYPES.values()))


def main() -> None:
    """Answer questions until there are no more; end at one that takes too long."""
    # What it imports takes a while, which counts for no description.
    render("`a`__\n\n__ b", "")
    render("```python\na\n```", "text/markdown")
    with suppress(ValueError, OSError):  # Some systems do not know this limit.
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin:
        # It is killed then: nothing else interrupts a library that is written in another language.
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            html = render(*json.loads(line))
        except Exception:
            html = ""  # Hostile text makes the parsers raise nearly anything.
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(html if len(html) <= LIMIT else ""), flush=True)


if __name__ == "__main__":
    main()
