"""The process of the mirror: uvicorn, its logs, and how it ends."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from typing import Any

import uvicorn

from ..terminal import guarded
from .app import make_app
from .settings import PublicSettings

_SECONDS_TO_END = 2


def serve(settings: PublicSettings) -> None:
    """Serve until the process is told to stop.

    Raises:
        OSError: if the socket or the folder cannot be used.
    """
    logging.basicConfig(
        stream=guarded(sys.stderr),
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    # Its lines repeat what is said here of each request that fails.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # uvicorn stops for this signal, then raises it once more.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    if settings.socket:
        settings.socket.parent.mkdir(parents=True, exist_ok=True)
        # A socket that a killed server left behind may have other permissions.
        settings.socket.unlink(missing_ok=True)
    uvicorn.Server(configuration(make_app(settings), settings)).run()


def configuration(app: Callable[..., Any], settings: PublicSettings) -> uvicorn.Config:
    """Return how uvicorn runs the mirror.

    Args:
        app: the mirror as an ASGI application.
    """
    return uvicorn.Config(
        app,
        # Whoever sees the folder of the socket may connect: the gateway does.
        uds=str(settings.socket) if settings.socket else None,
        host=settings.host,
        port=settings.port,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        # The gateway's log has each request, cut to a length.
        access_log=False,
        proxy_headers=False,
        server_header=False,
        # Longer than the two minutes for which the gateway keeps an idle connection.
        timeout_keep_alive=180,
        # Clients whose download is cut ask again.
        timeout_graceful_shutdown=_SECONDS_TO_END,
    )
