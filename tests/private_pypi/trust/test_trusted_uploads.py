"""What a CI job may do at the application with a minted password, and anybody without one."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import wheel
from kit.forms import form
from kit.http import basic
from kit.template import PASSWORD
from kit.tokens import PUBLISHERS, claims, signed, trust
from kit.wsgi import Answer, call
from private_pypi.app import create_app
from private_pypi.audit import audit
from private_pypi.settings import Settings
from private_pypi.trust.routes import AUDIENCE, MINT
from private_pypi.trust.routes import PASSWORD as PASSWORD_WORKS

FILE = ".publishers.toml"
JOB = {
    "issuer": "https://token.actions.githubusercontent.com",
    "workflow": "acme/billing/.github/workflows/publish.yml@refs/heads/main",
    "commit": "0123abc",
    "run": "77",
    "url": "https://github.com/acme/billing/actions/runs/77",
}


def distribution(project: str = "my_private_lib") -> tuple[str, bytes]:
    """Return name and content of a wheel."""
    text = f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n".encode()
    return f"{project}-1.0-py3-none-any.whl", wheel.packed(
        {f"{project}-1.0.dist-info/METADATA": text}
    )


class Index:
    """The application with a trusted publisher, and the accounts of `settings`."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = dataclasses.replace(settings, keys=folder / "keys")
        trust(self.settings.auth, self.settings.keys)
        self.app = create_app(self.settings)
        self.app.index.refresh()

    def request(
        self,
        method: str,
        path: str,
        password: str | None = None,
        user: str = "__token__",
        **more: Any,
    ) -> Answer:
        """Send a request, without a login if there is no password."""
        headers = basic(user, password) if password is not None else {}
        return call(self.app, method, path, headers=headers, **more)

    def mint(self) -> str:
        """Return a new password."""
        body = json.dumps({"token": signed(claims(time.time() + 1))}).encode()
        answer = self.request("POST", MINT, body=body)
        assert answer.status == 200, answer.body
        return str(json.loads(answer.content)["token"])

    def upload(
        self, password: str, project: str = "my_private_lib", *, signature: bytes = b"", **more: Any
    ) -> Answer:
        """Send a distribution of a project."""
        name, content = distribution(project)
        files = {"content": (name, content)}
        if signature:
            files["gpg_signature"] = (f"{name}.asc", signature)
        body, content_type = form({":action": "file_upload"}, files)
        return self.request("POST", "/", password, body=body, CONTENT_TYPE=content_type, **more)

    def journal(self) -> list[dict[str, Any]]:
        """Return what the journal says."""
        lines = (self.settings.data / ".journal.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def index(settings: Settings, tmp_path: Path) -> Index:
    """An index that trusts the publisher of PUBLISHERS."""
    return Index(settings, tmp_path)


def test_a_job_publishes_and_the_journal_and_the_audit_tell_which(index: Index) -> None:
    assert index.upload(index.mint()).status == 200

    (line,) = index.journal()
    assert (line["by"], line["job"]) == ("acme/billing publish.yml", JOB)
    ((row,), complaints) = audit(index.settings.data, index.settings.index)
    assert complaints == []
    assert row.endswith(
        "  published  my_private_lib-1.0-py3-none-any.whl  acme/billing publish.yml"
        f"  workflow {JOB['workflow']}, commit 0123abc, run 77"
    )


def test_what_a_job_published_is_known_from_the_journal_alone(index: Index) -> None:
    index.upload(index.mint())

    index.app.index.refresh(reread=True)

    with index.app.index._access.catalogue() as known:
        (record,) = known.history.about("my-private-lib", 9)
    assert record.job == JOB


def test_an_account_publishes_as_before_and_no_job_is_written_down(index: Index) -> None:
    assert index.upload(PASSWORD, user="alice").status == 200

    (line,) = index.journal()
    assert line["by"] == "alice"
    assert "job" not in line


def test_a_job_publishes_its_projects_alone_and_is_told_who_may(index: Index) -> None:
    password = index.mint()

    refused = index.upload(password, "ledger")

    assert (refused.status, refused.body) == (
        403,
        "acme/billing publish.yml may publish my-private-lib and acme-*, not ledger: alice may.\n",
    )
    assert index.upload(password, "acme_x").status == 200


def test_a_password_publishes_several_files_until_it_ends(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    password, now = index.mint(), time.time()
    assert index.upload(password, "acme_a").status == 200
    assert index.upload(password, "acme_b").status == 200

    monkeypatch.setattr(index.app._trust, "_now", lambda: now + 15 * 60 + 1)
    refused = index.upload(password, "acme_c")

    assert refused.status == 401
    assert "lasts 15 minutes. Run the job again." in refused.body
    assert refused.closed


def test_a_job_signs_what_it_published_and_nothing_else(index: Index) -> None:
    index.upload(PASSWORD, "acme_a", user="alice")

    assert index.upload(index.mint(), "acme_a", signature=b"x").status == 403
    assert index.upload(index.mint(), "acme_b", signature=b"x").status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/", "/simple/", "/simple/my-private-lib/", "/packages/x.whl"])
def test_a_minted_password_reads_nothing(index: Index, method: str, path: str) -> None:
    password = index.mint()
    index.upload(password)

    answer = index.request(method, path, password)

    assert answer.status == 403
    if method == "GET":
        assert answer.body == (
            "A minted password publishes and does nothing else: install with an account.\n"
        )


def test_the_gateway_is_told_whether_a_password_works(index: Index) -> None:
    password = index.mint()

    answer = index.request("GET", PASSWORD_WORKS, password)
    assert (answer.status, answer.content) == (204, b"")
    assert index.request("GET", PASSWORD_WORKS, "wrong").status == 401
    assert index.request("GET", PASSWORD_WORKS).status == 401
    assert index.request("GET", PASSWORD_WORKS, PASSWORD, user="alice").status == 404


@pytest.mark.parametrize(("method", "path"), [("PUT", "/"), ("DELETE", "/x"), ("POST", "/simple/")])
def test_a_minted_password_sends_nothing_elsewhere(index: Index, method: str, path: str) -> None:
    assert index.request(method, path, index.mint()).status == 405


def test_a_minted_password_works_for_its_user_and_in_the_header_alone(index: Index) -> None:
    password = index.mint()

    for user in ("alice", "acme/billing publish.yml", "__TOKEN__", "", "_none", "__token__ "):
        assert index.upload(password, user=user).status == 401
    query = f"/?password={password}&token={password}&username=__token__"
    assert index.request("POST", query).status == 401
    assert (
        call(index.app, "POST", "/", headers={"Authorization": f"Bearer {password}"}).status == 401
    )
    assert index.upload(PASSWORD).status == 401


def test_a_password_ends_with_the_trust_in_its_publisher(index: Index) -> None:
    password = index.mint()

    (index.settings.auth / FILE).write_text(PUBLISHERS.replace('"acme-*"', '"other"'))

    assert index.upload(password).status == 401


@pytest.mark.parametrize("path", [AUDIENCE, MINT])
def test_without_publishers_there_is_nothing_of_this(index: Index, path: str) -> None:
    password = index.mint()
    (index.settings.auth / FILE).unlink()

    for method in ("GET", "POST"):
        answer = index.request(method, path)
        assert (answer.status, answer.reason) == (401, "Wrong or missing user name and password.")
        assert index.request(method, path, PASSWORD, user="alice").status in (404, 405)
    assert index.upload(password).reason == "Wrong or missing user name and password."


class Endless:
    """A body that goes on for as long as it is read."""

    def __init__(self) -> None:
        self.read_so_far = 0

    def read(self, size: int) -> bytes:
        self.read_so_far += size
        return b"x" * size


@pytest.mark.parametrize(
    ("path", "password", "status"),
    [("/", "wrong", 401), (MINT, None, 413), (MINT, "wrong", 413), (AUDIENCE, None, 405)],
)
def test_the_body_of_whoever_has_no_account_is_not_read_and_the_connection_closes(
    index: Index, path: str, password: str | None, status: int
) -> None:
    body = Endless()
    stream: dict[str, Any] = {"wsgi.input": body, "CONTENT_LENGTH": str(2**20)}

    answer = index.request("POST", path, password, **stream)

    assert (answer.status, answer.closed, body.read_so_far) == (status, True, 0)


def test_requests_of_no_account_take_no_place_of_an_upload(index: Index) -> None:
    slots = index.app._upload_slots, index.app._refused_slots
    held: list[Iterator[bool]] = []
    for one in slots:
        for number in range(100):
            held.append(one.slot(str(number)))  # type: ignore[arg-type]
            held[-1].__enter__()  # type: ignore[attr-defined]

    assert index.upload(PASSWORD, user="alice").status == 503
    assert index.request("GET", AUDIENCE).status == 200
    assert index.mint()
    assert index.upload("wrong").status == 401
