"""The commands of trusted publishing: what they write, print and refuse."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import documents
from kit.documents import Documents
from kit.template import PASSWORD
from kit.waiting import wait_until
from private_pypi import accounts, preflight
from private_pypi.__main__ import main
from private_pypi.accounts import AccountError
from private_pypi.settings import Settings
from private_pypi.trust import ids, issuers, publishers
from private_pypi.trust.publishers import GITHUB, GITLAB, Publisher

Captured = pytest.CaptureFixture[str]

PACKAGE = Path(accounts.__file__).parent.parent
GIVEN = ("--repository-id=123", "--owner-id=45", "--projects=Billing,acme-*")
BILLING = ("--issuer=github", "--repository=acme/billing", "--workflow=publish.yml", *GIVEN)

BILLING_NAME = "acme/billing publish.yml"


@pytest.fixture(autouse=True)
def folders(repository: Path, auth: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders of a rendered repository, as the working directory."""
    for name in ("gateway", "keys"):
        (repository / name).mkdir()
    monkeypatch.setenv("PYPI_GATEWAY", "gateway")
    monkeypatch.setenv("PYPI_KEYS", "keys")
    return repository


@pytest.fixture
def server() -> Iterator[Documents]:
    """A server of JSON, without TLS as only this machine may have."""
    with documents.running() as server:
        yield server


def add(*flags: str) -> int:
    """Run the command that adds a publisher."""
    return main(["trust", "add", *flags])


def trusted(folders: Path) -> list[Publisher]:
    """Return who is trusted now."""
    return publishers.read(folders / "pypi_auth")[0]


# Adding -------------------------------------------------------------------------------------------


def test_a_workflow_of_github_is_pinned_by_file_and_ids(folders: Path, capsys: Captured) -> None:
    assert add(*BILLING) == 0

    claims = {
        "repository": "acme/billing",
        "repository_id": "123",
        "repository_owner_id": "45",
        "job_workflow_ref": "acme/billing/.github/workflows/publish.yml@*",
    }
    assert trusted(folders) == [
        Publisher("acme/billing publish.yml", GITHUB, ("billing", "acme-*"), claims)
    ]
    assert capsys.readouterr().out == (
        "acme/billing publish.yml may publish billing, acme-*.\n"
        f"A job is this publisher if a token of {GITHUB} says:\n"
        "  repository: acme/billing\n"
        "  repository_id: 123\n"
        "  repository_owner_id: 45\n"
        "  job_workflow_ref: acme/billing/.github/workflows/publish.yml@*\n"
    )
    # The container `keys` learns it at once.
    assert issuers.listed(folders / "gateway/issuers") == [GITHUB]


def test_an_environment_is_pinned_and_part_of_the_name(folders: Path) -> None:
    assert add(*BILLING, "--environment=production") == 0
    assert add(*BILLING, "--workflow=.github/workflows/publish.yml") == 0

    with_environment, without = trusted(folders)
    assert with_environment.name == "acme/billing publish.yml production"
    assert with_environment.claims["environment"] == "production"
    assert without.name == "acme/billing publish.yml"
    assert "environment" not in without.claims


