"""Simple pages are what PyPA's specification "Simple repository API" says, version 1.4.

Readers that others wrote check that, on pages of the gateway and of private_pypi alone:
pypi-simple, html5lib, the parser of pip, uv; and a schema of the JSON. `packaging` has no reader.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import html5lib  # type: ignore[import-untyped]
import pytest
import requests
import tomli
from kit import attestation, wheel
from kit.gateway import behind_gateway
from kit.install import as_bob
from kit.public_index import PublicIndex
from kit.server import Server
from kit.simple_schema import LIST, PROJECT, problems
from kit.template import PASSWORD
from kit.user import User
from pip._internal.index.collector import IndexContent, parse_links
from pypi_simple import ACCEPT_HTML_ONLY, ACCEPT_JSON_ONLY, PyPISimple

BOB, ALICE = ("bob", PASSWORD), ("alice", PASSWORD)
JSON, HTML = "application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.v1+html"
REASON = """Use "other" <b>instead</b> & don't </a><script>alert(1)</script>"""
SIGNATURE = b"-----BEGIN PGP SIGNATURE-----\n\naGVsbG8=\n-----END PGP SIGNATURE-----\n"
PROJECT_NAME = "all-there-is"
STATUSES = ["archived", "deprecated", "quarantined"]

FORMS = pytest.mark.parametrize(
    "accept", [ACCEPT_JSON_ONLY, ACCEPT_HTML_ONLY], ids=["json", "html"]
)


@dataclass(frozen=True)
class Published:
    """A distribution of PROJECT_NAME, and what its entry must say.

    Attributes:
        yanked: None, or the reason, which may be empty.
    """

    path: Path
    requires_python: str | None = None
    metadata: bytes | None = None
    signed: bool = False
    attested: bool = False
    yanked: str | None = None

    @property
    def sha256(self) -> str:
        """Its digest."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Programs:
    """The gateway and private_pypi over one folder, which hold `published` and more."""

    gateway: str
    server: Server
    published: list[Published]

    @property
    def alone(self) -> str:
        """The URL of private_pypi, without a slash at its end."""
        return self.server.url().rstrip("/")


@dataclass(frozen=True)
class Index:
    """One of the two programs."""

    url: str
    server: Server
    published: list[Published]

    def get(self, path: str, accept: str = JSON) -> requests.Response:
        """Return what bob is answered."""
        headers = {"Accept": accept}
        answer = requests.get(f"{self.url}/{path}", auth=BOB, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer

    def reader(self, accept: str) -> PyPISimple:
        """Return pypi-simple, as bob uses it."""
        return PyPISimple(f"{self.url}/simple/", auth=BOB, accept=accept)


def attestations(path: Path) -> str:
    """Return the form field by which a client sends a distribution's attestations."""
    return attestation.field(attestation.of(path.name, path.read_bytes()))


def send(server: Server, path: Path, *, signed: bool = False, attested: bool = False) -> None:
    """Publish a distribution by the form that twine and uv send, as alice."""
    files = {"content": (path.name, path.read_bytes(), "application/octet-stream")}
    if signed:
        files["gpg_signature"] = (f"{path.name}.asc", SIGNATURE, "application/octet-stream")
    data = {":action": "file_upload", "protocol_version": "1"}
    if attested:
        data["attestations"] = attestations(path)
    answer = requests.post(server.url(), data=data, files=files, auth=ALICE, timeout=30)
    assert answer.status_code == 200, answer.text


