"""Tokens of CI jobs: JSON Web Tokens (RFC 7519) that an issuer of OpenID Connect signed.

Nothing of a token is believed before its signature was verified, but for two names: `iss` picks one
of the issuers whom the owner of this server trusts, and `kid` one of the keys that this issuer has
published. The key alone says by which algorithm it signs. A key that a token brings or points to
(`jwk`, `jku`, `x5c`, `x5u`) is never looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import cast
from urllib.parse import quote

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.types import Options

from ..terminal import quoted
from .publishers import GITHUB, Publisher
from .refused import RefusedError

LEEWAY = 30
"""Seconds by which the clocks of an issuer and of this server may differ."""
LIFE = 60 * 60
"""Seconds after which a token has ended whatever it says. GitLab's say the time that a job has."""
RSA_BITS = 2048
LONGEST_ID = 200
"""Letters of a `jti`."""

Claims = Mapping[str, object]

# The members of a public key (RFC 7518) by its type, and the algorithm by which it signs.
_KINDS = {"RSA": (("n", "e"), "RS256"), "EC": (("crv", "x", "y"), "ES256")}
# What jwt raises for bytes that are no token, beside its own errors.
_MALFORMED = (jwt.PyJWTError, ValueError)
_CHECKED_HERE = ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
_SIGNATURE_ALONE = cast(Options, {f"verify_{one}": False for one in _CHECKED_HERE})
# Claims by which a token shows that it is of the owner whose names a refusal would tell.
_OF_OWNER = (
    *("repository", "repository_id", "repository_owner_id"),
    *("project_path", "project_id", "namespace_id", "sub"),
)


def verify(
    token: str,
    publishers: Sequence[Publisher],
    keys: Callable[[str], list[dict[str, object]]],
    audience: str,
    now: float,
) -> tuple[Publisher, Claims]:
    """Return whose token this is, and all its claims.

    Whether it was used before is not known here.

    Args:
        publishers: who is trusted; the first one that fits counts.
        keys: returns the JSON Web Keys (RFC 7517) of one of their issuers.
        audience: whom the token must be for.
        now: seconds of the epoch.

    Raises:
        RefusedError: if any of it is not as it must be.
    """
    kid, issuer = _unverified(token)
    theirs = [publisher for publisher in publishers if publisher.issuer == issuer]
    if not theirs:
        raise RefusedError(
            "invalid-payload",
            f"No trusted publisher of this index has the issuer {quoted(issuer)}: make"
            " pypi-trust-list on the server shows those that are trusted.",
        )
    claims = _verified(token, kid, issuer, keys(issuer))
    try:
        _check(claims, issuer, audience, now)
        return _publisher_of(claims, theirs), claims
    except RefusedError as error:
        error.issuer, error.claims = issuer, claims
        error.is_of_owner = any(_in_common(claims, one, _OF_OWNER) for one in theirs)
        raise


def end(claims: Claims) -> float:
    """Return until when verified claims count, in seconds of the epoch, with all leeway."""
    return min(_time(claims, "exp"), _time(claims, "iat") + LIFE) + LEEWAY


def job(claims: Claims) -> dict[str, str]:
    """Return which CI job verified claims are of, for the journal and for people.

    Returns:
        issuer, workflow, commit, run and url, as far as the issuer tells them.
    """
    said = {name: value for name, value in claims.items() if isinstance(value, str)}
    # Pages, terminals and the journal show it.
    said = {name: value for name, value in said.items() if value.isprintable() and len(value) < 500}
    issuer, repository = said.get("iss", ""), said.get("repository", "")
    run, url = said.get("run_id", ""), ""
    if "ci_config_ref_uri" in said:
        run = said.get("pipeline_id", "")
        if project := said.get("project_path"):
            url = f"{issuer}/{quote(project)}/-/pipelines/{quote(run, safe='')}"
    elif issuer == GITHUB and repository:
        url = f"https://github.com/{quote(repository)}/actions/runs/{quote(run, safe='')}"
    workflow = said.get("job_workflow_ref") or said.get("ci_config_ref_uri") or said.get("sub", "")
    told = {
        "issuer": issuer,
        "workflow": workflow,
        "commit": said.get("sha", ""),
        "run": run,
        "url": url if run else "",
    }
    return {name: value for name, value in told.items() if value}


def _unverified(token: str) -> tuple[str, str]:
    """Return which key a token says that it was signed with, and by which issuer."""
    try:
        header = jwt.get_unverified_header(token)
        claims = jwt.decode(token, options={"verify_signature": False})
    except _MALFORMED:
        raise RefusedError("invalid-payload", "The token is no JSON Web Token.") from None
    kid, issuer = header.get("kid"), claims.get("iss")
    if not isinstance(kid, str) or not kid:
        raise RefusedError("invalid-payload", "The token has no kid, which names its key.")
    if not isinstance(issuer, str) or not issuer:
        raise RefusedError("invalid-payload", "The token has no iss, which names its issuer.")
    return kid, issuer


