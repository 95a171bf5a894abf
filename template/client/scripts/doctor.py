"""Looks for what keeps this repository from installing and publishing, and says what to do.

One line for each check: ok, warn, FAIL or skipped. Nothing is changed, nothing is stored on the
index, and no password is printed. The exit code is 1 if a check fails.
"""

from __future__ import annotations

import argparse
import contextlib
import email.utils
import http.client
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import checkout
import env_files
import index
import pages
import versions

ROOT = Path(__file__).resolve().parent.parent
PYPI_ENV = ROOT / ".pypi.env"
DOTENV = ROOT / ".env"

SECONDS = 5
"""To wait for a connection or an answer."""

HOUR = 60 * 60
DAY = 24 * HOUR

QUARTER, EARLY = 0.25, 21 * DAY
"""The share of its lifetime, and the seconds, that are left of a certificate worth a warning.

One that lasts for days or hours, on purpose, is renewed in time with a third of them left."""

CLOCK = 60
"""Seconds by which two clocks may differ."""

LARGEST_PAGE = 64 * 2**20

PUBLIC_PROJECT = "pip"
"""A name that PyPI has and a private index has not."""

Outcome = tuple[str, str]
"""ok, warn, FAIL or skipped, and a sentence."""


class Tool(NamedTuple):
    """A program, the oldest version of it that will do, and what it is for.

    Attributes:
        manager: the `package_manager` with which it is needed, empty for both.
    """

    name: str
    command: tuple[str, ...]
    oldest: str
    purpose: str
    manager: str = ""


TOOLS = (
    Tool("git", ("git", "--version"), "2.20", "nothing here works well without it"),
    Tool("docker", ("docker", "--version"), "20.10", "`make build` needs it"),
    Tool("compose", ("docker", "compose", "version"), "2.20", "`make build` needs it"),
    Tool("buildx", ("docker", "buildx", "version"), "0.8", "`make build` needs it"),
    Tool("poetry", ("poetry", "--version"), "2.0", "`make publish` needs it", "poetry"),
    Tool("twine", ("twine", "--version"), "6.1", "`make publish` checks with it"),
    Tool("uv", ("uv", "--version"), "0.7", "`make template-update` needs it", "poetry"),
    Tool("uv", ("uv", "--version"), "0.9.6", "`make publish` needs it", "uv"),
)

UNREADABLE = (OSError, ValueError)
"""What names and files end in that are not there or hold something else than text."""

FAULTS = (
    *(ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError),
    *(http.client.HTTPException, subprocess.SubprocessError),
)
"""What a check may fail with that met an answer nobody thought of; the others go on."""


class TroubleError(Exception):
    """What makes a check fail: one sentence that ends with what to do."""


class ElsewhereError(Exception):
    """An index sends on to another one; the message names that one's host."""


class Page(NamedTuple):
    """What an index answered."""

    status: int
    headers: Message
    body: bytes


