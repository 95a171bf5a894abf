"""Attestations as real clients send them, kept beside their file and served by both programs."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from kit import attestation
from kit.library import Library
from kit.publish import Publish, with_twine, with_uv
from kit.server import Server
from kit.template import PASSWORD
from kit.user import User


def twine(user: User, project: Path, url: str, account: str, password: str, ok: bool) -> str:
    """Publish with twine, which sends attestations only if asked to."""
    return with_twine(user, project, url, account, password, ok, "--attestations", "--verbose")


@pytest.fixture(params=[with_uv, twine], ids=["uv", "twine"])
def publish(request: pytest.FixtureRequest) -> Publish:
    """Each of the clients that send attestations; Poetry sends none."""
    chosen: Publish = request.param
    return chosen


@pytest.fixture
def project(library: Library, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A project that no other test publishes, with an attestation beside each file it built."""
    digest = hashlib.sha256(request.node.nodeid.encode()).hexdigest()
    folder = tmp_path / "project"
    shutil.copytree(library(f"lib-{digest[:12]}"), folder)
    for path in built(folder):
        attest(path)
    return folder


def built(project: Path) -> list[Path]:
    """Return the distributions a project has built."""
    return [path for path in sorted((project / "dist").iterdir()) if path.suffix != ".attestation"]


def attest(path: Path, **more: str) -> dict[str, Any]:
    """Put an attestation beside a distribution, as `pypi-attestations sign` calls it."""
    made = attestation.of(path.name, path.read_bytes()) | more
    path.with_name(f"{path.name}.publish.attestation").write_text(json.dumps(made))
    return made


def kept(server: Server, path: Path) -> list[Any]:
    """Return the attestations that the server holds of a distribution."""
    place = server.data / f"{path.name}.provenance"
    if not place.exists():
        return []
    provenance = json.loads(place.read_bytes())
    (bundle,) = provenance["attestation_bundles"]
    assert provenance["version"] == 1
    assert bundle["publisher"] == {"kind": "Account", "claims": {}, "name": "alice"}
    return list(bundle["attestations"])


def words(said: str) -> str:
    """Return what a client printed without the frames and the line breaks of its own."""
    return " ".join(said.replace("│", " ").split())


def test_all_that_a_client_sends_is_kept(
    publish: Publish, user: User, project: Path, server: Server
) -> None:
    wheel, sdist = sorted(built(project), key=lambda path: path.suffix == ".gz")
    slsa = attestation.of(wheel.name, wheel.read_bytes(), attestation.SLSA)
    wheel.with_name(f"{wheel.name}.slsa.attestation").write_text(json.dumps(slsa))

    publish(user, project, server.url(), "alice", PASSWORD, ok=True)

    of_wheel = [attestation.of(wheel.name, wheel.read_bytes()), slsa]
    assert all(one in of_wheel for one in kept(server, wheel))
    assert len(kept(server, wheel)) == 2
    assert kept(server, sdist) == [attestation.of(sdist.name, sdist.read_bytes())]
    # And again, as when a job is run once more.
    publish(user, project, server.url(), "alice", PASSWORD, ok=True)


def test_attestations_of_another_file_publish_nothing_and_the_client_says_why(
    publish: Publish, user: User, project: Path, server: Server
) -> None:
    for path in built(project):
        other = attestation.of(path.name, b"another")
        path.with_name(f"{path.name}.publish.attestation").write_text(json.dumps(other))

    said = publish(user, project, server.url(), "alice", PASSWORD, ok=False)

    assert "Nothing was published, as attestation 1 is of a file with the sha256" in words(said)
    assert [path for path in built(project) if (server.data / path.name).exists()] == []


def test_other_attestations_of_a_file_that_is_there_are_refused(
    publish: Publish, user: User, project: Path, server: Server
) -> None:
    publish(user, project, server.url(), "alice", PASSWORD, ok=True)
    first = [kept(server, path) for path in built(project)]
    for path in built(project):
        attest(path, more="signed once more")

    said = publish(user, project, server.url(), "alice", PASSWORD, ok=False)

    assert "already exists, with other attestations: publish a new version" in words(said)
    assert [kept(server, path) for path in built(project)] == first


def test_two_clients_that_send_the_same_attestations_do_not_stand_in_each_others_way(
    user: User, project: Path, server: Server
) -> None:
    with_uv(user, project, server.url(), "alice", PASSWORD, ok=True)
    twine(user, project, server.url(), "alice", PASSWORD, ok=True)

    assert all(kept(server, path) for path in built(project))


def test_attestations_may_follow_their_files(
    publish: Publish, user: User, project: Path, server: Server, tmp_path: Path
) -> None:
    attested = [path for path in (project / "dist").iterdir() if path.suffix == ".attestation"]
    without = tmp_path / "without"
    without.mkdir()
    for path in attested:
        path.rename(without / path.name)
    with_uv(user, project, server.url(), "alice", PASSWORD, ok=True)
    assert [kept(server, path) for path in built(project)] == [[], []]
    for path in without.iterdir():
        path.rename(project / "dist" / path.name)

    publish(user, project, server.url(), "alice", PASSWORD, ok=True)

    assert all(kept(server, path) for path in built(project))
