"""How the pages for people look: to every eye, on every screen, by keyboard and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from kit import people, showcase
from kit.people import Window
from kit.server import Server
from kit.template import PASSWORD
from playwright.sync_api import Page, expect

PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
SCHEMES = ("light", "dark")
MISSING = "project/not-here/"
"""The page of an error; the browser says in its console what it has loaded there."""


@pytest.fixture(scope="module")
def url(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running index that has the projects of the showcase."""
    with showcase.running(rendered, tmp_path_factory.mktemp("look")) as programs:
        yield programs.gateway.url


@pytest.fixture(scope="module")
def new(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running index that has nothing yet, and no gateway."""
    server = Server(rendered, tmp_path_factory.mktemp("new") / "s")
    server.user("add", "alice", "--role", "publisher", password=PASSWORD)
    with server:
        people.wait_for(server.url().rstrip("/"))
        yield server.url()


def unfold(page: Page) -> None:
    """Open all that is folded, one of each group, and let the script do its work on it."""
    page.evaluate("document.querySelectorAll('details').forEach(it => { it.open = true })")
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")


def violations(page: Page) -> list[str]:
    """Return what axe finds in both schemes of colours: rule, element and what is wrong with it."""
    found = []
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for one in Axe().run(page).response["violations"]:
            for node in one["nodes"]:
                found.append(f"{scheme}: {one['id']}: {node['html']}: {node['failureSummary']}")
    return found


# To every eye -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "width"),
    [*((path, 1280) for path in showcase.PAGES), ("", 360), ("project/show-lib/", 360)],
)
def test_axe_finds_nothing(window: Window, url: str, path: str, width: int) -> None:
    with window(url, viewport={"width": width, "height": 740}) as page:
        page.goto(path)
        unfold(page)

        assert violations(page) == []


@pytest.mark.parametrize("path", ["", "projects.html"])
def test_axe_finds_nothing_on_the_pages_of_a_new_index(window: Window, new: str, path: str) -> None:
    with window(new) as page:
        page.goto(path)

        expect(page.get_by_role("main")).to_contain_text("othing is published yet")
        assert violations(page) == []


def test_axe_finds_nothing_on_an_error_page(window: Window, url: str) -> None:
    with window(url, expected="status of 404") as page:
        page.goto(MISSING)

        assert violations(page) == []


@pytest.mark.parametrize("path", ["", "projects.html"])
def test_axe_finds_nothing_in_what_a_search_shows(window: Window, url: str, path: str) -> None:
    with window(url) as page:
        page.goto(path)
        page.get_by_role("searchbox").fill("lib")
        expect(page.locator(".search.open li")).to_have_count(4)

        assert violations(page) == []


def test_the_pages_are_dark_for_a_person_who_wants_that(window: Window, url: str) -> None:
    lightness = """
        () => {
            const canvas = document.createElement("canvas").getContext("2d");
            canvas.fillStyle = getComputedStyle(document.documentElement).backgroundColor;
            canvas.fillRect(0, 0, 1, 1);
            return canvas.getImageData(0, 0, 1, 1).data.slice(0, 3).reduce((a, b) => a + b) / 765;
        }
    """
    with window(url) as page:
        for path in showcase.PAGES:
            page.goto(path)
            page.emulate_media(color_scheme="light")
            assert page.evaluate(lightness) > 0.9
            page.emulate_media(color_scheme="dark")
            assert page.evaluate(lightness) < 0.2


# On every screen ----------------------------------------------------------------------------------

OVERFLOW = "document.scrollingElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("path", showcase.PAGES)
def test_no_page_is_wider_than_a_phone(window: Window, url: str, path: str) -> None:
    with window(url, **PHONE) as page:
        page.goto(path)
        unfold(page)

        assert page.evaluate("document.documentElement.clientWidth") == 360
        assert page.evaluate(OVERFLOW) == 0
        # Nor is anything cut off: what is wider scrolls by itself.
        assert (
            page.evaluate(
                """
            [...document.querySelectorAll("main *, header *, footer *")].filter(it =>
                it.getBoundingClientRect().right > 360
                && !it.closest("pre, .scroll, .description, .unseen, .hash, .skip")
            ).map(it => it.outerHTML.slice(0, 100))
            """
            )
            == []
        )


def test_no_error_page_is_wider_than_a_phone(window: Window, url: str) -> None:
    with window(url, expected="status of 404", **PHONE) as page:
        page.goto(f"project/{'n' * 200}/")

        assert page.evaluate(OVERFLOW) == 0


def test_what_is_wider_than_its_box_scrolls_in_it(window: Window, url: str) -> None:
    with window(url, **PHONE) as page:
        page.goto("project/show-lib/")
        for box in (page.locator(".description pre"), page.locator(".description .scroll")):
            assert box.evaluate("it => it.scrollWidth > it.clientWidth")
            expect(box).to_have_attribute("tabindex", "0")
            assert box.evaluate("it => { it.scrollLeft = 40; return it.scrollLeft }") == 40


# By keyboard --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "projects.html", "project/show-lib/"])
def test_the_first_key_offers_to_skip_what_is_the_same_on_all_pages(
    window: Window, url: str, path: str
) -> None:
    with window(url) as page:
        page.goto(path)
        skip = page.get_by_role("link", name="Skip to the content")
        expect(skip).not_to_be_in_viewport()

        page.keyboard.press("Tab")
        expect(skip).to_be_focused()
        expect(skip).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('main') !== null")


@pytest.mark.parametrize("path", ["", "project/show-lib/"])
def test_tab_goes_through_the_whole_page_and_shows_where_it_is(
    window: Window, url: str, path: str
) -> None:
    state = """
        (() => {
            const at = document.activeElement, style = getComputedStyle(at);
            const box = at.getBoundingClientRect();
            return [
                at === document.body,
                style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
                box.bottom > 0 && box.top < innerHeight,
                at.outerHTML.slice(0, 100),
            ];
        })()
    """
    with window(url) as page:
        page.goto(path)
        stops = []
        while True:
            page.keyboard.press("Tab")
            is_over, is_marked, is_in_view, html = page.evaluate(state)
            if is_over:
                break
            assert is_marked, html
            assert is_in_view, html
            stops.append(html)
            assert len(stops) < 300
        assert len(stops) > 25
        assert len([stop for stop in stops if stop.startswith("<button")]) > 2


# On paper -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["", "project/show-lib/"])
def test_paper_has_the_text_in_black_and_nothing_to_press(
    window: Window, url: str, path: str
) -> None:
    with window(url, color_scheme="dark") as page:
        page.goto(path)
        expect(page.get_by_role("search")).to_be_visible()
        page.emulate_media(media="print")

        for kind in ("form", "button", "nav", "footer", ".skip"):
            assert page.locator(kind).count() > 0
            assert [one for one in page.locator(kind).all() if one.is_visible()] == []
        expect(page.locator("pre").first).to_be_visible()
        expect(page.locator("main")).to_have_css("color", "rgb(0, 0, 0)")