def publish_all(server: Server, folder: Path) -> list[Published]:
    """Publish what has everything that a page can say; return it in the order of the page."""

    def built(version: str, **more: Any) -> Path:
        return wheel.build(folder, PROJECT_NAME, version, origin="us", **more)

    def metadata(version: str, requires_python: str = "") -> bytes:
        line = f"Requires-Python: {requires_python}\n" if requires_python else ""
        return f"Metadata-Version: 2.1\nName: {PROJECT_NAME}\nVersion: {version}\n{line}".encode()

    old = {"metadata_version": "2.1"}
    made = [
        Published(built("1.0"), metadata=metadata("1.0"), yanked=REASON),
        Published(built("1.1"), metadata=metadata("1.1"), yanked=""),
        Published(
            built("2.0", requires_python="!=3.11.99,<4,>=3.9"),
            requires_python="!=3.11.99,<4,>=3.9",
            metadata=metadata("2.0", "!=3.11.99,<4,>=3.9"),
            signed=True,
            attested=True,
        ),
        # Its metadata may be another once it is built: none is served.
        Published(wheel.build_sdist(folder, PROJECT_NAME, "2.0", origin="us", **old)),
        Published(built("2.1+local.1"), metadata=metadata("2.1+local.1")),
    ]
    for one in made:
        send(server, one.path, signed=one.signed, attested=one.attested)
    server.run("yank", "--reason", REASON, "--", PROJECT_NAME, "1.0")
    server.run("yank", "--", PROJECT_NAME, "1.1")
    return made


@pytest.fixture(scope="module")
def programs(
    rendered: Path, public: PublicIndex, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Programs]:
    """Both programs, running."""
    folder, made = tmp_path_factory.mktemp("conformance"), tmp_path_factory.mktemp("made")
    server, gateway = behind_gateway(rendered, folder / "s", PYPI_PUBLIC_INDEX=public.url)
    server.user("add", "alice", "--role", "publisher", password=PASSWORD)
    server.user("add", "bob", "--role", "reader", password=PASSWORD)
    with server, gateway:
        published = publish_all(server, made)
        for name in ("other", *(f"that-is-{status}" for status in STATUSES)):
            send(server, wheel.build(made, name, "1.0", origin="us"))
        yield Programs(gateway.url, server, published)


@pytest.fixture(params=["gateway", "private_pypi"])
def index(programs: Programs, request: pytest.FixtureRequest) -> Index:
    """Each of the two programs."""
    url = programs.gateway if request.param == "gateway" else programs.alone
    return Index(url, programs.server, programs.published)


@pytest.fixture(scope="module")
def marked(programs: Programs) -> None:
    """Give three projects a status, with a reason."""
    for status in STATUSES:
        programs.server.run("mark", "--reason", REASON, "--", f"that-is-{status}", status)


# The form -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "query", "answered"),
    [
        (JSON, "", JSON),
        (HTML, "", HTML),
        ("text/html", "", "text/html"),
        ("*/*", "", "text/html"),
        # What was asked for as the latest is answered with what it is.
        (JSON.replace(".v1", ".latest"), "", JSON),
        (HTML.replace(".v1", ".latest"), "", HTML),
        (f"{JSON};q=0.4, {HTML};q=0.5, text/html;q=0.1", "", HTML),
        (f"{JSON};q=0.5, {HTML};q=0.4, text/html;q=0.1", "", JSON),
        (f"{JSON}, {HTML};q=0.2, text/html;q=0.01", "", JSON),
        ("text/html", f"?format={JSON}", JSON),
        (JSON, f"?format={HTML}", HTML),
        (JSON, "?format=text/html", "text/html"),
        ("", f"?format={JSON.replace('.v1', '.latest')}", JSON),
    ],
)
@pytest.mark.parametrize("path", ["simple/", f"simple/{PROJECT_NAME}/"])
def test_a_page_has_the_form_that_was_asked_for_and_says_its_version(
    index: Index, path: str, accept: str, query: str, answered: str
) -> None:
    answer = index.get(f"{path}{query}", accept)

    assert answer.headers["Content-Type"].partition(";")[0] == answered
    if answered == JSON:
        assert answer.json()["meta"] == {"api-version": "1.4"}
    else:
        assert metas(answer.content)["pypi:repository-version"] == "1.4"


def metas(page: bytes) -> dict[str, str]:
    """Return what an HTML page says of itself; it must be valid HTML5."""
    document = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    return {meta.get("name", ""): meta.get("content", "") for meta in document.iter("meta")}


def test_the_json_is_that_of_the_specification_and_nothing_else(index: Index) -> None:
    assert problems(index.get(f"simple/{PROJECT_NAME}/").json(), PROJECT) == []
    assert problems(index.get("simple/").json(), LIST) == []


