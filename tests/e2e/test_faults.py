"""Faults done to the rendered server in its containers, under load: what is lost, and what goes on.

After every fault the same holds: see RecordedServer.check. docs/faults.md says it in one table.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import requests
import yaml
from kit import damage, full_disk, integrity
from kit.accounts import ALICE, ANNA, htpasswd_line
from kit.background_installs import BackgroundInstalls
from kit.commands import as_root, run
from kit.http import JSON, status
from kit.in_docker import docker
from kit.recorded_server import RecordedServer, launched
from kit.template import ROOT, Render
from kit.waiting import wait_until

pytestmark = pytest.mark.docker

PROJECT = "faults"
ANSWERS = {
    "template": "server",
    "project_name": PROJECT,
    "https": "none",
    "unknown_packages": "refuse",
    "publisher": ALICE[0],
    "publisher_password": ALICE[1],
}
# Publishers do not fill it before all deadlines have passed.
DISK = "size=1g"


@pytest.fixture(scope="module")
def kept(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedServer]:
    """A running server on a small disk of its own, with something to install."""
    folder = tmp_path_factory.mktemp("faults")
    disk, wheels = folder / "disk", folder / "wheels"
    disk.mkdir()
    wheels.mkdir()
    owner = f"uid={os.getuid()},gid={os.getgid()},mode=755"
    as_root("mount", "-t", "tmpfs", "-o", f"{DISK},{owner}", "tmpfs", disk)
    try:
        with launched(render(ANSWERS), disk / "server", wheels) as kept:
            yield kept
    finally:
        as_root("umount", "--lazy", disk)


@pytest.fixture
def installs(kept: RecordedServer, tmp_path: Path) -> BackgroundInstalls:
    """Real clients, not started yet."""
    return BackgroundInstalls(kept, tmp_path)


# Killed processes ---------------------------------------------------------------------------------


def test_private_pypi_killed_amid_12_uploads_loses_nothing_and_no_read_fails(
    kept: RecordedServer, installs: BackgroundInstalls
) -> None:
    restarted = kept.server.inspect("private_pypi")["RestartCount"]
    # With these four, which are alice's, too, it takes hardly more: an account gets another place
    # only if more of the 24 are free than it holds.
    with kept.traffic(publishers=4) as traffic:
        for _ in range(2):
            # Larger than all that the others send: a half tells them from those whole uploads.
            files = [kept.new("half-sent", 1500) for _ in range(12)]
            traffic.go_on(installs=50, uploads=5)
            accounts = [*[ALICE] * 6, *[ANNA] * 6]
            finish = [kept.half_send(*files[n], account) for n, account in enumerate(accounts)]
            kept.wait_for_unfinished(12, len(files[0][1]) // 4)
            installs.start()
            kept.kill("private_pypi")
            assert {finish_one() for finish_one in finish} <= {0, 502}
            traffic.go_on(installs=100, uploads=10)
            installs.finish()
            for file, content in files:
                assert not (kept.data / file).exists()
                assert kept.publish(file, content) == (200, "")
    kept.add(traffic)
    assert kept.server.inspect("private_pypi")["RestartCount"] == restarted + 2
    kept.check()


@pytest.mark.parametrize("how", ["killed", "stopped and started"])
def test_clients_that_retry_come_through_when_the_gateway_goes(
    kept: RecordedServer, installs: BackgroundInstalls, how: str
) -> None:
    gateway, impatient = f"{PROJECT}-gateway-1", BackgroundInstalls(kept, installs.folder)
    with kept.traffic(retrying=True) as traffic:
        traffic.go_on(installs=50, uploads=10)
        if how == "killed":
            kept.kill("gateway")
        else:
            docker("stop", gateway)
        # uv waits for a random time before it asks again: its usual three times may be too soon.
        installs.start(retries=10)
        if how != "killed":
            # When these have given up, those have asked in vain, too.
            impatient.start(pip=1, uv=1)
            try:
                impatient.fail()
            finally:
                docker("start", gateway)
        traffic.go_on(installs=100, uploads=30)
        installs.finish()
    kept.add(traffic)
    assert traffic.lost, "nobody noticed that the gateway was gone"
    kept.check()


def test_containers_come_back_by_themselves_with_the_docker_daemon(kept: RecordedServer) -> None:
    """Run tests/kit/restarted_daemon.py, in namespaces of its own that end with it."""
    # Not in a folder of pytest's: the path of a socket has 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="daemon-", dir="/var/tmp"))
    sudo = [] if os.getuid() == 0 else ["sudo", "--non-interactive", "--preserve-env"]
    command = ["env", f"PATH={os.environ['PATH']}", "unshare", "--net", "--mount"]
    command += [sys.executable, "-m", "kit.restarted_daemon", str(kept.server.folder), str(folder)]
    try:
        said = run(*sudo, *command, cwd=ROOT / "tests", timeout=400)
    finally:
        as_root("rm", "-rf", folder)
    assert said.endswith("all is well\n")


# Disks --------------------------------------------------------------------------------------------


def test_a_full_disk_refuses_uploads_and_serves_reads_until_space_is_freed(
    kept: RecordedServer, installs: BackgroundInstalls
) -> None:
    filler, reserve = kept.server.folder / "filler", kept.server.folder / "reserve"
    file, content = kept.new("fits-not", 300)
    with kept.traffic(publishers=0) as traffic:
        disk = os.statvfs(kept.server.folder)
        with reserve.open("wb") as most:
            # The rest is filled page by page, which takes its time.
            os.posix_fallocate(most.fileno(), 0, disk.f_bavail * disk.f_frsize - 2**24)
        try:
            for pages in (0, 1, 3, 10):
                full_disk.fill(filler, pages)
                for _ in range(2):
                    assert kept.publish(file, content) == (507, full_disk.SENTENCE)
                filler.unlink()
            full_disk.fill(filler, 0)
            installs.start()
            traffic.go_on(installs=100)
            installs.finish()
            assert list((kept.data / ".uploads").iterdir()) == []
            kept.check_listed()
        finally:
            filler.unlink()
            reserve.unlink()
        assert kept.publish(file, content) == (200, "")
    kept.add(traffic)
    assert "No space left on device" in kept.server.logs()
    kept.check()


@pytest.mark.parametrize("how", ["its mode", "its mount"])
def test_a_data_folder_that_cannot_be_written_refuses_uploads_and_serves_reads(
    kept: RecordedServer, installs: BackgroundInstalls, how: str
) -> None:
    def set_writable(writable: bool) -> None:
        if how == "its mode":
            folders = [kept.data, kept.data / ".uploads"]
            as_root("chmod", "u+w" if writable else "u-w", *folders)
        else:
            options = f"remount,bind,{'rw' if writable else 'ro'}"
            inside = ["nsenter", "--mount", "--target", str(kept.process("private_pypi"))]
            as_root(*inside, "mount", "-o", options, "/srv/pypi_data")

    reason = {"its mode": "Permission denied", "its mount": "Read-only file system"}[how]
    file, content = kept.new("refused", 300)
    with kept.traffic(publishers=0) as traffic:
        set_writable(False)
        try:
            installs.start(pip=1, uv=1)
            for _ in range(3):
                answer, sentence = kept.publish(file, content)
                assert answer == 500
                assert sentence.startswith(f"The disk of the index is not usable ({reason}): ")
            traffic.go_on(installs=100)
            installs.finish()
            logged = [line for line in kept.server.logs().splitlines() if reason in line]
            assert any("a request failed" in line for line in logged)
            assert not (kept.data / file).exists()
            kept.check_listed()
        finally:
            set_writable(True)
        assert kept.publish(file, content) == (200, "")
    kept.add(traffic)
    wait_until(lambda: kept.is_healthy("private_pypi"))
    kept.check()


# Files edited by hand, and half-written -----------------------------------------------------------

OTHER = ("carol", "carols-password")
READER = ("bob", "bobs-password")


def put(file: Path, content: bytes) -> None:
    """Give a file other content in one step: who looks at it meanwhile never finds it empty."""
    new = file.with_name("new")
    new.write_bytes(content)
    before = file.stat()
    new.chmod(before.st_mode)
    os.chown(new, before.st_uid, before.st_gid)
    new.replace(file)


def gets_in(kept: RecordedServer, account: tuple[str, str]) -> bool:
    """Return whether gateway and private_pypi let an account in, once they agree about it.

    Private_pypi looks at the accounts for each request, the gateway has them a second later. It
    answers for the page alone, and passes on what is asked of a file that is not there.
    """
    answers = (0, 0)

    def is_agreed() -> bool:
        nonlocal answers
        page, file = (f"{kept.server.url}/{path}" for path in ("simple/seed-0/", "packages/no.whl"))
        answers = status(page, *account), status(file, *account)
        # A gateway that takes over other accounts may drop a new connection (golang/go#75591).
        assert answers[0] in (0, 200, 401)
        assert answers[1] in (0, 401, 404)
        return answers in ((200, 404), (401, 401))

    wait_until(is_agreed)
    return answers == (200, 404)


def wait_for_accounts(kept: RecordedServer, inside: set[tuple[str, str]]) -> None:
    """Wait until just these of the three accounts get in."""
    for account in (ALICE, OTHER, READER):
        wait_until(lambda account=account: gets_in(kept, account) is (account in inside))  # type: ignore[misc]


@pytest.fixture
def publishers(kept: RecordedServer) -> Iterator[Path]:
    """The htpasswd file of alice and carol, beside which bob's is and stays whole."""
    file = kept.server.folder / "pypi_auth/.htpasswd"
    readers = file.with_name(".htpasswd-readers")
    before = file.read_bytes()
    put(file, (htpasswd_line(*ALICE) + htpasswd_line(*OTHER)).encode())
    readers.write_text(htpasswd_line(*READER))
    owner = file.stat()
    os.chown(readers, owner.st_uid, owner.st_gid)
    wait_for_accounts(kept, {ALICE, OTHER, READER})
    yield file
    put(file, before)
    readers.unlink()
    wait_for_accounts(kept, {ALICE})
    # The gateway has just taken that over, and may yet drop a connection.
    wait_until(lambda: kept.publish(*kept.new()) == (200, ""))
    kept.check()


