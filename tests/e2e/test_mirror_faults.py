"""A mirror whose PyPI, disk or programs fail: private packages never notice, nothing is torn."""

from __future__ import annotations

import http.client
import os
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kit import wheel
from kit.commands import run
from kit.http import JSON
from kit.install import with_pip
from kit.mirror import BOB, Mirror, running
from kit.pypi import How
from kit.small_volume import small_volume
from kit.template import ROOT, Render
from kit.user import User, installed
from kit.waiting import wait_until

LONG_AGO = 1_700_000_000
LARGE = 2**20
"""Bytes of a file of which a part is seen before the rest comes."""


@pytest.fixture(scope="module")
def rendered(render: Render) -> Path:
    """A rendered repository with a mirror, which must not be changed."""
    answers = {"template": "server", "https": "none", "unknown_packages": "mirror"}
    return render({**answers, "private_prefixes": ["acme"]})


@pytest.fixture(scope="module")
def mirror(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """All programs, running, with a private library."""
    with running(rendered, tmp_path_factory.mktemp("mirror")) as made:
        wheel.build(made.server.data, "my-private-lib", "0.2.0", origin="us")
        os.utime(made.server.data, (LONG_AGO, LONG_AGO))
        made.wait_until_settled()
        yield made
        assert made.public.memory() < 150 * 2**20
    assert "Traceback" not in made.public.log.read_text()
    made.check_whole()


@pytest.fixture
def lib(mirror: Mirror) -> str:
    """A name on PyPI that no other test has asked for: 1.0, large, of which nothing is kept."""
    name = f"lib-{uuid.uuid4().hex[:8]}"
    noise = {f"{name.replace('-', '_')}/noise": os.urandom(LARGE // 2).hex()}
    mirror.pypi.release(name, "1.0", contents=noise)
    return name


def filename(lib: str) -> str:
    return f"{lib.replace('-', '_')}-1.0-py3-none-any.whl"


def content(mirror: Mirror, lib: str) -> bytes:
    return mirror.pypi.uploads[lib][0].path.read_bytes()


class Download(threading.Thread):
    """A client that downloads a file in the background.

    Attributes:
        received: bytes so far.
        complete: whether all has come that the answer promised, once it is over.
    """

    def __init__(self, mirror: Mirror, lib: str) -> None:
        super().__init__()
        self.received, self.status, self.complete = b"", 0, False
        self._path = f"/public/{lib}/{filename(lib)}"
        self.connection = http.client.HTTPConnection(
            urlsplit(mirror.gateway.url).netloc, timeout=60
        )
        self.start()

    def run(self) -> None:
        with suppress(OSError, http.client.HTTPException):
            self.connection.request("GET", self._path, headers=BOB)
            answer = self.connection.getresponse()
            self.status = answer.status
            while chunk := answer.read1(65536):
                self.received += chunk
            self.complete = answer.status == 200 and answer.length == 0
        self.connection.close()

    def wait_for(self, size: int) -> None:
        """Wait until so many bytes have come."""
        wait_until(lambda: len(self.received) >= size, 20)


# PyPI ---------------------------------------------------------------------------------------------

UNUSABLE: list[How] = ["busy", "html", "broken", "dies", "endless"]


@pytest.mark.parametrize("how", ["slow", "hangs", *UNUSABLE])
def test_whatever_pypi_does_private_packages_install_and_are_published(
    mirror: Mirror, user: User, venv: Path, how: How
) -> None:
    names = [f"{how}-{number}-{uuid.uuid4().hex[:8]}" for number in range(20)]
    for name in names:
        mirror.pypi.release(name, "1.0")
    answers: dict[str, int] = {}

    def ask(name: str) -> None:
        answers[name] = mirror.get(f"/simple/{name}/", JSON).status

    clients = [threading.Thread(target=ask, args=[name]) for name in names]
    with mirror.pypi.failing(how):
        for client in clients:
            client.start()
        wait_until(lambda: all(mirror.pypi.asked_for(name) for name in names), 20)
        with_pip(user, venv, mirror.url, "my-private-lib")
        assert mirror.publish(f"new-{uuid.uuid4().hex[:8]}") == 200
        if how in ("slow", "hangs"):
            assert not answers
        else:
            for client in clients:
                client.join()
            assert set(answers.values()) <= {502, 503}
    for client in clients:
        client.join()

    assert installed(venv) == {"my-private-lib": "0.2.0 from us"}
    mirror.wait_until_settled()
    assert {mirror.get(f"/simple/{name}/").status for name in names} == {200}


@pytest.mark.parametrize("how", ["hangs", *UNUSABLE])
def test_a_kept_page_is_served_while_pypi_gives_none_that_can_be_used(
    mirror: Mirror, lib: str, how: How
) -> None:
    assert mirror.offered(lib) == [filename(lib)]
    mirror.pypi.release(lib, "1.1")
    mirror.public.age(lib)

    with mirror.pypi.failing(how, lib):
        answer = mirror.get(f"/simple/{lib}/", JSON)

    assert answer.status == 200
    assert filename(lib) in answer.body.decode()
    assert answer.headers["Warning"].startswith("110 ")


def test_many_downloads_that_do_not_end_stop_neither_private_packages_nor_pages(
    mirror: Mirror, lib: str, user: User, venv: Path
) -> None:
    names = [f"many-{number}-{uuid.uuid4().hex[:8]}" for number in range(40)]
    for name in names:
        mirror.pypi.release(name, "1.0")
    with ExitStack() as faults:
        for name in names:
            faults.enter_context(mirror.pypi.failing("hangs", name, "files"))
        downloads = [Download(mirror, name) for name in names]
        wait_until(lambda: sum(mirror.pypi.times_asked(f"/{filename(n)}") for n in names) > 20, 20)
        with_pip(user, venv, mirror.url, "my-private-lib")
        assert mirror.publish(f"new-{uuid.uuid4().hex[:8]}") == 200
        assert mirror.offered(lib) == [filename(lib)]
        assert all(download.is_alive() for download in downloads)
    for download in downloads:
        download.join()
        assert download.complete

    assert installed(venv) == {"my-private-lib": "0.2.0 from us"}


@pytest.mark.parametrize("how", ["altered", "wrong-hash"])
def test_a_file_with_a_wrong_hash_is_refused_and_logged_and_not_kept(
    mirror: Mirror, lib: str, user: User, venv: Path, how: How
) -> None:
    with mirror.pypi.failing(how, lib, "files"):
        download = Download(mirror, lib)
        download.join()
        with_pip(user, venv, mirror.url, lib, ok=False)

    assert not download.complete
    assert installed(venv) == {}
    assert not [path for path in mirror.public.kept() if lib in path and "metadata" not in path]
    lines = mirror.public.log.read_text().splitlines()
    assert [line for line in lines if filename(lib) in line and "has the sha256" in line]


@pytest.mark.parametrize("how", ["dies", "busy"])
def test_a_torn_download_leaves_nothing_and_the_next_install_works(
    mirror: Mirror, lib: str, user: User, venv: Path, how: How
) -> None:
    with mirror.pypi.failing(how, lib, "files"):
        download = Download(mirror, lib)
        download.join()
        assert not download.complete
        assert not [path for path in mirror.public.kept() if filename(lib) in path]

    with_pip(user, venv, mirror.url, lib)

    assert installed(venv) == {lib: "1.0 from PyPI"}


def test_a_file_flows_while_pypi_sends_it_and_many_clients_cause_one_download(
    mirror: Mirror, lib: str
) -> None:
    with mirror.pypi.failing("held", lib, "files"):
        downloads = [Download(mirror, lib) for _ in range(5)]
        for download in downloads:
            download.wait_for(LARGE // 4)
        late = Download(mirror, lib)
        late.wait_for(LARGE // 4)
        assert len(late.received) < LARGE
        downloads[0].connection.sock.shutdown(2)  # A client that leaves takes nothing from others.
        downloads[0].join()
    for download in (*downloads[1:], late):
        download.join()
        assert (download.complete, download.received) == (True, content(mirror, lib))

    assert mirror.pypi.times_asked(f"/{filename(lib)}") == 1


def test_a_download_that_all_clients_left_does_no_harm(mirror: Mirror, lib: str) -> None:
    with mirror.pypi.failing("held", lib, "files"):
        download = Download(mirror, lib)
        download.wait_for(LARGE // 4)
        download.connection.sock.shutdown(2)
        download.join()

    again = Download(mirror, lib)
    again.join()

    assert (again.complete, again.received) == (True, content(mirror, lib))


# Programs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [0, 1, 4])
def test_killed_in_a_download_it_keeps_nothing_torn_and_the_next_install_works(
    mirror: Mirror, lib: str, user: User, venv: Path, part: int
) -> None:
    """Killed before the first byte has come, after some, and when all but the last have."""
    other = f"page-{lib}"
    mirror.pypi.release(other, "1.0")
    with mirror.pypi.failing("hangs" if part == 0 else "held", lib, "files"):
        download = Download(mirror, lib)
        wait_until(lambda: mirror.pypi.times_asked(f"/{filename(lib)}"), 20)
        download.wait_for(part * LARGE // 10)
        with mirror.pypi.failing("held", other):
            page = threading.Thread(target=lambda: mirror.get(f"/simple/{other}/"))
            page.start()
            wait_until(lambda: mirror.pypi.asked_for(other), 20)
            mirror.public.kill()
    mirror.public.start()
    download.join()
    page.join()
    # What has not begun, the gateway asks for again.
    assert download.complete is (part == 0)

    mirror.check_whole()
    with_pip(user, venv, mirror.url, lib, other)

    assert installed(venv).keys() == {lib, other}


def test_without_public_private_packages_install_and_public_ones_wait(
    mirror: Mirror, lib: str, user: User, venv: Path
) -> None:
    mirror.public.stop()
    try:
        with_pip(user, venv, mirror.url, "my-private-lib")
        answer = mirror.get(f"/simple/{lib}/")
    finally:
        mirror.public.start()

    assert installed(venv) == {"my-private-lib": "0.2.0 from us"}
    assert answer.status in (502, 503)
    assert mirror.get(f"/simple/{lib}/").status == 200


def test_a_full_disk_of_public_data_lets_everything_install(rendered: Path, tmp_path: Path) -> None:
    """Run tests/kit/full_public_data.py, in mounts of its own that end with it."""
    prefix = small_volume(tmp_path)
    how = ["limit"] if prefix is None else ["mount"]
    said = run(
        *[*(prefix or []), sys.executable, "-m", "kit.full_public_data", *how],
        *(rendered, tmp_path),
        cwd=ROOT / "tests",
        timeout=120,
    )
    assert said.endswith("all is well\n")
