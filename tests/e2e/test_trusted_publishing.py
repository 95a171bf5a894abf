"""Trusted publishing as jobs of CI services do it: with real clients, and without any password."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import issuer as issuers
from kit import trusting
from kit.authority import Authority
from kit.client import MakeClient
from kit.install import as_bob
from kit.issuer import COMMIT, CONFIGURATION, JOB, PIPELINE, REPOSITORY, RUN, WORKFLOW, Issuer
from kit.library import Library
from kit.publish import with_poetry, with_twine
from kit.trusting import AUDIENCE, GITHUB, GITLAB, TrustingIndex, pipeline, workflow
from kit.user import User, installed


@pytest.fixture(scope="module")
def other_issuer(authority: Authority) -> Iterator[Issuer]:
    """An issuer such as a self-managed GitLab, whose keys are of the other kind."""
    with issuers.running(authority) as running:
        running.rotate("ES256")
        yield running


@pytest.fixture(scope="module")
def index(
    rendered: Path,
    authority: Authority,
    issuer: Issuer,
    other_issuer: Issuer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TrustingIndex]:
    """An index that trusts a workflow of GitHub and a pipeline of GitLab."""
    with trusting.running(rendered, tmp_path_factory.mktemp("trusting") / "s", authority) as index:
        index.trust(workflow(issuer), pipeline(other_issuer, "gl-*"))
        yield index


def uv_publish(
    user: User, index: TrustingIndex, project: Path, runner: dict[str, Any], *, ok: bool = True
) -> str:
    """Publish what a project has built as a step of a job does."""
    return user.run(
        *("uv", "publish", "--trusted-publishing", "always", "--publish-url", index.url),
        *sorted((project / "dist").iterdir()),
        ok=ok,
        SSL_CERT_FILE=str(index.ca),
        **runner,
    )


def built(project: Path) -> list[str]:
    """Return the names of the distributions that a project has built."""
    return sorted(path.name for path in (project / "dist").iterdir())


def lines_of(index: TrustingIndex, project: Path) -> list[str]:
    """Return the lines of the audit about what a project has built."""
    return [line for line in index.audit().splitlines() if any(f in line for f in built(project))]


def test_a_run_of_github_publishes_and_a_reader_installs_it(
    user: User, venv: Path, index: TrustingIndex, issuer: Issuer, library: Library
) -> None:
    project = library("acme-tax")

    said = uv_publish(user, index, project, issuer.runner_of_github())

    assert "warning" not in said
    assert set(built(project)) <= set(index.server.files())
    user.run(
        *("uv", "pip", "install", "--python", venv, "acme-tax"),
        UV_DEFAULT_INDEX=as_bob(f"{index.url}simple/"),
        SSL_CERT_FILE=str(index.ca),
    )
    assert installed(venv) == {"acme-tax": "0.1.0 from us"}


def test_the_audit_names_workflow_commit_and_run(
    user: User, index: TrustingIndex, issuer: Issuer, library: Library
) -> None:
    project = library("acme-audited")

    uv_publish(user, index, project, issuer.runner_of_github())

    lines = lines_of(index, project)
    assert len(lines) == 2
    for line in lines:
        assert "published" in line
        assert all(part in line for part in (GITHUB, WORKFLOW, COMMIT, RUN))


def test_a_job_of_gitlab_publishes_and_the_audit_names_it(
    user: User, index: TrustingIndex, other_issuer: Issuer, library: Library
) -> None:
    project = library("gl-tax")

    said = uv_publish(user, index, project, other_issuer.runner_of_gitlab(AUDIENCE))

    assert "warning" not in said
    assert set(built(project)) <= set(index.server.files())
    for line in lines_of(index, project):
        assert all(part in line for part in (GITLAB, CONFIGURATION, COMMIT))
        assert JOB in line or PIPELINE in line


@pytest.mark.parametrize("tool", ["twine", "poetry"])
def test_other_clients_publish_with_a_minted_password(
    user: User, index: TrustingIndex, issuer: Issuer, library: Library, tool: str
) -> None:
    project = library(f"acme-by-{tool}")
    password = index.password(issuer.sign(issuer.github(AUDIENCE)))
    user.environment |= {"REQUESTS_CA_BUNDLE": str(index.ca)}

    publish = with_twine if tool == "twine" else with_poetry
    publish(user, project, index.url, "__token__", password, True)

    assert set(built(project)) <= set(index.server.files())


def test_a_minted_password_is_nowhere_on_the_disk(
    user: User, index: TrustingIndex, issuer: Issuer, library: Library
) -> None:
    password = index.password(issuer.sign(issuer.github(AUDIENCE)))
    assert index.publish(password, "acme-secret").status == 200

    for path in index.server.data.parent.rglob("*"):
        if path.is_file():
            assert password.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("manager", ["uv", "poetry"])
def test_a_rendered_app_publishes_from_its_ci_and_says_why_not(
    client: MakeClient, index: TrustingIndex, issuer: Issuer, manager: str
) -> None:
    name = f"acme-app-by-{manager}"
    app = client(
        {
            "project_name": name,
            "pypi_url": index.url.rstrip("/"),
            "package_manager": manager,
            "trusted_publishing": True,
            "index_user": "",
        }
    )
    app.environment |= {"SSL_CERT_FILE": str(index.ca), "REQUESTS_CA_BUNDLE": str(index.ca)}
    app.make("package")
    runner = issuer.runner_of_github(repository_id="1")

    said = app.make("upload", ok=False, **runner)

    assert "repository_id is '1', not" in said
    assert not [file for file in index.server.files() if f"app_by_{manager}" in file]

    runner = issuer.runner_of_github()
    said = app.make("upload", ok=True, **runner)

    assert f"Published {name} 0.1.0" in said
    assert len([file for file in index.server.files() if f"app_by_{manager}" in file]) == 2
    lines = [line for line in index.audit().splitlines() if f"acme_app_by_{manager}" in line]
    assert len(lines) == 2
    assert all(COMMIT in line for line in lines)


def test_uv_shows_why_a_project_is_refused(
    user: User, index: TrustingIndex, issuer: Issuer, library: Library
) -> None:
    project = library("other-tax")

    said = uv_publish(user, index, project, issuer.runner_of_github(), ok=False)

    assert "403" in said
    assert f"{GITHUB} may publish billing and acme-*, not other-tax" in one_line(said)
    assert not set(built(project)) & set(index.server.files())


def test_uv_shows_why_a_token_is_refused(
    user: User, index: TrustingIndex, issuer: Issuer, library: Library
) -> None:
    runner = issuer.runner_of_github(job_workflow_ref=f"{REPOSITORY}/.github/workflows/test.yml@x")

    said = uv_publish(user, index, library("acme-tax"), runner, ok=False)

    assert "job_workflow_ref" in one_line(said).partition("Token claims")[0]
    assert f"{REPOSITORY}/.github/workflows/test.yml@x" in said


def test_uv_publishes_without_a_flag_where_a_job_can_have_a_token(
    user: User, index: TrustingIndex, issuer: Issuer, library: Library
) -> None:
    project = library("acme-no-flag")
    user.environment |= {"SSL_CERT_FILE": str(index.ca), **issuer.runner_of_github()}

    # It takes the files in dist/.
    user.run("uv", "publish", "--publish-url", index.url, folder=project)

    assert set(built(project)) <= set(index.server.files())


def test_a_password_ends_when_its_client_says_that_it_is_done(
    index: TrustingIndex, issuer: Issuer
) -> None:
    password = index.password(issuer.sign(issuer.github(AUDIENCE)))
    assert index.publish(password, "acme-done", "1.0").status == 200

    body = json.dumps({"token": password}).encode()
    answer = index.post("_/oidc/burn-token", body, {"Content-Type": "application/json"})

    # As PyPI answers, which does not tell whether there was such a password.
    assert answer.status == 202
    refused = index.publish(password, "acme-done", "2.0")
    assert refused.status in (401, 403)
    assert "acme_done-2.0-py3-none-any.whl" not in index.server.files()


def one_line(said: str) -> str:
    """Return what a client printed without the line breaks of its own."""
    return re.sub(r"\s+", " ", said)
