"""How the rendered client publishes from CI without a stored password, and what it says if not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import stand_in
from kit.client import Client, MakeClient
from kit.http import basic
from kit.server import Server
from kit.stand_in import (
    AUDIENCE_PATH,
    BEARER,
    CI_PATH,
    IDENTITY,
    MINT_PATH,
    MINTED,
    StandIn,
)
from kit.template import Answers

TRUSTED: Answers = {"trusted_publishing": True, "index_user": ""}
OWNER = "have its owner run `make pypi-trust` on the server, as README.md says."
PERMISSION = "let the job's `permissions` in the workflow have `id-token: write`."
ID_TOKENS = "let the job in .gitlab-ci.yml have PYPI_ID_TOKEN in `id_tokens`."


@pytest.fixture
def index() -> Iterator[StandIn]:
    """An index that trusts the jobs of these tests."""
    with stand_in.running() as running:
        yield running


def app_of(client: MakeClient, index: StandIn, manager: str) -> Client:
    """Return an app that publishes to an index without a stored account, as built by CI."""
    app = client({**TRUSTED, "package_manager": manager, "pypi_url": index.url})
    app.make("package")
    return app


@pytest.mark.parametrize("manager", ["poetry", "uv"])
def test_a_job_publishes_with_the_password_that_it_gets_for_its_identity(
    client: MakeClient, index: StandIn, manager: str
) -> None:
    app = app_of(client, index, manager)
    uploads = ["my_app-0.1.0-py3-none-any.whl", "my_app-0.1.0.tar.gz"]
    exchange = [f"GET {AUDIENCE_PATH}", f"GET {CI_PATH}", f"POST {MINT_PATH}"]
    for job, asked in ((index.on_github(), exchange), (index.on_gitlab(), exchange[-1:])):
        index.asked, index.uploads, index.authorizations = [], [], []

        said = app.make("upload", ok=True, **job)

        assert f"Published my-app 0.1.0 to {index.url}\n" in said
        assert sorted(index.uploads) == uploads
        assert set(index.authorizations) == {basic("__token__", MINTED)["Authorization"]}
        # Nothing is read with such a password.
        assert index.asked == [*asked, "POST /", "POST /"]
        mask = f"::add-mask::{MINTED.replace('%', '%25')}\n" if "GITHUB_ACTIONS" in job else ""
        assert MINTED not in said.replace(mask, "")
        assert said.count("::") == mask.count("::")
        assert IDENTITY not in said
        assert BEARER not in said


def test_the_tool_that_sends_never_sees_what_proves_the_jobs_identity(
    client: MakeClient, index: StandIn, tmp_path: Path
) -> None:
    app = app_of(client, index, "uv")
    seen = tmp_path / "seen"
    (tmp_path / "uv").write_text(f'#!/bin/sh\nenv >> "{seen}"; exec uv "$@"\n')
    (tmp_path / "uv").chmod(0o755)
    for job in (index.on_github(), index.on_gitlab()):
        # make itself asks the tool first whether it is there.
        app.make("--old-file=need-uv", "upload", f"UV={tmp_path / 'uv'}", ok=True, **job)

    assert seen.read_text().count(f"UV_PUBLISH_PASSWORD={MINTED}\n") == 2
    assert "ID_TOKEN" not in seen.read_text().replace(f"UV_PUBLISH_PASSWORD={MINTED}", "")


def test_whatever_the_exchange_stops_at_is_said_in_a_sentence_and_nothing_is_sent(
    client: MakeClient, index: StandIn
) -> None:
    app = app_of(client, index, "uv")
    host = index.url.removeprefix("http://").rstrip("/")
    elsewhere = b"/simple/elsewhere/"

    def refusal(job: dict[str, str], answers: dict[str, tuple[int, bytes]] | None = None) -> str:
        index.answers, index.asked = answers or {}, []
        said = app.make("upload", ok=False, **job)
        assert "POST /" not in index.asked
        assert not [asked for asked in index.asked if "elsewhere" in asked]
        for secret in (MINTED, IDENTITY, BEARER):
            assert secret not in said
        assert not said.startswith("::")
        assert "\n::" not in said
        return said

    github, gitlab = index.on_github(), index.on_gitlab()
    unable = "This job cannot prove who it is: "
    assert "No credentials for the private index: run `make login` first." in refusal({})
    assert unable + PERMISSION in refusal({"GITHUB_ACTIONS": "true"})
    halves = {"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_URL": index.url}
    assert unable + PERMISSION in refusal(halves)
    assert unable + ID_TOKENS in refusal({"GITLAB_CI": "true"})

    for status in (301, 303, 401, 404):
        answers = {AUDIENCE_PATH: (status, elsewhere)}
        unknown = f"{host} knows no trusted publishing ({status}): {OWNER}"
        assert unknown in refusal(github, answers)
    endless = b'{"audience": "a", "more": "' + b"a" * 2**16 + b'"}'
    for body in (b"<html>", b"[]", b"{}", b'{"audience": ""}', b'{"audience": null}', endless):
        answers = {AUDIENCE_PATH: (200, body)}
        assert f"{host} knows no trusted publishing: {OWNER}" in refusal(github, answers)
    fails = f"{host} fails with 502: look into the server's log."
    assert fails in refusal(github, {AUDIENCE_PATH: (502, b"")})

    for status in (302, 403, 500):
        no_token = f"CI gives this job no identity token ({status}): run the job again."
        assert no_token in refusal(github, {CI_PATH: (status, elsewhere)})
    no_token = "CI answered without an identity token: run the job again."
    for body in (b'{"count": 0}', b'{"value": null}', b"<html>"):
        assert no_token in refusal(github, {CI_PATH: (200, body)})

    # As PyPI has its errors, with what GitHub would take for a command.
    errors = (
        b'{"message": "Token request failed", "errors": [{"code": "invalid-publisher",'
        b' "description": "environment is \\"test\\",\\n::add-path::/tmp\\u001b[31m no."}]}'
    )
    unless = f" If it does not trust this workflow yet, {OWNER}"
    refused = f"{host} mints no password for this job: "
    for job in (github, gitlab):
        said = refusal(job, {MINT_PATH: (403, errors)})
        told = 'environment is "test", ::add-path::/tmp [31m no.'
        assert refused + told + unless in said
    said = refusal(github, {MINT_PATH: (422, b'{"message": "It has expired."}')})
    assert f"{refused}It has expired.{unless}" in said
    said = refusal(github, {MINT_PATH: (422, b'{"message": "' + b"a" * 1001 + b'"}')})
    assert f"{refused}{'a' * 1000}{unless}" in said
    for status, body in ((401, b"<html>"), (404, b""), (307, elsewhere), (400, b'{"errors": [1]}')):
        said = refusal(gitlab, {MINT_PATH: (status, body)})
        assert f"{refused}it answers {status}.{unless}" in said
    log = "If that goes on, look into the server's log."
    for body, told in ((b"", "it answers 503."), (b'{"message": "No keys yet."}', "No keys yet.")):
        said = refusal(github, {MINT_PATH: (503, body)})
        assert f"{refused}{told} {log}" in said
    for body in (b"", b"{}", b'{"token": ""}', b'{"token": "two\\nlines"}', b'{"token": null}'):
        said = refusal(github, {MINT_PATH: (200, body)})
        assert f"{host} answered without a password: look into the server's log." in said
    assert "Nothing listens on 127.0.0.1:1: check the port" in refusal(
        {**github, "ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:1/?a=b"}
    )


@pytest.mark.parametrize("manager", ["poetry", "uv"])
def test_a_refused_upload_of_a_job_is_explained_without_a_login(
    client: MakeClient, index: StandIn, manager: str
) -> None:
    app = app_of(client, index, manager)
    sentences = {
        401: "The index takes the minted password no more: run the job again.",
        403: f"The index lets this workflow not publish that: read its answer above, and {OWNER}",
        409: "The index has or had this version and replaces none: run `make bump PART=patch`",
        0: "but the upload broke off: the file may be larger than the index takes",
    }
    once = {"POETRY_REQUESTS_MAX_RETRIES": "0", "UV_HTTP_RETRIES": "0"}
    for status, sentence in sentences.items():
        index.answers = {"/": (status, b"No.")}

        said = app.make("upload", ok=False, **once, **index.on_gitlab())

        assert sentence in said
        assert "make login" not in said
        assert MINTED not in said


def test_an_account_that_is_stored_is_used_as_before(client: MakeClient, server: Server) -> None:
    app = client({"trusted_publishing": True, "package_name": "by-hand", "package_manager": "uv"})
    nobody = {"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:1/?a=b"}

    said = app.make("publish", ok=True, ACTIONS_ID_TOKEN_REQUEST_TOKEN=BEARER, **nobody)

    assert f"Published by-hand 0.1.0 to {server.url()}\n" in said
    assert "The index had this version already" in app.make("publish")
