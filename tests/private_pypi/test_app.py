"""The application as a WSGI server calls it: who may do what, and what every answer says."""

from __future__ import annotations

import base64
import dataclasses
import io
import os
import tempfile
from collections.abc import Callable, Iterable
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
import quiet_pypiserver  # noqa: F401
from private_pypi import accounts
from private_pypi.app import FORM, create_app
from private_pypi.settings import MEBIBYTE, Settings
from private_pypi.storage import UPLOADS
from pypiserver.config import DEFAULTS

pytest_plugins = ["cheap_accounts"]

PASSWORD = "correct-horse-battery"
WHEEL = "my_private_lib-0.1.0-py3-none-any.whl"
PUBLIC = "http://public.example/simple/"


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Message
    body: str


class Index:
    """The application with one publisher, alice, and one reader, bob."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._app = create_app(settings)

    def request(
        self,
        method: str,
        path: str,
        user: str | None = "alice",
        *,
        body: bytes | Iterable[bytes] = b"",
        **environ: str,
    ) -> Answer:
        """Call the application as PEP 3333 says."""
        stream = io.BytesIO(body) if isinstance(body, bytes) else body
        request: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": "",
            "SERVER_NAME": "index.example",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "index.example",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": stream,
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        if isinstance(body, bytes) and body:
            request["CONTENT_LENGTH"] = str(len(body))
        if user:
            pair = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
            request["HTTP_AUTHORIZATION"] = f"Basic {pair}"
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], _: object = None
        ) -> Callable[[bytes], object]:
            started.append((status, headers))
            return io.BytesIO().write

        answer = self._app({**request, **environ}, start_response)
        content = b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
        ((status, pairs),) = started
        headers = Message()
        for name, value in pairs:
            headers[name] = value
        return Answer(int(status.split()[0]), headers, content.decode())

    def post(self, fields: dict[str, str], user: str = "alice", **environ: str) -> Answer:
        """Send a form."""
        body, content_type = form(fields)
        return self.request("POST", "/", user, body=body, CONTENT_TYPE=content_type, **environ)

    def upload(
        self, filename: str = WHEEL, content: bytes = b"wheel", user: str = "alice", **environ: str
    ) -> Answer:
        """Send a distribution as Poetry, uv and twine do."""
        body, content_type = form({":action": "file_upload"}, filename, content)
        return self.request("POST", "/", user, body=body, CONTENT_TYPE=content_type, **environ)

    def files(self) -> list[str]:
        """Return the names of everything in the data folder."""
        data = self.settings.data
        return sorted(str(path.relative_to(data)) for path in data.rglob("*") if path.is_file())


def form(
    fields: dict[str, str], filename: str | None = None, content: bytes = b""
) -> tuple[bytes, str]:
    """Return body and content type of a form (RFC 7578)."""
    boundary = "----private-pypi-test"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if filename is not None:
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="content"; filename="{filename}"'
        )
        parts.append(f"{head}\r\nContent-Type: application/octet-stream\r\n\r\n".encode())
        parts.append(content + b"\r\n")
    parts.append(f"--{boundary}--\r\n".encode())
    return b"".join(parts), f"multipart/form-data; boundary={boundary}"


@pytest.fixture
def settings(tmp_path: Path, auth: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an index with two accounts, in folders of the test's own."""
    # The application moves it to its data folder, for the whole process.
    monkeypatch.setattr(tempfile, "tempdir", None)
    accounts.add(auth, "alice", "publisher", PASSWORD)
    accounts.add(auth, "bob", "reader", PASSWORD)
    (tmp_path / "pypi_data").mkdir()
    return Settings(
        data=tmp_path / "pypi_data",
        auth=auth,
        gateway=None,
        host="127.0.0.1",
        port=8080,
        redirect=True,
        public_index=PUBLIC,
        max_upload=MEBIBYTE,
    )


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
    assert answer.body == "Wrong or missing user name and password.\n"


def test_an_upload_without_an_account_stores_nothing(index: Index) -> None:
    assert index.upload(user="").status == 401
    assert index.upload(user="mallory").status == 401
    assert index.files() == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_a_reader_may_send_nothing(index: Index, method: str) -> None:
    body, content_type = form({":action": "file_upload"}, WHEEL, b"wheel")

    answer = index.request(method, "/", "bob", body=body, CONTENT_TYPE=content_type)

    assert (answer.status, answer.body) == (403, "bob may install, not publish.\n")
    assert index.files() == []


