"""The load on a server: requests by wrk, uploads, and installs by uv and pip."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import shutil
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import files
from process import BenchError, environment

CONNECTIONS = 8
INSTALLERS = ("uv", "pip")
PIP_ACCEPTS = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1,"
    " text/html; q=0.01"
)
_SLOWEST = 120
"""Seconds that one request may take."""


class Client:
    """One kept-alive connection to a server; it takes every certificate."""

    def __init__(self, url: str, account: tuple[str, str] | None = None) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port)
        self._secure = parts.scheme == "https"
        self.headers = {"Accept": PIP_ACCEPTS}
        if account:
            pair = base64.b64encode(":".join(account).encode()).decode()
            self.headers["Authorization"] = f"Basic {pair}"
        self._connection = self._connect()

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._address
        if self._secure:
            context = ssl._create_unverified_context()
            return http.client.HTTPSConnection(host, port, timeout=_SLOWEST, context=context)
        return http.client.HTTPConnection(host, port, timeout=_SLOWEST)

    def request(
        self, method: str, path: str, body: bytes = b"", content_type: str = ""
    ) -> tuple[int, str, bytes]:
        """Return status, content type and body of an answer."""
        headers = {**self.headers, **({"Content-Type": content_type} if content_type else {})}
        try:
            self._connection.request(method, path, body or None, headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        return answer.status, answer.headers.get_content_type(), content

    def get(self, path: str) -> bytes:
        """Return the body of an answer.

        Raises:
            BenchError: if the answer is not 200.
        """
        status, _, content = self.request("GET", path)
        if status != 200:
            raise BenchError(f"GET {path} was answered {status}: {content[:200]!r}")
        return content

    def transferred(self, path: str) -> int:
        """Return how many bytes a browser gets for a path, compressed where that is offered."""
        self.headers["Accept-Encoding"] = "gzip"
        try:
            return len(self.get(path))
        finally:
            del self.headers["Accept-Encoding"]

    def link(self, page: str, name: str) -> str:
        """Return the path of a distribution to which a project's page links.

        Raises:
            BenchError: if the page has no such link.
        """
        status, kind, content = self.request("GET", page)
        if status == 200 and kind.endswith("json"):
            links = [entry["url"] for entry in json.loads(content)["files"]]
        else:
            links = _Links(content.decode()).found
        for link in links:
            path: str = urlsplit(urljoin(page, link)).path
            if path.endswith(f"/{name}"):
                return path
        raise BenchError(f"{page} has no link to {name}: {status} {content[:200]!r}")

    def upload(self, path: str, number: int, version: str) -> None:
        """Publish a wheel as twine does.

        Raises:
            BenchError: if the answer is not 200.
        """
        data = files.wheel(number, version)
        name = files.file_name(number, version)
        fields = {
            ":action": "file_upload",
            "protocol_version": "1",
            "metadata_version": "2.1",
            "name": files.project(number),
            "version": version,
            "filetype": "bdist_wheel",
            "pyversion": "py3",
            "sha256_digest": hashlib.sha256(data).hexdigest(),
        }
        boundary = "bench-boundary-3f1c8a"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
            for field, value in fields.items()
        ]
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="content"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = "".join(parts).encode() + data + f"\r\n--{boundary}--\r\n".encode()
        kind = f"multipart/form-data; boundary={boundary}"
        status, _, answer = self.request("POST", path, body, kind)
        if status != 200:
            raise BenchError(f"the upload of {name} was answered {status}: {answer[:200]!r}")


class _Links(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name == "href" and value]


def wrk() -> str | None:
    """Return the path of wrk, the load generator; None if it is not installed."""
    return shutil.which("wrk")


def requests_per_second(url: str, paths: list[str], headers: dict[str, str], seconds: int) -> float:
    """Return how many requests a server answers in a second, going through the paths in turn."""
    command = [
        wrk() or "wrk",
        "--threads=1",
        f"--connections={CONNECTIONS}",
        f"--duration={seconds}s",
        f"--timeout={_SLOWEST}s",
        *(f"--header={name}: {value}" for name, value in headers.items()),
        f"--script={Path(__file__).with_name('wrk.lua')}",
        url,
        "--",
        *paths,
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    rate = re.search(r"^Requests/sec:\s+([0-9.]+)$", said.stdout, re.MULTILINE)
    wrong = re.search(r"Non-2xx.*|Socket errors.*", said.stdout)
    if not rate or wrong or said.returncode:
        why = wrong.group() if wrong else said.stderr or said.stdout
        raise BenchError(f"wrk found errors at {url}: {why}")
    return float(rate.group(1))


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def uploads(client: Client, path: str, projects: int, count: int, series: int) -> float:
    """Publish new versions of existing projects; return the median of the seconds they took.

    Args:
        projects: how many there are; the uploads go to as many different ones as possible.
        count: how many uploads; fewer if they take more than 10 seconds, but at least five.
        series: makes their versions differ from those of other calls.
    """
    taken: list[float] = []
    for index in range(count):
        number, version = (index * 7) % projects, f"2.{series}.{index}"
        taken.append(timed(lambda n=number, v=version: client.upload(path, n, v)))  # type: ignore[misc]
        if sum(taken) > 10 and len(taken) >= 5:
            break
    return statistics.median(taken)


def by_hand(client: Client, index: str, data: Path) -> float:
    """Copy a distribution into the data folder; return the seconds until its page lists it."""
    name = files.file_name(0, "3.0")
    (data / f".{name}").write_bytes(files.wheel(0, "3.0"))
    (data / f".{name}").rename(data / name)
    started = time.perf_counter()
    while name.encode() not in client.get(f"{index}{files.project(0)}/"):
        if time.perf_counter() - started > _SLOWEST:
            raise BenchError(f"{name} was copied into {data} and is not listed")
        time.sleep(0.02)
    return time.perf_counter() - started


def install(program: str, index: str, tree: int = 0) -> float:
    """Install a tree of projects with uv or pip, nothing cached; return the seconds."""
    with tempfile.TemporaryDirectory(prefix="bench-install-") as folder:
        target = Path(folder) / "installed"
        here = Path(sys.executable).parent
        if program == "uv":
            command = [str(here / "uv"), "pip", "install", "--no-config", "--no-cache", "--quiet"]
            command += ["--python", sys.executable]
        else:
            command = [sys.executable, "-m", "pip", "--isolated", "install", "--no-cache-dir"]
            command += ["--quiet", "--no-input", "--disable-pip-version-check"]
        command += ["--target", str(target), "--index-url", index, files.project(tree * files.TREE)]
        started = time.perf_counter()
        said = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment(), cwd=folder
        )
        taken = time.perf_counter() - started
        if said.returncode:
            raise BenchError(f"{program} could not install: {said.stderr[-500:]}")
        installed = len(list(target.glob("*.dist-info")))
        if installed != files.TREE:
            raise BenchError(f"{program} installed {installed} packages, not {files.TREE}")
        return taken
