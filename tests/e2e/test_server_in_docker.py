"""The rendered server in its containers, seen from outside."""

from __future__ import annotations

import errno
import hashlib
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
import requests
from kit import wheel
from kit.commands import as_root
from kit.git import commit, git
from kit.https import ask, https_server
from kit.in_docker import Server, docker, plain_server
from kit.template import PASSWORD, Render
from kit.waiting import today, wait_until

pytestmark = pytest.mark.docker

PROJECT = "server-e2e"
ANSWERS = {
    "template": "server",
    "project_name": PROJECT,
    "https": "none",
    "publisher": "alice",
    "publisher_password": PASSWORD,
    "max_upload_mb": 2,
}
ALICE = ("alice", PASSWORD)
SERVICES = ("gateway", "private_pypi", "web", "accounts")


@pytest.fixture(scope="module")
def server(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server whose folders belong to a user that the host does not know."""
    server = plain_server(render(ANSWERS), tmp_path_factory.mktemp("docker") / "server")
    if os.getuid() == 0:
        folders = ("pypi_data", "pypi_index", "pypi_web", "pypi_auth", "gateway/accounts")
        for folder in (*folders, "gateway_data"):
            subprocess.run(["chown", "-R", "4242:4243", folder], cwd=server.folder, check=True)
    said = server.make("pypi-launch")
    assert said.endswith(f"The index is at {server.url}/\n")
    yield server
    server.make("pypi-stop")


@pytest.fixture(scope="module")
def reader(server: Server) -> tuple[str, str]:
    """User name and password of an account that may install."""
    return "bob", server.add_user("bob", "reader")


def upload(
    server: Server, account: tuple[str, str], name: str, content: bytes
) -> requests.Response:
    """Send an upload form as the publishing tools do."""
    return requests.post(
        f"{server.url}/",
        data={":action": "file_upload", "protocol_version": "1"},
        files={"content": (name, content)},
        auth=account,
        timeout=60,
    )


def made(name: str, version: str = "0.1.0", origin: str = "us") -> tuple[str, bytes]:
    """Return file name and content of a wheel."""
    with tempfile.TemporaryDirectory() as folder:
        path = wheel.build(Path(folder), name, version, origin=origin)
        return path.name, path.read_bytes()


def status(server: Server, path: str, account: tuple[str, str] | None, method: str = "GET") -> int:
    """Return the status of one request, redirects not followed."""
    return requests.request(
        method, server.url + path, auth=account, allow_redirects=False, timeout=30
    ).status_code


def lets_in(server: Server, account: tuple[str, str]) -> set[bool]:
    """Say who lets an account in: the gateway, which alone answers /RPC2, and private_pypi.

    The accounts count two seconds after a change: private_pypi looks at them for each request, its
    copy for the gateway is made within half a second (tests/private_pypi/test_gateway.py), and
    `caddy run --watch` looks at that every second. A busy machine may be slower, so wait for it.
    """
    return {
        status(server, "/RPC2", account) == 404,
        status(server, "/packages/none.whl", account) == 404,
    }


def wait_until_in(server: Server, account: tuple[str, str]) -> None:
    """Wait until gateway and private_pypi let an account in."""
    wait_until(lambda: lets_in(server, account) == {True}, 30)


def wait_until_out(server: Server, account: tuple[str, str]) -> None:
    """Wait until neither gateway nor private_pypi lets an account in."""
    wait_until(lambda: lets_in(server, account) == {False}, 30)


def page_of(server: Server, project: str) -> requests.Response:
    """Return the answer for a project's page; while the index is refreshed, ask again."""
    answers: list[requests.Response] = []

    def is_known() -> bool:
        url = f"{server.url}/simple/{project}/"
        answers.append(requests.get(url, auth=ALICE, allow_redirects=False, timeout=30))
        return answers[-1].status_code != 503

    wait_until(is_known, 30)
    return answers[-1]


def test_all_services_run_and_are_confined(server: Server) -> None:
    for service in SERVICES:
        container = server.inspect(service)
        host = container["HostConfig"]
        assert container["State"]["Running"]
        if service not in ("web", "accounts"):
            assert container["State"]["Health"]["Status"] == "healthy"
        if os.getuid() == 0:
            assert container["Config"]["User"] == "4242:4243"
        assert not container["Config"]["User"].startswith("0")
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert 0 < host["Memory"] <= 2**30
        assert 0 < host["PidsLimit"] <= 128
        assert host["RestartPolicy"]["Name"] == "always"
        assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "5"}
    assert server.inspect("private_pypi")["HostConfig"]["CapAdd"] is None
    assert not any(server.inspect("private_pypi")["NetworkSettings"]["Ports"].values())


