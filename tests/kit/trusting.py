"""An index that trusts CI services: all its processes, and TLS in front, as clients insist on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kit import wheel
from kit.authority import Authority
from kit.follower import Follower
from kit.forms import upload_form
from kit.gateway import Gateway, behind_gateway
from kit.http import Answer, Connection, basic, status
from kit.issuer import (
    NAMESPACE_ID,
    OWNER_ID,
    PROJECT,
    PROJECT_ID,
    REPOSITORY,
    REPOSITORY_ID,
    Issuer,
)
from kit.moved_clock import MovedClock
from kit.ports import free_port
from kit.processes import Running
from kit.server import Server
from kit.template import PASSWORD
from kit.waiting import wait_until

AUDIENCE = "localhost"
"""Whom a token must be for: the name of the index."""
GITHUB, GITLAB = "acme/billing publish.yml", "acme/billing .gitlab-ci.yml"
"""What the entries of workflow() and pipeline() are called."""
FILE, AUTHORITIES = ".publishers.toml", ".issuers.pem"

JSON = {"Content-Type": "application/json"}


class Front(Running):
    """Caddy in front of a gateway, as a proxy that terminates TLS.

    Attributes:
        url: where clients find the index, with a slash at the end.
    """

    # It waits for connections that idle; no test needs them.
    ends_by = signal.SIGKILL

    def __init__(self, folder: Path, port: int, authority: Authority, gateway: Gateway) -> None:
        super().__init__("the proxy that terminates TLS", folder / "front.log")
        self.url, self._port = f"https://{AUDIENCE}:{port}/", port
        self._folder_of_own = folder / "front"
        self._folder_of_own.mkdir()
        authority.pair(AUDIENCE).write(self._folder_of_own)
        (self._folder_of_own / "Caddyfile").write_text(
            "{\n\tadmin off\n\tpersist_config off\n\tauto_https off\n}\n"
            f"{self.url[:-1]} {{\n\tbind 127.0.0.1\n"
            f"\ttls {self._folder_of_own}/fullchain.pem {self._folder_of_own}/privkey.pem\n"
            f"\treverse_proxy {gateway.url} {{\n\t\theader_up X-Real-IP {{client_ip}}\n\t}}\n}}\n"
        )

    def command(self) -> Sequence[str | Path]:
        caddy, own = str(shutil.which("caddy")), f"XDG_DATA_HOME={self._folder_of_own}"
        caddyfile = self._folder_of_own / "Caddyfile"
        return ["env", own, caddy, "run", "--config", caddyfile, "--adapter", "caddyfile"]

    def answers(self) -> bool:
        # Plain HTTP is answered with a hint.
        return status(f"http://127.0.0.1:{self._port}/") == 400


class Keys(Running):
    """The container `keys` of a server, without Docker: it fetches the keys of issuers.

    Attributes:
        folder: where it puts them.
    """

    def __init__(self, repository: Path, folder: Path, clock: MovedClock) -> None:
        self.folder = folder / "keys"
        self.folder.mkdir()
        environment = {
            **os.environ,
            "PYTHONPATH": f"{repository / 'private_pypi'}:{clock.folder}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYPI_KEYS": str(self.folder),
            "PYPI_ISSUERS": str(folder / "accounts/issuers"),
        }
        super().__init__("keys", folder / "keys.log", folder=folder, environment=environment)

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "private_pypi", "trust", "fetch-keys", "--follow"]

    def answers(self) -> bool:
        # It answers nobody: what it has fetched shows.
        return True

    def of(self, issuer: str) -> Path:
        """Return the file in which the keys of an issuer are."""
        return self.folder / f"{hashlib.sha256(issuer.encode()).hexdigest()[:16]}.json"

    def fetch_again(self) -> None:
        """Fetch all keys again, as every ten minutes; return when they are there."""
        before = {path: path.stat().st_mtime_ns for path in self.folder.glob("*.json")}
        self.stop()
        self.start()
        wait_until(
            lambda: all(path.stat().st_mtime_ns != then for path, then in before.items()),
            explain=self.log.read_text,
        )


@dataclass(frozen=True)
class Publisher:
    """An entry of the file of trusted publishers."""

    name: str
    issuer: str
    projects: tuple[str, ...]
    claims: Mapping[str, str]

    def __str__(self) -> str:
        head = [("name", self.name), ("issuer", self.issuer), ("projects", [*self.projects])]
        # A string or a list of strings is the same in TOML as in JSON.
        lines = [f"{key} = {json.dumps(value)}" for key, value in head]
        claims = [f"{key} = {json.dumps(value)}" for key, value in self.claims.items()]
        return "\n".join(["[[publisher]]", *lines, "[publisher.claims]", *claims, ""])


@dataclass(frozen=True)
class TrustingIndex:
    """An index, all of whose processes run.

    Attributes:
        url: where clients find it, over TLS, with a slash at the end.
        plain: the gateway's own URL, without one.
        ca: the certificate of the authority that signed for it and for the issuers.
        keys: what fetches the issuers' keys.
        clock: of private_pypi, and of what fetches the keys.
    """

    server: Server
    url: str
    plain: str
    authority: Authority
    ca: Path
    keys: Keys
    clock: MovedClock

    def trust(self, *publishers: Publisher) -> None:
        """Make these the publishers, as an editor does, and wait until they are in effect."""
        new = self.server.auth / f"{FILE}.new"
        new.write_text("\n".join(map(str, publishers)))
        new.rename(self.server.auth / FILE)
        wait_until(lambda: self.is_open() == bool(publishers), explain=self.says)
        for publisher in publishers:
            wait_until(self.keys.of(publisher.issuer).exists, explain=self.says)

    def is_open(self) -> bool:
        """Return whether it tells clients without an account whom a token must be for."""
        return self.ask("_/oidc/audience").status == 200

    def says(self) -> str:
        """Return what its processes logged."""
        return f"{self.keys.log.read_text()}\n{self.server.log.read_text()}"

    def ask(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        """Ask for a path as a client that trusts the authority."""
        with Connection(self.url, self.authority.context()) as connection:
            return connection.ask(f"/{path}", headers)

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Send something to a path."""
        with Connection(self.url, self.authority.context()) as connection:
            return connection.ask(f"/{path}", headers, method="POST", body=body)

    def mint(self, token: object) -> Answer:
        """Ask for a password in exchange for a token, as uv does."""
        return self.post("_/oidc/mint-token", json.dumps({"token": token}).encode(), JSON)

    def password(self, token: str) -> str:
        """Return the password that is minted for a token."""
        answer = self.mint(token)
        assert answer.status == 200, answer.body
        return str(json.loads(answer.body)["token"])

    def refusal(self, token: object) -> str:
        """Return the sentence by which a token is refused, in the form that clients show."""
        return sentence(self.mint(token))

    def publish(self, password: str, project: str, version: str = "1.0") -> Answer:
        """Publish a wheel with a minted password."""
        path = wheel.build(self.ca.parent, project, version, origin="us")
        body, kind = upload_form(path.name, path.read_bytes())
        return self.post("", body, {**basic("__token__", password), "Content-Type": kind})

    def audit(self) -> str:
        """Return what `make pypi-audit` prints."""
        return self.server.run("audit")


