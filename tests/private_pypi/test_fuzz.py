"""Whatever is sent gets a sentence and leaves nothing behind: forms, archives and URLs that harm.

Every request goes through Site.call, which checks what holds for all of them: no status of the
server's own fault, no traceback, headers that are headers, bounded time and memory, and no file
that does not belong to a published distribution, in the folders of the index or beside them.
"""

from __future__ import annotations

import gc
import gzip
import hashlib
import io
import json
import re
import signal
import struct
import tarfile
import tracemalloc
import urllib.parse
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes, urljoin, urlsplit

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as profile
from hypothesis import strategies as st
from kit import attestation
from kit.archives import zipped
from kit.forms import BOUNDARY, TYPE, multipart, part
from kit.http import basic
from kit.template import PASSWORD
from kit.wheel import packed as packed_wheel
from kit.wsgi import HOST, Answer, call
from private_pypi.app import create_app
from private_pypi.settings import MEBIBYTE, Settings
from private_pypi.verify import differences

SECONDS = 10.0
"""What a request may take at most, also on a busy machine and while memory is counted."""

MEMORY = 100 * MEBIBYTE
"""What a request may take of it, beside its own body."""

LONGEST = 5000
"""Characters that a refusal may have: it may name a URL, which has 4094 at most."""


def examples(number: int) -> profile:
    """Return the settings of a search: the same examples each time, so that no run is flaky."""
    return profile(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        # What takes too long would take far too long to be made smaller.
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


class TooSlow(BaseException):
    """A request took too long. No handler of the application catches it."""


class Site:
    """The application with one publisher, and the folder that all of its folders are in."""

    def __init__(self, settings: Settings) -> None:
        self.folder = settings.data.parent
        self.data = settings.data
        self._app = create_app(settings)
        self._index = self._app.index
        self.counts_memory = True
        self._index.refresh()

    def call(self, method: str, path: bytes, body: bytes = b"", **environ: str | None) -> Answer:
        """Send a request of alice and check what every answer must be.

        Args:
            environ: of the request; what is None is left out.
        """
        headers = basic("alice", PASSWORD)
        before = self.tree()
        with bounded(memory=self.counts_memory):
            answer = call(self._app, method, path, body=body, headers=headers, **environ)

        assert answer.status < 500 or answer.status in (503, 507), answer.content
        pairs = answer.headers.items()
        for text in (answer.reason, *(f"{name}: {value}" for name, value in pairs)):
            assert re.fullmatch("[\x20-\x7e\xa0-\xff]+", text), text
        assert re.fullmatch("[!-~]+", answer.headers.get("Location", "/"))
        if answer.status >= 400:
            self._check_refusal(method, answer)
        if method != "POST" or answer.status != 200:
            assert self.tree() == before
        assert list((self.data / ".uploads").iterdir()) == []
        return answer

    def upload(
        self, name: str, content: bytes, fields: dict[str, str] | None = None, **environ: str | None
    ) -> Answer:
        """Send a distribution as Poetry, uv and twine do.

        If it is taken, it must be listed, whole, and the index as it should be.
        """
        before = self.tree()
        parts = [part(field, text) for field, text in (fields or {}).items()]
        answer = self.send(
            [part(":action", "file_upload"), *parts, part("content", content, name)], **environ
        )
        if answer.status == 200:
            assert (self.data / name).read_bytes() == content
            self.check_published(before)
        return answer

    def remove(self, project: str, version: str) -> None:
        """Remove a version, as its owner does."""
        self._index.remove(project, version, by="alice")

    def send(self, parts: list[bytes], **environ: str | None) -> Answer:
        """Send a form."""
        environ.setdefault("CONTENT_TYPE", TYPE)
        return self.call("POST", b"/", multipart(parts), **environ)

    def check_published(self, before: dict[str, object]) -> None:
        """Check that all that was added belongs to listed distributions."""
        added = self.tree().keys() - before.keys()
        for path in sorted(added):
            folder, _, rest = path.partition("/")
            name = rest.rpartition("/")[2]
            if folder == "pypi_data":
                assert re.fullmatch(
                    r"[A-Za-z0-9_][A-Za-z0-9_.+!-]*\.(whl|gz|zip|asc|provenance)", rest
                ), path
                beside = rest.endswith((".asc", ".provenance"))
                assert beside or rest in self.listed(), path
            else:
                assert re.fullmatch(r"pypi_index/(names|packages|simple)(/.*)?", path), path
                assert "packages/" not in rest or (
                    (self.data / name.removesuffix(".metadata")).is_file()
                ), path
        assert list(differences(self.data, self._index.folder)) == []

    def listed(self) -> dict[str, str]:
        """Return file names and digests of all that the pages list."""
        files = {}
        for page in (self.folder / "pypi_index" / "simple").glob("*/index.json"):
            for file in json.loads(page.read_bytes())["files"]:
                files[file["filename"]] = file["hashes"]["sha256"]
        return files

    def tree(self) -> dict[str, object]:
        """Return all paths below the folder, and of what is in the data folder the size, too."""
        return {
            str(path.relative_to(self.folder)): (
                path.lstat().st_size if path.is_file() and self.data in path.parents else None
            )
            for path in self.folder.rglob("*")
            if not path.name.startswith("index.sqlite3")
        }

    def follow(self, path: bytes, query: str = "") -> Answer:
        """Get a URL as a client does that follows redirects on this index, and only there."""
        url = f"http://{HOST}{quote_from_bytes(path)}" + (f"?{query}" if query else "")
        for _ in range(5):
            parts = urlsplit(url)
            answer = self.call("GET", unquote_to_bytes(parts.path), QUERY_STRING=parts.query)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            url = urljoin(url, answer.headers["Location"])
            if urlsplit(url).hostname != HOST:
                assert url.startswith("http://public.example/simple/")
                return answer
        raise AssertionError(f"it is redirected for ever: {url}")

    def _check_refusal(self, method: str, answer: Answer) -> None:
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        if method == "HEAD":
            return
        text = answer.body
        assert text.endswith("\n"), text
        sentence = text.removesuffix("\n")
        assert sentence.isprintable(), text
        assert 10 < len(sentence) < LONGEST, text
        assert "Traceback" not in text
        assert str(self.folder) not in text


@contextmanager
def bounded(*, memory: bool = True) -> Iterator[None]:
    """Stop what takes too long, and fail if it did or if it took too much memory."""

    def stop(*_: object) -> None:
        raise TooSlow

    former = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    outer = tracemalloc.is_tracing()
    peak = start = 0
    if memory:
        tracemalloc.start()
        tracemalloc.reset_peak()
        start, _ = tracemalloc.get_traced_memory()
    try:
        yield
        if memory:
            _, peak = tracemalloc.get_traced_memory()
    except TooSlow:
        raise AssertionError(f"not answered within {SECONDS:.0f} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
        if not outer:
            tracemalloc.stop()
    assert peak - start < MEMORY, f"{(peak - start) // MEBIBYTE} MB of memory"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The settings of all unit tests, for uploads of up to 64 MB."""
    return replace(settings, max_upload=64 * MEBIBYTE)


@pytest.fixture
def site(settings: Settings) -> Site:
    """An index of the test's own."""
    return Site(settings)


# What is sent -------------------------------------------------------------------------------------


WHEEL = "lib-1.0-py3-none-any.whl"
SDIST = "lib-1.0.tar.gz"
ZIP_SDIST = "lib-1.0.zip"

METADATA = b"Metadata-Version: 2.2\nName: lib\nVersion: 1.0\n"


def wheel(
    metadata: bytes = METADATA,
    kind: int = zipfile.ZIP_DEFLATED,
    members: dict[str, bytes] | None = None,
) -> bytes:
    """Return a wheel with more members, if any are given."""
    return packed_wheel({**(members or {}), "lib-1.0.dist-info/METADATA": metadata}, kind)


def zip_sdist(metadata: bytes = METADATA) -> bytes:
    """Return an sdist as a ZIP file."""
    return zipped({"lib-1.0/PKG-INFO": metadata}, zipfile.ZIP_DEFLATED)


def member(
    name: bytes, content: bytes = b"", kind: bytes = b"0", *, size: bytes = b"", link: bytes = b""
) -> bytes:
    """Return a member of a tar file: its header, with a size that may be a lie, and content."""
    header = bytearray(512)
    header[: len(name)] = name
    header[100:124] = b"0000644\x000000000\x000000000\0"
    header[124:136] = size or b"%011o\0" % len(content)
    header[136:148] = b"00000000000\0"
    header[156:157] = kind
    header[157 : 157 + len(link)] = link
    header[257:265] = b"ustar\x0000"
    return sealed(header) + content + bytes(-len(content) % 512)


def sealed(header: bytearray) -> bytes:
    """Return the header of a member with its checksum."""
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


PKG_INFO = member(b"lib-1.0/PKG-INFO", METADATA)


def sdist(*members: bytes) -> bytes:
    """Return an sdist of raw members."""
    return gzip.compress(b"".join(members) + bytes(1024), 1, mtime=0)


def base256(number: int) -> bytes:
    """Return a number as GNU tar writes those that octal digits cannot show."""
    return struct.pack(">q", number).rjust(12, b"\xff" if number < 0 else b"\x80")


def understated(archive: bytes, size: int = 100) -> bytes:
    """Return a ZIP file of one member that claims to unpack to less than it does."""
    content = bytearray(archive)
    for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        struct.pack_into("<L", content, content.index(signature) + offset, size)
    return bytes(content)


def directory(archive: bytes) -> tuple[int, bytes]:
    """Return where the list of members of a ZIP file is, and the list."""
    size, start = struct.unpack_from("<LL", archive, archive.rindex(b"PK\5\6") + 12)
    return start, archive[start : start + size]


def overlapping(count: int, content: bytes = b"") -> bytes:
    """Return a wheel whose list names one and the same member so many times."""
    archive = wheel(members={"a": content})
    start, entries = directory(archive)
    second = entries.index(b"PK\1\2", 4)
    entries = entries[second:] + entries[:second] * count
    number = min(count + 1, 0xFFFF)
    end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, number, number, len(entries), start, 0)
    return archive[:start] + entries + end


VALID = {
    WHEEL: wheel(members={"module": b"x = 1\n" * 20}),
    SDIST: sdist(PKG_INFO),
    ZIP_SDIST: zip_sdist(),
}


@pytest.mark.parametrize("name", VALID)
def test_what_the_other_tests_damage_is_published_when_it_is_whole(site: Site, name: str) -> None:
    assert site.upload(name, VALID[name]).status == 200
    assert list(site.listed()) == [name]


# Forms --------------------------------------------------------------------------------------------

TRAVERSALS = [
    "../lib-1.0.tar.gz",
    "../../pypi_auth/.htpasswd",
    "/etc/cron.d/lib-1.0.tar.gz",
    "..",
    ".",
    "./lib-1.0.tar.gz",
    "sub/lib-1.0.tar.gz",
    ".journal.jsonl",
    ".uploads/lib-1.0.tar.gz",
    "..\\lib-1.0.tar.gz",
    "C:\\lib\\..\\..\\lib.tar.gz",
    "%2e%2e%2flib-1.0.tar.gz",
    "..%c0%aflib-1.0.tar.gz",
    "lib-1.0.tar.gz/",
    "lib-1.0.tar.gz/../../lib-1.0.tar.gz",
    "file:///etc/passwd",
    "~/lib-1.0.tar.gz",
    "lib-1.0.tar.gz\0.whl",
    "lib-1.0/../../x-1.0.tar.gz",
]
TEXT_FIELDS = [
    *("name", "version", "filetype", "pyversion", "metadata_version", "protocol_version"),
    *("summary", "comment", "md5_digest", "sha256_digest", "blake2_256_digest", "../../field"),
]


@pytest.mark.parametrize("path", TRAVERSALS)
@pytest.mark.parametrize("field", ["content", "gpg_signature"])
def test_a_path_as_a_file_name_is_refused(site: Site, field: str, path: str) -> None:
    signed = [part("content", VALID[SDIST], SDIST)] if field == "gpg_signature" else []

    answer = site.send([part(":action", "file_upload"), *signed, part(field, VALID[SDIST], path)])

    assert answer.status == 400
    assert site.listed() == {}


@pytest.mark.parametrize("path", TRAVERSALS)
def test_a_path_in_any_other_field_leads_nowhere(site: Site, path: str) -> None:
    assert site.send([part(":action", path)]).status == 400
    assert site.send([part(path, VALID[SDIST], SDIST)]).status == 400
    for field in TEXT_FIELDS:
        digest = field.endswith("_digest")
        expected = 400 if digest else 200
        assert site.upload(SDIST, VALID[SDIST], {field: path}).status == expected
    assert site.upload(SDIST, VALID[SDIST], dict.fromkeys(TEXT_FIELDS[:6], path)).status == 200
    assert list(site.listed()) == [SDIST]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_a_path_as_the_name_in_metadata_is_refused(site: Site, path: str) -> None:
    metadata = f"Metadata-Version: 2.2\nName: {path}\nVersion: 1.0\n".encode()
    assert site.upload(WHEEL, wheel(metadata)).status == 400
    metadata = f"Metadata-Version: 2.2\nName: lib\nVersion: {path}\n".encode()
    assert site.upload(WHEEL, wheel(metadata)).status == 400


CONTROLS = ["\0", "\1", "\t", "\x0b", "\x1b[31m", "\x7f", "\x85", "\u2028", "%0D%0A", "%0A", "\n"]


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("name", ["{}lib-1.0.tar.gz", "li{}b-1.0.tar.gz", "lib-1.0.tar.gz{}"])
def test_a_file_name_with_a_control_character_is_refused(
    site: Site, name: str, control: str
) -> None:
    assert site.upload(name.format(control), VALID[SDIST]).status == 400


@pytest.mark.parametrize("control", CONTROLS)
def test_a_field_with_a_control_character_does_not_show_in_the_answer(
    site: Site, control: str
) -> None:
    assert site.send([part(":action", f"x{control}y")]).status == 400
    assert site.send([part(f"x{control}y", "z")]).status == 400


UNICODE = [
    "é",
    "李",
    "\U0001f40d",
    "ﬀ",
    "\u0131",
    "a\u0301",
    "\u202egnp",
    "Å",
    "\ufeff",
    "\uff11",
    "\udce9",
]


@pytest.mark.parametrize("text", UNICODE)
def test_a_name_in_unicode_is_refused(site: Site, text: str) -> None:
    sent = text.encode(errors="surrogateescape")
    head = b'Content-Disposition: form-data; name="content"; filename="%b-1.0.tar.gz"\r\n\r\n'
    action = part(":action", "file_upload")
    assert site.send([action, head % sent + VALID[SDIST]]).status == 400
    assert site.send([head % sent]).status == 400
    assert (
        site.send([b'Content-Disposition: form-data; name=":action"\r\n\r\n' + sent]).status == 400
    )
    assert site.upload(WHEEL, wheel(METADATA.replace(b"lib", sent))).status == 400
    assert site.upload(WHEEL, wheel(METADATA.replace(b"1.0", sent))).status == 400
    for path in (b"/simple/%b", b"/simple/%b/", b"/%b", b"/%b/json", b"/packages/%b-1.0.tar.gz"):
        assert site.follow(path % sent).status in (400, 404)


@pytest.mark.parametrize("length", [250, 256, 300, 4000, 10_000, 100_000])
def test_a_name_of_very_many_characters_is_refused(site: Site, length: int) -> None:
    name = "a" * length
    assert site.upload(f"{name}-1.0.tar.gz", VALID[SDIST]).status == 400
    assert site.upload(f"lib-1.0.{'0' * length}.tar.gz", VALID[SDIST]).status == 400
    assert site.upload(WHEEL, wheel(METADATA.replace(b"lib", name.encode()))).status == 400
    assert site.send([part(name, "x")]).status == 400
    assert site.send([part(":action", name)]).status == 400
    assert site.send([f"{name}: x\r\n\r\n".encode()]).status == 400
    assert site.send([], CONTENT_TYPE=f"multipart/form-data; boundary={name}").status == 400


@pytest.mark.parametrize("length", [250, 256, 300, 4000])
@pytest.mark.parametrize("redirect", [True, False])
def test_a_url_of_very_many_characters_is_of_an_unknown_project(
    settings: Settings, length: int, redirect: bool
) -> None:
    site = Site(replace(settings, redirect=redirect))
    name = b"a" * length
    # No file can have that name. Whether the public index is asked, is the same to a client.
    expected = (302, 404) if redirect else (404,)
    for path in (b"/simple/%b/", b"/simple/%b", b"/%b", b"/%b/"):
        assert site.follow(path % name).status in expected
    for path in (b"/%b/json", b"/packages/%b", b"/packages/%b.whl", b"/packages/a/%b/b"):
        assert site.follow(path % name).status == 404


@pytest.mark.parametrize("length", [4000, 4301, 10_000, 200_000])
def test_a_version_of_very_many_digits_is_refused(site: Site, length: int) -> None:
    for version in (b"9" * length, b"1." * length + b"1", b"1" + b" " * length + b"x"):
        assert site.upload(WHEEL, wheel(METADATA.replace(b"1.0", version))).status == 400


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [part(":action", "file_upload")],
        [part("content", VALID[SDIST], SDIST)],
        [part(":action", "file_upload"), part("content", VALID[SDIST])],
        [part(":action", "file_upload"), part("gpg_signature", b"x", f"{SDIST}.asc")],
        [part(":action", "file_upload"), part("content", b"", "")],
        [part(":action", "file_upload"), part("content", b"", SDIST)],
        [part(":action", "", ""), part("content", VALID[SDIST], SDIST)],
        [part(":action", ""), part("content", VALID[SDIST], SDIST)],
        [part(":action", "file_upload"), part("", VALID[SDIST], SDIST)],
        [part(":action", "file_upload"), b'Content-Disposition: form-data; filename="x"\r\n\r\n'],
        [part(":action", "file_upload"), b"X: y\r\n\r\n", part("content", VALID[SDIST], SDIST)],
        [part(":action", "file_upload"), *[part("content", VALID[SDIST], SDIST)] * 2],
    ],
)
def test_a_form_with_missing_fields_is_refused(site: Site, parts: list[bytes]) -> None:
    assert site.send(parts).status == 400


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        ";",
        "application/x-www-form-urlencoded",
        "application/json",
        "application/octet-stream",
        "text/plain",
        "multipart/mixed; boundary=x",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=other",
        "multipart/form-data; boundary*=utf-8''x",
        'multipart/form-data; boundary="\n"',
        'multipart/form-data; boundary="\\',
        f"multipart/form-data, multipart/form-data; boundary={BOUNDARY}",
        "multipart/form-data; boundary=\xe9\xff",
        "multipart/form-data" + ";" * 8000,
        "multipart/form-data" + '; a="' * 2000,
    ],
)
def test_a_wrong_content_type_is_refused(site: Site, kind: str | None) -> None:
    parts = [part(":action", "file_upload"), part("content", VALID[SDIST], SDIST)]
    assert site.send(parts, CONTENT_TYPE=kind).status == 400


