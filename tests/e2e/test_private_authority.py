"""An index with an authority of its own: how it is made known, and who trusts it then.

The server runs in its containers with https=internal. What `make pypi-ca` says is done as it says,
and the real clients come over TLS. Each of them also asks a second name, whose certificate comes
from an authority that the machine trusts: made to know the one, a client must still know the other.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from kit import names, wheel
from kit.commands import ask as ask_command
from kit.https import ask, https_server
from kit.in_docker import Server, docker
from kit.install import with_pip, with_poetry, with_uv
from kit.library import Library
from kit.processes import Running
from kit.publish import Publish
from kit.publish import with_poetry as publish_with_poetry
from kit.publish import with_twine as publish_with_twine
from kit.publish import with_uv as publish_with_uv
from kit.template import PASSWORD, Answers, Render
from kit.user import User, installed

pytestmark = pytest.mark.docker

ADDRESS, SYSTEM_ADDRESS = "127.0.13.1", "127.0.13.2"
PRIVATE, SYSTEM = "private.ca-e2e.test", "system.ca-e2e.test"
"""The name of the server, and the one of a certificate from an authority the machine trusts."""

BOTH = pytest.mark.parametrize("host", [PRIVATE, SYSTEM])

LIBRARY = "ca-e2e-private-lib"
"""A name that nobody has on PyPI."""

ANSWERS: Answers = {
    "template": "server",
    "project_name": "ca-e2e-pypi",
    "pypi_url": PRIVATE,
    "https": "internal",
    "publisher": "bob",
    "publisher_password": PASSWORD,
}


@pytest.fixture(scope="module")
def server(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server with the library, and with pytest and pip, so that nothing is downloaded."""
    folder = tmp_path_factory.mktemp("private-authority") / "server"
    server = https_server(render(ANSWERS), folder, ADDRESS)
    for name in (LIBRARY, "pytest"):
        path = wheel.build(server.folder / "pypi_data", name, "0.1.0", origin="us")
        # Longer ago than any cooldown.
        os.utime(path, (1_700_000_000, 1_700_000_000))
    wheel.of_installed(server.folder / "pypi_data", "pip")
    if os.getuid() == 0:
        for part in ("pypi_data", "pypi_index", "pypi_auth", "gateway/accounts", "gateway_data"):
            subprocess.run(["chown", "-R", "4242:4243", part], cwd=folder, check=True)
    try:
        server.make("pypi-launch")
        yield server
    finally:
        server.make("pypi-stop")


