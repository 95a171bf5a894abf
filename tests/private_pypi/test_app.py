"""The application as a WSGI server calls it: who may do what, and what every answer says."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import html
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import urljoin

import pytest
from kit import wheel
from kit.archives import tarred
from kit.forms import BOUNDARY, form
from kit.http import basic
from kit.template import PASSWORD
from kit.wsgi import Answer, call
from packaging.utils import parse_sdist_filename, parse_wheel_filename
from private_pypi import app, disk, reads
from private_pypi.app import READ_ON, create_app
from private_pypi.layout import UPLOADS
from private_pypi.settings import MEBIBYTE, Settings
from private_pypi.uploads import FORM
from pypiserver import app_from_config
from pypiserver.config import DEFAULTS

WHEEL = "my_private_lib-0.1.0-py3-none-any.whl"
PUBLIC = "http://public.example/simple/"


def distribution(filename: str, filling: bytes = b"") -> bytes:
    """Return a distribution of that name, in its middle some bytes that are kept as they are."""
    if filename.endswith(".whl"):
        project, version, _, _ = parse_wheel_filename(filename)
        folder, metadata = f"{project.replace('-', '_')}-{version}.dist-info", "METADATA"
    else:
        project, version = parse_sdist_filename(filename)
        folder, metadata = f"x-{version}", "PKG-INFO"
    text = f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n".encode()
    members = {"x-filling/filling": filling, f"{folder}/{metadata}": text}
    return tarred(members, level=0) if filename.endswith(".tar.gz") else wheel.packed(members)


LIB = "my-private-lib"
CONTENT = distribution(WHEEL)
OTHER = distribution(WHEEL, b"other")


class Index:
    """The application with one publisher, alice, and one reader, bob."""

    def __init__(self, settings: Settings, *, ready: bool = True) -> None:
        self.settings = settings
        self.closed = False
        self.app = create_app(settings)
        self.index = self.app.index
        if ready:
            self.index.refresh()

    def request(
        self,
        method: str,
        path: str,
        user: str | None = "alice",
        *,
        body: bytes | Iterable[bytes] = b"",
        **environ: str,
    ) -> Answer:
        """Send a request, of nobody if there is no user."""
        headers = basic(user, PASSWORD) if user else {}
        answer = call(self.app, method, path, body=body, headers=headers, **environ)
        self.closed = answer.closed
        return answer

    def post(self, fields: dict[str, str], user: str = "alice", **environ: str) -> Answer:
        """Send a form."""
        body, content_type = form(fields)
        return self.request("POST", "/", user, body=body, CONTENT_TYPE=content_type, **environ)

    def upload(
        self,
        filename: str = WHEEL,
        content: bytes = CONTENT,
        user: str = "alice",
        *,
        signature: bytes | None = None,
        **environ: str,
    ) -> Answer:
        """Send a distribution as Poetry, uv and twine do."""
        files = {"content": (filename, content)}
        if signature is not None:
            files["gpg_signature"] = (f"{filename}.asc", signature)
        body, content_type = form({":action": "file_upload"}, files)
        return self.request("POST", "/", user, body=body, CONTENT_TYPE=content_type, **environ)

    def files(self) -> list[str]:
        """Return the names of everything in the data folder but the journal."""
        data = self.settings.data
        found = (str(path.relative_to(data)) for path in data.rglob("*") if path.is_file())
        return sorted(name for name in found if name != ".journal.jsonl")

    def journal(self) -> list[dict[str, Any]]:
        """Return what the journal says."""
        lines = (self.settings.data / ".journal.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def index(settings: Settings) -> Index:
    """An index that redirects unknown names to the public one."""
    return Index(settings)


# Who may ask --------------------------------------------------------------------------------------

EVERYTHING = [
    ("GET", "/"),
    ("HEAD", "/"),
    ("GET", "/simple/"),
    ("GET", "/simple/my-private-lib/"),
    ("GET", "/simple/unknown/"),
    ("GET", "/my-private-lib/"),
    ("GET", "/my-private-lib/json"),
    ("GET", "/packages/"),
    ("GET", f"/packages/{WHEEL}"),
    ("GET", f"/packages/{UPLOADS}/x"),
    ("GET", "/favicon.ico"),
    ("GET", "/health/"),
    ("GET", "//health"),
    ("GET", "/%68ealth%2f"),
    ("GET", "/no/such/page"),
    ("GET", ""),
    ("POST", "/"),
    ("POST", "/RPC2"),
    ("POST", "/simple/"),
    ("PUT", "/"),
    ("DELETE", f"/packages/{WHEEL}"),
    ("OPTIONS", "/"),
    ("BREW", "/"),
]


@pytest.mark.parametrize(("method", "path"), EVERYTHING)
@pytest.mark.parametrize("header", ["", "Basic bWFsbG9yeTp3cm9uZw==", "Basic \xe9", "Bearer x"])
def test_everything_asks_who_you_are(index: Index, method: str, path: str, header: str) -> None:
    index.upload()

    answer = index.request(method, path, user=None, HTTP_AUTHORIZATION=header)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="private index", charset="UTF-8"'
    sentence = "Wrong or missing user name and password."
    assert answer.reason == sentence
    assert answer.body == ("" if method == "HEAD" else f"{sentence}\n")


def test_an_upload_without_an_account_stores_nothing(index: Index) -> None:
    assert index.upload(user="").status == 401
    assert index.upload(user="mallory").status == 401
    assert index.files() == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_a_reader_may_send_nothing(index: Index, method: str) -> None:
    body, content_type = form({":action": "file_upload"}, {"content": (WHEEL, CONTENT)})

    answer = index.request(method, "/", "bob", body=body, CONTENT_TYPE=content_type)

    assert (answer.status, answer.body) == (403, "bob may install, not publish.\n")
    assert index.files() == []


@pytest.mark.parametrize("user", ["alice", "bob"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_both_may_list_and_download(index: Index, user: str, method: str) -> None:
    index.upload()

    for path in ("/simple/", "/simple/my-private-lib/", f"/packages/{WHEEL}"):
        assert index.request(method, path, user).status == 200
    assert index.request("GET", f"/packages/{WHEEL}", user).content == CONTENT
    assert WHEEL in index.request("GET", "/simple/my-private-lib/", user).body


@pytest.mark.parametrize("user", ["alice", "bob"])
@pytest.mark.parametrize("path", ["/RPC2", "/RPC2/", "/RPC2/x"])
def test_xml_rpc_is_closed(index: Index, user: str, path: str) -> None:
    call = b"<?xml version='1.0'?><methodCall><methodName>search</methodName></methodCall>"

    assert index.request("POST", path, user, body=call).status == 404


@pytest.mark.parametrize("action", ["remove_pkg", "doc_upload"])
def test_an_upload_form_may_neither_remove_nor_send_documentation(
    index: Index, action: str
) -> None:
    index.upload()

    answer = index.post({":action": action, "name": "my_private_lib", "version": "0.1.0"})

    assert answer.status == 403
    assert index.files() == [WHEEL]


def test_an_action_given_twice_does_not_slip_through(index: Index) -> None:
    index.upload()
    removal, content_type = form(
        {":action": "remove_pkg", "name": "my_private_lib", "version": "0.1.0"}
    )
    other, _ = form({":action": "submit"})
    end = f"--{BOUNDARY}--\r\n".encode()

    for body in (removal.removesuffix(end) + other, other.removesuffix(end) + removal):
        index.request("POST", "/", body=body, CONTENT_TYPE=content_type)

    assert index.files() == [WHEEL]


@pytest.mark.parametrize("path", ["/", f"/packages/{WHEEL}", "/simple/my-private-lib/"])
@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH"])
def test_not_even_a_publisher_removes_or_replaces_a_file(
    index: Index, method: str, path: str
) -> None:
    index.upload()

    assert index.request(method, path, body=OTHER).status in (404, 405)
    assert index.request("GET", f"/packages/{WHEEL}").content == CONTENT


# What is open -------------------------------------------------------------------------------------

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]
OPEN = {
    "/": {"GET": 200, "HEAD": 200, "POST": 400},
    "/health": dict.fromkeys(METHODS, 200),
    "/simple": {"GET": 301, "HEAD": 301},
    "/simple/": {"GET": 200, "HEAD": 200},
    "/simple/my-private-lib": {"GET": 301, "HEAD": 301},
    "/simple/my-private-lib/": {"GET": 200, "HEAD": 200},
    "/simple/unknown": {"GET": 301, "HEAD": 301},
    "/simple/unknown/": {"GET": 303, "HEAD": 303},
    "/my-private-lib": {"GET": 301, "HEAD": 301},
    "/my-private-lib/": {"GET": 301, "HEAD": 301},
    "/unknown": {"GET": 301, "HEAD": 301},
    "/unknown/": {"GET": 301, "HEAD": 301},
    f"/packages/{WHEEL}": {"GET": 200, "HEAD": 200},
}
"""What is neither 404 nor 405."""


@pytest.fixture
def rules() -> Iterator[list[str]]:
    """The paths of pypiserver's routes, and of one that a later version of it may have."""
    found: list[str] = []

    def later(config: Any) -> Any:
        app = app_from_config(config)
        app.route("/simple/:project/later", "ANY", lambda project: project)
        app.route("/later", "ANY", lambda: "later")
        found.extend(route.rule for route in app.routes)
        return app

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pypiserver.app_from_config", later)
        yield found


