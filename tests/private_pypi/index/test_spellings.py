"""Of file names that say the same, one alone is published and served."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from kit import wheel
from kit.an_index import actions, age, check, copy, names, page, projects, publish, records
from private_pypi import distribution, journal
from private_pypi.index import Index, NameTakenError
from private_pypi.verify import differences

SPELLINGS = [
    ("replib-1.0.0-py3-none-any.whl", "Replib-1.0.0-py3-none-any.whl"),
    ("Replib-1.0.0-py3-none-any.whl", "replib-1.0.0-py3-none-any.whl"),
    ("replib-1.0.0-py3-none-any.whl", "replib-1.0-py3-none-any.whl"),
    ("rep_lib-1.0-py3-none-any.whl", "rep.lib-v1.0-py3-none-any.whl"),
    ("replib-1.0-py3.py2-none-any.whl", "replib-1.0-py2.py3-none-any.whl"),
    ("replib-1.0-1-py3-none-any.whl", "replib-1.0-01-py3-none-any.whl"),
    ("replib-1.0.tar.gz", "replib-1.0.zip"),
    ("replib-1.0.zip", "replib-1.0.0.tar.gz"),
    ("rep_lib-1.0.post1.tar.gz", "rep-lib-1.0.0post1.tar.gz"),
]


def build(folder: Path, file: str, origin: str = "a") -> Path:
    """Write a distribution of that name that looks as if it had been there for long."""
    folder.mkdir(exist_ok=True, parents=True)
    if file.endswith(".whl"):
        name, version = file.split("-")[:2]
        path = wheel.build(folder, name, version, origin=origin)
    else:
        suffix = ".zip" if file.endswith(".zip") else ".tar.gz"
        name, _, version = file.removesuffix(suffix).rpartition("-")
        path = wheel.build_sdist(folder, name, version, origin=origin, suffix=suffix)
    path = path.rename(folder / file)
    age(path)
    return path


def upload(index: Index, data: Path, file: str, origin: str = "a") -> None:
    """Upload a distribution of that name, as the application does."""
    path = build(data / ".uploads" / "one", file, origin)
    index.add(path, distribution.read(path), by="alice")


def all_names(folder: Path) -> list[str]:
    """Return the files that all pages list."""
    return [name for project in projects(folder) for name in names(folder, project)]


def lose(index: Index, folder: Path, data: Path) -> Index:
    """Return the index made again from data and journal."""
    shutil.rmtree(folder)
    index = Index(data, folder)
    index.refresh()
    return index


@pytest.mark.parametrize("origin", ["a", "other bytes"])
@pytest.mark.parametrize(("first", "second"), SPELLINGS)
def test_another_spelling_of_what_is_published_is_refused_whatever_its_bytes(
    index: Index, folder: Path, data: Path, first: str, second: str, origin: str
) -> None:
    upload(index, data, first)

    for _ in range(2):
        with pytest.raises(NameTakenError) as error:
            upload(index, data, second, origin)
        assert str(error.value) == f"{second} already exists as {first}: publish a new version"
        assert all_names(folder) == [first]
        assert actions(data) == [("upload", first)]
        assert not (data / second).exists()
        index = lose(index, folder, data)
    # The very same again is no news.
    upload(index, data, first)
    assert actions(data) == [("upload", first)]
    check(index, folder, data)


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize(("first", "second"), SPELLINGS)
def test_another_spelling_of_what_was_removed_is_refused(
    index: Index, folder: Path, data: Path, first: str, second: str, by_hand: bool, lost: bool
) -> None:
    upload(index, data, first)
    if by_hand:
        (data / first).unlink()
        index.refresh()
    else:
        (project,) = projects(folder)
        index.remove(project, "1.0" if "post1" not in first else "1.0.post1", by="bob")
    if lost:
        index = lose(index, folder, data)
    assert all_names(folder) == []

    for file, origin in ((first, "other bytes"), (second, "a"), (second, "other bytes")):
        with pytest.raises(NameTakenError, match="was here before"):
            upload(index, data, file, origin)
    assert all_names(folder) == []
    upload(index, data, first)
    assert all_names(folder) == [first]
    check(index, folder, data)


def test_what_says_another_thing_is_published_beside(
    index: Index, folder: Path, data: Path
) -> None:
    files = [
        "replib-1.0-py2-none-any.whl",
        "replib-1.0-py2.py3-none-any.whl",
        "replib-1.0-py3-none-any.whl",
        "replib-1.0-1-py3-none-any.whl",
        "replib-1.0-2-py3-none-any.whl",
        "replib-1.0-py3-none-linux_x86_64.whl",
        "replib-1.0+local-py3-none-any.whl",
        "replib-1.0.1-py3-none-any.whl",
        "replib-1!1.0-py3-none-any.whl",
        "replib-1.0.tar.gz",
        "replib-1.0.post1.zip",
        "rep-lib-1.0.tar.gz",
    ]
    for file in files:
        upload(index, data, file)

    assert sorted(all_names(folder)) == sorted(files)
    assert list(differences(data, index.folder)) == []


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(("first", "second"), SPELLINGS)
def test_of_two_spellings_put_there_by_hand_the_first_is_served_until_it_is_gone(
    index: Index,
    folder: Path,
    data: Path,
    caplog: pytest.LogCaptureFixture,
    first: str,
    second: str,
    known: bool,
) -> None:
    # In whatever order they are found: first the journal counts, and only then the place.
    place = data / "z" if known else data / "a"
    path = build(place, first)
    if known:
        index.refresh()
    other = build(data / "b", second, "other bytes")
    index.refresh()

    for _ in range(3):
        assert all_names(folder) == [first]
        (said,) = (line for line in differences(data, folder) if line.startswith("not served: "))
        assert f"b/{second} is a second " in said
        assert f" of {place.name}/{first}, which came first: delete one of them" in said
        assert caplog.text.count(f"b/{second} is a second ") == 1
        check(index, folder, data)
        index.refresh()
    index = lose(index, folder, data)
    assert all_names(folder) == [first]

    content = path.read_bytes()
    path.unlink()
    for _ in range(2):
        index.refresh()
    assert all_names(folder) == [second]
    with pytest.raises(NameTakenError, match=f"already exists as {second}"):
        upload(index, data, first)
    index = lose(index, folder, data)
    assert all_names(folder) == [second]
    check(index, folder, data)

    path.write_bytes(content)
    age(path)
    index.refresh()
    assert all_names(folder) == [first]
    index = lose(index, folder, data)
    assert all_names(folder) == [first]
    check(index, folder, data)

    other.unlink()
    index.refresh()
    assert all_names(folder) == [first]
    assert not any(line.startswith("not served: ") for line in differences(data, index.folder))


def test_another_spelling_takes_the_place_of_a_file_only_as_long_as_that_is_damaged(
    index: Index, folder: Path, data: Path
) -> None:
    first, second = SPELLINGS[0]
    path = build(data, first)
    index.refresh()
    build(data / "hand", second)
    index.refresh()
    whole = path.read_bytes()

    for content, expected in ((whole[:-10], second), (whole, first)):
        path.write_bytes(content)
        age(path)
        for _ in range(2):
            index.refresh()
        assert all_names(folder) == [expected]
        index = lose(index, folder, data)
        assert all_names(folder) == [expected]
        check(index, folder, data)


def test_a_hand_that_has_just_used_another_spelling_is_second_to_an_upload(
    index: Index, folder: Path, data: Path
) -> None:
    first, second = SPELLINGS[0]
    build(data, second)

    upload(index, data, first)
    index.refresh()

    assert all_names(folder) == [first]
    index = lose(index, folder, data)
    assert all_names(folder) == [first]
    check(index, folder, data)


def published_before(index: Index, folder: Path, data: Path) -> Index:
    """Return an index that took two spellings in when it still could."""
    for file in SPELLINGS[0]:
        path = build(data, file, file)
        content = path.read_bytes()
        record = {
            "time": "2025-01-02T03:04:05.000000Z",
            "action": "upload",
            "file": file,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "by": "alice",
        }
        with (data / journal.FILE).open("a") as lines:
            lines.write(f"{json.dumps(record)}\n")
    return lose(index, folder, data)


def test_what_was_published_twice_before_stays_listed(
    index: Index, folder: Path, data: Path
) -> None:
    first, second = SPELLINGS[0]
    third = "REPLIB-1-py3-none-any.whl"
    index = published_before(index, folder, data)
    assert sorted(all_names(folder)) == sorted([first, second])

    build(data / "a", third)
    index.refresh(reread=True)
    with pytest.raises(NameTakenError):
        upload(index, data, third)
    for file in (first, second):
        upload(index, data, file, file)
        with pytest.raises(NameTakenError):
            upload(index, data, file, "other bytes")
    assert len(records(data)) == 2
    for file in (first, second):
        path = data / file
        content = path.read_bytes()
        path.unlink()
        index.refresh()
        assert len(all_names(folder)) == 1
        path.write_bytes(content)
        age(path)
        for _ in range(2):
            index.refresh()
        assert sorted(all_names(folder)) == sorted([first, second])
    index = lose(index, folder, data)
    assert sorted(all_names(folder)) == sorted([first, second])
    check(index, folder, data)

    for file in (first, second):
        (data / file).unlink()
    for _ in range(2):
        index.refresh()
    assert all_names(folder) == [third]
    index = lose(index, folder, data)
    assert all_names(folder) == [third]


def test_what_was_published_twice_before_is_removed_as_a_whole(
    index: Index, folder: Path, data: Path
) -> None:
    index = published_before(index, folder, data)
    build(data / "a", "REPLIB-1-py3-none-any.whl")
    index.refresh()
    expected = sorted([*SPELLINGS[0], "REPLIB-1-py3-none-any.whl"])

    assert sorted(index.release("replib", "1")) == expected
    assert sorted(index.remove("replib", "1", by="bob")) == expected

    assert sorted(file for action, file in actions(data) if action == "remove") == expected
    for _ in range(2):
        index.refresh()
        assert all_names(folder) == []
        index = lose(index, folder, data)
    assert list(data.rglob("*.whl")) == []


def test_of_two_files_of_one_name_the_one_that_was_published_is_served_after_all_was_lost(
    index: Index, folder: Path, data: Path
) -> None:
    name = publish(index, data)
    published = page(folder)
    copy(data / "a", origin="other bytes")
    index.refresh()

    index = lose(index, folder, data)

    assert page(folder) == published
    assert (data / name).exists()
    check(index, folder, data)


def test_a_version_is_listed_once_however_it_is_spelled(
    index: Index, folder: Path, data: Path
) -> None:
    for file in ("zer-1.0.0.tar.gz", "zer-1.0-py3-none-any.whl", "zer-2-py3-none-any.whl"):
        upload(index, data, file)

    assert json.loads((folder / "simple/zer/index.json").read_bytes())["versions"] == ["1.0", "2"]
    assert index.yank("zer", "1", "x", by="bob") == ["zer-1.0-py3-none-any.whl", "zer-1.0.0.tar.gz"]
    assert index.remove("zer", "2.0", by="bob") == ["zer-2-py3-none-any.whl"]