@pytest.mark.parametrize("status", STATUSES)
def test_so_are_the_pages_of_projects_with_a_status(
    marked: None, index: Index, status: str
) -> None:
    page = index.get(f"simple/that-is-{status}/").json()

    assert problems(page, PROJECT) == []
    assert page["project-status"] == {"status": status, "reason": REASON}
    said = metas(index.get(f"simple/that-is-{status}/", HTML).content)
    assert said["pypi:project-status"] == status
    assert said["pypi:project-status-reason"] == REASON


@pytest.mark.parametrize(
    "spoil",
    [
        lambda page: page.pop("versions"),
        lambda page: page.pop("name"),
        lambda page: page["meta"].update({"api-version": "1.1"}),
        lambda page: page.update({"project-status": "active"}),
        lambda page: page.update({"project-status": {"status": "retired"}}),
        lambda page: page.update({"project-status": {"status": "quarantined"}}),
        lambda page: page.update({"project_status": {"status": "active"}}),
        lambda page: page["files"][0].pop("size"),
        lambda page: page["files"][0].pop("hashes"),
        lambda page: page["files"][0].update({"yanked": ""}),
        lambda page: page["files"][0].update({"upload-time": "2026-01-02 03:04:05"}),
        lambda page: page["files"][0].update({"provenance": "../../packages/a.provenance"}),
        lambda page: page["files"][0].update({"provenance": "http://pypi.example/a.provenance"}),
        lambda page: page["files"][0].update({"core-metadata": "sha256=00"}),
        lambda page: page["files"][0].update({"gpg-sig": "true"}),
    ],
)
def test_the_schema_finds_what_is_wrong(programs: Programs, spoil: Callable[[Any], object]) -> None:
    page = Index(programs.alone, programs.server, []).get(f"simple/{PROJECT_NAME}/").json()
    assert problems(page, PROJECT) == []

    spoil(page)

    assert len(problems(page, PROJECT)) == 1


# The content --------------------------------------------------------------------------------------


@FORMS
def test_pypi_simple_reads_all_of_a_page(index: Index, accept: str) -> None:
    with index.reader(accept) as reader:
        page = reader.get_project_page(PROJECT_NAME)

    assert (page.project, page.repository_version) == (PROJECT_NAME, "1.4")
    assert (page.status, page.status_reason) == ("active", None)
    assert [package.filename for package in page.packages] == [
        one.path.name for one in index.published
    ]
    is_json = accept == ACCEPT_JSON_ONLY
    assert page.versions == (["1.0", "1.1", "2.0", "2.1+local.1"] if is_json else None)
    for package, one in zip(page.packages, index.published, strict=True):
        assert unquote(package.url) == f"{index.url}/packages/{one.path.name}"
        assert package.digests == {"sha256": one.sha256}
        assert package.requires_python == one.requires_python
        assert package.has_sig is one.signed
        assert package.is_yanked is (one.yanked is not None)
        # By JSON, a yank without a reason has none; by HTML, an empty one.
        assert (package.yanked_reason or "") == (one.yanked or "")
        digest = one.metadata and {"sha256": hashlib.sha256(one.metadata).hexdigest()}
        assert package.metadata_digests == digest
        assert package.size == (one.path.stat().st_size if is_json else None)
        assert (package.upload_time is not None) is is_json


@FORMS
def test_pypi_simple_finds_all_that_a_page_leads_to(
    index: Index, accept: str, tmp_path: Path
) -> None:
    with index.reader(accept) as reader:
        for package, one in zip(
            reader.get_project_page(PROJECT_NAME).packages, index.published, strict=True
        ):
            # It compares the digests.
            reader.download_package(package, tmp_path / one.path.name)
            if one.metadata:
                assert reader.get_package_metadata_bytes(package) == one.metadata
            signature = reader.s.get(package.sig_url)
            assert (signature.status_code, signature.content == SIGNATURE) == (
                (200, True) if one.signed else (404, False)
            )


@FORMS
def test_pypi_simple_finds_attestations_by_a_whole_url(index: Index, accept: str) -> None:
    with index.reader(accept) as reader:
        packages = reader.get_project_page(PROJECT_NAME).packages
        said = {package.filename: package.provenance_url for package in packages}
        assert said == {one.path.name: provenance(index, one) for one in index.published}
        (attested,) = (package for package in packages if package.provenance_url)
        found = reader.get_provenance(attested)

    (one,) = (one for one in index.published if one.attested)
    (bundle,) = found["attestation_bundles"]
    assert found["version"] == 1
    assert isinstance(bundle["publisher"]["kind"], str)
    assert bundle["attestations"] == json.loads(attestations(one.path))


