"""The folder of distributions, as a pypiserver backend."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from pypiserver.backend import SimpleFileBackend
from pypiserver.bottle_wrapper import HTTPError
from pypiserver.config import RunConfig
from pypiserver.core import PkgFile
from pypiserver.pkg_helpers import normalize_pkgname

UPLOADS = ".uploads"
"""Folder of unfinished uploads, in the data folder so that a link can finish them.

pypiserver and the gateway both leave names that start with a dot out of the index."""


class Storage(SimpleFileBackend):
    """Stores a distribution whole or not at all, and never over another one."""

    def __init__(self, config: RunConfig, max_upload: int) -> None:
        super().__init__(config)
        self._max_upload = max_upload

    def add_package(self, filename: str, stream: BinaryIO) -> None:
        """Store an uploaded distribution under its file name.

        Raises:
            HTTPError: 413 if it is too large, 409 if the name is taken.
        """
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        if size > self._max_upload:
            raise HTTPError(413, too_large(self._max_upload))
        root = self.roots[0]
        with tempfile.NamedTemporaryFile(dir=root / UPLOADS) as unfinished:
            shutil.copyfileobj(stream, unfinished, 2**20)
            unfinished.flush()
            os.fchmod(unfinished.fileno(), 0o644)
            os.fsync(unfinished.fileno())
            try:
                os.link(unfinished.name, root / filename)
            except FileExistsError:
                raise HTTPError(409, f"{filename} already exists: publish a new version") from None
        _sync(root)

    def find_project_packages(self, project: str) -> Iterable[PkgFile]:
        """Return a project's files, also those whose name pypiserver alone reads in part.

        It takes lib-3d-tools-1.0.tar.gz for a version of lib, and would send who asks for
        lib-3d-tools to the public index.
        """
        name = normalize_pkgname(project)
        for package in self.get_all_packages():
            before_version, _, _ = Path(package.relfn or "").name.rpartition("-")
            if name in (package.pkgname_norm, normalize_pkgname(before_version)):
                yield package

    def remove_package(self, pkg: PkgFile) -> None:
        """Refuse: what others install from must not vanish by a request."""
        raise HTTPError(403, "Nothing is removed over HTTP: delete the file on the server.")


def too_large(max_upload: int) -> str:
    """Return the sentence for a distribution of more than so many bytes."""
    return f"The upload is larger than the {max_upload // 2**20} MB this index accepts."


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
