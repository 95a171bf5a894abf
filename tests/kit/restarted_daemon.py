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
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from kit.commands import ask, run
from kit.http import status
from kit.in_docker import Server, docker
from kit.ports import free_port
from kit.processes import Running
from kit.recorded_server import RecordedServer
from kit.waiting import wait_until

COPIED = ("docker-compose.pypi.yml", "gateway", "pypi_auth", "private_pypi")
SERVICES = ("gateway", "private_pypi")


def main(repository: Path, folder: Path) -> None:
    """Have the daemon killed and stopped under load; fail if anything is lost or stays away."""
    switch_on_loopback()
    # A containerd that runs already serves another daemon: this one shall start its own.
    Path("/run/containerd").mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", "/run/containerd")
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


class Daemon(Running):
    """A Docker daemon that this process and its children talk to as long as the block runs."""

    seconds_to_start, seconds_to_end = 60.0, 90.0

    def __init__(self, folder: Path) -> None:
        super().__init__("dockerd", folder / "log")
        self._root = folder
        os.environ["DOCKER_HOST"] = f"unix://{folder}/docker.sock"

    def command(self) -> Sequence[str | Path]:
        root = self._root
        return (
            *("dockerd", "--host", os.environ["DOCKER_HOST"], "--pidfile", root / "pid"),
            *("--data-root", root / "data", "--exec-root", root / "exec"),
        )

    def answers(self) -> bool:
        return ask("docker", "info").returncode == 0

    def start(self) -> None:
        """Start it, as an init system would, and wait until it answers."""
        # A killed daemon leaves them, and the numbers may be those of other processes.
        for left in ("pid", "exec/containerd/containerd.pid"):
            (self._root / left).unlink(missing_ok=True)
        super().start()

    def end(self, how: signal.Signals) -> None:
        """Send it a signal and wait until it has ended."""
        self.process.send_signal(how)
        self.process.wait(self.seconds_to_end)

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is not None:
            self.start()  # What it left running must end with it.
        for container in docker("ps", "--all", "--quiet").split():
            docker("rm", "--force", container)
        self.stop()


def switch_on_loopback() -> None:
    """Give a new network namespace its 127.0.0.1 (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        siocsifflags, iff_up = 0x8914, 1
        fcntl.ioctl(any_socket, siocsifflags, struct.pack("16sh14x", b"lo", iff_up))


def launch(repository: Path, folder: Path) -> RecordedServer:
    """Start a server of the same images as Compose does for `make pypi-launch`; without builds."""
    copy, wheels = folder / "server", folder / "wheels"
    wheels.mkdir()
    copy.mkdir()
    for name in COPIED:
        if (repository / name).is_dir():
            shutil.copytree(repository / name, copy / name, symlinks=True)
        else:
            shutil.copy(repository / name, copy)
    # Docker would make a folder that is missing as root's.
    for name in ("pypi_data/.uploads", "pypi_index", "pypi_web", "gateway_data/uses"):
        (copy / name).mkdir(parents=True)
    run("chown", "-R", "10001:10001", copy)
    port = free_port()
    (copy / ".pypi.env").write_text(f"http_port={port}\n")
    project = yaml.safe_load((copy / COPIED[0]).read_text())["name"]
    kept = RecordedServer(Server(copy, project, f"http://127.0.0.1:{port}"), wheels)
    compose(kept, "up", "--detach", "--no-build")
    wait_for_health(kept)
    return kept


def wait_for_health(kept: RecordedServer) -> None:
    """Wait until Docker takes both containers for healthy, however busy the machine is."""
    for service in SERVICES:
        wait_until(lambda service=service: kept.is_healthy(service))  # type: ignore[misc]


def compose(kept: RecordedServer, *arguments: str) -> str:
    """Run Compose as the Makefile does."""
    os.environ |= {"PYPI_UID": "10001", "PYPI_GID": "10001"}
    files = ("--file", COPIED[0], "--env-file", ".pypi.env", "--progress", "quiet")
    return docker("compose", *files, *arguments, cwd=kept.server.folder)


def restart(kept: RecordedServer, daemon: Daemon, how: signal.Signals) -> None:
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
