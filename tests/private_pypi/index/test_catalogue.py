"""What the catalogue tells those who show the index to people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.an_index import copy, copy_sdist, publish
from private_pypi.catalogue import Catalogue
from private_pypi.index import Index


@pytest.fixture
def known(index: Index, folder: Path) -> Iterator[Catalogue]:
    """The catalogue of an index, as another process reads it."""
    catalogue = Catalogue(folder, read_only=True)
    yield catalogue
    catalogue.close()


def files(known: Catalogue, most: int = 100) -> list[str]:
    """Return the names of the files that were published last."""
    return [one.file for one in known.published(most)]


def test_a_project_has_a_mark_that_differs_after_each_record_about_it(
    index: Index, data: Path, known: Catalogue
) -> None:
    publish(index, data, "other")
    publish(index, data)
    index.refresh()
    seen = [known.last_changes()]
    other = seen[0]["other"]

    index.yank("my-lib", "1.0", "broken", by="alice")
    seen.append(known.last_changes())
    index.unyank("my-lib", "1.0", by="alice")
    seen.append(known.last_changes())
    publish(index, data, version="2.0")
    index.refresh()
    seen.append(known.last_changes())
    index.remove("my-lib", "2.0", by="alice")
    seen.append(known.last_changes())

    numbers = [marks["my-lib"].number for marks in seen]
    assert numbers == sorted(set(numbers))
    assert all(marks["other"] == other for marks in seen)
    assert seen[0]["my-lib"].number > other.number


def test_a_project_that_was_removed_keeps_a_mark_without_pages(
    index: Index, data: Path, known: Catalogue
) -> None:
    publish(index, data)
    index.refresh()
    assert known.last_changes()["my-lib"].fingerprint

    index.remove("my-lib", "1.0", by="alice")

    assert known.last_changes()["my-lib"].fingerprint == ""


def test_a_file_that_was_put_there_by_hand_has_a_mark_too(
    index: Index, data: Path, known: Catalogue
) -> None:
    path = copy(data)
    index.refresh()
    before = known.last_changes()["my-lib"]
    assert before.fingerprint

    path.unlink()
    index.refresh()

    assert known.last_changes().get("my-lib") != before


def test_of_nothing_there_is_no_mark(known: Catalogue) -> None:
    assert known.last_changes() == {}
    assert known.releases() == 0
    assert files(known) == []


def test_what_was_published_last_comes_first_and_no_more_than_asked_for(
    index: Index, data: Path, known: Catalogue
) -> None:
    for version in ("2.0", "1.0", "3.0"):
        publish(index, data, version=version)

    names = [f"my_lib-{version}-py3-none-any.whl" for version in ("3.0", "1.0", "2.0")]
    assert files(known) == names
    assert files(known, 2) == names[:2]
    assert [one.by for one in known.published(1)] == ["alice"]


def test_what_is_not_served_any_more_was_not_published_last(
    index: Index, data: Path, known: Catalogue
) -> None:
    publish(index, data)
    publish(index, data, "other")
    index.remove("other", "1.0", by="alice")

    assert files(known) == ["my_lib-1.0-py3-none-any.whl"]


def test_releases_are_counted_not_files(index: Index, data: Path, known: Catalogue) -> None:
    copy(data)
    copy_sdist(data)
    copy(data, version="2.0")
    copy(data, "other")
    index.refresh()

    assert known.releases() == 3


def test_the_records_about_a_project_are_its_own_the_newest_first(
    index: Index, data: Path, known: Catalogue
) -> None:
    publish(index, data)
    publish(index, data, "my-lib-extra")
    index.yank("my-lib", "1.0", "broken", by="bob")
    copy(data, version="2.0")
    index.refresh()

    about = known.history.about("my-lib", 100)

    assert [record.action for record in about] == ["find", "yank", "upload"]
    assert known.history.about("my-lib", 2) == about[:2]
    assert known.history.about("unknown", 2) == []


def test_marks_and_records_are_the_same_in_a_catalogue_that_was_made_anew(
    index: Index, data: Path, folder: Path, known: Catalogue
) -> None:
    publish(index, data)
    index.yank("my-lib", "1.0", "broken", by="bob")
    publish(index, data, "other")
    index.refresh()
    records = {name: known.history.about(name, 100) for name in known.last_changes()}
    published = files(known)
    known.close()
    for path in folder.glob("index.sqlite3*"):
        path.unlink()

    Index(data, folder).refresh()

    anew = Catalogue(folder, read_only=True)
    assert {name: anew.history.about(name, 100) for name in anew.last_changes()} == records
    assert files(anew) == published
    anew.close()
