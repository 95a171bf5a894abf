"""What a requirements file or a lock file asks of PyPI.

Of every package it is read what the file says of it for all platforms: markers are not evaluated.
A lock file (pylock.toml of PEP 751, uv.lock, poetry.lock, pdm.lock) names files. A line of a
requirements file, the format of pip, names a project, its versions and perhaps hashes.

What a lock file takes from an index of somebody else is left out: its name may be private there.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.pylock import (
    PackageSdist,
    PackageWheel,
    Pylock,
    PylockUnsupportedVersionError,
    PylockValidationError,
)
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidName, canonicalize_name

from .. import toml
from ..settings import SettingError
from ..terminal import quoted

_IN_LISTS = ("pdm.lock", "poetry.lock")
_PATH = re.compile(r"^[.~]|[/\\]|\.(whl|zip|tgz|tar\.\w+)$")
"""What is the path of a file or a URL, and not the name of a project."""
_ELSEWHERE = {"git", "hg", "svn", "url", "path", "directory", "file", "editable", "virtual"}
"""The words by which lock files say that a package comes from no index."""
_KNOWN = "pylock.toml, uv.lock, poetry.lock, pdm.lock or requirements.txt"


class RequirementsError(SettingError):
    """A file cannot be read; the message names the file, the place in it and the remedy."""


@dataclass(frozen=True)
class Wanted:
    """What a file asks of one project.

    Attributes:
        project: its normalised name.
        files: the names of the files that are wanted, each with a hash such as `sha256:...`, or an
            empty text.
        hashes: without names, every file with one of these is wanted.
        specifier: without either, all files of the newest release that fits are wanted (PEP 440).
        where: where the file says so, for messages.
    """

    project: str
    specifier: str = ""
    hashes: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    where: str = ""


@dataclass
class Found:
    """All that a file asks for.

    Attributes:
        wanted: of each project, in the order of the file.
        remarks: sentences without their full stops: what in the file is not followed, and why.
    """

    wanted: list[Wanted] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether it names all that an installation needs, as lock files do."""
        return all(wanted.files or wanted.hashes for wanted in self.wanted)


def read(text: str, name: str, indexes: Iterable[str]) -> Found:
    """Read a file.

    Args:
        name: of the file, without its folder; it tells the format.
        indexes: URLs of the simple pages of PyPI and of this index. What a lock file has from any
            other index is left out; what it has from an index that it does not name is not.

    Raises:
        RequirementsError: if it is not what its name says.
    """
    is_pylock = bool(re.fullmatch(r"pylock(\.[^.]+)?\.toml", name))
    if not is_pylock and name not in ("uv.lock", *_IN_LISTS):
        if re.search(r"\.(toml|lock|json|ya?ml)$|^Pipfile$", name):
            raise RequirementsError(f"{name} is none of the files that are read: give {_KNOWN}")
        return _Lines(name).read(text)
    return _Lock(name, is_pylock, {_place(url) for url in indexes}).read(_toml(text, name))


def dumped(wanted: Wanted) -> str:
    """Return one line of JSON, which `loaded` reads."""
    return json.dumps(asdict(wanted))


def loaded(line: str) -> Wanted:
    """Return what a line of `dumped` says.

    Raises:
        RequirementsError: if it is no such line.
    """
    try:
        told = json.loads(line)
        files = tuple((str(file), str(digest)) for file, digest in told["files"])
        texts = {key: str(told[key]) for key in ("project", "specifier", "where")}
        SpecifierSet(texts["specifier"])
        return Wanted(**texts, hashes=tuple(map(str, told["hashes"])), files=files)
    except (ValueError, TypeError, KeyError):
        raise RequirementsError(
            f"{quoted(line.strip())} is no line of public-requirements: give its output unchanged"
        ) from None


def _toml(text: str, name: str) -> dict[str, Any]:
    try:
        return toml.parse(text)
    except toml.NoTomlError as error:
        raise RequirementsError(
            f"{name} is no TOML: {error}: have the tool that wrote it write it anew"
        ) from None