class Report:
    """Prints a line for each check as soon as it is done."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}

    def check(self, name: str, run: Callable[[], Outcome], *needed: str) -> None:
        """Run a check, or skip it if one of those it needs did not pass."""
        lacking = [other for other in needed if self._states.get(other) in ("FAIL", "skipped")]
        try:
            state, text = ("skipped", f"needs {lacking[0]}, see above.") if lacking else run()
        except TroubleError as trouble:
            state, text = "FAIL", str(trouble)
        except FAULTS as error:
            kind = type(error).__name__
            state, text = "FAIL", f"the check itself failed ({kind}): report that, please."
        self._states[name] = state
        # What a server said must not steer the terminal.
        text = "".join(letter if letter.isprintable() else "?" for letter in text)
        print(f"{state:8}{name}: {text}", flush=True)

    def end(self) -> int:
        """Print how many checks failed; return the exit code."""
        states = list(self._states.values())
        failed, warned = states.count("FAIL"), states.count("warn")
        print(f"\n{failed} of {len(states)} checks failed, {warned} warned.")
        return 1 if failed else 0


class Index:
    """The private index as the repository knows it, and an account on it.

    Attributes:
        url: of its pages.
        name: the index's, from which the names of variables derive.
        private: names of the private packages.
        user: empty as long as no credentials were found.
    """

    def __init__(
        self, name: str, url: str, publish_url: str, private: list[str], *, single: bool
    ) -> None:
        self.name, self.url, self.publish_url, self.single = name, url, publish_url, single
        self.private = private
        self.user = self.password = ""
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self.is_https = parts.scheme == "https"
        self.port = parts.port or (443 if self.is_https else 80)
        self._date: tuple[str, float] = ("", 0.0)
        self._is_open = False

    # Credentials

    def read_credentials(self) -> Outcome:
        """Take the credentials from .pypi.env or, without that, from the environment."""
        is_file = PYPI_ENV.exists()
        try:
            settings = env_files.read(PYPI_ENV) if is_file else dict(os.environ)
        except ValueError as error:
            raise TroubleError(str(error)) from None
        place = ".pypi.env" if is_file else "The environment"
        suffix = self.name.upper().replace("-", "_")
        names = ["PIP_EXTRA_INDEX_URL"]
        names += [
            f"{tool}_{suffix}_{part}"
            for tool in ("POETRY_HTTP_BASIC", "UV_INDEX")
            for part in ("USERNAME", "PASSWORD")
        ]
        twine = ["TWINE_REPOSITORY_URL", "TWINE_USERNAME", "TWINE_PASSWORD"]
        if missing := [name for name in names if not settings.get(name)]:
            if not is_file:
                raise TroubleError("There is no .pypi.env: run `make login`.")
            raise TroubleError(f".pypi.env lacks {', '.join(missing)}: run `make login`.")
        try:
            url, user, password = index.split_credentials(settings["PIP_EXTRA_INDEX_URL"])
        except ValueError:
            raise TroubleError(
                f"PIP_EXTRA_INDEX_URL in {place} is not a URL: run `make login`."
            ) from None
        if url != self.url:
            raise TroubleError(
                f"{place} is for {url}, the repository for {self.url}: run `make login`."
            )
        pairs = {(settings[names[i]], settings[names[i + 1]]) for i in (1, 3)}
        if all(settings.get(name) for name in twine):
            pairs.add((settings["TWINE_USERNAME"], settings["TWINE_PASSWORD"]))
        if pairs != {(user, password)}:
            raise TroubleError(f"{place} holds more than one account: run `make login`.")
        self.user, self.password = user, password
        if lacking := [name for name in twine if not settings.get(name)]:
            return "warn", f"{place} lacks {', '.join(lacking)}, for twine: run `make login`."
        if settings["TWINE_REPOSITORY_URL"] != self.publish_url:
            return "warn", (
                f"twine uploads to {_without_account(settings['TWINE_REPOSITORY_URL'])}, the"
                f" repository's URL is {self.publish_url}: run `make login`."
            )
        return "ok", f"{place} has one account, {user}, for pip, Poetry, uv and twine."

    # Network

    def resolve(self) -> Outcome:
        """Look the host up."""
        if proxy := index.proxy_of(self.url):
            return "skipped", f"{proxy} is asked instead, as HTTPS_PROXY or HTTP_PROXY says."
        try:
            found = _within(
                SECONDS,
                lambda: socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM),
            )
        except TimeoutError:
            raise TroubleError(
                f"Nobody answered in {SECONDS} seconds who {self.host} is: check your DNS and VPN."
            ) from None
        except UNREADABLE:
            raise TroubleError(
                f"The name {self.host} does not resolve: check its spelling, your DNS and your VPN."
            ) from None
        addresses = sorted({str(address[4][0]) for address in found})
        return "ok", f"{self.host} is {', '.join(addresses)}."

    def connect(self) -> Outcome:
        """Open a connection."""
        try:
            with socket.create_connection((self.host, self.port), timeout=SECONDS):
                return "ok", f"{self.host} takes connections on port {self.port}."
        except OSError as error:
            raise TroubleError(index.connection_error(self.url, error)) from None

    def secure(self) -> Outcome:
        """Look at the certificate."""
        if not self.is_https:
            if self.host in ("localhost", "::1") or self.host.startswith("127."):
                return "ok", "Plain HTTP, which does not leave this machine."
            raise TroubleError(
                "Plain HTTP: whoever is on the way reads the password, and pip refuses it but for"
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
            raise TroubleError(self._tls_trouble(error)) from None
        begins, ends = (
            ssl.cert_time_to_seconds(certificate[when]) for when in ("notBefore", "notAfter")
        )
        left = ends - time.time()
        day = time.strftime("%Y-%m-%d", time.gmtime(ends))
        issuer = dict(pair for names in certificate["issuer"] for pair in names)
        name = issuer.get("organizationName") or issuer.get("commonName") or "a nameless authority"
        text = f"The certificate was signed by {name} and is valid until {day}"
        if left < min(QUARTER * (ends - begins), EARLY):
            span = f"{int(left // DAY)} days" if left >= 2 * DAY else f"{int(left // HOUR)} hours"
            return "warn", f"{text}, {span}: have the server's owner look at its renewal."
        return "ok", f"{text}."

    def answer(self) -> Outcome:
        """Ask without an account."""
        try:
            page = self._get(self.url, account=False)
        except ElsewhereError as host:
            raise TroubleError(
                f"{self.url} redirects to {host}: make that the repository's `pypi_url`, with"
                " `make template-update`."
            ) from None
        self._date = (page.headers.get("Date", ""), time.time())
        if page.status >= 500:
            raise TroubleError(f"{self.url} fails with {page.status}: look into the server's log.")
        if page.status < 400:
            self._is_open = True
            return "ok", "Everybody may install, without an account."
        if page.status in (401, 403):
            return "ok", f"{self.url} asks for an account."
        return "ok", f"{self.url} answers, with {page.status}."

    def compare_clocks(self) -> Outcome:
        """Compare this machine's time with that of the answer."""
        text, now = self._date
        try:
            server = email.utils.parsedate_to_datetime(text).timestamp()
        except ValueError:
            return "ok", "unknown: the server does not tell its time."
        seconds = round(now - server)
        if abs(seconds) <= CLOCK:
            return "ok", f"{abs(seconds)} s off the server's."
        side = "ahead of" if seconds > 0 else "behind"
        return "warn", (
            f"This machine is {abs(seconds)} s {side} the server:"
            " set the wrong clock of the two, with `timedatectl set-ntp true` for example."
        )

    def log_in(self) -> Outcome:
        """Ask with the account."""
        if refusal := index.access_error(self.url, self.user, self.password, self.private):
            raise TroubleError(refusal)
        if self._is_open:
            return "ok", "unknown: whether the password is right, publishing will show."
        return "ok", f"The index takes {self.user} and the password."

    def ask_for_role(self) -> Outcome:
        """Send an upload without any content, which the server can only refuse."""
        try:
            index.open_page(
                self.publish_url, self.user, self.password, data=b"", timeout=SECONDS
            ).close()
        except urllib.error.HTTPError as error:
            said = error.read(500).decode("utf-8", "replace")
            error.close()
            if error.code == 400 and said.startswith("Send the upload as multipart/form-data"):
                return "ok", f"{self.user} may publish and install."
            if error.code == 403 and "may install, not publish" in said:
                return "ok", (
                    f"{self.user} may install, but not publish: for `make publish`, ask the index's"
                    " owner for an account that may."
                )
            if error.code in (404, 405):
                return "warn", (
                    f"Nothing takes uploads at {self.publish_url} ({error.code}):"
                    " for `make publish`, correct the repository's `pypi_url`."
                )
            code = error.code
            return "ok", f"unknown: this index answers {code} to an upload without content."
        except (OSError, http.client.HTTPException) as error:
            raise TroubleError(index.connection_error(self.publish_url, error)) from None
        return "ok", "unknown: this index takes an upload without content for a success."

    # Packages

    def find(self, project: str, pin: str) -> Outcome:
        """Tell which version of a project a pin picks."""
        asked, private = f"{project}{pin}", project in self.private
        try:
            page = self._get(f"{self.url}{project}/")
        except ElsewhereError as host:
            if not private:
                return "ok", f"{asked} is not held here, but sent on to {host}."
            raise TroubleError(
                f"The index does not hold {project} and sends pip on to {host}, where anybody may"
                " take that name: publish it before you require it."
            ) from None
        if page.status in (401, 403):
            raise TroubleError(
                f"{self.user} may not read {project} ({page.status}): ask the index's owner."
            )
        if page.status in (404, 410):
            if not (private or self.single):
                return "ok", f"{asked} is not held here; pip looks for it on PyPI."
            raise TroubleError(
                f"The index does not hold {project}: publish it, or correct requirements.txt."
            )
        if page.status != 200:
            raise TroubleError(
                f"The page of {project} fails with {page.status}: look into the server's log."
            )
        try:
            releases = pages.releases(project, page.headers.get("Content-Type", ""), page.body)
        except ValueError:
            raise TroubleError(
                f"The page of {project} is no page of a package index: check the repository's"
                " `pypi_url`."
            ) from None
        try:
            picked = versions.pick(pin, releases)
        except ValueError:
            raise TroubleError(f"pip cannot read {asked}: correct requirements.txt.") from None
        if picked and picked.yanked:
            return "warn", f"{asked} picks {picked.version.text}, which was withdrawn: pin another."
        if picked:
            return "ok", f"{asked} picks {picked.version.text}."
        raise TroubleError(
            f"The index has no release that {asked} takes, but {_listed(releases)}: publish one,"
            " or change the pin in requirements.txt."
        )

    def ask_for_unknown(self) -> Outcome:
        """Find out what becomes of a name that the index does not hold."""
        try:
            page = self._get(f"{self.url}{PUBLIC_PROJECT}/")
        except ElsewhereError as host:
            return "ok", f"What the index does not hold, it sends on to {host}."
        if page.status == 200:
            return "ok", (
                "The index has PyPI's packages, too: see that it never takes your names from there."
            )
        if page.status not in (404, 410):
            return "warn", f"unknown: {PUBLIC_PROJECT} is answered with {page.status}."
        if self.single:
            return "warn", (
                "The index refuses what it does not hold, and pip asks no other: what you need from"
                " PyPI cannot be installed. Answer `extra` to `index_strategy` if that is much."
            )
        return "ok", "The index refuses what it does not hold; pip looks for that on PyPI."

    def _get(self, url: str, *, account: bool = True) -> Page:
        """Get a page, through redirects within the index.

        Raises:
            ElsewhereError: it redirects to another host, which must not see the credentials.
            TroubleError: there is no answer.
        """
        user, password = (self.user, self.password) if account else ("", "")
        for _ in range(4):
            try:
                with index.open_page(
                    url, user, password, accept=pages.ACCEPT, timeout=SECONDS
                ) as response:
                    # The list of all projects may be large, and nobody wants it.
                    body = response.read(LARGEST_PAGE) if account else b""
                    return Page(response.status, response.headers, body)
            except urllib.error.HTTPError as error:
                error.close()
                if error.code not in index.REDIRECTS:
                    return Page(error.code, error.headers, b"")
                target = urljoin(url, error.headers.get("Location", ""))
            except (OSError, http.client.HTTPException) as error:
                raise TroubleError(index.connection_error(self.url, error)) from None
            there, here = urlsplit(target), urlsplit(self.url)
            if (there.scheme, there.netloc) != (here.scheme, here.netloc):
                raise ElsewhereError(there.hostname)
            url = target
        raise TroubleError(
            f"{self.url} redirects in a circle: look into the server's configuration."
        )

    def _tls_trouble(self, error: OSError) -> str:
        """Return why there is no secure connection, and what to do."""
        if isinstance(error, ssl.SSLCertVerificationError):
            reasons = {
                9: "is not valid yet: check the clock of this machine, then the server's",
                10: "has expired: the server's owner has to renew it",
                62: "is for another name: check the repository's `pypi_url`, or have the server's"
                " owner get a certificate for this one",
                64: "does not name this address: give the index's DNS name as `pypi_url`",
            }
            if reason := reasons.get(error.verify_code):
                return f"The certificate of {self.host} {reason}."
        return index.connection_error(self.url, error)


