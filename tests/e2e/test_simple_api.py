"""What the clients make of the index's pages: each fact they state, as pip, uv and Poetry use it.

What a client fetched is read from the server's access log.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import pytest
import requests
import tomli
from kit import wheel
from kit.commands import run
from kit.install import Install, as_bob, poetry_account, poetry_project
from kit.install import with_pip as install_with_pip
from kit.install import with_poetry as install_with_poetry
from kit.install import with_uv as install_with_uv
from kit.library import Library
from kit.public_index import PublicIndex
from kit.server import Server
from kit.template import PASSWORD
from kit.user import User, installed
from kit.waiting import wait_until

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"

BOB, ALICE = ("bob", PASSWORD), ("alice", PASSWORD)


# Clients ------------------------------------------------------------------------------------------


class Resolved(NamedTuple):
    """What a client has chosen, version by name, and all it printed."""

    versions: dict[str, str]
    said: str


class Resolve(Protocol):
    """Chooses versions for requirements, as bob, and installs nothing."""

    def __call__(
        self,
        user: User,
        server: Server,
        *requirements: str,
        before: datetime | None = None,
        ok: bool = True,
    ) -> Resolved: ...


def simple(server: Server) -> str:
    """Return the URL of a server's simple API."""
    return f"{server.url()}simple/"


@pytest.fixture
def user(user: User) -> User:
    """Somebody whose pip caches what came over HTTP, which it does if the host is trusted."""
    user.environment["PIP_TRUSTED_HOST"] = "127.0.0.1"
    return user


def with_pip(
    user: User, server: Server, *requirements: str, before: datetime | None = None, ok: bool = True
) -> Resolved:
    report = user.home / "report.json"
    options = ["--uploaded-prior-to", before.isoformat()] if before else []
    said = user.run(
        *("pip", "install", "--dry-run", "--ignore-installed", "--report", report),
        *options,
        *requirements,
        ok=ok,
        PIP_INDEX_URL=as_bob(simple(server)),
        PIP_RETRIES="0",
    )
    found = json.loads(report.read_text())["install"] if ok else []
    return Resolved({one["metadata"]["name"]: one["metadata"]["version"] for one in found}, said)


def with_uv(
    user: User, server: Server, *requirements: str, before: datetime | None = None, ok: bool = True
) -> Resolved:
    asked, found = user.home / "requirements.in", user.home / "requirements.txt"
    asked.write_text("\n".join(requirements))
    found.unlink(missing_ok=True)
    said = user.run(
        *("uv", "pip", "compile", "--python", sys.executable, "--no-annotate", "--no-header"),
        *(["--exclude-newer", before.isoformat()] if before else []),
        *("--output-file", found, asked),
        ok=ok,
        UV_DEFAULT_INDEX=as_bob(simple(server)),
        UV_HTTP_RETRIES="0",
    )
    pairs = re.findall("^(.+)==(.+)$", found.read_text() if ok else "", re.MULTILINE)
    return Resolved(dict(pairs), said)


def with_poetry(
    user: User, server: Server, *requirements: str, before: datetime | None = None, ok: bool = True
) -> Resolved:
    project = poetry_project(user, simple(server), *requirements)
    (project / "poetry.lock").unlink(missing_ok=True)
    # A number of whole days.
    days = (datetime.now(timezone.utc) - before).days if before else 0
    said = user.run(
        *("poetry", "lock"),
        folder=project,
        ok=ok,
        POETRY_VIRTUALENVS_CREATE="false",
        POETRY_SOLVER_MIN_RELEASE_AGE=str(days),
        **poetry_account(),
    )
    found = tomli.loads((project / "poetry.lock").read_text())["package"] if ok else []
    return Resolved({one["name"]: one["version"] for one in found}, said)


@pytest.fixture(params=[with_pip, with_uv, with_poetry], ids=["pip", "uv", "poetry"])
def resolve(request: pytest.FixtureRequest) -> Resolve:
    """Each of the clients."""
    chosen: Resolve = request.param
    return chosen


@pytest.fixture(
    params=[install_with_pip, install_with_uv, install_with_poetry], ids=["pip", "uv", "poetry"]
)
def install(request: pytest.FixtureRequest) -> Install:
    """Each of the clients."""
    chosen: Install = request.param
    return chosen


# The server ---------------------------------------------------------------------------------------


@pytest.fixture
def name() -> str:
    """A name no other test uses."""
    return f"lib-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder for distributions that are not published yet."""
    folder = tmp_path / "made"
    folder.mkdir()
    return folder


