"""Many wrong logins at once, from a process of its own: `python flood.py HOST:PORT COUNT NAME...`.

Each of its connections sends the same number of requests, one after the other, and all of them
together 400 a second if the server can. With names, each request is a login under one of them with
a password that was not tried before; without, it has no login. Prints how many answers are 401.
"""

from __future__ import annotations

import base64
import secrets
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

CONNECTIONS = 8
RATE = 400


def login(name: str) -> str:
    """Return a header line with a password that nobody has."""
    pair = base64.b64encode(f"{name}:{secrets.token_urlsafe(24)}".encode()).decode()
    return f"Authorization: Basic {pair}\r\n"


def refused(address: tuple[str, int], count: int, names: list[str]) -> int:
    """Send so many requests on one connection; return how many were refused."""
    found = 0
    began = time.monotonic()
    with socket.create_connection(address, timeout=60) as connection:
        for number in range(count):
            time.sleep(max(0, began + number * CONNECTIONS / RATE - time.monotonic()))
            header = login(names[number % len(names)]) if names else ""
            connection.sendall(f"GET /simple/ HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode())
            answer = b""
            while not answer.endswith(b"\r\n\r\n401 Unauthorized"):
                received = connection.recv(4096)
                if not received:
                    return found
                answer += received
            found += answer.startswith(b"HTTP/1.1 401 ")
    return found


if __name__ == "__main__":
    host, _, port = sys.argv[1].rpartition(":")
    each = int(sys.argv[2]) // CONNECTIONS
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        tasks = [
            pool.submit(refused, (host, int(port)), each, sys.argv[3:]) for _ in range(CONNECTIONS)
        ]
        print(sum(task.result() for task in tasks))
