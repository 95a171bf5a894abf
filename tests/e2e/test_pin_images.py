"""The digests of images, asked of a registry by real Buildx and written into the rendered files."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from kit.commands import ask
from kit.processes import in_background
from kit.template import Render

TARGETS = {
    "server": ("pypi-images", ["docker-compose.pypi.yml", "private_pypi/Dockerfile"]),
    "client": ("pin-images", ["Dockerfile"]),
}
"""What writes the digests, and the files that name images of a registry."""

pytestmark = pytest.mark.docker


class Registry(ThreadingHTTPServer):
    """A registry (OCI distribution specification 1.1) that has an image index for every tag."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.build = 1
        """A tag's image is another one after each build."""
        self.missing = ""
        """The name of the image that it does not have."""

    def index(self, name: str) -> bytes:
        """Return the image index that the tags of a name lead to."""
        kind = "application/vnd.oci.image.index.v1+json"
        index = {"schemaVersion": 2, "mediaType": kind, "manifests": []}
        return json.dumps({**index, "annotations": {name: str(self.build)}}).encode()

    def digest(self, name: str) -> str:
        """Return the digest of that index."""
        return f"sha256:{hashlib.sha256(self.index(name)).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    """Answers `GET` and `HEAD` of manifests."""

    server: Registry

    def do_GET(self) -> None:
        """Send the image index of the name that is asked for."""
        found = re.fullmatch(r"/v2/(.+)/manifests/(.+)", self.path)
        if not found or found[1] == self.server.missing:
            self.send_error(404)
            return
        body = self.server.index(found[1])
        self.send_response(200)
        self.send_header("Content-Type", json.loads(body)["mediaType"])
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", self.server.digest(found[1]))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        """Send the same without the index."""
        self.do_GET()

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


@pytest.fixture
def registry() -> Iterator[Registry]:
    """A running registry on this machine, which Buildx talks to without TLS."""
    with Registry() as registry, in_background(registry):
        yield registry


def make(folder: Path, target: str) -> subprocess.CompletedProcess[str]:
    """Run a target of make, whatever it returns."""
    return ask("make", target, cwd=folder, timeout=120)


@pytest.mark.parametrize("kind", ["server", "client"])
def test_the_digests_of_the_tags_are_written_and_renewed_or_nothing_is_changed(
    repository: Render, registry: Registry, kind: str
) -> None:
    folder = repository({"template": kind})
    target, names = TARGETS[kind]
    paths = [folder / name for name in names]
    host = f"localhost:{registry.server_port}"
    image = re.compile(r"(FROM |image: )((?:caddy|python):[\w.-]+)")
    for path in paths:
        path.write_text(image.sub(rf"\g<1>{host}/\g<2>", path.read_text()))
    paths[0].chmod(0o640)
    tagged = [path.read_text() for path in paths]

    def pinned() -> list[str]:
        """Return what the files are to be: with the digests, and the same for the rest."""
        return [
            re.sub(
                rf"({host}/)(\w+)(:[\w.-]+)",
                lambda found: f"{found[0]}@{registry.digest(found[2])}",
                text,
            )
            for text in tagged
        ]

    for build in (1, 1, 2):
        registry.build = build
        done = make(folder, target)
        assert done.returncode == 0, done.stderr
        assert [path.read_text() for path in paths] == pinned()
        assert "/python:3.13" in done.stdout
    assert paths[0].stat().st_mode & 0o777 == 0o640

    # The last image that is asked for is not there: what was found of the others is not written.
    before, registry.build, registry.missing = pinned(), 3, "python"
    done = make(folder, target)
    assert done.returncode != 0
    assert re.search(
        rf"^error: The registry of {host}/python:\S+ gave no digest: is the tag right, and can this"
        r" host reach the registry\? Nothing was changed\.$",
        done.stderr,
        re.MULTILINE,
    )
    assert [path.read_text() for path in paths] == before
    assert list(folder.rglob("*.new")) == []
