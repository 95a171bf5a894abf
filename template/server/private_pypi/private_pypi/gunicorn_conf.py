"""How gunicorn runs the index; `python -m private_pypi serve` starts it with this file."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

from private_pypi.app import Gatekeeper
from private_pypi.settings import Settings
from private_pypi.terminal import guarded

# Before gunicorn opens its logs on them: `make pypi-local` shows those on a terminal.
sys.stdout, sys.stderr = guarded(sys.stdout), guarded(sys.stderr)

settings = Settings.from_environment()

bind = f"unix:{settings.socket}" if settings.socket else f"{settings.host}:{settings.port}"
# Of the socket: only the same user may connect, and the gateway runs as that user.
umask = 0o177
wsgi_app = "private_pypi.app:create_app()"
# One process, since it remembers which passwords are right; its threads wait for disks and clients.
workers = 1
worker_class = "gthread"
threads = 40
# A slow upload of a large wheel may take hours; body.py ends one that stalls.
timeout = 0
graceful_timeout = 30
# Longer than the two minutes for which the gateway keeps an idle connection: if this end closed one
# while the gateway sends an upload on it, the client would get 502.
keepalive = 180
# For the heartbeat file, which must not be on a disk; and /tmp may be read-only. macOS has no
# /dev/shm.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None
control_socket_disable = True
# Only the gateway reaches the socket, and only clients on this machine reach the address.
forwarded_allow_ips = "*"
accesslog = "-"
# Account and path are as app.py notes them: a name only if its password was right, a path without
# its query. All are cut, as in the gateway's log, so that long requests do not push others out.
access_log_format = (
    "%({x-forwarded-for}i).45s %({private_pypi.account}e).64s"
    ' "%(m).20s %({private_pypi.path}e).500s %(H)s" %(s)s %(b)s %(M)sms'
)


class FewStrangers(logging.Filter):
    """Lets sixty lines a minute pass of requests without an account, as the gateway's log does.

    The health check is one, and whoever asks to mint a password: a flood of these would push the
    requests of accounts out of the log.
    """

    most = 60

    def __init__(self) -> None:
        super().__init__()
        self._minute, self._lines = 0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is to be written."""
        fields = record.args
        if not isinstance(fields, dict) or fields["{private_pypi.account}e"] != "-":
            return True
        minute = int(record.created // 60)
        if minute != self._minute:
            self._minute, self._lines = minute, 0
        self._lines += 1
        return self._lines <= self.most


def when_ready(server: Any) -> None:
    """Write the pages for people, unless a container of its own does: there is none for an address.

    That process ends with this one.
    """
    if not settings.socket:
        command = [sys.executable, "-m", "private_pypi", "web", "--parent", str(os.getpid())]
        server.web = subprocess.Popen(command)


def on_exit(server: Any) -> None:
    """Leave no process behind that still writes."""
    if web := getattr(server, "web", None):
        web.terminate()
        web.wait()


_DIE_WITH_PARENT = 1  # prctl(2): PR_SET_PDEATHSIG


def post_fork(_: Any, worker: Any) -> None:
    """End this process together with gunicorn's master, which alone can replace it.

    Otherwise it would go on until its last upload ends, beside the index that is started next. On
    other systems than Linux, gunicorn notices within a second and lets it finish.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        # The master may have died before.
        if os.getppid() != worker.ppid:
            os.kill(os.getpid(), signal.SIGKILL)


def post_worker_init(worker: Any) -> None:
    """Keep the index current for as long as this process lives."""
    # Ctrl-C reaches this process, too, and then gunicorn's own signal to stop it. Both at once can
    # block it for graceful_timeout seconds.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("gunicorn.access").addFilter(FewStrangers())
    application: Gatekeeper = worker.wsgi
    if worker.age > 1:
        worker.log.error(application.note_death())
    ready = threading.Event()
    follow = partial(application.index.follow, ready=ready)
    threading.Thread(target=follow, daemon=True).start()
    # Mostly the index is current before the first request comes. If it has to be made from very
    # many files, requests are answered meanwhile.
    ready.wait(3)