@pytest.mark.parametrize("length", [None, "", "0", "1", "-", "all but one"])
def test_a_form_that_is_shorter_than_it_is_long_is_refused(site: Site, length: str | None) -> None:
    parts = [part(":action", "file_upload"), part("content", VALID[SDIST], SDIST)]
    number = {"-": "100", "all but one": str(len(multipart(parts)) - 10)}.get(length or "", length)
    assert site.send(parts, CONTENT_LENGTH=number).status in (400, 411)


def test_a_form_that_ends_before_its_length_says_so(site: Site) -> None:
    parts = [part(":action", "file_upload"), part("content", VALID[SDIST], SDIST)]
    for cut in (1, 10, 100, 500):
        answer = site.call(
            "POST",
            b"/",
            multipart(parts)[:-cut],
            CONTENT_LENGTH=str(len(multipart(parts))),
            CONTENT_TYPE=TYPE,
        )
        # The last two bytes are not needed.
        assert answer.status == (200 if cut < 3 else 400)
        if answer.status == 400:
            assert answer.body == "The upload ended early: send it again.\n"


def test_a_form_that_is_wrong_is_not_said_to_have_ended_early(site: Site) -> None:
    for head in (b"X: y\r\n\r\n", b"no header\r\n\r\n", b"\xff: y\r\n\r\n", b"a\nb\r\n\r\n"):
        assert "ended early" not in site.send([head]).body


