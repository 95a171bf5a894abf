"""Checks of the private index, from its name in the DNS to the releases that the app requires."""

import contextlib
import email.utils
import json
import socket
import ssl
import sys
import threading
import time
import urllib.error
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from ..index import (
    ACCEPT,
    NO_ANSWER,
    REDIRECTS,
    access_error,
    connection_error,
    open_page,
    proxy_of,
)
from ..pip import Pip, PipError, python
from ..settings import Settings
from .here import Account
from .report import CheckError, Outcome

TIMEOUT = 5
"""Seconds to wait for a connection or an answer."""

CLOCK = 60
"""Seconds by which two clocks may differ."""

DAY = 24 * 60 * 60

QUARTER, EARLY = 0.25, 21 * DAY
"""The share of its lifetime, and the seconds, that are left of a certificate worth a warning.

One that lasts for days or hours, on purpose, is renewed in time with a third of them left."""

CERTIFICATE = {
    9: "is not valid yet: check the clock of this machine, then the server's",
    10: "has expired: the server's owner has to renew it",
    62: "is for another name: check the repository's `pypi_url`, or have the server's owner get a"
    " certificate for this one",
    64: "does not name this address: give the index's DNS name as `pypi_url`",
}
"""Why a certificate is refused, by OpenSSL's code."""

ASK_OWNER = "for `make publish`, ask the index's owner for an account that may"
CORRECT_URL = "for `make publish`, correct the repository's `pypi_url`"

ROLES = (
    (400, "Send the upload as multipart/form-data", "ok", "{user} may publish and install."),
    (403, "may install, not publish", "ok", f"{{user}} may install, but not publish: {ASK_OWNER}."),
    (404, "", "warn", f"Nothing takes uploads at {{url}} (404): {CORRECT_URL}."),
    (405, "", "warn", f"Nothing takes uploads at {{url}} (405): {CORRECT_URL}."),
    (0, "", "ok", "unknown: this index answers {code} to an upload without content."),
)
"""What the answer to an upload without content tells: its status, 0 for all others, and words."""

PUBLIC_PROJECT = "pip"
"""A name that PyPI has and a private index has not."""

LARGEST_PAGE = 64 * 2**20


class Page(NamedTuple):
    """What the index answered."""

    status: int
    headers: Message
    body: bytes = b""
    elsewhere: str = ""  # the other host to which it redirects