def send(server: Server, path: Path, **fields: Any) -> requests.Response:
    """Send a distribution by the upload form, as alice."""
    return requests.post(
        server.url(),
        data={":action": "file_upload", "protocol_version": "1", **fields},
        files={"content": (path.name, path.read_bytes(), "application/octet-stream")},
        auth=ALICE,
        timeout=30,
    )


def publish(server: Server, *paths: Path) -> None:
    """Publish distributions."""
    for path in paths:
        assert send(server, path).status_code == 200


def page(server: Server, name: str) -> dict[str, Any]:
    """Return a project's page by its JSON."""
    answer = get_ready(server, f"simple/{name}/", Accept=JSON)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def get(server: Server, path: str, **headers: str) -> requests.Response:
    """Return what bob is answered, no redirect followed."""
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    return requests.get(
        f"{server.url()}{path}", headers=sent, auth=BOB, timeout=30, allow_redirects=False
    )


def get_ready(server: Server, path: str, **headers: str) -> requests.Response:
    """Return what bob is answered once the index knows what was just put there by hand.

    Who asks for such a name while the index looks through its folders gets 503, and asks again.
    """
    deadline = time.monotonic() + 60
    while (answer := get(server, path, **headers)).status_code == 503:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)
    return answer


class Asked(NamedTuple):
    """A request in the access log."""

    method: str
    path: str
    status: int


@contextmanager
def listening(server: Server) -> Iterator[list[Asked]]:
    """Yield a list that has, when the block is left, the requests the server had in it."""
    start = server.log.stat().st_size
    requested: list[Asked] = []
    yield requested
    # The server writes a request down after its answer.
    last = f"/{uuid.uuid4().hex}"
    with suppress(urllib.error.HTTPError):
        urllib.request.urlopen(f"{server.url().rstrip('/')}{last}", timeout=10).close()

    def log() -> str:
        return server.log.read_bytes()[start:].decode()

    wait_until(lambda: last in log(), 10)
    for method, path, status in re.findall(r'"(\w+) (\S+) HTTP/1\.1" (\d+)', log()):
        if path != last:
            requested.append(Asked(method, path, int(status)))


def of_files(requested: list[Asked]) -> set[str]:
    """Return the names of the distributions of which anything was asked for, by any method."""
    paths = (one.path for one in requested if one.path.startswith("/packages/"))
    return {path.rpartition("/")[2] for path in paths if not path.endswith(".metadata")}


def of_metadata(requested: list[Asked]) -> set[str]:
    """Return the names of the distributions whose metadata was fetched from beside them."""
    suffix = ".metadata"
    return {
        one.path.rpartition("/")[2].removesuffix(suffix)
        for one in requested
        if one.path.startswith("/packages/") and one.path.endswith(suffix) and one.status == 200
    }


# Metadata without the file (PEP 658) --------------------------------------------------------------


class Tree(NamedTuple):
    """Private packages of which the second version of the first one leads nowhere.

    Attributes:
        names: of the first, which needs the second, which needs the third.
        chosen: version by name.
        files: what has to be installed for the first.
    """

    names: list[str]
    chosen: dict[str, str]
    files: set[str]


@pytest.fixture
def tree(name: str, made: Path, server: Server) -> Tree:
    """Publish a tree."""
    app, middle, leaf = names = [f"{name}-{part}" for part in ("app", "middle", "leaf")]
    publish(
        server,
        wheel.build(made, app, "2.0", f"{middle}>=3", origin="us"),
        wheel.build(made, middle, "2.0", origin="us"),
        wheel.build(made, leaf, "0.1", origin="us"),
    )
    chosen = [
        wheel.build(made, app, "1.0", f"{middle}>=1,<2", origin="us"),
        wheel.build(made, middle, "1.1", leaf, origin="us"),
        wheel.build(made, leaf, "0.2", origin="us"),
    ]
    publish(server, *chosen)
    versions = dict(zip(names, ("1.0", "1.1", "0.2"), strict=True))
    return Tree(names, versions, {path.name for path in chosen})


def test_versions_are_chosen_by_metadata_alone(
    resolve: Resolve, user: User, server: Server, tree: Tree
) -> None:
    with listening(server) as requested:
        found = resolve(user, server, tree.names[0])

    assert found.versions == tree.chosen
    assert of_files(requested) == set()
    assert tree.files <= of_metadata(requested)


def test_only_what_is_installed_is_fetched(
    install: Install, user: User, server: Server, tree: Tree, venv: Path
) -> None:
    with listening(server) as requested:
        install(user, venv, simple(server), tree.names[0])

    assert installed(venv) == {name: f"{version} from us" for name, version in tree.chosen.items()}
    assert of_files(requested) == tree.files
    assert tree.files <= of_metadata(requested)


