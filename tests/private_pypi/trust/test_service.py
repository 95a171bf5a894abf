"""What a CI job is answered that asks for a password, and what is written down of refusals."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from kit.template import ROOT
from kit.tokens import AUDIENCE, ISSUER, PUBLISHERS, claims, jwk, rsa_key, signed, trust
from kit.wsgi import Answer, call
from private_pypi.body import Body
from private_pypi.settings import Settings
from private_pypi.trust import issuers, refused
from private_pypi.trust.refused import MOST_LINES, RefusedError, RefusedLog
from private_pypi.trust.routes import AUDIENCE as WHERE_AUDIENCE
from private_pypi.trust.routes import MINT, MOST_BYTES
from private_pypi.trust.service import TrustService


class Service:
    """The service with the publisher of PUBLISHERS, and a clock that stands until it is moved."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = dataclasses.replace(settings, keys=folder / "keys")
        self.settings.index.mkdir()
        trust(self.settings.auth, self.settings.keys)
        self.now = time.time()
        self.service = TrustService(self.settings, lambda: self.now)

    def request(self, method: str, path: str, body: bytes = b"", **environ: Any) -> Answer:
        """Send a request."""

        def application(environ: dict[str, Any], start_response: Any) -> Any:
            environ["wsgi.input"] = Body(environ)
            return self.service.answer(environ).send(start_response)

        return call(application, method, path, body=body, **environ)

    def mint(self, token: object) -> Answer:
        """Ask for a password."""
        return self.request("POST", MINT, json.dumps({"token": token}).encode())

    def claims(self, **changed: object) -> dict[str, object]:
        """Return the claims of a token of now."""
        return claims(self.now + 1, **changed)

    def log(self) -> list[dict[str, str]]:
        """Return the lines of the log of refused tokens."""
        path = self.settings.index / refused.FILE
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def service(settings: Settings, tmp_path: Path) -> Service:
    """The service of a process that has just started."""
    return Service(settings, tmp_path)


def why(answer: Answer, status: int = 422) -> tuple[str, str]:
    """Return code and sentence of a refusal in the form of PyPI."""
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    told = json.loads(answer.content)
    assert told["message"] == "Token request failed"
    ((code, sentence),) = [(one["code"], one["description"]) for one in told["errors"]]
    return code, sentence


def test_the_audience_is_the_name_of_the_host(service: Service) -> None:
    answer = service.request("GET", WHERE_AUDIENCE)

    assert (answer.status, json.loads(answer.content)) == (200, {"audience": AUDIENCE})


def test_a_token_is_exchanged_for_a_password_as_at_pypi(service: Service) -> None:
    answer = service.mint(signed(service.claims()))

    told = json.loads(answer.content)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert told == {
        "success": True,
        "token": told["token"],
        "expires": int(service.now + 900),
    }
    minted = service.service.minted(told["token"].encode())
    assert minted
    assert minted.publisher.name == "acme/billing publish.yml"
    assert minted.job["run"] == "77"
    assert service.log() == []


def test_a_token_is_used_once(service: Service) -> None:
    token = signed(service.claims())
    assert service.mint(token).status == 200

    assert why(service.mint(token))[0] == "invalid-reuse-token"
    assert service.log()[0]["repository"] == "acme/billing"


def test_a_token_from_before_a_restart_is_refused(service: Service) -> None:
    token = signed(claims(service.now - 5))

    code, sentence = why(service.mint(token))

    assert (code, "restarted after this token" in sentence) == ("invalid-token", True)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"null",
        b"token",
        b'{"token": null}',
        b'{"token": ""}',
        b'{"token": ["x"]}',
        b'{"token": {"token": "x"}}',
        b"[" * 16_000,
        b'{"a":' * 3_000,
        b"\xff\xfe",
        b'{"token": "\\ud800"}',
        b'{"token": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_request_to_mint_is_refused_in_a_sentence(service: Service, body: bytes) -> None:
    code, sentence = why(service.request("POST", MINT, body))

    assert code == "invalid-payload"
    assert sentence.endswith(".")


def test_a_large_body_is_not_read_and_neither_is_one_without_a_length(service: Service) -> None:
    class Unreadable:
        def read(self, size: int) -> bytes:
            raise AssertionError("it was read")

    for length, more, status in (
        (str(MOST_BYTES + 1), {}, 413),
        (None, {}, 411),
        ("", {}, 411),
        (None, {"HTTP_TRANSFER_ENCODING": "chunked"}, 411),
    ):
        stream: dict[str, Any] = {"wsgi.input": Unreadable(), "CONTENT_LENGTH": length, **more}
        assert why(service.request("POST", MINT, **stream), status)[0] == "invalid-payload"


def test_a_body_that_ends_early_is_refused(service: Service) -> None:
    body = json.dumps({"token": signed(service.claims())}).encode()

    answer = service.request("POST", MINT, body[:-40], CONTENT_LENGTH=str(len(body)))

    assert why(answer)[0] == "invalid-payload"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", WHERE_AUDIENCE, 405),
        ("GET", MINT, 405),
        ("PUT", MINT, 405),
    ],
)
def test_other_methods_are_refused(service: Service, method: str, path: str, status: int) -> None:
    assert service.request(method, path).status == status


def test_without_keys_the_refusal_says_whose_fault_it_is(service: Service) -> None:
    issuers.path_of(service.settings.keys, ISSUER).unlink()

    code, sentence = why(service.mint(signed(service.claims())), 503)

    assert (code, "never fetched" in sentence) == ("not-ready", True)


