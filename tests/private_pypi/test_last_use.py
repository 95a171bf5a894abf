"""When each account was last used, as the gateway's logs tell it."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from pathlib import Path

import pytest
from kit.waiting import today
from private_pypi import last_use
from private_pypi.last_use import Uses

NAMES = {"alice", "ci"}


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """The folder of the gateway's logs."""
    folder = tmp_path / "uses"
    folder.mkdir()
    return folder


def line(name: str, day: str) -> str:
    """Return a line of the gateway's log."""
    noon = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=timezone.utc)
    return json.dumps({"ts": noon.timestamp(), "user_id": name, "status": 200}) + "\n"


def days(folder: Path) -> dict[str, str]:
    """Return what is written down."""
    return {name: str(day) for name, day in last_use.read(folder)[0].items()}


def test_the_last_day_of_each_account_is_written_down(logs: Path, tmp_path: Path) -> None:
    day = today()
    lines = [("alice", "2026-11-28"), ("ci", "2026-11-01"), ("alice", "2026-11-27")]
    (logs / "uses.log").write_text("".join(line(*one) for one in lines))

    Uses(logs, tmp_path).note(NAMES)

    assert days(tmp_path) == {"alice": "2026-11-28", "ci": "2026-11-01"}
    assert last_use.read(tmp_path)[1] == day


def test_nothing_is_lost_when_the_gateway_rolls_its_log_over(logs: Path, tmp_path: Path) -> None:
    uses, log = Uses(logs, tmp_path), logs / "uses.log"
    log.write_text(line("alice", "2026-11-26"))
    uses.note(NAMES)
    with log.open("a") as more:
        more.write(line("alice", "2026-11-27"))
    log.rename(logs / "uses-2026-11-27.log")
    log.write_text(line("ci", "2026-11-28"))
    uses.note(NAMES)

    assert days(tmp_path) == {"alice": "2026-11-27", "ci": "2026-11-28"}


def test_what_was_written_down_outlives_the_logs_and_the_process(
    logs: Path, tmp_path: Path
) -> None:
    day = today()
    (logs / "uses.log").write_text(line("alice", "2026-11-26"))
    Uses(logs, tmp_path).note(NAMES)
    (logs / "uses.log").unlink()
    (tmp_path / last_use.FILE).write_text(
        (tmp_path / last_use.FILE).read_text().replace(str(day), "2026-01-01")
    )

    Uses(logs, tmp_path).note(NAMES)

    assert days(tmp_path) == {"alice": "2026-11-26"}
    assert last_use.read(tmp_path)[1] == date(2026, 1, 1)


def test_the_file_is_written_only_when_a_day_changes(logs: Path, tmp_path: Path) -> None:
    uses = Uses(logs, tmp_path)
    with (logs / "uses.log").open("w") as log:
        log.write(line("alice", "2026-11-26"))
        log.flush()
        uses.note(NAMES)
        before = (tmp_path / last_use.FILE).stat()
        log.write(line("alice", "2026-11-26"))
        log.flush()
        uses.note(NAMES)

    assert (tmp_path / last_use.FILE).stat().st_ino == before.st_ino


def test_a_line_that_is_not_whole_yet_counts_once_it_is(logs: Path, tmp_path: Path) -> None:
    uses, whole = Uses(logs, tmp_path), line("alice", "2026-11-26")
    with (logs / "uses.log").open("w") as log:
        log.write(whole[:20])
        log.flush()
        uses.note(NAMES)
        assert days(tmp_path) == {}
        log.write(whole[20:])
        log.flush()
        uses.note(NAMES)

    assert days(tmp_path) == {"alice": "2026-11-26"}


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "null",
        "[]",
        '{"ts": 1}',
        '{"ts": "now", "user_id": "ci"}',
        '{"ts": 1e300, "user_id": "ci"}',
        '{"ts": NaN, "user_id": "ci"}',
        '{"ts": 1, "user_id": ["ci"]}',
        '{"ts": 1, "user_id": "a stranger"}',
        "[" * 100_000,
        "\x00\xff",
    ],
)
def test_a_line_that_tells_nothing_is_left_out(logs: Path, tmp_path: Path, bad: str) -> None:
    (logs / "uses.log").write_text(f"{bad}\n{line('alice', '2026-11-26')}")

    Uses(logs, tmp_path).note(NAMES)

    assert days(tmp_path) == {"alice": "2026-11-26"}


def test_an_account_that_was_removed_is_forgotten(logs: Path, tmp_path: Path) -> None:
    uses = Uses(logs, tmp_path)
    (logs / "uses.log").write_text(line("alice", "2026-11-26") + line("ci", "2026-11-26"))
    uses.note(NAMES)
    uses.note({"alice"})
    uses.note(NAMES)

    assert days(tmp_path) == {"alice": "2026-11-26"}


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"accounts": {"a": 1}, "since": "x"}', "\xff", "[" * 100_000]
)
def test_a_damaged_file_is_begun_anew(logs: Path, tmp_path: Path, content: str) -> None:
    day = today()
    (tmp_path / last_use.FILE).write_text(content, "latin-1")
    assert last_use.read(tmp_path) == ({}, None)

    Uses(logs, tmp_path).note(NAMES)

    assert last_use.read(tmp_path) == ({}, day)


def test_without_a_gateway_nothing_is_known() -> None:
    assert last_use.read(None) == ({}, None)


def test_what_cannot_be_written_is_told_once(
    logs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uses = Uses(logs, tmp_path / "nowhere")

    uses.note(NAMES)
    uses.note(NAMES)

    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("the last use of accounts is not noted: ")