HALF_WRITTEN: dict[str, tuple[Callable[[bytes], bytes], set[tuple[str, str]], str]] = {
    "a torn hash": (
        lambda whole: whole[:-20],
        {ALICE},
        "pypi_auth/.htpasswd line 2: the bcrypt hash of carol is damaged",
    ),
    "a torn name": (
        lambda whole: whole[: whole.index(b"carol:") + 3],
        {ALICE},
        "pypi_auth/.htpasswd line 2: not a line user:hash",
    ),
    "a lost line end": (
        lambda whole: whole.replace(b"\ncarol", b"carol"),
        set(),
        "pypi_auth/.htpasswd line 1: the bcrypt hash of alice is damaged",
    ),
    "another encoding": (
        lambda whole: whole.decode().encode("utf-16-le"),
        set(),
        "pypi_auth/.htpasswd line 1: that user name cannot be used",
    ),
    "nothing at all": (
        lambda whole: b"",
        set(),
        "pypi_auth/.htpasswd has no account: nobody may publish",
    ),
    "zeros": (
        lambda whole: bytes(len(whole)),
        set(),
        "pypi_auth/.htpasswd line 1: not a line user:hash",
    ),
}


def test_a_half_written_htpasswd_shuts_out_whose_line_is_not_whole_and_nobody_else(
    kept: RecordedServer, publishers: Path
) -> None:
    whole = publishers.read_bytes()
    for write, stay, complaint in HALF_WRITTEN.values():
        assert complaint not in kept.server.logs()
        put(publishers, write(whole))
        wait_until(lambda complaint=complaint: complaint in kept.server.logs())  # type: ignore[misc]
        wait_for_accounts(kept, {READER, *stay})
    assert not gets_in(kept, (OTHER[0], ""))
    put(publishers, whole)
    wait_for_accounts(kept, {ALICE, OTHER, READER})


