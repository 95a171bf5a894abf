"""What a browser in which somebody has logged in lets other sites do with the index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from kit import people, wheel
from kit.gateway import behind_gateway
from kit.http import ask, basic
from kit.processes import in_background
from kit.server import Server
from kit.template import PASSWORD
from kit.waiting import wait_until
from playwright.sync_api import Browser, BrowserContext, Page

POLICY = "default-src 'none'; frame-ancestors 'none'"
"""The Content-Security-Policy of an answer that shows nothing."""
OF_PAGES = (
    "default-src 'none'; connect-src 'self'; form-action 'self'; img-src 'self'; script-src 'self';"
    " style-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""That of the pages for people: they load what is of the index, and nothing else."""

HELD, FOREIGN = "held_name-1.0-py3-none-any.whl", "foreign-1.0-py3-none-any.whl"


@dataclass(frozen=True)
class Program:
    """A running index, and how one of its two programs is reached."""

    server: Server
    url: str

    def with_login(self) -> str:
        """Return its URL as somebody types it who logs in on the way."""
        return self.url.replace("://", f"://alice:{quote(PASSWORD, safe='')}@")


@pytest.fixture(scope="module")
def programs(
    rendered: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Program]]:
    """The gateway and private_pypi, running over a wheel and the account of a publisher."""
    folder = tmp_path_factory.mktemp("browsers") / "s"
    server, gateway = behind_gateway(rendered, folder)
    server.user("add", "alice", "--role", "publisher", password=PASSWORD)
    wheel.build(server.data, "held-name", "1.0", origin="us")
    with server, gateway:
        urls = {"gateway": gateway.url, "private_pypi": server.url().rstrip("/")}
        people.wait_for(gateway.url, "held-name")
        yield {name: Program(server, url) for name, url in urls.items()}


@pytest.fixture(scope="module", params=["gateway", "private_pypi"])
def index(programs: dict[str, Program], request: pytest.FixtureRequest) -> Program:
    """Each of the two programs."""
    return programs[request.param]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a site of somebody else's, with a wheel that they would like to be published."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "index.html").write_text("<!doctype html><title>Somebody else's</title>")
    wheel.build(folder, "foreign", "1.0", origin="a stranger")
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, in_background(server):
        yield server.server_port


@pytest.fixture(scope="module")
def logged_in(browser: Browser, index: Program) -> Iterator[BrowserContext]:
    """The windows of somebody who is logged in at the index."""
    context = browser.new_context()
    # At the root: a browser sends the login unasked to what lies below where it was asked for it.
    answer = context.new_page().goto(f"{index.with_login()}/")
    assert answer is not None
    assert answer.status == 200
    yield context
    context.close()