class _Lines:
    """Reads requirements, line by line, as pip does."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._found = Found()

    def read(self, text: str) -> Found:
        for number, line in _joined(text):
            self._line(f"{self._name} line {number}", line)
        return self._found

    def _line(self, where: str, line: str) -> None:
        if line.startswith("-"):
            self._option(where, line)
            return
        said, *options = re.split(r"\s+(?=-)", line, maxsplit=1)
        if _PATH.search(re.split("[@;]", said)[0].strip()):
            self._remark(where, "a path or a URL is not fetched from PyPI")
            return
        try:
            requirement = Requirement(said)
        except InvalidRequirement:
            # A URL may hold a password.
            shown = "this line" if "://" in said else quoted(said)
            raise RequirementsError(
                f"{where}: {shown} is no requirement: write one such as 'numpy==2.3.1'"
            ) from None
        project = canonicalize_name(requirement.name)
        if requirement.url:
            self._remark(where, f"{project} has a URL, and is not fetched from PyPI")
            return
        hashes = tuple(self._hashes(where, *options))
        wanted = Wanted(project, specifier=str(requirement.specifier), hashes=hashes, where=where)
        self._found.wanted.append(wanted)

    def _option(self, where: str, line: str) -> None:
        # Its value is not shown: the URL of an index may hold a password.
        (option,) = re.findall("^(?:-[a-zA-Z]|[^ \t=]+)", line)
        if option in ("-r", "--requirement"):
            self._remark(where, f"{option} is not followed: fetch what that file names, too")
        elif option in ("-e", "--editable"):
            self._remark(where, f"{option} names no package of PyPI")
        elif option != "--require-hashes":
            self._remark(where, f"{option} is not followed")

    def _hashes(self, where: str, options: str = "") -> Iterator[str]:
        try:
            parts = shlex.split(options)
        except ValueError:
            raise RequirementsError(f"{where}: a quotation mark is not closed: close it") from None
        # `--hash=value` and `--hash value` are the same.
        words = iter([word for part in parts for word in part.split("=", 1)])
        for word in words:
            if word != "--hash":
                continue
            if not re.fullmatch("[a-z0-9_]+:[0-9a-fA-F]+", value := next(words, "")):
                raise RequirementsError(
                    f"{where}: {quoted(value)} is no hash: write --hash=sha256: and its digits"
                )
            yield value.lower()

    def _remark(self, where: str, sentence: str) -> None:
        self._found.remarks.append(f"{where}: {sentence}")


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line that says anything, and its number; one that goes on is one line."""
    begun, start = "", 1
    for number, line in enumerate(text.splitlines(), 1):
        start = start if begun else number
        is_comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not is_comment:
            begun += line[:-1]
            continue
        # A comment ends what goes on, as it does for pip.
        yield from _said(start, begun if is_comment else begun + line)
        begun = ""
    yield from _said(start, begun)


def _said(number: int, line: str) -> Iterator[tuple[int, str]]:
    if said := re.sub(r"(^|\s)#.*", "", line).strip():
        yield number, said


