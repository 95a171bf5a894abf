"""Uploads what is in dist/ to the private index with Poetry, and explains what goes wrong.

The credentials come from the environment: POETRY_HTTP_BASIC_<NAME>_USERNAME and _PASSWORD.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping

from index import access_error

REMEDIES = {
    400: "The index takes the file for a bad one: read its answer above.",
    401: "The index refuses the user name or password: run `make login`.",
    403: (
        "This account may not publish, or its password is wrong: ask the index's owner for an"
        " account that may publish, then run `make login`."
    ),
    404: "Nothing takes uploads at the URL in poetry.toml: correct it.",
    405: "Nothing takes uploads at the URL in poetry.toml: correct it.",
    409: (
        "The index has this version and replaces none: run `make bump PART=patch`,"
        " then publish again."
    ),
    413: (
        "The file is larger than the index takes: make it smaller,"
        " or ask the index's owner for a higher limit."
    ),
}
"""What to do about each HTTP status of a refused upload."""


def poetry_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which Poetry asks neither a keyring nor anybody.

    One POETRY_REPOSITORIES_<NAME>_URL, whatever its name, makes Poetry forget poetry.toml.
    """
    return {
        **{
            name: value
            for name, value in environment.items()
            if not name.startswith("POETRY_REPOSITORIES_")
        },
        "POETRY_KEYRING_ENABLED": "false",
    }


def run(command: list[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a command, pass its output on as it comes, return its exit code and its output."""
    output = []
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            output.append(line)
    return process.returncode, "".join(output)


def explanation(output: str, url: str, user: str, password: str) -> str:
    """Return in one sentence why Poetry failed and what to do, or an empty string."""
    if status := re.search(r"HTTP Error (\d{3})", output):
        code = int(status[1])
        if code >= 500:
            return "The index failed: look into the server's log."
        return REMEDIES.get(code, "")
    if re.search(r"error connecting|connection error", output, re.IGNORECASE):
        return access_error(url, user, password) or (
            f"{url} answers, but the upload broke off: the file may be larger than the index takes,"
            " or Poetry does not know its TLS authority (point REQUESTS_CA_BUNDLE to that one's"
            " certificate)."
        )
    return ""


def main() -> int:
    """Publish; return Poetry's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="of the repository in poetry.toml, such as private")
    parser.add_argument("url", help="of its pages")
    parser.add_argument("--poetry", default="poetry", help="the command that runs Poetry")
    arguments = parser.parse_args()

    variable = "POETRY_HTTP_BASIC_" + arguments.name.upper().replace("-", "_")
    user = os.environ.get(f"{variable}_USERNAME", "")
    password = os.environ.get(f"{variable}_PASSWORD", "")
    if not (user and password):
        sys.exit("No credentials for the private index: run `make login` first.")

    command = [*shlex.split(arguments.poetry), "publish", "--no-interaction", "--skip-existing"]
    command.append(f"--repository={arguments.name}")
    try:
        code, output = run(command, poetry_environment(os.environ))
    except FileNotFoundError:
        sys.exit(f"{arguments.poetry} is not installed: run `pipx install poetry`.")
    if code:
        if sentence := explanation(output, arguments.url, user, password):
            print(sentence, file=sys.stderr)
    elif "File exists. Skipping" in output:
        print("The index had this version already: `make bump PART=patch` makes the next one.")
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: publish again, what has arrived is skipped.")