def test_without_any_account_nobody_gets_in_until_there_is_one(
    kept: RecordedServer, publishers: Path
) -> None:
    readers = publishers.with_name(".htpasswd-readers")
    whole = {file: file.read_bytes() for file in (publishers, readers)}
    for file in whole:
        put(file, b"")
    wait_for_accounts(kept, set())
    for account in (("", ""), ("alice", ""), ("#", "Made")):
        assert not gets_in(kept, account)
    for file, content in whole.items():
        put(file, content)
    wait_for_accounts(kept, {ALICE, OTHER, READER})


def cut(file: Path, before: str) -> None:
    whole = file.read_text()
    file.write_text(whole[: whole.index(before)])


NOT_WHOLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, " finds no such file to read; restore it"),
    "unreadable": (lambda file: file.chmod(0), " finds no such file to read; restore it"),
    "cut before its last site": (lambda file: cut(file, "# For the"), "it lacks the site :2020"),
    "cut in its last site": (lambda file: cut(file, '\trespond "ok"\n}'), "see above: correct it"),
}


def test_a_caddyfile_that_is_not_whole_is_named_and_the_old_one_goes_on(
    kept: RecordedServer,
) -> None:
    caddyfile = kept.server.folder / "gateway/Caddyfile"
    live = kept.server.folder / "gateway/live"
    whole = caddyfile.read_text()

    def seen() -> list[tuple[str, int, int]]:
        """Return all that the gateway could see a change of."""
        stats = [(path.name, path.stat()) for path in sorted(live.iterdir())]
        return [(name, stat.st_ino, stat.st_mtime_ns) for name, stat in stats]

    before = seen()
    # Root reads what has mode 000, too, but without these capabilities.
    never = "-dac_override,-dac_read_search"
    stoppable = ["setpriv", "--inh-caps", never, "--bounding-set", never]
    with kept.traffic(readers=10, publishers=2) as traffic:
        try:
            for how, (spoil, complaint) in NOT_WHOLE.items():
                spoil(caddyfile)
                said = run(
                    *(stoppable if os.getuid() == 0 else []),
                    *("make", "pypi-launch"),
                    cwd=kept.server.folder,
                    ok=False,
                )
                assert "error: the gateway cannot use gateway/Caddyfile" in said, how
                assert complaint in said, how
                assert seen() == before, how
                caddyfile.unlink(missing_ok=True)
                caddyfile.write_text(whole)
        finally:
            caddyfile.unlink(missing_ok=True)
            caddyfile.write_text(whole)
        kept.server.make("pypi-launch")
        traffic.go_on(installs=10, uploads=2)
    kept.add(traffic)
    kept.check()


