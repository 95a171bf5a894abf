"""A rendered server as its owner runs it: with make, in containers."""

from __future__ import annotations

import ipaddress
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kit.commands import run
from kit.ports import free_port


@dataclass(frozen=True)
class Server:
    """A rendered server repository, its Compose project, and its URL when it runs."""

    folder: Path
    project: str
    url: str

    def make(self, *arguments: str, stdin: str = "", ok: bool = True) -> str:
        """Run make in the repository and return all it printed."""
        return run("make", *arguments, cwd=self.folder, stdin=stdin, ok=ok)

    def add_user(self, name: str, role: str) -> str:
        """Add an account and return the password that was printed."""
        said = self.make("pypi-user-add", f"USER={name}", f"ROLE={role}")
        found = re.search(r"^password: (\S+)$", said, re.M)
        assert found, said
        return found[1]

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what `docker inspect` says of a service's container."""
        inspected = json.loads(docker("inspect", f"{self.project}-{service}-1"))
        assert isinstance(inspected[0], dict)
        return inspected[0]

    def logs(self) -> str:
        """Return what all containers have logged."""
        return docker("compose", "--project-name", self.project, "logs", "--no-color")


def docker(*arguments: str, cwd: Path | None = None, ok: bool = True) -> str:
    """Run docker and return all it printed."""
    return run("docker", *arguments, cwd=cwd, ok=ok)


def address_of_the_host() -> str:
    """Return the address at which containers reach what listens on this machine."""
    network = json.loads(docker("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]
    first = next(ipaddress.ip_network(network["Subnet"]).hosts())
    return str(network.get("Gateway") or first)


def plain_server(rendered: Path, folder: Path) -> Server:
    """Copy a server rendered with https=none, set to listen on a free port of 127.0.0.1."""
    shutil.copytree(rendered, folder, symlinks=True)
    port = free_port()
    (folder / ".pypi.env").write_text(f"http_port={port}\n")
    project = yaml.safe_load((folder / ".copier-answers.yml").read_text())["project_name"]
    return Server(folder, project, f"http://127.0.0.1:{port}")
