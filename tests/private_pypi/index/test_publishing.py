"""Uploads and signatures: published whole and once, or refused with a reason."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from kit.an_index import (
    WHEEL,
    actions,
    check,
    copy,
    names,
    page,
    projects,
    publish,
    records,
    served,
)
from private_pypi import disk, journal
from private_pypi.index import Index, NameTakenError, NotReadyError, NotYoursError


def test_an_upload_is_served_at_once_and_in_the_journal(
    index: Index, folder: Path, data: Path
) -> None:
    name = publish(index, data)

    content = (data / name).read_bytes()
    assert names(folder) == [name]
    (record,) = records(data)
    assert record == {
        "time": record["time"],
        "action": "upload",
        "file": name,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "by": "alice",
    }
    assert page(folder)[0]["upload-time"][:16] == record["time"][:16]
    assert projects(folder) == ["my-lib"]
    check(index, folder, data)


def test_nothing_is_taken_before_the_first_look(data: Path, folder: Path) -> None:
    index = Index(data, folder)

    with pytest.raises(NotReadyError):
        publish(index, data)

    assert not (data / WHEEL).exists()
    index.refresh()
    publish(index, data)
    assert names(folder) == [WHEEL]


def test_the_same_bytes_again_are_no_news(index: Index, folder: Path, data: Path) -> None:
    publish(index, data)
    before, lines = served(folder), records(data)

    publish(index, data)

    assert served(folder) == before
    assert records(data) == lines


@pytest.mark.parametrize("place", [".", "sub"])
def test_what_was_deleted_by_hand_a_moment_ago_is_published_by_an_upload_of_the_same_bytes(
    index: Index, folder: Path, data: Path, place: str
) -> None:
    path = copy(data / place)
    index.refresh()
    path.unlink()

    publish(index, data)
    index.refresh()

    assert names(folder) == [WHEEL]
    assert (data / WHEEL).exists()
    check(index, folder, data)


def test_what_a_hand_has_put_there_is_forced_to_the_disk_before_an_upload_of_it_counts(
    index: Index, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy(data)
    forced = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        forced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    publish(index, data)

    assert forced == [path, data, data / journal.FILE]


def test_other_bytes_under_a_name_in_use_are_refused(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    before, content = served(folder), (data / WHEEL).read_bytes()

    with pytest.raises(NameTakenError, match=f"{WHEEL} already exists: publish a new version"):
        publish(index, data, origin="b")

    assert served(folder) == before
    assert (data / WHEEL).read_bytes() == content


def test_a_name_a_hand_has_just_used_is_taken_before_anybody_has_looked(
    index: Index, folder: Path, data: Path
) -> None:
    copy(data)

    with pytest.raises(NameTakenError):
        publish(index, data, origin="b")
    publish(index, data)

    assert names(folder) == [WHEEL]
    index.refresh()
    check(index, folder, data)


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_name_once_used_refuses_other_bytes_and_takes_the_same_again(
    index: Index, folder: Path, data: Path, by_hand: bool
) -> None:
    publish(index, data)
    (before,) = page(folder)
    if by_hand:
        (data / WHEEL).unlink()
        index.refresh()
    else:
        index.remove("my-lib", "1.0", by="bob")

    for known in (index, Index(data, folder)):
        known.refresh()
        with pytest.raises(NameTakenError):
            publish(known, data, origin="b")
        assert not (data / WHEEL).exists()
        assert known.presence("my-lib") == "gone"
    publish(index, data)

    assert page(folder) == [before]
    check(index, folder, data)


def test_a_removed_name_refuses_other_bytes_after_the_index_was_lost(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    index.remove("my-lib", "1.0", by="bob")
    shutil.rmtree(folder)

    index = Index(data, folder)
    index.refresh()

    assert index.presence("my-lib") == "gone"
    with pytest.raises(NameTakenError):
        publish(index, data, origin="b")


@pytest.mark.parametrize("target", ["note", "pages", "link"])
def test_a_full_disk_leaves_an_index_that_shows_what_is_there(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    publish(index, data)
    before = served(folder)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    where: dict[str, tuple[Any, str]] = {
        "note": (journal.Journal, "append"),
        "pages": (disk, "write_unsynced"),
        "link": (os, "link"),
    }
    monkeypatch.setattr(*where[target], full)
    if target == "pages":
        # The journal has it: it is published, and listed when there is space.
        publish(index, data, version="2.0")
    else:
        with pytest.raises(OSError, match="No space left"):
            publish(index, data, version="2.0")
    monkeypatch.undo()

    shown = {path: content for path, content in served(folder).items() if "simple/" in path}
    assert shown.items() <= before.items()
    index.refresh()
    check(index, folder, data)
    publish(index, data, version="2.0")
    assert names(folder) == [WHEEL, "my_lib-2.0-py3-none-any.whl"]
    assert len(records(data)) == 2
    check(index, folder, data)


def test_a_process_that_died_between_data_and_index_leaves_what_is_found_later(
    index: Index, folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise KilledError

    monkeypatch.setattr("private_pypi.change.Change.put", die)
    with pytest.raises(KilledError):
        publish(index, data)
    monkeypatch.undo()

    restarted = Index(data, folder)
    restarted.refresh()
    publish(restarted, data)

    assert names(folder) == [WHEEL]
    assert actions(data) == [("upload", WHEEL)]
    check(restarted, folder, data)


def test_a_signature_is_taken_for_what_is_there_and_once_and_noted(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    unfinished = data / ".uploads" / "signature"
    unfinished.write_text("signature")

    index.sign(unfinished, f"{WHEEL}.asc", by="alice")
    index.sign(unfinished, f"{WHEEL}.asc", by="alice")
    index.refresh()
    check(index, folder, data)
    assert page(folder)[0]["gpg-sig"] is True

    unfinished.unlink()
    unfinished.write_text("another")
    with pytest.raises(NameTakenError):
        index.sign(unfinished, f"{WHEEL}.asc", by="alice")
    with pytest.raises(NameTakenError):
        index.sign(unfinished, "nothing-1.0.tar.gz.asc", by="alice")
    assert (data / f"{WHEEL}.asc").read_text() == "signature"
    record = records(data)[-1]
    assert record == {
        "time": record["time"],
        "action": "sign",
        "file": WHEEL,
        "size": 9,
        "sha256": hashlib.sha256(b"signature").hexdigest(),
        "by": "alice",
    }
    assert len(records(data)) == 2


def sign(index: Index, data: Path, text: str, by: str) -> None:
    """Upload a signature of the wheel, as the application does."""
    unfinished = data / ".uploads" / by
    unfinished.write_text(text)
    try:
        index.sign(unfinished, f"{WHEEL}.asc", by=by)
    finally:
        unfinished.unlink()


def test_a_stranger_cannot_sign_what_another_account_published(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)

    for made_anew in (False, True):
        if made_anew:
            shutil.rmtree(folder)
            index.refresh()
        with pytest.raises(NotYoursError):
            sign(index, data, "a stranger's", by="mallory")
    sign(index, data, "the owner's", by="alice")

    assert (data / f"{WHEEL}.asc").read_text() == "the owner's"
    assert actions(data) == [("upload", WHEEL), ("sign", WHEEL)]


def test_anybody_who_may_publish_signs_what_was_put_there_by_hand(index: Index, data: Path) -> None:
    copy(data)
    index.refresh()

    sign(index, data, "bob's", by="bob")

    assert actions(data) == [("find", WHEEL), ("sign", WHEEL)]


def test_a_signature_goes_with_its_distribution_and_another_may_come_with_it_again(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    sign(index, data, "the first", by="alice")
    index.remove("my-lib", "1.0", by="bob")
    assert not (data / f"{WHEEL}.asc").exists()

    publish(index, data)
    sign(index, data, "the second", by="alice")
    sign(index, data, "the second", by="alice")

    done = [action for action, _ in actions(data)]
    assert done == ["upload", "sign", "remove", "upload", "sign"]
    assert page(folder)[0]["gpg-sig"] is True
    index.refresh(reread=True)
    check(index, folder, data)
