"""A page as clients are sent it: nothing lost, links that lead here, nothing that runs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from private_pypi.public.document import Document, parse
from private_pypi.public.forms import as_html, as_json

KIND = "application/vnd.pypi.simple.v1+json"
SHA256, OTHER = "0" * 64, "f" * 64
NAMES = ["a_lib-1.0-py3-none-any.whl", "a_lib-1.0.tar.gz", "a_lib-2.0-py3-none-any.whl"]


def document(*files: dict[str, Any], **more: Any) -> Document:
    page = {"meta": {"api-version": "1.4"}, "name": "A.Lib", "files": list(files), **more}
    url = "http://pypi.example/simple/a-lib/"
    return parse("a-lib", json.dumps(page).encode(), KIND, url)


def file(filename: str, **more: Any) -> dict[str, Any]:
    return {
        "filename": filename,
        "url": f"http://files.example/00/11/{filename}",
        "hashes": {"sha256": SHA256},
        **more,
    }


def test_json_keeps_all_but_the_links() -> None:
    said = file(
        NAMES[0],
        **{
            "hashes": {"md5": "1" * 32, "sha256": SHA256, "blake2b": "2" * 128},
            "requires-python": ">=3.9",
            "size": 12,
            "upload-time": "2026-01-02T03:04:05.678901Z",
            "yanked": "broken",
            "core-metadata": {"sha256": OTHER},
            "data-dist-info-metadata": {"sha256": OTHER},
            "provenance": "https://pypi.example/integrity/a/1.0/provenance",
            "_private": [1],
            "later-than-this-code": {"a": "b"},
        },
    )
    more = {
        "versions": ["1.0"],
        "project-status": {"status": "archived", "reason": "old"},
        "alternate-locations": ["https://pypi.example/simple/a-lib/"],
        "_last-serial": 7,
    }
    page = document(said, **more)

    assert json.loads(as_json(page, page.files)) == {
        "meta": {"api-version": "1.4"},
        "name": "A.Lib",
        "files": [{**said, "url": f"../../public/a-lib/{NAMES[0]}"}],
        **more,
    }


def test_files_that_are_not_offered_take_their_versions_with_them() -> None:
    page = document(
        *map(file, NAMES), versions=["1.0", "2.0", "2.0.0", "3.0", "odd", 1, "9" * 5000]
    )

    sent = json.loads(as_json(page, page.files[1:2]))
    newest = json.loads(as_json(page, page.files[2:]))

    assert ([one["filename"] for one in sent["files"]], sent["versions"]) == ([NAMES[1]], ["1.0"])
    assert newest["versions"] == ["2.0", "2.0.0"]


def test_a_page_without_versions_gets_none() -> None:
    page = document(file(NAMES[0]))

    assert "versions" not in json.loads(as_json(page, page.files))


def test_metadata_that_cannot_be_checked_is_not_offered() -> None:
    page = document(
        file(NAMES[0], **{"core-metadata": True, "data-dist-info-metadata": {"md5": "0" * 32}})
    )

    (sent,) = json.loads(as_json(page, page.files))["files"]

    assert sent.keys() == {"filename", "url", "hashes"}
    assert b"metadata" not in as_html(page, page.files)


@pytest.mark.parametrize(
    ("said", "shown"),
    [("1.0", "1.0"), ("1", "1.0"), ("1.3", "1.3"), ("1.5", "1.4"), ("1.10", "1.4")],
)
def test_html_is_of_no_later_version_than_the_last_one_of_html(said: str, shown: str) -> None:
    page = document(meta={"api-version": said})

    assert f'<meta name="pypi:repository-version" content="{shown}">' in as_html(page, []).decode()
    assert json.loads(as_json(page, []))["meta"] == {"api-version": said}


def test_html_has_what_html_can_have() -> None:
    page = document(
        file(
            NAMES[0],
            **{
                "requires-python": ">=3.9,<4",
                "yanked": 'a "bad" <release>',
                "core-metadata": {"sha256": OTHER},
                "provenance": "https://pypi.example/p?a=b&c",
            },
        ),
        file("a_lib-1.0+local-py3-none-any.whl", yanked=True),
        **{"project-status": {"status": "archived", "reason": "<b>"}},
    )

    assert as_html(page, page.files).decode().splitlines() == [
        "<!DOCTYPE html>",
        "<html>",
        "<head>",
        '<meta name="pypi:repository-version" content="1.4">',
        '<meta name="pypi:project-status" content="archived">',
        '<meta name="pypi:project-status-reason" content="&lt;b&gt;">',
        "<title>Links for a-lib</title>",
        "</head>",
        "<body>",
        "<h1>Links for a-lib</h1>",
        f'<a href="../../public/a-lib/{NAMES[0]}#sha256={SHA256}"'
        ' data-requires-python="&gt;=3.9,&lt;4"'
        f' data-core-metadata="sha256={OTHER}" data-dist-info-metadata="sha256={OTHER}"'
        ' data-yanked="a &quot;bad&quot; &lt;release&gt;"'
        f' data-provenance="https://pypi.example/p?a=b&amp;c">{NAMES[0]}</a><br>',
        f'<a href="../../public/a-lib/a_lib-1.0%2Blocal-py3-none-any.whl#sha256={SHA256}"'
        ' data-yanked="">a_lib-1.0+local-py3-none-any.whl</a><br>',
        "</body>",
        "</html>",
    ]


@pytest.mark.parametrize("name", ['a"b.whl', "a<b>.whl", "a#b?c%2F.whl", "ä b.whl", "a&amp;b.whl"])
def test_an_odd_name_is_found_again_from_either_form(name: str) -> None:
    page = document(file(name))
    base = "http://us.example/prefix/simple/a-lib/"

    html = parse("a-lib", as_html(page, page.files), "text/html", base)
    data = parse("a-lib", as_json(page, page.files), KIND, base)

    assert html.files[0].filename == data.files[0].filename == name
    assert html.files[0].url == data.files[0].url
    assert html.files[0].url.startswith("http://us.example/prefix/public/a-lib/")


def test_half_a_character_is_sent_as_something_that_can_be_read() -> None:
    page = document(file(NAMES[0], yanked="\ud800"))

    assert b'data-yanked="?"' in as_html(page, page.files)
    assert json.loads(as_json(page, page.files))["files"][0]["yanked"] == "\ud800"
