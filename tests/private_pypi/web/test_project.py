"""What the page of a project shows: releases, the latest one, dependencies and history."""

from __future__ import annotations

import os
import re
from contextlib import closing
from pathlib import Path

import pytest
from kit import wheel
from kit.for_people import ForPeople
from private_pypi.catalogue import Catalogue
from private_pypi.web import project
from private_pypi.web.project import Project


def read(people: ForPeople, name: str = "my-lib", *held: str) -> Project:
    """Return what is known of a project."""
    settings = people.settings
    with closing(Catalogue(settings.index, read_only=True)) as known:
        return project.read(name, settings.data, settings.index, known, {*held})


def put(people: ForPeople, path: Path) -> Path:
    """Let a file that was put into the data folder by hand be indexed; return its path."""
    os.utime(path, (1_700_000_000, 1_700_000_000))
    people.index.refresh()
    return path


# The latest version -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("versions", "yanked", "latest"),
    [
        (["1.0"], [], "1.0"),
        (["1.9", "1.10"], [], "1.10"),
        (["1.0", "2.0rc1"], [], "1.0"),
        (["1.0", "2.0.dev1"], [], "1.0"),
        (["1.0a1", "1.0b1"], [], "1.0b1"),
        (["1.0", "1.0.post1"], [], "1.0.post1"),
        (["2025.1", "1!1.0"], [], "1!1.0"),
        (["1.0", "1.0+local.1"], [], "1.0+local.1"),
        (["1.0", "2.0"], ["2.0"], "1.0"),
        (["1.0", "2.0rc1"], ["1.0"], "2.0rc1"),
        (["1.0", "2.0"], ["1.0", "2.0"], "2.0"),
        (["1.0", "2.0rc1"], ["1.0", "2.0rc1"], "1.0"),
    ],
)
def test_the_latest_version_is_the_one_that_installers_choose(
    people: ForPeople, versions: list[str], yanked: list[str], latest: str
) -> None:
    for version in versions:
        people.publish(version=version)
    for version in yanked:
        people.index.yank("my-lib", version, "", by="alice")

    assert read(people).version == latest


@pytest.mark.parametrize(
    ("version", "pin"),
    [
        ("0.1", "my-lib==0.*"),
        ("1.2.3", "my-lib==1.*"),
        ("2025.11", "my-lib==2025.*"),
        ("1!2.3", "my-lib==1!2.*"),
        ("1.0rc1", "my-lib==1.*"),
        ("1.0+local", "my-lib==1.*"),
    ],
)
def test_the_pin_takes_what_is_compatible_with_the_latest_version(
    people: ForPeople, version: str, pin: str
) -> None:
    people.publish(version=version)

    assert read(people).pin == pin


# Releases -----------------------------------------------------------------------------------------


def test_releases_are_in_the_order_of_their_versions_the_newest_first(people: ForPeople) -> None:
    for version in ("1.10", "1.9", "2.0rc1", "1!0.1", "1.9.post1"):
        people.publish(version=version)

    versions = [release.version for release in read(people).releases]

    assert versions == ["1!0.1", "2.0rc1", "1.10", "1.9.post1", "1.9"]


def test_files_of_one_version_are_one_release_however_it_is_spelled(people: ForPeople) -> None:
    people.publish(version="1.0")
    put(people, wheel.build_sdist(people.settings.data, "my-lib", "1.0.0", origin="us"))

    (release,) = read(people).releases

    assert [(file.name, file.kind) for file in release.files] == [
        ("my_lib-1.0-py3-none-any.whl", "wheel"),
        ("my_lib-1.0.0.tar.gz", "sdist"),
    ]


def test_a_file_has_all_that_a_person_wants_to_check(people: ForPeople) -> None:
    name = people.publish(fields="Requires-Python: >=3.9\n")
    people.sign(name)
    content = (people.settings.data / name).read_bytes()

    found = read(people)

    ((file,),) = (release.files for release in found.releases)
    assert found.requires_python == ">=3.9"
    assert file.url == f"../../packages/{name}"
    assert file.metadata_url == f"../../packages/{name}.metadata"
    assert file.signature_url == f"../../packages/{name}.asc"
    assert file.size == f"{len(content)} bytes"
    assert len(file.sha256) == 64
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", file.uploaded)
    assert file.by == "alice"


def test_a_file_in_a_folder_of_any_name_is_linked(people: ForPeople) -> None:
    folder = people.settings.data / "a b#?%é"
    folder.mkdir()
    put(people, wheel.build(folder, "my-lib", "1.0", origin="us"))

    ((file,),) = (release.files for release in read(people).releases)

    assert file.url == "../../packages/a%20b%23%3F%25%C3%A9/my_lib-1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (5 * 10**9, "5.0 GB"),
        (5 * 10**12, "5000.0 GB"),
    ],
)
def test_a_size_is_short(size: int, shown: str) -> None:
    assert project._size(size) == shown


