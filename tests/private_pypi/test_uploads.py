"""The reader of upload forms: what it takes in, what that costs, and what it refuses."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, Any

import pytest
from kit import wheel
from kit.forms import part
from private_pypi import attestations, uploads
from private_pypi.body import Body
from private_pypi.distribution import DistributionError
from private_pypi.hosting import Pypiserver
from private_pypi.index import Index
from private_pypi.layout import UPLOADS
from private_pypi.settings import Settings
from private_pypi.slots import UploadSlots
from private_pypi.uploads import (
    FORM,
    SIGNATURE,
    Form,
    FormError,
    TooLargeError,
    delete_abandoned,
    read_form,
)

Publish = Callable[..., None]
MEGABYTE = 2**20
TYPE = "multipart/form-data; boundary=x"
END = b"--x--\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder of unfinished uploads."""
    folder = tmp_path / "pypi_data" / UPLOADS
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def publish(folder: Path, settings: Settings) -> Publish:
    """Sends a form of a distribution, in fields, as the application does."""

    def send(*fields: bytes) -> None:
        index = Index(settings.data, settings.index)
        index.refresh()
        body = environ(b"".join([text(":action", "file_upload"), *fields, END]))
        with closing(read_form(body, folder, MEGABYTE)) as form:
            assert Pypiserver(settings, index).publish(form, "alice").status == 200

    return send


def text(name: str, value: str | bytes) -> bytes:
    """Return a text field of a form."""
    return b"--x\r\n%b\r\n" % part(name, value)


def file(content: bytes, name: str = "content", filename: str = "lib-1.0.tar.gz") -> bytes:
    """Return a file field of a form."""
    return b"--x\r\n%b\r\n" % part(name, content, filename)


def environ(
    body: bytes | io.RawIOBase | io.BytesIO, *, length: int | None = None, kind: str = TYPE
) -> dict[str, Any]:
    """Return the environment of a request with that body."""
    if isinstance(body, bytes):
        length = len(body) if length is None else length
        body = io.BytesIO(body)
    made: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(length),
        "wsgi.input": body,
    }
    return {**made, "wsgi.input": Body(made)}


def left(folder: Path) -> list[str]:
    """Return the names of the unfinished uploads."""
    return sorted(path.name for path in folder.iterdir())


# What is taken in ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1000, 2**18 - 100, 2**18, 3 * 2**18 + 1])
def test_a_file_comes_to_the_disk_byte_for_byte_and_is_read_from_its_start(
    folder: Path, size: int
) -> None:
    content = os.urandom(size)

    form = read_form(environ(file(content) + END), folder, MEGABYTE)

    upload = form.distribution
    assert upload
    assert upload.name == "lib-1.0.tar.gz"
    assert upload.content.read() == content
    assert Path(upload.content.name).parent == folder
    assert Path(upload.content.name).read_bytes() == content
    form.close()


@pytest.mark.parametrize(
    "content", [b"\r\n", b"\r\n--x", b"--x--\r\n", b"\r\n--", b"\r\n--y\r\n", b"\r" * 300_000]
)
def test_a_file_may_hold_what_looks_like_the_end_of_a_field(folder: Path, content: bytes) -> None:
    body = (file(content) + END).replace(b"--x\r\n", b"--xyz123\r\n", 1)
    body = body.removesuffix(END) + b"--xyz123--\r\n"

    form = read_form(environ(body, kind='multipart/form-data; boundary="xyz123"'), folder, MEGABYTE)

    assert form.distribution
    assert form.distribution.content.read() == content
    form.close()


def test_text_is_text_whatever_its_bytes_and_only_what_is_read_is_kept(folder: Path) -> None:
    body = text(":action", "Größe: 5 €") + text("md5_digest", "a") + text("md5_digest", "b")
    body += text("sha256_digest", b"a\xffb\0") + text("blake2_256_digest", "")
    body += text("classifiers", "A") * 2 + text("content", "no file") + END

    form = read_form(environ(body), folder, MEGABYTE)

    assert form == Form(
        action="Größe: 5 €",
        digests={"md5": "b", "sha256": "a\ufffdb\0", "blake2_256": ""},
    )
    assert left(folder) == []