def test_what_is_open_is_what_this_list_says(rules: list[str], settings: Settings) -> None:
    index = Index(settings)
    index.upload()
    paths = {rule.replace(":filename#.*#", WHEEL) for rule in rules}
    paths = {path.replace(":project", name) for path in paths for name in (LIB, "unknown")}
    paths |= {*OPEN, f"/{LIB}/json/", f"/pypi/{LIB}/json", "/legacy/", "/search", "/packages/x"}
    assert {"/my-private-lib/json", "/unknown/json", "/RPC2", "/packages/", "/later"} <= paths

    found: dict[str, dict[str, int]] = {}
    for path in paths:
        for method in METHODS:
            status = index.request(method, path).status
            if status not in (404, 405):
                found.setdefault(path, {})[method] = status

    # A name alone is a project's, also this one.
    alone = {path: found.pop(path) for path in ("/legacy/", "/search", "/later")}
    assert all(answers == {"GET": 301, "HEAD": 301} for answers in alone.values())
    assert found == OPEN


@pytest.mark.parametrize(
    "path", [f"/{LIB}/json", "/My_Private.Lib/json", "/no/such/page", "/packages"]
)
def test_what_is_not_there_is_told_where_the_projects_are(index: Index, path: str) -> None:
    index.upload()

    answer = index.request("GET", path)

    assert (answer.status, answer.body) == (
        404,
        "There is nothing here: projects are under simple/, as JSON too.\n",
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "path", ["/simple/", "/legacy/", "/simple/my-private-lib/", f"/packages/{WHEEL}", "/simple"]
)
def test_an_upload_to_another_place_is_told_the_right_one(
    index: Index, path: str, method: str
) -> None:
    body, content_type = form({":action": "file_upload"}, {"content": (WHEEL, CONTENT)})

    answer = index.request(method, path, body=body, CONTENT_TYPE=content_type)

    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD, POST"
    assert answer.reason == answer.body.removesuffix("\n")
    assert answer.body == (
        "Publish with POST to the root URL of this index: this one without"
        f" '{path[1:]}' at its end.\n"
    )
    assert index.files() == []


