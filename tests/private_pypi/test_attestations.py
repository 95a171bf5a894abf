"""Attestations: whether they are of a file, and the object that is kept of them (PEP 740)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import attestation
from private_pypi import attestations
from private_pypi.attestations import AttestationError, kept, provenance, publisher, read

FILE, CONTENT = "my_lib-1.0-py3-none-any.whl", b"content"
DIGEST = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"

OTHER = attestation.statement("other-1.0.tar.gz", DIGEST)


def said(text: str | bytes) -> str:
    """Return why the attestations of a form are refused."""
    sent = text.encode() if isinstance(text, str) else text
    with pytest.raises(AttestationError) as refusal:
        read(sent, FILE, DIGEST)
    return str(refusal.value)


def changed(change: Callable[[Any], object]) -> str:
    """Return a field of two attestations, the second of them changed."""
    one = attestation.of(FILE, CONTENT)
    two = attestation.of(FILE, CONTENT, attestation.SLSA)
    change(two)
    return attestation.field(one, two)


def test_attestations_are_read_as_they_came() -> None:
    one = attestation.of(FILE, CONTENT)
    two = attestation.of(FILE, CONTENT, attestation.SLSA) | {"more": "PEP 740 allows it"}

    assert read(attestation.field(one).encode(), FILE, DIGEST) == [one]
    assert read(attestation.field(one, two).encode(), FILE, DIGEST) == [one, two]


@pytest.mark.parametrize("file", attestation.DIGESTS)
def test_real_attestations_are_read(file: str) -> None:
    real = attestation.real(file)

    assert read(attestation.field(real).encode(), file, attestation.DIGESTS[file]) == [real]


def test_line_breaks_in_base64_are_taken_as_older_signers_put_them() -> None:
    one = attestation.of(FILE, CONTENT)
    content = base64.b64decode(one["envelope"]["statement"])
    one["envelope"]["statement"] = base64.encodebytes(content).decode()

    assert "\n" in one["envelope"]["statement"].strip()
    assert read(attestation.field(one).encode(), FILE, DIGEST) == [one]


@pytest.mark.parametrize("name", [FILE, "My.Lib-1.0-py3-none-any.whl", "my_lib-1-py3-none-any.whl"])
def test_a_subject_may_be_spelled_otherwise(name: str) -> None:
    one = attestation.around(attestation.statement(name, DIGEST))

    assert read(attestation.field(one).encode(), FILE, DIGEST) == [one]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the field attestations is not JSON that can be read"),
        ("[" * 60_000, "the field attestations is not JSON that can be read"),
        (b"[\xff]", "the field attestations is not JSON that can be read"),
        ("[1]".encode("utf-16"), "the field attestations is not JSON that can be read"),
        ("[NaN]", "the field attestations is not JSON that can be read"),
        (f"[{'9' * 5000}]", "the field attestations is not JSON that can be read"),
        ("[]", "the field attestations is no JSON array of attestations"),
        ("{}", "the field attestations is no JSON array of attestations"),
        ("null", "the field attestations is no JSON array of attestations"),
        ("[1,2,3,4,5]", "there are 5 attestations, where 4 are allowed"),
        ("[1]", "attestation 1 is no attestation object of version 1"),
    ],
)
def test_what_is_no_array_of_attestations_is_refused(text: str | bytes, reason: str) -> None:
    assert said(text) == reason


def nested(depth: int) -> object:
    value: object = "deep"
    for _ in range(depth):
        value = [value]
    return value


def set_statement(value: object) -> Callable[[Any], object]:
    """Return a change of what an attestation says."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return lambda one: one["envelope"].update(statement=attestation.encoded(text))


