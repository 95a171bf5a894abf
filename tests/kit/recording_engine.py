"""A Docker engine that keeps records of its builds and attests where its images come from.

The machine's own may be too old for either. This one is Debian's, runs in a container, and has
nothing of the machine's but the network of another container.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kit.commands import ask, run
from kit.in_docker import docker
from kit.waiting import wait_until

IMAGE = "python:3.13-slim"
"""What the engine is installed into, and the one image that it holds from the start."""

SECONDS = 300  # for a slow download of its packages

# Again and again: a network that fails for a moment fails no test.
INSTALL_AND_RUN = """
until apt-get -qq update && apt-get -qq install --yes --no-install-recommends docker.io
do sleep 5
done
exec dockerd --config-file /engine/daemon.json
"""

# What it takes to mount layers and to run the steps of a build. Not --privileged: that wants every
# capability there is, which a machine that is itself confined cannot give.
RIGHTS = (
    *("--cap-add", "SYS_ADMIN"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup"),
)


@dataclass(frozen=True)
class Engine:
    """A running engine: its container, and where it listens."""

    container: str
    host: str

    def docker(self, *arguments: str | Path, cwd: Path | None = None) -> str:
        """Have this engine do what a docker command says, and return all that was printed."""
        # The environment of the tests may name a builder that belongs to no engine.
        return run("docker", *arguments, cwd=cwd, DOCKER_HOST=self.host, BUILDX_BUILDER="default")

    def records(self) -> str:
        """Return all that the engine shows of past builds."""
        history = ("buildx", "history")
        said = [self.docker(*history, "ls", "--no-trunc")]
        for reference in self.docker(*history, "ls", "--format", "{{.Ref}}").split():
            build = reference.split("/")[-1]
            digests = "{{range .Attachments}}{{.Digest}} {{end}}"
            attached = self.docker(*history, "inspect", build, "--format", digests).split()
            said += [
                self.docker(*history, "inspect", build),
                self.docker(*history, "logs", build),
                *(self.docker(*history, "inspect", "attachment", build, one) for one in attached),
            ]
        return "\n".join(said)

    def files_with(self, text: str) -> list[str]:
        """Return which of the engine's own files hold a text: records, images, layers, cache."""
        grep = 'grep -srlFe "$0" /var/lib/docker || :'
        return docker("exec", self.container, "sh", "-c", grep, text).splitlines()


@contextmanager
def running(neighbour: str) -> Iterator[Engine]:
    """Run an engine as long as the block runs, on the network of another container.

    Its builds on the network "host" reach that container's services on 127.0.0.1. It never may
    have the machine's own network: it would take docker0 away from the machine's engine.
    """
    # Not in a folder of pytest's: the path of a socket has 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="engine-", dir="/var/tmp"))
    (folder / "daemon.json").write_text(json.dumps(configuration()))
    # The first for its layers, which cannot be mounted upon those of a container.
    volumes = ("--volume", "/var/lib/docker", "--volume", f"{folder}:/engine")
    network = ("--network", f"container:{neighbour}")
    try:
        container = docker(
            *("create", "--env", "DEBIAN_FRONTEND=noninteractive", *RIGHTS, *volumes, *network),
            *(IMAGE, "sh", "-c", INSTALL_AND_RUN),
        ).strip()
        try:
            docker("start", container)
            engine = Engine(container, f"unix://{folder}/docker.sock")
            wait_for(engine)
            docker("save", "--output", str(folder / "image.tar"), IMAGE)
            engine.docker("load", "--quiet", "--input", folder / "image.tar")
            yield engine
        finally:
            docker("rm", "--force", "--volumes", container)
    finally:
        shutil.rmtree(folder)


def configuration() -> dict[str, object]:
    """Return the settings of dockerd."""
    return {
        "hosts": ["unix:///engine/docker.sock"],
        "group": str(os.getgid()),
        # Only images in containerd's store carry attestations.
        "features": {"containerd-snapshotter": True},
        # Nothing but builds on the network that is there.
        "bridge": "none",
        "iptables": False,
        "ip6tables": False,
        "ip-forward": False,
    }


def wait_for(engine: Engine) -> None:
    """Wait until an engine is installed and answers; if its container ends, say why."""

    def answers() -> bool:
        state = docker("inspect", "--format", "{{.State.Running}}", engine.container)
        assert state.strip() == "true", docker("logs", engine.container)[-4000:]
        return ask("docker", "--host", engine.host, "version").returncode == 0

    wait_until(answers, SECONDS, explain=lambda: docker("logs", engine.container)[-4000:])
