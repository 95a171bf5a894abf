"""Names that the index does not hold: the gateway answers them alone, without private_pypi."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kit import damage, wheel
from kit.gateway import behind_gateway
from kit.http import Answer, ask, basic
from kit.install import OURS, Install, with_pip, with_poetry, with_uv
from kit.public_index import PublicIndex
from kit.template import PASSWORD, Render
from kit.user import User, installed
from kit.waiting import wait_until

BOB = basic("bob", PASSWORD)
LONG_AGO = 1_700_000_000


class Stack:
    """A gateway and a server over one folder."""

    def __init__(self, rendered: Path, folder: Path, public: PublicIndex, **settings: str) -> None:
        self.folder = folder
        self.server, self.gateway = behind_gateway(
            rendered, folder, PYPI_PUBLIC_INDEX=public.url, **settings
        )
        self.server.user("add", "bob", password=PASSWORD)
        for version in ("0.1.0", "0.2.0"):
            wheel.build(self.server.data, "my-private-lib", version, "public-lib>=1", origin="us")
        self._public = public

    def get(self, project: str, method: str = "GET") -> Answer:
        return ask(self.gateway.url, f"/simple/{project}/", BOB, method=method)

    def is_by_gateway(self, answer: Answer) -> bool:
        return "Via" not in answer.headers

    def wait_until_settled(self) -> None:
        """Wait until the gateway answers unknown names without private_pypi."""
        wait_until(lambda: self.is_by_gateway(self.get(f"nobody-{uuid.uuid4().hex}")), 20)

    def is_redirected(self, project: str) -> bool:
        answer = self.get(project)
        if answer.status != 303:
            return False
        assert answer.headers["Location"] == f"{self._public.url}{project}/"
        return True


@pytest.fixture
def stack(rendered: Path, public: PublicIndex, tmp_path: Path) -> Iterator[Stack]:
    """Both, running, over files that have lain there for a while."""
    made = Stack(rendered, tmp_path / "s", public)
    os.utime(made.server.data, (LONG_AGO, LONG_AGO))
    with made.server, made.gateway:
        made.wait_until_settled()
        yield made


@pytest.mark.parametrize("install", [with_pip, with_uv, with_poetry], ids=["pip", "uv", "poetry"])
def test_private_and_public_packages_install_while_private_pypi_is_stopped(
    install: Install, stack: Stack, user: User, venv: Path
) -> None:
    stack.server.stop()

    install(user, venv, f"{stack.gateway.url}/simple/", "my-private-lib==0.*")

    assert installed(venv) == OURS


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("accept", ["", "*/*", "application/vnd.pypi.simple.v1+json;q=0.5"])
def test_the_gateway_sends_unknown_names_on_as_private_pypi_does(
    stack: Stack, public: PublicIndex, method: str, accept: str
) -> None:
    answers = [
        ask(url, "/simple/public-lib/?a=b", {**BOB, "Accept": accept}, method=method)
        for url in (stack.gateway.url, stack.server.url())
    ]

    assert [answer.status for answer in answers] == [303, 303]
    assert {answer.headers["Location"] for answer in answers} == {f"{public.url}public-lib/"}
    assert stack.is_by_gateway(answers[0])


def test_nobody_without_an_account_learns_which_names_are_here(stack: Stack) -> None:
    paths = ("/simple/my-private-lib/", "/simple/public-lib/")
    told = {(answer.status, answer.body) for answer in (ask(stack.gateway.url, p) for p in paths)}

    assert [status for status, _ in told] == [401]


def by_cp(data: Path, source: Path) -> None:
    shutil.copy(source, data)


def by_mv(data: Path, source: Path) -> None:
    shutil.move(source, data)


def with_the_times_of_the_source(data: Path, source: Path) -> None:
    """Copy a file and give the folder the time that it had, as `rsync --archive` does."""
    shutil.copy(source, data)
    os.utime(data, (LONG_AGO, LONG_AGO))


def as_an_egg(data: Path, source: Path) -> None:
    (data / f"{source.stem.partition('-')[0]}-1.0-py3.8.egg").write_bytes(b"of old tools")


def into_a_new_folder(data: Path, source: Path) -> None:
    (data / "team").mkdir()
    shutil.copy(source, data / "team")


@pytest.mark.parametrize(
    "put", [by_cp, by_mv, with_the_times_of_the_source, as_an_egg, into_a_new_folder]
)
@pytest.mark.parametrize("runs", [True, False], ids=["running", "stopped"])
def test_a_name_that_is_put_there_by_hand_is_never_sent_on(
    stack: Stack, tmp_path: Path, put: Callable[[Path, Path], None], *, runs: bool
) -> None:
    name = f"fresh-{uuid.uuid4().hex}"
    source = wheel.build(tmp_path, name, "1.0", origin="us")
    assert stack.is_redirected(name)
    if not runs:
        stack.server.stop()

    put(stack.server.data, source)

    # Without private_pypi the gateway waits for it: seconds, each time.
    for _ in range(50 if runs else 1):
        assert not stack.is_redirected(name)
    if runs:
        known = 404 if put is as_an_egg else 200
        wait_until(lambda: stack.get(name).status == known, 20)
        assert stack.is_redirected("public-lib")


def test_a_name_that_was_removed_is_never_sent_on(stack: Stack) -> None:
    stack.server.run("remove", "my-private-lib", "0.1.0", "--yes")
    stack.server.run("remove", "my-private-lib", "0.2.0", "--yes")

    assert stack.get("my-private-lib").status == 404
    stack.wait_until_settled()
    assert stack.get("my-private-lib").status == 404
    stack.server.stop()
    assert not stack.is_redirected("my-private-lib")


def test_two_folders_that_bear_one_time_by_chance_send_no_name_on(
    stack: Stack, tmp_path: Path
) -> None:
    """As when a file of ours and its name are written within a tick of the clock."""
    stack.server.stop()
    source = wheel.build(tmp_path, "by-hand", "1.0", origin="us")
    (stack.folder / "pypi_index/complete_names").unlink()
    shutil.copy(source, stack.server.data)
    modified = stack.server.data.stat().st_mtime_ns
    os.utime(stack.folder / "pypi_index/names", ns=(modified, modified))

    assert not stack.is_redirected("by-hand")


@pytest.mark.parametrize("lost", ["", "names", "names/my-private-lib", "simple"])
@pytest.mark.parametrize("runs", [True, False], ids=["running", "stopped"])
def test_no_name_of_ours_is_sent_on_once_parts_of_the_index_are_deleted(
    stack: Stack, lost: str, *, runs: bool
) -> None:
    if not runs:
        stack.server.stop()
    place = stack.folder / "pypi_index" / lost
    for path in [place] if lost else list(place.iterdir()):
        damage.delete(path)

    # Without private_pypi the gateway waits for it: seconds, each time.
    for _ in range(50 if runs else 1):
        assert not stack.is_redirected("my-private-lib")
    if runs and lost != "simple":
        stack.wait_until_settled()
        assert not stack.is_redirected("my-private-lib")


def test_while_the_index_is_made_from_nothing_no_name_is_sent_on(
    rendered: Path, public: PublicIndex, tmp_path: Path
) -> None:
    stack = Stack(rendered, tmp_path / "s", public)
    with stack.gateway:
        answers = [stack.get(name).status for name in ("my-private-lib", "public-lib")]
        assert answers == [502, 502]
        with stack.server:
            wait_until(lambda: stack.is_redirected("public-lib"), 20)
            assert stack.get("my-private-lib").status == 200


def test_a_large_library_of_a_new_name_is_never_sent_on_while_it_is_copied(
    stack: Stack, tmp_path: Path
) -> None:
    large = wheel.build(tmp_path, "new-lib", "1.0", origin="us", more={"noise": "x" * 2**22})
    content, statuses = large.read_bytes(), set[int]()
    assert stack.is_redirected("new-lib")

    with (stack.server.data / large.name).open("wb") as target:
        for start in range(0, len(content), len(content) // 20):
            target.write(content[start : start + len(content) // 20])
            target.flush()
            statuses |= {stack.get("new-lib").status for _ in range(10)}
    wait_until(lambda: stack.get("new-lib").status == 200, 20)

    assert statuses <= {200, 404, 503}


def test_without_the_address_of_the_public_index_private_pypi_is_asked_and_tells_it(
    stack: Stack,
) -> None:
    (stack.folder / "pypi_index/public_index").unlink()

    answers = [stack.get("public-lib") for _ in range(2)]

    assert [answer.status for answer in answers] == [303, 303]
    assert [stack.is_by_gateway(answer) for answer in answers] == [False, True]


def test_where_unknown_names_are_refused_the_gateway_refuses_them_alone(
    render: Render, public: PublicIndex, tmp_path: Path, user: User, venv: Path
) -> None:
    rendered = render({"template": "server", "https": "none", "unknown_packages": "refuse"})
    stack = Stack(rendered, tmp_path / "s", public, PYPI_UNKNOWN_PACKAGES="refuse")
    os.utime(stack.server.data, (LONG_AGO, LONG_AGO))
    public.requests.clear()
    with stack.server, stack.gateway:
        stack.wait_until_settled()
        stack.server.stop()
        answer = stack.get("public-lib")
        said = with_pip(user, venv, f"{stack.gateway.url}/simple/", "public-lib", ok=False)

    assert (answer.status, answer.body) == (404, b"This index has no project public-lib.")
    assert "No matching distribution found for public-lib" in said
    assert public.requests == []


# Reserved prefixes --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reserving(
    render: Render, public: PublicIndex, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Both, running, over nothing yet; the public index has a package of each name."""
    answers = {"template": "server", "https": "none", "private_prefixes": ["Acme_", "corp.tools"]}
    folder = tmp_path_factory.mktemp("reserving")
    stack = Stack(render(answers), folder / "s", public, PYPI_PRIVATE_PREFIXES="acme corp-tools")
    for path in stack.server.data.glob("*.whl"):
        path.unlink()
    os.utime(stack.server.data, (LONG_AGO, LONG_AGO))
    with stack.server, stack.gateway:
        stack.wait_until_settled()
        yield stack


