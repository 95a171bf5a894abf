"""`make doctor` beside real servers, ours and others, in good health and in bad."""

from __future__ import annotations

import email.utils
import os
import re
import shutil
import socket
import sys
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from kit import foreign_index, wheel
from kit.doctor import doctor, write_programs
from kit.foreign_index import Authority, ForeignIndex
from kit.gateway import Gateway
from kit.git import git
from kit.ports import free_port
from kit.server import Server
from kit.template import PASSWORD, Answers, Render

NETWORK = ("DNS", "TCP", "TLS", "HTTP", "clock", "account", "role", "other packages")

Client = Callable[..., Path]


PLACE = "place-of-the-index.example:1"


@pytest.fixture
def client(render: Render, tmp_path: Path) -> Client:
    """Make a client of an index, in a git repository and logged in as an account.

    It is rendered once for each list of packages, for another index, whose place is then changed.
    """

    def make(url: str, user: str = "bob", password: str = PASSWORD, packages: Any = None) -> Path:
        answers: Answers = {"template": "client", "pypi_url": f"http://{PLACE}", "ci": "none"}
        if packages:
            answers["private_packages"] = packages
        account = {"index_user": "user-of-it", "index_password": "password-of-it"}
        folder = tmp_path / "client"
        shutil.copytree(render({**answers, **account}), folder, symlinks=True)
        there = urlsplit(url)
        for name in ("Makefile", "pyproject.toml", "poetry.toml", ".pypi.env"):
            text = (folder / name).read_text()
            if there.scheme == "https":
                text = text.replace("http://", "https://")
            text = text.replace(PLACE, there.netloc).replace("user-of-it", user)
            text = text.replace(":password-of-it@", f":{quote(password, safe='')}@")
            (folder / name).write_text(text.replace("password-of-it", password))
        git(folder, "init", "--quiet")
        return folder

    return make


@pytest.fixture
def foreign() -> Iterator[ForeignIndex]:
    """An index that is not ours and has nothing yet."""
    with foreign_index.running() as index:
        yield index


def set_env(client: Path, old: str, new: str) -> None:
    """Change .pypi.env by hand, all over."""
    path = client / ".pypi.env"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# Our server ---------------------------------------------------------------------------------------


def test_in_good_health_every_check_says_what_it_found(client: Client, server: Server) -> None:
    found = doctor(client(server.url()))

    assert found.bad() == {}
    assert found.code == 0
    assert set(found.states("file mode", "git-ignored", "credentials", *NETWORK)) == {"ok"}
    assert "bob, for pip, Poetry, uv and twine" in found.lines["credentials"].text
    assert "does not leave this machine" in found.lines["TLS"].text
    assert found.lines["package my-private-lib"].text == "my-private-lib==0.* picks 0.2.0."
    assert "bob may install, but not publish" in found.lines["role"].text
    assert found.lines["other packages"].text == (
        "The index redirects to 127.0.0.1 for what it does not have."
    )


@pytest.mark.parametrize("through_gateway", [False, True])
def test_who_may_publish_is_told_so_and_nothing_is_stored(
    client: Client, server: Server, rendered: Path, tmp_path: Path, through_gateway: bool
) -> None:
    journal = server.data / ".journal.jsonl"
    before = server.files(), journal.read_bytes()
    if through_gateway:
        accounts = tmp_path / "accounts"
        accounts.mkdir()
        for account in ("alice", "bob"):
            (accounts / f"{account}.caddy").write_text(account_line(server, account))
        folder = server.data.parent
        with Gateway(rendered, folder, accounts, server) as gateway:
            found = doctor(client(gateway.url, "alice"))
    else:
        found = doctor(client(server.url(), "alice"))

    assert found.bad() == {}
    assert found.lines["role"].text == "alice may publish and install."
    assert (server.files(), journal.read_bytes()) == before
    assert list((server.data / ".uploads").iterdir()) == []


def account_line(server: Server, account: str) -> str:
    """Return an account as the gateway reads it."""
    for file in server.auth.glob(".htpasswd*"):
        for line in file.read_text().splitlines():
            name, _, hashed = line.partition(":")
            if name == account:
                return f"{name} {hashed}\n"
    raise AssertionError(account)


