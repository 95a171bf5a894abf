"""Publishing with the real clients, as a user would from a shell, and what the server stores."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from kit import wheel
from kit.forms import upload_form
from kit.http import basic, status
from kit.library import Library
from kit.public_index import PublicIndex
from kit.publish import Publish, with_poetry, with_twine, with_uv
from kit.server import Server
from kit.template import PASSWORD
from kit.user import User
from kit.waiting import wait_until


@pytest.fixture(params=[with_poetry, with_uv, with_twine], ids=["poetry", "uv", "twine"])
def publish(request: pytest.FixtureRequest) -> Publish:
    """Each of the clients."""
    chosen: Publish = request.param
    return chosen


@pytest.fixture
def project(library: Library, request: pytest.FixtureRequest) -> Path:
    """A project that no other test publishes."""
    digest = hashlib.sha256(request.node.nodeid.encode()).hexdigest()
    return library(f"lib-{digest[:12]}")


def built(project: Path) -> dict[str, bytes]:
    """Return the distributions a project has built."""
    return {entry.name: entry.read_bytes() for entry in (project / "dist").iterdir()}


def stored(server: Server, project: Path) -> dict[str, bytes]:
    """Return those of them that the server holds."""
    names = [name for name in built(project) if (server.data / name).exists()]
    return {name: (server.data / name).read_bytes() for name in names}


def test_a_publisher_publishes_both_files_byte_for_byte(
    publish: Publish, user: User, project: Path, server: Server
) -> None:
    publish(user, project, server.url(), "alice", PASSWORD, ok=True)

    assert stored(server, project) == built(project)
    assert len(built(project)) == 2
    assert list((server.data / ".uploads").iterdir()) == []


def with_reasons(publish: Publish) -> Publish:
    """Return the client as it shows what the server answered, which twine does if asked to."""

    def verbose(user: User, project: Path, url: str, account: str, password: str, ok: bool) -> str:
        return with_twine(user, project, url, account, password, ok, "--verbose")

    return verbose if publish is with_twine else publish


def words(said: str) -> str:
    """Return what a client printed without the frames and the line breaks of its own."""
    return " ".join(said.replace("│", " ").split())


def changed(project: Path, folder: Path) -> Path:
    """Return a copy of a project that has built other bytes under the same names."""
    copy = folder / "changed" / project.name
    shutil.copytree(project, copy)
    for path in (copy / "dist").iterdir():
        if path.suffix == ".whl":
            with zipfile.ZipFile(path, "a") as archive:
                archive.comment = b"changed"
        else:
            # The time in the head of a gzip file.
            path.write_bytes(path.read_bytes()[:4] + b"\1\2\3\4" + path.read_bytes()[8:])
    assert built(copy).keys() == built(project).keys()
    assert not set(built(copy).values()) & set(built(project).values())
    return copy


def respelled(project: Path, folder: Path) -> Path:
    """Return a copy of a project that has built other bytes and spells its version otherwise."""
    copy = changed(project, folder)
    for path in (copy / "dist").iterdir():
        path.rename(path.with_name(path.name.replace("-0.1.0", "-0.1.0.0")))
    described = copy / "pyproject.toml"
    text = described.read_text()
    assert 'version = "0.1.0"' in text
    described.write_text(text.replace('version = "0.1.0"', 'version = "0.1.0.0"'))
    return copy


def damaged(project: Path, folder: Path) -> Path:
    """Return a copy of a project whose wheel cannot be unpacked, though its metadata can."""
    copy = folder / "damaged" / project.name
    shutil.copytree(project, copy)
    (sdist,) = (copy / "dist").glob("*.tar.gz")
    sdist.unlink()
    (path,) = (copy / "dist").iterdir()
    with zipfile.ZipFile(path) as archive:
        (module,) = (one for one in archive.infolist() if one.filename.endswith("/__init__.py"))
    content = bytearray(path.read_bytes())
    start = module.header_offset + 30 + len(module.filename)
    content[start : start + module.compress_size] = bytes(module.compress_size)
    path.write_bytes(content)
    return copy


def test_a_wrong_password_publishes_nothing_and_the_client_says_so(
    publish: Publish, user: User, project: Path, server: Server
) -> None:
    said = publish(user, project, server.url(), "alice", PASSWORD + "x", ok=False)

    assert "401" in said
    assert stored(server, project) == {}


def test_a_reader_publishes_nothing_and_the_client_says_so(
    publish: Publish, user: User, project: Path, server: Server
) -> None:
    said = publish(user, project, server.url(), "bob", PASSWORD, ok=False)

    assert "403" in said
    assert stored(server, project) == {}


def test_publishing_the_same_again_is_harmless_without_any_flag(
    publish: Publish, user: User, project: Path, server: Server
) -> None:
    for _ in range(2):
        publish(user, project, server.url(), "alice", PASSWORD, ok=True)

    assert stored(server, project) == built(project)
    journal = (server.data / ".journal.jsonl").read_text()
    assert [journal.count(name) for name in built(project)] == [1, 1]


def test_a_version_that_exists_is_refused_for_other_bytes_and_the_client_says_why(
    publish: Publish, user: User, project: Path, server: Server, tmp_path: Path
) -> None:
    publish(user, project, server.url(), "alice", PASSWORD, ok=True)

    said = with_reasons(publish)(
        user, changed(project, tmp_path), server.url(), "alice", PASSWORD, ok=False
    )

    assert ("400" if publish is with_twine else "409") in said
    assert "already exists: publish a new version" in words(said)
    assert stored(server, project) == built(project)


def test_a_version_that_exists_is_refused_however_it_is_spelled_and_the_client_says_why(
    publish: Publish, user: User, project: Path, server: Server, tmp_path: Path
) -> None:
    publish(user, project, server.url(), "alice", PASSWORD, ok=True)
    other = respelled(project, tmp_path)

    said = with_reasons(publish)(user, other, server.url(), "alice", PASSWORD, ok=False)

    assert ("400" if publish is with_twine else "409") in said
    first = sorted(name for name in built(project) if f"already exists as {name}" in words(said))
    assert len(first) == 1
    assert "publish a new version" in words(said)
    assert stored(server, project) == built(project)
    assert stored(server, other) == {}


def test_a_version_that_was_removed_cannot_come_back_as_something_else(
    publish: Publish, user: User, project: Path, server: Server, tmp_path: Path
) -> None:
    publish(user, project, server.url(), "alice", PASSWORD, ok=True)
    for name in built(project):
        (server.data / name).unlink()
    wait_until_gone(server, project)

    publish(user, changed(project, tmp_path), server.url(), "alice", PASSWORD, ok=False)
    assert stored(server, project) == {}

    publish(user, project, server.url(), "alice", PASSWORD, ok=True)
    assert stored(server, project) == built(project)


def test_a_distribution_that_is_damaged_is_refused_and_the_client_says_why(
    publish: Publish, user: User, project: Path, server: Server, tmp_path: Path
) -> None:
    broken = damaged(project, tmp_path)

    said = with_reasons(publish)(user, broken, server.url(), "alice", PASSWORD, ok=False)

    assert "400" in said
    (name,) = built(broken)
    assert f"{name} is damaged: it cannot be read to its end" in words(said)
    assert stored(server, project) == {}
    assert list((server.data / ".uploads").iterdir()) == []


def test_a_file_copied_into_the_data_folder_is_on_its_page_within_three_seconds(
    project: Path, server: Server
) -> None:
    (sdist,) = (project / "dist").glob("*.tar.gz")
    (whl,) = (project / "dist").glob("*.whl")
    # Nobody asks for it, which would have the server look at once.
    shutil.copy(whl, server.data)
    wait_for(lambda: whl.name in page(server, project))
    assert status(f"{server.url()}simple/{name_of(project)}/", "alice", PASSWORD) == 200

    shutil.copy(sdist, server.data)
    wait_for(lambda: sdist.name in page(server, project))

    (server.data / sdist.name).unlink()
    wait_for(lambda: sdist.name not in page(server, project))
    assert whl.name in page(server, project)


def name_of(project: Path) -> str:
    """Return the name of what a project has built."""
    return min(built(project)).partition("-")[0].replace("_", "-")


def page(server: Server, project: Path) -> str:
    """Return the page of a project as it lies on the disk, empty if there is none."""
    path = server.data.with_name("pypi_index") / "simple" / name_of(project) / "index.html"
    return path.read_text() if path.exists() else ""


def wait_until_gone(server: Server, project: Path) -> None:
    """Wait until the server has noticed that all files of a project were deleted."""
    wait_for(lambda: not page(server, project))


def wait_for(happened: Callable[[], bool]) -> None:
    """Wait three seconds at the most, the longest that a change by hand may take to show."""
    wait_until(happened, 3)


def test_a_version_that_exists_is_skipped_by_poetry_when_asked_to(
    user: User, project: Path, server: Server, tmp_path: Path
) -> None:
    with_poetry(user, project, server.url(), "alice", PASSWORD, True, "--skip-existing")
    other = changed(project, tmp_path)

    said = with_poetry(user, other, server.url(), "alice", PASSWORD, True, "--skip-existing")

    assert said.count("File exists. Skipping") == 2
    assert stored(server, project) == built(project)


def test_publishing_again_with_uv_is_harmless_when_told_where_to_check(
    user: User, project: Path, server: Server
) -> None:
    check = f"{server.url('alice', PASSWORD)}simple/"
    with_uv(user, project, server.url(), "alice", PASSWORD, True, UV_PUBLISH_CHECK_URL=check)

    said = with_uv(user, project, server.url(), "alice", PASSWORD, True, UV_PUBLISH_CHECK_URL=check)

    assert said.count("already exists") == 2
    assert stored(server, project) == built(project)


def test_publishing_again_with_uv_is_harmless_by_the_name_of_the_index(
    user: User, project: Path, server: Server
) -> None:
    (user.home / "uv.toml").write_text(
        f'[[index]]\nname = "private"\nurl = "{server.url()}simple/"\n'
        f'publish-url = "{server.url()}"\nauthenticate = "always"\n'
    )

    for _ in range(2):
        said = user.run(
            "uv",
            "publish",
            "--index",
            "private",
            # It would ask the server for a token first, and over HTTPS only.
            "--trusted-publishing",
            "never",
            *sorted((project / "dist").iterdir()),
            UV_INDEX_PRIVATE_USERNAME="alice",
            UV_INDEX_PRIVATE_PASSWORD=PASSWORD,
        )

    assert said.count("already exists") == 2
    assert stored(server, project) == built(project)


@pytest.mark.parametrize("tool", ["uv", "Poetry", "twine"])
def test_the_readmes_lines_publish_what_somebody_has_on_the_public_index_in_the_same_version(
    user: User,
    project: Path,
    server: Server,
    rendered: Path,
    public: PublicIndex,
    tmp_path: Path,
    tool: str,
) -> None:
    wheel.build(public.folder, name_of(project), "0.1.0", origin="a stranger")
    copy = tmp_path / project.name
    shutil.copytree(project, copy)
    readme = (rendered / "README.md").read_text().replace("http://127.0.0.1:8080/", server.url())
    block = readme.partition(f"**{tool}**")[2].partition("**")[0]
    lines = [line for line in block.splitlines() if line[:4] == "    " and " install " not in line]
    script = "\n".join(lines).replace("USERNAME=...", "USERNAME=alice")
    script = script.replace("PASSWORD=...", 'PASSWORD="$ALICES"')
    if "--build" in script:
        shutil.rmtree(copy / "dist")
    asked = len(public.requests)

    user.run("sh", "-ec", script, folder=copy, ALICES=PASSWORD)

    assert stored(server, copy) == built(copy)
    assert len(built(copy)) == 2
    assert public.requests[asked:] == []


def test_who_is_removed_can_no_longer_publish_and_who_is_added_can_without_a_restart(
    publish: Publish, user: User, project: Path, server: Server
) -> None:
    account = f"carol-{project.name}"
    server.user("add", account, "--role", "publisher", password=PASSWORD)
    publish(user, project, server.url(), account, PASSWORD, ok=True)

    server.user("remove", account)
    for name in built(project):
        (server.data / name).unlink()
    wait_until_gone(server, project)
    said = publish(user, project, server.url(), account, PASSWORD, ok=False)

    assert "401" in said
    assert stored(server, project) == {}


@pytest.fixture(scope="module")
def narrow(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes files of one megabyte."""
    folder = tmp_path_factory.mktemp("narrow") / "s"
    server = Server(rendered, folder, PYPI_MAX_UPLOAD_MB="1")
    server.user("add", "alice", "--role", "publisher", password=PASSWORD)
    server.user("add", "bob", "--role", "reader", password=PASSWORD)
    with server:
        yield server
    assert "Traceback" not in server.log.read_text()