# This machine


def check_mode() -> Outcome:
    """Look who may read the files that hold credentials."""
    files = _with_credentials()
    if not files:
        return "skipped", "There is no .pypi.env."
    for file in files:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            raise TroubleError(
                f"{file.name} has mode {mode:04o}, others can read it: `chmod 600 {file.name}`."
            )
    return "ok", f"Only you can read {' and '.join(file.name for file in files)}."


def check_git() -> Outcome:
    """Look whether git leaves the files that hold credentials alone."""
    if not shutil.which("git"):
        return "skipped", "git is not installed."
    if not checkout.repository():
        return "skipped", "This is not a git repository."
    files = _with_credentials() or [PYPI_ENV]
    for name in [file.name for file in files]:
        tracked = _git("ls-files", "--error-unmatch", name)
        if tracked.returncode == 128:
            return "warn", "git does not answer: `git status` says why."
        if tracked.returncode == 0:
            raise TroubleError(
                f"git tracks {name}: `git rm --cached {name}`, commit, and have the password"
                " changed, which is in the history now."
            )
        if _git("check-ignore", "--quiet", name).returncode:
            raise TroubleError(f"git does not ignore {name}: add it as a line to .gitignore.")
    return "ok", f"git ignores {' and '.join(file.name for file in files)}."


