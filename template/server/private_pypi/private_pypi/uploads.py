"""Uploads as they arrive: files without a name of their own yet, and the form around them."""

from __future__ import annotations

import fcntl
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, ClassVar

from gunicorn.http.errors import ParseException
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from pypiserver.bottle_wrapper import FileUpload, FormsDict

from .distribution import parse_name
from .layout import UPLOADS

FOLDER = UPLOADS

FORM = 4 * 2**20
"""Bytes that a form may have beside the distribution: a long description, mostly."""

SIGNATURE = 2**16
"""Bytes that a detached signature may have: those of real keys have about one thousand."""

PATIENCE = 30
"""Seconds that the next 128 kB of an upload may take, or what is left of it. A slow client that
goes on may take hours; one that dribbles would hold a thread for as long."""

FIELDS, FIELD_NAME = 10_000, 100
"""Fields that a form may have, and letters that the name of one may have."""

_TOO_MANY = "Maximum segment count exceeded"  # as multipart says it
_FILES = ("content", "gpg_signature")
# All the text that is read here, of which none is as long. The rest, such as a description, would
# be in memory once for each upload at once.
_TEXTS, _TEXT = (":action", "md5_digest", "sha256_digest", "blake2_256_digest"), 200
_CHUNK = 2**17


class FormError(Exception):
    """What was sent is no upload form; the message is one sentence that says why."""


class TooLargeError(Exception):
    """A distribution is larger than this index accepts."""


class StalledError(Exception):
    """A client sends an upload too slowly, or no more."""