@pytest.mark.parametrize("user", ["alice", "bob"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_both_may_list_and_download(index: Index, user: str, method: str) -> None:
    index.upload(content=b"wheel")

    for path in ("/simple/", "/simple/my-private-lib/", f"/packages/{WHEEL}"):
        assert index.request(method, path, user).status == 200
    assert index.request("GET", f"/packages/{WHEEL}", user).body == "wheel"
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
    end = b"------private-pypi-test--\r\n"

    for body in (removal.removesuffix(end) + other, other.removesuffix(end) + removal):
        index.request("POST", "/", body=body, CONTENT_TYPE=content_type)

    assert index.files() == [WHEEL]


@pytest.mark.parametrize("path", ["/", f"/packages/{WHEEL}", "/simple/my-private-lib/"])
@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH"])
def test_not_even_a_publisher_removes_or_replaces_a_file(
    index: Index, method: str, path: str
) -> None:
    index.upload(content=b"wheel")

    assert index.request(method, path, body=b"other").status in (404, 405)
    assert index.request("GET", f"/packages/{WHEEL}").body == "wheel"


# Uploads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5, 50_000, 500_000])
@pytest.mark.parametrize("filename", [WHEEL, "my_private_lib-0.1.0.tar.gz"])
def test_an_upload_is_there_byte_for_byte_and_nothing_unfinished_stays(
    index: Index, filename: str, size: int
) -> None:
    content = os.urandom(size)

    answer = index.upload(filename, content)

    assert (answer.status, answer.body) == (200, "")
    assert (index.settings.data / filename).read_bytes() == content
    assert index.files() == [filename]


@pytest.mark.parametrize(
    ("agent", "status"),
    [("poetry/2.5.1", 409), ("uv/0.13.9", 409), ("twine/7.0.0", 400), ("", 409)],
)
def test_an_upload_of_a_name_that_is_taken_is_refused_as_its_client_expects(
    index: Index, agent: str, status: int
) -> None:
    index.upload(content=b"first")

    answer = index.upload(content=b"second", HTTP_USER_AGENT=agent)

    assert answer.status == status
    assert "already exists" in answer.body
    assert (index.settings.data / WHEEL).read_bytes() == b"first"
    assert index.files() == [WHEEL]


def test_a_name_that_is_taken_in_a_folder_below_is_taken(index: Index) -> None:
    (index.settings.data / "old").mkdir()
    (index.settings.data / "old" / WHEEL).write_bytes(b"first")

    assert index.upload().status == 409


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
    ],
)
def test_a_file_name_that_is_no_distributions_is_refused(
    index: Index, filename: str, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))

    assert index.upload(filename).status == 400
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
    ],
)
def test_a_form_that_makes_no_sense_is_the_clients_fault(
    index: Index, body: bytes, content_type: str
) -> None:
    answer = index.request("POST", "/", body=body, CONTENT_TYPE=content_type)

    assert answer.status == 400
    assert index.files() == []


def test_a_form_longer_than_the_largest_upload_is_read_to_its_end_and_refused(index: Index) -> None:
    length = index.settings.max_upload + FORM + 1
    body = io.BytesIO(bytes(length))

    answer = index.request("POST", "/", body=body, CONTENT_LENGTH=str(length))

    assert answer.status == 413
    assert answer.body == "The upload is larger than the 1 MB this index accepts.\n"
    assert body.tell() == length
    assert index.files() == []


@pytest.mark.parametrize(("size", "status"), [(MEBIBYTE, 200), (MEBIBYTE + 1, 413)])
def test_a_file_as_large_as_may_be_is_stored_and_one_byte_more_is_refused(
    index: Index, size: int, status: int
) -> None:
    answer = index.upload(content=b"x" * size)

    assert answer.status == status
    assert index.files() == [WHEEL][: status == 200]
    assert status == 200 or "larger than the 1 MB this index accepts" in answer.body


@pytest.mark.parametrize("size", [5, 50_000, 500_000])
@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
def test_an_upload_that_ends_early_is_not_stored_cut_short(
    index: Index, size: int, kept: float
) -> None:
    body, content_type = form({":action": "file_upload"}, WHEEL, os.urandom(size))
    cut = body[: int(len(body) * kept)]

    answer = index.request(
        "POST", "/", body=cut, CONTENT_TYPE=content_type, CONTENT_LENGTH=str(len(body))
    )

    assert (answer.status, index.files()) == (400, [])
    assert "The upload ended early: send it again." in answer.body


