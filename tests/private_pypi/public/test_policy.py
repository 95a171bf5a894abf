"""The owner's policy: what it says of each file, and what it says of a mistake in it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from kit.public_files import NOW, SHA256, public_file
from private_pypi.public.document import File
from private_pypi.public.policy import Policy, PolicyError, Verdict

NAME = "public_policy.toml"


def policy(text: str = "", *, days: int = 7) -> Policy:
    return Policy.parse(f"cooldown_days = {days}\n{text}", NAME)


def verdict(
    text: str, file: File, *, project: str = "urllib3", days: int = 7, status: str = "active"
) -> Verdict:
    return policy(text, days=days).verdict(project, file, NOW, status=status)


# Cooldown -----------------------------------------------------------------------------------------


def test_a_file_is_offered_once_it_has_been_on_pypi_for_all_days_of_the_cooldown() -> None:
    assert verdict("", public_file(days=7)) == Verdict(
        True, "published 7 days ago, and cooldown_days is 7", is_by_time=True
    )
    hidden = verdict("", public_file("2.9.1", days=6.99999))
    assert not hidden.offered
    assert hidden.until is not None
    assert NOW < hidden.until < NOW + timedelta(seconds=1)


def test_the_sentence_tells_the_age_the_days_when_it_ends_and_the_way_out() -> None:
    assert verdict("", public_file("2.9.1", days=2)).rule == (
        "urllib3 2.9.1 was published 2 days ago, and cooldown_days is 7: it is offered from"
        " 2026-12-03 10:15 UTC; an [[exempt]] in public_policy.toml lets it through"
    )


@pytest.mark.parametrize(
    ("days", "ago"),
    [(1.5, "1 day ago"), (0.2, "4 hours ago"), (0.05, "1 hour ago"), (0, "less than an hour ago")],
)
def test_an_age_is_told_in_its_largest_unit(days: float, ago: str) -> None:
    assert f"was published {ago}, and" in verdict("", public_file(days=days)).rule


def test_at_the_minute_that_the_sentence_names_the_file_is_offered() -> None:
    file = public_file(days=2)
    said = verdict("", file).rule.partition("offered from ")[2].partition(" UTC")[0]
    then = datetime.strptime(said, "%Y-%m-%d %H:%M").replace(tzinfo=timezone.utc)

    assert policy().verdict("urllib3", file, then).offered
    assert not policy().verdict("urllib3", file, then - timedelta(minutes=1)).offered


@pytest.mark.parametrize("version", ["1.0", None])
def test_a_file_without_a_time_of_upload_is_hidden(version: str | None) -> None:
    assert verdict("", public_file(version, days=None)) == Verdict(
        False,
        "PyPI tells no time of upload, and cooldown_days is 7: an [[exempt]] in public_policy.toml"
        " lets it through",
    )


@pytest.mark.parametrize("days", [-0.01, -400, -365 * 7000])
def test_a_file_of_a_time_to_come_is_hidden(days: float) -> None:
    hidden = verdict("", public_file(days=days))

    assert not hidden.offered
    assert "was published less than an hour ago" in hidden.rule


def test_a_time_beyond_the_calendar_is_no_reason_to_fail() -> None:
    hidden = verdict("", public_file(days=-365 * 7900), days=3650)

    assert (hidden.offered, hidden.until) == (False, None)
    assert "offered from" not in hidden.rule


@pytest.mark.parametrize("days", [None, 0, -5, 400])
def test_without_a_cooldown_the_time_does_not_matter(days: float | None) -> None:
    assert verdict("", public_file(days=days), days=0) == Verdict(True, "cooldown_days is 0")


def test_a_file_without_a_version_is_named_by_its_file_name() -> None:
    assert verdict("", public_file(None, days=2)).rule.startswith("urllib3.rpm was published 2")


# Exemptions ---------------------------------------------------------------------------------------

EXEMPT = '[[exempt]]\nname = "URLlib3"\nreason = "repairs CVE-1."\ndate = 2026-11-20\n'


@pytest.mark.parametrize("days", [2, None, -5])
def test_an_exemption_lets_a_fresh_file_through(days: float | None) -> None:
    assert verdict(EXEMPT, public_file(days=days)) == Verdict(
        True, "exempt from the cooldown since 2026-11-20: repairs CVE-1"
    )
    assert not verdict(EXEMPT, public_file(days=days), project="urllib4").offered


@pytest.mark.parametrize(
    ("specifier", "version", "offered"),
    [
        ("==2.9.1", "2.9.1", True),
        ("2.9.1", "2.9.1", True),
        ("==2.9.1", "2.9.2", False),
        (">=2,<3", "2.9.1", True),
        (">=2,<3", "3.0", False),
        (">=2", "2.1rc1", True),
        # What it lets through must be certain.
        (">=2", None, False),
    ],
)
def test_an_exemption_may_be_of_some_versions(
    specifier: str, version: str | None, offered: bool
) -> None:
    text = f'{EXEMPT}version = "{specifier}"\n'

    assert verdict(text, public_file(version, days=1)).offered is offered


def test_an_exemption_is_from_the_cooldown_alone() -> None:
    file = public_file(days=1)

    assert not verdict(f'allow = ["other"]\n{EXEMPT}', file).offered
    assert not verdict(EXEMPT, file, status="quarantined").offered
    assert not verdict(f'{EXEMPT}[[block]]\nname = "urllib3"\nreason = "x"\n', file).offered


# Blocks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "version", "rule"),
    [
        ('name = "URLlib3"', "1.0", "blocked by name: malware"),
        ('name = "URLlib3"', None, "blocked by name: malware"),
        ('name = "other"', "1.0", None),
        ('name = "urllib3"\nversion = "<2"', "1.0", "blocked by name and version <2: malware"),
        ('name = "urllib3"\nversion = "<2"', "2.0", None),
        ('name = "urllib3"\nversion = "1.0"', "1.0", "blocked by name and version ==1.0: malware"),
        # A version that nobody can tell may be any.
        ('name = "urllib3"\nversion = "<2"', None, "blocked by name and version <2: malware"),
        ('name = "urllib3"\nversion = "<2"', "1.5rc1", "blocked by name and version <2: malware"),
        ('name = "other"\nversion = "<2"', "1.0", None),
        ('version = "==1.0"', "1.0", "blocked by version ==1.0: malware"),
        (f'sha256 = "{SHA256.upper()}"', "1.0", "blocked by hash: malware"),
        (f'sha256 = "{"0" * 64}"', "1.0", None),
    ],
)
def test_what_a_block_matches_is_hidden_for_its_reason(
    entry: str, version: str | None, rule: str | None
) -> None:
    said = verdict(f'[[block]]\n{entry}\nreason = "malware"\n', public_file(version))

    assert said.offered is (rule is None)
    assert rule in (None, said.rule)


def test_a_file_without_a_sha256_is_hidden_where_files_are_blocked_by_it() -> None:
    text = f'[[block]]\nsha256 = "{SHA256}"\nreason = "malware"\n'

    assert not verdict(text, public_file(sha256="")).offered
    assert verdict("", public_file(sha256="")).offered


def test_a_block_counts_more_than_all_that_lets_files_through() -> None:
    text = f'allow = ["urllib3"]\n{EXEMPT}[[block]]\nversion = ">=0"\nreason = "never"\n'

    assert verdict(text, public_file(), days=0).rule == "blocked by version >=0: never"


# The allow list, quarantine -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allow", "project", "offered"),
    [
        ('["urllib3"]', "urllib3", True),
        ('["URLlib3"]', "urllib3", True),
        ('["urllib"]', "urllib3", False),
        ('["Types_*"]', "types-requests", True),
        ('["types-*"]', "typeshed", False),
        ('["types-*"]', "types", False),
        ('["url*"]', "urllib3", True),
        ("[]", "urllib3", False),
    ],
)
def test_only_names_in_the_allow_list_are_offered(allow: str, project: str, offered: bool) -> None:
    said = verdict(f"allow = {allow}\n", public_file(), project=project)

    assert said.offered is offered
    if not offered:
        assert said.rule == (
            f"not in the allow list: {project} would have to stand in allow in {NAME}"
        )


def test_the_allow_list_does_not_end_the_cooldown() -> None:
    assert not verdict('allow = ["urllib3"]\n', public_file(days=1)).offered


@pytest.mark.parametrize("status", ["", "active", "archived", "deprecated"])
def test_only_quarantine_hides_a_project_for_its_status(status: str) -> None:
    assert verdict("", public_file(), status=status).offered
    assert verdict('allow = ["urllib3"]', public_file(), status="quarantined") == Verdict(
        False, "PyPI has quarantined the project"
    )


def test_a_policy_that_refuses_offers_nothing_and_says_why() -> None:
    refusing = Policy.refusing("there is no policy")

    assert refusing.verdict("urllib3", public_file(), NOW) == Verdict(False, "there is no policy")


# Mistakes -----------------------------------------------------------------------------------------

DAYS = "write a whole number of days from 0, which is none, to 3650"
ALLOW = 'write a list of names, such as ["numpy", "types-*"]'
REASON = 'write one line for those who ask why, such as "malware"'
VERSION = 'write a specifier, such as "==2.9.1" or "<2", or leave it out for all versions'
DATE = "write the day it was added, such as 2026-11-20, without quotes"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"no cooldown_days: {DAYS}"),
        ('cooldown_days = "seven"', f"cooldown_days is 'seven': {DAYS}"),
        ("cooldown_days = -1", f"cooldown_days is -1: {DAYS}"),
        ("cooldown_days = 3651", f"cooldown_days is 3651: {DAYS}"),
        ("cooldown_days = 1.5", f"cooldown_days is 1.5: {DAYS}"),
        ("cooldown_days = true", f"cooldown_days is true: {DAYS}"),
        ("cooldown_days = [7]", f"cooldown_days is a list: {DAYS}"),
        (f"cooldown_days = 0x{'f' * 5000}", f"cooldown_days is a huge number: {DAYS}"),
        ("cooldown_day = 7", "the key 'cooldown_day' is not known: did you mean cooldown_days?"),
        (
            "hello = 7",
            "the key 'hello' is not known: there are cooldown_days, allow, exempt, block",
        ),
    ],
)
def test_a_mistake_at_the_top_is_named_with_its_remedy(text: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.parse(text, NAME)

    assert str(caught.value) == f"{NAME}: {message}"


SECOND = '[[exempt]]\nname = "a"\nreason = "b"\ndate = 2026-11-20\n[[exempt]]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('allow = "numpy"', f"allow is 'numpy': {ALLOW}"),
        ("allow = [1]", f"allow has 1: {ALLOW}"),
        ('allow = ["*"]', f"allow has '*': {ALLOW}"),
        ('allow = ["a*b"]', f"allow has 'a*b': {ALLOW}"),
        ('allow = [""]', f"allow has '': {ALLOW}"),
        ("exempt = 1", "exempt is 1: begin each entry with [[exempt]]"),
        ("[exempt]\nname = 'a'", "exempt is a table: begin each entry with [[exempt]]"),
        ("block = [1]", "block is a list: begin each entry with [[block]]"),
        (
            SECOND,
            "[[exempt]] number 2: no date: " + DATE,
        ),
        (f"{SECOND}date = '2026-11-20'", f"[[exempt]] number 2: date is '2026-11-20': {DATE}"),
        (
            f"{SECOND}date = 2026-11-20",
            "[[exempt]] number 2: no name: write the name of the project that it lets through",
        ),
        (
            f"{SECOND}date = 2026-11-20\nname = 'a*'",
            "[[exempt]] number 2: name is 'a*': write the name of one project",
        ),
        (f"{SECOND}date = 2026-11-20\nname = 'a'", f"[[exempt]] number 2: no reason: {REASON}"),
        (
            f"{SECOND}until = 2026-11-20",
            "[[exempt]] number 2: the key 'until' is not known: there are name, version, reason,"
            " date",
        ),
        (
            "[[block]]\nname = 'a'\nreason = ' '",
            f"[[block]] number 1: reason is ' ': {REASON}",
        ),
        (
            "[[block]]\nname = 'a'\nreason = \"a\\nb\"",
            f"[[block]] number 1: reason is 'a\\nb': {REASON}",
        ),
        (
            "[[block]]\nreason = 'a'",
            "[[block]] number 1: neither name, version nor sha256: write what it blocks",
        ),
        (
            f"[[block]]\nname = 'a'\nsha256 = '{SHA256}'\nreason = 'a'",
            "[[block]] number 1: sha256 beside name or version: write an entry for each",
        ),
        (
            "[[block]]\nsha256 = 'abc'\nreason = 'a'",
            "[[block]] number 1: sha256 is 'abc': write the 64 hexadecimal digits",
        ),
        (
            "[[block]]\nversion = 'newest'\nreason = 'a'",
            f"[[block]] number 1: version is 'newest': {VERSION}",
        ),
        ("[[block]]\nversion = ''\nreason = 'a'", f"[[block]] number 1: version is '': {VERSION}"),
        ("[[block]]\nversion = 2\nreason = 'a'", f"[[block]] number 1: version is 2: {VERSION}"),
    ],
)
def test_a_mistake_in_an_entry_is_named_with_its_remedy(text: str, message: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy(text)

    assert str(caught.value) == f"{NAME}: {message}"


@pytest.mark.parametrize(
    ("text", "line"),
    [("cooldown_days = 7\nallow = 3 4", "line 2"), ("cooldown_days = 7 8", "line 1")],
)
def test_what_is_no_toml_is_named_with_its_line(text: str, line: str) -> None:
    with pytest.raises(PolicyError, match=rf"^{NAME} is no TOML: .*{line}"):
        Policy.parse(text, NAME)


@pytest.mark.parametrize("text", [f"a = {'[' * 100_000}", f"cooldown_days = {'9' * 10_000}"])
def test_what_no_parser_can_bear_is_no_toml(text: str) -> None:
    with pytest.raises(PolicyError, match=f"^{NAME} is no TOML: "):
        Policy.parse(text, NAME)


@pytest.mark.parametrize("operator", ["", "<", "==", "~=1."])
def test_a_version_with_more_digits_than_python_reads_is_a_mistake(operator: str) -> None:
    with pytest.raises(PolicyError, match=r"number 1: version is '.*: write a specifier"):
        policy(f'[[block]]\nversion = "{operator}{"9" * 5000}"\nreason = "no"')
