"""Attestations in the form of PEP 740: made up, which nobody signed, and real ones."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

SLSA = "https://slsa.dev/provenance/v1"

REAL = Path(__file__).with_name("attestations")
"""Attestations that GitHub and GitLab signed, by the name of the file that each is of: those with
which the package pypi-attestations tests itself (Apache License 2.0)."""
DIGESTS = {
    "gitlab_oidc_project-0.0.3.tar.gz": (
        "c1ca9b0d85df1606451098233018534497bf584362e10e4a8c21dfaea92c02a8"
    ),
    "pypi_attestations-0.0.19.tar.gz": (
        "9bb1add04b1b4e182be6b0b80931593f7a291eb49d69b4fd728a5d4cbcdc4bd3"
    ),
}
"""The sha256 of these files, of which nothing else is needed."""


def real(file: str) -> dict[str, Any]:
    """Return a real attestation."""
    read: dict[str, Any] = json.loads((REAL / f"{file}.publish.attestation").read_text())
    return read


def said(attestation: dict[str, Any]) -> dict[str, Any]:
    """Return the statement of an attestation."""
    read: dict[str, Any] = json.loads(base64.b64decode(attestation["envelope"]["statement"]))
    return read


PUBLISH = said(real("pypi_attestations-0.0.19.tar.gz"))["predicateType"]
"""What PyPI calls an attestation of who published a file."""


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def statement(file: str, sha256: str, kind: str = PUBLISH) -> dict[str, Any]:
    """Return the in-toto statement that a file has a digest."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": file, "digest": {"sha256": sha256}}],
        "predicateType": kind,
        "predicate": None,
    }


def of(file: str, content: bytes, kind: str = PUBLISH) -> dict[str, Any]:
    """Return an attestation of a file that has all that a real one has but a true signature."""
    return around(statement(file, hashlib.sha256(content).hexdigest(), kind))


def around(said: object) -> dict[str, Any]:
    """Return an attestation of a statement."""
    return {
        "version": 1,
        "verification_material": {
            "certificate": encoded(b"a certificate"),
            "transparency_entries": [{"logIndex": "1", "inclusionProof": {"hashes": ["YQ=="]}}],
        },
        "envelope": {
            "statement": encoded(json.dumps(said).encode()),
            "signature": encoded(b"a signature"),
        },
    }


def field(*attestations: object) -> str:
    """Return them as the field of an upload's form."""
    return json.dumps(attestations)


def provenance(*attestations: object, publisher: object = None) -> bytes:
    """Return them as a provenance object."""
    by = publisher or {"kind": "Account", "claims": {}, "name": "alice"}
    bundle = {"publisher": by, "attestations": attestations}
    return json.dumps({"version": 1, "attestation_bundles": [bundle]}).encode()
