"""How long trust lasts: keys that are replaced or grow old, passwords, publishers, and restarts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import issuer as issuers
from kit import trusting
from kit.authority import Authority
from kit.http import basic
from kit.issuer import NAMESPACE_ID, PROJECT, PROJECT_ID, Issuer
from kit.trusting import AUDIENCE, GITHUB, TrustingIndex, workflow
from kit.waiting import wait_until

HOUR = 3600


@pytest.fixture
def on_time(authority: Authority) -> Iterator[Issuer]:
    """An issuer for which no time passed, of an index that has just begun."""
    with issuers.running(authority) as running:
        yield running


@pytest.fixture(scope="module")
def of_all(
    rendered: Path, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TrustingIndex]:
    """An index that trusts whom the test before made it trust."""
    folder = tmp_path_factory.mktemp("in-time") / "s"
    with trusting.running(rendered, folder, authority) as index:
        yield index


@pytest.fixture
def index(of_all: TrustingIndex, issuer: Issuer) -> TrustingIndex:
    """An index that trusts one workflow."""
    of_all.trust(workflow(issuer))
    return of_all


def token(issuer: Issuer, **changed: object) -> str:
    """Return a token of that workflow."""
    return issuer.sign(issuer.github(AUDIENCE, **changed))


def later(index: TrustingIndex, issuer: Issuer, seconds: int) -> None:
    """Let so many seconds pass, for the index and for the issuer."""
    issuer.ahead += seconds
    index.clock.set(issuer.ahead)


def test_a_new_key_counts_once_it_was_fetched_and_an_old_one_until_then(
    index: TrustingIndex, issuer: Issuer
) -> None:
    old = issuer.rotate()
    of_old, of_new = old.sign(issuer.github(AUDIENCE)), token(issuer)

    assert index.mint(of_old).status == 200
    said = index.refusal(of_new)
    assert issuer.keys[-1].kid in said
    assert "ten minutes" in said

    index.keys.fetch_again()

    assert index.mint(token(issuer)).status == 200
    assert old.kid in index.refusal(old.sign(issuer.github(AUDIENCE)))


def test_two_keys_count_at_a_time(index: TrustingIndex, issuer: Issuer) -> None:
    first = issuer.keys[0]
    issuer.keys.append(issuers.SigningKey("ES256"))
    index.keys.fetch_again()

    assert index.mint(first.sign(issuer.github(AUDIENCE))).status == 200
    assert index.mint(token(issuer)).status == 200


def test_a_minted_password_publishes_the_publishers_projects_alone(
    index: TrustingIndex, issuer: Issuer
) -> None:
    password = index.password(token(issuer))

    assert index.publish(password, "acme-one").status == 200
    answer = index.publish(password, "elsewhere")
    assert answer.status == 403
    assert f"{GITHUB} may publish billing and acme-*, not elsewhere" in answer.body.decode()


@pytest.mark.parametrize(
    "path",
    ["", "simple/", "simple/acme-one/", "packages/acme_one-1.0-py3-none-any.whl", "search.json"],
)
def test_a_minted_password_reads_nothing_and_is_told_what_does(
    index: TrustingIndex, issuer: Issuer, path: str
) -> None:
    password = index.password(token(issuer))
    assert index.publish(password, "acme-one").status == 200

    answer = index.ask(path, basic("__token__", password))

    assert answer.status == 403
    assert "install with an account" in answer.body.decode()


@pytest.mark.parametrize("password", ["", "x", "a" * 43, "é", "x" * 500])
def test_a_password_that_was_not_minted_is_refused(index: TrustingIndex, password: str) -> None:
    assert index.publish(password, "acme-two").status == 401


def test_a_refused_password_is_in_the_log_of_refused_logins(index: TrustingIndex) -> None:
    log = index.server.data.parent / "refused.log"
    before = len(log.read_text().splitlines())

    index.publish("x" * 43, "acme-two")

    wait_until(lambda: len(log.read_text().splitlines()) > before)


def test_a_minted_password_ends_after_a_quarter_of_an_hour(
    index: TrustingIndex, issuer: Issuer
) -> None:
    password = index.password(token(issuer))

    later(index, issuer, 14 * 60)
    assert index.publish(password, "acme-hour", "1.0").status == 200

    later(index, issuer, 61)
    answer = index.publish(password, "acme-hour", "2.0")
    assert answer.status == 401
    assert "15 minutes" in answer.body.decode()
    assert "acme_hour-2.0-py3-none-any.whl" not in index.server.files()


def test_a_token_is_remembered_as_long_as_it_is_valid(index: TrustingIndex, issuer: Issuer) -> None:
    used = token(issuer)
    assert index.mint(used).status == 200

    for seconds in (299, 21):
        later(index, issuer, seconds)
        assert "was used already" in index.refusal(used)

    later(index, issuer, 11)
    assert "ended at" in index.refusal(used)


def test_a_token_of_a_long_job_counts_for_an_hour(index: TrustingIndex, issuer: Issuer) -> None:
    # Those of GitLab end together with the longest time that their job may take.
    end = issuer.now() + 3 * HOUR
    assert index.mint(token(issuer, exp=end)).status == 200
    unused = token(issuer, exp=end)

    later(index, issuer, HOUR + 31)

    assert "60 minutes after it was issued" in index.refusal(unused)


def test_a_publisher_that_is_removed_publishes_nothing_more(
    index: TrustingIndex, issuer: Issuer
) -> None:
    index.trust(workflow(issuer), workflow(issuer, "x", name="a/b x.yml", ref="refs/heads/x"))
    password = index.password(token(issuer))

    index.server.run("trust", "remove", GITHUB)

    assert "ref is" in index.refusal(token(issuer))
    assert index.publish(password, "acme-gone").status == 401
    assert "acme_gone-1.0-py3-none-any.whl" not in index.server.files()


def test_a_publisher_that_may_less_now_may_less_at_once(
    index: TrustingIndex, issuer: Issuer
) -> None:
    password = index.password(token(issuer))

    index.trust(workflow(issuer, "billing"))

    assert index.publish(password, "acme-less").status == 401
    assert "acme_less-1.0-py3-none-any.whl" not in index.server.files()


def test_after_a_restart_older_tokens_and_passwords_are_refused(
    index: TrustingIndex, issuer: Issuer
) -> None:
    password, unused = index.password(token(issuer)), token(issuer)
    later(index, issuer, 1)

    index.server.stop()
    index.server.start()

    assert "run the job again" in index.refusal(unused).lower()
    assert index.publish(password, "acme-tax").status in (401, 403)
    later(index, issuer, 1)
    assert index.mint(token(issuer)).status == 200


def test_keys_last_for_a_day_while_the_issuer_is_away(index: TrustingIndex, issuer: Issuer) -> None:
    index.keys.fetch_again()
    issuer.works = False
    index.keys.stop()
    index.keys.start()
    wait_until(lambda: "could not be fetched" in index.keys.log.read_text())

    later(index, issuer, 23 * HOUR)
    assert index.mint(token(issuer)).status == 200

    later(index, issuer, 2 * HOUR)
    answer = index.mint(token(issuer))
    assert answer.status >= 400
    (error,) = json.loads(answer.body)["errors"]
    assert issuer.url in error["description"]
    assert "within a day" in error["description"]
    assert error["description"] in index.audit()


def test_without_publishers_there_is_nothing_to_ask(
    rendered: Path, authority: Authority, on_time: Issuer, tmp_path: Path
) -> None:
    with trusting.running(rendered, tmp_path / "none", authority) as index:
        answers = [
            index.ask("_/oidc/audience"),
            index.mint(token(on_time)),
            index.publish("x" * 43, "acme-tax"),
        ]

        assert {answer.status for answer in answers} <= {401, 404}
        assert index.audit() == ""
        assert list(index.keys.folder.iterdir()) == []
        assert "/_/oidc" not in index.server.log.read_text()

        index.trust(workflow(on_time))
        assert index.mint(token(on_time)).status == 200

        (index.server.auth / trusting.FILE).unlink()
        wait_until(lambda: not index.is_open())
        assert index.mint(token(on_time)).status in (401, 404)


def test_the_commands_add_list_and_remove_a_publisher(
    rendered: Path, authority: Authority, on_time: Issuer, tmp_path: Path
) -> None:
    with trusting.running(rendered, tmp_path / "commands", authority) as index:
        host = on_time.url.removeprefix("https://")
        configuration = f"{host}/{PROJECT}//.gitlab-ci.yml@refs/heads/main"

        index.server.run(
            *("trust", "add", "--issuer", on_time.url, "--repository", PROJECT),
            *("--repository-id", PROJECT_ID, "--owner-id", NAMESPACE_ID, "--projects", "billing"),
        )

        wait_until(index.is_open, explain=index.says)
        wait_until(index.keys.of(on_time.url).exists, explain=index.says)
        claims = on_time.gitlab(AUDIENCE, ci_config_ref_uri=configuration)
        password = index.password(on_time.sign(claims))
        assert index.publish(password, "billing").status == 200
        listed = index.server.run("trust", "list")
        assert all(part in listed for part in (PROJECT, PROJECT_ID, NAMESPACE_ID, on_time.url))

        index.server.run("trust", "remove", f"{PROJECT} .gitlab-ci.yml")

        wait_until(lambda: not index.is_open(), explain=index.says)
        assert PROJECT not in index.server.run("trust", "list")
