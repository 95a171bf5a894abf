"""Uploads what is in dist/ to the private index with Poetry or uv, and explains what goes wrong.

Before that it looks whether dist/ holds the version of pyproject.toml, and nothing else, and which
of its files the index has already. It asks that index alone, and follows no redirect: of a name
that the index does not hold, another one may have a stranger's files. The credentials come from
the environment: Poetry's from POETRY_HTTP_BASIC_<NAME>_USERNAME and _PASSWORD, uv's from
UV_INDEX_<NAME>_USERNAME and _PASSWORD.
"""

from __future__ import annotations

import argparse
import email
import hashlib
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from email.message import Message
from pathlib import Path

from checkout import GitError, tags
from index import access_error, listed
from pages import normalized

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
        "The index has or had this version and replaces none: run `make bump PART=patch`,"
        " then publish again."
    ),
    413: (
        "The file is larger than the index takes: make it smaller,"
        " or ask the index's owner for a higher limit."
    ),
}
"""What to do about each HTTP status of a refused upload."""


STATUS = re.compile(r"(?:HTTP Error|status code:?) (\d{3})")

# How indexes that do not answer 409 say that they have the file.
EXISTS = re.compile(
    r"already exist|already been taken|updating asset|cannot be updated|overwrite artifact",
    re.IGNORECASE,
)

HASHES = {"md5", "sha1", "sha224", "sha256", "sha384", "sha512"}
"""What an index may tell of a file (PEP 503), as hashlib calls it."""


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


def artefact_error(files: list[Path], name: str, version: str) -> str:
    """Return why the files in dist/ must not be published, or an empty string."""
    if {path.suffix for path in files} != {".whl", ".gz"}:
        return "dist/ lacks a wheel or an sdist: run `make package`."
    for path in files:
        try:
            found = metadata(path)
        except ValueError:
            return f"dist/{path.name} is damaged: run `make package`."
        if normalized(str(found["Name"])) != normalized(name):
            return (
                f"dist/{path.name} is of {found['Name']}, but pyproject.toml says {name}:"
                " run `make package`."
            )
        if canonical(str(found["Version"])) != canonical(version):
            return (
                f"dist/{path.name} has version {found['Version']}, but pyproject.toml says"
                f" {version}: run `make package`."
            )
    return ""


def tag_error(version: str) -> str:
    """Return why the tag of what is checked out forbids a version, or an empty string."""
    try:
        versions = [tag for tag in tags() if re.match(r"v\d", tag)]
    except GitError as error:
        return str(error)
    if not versions or canonical(version) in [canonical(tag[1:]) for tag in versions]:
        return ""
    return (
        f"This commit is tagged {' and '.join(versions)}, but pyproject.toml says {version}:"
        " correct the one that is wrong (`git tag --delete`, `make bump`)."
    )


def is_same(path: Path, hashes: Mapping[str, str]) -> bool:
    """Return whether a file has the hashes that an index tells; it has to tell one at least."""
    known = [algorithm for algorithm in hashes if algorithm in HASHES]
    return bool(known) and all(digest(path, one) == hashes[one].lower() for one in known)


def digest(path: Path, algorithm: str) -> str:
    """Return a hash of a file, in hexadecimal."""
    found = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            found.update(block)
    return found.hexdigest()


def missing(files: list[Path], name: str, url: str, user: str, password: str) -> list[Path]:
    """Return those of a project's files that the index does not have with the same content.

    These are all of them if its page cannot be read: an account may be for publishing alone.
    """
    try:
        held = listed(url, user, password, normalized(name)) or []
    except LookupError:
        return files
    hashes = {file.name: file.hashes for file in held}
    return [path for path in files if not is_same(path, hashes.get(path.name, {}))]


def uv_arguments(folder: Path, url: str) -> list[str]:
    """Return what uv must be told to publish the files in a folder, and to ask no index before.

    With `--index` it asks the index whether it has the files, and follows where that sends it. What
    settings name as `check-url` is overruled by a folder that is not there: there is no other way.
    """
    nowhere = f"--check-url={folder / 'nothing'}"
    files = map(str, sorted(folder.iterdir()))
    return ["publish", "--trusted-publishing=never", f"--publish-url={url}", nowhere, *files]


def run(command: list[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a command in an environment, pass its output on as it comes, return code and output."""
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
    """Return in one sentence why the upload failed and what to do, or an empty string."""
    if status := STATUS.search(output):
        code = int(status[1])
        if code in (400, 403) and EXISTS.search(output):
            code = 409
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
    parser.add_argument("publish_url", help="where it takes uploads")
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
        name, version = subprocess.run(
            [*command, "version"],
            cwd=DIST.parent,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.split()[-2:]
        files = sorted(path for path in DIST.glob("*") if path.name.endswith((".whl", ".tar.gz")))
        if refusal := artefact_error(files, name, version) or tag_error(version):
            sys.exit(refusal)
        files = missing(files, name, arguments.url, user, password)
        if not files:
            print("The index had this version already: `make bump PART=patch` makes the next one.")
            return 0
        with tempfile.TemporaryDirectory() as folder:
            for path in files:
                Path(folder, path.name).symlink_to(path)
            environment = dict(os.environ)
            if arguments.uv:
                command += uv_arguments(Path(folder), arguments.publish_url)
                environment |= {"UV_PUBLISH_USERNAME": user, "UV_PUBLISH_PASSWORD": password}
            else:
                command += ["publish", "--no-interaction", f"--dist-dir={folder}"]
                command.append(f"--repository={arguments.name}")
            code, output = run(command, environment)
    except FileNotFoundError:
        sys.exit(f"{command[0]} is not installed: run `pipx install {command[0]}`.")
    except subprocess.CalledProcessError as error:
        return error.returncode
    if code:
        if sentence := explanation(output, arguments.url, user, password):
            print(sentence, file=sys.stderr)
    else:
        print(f"Published {name} {version} to {arguments.publish_url}")
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: publish again, what has arrived is skipped.")
