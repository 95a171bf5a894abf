"""What the commands print: letters that are shown, and none that a terminal acts on."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from kit import wheel
from private_pypi.__main__ import main
from private_pypi.terminal import guarded, printable

UNPRINTABLE = ["\x1b[2J", "\x9b31m", "\x07", "\x7f", "\x85", "\u202egnp", "\u2066", "\u2028"]
HASH = "$2y$04$private.pypi.tests..uugfvOQnbet/tUFgFlRVT9OR15g5aLe82"

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize("text", [*UNPRINTABLE, "\ud800", "a\nb\rc\td"])
def test_what_a_terminal_acts_on_is_spelled_out(text: str) -> None:
    said = printable(f"ü {text} 包")
    assert said.isprintable()
    assert said.startswith("ü ")
    assert said.endswith(" 包")
    assert printable(said) == said


def test_a_stream_keeps_its_lines() -> None:
    stream = io.StringIO()
    print("naïve", "a\x9bb", file=guarded(stream))
    print("one\ntwo\x1b", file=guarded(stream), flush=True)
    assert stream.getvalue() == "naïve a\\x9bb\none\ntwo\\x1b\n"


@pytest.fixture
def odd(tmp_path: Path, auth: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A repository where accounts, files and reasons hold all that is unprintable; a name so."""
    assert auth == tmp_path / "pypi_auth"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYPI_GATEWAY", "gateway")
    (tmp_path / "gateway").mkdir()
    data = tmp_path / "pypi_data"
    data.mkdir()
    name = "".join(UNPRINTABLE)
    wheel.build(data, "lib", "1.0", origin="us")
    (data / f"{name}.whl").write_bytes(b"")
    (data / f"{name}-1.0.tar.gz").write_bytes(b"")
    (data / "lib-1.0.tar.gz").write_bytes(b"")
    (data / name).mkdir()
    wheel.build(data / name, "lib", "1.0", origin="us")
    lines = "".join(f"{text}b:{HASH}\n{text}c:{text}\n" for text in UNPRINTABLE)
    (auth / ".htpasswd").write_text(lines)
    line = {"time": "2026-03-01T09:00:00.123456Z", "action": "yank", "file": name, "reason": name}
    (data / ".journal.jsonl").write_text(f"{json.dumps(line)}\n")
    return name


@pytest.mark.parametrize(
    "command",
    [
        ["check"],
        ["follow", "--once"],
        ["index"],
        ["verify"],
        ["audit"],
        ["user", "list"],
        ["user", "add", "--", "{}"],
        ["user", "passwd", "--", "{}"],
        ["user", "remove", "--", "{}"],
        ["yank", "--reason", "{}", "--", "lib", "1.0"],
        ["yank", "--", "{}", "1.0"],
        ["unyank", "--", "lib", "{}"],
        ["remove", "--yes", "--", "lib", "1.0"],
        ["remove", "--", "{}", "{}"],
        ["certificate", "{}", "{}", "{}"],
    ],
    ids=" ".join,
)
def test_no_command_prints_what_a_terminal_acts_on(
    odd: str, capsys: Captured, command: list[str]
) -> None:
    for before in ([], ["index"]):
        if before:
            main(before)
        main([part.format(odd) for part in command])

    printed = capsys.readouterr()
    said = (printed.out + printed.err).split("\n")
    assert len(said) > 1
    assert [line for line in said if not line.isprintable()] == []