def test_the_index_listens_on_127_0_0_1_alone(server: Server) -> None:
    ports = server.inspect("gateway")["NetworkSettings"]["Ports"]
    published = [binding for bindings in ports.values() for binding in bindings or []]
    number = server.url.rpartition(":")[2]

    assert published == [{"HostIp": "127.0.0.1", "HostPort": number}]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.12.9", int(number)), timeout=30).close()


def test_only_the_folders_that_a_service_writes_are_writable(server: Server) -> None:
    writable = {
        service: {m["Destination"] for m in server.inspect(service)["Mounts"] if m["RW"]}
        for service in SERVICES
    }
    assert writable == {
        "gateway": {"/data"},
        "private_pypi": {"/srv/pypi_data", "/srv/pypi_index", "/run/private_pypi"},
        "web": {"/srv/pypi_web"},
        "accounts": {"/pypi/gateway"},
    }


@pytest.mark.parametrize("service", ["web", "accounts"])
def test_a_service_that_only_writes_files_has_no_network(server: Server, service: str) -> None:
    assert list(server.inspect(service)["NetworkSettings"]["Networks"]) == ["none"]


def test_private_pypi_reaches_nobody_and_is_reached_by_nobody(server: Server) -> None:
    assert list(server.inspect("private_pypi")["NetworkSettings"]["Networks"]) == ["none"]
    # Kernels with certain modules put interfaces that are down into each container.
    up = "for i in /sys/class/net/*; do [ $(($(cat $i/flags) & 1)) = 0 ] || basename $i; done"
    inside = ("exec", f"{PROJECT}-private_pypi-1", "sh", "-euc")
    assert docker(*inside, up).split() == ["lo"]
    listening = docker(*inside, "tail -qn +2 /proc/net/tcp /proc/net/tcp6")
    assert listening == "", "it listens on lo"


def test_nobody_but_the_user_of_both_connects_to_private_pypi(server: Server) -> None:
    asked = """
import socket
print(socket.socket(socket.AF_UNIX).connect_ex("/run/private_pypi/http.sock"))
"""
    volume = ("--volume", f"{PROJECT}_socket:/run/private_pypi:ro", "--network", "none")
    image = ("--entrypoint=python", f"{PROJECT}/private_pypi", "-c", asked)
    refused = docker("run", "--rm", "--user", "7:7", "--cap-drop=ALL", *volume, *image)
    user = server.inspect("private_pypi")["Config"]["User"]
    let_in = docker("run", "--rm", "--user", user, "--cap-drop=ALL", *volume, *image)
    assert (int(refused), int(let_in)) == (errno.EACCES, 0)


def test_the_health_check_alone_is_open(server: Server) -> None:
    assert status(server, "/health", None) == 200
    for path in (
        "/",
        "/simple/",
        "/simple/x/",
        "/packages/x.whl",
        "/x/",
        "/RPC2",
        "/x/json",
        "/healthy",
    ):
        assert status(server, path, None) == 401, path
    assert status(server, "/", None, "POST") == 401