@pytest.mark.parametrize("name", [":action", "description"])
def test_text_takes_no_memory_while_an_upload_waits(folder: Path, name: str) -> None:
    # Python holds all letters of a text as large as the largest.
    long = text(name, "\U0001d538".ljust(FORM // 2000 - 200, "x")) * 2000
    body = environ(long + file(b"x") + END)
    tracemalloc.start()

    form = read_form(body, folder, MEGABYTE)

    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    form.close()
    assert kept < FORM // 40


def test_a_file_nobody_asked_for_is_text_and_takes_no_disk(folder: Path) -> None:
    form = read_form(environ(file(b"x", name="sha256_digest") + END), folder, MEGABYTE)

    assert form == Form(digests={"sha256": "x"})
    assert left(folder) == []


def test_a_closed_form_leaves_nothing_on_the_disk(folder: Path) -> None:
    body = file(b"x") + text("name", "lib") + file(b"s", "gpg_signature", "lib-1.0.tar.gz.asc")
    form = read_form(environ(body + END), folder, MEGABYTE)
    assert len(left(folder)) == 2

    form.close()

    assert left(folder) == []


def test_what_is_published_stays_when_its_form_is_closed(folder: Path) -> None:
    form = read_form(environ(file(b"content") + END), folder, MEGABYTE)
    assert form.distribution
    os.link(form.distribution.content.name, folder.parent / "lib-1.0.tar.gz")

    form.close()

    assert (folder.parent / "lib-1.0.tar.gz").read_bytes() == b"content"
    assert left(folder) == []


class Endless(io.RawIOBase):
    """A body that is made while it is read; it notes how much of it lay on the disk by then."""

    def __init__(self, head: bytes, size: int, tail: bytes, folder: Path) -> None:
        self._parts = [io.BytesIO(head), None, io.BytesIO(tail)]
        self._left = size
        self._folder = folder
        self.length = len(head) + size + len(tail)
        self.on_disk: list[int] = []

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= MEGABYTE, "it would hold all of it in memory"
        self.on_disk += [path.stat().st_size for path in self._folder.iterdir()]
        for piece in self._parts:
            if piece is None and self._left:
                size = min(size, self._left)
                self._left -= size
                return bytes(size)
            if piece and (chunk := piece.read(size)):
                return chunk
        return b""


def endless(folder: Path, size: int, *, name: str = "content") -> Endless:
    """Return the body of a form with so many bytes in one field."""
    field = file(b"!") if name == "content" else text(name, "!")
    before, after = field.split(b"!")
    return Endless(before, size, after + END, folder)


def test_a_large_file_goes_to_the_disk_while_it_arrives_and_never_into_memory(folder: Path) -> None:
    body = endless(folder, 64 * MEGABYTE)
    tracemalloc.start()

    form = read_form(environ(body, length=body.length), folder, 64 * MEGABYTE)

    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 * MEGABYTE
    assert body.on_disk == sorted(body.on_disk)
    assert body.on_disk[-1] > 63 * MEGABYTE
    assert form.distribution
    assert Path(form.distribution.content.name).stat().st_size == 64 * MEGABYTE
    form.close()


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/mixed; boundary=x",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "; boundary=x",
    ],
)
def test_what_is_no_form_is_told_what_to_send(folder: Path, kind: str) -> None:
    with pytest.raises(FormError) as refusal:
        read_form(environ(file(b"x") + END, kind=kind), folder, MEGABYTE)

    assert str(refusal.value) == (
        "Send the upload as multipart/form-data, as twine, uv and Poetry do."
    )


@pytest.mark.parametrize("length", ["", None])
def test_a_request_that_says_no_length_is_no_form(folder: Path, length: str | None) -> None:
    request = environ(b"")
    request.pop("CONTENT_LENGTH")
    if length is not None:
        request["CONTENT_LENGTH"] = length

    with pytest.raises(FormError):
        read_form(request, folder, MEGABYTE)


