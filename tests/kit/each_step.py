"""A process that is killed, or finds its disk full, before any single step that it takes."""

from __future__ import annotations

import errno
import io
import os
import signal
import sqlite3
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

# Calls that only read or close: they change nothing that a crash could leave behind.
READS = {
    *("access", "fstat", "fspath", "getcwd", "getpid", "getuid", "listdir", "lstat", "readlink"),
    *("scandir", "stat", "pread", "read", "readinto", "readline", "seek", "tell", "fileno"),
    *("fetchall", "fetchone", "readable", "seekable", "writable", "urandom", "cpu_count", "get"),
    *(
        "isatty",
        "is_dir",
        "is_file",
        "is_symlink",
        "geteuid",
        "get_terminal_size",
        "fsdecode",
        "get_inheritable",
        "register_at_fork",
        "_path_normpath",
    ),
}
# Calls that never need space.
FREES = {
    "__exit__",
    "close",
    "flock",
    "fchmod",
    "ftruncate",
    "remove",
    "rmdir",
    "truncate",
    "unlink",
}

Work = Callable[[], object]


class Steps:
    """Sees, as a profile function of Python, each step that the process asks of the system.

    A step is a call to C that changes a file, a folder or a database.

    Attributes:
        names: of the steps so far.
    """

    def __init__(self, at: int, then: Callable[[str], object], *, need_space: bool = False) -> None:
        self.names: list[str] = []
        self._at = at
        self._then = then
        self._need_space = need_space

    def __call__(self, frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and self._is_step(frame, called):
            self.names.append(called.__name__)
            if len(self.names) == self._at:
                self._then(called.__name__)

    def _is_step(self, frame: FrameType, called: Any) -> bool:
        name = called.__name__
        owner = getattr(called, "__self__", None)
        module = called.__module__ or type(owner).__module__
        if name in READS or (self._need_space and name in FREES):
            return False
        if name == "mkdir" and Path(frame.f_locals.get("self", "")).is_dir():
            return False  # It is there already, which is no error.
        if module in ("_io", "io"):
            if name == "open":
                return "r" not in frame.f_locals.get("mode", "r")
            return isinstance(owner, (io.RawIOBase, io.BufferedWriter, io.BufferedRandom))
        if isinstance(owner, (sqlite3.Connection, sqlite3.Cursor)):
            return True
        return module in ("posix", "fcntl")


def killed(work: Work, at: int) -> bool:
    """Do something in a process that is killed before its at-th step; return if it came so far."""

    def watch() -> None:
        steps = Steps(at, lambda _: die())
        # Its threads take steps, too.
        threading.setprofile(steps)
        sys.setprofile(steps)

    return ended(work, watch) == signal.SIGKILL


def die() -> None:
    """End this process as nothing can prevent."""
    os.kill(os.getpid(), signal.SIGKILL)


def ended(work: Work, prepare: Work) -> int:
    """Do something in a process of its own, which did not fail; return the signal it died of."""
    with warnings.catch_warnings():
        # Another test's thread may still run. It does not hold what a child needs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        failed = 1
        # A lock that a thread held at the fork would otherwise be waited for without end.
        signal.alarm(60)
        try:
            prepare()
            work()
            sys.setprofile(None)
            failed = 0
        except BaseException:
            sys.setprofile(None)
            traceback.print_exc()
        finally:
            os._exit(failed)
    _, status = os.waitpid(child, 0)
    assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, "see the traceback above"
    assert not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGALRM, "it hung"
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


@contextmanager
def watched(steps: Steps) -> Iterator[Steps]:
    """Let steps be seen."""
    sys.setprofile(steps)
    try:
        yield steps
    finally:
        sys.setprofile(None)


def full(name: str) -> None:
    """Fail as a step does on a full disk."""
    if name.startswith("execute"):
        raise sqlite3.OperationalError("database or disk is full")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