def check_python() -> Outcome:
    """Compare the Python that `make install` uses with what pyproject.toml asks for."""
    mine = ".".join(map(str, sys.version_info[:3]))
    with contextlib.suppress(OSError, ValueError):
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        wanted = re.search(r"""^requires-python\s*=\s*["']([^"']*)["']""", project, re.MULTILINE)
        version = versions.parse(mine)
        if wanted and version and not versions.allows(wanted[1], version):
            return "warn", f"{mine}, but pyproject.toml wants {wanted[1]}: install that."
    return "ok", f"{mine}."


def check_tool(tool: Tool) -> Outcome:
    """Ask a program for its version."""
    try:
        done = subprocess.run(
            tool.command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=4 * SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "warn", f"`{' '.join(tool.command)}` does not end: {tool.purpose}."
    except OSError:
        return "warn", f"not installed: {tool.purpose}."
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    if done.returncode or not found:
        return "warn", f"`{' '.join(tool.command)}` does not work: {tool.purpose}."
    version, oldest = versions.parse(found[0]), versions.parse(tool.oldest)
    if version and oldest and version < oldest:
        return "warn", f"{found[0]} is too old: install {tool.oldest} or newer, {tool.purpose}."
    return "ok", f"{found[0]}."


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", *arguments],
        cwd=ROOT,
        env=env_files.git_environment(),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )


