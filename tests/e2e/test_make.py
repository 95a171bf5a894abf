"""The rendered server's Makefile, without Docker or with a stand-in for it that fails as told."""

from __future__ import annotations

import json
import os
import pty
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pexpect  # type: ignore[import-untyped]
import pytest
from kit import exfat, wheel
from kit.http import status
from kit.ports import free_port
from kit.template import PASSWORD, QUESTIONS, Render

HASH = "$2y$04$private.pypi.tests..uugfvOQnbet/tUFgFlRVT9OR15g5aLe82"
ANSWERS = {"template": "server", "project_name": "pypi-make", "https": "none"}


class Repository:
    """A rendered server repository and the environment its owner calls make in.

    Attributes:
        path: the folders in which the owner's programs are looked for.
        surroundings: more variables.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.surroundings: dict[str, str] = {}
        self.path = [str(Path(sys.executable).parent), *os.environ["PATH"].split(os.pathsep)]

    def environment(self) -> dict[str, str]:
        """Return the environment, where USER is the login name as everywhere."""
        path = os.pathsep.join(self.path)
        return {**os.environ, "PATH": path, "USER": "login-name", **self.surroundings}

    def make(self, *arguments: str, typed: str = "", ok: bool = True) -> str:
        """Run make and return all it printed."""
        running = self.start(*arguments)
        try:
            said, _ = running.communicate(typed, timeout=100)
        except subprocess.TimeoutExpired:
            # What make started must not outlive the test.
            os.killpg(running.pid, signal.SIGKILL)
            said, _ = running.communicate()
            raise AssertionError(f"make {arguments} did not end:\n{said}") from None
        assert (running.returncode == 0) is ok, said
        assert "Traceback" not in said
        return said

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start make at a prompt of its own, so that Ctrl-C reaches all that it starts."""
        return subprocess.Popen(
            ["make", *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def targets(self) -> list[str]:
        """Return the targets that have a line of help."""
        text = (self.folder / "Makefile").read_text()
        return re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE)


@pytest.fixture
def rendered_here(render: Render, tmp_path: Path) -> Repository:
    """A repository of the test's own."""
    folder = tmp_path / "server"
    shutil.copytree(render(ANSWERS), folder, symlinks=True)
    return Repository(folder)


# Help ---------------------------------------------------------------------------------------------


def test_make_alone_lists_every_target_by_category(rendered_here: Repository) -> None:
    said = rendered_here.make()

    assert said == rendered_here.make("help")
    assert re.findall(r"^([A-Z]\w+)$", said, re.MULTILINE) == [
        *("Server", "Accounts", "Index", "Upkeep"),
    ]
    assert re.findall(r"^  ([a-z-]+) +[A-Z]", said, re.MULTILINE) == rendered_here.targets()


def test_help_fits_into_a_hundred_columns(rendered_here: Repository) -> None:
    assert [line for line in rendered_here.make().splitlines() if len(line) > 99] == []


def test_every_target_is_documented_or_made_by_another(rendered_here: Repository) -> None:
    makefile = (rendered_here.folder / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)

    documented = rendered_here.targets()

    assert {
        *("pypi-launch", "pypi-reload", "pypi-stop", "pypi-restart", "pypi-logs", "pypi-status"),
        "pypi-local",
        *("pypi-user-add", "pypi-user-passwd", "pypi-user-remove", "pypi-user-list"),
        *("pypi-trust", "pypi-trust-list", "pypi-trust-remove"),
        *("pypi-yank", "pypi-unyank", "pypi-remove", "pypi-mark", "pypi-index", "pypi-verify"),
        *("pypi-audit", "pypi-journal-repair"),
        *("template-check", "template-update"),
    } <= set(documented)
    assert set(phony.replace("\\", "").split()) == {"image", "need-copier", *documented}


def test_help_has_no_colour_when_it_is_piped(rendered_here: Repository) -> None:
    assert "\033" not in rendered_here.make("help")


def test_help_has_colour_on_a_terminal(rendered_here: Repository) -> None:
    ours, theirs = pty.openpty()
    subprocess.run(
        ["make"],
        cwd=rendered_here.folder,
        env=rendered_here.environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        check=True,
    )
    os.close(theirs)
    said = read_to_the_end(ours)

    assert "\033[1mServer\033[0m" in said
    assert re.search("  \033\\[36mpypi-launch +\033\\[0m Build and start", said)


def read_to_the_end(terminal: int) -> str:
    """Return what a terminal shows, which comes in pieces; the last of it is an error on Linux."""
    said = b""
    with os.fdopen(terminal, "rb", buffering=0) as raw, suppress(OSError):
        while piece := raw.read(65536):
            said += piece
    return said.decode()


@pytest.mark.parametrize("local", [(), ("LOCAL=1",)])
def test_every_target_can_be_asked_what_it_would_do(
    rendered_here: Repository, local: tuple[str, ...]
) -> None:
    for target in ["image", *rendered_here.targets()]:
        assert rendered_here.make(
            "-n", target, "USER=alice", "PKG=lib", "VERSION=1", "STATUS=active", *local
        )


@pytest.mark.parametrize("target", ["template-check", "template-update"])
def test_without_copier_it_says_so_and_what_to_do(rendered_here: Repository, target: str) -> None:
    said = rendered_here.make(target, "COPIER=no-such-copier --quiet", ok=False)

    assert "error: neither uv nor Copier is installed: install uv, or Copier with" in said


# Logs on a terminal -------------------------------------------------------------------------------

HEARD = r"gateway-1 | \302\233[31m\033[2J\342\200\256gnp\r"
"""What printf makes a log line of that a terminal would act on."""
DOCKER = f"""#!/bin/sh
case "$*" in
*" version "*) echo 2.40.0 ;;
*" up "*) exit 1 ;;
*" logs "*--follow*) printf '{HEARD}\nand on\n' && exec sleep 100 ;;
*" logs "*) printf '{HEARD}\nand on\n' ;;
esac
"""


@pytest.fixture
def with_heard(rendered_here: Repository, tmp_path: Path) -> Repository:
    """A repository whose engine has such a line in its logs, and starts nothing."""
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    rendered_here.path.insert(0, str(docker.parent))
    return rendered_here


def on_a_terminal(repository: Repository, target: str) -> Any:
    """Run make on a terminal."""
    environment: Any = repository.environment()
    return pexpect.spawn(
        "make",
        [target],
        cwd=repository.folder,
        env=environment,
        timeout=20,
        # What runs the tests may have started them to ignore it, as a shell does in the background.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def test_the_logs_are_followed_at_once_and_do_nothing_to_the_terminal(
    with_heard: Repository,
) -> None:
    terminal = on_a_terminal(with_heard, "pypi-logs")
    # The program that it follows goes on.
    terminal.expect_exact(b"and on\r\n")
    assert terminal.before == b"gateway-1 | ??[31m?[2J???gnp?\r\n"
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus or terminal.signalstatus


def test_logs_that_go_elsewhere_are_as_they_are(with_heard: Repository) -> None:
    running = with_heard.start("pypi-logs")
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == "gateway-1 | \x9b[31m\x1b[2J\u202egnp\n"
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.communicate()


def test_the_last_log_lines_of_a_failed_launch_do_nothing_to_the_terminal(
    with_heard: Repository,
) -> None:
    terminal = on_a_terminal(with_heard, "pypi-launch")
    terminal.expect(pexpect.EOF)
    said = terminal.before.decode()
    terminal.close()
    assert "gateway-1 | ??[31m?[2J???gnp?\r\nand on\r\n" in said
    assert terminal.exitstatus == 2
    assert [line for line in said.split("\r\n") if not line.isprintable()] == []


# Status -------------------------------------------------------------------------------------------


def test_the_status_counts_distributions_alone(with_heard: Repository) -> None:
    data = with_heard.folder / "pypi_data"
    (data / "team").mkdir()
    for name in ("lib-1.0.tar.gz", "team/lib-1.0-py3-none-any.whl"):
        (data / name).write_bytes(b"")
        (data / f"{name}.asc").write_bytes(b"")
    (data / ".journal.jsonl").write_bytes(b"")

    assert re.search(r"^2 distributions, ", with_heard.make("pypi-status"), re.M)


# Without Docker -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository whose environment make has installed, from the hashed requirements."""
    folder = tmp_path_factory.mktemp("make") / "server"
    shutil.copytree(render(ANSWERS), folder, symlinks=True)
    repository = Repository(folder)
    # The tests' own environment must not lend it anything.
    repository.path = repository.path[1:]
    repository.make(f"PYTHON={sys.executable}", ".venv/installed")
    return repository


def test_a_python_that_is_too_old_is_refused(rendered_here: Repository, tmp_path: Path) -> None:
    old = tmp_path / "python"
    # What it is asked first is whether it is too old.
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)

    said = rendered_here.make("pypi-local", f"PYTHON={old}", ok=False)

    assert f"error: {old} is older than Python 3.10: say which to use with PYTHON=\n" in said
    assert not (rendered_here.folder / ".venv").exists()