def _verified(
    token: str, kid: str, issuer: str, published: Iterable[Mapping[str, object]]
) -> Claims:
    """Return the claims of a token if its issuer signed them."""
    named = [key for key in published if key.get("kid") == kid]
    if not named:
        raise RefusedError(
            "invalid-token",
            f"{issuer} has no key {quoted(kid)} that is known here: if it has a new one, run the"
            " job again in ten minutes.",
        )
    key = next(filter(None, map(_usable, named)), None)
    if key is None:
        raise RefusedError(
            "invalid-token",
            f"The key {quoted(kid)} of {issuer} verifies no tokens here: it takes an RSA key of"
            f" {RSA_BITS} bits or more, or one of the curve P-256, for signatures.",
        )
    algorithm = key.algorithm_name
    try:
        return jwt.decode(token, key, algorithms=[algorithm], options=_SIGNATURE_ALONE)
    except jwt.InvalidAlgorithmError:
        raise RefusedError(
            "invalid-token",
            f"The token is not signed by {algorithm}, as the key {quoted(kid)} of {issuer} signs.",
        ) from None
    except jwt.InvalidSignatureError:
        raise RefusedError(
            "invalid-token", f"The key {quoted(kid)} of {issuer} did not sign the token."
        ) from None
    except _MALFORMED:
        raise RefusedError("invalid-payload", "The token is no JSON Web Token.") from None


def _usable(published: Mapping[str, object]) -> jwt.PyJWK | None:
    """Return a published key, None if it is no public key that verifies here."""
    members, algorithm = _KINDS.get(str(published.get("kty")), ((), ""))
    operations = published.get("key_ops", ["verify"])
    if (
        not members
        or published.get("use", "sig") != "sig"
        or published.get("alg", algorithm) != algorithm
        or not (isinstance(operations, list) and "verify" in operations)
        or (algorithm == "ES256" and published.get("crv") != "P-256")
    ):
        return None
    # Without its other members: `d`, for one, would make it a private key.
    public = {name: str(published.get(name, "")) for name in members}
    try:
        key = jwt.PyJWK({"kty": published["kty"], **public}, algorithm)
    except _MALFORMED:
        return None
    is_short = isinstance(key.key, RSAPublicKey) and key.key.key_size < RSA_BITS
    return None if is_short else key


def _check(claims: Claims, issuer: str, audience: str, now: float) -> None:
    """Refuse claims that are not of a token for this index, and of now."""
    if claims.get("iss") != issuer:
        raise RefusedError("invalid-token", "The token names two issuers in iss.")
    sent = claims.get("aud")
    # Some issuers send a list always. One that names others, too, could be used by them.
    if sent not in (audience, [audience]):
        told = sent if isinstance(sent, str) else ", ".join(map(str, _listed(sent))) or "missing"
        raise RefusedError(
            "invalid-token",
            f"The token is for the audience {quoted(told)}: ask for one for {audience}.",
        )
    for name in ("jti", "sub"):
        if not claims.get(name) or not isinstance(claims[name], str):
            raise RefusedError("invalid-token", f"The token has no {name}, or it is no text.")
    if len(str(claims["jti"])) > LONGEST_ID:
        raise RefusedError("invalid-token", f"Its jti has more than {LONGEST_ID} letters.")
    issued, ends = _time(claims, "iat"), _time(claims, "exp")
    begins = _time(claims, "nbf") if "nbf" in claims else issued
    if max(issued, begins) > now + LEEWAY:
        raise RefusedError(
            "invalid-token",
            f"The token begins at {_shown(max(issued, begins))}, and here it is {_shown(now)}: see"
            " that the clock of the server is right.",
        )
    if now >= end(claims):
        why = "as it says" if ends <= issued + LIFE else f"{LIFE // 60} minutes after it was issued"
        raise RefusedError(
            "invalid-token",
            f"The token ended at {_shown(end(claims) - LEEWAY)}, {why}, and here it is"
            f" {_shown(now)}: run the job again.",
        )


def _publisher_of(claims: Claims, publishers: Sequence[Publisher]) -> Publisher:
    """Return the first publisher whose job the claims are of."""
    mismatches = {}
    for publisher in publishers:
        mismatches[publisher.name] = why = publisher.mismatch(claims)
        if not why:
            return publisher
    closest = max(publishers, key=lambda one: _in_common(claims, one, one.claims))
    detail = mismatches[closest.name]
    if _in_common(claims, closest, _OF_OWNER):
        raise RefusedError("invalid-publisher", f"This job is not trusted: {detail}")
    # Anybody can run a job at GitHub, and would learn names of private repositories.
    raise RefusedError(
        "invalid-publisher",
        "This job is not trusted, and has nothing in common with one that is: make pypi-audit on"
        " the server shows what differs.",
        detail=f"This job is not trusted: {detail}",
    )


def _in_common(claims: Claims, publisher: Publisher, names: Iterable[str]) -> int:
    """Return how many of these claims are as the publisher has them."""
    return sum(
        name in publisher.claims and str(claims.get(name)).lower() == publisher.claims[name].lower()
        for name in names
    )


def _time(claims: Claims, name: str) -> float:
    """Return a claim in seconds of the epoch (RFC 7519, NumericDate)."""
    value = claims.get(name)
    # In Python, a boolean is a number, and JSON may have NaN, which is not in any range.
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 10**11:
        return float(value)
    raise RefusedError("invalid-token", f"The token has no {name}, or it is no time.")


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _shown(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
