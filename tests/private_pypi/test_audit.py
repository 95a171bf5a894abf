"""The journal as people read it, whatever state it is in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from kit import attestation, wheel
from private_pypi import distribution, journal
from private_pypi.__main__ import main
from private_pypi.audit import audit
from private_pypi.index import Index

WHEEL = "my_lib-1.0-py3-none-any.whl"
OTHER = "Other.Lib-2.0.tar.gz"
PACKAGE = Path(journal.__file__).parent.parent

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def data(repository: Path) -> Path:
    folder = repository / "pypi_data"
    folder.mkdir()
    return folder


def record(time: str, action: str, file: str = WHEEL, **details: Any) -> bytes:
    """Return a line as the index writes it."""
    line = {"time": f"2026-03-{time}.123456Z", "action": action, "file": file, **details}
    return json.dumps(line).encode() + b"\n"


HISTORY = b"".join(
    [
        record("01T09:00:00", "upload", by="alice", size=1, sha256="0" * 64),
        record("01T09:00:01", "upload", OTHER, by="bob", size=1, sha256="0" * 64),
        record("02T10:30:00", "find", "copied-3.0.zip", size=1, sha256="0" * 64, uploaded="x"),
        record("03T23:59:59", "yank", by="root", reason="breaks on Tuesdays"),
        record("04T00:00:00", "unyank", by="root"),
        record("05T12:00:00", "remove", by="a-very-long-name@example.com"),
    ]
)
LINES = """\
2026-03-01 09:00:00 UTC  published  my_lib-1.0-py3-none-any.whl  alice
2026-03-01 09:00:01 UTC  published  Other.Lib-2.0.tar.gz         bob
2026-03-02 10:30:00 UTC  found      copied-3.0.zip               in pypi_data/
2026-03-03 23:59:59 UTC  yanked     my_lib-1.0-py3-none-any.whl  root                          breaks on Tuesdays
2026-03-04 00:00:00 UTC  unyanked   my_lib-1.0-py3-none-any.whl  root
2026-03-05 12:00:00 UTC  removed    my_lib-1.0-py3-none-any.whl  a-very-long-name@example.com
"""  # noqa: E501


def test_who_did_what_and_when_is_told_in_order_and_in_columns(
    data: Path, capsys: Captured
) -> None:
    (data / journal.FILE).write_bytes(HISTORY)

    assert main(["audit"]) == 0

    assert capsys.readouterr() == (LINES, "")


@pytest.mark.parametrize("name", ["my-lib", "My_Lib", "my.lib"])
def test_one_project_is_told_alone_however_its_name_is_spelled(
    data: Path, capsys: Captured, name: str
) -> None:
    (data / journal.FILE).write_bytes(HISTORY)

    assert main(["audit", f"--project={name}"]) == 0

    assert [line.split()[3] for line in capsys.readouterr().out.splitlines()] == [
        *("published", "yanked", "unyanked", "removed"),
    ]


@pytest.mark.parametrize("name", ["my-lib", "My_Lib", ""])
def test_the_marks_of_a_project_are_told_with_status_and_reason(
    data: Path, capsys: Captured, name: str
) -> None:
    (data / journal.FILE).write_bytes(
        record("06T12:00:00", "mark", "my-lib", by="bob", status="archived", reason="it \x1b moved")
        + record("06T12:00:01", "mark", "my-lib", by="root", status="deprecated")
    )

    assert main(["audit", f"--project={name}"]) == 0

    assert capsys.readouterr() == (
        "2026-03-06 12:00:00 UTC  marked  my-lib  bob   archived: it \\x1b moved\n"
        "2026-03-06 12:00:01 UTC  marked  my-lib  root  deprecated\n",
        "",
    )


@pytest.mark.parametrize("name", ["none", "my", "../x", "--help", "\x1b[2J", "*", " "])
def test_a_project_that_never_was_has_no_lines(data: Path, capsys: Captured, name: str) -> None:
    (data / journal.FILE).write_bytes(HISTORY)

    assert main(["audit", f"--project={name}"]) == 0

    assert capsys.readouterr() == ("", "")


def test_without_a_journal_nothing_was_done(data: Path, capsys: Captured) -> None:
    assert main(["audit"]) == 0
    data.rmdir()
    assert main(["audit"]) == 0

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "damaged",
    [
        b"\x00\x00\x00",
        b"\xff\xfe",
        b"no JSON",
        b"[]",
        b"{}",
        b"5",
        b"[" * 100_000,
        b'{"time": "2026-03-01T09:00:00.123456Z", "action": "upload"}',
        b'{"time": "yesterday", "action": "upload", "file": "x"}',
        b'{"time": 5, "action": "upload", "file": "x"}',
        b'{"time": "2026-03-01T09:00:00.123456Z", "action": 5, "file": "x"}',
        b'{"time": "2026-03-01T09:00:00.123456Z", "action": "yank", "file": "x", "reason": []}',
    ],
)
def test_a_damaged_line_is_named_and_left_out(data: Path, capsys: Captured, damaged: bytes) -> None:
    lines = HISTORY.splitlines(keepends=True)
    (data / journal.FILE).write_bytes(b"".join([*lines[:2], damaged, b"\n\n", *lines[2:]]))

    assert main(["audit"]) == 0

    assert capsys.readouterr() == (
        LINES,
        "error: pypi_data/.journal.jsonl line 3 is damaged: left out\n",
    )


def test_a_torn_last_line_is_named_and_left_out(data: Path, capsys: Captured) -> None:
    (data / journal.FILE).write_bytes(HISTORY + record("06T00:00:00", "upload")[:-9])

    assert main(["audit"]) == 0

    assert capsys.readouterr() == (
        LINES,
        "error: pypi_data/.journal.jsonl line 7 is damaged, and ends early: left out\n",
    )


@pytest.mark.parametrize("key", ["by", "reason", "file", "action"])
@pytest.mark.parametrize(
    "text", ["\x1b[2J\x1b]0;x\x07", "a\nb\rc", "\x9b31m", "\u202egnp", "\ud800"]
)
def test_nothing_reaches_the_terminal_that_it_would_act_on(
    data: Path, capsys: Captured, key: str, text: str
) -> None:
    line = {"time": "2026-03-01T09:00:00.123456Z", "action": "yank", "file": WHEEL, key: text}
    (data / journal.FILE).write_text(json.dumps(line) + "\n")

    assert main(["audit"]) == 0

    printed = capsys.readouterr().out
    assert printed.removesuffix("\n").isprintable()
    assert "\\" in printed


def test_what_is_done_by_command_is_told(data: Path, capsys: Captured) -> None:
    wheel.build(data, "my-lib", "1.0", origin="us")
    index = Index(data, data.with_name("pypi_index"))
    index.refresh()
    (data / ".signature").write_text("signature")
    index.sign(data / ".signature", f"{WHEEL}.asc", by="alice")
    attested = data / ".attested"
    attested.write_bytes(attestation.provenance(attestation.of(WHEEL, (data / WHEEL).read_bytes())))
    new = distribution.read(data / WHEEL)
    index.add(data / WHEEL, new, by="alice", attested=attested)
    index.yank("my-lib", "1.0", "naïve", by="alice")
    index.unyank("my-lib", "1.0", by="alice")
    index.remove("my-lib", "1.0", by="bob")

    assert main(["audit"]) == 0

    told = [line.split()[3:] for line in capsys.readouterr().out.splitlines()]
    assert told == [
        ["found", WHEEL, "in", "pypi_data/"],
        ["signed", WHEEL, "alice"],
        ["attested", WHEEL, "alice"],
        ["yanked", WHEEL, "alice", "naïve"],
        ["unyanked", WHEEL, "alice"],
        ["removed", WHEEL, "bob"],
    ]


def test_it_waits_for_whoever_is_in_the_middle_of_a_line_and_for_nobody_else(
    data: Path, capsys: Captured
) -> None:
    (data / journal.FILE).write_bytes(HISTORY)
    with journal.locked(data) as held:
        audit = threading.Thread(target=main, args=(["audit"],))
        audit.start()
        audit.join(0.2)
        assert audit.is_alive()
        last = journal.Record.parse(record("06T00:00:00", "yank", by="zoe"))
        assert last
        held.append([last])
    audit.join()

    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.endswith("zoe\n")


def test_who_reads_only_the_first_line_gets_no_error(data: Path) -> None:
    (data / journal.FILE).write_bytes(HISTORY * 2000)
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}

    done = subprocess.run(
        ["sh", "-c", f"'{sys.executable}' -m private_pypi audit | head -n 1"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.startswith("2026-03-01 09:00:00 UTC  published")
    assert done.stderr == ""


def test_a_journal_that_cannot_be_read_is_an_error_in_a_sentence(
    data: Path, capsys: Captured
) -> None:
    (data / journal.FILE).mkdir()

    assert main(["audit"]) == 1

    assert capsys.readouterr().err.startswith("error: [Errno 21] Is a directory")


# Tokens of CI jobs --------------------------------------------------------------------------------


@pytest.fixture
def refused_tokens(repository: Path) -> None:
    """A log of tokens that were refused before and after what is in HISTORY."""
    folder = repository / "pypi_index"
    folder.mkdir()
    older = {"time": "2026-03-02T00:00:00.000000Z", "reason": "The token is no JSON Web Token."}
    newer = {
        "time": "2026-03-04T12:00:00.000000Z",
        "reason": "This job is not trusted: repository_id is '6', not '123'.",
        "issuer": "https://ci.example",
        "repository": "evil/\x1b[2Jevil",
    }
    (folder / "refused.1.jsonl").write_text(f"{json.dumps(older)}\n")
    (folder / "refused.jsonl").write_text(f"{json.dumps(newer)}\nnonsense\n")


@pytest.mark.usefixtures("refused_tokens")
def test_refused_tokens_stand_among_the_lines_of_the_journal_by_their_time(
    data: Path, capsys: Captured
) -> None:
    (data / journal.FILE).write_bytes(HISTORY)

    assert main(["audit"]) == 0

    lines = capsys.readouterr().out.splitlines()
    told = [re.split("  +", line) for line in lines if "refused" in line]
    assert told == [
        ["2026-03-02 00:00:00 UTC", "refused", "a token", "-", "The token is no JSON Web Token."],
        [
            *("2026-03-04 12:00:00 UTC", "refused", "a token", r"evil/\x1b[2Jevil"),
            "This job is not trusted: repository_id is '6', not '123'. (issuer https://ci.example)",
        ],
    ]
    assert "\x1b" not in "".join(audit(data, data.parent / "pypi_index")[0])
    assert [line[:19] for line in lines] == sorted(line[:19] for line in lines)
    assert len(lines) == 8


@pytest.mark.parametrize("repository_name", ["x" * 500, "\U000e0001" * 70])
def test_a_stranger_does_not_widen_the_lines_of_others(
    repository: Path, data: Path, repository_name: str
) -> None:
    (data / journal.FILE).write_bytes(HISTORY)
    before = audit(data, repository / "pypi_index")[0]
    (repository / "pypi_index").mkdir()
    told = {"time": "2026-03-04T12:00:00.000000Z", "reason": "Why.", "repository": repository_name}
    (repository / "pypi_index/refused.jsonl").write_text(f"{json.dumps(told)}\n")

    lines = audit(data, repository / "pypi_index")[0]

    assert max(map(len, lines)) <= max(map(len, before)) + 80


@pytest.mark.usefixtures("refused_tokens")
def test_no_refused_token_is_about_one_project(data: Path, capsys: Captured) -> None:
    (data / journal.FILE).write_bytes(HISTORY)

    assert main(["audit", "--project=my-lib"]) == 0

    assert "refused" not in capsys.readouterr().out


def test_an_upload_of_a_ci_job_is_told_with_workflow_commit_and_run(
    data: Path, capsys: Captured
) -> None:
    job = {"issuer": "https://ci.example", "workflow": "w.yml@main", "commit": "0123", "run": "7"}
    (data / journal.FILE).write_bytes(
        record("01T09:00:00", "upload", by="a/b w", sha256="0" * 64, job=job)
        + record("01T09:00:01", "upload", by="a/b w", sha256="0" * 64, job={"run": "\x9b8"})
    )

    assert main(["audit"]) == 0

    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("  a/b w  workflow w.yml@main, commit 0123, run 7")
    assert second.endswith(r"  a/b w  run \x9b8")
