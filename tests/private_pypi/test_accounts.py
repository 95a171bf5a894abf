"""The htpasswd files: what is let in, what is refused with which words, and how edits are made."""

from __future__ import annotations

import codecs
import errno
import itertools
import os
import string
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.template import PASSWORD
from passlib.hash import bcrypt
from private_pypi import accounts
from private_pypi.accounts import AccountError
from private_pypi.rights import Rights

pytestmark = pytest.mark.usefixtures("cheap_hashes")

HASH = "$2y$04$private.pypi.tests..uugfvOQnbet/tUFgFlRVT9OR15g5aLe82"
PACKAGE = Path(accounts.__file__).parent.parent

SHA1 = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="
APR1 = "$apr1$gS7r8c2d$3QxJ6Yw3dlxXKzXbY1u2h/"
CRYPT = "rqXexS6ZhobKA"

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", fullmatch=True).filter(
    lambda name: name != "import"
)
PASSWORDS = st.text(
    sorted(set(string.printable[:94]) - set("'\\ ")), min_size=12, max_size=accounts.LONGEST
)


def put(folder: Path, role: str, *lines: str) -> Path:
    """Write the lines into a role's file, as a person with an editor would."""
    path = folder / accounts.FILES[role]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def names(folder: Path) -> list[tuple[str, str]]:
    """Return name and role of the accounts that are let in."""
    return [(account.name, account.role) for account in accounts.read(folder)[0]]


# Reading ------------------------------------------------------------------------------------------


def test_no_files_are_no_accounts_and_no_complaints(auth: Path) -> None:
    assert accounts.read(auth) == ([], [])


def test_the_file_an_account_stands_in_gives_it_its_role(auth: Path) -> None:
    put(auth, "publisher", f"alice:{HASH}")
    put(auth, "reader", f"bob:{HASH}")

    assert names(auth) == [("alice", "publisher"), ("bob", "reader")]


@pytest.mark.parametrize("ident", ["2a", "2b", "2y"])
def test_each_common_kind_of_bcrypt_is_let_in(auth: Path, ident: str) -> None:
    put(auth, "reader", f"alice:${ident}{HASH[3:]}")

    assert names(auth) == [("alice", "reader")]


def test_comments_blank_lines_and_carriage_returns_are_no_accounts(auth: Path) -> None:
    put(auth, "reader", "# the build machines", "", "   ", f"ci:{HASH}\r", "#old:line")

    assert names(auth) == [("ci", "reader")]
    assert accounts.read(auth)[1] == []


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_mark_that_an_editor_puts_before_a_file_shuts_nobody_out(
    auth: Path, encoding: str
) -> None:
    file = auth / accounts.FILES["reader"]
    file.write_bytes(f"alice:{HASH}\r\n# Größe\r\nbob:{HASH}\r\n".encode(encoding))
    known = [("alice", "reader"), ("bob", "reader")]

    assert (names(auth), accounts.read(auth)[1]) == (known, [])
    assert [account.name for account in accounts.listed(auth)] == ["alice", "bob"]

    accounts.add(auth, "carol", "reader", PASSWORD)
    accounts.remove(auth, "alice")

    assert (names(auth), accounts.read(auth)[1]) == ([known[1], ("carol", "reader")], [])
    assert file.read_text().startswith("# Größe\nbob:")


def test_a_mark_between_two_files_that_were_joined_shuts_nobody_out(auth: Path) -> None:
    put(auth, "reader", f"\ufeffalice:{HASH}", f"\ufeffbob:{HASH}", "\ufeff")

    assert names(auth) == [("alice", "reader"), ("bob", "reader")]
    assert accounts.read(auth)[1] == []


