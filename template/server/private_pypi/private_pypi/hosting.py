"""pypiserver over our index: the only module that knows pypiserver and its framework, bottle.

Three handlers of pypiserver are at work. One answers the root with a welcome page. One redirects a
project that is unknown here to the public index, or answers 404. The third takes an upload form:
it chooses by `:action`, checks the names of the files, pairs a distribution with its signature and
hands both to its backend, which is `Storage`. All else is ours: accounts and roles, reading and
checking the form, storage, the index with its pages, and all other reads.

pypiserver documents its backends. It does not document that its handlers can be called one by one,
nor under which key bottle keeps a form that was read: the tests tell whether a new version still
fits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

import pypiserver
from packaging.utils import canonicalize_name
from pypiserver.backend import Backend, BackendProxy
from pypiserver.bottle_wrapper import (
    FileUpload,
    FormsDict,
    HTTPError,
    HTTPResponse,
    request,
    response,
)
from pypiserver.config import Config, RunConfig
from pypiserver.core import PkgFile

from . import attestations, disk, distribution, uploads
from .answers import Answer, Environ, plain
from .distribution import Distribution, DistributionError
from .index import Index
from .settings import Settings
from .terminal import printable
from .turns import AccountTurns
from .uploads import Form

ROUTES = [("GET", "/"), ("GET", "/simple/:project/"), ("POST", "/")]
"""The handlers of pypiserver that answer: its welcome, unknown projects, and uploads. A later
version may have more, which stay closed."""

ARCHIVES = 3
"""Distributions that are read at once, each of another account. One takes up to 90 MB and a minute:
the memory is enough for these, and an account that sends many delays itself alone."""

_ACCOUNT, _DIGESTS = "private_pypi.account", "private_pypi.digests"
_JOB = "private_pypi.job"
_ATTESTATIONS = "private_pypi.attestations"


class Pypiserver:
    """pypiserver, for the three kinds of requests that it answers.

    Attributes:
        public_index: URL to which it redirects unknown projects, with a slash at its end; empty if
            it answers 404.
    """

    def __init__(self, settings: Settings, index: Index) -> None:
        config = Config.default_with_overrides(
            roots=[settings.data.resolve()],
            authenticate=[],
            password_file=".",
            disable_fallback=not settings.redirect,
            welcome_msg="A private Python package index; pip finds its packages under simple/.",
            **({"fallback_url": settings.public_index} if settings.public_index else {}),
        )
        self.public_index = f"{config.fallback_url.rstrip('/')}/" if settings.redirect else ""
        config.backend = BackendProxy(Storage(config, index))
        routes = pypiserver.app_from_config(config).routes
        handlers = {(route.method, route.rule): route.callback for route in routes}
        self._welcome, self._unknown, self._upload = (handlers[route] for route in ROUTES)

    def read(self, environ: Environ) -> Answer:
        """Answer GET and HEAD of the root, and of the page of a project that is unknown here."""
        path = environ["PATH_INFO"]
        if path == "/":
            return _call(environ, self._welcome)
        return _call(environ, self._unknown, path.removeprefix("/simple/").removesuffix("/"))

    def publish(self, form: Form, account: str, job: Mapping[str, str] | None = None) -> Answer:
        """Publish the distribution of a form, and its attestations and signature if it has any.

        Args:
            account: that of the client, or the name of a trusted publisher.
            job: which CI job of a trusted publisher sent it.

        Raises:
            Exception: as Storage.add_package.
        """
        fields = FormsDict({":action": form.action})
        for name, file in (("content", form.distribution), ("gpg_signature", form.signature)):
            if file:
                fields[name] = FileUpload(file.content, name, file.name)
        handed_over = {
            "REQUEST_METHOD": "POST",
            "bottle.request.post": fields,
            _ACCOUNT: account,
            _JOB: job,
            _DIGESTS: form.digests,
            _ATTESTATIONS: form.attestations,
        }
        return _call(handed_over, self._upload)


class Storage(Backend):
    """Publishes the files that pypiserver hands over, and tells it which files there are."""

    def __init__(self, config: RunConfig, index: Index) -> None:
        super().__init__(config)
        self._index = index
        self._turns = AccountTurns(ARCHIVES)

    def add_package(self, filename: str, stream: IO[bytes]) -> None:
        """Publish a file: checked, whole and on the disk, or not at all.

        Args:
            stream: a file of the folder of unfinished uploads.

        Raises:
            AttestationError: if the form's attestations are not of this file.
            DistributionError: if the file does not match its name, its metadata or the form.
            NameTakenError, NotReadyError, OSError: as Index.add.
            NotYoursError: as Index.sign and Index.add.
        """
        unfinished, account = Path(stream.name), request.environ[_ACCOUNT]
        os.fchmod(stream.fileno(), 0o644)
        if filename.endswith(".asc"):
            os.fsync(stream.fileno())
            self._index.sign(unfinished, filename, by=account)
            return
        with self._turns.turn(account):
            _check_digests(filename, stream, request.environ[_DIGESTS])
            new = distribution.read(unfinished, filename)
        os.fsync(stream.fileno())
        job = request.environ.get(_JOB)
        text = request.environ.get(_ATTESTATIONS)
        with _attested(new, text, account, job, unfinished.parent) as attested:
            noted = dict(job) if job else None
            self._index.add(unfinished, new, by=account, job=noted, attested=attested)

    def exists(self, filename: str) -> bool:
        """Return False: add_package alone can tell a repeated upload from a conflict."""
        return False

    def find_project_packages(self, project: str) -> Iterable[PkgFile]:
        """Return a project's files; if there are none, the public index may be asked."""
        return [
            PkgFile(project, one.version, relfn=one.location)
            for one in self._index.listed(canonicalize_name(project))
        ]

    def get_all_packages(self) -> Iterable[PkgFile]:
        """Return nothing: no request is answered from a list of all files."""
        return []

    def package_count(self) -> int:
        """Return how many distributions there are."""
        return self._index.counts()[0]

    def remove_package(self, pkg: PkgFile) -> None:
        """Refuse: no request removes a file that others may install."""
        raise HTTPError(403, "Nothing is removed over HTTP: use make pypi-remove on the server.")