def test_a_wrong_password_is_401_with_a_challenge(server: Server) -> None:
    for account in (("alice", "wrong-password"), ("nobody", PASSWORD), ("alice", "")):
        answer = requests.get(f"{server.url}/simple/", auth=account, timeout=30)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_what_is_uploaded_is_listed_and_downloaded(server: Server) -> None:
    name, content = made("up-load")
    assert upload(server, ALICE, name, content).status_code == 200
    page = requests.get(f"{server.url}/simple/up-load/", auth=ALICE, timeout=30)
    assert f"{name}#sha256={hashlib.sha256(content).hexdigest()}" in page.text
    file = requests.get(f"{server.url}/packages/{name}", auth=ALICE, timeout=30)
    assert file.content == content
    assert (server.folder / "pypi_data" / name).read_bytes() == content


def test_what_is_uploaded_has_a_page_for_people(server: Server) -> None:
    assert upload(server, ALICE, *made("shown-lib")).status_code == 200
    page = f"{server.url}/project/shown-lib/"

    wait_until(lambda: requests.get(page, auth=ALICE, timeout=30).status_code == 200, 30)
    shown = requests.get(page, auth=ALICE, timeout=30)
    assert "shown-lib==0.*" in shown.text
    assert '<span data-part="url">https://pypi.example.com</span>/simple/' in shown.text
    home = requests.get(f"{server.url}/", auth=ALICE, timeout=30).text
    assert '<a href="./project/shown-lib/">' in home
    feed = requests.get(f"{server.url}/feed.atom", auth=ALICE, timeout=30)
    assert feed.headers["Content-Type"] == "application/atom+xml; charset=utf-8"
    # It reads the catalogue, which it may not write.
    logged = docker("logs", f"{PROJECT}-web-1")
    assert logged == ""


def test_a_published_file_is_never_replaced(server: Server) -> None:
    name, first = made("once")
    assert upload(server, ALICE, name, first).status_code == 200
    assert upload(server, ALICE, name, first).status_code == 200
    assert upload(server, ALICE, *made("once", origin="another")).status_code == 409
    assert (server.folder / "pypi_data" / name).read_bytes() == first


def test_uploads_up_to_the_limit_are_taken_and_larger_ones_are_413(server: Server) -> None:
    limit = 2 * 2**20
    padding = limit - len(made("just")[1])
    excess = len(made("just", origin="x" * padding)[1]) - limit
    just = made("just", origin="x" * (padding - excess))
    assert len(just[1]) == limit
    assert upload(server, ALICE, *just).status_code == 200
    for size in (limit + 1, 2 * limit, 40 * limit):
        assert upload(server, ALICE, f"over-{size}.tar.gz", bytes(size)).status_code == 413
    assert not list((server.folder / "pypi_data").glob("over-*"))
    assert not list((server.folder / "pypi_data/.uploads").iterdir())


def test_a_reader_installs_and_does_not_publish(server: Server, reader: tuple[str, str]) -> None:
    wait_until_in(server, reader)
    answer = upload(server, reader, "reader-0.1.0.tar.gz", b"x")
    assert (answer.status_code, answer.text) == (403, "bob may install, not publish.\n")
    assert upload(server, reader, "reader-0.1.0.tar.gz", bytes(30_000_000)).status_code == 403


def test_nothing_is_removed_or_searched_over_http(server: Server) -> None:
    name, content = made("stays")
    upload(server, ALICE, name, content)
    fields = {":action": "remove_pkg", "name": "stays", "version": "0.1.0"}
    form = {field: (None, value) for field, value in fields.items()}
    answer = requests.post(f"{server.url}/", files=form, auth=ALICE, timeout=30)
    assert answer.status_code == 403
    assert (server.folder / "pypi_data" / name).exists()
    assert status(server, "/RPC2", ALICE, "POST") == 404


def test_files_that_start_with_a_dot_are_not_served(server: Server) -> None:
    for name in (".gitignore", ".uploads/"):
        assert status(server, f"/packages/{name}", ALICE) == 404


