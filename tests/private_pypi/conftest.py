"""Fixtures of the unit tests: accounts whose passwords cost 1 ms to check instead of 60 ms."""

from __future__ import annotations

from pathlib import Path

import kit.quiet_pypiserver  # noqa: F401
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
