"""Verify names each difference between index, data and journal, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit.an_index import WHEEL, age, copy, fill, publish
from kit.damage import compress_another, flip
from private_pypi.index import Index
from private_pypi.verify import differences


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        (f"pypi_data/{WHEEL}", flip, f"{WHEEL} has other bytes"),
        (f"pypi_data/{WHEEL}", Path.unlink, f"{WHEEL} cannot be read: No such file"),
        ("pypi_data/new_lib-1.0-py3-none-any.whl", Path.touch, "not in the index yet"),
        (
            f"pypi_index/packages/{WHEEL}",
            Path.unlink,
            "a link or file in pypi_index/packages is wrong",
        ),
        (f"pypi_index/packages/{WHEEL}.metadata", flip, "metadata of another file"),
        (
            f"pypi_index/packages/{WHEEL}.metadata",
            Path.unlink,
            "a link or file in pypi_index/packages is wrong",
        ),
        (f"pypi_index/packages/{WHEEL}.asc", Path.unlink, f"{WHEEL}"),
        ("pypi_index/packages/stray-1.0.tar.gz", Path.touch, "stray-1.0.tar.gz"),
        ("pypi_index/simple/stray", Path.mkdir, "pypi_index/simple/stray"),
        ("pypi_index/simple/my-lib/index.html", flip, "pypi_index/simple/my-lib: the pages"),
        ("pypi_index/simple/my-lib/index.json", Path.unlink, "pypi_index/simple/my-lib: the pages"),
        ("pypi_index/simple/index.json", flip, "pypi_index/simple/: the pages"),
        (
            "pypi_index/simple/big/index.html.gz",
            compress_another,
            "pypi_index/simple/big: the pages",
        ),
        ("pypi_index/simple/my-lib/index.html.gz", compress_another, "pypi_index/simple/my-lib"),
    ],
)
def test_verify_finds_each_difference_and_nothing_else_and_index_mends_it(
    index: Index, folder: Path, data: Path, name: str, damage: Callable[[Path], None], said: str
) -> None:
    fill(index, data)
    assert list(differences(data, index.folder)) == []

    damage(folder.parent / name)
    (difference,) = differences(data, folder)

    assert said in difference
    if "pypi_index" in name:
        index.refresh(reread=True)
        assert list(differences(data, index.folder)) == []


def test_verify_says_what_is_not_served_and_why(index: Index, data: Path) -> None:
    path = copy(data)
    path.write_bytes(b"damaged")
    age(path)
    index.refresh()

    (line,) = differences(data, index.folder)

    assert line.startswith(f"not served: {WHEEL}")


def test_verify_takes_what_is_published_meanwhile_for_no_difference(
    index: Index, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(index, data)
    published: list[str] = []
    walk = os.walk

    def publish_and_walk(*arguments: Any) -> Any:
        if not published:
            published.append(publish(index, data, version="2.0"))
        return walk(*arguments)

    monkeypatch.setattr(os, "walk", publish_and_walk)
    assert list(differences(data, index.folder)) == []
    assert published


def test_verify_counts_what_it_has_read(index: Index, data: Path) -> None:
    copy(data)
    copy(data, "other")
    index.refresh()
    done: list[tuple[int, int]] = []

    assert list(differences(data, index.folder, lambda *numbers: done.append(numbers))) == []
    assert done == [(1, 2), (2, 2)]


def test_verify_of_an_index_that_is_not_made_says_how_to_make_it(data: Path, folder: Path) -> None:
    copy(data)

    assert list(differences(data, folder)) == ["the index is not made yet: run make pypi-index"]