@pytest.fixture
def local(installed: Repository) -> Repository:
    """The same without accounts."""
    for file in (installed.folder / "pypi_auth").glob(".htpasswd*"):
        file.unlink()
    return installed


def test_the_index_runs_without_docker_on_what_its_requirements_say(local: Repository) -> None:
    port = free_port()
    said = local.make("pypi-local", f"PORT={port}", ok=False)
    assert "error: there is no account yet: run make pypi-user-add USER=admin" in said

    said = local.make("pypi-user-add", "LOCAL=1", "USER=alice", "ROLE=publisher")
    found = re.fullmatch(
        r"alice may publish and install\.\npassword: ([A-Za-z0-9]{32})\nIt is shown .*\n", said
    )
    assert found, said
    running = local.start("pypi-local", f"PORT={port}")
    try:
        deadline = time.monotonic() + 30
        while status(f"http://127.0.0.1:{port}/health", "", "") != 200:
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert status(f"http://127.0.0.1:{port}/simple/", "alice", found[1]) == 200
        assert status(f"http://127.0.0.1:{port}/simple/", "alice", "wrong") == 401
        assert f"cannot listen on port {port} of 127.0.0.1" in local.make(
            "pypi-local", f"PORT={port}", ok=False
        )
        local.make("pypi-user-remove", "LOCAL=1", "USER=alice")
        assert status(f"http://127.0.0.1:{port}/simple/", "alice", found[1]) == 401
    finally:
        # Ctrl-C reaches all of them.
        os.killpg(running.pid, signal.SIGINT)
        try:
            logged, _ = running.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            raise
    assert status(f"http://127.0.0.1:{port}/health", "", "") == 0
    assert found[1] not in logged


def test_accounts_are_kept_without_docker(local: Repository) -> None:
    said = local.make("pypi-user-add", "LOCAL=1", "USER=bob", "PASSWORD_STDIN=1", typed=PASSWORD)
    assert said == "bob may install, not publish.\n"
    assert "bob already exists as reader" in local.make(
        "pypi-user-add", "LOCAL=1", "USER=bob", ok=False
    )

    before = (local.folder / "pypi_auth/.htpasswd-readers").read_text()
    said = local.make("pypi-user-passwd", "LOCAL=1", "USER=bob")
    assert re.search(r"^password: [A-Za-z0-9]{32}$", said, re.MULTILINE)
    assert (local.folder / "pypi_auth/.htpasswd-readers").read_text() != before

    said = local.make("pypi-user-list", "LOCAL=1")
    assert re.search(r"^bob +reader +bcrypt +all +- +unknown$", said, re.MULTILINE)

    assert local.make("pypi-user-remove", "LOCAL=1", "USER=bob") == "bob is shut out.\n"
    assert "'bob' has no account" in local.make("pypi-user-remove", "LOCAL=1", "USER=bob", ok=False)


@pytest.mark.parametrize("port", ["0; touch pwned", "$(shell touch pwned)", "`touch pwned`"])
def test_no_shell_ever_runs_what_stands_in_a_port(local: Repository, port: str) -> None:
    (local.folder / "pypi_auth/.htpasswd").write_text(f"alice:{HASH}\n")

    assert "error: PYPI_PORT is" in local.make("pypi-local", f"PORT={port}", ok=False)
    assert not (local.folder / "pwned").exists()


