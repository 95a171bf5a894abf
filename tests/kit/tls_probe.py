"""What a server agrees to before it sends a certificate, asked with hellos of our own.

A library such as OpenSSL no longer offers what must be refused.
"""

from __future__ import annotations

import os
import socket
import struct

SSL3, TLS1_0, TLS1_1, TLS1_2 = 0x0300, 0x0301, 0x0302, 0x0303

STRONG = {
    "ECDHE-ECDSA-AES128-GCM": 0xC02B,
    "ECDHE-RSA-AES128-GCM": 0xC02F,
}
WEAK = {
    "no encryption": [0x0001, 0x0002, 0x003B, 0xC006, 0xC010],
    "anonymous": [0x0018, 0x001B, 0x0034, 0x003A, 0x006C, 0x00A6, 0xC016, 0xC017, 0xC018, 0xC019],
    "export": [0x0003, 0x0006, 0x0008, 0x000B, 0x000E, 0x0011, 0x0014],
    "RC4": [0x0004, 0x0005, 0xC007, 0xC011],
    "DES and 3DES": [0x0009, 0x000A, 0x0015, 0x0016, 0xC008, 0xC012],
    "CBC with SHA-1": [0x002F, 0x0033, 0x0035, 0x0039, 0xC009, 0xC00A, 0xC013, 0xC014],
    "CBC with SHA-2": [0x003C, 0x003D, 0x0067, 0x006B, 0xC023, 0xC024, 0xC027, 0xC028],
    "no forward secrecy": [0x009C, 0x009D],
}
"""Cipher suites by what is wrong with them, with the numbers of IANA's registry."""

PROTOCOL_VERSION = 70
"""The alert of a server that speaks none of the client's versions (RFC 8446, 6.2)."""


def agreed(address: str, host: str, version: int, suites: list[int]) -> tuple[int, int] | int:
    """Offer one version and some cipher suites on port 443.

    Returns:
        Version and suite the server chose, or the number of the alert it refused with.
    """
    with socket.create_connection((address, 443), timeout=30) as connection:
        connection.sendall(_hello(host, version, suites))
        with connection.makefile("rb") as answers:
            kind, _, length = struct.unpack("!BHH", answers.read(5))
            record = answers.read(length)
    if kind == 21:
        return int(record[1])
    assert (kind, record[0]) == (22, 2), "neither an alert nor a hello"
    after_session = 39 + record[38]
    (chosen,) = struct.unpack_from("!H", record, after_session)
    return int.from_bytes(record[4:6], "big"), int(chosen)


def _hello(host: str, version: int, suites: list[int]) -> bytes:
    """Return a ClientHello as in RFC 5246, 7.4.1.2, in a record."""
    name = host.encode()
    extensions = b"".join(
        _with_length(kind, body)
        for kind, body in (
            (0, struct.pack("!HBH", len(name) + 3, 0, len(name)) + name),
            (10, _numbers(0x001D, 0x0017, 0x0018)),  # curves: X25519, P-256, P-384
            (11, b"\1\0"),
            # Signatures by ECDSA and RSA, with SHA-256 as well as SHA-1.
            (13, _numbers(0x0403, 0x0804, 0x0401, 0x0203, 0x0201)),
        )
    )
    body = (
        struct.pack("!H", version)
        + os.urandom(32)
        + b"\0"
        + _numbers(*suites)
        + b"\1\0"
        + struct.pack("!H", len(extensions))
        + extensions
    )
    handshake = b"\1" + len(body).to_bytes(3, "big") + body
    return struct.pack("!BHH", 22, min(version, TLS1_0), len(handshake)) + handshake


def _with_length(kind: int, body: bytes) -> bytes:
    return struct.pack("!HH", kind, len(body)) + body


def _numbers(*numbers: int) -> bytes:
    return struct.pack(f"!H{len(numbers)}H", 2 * len(numbers), *numbers)
