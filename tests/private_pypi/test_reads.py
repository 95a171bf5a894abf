"""Reading from the disk without a gateway: which file answers a request, and with which headers."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from wsgiref.util import FileWrapper

import pytest
from kit import attestation, wheel
from kit.wsgi import Answer, call
from private_pypi import answers, reads
from private_pypi.index import Index
from private_pypi.negotiation import HTML, JSON
from private_pypi.settings import Settings

WHEEL = "my_private_lib-0.1.0-py3-none-any.whl"
PAGE = "/simple/my-private-lib/"
FILE = f"/packages/{WHEEL}"
METADATA = b"Metadata-Version: 2.1\nName: my-private-lib\nVersion: 0.1.0\n"
PASSED_ON = 299


class Reader:
    """An application that serves an index and answers 299 where something else has to."""

    def __init__(self, folder: Path) -> None:
        self.data, self.folder = folder / "pypi_data", folder / "pypi_index"
        self.settings = Settings.from_environment(
            {"PYPI_WEB": str(folder / "pypi_web"), "PYPI_PRIVATE_PREFIXES": "acme"}
        )
        self.data.mkdir()
        self.index = Index(self.data, self.folder)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        found = reads.answer(self.index, self.settings, environ)
        return (found or answers.plain(PASSED_ON, "", reason="-")).send(start_response)

    def add(self, version: str = "0.1.0", below: str = "") -> bytes:
        """Copy a wheel into the data folder, bring the index up to it, return its bytes."""
        (self.data / below).mkdir(exist_ok=True)
        path = wheel.build(self.data / below, "my-private-lib", version, origin="us")
        self.index.refresh()
        return path.read_bytes()

    def request(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Send a request, with headers such as if_none_match."""
        return call(self, method, path, headers=headers)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """An index of one wheel, which must not be changed."""
    reader = Reader(tmp_path_factory.mktemp("index"))
    reader.add()
    return reader


@pytest.fixture
def own(tmp_path: Path) -> Reader:
    """An index of one wheel that is the test's own."""
    reader = Reader(tmp_path)
    reader.add()
    return reader


# Which representation -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/simple/", PAGE])
@pytest.mark.parametrize(
    ("query", "accept", "sent"),
    [
        ("", "", "text/html; charset=utf-8"),
        ("", HTML, HTML),
        ("", JSON, JSON),
        ("", f"{JSON}, {HTML}; q=0.1, text/html; q=0.01", JSON),
        ("?format=application/vnd.pypi.simple.v1%2Bjson", "text/html", JSON),
        ("?format=application/vnd.pypi.simple.v1+json", "", JSON),
        ("?a=b&format=application%2Fvnd.pypi.simple.latest%2Bhtml", JSON, HTML),
        ("?format=text/html", JSON, "text/html; charset=utf-8"),
        ("?format=", JSON, JSON),
        ("?format=%ff", JSON, "text/html; charset=utf-8"),
    ],
)
def test_a_page_says_its_type_and_that_it_depends_on_accept(
    reader: Reader, path: str, query: str, accept: str, sent: str
) -> None:
    answer = reader.request(path + query, **({"accept": accept} if accept else {}))

    assert answer.status == 200
    assert answer.headers["Content-Type"] == sent
    assert answer.headers["Vary"] == "Accept"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Content-Length"] == str(len(answer.content))
    if sent == JSON:
        assert json.loads(answer.content)["meta"]["api-version"] >= "1.0"
    else:
        assert answer.content.startswith(b"<!DOCTYPE html>")
    assert b"my-private-lib" in answer.content


def test_a_page_links_what_can_be_downloaded_and_checked(reader: Reader) -> None:
    page = json.loads(reader.request(PAGE, accept=JSON).content)

    (file,) = page["files"]
    answer = reader.request(urljoin(PAGE, file["url"]))
    assert answer.content == (reader.data / WHEEL).read_bytes()
    assert urljoin(PAGE, file["url"]) == FILE
    assert file["url"].encode() in reader.request(PAGE).content


# What the client has already ----------------------------------------------------------------------

