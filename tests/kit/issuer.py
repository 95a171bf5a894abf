"""An issuer of ID tokens (OpenID Connect Core 1.0), as CI services are, on this machine.

It signs whatever a test claims. No Python package of an issuer lets a test set each claim and
replace the keys. The library that signs is another one than the server's, so that no mistake of one
of them stays unseen.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import secrets
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey, KeyParameters, RSAKey

from kit.authority import Authority
from kit.serving import serving

Claims = dict[str, object]

REPOSITORY, REPOSITORY_ID, OWNER_ID = "acme/billing", "674217301", "20115843"
"""A repository of GitHub, and the ids that it and its owner keep when they are renamed."""
WORKFLOW = f"{REPOSITORY}/.github/workflows/publish.yml@refs/tags/v1.0.0"
COMMIT, RUN = "0123456789abcdef0123456789abcdef01234567", "7654321098"
"""What the tokens of GitHub's say of the run that asks for them."""

PROJECT, PROJECT_ID, NAMESPACE_ID = "acme/billing", "4711", "815"
CONFIGURATION = "gitlab.acme.com/acme/billing//.gitlab-ci.yml@refs/tags/v1.0.0"
PIPELINE, JOB = "31415", "27182"
"""The same of GitLab."""


class SigningKey:
    """A key pair of an issuer.

    Args:
        algorithm: RS256 or ES256 (RFC 7518).
    """

    def __init__(self, algorithm: str = "RS256") -> None:
        self.algorithm, self.kid = algorithm, secrets.token_hex(8)
        more: KeyParameters = {"kid": self.kid, "use": "sig", "alg": algorithm}
        self._key: RSAKey | ECKey = (
            RSAKey.generate_key(2048, more)
            if algorithm == "RS256"
            else ECKey.generate_key("P-256", more)
        )

    def public(self) -> dict[str, object]:
        """Return the public half as a JWK (RFC 7517)."""
        return dict(self._key.as_dict(private=False))

    def public_pem(self) -> bytes:
        """Return the public half in PEM, as everybody can make it of the JWK."""
        return self._key.as_pem(private=False)

    def sign(self, claims: Claims, **header: object) -> str:
        """Return a token (RFC 7519) with these claims.

        Args:
            header: what its header has beside or in place of `alg`, `kid` and `typ`; None leaves a
                value out.
        """
        whole = {"alg": self.algorithm, "kid": self.kid, "typ": "JWT", **header}
        given = {name: value for name, value in whole.items() if value is not None}
        # Not by joserfc.jwt, which refuses claims that no issuer should send.
        content = json.dumps(claims).encode()
        return jws.serialize_compact(given, content, self._key, algorithms=[self.algorithm])


def unsigned(claims: Claims, **header: object) -> str:
    """Return a token that says it needs no signature, and has none (RFC 7519, 6)."""
    return f"{_part({'alg': 'none', 'typ': 'JWT', **header})}.{_part(claims)}."


def signed_with_secret(claims: Claims, secret: bytes, **header: object) -> str:
    """Return a token with a MAC (HS256), for which a public key may be taken as the secret."""
    content = f"{_part({'alg': 'HS256', 'typ': 'JWT', **header})}.{_part(claims)}"
    return f"{content}.{_base64(hmac.digest(secret, content.encode(), 'sha256'))}"