# Just too large, and so large that the server answers before it has everything.
@pytest.mark.parametrize("megabytes", [1, 8])
def test_a_file_that_is_too_large_is_not_stored_and_the_client_says_so(
    publish: Publish, user: User, library: Library, narrow: Server, megabytes: int
) -> None:
    project = library("too-large", megabytes=megabytes)

    said = publish(user, project, narrow.url(), "alice", PASSWORD, ok=False)

    assert "413" in said
    assert stored(narrow, project) == {}
    assert list((narrow.data / ".uploads").iterdir()) == []


@pytest.mark.parametrize("account", ["alice", "bob"])
def test_a_client_reads_why_it_is_refused_though_it_had_much_to_send(
    publish: Publish, user: User, library: Library, narrow: Server, account: str
) -> None:
    project = library("too-large", megabytes=8)
    password = {"alice": PASSWORD + "x", "bob": PASSWORD}[account]

    said = publish(user, project, narrow.url(), account, password, ok=False)

    assert {"alice": "401", "bob": "403"}[account] in said
    assert stored(narrow, project) == {}


# What no client sends, and networks do ------------------------------------------------------------

WHEEL = "cut_short-1.0-py3-none-any.whl"


class UploadRequest(NamedTuple):
    """An upload as it goes over the wire."""

    head: bytes
    body: bytes

    def __bytes__(self) -> bytes:
        return b"%sContent-Length: %d\r\n\r\n%s" % (self.head, len(self.body), self.body)


