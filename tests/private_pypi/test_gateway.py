"""The gateway's copy of the accounts: what it holds, and that it follows every change."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.http import basic
from kit.template import PASSWORD, ROOT
from kit.tokens import PUBLISHERS
from kit.waiting import today
from private_pypi import accounts, gateway, rights
from private_pypi.rights import Rights
from private_pypi.trust import issuers, routes

HASH = "$2y$04$private.pypi.tests..uugfvOQnbet/tUFgFlRVT9OR15g5aLe82"
HEAD = (
    "# Made from pypi_auth/ whenever that changes; an edit here does not last.\n"
    f"_none {accounts.DECOY}\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder from which the gateway imports its accounts."""
    folder = tmp_path / "gateway"
    folder.mkdir()
    return folder


def test_the_copy_holds_the_accounts_of_both_files_in_caddys_form(auth: Path, folder: Path) -> None:
    (auth / ".htpasswd").write_text(f"# admins\nalice:{HASH}\n")
    (auth / ".htpasswd-readers").write_text(f"bob:{HASH}\n")

    assert gateway.write(auth, folder) == []
    assert (folder / gateway.FILE).read_text() == f"{HEAD}alice {HASH}\nbob {HASH}\n"


def test_a_line_that_is_refused_is_returned_as_a_complaint_and_not_copied(
    auth: Path, folder: Path
) -> None:
    (auth / ".htpasswd").write_text(f"alice:open sesame\nbob:{HASH}\nbob:{HASH}\nimport:{HASH}\n")

    complaints = gateway.write(auth, folder)

    assert [complaint.partition(":")[0] for complaint in complaints] == [
        "pypi_auth/.htpasswd line 1",
        "pypi_auth/.htpasswd line 3",
        "pypi_auth/.htpasswd line 4",
    ]
    assert (folder / gateway.FILE).read_text() == f"{HEAD}bob {HASH}\n"


def test_without_accounts_the_copy_lets_nobody_in(auth: Path, folder: Path) -> None:
    gateway.write(auth, folder)

    assert (folder / gateway.FILE).read_text() == HEAD


def test_the_copy_is_only_for_its_owner_and_nothing_else_is_left_behind(
    auth: Path, folder: Path
) -> None:
    (folder / gateway.FILE).touch(mode=0o644)

    gateway.write(auth, folder)

    names = {gateway.FILE, gateway.RIGHTS, gateway.UNKNOWN_USERS, gateway.TRUSTED}
    assert {entry.name for entry in folder.iterdir()} == {".lock", *names}
    for name in names:
        assert (folder / name).stat().st_mode & 0o777 == 0o600


def test_caddy_reads_the_copy_as_it_is_meant_whatever_the_accounts_are_called(
    auth: Path, folder: Path
) -> None:
    names = ["alice", "a.b_c@d+e-f", "9", "imports", "Import", "respond", "basic_auth", "A" * 64]
    for name in names:
        accounts.add(auth, name, "reader", PASSWORD)
    gateway.write(auth, folder)
    (folder / "Caddyfile").write_text(
        f':80 {{\n\tbasic_auth bcrypt "private index" {{\n\t\timport {gateway.FILE}\n\t}}\n}}\n'
    )

    adapted = subprocess.run(
        [Path(sys.executable).with_name("caddy"), "adapt", "--config", folder / "Caddyfile"],
        check=True,
        capture_output=True,
        text=True,
    )

    (route,) = json.loads(adapted.stdout)["apps"]["http"]["servers"]["srv0"]["routes"]
    providers = route["handle"][0]["providers"]
    assert providers["http_basic"]["accounts"][1:] == [
        {"username": account.name, "password": account.hash} for account in accounts.read(auth)[0]
    ]
    assert len(accounts.read(auth)[0]) == len(names)


# Rights -------------------------------------------------------------------------------------------