@pytest.mark.parametrize("target", ["pypi-user-add", "pypi-user-passwd", "pypi-user-remove"])
def test_who_is_logged_in_is_not_taken_for_the_account(local: Repository, target: str) -> None:
    said = local.make(target, "LOCAL=1", ok=False)

    assert f"error: say which account: make {target} USER=name" in said
    assert "login-name" not in said


@pytest.mark.parametrize("target", ["pypi-yank", "pypi-unyank", "pypi-remove"])
@pytest.mark.parametrize("given", [(), ("PKG=lib",), ("VERSION=1",), ("PKG=", "VERSION=1")])
def test_a_release_has_a_name_and_a_version(
    local: Repository, target: str, given: tuple[str, ...]
) -> None:
    local.surroundings = {"PKG": "environment", "VERSION": "environment"}

    said = local.make(target, "LOCAL=1", *given, ok=False)

    assert f"error: say which release: make {target} PKG=name VERSION=1.0" in said
    assert "environment" not in said


def test_releases_are_withdrawn_without_docker(local: Repository) -> None:
    data, release = local.folder / "pypi_data", ("LOCAL=1", "PKG=My.Lib", "VERSION=1.0")
    file = wheel.build(data, "my-lib", "1.0", origin="us")
    os.utime(file, (0, 0))

    assert "1 distributions of 1 projects" in local.make("pypi-index", "LOCAL=1")
    page = local.folder / "pypi_index/simple/my-lib/index.html"
    local.make("pypi-yank", *release, "REASON=it's $broken; #1")
    assert "it&#x27;s $broken; #1" in page.read_text()
    local.make("pypi-unyank", *release)
    assert "data-yanked" not in page.read_text()
    local.make("pypi-verify", "LOCAL=1")
    assert "YES=1" in local.make("pypi-remove", *release, ok=False)
    assert file.exists()
    local.make("pypi-remove", *release, "YES=1")
    assert not file.exists()

    journal = [json.loads(line) for line in (data / ".journal.jsonl").read_text().splitlines()]
    done_by = {line["by"] for line in journal if line["action"] in ("yank", "unyank", "remove")}
    assert done_by == {pwd.getpwuid(os.getuid()).pw_name}


@pytest.mark.parametrize("given", [(), ("PKG=lib",), ("STATUS=archived",), ("PKG=", "STATUS=x")])
def test_a_mark_has_a_name_and_a_status(local: Repository, given: tuple[str, ...]) -> None:
    local.surroundings = {"PKG": "environment", "STATUS": "environment"}

    said = local.make("pypi-mark", "LOCAL=1", *given, ok=False)

    assert "error: say which project and status: make pypi-mark PKG=name STATUS=quaran" in said
    assert "environment" not in said


def test_a_project_is_marked_without_docker_with_what_was_typed(local: Repository) -> None:
    data = local.folder / "pypi_data"
    os.utime(wheel.build(data, "marked-lib", "1.0", origin="us"), (0, 0))
    local.make("pypi-index", "LOCAL=1")
    file = local.folder / "pypi_index/packages/marked_lib-1.0-py3-none-any.whl"
    reason = "it's $(touch pwned) `touch pwned` $broken; #1"

    said = local.make(
        "pypi-mark", "LOCAL=1", "PKG=Marked.Lib", "STATUS=quarantined", f"REASON={reason}"
    )

    assert "marked-lib is quarantined: none of its files is served" in said
    assert not file.exists()
    assert f"quarantined: {reason}\n" in local.make("pypi-audit", "LOCAL=1", "PKG=marked_lib")
    local.make("pypi-verify", "LOCAL=1")
    status = "$(touch pwned)"
    said = local.make("pypi-mark", "LOCAL=1", "PKG=marked-lib", f"STATUS={status}", ok=False)
    assert f"error: there is no status '{status}': use active, archived, deprecated or" in said
    said = local.make("pypi-mark", "LOCAL=1", "PKG=$(touch pwned)", "STATUS=active", ok=False)
    assert "error: this index has no project $(touch pwned)" in said
    local.make("pypi-mark", "LOCAL=1", "PKG=marked-lib", "STATUS=active")
    assert file.exists()
    assert not (local.folder / "pwned").exists()


# With a stand-in for Docker -----------------------------------------------------------------------

Docker = Callable[[str], Repository]

STAND_IN = """#!/bin/sh
printf '%s\\n' "$@" end >> {calls}
case "$*" in
{cases}
"info") ;;
"compose version --short") echo 2.40.3 ;;
*" private_pypi check")
	PYTHONPATH=private_pypi exec {python} -m private_pypi check ;;
*" accounts follow --once")
	export PYTHONPATH=private_pypi PYPI_GATEWAY=gateway/accounts
	exec {python} -m private_pypi follow --once ;;
esac
"""


@pytest.fixture
def docker(rendered_here: Repository, tmp_path: Path) -> Docker:
    """Put a docker first on the path that works, but for the given lines of a shell's case."""

    def install(cases: str = "") -> Repository:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "docker").write_text(
            STAND_IN.format(calls=tmp_path / "calls", cases=cases, python=sys.executable)
        )
        (folder / "docker").chmod(0o755)
        rendered_here.path.insert(0, str(folder))
        return rendered_here

    return install


@pytest.fixture
def account(rendered_here: Repository) -> None:
    """One publisher, so that the index may start."""
    (rendered_here.folder / "pypi_auth/.htpasswd").write_text(f"alice:{HASH}\n")


def calls(repository: Repository) -> Iterator[list[str]]:
    """Yield the arguments of each call of docker."""
    text = (repository.folder.parent / "calls").read_text()
    for call in text.split("\nend\n"):
        yield call.split("\n")


NEED_DOCKER = ["pypi-launch", "pypi-user-add", "pypi-user-list"]


