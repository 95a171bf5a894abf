"""What the rendered CI files say, done line by line: a push, then a tag that publishes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import yaml
from kit import commands, stand_in
from kit.client import Client, MakeClient
from kit.git import commit, git
from kit.server import Server
from kit.template import PASSWORD, Render

TAG = "v0.1.0"
READER = {"INDEX_USER": "bob", "INDEX_PASSWORD": PASSWORD}
PUBLISHER = {"PUBLISH_USER": "alice", "PUBLISH_PASSWORD": PASSWORD}

NAMES = ("Makefile", "GNUmakefile", "uv.toml", "git", "tools/login.py", "tools/json.py")
THIEF = """\
import os
with open(os.environ["STOLEN"], "a") as file:
    file.write("A planted program ran.\\n")
"""
MAKEFILE = """\
login upload:
	@cat >> "$(STOLEN)"; env >> "$(STOLEN)"
"""
GIT_CONFIG = """\
[core]
	fsmonitor = "env >> \\"$STOLEN\\"; false"
	sshCommand = "env >> \\"$STOLEN\\"; false"
	hooksPath = hooks
"""


class Job(NamedTuple):
    """What one job runs: the shell's lines, with the variables that each of them sees."""

    name: str
    steps: list[tuple[str, dict[str, str]]]
    takes_dist: bool
    leaves_dist: bool
    planted: tuple[str, ...]
    """Files that build code can plant where this job takes what another one left."""
    checked_out: bool = True
    audiences: tuple[str, ...] = ()
    """Whom GitLab's token for this job is for; an empty text if the job asks GitHub for one."""


def github_jobs(folder: Path) -> list[Job]:
    """Return the jobs of the workflow, in the order in which they depend on each other."""
    workflow = yaml.safe_load((folder / ".github/workflows/ci.yml").read_text())
    jobs = []
    for name, job in workflow["jobs"].items():
        common = {"GITHUB_ACTIONS": "true", "GITHUB_REF_NAME": TAG, **workflow["env"]}
        # The publisher's secrets belong to this environment.
        secrets = {**READER, **(PUBLISHER if job.get("environment") == "publish" else {})}
        steps = [
            (
                step["run"],
                {**common, **{k: secret(v, secrets) for k, v in step.get("env", {}).items()}},
            )
            for step in job["steps"]
            if "run" in step
        ]
        with_dist = [
            step["uses"] for step in job["steps"] if step.get("with", {}).get("name") == "dist"
        ]
        takes = any("download-artifact" in action for action in with_dist)
        leaves = any("upload-artifact" in action for action in with_dist)
        # The action unpacks into that folder and nowhere else.
        planted = tuple(f"dist/{name}" for name in NAMES) if takes else ()
        audiences = ("",) if job["permissions"].get("id-token") == "write" else ()
        jobs.append(Job(name, steps, takes, leaves, planted, audiences=audiences))
    return jobs


def secret(value: str, secrets: dict[str, str]) -> str:
    """Return what an expression of GitHub's stands for: nothing if there is no such secret."""
    found = re.fullmatch(r"\$\{\{ secrets\.(\w+) \}\}", value)
    return secrets.get(found[1], "") if found else value


