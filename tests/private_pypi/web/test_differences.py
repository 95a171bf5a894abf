"""Each difference of the pages for people is found, and nothing else is taken for one."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.damage import compress_another, flip
from kit.for_people import ForPeople
from private_pypi.web import differences as module
from private_pypi.web.description import Renderer
from private_pypi.web.differences import differences
from private_pypi.web.writer import write_all

OF_PROJECT = "pypi_web/project/my-lib: the page differs from the catalogue: run make pypi-index"
OF_ALL = "pypi_web: the start page or a list differs from the catalogue: run make pypi-index"
STATIC = "pypi_web/static: what the pages load is not what it should be: run make pypi-index"


@pytest.fixture
def made(people: ForPeople) -> ForPeople:
    """An index of two projects and one that was removed, whose pages are current."""
    people.publish(
        fields="Summary: short\nDescription-Content-Type: text/markdown\n",
        description="words " * 2000,
    )
    people.publish("other", fields="Requires-Dist: my-lib\n")
    people.publish("removed")
    people.index.remove("removed", "1.0", by="alice")
    people.update()
    return people


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no page that is late."""
    monkeypatch.setattr(module, "_PATIENCE", 0)


def fill(path: Path) -> None:
    """Make a folder with a file in it."""
    path.mkdir()
    (path / "index.html").touch()


def test_of_pages_that_are_current_there_is_none(made: ForPeople, impatient: None) -> None:
    assert list(differences(made.settings)) == []


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("project/my-lib/index.html", flip, OF_PROJECT),
        ("project/my-lib/index.html", Path.unlink, OF_PROJECT),
        ("project/my-lib/index.html.gz", Path.unlink, OF_PROJECT),
        ("project/my-lib/index.html.gz", compress_another, OF_PROJECT),
        ("project/my-lib/feed.atom", flip, OF_PROJECT),
        ("project/my-lib/feed.atom", Path.unlink, OF_PROJECT),
        ("project/my-lib/feed.atom.gz", compress_another, OF_PROJECT),
        ("project/my-lib", shutil.rmtree, OF_PROJECT),
        ("project/removed/index.html", flip, OF_PROJECT.replace("my-lib", "removed")),
        ("index.html", flip, OF_ALL),
        ("index.html.gz", compress_another, OF_ALL),
        ("projects.html", Path.unlink, OF_ALL),
        ("search.json", flip, OF_ALL),
        ("search.json.gz", compress_another, OF_ALL),
        ("feed.atom", flip, OF_ALL),
        ("static/style.css", flip, STATIC),
        ("static/script.js", Path.unlink, STATIC),
        ("static/icon.svg.gz", compress_another, STATIC),
        ("stray", Path.touch, "pypi_web/stray is no part of the index"),
        ("stray", fill, "pypi_web/stray is no part of the index"),
        ("static/x.js", Path.touch, "pypi_web/static/x.js is no part of the index"),
        ("project/x", fill, "pypi_web/project/x is no part of the index"),
        ("project/x", Path.touch, "pypi_web/project/x is no part of the index"),
        ("project/my-lib/x", Path.touch, "pypi_web/project/my-lib/x is no part of the index"),
    ],
)
def test_each_is_named_in_one_line_and_is_gone_once_all_are_made_anew(
    made: ForPeople, impatient: None, name: str, damage: Callable[[Path], None], said: str
) -> None:
    damage(made.folder / name)

    assert list(differences(made.settings)) == [said]

    write_all(made.settings, lambda *_: None)
    assert list(differences(made.settings)) == []


def test_a_page_of_a_description_that_was_damaged_is_one_and_is_gone_afterwards(
    made: ForPeople, impatient: None
) -> None:
    (kept,) = (made.folder / ".descriptions").iterdir()
    kept.write_bytes(b"<script>alert(1)</script>")
    assert list(differences(made.settings)) == []

    made.restart()
    made.update()

    assert "alert" not in made.page()
    assert list(differences(made.settings)) == []


def test_metadata_that_were_changed_show(made: ForPeople, impatient: None) -> None:
    flip(made.settings.index / "packages/my_lib-1.0-py3-none-any.whl.metadata")

    assert OF_PROJECT in differences(made.settings)


def test_where_pages_were_never_made_there_is_none(people: ForPeople, impatient: None) -> None:
    people.publish()

    assert list(differences(people.settings)) == []


def test_a_description_that_took_too_long_once_is_none(
    made: ForPeople, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(made.folder / ".descriptions")
    made.restart()
    with monkeypatch.context() as slow:
        slow.setattr(Renderer, "html", lambda *_: "")
        made.update()
    assert '<pre class="description plain"' in made.page()

    assert list(differences(made.settings)) == []


def test_pages_for_another_name_and_url_than_of_this_command_are_none(
    made: ForPeople, impatient: None
) -> None:
    made.settings = type(made.settings)(
        **{**vars(made.settings), "name": "Another", "url": "http://127.0.0.1:8080/"}
    )

    assert list(differences(made.settings)) == []


def test_a_page_that_is_a_moment_late_is_none(
    made: ForPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.publish("late")
    made.publish("my-lib", "2.0")
    looked = threading.Event()
    monkeypatch.setattr(module, "_PATIENCE", 60)
    has_project = module._has_project

    def note(name: str, *more: object) -> bool:
        is_right = has_project(name, *more)  # type: ignore[arg-type]
        if name == "late" and not is_right:
            looked.set()
        return is_right

    monkeypatch.setattr(module, "_has_project", note)

    def write_later() -> None:
        looked.wait(60)
        made.update()

    thread = threading.Thread(target=write_later)
    thread.start()

    found = list(differences(made.settings))

    thread.join(60)
    assert looked.is_set()
    assert found == []


def test_patience_is_for_waiting_not_for_the_time_that_looking_takes(
    made: ForPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a large index, looking takes minutes: a page that is late at their end is waited for, too.
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            self.now += 1000
            return self.now

        def sleep(self, _: float) -> None:
            made.update()

    monkeypatch.setattr(module, "time", Clock())
    made.publish("late")

    assert list(differences(made.settings)) == []