def adapted(folder: Path, *files: str) -> str:
    """Return what Caddy makes of these lines, in a route."""
    lines = "".join(f"\t\timport {folder / file}\n" for file in files)
    (folder / "Caddyfile").write_text(f":80 {{\n\troute {{\n{lines}\t}}\n}}\n")
    caddy = Path(sys.executable).with_name("caddy")
    return subprocess.run(
        [caddy, "adapt", "--config", folder / "Caddyfile"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_rights_cost_nothing_if_nobody_reads_less_than_all(auth: Path, folder: Path) -> None:
    accounts.add(auth, "alice", "publisher", PASSWORD, rights=Rights(("billing",)))
    later = rights.today() + timedelta(days=1)
    accounts.add(auth, "bob", "reader", PASSWORD, rights=Rights(until=later))

    assert gateway.write(auth, folder) == []

    assert (folder / gateway.RIGHTS).read_text() == HEAD.splitlines(keepends=True)[0]


def test_caddy_reads_the_rights_whatever_the_accounts_are_called(auth: Path, folder: Path) -> None:
    names = ["a.b_c@d+e-f", "9", "imports", "respond", "not", "path", "A" * 64, "a.b"]
    for name in names:
        accounts.add(auth, name, "reader", PASSWORD, rights=Rights(("acme-*", "lib")))
    accounts.add(auth, "vars", "reader", PASSWORD)
    gateway.write(auth, folder)

    said = adapted(folder, gateway.RIGHTS)

    found = re.findall(r'"vars":\{"\{http.auth.user.id\}":(\[[^]]*\])', said)
    assert sorted(map(json.loads, found)) == sorted([["vars"], *([name] for name in names)])


def test_without_an_account_that_reads_everything_nobody_does(auth: Path, folder: Path) -> None:
    accounts.add(auth, "ci", "reader", PASSWORD, rights=Rights(("lib",)))
    gateway.write(auth, folder)

    assert '"path":["*"]' in adapted(folder, gateway.RIGHTS)


@pytest.mark.parametrize("limited", [True, False])
def test_between_two_writes_no_account_has_more_rights(
    auth: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *, limited: bool
) -> None:
    accounts.add(auth, "ci", "reader", PASSWORD, rights=Rights(("lib",)))
    gateway.write(auth, folder)
    accounts.remove(auth, "ci")
    if limited:
        accounts.add(auth, "bob", "reader", PASSWORD, rights=Rights(("lib",)))
    written: list[str] = []
    monkeypatch.setattr(gateway, "write_atomically", lambda path, _: written.append(path.name))

    gateway.write(auth, folder)

    order = [gateway.RIGHTS, gateway.FILE]
    assert written[2:] == (order if limited else order[::-1])


def test_rights_of_no_account_and_a_line_that_cannot_be_read_are_complained_about(
    auth: Path, folder: Path
) -> None:
    (auth / ".htpasswd").write_text(f"alice:{HASH}\nci:{HASH}\n")
    (auth / ".rights").write_text("c1 projects=billing\nci until=tomorrow\n")

    assert gateway.write(auth, folder) == [
        "pypi_auth/.rights line 2: 'ci' is shut out: until='tomorrow' is not a day: write it as"
        " 2027-02-25",
        "pypi_auth/.rights has a line for 'c1', which is no account: correct the name or delete the"
        " line",
    ]
    assert copied(folder) == ["alice"]


# Unknown users ------------------------------------------------------------------------------------

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", fullmatch=True)


def authorization(name: str | bytes, password: str | bytes) -> str:
    """Return the header a client makes of name and password."""
    return basic(name, password)["Authorization"]


@given(
    names=st.lists(NAMES, min_size=1, max_size=8, unique=True),
    password=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=72),
)
def test_every_login_of_an_account_is_recognised(names: list[str], password: str) -> None:
    pattern = re.compile(gateway.logins(names))
    for name in names:
        header = authorization(name, password)
        assert pattern.search(header)
        assert pattern.search(f"bASIC{header[5:]}")


@given(
    names=st.lists(NAMES, max_size=8, unique=True),
    stranger=st.one_of(NAMES, st.text(), st.just(""), st.just("_none")),
    password=st.binary(max_size=200),
)
def test_nobody_else_is(names: list[str], stranger: str, password: bytes) -> None:
    name = stranger.partition(":")[0]
    pattern = re.compile(gateway.logins(["_none", *names]))

    if len(password) not in (73, 74):  # These share their last group of letters with shorter ones.
        expected = name in ["_none", *names] and len(password) <= 72
        assert bool(pattern.search(authorization(name, password))) is expected


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic ",
        f"Bearer {authorization('bob', 'x')[6:]}",
        f"Basic  {authorization('bob', 'x')[6:]}",
        f"{authorization('bob', 'x')},{authorization('bob', 'y')}",
        f"{authorization('mallory', 'x')},{authorization('bob', 'x')}",
        f"{authorization('bob', 'x')} ",
        f"{authorization('bob', 'x')}\n{authorization('bob', 'x')}",
        f" {authorization('bob', 'x')}",
        authorization("bob", "x" * 75),
        "Basic Ym9iOg",
        "Basic Ym9i",
    ],
)
def test_what_is_not_one_whole_login_is_none(header: str) -> None:
    # `bob:` and nothing after it; Go decodes no base64 without its padding.
    expected = header == "Basic Ym9iOg"
    assert bool(re.search(gateway.logins(["bob"]), header)) is expected