def test_pip_downloads_a_tree_with_only_the_files_it_keeps(
    user: User, server: Server, tree: Tree
) -> None:
    with listening(server) as requested:
        user.run(
            *("pip", "download", "--dest", "kept", tree.names[0]),
            PIP_INDEX_URL=as_bob(simple(server)),
            PIP_RETRIES="0",
        )

    assert {path.name for path in (user.home / "kept").iterdir()} == tree.files
    assert of_files(requested) == tree.files


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_pip_needs_no_sdist_to_know_what_it_requires_if_that_is_static(
    user: User, server: Server, name: str, made: Path, suffix: str
) -> None:
    leaf = wheel.build(made, f"{name}-leaf", "1.0", origin="us")
    sdist = wheel.build_sdist(made, name, "1.0", f"{name}-leaf", origin="us", suffix=suffix)
    publish(server, leaf, sdist)

    with listening(server) as requested:
        found = with_pip(user, server, name)

    assert found.versions == {name: "1.0", f"{name}-leaf": "1.0"}
    assert of_metadata(requested) == {leaf.name, sdist.name}
    assert of_files(requested) == set()


def test_an_sdist_whose_metadata_a_build_could_change_is_asked_itself(
    user: User, server: Server, name: str, made: Path
) -> None:
    sdist = wheel.build_sdist(made, name, "1.0", origin="us", metadata_version="2.1")
    publish(server, sdist)

    with listening(server) as requested:
        found = with_pip(user, server, name)

    assert found.versions == {name: "1.0"}
    assert of_metadata(requested) == set()
    assert of_files(requested) == {sdist.name}


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_an_sdist_installs(
    install: Install,
    user: User,
    server: Server,
    venv: Path,
    name: str,
    made: Path,
    suffix: str,
) -> None:
    publish(server, wheel.build_sdist(made, name, "1.0", origin="us", suffix=suffix))

    install(user, venv, simple(server), name)

    assert installed(venv) == {name: "1.0 from us"}


@pytest.mark.parametrize("kind", [wheel.build, wheel.build_sdist], ids=["wheel", "sdist"])
@pytest.mark.parametrize("asked", ["1.0", "1.0.0"])
def test_a_version_that_the_metadata_spells_otherwise_than_the_file_name_installs(
    install: Install,
    user: User,
    server: Server,
    venv: Path,
    name: str,
    made: Path,
    kind: Callable[..., Path],
    asked: str,
) -> None:
    path = kind(made, name, "1.0.0", origin="us")
    publish(server, path.rename(made / path.name.replace("-1.0.0", "-1.0")))

    install(user, venv, simple(server), f"{name}=={asked}")

    assert installed(venv) == {name: "1.0.0 from us"}
    assert page(server, name)["versions"] == ["1.0"]


# Upload times (PEP 700) ---------------------------------------------------------------------------


LONG_AGO = datetime(2024, 1, 1, tzinfo=timezone.utc)
BETWEEN = datetime(2025, 1, 1, tzinfo=timezone.utc)
LATER = datetime(2025, 6, 1, tzinfo=timezone.utc)
LAST = datetime(2026, 1, 1, tzinfo=timezone.utc)


def put(server: Server, path: Path, when: datetime) -> None:
    """Copy a distribution into the data folder with its time, as `cp -a` would."""
    os.utime(path, (when.timestamp(), when.timestamp()))
    path.replace(server.data / path.name)


def wait_for_versions(server: Server, name: str, count: int) -> None:
    """Return when the page of a project has so many; the index may find one after the other."""
    wait_until(
        lambda: len(page(server, name)["versions"]) >= count,
        explain=lambda: page(server, name)["versions"],
    )


def test_versions_of_after_a_date_can_be_left_out(
    resolve: Resolve, user: User, server: Server, name: str, made: Path
) -> None:
    put(server, wheel.build(made, name, "0.1", origin="us"), LONG_AGO)
    put(server, wheel.build(made, name, "0.2", origin="us"), LATER)
    wait_for_versions(server, name, 2)
    assert page(server, name)["versions"] == ["0.1", "0.2"]
    publish(server, wheel.build(made, name, "0.3", origin="us"))

    assert resolve(user, server, name, before=BETWEEN).versions == {name: "0.1"}
    assert resolve(user, server, name, before=LAST).versions == {name: "0.2"}
    assert resolve(user, server, name).versions == {name: "0.3"}


def test_a_time_before_all_versions_leaves_none(
    resolve: Resolve, user: User, server: Server, name: str, made: Path
) -> None:
    put(server, wheel.build(made, name, "0.1", origin="us"), LATER)
    # Otherwise the client might fail since the index is not ready, and this would not notice.
    assert page(server, name)["versions"] == ["0.1"]

    resolve(user, server, name, before=BETWEEN, ok=False)


