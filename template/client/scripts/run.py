"""Runs a tool so that .pypi.env and this repository decide what it does, and nothing else.

Of the shell's variables for Python, pip, uv, Poetry and twine only those pass that change neither
where a package comes from, nor where it goes to, nor whether that happens. The settings of this
user and this machine for these tools are not read.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import env_files

ROOT = Path(__file__).resolve().parent.parent

TOOLS = re.compile(
    "(PIP|UV|POETRY|TWINE|CONDA|VIRTUAL_?ENV)(_.*)?|PYTHON(EXECUTABLE|USERBASE)|__PYVENV_LAUNCHER__"
)
"""The variables that the tools read, of which only the harmless ones and credentials pass.

Those that say where Python's own code is the Makefile drops, before this program starts.
"""

HARMLESS = frozenset(
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
)
"""Caches, proxies, certificates, patience, and how much is said."""

MIRRORS = frozenset({"PIP_INDEX_URL", "POETRY_PYPI_MIRROR_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"})
"""Where this machine has PyPI, which matters only beside PyPI."""

SETTINGS = {
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


def clean(environment: Mapping[str, str], *, extra: bool) -> dict[str, str]:
    """Return an environment in which only this repository decides what the tools do.

    Args:
        environment: the shell's.
        extra: whether PyPI is asked as well, so that a mirror of it counts.
    """
    passing = HARMLESS | MIRRORS if extra else HARMLESS
    kept = {
        name: value
        for name, value in environment.items()
        if not TOOLS.fullmatch(name) or name in passing or env_files.CREDENTIAL.fullmatch(name)
    }
    folders = (environment.get("XDG_CONFIG_HOME", ""), f"{environment.get('HOME', '')}/.config")
    if any(Path(folder, "uv/uv.toml").exists() for folder in folders):
        # There is no other way past it; without need, other programs keep their settings there.
        kept |= {"XDG_CONFIG_HOME": os.devnull, env_files.CONFIG_HOME: folders[0]}
    return {**kept, **SETTINGS}


def main() -> None:
    """Become the tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--credentials", action="store_true", help="with those of .pypi.env")
    parser.add_argument("--docker", action="store_true", help="leave all else to Docker")
    parser.add_argument("--single", action="store_true", help="pip asks the private index alone")
    parser.add_argument("--trust", default="", metavar="FILE", help="the authorities to trust")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the tool and its arguments")
    arguments = parser.parse_args()
    if not arguments.command:
        parser.error("name a command")

    environment = dict(os.environ)
    if not arguments.docker:
        environment = clean(environment, extra=not arguments.single)
    if arguments.credentials:
        try:
            environment |= env_files.read(ROOT / ".pypi.env")
        except ValueError as error:
            sys.exit(str(error))
        if arguments.single and not arguments.docker:
            environment["PIP_INDEX_URL"] = environment.get(env_files.PIP_URL, "")
    authorities = ROOT / arguments.trust
    if authorities.is_file():
        names = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
        environment |= dict.fromkeys(names, str(authorities))
    try:
        os.execvpe(arguments.command[0], arguments.command, environment)
    except OSError as error:
        sys.exit(f"{arguments.command[0]} cannot be run: {error.strerror}.")


if __name__ == "__main__":
    main()
