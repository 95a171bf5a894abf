"""Attestations verified with the keys of Sigstore that come with the library: no network is needed.

What is verified was signed by GitHub Actions and GitLab CI, and everything that could be wrong with
it is made wrong in turn.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from kit import attestation
from private_pypi.attestation_check import main

FILE, OTHER = "pypi_attestations-0.0.19.tar.gz", "gitlab_oidc_project-0.0.3.tar.gz"
GITHUB = {
    "kind": "GitHub",
    "claims": {},
    "repository": "trailofbits/pypi-attestations",
    "workflow": "release.yml",
}
GITLAB = {
    "kind": "GitLab",
    "claims": {},
    "repository": "facutuesca/gitlab-oidc-project",
    "workflow_filepath": ".gitlab-ci.yml",
}
ACCOUNT = {"kind": "Account", "claims": {}, "name": "alice"}
BY_GITHUB = (
    f"{attestation.PUBLISH} by https://github.com/trailofbits/"
    "pypi-attestations/.github/workflows/release.yml@refs/tags/v0.0.19"
    " (says https://token.actions.githubusercontent.com)"
)
BY_GITLAB = (
    f"{attestation.PUBLISH} by https://gitlab.com/facutuesca/"
    "gitlab-oidc-project//.gitlab-ci.yml@refs/heads/main (says https://gitlab.com)"
)

Verify = Callable[..., tuple[int, list[str]]]


def line(
    attested: object, publisher: object = ACCOUNT, file: str = FILE, sha256: str = ""
) -> dict[str, Any]:
    """Return one file as `python -m private_pypi provenance` prints it."""
    kept = json.loads(attestation.provenance(attested, publisher=publisher))
    return {"file": file, "sha256": sha256 or attestation.DIGESTS[file], "provenance": kept}


@pytest.fixture
def verify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verify:
    """Verify files; return the exit code and the lines that were printed."""

    def run(*files: dict[str, Any]) -> tuple[int, list[str]]:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{json.dumps(f)}\n" for f in files)))
        code = main(["--offline"])
        return code, capsys.readouterr().out.splitlines()

    return run


def test_what_was_signed_is_verified_and_its_signer_named(verify: Verify) -> None:
    real, of_gitlab = attestation.real(FILE), attestation.real(OTHER)

    assert verify(
        line(real),
        line(real, GITHUB),
        line(of_gitlab, file=OTHER),
        line(of_gitlab, GITLAB, file=OTHER),
    ) == (
        0,
        [
            f"{FILE}: verified: {BY_GITHUB}, sent by alice",
            f"{FILE}: verified: {BY_GITHUB}, which published it",
            f"{OTHER}: verified: {BY_GITLAB}, sent by alice",
            f"{OTHER}: verified: {BY_GITLAB}, which published it",
        ],
    )


def with_signature_of_another() -> dict[str, Any]:
    changed = attestation.real(FILE)
    changed["envelope"]["signature"] = attestation.real(OTHER)["envelope"]["signature"]
    return changed


def with_statement(statement: object) -> dict[str, Any]:
    changed = attestation.real(FILE)
    changed["envelope"]["statement"] = attestation.encoded(json.dumps(statement).encode())
    return changed


def with_certificate_of_another() -> dict[str, Any]:
    return attestation.real(FILE) | {
        "verification_material": attestation.real(OTHER)["verification_material"]
    }


def with_log_entry_of_another() -> dict[str, Any]:
    changed = attestation.real(FILE)
    changed["verification_material"]["transparency_entries"] = attestation.real(OTHER)[
        "verification_material"
    ]["transparency_entries"]
    return changed


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (line(attestation.real(FILE), sha256="0" * 64), "does not match distribution digest"),
        (line(attestation.real(FILE), file=OTHER), "does not match distribution name"),
        (
            line(attestation.real(FILE), file=OTHER, sha256=attestation.DIGESTS[FILE]),
            "does not match distribution name",
        ),
        (line(with_signature_of_another()), "DSSE: invalid signature"),
        (
            line(with_statement(attestation.statement(FILE, "0" * 64)), sha256="0" * 64),
            "DSSE: invalid signature",
        ),
        (line(with_certificate_of_another()), "DSSE: invalid signature"),
        (line(with_log_entry_of_another()), "not valid at validation time"),
        (line(attestation.of(FILE, b"content")), "invalid X.509 certificate"),
        (line({"version": 1}), "it is no attestation: Field required"),
        (
            line(attestation.real(FILE), GITHUB | {"repository": "evil/pypi-attestations"}),
            "expected https://github.com/evil/pypi-attestations",
        ),
        (
            line(attestation.real(FILE), GITHUB | {"workflow": "other.yml"}),
            "does not match expected Trusted Publisher (other.yml @ trailofbits/",
        ),
        (line(attestation.real(FILE), GITLAB), "expected https://gitlab.com"),
        (
            {"file": FILE, "sha256": attestation.DIGESTS[FILE], "provenance": None},
            "no attestations came with it",
        ),
    ],
)
def test_what_is_wrong_is_not_verified_and_the_line_says_why(
    verify: Verify, file: dict[str, Any], reason: str
) -> None:
    code, printed = verify(file, line(attestation.real(FILE)))

    assert code == 1
    assert printed[0].startswith(f"{file['file']}: not verified: ")
    assert reason in printed[0]
    # The others are verified all the same.
    assert printed[1:] == [f"{FILE}: verified: {BY_GITHUB}, sent by alice"]


def test_nothing_acts_on_a_terminal(verify: Verify) -> None:
    _, (printed,) = verify(line(attestation.real(FILE), ACCOUNT | {"name": "\x1b[31m\n"}))

    assert printed.isprintable()


def test_nothing_to_verify_is_an_error(verify: Verify) -> None:
    assert verify() == (1, [])