def test_an_unknown_name_is_redirected_and_a_held_one_never(server: Server) -> None:
    name, content = made("Held_Name")
    upload(server, ALICE, name, content)
    answer = page_of(server, "surely-unknown")
    assert answer.status_code == 303
    assert answer.headers["Location"].endswith("/simple/surely-unknown/")
    assert server.url not in answer.headers["Location"]
    for spelling in ("held-name", "Held_Name", "HELD.NAME"):
        answer = requests.get(f"{server.url}/simple/{spelling}/", auth=ALICE, timeout=30)
        assert answer.url == f"{server.url}/simple/held-name/"
        assert name in answer.text
    assert status(server, "/packages/held_name-9.9.tar.gz", ALICE) == 404


def test_files_put_in_or_taken_out_by_hand_show(server: Server) -> None:
    file = wheel.build(server.folder / "pypi_data", "by-hand", "0.1.0", origin="us")
    page = page_of(server, "by-hand")
    assert (page.status_code, file.name in page.text) == (200, True)
    file.unlink()
    wait_until(lambda: page_of(server, "by-hand").status_code != 200, 30)
    assert page_of(server, "by-hand").status_code == 404


def test_a_version_is_yanked_and_removed_and_the_index_made_anew_while_it_runs(
    server: Server,
) -> None:
    name, content = made("doomed")
    upload(server, ALICE, name, content)

    server.make("pypi-yank", "PKG=doomed", "VERSION=0.1.0", "REASON=it's $(broken)")
    page = requests.get(f"{server.url}/simple/doomed/", auth=ALICE, timeout=30)
    assert 'data-yanked="it&#x27;s $(broken)"' in page.text
    assert "distributions are what was published" in server.make("pypi-verify")
    shutil.rmtree(server.folder / "pypi_index" / "simple" / "doomed")
    assert "distributions of" in server.make("pypi-index")
    assert status(server, "/simple/doomed/", ALICE) == 200

    assert "say YES=1" in server.make("pypi-remove", "PKG=doomed", "VERSION=0.1.0", ok=False)
    server.make("pypi-remove", "PKG=doomed", "VERSION=0.1.0", "YES=1")
    assert status(server, "/simple/doomed/", ALICE) == 404
    assert status(server, f"/packages/{name}", ALICE) == 404
    assert not (server.folder / "pypi_data" / name).exists()


def test_nobody_gets_a_file_of_a_project_in_quarantine(server: Server) -> None:
    name, content = made("marked-lib")
    assert upload(server, ALICE, name, content).status_code == 200
    wait_until(lambda: status(server, f"/packages/{name}", ALICE) == 200)

    server.make("pypi-mark", "PKG=marked-lib", "STATUS=quarantined", "REASON=stolen")

    answer = requests.get(f"{server.url}/packages/{name}", auth=ALICE, timeout=30)
    assert (answer.status_code, "quarantined (stolen)" in answer.text) == (403, True)
    assert upload(server, ALICE, *made("marked-lib", "0.2.0")).status_code == 403

    server.make("pypi-mark", "PKG=marked-lib", "STATUS=active")
    assert status(server, f"/packages/{name}", ALICE) == 200


def test_reads_go_on_while_private_pypi_is_down(server: Server) -> None:
    name, content = made("static")
    upload(server, ALICE, name, content)
    docker("stop", f"{PROJECT}-private_pypi-1")
    try:
        for path in ("/simple/", "/simple/static/", f"/packages/{name}"):
            assert status(server, path, ALICE) == 200
    finally:
        docker("start", f"{PROJECT}-private_pypi-1")
    assert status(server, "/simple/static/", ALICE) == 200


def test_account_changes_take_effect_without_a_restart(server: Server) -> None:
    first = ("carol", server.add_user("carol", "publisher"))
    wait_until_in(server, first)
    assert upload(server, first, *made("carols")).status_code == 200

    server.make("pypi-user-passwd", "USER=carol", "PASSWORD_STDIN=1", stdin=f"{PASSWORD}2\n")
    second = ("carol", f"{PASSWORD}2")
    wait_until_in(server, second)
    wait_until_out(server, first)

    server.make("pypi-user-remove", "USER=carol")
    wait_until_out(server, second)
    assert upload(server, second, *made("carols", "0.2.0")).status_code == 401


