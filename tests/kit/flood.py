"""Many wrong logins at once, from a process of its own.

    python -m kit.flood HOST:PORT COUNT [NAME]...

Each of its clients sends the same number of requests, each on a connection of its own, and all of
them together 400 a second if the server can. With names, each request is a login under one of
these, with a password that was not tried before; without, it has no login. Prints how many answers
are 401.
"""

from __future__ import annotations

import secrets
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from kit.http import basic

CLIENTS = 8
RATE = 400


def login(name: str) -> str:
    """Return a header line with a password that no account has."""
    return f"Authorization: {basic(name, secrets.token_urlsafe(24))['Authorization']}\r\n"


def refused(address: tuple[str, int], count: int, names: list[str]) -> int:
    """Send so many requests, each on a connection of its own; return how many were refused."""
    found = 0
    began = time.monotonic()
    for number in range(count):
        time.sleep(max(0, began + number * CLIENTS / RATE - time.monotonic()))
        header = login(names[number % len(names)]) if names else ""
        with socket.create_connection(address, timeout=60) as connection:
            connection.sendall(f"GET /simple/ HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode())
            found += connection.recv(4096).startswith(b"HTTP/1.1 401 ")
    return found


if __name__ == "__main__":
    host, _, port = sys.argv[1].rpartition(":")
    each = int(sys.argv[2]) // CLIENTS
    with ThreadPoolExecutor(CLIENTS) as pool:
        tasks = [
            pool.submit(refused, (host, int(port)), each, sys.argv[3:]) for _ in range(CLIENTS)
        ]
        print(sum(task.result() for task in tasks))