def test_an_upload_by_another_method_is_told_the_right_one(index: Index) -> None:
    answer = index.request("PUT", "/", body=CONTENT)

    assert (answer.status, answer.body) == (405, "Publish with POST, as twine, uv and Poetry do.\n")


# Also one that says it is from a page of this index: behind a proxy that cannot be told apart.
@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("HTTP_ORIGIN", "https://site.example"),
        ("HTTP_ORIGIN", "http://index.example"),
        ("HTTP_ORIGIN", "null"),
        ("HTTP_ORIGIN", ""),
        *(("HTTP_SEC_FETCH_SITE", x) for x in ("cross-site", "same-site", "same-origin", "none")),
    ],
)
def test_a_browser_publishes_nothing_whatever_site_it_says_it_is_at(
    index: Index, header: str, value: str
) -> None:
    told: dict[str, Any] = {header: value}
    answer = index.upload(**told)

    said = "This index takes nothing from browsers: publish with twine, uv or Poetry."
    assert (answer.status, answer.reason, answer.body) == (403, said, f"{said}\n")
    assert index.files() == []
    assert index.request("GET", "/simple/", **told).status == 200


# What is left of a body ---------------------------------------------------------------------------


class Left(NamedTuple):
    """What became of the connection and the body of a request."""

    closed: bool
    read: int


def left(index: Index, method: str, path: str, user: str, body: io.BytesIO, **more: str) -> Left:
    """Send a request whose answer does not need its body, as gunicorn would call."""
    answer = index.request(method, path, user, body=body, **more)
    assert 200 <= answer.status < 500
    return Left(index.closed, body.tell())


@pytest.mark.parametrize("user", ["alice", "bob", "mallory"])
@pytest.mark.parametrize("path", ["/", "/simple/", "/health", f"/packages/{WHEEL}", "/%ff"])
@pytest.mark.parametrize("method", METHODS)
def test_a_body_is_read_to_its_end_or_the_connection_closes(
    index: Index, method: str, path: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "READ_ON_LEAST", 0)
    size = 300_000
    whole, chunked = {"CONTENT_LENGTH": f"{size}"}, {"HTTP_TRANSFER_ENCODING": "chunked"}
    limit = READ_ON * (index.settings.max_upload + FORM)

    for sent in (whole, chunked):
        assert left(index, method, path, user, io.BytesIO(bytes(size)), **sent) == (False, size)
    # One that broke off, and one that has no end.
    cut = io.BytesIO(bytes(size - 1))
    assert left(index, method, path, user, cut, **whole) == (True, size - 1)
    endless = left(index, method, path, user, io.BytesIO(bytes(2 * limit)), **chunked)
    assert endless.closed
    assert endless.read <= limit + 2**18


# Uploads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5, 50_000, 500_000])
@pytest.mark.parametrize("filename", [WHEEL, "my_private_lib-0.1.0.tar.gz"])
def test_an_upload_is_there_byte_for_byte_and_nothing_unfinished_stays(
    index: Index, filename: str, size: int
) -> None:
    content = distribution(filename, os.urandom(size))

    answer = index.upload(filename, content)

    assert (answer.status, answer.body) == (200, "")
    assert (index.settings.data / filename).read_bytes() == content
    assert index.files() == [filename]
    assert index.request("GET", f"/packages/{filename}", "bob").content == content
    digest = hashlib.sha256(content).hexdigest()
    page = index.request("GET", "/simple/my-private-lib/", "bob").body
    assert f"{filename}#sha256={digest}" in page


def test_the_journal_says_who_published_what(index: Index) -> None:
    index.upload()

    (line,) = index.journal()
    assert line.pop("time").endswith("Z")
    assert len(line.pop("after")) == 16
    assert line == {
        "action": "upload",
        "file": WHEEL,
        "size": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "by": "alice",
    }


AGENTS = ["poetry/2.5.1", "uv/0.13.9", "twine/7.0.0", ""]


@pytest.mark.parametrize("agent", AGENTS)
def test_the_same_bytes_again_are_welcome_and_change_nothing(index: Index, agent: str) -> None:
    index.upload()
    before = (index.settings.data / WHEEL).stat(), index.journal()

    answer = index.upload(HTTP_USER_AGENT=agent)

    assert (answer.status, answer.body) == (200, "")
    after = (index.settings.data / WHEEL).stat(), index.journal()
    assert (after[0].st_ino, after[0].st_mtime_ns, after[1]) == (
        before[0].st_ino,
        before[0].st_mtime_ns,
        before[1],
    )
    assert index.files() == [WHEEL]


@pytest.mark.parametrize("agent", AGENTS)
def test_an_upload_of_a_name_that_is_taken_is_refused_as_its_client_expects(
    index: Index, agent: str
) -> None:
    index.upload()

    answer = index.upload(content=OTHER, HTTP_USER_AGENT=agent)

    sentence = f"{WHEEL} already exists: publish a new version"
    assert answer.status == (400 if "twine" in agent else 409)
    assert (answer.reason, answer.body) == (sentence, f"{sentence}\n")
    assert (index.settings.data / WHEEL).read_bytes() == CONTENT
    assert index.files() == [WHEEL]


def test_a_name_that_was_removed_is_free_for_its_own_bytes_only(index: Index) -> None:
    index.upload()
    index.index.remove("my-private-lib", "0.1.0", by="the test")

    assert index.upload(content=OTHER).status == 409
    assert index.files() == []
    assert index.upload().status == 200
    assert index.request("GET", f"/packages/{WHEEL}").content == CONTENT


def test_a_name_that_is_taken_in_a_folder_below_is_taken(index: Index) -> None:
    (index.settings.data / "old").mkdir()
    (index.settings.data / "old" / WHEEL).write_bytes(CONTENT)
    index.index.refresh()

    assert index.upload(content=OTHER).status == 409
    assert index.upload().status == 200
    assert index.files() == [f"old/{WHEEL}"]


