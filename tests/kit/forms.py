"""The form that an upload is, as poetry, uv and twine send it (RFC 7578)."""

from __future__ import annotations

BOUNDARY = "----private-pypi-upload"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"
"""The content type of every form made here."""


def upload_form(file: str, content: bytes) -> tuple[bytes, str]:
    """Return body and content type of an upload."""
    before, after = around(file)
    return before + content + after, TYPE


def around(file: str) -> tuple[bytes, bytes]:
    """Return what comes before and after the bytes of a file in the body of an upload."""
    before = field(":action", b"file_upload") + field("content", b"", file)
    return before.removesuffix(b"\r\n"), f"\r\n--{BOUNDARY}--\r\n".encode()


def form(
    fields: dict[str, str], files: dict[str, tuple[str, bytes]] | None = None
) -> tuple[bytes, str]:
    """Return body and content type of a form of text fields and files, the latter by field."""
    parts = [field(name, value.encode()) for name, value in fields.items()]
    parts += [field(name, content, file) for name, (file, content) in (files or {}).items()]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode(), TYPE


def field(name: str, content: bytes, file: str | None = None, boundary: str = BOUNDARY) -> bytes:
    """Return one field of a form, of a file if that has a name."""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
    if file is not None:
        head += f'; filename="{file}"\r\nContent-Type: application/octet-stream'
    return f"{head}\r\n\r\n".encode() + content + b"\r\n"
