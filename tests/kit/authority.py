"""Certificates for tests, signed by an authority that no client knows by itself."""

from __future__ import annotations

import datetime
import os
import ssl
import tempfile
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
"""What an authority's key is for, which Python 3.13 asks for (RFC 5280, 4.2.1.3)."""


@dataclass(frozen=True)
class Pair:
    """A certificate with those that signed it, and its key, both in PEM."""

    chain: bytes
    key: bytes

    @property
    def serial(self) -> int:
        """The serial number of the certificate itself."""
        return x509.load_pem_x509_certificate(self.chain).serial_number

    def context(self) -> ssl.SSLContext:
        """Return what a server needs that shows this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as name:
            self.write(Path(name))
            context.load_cert_chain(Path(name, "fullchain.pem"), Path(name, "privkey.pem"))
        return context

    def write(self, folder: Path) -> None:
        """Put both in place as the server's README asks for, each at once."""
        for name, content in (("fullchain.pem", self.chain), ("privkey.pem", self.key)):
            new = folder / f".{name}"
            new.write_bytes(content)
            # pypi_data is the tests' own, or root's: then the containers run as another user.
            if os.getuid() == 0:
                os.chown(new, 10001, 10001)
            new.chmod(0o600)
            new.rename(folder / name)


class Authority:
    """Signs certificates.

    Attributes:
        certificate: its own, in PEM.
    """

    def __init__(self) -> None:
        self._key: Key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("Authority of the tests")
        self._made = self._sign(
            self._name,
            self._key,
            _in_days(-400),
            _in_days(400),
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (SIGNS, True),
        )
        self.certificate = self._made.public_bytes(Encoding.PEM)

    def context(self) -> ssl.SSLContext:
        """Return what a client connects with that trusts this authority alone."""
        return ssl.create_default_context(cadata=self.certificate.decode())

    def pair(
        self,
        *names: str,
        days: float = 90,
        begins: float = -1,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
        key: Key | None = None,
    ) -> Pair:
        """Sign a certificate.

        Args:
            names: DNS names and addresses.
            days: from now to its end; less than 0 for one that expired.
            begins: days from now to its beginning.
            usage: what it is for.
            key: its key; a new one if not said.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.ExtendedKeyUsage([usage]), False)
        ]
        if names:
            extensions.append((x509.SubjectAlternativeName([_general(x) for x in names]), False))
        made = self._sign(
            _named("The common name counts nothing"),
            key,
            _in_days(begins if begins < days else days - 1),
            _in_days(days),
            *extensions,
        )
        return Pair(
            made.public_bytes(Encoding.PEM) + self.certificate,
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        )

    def _sign(
        self,
        subject: x509.Name,
        key: Key,
        begin: datetime.datetime,
        end: datetime.datetime,
        *extensions: tuple[x509.ExtensionType, bool],
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False
            )
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _in_days(days: float) -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
