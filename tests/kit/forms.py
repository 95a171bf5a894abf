"""The form that an upload is, as poetry, uv and twine send it (RFC 7578)."""

from __future__ import annotations

from collections.abc import Iterable

BOUNDARY = "----private-pypi-upload"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"
"""The content type of a form with that boundary."""


def upload_form(file: str, content: bytes) -> tuple[bytes, str]:
    """Return body and content type of an upload."""
    return form({":action": "file_upload"}, {"content": (file, content)})


def around(file: str) -> tuple[bytes, bytes]:
    """Return what comes before and after the bytes of a file in the body of an upload."""
    body, _ = upload_form(file, b"")
    end = f"\r\n--{BOUNDARY}--\r\n".encode()
    return body.removesuffix(end), end


def form(
    fields: dict[str, str], files: dict[str, tuple[str, bytes]] | None = None
) -> tuple[bytes, str]:
    """Return body and content type of a form of text fields and files, the latter by field."""
    parts = [part(name, text) for name, text in fields.items()]
    parts += [part(name, content, file) for name, (file, content) in (files or {}).items()]
    return multipart(parts), TYPE


def part(name: str, content: str | bytes, file: str | None = None) -> bytes:
    """Return one part of a form, its names as they are; of a file if that has a name."""
    head = f'Content-Disposition: form-data; name="{name}"'
    if file is not None:
        head += f'; filename="{file}"\r\nContent-Type: application/octet-stream'
    return f"{head}\r\n\r\n".encode() + (content.encode() if isinstance(content, str) else content)


def multipart(parts: Iterable[bytes], boundary: str = BOUNDARY) -> bytes:
    """Return the body of a form."""
    line = boundary.encode()
    return b"".join(b"--%b\r\n%b\r\n" % (line, one) for one in parts) + b"--%b--\r\n" % line
