"""PyPI's list of all names, as it comes: whole, in pieces, or not at all."""

from __future__ import annotations

import dataclasses
import json
import tracemalloc
from collections.abc import Iterator
from typing import Literal

import pytest
from kit.pypi import How, PyPI
from private_pypi.public.listing import _from_json, names
from private_pypi.public.settings import PublicSettings
from private_pypi.settings import SettingError

NAMES = ["A.b_c", "a-lib", "numpy", "zope.interface"]


@pytest.mark.parametrize("speaks", ["both", "html"])
def test_each_name_is_yielded_as_it_stands_in_the_list(
    pypi: PyPI, public_settings: PublicSettings, speaks: str
) -> None:
    pypi.names = {*NAMES}
    pypi.speaks = "html" if speaks == "html" else "both"

    assert [*names(public_settings)] == NAMES
    assert [path for path, _ in pypi.requests] == ["/simple/"]


def listed(text: str, size: int) -> list[str]:
    return [*_from_json(iter([text[at : at + size] for at in range(0, len(text), size)]))]


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_the_list_may_come_in_pieces_of_any_size(size: int) -> None:
    told = [{"_last-serial": 1, "name": name} for name in NAMES]
    for separators in ((",", ":"), (" ,\n", " : ")):
        text = json.dumps({"meta": {}, "projects": told, "more": [1]}, separators=separators)

        assert listed(text, size) == NAMES
    assert listed('{"projects": []}', size) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"projects": ',
        '{"projects": [{"name": "a"}',
        '{"projects": [{"name": "a"},',
        '{"projects": [{"name": 1}]}',
        '{"projects": [{"name": "a\\nb"}]}',
        '{"projects": ["a"]}',
        f'{{"projects": [{{"name": "{"a" * 100_000}',
        f'{{"meta": "{"a" * 100_000}", "projects": []}}',
    ],
)
@pytest.mark.parametrize("size", [10, 1000])
def test_a_list_that_is_none_is_an_error(text: str, size: int) -> None:
    with pytest.raises(SettingError, match="is not what PEP 691 or PEP 503 says"):
        listed(text, size)


def test_very_many_names_take_no_memory_that_grows_with_them() -> None:
    entry = json.dumps({"_last-serial": 12345678, "name": "a-name-of-usual-length"})

    def pieces() -> Iterator[str]:
        yield '{"projects": ['
        for _ in range(50):
            yield ",".join([entry] * 1000) + ","
        yield f"{entry}]}}"

    tracemalloc.start()
    try:
        assert sum(1 for _ in _from_json(pieces())) == 50_001
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2**20


@pytest.mark.parametrize(
    # HTML that ends in its middle, unlike JSON, is HTML: the names are too few then.
    ("how", "kind"),
    [("dies", "json"), ("busy", "json"), ("broken", "json"), ("dies", "html"), ("busy", "html")],
)
def test_a_list_that_does_not_come_whole_is_an_error(
    pypi: PyPI, public_settings: PublicSettings, how: How, kind: Literal["json", "html"]
) -> None:
    pypi.names = {f"name-{number}" for number in range(1000)}
    pypi.speaks = kind

    with pypi.failing(how), pytest.raises(SettingError, match="PyPI"):
        list(names(public_settings))


def test_away_is_an_error(pypi: PyPI, public_settings: PublicSettings) -> None:
    with (
        pypi.away(),
        pytest.raises(SettingError, match=r"^PyPI's list of names cannot be had: .*: try again"),
    ):
        list(names(public_settings))


def test_an_index_without_such_a_list_is_an_error(
    pypi: PyPI, public_settings: PublicSettings
) -> None:
    settings = dataclasses.replace(public_settings, index=f"{pypi.url}nothing/")

    with pytest.raises(SettingError, match=r"^PyPI answers 404 for its list of names"):
        list(names(settings))