def test_upload_times_survive_a_copy_that_loses_the_times_of_the_files(
    rendered: Path, user: User, tmp_path: Path, made: Path, name: str
) -> None:
    first = Server(rendered, tmp_path / "first")
    for account in ("alice", "bob"):
        first.user("add", account, "--role", "publisher", password=PASSWORD)
    put(first, wheel.build(made, name, "0.1", origin="us"), LONG_AGO)
    put(first, wheel.build(made, name, "0.2", origin="us"), LATER)
    with first:
        assert page(first, name)["versions"] == ["0.1", "0.2"]
        publish(first, wheel.build(made, name, "0.3", origin="us"))
        before = page(first, name)
    second = Server(rendered, tmp_path / "second")
    shutil.copytree(first.auth, second.auth, dirs_exist_ok=True)
    run("cp", "-r", f"{first.data}/.", second.data)
    assert (second.data / f"{name.replace('-', '_')}-0.1-py3-none-any.whl").stat().st_mtime > (
        LAST.timestamp()
    )

    with second:
        assert page(second, name) == before
        for resolve in (with_pip, with_uv, with_poetry):
            assert resolve(user, second, name, before=BETWEEN).versions == {name: "0.1"}
            assert resolve(user, second, name, before=LAST).versions == {name: "0.2"}

    assert [file["upload-time"][:10] for file in before["files"][:2]] == [
        "2024-01-01",
        "2025-06-01",
    ]


# Yanked and removed versions (PEP 592) ------------------------------------------------------------

VERSIONS = ("0.1.0", "0.2.0")
REASON = """it's <broken> & "dangerous\""""


@pytest.fixture
def coveted(server: Server, public: PublicIndex, made: Path, name: str) -> str:
    """The name of a library of ours, 0.1.0 and 0.2.0, that a stranger has on the public index."""
    publish(server, *(wheel.build(made, name, version, origin="us") for version in VERSIONS))
    for version in ("0.9.9", "99.0.0"):
        wheel.build(public.folder, name, version, origin="a stranger")
    return name


def test_a_yanked_version_is_passed_over_until_the_yank_is_taken_back(
    resolve: Resolve, user: User, server: Server, coveted: str
) -> None:
    def chosen() -> dict[str, str]:
        return resolve(user, server, f"{coveted}==0.*").versions

    assert chosen() == {coveted: "0.2.0"}
    server.run("yank", coveted, "0.2.0", "--reason", REASON)
    assert chosen() == {coveted: "0.1.0"}
    server.run("unyank", coveted, "0.2.0")
    assert chosen() == {coveted: "0.2.0"}


def test_a_yanked_version_can_be_pinned_and_the_client_says_why_it_should_not(
    install: Install, user: User, server: Server, venv: Path, coveted: str
) -> None:
    server.run("yank", coveted, "0.2.0", "--reason", REASON)

    said = install(user, venv, simple(server), f"{coveted}==0.2.0")

    assert installed(venv) == {coveted: "0.2.0 from us"}
    assert "yanked" in said
    assert REASON in " ".join(said.split()), said


def test_a_yank_needs_no_reason(resolve: Resolve, user: User, server: Server, coveted: str) -> None:
    server.run("yank", coveted, "0.2.0")

    assert resolve(user, server, f"{coveted}==0.*").versions == {coveted: "0.1.0"}
    pinned = resolve(user, server, f"{coveted}==0.2.0")
    assert pinned.versions == {coveted: "0.2.0"}
    assert "yanked" in pinned.said


def test_a_library_all_of_whose_versions_are_yanked_is_not_taken_from_elsewhere(
    resolve: Resolve,
    user: User,
    server: Server,
    coveted: str,
    public: PublicIndex,
) -> None:
    for version in VERSIONS:
        server.run("yank", coveted, version)

    found = resolve(user, server, f"{coveted}>=0.1", ok=False)

    assert coveted in found.said
    assert not public.asked_for(coveted)


def test_a_removed_version_is_gone_and_a_removed_library_is_never_a_strangers(
    install: Install,
    user: User,
    server: Server,
    venv: Path,
    coveted: str,
    public: PublicIndex,
) -> None:
    install(user, venv, simple(server), coveted)
    assert installed(venv) == {coveted: "0.2.0 from us"}
    server.run("remove", coveted, "0.2.0", "--yes")
    user.run("uv", "pip", "uninstall", "--quiet", "--python", venv, coveted)
    install(user, venv, simple(server), coveted)
    assert installed(venv) == {coveted: "0.1.0 from us"}
    server.run("remove", coveted, "0.1.0", "--yes")
    user.run("uv", "pip", "uninstall", "--quiet", "--python", venv, coveted)

    with listening(server) as requested:
        said = install(user, venv, simple(server), coveted, ok=False)

    assert coveted in said
    assert installed(venv) == {}
    assert {one.status for one in requested if one.path == f"/simple/{coveted}/"} == {404}
    assert not public.asked_for(coveted)


