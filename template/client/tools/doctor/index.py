"""Checks of the private index, from its name in the DNS to what a pin picks."""

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
from .report import Outcome, Trouble

SECONDS = 5
"""To wait for a connection or an answer."""

DAY = 24 * 60 * 60

QUARTER, EARLY = 0.25, 21 * DAY
"""The share of its lifetime, and the seconds, that are left of a certificate worth a warning.

One that lasts for days or hours, on purpose, is renewed in time with a third of them left."""

CLOCK = 60
"""Seconds by which two clocks may differ."""

LARGEST_PAGE = 64 * 2**20

PUBLIC_PROJECT = "pip"
"""A name that PyPI has and a private index has not."""

CERTIFICATE = {
    9: "is not valid yet: check the clock of this machine, then the server's",
    10: "has expired: the server's owner has to renew it",
    62: "is for another name: check the repository's `pypi_url`, or have the server's owner get a"
    " certificate for this one",
    64: "does not name this address: give the index's DNS name as `pypi_url`",
}
"""Why a certificate is refused, by OpenSSL's code."""

NO_UPLOADS = (
    "Nothing takes uploads at {url} ({code}): for `make publish`, correct the repository's"
    " `pypi_url`."
)

ROLES = (
    (400, "Send the upload as multipart/form-data", "ok", "{user} may publish and install."),
    (
        403,
        "may install, not publish",
        "ok",
        "{user} may install, but not publish: for `make publish`, ask the index's owner for an"
        " account that may.",
    ),
    (404, "", "warn", NO_UPLOADS),
    (405, "", "warn", NO_UPLOADS),
)
"""What an answer to an upload without content tells: its status, words in it, and the outcome."""