@pytest.mark.parametrize(
    "body",
    [
        b"nonsense",
        b"--x\r\n\r\nno head\r\n" + END,
        b"--x\r\nContent-Disposition: attachment\r\n\r\n\r\n" + END,
        b"--x\nContent-Disposition: form-data; name=a\n\n\n--x--\n",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n' + b"A: b\r\n" * 20 + b"\r\n" + END,
        b"--x\r\nContent-Disposition: form-data; name=" + b"a" * 10_000 + b"\r\n\r\n\r\n" + END,
        b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\r\n' + END,
        b"--x\r\nno colon\r\n\r\n\r\n" + END,
        file(b"x") + text("a", "b") + b"--xx" + END,
    ],
)
def test_a_form_that_is_broken_but_whole_is_called_broken(folder: Path, body: bytes) -> None:
    with pytest.raises(FormError, match=r"^This is not an upload form: [ -~]*\.$"):
        read_form(environ(body), folder, MEGABYTE)

    assert left(folder) == []


WHOLE = text(":action", "file_upload") + file(b"x" * 500_000) + text("name", "lib") + END


@pytest.mark.parametrize("kept", [0, 1, 100, 200, 2**18, len(WHOLE) - 80, len(WHOLE) - 5])
def test_a_form_that_ends_early_is_told_to_be_sent_again(folder: Path, kept: int) -> None:
    with pytest.raises(FormError) as refusal:
        read_form(environ(WHOLE[:kept], length=len(WHOLE)), folder, MEGABYTE)

    assert str(refusal.value) == "The upload ended early: send it again."
    assert left(folder) == []


def test_a_file_may_be_as_large_as_the_limit_and_no_byte_larger(folder: Path) -> None:
    read_form(environ(file(b"x" * 1000) + END), folder, 1000).close()

    with pytest.raises(TooLargeError):
        read_form(environ(file(b"x" * 1001) + END), folder, 1000)

    assert left(folder) == []


def test_a_signature_may_have_64_kb_and_no_byte_more_however_much_a_file_may_have(
    folder: Path,
) -> None:
    most, name = b"x" * SIGNATURE, "gpg_signature"
    read_form(environ(file(most, name) + END), folder, MEGABYTE).close()

    with pytest.raises(FormError) as refusal:
        read_form(environ(file(most + b"x", name) + END), folder, MEGABYTE)

    assert SIGNATURE == 64 * 1024
    assert str(refusal.value) == (
        "The signature has more than 64 kB: send a detached one, as gpg --detach-sign makes it."
    )
    assert left(folder) == []


def test_attestations_may_have_64_kb_and_no_byte_more(folder: Path) -> None:
    most = b"x" * attestations.FORM
    form = read_form(environ(text("attestations", most) + END), folder, MEGABYTE)
    assert form.attestations == most

    with pytest.raises(FormError) as refusal:
        read_form(environ(text("attestations", most + b"x") + END), folder, MEGABYTE)

    assert attestations.FORM == 64 * 1024
    assert str(refusal.value) == "The attestations have more than 64 kB: send fewer."


def test_a_form_has_one_field_of_attestations_at_the_most(folder: Path) -> None:
    assert read_form(environ(text("name", "lib") + END), folder, MEGABYTE).attestations is None
    for one in (text("attestations", ""), file(b"", "attestations", "x.json")):
        assert read_form(environ(one + END), folder, MEGABYTE).attestations == b""

        with pytest.raises(FormError) as refusal:
            read_form(environ(one + text("attestations", "[]") + END), folder, MEGABYTE)

        assert str(refusal.value) == (
            "The form has more than one field attestations: send one JSON array."
        )


def test_a_file_that_is_too_large_is_not_written_to_its_end(folder: Path) -> None:
    body = endless(folder, 64 * MEGABYTE)

    with pytest.raises(TooLargeError):
        read_form(environ(body, length=body.length), folder, MEGABYTE)

    assert max(body.on_disk) <= MEGABYTE
    assert left(folder) == []


