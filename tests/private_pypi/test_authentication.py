"""Which `Authorization` headers are let in, at what cost, and for how long."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.http import basic
from kit.template import PASSWORD
from passlib.hash import bcrypt
from private_pypi import accounts, authentication
from private_pypi.authentication import Authenticator, credentials


def header(name: str | bytes, password: str | bytes) -> str:
    """Return the header a client makes of name and password."""
    return basic(name, password)["Authorization"]


def line(name: str, password: str | bytes) -> str:
    """Return an htpasswd line, also for a password that no command would accept."""
    return f"{name}:{bcrypt.using(rounds=4, ident='2y').hash(password)}\n"


class Verifications:
    """Stands in for bcrypt and counts how often it is paid for."""

    def __init__(self) -> None:
        self.count = 0
        self.costs: list[str] = []

    def verify(self, password: bytes, digest: str) -> bool:
        self.count += 1
        self.costs.append(digest[:7])
        right: bool = bcrypt.verify(password, digest)
        return right


@pytest.fixture
def paid(monkeypatch: pytest.MonkeyPatch) -> Verifications:
    """The number of verifications so far."""
    verifications = Verifications()
    monkeypatch.setattr(authentication, "bcrypt", verifications)
    return verifications


@pytest.fixture
def authenticator(auth: Path) -> Authenticator:
    """One that knows alice, a publisher, and bob, a reader."""
    accounts.add(auth, "alice", "publisher", PASSWORD)
    accounts.add(auth, "bob", "reader", PASSWORD + "2")
    return Authenticator(auth)


def test_the_right_password_gives_the_account_with_its_role(authenticator: Authenticator) -> None:
    alice = authenticator.authenticate(header("alice", PASSWORD))
    bob = authenticator.authenticate(header("bob", PASSWORD + "2"))

    assert alice is not None
    assert bob is not None
    assert (alice.name, alice.role) == ("alice", "publisher")
    assert (bob.name, bob.role) == ("bob", "reader")


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", PASSWORD + "2"),
        ("alice", PASSWORD[:-1]),
        ("alice", PASSWORD.upper()),
        ("alice", ""),
        ("alice", PASSWORD + "\0"),
        ("alice", "\0"),
        ("alice", b"\xff\xfe"),
        ("Alice", PASSWORD),
        ("mallory", PASSWORD),
        ("mallory", ""),
        ("", PASSWORD),
        ("", ""),
        ("alice ", PASSWORD),
        ("alice\0", PASSWORD),
        (b"\xff\xfe", PASSWORD),
        ("a" * 100_000, PASSWORD),
    ],
)
def test_everything_else_is_nobody(
    authenticator: Authenticator, name: str | bytes, password: str | bytes
) -> None:
    assert authenticator.authenticate(header(name, password)) is None
    # ... also once the right password is remembered.
    assert authenticator.authenticate(header("alice", PASSWORD))
    assert authenticator.authenticate(header(name, password)) is None


RIGHT = base64.b64encode(f"alice:{PASSWORD}".encode()).decode()


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic  " + RIGHT,
        "Basic " + RIGHT + "!",
        "Basic " + RIGHT[:-1],
        "Basic \xe9",
        "Basic " + RIGHT + "\xe9",
        "Basic alice:" + PASSWORD,
        "Basic " + base64.b64encode(b"alice").decode(),
        "Basic " + base64.b64encode(f"alice{PASSWORD}".encode()).decode(),
        "Bearer " + RIGHT,
        "Digest username=alice",
        "Basic" + RIGHT,
        RIGHT,
    ],
)
def test_a_header_that_is_not_basic_authentication_is_nobody(
    authenticator: Authenticator, header: str
) -> None:
    assert authenticator.authenticate(header) is None


def test_the_scheme_may_be_written_in_any_case(authenticator: Authenticator) -> None:
    for scheme in ("basic", "BASIC", "BaSiC"):
        assert authenticator.authenticate(f"{scheme} {RIGHT}")


@given(header=st.text(st.characters(max_codepoint=255)))
def test_no_header_is_an_error(header: str) -> None:
    credentials(header)
    credentials(f"Basic {header}")


@given(
    name=st.text().filter(lambda name: ":" not in name and "\0" not in name),
    password=st.binary(),
)
def test_name_and_password_come_out_of_the_header_as_they_went_in(
    name: str, password: bytes
) -> None:
    assert credentials(header(name, password)) == (name, password)


def test_the_password_may_hold_colons_and_whatever_bytes_its_hash_was_made_of(auth: Path) -> None:
    (auth / ".htpasswd").write_text(line("alice", "p:@/#?%") + line("bob", "pässwörd"))
    authenticator = Authenticator(auth)

    assert authenticator.authenticate(header("alice", "p:@/#?%"))
    assert authenticator.authenticate(header("bob", "pässwörd"))
    assert not authenticator.authenticate(header("bob", "pässwörd".encode("latin-1")))


def test_bytes_after_the_72nd_are_not_ignored_as_bcrypt_alone_would(auth: Path) -> None:
    longest = "x" * 72
    (auth / ".htpasswd").write_text(line("alice", longest))
    authenticator = Authenticator(auth)

    assert authenticator.authenticate(header("alice", longest))
    assert not authenticator.authenticate(header("alice", longest + "x"))
    assert not authenticator.authenticate(header("alice", longest + "\0"))
    assert not authenticator.authenticate(header("alice", longest * 1000))


def test_a_password_that_bcrypt_cannot_take_is_not_the_empty_one(auth: Path) -> None:
    (auth / ".htpasswd").write_text(line("alice", ""))
    authenticator = Authenticator(auth)

    assert not authenticator.authenticate(header("alice", "\0"))
    assert not authenticator.authenticate(header("alice", "x" * 73))


def test_a_line_that_is_refused_lets_nobody_in_whatever_the_password(auth: Path) -> None:
    (auth / ".htpasswd").write_text("alice:open sesame\nbob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
    authenticator = Authenticator(auth)

    assert not authenticator.authenticate(header("alice", "open sesame"))
    assert not authenticator.authenticate(header("bob", "password"))


# The cost -----------------------------------------------------------------------------------------


def test_a_right_password_is_verified_once(
    authenticator: Authenticator, paid: Verifications
) -> None:
    for _ in range(20):
        assert authenticator.authenticate(header("alice", PASSWORD))

    assert paid.count == 1


def test_a_wrong_password_is_verified_each_time_and_does_not_forget_the_right_one(
    authenticator: Authenticator, paid: Verifications
) -> None:
    assert authenticator.authenticate(header("alice", PASSWORD))
    for _ in range(3):
        assert not authenticator.authenticate(header("alice", "wrong"))
    assert authenticator.authenticate(header("alice", PASSWORD))

    assert paid.count == 4


@pytest.mark.parametrize("password", [b"wrong", b"", b"\0", b"x" * 73])
def test_an_unknown_name_costs_the_same_as_a_wrong_password_of_one_that_was_made_up(
    auth: Path, paid: Verifications, password: bytes
) -> None:
    accounts.add(auth, "alice", "publisher", accounts.new_password(), generated=True)
    authenticator = Authenticator(auth)

    assert not authenticator.authenticate(header("alice", password))
    assert not authenticator.authenticate(header("mallory", password))
    assert not authenticator.authenticate(header("_none", password))

    assert paid.costs == ["$2y$04$"] * 3


def test_no_password_is_kept_in_memory(authenticator: Authenticator) -> None:
    assert authenticator.authenticate(header("alice", PASSWORD))

    assert PASSWORD not in repr(vars(authenticator))


# Changes ------------------------------------------------------------------------------------------


def test_a_removed_account_is_refused_at_once_though_it_was_remembered(
    authenticator: Authenticator, auth: Path
) -> None:
    assert authenticator.authenticate(header("alice", PASSWORD))

    accounts.remove(auth, "alice")

    assert not authenticator.authenticate(header("alice", PASSWORD))
    assert authenticator.authenticate(header("bob", PASSWORD + "2"))


def test_a_new_password_is_right_at_once_and_the_old_one_is_not(
    authenticator: Authenticator, auth: Path
) -> None:
    assert authenticator.authenticate(header("alice", PASSWORD))

    accounts.change_password(auth, "alice", "another-password")

    assert authenticator.authenticate(header("alice", "another-password"))
    assert not authenticator.authenticate(header("alice", PASSWORD))


def test_a_new_hash_of_the_same_password_is_verified_again(
    authenticator: Authenticator, auth: Path, paid: Verifications
) -> None:
    assert authenticator.authenticate(header("alice", PASSWORD))

    accounts.change_password(auth, "alice", PASSWORD)

    assert authenticator.authenticate(header("alice", PASSWORD))
    assert paid.count == 2


def test_who_is_made_a_reader_is_one_at_once(authenticator: Authenticator, auth: Path) -> None:
    assert authenticator.authenticate(header("alice", PASSWORD))

    (auth / ".htpasswd").replace(auth / ".htpasswd-readers")

    account = authenticator.authenticate(header("alice", PASSWORD))
    assert account is not None
    assert account.role == "reader"


def test_a_deleted_file_lets_nobody_in(authenticator: Authenticator, auth: Path) -> None:
    assert authenticator.authenticate(header("alice", PASSWORD))

    (auth / ".htpasswd").unlink()

    assert not authenticator.authenticate(header("alice", PASSWORD))


def test_the_files_are_read_again_only_when_they_changed(
    authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch, auth: Path
) -> None:
    reads = []
    read = accounts.read

    def counted(folder: Path) -> tuple[list[accounts.Account], list[str]]:
        reads.append(folder)
        return read(folder)

    monkeypatch.setattr(accounts, "read", counted)
    for _ in range(5):
        authenticator.authenticate(header("alice", PASSWORD))
    accounts.add(auth, "carol", "reader", PASSWORD)
    for _ in range(5):
        authenticator.authenticate(header("carol", PASSWORD))

    assert reads == [auth, auth]


def test_a_file_that_cannot_be_read_lets_nobody_in_until_it_can(
    authenticator: Authenticator, auth: Path
) -> None:
    assert authenticator.authenticate(header("alice", PASSWORD))
    kept = (auth / ".htpasswd").rename(auth / "kept")
    (auth / ".htpasswd").mkdir()

    for _ in range(2):
        with pytest.raises(OSError, match="Is a directory"):
            authenticator.authenticate(header("alice", PASSWORD))

    (auth / ".htpasswd").rmdir()
    kept.rename(auth / ".htpasswd")
    assert authenticator.authenticate(header("alice", PASSWORD))


# Threads ------------------------------------------------------------------------------------------


@pytest.fixture
def failures() -> Iterator[list[str]]:
    """What went wrong in the threads of a test, which must be nothing."""
    found: list[str] = []
    yield found
    assert found == []


def test_threads_that_authenticate_while_accounts_change_all_get_the_right_answer(
    authenticator: Authenticator, auth: Path, failures: list[str]
) -> None:
    stop = threading.Event()

    def ask(name: str, password: str, expected: str | None) -> None:
        while not stop.is_set():
            try:
                account = authenticator.authenticate(header(name, password))
            except Exception as failure:
                failures.append(repr(failure))
                return
            if (account.role if account else None) != expected:
                failures.append(f"{name} with {password} is {account}")

    asked = [
        ("alice", PASSWORD, "publisher"),
        ("alice", "wrong", None),
        ("bob", PASSWORD + "2", "reader"),
        ("bob", PASSWORD, None),
        ("mallory", PASSWORD, None),
    ]
    threads = [threading.Thread(target=ask, args=arguments) for arguments in asked]
    for thread in threads:
        thread.start()
    for turn in range(20):
        accounts.add(auth, f"user{turn}", "reader", PASSWORD)
        if turn % 2:
            accounts.remove(auth, f"user{turn}")
    stop.set()
    for thread in threads:
        thread.join()


def test_no_thread_gets_in_after_the_account_was_removed(
    authenticator: Authenticator, auth: Path, failures: list[str]
) -> None:
    removed = threading.Event()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            late = removed.is_set()
            if authenticator.authenticate(header("alice", PASSWORD)) and late:
                failures.append("alice came in")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        accounts.remove(auth, "alice")
        removed.set()
        stop.wait(0.2)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
