"""Fixtures of the unit tests: a repository, accounts with cheap passwords, and settings."""

from __future__ import annotations

import os
from pathlib import Path

import kit.quiet_pypiserver  # noqa: F401
import pytest
from kit.template import PASSWORD
from private_pypi import accounts
from private_pypi.settings import MEBIBYTE, Settings


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a repository, in which commands run without any setting."""
    for name in [name for name in os.environ if name.startswith("PYPI_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash at the lowest cost, as generated passwords are anyway."""
    monkeypatch.setattr(accounts, "COST", accounts.GENERATED_COST)


@pytest.fixture
def auth(tmp_path: Path, cheap_hashes: None) -> Path:
    """An empty folder for the htpasswd files."""
    folder = tmp_path / "pypi_auth"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(tmp_path: Path, auth: Path) -> Settings:
    """Settings of an index with a publisher, alice, and a reader, bob, in the test's own folders.

    Both have the same password. Uploads of up to a megabyte are taken, and unknown names are
    redirected.
    """
    accounts.add(auth, "alice", "publisher", PASSWORD)
    accounts.add(auth, "bob", "reader", PASSWORD)
    (tmp_path / "pypi_data").mkdir(exist_ok=True)
    return Settings(
        data=tmp_path / "pypi_data",
        index=tmp_path / "pypi_index",
        web=tmp_path / "pypi_web",
        auth=auth,
        gateway=None,
        uses=None,
        socket=None,
        host="127.0.0.1",
        port=8080,
        redirect=True,
        mirror=False,
        private_prefixes=(),
        public_index="http://public.example/simple/",
        max_upload=MEBIBYTE,
        name="my-pypi",
        url="https://pypi.example.com/",
    )