@pytest.mark.parametrize(
    ("digest", "kind"),
    [
        (SHA1, "a SHA-1 hash"),
        ("{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9hzYWx0", "a SHA-1 hash"),
        (APR1, "an MD5 hash"),
        ("$1$gS7r8c2d$3QxJ6Yw3dlxXKzXbY1u2h/", "an MD5 hash"),
        ("$5$rounds=5000$salt$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8", "a SHA-256 hash"),
        ("$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130", "a SHA-512 hash"),
        ("$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g", "an argon2 hash"),
        ("$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.", "a yescrypt hash"),
        ("$gy$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.", "a yescrypt hash"),
        ("$7$CU..../....salt$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7", "an scrypt hash"),
        (CRYPT, "a plaintext password"),
        ("open sesame", "a plaintext password"),
        ("", "a plaintext password"),
    ],
)
@pytest.mark.parametrize("role", list(accounts.FILES))
def test_a_line_with_another_hash_is_refused_with_its_place_its_user_and_the_remedy(
    auth: Path, role: str, digest: str, kind: str
) -> None:
    put(auth, role, "# by hand", "", f"alice:{digest}", f"bob:{HASH}")

    assert names(auth) == [("bob", role)]
    assert accounts.read(auth)[1] == [
        f"pypi_auth/{accounts.FILES[role]} line 3: alice has {kind}, which the gateway refuses;"
        " run make pypi-user-passwd USER=alice"
    ]


@pytest.mark.parametrize(
    "digest",
    [
        HASH[:-1],
        HASH + "x",
        HASH + ":comment",
        HASH[:-1] + "!",
        "$2x" + HASH[3:],
        "$2y$4$" + HASH[7:],
        "$2y$03$" + HASH[7:],
        "$2y$32$" + HASH[7:],
        "$2y$99$" + HASH[7:],
        "$2y$" + HASH,
    ],
)
def test_a_damaged_bcrypt_hash_is_refused_before_anybody_tries_to_verify_it(
    auth: Path, digest: str
) -> None:
    put(auth, "reader", f"alice:{digest}")

    assert accounts.read(auth) == (
        [],
        [
            "pypi_auth/.htpasswd-readers line 1: the bcrypt hash of alice is damaged;"
            " run make pypi-user-passwd USER=alice"
        ],
    )


@pytest.mark.parametrize("line", ["hunter2-hunter2", HASH, "alice", "\ufeffalice"])
def test_a_line_without_a_colon_is_refused_and_not_repeated_for_it_may_be_a_password(
    auth: Path, line: str
) -> None:
    put(auth, "publisher", f"bob:{HASH}", line)

    assert accounts.read(auth)[1] == ["pypi_auth/.htpasswd line 2: not a line user:hash; delete it"]


@pytest.mark.parametrize(
    "name",
    ["", "-alice", "@alice", "al ice", "al{$HOME}ice", "alice\t", 'al"ice', "älice", "a" * 65],
)
def test_a_name_the_gateway_could_not_read_is_refused(auth: Path, name: str) -> None:
    put(auth, "publisher", f"{name}:{HASH}")

    assert accounts.read(auth) == (
        [],
        ["pypi_auth/.htpasswd line 1: that user name cannot be used; delete the line"],
    )


def test_a_user_called_import_is_refused_for_the_gateway_takes_that_as_a_directive(
    auth: Path,
) -> None:
    put(auth, "publisher", f"import:{HASH}")

    assert names(auth) == []
    with pytest.raises(AccountError, match="'import' cannot be a user name"):
        accounts.add(auth, "import", "reader", PASSWORD)


def test_a_name_twice_in_one_file_counts_once_and_both_lines_are_named(auth: Path) -> None:
    put(auth, "reader", f"alice:{HASH}", "# again", f"alice:{HASH}")

    known, complaints = accounts.read(auth)

    assert [account.line for account in known] == [1]
    assert complaints == [
        "pypi_auth/.htpasswd-readers line 3: alice is already in pypi_auth/.htpasswd-readers"
        " line 1; delete one of the two lines"
    ]


