"""Locks every release the app needs, and exports the lock to requirements.txt for the image.

The exported file has hashes, but neither URLs nor credentials: those come with the build. Releases
that pip would refuse there are refused here, and then lock and requirements.txt stay as they were.
"""

import re
import shlex
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import ROOT
from .credentials import write
from .settings import Settings

REQUIREMENTS = ROOT / "requirements.txt"

STRONG = {"sha256", "sha384", "sha512"}
"""The hashes that pip takes in a requirements file."""

HEADER = "# Written by `make lock` and `make upgrade`: edit pyproject.toml, not this file.\n"


def commands(manager: str, names: Iterable[str], exported: Path) -> list[list[str]]:
    """Return what uv or Poetry must be told, to lock and to export; names are those to upgrade."""
    if manager == "uv":
        export = ["export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-header"]
        return [
            ["lock", *(f"--upgrade-package={name}" for name in names)],
            [*export, "--no-annotate", f"--output-file={exported}"],
        ]
    return [
        ["update", "--lock", *names, "--no-interaction"] if names else ["lock", "--no-interaction"],
        # Only `install` fetches the plugin that exports; it need not install anything else.
        ["install", "--dry-run", "--no-root", "--quiet", "--no-interaction"],
        ["export", "--only=main", "--without-urls", f"--output={exported}", "--no-interaction"],
    ]


def locked() -> dict[str, str]:
    """Return the releases in requirements.txt; none if there is no such file."""
    text = REQUIREMENTS.read_text(encoding="utf-8") if REQUIREMENTS.exists() else ""
    return dict(re.findall(r"^([\w.-]+)(?:\[.*?\])?==([^\s;]+)", text, re.MULTILINE))


def refusals(exported: str, lock: str) -> Iterator[str]:
    """Yield why `pip install --require-hashes` would refuse what was exported, in sentences."""
    weak = defaultdict[tuple[str, str], list[str]](list)
    for line in exported.replace("\\\n", " ").splitlines():
        requirement = re.split(r"\s(?:;|#|--hash)", f" {line}")[0].strip()
        if not requirement or re.match(r"-(?!e\b|-editable\b)", requirement):
            continue
        # A file at a URL has a hash, too; a folder and a git repository have none.
        pinned = re.match(r"([\w.-]+)(?:\[.*?\])?(?:==[^\s*]+$| @ https?://)", requirement)
        if not pinned:
            shown = re.sub("//[^/]*@", "//", requirement)
            remedy = "publish it to the index, and require that release."
            yield f"{shown} is neither a release nor a file at a URL: {remedy}"
            continue
        hashes = set(re.findall(r"--hash=(\w+):", line))
        if not hashes or hashes - STRONG:
            given = " and ".join(sorted(hashes - STRONG)) or "no hash"
            weak[index_of(pinned[1], lock), given].append(pinned[1])
    for (index, given), names in weak.items():
        yield (
            f"{index} gives {given} for {', '.join(names)}, and pip takes sha256, sha384 or sha512"
            " alone: have the owner of the index add one of these, or answer otherwise to the"
            " template's question `locked`."
        )


def index_of(name: str, lock: str) -> str:
    """Return the URL of the index that a lock has a package from."""
    found = re.search(rf'^name = "{re.escape(name)}"\n(.*?)(?=^\[\[|\Z)', lock, re.M | re.S)
    url = re.search(r'\b(?:registry|url) = "([^"]+)"', found[1] if found else "")
    return url[1] if url else "PyPI"


@contextmanager
def kept_unless_done(paths: Iterable[Path]) -> Iterator[None]:
    """Put files back as they were if the block fails."""
    before = {path: path.read_bytes() if path.exists() else None for path in paths}
    try:
        yield
    except BaseException:
        for path, content in before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                write(path, content, 0o644)
        raise


def tell_changes(before: dict[str, str], after: dict[str, str]) -> None:
    """Print a line for each package whose version changed, that came or that went."""
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            print(f"{name} {before.get(name, '(new)')} -> {after.get(name, '(gone)')}")
    if before == after:
        print("Nothing changed: there is no newer release.")


def main(settings: Settings, arguments: list[str]) -> None:
    """Lock, export, and tell what changed.

    The first argument is the command that runs uv or Poetry, the others name packages to upgrade.
    """
    before = locked()
    name = f"{settings.manager}.lock"
    # That of a uv workspace is in a folder above.
    locks = [folder / name for folder in (ROOT, *(ROOT.parents if name == "uv.lock" else ()))]
    kept = f"{name} and requirements.txt are as they were."
    with tempfile.TemporaryDirectory() as folder, kept_unless_done(locks):
        exported = Path(folder, "requirements.txt")
        for command in commands(settings.manager, arguments[1:], exported):
            whole = [*shlex.split(arguments[0]), *command]
            if code := subprocess.run(whole, cwd=ROOT, check=False).returncode:
                print(f"`{command[0]}` failed: {kept}", file=sys.stderr)
                sys.exit(code)
        text = exported.read_text(encoding="utf-8")
        lock = next(path for path in locks if path.exists())
        if refused := list(refusals(text, lock.read_text(encoding="utf-8"))):
            sys.exit("\n".join([*refused, f"Nothing is locked: {kept}"]))
        write(REQUIREMENTS, (HEADER + text).encode(), 0o644)
    tell_changes(before, locked())