# To a browser another port is another origin of the same site, and another name another site. The
# login goes with all that a page of the first asks for, and to where a page of the second leads.
@pytest.fixture(params=["localhost", "127.0.0.1"])
def foreign(logged_in: BrowserContext, site: int, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of somebody else's, beside one of the index."""
    page = logged_in.new_page()
    page.goto(f"http://{request.param}:{site}/")
    yield page
    page.close()


MAKE_FORM = f"""
async () => {{
    const wheel = await (await fetch("/{FOREIGN}")).blob();
    window.file = new File([wheel], "{FOREIGN}");
    window.data = new FormData();
    data.append(":action", "file_upload");
    data.append("content", file);
    window.submit = (page, url) => {{
        const form = page.createElement("form");
        Object.assign(form, {{method: "post", enctype: "multipart/form-data", action: url}});
        form.innerHTML = '<input name=":action" value="file_upload"><input type=file name=content>';
        const files = new DataTransfer();
        files.items.add(file);
        form.lastChild.files = files.files;
        page.body.append(form);
        form.submit();
    }};
}}
"""


def published(index: Program) -> bool:
    """Return whether anything is, beside what was."""
    return index.server.files() != [HELD]


def posted(index: Program) -> list[str]:
    """Return how the server answered what was sent to publish."""
    return re.findall(r'"POST / HTTP/1.1" (\d+)', index.server.log.read_text())


def test_a_form_of_another_site_publishes_nothing(index: Program, foreign: Page) -> None:
    foreign.evaluate(MAKE_FORM)

    with foreign.expect_navigation() as navigation:
        foreign.evaluate("url => submit(document, url)", f"{index.url}/")

    assert navigation.value.status == 403
    assert not published(index)


def test_a_script_of_another_site_publishes_nothing(index: Program, foreign: Page) -> None:
    foreign.evaluate(MAKE_FORM)
    post = """
    ([url, mode]) => fetch(url, {method: "POST", mode, credentials: "include", body: data})
        .then(answer => answer.status, () => "nothing to be read")
    """

    assert foreign.evaluate(post, [f"{index.url}/", "no-cors"]) in (0, "nothing to be read")
    assert foreign.evaluate(post, [f"{index.url}/", "cors"]) == "nothing to be read"
    assert not published(index)


@pytest.mark.parametrize("foreign", ["127.0.0.1"], indirect=True)
def test_a_form_that_does_not_say_where_it_is_from_publishes_nothing(
    index: Program, foreign: Page
) -> None:
    """A sandboxed frame has no origin: its requests carry `Origin: null`."""
    foreign.evaluate(MAKE_FORM)
    frame = """
    url => {
        const frame = document.createElement("iframe");
        frame.sandbox = "allow-scripts allow-forms";
        frame.srcdoc = `<body><script>
            window.file = null;
            addEventListener("message", event => {
                window.file = event.data;
                (${submit})(document, "${url}");
            });
            parent.postMessage("ready", "*");
        </` + `script>`;
        addEventListener("message", () => frame.contentWindow.postMessage(file, "*"));
        document.body.append(frame);
    }
    """

    before = len(posted(index))
    foreign.evaluate(frame, f"{index.url}/")

    # The frame has a process of its own, whose requests Playwright does not always see.
    wait_until(lambda: len(posted(index)) > before, 20)
    assert posted(index)[before:] == ["403"]
    assert not published(index)


@pytest.mark.parametrize(
    ("method", "path", "login", "status", "policy"),
    [
        ("GET", "/", True, 200, OF_PAGES),
        ("HEAD", "/", True, 200, OF_PAGES),
        ("GET", "/project/held-name/", True, 200, OF_PAGES),
        ("GET", "/project/held-name/feed.atom", True, 200, OF_PAGES),
        ("GET", "/search.json", True, 200, OF_PAGES),
        ("GET", "/static/script.js", True, 200, OF_PAGES),
        ("GET", "/project/not-here/", True, 404, POLICY),
        ("GET", "/project/Held_Name/", True, 301, POLICY),
        ("GET", "/", False, 401, POLICY),
        ("GET", "/static/script.js", False, 401, POLICY),
        ("GET", "/simple/", True, 200, POLICY),
        ("HEAD", "/simple/held-name/", True, 200, POLICY),
        ("GET", f"/packages/{HELD}", True, 200, POLICY),
        ("GET", "/packages/none.whl", True, 404, POLICY),
        ("GET", "/RPC2", True, 404, POLICY),
        ("GET", "/simple/not-here/", True, 303, POLICY),
        ("GET", "/simple/", False, 401, POLICY),
        ("POST", "/", True, 400, POLICY),
        ("DELETE", "/", True, 405, POLICY),
        ("GET", "/health", False, 200, POLICY),
    ],
)
def test_every_answer_tells_browsers_once_what_other_sites_may_do(
    index: Program, method: str, path: str, login: bool, status: int, policy: str
) -> None:
    answer = ask(index.url, path, basic("alice", PASSWORD) if login else {}, method=method)

    assert answer.status == status
    for name, value in (
        ("Content-Security-Policy", policy),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
    ):
        assert answer.headers.get_all(name) == [value]


EMBED = """
([tag, url]) => new Promise(resolve => {
    const element = document.createElement(tag);
    element.onload = () => resolve("loaded");
    element.onerror = () => resolve("failed");
    element.rel = "stylesheet";
    element[{link: "href", object: "data"}[tag] ?? "src"] = url;
    document.body.append(element);
})
"""
READ = """
([url, mode]) => fetch(url, {mode, credentials: "include"})
    .then(answer => `answered: ${answer.type}`, () => "nothing to be read")
"""
PATHS = (
    *("/", "/project/held-name/", "/project/none/", "/search.json"),
    *("/static/icon.svg", "/static/script.js", "/static/style.css"),
    *("/simple/", "/simple/held-name/", f"/packages/{HELD}", "/packages/none.whl", "/none"),
)


@pytest.mark.parametrize("tag", ["script", "img", "link"])
def test_what_another_site_embeds_does_not_tell_it_what_is_there(
    index: Program, foreign: Page, tag: str
) -> None:
    assert {foreign.evaluate(EMBED, [tag, index.url + path]) for path in PATHS} == {"failed"}


@pytest.mark.parametrize("mode", ["cors", "no-cors"])
def test_another_site_reads_nothing(index: Program, foreign: Page, mode: str) -> None:
    read = {foreign.evaluate(READ, [index.url + path, mode]) for path in PATHS}

    assert read == {"nothing to be read"}


@pytest.mark.parametrize("foreign", ["127.0.0.1"], indirect=True)
@pytest.mark.parametrize("path", ["/", "/project/held-name/", "/simple/"])
@pytest.mark.parametrize("tag", ["iframe", "object", "embed"])
def test_another_site_shows_no_page_of_the_index_in_its_own(
    index: Program, foreign: Page, tag: str, path: str
) -> None:
    with foreign.expect_response(f"{index.url}{path}") as response:
        foreign.evaluate(EMBED, [tag, f"{index.url}{path}"])

    assert response.value.status == 200
    assert not [frame.url for frame in foreign.frames if frame.url.startswith(index.url)]


def test_a_person_walks_through_the_pages_and_downloads_a_file(
    index: Program, logged_in: BrowserContext, tmp_path: Path
) -> None:
    page = logged_in.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"{index.url}/simple/")
    page.get_by_text("held-name").click()
    page.wait_for_url(f"{index.url}/simple/held-name/")
    with page.expect_download() as download:
        page.get_by_text(HELD).click()
    download.value.save_as(tmp_path / HELD)
    page.close()

    assert (tmp_path / HELD).read_bytes() == (index.server.data / HELD).read_bytes()
    assert complaints == []