@pytest.mark.parametrize(
    ("issuer", "url", "configuration"),
    [
        ("gitlab", GITLAB, "gitlab.com/acme/sub/billing//.gitlab-ci.yml@*"),
        (
            "https://git.acme.com:8443",
            "https://git.acme.com:8443",
            "git.acme.com:8443/acme/sub/billing//.gitlab-ci.yml@*",
        ),
        (
            "https://acme.com/gitlab",
            "https://acme.com/gitlab",
            "acme.com/gitlab/acme/sub/billing//.gitlab-ci.yml@*",
        ),
    ],
)
def test_a_pipeline_of_gitlab_is_pinned_by_file_and_ids(
    folders: Path, issuer: str, url: str, configuration: str
) -> None:
    assert add(f"--issuer={issuer}", "--repository=acme/sub/billing", *GIVEN) == 0

    (publisher,) = trusted(folders)
    assert publisher.issuer == url
    assert publisher.name == "acme/sub/billing .gitlab-ci.yml"
    assert publisher.claims == {
        "project_path": "acme/sub/billing",
        "project_id": "123",
        "namespace_id": "45",
        "ci_config_ref_uri": configuration,
        "ref_protected": "true",
    }


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("https://gitlab.acme.com/", "https://gitlab.acme.com"),
        ("https://acme.com/gitlab/", "https://acme.com/gitlab"),
        ("https://gitlab.com/", GITLAB),
        ("https://github.com", GITHUB),
        ("https://github.com/", GITHUB),
        (f"{GITHUB}/", GITHUB),
        ("https://github.acme.com/_services/token/", "https://github.acme.com/_services/token"),
    ],
)
def test_an_address_as_a_browser_shows_it_is_the_issuer_that_tokens_name(
    folders: Path, typed: str, meant: str
) -> None:
    assert add(*BILLING, f"--issuer={typed}") == 0
    shown = trusted(folders)[0]
    (folders / "pypi_auth/.publishers.toml").unlink()
    assert add(*BILLING, f"--issuer={meant}") == 0

    assert shown.issuer == meant
    assert trusted(folders) == [shown]


def test_the_slash_of_an_issuer_that_is_pinned_by_its_subject_stays(folders: Path) -> None:
    assert add("--issuer=https://ci.acme.com/", "--subject=x", "--projects=billing") == 0

    assert trusted(folders)[0].issuer == "https://ci.acme.com/"


def test_a_github_of_a_company_is_pinned_as_github_is(folders: Path) -> None:
    issuer = "https://github.acme.com/_services/token"

    assert add(*BILLING[1:], f"--issuer={issuer}") == 0

    (publisher,) = trusted(folders)
    assert publisher.issuer == issuer
    assert publisher.claims["repository_owner_id"] == "45"


