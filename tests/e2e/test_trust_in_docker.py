"""The container that fetches the keys of issuers: what it can do, and when it is there."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from kit import documents
from kit.authority import Authority
from kit.documents import Documents
from kit.in_docker import Server, address_of_the_host, docker, plain_server
from kit.template import PASSWORD, Render
from kit.waiting import wait_until

pytestmark = pytest.mark.docker

PROJECT = "trust-e2e"
ANSWERS = {
    "template": "server",
    "project_name": PROJECT,
    "https": "none",
    "publisher": "alice",
    "publisher_password": PASSWORD,
}
SERVICES = {"gateway", "private_pypi", "web", "accounts"}
GIVEN = ("REPOSITORY=acme/billing", "REPOSITORY_ID=1", "OWNER_ID=2", "PROJECTS=billing")
NAME = "acme/billing .gitlab-ci.yml"
KEY = {"kty": "EC", "kid": "first", "crv": "P-256", "x": "abc", "y": "def"}
SHOWN = """
import sys
from pathlib import Path
from private_pypi.trust import issuers
try:
    print(*[key["kid"] for key in issuers.keys_of(Path("/pypi/keys"), sys.argv[1])])
except issuers.KeysMissingError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def authority() -> Authority:
    """The authority of a company, which nobody else knows."""
    return Authority()


@pytest.fixture(scope="module")
def issuer(authority: Authority) -> Iterator[Documents]:
    """A GitLab of a company, on the host."""
    address = address_of_the_host()
    with documents.running(authority.pair(address), address) as gitlab:
        gitlab.put(
            "/.well-known/openid-configuration",
            {"issuer": gitlab.url, "jwks_uri": f"{gitlab.url}/keys"},
        )
        gitlab.put("/keys", {"keys": [KEY]})
        yield gitlab


@pytest.fixture(scope="module")
def server(
    render: Render,
    issuer: Documents,
    authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server that ran before it had a publisher, and that trusts one since."""
    server = plain_server(render(ANSWERS), tmp_path_factory.mktemp("docker") / "server")
    try:
        server.make("pypi-launch")
        assert running() == SERVICES
        assert networks() == [f"{PROJECT}_default"]
        (server.folder / "pypi_auth/.issuers.pem").write_bytes(authority.certificate)
        said = server.make("pypi-trust", f"ISSUER={issuer.url}", *GIVEN)
        assert f"{NAME} may publish billing.\n" in said
        assert said.endswith(
            "Run make pypi-launch once: it starts the container that fetches the keys.\n"
        )
        assert "never" in server.make("pypi-trust-list")
        server.make("pypi-launch")
        yield server
    finally:
        server.make("pypi-stop")
    assert not docker("ps", "--all", "--quiet", "--filter", OURS)
    assert networks() == []


OURS = f"label=com.docker.compose.project={PROJECT}"


def running() -> set[str]:
    """Return the services of which a container is there."""
    shown = ("--format", '{{.Label "com.docker.compose.service"}}')
    return set(docker("ps", "--all", "--filter", OURS, *shown).splitlines())


def networks() -> list[str]:
    """Return the networks of the project."""
    return docker("network", "ls", "--filter", OURS, "--format", "{{.Name}}").splitlines()


def known(server: Server, issuer: Documents) -> str:
    """Return which keys of the issuer private_pypi may use, or why none."""
    name = f"{PROJECT}-private_pypi-1"
    return docker("exec", name, "python", "-c", SHOWN, issuer.url).strip()


def test_private_pypi_gets_the_keys(server: Server, issuer: Documents) -> None:
    wait_until(lambda: known(server, issuer) == "first", 60)

    assert running() == {*SERVICES, "keys"}
    listed = server.make("pypi-trust-list")
    assert " UTC " in listed
    assert issuer.url in listed
    assert "keys" in server.make("pypi-status")


def test_what_fetches_them_is_confined_and_sees_nothing_of_ours(server: Server) -> None:
    keys = server.inspect("keys")
    host = keys["HostConfig"]

    assert keys["State"]["Running"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"] == 96 * 2**20
    assert 0 < host["PidsLimit"] <= 32
    assert host["RestartPolicy"]["Name"] == "always"
    if os.getuid() == 0:
        assert not keys["Config"]["User"].startswith("0")
    assert not any(keys["NetworkSettings"]["Ports"].values())
    mounted = {mount["Destination"]: mount for mount in keys["Mounts"]}
    assert mounted.keys() == {"/pypi/issuers", "/pypi/keys"}
    assert mounted["/pypi/issuers"]["Source"] == str(server.folder / "gateway/accounts/issuers")
    assert not mounted["/pypi/issuers"]["RW"]
    ours = set(keys["NetworkSettings"]["Networks"])
    assert ours == {f"{PROJECT}_keys"}
    for service in SERVICES:
        assert not ours & set(server.inspect(service)["NetworkSettings"]["Networks"])
    (theirs,) = (m for m in server.inspect("private_pypi")["Mounts"] if "keys" in m["Destination"])
    assert not theirs["RW"]


def test_another_publisher_needs_no_launch_and_a_restart_fetches_anew(
    server: Server, issuer: Documents
) -> None:
    another = ("ENVIRONMENT=publish", "NAME=another one")
    said = server.make("pypi-trust", f"ISSUER={issuer.url}", *GIVEN, *another)
    assert "pypi-launch" not in said
    server.make("pypi-trust-remove", "NAME=another one")

    issuer.put("/keys", {"keys": [{**KEY, "kid": "second"}]})
    server.make("pypi-restart")
    wait_until(lambda: known(server, issuer) == "second", 60)


def test_ids_are_asked_for_in_a_container_that_has_a_network_alone(
    server: Server, issuer: Documents
) -> None:
    said = server.make("pypi-trust", f"ISSUER={issuer.url}", GIVEN[0], GIVEN[3], ok=False)

    # It reaches the host, whose authority it does not know.
    assert "certificate verify failed" in said
    assert "run the same command with REPOSITORY_ID=... OWNER_ID=... behind it" in said
    assert "acme/billing" in server.make("pypi-trust-list")


def test_an_issuer_that_goes_takes_its_container_along(server: Server, issuer: Documents) -> None:
    server.make("pypi-trust-remove", f"NAME={NAME}")
    # Before the launch, too, nobody may use these keys.
    wait_until(lambda: "never fetched" in known(server, issuer), 30)

    server.make("pypi-launch")

    assert running() == SERVICES
    server.make("pypi-trust", f"ISSUER={issuer.url}", *GIVEN)
    server.make("pypi-launch")
    assert running() == {*SERVICES, "keys"}
    wait_until(lambda: known(server, issuer) == "second", 60)
