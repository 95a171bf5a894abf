"""The stacks that are compared, each as its owner would run it and stopped with its block."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import subprocess
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import copier
import files
import nginx
import yaml
from copier.errors import DirtyLocalWarning
from load import Client
from passlib.hash import bcrypt
from process import BenchError, Process, environment, free_port, running, settle

ROOT = Path(__file__).parent.parent
HERE = Path(sys.executable).parent
PEERS = ROOT / ".venv" / "peers" / "bin"

ACCOUNT = ("bench", secrets.token_hex(16))
COST = 12
"""Cost of the bcrypt hash of its password, which is what older htpasswd files have."""
ASKED = 10
"""Pages and distributions that are asked for, evenly spread over all."""


@dataclass
class Server:
    """A stack that runs.

    Attributes:
        url: its root, without a slash at the end.
        index: path of its project list, with a slash at the end.
        processes: all processes of the stack.
        account: name and password; None if it asks for no account.
        paths: paths to ask for, by "page", "download" and "unknown".
        data: folder into which its owner may copy distributions.
        started: seconds from the start until it knew all its distributions.
    """

    url: str
    processes: list[Process]
    index: str = "/simple/"
    account: tuple[str, str] | None = ACCOUNT
    paths: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    data: Path | None = None
    started: float | None = None

    def client(self) -> Client:
        """Return a new connection to it."""
        return Client(self.url, self.account)

    def index_url(self) -> str:
        """Return the URL that pip and uv are given."""
        pair = ":".join(self.account) + "@" if self.account else ""
        return self.url.replace("://", f"://{pair}") + self.index

    def find(self, size: int) -> None:
        """Fill paths, and check that the downloads are the files that were stored."""
        client = self.client()
        for number in range(0, size // files.VERSIONS, size // files.VERSIONS // ASKED):
            page = f"{self.index}{files.project(number)}/"
            download = client.link(page, files.file_name(number, "1.3"))
            if client.get(download) != files.wheel(number, "1.3"):
                raise BenchError(f"{self.url}{download} is not the file that was stored")
            self.paths["page"].append(page)
            self.paths["download"].append(download)
            self.paths["web page"].append(f"/project/{files.project(number)}/")
            self.paths["unknown"].append(f"{self.index}no-such-{files.project(number)}/")


@dataclass(frozen=True)
class Stack:
    """A stack that can be run.

    Attributes:
        name: its name in the results.
        size: how many distributions it has.
        run: starts it, and stops it afterwards.
    """

    name: str
    size: int
    run: Callable[[], Iterator[Server]]

    @contextmanager
    def running(self) -> Iterator[Server]:
        """Run it until the block ends; the block starts once the processes are idle."""
        with contextmanager(self.run)() as server:
            settle(server.processes)
            yield server


def render(folder: Path, answers: Mapping[str, Any]) -> Path:
    """Render a template from this checkout as it is."""
    warnings.simplefilter("ignore", DirtyLocalWarning)
    copier.run_copy(
        str(ROOT), folder, dict(answers), vcs_ref="HEAD", defaults=True, quiet=True, unsafe=True
    )
    return folder


def _settings(rendered: Path) -> dict[str, str]:
    """Return what Compose puts into the gateway's environment on every host."""
    model = yaml.safe_load((rendered / "docker-compose.pypi.yml").read_text())
    variables = model["services"]["gateway"]["environment"]
    return {name: value for name, value in variables.items() if "$" not in value}


def certificate(folder: Path) -> None:
    """Make a self-signed certificate for 127.0.0.1, under the names the gateway reads."""
    folder.mkdir()
    subject = "/CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj {subject}"
    command += " -keyout privkey.pem -out fullchain.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)


