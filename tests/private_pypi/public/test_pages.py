"""Kept pages: fresh, asked for again, stale while PyPI is away, and once for all that wait."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import logging
import os
import shutil
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timezone
from pathlib import Path
from typing import Any

import pytest
from kit.pypi import PyPI
from private_pypi import disk
from private_pypi.public.document import Document
from private_pypi.public.kept_pages import KeptPages
from private_pypi.public.pages import NoSuchProjectError, Page, Pages, Times, UnavailableError
from private_pypi.public.upstream import Upstream

HOUR = 3600.0
FIRST = "a_lib-1.0-py3-none-any.whl"
SECOND = "a_lib-2.0-py3-none-any.whl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "public_data"


@pytest.fixture
def play(folder: Path, pypi: PyPI) -> Callable[..., None]:
    """Run what a test does with the pages of a folder."""

    def run(scene: Callable[[Pages], Awaitable[None]], **settings: Any) -> None:
        async def scenes() -> None:
            async with opened(folder, pypi, **settings) as pages:
                await scene(pages)

        asyncio.run(asyncio.wait_for(scenes(), 60))

    return run


Play = Callable[..., None]


@asynccontextmanager
async def opened(
    folder: Path,
    pypi: PyPI,
    kept: dict[str, set[str]] | None = None,
    limits: dict[str, float] | None = None,
    has_room: Callable[[int], bool] = lambda size: True,
    forgotten: list[tuple[str, str]] | None = None,
    **times: float,
) -> AsyncIterator[Pages]:
    upstream = Upstream(pypi.url, **(limits or {}))  # type: ignore[arg-type]
    files = kept or {}
    named = Times(**{"pause": 0, **times})
    forgets = [] if forgotten is None else forgotten
    kept_pages = KeptPages(
        folder,
        lambda project: files.get(project, set()),
        has_room,
        lambda *file: forgets.append(file),
    )
    kept_pages.open()
    pages = Pages(kept_pages, upstream, named)
    try:
        yield pages
    finally:
        await upstream.close()


def age(folder: Path, seconds: float = HOUR, project: str = "a-lib") -> float:
    """Let a kept page be as old as that; return when PyPI confirmed it, then."""
    moment = time.time() - seconds
    os.utime(folder / f"pages/{project}.json", (moment, moment))
    return moment


async def names(pages: Pages, page: Page) -> list[str]:
    document = await pages.load(page)
    assert document
    return [file.filename for file in document.files]


def asked(pypi: PyPI) -> int:
    return pypi.times_asked("/simple/a-lib/")


# Fresh, and asked for again -----------------------------------------------------------------------


def test_a_fresh_page_is_served_without_asking_also_after_a_restart(
    play: Play, pypi: PyPI, folder: Path
) -> None:
    async def scene(pages: Pages) -> None:
        page = await pages.get("a-lib")
        assert page.stale_since is None
        assert await names(pages, page) == [FIRST]
        age(folder, 599)
        assert await pages.get("a-lib") == page

    play(scene)
    play(scene)

    assert asked(pypi) == 1


def test_a_page_is_asked_for_again_once_it_is_no_longer_fresh(
    play: Play, pypi: PyPI, folder: Path
) -> None:
    async def scene(pages: Pages) -> None:
        first = await pages.get("a-lib")
        age(folder, 601)
        pypi.release("a-lib", "2.0")
        second = await pages.get("a-lib")
        assert second.identity != first.identity
        assert await names(pages, second) == [FIRST, SECOND]

    play(scene)

    assert asked(pypi) == 2


def test_a_page_that_pypi_confirms_is_fresh_again_and_stays_the_same(
    play: Play, pypi: PyPI, folder: Path
) -> None:
    async def scene(pages: Pages) -> None:
        first = await pages.get("a-lib")
        age(folder)
        assert await pages.get("a-lib") == first
        assert await pages.get("a-lib") == first

    play(scene)

    assert asked(pypi) == 2
    assert "If-None-Match" in pypi.requests[1][1]


def test_a_page_of_tomorrow_is_not_fresh(play: Play, pypi: PyPI, folder: Path) -> None:
    async def scene(pages: Pages) -> None:
        await pages.get("a-lib")
        age(folder, -24 * HOUR)
        await pages.get("a-lib")

    play(scene)

    assert asked(pypi) == 2


def test_however_many_clients_wait_pypi_is_asked_once(play: Play, pypi: PyPI) -> None:
    async def scene(pages: Pages) -> None:
        with pypi.failing("held"):
            waiting = [asyncio.create_task(pages.get("a-lib")) for _ in range(50)]
            while not asked(pypi):
                await asyncio.sleep(0.01)
        found = await asyncio.gather(*waiting)
        assert len({page.identity for page in found}) == 1

    play(scene)

    assert asked(pypi) == 1


def test_a_client_that_leaves_does_not_stop_the_request_for_the_others(
    play: Play, pypi: PyPI
) -> None:
    async def scene(pages: Pages) -> None:
        with pypi.failing("held"):
            leaving, staying = (asyncio.create_task(pages.get("a-lib")) for _ in range(2))
            while not asked(pypi):
                await asyncio.sleep(0.01)
            leaving.cancel()
        assert await names(pages, await staying) == [FIRST]

    play(scene)

    assert asked(pypi) == 1


# PyPI away, slow or wrong -------------------------------------------------------------------------


def test_a_page_is_served_stale_while_pypi_is_away(play: Play, pypi: PyPI, folder: Path) -> None:
    async def scene(pages: Pages) -> None:
        fresh = await pages.get("a-lib")
        confirmed = age(folder)
        with pypi.away():
            stale = await pages.get("a-lib")
            assert stale.identity == fresh.identity
            assert stale.stale_since
            assert stale.stale_since.tzinfo is timezone.utc
            assert abs(stale.stale_since.timestamp() - confirmed) < 0.01
            assert await names(pages, stale) == [FIRST]
        assert await pages.get("a-lib") == fresh

    play(scene)


@pytest.mark.parametrize("how", ["busy", "html", "broken", "endless", "dies", "slow", "hangs"])
def test_whatever_pypi_does_instead_of_answering_a_kept_page_is_served_stale(
    play: Play, pypi: PyPI, folder: Path, how: Any
) -> None:
    async def scene(pages: Pages) -> None:
        await pages.get("a-lib")
        age(folder)
        pypi.release("a-lib", "2.0")
        with pypi.failing(how):
            stale = await pages.get("a-lib")
            assert stale.stale_since
            assert await names(pages, stale) == [FIRST]

    limits = {"total": 0.5, "max_page": 2**20}
    play(scene, limits=limits)


@pytest.mark.parametrize(
    ("how", "is_wrong"),
    [
        ("busy", False),
        ("html", True),
        ("broken", True),
        ("endless", True),
        ("dies", False),
        ("slow", False),
        ("hangs", False),
    ],
)
def test_a_page_that_was_never_kept_is_unavailable_and_then_fetched(
    play: Play, pypi: PyPI, folder: Path, how: Any, is_wrong: bool
) -> None:
    async def scene(pages: Pages) -> None:
        with pypi.failing(how), pytest.raises(UnavailableError) as caught:
            await pages.get("a-lib")
        assert caught.value.is_wrong is is_wrong
        assert list((folder / "pages").iterdir()) == []
        assert await names(pages, await pages.get("a-lib")) == [FIRST]

    play(scene, limits={"total": 0.5, "max_page": 2**20}, pause=60)


def test_a_kept_page_does_not_wait_for_a_slow_pypi_which_is_still_asked(
    play: Play, pypi: PyPI, folder: Path
) -> None:
    async def scene(pages: Pages) -> None:
        await pages.get("a-lib")
        age(folder)
        pypi.release("a-lib", "2.0")
        with pypi.failing("held"):
            stale = await pages.get("a-lib")
            assert stale.stale_since
        while (fresh := await pages.get("a-lib")).stale_since:
            await asyncio.sleep(0.01)
        assert asked(pypi) == 2
        assert await names(pages, fresh) == [FIRST, SECOND]

    play(scene, patience=0.1)


def test_pypi_that_failed_is_left_alone_for_a_while(
    play: Play, pypi: PyPI, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pypi.release("b-lib", "1.0")

    async def scene(pages: Pages) -> None:
        for name in ("a-lib", "b-lib"):
            await pages.get(name)
            age(folder, project=name)
        with pypi.failing("busy"):
            for name in ("a-lib", "b-lib", "a-lib"):
                assert (await pages.get(name)).stale_since

    play(scene, pause=60)

    assert len(pypi.requests) == 3
    assert caplog.messages == ["the page of a-lib cannot be fetched: PyPI answered 503"]


def test_one_wrong_page_leaves_the_others_fresh(play: Play, pypi: PyPI, folder: Path) -> None:
    pypi.release("b-lib", "1.0")

    async def scene(pages: Pages) -> None:
        for name in ("a-lib", "b-lib"):
            await pages.get(name)
            age(folder, project=name)
        with pypi.failing("html", project="a-lib"):
            assert (await pages.get("a-lib")).stale_since
            assert (await pages.get("b-lib")).stale_since is None

    play(scene, pause=60)


@pytest.mark.parametrize("status", [403, 451])
def test_a_page_that_pypi_refuses_leaves_the_others_fresh(
    play: Play, pypi: PyPI, folder: Path, status: int
) -> None:
    pypi.release("b-lib", "1.0")

    async def scene(pages: Pages) -> None:
        for name in ("a-lib", "b-lib"):
            await pages.get(name)
            age(folder, project=name)
        pypi.pages["a-lib"] = (status, "text/html", b"")
        assert (await pages.get("a-lib")).stale_since
        assert (await pages.get("b-lib")).stale_since is None

    play(scene, pause=60)


def test_a_page_that_breaks_this_code_is_wrong_and_the_kept_one_is_served_stale(
    play: Play,
    pypi: PyPI,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise RecursionError("as nobody has thought of")

    async def scene(pages: Pages) -> None:
        await pages.get("a-lib")
        age(folder)
        pypi.release("a-lib", "2.0")
        pypi.release("b-lib", "1.0")
        monkeypatch.setattr("private_pypi.public.pages.parse", fail)
        stale = await pages.get("a-lib")
        assert stale.stale_since
        assert await names(pages, stale) == [FIRST]
        with pytest.raises(UnavailableError) as caught:
            await pages.get("b-lib")
        assert caught.value.is_wrong

    play(scene)

    assert "as nobody has thought of" in caplog.text
    assert len(caplog.messages) == 2


def test_the_log_names_what_pypi_sent_in_printable_letters(
    play: Play, pypi: PyPI, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps({"name": "\x1b[2Jb", "files": []}).encode()
    pypi.pages["a-lib"] = (200, "application/vnd.pypi.simple.v1+json", body)

    async def scene(pages: Pages) -> None:
        with pytest.raises(UnavailableError):
            await pages.get("a-lib")

    play(scene)

    (message,) = caplog.messages
    assert message.isprintable()


# Names that PyPI does not have --------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "a/b", "A-Lib", "a_lib", "-a", "a-", "ä", "a\n", "a" * 201]
)
def test_what_is_no_normalised_name_is_no_project_and_asks_nobody(
    play: Play, pypi: PyPI, name: str
) -> None:
    async def scene(pages: Pages) -> None:
        with pytest.raises(NoSuchProjectError):
            await pages.get(name)
        assert pages.kept.read(name) is None

    play(scene)

    assert pypi.requests == []


def test_a_name_of_200_letters_can_be_kept(play: Play, pypi: PyPI) -> None:
    name = "a" * 200
    pypi.pages[name] = (
        200,
        "application/vnd.pypi.simple.v1+json",
        json.dumps({"name": name, "files": []}).encode(),
    )

    async def scene(pages: Pages) -> None:
        await pages.get(name)
        assert pages.kept.read(name)

    play(scene)


def test_a_name_that_pypi_does_not_have_is_asked_for_again_after_a_while(
    play: Play, pypi: PyPI
) -> None:
    async def scene(pages: Pages) -> None:
        for _ in range(3):
            with pytest.raises(NoSuchProjectError):
                await pages.get("b-lib")

    play(scene, missing=60)
    play(scene, missing=0)

    assert pypi.times_asked("b-lib/") == 4


def test_names_that_pypi_does_not_have_take_bounded_memory(
    play: Play, pypi: PyPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("private_pypi.public.pages._MISSING", 10)

    async def scene(pages: Pages) -> None:
        for number in range(11):
            with pytest.raises(NoSuchProjectError):
                await pages.get(f"b-{number}")
        # The oldest is forgotten, the newest is not.
        for number in (0, 10):
            with pytest.raises(NoSuchProjectError):
                await pages.get(f"b-{number}")

    play(scene)

    assert pypi.times_asked("/b-0/") == 2
    assert pypi.times_asked("/b-10/") == 1


def test_a_project_that_pypi_has_deleted_is_not_served_stale(
    play: Play, pypi: PyPI, folder: Path
) -> None:
    async def scene(pages: Pages) -> None:
        await pages.get("a-lib")
        age(folder)
        uploads = pypi.uploads.pop("a-lib")
        with pytest.raises(NoSuchProjectError):
            await pages.get("a-lib")
        with pypi.away(), pytest.raises(UnavailableError):
            await pages.get("a-lib")
        pypi.uploads["a-lib"] = uploads
        assert await names(pages, await pages.get("a-lib")) == [FIRST]

    play(scene, missing=0)


# Files that PyPI has deleted ----------------------------------------------------------------------


def test_what_the_page_said_of_a_kept_file_outlives_its_deletion(
    play: Play, pypi: PyPI, folder: Path
) -> None:
    kept = {"a-lib": {FIRST}}

    async def scene(pages: Pages) -> None:
        pypi.release("a-lib", "2.0")
        first = await pages.load(await pages.get("a-lib"))
        assert first
        for name in (FIRST, SECOND):
            pypi.delete("a-lib", name)
        for _ in range(2):
            age(folder)
            pypi.release("a-lib", "3.0")
            document = await pages.load(await pages.get("a-lib"))
            assert document
            assert document.file(FIRST) == first.file(FIRST)
            assert document.file(SECOND) is None
            assert FIRST not in [file.filename for file in document.files]
            pypi.uploads["a-lib"].clear()

    play(scene, kept=kept)


def test_what_was_said_of_a_kept_file_outlives_its_project(
    play: Play, pypi: PyPI, folder: Path
) -> None:
    async def scene(pages: Pages) -> None:
        await pages.get("a-lib")
        age(folder)
        del pypi.uploads["a-lib"]
        for _ in range(2):
            with pytest.raises(NoSuchProjectError):
                await pages.get("a-lib")
        document = pages.kept.read("a-lib")
        assert document
        assert document.file(FIRST)
        assert document.files == ()

    play(scene, kept={"a-lib": {FIRST}}, missing=0)
    play(scene_after_a_restart, kept={"a-lib": {FIRST}})


async def scene_after_a_restart(pages: Pages) -> None:
    with pytest.raises(NoSuchProjectError):
        await pages.get("a-lib")


# Files that PyPI has replaced ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "now"),
    [
        ("hashes", {"sha256": "0" * 64}),
        ("hashes", {"sha512": "0" * 128}),
        ("core-metadata", {"sha256": "0" * 64}),
    ],
)
def test_a_kept_file_that_has_another_hash_on_the_new_page_is_forgotten(
    play: Play, pypi: PyPI, folder: Path, key: str, now: dict[str, str]
) -> None:
    forgotten: list[tuple[str, str]] = []

    async def scene(pages: Pages) -> None:
        pypi.release("a-lib", "2.0")
        await pages.get("a-lib")
        for upload in pypi.uploads["a-lib"]:
            upload.more[key] = now
        age(folder)
        assert forgotten == []
        await pages.get("a-lib")
        assert forgotten == [("a-lib", FIRST)]

    play(scene, kept={"a-lib": {FIRST, f"{FIRST}.metadata"}}, forgotten=forgotten)


def test_a_kept_file_that_pypi_deletes_and_replaces_later_is_forgotten(
    play: Play, pypi: PyPI, folder: Path
) -> None:
    forgotten: list[tuple[str, str]] = []

    async def scene(pages: Pages) -> None:
        await pages.get("a-lib")
        (upload,) = pypi.uploads["a-lib"]
        pypi.uploads["a-lib"] = []
        age(folder)
        await pages.get("a-lib")
        pypi.uploads["a-lib"] = [upload]
        upload.more["hashes"] = {"sha256": "0" * 64}
        age(folder)
        await pages.get("a-lib")

    play(scene, kept={"a-lib": {FIRST}}, forgotten=forgotten)

    assert forgotten == [("a-lib", FIRST)]


def test_more_hashes_of_a_kept_file_change_nothing(play: Play, pypi: PyPI, folder: Path) -> None:
    forgotten: list[tuple[str, str]] = []

    async def scene(pages: Pages) -> None:
        await pages.get("a-lib")
        (file,) = pypi.document("a-lib")["files"]
        pypi.uploads["a-lib"][0].more["hashes"] = {**file["hashes"], "sha512": "0" * 128}
        age(folder)
        await pages.get("a-lib")

    play(scene, kept={"a-lib": {FIRST}}, forgotten=forgotten)

    assert forgotten == []


# The disk -----------------------------------------------------------------------------------------


def test_a_page_that_somebody_deletes_is_fetched_again(
    play: Play, pypi: PyPI, folder: Path
) -> None:
    async def scene(pages: Pages) -> None:
        page = await pages.get("a-lib")
        (folder / "pages/a-lib.json").unlink()
        assert pages.kept.read("a-lib") is None
        assert await pages.load(page) is None
        assert await names(pages, await pages.get("a-lib")) == [FIRST]

    play(scene)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "torn in its first line": lambda content: content[:20],
    "torn later": lambda content: content[:-200],
    "changed": lambda content: content.replace(b"a_lib-1.0", b"a_lib-9.0"),
    "of another program": lambda content: b"{}\n{}\n[]\n",
    "no JSON": lambda content: b"\0" * len(content),
    "a list": lambda content: b"[]\n[]\n[]\n",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_page_is_fetched_again(
    folder: Path, pypi: PyPI, play: Play, damage: Callable[[bytes], bytes]
) -> None:
    async def keep(pages: Pages) -> None:
        await pages.get("a-lib")

    async def read(pages: Pages) -> None:
        document = None
        for _ in range(2):
            document = document or await pages.load(await pages.get("a-lib"))
        assert document
        assert [file.filename for file in document.files] == [FIRST]
        assert pages.kept.read("a-lib") == document

    play(keep)
    path = folder / "pages/a-lib.json"
    path.write_bytes(damage(path.read_bytes()))
    play(read)


def test_what_a_killed_server_left_behind_is_deleted(play: Play, folder: Path) -> None:
    (folder / "pages").mkdir(parents=True)
    (folder / "pages/a-lib.json.abcdefgh").write_bytes(b"torn")

    async def scene(_: Pages) -> None:
        assert list((folder / "pages").iterdir()) == []

    play(scene)


def test_pages_are_served_without_being_kept_on_a_full_disk(
    play: Play, pypi: PyPI, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def scene(pages: Pages) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(disk, "write_unsynced", full)
            for _ in range(3):
                page = await pages.get("a-lib")
                assert await names(pages, page) == [FIRST]
        identity = page.identity
        assert (await pages.get("a-lib")) == Page("a-lib", identity)

    play(scene)

    (message,) = caplog.messages
    assert "public_data/pages cannot be written: No space left on device: free some" in message
    assert asked(pypi) == 4


def test_the_log_names_the_limit_that_is_reached(
    play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(pages: Pages) -> None:
        usage = shutil.disk_usage("/")
        for free in (2**40, 2**20):
            free_now = usage._replace(free=free)
            monkeypatch.setattr(shutil, "disk_usage", lambda _, found=free_now: found)
            for _ in range(2):
                await pages.get("a-lib")

    play(scene, has_room=lambda size: False)

    limit, full = caplog.messages
    assert "public_max_gb is reached: raise it in .pypi.env" in limit
    assert "public_data/pages is full but for 1 GB" in full


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_page_outlives_a_power_failure_if_a_file_is_kept(
    play: Play, folder: Path, monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name.split(".")[0])
        fsync(descriptor)

    async def scene(pages: Pages) -> None:
        monkeypatch.setattr(os, "fsync", noting)
        await pages.get("a-lib")
        assert synced == (["a-lib", "pages"] if is_kept else [])
        for _ in range(2):
            pages.kept.sync("a-lib")
        assert synced == ["a-lib", "pages"]

    play(scene, kept={"a-lib": {FIRST}} if is_kept else {})


def test_a_page_for_which_there_is_no_room_is_served_without_being_kept(
    play: Play, pypi: PyPI, folder: Path
) -> None:
    sizes: list[int] = []

    def is_full_at_first(size: int) -> bool:
        sizes.append(size)
        return len(sizes) > 1

    async def scene(pages: Pages) -> None:
        assert await names(pages, await pages.get("a-lib")) == [FIRST]
        assert list((folder / "pages").iterdir()) == []
        await pages.get("a-lib")
        assert [path.stat().st_size for path in (folder / "pages").iterdir()] == sizes[1:]

    play(scene, has_room=is_full_at_first)


def test_a_deleted_project_is_not_served_stale_although_there_is_no_room_to_note_it(
    play: Play, pypi: PyPI, folder: Path
) -> None:
    rooms = iter([True, False])

    async def scene(pages: Pages) -> None:
        await pages.get("a-lib")
        age(folder)
        del pypi.uploads["a-lib"]
        with pytest.raises(NoSuchProjectError):
            await pages.get("a-lib")
        with pypi.away(), pytest.raises(UnavailableError):
            await pages.get("a-lib")

    play(scene, kept={"a-lib": {FIRST}}, missing=0, has_room=lambda size: next(rooms))


def test_reading_many_pages_takes_bounded_memory(play: Play, pypi: PyPI, folder: Path) -> None:
    read: list[weakref.ref[Document]] = []

    async def scene(pages: Pages) -> None:
        for number in range(12):
            name = f"big-{number}"
            body = json.dumps({"name": name, "files": [], "_": "x" * 2**20}).encode()
            pypi.pages[name] = (200, "application/vnd.pypi.simple.v1+json", body)
            await pages.get(name)
            document = pages.kept.read(name)
            assert document
            # What was just read is at hand.
            assert pages.kept.read(name) is document
            read.append(weakref.ref(document))
            del document
        gc.collect()
        assert len([held for held in read if held()]) == 3

    play(scene)


def test_the_log_says_nothing_while_all_is_well(
    play: Play, pypi: PyPI, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "private_pypi")

    async def scene(pages: Pages) -> None:
        await pages.get("a-lib")

    play(scene)

    assert caplog.messages == []
