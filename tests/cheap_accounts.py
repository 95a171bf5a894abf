"""Fixtures for accounts whose hashes cost 1 ms instead of 250 ms: a plugin of pytest."""

from __future__ import annotations

from pathlib import Path

import pytest
from passlib.hash import bcrypt
from private_pypi import accounts, authentication


@pytest.fixture
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash at the lowest cost."""
    monkeypatch.setattr(accounts, "COST", 4)
    nobody = bcrypt.using(rounds=4, ident="2y").hash("nobody knows this")
    monkeypatch.setattr(authentication, "_NOBODY", nobody)


@pytest.fixture
def auth(tmp_path: Path, cheap_hashes: None) -> Path:
    """An empty folder for the htpasswd files."""
    folder = tmp_path / "pypi_auth"
    folder.mkdir()
    return folder
