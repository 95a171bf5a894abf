"""What the index answers over HTTP: the gateway, from disk, and private_pypi itself, alike."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote, urljoin

import pytest
import requests
from kit import attestation, wheel
from kit.gateway import Gateway, behind_gateway
from kit.http import Answer, ask, basic
from kit.install import Install, with_pip, with_uv
from kit.public_index import PublicIndex
from kit.server import Server
from kit.template import PASSWORD
from kit.user import User, installed

BOB = basic("bob", PASSWORD)
SIMPLE = "application/vnd.pypi.simple"
HTML = "text/html; charset=utf-8"
WHEEL = "held_name-1.0-py3-none-any.whl"


@dataclass(frozen=True)
class Program:
    """One of the two programs that answer for an index, or both."""

    url: str
    folder: Path

    def ask(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> Answer:
        """Ask as bob."""
        return ask(self.url, path, {**BOB, **(headers or {})}, method=method)


@dataclass(frozen=True)
class Programs:
    """Both programs over one folder."""

    folder: Path
    server: Server
    gateway: Gateway


def fill(data: Path) -> None:
    """Put distributions into a folder, as if they had lain there for a while."""
    wheel.build(data, "held-name", "1.0", origin="us")
    for number in range(60):
        wheel.build(data, "large", f"0.{number}", origin="us")
    wheel.build(data, "simple", "1.0", origin="us")
    wheel.build(data, "to-go", "1.0", origin="us")
    (data / "team").mkdir()
    wheel.build(data / "team", "in-a-folder", "1.0", origin="us")
    (data / f"{WHEEL}.asc").write_text("-----BEGIN PGP SIGNATURE-----\n")
    attested = attestation.of(WHEEL, (data / WHEEL).read_bytes())
    (data / f"{WHEEL}.provenance").write_bytes(attestation.provenance(attested))
    (data / "notes.txt").write_text("secret")
    for path in data.rglob("*"):
        os.utime(path, (time.time() - 3600,) * 2)


def programs(rendered: Path, public: PublicIndex, folder: Path) -> Programs:
    """Return both, not started, over distributions that are in the index."""
    server, gateway = behind_gateway(
        rendered, folder, PYPI_PUBLIC_INDEX=public.url, PYPI_MAX_UPLOAD_MB="1"
    )
    fill(server.data)
    server.user("add", "alice", "--role", "publisher", password=PASSWORD)
    server.user("add", "bob", "--role", "reader", password=PASSWORD)
    server.run("index")
    return Programs(folder, server, gateway)


@pytest.fixture(scope="module")
def both(
    rendered: Path, public: PublicIndex, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Programs]:
    """Both programs, running."""
    made = programs(rendered, public, tmp_path_factory.mktemp("gateway") / "s")
    with made.server, made.gateway:
        yield made
    log = made.gateway.log.read_text()
    assert '"level":"error"' not in log
    assert PASSWORD not in log
    assert BOB["Authorization"] not in log


@pytest.fixture(params=["gateway", "private_pypi"])
def index(both: Programs, request: pytest.FixtureRequest) -> Program:
    """Each of the two programs."""
    urls = {"gateway": both.gateway.url, "private_pypi": both.server.url().rstrip("/")}
    return Program(urls[request.param], both.folder)


@pytest.fixture(scope="module")
def alone(
    rendered: Path, public: PublicIndex, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """The gateway while private_pypi does not run."""
    made = programs(rendered, public, tmp_path_factory.mktemp("alone") / "s")
    with made.gateway:
        yield Program(made.gateway.url, made.folder)


def varies(headers: Message) -> set[str]:
    """Return the names of the headers on which an answer depends."""
    return {name.strip() for value in headers.get_all("Vary", []) for name in value.split(",")}


# Pages --------------------------------------------------------------------------------------------

PIP = f"{SIMPLE}.v1+json, {SIMPLE}.v1+html; q=0.1, text/html; q=0.01"
UV = f"{SIMPLE}.v1+json, {SIMPLE}.v1+html;q=0.2, text/html;q=0.01"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
FAVOURITES = [
    (PIP, f"{SIMPLE}.v1+json"),
    (UV, f"{SIMPLE}.v1+json"),
    (BROWSER, HTML),
    ("", HTML),
    ("*/*", HTML),
    ("image/png", HTML),
    ("text/html", HTML),
    (f"{SIMPLE}.v1+json", f"{SIMPLE}.v1+json"),
    (f"{SIMPLE}.latest+json", f"{SIMPLE}.v1+json"),
    (f"{SIMPLE}.v1+html", f"{SIMPLE}.v1+html"),
    (f"{SIMPLE}.latest+html", f"{SIMPLE}.v1+html"),
    (f"{SIMPLE}.v2+json", HTML),
    (f"text/html;q=0.9,{SIMPLE}.v1+json;q=1.0", f"{SIMPLE}.v1+json"),
    (f"{SIMPLE}.v1+json;q=0.9,text/html", HTML),
    (f"{SIMPLE}.v1+json;q=0.9, {SIMPLE}.v1+html;q=1", f"{SIMPLE}.v1+html"),
    (f"{SIMPLE}.v1+json, text/html", f"{SIMPLE}.v1+json"),
    (f"{SIMPLE.upper()}.V1+JSON", f"{SIMPLE}.v1+json"),
]
"""What a client accepts, and the type that is its favourite."""
RANKED = [
    (f"{SIMPLE}.v1+json;q=0.5, text/html;q=0.6", HTML),
    (f"{SIMPLE}.v1+json;q=0.6, text/html;q=0.5", f"{SIMPLE}.v1+json"),
    (f"text/html;q=0.05, {SIMPLE}.v1+html;q=0.051", f"{SIMPLE}.v1+html"),
    (f"{SIMPLE}.v1+json;q=0", HTML),
    (f"{SIMPLE}.v1+json;q=0.3", f"{SIMPLE}.v1+json"),
]
"""The same without a favourite."""


def accepting(accept: str) -> dict[str, str]:
    """Return the header, none for a client that sends none."""
    return {"Accept": accept} if accept else {}


@pytest.mark.parametrize(("accept", "kind"), [*FAVOURITES, *RANKED])
def test_a_page_has_the_form_that_the_client_likes_best(
    index: Program, accept: str, kind: str
) -> None:
    for path in ("/simple/", "/simple/held-name/"):
        check_page(index.ask(path, accepting(accept)), path, kind)


def check_page(answer: Answer, path: str, kind: str) -> None:
    """Refuse what is not the page of a path, in full and with the headers of its form."""
    assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
    assert "Accept" in varies(answer.headers)
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["ETag"]
    if "json" in kind:
        page = json.loads(answer.body)
        held = [project["name"] for project in page.get("projects", [])]
        assert page.get("name") == "held-name" or "held-name" in held
    else:
        assert answer.body.lower().startswith(b"<!doctype html>")
        link = "held-name/" if path == "/simple/" else f"../../packages/{WHEEL}#sha256="
        assert f'href="{link}' in answer.body.decode()


QUERIES = [
    (f"{SIMPLE}.v1+json", f"{SIMPLE}.v1+json"),
    (f"{SIMPLE}.v1%2Bjson", f"{SIMPLE}.v1+json"),
    (quote(f"{SIMPLE}.latest+json", safe=""), f"{SIMPLE}.v1+json"),
    (f"{SIMPLE}.v1+html", f"{SIMPLE}.v1+html"),
    ("text/html", HTML),
    ("nonsense", HTML),
]
"""What a query asks for, and the type that is."""


@pytest.mark.parametrize(("wanted", "kind"), QUERIES)
@pytest.mark.parametrize("accept", ["", PIP, "text/html"])
def test_the_query_says_more_than_the_header(
    index: Program, accept: str, wanted: str, kind: str
) -> None:
    path = f"/simple/held-name/?format={wanted}"
    check_page(index.ask(path, accepting(accept)), path, kind)


@pytest.mark.parametrize("accept", ["", PIP])
@pytest.mark.parametrize("path", ["/simple/", "/simple/held-name/", f"/packages/{WHEEL}"])
def test_what_the_client_has_already_is_not_sent_again(
    index: Program, path: str, accept: str
) -> None:
    first = index.ask(path, accepting(accept))
    tag = first.headers["ETag"]

    again = index.ask(path, {**accepting(accept), "If-None-Match": tag})
    other = index.ask(path, {**accepting(accept), "If-None-Match": '"other"'})

    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert (other.status, other.body) == (200, first.body)


@pytest.mark.parametrize(
    "path", ["/simple/", "/simple/held-name/", f"/packages/{WHEEL}", f"/packages/{WHEEL}.metadata"]
)
def test_head_tells_the_same_without_the_content(index: Program, path: str) -> None:
    whole, head = index.ask(path), index.ask(path, method="HEAD")

    assert (head.status, head.body) == (200, b"")
    for name in ("Content-Type", "Content-Length", "Cache-Control", "ETag"):
        assert head.headers[name] == whole.headers[name]
    assert head.headers["Content-Length"] == str(len(whole.body))


@pytest.mark.parametrize("accept", ["", PIP])
def test_the_gateway_sends_large_pages_compressed(both: Programs, accept: str) -> None:
    index = Program(both.gateway.url, both.folder)
    plain = index.ask("/simple/large/", accepting(accept))

    packed = index.ask("/simple/large/", {**accepting(accept), "Accept-Encoding": "gzip"})

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Content-Type"] == plain.headers["Content-Type"]
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert varies(packed.headers) == {"Accept", "Accept-Encoding"}
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) * 2 < len(plain.body)


# Files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location", [WHEEL, f"{WHEEL}.asc", "team/in_a_folder-1.0-py3-none-any.whl"]
)
def test_a_distribution_is_sent_whole_or_in_part(index: Program, location: str) -> None:
    content = (index.folder / "pypi_data" / location).read_bytes()

    whole = index.ask(f"/packages/{location}")
    part = index.ask(f"/packages/{location}", {"Range": "bytes=2-5"})

    assert (whole.status, whole.body) == (200, content)
    assert (part.status, part.body) == (206, content[2:6])
    assert part.headers["Content-Range"] == f"bytes 2-5/{len(content)}"
    for answer in (whole, part):
        assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
        if location.endswith(".whl"):
            assert answer.headers["Content-Type"] == "application/octet-stream"


def test_attestations_are_sent_as_what_they_are_and_asked_for_each_time(index: Program) -> None:
    answer = index.ask(f"/packages/{WHEEL}.provenance")

    kept = index.folder / "pypi_data" / f"{WHEEL}.provenance"
    assert (answer.status, answer.body) == (200, kept.read_bytes())
    assert answer.headers["Content-Type"] == "application/vnd.pypi.integrity.v1+json"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    unchanged = index.ask(
        f"/packages/{WHEEL}.provenance", {"If-None-Match": answer.headers["ETag"]}
    )
    assert unchanged.status == 304


def test_a_part_that_there_is_not_is_refused(index: Program) -> None:
    answer = index.ask(f"/packages/{WHEEL}", {"Range": "bytes=999999-"})

    assert answer.status == 416
    assert "Cache-Control" not in answer.headers


def test_the_metadata_of_a_distribution_can_be_had_without_it(index: Program) -> None:
    answer = index.ask(f"/packages/{WHEEL}.metadata")

    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.body.startswith(b"Metadata-Version: 2.1\nName: held-name\n")


@pytest.mark.parametrize(
    "path",
    [
        "/index.sqlite3",
        "/simple/index.sqlite3",
        "/packages/index.sqlite3",
        "/packages/../index.sqlite3",
        "/packages/%2e%2e/index.sqlite3",
        "/packages/..%2findex.sqlite3",
        "/packages/..%5cindex.sqlite3",
        "/packages/team/../../index.sqlite3",
        "/packages/team/..%2f..%2findex.sqlite3",
        "/packages//../index.sqlite3",
        "//packages/../index.sqlite3",
        "/packages/..%2f..%2fpypi_auth/.htpasswd",
        "/packages/..%2f..%2fpypi_data/notes.txt",
        "/packages/..%2f..%2fpypi_data/.journal.jsonl",
        "/simple/../index.sqlite3",
        "/simple/..%2findex.sqlite3",
        "/simple/..%2f..%2fpypi_data/",
        "/simple/../../pypi_data/",
        "/packages/notes.txt",
        "/packages/.journal.jsonl",
        "/packages/.uploads/",
        "/.journal.jsonl",
        "/packages/",
        "/packages",
        "/packages/team",
        "/packages/team/",
        f"/packages/{WHEEL}/x",
        f"/packages/{'x' * 300}.whl",
        "/packages/%00",
        "/pypi_data/notes.txt",
        "/pypi_index/index.sqlite3",
        "/simple/held-name/index.json.gz",
    ],
)
def test_nothing_else_is_sent(index: Program, path: str) -> None:
    answer = index.ask(path)

    assert 300 <= answer.status < 500
    assert b"SQLite" not in answer.body
    assert b"secret" not in answer.body
    assert b"in_a_folder" not in answer.body


def test_a_dot_file_is_not_sent_even_if_it_lies_there(both: Programs) -> None:
    for folder in ("packages", "packages/team", "simple/.hidden"):
        (both.folder / "pypi_index" / folder).mkdir(exist_ok=True)
        (both.folder / "pypi_index" / folder / ".hidden").write_text("secret")
    (both.folder / "pypi_index/simple/.hidden/index.html").write_text("secret")
    for path in ("/packages/.hidden", "/packages/team/.hidden", "/simple/.hidden/", "/.hidden/"):
        for url in (both.gateway.url, both.server.url()):
            answer = ask(url, path, BOB)
            assert 300 <= answer.status < 500, path
            assert b"secret" not in answer.body


def test_the_plain_files_of_a_page_are_not_addresses(both: Programs) -> None:
    for name in ("index.html", "index.json"):
        assert ask(both.gateway.url, f"/simple/held-name/{name}", BOB).status in (301, 303, 404)


# Conditions ---------------------------------------------------------------------------------------

CONDITIONS: list[tuple[dict[str, str], int]] = [
    # {tag} and {time} are those of the file, {before} and {after} a second beside it.
    ({"If-None-Match": "{tag}"}, 304),
    ({"If-None-Match": "W/{tag}"}, 304),
    ({"If-None-Match": '"other", {tag}'}, 304),
    ({"If-None-Match": "*"}, 304),
    ({"If-None-Match": '"other"'}, 200),
    ({"If-None-Match": '"other"', "If-Modified-Since": "{after}"}, 200),
    ({"If-Modified-Since": "{time}"}, 304),
    ({"If-Modified-Since": "{after}"}, 304),
    ({"If-Modified-Since": "{before}"}, 200),
    ({"If-Modified-Since": "nonsense"}, 200),
    ({"If-Modified-Since": "-1"}, 200),
    ({"If-Match": "{tag}"}, 200),
    ({"If-Match": '"other", {tag}'}, 200),
    ({"If-Match": "*"}, 200),
    ({"If-Match": "W/{tag}"}, 412),
    ({"If-Match": '"other"'}, 412),
    ({"If-Match": "{tag}", "If-Unmodified-Since": "{before}"}, 200),
    ({"If-Unmodified-Since": "{time}"}, 200),
    ({"If-Unmodified-Since": "{after}"}, 200),
    ({"If-Unmodified-Since": "{before}"}, 412),
    ({"If-Unmodified-Since": "nonsense"}, 200),
    ({"Range": "bytes=2-5"}, 206),
    ({"Range": "bytes=2-5", "If-Range": "{tag}"}, 206),
    ({"Range": "bytes=2-5", "If-Range": "{time}"}, 206),
    ({"Range": "bytes=2-5", "If-Range": "W/{tag}"}, 200),
    ({"Range": "bytes=2-5", "If-Range": '"other"'}, 200),
    ({"Range": "bytes=2-5", "If-Range": "{before}"}, 200),
    ({"Range": "bytes=2-5", "If-Range": "{after}"}, 200),
    ({"Range": "bytes=2-5", "If-Range": "nonsense"}, 200),
    ({"Range": "bytes=2-5", "If-Range": "*"}, 200),
    ({"Range": "bytes=999999-", "If-Range": '"other"'}, 200),
    ({"Range": "bytes=999999-", "If-Range": "{tag}"}, 416),
    ({"Range": "bytes=2-5", "If-Range": '"other"', "If-None-Match": "{tag}"}, 304),
    ({"Range": "bytes=2-5", "If-Match": '"other"'}, 412),
    ({"If-Range": '"other"'}, 200),
]


@pytest.mark.parametrize(("sent", "status"), CONDITIONS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_condition_decides_as_the_standard_says(
    index: Program, sent: dict[str, str], status: int, method: str
) -> None:
    """RFC 9110, section 13, whoever answers."""
    for path in (f"/packages/{WHEEL}", "/simple/held-name/"):
        first = index.ask(path)
        time_ = parsedate_to_datetime(first.headers["Last-Modified"]).timestamp()
        values = {
            "tag": first.headers["ETag"],
            "time": first.headers["Last-Modified"],
            "before": formatdate(time_ - 1, usegmt=True),
            "after": formatdate(time_ + 1, usegmt=True),
        }
        headers = {name: value.format(**values) for name, value in sent.items()}

        answer = index.ask(path, headers, method)

        assert (path, answer.status) == (path, status)
        if method == "GET" and status in (200, 206):
            assert answer.body == (first.body[2:6] if status == 206 else first.body)
        if status < 400:
            assert answer.headers["ETag"] == first.headers["ETag"]


# Names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?format=text/html"])
@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("/simple/Held_Name/", "/simple/held-name/"),
        ("/simple/HELD.NAME", "/simple/held-name/"),
        ("/simple/held-name", "/simple/held-name/"),
    ],
)
def test_other_spellings_of_a_name_are_redirected(
    index: Program, path: str, to: str, query: str
) -> None:
    answer = index.ask(path + query)

    assert answer.status == 301
    assert urljoin(path, answer.headers["Location"]) == to + query


@pytest.mark.parametrize("path", ["/held-name/", "/Held_Name/"])
def test_a_name_alone_leads_to_its_page(index: Program, path: str) -> None:
    answer = index.ask(path)
    assert answer.status in (301, 302, 303)
    while answer.status in (301, 302, 303):
        path = urljoin(path, answer.headers["Location"]).removeprefix(index.url)
        answer = index.ask(path)

    assert path == "/simple/held-name/"
    check_page(answer, path, HTML)


def test_a_project_called_simple_does_not_hide_the_list(index: Program) -> None:
    for accept, kind in (FAVOURITES[0], ("", HTML), RANKED[0]):
        check_page(index.ask("/simple/", accepting(accept)), "/simple/", kind)


def test_a_name_that_is_not_here_is_asked_of_the_public_index(
    index: Program, public: PublicIndex
) -> None:
    answer = index.ask("/simple/public-lib/")

    assert answer.status == 303
    assert answer.headers["Location"] == f"{public.url}public-lib/"


def test_a_name_that_was_here_is_never_asked_of_the_public_index(
    both: Programs, rendered: Path
) -> None:
    origins = [both.gateway.url, both.server.url()]
    file = "/packages/to_go-1.0-py3-none-any.whl"
    both.server.run("remove", "to-go", "1.0", "--yes")

    for url in origins:
        assert ask(url, "/simple/to-go/", BOB).status == 404
        assert ask(url, file, BOB).status == 404
        assert ask(url, "/to-go/", BOB).status in (301, 302, 303, 404)


# Accounts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/", "/simple/", "/simple/held-name/", f"/packages/{WHEEL}", "/held-name/", "/RPC2", "/.x"],
)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Basic Ym9iOndyb25n"}])
def test_nothing_is_told_without_an_account(
    index: Program, path: str, headers: dict[str, str]
) -> None:
    answer = ask(index.url, path, headers)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert b"held" not in answer.body


def test_the_health_check_needs_no_account(index: Program) -> None:
    assert ask(index.url, "/health").status == 200


def test_xml_rpc_is_closed(index: Program) -> None:
    assert index.ask("/RPC2").status == 404


# Uploads ------------------------------------------------------------------------------------------


def publish(index: Program, user: str, file: Path, content: bytes) -> int:
    """Send an upload form as the publishing tools do; return the status."""
    return requests.post(
        f"{index.url}/",
        data={":action": "file_upload", "protocol_version": "1"},
        files={"content": (file.name, content)},
        auth=(user, PASSWORD),
        timeout=60,
    ).status_code


def test_what_is_published_is_there_at_once_and_never_replaced(
    index: Program, tmp_path: Path
) -> None:
    name = f"fresh-{index.url.rpartition(':')[2]}"
    file = wheel.build(tmp_path, name, "1.0", origin="us")
    (tmp_path / "other").mkdir()
    other = wheel.build(tmp_path / "other", name, "1.0", origin="a stranger")

    assert publish(index, "bob", file, file.read_bytes()) == 403
    assert index.ask(f"/simple/{name}/").status == 303
    assert publish(index, "alice", file, file.read_bytes()) == 200
    assert file.name in index.ask(f"/simple/{name}/").body.decode()
    assert index.ask(f"/packages/{file.name}").body == file.read_bytes()
    assert publish(index, "alice", file, file.read_bytes()) == 200
    assert publish(index, "alice", file, other.read_bytes()) == 409
    assert publish(index, "alice", other, bytes(2**21)) == 413
    assert index.ask(f"/packages/{file.name}").body == file.read_bytes()


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    "path",
    ["/simple/", "/simple", "/legacy/", "/simple/held-name/", "/held-name/", f"/packages/{WHEEL}"],
)
def test_an_upload_to_another_place_is_told_the_right_one(
    index: Program, path: str, method: str
) -> None:
    alice = basic("alice", PASSWORD)

    answer = ask(index.url, path, alice, method=method)

    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, POST")
    assert answer.body.decode() == (
        "Publish with POST to the root URL of this index: this one without"
        f" '{path[1:]}' at its end.\n"
    )


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "path",
    [
        "/held-name/json",
        "/Held_Name/json",
        "/held-name/1.0/json",
        "/pypi/held-name/json",
        "/packages",
        "/packages/",
        "/simple/held-name/1.0/",
        "/favicon.ico",
        "/RPC2",
    ],
)
def test_no_other_address_is_open(index: Program, path: str, method: str) -> None:
    assert index.ask(path, method=method).status == 404


# While private_pypi is stopped --------------------------------------------------------------------


@pytest.mark.parametrize(("accept", "kind"), FAVOURITES)
def test_pages_are_sent_while_private_pypi_is_stopped(
    alone: Program, accept: str, kind: str
) -> None:
    for path in ("/simple/", "/simple/held-name/"):
        check_page(alone.ask(path, accepting(accept)), path, kind)


@pytest.mark.parametrize(("wanted", "kind"), QUERIES)
def test_queries_are_understood_while_private_pypi_is_stopped(
    alone: Program, wanted: str, kind: str
) -> None:
    path = f"/simple/held-name/?format={wanted}"
    check_page(alone.ask(path, accepting(PIP)), path, kind)


def test_files_are_sent_and_names_redirected_while_private_pypi_is_stopped(alone: Program) -> None:
    content = (alone.folder / "pypi_data" / WHEEL).read_bytes()

    assert alone.ask(f"/packages/{WHEEL}").body == content
    assert alone.ask(f"/packages/{WHEEL}.metadata").status == 200
    assert alone.ask("/held-name/?a=b").headers["Location"] == "../simple/held-name/?a=b"
    assert ask(alone.url, "/simple/held-name/").status == 401


def test_what_is_not_on_the_disk_is_an_error_while_private_pypi_is_stopped(alone: Program) -> None:
    for path in ("/simple/public-lib/", "/packages/notes.txt"):
        answer = alone.ask(path)
        assert answer.status == 502
        assert "Cache-Control" not in answer.headers
    for path in ("/RPC2", "/.x"):
        assert alone.ask(path).status == 404


@pytest.mark.parametrize(
    ("install", "path"), [(with_pip, "/simple/"), (with_pip, ""), (with_uv, "/simple/")]
)
def test_installing_goes_on_while_private_pypi_is_stopped(
    install: Install, path: str, alone: Program, user: User, venv: Path
) -> None:
    install(user, venv, alone.url + path, "held-name")

    assert installed(venv) == {"held-name": "1.0 from us"}


# Connections --------------------------------------------------------------------------------------


def test_private_pypi_does_not_close_a_connection_that_the_gateway_may_still_use(
    server: Server,
) -> None:
    """Else an upload meets the closing and is answered 502; gunicorn's own limit is 2 seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    sockets = set()
    for pause in (0, 4):
        time.sleep(pause)
        connection.request("GET", "/health")
        sockets.add(connection.sock)
        assert connection.getresponse().read() == b"ok\n"
    connection.close()
    assert len(sockets) == 1


# Health -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["pypi_data", "pypi_index"])
def test_the_gateway_is_not_healthy_without_its_folders(both: Programs, folder: str) -> None:
    assert ask(both.gateway.health, "/health").status == 200
    (both.folder / folder).rename(both.folder / "away")
    try:
        assert ask(both.gateway.health, "/health").status == 503
    finally:
        (both.folder / "away").rename(both.folder / folder)