def test_100_000_form_fields_are_refused(site: Site) -> None:
    fields = [part(f"field{number}", "x") for number in range(100_000)]
    assert site.send([part(":action", "file_upload"), *fields]).status == 400
    assert site.send([part("classifiers", "x")] * 100_000).status == 400
    assert site.send([b"X: y\r\n" * 100_000 + b"\r\n"]).status == 400


def test_fields_with_very_long_names_are_refused_before_they_fill_the_memory(site: Site) -> None:
    # One character beyond Latin makes Python keep all of them in four bytes each.
    fields = [part(f"{'x' * 4000}\U0001f40d{number}", "") for number in range(9000)]
    assert site.send([*fields, part(":action", "file_upload")]).status == 400


def test_very_much_text_is_refused(site: Site) -> None:
    assert site.send([part("description", "x" * 5 * MEBIBYTE)]).status == 400
    assert site.send([part("description", "x" * 1000)] * 9000).status == 400


# Archives -----------------------------------------------------------------------------------------

KINDS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


@pytest.mark.parametrize("kind", KINDS[1:])
def test_metadata_that_unpacks_to_more_than_it_claims_is_refused_unread(
    site: Site, kind: int
) -> None:
    bomb = understated(wheel(METADATA + bytes(100 * MEBIBYTE), kind))
    assert len(bomb) < MEBIBYTE
    assert site.upload(WHEEL, bomb).status == 400


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_member_that_unpacks_to_more_than_it_claims_is_refused_unread(
    site: Site, kind: int
) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        archive.writestr(zipfile.ZipInfo("bomb"), bytes(100 * MEBIBYTE), compress_type=kind)
        archive.writestr("lib-1.0.dist-info/METADATA", METADATA)
    assert site.upload(WHEEL, understated(file.getvalue())).status == 400


