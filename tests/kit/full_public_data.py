"""A mirror whose disk is full: python -m kit.full_public_data HOW REPOSITORY FOLDER.

HOW is `limit`: no file of `public` can grow beyond a size, which stops writes in the middle as a
full disk does. Where a volume may be mounted, it is `mount`: then a small one is filled as well.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from kit import wheel
from kit.commands import run
from kit.full_disk import fill
from kit.killable_server import MEBIBYTE
from kit.mirror import Mirror, running

SIZE = 8 * MEBIBYTE


def main(how: str, repository: Path, folder: Path) -> None:
    """Fill the disk; fail if a client notices, or anything is torn."""
    with running(repository, folder / "limit") as mirror:
        # Files that are too large for it fail in the middle.
        limits = (MEBIBYTE, resource.RLIM_INFINITY)
        resource.prlimit(mirror.public.process.pid, resource.RLIMIT_FSIZE, limits)
        download(mirror, "large", megabytes=3)
        download(mirror, "small", megabytes=0)
        check(mirror)
        assert [path.split("/")[1] for path in mirror.public.kept()] == ["small"]
        assert mirror.public.log.read_text().count("passed on, but not kept") == 1
    if how == "mount":
        data = folder / "mount/s/public_data"
        data.mkdir(parents=True)
        run("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", data)
        with running(repository, folder / "mount") as mirror:
            for number in range(6):
                download(mirror, f"large-{number}", megabytes=3)
            fill(data / "filler", 0)
            for number in range(6):
                download(mirror, f"small-{number}", megabytes=0)
            (data / "filler").unlink()
            check(mirror)
            assert "passed on, but not kept" in mirror.public.log.read_text()
    print("all is well")


def check(mirror: Mirror) -> None:
    """Check that nothing is torn, and that what is ours knows of nothing."""
    mirror.check_whole()
    assert mirror.publish("ours") == 200
    assert mirror.offered("ours") == ["ours-1.0-py3-none-any.whl"]
    log = mirror.public.log.read_text()
    assert "Traceback" not in log, log


def download(mirror: Mirror, name: str, *, megabytes: int) -> None:
    """Release something, and get its page and its file, twice."""
    noise = {"noise": os.urandom(megabytes * MEBIBYTE // 2).hex()}
    path = wheel.build(mirror.pypi.folder, name, "1.0", origin="PyPI", more=noise)
    mirror.pypi.add(path, name)
    for _ in range(2):
        assert mirror.offered(name) == [path.name]
        answer = mirror.download(name, path.name)
        assert (answer.status, answer.body == path.read_bytes()) == (200, True), name


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
