"""From `copier copy` of both templates to a private package inside a Docker image.

The server runs in its containers, the library is published from outside, and the client's image
is built with plain `docker compose build`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from conftest import PASSWORD, ROOT, Render

from e2e.in_docker import Server, docker, plain_server

pytestmark = pytest.mark.docker

LIBRARY = "pypi-e2e-private-lib"
"""A name that nobody has on PyPI."""


@pytest.fixture(scope="module")
def server(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server that holds the library, published with Poetry from outside."""
    answers = {
        "template": "server",
        "project_name": "client-e2e-pypi",
        "https": "none",
        "publisher_password": PASSWORD,
    }
    folder = tmp_path_factory.mktemp("client-in-docker")
    server = plain_server(render(answers), folder / "server")
    server.make("pypi-launch")
    publish(server, folder / "library")
    yield server
    server.make("pypi-stop")


def publish(server: Server, folder: Path) -> None:
    """Publish the demo's library under a name of this test's own."""
    shutil.copytree(ROOT / "demo/my-private-lib", folder)
    project = folder / "pyproject.toml"
    project.write_text(project.read_text().replace('"my-private-lib"', f'"{LIBRARY}"'))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POETRY_REPOSITORIES_PRIVATE_URL", f"{server.url}/")
        patch.setenv("POETRY_HTTP_BASIC_PRIVATE_USERNAME", "admin")
        patch.setenv("POETRY_HTTP_BASIC_PRIVATE_PASSWORD", PASSWORD)
        patch.setenv("POETRY_VIRTUALENVS_CREATE", "false")
        command = ["poetry", "publish", "--build", "--repository", "private"]
        subprocess.run(command, cwd=folder, check=True)


@pytest.fixture(
    params=[(s, c) for s in ("single", "extra") for c in ("arg", "secret")], ids="-".join
)
def answers(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Answers for a client, less what depends on the server, for each way to build."""
    strategy, credentials = request.param
    return {
        "template": "client",
        "project_name": "client-e2e",
        "private_packages": [LIBRARY],
        "index_strategy": strategy,
        "build_credentials": credentials,
    }


def client(render: Render, answers: dict[str, Any], server: Server, folder: Path) -> Path:
    """Copy a rendered client whose build reaches the server on this machine's 127.0.0.1."""
    shutil.copytree(render({**answers, "pypi_url": server.url}), folder, symlinks=True)
    override = {"services": {"app": {"build": {"network": "host"}}}}
    (folder / "docker-compose.override.yml").write_text(json.dumps(override))
    return folder


def test_the_image_holds_the_package_and_no_credential(
    render: Render, answers: dict[str, Any], server: Server, tmp_path: Path
) -> None:
    account = {"index_user": "admin", "index_password": PASSWORD}
    folder = client(render, {**answers, **account}, server, tmp_path / "client")

    built = docker("compose", "build", "--no-cache", cwd=folder)
    said = docker("compose", "run", "--rm", "app", cwd=folder)
    assert f"{LIBRARY} 0.1.0" in said

    image = "client-e2e-app"
    running = docker("compose", "run", "--rm", "--entrypoint", "env", "app", cwd=folder)
    searched = [
        built,
        running,
        docker("history", "--no-trunc", image),
        docker("inspect", image),
        *saved_texts(image, tmp_path),
    ]
    for secret in (PASSWORD, quote(PASSWORD, safe="")):
        for text in searched:
            assert secret not in text
    assert "INDEX_URL" not in running
    user = docker("compose", "run", "--rm", "--entrypoint", "id", "app", cwd=folder)
    assert "uid=10001(app)" in user


def saved_texts(image: str, folder: Path) -> Iterator[str]:
    """Yield every file of the image's layers, and its metadata, as text."""
    docker("save", "--output", str(folder / "image.tar"), image)
    with tarfile.open(folder / "image.tar") as image_tar:
        for member in image_tar:
            file = image_tar.extractfile(member)
            # A layer is a tar file, not compressed: what is in it can be read where it stands.
            if file:
                yield file.read().decode("latin-1")


@pytest.mark.parametrize("settings", [None, "PIP_EXTRA_INDEX_URL=\n"], ids=["missing", "empty"])
def test_a_build_without_credentials_stops_and_says_what_to_do(
    render: Render, answers: dict[str, Any], server: Server, tmp_path: Path, settings: str | None
) -> None:
    folder = client(render, answers, server, tmp_path / "client")
    if settings is not None:
        (folder / ".pypi.env").write_text(settings)
    said = docker("compose", "build", "--no-cache", cwd=folder, ok=False)
    if settings is None and answers["build_credentials"] == "secret":
        # Compose finds that the file is missing, before any line of the Dockerfile runs.
        assert ".pypi.env" in said
        made = subprocess.run(
            ["make", "build"], cwd=folder, capture_output=True, text=True, check=False
        )
        assert made.returncode != 0
        said = made.stderr
    assert "run 'make login'" in said.replace("`", "'")
    assert "Successfully installed" not in said


@pytest.mark.parametrize("credentials", ["arg", "secret"])
def test_a_wrong_password_stops_a_build_from_the_single_index(
    render: Render, server: Server, tmp_path: Path, credentials: str
) -> None:
    answers = {
        "template": "client",
        "private_packages": [LIBRARY],
        "build_credentials": credentials,
        "index_user": "admin",
        "index_password": "not-the-password",
    }
    folder = client(render, answers, server, tmp_path / "client")
    said = docker("compose", "build", "--no-cache", cwd=folder, ok=False)
    assert f"No matching distribution found for {LIBRARY}" in said