def test_a_bomb_of_one_member_is_refused(site: Site) -> None:
    one, giant = gzip.compress(bytes(MEBIBYTE), mtime=0), 300 * MEBIBYTE
    packed = understated(wheel(), giant)
    assert site.upload(WHEEL, packed).status == 400
    assert site.upload(SDIST, gzip.compress(PKG_INFO) + one * 300).status == 400
    head = member(b"lib-1.0/x", size=b"%011o\0" % giant)
    assert site.upload(SDIST, gzip.compress(PKG_INFO + head) + one * 301).status == 400


def test_a_bomb_of_members_that_share_their_content_is_refused(site: Site) -> None:
    assert site.upload(WHEEL, overlapping(3000, bytes(MEBIBYTE))).status == 400


def test_archives_in_archives_are_not_unpacked(site: Site) -> None:
    content = wheel(members={"bomb": bytes(10 * MEBIBYTE)})
    for _ in range(50):
        content = wheel(members={"inner.whl": content})
    # Each of them is small: nothing looks into them.
    assert site.upload(WHEEL, content).status == 200
    content = sdist(PKG_INFO)
    for _ in range(50):
        content = sdist(PKG_INFO, member(b"lib-1.0/inner.tar.gz", content))
    assert site.upload(SDIST, content).status == 200


def test_a_gzip_file_of_very_many_pieces_is_bounded(site: Site) -> None:
    assert site.upload(SDIST, gzip.compress(PKG_INFO, mtime=0) * 5000).status == 400
    assert site.upload(SDIST, VALID[SDIST] + gzip.compress(b"", mtime=0) * 5000).status == 200


def test_very_many_metadata_files_are_refused_before_they_fill_the_memory(site: Site) -> None:
    large = member(b"lib-1.0/PKG-INFO", METADATA + b"\n" + b" " * 900_000)
    assert site.upload(SDIST, sdist(*[large] * 250)).status == 400


def test_65_thousand_members_are_bounded(site: Site) -> None:
    assert site.upload(WHEEL, overlapping(10_000)).status in (200, 400)
    # Counting memory would make it four times as slow.
    site.counts_memory = False
    assert site.upload(SDIST, sdist(PKG_INFO, member(b"lib-1.0/x") * 65_000)).status in (200, 400)
    content = overlapping(65_533)
    assert site.upload("lib-1.0-2-py3-none-any.whl", content).status in (200, 400)