def test_accounts_edited_by_hand_count_without_a_restart(server: Server) -> None:
    account = ("dave", server.add_user("dave", "reader"))
    wait_until_in(server, account)
    file = server.folder / "pypi_auth/.htpasswd-readers"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith("dave:")))
    wait_until_out(server, account)
    file.write_text("".join(lines))
    wait_until_in(server, account)


def test_removing_the_account_shuts_it_out_while_only_the_gateway_runs(server: Server) -> None:
    account = ("grace", server.add_user("grace", "reader"))
    wait_until_in(server, account)
    others = [f"{PROJECT}-{service}-1" for service in ("private_pypi", "accounts")]
    docker("stop", *others)
    try:
        server.make("pypi-user-remove", "USER=grace")
        wait_until(lambda: status(server, "/packages/x.whl", account) == 401, 30)
    finally:
        docker("start", *others)


def test_a_broken_caddyfile_is_refused_and_accounts_still_change(server: Server) -> None:
    account = ("heidi", server.add_user("heidi", "reader"))
    caddyfile = server.folder / "gateway/Caddyfile"
    right = caddyfile.read_text()
    try:
        caddyfile.write_text(right.replace("respond", "resp0nd"))
        said = server.make("pypi-launch", ok=False)
        assert "resp0nd" in said
        assert "error: the gateway cannot use gateway/Caddyfile, see above" in said
        wait_until_in(server, account)
        server.make("pypi-user-remove", "USER=heidi")
        wait_until_out(server, account)
        caddyfile.write_text(right.replace('respond "ok"', 'respond "fine"'))
        server.make("pypi-launch")
        wait_until(lambda: requests.get(f"{server.url}/health", timeout=30).text == "fine", 30)
    finally:
        caddyfile.write_text(right)
    server.make("pypi-launch")


def test_a_gateway_that_was_reloaded_comes_back_when_it_dies(server: Server) -> None:
    server.make("pypi-reload")
    state = server.inspect("gateway")["State"]
    as_root("kill", "-KILL", str(state["Pid"]))
    wait_until(lambda: server.inspect("gateway")["State"]["StartedAt"] != state["StartedAt"])
    wait_until(lambda: status(server, "/simple/", ALICE) == 200)
    told = (
        "gateway died (once|[0-9]+ times) since its launch and was started again: make pypi-logs"
        " may tell why; if it does not, raise its mem_limit in docker-compose.pypi.yml"
    )
    assert re.search(f"^{told}$", server.make("pypi-status"), re.M)


def test_list_shows_role_rights_and_last_use(server: Server, reader: tuple[str, str]) -> None:
    assert status(server, "/simple/", ALICE) == 200

    def rows() -> list[list[str]]:
        return [line.split() for line in server.make("pypi-user-list").splitlines()]

    day = str(today())
    wait_until(lambda: ["alice", "publisher", "bcrypt", "all", "-", day] in rows(), 30)
    assert [reader[0], "reader", "bcrypt", "all", "-"] in [row[:5] for row in rows()]


def test_status_tells_health_and_content(server: Server) -> None:
    # Another test may just have restarted one of the two.
    wait_until(lambda: server.make("pypi-status").count("(healthy)") == 2, 30)
    assert re.search(r"^\d+ distributions, ", server.make("pypi-status"), re.M)


def test_a_worker_that_was_killed_shows_in_status_health_and_log_until_the_next_start(
    server: Server,
) -> None:
    """As the kernel does to a process at the limit of its container's memory."""
    container = f"{PROJECT}-private_pypi-1"
    children = "$(cat /proc/{0}/task/{0}/children)"
    # Docker's init, below it gunicorn, and below that the process that answers.
    kill = f"for one in {children.format(1)}; do kill -KILL {children.format('$one')}; done"
    docker("exec", container, "sh", "-euc", kill)
    wait_until(lambda: "(unhealthy)" in server.make("pypi-status"), 60)
    said = "A process of the index died and another took over. Most likely it was killed"
    assert said in docker("exec", container, "python", "-m", "private_pypi", "health", ok=False)
    assert said in docker("logs", container)
    assert said in server.make("pypi-launch", ok=False)
    # It works nevertheless.
    assert upload(server, ALICE, *made("after-a-death")).status_code == 200

    docker("restart", container)
    wait_until(lambda: server.make("pypi-status").count("(healthy)") == 2, 30)
    assert "private_pypi died" not in server.make("pypi-status")