def test_a_file_copied_by_hand_a_moment_ago_is_not_published_over(index: Index) -> None:
    (index.settings.data / WHEEL).write_bytes(CONTENT)

    assert index.upload(content=OTHER).status == 409
    assert index.upload().status == 200
    assert (index.settings.data / WHEEL).read_bytes() == CONTENT


@pytest.mark.parametrize("agent", ["uv/0.13.9", "twine/7.0.0"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is damaged: it cannot be read to its end (BadZipFile)"),
        (CONTENT[:-30], "is damaged: it cannot be read to its end (BadZipFile)"),
        (OTHER.replace(b"other", b"0ther", 1), "is damaged"),
        (distribution("another-1.0.zip"), "files *.dist-info/METADATA instead of one"),
        (CONTENT.replace(b"Version: 0.1.0", b"Version: 0.1.1"), "is damaged"),
        (distribution("b-0.1.0-py3-none-any.whl"), "metadata of another name"),
    ],
)
def test_what_is_not_the_distribution_it_is_called_is_refused_in_one_sentence(
    index: Index, content: bytes, reason: str, agent: str
) -> None:
    answer = index.upload(content=content, HTTP_USER_AGENT=agent)

    assert answer.status == 400
    assert answer.body.startswith(WHEEL)
    assert reason in answer.body
    assert answer.body == f"{answer.reason}\n"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert index.files() == []
    assert "Location" in index.request("GET", "/simple/my-private-lib/").headers


def test_a_signature_is_stored_and_served_beside_its_distribution(index: Index) -> None:
    assert index.upload(signature=b"signed").status == 200

    assert index.files() == [WHEEL, f"{WHEEL}.asc"]
    assert index.request("GET", f"/packages/{WHEEL}.asc").body == "signed"
    assert 'gpg-sig="true"' in index.request("GET", "/simple/my-private-lib/").body
    assert index.upload(signature=b"signed").status == 200
    assert index.upload(signature=b"forged").status == 409
    assert index.request("GET", f"/packages/{WHEEL}.asc").body == "signed"


def test_a_signature_of_another_file_is_refused_with_its_distribution(index: Index) -> None:
    files = {"content": (WHEEL, CONTENT), "gpg_signature": ("other-1.0.tar.gz.asc", b"signed")}
    body, content_type = form({":action": "file_upload"}, files)

    answer = index.request("POST", "/", body=body, CONTENT_TYPE=content_type)

    assert (answer.status, answer.body) == (
        400,
        f"'other-1.0.tar.gz.asc' is not the signature of {WHEEL}: call it as that file, with .asc"
        " at the end.\n",
    )
    assert index.files() == []


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.ENOSPC, 507),
        (errno.EDQUOT, 507),
        *((number, 500) for number in (errno.EIO, errno.EPERM, errno.EACCES, errno.EROFS)),
        *((number, 500) for number in (errno.ENOENT, errno.EMFILE, errno.ESTALE, errno.ELOOP)),
    ],
)
@pytest.mark.parametrize("agent", ["uv/0.13.9", "twine/7.0.0"])
def test_a_disk_that_fails_is_told_in_one_sentence_and_the_same_upload_can_be_sent_again(
    index: Index, monkeypatch: pytest.MonkeyPatch, number: int, status: int, agent: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", fail)
        answer = index.upload(HTTP_USER_AGENT=agent)

    assert answer.status == status
    assert answer.body == f"{answer.reason}\n"
    assert "then send the file again" in answer.body
    assert ("free some space" in answer.body) is (status == 507)
    if status == 500:
        assert answer.body == (
            f"The disk of the index is not usable ({os.strerror(number)}): make pypi-logs on the"
            " server says more; have it mended, then send the file again.\n"
        )
    assert index.files() == []
    assert index.upload().status == 200


@pytest.mark.parametrize(
    "filename",
    [
        "",
        "../../etc/cron.d/x-1.0.tar.gz",
        f"/tmp/{WHEEL}",
        f"sub/{WHEEL}",
        "..",
        ".htpasswd",
        "evil.sh",
        "my lib-1.0.tar.gz",
        "lib.tar.gz\0.whl",
        "índex-1.0.tar.gz",
        "no-version.whl",
        "my_private_lib-0.1.0-py3-none-any.whl\x1b[31m",
        "my_private_lib-0.1.0.tar.gz\n",
        "my_private_lib-0.1.0.tar.bz2",
        "my_private_lib-0.1.0.egg",
        f"a{'b' * 240}-1.0.tar.gz",
    ],
)
def test_a_file_name_that_is_no_distributions_is_refused(
    index: Index, filename: str, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))

    answer = index.upload(filename)

    assert answer.status == 400
    assert answer.body.removesuffix("\n").isprintable()
    assert "is not the name of a" in answer.body or "has control characters" in answer.body
    assert filename[:9].rstrip("\0\n") in answer.body or not filename.isascii()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data"),
        (b"", ""),
        (b"nonsense", "multipart/form-data; boundary=x"),
        (b"nonsense", "multipart/form-data"),
        (b"nonsense", "text/plain"),
        (b"--x\r\nContent-Disposition: form-data; name=", "multipart/form-data; boundary=x"),
        (b":action=file_upload", "application/x-www-form-urlencoded"),
        (b":action=file_upload&content=x", "application/x-www-form-urlencoded"),
        (b":action=nonsense", "application/x-www-form-urlencoded"),
        (form({":action": "nonsense"})[0], form({})[1]),
        (form({":action": "file_upload"})[0], form({})[1]),
        (form({":action": "file_upload", "content": "text"})[0], form({})[1]),
        (form({"name": "no action"})[0], form({})[1]),
    ],
)
def test_a_form_that_makes_no_sense_is_the_clients_fault(
    index: Index, body: bytes, content_type: str
) -> None:
    answer = index.request("POST", "/", body=body, CONTENT_TYPE=content_type)

    assert answer.status == 400
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert re.fullmatch(r"(The|This|Send) .*(publish|send|as twine).*\.\n", answer.body)
    assert index.files() == []


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "The form publishes nothing, since no :action is given: send file_upload as :action."),
        (
            {":action": "nöne"},
            r"The form publishes nothing, since :action is 'n\xf6ne': send file_upload as :action.",
        ),
        (
            {":action": "file_upload"},
            "The form has no distribution: send it as the file content.",
        ),
        (
            {":action": "file_upload", "content": "text"},
            "The form has no distribution: send it as the file content.",
        ),
    ],
)
def test_a_form_that_publishes_nothing_is_told_what_it_lacks(
    index: Index, fields: dict[str, str], sentence: str
) -> None:
    answer = index.post(fields)

    assert (answer.status, answer.body) == (400, f"{sentence}\n")


