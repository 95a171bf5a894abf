"""The file of trusted publishers: what it says, which jobs fit, and how commands edit it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import tomli
from hypothesis import assume, given
from hypothesis import strategies as st
from private_pypi import toml
from private_pypi.settings import SettingError
from private_pypi.trust import entries, publishers
from private_pypi.trust.publishers import GITHUB, GITLAB, Publisher, PublishersError
from private_pypi.trust.service import as_account

CLAIMS = {
    "repository": "acme/billing",
    "repository_id": "123",
    "repository_owner_id": "45",
    "job_workflow_ref": "acme/billing/.github/workflows/publish.yml@*",
}
BILLING = Publisher("acme/billing publish.yml", GITHUB, ("billing", "acme-*"), CLAIMS)
TEXT = f"""\
[[publisher]]
name = "acme/billing publish.yml"
issuer = "{GITHUB}"
projects = ["billing", "acme-*"]
[publisher.claims]
repository = "acme/billing"
repository_id = "123"
repository_owner_id = "45"
job_workflow_ref = "acme/billing/.github/workflows/publish.yml@*"
"""
TOKEN = {
    **CLAIMS,
    "job_workflow_ref": "acme/billing/.github/workflows/publish.yml@refs/heads/main",
    "sub": "repo:acme@45/billing@123:ref:refs/heads/main",
    "event_name": "push",
}


def put(folder: Path, text: str) -> None:
    """Write the file as a person with an editor would."""
    (folder / entries.FILE).write_bytes(text.encode())


def content(folder: Path) -> str:
    """Return what the file has now."""
    return (folder / entries.FILE).read_bytes().decode()


@contextmanager
def folder_with(text: str | None) -> Iterator[Path]:
    """A folder of accounts for one example of many."""
    with TemporaryDirectory() as name:
        if text is not None:
            put(Path(name), text)
        yield Path(name)


def complaint_of(folder: Path, text: str) -> str:
    """Return the one complaint about a file in which nobody is trusted."""
    put(folder, text)
    trusted, complaints = publishers.read(folder)
    assert trusted == []
    (complaint,) = complaints
    return complaint


# Reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [None, "", "\n# nobody yet\n", "\ufeff"])
def test_nothing_is_no_publisher_and_no_complaint(auth: Path, text: str | None) -> None:
    if text is not None:
        put(auth, text)

    assert publishers.read(auth) == ([], [])


@pytest.mark.parametrize("start", ["", "\ufeff", "# ours\r\n"])
def test_an_entry_is_a_publisher(auth: Path, start: str) -> None:
    put(auth, start + TEXT)

    assert publishers.read(auth) == ([BILLING], [])


def test_an_entry_that_cannot_be_read_leaves_the_others_trusted(auth: Path) -> None:
    put(auth, f"{TEXT}\n[[publisher]]\nname = 'ci'\n{TEXT.replace('publish.yml', 'other.yml')}")

    trusted, complaints = publishers.read(auth)

    assert [one.name for one in trusted] == [BILLING.name, "acme/billing other.yml"]
    assert complaints == [
        "pypi_auth/.publishers.toml: publisher 2 ('ci') is not trusted: it has no issuer"
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "acme/billing publish.yml"', 'name = "ci"', "could be that of an account"),
        ('name = "acme/billing publish.yml"', 'name = ""', "is not 1 to 200 printable letters"),
        ('name = "acme/billing publish.yml"', 'name = "a\\u001b/b"', "printable letters"),
        ('name = "acme/billing publish.yml"', "name = 1", "name is no text"),
        ('name = "acme/billing publish.yml"', "", "it has no name"),
        ("https://token", "http://token", "is not the URL of one"),
        (GITHUB, "https://me:secret@acme.com", "is not the URL of one"),
        (GITHUB, "https://acme.com/?a=b", "is not the URL of one"),
        (GITHUB, "file:///etc/passwd", "is not the URL of one"),
        (GITHUB, "https://localhost:65536", "is not the URL of one"),
        (GITHUB, "http://localhost:99999/keys", "is not the URL of one"),
        ('["billing", "acme-*"]', "[]", "projects is empty"),
        ('["billing", "acme-*"]', '["*"]', "'*' is not the name of a project"),
        ('["billing", "acme-*"]', '"billing"', "projects is no list of names"),
        ('repository = "acme/billing"', 'repository = "acme*/billing"', "not at its end"),
        ('repository = "acme/billing"', 'repository = "*"', "fits too much"),
        ('repository = "acme/billing"', 'repository = "ac*"', "fits too much"),
        ('repository = "acme/billing"', "repository = 7", "is no text"),
        ('repository = "acme/billing"', 'aud = "acme"', "is checked in every token"),
        ('repository = "acme/billing"', '"re pository" = "acme"', "is not the name of a claim"),
        ('repository_id = "123"', 'repository_id = "123*"', "write the number of its id"),
        ('repository_id = "123"', "", "its claims lack repository_id and repository_owner_id"),
        ('repository_owner_id = "45"', "", "a name alone may belong to somebody else tomorrow"),
        ("[publisher.claims]", "[publisher.claim]", "the key 'claim' is not known"),
        ("[publisher.claims]", "days = 90\n[publisher.claims]", "the key 'days' is not known"),
        ("[publisher.claims]", "claims = 1\n[publisher.x]", "'x' is not known"),
    ],
)
def test_an_entry_that_says_something_else_trusts_nobody(
    auth: Path, old: str, new: str, said: str
) -> None:
    assert old in TEXT

    complaint = complaint_of(auth, TEXT.replace(old, new))

    assert complaint.startswith("pypi_auth/.publishers.toml: publisher 1")
    assert said in complaint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[publisher]\n", "is no TOML, and nobody in it is trusted"),
        (f"{TEXT}]", "is no TOML, and nobody in it is trusted"),
        (TEXT.replace("[[publisher]]", "[[publishers]]", 1), "the key 'publisher"),
        ("publisher = 1\n", "begin each entry with a line [[publisher]]"),
        ("#" * (entries.MOST_BYTES + 1), "is larger than 256 kB"),
        (f"a = {'[' * 5000}", "is no TOML"),
    ],
)
def test_a_file_that_cannot_be_read_trusts_nobody(auth: Path, text: str, said: str) -> None:
    assert said in complaint_of(auth, text)


def test_a_file_that_is_not_utf_8_trusts_nobody(auth: Path) -> None:
    (auth / entries.FILE).write_bytes(f"# caf\xe9\n{TEXT}".encode("latin-1"))

    assert publishers.read(auth) == (
        [],
        ["pypi_auth/.publishers.toml is no TOML: save it as UTF-8"],
    )


def test_the_second_of_one_name_is_left_out(auth: Path) -> None:
    put(auth, TEXT + TEXT.replace("123", "124"))

    trusted, complaints = publishers.read(auth)

    assert trusted == [BILLING]
    assert "another entry above has this name" in complaints[0]


def test_there_are_limits_to_how_many_are_read(auth: Path) -> None:
    put(auth, "".join(TEXT.replace("publish.yml", f"{number}.yml") for number in range(201)))

    trusted, complaints = publishers.read(auth)

    assert len(trusted) == 200
    assert [one.partition(": only ")[2] for one in complaints] == [
        "200 publishers are read: remove some"
    ]


def test_there_are_limits_to_how_many_issuers_are_asked(auth: Path) -> None:
    hosts = [f"https://{number}.acme.com" for number in range(21)]
    put(auth, "".join(TEXT.replace(GITHUB, x).replace("publish.yml", x[8:]) for x in hosts))

    trusted, complaints = publishers.read(auth)

    assert [one.issuer for one in trusted] == hosts[:20]
    assert "only 20 issuers are asked" in complaints[0]


@pytest.mark.parametrize(
    ("issuer", "claims", "is_enough"),
    [
        (GITLAB, {"project_id": "1", "namespace_id": "2"}, True),
        (GITLAB, {"project_id": "1"}, False),
        (GITLAB, {"project_path": "acme/billing", "sub": "project_path:acme/billing"}, False),
        (GITHUB, {"sub": "repo:acme/billing"}, False),
        ("https://gitlab.acme.com", {"project_id": "1", "namespace_id": "2"}, True),
        ("https://ci.acme.com", {"sub": "billing"}, True),
        ("https://ci.acme.com", {"sub": "billing:*"}, True),
        ("https://ci.acme.com", {"job": "billing"}, False),
    ],
)
def test_every_publisher_is_pinned_by_what_its_issuer_gives_nobody_else(
    auth: Path, issuer: str, claims: dict[str, str], is_enough: bool
) -> None:
    publisher = Publisher("acme/billing", issuer, ("billing",), claims)

    if is_enough:
        publishers.add(auth, publisher)
        assert publishers.read(auth) == ([publisher], [])
    else:
        with pytest.raises(PublishersError, match="its claims lack"):
            publishers.add(auth, publisher)


def test_python_3_10_says_that_it_is_too_old(auth: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(_: str) -> object:
        raise SettingError("Python 3.10 reads no TOML: use Python 3.11 or newer")

    monkeypatch.setattr(toml, "parse", parse)

    assert "trusted publishing takes Python 3.11 or newer" in complaint_of(auth, TEXT)
    put(auth, "# nobody\n")
    assert publishers.read(auth) == ([], [])


# Which jobs fit -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"repository": "Acme/Billing"},
        {"job_workflow_ref": "ACME/billing/.github/workflows/publish.yml@refs/tags/v1"},
        {"repository_id": 123},
        {"sub": "anything"},
    ],
)
def test_a_token_that_says_all_that_is_pinned_fits(changed: Mapping[str, object]) -> None:
    assert BILLING.mismatch({**TOKEN, **changed}) == ""


@pytest.mark.parametrize(
    ("claim", "value", "said"),
    [
        ("repository_id", "124", "repository_id is '124', not '123': another repository has"),
        ("repository_id", None, "repository_id is missing, not '123'."),
        ("repository_id", True, "repository_id is no text, not '123'"),
        ("repository_id", ["123"], "repository_id is no text, not '123'"),
        pytest.param(
            "repository_id", 10**5000, "repository_id is no text, not '123'", id="a huge number"
        ),
        ("repository_owner_id", "46", "repository_owner_id is '46', not '45'"),
        (
            "job_workflow_ref",
            "acme/billing/.github/workflows/Publish.yml@refs/heads/main",
            "job_workflow_ref is 'acme/billing/.github/workflows/Publish.yml@refs/heads/main'",
        ),
        (
            "job_workflow_ref",
            "acme/other/.github/workflows/publish.yml@refs/heads/main",
            "job_workflow_ref is 'acme/other/.github/workflows/publish.yml@refs/heads/main'",
        ),
        ("job_workflow_ref", "acme/billing/.github/workflows/publish.yml", "job_workflow_ref is"),
        ("repository", "acme/invoices", "The repository was renamed or moved: repository is"),
        ("repository", f"acme/{'x' * 500}\x1b", "xx...', not 'acme/billing'"),
        ("event_name", "pull_request_target", "such a job may run a stranger's code"),
    ],
)
def test_a_token_that_says_something_else_is_refused_with_the_claim(
    claim: str, value: object, said: str
) -> None:
    sentence = BILLING.mismatch({**TOKEN, claim: value})

    assert said in sentence
    assert sentence.endswith(".")
    assert len(sentence) < 500
    assert sentence.isprintable()


def test_only_a_text_or_a_number_fits_a_text() -> None:
    publisher = Publisher("a b", "https://ci.acme.com", ("billing",), {"sub": "x", "is": "True"})

    assert publisher.mismatch({"sub": "x", "is": "True"}) == ""
    assert publisher.mismatch({"sub": "x", "is": True}) == "is is no text, not 'True'."


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_pinned_claim_counts(claim: str) -> None:
    assert BILLING.mismatch({**TOKEN, claim: "x"})
    assert BILLING.mismatch({key: value for key, value in TOKEN.items() if key != claim})


def test_a_renamed_repository_is_told_what_to_do() -> None:
    renamed = {
        **TOKEN,
        "repository": "acme/invoices",
        "job_workflow_ref": "acme/invoices/.github/workflows/publish.yml@refs/heads/main",
    }

    assert BILLING.mismatch(renamed) == (
        "The repository was renamed or moved: repository is 'acme/invoices', not 'acme/billing',"
        " and its id is the same. If that is right, run make pypi-trust-remove and make pypi-trust"
        " with the new name, or correct pypi_auth/.publishers.toml."
    )


def test_who_takes_the_name_of_a_deleted_repository_is_refused() -> None:
    sentence = BILLING.mismatch({**TOKEN, "repository_id": "999", "repository_owner_id": "888"})

    assert sentence == (
        "repository_id is '999', not '123': another repository has this name now, or another owner."
    )


def test_an_environment_of_github_has_no_case_and_one_of_gitlab_has() -> None:
    github = Publisher("a b", GITHUB, ("billing",), {**CLAIMS, "environment": "Production"})
    pinned = {"project_id": "1", "namespace_id": "2", "environment": "Production"}
    gitlab = Publisher("a b", GITLAB, ("billing",), pinned)

    assert github.mismatch({**TOKEN, "environment": "production"}) == ""
    assert github.mismatch(TOKEN) == "environment is missing, not 'Production'."
    assert gitlab.mismatch(pinned) == ""
    assert gitlab.mismatch({**pinned, "environment": "production"})


def test_it_covers_its_projects_alone() -> None:
    rights = as_account(BILLING).rights

    assert [x for x in ("billing", "acme-lib", "acme", "other") if rights.covers(x)] == [
        "billing",
        "acme-lib",
    ]


# Writing ------------------------------------------------------------------------------------------


def test_a_publisher_is_written_as_the_documentation_shows_it(auth: Path) -> None:
    publishers.add(auth, BILLING)

    assert content(auth) == TEXT
    assert (auth / entries.FILE).stat().st_mode & 0o777 == 0o600


NAMES = (
    st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=40)
    .map(lambda text: f"{text.strip()}/")
    .filter(str.isprintable)
)
VALUES = st.text(
    st.characters(categories=["L", "N", "P", "S"], exclude_characters="*"), min_size=1, max_size=40
).filter(str.isprintable)
STARTS = st.builds("{}*".format, st.text("abc/:.@\"\\'", min_size=3, max_size=9))
OTHER_CLAIMS = st.dictionaries(
    st.from_regex("[a-z][A-Za-z0-9_.:/-]{0,20}", fullmatch=True).filter(
        lambda name: name not in (*publishers._NOT_PINNED, *publishers._NAMES_OF_IDS)
    ),
    VALUES | STARTS,
    max_size=5,
)
PUBLISHERS = st.builds(
    lambda name, issuer, claims: Publisher(
        name, issuer, ("billing", "acme-*"), {**claims, "sub": "abc:*"}
    ),
    NAMES,
    st.sampled_from(["https://ci.acme.com", "https://acme.com:8443/ci/", "http://127.0.0.1:80"]),
    OTHER_CLAIMS,
)
COMMENTS = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], include_characters="\t"), max_size=20
).map("# {}\n".format)
PARTS = st.lists(COMMENTS | st.just("\n") | st.just("# [[publisher]]\n") | PUBLISHERS, max_size=6)


def as_text(parts: list[str | Publisher], end: str) -> str:
    """Return a file with comments, empty lines and entries; each entry of a name of its own."""
    text = ""
    for number, part in enumerate(parts):
        if isinstance(part, Publisher):
            part = entries.appended(
                "",
                {
                    "name": f"{number} {part.name}",
                    "issuer": part.issuer,
                    "projects": list(part.projects),
                    "claims": part.claims,
                },
            )
        text += part
    return text.replace("\n", end)


@given(PARTS, PUBLISHERS, st.sampled_from(["\n", "\r\n"]))
def test_what_is_added_is_read_back_and_removed_without_a_trace(
    parts: list[str | Publisher], publisher: Publisher, end: str
) -> None:
    before = as_text(parts, end)
    with folder_with(before) as folder:
        others, _ = publishers.read(folder)
        assume(all(other.name != publisher.name for other in others))
        job = (publisher.issuer, publisher.claims)
        assume(all((other.issuer, other.claims) != job for other in others))

        publishers.add(folder, publisher)
        assert publishers.read(folder) == ([*others, publisher], [])
        assert content(folder).startswith(before)

        publishers.remove(folder, publisher.name)
        assert content(folder) == before


@given(PARTS, st.data())
def test_removing_one_leaves_every_comment_and_every_other_entry(
    parts: list[str | Publisher], data: st.DataObject
) -> None:
    before = as_text(parts, "\n")
    with folder_with(before) as folder:
        trusted, _ = publishers.read(folder)
        assume(trusted)
        gone = data.draw(st.sampled_from(trusted))

        publishers.remove(folder, gone.name)

        assert publishers.read(folder)[0] == [one for one in trusted if one != gone]
        comments = [line for line in before.split("\n") if line.startswith("#")]
        left = content(folder)
        assert [line for line in left.split("\n") if line.startswith("#")] == comments
        # What is left is what was there, without some of its lines.
        lines = iter(before.split("\n"))
        assert all(line in lines for line in left.split("\n"))


def test_what_a_person_wrote_stays(auth: Path) -> None:
    put(
        auth,
        f"# Ask Ann before you change this.\n\n# the billing team\n{TEXT}"
        "# end of billing\n\n[[publisher]] # by hand\n  name = 'x/y'\nissuer='https://ci.acme.com'\n"
        "projects = [\n  'x', # one\n  'y',\n]\nclaims = { sub = 'abc' }\n",
    )

    publishers.remove(auth, BILLING.name)

    assert content(auth) == (
        "# Ask Ann before you change this.\n\n# the billing team\n"
        "# end of billing\n\n[[publisher]] # by hand\n  name = 'x/y'\nissuer='https://ci.acme.com'\n"
        "projects = [\n  'x', # one\n  'y',\n]\nclaims = { sub = 'abc' }\n"
    )
    publishers.remove(auth, "x/y")
    assert content(auth) == (
        "# Ask Ann before you change this.\n\n# the billing team\n# end of billing\n"
    )


def test_a_text_that_looks_like_an_entry_is_none(auth: Path) -> None:
    by_hand = TEXT.replace('"acme/billing publish.yml"', '"x/y"').replace(
        'repository = "acme/billing"', f"run = '''\n{TEXT}'''"
    )
    put(auth, by_hand + TEXT)
    assert [entry["name"] for entry in entries.entries_of(content(auth))] == ["x/y", BILLING.name]

    publishers.remove(auth, BILLING.name)

    assert content(auth) == by_hand


def test_all_entries_of_a_name_are_removed(auth: Path) -> None:
    put(auth, f"{TEXT}\n{TEXT.replace('123', '124')}")

    publishers.remove(auth, BILLING.name)

    assert publishers.read(auth) == ([], [])


def test_an_entry_that_is_not_trusted_can_be_removed(auth: Path) -> None:
    put(auth, "[[publisher]]\nname = 'ci'\n")

    publishers.remove(auth, "ci")

    assert content(auth) == ""


@pytest.mark.parametrize("text", [None, "", TEXT])
def test_removing_nobody_changes_nothing(auth: Path, text: str | None) -> None:
    if text is not None:
        put(auth, text)

    with pytest.raises(PublishersError, match=r"no publisher 'x/y': make pypi-trust-list"):
        publishers.remove(auth, "x/y")

    assert (content(auth) if (auth / entries.FILE).exists() else None) == text


def test_a_name_that_is_taken_is_refused_and_nothing_is_written(auth: Path) -> None:
    put(auth, TEXT)

    other = dataclasses.replace(BILLING, claims={**CLAIMS, "ref": "refs/heads/main"})
    with pytest.raises(
        PublishersError, match=r"has a publisher 'acme/billing publish\.yml' already"
    ):
        publishers.add(auth, other)

    assert content(auth) == TEXT


def test_a_job_that_is_trusted_is_refused_under_any_name_and_nothing_is_written(auth: Path) -> None:
    put(auth, TEXT)

    for name in (BILLING.name, "acme/other"):
        with pytest.raises(PublishersError, match=r"this job already, as 'acme/billing publish"):
            publishers.add(auth, dataclasses.replace(BILLING, name=name, projects=("other",)))

    assert content(auth) == TEXT


@pytest.mark.parametrize(
    "text",
    ["[[publisher]\n", "publisher = []\n", "publisher = [{ name = 'x/y' }]\n", "a = 1\n"],
)
def test_a_file_that_cannot_be_added_to_stays_as_it_is(auth: Path, text: str) -> None:
    put(auth, text)

    with pytest.raises(PublishersError, match=r"pypi_auth/\.publishers\.toml"):
        publishers.add(auth, BILLING)

    assert content(auth) == text


def test_an_entry_written_in_one_line_is_left_to_a_person(auth: Path) -> None:
    text = "publisher = [{ name = 'x/y' }]\n"
    put(auth, text)

    with pytest.raises(PublishersError, match="only you can edit"):
        publishers.remove(auth, "x/y")

    assert content(auth) == text


def test_two_commands_at_once_both_count(auth: Path) -> None:
    names = [f"acme/billing {number}" for number in range(8)]
    adding = [
        threading.Thread(
            target=publishers.add,
            args=(auth, Publisher(name, GITHUB, ("billing",), {**CLAIMS, "ref": name})),
        )
        for name in names
    ]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()

    assert sorted(one.name for one in publishers.read(auth)[0]) == names


def test_the_fingerprint_differs_after_each_edit(auth: Path) -> None:
    seen = [publishers.fingerprint(auth)]
    publishers.add(auth, BILLING)
    seen.append(publishers.fingerprint(auth))
    publishers.remove(auth, BILLING.name)
    seen.append(publishers.fingerprint(auth))

    assert len({*seen}) == 3


def test_another_reader_of_toml_agrees(auth: Path) -> None:
    publishers.add(auth, BILLING)

    (told,) = tomli.loads(content(auth))["publisher"]
    assert told == {
        "name": BILLING.name,
        "issuer": GITHUB,
        "projects": ["billing", "acme-*"],
        "claims": CLAIMS,
    }