def pypi_ca(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `make -s pypi-ca` as somebody who owns the repository but may not read all of it.

    That is root without the privilege to read everything, or whoever runs the tests.
    """
    command = ["make", "-s", "pypi-ca"]
    if os.getuid() == 0:
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]
    return ask_command(*command, cwd=folder, timeout=120)


@pytest.fixture(scope="module")
def told(server: Server) -> subprocess.CompletedProcess[str]:
    """What `make -s pypi-ca` printed."""
    said = pypi_ca(server.folder)
    assert said.returncode == 0, said.stderr
    return said


@pytest.fixture(scope="module")
def certificate(
    told: subprocess.CompletedProcess[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The file that redirecting `make -s pypi-ca` writes."""
    file = tmp_path_factory.mktemp("certificate") / "ca.crt"
    file.write_text(told.stdout)
    return file


class Caddy(Running):
    """Caddy on a configuration of its own, in a folder."""

    def __init__(self, folder: Path) -> None:
        own = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        environment = {**os.environ, **own}
        super().__init__("caddy", folder / "log", folder=folder, environment=environment)

    def command(self) -> list[str]:
        return [str(shutil.which("caddy")), "run", "--config", "Caddyfile"]

    def answers(self) -> bool:
        return b"serving initial configuration" in self.log.read_bytes()


@pytest.fixture(scope="module")
def system(
    server: Server, certificate: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Lead SYSTEM to the server by way of a second authority; return that one's certificate."""
    folder = tmp_path_factory.mktemp("system")
    (folder / "Caddyfile").write_text(
        "{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n}\n\n"
        f"https://{SYSTEM}:8443 {{\n\tbind {SYSTEM_ADDRESS}\n\ttls internal\n"
        f"\treverse_proxy https://{ADDRESS} {{\n\t\theader_up Host {PRIVATE}\n"
        f"\t\ttransport http {{\n\t\t\ttls_server_name {PRIVATE}\n"
        f"\t\t\ttls_trust_pool file {certificate}\n\t\t}}\n\t}}\n}}\n"
    )
    authority = folder / "caddy/pki/authorities/local/root.crt"
    with Caddy(folder):
        yield authority


@pytest.fixture
def customer(user: User, system: Path) -> Iterator[User]:
    """A user for whom both names lead somewhere, and who trusts neither's certificate yet."""
    leading = {PRIVATE: (ADDRESS, 443), SYSTEM: (SYSTEM_ADDRESS, 8443)}
    with names.leading_to(leading) as proxy:
        user.environment |= {"HTTPS_PROXY": proxy, "UV_HTTP_RETRIES": "0"}
        yield user


# What the server prints -----------------------------------------------------------------------


def test_the_certificate_is_printed_alone_and_is_the_one_to_trust(certificate: Path) -> None:
    (root,) = x509.load_pem_x509_certificates(certificate.read_bytes())
    assert certificate.read_text().startswith("-----BEGIN CERTIFICATE-----\n")
    assert certificate.read_text().endswith("\n-----END CERTIFICATE-----\n")
    assert root.issuer == root.subject

    # As Python checks from 3.13 on.
    strict = ssl.create_default_context(cafile=certificate)
    strict.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    assert ask(ADDRESS, PRIVATE, strict).status == 200


def test_before_the_first_launch_there_is_nothing_to_print(render: Render, tmp_path: Path) -> None:
    shutil.copytree(render(ANSWERS), tmp_path / "server", symlinks=True)

    said = pypi_ca(tmp_path / "server")

    assert said.returncode != 0
    assert said.stdout == ""
    sentence, *rest = said.stderr.splitlines()
    assert sentence == "error: there is no authority yet: run make pypi-launch first"
    assert all(line.startswith("make: ") for line in rest)


def test_a_server_that_ran_without_an_authority_has_none(server: Server, tmp_path: Path) -> None:
    (server.folder / "gateway_data").rename(tmp_path / "gateway_data")
    (server.folder / "gateway_data").mkdir()
    try:
        said = pypi_ca(server.folder)
    finally:
        (server.folder / "gateway_data").rmdir()
        (tmp_path / "gateway_data").rename(server.folder / "gateway_data")

    assert said.returncode != 0
    assert said.stdout == ""
    assert "error: there is no authority yet: run make pypi-launch first\n" in said.stderr


# The tools, as the server says ----------------------------------------------------------------


def with_old_pip(user: User, venv: Path, url: str, *requirements: str, ok: bool = True) -> str:
    """As before pip 24.2, which asks the system for the authorities it trusts."""
    user.environment["PIP_USE_DEPRECATED"] = "legacy-certs"
    return with_pip(user, venv, url, *requirements, ok=ok)


INSTALL = {"pip": with_pip, "old pip": with_old_pip, "uv": with_uv, "poetry": with_poetry}
PUBLISH: dict[str, Publish] = {
    "poetry": publish_with_poetry,
    "uv": publish_with_uv,
    "twine": publish_with_twine,
}


def follow(user: User, lines: str, folder: Path) -> None:
    """Let a user's shell run lines, and keep the variables that they export."""
    printed = user.run("sh", "-euc", f"{lines}\nenv -0", folder=folder)
    variables = dict(line.split("=", 1) for line in printed.split("\0") if line)
    user.environment |= {
        name: value
        for name, value in variables.items()
        if name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    }


def trust(user: User, told: subprocess.CompletedProcess[str], system: Path) -> None:
    """Do as the server says, on a machine that trusts the second authority."""
    (user.home / "ca.crt").write_text(told.stdout)
    theirs = "/etc/ssl/certs/ca-certificates.crt"
    loop, rest = told.stderr.split("; do", 1)
    assert loop.count(theirs) == 1
    follow(user, loop.replace(theirs, str(system)) + "; do" + rest, user.home)


def test_nobody_trusts_the_authority_unasked(
    customer: User, venv: Path, library: Library, server: Server
) -> None:
    project = library("by-nobody")
    for install in (with_pip, with_old_pip, with_uv):
        said = install(customer, venv, f"https://{PRIVATE}/simple/", LIBRARY, ok=False)
        assert "certificate" in said
    for publish in PUBLISH.values():
        # Poetry says that it could not connect.
        said = publish(customer, project, f"https://{PRIVATE}/", "bob", PASSWORD, ok=False)
        assert re.search("certificate|connect", said, re.IGNORECASE)

    assert installed(venv) == {}
    assert not list((server.folder / "pypi_data").glob("by_nobody*"))


@BOTH
@pytest.mark.parametrize("tool", INSTALL)
def test_who_does_what_the_server_says_can_install(
    customer: User,
    venv: Path,
    told: subprocess.CompletedProcess[str],
    system: Path,
    tool: str,
    host: str,
) -> None:
    trust(customer, told, system)

    INSTALL[tool](customer, venv, f"https://{host}/simple/", LIBRARY)

    assert installed(venv) == {LIBRARY: "0.1.0 from us"}


@BOTH
@pytest.mark.parametrize("tool", PUBLISH)
def test_who_does_what_the_server_says_can_publish(
    customer: User,
    library: Library,
    server: Server,
    told: subprocess.CompletedProcess[str],
    system: Path,
    tool: str,
    host: str,
) -> None:
    project = library(f"by-{tool}-to-{host.split('.')[0]}")
    trust(customer, told, system)

    PUBLISH[tool](customer, project, f"https://{host}/", "bob", PASSWORD, ok=True)

    for file in (project / "dist").iterdir():
        assert (server.folder / "pypi_data" / file.name).read_bytes() == file.read_bytes()


def test_an_image_whose_dockerfile_has_the_lines_installs(
    told: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    lines = [line[4:] for line in told.stderr.splitlines() if line.startswith("#   ")]
    assert [line.split()[0] for line in lines] == ["COPY", "RUN", "ENV"]
    index = f"https://{PRIVATE}/simple/"
    download = f"RUN pip download --no-deps --index-url {index} {LIBRARY}"
    (tmp_path / "ca.crt").write_text(told.stdout)
    (tmp_path / "netrc").write_text(f"machine {PRIVATE} login bob password {PASSWORD}\n")
    (tmp_path / "Dockerfile").write_text(
        "\n".join(["FROM python:3.13-slim", "COPY netrc /root/.netrc", *lines, download])
    )
    leading = ["--network", "host", "--add-host", f"{PRIVATE}:{ADDRESS}"]
    said = docker("build", "--no-cache", "--tag", "ca-e2e-lines", *leading, str(tmp_path))
    docker("rmi", "ca-e2e-lines")
    assert "Successfully downloaded" in said


# The client template --------------------------------------------------------------------------

CLIENT: Answers = {
    "template": "client",
    "project_name": "ca-e2e-app",
    "pypi_url": PRIVATE,
    "private_packages": [LIBRARY],
    "ca_certificate": "certs/ca.pem",
    "index_user": "bob",
    "index_password": PASSWORD,
}


def app(render: Render, folder: Path, certificate: Path, **answers: str) -> Path:
    """Copy a rendered client, put the certificate into it and let its build find the server."""
    shutil.copytree(render({**CLIENT, **answers}), folder / "client", symlinks=True)
    (folder / "client/certs").mkdir()
    shutil.copy(certificate, folder / "client/certs/ca.pem")
    build = {"network": "host", "extra_hosts": {PRIVATE: ADDRESS}}
    override = {"services": {"app": {"build": build}}}
    (folder / "client/docker-compose.override.yml").write_text(json.dumps(override))
    return folder / "client"


@pytest.mark.parametrize("credentials", ["arg", "secret"])
def test_the_image_is_built_over_tls_and_holds_no_certificate(
    render: Render, server: Server, certificate: Path, tmp_path: Path, credentials: str
) -> None:
    client = app(render, tmp_path, certificate, build_credentials=credentials)

    docker("compose", "build", "--no-cache", cwd=client)

    said = docker("compose", "run", "--rm", "app", cwd=client)
    assert f"{LIBRARY} 0.1.0" in said
    inside = docker("compose", "run", "--rm", "--entrypoint", "env", "app", cwd=client)
    assert "/ca-bundle.pem" not in inside
    # One line of the certificate is enough to find it by.
    _, line, *_ = certificate.read_text().splitlines()
    search = ("grep", "-rlF", "--exclude-dir=proc", "--exclude-dir=sys", line, "/")
    found = ["run", "--rm", "--user", "0", "--entrypoint", *search[:1], "ca-e2e-app-app"]
    assert docker(*found, *search[1:], ok=False) == ""


def test_make_trusts_the_authority_beside_those_of_the_machine(
    render: Render,
    customer: User,
    server: Server,
    certificate: Path,
    system: Path,
    venv: Path,
    tmp_path: Path,
) -> None:
    client = app(render, tmp_path, certificate, python_version="3.11")
    (client / ".pypi.env").unlink()
    make = partial(customer.run, folder=client, SSL_CERT_FILE=str(system))

    # As CI does.
    login = 'printf "%s\\n" "$INDEX_PASSWORD" | make login'
    make("sh", "-c", login, INDEX_USER="bob", INDEX_PASSWORD=PASSWORD)
    make("make", "install", f"PYTHON={sys.executable}")
    make("make", "publish")
    make("make", "upload")
    assert (client / ".venv/bin/python").exists()
    assert list(client.glob(f".venv/lib/*/site-packages/{LIBRARY.replace('-', '_')}/__init__.py"))
    for file in (client / "dist").iterdir():
        assert (server.folder / "pypi_data" / file.name).read_bytes() == file.read_bytes()

    # What the README says to those who call the tools themselves.
    readme = (client / "README.md").read_text()
    block = readme.split("Other tools take their credentials from the shell:\n")[1]
    follow(customer, block.split("# pip\n")[0], client)
    assert set(customer.environment) >= {"PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"}
    for host in (PRIVATE, SYSTEM):
        with_uv(customer, venv, f"https://{host}/simple/", LIBRARY)
        with_old_pip(customer, venv, f"https://{host}/simple/", LIBRARY)
        publish_with_twine(customer, client, f"https://{host}/", "bob", PASSWORD, True)

    # In that shell, make does not add to what it made before.
    customer.run("make", "need-trust", folder=client)
    once = (client / ".ca-bundle.pem").read_bytes()
    customer.run("make", "need-trust", folder=client)
    assert (client / ".ca-bundle.pem").read_bytes() == once


def test_another_authoritys_certificate_is_named_as_what_is_wrong(
    render: Render, customer: User, system: Path, tmp_path: Path
) -> None:
    client = app(render, tmp_path, system)

    said = customer.run("make", "need-credentials", folder=client, ok=False)

    assert f"The TLS certificate of {PRIVATE} is not trusted" in said
    assert "put that one's certificate into certs/ca.pem: `make -s pypi-ca` in the server's" in said
    assert "Traceback" not in said