class Ours:
    """The rendered server without containers: Caddy in front of private_pypi.

    Args:
        package: folder of the rendered Python package.
        folder: is made, for its data.
        library: folder of the distributions.
        count: how many distributions it gets.
    """

    def __init__(self, package: Path, folder: Path, library: Path, count: int) -> None:
        self._package, self._folder, self._count = package, folder, count
        files.link(library, folder / "pypi_data", count)
        for name in ("pypi_auth", "accounts"):
            (folder / name).mkdir()
        digest = bcrypt.using(rounds=COST, ident="2y").hash(ACCOUNT[1])
        (folder / "pypi_auth" / ".htpasswd").write_text(f"{ACCOUNT[0]}:{digest}\n")
        # No watcher tells this gateway of changes: it reads the accounts when it starts.
        self._run("follow", "--once")
        seconds = re.findall(r"in ([0-9.]+) s", self._run("index"))
        self.indexed_per_second = count / float(seconds[0])

    def stack(self, name: str, gateway: Path, certificates: Path | None = None) -> Stack:
        """Return it as a stack, with a rendered Caddyfile and, if that needs them, certificates."""
        return Stack(name, self._count, lambda: self._serve(gateway, certificates))

    def _serve(self, gateway: Path, certificates: Path | None) -> Iterator[Server]:
        port, inner = free_port(), free_port()
        caddyfile = self._caddyfile(gateway, port, inner, certificates)
        scheme = "https" if certificates else "http"
        url = f"{scheme}://127.0.0.1:{port}"
        variables = {**self._environment(inner), **_settings(gateway.parents[1])}
        started = time.monotonic()
        with ExitStack() as stack:
            processes = [
                stack.enter_context(running(command, self._folder, name, variables))
                for name, command in self._programs(caddyfile).items()
            ]
            wait_for(f"http://127.0.0.1:{inner}", "/health", processes)
            wait_for(url, "/health", processes)
            server = Server(url, processes, data=self._folder / "pypi_data")
            # It refuses an unknown name only once it knows all its distributions.
            wait_for(url, "/simple/no-such-project/", processes, server.client)
            server.started = time.monotonic() - started
            yield server

    def _programs(self, caddyfile: Path) -> dict[str, list[str]]:
        """Return the commands that serve it, by the names of the programs."""
        return {
            "private_pypi": [sys.executable, "-m", "private_pypi", "serve"],
            "caddy": [str(HERE / "caddy"), "run", "--config", str(caddyfile)],
        }

    def _caddyfile(self, gateway: Path, port: int, inner: int, certificates: Path | None) -> Path:
        """Write the rendered Caddyfile with the addresses and folders of this run."""
        text = gateway.read_text()
        changes = [
            ("\n:80 {", f"\nhttp://127.0.0.1:{port} {{"),
            ("unix//run/private_pypi/http.sock", f"127.0.0.1:{inner}"),
            ("unix//run/public/http.sock", f"unix/{self._folder}/public.sock"),
            (":2020", f":{free_port()}"),
            ("/accounts/", f"{self._folder}/accounts/"),
            ("/data/refused.log", f"{self._folder}/refused.log"),
            ("/data/uses/", f"{self._folder}/uses/"),
            ("/srv", str(self._folder)),
        ]
        if certificates:
            changes += [
                ("{$pypi_url:pypi.example.com}", f"https://127.0.0.1:{port}"),
                # For all other names the gateway listens on the standard ports, which may be taken.
                (
                    "\tadmin off\n",
                    f"\tadmin off\n\thttp_port {free_port()}\n\thttps_port {free_port()}\n",
                ),
                (
                    "/data/certs/pair.pem /data/certs/pair.pem",
                    f"{certificates}/fullchain.pem {certificates}/privkey.pem",
                ),
            ]
        for old, new in changes:
            text = text.replace(old, new)
        path = self._folder / "Caddyfile"
        path.write_text(text)
        return path

    def _environment(self, port: int = 0) -> dict[str, str]:
        return environment(
            HOME=str(self._folder),
            PYTHONPATH=str(self._package),
            PYPI_DATA="pypi_data",
            PYPI_INDEX="pypi_index",
            PYPI_AUTH="pypi_auth",
            PYPI_GATEWAY="accounts",
            PYPI_BY="bench",
            **({"PYPI_PORT": str(port)} if port else {}),
        )

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "private_pypi", *arguments],
            cwd=self._folder,
            env=self._environment(),
            input=f"{ACCOUNT[1]}\n",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"private_pypi {arguments[0]} failed: {done.stderr[-800:]}")
        return done.stdout


class Pypiserver:
    """pypiserver by its own command line, on a folder of its own, with a SHA-1 htpasswd file.

    Its cache takes every file that is opened for a change and lists the folder anew. Under
    gunicorn it sees no changes but its own uploads, and lists the folder once.
    """

    def __init__(self, folder: Path, library: Path, count: int) -> None:
        self._folder, self._count = folder, count
        files.link(library, folder / "packages", count)
        digest = base64.b64encode(hashlib.sha1(ACCOUNT[1].encode()).digest()).decode()
        (folder / "htpasswd").write_text(f"{ACCOUNT[0]}:{{SHA}}{digest}\n")
        # What the published image configures.
        (folder / "gunicorn.conf.py").write_text(
            'preload_app = True\nworkers = 1\nworker_class = "gevent"\n'
        )

    def stack(self, name: str, *arguments: str) -> Stack:
        """Return it as a stack, with further arguments."""
        return Stack(name, self._count, lambda: self._serve(arguments))

    def _serve(self, arguments: tuple[str, ...]) -> Iterator[Server]:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [str(PEERS / "pypi-server"), "run", "-i", "127.0.0.1", "-p", str(port)]
        command += ["-P", "htpasswd", "-a", "update,download,list", *arguments, "packages"]
        with running(command, self._folder, "pypiserver", environment()) as process:
            wait_for(url, "/health", [process])
            yield Server(url, [process])


