"""The command line: what it does, what it prints where, and how it fails."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import pty
import re
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kit import attestation, wheel
from kit.template import PASSWORD
from kit.waiting import today, wait_until
from passlib.hash import bcrypt
from private_pypi import accounts, rights
from private_pypi.__main__ import main
from private_pypi.index import Index
from private_pypi.web import differences as web_differences

HASH = "$2y$04$private.pypi.tests..uugfvOQnbet/tUFgFlRVT9OR15g5aLe82"
PACKAGE = Path(accounts.__file__).parent.parent

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folders(repository: Path, auth: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders of a rendered repository, as the working directory."""
    assert auth == repository / "pypi_auth"
    (repository / "pypi_data").mkdir()
    (repository / "gateway").mkdir()
    monkeypatch.setenv("PYPI_GATEWAY", "gateway")
    return repository


def copied(folders: Path) -> list[str]:
    """Return the names in the gateway's copy of the accounts."""
    lines = (folders / "gateway/accounts.caddy").read_text().splitlines()
    return [line.split()[0] for line in lines if line[0] not in "#_"]


def type_in(monkeypatch: pytest.MonkeyPatch, typed: bytes) -> None:
    """Have the command read this from its standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed), encoding="utf-8"))


# Accounts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "may", "role"),
    [
        (["--role", "publisher"], "publish and install", "publisher"),
        (["--role", "reader"], "install, not publish", "reader"),
        ([], "install, not publish", "reader"),
    ],
)
def test_add_makes_an_account_and_prints_its_new_password_once(
    folders: Path, capsys: Captured, arguments: list[str], may: str, role: str
) -> None:
    assert main(["user", "add", *arguments, "--", "alice"]) == 0

    printed = capsys.readouterr()
    said = re.fullmatch(
        rf"alice may {may}\.\npassword: ([A-Za-z0-9]{{32}})\n"
        r"It is shown this once: store it in your password manager\.\n",
        printed.out,
    )
    assert said, printed.out
    assert printed.err == ""
    ((account,), _) = accounts.read(folders / "pypi_auth")
    assert account.role == role
    assert bcrypt.verify(said[1], account.hash)
    assert copied(folders) == ["alice"]


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\nsecond line\n"])
def test_a_password_of_ones_own_is_read_from_standard_input_and_never_printed(
    folders: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, ending: bytes
) -> None:
    type_in(monkeypatch, PASSWORD.encode() + ending)
    assert main(["user", "add", "alice", "--password-stdin"]) == 0
    type_in(monkeypatch, b"another-password" + ending)
    assert main(["user", "passwd", "alice", "--password-stdin"]) == 0

    printed = capsys.readouterr()
    assert printed.out == (
        "alice may install, not publish.\nalice has a new password; the old one no longer works.\n"
    )
    assert printed.err == ""
    ((account,), _) = accounts.read(folders / "pypi_auth")
    assert bcrypt.verify("another-password", account.hash)


@pytest.mark.parametrize("typed", [b"", b"\n", b"short\n", b"it's-a-long-one\n", b"\xff" * 20])
@pytest.mark.parametrize("command", [["add", "bob"], ["passwd", "alice"]])
def test_a_password_that_cannot_be_used_changes_nothing(
    folders: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    typed: bytes,
    command: list[str],
) -> None:
    (folders / "pypi_auth/.htpasswd").write_text(f"alice:{HASH}\n")
    type_in(monkeypatch, typed)

    assert main(["user", *command, "--password-stdin"]) == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"error: (use|leave) .*\n", printed.err)
    assert accounts.listed(folders / "pypi_auth") == [
        accounts.Account("alice", "publisher", HASH, 1)
    ]


def test_passwd_prints_the_new_password_once(folders: Path, capsys: Captured) -> None:
    (folders / "pypi_auth/.htpasswd").write_text("alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")

    assert main(["user", "passwd", "alice"]) == 0

    printed = capsys.readouterr().out
    (password,) = re.findall(r"^password: ([A-Za-z0-9]{32})$", printed, re.MULTILINE)
    ((account,), _) = accounts.read(folders / "pypi_auth")
    assert bcrypt.verify(password, account.hash)
    assert copied(folders) == ["alice"]


def test_remove_shuts_out_at_the_gateway_too(folders: Path, capsys: Captured) -> None:
    main(["user", "add", "alice"])
    main(["user", "add", "bob"])
    capsys.readouterr()

    assert main(["user", "remove", "alice"]) == 0

    assert capsys.readouterr().out == "alice is shut out.\n"
    assert copied(folders) == ["bob"]


def test_without_a_gateway_nothing_is_written_for_it(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYPI_GATEWAY")

    assert main(["user", "add", "alice", "--role", "publisher"]) == 0
    assert main(["user", "remove", "alice"]) == 0
    assert list((folders / "gateway").iterdir()) == []


def test_list_shows_name_role_and_scheme_and_complains_about_the_refused(
    folders: Path, capsys: Captured
) -> None:
    (folders / "pypi_auth/.htpasswd").write_text(f"# admins\nalice:{HASH}\nbo:open sesame\n")
    (folders / "pypi_auth/.htpasswd-readers").write_text(f"continuous-integration:{HASH}\n")

    assert main(["user", "list"]) == 0

    printed = capsys.readouterr()
    assert printed.out == (
        "NAME                    ROLE       HASH       PROJECTS  UNTIL  LAST USE\n"
        "alice                   publisher  bcrypt     all       -      unknown\n"
        "bo                      publisher  plaintext  shut out  -      unknown\n"
        "continuous-integration  reader     bcrypt     all       -      unknown\n"
    )
    assert printed.err == (
        "error: pypi_auth/.htpasswd line 3: bo has a plaintext password, which the gateway refuses;"
        " run make pypi-user-passwd USER=bo\n"
    )


def test_list_shows_a_name_of_strange_bytes_as_an_escape(folders: Path, capsys: Captured) -> None:
    (folders / "pypi_auth/.htpasswd").write_bytes(b"al\xffice:x\n\x1b[2J:x\nj\xc3\xb6rg:x\n")

    assert main(["user", "list"]) == 0

    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["NAME", r"al\udcffice", r"\x1b[2J", "jörg"]


def test_list_of_nobody_is_its_head(capsys: Captured) -> None:
    assert main(["user", "list"]) == 0
    assert capsys.readouterr().out == "NAME  ROLE  HASH  PROJECTS  UNTIL  LAST USE\n"


def test_list_shows_what_single_accounts_may_do_and_when_they_were_used(
    folders: Path, capsys: Captured
) -> None:
    for name in ("ci", "new", "old", "slip"):
        main(["user", "add", name])
    (folders / "pypi_auth/.rights").write_text(
        "ci projects=Billing,acme-*\nnew until=2999-12-31\nold projects=a until=2020-01-31\n"
        "slip project=a\nsilp projects=a\n"
    )
    (folders / "gateway/last_use.json").write_text(
        '{"since": "2026-11-01", "accounts": {"ci": "2026-11-28"}}'
    )
    capsys.readouterr()

    assert main(["user", "list"]) == 0

    printed = capsys.readouterr()
    assert printed.out == (
        "NAME  ROLE    HASH    PROJECTS        UNTIL              LAST USE\n"
        "ci    reader  bcrypt  billing,acme-*  -                  2026-11-28\n"
        "new   reader  bcrypt  all             2999-12-31         not since 2026-11-01\n"
        "old   reader  bcrypt  a               2020-01-31, ended  not since 2026-11-01\n"
        "slip  reader  bcrypt  shut out        -                  not since 2026-11-01\n"
    )
    assert printed.err == (
        "error: pypi_auth/.rights line 4: 'slip' is shut out: write projects=NAME,PREFIX-* or"
        " until=YYYY-MM-DD, each once\n"
        "error: pypi_auth/.rights has a line for 'silp', which is no account: correct the name or"
        " delete the line\n"
    )


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("publisher", "install, and publish these alone"),
        ("reader", "install these alone of the projects here"),
    ],
)
def test_add_says_what_the_account_may_do_and_until_when(
    folders: Path, capsys: Captured, role: str, may: str
) -> None:
    last = today() + timedelta(days=90)

    given = ["--projects=Billing, acme_*", "--days=90"]
    assert main(["user", "add", "--role", role, *given, "ci"]) == 0

    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [f"ci may {may}: billing, acme-*.", f"Its last day is {last}."]
    assert said[2].startswith("password: ")
    line = f"ci projects=billing,acme-* until={last}\n"
    assert (folders / "pypi_auth/.rights").read_text() == line
    assert ("ci" in (folders / "gateway/rights.routes").read_text()) is (role == "reader")


def test_add_says_which_rights_a_line_gives_that_was_written_beforehand(
    folders: Path, capsys: Captured
) -> None:
    (folders / "pypi_auth/.rights").write_text("ci projects=billing until=2020-01-31\n")

    assert main(["user", "add", "ci"]) == 0

    assert capsys.readouterr().out.startswith(
        "ci may install these alone of the projects here: billing.\n"
        "Its last day is 2020-01-31, which has passed.\n"
    )


def test_passwd_gives_an_account_more_days_and_leaves_its_projects(
    folders: Path, capsys: Captured
) -> None:
    main(["user", "add", "--projects=billing", "--days=1", "ci"])
    last = today() + timedelta(days=30)

    assert main(["user", "passwd", "--days=30", "ci"]) == 0

    assert f"Its last day is {last}.\n" in capsys.readouterr().out
    line = f"ci projects=billing until={last}\n"
    assert (folders / "pypi_auth/.rights").read_text() == line


@pytest.mark.parametrize("days", [-1, 0])
def test_passwd_says_of_an_account_that_ended_how_to_give_it_more_days(
    folders: Path, capsys: Captured, days: int
) -> None:
    main(["user", "add", "ci"])
    last = today() + timedelta(days=days)
    (folders / "pypi_auth/.rights").write_text(f"ci until={last}\n")
    capsys.readouterr()

    assert main(["user", "passwd", "ci"]) == 0

    ended = f"It ended on {last}: run make pypi-user-passwd USER=ci DAYS=90 to give it more days.\n"
    said = capsys.readouterr().out
    assert said.startswith("ci has a new password; the old one no longer works.\n")
    assert (ended in said) is (days < 0)
    assert (folders / "pypi_auth/.rights").read_text() == f"ci until={last}\n"


def test_remove_leaves_no_rights_to_an_account_of_the_same_name(folders: Path) -> None:
    main(["user", "add", "--projects=billing", "ci"])
    main(["user", "remove", "ci"])
    main(["user", "add", "ci"])

    ((account,), complaints) = accounts.read(folders / "pypi_auth")
    assert (account.rights, complaints) == (rights.ALL, [])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["user", "add", "alice"], "alice already exists as publisher: run make pypi-user-passwd"),
        (["user", "add", "--role", "admin", "bob"], "role 'admin' does not exist: use publisher"),
        (["user", "add", "--", "-bob"], "'-bob' cannot be a user name: use 1 to 64 letters"),
        (["user", "add", "$(id)"], "'$(id)' cannot be a user name: use 1 to 64 letters"),
        (["user", "add", ""], "'' cannot be a user name: use 1 to 64 letters"),
        (["user", "add", "b\udcffb"], r"'b\udcffb' cannot be a user name"),
        (["user", "passwd", "bob"], "'bob' has no account: make pypi-user-list shows all"),
        (["user", "remove", "bob"], "'bob' has no account: make pypi-user-list shows all"),
        (["user", "add", "--days=0", "bob"], "DAYS='0' is not a number of days: use 1 to 9999"),
        (["user", "passwd", "--days=x", "alice"], "DAYS='x' is not a number of days"),
        (["user", "add", "--projects=", "bob"], "PROJECTS= is empty: say which projects"),
        (["user", "add", "--days=", "bob"], "DAYS='' is not a number of days"),
        (["user", "add", "--projects=*", "bob"], "'*' is not the name of a project, nor the start"),
        (["user", "add", "--projects=a,,b", "bob"], "an entry of 'a,,b' is empty: write one comma"),
    ],
)
def test_a_request_that_cannot_be_met_fails_in_one_sentence(
    folders: Path, capsys: Captured, arguments: list[str], complaint: str
) -> None:
    before = f"alice:{HASH}\n"
    (folders / "pypi_auth/.htpasswd").write_text(before)

    assert main(arguments) == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {complaint}")
    assert printed.err.count("\n") == 1
    assert (folders / "pypi_auth/.htpasswd").read_text() == before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["user"],
        ["user", "nonsense"],
        ["user", "add"],
        ["user", "add", "a", "b"],
        ["yank"],
        ["yank", "lib"],
        ["yank", "lib", "1.0", "reason"],
        ["unyank", "lib", "1.0", "--reason", "none"],
        ["remove", "lib"],
        ["yank", "lib", "1.0", "--yes"],
        ["index", "lib"],
        ["verify", "lib"],
    ],
)
def test_a_command_that_does_not_exist_gets_the_usage(
    arguments: list[str], capsys: Captured
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)

    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("usage: private_pypi")


def test_help_names_every_command(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])

    assert end.value.code == 0
    printed = capsys.readouterr().out
    releases = ("yank", "unyank", "remove", "index", "verify")
    for command in ("serve", "check", "follow", "health", "web", "user", *releases):
        assert re.search(rf"^ +{command} +[A-Z]", printed, re.MULTILINE)


@pytest.mark.parametrize(
    "command",
    [
        ["user", "list"],
        ["user", "add", "bob"],
        ["check"],
        ["follow"],
        ["serve"],
        ["index"],
        ["verify"],
        ["web"],
        ["yank", "lib", "1.0"],
    ],
)
def test_a_setting_that_cannot_be_fails_every_command(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("PYPI_PORT", "eighty")

    assert main(command) == 1
    assert capsys.readouterr().err == (
        "error: PYPI_PORT is 'eighty': set a whole number from 1 to 65535\n"
    )


def test_a_missing_folder_fails_in_one_sentence_that_names_it(
    folders: Path, capsys: Captured
) -> None:
    (folders / "pypi_auth").rmdir()

    assert main(["user", "add", "alice"]) == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch("error: .*pypi_auth.*\n", printed.err)


def test_the_program_itself_exits_with_the_code_and_no_traceback(folders: Path) -> None:
    def run(*arguments: str, typed: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "private_pypi", *arguments],
            check=False,
            input=typed,
            capture_output=True,
            cwd=folders,
            env={**os.environ, "PYTHONPATH": str(PACKAGE), "LC_ALL": "C", "PYTHONUTF8": "0"},
        )

    added = run("user", "add", "alice", "--password-stdin", typed=PASSWORD.encode())
    again = run("user", "add", "alice")

    assert (added.returncode, added.stdout) == (0, b"alice may install, not publish.\n")
    assert (again.returncode, again.stdout) == (1, b"")
    assert again.stderr.startswith(b"error: alice already exists")
    assert b"Traceback" not in again.stderr


# Releases -----------------------------------------------------------------------------------------

LIB = "lib-1.0-py3-none-any.whl"
UNLINKED = "is not served whole: a link or file in pypi_index/packages is wrong"


@pytest.fixture
def release(folders: Path, capsys: Captured) -> Path:
    """Version 1.0 of lib and 2.0 of another-lib, both in the index; the path of the first."""
    wheel.build(folders / "pypi_data", "another-lib", "2.0", origin="us")
    path = wheel.build(folders / "pypi_data", "lib", "1.0", origin="us")
    assert main(["index"]) == 0
    capsys.readouterr()
    return path


def page(folders: Path, project: str = "lib") -> dict[str, Any]:
    """Return the JSON page of a project."""
    text = (folders / "pypi_index/simple" / project / "index.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def journal(folders: Path) -> list[dict[str, Any]]:
    """Return the lines of the journal."""
    lines = (folders / "pypi_data/.journal.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


END = b"\x1e"


@contextmanager
def terminal(typed: bytes = b"") -> Iterator[tuple[io.TextIOWrapper, Callable[[], str]]]:
    """Open a terminal where somebody types; yield it and what returns what it shows."""
    ours, theirs = pty.openpty()
    os.write(ours, typed)

    def shown() -> str:
        file.flush()
        # A terminal passes things on in order, but when it finds the time.
        raw.write(END)
        seen = b""
        while not seen.endswith(END):
            seen += os.read(ours, 1_000_000)
        return seen.removesuffix(END).decode()

    # Only one of the two may close the descriptor.
    with os.fdopen(theirs, "r+b", buffering=0) as raw:
        file = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
        yield file, shown
    os.close(ours)


@pytest.mark.parametrize("version", ["1.0", "1", "v1.0.0"])
@pytest.mark.parametrize("project", ["lib", "LIB"])
def test_yank_marks_a_version_and_unyank_takes_the_mark_away(
    folders: Path, release: Path, capsys: Captured, project: str, version: str
) -> None:
    assert main(["yank", project, version, "--reason", "it <breaks> things"]) == 0
    assert capsys.readouterr() == (f"{LIB} is yanked.\n", "")
    assert page(folders)["files"][0]["yanked"] == "it <breaks> things"
    assert release.exists()

    assert main(["unyank", project, version]) == 0
    assert capsys.readouterr() == (f"{LIB} is no longer yanked.\n", "")
    assert not page(folders)["files"][0].get("yanked", False)


def test_a_reason_is_not_needed_and_each_file_of_the_version_is_named(
    folders: Path, release: Path, capsys: Captured
) -> None:
    another = "lib-1.0-py2-none-any.whl"
    (folders / "pypi_data" / another).write_bytes(release.read_bytes())
    main(["index"])
    capsys.readouterr()

    assert main(["yank", "lib", "1.0"]) == 0

    assert sorted(capsys.readouterr().out.splitlines()) == [
        f"{another} is yanked.",
        f"{LIB} is yanked.",
    ]
    assert [file["yanked"] for file in page(folders)["files"]] == [True, True]


@pytest.mark.parametrize(
    ("by", "noted"), [("alice on the server", "alice on the server"), ("", None), (None, None)]
)
@pytest.mark.parametrize("command", [["yank"], ["unyank"], ["remove", "--yes"]])
def test_the_journal_says_who_did_it(
    folders: Path,
    release: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    by: str | None,
    noted: str | None,
) -> None:
    if by is not None:
        monkeypatch.setenv("PYPI_BY", by)

    assert main([*command, "lib", "1.0"]) == 0

    line = journal(folders)[-1]
    assert (line["action"], line["file"]) == (command[0], LIB)
    assert line["by"] == (noted or f"user {os.getuid()}")


def test_the_reason_is_in_the_journal(folders: Path, release: Path) -> None:
    assert main(["yank", "lib", "1.0", "--reason", "broken"]) == 0

    assert journal(folders)[-1]["reason"] == "broken"


@pytest.mark.parametrize("command", [["yank", "lib", "1.0"], ["mark", "lib", "archived"]])
def test_a_reason_that_nobody_could_read_again_is_refused(
    folders: Path, release: Path, capsys: Captured, command: list[str]
) -> None:
    before = page(folders), journal(folders)

    assert main([*command, "--reason", "it burns \udcff"]) == 1

    sentence = "error: the reason is not UTF-8: write it in letters that are\n"
    assert capsys.readouterr() == ("", sentence)
    assert (page(folders), journal(folders)) == before


@pytest.mark.parametrize("command", [["yank"], ["unyank"], ["remove", "--yes"], ["remove"]])
@pytest.mark.parametrize(
    ("project", "version"),
    [("lib", "1.1"), ("unknown", "1.0"), ("lib", "nonsense"), ("../lib", "1.0"), ("", "")],
)
def test_a_version_that_is_not_there_fails_in_one_sentence_that_names_it(
    folders: Path,
    release: Path,
    capsys: Captured,
    command: list[str],
    project: str,
    version: str,
) -> None:
    before = journal(folders)

    assert main([*command, project, version]) == 1

    assert capsys.readouterr() == (
        "",
        f"error: this index has no version {version} of {project}\n",
    )
    assert journal(folders) == before
    assert release.exists()


def test_remove_deletes_the_version_and_nothing_else(
    folders: Path, release: Path, capsys: Captured
) -> None:
    assert main(["remove", "lib", "1.0", "--yes"]) == 0

    assert capsys.readouterr() == (f"{LIB} is removed.\n", "")
    assert not release.exists()
    assert not (folders / "pypi_index/simple/lib").exists()
    assert not os.path.lexists(folders / "pypi_index/packages" / LIB)
    assert page(folders, "another-lib")["files"]
    assert main(["remove", "lib", "1.0", "--yes"]) == 1


def test_remove_asks_nobody_who_cannot_answer_and_says_what_to_do(
    folders: Path, release: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(monkeypatch, b"y\n")

    assert main(["remove", "lib", "1.0"]) == 1

    assert capsys.readouterr() == ("", "error: say YES=1 to remove without being asked\n")
    assert release.exists()
    assert "remove" not in [line["action"] for line in journal(folders)]


@pytest.mark.parametrize("typed", [b"y\n", b"yes\n", b"Y\n", b"YES\n"])
def test_on_a_terminal_remove_shows_what_it_would_and_asks(
    release: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, typed: bytes
) -> None:
    with terminal(typed) as (file, _):
        monkeypatch.setattr(sys, "stdin", file)
        assert main(["remove", "lib", "1.0"]) == 0

    assert capsys.readouterr().out == (
        f"{LIB}\nRemove for good files that others may have pinned? [y/N] {LIB} is removed.\n"
    )
    assert not release.exists()


@pytest.mark.parametrize("typed", [b"\n", b"n\n", b"no\n", b"yo\n", b"j\n", b"\x04"])
def test_whatever_is_not_yes_removes_nothing(
    folders: Path, release: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, typed: bytes
) -> None:
    with terminal(typed) as (file, _):
        monkeypatch.setattr(sys, "stdin", file)
        assert main(["remove", "lib", "1.0"]) == 1

    assert capsys.readouterr().err == "error: nothing was removed\n"
    assert release.exists()
    assert "remove" not in [line["action"] for line in journal(folders)]


# The index ----------------------------------------------------------------------------------------


def test_index_makes_everything_anew_and_says_how_much(
    folders: Path, release: Path, capsys: Captured
) -> None:
    for name in ("simple/lib/index.html", f"packages/{LIB}", "index.sqlite3"):
        (folders / "pypi_index" / name).unlink()

    assert main(["index"]) == 0

    printed = capsys.readouterr()
    assert re.fullmatch(r"2 distributions of 2 projects, in \d+\.\d s\n", printed.out)
    assert printed.err == ""
    assert "lib-1.0" in (folders / "pypi_index/simple/lib/index.html").read_text()
    assert (folders / "pypi_index/packages" / LIB).read_bytes() == release.read_bytes()


def test_an_index_of_nothing_is_made_too(folders: Path, capsys: Captured) -> None:
    assert main(["index"]) == 0

    printed = capsys.readouterr()
    assert printed.out.startswith("0 distributions of 0 projects, in ")
    assert printed.err == ""
    assert (folders / "pypi_index/simple/index.html").exists()


def test_web_once_makes_the_pages_for_people_anew(
    folders: Path, release: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["web", "--once"]) == 0
    page = folders / "pypi_web/project/lib/index.html"
    whole = page.read_text()
    assert "Private index" in whole
    page.write_text("damaged")
    (folders / "pypi_web/stray").touch()
    # They stay what whatever serves them made them for.
    monkeypatch.setenv("PYPI_NAME", "Another")
    monkeypatch.setenv("PYPI_URL", "https://another.example/")

    assert main(["web", "--once"]) == 0

    assert capsys.readouterr().err == ""
    assert page.read_text() == whole
    assert not (folders / "pypi_web/stray").exists()


def test_web_once_says_that_the_pages_for_people_cannot_be_written(
    folders: Path, release: Path, capsys: Captured
) -> None:
    (folders / "pypi_web/project/lib/index.html").mkdir(parents=True)

    assert main(["web", "--once"]) == 1

    assert re.fullmatch("error: .*project/lib/index.html.*\n", capsys.readouterr().err)


def test_web_shows_the_change_of_one_project_once_there_are_pages(
    folders: Path, release: Path, capsys: Captured
) -> None:
    page = folders / "pypi_web/project/lib/index.html"
    assert main(["web", "--project", "lib"]) == 0
    assert not page.exists()
    assert main(["web", "--once"]) == 0

    assert main(["yank", "lib", "1.0", "--reason", "it burns"]) == 0
    assert "it burns" not in page.read_text()
    assert main(["web", "--project", "Lib"]) == 0

    assert "it burns" in page.read_text()
    assert main(["web", "--verify"]) == 0


@pytest.mark.parametrize("command", [["index"], ["verify"], ["yank", "lib", "1.0"]])
def test_without_a_data_folder_there_is_nothing_to_do(
    folders: Path, capsys: Captured, command: list[str]
) -> None:
    (folders / "pypi_data").rmdir()

    assert main(command) == 1

    printed = capsys.readouterr()
    assert re.search("^error: ", printed.err, re.MULTILINE)
    assert "Traceback" not in printed.err


@pytest.mark.parametrize("command", [["index"], ["verify"], ["web", "--once"]])
def test_on_a_terminal_there_is_a_bar_that_is_full_in_the_end(
    release: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    with terminal() as (file, shown):
        monkeypatch.setattr(sys, "stderr", file)
        assert main(command) == 0
        seen = shown()

    assert seen.startswith("\r[")
    assert seen.endswith(f"\r[{'#' * 40}] 2 of 2 \r\n")
    assert seen.count("\n") == 1
    assert "[" not in capsys.readouterr().out


@pytest.mark.parametrize("command", ["index", "verify"])
def test_elsewhere_there_is_no_bar(release: Path, capsys: Captured, command: str) -> None:
    assert main([command]) == 0

    assert capsys.readouterr().err == ""


# Verifying ----------------------------------------------------------------------------------------


def test_verify_says_that_all_is_what_was_published(release: Path, capsys: Captured) -> None:
    assert main(["verify"]) == 0

    assert capsys.readouterr() == ("2 distributions are what was published\n", "")


def overwrite(folders: Path) -> None:
    path = folders / "pypi_data" / LIB
    stat, content = path.stat(), path.read_bytes()
    path.write_bytes(content.replace(b"us", b"it"))
    # As a disk does it: nothing tells but the bytes themselves.
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def delete(folders: Path) -> None:
    (folders / "pypi_data" / LIB).unlink()


def turn_the_link(folders: Path) -> None:
    link = folders / "pypi_index/packages" / LIB
    link.unlink()
    link.symlink_to("../../pypi_data/another_lib-2.0-py3-none-any.whl")


def overwrite_the_metadata(folders: Path) -> None:
    (folders / f"pypi_index/packages/{LIB}.metadata").write_text("Name: lib\n")


def delete_the_metadata(folders: Path) -> None:
    (folders / f"pypi_index/packages/{LIB}.metadata").unlink()


def overwrite_a_page(folders: Path) -> None:
    (folders / "pypi_index/simple/lib/index.html").write_text("other")


def overwrite_a_page_for_people(folders: Path) -> None:
    (folders / "pypi_web/project/lib/index.html").write_text("other")


def add_a_page_for_people(folders: Path) -> None:
    (folders / "pypi_web/project/other").mkdir()


def delete_the_list(folders: Path) -> None:
    (folders / "pypi_index/simple/index.json").unlink()


def copy_another(folders: Path) -> None:
    wheel.build(folders / "pypi_data", "lib", "2.0", origin="us")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (overwrite, f"{LIB} has other bytes than those that were published"),
        (delete, f"{LIB} cannot be read: No such file or directory"),
        (turn_the_link, f"{LIB} {UNLINKED}"),
        (overwrite_the_metadata, f"{LIB} {UNLINKED}"),
        (delete_the_metadata, f"{LIB} {UNLINKED}"),
        (overwrite_a_page, "pypi_index/simple/lib: the pages are not what they should be"),
        (delete_the_list, "pypi_index/simple: the pages are not what they should be"),
        (copy_another, "lib-2.0-py3-none-any.whl is in pypi_data but not in the index yet"),
    ],
)
def test_verify_says_each_difference_in_one_line_and_fails(
    folders: Path, release: Path, capsys: Captured, damage: Callable[[Path], None], said: str
) -> None:
    damage(folders)

    assert main(["verify"]) == 1

    printed = capsys.readouterr()
    assert [line.replace("simple/:", "simple:") for line in printed.out.splitlines()] == [said]
    assert printed.err == "error: one difference, see above\n"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            overwrite_a_page_for_people,
            "pypi_web/project/lib: the page differs from the catalogue: run make pypi-index",
        ),
        (add_a_page_for_people, "pypi_web/project/other is no part of the index"),
    ],
)
def test_web_verify_says_each_difference_in_one_line_and_fails(
    folders: Path,
    release: Path,
    capsys: Captured,
    damage: Callable[[Path], None],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(web_differences, "_PATIENCE", 0)
    assert main(["web", "--once"]) == 0
    damage(folders)
    capsys.readouterr()

    assert main(["web", "--verify"]) == 1

    printed = capsys.readouterr()
    assert printed.out == f"{said}\n"
    assert printed.err == "error: one difference, see above\n"


def test_verify_names_every_difference_and_what_index_mends_is_gone_afterwards(
    folders: Path, release: Path, capsys: Captured
) -> None:
    overwrite_a_page(folders)
    turn_the_link(folders)
    delete_the_metadata(folders)
    copy_another(folders)

    assert main(["verify"]) == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    assert printed.err == "error: 3 differences, see above\n"

    assert main(["index"]) == 0
    assert main(["verify"]) == 0


def test_verify_of_an_index_that_was_never_made_says_how_to_make_it(
    folders: Path, capsys: Captured
) -> None:
    wheel.build(folders / "pypi_data", "lib", "1.0", origin="us")

    assert main(["verify"]) == 1

    assert capsys.readouterr().out == "the index is not made yet: run make pypi-index\n"


def test_verify_names_a_file_that_is_not_served(
    folders: Path, release: Path, capsys: Captured
) -> None:
    (folders / "pypi_data/notes.txt").write_text("mine")
    os.utime(folders / "pypi_data/notes.txt", (0, 0))
    main(["index"])
    capsys.readouterr()

    assert main(["verify"]) == 1

    printed = capsys.readouterr()
    assert re.fullmatch("not served: notes.txt .*\n", printed.out)


def test_verify_changes_nothing(folders: Path, release: Path) -> None:
    def everything() -> dict[str, tuple[int, int]]:
        found = (path for path in folders.rglob("*") if "sqlite3" not in path.name)
        return {
            str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns)
            for path in found
            if path.is_symlink() or path.is_file()
        }

    overwrite_a_page(folders)
    turn_the_link(folders)
    before = everything()

    assert main(["verify"]) == 1

    assert everything() == before


# Launching ----------------------------------------------------------------------------------------


def test_check_passes_good_accounts(folders: Path, capsys: Captured) -> None:
    (folders / "pypi_auth/.htpasswd").write_text(f"alice:{HASH}\n")

    assert main(["check"]) == 0
    assert capsys.readouterr() == ("", "")


def test_check_refuses_an_index_without_accounts_and_says_how_to_make_one(
    folders: Path, capsys: Captured
) -> None:
    (folders / "pypi_auth/.htpasswd").write_text("# nobody yet\n")

    assert main(["check"]) == 1
    assert capsys.readouterr().err == (
        "error: there is no account yet: run make pypi-user-add USER=admin ROLE=publisher\n"
    )


def test_check_refuses_each_line_that_would_not_work_with_its_remedy(
    folders: Path, capsys: Captured
) -> None:
    (folders / "pypi_auth/.htpasswd").write_text(
        f"alice:{HASH}\nbob:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"
    )
    (folders / "pypi_auth/.htpasswd-readers").write_text("carol:open sesame\n")

    assert main(["check"]) == 1
    assert capsys.readouterr().err == (
        "error: pypi_auth/.htpasswd line 2: bob has a SHA-1 hash, which the gateway refuses;"
        " run make pypi-user-passwd USER=bob\n"
        "error: pypi_auth/.htpasswd-readers line 1: carol has a plaintext password, which the"
        " gateway refuses; run make pypi-user-passwd USER=carol\n"
    )


def test_check_refuses_rights_that_would_not_hold(folders: Path, capsys: Captured) -> None:
    (folders / "pypi_auth/.htpasswd").write_text(f"alice:{HASH}\nci:{HASH}\n")
    (folders / "pypi_auth/.rights").write_text("ci projekts=billing\nalize: projects=billing\n")

    assert main(["check"]) == 1
    assert capsys.readouterr().err == (
        "error: pypi_auth/.rights line 1: 'ci' is shut out: write projects=NAME,PREFIX-* or"
        " until=YYYY-MM-DD, each once\n"
        "error: pypi_auth/.rights has a line for 'alize', which is no account: correct the name or"
        " delete the line\n"
    )


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], ""),
        (["acme", "acme-lib", "corp-lib"], ""),
        (["acme-lib", "acmeology", "other"], "acmeology, other"),
        ([f"lib-{number}" for number in range(7)], "lib-0, lib-1, lib-2, lib-3, lib-4 and 2 more"),
    ],
)
def test_check_warns_of_projects_that_no_reserved_prefix_covers(
    folders: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    names: list[str],
    said: str,
) -> None:
    (folders / "pypi_auth/.htpasswd").write_text(f"alice:{HASH}\n")
    for name in names:
        wheel.build(folders / "pypi_data", name, "1.0", origin="us")
    monkeypatch.setenv("PYPI_PRIVATE_PREFIXES", "acme corp")
    assert main(["check"]) == 0
    assert capsys.readouterr().err == ""  # There is no index yet that knows the projects.

    Index(folders / "pypi_data", folders / "pypi_index").refresh()

    assert main(["check"]) == 0
    warning = (
        f"warning: no prefix in private_prefixes covers {said}: PyPI is asked for a new or misspelt"
        " name like that; add the prefix, or choose names that have one\n"
    )
    assert capsys.readouterr().err == (warning if said else "")


def test_check_makes_the_folder_of_the_index_which_is_derived(folders: Path) -> None:
    (folders / "pypi_auth/.htpasswd").write_text(f"alice:{HASH}\n")

    for _ in range(2):
        assert main(["check"]) == 0
        assert (folders / "pypi_index").is_dir()


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        (["check"], "pypi_data"),
        (["check"], "pypi_index"),
        (["check"], "pypi_data/.uploads"),
        (["follow", "--once"], "gateway"),
        (["user", "add", "bob"], "pypi_auth"),
        (["user", "passwd", "alice"], "pypi_auth"),
        (["user", "remove", "alice"], "pypi_auth"),
    ],
)
def test_a_folder_that_may_not_be_written_is_refused_with_what_to_do(
    folders: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    folder: str,
) -> None:
    (folders / "pypi_auth/.htpasswd").write_text(f"alice:{HASH}\n")
    # Who runs the tests as root may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, _: str(path) != folder)

    assert main(command) == 1
    assert capsys.readouterr().err == (
        f"error: {folder} is not writable for user {os.getuid()}: give it to the owner of the"
        " repository with chown\n"
    )


@pytest.mark.parametrize(
    ("command", "folders_lacking"),
    [
        (["check"], ["pypi_data", "pypi_index"]),
        (["follow", "--once"], ["gateway/accounts"]),
        (["user", "add", "bob"], ["pypi_auth"]),
        (["user", "passwd", "alice"], ["pypi_auth"]),
        (["user", "remove", "alice"], ["pypi_auth"]),
    ],
)
def test_what_the_disk_of_a_folder_cannot_do_is_refused_and_changes_nothing(
    folders: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    folders_lacking: list[str],
) -> None:
    (folders / "pypi_auth/.htpasswd").write_text(f"alice:{HASH}\n")

    def fail(*_: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    with monkeypatch.context() as broken:
        # What each folder needs beside others.
        broken.setattr("os.fsync", fail)
        broken.setattr("pathlib.Path.symlink_to", fail)
        assert main(command) == 1

    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert [line.split()[1] for line in lines] == folders_lacking
    assert all(line.startswith("error: ") and "put all of it on one disk" in line for line in lines)
    assert printed.out == ""
    assert (folders / "pypi_auth/.htpasswd").read_text() == f"alice:{HASH}\n"
    assert not (folders / "gateway/accounts.caddy").exists()


def test_what_lies_where_uploads_arrive_is_named(folders: Path, capsys: Captured) -> None:
    (folders / "pypi_auth/.htpasswd").write_text(f"alice:{HASH}\n")
    for make in (Path.touch, lambda path: path.symlink_to("nowhere")):
        make(folders / "pypi_data/.uploads")
        assert main(["check"]) == 1
        assert capsys.readouterr().err == (
            "error: pypi_data/.uploads is not a folder where uploads can arrive: delete it\n"
        )
        (folders / "pypi_data/.uploads").unlink()


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_serve_says_that_its_port_is_taken_and_how_to_choose_another(
    taken: int, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("PYPI_PORT", str(taken))
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("it became gunicorn"))

    assert main(["serve"]) == 1
    assert capsys.readouterr().err == (
        f"error: cannot listen on port {taken} of 127.0.0.1 (Address already in use):"
        " stop what uses it or choose another with PORT=\n"
    )


def test_serve_becomes_gunicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, command: became.append(command))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("PYPI_PORT", str(listener.getsockname()[1]))

    assert main(["serve"]) == 0
    assert became == [
        [
            sys.executable,
            "-m",
            "gunicorn",
            "--config",
            str(PACKAGE / "private_pypi" / "gunicorn_conf.py"),
        ]
    ]


def test_serve_refuses_a_mirror_where_there_is_no_gateway_to_ask_it(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("PYPI_UNKNOWN_PACKAGES", "mirror")
    monkeypatch.delenv("PYPI_GATEWAY")
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("it became gunicorn"))

    assert main(["serve"]) == 1
    assert capsys.readouterr().err == (
        "error: PYPI_UNKNOWN_PACKAGES is mirror, which takes the containers of make pypi-launch: to"
        " try things out without them, set another: make pypi-local"
        " PYPI_UNKNOWN_PACKAGES=redirect\n"
    )


# Following ----------------------------------------------------------------------------------------


def test_follow_gives_the_gateway_the_accounts_once(folders: Path, capsys: Captured) -> None:
    (folders / "pypi_auth/.htpasswd").write_text(f"alice:{HASH}\n")

    assert main(["follow", "--once"]) == 0
    assert capsys.readouterr() == ("", "")
    assert copied(folders) == ["alice"]


def test_follow_does_so_after_each_change_and_says_which_lines_it_leaves_out_until_it_is_stopped(
    folders: Path,
) -> None:
    file = folders / "pypi_auth/.htpasswd"
    file.write_text(f"alice:{HASH}\n")
    running = subprocess.Popen(
        [sys.executable, "-m", "private_pypi", "follow"],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_for_copy(folders, ["alice"])
        with file.open("a") as htpasswd:
            htpasswd.write(f"bob:{HASH}\ncarol:open sesame\n")
        wait_for_copy(folders, ["alice", "bob"])
    finally:
        running.terminate()
        said, _ = running.communicate(timeout=20)
    assert running.returncode == 0
    assert said == (
        "pypi_auth/.htpasswd line 3: carol has a plaintext password, which the gateway refuses;"
        " run make pypi-user-passwd USER=carol\n"
    )


def test_web_writes_the_pages_for_people_at_a_low_priority_until_it_is_stopped(
    folders: Path, release: Path
) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "private_pypi", "web"],
        env={**os.environ, "PYTHONPATH": str(PACKAGE), "PYPI_NAME": "Ours"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        page = folders / "pypi_web/project/lib/index.html"
        wait_until(page.exists)
        assert "Ours" in page.read_text()
        assert os.getpriority(os.PRIO_PROCESS, running.pid) >= 10
        assert main(["yank", "lib", "1.0", "--reason", "it burns"]) == 0
        wait_until(lambda: "it burns" in page.read_text())
    finally:
        running.terminate()
        said, _ = running.communicate(timeout=20)
    assert (running.returncode, said) == (0, "")


def wait_for_copy(folders: Path, names: list[str]) -> None:
    """Wait until just these accounts are in the gateway's copy."""
    deadline = time.monotonic() + 30
    while not (folders / "gateway/accounts.caddy").exists() or copied(folders) != names:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_follow_without_a_gateway_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.delenv("PYPI_GATEWAY")

    assert main(["follow"]) == 1
    assert capsys.readouterr().err.startswith("error: PYPI_GATEWAY is not set: ")