def _call(environ: Environ, handler: Callable[..., Any], *arguments: str) -> Answer:
    """Call a handler as bottle does, and return its answer as a value."""
    request.bind(environ)
    response.bind()
    try:
        result = handler(*arguments)
    except HTTPResponse as raised:
        result = raised
    if isinstance(result, HTTPError):
        # pypiserver repeats text that the client sent.
        text = str(result.body or HTTPStatus(result.status_code).phrase).strip()
        return plain(result.status_code, printable(text)[:500])
    if isinstance(result, HTTPResponse):
        status, headers, text = result.status_code, result.headerlist, result.body
    else:
        status, headers, text = response.status_code, response.headerlist, result
    body = text.encode()
    return Answer(status, (*headers, ("Content-Length", str(len(body)))), (body,))


@contextmanager
def _attested(
    new: Distribution,
    text: bytes | None,
    account: str,
    job: Mapping[str, str] | None,
    folder: Path,
) -> Iterator[Path | None]:
    """Yield an unfinished file with the attestations of a form; None if it has none."""
    if text is None:
        yield None
        return
    read = attestations.read(text, new.file, new.sha256)
    # By its own exit, a file on a full disk would stay until it is collected as garbage.
    with closing(uploads.create(folder)) as kept:
        kept.write(attestations.provenance(read, attestations.publisher(account, job)))
        kept.flush()
        os.fchmod(kept.fileno(), 0o644)
        os.fsync(kept.fileno())
        yield Path(kept.name)


def _check_digests(filename: str, content: IO[bytes], sent: dict[str, str]) -> None:
    sent = {name: digest.lower() for name, digest in sent.items() if digest}
    for name, digest in disk.digests(content, sent).items() if sent else ():
        if digest != sent[name]:
            raise DistributionError(
                f"{filename} was damaged on its way: its {name} digest is not the one that was"
                " sent; send it again"
            )