def test_keys_that_are_older_than_a_day_are_none(service: Service) -> None:
    path = issuers.path_of(service.settings.keys, ISSUER)
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "fetched": int(time.time()) - 24 * 3600 - 60}))

    assert why(service.mint(signed(service.claims())), 503)[0] == "not-ready"


def test_keys_that_are_replaced_count_at_once(service: Service) -> None:
    new = rsa_key(2048, 2)
    trust(service.settings.auth, service.settings.keys, jwk(new, "two"))

    assert why(service.mint(signed(service.claims())))[0] == "invalid-token"
    assert service.mint(signed(service.claims(), new, kid="two")).status == 200


def test_a_publisher_that_is_removed_is_trusted_no_more_at_once(service: Service) -> None:
    minted = json.loads(service.mint(signed(service.claims())).content)["token"].encode()
    file = service.settings.auth / ".publishers.toml"

    file.write_text(PUBLISHERS.replace('"my-private-lib", ', ""))
    assert service.service.minted(minted) is None
    file.write_text(PUBLISHERS)
    assert service.service.minted(minted)
    file.unlink()
    assert service.service.minted(minted) is None
    assert "the issuer" in why(service.mint(signed(service.claims())))[1]
    file.write_text("this is no TOML")
    assert service.service.minted(minted) is None


def test_the_publishers_are_told_as_accounts_that_publish_their_projects(service: Service) -> None:
    (account,) = service.service.accounts()

    assert (account.name, account.role) == ("acme/billing publish.yml", "publisher")
    assert account.rights.covers("acme-x")
    assert not account.rights.covers("ledger")


# What is written down ----------------------------------------------------------------------------


def test_a_refused_token_is_written_down_with_what_its_issuer_vouches_for(
    service: Service,
) -> None:
    service.mint(signed(service.claims(environment=5, job_workflow_ref="acme/billing/evil.yml@x")))
    service.mint(signed(service.claims(), rsa_key(2048, 2)))

    first, second = service.log()
    assert (first["issuer"], first["repository"]) == (ISSUER, "acme/billing")
    assert "job_workflow_ref is 'acme/billing/evil.yml@x'" in first["reason"]
    # Anybody may claim to be a repository.
    assert (second["issuer"], second["repository"]) == ("", "")
    assert "did not sign" in second["reason"]


def test_a_flood_has_sixty_lines_a_minute_and_does_not_push_signed_tokens_out(
    service: Service,
) -> None:
    for _ in range(MOST_LINES + 20):
        service.mint("x.y.z")
    assert len(service.log()) == MOST_LINES

    assert service.mint(signed(service.claims(aud="pypi"))).status == 422
    assert len(service.log()) == MOST_LINES + 1
    service.now += 60
    service.mint("x.y.z")
    assert len(service.log()) == MOST_LINES + 2


def test_signed_tokens_of_strangers_do_not_push_out_those_of_the_owner(
    service: Service,
) -> None:
    stranger = {"repository": "evil/x", "repository_id": "9", "repository_owner_id": "8"}
    for number in range(MOST_LINES // 2 + 10):
        service.mint(signed(service.claims(**stranger, sub=f"repo:evil/x:{number}")))
        service.mint(signed(service.claims(**stranger, sub="repo:evil/x", aud="elsewhere")))
    assert len(service.log()) == MOST_LINES

    for changed in ({"aud": "pypi"}, {"job_workflow_ref": "acme/billing/evil.yml@x"}):
        assert service.mint(signed(service.claims(**changed))).status == 422
    used = signed(service.claims())
    assert [service.mint(used).status for _ in range(2)] == [200, 422]
    assert len(service.log()) == MOST_LINES + 3


def test_the_log_has_two_files_at_most(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refused, "MOST_BYTES", 2000)
    folder = service.settings.index
    for _ in range(60):
        service.mint("x.y.z")

    sizes = {path.name: path.stat().st_size for path in folder.glob("refused*")}
    assert sizes.keys() <= {refused.FILE, refused.OLDER}
    assert max(sizes.values()) < 2200
    assert 20 < len(list(refused.read(folder))) < 60


def test_a_log_that_cannot_be_written_refuses_as_well(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    (service.settings.index / refused.FILE).mkdir()

    assert service.mint("x.y.z").status == 422
    assert caplog.messages == ["pypi_index/refused.jsonl cannot be written: Is a directory"]


def test_a_line_of_the_log_is_short_and_a_damaged_one_is_left_out(tmp_path: Path) -> None:
    error = RefusedError("x", "y" * 5000)
    error.issuer, error.claims = "z" * 5000, {"repository": "w" * 5000}
    RefusedLog(tmp_path).note(error)
    with (tmp_path / refused.FILE).open("ab") as file:
        file.write(b'\xff\n[]\n{"time": "yesterday"}\n{"time": 5}\n' + b"[" * 9000 + b"\n{")

    assert (tmp_path / refused.FILE).read_bytes().index(b"\xff") < 1700
    (line,) = refused.read(tmp_path)

    assert (len(line.reason), len(line.issuer), len(line.repository)) == (500, 500, 500)


# What it costs -----------------------------------------------------------------------------------


def test_a_server_without_publishers_loads_no_cryptography() -> None:
    program = (
        "import sys, private_pypi.app, private_pypi.gateway\n"
        "print([name for name in ('jwt', 'cryptography') if name in sys.modules])"
    )

    printed = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT / "template/server/private_pypi")},
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert printed == "[]\n"


def test_of_many_requests_with_one_token_one_gets_a_password(service: Service) -> None:
    token, statuses = signed(service.claims()), []
    at_once = threading.Barrier(8)

    def send() -> None:
        at_once.wait()
        statuses.append(service.mint(token).status)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [200, *[422] * 7]