class Index:
    """The private index, asked with an account."""

    def __init__(self, settings: Settings, account: Account) -> None:
        self.settings, self.account, self.url = settings, account, settings.url
        parts = urlsplit(self.url)
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self._date, self._is_open = ("", 0.0), False

    def resolve(self) -> Outcome:
        """Look the host up in the DNS."""
        if proxy := proxy_of(self.url):
            return "skipped", f"{proxy} is asked instead, as HTTPS_PROXY or HTTP_PROXY says."
        found: set[str] = set()

        def look_up() -> None:
            with contextlib.suppress(OSError, ValueError):
                for address in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
                    found.add(str(address[4][0]))

        # It has no time-out of its own.
        thread = threading.Thread(target=look_up, daemon=True)
        thread.start()
        thread.join(TIMEOUT)
        if thread.is_alive():
            fault = f"The DNS did not answer within {TIMEOUT} seconds who {self.host} is"
            return "FAIL", f"{fault}: check your DNS and your VPN."
        if not found:
            remedy = "check its spelling, your DNS and your VPN"
            return "FAIL", f"The name {self.host} does not resolve: {remedy}."
        return "ok", f"{self.host} is {', '.join(sorted(found))}."

    def connect(self) -> Outcome:
        """Open a connection."""
        try:
            socket.create_connection((self.host, self.port), timeout=TIMEOUT).close()
        except OSError as error:
            return "FAIL", connection_error(self.url, error)
        return "ok", f"{self.host} takes connections on port {self.port}."

    def secure(self) -> Outcome:
        """Check the certificate."""
        if not self.url.startswith("https:"):
            if self.host in ("localhost", "::1") or self.host.startswith("127."):
                return "ok", "Plain HTTP, which does not leave this machine."
            return "FAIL", (
                "Plain HTTP: anybody on the way reads the password, and pip refuses it but for"
                " localhost. Give the server a certificate, and the template an https:// URL."
            )
        try:
            with (
                socket.create_connection((self.host, self.port), timeout=TIMEOUT) as raw,
                ssl.create_default_context().wrap_socket(raw, server_hostname=self.host) as secured,
            ):
                certificate: dict[str, Any] = dict(secured.getpeercert() or {})
        except OSError as error:
            if reason := CERTIFICATE.get(getattr(error, "verify_code", 0)):
                return "FAIL", f"The certificate of {self.host} {reason}."
            return "FAIL", connection_error(self.url, error)
        issuer = dict(pair for names in certificate["issuer"] for pair in names)
        name = issuer.get("organizationName") or issuer.get("commonName") or "a nameless authority"
        begins = ssl.cert_time_to_seconds(certificate["notBefore"])
        ends = ssl.cert_time_to_seconds(certificate["notAfter"])
        day, left = time.strftime("%Y-%m-%d", time.gmtime(ends)), ends - time.time()
        text = f"The certificate was signed by {name} and is valid until {day}"
        if left >= min(QUARTER * (ends - begins), EARLY):
            return "ok", f"{text}."
        span = f"{int(left // DAY)} days" if left >= 2 * DAY else f"{int(left // 3600)} hours"
        return "warn", f"{text}, {span}: have the server's owner look at its renewal."

    def answer(self) -> Outcome:
        """Ask for the list of projects without an account."""
        page = self._get(self.url, with_account=False)
        if page.elsewhere:
            remedy = "make that the repository's `pypi_url`, with `make template-update`"
            return "FAIL", f"{self.url} redirects to {page.elsewhere}: {remedy}."
        self._date, self._is_open = (page.headers.get("Date", ""), time.time()), page.status < 400
        if page.status >= 500:
            return "FAIL", f"{self.url} fails with {page.status}: look into the server's log."
        if self._is_open:
            return "ok", "Everybody may install, without an account."
        if page.status in (401, 403):
            return "ok", f"{self.url} asks for an account."
        return "ok", f"{self.url} answers, with {page.status}."

    def compare_clocks(self) -> Outcome:
        """Compare this machine's time with that of the answer."""
        date, now = self._date
        try:
            seconds = round(now - email.utils.parsedate_to_datetime(date).timestamp())
        except ValueError:
            return "ok", "unknown: the server does not tell its time."
        if abs(seconds) <= CLOCK:
            return "ok", f"{abs(seconds)} s off the server's."
        side = "ahead of" if seconds > 0 else "behind"
        remedy = "set the wrong clock of the two, with `timedatectl set-ntp true` for example"
        return "warn", f"This machine is {abs(seconds)} s {side} the server: {remedy}."

    def log_in(self) -> Outcome:
        """Ask with the account."""
        user, password = self.account.user, self.account.password
        if refusal := access_error(self.url, user, password, self.settings.projects):
            return "FAIL", refusal
        if self._is_open:
            return "ok", "unknown: whether the password is right, publishing will show."
        return "ok", f"The index takes {user} and the password."

    def ask_for_role(self) -> Outcome:
        """Send an upload without content, which the server can only refuse."""
        url, user = self.settings.publish_url, self.account.user
        try:
            open_page(url, user, self.account.password, data=b"").close()
        except urllib.error.HTTPError as error:
            said = error.read(500).decode("utf-8", "replace")
            state, text = next(
                outcome
                for code, words, *outcome in ROLES
                if code in (0, error.code) and words in said
            )
            return state, text.format(user=user, url=url, code=error.code)
        except NO_ANSWER as error:
            return "FAIL", connection_error(url, error)
        return "ok", "unknown: this index takes an upload without content for a success."

    def find(self, project: str, pin: str) -> Outcome:
        """Tell which release of a project pip would install."""
        page = self._get(f"{self.url}{project}/")
        is_private, host = project in self.settings.packages, page.elsewhere
        if host and is_private:
            return "FAIL", (
                f"The index does not have {project} and redirects pip to {host}, where anybody may"
                " take that name: publish it before you require it."
            )
        if host:
            return "ok", f"The index does not have {project} and redirects pip to {host}."
        if page.status in (404, 410):
            if is_private or self.settings.strategy == "single":
                remedy = "publish it, or correct requirements.txt"
                return "FAIL", f"The index does not have {project}: {remedy}."
            return "ok", f"The index does not have {project}; pip looks for it on PyPI."
        if page.status in (401, 403):
            fault = f"{self.account.user} may not read {project} ({page.status})"
            return "FAIL", f"{fault}: ask the index's owner."
        if page.status != 200:
            fault = f"The page of {project} fails with {page.status}"
            return "FAIL", f"{fault}: look into the server's log."
        if not _lists_files(page):
            fault = f"The page of {project} is no page of a package index"
            return "FAIL", f"{fault}: check the repository's `pypi_url`."
        return self._pick(project, pin)

    def _pick(self, project: str, pin: str) -> Outcome:
        """Ask pip, which would follow a redirect: so only about a project that the index has."""
        asked = f"{project}{pin}"
        if not python():
            remedy = f"install pip for {Path(sys.executable).name}"
            return "skipped", f"Only pip knows which release {asked} picks: {remedy}."
        pip = Pip(self.url, self.account.user, self.account.password)
        try:
            versions = pip.versions(project)
            if picked := pip.pick(project, pin, versions):
                return "ok", f"{asked} picks {picked}."
            if pip.takes_yanked(asked):
                return "warn", f"{asked} picks a release that was yanked: pin another."
        except PipError as error:
            return "FAIL", str(error)
        newest = ", ".join(versions[:3]) or "none at all for this Python"
        more = f" and {len(versions) - 3} older ones" if len(versions) > 3 else ""
        return "FAIL", (
            f"The index has no release that {asked} takes, but {newest}{more}: publish one, or"
            " change the pin in requirements.txt."
        )

    def ask_for_unknown(self) -> Outcome:
        """Find out what becomes of a name that the index does not have."""
        page = self._get(f"{self.url}{PUBLIC_PROJECT}/")
        if page.elsewhere:
            return "ok", f"The index redirects to {page.elsewhere} for what it does not have."
        settings = self.settings
        if page.status == 200 and settings.cooldown_days and not _tells_times(page):
            fault = "The index has PyPI's packages, too, but tells no upload times"
            remedy = "answer 0 to `cooldown_days`, and see that it lets releases wait"
            if not settings.locked or (settings.manager == "uv" and settings.strategy == "single"):
                return "FAIL", f"{fault}, so that no release counts as old enough: {remedy}."
            if settings.strategy == "single":
                return "warn", f"{fault}, and Poetry takes every release for old enough: {remedy}."
        if page.status == 200:
            remedy = "see that it never takes your names from there"
            return "ok", f"The index has PyPI's packages, too: {remedy}."
        if page.status not in (404, 410):
            return "warn", f"unknown: {PUBLIC_PROJECT} is answered with {page.status}."
        if self.settings.strategy == "single":
            return "warn", (
                "The index refuses what it does not have, and pip asks no other: what you need from"
                " PyPI cannot be installed. Answer `extra` to `index_strategy` if that is much."
            )
        return "ok", "The index refuses what it does not have; pip looks for that on PyPI."

    def _get(self, url: str, *, with_account: bool = True) -> Page:
        """Get a page, also through redirects within the index: no other may see the password."""
        account = (self.account.user, self.account.password) if with_account else ()
        for _ in range(4):
            try:
                with open_page(url, *account, accept=ACCEPT) as response:
                    # The list of all projects may be large.
                    body = response.read(LARGEST_PAGE) if with_account else b""
                    return Page(response.status, response.headers, body)
            except urllib.error.HTTPError as error:
                error.close()
                if error.code not in REDIRECTS:
                    return Page(error.code, error.headers)
                url = urljoin(url, error.headers.get("Location", ""))
                there, here = urlsplit(url), urlsplit(self.url)
                if (there.scheme, there.netloc) != (here.scheme, here.netloc):
                    return Page(error.code, error.headers, elsewhere=there.hostname or "nowhere")
            except NO_ANSWER as error:
                raise CheckError(connection_error(self.url, error)) from None
        raise CheckError(f"{self.url} redirects in a circle: look into the server's configuration.")


def _tells_times(page: Page) -> bool:
    """Return whether the page of a project tells when files were uploaded (PEP 700)."""
    try:
        return any(file.get("upload-time") for file in json.loads(page.body)["files"])
    except (ValueError, TypeError, LookupError, AttributeError):
        return False


def _lists_files(page: Page) -> bool:
    """Return whether a page in JSON is one of a project (PEP 691); pip judges those in HTML."""
    if "json" not in page.headers.get("Content-Type", "").lower():
        return True
    try:
        return isinstance(json.loads(page.body)["files"], list)
    except (ValueError, TypeError, LookupError):
        return False