PLACES = ["/simple/", PAGE, FILE, f"{FILE}.metadata"]


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', '{}, W/"other"', "*", " * "])
def test_what_the_client_has_is_not_sent_again(
    reader: Reader, path: str, method: str, known: str
) -> None:
    first = reader.request(path)

    again = reader.request(path, method, if_none_match=known.format(first.headers["ETag"]))

    assert (again.status, again.content) == (304, b"")
    for name in ("ETag", "Vary", "Cache-Control"):
        assert again.headers[name] == first.headers[name]


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize("known", ['"other"', "other", "", 'W/"other"', '"'])
def test_what_the_client_has_not_is_sent(reader: Reader, path: str, known: str) -> None:
    answer = reader.request(path, if_none_match=known)

    assert answer.status == 200
    assert answer.content == reader.request(path).content


@pytest.mark.parametrize("accept", [JSON, HTML])
def test_a_page_has_another_tag_once_it_shows_something_else_and_only_then(
    own: Reader, accept: str
) -> None:
    first = own.request(PAGE, accept=accept)
    own.index.refresh(reread=True)
    assert own.request(PAGE, accept=accept, if_none_match=first.headers["ETag"]).status == 304

    own.add("0.2.0")

    second = own.request(PAGE, accept=accept, if_none_match=first.headers["ETag"])
    assert second.status == 200
    assert second.headers["ETag"] != first.headers["ETag"]
    assert b"0.2.0" in second.content


def test_html_and_json_have_different_tags(reader: Reader) -> None:
    tags = [reader.request(PAGE, accept=kind).headers["ETag"] for kind in (HTML, JSON)]

    assert tags[0] != tags[1]


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize(("days", "status"), [(1, 304), (-1, 200)])
def test_without_a_tag_the_time_of_the_last_change_counts(
    reader: Reader, path: str, days: int, status: int
) -> None:
    lies = reader.folder / path.lstrip("/")
    changed = (lies / "index.html" if lies.is_dir() else lies).stat().st_mtime
    when = formatdate(changed + days * 86400, usegmt=True)

    assert reader.request(path, if_modified_since=when).status == status


@pytest.mark.parametrize("path", PLACES)
def test_beside_a_tag_a_time_is_not_looked_at(reader: Reader, path: str) -> None:
    # Two changes within a second have the same time.
    headers = {"if_modified_since": formatdate(2**33, usegmt=True)}

    assert reader.request(path, if_none_match='"other"', **headers).status == 200


# Files --------------------------------------------------------------------------------------------


def test_a_distribution_may_be_kept_for_ever_but_not_by_a_shared_cache(reader: Reader) -> None:
    answer = reader.request(FILE)

    assert answer.status == 200
    assert answer.content == (reader.data / WHEEL).read_bytes()
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "Content-Encoding" not in answer.headers


def test_the_metadata_of_a_wheel_are_served_beside_it(reader: Reader) -> None:
    answer = reader.request(f"{FILE}.metadata")

    assert (answer.status, answer.content) == (200, METADATA)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"


def test_a_signature_is_served_beside_its_distribution_and_no_other_is(own: Reader) -> None:
    (own.data / f"{WHEEL}.asc").write_text("signed")
    (own.data / "other-1.0.tar.gz.asc").write_text("signed")
    own.index.refresh()

    assert own.request(f"{FILE}.asc").content == b"signed"
    assert own.request("/packages/other-1.0.tar.gz.asc").status == 404


def test_attestations_are_served_beside_their_distribution_and_no_others_are(own: Reader) -> None:
    kept = attestation.provenance(attestation.of(WHEEL, (own.data / WHEEL).read_bytes()))
    (own.data / f"{WHEEL}.provenance").write_bytes(kept)
    (own.data / "other-1.0.tar.gz.provenance").write_bytes(kept)
    own.index.refresh()

    answer = own.request(f"{FILE}.provenance")
    assert answer.content == kept
    assert answer.headers["Content-Type"] == "application/vnd.pypi.integrity.v1+json"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert own.request("/packages/other-1.0.tar.gz.provenance").status == 404


