"""The index as a pypiserver backend."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from packaging.utils import canonicalize_name
from pypiserver.backend import Backend
from pypiserver.bottle_wrapper import request
from pypiserver.config import RunConfig
from pypiserver.core import PkgFile

from . import distribution
from .distribution import DistributionError
from .index import Index
from .refusals import refusal

ARCHIVES = 3
"""Distributions that are read at once, each of another account. One takes up to 90 MB and a minute:
the memory is enough for these, and nobody waits behind what one account sends."""

_DIGESTS = ("md5", "sha256", "blake2_256")


class Turns:
    """Lets each account do one thing at a time, and so many accounts at once; the others wait.

    The account goes first whose last turn ended longest ago: it never waits behind two of another.
    """

    def __init__(self, altogether: int) -> None:
        self._altogether = altogether
        self._taken: set[str] = set()
        self._waiting: Counter[str] = Counter()
        self._ended: dict[str, float] = {}
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, account: str) -> Iterator[None]:
        """Wait until it is this account's turn, which ends with the block."""
        with self._changed:
            self._waiting[account] += 1
            self._changed.wait_for(lambda: self._is_next(account))
            self._waiting[account] -= 1
            self._waiting += Counter()  # Forgets those who do not wait.
            self._taken.add(account)
            # There may be another turn, for whoever is next now.
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._taken.remove(account)
                self._ended[account] = time.monotonic()
                self._changed.notify_all()

    def _is_next(self, account: str) -> bool:
        if account in self._taken or len(self._taken) == self._altogether:
            return False
        others = (other for other in self._waiting if other not in self._taken)
        return account == min(others, key=lambda other: self._ended.get(other, 0))


class Storage(Backend):
    """Publishes what pypiserver takes in, and tells it what there is."""

    def __init__(self, config: RunConfig, index: Index) -> None:
        super().__init__(config)
        self._index = index
        self._turns = Turns(ARCHIVES)

    def add_package(self, filename: str, stream: IO[bytes]) -> None:
        """Publish an upload: checked, whole and on the disk, or not at all.

        Args:
            stream: a file of the folder of unfinished uploads.

        Raises:
            DistributionError: if it is not what its name, its metadata or the form say.
            NameTakenError, NotReadyError, OSError: as Index.add.
            NotYoursError: as Index.sign.
        """
        unfinished = Path(stream.name)
        account = request.environ["private_pypi.account"]
        os.fchmod(stream.fileno(), 0o644)
        if filename.endswith(".asc"):
            os.fsync(stream.fileno())
            self._index.sign(unfinished, filename, by=account)
            return
        with self._turns.turn(account):
            _check_digests(filename, stream)
            new = distribution.read(unfinished, filename)
        os.fsync(stream.fileno())
        self._index.add(unfinished, new, by=account)

    def exists(self, filename: str) -> bool:
        """Return False: add_package alone can tell a repeated upload from a conflict."""
        return False

    def find_project_packages(self, project: str) -> Iterable[PkgFile]:
        """Return a project's files; none means that the public index may be asked."""
        return [
            PkgFile(project, one.version, relfn=one.location)
            for one in self._index.listed(canonicalize_name(project))
        ]

    def get_all_packages(self) -> Iterable[PkgFile]:
        """Return nothing: no request is answered from a list of all files."""
        return []

    def package_count(self) -> int:
        """Return how many distributions there are."""
        return self._index.counts()[0]

    def remove_package(self, pkg: PkgFile) -> None:
        """Refuse: what others install from must not vanish by a request."""
        raise refusal(403, "Nothing is removed over HTTP: use make pypi-remove on the server.")


def _check_digests(filename: str, content: IO[bytes]) -> None:
    sent = {
        name: request.forms[f"{name}_digest"]
        for name in _DIGESTS
        if request.forms.get(f"{name}_digest")
    }
    for name, digest in distribution.digests(content, sent).items() if sent else ():
        if digest != sent[name].lower():
            raise DistributionError(
                f"{filename} was damaged on its way: its {name} digest is not the one that was"
                " sent; send it again"
            )
