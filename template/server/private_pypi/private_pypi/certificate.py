"""The check of the certificate in certs/, over TLS as a client does it, and the copy to serve.

The check trusts the certificate whatever authority signed it: which authorities are trusted, each
client decides. Names are compared as in RFC 9525, so the common name does not count.
"""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Any

from . import filesystem
from .disk import write_atomically

HOUR = 60 * 60
DAY = 24 * HOUR

QUARTER, EARLY = 0.25, 21 * DAY
"""A warning comes when less than this share of the lifetime and fewer seconds than these are left.

A certificate that lasts for days or hours is meant to be renewed with a third of them left."""


class CertificateError(Exception):
    """This certificate cannot be served; the message names the file and the remedy."""


def copy_pair(folder: Path, host: str, copy: Path) -> str:
    """Write the pair in a folder to one file, if clients would accept it; return any warning.

    It is one file because two cannot be replaced at once: the gateway might read the key of another
    certificate.

    Args:
        folder, host: as in `check_pair`.
        copy: the file to write, which only its owner reads. Its folder is made if missing.

    Raises:
        CertificateError: as `check_pair`, or the copy cannot be written.
    """
    content = _read(folder)
    warning = check_pair(folder, host)
    if _read(folder) != content:
        raise CertificateError("certs/ changed while it was checked: try again")
    try:
        copy.parent.mkdir(mode=0o700, exist_ok=True)
        needs = (filesystem.SYNC, filesystem.REPLACE, filesystem.PRIVATE)
        if complaints := filesystem.complaints(copy.parent, "gateway_data", *needs):
            raise CertificateError("\nerror: ".join(complaints))
        write_atomically(copy, content)
    except OSError as error:
        raise CertificateError(
            f"no copy of certs/ can be written for the gateway ({error.strerror}): give"
            " gateway_data and its content to the owner of pypi_data with chown"
        ) from None
    return warning


def check_pair(folder: Path, host: str) -> str:
    """Return a warning about the pair in a folder, or an empty string.

    Args:
        folder: holds `fullchain.pem`, the certificate and those that signed it, and `privkey.pem`.
        host: the DNS name or address by which clients reach the index.

    Raises:
        CertificateError: a file is missing, cannot be read or is not PEM, the key is another
            certificate's, or clients would refuse the certificate for its dates, names or purpose.
    """
    chain, key = folder / "fullchain.pem", folder / "privkey.pem"
    _read(folder)
    client = _client(chain)
    server = _server(chain, key)
    client.check_hostname = False
    certificate = _shown(server, client, host)
    client.check_hostname = True
    try:
        _shown(server, client, host)
    except CertificateError:
        names = [str(name) for _, name in certificate.get("subjectAltName", ())]
        raise CertificateError(
            f"certs/{chain.name} is not for {host} but for {', '.join(names) or 'no name at all'}:"
            " get one for that name, or correct pypi_url in .pypi.env"
        ) from None
    begin, end = (
        ssl.cert_time_to_seconds(str(certificate[when])) for when in ("notBefore", "notAfter")
    )
    left = end - time.time()
    if left >= min(QUARTER * (end - begin), EARLY):
        return ""
    span = f"{int(left // DAY)} days" if left >= 2 * DAY else f"{int(left // HOUR)} hours"
    return (
        f"certs/{chain.name} expires on {time.strftime('%Y-%m-%d', time.gmtime(end))},"
        f" in {span}: replace both files and run make pypi-reload"
    )


def _read(folder: Path) -> bytes:
    """Return both files, the certificate first."""
    chain = _read_file(folder / "fullchain.pem", "the certificate, then those that signed it")
    return chain + b"\n" + _read_file(folder / "privkey.pem", "its key")


def _read_file(file: Path, content: str) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        if file.is_symlink():
            raise CertificateError(
                f"certs/{file.name} is a link that leads out of certs/, which no container can"
                " follow: put a copy there"
            ) from None
        raise CertificateError(f"certs/{file.name} is missing: put {content} there") from None
    except OSError as error:
        raise CertificateError(
            f"certs/{file.name} cannot be read ({error.strerror}): give it to the owner of"
            " pypi_data with chown, and certs/ itself if only its owner may open it"
        ) from None


def _server(chain: Path, key: Path) -> ssl.SSLContext:
    """Load the pair as a server does."""

    def refuse() -> str:
        raise CertificateError(
            f"certs/{key.name} is encrypted, and the gateway cannot ask for a password when it"
            " starts: decrypt it with openssl pkey"
        )

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(chain, key, refuse)
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            raise CertificateError(
                f"certs/{key.name} is not the key of the first certificate in certs/{chain.name}:"
                " put the pair there that belongs together, and in the chain your own one first"
            ) from None
        raise CertificateError(
            f"certs/{chain.name} and certs/{key.name} are no certificate and key that TLS can use"
            f" ({_reason(error)}): put a pair there in PEM"
        ) from None
    return context


def _client(chain: Path) -> ssl.SSLContext:
    """Return a client that trusts each certificate of the file, whether it is a root or not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(chain)
    except ssl.SSLError as error:
        raise CertificateError(
            f"certs/{chain.name} is no certificate in PEM ({_reason(error)}): put one there"
        ) from None
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _shown(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> dict[str, Any]:
    """Let both shake hands in memory; return the certificate that the client was shown.

    Raises:
        CertificateError: if the client refuses it.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname=host)
    asked = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [asking, asked]
    while waiting:
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                why = getattr(error, "verify_message", "") or _reason(error)
                raise CertificateError(
                    f"clients would refuse certs/fullchain.pem ({why}): put another one and its"
                    " key there"
                ) from None
    return asking.getpeercert() or {}


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "no PEM").replace("_", " ").lower()