@pytest.mark.parametrize("target", NEED_DOCKER)
def test_without_docker_it_says_so_and_what_to_do(
    rendered_here: Repository, tmp_path: Path, target: str
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("make", "sh", "awk", "ls", "mkdir", "id", "chmod", "chown", "cp", "rm", "cat"):
        (tools / name).symlink_to(str(shutil.which(name)))
    rendered_here.path = [str(tools)]

    assert (
        "error: docker is not installed: install Docker Engine, or run make pypi-local without it"
    ) in rendered_here.make(target, "USER=alice", ok=False)


@pytest.mark.parametrize("target", NEED_DOCKER)
@pytest.mark.parametrize(
    ("cases", "complaint"),
    [
        (
            '"info") echo "permission denied" >&2; exit 1 ;;',
            r"the Docker engine does not answer: start it, or let \S+ use it \(group docker\)",
        ),
        (
            '"compose "*) echo "docker: \'compose\' is not a docker command." >&2; exit 1 ;;',
            "Docker has no compose plugin: install docker-compose-plugin 2.20 or newer",
        ),
        (
            '"compose version --short") echo 2.19.1 ;;',
            "Docker Compose is 2.19.1: install 2.20 or newer",
        ),
    ],
    ids=["engine", "plugin", "age"],
)
def test_a_docker_that_cannot_do_it_is_refused_with_what_to_do(
    docker: Docker, target: str, cases: str, complaint: str
) -> None:
    said = docker(cases).make(target, "USER=alice", ok=False)

    assert re.search(f"^error: {complaint}$", said, re.MULTILINE), said


@pytest.mark.parametrize("version", ["1.29.2", "2.2.3", "2.9.0", "v2.19.1", "2.19.99", "dev"])
def test_a_compose_that_is_too_old_is_refused(docker: Docker, account: None, version: str) -> None:
    repository = docker(f'"compose version --short") echo {version} ;;')

    assert "install 2.20 or newer" in repository.make("pypi-launch", ok=False)


@pytest.mark.parametrize("version", ["2.20.0", "v2.20.3", "2.20.2-desktop.1", "2.100.0", "5.6.1"])
def test_a_compose_that_is_new_enough_launches(docker: Docker, account: None, version: str) -> None:
    repository = docker(f'"compose version --short") echo {version} ;;')

    assert repository.make("pypi-launch").endswith("The index is at http://127.0.0.1:8080/\n")


def test_launch_builds_checks_and_waits_in_this_order(docker: Docker, account: None) -> None:
    repository = docker("")
    repository.make("pypi-launch")

    called = [" ".join(call) for call in calls(repository)]
    order = [" build ", " private_pypi check", " accounts follow --once", " up --detach --wait "]
    found = [next(i for i, call in enumerate(called) if step in call) for step in order]
    assert found == sorted(found)


TELL_GATEWAY = "exec --no-TTY gateway kill -USR1 1"
RUNS = '*" ps --quiet --status running gateway") echo 0123456789ab ;;\n'


def test_reload_validates_before_it_tells_the_gateway(docker: Docker) -> None:
    repository = docker(RUNS)

    said = repository.make("pypi-reload")

    assert said == "The gateway reads its Caddyfile and certificate again.\n"
    called = [" ".join(call) for call in calls(repository)]
    order = [" caddy validate ", f" {TELL_GATEWAY}"]
    found = [next(i for i, call in enumerate(called) if step in call) for step in order]
    assert found == sorted(found)
    # Only who has a certificate of their own has it checked.
    assert not any(" certificate " in call for call in called)


def test_reload_tells_the_gateway_nothing_that_it_would_refuse(docker: Docker) -> None:
    repository = docker(RUNS + '*" caddy validate "*) echo "unrecognized directive"; exit 1 ;;')
    live = repository.folder / "gateway/live/Caddyfile"

    said = repository.make("pypi-reload", ok=False)

    assert "unrecognized directive\nerror: the gateway cannot use gateway/Caddyfile" in said
    assert not live.exists()
    assert not any("kill" in call for call in calls(repository))


@pytest.mark.parametrize("https", ["certificate", "none"])
def test_launch_has_a_running_gateway_read_a_certificate_of_ones_own_again(
    docker: Docker, account: None, render: Render, https: str
) -> None:
    repository = docker("")
    rendered = render({**ANSWERS, "https": https})
    for name in ("Makefile", ".pypi.env", "gateway/Caddyfile"):
        shutil.copy(rendered / name, repository.folder / name)

    repository.make("pypi-launch")

    called = [" ".join(call) for call in calls(repository)]
    steps = (" private_pypi certificate ", " up --detach ", f" {TELL_GATEWAY}")
    found = [step for call in called for step in steps if step in call]
    assert found == (list(steps) if https == "certificate" else [steps[1]])


def test_launch_replaces_containers_only_if_their_folder_was_deleted(
    docker: Docker, account: None
) -> None:
    repository = docker("")
    repository.make("pypi-launch")
    assert "--force-recreate" not in (repository.folder.parent / "calls").read_text()

    for number, deleted in enumerate(("pypi_index", "pypi_web"), start=1):
        shutil.rmtree(repository.folder / deleted)
        repository.make("pypi-launch")

        assert (repository.folder / deleted).is_dir()
        anew = [call for call in calls(repository) if "--force-recreate" in call]
        assert len(anew) == number
        assert "up" in anew[-1]


def test_a_folder_of_the_gateways_user_is_made_by_the_gateway(
    docker: Docker, account: None
) -> None:
    repository = docker("")
    # As if it were in a folder that the person who launches may not look into.
    (repository.folder / "gateway_data/uses").symlink_to("/nonexistent/uses")

    repository.make("pypi-launch")

    called = [" ".join(call) for call in calls(repository)]
    made = [number for number, one in enumerate(called) if " gateway mkdir -p /data/uses" in one]
    (started,) = [number for number, one in enumerate(called) if " up --detach " in one]
    assert len(made) == 1
    assert made[0] < started


REMEDY = "put all of it on one disk with a file system such as ext4, XFS, Btrfs or ZFS"


def test_launch_names_what_a_disk_cannot_do_and_starts_nothing(
    docker: Docker, account: None, tmp_path: Path
) -> None:
    repository = docker("")
    with exfat.mounted(tmp_path) as disk:
        for name in ("pypi_data", "pypi_index"):
            shutil.rmtree(repository.folder / name)
            (disk / name).mkdir()
            (repository.folder / name).symlink_to(disk / name)
        said = repository.make("pypi-launch", ok=False)
        left = sorted(str(path.relative_to(disk)) for path in disk.rglob("*"))

    assert [line for line in said.splitlines() if line.startswith("error: ")] == [
        "error: pypi_data has no hard links out of .uploads, by which an upload gets its name"
        f" (Operation not permitted): {REMEDY}",
        "error: pypi_index has no symbolic links, through which distributions are served"
        f" (Function not implemented): {REMEDY}",
    ]
    assert not any("up" in call for call in calls(repository))
    assert left == ["pypi_data", "pypi_data/.uploads", "pypi_index"]


def test_launch_names_uploads_that_would_arrive_on_another_disk(
    docker: Docker, account: None, tmp_path: Path
) -> None:
    repository = docker("")
    with exfat.mounted(tmp_path) as disk:
        (repository.folder / "pypi_data/.uploads").symlink_to(disk)
        said = repository.make("pypi-launch", ok=False)

    assert (
        "error: pypi_data has no hard links out of .uploads, by which an upload gets its name"
        f" (Invalid cross-device link): {REMEDY}\n"
    ) in said


def test_no_account_is_kept_on_a_disk_where_everybody_may_read_it(
    docker: Docker, tmp_path: Path
) -> None:
    repository = docker(
        '*" account_commands user "*)\n'
        "\tPYTHONPATH=private_pypi PYPI_AUTH=pypi_auth"
        f" exec {sys.executable} -m private_pypi user add -- alice ;;"
    )
    with exfat.mounted(tmp_path) as disk:
        shutil.rmtree(repository.folder / "pypi_auth")
        (repository.folder / "pypi_auth").symlink_to(disk)
        said = repository.make("pypi-user-add", "USER=alice", ok=False)
        left = list(disk.iterdir())

    assert "password: " not in said
    assert (
        "error: pypi_auth cannot keep a file secret from other users"
        f" (a file that is to have mode 0600 has 0777): {REMEDY}\n"
    ) in said
    assert left == []


@pytest.fixture
def root(docker: Docker, account: None, tmp_path: Path) -> Repository:
    """A repository whose owner `id` takes for root."""
    repository = docker("")
    (tmp_path / "bin/id").write_text("#!/bin/sh\necho 0\n")
    (tmp_path / "bin/id").chmod(0o755)
    return repository


def test_root_has_a_container_give_away_what_belongs_to_somebody_else(root: Repository) -> None:
    root.make("pypi-launch", f"PYPI_UID={os.getuid()}", f"PYPI_GID={os.getgid()}")
    assert not any("ownership" in call for call in calls(root))

    root.make("pypi-launch", "PYPI_UID=4242", "PYPI_GID=4243")
    called = [" ".join(call) for call in calls(root)]
    order = [" build ", " run --rm --no-deps --no-TTY ownership", " private_pypi check"]
    # Of the second launch.
    found = [max(i for i, call in enumerate(called) if step in call) for step in order]
    assert found == sorted(found)


def test_root_gives_away_no_file_of_the_host_to_whoever_swaps_a_folder_for_a_link(
    root: Repository, tmp_path: Path
) -> None:
    """The attack of a container that has pypi_data, at the one moment that counts."""
    host, folder = tmp_path / "host", root.folder / "pypi_data/folder"
    for place in (host, folder):
        place.mkdir()
        (place / "file").touch()
    before = (host / "file").stat()
    chown = tmp_path / "bin/chown"
    chown.write_text(
        f"#!/bin/sh\nmv {folder} {folder}.old\nln -s {host} {folder}\n"
        f'exec {shutil.which("chown")} "$@"\n'
    )
    chown.chmod(0o755)

    root.make("pypi-launch", "PYPI_UID=4242", "PYPI_GID=4243")

    after = (host / "file").stat()
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert not folder.is_symlink(), "it changed owners by path"


def test_launch_makes_the_settings_of_a_fresh_clone_for_their_owner_alone(
    docker: Docker, account: None
) -> None:
    repository = docker("")
    settings = repository.folder / ".pypi.env"
    settings.unlink()

    repository.make("pypi-launch")

    assert settings.read_text() == (repository.folder / ".pypi.env.example").read_text()
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600


MODES = list(QUESTIONS["https"]["choices"].values())


@pytest.fixture
def launches(docker: Docker, account: None, render: Render) -> Callable[[str], Repository]:
    """Make the repository, with a stand-in for Docker, one of another answer to `https`."""

    def change(https: str) -> Repository:
        repository = docker("")
        rendered = render({**ANSWERS, "https": https, "pypi_url": "pypi.acme.test"})
        for name in ("Makefile", ".pypi.env.example", "gateway/Caddyfile"):
            shutil.copy(rendered / name, repository.folder / name)
        return repository

    return change


@pytest.mark.parametrize("https", MODES)
def test_a_fresh_clone_launches_under_the_name_of_the_answers(
    launches: Callable[[str], Repository], https: str
) -> None:
    repository = launches(https)
    (repository.folder / ".pypi.env").unlink()

    said = repository.make("pypi-launch")

    if https == "none":
        assert said == (
            "Let the proxy for pypi.acme.test forward its requests to this address.\n"
            "The index is at http://127.0.0.1:8080/\n"
        )
    else:
        assert said == "The index is at https://pypi.acme.test/\n"


@pytest.mark.parametrize("https", MODES)
@pytest.mark.parametrize("written", ["", "{}=\n", "#{}=x\n", "{}=\r\n", '{}=""\n', "a{}=x\n"])
def test_launch_names_a_setting_that_is_missing_and_starts_nothing(
    launches: Callable[[str], Repository], https: str, written: str
) -> None:
    name = "http_port" if https == "none" else "pypi_url"
    what = "the port for the proxy" if https == "none" else "the DNS name of the index"
    repository = launches(https)
    # As it was before the answer was another.
    other = "pypi_url=pypi.acme.test" if https == "none" else "http_port=8080"
    (repository.folder / ".pypi.env").write_bytes(f"{other}\n{written.format(name)}".encode())

    said = repository.make("pypi-launch", ok=False)

    assert f"error: .pypi.env has no {name}: add {what}, as .pypi.env.example does\n" in said
    assert "The index is at" not in said
    assert not any("up" in call or "build" in call for call in calls(repository))


@pytest.mark.parametrize(
    "written",
    [
        "# mine\r\npypi_url=pypi.other.test\r\n\r\n",
        "\ufeffpypi_url=pypi.other.test",
        "pypi_url='pypi.other.test' # mine\n",
        'export pypi_url = "pypi.other.test"\r\n',
        "  pypi_url: pypi.other.test  \n",
        "pypi_url=pypi.acme.test\npypi_url=pypi.other.test # $(touch pwned)\n",
    ],
)
def test_launch_reads_settings_as_compose_does_and_runs_nothing_in_them(
    launches: Callable[[str], Repository], written: str
) -> None:
    repository = launches("letsencrypt")
    (repository.folder / ".pypi.env").write_bytes(f"{written}\ntouch pwned\n".encode())

    said = repository.make("pypi-launch")

    assert said == "The index is at https://pypi.other.test/\n"
    assert not (repository.folder / "pwned").exists()


def test_settings_of_before_there_was_a_name_in_them_still_launch(
    launches: Callable[[str], Repository],
) -> None:
    repository = launches("none")
    (repository.folder / ".pypi.env").write_text("http_port=8099\n")

    assert repository.make("pypi-launch") == "The index is at http://127.0.0.1:8099/\n"


@pytest.mark.parametrize("target", ["template-check", "template-update"])
def test_copier_is_given_what_was_typed(
    rendered_here: Repository, tmp_path: Path, target: str
) -> None:
    (tmp_path / "uvx").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/asked\n')
    (tmp_path / "uvx").chmod(0o755)
    rendered_here.path.insert(0, str(tmp_path))

    rendered_here.make(target, "ARGS=--defaults --data max_upload_mb=1024")

    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[-3:] == ["--defaults", "--data", "max_upload_mb=1024"]


def test_launch_leaves_settings_that_are_there(docker: Docker, account: None) -> None:
    repository = docker("")
    (repository.folder / ".pypi.env").write_text("http_port=8099\n")

    assert "The index is at http://127.0.0.1:8099/" in repository.make("pypi-launch")
    assert (repository.folder / ".pypi.env").read_text() == "http_port=8099\n"


def test_launch_without_an_account_says_how_to_make_one_and_starts_nothing(
    docker: Docker,
) -> None:
    repository = docker("")

    said = repository.make("pypi-launch", ok=False)

    assert "error: there is no account yet: run make pypi-user-add USER=admin" in said
    assert not any("up" in call for call in calls(repository))


def test_launch_with_a_sha1_line_says_which_and_starts_nothing(docker: Docker) -> None:
    repository = docker("")
    (repository.folder / "pypi_auth/.htpasswd").write_text(
        "# htpasswd -sc\nalice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"
    )

    said = repository.make("pypi-launch", ok=False)

    assert (
        "error: pypi_auth/.htpasswd line 2: alice has a SHA-1 hash, which the gateway refuses;"
        " run make pypi-user-passwd USER=alice\n"
    ) in said
    assert "{SHA}" not in said
    assert not any("up" in call for call in calls(repository))
    assert not (repository.folder / "gateway/accounts/accounts.caddy").exists()


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (
            "Error response from daemon: driver failed programming external connectivity on"
            " endpoint x: Bind for 127.0.0.1:8080 failed: port is already allocated",
            "a port is taken, see above: stop what uses it, or change the port in .pypi.env",
        ),
        (
            "Error response from daemon: failed to set up container networking: failed to bind"
            " host port for 127.0.0.1:8080: address already in use",
            "a port is taken, see above: stop what uses it, or change the port in .pypi.env",
        ),
        (
            "network traefik-network declared as external, but could not be found",
            "a network is missing, see above: start Traefik first, or create it with docker"
            " network create",
        ),
        (
            "Error response from daemon: network traefik-network not found",
            "a network is missing, see above: start Traefik first, or create it with docker"
            " network create",
        ),
    ],
)
def test_a_launch_that_docker_refuses_repeats_its_words_and_says_what_to_do(
    docker: Docker, account: None, message: str, complaint: str
) -> None:
    repository = docker(f'*" up "*) echo "{message}" >&2; exit 1 ;;')

    said = repository.make("pypi-launch", ok=False)

    assert f"{message}\nerror: {complaint}\n" in said
    assert "The index is at" not in said


