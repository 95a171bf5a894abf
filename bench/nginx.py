"""nginx as a server of nothing but files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from process import BenchError

ECHO = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
"""A module that lets answers wait; Debian's nginx-light brings it along."""


def program() -> str | None:
    """Return the path of nginx, None if it is missing; Debian has it where only root looks."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def command(
    folder: Path, port: int, certificates: Path | None = None, *, seconds: float = 0
) -> list[str]:
    """Configure nginx in a folder; return the command that serves what is in its `served`.

    Args:
        seconds: for which each answer waits before it begins, which needs ECHO.

    Raises:
        BenchError: if nginx is not installed.
    """
    found = program()
    if not found:
        raise BenchError("nginx is not installed")
    secure = f"ssl_certificate {certificates}/fullchain.pem; ssl_certificate_key"
    secure += f" {certificates}/privkey.pem;"
    wait = f"location / {{ echo_sleep {seconds}; echo_exec @files; }}"
    wait += " location @files { try_files $uri $uri/index.json =404; }"
    temporary = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    (folder / "nginx.conf").write_text(
        # Without this, root's nginx runs its workers as nobody, who cannot read this folder.
        ("user root;\n" if os.geteuid() == 0 else "")
        + (f"load_module {ECHO};\n" if seconds else "")
        + "daemon off; pid nginx.pid; worker_processes auto; error_log stderr;\n"
        "events { worker_connections 512; }\n"
        "http {\n  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;\n"
        + "".join(f"  {kind}_temp_path {folder}/{kind};\n" for kind in temporary)
        + "  types { application/octet-stream whl; application/vnd.pypi.simple.v1+json json; }\n"
        f"  server {{ listen 127.0.0.1:{port}{' ssl' if certificates else ''}; index index.json;"
        f" root {folder}/served; {secure if certificates else ''}"
        f" {wait if seconds else ''} }}\n}}\n"
    )
    return [found, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