def test_a_list_of_members_that_is_larger_than_the_file_says_is_refused(site: Site) -> None:
    archive = wheel(members={"a": b""})
    start, entries = directory(archive)
    second = entries.index(b"PK\1\2", 4)
    number = 200_000
    entries = entries[second:] + entries[:second] * number
    # The sizes that count are in the record of ZIP64; those at the end are for old programs.
    size, here = len(entries), start + len(entries)
    large = struct.pack(
        "<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, number + 1, number + 1, size, start
    )
    large += struct.pack("<4sLQL", b"PK\6\7", 0, here, 1)
    end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, 1, 1, 46, start, 0)
    assert site.upload(WHEEL, archive[:start] + entries + large + end).status == 400


@pytest.mark.parametrize(
    ("offset", "length"), [(20, 4), (24, 4), (32, 2), (42, 4), (28, 2), (30, 2), (8, 2), (10, 2)]
)
@pytest.mark.parametrize("number", [0xFFFFFFFF, 0x7FFFFFFF, 0])
def test_a_member_that_claims_giant_sizes_or_places_is_bounded(
    site: Site, offset: int, length: int, number: int
) -> None:
    for place in (b"PK\1\2", b"PK\3\4", b"PK\5\6"):
        content = bytearray(VALID[WHEEL])
        start = content.index(place) + offset
        content[start : start + length] = number.to_bytes(4, "little")[:length]
        site.upload(WHEEL, bytes(content))


@pytest.mark.parametrize("cut", [1, 4, 8, 9, 20, 50])
@pytest.mark.parametrize("name", VALID)
def test_a_truncated_archive_is_refused(site: Site, name: str, cut: int) -> None:
    assert site.upload(name, VALID[name][:-cut]).status == 400
    assert site.upload(name, VALID[name][:cut]).status == 400