def test_text_may_have_four_megabytes_in_all_and_no_byte_more(folder: Path) -> None:
    half = b"x" * (FORM // 2)
    read_form(environ(text("a", half) + text("b", half) + END), folder, 10).close()

    with pytest.raises(FormError) as refusal:
        read_form(environ(text("a", half) + text("b", half + b"x") + END), folder, 10)

    assert FORM == 4 * MEGABYTE
    assert str(refusal.value) == "The form has more than 4 MB of text: shorten the description."


def test_text_beyond_the_limit_is_not_kept_in_memory(folder: Path) -> None:
    body = endless(folder, 64 * MEGABYTE, name="description")
    tracemalloc.start()

    with pytest.raises(FormError):
        read_form(environ(body, length=body.length), folder, 10)

    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8 * FORM


@pytest.mark.parametrize("value", ["", "x" * 50])
def test_a_form_may_have_ten_thousand_fields_and_not_one_more(folder: Path, value: str) -> None:
    read_form(environ(text("a", value) * 10_000 + END), folder, MEGABYTE)

    with pytest.raises(FormError, match=r"^The form has more than 10,000 fields: send fewer\.$"):
        read_form(environ(file(b"x") + text("a", value) * 10_000 + END), folder, MEGABYTE)

    assert left(folder) == []


@pytest.mark.parametrize("name", ["content", "gpg_signature"])
def test_a_form_has_one_distribution_and_one_signature_at_the_most(folder: Path, name: str) -> None:
    with pytest.raises(FormError) as refusal:
        read_form(environ(file(b"one", name) + file(b"two", name) + END), folder, MEGABYTE)

    assert str(refusal.value) == f"The form has more than one file {name}: send one."
    assert left(folder) == []


@pytest.mark.parametrize("filename", ["a\x1b[2Jb", "a\tb-1.0.tar.gz", "a\x7f", "a\x00b", "a\x9bb"])
def test_a_name_with_control_characters_is_refused_without_repeating_them(
    folder: Path, publish: Publish, filename: str
) -> None:
    with pytest.raises((FormError, DistributionError)) as refusal:
        publish(file(b"x", filename=filename))

    assert str(refusal.value).isprintable()
    assert left(folder) == []


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\x00b", "../a", "content\x00"])
def test_the_name_of_a_field_is_never_the_name_of_a_file(folder: Path, name: str) -> None:
    form = read_form(environ(file(b"x", name) + text(name, "y") + END), folder, MEGABYTE)

    assert form == Form()
    assert left(folder) == []


def test_a_disk_that_is_full_leaves_nothing_of_the_form(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = uploads.create

    def limited(folder: Path) -> IO[bytes]:
        unfinished = create(folder)

        def write(_: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        unfinished.write = write  # type: ignore[assignment,method-assign]
        return unfinished

    monkeypatch.setattr(uploads, "create", limited)

    with pytest.raises(OSError, match="No space left"):
        read_form(environ(file(b"x") + END), folder, MEGABYTE)

    assert left(folder) == []


# Slots --------------------------------------------------------------------------------------------


def fill(stack: ExitStack, slots: UploadSlots, account: str) -> int:
    """Hold as many slots as an account gets; return how many."""
    count = 0
    while stack.enter_context(slots.slot(account)):
        count += 1
    return count


@pytest.mark.parametrize("places", [2, 8, 24, 25])
def test_an_account_alone_gets_half_of_the_places_and_leaves_the_others_free(places: int) -> None:
    with ExitStack() as stack:
        assert fill(stack, UploadSlots(places), "alice") == (places + 1) // 2


def test_each_who_fills_what_it_can_leaves_some_to_the_next() -> None:
    slots = UploadSlots(24)
    with ExitStack() as stack:
        assert [fill(stack, slots, name) for name in "abcde"] == [12, 6, 3, 2, 1]
        assert fill(stack, slots, "f") == 0


def test_a_place_that_was_given_back_is_free_for_whoever_has_fewest() -> None:
    slots = UploadSlots(4)
    with ExitStack() as stack:
        assert fill(stack, slots, "alice") == 2
        assert fill(stack, slots, "bob") == 1
        with ExitStack() as more:
            assert fill(more, slots, "carla") == 1
            assert fill(stack, slots, "dave") == 0
        assert fill(stack, slots, "alice") == 0
        assert fill(stack, slots, "dave") == 1

    with ExitStack() as stack:
        assert fill(stack, slots, "alice") == 2


# Digests ------------------------------------------------------------------------------------------


def upload(publish: Publish, path: Path, digests: dict[str, str]) -> None:
    """Send a distribution with digests."""
    fields = [text(f"{name}_digest", value) for name, value in digests.items()]
    publish(file(path.read_bytes(), filename=path.name), *fields)


def digests(content: bytes) -> dict[str, str]:
    """Return the digests that clients send."""
    return {
        "md5": hashlib.md5(content).hexdigest(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "blake2_256": hashlib.blake2b(content, digest_size=32).hexdigest(),
    }


@pytest.mark.parametrize("names", [[], ["sha256"], ["md5", "sha256", "blake2_256"]])
@pytest.mark.parametrize("spell", [str.lower, str.upper])
def test_a_distribution_with_the_digests_its_client_sent_is_published(
    folder: Path, publish: Publish, tmp_path: Path, names: list[str], spell: Any
) -> None:
    path = wheel.build(tmp_path, "lib", "1.0", origin="us")
    right = digests(path.read_bytes())

    upload(publish, path, {name: spell(right[name]) for name in names})

    assert (folder.parent / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["md5", "sha256", "blake2_256"])
@pytest.mark.parametrize("wrong", ["0" * 64, "nonsense", "\u0660" * 64])
def test_a_distribution_that_was_damaged_on_its_way_is_refused(
    folder: Path, publish: Publish, tmp_path: Path, name: str, wrong: str
) -> None:
    path = wheel.build(tmp_path, "lib", "1.0", origin="us")
    right = digests(path.read_bytes())

    with pytest.raises(DistributionError) as refusal:
        upload(publish, path, {**right, name: wrong})

    assert str(refusal.value) == (
        f"{path.name} was damaged on its way: its {name} digest is not the one that was sent;"
        " send it again"
    )
    assert not (folder.parent / path.name).exists()
    assert left(folder) == []


def test_an_empty_digest_counts_as_none(folder: Path, publish: Publish, tmp_path: Path) -> None:
    path = wheel.build(tmp_path, "lib", "1.0", origin="us")

    upload(publish, path, {"md5": "", "sha256": "", "blake2_256": ""})

    assert (folder.parent / path.name).exists()


# What is left behind ------------------------------------------------------------------------------


def test_what_nobody_writes_any_more_is_deleted_and_what_somebody_writes_is_kept(
    folder: Path,
) -> None:
    (folder / "abandoned").write_bytes(b"x")
    with uploads.create(folder) as written:
        delete_abandoned(folder)
        assert left(folder) == [Path(written.name).name]

    assert left(folder) == []


WRITER = """
import os, sys
from pathlib import Path
from private_pypi import uploads
from private_pypi.body import Body
unfinished = uploads.create(Path(sys.argv[1]))
print(Path(unfinished.name).name, flush=True)
sys.stdin.read()
os._exit(0)  # As when it is killed: nothing is cleaned up.
"""


def test_a_file_is_kept_as_long_as_the_process_that_writes_it_lives(folder: Path) -> None:
    package = str(Path(uploads.__file__).parent.parent)
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WRITER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": package},
        text=True,
    ) as writer:
        assert writer.stdout
        name = writer.stdout.readline().strip()

        delete_abandoned(folder)
        assert left(folder) == [name]

    assert left(folder) == [name]
    delete_abandoned(folder)
    assert left(folder) == []


def test_what_is_deleted_by_its_writer_meanwhile_is_no_trouble(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "abandoned").write_bytes(b"x")
    gone = folder / "finished"
    listed = [gone, folder / "abandoned"]
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(listed))

    delete_abandoned(folder)

    monkeypatch.undo()
    assert left(folder) == []


def test_what_was_given_up_is_deleted_on_a_share_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS gives a lock that keeps others out for a file alone that is open for writing."""
    (folder / "abandoned").write_bytes(b"x")
    lock = fcntl.flock

    def lock_as_nfs(file: IO[bytes], kind: int) -> None:
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        lock(file, kind)

    monkeypatch.setattr(fcntl, "flock", lock_as_nfs)

    delete_abandoned(folder)

    assert left(folder) == []
