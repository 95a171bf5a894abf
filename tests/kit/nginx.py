"""nginx in front of an index, on the configuration that docs/https.md shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from types import TracebackType

import pytest

from kit.authority import Pair
from kit.debian import CommandError, unpack_debian
from kit.gateway import Gateway
from kit.server import free_port, started, status
from kit.template import ROOT

SITE, BELOW_A_PATH = re.findall(
    r"^```nginx\n(.*?)^```$", (ROOT / "docs/https.md").read_text(), re.MULTILINE | re.DOTALL
)
"""What docs/https.md shows: a whole server, and a location of one that serves other things too."""


def program(folder: Path) -> str:
    """Return nginx: the machine's own, or Debian's, which is only unpacked, into a folder."""
    # Debian keeps it where only root looks.
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found:
        return found
    if shutil.which("apt-get") is None:
        pytest.skip("nginx is not installed, and this is no Debian")
    try:
        unpacked = unpack_debian("nginx", folder)
    except CommandError as error:
        pytest.skip(f"nginx is not installed, and Debian's is not to be had: {error}")
    return str(unpacked / "usr/sbin/nginx")


class Nginx:
    """nginx with both configurations, for one gateway, on an address of its own.

    As a context manager it runs from the first line of the block to the last.

    Attributes:
        urls: where the gateway is reached by the one and by the other, without a slash at the end.
    """

    def __init__(self, folder: Path, address: str, pair: Pair, gateway: Gateway) -> None:
        ports = free_port(), free_port()
        self.urls = f"https://{address}:{ports[0]}", f"https://{address}:{ports[1]}/pypi"
        self.address = address
        self._folder = folder
        pair.write(folder)
        site = replaced(SITE, "listen 443 ssl;", f"listen {address}:{ports[0]} ssl;")
        site = replaced(site, "/etc/ssl/pypi/", f"{folder}/")
        head, _, _ = site.partition("    location / {")
        other = replaced(head, f":{ports[0]} ssl;", f":{ports[1]} ssl;") + f"{BELOW_A_PATH}}}\n"
        servers = replaced(site + other, "http://127.0.0.1:8080", gateway.url)
        spool = "".join(
            f"{name}_temp_path {folder}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "nginx.conf").write_text(
            f"daemon off; user root; pid {folder}/nginx.pid; error_log stderr; events {{}}\n"
            f"http {{\naccess_log off;\n{spool}{servers}}}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Nginx:
        configuration = str(self._folder / "nginx.conf")
        command = [
            program(self._folder),
            "-p",
            str(self._folder),
            "-c",
            configuration,
            "-e",
            "stderr",
        ]
        log = self._folder / "nginx.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        started("nginx", self._process, self._answers, self.__exit__, log)
        return self

    def _answers(self) -> bool:
        # It answers plain HTTP with a hint and 400.
        return status(f"{self.urls[0].replace('https', 'http')}/", "", "") == 400

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)


def replaced(text: str, old: str, new: str) -> str:
    """Return a text with other words in the place of some that must stand there."""
    assert old in text, f"{old} is not in\n{text}"
    return text.replace(old, new)
