"""Fixtures of the mirror's tests: a stand-in of PyPI, and a mirror of it, as long as a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import private_pypi
import pytest
from kit import pypi as stand_in
from kit.mirror import PublicServer
from kit.pypi import PyPI
from kit.served_mirror import Served
from private_pypi.public.settings import PublicSettings


@pytest.fixture
def pypi(tmp_path: Path) -> Iterator[PyPI]:
    """A PyPI with one wheel, a-lib 1.0."""
    with stand_in.running(tmp_path / "pypi") as index:
        index.release("a-lib", "1.0")
        yield index


@pytest.fixture
def served(tmp_path: Path, pypi: PyPI) -> Iterator[Served]:
    """A mirror that is not started yet."""
    mirror = Served(tmp_path, pypi.url)
    yield mirror
    mirror.stop()


@pytest.fixture
def mirror(served: Served) -> Served:
    """A mirror that serves."""
    served.start()
    return served


@pytest.fixture
def public(pypi: PyPI, tmp_path: Path) -> Iterator[PublicServer]:
    """A mirror that runs, with a cooldown of seven days."""
    repository = Path(private_pypi.__file__).parents[2]
    with PublicServer(repository, tmp_path / "public", pypi.url) as server:
        yield server


@pytest.fixture
def public_settings(pypi: PyPI, tmp_path: Path) -> PublicSettings:
    """The settings of that mirror, whether it runs or not."""
    folder = tmp_path / "public"
    return PublicSettings.from_environment(
        {
            "PUBLIC_DATA": str(folder / "public_data"),
            "PUBLIC_POLICY": str(folder / "public_policy.toml"),
            "PYPI_SOCKET": str(folder / "public.sock"),
            "public_index": pypi.url,
        }
    )