def test_a_server_that_is_down_fails_once_and_the_rest_is_skipped(client: Client) -> None:
    port = free_port()

    found = doctor(client(f"http://127.0.0.1:{port}"))

    assert list(found.bad()) == ["TCP"]
    assert f"Nothing listens on 127.0.0.1:{port}" in found.bad()["TCP"]
    assert "whether the server runs" in found.bad()["TCP"]
    assert set(found.states(*NETWORK[2:], "package my-private-lib")) == {"skipped"}
    assert found.lines["TLS"].text == "needs TCP, see above."


def test_a_name_without_an_address_is_told_from_a_server_that_is_down(client: Client) -> None:
    # No machine asks its DNS server for a part of more than 63 letters.
    name = f"{'x' * 64}.invalid"
    found = doctor(client(f"http://{name}"))

    assert list(found.bad()) == ["DNS"]
    assert name in found.bad()["DNS"]
    assert "your DNS and your VPN" in found.bad()["DNS"]
    assert set(found.states(*NETWORK[1:])) == {"skipped"}


def test_a_server_that_never_answers_fails_after_five_seconds(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        found = doctor(client(f"http://127.0.0.1:{port}"))

    assert list(found.bad()) == ["HTTP"]
    assert f"127.0.0.1:{port} did not answer within 5 seconds: check" in found.bad()["HTTP"]


def test_a_wrong_password_fails_and_says_to_log_in(client: Client, server: Server) -> None:
    found = doctor(client(server.url(), password="another-password"))

    assert list(found.bad()) == ["account"]
    assert "refuses this user or password (401): run `make login` again" in found.bad()["account"]
    assert found.states("clock", "role", "package my-private-lib") == ["ok", "skipped", "skipped"]


def test_packages_that_the_index_does_not_hold_or_hold_right_fail(
    client: Client, server: Server
) -> None:
    asked = ["my-private-lib==7.*", "never-published"]
    folder = client(server.url(), packages=asked)
    with (folder / "requirements.txt").open("a") as file:
        file.write("public-lib>=1\n")

    found = doctor(folder)

    assert list(found.bad()) == ["package my-private-lib", "package never-published"]
    missing = found.bad()["package my-private-lib"]
    assert "no release that my-private-lib==7.* takes, but 0.2.0, 0.1.0: publish one" in missing
    assert "where anybody may take that name" in found.bad()["package never-published"]
    assert "publish it before" in found.bad()["package never-published"]
    assert found.lines["package public-lib"].text == (
        "The index does not have public-lib and redirects pip to 127.0.0.1."
    )


def test_a_server_that_refuses_other_names_is_told_from_one_that_redirects(
    client: Client, rendered: Path, tmp_path: Path
) -> None:
    server = Server(rendered, tmp_path / "s", PYPI_UNKNOWN_PACKAGES="refuse")
    server.user("add", "bob", password=PASSWORD)
    wheel.build(server.data, "my-private-lib", "0.1.0", origin="us")
    with server:
        found = doctor(client(server.url(), packages=["my-private-lib", "missing-lib"]))

    assert list(found.bad()) == ["package missing-lib", "other packages"]
    assert "publish it, or correct requirements.txt" in found.bad()["package missing-lib"]
    assert found.lines["other packages"].state == "warn"
    assert "what you need from PyPI cannot be installed" in found.bad()["other packages"]


@pytest.mark.parametrize(
    ("prefixes", "uncovered"),
    [(["acme", "my"], ""), (["my-private-lib-2", "acme"], "my-private-lib")],
)
def test_packages_that_no_reserved_prefix_covers_are_pointed_out(
    client: Client, server: Server, prefixes: list[str], uncovered: str
) -> None:
    folder = client(server.url())
    assert "prefixes" not in doctor(folder).lines
    pyproject = folder / "pyproject.toml"
    text = pyproject.read_text()
    pyproject.write_text(text.replace('strategy = "', f'prefixes = {prefixes}\nstrategy = "', 1))

    line = doctor(folder).lines["prefixes"]

    if uncovered:
        assert line.state == "warn"
        assert line.text.startswith(f"No reserved prefix covers {uncovered}: rename them")
    else:
        assert line == ("ok", "A reserved prefix covers each private package.")


# Certificates -------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A company's own authority."""
    return Authority(tmp_path)


def test_a_certificate_of_a_trusted_authority_is_named(
    client: Client, authority: Authority
) -> None:
    context = authority.context("127.0.17.1", days=90)
    with foreign_index.running("127.0.17.1", context) as index:
        index.has("my-private-lib", "my_private_lib-0.1.0-py3-none-any.whl")
        index.pages["/simple/pip/"] = (302, "https://example.com/simple/pip/", b"")
        trusted = str(authority.file)
        found = doctor(client(index.url), SSL_CERT_FILE=trusted, PIP_CERT=trusted)

    assert found.bad() == {}
    assert "signed by Acme Root and is valid until" in found.lines["TLS"].text
    assert found.lines["other packages"].text.startswith("The index redirects to example.com for")


@pytest.mark.parametrize(
    ("lifetime", "days", "left"),
    [
        (385, 20, "20 days"),
        (385, 22, ""),
        (90, 20, "20 days"),
        (47, 12, ""),
        (47, 11, "11 days"),
        # Of the gateway's own authority, and of an ACME server that gives them for six days.
        (0.5, 0.4, ""),
        (0.5, 3 / 24, ""),
        (0.5, 1 / 24, "2 hours"),
        (6.7, 2, ""),
        (6.7, 1, "25 hours"),
    ],
)
def test_a_certificate_warns_in_the_last_quarter_of_its_lifetime_and_three_weeks(
    client: Client, authority: Authority, lifetime: float, days: float, left: str
) -> None:
    context = authority.context("127.0.17.2", days=days + 1e-3, lifetime=lifetime)
    with foreign_index.running("127.0.17.2", context) as index:
        found = doctor(client(index.url), SSL_CERT_FILE=str(authority.file))

    state, text = found.lines["TLS"]
    assert state == ("warn" if left else "ok")
    end = f", {left}: have the server's owner look at its renewal." if left else "."
    assert re.fullmatch(rf"The certificate was .* is valid until \d{{4}}-\d\d-\d\d{end}", text)


@pytest.mark.parametrize(
    ("names", "certificate", "trusted", "sentence"),
    [
        (["127.0.17.3"], {"days": -1}, True, "has expired: the server's owner has to renew it"),
        (["127.0.17.4"], {}, True, "does not name this address"),
        (["127.0.17.3"], {}, False, "is not trusted (unable to get local issuer certificate)"),
        (["127.0.17.3"], {"self_signed": True}, True, "is not trusted (self-signed certificate)"),
    ],
    ids=["expired", "name", "authority", "self-signed"],
)
def test_a_bad_certificate_fails_with_its_reason_and_a_remedy(
    client: Client,
    authority: Authority,
    names: list[str],
    certificate: dict[str, Any],
    trusted: bool,
    sentence: str,
) -> None:
    context = authority.context(*names, **certificate)
    trust = {"SSL_CERT_FILE": str(authority.file)} if trusted else {}
    with foreign_index.running("127.0.17.3", context) as index:
        found = doctor(client(index.url), **trust)
        assert index.posts == []

    assert list(found.bad()) == ["TLS"]
    text = found.bad()["TLS"].replace("self signed", "self-signed")
    assert sentence in text
    assert ":" in text
    assert set(found.states(*NETWORK[3:])) == {"skipped"}


def test_a_certificate_for_another_host_name_fails(client: Client, authority: Authority) -> None:
    context = authority.context("pypi.example.com")
    with foreign_index.running("127.0.0.1", context) as index:
        url = index.url.replace("127.0.0.1", "localhost")
        found = doctor(client(url), SSL_CERT_FILE=str(authority.file))

    assert list(found.bad()) == ["TLS"]
    assert "is for another name: check the repository's `pypi_url`" in found.bad()["TLS"]


def test_a_port_without_tls_fails(client: Client, foreign: ForeignIndex) -> None:
    found = doctor(client(foreign.url.replace("http:", "https:")))

    assert list(found.bad()) == ["TLS"]
    assert "does not speak TLS" in found.bad()["TLS"]


# Other indexes ------------------------------------------------------------------------------------


def test_what_a_foreign_index_thinks_of_uploads_is_unknown(
    client: Client, foreign: ForeignIndex
) -> None:
    foreign.has("my-private-lib", "my_private_lib-0.1.0-py3-none-any.whl")
    uploaded = {"upload-time": "2020-01-01T00:00:00Z"}
    foreign.has("pip", {"filename": "pip-26.3-py3-none-any.whl", **uploaded})

    found = doctor(client(foreign.url))

    assert found.bad() == {}
    assert "unknown: this index answers 400" in found.lines["role"].text
    assert foreign.posts == [b""]
    assert "without an account" in found.lines["HTTP"].text
    assert "publishing will show" in found.lines["account"].text
    assert "has PyPI's packages, too" in found.lines["other packages"].text


def test_an_index_that_takes_no_uploads_warns(client: Client, foreign: ForeignIndex) -> None:
    foreign.post_status = 405

    found = doctor(client(foreign.url))

    assert "Nothing takes uploads at" in found.bad()["role"]


@pytest.mark.parametrize("seconds", [-3600, -61 - 30, 0, 61 + 30, 86400])
def test_a_clock_that_is_more_than_a_minute_off_warns(
    client: Client, foreign: ForeignIndex, seconds: int
) -> None:
    foreign.date = email.utils.formatdate(time.time() - seconds, usegmt=True)

    clock = doctor(client(foreign.url)).lines["clock"]

    assert clock.state == ("warn" if seconds else "ok")
    if seconds:
        side = "ahead of" if seconds > 0 else "behind"
        assert f"s {side} the server: set the wrong clock" in clock.text


@pytest.mark.parametrize("date", ["-", "yesterday"])
def test_a_server_without_a_time_is_no_fault(
    client: Client, foreign: ForeignIndex, date: str
) -> None:
    foreign.date = date

    assert "unknown" in doctor(client(foreign.url)).lines["clock"].text


def test_pins_pick_as_pip_does_from_json_and_from_html(
    client: Client, foreign: ForeignIndex
) -> None:
    def tag(name: str, attributes: str = "") -> str:
        return f'<a href="../../files/{name}#sha256=0" {attributes}>{name}</a>'

    foreign.has("a", "a-0.9.0.tar.gz", "a-0.10.0-py3-none-any.whl", "a-0.11.0rc1.zip", "a-1.0.zip")
    foreign.has("b", {"filename": "b-0.2.tar.gz", "yanked": "broken"}, "b-0.1.tar.gz")
    foreign.has("c", {"filename": "c-0.2.tar.gz", "yanked": True})
    foreign.has_html("d", tag("d-0.1a1.tar.gz"))
    foreign.has_html(
        "e-f", tag("e_f-0.3.tar.gz", 'data-yanked=""'), tag("e.f-0.1-py3-none-any.whl")
    )
    foreign.has_html(
        "g",
        tag("g-0.2-py3-none-any.whl", 'data-requires-python="&lt;3"'),
        tag("g-0.1-py3-none-any.whl", 'data-requires-python="&gt;=3.8"'),
    )
    foreign.has("h")
    pins = ["a", "b", "c==0.2", "d", "E.F", "g", "h", "i~=0.1"]

    lines = doctor(client(foreign.url, packages=pins)).lines

    said = {pin[0]: lines[f"package {pin}"] for pin in ("a", "b", "c", "d", "e-f", "g", "h", "i")}
    assert said["a"].text == "a==0.* picks 0.10.0."
    assert said["b"].text == "b==0.* picks 0.1."
    assert (said["c"].state, said["c"].text) == (
        "warn",
        "c==0.2 picks a release that was yanked: pin another.",
    )
    assert said["d"].text == "d==0.* picks 0.1a1."
    assert said["e"].text == "e-f==0.* picks 0.1."
    assert said["g"].text == "g==0.* picks 0.1."
    assert "but none at all for this Python: publish one" in said["h"].text
    assert "does not have i: publish it" in said["i"].text
    assert [said[name].state for name in "adeghi"] == ["ok", "ok", "ok", "ok", "FAIL", "FAIL"]


def test_a_pin_that_takes_nothing_or_cannot_be_read_fails(
    client: Client, foreign: ForeignIndex
) -> None:
    foreign.has("a", *(f"a-0.{number}-py3-none-any.whl" for number in range(1, 6)))
    foreign.has("b", {"filename": "b-1.0.tar.gz", "yanked": True}, "b-0.1.tar.gz")
    foreign.has("c", "c-1.0-py3-none-any.whl")
    folder = client(foreign.url, packages=["a==7.*", "b==1.*", "c"])
    requirements = (folder / "requirements.txt").read_text()
    (folder / "requirements.txt").write_text(requirements.replace("c==0.*", "c==one"))

    found = doctor(folder).bad()

    taken = "The index has no release that {} takes, but {}: publish one"
    assert taken.format("a==7.*", "0.5, 0.4, 0.3 and 2 older ones") in found["package a"]
    assert taken.format("b==1.*", "0.1") in found["package b"]
    assert found["package c"] == "pip cannot read c==one: correct requirements.txt."


def test_the_pip_of_the_shells_settings_is_not_the_one_that_is_asked(
    client: Client, foreign: ForeignIndex
) -> None:
    foreign.has("my-private-lib", "my_private_lib-0.1.0-py3-none-any.whl")
    settings = {"PIP_NO_INDEX": "1", "PIP_INDEX_URL": "http://127.0.0.1:1/", "PIP_QUIET": "3"}

    text = doctor(client(foreign.url), **settings).lines["package my-private-lib"].text

    assert text == "my-private-lib==0.* picks 0.1.0."


def test_a_pip_without_an_answer_is_told_from_an_index_without_a_release(
    client: Client, foreign: ForeignIndex
) -> None:
    foreign.has("my-private-lib", "my_private_lib-0.1.0-py3-none-any.whl")

    found = doctor(client(foreign.url), PIP_PROXY="http://127.0.0.1:1").bad()

    text = found["package my-private-lib"]
    assert text.startswith("pip cannot reach the index, but Python can: check PIP_PROXY")


def test_without_pip_that_of_the_environment_is_asked_and_else_it_says_to_install_it(
    client: Client, foreign: ForeignIndex, tmp_path: Path
) -> None:
    foreign.has("my-private-lib", "my_private_lib-0.1.0-py3-none-any.whl")
    venv.create(tmp_path / "bare", symlinks=True)
    folder = client(foreign.url, packages=["my-private-lib", "never-published"])
    python = str(tmp_path / "bare/bin/python")

    lines = doctor(folder, PYTHON=python).lines

    assert lines["package my-private-lib"] == (
        "skipped",
        "Only pip knows which release my-private-lib==0.* picks: install pip for python.",
    )
    assert lines["package never-published"].state == "FAIL"

    (folder / ".venv").symlink_to(sys.prefix)
    lines = doctor(folder, PYTHON=python).lines
    assert lines["package my-private-lib"].text == "my-private-lib==0.* picks 0.1.0."


def test_a_page_that_is_none_fails(client: Client, foreign: ForeignIndex) -> None:
    foreign.pages["/simple/a/"] = (200, foreign_index.JSON, b"{}")
    foreign.pages["/simple/b/"] = (200, foreign_index.JSON, b"<html>")
    foreign.pages["/simple/c/"] = (503, "text/plain", b"")

    found = doctor(client(foreign.url, packages=["a", "b", "c"])).bad()

    assert "is no page of a package index" in found["package a"]
    assert "is no page of a package index" in found["package b"]
    assert "fails with 503: look into the server's log" in found["package c"]


def test_an_index_that_moved_fails_and_says_where_to(client: Client, foreign: ForeignIndex) -> None:
    foreign.pages["/simple/"] = (301, "https://new.example.com/simple/", b"")

    found = doctor(client(foreign.url))

    assert "redirects to new.example.com: make that the repository's" in found.bad()["HTTP"]


# This machine -------------------------------------------------------------------------------------


files = pytest.mark.parametrize("name", [".pypi.env", ".env"])


@files
def test_a_file_that_others_can_read_fails(client: Client, server: Server, name: str) -> None:
    folder = client(server.url())
    (folder / name).chmod(0o644)

    found = doctor(folder)

    assert found.bad() == {
        "file mode": f"{name} has mode 0644, others can read it: `chmod 600 {name}`."
    }


@files
def test_a_file_that_git_tracks_or_does_not_ignore_fails(
    client: Client, server: Server, name: str
) -> None:
    folder = client(server.url())
    ignore = folder / ".gitignore"
    line = "/.env" if name == ".env" else name
    ignore.write_text(ignore.read_text().replace(f"\n{line}\n", "\n"))
    assert f"{name}: add it as a line to .gitignore" in doctor(folder).bad()["git-ignored"]

    git(folder, "add", "--force", name)
    assert f"git tracks {name}: " in doctor(folder).bad()["git-ignored"]
    assert "have the password changed" in doctor(folder).bad()["git-ignored"]

    (folder / ".git/HEAD").write_text("garbage\n")
    assert doctor(folder).bad()["git-ignored"] == "git does not answer: `git status` says why."


def test_an_env_file_without_credentials_is_nobodys_business(
    client: Client, server: Server
) -> None:
    folder = client(server.url())
    (folder / ".env").write_text("GREETING=hello\n")
    (folder / ".env").chmod(0o644)
    git(folder, "add", "--force", ".env")

    assert doctor(folder).bad() == {}


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("UV_INDEX_PRIVATE_PASSWORD", "UV_INDEX_OTHER_PASSWORD", "lacks UV_INDEX_PRIVATE_PASSWORD"),
        ("@127.0.0.1", "@127.0.0.2", "is for http://127.0.0.2"),
        ("UV_INDEX_PRIVATE_USERNAME='bob'", "UV_INDEX_PRIVATE_USERNAME='eve'", "more than one"),
        ("POETRY_HTTP", "export POETRY_HTTP", "Line 2 of .pypi.env is not of the form"),
        ("PIP_EXTRA_INDEX_URL=http:", "PIP_EXTRA_INDEX_URL=htp:", "is not a URL"),
    ],
)
def test_credentials_that_do_not_fit_fail_and_say_to_log_in(
    client: Client, server: Server, old: str, new: str, sentence: str
) -> None:
    folder = client(server.url())
    set_env(folder, old, new)

    found = doctor(folder)

    assert list(found.bad()) == ["credentials"]
    assert sentence in found.bad()["credentials"]
    assert found.bad()["credentials"].endswith("run `make login`.")
    assert set(found.states("DNS", "TCP", "HTTP", "clock")) == {"ok"}
    assert found.states("account", "package my-private-lib") == ["skipped", "skipped"]


