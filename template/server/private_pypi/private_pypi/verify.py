"""The differences between an index and what data and journal say it must be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from . import attestations, disk, pages, scan
from .attestations import AttestationError
from .catalogue import Catalogue
from .change import changing
from .facts import Served
from .layout import (
    PACKAGES,
    SIMPLE,
    WITHHELD,
    file_of,
    is_link_to,
    link,
    metadata,
    pages_of,
    provenance,
    signature,
)
from .names import Names
from .terminal import spelled

Progress = Callable[[int, int], None]
"""Called with how many of how many files are done."""


def differences(data: Path, folder: Path, progress: Progress | None = None) -> Iterator[str]:
    """Read every distribution again; yield a sentence for each that is not what was published.

    Yield one for everything else, too, that index and data folder do not have in common. Uploads
    may go on meanwhile.
    """
    data, folder = data.resolve(), folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with closing(Catalogue(folder)) as known:
        if not known.complete:
            yield "the index is not made yet: run make pypi-index"
            return
    with changing(data, folder) as change:
        problem = change.examine_journal()
    if problem:
        yield problem
    with closing(Catalogue(folder)) as known:
        served, published = list(known.served()), known.provenances()
        for _, problem in known.problems():
            yield f"not served: {problem}"
        yield from _wrong_pages(folder, known)
        found_strays = set(strays(folder, known))
    found = scan.scan(data)
    yield from found.unreadable
    locations = {one.location for one in served}
    for location in sorted(found.others):
        if location.rpartition(".")[0] in locations:
            continue  # It belongs to a distribution that is missing: see below.
        yield (
            f"not served: {spelled(location)} is no file of a distribution; names it could"
            " stand for are not asked for on PyPI"
        )
    not_indexed = found.files.keys() - locations
    # A file that is being published meanwhile is neither; under the lock there is none.
    with changing(data, folder) as change:
        if found_strays:
            found_strays &= set(strays(folder, change.catalogue))
        if not_indexed:
            not_indexed -= change.catalogue.seen().keys()
        wrong_names = list(_wrong_names(data, folder, change.catalogue))
    for stray in sorted(found_strays):
        yield f"{stray.relative_to(folder.parent)} is no part of the index"
    yield from wrong_names
    for location in sorted(not_indexed):
        yield f"{location} is in pypi_data but not in the index yet"
    for number, one in enumerate(served, start=1):
        yield from _wrong_files(data, folder, one)
        yield from _wrong_attestations(data, one, published.get(file_of(one.location)))
        if progress:
            progress(number, len(served))


def _wrong_names(data: Path, folder: Path, known: Catalogue) -> Iterator[str]:
    names = Names(data, folder)
    # Otherwise the gateway asks private_pypi.
    if names.is_settled:
        refused = [location for location, _ in known.problems()]
        not_served = scan.projects_not_served(scan.scan(data), refused)
        yield from names.differences(known.names() | not_served)


def _wrong_pages(folder: Path, known: Catalogue) -> Iterator[str]:
    projects = known.pages()
    for project, fingerprint in sorted(projects.items()):
        files = (
            pages.project_page(
                project, known.listed(project), known.history.statuses.of(project), known.url
            )
            if project
            else pages.project_list(filter(None, projects))
        )
        # A page that changed since it was listed above is not a difference.
        is_same = pages.same(pages_of(folder, project), files)
        if not is_same and fingerprint == known.pages().get(project):
            yield f"pypi_index/simple/{project}: the pages are not what they should be"


def _wrong_files(data: Path, folder: Path, served: Served) -> Iterator[str]:
    location = served.location
    try:
        if disk.sha256(data / location) != served.sha256:
            yield f"{location} has other bytes than those that were published"
    except OSError as error:
        yield f"{location} cannot be read: {error.strerror}"
    # A project that is quarantined meanwhile, or no longer, has its files elsewhere now: those that
    # are where they should not be are no part of the index.
    moved = served._replace(withheld=not served.withheld)
    served = served if is_linked(data, folder, served) else moved
    if not is_linked(data, folder, served):
        yield f"{location} is not served whole: a link or file in pypi_index/packages is wrong"
    elif (
        served.metadata_sha256 is not None
        and disk.sha256(metadata(_place(folder, served))) != served.metadata_sha256
    ):
        yield f"{location} is served with metadata of another file"


def _wrong_attestations(data: Path, served: Served, published: str | None) -> Iterator[str]:
    place, file = provenance(Path(served.location)), file_of(served.location)
    if served.attested:
        try:
            found = attestations.kept(data / place, file, served.sha256)
        except AttestationError as error:
            yield f"not served: {place}, as {error}"
        except OSError as error:
            yield f"{place} cannot be read: {error.strerror}"
        else:
            if found != served.provenance_sha256 or published not in (None, found):
                yield f"{place} has other bytes than those that were published"
    elif published:
        yield f"{place} is gone: {file} was published with attestations"


def is_linked(data: Path, folder: Path, served: Served) -> bool:
    """Return whether the links of a distribution and its metadata are in their places."""
    place, target = _place(folder, served), data / served.location
    if not is_link_to(place, target):
        return False
    if served.signed and not is_link_to(signature(place), signature(target)):
        return False
    if served.provenance_sha256 and not is_link_to(provenance(place), provenance(target)):
        return False
    try:
        size = metadata(place).stat().st_size
    except OSError:
        size = None
    return size == served.metadata_size


def strays(folder: Path, known: Catalogue) -> Iterator[Path]:
    """Yield each path in the folders of the index that is no part of it."""
    expected = {*known.projects(), *pages.NAMES}
    for path in sorted((folder / SIMPLE).iterdir()):
        if path.name not in expected:
            yield path
        elif path.is_dir():
            yield from (page for page in path.iterdir() if page.name not in pages.NAMES)
    kept = set()
    for served in known.served():
        place = _place(folder, served)
        kept.add(place)
        if served.signed:
            kept.add(signature(place))
        if served.provenance_sha256:
            kept.add(provenance(place))
        if served.metadata_sha256 is not None:
            kept.add(metadata(place))
    for part in (PACKAGES, WITHHELD):
        for parent, _, names in os.walk(folder / part):
            yield from (path for name in names if (path := Path(parent, name)) not in kept)


def _place(folder: Path, served: Served) -> Path:
    return link(folder, served.location, withheld=bool(served.withheld))