def masks(said: str) -> list[str]:
    """Return what GitHub hides in a log, reading commands as its documentation says it does."""
    found = re.findall(r"^::add-mask::(.*)$", said, re.MULTILINE)
    return [text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%") for text in found]


def gitlab_jobs(folder: Path) -> list[Job]:
    """Return the jobs of the pipeline, in the order of its stages."""
    pipeline: dict[str, Any] = yaml.safe_load((folder / ".gitlab-ci.yml").read_text())
    jobs = []
    for name, job in pipeline.items():
        if isinstance(job, dict) and "script" in job:
            extended = job.get("extends", [])
            parents = [extended] if isinstance(extended, str) else extended
            seen = {"CI_COMMIT_TAG": TAG, **pipeline["variables"]}
            # The variables have the scopes of these environments.
            environment = pipeline[".private-index"] if ".private-index" in parents else job
            scope = environment.get("environment", {}).get("name")
            seen |= {"private-index": READER, "publish": PUBLISHER, None: {}}[scope]
            steps = [(line, seen) for line in job["script"]]
            leaves = job.get("artifacts", {}).get("paths") == ["dist/"]
            takes = job["stage"] == "publish"
            # GitLab's runner unpacks any file, over those of the checkout and of git.
            planted: tuple[str, ...] = (*NAMES, ".git/config") if takes else ()
            strategy = job.get("variables", {}).get("GIT_STRATEGY")
            if takes and strategy != "empty":
                # A runner may have kept what a job of another pipeline left there.
                planted += ("dist/left-1.0-py3-none-any.whl",)
            checked_out = strategy not in ("none", "empty")
            audiences = tuple(one["aud"] for one in job.get("id_tokens", {}).values())
            jobs.append(Job(name, steps, takes, leaves, planted, checked_out, audiences))
    stages = pipeline["stages"]
    return sorted(jobs, key=lambda job: stages.index(pipeline[job.name]["stage"]))


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with what a runner has and this machine need not have: it only notes its calls."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("apk", "docker", "pip", "pipx"):
        script = (
            f'#!/bin/sh\nprintf "%s %s\\n" {name} "$*" >> "$CALLS"\n'
            '[ -z "$PIP_EXTRA_INDEX_URL" ] || echo "with credentials" >> "$CALLS"\n'
        )
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("ci", "manager", "locked"),
    [
        ("github", "poetry", True),
        ("github", "uv", False),
        ("gitlab", "poetry", False),
        ("gitlab", "uv", True),
    ],
)
def test_a_tag_is_tested_built_and_published_by_jobs_of_which_the_builder_knows_no_password(
    client: MakeClient,
    server: Server,
    programs: Path,
    tmp_path: Path,
    ci: str,
    manager: str,
    locked: bool,
) -> None:
    name = f"{ci}-{manager}-app"
    app = client({"ci": ci, "package_manager": manager, "locked": locked, "package_name": name})
    if locked:
        app.make("lock")
        commit(app.folder, "Lock")
    git(app.folder, "tag", TAG)

    jobs = (github_jobs if ci == "github" else gitlab_jobs)(app.folder)
    done = {}
    for job in jobs:
        done[job.name] = run(job, app, programs, tmp_path)

    image = "image" if ci == "github" else "build"
    release = ["package", "publish"]
    later = ["scan", *release] if ci == "github" else [*release, "scan"]
    assert list(done) == ["test", image, *later]
    assert "passed" in done["test"]
    calls = (tmp_path / f"{image}-calls").read_text()
    assert "docker compose build\nwith credentials\n" in calls
    assert "docker compose run --rm app" in calls
    assert "twine==" in (tmp_path / "package-calls").read_text()
    # Nothing but uv, which is one program, is with the publisher's password.
    assert re.fullmatch(r"pipx? install uv==[\d.]+\n", (tmp_path / "publish-calls").read_text())
    assert not (tmp_path / "stolen").exists()
    (builder,) = (job for job in jobs if job.name == "package")
    assert builder.leaves_dist
    users = {
        job.name: {
            user
            for _, seen in job.steps
            for name, user in seen.items()
            if name in ("INDEX_USER", "PUBLISH_USER")
        }
        for job in jobs
    }
    assert users == {
        "test": {"bob"},
        image: {"bob"},
        "scan": set(),
        "package": set(),
        "publish": {"alice"},
    }
    in_a_url = quote(PASSWORD, safe="")
    for job in jobs:
        assert masks(done[job.name]) == ([in_a_url] if users[job.name] and ci == "github" else [])
    stem = name.replace("-", "_")
    assert [file for file in server.files() if file.startswith(stem)] == [
        f"{stem}-0.1.0-py3-none-any.whl",
        f"{stem}-0.1.0.tar.gz",
    ]