def test_an_index_that_does_not_get_healthy_shows_its_state_and_last_words(
    docker: Docker, account: None
) -> None:
    repository = docker(
        '*" up "*) echo "container pypi-make-private_pypi-1 is unhealthy" >&2; exit 1 ;;\n'
        '*" ps --all") echo "private_pypi-1 (unhealthy)" ;;\n'
        '*" logs --tail 20") echo "private_pypi-1 | Permission denied" ;;'
    )

    said = repository.make("pypi-launch", ok=False)

    assert said.index("is unhealthy") < said.index("(unhealthy)") < said.index("Permission denied")
    assert "error: the index did not become healthy: its last log lines are above\n" in said


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("pypi-user-add", ["add", "--role", "reader", "--", "alice"]),
        (
            "pypi-user-add PROJECTS=billing,acme-* DAYS=90",
            ["add", "--role", "reader", "--projects=billing,acme-*", "--days=90", "--", "alice"],
        ),
        # As of a variable that was not set: an error, and not an account for everything.
        (
            "pypi-user-add PROJECTS= DAYS=",
            ["add", "--role", "reader", "--projects=", "--days=", "--", "alice"],
        ),
        ("pypi-user-passwd DAYS=90", ["passwd", "--days=90", "--", "alice"]),
        ("pypi-user-passwd", ["passwd", "--", "alice"]),
        ("pypi-user-remove", ["remove", "--", "alice"]),
    ],
)
def test_accounts_are_changed_in_a_container(
    docker: Docker, target: str, arguments: list[str]
) -> None:
    repository = docker("")
    repository.make(*target.split(), "USER=alice")

    (called,) = [call for call in calls(repository) if "account_commands" in call]
    assert called[called.index("account_commands") :] == ["account_commands", "user", *arguments]