def test_the_files_of_a_removed_version_are_gone_and_their_names_stay_taken(
    server: Server, coveted: str, made: Path
) -> None:
    (file,) = (one["filename"] for one in page(server, coveted)["files"] if "0.2.0" in one["url"])
    server.run("remove", coveted, "0.2.0", "--yes")

    assert get(server, f"packages/{file}").status_code == 404
    assert get(server, f"packages/{file}.metadata").status_code == 404
    assert file not in server.files()
    other = wheel.build(made, coveted, "0.2.0", origin="somebody else")
    assert send(server, other).status_code == 409
    assert file not in server.files()


# Python versions (PEP 503, data-requires-python) --------------------------------------------------


@pytest.mark.parametrize("kind", [wheel.build, wheel.build_sdist], ids=["wheel", "sdist"])
def test_a_version_for_another_python_is_passed_over_because_the_page_says_so(
    resolve: Resolve,
    user: User,
    server: Server,
    name: str,
    made: Path,
    kind: Callable[..., Path],
) -> None:
    fits = wheel.build(made, name, "1.0", origin="us", requires_python=">=3.8")
    too_new = kind(made, name, "2.0", origin="us", requires_python=">=99,!=98.*")
    publish(server, fits, too_new)

    with listening(server) as requested:
        found = resolve(user, server, name)

    assert found.versions == {name: "1.0"}
    assert of_files(requested) == set()
    # Poetry looks there, too.
    assert resolve is with_poetry or too_new.name not in of_metadata(requested)


def test_a_library_for_another_python_alone_is_refused_with_the_python_it_needs(
    install: Install, user: User, server: Server, venv: Path, name: str, made: Path
) -> None:
    publish(server, wheel.build(made, name, "1.0", origin="us", requires_python=">=99"))

    with listening(server) as requested:
        said = install(user, venv, simple(server), name, ok=False)

    assert re.search(r">=\s?99", said), said
    assert of_files(requested) == set()
    assert install is install_with_poetry or of_metadata(requested) == set()


# What clients send --------------------------------------------------------------------------------


class Sends(Protocol):
    """Publishes the distributions of one version as alice."""

    def __call__(self, user: User, server: Server, paths: list[Path]) -> None: ...


def by_twine(user: User, server: Server, paths: list[Path]) -> None:
    user.run(
        *("twine", "upload", "--non-interactive", "--disable-progress-bar"),
        *paths,
        TWINE_REPOSITORY_URL=server.url(),
        TWINE_USERNAME="alice",
        TWINE_PASSWORD=PASSWORD,
    )


def by_uv(user: User, server: Server, paths: list[Path]) -> None:
    user.run(
        *("uv", "publish", "--publish-url", server.url()),
        *paths,
        UV_PUBLISH_USERNAME="alice",
        UV_PUBLISH_PASSWORD=PASSWORD,
    )


def by_hatch(user: User, server: Server, paths: list[Path]) -> None:
    user.run(
        *("hatch", "publish", "--no-prompt"),
        *paths,
        HATCH_INDEX_REPO=server.url(),
        HATCH_INDEX_USER="alice",
        HATCH_INDEX_AUTH=PASSWORD,
    )


@pytest.mark.parametrize(
    ("sends", "suffix"),
    [
        (by_twine, ".tar.gz"),
        (by_twine, ".zip"),
        (by_uv, ".tar.gz"),
        (by_hatch, ".tar.gz"),
    ],
)
def test_a_wheel_and_an_sdist_are_published_and_shown(
    sends: Sends, user: User, server: Server, name: str, made: Path, suffix: str
) -> None:
    paths = [
        wheel.build(made, name, "1.0", origin="us"),
        wheel.build_sdist(made, name, "1.0", origin="us", suffix=suffix),
    ]

    sends(user, server, paths)

    check_shown(server, name, paths)


def check_shown(server: Server, name: str, paths: list[Path]) -> None:
    """Check that the page of a project lists just these files, and that they are served."""
    shown = {one["filename"]: one for one in page(server, name)["files"]}
    assert shown.keys() == {path.name for path in paths}
    for path in paths:
        content = path.read_bytes()
        assert shown[path.name]["hashes"] == {"sha256": hashlib.sha256(content).hexdigest()}
        assert shown[path.name]["size"] == len(content)
        assert get(server, f"packages/{path.name}").content == content


