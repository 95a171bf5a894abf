"""Runs a program so that .pypi.env and this repository decide what it does, and nothing else.

Of the shell's variables for Python, pip, uv, Poetry and twine only those pass that change neither
where a package comes from, nor where it goes to, nor whether that happens. The settings of this
user and this machine for these tools are not read.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from . import ROOT
from . import credentials as files
from .checkout import CONFIG_HOME
from .settings import Settings

# The Makefile unsets PYTHONHOME and PYTHONPATH, which must not count for this program either.
TOOLS = re.compile(
    "(PIP|UV|POETRY|TWINE|CONDA|VIRTUAL_?ENV)(_.*)?|PYTHON(EXECUTABLE|USERBASE)|__PYVENV_LAUNCHER__"
)
"""The variables that the tools read, of which only the harmless ones and credentials pass."""

HARMLESS = {
    f"{tool}_{name}"
    for tool, names in {
        "PIP": "CACHE_DIR CERT CLIENT_CERT DEFAULT_TIMEOUT DISABLE_PIP_VERSION_CHECK NO_CACHE_DIR"
        " NO_COLOR NO_INPUT PROGRESS_BAR PROXY QUIET RESUME_RETRIES RETRIES TIMEOUT VERBOSE",
        "POETRY": "CACHE_DIR DATA_DIR INSTALLER_MAX_WORKERS INSTALLER_PARALLEL NO_INTERACTION"
        " REQUESTS_MAX_RETRIES REQUESTS_TIMEOUT",
        "UV": "CACHE_DIR CONCURRENT_BUILDS CONCURRENT_DOWNLOADS CONCURRENT_INSTALLS"
        " HTTP_CONNECT_TIMEOUT HTTP_RETRIES HTTP_TIMEOUT LINK_MODE LOCK_TIMEOUT NATIVE_TLS NO_CACHE"
        " NO_PROGRESS NO_WRAP PYTHON_DOWNLOADS PYTHON_INSTALL_DIR REQUEST_TIMEOUT SYSTEM_CERTS"
        " UPLOAD_HTTP_TIMEOUT",
    }.items()
    for name in names.split()
}
"""Caches, proxies, certificates, patience, and how much is said."""

MIRRORS = {"PIP_INDEX_URL", "POETRY_PYPI_MIRROR_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"}
"""Where this machine has PyPI, which matters only beside PyPI."""

FIXED = {
    "PIP_CONFIG_FILE": os.devnull,
    "POETRY_CONFIG_DIR": os.devnull,
    "UV_NO_SYSTEM_CONFIG": "1",
    # A keyring may wait for somebody to unlock it, and might know another account.
    "POETRY_KEYRING_ENABLED": "false",
    "POETRY_VIRTUALENVS_CREATE": "true",
    "POETRY_VIRTUALENVS_IN_PROJECT": "true",
    "UV_PROJECT_ENVIRONMENT": str(ROOT / ".venv"),
}
"""What every tool is told: no settings but the repository's, no environment but its .venv."""


def environment(settings: Settings, *, credentials: bool, docker: bool) -> dict[str, str]:
    """Return the environment of a program.

    Args:
        credentials: whether it gets those of .pypi.env, which win over the shell's.
        docker: whether it runs Docker, to which all else is left.
    """
    found = dict(os.environ)
    single = settings.strategy == "single"
    if not docker:
        passing = HARMLESS if single else HARMLESS | MIRRORS
        for name in found.keys() - passing:
            if TOOLS.fullmatch(name) and not files.CREDENTIAL.fullmatch(name):
                del found[name]
        homes = found.get("XDG_CONFIG_HOME", ""), f"{found.get('HOME', '')}/.config"
        if any(Path(home, "uv/uv.toml").exists() for home in homes):
            # There is no other way past it; without need, other programs keep their settings there.
            found |= {"XDG_CONFIG_HOME": os.devnull, CONFIG_HOME: homes[0]}
        found |= FIXED
    if credentials:
        try:
            found |= files.read()
        except ValueError as error:
            sys.exit(str(error))
        if single and not docker:
            found["PIP_INDEX_URL"] = found.get(files.PIP_URL, "")
    if settings.ca_certificate and (authorities := ROOT / ".ca-bundle.pem").is_file():
        names = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
        found |= dict.fromkeys(names, str(authorities))
    return found


def ask(
    command: list[str], *, variables: dict[str, str] | None = None, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program without input, for at most so many seconds; return all it said."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )


def main(settings: Settings, arguments: list[str]) -> None:
    """Replace this process by a program; --credentials, --docker or both may stand before it."""
    options, command = set(), [*arguments]
    while command and command[0] in ("--credentials", "--docker"):
        options.add(command.pop(0))
    if not command:
        sys.exit("error: name a program")
    surroundings = environment(
        settings, credentials="--credentials" in options, docker="--docker" in options
    )
    try:
        os.execvpe(command[0], command, surroundings)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error.strerror}.")
