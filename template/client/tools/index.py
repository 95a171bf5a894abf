"""The private index, asked over HTTP whether it knows an account and what it has."""

import base64
import http.client
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from .settings import Settings

TIMEOUT = 15
"""Seconds to wait for an answer."""

ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
REDIRECTS = (301, 302, 303, 307, 308)
NO_ANSWER = (OSError, http.client.HTTPException)
"""What open_page raises if there is no answer, or none in HTTP."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the credentials are for one server only."""

    def redirect_request(self, *args: Any) -> None:
        return None


def open_page(
    url: str,
    user: str = "",
    password: str = "",
    *,
    accept: str = "text/html",
    data: bytes | None = None,
    more: Mapping[str, str] | None = None,
) -> Any:
    """Open a page as pip would, or POST `data`, but follow no redirect; return the response.

    `more` are further headers of the request. Raises urllib.error.HTTPError if the answer is an
    error or a redirect, or what NO_ANSWER lists.
    """
    headers = {"Accept": accept, **(more or {})}
    if user:
        account = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
        headers["Authorization"] = f"Basic {account}"
    request = urllib.request.Request(url, data, headers)
    return urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT)


def access_error(url: str, user: str, password: str, projects: Iterable[str] = ()) -> str:
    """Return why an account cannot read the index and what to do, or an empty string.

    An index without a list of all projects, or with none for this account, which may read only some
    of them, is asked for some of these. An index without accounts takes an empty user. No message
    repeats the password.
    """
    refusal = ""
    for page in (url, *(f"{url}{project}/" for project in [*projects][:5])):
        try:
            open_page(page, user, password).close()
        except urllib.error.HTTPError as error:
            if page != url and error.code in REDIRECTS:
                return ""
            refusal = _status_error(url, error)
            if error.code != 404 and (page != url or error.code != 403):
                return refusal
        except NO_ANSWER as error:
            return connection_error(url, error)
        else:
            return ""
    return refusal


def project_page(url: str, user: str, password: str, name: str) -> tuple[str, bytes] | None:
    """Return type and content of the page that the index itself has of a project, None without one.

    Raises LookupError if there is no answer: it says why and what to do.
    """
    try:
        with open_page(f"{url}{name}/", user, password, accept=ACCEPT) as answer:
            return answer.headers.get("Content-Type", ""), answer.read()
    except urllib.error.HTTPError as error:
        if error.code in (*REDIRECTS, 404):
            return None
        raise LookupError(_status_error(url, error)) from None
    except NO_ANSWER as error:
        raise LookupError(connection_error(url, error)) from None


def connection_error(url: str, error: Exception) -> str:
    """Return in one sentence why no answer came, and what to do."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    host, name = urlsplit(url).netloc, urlsplit(url).hostname
    if (proxy := proxy_of(url)) and not isinstance(reason, ssl.SSLError):
        remedy = "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
        return f"{host} cannot be reached through the proxy {proxy} ({reason}): {remedy}"
    if isinstance(reason, socket.gaierror):
        return f"The name {name} does not resolve: check its spelling, your DNS and your VPN."
    if isinstance(reason, ssl.SSLCertVerificationError):
        remedy = (
            "if its authority is your own, point SSL_CERT_FILE, PIP_CERT and REQUESTS_CA_BUNDLE"
            " to the authority's certificate."
        )
        if file := Settings.load().ca_certificate:
            remedy = (
                f"if its authority is a new one, put that one's certificate into {file}:"
                " `make -s pypi-ca` in the server's repository prints it."
            )
        return f"The TLS certificate of {host} is not trusted ({reason.verify_message}): {remedy}"
    if isinstance(reason, ssl.SSLError):
        return f"{host} does not speak TLS as it should: check port and scheme of the URL."
    if isinstance(reason, ConnectionRefusedError):
        return f"Nothing listens on {host}: check the port, and whether the server runs."
    if isinstance(reason, TimeoutError):
        remedy = "check your network, your VPN and the server."
        return f"{host} did not answer within {TIMEOUT} seconds: {remedy}"
    return f"{host} cannot be reached ({reason}): check your network and the server."


def proxy_of(url: str) -> str:
    """Return the host of the proxy that requests go through, an empty string if there is none."""
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme, "")
    is_direct = not proxy or urllib.request.proxy_bypass(parts.hostname or "")
    return "" if is_direct else urlsplit(proxy).hostname or ""


def _status_error(url: str, error: urllib.error.HTTPError) -> str:
    """Return in one sentence why an index answered with an error, and what to do."""
    if error.code in REDIRECTS:
        return (
            f"{url} redirects to {error.headers.get('Location', 'another place')}: make that the"
            " repository's `pypi_url`, with `make template-update`, and run `make login` again."
        )
    if error.code in (401, 403):
        return f"{url} refuses this user or password ({error.code}): run `make login` again."
    if error.code == 404:
        return (
            f"{url} does not exist (404): check the repository's `pypi_url`. An index of this URL"
            " that lists nothing has to have one of the private packages."
        )
    return f"{url} fails with {error.code} {error.reason}: look into the server's log."