@pytest.mark.parametrize("below", ["old", "a b", "Größe", "日本"])
def test_a_distribution_in_a_folder_below_is_served_from_there(own: Reader, below: str) -> None:
    content = own.add("0.2.0", below)
    (url,) = [
        file["url"]
        for file in json.loads(own.request(PAGE, accept=JSON).content)["files"]
        if "0.2.0" in file["filename"]
    ]

    answer = own.request(urljoin(PAGE, url))

    assert url.startswith("../../packages/")
    assert (answer.status, answer.content) == (200, content)
    assert own.request(f"{urljoin(PAGE, url)}.metadata").status == 200


@pytest.mark.parametrize(
    ("asked", "part", "said"),
    [
        ("bytes=0-9", slice(0, 10), "bytes 0-9/{size}"),
        ("bytes=10-", slice(10, None), "bytes 10-{last}/{size}"),
        ("bytes=-22", slice(-22, None), "bytes {tail}-{last}/{size}"),
        ("bytes=5-99999999", slice(5, None), "bytes 5-{last}/{size}"),
        ("bytes=-99999999", slice(0, None), "bytes 0-{last}/{size}"),
        # Of several, the first that there is.
        ("bytes=5-4, x, -0, 2-3, 7-8", slice(2, 4), "bytes 2-3/{size}"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_part_of_a_distribution_can_be_had(
    reader: Reader, asked: str, part: slice, said: str, method: str
) -> None:
    whole = (reader.data / WHEEL).read_bytes()
    numbers = {"size": len(whole), "last": len(whole) - 1, "tail": len(whole) - 22}

    answer = reader.request(FILE, method, range=asked)

    assert answer.status == 206
    assert answer.headers["Content-Range"] == said.format(**numbers)
    assert answer.headers["Content-Length"] == str(len(whole[part]))
    assert answer.headers["ETag"] == reader.request(FILE).headers["ETag"]
    assert answer.content == (whole[part] if method == "GET" else b"")


@pytest.mark.parametrize(
    "asked",
    ["bytes=99999999-", "bytes=5-4", "bytes=-0", "bytes=-", "bytes=", "", "lines=0-9", "0-9"],
)
@pytest.mark.parametrize("path", PLACES)
def test_a_part_that_is_not_there_cannot_be_had(reader: Reader, path: str, asked: str) -> None:
    answer = reader.request(path, range=asked)

    assert (answer.status, answer.reason) == (416, "The file has no such part.")
    assert answer.headers["ETag"] == reader.request(path).headers["ETag"]


@pytest.mark.parametrize("wrapped", [True, False])
def test_the_server_sends_whole_files_in_its_own_way_and_parts_are_cut(
    reader: Reader, wrapped: bool
) -> None:
    whole = (reader.data / WHEEL).read_bytes()
    given: dict[str, Any] = {"wsgi.file_wrapper": FileWrapper} if wrapped else {}

    sent = call(reader, "GET", FILE, **given)
    part = call(reader, "GET", FILE, headers={"range": "bytes=7-99"}, **given)

    assert sent.content == whole
    assert part.content == whole[7:100]


@pytest.mark.parametrize("path", PLACES)
def test_head_says_what_get_would_and_sends_nothing(reader: Reader, path: str) -> None:
    get, head = reader.request(path), reader.request(path, "HEAD")

    assert (head.status, head.content) == (200, b"")
    for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control", "Last-Modified"):
        assert head.headers[name] == get.headers[name] is not None


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_that_cannot_be_opened_is_forbidden_to_head_as_to_get(
    reader: Reader, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)

    assert reader.request(FILE, method).status == 403


# Names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("query", ["", "?format=application/vnd.pypi.simple.v1%2Bjson", "?a=b&c"])
@pytest.mark.parametrize(
    "path",
    [
        "/simple/my-private-lib",
        "/simple/My_Private.Lib/",
        "/simple/My_Private.Lib",
        "/simple/MY--PRIVATE-_LIB/",
        "/simple/%6dy_private_lib/",
    ],
)
def test_a_name_leads_to_its_normalised_page_and_the_query_with_it(
    reader: Reader, path: str, query: str, method: str
) -> None:
    answer = reader.request(path + query, method)

    assert answer.status == 301
    assert urljoin(path + query, answer.headers["Location"]) == PAGE + query
    assert reader.request(PAGE + query).status == 200


def test_a_name_we_do_not_hold_is_normalised_too_and_then_passed_on(reader: Reader) -> None:
    answer = reader.request("/simple/Some_Thing?a=b")

    assert answer.status == 301
    assert urljoin("/simple/Some_Thing", answer.headers["Location"]) == "/simple/some-thing/?a=b"
    assert reader.request("/simple/some-thing/").status == PASSED_ON


@pytest.mark.parametrize("name", ["acme", "acme-lib"])
def test_a_name_with_a_reserved_prefix_is_not_passed_on(reader: Reader, name: str) -> None:
    answer = reader.request(f"/simple/{name}/")

    assert answer.status == 404
    assert "asks nobody else for a name with this prefix" in answer.body
    assert reader.request("/simple/acmeology/").status == PASSED_ON


@pytest.mark.parametrize(
    "path", ["/simple/Ab%0d%0aX:y/", "/simple/Ab%0aX/", "//evil.example/simple/A"]
)
def test_a_redirect_never_leads_out_or_carries_a_header(reader: Reader, path: str) -> None:
    answer = reader.request(path)

    assert "X" not in answer.headers
    assert not urljoin(
        f"http://index.example{path}", answer.headers.get("Location", "")
    ).startswith("http://evil")
    assert answer.status in (PASSED_ON, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", [*PLACES, "/simple/My_Private.Lib/"])
def test_what_is_no_read_is_passed_on(reader: Reader, method: str, path: str) -> None:
    assert reader.request(path, method).status == PASSED_ON


@pytest.mark.parametrize("path", ["/simple/a/b/", "/my-private-lib/json", "/a/b", "/packages"])
def test_what_is_no_address_is_not_found(reader: Reader, path: str) -> None:
    answer = reader.request(path)

    assert answer.status == 404
    assert b"There is nothing here: projects are under simple/, as JSON too." in answer.content


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/simple", "simple/"),
        ("/My_Private.Lib", "simple/my-private-lib/"),
        ("/my-private-lib/?a=\xf8%2B", "../simple/my-private-lib/?a=%F8%2B"),
    ],
)
def test_an_address_without_its_end_or_simple_leads_on(
    reader: Reader, path: str, place: str
) -> None:
    answer = reader.request(path)

    assert (answer.status, answer.headers["Location"]) == (301, place)


@pytest.mark.parametrize("path", ["/simple/", PAGE])
def test_a_page_that_is_not_made_yet_is_not_looked_for_elsewhere(tmp_path: Path, path: str) -> None:
    assert Reader(tmp_path).request(path).status == 503


@pytest.mark.parametrize("length", [255, 256, 5000])
def test_a_name_that_is_too_long_for_a_file_is_no_trouble(reader: Reader, length: int) -> None:
    assert reader.request(f"/simple/{'x' * length}/").status == 404
    assert reader.request(f"/packages/{'x' * length}").status == 404


# What is never served -----------------------------------------------------------------------------

SECRET = b"not for you"


@pytest.mark.parametrize(
    "path",
    [
        "/packages/../pypi_auth/.htpasswd",
        "/packages/..%2f..%2fpypi_auth%2f.htpasswd",
        "/packages/%2e%2e/%2e%2e/pypi_auth/.htpasswd",
        "/packages/old/../../../pypi_auth/.htpasswd",
        "/packages/..%5c..%5cpypi_auth%5c.htpasswd",
        "/packages//{tmp}/pypi_auth/.htpasswd",
        "/packages//{tmp}/pypi_auth/plain",
        "/packages/%2f{tmp}/pypi_auth/plain",
        "/packages/old//{tmp}/pypi_auth/plain",
        "/packages/.uploads/hidden-1.0.tar.gz",
        "/packages/.hidden-1.0.tar.gz",
        "/packages/.journal.jsonl",
        "/packages/.secret-1.0.tar.gz.new",
        "/packages/../index.sqlite3",
        "/packages/index.sqlite3",
        "/packages/unlisted-1.0.tar.gz",
        "/packages/notes.txt",
        "/packages/old/notes.txt",
        "/packages/a%00b",
        "/packages/%ff%fe",
        "/packages/%e6%97%a5",
        "/packages/",
        "/packages/old",
        "/packages/old/",
        f"{FILE}/",
        f"{FILE}/x",
        f"{FILE}.sha256",
        "/packages/my_private_lib-9-py3-none-any.whl",
    ],
)
def test_nothing_but_listed_distributions_can_be_downloaded_nor_their_presence_told(
    own: Reader, tmp_path: Path, path: str
) -> None:
    own.add("0.2.0", "old")
    (tmp_path / "pypi_auth").mkdir()
    for name in (
        "pypi_auth/.htpasswd",
        "pypi_auth/plain",
        "pypi_data/.uploads/hidden-1.0.tar.gz",
        "pypi_data/.hidden-1.0.tar.gz",
        "pypi_data/unlisted-1.0.tar.gz",
        "pypi_data/notes.txt",
        "pypi_data/old/notes.txt",
        "pypi_index/packages/.secret-1.0.tar.gz.new",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(SECRET)
    os.utime(own.data / "unlisted-1.0.tar.gz", (0, 0))
    own.index.refresh()
    path = path.format(tmp=str(tmp_path).lstrip("/"))

    for method in ("GET", "HEAD"):
        for answer in (own.request(path, method), own.request(path, method, if_none_match="*")):
            assert answer.status == (400 if "%ff" in path else 404)
            assert SECRET not in answer.content
            for name in ("ETag", "Last-Modified", "Cache-Control", "Accept-Ranges"):
                assert name not in answer.headers, "that tells something about a file"


@pytest.mark.parametrize(
    "path",
    [
        "/simple/../index.sqlite3",
        "/simple/%2e%2e/",
        "/simple/../packages/",
        "/simple/..",
        "/simple/.",
    ],
)
def test_no_page_is_looked_for_outside_of_its_folder(own: Reader, path: str) -> None:
    (own.folder / "index.html").write_bytes(SECRET)
    (own.folder / "packages/index.html").write_bytes(SECRET)

    answer = own.request(path)

    assert answer.status in (PASSED_ON, 404)
    assert SECRET not in answer.content


# Pages for people ---------------------------------------------------------------------------------

FOR_PEOPLE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/projects.html": ("projects.html", "text/html; charset=utf-8"),
    "/search.json": ("search.json", "application/json"),
    "/feed.atom": ("feed.atom", "application/atom+xml; charset=utf-8"),
    "/static/style.css": ("static/style.css", "text/css; charset=utf-8"),
    "/static/script.js": ("static/script.js", "text/javascript; charset=utf-8"),
    "/static/icon.svg": ("static/icon.svg", "image/svg+xml"),
    "/project/my-private-lib/": (
        "project/my-private-lib/index.html",
        "text/html; charset=utf-8",
    ),
    "/project/my-private-lib/feed.atom": (
        "project/my-private-lib/feed.atom",
        "application/atom+xml; charset=utf-8",
    ),
}
"""Their paths, where they lie in the folder of these pages, and their types."""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """An index whose pages for people have their own path as content; it must not be changed."""
    reader = Reader(tmp_path_factory.mktemp("people"))
    reader.add()
    names = [name for name, _ in FOR_PEOPLE.values()]
    for name in (*names, ".site.json", ".lock", ".descriptions/a", "static/x.html", "notes.txt"):
        (reader.settings.web / name).parent.mkdir(parents=True, exist_ok=True)
        (reader.settings.web / name).write_text(name)
    return reader


@pytest.mark.parametrize("path", FOR_PEOPLE)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_page_for_people_is_sent_with_its_type_and_its_policy(
    people: Reader, path: str, method: str
) -> None:
    name, kind = FOR_PEOPLE[path]

    answer = people.request(path, method)

    assert answer.status == 200
    assert answer.body == (name if method == "GET" else "")
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Content-Security-Policy"] == reads.POLICY
    assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("path", FOR_PEOPLE)
def test_a_page_for_people_that_the_client_has_is_not_sent_again(people: Reader, path: str) -> None:
    tag = people.request(path).headers["ETag"]

    answer = people.request(path, if_none_match=tag)

    assert (answer.status, answer.body) == (304, "")


def test_what_a_page_for_people_may_do_is_to_load_what_is_ours() -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in reads.POLICY.split(";"))

    assert rules.pop("default-src") == "'none'"
    assert rules.pop("base-uri") == rules.pop("frame-ancestors") == "'none'"
    assert set(rules.values()) == {"'self'"}


@pytest.mark.parametrize(
    "path",
    [
        "/.site.json",
        "/.lock",
        "/.descriptions/a",
        "/notes.txt",
        "/index.html",
        "/static/",
        "/static/x.html",
        "/static/style.css/",
        "/static/../notes.txt",
        "/project/my-private-lib/index.html",
        "/project/../notes.txt",
        "/project/%2e%2e/",
        "/project/my-private-lib/../../notes.txt",
        "/project/my-private-lib/feed.atom/",
        "/feed.atom%0a",
        "/search.json%00",
    ],
)
def test_no_other_file_beside_the_pages_for_people_is_sent(people: Reader, path: str) -> None:
    answer = people.request(path)

    assert answer.status in (301, 404, PASSED_ON)
    assert "Content-Security-Policy" not in answer.headers
    assert not answer.body.startswith(("project/", "static/", ".", "notes", "index", "feed"))


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/project/My_Private.Lib/", "../my-private-lib/"),
        ("/project/My_Private.Lib", "my-private-lib/"),
        ("/project/my-private-lib", "my-private-lib/"),
        ("/project/my-private-lib?a=\xf8%2B", "my-private-lib/?a=%F8%2B"),
        ("/project/Un--known/", "../un-known/"),
    ],
)
def test_any_spelling_of_a_project_leads_to_its_page(people: Reader, path: str, place: str) -> None:
    answer = people.request(path)

    assert (answer.status, answer.headers["Location"]) == (301, place)


