"""An index under test: fill its data folder, read what it serves, and check that both fit."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from private_pypi import distribution, journal
from private_pypi.index import Index
from private_pypi.verify import differences

from kit import wheel
from kit.archives import tarred

WHEEL = "my_lib-1.0-py3-none-any.whl"

# The time of folders and files that have not changed for a while.
LONG_AGO = 1_700_000_000 * 10**9


def copy(data: Path, name: str = "my-lib", version: str = "1.0", origin: str = "a") -> Path:
    """Put a wheel into a folder by hand, as if it had been there for long."""
    data.mkdir(exist_ok=True, parents=True)
    path = wheel.build(data, name, version, origin=origin)
    age(path)
    return path


def age(path: Path) -> None:
    """Let a file look as if it had not been written for a while."""
    os.utime(path, ns=(LONG_AGO, LONG_AGO))


def copy_sdist(data: Path, name: str = "my-lib", version: str = "1.0") -> Path:
    """Put an sdist with static metadata into a folder by hand."""
    start = f"{name.replace('-', '_')}-{version}"
    text = f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n"
    path = data / f"{start}.tar.gz"
    path.write_bytes(tarred({f"{start}/PKG-INFO": text}))
    age(path)
    return path


def publish(
    index: Index, data: Path, name: str = "my-lib", version: str = "1.0", origin: str = "a"
) -> str:
    """Upload a wheel, as the application does; return its file name."""
    unfinished = data / ".uploads" / f"{os.getpid()}-{threading.get_ident()}"
    unfinished.mkdir()
    try:
        path = wheel.build(unfinished, name, version, origin=origin)
        index.add(path, distribution.read(path), by="alice")
        return path.name
    finally:
        shutil.rmtree(unfinished)


def page(folder: Path, project: str = "my-lib") -> list[dict[str, Any]]:
    """Return the files a project page lists; none if there is no page."""
    path = folder / "simple" / project / "index.json"
    if not path.exists():
        assert not path.parent.exists() or not list(path.parent.iterdir())
        return []
    read = json.loads(path.read_bytes())
    html = path.with_name("index.html").read_text(encoding="utf-8")
    files = read["files"]
    assert read["name"] == project
    assert [html.count(f">{file['filename']}</a>") for file in files] == [1] * len(files)
    return list(files)


def names(folder: Path, project: str = "my-lib") -> list[str]:
    return [file["filename"] for file in page(folder, project)]


def projects(folder: Path) -> list[str]:
    read = json.loads((folder / "simple" / "index.json").read_bytes())
    return [project["name"] for project in read["projects"]]


def records(data: Path) -> list[dict[str, Any]]:
    """Return what the lines of the journal say, without the hash of the line before."""
    lines = (data / journal.FILE).read_text().splitlines()
    read = [json.loads(line) for line in lines if line]
    return [{key: line[key] for key in line if key != "after"} for line in read]


def actions(data: Path) -> list[tuple[str, str]]:
    return [(record["action"], record["file"]) for record in records(data)]


def served(folder: Path) -> dict[str, bytes]:
    """Return all that a web server would serve, by path; links that lead nowhere are no files."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for part in ("simple", "packages")
        for path in (folder / part).rglob("*")
        if path.is_file()
    }


def check_files(folder: Path, data: Path) -> None:
    """Check that each page lists what is behind its links and nothing else is served."""
    expected = set()
    for project in projects(folder):
        for file in page(folder, project):
            place = folder / "simple" / project / file["url"]
            location = os.path.normpath(place.relative_to(folder))
            content = (folder / location).read_bytes()
            assert (folder / location).is_symlink()
            assert not (folder / location).readlink().is_absolute()
            assert (folder / location).resolve().is_relative_to(data.resolve())
            assert file["hashes"] == {"sha256": hashlib.sha256(content).hexdigest()}
            assert file["size"] == len(content)
            expected.add(location)
            metadata = folder / f"{location}.metadata"
            if "core-metadata" in file:
                digest = hashlib.sha256(metadata.read_bytes()).hexdigest()
                assert file["core-metadata"] == {"sha256": digest}
                expected.add(f"{location}.metadata")
            if file.get("gpg-sig"):
                assert (folder / f"{location}.asc").resolve().is_relative_to(data.resolve())
                expected.add(f"{location}.asc")
            if (folder / f"{location}.provenance").is_file():
                kept = (folder / f"{location}.provenance").resolve()
                assert kept.is_relative_to(data.resolve())
                check_attested(kept, content)
                expected.add(f"{location}.provenance")
    assert {path for path in served(folder) if path.startswith("packages")} == expected
    assert sorted(path.name for path in (folder / "simple").iterdir() if path.is_dir()) == sorted(
        projects(folder)
    )


def check_attested(kept: Path, content: bytes) -> None:
    """Check that attestations which are kept are of a file with this content."""
    (bundle,) = json.loads(kept.read_bytes())["attestation_bundles"]
    for one in bundle["attestations"]:
        said = json.loads(base64.b64decode(one["envelope"]["statement"]))
        (subject,) = said["subject"]
        assert subject["digest"] == {"sha256": hashlib.sha256(content).hexdigest()}


def check(index: Index, folder: Path, data: Path) -> None:
    """Check an index from outside and by its own means."""
    check_files(folder, data)
    found = differences(data, folder)
    assert [line for line in found if not line.startswith("not served: ")] == []


def fill(index: Index, data: Path) -> None:
    """Put something of everything into an index."""
    copy(data)
    copy(data / "sub", version="2.0")
    copy_sdist(data, "other")
    (data / f"{WHEEL}.asc").write_text("signature")
    for number in range(40):
        copy(data, "big", f"1.{number}")
    index.refresh()
    publish(index, data, version="3.0")
    index.yank("my-lib", "1.0", "broken", by="bob")
    index.remove("big", "1.0", by="bob")


def soon(condition: Callable[[], bool], seconds: float = 30) -> bool:
    """Return whether something becomes true."""
    waiting = threading.Event()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        waiting.wait(0.01)
    return False
