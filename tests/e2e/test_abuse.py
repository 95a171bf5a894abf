"""What those get who try passwords, send too much or too slowly, and what is noted about them."""

from __future__ import annotations

import http.client
import os
import re
import secrets
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import pytest
import requests
from kit import wheel
from kit.fail2ban import Fail2ban
from kit.forms import upload_form
from kit.gateway import Gateway
from kit.http import Connection, address, ask, basic, basic_header
from kit.server import Server
from kit.stack import Stack, make_stack
from kit.template import PASSWORD, ROOT, Render
from kit.waiting import wait_until

TURNS, GUESTS_EACH = 10, 16
GUESTS = 10 + (2 * TURNS + 2) * GUESTS_EACH
"""Accounts that are only there to log in once, but for the first ten."""


@pytest.fixture(scope="module")
def stack(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Both programs, running; their logs name nobody's password."""
    made = make_stack(rendered, tmp_path_factory.mktemp("abuse") / "s", guests=GUESTS)
    with made.server, made.gateway:
        yield made
    logs = [path.read_text() for path in (made.server.log, made.gateway.log, made.gateway.refused)]
    for log in logs:
        assert "Traceback" not in log
        assert not any(password in log for password in made.passwords.values())


def talk(url: str, request: bytes, *, wait: float = 30) -> bytes:
    """Send bytes as they are; return what comes back until the other side closes or is silent."""
    answer = b""
    with socket.create_connection(address(url), wait) as client:
        try:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            while received := client.recv(65536):
                answer += received
        except OSError:
            pass
    return answer


def code(answer: bytes) -> int:
    """Return the status of an HTTP answer; 0 if it is none."""
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    return int(found[1]) if found else 0


# Names --------------------------------------------------------------------------------------------

STRANGERS = {
    "empty": "",
    "unknown": "mallory",
    "the decoy": "_none",
    "longer than any": "a" * 4000,
    "a start of one": "bo",
    "one and more": "bobby",
    "in capitals": "BOB",
    "with NUL": "bob\0",
    "with a line end": "bob\r\nX: y",
    "with control characters": "\x1b[2J\x07",
    "not UTF-8": b"\xff\xfebob",
    "not ASCII": "böb",
    "a placeholder": "{env.HOME}{http.request.host}",
}


@pytest.mark.parametrize("name", STRANGERS.values(), ids=STRANGERS)
@pytest.mark.parametrize("password", ["", "x", "x" * 72, "x" * 73, "x" * 1000, b"\0", b"\xff"])
def test_a_name_that_is_no_account_is_refused(
    stack: Stack, name: str | bytes, password: str | bytes
) -> None:
    for url in (stack.gateway.url, stack.server.url()):
        answer = ask(url, "/simple/", basic(name, password))
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize("name", ["bob", "carla"])
@pytest.mark.parametrize(
    "pair",
    [
        "{name}:x:{password}",
        "{name}::{password}",
        ":{name}:{password}",
        "x:{name}:{password}",
        "{name}:{password}:",
        "{name}:{password}:x",
        "{name}{password}",
        "{name}\0:{password}",
        "{name}\0x:{password}",
        "\0{name}:{password}",
        "{name}:\0{password}",
        "{name}:{password}\0",
        "{name}:{password}\0x",
        "{name}\0{password}",
    ],
)
def test_a_right_login_with_a_colon_or_nul_in_the_wrong_place_is_refused(
    stack: Stack, name: str, pair: str
) -> None:
    """A name ends at the first colon (RFC 7617), but no password at its first NUL, as in C."""
    text = pair.format(name=name, password=stack.passwords[name])
    header = basic_header(text)
    for url in (stack.gateway.url, stack.server.url()):
        assert ask(url, "/simple/", header).status == 401
        # The password of carla has a colon itself.
        assert ask(url, "/simple/", stack.login(name)).status == 200


@pytest.mark.parametrize("path", ["/simple/", "/packages/x", "/"])
def test_two_logins_in_one_request_are_none_whichever_is_right(stack: Stack, path: str) -> None:
    right, wrong = stack.login("bob")["Authorization"], basic("mallory", "x")["Authorization"]
    for first, second in ((right, wrong), (wrong, right), (right, right)):
        request = (
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: {first}\r\nAuthorization: {second}\r\n\r\n"
        )
        for url in (stack.gateway.url, stack.server.url()):
            assert code(talk(url, request.encode())) == 401


def test_the_files_of_an_older_server_neither_stop_the_gateway_nor_lock_anybody_out(
    rendered: Path, tmp_path: Path
) -> None:
    made = make_stack(rendered, tmp_path / "s")
    folder = tmp_path / "s" / "accounts"
    (folder / "strangers.conf").unlink()
    kept = [
        line
        for line in (folder / "accounts.caddy").read_text().splitlines()
        if not line.startswith("_")
    ]
    (folder / "accounts.caddy").write_text("\n".join(kept) + "\n")
    (tmp_path / "s" / "pypi_index" / "simple").mkdir(parents=True)
    (tmp_path / "s" / "pypi_index" / "simple" / "index.html").write_text("all")
    with made.gateway:
        assert ask(made.gateway.url, "/simple/", made.login("bob")).body == b"all"
        assert ask(made.gateway.url, "/simple/", basic("bob", "x")).status == 401
        assert ask(made.gateway.url, "/simple/", basic("mallory", "x")).status == 401


def test_a_gateway_without_any_account_refuses_everybody(rendered: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    (folder / "accounts").mkdir(parents=True)
    server = Server(rendered, folder, PYPI_GATEWAY=str(folder / "accounts"))
    server.user("add", "bob", password=PASSWORD)
    server.user("remove", "bob")
    with Gateway(rendered, folder, folder / "accounts", server) as gateway:
        for name in ("bob", "_none", ""):
            assert ask(gateway.url, "/simple/", basic(name, PASSWORD)).status == 401


# Time ---------------------------------------------------------------------------------------------


def timed(connection: Connection, headers: dict[str, str], expected: int) -> float:
    """Ask for the list of projects; return the seconds until the answer was complete."""
    began = time.perf_counter()
    assert connection.ask("/simple/", headers).status == expected
    return time.perf_counter() - began


@pytest.mark.parametrize("program", ["gateway", "private_pypi"])
def test_the_time_of_a_refusal_does_not_tell_which_names_exist(stack: Stack, program: str) -> None:
    with Connection(stack.gateway.url if program == "gateway" else stack.server.url()) as client:
        # Who else uses the machine can spoil one round, not all.
        for _ in range(4):
            times = refusals(client, ["bob", "mallory", "guest7", "_none", "x" * 40], 200)
            ratio = max(times.values()) / min(times.values())
            print(f"{program}: {ratio:.2f}", {k: f"{v * 1000:.2f} ms" for k, v in times.items()})
            if ratio < 1.2:
                break
        assert ratio < 1.2
        # docs/accounts.md says so: who brings a password is told apart.
        assert refusals(client, ["carla"], 20)["carla"] > 5 * max(times.values())


def refusals(client: Connection, names: list[str], times: int) -> dict[str, float]:
    """Return how long wrong passwords take by name, all different and asked in turn.

    That is the tenth percentile: other programs only ever make an answer slower, and while they
    keep the processors busy most of them are.
    """
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(times):
        for name in names:
            found[name].append(timed(client, basic(name, secrets.token_urlsafe(24)), 401))
    return {name: sorted(seconds)[times // 10] for name, seconds in found.items()}


@pytest.fixture(scope="module")
def guests() -> Iterator[str]:
    """Accounts whose passwords were not used before: the gateway remembers none of them."""
    return (f"guest{number}" for number in range(10, GUESTS))


def waits(
    stack: Stack, guests: Iterator[str], flood_: Sequence[str] | None = None
) -> tuple[float, float]:
    """Ask for the list of projects while others send what is refused; return how long it takes.

    Args:
        guests: accounts that were not used before; GUESTS_EACH are taken.
        flood_: count and names, as kit/flood.py takes them; without it nobody sends anything.

    Returns:
        The median of somebody's whose password the gateway remembers, and of somebody's whose not.
    """
    times: tuple[list[float], list[float]] = ([], [])
    with (
        Connection(stack.gateway.url) as remembered,
        Connection(stack.gateway.url) as forgotten,
        flooding(stack, flood_) as floods,
    ):
        # The last ones may come when the flood is over: few, and the median does not care.
        while floods() or len(times[1]) < GUESTS_EACH:
            times[0].append(timed(remembered, stack.login("bob"), 200))
            if len(times[0]) % 3 == 0 and len(times[1]) < GUESTS_EACH:
                times[1].append(timed(forgotten, stack.login(next(guests)), 200))
            time.sleep(0.02)
    return median(times[0]), median(times[1])


@contextmanager
def flooding(stack: Stack, arguments: Sequence[str] | None) -> Iterator[Callable[[], bool]]:
    """Let kit/flood.py run; hand out whether it still does. All its requests must be refused."""
    if arguments is None:
        yield lambda: False
        return
    host = urlsplit(stack.gateway.url).netloc
    command = [sys.executable, "-m", "kit.flood", host, *arguments]
    with subprocess.Popen(
        command, cwd=ROOT / "tests", stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield lambda: process.poll() is None
        finally:
            process.kill()
        assert process.stdout is not None
        assert process.stdout.read() == f"{arguments[0]}\n"


def test_ten_thousand_wrong_passwords_slow_others_little(
    stack: Stack, guests: Iterator[str]
) -> None:
    """The median wait is not three times that beside a server that rests.

    Both are measured in turns. Whatever else keeps the processors busy makes a turn slower, never
    faster: the best turn of the flood counts, and the median one of rest.
    """
    before = stack.gateway.memory()
    rest: list[tuple[float, float]] = []
    flood_: list[tuple[float, float]] = []
    for _ in range(TURNS):
        rest.append(waits(stack, guests))
        flood_.append(
            waits(stack, guests, [str(10_000 // TURNS), "bob", "mallory", "alice", "eve"])
        )
    grown = stack.gateway.memory() - before
    ratios = {}
    for number, who in enumerate(("remembered", "forgotten")):
        resting = sorted(seconds[number] for seconds in rest)
        flooded = sorted(seconds[number] for seconds in flood_)
        ratios[who] = flooded[0] / median(resting)
        for times in (resting, flooded):
            print(who, *(f"{seconds * 1000:.1f}" for seconds in times), "ms")
    print(ratios, f"the gateway grew by {grown / 2**20:.0f} MB")

    assert max(ratios.values()) < 3
    assert grown < 100 * 2**20


def test_wrong_passwords_for_a_name_with_a_brought_one_cost_others_time_but_no_access(
    stack: Stack, guests: Iterator[str]
) -> None:
    """As docs/faults.md says. How much time depends on the processors, so it is only printed."""

    def each(name: str) -> float:
        """Return for how long one wrong password keeps a processor busy."""
        began = stack.gateway.processor_time()
        # Who logs in meanwhile is answered with 200, and all of the flood with 401.
        remembered, forgotten = waits(stack, guests, ["200", name])
        print(f"{name}: {remembered * 1000:.1f} ms, {forgotten * 1000:.1f} ms")
        return (stack.gateway.processor_time() - began) / 200

    made_up, brought = each("bob"), each("carla")
    print(f"a wrong password takes {made_up * 1000:.1f} ms, and {brought * 1000:.1f} ms")

    assert brought > 15 * made_up
    # It leaves no queue behind.
    assert ask(stack.gateway.url, "/simple/", stack.login("bob")).status == 200


# Size ---------------------------------------------------------------------------------------------

LINES = b"".join(b"X-%d: y\r\n" % number for number in range(100_000))
LARGE = {
    "100,000 headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + LINES + b"\r\n",
    "a login of 1 MB": b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic "
    + b"QUFB" * 2**18
    + b"\r\n\r\n",
    "an address of 1 MB": b"GET /" + b"x" * 2**20 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("request_", LARGE.values(), ids=LARGE)
def test_headers_without_end_are_refused_and_take_no_memory(stack: Stack, request_: bytes) -> None:
    before = stack.gateway.memory()
    for _ in range(30):
        # It may have hung up before it was all sent; then the answer is lost.
        assert code(talk(stack.gateway.url, request_)) in (431, 400, 0)
    assert stack.gateway.memory() - before < 60 * 2**20
    assert ask(stack.gateway.url, "/simple/", stack.login("bob")).status == 200


def test_the_headers_that_clients_send_fit(stack: Stack) -> None:
    headers = {**stack.login("bob"), "Cookie": "x" * 4000, "X-Trace": "y" * 4000}
    assert ask(stack.gateway.url, "/simple/", headers).status == 200


# Slowness -----------------------------------------------------------------------------------------


class Dribble:
    """Connections that send what they have to say one byte a second; a context manager."""

    def __init__(self, url: str, count: int, request: bytes) -> None:
        self._address = address(url)
        self._count, self._request = count, request
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answers: list[bytes] = [b""] * count

    def __enter__(self) -> Dribble:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def codes(self) -> list[int]:
        """Return the status of each answer, 0 for none yet."""
        return [code(answer) for answer in self.answers]

    def _run(self) -> None:
        with ExitStack() as stack, selectors.DefaultSelector() as selector:
            clients = []
            for number in range(self._count):
                client = stack.enter_context(socket.create_connection(self._address, 30))
                client.sendall(self._request)
                selector.register(client, selectors.EVENT_READ, number)
                clients.append(client)
            turn = time.monotonic() + 1
            while not self._done.is_set():
                for key, _ in selector.select(max(0.05, turn - time.monotonic())):
                    self._receive(selector, key)
                if time.monotonic() >= turn:
                    turn += 1
                    for key in list(selector.get_map().values()):
                        self._send(selector, key)

    def _receive(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        try:
            received = key.fileobj.recv(4096)  # type: ignore[union-attr]
        except OSError:
            received = b""
        self.answers[key.data] += received
        if not received:
            selector.unregister(key.fileobj)

    def _send(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        try:
            key.fileobj.send(b"x")  # type: ignore[union-attr]
        except OSError:
            selector.unregister(key.fileobj)


FORM = "multipart/form-data; boundary=b"


def head(login: dict[str, str], length: int, kind: str = FORM) -> bytes:
    """Return the start of a request that uploads."""
    lines = [f"{name}: {value}" for name, value in login.items()]
    lines += [f"Content-Length: {length}", f"Content-Type: {kind}", "Host: x"]
    return "\r\n".join(["POST / HTTP/1.1", *lines, "", ""]).encode()


def upload(url: str, login: dict[str, str], folder: Path, name: str) -> int:
    """Publish a new library; return the status."""
    folder.mkdir()
    file = wheel.build(folder, name, "1.0", origin="us")
    body, kind = upload_form(file.name, file.read_bytes())
    answer = requests.post(f"{url}/", body, headers={**login, "Content-Type": kind}, timeout=60)
    return answer.status_code


def upload_steadily(url: str, login: dict[str, str], folder: Path, seconds: int) -> bytes:
    """Publish a library over so many seconds, 7 kB each; return the answer."""
    folder.mkdir()
    file = wheel.build(folder, "steady", "1.0", origin="us")
    wheel.add(file, "steady/noise", os.urandom(7_000 * seconds))
    body, kind = upload_form(file.name, file.read_bytes())
    step = len(body) // seconds + 1
    with socket.create_connection(address(url), 60) as client:
        client.sendall(head(login, len(body), kind))
        for start in range(0, len(body), step):
            client.sendall(body[start : start + step])
            time.sleep(1)
        return client.recv(65536)


def uploads_refused(stack: Stack) -> Counter[str]:
    """Return how often the server refused whose uploads with which status, of guest1 and dave."""
    found = re.findall(r' (guest1|dave) "POST / HTTP/1\.1" (\d+) ', stack.server.log.read_text())
    return Counter(f"{name} {status}" for name, status in found)


def test_who_sends_slowly_stops_neither_readers_nor_other_publishers(
    stack: Stack, tmp_path: Path
) -> None:
    """And who stops sending is given up after 30 seconds, but not who goes on for longer."""
    url, files = stack.gateway.url, tmp_path
    # Enough that the gateway passes it on.
    part = b'--b\r\nContent-Disposition: form-data; name="content"; filename="x.whl"\r\n\r\n'
    part += bytes(100_000)
    steadily: list[bytes] = []
    steady = threading.Thread(
        target=lambda: steadily.append(
            upload_steadily(url, stack.login("alice"), files / "steady", 36)
        )
    )
    memory = stack.gateway.memory()
    with (
        Dribble(url, 200, b"GET /simple/ HTTP/1.1\r\nHost: x\r\nX-Slow: ") as headers,
        Dribble(url, 100, head({}, 10**6)) as strangers,
        Dribble(url, 100, head(stack.login("bob"), 10**6)) as readers,
        Dribble(url, 100, head(stack.login("alice"), 10**6)) as publishers,
        Dribble(url, 50, head(stack.login("guest1"), 10**6) + part),
        Dribble(url, 100, head(stack.login("dave"), 10**6) + part) as stalled,
    ):
        steady.start()
        until = time.monotonic() + 60
        number = 0
        while steady.is_alive() and time.monotonic() < until:
            assert ask(url, "/simple/held-name/", stack.login("bob")).status == 200
            assert ask(url, f"/simple/not-here-{number}/", stack.login("carla")).status == 303
            assert upload(url, stack.login("alice"), files / str(number), f"lib-{number}") == 200
            number += 1
            time.sleep(1)
        steady.join()
        assert number > 5
        # Those who are given up must not hang up before, however late they got in.
        expected = {"guest1 403": 50, "dave 503": 88, "dave 408": 12}
        wait_until(
            lambda: uploads_refused(stack) == expected and stalled.codes().count(408) >= 12,
            explain=lambda: (uploads_refused(stack), stalled.codes()),
        )
        assert stack.gateway.memory() - memory < 150 * 2**20
    assert [code(answer) for answer in steadily] == [200], steadily
    # Headers have ten seconds.
    assert set(headers.codes()) <= {0, 408, 400}
    # These did not send what the gateway reads before it answers or passes on.
    assert set(strangers.codes()) <= {0, 401}
    assert set(readers.codes()) | set(publishers.codes()) == {0}
    # Twelve got in and were given up, all others were refused at once.
    assert uploads_refused(stack) == expected
    assert stalled.codes().count(408) == 12
    assert b"Too little of the upload arrived in 30 seconds" in b"".join(stalled.answers)


# Refused logins -----------------------------------------------------------------------------------

FORGED = '","client_ip":"192.0.2.66","x":"'
FORGED_LINE = (
    '{"level":"info","ts":1.0,"logger":"http.log.access.refused","msg":"handled request",'
    '"request":{"remote_ip":"192.0.2.66","remote_port":"1","client_ip":"192.0.2.66",'
)


@pytest.fixture(scope="module")
def fail2ban(rendered: Path, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Fail2ban:
    """The real one, with the rendered filter and jail."""
    return Fail2ban(rendered, tmp_path_factory.mktemp("fail2ban") / "f", stack.gateway.refused)


def banned(stack: Stack, fail2ban: Fail2ban, after: int) -> list[str]:
    """Return whom the log's lines after the first few count against."""
    rest = stack.gateway.refused.with_suffix(".rest")
    lines = stack.gateway.refused.read_text().splitlines(keepends=True)
    rest.write_text("".join(lines[after:]))
    return fail2ban.addresses(rest, "private-pypi")


def refused_lines(stack: Stack) -> int:
    """Return how many lines the log of refused logins has."""
    return len(stack.gateway.refused.read_text().splitlines())


def test_wrong_logins_count_against_the_address_that_the_proxy_in_front_tells(
    stack: Stack, fail2ban: Fail2ban
) -> None:
    before = refused_lines(stack)
    wrong = [
        basic("bob", "x"),
        basic("mallory", "x"),
        basic("carla", "x"),
        basic("a" * 5000, "x"),
        {"Authorization": "Bearer token"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "x"},
    ]
    for number, header in enumerate(wrong):
        told = {"X-Forwarded-For": "198.51.100.9", "X-Real-IP": f"192.0.2.{number}"}
        assert ask(stack.gateway.url, "/simple/", {**header, **told}).status == 401
    told = {"X-Real-IP": "2001:db8::7"}
    assert ask(stack.gateway.url, "/simple/", {**wrong[0], **told}).status == 401

    expected = [f"192.0.2.{number}" for number in range(len(wrong))]
    assert banned(stack, fail2ban, before) == [*expected, "2001:db8::7"]


def test_nothing_else_does(stack: Stack, fail2ban: Fail2ban) -> None:
    before = refused_lines(stack)
    told = {"X-Real-IP": "192.0.2.50"}
    for path in ("/simple/", "/packages/x", "/", "/RPC2", "/.x"):
        # The first request of uv and of Poetry has no login.
        assert ask(stack.gateway.url, path, told).status == 401
        assert ask(stack.gateway.url, path, {**stack.login("bob"), **told}).status != 401
    publish = requests.post(
        stack.gateway.url, headers={**stack.login("bob"), **told}, data=b"x", timeout=30
    )
    assert publish.status_code == 403
    assert ask(stack.gateway.url, "/health", {**basic("bob", "x"), **told}).status == 200

    assert refused_lines(stack) == before


def test_nobody_can_make_it_count_against_another(stack: Stack, fail2ban: Fail2ban) -> None:
    before = refused_lines(stack)
    mine = {"X-Real-IP": "198.51.100.1"}
    for text in (FORGED, FORGED_LINE, f"\\{FORGED}", f"\\\\{FORGED}"):
        quoted = text.replace('"', "%22").replace(" ", "%20")
        headers = {
            **mine,
            "User-Agent": text,
            "Referer": text,
            "Cookie": text,
            "X-Forwarded-For": text,
        }
        asked = [
            (f"/{quoted}", {**headers, **basic("bob", "x")}),
            (f"/?{quoted}", {**headers, **basic(text, text)}),
            ("/", {**headers, **basic(f"x\n{text}", f"\n{text}\n")}),
            ("/", {**headers, "Authorization": f"Basic {text}"}),
            ("/", {**headers, "Authorization": text, "client_ip": "192.0.2.66"}),
            ("/", {**headers, "Forwarded": "for=192.0.2.66", "Authorization": "x"}),
        ]
        for path, sent in asked:
            ask(stack.gateway.url, path, sent)
        raw = f"GET /{text} HTTP/1.1\r\nHost: {text}\r\nAuthorization: x\r\n\r\n"
        talk(stack.gateway.url, raw.encode())
        # What the proxy in front would tell is an address, whoever made it up.
        ask(stack.gateway.url, "/", {**basic("bob", "x"), "X-Real-IP": text})

    counted = banned(stack, fail2ban, before)
    assert counted.count("198.51.100.1") >= 20
    assert set(counted) <= {"198.51.100.1", "127.0.0.1"}


def test_the_jail_bans_in_front_of_dockers_ports(stack: Stack, fail2ban: Fail2ban) -> None:
    told = fail2ban.settings()

    assert f"['set', 'private-pypi', 'addlogpath', '{stack.gateway.refused}', 'head']" in told
    assert "-I DOCKER-USER -p $proto -m multiport --dports 80,443" in told
    assert "['start', 'private-pypi']" in told


# Logs ---------------------------------------------------------------------------------------------

SECRET = "hunter2-hunter2-hunter2"


@pytest.fixture
def quiet(rendered: Path, tmp_path: Path) -> Iterator[Stack]:
    """Both programs, running, which nobody has asked for anything yet."""
    made = make_stack(rendered, tmp_path / "s")
    with made.server, made.gateway:
        yield made


def test_every_request_is_logged_with_who_what_and_how_long(quiet: Stack) -> None:
    stack = quiet
    told = {"X-Real-IP": "203.0.113.4", "User-Agent": "pip/26"}
    login = {**stack.login("bob"), **told}
    asked = [
        ("GET", "/simple/", login, 200),
        ("HEAD", "/simple/held-name/", login, 200),
        ("GET", "/packages/held_name-1.0-py3-none-any.whl", login, 200),
        ("GET", "/packages/none.whl", login, 404),
        ("GET", "/simple/not-here/", login, 303),
        ("GET", "/RPC2", login, 404),
        ("GET", "/simple/", told, 401),
        ("GET", "/health", told, 200),
        ("DELETE", "/simple/", login, 403),
        ("DELETE", "/not-here/", login, 403),
    ]
    for method, path, headers, status in asked:
        assert ask(stack.gateway.url, path, headers, method=method).status == status
    refused = ask(stack.gateway.url, "/", {**told, **basic("bob", "x")})
    assert refused.status == 401

    lines = stack.logged(client_ip="203.0.113.4")
    seen = [(line["request"]["method"], line["request"]["uri"], line["status"]) for line in lines]
    assert seen == [*((m, p, s) for m, p, _, s in asked), ("GET", "/", 401)]
    for line, (_, path, headers, _) in zip(lines, asked, strict=False):
        known = "Authorization" in headers and path != "/health"
        assert line["logger"] == f"http.log.access.{'access' if known else 'strangers'}"
        assert line["user_id"] == ("bob" if known else "")
        assert line["user_agent"] == "pip/26"
        assert line["duration"] > 0
        assert line["size"] >= 0
    assert lines[2]["size"] == len((stack.server.data / Path(asked[2][1]).name).read_bytes())


UNPRINTABLE = ("\x9b31m", "\u202egnp", "\u2028", "\x7f", "\x85", "\u200b")
"""C1 controls, marks that turn the direction of writing, and other letters that nobody sees."""
LONGEST_LINE = 1500


def test_nothing_in_a_log_is_longer_than_it_need_be_or_acts_on_a_terminal(stack: Stack) -> None:
    odd = [text.encode() for text in UNPRINTABLE] + [b"\x9b31m", b"\xff\xfe"]
    long = b"x" * 7_000
    for login in ({}, basic("bob", "x"), stack.login("bob")):
        sent = "".join(f"{name}: {value}\r\n" for name, value in login.items()).encode()
        for text in (b"".join(odd), *odd, long, b"\xe2\x80\xae" * 4000, b'"\\' * 4000):
            for request in (
                b"GET /simple/ HTTP/1.1\r\nHost: x\r\nUser-Agent: %b\r\n" % text,
                b"GET /simple/%b HTTP/1.1\r\nHost: x\r\n" % text,
                b"GET /simple/%%9b%%e2%%80%%ae%b HTTP/1.1\r\nHost: x\r\n" % text,
                b"GET / HTTP/1.1\r\nHost: %b\r\n" % text,
                b"GET / HTTP/1.1\r\nHost: x\r\nX-Real-IP: %b\r\n" % text,
                b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: %b\r\n" % text,
                b"%b / HTTP/1.1\r\nHost: x\r\n" % text,
            ):
                talk(stack.gateway.url, request + sent + b"Connection: close\r\n\r\n")
                if len(text) < 4000:
                    talk(stack.server.url(), request + sent + b"Connection: close\r\n\r\n")

    strange = stack.server.data / f"{''.join(UNPRINTABLE)}.whl"
    strange.touch()
    wait_until(lambda: ".whl" in stack.server.log.read_text(), 20)
    strange.unlink()

    # Of those without an account the log has sixty a minute.
    assert len(stack.logged()) > 100
    for path in (stack.gateway.log, stack.gateway.refused, stack.server.log):
        lines = path.read_text().removesuffix("\n").split("\n")
        assert max(map(len, lines)) < LONGEST_LINE
        assert [line for line in lines if not line.isprintable()] == []


def test_a_flood_of_strangers_leaves_the_log_to_those_who_have_an_account(stack: Stack) -> None:
    wrong, noisy = basic("bob", "x"), {"User-Agent": "x" * 7_000}
    strangers = [("/simple/", {}), ("/simple/", wrong), ("/health", {})]
    login = {**stack.login("bob"), "X-Real-IP": "203.0.113.4"}
    refused, size = refused_lines(stack), stack.gateway.log.stat().st_size
    began = time.monotonic()
    connection = http.client.HTTPConnection(*address(stack.gateway.url), timeout=60)
    with closing(connection) as flooding:
        for number in range(3000):
            path, headers = strangers[number % 3]
            flooding.request("GET", path, headers={**noisy, **headers})
            flooding.getresponse().read()
            if number % 30 == 0:
                assert ask(stack.gateway.url, "/simple/", login).status == 200

    minutes = 2 + int(time.monotonic() - began) // 60
    assert len(stack.logged(client_ip="203.0.113.4")) == 100
    with stack.gateway.log.open() as log:
        log.seek(size)
        assert len(log.readlines()) <= 100 + 60 * minutes
    assert stack.gateway.log.stat().st_size - size < (100 + 60 * minutes) * LONGEST_LINE
    # fail2ban counts every one.
    assert refused_lines(stack) - refused == 1000


def test_only_the_proxy_in_front_is_believed_where_it_is_named(
    render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("proxy_address", "127.0.0.9 198.51.100.0/24")
    made = make_stack(render({"template": "server", "https": "traefik"}), tmp_path / "s")
    told = {**made.login("bob"), "X-Real-IP": "203.0.113.4"}
    with made.server, made.gateway:
        for source in ("127.0.0.9", "127.0.0.8"):
            client = http.client.HTTPConnection(
                *address(made.gateway.url), timeout=30, source_address=(source, 0)
            )
            with closing(client):
                client.request("GET", "/packages/none.whl", headers=told)
                assert client.getresponse().status == 404

    assert len(made.logged(client_ip="203.0.113.4")) == 1
    assert len(made.logged(client_ip="127.0.0.8")) == 1


def test_no_log_ever_has_a_credential(stack: Stack, tmp_path: Path) -> None:
    login = basic("bob", SECRET)["Authorization"]
    pair = login.removeprefix("Basic ")
    hidden = {
        "Authorization": login,
        "Proxy-Authorization": login,
        "Cookie": f"session={SECRET}",
        "X-Api-Key": SECRET,
        "X-Auth-Token": SECRET,
        "Referer": f"http://bob:{SECRET}@x/",
    }
    right = {**hidden, **stack.login("bob")}
    for url in (stack.gateway.url, stack.server.url()):
        for headers in (hidden, right):
            for path in (
                f"/simple/?password={SECRET}&user=bob",
                f"/packages/x.whl?token={SECRET}",
                f"/simple/not-here/?{SECRET}",
                f"/?{SECRET}",
            ):
                ask(url, path, headers)
            lines = [f"{name}: {value}" for name, value in headers.items()]
            for target, host in (
                (f"http://bob:{SECRET}@x/simple/?x={SECRET}", "x"),
                (f"//bob:{SECRET}@x/simple/", "x"),
                (f"/simple/https://bob:{SECRET}@x/", "x"),
                ("/simple/", f"bob:{SECRET}@x"),
            ):
                raw = "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {host}", *lines, "", ""])
                talk(url, raw.encode())
        requests.post(
            url,
            data={":action": "file_upload", "password": SECRET, "name": SECRET},
            files={"content": (f"{SECRET}.whl", b"x")},
            headers=stack.login("alice"),
            timeout=30,
        )
        requests.post(url, data={"password": SECRET}, headers=stack.login("alice"), timeout=30)

    logs = (stack.gateway.log, stack.gateway.refused, stack.server.log)
    text = "".join(path.read_text() for path in logs)
    assert SECRET not in text
    assert pair not in text


def test_an_error_of_the_gateway_has_no_credential_either(stack: Stack, rendered: Path) -> None:
    folder = stack.gateway.log.parent / "alone"
    folder.mkdir()
    server = Server(rendered, folder)
    with Gateway(rendered, folder, stack.gateway.log.parent / "accounts", server) as gateway:
        login = {**stack.login("bob"), "Cookie": SECRET, "X-Api-Key": SECRET}
        assert ask(gateway.url, f"/simple/x/?password={SECRET}", login).status == 502
    log = gateway.log.read_text()
    assert '"level":"error"' in log
    assert SECRET not in log
    assert stack.passwords["bob"] not in log
