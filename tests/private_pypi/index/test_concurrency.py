"""Processes and threads that work on one index at the same time."""

from __future__ import annotations

import itertools
import multiprocessing
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit.an_index import check, copy, fill, names, projects, publish, records, served
from private_pypi import distribution
from private_pypi.catalogue import Catalogue
from private_pypi.index import Index, NameTakenError

SPAWN = multiprocessing.get_context("spawn")
CONTESTED = ["contested", "Contested", "conTested", "CONTESTED"]


def publish_many(data: Path, folder: Path, worker: int, start: Any, results: Any) -> None:
    """Upload files of its own and one that all upload with other bytes, in another process."""
    index = Index(data, folder)
    start.wait(60)
    index.refresh()
    won = 0
    for number in range(10):
        publish(index, data, f"lib{number % 3}", f"{worker}.{number}")
        try:
            publish(index, data, CONTESTED[worker], f"1.{number}", origin=f"{worker}")
            won += 1
        except NameTakenError:
            pass
    results.put(won)


def test_processes_that_publish_at_once_into_nothing_lose_nothing(data: Path, folder: Path) -> None:
    start, results = SPAWN.Barrier(4), SPAWN.Queue()
    processes = [
        SPAWN.Process(target=publish_many, args=(data, folder, worker, start, results))
        for worker in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)

    assert [process.exitcode for process in processes] == [0] * 4
    assert sum(results.get(timeout=10) for _ in processes) == 10
    index = Index(data, folder)
    assert index.counts() == (50, 4)
    assert len(names(folder, "contested")) == 10
    assert len(records(data)) == len({record["file"] for record in records(data)}) == 50
    check(index, folder, data)
    index.refresh()
    check(index, folder, data)


def test_an_index_made_again_goes_on_serving_and_taking_uploads(
    index: Index, folder: Path, data: Path
) -> None:
    fill(index, data)
    before = served(folder)
    stop = threading.Event()
    trouble: list[BaseException] = []
    reads = itertools.count()

    def guarded(work: Callable[[], None]) -> None:
        try:
            while not stop.is_set():
                work()
        except BaseException as error:
            trouble.append(error)

    def read() -> None:
        for path in before:
            assert (folder / path).exists(), path
        assert index.presence("my-lib") == "here"
        assert index.presence("requests") == "unknown"
        next(reads)

    numbers = itertools.count()

    def upload() -> None:
        publish(index, data, "during", f"1.{next(numbers)}")

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (read, upload)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            index.refresh(reread=True)
            other = Index(data, folder)
            other.refresh()
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)

    assert trouble == []
    assert next(reads) > 1
    assert len(names(folder, "during")) == next(numbers) > 0
    index.refresh()
    check(index, folder, data)
    after = served(folder)
    lists = {path for path in before if path.startswith("simple/index.")}
    assert {path: after[path] for path in before.keys() - lists} == {
        path: before[path] for path in before.keys() - lists
    }


def test_names_are_not_passed_on_while_an_index_is_made_again_from_nothing(
    index: Index, folder: Path, data: Path
) -> None:
    fill(index, data)
    shutil.rmtree(folder)
    again = Index(data, folder)
    seen: set[str] = set()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            seen.add(again.presence("my-lib"))
            seen.add(again.presence("big"))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        again.refresh()
    finally:
        stop.set()
        thread.join()

    assert seen <= {"not ready", "here"}
    assert again.presence("requests") == "unknown"


def test_a_name_is_here_whose_page_is_written_between_the_two_looks_for_it(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy(data)
    again = Index(data, folder)
    again.refresh()
    page = folder / "simple" / "my-lib"
    hidden = page.rename(folder / "hidden")
    ever_had = Catalogue.ever_had

    def written(known: Catalogue, project: str) -> bool:
        hidden.rename(page)
        return ever_had(known, project)

    monkeypatch.setattr(Catalogue, "ever_had", written)

    assert again.presence("my-lib") == "here"


def test_a_file_that_is_removed_while_it_is_read_again_does_not_come_back(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(index, data)
    read = distribution.read

    def remove_meanwhile(path: Path, file: str | None = None) -> distribution.Distribution:
        done = read(path, file)
        Index(data, folder).remove("my-lib", "1.0", by="bob")
        return done

    monkeypatch.setattr(distribution, "read", remove_meanwhile)
    index.refresh(reread=True)
    monkeypatch.undo()

    assert projects(folder) == []
    assert index.presence("my-lib") == "gone"
    index.refresh()
    check(index, folder, data)