@pytest.mark.parametrize("action", ["verify", "submit"])
def test_what_old_clients_say_before_an_upload_is_listened_to_and_forgotten(
    index: Index, action: str
) -> None:
    assert index.post({":action": action, "name": "my_private_lib"}).status == 200
    assert index.files() == []


def test_a_form_longer_than_the_largest_upload_is_read_to_its_end_and_refused(index: Index) -> None:
    length = index.settings.max_upload + FORM + 1
    body = io.BytesIO(bytes(length))

    answer = index.request("POST", "/", body=body, CONTENT_LENGTH=str(length))

    assert answer.status == 413
    assert answer.body == (
        "The upload is larger than the 1 MB this index accepts: make it smaller, or have"
        " max_upload_mb of the server raised.\n"
    )
    assert body.tell() == length
    assert index.files() == []


@pytest.mark.parametrize(("size", "status"), [(MEBIBYTE, 200), (MEBIBYTE + 1, 413)])
def test_a_file_as_large_as_may_be_is_stored_and_one_byte_more_is_refused(
    index: Index, size: int, status: int
) -> None:
    around = len(distribution(WHEEL, b"x" * MEBIBYTE)) - MEBIBYTE
    content = distribution(WHEEL, b"x" * (size - around))
    assert len(content) == size

    answer = index.upload(content=content)

    assert answer.status == status
    assert index.files() == [WHEEL][: status == 200]
    assert status == 200 or "larger than the 1 MB this index accepts" in answer.body


@pytest.mark.parametrize("size", [5, 50_000, 500_000])
@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
def test_an_upload_that_ends_early_is_not_stored_cut_short(
    index: Index, size: int, kept: float
) -> None:
    content = distribution(WHEEL, os.urandom(size))
    body, content_type = form({":action": "file_upload"}, {"content": (WHEEL, content)})
    cut = body[: int(len(body) * kept)]

    answer = index.request(
        "POST", "/", body=cut, CONTENT_TYPE=content_type, CONTENT_LENGTH=str(len(body))
    )

    assert (answer.status, index.files()) == (400, [])
    assert answer.body == "The upload ended early: send it again.\n"


def test_a_chunked_upload_is_refused_with_what_to_send_instead(index: Index) -> None:
    body, content_type = form({":action": "file_upload"}, {"content": (WHEEL, CONTENT)})

    answer = index.request(
        "POST",
        "/",
        body=body,
        CONTENT_TYPE=content_type,
        CONTENT_LENGTH="",
        HTTP_TRANSFER_ENCODING="chunked",
    )

    assert (answer.status, index.files()) == (411, [])
    assert "Send a Content-Length" in answer.body


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")
@pytest.mark.parametrize("filename", [WHEEL, "other-1.0.tar.gz", "no distribution"])
def test_an_upload_takes_no_disk_space_but_its_own_once_it_is_answered(
    index: Index, filename: str
) -> None:
    uploads = str((index.settings.data / UPLOADS).resolve())

    index.upload(filename, distribution(WHEEL, os.urandom(500_000)))

    opened = [str(x.readlink()) for x in Path("/proc/self/fd").iterdir() if x.is_symlink()]
    assert [name for name in opened if name.startswith(uploads)] == []


