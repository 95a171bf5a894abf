"""Files of PyPI as clients get them: at once, once, verified, and later from the disk."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import shutil
import stat
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from anyio import fail_after
from kit.pypi_files import NAME, PROJECT, PypiFiles, a_file, content, kept, rest, until
from private_pypi.public import download
from private_pypi.public.check import WrongFileError
from private_pypi.public.document import File
from private_pypi.public.download import PIECE, Pace
from private_pypi.public.files import Files, Opened
from private_pypi.public.upstream import NotFoundError, UpstreamError

FIRST, SECOND, LAST = b"first" * 100, b"second" * 100, b"last" * 100
WHOLE = FIRST + SECOND + LAST
FILE = a_file(WHOLE)
KEPT = f"public/{PROJECT}/{NAME}"
MEBIBYTE = 2**20


@pytest.fixture
def pypi() -> PypiFiles:
    return PypiFiles()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "public_data"


@pytest.fixture
def play(folder: Path, pypi: PypiFiles) -> Callable[..., None]:
    """Run what a test does with the files of a folder."""

    def run(
        scene: Callable[[Files], Awaitable[None]],
        *,
        stops_early: bool = False,
        max_bytes: int = 100 * MEBIBYTE,
        **settings: Any,
    ) -> None:
        async def scenes() -> None:
            settings.setdefault("reserve", 0)
            with fail_after(60):
                async with Files(folder, max_bytes, pypi, **settings) as files:
                    await scene(files)
                    await until(lambda: stops_early or not pypi.open)
                assert pypi.open == 0
                assert [name for name in kept(folder) if ".unfinished" in name] == []

        asyncio.run(scenes())

    return run


Play = Callable[..., None]


async def before_the_error(opened: Opened) -> bytes:
    """Return what a client gets of a wrong file."""
    got = b""
    try:
        async for chunk in opened.chunks:
            got += chunk
    except WrongFileError:
        return got
    pytest.fail("nobody said that it is wrong")


def test_a_file_is_kept_for_everybody_and_pypi_is_asked_once(
    play: Play, pypi: PypiFiles, folder: Path
) -> None:
    pypi.sends(FILE.url, FIRST, SECOND, LAST, length=len(WHOLE))

    async def scene(files: Files) -> None:
        async with files.open(PROJECT, FILE) as opened:
            assert opened.size == len(WHOLE)
            assert await rest(opened) == WHOLE
        await until(lambda: not pypi.open)
        async with files.open(PROJECT, FILE) as opened:
            assert opened.size == len(WHOLE)
            assert await rest(opened) == WHOLE

    play(scene)

    assert pypi.asked == [FILE.url]
    assert (folder / KEPT).read_bytes() == WHOLE
    assert stat.S_IMODE((folder / KEPT).stat().st_mode) == 0o644


def test_a_client_gets_at_once_what_has_come_and_a_late_one_all_of_it(
    play: Play, pypi: PypiFiles, folder: Path
) -> None:
    told = pypi.sends_as_told(FILE.url, len(WHOLE))
    told.send(FIRST, SECOND)

    async def scene(files: Files) -> None:
        async with files.open(PROJECT, FILE) as early:
            assert await anext(early.chunks) == FIRST
            async with files.open(PROJECT, FILE) as late:
                assert await anext(late.chunks) == FIRST
                told.send(LAST)
                assert await anext(early.chunks) == SECOND
                assert await anext(late.chunks) == SECOND
                assert not (folder / KEPT).exists()
                told.end()
                assert await rest(early) == LAST
                assert await rest(late) == LAST

    play(scene)

    assert pypi.asked == [FILE.url]
    assert (folder / KEPT).exists()


def test_a_hundred_clients_cause_one_download(play: Play, pypi: PypiFiles) -> None:
    told = pypi.sends_as_told(FILE.url, len(WHOLE))

    async def scene(files: Files) -> None:
        clients = [asyncio.create_task(content(files, FILE)) for _ in range(100)]
        await until(lambda: pypi.open)
        told.send(FIRST, SECOND, LAST)
        told.end()
        assert set(await asyncio.gather(*clients)) == {WHOLE}

    play(scene)

    assert pypi.asked == [FILE.url]


def test_nobody_gets_the_whole_of_a_wrong_file_and_the_next_client_gets_the_right_one(
    play: Play, pypi: PypiFiles, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = LAST.swapcase()
    told = pypi.sends_as_told(FILE.url, len(WHOLE))
    told.send(FIRST, SECOND)

    async def scene(files: Files) -> None:
        async with files.open(PROJECT, FILE) as one, files.open(PROJECT, FILE) as other:
            assert await anext(one.chunks) == await anext(other.chunks) == FIRST
            told.send(wrong)
            told.end()
            assert await before_the_error(one) in (b"", SECOND)
            with pytest.raises(WrongFileError):
                await rest(other)
        assert kept(folder) == []
        pypi.sends(FILE.url, WHOLE)
        assert await content(files, FILE) == WHOLE

    play(scene)

    (warning,) = [record.getMessage() for record in caplog.records]
    wrong_hash = a_file(FIRST + SECOND + wrong).hashes["sha256"]
    for part in (PROJECT, NAME, wrong_hash, FILE.hashes["sha256"]):
        assert part in warning
    assert pypi.asked == [FILE.url] * 2


BROKEN = UpstreamError("PyPI broke off its answer")


@pytest.mark.parametrize(
    ("chunks", "length", "file"),
    [
        ([WHOLE[:-1]], None, FILE),
        ([WHOLE + b"more"], None, FILE),
        ([WHOLE, b"more"], None, FILE),
        ([], None, FILE),
        ([WHOLE], len(WHOLE) + 1, FILE),
        ([WHOLE.upper()], None, FILE),
        ([WHOLE.upper()], None, a_file(WHOLE, size=None)),
        ([WHOLE], None, a_file(WHOLE, size=len(WHOLE) - 1)),
        ([WHOLE], None, a_file(WHOLE, size=len(WHOLE) + 1)),
        ([WHOLE, BROKEN], None, FILE),
        ([BROKEN], None, FILE),
        ([WHOLE], None, a_file(WHOLE, hashes={})),
        ([WHOLE], None, a_file(WHOLE, hashes={"sha256": "00" * 32, "sha512": "00" * 64})),
    ],
)
def test_a_file_that_cannot_be_had_whole_is_refused_before_the_answer_begins(
    play: Play,
    pypi: PypiFiles,
    folder: Path,
    chunks: list[bytes],
    length: int | None,
    file: File,
) -> None:
    pypi.sends(file.url, *chunks, length=length)

    async def scene(files: Files) -> None:
        with pytest.raises(UpstreamError):
            async with files.open(PROJECT, file):
                pytest.fail("an answer began")

    play(scene)

    assert kept(folder) == []


@pytest.mark.parametrize("end", ["less", "more", "breaks off"])
def test_a_torn_download_ends_every_answer_early_and_leaves_nothing(
    play: Play, pypi: PypiFiles, folder: Path, end: str
) -> None:
    told = pypi.sends_as_told(FILE.url)
    told.send(FIRST, SECOND)

    async def scene(files: Files) -> None:
        async with files.open(PROJECT, FILE) as opened:
            assert await anext(opened.chunks) == FIRST
            told.send(*[LAST[:-1]] if end == "less" else [LAST, b"more"] if end == "more" else [])
            told.break_off() if end == "breaks off" else told.end()
            with pytest.raises(UpstreamError):
                await rest(opened)

    play(scene)

    assert kept(folder) == []


def test_a_file_that_pypi_no_longer_has_is_not_found(play: Play) -> None:
    async def scene(files: Files) -> None:
        with pytest.raises(NotFoundError):
            await content(files, FILE)

    play(scene)


def test_an_empty_file_is_a_file(play: Play, pypi: PypiFiles, folder: Path) -> None:
    empty = a_file(b"")
    pypi.sends(empty.url)

    async def scene(files: Files) -> None:
        assert await content(files, empty) == b""
        await until(lambda: not pypi.open)
        assert await content(files, empty) == b""

    play(scene)

    assert pypi.asked == [empty.url]


@pytest.mark.parametrize("length", [None, len(WHOLE)])
def test_a_file_of_unknown_size_is_kept(
    play: Play, pypi: PypiFiles, folder: Path, length: int | None
) -> None:
    file = a_file(WHOLE, size=None)
    pypi.sends(file.url, FIRST, SECOND, LAST, length=length)

    async def scene(files: Files) -> None:
        async with files.open(PROJECT, file) as opened:
            assert opened.size == length
            assert await rest(opened) == WHOLE

    play(scene)

    assert kept(folder) == [KEPT]


def test_metadata_are_verified_and_kept_beside_the_file(
    play: Play, pypi: PypiFiles, folder: Path
) -> None:
    file = a_file(WHOLE, metadata_hashes=a_file(FIRST).hashes)
    pypi.sends(f"{file.url}.metadata", FIRST)

    async def scene(files: Files) -> None:
        assert await content(files, file, metadata=True) == FIRST
        await until(lambda: not pypi.open)
        assert await content(files, file, metadata=True) == FIRST
        pypi.sends(f"{file.url}.metadata", SECOND)
        (folder / f"{KEPT}.metadata").unlink()
        with pytest.raises(WrongFileError):
            await content(files, file, metadata=True)

    play(scene)

    assert pypi.asked == [f"{file.url}.metadata"] * 2
    assert kept(folder) == []


@pytest.mark.parametrize("hashes", [None, {}])
def test_metadata_without_a_hash_are_not_there(
    play: Play, pypi: PypiFiles, hashes: dict[str, str] | None
) -> None:
    async def scene(files: Files) -> None:
        with pytest.raises(NotFoundError):
            await content(files, a_file(WHOLE, metadata_hashes=hashes), metadata=True)

    play(scene)

    assert pypi.asked == []


@pytest.mark.parametrize(
    ("project", "name"), [("../six", NAME), ("Six", NAME), ("six", "../x"), ("six", ".hidden")]
)
def test_a_name_that_leads_elsewhere_is_not_found(
    play: Play, pypi: PypiFiles, project: str, name: str
) -> None:
    async def scene(files: Files) -> None:
        with pytest.raises(NotFoundError):
            await content(files, a_file(WHOLE, name), project)

    play(scene)

    assert pypi.asked == []


# Clients and PyPI at their own pace ---------------------------------------------------------------


def test_a_client_that_leaves_does_not_stop_the_others(play: Play, pypi: PypiFiles) -> None:
    told = pypi.sends_as_told(FILE.url)
    told.send(FIRST, SECOND)

    async def scene(files: Files) -> None:
        async with AsyncExitStack() as others:
            async with files.open(PROJECT, FILE) as first:
                assert await anext(first.chunks) == FIRST
                other = await others.enter_async_context(files.open(PROJECT, FILE))
            told.send(LAST)
            told.end()
            assert await rest(other) == WHOLE

    play(scene)


def test_a_download_is_finished_though_all_clients_have_left(
    play: Play, pypi: PypiFiles, folder: Path
) -> None:
    told = pypi.sends_as_told(FILE.url)
    told.send(FIRST, SECOND)

    async def scene(files: Files) -> None:
        async with files.open(PROJECT, FILE) as opened:
            await anext(opened.chunks)
        waiting = asyncio.create_task(content(files, FILE))
        await asyncio.sleep(0)
        waiting.cancel()
        told.send(LAST)
        told.end()
        await until(lambda: not pypi.open)

    play(scene)

    assert (folder / KEPT).read_bytes() == WHOLE


def test_only_so_many_files_are_fetched_at_a_time(play: Play, pypi: PypiFiles) -> None:
    wanted = [a_file(WHOLE, f"six-{number}.tar.gz") for number in range(9)]
    told = [pypi.sends_as_told(file.url) for file in wanted]

    async def scene(files: Files) -> None:
        clients = [asyncio.create_task(content(files, file)) for file in wanted]
        await until(lambda: pypi.open == 3)
        # The clients of the last ones do not wait until it is their turn.
        for client in clients[6:]:
            client.cancel()
        for one in told:
            one.send(WHOLE)
            one.end()
        assert await asyncio.gather(*clients[:6]) == [WHOLE] * 6

    play(scene, most=3)

    assert pypi.most == 3
    assert sorted(pypi.asked) == sorted(file.url for file in wanted[:6])


def test_metadata_do_not_wait_for_files(play: Play, pypi: PypiFiles) -> None:
    file = a_file(WHOLE, metadata_hashes=a_file(FIRST).hashes)
    told = pypi.sends_as_told(file.url)
    pypi.sends(f"{file.url}.metadata", FIRST)

    async def scene(files: Files) -> None:
        waiting = asyncio.create_task(content(files, file))
        await until(lambda: pypi.open)
        assert await content(files, file, metadata=True) == FIRST
        assert not waiting.done()
        told.send(WHOLE)
        told.end()
        assert await waiting == WHOLE

    play(scene, most=1)


@pytest.mark.parametrize("leaves", ["before", "after"])
def test_a_download_without_a_client_makes_way_for_one_with_a_client(
    play: Play, pypi: PypiFiles, folder: Path, leaves: str
) -> None:
    """Whether its client leaves before the other one comes or after."""
    endless = a_file(WHOLE, "endless-1.tar.gz")
    told = pypi.sends_as_told(endless.url)
    told.send(FIRST, SECOND)
    pypi.sends(FILE.url, WHOLE)

    async def scene(files: Files) -> None:
        async with files.open(PROJECT, endless) as opened:
            await anext(opened.chunks)
            if leaves == "after":
                other = asyncio.create_task(content(files, FILE))
                await asyncio.sleep(0.05)
                assert not other.done()
                pypi.sends(endless.url, WHOLE)
        if leaves == "before":
            other = asyncio.create_task(content(files, FILE))
        else:
            # Who comes again begins anew, even at the very moment in which it is ended.
            assert await content(files, endless) == WHOLE
        assert await other == WHOLE
        await until(lambda: not pypi.open)
        assert KEPT in kept(folder)
        assert len(kept(folder)) == (1 if leaves == "before" else 2)

    play(scene, most=1)


def test_a_download_with_a_client_makes_no_way(play: Play, pypi: PypiFiles) -> None:
    other = a_file(WHOLE, "other-1.tar.gz")
    told = pypi.sends_as_told(FILE.url)
    told.send(FIRST, SECOND)
    pypi.sends(other.url, WHOLE)

    async def scene(files: Files) -> None:
        async with files.open(PROJECT, FILE) as opened:
            async with files.open(PROJECT, FILE) as leaving:
                await anext(leaving.chunks)
            waiting = asyncio.create_task(content(files, other))
            await asyncio.sleep(0.05)
            told.send(LAST)
            told.end()
            assert await rest(opened) == WHOLE
        assert await waiting == WHOLE

    play(scene, most=1)


def test_a_download_without_a_client_ends_in_time(
    play: Play, pypi: PypiFiles, folder: Path
) -> None:
    told = pypi.sends_as_told(FILE.url)
    told.send(FIRST, SECOND)

    async def scene(files: Files) -> None:
        async with files.open(PROJECT, FILE) as leaving:
            await anext(leaving.chunks)
        async with files.open(PROJECT, FILE) as opened:
            await asyncio.sleep(0.3)
            # With a client it goes on.
            assert await anext(opened.chunks) == FIRST
            assert pypi.open
        await until(lambda: not pypi.open)
        assert kept(folder) == []

    play(scene, pace=Pace(deserted=0.2))


def test_a_file_that_trickles_gives_its_place_to_another(play: Play, pypi: PypiFiles) -> None:
    slow = a_file(WHOLE, "slow-1.tar.gz", size=None)
    told = pypi.sends_as_told(slow.url)
    pypi.sends(FILE.url, WHOLE)

    async def scene(files: Files) -> None:
        waiting = asyncio.create_task(content(files, slow))
        await until(lambda: pypi.open)
        other = asyncio.create_task(content(files, FILE))
        while not waiting.done():
            told.send(b".")
            await asyncio.sleep(0.01)
        with pytest.raises(UpstreamError, match="less than 1000 bytes came"):
            await waiting
        assert await other == WHOLE

    play(scene, most=1, pace=Pace(1000, 0.3))


def test_a_file_may_take_long_if_it_keeps_coming(play: Play, pypi: PypiFiles) -> None:
    chunks = [bytes([number]) * 10 for number in range(25)]
    file = a_file(b"".join(chunks))
    told = pypi.sends_as_told(file.url)

    async def scene(files: Files) -> None:
        waiting = asyncio.create_task(content(files, file))
        for chunk in chunks:
            told.send(chunk)
            await asyncio.sleep(0.06)
        told.end()
        assert await waiting == b"".join(chunks)

    play(scene, pace=Pace(10, 1))


def test_a_client_that_reads_nothing_neither_slows_another_nor_fills_the_memory(
    play: Play, pypi: PypiFiles
) -> None:
    chunks = [bytes([number]) * MEBIBYTE for number in range(60)]
    file = a_file(b"".join(chunks))
    pypi.sends(file.url, *chunks)

    async def scene(files: Files) -> None:
        async with files.open(PROJECT, file) as slow:
            await anext(slow.chunks)
            tracemalloc.start()
            size = 0
            async with files.open(PROJECT, file) as quick:
                async for chunk in quick.chunks:
                    assert len(chunk) <= PIECE
                    size += len(chunk)
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert size == 60 * MEBIBYTE
            assert most < 8 * MEBIBYTE
            assert len(await rest(slow)) > 59 * MEBIBYTE

    play(scene)


def test_what_is_under_way_when_the_server_stops_leaves_nothing(
    play: Play, pypi: PypiFiles, folder: Path
) -> None:
    told = pypi.sends_as_told(FILE.url)
    told.send(FIRST, SECOND)
    waiting: list[asyncio.Task[bytes]] = []

    async def scene(files: Files) -> None:
        waiting.append(asyncio.create_task(content(files, FILE)))
        await until(lambda: [name for name in kept(folder) if ".unfinished" in name])

    play(scene, stops_early=True)

    assert kept(folder) == []


# What is kept -------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [FILE, a_file(WHOLE, size=None)], ids=["", "of unknown size"])
@pytest.mark.parametrize("found", ["nothing", "a link", "a folder", "another size", "a pipe"])
def test_what_is_no_kept_file_is_fetched(
    play: Play, pypi: PypiFiles, folder: Path, found: str, file: File, tmp_path: Path
) -> None:
    pypi.sends(FILE.url, WHOLE)
    secret = tmp_path / "secret"
    secret.write_bytes(WHOLE.upper())

    async def scene(files: Files) -> None:
        assert await content(files, file) == WHOLE
        await until(lambda: not pypi.open)
        (folder / KEPT).unlink()
        if found == "a link":
            (folder / KEPT).symlink_to(secret)
        elif found == "a folder":
            (folder / KEPT).mkdir()
        elif found == "another size" and file.size:
            (folder / KEPT).write_bytes(WHOLE[:-1])
        elif found == "a pipe":
            os.mkfifo(folder / KEPT)
        assert await content(files, file) == WHOLE

    play(scene)

    assert pypi.asked == [FILE.url] * 2
    assert secret.read_bytes() == WHOLE.upper()
    if found != "a folder":
        assert (folder / KEPT).read_bytes() == WHOLE
        assert not (folder / KEPT).is_symlink()


def test_a_folder_that_is_a_link_is_left_alone(
    play: Play, pypi: PypiFiles, folder: Path, tmp_path: Path
) -> None:
    pypi.sends(FILE.url, WHOLE)
    other = tmp_path / "other"
    other.mkdir()
    (other / NAME).write_bytes(WHOLE.upper())

    async def scene(files: Files) -> None:
        (folder / "public" / PROJECT).symlink_to(other)
        assert await content(files, FILE) == WHOLE

    play(scene)

    assert (other / NAME).read_bytes() == WHOLE.upper()


def test_a_kept_file_that_its_owner_deletes_is_fetched_again(
    play: Play, pypi: PypiFiles, folder: Path
) -> None:
    pypi.sends(FILE.url, WHOLE)

    async def scene(files: Files) -> None:
        for _ in range(2):
            assert await content(files, FILE) == WHOLE
            await until(lambda: not pypi.open)
            (folder / KEPT).unlink()
            (folder / KEPT).parent.rmdir()

    play(scene)

    assert pypi.asked == [FILE.url] * 2


def test_a_folder_that_its_owner_deletes_is_made_again(
    play: Play, pypi: PypiFiles, folder: Path
) -> None:
    pypi.sends(FILE.url, WHOLE)

    async def scene(files: Files) -> None:
        for _ in range(2):
            assert await content(files, FILE) == WHOLE
            await until(lambda: not pypi.open)
            assert kept(folder) == [KEPT]
            shutil.rmtree(folder)

    play(scene)

    assert pypi.asked == [FILE.url] * 2


def test_what_is_unfinished_goes_at_the_start(play: Play, folder: Path) -> None:
    (folder / ".unfinished" / "sub").mkdir(parents=True)
    (folder / ".unfinished" / "abc").write_bytes(b"half")

    async def scene(files: Files) -> None:
        assert kept(folder) == []

    play(scene)


def test_a_policy_deletes_what_it_hides_and_what_comes_later(
    play: Play, pypi: PypiFiles, folder: Path
) -> None:
    hidden = {NAME}
    file = a_file(WHOLE, metadata_hashes=a_file(FIRST).hashes)
    other = a_file(WHOLE, "six-2.0.tar.gz")
    pypi.sends(file.url, WHOLE)
    pypi.sends(f"{file.url}.metadata", FIRST)
    pypi.sends(other.url, WHOLE)

    async def scene(files: Files) -> None:
        await content(files, file)
        await content(files, file, metadata=True)
        await content(files, other)
        await until(lambda: not pypi.open)

        assert (
            await files.discard(lambda project: lambda name: (project, name) == (PROJECT, NAME))
            == 2
        )
        assert kept(folder) == [f"public/{PROJECT}/six-2.0.tar.gz"]

        told = pypi.sends_as_told(file.url)
        told.send(FIRST, SECOND)
        async with files.open(PROJECT, file) as opened:
            await anext(opened.chunks)
            hidden.add("six-2.0.tar.gz")
            assert await files.discard(lambda _: lambda name: name in hidden) == 1
            told.send(LAST)
            told.end()
            # It was offered when the client asked.
            assert await rest(opened) == SECOND + LAST

    play(scene)

    assert kept(folder) == []
    assert list((folder / "public").iterdir()) == []


def test_a_policy_that_changes_while_a_file_gets_its_name_deletes_it(
    play: Play, pypi: PypiFiles, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy is asked once more when the file is there."""
    pypi.sends(FILE.url, WHOLE)
    answers: list[bool] = [False, True]

    async def scene(files: Files) -> None:
        await files.discard(lambda project: lambda name: answers.pop(0))
        assert await content(files, FILE) == WHOLE
        await until(lambda: not answers)

    play(scene)

    assert kept(folder) == []


