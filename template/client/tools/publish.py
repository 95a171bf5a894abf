"""Uploads what is in dist/ to the private index with Poetry or uv, and explains what goes wrong.

Before that it looks whether dist/ has the version of pyproject.toml, and nothing else, and which of
its files the index has already. It asks that index alone, and follows no redirect: of a name that
the index does not have, another one may have an attacker's files. The credentials come from the
environment, in the variables of the tool that sends. With trusted publishing, a job of CI that has
none there gets a password from the index, with which nothing can be read.
"""

import email
import hashlib
import html
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from email.message import Message
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from . import ROOT, trusted
from .checkout import tags
from .index import access_error, project_page
from .run import ask
from .settings import Settings, normalized

DIST = ROOT / "dist"

NO_UPLOADS = "Nothing takes uploads there: correct the URL that `make template-update` asks for."
REMEDIES = {
    400: "The index takes the file for a bad one: read its answer above.",
    401: "The index refuses the user name or password: run `make login`.",
    403: (
        "This account may not publish, or its password is wrong: ask the index's owner for an"
        " account that may publish, then run `make login`."
    ),
    404: NO_UPLOADS,
    405: NO_UPLOADS,
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
    r"already exist|already been taken|updating asset|cannot be updated|overwrite artifact", re.I
)
BROKE_OFF = re.compile(r"error connecting|connection error|error sending", re.I)

HASHES = {"md5", "sha1", "sha224", "sha256", "sha384", "sha512"}
"""What an index may tell of a file (PEP 503), as hashlib calls it."""


def metadata(path: Path) -> Message:
    """Return the metadata in a wheel or an sdist, which may be damaged in more than one way."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
            return email.message_from_bytes(wheel.read(name))
    with tarfile.open(path) as sdist:
        (name,) = (n for n in sdist.getnames() if re.fullmatch(r"[^/]+/PKG-INFO", n))
        file = sdist.extractfile(name)
        return email.message_from_bytes(file.read() if file else b"")


def dist_error(files: list[Path], name: str, version: str) -> str:
    """Return why the files in dist/ must not be published, or an empty string."""
    if {path.suffix for path in files} != {".whl", ".gz"}:
        return "dist/ lacks a wheel or an sdist: run `make package`."
    for path in files:
        try:
            found = metadata(path)
        except (OSError, EOFError, ValueError, tarfile.TarError, zipfile.BadZipFile):
            return f"dist/{path.name} is damaged: run `make package`."
        wrong = ""
        if normalized(str(found["Name"])) != normalized(name):
            wrong = f"is of {found['Name']}, but pyproject.toml says {name}"
        elif found["Version"] != version:
            wrong = f"has version {found['Version']}, but pyproject.toml says {version}"
        if wrong:
            return f"dist/{path.name} {wrong}: run `make package`."
    return ""


def release_of(settings: Settings, command: list[str], files: list[Path]) -> list[str]:
    """Return name and version in pyproject.toml as the tool writes them: 1.0-alpha.1 is 1.0a1."""
    name, version = settings.project, settings.version
    written = re.compile(rf".*-{re.escape(version)}(-.*\.whl|\.tar\.gz)")
    if name and version and all(written.fullmatch(path.name) for path in files):
        return [name, version]
    told = subprocess.run([*command, "version"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if told.returncode:
        sys.exit(told.returncode)
    return told.stdout.split()[-2:]


def tag_error(tool: str, command: list[str], version: str) -> str:
    """Return why the tag of what is checked out forbids a version, or an empty string."""
    found = [tag for tag in tags() if re.match(r"v\d", tag)]
    if not found or version in [tag[1:] for tag in found]:
        return ""
    # v1.0.0-alpha.1 is the tag of 1.0.0a1, too: the tool says what it makes of that.
    frozen = ["--frozen"] if tool == "uv" else []
    for tag in found:
        written = [*command, "version", "--short", "--dry-run", *frozen, tag[1:]]
        if ask(written).stdout.strip() == version:
            return ""
    return (
        f"This commit is tagged {' and '.join(found)}, but pyproject.toml says {version}:"
        " correct the one that is wrong (`git tag --delete`, `make bump`)."
    )


def hashes_on(content_type: str, page: bytes) -> dict[str, dict[str, str]]:
    """Return the hashes of each file on a project's page (PEP 691, or PEP 503)."""
    if "json" in content_type.lower():
        return {file["filename"]: file["hashes"] for file in json.loads(page)["files"]}
    hrefs = re.findall(r"\bhref\s*=\s*[\"']([^\"']+)", page.decode("utf-8", "replace"), re.I)
    links = [urlsplit(html.unescape(href)) for href in hrefs]
    return {unquote(one.path.rpartition("/")[2]): dict(parse_qsl(one.fragment)) for one in links}


