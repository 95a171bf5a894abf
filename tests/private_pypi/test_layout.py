"""Where everything lies: the same seen from every container, and by the file name alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from private_pypi import layout


@pytest.mark.parametrize(
    ("location", "file", "project"),
    [
        ("My_Lib-1.0.tar.gz", "My_Lib-1.0.tar.gz", "my-lib"),
        ("team a/2026/my.lib-1.0-py3-none-any.whl", "my.lib-1.0-py3-none-any.whl", "my-lib"),
        ("sub/notes.txt", "notes.txt", ""),
        ("", "", ""),
    ],
)
def test_a_location_tells_file_and_project(location: str, file: str, project: str) -> None:
    assert layout.file_of(location) == file
    assert layout.project_of(location) == project


def test_a_link_leads_to_its_distribution_wherever_the_two_folders_are(tmp_path: Path) -> None:
    for parent in (tmp_path / "here", tmp_path / "there" / "deep"):
        data, folder = parent / "pypi_data", parent / "pypi_index"
        place, target = layout.link(folder, "a/b-1.0.whl"), data / "a" / "b-1.0.whl"
        assert layout.link_target(place, target) == "../../../pypi_data/a/b-1.0.whl"


def test_a_file_or_another_link_is_no_link_to_a_distribution(tmp_path: Path) -> None:
    place, target = tmp_path / "index" / "place", tmp_path / "data" / "target"
    place.parent.mkdir()

    assert not layout.is_link_to(place, target)
    place.touch()
    assert not layout.is_link_to(place, target)
    place.unlink()
    place.symlink_to("another")
    assert not layout.is_link_to(place, target)
    place.unlink()
    place.symlink_to(layout.link_target(place, target))
    assert layout.is_link_to(place, target)


def test_the_pages_of_no_project_are_the_list_of_all(tmp_path: Path) -> None:
    assert layout.pages_of(tmp_path, "") == tmp_path / "simple"
    assert layout.pages_of(tmp_path, "my-lib") == tmp_path / "simple" / "my-lib"