def test_a_name_in_both_files_is_a_publisher_and_both_lines_are_named(auth: Path) -> None:
    put(auth, "publisher", "# admins", f"alice:{HASH}")
    put(auth, "reader", f"alice:{HASH}")

    assert names(auth) == [("alice", "publisher")]
    assert accounts.read(auth)[1] == [
        "pypi_auth/.htpasswd-readers line 1: alice is already in pypi_auth/.htpasswd line 2;"
        " delete one of the two lines"
    ]


def test_a_second_line_with_a_refused_hash_is_called_a_duplicate_since_passwd_would_not_fix_it(
    auth: Path,
) -> None:
    put(auth, "publisher", f"alice:{HASH}")
    put(auth, "reader", f"alice:{SHA1}")

    assert accounts.read(auth)[1] == [
        "pypi_auth/.htpasswd-readers line 1: alice is already in pypi_auth/.htpasswd line 1;"
        " delete one of the two lines"
    ]


@pytest.mark.parametrize("digest", [SHA1, APR1, CRYPT, "open sesame", "", HASH[:-1], "$2y$99$x"])
@pytest.mark.parametrize("role", list(accounts.FILES))
def test_the_remedy_of_a_complaint_remedies_it(auth: Path, role: str, digest: str) -> None:
    put(auth, role, f"alice:{digest}")

    accounts.change_password(auth, "alice", PASSWORD)

    assert accounts.read(auth)[1] == []
    assert names(auth) == [("alice", role)]