STATEMENT = attestation.statement(FILE, DIGEST)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda one: one.update(version=2), "is no attestation object of version 1"),
        (lambda one: one.update(version=True), "is no attestation object of version 1"),
        (lambda one: one.update(version="1"), "is no attestation object of version 1"),
        (lambda one: one.pop("version"), "is no attestation object of version 1"),
        (lambda one: one.update(deep=nested(15)), "is nested more than 16 deep"),
        (lambda one: one.pop("verification_material"), "has no certificate"),
        (lambda one: one["verification_material"].pop("certificate"), "has no certificate"),
        (lambda one: one["verification_material"].update(certificate=""), "has no certificate"),
        (lambda one: one["verification_material"].update(certificate=1), "has no certificate"),
        (
            lambda one: one["verification_material"].update(certificate="a"),
            "has no certificate in base64",
        ),
        (
            lambda one: one["verification_material"].update(certificate="é==="),
            "has no certificate in base64",
        ),
        (
            lambda one: one["verification_material"].update(certificate="YQ==-_"),
            "has no certificate in base64",
        ),
        (
            lambda one: one["verification_material"].update(transparency_entries=[]),
            "has no entry of a transparency log",
        ),
        (
            lambda one: one["verification_material"].update(transparency_entries=["text"]),
            "has no entry of a transparency log",
        ),
        (lambda one: one.update(envelope=[]), "has no signature"),
        (lambda one: one["envelope"].pop("signature"), "has no signature"),
        (lambda one: one["envelope"].update(signature="!"), "has no signature in base64"),
        (lambda one: one["envelope"].pop("statement"), "has no statement"),
        (lambda one: one["envelope"].update(statement="!"), "has no statement in base64"),
        (set_statement([]), "is not of the type https://in-toto.io/Statement/v1"),
        (set_statement({**STATEMENT, "_type": "x"}), "is not of the type"),
        (set_statement({**STATEMENT, "predicateType": []}), "does not say what it attests"),
        (set_statement({**STATEMENT, "subject": []}), "is not of exactly one file"),
        (
            set_statement({**STATEMENT, "subject": STATEMENT["subject"] * 2}),
            "is not of exactly one file",
        ),
        (set_statement({**STATEMENT, "subject": ["x"]}), f"is of 'None', not of {FILE}"),
        (set_statement(OTHER), f"is of 'other-1.0.tar.gz', not of {FILE}"),
        (
            set_statement(attestation.statement("../\x1b[31m-1.0.tar.gz", DIGEST)),
            "is of '../\\x1b[31m-1.0.tar.gz', not of",
        ),
        (
            set_statement(attestation.statement(FILE, "0" * 64)),
            f"is of a file with the sha256 '{'0' * 64}', and {FILE} has {DIGEST}",
        ),
        (set_statement({**STATEMENT, "subject": [{"name": FILE}]}), "with the sha256 'None'"),
    ],
)
def test_what_is_no_attestation_of_the_file_is_refused_and_named(
    change: Callable[[Any], object], reason: str
) -> None:
    sentence = said(changed(change))

    assert reason in sentence
    assert "attestation 2" in sentence


def test_a_statement_that_is_no_json_is_refused_and_named() -> None:
    assert said(changed(set_statement(b"{"))) == (
        "the statement of attestation 2 is not JSON that can be read"
    )


def test_what_may_be_nested_is_more_than_a_real_one_is() -> None:
    read(changed(lambda one: one.update(deep=nested(14))).encode(), FILE, DIGEST)


def test_the_same_attestations_are_kept_as_the_same_object() -> None:
    text = attestation.field(attestation.of(FILE, CONTENT)).encode()
    whole = provenance(read(text, FILE, DIGEST), publisher("alice"))

    backwards = [dict(reversed(one.items())) for one in read(text, FILE, DIGEST)]
    assert whole == provenance(backwards, publisher("alice"))
    assert json.loads(whole) == {
        "version": 1,
        "attestation_bundles": [
            {
                "publisher": {"kind": "Account", "claims": {}, "name": "alice"},
                "attestations": [attestation.of(FILE, CONTENT)],
            }
        ],
    }