def test_a_gzip_file_with_a_wrong_checksum_or_an_open_end_is_refused(site: Site) -> None:
    for damage in (-1, -5, 3, len(VALID[SDIST]) // 2):
        content = bytearray(VALID[SDIST])
        content[damage] ^= 0xFF
        assert site.upload(SDIST, bytes(content)).status == 400
    assert site.upload(SDIST, VALID[SDIST] + b"\x1f\x8b").status == 400
    assert site.upload(SDIST, VALID[SDIST] + b"garbage").status == 400


def test_metadata_of_50_mb_is_refused(site: Site) -> None:
    giant = METADATA + b"\n" + b" " * 50 * MEBIBYTE
    assert site.upload(WHEEL, wheel(giant)).status == 400
    assert site.upload(ZIP_SDIST, zip_sdist(giant)).status == 400
    assert site.upload(SDIST, sdist(member(b"lib-1.0/PKG-INFO", giant))).status == 400


def test_metadata_of_2_mb_is_not_too_much(site: Site) -> None:
    long = METADATA + b"\n" + b"words " * (2 * MEBIBYTE // 6)
    assert site.upload(WHEEL, wheel(long)).status == 200
    assert site.upload(SDIST, sdist(member(b"lib-1.0/PKG-INFO", long))).status == 200
    later = long.replace(b"1.0", b"2.0")
    assert site.upload("lib-2.0.zip", zip_sdist(later)).status == 200


@pytest.mark.parametrize(
    "more",
    [
        b"Classifier: x\n" * 10_000,
        b"".join(b"X-%d: x\n" % number for number in range(10_000)),
        b"".join(b"X%d:\n" % number for number in range(400_000)),
        b"a:\n" * 1_000_000,
        b"Summary: x\n" + b" y\n" * 1_000_000,
        b"Summary: " + b"x" * 4_000_000 + b"\n",
        b"Summary: " + b"=?utf-8?b?eA==?= " * 100_000 + b"\n",
        b"X" * 10_000 + b": x\n",
        b"Keywords: " + b"a," * 1_000_000 + b"\n",
        b"".join(b"Project-URL: l%d, x\n" % number for number in range(100_000)),
        b"Requires-Python: " + b",".join(b">=%d" % number for number in range(300_000)) + b"\n",
        b"Requires-Python: >=" + b"9" * 1_000_000 + b"\n",
        b"Requires-Python: ==" + b"1." * 1_000_000 + b"*\n",
        b"Content-Type: message/rfc822\n\n" * 20_000,
        b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\n" * 500_000,
        b"Content-Transfer-Encoding: base64\n\n" + b"=" * 4_000_000,
        b"Content-Type: text/plain; charset=\xff\n\n\xff",
    ],
    ids=lambda more: more[:40].decode("latin-1").strip() + f" {len(more)}",
)
def test_metadata_made_to_keep_a_parser_busy_is_bounded(site: Site, more: bytes) -> None:
    assert site.upload(WHEEL, wheel(METADATA + more)).status in (200, 400)
    # What it says must not swell the pages.
    for page in (site.folder / "pypi_index" / "simple").rglob("index.*"):
        assert page.stat().st_size < 100_000


@pytest.mark.parametrize("junk", [b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\x1b[31m", b"\x85", b"\r"])
def test_metadata_with_bytes_that_are_no_text_is_bounded(site: Site, junk: bytes) -> None:
    for line in (b"Summary: ", b"Requires-Python: >=3", b"X-", b"Dynamic: ", b"\n"):
        site.upload(WHEEL, wheel(METADATA + line + junk + b"\n"))
        (site.data / WHEEL).unlink(missing_ok=True)
        site._index.refresh()
    for field in (b"lib", b"1.0", b"2.2"):
        name = f"lib-{len(field)}-py3-none-any.whl"
        site.upload(name, wheel(METADATA.replace(field, field + junk)))


NEGATIVE = [-1, -512, -1024, -(2**31), -(2**62)]


@pytest.mark.parametrize("size", NEGATIVE)
def test_a_tar_member_that_leads_backwards_does_not_go_round_for_ever(
    site: Site, size: int
) -> None:
    for kind in (b"0", b"5", b"2", b"7", b"Z", b"L", b"x", b"g", b"S"):
        backwards = member(b"y", kind=kind, size=base256(size))
        assert site.upload(SDIST, sdist(PKG_INFO, backwards)).status in (200, 400, 409)
    header = pax(b"size", b"%d" % size)
    site.upload("lib-1.0.1.tar.gz", sdist(PKG_INFO, header, member(b"y")))


@pytest.mark.parametrize("size", [2**20, 2**31, 2**40, 2**62])
def test_a_tar_header_that_claims_to_be_giant_is_refused(site: Site, size: int) -> None:
    for kind in (b"L", b"K", b"x", b"g", b"X", b"0"):
        giant = member(b"y", kind=kind, size=base256(size))
        assert site.upload(SDIST, sdist(giant, PKG_INFO)).status == 400
        assert site.upload(SDIST, sdist(PKG_INFO, giant)).status == 400


def pax(key: bytes, value: bytes) -> bytes:
    """Return a header of pax for the member behind it."""
    return member(b"pax", pax_record(key, value), b"x")


def pax_record(key: bytes, value: bytes) -> bytes:
    """Return what such a header consists of."""
    length = len(key) + len(value) + 3
    while len(record := b"%d %b=%b\n" % (length, key, value)) != length:
        length = len(record)
    return record


def test_a_tar_header_made_to_keep_a_parser_busy_is_bounded(site: Site) -> None:
    digits = member(b"pax", b"1" * (MEBIBYTE - 512), b"x")
    assert site.upload(SDIST, sdist(digits, PKG_INFO)).status in (200, 400)


def test_tar_headers_that_are_kept_in_memory_are_bounded(site: Site) -> None:
    records = b"".join(pax_record(b"key%d" % number, b"") for number in range(60_000))
    globals_ = [
        member(b"pax", records.replace(b"key", b"k%02d" % number), b"g") for number in range(90)
    ]
    assert site.upload(SDIST, sdist(*globals_, PKG_INFO)).status in (200, 400)


def test_a_chain_of_tar_headers_is_refused(site: Site) -> None:
    long_name = member(b"L", b"a\0", b"L")
    assert site.upload(SDIST, sdist(long_name * 5000, PKG_INFO)).status == 400


def test_a_sparse_tar_member_with_a_giant_map_is_bounded(site: Site) -> None:
    header = bytearray(member(b"lib-1.0/sparse", kind=b"S"))
    header[386:410] = b"%011o\0%011o\0" % (1, 1)
    header[482] = 1
    extension = b"%011o\0%011o\0" % (1, 1) * 21 + b"\1" + bytes(7)
    content = sdist(sealed(header), extension * 400_000, PKG_INFO)
    assert site.upload(SDIST, content).status == 400


def test_a_sparse_tar_member_of_pax_with_a_giant_map_is_bounded(site: Site) -> None:
    version = pax_record(b"GNU.sparse.major", b"1") + pax_record(b"GNU.sparse.minor", b"0")
    numbers = b"99999999\n" + b"999\n" * (10 * MEBIBYTE)
    content = sdist(member(b"pax", version, b"x"), member(b"lib-1.0/sparse", numbers), PKG_INFO)
    assert site.upload(SDIST, content).status == 400


def test_a_pkg_info_that_is_no_file_is_refused_without_looking_for_what_it_leads_to(
    site: Site,
) -> None:
    many = member(b"lib-1.0/x") * 250_000
    for kind in (b"1", b"2"):
        for target in (b"lib-1.0/x", b"lib-1.0/PKG-INFO", b"../../../etc/passwd", b"/etc/passwd"):
            link = member(b"lib-1.0/PKG-INFO", kind=kind, link=target)
            assert site.upload(SDIST, sdist(link)).status == 400
        assert site.upload(SDIST, sdist(link, many)).status == 400
    for kind in (b"3", b"4", b"5", b"6"):
        assert site.upload(SDIST, sdist(member(b"lib-1.0/PKG-INFO", kind=kind))).status == 400


def test_members_that_lead_out_of_an_archive_or_are_devices_are_refused(site: Site) -> None:
    names = [b"../../x", b"/tmp/x", b"lib-1.0/../../x", b".."]
    members = [member(name, b"x") for name in names]
    members += [member(b"lib-1.0/l", kind=kind, link=b"../../../x") for kind in (b"1", b"2")]
    members += [member(b"lib-1.0/device", kind=kind) for kind in (b"3", b"4", b"6")]
    for one in members:
        assert site.upload(SDIST, sdist(PKG_INFO, one)).status == 400
    for name in names:
        assert site.upload(WHEEL, wheel(members={name.decode(): b"x"})).status == 400
    assert site.upload(SDIST, sdist(PKG_INFO, member(b".journal.jsonl", b"x"))).status == 200
    assert site.upload(WHEEL, wheel(members={".journal.jsonl": b"x"})).status == 200


@pytest.mark.parametrize("kind", tarfile.SUPPORTED_TYPES)
def test_every_kind_of_tar_member_is_bounded(site: Site, kind: bytes) -> None:
    for content in (b"", b"x" * 600, b"\xff" * 512):
        site.upload(SDIST, sdist(member(b"lib-1.0/y", content, kind), PKG_INFO))
        site.upload("lib-2.0.tar.gz", sdist(member(b"lib-2.0/PKG-INFO", content, kind)))


# URLs and headers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "accept",
    [
        "text/html;q=.",
        "text/html;q=1.",
        "text/html;q=",
        "text/html;q=nan",
        "text/html;q=-1",
        "text/html;q=1e999",
        ";;;,,,===",
        "*/*;" * 2000,
        "\xe9",
        "application/vnd.pypi.simple.v1+json;q=\xb2",
    ],
)
def test_an_accept_header_of_any_kind_gets_a_page(site: Site, accept: str) -> None:
    site.upload(SDIST, VALID[SDIST])
    assert site.call("GET", b"/simple/", HTTP_ACCEPT=accept).status == 200
    assert site.call("GET", b"/simple/lib/", HTTP_ACCEPT=accept).status == 200


@pytest.mark.parametrize(
    "host",
    [None, "", "[", "]", "[::1", "a b", "a/../b", "a@b", "@", ":x", "\xe9", "a" * 5000, "a?b#c"],
)
def test_a_host_header_of_any_kind_is_no_fault_of_the_server(site: Site, host: str | None) -> None:
    for path in (b"/", b"/x", b"/x/", b"/simple", b"/simple/X/", b"/packages", b"/lib/json"):
        site.call("GET", path, HTTP_HOST=host)
        site.call("GET", path, HTTP_X_FORWARDED_HOST=host)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/packages/€",
            "/packages/é",
            "/packages/../pypi_data/lib",
            "/packages/..",
            "/packages/.",
        ),
        *("/packages//etc/passwd", "/packages/.uploads/x", "/packages/\0", "/packages/a\nb"),
        *("/packages/%2e%2e/x", "/packages/..\\x", "/packages/./lib-1.0.tar.gz", "/packages/x/"),
        *("/simple/é/", "/simple/é", "/simple/a b/", "/simple/a b", "/simple/../", "/simple/./"),
        *(
            "/simple/%C3%A9/",
            "/simple/%/",
            "/simple/-/",
            "/simple/---",
            "/simple/\0/",
            "/simple/a\n/",
        ),
        *("/simple/a:b/", "/simple/@/", "/simple/a?/", "/simple//", "/simple//x/", "//simple/x/"),
        *("/é", "/é/", "/a b", "/..", "/../x", "/a\r\nb", "/a\r\nb/", "/%2e%2e/x", "/a;b/", "//"),
        *("/é/json", "/a b/json", "/../json", "/a\r\nb/json", "/-/json", "/\u2028"),
    ],
)
def test_a_url_of_nothing_leads_to_404_and_not_round_for_ever(
    settings: Settings, path: str
) -> None:
    site = Site(replace(settings, redirect=False))
    site.upload(SDIST, VALID[SDIST])
    assert site.follow(path.encode()).status in (400, 404)


# Attestations ------------------------------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        [
            *(
                "YQ==",
                SDIST,
                "1",
                "é",
                "\ud800",
                "\0",
                "9" * 400,
                "https://in-toto.io/Statement/v1",
            ),
            *(attestation.PUBLISH, "x" * 5000),
        ]
    )
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where each value within a value is."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def put(whole: Any, path: tuple[Any, ...], value: object) -> Any:
    """Return a copy of a value with another one within it."""
    if not path:
        return value
    copy = dict(whole) if isinstance(whole, dict) else list(whole)
    copy[path[0]] = put(whole[path[0]], path[1:], value)
    return copy