def sentence(answer: Answer) -> str:
    """Return why a token was refused, of an answer in PyPI's form, which uv and twine show."""
    assert 400 <= answer.status < 500, answer
    said = json.loads(answer.body)
    assert said["message"], said
    ((code, description),) = ((one["code"], one["description"]) for one in said["errors"])
    assert code, said
    return str(description)


@contextmanager
def running(rendered: Path, folder: Path, authority: Authority) -> Iterator[TrustingIndex]:
    """Run an index whose readers include bob, and which trusts nobody yet.

    Args:
        rendered: the repository that it is run from.
        folder: a new one for all it has.
        authority: signs its certificate, and those of the issuers.
    """
    port, clock = free_port(), MovedClock(folder.parent / f"{folder.name}-clock")
    server, gateway = behind_gateway(
        rendered,
        folder,
        PYPI_KEYS=str(folder / "keys"),
        PYPI_URL=f"https://{AUDIENCE}:{port}/",
        PYPI_UNKNOWN_PACKAGES="refuse",
        PYTHONPATH=f"{rendered / 'private_pypi'}:{clock.folder}",
    )
    gateway.watches = True
    ca = folder / "authority.pem"
    ca.write_bytes(authority.certificate)
    (server.auth / AUTHORITIES).write_bytes(authority.certificate)
    server.user("add", "alice", "--role", "publisher", password=PASSWORD)
    server.user("add", "bob", "--role", "reader", password=PASSWORD)
    accounts, keys = Follower(rendered, folder), Keys(rendered, folder, clock)
    front = Front(folder, port, authority, gateway)
    with ExitStack() as stack:
        for program in (server, accounts, gateway, keys, front):
            stack.enter_context(program)
        yield TrustingIndex(server, front.url, gateway.url, authority, ca, keys, clock)
    for log in (server.log, accounts.log, keys.log):
        assert "Traceback" not in log.read_text(), log.read_text()


def workflow(issuer: Issuer, *projects: str, name: str = GITHUB, **claims: str) -> Publisher:
    """Return the entry of the workflow that the issuer's runs of GitHub are of.

    Args:
        projects: billing and acme-* if not said.
        claims: more claims, or others.
    """
    own = {
        "repository": REPOSITORY,
        "repository_id": REPOSITORY_ID,
        "repository_owner_id": OWNER_ID,
        "job_workflow_ref": f"{REPOSITORY}/.github/workflows/publish.yml@*",
    }
    return Publisher(name, issuer.url, projects or ("billing", "acme-*"), {**own, **claims})


def pipeline(issuer: Issuer, *projects: str) -> Publisher:
    """Return the entry of the pipeline that the issuer's jobs of GitLab are of."""
    claims = {
        "project_path": PROJECT,
        "project_id": PROJECT_ID,
        "namespace_id": NAMESPACE_ID,
        "ci_config_ref_uri": "gitlab.acme.com/acme/billing//.gitlab-ci.yml@*",
        "ref_protected": "true",
    }
    return Publisher(GITLAB, issuer.url, projects, claims)
