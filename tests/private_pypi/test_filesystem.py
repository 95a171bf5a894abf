"""What a disk must be able to do: found out without a trace, and named if it cannot."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from private_pypi import filesystem, scan
from private_pypi.layout import UPLOADS

Patch = pytest.MonkeyPatch


@pytest.fixture
def arrives(tmp_path: Path) -> Path:
    """Where uploads arrive."""
    (tmp_path / UPLOADS).mkdir()
    return tmp_path / UPLOADS


@pytest.fixture
def needs(arrives: Path) -> list[filesystem.Need]:
    """Everything that there is to need."""
    constants = [need for need in vars(filesystem).values() if isinstance(need, filesystem.Need)]
    assert len(constants) == 8
    return [filesystem.hard_links(arrives), *constants]


def everything(folder: Path) -> list[Path]:
    """Return all that is below a folder."""
    return sorted(folder.rglob("*"))


def failing(number: int) -> Callable[..., Any]:
    """Return a system call that fails."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_disk_that_can_do_it_all_is_not_complained_of_and_left_as_it_was(
    tmp_path: Path, arrives: Path, needs: list[filesystem.Need]
) -> None:
    (tmp_path / "mine").write_text("mine")

    assert filesystem.complaints(tmp_path, "pypi_data", *needs) == []
    assert everything(tmp_path) == [arrives, tmp_path / "mine"]


def test_any_number_may_try_at_the_same_time(
    tmp_path: Path, arrives: Path, needs: list[filesystem.Need]
) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda _: filesystem.complaints(tmp_path, "x", *needs), range(40))

    assert list(found) == [[]] * 40
    assert everything(tmp_path) == [arrives]


def no_lock(file: object, kind: int) -> None:
    """Lock as a file system does that grants every lock to everybody."""


def no_memory(path: Path, **_: object) -> sqlite3.Connection:
    """Open SQLite as it is where no memory can be shared."""
    return sqlite3.Connection(f"file:{path}?vfs=unix-dotfile", isolation_level=None, uri=True)


def no_sqlite(*_: object, **__: object) -> None:
    """Open SQLite as it is where memory-mapped files fail."""
    raise sqlite3.OperationalError("disk I/O error")


def open_to_all(
    *, make: Callable[..., tuple[int, str]] = tempfile.mkstemp, **place: Path
) -> tuple[int, str]:
    """Make a file as a file system does where all may read everything."""
    descriptor, name = make(**place)
    os.fchmod(descriptor, 0o644)
    return descriptor, name


def sync_of_files_alone(descriptor: int) -> None:
    """Sync as a file system does that does so with no folder."""
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def no_time(self: Path, **_: object) -> os.stat_result:
    """Look at a folder as on a file system that keeps the time when it was made."""
    return os.stat_result((0,) * 10)


def resolved(self: Path) -> Path:
    """Read a link as a file system does that resolves it."""
    return Path("/elsewhere/new")


