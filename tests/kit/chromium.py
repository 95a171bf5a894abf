"""Chromium, Debian's, as a person's browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

ELSEWHERE = "index.example"
"""A name of this machine, for browsers alone; to them, what is loaded from there is not secure."""


@contextmanager
def running() -> Iterator[Browser]:
    """Run a browser without a window as long as the block runs."""
    program = shutil.which("chromium")
    assert program, "chromium is not installed: install Debian's, as .ci/run does"
    with sync_playwright() as playwright:
        # Without its sandbox, which refuses root: CI is that, in a container.
        browser = playwright.chromium.launch(
            executable_path=program,
            chromium_sandbox=False,
            args=[f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"],
        )
        try:
            yield browser
        finally:
            browser.close()
