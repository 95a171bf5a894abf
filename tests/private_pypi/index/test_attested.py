"""Attestations beside a distribution: published with it, added once, served if they are of it."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path

import pytest
from kit import attestation, wheel
from kit.an_index import WHEEL, actions, age, check, copy, publish, records, served
from private_pypi import distribution
from private_pypi.index import Index, NameTakenError, NotYoursError
from private_pypi.verify import differences

KEPT = f"{WHEEL}.provenance"


def made(data: Path, origin: str = "a") -> Path:
    """Return a wheel that was sent and is not published yet."""
    return wheel.build(data / ".uploads", "my-lib", "1.0", origin=origin)


def attest(
    index: Index, data: Path, kept: bytes | None, by: str = "alice", origin: str = "a"
) -> None:
    """Upload the wheel with attestations, as the application does."""
    path = made(data, origin)
    attested = data / ".uploads" / "attested"
    attested.write_bytes(kept or b"")
    try:
        index.add(path, distribution.read(path), by=by, attested=attested if kept else None)
    finally:
        path.unlink()
        attested.unlink()


def of_wheel(data: Path, more: str = "", origin: str = "a") -> bytes:
    """Return attestations of the wheel as they are kept."""
    path = made(data, origin)
    one = attestation.of(WHEEL, path.read_bytes()) | ({"more": more} if more else {})
    path.unlink()
    return attestation.provenance(one)


def is_attested(index: Index) -> list[bool]:
    return [one.attested for one in index.listed("my-lib")]


def test_attestations_are_published_with_their_file_and_noted(
    index: Index, folder: Path, data: Path
) -> None:
    kept = of_wheel(data)

    attest(index, data, kept)

    assert (data / KEPT).read_bytes() == kept == served(folder)[f"packages/{KEPT}"]
    assert is_attested(index) == [True]
    upload, noted = records(data)
    assert upload["action"] == "upload"
    assert noted == {
        "time": upload["time"],
        "action": "attest",
        "file": WHEEL,
        "size": len(kept),
        "sha256": hashlib.sha256(kept).hexdigest(),
        "by": "alice",
    }
    index.refresh(reread=True)
    assert is_attested(index) == [True]
    check(index, folder, data)


def test_the_same_again_changes_nothing_and_others_are_refused(
    index: Index, folder: Path, data: Path
) -> None:
    kept = of_wheel(data)
    attest(index, data, kept)

    attest(index, data, kept)
    attest(index, data, kept, by="bob")
    attest(index, data, None)
    with pytest.raises(NameTakenError, match="already exists, with other attestations: publish a"):
        attest(index, data, of_wheel(data, "other"))

    assert (data / KEPT).read_bytes() == kept
    assert actions(data) == [("upload", WHEEL), ("attest", WHEEL)]
    check(index, folder, data)


def test_the_account_that_published_adds_attestations_and_no_other_does(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)
    kept = of_wheel(data)

    for made_anew in (False, True):
        if made_anew:
            shutil.rmtree(folder)
            index.refresh()
        with pytest.raises(NotYoursError, match="another account, which alone can attest it"):
            attest(index, data, kept, by="mallory")
    assert is_attested(index) == [False]
    attest(index, data, kept)

    assert is_attested(index) == [True]
    assert actions(data) == [("upload", WHEEL), ("attest", WHEEL)]
    check(index, folder, data)


def test_any_publisher_attests_what_was_put_there_by_hand(
    index: Index, folder: Path, data: Path
) -> None:
    copy(data)
    index.refresh()

    attest(index, data, of_wheel(data), by="bob")

    assert is_attested(index) == [True]
    check(index, folder, data)


def test_other_bytes_are_refused_with_their_attestations(
    index: Index, folder: Path, data: Path
) -> None:
    publish(index, data)

    with pytest.raises(NameTakenError):
        attest(index, data, of_wheel(data, origin="b"), origin="b")

    assert not (data / KEPT).exists()
    check(index, folder, data)


def test_attestations_that_a_killed_upload_left_do_not_stand_in_the_way(
    index: Index, folder: Path, data: Path
) -> None:
    (data / KEPT).write_bytes(of_wheel(data, "of another try"))
    index.refresh()
    kept = of_wheel(data)

    attest(index, data, kept)

    assert (data / KEPT).read_bytes() == kept == served(folder)[f"packages/{KEPT}"]
    check(index, folder, data)


def test_attestations_that_lie_beside_a_file_are_served_and_vanish_with_their_file(
    index: Index, folder: Path, data: Path
) -> None:
    path, kept = copy(data), of_wheel(data)
    (data / KEPT).write_bytes(kept)
    (data / "nothing-1.0.tar.gz.provenance").write_bytes(kept)
    index.refresh()
    assert served(folder)[f"packages/{KEPT}"] == kept
    assert is_attested(index) == [True]
    check(index, folder, data)

    (data / KEPT).unlink()
    index.refresh()
    assert is_attested(index) == [False]
    check(index, folder, data)

    (data / KEPT).write_bytes(kept)
    index.refresh()
    assert is_attested(index) == [True]
    path.unlink()
    index.refresh()
    assert f"packages/{KEPT}" not in served(folder)
    check(index, folder, data)


@pytest.mark.parametrize("damage", [b"", b"{}", b"[" * 200_000, b"x" * 300_000])
def test_damaged_attestations_are_not_served_and_verify_says_why(
    index: Index, folder: Path, data: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    kept = of_wheel(data)
    attest(index, data, kept)

    # In place: the folder does not change.
    (data / KEPT).write_bytes(damage)
    with caplog.at_level(logging.ERROR):
        index.refresh()

    assert f"packages/{KEPT}" not in served(folder)
    assert is_attested(index) == [False]
    (difference,) = differences(data, folder)
    assert difference.startswith(f"not served: {KEPT}, as it ")
    assert [record.message for record in caplog.records] == [difference]

    attest(index, data, kept)
    assert served(folder)[f"packages/{KEPT}"] == kept
    check(index, folder, data)


def test_attestations_of_another_file_are_not_served(
    index: Index, folder: Path, data: Path
) -> None:
    copy(data)
    (data / KEPT).write_bytes(of_wheel(data, origin="b"))
    index.refresh()

    assert f"packages/{KEPT}" not in served(folder)
    (difference,) = differences(data, folder)
    assert difference.startswith(f"not served: {KEPT}, as attestation 1 is of a file with the sha")


def test_verify_says_that_published_attestations_are_gone_or_others(
    index: Index, folder: Path, data: Path
) -> None:
    attest(index, data, of_wheel(data))

    (data / KEPT).write_bytes(of_wheel(data, "other"))
    index.refresh()
    assert list(differences(data, folder)) == [
        f"{KEPT} has other bytes than those that were published"
    ]

    (data / KEPT).unlink()
    index.refresh()
    assert list(differences(data, folder)) == [
        f"{KEPT} is gone: {WHEEL} was published with attestations"
    ]


def test_what_is_replaced_by_hand_shows_without_a_change_of_the_folder(
    index: Index, folder: Path, data: Path
) -> None:
    copy(data)
    (data / KEPT).write_bytes(b"being copied")
    age(data / KEPT)
    index.refresh()
    assert is_attested(index) == [False]

    (data / KEPT).write_bytes(of_wheel(data))
    index.refresh()

    assert is_attested(index) == [True]
    check(index, folder, data)


def test_what_is_no_file_attests_nothing(index: Index, folder: Path, data: Path) -> None:
    copy(data)
    (data / KEPT).mkdir()
    index.refresh()
    assert is_attested(index) == [False]

    (data / KEPT).rmdir()
    (data / KEPT).symlink_to("nowhere")
    index.refresh()
    assert is_attested(index) == [False]


def test_a_removed_version_is_gone_with_its_attestations_and_others_may_come_with_it_again(
    index: Index, folder: Path, data: Path
) -> None:
    attest(index, data, of_wheel(data))

    index.remove("my-lib", "1.0", by="bob")
    assert not (data / KEPT).exists()
    check(index, folder, data)
    attest(index, data, of_wheel(data, "other"))

    assert is_attested(index) == [True]
    assert actions(data)[-2:] == [("upload", WHEEL), ("attest", WHEEL)]
    check(index, folder, data)


def test_what_the_journal_lost_comes_back_with_a_repair(
    index: Index, folder: Path, data: Path
) -> None:
    attest(index, data, of_wheel(data))
    journal = data / ".journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text(lines[0])
    index.refresh()

    index.repair_journal(by="bob")
    index.refresh()

    restored = [json.loads(line) for line in journal.read_text().splitlines()][1]
    assert (restored["action"], restored["restored"]) == ("attest", True)
    check(index, folder, data)


def test_a_link_that_is_gone_is_mended(index: Index, folder: Path, data: Path) -> None:
    attest(index, data, of_wheel(data))
    (folder / "packages" / KEPT).unlink()

    (difference,) = differences(data, folder)
    assert "is not served whole" in difference
    index.refresh(reread=True)

    check(index, folder, data)