@given(
    content=st.lists(
        st.one_of(
            st.text(max_size=30),
            st.tuples(st.text(max_size=10), st.text(max_size=80)).map(":".join),
        ),
        max_size=6,
    ),
    secret=st.sampled_from([SHA1, APR1, HASH[:-1], HASH, "tr0ub4dor&3-xyzzy"]),
    name=NAMES,
)
def test_no_complaint_ever_holds_what_stands_behind_the_colon_or_a_line_without_one(
    content: list[str], secret: str, name: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        put(Path(folder), "publisher", *content, f"{name}:{secret}", secret, f"{name}:{secret}")
        _, complaints = accounts.read(Path(folder))

    assert complaints
    assert not [complaint for complaint in complaints if secret in complaint]


def test_a_list_shows_every_account_with_role_line_and_scheme_also_the_refused(auth: Path) -> None:
    put(auth, "publisher", "# admins", f"alice:{HASH}", "no account")
    put(auth, "reader", f"bob:{SHA1}", "carol:open sesame")

    assert [(x.name, x.role, x.line, x.scheme) for x in accounts.listed(auth)] == [
        ("alice", "publisher", 2, "bcrypt"),
        ("bob", "reader", 1, "SHA-1"),
        ("carol", "reader", 2, "plaintext"),
    ]


# Passwords and names ------------------------------------------------------------------------------


def test_a_new_password_has_32_letters_and_digits_and_is_never_the_same() -> None:
    made = {accounts.new_password() for _ in range(50)}

    assert len(made) == 50
    assert all(len(x) == 32 and x.isascii() and x.isalnum() for x in made)
    for password in made:
        accounts.check_password(password)


@pytest.mark.parametrize(
    ("password", "remedy"),
    [
        ("", "use a password of 12 to 72 characters"),
        ("elevenchars", "use a password of 12 to 72 characters"),
        ("x" * 73, "use a password of 12 to 72 characters"),
        ("it's-a-long-one", "leave single quotes, backslashes and spaces out"),
        ("back\\slash-long", "leave single quotes, backslashes and spaces out"),
        ("two words-long", "leave single quotes, backslashes and spaces out"),
        ("pässwörd-länger", "use printable ASCII characters only"),
        ("tab\tseparated-x", "use printable ASCII characters only"),
        ("nul\0nul-nul-nul", "use printable ASCII characters only"),
        ("delete\x7fdelete", "use printable ASCII characters only"),
    ],
)
def test_a_password_some_client_could_not_carry_is_refused_without_repeating_it(
    auth: Path, password: str, remedy: str
) -> None:
    put(auth, "reader", f"alice:{HASH}")

    with pytest.raises(AccountError, match=remedy) as added:
        accounts.add(auth, "bob", "reader", password)
    with pytest.raises(AccountError, match=remedy) as changed:
        accounts.change_password(auth, "alice", password)

    assert not password or password not in f"{added.value}{changed.value}"
    assert (auth / ".htpasswd-readers").read_text() == f"alice:{HASH}\n"


@pytest.mark.parametrize(
    "name", ["", "-x", ".x", "a b", "a:b", "a\nb", "a\n", "é", "a" * 65, "$(id)", "a#b", '"a"']
)
def test_a_bad_name_is_refused_with_what_to_use_instead(auth: Path, name: str) -> None:
    with pytest.raises(AccountError, match="use 1 to 64 letters, digits"):
        accounts.add(auth, name, "reader", PASSWORD)
    assert names(auth) == []


def test_a_role_that_does_not_exist_is_refused_with_those_that_do(auth: Path) -> None:
    with pytest.raises(AccountError, match="role 'admin' does not exist: use publisher or reader"):
        accounts.add(auth, "alice", "admin", PASSWORD)


@given(name=NAMES, password=PASSWORDS, role=st.sampled_from(list(accounts.FILES)))
def test_whoever_is_added_is_let_in_with_that_password_and_role(
    name: str, password: str, role: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        accounts.add(Path(folder), name, role, password)
        ((account,), complaints) = accounts.read(Path(folder))

    assert complaints == []
    assert (account.name, account.role, account.line) == (name, role, 1)
    assert bcrypt.verify(password, account.hash)


def test_a_new_hash_is_bcrypt_as_caddy_and_apache_write_it_slow_only_where_guessing_may_help(
    auth: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    accounts.add(auth, "alice", "reader", PASSWORD)
    accounts.add(auth, "bob", "reader", accounts.new_password(), generated=True)
    assert starts(auth / ".htpasswd-readers") == ["alice:$2y$10$", "bob:$2y$04$"]

    accounts.change_password(auth, "alice", accounts.new_password(), generated=True)
    accounts.change_password(auth, "bob", PASSWORD)
    assert starts(auth / ".htpasswd-readers") == ["alice:$2y$04$", "bob:$2y$10$"]


def starts(path: Path) -> list[str]:
    """Return name, scheme and cost of each line."""
    return [f"{line.rpartition('$')[0]}$" for line in path.read_text().splitlines()]


@given(password=st.binary(max_size=72).filter(lambda password: b"\0" not in password))
@settings(max_examples=20, deadline=None)
def test_no_password_fits_the_decoy_which_costs_what_a_made_up_one_does(password: bytes) -> None:
    assert bcrypt.identify(accounts.DECOY)
    assert bcrypt.normhash(accounts.DECOY) == accounts.DECOY
    assert accounts.DECOY.startswith("$2y$04$")
    assert not bcrypt.verify(password, accounts.DECOY)


def test_an_edit_is_on_the_disk_with_the_name_it_got(
    auth: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        forced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    accounts.add(auth, "alice", "publisher", PASSWORD)

    assert [Path(path).parent == auth for path in forced] == [True, False]
    assert forced[-1] == str(auth)


# Edits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digest", [HASH, SHA1])
@pytest.mark.parametrize("role", list(accounts.FILES))
def test_a_name_that_is_taken_in_either_file_is_refused_with_both_ways_on(
    auth: Path, role: str, digest: str
) -> None:
    put(auth, role, f"alice:{digest}")

    with pytest.raises(AccountError) as refusal:
        accounts.add(auth, "alice", "reader", PASSWORD)

    assert str(refusal.value) == (
        f"alice already exists as {role}: run make pypi-user-passwd USER=alice for a new password,"
        " or make pypi-user-remove USER=alice first"
    )


@pytest.mark.parametrize("name", ["bob", "", "#", "#old", "ali"])
def test_an_account_that_does_not_exist_can_be_neither_changed_nor_removed(
    auth: Path, name: str
) -> None:
    path = put(auth, "publisher", f"alice:{HASH}", f"#old:{HASH}", f":{HASH}")
    before = path.read_bytes()

    with pytest.raises(AccountError, match="has no account: make pypi-user-list shows all"):
        accounts.remove(auth, name)
    with pytest.raises(AccountError, match="has no account: make pypi-user-list shows all"):
        accounts.change_password(auth, name, PASSWORD)

    assert path.read_bytes() == before


def test_a_new_password_replaces_the_hash_and_nothing_else(auth: Path) -> None:
    put(auth, "publisher", f"ann:{HASH}", f"anna:{HASH}")

    accounts.change_password(auth, "ann", "another-password")

    first, second = (auth / ".htpasswd").read_text().splitlines()
    assert bcrypt.verify("another-password", first.removeprefix("ann:"))
    assert second == f"anna:{HASH}"


def test_a_removed_account_is_gone_from_both_files_also_when_it_stood_twice(auth: Path) -> None:
    put(auth, "publisher", f"alice:{HASH}", f"bob:{HASH}", f"alice:{HASH}")
    put(auth, "reader", f"carol:{HASH}", f"alice:{HASH}")

    accounts.remove(auth, "alice")

    assert names(auth) == [("bob", "publisher"), ("carol", "reader")]
    assert accounts.read(auth)[1] == []


# A byte order mark is dropped, as it is not part of a line.
NO_FOREIGN = (b"zoe:", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
FOREIGN = st.binary(max_size=40).filter(
    lambda line: b"\n" not in line and not line.startswith(NO_FOREIGN)
)


@given(lines=st.lists(FOREIGN, max_size=8))
@settings(deadline=None)
def test_every_other_line_survives_every_edit_to_the_byte(lines: list[bytes]) -> None:
    before = b"".join(line + b"\n" for line in lines)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / ".htpasswd"
        path.write_bytes(before)

        accounts.add(folder, "zoe", "publisher", PASSWORD)
        added = path.read_bytes()
        accounts.change_password(folder, "zoe", "another-password")
        changed = path.read_bytes()
        accounts.remove(folder, "zoe")

        assert added.startswith(before + b"zoe:$2y$")
        assert changed.startswith(before + b"zoe:$2y$")
        assert changed != added
        assert path.read_bytes() == before


def test_a_last_line_without_a_newline_gets_one_before_the_next_account(auth: Path) -> None:
    (auth / ".htpasswd").write_text(f"alice:{HASH}")

    accounts.add(auth, "bob", "publisher", PASSWORD)

    assert names(auth) == [("alice", "publisher"), ("bob", "publisher")]


def test_the_files_are_only_for_their_owner_and_nothing_else_is_left_behind(auth: Path) -> None:
    path = put(auth, "publisher", f"alice:{HASH}")
    path.chmod(0o644)

    accounts.add(auth, "bob", "publisher", PASSWORD)
    accounts.add(auth, "carol", "reader", PASSWORD)
    accounts.change_password(auth, "bob", PASSWORD)
    accounts.remove(auth, "alice")

    assert {entry.name for entry in auth.iterdir()} == {".htpasswd", ".htpasswd-readers", ".lock"}
    assert (auth / ".htpasswd").stat().st_mode & 0o777 == 0o600
    assert (auth / ".htpasswd-readers").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("step", [(os, "fsync"), (Path, "replace")], ids=["fsync", "replace"])
@pytest.mark.parametrize(
    "trouble", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_a_full_disk_or_an_interrupt_keeps_the_old_file_and_leaves_no_other(
    auth: Path, monkeypatch: pytest.MonkeyPatch, step: tuple[object, str], trouble: BaseException
) -> None:
    path = put(auth, "publisher", f"alice:{HASH}")

    def fail(*_: object) -> None:
        raise trouble

    monkeypatch.setattr(*step, fail)
    with pytest.raises(type(trouble)):
        accounts.add(auth, "bob", "publisher", PASSWORD)

    assert path.read_text() == f"alice:{HASH}\n"
    assert {entry.name for entry in auth.iterdir()} == {".htpasswd", ".lock"}


def test_a_command_killed_in_the_middle_keeps_the_old_file_whole(auth: Path) -> None:
    path = put(auth, "publisher", *(f"user{number}:{HASH}" for number in range(200)))
    before = path.read_bytes()
    program = (
        "import os, pathlib, signal, sys\n"
        "from private_pypi import accounts\n"
        "accounts.COST = 4\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"accounts.add(pathlib.Path(sys.argv[1]), 'bob', 'publisher', {PASSWORD!r})\n"
    )

    killed = subprocess.run(
        [sys.executable, "-c", program, str(auth)],
        check=False,
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
    )

    assert killed.returncode == -9
    assert path.read_bytes() == before
    # The next edit is not blocked by the lock of the one that died.
    accounts.add(auth, "bob", "publisher", PASSWORD)
    assert ("bob", "publisher") in names(auth)


def test_edits_at_the_same_time_all_survive(auth: Path) -> None:
    threads = 8
    start = threading.Barrier(threads)
    failures: list[BaseException] = []

    def edit(number: int) -> None:
        try:
            start.wait()
            for turn in range(4):
                accounts.add(auth, f"user{number}.{turn}", "reader", PASSWORD)
        except BaseException as failure:
            failures.append(failure)

    running = [threading.Thread(target=edit, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()

    assert failures == []
    assert sorted(name for name, _ in names(auth)) == sorted(
        f"user{number}.{turn}" for number in range(threads) for turn in range(4)
    )


def test_only_one_of_two_who_add_the_same_name_at_once_succeeds(auth: Path) -> None:
    start = threading.Barrier(2)
    outcomes: list[str] = []

    def add(role: str) -> None:
        start.wait()
        try:
            accounts.add(auth, "alice", role, PASSWORD)
            outcomes.append("added")
        except AccountError:
            outcomes.append("refused")

    running = [threading.Thread(target=add, args=(role,)) for role in accounts.FILES]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()

    assert sorted(outcomes) == ["added", "refused"]
    assert accounts.read(auth)[1] == []


# The fingerprint ----------------------------------------------------------------------------------


def test_an_account_that_is_added_while_the_files_are_read_has_its_rights(
    auth: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, few = accounts._lines, Rights(("lib",))
    to_come = ["first", "second"]

    def lines_and_add(folder: Path, file: str) -> list[str]:
        found = lines(folder, file)
        if to_come and file == ".rights":
            name = to_come.pop()
            with monkeypatch.context() as other:
                other.setattr(accounts, "_lines", lines)
                accounts.add(folder, name, "reader", PASSWORD, rights=few)
        return found

    monkeypatch.setattr(accounts, "_lines", lines_and_add)

    told = {account.name: account.rights for account in accounts.read(auth)[0]}
    assert told == {"first": few, "second": few}


def test_files_that_change_without_end_are_read_all_the_same(
    auth: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(auth, "reader", f"bob:{HASH}")
    numbers = itertools.count()
    monkeypatch.setattr(accounts, "fingerprint", lambda _: next(numbers))

    assert names(auth) == [("bob", "reader")]


def rewrite_in_place(path: Path) -> None:
    path.write_text("other")


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


@pytest.mark.parametrize("role", list(accounts.FILES))
@pytest.mark.parametrize("change", [rewrite_in_place, replace, Path.unlink])
def test_the_fingerprint_differs_after_a_file_was_written_replaced_or_deleted(
    auth: Path, role: str, change: Callable[[Path], object]
) -> None:
    path = put(auth, role, f"alice:{HASH}")
    before = accounts.fingerprint(auth)
    assert accounts.fingerprint(auth) == before

    change(path)

    assert accounts.fingerprint(auth) != before