class Devpi:
    """devpi-server with one stage, to which the distributions are uploaded."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._uploaded = 0
        folder.mkdir()
        done = subprocess.run(
            [str(PEERS / "devpi-init"), "--serverdir", "data", "--no-root-pypi"],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"devpi-init failed: {done.stderr[-800:]}")

    def stack(self, name: str, count: int) -> Stack:
        """Return it as a stack with so many distributions, or with more once it has more."""
        return Stack(name, count, lambda: self._serve(count))

    def _serve(self, count: int) -> Iterator[Server]:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [str(PEERS / "devpi-server"), "--serverdir", "data", "--offline-mode"]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        with running(command, self._folder, "devpi-server", environment()) as process:
            wait_for(url, "/", [process])
            self._fill(url, count)
            yield Server(url, [process], index="/root/bench/+simple/", account=None)

    def _fill(self, url: str, count: int) -> None:
        if self._uploaded >= count:
            return
        # With the token of a login; a password would be hashed anew for each upload.
        login = b'{"user": "root", "password": ""}'
        answer = self._call(Client(url), "POST", "/+login", login)
        client = Client(url, ("root", answer["result"]["password"]))
        if not self._uploaded:
            stage = b'{"type": "stage", "bases": [], "volatile": true}'
            self._call(client, "PUT", "/root/bench", stage)
        for place in range(self._uploaded, count):
            number, version = divmod(place, files.VERSIONS)
            client.upload("/root/bench/", number, f"1.{version}")
        self._uploaded = count

    def _call(self, client: Client, method: str, path: str, body: bytes) -> Any:
        client.headers["Accept"] = "application/json"
        status, _, said = client.request(method, path, body, "application/json")
        if status != 200:
            raise BenchError(f"devpi-server answered {path} with {status}: {said[:200]!r}")
        return json.loads(said)


class Content:
    """The bytes of our answers, as files for servers that only serve files."""

    def __init__(self, folder: Path, server: Server) -> None:
        self._folder = folder
        client = server.client()
        self._paths: dict[str, list[str]] = {}
        (folder / "served").mkdir(parents=True)
        for metric, ending in (("page", "json"), ("download", "whl")):
            names = [f"{place}.{ending}" for place in range(len(server.paths[metric]))]
            for name, path in zip(names, server.paths[metric], strict=True):
                (folder / "served" / name).write_bytes(client.get(path))
            self._paths[metric] = [f"/{name}" for name in names]

    def nginx(self, name: str, certificates: Path | None = None) -> Stack:
        """Return nginx, over TLS if there are certificates."""
        return Stack(name, 0, lambda: self._nginx(certificates))

    def caddy(self, name: str) -> Stack:
        """Return Caddy's own file server, which asks for no account."""
        return Stack(name, 0, self._caddy)

    def _nginx(self, certificates: Path | None) -> Iterator[Server]:
        port = free_port()
        command = nginx.command(self._folder, port, certificates)
        yield from self._serve("nginx", command, port, certificates)

    def _caddy(self) -> Iterator[Server]:
        port = free_port()
        (self._folder / "Caddyfile").write_text(
            "{\n\tadmin off\n\tpersist_config off\n\tauto_https off\n}\n\n"
            f"http://127.0.0.1:{port} {{\n\troot {self._folder}/served\n\tfile_server\n}}\n"
        )
        yield from self._serve("caddy", [str(HERE / "caddy"), "run"], port, None)

    def _serve(
        self, name: str, command: list[str], port: int, certificates: Path | None
    ) -> Iterator[Server]:
        url = f"{'https' if certificates else 'http'}://127.0.0.1:{port}"
        with running(command, self._folder, name, environment(HOME=str(self._folder))) as process:
            wait_for(url, self._paths["page"][0], [process])
            yield Server(url, [process], account=None, paths=self._paths)


def wait_for(
    url: str, path: str, processes: list[Process], client: Callable[[], Client] | None = None
) -> None:
    """Wait until a server that was just started answers at a path, if only that nothing is there.

    Args:
        client: makes a connection; without it, the connection has no account.
    """
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for process in processes:
            process.check()
        try:
            if (client() if client else Client(url)).request("GET", path)[0] < 500:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise BenchError(f"no answer from {url}{path} within 5 minutes")
