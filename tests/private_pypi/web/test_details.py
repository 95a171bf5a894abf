"""What metadata tells a person, whatever a stranger wrote there."""

from __future__ import annotations

import time

import pytest
from private_pypi.metadata import METADATA_LIMIT
from private_pypi.web.details import Dependency, Details, is_web, line


def parse(*lines: str, description: str = "") -> Details:
    """Read metadata of such lines."""
    return Details.parse("".join(f"{one}\n" for one in (*lines, "", description)).encode())


# What is there ------------------------------------------------------------------------------------


def test_each_field_that_a_person_reads_is_found_however_its_name_is_spelled() -> None:
    details = parse(
        "Metadata-Version: 2.4",
        "NAME: My.Lib",
        "summary: What it does",
        "Keywords: a, b,,c , a",
        "Author: Ann",
        "Author-email: ann@example.org",
        "License-Expression: MIT",
        "License: other",
        "Classifier: Private :: Do Not Upload",
        "Classifier: Topic :: Utilities",
        "Home-page: https://home.example/",
        "Project-URL: Source, https://source.example/",
        "Download-URL: https://download.example/",
        "Requires-Dist: other>=1",
        "Description-Content-Type: text/markdown",
        description="# Hello\n",
    )

    assert details == Details(
        name="My.Lib",
        summary="What it does",
        keywords=("a", "b", "c"),
        description="# Hello",
        content_type="text/markdown",
        license="MIT",
        authors=(("Ann", "ann@example.org"),),
        links=(
            ("Home page", "https://home.example/"),
            ("Source", "https://source.example/"),
            ("Download", "https://download.example/"),
        ),
        classifiers=("Private :: Do Not Upload", "Topic :: Utilities"),
        requires=(Dependency("other", "other", ">=1", ""),),
    )


def test_of_nothing_there_is_nothing() -> None:
    assert Details.parse(b"") == Details()


def test_of_a_field_that_may_be_there_once_the_first_counts() -> None:
    assert parse("Name: first", "Name: second").name == "first"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_any_way(end: str) -> None:
    metadata = end.join(("Name: lib", "Summary: one", "  two", "", "# Hello", "", "World"))

    details = Details.parse(metadata.encode())

    assert (details.name, details.summary) == ("lib", "one two")
    assert details.description == "# Hello\n\nWorld"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a,b", ("a", "b")),
        ("a b", ("a", "b")),
        ("a b, c", ("a b", "c")),
        (" , ", ()),
        ("", ()),
    ],
)
def test_keywords_are_split_at_commas_or_else_at_spaces(value: str, found: tuple[str, ...]) -> None:
    assert parse(f"Keywords: {value}").keywords == found


# Descriptions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("indent", ["        ", "       |", "  "])
def test_a_description_in_a_field_loses_the_indent_that_it_must_have_there(indent: str) -> None:
    lines = ("Title", "=====", "", "Text::", "", "    code")
    field = f"\n{indent}".join(lines)

    details = parse(f"Description: {field}", "Name: lib")

    assert details.description == "\n".join(lines)
    assert details.name == "lib"


def test_a_description_behind_the_fields_comes_before_one_in_a_field() -> None:
    assert parse("Description: in a field", description="behind").description == "behind"


def test_a_description_has_only_characters_that_a_page_can_have() -> None:
    text = b"tab\tbell\x07 nul\x00 escape\x1b[2J bad\xff \xf0\x9f\x90\x8d \xef\xbf\xbe end"

    description = Details.parse(b"Name: lib\n\n" + text).description

    assert description == "tab\tbell nul escape[2J bad\ufffd \U0001f40d  end"


