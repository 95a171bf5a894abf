"""Waiting for a state, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone

import requests

SECONDS = 90.0


def wait_until(
    done: Callable[[], object],
    seconds: float = SECONDS,
    *,
    pause: float = 0.05,
    explain: Callable[[], object] = str,
) -> None:
    """Wait until something is so; until then it may also lose connections, as at a reload.

    Args:
        done: tells whether it is so.
        seconds: how long it may take on a busy machine.
        pause: seconds between two questions.
        explain: tells why not, once the time is over.

    Raises:
        AssertionError: it took too long.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            if done():
                return
        except (ConnectionError, requests.ConnectionError):
            pass
        if time.monotonic() > deadline:
            raise AssertionError(f"not so after {seconds:g} s {explain()}".strip())
        time.sleep(pause)


def today() -> date:
    """Return the day in UTC on which the calling test also ends: before midnight, the next one."""
    end = datetime.now(timezone.utc) + timedelta(seconds=SECONDS)
    wait_until(lambda: datetime.now(timezone.utc).date() == end.date(), 2 * SECONDS)
    return end.date()