def test_a_file_that_pypi_has_replaced_is_deleted_and_fetched_again(
    play: Play, pypi: PypiFiles, folder: Path
) -> None:
    """Its size may be the same."""
    file = a_file(WHOLE, metadata_hashes=a_file(FIRST).hashes)
    other = a_file(WHOLE.upper())
    pypi.sends(file.url, WHOLE)
    pypi.sends(f"{file.url}.metadata", FIRST)

    async def scene(files: Files) -> None:
        await content(files, file)
        await content(files, file, metadata=True)
        await until(lambda: not pypi.open)
        files.forget(PROJECT, NAME)
        assert kept(folder) == []
        files.forget(PROJECT, NAME)
        pypi.sends(file.url, WHOLE.upper())
        assert await content(files, other) == WHOLE.upper()

    play(scene)

    assert (folder / KEPT).read_bytes() == WHOLE.upper()


def test_a_file_that_pypi_replaces_while_it_comes_is_not_kept(
    play: Play, pypi: PypiFiles, folder: Path
) -> None:
    told = pypi.sends_as_told(FILE.url)
    told.send(FIRST, SECOND)

    async def scene(files: Files) -> None:
        async with files.open(PROJECT, FILE) as opened:
            await anext(opened.chunks)
            files.forget(PROJECT, NAME)
            told.send(LAST)
            told.end()
            assert await rest(opened) == SECOND + LAST

    play(scene)

    assert kept(folder) == []


