"""A page of PyPI as a value: what is kept of it, what is left out, and what is no page."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from packaging.version import Version
from private_pypi.public.document import (
    Document,
    DocumentError,
    parse,
    parse_version,
    strongest,
    version_of,
)

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
URL = "http://pypi.example/simple/a-lib/"
SHA256 = "0123456789abcdef" * 4
WHEEL = "a_lib-1.0-py3-none-any.whl"


def file(**more: Any) -> dict[str, Any]:
    return {
        "filename": WHEEL,
        "url": f"http://files.example/{WHEEL}",
        "hashes": {"sha256": SHA256},
    } | more


def page(*files: Any, **more: Any) -> dict[str, Any]:
    return {"meta": {"api-version": "1.4"}, "name": "a-lib", "files": list(files)} | more


def read(said: Any, kind: str = JSON) -> Document:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return parse("a-lib", body, kind, URL)


def read_html(*lines: str) -> Document:
    return read("\n".join(["<!DOCTYPE html>", *lines]).encode(), "text/html; charset=utf-8")


# JSON ---------------------------------------------------------------------------------------------


def test_everything_that_a_page_says_is_there() -> None:
    said = page(
        file(
            **{
                "requires-python": ">=3.9",
                "size": 12,
                "upload-time": "2026-01-02T03:04:05.678901Z",
                "yanked": "broken",
                "core-metadata": {"sha256": SHA256.upper()},
                "provenance": "https://pypi.example/integrity/a/1.0/provenance",
                "_private": [1],
            }
        ),
        versions=["1.0"],
        **{"project-status": {"status": "archived", "reason": "old"}, "_last-serial": 7},
    )

    document = parse("a-lib", json.dumps(said).encode(), f"{JSON}; charset=utf-8", URL, '"e"')

    assert document.raw == said
    assert (document.name, document.etag, document.status) == ("a-lib", '"e"', "archived")
    (found,) = document.files
    assert found.filename == WHEEL
    assert found.url == f"http://files.example/{WHEEL}"
    assert found.hashes == {"sha256": SHA256}
    assert found.size == 12
    assert found.upload_time == datetime(2026, 1, 2, 3, 4, 5, 678901, timezone.utc)
    assert found.yanked == "broken"
    assert found.version == Version("1.0")
    assert found.metadata_hashes == {"sha256": SHA256}
    assert document.file(WHEEL) == found
    assert document.file("b.whl") is None


def test_what_a_page_does_not_say_is_none() -> None:
    document = read(page(file()))

    (found,) = document.files
    assert (found.size, found.upload_time, found.metadata_hashes) == (None, None, None)
    assert found.yanked is False
    assert document.status == "active"


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        ("../../files/a.whl", "http://pypi.example/files/a.whl"),
        ("/files/a.whl#sha256=0", "http://pypi.example/files/a.whl"),
        ("//files.example/a.whl?b=c", "http://files.example/a.whl?b=c"),
        ("https://files.example/a%2Bb.whl", "https://files.example/a%2Bb.whl"),
    ],
)
def test_urls_become_absolute(url: str, absolute: str) -> None:
    document = read(page(file(url=url)))

    assert document.files[0].url == absolute


ODD = {
    "no dict": "a file",
    "no name": {"url": "http://a/b", "hashes": {"sha256": SHA256}},
    "name of a number": file(filename=1),
    "no hashes": file(hashes={}),
    "hashes of another form": file(hashes=[SHA256]),
    "md5 alone": file(hashes={"md5": "0" * 32}),
    "a short digest": file(hashes={"sha256": "0" * 63}),
    "a digest of other letters": file(hashes={"sha256": "x" * 64}),
    "a digest with an end of line": file(hashes={"sha256": f"{SHA256[1:]}\n"}),
    "a digest that is no text": file(hashes={"sha256": 1}),
    "a path": file(filename="../a.whl"),
    "a path of Windows": file(filename="..\\a.whl"),
    "hidden": file(filename=".a.whl"),
    "empty": file(filename=""),
    "too long": file(filename="a" * 241),
    "control characters": file(filename="a\n.whl"),
    "half a character": file(filename="a\ud800.whl"),
    "the name of metadata": file(filename=f"{WHEEL}.metadata"),
    "another scheme": file(url="ftp://files.example/a.whl"),
    "of this machine": file(url="file:///etc/passwd"),
    "no host": file(url="https:///a.whl"),
    "an url that is none": file(url="http://[a/b.whl"),
    "a port that cannot be": file(url="http://files.example:99999/a.whl"),
    "an url of two lines": file(url="http://files.example/\x85a"),
    "an url of nothing": file(url=None),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_odd_file_is_left_out_and_spoils_nothing(odd: Any) -> None:
    good = file(filename="a_lib-2.0-py3-none-any.whl")

    document = read(page(odd, good))

    assert [found.filename for found in document.files] == ["a_lib-2.0-py3-none-any.whl"]


def test_of_two_files_of_one_name_the_first_counts() -> None:
    document = read(page(file(), file(hashes={"sha256": "f" * 64})))

    assert [found.hashes["sha256"] for found in document.files] == [SHA256]


def test_values_of_another_type_are_left_out_of_a_file() -> None:
    odd = {
        "requires-python": 3,
        "size": "12",
        "upload-time": 5,
        "yanked": ["no"],
        "core-metadata": True,
        "dist-info-metadata": {"md5": "0"},
        "provenance": {},
        "gpg-sig": True,
    }

    (found,) = read(page(file(**odd))).files

    assert (found.size, found.upload_time, found.metadata_hashes) == (None, None, None)
    assert found.yanked is False
    assert found.raw.keys() & odd.keys() == {"size", "upload-time"}


@pytest.mark.parametrize(
    "time", ["2026-01-02T03:04:05", "yesterday", "", "0001-01-01T00:00:00+23:00", None, True]
)
def test_a_time_that_is_not_certain_is_no_time(time: Any) -> None:
    assert read(page(file(**{"upload-time": time}))).files[0].upload_time is None


NO_PAGES = {
    "HTML": b"<!DOCTYPE html><html></html>",
    "nothing": b"",
    "torn": json.dumps(page(file())).encode()[:-1],
    "a list": b"[]",
    "a number": b"1",
    "a list of projects": b'{"meta": {"api-version": "1.0"}, "projects": []}',
    "files of another form": b'{"name": "a-lib", "files": {}}',
    "no name": b'{"files": []}',
    "the name of another": b'{"name": "b-lib", "files": []}',
    "a name of a number": b'{"name": 1, "files": []}',
    "no number": b'{"name": "a-lib", "files": [], "a": NaN}',
    "a long number": b'{"name": "a-lib", "files": [], "a": %s}' % (b"1" * 5000),
    "deep": b'{"name": "a-lib", "files": %s}' % (b"[" * 100_000),
    "no text": b'{"name": "a-lib", "files": [], "a": "\xff"}',
    "of a later version": json.dumps(page(meta={"api-version": "2.0"})).encode(),
}


@pytest.mark.parametrize("body", NO_PAGES.values(), ids=NO_PAGES)
def test_what_is_no_page_is_refused(body: bytes) -> None:
    with pytest.raises(DocumentError):
        read(body)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/json", f"x{JSON}"])
def test_an_answer_of_another_type_is_refused(kind: str) -> None:
    with pytest.raises(DocumentError, match="type"):
        read(page(file()), kind)


@pytest.mark.parametrize("name", ["a-lib", "A_Lib", "a.lib"])
def test_the_name_may_be_spelled_as_its_owner_spells_it(name: str) -> None:
    assert read(page(file(), name=name)).name == "a-lib"


def test_a_page_without_meta_or_files_is_a_page() -> None:
    assert read(b'{"name": "a-lib", "files": []}').files == ()


# HTML ---------------------------------------------------------------------------------------------


def test_html_says_as_much_as_it_can() -> None:
    document = read_html(
        '<meta name="pypi:repository-version" content="1.4">',
        '<meta name="pypi:project-status" content="quarantined">',
        '<meta name="pypi:project-status-reason" content="malware">',
        f'<a href="../../files/a%2B{WHEEL}#sha256={SHA256}" data-requires-python="&gt;=3.9"'
        f' data-core-metadata="sha256={SHA256}" data-yanked="bad &amp; old"'
        f' data-provenance="/p">\n {WHEEL} </a>',
        f'<a href="b.tar.gz#sha256={SHA256}" data-dist-info-metadata="true" data-yanked>'
        "a-lib-1.1.tar.gz</a>",
    )

    assert document.status == "quarantined"
    assert document.raw["project-status"] == {"status": "quarantined", "reason": "malware"}
    wheel, sdist = document.files
    assert (wheel.filename, wheel.url) == (WHEEL, f"http://pypi.example/files/a%2B{WHEEL}")
    assert (wheel.hashes, wheel.metadata_hashes) == ({"sha256": SHA256}, {"sha256": SHA256})
    assert (wheel.yanked, wheel.raw["requires-python"]) == ("bad & old", ">=3.9")
    assert wheel.raw["provenance"] == "http://pypi.example/p"
    assert wheel.upload_time is None
    assert (sdist.version, sdist.yanked, sdist.metadata_hashes) == (Version("1.1"), True, None)


def test_html_may_say_where_its_links_begin() -> None:
    document = read_html(
        '<base href="http://files.example/b/">', f'<a href="c#sha256={SHA256}">{WHEEL}</a>'
    )

    assert document.files[0].url == "http://files.example/b/c"


@pytest.mark.parametrize("anchor", ["", '<a href="/login">Log in</a>', "<a>no link</a>", "<a href"])
def test_html_for_people_is_no_page(anchor: str) -> None:
    with pytest.raises(DocumentError, match="not the page of a project"):
        read_html("<title>Log in</title>", anchor)


def test_a_page_without_files_is_a_page_if_it_says_so() -> None:
    assert read_html('<meta name="pypi:repository-version" content="1.0">').files == ()


def test_html_of_a_later_version_is_refused() -> None:
    with pytest.raises(DocumentError, match=r"version '2\.0'"):
        read_html('<meta name="pypi:repository-version" content="2.0">')


def test_html_without_an_end_is_refused() -> None:
    with pytest.raises(DocumentError, match="more than 16 MB"):
        read(b" " * (16 * 2**20 + 1), HTML)


# Names and hashes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "version"),
    [
        ("a_lib-1.0-py3-none-any.whl", "1.0"),
        ("A.Lib-1!2.0rc1+local_1-2-cp313-cp313-manylinux_2_17_x86_64.whl", "1!2.0rc1+local.1"),
        ("a_lib-1.0-py2.7.egg", "1.0"),
        ("a_lib-1.0.tar.gz", "1.0"),
        ("a-lib-1.0-1.tar.gz", "1.0.post1"),
        ("a-lib-1.0.zip", "1.0"),
        ("a-lib-1.0.tar.bz2", "1.0"),
        ("a-lib-extra-1.0.tar.gz", None),
        ("b_lib-1.0-py3-none-any.whl", None),
        ("a_lib-final-py3-none-any.whl", None),
        ("a-lib-1.0.win32.exe", None),
        ("a-lib.tar.gz", None),
        ("a", None),
    ],
)
def test_the_version_stands_in_the_name(filename: str, version: str | None) -> None:
    assert version_of("a-lib", filename) == (Version(version) if version else None)


def test_the_strongest_hash_that_clients_know_best_comes_first() -> None:
    assert strongest({"blake2b": "b", "sha512": "c", "sha256": "a"}) == ("sha256", "a")
    assert strongest({"blake2b": "b", "sha512": "c"}) == ("sha512", "c")


def test_a_file_that_is_gone_is_found_but_not_listed() -> None:
    document = Document("a-lib", page(), gone=(file(),))

    assert document.files == ()
    found = document.file(WHEEL)
    assert found
    assert found.hashes == {"sha256": SHA256}


def test_what_is_too_long_for_a_version_is_none() -> None:
    assert parse_version("1." + "9" * 5000) is None
    assert parse_version("9" * 240) == Version("9" * 240)