def test_what_flit_builds_is_published_and_shown(user: User, server: Server, name: str) -> None:
    module = name.replace("-", "_")
    folder = user.home / name
    folder.mkdir()
    (folder / f"{module}.py").write_text('"""Ours."""\n\n__version__ = "1.0"\n')
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\ndynamic = ["version", "description"]\n'
        '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'
        f'[tool.flit.module]\nname = "{module}"\n'
    )
    user.run(
        *("flit", "publish"),
        folder=folder,
        FLIT_INDEX_URL=server.url(),
        FLIT_USERNAME="alice",
        FLIT_PASSWORD=PASSWORD,
    )

    check_shown(server, name, sorted((folder / "dist").iterdir()))
    assert page(server, name)["versions"] == ["1.0"]


def test_what_poetry_publishes_is_shown(user: User, server: Server, library: Library) -> None:
    project = library(f"poetic-{uuid.uuid4().hex[:12]}")

    user.run(
        *("poetry", "publish", "--repository", "private"),
        folder=project,
        POETRY_REPOSITORIES_PRIVATE_URL=server.url(),
        POETRY_HTTP_BASIC_PRIVATE_USERNAME="alice",
        POETRY_HTTP_BASIC_PRIVATE_PASSWORD=PASSWORD,
    )

    built = sorted(path.name for path in (project / "dist").iterdir())
    shown = page(server, built[0].split("-")[0].replace("_", "-"))["files"]
    assert sorted(one["filename"] for one in shown) == built
    assert len(built) == 2
    for one in shown:
        assert one["requires-python"] == ">=3.9"
        metadata = get(server, f"packages/{one['filename']}.metadata").content
        assert one["core-metadata"] == {"sha256": hashlib.sha256(metadata).hexdigest()}
        assert b"\nVersion: 0.1.0\n" in metadata


@pytest.mark.parametrize("algorithm", ["md5", "sha256", "blake2_256"])
def test_a_digest_that_is_not_that_of_the_file_stops_the_upload(
    server: Server, name: str, made: Path, algorithm: str
) -> None:
    path = wheel.build(made, name, "1.0", origin="us")
    digests = {f"{algorithm}_digest": "0" * (32 if algorithm == "md5" else 64)}

    answer = send(server, path, **digests)

    assert answer.status_code == 400
    assert "damaged on its way" in answer.text
    assert path.name not in server.files()


def test_a_signature_is_served_and_announced(
    server: Server, name: str, made: Path, user: User
) -> None:
    signed = wheel.build(made, name, "1.0", origin="us")
    bare = wheel.build(made, name, "2.0", origin="us")
    signature = b"-----BEGIN PGP SIGNATURE-----\n\nnot really\n-----END PGP SIGNATURE-----\n"

    answer = requests.post(
        server.url(),
        data={":action": "file_upload", "protocol_version": "1", "name": name, "version": "1.0"},
        files={
            "content": (signed.name, signed.read_bytes(), "application/octet-stream"),
            "gpg_signature": (f"{signed.name}.asc", signature, "application/pgp-signature"),
        },
        auth=ALICE,
        timeout=30,
    )
    publish(server, bare)

    assert answer.status_code == 200
    assert get(server, f"packages/{signed.name}.asc").content == signature
    assert get(server, f"packages/{bare.name}.asc").status_code == 404
    shown = {one["filename"]: one for one in page(server, name)["files"]}
    assert shown[signed.name]["gpg-sig"] is True
    assert not shown[bare.name].get("gpg-sig")
    html = get(server, f"simple/{name}/", Accept=HTML).text
    (link,) = re.findall(f"<a [^>]*>{re.escape(signed.name)}</a>", html)
    assert 'data-gpg-sig="true"' in link
    for resolve in (with_pip, with_uv, with_poetry):
        assert resolve(user, server, f"{name}<2").versions == {name: "1.0"}


# Hashes -------------------------------------------------------------------------------------------


def sha256(path: Path) -> str:
    """Return the digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_pip_installs_what_has_the_hash_and_nothing_else(
    user: User, server: Server, venv: Path, name: str, made: Path
) -> None:
    path = wheel.build(made, name, "1.0", origin="us")
    publish(server, path)
    (shown,) = page(server, name)["files"]
    required = user.home / "requirements.txt"

    def install(digest: str, *, ok: bool) -> str:
        required.write_text(f"{name}==1.0 --hash=sha256:{digest}\n")
        arguments = ("--require-hashes", "--requirement", str(required))
        return install_with_pip(user, venv, simple(server), *arguments, ok=ok)

    assert "DO NOT MATCH" in install("0" * 64, ok=False)
    assert installed(venv) == {}
    install(shown["hashes"]["sha256"], ok=True)
    assert installed(venv) == {name: "1.0 from us"}
    assert shown["hashes"] == {"sha256": sha256(path)}


def no_credentials(text: str) -> bool:
    """Return whether a text is free of bob's name and password, however written."""
    return not any(one in text for one in (PASSWORD, quote(PASSWORD, safe=""), "bob"))