# A full disk --------------------------------------------------------------------------------------


def test_a_client_that_takes_nothing_of_what_is_passed_on_stops_nobody_and_is_cut(
    play: Play, pypi: PypiFiles
) -> None:
    other = a_file(WHOLE, "other-1.tar.gz")
    pypi.sends(FILE.url, FIRST, SECOND, LAST)
    pypi.sends(other.url, FIRST, SECOND, LAST)

    async def scene(files: Files) -> None:
        async with files.open(PROJECT, FILE) as stalled:
            assert await anext(stalled.chunks) == FIRST
            assert await content(files, other) == WHOLE
            assert pypi.open == 1
            await until(lambda: not pypi.open)
            with pytest.raises(UpstreamError, match="the client took nothing for 1 seconds"):
                await rest(stalled)

    play(scene, most=1, reserve=2**60, pace=Pace(1, 1))


@pytest.mark.parametrize("pypi_breaks_off", [False, True])
def test_a_client_that_leaves_while_a_file_is_passed_on_ends_that_at_once(
    play: Play, pypi: PypiFiles, caplog: pytest.LogCaptureFixture, pypi_breaks_off: bool
) -> None:
    told = pypi.sends_as_told(FILE.url)
    told.send(FIRST, SECOND)

    async def scene(files: Files) -> None:
        async with files.open(PROJECT, FILE) as opened:
            await anext(opened.chunks)
            assert pypi.open
            if pypi_breaks_off:
                told.break_off()
                await until(lambda: not pypi.open)
        assert not pypi.open

    play(scene, reserve=2**60)

    gc.collect()
    assert len(caplog.records) == 1


