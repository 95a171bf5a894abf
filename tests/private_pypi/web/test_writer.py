"""Keeping the pages for people current: what is written when, and what keeps it from it."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kit import wheel
from kit.for_people import PACKAGE, ForPeople
from kit.waiting import wait_until
from private_pypi import disk
from private_pypi.catalogue import Catalogue
from private_pypi.web import writer
from private_pypi.web.contents import Contents
from private_pypi.web.description import Renderer
from private_pypi.web.details import Details
from private_pypi.web.project import Project
from private_pypi.web.writer import Writer, write_all

ATOM = "{http://www.w3.org/2005/Atom}"


def search(people: ForPeople) -> list[list[str]]:
    """Return the rows in which the search looks."""
    rows: list[list[str]] = json.loads((people.folder / "search.json").read_bytes())
    return rows


def entries(people: ForPeople, project: str = "") -> list[str]:
    """Return the titles in a feed: of a project, or that of all."""
    folder = people.folder / "project" / project if project else people.folder
    feed = ET.fromstring((folder / "feed.atom").read_bytes())
    return [entry.findtext(f"{ATOM}title", "") for entry in feed.iter(f"{ATOM}entry")]


# What shows ---------------------------------------------------------------------------------------


def test_of_an_index_of_nothing_there_are_pages_too(people: ForPeople) -> None:
    people.update()

    assert "nothing is published yet" in people.home()
    assert search(people) == []
    assert entries(people) == []
    assert {path.name for path in people.folder.iterdir()} >= {
        "index.html",
        "projects.html",
        "search.json",
        "feed.atom",
        "static",
    }


def test_each_project_has_a_page_and_is_found(people: ForPeople) -> None:
    people.publish("my-lib", "1.0", "Summary: First one\nKeywords: a, b\n", by="alice")
    people.publish("other", "2.0", by="bob")

    people.update()

    assert "First one" in people.page("my-lib")
    assert "by alice" in people.page("my-lib")
    assert "by bob" in people.page("other")
    assert search(people) == [["my-lib", "1.0", "First one", "a b"], ["other", "2.0", "", ""]]
    assert entries(people) == ["other 2.0", "my-lib 1.0"]
    assert entries(people, "my-lib") == ["my-lib 1.0"]
    assert "2 Python projects, 2 releases" in people.home()


def test_an_upload_shows_on_the_page_and_in_all_lists(people: ForPeople) -> None:
    people.publish()
    people.update()

    people.publish(version="2.0", fields="Summary: new\n")
    people.update()

    assert "my_lib-2.0-py3-none-any.whl" in people.page()
    assert search(people) == [["my-lib", "2.0", "new", ""]]
    assert entries(people) == ["my-lib 2.0", "my-lib 1.0"]
    assert "1 Python project, 2 releases" in people.home()


def test_a_yank_shows_and_its_end(people: ForPeople) -> None:
    people.publish()
    people.update()

    people.index.yank("my-lib", "1.0", "it <b>burns</b>", by="alice")
    people.update()
    assert "it &lt;b&gt;burns&lt;/b&gt;" in people.page()
    assert "Version 1.0 is yanked" in people.page()

    people.index.unyank("my-lib", "1.0", by="alice")
    people.update()
    assert "Version 1.0 is yanked" not in people.page()
    assert "unyanked" in people.page()


def test_a_signature_shows(people: ForPeople) -> None:
    name = people.publish()
    people.update()
    assert f"{name}.asc" not in people.page()

    people.sign(name)
    people.update()

    assert f'href="../../packages/{name}.asc"' in people.page()


def test_a_project_that_was_removed_says_so_and_is_in_no_list(people: ForPeople) -> None:
    people.publish(fields="Summary: gone\n")
    people.publish("other")
    people.update()

    people.index.remove("my-lib", "1.0", by="bob")
    people.update()

    assert "Nothing of this project is served any more" in people.page()
    assert "removed" in people.page()
    assert "gone" not in people.page()
    assert [name for name, *_ in search(people)] == ["other"]
    assert "my-lib" not in (people.folder / "projects.html").read_text()
    assert entries(people) == ["other 1.0"]


def test_a_project_that_comes_or_goes_is_a_link_on_the_pages_that_require_it(
    people: ForPeople,
) -> None:
    link = '<a href="../../project/needed/">Needed</a>'
    people.publish("my-lib", fields="Requires-Dist: Needed>1\n")
    people.publish("unrelated")
    people.update()
    assert link not in people.page()
    before = people.marks()["project/unrelated/index.html"]

    people.publish("needed")
    people.update()
    assert link in people.page()

    people.index.remove("needed", "1.0", by="alice")
    people.update()
    assert link not in people.page()
    assert people.marks()["project/unrelated/index.html"] == before


def test_a_file_that_was_deleted_by_hand_shows_no_more(people: ForPeople) -> None:
    name = people.publish()
    people.publish(version="2.0")
    people.update()

    (people.settings.data / name).unlink()
    people.index.refresh()
    people.update()

    assert f'href="../../packages/{name}"' not in people.page()


def test_a_feed_was_updated_when_the_last_of_its_entries_was(people: ForPeople) -> None:
    # A repair of an older version is published after the newer one.
    for day, version in ((1, "2.0"), (2, "1.1")):
        path = wheel.build(people.settings.data, "my-lib", version, origin="us")
        os.utime(path, (day * 86400, day * 86400))
        people.index.refresh()
    people.update()

    for folder in (people.folder, people.folder / "project/my-lib"):
        feed = ET.fromstring((folder / "feed.atom").read_bytes())
        times = [entry.findtext(f"{ATOM}updated", "") for entry in feed.iter(f"{ATOM}entry")]
        assert sorted(times) == ["1970-01-02T00:00:00Z", "1970-01-03T00:00:00Z"]
        assert feed.findtext(f"{ATOM}updated") == "1970-01-03T00:00:00Z"


def test_a_description_is_shown_as_html_or_as_text(people: ForPeople) -> None:
    markdown = "Description-Content-Type: text/markdown\n"
    people.publish("my-lib", fields=markdown, description="*words* <script>alert(1)</script>")
    people.publish("plain", description="`broken *words* <script>")

    people.update()

    assert "<em>words</em>" in people.page("my-lib")
    assert "`broken *words* &lt;script&gt;" in people.page("plain")
    for name in ("my-lib", "plain"):
        assert people.page(name).count("<script") == 1, "the own one"


# What is written ----------------------------------------------------------------------------------


def test_a_large_page_has_a_compressed_one_beside_it_for_as_long_as_it_is_large(
    people: ForPeople,
) -> None:
    people.publish(description="words " * 2000)
    people.publish("other")
    people.update()
    page = people.folder / "project/my-lib/index.html"
    packed = page.with_name("index.html.gz")
    assert gzip.decompress(packed.read_bytes()) == page.read_bytes()
    assert not (people.folder / "project/other/feed.atom.gz").exists()

    people.index.remove("my-lib", "1.0", by="alice")
    people.update()

    assert page.exists()
    assert not packed.exists()


def test_when_nothing_changed_nothing_is_written(people: ForPeople) -> None:
    people.publish(fields="Description-Content-Type: text/markdown\n", description="*a*")
    people.update()
    before = people.marks()

    people.update()
    people.restart()
    people.update()

    assert people.marks() == before


def test_a_file_that_says_the_same_stays_the_same_file(people: ForPeople) -> None:
    people.publish("my-lib")
    people.publish("other")
    people.update()
    before = people.marks()

    people.publish("other", "2.0")
    people.update()

    after = people.marks()
    changed = {name for name, mark in after.items() if before.get(name) != mark}
    assert {name for name in changed if not name.endswith(".gz")} == {
        "index.html",
        "projects.html",
        "search.json",
        "feed.atom",
        "project/other/index.html",
        "project/other/feed.atom",
    }
    assert before.keys() == after.keys()


def test_when_nothing_changed_the_catalogue_is_not_even_opened(
    people: ForPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.publish()
    people.update()

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("it was opened")

    monkeypatch.setattr(writer, "Catalogue", fail)
    people.update()


def test_a_description_is_rendered_once_and_no_more_after_a_restart(
    people: ForPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    html = Renderer.html

    def note(self: Renderer, details: Details) -> str:
        asked.append(details.description)
        return html(self, details)

    monkeypatch.setattr(Renderer, "html", note)
    people.publish(fields="Description-Content-Type: text/markdown\n", description="*a*")
    people.update()
    people.index.yank("my-lib", "1.0", "", by="alice")
    people.update()
    people.restart()
    people.update()

    assert "<em>a</em>" in people.page()
    assert asked == ["*a*"]


# What is on the disk already ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "index.html",
        "projects.html",
        "search.json",
        "feed.atom",
        "static/style.css",
        "static/script.js",
        ".site.json",
        "project/my-lib/index.html",
        "project/my-lib/feed.atom",
    ],
)
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"\xff torn")])
def test_a_damaged_page_is_written_again_at_the_next_start(
    people: ForPeople, name: str, damage: Callable[[Path], object]
) -> None:
    people.publish(fields="Summary: short\n")
    people.update()
    whole = (people.folder / name).read_bytes()
    damage(people.folder / name)

    people.restart()
    people.update()

    assert (people.folder / name).read_bytes() == whole


def test_strays_are_deleted_at_the_next_start(people: ForPeople) -> None:
    people.publish(fields="Description-Content-Type: text/markdown\n", description="*a*")
    people.update()
    before = people.marks()
    for name in ("stray", "static/stray.js", "project/stray/index.html", "project/my-lib/x.gz"):
        (people.folder / name).parent.mkdir(exist_ok=True)
        (people.folder / name).write_text("stray")
    (people.folder / ".descriptions/stray").write_text("stray")
    (people.folder / "project/link").symlink_to(people.settings.data)

    people.restart()
    people.update()

    assert people.marks() == before
    assert not (people.folder / "project/stray").exists()
    assert not (people.folder / "project/link").is_symlink()
    assert people.settings.data.exists()


def test_a_description_that_no_page_shows_is_deleted_at_the_next_start(people: ForPeople) -> None:
    markdown = "Description-Content-Type: text/markdown\n"
    people.publish(version="1.0", fields=markdown, description="*old*")
    people.update()
    people.publish(version="2.0", fields=markdown, description="*new*")
    people.update()

    people.restart()
    people.update()

    (kept,) = (people.folder / ".descriptions").iterdir()
    assert b"<em>new</em>" in kept.read_bytes()


def test_after_a_restart_the_lists_have_the_summaries_of_pages_that_come_later(
    people: ForPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.publish("my-lib", fields="Summary: short\n")
    people.publish("other", fields="Summary: another\n")
    people.update()
    rows = search(people)
    people.publish("new", fields="Summary: new\n")

    people.restart()
    seen: list[tuple[bool, list[list[str]]]] = []
    write, read = people.writer._folder.write_overview, people.writer._contents.read
    was_read: list[str] = []

    def note_read(name: str, *more: Any) -> Project:
        was_read.append(name)
        return read(name, *more)

    def note_written(files: dict[str, bytes]) -> None:
        write(files)
        seen.append(("other" in was_read, search(people)))

    monkeypatch.setattr(people.writer._contents, "read", note_read)
    monkeypatch.setattr(people.writer._folder, "write_overview", note_written)
    one_project_at_a_time(monkeypatch)
    people.update()

    assert not seen[0][0]
    for _, shown in seen:
        assert shown == [rows[0], ["new", "1.0", "new", ""], rows[1]]


def one_project_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the writer look for changes after each project."""
    clock = iter(range(1000, 10**9))
    monkeypatch.setattr(writer, "_SLICE", 1.5)
    monkeypatch.setattr(
        writer, "time", type("Clock", (), {"monotonic": staticmethod(lambda: float(next(clock)))})
    )