def test_what_root_restored_is_given_to_the_containers_and_no_link_is_followed(
    server: Server, tmp_path: Path
) -> None:
    data, auth = server.folder / "pypi_data", server.folder / "pypi_auth"
    owner = data.stat()
    restored = wheel.build(tmp_path, "restored", "0.1.0", origin="us")
    host = tmp_path / "host"
    host.mkdir()
    (host / "secret").touch()
    for place in (host, host / "secret"):
        as_root("chown", "0:0", place)
    as_root("mkdir", "-m", "700", data / "backup")
    as_root("cp", restored, data / "backup")
    as_root("cp", auth / ".htpasswd", auth / "kept")
    as_root("ln", "-s", host, data / "link")

    as_root("make", "-C", server.folder, "pypi-launch")

    for path in (data / "backup", data / "backup" / restored.name, data / "link", auth / "kept"):
        found = path.lstat()
        assert (found.st_uid, found.st_gid) == (owner.st_uid, owner.st_gid), path
    for path in (host, host / "secret"):
        assert path.stat().st_uid == 0, path
    wait_until(lambda: restored.name in page_of(server, "restored").text, 30)
    as_root("rm", "-r", data / "backup", data / "link", auth / "kept")


def test_no_password_is_in_logs_containers_or_git(server: Server) -> None:
    secret = server.add_user("erin", "publisher")
    requests.get(f"{server.url}/simple/", auth=("erin", secret), timeout=30)
    requests.get(f"{server.url}/simple/", auth=("erin", f"{secret}x"), timeout=30)
    inspected = docker("inspect", *(f"{PROJECT}-{service}-1" for service in SERVICES))
    history = docker("history", "--no-trunc", f"{PROJECT}/private_pypi")
    for password in (secret, PASSWORD):
        for text in (server.logs(), inspected, history):
            assert password not in text
    hashes = (server.folder / "pypi_auth/.htpasswd").read_text().split(":")[1].strip()
    assert hashes not in server.logs()
    commit(server.folder)
    tracked = git(server.folder, "ls-files").split()
    assert not {name for name in tracked if ".htpasswd" in name or name == ".pypi.env"}
    assert not {
        name for name in tracked if name.startswith(("gateway/accounts/a", "gateway/live/C"))
    }


def test_account_containers_leave_no_trace(server: Server) -> None:
    server.make("pypi-user-list")
    assert "account_commands" not in docker("ps", "--all", "--filter", f"name={PROJECT}")


def test_restart_keeps_everything(server: Server) -> None:
    upload(server, ALICE, *made("kept"))
    server.make("pypi-restart")
    wait_until(lambda: status(server, "/simple/kept/", ALICE) == 200, 30)
    assert " died " not in server.make("pypi-status")


def test_who_did_what_and_when_is_told_also_after_a_restart(server: Server) -> None:
    name, content = made("audited")
    began = datetime.now(timezone.utc).replace(microsecond=0)
    assert upload(server, ALICE, name, content).status_code == 200
    server.make("pypi-yank", "PKG=audited", "VERSION=0.1.0", "REASON=it's  $(broken)")
    server.make("pypi-remove", "PKG=audited", "VERSION=0.1.0", "YES=1")

    said = server.make("pypi-audit", "PKG=Audited")
    lines = [line.split(" UTC  ") for line in said.splitlines()]
    owner = pwd.getpwuid(os.getuid()).pw_name
    width = max(len("alice"), len(owner))
    assert [what for _, what in lines] == [
        f"published  {name}  alice",
        f"yanked     {name}  {owner:{width}}  it's  $(broken)",
        f"removed    {name}  {owner}",
    ]
    times = [datetime.fromisoformat(f"{when}+00:00") for when, _ in lines]
    assert began <= times[0] <= times[1] <= times[2] <= datetime.now(timezone.utc)
    server.make("pypi-restart")
    assert server.make("pypi-audit", "PKG=audited") == said
    server.make("pypi-stop")
    server.make("pypi-launch")
    assert server.make("pypi-audit", "PKG=audited") == said


