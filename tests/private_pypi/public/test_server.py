"""The process of the mirror: its socket, its log, and how it ends."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from kit.processes import Running
from kit.pypi import PyPI
from kit.served_mirror import listens
from kit.waiting import wait_until

FILE = "/public/a-lib/a_lib-1.0-py3-none-any.whl"
SERVE = (
    "from private_pypi.public.server import serve;"
    "from private_pypi.public.settings import PublicSettings;"
    "serve(PublicSettings.from_environment())"
)


class Process(Running):
    """The mirror as a process of its own."""

    seconds_to_end = 5.0

    def __init__(self, folder: Path, index: str) -> None:
        (folder / "public_policy.toml").write_text("cooldown_days = 7\n")
        self.socket = folder / "run/public.sock"
        self.data = folder / "public_data"
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "public_index": index,
            "PYPI_SOCKET": str(self.socket),
        }
        log = folder / "public.log"
        super().__init__("public", log, folder=folder, environment=environment)

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-c", SERVE]

    def answers(self) -> bool:
        return listens(self.socket)

    def ask(self, path: str) -> httpx.Response:
        transport = httpx.HTTPTransport(uds=str(self.socket))
        with httpx.Client(transport=transport, base_url="http://public", timeout=60) as client:
            return client.get(path)


@pytest.fixture
def process(tmp_path: Path, pypi: PyPI) -> Process:
    return Process(tmp_path, pypi.url)


def test_every_user_who_sees_the_socket_may_connect_also_after_a_kill(process: Process) -> None:
    with process:
        process.kill()
        assert process.socket.exists()
        process.socket.chmod(0o600)
        process.start()
        assert stat.S_IMODE(process.socket.stat().st_mode) == 0o666
        assert process.ask("/health").text == "ok\n"


def test_it_ends_within_seconds_although_clients_download(process: Process, pypi: PyPI) -> None:
    # Of this one, the first half is sent on.
    numbers = (hashlib.sha256(b"%d" % number).hexdigest() for number in range(40_000))
    pypi.release("b-lib", "1.0", contents={"b_lib/big.txt": "".join(numbers)})
    begun = process.data / ".unfinished"

    with ThreadPoolExecutor() as pool, pypi.failing("held", where="files"):
        with process:
            small = pool.submit(process.ask, FILE)
            large = pool.submit(process.ask, "/public/b-lib/b_lib-1.0-py3-none-any.whl")
            wait_until(lambda: pypi.times_asked(".whl") == 2)
            wait_until(lambda: any(path.stat().st_size > 2**18 for path in begun.iterdir()))
        assert process.process.returncode == 0
        assert small.result(10).status_code == 503
        assert isinstance(large.exception(10), httpx.RemoteProtocolError)

    assert "Traceback" not in process.log.read_text()


def test_a_download_that_a_kill_tore_leaves_nothing_and_is_fetched_again(
    process: Process, pypi: PyPI
) -> None:
    with process:
        with ThreadPoolExecutor() as pool, pypi.failing("held", where="files"):
            waiting = pool.submit(process.ask, FILE)
            wait_until(lambda: list((process.data / ".unfinished").iterdir()))
            process.kill()
            assert isinstance(waiting.exception(10), httpx.TransportError)
        assert not list((process.data / "public").rglob("*.whl"))
        process.start()
        assert list((process.data / ".unfinished").iterdir()) == []
        assert process.ask(FILE).content == pypi.uploads["a-lib"][0].path.read_bytes()


def test_the_log_says_what_fails_without_requests_and_tracebacks(
    process: Process, pypi: PyPI
) -> None:
    with process, pypi.failing("altered", where="files"):
        assert process.ask(FILE).status_code == 502
        process.ask("/simple/%1b%5b2J/")
        # A client that speaks something else.
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(process.socket))
            raw.sendall(b"\x16\x03\x01\x02\x00\r\n\r\n")
            raw.recv(1000)

    log = process.log.read_text()
    assert "a_lib-1.0-py3-none-any.whl of a-lib was not fetched: the file has the sha256" in log
    # The gateway notes each request, without its query.
    assert "GET " not in log
    assert "\x1b" not in log
    assert "Traceback" not in log
    assert "HTTP Request" not in log
