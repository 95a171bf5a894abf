"""The pages for people, as somebody has them who has a browser and an account."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request

from kit.forms import form
from kit.http import Answer, Connection, ask, basic
from kit.template import PASSWORD
from kit.waiting import wait_until


class Window(Protocol):
    """Opens a window at an index, as window() does in a certain browser."""

    def __call__(self, url: str, **options: Any) -> AbstractContextManager[Page]: ...


ALICE = basic("alice", PASSWORD)
"""The login of a publisher."""
ACCEPT = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
"""The header by which a browser asks for a page."""


def publish(url: str, path: Path, signature: bytes = b"") -> None:
    """Publish a file at the URL of an index, without a slash at its end, as alice.

    Args:
        signature: of the file, if it comes with one.
    """
    files = {"content": (path.name, path.read_bytes())}
    if signature:
        files["gpg_signature"] = (f"{path.name}.asc", signature)
    body, kind = form({":action": "file_upload"}, files)
    with Connection(url) as connection:
        headers = {**ALICE, "Content-Type": kind}
        answer = connection.ask("/", headers, method="POST", body=body)
    assert answer.status == 200, answer.body


def get(url: str, path: str) -> Answer:
    """Ask for a path as alice's tool, which is no browser."""
    return ask(url, path, ALICE)


def wait_for(url: str, *names: str) -> None:
    """Wait until the pages tell of exactly these projects, each of which has its own."""

    def told() -> list[str]:
        answer = get(url, "/search.json")
        return [row[0] for row in json.loads(answer.body)] if answer.status == 200 else []

    def are_there() -> bool:
        pages = (get(url, f"/project/{name}/").status for name in names)
        # Without that page, private_pypi welcomes everybody with a line of text.
        return told() == sorted(names) and b"Set me up" in get(url, "/").body and {*pages} <= {200}

    wait_until(are_there, explain=told)


def wait_for_text(url: str, path: str, text: str) -> None:
    """Wait until a page shows a text."""
    wait_until(lambda: text in get(url, path).body.decode(), explain=lambda: text)


@contextmanager
def window(
    browser: Browser, url: str, *, account: str = "alice", expected: str = "", **options: Any
) -> Iterator[Page]:
    """Open a window for somebody who logs in with an account; it closes at the end of the block.

    Until then nothing may go wrong in it: no message in the console, no error, no dialog, no other
    window, no request to another origin.

    Args:
        url: of the index; paths are relative to it.
        account: empty to have none.
        expected: words of the messages that must be in the console, all of them.
        options: of the browser's context.
    """
    if account:
        options["http_credentials"] = {"username": account, "password": PASSWORD}
    context = browser.new_context(base_url=f"{url.rstrip('/')}/", **options)
    complaints: list[str] = []
    origin = urlsplit(url)[:2]

    def hear(message: ConsoleMessage) -> None:
        complaints.append(f"{message.type}: {message.text}")

    def see(request: Request) -> None:
        if urlsplit(request.url)[:2] != origin:
            complaints.append(f"{request.method} {request.url}")

    def close(dialog: Dialog) -> None:
        complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    context.on("request", see)
    page = context.new_page()
    page.on("console", hear)
    page.on("dialog", close)
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("popup", lambda popup: complaints.append(f"window: {popup.url}"))
    try:
        yield page
    finally:
        context.close()
    strange = [one for one in complaints if not expected or expected not in one]
    assert strange == []
    assert bool(expected) <= bool(complaints), f"nothing was said of {expected}"
