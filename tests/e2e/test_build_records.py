"""What a build leaves with an engine that keeps records of builds and attests its images.

An ARG stands in the records, for all who may use the engine, and in an image that carries its whole
provenance. A secret stands in neither. That the searches find the one shows that they would find
the other.
"""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from kit import recording_engine, wheel
from kit.in_docker import Server, plain_server
from kit.recording_engine import IMAGE, Engine
from kit.template import Render

pytestmark = pytest.mark.docker

LIBRARY = "records-lib"
PASSWORDS = {way: f"{way}s-^0wn%p4ssword/@:" for way in ("arg", "secret")}
"""One for each way to build, so that what is found of it was left by builds of that way."""


@dataclass(frozen=True)
class BuiltClient:
    """A rendered client whose image was built.

    Attributes:
        folder: the repository.
        credentials: how the build got them, which is also the name of its account.
    """

    folder: Path
    credentials: str

    @property
    def password(self) -> str:
        """Return the password of its account."""
        return PASSWORDS[self.credentials]

    @property
    def encoded(self) -> str:
        """Return the password as it stands in a URL."""
        return quote(self.password, safe="")

    @property
    def project(self) -> str:
        """Return the name of the Compose project."""
        return f"records-{self.credentials}"

    def is_betrayed_by(self, text: str) -> bool:
        """Return whether the password stands in a text, as it is or percent-encoded."""
        return self.password in text or self.encoded in text


@pytest.fixture(scope="module")
def server(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server that holds the library."""
    answers = {"template": "server", "project_name": "records-pypi", "https": "none"}
    server = plain_server(render(answers), tmp_path_factory.mktemp("records") / "server")
    wheel.build(server.folder / "pypi_data", LIBRARY, "0.1.0", origin="us")
    wheel.of_installed(server.folder / "pypi_data", "pip")
    for user, password in PASSWORDS.items():
        server.make("pypi-user-add", f"USER={user}", "PASSWORD_STDIN=1", stdin=f"{password}\n")
    server.make("pypi-launch")
    yield server
    server.make("pypi-stop")


@pytest.fixture(scope="module")
def engine(server: Server) -> Iterator[Engine]:
    """An engine whose builds reach the server's gateway on 127.0.0.1."""
    with recording_engine.running(f"{server.project}-gateway-1") as engine:
        yield engine


@pytest.fixture(scope="module", params=PASSWORDS)
def client(
    request: pytest.FixtureRequest,
    render: Render,
    engine: Engine,
    tmp_path_factory: pytest.TempPathFactory,
) -> BuiltClient:
    """A client, built as somebody would who knows Compose alone."""
    credentials = request.param
    folder = tmp_path_factory.mktemp(credentials) / "client"
    client = BuiltClient(folder, credentials)
    answers = {
        "template": "client",
        "project_name": client.project,
        "private_packages": [LIBRARY],
        "pypi_url": "http://127.0.0.1",
        "python_version": IMAGE.removeprefix("python:").removesuffix("-slim"),
        "build_credentials": credentials,
        "index_user": credentials,
        "index_password": client.password,
    }
    shutil.copytree(render(answers), folder, symlinks=True)
    override = {"services": {"app": {"build": {"network": "host"}}}}
    (folder / "docker-compose.override.yml").write_text(json.dumps(override))
    engine.docker("compose", "build", cwd=folder)
    return client


def test_the_records_of_the_builder_hold_an_arg_and_no_secret(
    client: BuiltClient, engine: Engine
) -> None:
    records = engine.records()

    assert f"com.docker.compose.project\t{client.project}" in records
    assert f"Successfully installed {LIBRARY}-0.1.0" in records
    assert "https://slsa.dev/provenance" in records
    assert client.is_betrayed_by(records) is (client.credentials == "arg")


def test_the_files_of_the_engine_hold_an_arg_and_no_secret(
    client: BuiltClient, engine: Engine
) -> None:
    assert engine.files_with(f"Name: {LIBRARY}")
    assert engine.files_with(client.password) == []
    assert bool(engine.files_with(client.encoded)) is (client.credentials == "arg")


def test_the_image_holds_no_credential(client: BuiltClient, engine: Engine, tmp_path: Path) -> None:
    image = f"{client.project}-app"
    engine.docker("save", "--output", tmp_path / "image.tar", image)
    shown = [
        engine.docker("history", "--no-trunc", image),
        engine.docker("image", "inspect", image),
        *texts(tmp_path / "image.tar"),
    ]

    assert any(f"Name: {LIBRARY}" in text for text in shown)
    assert any("https://slsa.dev/provenance" in text for text in shown)
    assert not any(client.is_betrayed_by(text) for text in shown)


def test_an_image_with_its_whole_provenance_holds_an_arg_and_no_secret(
    client: BuiltClient, engine: Engine, tmp_path: Path
) -> None:
    files = ("--file=docker-compose.yml", "--file=docker-compose.override.yml")
    output = f"--set=app.output=type=oci,dest={tmp_path}/image.tar"
    more = ("--allow=network.host", "--provenance=mode=max", output)
    engine.docker("buildx", "bake", *files, *more, cwd=client.folder)
    held = list(texts(tmp_path / "image.tar"))

    assert any(f"Name: {LIBRARY}" in text for text in held)
    # The provenance names the secret.
    assert any('"pypi_env"' in text for text in held) is (client.credentials == "secret")
    assert any(client.is_betrayed_by(text) for text in held) is (client.credentials == "arg")


def texts(image: Path) -> Iterator[str]:
    """Yield every part of an image in a tar file as text: layers, metadata, attestations."""
    with tarfile.open(image) as parts:
        for part in parts:
            file = parts.extractfile(part)
            if file:
                content = file.read()
                packed = content.startswith(b"\x1f\x8b")
                yield (gzip.decompress(content) if packed else content).decode("latin-1")
