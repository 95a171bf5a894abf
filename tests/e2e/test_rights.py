"""Accounts with rights of their own, at the gateway and with the clients that people use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pytest
from kit import publish as clients
from kit import wheel
from kit.follower import Follower
from kit.gateway import Gateway, behind_gateway
from kit.http import JSON, Answer, ask, basic
from kit.install import Install, with_pip, with_poetry, with_uv
from kit.library import Library
from kit.public_index import PublicIndex
from kit.publish import Publish
from kit.server import Server
from kit.template import PASSWORD
from kit.user import User, installed
from kit.waiting import today, wait_until

SECRET = "a secret of payments"
ODD = "a.b+c@d-e"
"""A name with all that a name may have."""

OWN = [
    "/simple/billing/",
    "/simple/acme-lib/",
    "/simple/%61cme-lib/",
    "//simple/billing/",
    "/simple/payments/../billing/",
    "/simple/billing/?format=application/vnd.pypi.simple.v1%2Bjson",
    "/project/billing/",
    "/packages/acme_lib-1.0-py3-none-any.whl",
    "/packages/%61cme_lib-1.0-py3-none-any.whl",
    "/packages/acme_lib-1.0-py3-none-any.whl?acme",
    "/packages/acme_lib-1.0-py3-none-any.whl.metadata",
    "/packages/team/acme_new-1.0-py3-none-any.whl",
    "/packages/team/acme-new-1.0.tar.gz",
    "/packages/billing-1.0-py3-none-any.whl.asc",
]
OF_OTHERS = [
    "/",
    "/simple/",
    "/simple",
    "/search.json",
    "/projects.html",
    "/feed.atom",
    "/simple/payments/",
    "/simple/%70ayments/",
    "/simple/Payments/",
    "//simple//payments//",
    "/simple/billing/../payments/",
    "/simple/billing/..%2fpayments/",
    "/simple/billing/%2e%2e/payments/",
    "/simple/%2570ayments/",
    "/simple/payments/index.html",
    "/simple/payments/index.json",
    "/simple/payments/?format=application/vnd.pypi.simple.v1%2Bjson",
    "/simple/payments/?project=billing",
    "/simple/acme/",
    "/simple/acmex/",
    "/simple/billing-2/",
    "/simple/billing.2/",
    "/payments/",
    "/project/payments/",
    "/project/payments/feed.atom",
    "/project/billing/../payments/",
    "/packages/payments-1.0-py3-none-any.whl",
    "/packages/payments-1.0-py3-none-any.whl.metadata",
    "/packages/payments-1.0-py3-none-any.whl.asc",
    "/packages/payments-1.0-py3-none-any.whl?acme_lib-1.0-py3-none-any.whl",
    "/packages/%70ayments-1.0-py3-none-any.whl",
    "//packages//payments-1.0-py3-none-any.whl",
    "/packages/team/../payments-1.0-py3-none-any.whl",
    "/packages/team/..%2fpayments-1.0-py3-none-any.whl",
    "/packages/acme_lib-1.0-py3-none-any.whl/../payments-1.0-py3-none-any.whl",
    "/packages/acme_x%2f..%2fpayments-1.0-py3-none-any.whl",
    "/packages/acme_x%252f..%252fpayments-1.0-py3-none-any.whl",
    "/packages/payments-1.0-py3-none-any.whl%00acme_lib-1.0-py3-none-any.whl",
    "/packages/payments-1.0-py3-none-any.whl#acme_lib-1.0-py3-none-any.whl",
    "/packages/acme-1.0-py3-none-any.whl",
    "/packages/acmex-1.0-py3-none-any.whl",
    "/packages/billing_2-1.0-py3-none-any.whl",
    "/packages/billing-2-1.0.tar.gz",
    "/packages/team/payments-2.0-py3-none-any.whl",
    "/packages/",
    "/packages/team/",
    "/static/../search.json",
    "/static/%2e%2e/search.json",
    "/public/../packages/payments-1.0-py3-none-any.whl",
    "/public/x/..%2f..%2fsearch.json",
]


@dataclass(frozen=True)
class Stack:
    """All programs of an index over one folder."""

    server: Server
    gateway: Gateway
    follower: Follower
    folder: Path

    def get(self, name: str, path: str, method: str = "GET", **headers: str) -> Answer:
        """Ask the gateway as an account."""
        return ask(self.gateway.url, path, {**basic(name, PASSWORD), **headers}, method=method)

    def rights(self, text: str) -> None:
        """Write the file of rights, as an editor does."""
        (self.server.auth / ".rights").write_text(text)

    def soon(self, name: str, path: str, status: int) -> None:
        """Wait until an account is answered with a status."""
        answers = [0]

        def is_so() -> bool:
            answers[0] = self.get(name, path).status
            return answers[0] == status

        wait_until(is_so, explain=lambda: answers[0])


RIGHTS = f"""\
# Who may do what.
bob projects=billing,acme-*
{ODD}: projects=payments
elsewhere projects=not-here
ended projects=billing until=2026-01-31
ci projects=new-*,Own_Lib
over until=2026-01-31
"""


@pytest.fixture(scope="module")
def running(
    rendered: Path, public: PublicIndex, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """An index with some projects and accounts, all programs running."""
    folder = tmp_path_factory.mktemp("rights") / "s"
    server, gateway = behind_gateway(rendered, folder, PYPI_PUBLIC_INDEX=public.url)
    gateway.watches = True
    (server.data / "team").mkdir()
    for name in ("billing", "acme", "acmex", "billing-2"):
        wheel.build(server.data, name, "1.0", origin="us")
    wheel.build(server.data, "acme-lib", "1.0", "public-lib", origin="us")
    wheel.build(server.data, "payments", "1.0", "billing", origin=SECRET)
    wheel.build(server.data / "team", "payments", "2.0", origin=SECRET)
    wheel.build(server.data / "team", "acme-new", "1.0", origin="us")
    for place, name in ((server.data / "team", "acme-new"), (server.data, "billing-2")):
        sdist = wheel.build_sdist(place, name, "1.0", origin="us")
        sdist.rename(place / f"{name}-1.0.tar.gz")  # The older way, with dashes in the name.
    for name in ("billing", "payments"):
        signed = server.data / f"{name}-1.0-py3-none-any.whl.asc"
        signed.write_text(f"-----BEGIN PGP SIGNATURE----- {name}")
    for name in ("bob", ODD, "elsewhere", "ended", "carol"):
        server.user("add", name, password=PASSWORD)
    for name in ("alice", "ci", "over"):
        server.user("add", "--role", "publisher", name, password=PASSWORD)
    server.run("index")
    server.run("web", "--once")
    stack = Stack(server, gateway, Follower(rendered, folder), folder)
    stack.rights(RIGHTS)
    server.run("follow", "--once")
    with server, gateway, stack.follower:
        yield stack
    for log in (server.log, gateway.log, stack.follower.log):
        assert "Traceback" not in log.read_text()


@pytest.fixture
def stack(running: Stack) -> Iterator[Stack]:
    """The same, with the usual rights."""
    yield running
    if (running.server.auth / ".rights").read_text() != RIGHTS:
        running.rights(RIGHTS)
        running.soon("bob", "/simple/payments/", 403)
        running.soon("bob", "/simple/billing/", 200)


@pytest.fixture
def stopped(stack: Stack) -> Iterator[Stack]:
    """The same while private_pypi is stopped: only what the gateway serves by itself comes."""
    stack.server.stop()
    yield stack
    stack.server.start()


def hold(answer: Answer) -> bool:
    """Return whether an answer has something of the projects of others."""
    # Parts of an archive or a signature, and of a link or a list.
    told = (SECRET.encode(), b"PK\x03\x04", b"PGP", b"-1.0", b"href", b"packages/")
    return answer.status in (200, 206) or any(one in answer.body for one in told)


# Readers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", OWN)
def test_a_reader_gets_its_projects_as_if_it_had_all_rights(stack: Stack, path: str) -> None:
    for headers in ({}, JSON, {"Range": "bytes=0-9"}):
        ours, all_rights = (stack.get(name, path, **headers) for name in ("bob", "carol"))

        assert ours.status in (200, 206)
        assert (ours.status, ours.body) == (all_rights.status, all_rights.body)
        kept = [{k: v for k, v in one.headers.items() if k != "Date"} for one in (ours, all_rights)]
        assert kept[0] == kept[1]
    assert stack.get("bob", path, "HEAD").status == 200


@pytest.mark.parametrize("path", OF_OTHERS)
def test_a_reader_gets_nothing_of_others_however_it_spells_the_path(
    stack: Stack, path: str
) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS"):
        assert not hold(stack.get("bob", path, method))
    for headers in (JSON, {"Range": "bytes=0-9"}, {"X-Original-URL": "/simple/billing/"}):
        assert not hold(stack.get("bob", path, **headers))


def test_the_refusal_names_the_project_and_who_may(stack: Stack) -> None:
    answer = stack.get("bob", "/packages/payments-1.0-py3-none-any.whl")

    assert (answer.status, answer.body.decode()) == (
        403,
        "bob may install billing and acme-*, not payments: alice, ci, a.b+c@d-e and 1 more may.\n",
    )


def test_a_browser_gets_it_as_a_page(stack: Stack) -> None:
    answer = stack.get("bob", "/", Accept="text/html,application/xhtml+xml")

    assert (answer.status, answer.headers["Content-Type"]) == (403, "text/html; charset=utf-8")
    assert b"bob may see billing and acme-*, not what belongs to all projects." in answer.body


def test_several_accounts_have_rights_each_its_own(stack: Stack) -> None:
    payments, billing = "/simple/payments/", "/simple/billing/"

    assert [stack.get(ODD, path).status for path in (payments, billing)] == [200, 403]
    assert [stack.get("bob", path).status for path in (payments, billing)] == [403, 200]
    assert [stack.get("elsewhere", path).status for path in (payments, billing)] == [403, 403]
    assert [stack.get("carol", path).status for path in (payments, billing)] == [200, 200]
    assert stack.get("elsewhere", "/simple/requests/").status == 303
    assert stack.get("elsewhere", "/simple/not-here/").status == 303


@pytest.mark.parametrize("name", ["a.b-c@d-e", "aXb+c@d-e", "ci.", "bob2"])
def test_a_name_is_no_expression(stack: Stack, name: str) -> None:
    assert stack.get(name, "/simple/payments/").status == 401


# File speed ---------------------------------------------------------------------------------------


def test_without_private_pypi_a_reader_gets_its_projects_and_no_other(stopped: Stack) -> None:
    for path in OWN:
        assert stopped.get("bob", path).status == 200
    # At once: for each of these, the gateway waits some seconds whether private_pypi comes back.
    with ThreadPoolExecutor(len(OF_OTHERS) + 2) as pool:
        refused = list(pool.map(partial(stopped.get, "bob"), OF_OTHERS))
        ended = pool.map(lambda name: stopped.get(name, "/simple/billing/"), ("ended", "over"))
        assert [answer.status for answer in ended] == [502, 502]
    for answer in refused:
        assert answer.status not in (200, 206)
        assert not hold(answer)
    path = "/static/style.css"
    assert stopped.get("bob", path).status == stopped.get("carol", path).status
    assert stopped.get("carol", "/simple/payments/").status == 200
    assert stopped.get("ci", "/simple/payments/").status == 200


# The end ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ended", "over"])
@pytest.mark.parametrize(
    "path", ["/", "/simple/", "/simple/billing/", "/simple/requests/", *OWN[7:9]]
)
def test_an_account_that_has_ended_is_told_so(stack: Stack, name: str, path: str) -> None:
    answer = stack.get(name, path)

    assert (answer.status, answer.body.decode()) == (
        403,
        f"The account {name} ended on 2026-01-31: make pypi-user-passwd USER={name} DAYS=90 on the"
        " server gives it more days, and a new password.\n",
    )


# The clients --------------------------------------------------------------------------------------


@pytest.mark.parametrize("install", [with_pip, with_uv, with_poetry])
def test_the_clients_install_what_a_reader_may_and_what_pypi_has(
    stack: Stack, user: User, venv: Path, install: Install
) -> None:
    install(user, venv, f"{stack.gateway.url}/simple/", "acme-lib", "billing")

    assert installed(venv) == {
        "acme-lib": "1.0 from us",
        "billing": "1.0 from us",
        "public-lib": "1.2.3 from the public index",
    }


@pytest.mark.parametrize("install", [with_pip, with_uv])
def test_the_clients_install_nothing_else(
    stack: Stack, user: User, venv: Path, install: Install
) -> None:
    said = install(user, venv, f"{stack.gateway.url}/simple/", "payments", ok=False)

    assert "payments" in said
    assert installed(venv) == {}


def verbose_twine(
    user: User, project: Path, url: str, account: str, password: str, ok: bool
) -> str:
    return clients.with_twine(user, project, url, account, password, ok, "--verbose")


PUBLISHERS = pytest.mark.parametrize(
    "publish",
    [clients.with_poetry, clients.with_uv, verbose_twine],
    ids=["poetry", "uv", "twine"],
)


@PUBLISHERS
def test_the_clients_publish_what_a_publisher_may_also_the_first_file_of_a_project(
    stack: Stack, user: User, library: Library, publish: Publish, request: pytest.FixtureRequest
) -> None:
    name = f"new-{request.node.callspec.id}"

    publish(user, library(name), f"{stack.gateway.url}/", "ci", PASSWORD, ok=True)

    assert any(name.replace("-", "_") in file for file in stack.server.files())
    (line, *_) = stack.server.run("audit", f"--project={name}").splitlines()[-1:]
    assert "ci" in line


@PUBLISHERS
def test_the_clients_show_why_a_publisher_may_not_publish_another_project(
    stack: Stack, user: User, library: Library, publish: Publish
) -> None:
    before = stack.server.files()

    said = publish(user, library("newer"), f"{stack.gateway.url}/", "ci", PASSWORD, ok=False)

    sentence = "ci may publish new-* and own-lib, not newer: alice may."
    assert sentence in " ".join(said.split())
    assert stack.server.files() == before


@PUBLISHERS
def test_the_clients_show_that_an_account_has_ended(
    stack: Stack, user: User, library: Library, publish: Publish
) -> None:
    said = publish(user, library("newer"), f"{stack.gateway.url}/", "over", PASSWORD, ok=False)

    assert "The account over ended on 2026-01-31" in " ".join(said.split())


# Changes ------------------------------------------------------------------------------------------


def test_an_edit_by_hand_takes_effect_at_gateway_and_private_pypi(stack: Stack) -> None:
    payments = "/packages/payments-1.0-py3-none-any.whl"
    assert stack.get("carol", payments).status == 200

    stack.rights(f"{RIGHTS}carol projects=billing\n")
    stack.soon("carol", payments, 403)
    assert stack.get("carol", "/simple/billing/").status == 200

    stack.rights(f"{RIGHTS}carol projekts=billing\n")
    stack.soon("carol", payments, 401)

    stack.rights(RIGHTS)
    stack.soon("carol", payments, 200)


def test_rights_of_an_unknown_name_are_complained_about(stack: Stack) -> None:
    stack.rights(f"{RIGHTS}caroll projects=billing\n")

    said = "pypi_auth/.rights has a line for 'caroll', which is no account"
    wait_until(lambda: said in stack.follower.log.read_text())
    assert said in stack.server.run("check", ok=False)


def test_the_file_for_the_gateway_says_nothing_if_nobody_has_rights(stack: Stack) -> None:
    (stack.server.auth / ".rights").write_text("")
    wait_until(
        lambda: "route" not in (stack.folder / "accounts/rights.routes").read_text(),
    )
    stack.soon("bob", "/simple/payments/", 200)


# The last use -------------------------------------------------------------------------------------


def test_the_list_shows_the_last_use_of_each_account(stack: Stack) -> None:
    day = today()
    stack.server.user("add", "unused", "--projects=billing", "--days=5", password=PASSWORD)
    stack.get("bob", "/simple/billing/")
    stack.get("unused", "/simple/billing/", Authorization="Basic eDp5")

    def rows() -> dict[str, list[str]]:
        lines = stack.server.run("user", "list").splitlines()
        return {line.split()[0]: line.split() for line in lines}

    wait_until(lambda: rows()["bob"][-1] == str(day))
    last = day + timedelta(days=5)
    *row, since = rows()["unused"]
    assert row == ["unused", "reader", "bcrypt", "billing", str(last), "not", "since"]
    assert date.fromisoformat(since) <= day
    assert rows()["ended"][3:6] == ["billing", "2026-01-31,", "ended"]
    stack.server.user("remove", "unused")
    assert "unused" not in rows()


def test_the_log_of_uses_has_nothing_but_account_and_time(stack: Stack) -> None:
    stack.get("bob", "/simple/billing/?a=b")
    log = stack.folder / "uses/uses.log"
    wait_until(lambda: '"bob"' in log.read_text())

    lines = [json.loads(line) for line in log.read_text().splitlines()]

    assert {key for line in lines for key in line} == {
        *("level", "ts", "logger", "msg", "user_id", "bytes_read", "duration", "size", "status"),
    }
    assert "" not in {line["user_id"] for line in lines}