class Page(NamedTuple):
    """What the index answered; elsewhere is the other host to which it redirects."""

    status: int
    headers: Message
    body: bytes = b""
    elsewhere: str = ""


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
        addresses: list[str] | None = None

        def look_up() -> None:
            nonlocal addresses
            try:
                found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
                addresses = sorted({str(address[4][0]) for address in found})
            except (OSError, ValueError):
                addresses = []

        # It has no time-out of its own.
        thread = threading.Thread(target=look_up, daemon=True)
        thread.start()
        thread.join(SECONDS)
        if addresses is None:
            silence = f"The DNS did not tell within {SECONDS} seconds who {self.host} is"
            raise Trouble(f"{silence}: check your DNS and your VPN.")
        if not addresses:
            remedy = "check its spelling, your DNS and your VPN"
            raise Trouble(f"The name {self.host} does not resolve: {remedy}.")
        return "ok", f"{self.host} is {', '.join(addresses)}."

    def connect(self) -> Outcome:
        """Open a connection."""
        try:
            with socket.create_connection((self.host, self.port), timeout=SECONDS):
                return "ok", f"{self.host} takes connections on port {self.port}."
        except OSError as error:
            raise Trouble(connection_error(self.url, error)) from None

    def secure(self) -> Outcome:
        """Check the certificate."""
        if not self.url.startswith("https:"):
            if self.host in ("localhost", "::1") or self.host.startswith("127."):
                return "ok", "Plain HTTP, which does not leave this machine."
            raise Trouble(
                "Plain HTTP: anybody on the way reads the password, and pip refuses it but for"
                " localhost. Give the server a certificate, and the template an https:// URL."
            )
        try:
            context = ssl.create_default_context()
            with (
                socket.create_connection((self.host, self.port), timeout=SECONDS) as raw,
                context.wrap_socket(raw, server_hostname=self.host) as secured,
            ):
                certificate: dict[str, Any] = dict(secured.getpeercert() or {})
        except OSError as error:
            if reason := CERTIFICATE.get(getattr(error, "verify_code", 0)):
                raise Trouble(f"The certificate of {self.host} {reason}.") from None
            raise Trouble(connection_error(self.url, error)) from None
        begins, ends = (
            ssl.cert_time_to_seconds(certificate[when]) for when in ("notBefore", "notAfter")
        )
        left = ends - time.time()
        issuer = dict(pair for names in certificate["issuer"] for pair in names)
        name = issuer.get("organizationName") or issuer.get("commonName") or "a nameless authority"
        day = time.strftime("%Y-%m-%d", time.gmtime(ends))
        text = f"The certificate was signed by {name} and is valid until {day}"
        if left < min(QUARTER * (ends - begins), EARLY):
            span = f"{left // DAY:.0f} days" if left >= 2 * DAY else f"{left // 3600:.0f} hours"
            return "warn", f"{text}, {span}: have the server's owner look at its renewal."
        return "ok", f"{text}."

    def answer(self) -> Outcome:
        """Ask for the list of projects without an account."""
        page = self._get(self.url, with_account=False)
        if page.elsewhere:
            remedy = "make that the repository's `pypi_url`, with `make template-update`"
            raise Trouble(f"{self.url} redirects to {page.elsewhere}: {remedy}.")
        self._date = page.headers.get("Date", ""), time.time()
        if page.status >= 500:
            raise Trouble(f"{self.url} fails with {page.status}: look into the server's log.")
        self._is_open = page.status < 400
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
            raise Trouble(refusal)
        if self._is_open:
            return "ok", "unknown: whether the password is right, publishing will show."
        return "ok", f"The index takes {user} and the password."

    def ask_for_role(self) -> Outcome:
        """Send an upload without content, which the server can only refuse."""
        url, user = self.settings.publish_url, self.account.user
        try:
            open_page(url, user, self.account.password, data=b"", timeout=SECONDS).close()
        except urllib.error.HTTPError as error:
            code, said = error.code, error.read(500).decode("utf-8", "replace")
            for status, words, state, text in ROLES:
                if code == status and words in said:
                    return state, text.format(user=user, url=url, code=code)
            return "ok", f"unknown: this index answers {code} to an upload without content."
        except NO_ANSWER as error:
            raise Trouble(connection_error(url, error)) from None
        return "ok", "unknown: this index takes an upload without content for a success."

    def find(self, project: str, pin: str) -> Outcome:
        """Tell which release of a project pip would install."""
        asked, is_private = f"{project}{pin}", project in self.settings.packages
        page = self._get(f"{self.url}{project}/")
        if page.elsewhere and is_private:
            raise Trouble(
                f"The index does not have {project} and redirects pip to {page.elsewhere}, where"
                " anybody may take that name: publish it before you require it."
            )
        if page.elsewhere:
            return "ok", f"{asked} is not in the index, which redirects to {page.elsewhere}."
        if page.status in (401, 403):
            refusal = f"{self.account.user} may not read {project} ({page.status})"
            raise Trouble(f"{refusal}: ask the index's owner.")
        if page.status in (404, 410):
            if is_private or self.settings.strategy == "single":
                remedy = "publish it, or correct requirements.txt"
                raise Trouble(f"The index does not have {project}: {remedy}.")
            return "ok", f"{asked} is not in the index; pip looks for it on PyPI."
        if page.status != 200:
            fault = f"The page of {project} fails with {page.status}"
            raise Trouble(f"{fault}: look into the server's log.")
        if not _lists_files(page):
            fault = f"The page of {project} is no page of a package index"
            raise Trouble(f"{fault}: check the repository's `pypi_url`.")
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
            raise Trouble(str(error)) from None
        newest = ", ".join(versions[:3]) or "none at all for this Python"
        more = f" and {len(versions) - 3} older ones" if len(versions) > 3 else ""
        remedy = "publish one, or change the pin in requirements.txt"
        raise Trouble(f"The index has no release that {asked} takes, but {newest}{more}: {remedy}.")

    def ask_for_unknown(self) -> Outcome:
        """Find out what becomes of a name that the index does not have."""
        page = self._get(f"{self.url}{PUBLIC_PROJECT}/")
        if page.elsewhere:
            return "ok", f"The index redirects to {page.elsewhere} for what it does not have."
        if page.status == 200:
            return "ok", (
                "The index has PyPI's packages, too: see that it never takes your names from there."
            )
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
                with open_page(url, *account, accept=ACCEPT, timeout=SECONDS) as response:
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
                    return Page(error.code, error.headers, elsewhere=str(there.hostname))
            except NO_ANSWER as error:
                raise Trouble(connection_error(self.url, error)) from None
        raise Trouble(f"{self.url} redirects in a circle: look into the server's configuration.")


def _lists_files(page: Page) -> bool:
    """Return whether a page is the simple page of a project, as far as pip does not judge that."""
    if "json" not in page.headers.get("Content-Type", "").lower():
        return True
    try:
        return isinstance(json.loads(page.body)["files"], list)
    except (ValueError, TypeError, LookupError):
        return False
