"""nginx in front of an index, on the configuration that docs/https.md shows."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from kit.authority import Pair
from kit.commands import CommandError
from kit.debian import unpack_debian
from kit.gateway import Gateway
from kit.http import status
from kit.ports import free_port
from kit.processes import Running
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


class Nginx(Running):
    """nginx with both configurations, for one gateway, on an address of its own.

    Attributes:
        urls: where the gateway is reached by the one and by the other, without a slash at the end.
    """

    def __init__(self, folder: Path, address: str, pair: Pair, gateway: Gateway) -> None:
        super().__init__("nginx", folder / "nginx.log")
        ports = free_port(), free_port()
        self.urls = f"https://{address}:{ports[0]}", f"https://{address}:{ports[1]}/pypi"
        self.address = address
        self._home = folder
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

    def command(self) -> Sequence[str | Path]:
        configuration = self._home / "nginx.conf"
        return [program(self._home), "-p", self._home, "-c", configuration, "-e", "stderr"]

    def answers(self) -> bool:
        # It answers plain HTTP with a hint and 400.
        return status(f"{self.urls[0].replace('https', 'http')}/") == 400


def replaced(text: str, old: str, new: str) -> str:
    """Return a text with other words in the place of some that must stand there."""
    assert old in text, f"{old} is not in\n{text}"
    return text.replace(old, new)
