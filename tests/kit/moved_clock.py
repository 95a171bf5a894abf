"""A clock that a test moves forward, so that no test waits for a quarter of an hour to pass.

What a clock on the wall shows is moved, as by an operator; time.monotonic() is not, by which
servers measure how long their connections idle.
"""

from __future__ import annotations

from pathlib import Path

_STARTS_WITH_PYTHON = """
import time

FILE = {file!r}


clock = time.time


def moved():
    with open(FILE) as file:
        return clock() + float(file.read())


time.time = moved
"""


class MovedClock:
    """What time.time() returns in processes that have a folder on their PYTHONPATH.

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
        """Let the clock be so many seconds ahead."""
        new = self._file.with_suffix(".new")
        new.write_text(str(seconds))
        new.rename(self._file)