@pytest.mark.parametrize("program", ["gateway", "private_pypi"])
@pytest.mark.parametrize(
    ("name", "is_reserved"),
    [
        ("acme", True),
        ("acme-billing", True),
        ("acme-billing-api", True),
        ("corp-tools-x", True),
        ("acmeology", False),
        ("corp", False),
        ("corp-toolsmith", False),
        ("my-acme", False),
    ],
)
def test_a_reserved_name_is_answered_here_before_it_was_ever_published(
    reserving: Stack, name: str, program: str, *, is_reserved: bool
) -> None:
    url = reserving.gateway.url if program == "gateway" else reserving.server.url()
    answer = ask(url, f"/simple/{name}/", BOB)

    assert answer.status == (404 if is_reserved else 303)
    if is_reserved:
        assert b"asks nobody else for a name with this prefix" in answer.body
    if program == "gateway":
        assert reserving.is_by_gateway(answer)


@pytest.mark.parametrize("install", [with_pip, with_uv, with_poetry], ids=["pip", "uv", "poetry"])
def test_a_strangers_package_with_a_reserved_prefix_is_never_installed(
    install: Install, reserving: Stack, public: PublicIndex, user: User, venv: Path
) -> None:
    wheel.build(public.folder, "acme-not-yet", "1.0", origin="a stranger")
    public.requests.clear()

    said = install(user, venv, f"{reserving.gateway.url}/simple/", "Acme.Not_Yet", ok=False)

    assert "acme" in said.lower()
    assert installed(venv) == {}
    assert not public.asked_for("acme-not-yet")
