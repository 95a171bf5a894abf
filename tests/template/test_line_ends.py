"""A git that is set to CRLF, as on Windows and in many a WSL: sh, make and Docker read LF alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from kit.copier_command import succeed
from kit.git import commit, git
from kit.rendered_files import tracked
from kit.template import ROOT, Render

both_templates = pytest.mark.parametrize("template_name", ["server", "client"])


@pytest.fixture(autouse=True)
def _git_is_set_to_crlf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set git so."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.autocrlf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")


def without_crlf(folder: Path) -> list[str]:
    """Return the names of all files for git, no text among which may have CRLF."""
    files = tracked(folder)
    texts = {name: file.content for name, file in files.items() if b"\0" not in file.content}
    crlf = [name for name, content in texts.items() if b"\r\n" in content]
    assert not crlf
    return sorted(files)


@both_templates
def test_a_checkout_of_a_rendered_repository_has_the_bytes_that_were_committed(
    repository: Render, tmp_path: Path, template_name: str
) -> None:
    folder = repository({"template": template_name})

    git(tmp_path, "clone", "--quiet", str(folder), "clone")

    assert tracked(tmp_path / "clone") == tracked(folder)
    assert "Makefile" in without_crlf(tmp_path / "clone")


def test_a_checkout_of_this_repository_has_the_bytes_that_were_committed(tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_symlink() or (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    commit(folder)

    git(tmp_path, "clone", "--quiet", str(folder), "clone")

    assert tracked(tmp_path / "clone") == tracked(folder)
    assert ".ci/run" in without_crlf(tmp_path / "clone")


@both_templates
def test_what_copier_makes_and_updates_there_has_no_crlf(
    template: Path, tmp_path: Path, template_name: str
) -> None:
    versions, folder = tmp_path / "versions", tmp_path / "rendered"
    shutil.copytree(template, versions, symlinks=True)
    shutil.copy(ROOT / ".gitattributes", versions)
    commit(versions)
    git(versions, "tag", "v0.1.0")
    makefile = versions / f"template/{template_name}/Makefile.jinja"
    makefile.write_text(f"{makefile.read_text()}\n# A change.\n")
    commit(versions)
    git(versions, "tag", "v0.2.0")
    answers = ("--trust", "--defaults", f"--data=template={template_name}")

    succeed("copy", *answers, "--vcs-ref=v0.1.0", versions, folder, cwd=tmp_path)
    assert "Makefile" in without_crlf(folder)
    commit(folder)
    git(tmp_path, "clone", "--quiet", str(folder), "clone")
    clone = tmp_path / "clone"
    (clone / "README.md").write_text(f"{(clone / 'README.md').read_text()}Mine.\n")
    commit(clone)
    succeed("update", "--trust", "--defaults", cwd=clone)

    without_crlf(clone)
    assert (clone / "Makefile").read_text().endswith("# A change.\n")
    changed = git(clone, "diff", "--name-only", "HEAD").split()
    assert sorted(changed) == [".copier-answers.yml", "Makefile"]