# Who wrote it -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "authors"),
    [
        (["Author: Ann"], [("Ann", "")]),
        (["Author-email: a@example.org"], [("", "a@example.org")]),
        (["Author-email: Ann <a@example.org>"], [("Ann", "a@example.org")]),
        (["Author: Ann", "Author-email: a@example.org"], [("Ann", "a@example.org")]),
        (["Author: Ann", "Author-email: Ann Lee <a@example.org>"], [("Ann Lee", "a@example.org")]),
        (
            ["Author-email: Ann <a@example.org>, Bo <b@example.org>"],
            [("Ann", "a@example.org"), ("Bo", "b@example.org")],
        ),
        (
            ["Author: Ann, Bo", "Author-email: a@example.org, b@example.org"],
            [("Ann, Bo", ""), ("", "a@example.org"), ("", "b@example.org")],
        ),
        (
            ["Author-email: A <a@example.org>", "Maintainer-email: B <b@example.org>"],
            [("A", "a@example.org"), ("B", "b@example.org")],
        ),
        (["Author: Ann", "Maintainer: Ann"], [("Ann", "")]),
        (["Author-email: no address"], []),
        (["Author:", "Author-email:"], []),
    ],
)
def test_authors_have_a_name_or_an_address_or_both(
    lines: list[str], authors: list[tuple[str, str]]
) -> None:
    assert list(parse(*lines).authors) == authors


def test_an_address_of_comments_within_comments_is_left_out_and_nothing_else() -> None:
    details = parse("Name: lib", "Author: Ann", f"Author-email: {'(' * 600}", "Summary: short")

    assert (details.name, details.summary) == ("lib", "short")
    assert details.authors == (("Ann", ""),)


# Licenses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        (["License: MIT"], "MIT"),
        (["License-Expression: MIT OR Apache-2.0", "License: see file"], "MIT OR Apache-2.0"),
        (["License: BSD License", "        ", "        Redistribution and use ..."], "BSD License"),
        (["License: UNKNOWN", "Classifier: License :: OSI Approved :: MIT License"], "MIT License"),
        (
            ["Classifier: License :: OSI Approved :: A", "Classifier: License :: B"],
            "A, B",
        ),
        (["License: UNKNOWN"], ""),
        (["License:"], ""),
        ([], ""),
    ],
)
def test_a_license_is_one_line(lines: list[str], shown: str) -> None:
    assert parse(*lines).license == shown


def test_of_a_whole_license_that_has_no_lines_its_beginning_is_shown() -> None:
    shown = parse(f"License: MIT {'x' * 100_000}").license

    assert shown.startswith("MIT xxx")
    assert shown.endswith("…")
    assert len(shown) == 500


# Links --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "https://example.org/a?b=c#d",
        "HTTPS://EXAMPLE.ORG:8443",
        "http://[::1]/",
    ],
)
def test_a_link_leads_to_the_web(url: str) -> None:
    assert is_web(url)
    assert parse(f"Project-URL: There, {url}").links == (("There", url),)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JavaScript://example.org/%0aalert(1)",
        " javascript:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "ftp://example.org/",
        "mailto:a@example.org",
        "//example.org/",
        "/simple/",
        "example.org",
        "https://",
        "https:///path",
        "https:example.org",
        "http://[::1",
        "http://[x]/",
        "https://example.org/\u202egnp.exe",
        "https://example.org/\x00",
        "https://example.org/\x7f",
        "",
    ],
)
def test_nothing_else_becomes_a_link(url: str) -> None:
    details = parse(f"Project-URL: There, {url}", f"Home-page: {url}", f"Download-URL: {url}")

    assert details.links == ()
    assert not is_web(url)


def test_a_link_without_a_label_is_called_by_its_address() -> None:
    links = parse("Project-URL: , https://example.org/", "Project-URL: https://example.org/").links

    assert links == (("https://example.org/", "https://example.org/"),)