def test_without_a_file_the_environment_counts_and_else_it_says_to_log_in(
    client: Client, server: Server
) -> None:
    folder = client(server.url())
    lines = (folder / ".pypi.env").read_text().splitlines()
    variables = dict(line.replace("'", "").split("=", 1) for line in lines)
    (folder / ".pypi.env").unlink()

    assert doctor(folder, **variables).bad() == {}
    assert doctor(folder).bad() == {"credentials": "There is no .pypi.env: run `make login`."}


def test_a_file_from_before_twine_was_in_it_warns(client: Client, server: Server) -> None:
    folder = client(server.url())
    lines = (folder / ".pypi.env").read_text().splitlines(keepends=True)
    (folder / ".pypi.env").write_text("".join(line for line in lines if "TWINE" not in line))

    found = doctor(folder)

    assert found.code == 0
    assert list(found.bad()) == ["credentials"]
    assert "for twine: run `make login`." in found.bad()["credentials"]


def test_the_programs_of_this_machine_are_new_enough(client: Client, foreign: ForeignIndex) -> None:
    found = doctor(client(foreign.url), PATH=os.environ["PATH"])

    assert found.states("git", "poetry", "uv") == ["ok"] * 3


def test_programs_that_are_old_broken_or_missing_warn_and_say_what_for(
    client: Client, server: Server, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("make", "sh", "git", "awk"):
        (programs / name).symlink_to(str(shutil.which(name)))
    (programs / "python3").symlink_to(os.path.realpath(str(shutil.which("python3"))))
    scripts = {
        "docker": 'case "$1" in compose) echo "Docker Compose version v2.19.1" ;;\n'
        'buildx) exit 1 ;; *) echo "Docker version 28.1.0, build x" ;; esac',
        "poetry": "echo 'Poetry (version 1.8.5)'",
    }
    write_programs(programs, scripts)

    found = doctor(client(server.url()), PATH=str(programs))

    assert found.code == 0
    assert found.states("docker", "compose", "buildx", "poetry", "uv") == ["ok"] + ["warn"] * 4
    assert "2.19.1 is too old: install 2.20 or newer" in found.lines["compose"].text
    assert "`docker buildx version` does not work" in found.lines["buildx"].text
    assert "1.8.5 is too old: install 2.4 or newer" in found.lines["poetry"].text
    assert "not installed" in found.lines["uv"].text


def test_the_password_does_not_follow_a_redirect(client: Client, foreign: ForeignIndex) -> None:
    with foreign_index.running("127.0.17.5") as other:
        foreign.pages["/simple/my-private-lib/"] = (302, f"{other.url}my-private-lib/", b"")
        found = doctor(client(foreign.url))

        assert other.gets == []
    assert "redirects pip to 127.0.17.5, where anybody" in found.bad()["package my-private-lib"]
    assert "/simple/my-private-lib/" in foreign.gets
