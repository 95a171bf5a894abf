"""Fixtures of the index's tests: its two folders, an index, and one that is kept current."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from private_pypi.index import Index


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "pypi_data"
    (folder / ".uploads").mkdir(parents=True)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pypi_index"


@pytest.fixture
def index(data: Path, folder: Path) -> Index:
    """An index of nothing, which is current."""
    made = Index(data, folder)
    made.refresh()
    return made


@pytest.fixture
def following(index: Index, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An index that is kept current by a thread of its own."""

    class StoppedError(BaseException):
        pass

    stop, ready = threading.Event(), threading.Event()
    trouble: list[BaseException] = []
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if stop.wait(min(seconds, 0.02)):
            raise StoppedError

    def follow() -> None:
        try:
            index.follow(ready=ready)
        except StoppedError:
            pass
        except BaseException as error:
            trouble.append(error)

    # Its own clock: other threads of this process sleep, too.
    clock = SimpleNamespace(**{**vars(time), "sleep": sleep})
    monkeypatch.setattr("private_pypi.refresh.time", clock)
    thread = threading.Thread(target=follow)
    thread.start()
    try:
        assert ready.wait(10)
        yield index
    finally:
        stop.set()
        thread.join(10)
    assert trouble == []
    # Longer only where a scan takes long: docs/data.md promises that changes show in three seconds.
    assert min(pauses) <= 1