# Following ----------------------------------------------------------------------------------------


def test_who_read_the_accounts_before_they_changed_does_not_write_last(
    auth: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.add(auth, "alice", "publisher", PASSWORD)
    read = accounts.read
    others: list[threading.Thread] = []

    def read_slowly(auth: Path) -> tuple[list[accounts.Account], list[str]]:
        found = read(auth)
        if not others:
            accounts.remove(auth, "alice")
            others.append(threading.Thread(target=gateway.write, args=(auth, folder)))
            others[0].start()
            others[0].join(0.5)
        return found

    monkeypatch.setattr(accounts, "read", read_slowly)
    gateway.write(auth, folder)
    others[0].join()

    assert copied(folder) == []


class EnoughError(Exception):
    """Ends a loop that has no end."""


def follow(
    auth: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, steps: Iterator[None]
) -> None:
    """Follow, taking the next of the test's steps whenever the program would sleep."""

    def sleep(seconds: float) -> None:
        # Caddy looks at the copy every second: docs/accounts.md promises two seconds in all.
        assert seconds <= 0.5
        if next(steps, EnoughError) is EnoughError:
            raise EnoughError

    monkeypatch.setattr(gateway, "time", SimpleNamespace(sleep=sleep))
    with pytest.raises(EnoughError):
        gateway.follow(auth, folder)


def copied(folder: Path) -> list[str]:
    """Return the names in the gateway's copy."""
    return [line.split()[0] for line in (folder / gateway.FILE).read_text().splitlines()[2:]]


def test_whoever_is_added_or_removed_is_so_in_the_copy_after_one_look(
    auth: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def steps() -> Iterator[None]:
        assert copied(folder) == []
        accounts.add(auth, "alice", "publisher", PASSWORD)
        yield
        assert copied(folder) == ["alice"]
        accounts.add(auth, "bob", "reader", PASSWORD)
        yield
        assert copied(folder) == ["alice", "bob"]
        accounts.remove(auth, "alice")
        yield
        assert copied(folder) == ["bob"]
        (auth / ".htpasswd-readers").unlink()
        yield
        assert copied(folder) == []

    follow(auth, folder, monkeypatch, steps())


def test_ci_jobs_are_let_in_while_a_publisher_is_trusted(
    auth: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = auth / ".publishers.toml"

    def let_in() -> tuple[bool, bool]:
        """Return whether their requests are, and whether their login is one that is known."""
        unknown = (folder / gateway.UNKNOWN_USERS).read_text()
        login = authorization("__token__", "x" * 43)
        (pattern,) = re.findall(r'not vars_regexp \S+ "(.*)"', unknown)
        return "mint-token" in (folder / gateway.TRUSTED).read_text(), bool(
            re.search(pattern, login)
        )

    def steps() -> Iterator[None]:
        assert let_in() == (False, False)
        file.write_text(PUBLISHERS)
        yield
        assert let_in() == (True, True)
        file.write_text("no TOML")
        yield
        assert let_in() == (False, False)
        file.write_text(PUBLISHERS)
        yield
        assert let_in() == (True, True)
        file.unlink()
        yield
        assert let_in() == (False, False)

    follow(auth, folder, monkeypatch, steps())


def test_an_entry_that_is_not_trusted_is_complained_about(auth: Path, folder: Path) -> None:
    accounts.add(auth, "alice", "publisher", PASSWORD)
    (auth / ".publishers.toml").write_text("[[publisher]]\n")

    (complaint,) = gateway.write(auth, folder)

    assert complaint.startswith("pypi_auth/.publishers.toml: publisher 1 is not trusted: ")


def test_the_copy_is_written_at_the_start_and_then_only_after_a_change(
    auth: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / gateway.FILE).write_text("an old one")

    def steps() -> Iterator[None]:
        written = (folder / gateway.FILE).stat()
        assert copied(folder) == []
        yield
        yield
        assert os.path.samestat(written, (folder / gateway.FILE).stat())
        accounts.add(auth, "alice", "publisher", PASSWORD)
        yield
        assert not os.path.samestat(written, (folder / gateway.FILE).stat())

    follow(auth, folder, monkeypatch, steps())


def test_rights_are_followed_and_end_with_the_day(
    auth: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.add(auth, "ci", "reader", PASSWORD)
    day, file = today(), folder / gateway.RIGHTS

    def steps() -> Iterator[None]:
        assert "ci" not in file.read_text()
        (auth / ".rights").write_text(f"ci projects=lib until={day}\n")
        yield
        assert "@account_0 vars {http.auth.user.id} ci\n" in file.read_text()
        monkeypatch.setattr(rights, "today", lambda: day + timedelta(days=1))
        yield
        assert "account_0" not in file.read_text()
        assert "vars rights ask" in file.read_text()

    follow(auth, folder, monkeypatch, steps())


@pytest.mark.parametrize("step", ["deleted", "emptied"])
def test_while_an_editor_saves_the_rights_the_copy_keeps_them(
    auth: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    accounts.add(auth, "ci", "reader", PASSWORD, rights=Rights(("lib",)))

    def steps() -> Iterator[None]:
        if step == "deleted":
            (auth / ".rights").unlink()
        else:
            (auth / ".rights").write_bytes(b"")
        yield
        assert "ci" in (folder / gateway.RIGHTS).read_text()
        monkeypatch.setattr(accounts, "SAVED_AFTER", 0)
        yield
        assert "ci" not in (folder / gateway.RIGHTS).read_text()

    follow(auth, folder, monkeypatch, steps())


def test_a_file_that_cannot_be_read_keeps_the_last_copy_until_it_can(
    auth: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (auth / ".htpasswd").write_text(f"alice:{HASH}\n")

    def steps() -> Iterator[None]:
        kept = (auth / ".htpasswd").rename(auth / "kept")
        (auth / ".htpasswd").mkdir()
        yield
        assert copied(folder) == ["alice"]
        assert "the gateway does not have the current accounts yet" in caplog.text
        (auth / ".htpasswd").rmdir()
        kept.write_text(f"bob:{HASH}\n")
        kept.rename(auth / ".htpasswd")
        yield
        assert copied(folder) == ["bob"]

    follow(auth, folder, monkeypatch, steps())


@pytest.mark.parametrize("file", [".publishers.toml", ".issuers.pem"])
def test_what_is_wrong_with_ci_jobs_keeps_no_revoked_account(
    auth: Path, folder: Path, file: str
) -> None:
    for name in ("alice", "bob"):
        accounts.add(auth, name, "publisher", PASSWORD)
    (auth / ".publishers.toml").write_text(PUBLISHERS)
    gateway.write(auth, folder)
    (auth / file).unlink(missing_ok=True)
    (auth / file).mkdir()
    accounts.remove(auth, "bob")

    (complaint,) = gateway.write(auth, folder)

    assert copied(folder) == ["alice"]
    assert f"pypi_auth/{file}" in complaint
    is_trusted = routes.MINT in (folder / gateway.TRUSTED).read_text()
    assert is_trusted is (file == ".issuers.pem")


@pytest.mark.parametrize("file", [".publishers.toml", ".issuers.pem"])
def test_a_file_that_becomes_readable_counts_from_then_on(
    auth: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    (auth / ".publishers.toml").write_text(PUBLISHERS)
    (auth / ".issuers.pem").write_text("an authority")
    opened = Path.open

    def refuses(path: Path, *arguments: Any, **more: Any) -> Any:
        # Root, as whom tests may run, may read any file.
        if path.name == file and not path.stat().st_mode & 0o400:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *arguments, **more)

    def knows() -> bool:
        copy = folder / issuers.FOLDER / issuers.AUTHORITIES
        return routes.MINT in (folder / gateway.TRUSTED).read_text() and copy.exists()

    def steps() -> Iterator[None]:
        assert not knows()
        (auth / file).chmod(0o400)
        yield
        assert knows()

    monkeypatch.setattr(Path, "open", refuses)
    (auth / file).chmod(0)
    follow(auth, folder, monkeypatch, steps())


def test_a_folder_that_is_away_for_a_while_ends_nothing(
    auth: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accounts.add(auth, "ci", "reader", PASSWORD, rights=Rights(("lib",)))

    def steps() -> Iterator[None]:
        away = auth.rename(auth.with_name("away"))
        yield
        assert copied(folder) == ["ci"]
        assert "the gateway does not have the current accounts yet" in caplog.text
        away.rename(auth)
        accounts.add(auth, "alice", "publisher", PASSWORD)
        yield
        assert copied(folder) == ["alice", "ci"]

    follow(auth, folder, monkeypatch, steps())


def test_a_copy_that_cannot_be_written_is_written_as_soon_as_it_can(
    auth: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (auth / ".htpasswd").write_text(f"alice:{HASH}\n")
    folder.rmdir()

    def steps() -> Iterator[None]:
        yield
        folder.mkdir()
        yield
        assert copied(folder) == ["alice"]

    follow(auth, folder, monkeypatch, steps())


def test_a_line_that_is_refused_is_complained_about_once_in_the_log(
    auth: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (auth / ".htpasswd").write_text("alice:open sesame\n")

    def steps() -> Iterator[None]:
        yield
        yield

    with caplog.at_level(logging.ERROR):
        follow(auth, folder, monkeypatch, steps())

    assert caplog.messages == [
        "pypi_auth/.htpasswd line 1: alice has a plaintext password, which the gateway refuses;"
        " run make pypi-user-passwd USER=alice"
    ]


def test_an_upload_of_a_ci_job_has_the_time_of_any_other(auth: Path, folder: Path) -> None:
    (auth / ".publishers.toml").write_text(PUBLISHERS)
    gateway.write(auth, folder)

    caddyfile = (ROOT / "template/server/gateway/Caddyfile.jinja").read_text()
    (time,) = re.findall(r"read_timeout \S+ [0-9]+", caddyfile)
    assert time in (folder / gateway.TRUSTED).read_text()


def test_an_older_caddyfile_never_imports_what_it_cannot_read(auth: Path, folder: Path) -> None:
    # Before the launch after an update, and after a step back, the gateway has one that knows
    # nothing of CI jobs.
    (auth / ".publishers.toml").write_text(PUBLISHERS)
    gateway.write(auth, folder)
    caddy = Path(sys.executable).with_name("caddy")
    imports = f"\timport {folder}/*.conf\n\tbasic_auth {{\n\t\timport {folder}/*.caddy\n\t}}\n"
    (folder / "Caddyfile").write_text(f":80 {{\n{imports}}}\n")

    said = subprocess.run(
        [caddy, "adapt", "--config", folder / "Caddyfile"], capture_output=True, text=True
    )

    assert said.returncode == 0, said.stderr
    assert "mint-token" not in said.stdout
