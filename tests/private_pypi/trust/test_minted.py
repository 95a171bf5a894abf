"""Passwords that were minted: how long they work, for whom, and that a token mints one alone."""

from __future__ import annotations

import dataclasses
import gc
import threading
from typing import Any

import pytest
from kit.tokens import ISSUER
from private_pypi.trust import minted
from private_pypi.trust.minted import LIFE, MintedPasswords
from private_pypi.trust.publishers import Publisher
from private_pypi.trust.refused import RefusedError

START = 1_800_000_000.0
NOW = START + 100
PUBLISHER = Publisher("acme/billing publish.yml", ISSUER, ("billing",), {"repository_id": "123"})
JOB = {"workflow": "publish.yml", "run": "77"}


def mint(
    passwords: MintedPasswords,
    jti: str = "one",
    now: float = NOW,
    publisher: Publisher = PUBLISHER,
    **claims: object,
) -> str:
    """Mint a password for a token, which ends an hour later."""
    said = {"iss": ISSUER, "jti": jti, "iat": now, **claims}
    return passwords.mint(publisher, said, JOB, now + 3600, now)[0]


def named(number: int) -> Publisher:
    """Return another publisher."""
    return dataclasses.replace(PUBLISHER, name=f"acme/other {number}")


def why(passwords: MintedPasswords, jti: str = "one", now: float = NOW, **claims: Any) -> str:
    """Return why no password is minted."""
    with pytest.raises(RefusedError) as caught:
        mint(passwords, jti, now, **claims)
    return str(caught.value)


@pytest.fixture
def passwords() -> MintedPasswords:
    """The memory of a process that has just started."""
    return MintedPasswords(since=START)


def test_a_password_works_for_a_quarter_of_an_hour_and_no_longer(
    passwords: MintedPasswords,
) -> None:
    password = mint(passwords).encode()

    found = passwords.find(password, [PUBLISHER], NOW + 15 * 60 - 1)
    assert found
    assert (found.publisher, found.job, found.until) == (PUBLISHER, JOB, NOW + 15 * 60)
    assert passwords.find(password, [PUBLISHER], NOW + 15 * 60) is None


def test_no_two_passwords_are_equal_and_none_is_short(passwords: MintedPasswords) -> None:
    made = {mint(passwords, str(number)) for number in range(100)}

    assert len(made) == 100
    assert min(map(len, made)) >= 43


@pytest.mark.parametrize("wrong", [b"", b"x", b"\xff", b"x" * 10_000, b"\0"])
def test_another_password_does_not_work(passwords: MintedPasswords, wrong: bytes) -> None:
    password = mint(passwords).encode()

    for other in (wrong, password[:-1], password + b"x", password.swapcase()):
        assert passwords.find(other, [PUBLISHER], NOW) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "acme/billing other.yml"},
        {"issuer": "https://ci.example"},
        {"projects": ("billing", "ledger")},
        {"claims": {"repository_id": "124"}},
    ],
)
def test_a_password_ends_when_its_publisher_is_changed_or_removed(
    passwords: MintedPasswords, changed: dict[str, object]
) -> None:
    password = mint(passwords).encode()
    equal = dataclasses.replace(PUBLISHER, claims=dict(PUBLISHER.claims))
    other = dataclasses.replace(PUBLISHER, **changed)  # type: ignore[arg-type]

    assert passwords.find(password, [equal], NOW)
    assert passwords.find(password, [other], NOW) is None
    assert passwords.find(password, [], NOW) is None


def test_no_password_stays_in_memory(passwords: MintedPasswords) -> None:
    password = mint(passwords)
    text, octets = password, password.encode()

    held = gc.get_referents(passwords)
    for _ in range(4):
        held += [one for thing in list(held) for one in gc.get_referents(thing)]

    assert not any(thing in (text, octets) for thing in held if isinstance(thing, str | bytes))


# Tokens ------------------------------------------------------------------------------------------


def test_a_token_mints_one_password(passwords: MintedPasswords) -> None:
    mint(passwords)

    assert why(passwords) == (
        "The token was used already: each mints one password. Run the job again."
    )
    assert mint(passwords, "two")
    assert mint(passwords, "one", iss="https://ci.example")


def test_of_many_threads_with_one_token_one_gets_a_password(passwords: MintedPasswords) -> None:
    made, refused = [], []
    at_once = threading.Barrier(20)

    def send() -> None:
        at_once.wait()
        try:
            made.append(mint(passwords))
        except RefusedError:
            refused.append(1)

    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(made), len(refused)) == (1, 19)


def test_a_token_is_remembered_for_as_long_as_it_would_count(passwords: MintedPasswords) -> None:
    mint(passwords)

    assert "used already" in why(passwords, now=NOW + 3599)
    assert mint(passwords, now=NOW + 3601)


def test_a_token_from_before_the_start_is_refused(passwords: MintedPasswords) -> None:
    for issued in (START - 0.5, START - 3000, True, None, "1900000000"):
        assert "run the job again" in why(passwords, iat=issued)
    assert mint(passwords, iat=START)


def test_half_a_character_is_a_name_as_any_other(passwords: MintedPasswords) -> None:
    mint(passwords, "\ud800")

    assert "used already" in why(passwords, "\ud800")
    assert mint(passwords, "\ud801")


def test_there_is_a_most_of_passwords_and_the_memory_of_tokens_ends(
    passwords: MintedPasswords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minted, "MOST", 5)
    for number in range(5):
        mint(passwords, str(number), publisher=named(number))

    assert "has minted 5 passwords" in why(passwords, "6")
    # It was not used up by that.
    assert mint(passwords, "6", now=NOW + LIFE)
    for hour in range(1, 50):
        mint(passwords, f"hour {hour}", now=NOW + LIFE + hour * 4000)
    held = (passwords._used, passwords._ends, passwords._passwords, passwords._tokens_of)
    assert sum(map(len, held)) <= 6


def test_one_publisher_leaves_passwords_to_others(
    passwords: MintedPasswords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minted, "OF_ONE", 5)
    made = [mint(passwords, str(number)) for number in range(5)]

    assert why(passwords, "x") == (
        f"For {PUBLISHER.name}, the index has minted 5 passwords that work still: run the job again"
        " in 15 minutes."
    )
    assert mint(passwords, "x", publisher=named(1))
    passwords.burn(made[0].encode())
    assert mint(passwords, "y")
    assert mint(passwords, "z", now=NOW + LIFE)


@pytest.mark.parametrize(("limit", "is_own"), [("USED_OF_ONE", True), ("MOST_USED", False)])
def test_passwords_that_are_burnt_fill_no_memory(
    passwords: MintedPasswords, monkeypatch: pytest.MonkeyPatch, limit: str, is_own: bool
) -> None:
    monkeypatch.setattr(minted, limit, 5)
    for number in range(5):
        passwords.burn(mint(passwords, str(number)).encode())

    assert "5 used tokens" in why(passwords, "x")
    if is_own:
        assert mint(passwords, "x", publisher=named(1))
    else:
        assert "5 used tokens" in why(passwords, "x", publisher=named(1))
    # Each token of these ends an hour later.
    assert mint(passwords, "x", now=NOW + 3600)
