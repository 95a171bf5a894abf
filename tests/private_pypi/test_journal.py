"""The journal: whole lines or none, one writer at a time; lines that are no records are skipped."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from private_pypi import journal

SPAWN = multiprocessing.get_context("spawn")


def record(number: int = 0, **more: Any) -> journal.Record:
    return journal.Record("2026-01-01T00:00:00.000000Z", "find", f"f{number}", **more)


def records(data: Path, since: int = 0) -> list[journal.Record]:
    """Return what the journal says, as its readers read it."""
    with journal.locked(data) as lines:
        return list(lines.since(since))


def append(data: Path, *new: journal.Record) -> None:
    with journal.locked(data) as lines:
        lines.append(list(new))


def append_many(data: Path, start: int, count: int) -> None:
    """Append records one by one, in a process of its own."""
    for number in range(start, start + count):
        append(data, record(number, reason="x" * 3000))


def hold(data: Path, held: Any, release: Any) -> None:
    """Hold the lock, in a process of its own."""
    with journal.locked(data):
        held.set()
        release.wait(30)


# Writing ------------------------------------------------------------------------------------------


def test_what_was_appended_is_read_in_that_order(tmp_path: Path) -> None:
    append(tmp_path, record(1), record(2, reason='"quoted"\nü\u2028\ud800'))
    append(tmp_path)
    append(tmp_path, record(3))

    assert records(tmp_path) == [
        record(1),
        record(2, reason='"quoted"\nü\u2028\ud800'),
        record(3),
    ]


def test_every_record_is_one_line_of_json_in_ascii(tmp_path: Path) -> None:
    append(tmp_path, record(1, reason="a\nb\r\x85\u2028ü"), record(2))

    content = (tmp_path / journal.FILE).read_bytes()

    assert content.isascii()
    assert content.endswith(b"\n")
    assert [json.loads(line)["file"] for line in content.splitlines()] == ["f1", "f2"]


def test_the_file_is_hidden_and_readable_to_all(tmp_path: Path) -> None:
    append(tmp_path, record())

    (path,) = tmp_path.iterdir()
    assert path.name == ".journal.jsonl"
    assert path.stat().st_mode & 0o777 == 0o644 & ~_umask()


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_only_what_is_new_is_read_from_a_place_on(tmp_path: Path) -> None:
    append(tmp_path, record(1))
    with journal.locked(tmp_path) as lines:
        end = lines.end
        lines.append([record(2)])
        lines.append([record(3)])

        assert list(lines.since(end)) == [record(2), record(3)]
        assert list(lines.since(lines.end)) == []


def test_records_are_on_the_disk_when_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        fsync(descriptor)
        sizes.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", recorded)
    append(tmp_path, record(1), record(2))

    assert sizes == [(tmp_path / journal.FILE).stat().st_size]


def test_a_write_in_pieces_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda to, what: write(to, bytes(what[:7])))

    append(tmp_path, record(1), record(2))

    assert records(tmp_path) == [record(1), record(2)]


@pytest.mark.parametrize("fits", [0, 1, 50, 100, 140])
@pytest.mark.parametrize("before", [b"", b'{"torn'])
def test_a_full_disk_leaves_the_journal_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: int, before: bytes
) -> None:
    append(tmp_path, record(1))
    with (tmp_path / journal.FILE).open("ab") as file:
        file.write(before)
    content = (tmp_path / journal.FILE).read_bytes()
    write, left = os.write, fits

    def fill(descriptor: int, what: bytes) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = write(descriptor, bytes(what[:left]))
        left -= done
        return done

    monkeypatch.setattr(os, "write", fill)
    with pytest.raises(OSError, match="No space left"):
        append(tmp_path, record(2), record(3))
    monkeypatch.undo()

    assert (tmp_path / journal.FILE).read_bytes() == content
    append(tmp_path, record(4))
    assert records(tmp_path) == [record(1), record(4)]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_what_may_not_have_reached_the_disk_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    append(tmp_path, record(1))

    def fail(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(error)):
        append(tmp_path, record(2))

    assert records(tmp_path) == [record(1)]


def test_a_record_that_is_no_json_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    append(tmp_path, record(1))

    with pytest.raises(TypeError):
        append(tmp_path, record(2), record(3, reason=object()))

    assert records(tmp_path) == [record(1)]


# Reading ------------------------------------------------------------------------------------------


def test_a_torn_last_line_costs_itself_and_nothing_that_follows(tmp_path: Path) -> None:
    append(tmp_path, record(1), record(2))
    path = tmp_path / journal.FILE
    whole = path.read_bytes()
    second = whole.index(b"\n") + 1

    for length in range(second, len(whole)):
        path.write_bytes(whole[:length])
        with journal.locked(tmp_path) as lines:
            end = lines.end
            before = list(lines.since(0))
            lines.append([record(3)])

            # Its end may be all that a whole record lacks.
            assert before in ([record(1)], [record(1), record(2)])
            assert list(lines.since(0)) == [*before, record(3)]
            assert list(lines.since(end)) == [record(3)]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b"# a comment",
        b"\0" * 4096,
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"text"',
        b"17",
        b"{}",
        b'{"time": "2026-01-01T00:00:00.000000Z", "action": "find"}',
        b'{"time": "2026-01-01T00:00:00.000000Z", "file": "f"}',
        b'{"action": "find", "file": "f"}',
        b'{"time": "2026-01-01T00:00:00.000000Z", "action": "find", "file": "f"}}',
        b"[" * 100_000,
        b"9" * 5000,
    ],
)
def test_a_line_that_is_no_record_is_left_out_wherever_it_stands(
    tmp_path: Path, line: bytes
) -> None:
    append(tmp_path, record(1))
    with (tmp_path / journal.FILE).open("ab") as file:
        file.write(line + b"\n")
    append(tmp_path, record(2))

    assert records(tmp_path) == [record(1), record(2)]


def test_lines_that_an_editor_ended_otherwise_are_read(tmp_path: Path) -> None:
    (tmp_path / journal.FILE).write_bytes(
        b"\r\n".join(record(number).as_line() for number in range(2))
    )

    assert records(tmp_path) == [record(0), record(1)]
    append(tmp_path, record(2))
    assert records(tmp_path) == [record(0), record(1), record(2)]


@given(st.binary(max_size=300))
def test_no_bytes_keep_a_record_behind_them_from_being_read(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    data = tmp_path_factory.getbasetemp()
    (data / journal.FILE).write_bytes(content)

    append(data, record(1))

    assert records(data)[-1] == record(1)


def test_a_journal_with_other_lines_before_a_place_has_another_mark_there(tmp_path: Path) -> None:
    append(tmp_path, record(1))
    with journal.locked(tmp_path) as lines:
        end, before = lines.end, lines.mark(lines.end)
    append(tmp_path, record(2))
    with journal.locked(tmp_path) as lines:
        assert lines.mark(end) == before

    path = tmp_path / journal.FILE
    path.write_bytes(path.read_bytes().replace(b'"f1"', b'"f9"'))
    with journal.locked(tmp_path) as lines:
        assert lines.mark(end) != before

    path.write_bytes(path.read_bytes()[: end - 1])
    with journal.locked(tmp_path) as lines:
        assert lines.mark(end) != before


# Records ------------------------------------------------------------------------------------------

TIME = "2026-01-01T00:00:00.000000Z"
DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            journal.Record(TIME, "upload", "f", size=0, sha256=DIGEST, by="alice"),
            f'"action": "upload", "file": "f", "size": 0, "sha256": "{DIGEST}", "by": "alice"',
        ),
        (
            journal.Record(TIME, "find", "f", size=1, sha256=DIGEST, uploaded=TIME, instead_of="F"),
            f'"action": "find", "file": "f", "size": 1, "sha256": "{DIGEST}",'
            f' "uploaded": "{TIME}", "instead_of": "F"',
        ),
        (
            journal.Record(TIME, "yank", "f", reason="", by="bob"),
            '"action": "yank", "file": "f", "reason": "", "by": "bob"',
        ),
        (
            journal.Record(TIME, "remove", "f", by="bob", restored=True, more={"new": [1]}),
            '"action": "remove", "file": "f", "by": "bob", "new": [1], "restored": true',
        ),
    ],
)
def test_a_record_is_written_as_ever_and_read_as_what_was_written(
    tmp_path: Path, said: journal.Record, line: str
) -> None:
    append(tmp_path, said)

    (written,) = (tmp_path / journal.FILE).read_text().splitlines()
    after = json.loads(written)["after"]
    assert written == f'{{"time": "{TIME}", {line}, "after": "{after}"}}'
    assert journal.Record.parse(written) == said
    assert records(tmp_path) == [said]


@pytest.mark.parametrize(
    "values",
    [
        {"time": "yesterday"},
        {"time": 5},
        {"time": "2026-02-30T00:00:00.000000Z"},
        {"action": 5},
        {"action": None},
        {"file": ["f"]},
    ],
)
def test_what_nobody_could_be_told_is_no_record(values: dict[str, Any]) -> None:
    line = {"time": TIME, "action": "yank", "file": "f", **values}

    assert journal.Record.parse(json.dumps(line)) is None


@pytest.mark.parametrize(
    "values",
    [
        {"action": "upload"},
        {"action": "sign"},
        {"action": "find", "sha256": DIGEST.upper()},
        {"action": "find", "sha256": 5},
        {"action": "find", "sha256": DIGEST, "uploaded": "2026-01-01"},
        {"file": "f\ud800"},
        {"reason": "\ud800"},
        {"reason": []},
    ],
)
def test_a_record_the_index_cannot_act_on_is_kept_as_it_is(values: dict[str, Any]) -> None:
    line = {"time": TIME, "action": "yank", "file": "f", **values}

    said = journal.Record.parse(json.dumps(line))

    assert said
    assert not said.is_valid
    assert json.loads(said.as_line()) == line


@pytest.mark.parametrize(
    "values", [{}, {"size": "large"}, {"by": "\ud800"}, {"by": None}, {"by": 3}, {"sha256": 5}]
)
def test_what_a_record_need_not_say_may_be_anything(values: dict[str, Any]) -> None:
    line = {"time": TIME, "action": "yank", "file": "f", **values}

    said = journal.Record.parse(json.dumps(line))

    assert said
    assert said.is_valid
    assert json.loads(said.as_line()) == line


def test_two_lines_say_the_same_wherever_they_stand_and_however_they_came_there() -> None:
    one = journal.Record(TIME, "yank", "f", by="bob")
    other = journal.Record(TIME, "yank", "f", by="bob", restored=True, after="0" * 16)

    assert one.text == other.text
    assert one != other
    assert journal.Record(TIME, "yank", "f", by="zoe").text != one.text


# Lock ---------------------------------------------------------------------------------------------


def test_another_thread_waits_for_the_lock(tmp_path: Path) -> None:
    waiting, entered = threading.Event(), threading.Event()

    def enter() -> None:
        waiting.set()
        with journal.locked(tmp_path):
            entered.set()

    with journal.locked(tmp_path):
        thread = threading.Thread(target=enter)
        thread.start()
        assert waiting.wait(10)
        assert not entered.wait(0.2)
    assert entered.wait(10)
    thread.join()


def test_another_process_waits_for_the_lock_and_gets_it_when_the_holder_is_killed(
    tmp_path: Path,
) -> None:
    held, release = SPAWN.Event(), SPAWN.Event()
    process = SPAWN.Process(target=hold, args=(tmp_path, held, release))
    process.start()
    assert held.wait(30)
    entered = threading.Event()

    def enter() -> None:
        with journal.locked(tmp_path):
            entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    assert not entered.wait(0.2)
    process.kill()
    assert entered.wait(10)
    thread.join()
    process.join()


def test_who_waits_for_a_journal_that_is_replaced_writes_to_the_new_one(tmp_path: Path) -> None:
    append(tmp_path, record(1), record(2))
    waiting = threading.Event()

    def write() -> None:
        waiting.set()
        append(tmp_path, record(4))

    with journal.locked(tmp_path) as lines:
        thread = threading.Thread(target=write)
        thread.start()
        assert waiting.wait(10)
        thread.join(0.2)
        kept = lines.replace(tmp_path, [record(1)])
        lines.append([record(3)])
        assert thread.is_alive()
    thread.join(10)

    assert records(tmp_path) == [record(1), record(3), record(4)]
    with journal.locked(tmp_path) as lines:
        assert lines.breaks() == []
    assert sorted(tmp_path.iterdir()) == [tmp_path / journal.FILE, kept]
    assert len(kept.read_bytes().splitlines()) == 2


def test_an_error_under_the_lock_gives_it_back(tmp_path: Path) -> None:
    for _ in range(50):
        with pytest.raises(RuntimeError), journal.locked(tmp_path):
            raise RuntimeError

    began = time.monotonic()
    append(tmp_path, record(1))
    assert time.monotonic() - began < 5


def test_processes_and_threads_that_append_at_once_lose_and_mix_nothing(tmp_path: Path) -> None:
    processes = [
        SPAWN.Process(target=append_many, args=(tmp_path, 100 * number, 25)) for number in range(2)
    ]
    threads = [
        threading.Thread(target=append_many, args=(tmp_path, 100 * number, 25))
        for number in range(2, 4)
    ]
    workers: list[Any] = [*processes, *threads]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    files = [one.file for one in records(tmp_path)]
    expected = {f"f{100 * number + k}" for number in range(4) for k in range(25)}
    assert set(files) == expected
    assert len(files) == len(expected)
    assert len((tmp_path / journal.FILE).read_bytes().splitlines()) == len(expected)


# Times --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1767225600.25, "2026-01-01T00:00:00.250000Z"),
        (1767225599.9999999, "2026-01-01T00:00:00.000000Z"),
    ],
)
def test_a_time_is_written_as_pep_700_has_it(seconds: float, expected: str) -> None:
    assert journal.timestamp(seconds) == expected


def test_the_time_zone_of_the_machine_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        now = time.time()
        assert journal.timestamp(now) == datetime.fromtimestamp(now, timezone.utc).strftime(
            "%Y-%m-%dT%H:%M:%S.%fZ"
        )
    finally:
        monkeypatch.undo()
        time.tzset()
