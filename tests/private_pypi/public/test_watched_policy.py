"""The policy while its owner edits it: what applies when, and what the log says."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.public_files import NOW, public_file
from private_pypi.public.policy import Policy
from private_pypi.public.watched_policy import WatchedPolicy

SEVEN, NINE = "cooldown_days = 7\n", "cooldown_days = 9\n"


class Clock:
    """A clock that goes on by two seconds whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 2
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "public_policy.toml"


@pytest.fixture
def make(path: Path, tmp_path: Path) -> Callable[[], WatchedPolicy]:
    """Start with a policy of which every question looks at the file."""
    return lambda: WatchedPolicy(path, tmp_path / "public_data/policy.toml", clock=Clock())


@pytest.fixture
def watched(make: Callable[[], WatchedPolicy]) -> WatchedPolicy:
    return make()


def replace(path: Path, text: str) -> None:
    """Write a file as editors do: another one that takes its name."""
    new = path.with_name("new")
    new.write_text(text)
    new.replace(path)


@pytest.mark.parametrize("write", [Path.write_text, replace])
def test_a_change_applies_and_is_counted(
    path: Path, watched: WatchedPolicy, write: Callable[[Path, str], object]
) -> None:
    path.write_text(SEVEN)
    assert (watched.current.cooldown_days, watched.number) == (7, 1)
    assert (watched.current.cooldown_days, watched.number) == (7, 1)

    write(path, NINE)

    assert (watched.current.cooldown_days, watched.number) == (9, 2)


def test_a_change_that_leaves_size_and_time_as_they_are_applies(
    path: Path, watched: WatchedPolicy
) -> None:
    for days in (7, 9):
        path.write_text(f"cooldown_days = {days}\n")
        os.utime(path, (1, 1))

        assert watched.current.cooldown_days == days


def test_a_change_that_says_the_same_is_not_counted(path: Path, watched: WatchedPolicy) -> None:
    path.write_text(SEVEN)
    assert watched.current.cooldown_days == 7

    path.write_text(f"# A comment.\n{SEVEN}")

    assert (watched.current.cooldown_days, watched.number) == (7, 1)


def test_the_file_is_read_at_most_once_a_second(path: Path) -> None:
    now = [100.0]
    watched = WatchedPolicy(path, path.with_name("last_good"), clock=lambda: now[0])
    path.write_text(SEVEN)
    assert watched.current.cooldown_days == 7
    path.write_text(NINE)

    now[0] += 0.9
    assert watched.current.cooldown_days == 7
    now[0] += 0.2
    assert watched.current.cooldown_days == 9


def delete(path: Path) -> None:
    path.unlink()


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


BROKEN = [
    (delete, "public_policy.toml cannot be read: No such file or directory"),
    (make_folder, "public_policy.toml cannot be read: Is a directory"),
    (lambda path: path.write_text("cooldown_days = "), "public_policy.toml is no TOML: "),
    (lambda path: path.write_text(""), "public_policy.toml: no cooldown_days: write a whole"),
    (
        lambda path: path.write_text(f'{SEVEN}[[block]]\nreason = "no"\nversion = "{"9" * 5000}"'),
        "public_policy.toml: [[block]] number 1: version is ",
    ),
    (
        lambda path: path.write_text(f"cooldown_days = {'9' * 5000}"),
        "public_policy.toml is no TOML: ",
    ),
    (lambda path: path.write_bytes(b"\xff"), "public_policy.toml is no TOML: it is not UTF-8"),
    (
        lambda path: path.write_text(f"{SEVEN}#{'x' * 2**20}"),
        "public_policy.toml is larger than 1048576 bytes: shorten it",
    ),
]


@pytest.mark.parametrize(("spoil", "problem"), BROKEN)
def test_a_broken_file_leaves_the_last_good_policy_and_the_log_says_so_once(
    path: Path,
    watched: WatchedPolicy,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], object],
    problem: str,
) -> None:
    path.write_text(SEVEN)
    assert watched.current.cooldown_days == 7

    spoil(path)

    assert [watched.current.cooldown_days for _ in range(3)] == [7, 7, 7]
    assert watched.number == 1
    (message,) = caplog.messages
    assert message.startswith(problem)
    assert message.endswith(": the last good policy applies")


@pytest.mark.parametrize(("spoil", "problem"), BROKEN)
def test_without_a_good_policy_nothing_is_offered_and_the_reason_is_told(
    path: Path,
    watched: WatchedPolicy,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], object],
    problem: str,
) -> None:
    path.touch()
    spoil(path)

    for _ in range(3):
        said = watched.current.verdict("urllib3", public_file(), NOW)
        assert not said.offered
        start = "nothing from PyPI is offered until its policy is mended: "
        assert said.rule.startswith(f"{start}{problem}")
    (message,) = caplog.messages
    assert message.endswith(": nothing from PyPI is offered until that is mended")


@pytest.mark.parametrize(("spoil", "problem"), BROKEN)
def test_a_file_that_is_broken_at_a_start_leaves_the_last_good_policy(
    path: Path,
    make: Callable[[], WatchedPolicy],
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], object],
    problem: str,
) -> None:
    path.write_text(NINE)
    assert make().current.cooldown_days == 9
    path.write_text(SEVEN)
    assert make().current.cooldown_days == 7
    spoil(path)

    watched = make()

    assert [watched.current.cooldown_days for _ in range(3)] == [7, 7, 7]
    assert watched.number == 1
    (message,) = caplog.messages
    assert message.startswith(problem)
    assert message.endswith(": the last good policy applies")


@pytest.mark.parametrize("text", ["", "cooldown_days = -1", "x = 1", "\0"])
def test_a_last_good_policy_that_is_good_no_longer_is_none(
    path: Path, make: Callable[[], WatchedPolicy], tmp_path: Path, text: str
) -> None:
    path.write_text(SEVEN)
    assert not make().current.refusal
    path.unlink()
    (tmp_path / "public_data/policy.toml").write_text(text)

    assert make().current.refusal


def test_the_last_good_policy_is_written_as_soon_as_it_can_be(
    path: Path,
    make: Callable[[], WatchedPolicy],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path.write_text(SEVEN)
    folder = tmp_path / "public_data"
    folder.touch()
    watched = make()

    assert [watched.current.cooldown_days for _ in range(3)] == [7, 7, 7]
    (message,) = caplog.messages
    assert "public_data/policy.toml cannot be written" in message
    folder.unlink()
    folder.mkdir()
    # Left behind by a server that was killed while it wrote.
    (folder / "policy.toml.abcdefgh").touch()
    assert watched.current.cooldown_days == 7

    assert [file.name for file in folder.iterdir()] == ["policy.toml"]
    assert (folder / "policy.toml").read_text() == SEVEN


def test_a_policy_that_is_mended_applies_and_each_new_mistake_is_told(
    path: Path, watched: WatchedPolicy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    numbers = []
    for text in ("", "x = 1", SEVEN, "x = 2", "x = 2", SEVEN, "x = 2", NINE):
        path.write_text(text)
        assert isinstance(watched.current, Policy)
        numbers.append(watched.number)

    assert watched.current.cooldown_days == 9
    # The last good one applied all the time, so that coming back to it is no change.
    assert numbers == [1, 2, 3, 3, 3, 3, 3, 4]
    assert [message.partition(": ")[0] for message in caplog.messages] == [
        *["public_policy.toml"] * 3,
        "public_policy.toml applies as it is now",
        "public_policy.toml",
        "public_policy.toml applies as it is now",
    ]
