"""A clock that a test moves forward, so that no test waits for a quarter of an hour to pass."""

from __future__ import annotations

from pathlib import Path

_STARTS_WITH_PYTHON = """
import time

FILE = {file!r}


def moved(clock):
    def read():
        with open(FILE) as file:
            return clock() + float(file.read())

    return read


time.time, time.monotonic = moved(time.time), moved(time.monotonic)
"""


class MovedClock:
    """What Python's clocks show in processes that have a folder on their PYTHONPATH.

    Attributes:
        folder: that folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._file = folder / "seconds"
        self.set(0)
        # Python imports a module of this name before anything else.
        (folder / "sitecustomize.py").write_text(_STARTS_WITH_PYTHON.format(file=str(self._file)))

    def set(self, seconds: float) -> None:
        """Let the clocks be so many seconds ahead."""
        new = self._file.with_suffix(".new")
        new.write_text(str(seconds))
        new.rename(self._file)
