"""What image builds leave behind with their builder, what stops them, and what they cost."""

from __future__ import annotations

import json
import re
import shutil
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from kit import wheel
from kit.commands import run
from kit.http import status
from kit.in_docker import Server, docker, plain_server
from kit.template import Render
from kit.waiting import wait_until

pytestmark = pytest.mark.docker

LIBRARY = "builders-lib"
# Nobody else's, so that what is found of it was left by these builds.
SECRET = "b^Uilders'-0wn%s3cret/@:".replace("'", "~")
ENCODED = quote(SECRET, safe="")


@pytest.fixture(scope="module")
def server(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server that holds the library; its account has the secret."""
    answers = {"template": "server", "project_name": "builders-pypi", "https": "none"}
    folder = tmp_path_factory.mktemp("builders") / "server"
    server = plain_server(render({**answers, "publisher_password": SECRET}), folder)
    wheel.build(server.folder / "pypi_data", LIBRARY, "0.1.0", origin="us")
    wheel.of_installed(server.folder / "pypi_data", "pip")
    server.make("pypi-launch")
    yield server
    server.make("pypi-stop")


Client = Callable[..., Path]


@pytest.fixture
def client(render: Render, server: Server, tmp_path: Path) -> Client:
    """Render a client of the server, whose builds reach it on this machine's 127.0.0.1."""

    def make(**answers: Any) -> Path:
        every = {
            "template": "client",
            "project_name": "builders",
            "private_packages": [LIBRARY],
            "pypi_url": server.url,
            "index_user": "admin",
            "index_password": SECRET,
        }
        folder = tmp_path / "client"
        shutil.copytree(render({**every, **answers}), folder, symlinks=True)
        override = {"services": {"app": {"build": {"network": "host"}}}}
        (folder / "docker-compose.override.yml").write_text(json.dumps(override))
        return folder

    return make


def build(folder: Path, *arguments: str, ok: bool = True) -> str:
    """Build the image as somebody would who knows Compose alone; return all it printed."""
    return docker("compose", "build", *arguments, cwd=folder, ok=ok)


# What is left -------------------------------------------------------------------------------------


def test_a_secret_leaves_nothing_in_the_records_of_the_builder(client: Client) -> None:
    folder = client(build_credentials="secret")
    began = int(time.time()) - 1

    said = build(folder, "--no-cache")

    assert SECRET not in said
    assert ENCODED not in said
    # The package shows that this looks where a build leaves things.
    assert files_of_docker_with(f"Name: {LIBRARY}", since=began)
    assert files_of_docker_with(SECRET, since=began) == []
    assert files_of_docker_with(ENCODED, since=began) == []


def files_of_docker_with(text: str, *, since: int) -> list[str]:
    """Return which of the engine's own files, changed since a Unix time, hold a text.

    Those are its records of builds, its images and layers, not the logs of containers.
    """
    root = docker("info", "--format", "{{.DockerRootDir}}").strip()
    mount = ["run", "--rm", "--network", "none", "--volume", f"{root}:/docker:ro", "--user", "0"]
    find = (
        f"cd /docker; find buildkit image overlay2/*/diff -xdev -type f -newerct @{since}"
        ' -exec grep -lFe "$0" {} + || :'
    )
    said = docker(*mount, "--entrypoint", "sh", "python:3.13-slim", "-c", find, text)
    return [line for line in said.splitlines() if not line.startswith(("grep: ", "find: "))]


@pytest.mark.skipif(not shutil.which("buildah"), reason="Buildah is not installed")
def test_buildah_builds_an_image_without_the_credential(client: Client, tmp_path: Path) -> None:
    folder = client()
    (base,) = set(re.findall(r"^FROM (\S+)", (folder / "Dockerfile").read_text(), re.M))
    docker("save", "--output", str(tmp_path / "base.tar"), base)
    store = ["--root", str(tmp_path / "store"), "--runroot", str(tmp_path / "run")]
    buildah = ["buildah", *store, "--storage-driver", "vfs"]
    run(*buildah, "pull", "--quiet", f"docker-archive:{tmp_path / 'base.tar'}")
    url = re.findall(r"^PIP_EXTRA_INDEX_URL='?([^'\n]+)", (folder / ".pypi.env").read_text(), re.M)

    said = run(
        *(*buildah, "build", "--isolation", "chroot", "--network", "host"),
        *("--build-arg", "PIP_EXTRA_INDEX_URL", "--tag", "app", "."),
        cwd=folder,
        PIP_EXTRA_INDEX_URL=url[0],
    )
    assert f"Successfully installed {LIBRARY}-0.1.0" in said

    image = tmp_path / "app.tar"
    run(*buildah, "push", "--quiet", "app", f"docker-archive:{image}")
    content = image.read_bytes()
    assert SECRET.encode() not in content
    assert ENCODED.encode() not in content
    assert ENCODED not in said
    assert ENCODED not in run(*buildah, "inspect", "--type", "image", "app")


# What stops a build -------------------------------------------------------------------------------


def test_a_revoked_account_and_a_stopped_server_stop_a_build_and_make_says_why(
    client: Client, server: Server
) -> None:
    password = server.add_user("leaver", "reader")
    account = {"index_user": "leaver", "index_password": password}
    folder = client(**account)
    assert f"Successfully installed {LIBRARY}-0.1.0" in build(folder, "--no-cache")

    server.make("pypi-user-remove", "USER=leaver")
    wait_until(lambda: status(f"{server.url}/simple/", "leaver", password) == 401, 30)
    refused = build(folder, "--no-cache", ok=False)
    said = run("make", "build", cwd=folder, ok=False)
    assert f"No matching distribution found for {LIBRARY}" in refused
    assert "refuses this user or password" in said

    server.make("pypi-stop")
    try:
        stopped = build(folder, "--no-cache", ok=False)
        said = run("make", "build", cwd=folder, ok=False)
    finally:
        server.make("pypi-launch")
    assert "Connection refused" in stopped
    assert f"No matching distribution found for {LIBRARY}" in stopped
    assert "make" in said
    assert re.search(r"127\.0\.0\.1", said)


# What a build costs -------------------------------------------------------------------------------


def test_the_image_is_little_more_than_the_base_image_and_its_packages(client: Client) -> None:
    folder = client()
    build(folder)
    (base,) = set(re.findall(r"^FROM (\S+)", (folder / "Dockerfile").read_text(), re.M))
    du = ["run", "--rm", "--entrypoint", "du", "builders-app", "-sb", "/venv"]
    packages = int(docker(*du).split()[0])

    assert size("builders-app") < 1.3 * (size(base) + packages)


def size(image: str) -> int:
    """Return the bytes of an image's layers."""
    return int(docker("image", "inspect", "--format", "{{.Size}}", image))


def test_a_change_of_the_code_installs_nothing_anew(client: Client) -> None:
    folder = client()
    build(folder)
    (code,) = folder.glob("src/*/app.py")
    code.write_text(code.read_text() + "\n# A change.\n")

    said = build(folder)

    assert "Successfully installed" not in said
    assert re.search(r"CACHED", said)
    held = [*("run", "--rm", "--entrypoint", "grep", "builders-app"), "-rc", "A change", "/app/src"]
    assert "app.py:1" in docker(*held)


def test_make_run_starts_the_app(client: Client) -> None:
    folder = client()
    run("make", "build", cwd=folder)

    assert f"{LIBRARY} 0.1.0" in run("make", "--silent", "run", cwd=folder)


def test_the_apps_own_tests_pass_on_what_the_image_holds(client: Client) -> None:
    folder = client()
    # The build stage has the image's packages; pytest needs no more than other Python files.
    stage = {"network": "host", "target": "build"}
    override = {"services": {"app": {"image": "builders-stage", "build": stage}}}
    (folder / "docker-compose.override.yml").write_text(json.dumps(override))
    build(folder)

    mounts = [f"--volume={folder / name}:/app/{name}:ro" for name in ("src", "tests")]
    mounts.append(f"--volume={sysconfig.get_path('purelib')}:/pytest:ro")
    run_tests = "PYTHONPATH=src:/pytest /venv/bin/python -B -m pytest -p no:cacheprovider"
    script = f"cd /app && {run_tests} tests/test_app.py"
    environment = ["--env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1"]
    said = docker("run", "--rm", *environment, *mounts, "builders-stage", "sh", "-c", script)
    assert re.search(r"\d passed", said)