@pytest.mark.parametrize(
    "path", ["/project/%0d%0aX:y", "/project/%c3%b6", "/project/-a-", "/project/a%00"]
)
def test_what_can_be_no_project_leads_nowhere(people: Reader, path: str) -> None:
    answer = people.request(path)

    assert (answer.status, answer.body) == (404, "That is not the name of a project.\n")


def test_a_project_that_the_index_never_had_has_no_page(people: Reader) -> None:
    answer = people.request("/project/unknown/")

    assert (answer.status, answer.body) == (404, "This index has no project unknown.\n")


def test_until_its_page_is_made_a_project_says_so(reader: Reader) -> None:
    answer = reader.request("/project/my-private-lib/")

    assert answer.status == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.body == "The page of this project is being made: reload it in a moment.\n"


@pytest.mark.parametrize("path", ["/projects.html", "/search.json", "/feed.atom"])
def test_until_they_are_made_there_are_no_other_pages_for_people(reader: Reader, path: str) -> None:
    assert reader.request(path).status in (301, 404)


def test_until_it_is_made_there_is_no_start_page(reader: Reader) -> None:
    assert reader.request("/").status == PASSED_ON


@pytest.mark.parametrize("path", FOR_PEOPLE)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_page_for_people_is_read_only(people: Reader, path: str, method: str) -> None:
    assert people.request(path, method).status == PASSED_ON


def test_projects_of_the_names_of_pages_are_found_by_installers(own: Reader) -> None:
    for name in ("project", "static", "search"):
        wheel.build(own.data, name, "1.0", origin="us")
    own.index.refresh()
    own.settings.web.mkdir()
    (own.settings.web / "index.html").write_text("start")

    for name in ("project", "static", "search"):
        assert own.request(f"/simple/{name}/").status == 200
        answer = own.request(f"/{name}/")
        assert (answer.status, answer.headers["Location"]) == (301, f"../simple/{name}/")
