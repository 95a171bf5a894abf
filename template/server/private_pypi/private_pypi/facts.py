"""What the catalogue says of files and projects, as values."""

from __future__ import annotations

from typing import NamedTuple

from .scan import Seen


class Served(NamedTuple):
    """What must be in the index for a distribution to be served, or withheld in quarantine.

    Attributes:
        attested: the time of the attestations beside it (st_mtime_ns), 0 if there are none; they
            are served if provenance_sha256 is set.
    """

    location: str
    signed: int
    sha256: str
    metadata_sha256: str | None
    metadata_size: int | None
    attested: int
    provenance_sha256: str | None
    withheld: int


class Rank(NamedTuple):
    """The place of a file among those of its identity, of which only the first is served.

    Attributes:
        number: its place in the journal; infinite if the journal does not have it.
        beside: whether it is served all the same: it was published when two still could be.
    """

    number: float
    beside: bool


class Rival(NamedTuple):
    """A served file of the same identity as another."""

    location: str
    seen: Seen
    rank: Rank


class LastChange(NamedTuple):
    """What tells whether something about a project changed.

    Attributes:
        number: of the last record about it; a greater one is newer.
        fingerprint: of its simple pages, empty if it has none.
    """

    number: int
    fingerprint: str