def test_what_a_dead_process_left_behind_is_gone_when_the_next_one_starts(
    index: Index,
) -> None:
    (index.settings.data / UPLOADS / "tmpx1y2").write_bytes(b"unfinished")

    Index(index.settings)

    assert index.files() == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_an_error_nobody_thought_of_is_logged_and_answered_in_plain_text(
    index: Index, method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(index.index, "presence", fail)
    monkeypatch.setattr(index.index, "add", fail)

    answer = index.upload() if method == "POST" else index.request(method, "/simple/requests/")

    assert (answer.status, answer.reason) == (500, "Internal Server Error")
    assert answer.body == ("" if method == "HEAD" else "Internal Server Error\n")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert index.files() == []
    (record,) = caplog.records
    assert record.exc_info
    assert "KeyError" in caplog.text


# Names --------------------------------------------------------------------------------------------

SPELLINGS = [
    "my-private-lib",
    "my_private_lib",
    "My.Private.Lib",
    "MY-PRIVATE-LIB",
    "my--private__lib",
    "my-_.private-lib",
]


@pytest.mark.parametrize("prefix", ["/simple/", "/"])
def test_a_name_we_do_not_hold_is_sent_on_to_the_public_index(index: Index, prefix: str) -> None:
    index.upload()
    answer = index.request("GET", f"{prefix}requests/", "bob")
    if prefix == "/":
        assert answer.headers["Location"] == "../simple/requests/"
        answer = index.request("GET", "/simple/requests/", "bob")

    assert answer.status in (302, 303)
    assert answer.headers["Location"] == f"{PUBLIC}requests/"


def test_a_name_we_do_not_hold_is_404_where_unknown_names_are_refused(settings: Settings) -> None:
    index = Index(dataclasses.replace(settings, redirect=False))
    index.upload()

    assert index.request("GET", "/simple/requests/").status == 404
    assert index.request("GET", "/simple/my-private-lib/").status == 200


MIRRORED = "/public/requests/requests-2.0-py3-none-any.whl"


@pytest.mark.parametrize("path", ["/simple/requests/", MIRRORED, f"{MIRRORED}.metadata"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("accept", ["", "application/xhtml+xml"], ids=["tool", "person"])
def test_with_a_mirror_the_gateway_is_told_that_a_name_is_unknown(
    settings: Settings, path: str, method: str, accept: str
) -> None:
    index = Index(dataclasses.replace(settings, redirect=False, mirror=True))

    answer = index.request(method, path, "bob", HTTP_ACCEPT=accept)

    assert answer.status == 404
    assert answer.headers["Private-Pypi"] == "unknown"
    assert index.request(method, path, None).headers["Private-Pypi"] is None


@pytest.mark.parametrize(
    "path",
    [
        *("/simple/my-private-lib/", "/public/my-private-lib/x.whl", "/simple/acme-x/"),
        *("/public/acme-x/x.whl", "/public/requests/", "/public/requests/.x", "/public/a/b/c"),
        *("/public/Requests/x.whl", "/public/requests/../x.whl", "/packages/x.whl", "/simple/"),
        *("/simple/Requests/", "/requests/", "/project/requests/", "/", "/public/my_lib/x.whl"),
    ],
)
def test_with_a_mirror_nothing_else_is_unknown_to_the_gateway(
    settings: Settings, path: str
) -> None:
    reserving = dataclasses.replace(settings, private_prefixes=("acme",))
    index = Index(dataclasses.replace(reserving, redirect=False, mirror=True))
    index.upload()

    answer = index.request("GET", path)

    assert answer.headers["Private-Pypi"] is None
    if path.startswith("/public/"):
        assert answer.status == 404


def test_with_a_mirror_an_index_that_is_not_ready_calls_no_name_unknown(settings: Settings) -> None:
    index = Index(dataclasses.replace(settings, redirect=False, mirror=True), ready=False)

    answers = [index.request("GET", path) for path in ("/simple/requests/", MIRRORED)]

    assert [answer.status for answer in answers] == [503, 503]
    assert [answer.headers["Private-Pypi"] for answer in answers] == [None, None]


@pytest.mark.parametrize("redirect", [True, False])
def test_without_a_mirror_the_gateway_is_told_of_no_unknown_name(
    settings: Settings, redirect: bool
) -> None:
    index = Index(dataclasses.replace(settings, redirect=redirect))

    answers = [index.request("GET", path) for path in ("/simple/requests/", MIRRORED)]

    assert [answer.headers["Private-Pypi"] for answer in answers] == [None, None]
    assert answers[1].status == 404


def test_without_a_public_index_of_ones_own_unknown_names_go_to_pypi(settings: Settings) -> None:
    index = Index(dataclasses.replace(settings, public_index=None))

    location = index.request("GET", "/simple/requests/").headers["Location"]

    assert location == f"{DEFAULTS.FALLBACK_URL}requests/"
    assert location.startswith("https://")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/simple", "simple/"),
        ("/requests/", "../simple/requests/"),
        ("/My_Private.Lib", "simple/my-private-lib/"),
        ("/simple/My_Private.Lib/", "../my-private-lib/"),
    ],
)
def test_a_redirect_within_the_index_holds_for_every_name_and_path_that_a_proxy_gives_it(
    index: Index, path: str, place: str
) -> None:
    front = "https://front.example/pypi"
    expected = urljoin(f"{front}{path}", place)
    assert expected.startswith(f"{front}/")

    for host in ("", "evil.example"):
        answer = index.request("GET", path, "bob", HTTP_X_FORWARDED_HOST=host)
        assert urljoin(f"{front}{path}", answer.headers["Location"]) == expected


def follow(index: Index, path: str) -> tuple[str, Answer]:
    """Go where redirects lead, which must be on this index; return the last path."""
    for _ in range(4):
        answer = index.request("GET", path, "bob")
        if "Location" not in answer.headers:
            break
        url = urljoin(f"http://index.example{path}", answer.headers["Location"])
        assert url.startswith("http://index.example/")
        path = url.removeprefix("http://index.example")
    return path, answer


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("prefix", ["/simple/", "/"])
@pytest.mark.parametrize("slash", ["/", ""])
@pytest.mark.parametrize(
    "filename",
    [WHEEL, "my_private_lib-0.1.0.tar.gz", "my-private-lib-0.1.0.tar.gz", "My.Private.Lib-1.0.zip"],
)
def test_a_name_we_hold_is_never_sent_on_however_it_is_spelled(
    index: Index, filename: str, prefix: str, spelling: str, slash: str
) -> None:
    assert index.upload(filename, distribution(filename)).status == 200

    path, answer = follow(index, f"{prefix}{spelling}{slash}")

    assert answer.status == 200
    assert path == "/simple/my-private-lib/"
    assert filename in answer.body


def remove(index: Index) -> None:
    index.upload()
    index.index.remove("my-private-lib", "0.1.0", by="the test")


def delete_by_hand(index: Index) -> None:
    index.upload()
    (index.settings.data / WHEEL).unlink()
    index.index.refresh()


def remove_and_lose_the_index(index: Index) -> None:
    remove(index)
    (index.settings.index / "index.sqlite3").unlink()
    index.index.refresh()


def damage(index: Index) -> None:
    (index.settings.data / WHEEL).write_bytes(CONTENT[:-30])
    os.utime(index.settings.data / WHEEL, (1_000_000_000, 1_000_000_000))


def damage_what_was_published(index: Index) -> None:
    index.upload()
    damage(index)
    index.index.refresh()


@pytest.mark.parametrize(
    "lose",
    [remove, delete_by_hand, remove_and_lose_the_index, damage, damage_what_was_published],
)
@pytest.mark.parametrize(
    "path", ["/simple/my-private-lib/", "/My_Private_Lib", "/simple/My.Private_lib"]
)
def test_a_name_we_once_held_is_not_found_and_never_sent_on(
    index: Index, lose: Callable[[Index], None], path: str
) -> None:
    lose(index)

    path, answer = follow(index, path)

    assert path == "/simple/my-private-lib/"
    assert (answer.status, answer.body) == (
        404,
        "This index serves no files of my-private-lib, but has or had one that could be of it:"
        " make pypi-verify on the server names what is there.\n",
    )
    assert index.request("GET", "/my-private-lib/json").status == 404


@pytest.mark.parametrize("redirect", [True, False])
def test_an_index_that_is_not_ready_sends_nobody_on_and_takes_nothing_in(
    settings: Settings, redirect: bool
) -> None:
    index = Index(dataclasses.replace(settings, redirect=redirect), ready=False)
    (settings.data / "old-1.0.tar.gz").write_bytes(distribution("old-1.0.tar.gz"))

    answers = [index.upload(), index.request("GET", "/simple/requests/")]

    for answer in answers:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["Location"] is None
        assert answer.body == "The index is being brought up to date: try again.\n"
    assert index.files() == ["old-1.0.tar.gz"]

    index.index.refresh()
    assert index.upload().status == 200
    assert index.request("GET", "/simple/requests/").status == (303 if redirect else 404)


@pytest.mark.parametrize("folder", ["", "below/"])
def test_a_file_that_is_being_copied_by_hand_is_never_looked_for_elsewhere(
    index: Index, folder: str
) -> None:
    path = index.settings.data / folder / WHEEL
    path.parent.mkdir(exist_ok=True)
    assert index.request("GET", "/simple/my-private-lib/").headers["Location"].startswith(PUBLIC)

    with path.open("wb") as copy:
        for byte in range(0, len(CONTENT), 60):
            copy.write(CONTENT[byte : byte + 60])
            copy.flush()
            answer = index.request("GET", "/simple/my-private-lib/")
            assert answer.headers["Location"] is None
            assert answer.status in (503, 200)

    index.index.refresh()
    answer = index.request("GET", "/simple/my-private-lib/")
    assert answer.status == 200
    assert WHEEL in answer.body


@pytest.mark.parametrize("name", ["-", "_", "..", ".", "a%0d%0ab", "%c3%a9", "a b", "%00"])
def test_what_is_no_name_leads_nowhere(index: Index, name: str) -> None:
    _, answer = follow(index, f"/simple/{name}/")

    assert answer.status == 404


@pytest.mark.parametrize("length", [255, 256, 3000])
def test_a_name_too_long_for_a_file_is_no_name(index: Index, length: int) -> None:
    answer = index.request("GET", f"/simple/{'x' * length}/")

    assert (answer.status, answer.body) == (404, "That is not the name of a project.\n")


@pytest.mark.parametrize(
    ("filename", "project"),
    [
        ("lib_3d_tools-1.0.tar.gz", "lib-3d-tools"),
        ("lib-3d-tools-1.0.tar.gz", "lib-3d-tools"),
        ("my.lib-extra-1.tar.gz", "my-lib-extra"),
        ("my-lib-1.0.0.post1.tar.gz", "my-lib"),
        ("my_lib-1.0+local.1-py3-none-any.whl", "my-lib"),
        ("my_lib-1.0-1-py3-none-any.whl", "my-lib"),
    ],
)
def test_a_name_we_hold_is_recognized_in_every_file_name_that_build_tools_made(
    index: Index, filename: str, project: str
) -> None:
    assert index.upload(filename, distribution(filename)).status == 200

    answer = index.request("GET", f"/simple/{project}/")

    assert answer.status == 200
    assert filename in answer.body


def test_a_version_we_do_not_hold_is_not_found_and_not_sent_on(index: Index) -> None:
    index.upload()

    for name in ("my_private_lib-99.0.0-py3-none-any.whl", "my_private_lib-99.0.0.tar.gz"):
        assert index.request("GET", f"/packages/{name}").status == 404
    assert "99.0.0" not in index.request("GET", "/simple/my-private-lib/").body


def test_a_file_copied_by_hand_is_there_at_once_and_its_name_no_longer_sent_on(
    index: Index,
) -> None:
    assert index.request("GET", "/simple/my-private-lib/").status in (302, 303)

    (index.settings.data / WHEEL).write_bytes(CONTENT)

    for _ in range(2):
        assert WHEEL in index.request("GET", "/simple/my-private-lib/").body
    assert index.request("GET", f"/packages/{WHEEL}").content == CONTENT


def test_links_keep_the_clients_scheme_and_host(index: Index) -> None:
    index.upload()

    body = index.request("GET", "/simple/my-private-lib/", HTTP_X_FORWARDED_PROTO="https").body

    assert f'href="../../packages/{WHEEL}#sha256=' in body


def test_a_page_that_is_not_there_is_told_in_plain_text(index: Index) -> None:
    answer = index.request("GET", "/no/such/page")

    assert answer.status == 404
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "<" not in answer.body


# Health -------------------------------------------------------------------------------------------


def test_the_health_check_needs_no_account(index: Index) -> None:
    answer = index.request("GET", "/health", user=None)

    assert (answer.status, answer.body) == (200, "ok\n")


def test_an_index_that_cannot_store_is_not_healthy_and_says_which_folder(index: Index) -> None:
    (index.settings.data / UPLOADS).rmdir()

    answer = index.request("GET", "/health", user=None)

    assert answer.status == 503
    assert answer.body == f"pypi_data/.uploads is not writable for user {os.getuid()}.\n"


def test_the_death_of_a_process_shows_in_the_health_check_for_five_minutes(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = index.app.note_death()

    answer = index.request("GET", "/health", user=None)
    assert (answer.status, answer.body) == (503, f"{sentence}\n")
    assert "raise mem_limit of private_pypi in docker-compose.pypi.yml" in sentence
    assert index.request("GET", "/simple/").status == 200

    later = time.monotonic() + 301
    monkeypatch.setattr(app, "time", SimpleNamespace(monotonic=lambda: later))
    assert index.request("GET", "/health", user=None).status == 200


def test_a_folder_of_somebody_else_is_not_healthy(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, int]] = []

    # Who runs the tests as root may write everywhere.
    def access(path: object, mode: int) -> bool:
        asked.append((path, mode))
        return False

    monkeypatch.setattr(os, "access", access)

    assert index.request("GET", "/health", user=None).status == 503
    assert asked == [(index.settings.data / UPLOADS, os.W_OK)]


def test_a_folder_that_cannot_be_looked_into_is_not_healthy_and_passes_no_name_on(
    index: Index,
) -> None:
    (index.settings.data / "more").symlink_to("nowhere")
    index.index.refresh()

    health = index.request("GET", "/health", user=None)
    answer = index.request("GET", "/simple/requests/")

    assert health.status == answer.status == 503
    assert health.body.startswith("pypi_data/more cannot be looked into (No such file")
    assert answer.body == (
        "Part of pypi_data cannot be looked into, there may be files of any name: the index's log"
        " says why.\n"
    )


# A person's browser -------------------------------------------------------------------------------

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("method", "path", "user", "status"),
    [
        ("GET", "/", None, 401),
        ("GET", "/no/such/page", "alice", 404),
        ("GET", "/project/unknown/", "alice", 404),
        ("POST", "/", "bob", 403),
        ("PUT", "/", "alice", 405),
        ("GET", "/%ff", "alice", 400),
    ],
)
def test_a_refusal_is_a_page_for_a_person_and_a_sentence_for_a_tool(
    index: Index, method: str, path: str, user: str | None, status: int
) -> None:
    said = index.request(method, path, user)
    shown = index.request(method, path, user, HTTP_ACCEPT=BROWSER)

    assert (said.status, shown.status) == (status, status)
    assert said.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert said.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert shown.headers["Content-Type"] == "text/html; charset=utf-8"
    assert shown.headers["Content-Length"] == str(len(shown.content))
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; frame-ancestors 'none'",
        shown.headers["Content-Security-Policy"],
    )
    assert f"<p>{html.escape(said.body.strip())}</p>" in shown.body
    for name in ("Referrer-Policy", "X-Content-Type-Options", "WWW-Authenticate", "Allow"):
        assert shown.headers[name] == said.headers[name]