@pytest.mark.parametrize(
    ("where", "call", "said"),
    [
        ("os.link", failing(errno.EPERM), "has no hard links out of .uploads, .* (Operation not"),
        ("os.link", failing(errno.EOPNOTSUPP), "has no hard links .* (Operation not supported)"),
        ("os.link", failing(errno.ENOSYS), "has no hard links .* (Function not implemented)"),
        ("os.link", failing(errno.EMLINK), "has no hard links .* (Too many links)"),
        ("os.link", failing(errno.EXDEV), "has no hard links out .* (Invalid cross-device link)"),
        ("fcntl.flock", failing(errno.ENOLCK), "has no locks (flock), .* (No locks available)"),
        ("fcntl.flock", failing(errno.EBADF), "has no locks (flock), .* (Bad file descriptor)"),
        ("fcntl.flock", no_lock, "has no locks (flock), .* (two have the same lock)"),
        ("os.fsync", failing(errno.EINVAL), "forces nothing to the disk (fsync), .* (Invalid arg"),
        ("os.fsync", failing(errno.EIO), "forces nothing to the disk (fsync), .* (Input/output"),
        ("os.fsync", sync_of_files_alone, "forces nothing to the disk (fsync), .* (Invalid arg"),
        ("pathlib.Path.symlink_to", failing(errno.EPERM), "has no symbolic links, .* (Operation"),
        ("pathlib.Path.symlink_to", failing(errno.ENOSYS), "has no symbolic links, .* (Function"),
        ("pathlib.Path.readlink", resolved, "has no symbolic links, .* leads to /elsewhere/new)"),
        (
            "pathlib.Path.chmod",
            failing(errno.EPERM),
            "does not let the mode of a file be set",
        ),
        ("sqlite3.connect", no_memory, "has no memory that SQLite .*(it stays with journal_mode="),
        ("sqlite3.connect", no_sqlite, "has no memory that SQLite .* (disk I/O error)"),
        ("os.utime", failing(errno.ENOSYS), "does not show when something was added to a folder"),
        ("pathlib.Path.stat", no_time, "does not show when .* (its time stays what it was)"),
        ("tempfile.mkstemp", open_to_all, "cannot keep a file secret .* 0600 has 0644)"),
    ],
)
def test_what_a_disk_cannot_do_is_named_in_one_sentence_with_folder_reason_and_remedy(
    tmp_path: Path,
    arrives: Path,
    needs: list[filesystem.Need],
    monkeypatch: Patch,
    where: str,
    call: Callable[..., Any],
    said: str,
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(where, call)
        found = filesystem.complaints(tmp_path, "pypi_data", *needs)

    pattern = re.sub(r"([()])", r"\\\1", said)
    assert len(found) == 1
    assert re.match(f"pypi_data {pattern}", found[0]), found
    assert re.search(r" \([^()]+\): put all of it on one disk with a file system such as", found[0])
    assert everything(tmp_path) == [arrives]


def test_a_time_that_only_the_owner_may_set_is_no_lack(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr("os.utime", failing(errno.EPERM))

    assert filesystem.complaints(tmp_path, "pypi_data", filesystem.CHANGES) == []


def test_a_disk_that_cannot_rename_is_named(
    tmp_path: Path, arrives: Path, needs: list[filesystem.Need], monkeypatch: Patch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("pathlib.Path.replace", failing(errno.EEXIST))
        found = filesystem.complaints(tmp_path, "pypi_index", *needs)

    assert [sentence.split(" (")[0] for sentence in found] == [
        "pypi_index replaces no file by another at once",
        "pypi_index has no symbolic links, through which distributions are served",
    ]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("where", ["tempfile.mkdtemp", "os.link", "os.fsync", "pathlib.Path.touch"])
def test_a_full_disk_is_not_complained_of(
    tmp_path: Path,
    arrives: Path,
    needs: list[filesystem.Need],
    monkeypatch: Patch,
    where: str,
    number: int,
) -> None:
    with monkeypatch.context() as full:
        full.setattr(where, failing(number))
        assert filesystem.complaints(tmp_path, "pypi_data", *needs) == []

    assert everything(tmp_path) == [arrives]


def test_a_disk_that_takes_nothing_is_named(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr("tempfile.mkdtemp", failing(errno.ESTALE))

    assert filesystem.complaints(tmp_path, "pypi_data", filesystem.LOCKS) == [
        "pypi_data takes nothing new (Stale file handle): repair its disk, or mount it anew"
    ]


def test_what_a_killed_one_left_is_on_no_page_and_the_next_one_deletes_it_when_it_is_old(
    tmp_path: Path,
) -> None:
    program = (
        "import os, signal, sys, pathlib\n"
        "from private_pypi import filesystem\n"
        "kill = lambda place: os.kill(os.getpid(), signal.SIGKILL)\n"
        "needs = filesystem.LOCKS, filesystem.Need('', kill)\n"
        "filesystem.complaints(pathlib.Path(sys.argv[1]), 'x', *needs)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(filesystem.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], env=environment, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert everything(left)
    assert scan.scan(tmp_path).files == {}

    # The process that made it may still use it.
    assert filesystem.complaints(tmp_path, "pypi_data", filesystem.LOCKS) == []
    assert list(tmp_path.iterdir()) == [left]
    os.utime(left, (0, 0))
    assert filesystem.complaints(tmp_path, "pypi_data", filesystem.LOCKS) == []
    assert list(tmp_path.iterdir()) == []


def test_it_waits_for_nobody(tmp_path: Path, arrives: Path, needs: list[filesystem.Need]) -> None:
    with (tmp_path / ".journal.jsonl").open("w") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        assert filesystem.complaints(tmp_path, "pypi_data", *needs) == []
