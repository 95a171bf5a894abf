"""What an account with rights of its own is refused, and what it is told then."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import attestation, wheel
from kit.forms import form, upload_form
from kit.http import basic
from kit.template import PASSWORD
from kit.waiting import today
from kit.wsgi import Answer, call
from private_pypi import accounts, gateway, permissions, rights
from private_pypi.accounts import Account
from private_pypi.app import create_app
from private_pypi.index import Index
from private_pypi.rights import Rights
from private_pypi.settings import Settings

YESTERDAY = rights.today() - timedelta(days=1)

Ask = Callable[..., Answer]


@pytest.fixture
def ask(settings: Settings) -> Ask:
    """An index with some projects, asked by the account that is the first argument."""
    for name in ("acme-billing", "acme", "acmex", "payments"):
        built = wheel.build(settings.data, name, "1.0", origin="us")
        attested = attestation.provenance(attestation.of(built.name, built.read_bytes()))
        built.with_name(f"{built.name}.provenance").write_bytes(attested)
    app = create_app(settings)
    app.index.refresh()

    def ask(name: str, path: str, method: str = "GET", **more: str) -> Answer:
        return call(app, method, path, headers={**basic(name, PASSWORD), **more})

    return ask


@pytest.fixture
def publish(settings: Settings, tmp_path: Path) -> Ask:
    """An index to which an account, the first argument, publishes a wheel of a project."""
    app = create_app(settings)
    app.index.refresh()

    def publish(account: str, name: str) -> Answer:
        built = wheel.build(tmp_path, name, "1.0", origin="us")
        body, kind = upload_form(built.name, built.read_bytes())
        return call(
            app, "POST", "/", body=body, headers=basic(account, PASSWORD), CONTENT_TYPE=kind
        )

    return publish


def add(settings: Settings, name: str, role: str, given: str) -> None:
    """Add an account with the words of a line of the file of rights."""
    accounts.add(settings.auth, name, role, PASSWORD, rights=Rights.parse(given.split()))


# Readers ------------------------------------------------------------------------------------------

OWN = [
    "/simple/acme-billing/",
    "/simple/acme-billing/?format=application/vnd.pypi.simple.v1%2Bjson",
    "/simple/%61cme-billing/",
    "/packages/acme_billing-1.0-py3-none-any.whl",
    "/packages/acme_billing-1.0-py3-none-any.whl.metadata",
    "/packages/acme_billing-1.0-py3-none-any.whl.provenance",
]
OF_OTHERS = [
    "/simple/payments/",
    "/simple/payments",
    "/simple/Payments/",
    "/simple/%70ayments/",
    "/simple/payments/?format=acme-billing",
    "/payments/",
    "/payments",
    "/project/payments/",
    "/project/payments",
    "/project/payments/feed.atom",
    "/packages/payments-1.0-py3-none-any.whl",
    "/packages/%70ayments-1.0-py3-none-any.whl",
    "/packages/payments-1.0-py3-none-any.whl.metadata",
    "/packages/payments-1.0-py3-none-any.whl.asc",
    "/packages/payments-1.0-py3-none-any.whl.provenance",
    "/packages/acme_billing/payments-1.0-py3-none-any.whl",
    "/packages/acme_billing-1.0-py3-none-any.whl/../payments-1.0-py3-none-any.whl",
]
FOR_ALL = [
    "/",
    "",
    "/simple/",
    "/simple",
    "/simple//",
    "//simple/",
    "//simple/payments/",
    "/simple/payments//",
    "/simple/acme-billing/../payments/",
    "/simple/payments/index.html",
    "/feed.atom",
    "/search.json",
    "/projects.html",
    "/packages/",
    "/packages",
    "/packages/x",
    "/packages/acme_billing-1.0-py3-none-any.whl.metadata.metadata",
    "/packages/acme-*",
    "/project/",
    "/static/../search.json",
    "/%ff/payments/x",
]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", OWN)
def test_a_reader_installs_its_projects(
    settings: Settings, ask: Ask, path: str, method: str
) -> None:
    add(settings, "ci", "reader", "projects=acme-*")

    assert ask("ci", path, method).status == 200


@pytest.mark.parametrize("path", OF_OTHERS)
def test_a_reader_is_told_which_project_it_may_not_install_and_who_may(
    settings: Settings, ask: Ask, path: str
) -> None:
    add(settings, "ci", "reader", "projects=acme-*,lib")

    answer = ask("ci", path, Range="bytes=0-9")

    sentence = "ci may install acme-* and lib, not payments: alice and bob may."
    assert (answer.status, answer.reason, answer.body) == (403, sentence, f"{sentence}\n")


@pytest.mark.parametrize("project", ["acme", "acmex"])
def test_a_name_that_begins_alike_is_another_project(
    settings: Settings, ask: Ask, project: str
) -> None:
    add(settings, "ci", "reader", "projects=acme-*")

    assert ask("ci", f"/simple/{project}/").status == 403
    assert ask("ci", f"/packages/{project}-1.0-py3-none-any.whl").status == 403


@pytest.mark.parametrize("path", FOR_ALL)
def test_a_reader_with_projects_sees_nothing_that_belongs_to_all(
    settings: Settings, ask: Ask, path: str
) -> None:
    add(settings, "ci", "reader", "projects=acme-*")

    answer = ask("ci", path)

    sentence = "ci may see acme-*, not what belongs to all projects.\n"
    assert (answer.status, answer.body) == (403, sentence)


def test_names_that_are_not_here_are_asked_elsewhere_as_for_everybody(
    settings: Settings, ask: Ask
) -> None:
    add(settings, "ci", "reader", "projects=acme-*")

    assert ask("ci", "/simple/requests/").status == 303


def test_a_name_that_gets_its_first_file_meanwhile_is_refused(
    settings: Settings, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(settings, "ci", "reader", "projects=acme-*")
    found = iter(["unknown", "here"])
    monkeypatch.setattr(Index, "presence", lambda *_: next(found, "here"))

    assert ask("ci", "/simple/payments/").status == 403


def test_the_page_for_people_of_a_project_without_files_is_for_its_readers(
    settings: Settings, ask: Ask
) -> None:
    add(settings, "ci", "reader", "projects=acme-*")
    Index(settings.data, settings.index, settings.url).remove("payments", "1.0", by="bob")

    for path in ("/project/payments/", "/project/payments/feed.atom"):
        answer = ask("ci", path)
        sentence = "ci may install acme-*, not payments: alice and bob may.\n"
        assert (answer.status, answer.body) == (403, sentence)
    # It has no simple page, as for everybody.
    assert ask("ci", "/simple/payments/").status == ask("bob", "/simple/payments/").status == 404


def test_the_status_of_a_project_is_for_its_readers(settings: Settings, ask: Ask) -> None:
    add(settings, "ci", "reader", "projects=acme-*")
    index = Index(settings.data, settings.index, settings.url)
    for project in ("payments", "acme-billing"):
        index.mark(project, "quarantined", "it steals", by="bob")

    for suffix in ("", ".metadata", ".provenance"):
        answer = ask("ci", f"/packages/payments-1.0-py3-none-any.whl{suffix}")
        sentence = "ci may install acme-*, not payments: alice and bob may.\n"
        assert (answer.status, answer.body) == (403, sentence)
    answer = ask("ci", "/packages/acme_billing-1.0-py3-none-any.whl")
    assert answer.status == 403
    assert "acme-billing is quarantined (it steals)" in answer.body


def test_without_the_file_of_trusted_publishers_accounts_are_answered_as_before(
    settings: Settings, ask: Ask, publish: Ask
) -> None:
    add(settings, "ci", "reader", "projects=acme-*")
    add(settings, "ci2", "publisher", "projects=acme-*")
    (settings.auth / ".publishers.toml").mkdir()

    assert ask("ci", "/simple/acme-billing/").status == 200
    assert ask("ci", "/simple/payments/").reason == (
        "ci may install acme-*, not payments: alice, ci2 and bob may."
    )
    assert publish("ci2", "payments").reason == ("ci2 may publish acme-*, not payments: alice may.")
    assert publish("ci2", "acme-new").status == 200
    assert ask("__token__", "/simple/").status == 503


def test_an_account_without_a_line_reads_what_its_role_may(settings: Settings, ask: Ask) -> None:
    add(settings, "ci", "reader", "projects=acme-*")

    assert {ask("bob", path).status for path in ("/", "/simple/", *OWN)} == {200}


# Publishers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("project", ["billing", "Billing", "acme-new", "ACME.new"])
def test_a_publisher_publishes_its_projects_also_their_first_file(
    settings: Settings, publish: Ask, project: str
) -> None:
    add(settings, "ci", "publisher", "projects=billing,acme-*")

    assert publish("ci", project).status == 200


@pytest.mark.parametrize("project", ["payments", "acme", "acmex", "billing-2", "bill"])
def test_a_publisher_is_told_which_project_it_may_not_publish_and_who_may(
    settings: Settings, publish: Ask, project: str
) -> None:
    add(settings, "ci", "publisher", "projects=billing,acme-*")
    add(settings, "others", "publisher", "projects=payment")

    answer = publish("ci", project)

    sentence = f"ci may publish billing and acme-*, not {project}: alice may."
    assert (answer.status, answer.reason, answer.body) == (403, sentence, f"{sentence}\n")
    assert not list(settings.data.glob("*.whl"))


def test_a_publisher_with_projects_installs_all(settings: Settings, ask: Ask) -> None:
    add(settings, "ci", "publisher", "projects=acme-*")

    assert ask("ci", "/simple/payments/").status == 200
    assert ask("ci", "/").status == 200


@pytest.mark.parametrize("action", ["file_upload", "submit", "verify"])
def test_a_publisher_signs_nothing_of_others(
    settings: Settings, tmp_path: Path, action: str
) -> None:
    add(settings, "ci", "publisher", "projects=acme-*")
    signed = wheel.build(settings.data, "payments", "1.0", origin="us")
    app = create_app(settings)
    app.index.refresh()
    body, kind = form({":action": action}, {"gpg_signature": (f"{signed.name}.asc", b"forged")})

    call(app, "POST", "/", body=body, headers=basic("ci", PASSWORD), CONTENT_TYPE=kind)

    assert not signed.with_name(f"{signed.name}.asc").exists()


def test_no_more_than_three_others_are_named(settings: Settings, publish: Ask) -> None:
    add(settings, "ci", "publisher", "projects=billing")
    add(settings, "gone", "publisher", f"until={YESTERDAY}")
    for name in ("carol", "dave", "erin"):
        accounts.add(settings.auth, name, "publisher", PASSWORD)

    assert publish("ci", "payments").body == (
        "ci may publish billing, not payments: alice, carol, dave and 1 more may.\n"
    )


def test_if_nobody_may_the_sentence_says_so(settings: Settings, publish: Ask) -> None:
    accounts.remove(settings.auth, "alice")
    add(settings, "ci", "publisher", "projects=billing")

    assert publish("ci", "payments").body == (
        "ci may publish billing, not payments: no account may.\n"
    )


# The end ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["publisher", "reader"])
def test_an_account_that_has_ended_is_told_so_everywhere(
    settings: Settings, ask: Ask, publish: Ask, role: str
) -> None:
    add(settings, "ci", role, f"until={YESTERDAY}")
    sentence = (
        f"The account ci ended on {YESTERDAY}: make pypi-user-passwd USER=ci DAYS=90 on the server"
        " gives it more days, and a new password.\n"
    )

    for path in ("/", "/simple/", "/simple/acme/", "/simple/requests/", "/static/style.css", "/x"):
        assert (ask("ci", path).status, ask("ci", path).body) == (403, sentence)
    answer = publish("ci", "acme")
    assert (answer.status, answer.body) == (403, sentence)


def test_an_account_works_on_its_last_day(settings: Settings, publish: Ask) -> None:
    add(settings, "ci", "publisher", f"until={today()}")

    assert publish("ci", "acme").status == 200


def test_a_wrong_password_learns_nothing_of_the_end(settings: Settings) -> None:
    add(settings, "ci", "reader", f"until={YESTERDAY}")
    app = create_app(settings)

    assert call(app, "GET", "/", headers=basic("ci", "wrong-password")).status == 401


# Changes by hand ----------------------------------------------------------------------------------


def test_a_line_that_is_written_by_hand_counts_at_the_next_request(
    settings: Settings, ask: Ask
) -> None:
    assert ask("bob", "/simple/payments/").status == 200
    (settings.auth / rights.FILE).write_text("bob projects=acme\n")
    assert ask("bob", "/simple/payments/").status == 403
    (settings.auth / rights.FILE).write_text("bob projects=acme,payments\n")
    assert ask("bob", "/simple/payments/").status == 200
    (settings.auth / rights.FILE).write_text("bob project=acme\n")
    assert ask("bob", "/simple/payments/").status == 401


@pytest.mark.parametrize("step", ["deleted", "emptied"])
def test_while_an_editor_saves_the_file_no_account_has_more_rights(
    settings: Settings, ask: Ask, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = settings.auth / rights.FILE
    file.write_text("bob projects=acme\n")
    assert ask("bob", "/simple/payments/").status == 403

    if step == "deleted":
        file.unlink()
    else:
        file.write_bytes(b"")
    assert ask("bob", "/simple/payments/").status == 403

    monkeypatch.setattr(accounts, "SAVED_AFTER", 0)
    assert ask("bob", "/simple/payments/").status == 200


# The gateway --------------------------------------------------------------------------------------

SEGMENTS = st.sampled_from(
    [
        *("simple", "project", "packages", "static", "public", "", "feed.atom", "index.html"),
        *("acme", "acme-x", "acme_x", "acmex", "Acme-X", "payments", "acme-", "billing", "a.css"),
        *("acme_x-1.0-py3-none-any.whl", "acme-1.0-py3-none-any.whl", "payments-1.0.tar.gz"),
        *("acme-x-1.0.tar.gz", "acme.x-1.0.zip", "billing-2.0.tar.gz.metadata", "billing-1-2.zip"),
        *("billing-1.0.tar.gz.asc", "ACME_X-1.whl", "acmex-1.0-py3-none-any.whl.provenance"),
    ]
)
NAMES = st.sampled_from(["acme", "acme-x", "acmex", "acme-", "payments", "billing", "billing-2"])
FILES = st.sampled_from(
    [
        f"{name}-1.0{end}"
        for name in ("acme", "acme_x", "acmex", "payments", "billing", "billing_2")
        for end in ("-py3-none-any.whl", ".tar.gz", ".zip", ".tar.gz.metadata", ".zip.asc")
    ]
)
LIKELY = st.one_of(
    st.tuples(st.sampled_from(["simple", "project"]), NAMES),
    st.tuples(st.just("project"), NAMES, st.just("feed.atom")),
    st.tuples(st.just("packages"), FILES),
    st.tuples(st.just("packages"), NAMES, FILES),
)


@given(
    st.one_of(LIKELY, st.lists(SEGMENTS, max_size=4)),
    st.booleans(),
    st.lists(st.sampled_from(["acme", "acme-*", "acme*", "billing"]), min_size=1, max_size=2),
)
def test_what_the_gateway_serves_from_the_disk_private_pypi_allows(
    segments: Sequence[str], slash: bool, projects: list[str]
) -> None:
    class Here:
        """An index that has every project: no name leads elsewhere."""

        def presence(self, _: str) -> str:
            return "here"

    path = f"/{'/'.join(segments)}{'/' if slash else ''}"
    ci = Account("ci", "reader", "", 1, Rights(tuple(projects)))
    (expression,) = (
        line.partition("path_regexp ")[2]
        for line in gateway.rights_of([ci])
        if "@files path_regexp" in line
    )

    is_allowed = not permissions.of_read(ci, path, Here(), list)  # type: ignore[arg-type]
    if re.search(expression, path):
        assert is_allowed
    elif is_allowed and re.match("/(simple|project)/[a-z0-9-]+/$", path):
        raise AssertionError(f"the gateway asks for {path}")
