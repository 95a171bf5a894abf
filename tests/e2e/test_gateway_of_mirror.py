"""Which requests the gateway sends to the container `public`, and what that learns and may say."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from kit import wheel
from kit.gateway import behind_gateway, knows_all_names
from kit.http import Answer, ask, basic
from kit.ports import free_port
from kit.processes import in_background
from kit.template import PASSWORD, Render
from kit.waiting import wait_until

BOB = basic("bob", PASSWORD)
LONG_AGO = 1_700_000_000
OF_PYPI, KEPT = b"what PyPI has", b"what is kept of it"
FILE = "their_lib-1.0+local-py3-none-any.whl"
PATHS = ["/simple/their-lib/", f"/public/their-lib/{FILE}", f"/public/their-lib/{FILE}.metadata"]


@dataclass
class Public:
    """Stands in for `public`: remembers what it was asked, and answers all of it alike.

    Attributes:
        requests: method, path and headers of each.
        more: headers of its answers.
        status: of its answers.
    """

    port: int
    status: int = 200
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    more: dict[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> list[str]:
        """The paths that it was asked for."""
        return [path for _, path, _ in self.requests]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Answer as long as the block runs."""
        public = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                public.requests.append((self.command, self.path, headers))
                self.send_response(public.status)
                for name, value in public.more.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(OF_PYPI)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(OF_PYPI)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", self.port), Handler) as server:
            server.daemon_threads = True
            with in_background(server):
                yield


