"""What is asked of the running mirror: to fetch all that a file names, and what its policy says.

They ask it as any client does, over its socket, so that there is one way in which files are checked
and kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from .. import health
from ..health import HealthError
from ..negotiation import JSON
from ..settings import SettingError
from . import document
from .document import Document, DocumentError, File
from .requirements import Wanted
from .settings import PublicSettings

_AT_ONCE = 4
_TIMEOUT = httpx.Timeout(60, connect=5)
_SECONDS_UNTIL_KEPT = 10.0


class _Refused(Exception):  # noqa: N818
    """The mirror does not give something; the message is its reason."""


@dataclass
class Result:
    """What became of the wishes for one project.

    Attributes:
        paths: of the files that came, their metadata included, below the folder of the mirror.
        size: their bytes.
        problems: a sentence without its full stop for each file or release that did not come.
    """

    project: str
    paths: list[str] = field(default_factory=list)
    size: int = 0
    problems: list[str] = field(default_factory=list)


def fetch(settings: PublicSettings, wanted: Iterable[Wanted]) -> Iterator[Result]:
    """Have the mirror fetch and keep files; yield what became of each project as it is done.

    At the end, one more result per project of which a file came, but is not kept.

    Raises:
        SettingError: if no mirror is running.
    """
    wishes: dict[str, list[Wanted]] = {}
    for one in wanted:
        wishes.setdefault(one.project, []).append(one)
    paths: list[str] = []
    _require(settings)
    with _client(settings) as client, ThreadPoolExecutor(_AT_ONCE) as threads:
        for result in threads.map(lambda item: _Project(client, *item).fetch(), wishes.items()):
            paths += result.paths
            yield result
    missing = _not_kept(settings.data, paths)
    # The mirror leaves it to the system when its pages reach the disk, but what was fetched for a
    # bad day has to outlive a power failure.
    os.sync()
    for path in missing:
        project, _, file = path.removeprefix("public/").partition("/")
        gigabytes = settings.max_bytes // 2**30
        yield Result(
            project,
            problems=[
                f"{file} came, but is not kept: the disk is full, or public_max_gb, which is"
                f" {gigabytes}, is too small"
            ],
        )


def explained(settings: PublicSettings, project: str) -> str:
    """Return what the policy of the running mirror says of each release of a project.

    Args:
        project: its name, however it is spelled.

    Raises:
        SettingError: if no mirror is running, or the page of the project cannot be had.
    """
    _require(settings)
    with _client(settings) as client:
        try:
            return _get(client, f"/policy/{quote(project, safe='')}").text
        except _Refused as error:
            raise SettingError(str(error)) from None


def _require(settings: PublicSettings) -> None:
    """Refuse to go on without a running mirror."""
    try:
        health.ask(settings)
    except HealthError as error:
        raise SettingError(f"{error}: make pypi-launch starts the mirror") from None


class _Project:
    """Fetches what is wanted of one project."""

    def __init__(self, client: httpx.Client, project: str, wanted: list[Wanted]) -> None:
        self._client = client
        self._wanted = wanted
        self._result = Result(project)

    def fetch(self) -> Result:
        try:
            page = self._page()
        except _Refused as error:
            self._result.problems.append(str(error))
            return self._result
        chosen: dict[str, File | None] = {}
        for wanted in self._wanted:
            chosen |= self._chosen(wanted, page)
        for filename, file in chosen.items():
            names = [filename]
            if file and file.metadata_hashes:
                names.append(f"{filename}.metadata")
            for name in names:
                self._download(name)
        return self._result

    def _page(self) -> Document:
        project = self._result.project
        answer = _get(self._client, f"/simple/{quote(project, safe='')}/", accept=JSON)
        try:
            kind = answer.headers.get("Content-Type", "")
            return document.parse(project, answer.content, kind, str(answer.url))
        except DocumentError as error:
            raise _Refused(f"the mirror gives no page: {error}") from None

    def _chosen(self, wanted: Wanted, page: Document) -> dict[str, File | None]:
        """Return the files that are wanted by their names; None for one that is not on the page."""
        if wanted.files:
            return dict(self._named(wanted, page))
        if wanted.hashes:
            return dict(self._hashed(wanted, page))
        return {file.filename: file for file in self._newest(wanted, page)}

    def _named(self, wanted: Wanted, page: Document) -> Iterator[tuple[str, File | None]]:
        listed = {file.filename: file for file in page.files}
        for filename, digest in wanted.files:
            file = listed.get(filename)
            algorithm, _, value = digest.partition(":")
            if file and file.hashes.get(algorithm, value) != value:
                self._miss(f"{filename} has another hash on PyPI than in {wanted.where}")
            else:
                # The mirror may keep one that PyPI deleted, or say why the policy hides it.
                yield filename, file

    def _hashed(self, wanted: Wanted, page: Document) -> Iterator[tuple[str, File]]:
        missing = {*wanted.hashes}
        for file in page.files:
            hashes = {f"{algorithm}:{value}" for algorithm, value in file.hashes.items()}
            if hashes & {*wanted.hashes}:
                missing -= hashes
                yield file.filename, file
        if missing:
            count = f"{len(missing)} of its {len(wanted.hashes)} hashes"
            self._miss_release(wanted, f"no file that is offered has {count}")

    def _newest(self, wanted: Wanted, page: Document) -> Iterator[File]:
        """Yield the files of the newest release that pip would take, on whatever platform."""
        specifiers = SpecifierSet(wanted.specifier)
        is_pin = _pin(wanted) is not None
        files = [file for file in page.files if file.version and (is_pin or not file.yanked)]
        versions = {file.version for file in files if file.version}
        newest = max(specifiers.filter(versions), default=None)
        if newest is None:
            self._miss_release(wanted, "no release that fits is offered")
        yield from (file for file in files if newest is not None and file.version == newest)

    def _miss_release(self, wanted: Wanted, sentence: str) -> None:
        what = f"{wanted.project}{wanted.specifier} ({wanted.where}): {sentence}"
        self._miss(f"{what}: {self._why(wanted)}")

    def _why(self, wanted: Wanted) -> str:
        """Return what the policy says of the release that is wanted, or how to ask it."""
        pin = _pin(wanted)
        try:
            table = _get(self._client, f"/policy/{quote(wanted.project, safe='')}").text
        except _Refused:
            table = ""
        for line in table.splitlines():
            release, _, rest = line.partition(" ")
            count, _, rule = rest.strip().partition(" hidden")
            if pin and release == str(pin) and count.isdecimal():
                return rule.strip()
        return f"make pypi-policy PKG={wanted.project} says what is offered, and why"

    def _download(self, name: str) -> None:
        path = f"public/{self._result.project}/{name}"
        try:
            with self._client.stream("GET", f"/{quote(path)}") as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise _Refused(_reason(answer))
                for chunk in answer.iter_raw():
                    self._result.size += len(chunk)
        except _Refused as error:
            self._miss(f"{name}: {error}")
        except httpx.HTTPError as error:
            self._miss(f"{name} came only in part: {error or type(error).__name__}: try again")
        else:
            self._result.paths.append(path)

    def _miss(self, problem: str) -> None:
        self._result.problems.append(problem)


def _client(settings: PublicSettings) -> httpx.Client:
    # An address of IPv6 stands in brackets.
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return httpx.Client(
        base_url="http://public" if settings.socket else f"http://{host}:{settings.port}",
        transport=httpx.HTTPTransport(uds=str(settings.socket)) if settings.socket else None,
        timeout=_TIMEOUT,
        trust_env=False,
    )


def _get(client: httpx.Client, path: str, accept: str = "*/*") -> httpx.Response:
    """Return an answer of the mirror that is a success."""
    try:
        answer = client.get(path, headers={"Accept": accept})
    except httpx.HTTPError as error:
        raise _Refused(str(error) or type(error).__name__) from None
    if answer.status_code != 200:
        raise _Refused(_reason(answer))
    return answer


def _reason(answer: httpx.Response) -> str:
    """Return the sentence with which the mirror refuses, without its full stop."""
    lines = answer.text.strip().splitlines()
    return lines[0].rstrip(".") if lines else f"the mirror answers {answer.status_code}"


def _pin(wanted: Wanted) -> Version | None:
    """Return the one version that fits, None if there may be several."""
    for specifier in SpecifierSet(wanted.specifier):
        if specifier.operator in ("==", "==="):
            try:
                return Version(specifier.version)
            except InvalidVersion:  # Such as 2.*
                continue
    return None


def _not_kept(folder: Path, paths: list[str]) -> list[str]:
    """Return the paths that have no file, once the last download had its time to be kept."""
    deadline = time.monotonic() + _SECONDS_UNTIL_KEPT
    while missing := [path for path in paths if not (folder / path).is_file()]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return missing