def distribution(folder: Path, size: int = 0) -> bytes:
    """Return a wheel that is larger than so many bytes."""
    path = wheel.build(folder, "cut-short", "1.0", origin="us")
    assert path.name == WHEEL
    wheel.add(path, "cut_short/noise", os.urandom(size))
    return path.read_bytes()


def upload(content: bytes) -> UploadRequest:
    """Return alice's upload of a file."""
    body, kind = upload_form(WHEEL, content)
    headers = {"Host": "index", "Connection": "close", **basic("alice", PASSWORD)}
    lines = [f"{name}: {value}\r\n" for name, value in {**headers, "Content-Type": kind}.items()]
    return UploadRequest(f"POST / HTTP/1.1\r\n{''.join(lines)}".encode(), body)


def send(server: Server, request: bytes, *, hang_up: bool = False) -> str:
    """Send bytes and return the first line of the answer, nothing after having hung up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request)
        if hang_up:
            return ""
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            return answer.readline().decode().strip()


def test_the_bytes_of_these_tests_are_an_upload(narrow: Server, tmp_path: Path) -> None:
    content = distribution(tmp_path, 1000)

    assert send(narrow, bytes(upload(content))) == "HTTP/1.1 200 OK"
    assert (narrow.data / WHEEL).read_bytes() == content

    (narrow.data / WHEEL).unlink()


@pytest.mark.parametrize("size", [1_000, 800_000])
@pytest.mark.parametrize("hang_up", [False, True])
def test_an_upload_that_breaks_off_is_not_stored(
    narrow: Server, tmp_path: Path, size: int, hang_up: bool
) -> None:
    requests = narrow.log.read_text().count('"POST / ')

    answer = send(
        narrow, bytes(upload(distribution(tmp_path, size)))[: -size // 2], hang_up=hang_up
    )

    assert hang_up or answer == "HTTP/1.1 400 The upload ended early: send it again."
    wait_until(lambda: narrow.log.read_text().count('"POST / ') > requests, 10)
    assert narrow.files() == []
    assert list((narrow.data / ".uploads").iterdir()) == []


def test_an_upload_without_a_length_is_the_clients_fault(narrow: Server, tmp_path: Path) -> None:
    head, _ = upload(distribution(tmp_path))

    assert send(narrow, head + b"\r\n").startswith("HTTP/1.1 4")
    assert narrow.files() == []


def test_a_chunked_upload_is_told_to_say_its_length(narrow: Server, tmp_path: Path) -> None:
    head, body = upload(distribution(tmp_path))
    chunked = b"%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (head, len(body), body)

    assert send(narrow, chunked) == (
        "HTTP/1.1 411 Send a Content-Length: this index takes no chunked uploads."
    )
    assert narrow.files() == []


@pytest.mark.parametrize("length", [b"x", b"-1", b"1_0", b"1.5", b"+5", b"9" * 5000, b"\xb2", b" "])
def test_a_length_that_is_no_number_is_the_clients_fault(
    narrow: Server, tmp_path: Path, length: bytes
) -> None:
    head, body = upload(distribution(tmp_path))

    answer = send(narrow, b"%sContent-Length: %s\r\n\r\n%s" % (head, length, body))

    assert answer == "HTTP/1.1 400 Bad Request"
    assert narrow.files() == []


def test_a_server_killed_in_the_middle_of_an_upload_has_nothing_of_it_when_it_is_back(
    rendered: Path, tmp_path: Path
) -> None:
    server = Server(rendered, tmp_path / "s")
    server.user("add", "alice", "--role", "publisher", password=PASSWORD)
    request = bytes(upload(distribution(tmp_path, 400_000)))

    with server, socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(request[:300_000])
        time.sleep(0.2)
        server.kill()
    assert server.files() == []

    with server:
        assert list((server.data / ".uploads").iterdir()) == []
        assert send(server, request) == "HTTP/1.1 200 OK"
        assert server.files() == [WHEEL]