class Places:
    """Lets so many uploads in at once; each holds a thread of the server while its client sends.

    An account gets another place only if more are free than it holds. So one alone gets half of
    them, and what it leaves is there for others: two never fill all, however slowly they send.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, account: str) -> Iterator[bool]:
        """Take a place until the end of the block, if one is free: yield whether one was."""
        with self._lock:
            free = self._taken[account] < self._places - self._taken.total()
            self._taken[account] += free
        try:
            yield free
        finally:
            with self._lock:
                self._taken[account] -= free
                self._taken += Counter()  # Forgets those who have none.


def create(folder: Path) -> IO[bytes]:
    """Open an empty file that is deleted when it is closed and locked until then."""
    unfinished = tempfile.NamedTemporaryFile(dir=folder)  # noqa: SIM115
    fcntl.flock(unfinished, fcntl.LOCK_EX)
    return unfinished


def delete_abandoned(folder: Path) -> None:
    """Delete what processes that are no more have left behind."""
    for path in folder.iterdir():
        # Whoever writes it may be done, and have deleted it.
        with suppress(FileNotFoundError), path.open("r+b") as file:  # NFS locks nothing else.
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # Somebody is writing it.
            path.unlink()


def read_form(environ: dict[str, Any], folder: Path, max_upload: int) -> FormsDict:
    """Read an upload form (RFC 7578) from a WSGI request, its files straight to the disk.

    Args:
        folder: of the unfinished uploads.
        max_upload: bytes a file may have.

    Returns:
        The text that is read here as str and files as bottle's FileUpload, by field name, as
        bottle itself would; but the memory it takes does not depend on what is sent.

    Raises:
        FormError: if it is no such form, or one with too much in it.
        TooLargeError: if a file is too large.
        StalledError: if the client sends too slowly.
    """
    kind, options = parse_options_header(environ.get("CONTENT_TYPE", ""))
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise FormError("Send the upload as multipart/form-data, as twine, uv and Poetry do.")
    form = FormsDict()
    form.recode_unicode = False
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: Body = environ["wsgi.input"]
    try:
        parser = PushMultipartParser(
            options["boundary"], content_length=length, max_segment_count=FIELDS
        )
        _fill(form, parser, body, folder, max_upload)
    except MultipartError as error:
        close(form)
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
        close(form)
        raise
    return form


def check(form: FormsDict) -> None:
    """Refuse a form that does not publish a distribution, in words of ours.

    Raises:
        FormError: if it has no distribution or another file's signature.
        DistributionError: if the distribution's name is none.
    """
    action = form.get(":action")
    if action in ("verify", "submit"):
        return  # Old clients announce a release so; nothing is stored.
    if action != "file_upload":
        said = f":action is {action[:80]!a}" if action else "no :action is given"
        raise FormError(f"The form publishes nothing, since {said}: send file_upload as :action.")
    content, signature = (form.get(name) for name in _FILES)
    if not isinstance(content, FileUpload):
        raise FormError("The form has no distribution: send it as the file content.")
    parse_name(content.raw_filename)
    signed = f"{content.raw_filename}.asc"
    if isinstance(signature, FileUpload) and signature.raw_filename != signed:
        raise FormError(
            f"{signature.raw_filename[:80]!a} is not the signature of {content.raw_filename}:"
            " call it as that file, with .asc at the end."
        )


class Body:
    """The body of a WSGI request, which ends where its client went away or was given up.

    gunicorn waits for ever for each byte of it, in a thread that others need.

    Attributes:
        received: bytes read so far.
        ended: whether there are no more.
        stalled: whether the client was given up.
    """

    _waiting: ClassVar[dict[Body, float]] = {}
    _watch: ClassVar[threading.Thread | None] = None
    _lock: ClassVar = threading.Lock()

    def __init__(self, environ: dict[str, Any]) -> None:
        self._stream: BinaryIO = environ["wsgi.input"]
        self._socket: socket.socket | None = environ.get("gunicorn.socket")
        chunked = "HTTP_TRANSFER_ENCODING" in environ
        self._length = None if chunked else int(environ.get("CONTENT_LENGTH") or 0)
        self._broken = False
        self.received = 0
        self.ended = self._length == 0
        self.stalled = False

    @property
    def whole(self) -> bool:
        """Whether the next byte on the connection is the first of another request."""
        if self._length is None:
            return self.ended and not self._broken
        return self.received == self._length

    def read(self, size: int) -> bytes:
        """Return so many bytes, or fewer if the body ends."""
        with self._lock:
            self._waiting[self] = time.monotonic() + PATIENCE
            if Body._watch is None:
                Body._watch = threading.Thread(target=self._give_up, daemon=True)
                Body._watch.start()
        try:
            chunk = self._stream.read(size)
        except (OSError, ParseException):  # hung up; chunks that are none
            chunk, self._broken = b"", True
        finally:
            with self._lock:
                del self._waiting[self]
        self.received += len(chunk)
        self.ended = not chunk
        return chunk

    def read_to_end(self, most: int) -> None:
        """Keep nothing of it: a client that still sends reads no answer.

        Args:
            most: bytes after which no more are read.
        """
        while not (self.whole or self.stalled or self.received > most) and self.read(_CHUNK):
            pass

    @classmethod
    def _give_up(cls) -> None:
        """Let no read wait longer than it may: one thread does so for all, for ever."""
        while True:
            time.sleep(1)
            with cls._lock:
                for body, until in cls._waiting.items():
                    if body._socket and time.monotonic() > until:
                        body.stalled = True
                        # The read ends; the answer can still be sent.
                        with suppress(OSError):
                            body._socket.shutdown(socket.SHUT_RD)


def close(form: FormsDict) -> None:
    """Delete the files of a form; what was published stays under its own name."""
    for _, value in form.allitems():
        if isinstance(value, FileUpload):
            value.file.close()


def _fill(
    form: FormsDict,
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
            if name in form:
                raise FormError(f"The form has more than one file {name}: send one.")
            if not segment.filename.isprintable():
                raise FormError(
                    f"The file name {segment.filename[:80]!a} has control characters: send it"
                    " without."
                )
            unfinished = create(folder)
            form[name] = FileUpload(unfinished, name, segment.filename)
            for chunk in chunks:
                unfinished.write(chunk)
                if name == "gpg_signature" and unfinished.tell() > SIGNATURE:
                    raise FormError(
                        f"The signature has more than {SIGNATURE // 2**10} kB: send a detached one,"
                        " as gpg --detach-sign makes it."
                    )
                if unfinished.tell() > max_upload:
                    raise TooLargeError
            unfinished.flush()
            unfinished.seek(0)
        else:
            value = bytearray()
            for chunk in chunks:
                value += chunk[: _TEXT - len(value)]
                text += len(chunk)
                if text > FORM:
                    raise FormError(
                        f"The form has more than {FORM // 2**20} MB of text: shorten the"
                        " description."
                    )
            if name in _TEXTS:
                form.replace(name, value.decode(errors="replace"))


def _segments(
    parser: PushMultipartParser, body: Body
) -> Iterator[tuple[MultipartSegment, Iterator[bytes]]]:
    """Yield each part of a form with an iterator of its content, which must be used up first."""
    with parser:
        events = iter(parser.parse_blocking(body.read, _CHUNK))
        for event in events:
            if isinstance(event, MultipartSegment):
                yield event, iter(lambda: next(events), None)
