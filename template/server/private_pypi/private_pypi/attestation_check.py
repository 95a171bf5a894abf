"""Verifies attestations, for `make pypi-attestations`: in a container that has nothing to lose.

It takes what `python -m private_pypi provenance` prints, and knows neither the index nor its files:
an attestation is of a file name and a digest. The keys of Sigstore come over the network, by TUF.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from cryptography import x509
from pydantic import TypeAdapter, ValidationError
from pypi_attestations import Attestation, AttestationError, Distribution, Publisher
from sigstore.errors import Error as SigstoreError
from sigstore.verify.policy import UnsafeNoOp

_ISSUER = "1.3.6.1.4.1.57264.1.8"
_KINDS = ("GitHub", "GitLab")
"""Kinds of publishers of which is known what their certificates must say."""


class NotVerifiedError(Exception):
    """An attestation is not verified; the message says why."""


def main(arguments: list[str] | None = None) -> int:
    """Print one line for each attestation on standard input; return 1 unless all are verified."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--offline", action="store_true")
    options = parser.parse_args(arguments)
    # It warns of each policy that takes any signer: here, the line names the signer.
    logging.getLogger("sigstore").setLevel(logging.ERROR)
    count = failed = 0
    for line in sys.stdin:
        for sentence, is_verified in results(json.loads(line), offline=options.offline):
            print("".join(letter if letter.isprintable() else "?" for letter in sentence))
            count += 1
            failed += not is_verified
    if not count:
        print("error: there is nothing to verify", file=sys.stderr)
    elif failed:
        print(f"error: {failed} of {count} lines are not verified, see above", file=sys.stderr)
    return 1 if failed or not count else 0


def results(file: dict[str, Any], *, offline: bool) -> Iterator[tuple[str, bool]]:
    """Yield for each attestation of a file a sentence, and whether it is verified.

    Args:
        file: its name, sha256 and provenance object (PEP 740), None if it has none.
        offline: take the keys that came with the library.
    """
    name = file["file"]
    if file["provenance"] is None:
        yield f"{name}: not verified: no attestations came with it", False
        return
    for publisher, attestation in _attestations(file["provenance"]):
        try:
            said = _verified(name, file["sha256"], publisher, attestation, offline=offline)
            yield f"{name}: verified: {said}", True
        except NotVerifiedError as error:
            yield f"{name}: not verified: {error}", False


def _attestations(provenance: dict[str, Any]) -> Iterable[tuple[dict[str, Any], object]]:
    for bundle in provenance["attestation_bundles"]:
        for attestation in bundle["attestations"]:
            yield bundle["publisher"], attestation


def _verified(
    name: str, sha256: str, publisher: dict[str, Any], attestation: object, *, offline: bool
) -> str:
    """Return what a verified attestation says, and by whom.

    Raises:
        NotVerifiedError: if it is not.
    """
    try:
        read = Attestation.model_validate(attestation)
        of = Distribution(name=name, digest=sha256)
        # Of an account is not known who signs for it: that is for the reader of the line to judge.
        is_known = publisher["kind"] in _KINDS
        expected = TypeAdapter(Publisher).validate_python(publisher) if is_known else UnsafeNoOp()
        kind, _ = read.verify(expected, of, offline=offline)
    except (AttestationError, SigstoreError) as error:
        raise NotVerifiedError(_line(error)) from None
    except ValidationError as error:
        raise NotVerifiedError(f"it is no attestation: {error.errors()[0]['msg']}") from None
    who = "which published it" if is_known else f"sent by {publisher.get('name')}"
    return f"{kind} by {_signer(read)}, {who}"


def _signer(attestation: Attestation) -> str:
    """Return whom the certificate of a verified attestation names, and who says so."""
    certificate = x509.load_der_x509_certificate(attestation.verification_material.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    subject = ", ".join(str(name.value) for name in names)
    issuer = attestation.certificate_claims.get(_ISSUER, "an unknown issuer")
    return f"{subject} (says {issuer})"


def _line(error: Exception) -> str:
    return " ".join(str(error).removeprefix("Verification failed: ").split())


if __name__ == "__main__":
    sys.exit(main())