def test_the_page_of_a_refusal_has_no_body_for_head(index: Index) -> None:
    got = index.request("GET", "/no/such/page", HTTP_ACCEPT=BROWSER)

    head = index.request("HEAD", "/no/such/page", HTTP_ACCEPT=BROWSER)

    assert (head.status, head.content) == (404, b"")
    assert head.headers["Content-Length"] == got.headers["Content-Length"]


def test_what_is_no_refusal_is_the_same_for_a_person(index: Index) -> None:
    index.upload()

    for path in ("/", "/simple/", f"/packages/{WHEEL}", "/health"):
        answer = index.request("GET", path, HTTP_ACCEPT=BROWSER)
        assert answer.content == index.request("GET", path).content


def test_a_page_for_people_keeps_its_own_policy_and_has_the_other_headers(index: Index) -> None:
    index.settings.web.mkdir()
    (index.settings.web / "index.html").write_text("start")

    answer = index.request("GET", "/")

    assert answer.body == "start"
    assert answer.headers["Content-Security-Policy"] == reads.POLICY
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_pages_for_people_are_for_accounts_only(index: Index) -> None:
    index.settings.web.mkdir()
    (index.settings.web / "index.html").write_text("secret")

    assert index.request("GET", "/", "bob").body == "secret"
    for answer in (index.request("GET", "/", None), index.request("GET", "/", "mallory")):
        assert answer.status == 401
        assert "secret" not in answer.body


