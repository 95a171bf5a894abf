"""A server whose disk is full, run by test_crashes.py: python -m kit.full_disk HOW REPO FOLDER.

HOW is `mount`, for a small volume of its own, or, where nobody may mount anything, `limit`: then
no file of the server can grow beyond a size, which stops writes in the middle as a full disk does.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

from kit.commands import run
from kit.integrity import Found, check_tidy, digest, served
from kit.killable_server import MEBIBYTE, KillableServer
from kit.waiting import wait_until
from kit.wheel import of_size

PAGE = resource.getpagesize()
SIZE = 8 * MEBIBYTE
SENTENCE = "The disk of the index is full: free some space on the server, then send the file again."


def main(how: str, repository: Path, folder: Path) -> None:
    """Fill the disk in every way; fail if anything is torn or lost."""
    volume = folder / "volume"
    if how == "limit":
        fill_by_limit(repository, folder, volume)
    else:
        run("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", volume)
        # The log does not belong to what is full.
        server = KillableServer(repository, volume / "server")
        server.log = folder / "log"
        with server:
            published = fill_with_uploads(server, folder)
            fill_to_the_last_page(server, folder, published)
        with server:
            assert check_tidy(server.data, server.index) == published
        server.verify()
        assert "Traceback" not in server.log.read_text(), server.log.read_text()
    print("all is well")


def fill_with_uploads(server: KillableServer, folder: Path) -> dict[str, str]:
    """Publish until nothing fits any more, free space, publish again."""
    reserve = server.data.parent / "reserve"
    reserve.write_bytes(bytes(2 * MEBIBYTE))
    published: dict[str, str] = {}
    for number in range(1000):
        file, content = of_size(folder, f"fills{number}", 100)
        status, sentence = server.publish(file, content)
        if status != 200:
            break
        published[file] = digest(content)
    assert (status, sentence.strip()) == (507, SENTENCE), (status, sentence)
    assert len(published) > 20
    assert check_tidy(server.data, server.index) == published
    assert server.listed() == published
    assert server.answers()

    reserve.unlink()
    assert server.publish(file, content)[0] == 200
    published[file] = digest(content)
    assert check_tidy(server.data, server.index) == published
    return published


def fill_to_the_last_page(server: KillableServer, folder: Path, published: dict[str, str]) -> None:
    """Publish with no page of the disk free, with one, with two, until an upload fits.

    Of what is answered 200 the journal has its line. Its pages may come later, when there is space.
    """
    filler = server.data.parent / "filler"
    refused = late = 0
    for pages in range(200):
        file, content = of_size(folder, f"last{pages}", 4)
        fill(filler, pages)
        status, sentence = server.publish(file, content)
        # What is on a full disk can be served, so a launch must not be refused.
        if pages % 4 == 0:
            server.check()
        found = shown(server)
        assert published.items() <= found.items()
        assert list((server.data / ".uploads").iterdir()) == []
        filler.unlink()
        if status != 200:
            refused += 1
            assert (status, sentence.strip()) == (507, SENTENCE), (pages, status, sentence)
        elif file not in found:
            late += 1
        if status == 200 and late == 1:
            wait_until_listed(server, file)
        else:
            assert server.publish(file, content)[0] == 200
        published[file] = digest(content)
        assert shown(server) == published
        if file in found and pages > refused + late + 3:
            break
    assert refused > 1
    assert late > 1
    assert server.listed() == published


def wait_until_listed(server: KillableServer, file: str) -> None:
    """Wait until a file is listed without being sent again."""
    wait_until(
        lambda: file in shown(server), 20, explain=lambda: f"{file} was answered 200, not listed"
    )


def shown(server: KillableServer) -> Found:
    """Return what the running server shows; a page may go meanwhile, but is never torn."""
    for _ in range(20):
        try:
            return served(server.index)
        except FileNotFoundError:
            time.sleep(0.05)
    return served(server.index)


def fill(filler: Path, pages: int) -> None:
    """Write a file that leaves so many pages free."""
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(PAGE)):
                pass
        except OSError:
            file.truncate(max(0, file.tell() - pages * PAGE))


def fill_by_limit(repository: Path, folder: Path, volume: Path) -> None:
    """Have writes fail beyond a size of files, and work again without that limit."""
    server = KillableServer(repository, volume / "server")
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    published: dict[str, str] = {}
    for kilobytes in (0, 10, 100, 300):
        file, content = of_size(folder, f"limit{kilobytes}", kilobytes)
        large, too_large = of_size(folder, f"large{kilobytes}", 1000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500 * 1024, most))
        with server:
            assert server.publish(large, too_large)[0] in (500, 507)
            assert list((server.data / ".uploads").iterdir()) == []
            assert server.publish(file, content)[0] == 200
        published[file] = digest(content)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        with server:
            assert server.publish(large, too_large)[0] == 200
            published[large] = digest(too_large)
            assert check_tidy(server.data, server.index) == published
            assert server.listed() == published
    server.verify()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
