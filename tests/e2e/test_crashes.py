"""A real server that is killed, starved of disk space, or sent more than its memory holds."""

from __future__ import annotations

import http.client
import io
import random
import stat
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from kit import integrity
from kit.accounts import ALICE
from kit.commands import run
from kit.forms import TYPE, around
from kit.http import basic
from kit.killable_server import MEBIBYTE, KillableServer
from kit.small_volume import small_volume
from kit.template import ROOT
from kit.waiting import wait_until
from kit.wheel import of_size

_CHUNK = bytes(MEBIBYTE)


@pytest.fixture
def server(rendered: Path, tmp_path: Path) -> KillableServer:
    """A server that is not started yet."""
    return KillableServer(rendered, tmp_path / "server", PYPI_MAX_UPLOAD_MB="2048")


class Publishers:
    """Threads that publish one wheel after the other until the server is gone.

    Attributes:
        answered: sha256 of all that was answered with 200, by file name.
        unanswered: what was sent when the server was killed.
    """

    def __init__(self, server: KillableServer, folder: Path, *, count: int = 4) -> None:
        self.answered: dict[str, str] = {}
        self.unanswered: dict[str, bytes] = {}
        self.wrong: list[tuple[int, str]] = []
        self._server = server
        self._folder = folder
        self._threads = [
            threading.Thread(target=self._publish, args=(number,)) for number in range(count)
        ]

    def start(self) -> None:
        """Begin to publish."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until all have noticed that the server is gone."""
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _publish(self, number: int) -> None:
        for turn in range(10_000):
            # A project of its own or one that all share, small or of more than one chunk.
            name = f"{self._folder.name}-{number}-{turn}"
            file, content = of_size(self._folder, name, (0, 1, 300)[turn % 3])
            answer = self._server.publish(file, content)
            if answer[0] == 200:
                self.answered[file] = integrity.digest(content)
                continue
            self.unanswered[file] = content
            if answer[0]:
                self.wrong.append(answer)
            return


def test_a_server_killed_again_and_again_loses_nothing_and_shows_nothing_torn(
    server: KillableServer, tmp_path: Path
) -> None:
    published: dict[str, str] = {}
    unanswered: dict[str, bytes] = {}
    tried = 0
    for turn in range(16):
        folder = tmp_path / f"round{turn}"
        folder.mkdir()
        publishers = Publishers(server, folder)
        with server:
            check_mended(server, published, unanswered)
            publishers.start()
            time.sleep(0.02 + 0.03 * turn + random.uniform(0, 0.03))
            server.kill()
        publishers.join()
        assert publishers.wrong == []
        published |= publishers.answered
        unanswered = publishers.unanswered
        tried += len(unanswered)
        # What the gateway serves meanwhile.
        assert published.items() <= integrity.served(server.index).items()
    assert tried >= 16
    with server:
        check_mended(server, published, unanswered)
        assert len(published) > 60
        assert server.listed() == published
    assert f"{len(published)} distributions are what was published" in server.verify()
    assert "Traceback" not in server.log.read_text()


def check_mended(
    server: KillableServer, published: dict[str, str], unanswered: dict[str, bytes]
) -> None:
    """Nothing unfinished is left after a start, and what had no answer can be sent again."""
    assert list((server.data / ".uploads").iterdir()) == []
    for file, content in unanswered.items():
        assert server.publish(file, content)[0] == 200
        published[file] = integrity.digest(content)
    assert integrity.check_tidy(server.data, server.index) == published


# Large uploads ------------------------------------------------------------------------------------


class _Pieces(io.RawIOBase):
    """A file that only grows; what is written is held until it is taken."""

    def __init__(self) -> None:
        self.held: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, content: bytes) -> int:  # type: ignore[override]
        self.held.append(bytes(content))
        return len(content)

    def take(self) -> Iterator[bytes]:
        """Yield what was written and forget it."""
        while self.held:
            yield self.held.pop(0)


def large_wheel(name: str, megabytes: int) -> Iterator[bytes]:
    """Yield a wheel with a member of so many zeros, which is nowhere as a whole."""
    pieces = _Pieces()
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(pieces, "w") as archive:
        archive.writestr(
            zipfile.ZipInfo(f"{info}/METADATA"),
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        )
        archive.writestr(zipfile.ZipInfo(f"{info}/WHEEL"), "Wheel-Version: 1.0\n")
        files = (f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD", f"{name}/zeros")
        # No hashes: nobody has seen the zeros yet.
        record = "".join(f"{file},,\n" for file in files)
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), record)
        with archive.open(zipfile.ZipInfo(f"{name}/zeros"), "w", force_zip64=True) as member:
            for _ in range(megabytes):
                member.write(_CHUNK)
                yield from pieces.take()
    yield from pieces.take()


