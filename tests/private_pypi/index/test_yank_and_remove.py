"""Releases that are yanked, unyanked and removed."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

import pytest
from kit.an_index import (
    WHEEL,
    actions,
    check,
    copy,
    copy_sdist,
    names,
    page,
    projects,
    publish,
    records,
    served,
)
from private_pypi import journal, pages
from private_pypi.change import NoSuchReleaseError
from private_pypi.index import Index
from private_pypi.verify import differences


def test_a_version_is_yanked_with_a_reason_and_taken_back(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    publish(index, data, version="2.0")
    copy_sdist(data)
    index.refresh()
    before = served(folder)
    files = [WHEEL, "my_lib-1.0.tar.gz"]

    assert sorted(index.yank("My.Lib", "v1.0", 'breaks "x" <3', by="bob")) == files

    reasons = [file.get("yanked") for file in page(folder)]
    assert reasons == ['breaks "x" <3', 'breaks "x" <3', None]
    check(index, folder, data)
    assert sorted(index.unyank("my_lib", "1.0", by="carol")) == files
    assert served(folder) == before
    lines = [line for line in records(data) if "yank" in line["action"]]
    assert [(line["action"], line["by"], line.get("reason")) for line in lines] == [
        ("yank", "bob", 'breaks "x" <3'),
        ("yank", "bob", 'breaks "x" <3'),
        ("unyank", "carol", None),
        ("unyank", "carol", None),
    ]
    assert sorted(line["file"] for line in lines) == sorted(files * 2)


def test_a_version_is_yanked_without_a_reason_or_with_another(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)

    index.yank("my-lib", "1.0", "", by="bob")
    assert page(folder)[0]["yanked"] is True
    index.yank("my-lib", "1.0", "because", by="bob")
    assert page(folder)[0]["yanked"] == "because"


def test_a_yank_outlives_the_index(index: Index, folder: Path, data: Path) -> None:
    publish(index, data)
    index.yank("my-lib", "1.0", "broken", by="bob")
    before = served(folder)
    shutil.rmtree(folder)

    Index(data, folder).refresh()

    assert served(folder) == before
    assert page(folder)[0]["yanked"] == "broken"


def test_a_removed_version_is_gone_with_its_signature_and_in_the_journal(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    publish(index, data, version="2.0")
    copy_sdist(data)
    (data / f"{WHEEL}.asc").write_text("signature")
    index.refresh()

    removed = index.remove("my-lib", "1.0", by="bob")

    assert sorted(removed) == [WHEEL, "my_lib-1.0.tar.gz"]
    assert sorted(path.name for path in data.iterdir() if path.is_file()) == [
        journal.FILE,
        "my_lib-2.0-py3-none-any.whl",
    ]
    assert names(folder) == ["my_lib-2.0-py3-none-any.whl"]
    lines = [(x["file"], x["by"]) for x in records(data) if x["action"] == "remove"]
    assert sorted(lines) == [(WHEEL, "bob"), ("my_lib-1.0.tar.gz", "bob")]
    check(index, folder, data)


def test_nothing_is_removed_where_nothing_can_be_deleted(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(index, data)
    before = records(data)
    monkeypatch.setattr("private_pypi.change.os.access", lambda *_: False)

    with pytest.raises(PermissionError, match="nothing can be deleted there"):
        index.remove("my-lib", "1.0", by="bob")

    assert records(data) == before
    assert names(folder) == [WHEEL]


def test_what_was_removed_and_cannot_be_deleted_stops_nothing_else(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(index, data)
    publish(index, data, version="2.0")
    now = journal.timestamp(time.time())
    with journal.locked(data) as lines:
        # As by a process that is killed before anything is deleted.
        lines.append([journal.Record(now, "remove", WHEEL, by="bob")])
    monkeypatch.setattr("private_pypi.change.os.access", lambda *_: False)

    index.refresh()
    publish(index, data, version="3.0")

    assert names(folder) == ["my_lib-2.0-py3-none-any.whl", "my_lib-3.0-py3-none-any.whl"]
    assert (data / WHEEL).exists()
    assert index.presence("requests") == "unknown"
    problem = f"{WHEEL} was removed and cannot be deleted: delete it by hand"
    assert f"not served: {problem}" in list(differences(data, index.folder))


def test_a_name_is_ours_though_the_disk_was_full_once_the_journal_had_it(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    # Long ago, so that no second scan would tell that it is there.
    os.utime(data, (10**9, 10**9))
    index.refresh()
    with monkeypatch.context() as patch:
        patch.setattr(pages, "write", full)
        publish(index, data, "new-lib")
        assert index.presence("new-lib") == "not ready"
        with pytest.raises(OSError, match="No space left"):
            index.refresh()
        assert index.presence("new-lib") == "not ready"

    index.refresh()
    assert index.presence("new-lib") == "here"


def test_of_a_removed_version_the_refused_file_of_the_same_name_does_not_take_the_place(
    index: Index, data: Path, folder: Path
) -> None:
    copy(data / "a")
    copy(data / "b", origin="other bytes")
    index.refresh()
    index.remove("my-lib", "1.0", by="bob")
    for _ in range(2):
        index.refresh()

    assert projects(folder) == []
    assert index.presence("my-lib") == "gone"
    assert list(data.rglob("*.whl")) == []
    assert actions(data) == [("find", WHEEL), ("remove", WHEEL)]


@pytest.mark.parametrize(
    ("project", "version"), [("my-lib", "2.0"), ("other", "1.0"), ("my-lib", "x"), ("../x", "1.0")]
)
@pytest.mark.parametrize("act", ["yank", "unyank", "remove", "release"])
def test_there_is_nothing_to_do_for_a_version_that_is_not_there(
    index: Index, folder: Path, data: Path, act: str, project: str, version: str
) -> None:
    publish(index, data)
    before, lines = served(folder), records(data)
    options = {} if act == "release" else {"by": "bob"}
    reason = ["reason"] if act == "yank" else []

    with pytest.raises(NoSuchReleaseError, match=f"no version {version} of {project}"):
        getattr(index, act)(project, version, *reason, **options)

    assert (served(folder), records(data)) == (before, lines)
