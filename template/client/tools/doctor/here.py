"""Checks of this machine: Python, the tools, and the files with credentials."""

import contextlib
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .. import ROOT
from ..checkout import repository, run_git
from ..credentials import DOTENV, PIP_URL, PYPI_ENV, read, split
from ..install import OLDEST, RECENT
from ..run import ask
from ..settings import Settings, normalized
from .report import Outcome

TIMEOUT = 20
"""Seconds that a program may take for its version."""

TWINE = ("TWINE_REPOSITORY_URL", "TWINE_USERNAME", "TWINE_PASSWORD")


class Tool(NamedTuple):
    """A program, the oldest version of it that will do, and what it is for."""

    name: str
    command: str
    oldest: str
    purpose: str
    manager: str = ""  # the only package manager with which it is needed
    old: str = "warn"  # what it is to be older than that

    def check(self) -> Outcome:
        """Ask the program for its version."""
        try:
            done = ask(self.command.split(), timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            return "warn", f"`{self.command}` does not end: {self.purpose}."
        except OSError:
            return "warn", f"not installed: {self.purpose}."
        found = re.search(r"\d+(\.\d+)+", done.stdout)
        if done.returncode or not found:
            return "warn", f"`{self.command}` does not work: {self.purpose}."
        if numbers(found[0]) < numbers(self.oldest):
            remedy = f"install {self.oldest} or newer, {self.purpose}"
            return self.old, f"{found[0]} is too old: {remedy}."
        return "ok", f"{found[0]}."


TOOLS = (
    Tool("git", "git --version", "2.20", "nothing here works well without it"),
    Tool("docker", "docker --version", "20.10", "`make build` needs it"),
    Tool("compose", "docker compose version", "2.20", "`make build` needs it"),
    Tool("buildx", "docker buildx version", "0.8", "`make build` needs it"),
    Tool("poetry", "poetry --version", "2.0", "`make publish` needs it", "poetry"),
    Tool("twine", "twine --version", "6.1", "`make publish` checks with it"),
    Tool("uv", "uv --version", "0.7", "`make template-update` needs it", "poetry"),
    Tool("uv", "uv --version", "0.9.6", "`make publish` needs it", "uv"),
)

COOLDOWN = {
    "poetry": Tool("poetry", "poetry --version", "2.4", "older ones know no cooldown"),
    "uv": Tool(
        *("uv", "uv --version", "0.10", "older ones cannot read [tool.uv] and ask PyPI instead"),
        old="FAIL",
    ),
}
"""The package managers, by name, if there is a cooldown."""


def tools(settings: Settings) -> list[Tool]:
    """Return the programs that this repository needs."""
    found = [tool for tool in TOOLS if tool.manager in ("", settings.manager)]
    if not settings.cooldown_days:
        return found
    return [COOLDOWN[tool.name] if tool.name == settings.manager else tool for tool in found]


def check_pip() -> Outcome:
    """Check that the pip of .venv knows the cooldown, where `make install` uses it."""
    found = next(ROOT.glob(".venv/lib/python*/site-packages/pip-*.dist-info"), None)
    if not found:
        return "ok", f"`make install` brings {RECENT}, which knows the cooldown."
    version = found.name.removeprefix("pip-").removesuffix(".dist-info")
    if numbers(version)[:2] < OLDEST:
        return "warn", f"{version} in .venv is too old for the cooldown: run `make install`."
    return "ok", f"{version} in .venv."


def numbers(version: str) -> tuple[int, ...]:
    """Return what two versions of a program are compared by."""
    return tuple(map(int, re.findall(r"\d+", version)))


def check_python(settings: Settings) -> Outcome:
    """Compare the Python that `make install` uses with the bounds in pyproject.toml."""
    mine = ".".join(map(str, sys.version_info[:3]))
    if not allows(settings.python, numbers(mine)):
        return "warn", f"{mine}, but pyproject.toml wants {settings.python}: install that."
    return "ok", f"{mine}."


def allows(bounds: str, version: tuple[int, ...]) -> bool:
    """Return whether bounds such as `>=3.11,<4` allow a version of Python (PEP 440)."""
    for operator, text, star in re.findall(r"([~<>=!]=|[<>])\s*([\d.]*\d)(\.\*)?", bounds):
        bound = numbers(text)
        is_equal = version[: len(bound)] == bound if star else version == (*bound, 0, 0)[:3]
        is_allowed = {
            ">=": version >= bound,
            "<=": version <= bound or is_equal,
            ">": version > bound and not is_equal,
            "<": version < bound,
            "==": is_equal,
            "!=": not is_equal,
            "~=": version >= bound and version[: len(bound) - 1] == bound[:-1],
        }
        if not is_allowed[operator]:
            return False
    return True


def check_mode() -> Outcome:
    """Check that nobody else may read the files with credentials."""
    files = files_with_credentials()
    for file in files:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            remedy = f"others can read it: `chmod 600 {file.name}`"
            return "FAIL", f"{file.name} has mode {mode:04o}, {remedy}."
    if not files:
        return "skipped", "There is no .pypi.env."
    return "ok", f"Only you can read {' and '.join(file.name for file in files)}."


def check_git() -> Outcome:
    """Check that git ignores the files with credentials."""
    if not shutil.which("git"):
        return "skipped", "git is not installed."
    if not repository():
        return "skipped", "This is not a git repository."
    names = [file.name for file in files_with_credentials() or [PYPI_ENV]]
    for name in names:
        tracked = run_git("ls-files", "--error-unmatch", name, timeout=TIMEOUT)
        if tracked.returncode == 128:
            return "warn", "git does not answer: `git status` says why."
        if tracked.returncode == 0:
            return "FAIL", (
                f"git tracks {name}: `git rm --cached {name}`, commit, and have the password"
                " changed, which is in the history now."
            )
        if run_git("check-ignore", "--quiet", name, timeout=TIMEOUT).returncode:
            return "FAIL", f"git does not ignore {name}: add it as a line to .gitignore."
    return "ok", f"git ignores {' and '.join(names)}."


def files_with_credentials() -> list[Path]:
    """Return the files of this repository that have credentials in them."""
    files = [PYPI_ENV] if PYPI_ENV.exists() else []
    with contextlib.suppress(OSError):
        if PIP_URL.encode() in DOTENV.read_bytes():
            files.append(DOTENV)
    return files


def check_prefixes(settings: Settings) -> Outcome:
    """Find the private packages that no reserved prefix covers."""
    starts = tuple(f"{prefix}-" for prefix in settings.prefixes)
    outside = [name for name in settings.packages if not f"{name}-".startswith(starts)]
    if not outside:
        return "ok", "A reserved prefix covers each private package."
    remedy = "rename them, or add their prefix to `private_prefixes` on both sides"
    return "warn", f"No reserved prefix covers {', '.join(outside)}: {remedy}."


def pins() -> dict[str, str]:
    """Return the pin of each project in requirements.txt, less options, URLs and markers."""
    file = ROOT / "requirements.txt"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    found = re.findall(
        r"^[ \t]*([A-Za-z0-9][\w.-]*)[ \t]*(?:\[[^]\n]*\])?[ \t]*\(?[ \t]*"
        r"((?:[=!<>~][^;#\\)\n]*)?)\)?[ \t]*"
        r"(?:[;#\\].*)?$",
        text,
        re.MULTILINE | re.ASCII,
    )
    return {normalized(name): re.sub(r"\s*--.*|\s", "", pin) for name, pin in found}


class Account:
    """User and password for the index; empty as long as none were found."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.user = self.password = ""

    def read(self) -> Outcome:
        """Take them from .pypi.env or, without that, from the environment."""
        place = ".pypi.env" if PYPI_ENV.exists() else "The environment"
        try:
            found = read() if PYPI_ENV.exists() else dict(os.environ)
        except ValueError as error:
            return "FAIL", str(error)
        if fault := self._fault(place, found):
            return "FAIL", f"{fault}: run `make login`."
        _, self.user, self.password = split(found[PIP_URL])
        if lacking := _lacking(TWINE, found):
            return "warn", f"{place} lacks {lacking}, for twine: run `make login`."
        if found["TWINE_REPOSITORY_URL"] != self._settings.publish_url:
            # Somebody may have written a password into it.
            url = re.sub("//[^/]*@", "//", found["TWINE_REPOSITORY_URL"])
            wanted = f"the repository's URL is {self._settings.publish_url}"
            return "warn", f"twine uploads to {url}, {wanted}: run `make login`."
        return "ok", f"{place} has one account, {self.user}, for pip, Poetry, uv and twine."

    def _fault(self, place: str, found: dict[str, str]) -> str:
        """Return why credentials are not those of one account on this index, or an empty string."""
        tools = [f"{tool}_{self._settings.variable}" for tool in ("POETRY_HTTP_BASIC", "UV_INDEX")]
        needed = [
            PIP_URL,
            *(f"{tool}_{part}" for tool in tools for part in ("USERNAME", "PASSWORD")),
        ]
        if lacking := _lacking(needed, found):
            return f".pypi.env lacks {lacking}" if PYPI_ENV.exists() else "There is no .pypi.env"
        try:
            url, *account = split(found[PIP_URL])
        except ValueError:
            return f"{PIP_URL} in {place} is not a URL"
        if url != self._settings.url:
            return f"{place} is for {url}, the repository for {self._settings.url}"
        tools += [] if _lacking(TWINE, found) else ["TWINE"]
        if any([found[f"{tool}_USERNAME"], found[f"{tool}_PASSWORD"]] != account for tool in tools):
            return f"{place} has more than one account"
        return ""


def _lacking(names: Iterable[str], found: dict[str, str]) -> str:
    return ", ".join(name for name in names if not found.get(name))
