"""Refusals: a person gets a page, a tool its sentence."""

from __future__ import annotations

import base64
import re
from hashlib import sha256

import pytest
from private_pypi.answers import Answer, refusal
from private_pypi.web.errors import as_page, is_person

CHROMIUM = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;"
    "q=0.8,application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PIP = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1,"
    " text/html; q=0.01"
)


def page(answer: Answer, path: str = "/no/such/page") -> tuple[dict[str, str], str]:
    """Return headers and text of the page of a refusal."""
    made = as_page(answer, {"PATH_INFO": path, "HTTP_ACCEPT": FIREFOX})
    assert made.status == answer.status
    assert made.reason == answer.reason
    headers = dict(made.headers)
    assert len(headers) == len(made.headers), "a header comes twice"
    return headers, b"".join(made.body).decode()


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        (CHROMIUM, True),
        (FIREFOX, True),
        (PIP, False),
        ("*/*", False),
        ("text/html", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_a_browser_asks_for_xhtml_and_no_tool_does(accept: str, answer: bool) -> None:
    assert is_person({"HTTP_ACCEPT": accept}) == answer


def test_a_request_that_accepts_nothing_is_of_a_tool() -> None:
    assert not is_person({})


def test_the_page_says_what_the_tool_is_told() -> None:
    headers, text = page(refusal(404, "This index has no project lib."))

    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Length"] == str(len(text.encode()))
    assert "<title>404 Not Found</title>" in text
    assert "<p>This index has no project lib.</p>" in text


def test_the_page_has_the_headers_of_the_refusal() -> None:
    headers, _ = page(refusal(401, "Who?", ("WWW-Authenticate", 'Basic realm="private index"')))

    assert headers["WWW-Authenticate"] == 'Basic realm="private index"'


def test_the_text_of_a_stranger_is_text_there() -> None:
    _, text = page(refusal(404, "No <script>alert(1)</script> \"'& \x1b[2J here."))

    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "\x1b" not in text


def test_nothing_but_its_style_is_allowed_there() -> None:
    headers, text = page(refusal(503, "Later."))

    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    assert headers["Content-Security-Policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'"
    )
    assert not re.search("<script|<link|<img| src=| style=", text)


@pytest.mark.parametrize(
    ("path", "start"),
    [
        ("/", "./"),
        ("", "./"),
        ("/x", "./"),
        ("/x/", "../"),
        ("/project/x", "../"),
        ("/project/x/", "../../"),
        ("/a/b/c/d", "../../../"),
    ],
)
def test_it_leads_to_the_start_page_whatever_path_a_proxy_gives_the_index(
    path: str, start: str
) -> None:
    _, text = page(refusal(404, "Nothing."), path)

    assert f'<a href="{start}">Start page</a>' in text