def test_a_release_is_of_the_account_that_published_its_first_file(people: ForPeople) -> None:
    people.publish(version="1.0", by="bob")
    assert [release.first.by for release in read(people).releases] == ["bob"]

    # It is older, whatever its name.
    put(people, wheel.build_sdist(people.settings.data, "my-lib", "1.0", origin="us"))

    assert [release.first.by for release in read(people).releases] == [""]


def test_a_file_that_was_put_there_by_hand_is_of_nobody(people: ForPeople) -> None:
    put(people, wheel.build(people.settings.data, "my-lib", "1.0", origin="us"))

    (release,) = read(people).releases

    assert release.first.by == ""
    assert release.files[0].by == ""


def test_a_release_is_yanked_once_all_of_its_files_are(people: ForPeople) -> None:
    people.publish(version="1.0")
    people.index.yank("my-lib", "1.0", "broken\nand\u202e more", by="alice")
    assert [release.yanked for release in read(people).releases] == ["broken and more"]

    put(people, wheel.build_sdist(people.settings.data, "my-lib", "1.0", origin="us"))

    assert [release.yanked for release in read(people).releases] == [None]


# Details ------------------------------------------------------------------------------------------


def test_the_details_are_those_of_the_latest_version(people: ForPeople) -> None:
    people.publish(version="1.0", fields="Summary: first\n")
    people.publish(version="2.0", fields="Summary: second\n")
    people.publish(version="3.0rc1", fields="Summary: third\n")

    assert read(people).details.summary == "second"


@pytest.mark.parametrize("metadata_version", ["2.1", "2.2"])
@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_a_sdist_tells_its_details_even_if_installers_must_not_believe_them(
    people: ForPeople, metadata_version: str, suffix: str
) -> None:
    put(
        people,
        wheel.build_sdist(
            people.settings.data,
            *("my-lib", "1.0", "other>=1"),
            origin="us",
            metadata_version=metadata_version,
            suffix=suffix,
        ),
    )

    (dependency,) = read(people, "my-lib", "other").dependencies

    assert (dependency.name, dependency.rest, dependency.is_held) == ("other", ">=1", True)


def test_of_a_wheel_and_a_sdist_the_wheel_tells_the_details(people: ForPeople) -> None:
    put(people, wheel.build_sdist(people.settings.data, "my-lib", "1.0", "built", origin="us"))
    people.publish(fields="Requires-Dist: installed\n")

    assert [one.name for one in read(people).dependencies] == ["installed"]


def test_if_its_metadata_are_lost_a_page_shows_all_else(people: ForPeople) -> None:
    name = people.publish(fields="Summary: lost\n")
    (people.settings.index / f"packages/{name}.metadata").unlink()

    found = read(people)

    assert found.details.summary == ""
    assert (found.title, found.version) == ("my-lib", "1.0")


def test_if_a_sdist_was_damaged_a_page_shows_all_else(people: ForPeople) -> None:
    path = put(
        people,
        wheel.build_sdist(
            people.settings.data, "my-lib", "1.0", origin="us", metadata_version="2.1"
        ),
    )
    path.write_bytes(b"damaged")

    assert read(people).version == "1.0"


def test_the_title_is_the_name_as_its_author_spells_it(people: ForPeople) -> None:
    put(people, wheel.build(people.settings.data, "My.Lib", "1.0", origin="us"))

    found = read(people)

    assert (found.name, found.title) == ("my-lib", "My.Lib")


def test_dependencies_are_told_apart_by_their_extra_and_marked_if_the_index_has_them(
    people: ForPeople,
) -> None:
    people.publish(
        fields="Requires-Dist: Here\nRequires-Dist: there\n"
        "Requires-Dist: b ; extra == 'y'\nRequires-Dist: a ; extra == 'x'\n"
        "Requires-Dist: c ; extra == 'y'\n"
    )

    found = read(people, "my-lib", "here", "c")

    assert [(one.name, one.is_held) for one in found.dependencies] == [
        ("Here", True),
        ("there", False),
    ]
    extras = [(extra, [(one.name, one.is_held) for one in them]) for extra, them in found.extras]
    assert extras == [("x", [("a", False)]), ("y", [("b", False), ("c", True)])]


# History ------------------------------------------------------------------------------------------


def test_the_history_says_who_did_what_and_why_the_newest_first(people: ForPeople) -> None:
    name = people.publish(by="alice")
    people.sign(name)
    people.index.yank("my-lib", "1.0", "broken", by="bob")
    people.index.unyank("my-lib", "1.0", by="bob")
    people.publish("other")

    events = [(one.what, one.file, one.by, one.reason) for one in read(people).history]

    assert events == [
        ("unyanked", name, "bob", ""),
        ("yanked", name, "bob", "broken"),
        ("signed", name, "alice", ""),
        ("published", name, "alice", ""),
    ]


