"""Rendered pages: filtered by the policy, made once, right until a file leaves its cooldown."""

from __future__ import annotations

import asyncio
import gzip
import json
import secrets
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from private_pypi.public.document import Document
from private_pypi.public.pages import Page
from private_pypi.public.rendered import Rendered, Renderer
from private_pypi.public.watched_policy import WatchedPolicy

NOW = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)
DAY = timedelta(days=1)
COOLDOWN = "cooldown_days = 7\n"


class Clocks:
    """What time it is, for the cooldown and for how often the policy is read."""

    def __init__(self) -> None:
        self.now = NOW
        self.ticks = 0.0

    def tick(self) -> float:
        self.ticks += 2
        return self.ticks


class KeptPages:
    """Stands in for the kept pages."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.loads = 0
        self.may_load = threading.Event()
        self.may_load.set()

    def read(self, project: str) -> Document | None:
        self.may_load.wait(60)
        self.loads += 1
        return self.documents.get(project)


def document(project: str = "a-lib", *ages: float, **more: Any) -> Document:
    """Return a page of versions 1, 2 and so on, which are so many days old."""
    files = [
        {
            "filename": f"{project.replace('-', '_')}-{number}-py3-none-any.whl",
            "url": f"http://files.example/{number}",
            "hashes": {"sha256": "0" * 64},
            "upload-time": (NOW - age * DAY).isoformat(),
        }
        for number, age in enumerate(ages, 1)
    ]
    page = {"meta": {"api-version": "1.1"}, "name": project, "files": files, **more}
    return Document(project, page)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def pages() -> KeptPages:
    return KeptPages()


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "public_policy.toml"
    path.write_text(COOLDOWN)
    return path


@pytest.fixture
def make(clocks: Clocks, pages: KeptPages, policy: Path) -> Callable[..., Renderer]:
    def renderer(**more: Any) -> Renderer:
        watched = WatchedPolicy(policy, policy.with_name("last_good"), clock=clocks.tick)
        return Renderer(pages, watched, clock=lambda: clocks.now, **more)  # type: ignore[arg-type]

    return renderer


def get(renderer: Renderer, page: Page, *, as_json: bool = True) -> Rendered:
    made = asyncio.run(renderer.get(page, as_json=as_json))
    assert made
    return made


def versions(made: Rendered) -> list[str]:
    return [
        file["filename"].split("-")[1]
        for file in json.loads(gzip.decompress(made.compressed))["files"]
    ]


PAGE = Page("a-lib", "one")


def test_a_page_is_rendered_once_for_each_form(
    make: Callable[..., Renderer], pages: KeptPages
) -> None:
    pages.documents["a-lib"] = document("a-lib", 30, 1)
    renderer = make()

    first, html = get(renderer, PAGE), get(renderer, PAGE, as_json=False)

    assert versions(first) == ["1"]
    assert gzip.decompress(html.compressed).startswith(b"<!DOCTYPE html>")
    assert html.etag != first.etag
    assert get(renderer, PAGE) is first
    assert get(renderer, PAGE, as_json=False) is html
    assert pages.loads == 2


def test_another_page_is_rendered_anew(make: Callable[..., Renderer], pages: KeptPages) -> None:
    pages.documents["a-lib"] = document("a-lib", 30)
    renderer = make()
    first = get(renderer, PAGE)
    pages.documents["a-lib"] = document("a-lib", 30, 20)

    second = get(renderer, Page("a-lib", "two"))

    assert (versions(first), versions(second)) == (["1"], ["1", "2"])
    assert first.etag != second.etag


def test_another_policy_applies_at_once(
    make: Callable[..., Renderer], pages: KeptPages, policy: Path
) -> None:
    pages.documents["a-lib"] = document("a-lib", 30, 1)
    renderer = make()
    first = get(renderer, PAGE)

    policy.write_text("cooldown_days = 0\n")
    second = get(renderer, PAGE)
    policy.write_text(f'{COOLDOWN}[[block]]\nname = "a-lib"\nreason = "no"\n')
    third = get(renderer, PAGE)

    assert [versions(made) for made in (first, second, third)] == [["1"], ["1", "2"], []]


def test_a_page_is_right_until_a_file_leaves_its_cooldown(
    make: Callable[..., Renderer], pages: KeptPages, clocks: Clocks
) -> None:
    pages.documents["a-lib"] = document("a-lib", 30, 3, 1)
    renderer = make()
    first = get(renderer, PAGE)

    clocks.now = NOW + 4 * DAY - timedelta(seconds=1)
    same = get(renderer, PAGE)
    clocks.now = NOW + 4 * DAY
    second = get(renderer, PAGE)
    clocks.now = NOW + 6 * DAY
    third = get(renderer, PAGE)

    assert first.until == NOW + 4 * DAY
    assert same is first
    assert (versions(second), second.until) == (["1", "2"], NOW + 6 * DAY)
    assert (versions(third), third.until) == (["1", "2", "3"], None)


def test_a_quarantined_project_has_no_files(
    make: Callable[..., Renderer], pages: KeptPages
) -> None:
    pages.documents["a-lib"] = document(
        "a-lib", 30, **{"project-status": {"status": "quarantined"}}
    )

    made = get(make(), PAGE)

    assert (versions(made), made.status) == ([], "quarantined")


def test_a_page_that_was_deleted_is_none_and_that_is_not_remembered(
    make: Callable[..., Renderer], pages: KeptPages
) -> None:
    renderer = make()

    assert asyncio.run(renderer.get(PAGE, as_json=True)) is None
    pages.documents["a-lib"] = document("a-lib", 30)
    assert versions(get(renderer, PAGE)) == ["1"]


def test_a_page_that_could_not_be_kept_is_rendered_all_the_same(
    make: Callable[..., Renderer],
) -> None:
    page = Page("a-lib", "one", document=document("a-lib", 30))

    assert versions(get(make(), page)) == ["1"]


def test_many_clients_cause_one_rendering_and_one_that_leaves_does_not_stop_it(
    make: Callable[..., Renderer], pages: KeptPages
) -> None:
    pages.documents["a-lib"] = document("a-lib", 30)
    renderer = make()

    async def scene() -> None:
        pages.may_load.clear()
        leaving, *staying = (
            asyncio.create_task(renderer.get(PAGE, as_json=True)) for _ in range(20)
        )
        await asyncio.sleep(0)
        leaving.cancel()
        # The loop still works: it renders in a thread.
        await asyncio.sleep(0)
        pages.may_load.set()
        assert len(set(map(id, await asyncio.gather(*staying)))) == 1

    asyncio.run(scene())

    assert pages.loads == 1


def test_rendered_pages_take_bounded_memory_and_those_in_use_stay(
    make: Callable[..., Renderer], pages: KeptPages
) -> None:
    names = [f"lib-{number}" for number in range(5)]
    pages.documents = {name: document(name, _filler=secrets.token_hex(2000)) for name in names}
    # Random digits have half their length when they are compressed.
    renderer = make(limit=9000)

    for name in names[:3]:
        get(renderer, Page(name, "one"))
    get(renderer, Page(names[0], "one"))
    get(renderer, Page(names[3], "one"))

    assert pages.loads == 4
    get(renderer, Page(names[0], "one"))
    assert pages.loads == 4
    get(renderer, Page(names[1], "one"))
    assert pages.loads == 5


def test_a_page_larger_than_the_memory_for_pages_is_served(
    make: Callable[..., Renderer], pages: KeptPages
) -> None:
    pages.documents["a-lib"] = document("a-lib", 30)
    renderer = make(limit=10)

    for _ in range(2):
        assert versions(get(renderer, PAGE)) == ["1"]
    assert pages.loads == 2


def test_the_same_page_has_the_same_etag_after_a_restart(
    make: Callable[..., Renderer], pages: KeptPages
) -> None:
    pages.documents["a-lib"] = document("a-lib", 30, 20)

    assert get(make(), PAGE).etag == get(make(), PAGE).etag
