"""The status of a project (PEP 792) at the real gateway: what clients get, send and are told."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from kit import wheel
from kit.gateway import Gateway, behind_gateway
from kit.http import ask, basic
from kit.install import Install, poetry_account, poetry_project, with_pip, with_uv
from kit.install import with_poetry as install_with_poetry
from kit.library import Library
from kit.processes import in_background
from kit.public_index import PublicIndex
from kit.publish import Publish, with_poetry, with_twine
from kit.publish import with_uv as publish_with_uv
from kit.server import Server
from kit.template import PASSWORD
from kit.user import User, installed

BOB = basic("bob", PASSWORD)
JSON = "application/vnd.pypi.simple.v1+json"
REASON = "it mails passwords away"


@dataclass(frozen=True)
class Programs:
    """Both programs over one folder, of which the gateway redirects unknown names."""

    server: Server
    gateway: Gateway

    @property
    def simple(self) -> str:
        """The URL from which clients install."""
        return f"{self.gateway.url}/simple/"

    def mark(self, project: str, status: str, reason: str = "") -> str:
        """Do what make pypi-mark does, in a process of its own."""
        return self.server.run("mark", "--reason", reason, "--", project, status)

    def status(self, path: str, *, direct: bool = False) -> int:
        """Return what bob is answered, by the gateway or by private_pypi itself."""
        return ask(self.server.url() if direct else self.gateway.url, path, BOB).status


@pytest.fixture(scope="module")
def programs(
    rendered: Path, public: PublicIndex, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Programs]:
    folder = tmp_path_factory.mktemp("statuses") / "s"
    server, gateway = behind_gateway(rendered, folder, PYPI_PUBLIC_INDEX=public.url)
    server.user("add", "alice", "--role", "publisher", password=PASSWORD)
    server.user("add", "bob", "--role", "reader", password=PASSWORD)
    with server, gateway:
        yield Programs(server, gateway)
    assert "Traceback" not in server.log.read_text()


@pytest.fixture
def project(programs: Programs, public: PublicIndex) -> str:
    """A project that no other test uses: signed, in a subfolder, too, and newer on PyPI."""
    name = f"lib-{uuid.uuid4().hex[:12]}"
    data = programs.server.data
    file = wheel.build(data, name, "1.0", origin="us")
    file.with_name(f"{file.name}.asc").write_text("signature")
    (data / "team").mkdir(exist_ok=True)
    wheel.build(data / "team", name, "0.9", origin="us")
    wheel.build(public.folder, name, "99.0", origin="a stranger")
    programs.server.run("index")
    public.requests.clear()
    return name


def files(project: str) -> list[str]:
    """Return the paths of all that is served of it."""
    stem = project.replace("-", "_")
    wheels = [
        f"/packages/{stem}-1.0-py3-none-any.whl",
        f"/packages/team/{stem}-0.9-py3-none-any.whl",
    ]
    return [*wheels, *(f"{one}.metadata" for one in wheels), f"{wheels[0]}.asc"]


# At once ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direct", [False, True], ids=["gateway", "private_pypi"])
def test_once_the_command_has_returned_nobody_gets_a_file(
    programs: Programs, project: str, direct: bool
) -> None:
    others = [programs.status(path, direct=direct) for path in files(project)]
    assert others == [200] * 5

    said = programs.mark(project, "quarantined", REASON)

    assert [programs.status(path, direct=direct) for path in files(project)] == [403] * 5
    assert (
        said == f"{project} is quarantined: none of its files is served, and it takes no uploads.\n"
    )
    url = programs.server.url() if direct else programs.gateway.url
    answer = ask(url, f"{files(project)[0]}?x=1", BOB)
    assert answer.body.decode() == (
        f"{project} is quarantined ({REASON}), so no file of it is served: ask the server's"
        " owner.\n"
    )
    page = ask(url, f"/simple/{project}/", {**BOB, "Accept": JSON})
    assert page.status == 200
    read = json.loads(page.body)
    assert read["project-status"] == {"status": "quarantined", "reason": REASON}
    assert read["files"] == []
    html = ask(url, f"/simple/{project}/", {**BOB, "Accept": "text/html"}).body.decode()
    assert 'content="quarantined"' in html
    assert "<a " not in html

    programs.mark(project, "active")

    assert [programs.status(path, direct=direct) for path in files(project)] == [200] * 5
    assert (
        len(json.loads(ask(url, f"/simple/{project}/", {**BOB, "Accept": JSON}).body)["files"]) == 2
    )


def test_no_request_that_begins_after_the_command_is_answered_with_the_file(
    programs: Programs, project: str
) -> None:
    is_marked, stop = threading.Event(), threading.Event()
    seen: dict[bool, list[int]] = {False: [], True: []}

    def install_without_end() -> None:
        while not stop.is_set():
            began_after = is_marked.is_set()
            seen[began_after].append(programs.status(files(project)[0]))
            if len(seen[True]) >= 100:
                return

    threads = [threading.Thread(target=install_without_end) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        programs.mark(project, "quarantined")
        is_marked.set()
        for thread in threads:
            thread.join(60)
    finally:
        stop.set()

    assert set(seen[False]) >= {200}
    assert set(seen[True]) == {403}
    assert len(seen[True]) >= 100


def test_the_gateway_alone_serves_no_file_either(
    rendered: Path, public: PublicIndex, tmp_path: Path
) -> None:
    server, gateway = behind_gateway(rendered, tmp_path / "s", PYPI_PUBLIC_INDEX=public.url)
    server.user("add", "bob", "--role", "reader", password=PASSWORD)
    wheel.build(server.data, "lib", "1.0", origin="us")
    server.run("index")
    path = "/packages/lib-1.0-py3-none-any.whl"
    with gateway:
        assert ask(gateway.url, path, BOB).status == 200
        server.run("mark", "lib", "quarantined")
        assert ask(gateway.url, path, BOB).status in (502, 503)
        assert ask(gateway.url, "/simple/lib/", BOB).status == 200
        server.run("mark", "lib", "active")
        assert ask(gateway.url, path, BOB).status == 200


# Installing ---------------------------------------------------------------------------------------


@pytest.fixture(params=[with_pip, with_uv, install_with_poetry], ids=["pip", "uv", "poetry"])
def install(request: pytest.FixtureRequest) -> Install:
    """Each of the clients."""
    chosen: Install = request.param
    return chosen


def words(said: str) -> str:
    """Return what a client printed without the frames and the line breaks of its own."""
    return " ".join(said.replace("│", " ").split())


ENDS = {
    with_pip: "No matching distribution found for {project}",
    with_uv: "there are no versions of {project}",
    install_with_poetry: "{project} (*) which doesn't match any versions",
}
"""What each client says in the end. None of them tells the status."""


def test_a_quarantined_project_is_installed_by_no_client_and_nobody_asks_pypi(
    programs: Programs, project: str, public: PublicIndex, install: Install, user: User, venv: Path
) -> None:
    programs.mark(project, "quarantined", REASON)

    said = install(user, venv, programs.simple, project, ok=False)

    assert ENDS[install].format(project=project) in words(said)
    assert installed(venv) == {}
    assert not public.asked_for(project)

    programs.mark(project, "active")
    install(user, venv, programs.simple, project)
    assert installed(venv) == {project: "1.0 from us"}


@pytest.mark.parametrize("status", ["archived", "deprecated"])
def test_an_archived_or_deprecated_project_is_installed(
    programs: Programs, project: str, install: Install, user: User, venv: Path, status: str
) -> None:
    programs.mark(project, status, "take acme-lib")

    install(user, venv, programs.simple, project)

    assert installed(venv) == {project: "1.0 from us"}


def uv_project(user: User, programs: Programs, project: str) -> Path:
    """Make a project that uv has locked; return its folder."""
    folder = user.home / "app"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.9"\n'
        f'dependencies = ["{project}"]\n\n'
        f'[[tool.uv.index]]\nname = "private"\nurl = "{programs.simple}"\ndefault = true\n'
    )
    user.environment |= {
        "UV_INDEX_PRIVATE_USERNAME": "bob",
        "UV_INDEX_PRIVATE_PASSWORD": PASSWORD,
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_HTTP_RETRIES": "0",
    }
    user.run("uv", "lock", folder=folder)
    return folder


def test_what_uv_has_locked_is_not_installed_either(
    programs: Programs, project: str, public: PublicIndex, user: User
) -> None:
    folder = uv_project(user, programs, project)
    programs.mark(project, "quarantined", REASON)

    said = user.run("uv", "sync", "--frozen", "--no-cache", folder=folder, ok=False)

    assert "403 Forbidden" in said
    assert project in said
    assert not public.asked_for(project)
    programs.mark(project, "active")
    user.run("uv", "sync", "--frozen", "--no-cache", folder=folder)


def test_what_poetry_has_locked_is_not_installed_either(
    programs: Programs, project: str, public: PublicIndex, user: User, venv: Path
) -> None:
    folder = poetry_project(user, programs.simple, project)
    user.run("poetry", "lock", folder=folder, **poetry_account())
    programs.mark(project, "quarantined", REASON)
    settings = {"VIRTUAL_ENV": str(venv), **poetry_account()}

    said = user.run("poetry", "install", "--no-cache", folder=folder, ok=False, **settings)

    assert f"Unable to find installation candidates for {project} (1.0)" in words(said)
    assert installed(venv) == {}
    assert not public.asked_for(project)
    programs.mark(project, "active")
    user.run("poetry", "install", "--no-cache", folder=folder, **settings)
    assert installed(venv) == {project: "1.0 from us"}


# uv audit -----------------------------------------------------------------------------------------


class NoVulnerabilities(BaseHTTPRequestHandler):
    """The API of OSV, which knows of no vulnerability."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"results": [{"vulns": []} for _ in asked["queries"]]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def vulnerabilities() -> Iterator[str]:
    """The URL of a service that knows of none."""
    with ThreadingHTTPServer(("127.0.0.1", 0), NoVulnerabilities) as server, in_background(server):
        yield f"http://127.0.0.1:{server.server_address[1]}"