@pytest.mark.parametrize(("records", "is_cut"), [(10, False), (11, True), (25, True)])
def test_of_a_long_history_the_newest_part_is_shown(
    people: ForPeople, records: int, is_cut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "HISTORY", 10)
    people.publish()
    for number in range(1, records):
        if number % 2:
            people.index.yank("my-lib", "1.0", "", by="alice")
        else:
            people.index.unyank("my-lib", "1.0", by="alice")

    found = read(people)

    assert len(found.history) == 10
    assert found.is_history_cut == is_cut
    assert (found.history[-1].what == "published") == (not is_cut)


def test_of_a_project_that_was_removed_the_history_stays(people: ForPeople) -> None:
    people.publish(fields="Summary: gone\n")
    people.index.remove("my-lib", "1.0", by="alice")

    found = read(people)

    assert found.is_removed
    assert (found.title, found.version, found.details.summary) == ("my-lib", "", "")
    assert [one.what for one in found.history] == ["removed", "published"]


# Statuses (PEP 792) -------------------------------------------------------------------------------

MEANS = {
    "archived": "It takes no new release.",
    "deprecated": "It is advised against",
    "quarantined": "The index offers none of its files",
}


@pytest.mark.parametrize("status", MEANS)
def test_the_page_says_the_status_why_and_what_it_means(people: ForPeople, status: str) -> None:
    people.publish()
    people.index.mark("my-lib", status, "stolen <token>", by="alice")
    people.update()

    page = people.page()

    assert f"This project is {status}: stolen &lt;token&gt;" in page
    assert MEANS[status] in page
    event = read(people).history[0]
    assert (event.what, event.file, event.reason) == (
        f"marked {status}",
        "my-lib",
        "stolen <token>",
    )

    people.index.mark("my-lib", "active", by="alice")
    people.update()
    assert "This project is " not in people.page()


def test_of_a_quarantined_project_no_file_is_linked_and_nothing_says_how_to_install_it(
    people: ForPeople,
) -> None:
    name = people.publish(fields="Summary: a library\n")
    people.sign(name)
    people.update()
    assert f'href="../../packages/{name}"' in people.page()
    assert 'id="install"' in people.page()

    people.index.mark("my-lib", "quarantined", by="alice")
    people.update()

    page = people.page()
    assert name in page
    assert "a library" in page
    assert "packages/" not in page
    assert 'id="install"' not in page


def test_a_project_that_is_removed_keeps_its_status(people: ForPeople) -> None:
    people.publish()
    people.index.mark("my-lib", "archived", "moved", by="alice")
    people.index.remove("my-lib", "1.0", by="alice")
    people.update()

    assert "Nothing of this project is served any more." in people.page()
    assert "This project is archived: moved" in people.page()


# Trusted publishers and attestations --------------------------------------------------------------

JOB = {
    "issuer": "https://issuer.example",
    "workflow": "acme/billing/.github/workflows/publish.yml@refs/tags/v1",
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "run": "4711",
    "url": "https://ci.example/acme/billing/runs/4711",
}


def test_a_file_of_a_trusted_publisher_names_workflow_commit_and_run(people: ForPeople) -> None:
    people.publish(by="acme/billing publish.yml", job=JOB)
    people.update()

    found, page = read(people), people.page()

    job = project.Job(JOB["workflow"], JOB["commit"], JOB["run"], JOB["url"])
    assert found.releases[0].first.job == found.history[0].job == job
    link = f'<a href="{JOB["url"]}" rel="nofollow noopener noreferrer">4711</a>'
    # With the facts, the file and the history.
    assert page.count(f"acme/billing publish.yml, run {link} of commit") == 3
    assert page.count(f'<code title="{JOB["workflow"]}">0123456789ab</code>') == 3


@pytest.mark.parametrize("url", ["javascript:alert(1)", "", "//elsewhere.example/x"])
def test_a_run_whose_address_is_none_of_the_web_is_not_linked(people: ForPeople, url: str) -> None:
    people.publish(job=JOB | {"url": url, "run": "<b>4711"})
    people.update()

    page = people.page()

    assert "run &lt;b&gt;4711 of commit" in page
    assert "elsewhere" not in page
    assert "javascript:" not in page


def test_attestations_are_linked_and_not_called_verified(people: ForPeople) -> None:
    name = people.publish()
    people.update()
    assert "attestations" not in people.page()

    people.publish(version="2.0", is_attested=True)
    people.update()

    newer = name.replace("1.0", "2.0")
    link = f'<a href="../../packages/{newer}.provenance">attestations</a>, not verified here'
    assert people.page().count(link) == 1