# Clocks -------------------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_changes_nothing_that_was(kept: RecordedServer) -> None:
    back = timedelta(days=30)
    clock = clock_of_its_own(kept)
    early, late, by_hand = kept.new("early"), kept.new("late"), kept.new("by-hand")
    assert kept.publish(*early) == (200, "")
    before = listed(kept, early[0])
    began = datetime.now(timezone.utc)

    clock.write_text(f"{-back.total_seconds()}")
    assert kept.publish(*late) == (200, "")
    assert listed(kept, early[0]) == before
    uploaded = datetime.fromisoformat(
        str(listed(kept, late[0])["upload-time"]).replace("Z", "+00:00")
    )
    assert abs(began - back - uploaded) < timedelta(minutes=5)
    (kept.data / by_hand[0]).write_bytes(by_hand[1])
    kept.published[by_hand[0]] = integrity.digest(by_hand[1])
    wait_until(lambda: by_hand[0] in {path.name for path in (kept.index / "packages").iterdir()})

    # What was said last holds, whatever time it was said at.
    package, version = early[0].split("-")[:2]
    clock.write_text("0")
    kept.server.make("pypi-yank", f"PKG={package}", f"VERSION={version}")
    assert listed(kept, early[0])["yanked"]
    clock.write_text(f"{-2 * back.total_seconds()}")
    kept.server.make("pypi-unyank", f"PKG={package}", f"VERSION={version}")
    assert listed(kept, early[0]) == before
    # It would write to what is being deleted.
    docker("pause", f"{PROJECT}-private_pypi-1")
    try:
        for path in kept.index.iterdir():
            damage.delete(path)
    finally:
        docker("unpause", f"{PROJECT}-private_pypi-1")
    assert kept.server.make("pypi-index")
    assert listed(kept, early[0]) == before
    kept.check()

    clock.write_text("0")
    assert listed(kept, early[0]) == before
    kept.check()
    lines = (kept.data / ".journal.jsonl").read_text().splitlines()
    files = [json.loads(text)["file"] for text in lines]
    assert files.index(early[0]) < files.index(late[0]) < files.index(by_hand[0])


CLOCK = """
import time


def shifted(clock, unit):
    def now():
        with open("/clock/seconds") as file:
            return clock() + type(clock())(float(file.read() or 0) * unit)

    return now


time.time, time.time_ns = shifted(time.time, 1), shifted(time.time_ns, 10**9)
"""


def clock_of_its_own(kept: RecordedServer) -> Path:
    """Launch private_pypi with a clock that can be set; return the file that says by how much.

    libfaketime would do that for every program, but has Python's time.sleep() fail (0.9.10).
    """
    folder = kept.server.folder / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(CLOCK)
    seconds = folder / "seconds"
    seconds.write_text("0")
    compose = kept.server.folder / "docker-compose.pypi.yml"
    model = yaml.safe_load(compose.read_text())
    service = model["services"]["private_pypi"]
    service["volumes"].append("./clock:/clock:ro")
    service["environment"]["PYTHONPATH"] = "/clock"
    compose.write_text(yaml.safe_dump(model))
    kept.server.make("pypi-launch")
    return seconds


def listed(kept: RecordedServer, file: str) -> dict[str, object]:
    """Return what the page of its project says of a file."""
    project = file.split("-")[0].replace("_", "-")
    page = requests.get(
        f"{kept.server.url}/simple/{project}/", headers=JSON, auth=ALICE, timeout=30
    )
    (found,) = [one for one in page.json()["files"] if one["filename"] == file]
    assert isinstance(found, dict)
    return found
