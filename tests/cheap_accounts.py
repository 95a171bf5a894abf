"""Fixtures for accounts whose hashes cost 1 ms instead of 250 ms: a plugin of pytest."""

from __future__ import annotations

from pathlib import Path

import pytest
from private_pypi import accounts


@pytest.fixture
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash at the lowest cost, as is done anyway with passwords that are made up."""
    monkeypatch.setattr(accounts, "COST", accounts.MADE_UP_COST)


@pytest.fixture
def auth(tmp_path: Path, cheap_hashes: None) -> Path:
    """An empty folder for the htpasswd files."""
    folder = tmp_path / "pypi_auth"
    folder.mkdir()
    return folder
