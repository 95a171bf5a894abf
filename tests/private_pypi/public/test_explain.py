"""The table that says of each release whether it is offered, and why."""

from __future__ import annotations

from kit.public_files import NOW, document_of, public_file
from private_pypi.public.explain import lines
from private_pypi.public.policy import Policy

POLICY = Policy.parse(
    'cooldown_days = 7\n[[block]]\nname = "urllib3"\nversion = "==1.9"\nreason = "leaks"\n'
    '[[exempt]]\nname = "urllib3"\nversion = "==2.0"\nreason = "CVE-1"\ndate = 2026-11-20\n',
    "public_policy.toml",
)


def test_each_release_has_its_line_newest_first() -> None:
    document = document_of(
        public_file("1.9"),
        public_file("1.10"),
        public_file("2.0", days=1),
        public_file("2.1rc1", days=2),
        public_file(None),
        public_file("1.10", tag="py3-none-win32"),
    )

    assert lines(document, POLICY, NOW) == [
        "RELEASE      FILES      RULE",
        "2.1rc1       1 hidden   urllib3 2.1rc1 was published 2 days ago, and cooldown_days is 7:"
        " it is offered from 2026-12-03 10:15 UTC; an [[exempt]] in public_policy.toml lets it"
        " through",
        "2.0          1 offered  exempt from the cooldown since 2026-11-20: CVE-1",
        "1.10         2 offered  published 30 days ago, and cooldown_days is 7",
        "1.9          1 hidden   blocked by name and version ==1.9: leaks",
        "urllib3.rpm  1 hidden   blocked by name and version ==1.9: leaks",
    ]


def test_files_of_a_release_that_the_rules_tell_apart_have_a_line_each() -> None:
    document = document_of(
        *(public_file("1.0", days=days, tag=f"cp{days}-abi3-any") for days in (3, 30, 2, 20)),
        public_file("1.0", days=None, tag="py3-none-win32"),
    )

    assert [line[:18] for line in lines(document, POLICY, NOW)] == [
        "RELEASE  FILES    ",
        "1.0      2 offered",
        "         2 hidden ",
        "         1 hidden ",
    ]
    said = lines(document, POLICY, NOW)
    # The latest of those that differ by time alone.
    assert "published 20 days ago" in said[1]
    assert "published 2 days ago" in said[2]
    assert lines(document, POLICY, NOW) == said


def test_quarantine_and_a_missing_policy_are_told_of_each_release() -> None:
    file = public_file("1.0")

    assert lines(document_of(file, status="quarantined"), POLICY, NOW)[1] == (
        "1.0      1 hidden  PyPI has quarantined the project"
    )
    assert lines(document_of(file), Policy.refusing("it is broken"), NOW)[1].endswith(
        "1 hidden  it is broken"
    )


def test_a_project_without_files_has_a_sentence() -> None:
    assert lines(document_of(), POLICY, NOW) == ["PyPI has no files of urllib3."]
