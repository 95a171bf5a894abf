"""From `copier copy` of both templates to a private package inside a Docker image.

The server runs in its containers, the library is published from outside, and the client's image
is built with plain `docker compose build`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from kit import wheel
from kit.commands import run
from kit.git import commit, git
from kit.in_docker import Server, docker, plain_server
from kit.public_index import PublicIndex
from kit.rendered_files import holding, read
from kit.template import PASSWORD, ROOT, Answers, Render
from kit.ways import COVERING, name_of

pytestmark = pytest.mark.docker

ACCOUNT = {"index_user": "admin", "index_password": PASSWORD}
LONG_AGO = 1_700_000_000
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
    # For the locks: what PyPI has of that name is of no interest here.
    old(wheel.build(server.folder / "pypi_data", "pytest", "99.0.0", origin="us"))
    # For the cooldown, in place of an older pip of the image.
    wheel.of_installed(server.folder / "pypi_data", "pip")
    server.make("pypi-launch")
    publish(server, folder / "library")
    yield server
    server.make("pypi-stop")


def old(distribution: Path) -> None:
    """Let the server take a distribution for one that has been there for long."""
    os.utime(distribution, (LONG_AGO, LONG_AGO))


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


@pytest.mark.parametrize("way", COVERING, ids=name_of)
def test_the_image_holds_the_package_and_no_credential(
    render: Render, way: Answers, server: Server, public: PublicIndex, tmp_path: Path
) -> None:
    answers = {**way, "project_name": "client-e2e", "private_packages": [LIBRARY], **ACCOUNT}
    folder = client(render, answers, server, tmp_path / "client")
    if way["index_strategy"] == "extra":
        # Who has the library's name on PyPI must not matter here.
        public.stand_in_for_pip(folder)
        if way["package_manager"] == "uv":
            public.stand_in_for_uv(folder)
        else:
            public.stand_in_for_poetry(folder)
    if way["locked"]:
        lock(folder)
    if way["build_credentials"] == "secret":
        # The one line that pip needs is taken out of it; no shell runs the rest.
        credentials = (folder / ".pypi.env").read_text()
        (folder / ".pypi.env").write_text(f"echo pwned; exit 7\n{credentials}PATH=/nowhere\n")

    built = docker("compose", "build", "--no-cache", cwd=folder)
    said = docker("compose", "run", "--rm", "app", cwd=folder)
    assert f"{LIBRARY} 0.1.0" in said

    image = "client-e2e-app"
    shell = ("--entrypoint", "sh", "app", "-c", "env; id")
    running = docker("compose", "run", "--rm", *shell, cwd=folder)
    saved = list(saved_texts(image, tmp_path))
    # So this looks where a build leaves things.
    assert any(f"Name: {LIBRARY}" in text for text in saved)
    searched = [
        built,
        running,
        docker("history", "--no-trunc", image),
        docker("inspect", image),
        *saved,
    ]
    for secret in (PASSWORD, quote(PASSWORD, safe="")):
        for text in searched:
            assert secret not in text
    assert "INDEX_URL" not in running
    assert "uid=10001(app)" in running
    assert "pwned" not in built


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


def release(
    server: Server, name: str, version: str, *requirements: str, is_fresh: bool = True
) -> None:
    """Put a release on the server, uploaded now or long ago; wait until it tells of it."""
    made = server.folder / "made"
    made.mkdir(exist_ok=True)
    path = wheel.build(made, name, version, *requirements, origin="us")
    if not is_fresh:
        old(path)
    path = path.rename(server.folder / "pypi_data" / path.name)
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, server.url, "admin", PASSWORD)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), opener.open(f"{server.url}/simple/{name}/") as page:
            if path.name in page.read().decode():
                return
        assert time.monotonic() < deadline
        time.sleep(0.1)


def make(folder: Path, *arguments: str, ok: bool = True) -> str:
    """Run make in a client and return all it printed, which holds no password."""
    said = run("make", *arguments, cwd=folder, ok=ok)
    assert PASSWORD not in said
    assert quote(PASSWORD, safe="") not in said
    assert "Traceback" not in said
    return said


def lock(folder: Path) -> None:
    """Lock on this machine, whose Python may be older than the image's."""
    project = folder / "pyproject.toml"
    project.write_text(project.read_text().replace(">=3.13", ">=3.10"))
    make(folder, "lock")