def test_another_issuer_is_pinned_by_its_subject(folders: Path) -> None:
    flags = ("--issuer=https://ci.acme.com", "--subject=jobs/billing", "--projects=billing")
    assert add(*flags) == 0
    assert add(*flags, "--subject=jobs/tax", "--name=acme's tax") == 0

    first, second = trusted(folders)
    assert first.name == "ci.acme.com jobs/billing"
    assert first.claims == {"sub": "jobs/billing"}
    assert second.name == "acme's tax"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--issuer=bitbucket",), "ISSUER='bitbucket' is no issuer: write github, gitlab, or"),
        (("--issuer=http://acme.com",), "is no issuer"),
        (("--projects=",), "say which projects it may publish: PROJECTS=billing,acme-*"),
        (("--projects=*",), "'*' is not the name of a project"),
        (("--workflow=",), "WORKFLOW='' is no file in .github/workflows/: write its name"),
        (("--workflow=*.yml",), "is no file in .github/workflows/"),
        (("--workflow=../x.yml",), "is no file in .github/workflows/"),
        (("--workflow=a@b.yml",), "is no file in .github/workflows/"),
        (("--workflow=publish.sh",), "is no file in .github/workflows/"),
        (("--repository=",), "say which repository: REPOSITORY=acme/billing"),
        (("--subject=x",), "give REPOSITORY= for GitHub and GitLab, or SUBJECT="),
        (("--repository-id=",), "give REPOSITORY_ID= and OWNER_ID= both, or neither"),
        (("--owner-id=",), "give REPOSITORY_ID= and OWNER_ID= both, or neither"),
        (("--repository-id=12x",), "the claim repository_id is '12x': write the number of its id"),
        (("--repository=billing",), "REPOSITORY='billing' is no repository: write OWNER/NAME"),
        (("--repository=a/b/c",), "REPOSITORY='a/b/c' is no repository: write OWNER/NAME"),
        (("--repository=a*/b",), "is no repository: write OWNER/NAME"),
        (("--environment=a*b",), "has a * that is not at its end"),
        (("--name=ci",), "the name 'ci' could be that of an account"),
        (("--issuer=gitlab", "--workflow=a b.yml"), "WORKFLOW='a b.yml' is no file"),
        (("--issuer=gitlab", "--workflow=/x.yml"), "WORKFLOW='/x.yml' is no file"),
        (("--issuer=gitlab", "--repository=../billing"), "is no project: write GROUP/NAME"),
        (
            ("--issuer=https://ci.acme.com", "--repository="),
            "say what pins its jobs: REPOSITORY=acme/billing for a GitLab of your own, or SUBJECT=",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_its_remedy_and_nothing_is_written(
    folders: Path, capsys: Captured, flags: tuple[str, ...], said: str
) -> None:
    assert add(*BILLING, *flags) == 1

    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert not (folders / "pypi_auth/.publishers.toml").exists()


def test_ids_that_were_found_are_taken_in_the_spelling_of_the_issuer(folders: Path) -> None:
    found = {"repository": "Acme/Billing", "repository_id": "9", "owner_id": "8"}

    assert add(*BILLING[:3], "--projects=billing", f"--found={json.dumps(found)}") == 0

    (publisher,) = trusted(folders)
    assert publisher.name == "Acme/Billing publish.yml"
    assert publisher.claims["repository_id"] == "9"
    assert publisher.claims["repository_owner_id"] == "8"


@pytest.mark.parametrize(
    "found",
    [
        '{"repository": "evil/billing", "repository_id": "9", "owner_id": "8"}',
        '{"repository": "acme/billing", "repository_id": 9, "owner_id": "8"}',
        '{"repository": "acme/billing"}',
        "[]",
        "hello",
    ],
)
def test_what_was_not_asked_for_is_not_trusted(folders: Path, capsys: Captured, found: str) -> None:
    assert add(*BILLING[:3], "--projects=billing", f"--found={found}") == 1

    assert "'acme/billing' was asked for, and the ids of" in capsys.readouterr().err
    assert trusted(folders) == []


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), f"trusts this job already, as '{BILLING_NAME}': add the projects there\n"),
        # It would never count: the first entry that fits a job does.
        (("--name=acme/other",), f"trusts this job already, as '{BILLING_NAME}': add the projects"),
        (
            ("--repository-id=9",),
            f"has a publisher '{BILLING_NAME}' already: edit its projects there, or run"
            " make pypi-trust-remove first\n",
        ),
    ],
)
def test_the_same_twice_says_what_to_do(
    folders: Path, capsys: Captured, flags: tuple[str, ...], said: str
) -> None:
    add(*BILLING)

    assert add(*BILLING, "--projects=other", *flags) == 1

    assert said in capsys.readouterr().err
    assert len(trusted(folders)) == 1


# Listing and removing -----------------------------------------------------------------------------


def test_the_list_has_aligned_columns_and_says_when_keys_came(
    folders: Path, capsys: Captured
) -> None:
    add(*BILLING)
    add("--issuer=https://ci.acme.com", "--subject=x", "--projects=y", "--name=x/y")
    issuers.write_keys(folders / "keys", GITHUB, [{"kty": "RSA"}], 1_700_000_000)
    with (folders / "pypi_auth/.publishers.toml").open("a") as file:
        file.write("[[publisher]]\nname = 'broken'\n")
    capsys.readouterr()

    assert main(["trust", "list"]) == 0

    said = capsys.readouterr()
    assert [line.split("  ")[0] for line in said.out.splitlines()] == ["NAME", BILLING_NAME, "x/y"]
    for column, values in {
        "PROJECTS": ("billing,acme-*", "y"),
        "ISSUER": (GITHUB, "https://ci.acme.com"),
        "KEYS FETCHED": ("2023-11-14 22:13 UTC", "never"),
        "PINNED": ("repository=acme/billing repository_id=123 ", "sub=x"),
    }.items():
        head, *rows = said.out.splitlines()
        place = head.index(column)
        assert [row[place : place + len(x)] for row, x in zip(rows, values, strict=True)] == [
            *values
        ]
    assert said.err == (
        "error: pypi_auth/.publishers.toml: publisher 3 ('broken') is not trusted:"
        " it has no issuer\n"
    )