@pytest.mark.parametrize(
    ("typed", "remedy"),
    [
        ("PROJECTS=billing", "to change projects, edit pypi_auth/.rights"),
        ("PROJECTS=", "to change projects, edit pypi_auth/.rights"),
        ("ROLE=publisher", "to change the role, remove the account and add it again"),
    ],
)
def test_a_new_password_is_not_taken_for_other_rights(
    docker: Docker, typed: str, remedy: str
) -> None:
    repository = docker("")

    said = repository.make("pypi-user-passwd", "USER=ci", typed, ok=False)

    assert f"error: {remedy}\n" in said
    assert not any("account_commands" in call for call in calls(repository))


def test_variables_of_the_surroundings_keep_nobody_from_a_new_password(docker: Docker) -> None:
    repository = docker("")
    repository.surroundings = {"PROJECTS": "of the login", "ROLE": "of the login"}

    repository.make("pypi-user-passwd", "USER=ci")

    assert any("passwd" in call for call in calls(repository))


@pytest.mark.parametrize(
    ("given", "arguments", "then"),
    [
        (("pypi-yank",), ["yank", "--", "lib", "1.0"], "--project=lib"),
        (
            ("pypi-yank", "REASON=--bad"),
            ["yank", "--reason=--bad", "--", "lib", "1.0"],
            "--project=lib",
        ),
        (("pypi-unyank",), ["unyank", "--", "lib", "1.0"], "--project=lib"),
        (("pypi-remove",), ["remove", "--", "lib", "1.0"], "--project=lib"),
        (("pypi-remove", "YES=1"), ["remove", "--yes", "--", "lib", "1.0"], "--project=lib"),
        (("pypi-index",), ["index"], "--once"),
        (("pypi-verify",), ["verify"], "--verify"),
        (("pypi-audit",), ["audit", "--project=lib"], ""),
        (("pypi-journal-repair",), ["journal-repair"], ""),
        (("pypi-journal-repair", "YES=1"), ["journal-repair", "--yes"], ""),
    ],
)
def test_releases_are_withdrawn_in_a_container_and_another_writes_the_pages_for_people(
    docker: Docker, given: tuple[str, ...], arguments: list[str], then: str
) -> None:
    repository = docker("")
    repository.make(*given, "PKG=lib", "VERSION=1.0")

    called = [
        call[call.index("run") + 1 :]
        for call in calls(repository)
        if "run" in call and "ownership" not in call
    ]
    options = ["--rm", "--no-deps", "--no-TTY"]
    pages = [[*options, "web", "web", then]] if then else []
    assert called == [[*options, "--env", "PYPI_BY", "private_pypi", *arguments], *pages]


