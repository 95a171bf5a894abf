"""Uploads what is in dist/ to the private index with Poetry or uv, and explains what goes wrong.

Before that it looks whether dist/ holds the version of pyproject.toml, and nothing else. The
credentials come from the environment: Poetry's from POETRY_HTTP_BASIC_<NAME>_USERNAME and
_PASSWORD, uv's from UV_INDEX_<NAME>_USERNAME and _PASSWORD.
"""

from __future__ import annotations

import argparse
import email
import os
import re
import shlex
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

from index import access_error

DIST = Path(__file__).resolve().parent.parent / "dist"

REMEDIES = {
    400: "The index takes the file for a bad one: read its answer above.",
    401: "The index refuses the user name or password: run `make login`.",
    403: (
        "This account may not publish, or its password is wrong: ask the index's owner for an"
        " account that may publish, then run `make login`."
    ),
    404: "Nothing takes uploads there: correct the URL that `make template-update` asks for.",
    405: "Nothing takes uploads there: correct the URL that `make template-update` asks for.",
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


# What the tools say without a status: files that are there already, and that they cannot connect.
OTHER_FILE = re.compile(r"Local file and index file do not match", re.IGNORECASE)
SKIPPED = re.compile(r"File exists\. Skipping|already exists, skipping", re.IGNORECASE)
STATUS = re.compile(r"(?:HTTP Error|status code:?) (\d{3})")


def canonical(version: str) -> str:
    """Return a version in the form that file names have: 1.0.0-alpha.1 as 1.0.0a1 (PEP 440)."""
    short = version.lower().replace("alpha", "a").replace("beta", "b")
    return re.sub(r"[-_.]?(a|b|rc)[-_.]?(?=\d)", r"\1", short)


def metadata(path: Path) -> Message:
    """Return the metadata in a wheel or an sdist.

    Raises:
        ValueError: if the file is damaged or neither of them.
    """
    try:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
                return email.message_from_bytes(wheel.read(name))
        with tarfile.open(path) as sdist:
            (name,) = (n for n in sdist.getnames() if re.fullmatch(r"[^/]+/PKG-INFO", n))
            file = sdist.extractfile(name)
            return email.message_from_bytes(file.read() if file else b"")
    except (OSError, EOFError, ValueError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise ValueError(path.name) from error


def artefact_error(folder: Path, version: str) -> str:
    """Return why the files in a folder must not be published, or an empty string."""
    files = sorted(path for path in folder.glob("*") if path.name.endswith((".whl", ".tar.gz")))
    if {path.suffix for path in files} != {".whl", ".gz"}:
        return "dist/ lacks a wheel or an sdist: run `make package`."
    for path in files:
        try:
            found = metadata(path)
        except ValueError:
            return f"dist/{path.name} is damaged: run `make package`."
        if canonical(str(found["Version"])) != canonical(version):
            return (
                f"dist/{path.name} has version {found['Version']}, but pyproject.toml says"
                f" {version}: run `make package`."
            )
    return ""


def tag_error(version: str) -> str:
    """Return why the tag of what is checked out forbids a version, or an empty string."""
    command = ["git", "tag", "--points-at", "HEAD"]
    try:
        done = subprocess.run(command, cwd=DIST.parent, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    tags = [tag for tag in done.stdout.split() if re.match(r"v\d", tag)]
    if not tags or canonical(version) in [canonical(tag[1:]) for tag in tags]:
        return ""
    return (
        f"This commit is tagged {' and '.join(tags)}, but pyproject.toml says {version}: correct"
        " the one that is wrong (`git tag --delete`, `make bump`)."
    )


def run(command: list[str]) -> tuple[int, str]:
    """Run a command, pass its output on as it comes, return its exit code and its output."""
    output = []
    with subprocess.Popen(
        command,
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
    """Return in one sentence why the upload failed and what to do, or an empty string."""
    if OTHER_FILE.search(output):
        return REMEDIES[409]
    if status := STATUS.search(output):
        code = int(status[1])
        if code >= 500:
            return "The index failed: look into the server's log."
        return REMEDIES.get(code, "")
    if refusal := access_error(url, user, password):
        return refusal
    if re.search(r"error connecting|connection error|error sending", output, re.IGNORECASE):
        return (
            f"{url} answers, but the upload broke off: the file may be larger than the index takes,"
            " or its TLS authority is unknown to the tool (Poetry: point REQUESTS_CA_BUNDLE to that"
            " one's certificate; uv: SSL_CERT_FILE)."
        )
    return ""


def main() -> int:
    """Check and publish; return the tool's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="of the index in pyproject.toml or poetry.toml, as private")
    parser.add_argument("url", help="of its pages")
    tool = parser.add_mutually_exclusive_group(required=True)
    tool.add_argument("--poetry", help="the command that runs Poetry")
    tool.add_argument("--uv", help="the command that runs uv")
    arguments = parser.parse_args()

    prefix = "UV_INDEX_" if arguments.uv else "POETRY_HTTP_BASIC_"
    variable = prefix + arguments.name.upper().replace("-", "_")
    user = os.environ.get(f"{variable}_USERNAME", "")
    password = os.environ.get(f"{variable}_PASSWORD", "")
    if not (user and password):
        sys.exit("No credentials for the private index: run `make login` first.")

    command = shlex.split(arguments.uv or arguments.poetry)
    try:
        version = subprocess.run(
            [*command, "version", "--short"],
            cwd=DIST.parent,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.split()[-1]
        if refusal := artefact_error(DIST, version) or tag_error(version):
            sys.exit(refusal)
        if arguments.uv:
            command += ["publish", "--trusted-publishing=never", f"--index={arguments.name}"]
        else:
            command += ["publish", "--no-interaction", "--skip-existing"]
            command.append(f"--repository={arguments.name}")
        code, output = run(command)
    except FileNotFoundError:
        sys.exit(f"{command[0]} is not installed: run `pipx install {command[0]}`.")
    except subprocess.CalledProcessError as error:
        return error.returncode
    if code:
        if sentence := explanation(output, arguments.url, user, password):
            print(sentence, file=sys.stderr)
    elif SKIPPED.search(output):
        print("The index had this version already: `make bump PART=patch` makes the next one.")
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: publish again, what has arrived is skipped.")
