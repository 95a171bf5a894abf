"""The client's own reading of versions and pins, beside that of packaging, which pip uses."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from kit.template import ROOT
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

SCRIPTS = ROOT / "template/client/scripts"


@pytest.fixture(scope="module")
def versions() -> ModuleType:
    """The module of the client."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        return importlib.import_module("versions")


numbers = st.sampled_from([0, 0, 1, 2, 10])
releases = st.lists(numbers, min_size=1, max_size=4).map(lambda found: ".".join(map(str, found)))


def parts(*texts: str) -> st.SearchStrategy[str]:
    """Return one of the texts, or none of them as often."""
    return st.just("") | st.sampled_from(texts)


public_versions = st.builds(
    "{}{}{}{}{}".format,
    parts("1!"),
    releases,
    parts("a1", "b0", "rc2", "c2", "-alpha.1", ".pre3", "RC1"),
    parts(".post1", "-2", ".rev0", "post"),
    parts(".dev0", ".dev3", "dev"),
)
all_versions = st.builds("{}{}".format, public_versions, parts("+a", "+1", "+1.a", "+AB.2"))
clauses = (
    st.builds("{}{}".format, st.sampled_from(["<=", ">=", "<", ">", "~="]), public_versions)
    | st.builds("{}{}".format, st.sampled_from(["==", "!=", "==="]), all_versions)
    | st.builds("{}{}.*".format, st.sampled_from(["==", "!="]), releases)
)
pins = st.lists(clauses, max_size=3).map(",".join)


@given(all_versions, all_versions)
@example("1.0", "1.0.0")
@example("1.0.dev1", "1.0a1")
def test_versions_order_as_packaging_orders_them(
    versions: ModuleType, left: str, right: str
) -> None:
    mine = [versions.parse(text) for text in (left, right)]
    theirs = [Version(text) for text in (left, right)]

    assert (mine[0][:-1] < mine[1][:-1]) is (theirs[0] < theirs[1])
    assert (mine[0][:-1] == mine[1][:-1]) is (theirs[0] == theirs[1])
    assert [one.is_prerelease for one in mine] == [one.is_prerelease for one in theirs]


@given(st.text("0123456789.abcrdevpost-_+!v", max_size=12))
def test_a_text_is_a_version_if_and_only_if_it_is_one_to_packaging(
    versions: ModuleType, text: str
) -> None:
    try:
        Version(text)
    except InvalidVersion:
        assert versions.parse(text) is None
    else:
        assert versions.parse(text) is not None


@given(pins, all_versions)
@example(">1", "1.post1")
@example("<1", "1rc1")
@example("~=1.4.2", "1.4.10")
@example("==1.*", "1!1.0")
def test_a_pin_takes_what_it_takes_with_packaging(
    versions: ModuleType, pin: str, version: str
) -> None:
    try:
        wanted = SpecifierSet(pin)
    except InvalidSpecifier:
        with pytest.raises(ValueError, match=r".*"):
            versions.allows(pin, versions.parse(version))
        return

    assert versions.allows(pin, versions.parse(version)) is wanted.contains(
        version, prereleases=True
    )


@given(pins, st.lists(all_versions, max_size=6, unique_by=Version))
@example("==0.*", ["0.1.0a1"])
@example("==0.*", ["0.1.0", "0.2.0a1"])
@example(">=0.2a1", ["0.1.0", "0.2.0a1"])
def test_a_pin_picks_what_pip_would_install(
    versions: ModuleType, pin: str, listed: list[str]
) -> None:
    try:
        wanted = SpecifierSet(pin)
    except InvalidSpecifier:
        assume(False)
    expected = max(wanted.filter(listed), key=Version, default=None)

    picked = versions.pick(pin, [versions.Release(versions.parse(v), False) for v in listed])

    assert (picked.version.text if picked else None) == expected


@pytest.mark.parametrize(
    ("pin", "expected"), [("==0.*", "0.1"), ("==0.2", "0.2"), ("===0.2", "0.2"), (">=0.2", None)]
)
def test_what_was_withdrawn_is_picked_only_by_a_pin_on_it_alone(
    versions: ModuleType, pin: str, expected: str | None
) -> None:
    listed = [
        versions.Release(versions.parse("0.1"), False),
        versions.Release(versions.parse("0.2"), True),
    ]

    picked = versions.pick(pin, listed)

    assert (picked.version.text if picked else None) == expected