# Health -------------------------------------------------------------------------------------------

Speak = Callable[[bytes], None]


@pytest.fixture
def speak(monkeypatch: pytest.MonkeyPatch) -> Iterator[Speak]:
    """Something on the index's port that answers the next request with the given bytes."""
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("PYPI_PORT", str(listener.getsockname()[1]))

        def answer(reply: bytes) -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(reply)

        def start(reply: bytes) -> None:
            threads.append(threading.Thread(target=answer, args=(reply,), daemon=True))
            threads[-1].start()

        yield start
        for thread in threads:
            thread.join(10)


def test_health_is_silent_when_the_index_works(speak: Speak, capsys: Captured) -> None:
    speak(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")

    assert main(["health"]) == 0
    assert capsys.readouterr() == ("", "")


def test_health_repeats_what_the_index_says_is_wrong(speak: Speak, capsys: Captured) -> None:
    trouble = b"pypi_data/.uploads is not writable for user 10001.\n"
    speak(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 51\r\n\r\n" + trouble)

    assert main(["health"]) == 1
    assert capsys.readouterr().err == f"error: {trouble.decode()}"


@pytest.mark.parametrize("reply", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 999\r\n\r\n"])
def test_health_fails_when_something_else_is_there(
    speak: Speak, capsys: Captured, reply: bytes
) -> None:
    speak(reply)

    assert main(["health"]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_health_fails_when_nothing_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("PYPI_PORT", str(listener.getsockname()[1]))

    assert main(["health"]) == 1
    assert "Connection refused" in capsys.readouterr().err


def test_serve_listens_on_a_socket_for_its_own_user_and_health_asks_there(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    path = folders / "http.sock"
    monkeypatch.setenv("PYPI_SOCKET", str(path))
    assert main(["health"]) == 1
    # Left by one that was killed.
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    assert main(["health"]) == 1
    assert capsys.readouterr().err == (
        f"error: nothing answers on {path} (No such file or directory)\n"
        f"error: nothing answers on {path} (Connection refused)\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    monkeypatch.setenv("PYPI_PORT", str(address[1]))
    running = subprocess.Popen(
        [sys.executable, "-m", "private_pypi", "serve"],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while main(["health"]):
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
    finally:
        running.terminate()
        running.wait(30)
    assert not path.exists()


def test_health_asks_the_index_and_no_proxy(speak: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    speak(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, nobody)
    monkeypatch.delenv("no_proxy", raising=False)

    assert main(["health"]) == 0


def check_of_the_container() -> subprocess.CompletedProcess[str]:
    """Run the health check as Docker does."""
    return subprocess.run(
        [sys.executable, "-m", "private_pypi.health"],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_containers_health_check_says_the_same(speak: Speak) -> None:
    speak(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
    done = check_of_the_container()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    speak(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 8\r\n\r\nfull\x1b[m\n")
    done = check_of_the_container()
    assert (done.returncode, done.stderr) == (1, "error: full\\x1b[m\n")


def test_the_containers_health_check_names_a_setting_that_cannot_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYPI_PORT", "eighty")

    said = "error: PYPI_PORT is 'eighty': set a whole number from 1 to 65535\n"
    assert check_of_the_container().stderr == said


def test_the_containers_health_check_imports_no_library() -> None:
    lists = "import sys, private_pypi.health; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}

    listed = subprocess.check_output([sys.executable, "-c", lists], env=environment, text=True)

    assert not {"argparse", "packaging", "passlib", "pypiserver", "sqlite3"} & {*listed.split()}


# Attestations -------------------------------------------------------------------------------------


def test_the_attestations_of_a_projects_files_are_printed_to_be_verified(
    folders: Path, capsys: Captured
) -> None:
    data = folders / "pypi_data"
    with_them, without = (
        wheel.build(data, "my-lib", version, origin="us") for version in ("1.0", "2.0")
    )
    kept = attestation.provenance(attestation.of(with_them.name, with_them.read_bytes()))
    (data / f"{with_them.name}.provenance").write_bytes(kept)
    for path in (with_them, without):
        os.utime(path, (1_700_000_000,) * 2)
    Index(data, folders / "pypi_index").refresh()

    assert main(["provenance", "My.Lib"]) == 0

    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["file"] for one in printed] == [with_them.name, without.name]
    assert [one["provenance"] for one in printed] == [json.loads(kept), None]
    assert printed[0]["sha256"] == hashlib.sha256(with_them.read_bytes()).hexdigest()

    assert main(["provenance", "other"]) == 1
    assert capsys.readouterr().err == "error: this index has no project other\n"
