"""Asks pip which releases the private index has, and which of them it would install.

Nothing is built, and nothing but a yanked release that is pinned is downloaded.
"""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import zipfile
from tempfile import TemporaryDirectory
from urllib.parse import quote

from . import ROOT
from .credentials import CREDENTIAL
from .run import ask

TIMEOUT = 30
"""Seconds that pip may take for an answer."""

KEPT = ("PIP_CERT", "PIP_CLIENT_CERT", "PIP_CONFIG_FILE", "PIP_PROXY")
"""What pip learns of the environment's settings for it."""

NONE_FITS = "No matching distribution found"
UNREACHABLE = "Could not fetch URL|after connection broken"


class PipError(Exception):
    """pip has no answer; the message says why and what to do."""


def python() -> str:
    """Return the Python that has pip: this one, else that of .venv; empty if neither has."""
    if any(importlib.metadata.distributions(name="pip")):
        return sys.executable
    has_pip = any(ROOT.glob(".venv/lib/python*/site-packages/pip"))
    return str(ROOT / ".venv/bin/python") if has_pip else ""


class Pip:
    """pip, which asks one index as one account, and reads no settings."""

    def __init__(self, url: str, user: str, password: str) -> None:
        account = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if name in KEPT or not (name.startswith("PIP_") or CREDENTIAL.fullmatch(name))
        } | {
            "PIP_INDEX_URL": url.replace("://", f"://{account}", 1),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            # Without any, pip does not say that it had no answer.
            "PIP_RETRIES": "1",
            "PIP_TIMEOUT": "5",
        }

    def versions(self, project: str) -> list[str]:
        """Return the versions that are for this Python and not yanked, newest first.

        Raises:
            PipError: pip cannot read the page of the project.
        """
        done = self._run("index", "versions", "--pre", project)
        if re.search(UNREACHABLE, done.stdout + done.stderr):
            raise PipError(
                "pip cannot reach the index, but Python can: check PIP_PROXY, and point PIP_CERT to"
                " the file that SSL_CERT_FILE names."
            )
        if done.returncode and NONE_FITS not in done.stderr:
            raise PipError(
                f"pip cannot read the page of {project}, which is no page of a package index:"
                " check the repository's `pypi_url`."
            )
        listed = re.search("^Available versions: (.+)", done.stdout, re.MULTILINE)
        return listed[1].split(", ") if listed else []

    def pick(self, project: str, pin: str, versions: list[str]) -> str:
        """Return which of some versions pip would install; empty if the pin takes none.

        Raises:
            PipError: pip cannot read the pin.
        """
        with TemporaryDirectory() as folder:
            # Empty wheels: pip picks among them as among the index's, and has nothing to build.
            for version in versions:
                stem = f"{project.replace('-', '_')}-{version}"
                with zipfile.ZipFile(f"{folder}/{stem}-py3-none-any.whl", "w") as wheel:
                    wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\n")
                    about = f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n"
                    wheel.writestr(f"{stem}.dist-info/METADATA", about)
            done = self._install(f"{project}{pin}", "--no-index", "--find-links", folder)
        if done.returncode == 0:
            return str(json.loads(done.stdout)["install"][0]["metadata"]["version"])
        if NONE_FITS not in done.stderr:
            raise PipError(f"pip cannot read {project}{pin}: correct requirements.txt.")
        return ""

    def takes_yanked(self, requirement: str) -> bool:
        """Return whether pip takes a yanked release where no other fits: one that is pinned.

        Raises:
            PipError: pip has no answer.
        """
        # Without a hash pip stops before it builds; without the file, when it gets it.
        said = self._install(requirement, "--require-hashes").stderr
        if re.search("--require-hashes mode|HTTP error .* while getting", said):
            return True
        if NONE_FITS in said:
            return False
        raise PipError(f"pip cannot tell which release {requirement} picks: ask again.")

    def _install(self, requirement: str, *options: str) -> subprocess.CompletedProcess[str]:
        dry = ("--dry-run", "--no-deps", "--ignore-installed", "--report", "-", "--quiet")
        return self._run("install", *dry, *options, requirement)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # -P: no module of this repository takes the place of one of pip's.
        command = [python(), "-P", "-m", "pip", *arguments]
        try:
            return ask(command, variables=self._environment, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            raise PipError(
                f"pip did not answer within {TIMEOUT} seconds: check your network and the server."
            ) from None
