"""The pages of the Simple API, read as clients read them: with pip's parser and with others."""

from __future__ import annotations

import gzip
import json
import os
import re
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import parse_wheel_filename
from packaging.version import Version
from pip._internal.index.collector import IndexContent, parse_links
from pip._internal.models.link import Link
from private_pypi import pages
from private_pypi.pages import Listed, ProjectStatus
from simple_repository import parser

URL = "https://pypi.example.com/simple/my-lib/"
UPLOADED = "2026-01-02T03:04:05.678901Z"
REASONS = [
    "broken",
    """say "no" to <b>it</b> & it's 'gone' &amp; &#39; </a><script>alert(1)</script>""",
    "ümläüt 包 \u2028 line\nbreak\ttab",
    "false",
    "0",
    "{file_name} {0} %s",
]


def listed(version: str = "1.0", **changes: Any) -> Listed:
    """Return a wheel of my-lib with everything that is optional left out."""
    values: dict[str, Any] = {
        "location": f"my_lib-{version}-py3-none-any.whl",
        "version": version,
        "size": 1234,
        "sha256": "a" * 64,
        "requires_python": None,
        "metadata_sha256": None,
        "uploaded": UPLOADED,
        "yanked": None,
        "signed": False,
    }
    return Listed(**{**values, **changes})


def project(*files: Listed) -> dict[str, bytes]:
    return pages.project_page("my-lib", files)


def as_json(files: dict[str, bytes]) -> Any:
    return json.loads(files["index.json"])


def only_file(files: dict[str, bytes]) -> dict[str, Any]:
    """Return the one entry of a JSON page."""
    (file,) = as_json(files)["files"]
    assert isinstance(file, dict)
    return file