def test_without_containers_nothing_is_known_of_keys(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(*BILLING)
    monkeypatch.delenv("PYPI_KEYS")
    capsys.readouterr()

    assert main(["trust", "list"]) == 0

    assert "unknown" in capsys.readouterr().out


def test_a_publisher_that_is_removed_is_trusted_no_longer(folders: Path, capsys: Captured) -> None:
    add(*BILLING)
    capsys.readouterr()

    assert main(["trust", "remove", "acme/billing publish.yml"]) == 0

    assert capsys.readouterr().out == "acme/billing publish.yml is no longer trusted.\n"
    assert trusted(folders) == []
    assert issuers.listed(folders / "gateway/issuers") == []
    assert main(["trust", "remove", "acme/billing publish.yml"]) == 1
    assert "make pypi-trust-list shows all" in capsys.readouterr().err


# Looking ids up -----------------------------------------------------------------------------------


def test_github_tells_the_ids_of_a_public_repository(
    server: Documents, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "GITHUB_API", server.url)
    server.put(
        "/repos/acme/billing",
        {"id": 123, "full_name": "Acme/Billing", "owner": {"id": 45}, "private": False},
    )

    assert main(["trust", "ids", "--workflow=ci.yml", "github", "acme/billing"]) == 0

    assert json.loads(capsys.readouterr().out) == {
        "repository": "Acme/Billing",
        "repository_id": "123",
        "owner_id": "45",
    }


def test_gitlab_tells_the_ids_of_a_public_project(server: Documents, capsys: Captured) -> None:
    server.put(
        "/api/v4/projects/acme%2Fsub%2Fbilling",
        {"id": 123, "path_with_namespace": "acme/sub/billing", "namespace": {"id": 45}},
    )

    assert main(["trust", "ids", f"{server.url}/", "acme/sub/billing"]) == 0

    assert json.loads(capsys.readouterr().out)["owner_id"] == "45"


def test_the_api_of_a_github_of_a_company_is_on_its_host(
    server: Documents, capsys: Captured
) -> None:
    server.put("/api/v3/repos/a/b", {"id": 1, "full_name": "a/b", "owner": {"id": 2}})

    issuer = f"{server.url}/_services/token"
    assert main(["trust", "ids", "--workflow=ci.yml", issuer, "a/b"]) == 0
    assert json.loads(capsys.readouterr().out)["owner_id"] == "2"

    assert main(["trust", "ids", "--workflow=ci.yml", issuer, "a/private"]) == 1
    host = server.url.removeprefix("http://")
    assert f"gh api --hostname {host} repos/a/private --jq" in capsys.readouterr().err


def test_a_private_repository_says_how_to_get_its_ids(
    server: Documents, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "GITHUB_API", server.url)

    assert main(["trust", "ids", "--workflow=ci.yml", "github", "acme/billing"]) == 1

    said = capsys.readouterr()
    assert said.out == ""
    assert "there is no such repository, or it is not public" in said.err
    assert (
        "For a private repository, gh api repos/acme/billing --jq '.id, .owner.id' prints both ids"
        in said.err
    )
    assert "run the same command with REPOSITORY_ID=... OWNER_ID=... behind it" in said.err


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (301, {}),
        (403, {}),
        (500, {}),
        (200, {}),
        (200, []),
        (200, None),
        (200, {"id": "123", "path_with_namespace": "a/b", "namespace": {"id": 45}}),
        (200, {"id": True, "path_with_namespace": "a/b", "namespace": {"id": 45}}),
        (200, {"id": 1, "path_with_namespace": 2, "namespace": {"id": 45}}),
    ],
)
def test_any_other_answer_says_how_to_get_the_ids(
    server: Documents, capsys: Captured, status: int, told: object
) -> None:
    server.put("/api/v4/projects/a%2Fb", told, status)

    assert main(["trust", "ids", server.url, "a/b"]) == 1

    said = capsys.readouterr()
    assert said.out == ""
    host = server.url.removeprefix("http://")
    how = f"glab api --hostname {host} projects/a%2Fb prints both, as id and namespace.id"
    assert how in said.err


