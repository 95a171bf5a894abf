"""Fixtures every test may use: the template as it stands, and repositories rendered from it."""

from __future__ import annotations

import gc
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from jinja2 import Environment
from kit.git import commit, git
from kit.sharing import folder_of_all_workers, made_once
from kit.template import ROOT, Answers, Render, check_names
from pytest_copie.plugin import Copie

FOREIGN = (
    *("COMPOSE_", "CONDA_", "COPIER_", "MAKE", "MFLAGS", "PIP_", "POETRY_", "TWINE_", "UV_"),
    *("ACTIONS_ID_TOKEN", "GITHUB_ACTIONS", "GITLAB_CI", "PYPI_ID_TOKEN"),
    "VIRTUAL_ENV",
)
"""Starts of the names of environment variables that would change what the programs do."""


FOLDERS = ("template", "e2e", "private_pypi")
"""Where tests are, in the order in which several workers take them: short files come last."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs Docker on a machine without it, other than CI; order what workers take."""
    docker = [item for item in items if item.get_closest_marker("docker")]
    if docker and not os.environ.get("CI") and (lacking := lacks_docker()):
        for item in docker:
            item.add_marker(pytest.mark.skip(reason=lacking))
    if hasattr(config, "workerinput"):
        order = order_of_files(items, {item.path for item in docker})
        items.sort(key=lambda item: order.index(item.path))


def order_of_files(items: list[pytest.Item], waiting: set[Path]) -> list[Path]:
    """Return the files of tests in the order in which the workers of pytest-xdist take them.

    Short ones come last, so that at the end no worker waits long for another one. Before them,
    files with tests that wait for Docker take turns with others, which compute meanwhile.
    """
    files = sorted(dict.fromkeys(item.path for item in items), key=rank)
    turns = itertools.zip_longest(
        (path for path in files if path in waiting), (path for path in files if path not in waiting)
    )
    return [path for turn in turns for path in turn if path]


def rank(path: Path) -> int:
    """Return the place of a test's folder among FOLDERS."""
    return FOLDERS.index(path.relative_to(ROOT / "tests").parts[0])


def pytest_collection_finish() -> None:
    """Spare the garbage collector thousands of objects that stay until the end."""
    gc.collect()
    gc.freeze()


def lacks_docker() -> str:
    """Return what this machine lacks to run containers, or an empty string."""
    for command in (["info"], ["compose", "version"], ["buildx", "version"]):
        try:
            subprocess.run(["docker", *command], check=True, capture_output=True, timeout=30)
        except (OSError, subprocess.SubprocessError):
            return f"`docker {' '.join(command)}` does not work on this machine"
    return ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let nothing be skipped on CI: there, a test that does not run has failed."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session", autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the settings of this machine's user out of Copier, git, pip, uv and Poetry."""
    home = tmp_path_factory.mktemp("home")
    (home / "settings.yml").write_text("{}\n")
    (home / "gitconfig").write_text(
        "[user]\nname = Test\nemail = test@example.com\n[maintenance]\nauto = false\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(FOREIGN) and name != "PIP_CERT":
                patch.delenv(name)
        # The programs that the requirements brought, such as Poetry.
        patch.setenv(
            "PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        )
        patch.setenv("COPIER_SETTINGS_PATH", str(home / "settings.yml"))
        patch.setenv("GIT_CONFIG_GLOBAL", str(home / "gitconfig"))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        patch.setenv("BUILDKIT_PROGRESS", "plain")
        patch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        patch.setenv("NETRC", os.devnull)
        patch.setenv("POETRY_CONFIG_DIR", str(home / "poetry"))
        # It remembers the hashes of a release by its name alone, also those of earlier runs.
        patch.setenv("POETRY_CACHE_DIR", str(home / "poetry-cache"))
        patch.setenv("POETRY_KEYRING_ENABLED", "false")
        # pip and uv try again by themselves when PyPI does not answer.
        patch.setenv("POETRY_REQUESTS_MAX_RETRIES", "3")
        yield


@pytest.fixture(scope="session", autouse=True)
def _compiled_once() -> Iterator[None]:
    """Compile each of the template's texts once: that is half of the time that rendering takes."""
    compiled: dict[tuple[object, ...], CodeType] = {}
    compile_anew = Environment.compile

    def compile_once(self: Environment, source: object, *arguments: Any, **more: Any) -> CodeType:
        key = (type(self), *self.extensions, source, *arguments, *more.items())
        if key not in compiled:
            compiled[key] = compile_anew(self, source, *arguments, **more)  # type: ignore[call-overload]
        return compiled[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Environment, "compile", compile_once)
        yield


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the working tree's template, outside git, so that rendering is fast."""

    def copy(folder: Path) -> None:
        listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for name in filter(None, listed.split("\0")):
            if name.split("/")[0] in ("copier.yml", "template", "extensions", "tasks") and (
                (ROOT / name).is_symlink() or (ROOT / name).exists()
            ):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)

    return made_once(folder_of_all_workers(tmp_path_factory) / "template", copy)


@pytest.fixture(scope="session")
def render(template: Path, copie_session: Copie) -> Render:
    """Render answers into a repository, once for each set; the result must not be changed."""

    def render_once(answers: Answers) -> Path:
        check_names(answers)
        key = hashlib.sha256(json.dumps(answers, sort_keys=True).encode()).hexdigest()[:16]

        def copy(folder: Path) -> None:
            result = copie_session.copy(extra_answers=answers, template_dir=template)
            assert result.exception is None, result.exception
            assert result.project_dir is not None
            Path(result.project_dir).rename(folder)

        return made_once(template.with_name("rendered") / key, copy)

    return render_once


@pytest.fixture
def repository(render: Render, tmp_path: Path) -> Render:
    """Render answers into a git repository of the test's own, which it may change."""

    def render_own(answers: Answers) -> Path:
        folder = tmp_path / str(answers["template"])
        shutil.copytree(render(answers), folder, symlinks=True)
        commit(folder, "Render")
        return folder

    return render_own
