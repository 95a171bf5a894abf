"""The differences between the pages for people and what catalogue and metadata say they must be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

from ..catalogue import Catalogue
from ..settings import Settings
from .contents import Contents
from .description import Renderer
from .folder import Folder

_PATIENCE, _PAUSE = 4.0, 0.1
"""Seconds that are waited for changes which were made just now, for all pages together, and seconds
between two looks."""
_REMEDY = "run make pypi-index"


def differences(settings: Settings) -> Iterator[str]:
    """Render every page again; yield a sentence for each that is another one.

    Nothing is yielded if the pages were never made: whatever serves the index makes them.
    """
    index = settings.index.resolve()
    folder = Folder(settings.web.resolve())
    site = folder.site()
    if not site:
        return
    contents = Contents(settings, site)
    waited = 0.0
    with closing(Catalogue(index, read_only=True)) as known, Renderer() as renderer:

        def settles(is_right: Callable[[], bool]) -> bool:
            nonlocal waited
            contents.set_held(known.last_changes())
            while not is_right():
                if waited >= _PATIENCE:
                    return False
                time.sleep(_PAUSE)
                waited += _PAUSE
                contents.set_held(known.last_changes())
            return True

        for name in sorted(known.last_changes()):
            if not settles(partial(_has_project, name, folder, contents, known, renderer)):
                yield f"pypi_web/project/{name}: the page differs from the catalogue: {_REMEDY}"
        if not settles(lambda: folder.has_overview(contents.overview(known))):
            yield f"pypi_web: the start page or a list differs from the catalogue: {_REMEDY}"
        found = folder.strays(lambda: known.last_changes().keys())
    if not folder.has_static():
        yield f"pypi_web/static: what the pages load is not what it should be: {_REMEDY}"
    for stray in sorted(found):
        yield f"{stray.relative_to(folder.path.parent)} is no part of the index"


def _has_project(
    name: str, folder: Folder, contents: Contents, known: Catalogue, renderer: Renderer
) -> bool:
    found = contents.read(name, known)
    html = renderer.html(found.details)
    # One that takes nearly too long to render may be shown either way.
    return any(folder.has_project(name, contents.project(found, one)) for one in (html, ""))