@pytest.mark.parametrize("status", ["archived", "deprecated", "quarantined"])
def test_uv_audit_shows_a_status_that_should_worry(
    programs: Programs, project: str, user: User, vulnerabilities: str, status: str
) -> None:
    folder = uv_project(user, programs, project)
    audit = ["uv", "audit", "--frozen", "--preview-features", "audit"]
    audit += ["--service-url", vulnerabilities]
    said = user.run(*audit, folder=folder)
    assert "no adverse project statuses" in said

    programs.mark(project, status, REASON)

    said = user.run(*audit, folder=folder)
    assert f"- {project} is {status}: {REASON}" in said
    assert "1 adverse project status" in said


# Publishing ---------------------------------------------------------------------------------------


def verbose_twine(
    user: User, project: Path, url: str, account: str, password: str, ok: bool
) -> str:
    """Publish with twine as it shows the answer of the server."""
    return with_twine(user, project, url, account, password, ok, "--verbose")


@pytest.fixture(
    params=[verbose_twine, publish_with_uv, with_poetry],
    ids=["twine", "uv", "poetry"],
)
def publish(request: pytest.FixtureRequest) -> Publish:
    """Each of the clients."""
    chosen: Publish = request.param
    return chosen


@pytest.mark.parametrize("status", ["archived", "quarantined"])
def test_an_upload_to_a_closed_project_is_refused_and_the_client_says_why(
    programs: Programs, project: str, library: Library, user: User, publish: Publish, status: str
) -> None:
    built = library(project)
    programs.mark(project, status, REASON)

    said = publish(user, built, f"{programs.gateway.url}/", "alice", PASSWORD, ok=False)

    assert f"{project} is {status} ({REASON}) and takes no uploads: make pypi-mark" in words(said)
    assert "403" in said
    assert not list(programs.server.data.glob("*0.1.0*"))
    programs.mark(project, "deprecated")
    publish(user, built, f"{programs.gateway.url}/", "alice", PASSWORD, ok=True)
    assert len(list(programs.server.data.glob(f"{project.replace('-', '_')}-0.1.0*"))) == 2
    for path in programs.server.data.glob("*0.1.0*"):
        path.unlink()
