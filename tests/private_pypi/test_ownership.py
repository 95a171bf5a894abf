"""Who gets what root made, and that nothing outside of the folders changes hands."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path
from typing import Any

import pytest
from private_pypi import ownership
from private_pypi.__main__ import main
from private_pypi.ownership import OwnershipError

Owners = dict[str, tuple[int, int]]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Owners:
    """What was given to whom, by its path when that happened; only root could really do it."""
    given: Owners = {}

    def chown(
        name: str, user: int, group: int, *, dir_fd: int, follow_symlinks: bool = True
    ) -> None:
        assert not follow_symlinks
        given[str(Path(f"/proc/self/fd/{dir_fd}").readlink() / name)] = (user, group)

    monkeypatch.setattr(os, "chown", chown)
    return given


def test_all_of_the_folders_is_given_and_of_links_only_they_themselves(
    tmp_path: Path, given: Owners
) -> None:
    outside, data, auth = tmp_path / "outside", tmp_path / "pypi_data", tmp_path / "pypi_auth"
    for folder in (outside, data / "deep", auth):
        folder.mkdir(parents=True)
        (folder / "file").touch()
    (data / "link").symlink_to(outside)
    (auth / "link").symlink_to(outside / "file")

    assert main(["own", "4242", "4243", str(data), str(auth)]) == 0

    made = [data, data / "deep", data / "deep/file", data / "link"]
    made += [auth, auth / "file", auth / "link"]
    assert given == {str(path): (4242, 4243) for path in made}


def test_what_is_owned_already_is_left_alone(tmp_path: Path, given: Owners) -> None:
    (tmp_path / "file").touch()

    ownership.give([tmp_path], os.getuid(), os.getgid())

    assert given == {}


# More than there are: a walk of this folder looks at eleven names.
@pytest.mark.parametrize("moment", range(20))
def test_a_folder_swapped_for_a_link_amid_the_walk_leads_nowhere(
    tmp_path: Path, given: Owners, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """At each moment between two looks, as a container would manage it once in many tries."""
    outside, data = tmp_path / "outside", tmp_path / "data"
    folder = data / "folder"
    for made in (outside, folder):
        made.mkdir(parents=True)
        (made / "file").touch()
    really, looks = os.stat, itertools.count()

    def stat(*arguments: Any, **options: Any) -> os.stat_result:
        found = really(*arguments, **options)
        if next(looks) == moment:
            folder.rename(f"{folder}.old")
            folder.symlink_to(outside)
        return found

    monkeypatch.setattr(os, "stat", stat)
    ownership.give([data], 4242, 4243)

    assert str(data) in given
    assert not [path for path in given if path.startswith(str(outside))]


def test_what_cannot_be_given_is_named_once_all_else_was_given(
    tmp_path: Path, given: Owners, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()
    give = os.chown

    def chown(name: str, *arguments: Any, **options: Any) -> None:
        if name in ("a", "c"):
            raise PermissionError(1, "Operation not permitted")
        give(name, *arguments, **options)

    monkeypatch.setattr(os, "chown", chown)

    with pytest.raises(OwnershipError) as refusal:
        ownership.give([tmp_path], 4242, 4243)
    assert re.fullmatch(
        rf"'{tmp_path}/[ac]' and 1 more cannot be given to 4242:4243: Operation not permitted",
        str(refusal.value),
    )
    assert str(tmp_path / "b") in given
