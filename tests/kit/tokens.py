"""Tokens as CI services sign them (RFC 7515, RFC 7519), and as attackers do.

They are put together letter by letter, and signed with cryptography alone: the library that
verifies them has no part in it.
"""

from __future__ import annotations

import base64
import hmac
import itertools
import json
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from private_pypi.trust import issuers

ISSUER = "https://token.actions.githubusercontent.com"
AUDIENCE = "pypi.example.com"
PUBLISHERS = f"""\
[[publisher]]
name = "acme/billing publish.yml"
issuer = "{ISSUER}"
projects = ["my-private-lib", "acme-*"]

[publisher.claims]
repository = "acme/billing"
repository_id = "123"
repository_owner_id = "45"
job_workflow_ref = "acme/billing/.github/workflows/publish.yml@*"
"""
"""The content of .publishers.toml with one publisher."""

Claims = dict[str, object]
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_numbers = itertools.count()


@cache
def rsa_key(bits: int = 2048, number: int = 0) -> rsa.RSAPrivateKey:
    """Return a key, for each number another one."""
    del number
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    """Return a key of a curve."""
    return ec.generate_private_key(curve())


def jwk(key: Private, kid: object = "one", **more: object) -> Claims:
    """Return the public half as an issuer publishes it (RFC 7517), with more members or others."""
    if isinstance(key, rsa.RSAPrivateKey):
        public = key.public_key().public_numbers()
        members = {"kty": "RSA", "n": _number(public.n), "e": _number(public.e)}
    else:
        numbers = key.public_key().public_numbers()
        size = (key.curve.key_size + 7) // 8
        members = {
            "kty": "EC",
            "crv": {"secp256r1": "P-256", "secp384r1": "P-384"}[key.curve.name],
            "x": _number(numbers.x, size),
            "y": _number(numbers.y, size),
        }
    return {**members, "kid": kid, "use": "sig", **more}


def pem(key: Private) -> bytes:
    """Return the public half in PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


def claims(now: float | None = None, **changed: object) -> Claims:
    """Return the claims of a job that PUBLISHERS trusts; a claim that is None is left out."""
    issued = int(time.time() if now is None else now)
    told = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "repo:acme/billing:ref:refs/heads/main",
        "jti": f"token {next(_numbers)}",
        "iat": issued,
        "nbf": issued - 60,
        "exp": issued + 900,
        "repository": "acme/billing",
        "repository_id": "123",
        "repository_owner_id": "45",
        "job_workflow_ref": "acme/billing/.github/workflows/publish.yml@refs/heads/main",
        "sha": "0123abc",
        "run_id": "77",
        **changed,
    }
    return {name: value for name, value in told.items() if value is not None}


def signed(
    said: Mapping[str, object] | bytes, key: Private | bytes | None = None, /, **header: object
) -> str:
    """Return a token.

    Args:
        said: the claims, or the bytes in their place.
        key: that signs; a secret signs by HMAC; without one rsa_key() does.
        header: what it has beside or in place of `alg` and `kid`; what is None is left out.
    """
    key = rsa_key() if key is None else key
    algorithm = "HS256" if isinstance(key, bytes) else "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        algorithm = {256: "ES256", 384: "ES384"}[key.curve.key_size]
    whole = {"alg": algorithm, "kid": "one", "typ": "JWT", **header}
    head = json.dumps({name: value for name, value in whole.items() if value is not None})
    payload = said if isinstance(said, bytes) else json.dumps(said).encode()
    content = f"{encoded(head.encode())}.{encoded(payload)}"
    return f"{content}.{encoded(_signature(content.encode(), key))}"


def encoded(content: bytes) -> str:
    """Return bytes in base64 as tokens have it."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def trust(auth: Path, keys: Path, *published: Claims) -> None:
    """Trust the publisher of PUBLISHERS, and have these keys of its issuer, or its usual one."""
    (auth / ".publishers.toml").write_text(PUBLISHERS)
    keys.mkdir(exist_ok=True)
    # Typed loosely by whoever writes what was fetched: anything may stand there.
    told = {"issuer": ISSUER, "fetched": int(time.time()), "keys": published or [jwk(rsa_key())]}
    issuers.path_of(keys, ISSUER).write_text(json.dumps(told))


def _signature(content: bytes, key: Private | bytes) -> bytes:
    if isinstance(key, bytes):
        return hmac.digest(key, content, "sha256")
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(content, padding.PKCS1v15(), hashes.SHA256())
    digest = hashes.SHA256() if key.curve.key_size == 256 else hashes.SHA384()
    size = key.curve.key_size // 8
    r, s = utils.decode_dss_signature(key.sign(content, ec.ECDSA(digest)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def _number(value: int, size: int = 0) -> str:
    return encoded(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))