@pytest.mark.parametrize(("ci", "manager"), [("github", "poetry"), ("gitlab", "uv")])
def test_a_tag_is_published_without_a_stored_password(
    client: MakeClient, programs: Path, tmp_path: Path, ci: str, manager: str
) -> None:
    with stand_in.running() as index:
        trusted = {"trusted_publishing": True, "index_user": "", "pypi_url": index.url}
        app = client({"ci": ci, "package_manager": manager, **trusted})
        git(app.folder, "tag", TAG)
        app.make("package")
        shutil.copytree(app.folder / "dist", tmp_path / "dist")
        jobs = (github_jobs if ci == "github" else gitlab_jobs)(app.folder)
        (job,) = (job for job in jobs if job.audiences)
        assert job.name == "publish"
        # The host of the index, as its server calls itself.
        assert job.audiences == (("",) if ci == "github" else ("127.0.0.1",))
        assert not [seen for _, seen in job.steps if "INDEX_USER" in seen]
        identity = index.on_github() if ci == "github" else index.on_gitlab()
        app.environment.update(identity)

        said = run(job, app, programs, tmp_path)

        assert "Published my-app 0.1.0" in said
        assert sorted(index.uploads) == ["my_app-0.1.0-py3-none-any.whl", "my_app-0.1.0.tar.gz"]
        hidden = [stand_in.MINTED] if ci == "github" else []
        assert masks(said) == hidden
        assert said.count(stand_in.MINTED) == 0
        assert not (tmp_path / "stolen").exists()
        # Nothing but uv is with what proves the job's identity.
        assert re.fullmatch(r"pipx? install uv==[\d.]+\n", (tmp_path / "publish-calls").read_text())


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_a_missing_publisher_is_told_before_anything_is_sent(
    repository: Render, tmp_path: Path, ci: str
) -> None:
    folder = repository({"template": "client", "ci": ci})
    jobs = (github_jobs if ci == "github" else gitlab_jobs)(folder)
    (lines,) = (job.steps for job in jobs if job.name == "publish")
    (line,) = (line for line, _ in lines if "PUBLISH_USER and PUBLISH_PASSWORD" in line)

    done = commands.ask("bash", "-e", "-c", line, cwd=folder)

    assert done.returncode == 1
    assert re.match(
        r"(::error::)?Add two (secrets|variables), PUBLISH_USER and PUBLISH_PASSWORD, of an account"
        " that may publish",
        done.stdout,
    )
    assert len(done.stdout.splitlines()) == 1
    assert not (folder / ".pypi.env").exists()


def run(job: Job, app: Client, programs: Path, folder: Path) -> str:
    """Run a job's lines as a runner would, in a clone of its own; return all they printed."""
    clone, dist, source = folder / job.name, folder / "dist", f"file://{app.folder}"
    if job.checked_out:
        git(folder, "clone", "--quiet", "--branch", TAG, "--depth=1", source, str(clone))
    else:
        clone.mkdir()
    assert not (clone / ".pypi.env").exists()
    if job.takes_dist:
        shutil.copytree(dist, clone / "dist")
    for name in job.planted:
        path = clone / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            {"config": GIT_CONFIG, "uv.toml": 'publish-url = "http://127.0.0.1:1"\n'}.get(
                path.name, MAKEFILE if path.name.lower().endswith("makefile") else THIEF
            )
        )
    environment = {
        "CI_REPOSITORY_URL": source,
        "STOLEN": str(folder / "stolen"),
        **app.environment,
        "PATH": f"{programs}:{app.environment['PATH']}",
        "CALLS": str(folder / f"{job.name}-calls"),
    }
    said = ""
    for line, seen in job.steps:
        shell = ("bash", "-e", "-c", line)
        printed = commands.run(*shell, cwd=clone, environment={**environment, **seen}, timeout=240)
        assert PASSWORD not in printed
        said += printed
    if job.leaves_dist:
        shutil.copytree(clone / "dist", dist)
    return said