@dataclass
class Issuer:
    """An issuer that runs.

    Attributes:
        url: by which tokens and publishers name it, without a slash at the end.
        keys: those that it publishes; the last one signs.
        works: whether it answers; if not, it answers 503 to everything.
        ahead: seconds by which its clock is ahead of this machine's.
        requests: the paths that it was asked for, with their queries.
    """

    url: str
    keys: list[SigningKey] = field(default_factory=lambda: [SigningKey()])
    works: bool = True
    ahead: int = 0
    requests: list[str] = field(default_factory=list)
    _runs: dict[str, Claims] = field(default_factory=dict)

    def now(self) -> int:
        """Return the time by its clock, in seconds of the epoch."""
        return int(time.time()) + self.ahead

    def rotate(self, algorithm: str = "RS256") -> SigningKey:
        """Replace all keys by a new one; return the one that signed so far."""
        old = self.keys[-1]
        self.keys = [SigningKey(algorithm)]
        return old

    def github(self, audience: str, **changed: object) -> Claims:
        """Return the claims of a run of GitHub Actions.

        Args:
            audience: whom the token is for.
            changed: claims that differ; None leaves one out.
        """
        now = self.now()
        owner = REPOSITORY.partition("/")[0]
        claims = {
            "iss": self.url,
            "aud": audience,
            "sub": f"repo:{REPOSITORY}:ref:refs/tags/v1.0.0",
            "jti": str(uuid.uuid4()),
            "iat": now,
            # As GitHub has them.
            "nbf": now - 600,
            "exp": now + 300,
            "actor": "alice",
            "actor_id": "98765",
            "base_ref": "",
            "event_name": "push",
            "head_ref": "",
            "job_workflow_ref": WORKFLOW,
            "job_workflow_sha": COMMIT,
            "ref": "refs/tags/v1.0.0",
            "ref_protected": "false",
            "ref_type": "tag",
            "repository": REPOSITORY,
            "repository_id": REPOSITORY_ID,
            "repository_owner": owner,
            "repository_owner_id": OWNER_ID,
            "repository_visibility": "private",
            "run_attempt": "1",
            "run_id": RUN,
            "run_number": "42",
            "runner_environment": "github-hosted",
            "sha": COMMIT,
            "workflow": "publish",
            "workflow_ref": WORKFLOW,
            "workflow_sha": COMMIT,
        }
        return _with(claims, changed)

    def gitlab(self, audience: str, **changed: object) -> Claims:
        """Return the claims of a job of GitLab CI; arguments as github() has them."""
        now = self.now()
        claims = {
            "iss": self.url,
            "aud": audience,
            "sub": f"project_path:{PROJECT}:ref_type:tag:ref:v1.0.0",
            "jti": str(uuid.uuid4()),
            "iat": now,
            "nbf": now - 5,
            "exp": now + 3600,
            "ci_config_ref_uri": CONFIGURATION,
            "ci_config_sha": COMMIT,
            "job_id": JOB,
            "namespace_id": NAMESPACE_ID,
            "namespace_path": PROJECT.partition("/")[0],
            "pipeline_id": PIPELINE,
            "pipeline_source": "push",
            "project_id": PROJECT_ID,
            "project_path": PROJECT,
            "project_visibility": "private",
            "ref": "v1.0.0",
            "ref_path": "refs/tags/v1.0.0",
            "ref_protected": "true",
            "ref_type": "tag",
            "runner_environment": "self-hosted",
            "runner_id": 7,
            "sha": COMMIT,
            "user_id": "98765",
            "user_login": "alice",
        }
        return _with(claims, changed)

    def sign(self, claims: Claims, **header: object) -> str:
        """Return a token with these claims, as SigningKey.sign() does, by the newest key."""
        return self.keys[-1].sign(claims, **header)

    def runner_of_github(self, **changed: object) -> dict[str, Any]:
        """Return what the environment of a job with `id-token: write` has more than others.

        Args:
            changed: as github() has it, of the tokens that the job is given.
        """
        secret = secrets.token_urlsafe(32)
        self._runs[secret] = changed
        return {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_RUN_ID": RUN,
            "GITHUB_SHA": COMMIT,
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/jobs/1/idtoken?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": secret,
        }

    def runner_of_gitlab(self, audience: str, **changed: object) -> dict[str, Any]:
        """Return what the environment of a job with `id_tokens` has more than others.

        The variable is named as uv and the `id` package look for it.
        """
        name = f"{re.sub('[^A-Z0-9]', '_', audience.upper())}_ID_TOKEN"
        return {
            "CI": "true",
            "GITLAB_CI": "true",
            name: self.sign(self.gitlab(audience, **changed)),
        }

    def answer(self, path: str, authorization: str) -> tuple[int, object]:
        """Return status and JSON for a GET request."""
        self.requests.append(path)
        parts = urlsplit(path)
        if not self.works:
            return 503, {"message": "The issuer is being repaired."}
        if parts.path == "/.well-known/openid-configuration":
            return 200, self._discovery()
        if parts.path == "/jwks":
            return 200, {"keys": [key.public() for key in self.keys]}
        if parts.path == "/jobs/1/idtoken":
            return self._token_of_run(authorization, parse_qs(parts.query))
        return 404, {"message": "Not Found"}

    def _discovery(self) -> dict[str, object]:
        """Return what OpenID Connect Discovery 1.0 has a service say of itself."""
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks",
            "subject_types_supported": ["public", "pairwise"],
            "response_types_supported": ["id_token"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "scopes_supported": ["openid"],
            "claims_supported": ["sub", "aud", "exp", "iat", "iss", "jti", "nbf"],
        }

    def _token_of_run(
        self, authorization: str, query: Mapping[str, list[str]]
    ) -> tuple[int, object]:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or secret not in self._runs:
            return 401, {"message": "Unauthorized"}
        (audience,) = query.get("audience", ["https://github.com/acme"])
        token = self.sign(self.github(audience, **self._runs[secret]))
        return 200, {"count": len(token), "value": token}


@contextmanager
def running(authority: Authority, host: str = "localhost") -> Iterator[Issuer]:
    """Run an issuer on a free port of this machine, over TLS.

    Args:
        authority: signs its certificate.
        host: the name in its URL, which leads to this machine.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, said = issuer.answer(self.path, self.headers.get("Authorization", ""))
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler, context=authority.pair(host).context()) as port:
        issuer = Issuer(f"https://{host}:{port}")
        yield issuer


def _with(claims: Claims, changed: Claims) -> Claims:
    return {name: value for name, value in {**claims, **changed}.items() if value is not None}


def _part(value: Mapping[str, object]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
