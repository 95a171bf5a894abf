"""Which representation of a simple page a client is sent."""

from __future__ import annotations

import pytest
from private_pypi.negotiation import HTML, JSON, LEGACY, content_type

LATEST_JSON = "application/vnd.pypi.simple.latest+json"
LATEST_HTML = "application/vnd.pypi.simple.latest+html"

NEGOTIATION = [
    # Nothing said, or nothing that there is.
    ("", LEGACY),
    ("application/xml", LEGACY),
    ("application/json", LEGACY),
    ("application/vnd.pypi.simple.v2+json", LEGACY),
    ("text/plain, image/*", LEGACY),
    # One type.
    ("text/html", LEGACY),
    (HTML, HTML),
    (JSON, JSON),
    (LATEST_JSON, JSON),
    (LATEST_HTML, HTML),
    (JSON.upper(), JSON),
    (f" {JSON} ", JSON),
    # What clients send: pip, uv, Poetry's requests, a browser, curl.
    (f"{JSON}, {HTML}; q=0.1, text/html; q=0.01", JSON),
    (f"{JSON}, {HTML};q=0.2, text/html;q=0.01", JSON),
    (f"{JSON}, {LATEST_JSON}, text/html", JSON),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", LEGACY),
    ("*/*", LEGACY),
    # The highest quality decides, and among equals JSON before HTML before text/html.
    (f"{JSON};q=0.5, {HTML}", HTML),
    (f"{JSON};q=0.1, text/html;q=0.2", LEGACY),
    (f"text/html;q=0.2, {JSON};q=0.1", LEGACY),
    (f"text/html, {JSON}", JSON),
    (f"text/html, {HTML}", HTML),
    (f"{HTML}, {JSON}", JSON),
    (f"{HTML};q=0.3, {JSON};q=0.3, text/html;q=0.3", JSON),
    (f"{LATEST_JSON};q=0.9, {JSON};q=0.1, {HTML};q=0.5", JSON),
    (f"{JSON};q=0.899, {HTML};q=0.9", HTML),
    (f"{JSON};q=1.000, {HTML};q=0.999", JSON),
    # Nothing is nothing.
    (f"{JSON};q=0", LEGACY),
    (f"{JSON};q=0, {HTML};q=0.1", HTML),
    (f"{JSON};q=0.0, {HTML};q=0.00", LEGACY),
    # Wildcards stand for text/html, which every client reads, unless they count less.
    (f"{JSON}, */*;q=0.1", JSON),
    (f"{JSON};q=0.5, */*", LEGACY),
    (f"{JSON};q=0.5, text/*", LEGACY),
    (f"{JSON};q=0.5, text/*;q=0.9, */*;q=0.1", LEGACY),
    (f"{JSON}, */*", JSON),
    (f"{HTML}, text/*;q=0.9", HTML),
    # More parameters, odd spaces, nonsense.
    (f"{JSON} ; charset=utf-8 ; q=0.1 , text/html ; q=0.2", LEGACY),
    (f"{JSON}; Q=0.1, {HTML}; Q=0.2", HTML),
    (f"{JSON};q=, {HTML};q=0.5", HTML),
    (f"{HTML}, application/xml;q=.", HTML),
    (f"{JSON};q=0., {HTML};q=1.", HTML),
    (";;,,;q=1,", LEGACY),
    ("q=1", LEGACY),
    ("\xe9\xff, */*;q=\xb2", LEGACY),
    (",".join([JSON] * 2000), JSON),
]


@pytest.mark.parametrize(("accept", "chosen"), NEGOTIATION)
def test_the_type_is_the_one_the_client_likes_best(accept: str, chosen: str) -> None:
    assert content_type(accept) == chosen


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        (JSON, JSON),
        (HTML, HTML),
        (LEGACY, LEGACY),
        (LATEST_JSON, JSON),
        (LATEST_HTML, HTML),
        (JSON.replace("+", " "), JSON),
        ("json", LEGACY),
        ("application/vnd.pypi.simple.v2+json", LEGACY),
    ],
)
@pytest.mark.parametrize("accept", ["", JSON, HTML, "text/html", "*/*"])
def test_a_type_in_the_url_counts_whatever_is_accepted(
    asked: str, chosen: str, accept: str
) -> None:
    assert content_type(accept, asked) == chosen
