"""Tokens that a trusted publisher's job would never send: each is refused with a sentence."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kit import issuer as issuers
from kit import trusting
from kit.authority import Authority
from kit.http import Connection
from kit.issuer import (
    REPOSITORY,
    REPOSITORY_ID,
    WORKFLOW,
    Issuer,
    SigningKey,
    signed_with_secret,
    unsigned,
)
from kit.trusting import AUDIENCE, TrustingIndex, workflow


@pytest.fixture(scope="module")
def stranger(authority: Authority) -> Iterator[Issuer]:
    """An issuer that no publisher of the index names."""
    with issuers.running(authority) as running:
        yield running


@pytest.fixture(scope="module")
def index(
    rendered: Path,
    authority: Authority,
    issuer: Issuer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TrustingIndex]:
    """An index that trusts one workflow in one environment."""
    folder = tmp_path_factory.mktemp("refusing") / "s"
    with trusting.running(rendered, folder, authority) as index:
        index.trust(workflow(issuer, environment="production"))
        yield index


@pytest.fixture(autouse=True)
def _later(index: TrustingIndex, issuer: Issuer) -> None:
    """Let time pass between two tests: the audit has a limited number of lines for each minute."""
    issuer.ahead += 3
    index.clock.set(issuer.ahead)


def claims_of(issuer: Issuer, **changed: object) -> issuers.Claims:
    """Return claims that fit the publisher, apart from those that are changed."""
    return issuer.github(AUDIENCE, **{"environment": "production", **changed})


def refused(index: TrustingIndex, token: str) -> str:
    """Return the sentence by which a token is refused, once the audit has it too."""
    sentence = index.refusal(token)
    assert sentence.endswith(".")
    assert any("refused" in line and sentence in line for line in index.audit().splitlines())
    return sentence


def test_what_the_other_tests_change_is_accepted_unchanged(
    index: TrustingIndex, issuer: Issuer
) -> None:
    before = issuer.now()

    answer = index.mint(issuer.sign(claims_of(issuer)))

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    said = json.loads(answer.body)
    assert said["success"] is True
    assert len(said["token"]) >= 43
    assert 890 <= said["expires"] - before <= 930
    assert json.loads(index.ask("_/oidc/audience").body) == {"audience": AUDIENCE}


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("repository", "mallory/billing"),
        ("repository_id", "674217302"),
        ("repository_owner_id", "1"),
        ("job_workflow_ref", f"{REPOSITORY}/.github/workflows/publish.yaml@refs/heads/main"),
        ("job_workflow_ref", f"mallory/x/.github/workflows/publish.yml@{REPOSITORY}"),
        ("environment", "staging"),
        ("environment", None),
        ("repository_id", None),
        # Whoever can choose a type must not find one that compares equal.
        ("repository_id", [REPOSITORY_ID]),
        ("repository_id", float(REPOSITORY_ID)),
        ("repository", {"name": REPOSITORY}),
        ("environment", True),
        ("environment", "production "),
        ("job_workflow_ref", "x" * 5000),
        ("environment", "\x1b[2Jproduction\n"),
        ("environment", "\ud800"),
        ("repository_id", 10**300),
    ],
)
def test_each_claim_must_be_the_publishers(
    index: TrustingIndex, issuer: Issuer, claim: str, value: object
) -> None:
    sentence = refused(index, issuer.sign(claims_of(issuer, **{claim: value})))

    assert claim in sentence
    assert sentence.isprintable()
    assert len(sentence) < 800
    if isinstance(value, str) and value.isprintable() and len(value) < 100:
        assert value in sentence


def test_a_repository_that_was_renamed_is_told_so_with_the_remedy(
    index: TrustingIndex, issuer: Issuer
) -> None:
    new = "acme/invoices"
    claims = claims_of(issuer, repository=new, job_workflow_ref=WORKFLOW.replace(REPOSITORY, new))

    sentence = refused(index, issuer.sign(claims))

    assert "renamed" in sentence
    assert new in sentence
    assert "make pypi-trust" in sentence


def test_a_name_that_somebody_took_over_is_of_no_use(index: TrustingIndex, issuer: Issuer) -> None:
    claims = claims_of(issuer, repository_id="999", repository_owner_id="888")

    sentence = refused(index, issuer.sign(claims))

    assert "another repository has this name now" in sentence
    assert "repository_id" in sentence
    assert "999" in sentence
    assert "renamed" not in sentence


def test_the_name_of_a_repository_knows_no_case_as_github_does(
    index: TrustingIndex, issuer: Issuer
) -> None:
    claims = claims_of(issuer, repository="Acme/Billing")

    assert index.mint(issuer.sign(claims)).status == 200


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"exp": -60}, "ended at"),
        ({"nbf": 300}, "begins at"),
        ({"iat": 300, "exp": 600}, "begins at"),
        ({"iat": -3_000_000, "nbf": -3_000_000}, "ended at"),
    ],
    ids=["expired", "not yet valid", "of the future", "of long ago"],
)
def test_a_token_is_accepted_in_its_time_alone(
    index: TrustingIndex, issuer: Issuer, changed: dict[str, int], words: str
) -> None:
    now = issuer.now()

    sentence = refused(
        index, issuer.sign(claims_of(issuer, **{key: now + at for key, at in changed.items()}))
    )

    assert words in sentence


@pytest.mark.parametrize("claim", ["exp", "iat", "jti", "aud", "sub", "iss"])
@pytest.mark.parametrize("value", [None, {"a": 1}], ids=["missing", "of a wrong type"])
def test_a_token_must_have_what_protects_it(
    index: TrustingIndex, issuer: Issuer, claim: str, value: object
) -> None:
    sentence = refused(index, issuer.sign(claims_of(issuer, **{claim: value})))

    assert claim in sentence


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "value",
    ["soon", 1e300, 10**400, float("nan"), float("inf"), -1, True],
    ids=lambda value: str(value)[:9],
)
def test_a_time_must_be_one(
    index: TrustingIndex, issuer: Issuer, claim: str, value: object
) -> None:
    assert claim in index.refusal(issuer.sign(claims_of(issuer, **{claim: value})))


def test_a_token_works_once(index: TrustingIndex, issuer: Issuer) -> None:
    token = issuer.sign(claims_of(issuer))
    assert index.mint(token).status == 200

    assert "was used already" in refused(index, token)


def test_a_token_that_was_refused_for_its_claims_works_no_better_later(
    index: TrustingIndex, issuer: Issuer
) -> None:
    claims = claims_of(issuer, environment="staging")
    refused(index, issuer.sign(claims))

    # Nobody but the issuer can sign the same identifier with other claims.
    assert index.refusal(issuer.sign(claims))


@pytest.mark.parametrize(
    "audience",
    ["pypi", "", f"{AUDIENCE}.evil.example", f"https://{AUDIENCE}", [AUDIENCE, "pypi"], ["pypi"]],
    ids=str,
)
def test_a_token_for_others_is_refused(
    index: TrustingIndex, issuer: Issuer, audience: object
) -> None:
    sentence = refused(index, issuer.sign(claims_of(issuer, aud=audience)))

    assert AUDIENCE in sentence
    assert "aud" in sentence


# Signatures --------------------------------------------------------------------------------------


def by_another_key(issuer: Issuer) -> str:
    return SigningKey().sign(claims_of(issuer), kid=issuer.keys[-1].kid)


def by_another_kind_of_key(issuer: Issuer) -> str:
    return SigningKey("ES256").sign(claims_of(issuer), kid=issuer.keys[-1].kid)


def by_an_unknown_key(issuer: Issuer) -> str:
    return SigningKey().sign(claims_of(issuer))


def without_kid(issuer: Issuer) -> str:
    return issuer.sign(claims_of(issuer), kid=None)


def without_signature(issuer: Issuer) -> str:
    return unsigned(claims_of(issuer), kid=issuer.keys[-1].kid)


def without_signature_but_with_an_algorithm(issuer: Issuer) -> str:
    token = issuer.sign(claims_of(issuer))
    return f"{token.rpartition('.')[0]}."


def by_the_public_key_as_a_secret(issuer: Issuer) -> str:
    key = issuer.keys[-1]
    return signed_with_secret(claims_of(issuer), key.public_pem(), kid=key.kid)


def by_a_key_in_its_own_header(issuer: Issuer) -> str:
    own = SigningKey()
    return own.sign(claims_of(issuer), kid=issuer.keys[-1].kid, jwk=own.public())


def with_other_claims_under_a_signature(issuer: Issuer) -> str:
    head, _, end = issuer.sign(claims_of(issuer, repository="mallory/x")).split(".")
    body = json.dumps(claims_of(issuer)).encode()
    return f"{head}.{base64.urlsafe_b64encode(body).decode().rstrip('=')}.{end}"


NOT_SIGNED, NOT_BY_RS256 = "did not sign the token", "is not signed by RS256"


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (by_another_key, NOT_SIGNED),
        (by_another_kind_of_key, NOT_BY_RS256),
        (by_an_unknown_key, "has no key"),
        (without_kid, "has no kid"),
        (without_signature, NOT_BY_RS256),
        (without_signature_but_with_an_algorithm, NOT_SIGNED),
        (by_the_public_key_as_a_secret, NOT_BY_RS256),
        (by_a_key_in_its_own_header, NOT_SIGNED),
        (with_other_claims_under_a_signature, NOT_SIGNED),
    ],
)
def test_a_forged_token_is_refused(
    index: TrustingIndex, issuer: Issuer, forge: Callable[[Issuer], str], words: str
) -> None:
    assert words in refused(index, forge(issuer))


@pytest.mark.parametrize("header", ["jku", "x5u"])
def test_no_key_is_fetched_from_where_a_token_says(
    index: TrustingIndex, issuer: Issuer, stranger: Issuer, header: str
) -> None:
    asked = len(stranger.requests)
    claims = claims_of(issuer)

    token = stranger.sign(claims, **{header: f"{stranger.url}/jwks"})

    assert "has no key" in refused(index, token)

    assert len(stranger.requests) == asked


def test_an_issuer_that_no_publisher_names_is_refused_and_not_asked(
    index: TrustingIndex, stranger: Issuer
) -> None:
    asked = len(stranger.requests)

    sentence = refused(index, stranger.sign(claims_of(stranger)))

    assert stranger.url in sentence
    assert len(stranger.requests) == asked


@pytest.mark.parametrize(
    "token",
    ["", "x", "a.b.c", "..", "e30.e30.e30", "é.é.é", 7, None, ["a"], "a" * 15_000],
    ids=lambda token: str(token)[:12],
)
def test_what_is_no_token_is_refused(index: TrustingIndex, token: object) -> None:
    assert index.refusal(token)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"token": ', b"\xff\xfe", b"[" * 15_000, b'{"other": 1}'],
    ids=lambda body: str(body[:10]),
)
def test_what_is_no_request_is_refused(index: TrustingIndex, body: bytes) -> None:
    assert trusting.sentence(index.post("_/oidc/mint-token", body, trusting.JSON))


def test_a_request_that_is_too_large_is_refused_and_its_connection_closes(
    index: TrustingIndex,
) -> None:
    body = b'{"token": "%s"}' % (b"a" * 70_000)

    with Connection(index.plain) as connection:
        answer = connection.ask("/_/oidc/mint-token", trusting.JSON, method="POST", body=body)

    assert answer.status == 413
    assert answer.headers["Connection"] == "close"
