"""JSON documents of other servers, fetched within limits: what they say is to be distrusted."""

from __future__ import annotations

import asyncio
import json
import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import httpx

from .issuers import MOST_BYTES

SECONDS = 10
"""Within which a document must have come."""

USER_AGENT = "private_pypi (trusted publishing)"


class DocumentError(Exception):
    """A document is not to be had; the message is a sentence without its full stop."""


class NotFoundError(DocumentError):
    """The server has it for nobody, or not for strangers."""


def client(authorities: Path | None = None) -> httpx.AsyncClient:
    """Return a client that tells other servers nothing, and follows no redirect.

    It honours a proxy that HTTPS_PROXY names.

    Args:
        authorities: path of certificates of authorities (PEM) that are believed beside the usual
            ones; nothing need be there.

    Raises:
        DocumentError: if that file has none.
    """
    tls = httpx.create_ssl_context()
    if authorities and authorities.exists():
        try:
            tls.load_verify_locations(authorities)
        except (OSError, ssl.SSLError) as error:
            raise DocumentError(
                f"pypi_auth/.issuers.pem has no certificate of an authority: {error}"
            ) from None
    return httpx.AsyncClient(
        verify=tls,
        timeout=SECONDS,
        follow_redirects=False,
        headers={
            "User-Agent": USER_AGENT,
            "Accept": "application/json",
            # No compression, which could make very much of a few bytes.
            "Accept-Encoding": "identity",
        },
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


async def fetch(opened: httpx.AsyncClient, url: str) -> Any:
    """Return what a document says.

    Args:
        opened: as `client` makes it.
        url: with https; with http for tests alone.

    Raises:
        NotFoundError: if there is none for this client.
        DocumentError: if the server is away, too slow, sends too much, or no JSON (RFC 8259).
    """
    try:
        body = await asyncio.wait_for(_body(opened, url), SECONDS)
    except (asyncio.TimeoutError, httpx.TimeoutException):
        raise DocumentError(f"{url} took more than {SECONDS} seconds") from None
    except DocumentError:
        raise
    # For an odd address, httpx passes on what other libraries raise, in groups, too.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise DocumentError(f"{url} cannot be fetched: {reason}") from None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise DocumentError(f"{url} sends no JSON") from None


async def _body(opened: httpx.AsyncClient, url: str) -> bytes:
    async with opened.stream("GET", url) as response:
        if response.status_code in (401, 403, 404):
            raise NotFoundError(f"{url} answers {response.status_code}")
        if response.is_redirect:
            raise DocumentError(f"{url} redirects, which is not followed")
        if response.status_code != 200:
            raise DocumentError(f"{url} answers {response.status_code}")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MOST_BYTES:
                raise DocumentError(f"{url} sends more than {MOST_BYTES // 1024} kB")
        return bytes(body)
