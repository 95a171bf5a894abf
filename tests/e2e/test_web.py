"""The pages for people, as a browser shows them: what is there, and that it works."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import feedparser  # type: ignore[import-untyped]
import pytest
from kit import people, showcase, wheel
from kit.authority import Authority
from kit.http import ask
from kit.install import Install, with_pip, with_poetry, with_uv
from kit.nginx import Nginx
from kit.people import Window
from kit.public_index import PublicIndex, digest
from kit.showcase import Running
from kit.user import User, installed
from playwright.sync_api import Page, expect

SAID = "https://pypi.example.org/team"
"""The URL that the server's settings have."""
NGINX = "127.0.13.1"


@pytest.fixture(scope="module")
def programs(
    rendered: Path, public: PublicIndex, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A running index with a name of its own, which is said to have another URL."""
    settings = {"PYPI_URL": SAID, "PYPI_NAME": "The <team>'s index"}
    folder = tmp_path_factory.mktemp("web")
    with showcase.running(rendered, folder, PYPI_PUBLIC_INDEX=public.url, **settings) as programs:
        yield programs


# What the pages show ------------------------------------------------------------------------------


def test_the_start_page_shows_what_was_published_last_and_how_much_there_is(page: Page) -> None:
    page.goto("")

    assert page.title() == "The <team>'s index"
    expect(page.get_by_role("heading", level=1)).to_have_text("The <team>'s index")
    expect(page.locator(".hero")).to_contain_text("6 Python projects, 8 releases")
    latest = page.get_by_role("region", name="Published last")
    first = latest.get_by_role("listitem").first
    expect(first).to_contain_text("show-lib 1.2.0")
    expect(first).to_contain_text("by alice")
    assert latest.get_by_role("listitem").count() == 8
    latest.get_by_role("link", name="All projects").click()
    page.wait_for_url("**/projects.html")
    names = page.get_by_role("main").get_by_role("listitem").get_by_role("link")
    # Not their inner text, which a browser has only of those that it has drawn.
    expect(names).to_have_text(sorted(showcase.HELD))


def test_the_page_of_a_project_lets_a_person_judge_it(programs: Running, page: Page) -> None:
    page.goto("project/show-lib/")

    assert page.title() == "show-lib - The <team>'s index"
    expect(page.get_by_role("heading", level=1).first).to_have_text("show-lib 1.2.0")
    facts = page.get_by_role("region", name="Facts")
    for fact in ("by alice", ">=3.9", "Apache-2.0", "Grace Hopper", "billing, invoices"):
        expect(facts).to_contain_text(fact)
    facts.get_by_text("2 classifiers").click()
    expect(facts.get_by_text("Programming Language :: Python :: 3")).to_be_visible()
    for name, address in (
        ("Ada Lovelace", "mailto:ada@example.org"),
        ("Documentation", "https://docs.example.org/show"),
        ("Source", "https://code.example.org/show"),
    ):
        expect(facts.get_by_role("link", name=name)).to_have_attribute("href", address)
    description = page.locator(".description")
    expect(description.get_by_role("heading", name="Usage")).to_be_visible()
    expect(description.get_by_role("table")).to_be_attached()
    description.get_by_role("link", name="below").click()
    assert page.evaluate("document.querySelector(':target').textContent") == "Usage"
    pin = page.get_by_text("A project that needs this one asks for").locator("code")
    expect(pin).to_have_text("show-lib==1.*")

    releases = page.get_by_role("region", name="Releases")
    one = releases.locator("li", has_text=showcase.FILE)
    sha256 = digest(programs.server.data / showcase.FILE)
    expect(one).to_contain_text(re.compile(r"wheel, [\d.]+ kB, .* UTC, by alice"))
    expect(one.locator(".hash")).to_have_text(sha256)
    for name, what in (("metadata", b"Summary: Shows"), ("signature", showcase.SIGNATURE)):
        address = one.get_by_role("link", name=name, exact=True).get_attribute("href") or ""
        answer = page.request.get(urljoin(page.url, address))
        assert answer.status == 200
        assert what in answer.body()
    with page.expect_download() as download:
        one.get_by_role("link", name=showcase.FILE).click()
    assert digest(download.value.path()) == sha256
    expect(releases.locator("li", has_text=".tar.gz")).to_contain_text("sdist")
    expect(releases.locator("summary", has_text="1.1.0")).to_contain_text(
        f"yanked: {showcase.REASON}"
    )
    history = page.get_by_role("region", name="History").get_by_role("row")
    expect(history.nth(1)).to_contain_text("yanked")
    expect(history.nth(1)).to_contain_text(showcase.REASON)
    expect(history.filter(has_text=showcase.FILE).last).to_contain_text("published")


def test_dependencies_are_links_if_the_index_holds_them(page: Page) -> None:
    page.goto("project/show-lib/")
    dependencies = page.get_by_role("region", name="Dependencies")

    expect(dependencies).to_contain_text("With the extra docs")
    expect(dependencies).to_contain_text('elsewhere[fast]<3; python_version >= "3.9"')
    assert dependencies.get_by_role("link").all_inner_texts() == ["Held_Dep", "held-dep"]
    dependencies.get_by_role("link", name="Held_Dep").click()
    page.wait_for_url("**/project/held-dep/")


def test_a_link_to_a_release_opens_it(page: Page) -> None:
    page.goto("project/show-lib/#release-0.9.0")

    old = page.get_by_role("link", name="show_lib-0.9.0-py3-none-any.whl")
    expect(old).to_be_visible()


@pytest.mark.parametrize(
    "path", ["project/show-lib", "project/Show_Lib/", "project/Show.Lib", "project/SHOW--LIB/"]
)
def test_other_spellings_of_a_name_lead_to_the_page_of_its_project(page: Page, path: str) -> None:
    answer = page.goto(path)

    assert answer
    assert answer.status == 200
    assert urlsplit(page.url).path == "/project/show-lib/"


def test_a_removed_project_says_so_and_keeps_its_history(page: Page) -> None:
    page.goto("project/removed-lib/")

    expect(page.locator(".notice")).to_contain_text("Nothing of this project is served any more.")
    expect(page.get_by_role("region", name="History")).to_contain_text("removed")
    assert page.get_by_role("link", name=".whl").count() == 0
    assert page.get_by_text("pip install").count() == 0


def test_a_project_of_which_all_is_yanked_says_why(page: Page) -> None:
    page.goto("project/yanked-lib/")

    said = f"Version 1.0 is yanked: {showcase.REASON}"
    expect(page.locator(".notice")).to_contain_text(said)


def test_an_upload_shows_by_itself(programs: Running, window: Window, tmp_path: Path) -> None:
    url = programs.gateway.url
    with window(url) as page:
        page.goto("")
        people.publish(url, wheel.described(tmp_path, "held-dep", "1.1", "Summary: It is new\n"))

        people.wait_for_text(url, "/", "It is new")
        page.reload()
        first = page.get_by_role("region", name="Published last").get_by_role("listitem").first
        expect(first).to_contain_text("held-dep 1.1")
        first.get_by_role("link").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("held-dep 1.1")
        expect(page.locator(".summary")).to_have_text("It is new")
        server = programs.server
        server.run("remove", "--yes", "--", "held-dep", "1.1")
        wait = "/project/held-dep/"
        people.wait_for_text(url, wait, 'held-dep <span class="version">1.0')
        people.wait_for_text(url, "/", "8 releases")


# Feeds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "entries"), [("", 8), ("project/show-lib/", 3)])
def test_a_feed_is_valid_and_leads_to_the_pages(url: str, path: str, entries: int) -> None:
    answer = people.get(url, f"/{path}feed.atom")
    feed: Any = feedparser.parse(
        answer.body, response_headers={"content-type": answer.headers["Content-Type"]}
    )

    assert answer.headers["Content-Type"].startswith("application/atom+xml")
    assert (feed.bozo, feed.version) == (0, "atom10")
    assert len(feed.entries) == entries
    assert "The <team>'s index" in feed.feed.title
    assert {link.rel: link.href for link in feed.feed.links} == {
        "self": f"{SAID}/{path}feed.atom",
        "alternate": f"{SAID}/{path}",
    }
    ids = [one.id for one in [feed.feed, *feed.entries]]
    assert len(set(ids)) == entries + 1
    assert all(re.fullmatch("urn:uuid:[0-9a-f-]{36}", one) for one in ids)
    times = [datetime.fromisoformat(one.updated) for one in feed.entries]
    assert times == sorted(times, reverse=True)
    assert feed.feed.updated == feed.entries[0].updated
    first = feed.entries[0]
    assert first.title == "show-lib 1.2.0"
    assert first.link == f"{SAID}/project/show-lib/#release-1.2.0"
    assert first.author == "alice"
    assert first.summary == "Shows everything that a page can show"


def test_pages_tell_where_the_feed_is(page: Page) -> None:
    page.goto("project/show-lib/")

    link = page.locator("link[type='application/atom+xml']")
    address = link.first.evaluate("it => it.href")
    assert page.request.get(address).status == 200


# Errors -------------------------------------------------------------------------------------------


def said_to_a_tool(url: str, path: str, *, account: bool = True) -> tuple[int, str]:
    """Return status and text of the answer to a program that is no browser."""
    answer = ask(url, path, people.ALICE if account else {})
    assert (answer.headers["Content-Type"] or "text/plain").startswith("text/plain")
    return answer.status, answer.body.decode()


@pytest.mark.parametrize(
    ("path", "account", "status", "sentence"),
    [
        ("project/show-lib/", "stranger", 401, None),
        ("project/not-here/", "alice", 404, "This index has no project not-here."),
        ("packages/not/here.whl", "alice", 404, None),
        ("a/b/c/d", "alice", 404, None),
        ("RPC2", "alice", 404, None),
    ],
)
def test_an_error_is_a_page_for_a_person_and_a_line_for_a_tool(
    window: Window, url: str, path: str, account: str, status: int, sentence: str | None
) -> None:
    with window(url, account=account, expected=f"status of {status}") as page:
        answer = page.goto(path)

        assert answer
        assert answer.status == status
        expect(page.get_by_role("heading", level=1)).to_contain_text(str(status))
        # It has the style that it brings, by its own policy.
        assert page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") == "576px"
        start = page.get_by_role("link", name="Start page").evaluate("it => it.href")
        assert start == f"{url}/"
        if sentence:
            expect(page.get_by_role("main")).to_contain_text(sentence)
    told, line = said_to_a_tool(url, f"/{path}", account=account == "alice")
    assert told == status
    assert len(line.splitlines()) == 1
    assert "<" not in line


def test_a_page_that_is_being_made_says_so(window: Window, url: str, programs: Running) -> None:
    made = programs.server.data.with_name("pypi_web") / "project/show-lib"
    aside = programs.server.data.with_name("aside")
    made.rename(aside)
    try:
        with window(url, expected="status of 503") as page:
            answer = page.goto("project/show-lib/")

            assert answer
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            expect(page.get_by_role("main")).to_contain_text("is being made: reload it")
        assert said_to_a_tool(url, "/project/show-lib/")[0] == 503
    finally:
        shutil.move(aside, made)


def test_the_pages_go_on_while_private_pypi_is_stopped(window: Window, programs: Running) -> None:
    url = programs.gateway.url
    programs.server.stop()
    try:
        with window(url) as page:
            for path in showcase.PAGES:
                answer = page.goto(path)
                assert answer
                assert answer.status == 200
            page.goto("")
            page.get_by_role("searchbox").fill("show-lib")
            page.locator(".search.open li a").click()
            with page.expect_download() as download:
                page.get_by_role("link", name=showcase.FILE).click()
            assert download.value.path().stat().st_size > 0
        with window(url, expected="status of 502") as page:
            answer = page.goto("project/not-here/")
            assert answer
            assert answer.status == 502
            expect(page.get_by_role("main")).to_contain_text("The index restarts")
            start = page.get_by_role("link", name="Start page").evaluate("it => it.href")
            assert start == f"{url}/"
        assert said_to_a_tool(url, "/project/not-here/") == (502, "502 Bad Gateway")
    finally:
        programs.server.start()


# Without JavaScript, and behind a proxy -----------------------------------------------------------


def test_all_is_readable_without_javascript(window: Window, url: str) -> None:
    with window(url, java_script_enabled=False) as page:
        page.goto("")
        expect(page.get_by_role("main")).to_contain_text(f"pip install --index-url {SAID}/simple/")
        expect(page.get_by_role("main")).to_contain_text("machine pypi.example.org")
        expect(page.get_by_role("searchbox")).to_be_hidden()
        page.get_by_role("navigation", name="Site").get_by_role("link").first.click()
        page.get_by_role("link", name="show-lib", exact=True).click()

        page.wait_for_url("**/project/show-lib/")
        line = f"pip install --index-url {SAID}/simple/ show-lib"
        expect(page.get_by_text(line)).to_be_visible()
        expect(page.locator(".description").get_by_role("heading", name="Usage")).to_be_visible()
        page.locator("summary", has_text="0.9.0").click()
        expect(page.get_by_role("link", name="show_lib-0.9.0")).to_be_visible()
        expect(page.get_by_role("button", name="Copy")).to_have_count(0)


@pytest.fixture(scope="module")
def below_a_path(programs: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the gateway behind nginx, which has it below a path; with a slash at its end."""
    folder = tmp_path_factory.mktemp("nginx")
    nginx = Nginx(folder, NGINX, Authority().pair(NGINX), programs.gateway)
    with nginx:
        yield f"{nginx.urls[1]}/"


def test_behind_a_path_all_links_work(window: Window, below_a_path: str) -> None:
    root, checked = below_a_path, set[str]()
    with window(root, ignore_https_errors=True) as page:
        for path in showcase.PAGES:
            page.goto(path)
            for address in page.locator("[href], [src], form[action]").evaluate_all(
                "them => them.map(it => it.href || it.src || it.action)"
            ):
                target = address.partition("#")[0]
                if urlsplit(target).netloc == urlsplit(root).netloc and target not in checked:
                    checked.add(target)
                    assert target.startswith(root)
                    assert page.request.get(target).status == 200, target
    assert len(checked) > 20


def test_behind_a_path_the_lines_and_the_search_have_it(window: Window, below_a_path: str) -> None:
    with window(below_a_path, ignore_https_errors=True) as page:
        page.goto("")

        lines = page.locator("[data-copy]").all_inner_texts()
        assert lines[0] == f"machine {NGINX}\nlogin USER\npassword PASSWORD"
        assert f"pip install --index-url {below_a_path}simple/ PACKAGE" in lines
        assert not [line for line in lines if "pypi.example.org" in line]
        page.get_by_role("searchbox").fill("rst-lib")
        page.locator(".search.open li a").click()
        page.wait_for_url(f"{below_a_path}project/rst-lib/")


def test_behind_a_path_an_error_leads_to_the_start_page(window: Window, below_a_path: str) -> None:
    with window(below_a_path, ignore_https_errors=True, expected="status of 404") as page:
        page.goto("project/not-here/")
        page.get_by_role("link", name="Start page").click()

        page.wait_for_url(below_a_path)


# Installers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("install", [with_pip, with_uv, with_poetry], ids=["pip", "uv", "poetry"])
def test_installers_see_no_change(
    install: Install, user: User, venv: Path, programs: Running
) -> None:
    install(user, venv, f"{programs.gateway.url}/simple/", "Held_Dep==1.*")

    assert installed(venv) == {"held-dep": "1.0 from us"}