@pytest.mark.parametrize("value", ["1e999", '"\\ud800"'])
def test_what_no_json_can_hold_is_refused(value: str) -> None:
    text = json.dumps([attestation.of(FILE, CONTENT) | {"more": 0}]).replace(
        '"more": 0', f'"more": {value}'
    )
    found = read(text.encode(), FILE, DIGEST)

    with pytest.raises(AttestationError, match="have a number or a text that is no JSON"):
        provenance(found, publisher("alice"))


GITHUB = {
    "issuer": "https://token.actions.githubusercontent.com",
    "workflow": "acme/billing/.github/workflows/publish.yml@refs/tags/v1",
    "url": "https://github.com/acme/billing/actions/runs/1",
}
GITLAB = {
    "issuer": "https://gitlab.com",
    "workflow": "gitlab.com/acme/team/billing//.gitlab-ci.yml@refs/heads/main",
    "url": "https://gitlab.com/acme/team/billing/-/jobs/1",
}


def test_a_trusted_publisher_is_named_as_pypi_names_it() -> None:
    assert publisher("acme/billing publish.yml", GITHUB) == {
        "kind": "GitHub",
        "claims": {},
        "repository": "acme/billing",
        "workflow": "publish.yml",
    }
    assert publisher("acme/team/billing", GITLAB) == {
        "kind": "GitLab",
        "claims": {},
        "repository": "acme/team/billing",
        "workflow_filepath": ".gitlab-ci.yml",
    }


@pytest.mark.parametrize(
    "job",
    [
        GITHUB | {"issuer": "https://github.acme.example/_services/token"},
        GITHUB | {"workflow": "acme/shared/.github/workflows/publish.yml@main"},
        GITHUB | {"workflow": ""},
        GITLAB | {"issuer": "https://gitlab.acme.example"},
        {"issuer": "https://ci.acme.example"},
    ],
)
def test_no_publisher_passes_for_one_that_pypi_knows(job: dict[str, str]) -> None:
    assert publisher("acme/billing ci", job) == {
        "kind": "OpenID Connect",
        "claims": {},
        "issuer": job["issuer"],
        "name": "acme/billing ci",
    }


def test_a_kept_object_is_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(attestation.provenance(attestation.of(FILE, CONTENT)))

    assert len(kept(path, FILE, DIGEST)) == 64
    with pytest.raises(AttestationError, match=r"attestation 1 is of .*, not of other-1\.0\.zip"):
        kept(path, "other-1.0.zip", DIGEST)
    with pytest.raises(AttestationError, match="with the sha256"):
        kept(path, FILE, "0" * 64)


ONE = attestation.of(FILE, CONTENT)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not JSON that can be read"),
        (b"signed", "it is not JSON that can be read"),
        (b"[]", "it is no provenance object of version 1"),
        (b'{"version": 2}', "it is no provenance object of version 1"),
        (b'{"version": 1, "attestation_bundles": []}', "it is no provenance object of version 1"),
        (b'{"version": 1, "attestation_bundles": 1}', "it has a bundle without"),
        (b'{"version": 1, "attestation_bundles": [1]}', "it has a bundle without"),
        (attestation.provenance(), "it has a bundle without"),
        (attestation.provenance(ONE, publisher={"kind": 1}), "it has a bundle without"),
        (attestation.provenance(ONE, publisher=["kind"]), "it has a bundle without"),
        (attestation.provenance(1), "attestation 1 is no attestation object"),
    ],
)
def test_a_kept_object_that_is_damaged_is_told(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "kept"
    path.write_bytes(content)

    with pytest.raises(AttestationError) as refusal:
        kept(path, FILE, DIGEST)
    assert reason in str(refusal.value)


def test_a_kept_object_may_have_256_kb_and_no_byte_more(tmp_path: Path) -> None:
    content = attestation.provenance(ONE)
    path = tmp_path / "kept"
    path.write_bytes(content + b" " * (attestations.PROVENANCE - len(content)))
    kept(path, FILE, DIGEST)

    with path.open("ab") as file:
        file.write(b" ")
    with pytest.raises(AttestationError, match=r"^it has more than 256 kB$"):
        kept(path, FILE, DIGEST)
