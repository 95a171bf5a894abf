"""Attestations of a distribution (PEP 740): checked for their form, and kept as one object.

A signature is not verified here. That takes the keys of Sigstore, which come over a network, and
this index has none: `make pypi-attestations` verifies, apart from it. What is checked is all that
can be without keys: that the attestations can be read, and that each says it is of this very file.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from .distribution import DistributionError, identity
from .terminal import quoted

FORM = 2**16
"""Bytes that the attestations of an upload may have: a real one has 5 to 12 thousand."""

MOST = 4
"""Attestations that may come with an upload: PyPI takes one of each of the two types."""

DEPTH = 16
"""How deep the values of an attestation may be nested: those of a real one are 7 deep."""

PROVENANCE = 2**18
"""Bytes that a kept provenance object may have; more than FORM, as one may be put there by hand."""

CONTENT_TYPE = "application/vnd.pypi.integrity.v1+json"
"""As PyPI serves provenance objects."""

STATEMENT = "https://in-toto.io/Statement/v1"
_GITHUB, _GITLAB = "https://token.actions.githubusercontent.com", "https://gitlab.com"
_GITHUB_WORKFLOW = re.compile(r"([^/@]+/[^/@]+)/\.github/workflows/([^/@]+)@.+")
_GITLAB_PIPELINE = re.compile(r"gitlab\.com/([^@]+?)//([^@]+)@.+")


class AttestationError(ValueError):
    """Attestations cannot be kept; the message is the part of a sentence that says why."""


def read(text: bytes, file: str, digest: str) -> list[dict[str, Any]]:
    """Return the attestations of an upload's form field `attestations`, checked for their form.

    Args:
        text: a JSON array of attestation objects (PEP 740).
        file: the name of the distribution that they must be of.
        digest: its sha256, in hex digits.

    Raises:
        AttestationError: if they are not attestations of that file.
    """
    values = _json(text, "the field attestations")
    if not isinstance(values, list) or not values:
        raise AttestationError("the field attestations is no JSON array of attestations")
    if len(values) > MOST:
        raise AttestationError(f"there are {len(values)} attestations, where {MOST} are allowed")
    _check(values, file, digest)
    return values


def provenance(attestations: list[dict[str, Any]], publisher: Mapping[str, object]) -> bytes:
    """Return the provenance object (PEP 740) of attestations; always the same for the same ones.

    Raises:
        AttestationError: if a value in them cannot be written as JSON.
    """
    bundle = {"publisher": publisher, "attestations": attestations}
    whole = {"version": 1, "attestation_bundles": [bundle]}
    try:
        # Sorted: uv sorts the keys of what it sends, and twine does not.
        text = json.dumps(
            whole, allow_nan=False, ensure_ascii=False, separators=(",", ":"), sort_keys=True
        )
        return text.encode()
    except ValueError:
        raise AttestationError("the attestations have a number or a text that is no JSON") from None


def publisher(account: str, job: Mapping[str, str] | None = None) -> dict[str, object]:
    """Return the publisher of a provenance object: who sent the file, as the index knows it.

    The kinds GitHub and GitLab are as PyPI has them, so that readers which verify know what to
    compare a certificate with. Nothing else claims to be of such a kind: a reader that knows only
    PyPI's kinds has to take the attestations one by one.

    Args:
        account: the account, or the name of the trusted publisher.
        job: the publisher of the journal's record if it was a trusted one.
    """
    if not job:
        return {"kind": "Account", "claims": {}, "name": account}
    issuer, workflow, url = (job.get(key, "") for key in ("issuer", "workflow", "url"))
    if issuer == _GITHUB and (found := _GITHUB_WORKFLOW.fullmatch(workflow)):
        repository, file = found.groups()
        # A workflow that another repository lends has no kind: it is not where the job ran.
        if url.startswith(f"https://github.com/{repository}/"):
            return {"kind": "GitHub", "claims": {}, "repository": repository, "workflow": file}
    if issuer == _GITLAB and (found := _GITLAB_PIPELINE.fullmatch(workflow)):
        repository, file = found.groups()
        return {"kind": "GitLab", "claims": {}, "repository": repository, "workflow_filepath": file}
    return {"kind": "OpenID Connect", "claims": {}, "issuer": issuer, "name": account}


def kept(path: Path, file: str, digest: str) -> str:
    """Return the sha256 of a provenance object that can be served beside a distribution.

    Args:
        file, digest: of the distribution, as for read().

    Raises:
        AttestationError: if it is none, or not of that file.
        OSError: if it cannot be read.
    """
    with path.open("rb") as opened:
        content = opened.read(PROVENANCE + 1)
    if len(content) > PROVENANCE:
        raise AttestationError(f"it has more than {PROVENANCE // 2**10} kB")
    _check(_attestations(_json(content, "it")), file, digest)
    return sha256(content).hexdigest()


def _attestations(value: object) -> list[object]:
    """Return all attestations of a provenance object."""
    bundles = value.get("attestation_bundles") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not _is_one(value) or not bundles:
        raise AttestationError("it is no provenance object of version 1")
    found: list[object] = []
    for bundle in bundles if isinstance(bundles, list) else [None]:
        kind = _of(_of(bundle, "publisher"), "kind")
        attestations = _of(bundle, "attestations")
        if not isinstance(kind, str) or not isinstance(attestations, list) or not attestations:
            raise AttestationError("it has a bundle without attestations or the kind of publisher")
        found += attestations
    return found


def _check(attestations: Iterable[object], file: str, digest: str) -> None:
    for number, one in enumerate(attestations, start=1):
        which = f"attestation {number}"
        if not isinstance(one, dict) or not _is_one(one):
            raise AttestationError(f"{which} is no attestation object of version 1")
        if _depth(one) > DEPTH:
            raise AttestationError(f"{which} is nested more than {DEPTH} deep")
        material, envelope = one.get("verification_material"), one.get("envelope")
        _decoded(_of(material, "certificate"), f"{which} has no certificate")
        entries = _of(material, "transparency_entries")
        if not isinstance(entries, list) or not entries or not all(map(_is_object, entries)):
            raise AttestationError(f"{which} has no entry of a transparency log")
        _decoded(_of(envelope, "signature"), f"{which} has no signature")
        statement = _decoded(_of(envelope, "statement"), f"{which} has no statement")
        _check_statement(_json(statement, f"the statement of {which}"), which, file, digest)


def _check_statement(statement: object, which: str, file: str, digest: str) -> None:
    if _of(statement, "_type") != STATEMENT:
        raise AttestationError(f"the statement of {which} is not of the type {STATEMENT}")
    # PEP 740 has two types, and a later one has to be kept as well.
    if not isinstance(_of(statement, "predicateType"), str):
        raise AttestationError(f"the statement of {which} does not say what it attests")
    subjects = _of(statement, "subject")
    if not isinstance(subjects, list) or len(subjects) != 1:
        raise AttestationError(f"{which} is not of exactly one file")
    name, attested = _of(subjects[0], "name"), _of(_of(subjects[0], "digest"), "sha256")
    if not isinstance(name, str) or _identity(name) != identity(file):
        raise AttestationError(f"{which} is of {quoted(str(name))}, not of {file}")
    if attested != digest:
        raise AttestationError(
            f"{which} is of a file with the sha256 {quoted(str(attested))}, and {file} has {digest}"
        )


def _json(text: bytes, what: str) -> object:
    try:
        return json.loads(text.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise AttestationError(f"{what} is not JSON that can be read") from None


def _refuse_constant(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")


def _decoded(value: object, complaint: str) -> bytes:
    """Return what base64 stands for; some signers put line breaks into it."""
    text = "".join(value.split()) if isinstance(value, str) else ""
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError:
        raise AttestationError(f"{complaint} in base64") from None
    if not content:
        raise AttestationError(complaint)
    return content


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [child for one in level for child in _children(one)]
    return depth


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _of(value: object, key: str) -> object:
    """Return a value of a JSON object, None if it has none or is no object."""
    return value.get(key) if isinstance(value, dict) else None


def _is_one(value: dict[str, object]) -> bool:
    version = value.get("version")
    return version == 1 and type(version) is int


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _identity(name: str) -> str | None:
    try:
        return identity(name)
    except DistributionError:
        return None