@examples(400)
@given(st.data())
def test_attestations_of_which_anything_is_changed_are_kept_whole_or_refused(
    site: Site, data: st.DataObject
) -> None:
    said = attestation.statement(SDIST, hashlib.sha256(VALID[SDIST]).hexdigest())
    if data.draw(st.booleans()):
        said = put(said, data.draw(st.sampled_from(list(places(said)))), data.draw(values))
    one = attestation.around(said)
    if data.draw(st.booleans()):
        one = put(one, data.draw(st.sampled_from(list(places(one)))), data.draw(values))
    text = json.dumps([one])

    answer = site.upload(SDIST, VALID[SDIST], {"attestations": text})

    assert answer.status in (200, 400)
    if answer.status == 200:
        kept = (site.data / f"{SDIST}.provenance").read_bytes()
        (bundle,) = json.loads(kept)["attestation_bundles"]
        assert bundle["attestations"] == json.loads(text)
        site.remove("lib", "1.0")
    assert site.listed() == {}


@examples(300)
@given(st.binary(max_size=300) | st.text('[]{}",:0e\\u', max_size=300).map(str.encode))
def test_random_attestations_are_refused(site: Site, text: bytes) -> None:
    parts = [part(":action", "file_upload"), part("content", VALID[SDIST], SDIST)]

    answer = site.send([*parts, part("attestations", text)])

    assert answer.status == 400
    assert site.listed() == {}


# Random search ------------------------------------------------------------------------------------

nasty = st.sampled_from(
    [
        *TRAVERSALS,
        *CONTROLS,
        *UNICODE[:-1],
        WHEEL,
        SDIST,
        "",
        '"',
        "\\",
        ";",
        ": ",
        "a" * 300,
        BOUNDARY,
    ]
)
texts = nasty | st.text(max_size=30) | st.builds("{}{}".format, nasty, nasty)
blobs = st.binary(max_size=60) | st.sampled_from(list(VALID.values())) | texts.map(str.encode)
fields = (
    st.sampled_from(
        [":action", "content", "gpg_signature", "attestations", "name", "sha256_digest"]
    )
    | texts
)
file_names = (
    st.sampled_from([*VALID, f"{SDIST}.asc", "lib-1.0-1-py3-none-any.whl", "LIB-1.tar.gz"]) | texts
)


