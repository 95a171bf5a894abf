"""Which tokens are believed: as issuers send them, and as attackers do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from kit import tokens as made
from kit.tokens import AUDIENCE, ISSUER, PUBLISHERS, Claims, ec_key, jwk, rsa_key, signed
from private_pypi.trust import publishers, tokens
from private_pypi.trust.publishers import Publisher
from private_pypi.trust.refused import RefusedError

NOW = 1_800_000_000.0

Verify = Callable[..., tuple[Publisher, tokens.Claims]]


def claims(**changed: object) -> Claims:
    """Return the claims of a token of now."""
    return made.claims(NOW, **changed)


@pytest.fixture
def verify(tmp_path: Path) -> Verify:
    """Verify a token with these keys of its issuer, by PUBLISHERS unless others are given."""

    def verify(
        token: str, *published: Claims, trusted: str = PUBLISHERS, now: float = NOW
    ) -> tuple[Publisher, tokens.Claims]:
        (tmp_path / ".publishers.toml").write_text(trusted)
        read, complaints = publishers.read(tmp_path)
        assert complaints == []
        keys = list(published or [jwk(rsa_key())])
        asked: list[str] = []

        def keys_of(issuer: str) -> list[dict[str, object]]:
            asked.append(issuer)
            return keys if issuer == ISSUER else [jwk(rsa_key(2048, 9))]

        return tokens.verify(token, read, keys_of, AUDIENCE, now)

    return verify


def why(verify: Verify, token: str, *published: Claims, **options: str) -> str:
    """Return why a token is refused."""
    with pytest.raises(RefusedError) as caught:
        verify(token, *published, **options)
    assert str(caught.value).isprintable()
    assert str(caught.value).endswith(".")
    return str(caught.value)


@pytest.mark.parametrize("key", [rsa_key(), ec_key(), rsa_key(3072)])
def test_a_token_that_its_issuer_signed_is_of_its_publisher(
    verify: Verify, key: made.Private
) -> None:
    said = claims()

    publisher, told = verify(signed(said, key), jwk(rsa_key(2048, 2), "other"), jwk(key))

    assert (publisher.name, told) == ("acme/billing publish.yml", said)


# The signature -----------------------------------------------------------------------------------


def test_a_token_without_a_signature_is_refused(verify: Verify) -> None:
    with_signature = signed(claims(), alg="none")

    for token in (with_signature, f"{with_signature.rpartition('.')[0]}."):
        for name in ("none", "None", "NONE"):
            head = made.encoded(json.dumps({"alg": name, "kid": "one"}).encode())
            assert "is not signed by RS256" in why(verify, f"{head}.{token.partition('.')[2]}")


def test_a_public_key_is_no_secret_that_signs(verify: Verify) -> None:
    numbers = json.dumps(jwk(rsa_key()))
    for secret in (made.pem(rsa_key()), made.pem(rsa_key()).strip(), numbers.encode()):
        assert "is not signed by RS256" in why(verify, signed(claims(), secret))
    shared: Claims = {"kty": "oct", "k": made.encoded(b"x" * 32), "kid": "one"}
    assert "verifies no tokens here" in why(verify, signed(claims(), b"x" * 32), shared)


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "ES256", "EdDSA", "", None, 1])
def test_the_key_says_how_it_signs_and_the_token_does_not(
    verify: Verify, algorithm: object
) -> None:
    assert why(verify, signed(claims(), alg=algorithm))


def test_a_key_of_somebody_else_is_refused_whatever_its_name(verify: Verify) -> None:
    assert why(verify, signed(claims(), rsa_key(2048, 2))) == (
        f"The key 'one' of {ISSUER} did not sign the token."
    )
    assert "has no key 'two' that is known here" in why(verify, signed(claims(), kid="two"))


@pytest.mark.parametrize("kid", [None, "", 1, ["one"], {"a": 1}])
def test_a_token_must_name_its_key(verify: Verify, kid: object) -> None:
    assert why(verify, signed(claims(), kid=kid))


def test_a_key_that_a_token_brings_or_points_to_is_never_used(verify: Verify) -> None:
    own = rsa_key(2048, 2)
    headers: list[Claims] = [
        {"jwk": jwk(own)},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/certificate"},
        {"x5c": [made.encoded(made.pem(own))]},
    ]
    for more in headers:
        assert "did not sign the token" in why(verify, signed(claims(), own, **more))
        # And they do no harm beside a signature that is right.
        assert verify(signed(claims(), **more))


def test_the_key_of_one_issuer_signs_no_token_of_another(verify: Verify) -> None:
    other = PUBLISHERS.replace("acme/billing publish", "acme/billing other").replace(
        ISSUER, "https://ci.example"
    )
    both = f"{PUBLISHERS}\n{other}"

    assert verify(signed(claims(iss="https://ci.example"), rsa_key(2048, 9)), trusted=both)
    for issuer, key in ((ISSUER, rsa_key(2048, 9)), ("https://ci.example", rsa_key())):
        token = signed(claims(iss=issuer), key)
        assert "did not sign the token" in why(verify, token, trusted=both)


@pytest.mark.parametrize(
    "issuer", [f"{ISSUER}/", ISSUER.upper(), "https://evil.example", "", None, 1, [ISSUER]]
)
def test_an_issuer_whom_nobody_trusts_is_refused_by_name(verify: Verify, issuer: object) -> None:
    said = why(verify, signed(claims(iss=issuer)))

    assert "the issuer" in said or "has no iss" in said


@pytest.mark.parametrize(
    ("key", "more"),
    [
        (rsa_key(1024), {}),
        (ec_key(ec.SECP384R1), {}),
        (rsa_key(), {"use": "enc"}),
        (rsa_key(), {"alg": "RS512"}),
        (rsa_key(), {"alg": "HS256"}),
        (rsa_key(), {"key_ops": ["sign"]}),
        (rsa_key(), {"key_ops": "verify"}),
        (rsa_key(), {"kty": "oct", "k": "AAAA"}),
        (rsa_key(), {"kty": ["RSA"]}),
        (rsa_key(), {"n": 5}),
        (rsa_key(), {"n": "AAAA"}),
        (rsa_key(), {"e": "AA"}),
        (ec_key(), {"x": "AAAA"}),
        (ec_key(), {"crv": "P-384"}),
        (ec_key(), {"crv": None}),
    ],
)
def test_a_key_that_is_weak_or_for_something_else_verifies_nothing(
    verify: Verify, key: made.Private, more: Claims
) -> None:
    assert "verifies no tokens here" in why(verify, signed(claims(), key), jwk(key, **more))


def test_of_keys_of_one_name_the_one_that_can_verify_counts(verify: Verify) -> None:
    assert verify(signed(claims()), jwk(rsa_key(), use="enc"), jwk(rsa_key()))


def test_of_a_key_only_its_public_half_is_read(verify: Verify) -> None:
    for more in ({"d": "AAAA"}, {"d": 5, "p": [], "k": "AAAA"}):
        assert verify(signed(claims()), {**jwk(rsa_key()), **more})


def test_a_header_that_must_be_understood_is_refused(verify: Verify) -> None:
    headers: list[Claims] = [{"crit": ["exp"]}, {"crit": ["b64"], "b64": False}, {"crit": []}]
    for more in headers:
        assert why(verify, signed(claims(), **more))


# The claims --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "audience",
    [
        "pypi",
        "",
        AUDIENCE.upper(),
        f"https://{AUDIENCE}",
        f"{AUDIENCE}.evil.example",
        [],
        [AUDIENCE, "other"],
        ["other"],
        [AUDIENCE, AUDIENCE],
        [[AUDIENCE]],
        {AUDIENCE: 1},
        1,
        None,
    ],
)
def test_a_token_for_another_audience_is_refused(verify: Verify, audience: object) -> None:
    said = why(verify, signed(claims(aud=audience)))

    assert said.startswith("The token is for the audience ")
    assert said.endswith(f": ask for one for {AUDIENCE}.")


def test_a_list_of_this_audience_alone_is_as_good_as_its_name(verify: Verify) -> None:
    assert verify(signed(claims(aud=[AUDIENCE])))


@pytest.mark.parametrize(
    ("changed", "is_taken"),
    [
        ({"iat": NOW + 29, "nbf": NOW + 29, "exp": NOW + 90}, True),
        ({"iat": NOW + 31, "exp": NOW + 90}, False),
        ({"nbf": NOW + 31}, False),
        ({"nbf": None}, True),
        ({"exp": NOW - 29}, True),
        ({"exp": NOW - 30}, False),
        ({"exp": NOW + 10**6}, True),
        ({"iat": NOW - 3600, "exp": NOW + 10**9}, True),
        ({"iat": NOW - 3631, "exp": NOW + 10**9}, False),
        ({"iat": NOW - 900.5, "exp": NOW + 0.5}, True),
    ],
)
def test_a_token_counts_from_its_beginning_to_its_end_and_for_an_hour_at_most(
    verify: Verify, changed: Claims, is_taken: bool
) -> None:
    token = signed(claims(**changed))

    if is_taken:
        assert tokens.end(verify(token)[1]) > NOW
    else:
        assert re.search(r"The token (begins|ended) at \d{4}-", why(verify, token))


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "value",
    ["1800000000", True, float("nan"), float("inf"), -1, 10**400, 10**12, [1_800_000_000], {}],
)
def test_a_time_that_is_none_is_refused(verify: Verify, name: str, value: object) -> None:
    assert why(verify, signed(claims(**{name: value}))) in (
        f"The token has no {name}, or it is no time.",
        "The token is no JSON Web Token.",
    )


@pytest.mark.parametrize("name", ["exp", "iat", "jti", "sub"])
def test_a_claim_that_must_be_there_is_missed(verify: Verify, name: str) -> None:
    assert f"The token has no {name}, or it is no " in why(verify, signed(claims(**{name: None})))


@pytest.mark.parametrize("name", ["jti", "sub"])
@pytest.mark.parametrize("value", ["", 5, ["x"], {"x": "y"}, True])
def test_a_claim_that_is_no_text_is_refused(verify: Verify, name: str, value: object) -> None:
    assert f"The token has no {name}," in why(verify, signed(claims(**{name: value})))


def test_a_name_of_a_token_has_a_length(verify: Verify) -> None:
    assert verify(signed(claims(jti="x" * 200)))
    assert "more than 200 letters" in why(verify, signed(claims(jti="x" * 201)))


def test_of_a_claim_that_comes_twice_the_same_one_is_compared_everywhere(verify: Verify) -> None:
    text = json.dumps(claims())
    before = text.replace('{"iss"', '{"repository_id": "123", "iss"')
    twice = before.replace(
        '"repository_id": "123", "repository_owner', '"repository_id": "9", "repository_owner'
    )
    issuers = text.replace('{"iss"', '{"iss": "https://evil.example", "iss"')

    assert "repository_id is '9'" in why(verify, signed(twice.encode()))
    assert verify(signed(issuers.encode()))


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "x" * 16000,
        "é.é.é",
        "\ud800",
        signed(b""),
        signed(b"[]"),
        signed(b'"text"'),
        signed(b"null"),
        signed(b"\xff"),
        signed(b"[" * 10_000),
        signed(b'{"a":' * 2_000),
        signed(b'{"exp": ' + b"9" * 5_000 + b"}"),
        signed(claims()).replace(".", ".."),
        signed(claims()) + "=",
        signed(claims()) + "\n",
        " " + signed(claims()),
        signed(claims()).rpartition(".")[0],
        f"{made.encoded(b'[]')}.{signed(claims()).partition('.')[2]}",
        f"{made.encoded(b'{' * 9_000)}.{signed(claims()).partition('.')[2]}",
    ],
)
def test_what_is_no_token_is_refused_in_a_sentence(verify: Verify, token: str) -> None:
    assert why(verify, token)


# Whose job it is ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("repository", "acme/ledger"),
        ("repository_id", "124"),
        ("repository_id", ["123"]),
        ("repository_owner_id", "46"),
        ("job_workflow_ref", "acme/billing/.github/workflows/evil.yml@refs/heads/main"),
        ("job_workflow_ref", "evil/acme/billing/.github/workflows/publish.yml@refs/heads/main"),
    ],
)
def test_a_job_that_differs_in_one_claim_is_refused_by_that(
    verify: Verify, name: str, value: object
) -> None:
    said = why(verify, signed(claims(**{name: value})))

    assert said.startswith("This job is not trusted: ")
    assert name in said


def test_a_job_of_a_stranger_learns_no_name_of_ours(verify: Verify) -> None:
    stranger = claims(
        repository="evil/evil",
        repository_id="6",
        repository_owner_id="7",
        job_workflow_ref="evil/evil/.github/workflows/evil.yml@refs/heads/main",
        sub="repo:evil/evil:ref:refs/heads/main",
    )

    with pytest.raises(RefusedError) as caught:
        verify(signed(stranger))

    assert not re.search("acme|billing|123|45|publish.yml", str(caught.value))
    assert "repository_id is '6', not '123'" in caught.value.detail
    assert caught.value.claims["repository"] == "evil/evil"


def test_a_refusal_tells_of_the_publisher_that_fits_best(verify: Verify) -> None:
    ledger = PUBLISHERS.replace("billing", "ledger").replace('"123"', '"124"')
    both = f"{PUBLISHERS}\n{ledger}"

    said = why(verify, signed(claims(job_workflow_ref="acme/billing/x@main")), trusted=both)

    assert "publish.yml@*" in said
    assert "ledger" not in said


def test_only_a_signature_that_is_right_vouches_for_claims(verify: Verify) -> None:
    for token in (signed(claims(), rsa_key(2048, 2)), signed(claims(), kid="two"), "a.b.c"):
        with pytest.raises(RefusedError) as caught:
            verify(token)
        assert (caught.value.issuer, caught.value.claims) == ("", {})
    with pytest.raises(RefusedError) as caught:
        verify(signed(claims(exp=NOW - 99)))
    assert caught.value.issuer == ISSUER


# The job, for people -----------------------------------------------------------------------------


def test_a_job_of_github_is_told_with_its_address() -> None:
    assert tokens.job(claims()) == {
        "issuer": ISSUER,
        "workflow": "acme/billing/.github/workflows/publish.yml@refs/heads/main",
        "commit": "0123abc",
        "run": "77",
        "url": "https://github.com/acme/billing/actions/runs/77",
    }


def test_a_job_of_gitlab_is_told_with_its_address() -> None:
    said = {
        "iss": "https://gitlab.acme.com",
        "project_path": "group/project",
        "ci_config_ref_uri": "gitlab.acme.com/group/project//.gitlab-ci.yml@refs/heads/main",
        "sha": "0123abc",
        "pipeline_id": "88",
        "job_id": "99",
    }

    assert tokens.job(said) == {
        "issuer": "https://gitlab.acme.com",
        "workflow": "gitlab.acme.com/group/project//.gitlab-ci.yml@refs/heads/main",
        "commit": "0123abc",
        "run": "88",
        "url": "https://gitlab.acme.com/group/project/-/pipelines/88",
    }


def test_a_job_of_another_issuer_is_told_by_its_subject() -> None:
    assert tokens.job({"iss": "https://ci.example", "sub": "pipeline:billing", "n": 5}) == {
        "issuer": "https://ci.example",
        "workflow": "pipeline:billing",
    }


def test_what_would_harm_a_page_or_a_terminal_is_not_told() -> None:
    said = claims(
        sha="\x1b[2J", run_id="7\ud800", repository="a/../../evil?x#y", job_workflow_ref=5
    )

    assert tokens.job(said) == {"issuer": ISSUER, "workflow": said["sub"]}
    assert tokens.job(claims(repository="a b/c?d#e", run_id="../1"))["url"] == (
        "https://github.com/a%20b/c%3Fd%23e/actions/runs/..%2F1"
    )
