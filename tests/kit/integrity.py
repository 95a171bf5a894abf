"""Whether the folders of an index are whole and tidy, as no crash and no full disk may change."""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote


class Found(dict[str, str]):
    """The sha256 of what is listed, by location."""


def digest(content: bytes) -> str:
    """Return the sha256 in hex digits."""
    return hashlib.sha256(content).hexdigest()


def served(index: Path) -> Found:
    """Return what a web server would serve from the index now, and check that all of it is whole.

    This holds at any moment, whatever was killed: every page can be read to its end, and leads only
    to files and metadata with the digests it says.
    """
    found = Found()
    for page in sorted((index / "simple").glob("*/index.*")):
        for location, sha256, metadata_sha256 in _links(page):
            place = index / "packages" / location
            if location not in found:
                assert digest(place.read_bytes()) == sha256, f"{location} is torn"
            assert found.setdefault(location, sha256) == sha256, f"{page} and another differ"
            if metadata_sha256:
                metadata = place.with_name(f"{place.name}.metadata")
                assert digest(metadata.read_bytes()) == metadata_sha256, f"{metadata} is torn"
    for page in (index / "simple").glob("index.*"):
        _content(page)
    return found


def check_tidy(data: Path, index: Path, withheld: Iterable[str] = ()) -> Found:
    """Return what is listed, and check that all fits together and that nothing else lies there.

    Args:
        withheld: the locations of distributions that must not be served.
    """
    found = served(index)
    assert list((data / ".uploads").iterdir()) == []
    assert not found.keys() & set(withheld)
    kept = {".journal.jsonl"}
    for location in found:
        kept.add(location)
        beside = (f"{location}.asc", f"{location}.provenance")
        kept |= {name for name in beside if (data / name).exists()}
    assert _files(data) == kept | set(withheld), sorted(_files(data) ^ kept)
    projects = sorted(folder.name for folder in (index / "simple").iterdir() if folder.is_dir())
    for folder in [index / "simple", *(index / "simple" / project for project in projects)]:
        names = {path.name for path in folder.iterdir() if not path.is_dir()}
        assert names - {"index.html.gz", "index.json.gz"} == {"index.html", "index.json"}, names
        for name in names:
            assert _content(folder / name) == _content(folder / name.removesuffix(".gz"))
        if folder.name in projects:
            pages = [{one[0] for one in _links(folder / name)} for name in names]
            assert all(page == pages[0] for page in pages), f"the pages of {folder.name} differ"
    listed = json.loads((index / "simple/index.json").read_bytes())["projects"]
    assert [project["name"] for project in listed] == projects
    assert re.findall('<a href="([^"]*)/"', (index / "simple/index.html").read_text()) == projects
    places = {place for place in _files(index / "packages") if not place.endswith(".metadata")}
    differences = sorted(places ^ (kept - {".journal.jsonl"}))
    assert not differences, f"pypi_index/packages has or lacks {differences}"
    return found


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def _content(page: Path) -> str:
    content = page.read_bytes()
    text = (gzip.decompress(content) if page.suffix == ".gz" else content).decode()
    if ".json" in page.name:
        json.loads(text)
    else:
        assert text.rstrip().endswith("</html>"), f"{page} is torn"
    return text


def _links(page: Path) -> Iterator[tuple[str, str, str | None]]:
    """Yield location, sha256 and the metadata's sha256 of all that a project page lists."""
    text = _content(page)
    if ".json" in page.name:
        for file in json.loads(text)["files"]:
            metadata = file.get("core-metadata") or file.get("dist-info-metadata") or {}
            yield _location(file["url"]), file["hashes"]["sha256"], metadata.get("sha256")
        return
    for attributes in re.findall("<a ([^>]*)>", text):
        found = re.search('href="([^"#]*)#sha256=([0-9a-f]{64})"', attributes)
        assert found, attributes
        metadata = re.search('data-(?:core|dist-info)-metadata="sha256=([0-9a-f]+)"', attributes)
        yield _location(html.unescape(found[1])), found[2], metadata and metadata[1]


def _location(url: str) -> str:
    assert url.startswith("../../packages/"), url
    return unquote(url.removeprefix("../../packages/"))