def test_what_is_newest_is_written_first_and_what_comes_meanwhile_before_the_rest(
    people: ForPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second", "third"):
        people.publish(name)
    one_project_at_a_time(monkeypatch)
    written: list[str] = []
    write = people.writer._folder.write_project

    def write_and_publish(name: str, files: dict[str, bytes]) -> None:
        if not written:
            people.publish("meanwhile")
        written.append(name)
        write(name, files)

    monkeypatch.setattr(people.writer._folder, "write_project", write_and_publish)

    people.update()

    assert written == ["third", "meanwhile", "second", "first"]


# What keeps it from it ----------------------------------------------------------------------------


def test_without_a_catalogue_it_waits_until_there_is_one(people: ForPeople) -> None:
    people.publish()
    for path in people.settings.index.glob("index.sqlite3*"):
        path.unlink()
    people.update()
    assert not (people.folder / "index.html").exists()

    people.index.refresh()
    people.update()

    assert "my-lib" in people.page()


@pytest.mark.parametrize("content", [b"", b"damaged", b"SQLite format 3\0" + bytes(4096)])
def test_with_a_damaged_catalogue_it_waits_until_that_is_mended(
    people: ForPeople, content: bytes
) -> None:
    people.publish()
    people.update()
    before = people.marks()
    for path in people.settings.index.glob("index.sqlite3*"):
        path.unlink()
    (people.settings.index / "index.sqlite3").write_bytes(content)
    people.update()
    assert people.marks() == before

    people.index.refresh()
    people.publish(version="2.0")
    people.update()

    assert "2.0" in people.page()


def test_with_a_catalogue_of_another_version_it_changes_nothing(
    people: ForPeople,
) -> None:
    people.publish()
    people.update()
    before = people.marks()
    with sqlite3.connect(people.settings.index / "index.sqlite3") as database:
        database.execute("PRAGMA user_version = 1")
    database.close()

    people.update()

    assert people.marks() == before


def test_a_project_whose_page_cannot_be_made_keeps_no_other_from_its_own(
    people: ForPeople, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("one", "two", "three"):
        people.publish(name)
    read = Contents.read

    def fail(self: Contents, name: str, *more: Any) -> Project:
        if name == "two":
            raise RecursionError("too deep")
        return read(self, name, *more)

    monkeypatch.setattr(Contents, "read", fail)
    people.update()
    people.update()

    assert "one" in people.page("one")
    assert "three" in people.page("three")
    assert not (people.folder / "project/two").exists()
    assert caplog.messages == ["the page of two cannot be made: RecursionError('too deep')"]
    assert [name for name, *_ in search(people)] == ["one", "three", "two"]


def test_with_very_many_projects_their_lists_rest_between_two_uploads(
    people: ForPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.publish()
    people.update()
    now = time.monotonic() + 1000
    overview = people.writer._contents.overview

    def take_a_second(known: Catalogue) -> dict[str, bytes]:
        nonlocal now
        now += 1
        return overview(known)

    monkeypatch.setattr(people.writer._contents, "overview", take_a_second)
    clock = type("Clock", (), {"monotonic": staticmethod(lambda: now)})
    monkeypatch.setattr(writer, "time", clock)
    people.publish("second")
    assert people.writer.update()

    people.publish("third")
    assert not people.writer.update()
    assert "third" in people.page("third")
    assert [name for name, *_ in search(people)] == ["my-lib", "second"]
    now += 4
    assert people.writer.update()
    assert [name for name, *_ in search(people)] == ["my-lib", "second", "third"]


def test_a_full_disk_leaves_each_page_whole_and_the_new_ones_come_later(
    people: ForPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.publish()
    people.update()
    before = {name: (people.folder / name).read_bytes() for name in people.marks()}
    people.publish(version="2.0", fields="Summary: new\n")
    write = Path.write_bytes
    left = 0

    def write_until_full(path: Path, content: bytes) -> int:
        nonlocal left
        left -= len(content)
        if left < 0:
            write(path, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    seen = {name: {content} for name, content in before.items()}
    failures = 0
    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", write_until_full)
        for space in range(0, 20_000, 1000):
            left = space
            try:
                people.update()
            except OSError:
                failures += 1
            for name, contents in seen.items():
                contents.add((people.folder / name).read_bytes())

    people.update()

    assert failures > 1
    assert "my_lib-2.0" in people.page()
    assert search(people) == [["my-lib", "2.0", "new", ""]]
    for name, contents in seen.items():
        assert contents <= {before[name], (people.folder / name).read_bytes()}


def test_two_writers_at_once_write_the_same(people: ForPeople) -> None:
    trouble: list[BaseException] = []
    stop = threading.Event()

    def keep_writing() -> None:
        own = Writer(people.settings)
        try:
            while not stop.is_set():
                own.update()
                Writer(people.settings).update()
        except BaseException as error:
            trouble.append(error)

    people.update()
    threads = [threading.Thread(target=keep_writing) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(8):
            people.publish(f"lib{number}", description=f"*{number}*")
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert trouble == []

    people.update()
    before = people.marks()
    people.restart()
    people.update()
    assert people.marks() == before
    for number in range(8):
        assert f"<em>{number}</em>" in people.page(f"lib{number}")
    assert len(search(people)) == 8


# On command ---------------------------------------------------------------------------------------


def test_all_are_made_anew_for_the_name_and_the_url_that_they_had(people: ForPeople) -> None:
    people.publish()
    people.update()
    before = people.marks()
    (people.folder / "project/my-lib/index.html").write_text("damaged")
    whole = people.home()
    command = dataclasses.replace(people.settings, name="Another", url="http://127.0.0.1:8080/")

    done: list[tuple[int, int]] = []
    write_all(command, lambda *numbers: done.append(numbers))

    assert "my-pypi" in people.page()
    assert people.home() == whole
    assert done == [(1, 1)]
    assert {name for name, mark in people.marks().items() if before[name] != mark} == {
        "project/my-lib/index.html"
    }


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"name": "x"}', b"\xff"])
def test_without_pages_they_are_made_for_what_the_settings_say(
    people: ForPeople, content: bytes | None
) -> None:
    people.publish()
    if content is not None:
        people.folder.mkdir()
        (people.folder / ".site.json").write_bytes(content)

    write_all(people.settings, lambda *_: None)

    assert "my-pypi" in people.home()
    assert people.settings.url in (people.folder / "feed.atom").read_text()


def test_with_another_name_or_url_all_are_written_again_at_the_next_start(
    people: ForPeople,
) -> None:
    people.publish()
    people.update()
    people.settings = dataclasses.replace(
        people.settings, name="A <b> & co", url="https://new.example/"
    )

    people.restart()
    people.update()

    for text in (people.home(), people.page(), (people.folder / "feed.atom").read_text()):
        assert "A &lt;b&gt; &amp; co" in text
        assert "https://new.example" in text
        assert "pypi.example.com" not in text


# As a process -------------------------------------------------------------------------------------


def test_the_process_keeps_the_pages_current_whatever_happens_and_ends_when_it_is_told(
    people: ForPeople,
) -> None:
    settings = people.settings
    catalogue = settings.index / "index.sqlite3"
    people.publish()
    running = subprocess.Popen(
        [sys.executable, "-m", "private_pypi", "web"],
        env={
            **os.environ,
            "PYTHONPATH": str(PACKAGE),
            "PYPI_DATA": str(settings.data),
            "PYPI_INDEX": str(settings.index),
            "PYPI_WEB": str(settings.web),
            "PYPI_NAME": settings.name,
            "PYPI_URL": settings.url,
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: "my_lib-1.0" in _text(people))
        people.publish(version="2.0")
        wait_until(lambda: "my_lib-2.0" in _text(people))
        # As if the disk had lost it.
        for path in settings.index.glob("index.sqlite3*"):
            path.unlink()
        catalogue.write_bytes(b"damaged")
        os.kill(running.pid, signal.SIGINT)
        people.index.refresh()
        people.publish(version="3.0")
        wait_until(lambda: "my_lib-3.0" in _text(people))
        assert running.poll() is None
    finally:
        running.terminate()
        _, said = running.communicate(timeout=20)
    assert running.returncode == 0
    assert "Traceback" not in said


def _text(people: ForPeople) -> str:
    page = people.folder / "project/my-lib/index.html"
    return page.read_text() if page.exists() else ""


def test_the_process_ends_with_the_one_that_started_it(people: ForPeople) -> None:
    people.publish()
    code = (
        "import os, subprocess, sys;"
        "command = [sys.executable, '-m', 'private_pypi', 'web', '--parent', str(os.getpid())];"
        "print(subprocess.Popen(command).pid, flush=True);"
        "sys.stdin.read()"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(PACKAGE),
        "PYPI_DATA": str(people.settings.data),
        "PYPI_INDEX": str(people.settings.index),
        "PYPI_WEB": str(people.settings.web),
    }
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        wait_until(lambda: _text(people))
        parent.kill()
        parent.wait()

        wait_until(lambda: not _runs(child))


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_what_keeps_the_process_from_it_is_said_once_and_again_after_a_success(
    people: ForPeople, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    steps = iter(["full", "full", "", "full", "other", "end"])

    class EndError(BaseException):
        pass

    def update(*_: object) -> None:
        step = next(steps)
        if step == "end":
            raise EndError
        if step:
            raise OSError(step)

    monkeypatch.setattr(Writer, "update", update)
    clock = type("Clock", (), {"sleep": lambda _: None, "monotonic": lambda: 0.0})
    monkeypatch.setattr(writer, "time", clock)

    with pytest.raises(EndError):
        writer.follow(people.settings)

    said = "the pages for people do not show the latest changes: OSError('{}')"
    assert caplog.messages == [said.format(one) for one in ("full", "full", "other")]


def test_pages_that_another_process_writes_meanwhile_are_no_strays(people: ForPeople) -> None:
    people.publish()
    people.update()
    held = [{"my-lib"}, {"my-lib", "new"}]

    def projects() -> set[str]:
        if len(held) == 2:
            new = people.folder / "project/new"
            new.mkdir()
            (new / "index.html").touch()
        return held.pop(0)

    people.writer._folder.sweep(projects, set())

    assert (people.folder / "project/new/index.html").exists()


def test_while_the_index_is_made_from_nothing_the_pages_stay(people: ForPeople) -> None:
    people.publish()
    people.update()
    before = {name: mark for name, mark in people.marks().items() if "descr" not in name}
    for path in people.settings.index.glob("index.sqlite3*"):
        path.unlink()
    with closing(Catalogue(people.settings.index)) as known:
        assert not known.complete

        people.update()
        people.restart()
        people.update()

    assert {name: people.marks()[name] for name in before} == before


def test_a_long_pass_says_how_far_it_is(
    people: ForPeople, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class EndError(BaseException):
        pass

    for name in ("one", "two"):
        people.publish(name)
    now = 0.0

    def monotonic() -> float:
        nonlocal now
        now += 30
        return now

    def end(_: float) -> None:
        if people.folder.exists():
            raise EndError

    monkeypatch.setattr(writer, "_SLICE", 10**6)
    monkeypatch.setattr(writer, "_AT_MOST", 10**6)
    clock = type("Clock", (), {"sleep": staticmethod(end), "monotonic": staticmethod(monotonic)})
    monkeypatch.setattr(writer, "time", clock)
    with pytest.raises(EndError):
        writer.follow(people.settings)

    said = capsys.readouterr().out.splitlines()
    assert said == [f"{done} of 2 pages for people are current" for done in (1, 2)]


def test_a_writer_waits_for_the_one_that_has_the_lock(people: ForPeople) -> None:
    people.publish()
    people.update()
    people.publish(version="2.0")
    thread = threading.Thread(target=people.update)

    with disk.locked(people.folder):
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        assert "my_lib-2.0" not in people.page()

    thread.join(30)
    assert "my_lib-2.0" in people.page()
