"""A Docker daemon of its own that ends and starts again, run by test_faults.py.

    unshare --net --mount python -m kit.restarted_daemon REPOSITORY FOLDER

Its images are those of the daemon that launched REPOSITORY. It shares nothing else with that one,
and needs the namespaces for it: in the same network a second daemon would take docker0 and the
rules of the packet filter away from the first.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import yaml

from kit.faults import Kept, wait_until
from kit.in_docker import Server, docker, run
from kit.server import free_port, status

COPIED = ("docker-compose.pypi.yml", "gateway", "pypi_auth", "private_pypi")
SERVICES = ("gateway", "private_pypi")


def main(repository: Path, folder: Path) -> None:
    """Have the daemon killed and stopped under load; fail if anything is lost or stays away."""
    switch_on_loopback()
    # A containerd that runs already serves another daemon: this one shall start its own.
    Path("/run/containerd").mkdir(exist_ok=True)
    run(["mount", "-t", "tmpfs", "tmpfs", "/run/containerd"], cwd=None, ok=True)
    model = yaml.safe_load((repository / COPIED[0]).read_text())
    images = [model["services"][service]["image"] for service in SERVICES]
    docker("save", "--output", str(folder / "images.tar"), *images)
    with Daemon(folder) as daemon:
        docker("load", "--quiet", "--input", str(folder / "images.tar"))
        kept = launch(repository, folder)
        kept.seed()
        for how in (signal.SIGKILL, signal.SIGTERM):
            restart(kept, daemon, how)
    print("all is well")


class Daemon:
    """A Docker daemon that this process and its children talk to as long as the block runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        os.environ["DOCKER_HOST"] = f"unix://{folder}/docker.sock"

    def start(self) -> None:
        """Start it, as an init system would, and wait until it answers."""
        folder = self._folder
        # What was killed has left them, and the numbers may be those of other processes.
        for left in ("pid", "exec/containerd/containerd.pid"):
            (folder / left).unlink(missing_ok=True)
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("dockerd", "--host", os.environ["DOCKER_HOST"], "--pidfile", folder / "pid"),
                    *("--data-root", folder / "data", "--exec-root", folder / "exec"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 60
        while subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((folder / "log").read_text()[-4000:])
            time.sleep(0.1)

    def end(self, how: signal.Signals) -> None:
        """Send it a signal and wait until it has ended."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(90)

    def __enter__(self) -> Daemon:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            self.start()  # What it left running must end with it.
        for container in docker("ps", "--all", "--quiet").split():
            docker("rm", "--force", container)
        self.end(signal.SIGTERM)


def switch_on_loopback() -> None:
    """Give a new network namespace its 127.0.0.1 (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        siocsifflags, iff_up = 0x8914, 1
        fcntl.ioctl(any_socket, siocsifflags, struct.pack("16sh14x", b"lo", iff_up))


def launch(repository: Path, folder: Path) -> Kept:
    """Start a server of the same images as Compose does for `make pypi-launch`; without builds."""
    copy, wheels = folder / "server", folder / "wheels"
    wheels.mkdir()
    copy.mkdir()
    for name in COPIED:
        if (repository / name).is_dir():
            shutil.copytree(repository / name, copy / name, symlinks=True)
        else:
            shutil.copy(repository / name, copy)
    for name in ("pypi_data/.uploads", "pypi_index", "gateway_data"):
        (copy / name).mkdir(parents=True)
    run(["chown", "-R", "10001:10001", str(copy)], cwd=None, ok=True)
    port = free_port()
    (copy / ".pypi.env").write_text(f"http_port={port}\n")
    project = yaml.safe_load((copy / COPIED[0]).read_text())["name"]
    kept = Kept(Server(copy, project, f"http://127.0.0.1:{port}"), wheels)
    compose(kept, "up", "--detach", "--no-build")
    wait_for_health(kept)
    return kept


def wait_for_health(kept: Kept) -> None:
    """Wait until Docker takes both containers for healthy, however busy the machine is."""
    for service in SERVICES:
        wait_until(lambda service=service: kept.is_healthy(service))  # type: ignore[misc]


def compose(kept: Kept, *arguments: str) -> str:
    """Run Compose as the Makefile does."""
    os.environ |= {"PYPI_UID": "10001", "PYPI_GID": "10001"}
    files = ("--file", COPIED[0], "--env-file", ".pypi.env", "--progress", "quiet")
    return docker("compose", *files, *arguments, cwd=kept.server.folder)


def restart(kept: Kept, daemon: Daemon, how: signal.Signals) -> None:
    """End and start the daemon under load, and check that all comes back by itself."""
    with kept.traffic(retrying=True, readers=20, publishers=8) as traffic:
        traffic.go_on(installs=20, uploads=5)
        daemon.end(how)
        wait_until(lambda: status(f"{kept.server.url}/health", "", "") == 0)
        daemon.start()
        traffic.go_on(installs=50, uploads=10)
    kept.add(traffic)
    assert traffic.lost, "nobody noticed that the daemon was gone"
    wait_for_health(kept)
    kept.check(
        lambda: compose(kept, "run", "--rm", "--no-deps", "--no-TTY", "private_pypi", "verify")
    )
    print(f"after {how.name}: {len(kept.published)} distributions, nothing lost")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