def test_a_lock_of_poetry_has_the_hashes_of_the_page_and_no_credentials(
    user: User, server: Server, venv: Path, name: str, made: Path
) -> None:
    paths = [
        wheel.build(made, name, "1.0", origin="us"),
        wheel.build_sdist(made, name, "1.0", origin="us"),
    ]
    publish(server, *paths)

    with listening(server) as requested:
        with_poetry(user, server, name)

    lock = (user.home / "project" / "poetry.lock").read_text()
    (package,) = tomli.loads(lock)["package"]
    locked = {one["file"]: one["hash"] for one in package["files"]}
    assert locked == {path.name: f"sha256:{sha256(path)}" for path in paths}
    assert of_files(requested) == set()
    assert no_credentials(lock)
    project = user.home / "project"
    user.run("poetry", "sync", folder=project, VIRTUAL_ENV=str(venv), **poetry_account())
    assert installed(venv) == {name: "1.0 from us"}


INDEX = '[[tool.uv.index]]\nname = "private"\nurl = "{url}simple/"\ndefault = true\n'


@pytest.mark.parametrize("in_url", [True, False], ids=["in the URL", "in variables"])
def test_a_lock_of_uv_has_the_hashes_of_the_page_and_no_credentials(
    user: User, server: Server, name: str, made: Path, in_url: bool
) -> None:
    paths = [
        wheel.build(made, name, "1.0", origin="us"),
        wheel.build_sdist(made, name, "1.0", origin="us"),
    ]
    publish(server, *paths)
    (user.home / "pyproject.toml").write_text(
        f'[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.9"\n'
        f'dependencies = ["{name}"]\n\n{"" if in_url else INDEX.format(url=server.url())}'
    )
    variables = {"UV_INDEX_PRIVATE_USERNAME": "bob", "UV_INDEX_PRIVATE_PASSWORD": PASSWORD}
    as_reader: dict[str, Any] = (
        {"UV_DEFAULT_INDEX": as_bob(simple(server))} if in_url else variables
    )

    with listening(server) as requested:
        user.run("uv", "lock", "--python", sys.executable, **as_reader)

    lock = (user.home / "uv.lock").read_text()
    (package,) = (one for one in tomli.loads(lock)["package"] if one["name"] == name)
    for shown, locked in zip(
        page(server, name)["files"], [*package["wheels"], package["sdist"]], strict=True
    ):
        assert locked["hash"] == f"sha256:{shown['hashes']['sha256']}"
        assert locked["size"] == shown["size"]
        assert locked["url"] == f"{server.url()}packages/{shown['filename']}"
    assert of_files(requested) == set()
    assert no_credentials(lock)
    user.run("uv", "sync", "--locked", "--python", sys.executable, **as_reader)
    assert installed(user.home / ".venv") == {name: "1.0 from us"}


# What is known already ----------------------------------------------------------------------------


def test_a_page_that_a_client_has_is_not_sent_again_nor_is_metadata(
    resolve: Resolve, user: User, server: Server, tree: Tree
) -> None:
    resolve(user, server, tree.names[0])

    with listening(server) as requested:
        again = resolve(user, server, tree.names[0])

    assert again.versions == tree.chosen
    assert {one.path for one in requested} == {f"/simple/{name}/" for name in tree.names}
    assert {one.status for one in requested} == {304}


def test_a_client_with_a_page_sees_the_next_version_at_once(
    resolve: Resolve, user: User, server: Server, name: str, made: Path
) -> None:
    publish(server, wheel.build(made, name, "0.1", origin="us"))
    assert resolve(user, server, name).versions == {name: "0.1"}

    publish(server, wheel.build(made, name, "0.2", origin="us"))

    assert resolve(user, server, name).versions == {name: "0.2"}


def test_a_file_that_a_client_has_is_not_fetched_again(
    install: Install, user: User, server: Server, tree: Tree, venv: Path
) -> None:
    install(user, venv, simple(server), tree.names[0])
    user.run("uv", "pip", "uninstall", "--quiet", "--python", venv, *tree.names)
    assert installed(venv) == {}

    with listening(server) as requested:
        install(user, venv, simple(server), tree.names[0])

    assert installed(venv).keys() == tree.chosen.keys()
    assert of_files(requested) == set()


