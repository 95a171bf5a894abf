"""`https=none` behind nginx, on the configuration that docs/https.md shows."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from kit import wheel
from kit.authority import Authority
from kit.gateway import Gateway, behind_gateway
from kit.http import Connection, basic
from kit.install import OURS, Install, with_pip, with_poetry, with_uv
from kit.library import Library
from kit.nginx import Nginx
from kit.public_index import PublicIndex
from kit.publish import Publish
from kit.publish import with_poetry as publish_with_poetry
from kit.publish import with_twine as publish_with_twine
from kit.publish import with_uv as publish_with_uv
from kit.server import Server
from kit.template import PASSWORD
from kit.user import User, installed
from kit.waiting import wait_until

ADDRESS = "127.0.12.1"
MEGABYTES = 4
"""What a distribution may have; nginx allows 1 where nobody says more."""


@dataclass(frozen=True)
class Front:
    """An index behind nginx: the programs, and the authority of its certificate."""

    server: Server
    gateway: Gateway
    nginx: Nginx
    authority: Authority


@dataclass(frozen=True)
class Site:
    """The index as nginx serves it, at the root of a host or below a path."""

    front: Front
    root: str

    def url(self) -> str:
        """Return where it is published to."""
        return f"{self.root}/"

    def ask(
        self, path: str, headers: dict[str, str] | None = None, source: str = ""
    ) -> tuple[int, Message]:
        """Send one request as bob, its path letter for letter; return status and headers.

        Args:
            source: the address it comes from, one of this machine's.
        """
        login, below = basic("bob", PASSWORD), urlsplit(self.root).path
        context = self.front.authority.context()
        with Connection(self.root, context, source=source) as connection:
            answer = connection.ask(below + path, {**login, **(headers or {})})
        return answer.status, answer.headers


@pytest.fixture(scope="module")
def front(
    rendered: Path, public: PublicIndex, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    """A running index that holds my-private-lib 0.2.0, which needs public-lib."""
    folder = tmp_path_factory.mktemp("nginx") / "s"
    server, gateway = behind_gateway(
        rendered, folder, PYPI_PUBLIC_INDEX=public.url, PYPI_MAX_UPLOAD_MB=str(MEGABYTES)
    )
    server.user("add", "alice", "--role", "publisher", password=PASSWORD)
    server.user("add", "bob", "--role", "reader", password=PASSWORD)
    wheel.build(server.data, "my-private-lib", "0.2.0", "public-lib>=1", origin="us")
    authority = Authority()
    nginx = Nginx(folder, ADDRESS, authority.pair(ADDRESS), gateway)
    with server, gateway, nginx:
        yield Front(server, gateway, nginx, authority)
    assert PASSWORD not in gateway.log.read_text() + server.log.read_text()


@pytest.fixture(params=[0, 1], ids=["at-the-root", "below-a-path"])
def index(front: Front, request: pytest.FixtureRequest) -> Site:
    """The index by each of the two configurations."""
    return Site(front, front.nginx.urls[request.param])


@pytest.fixture
def client(user: User, front: Front) -> User:
    """Somebody who trusts the authority of nginx' certificate, set as docs/https.md says."""
    root = user.home / "root.crt"
    root.write_bytes(front.authority.certificate)
    for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        user.environment[name] = str(root)
    return user


@pytest.mark.parametrize("install", [with_pip, with_uv, with_poetry], ids=["pip", "uv", "poetry"])
def test_a_reader_gets_our_library_and_is_sent_on_for_the_rest(
    install: Install, client: User, venv: Path, index: Site
) -> None:
    install(client, venv, f"{index.root}/simple/", "My_Private.Lib==0.*")

    assert installed(venv) == OURS


def test_the_root_url_without_simple_works_in_pip(client: User, venv: Path, index: Site) -> None:
    with_pip(client, venv, index.root, "my-private-lib==0.*")

    assert installed(venv) == OURS


def test_the_certificate_is_verified(user: User, venv: Path, index: Site) -> None:
    said = with_pip(user, venv, f"{index.root}/simple/", "my-private-lib==0.*", ok=False)

    assert "CERTIFICATE_VERIFY_FAILED" in said


@pytest.mark.parametrize(
    "publish",
    [publish_with_poetry, publish_with_uv, publish_with_twine],
    ids=["poetry", "uv", "twine"],
)
def test_a_publisher_publishes_more_than_nginx_allows_by_itself(
    publish: Publish, client: User, library: Library, index: Site, request: pytest.FixtureRequest
) -> None:
    name = re.sub("[^a-z]+", "-", request.node.callspec.id)
    project = library(f"lib-{name}", megabytes=MEGABYTES - 2)

    publish(client, project, index.url(), "alice", PASSWORD, ok=True)

    for path in (project / "dist").iterdir():
        assert path.stat().st_size > 2**20
        assert (index.front.server.data / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("megabytes", "password"), [(2 * MEGABYTES, ""), (MEGABYTES - 1, "x")])
def test_a_client_reads_why_it_is_refused_though_it_had_much_to_send(
    client: User, library: Library, index: Site, megabytes: int, password: str
) -> None:
    project = library("refused", megabytes=megabytes)

    said = publish_with_poetry(client, project, index.url(), "alice", PASSWORD + password, ok=False)

    assert ("401" if password else "413") in said
    assert not list(index.front.server.data.glob("refused-*"))


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/simple", "/simple/"),
        ("/simple/my-private-lib", "/simple/my-private-lib/"),
        ("/simple/My_Private.Lib/", "/simple/my-private-lib/"),
        ("/my-private-lib/", "/simple/my-private-lib/"),
        ("/My_Private.Lib/", "/simple/my-private-lib/"),
    ],
)
def test_redirects_stay_where_the_index_is(index: Site, path: str, place: str) -> None:
    forged = {"X-Forwarded-Host": "evil.example"}
    url = index.root + path
    for _ in range(3):
        status, headers = index.ask(url.removeprefix(index.root), forged)
        if status == 200:
            break
        url = urljoin(url, headers["Location"])
        assert url.startswith(f"{index.root}/")

    assert (status, url) == (200, index.root + place)


def test_a_name_the_index_does_not_hold_leads_to_the_public_index(
    index: Site, public: PublicIndex
) -> None:
    url = f"{index.root}/public-lib/"
    for _ in range(3):
        _, headers = index.ask(url.removeprefix(index.root))
        url = urljoin(url, headers["Location"])
        if not url.startswith(index.root):
            break

    assert url == f"{public.url}public-lib/"


def test_the_logs_have_the_address_of_the_client_whatever_that_forges(index: Site) -> None:
    source, path = "127.0.12.7", f"/packages/nobody-has-{time.monotonic_ns()}.whl"
    forged = dict.fromkeys(
        ("X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP"), "203.0.113.9"
    )
    forged["Forwarded"] = "for=203.0.113.9"

    assert index.ask(path, forged, source)[0] == 404

    def lines() -> list[str]:
        logs = (index.front.gateway.log.read_text(), index.front.server.log.read_text())
        return [line for log in logs for line in log.splitlines() if path in line]

    wait_until(lambda: len(lines()) == 2, 20)
    in_gateway, in_server = lines()
    assert json.loads(in_gateway)["request"]["client_ip"] == source
    assert in_server.startswith(f"{source} ")