def test_a_chunked_upload_is_refused_with_what_to_send_instead(index: Index) -> None:
    body, content_type = form({":action": "file_upload"}, WHEEL, b"wheel")

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
@pytest.mark.parametrize("filename", [WHEEL, "no distribution"])
def test_an_upload_takes_no_disk_space_but_its_own_once_it_is_answered(
    index: Index, filename: str
) -> None:
    uploads = str((index.settings.data / UPLOADS).resolve())

    index.upload(filename, os.urandom(500_000))

    opened = [str(x.readlink()) for x in Path("/proc/self/fd").iterdir() if x.is_symlink()]
    assert [name for name in opened if name.startswith(uploads)] == []


def test_uploads_are_spooled_beside_the_data_not_in_tmp(index: Index) -> None:
    assert Path(tempfile.gettempdir()) == (index.settings.data / UPLOADS).resolve()


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
        assert answer.headers["Location"] == "http://index.example/simple/requests/"
        answer = index.request("GET", "/simple/requests/", "bob")

    assert answer.status in (302, 303)
    assert answer.headers["Location"] == f"{PUBLIC}requests/"


def test_a_name_we_do_not_hold_is_404_where_unknown_names_are_refused(settings: Settings) -> None:
    index = Index(dataclasses.replace(settings, redirect=False))
    index.upload()

    assert index.request("GET", "/simple/requests/").status == 404
    assert index.request("GET", "/simple/my-private-lib/").status == 200


def test_without_a_public_index_of_ones_own_unknown_names_go_to_pypi(settings: Settings) -> None:
    index = Index(dataclasses.replace(settings, public_index=None))

    location = index.request("GET", "/simple/requests/").headers["Location"]

    assert location == f"{DEFAULTS.FALLBACK_URL}requests/"
    assert location.startswith("https://")


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
    assert index.upload(filename).status == 200
    path = f"{prefix}{spelling}{slash}"

    for _ in range(4):
        answer = index.request("GET", path, "bob")
        if answer.status == 200:
            break
        location = answer.headers["Location"]
        assert location.startswith("http://index.example/")
        path = location.removeprefix("http://index.example")

    assert answer.status == 200
    assert path == "/simple/my-private-lib/"
    assert filename in answer.body


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
    assert index.upload(filename).status == 200

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

    (index.settings.data / WHEEL).write_bytes(b"wheel")

    assert WHEEL in index.request("GET", "/simple/my-private-lib/").body


@pytest.mark.parametrize(
    "path",
    [
        "/packages/../pypi_auth/.htpasswd",
        "/packages/..%2fpypi_auth%2f.htpasswd",
        "/packages/%2e%2e/pypi_auth/.htpasswd",
        f"/packages/{UPLOADS}/hidden-1.0.tar.gz",
        "/packages//etc/passwd",
        "/packages/.hidden-1.0.tar.gz",
    ],
)
def test_nothing_but_distributions_can_be_downloaded(index: Index, path: str) -> None:
    (index.settings.data / UPLOADS / "hidden-1.0.tar.gz").write_bytes(b"unfinished")
    (index.settings.data / ".hidden-1.0.tar.gz").write_bytes(b"hidden")

    assert index.request("GET", path).status == 404


def test_links_keep_the_clients_scheme_and_host(index: Index) -> None:
    index.upload()

    body = index.request("GET", "/simple/my-private-lib/", HTTP_X_FORWARDED_PROTO="https").body

    assert f'href="/packages/{WHEEL}#sha256=' in body


# Health -------------------------------------------------------------------------------------------


def test_the_health_check_needs_no_account(index: Index) -> None:
    answer = index.request("GET", "/health", user=None)

    assert (answer.status, answer.body) == (200, "ok\n")


def test_an_index_that_cannot_store_is_not_healthy_and_says_which_folder(index: Index) -> None:
    (index.settings.data / UPLOADS).rmdir()

    answer = index.request("GET", "/health", user=None)

    assert answer.status == 503
    assert answer.body == f"pypi_data/.uploads is not writable for user {os.getuid()}.\n"


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