# What the gateway is told -------------------------------------------------------------------------


def test_the_gateway_is_told_where_unknown_names_lead(settings: Settings) -> None:
    place = settings.index / "public_index"
    index = Index(settings)
    before = place.stat()
    assert place.read_text() == PUBLIC

    assert index.request("GET", "/simple/requests/").status == 303
    assert place.stat() == before  # Nothing is written again.

    place.unlink()
    assert index.request("GET", "/simple/requests/").status == 303
    assert place.read_text() == PUBLIC


@pytest.mark.parametrize("url", ["http://other.example/root", "http://other.example/root/"])
def test_another_public_index_or_none_is_told_at_the_next_start(
    settings: Settings, url: str
) -> None:
    place = settings.index / "public_index"
    Index(settings)

    Index(dataclasses.replace(settings, public_index=url))
    assert place.read_text() == "http://other.example/root/"

    Index(dataclasses.replace(settings, redirect=False))
    assert not place.exists()

    Index(settings)
    assert place.exists()
    Index(dataclasses.replace(settings, redirect=False, mirror=True))
    assert not place.exists()


def test_what_the_gateway_cannot_be_told_stops_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk, "write_atomically", refuse)
    index = Index(settings)

    assert index.request("GET", "/simple/requests/").status == 303
    assert "pypi_index/public_index cannot be written, so the gateway asks" in caplog.text
