"""Shows both templates at work, without Docker: run by `make demo`.

Renders both templates into build/demo/, starts the server, publishes a library to it, installs
that into the client and runs the client's app. Leaves the two repositories behind, and nothing
running.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import copier
from copier.errors import CopierError, DirtyLocalWarning
from jinja2 import TemplateError

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "build" / "demo"
SERVER, CLIENT, LIBRARY = FOLDER / "server", FOLDER / "client", FOLDER / "my-private-lib"
LOG = FOLDER / "server.log"
ACCOUNT = "demo"


class DemoError(Exception):
    """A step failed; the message says why and what to do."""


def main() -> int:
    """Run every step; return the exit code."""
    # Changes of the checkout that are not committed are rendered, too: this is how to try them.
    warnings.simplefilter("ignore", DirtyLocalWarning)
    started = time.monotonic()
    password = secrets.token_urlsafe(24)
    try:
        with step("Choose a free port of 127.0.0.1"):
            url = f"http://127.0.0.1:{free_port()}"
        with step(f"Render the server into {shown(SERVER)}"):
            shutil.rmtree(FOLDER, ignore_errors=True)
            render("server", SERVER, {"publisher": ACCOUNT, "publisher_password": password})
        with step(f"Render the client into {shown(CLIENT)}"):
            answers = {"pypi_url": url, "index_user": ACCOUNT, "index_password": password}
            render("client", CLIENT, answers)
        with running_server(url):
            with step("Publish my-private-lib with Poetry"):
                publish(url, password)
            with step("Install it into the client with pip, from requirements.txt"):
                install(url, password)
            with step("Run the client's app"):
                said = run_app()
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\n{said}\n\nDone in {time.monotonic() - started:.0f} s; nothing is running any more.")
    print(f"  server   {shown(SERVER)}, start it again: make -C {shown(SERVER)} pypi-local", end="")
    print(f" PORT={url.rpartition(':')[2]}")
    print(f"  client   {shown(CLIENT)}")
    print(f"  URL      {url}/")
    print(f"  account  {ACCOUNT}, its password is in {shown(CLIENT / '.pypi.env')}")
    return 0


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print one line for a step, and name the step if it fails."""
    print(f"{name} ... ", end="", flush=True)
    started = time.monotonic()
    try:
        yield
    except DemoError as error:
        print("failed")
        raise DemoError(f"{name}: {error}") from None
    print(f"ok ({time.monotonic() - started:.1f} s)")


def render(template: str, folder: Path, answers: Mapping[str, str]) -> None:
    """Render one template as `copier copy` would, from this checkout as it is."""
    data = {"template": template, "ci": "none", **answers}
    try:
        copier.run_copy(
            str(ROOT), folder, data, vcs_ref="HEAD", defaults=True, quiet=True, unsafe=True
        )
    except (CopierError, TemplateError, ValueError, OSError) as error:
        raise DemoError(f"Copier refused: {error}. Is this checkout complete?") from error


@contextmanager
def running_server(url: str) -> Iterator[None]:
    """Start the server as its owner would without Docker, and stop it at the end."""
    make = shutil.which("make")
    if not make:
        raise DemoError("make is not installed: install it")
    port = url.rpartition(":")[2]
    command = [make, "pypi-local", f"PORT={port}", f"PYTHON={sys.executable}"]
    with LOG.open("wb") as log:
        server = subprocess.Popen(
            command, cwd=SERVER, stdout=log, stderr=log, start_new_session=True
        )
    try:
        with step(f"Start the server on {url}"):
            wait_until_healthy(server, url)
        yield
    finally:
        # make and gunicorn are one process group.
        if server.poll() is None:
            os.killpg(server.pid, 15)
        server.wait(timeout=30)


def wait_until_healthy(server: subprocess.Popen[bytes], url: str, seconds: float = 300) -> None:
    """Wait until the server answers its health check; its first start installs what it needs."""
    deadline = time.monotonic() + seconds
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise DemoError(f"it stopped. {last_lines(LOG.read_text())}")
        try:
            opener.open(f"{url}/health", timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise DemoError(f"no answer in {seconds:.0f} s: read {shown(LOG)}")


def publish(url: str, password: str) -> None:
    """Build the library and publish it with Poetry; credentials go by the environment only."""
    shutil.copytree(ROOT / "demo" / "my-private-lib", LIBRARY)
    run(
        [sys.executable, "-m", "poetry", "publish", "--build", "--repository", "private"],
        LIBRARY,
        {
            "POETRY_CONFIG_DIR": str(FOLDER / "poetry"),
            "POETRY_KEYRING_ENABLED": "false",
            "POETRY_VIRTUALENVS_CREATE": "false",
            "POETRY_REPOSITORIES_PRIVATE_URL": f"{url}/",
            "POETRY_HTTP_BASIC_PRIVATE_USERNAME": ACCOUNT,
            "POETRY_HTTP_BASIC_PRIVATE_PASSWORD": password,
        },
    )


def install(url: str, password: str) -> None:
    """Install the client's requirements into its own environment, from the private index alone."""
    venv.create(CLIENT / ".venv", with_pip=True)
    index = url.replace("://", f"://{ACCOUNT}:{quote(password, safe='')}@")
    run(
        [".venv/bin/python", "-m", "pip", "install", "--requirement", "requirements.txt"],
        CLIENT,
        {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_INDEX_URL": f"{index}/simple/",
            "PIP_EXTRA_INDEX_URL": "",
            "PIP_FIND_LINKS": "",
            "PIP_NO_INPUT": "1",
        },
    )


def run_app() -> str:
    """Run the client's app and return what it says."""
    return run([".venv/bin/python", "-m", "my_app"], CLIENT, {"PYTHONPATH": "src"}).strip()


def run(command: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    """Run a program to its end and return what it printed."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DemoError("no end after 5 minutes: is PyPI within reach?") from None
    if done.returncode:
        raise DemoError(f"exit code {done.returncode}. {last_lines(done.stdout)}")
    return done.stdout


def last_lines(text: str) -> str:
    """Return the end of a program's output, where it says what went wrong."""
    return "It said:\n  " + "\n  ".join(text.strip().splitlines()[-8:])


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def shown(path: Path) -> str:
    """Return a path as the person who runs the demo would type it."""
    return str(path.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())
