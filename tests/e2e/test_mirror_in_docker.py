"""The mirror in its containers, with a stand-in of PyPI on the host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from kit import pypi, wheel
from kit.forms import upload_form
from kit.in_docker import Server, address_of_the_host, docker, plain_server
from kit.install import with_pip
from kit.public_index import digest
from kit.pypi import PyPI
from kit.template import PASSWORD, Render
from kit.user import User, installed
from kit.waiting import wait_until

pytestmark = pytest.mark.docker

PROJECT = "mirror-e2e"
ANSWERS = {
    "template": "server",
    "project_name": PROJECT,
    "https": "none",
    "unknown_packages": "mirror",
    "private_prefixes": ["acme"],
    "publisher": "alice",
    "publisher_password": PASSWORD,
}
ALICE = ("alice", PASSWORD)
FILE = "public_lib-1.2.3-py3-none-any.whl"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PyPI]:
    """PyPI, where a stranger has taken the name of the private library."""
    with pypi.running(tmp_path_factory.mktemp("pypi"), address_of_the_host()) as index:
        index.release("public-lib", "1.2.3")
        index.release("public-lib", "2.0", days=1)
        index.release("my-private-lib", "99.0.0", origin="a stranger")
        yield index


@pytest.fixture(scope="module")
def server(
    render: Render, index: PyPI, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A running server with a private library that needs a public one, and bob, a reader."""
    folder = tmp_path_factory.mktemp("docker")
    server = plain_server(render(ANSWERS), folder / "server")
    with (server.folder / ".pypi.env").open("a") as settings:
        settings.write(f"public_index={index.url}\n")
    server.make("pypi-launch")
    try:
        ours = wheel.build(folder, "my-private-lib", "0.2.0", "public-lib>=1", origin="us")
        body, kind = upload_form(ours.name, ours.read_bytes())
        answer = requests.post(
            server.url, body, headers={"Content-Type": kind}, auth=ALICE, timeout=60
        )
        assert answer.status_code == 200, answer.text
        server.make("pypi-user-add", "USER=bob", "PASSWORD_STDIN=1", stdin=PASSWORD)
        wait_until(lambda: get(server, "/simple/").status_code == 200)
        yield server
    finally:
        server.make("pypi-stop")
    assert not index.asked_for("my-private-lib")
    assert not index.asked_headers() & {"authorization", "cookie"}


def get(server: Server, path: str) -> requests.Response:
    """Ask the gateway as bob."""
    return requests.get(f"{server.url}{path}", auth=("bob", PASSWORD), timeout=60)


def test_private_and_public_packages_install(server: Server, user: User, venv: Path) -> None:
    with_pip(user, venv, f"{server.url}/simple/", "my-private-lib")

    expected = {"my-private-lib": "0.2.0 from us", "public-lib": "1.2.3 from PyPI"}
    assert installed(venv) == expected


def test_public_shares_no_network_and_no_folder_of_ours(server: Server) -> None:
    public = server.inspect("public")
    networks = set(public["NetworkSettings"]["Networks"])
    for service in ("gateway", "private_pypi", "web", "accounts"):
        other = server.inspect(service)
        assert not networks & set(other["NetworkSettings"]["Networks"]), service
    for service in ("private_pypi", "web", "accounts"):
        assert list(server.inspect(service)["NetworkSettings"]["Networks"]) == ["none"]
    assert "none" not in networks
    assert not any(public["NetworkSettings"]["Ports"].values())
    mounted = {m["Destination"] for m in public["Mounts"]}
    sources = [Path(m["Source"]).name for m in public["Mounts"] if m["Type"] == "bind"]
    assert not {"pypi_data", "pypi_index", "pypi_web", "pypi_auth", "accounts"} & set(sources)
    assert not any(part in place for place in mounted for part in ("pypi_", "accounts"))
    assert "socket" not in [m.get("Name", "").removeprefix(f"{PROJECT}_") for m in public["Mounts"]]
    host = public["HostConfig"]
    assert public["State"]["Health"]["Status"] == "healthy"
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert 0 < host["Memory"] <= 2**29
    assert 0 < host["PidsLimit"] <= 128
    assert host["RestartPolicy"]["Name"] == "always"
    if os.getuid() == 0:
        assert not public["Config"]["User"].startswith("0")


def test_the_gateway_sees_of_what_public_has_only_what_it_serves(server: Server) -> None:
    seen = {m["Source"]: m["RW"] for m in server.inspect("gateway")["Mounts"]}
    public = {m["Source"] for m in server.inspect("public")["Mounts"]}

    folder = str(server.folder / "public_data/public")
    # Writable for the times of access alone: see docker-compose.pypi.yml.
    assert seen[folder]
    assert seen.keys() & public == {
        source for source in public if source.endswith(f"{PROJECT}_public_socket/_data")
    }


def test_the_commands_for_the_owner(
    server: Server, index: PyPI, user: User, venv: Path, tmp_path: Path
) -> None:
    said = server.make("pypi-policy", "PKG=public-lib")
    assert "1.2.3" in said
    assert "cooldown" in said

    index.release("only-locked", "1.0")
    locked = index.uploads["only-locked"][0].path
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(
        f"only-locked==1.0 --hash=sha256:{digest(locked)}\nmy-private-lib\nacme-not-yet\n"
    )
    said = server.make("pypi-fetch", f"REQUIREMENTS={requirements}")
    assert "only-locked" in said
    with index.away():
        with_pip(user, venv, f"{server.url}/simple/", "only-locked", "my-private-lib")
    assert "only-locked" in installed(venv)

    index.names |= {f"Name_{number}" for number in range(2000)}
    said = server.make("pypi-names", ok=False)
    assert "my-private-lib is yours, and is on PyPI, too." in said


def test_a_changed_policy_applies_within_seconds(server: Server) -> None:
    path = f"/public/public-lib/{FILE}"
    assert get(server, path).status_code == 200
    policy = server.folder / "public/public_policy.toml"
    before = policy.read_text()

    policy.write_text(f'{before}\n[[block]]\nname = "public-lib"\nreason = "steals tokens"\n')
    wait_until(lambda: get(server, path).status_code == 403, 20)
    assert "steals tokens" in get(server, path).text
    policy.write_text(before)
    wait_until(lambda: get(server, path).status_code == 200, 20)


def test_private_packages_install_while_public_is_stopped(
    server: Server, user: User, venv: Path
) -> None:
    docker("stop", f"{PROJECT}-public-1")
    try:
        with_pip(user, venv, f"{server.url}/simple/", "--no-deps", "my-private-lib")
    finally:
        docker("start", f"{PROJECT}-public-1")

    assert installed(venv) == {"my-private-lib": "0.2.0 from us"}
    assert "Traceback" not in server.logs()
