"""A scan of the data folder: which names its files could stand for, and what it cannot tell."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest
from private_pypi import scan


@pytest.mark.parametrize(
    ("file", "projects"),
    [
        ("my_lib-1.0-py3-none-any.whl", {"my-lib", "my-lib-1", "my-lib-1-0"}),
        ("mylib-1.0-py3.8.egg", {"mylib"}),
        ("MyLib-1.0.tar.gz", {"mylib", "mylib-1-0"}),
        ("mylib-1.0-SNAPSHOT.tar.gz", {"mylib", "mylib-1-0-snapshot"}),
        ("mylib-v1.0-rc.zip", {"mylib"}),
        ("mylib-latest.tgz", {"mylib", "mylib-latest"}),
        ("lib-3d-tools-1.0.tar.gz", {"lib", "lib-3d", "lib-3d-tools"}),
        ("zope.interface-4.0-py2.7.egg", {"zope-interface"}),
        ("mylib_1.0.zip", {"mylib", "mylib-1-0"}),
        ("mylib.1.0.zip", {"mylib"}),
        ("mylib.zip", {"mylib"}),
        ("mylib", {"mylib"}),
        ("my.lib.tar.bz2", {"my", "my-lib"}),
        ("mylib-1.0.win32-py3.8.exe", {"mylib"}),
        ("mylib-1.0-1.noarch.rpm", {"mylib"}),
        ("mylib_1.0_all.deb", {"mylib"}),
        ("mylib 1.0.whl", {"mylib"}),
        ("mylib (1).tar.gz", {"mylib"}),
        ("mylib@1.0.zip", {"mylib"}),
        ("mylib+1.0.zip", {"mylib"}),
        ("mylib-\udcff.whl", {"mylib"}),
        ("sub/folder-9/mylib-1.0.egg", {"mylib"}),
        ("mylib-1.0.egg/", {"mylib"}),
        ("mylib.win-amd64-py3.8.exe", {"mylib"}),
        ("mylib.win32-py2.7.msi", {"mylib"}),
    ],
)
def test_a_file_name_stands_for_all_that_it_could(file: str, projects: set[str]) -> None:
    assert projects <= set(scan.possible_projects(file))


@pytest.mark.parametrize(
    ("file", "project"),
    [
        ("acme_django-1.0-py3.8.egg", "acme"),
        ("acme_django-1.0-py3.8.egg", "django"),
        ("acme-django-1.0.egg", "django"),
        ("zope.interface-4.0-py2.7.egg", "zope"),
        ("sub/mylib-1.0.egg", "sub"),
        ("-mylib.zip", ""),
    ],
)
def test_a_file_name_stands_for_no_part_of_a_name(file: str, project: str) -> None:
    assert project not in set(scan.possible_projects(file))


def test_what_can_be_no_distribution_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    beside = ("a-1.0.whl.asc", "a-1.0.whl.metadata", "a-1.0.whl.provenance")
    for name in ("a-1.0.whl", *beside, "b-1.0.zip.asc", "j-1.0.zip.provenance", ".hidden-1"):
        (tmp_path / "sub" / name).touch()
    (tmp_path / "c-1.0.egg" / "EGG-INFO").mkdir(parents=True)
    (tmp_path / "d-1.0").mkdir()
    (tmp_path / "d-1.0" / "PKG-INFO").touch()
    (tmp_path / "e-1.0.dist-info").mkdir()
    os.mkfifo(tmp_path / "f-1.0.whl")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "g-1.0.whl"))
    (tmp_path / "h-1.0.whl").symlink_to(os.devnull)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/i-\xff.whl")).touch()

    found = scan.scan(tmp_path)

    assert set(found.files) == {"sub/a-1.0.whl", "d-1.0/PKG-INFO"}
    assert found.files["sub/a-1.0.whl"].signed
    stat = (tmp_path / "sub/a-1.0.whl.provenance").stat()
    assert found.files["sub/a-1.0.whl"].attested == stat.st_mtime_ns
    assert found.files["d-1.0/PKG-INFO"].attested == 0
    assert {other.rstrip("/").rpartition("/")[2][0] for other in found.others} == set("bcdefghij")
    assert found.unreadable == []


def test_a_folder_or_a_link_to_one_that_is_named_like_a_distribution_is_told_apart(
    tmp_path: Path,
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a-1.0-py3.8.egg").symlink_to("sub")
    (tmp_path / "b-1.0.tar.gz").symlink_to("sub")
    for name in ("c-1.0.zip", "d-2.0", "team-a", "team-2", "1.0"):
        (tmp_path / name).mkdir()
    (tmp_path / "PKG-INFO").touch()

    found = scan.scan(tmp_path)

    assert {other[0] for other in found.others} == set("abcd")


def test_links_to_folders_are_followed_and_none_is_looked_into_twice(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    (elsewhere / "deep" / "a-1.0.whl").touch()
    data = tmp_path / "data"
    (data / "z").mkdir(parents=True)
    (data / "z" / "b-1.0.whl").touch()
    (data / "again").symlink_to("z")
    (data / "z" / "up").symlink_to("..")
    (data / "out").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(data)
    (data / "c-1.0.whl").symlink_to(elsewhere / "deep" / "a-1.0.whl")

    found = scan.scan(data)

    assert set(found.files) == {"z/b-1.0.whl", "out/deep/a-1.0.whl", "c-1.0.whl"}
    assert (found.others, found.unreadable) == ([], [])
    assert scan.unchanged(found.folders)
    (elsewhere / "deep" / "new-1.0.whl").touch()
    assert not scan.unchanged(found.folders)


@pytest.mark.parametrize("target", ["nowhere", "link", "/proc/nothing"])
def test_a_link_that_leads_nowhere_may_hide_anything(tmp_path: Path, target: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "link").symlink_to(target)

    (sentence,) = scan.scan(tmp_path).unreadable

    assert sentence.startswith("pypi_data/sub/link cannot be looked into (")
    assert sentence.endswith(": delete the link, or have it lead to what the containers see, too")


def test_a_folder_that_may_be_listed_but_not_entered_is_one_thing_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    for number in range(5):
        (tmp_path / "sub" / f"a-{number}.whl").symlink_to("/dev/null")
    isfile = os.path.isfile

    def deny(path: str) -> bool:
        if "/sub/" in path:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return isfile(path)

    monkeypatch.setattr(os.path, "isfile", deny)

    (sentence,) = scan.scan(tmp_path).unreadable
    assert sentence == (
        "pypi_data/sub cannot be looked into (Permission denied): let the owner of pypi_data read"
        " and enter it, or take it out of pypi_data"
    )


def test_folders_may_be_deeper_than_python_would_call_itself(tmp_path: Path) -> None:
    folders = [f"{tmp_path}{'/d' * depth}" for depth in range(1, 1200)]
    for folder in folders:
        os.mkdir(folder)  # noqa: PTH102 - pathlib is slow here
    try:
        assert len(scan.scan(tmp_path).folders) == 1200
    finally:
        for folder in reversed(folders):
            os.rmdir(folder)  # noqa: PTH106 - nor does rmtree get so deep


def test_the_data_folder_itself_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scan.scan(tmp_path / "missing")


# Watch --------------------------------------------------------------------------------------------

LONG_AGO = (10**9, 10**9)


@pytest.fixture
def watch(tmp_path: Path) -> scan.Watch:
    """A watch of a folder that has not changed for long, of which all is indexed."""
    os.utime(tmp_path, LONG_AGO)
    watch = scan.Watch(tmp_path)
    finish(watch)
    assert watch.is_current()
    assert not watch.is_due()
    return watch


def finish(watch: scan.Watch, *postponed: str) -> scan.Scan:
    """Scan a folder and take all in it for indexed."""
    found = watch.scan()
    watch.begin_reading(found, found.files)
    for location in postponed:
        watch.postpone(location)
    watch.end_reading(found, [])
    watch.trust_folders(found)
    return found


def test_a_folder_is_scanned_again_once_others_change_it_and_not_for_own_changes(
    tmp_path: Path, watch: scan.Watch
) -> None:
    with watch.own_change(tmp_path):
        (tmp_path / "ours-1.0.whl").touch()
    assert watch.is_current()
    finish(watch)
    assert watch.is_current()

    (tmp_path / "theirs-1.0.whl").touch()
    assert watch.is_due()
    finish(watch)
    assert not watch.is_due()


def test_a_folder_that_bears_no_time_of_its_own_is_scanned_again_just_after_a_change(
    tmp_path: Path, watch: scan.Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    utime = os.utime

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "utime", refuse)
    (tmp_path / "theirs-1.0.whl").touch()
    finish(watch)
    # Another change may bear the same time.
    assert watch.is_due()
    utime(tmp_path, LONG_AGO)
    finish(watch)
    assert not watch.is_due()


def test_a_while_after_an_own_change_the_folder_gets_a_time_of_its_own_again(
    tmp_path: Path, watch: scan.Watch
) -> None:
    assert watch.stamp == tmp_path.stat().st_mtime_ns
    with watch.own_change(tmp_path):
        (tmp_path / "ours-1.0.whl").touch()
        os.utime(tmp_path, LONG_AGO)

    assert watch.stamp is None
    assert watch.is_due()
    finish(watch)
    assert watch.stamp == tmp_path.stat().st_mtime_ns
    assert not watch.is_due()


def test_an_own_change_that_fails_or_follows_one_of_others_hides_nothing(
    tmp_path: Path, watch: scan.Watch
) -> None:
    def lose_the_race() -> None:
        (tmp_path / "theirs-1.0.whl").touch()
        raise FileExistsError

    with pytest.raises(FileExistsError), watch.own_change(tmp_path):
        lose_the_race()
    assert not watch.is_current()

    with watch.own_change(tmp_path):
        (tmp_path / "ours-1.0.whl").touch()
    assert not watch.is_current()


def test_the_project_of_a_file_is_unread_until_it_is_read_and_longer_if_it_is_postponed(
    tmp_path: Path, watch: scan.Watch
) -> None:
    (tmp_path / "mylib-1.0.whl").touch()
    (tmp_path / "lonely-1.0.zip.asc").touch()
    os.utime(tmp_path, LONG_AGO)
    found = watch.scan()

    watch.begin_reading(found, found.files)
    assert {"mylib", "lonely"} <= watch.unread
    watch.end_reading(found, ["other-1.0.whl"])
    assert watch.unread == frozenset()
    assert {"other", "lonely"} <= watch.unserved

    finish(watch, "mylib-1.0.whl")
    assert "mylib" in watch.unread
    assert watch.is_due()
    finish(watch)
    assert not watch.is_due()


def test_a_folder_that_cannot_be_looked_into_is_said_once_and_tried_again(
    tmp_path: Path, watch: scan.Watch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    os.utime(tmp_path, LONG_AGO)

    for _ in range(3):
        finish(watch)

    (sentence,) = watch.unreadable
    assert [record.getMessage() for record in caplog.records] == [
        f"names that this index does not have are answered 503: {sentence}"
    ]
    assert watch.is_current()
    assert watch.is_due()
