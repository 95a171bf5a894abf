"""The command line: what it does, what it prints where, and how it fails."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from passlib.hash import bcrypt
from private_pypi import accounts
from private_pypi.__main__ import main

pytest_plugins = ["cheap_accounts"]

PASSWORD = "correct-horse-battery"
HASH = "$2y$04$private.pypi.tests..uugfvOQnbet/tUFgFlRVT9OR15g5aLe82"
PACKAGE = Path(accounts.__file__).parent.parent

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, auth: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders of a rendered repository, as the working directory."""
    assert auth == tmp_path / "pypi_auth"
    (tmp_path / "pypi_data").mkdir()
    (tmp_path / "gateway").mkdir()
    for name in [name for name in os.environ if name.startswith("PYPI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYPI_GATEWAY", "gateway")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def copied(folders: Path) -> list[str]:
    """Return the names in the gateway's copy of the accounts."""
    return [x.split()[0] for x in (folders / "gateway/accounts.caddy").read_text().splitlines()[1:]]


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
        "NAME                    ROLE       HASH\n"
        "alice                   publisher  bcrypt\n"
        "bo                      publisher  plaintext\n"
        "continuous-integration  reader     bcrypt\n"
    )
    assert printed.err == (
        "error: pypi_auth/.htpasswd line 3: bo has a plaintext password, which the gateway refuses;"
        " run make pypi-user-passwd USER=bo\n"
    )


def test_list_shows_a_name_of_strange_bytes_as_an_escape(folders: Path, capsys: Captured) -> None:
    (folders / "pypi_auth/.htpasswd").write_bytes(b"al\xffice:x\n\x1b[2J:x\nj\xc3\xb6rg:x\n")

    assert main(["user", "list"]) == 0

    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["NAME", r"'al\udcffice'", r"'\x1b[2J'", "jörg"]


def test_list_of_nobody_is_its_head(capsys: Captured) -> None:
    assert main(["user", "list"]) == 0
    assert capsys.readouterr().out == "NAME  ROLE  HASH\n"


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
    [[], ["nonsense"], ["user"], ["user", "nonsense"], ["user", "add"], ["user", "add", "a", "b"]],
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
    for command in ("serve", "check", "health", "user"):
        assert re.search(rf"^ +{command} +[A-Z]", printed, re.MULTILINE)


@pytest.mark.parametrize(
    "command", [["user", "list"], ["user", "add", "bob"], ["check"], ["serve"]]
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


# Launching ----------------------------------------------------------------------------------------


def test_check_passes_good_accounts_and_gives_them_to_the_gateway(
    folders: Path, capsys: Captured
) -> None:
    (folders / "pypi_auth/.htpasswd").write_text(f"alice:{HASH}\n")

    assert main(["check"]) == 0
    assert capsys.readouterr() == ("", "")
    assert copied(folders) == ["alice"]


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
    assert not (folders / "gateway/accounts.caddy").exists()


@pytest.mark.parametrize("folder", ["pypi_data", "gateway"])
def test_check_refuses_a_folder_it_may_not_write_and_says_what_to_do(
    folders: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (folders / "pypi_auth/.htpasswd").write_text(f"alice:{HASH}\n")
    # Who runs the tests as root may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, _: str(path) != folder)

    assert main(["check"]) == 1
    assert capsys.readouterr().err == (
        f"error: {folder} is not writable for user {os.getuid()}: give it to the owner of the"
        " repository with chown\n"
    )


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


def test_health_asks_the_index_and_no_proxy(speak: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    speak(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, nobody)
    monkeypatch.delenv("no_proxy", raising=False)

    assert main(["health"]) == 0
