"""The private index, asked over HTTP whether it knows an account."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit

TIMEOUT = 15
"""Seconds to wait for an answer."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the credentials are for one server only."""

    def redirect_request(self, *args: Any) -> None:
        return None


def access_error(base_url: str, user: str, password: str) -> str:
    """Return why an account cannot read the index and what to do, or an empty string.

    Args:
        base_url: of the index, without `/simple/` and without a slash at its end.
        user: the account's name, or an empty string for an index that knows no accounts.
        password: the account's password. No message repeats it.
    """
    headers = {"Accept": "text/html"}
    if user:
        account = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
        headers["Authorization"] = f"Basic {account}"
    request = urllib.request.Request(f"{base_url}/simple/", headers=headers)
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT):
            return ""
    except urllib.error.HTTPError as error:
        return _status_error(base_url, error)
    except (OSError, http.client.HTTPException) as error:
        return _connection_error(base_url, error)


def split_credentials(url: str) -> tuple[str, str, str]:
    """Return base URL, user and password of what pip is given: `https://user:pw@host/simple/`.

    Raises:
        ValueError: if the text is not the URL of an index.
    """
    parts = urlsplit(url)
    if not url.isascii() or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(url)
    host = parts.netloc.rpartition("@")[2]
    path = parts.path.rstrip("/").removesuffix("/simple")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return f"{parts.scheme}://{host}{path}", user, password


def _connection_error(base_url: str, error: Exception) -> str:
    """Return in one sentence why no answer came, and what to do."""
    parts = urlsplit(base_url)
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, socket.gaierror):
        return (
            f"The name {parts.hostname} does not resolve:"
            " check its spelling, your DNS and your VPN."
        )
    if isinstance(reason, ssl.SSLCertVerificationError):
        return (
            f"The TLS certificate of {parts.netloc} is not trusted ({reason.verify_message}):"
            " if its authority is your own, point SSL_CERT_FILE, PIP_CERT and REQUESTS_CA_BUNDLE"
            " to the authority's certificate."
        )
    if isinstance(reason, ssl.SSLError):
        return f"{parts.netloc} does not speak TLS as it should: check port and scheme of the URL."
    if isinstance(reason, ConnectionRefusedError):
        return f"Nothing listens on {parts.netloc}: check the port, and whether the server runs."
    if isinstance(reason, TimeoutError):
        return (
            f"{parts.netloc} did not answer within {TIMEOUT} seconds:"
            " check your network, your VPN and the server."
        )
    return f"{parts.netloc} cannot be reached ({reason}): check your network and the server."


def _status_error(base_url: str, error: urllib.error.HTTPError) -> str:
    """Return in one sentence why an index answered with an error, and what to do."""
    if error.code in (301, 302, 303, 307, 308):
        target = error.headers.get("Location", "another place")
        return (
            f"{base_url} redirects to {target}: make that the repository's `pypi_url`,"
            " with `make template-update`."
        )
    if error.code in (401, 403):
        return f"{base_url} refuses this user or password ({error.code}): run `make login` again."
    if error.code == 404:
        return f"{base_url}/simple/ does not exist (404): this is not the base URL of an index."
    return f"{base_url} fails with {error.code} {error.reason}: look into the server's log."