@pytest.mark.parametrize("has_room", [True, False])
def test_a_file_of_unknown_size_may_be_larger_than_what_was_promised(
    play: Play,
    pypi: PypiFiles,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    has_room: bool,
) -> None:
    monkeypatch.setattr(download, "_ASSUMED", MEBIBYTE)
    chunks = [os.urandom(PIECE) for _ in range(48)]
    file = a_file(b"".join(chunks), size=None)
    pypi.sends(file.url, *chunks)

    async def scene(files: Files) -> None:
        assert await content(files, file) == b"".join(chunks)

    play(scene, max_bytes=(4 if has_room else 2) * MEBIBYTE)

    assert kept(folder) == ([KEPT] if has_room else [])
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert has_room or "raise public_max_gb in .pypi.env" in said[0]
    assert len(said) == (not has_room)


def test_a_file_for_which_there_is_no_room_is_passed_on(
    play: Play, pypi: PypiFiles, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pypi.sends(FILE.url, FIRST, SECOND, LAST)

    async def scene(files: Files) -> None:
        for _ in range(2):
            async with files.open(PROJECT, FILE) as opened:
                assert opened.size == len(WHOLE)
                assert await rest(opened) == WHOLE

    play(scene, reserve=2**60)

    assert kept(folder) == []
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "not kept" in warning
    assert "the disk of public_data, or raise public_max_gb in .pypi.env" in warning


@pytest.mark.parametrize("wrong", [[FIRST, SECOND, LAST.upper()], [WHOLE[:-1]], [WHOLE, b"more"]])
def test_a_file_that_is_passed_on_is_verified_before_its_last_piece(
    play: Play, pypi: PypiFiles, wrong: list[bytes]
) -> None:
    pypi.sends(FILE.url, *wrong)

    async def scene(files: Files) -> None:
        if len(wrong) < 3:
            with pytest.raises(WrongFileError):
                await content(files, FILE)
        else:
            async with files.open(PROJECT, FILE) as opened:
                assert await before_the_error(opened) == FIRST + SECOND

    play(scene, reserve=2**60)


@pytest.mark.parametrize("step", ["mkstemp", "write", "fsync", "rename"])
def test_a_disk_that_is_full_at_any_step_costs_no_client_its_file(
    play: Play,
    pypi: PypiFiles,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: str,
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    real, count = os.pwrite, 0

    def fills(descriptor: int, chunk: bytes, at: int) -> int:
        nonlocal count
        count += 1
        if count > 1:
            # A full disk takes a part first.
            return real(descriptor, chunk[:7], at) if count == 2 else full()
        return real(descriptor, chunk, at)

    pypi.sends(FILE.url, FIRST, SECOND, LAST)

    async def scene(files: Files) -> None:
        with monkeypatch.context() as patch:
            if step == "mkstemp":
                patch.setattr("tempfile.mkstemp", full)
            elif step == "write":
                patch.setattr(os, "pwrite", fills)
            elif step == "fsync":
                patch.setattr(os, "fsync", full)
            else:
                patch.setattr(Path, "replace", full)
            clients = [content(files, FILE) for _ in range(3)]
            assert await asyncio.gather(*clients) == [WHOLE] * 3
            await until(lambda: caplog.records)
        assert kept(folder) == []
        assert await content(files, FILE) == WHOLE
        await until(lambda: not pypi.open)

    play(scene)

    (warning,) = [r.getMessage() for r in caplog.records]
    assert "No space left on device" in warning


def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_them_all(
    play: Play, pypi: PypiFiles, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, chunk, at: real(file, chunk[:7], at))
    pypi.sends(FILE.url, FIRST, SECOND, LAST)

    async def scene(files: Files) -> None:
        assert await content(files, FILE) == WHOLE

    play(scene)

    assert (folder / KEPT).read_bytes() == WHOLE


def test_a_file_that_does_not_get_its_name_is_not_fetched_again_for_a_slow_client(
    play: Play, pypi: PypiFiles, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    pypi.sends(FILE.url, FIRST, SECOND, LAST)

    async def scene(files: Files) -> None:
        async with files.open(PROJECT, FILE) as slow:
            got = await anext(slow.chunks)
            await until(lambda: not pypi.open)
            assert got + await rest(slow) == WHOLE

    play(scene)

    assert kept(folder) == []
    assert pypi.asked == [FILE.url]


def test_two_different_answers_are_never_put_together(
    play: Play, pypi: PypiFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite

    def fills(descriptor: int, chunk: bytes, at: int) -> int:
        if at >= len(FIRST + SECOND):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, chunk, at)

    monkeypatch.setattr(os, "pwrite", fills)
    told = pypi.sends_as_told(FILE.url)
    told.send(FIRST.upper(), SECOND)

    async def scene(files: Files) -> None:
        async with files.open(PROJECT, FILE) as opened:
            assert await anext(opened.chunks) == FIRST.upper()
            pypi.sends(FILE.url, FIRST, SECOND, LAST)
            told.send(LAST)
            with pytest.raises(WrongFileError, match="two different"):
                await rest(opened)

    play(scene)