class Anchors(HTMLParser):
    """Collects what a browser would see of a page, which must be well-formed."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.links: list[tuple[dict[str, str | None], str]] = []
        self.metas: dict[str | None, str | None] = {}
        self.declarations: list[str] = []
        self._open: list[str] = []
        self.tags: set[str] = set()
        self.feed(page.decode())
        self.close()
        assert not self._open

    def handle_decl(self, decl: str) -> None:
        self.declarations.append(decl)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), "an attribute stands there twice"
        self.tags.add(tag)
        if tag == "meta":
            self.metas[dict(attrs)["name"]] = dict(attrs)["content"]
        elif tag != "br":
            self._open.append(tag)
        if tag == "a":
            self.links.append((dict(attrs), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "br"

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["a"]:
            attributes, text = self.links[-1]
            self.links[-1] = attributes, text + data


def links(files: dict[str, bytes], name: str) -> list[Link]:
    """Return the links pip finds in a page."""
    kind = "application/vnd.pypi.simple.v1+json" if name.endswith("json") else "text/html"
    return list(
        parse_links(IndexContent(files[name], kind, "utf-8", URL, cache_link_parsing=False))
    )


BOTH = pytest.mark.parametrize("name", ["index.html", "index.json"])


# Project pages ------------------------------------------------------------------------------------


def test_the_html_page_is_one_of_pep_503_and_629() -> None:
    page = Anchors(project(listed())["index.html"])

    assert page.declarations == ["DOCTYPE html"]
    assert page.metas["pypi:repository-version"] == "1.4"
    ((attributes, text),) = page.links
    assert text == "my_lib-1.0-py3-none-any.whl"
    assert attributes == {
        "href": f"../../packages/my_lib-1.0-py3-none-any.whl#sha256={'a' * 64}",
        "data-gpg-sig": "false",
    }


def test_the_json_page_is_one_of_pep_691_700_and_792() -> None:
    assert as_json(project(listed())) == {
        "meta": {"api-version": "1.4"},
        "name": "my-lib",
        "project-status": {"status": "active"},
        "versions": ["1.0"],
        "files": [
            {
                "filename": "my_lib-1.0-py3-none-any.whl",
                "url": "../../packages/my_lib-1.0-py3-none-any.whl",
                "hashes": {"sha256": "a" * 64},
                "gpg-sig": False,
                "size": 1234,
                "upload-time": "2026-01-02T03:04:05Z",
            }
        ],
    }


@BOTH
def test_pip_finds_everything_a_file_has(name: str) -> None:
    file = listed(
        requires_python="!=3.11.*,<4,>=3.10", metadata_sha256="b" * 64, yanked="broken", signed=True
    )

    (link,) = links(project(file), name)

    place = "https://pypi.example.com/packages/my_lib-1.0-py3-none-any.whl"
    assert link.url_without_fragment == place
    assert link.filename == file.location
    assert link.hash == "a" * 64
    assert link.requires_python == "!=3.11.*,<4,>=3.10"
    assert link.yanked_reason == "broken"
    metadata = link.metadata_link()
    assert metadata is not None
    assert metadata.url_without_fragment == f"{link.url_without_fragment}.metadata"
    assert link.metadata_file_data is not None
    assert link.metadata_file_data.hashes == {"sha256": "b" * 64}


@BOTH
def test_pip_finds_nothing_a_file_has_not(name: str) -> None:
    (link,) = links(project(listed()), name)

    assert link.requires_python is None
    assert link.yanked_reason is None
    assert link.metadata_link() is None


def test_the_parser_of_simple_repository_reads_both_pages_back_as_the_same() -> None:
    files = project(
        listed("1.0", requires_python="<4,>=3.10", metadata_sha256="b" * 64),
        listed("2.0", signed=True, yanked=""),
        *(listed(f"3.{number}", yanked=reason) for number, reason in enumerate(REASONS)),
    )

    of_json = parser.parse_json_project_page(files["index.json"].decode())
    of_html = parser.parse_html_project_page(files["index.html"].decode(), "my-lib")

    assert [
        (file.filename, file.url, file.hashes, file.requires_python, file.dist_info_metadata)
        for file in of_html.files
    ] == [
        (file.filename, file.url, file.hashes, file.requires_python, file.dist_info_metadata)
        for file in of_json.files
    ]
    assert [file.yanked for file in of_html.files] == [file.yanked for file in of_json.files]
    assert [file.gpg_sig for file in of_html.files] == [file.gpg_sig for file in of_json.files]
    assert [file.yanked for file in of_json.files] == [None, True, *REASONS]
    assert {file.size for file in of_json.files} == {1234}
    assert {file.upload_time for file in of_json.files} == {datetime(2026, 1, 2, 3, 4, 5)}
    assert set(of_json.versions or ()) == {"1.0", "2.0", *(f"3.{n}" for n in range(len(REASONS)))}


def test_a_specifier_is_escaped_in_html_and_as_it_is_in_json() -> None:
    files = project(listed(requires_python="<4,>=3.10"))

    assert b'data-requires-python="&lt;4,&gt;=3.10"' in files["index.html"]
    assert only_file(files)["requires-python"] == "<4,>=3.10"


def test_metadata_is_announced_with_its_hash_under_the_names_of_pep_714() -> None:
    files = project(listed(metadata_sha256="b" * 64))

    ((attributes, _),) = Anchors(files["index.html"]).links
    assert attributes["data-core-metadata"] == f"sha256={'b' * 64}"
    assert only_file(files)["core-metadata"] == {"sha256": "b" * 64}


def test_each_link_says_whether_there_is_a_signature() -> None:
    files = project(listed("1.0", signed=True), listed("2.0"))

    page = Anchors(files["index.html"])
    assert [attributes["data-gpg-sig"] for attributes, _ in page.links] == ["true", "false"]
    assert [file["gpg-sig"] for file in as_json(files)["files"]] == [True, False]


@pytest.mark.parametrize(
    ("url", "location", "shown"),
    [
        ("https://pypi.example.com/", "{}", "https://pypi.example.com/packages/{}.provenance"),
        ("https://example.com/py/", "{}", "https://example.com/py/packages/{}.provenance"),
        ("https://a.b/", "of team&co/{}", "https://a.b/packages/of%20team%26co/{}.provenance"),
        # This very machine counts as secure.
        ("http://127.0.0.1:8080/", "{}", "http://127.0.0.1:8080/packages/{}.provenance"),
        ("http://localhost/", "{}", "http://localhost/packages/{}.provenance"),
        ("http://[::1]:8080/", "{}", "http://[::1]:8080/packages/{}.provenance"),
        ("http://pypi.example.com/", "{}", None),
        ("http://127.example.com/", "{}", None),
        ("http://localhost.example.com/", "{}", None),
        ("", "{}", None),
    ],
)
def test_attestations_are_announced_by_a_whole_url_of_a_secure_origin(
    url: str, location: str, shown: str | None
) -> None:
    name = "my_lib-1.0-py3-none-any.whl"
    file = listed(location=location.format(name), attested=True)

    files = pages.project_page("my-lib", [file], url=url)

    expected = shown and shown.format(name)
    ((attributes, _),) = Anchors(files["index.html"]).links
    assert attributes.get("data-provenance") == expected
    assert only_file(files).get("provenance") == expected


def test_of_a_file_without_attestations_none_are_announced() -> None:
    files = pages.project_page("my-lib", [listed()], url="https://pypi.example.com/")

    assert b"provenance" not in b"".join(files.values())


@pytest.mark.parametrize("status", ["active", "archived", "deprecated"])
def test_a_status_changes_nothing_else_on_a_page(status: str) -> None:
    files = pages.project_page("my-lib", [listed()], ProjectStatus(status))

    page = Anchors(files["index.html"])
    assert page.metas == {"pypi:repository-version": "1.4", "pypi:project-status": status}
    assert as_json(files)["project-status"] == {"status": status}
    assert page.links == Anchors(project(listed())["index.html"]).links
    assert as_json(files)["files"] == as_json(project(listed()))["files"]


def test_the_page_of_a_quarantined_project_offers_nothing() -> None:
    files = pages.project_page("my-lib", [listed()], ProjectStatus("quarantined", "Stolen"))

    page = Anchors(files["index.html"])
    assert page.metas["pypi:project-status"] == "quarantined"
    assert page.metas["pypi:project-status-reason"] == "Stolen"
    assert page.links == []
    assert as_json(files) == {
        "meta": {"api-version": "1.4"},
        "name": "my-lib",
        "project-status": {"status": "quarantined", "reason": "Stolen"},
        "versions": [],
        "files": [],
    }


@pytest.mark.parametrize("reason", REASONS)
def test_the_reason_of_a_status_is_nothing_but_text(reason: str) -> None:
    files = pages.project_page("my-lib", [listed()], ProjectStatus("deprecated", reason))

    page = Anchors(files["index.html"])
    assert page.metas["pypi:project-status-reason"] == reason
    assert "script" not in page.tags
    assert as_json(files)["project-status"]["reason"] == reason


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_reaches_clients_as_it_was_given_and_is_nothing_but_text(reason: str) -> None:
    files = project(listed(yanked=reason))

    page = Anchors(files["index.html"])
    ((attributes, _),) = page.links
    assert attributes["data-yanked"] == reason
    assert "script" not in page.tags
    assert only_file(files)["yanked"] == reason
    for name in ("index.html", "index.json"):
        (link,) = links(files, name)
        assert link.yanked_reason == reason


def test_a_yank_without_a_reason_is_an_empty_attribute_and_true() -> None:
    files = project(listed(yanked=""))

    ((attributes, _),) = Anchors(files["index.html"]).links
    assert attributes["data-yanked"] == ""
    assert only_file(files)["yanked"] is True
    assert [link.is_yanked for name in files for link in links(files, name)] == [True, True]


@given(st.text(max_size=200).filter(lambda text: "\r" not in text and "\0" not in text))
def test_any_reason_can_be_read_back(reason: str) -> None:
    files = project(listed(yanked=reason))

    ((attributes, _),) = Anchors(files["index.html"]).links
    assert attributes["data-yanked"] == reason
    assert only_file(files)["yanked"] == (reason or True)


@BOTH
@pytest.mark.parametrize(
    "location",
    [
        "my_lib-1.0+local.1-py3-none-any.whl",
        "my_lib-1!1.0-py3-none-any.whl",
        "sub/deeper/my_lib-1.0-py3-none-any.whl",
        "of last year/my_lib-1.0-py3-none-any.whl",
        'a#b?c%20d&e"f<g>/my_lib-1.0-py3-none-any.whl',
        "ü/my_lib-1.0-py3-none-any.whl",
    ],
)
def test_a_link_leads_from_the_page_to_where_the_file_lies(name: str, location: str) -> None:
    files = project(listed(location=location))
    if name == "index.html":
        ((attributes, _),) = Anchors(files[name]).links
        href = str(attributes["href"]).partition("#")[0]
    else:
        href = only_file(files)["url"]

    url = urljoin(URL, href)
    assert unquote(url) == f"https://pypi.example.com/packages/{location}"
    assert url.isascii()
    assert not set('"<>? #') & set(url)
    (link,) = links(files, name)
    assert link.filename == location.rpartition("/")[2]
    assert unquote(link.url_without_fragment) == unquote(url)


@BOTH
def test_files_and_versions_are_in_the_order_of_versions_oldest_first(name: str) -> None:
    versions = [
        "1.0.dev1",
        "1.0a1",
        "1.0rc1",
        "1.0",
        "1.0+local",
        "1.0.post1",
        "1.9",
        "1.10",
        "1!0.1",
    ]
    files = project(*map(listed, sorted(versions)))

    shown = [str(parse_wheel_filename(link.filename)[1]) for link in links(files, name)]
    assert shown == versions
    assert as_json(files)["versions"] == versions


def test_several_files_of_a_version_are_in_the_order_of_their_names() -> None:
    names = [f"my_lib-1.0-py3-none-{system}.whl" for system in ("any", "linux_x86_64", "win32")]
    sdist = "my_lib-1.0.tar.gz"

    files = project(*(listed(location=name) for name in (sdist, *reversed(names))))

    assert [file["filename"] for file in as_json(files)["files"]] == [*names, sdist]
    assert as_json(files)["versions"] == ["1.0"]


@pytest.mark.parametrize("uploaded", [UPLOADED, "1970-01-01T00:00:00.000000Z"])
def test_the_upload_time_is_one_of_pep_700(uploaded: str) -> None:
    shown = only_file(project(listed(uploaded=uploaded)))["upload-time"]

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", shown)
    assert datetime.fromisoformat(shown.replace("Z", "+00:00")).astimezone(
        timezone.utc
    ) == datetime.fromisoformat(uploaded.replace("Z", "+00:00")).replace(microsecond=0)


@given(st.permutations(range(12)))
def test_the_same_files_are_the_same_bytes_in_whatever_order_they_come(order: list[int]) -> None:
    files = [listed(f"1.{number}", yanked="x" * 800) for number in range(12)]

    assert project(*(files[number] for number in order)) == project(*files)


# List of projects ---------------------------------------------------------------------------------


def test_the_list_of_projects_names_each_once_and_in_order_with_a_relative_link() -> None:
    files = pages.project_list(iter(["zope", "a", "my-lib"]))

    assert as_json(files) == {
        "meta": {"api-version": "1.4"},
        "projects": [{"name": "a"}, {"name": "my-lib"}, {"name": "zope"}],
    }
    page = Anchors(files["index.html"])
    assert page.declarations == ["DOCTYPE html"]
    assert page.metas["pypi:repository-version"] == "1.4"
    assert [(attributes["href"], text) for attributes, text in page.links] == [
        ("a/", "a"),
        ("my-lib/", "my-lib"),
        ("zope/", "zope"),
    ]


def test_an_empty_list_of_projects_is_a_whole_page() -> None:
    files = pages.project_list([])

    assert as_json(files)["projects"] == []
    assert Anchors(files["index.html"]).links == []


def test_the_list_of_projects_is_read_back_by_simple_repository() -> None:
    names = {f"project-{number}" for number in range(1000)}
    files = pages.project_list(names)

    of_json = parser.parse_json_project_list(files["index.json"].decode())
    of_html = parser.parse_html_project_list(files["index.html"].decode())
    assert {element.name for element in of_json.projects} == names
    assert {element.name for element in of_html.projects} == names


# Compressed pages ---------------------------------------------------------------------------------


def page_of(size: int) -> dict[str, bytes]:
    """Return pages whose JSON has exactly so many bytes."""
    spare = size - len(project(listed(yanked="x"))["index.json"])
    return project(listed(yanked="x" * (spare + 1)))


@pytest.mark.parametrize(("size", "expected"), [(8191, False), (8192, True), (100_000, True)])
def test_a_page_from_8_kib_on_is_there_compressed_too(size: int, expected: bool) -> None:
    files = page_of(size)

    assert len(files["index.json"]) == size
    assert ("index.json.gz" in files) is expected


def test_a_compressed_page_is_the_page_and_smaller_and_the_same_each_time() -> None:
    files = page_of(50_000)

    assert set(files) == {"index.html", "index.json", "index.html.gz", "index.json.gz"}
    for name in ("index.html", "index.json"):
        assert gzip.decompress(files[f"{name}.gz"]) == files[name]
        assert len(files[f"{name}.gz"]) < len(files[name]) / 2
        # No time and no name in its header, which would make it another file each time.
        assert files[f"{name}.gz"][3:8] == bytes(5)


# On disk ------------------------------------------------------------------------------------------


def on_disk(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return identity, time and content of every file in a folder."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.iterdir()
    }


def write(folder: Path, files: dict[str, bytes]) -> str:
    return pages.write(folder, files, folder.parent / ".new")


def test_pages_are_written_as_they_are_into_a_folder_that_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "simple" / "my-lib"
    files = page_of(10_000)

    write(folder, files)

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert pages.same(folder, files)


def test_a_page_of_the_same_bytes_stays_the_file_it_was(tmp_path: Path) -> None:
    write(tmp_path, page_of(10_000))
    before = on_disk(tmp_path)

    write(tmp_path, page_of(10_000))

    assert on_disk(tmp_path) == before


def test_only_the_page_that_changed_becomes_another_file(tmp_path: Path) -> None:
    write(tmp_path, project(listed()))
    before = on_disk(tmp_path)

    # Its size is in the JSON page only.
    write(tmp_path, project(listed(size=1235)))

    after = on_disk(tmp_path)
    assert after["index.html"] == before["index.html"]
    assert after["index.json"][0] != before["index.json"][0]


def test_a_compressed_page_is_deleted_when_the_page_has_become_small(tmp_path: Path) -> None:
    write(tmp_path, page_of(10_000))
    write(tmp_path, project(listed()))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "index.json"]
    assert not pages.same(tmp_path, page_of(10_000))
    (tmp_path / "index.html.gz").write_bytes(b"stale")
    assert not pages.same(tmp_path, project(listed()))


def test_whoever_has_a_page_open_reads_it_to_its_end(tmp_path: Path) -> None:
    write(tmp_path, page_of(10_000))

    with (tmp_path / "index.json").open("rb") as open_page:
        write(tmp_path, project(listed()))
        assert open_page.read() == page_of(10_000)["index.json"]


def test_a_full_disk_leaves_the_old_page_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, project(listed()))

    def tear(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", tear)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, project(listed(), listed("2.0")))

    assert pages.same(tmp_path, project(listed()))


def test_the_fingerprint_is_other_after_any_damage_and_only_then(tmp_path: Path) -> None:
    files = page_of(10_000)
    for name in files:
        known = write(tmp_path, files)
        assert pages.fingerprint(tmp_path) == known
        path = tmp_path / name

        path.write_bytes(path.read_bytes()[:-1])
        assert pages.fingerprint(tmp_path) != known
        assert not pages.same(tmp_path, files)
        known = write(tmp_path, files)
        os.utime(path, ns=(0, 0))
        assert pages.fingerprint(tmp_path) != known
        known = write(tmp_path, files)
        path.unlink()
        assert pages.fingerprint(tmp_path) != known
        write(tmp_path, files)
        assert pages.same(tmp_path, files)


def test_versions_are_written_in_their_normalised_form() -> None:
    (version,) = as_json(project(listed("1.0RC1")))["versions"]

    assert version == str(Version("1.0RC1")) == "1.0rc1"
