"""Installing with the real clients: what comes from where, and what must never come at all."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from kit import wheel
from kit.http import status
from kit.install import OURS, Install, with_pip, with_poetry, with_uv
from kit.ports import free_port
from kit.public_index import PublicIndex
from kit.server import Server
from kit.template import PASSWORD
from kit.user import User, installed
from kit.waiting import wait_until


@pytest.fixture(params=[with_pip, with_uv, with_poetry], ids=["pip", "uv", "poetry"])
def install(request: pytest.FixtureRequest) -> Install:
    """Each of the clients."""
    chosen: Install = request.param
    return chosen


def test_a_reader_gets_our_library_and_what_it_needs_from_the_public_index(
    install: Install, user: User, venv: Path, server: Server
) -> None:
    install(user, venv, f"{server.url()}simple/", "my-private-lib==0.*")

    assert installed(venv) == OURS


@pytest.mark.parametrize("requirement", ["my-private-lib", "my_private.lib>=0.1", "My-Private-Lib"])
def test_a_higher_version_on_the_public_side_is_never_chosen(
    install: Install, user: User, venv: Path, server: Server, requirement: str
) -> None:
    install(user, venv, f"{server.url()}simple/", requirement)

    assert installed(venv) == OURS


def test_a_version_that_only_a_stranger_has_is_not_found(
    install: Install, user: User, venv: Path, server: Server
) -> None:
    install(user, venv, f"{server.url()}simple/", "my-private-lib==99.0.0", ok=False)

    assert installed(venv) == {}


def test_whoever_asks_the_public_side_itself_gets_the_strangers(
    install: Install, user: User, venv: Path, public: PublicIndex
) -> None:
    install(user, venv, public.url, "my-private-lib==0.*")

    assert installed(venv) == {"my-private-lib": "0.9.9 from a stranger"}


def test_neither_our_credentials_nor_our_names_reach_the_public_side(
    install: Install, user: User, venv: Path, server: Server, public: PublicIndex
) -> None:
    public.requests.clear()

    install(user, venv, f"{server.url()}simple/", "my-private-lib==0.*")

    assert public.asked_for("public-lib")
    assert not public.asked_for("my-private-lib")
    headers = [name.lower() for _, sent in public.requests for name in sent]
    assert "user-agent" in headers
    assert not {"authorization", "proxy-authorization", "cookie"} & set(headers)
    assert PASSWORD not in str(public.requests)
    assert quote(PASSWORD, safe="") not in str(public.requests)


def test_a_wrong_password_installs_nothing_not_even_the_strangers_and_the_client_says_so(
    install: Install, user: User, venv: Path, server: Server, public: PublicIndex
) -> None:
    public.requests.clear()

    said = install(
        user, venv, f"{server.url()}simple/", "my-private-lib==0.*", password="wrong" * 5, ok=False
    )

    assert re.search(r"\b401\b|[Aa]uthenticat|[Aa]uthoriz", said), said
    assert installed(venv) == {}
    assert public.requests == []


def test_a_server_that_is_down_installs_nothing_not_even_the_strangers(
    install: Install, user: User, venv: Path, public: PublicIndex
) -> None:
    public.requests.clear()

    said = install(
        user, venv, f"http://127.0.0.1:{free_port()}/simple/", "my-private-lib==0.*", ok=False
    )

    assert re.search("127.0.0.1|my-private-lib", said), said
    assert installed(venv) == {}
    assert public.requests == []


def test_the_root_url_without_simple_works_in_pip(user: User, venv: Path, server: Server) -> None:
    with_pip(user, venv, server.url().rstrip("/"), "my-private-lib==0.*")

    assert installed(venv) == OURS


def test_the_root_url_without_simple_refuses_a_wrong_password_too(
    user: User, venv: Path, server: Server
) -> None:
    with_pip(user, venv, server.url(), "my-private-lib==0.*", password="wrong" * 5, ok=False)

    assert installed(venv) == {}


def test_a_new_version_that_was_copied_by_hand_is_there_by_itself(
    install: Install, user: User, venv: Path, server: Server
) -> None:
    name = f"fresh-{uuid.uuid4().hex}"
    page = server.data.with_name("pypi_index") / "simple" / name / "index.html"

    def put(version: str) -> None:
        path = wheel.build(server.data, name, version, origin="us")
        # The look that finds it comes within a second; a busy machine is slow to make it.
        wait_until(lambda: page.exists() and path.name in page.read_text(), 30)

    put("0.1.0")
    install(user, venv, f"{server.url()}simple/", f"{name}==0.*")
    assert installed(venv) == {name: "0.1.0 from us"}

    put("0.1.1")
    install(user, venv, f"{server.url()}simple/", f"{name}==0.*,>0.1.0")

    assert installed(venv) == {name: "0.1.1 from us"}


# Accounts that change -----------------------------------------------------------------------------


def test_accounts_change_within_two_seconds_and_without_a_restart(server: Server) -> None:
    account = f"dave-{uuid.uuid4().hex}"
    page = f"{server.url()}simple/my-private-lib/"

    def changed(*command: str, password: str, to: int) -> None:
        server.user(*command, account, password=password)
        wait_until(lambda: status(page, account, PASSWORD) == to, 2)

    assert status(page, account, PASSWORD) == 401
    changed("add", password=PASSWORD, to=200)
    changed("passwd", password="another-password", to=401)
    changed("passwd", password=PASSWORD, to=200)
    changed("remove", password="", to=401)


# Unknown names refused ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def closed(
    rendered: Path, public: PublicIndex, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server that refuses names it does not hold; it holds my-private-lib, which needs none."""
    server = Server(
        rendered,
        tmp_path_factory.mktemp("closed") / "s",
        PYPI_UNKNOWN_PACKAGES="refuse",
        PYPI_PUBLIC_INDEX=public.url,
    )
    server.user("add", "bob", password=PASSWORD)
    wheel.build(server.data, "my-private-lib", "0.2.0", origin="us")
    with server:
        yield server
    assert "Traceback" not in server.log.read_text()


def test_where_unknown_names_are_refused_ours_install_and_others_do_not(
    install: Install, user: User, venv: Path, closed: Server, public: PublicIndex
) -> None:
    public.requests.clear()

    install(user, venv, f"{closed.url()}simple/", "my-private-lib")
    said = install(user, venv, f"{closed.url()}simple/", "my-private-lib", "public-lib", ok=False)

    assert "public-lib" in said
    assert '"GET /simple/public-lib/ HTTP/1.1" 404' in closed.log.read_text()
    assert installed(venv) == {"my-private-lib": "0.2.0 from us"}
    assert public.requests == []