def is_same(path: Path, hashes: dict[str, str]) -> bool:
    """Return whether a file has the hashes that an index tells; it has to tell one at least."""
    with path.open("rb") as file:
        for known in HASHES & hashes.keys():
            file.seek(0)
            # MD5 may be switched off for all other purposes.
            new = partial(hashlib.new, known, usedforsecurity=False)
            if hashlib.file_digest(file, new).hexdigest() != hashes[known].lower():
                return False
    return not HASHES.isdisjoint(hashes)


def missing(
    files: list[Path], settings: Settings, name: str, account: tuple[str, str]
) -> list[Path]:
    """Return those of a project's files that the index does not have with the same content.

    These are all of them if its page cannot be read: an account may be for publishing alone.
    """
    try:
        page = project_page(settings.url, *account, normalized(name))
        hashes = hashes_on(*page) if page else {}
        return [path for path in files if not is_same(path, hashes.get(path.name, {}))]
    except (LookupError, TypeError, ValueError, AttributeError):
        return files


def run(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run a command in an environment, print its output as it comes, return code and output."""
    output, pipe = "", subprocess.PIPE
    with subprocess.Popen(
        command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            output += line
    return process.returncode, output


def explanation(output: str, settings: Settings, account: tuple[str, str], *, minted: bool) -> str:
    """Return in one sentence why the upload failed and what to do, or an empty string."""
    remedies = REMEDIES | trusted.REMEDIES if minted else REMEDIES
    if status := STATUS.search(output):
        code = int(status[1])
        if code in (400, 403) and EXISTS.search(output):
            code = 409
        return (
            "The index failed: look into the server's log."
            if code >= 500
            else remedies.get(code, "")
        )
    if not minted and (refusal := access_error(settings.url, *account, settings.projects)):
        return refusal
    if not BROKE_OFF.search(output):
        return ""
    return (
        f"{settings.url} answers, but the upload broke off: the file may be larger than the index"
        " takes, or the tool does not know its TLS authority (Poetry: point REQUESTS_CA_BUNDLE to"
        " the authority's certificate; uv: SSL_CERT_FILE)."
    )


def main(settings: Settings, arguments: list[str]) -> int:
    """Check and publish; return the tool's exit code.

    Args:
        arguments: uv or poetry, and the command that runs it.
    """
    tool, command = arguments[0], shlex.split(arguments[1])
    prefix = {"uv": "UV_INDEX", "poetry": "POETRY_HTTP_BASIC"}[tool] + f"_{settings.variable}"
    account = os.environ.get(f"{prefix}_USERNAME", ""), os.environ.get(f"{prefix}_PASSWORD", "")
    job = None
    if settings.trusted_publishing and not all(account):
        job = trusted.Job.taken_from(os.environ)
    if not job and not all(account):
        sys.exit("No credentials for the private index: run `make login` first.")
    files = sorted(path for path in DIST.glob("*") if path.name.endswith((".whl", ".tar.gz")))
    name, version = release_of(settings, command, files)
    if refusal := dist_error(files, name, version) or tag_error(tool, command, version):
        sys.exit(refusal)
    if job:
        account = trusted.USER, job.mint(settings)
    else:
        files = missing(files, settings, name, account)
    if not files:
        print("The index had this version already: `make bump PART=patch` makes the next one.")
        return 0
    variables = (f"{prefix}_USERNAME", f"{prefix}_PASSWORD")
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        links = [Path(folder, path.name) for path in files]
        for link, path in zip(links, files, strict=True):
            link.symlink_to(path)
        if tool == "uv":
            variables = ("UV_PUBLISH_USERNAME", "UV_PUBLISH_PASSWORD")
            # With `--index` it would ask the index whether it has the files, and follow where that
            # sends it. What settings name as `check-url` is overruled by a folder that is not
            # there: there is no other way.
            command += ["publish", "--trusted-publishing=never", f"--check-url={folder}/nothing"]
            command += [f"--publish-url={settings.publish_url}", *map(str, links)]
        else:
            command += ["publish", "--no-interaction", f"--dist-dir={folder}"]
            command.append(f"--repository={settings.name}")
        environment |= zip(variables, account, strict=True)
        code, output = run(command, environment)
    if not code:
        print(f"Published {name} {version} to {settings.publish_url}")
    elif sentence := explanation(output, settings, account, minted=bool(job)):
        print(sentence, file=sys.stderr)
    return code
