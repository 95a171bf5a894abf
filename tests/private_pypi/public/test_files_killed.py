"""A mirror that is killed, or whose disk is full, before any step of a file to its place."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from kit.commands import run
from kit.each_step import Steps, full, killed
from kit.pypi_files import NAME, PROJECT, PypiFiles, a_file, content, kept, until
from kit.small_volume import small_volume
from kit.template import ROOT
from private_pypi.public.files import Files

CHUNKS = [b"first" * 1000, b"second" * 1000, b"last" * 1000]
FILE = a_file(b"".join(CHUNKS))
KEPT = f"public/{PROJECT}/{NAME}"
FEWEST, MOST = 8, 200


def fetch(folder: Path) -> None:
    """Start, give a file to a client, keep it, and stop."""
    pypi = PypiFiles()
    pypi.sends(FILE.url, *CHUNKS)

    async def scene() -> None:
        async with Files(folder, 2**20, pypi, reserve=0) as files:
            assert await content(files, FILE) == b"".join(CHUNKS)
            await until(lambda: not pypi.open)

    asyncio.run(scene())


def check_served(folder: Path) -> None:
    """What the gateway would serve is a verified file, or nothing."""
    served = [name for name in kept(folder) if not name.startswith(".unfinished/")]
    assert served in ([], [KEPT])
    if served:
        assert (folder / KEPT).read_bytes() == b"".join(CHUNKS)
        assert (folder / KEPT).stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("before", ["nothing", "a torn file"])
def test_a_mirror_killed_before_any_step_serves_the_whole_file_or_none(
    tmp_path: Path, before: str
) -> None:
    unfinished = 0
    for at in range(1, MOST):
        folder = tmp_path / f"{at}"
        if before == "a torn file":
            (folder / ".unfinished").mkdir(parents=True)
            (folder / ".unfinished" / "torn").write_bytes(CHUNKS[0])

        was_killed = killed(lambda folder=folder: fetch(folder), at)  # type: ignore[misc]
        check_served(folder)
        unfinished += bool(list((folder / ".unfinished").glob("*")))

        fetch(folder)
        assert kept(folder) == [KEPT]
        check_served(folder)
        if not was_killed:
            assert at > FEWEST
            assert unfinished > 3
            return
    pytest.fail("it never came to its end")


def test_a_disk_that_is_full_at_any_step_costs_the_client_nothing(tmp_path: Path) -> None:
    pypi = PypiFiles()
    pypi.sends(FILE.url, *CHUNKS)

    async def scene(folder: Path, steps: Steps) -> None:
        is_open = False

        def step(*called: Any) -> None:
            if is_open:
                steps(*called)

        # Its threads take steps, too.
        threading.setprofile(step)
        try:
            async with Files(folder, 2**20, pypi, reserve=0) as files:
                is_open = True
                assert await content(files, FILE) == b"".join(CHUNKS)
                await until(lambda: not pypi.open)
                is_open = False
        finally:
            threading.setprofile(None)

    for at in range(1, MOST):
        steps = Steps(at, full, need_space=True)
        asyncio.run(scene(tmp_path / f"{at}", steps))
        is_full = len(steps.names) >= at
        check_served(tmp_path / f"{at}")
        assert list((tmp_path / f"{at}" / ".unfinished").iterdir()) == []
        if not is_full:
            assert kept(tmp_path / f"{at}") == [KEPT]
            assert at > FEWEST
            # A power failure takes back what is not forced to the disk: first the file and the
            # folder of its project, then its name.
            lasting = [name for name in steps.names if name in ("pwrite", "fsync", "replace")]
            assert lasting == [*["pwrite"] * len(CHUNKS), "fsync", "fsync", "replace", "fsync"]
            return
    pytest.fail("it never came to its end")


def test_a_full_disk_costs_no_client_its_file_and_keeps_nothing_torn(tmp_path: Path) -> None:
    """Run tests/kit/full_mirror.py, in mounts of its own that end with it."""
    prefix = small_volume(tmp_path)
    how = "limit" if prefix is None else "mount"
    paths = os.pathsep.join([str(ROOT / "tests"), str(ROOT / "template/server/private_pypi")])

    said = run(
        *[*(prefix or []), "env", f"PYTHONPATH={paths}", sys.executable, "-m", "kit.full_mirror"],
        *(how, tmp_path),
        cwd=ROOT / "tests",
        timeout=120,
    )

    assert said.endswith("all is well\n")