@pytest.mark.parametrize("name", ["a", "a/..", "a/b?c", "a/b#c", "a/b/c", "/a/b", "a /b", "a/b\n"])
def test_what_is_no_repository_of_github_is_not_asked_for(
    server: Documents, capsys: Captured, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(ids, "GITHUB_API", server.url)

    assert main(["trust", "ids", "--workflow=ci.yml", "github", name]) == 1

    assert "is no repository: write OWNER/NAME" in capsys.readouterr().err
    assert server.paths() == []


def test_nobody_is_asked_for_the_ids_of_a_workflow_that_is_missing(
    server: Documents, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "GITHUB_API", server.url)

    assert main(["trust", "ids", "github", "acme/billing"]) == 1

    assert "WORKFLOW='' is no file in .github/workflows/" in capsys.readouterr().err
    assert server.paths() == []


# Fetching keys ------------------------------------------------------------------------------------


def test_fetch_keys_says_which_settings_it_needs(
    capsys: Captured,
) -> None:
    assert main(["trust", "fetch-keys"]) == 1

    assert "PYPI_ISSUERS is not set" in capsys.readouterr().err


def test_the_container_follows_the_list_and_ends_when_told_to(
    folders: Path, server: Documents
) -> None:
    configuration = {"issuer": server.url, "jwks_uri": f"{server.url}/keys"}
    server.put("/.well-known/openid-configuration", configuration)
    key = {"kty": "EC", "kid": "two", "crv": "P-256", "x": "abc", "y": "def"}
    server.put("/keys", {"keys": [key]})
    add(f"--issuer={server.url}", "--subject=x", "--projects=y", "--name=x/y")
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "PYPI_ISSUERS": "gateway/issuers"}

    with subprocess.Popen(
        [sys.executable, "-m", "private_pypi", "trust", "fetch-keys", "--follow"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            wait_until(lambda: issuers.path_of(folders / "keys", server.url).exists())
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()

    assert process.returncode == 0
    assert said == f"the keys of {server.url} were fetched: 1\n"
    assert issuers.keys_of(folders / "keys", server.url) == [key]


def test_what_is_edited_by_hand_reaches_that_container(folders: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    with subprocess.Popen(
        [sys.executable, "-m", "private_pypi", "follow"], env=environment, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_until(lambda: (folders / "gateway/accounts.caddy").exists())
            assert not (folders / "gateway/issuers").exists()
            claims = {"sub": "x"}
            hand = Publisher("x/y", "https://ci.acme.com", ("billing",), claims)
            publishers.add(folders / "pypi_auth", hand)
            listed = folders / "gateway/issuers"
            wait_until(lambda: issuers.listed(listed) == ["https://ci.acme.com"])
            (folders / "pypi_auth/.issuers.pem").write_text("certificates")
            wait_until(lambda: (listed / "authorities.pem").exists())
        finally:
            process.kill()


def test_fetch_keys_once_ends_by_itself(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("PYPI_ISSUERS", "gateway/issuers")
    began = time.monotonic()

    assert main(["trust", "fetch-keys"]) == 0

    assert time.monotonic() - began < 30


# Launching ----------------------------------------------------------------------------------------


def test_a_launch_is_refused_with_an_entry_that_cannot_be_read(folders: Path) -> None:
    (folders / "pypi_auth/.publishers.toml").write_text("[[publisher]]\nname = 'ci'\n")

    with pytest.raises(AccountError, match=r"publishers\.toml: publisher 1 \('ci'\) is not"):
        preflight.check(Settings.from_environment())


def test_a_launch_learns_which_issuers_there_are(folders: Path, capsys: Captured) -> None:
    accounts.add(folders / "pypi_auth", "alice", "publisher", PASSWORD)
    assert main(["follow", "--once"]) == 0
    assert capsys.readouterr().out == ""

    add(*BILLING)
    add("--issuer=https://ci.acme.com", "--subject=x", "--projects=y")
    capsys.readouterr()
    assert main(["follow", "--once"]) == 0
    assert capsys.readouterr().out == f"{GITHUB}\nhttps://ci.acme.com"
