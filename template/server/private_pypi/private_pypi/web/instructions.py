"""The lines that let pip, uv, Poetry, twine, Docker and CI work with the index.

A line never has a password: an account is a placeholder, or the file that has it is named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

Code = tuple[tuple[str, str], ...]
"""Lines in parts of a kind and a text: `url`, the URL of the index without a slash at its end;
`host`, its host name; `placeholder`, to be replaced by a person; or empty, for all else."""

_LOGIN = """\
machine {host}
login {user}
password {password}"""

_DOCKERFILE = """\
FROM python:3.13-slim
RUN --mount=type=secret,id=netrc,target=/root/.netrc \\
    pip install --index-url {url}/simple/ {package}"""

_GITHUB = """\
- run: |
    umask 077
    printf 'machine {host} login %s password %s\\n' "$INDEX_USER" "$INDEX_PASSWORD" > ~/.netrc
  env:
    INDEX_USER: ${{ secrets.INDEX_USER }}
    INDEX_PASSWORD: ${{ secrets.INDEX_PASSWORD }}
- run: pip install --index-url {url}/simple/ {package}"""

_GITLAB = """\
install:
  image: python:3.13-slim
  before_script:
    - umask 077
    - printf 'machine {host} login %s password %s\\n' "$INDEX_USER" "$INDEX_PASSWORD" > ~/.netrc
  script:
    - pip install --index-url {url}/simple/ {package}"""

_PIP = "pip install --index-url {url}/simple/ {package}"
_UV = "uv add --default-index private={url}/simple/ {package}"
_POETRY = """\
poetry source add --priority=primary private {url}/simple/
poetry add {package}"""

# Where the index does not lead to PyPI, other packages come from there.
_UV_BESIDE = "uv add --index private={url}/simple/ {package}"
_POETRY_BESIDE = """\
poetry source add --priority=explicit private {url}/simple/
poetry add --source private {package}"""

_PLACEHOLDERS = {"user": "USER", "password": "PASSWORD", "package": "PACKAGE"}


@dataclass(frozen=True)
class Block:
    """Lines to copy, and a sentence that says what they do."""

    text: str
    code: Code


@dataclass(frozen=True)
class Instruction:
    """What somebody who uses one tool has to do.

    Attributes:
        id: the name as a part of a URL.
    """

    id: str
    name: str
    blocks: tuple[Block, ...]


class Instructions:
    """The instructions for one index.

    Args:
        url: of the index, with a slash at its end.
        asks_pypi: whether clients get from PyPI, through it, what it does not have.
    """

    def __init__(self, url: str, *, asks_pypi: bool) -> None:
        self._url = url
        self._uv, self._poetry = (_UV, _POETRY) if asks_pypi else (_UV_BESIDE, _POETRY_BESIDE)
        # A second index for pip would let an attacker's package with a higher version win.
        self._alone = "" if asks_pypi else " What it needs from PyPI must be installed already."

    def login(self) -> Instruction:
        """Return how to give pip, uv and Poetry an account."""
        text = "pip, uv and Poetry read your account from the file ~/.netrc. Add these lines to it."
        blocks = (
            self._block(text, _LOGIN),
            self._block("Let nobody else read it.", "chmod 600 ~/.netrc"),
        )
        return Instruction("login", "Log in", blocks)

    def for_all(self) -> list[Instruction]:
        """Return how to use each tool, for any package."""
        # With a user alone it would not ask for the password.
        publish_uv = "uv publish --publish-url {url}/"
        publish_poetry = (
            "poetry config repositories.private {url}/\n"
            "poetry config http-basic.private {user}\n"
            "poetry publish --build --repository private"
        )
        publish_twine = "twine upload --repository-url {url}/ --username {user} dist/*"
        add = "Add a package to a project."
        asks = "Publish; it asks for the password."
        asks_for_both = "Publish; it asks for the user name and the password."
        # No option makes Poetry ask each time.
        keeps = (
            "Publish; it asks for the password, and keeps it in your system's keyring if there is"
            " one, else in its own configuration."
        )
        secrets = "Store the account of a reader in the secrets INDEX_USER and INDEX_PASSWORD."
        variables = (
            "Store the account of a reader in the variables INDEX_USER and INDEX_PASSWORD, masked."
        )
        return [
            self._instruction("pip", (f"Install a package.{self._alone}", _PIP)),
            self._instruction("uv", (add, self._uv), (asks_for_both, publish_uv)),
            self._instruction("Poetry", (add, self._poetry), (keeps, publish_poetry)),
            self._instruction("twine", (asks, publish_twine)),
            self._instruction(
                "Dockerfile",
                (f"This step alone sees the account; no layer keeps it.{self._alone}", _DOCKERFILE),
                ("Build the image with it.", "docker build --secret id=netrc,src=$HOME/.netrc ."),
            ),
            self._instruction("GitHub", (secrets, _GITHUB)),
            self._instruction("GitLab", (variables, _GITLAB)),
        ]

    def for_project(self, name: str) -> list[Instruction]:
        """Return how to install one project with each tool."""
        return [
            self._instruction(tool, ("", lines), package=name)
            for tool, lines in (("pip", _PIP), ("uv", self._uv), ("Poetry", self._poetry))
        ]

    def _instruction(self, name: str, *blocks: tuple[str, str], package: str = "") -> Instruction:
        made = tuple(self._block(text, lines, package) for text, lines in blocks)
        return Instruction(name.lower(), name, made)

    def _block(self, text: str, lines: str, package: str = "") -> Block:
        values = {
            "url": ("url", self._url.rstrip("/")),
            "host": ("host", urlsplit(self._url).hostname or ""),
            **{name: ("placeholder", value) for name, value in _PLACEHOLDERS.items()},
        }
        if package:
            values["package"] = ("", package)
        parts = re.split(rf"\{{({'|'.join(values)})\}}", lines)
        code = [
            values[part] if number % 2 else ("", part) for number, part in enumerate(parts) if part
        ]
        return Block(text, tuple(code))
