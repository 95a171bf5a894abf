"""Upload forms, read and checked; their files have no name in the data folder yet."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from . import attestations
from .answers import Environ
from .body import CHUNK, Body
from .distribution import parse_name

FORM = 4 * 2**20
"""Bytes that a form may have beside the distribution: a long description, mostly."""

SIGNATURE = 2**16
"""Bytes that a detached signature may have: those of real keys have about one thousand."""

FIELDS, FIELD_NAME = 10_000, 100
"""Fields that a form may have, and letters that the name of one may have."""

_ANNOUNCEMENTS = ("verify", "submit")
"""Actions by which old clients announce a release; nothing is stored."""

_TOO_MANY = "Maximum segment count exceeded"  # as multipart says it
_FILES = ("content", "gpg_signature")
_DIGESTS = {f"{name}_digest": name for name in ("md5", "sha256", "blake2_256")}
# No text that is read is as long. The others, such as a description, are not kept: each upload
# would hold them in memory for as long as it takes.
_TEXT = 200


class FormError(Exception):
    """The request is not an upload form; the message is one sentence that says why."""


class TooLargeError(Exception):
    """A distribution is larger than this index accepts."""


class StalledError(Exception):
    """A client sends an upload too slowly, or stopped."""


@dataclass
class SentFile:
    """A file of a form.

    Attributes:
        name: as its client calls it.
        content: in the folder of the unfinished uploads, read from its start.
    """

    name: str
    content: IO[bytes]


@dataclass
class Form:
    """The fields of an upload form that are read; all others are left out.

    Attributes:
        action: what to do with the form, such as `file_upload`.
        digests: hex digests of the distribution by the name of their algorithm.
        files: by the name of their field.
        attestations: of the distribution, not read yet; None if the form has no such field.
    """

    action: str = ""
    digests: dict[str, str] = field(default_factory=dict)
    files: dict[str, SentFile] = field(default_factory=dict)
    attestations: bytes | None = None

    @property
    def distribution(self) -> SentFile | None:
        return self.files.get("content")

    @property
    def signature(self) -> SentFile | None:
        return self.files.get("gpg_signature")

    def close(self) -> None:
        """Delete its files; a file that was published stays under its own name."""
        for file in self.files.values():
            file.content.close()


def create(folder: Path) -> IO[bytes]:
    """Open an empty file that is locked until it is closed, and then deleted."""
    unfinished = tempfile.NamedTemporaryFile(dir=folder)  # noqa: SIM115
    fcntl.flock(unfinished, fcntl.LOCK_EX)
    return unfinished


def delete_abandoned(folder: Path) -> None:
    """Delete the files of processes that have died."""
    for path in folder.iterdir():
        # Its process may finish and delete it meanwhile. NFS locks only a file open for writing.
        with suppress(FileNotFoundError), path.open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # A process still writes it.
            path.unlink()


def read_form(environ: Environ, folder: Path, max_upload: int) -> Form:
    """Read an upload form (RFC 7578) from a WSGI request, its files straight to the disk.

    The memory that this takes does not depend on the form.

    Args:
        environ: whose `wsgi.input` is a Body.
        folder: of the unfinished uploads.
        max_upload: bytes a file may have.

    Raises:
        FormError: if the request is not such a form, or the form has too much in it.
        TooLargeError: if a file is too large.
        StalledError: if the client sends too slowly.
    """
    kind, options = parse_options_header(environ.get("CONTENT_TYPE", ""))
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise FormError("Send the upload as multipart/form-data, as twine, uv and Poetry do.")
    form = Form()
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: Body = environ["wsgi.input"]
    try:
        parser = PushMultipartParser(
            options["boundary"], content_length=length, max_segment_count=FIELDS
        )
        _fill(form, parser, body, folder, max_upload)
    except MultipartError as error:
        form.close()
        if body.stalled:
            raise StalledError from None
        if body.ended and body.received < length:
            raise FormError("The upload ended early: send it again.") from None
        if str(error) == _TOO_MANY:
            raise FormError(f"The form has more than {FIELDS:,} fields: send fewer.") from None
        raise FormError(
            f"This is not an upload form: {error.args[0]}; publish with twine, uv or Poetry."
        ) from None
    except BaseException:
        form.close()
        raise
    return form


def check(form: Form) -> None:
    """Refuse a form that does not publish a distribution.

    Raises:
        FormError: if it has no distribution or another file's signature.
        DistributionError: if the distribution does not have the name of one.
    """
    if form.action in _ANNOUNCEMENTS:
        return
    if form.action != "file_upload":
        said = f":action is {form.action[:80]!a}" if form.action else "no :action is given"
        raise FormError(f"The form publishes nothing, since {said}: send file_upload as :action.")
    if not form.distribution:
        raise FormError("The form has no distribution: send it as the file content.")
    file = form.distribution.name
    parse_name(file)
    if form.signature and form.signature.name != f"{file}.asc":
        raise FormError(
            f"{form.signature.name[:80]!a} is not the signature of {file}:"
            " call it as that file, with .asc at the end."
        )


def _fill(
    form: Form,
    parser: PushMultipartParser,
    body: Body,
    folder: Path,
    max_upload: int,
) -> None:
    text = 0
    for segment, chunks in _segments(parser, body):
        name = segment.name or ""
        if len(name) > FIELD_NAME:
            raise FormError(
                f"The form has a field whose name is longer than {FIELD_NAME} letters: shorten it."
            )
        if name in _FILES and segment.filename is not None:
            if name in form.files:
                raise FormError(f"The form has more than one file {name}: send one.")
            if not segment.filename.isprintable():
                raise FormError(
                    f"The file name {segment.filename[:80]!a} has control characters: send it"
                    " without."
                )
            file = form.files[name] = SentFile(segment.filename, create(folder))
            is_signature = name == "gpg_signature"
            _store(file.content, chunks, max_upload, is_signature=is_signature)
        else:
            value = bytearray()
            # One more than is allowed, to tell that there is more.
            most = attestations.FORM + 1 if name == "attestations" else _TEXT
            for chunk in chunks:
                value += chunk[: most - len(value)]
                text += len(chunk)
                if text > FORM:
                    raise FormError(
                        f"The form has more than {FORM // 2**20} MB of text: shorten the"
                        " description."
                    )
            if name == ":action":
                form.action = value.decode(errors="replace")
            elif name in _DIGESTS:
                form.digests[_DIGESTS[name]] = value.decode(errors="replace")
            elif name == "attestations":
                _note_attestations(form, bytes(value))


def _note_attestations(form: Form, value: bytes) -> None:
    if form.attestations is not None:
        raise FormError("The form has more than one field attestations: send one JSON array.")
    if len(value) > attestations.FORM:
        raise FormError(
            f"The attestations have more than {attestations.FORM // 2**10} kB: send fewer."
        )
    form.attestations = value


def _store(
    unfinished: IO[bytes], chunks: Iterator[bytes], max_upload: int, *, is_signature: bool
) -> None:
    for chunk in chunks:
        unfinished.write(chunk)
        if is_signature and unfinished.tell() > SIGNATURE:
            raise FormError(
                f"The signature has more than {SIGNATURE // 2**10} kB: send a detached one,"
                " as gpg --detach-sign makes it."
            )
        if unfinished.tell() > max_upload:
            raise TooLargeError
    unfinished.flush()
    unfinished.seek(0)


def _segments(
    parser: PushMultipartParser, body: Body
) -> Iterator[tuple[MultipartSegment, Iterator[bytes]]]:
    """Yield each part of a form with an iterator of its content, which must be used up first."""
    with parser:
        events = iter(parser.parse_blocking(body.read, CHUNK))
        for event in events:
            if isinstance(event, MultipartSegment):
                yield event, iter(lambda: next(events), None)
