"""The time of an upload is kept, whatever the times of files and folders say."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from kit.an_index import WHEEL, actions, check, copy, names, page, publish, records
from private_pypi import journal, scan
from private_pypi.index import Index
from private_pypi.verify import differences


def test_a_file_put_there_by_hand_has_the_time_it_was_last_changed(
    index: Index, folder: Path, data: Path
) -> None:
    copy(data)
    index.refresh()

    assert page(folder)[0]["upload-time"] == "2023-11-14T22:13:20Z"
    assert actions(data) == [("find", WHEEL)]
    (record,) = records(data)
    assert record["uploaded"] == "2023-11-14T22:13:20.000000Z"
    assert record["sha256"] == hashlib.sha256((data / WHEEL).read_bytes()).hexdigest()


def test_a_time_in_the_future_is_not_shown(index: Index, folder: Path, data: Path) -> None:
    path = copy(data)
    os.utime(path, (9e9, 9e9))
    index.refresh()

    assert page(folder)[0]["upload-time"][:19] <= journal.timestamp(time.time())[:19]


@pytest.mark.parametrize("when", [2**63, 10**21, -(2**63) - 1, -(10**21)])
def test_a_time_that_no_database_can_hold_does_no_harm(
    folder: Path, tmp_path: Path, when: int
) -> None:
    # Few file systems can hold it either: this one is in memory.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        data = Path(name)
        (data / ".uploads").mkdir()
        path = copy(data)
        os.utime(path, ns=(when, when))
        index = Index(data, folder)

        for _ in range(2):
            index.refresh()

        assert path.stat().st_mtime_ns == when
        assert names(folder) == [WHEEL]
        assert list(differences(data, index.folder)) == []
        assert index.presence("requests") == "unknown"


@pytest.mark.parametrize("ahead", [120, 10**9])
def test_a_folder_dated_ahead_costs_an_unknown_name_no_look_at_the_files(
    index: Index, data: Path, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    copy(data / "sub")
    for place in (data, data / "sub"):
        os.utime(place, (time.time() + ahead, time.time() + ahead))
    index.refresh()

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(scan, "scan", fail)
    assert index.presence("requests") == "unknown"


def test_upload_times_outlive_a_copy_without_times_and_the_index(
    index: Index, folder: Path, data: Path, tmp_path: Path
) -> None:
    publish(index, data)
    copy(data, "other")
    index.refresh()
    line = records(data)[0] | {"time": "2020-02-02T02:02:02.000000Z"}
    (data / journal.FILE).write_text(f"{json.dumps(line)}\n{json.dumps(records(data)[1])}\n")

    restored = tmp_path / "restored" / "pypi_data"
    for path in (path for path in data.rglob("*") if path.is_file()):
        target = restored / path.relative_to(data)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    new = Index(restored, tmp_path / "restored" / "pypi_index")
    new.refresh()

    assert page(new.folder)[0]["upload-time"] == "2020-02-02T02:02:02Z"
    assert page(new.folder, "other")[0]["upload-time"] == "2023-11-14T22:13:20Z"
    assert len(records(restored)) == 2
    check(new, new.folder, restored)
