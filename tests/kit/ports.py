"""Free ports of this machine."""

from __future__ import annotations

import itertools
import os
import random
import socket
from collections.abc import Iterator
from contextlib import suppress

FIRST_PORT, LANES, LANE = 12_000, 20, 1_000
"""Ports of 20 workers of pytest-xdist: below those that Linux takes for outgoing connections."""


def _ports() -> Iterator[int]:
    """Return numbers of ports, over and over, that no other worker has.

    It takes a thousand calls until one comes again, so that what a test stopped can start anew at
    its port. Another run on this machine has the same numbers; most likely it begins elsewhere.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    lane = 1 + int(worker.removeprefix("gw")) if worker else 0
    first = FIRST_PORT + lane % LANES * LANE
    start = random.randrange(LANE)
    return itertools.cycle(first + (start + step) % LANE for step in range(LANE))


_next_ports = _ports()


def free_port() -> int:
    """Return a port that nobody listens on, and that nobody else is told to be free."""
    for port in itertools.islice(_next_ports, LANE):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("nothing is free")