def test_an_upgrade_takes_new_private_releases_only_and_a_cached_build_takes_none(
    render: Render, server: Server, tmp_path: Path
) -> None:
    ours, theirs = "client-e2e-ours", "client-e2e-theirs"
    release(server, theirs, "1.0.0", is_fresh=False)
    release(server, ours, "0.1.0", theirs)
    answers = {
        "template": "client",
        "project_name": "client-e2e-upgrade",
        "private_packages": [ours],
        **ACCOUNT,
    }
    folder = client(render, answers, server, tmp_path / "client")
    commit(folder)
    make(folder, "build")

    release(server, theirs, "1.0.1", is_fresh=False)
    release(server, ours, "0.2.0", theirs)
    make(folder, "build")
    assert f"{ours} 0.1.0" in make(folder, "run")

    # What the client does not call private stays.
    assert make(folder, "upgrade").splitlines()[-1] == f"{ours} 0.1.0 -> 0.2.0"
    assert f"{ours} 0.2.0" in make(folder, "run")
    said = make(folder, "upgrade")
    assert said.splitlines()[-1] == "Nothing changed: there is no newer release."
    assert "Collecting" not in said
    assert git(folder, "status", "--short") == ""
    assert holding({"c": read(folder / "constraints.txt")}, [PASSWORD]) == []

    # A new release that cannot be had beside the public packages as they are.
    before = (folder / "constraints.txt").read_bytes()
    release(server, theirs, "2.0.0", is_fresh=False)
    release(server, ours, "0.3.0", f"{theirs}>=2")
    (folder / "requirements.txt").write_text(f"{ours}==0.3.*\n")
    assert "delete constraints.txt and run `make build" in make(folder, "upgrade", ok=False)
    assert (folder / "constraints.txt").read_bytes() == before


@pytest.mark.parametrize(("manager", "strategy"), [("poetry", "single"), ("uv", "extra")])
def test_one_build_takes_a_fresh_private_release_and_lets_a_fresh_public_one_wait(
    render: Render,
    server: Server,
    public: PublicIndex,
    tmp_path: Path,
    manager: str,
    strategy: str,
) -> None:
    end = f"{manager}-{strategy}"
    ours, theirs = f"client-e2e-fresh-{end}", f"client-e2e-waits-{end}"
    if strategy == "single":
        # The index has it from elsewhere, as one that mirrors PyPI would.
        release(server, theirs, "1.0.0", is_fresh=False)
        release(server, theirs, "2.0.0")
    else:
        wheel.build(public.folder, theirs, "1.0.0", origin="the public index")
        made = wheel.build(public.folder, theirs, "2.0.0", origin="the public index")
        public.fresh.add(made.name)
    release(server, ours, "0.1.0", theirs)
    answers = {
        "template": "client",
        "project_name": "client-e2e-cooldown",
        "package_manager": manager,
        "index_strategy": strategy,
        "private_packages": [ours],
        **ACCOUNT,
    }
    folder = client(render, answers, server, tmp_path / "client")
    if strategy == "extra":
        public.stand_in_for_pip(folder)

    assert f"{ours} 0.1.0" in make(folder, "build") + make(folder, "run")
    assert versions(folder, ours, theirs) == {ours: "0.1.0", theirs: "1.0.0"}

    release(server, ours, "0.2.0", theirs)
    assert make(folder, "upgrade").splitlines()[-1] == f"{ours} 0.1.0 -> 0.2.0"
    assert versions(folder, ours, theirs) == {ours: "0.2.0", theirs: "1.0.0"}


def versions(folder: Path, *names: str) -> dict[str, str]:
    """Return which versions of some packages are in a client's image."""
    program = "import importlib.metadata as m, json, sys; "
    program += "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
    command = ("compose", "run", "--rm", "--no-deps", "-T", "app", "python", "-c", program)
    found: dict[str, str] = json.loads(docker(*command, *names, cwd=folder).splitlines()[-1])
    return found


@pytest.mark.parametrize(("manager", "credentials"), [("uv", "secret"), ("poetry", "arg")])
def test_a_locked_image_is_built_from_the_lock_alone(
    render: Render, server: Server, tmp_path: Path, manager: str, credentials: str
) -> None:
    library = f"client-e2e-locked-{manager}"
    release(server, library, "0.1.0")
    answers = {
        "template": "client",
        "project_name": "client-e2e-locked",
        "package_manager": manager,
        "locked": True,
        "private_packages": [library],
        "build_credentials": credentials,
        **ACCOUNT,
    }
    folder = client(render, answers, server, tmp_path / "client")
    assert "error: nothing is locked yet: run 'make lock'" in make(folder, "build", ok=False)
    (folder / "requirements.txt").write_text(f"{library}\n")
    said = docker("compose", "build", cwd=folder, ok=False)
    assert "Nothing is locked yet: run 'make lock', then build again." in said

    lock(folder)
    release(server, library, "0.2.0")
    docker("compose", "build", "--no-cache", cwd=folder)
    assert f"{library} 0.1.0" in make(folder, "run")

    assert make(folder, "upgrade").splitlines()[-1] == f"{library} 0.1.0 -> 0.2.0"
    if manager == "uv":
        make(folder, "build")
        assert f"{library} 0.2.0" in make(folder, "run")
        requirements = folder / "requirements.txt"
        forged = re.sub("sha256:[0-9a-f]{8}", "sha256:00000000", requirements.read_text())
        requirements.write_text(forged)
        assert "DO NOT MATCH THE HASHES" in make(folder, "build", ok=False)
