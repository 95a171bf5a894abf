"""An index whose pages for people are written when a test says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import private_pypi
from private_pypi import distribution
from private_pypi.index import Index
from private_pypi.settings import Settings
from private_pypi.web.writer import Writer

from kit import attestation, wheel
from kit.waiting import wait_until

PACKAGE = Path(private_pypi.__file__).parent.parent
"""Where the process that renders descriptions has to find the package."""


class ForPeople:
    """An index, and what writes its pages for people.

    Attributes:
        folder: of these pages.
        writer: what writes them; restart() replaces it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        (settings.data / ".uploads").mkdir(exist_ok=True)
        self.index = Index(settings.data, settings.index)
        self.index.refresh()
        self.folder = settings.web
        self.writer = Writer(settings)

    def restart(self) -> None:
        """Go on with a writer that knows nothing but what is on the disk."""
        self.writer = Writer(self.settings)

    def update(self) -> None:
        """Write every page that is not current, also those that wait for others."""
        wait_until(self.writer.update)

    def publish(
        self,
        name: str = "my-lib",
        version: str = "1.0",
        fields: str = "",
        description: str = "",
        *,
        by: str = "alice",
        job: dict[str, str] | None = None,
        is_attested: bool = False,
    ) -> str:
        """Publish a wheel; return its file name.

        Args:
            fields: lines of its core metadata, each with a line end.
            job: which CI job sends it.
            is_attested: whether attestations come with it.
        """
        unfinished = self.settings.data / ".uploads/unfinished"
        unfinished.mkdir()
        path = wheel.described(unfinished, name, version, fields, description)
        new, attested = distribution.read(path), None
        if is_attested:
            attested = unfinished / "attested"
            attested.write_bytes(
                attestation.provenance(attestation.of(path.name, path.read_bytes()))
            )
        self.index.add(path, new, by=by, job=job, attested=attested)
        shutil.rmtree(unfinished)
        return path.name

    def sign(self, file: str) -> None:
        """Publish the signature of a file."""
        path = self.settings.data / ".uploads/signature"
        path.write_text("signed")
        self.index.sign(path, file, by="alice")
        path.unlink(missing_ok=True)

    def page(self, name: str = "my-lib") -> str:
        """Return the page of a project."""
        return (self.folder / "project" / name / "index.html").read_text(encoding="utf-8")

    def home(self) -> str:
        """Return the start page."""
        return (self.folder / "index.html").read_text(encoding="utf-8")

    def marks(self) -> dict[str, tuple[int, int]]:
        """Return of each file what differs once it was written again."""
        return {
            str(path.relative_to(self.folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in self.folder.rglob("*")
            if path.is_file() and path.name != ".lock"
        }
