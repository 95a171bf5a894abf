"""A mirror whose disk is full, run by test_files_killed.py: python -m kit.full_mirror HOW FOLDER.

HOW is `mount`, for a small volume of its own, or, where nobody may mount anything, `limit`: then
no file can grow beyond a size, which stops writes in the middle as a full disk does.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sys
from pathlib import Path

from private_pypi.public.files import Files

from kit.commands import run
from kit.full_disk import fill
from kit.pypi_files import PROJECT, PypiFiles, a_file, content, kept, rest, until

MEBIBYTE = 2**20
SIZE = 8 * MEBIBYTE
CHUNKS = [os.urandom(MEBIBYTE // 4) for _ in range(8)]
FILE = a_file(b"".join(CHUNKS))


def main(how: str, folder: Path) -> None:
    """Fill the disk in every way; fail if a client goes without, or if anything torn is kept."""
    if how == "mount":
        run("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder)
        asyncio.run(is_filled_by_others(folder))
        asyncio.run(is_full_from_the_start(folder))
        asyncio.run(leaves_space_to_others(folder))
    else:
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MEBIBYTE, most))
        asyncio.run(takes_nothing(folder))
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    asyncio.run(takes_it(folder))
    print("all is well")


async def is_filled_by_others(folder: Path) -> None:
    """While a file comes."""
    pypi = PypiFiles()
    told = pypi.sends_as_told(FILE.url, FILE.size)
    told.send(*CHUNKS[:3])
    async with (
        Files(folder / "public_data", 2**30, pypi, reserve=0) as files,
        files.open(PROJECT, FILE) as one,
        files.open(PROJECT, FILE) as other,
    ):
        got = await anext(one.chunks)
        fill(folder / "filler", 0)
        pypi.sends(FILE.url, *CHUNKS)
        told.send(*CHUNKS[3:])
        told.end()
        assert got + await rest(one) == b"".join(CHUNKS)
        assert await rest(other) == b"".join(CHUNKS)
    assert kept(folder / "public_data") == []


async def is_full_from_the_start(folder: Path) -> None:
    """To the last byte."""
    fill(folder / "filler", 0)
    await takes_nothing(folder)
    (folder / "filler").unlink()


async def takes_nothing(folder: Path) -> None:
    """But the client has its file."""
    pypi = PypiFiles()
    pypi.sends(FILE.url, *CHUNKS)
    async with Files(folder / "public_data", 2**30, pypi, reserve=0) as files:
        assert await content(files, FILE) == b"".join(CHUNKS)
        await until(lambda: not pypi.open)
        assert kept(folder / "public_data") == []


async def leaves_space_to_others(folder: Path) -> None:
    """However much is asked for."""
    pypi = PypiFiles()
    async with Files(folder / "public_data", 2**30, pypi, reserve=3 * MEBIBYTE) as files:
        for number in range(20):
            file = a_file(b"".join(CHUNKS[:4]), f"six-{number}.tar.gz")
            pypi.sends(file.url, *CHUNKS[:4])
            assert await content(files, file) == b"".join(CHUNKS[:4])
            await until(lambda: not pypi.open)
            assert f"public/{PROJECT}/{file.filename}" in kept(folder / "public_data")
            assert shutil.disk_usage(folder).free >= 3 * MEBIBYTE


async def takes_it(folder: Path) -> None:
    """Once there is space."""
    pypi = PypiFiles()
    pypi.sends(FILE.url, *CHUNKS)
    async with Files(folder / "public_data", 2**30, pypi, reserve=0) as files:
        for _ in range(2):
            assert await content(files, FILE) == b"".join(CHUNKS)
            await until(lambda: not pypi.open)
    assert len(pypi.asked) == 1


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
