"""An index that is not ours: it answers what a test tells it to, over HTTP or HTTPS."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kit.serving import serving

JSON = "application/vnd.pypi.simple.v1+json"


@dataclass
class ForeignIndex:
    """Answers by path.

    Attributes:
        pages: status, type (of redirects the target) and body of each path.
        date: its Date header, the true one if empty, none if it is a hyphen.
        gets: the paths that were asked for.
        posts: the bodies of the uploads it was sent.
        posted_to: the paths they were sent to.
        post_status: what it answers to those.
        post_body: the text of that answer.
    """

    pages: dict[str, tuple[int, str, bytes]] = field(default_factory=dict)
    date: str = ""
    gets: list[str] = field(default_factory=list)
    posts: list[bytes] = field(default_factory=list)
    posted_to: list[str] = field(default_factory=list)
    post_status: int = 400
    post_body: bytes = b"No."
    url: str = ""

    def has(self, project: str, *files: str | dict[str, Any]) -> None:
        """Put a JSON page with files on it (PEP 691), of which none can be downloaded."""
        listed = []
        for file in files:
            said = {"filename": file} if isinstance(file, str) else file
            listed.append({"url": f"../../files/{said['filename']}", "hashes": {}, **said})
        body = json.dumps({"meta": {"api-version": "1.0"}, "name": project, "files": listed})
        self.pages[f"/simple/{project}/"] = (200, JSON, body.encode())

    def has_html(self, project: str, *anchors: str) -> None:
        """Put an HTML page with anchors on it (PEP 503)."""
        body = f"<!DOCTYPE html><html><body>{' '.join(anchors)}</body></html>"
        self.pages[f"/simple/{project}/"] = (200, "text/html; charset=utf-8", body.encode())


@contextmanager
def running(
    host: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> Iterator[ForeignIndex]:
    """Run an index with an empty list of projects on a free port.

    Args:
        host: the address it listens on and the name in its URL.
        context: with a certificate, to speak TLS.
    """
    index = ForeignIndex({"/simple/": (200, "text/html", b"<!DOCTYPE html><html></html>")})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.gets.append(self.path)
            self._answer(*index.pages.get(self.path, (404, "text/html", b"")))

        def do_POST(self) -> None:
            index.posted_to.append(self.path)
            index.posts.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self._answer(index.post_status, "text/plain", index.post_body)

        def _answer(self, code: int, kind: str, body: bytes) -> None:
            self.send_response_only(code)
            if index.date != "-":
                self.send_header("Date", index.date or self.date_time_string())
            self.send_header("Location" if 300 <= code < 400 else "Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler, host, context) as port:
        index.url = f"{'https' if context else 'http'}://{host}:{port}/simple/"
        yield index


class Authority:
    """A certificate authority of a company, made for a test.

    Attributes:
        file: its certificate.
    """

    def __init__(self, folder: Path, name: str = "Acme Root") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)])
        self._certificate = (
            self._builder(self._name, self._name, self._key.public_key(), 3650, 4015)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def context(
        self,
        *names: str,
        days: float = 90,
        lifetime: float = 455,
        self_signed: bool = False,
    ) -> ssl.SSLContext:
        """Return what a server needs that has a certificate for some names.

        Args:
            days: until it expires, and an hour more; negative if it has.
            lifetime: days from its beginning to its end.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        alternatives = x509.SubjectAlternativeName(
            [
                x509.IPAddress(ipaddress.ip_address(name))
                if name[0].isdigit()
                else x509.DNSName(name)
                for name in names
            ]
        )
        issuer = subject if self_signed else self._name
        builder = self._builder(subject, issuer, key.public_key(), days, lifetime)
        certificate = builder.add_extension(alternatives, critical=False).sign(
            key if self_signed else self._key, hashes.SHA256()
        )
        file = self._folder / "server.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    @staticmethod
    def _builder(
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePublicKey,
        days: float,
        lifetime: float,
    ) -> x509.CertificateBuilder:
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days, hours=1)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - datetime.timedelta(days=lifetime))
            .not_valid_after(end)
        )