@pytest.mark.parametrize("accept", [JSON, HTML, "text/html"])
def test_the_etag_of_a_page_stands_for_its_content(
    server: Server, name: str, made: Path, accept: str
) -> None:
    path = f"simple/{name}/"

    def etag() -> str:
        answer = get(server, path, Accept=accept)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].partition(";")[0] == accept
        known = answer.headers["ETag"]
        unchanged = get(server, path, Accept=accept, If_None_Match=known)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        return known

    publish(server, wheel.build(made, name, "0.1", origin="us"))
    first = etag()
    assert etag() == first
    publish(server, wheel.build(made, name, "0.2", origin="us"))
    second = etag()
    server.run("yank", name, "0.2")
    third = etag()

    assert len({first, second, third}) == 3
    assert get(server, path, Accept=accept, If_None_Match=first).status_code == 200


def test_another_project_does_not_change_the_etag_of_a_page(
    server: Server, name: str, made: Path
) -> None:
    publish(server, wheel.build(made, name, "0.1", origin="us"))
    before = get(server, f"simple/{name}/").headers["ETag"]

    publish(server, wheel.build(made, f"{name}-other", "0.1", origin="us"))

    assert get(server, f"simple/{name}/").headers["ETag"] == before


# Put there by hand --------------------------------------------------------------------------------


def test_the_first_who_asks_for_what_was_put_there_by_hand_gets_the_whole_page(
    server: Server, name: str, made: Path
) -> None:
    put(server, wheel.build(made, name, "0.1", origin="us", requires_python=">=3.9"), LONG_AGO)

    first = get_ready(server, f"simple/{name}/", Accept=JSON)

    second = get(server, f"simple/{name}/", Accept=JSON)
    assert second.json()["files"][0]["upload-time"].startswith("2024-01-01")
    assert first.content == second.content
    for header in ("Content-Type", "ETag", "Vary", "Cache-Control"):
        assert first.headers[header] == second.headers[header]


def test_what_was_put_there_by_hand_is_never_a_strangers_however_much_came_with_it(
    server: Server, name: str, made: Path, public: PublicIndex
) -> None:
    ours = f"zzz-{name}"  # read last
    wheel.build(public.folder, ours, "99.0.0", origin="a stranger")
    paths = [wheel.build(made, f"{name}-{number}", "1", origin="us") for number in range(150)]
    paths.append(wheel.build(made, ours, "0.1", origin="us"))
    for path in paths:
        put(server, path, LONG_AGO)

    deadline = time.monotonic() + 60

    def ask(number: int) -> list[int]:
        time.sleep(number / 200)
        answered = [get(server, f"simple/{ours}/").status_code]
        while answered[-1] == 503 and time.monotonic() < deadline:
            time.sleep(0.05)
            answered.append(get(server, f"simple/{ours}/").status_code)
        return answered

    with ThreadPoolExecutor(12) as pool:
        for answered in pool.map(ask, range(36)):
            # Never sent on, nor told that there is no such name.
            assert answered == [503] * (len(answered) - 1) + [200]


# Sizes and URLs -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a library with 500 versions, found in the data folder all at once."""
    name, folder = f"many-{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("many")
    versions = [f"{major}.{minor}" for major in range(5) for minor in range(100)]
    paths = [wheel.build(folder, name, version, origin="us") for version in versions]
    for path in paths:
        path.replace(server.data / path.name)
    wait_for_versions(server, name, len(versions))
    return name


def test_a_page_with_500_versions_is_read_to_its_end(
    resolve: Resolve, user: User, server: Server, many: str
) -> None:
    with listening(server) as requested:
        newest = resolve(user, server, many)
        other = resolve(user, server, f"{many}<2.50")

    assert newest.versions == {many: "4.99"}
    assert other.versions == {many: "2.49"}
    assert of_files(requested) == set()


def test_a_page_with_500_versions_lists_them_in_their_order(server: Server, many: str) -> None:
    listed = page(server, many)

    assert len(listed["files"]) == 500
    assert listed["versions"][:3] == ["0.0", "0.1", "0.2"]
    assert listed["versions"][-1] == "4.99"


@pytest.mark.parametrize("slash", ["", "/"])
def test_pip_can_do_without_simple_in_the_url(
    user: User, server: Server, venv: Path, name: str, made: Path, slash: str
) -> None:
    spelled = name.replace("-", "_").upper()
    publish(server, wheel.build(made, name, "1.0", origin="us"))

    with listening(server) as requested:
        user.run(
            *("pip", "--python", venv, "install", spelled),
            PIP_INDEX_URL=server.url(*BOB).rstrip("/") + slash,
        )

    assert installed(venv) == {name: "1.0 from us"}
    statuses = {one.path: one.status for one in requested}
    assert statuses[f"/simple/{name}/"] == 200
    assert len(of_metadata(requested)) == 1
    assert 401 not in statuses.values()
