"""Fixtures of the tests of the pages for people: a renderer of descriptions, and an index."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kit.for_people import PACKAGE, ForPeople
from private_pypi.settings import Settings
from private_pypi.web.description import Renderer


@pytest.fixture(autouse=True)
def _package_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process that renders descriptions find the package, as it does on a server."""
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE))


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    """A renderer for all tests of a file: its process takes a while to start."""
    with Renderer() as renderer:
        yield renderer


@pytest.fixture
def people(settings: Settings) -> ForPeople:
    """An index of nothing, whose pages for people are not written yet."""
    return ForPeople(settings)
