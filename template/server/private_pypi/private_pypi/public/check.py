"""A file as the page of its project lists it, and whether what PyPI sends is that file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ..terminal import printable
from .upstream import UpstreamError


class WrongFileError(UpstreamError):
    """PyPI sent something else than its page says."""


@dataclass(frozen=True)
class Listed:
    """A file as its page describes it.

    Attributes:
        project: the normalised name.
        name: of the file on disk.
        algorithm, digest: its hash, in hexadecimal digits.
        size: in bytes, None if the page does not say.
    """

    project: str
    name: str
    url: str
    algorithm: str
    digest: str
    size: int | None

    def __str__(self) -> str:
        return printable(f"{self.name} of {self.project}")


class Check:
    """Verifies a file piece by piece.

    Attributes:
        received: bytes so far.
    """

    def __init__(self, listed: Listed, size: int | None) -> None:
        self._listed = listed
        self._size = size
        self._digest = hashlib.new(listed.algorithm)
        self.received = 0

    def add(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            WrongFileError: if that is more than the file has.
        """
        self.received += len(chunk)
        if self._size is not None and self.received > self._size:
            raise WrongFileError(f"PyPI sent more than the {self._size} bytes of the file")
        self._digest.update(chunk)

    def finish(self) -> None:
        """Take the end of the file.

        Raises:
            WrongFileError: if size or hash is wrong.
        """
        if self._size not in (None, self.received):
            raise WrongFileError(f"PyPI sent {self.received} of the {self._size} bytes of the file")
        algorithm, expected = self._listed.algorithm, self._listed.digest
        if self._digest.hexdigest() != expected:
            raise WrongFileError(
                f"the file has the {algorithm} {self._digest.hexdigest()}, but its page says"
                f" {expected}"
            )
