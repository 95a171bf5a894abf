"""The catalogue as one process opens it, while others may change, damage or delete it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from . import database, journal
from .catalogue import Catalogue
from .change import Change, changing

log = logging.getLogger(__name__)


class CatalogueAccess:
    """Opens the catalogue of one index, to ask it or to change it, and notices damage.

    Attributes:
        data, folder: where the distributions are, and where the index is.
        is_checked: whether the catalogue was read through, and no damage was noticed since.
        journal_state: the state of the journal after the last change.
    """

    def __init__(self, data: Path, folder: Path) -> None:
        # Links lead from one to the other, which must not depend on links on the way.
        self.data = data.resolve()
        self.folder = folder.resolve()
        self.is_checked = False
        self.journal_state: tuple[int, int] | None = None
        self._kept_open: tuple[database.State, Catalogue] | None = None

    @contextmanager
    def catalogue(self) -> Iterator[Catalogue]:
        """Open the catalogue to ask it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._noticing_damage():
            if self._is_spoilt():
                raise sqlite3.DatabaseError("pypi_index/index.sqlite3 was damaged")
            with closing(Catalogue(self.folder)) as known:
                yield known

    @contextmanager
    def change(self, *, check: bool = False) -> Iterator[Change]:
        """Make a change.

        Args:
            check: read the catalogue through first.
        """
        with self._noticing_damage():
            with changing(self.data, self.folder, check=check) as change:
                yield change
            self.journal_state = change.journal_state

    @contextmanager
    def _noticing_damage(self) -> Iterator[None]:
        """Let the next refresh read a damaged catalogue through, and so make it again."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if database.is_damage(error):
                self.is_checked = False
            raise

    def keep_open(self) -> None:
        """Keep the catalogue open: SQLite takes its time to tidy up after its last user."""
        if not self._kept_open or self.is_lost:
            known = Catalogue(self.folder)
            self._kept_open = database.state(self.folder), known

    @property
    def is_lost(self) -> bool:
        """Whether others have replaced, deleted or spoilt the catalogue that is kept open."""
        return self._kept_open is not None and self._kept_open[0] != database.state(self.folder)

    def delete_spoilt(self) -> None:
        """Delete the catalogue if others have spoilt it, so that it is made again."""
        if not self._is_spoilt():
            return
        with journal.locked(self.data):
            # Another process may have done it meanwhile.
            if self._is_spoilt():
                log.warning("pypi_index/index.sqlite3 was damaged: it is made again")
                database.delete(self.folder)
                self.is_checked = False

    def _is_spoilt(self) -> bool:
        """Return whether others have emptied the open catalogue, or deleted its companion file.

        SQLite would not find it damaged, but wait in vain or write where no other process reads.
        """
        if not self._kept_open:
            return False
        return database.state(self.folder).is_spoilt_since(self._kept_open[0])
