"""`make release`: the changelog, the commit and the tag, in a repository of the test's own."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from kit.git import commit, git
from kit.template import ROOT
from kit.waiting import today

CHANGELOG = """\
# Changelog

## Unreleased

### Added

- A question.

## 0.9.0 - 2025-01-31

- An older entry.
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository that is ready for a release, and whose last one was 0.9.0."""
    folder = tmp_path / "template"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copy(ROOT / "scripts/release.py", folder / "scripts")
    (folder / "CHANGELOG.md").write_text(CHANGELOG)
    commit(folder)
    git(folder, "tag", "v0.9.0")
    return folder


def release(folder: Path, version: str) -> subprocess.CompletedProcess[str]:
    """Run `make release` and return how it ended."""
    return subprocess.run(
        ["make", "release", f"VERSION={version}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def assert_refused(folder: Path, version: str, why: str) -> None:
    """Assert that a release is refused for this reason and changes nothing."""
    before = git(folder, "rev-parse", "HEAD"), git(folder, "status", "--porcelain")

    done = release(folder, version)

    assert done.returncode != 0
    assert f"error: {why}" in done.stderr
    assert "Traceback" not in done.stderr
    assert (git(folder, "rev-parse", "HEAD"), git(folder, "status", "--porcelain")) == before
    assert git(folder, "tag", "--list").split() == ["v0.9.0"]


def test_a_release_moves_the_entries_commits_and_tags(repository: Path) -> None:
    day = today()

    done = release(repository, "0.10.0")

    assert done.returncode == 0, done.stderr
    assert (repository / "CHANGELOG.md").read_text() == CHANGELOG.replace(
        "## Unreleased\n", f"## Unreleased\n\n## 0.10.0 - {day}\n"
    )
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "log", "-1", "--format=%s").strip() == "Release 0.10.0"
    assert git(repository, "cat-file", "-t", "v0.10.0").strip() == "tag"
    assert git(repository, "rev-parse", "v0.10.0^{commit}") == git(repository, "rev-parse", "HEAD")
    assert re.search(r"git push --atomic origin main v0\.10\.0$", done.stdout, re.MULTILINE)


def test_the_first_release_has_none_to_be_higher_than(repository: Path) -> None:
    git(repository, "tag", "--delete", "v0.9.0")

    assert release(repository, "0.1.0").returncode == 0


def test_other_tags_are_no_releases(repository: Path) -> None:
    for name in ("v9", "v9.0.0-rc1", "very-old"):
        git(repository, "tag", name)

    assert release(repository, "1.0.0").returncode == 0


def test_the_next_release_needs_entries_of_its_own(repository: Path) -> None:
    assert release(repository, "1.0.0").returncode == 0

    done = release(repository, "1.1.0")

    assert "error: CHANGELOG.md has no unreleased entry" in done.stderr


@pytest.mark.parametrize(
    "version",
    ["", "1", "1.0", "v1.0.0", "1.0.0-rc1", "01.0.0", "1.0.0 ", "1.0.0.0", "one", "--help"],
)
def test_a_text_that_is_no_version_is_refused(repository: Path, version: str) -> None:
    assert_refused(repository, version, "say which version: make release VERSION=1.2.3")


@pytest.mark.parametrize("version", ["0.9.0", "0.8.10", "0.0.1"])
def test_a_version_that_is_not_higher_is_refused(repository: Path, version: str) -> None:
    assert_refused(repository, version, f"{version} is not higher than the last release, 0.9.0")


@pytest.mark.parametrize("name", ["CHANGELOG.md", "new.txt"])
def test_changes_that_are_not_committed_are_refused(repository: Path, name: str) -> None:
    (repository / name).write_text(CHANGELOG + "\n")

    assert_refused(repository, "1.0.0", "there are changes that are not committed")


def test_another_branch_is_refused(repository: Path) -> None:
    git(repository, "switch", "--quiet", "--create", "topic")

    assert_refused(repository, "1.0.0", "this is topic: git switch main")


def test_a_detached_head_is_refused(repository: Path) -> None:
    git(repository, "switch", "--quiet", "--detach")

    assert_refused(repository, "1.0.0", "this is no branch: git switch main")


@pytest.mark.parametrize(
    "changelog",
    [
        CHANGELOG.replace("- A question.\n\n", ""),
        CHANGELOG.replace("### Added\n\n- A question.\n\n", ""),
        "# Changelog\n\n## Unreleased\n",
    ],
    ids=["a heading without entries", "nothing before the last release", "nothing at all"],
)
def test_a_release_without_entries_is_refused(repository: Path, changelog: str) -> None:
    (repository / "CHANGELOG.md").write_text(changelog)
    commit(repository)

    assert_refused(repository, "1.0.0", "CHANGELOG.md has no unreleased entry")


def test_a_changelog_without_the_section_is_refused(repository: Path) -> None:
    (repository / "CHANGELOG.md").write_text(CHANGELOG.replace("## Unreleased", "## Coming"))
    commit(repository)

    assert_refused(repository, "1.0.0", "CHANGELOG.md has no section '## Unreleased'")


def test_a_tag_that_git_refuses_leaves_everything_as_it_was(repository: Path) -> None:
    git(repository, "config", "tag.gpgSign", "true")
    git(repository, "config", "gpg.program", "false")

    assert_refused(repository, "1.0.0", "git tag failed")


def test_a_commit_that_git_refuses_leaves_everything_as_it_was(repository: Path) -> None:
    hook = repository / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'not today' >&2\nexit 1\n")
    hook.chmod(0o755)

    assert_refused(repository, "1.0.0", "git commit failed: not today")


def test_the_changelog_of_the_templates_has_one_section_for_the_next_release() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert text.count("\n## Unreleased\n") == 1
