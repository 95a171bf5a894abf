"""Changes by hand and by other processes show by themselves."""

from __future__ import annotations

import errno
import itertools
import json
import shutil
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kit.an_index import WHEEL, check, copy, names, page, publish, records, soon
from private_pypi import distribution, journal, scan
from private_pypi.index import Index
from private_pypi.refresh import Refresher


def links(folder: Path, project: str = "my-lib") -> list[str]:
    """Return the links of the JSON page, which may be written at the moment."""
    try:
        read = json.loads((folder / "simple" / project / "index.json").read_bytes())
    except OSError:
        return []
    return [f"{file['url']} {file.get('yanked', '')}".strip() for file in read["files"]]


def test_changes_by_hand_and_by_others_show_by_themselves(
    following: Index, folder: Path, data: Path
) -> None:
    first = f"../../packages/{WHEEL}"
    second = "../../packages/new/my_lib-2.0-py3-none-any.whl"

    path = copy(data)
    assert soon(lambda: links(folder) == [first])
    copy(data / "new", version="2.0")
    assert soon(lambda: links(folder) == [first, second])
    path.unlink()
    assert soon(lambda: links(folder) == [second])
    Index(data, folder).yank("my-lib", "2.0", "x", by="bob")
    assert soon(lambda: links(folder) == [f"{second} x"])
    folder.rename(folder.with_name("old_index"))
    assert soon(lambda: links(folder) == [f"{second} x"])
    assert soon(lambda: following.presence("requests") == "unknown")


def test_what_the_start_takes_does_not_put_off_the_next_look(
    data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StoppedError(BaseException):
        pass

    def stop(seconds: float) -> None:
        assert seconds == 1
        raise StoppedError

    mend = Refresher._mend

    def mend_long(refresher: Refresher) -> set[str]:
        time.sleep(0.6)
        return mend(refresher)

    monkeypatch.setattr(Refresher, "_mend", mend_long)
    clock = SimpleNamespace(**{**vars(time), "sleep": stop})
    monkeypatch.setattr("private_pypi.refresh.time", clock)
    with pytest.raises(StoppedError):
        Index(data, folder).follow()


def test_trouble_is_said_once_and_the_index_follows_again_when_it_is_over(
    following: Index,
    folder: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real, calls = scan.scan, itertools.count()

    def fail(*_: object) -> None:
        next(calls)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(scan, "scan", fail)
    copy(data)
    assert soon(lambda: next(calls) > 10)
    monkeypatch.setattr(scan, "scan", real)

    assert soon(lambda: len(links(folder)) == 1)
    assert caplog.text.count("Input/output error") == 1


def test_nothing_that_goes_wrong_ends_the_following(
    following: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()
    read = distribution.read

    def fail(path: Path, file: str | None = None) -> distribution.Distribution:
        if not failed.is_set():
            failed.set()
            raise ValueError("nobody thought of that")
        return read(path, file)

    monkeypatch.setattr(distribution, "read", fail)
    copy(data)

    assert failed.wait(10)
    assert soon(lambda: len(links(folder)) == 1)


# The journal --------------------------------------------------------------------------------------


def test_a_journal_that_another_process_wrote_is_followed(
    index: Index, folder: Path, data: Path
) -> None:
    name = publish(index, data)
    with journal.locked(data) as lines:
        now = journal.timestamp(time.time())
        lines.append([journal.Record(now, "yank", name, reason="broken")])

    index.refresh()

    assert page(folder)[0]["yanked"] == "broken"


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": None},
        {"sha256": 5},
        {"sha256": ["x"]},
        {"sha256": "\ud800" * 64},
        {"sha256": "x" * 64},
        {"file": None},
        {"file": 5},
        {"file": {}},
        {"file": "no distribution"},
        {"file": "../../x-1.0.tar.gz"},
        {"file": "my_lib-1.0-py3\ud800-none-any.whl"},
        {"time": None},
        {"time": 5},
        {"time": "yesterday"},
        {"time": "2026-1-2T3:4:5.0Z"},
        {"time": "2026-02-30T00:00:00.000000Z"},
        {"uploaded": "2026-01-01"},
        {"uploaded": 7},
        {"uploaded": {}},
        {"action": "dance"},
        {"action": None},
        {"action": []},
        {"action": "yank", "reason": None},
        {"action": "yank", "reason": 5},
        {"action": "yank", "reason": ["x"]},
        {"action": "yank", "reason": {}},
        {"action": "yank", "reason": "\ud800"},
    ],
)
@pytest.mark.parametrize("rebuilt", [True, False])
def test_a_line_of_the_journal_that_makes_no_sense_does_no_harm(
    index: Index, folder: Path, data: Path, changes: dict[str, Any], rebuilt: bool
) -> None:
    publish(index, data)
    good = json.dumps(records(data)[0])
    line = json.loads(good) | changes
    bad = f"{json.dumps(line)}\n{json.dumps(line | {'file': 'gone_lib-1.0.tar.gz'})}\n"
    if rebuilt:
        (data / journal.FILE).write_text(f"{bad}{good}\n{bad}")
        shutil.rmtree(folder)
        index = Index(data, folder)
    else:
        with (data / journal.FILE).open("a") as file:
            file.write(bad)

    index.refresh()
    publish(index, data, version="2.0")
    index.refresh(reread=True)

    assert names(folder) == [WHEEL, "my_lib-2.0-py3-none-any.whl"]
    check(index, folder, data)