def _with_credentials() -> list[Path]:
    """Return the files of this repository that hold credentials."""
    try:
        is_ours = env_files.PIP_URL.encode() in DOTENV.read_bytes()
    except OSError:
        is_ours = False
    return [*([PYPI_ENV] if PYPI_ENV.exists() else []), *([DOTENV] if is_ours else [])]


def _without_account(url: str) -> str:
    """Return a URL of a file that people edit, without what they should not have put there."""
    return re.sub("//[^/]*@", "//", url)


def _listed(releases: list[versions.Release]) -> str:
    """Return the highest of some releases, as part of a sentence."""
    ordered = sorted(releases, key=lambda release: release.version[:-1], reverse=True)
    texts = [
        f"{release.version.text}{' (withdrawn)' if release.yanked else ''}"
        for release in ordered[:3]
    ]
    more = f" and {len(ordered) - 3} older ones" if len(ordered) > 3 else ""
    return f"{', '.join(texts)}{more}" if texts else "none at all for this Python"


def _within(seconds: float, function: Callable[[], Any]) -> Any:
    """Return what a function returns that has no time-out of its own.

    Raises:
        TimeoutError: it took too long, and goes on in the background.
    """
    results: list[Any] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(function())
        except (TroubleError, *FAULTS) as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError
    return results[0]


def main() -> int:
    """Run the checks; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="of the index in pyproject.toml, such as private")
    parser.add_argument("url", help="of its pages, such as https://pypi.example.com/simple/")
    parser.add_argument("publish_url", help="where it takes uploads")
    parser.add_argument("--single", action="store_true", help="pip asks this index alone")
    parser.add_argument("--locked", action="store_true", help="requirements.txt has every release")
    parser.add_argument("--manager", choices=("poetry", "uv"), required=True, help="what publishes")
    parser.add_argument("--private", nargs="*", default=[], help="the private packages")
    arguments = parser.parse_args()
    index.TIMEOUT = SECONDS
    there = Index(
        arguments.name,
        arguments.url,
        arguments.publish_url,
        arguments.private,
        single=arguments.single,
    )
    tools = [tool for tool in TOOLS if tool.manager in ("", arguments.manager)]
    report = Report()

    with ThreadPoolExecutor(len(tools)) as pool:
        running = [(tool.name, pool.submit(check_tool, tool)) for tool in tools]
        report.check("python", check_python)
        for name, outcome in running:
            report.check(name, outcome.result)

    report.check("file mode", check_mode)
    report.check("git-ignored", check_git)
    report.check("credentials", there.read_credentials)

    report.check("DNS", there.resolve)
    if index.proxy_of(there.url):
        report.check("HTTP", there.answer)
    else:
        report.check("TCP", there.connect, "DNS")
        report.check("TLS", there.secure, "TCP")
        report.check("HTTP", there.answer, "TLS")
    report.check("clock", there.compare_clocks, "HTTP")
    report.check("account", there.log_in, "HTTP", "credentials")
    report.check("role", there.ask_for_role, "account")
    pins = index.required_projects()
    # A lock has names without end; of those, the private ones will do.
    others = [] if arguments.locked else [name for name in pins if name not in there.private]
    for project in [*there.private, *others]:
        find = partial(there.find, project, pins.get(project, ""))
        report.check(f"package {project}", find, "account")
    report.check("other packages", there.ask_for_unknown, "account")
    return report.end()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nInterrupted.")