def provenance(index: Index, one: Published) -> str | None:
    """Return where the attestations of a distribution are: at the URL of the index (PYPI_URL)."""
    place = f"{index.server.url()}packages/{one.path.name}.provenance"
    return place if one.attested else None


@pytest.mark.parametrize("status", STATUSES)
@FORMS
def test_pypi_simple_reads_a_status_and_its_reason(
    marked: None, index: Index, accept: str, status: str
) -> None:
    with index.reader(accept) as reader:
        page = reader.get_project_page(f"that-is-{status}")

    assert (page.status, page.status_reason) == (status, REASON)
    assert len(page.packages) == (0 if status == "quarantined" else 1)


@FORMS
def test_pypi_simple_reads_the_list_of_projects(index: Index, accept: str) -> None:
    with index.reader(accept) as reader:
        page = reader.get_index_page()

    assert page.repository_version == "1.4"
    names = {PROJECT_NAME, "other", *(f"that-is-{status}" for status in STATUSES)}
    assert (len(page.projects), set(page.projects)) == (len(names), names)


@pytest.mark.parametrize("form", [JSON, HTML])
def test_pip_reads_all_that_it_uses(index: Index, form: str) -> None:
    answer = index.get(f"simple/{PROJECT_NAME}/", form)
    content = IndexContent(
        answer.content,
        answer.headers["Content-Type"],
        "utf-8",
        answer.url,
        cache_link_parsing=False,
    )

    links = list(parse_links(content))

    assert len(links) == len(index.published)
    for link, one in zip(links, index.published, strict=True):
        assert link.filename == one.path.name
        assert unquote(link.url_without_fragment) == f"{index.url}/packages/{one.path.name}"
        assert link.hash == one.sha256
        assert link.requires_python == one.requires_python
        assert link.yanked_reason == one.yanked
        metadata = link.metadata_file_data
        expected = one.metadata and {"sha256": hashlib.sha256(one.metadata).hexdigest()}
        assert (metadata and metadata.hashes) == expected
        assert (link.upload_time is not None) is (form == JSON)


def test_uv_reads_hash_size_and_time(user: User, index: Index) -> None:
    lock = locked(user, index, f"{PROJECT_NAME}==2.0")

    (package,) = (one for one in lock["package"] if one["name"] == PROJECT_NAME)
    wanted = [one for one in index.published if "-2.0-py3" in one.path.name]
    wanted += [one for one in index.published if one.path.name.endswith("-2.0.tar.gz")]
    shown = {
        file["filename"]: file for file in index.get(f"simple/{PROJECT_NAME}/").json()["files"]
    }
    for found, one in zip([*package["wheels"], package["sdist"]], wanted, strict=True):
        assert found["url"] == f"{index.url}/packages/{one.path.name}"
        assert found["hash"] == f"sha256:{one.sha256}"
        assert found["size"] == one.path.stat().st_size
        assert str(found["upload-time"]) == shown[one.path.name]["upload-time"]


def test_uv_reads_why_a_version_is_yanked(user: User, index: Index) -> None:
    said = user.run(
        *("uv", "pip", "install", "--dry-run", "--python", sys.executable, "--target", "there"),
        f"{PROJECT_NAME}==1.0",
        UV_DEFAULT_INDEX=as_bob(f"{index.url}/simple/"),
    )

    assert "is yanked" in said
    assert 'Use "other" <b>instead</b>' in said


def locked(user: User, index: Index, requirement: str) -> dict[str, Any]:
    """Return the lock file that uv makes of a project with one requirement."""
    (user.home / "pyproject.toml").write_text(
        f'[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.9"\n'
        f'dependencies = ["{requirement}"]\n'
    )
    user.run(
        *("uv", "lock", "--python", sys.executable),
        UV_DEFAULT_INDEX=as_bob(f"{index.url}/simple/"),
    )
    return tomli.loads((user.home / "uv.lock").read_text())