@st.composite
def parts_(draw: st.DrawFn) -> bytes:
    """Draw a part of a form, most often with headers that are right."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=80))
    file = f'; filename="{draw(file_names)}"' if draw(st.booleans()) else ""
    more = draw(st.sampled_from(["", "Content-Type: x/y\r\n", "Content-Length: 9\r\n", "\t x\r\n"]))
    head = f'Content-Disposition: form-data; name="{draw(fields)}"{file}\r\n{more}\r\n'
    return head.encode(errors="replace") + draw(blobs)


UPLOAD = [part(":action", "file_upload"), part("content", VALID[SDIST], SDIST)]


@examples(250)
@given(
    st.lists(parts_(), max_size=4),
    st.sampled_from([[], UPLOAD[:1], UPLOAD]),
    st.sampled_from([BOUNDARY, "x", "=_", "a" * 200, "é", "'()+_,-./:=?"]),
    st.sampled_from([0, 0, 0, 0, -1, -30, 1, 1000]),
)
def test_random_forms(
    site: Site, parts: list[bytes], valid: list[bytes], boundary: str, more: int
) -> None:
    body = multipart([*valid, *parts], boundary)
    before = site.tree()
    sent = boundary.encode().decode("latin-1")

    answer = site.call(
        "POST",
        b"/",
        body,
        CONTENT_TYPE=f'multipart/form-data; boundary="{sent}"',
        CONTENT_LENGTH=str(max(0, len(body) + more)),
    )

    if answer.status == 200:
        site.check_published(before)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Draw what becomes of bytes of which some are flipped, cut out, doubled or replaced."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(changed) - 1)))
        length = draw(st.sampled_from([1, 1, 2, 4, 8, 12, 30, 512]))
        how = draw(st.sampled_from(["flip", "cut", "double", "number", "random", "truncate"]))
        chunk = changed[start : start + length]
        if how == "flip" and chunk:
            changed[start] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del changed[start : start + length]
        elif how == "double":
            changed[start:start] = chunk * draw(st.sampled_from([1, 2, 100]))
        elif how == "number":
            number = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
            changed[start : start + len(chunk)] = bytes([number]) * len(chunk)
        elif how == "random":
            changed[start : start + length] = draw(st.binary(max_size=length))
        elif how == "truncate":
            del changed[max(start, 1) :]
    return bytes(changed)


@examples(250)
@given(st.data(), st.sampled_from(list(VALID)))
def test_random_damage_to_an_archive(site: Site, data: st.DataObject, name: str) -> None:
    site.upload(name, data.draw(damaged(VALID[name])))


@examples(250)
@given(st.data())
def test_random_damage_to_what_a_gzip_file_holds(site: Site, data: st.DataObject) -> None:
    members = PKG_INFO + pax(b"path", b"x") + member(b"y", b"z") + member(b"L", b"z\0", b"L")
    headers = range(0, len(members), 512)
    content = bytearray(data.draw(damaged(members)))
    for start in headers:
        # Only a header with the right checksum is looked at.
        if data.draw(st.booleans()) and content[start + 257 : start + 262] == b"ustar":
            content[start : start + 512] = sealed(content[start : start + 512])
    site.upload(SDIST, sdist(bytes(content)))


@examples(150)
@given(st.data())
def test_random_damage_to_a_whole_request(site: Site, data: st.DataObject) -> None:
    before = site.tree()
    body = data.draw(damaged(multipart(UPLOAD)))
    kind = TYPE
    if site.call("POST", b"/", body, CONTENT_TYPE=kind).status == 200:
        site.check_published(before)


keys = st.sampled_from(
    [
        *("Metadata-Version", "Name", "Version", "Requires-Python", "Dynamic", "Keywords"),
        *("Project-URL", "Classifier", "Content-Type", "Description", "X"),
    ]
)
values = st.sampled_from(
    ["lib", "1.0", "2.2", ">=3", "==1.*", "1e9", "multipart/mixed; boundary=x", "message/rfc822"]
)


@examples(200)
@given(
    st.lists(st.tuples(keys | texts, values | texts), max_size=6),
    st.sampled_from([METADATA, b""]),
    st.binary(max_size=40),
    st.integers(0, 10**6),
)
def test_random_metadata(
    site: Site, lines: list[tuple[str, str]], start: bytes, rest: bytes, version: int
) -> None:
    text = "".join(f"{key}: {value}\n" for key, value in lines).encode(errors="surrogatepass")
    metadata = start.replace(b"1.0", b"%d" % version) + text + rest
    site.upload(f"lib-{version}-py3-none-any.whl", wheel(metadata))


METHODS = [
    "GET",
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "TRACE",
    "BREW",
    "get",
]
segments = st.sampled_from(
    [
        *(b"simple", b"packages", b"lib", b"LIB", b"json", b"RPC2", b"health", b"favicon.ico"),
        *(SDIST.encode(), SDIST.encode() + b".metadata", b"index.html", b"index.sqlite3", b""),
        *(b"..", b".", b"%2e%2e", b"\0", b"\xc0\xaf", b"\\", b"a" * 256, b".uploads", b"~", b"*"),
    ]
) | st.binary(max_size=12)
paths = st.lists(segments, max_size=5).map(lambda found: b"/" + b"/".join(found))
# What gunicorn lets through as the value of a header, or in a query.
header_values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=40).map(
    lambda text: re.sub("[\x7f-\x9f]", "", text)
)
HEADERS = {
    "HTTP_ACCEPT": ["text/html;q=0", "*/*", "application/vnd.pypi.simple.latest+json;q=.5"],
    "HTTP_RANGE": ["bytes=0-", "bytes=-1", "bytes=9-1", "bytes=,-", "bytes=0-0,2-2", "x"],
    "HTTP_IF_NONE_MATCH": ["*", '"x"', 'W/"x"', '"', ",,"],
    "HTTP_IF_MODIFIED_SINCE": ["Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 99 Foo 99999 99:99:99 +99"],
    "HTTP_IF_RANGE": ['"x"'],
    "HTTP_AUTHORIZATION": ["Basic", "Basic ====", "Basic Og==", "Basic \xe9", "Bearer x", ""],
    "HTTP_HOST": ["[", "::", "x:99999999", ""],
    "HTTP_X_FORWARDED_PROTO": ["https", "javascript"],
    "HTTP_TRANSFER_ENCODING": ["chunked", "gzip, chunked"],
    "HTTP_COOKIE": ["x=y; ;=", '!x?y="'],
    "HTTP_EXPECT": ["100-continue"],
    "HTTP_CONTENT_ENCODING": ["gzip"],
    "CONTENT_TYPE": ["text/plain", TYPE, "\xe9"],
}
headers = st.dictionaries(st.sampled_from(list(HEADERS)), st.just(None), max_size=3).flatmap(
    lambda names: st.fixed_dictionaries(
        {name: st.sampled_from(HEADERS[name]) | header_values for name in names}
    )
)


@examples(300)
@given(
    st.sampled_from(METHODS),
    paths,
    header_values.map(lambda text: text.replace(" ", "+"))
    | st.sampled_from(["format=", "format=%00"]),
    headers,
    st.binary(max_size=20),
)
def test_random_urls_and_headers(
    site: Site, method: str, path: bytes, query: str, headers: dict[str, str], body: bytes
) -> None:
    if not (site.data / SDIST).exists():
        site.upload(SDIST, VALID[SDIST])
    body = b"" if method in ("GET", "HEAD") else body
    assert site.call(method, path, body, QUERY_STRING=query, **headers).status != 500
    site.follow(path, query)
    assert list(site.listed()) == [SDIST]


def test_refused_requests_leave_nothing_in_memory(site: Site) -> None:
    def refuse(number: int) -> None:
        site.upload(f"x{number}-1.0.tar.gz", b"x")
        site.upload(f"x{number}", VALID[SDIST])
        site.send([part(f"{number}{'x' * 1000}", "x" * 1000)])
        for path in (b"/packages/x%d", b"/simple/x%d/", b"/x%d", b"/x%d/json", b"/a/b/x%d"):
            site.call("GET", path % number)

    def forget() -> None:
        # Python keeps some hundred patterns and URLs, whatever they are.
        re.purge()
        urllib.parse.clear_cache()  # type: ignore[attr-defined]
        gc.collect()

    tracemalloc.start()
    try:
        for number in range(20):
            refuse(number)
        forget()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(20, 80):
            refuse(number)
        forget()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 60 * 1000