@pytest.fixture
def stopped(render: Render, tmp_path: Path) -> Iterator[Server]:
    """A second copy of the repository under another project name, not launched yet."""
    answers = {**ANSWERS, "project_name": f"{PROJECT}-second"}
    server = plain_server(render(answers), tmp_path / "server")
    yield server
    server.make("pypi-stop")


def test_launch_refuses_a_weak_hash_and_names_the_remedy(stopped: Server) -> None:
    with (stopped.folder / "pypi_auth/.htpasswd").open("a") as file:
        file.write("frank:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\n")
    said = stopped.make("pypi-launch", ok=False)
    assert (
        "error: pypi_auth/.htpasswd line 2: frank has a SHA-1 hash, which the gateway refuses;"
        " run make pypi-user-passwd USER=frank\n" in said
    )
    stopped.make("pypi-user-passwd", "USER=frank")
    stopped.make("pypi-launch")


def test_launch_names_a_port_that_is_taken(stopped: Server, server: Server) -> None:
    shutil.copy(server.folder / ".pypi.env", stopped.folder / ".pypi.env")
    said = stopped.make("pypi-launch", ok=False)
    assert "error: a port is taken" in said


def test_a_container_that_is_starting_stops_at_once(stopped: Server) -> None:
    stopped.make("pypi-launch")
    for service in ("private_pypi", "accounts"):
        container = f"{stopped.project}-{service}-1"
        docker("restart", "--time", "0", container)
        docker("stop", container)

        assert stopped.inspect(service)["State"]["ExitCode"] != 128 + signal.SIGKILL


@pytest.fixture
def closed_umask() -> Iterator[None]:
    """New files are their owner's alone, as on many a server."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("closed_umask")
def test_a_fresh_clone_starts_after_one_account_is_made_whatever_the_umask(
    stopped: Server, tmp_path: Path
) -> None:
    commit(stopped.folder)
    settings = (stopped.folder / ".pypi.env").read_text()
    clone = Server(tmp_path / "clone", stopped.project, stopped.url)
    git(tmp_path, "clone", "--quiet", str(stopped.folder), "clone")
    assert (clone.folder / "gateway/Caddyfile").stat().st_mode & 0o777 == 0o600
    example = clone.folder / ".pypi.env.example"
    example.write_text(settings)
    said = clone.make("pypi-launch", ok=False)
    assert "error: there is no account yet: run make pypi-user-add USER=admin" in said
    account = ("admin", clone.add_user("admin", "publisher"))
    clone.make("pypi-launch")
    assert (clone.folder / ".pypi.env").stat().st_mode & 0o777 == 0o600
    assert status(clone, "/simple/", account) == 200


def test_internal_https_serves_with_its_own_authority(render: Render, tmp_path: Path) -> None:
    address, host = "127.0.10.1", "pypi.test"
    answers = {**ANSWERS, "project_name": f"{PROJECT}-internal", "https": "internal"}
    server = https_server(render({**answers, "pypi_url": host}), tmp_path / "server", address)
    try:
        assert server.make("pypi-launch").endswith("The index is at https://pypi.test/\n")
        authority = server.folder / "gateway_data/caddy/pki/authorities/local/root.crt"
        assert ask(address, host, ssl.create_default_context(cafile=authority)).status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(address, host, ssl.create_default_context())
        redirected = requests.get(
            f"http://{address}/x", headers={"Host": host}, allow_redirects=False, timeout=30
        )
        assert redirected.headers["Location"] == "https://pypi.test/x"
    finally:
        server.make("pypi-stop")
