"""Killed, or out of disk space, before each single step: nothing torn, nothing lost, all mended."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from kit import attestation, integrity, wheel
from kit.each_step import Steps, die, ended, full, killed, watched
from kit.forms import form
from kit.http import basic
from kit.template import PASSWORD
from kit.wsgi import call
from private_pypi.app import Gatekeeper, create_app
from private_pypi.change import Change, NoSuchReleaseError
from private_pypi.settings import Settings
from private_pypi.verify import differences


class Place:
    """The folders of an index, and the one process at a time that works on them.

    Attributes:
        published: sha256 of all that must be listed, by location.
    """

    def __init__(self, settings: Settings, made: Path) -> None:
        self.settings = settings
        self.published: dict[str, str] = {}
        self._made = made
        self.app: Gatekeeper = self.start()

    def start(self) -> Gatekeeper:
        """Start as gunicorn does, after whatever happened."""
        self.app = create_app(self.settings)
        self.app.index.refresh()
        return self.app

    def wheel(self, name: str, version: str = "1.0", origin: str = "us") -> Path:
        """Make a wheel; it is not in the data folder."""
        folder = self._made / origin
        folder.mkdir(parents=True, exist_ok=True)
        return wheel.build(folder, name, version, origin=origin)

    def post(self, path: Path, attested: str = "") -> tuple[int, str]:
        """Send a distribution; return status and sentence of the answer.

        Args:
            attested: if given, attestations that differ for each such text come with it.
        """
        fields = {":action": "file_upload"}
        if attested:
            one = attestation.of(path.name, path.read_bytes())
            fields["attestations"] = attestation.field(one | {"made": attested})
        body, content_type = form(fields, {"content": (path.name, path.read_bytes())})
        headers = basic("alice", PASSWORD)
        answer = call(self.app, "POST", "/", body=body, headers=headers, CONTENT_TYPE=content_type)
        return answer.status, answer.body

    def publish(self, path: Path, attested: str = "") -> None:
        """Send a distribution, which must succeed."""
        answer = self.post(path, attested)
        assert answer[0] == 200, answer

    def attested(self, path: Path) -> str:
        """Return with which attestations a distribution is served, empty if with none."""
        kept = self.settings.index / "packages" / f"{path.name}.provenance"
        (listed,) = self.app.index.listed(_release(path)[0].replace("_", "-"))
        assert listed.attested is kept.exists()
        if not kept.exists():
            return ""
        (bundle,) = json.loads(kept.read_bytes())["attestation_bundles"]
        return str(bundle["attestations"][0]["made"])

    def refuses(self, path: Path) -> None:
        """Send other bytes under a name that is taken, which must be refused."""
        status, sentence = self.post(self.wheel(*_release(path), origin="another"))
        said = [words in sentence for words in ("already exists", "was here before")]
        assert (status, sum(said)) == (409, 1), sentence

    def note(self, *paths: Path) -> None:
        """Expect distributions to be listed from now on."""
        for path in paths:
            location = path.name
            if path.is_relative_to(self.settings.data):
                location = str(path.relative_to(self.settings.data))
            self.published[location] = integrity.digest(path.read_bytes())

    def withdraw(self, name: str, version: str) -> None:
        """Remove a version that no test looks at any more, so that looking stays fast."""
        for file in self.app.index.remove(name, version, by="alice"):
            del self.published[file if file in self.published else f"sub/{file}"]

    def check_served(self) -> None:
        """What a web server finds now is whole, and all that was published is there."""
        found = integrity.served(self.settings.index)
        assert self.published.items() <= found.items()

    def check_tidy(self, withheld: Iterable[str] = ()) -> None:
        """All is listed as it was published, fits together, and nothing else is left.

        Args:
            withheld: the distributions of quarantined projects.
        """
        found = integrity.check_tidy(self.settings.data, self.settings.index, withheld)
        assert found == self.published
        assert list(differences(self.settings.data, self.settings.index)) == []

    def pages(self) -> dict[str, bytes]:
        """Return all pages."""
        simple = self.settings.index / "simple"
        return {str(page): page.read_bytes() for page in simple.rglob("index.*")}


def _release(path: Path) -> tuple[str, str]:
    project, version, *_ = path.name.split("-")
    return project, version


@pytest.fixture
def place(settings: Settings, tmp_path: Path) -> Place:
    """The folders of an index that has two projects, one of them with two versions."""
    place = Place(replace(settings, redirect=False), tmp_path / "made")
    for name, version in (("first", "1.0"), ("first", "2.0"), ("second", "1.0")):
        path = place.wheel(name, version)
        place.publish(path)
        place.note(path)
    place.check_tidy()
    return place


def test_the_steps_of_an_upload_are_seen(place: Place) -> None:
    path = place.wheel("seen")

    with watched(Steps(0, full)) as steps:
        place.publish(path)

    # Python 3.10 to 3.14 have other names for the same.
    names = {{"rename": "replace", "remove": "unlink"}.get(name, name) for name in steps.names}
    assert {
        "flock",
        "fsync",
        "link",
        "mkdir",
        "open",
        "replace",
        "symlink",
        "unlink",
        "write",
    } < names
    assert steps.names.count("execute") > 10
    assert "write" not in steps.names[: steps.names.index("open")]


# Killed -------------------------------------------------------------------------------------------

# A change takes at least so many steps. Fewer would mean that they are not seen.
FEWEST = 25
MOST = 300


@pytest.mark.parametrize("retried", ["the same", "another"])
@pytest.mark.parametrize("of", ["a new project", "a known project"])
def test_an_upload_killed_before_any_step_is_whole_or_not_there(
    place: Place, of: str, retried: str
) -> None:
    for at in range(1, MOST):
        path = (
            place.wheel(f"new-{at}") if of == "a new project" else place.wheel("first", f"3.{at}")
        )
        was_killed = killed(partial(place.publish, path), at)
        place.check_served()

        place.start()
        found = integrity.served(place.settings.index)
        assert was_killed or path.name in found
        if path.name in found:
            place.note(path)
        place.check_tidy()

        if retried == "another" and path.name not in found:
            path = place.wheel(*_release(path), origin="somebody else")
        elif retried == "another":
            place.refuses(path)
        place.publish(path)
        place.note(path)
        if retried == "the same":
            place.refuses(path)
        if not was_killed:
            place.check_tidy()
            assert at > FEWEST
            return
        place.withdraw(*_release(path))
    pytest.fail("it never came to its end")


@pytest.mark.parametrize("retried", ["the same", "another"])
def test_no_killed_upload_is_ever_found_without_the_attestations_that_came_with_it(
    place: Place, retried: str
) -> None:
    alone = 0
    for at in range(1, MOST):
        path = place.wheel(f"new-{at}")
        was_killed = killed(partial(place.publish, path, "first"), at)
        place.check_served()

        place.start()
        is_served = path.name in integrity.served(place.settings.index)
        assert was_killed or is_served
        if is_served:
            assert place.attested(path) == "first"
            place.note(path)
            place.check_tidy()
        else:
            # They may lie there alone, and no client gets them.
            alone += (place.settings.data / f"{path.name}.provenance").exists()
            assert not (place.settings.index / f"packages/{path.name}.provenance").exists()

        again = "second" if retried == "another" and not is_served else "first"
        place.publish(path, again)
        assert place.attested(path) == again
        place.note(path)
        place.check_tidy()
        assert place.post(path, "third") == (
            409,
            f"{path.name} already exists, with other attestations: publish a new version\n",
        )
        journal = (place.settings.data / ".journal.jsonl").read_text().splitlines()
        lines = [line for line in journal if path.name in line]
        assert sum('"action": "attest"' in line for line in lines) == 1
        if not was_killed:
            assert at > FEWEST
            assert alone > 0
            return
        place.withdraw(*_release(path))
    pytest.fail("it never came to its end")


def test_attestations_that_come_later_and_are_killed_before_any_step_are_there_or_not(
    place: Place,
) -> None:
    for at in range(1, MOST):
        path = place.wheel(f"new-{at}")
        place.publish(path)
        place.note(path)
        was_killed = killed(partial(place.publish, path, "later"), at)
        place.check_served()

        place.start()
        place.check_tidy()
        found = place.attested(path)
        assert found == "later" or (was_killed and not found)
        place.publish(path, "later")
        assert place.attested(path) == "later"
        place.check_tidy()
        if not was_killed:
            assert at > 15
            return
        place.withdraw(*_release(path))
    pytest.fail("it never came to its end")


def test_an_upload_killed_in_the_middle_of_a_write_is_whole_or_not_there(place: Place) -> None:
    """The kernel kills a process that writes beyond a limit, after writing up to that limit."""

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)

    journal = place.settings.data / ".journal.jsonl"
    with journal.open("a") as file:
        # Larger than the database, so that the limit can lie in its last line alone.
        file.write(f"{'old' * 10_000}\n" * 30)
    torn = 0
    for at, size in enumerate([*range(1, 2000, 37), *range(2000, 80000, 1900)]):
        path = place.wheel(f"new-{at}")
        if at % 2:
            size = journal.stat().st_size + 3 * at
        died_of = ended(partial(place.publish, path), partial(limit, size))
        assert died_of in (0, signal.SIGXFSZ)
        torn += not journal.read_bytes().endswith(b"\n")
        place.check_served()

        place.start()
        found = integrity.served(place.settings.index)
        assert died_of or path.name in found
        if path.name in found:
            place.note(path)
        place.publish(path)
        place.note(path)
        place.check_tidy()
        place.withdraw(f"new-{at}", "1.0")
    assert torn > 10


def test_a_start_killed_before_any_step_mends_what_a_killed_upload_left(place: Place) -> None:
    for at in range(1, MOST):
        path = place.wheel(f"new-{at}")
        assert killed(partial(place.publish, path), 21 + at % 50)
        was_killed = killed(place.start, at)
        place.check_served()

        place.start()
        place.publish(path)
        place.note(path)
        place.check_tidy()
        if not was_killed:
            assert at > FEWEST
            return
        place.withdraw(*_release(path))
    pytest.fail("it never came to its end")


@pytest.mark.parametrize("action", ["yank", "unyank"])
def test_a_yank_killed_before_any_step_has_happened_or_not(place: Place, action: str) -> None:
    def run() -> object:
        if action == "yank":
            return place.app.index.yank("first", "1.0", "broken", by="alice")
        return place.app.index.unyank("first", "1.0", by="alice")

    def yanked() -> str | None:
        (one,) = (one for one in place.app.index.listed("first") if one.version == "1.0")
        return one.yanked

    before, after = (None, "broken") if action == "yank" else ("broken", None)
    for at in range(1, MOST):
        if before is None:
            place.app.index.unyank("first", "1.0", by="alice")
        else:
            place.app.index.yank("first", "1.0", before, by="alice")
        assert yanked() == before

        was_killed = killed(run, at)
        place.check_served()

        place.start()
        assert yanked() in ((before, after) if was_killed else (after,))
        place.check_tidy()
        run()
        assert yanked() == after
        place.check_tidy()
        if not was_killed:
            assert at > FEWEST
            return
    pytest.fail("it never came to its end")


@pytest.mark.parametrize("status", ["quarantined", "active"])
def test_a_mark_killed_before_any_step_has_happened_or_not(place: Place, status: str) -> None:
    """All that is listed is there at any moment, and in the end nothing else."""
    of_first = {file for file in place.published if file.startswith("first")}
    everything = dict(place.published)
    journal = place.settings.data / ".journal.jsonl"
    before = "active" if status == "quarantined" else "quarantined"
    for at in range(1, MOST):
        place.app.index.mark("first", before, by="alice")
        lines = journal.read_bytes().count(b"\n")

        was_killed = killed(partial(place.app.index.mark, "first", status, "why", by="alice"), at)
        is_noted = journal.read_bytes().count(b"\n") > lines
        integrity.served(place.settings.index)

        assert is_noted or was_killed
        if at % 2:
            # The first process that changes anything finishes it.
            place.app.index.yank("second", "1.0", "broken", by="alice")
        else:
            place.start()
        now = status if is_noted else before
        withheld = of_first if now == "quarantined" else set()
        place.published = {k: x for k, x in everything.items() if k not in withheld}
        assert place.app.index.project_status("first").status == now
        place.check_tidy(withheld)
        status_of_upload = place.post(place.wheel("first", "1.0"))[0]
        assert status_of_upload == (403 if withheld else 200)
        if not was_killed:
            assert at > FEWEST
            return
    pytest.fail("it never came to its end")


@pytest.mark.parametrize("is_last", [True, False])
def test_a_removal_killed_before_any_step_has_happened_or_not(place: Place, is_last: bool) -> None:
    journal = place.settings.data / ".journal.jsonl"
    finished = 0
    for at in range(1, MOST):
        name = f"new-{at}" if is_last else "first"
        version = f"3.{at}"
        path = place.wheel(name, version)
        place.publish(path)

        was_killed = killed(partial(place.app.index.remove, name, version, by="alice"), at)
        place.check_served()
        is_noted = b'"remove"' in journal.read_bytes().splitlines()[-1]
        finished += is_noted and (place.settings.data / path.name).exists()

        if at % 2:
            # The first process that changes anything finishes it.
            place.publish(path)
            assert path.name in integrity.served(place.settings.index)
            place.app.index.remove(name, version, by="alice")
        place.start()
        is_served = path.name in integrity.served(place.settings.index)
        assert is_served is not (is_noted or at % 2 == 1)
        assert (place.settings.data / path.name).exists() is is_served
        if is_served:
            assert was_killed
            assert place.app.index.remove(name, version, by="alice") == [path.name]
        with pytest.raises(NoSuchReleaseError):
            place.app.index.release(name, version)
        place.refuses(path)
        place.check_tidy()
        if not was_killed:
            assert at > FEWEST
            assert finished > 10
            return
    pytest.fail("it never came to its end")


def test_what_a_hand_put_back_after_a_killed_removal_is_served(place: Place) -> None:
    path = place.wheel("back")
    place.publish(path)
    file = place.settings.data / path.name
    stat = file.stat()
    index = place.app.index

    def deletes() -> None:
        Change.finish_files = lambda self: die()  # type: ignore[method-assign]

    assert ended(partial(index.remove, "back", "1.0", by="alice"), deletes) == signal.SIGKILL
    assert file.exists()

    file.unlink()
    shutil.copy(path, file)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    place.start()

    place.note(path)
    place.check_tidy()


def by_hand(place: Place, at: int) -> list[Path]:
    """Copy and delete files as a person might; return the files to be listed then."""
    data = place.settings.data
    (data / "sub").mkdir(exist_ok=True)
    copied = [
        Path(shutil.copy(place.wheel(f"copied-{at}"), data)),
        Path(shutil.copy(place.wheel(f"copied-{at}", "2.0"), data / "sub")),
        Path(shutil.copy(place.wheel("second", f"3.{at}"), data)),
    ]
    (data / f"{copied[0].name}.asc").write_text("signed\n")
    gone = data / place.wheel("second", f"3.{at - 1}").name
    gone.unlink(missing_ok=True)
    place.published.pop(gone.name, None)
    return copied


def test_a_look_at_what_was_copied_killed_before_any_step_is_made_again(place: Place) -> None:
    for at in range(1, MOST):
        copied = by_hand(place, at)
        was_killed = killed(place.app.index.refresh, at)

        place.start()
        place.note(*copied)
        place.check_tidy()
        if not was_killed:
            assert at > FEWEST
            return
        place.withdraw(f"copied-{at}", "1.0")
        place.withdraw(f"copied-{at}", "2.0")
    pytest.fail("it never came to its end")


@pytest.mark.parametrize("way", ["from nothing", "in place"])
def test_a_rebuild_killed_before_any_step_ends_at_the_next_start(place: Place, way: str) -> None:
    pages = place.pages()
    for at in range(1, MOST):
        if way == "from nothing":
            shutil.rmtree(place.settings.index)
        was_killed = killed(partial(place.app.index.refresh, reread=way == "in place"), at)
        found = integrity.served(place.settings.index)
        assert found.items() <= place.published.items()
        if way == "in place":
            assert found == place.published

        place.start()
        place.check_tidy()
        assert place.pages() == pages
        if not was_killed:
            assert at > FEWEST
            return
    pytest.fail("it never came to its end")


# Full ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["a new project", "a known project"])
def test_an_upload_that_finds_the_disk_full_at_any_step_is_answered_as_the_journal_has_it(
    place: Place, of: str
) -> None:
    journal = place.settings.data / ".journal.jsonl"
    answers = set()
    for at in range(1, MOST):
        path = (
            place.wheel(f"new-{at}") if of == "a new project" else place.wheel("first", f"3.{at}")
        )
        with watched(Steps(at, full, need_space=True)) as steps:
            answer = place.post(path)
        is_full = len(steps.names) >= at
        is_published = path.name.encode() in journal.read_bytes()
        sentence = "The disk of the index is full: free some space on the server, then send"
        expected = (200, "") if is_published else (507, f"{sentence} the file again.\n")
        assert answer == expected, steps.names[-1]
        answers.add(answer[0])
        assert is_published or is_full
        place.check_served()
        assert list((place.settings.data / ".uploads").iterdir()) == []
        if at % 2:
            # The background thread looks.
            place.app.index.refresh()
            assert (path.name in integrity.served(place.settings.index)) is is_published

        place.publish(path)
        place.note(path)
        place.refuses(path)
        place.check_tidy()
        if not is_full:
            assert at > FEWEST
            assert answers == {200, 507}
            return
        place.withdraw(*_release(path))
    pytest.fail("it never came to its end")


def test_attestations_that_find_the_disk_full_at_any_step_are_there_with_their_file_or_not_at_all(
    place: Place,
) -> None:
    journal = place.settings.data / ".journal.jsonl"
    answers = set()
    for at in range(1, MOST):
        path = place.wheel(f"new-{at}")
        with watched(Steps(at, full, need_space=True)) as steps:
            status, _ = place.post(path, "first")
        is_full = len(steps.names) >= at
        lines = [line for line in journal.read_text().splitlines() if path.name in line]
        assert len(lines) == (2 if status == 200 else 0), steps.names[-1]
        assert status in ((200, 507) if is_full else (200,))
        answers.add(status)
        place.check_served()
        for name in (path.name, f"{path.name}.provenance"):
            assert (place.settings.data / name).exists() is (status == 200)
        assert list((place.settings.data / ".uploads").iterdir()) == []
        place.app.index.refresh()

        place.publish(path, "first")
        assert place.attested(path) == "first"
        place.note(path)
        place.check_tidy()
        if not is_full:
            assert at > FEWEST
            assert answers == {200, 507}
            return
        place.withdraw(*_release(path))
    pytest.fail("it never came to its end")


CHANGES: dict[str, Callable[[Place, int], object]] = {
    "yank": lambda place, at: place.app.index.yank("first", "1.0", f"bad {at}", by="alice"),
    "unyank": lambda place, at: place.app.index.unyank("first", "1.0", by="alice"),
    "remove": lambda place, at: place.app.index.remove("second", f"2.{at}", by="alice"),
    "quarantine": lambda place, at: place.app.index.mark("third", "quarantined", by="alice"),
    "end of a quarantine": lambda place, at: place.app.index.mark("third", "active", by="alice"),
    "rebuild": lambda place, at: place.app.index.refresh(reread=True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_finds_the_disk_full_at_any_step_can_be_made_again(
    place: Place, change: str
) -> None:
    third = place.wheel("third")
    place.publish(third)
    for at in range(1, MOST):
        place.publish(place.wheel("second", f"2.{at}"))
        if "quarantine" in change:
            before = "active" if change == "quarantine" else "quarantined"
            place.app.index.mark("third", before, by="alice")
        is_full = False
        with watched(Steps(at, full, need_space=True)) as steps:
            try:
                CHANGES[change](place, at)
            except (OSError, sqlite3.OperationalError):
                is_full = True
        assert is_full == (len(steps.names) >= at), steps.names[-1]
        place.check_served()

        if is_full:
            try:
                CHANGES[change](place, at)
            except NoSuchReleaseError:
                # Only to tell of the removal was too much.
                assert change == "remove"
        if change != "remove":
            place.app.index.remove("second", f"2.{at}", by="alice")
        withheld = [third.name] if change == "quarantine" else []
        place.note(*([] if withheld else [third]))
        place.check_tidy(withheld)
        place.published.pop(third.name, None)
        (listed, *_) = place.app.index.listed("first")
        assert listed.yanked == (f"bad {at}" if change == "yank" else None)
        if not is_full:
            assert at > 10
            return
    pytest.fail("it never came to its end")


def test_a_look_that_finds_the_disk_full_at_any_step_is_made_again(place: Place) -> None:
    for at in range(1, MOST):
        copied = by_hand(place, at)
        is_full = False
        with watched(Steps(at, full, need_space=True)) as steps:
            try:
                place.app.index.refresh()
            except (OSError, sqlite3.OperationalError):
                is_full = True
        assert is_full == (len(steps.names) >= at), steps.names[-1]

        place.app.index.refresh()
        place.note(*copied)
        place.check_tidy()
        if not is_full:
            assert at > FEWEST
            return
        place.withdraw(f"copied-{at}", "1.0")
        place.withdraw(f"copied-{at}", "2.0")
    pytest.fail("it never came to its end")


def test_an_index_made_on_a_full_disk_is_made_when_there_is_space(place: Place) -> None:
    pages = place.pages()
    for at in range(1, MOST):
        shutil.rmtree(place.settings.index)
        is_full = False
        with watched(Steps(at, full, need_space=True)) as steps:
            try:
                place.start()
            except (OSError, sqlite3.OperationalError):
                is_full = True
        assert is_full == (len(steps.names) >= at), steps.names[-1]
        assert integrity.served(place.settings.index).items() <= place.published.items()

        place.app.index.refresh()
        place.check_tidy()
        assert place.pages() == pages
        if not is_full:
            assert at > FEWEST
            return
