"""What single accounts may do: the file of rights, and the two ways to tell what they cover."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from kit.waiting import today
from packaging.utils import canonicalize_name
from private_pypi import layout, rights
from private_pypi.distribution import DistributionError, parse_name
from private_pypi.rights import ALL, Rights, RightsError

WORDS = st.lists(st.sampled_from(["a", "b", "2", "lib"]), min_size=1, max_size=3)
PATTERNS = st.builds(
    lambda words, end: "-".join(words) + end, WORDS, st.sampled_from(["", "", "*", "-*"])
)
PROJECTS = st.lists(PATTERNS, min_size=1, max_size=3).map(tuple)


@st.composite
def files(draw: st.DrawFn) -> str:
    """A file name that may be of a distribution, its project in any spelling."""
    name = draw(st.sampled_from(["-", "_", ".", "__", "-_."])).join(draw(WORDS))
    name = draw(st.sampled_from([name, name.upper(), f"{name}_", f"_{name}"]))
    version = draw(st.sampled_from(["1.0", "2", "1.0rc1", "1.0.post1", "1!2.0", "1.0+local.1"]))
    kind = draw(
        st.sampled_from(["-py3-none-any.whl", "-1-py2.py3-none-any.whl", ".tar.gz", ".zip"])
    )
    return f"{name}-{version}{kind}"


@given(PROJECTS, files())
def test_the_gateways_expression_fits_exactly_the_files_of_the_projects(
    projects: tuple[str, ...], file: str
) -> None:
    try:
        project, _ = parse_name(file)
    except DistributionError:
        assume(False)
    is_covered = Rights(projects).covers(project)

    for end in ("", *layout.BESIDE):
        fits = re.fullmatch(rights.files_of(projects), file + end)
        assert bool(fits) == is_covered


@given(PROJECTS, WORDS)
def test_the_gateways_expression_fits_exactly_the_names_of_the_projects(
    projects: tuple[str, ...], words: list[str]
) -> None:
    name = "-".join(words)

    assert bool(re.fullmatch(rights.pages_of(projects), name)) == Rights(projects).covers(name)


@given(PROJECTS, st.none() | st.dates(date(2000, 1, 1), date(2999, 12, 31)))
def test_rights_are_read_as_they_are_written(projects: tuple[str, ...], until: date | None) -> None:
    given = Rights(rights.parse_projects(",".join(projects)), until)

    assert Rights.parse(str(given).split()) == given


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("billing", ("billing",)),
        ("Billing,ACME_lib", ("billing", "acme-lib")),
        ("billing, acme-*", ("billing", "acme-*")),
        ("acme_*", ("acme-*",)),
        ("acme*", ("acme*",)),
        ("billing,Billing", ("billing",)),
    ],
)
def test_projects_may_be_written_in_any_spelling(typed: str, meant: tuple[str, ...]) -> None:
    assert rights.parse_projects(typed) == meant


@pytest.mark.parametrize("typed", ["*", "a*b", "-a", "a-", "a b", "ä", "a/b", "-*", "a**"])
def test_what_is_no_name_and_no_start_of_one_is_refused(typed: str) -> None:
    with pytest.raises(RightsError, match="is not the name of a project"):
        rights.parse_projects(typed)


@pytest.mark.parametrize("typed", ["", "  "])
def test_a_list_without_projects_is_not_all_projects(typed: str) -> None:
    with pytest.raises(RightsError, match=r"^PROJECTS= is empty: say which projects$"):
        rights.parse_projects(typed)


@pytest.mark.parametrize("typed", ["a,,b", "a,", ",a", "a, ,b", ","])
def test_an_entry_without_a_name_is_refused(typed: str) -> None:
    with pytest.raises(RightsError, match=f"^an entry of '{typed}' is empty: write one comma"):
        rights.parse_projects(typed)


def test_a_prefix_ends_where_it_says() -> None:
    assert Rights(("acme-*",)).covers("acme-billing")
    assert not Rights(("acme-*",)).covers("acme")
    assert not Rights(("acme-*",)).covers("acmeevil")
    assert Rights(("acme*",)).covers("acmeevil")


def test_without_projects_all_are_covered() -> None:
    assert ALL.covers("anything")
    assert not ALL.has_ended


@pytest.mark.parametrize(("days", "ended"), [(-1, True), (0, False), (1, False)])
def test_an_account_works_through_its_last_day(days: int, *, ended: bool) -> None:
    assert Rights(until=today() + timedelta(days=days)).has_ended is ended


def test_days_are_counted_from_today() -> None:
    assert rights.in_days("90") == today() + timedelta(days=90)


@pytest.mark.parametrize("days", ["0", "-1", "90d", "", "1.5", "99999", "٣"])
def test_what_is_no_number_of_days_is_refused(days: str) -> None:
    with pytest.raises(RightsError, match="is not a number of days"):
        rights.in_days(days)


def test_comments_and_empty_lines_say_nothing() -> None:
    assert rights.read(["# ci projects=a", "", "  ", "ci projects=a"]) == (
        {"ci": Rights(("a",))},
        [],
    )


@pytest.mark.parametrize(
    "line",
    [
        "ci",
        "ci billing",
        "ci projects=",
        "ci projects=*",
        "ci project=billing",
        "ci until=tomorrow",
        "ci until=20270225",
        "ci until=2027-02-30",
        "ci projects=a projects=b",
        "ci projects=a, b",
    ],
)
def test_a_line_that_cannot_be_read_shuts_its_account_out(line: str) -> None:
    known, complaints = rights.read(["other projects=a", line])

    name = line.split()[0]
    assert known == {"other": Rights(("a",)), name: None}
    assert len(complaints) == 1
    assert complaints[0].startswith(f"pypi_auth/.rights line 2: '{name}' is shut out: ")


@pytest.mark.parametrize("line", ["ci: projects=a", "  ci\tprojects=a ", "ci\u00a0projects=a"])
def test_a_line_counts_however_it_is_set(line: str) -> None:
    assert rights.read([line]) == ({"ci": Rights(("a",))}, [])


def test_two_lines_for_one_account_shut_it_out() -> None:
    known, complaints = rights.read(["ci projects=a", "ci projects=b"])

    assert known == {"ci": None}
    assert "it has another line above" in complaints[0]


def test_every_spelling_is_one_project() -> None:
    assert Rights(("acme-lib",)).covers(canonicalize_name("Acme_.Lib"))