HOSTILE = [
    "a;touch pwned",
    "a|touch pwned",
    "a&touch pwned",
    "a\ntouch pwned",
    "`touch pwned`",
    "$(touch pwned)",
    "$$(touch pwned)",
    "$(shell touch pwned)",
    '"; touch pwned; "',
    "'; touch pwned; '",
    ">pwned",
    "--help",
    "#",
    "a b",
    "*",
    "~",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("target", ["pypi-user-add", "pypi-user-passwd", "pypi-user-remove"])
def test_no_shell_ever_runs_what_stands_in_a_name(docker: Docker, target: str, name: str) -> None:
    repository = docker("")

    repository.make(target, f"USER={name}")

    assert not (repository.folder / "pwned").exists()
    text = (repository.folder.parent / "calls").read_text()
    assert text.endswith(f"--\n{name}\nend\n")


@pytest.mark.parametrize("role", ["reader; touch pwned", "$$(touch pwned)", "`touch pwned`"])
def test_no_shell_ever_runs_what_stands_in_a_role(docker: Docker, role: str) -> None:
    repository = docker("")

    repository.make("pypi-user-add", "USER=alice", f"ROLE={role}")

    assert not (repository.folder / "pwned").exists()


@pytest.mark.parametrize("value", HOSTILE)
def test_no_shell_ever_runs_what_stands_in_rights(docker: Docker, value: str) -> None:
    repository = docker("")

    repository.make("pypi-user-add", "USER=alice", f"PROJECTS={value}", f"DAYS={value}")

    assert not (repository.folder / "pwned").exists()
    text = (repository.folder.parent / "calls").read_text()
    assert f"--projects={value}\n--days={value}\n--\nalice\nend\n" in text


@pytest.mark.parametrize("value", HOSTILE)
def test_no_shell_ever_runs_what_stands_in_a_release(docker: Docker, value: str) -> None:
    repository = docker("")

    repository.make("pypi-yank", f"PKG={value}", f"VERSION={value}", f"REASON={value}")

    assert not (repository.folder / "pwned").exists()
    text = (repository.folder.parent / "calls").read_text()
    assert f"yank\n--reason={value}\n--\n{value}\n{value}\nend\n" in text
    assert text.endswith(f"web\n--project={value}\nend\n")


# Trusted publishing -------------------------------------------------------------------------------

PUBLISHER = """[[publisher]]
name = "acme/billing publish.yml"
issuer = "https://ci.acme.com"
projects = ["billing"]
claims = { sub = "billing" }
"""
FOUND = '{"repository": "acme/billing", "repository_id": "1", "owner_id": "2"}'
IDS = f"""*" trust ids "*) echo '{FOUND}' ;;\n"""
KEYS_RUN = '*" ps --quiet --status running keys") echo 0123456789ab ;;\n'
TRUST = ("pypi-trust", "ISSUER=github", "REPOSITORY=acme/billing", "PROJECTS=billing")


def flags(call: list[str]) -> dict[str, str]:
    """Return what a command was given in its flags."""
    return dict(word[2:].split("=", 1) for word in call if word.startswith("--") and "=" in word)


def test_ids_are_looked_up_by_a_container_of_its_own_and_handed_over(docker: Docker) -> None:
    repository = docker(IDS)

    said = repository.make(*TRUST, "WORKFLOW=publish.yml", "ENVIRONMENT=production")

    *_, looking, adding, asking, _ = calls(repository)
    wanted = ["--workflow=publish.yml", "--", "github", "acme/billing"]
    assert looking[-7:] == ["ids", "trust", "ids", *wanted]
    assert flags(adding) == {
        "issuer": "github",
        "repository": "acme/billing",
        "workflow": "publish.yml",
        "environment": "production",
        "projects": "billing",
        "subject": "",
        "name": "",
        "repository-id": "",
        "owner-id": "",
        "found": FOUND,
    }
    assert asking[-5:] == ["ps", "--quiet", "--status", "running", "keys"]
    assert said.endswith(
        "Run make pypi-launch once: it starts the container that fetches the keys.\n"
    )


def test_with_ids_or_a_subject_nothing_is_looked_up(docker: Docker) -> None:
    repository = docker(KEYS_RUN)

    said = repository.make(*TRUST, "WORKFLOW=publish.yml", "REPOSITORY_ID=1", "OWNER_ID=2")
    said += repository.make("pypi-trust", "ISSUER=https://ci.acme.com", "SUBJECT=x", "PROJECTS=y")

    assert "pypi-launch" not in said
    assert not any("ids" in call for call in calls(repository))


def test_without_projects_nothing_is_looked_up_and_the_command_says_what_is_missing(
    docker: Docker,
) -> None:
    repository = docker(IDS)

    repository.make(*TRUST[:3], "WORKFLOW=publish.yml")

    assert not any("ids" in call for call in calls(repository))
    (adding,) = (call for call in calls(repository) if "add" in call)
    assert flags(adding)["projects"] == ""


def test_without_docker_nothing_fetches_keys_and_the_command_says_so(local: Repository) -> None:
    said = local.make(
        "pypi-trust", "LOCAL=1", "ISSUER=https://ci.acme.com", "SUBJECT=x", "PROJECTS=y"
    )

    assert said.endswith(
        "make pypi-local fetches no keys: jobs publish once make pypi-launch runs the index.\n"
    )
    local.make("pypi-trust-remove", "LOCAL=1", "NAME=ci.acme.com x")


def test_ids_that_cannot_be_looked_up_trust_nobody(docker: Docker) -> None:
    repository = docker('*" trust ids "*) echo "error: there is none" >&2; exit 1 ;;\n')

    said = repository.make(*TRUST, "WORKFLOW=publish.yml", ok=False)

    assert "error: there is none" in said
    assert not any("add" in call for call in calls(repository))


def test_the_surroundings_trust_nobody(docker: Docker) -> None:
    repository = docker(IDS)
    names = ("ENVIRONMENT", "NAME", "SUBJECT", "WORKFLOW", "REPOSITORY_ID", "OWNER_ID")
    more = ("ISSUER", "REPOSITORY", "PROJECTS")
    repository.surroundings = dict.fromkeys((*names, *more), "of the login")

    repository.make("pypi-trust", "ISSUER=github")

    (adding,) = (call for call in calls(repository) if "add" in call)
    assert {name: value for name, value in flags(adding).items() if value} == {"issuer": "github"}
    said = repository.make("pypi-trust", "PROJECTS=billing", ok=False)
    assert "error: say who signs: make pypi-trust ISSUER=github REPOSITORY=acme/billing" in said
    said = repository.make("pypi-trust-remove", ok=False)
    assert 'error: say which publisher: make pypi-trust-remove NAME="acme/billing' in said


@pytest.mark.parametrize("value", HOSTILE)
def test_no_shell_ever_runs_what_stands_in_a_publisher(docker: Docker, value: str) -> None:
    repository = docker('*" trust ids "*) printf %s "$*" ;;\n')
    names = ("ISSUER", "REPOSITORY", "WORKFLOW", "ENVIRONMENT", "SUBJECT", "NAME", "PROJECTS")

    repository.make("pypi-trust", *(f"{name}={value}" for name in names))
    repository.make("pypi-trust-remove", f"NAME={value}")

    assert not (repository.folder / "pwned").exists()
    text = (repository.folder.parent / "calls").read_text()
    assert f"\nids\n--workflow={value}\n--\n{value}\n{value}\nend\n" in text
    for name in names:
        assert f"\n--{name.lower()}={value}\n" in text
    assert text.endswith(f"remove\n--\n{value}\nend\n")


def test_a_launch_starts_what_fetches_keys_only_for_an_issuer(
    docker: Docker, account: None
) -> None:
    repository = docker("")
    repository.make("pypi-launch")
    without = [" ".join(call) for call in calls(repository)]
    (repository.folder.parent / "calls").unlink()

    (repository.folder / "pypi_auth/.publishers.toml").write_text(PUBLISHER)
    repository.make("pypi-launch")
    first = [" ".join(call) for call in calls(repository)]
    (repository.folder.parent / "calls").unlink()
    repository.make("pypi-launch")
    again = [" ".join(call) for call in calls(repository)]

    profiles = {
        name: re.findall(r"--profile (\S+) up ", "\n".join(called))
        for name, called in (("without", without), ("first", first), ("again", again))
    }
    assert profiles == {"without": ["none"], "first": ["trust"], "again": ["trust"]}
    # One that is left from earlier, or that has a folder which was deleted, goes before.
    removed = [
        any("rm --stop --force keys" in call for call in called)
        for called in (without, first, again)
    ]
    assert removed == [True, True, False]


@pytest.mark.parametrize("target", ["pypi-stop", "pypi-restart", "pypi-status", "pypi-logs"])
def test_whatever_is_done_with_all_containers_is_done_with_that_one(
    docker: Docker, target: str
) -> None:
    repository = docker("")

    repository.make(target)

    commands = ("down", "restart", "ps", "logs")
    doing = [call for call in calls(repository) if {*commands} & {*call}]
    assert doing
    for call in doing:
        assert call[call.index("--profile") + 1] == "trust"