# What it requires ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "dependency"),
    [
        ("other", Dependency("other", "other", "", "")),
        ("My.Other_Lib (>=1,<2)", Dependency("My.Other_Lib", "my-other-lib", "<2,>=1", "")),
        ("other[b,a]==1.*", Dependency("other", "other", "[a,b]==1.*", "")),
        (
            "other @ https://example.org/a.whl",
            Dependency("other", "other", " @ https://example.org/a.whl", ""),
        ),
        (
            "other @ https://example.org/a.whl ; os_name == 'nt' and extra == 'x'",
            Dependency("other", "other", ' @ https://example.org/a.whl ; os_name == "nt"', "x"),
        ),
        (
            "other; python_version < '3.9'",
            Dependency("other", "other", '; python_version < "3.9"', ""),
        ),
        ("other; extra == 'x'", Dependency("other", "other", "", "x")),
        (
            "other>1; extra == 'x' and os_name == 'nt'",
            Dependency("other", "other", '>1; os_name == "nt"', "x"),
        ),
        (
            "other>1; os_name == 'nt' and extra == \"x\"",
            Dependency("other", "other", '>1; os_name == "nt"', "x"),
        ),
        (
            "other; (os_name == 'nt' or os_name == 'posix') and extra == 'x'",
            Dependency("other", "other", '; (os_name == "nt" or os_name == "posix")', "x"),
        ),
    ],
)
def test_a_dependency_has_a_name_a_rest_and_maybe_an_extra(
    text: str, dependency: Dependency
) -> None:
    assert parse(f"Requires-Dist: {text}").requires == (dependency,)


@pytest.mark.parametrize(
    "text",
    ["", "no name at all!", "a; b", f"a; {'(' * 900}", f"a=={'1' * 900}x y", "a @", "\u202ea"],
)
def test_a_dependency_that_nobody_can_read_is_left_out(text: str) -> None:
    details = parse(f"Requires-Dist: {text}", "Requires-Dist: other")

    assert [one.name for one in details.requires] == ["other"]


# Hostile texts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("  two \t words\n", "two words"),
        ("safe\u202eexe.py", "safeexe.py"),
        ("\u2066\u2067a\u2069\u200fb\u200b", "ab"),
        ("a\x00b\x1b[2Jc\x7f\x9b", "ab[2Jc"),
        ("a\ud800b", "ab"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("日本語 Größe 🐍", "日本語 Größe 🐍"),
        ("", ""),
    ],
)
def test_a_line_shows_what_can_be_seen_and_nothing_that_acts(value: str, shown: str) -> None:
    assert line(value) == shown


@pytest.mark.parametrize("length", [499, 500, 501, 10_000_000])
def test_a_line_has_an_end(length: int) -> None:
    shown = line("x" * length)

    assert len(shown) == min(length, 500)
    assert shown.endswith("…") == (length > 500)


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    details = Details.parse(b"Name: \xff\xfe\nSummary: \xed\xa0\x80 caf\xe9\nAuthor: \xc3\n")

    assert details.name == "\ufffd\ufffd"
    assert details.summary.endswith(" caf\ufffd")
    assert details.authors == (("\ufffd", ""),)


@pytest.mark.parametrize(
    "one",
    [
        b"X: y\n",
        b"Classifier: a\n",
        b"Requires-Dist: other; extra == 'x'\n",
        b"Project-URL: a, https://example.org/\n",
        b"Description: b\n",
        b"Author-email: a@example.org\n",
        b"Name: a\r",
        b":\n",
        b" \n",
        b"\t|\n",
        b"a",
        b"\x00",
        b"\n\xff",
    ],
)
def test_reading_the_largest_metadata_takes_no_longer_than_its_size_explains(one: bytes) -> None:
    whole = b"Description: a\n" + one * (METADATA_LIMIT // len(one))
    began = time.process_time()

    details = Details.parse(whole)

    # Were it of the square of the size, it would take hours.
    assert time.process_time() - began < 20
    for values in (details.classifiers, details.requires, details.links):
        assert len(values) <= 200


def test_a_value_without_end_is_cut() -> None:
    long = "x" * 2_000_000

    details = parse(
        f"Name: {long}", f"Classifier: {long}", f"Project-URL: {long}, https://a.example/"
    )

    assert len(details.name) == len(details.classifiers[0]) == 500
    assert details.links == ()