class Stack:
    """A gateway and a server over one folder, and what stands in for `public`."""

    def __init__(self, rendered: Path, folder: Path) -> None:
        self.folder, self.public = folder, Public(free_port())
        self.server, self.gateway = behind_gateway(
            rendered,
            folder,
            public=f"127.0.0.1:{self.public.port}",
            PYPI_UNKNOWN_PACKAGES="mirror",
            PYPI_PRIVATE_PREFIXES="acme",
        )
        self.server.user("add", "bob", password=PASSWORD)
        self.server.user("add", "ci", "--projects=own-lib", password=PASSWORD)
        wheel.build(self.server.data, "my-private-lib", "0.1.0", origin="us")
        os.utime(self.server.data, (LONG_AGO, LONG_AGO))

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask the gateway as a reader, with headers such as accept."""
        return ask(self.gateway.url, path, {**BOB, **headers}, method=method)

    def keep(self, project: str, file: str) -> bytes:
        """Have a file lie where `public` puts those that it has fetched."""
        place = self.folder / "public_data/public" / project / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(KEPT)
        return KEPT

    def is_settled(self) -> bool:
        """Return whether the gateway knows without private_pypi which names are ours."""
        return knows_all_names(self.folder / "pypi_index", self.server.data)

    def unsettle(self) -> None:
        """Have the gateway ask private_pypi about each name, as while there are subfolders."""
        (self.server.data / "sub").mkdir()
        wait_until(lambda: not (self.folder / "pypi_index/complete_names").exists(), 20)


@pytest.fixture(scope="module", params=["gateway", "private_pypi"])
def running(
    request: pytest.FixtureRequest, render: Render, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """All of it, running; the gateway or private_pypi decides which names are ours."""
    answers = {"unknown_packages": "mirror", "private_prefixes": ["acme-"]}
    rendered = render({"template": "server", "https": "none", **answers})
    made = Stack(rendered, tmp_path_factory.mktemp("mirror") / "s")
    with made.public.running(), made.server, made.gateway:
        wait_until(made.is_settled, 20)
        if request.param == "private_pypi":
            made.unsettle()
        yield made


@pytest.fixture
def stack(running: Stack) -> Stack:
    """The same, where nothing was asked or fetched yet."""
    running.public.requests.clear()
    running.public.more, running.public.status = {}, 200
    shutil.rmtree(running.folder / "public_data", ignore_errors=True)
    return running


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_not_ours_comes_from_public(stack: Stack, path: str, method: str) -> None:
    stack.public.more = {"Warning": '110 - "old"', "ETag": '"1"', "Cache-Control": "no-store"}

    answer = stack.get(f"{path}?format=a%2Bb", method)

    assert answer.status == 200
    assert answer.body == (OF_PYPI if method == "GET" else b"")
    for name, value in stack.public.more.items():
        assert answer.headers.get_all(name) == [value]
    ((asked_by, asked_for, _),) = stack.public.requests
    assert (asked_by, asked_for) == (method, f"{path}?format=a%2Bb")


@pytest.mark.parametrize("path", PATHS)
def test_an_account_with_projects_gets_what_is_not_ours_like_all_others(
    stack: Stack, path: str
) -> None:
    answer = stack.get(path, **basic("ci", PASSWORD))

    assert (answer.status, answer.body) == (200, OF_PYPI)
    assert stack.public.paths == [path]


@pytest.mark.parametrize(
    "path", ["/simple/my-private-lib/", "/simple/my-private-lib/x", "/public/my-private-lib/x.whl"]
)
def test_an_account_with_projects_gets_nothing_else_of_ours(stack: Stack, path: str) -> None:
    assert stack.get(path, **basic("ci", PASSWORD)).status in (403, 404)
    assert stack.public.requests == []


@pytest.mark.parametrize("status", [304, 403, 404, 503])
@pytest.mark.parametrize("path", PATHS)
def test_a_refusal_of_public_reaches_the_client_as_it_is(
    stack: Stack, path: str, status: int
) -> None:
    stack.public.status, stack.public.more = status, {"Retry-After": "7"}

    answer = stack.get(path)

    assert answer.status == status
    assert answer.headers["Retry-After"] == "7"
    if status != 304:
        assert answer.body == OF_PYPI


@pytest.mark.parametrize("path", PATHS)
def test_public_learns_what_is_asked_but_not_who_asks(stack: Stack, path: str) -> None:
    stack.get(path, Accept="text/html", Cookie="a=b")

    ((_, _, headers),) = stack.public.requests
    assert headers["accept"] == "text/html"
    assert PASSWORD not in str(headers)
    assert headers.pop("if-none-match") == ""
    assert headers.keys() == {"host", "accept", "accept-encoding", "user-agent"}


@pytest.mark.parametrize("path", PATHS)
def test_nothing_of_pypi_runs_in_a_browser(stack: Stack, path: str) -> None:
    stack.public.more = {"Content-Security-Policy": "script-src *", "Set-Cookie": "a=b"}

    answer = stack.get(path)

    policy = "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers.get_all("Content-Security-Policy") == [policy]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("path", PATHS)
def test_nobody_without_an_account_has_public_asked(stack: Stack, path: str) -> None:
    stack.keep("their-lib", FILE)

    for headers in ({}, basic("bob", "wrong"), basic("mallory", PASSWORD)):
        assert ask(stack.gateway.url, path, headers).status == 401

    assert stack.public.requests == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_public_is_only_read(stack: Stack, method: str) -> None:
    for path in PATHS:
        assert stack.get(path, method).status >= 400

    assert stack.public.requests == []


# Names that are ours ------------------------------------------------------------------------------

OURS = ["my-private-lib", "acme", "acme-billing"]


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(
    "path",
    [
        *("/simple/{}/", "/simple/{}", "/{}/", "/SIMPLE/{}/", "/simple/their-lib/../{}/"),
        *(
            "/public/{}/",
            "/public/{}/x-1.whl",
            "/public/{}/x-1.whl.metadata",
            "//public/{}/x-1.whl",
        ),
        *("/public/their-lib/../{}/x-1.whl", "/public/their-lib/%2e%2e/{}/x-1.whl"),
        *("/simple/their-lib/../../public/{}/x-1.whl", "/public/their-lib%2F..%2F{}/x-1.whl"),
        *("/simple/{}/../their-lib/", "/public/{}/../their-lib/x-1.whl"),
        *("/simple/./{}/", "/simple//{}/", "/simple/%2e/{}/", "/public/{}/%2e%2e/x-1.whl"),
    ],
)
def test_public_is_never_asked_for_a_name_of_ours(stack: Stack, path: str, name: str) -> None:
    stack.keep(name, "x-1.whl")

    answer = stack.get(path.format(name))
    spelled = stack.get(path.format(name.upper().replace("-", "_.")))

    assert not [asked for asked in stack.public.paths if name in asked.lower().replace("_.", "-")]
    assert KEPT not in (answer.body, spelled.body)


@pytest.mark.parametrize("name", OURS)
def test_a_file_of_pypi_under_a_name_of_ours_is_refused_in_a_sentence(
    stack: Stack, name: str
) -> None:
    stack.keep(name, "x-1.whl")

    answer = stack.get(f"/public/{name}/x-1.whl")

    assert answer.status == 404
    assert answer.body.startswith(b"This index has ")
    assert name.encode() in answer.body


def test_a_name_that_was_removed_is_never_asked_of_public(stack: Stack) -> None:
    wheel.build(stack.server.data, "once-ours", "1.0", origin="us")
    wait_until(lambda: stack.get("/simple/once-ours/").status == 200, 20)
    stack.server.run("remove", "once-ours", "1.0", "--yes")
    stack.public.requests.clear()

    answers = [stack.get(path) for path in ("/simple/once-ours/", "/public/once-ours/x-1.whl")]

    assert [answer.status for answer in answers] == [404, 404]
    assert stack.public.requests == []


# The header by which private_pypi tells the gateway -----------------------------------------------


@pytest.mark.parametrize(
    "path", [*PATHS, "/simple/my-private-lib/", "/packages/none-1.0.tar.gz", "/public/no%20file/x"]
)
def test_a_client_neither_sees_nor_forges_what_private_pypi_tells_the_gateway(
    stack: Stack, path: str
) -> None:
    forged = stack.get(path, **{"Private-Pypi": "unknown"})

    assert "Private-Pypi" not in forged.headers
    assert len(stack.public.requests) == (1 if path in PATHS else 0)


# Files that were fetched before -------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS[1:])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_kept_file_comes_from_the_disk(stack: Stack, path: str, method: str) -> None:
    content = stack.keep("their-lib", path.rpartition("/")[2])

    answer = stack.get(path, method)
    part = stack.get(path, Range="bytes=2-4")

    assert stack.public.requests == []
    assert (answer.status, answer.body) == (200, content if method == "GET" else b"")
    assert (part.status, part.body) == (206, content[2:5])
    assert answer.headers["Content-Length"] == str(len(content))
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        *("/public/../pages/their-lib.json", "/public/their-lib/../../pages/their-lib.json"),
        *("/public/.unfinished/x", "/public/their-lib/.hidden", "/public/their-lib/%2e%2e%2fx"),
        *("/public/their-lib/", "/public/their-lib", "/public/", "/public_data/pages/x.json"),
    ],
)
def test_nothing_else_that_public_keeps_is_served(stack: Stack, path: str) -> None:
    stack.public.status = 404
    for name in ("pages/their-lib.json", ".unfinished/x", "public/.unfinished/x", "public/x"):
        place = stack.folder / "public_data" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(KEPT)
    stack.keep("their-lib", ".hidden")

    answer = stack.get(path)

    assert answer.status in (301, 404)
    assert KEPT not in answer.body


# While a part of it is away -----------------------------------------------------------------------


def test_without_public_or_without_private_pypi_all_else_is_served(
    render: Render, tmp_path: Path
) -> None:
    rendered = render({"template": "server", "https": "none", "unknown_packages": "mirror"})
    stack = Stack(rendered, tmp_path / "s")
    kept = stack.keep("their-lib", FILE)
    with stack.server, stack.gateway:
        wait_until(stack.is_settled, 20)
        away = stack.get("/simple/other-lib/")
        assert stack.get("/simple/my-private-lib/").status == 200
        assert stack.get(f"/public/their-lib/{FILE}").body == kept
        assert ask(stack.gateway.health, "/health").status == 200
        with stack.public.running():
            stack.server.stop()
            assert stack.get("/simple/other-lib/").body == OF_PYPI

    assert away.status == 503
    assert away.headers["Retry-After"] == "5"
    assert away.body == b"The container public, which asks PyPI, does not answer: ask again."