class _Lock:
    """Reads what a lock file says of each package, whichever tool wrote it."""

    def __init__(self, name: str, is_pylock: bool, indexes: Collection[str]) -> None:
        self._name = name
        self._is_pylock = is_pylock
        self._indexes = indexes
        self._found = Found()

    def read(self, told: dict[str, Any]) -> Found:
        if self._is_pylock:
            self._read_pylock(told)
            return self._found
        # Poetry wrote the files of all packages into one table before version 1.3.
        listed = _table(_table(told, "metadata"), "files")
        for number, package in enumerate(_list(told, "package"), 1):
            if not isinstance(package, dict) or not isinstance(package.get("name"), str):
                raise self._error(f"package number {number} has no name")
            self._package(package, listed)
        return self._found

    def _read_pylock(self, told: dict[str, Any]) -> None:
        try:
            lock = Pylock.from_dict(told)
        except (PylockValidationError, PylockUnsupportedVersionError) as error:
            raise self._error(str(error)) from None
        for package in lock.packages:
            if package.is_direct:
                self._remark_elsewhere(package.name)
                continue
            if self._is_of_another(package.name, package.index):
                continue
            files: list[PackageSdist | PackageWheel] = [*(package.wheels or [])]
            if package.sdist:
                files.append(package.sdist)
            self._add(
                package.name,
                ((file.filename, _best(file.hashes)) for file in files),
            )

    def _package(self, package: dict[str, Any], listed: dict[str, Any]) -> None:
        name, source = package["name"], _table(package, "source")
        if "." in (source.get("editable"), source.get("virtual")):
            return  # The project that the lock file is of.
        # uv says it by a key of the source, Poetry by its type, PDM by a key of the package.
        kinds = {str(source["type"])} if "type" in source else {*source, *package}
        if kinds & _ELSEWHERE:
            self._remark_elsewhere(name)
            return
        # Only uv and Poetry name the index.
        if self._is_of_another(name, source.get("registry", source.get("url"))):
            return
        files = _list(package, "files") or _list(listed, name)
        sdist = [package["sdist"]] if "sdist" in package else []
        self._add(name, map(self._file, [*files, *sdist, *_list(package, "wheels")]))

    def _file(self, told: object) -> tuple[str, str]:
        if not isinstance(told, dict):
            raise self._error("a file is no table")
        name = told.get("file") or told.get("filename") or _last(str(told.get("url", "")))
        return str(name), str(told.get("hash", ""))

    def _add(self, name: str, files: Iterable[tuple[str, str]]) -> None:
        try:
            project = canonicalize_name(name, validate=True)
        except InvalidName:
            raise self._error(f"{quoted(name)} is no name of a package") from None
        chosen = tuple(sorted({*files}))
        for file, _ in chosen:
            if not re.fullmatch(r"[^/\\\s.][^/\\\s]*", file):
                raise self._error(f"{quoted(file)}, of {project}, is no name of a file")
        if not chosen:
            self._found.remarks.append(f"{self._name}: {project} has no files")
            return
        self._found.wanted.append(Wanted(project, files=chosen, where=self._name))

    def _is_of_another(self, name: str, index: object) -> bool:
        """Return whether a package comes from neither PyPI nor this index, and remark on it."""
        if index is None or _place(str(index)) in self._indexes:
            return False
        host = _host(str(index))
        if not host:  # A folder.
            self._remark_elsewhere(name)
            return True
        self._remark(name, f"comes from {host}, not from PyPI or this index: it is left out")
        return True

    def _remark_elsewhere(self, name: str) -> None:
        self._remark(name, "does not come from an index")

    def _remark(self, name: str, what: str) -> None:
        self._found.remarks.append(f"{self._name}: {quoted(name)[1:-1]} {what}")

    def _error(self, what: str) -> RequirementsError:
        return RequirementsError(f"{self._name}: {what}: have the tool that wrote it write it anew")


def _table(told: dict[str, Any], key: str) -> dict[str, Any]:
    value = told.get(key, {})
    return value if isinstance(value, dict) else {}


def _list(told: dict[str, Any], key: str) -> list[Any]:
    value = told.get(key, [])
    return value if isinstance(value, list) else []


def _host(url: str) -> str:
    """Return the host of a URL, and its port if that is an unusual one."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port not in (None, 80, 443) else ""
        return f"{parts.hostname}{port}" if parts.hostname else ""
    except ValueError:
        return ""


def _place(url: str) -> str:
    """Return what tells one index from another: neither the scheme nor the account."""
    host = _host(url)
    return f"{host}{urlsplit(url).path.rstrip('/')}" if host else ""


def _last(url: str) -> str:
    """Return the last part of a URL, which is the name of a file."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _best(hashes: Any) -> str:
    """Return the hash by which a file is recognised, with the name of its algorithm."""
    name = "sha256" if "sha256" in hashes else sorted(hashes)[-1]
    return f"{name}:{hashes[name]}"