class Large:
    """The upload of a large wheel, sent as it is made."""

    def __init__(self, server: KillableServer, name: str, megabytes: int) -> None:
        self.file = f"{name}-1.0-py3-none-any.whl"
        before, after = around(self.file)
        # Only the zeros of the member matter, and each of them is one byte.
        length = sum(map(len, large_wheel(name, 0))) + megabytes * MEBIBYTE
        self._parts = [iter([before]), large_wheel(name, megabytes), iter([after])]
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        self._connection.putrequest("POST", "/")
        size = str(len(before) + length + len(after))
        headers = {**basic(*ALICE), "Content-Type": TYPE, "Content-Length": size}
        for header, value in headers.items():
            self._connection.putheader(header, value)
        self._connection.endheaders()

    def send(self, at_most: int | None = None) -> None:
        """Send the rest, or about so many bytes of it."""
        sent = 0
        for part in self._parts:
            for piece in part:
                self._connection.send(piece)
                sent += len(piece)
                if at_most is not None and sent >= at_most:
                    return

    def answer(self) -> tuple[int, str]:
        """Return status and sentence."""
        answer = self._connection.getresponse()
        return answer.status, answer.read().decode()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def in_use(folder: Path) -> int:
    """Return the bytes that files in a folder take on disk, some of which may just be removed."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            found = path.lstat()
            total += found.st_blocks * 512 if stat.S_ISREG(found.st_mode) else 0
    return total


def test_no_process_outlives_a_master_that_is_killed_and_the_next_server_answers_alone(
    server: KillableServer, tmp_path: Path
) -> None:
    with server:
        large = Large(server, "large", 20)
        large.send(10 * MEBIBYTE)
        wait_until(lambda: in_use(server.data) > 5 * MEBIBYTE)
        children = server.kill_master()
        # gunicorn itself would let its worker finish the upload, for half a minute.
        wait_until(lambda: not any(map(runs, children)), 5)
        large.close()
    file, content = of_size(tmp_path, "after")
    with server:
        assert server.publish(file, content)[0] == 200
        assert list(server.listed()) == [file]
        assert integrity.check_tidy(server.data, server.index) == server.listed()


def runs(process: int) -> bool:
    """Return whether a process is there, other than as a record of how it ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False
    return "\nState:\tZ" not in status


@pytest.mark.parametrize("end", ["killed", "hung up"])
def test_a_large_upload_that_ends_in_the_middle_leaves_nothing(
    server: KillableServer, end: str
) -> None:
    with server:
        large = Large(server, "large", 200)
        large.send(100 * MEBIBYTE)
        wait_until(lambda: in_use(server.data) > 50 * MEBIBYTE)
        if end == "killed":
            server.kill()
        large.close()
        if end == "hung up":
            wait_until(lambda: in_use(server.data) < MEBIBYTE)
    with server:
        assert in_use(server.data) < MEBIBYTE
        assert integrity.check_tidy(server.data, server.index) == {}

        large = Large(server, "large", 200)
        large.send()
        assert large.answer()[0] == 200
        large.close()
        assert list(integrity.check_tidy(server.data, server.index)) == [large.file]


def test_an_upload_of_1500_megabytes_takes_little_memory(server: KillableServer) -> None:
    with server:
        large = Large(server, "large", 1500)
        large.send()
        answer = large.answer()
        large.close()
        assert answer[0] == 200, answer
        assert server.memory() < 150 * MEBIBYTE
        assert (server.data / large.file).stat().st_size > 1500 * MEBIBYTE
        page = requests.get(f"{server.url()}simple/large/", auth=ALICE, timeout=30).text
        assert large.file in page
    (server.data / large.file).unlink()


# A full disk --------------------------------------------------------------------------------------


def test_a_full_disk_refuses_uploads_and_loses_nothing(rendered: Path, tmp_path: Path) -> None:
    """Run tests/kit/full_disk.py, in mounts of its own that end with it."""
    (tmp_path / "volume").mkdir()
    prefix = small_volume(tmp_path / "volume")
    how = ["limit"] if prefix is None else ["mount"]
    said = run(
        *[*(prefix or []), sys.executable, "-m", "kit.full_disk", *how],
        *(rendered, tmp_path),
        cwd=ROOT / "tests",
        timeout=120,
    )
    assert said.endswith("all is well\n")
