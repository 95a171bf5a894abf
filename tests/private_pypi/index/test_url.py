"""Where the index is served stands in the pages of what has attestations, and in no others."""

from __future__ import annotations

from pathlib import Path

from kit import attestation
from kit.an_index import WHEEL, copy, page
from private_pypi.index import Index
from private_pypi.verify import differences

OLD, NEW = "https://old.example.com/", "https://new.example.com/py/"


def copy_attested(data: Path) -> None:
    """Put a wheel of my-lib with attestations into a folder by hand."""
    wheel = copy(data)
    attested = attestation.provenance(attestation.of(wheel.name, wheel.read_bytes()))
    wheel.with_name(f"{wheel.name}.provenance").write_bytes(attested)


def times(folder: Path, project: str) -> list[int]:
    """Return when the pages of a project were written."""
    return [path.stat().st_mtime_ns for path in sorted((folder / "simple" / project).iterdir())]


def test_a_page_follows_the_url_of_the_index_and_others_stay(data: Path, folder: Path) -> None:
    copy_attested(data)
    copy(data, "other")
    Index(data, folder, OLD).refresh()
    assert page(folder)[0]["provenance"] == f"{OLD}packages/{WHEEL}.provenance"
    before = times(folder, "my-lib"), times(folder, "other")

    Index(data, folder, OLD).refresh()
    assert (times(folder, "my-lib"), times(folder, "other")) == before

    Index(data, folder, NEW).refresh()
    assert page(folder)[0]["provenance"] == f"{NEW}packages/{WHEEL}.provenance"
    assert times(folder, "other") == before[1]
    assert list(differences(data, folder)) == []


def test_a_command_keeps_the_url_that_the_server_said(data: Path, folder: Path) -> None:
    copy_attested(data)
    Index(data, folder, OLD).refresh()

    command = Index(data, folder)
    command.yank("my-lib", "1.0", "broken", by="alice")
    command.refresh(reread=True)

    (file,) = page(folder)
    assert file["yanked"] == "broken"
    assert file["provenance"] == f"{OLD}packages/{WHEEL}.provenance"
    assert list(differences(data, folder)) == []


def test_an_index_that_was_never_served_names_no_url(data: Path, folder: Path) -> None:
    copy_attested(data)

    Index(data, folder).refresh()

    assert "provenance" not in page(folder)[0]
    assert list(differences(data, folder)) == []
