"""What the script of the pages for people adds to them: search and copy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kit import chromium, showcase
from kit.people import Window
from kit.showcase import Running
from kit.waiting import wait_until
from playwright.sync_api import Locator, Page, expect


@pytest.fixture(scope="module")
def programs(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A running index."""
    with showcase.running(rendered, tmp_path_factory.mktemp("search")) as programs:
        yield programs


# Search -------------------------------------------------------------------------------------------


def box(page: Page) -> Locator:
    """Return where the search is typed."""
    return page.get_by_role("searchbox")


def found(page: Page) -> list[str]:
    """Return the names of what the search has found."""
    return page.locator(".search.open li a").all_inner_texts()


def test_the_search_answers_as_one_types_with_what_name_summary_or_keywords_have(
    page: Page,
) -> None:
    page.goto("")
    said = page.locator(".search [role=status]")

    box(page).press_sequentially("lib")
    expect(said).to_have_text("4 projects")
    assert set(found(page)) == {"plain-lib", "rst-lib", "show-lib", "yanked-lib"}

    for typed in ("SHOW_l", "everything page", "invoices", "show.lib shows"):
        box(page).fill(typed)
        expect(said).to_have_text("1 project")
        assert found(page) == ["show-lib"]
    assert "Shows everything that a page can show" in page.locator(".search li").inner_text()

    box(page).fill("nobody-has-<b>this</b>")
    expect(said).to_have_text("No project matches “nobody-has-<b>this</b>”.")
    assert found(page) == []


def test_the_search_is_used_by_keys_alone(page: Page) -> None:
    page.goto("projects.html")
    page.keyboard.press("/")
    expect(box(page)).to_be_focused()
    page.keyboard.type("lib")
    expect(page.locator(".search.open li")).to_have_count(4)

    page.keyboard.press("Escape")
    expect(page.locator(".search.open")).to_have_count(0)
    expect(box(page)).to_be_focused()
    expect(box(page)).to_have_value("lib")

    box(page).fill("rst-lib")
    expect(page.locator(".search.open li")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/project/rst-lib/")


def test_enter_and_an_address_with_a_query_search_on_the_start_page(page: Page) -> None:
    page.goto("project/held-dep/")
    box(page).fill("show")
    page.keyboard.press("Enter")

    page.wait_for_url("**/?q=show")
    expect(page.locator(".search.open li")).to_have_count(1)
    assert found(page) == ["show-lib"]
    assert box(page).input_value() == "show"


WORDS = ("amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "haven", "inlet", "jetty")


def many_projects(number: int) -> list[list[str]]:
    """Return what search.json has for as many projects."""
    rows = [["cedar", "1.0", "", ""], ["cedar-kit", "1.0", "", ""]]
    for one in range(number - len(rows)):
        first, second, third = (WORDS[one // 10**place % 10] for place in range(3))
        summary = f"Reads the {second} of {first} and writes {third} into " + "one table " * 8
        rows.append([f"{first}-{second}-{one}", f"{one}.0", summary, f"{third},tables"])
    return rows


def searches(page: Page) -> list[float]:
    """Return how many milliseconds each search took."""
    measured: list[float] = page.evaluate(
        "performance.getEntriesByName('search').map(one => one.duration)"
    )
    return measured


def test_a_key_takes_less_than_50_ms_among_10000_projects_and_exact_names_come_first(
    window: Window, programs: Running
) -> None:
    content = json.dumps(many_projects(10_000))
    with window(programs.gateway.url) as page:
        page.route("**/search.json", lambda route: route.fulfill(body=content))
        page.goto("")
        box(page).fill("c")
        # Before the list is there, no key looks through it.
        wait_until(lambda: searches(page))
        # Another program may take the processor at any key, but hardly at the same one each time.
        fastest: list[float] = []
        for _ in range(8):
            page.evaluate("performance.clearMeasures()")
            box(page).fill("")
            box(page).press_sequentially("cedar table")
            box(page).fill("cedar")
            expect(page.locator(".search [role=status]")).to_have_text(re.compile("^Showing 50 of"))
            measured = searches(page)
            fastest = [min(pair) for pair in zip(fastest or measured, measured, strict=True)]
            if max(fastest) < 50:
                break

        assert len(fastest) == len("cedar table") + 1
        assert max(fastest) < 50
        assert found(page)[:2] == ["cedar", "cedar-kit"]


def test_the_search_says_that_its_list_did_not_load(window: Window, programs: Running) -> None:
    with window(programs.gateway.url, expected="net::ERR_FAILED") as page:
        page.route("**/search.json", lambda route: route.abort())
        page.goto("")
        box(page).fill("show")

        status = page.locator(".search [role=status]")
        expect(status).to_have_text("The list of projects did not load: reload the page.")


# Copy ---------------------------------------------------------------------------------------------


def test_a_button_copies_each_block_as_it_is_shown(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for path in ("", "project/show-lib/"):
        page.goto(path)
        shown = page.locator("[data-copy]")
        buttons = page.get_by_role("button", name="Copy", include_hidden=True)
        assert shown.count() == buttons.count() > 4
        for number in range(shown.count()):
            button = buttons.nth(number)
            # What is folded, such as all but the first tool, is opened by a person first.
            button.evaluate("it => { while (it = it.closest('details:not([open])')) it.open = 1 }")
            button.click()
            expect(button).to_have_text("Copied")
            copied = page.evaluate("navigator.clipboard.readText()")
            assert copied == shown.nth(number).text_content()


def test_the_button_copies_without_the_clipboard_of_a_secure_page(
    window: Window, programs: Running
) -> None:
    port = urlsplit(programs.gateway.url).port
    with window(f"http://{chromium.ELSEWHERE}:{port}") as page:
        page.goto("project/show-lib/")
        assert page.evaluate("[isSecureContext, navigator.clipboard]") == [False, None]
        page.get_by_role("button", name="Copy the code for pip").click()
        expect(page.get_by_role("button", name="Copy the code for pip")).to_have_text("Copied")

        box(page).focus()
        page.keyboard.press("Control+V")
        line = f"pip install --index-url http://{chromium.ELSEWHERE}:{port}/simple/ show-lib"
        expect(box(page)).to_have_value(line)
