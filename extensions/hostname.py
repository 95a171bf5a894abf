"""DNS host names, as RFC 1123 section 2.1 allows them."""

from __future__ import annotations

import re

from jinja2 import Environment
from jinja2.ext import Extension

LONGEST = 253
"""Characters of a whole name; a label between two dots has at most 63."""

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def hostname_error(host: str) -> str:
    """Return why a text is not a host name and what to type instead, or an empty string.

    An IPv4 address passes: it is a valid sequence of labels, and some networks have no DNS.
    """
    example = "type a name such as pypi.example.com"
    if not host:
        return f"The host name is empty: {example}."
    if host != host.strip() or " " in host:
        return f"{host!r} has a space in it: {example}."
    if "://" in host:
        return (
            f"{host!r} starts with a scheme: type the host name alone, without http:// or https://."
        )
    if "@" in host:
        return "Leave user and password out: type the host name alone."
    if "/" in host:
        return f"{host!r} has a path: type the host name alone, without anything from the slash on."
    if host.startswith("[") or host.count(":") > 1:
        return f"{host!r} is an IPv6 address: {example} that leads to it."
    if ":" in host:
        return f"{host!r} has a port: type the host name alone, without the colon and the number."
    if not host.isascii():
        return f"{host!r} is not ASCII: type its punycode form, which starts with xn--."
    if "_" in host:
        return f"{host!r} has an underscore, which host names cannot have: use hyphens."
    if len(host) > LONGEST:
        return f"The host name has {len(host)} characters: {LONGEST} is the most DNS allows."
    if not all(_LABEL.fullmatch(label) for label in host.split(".")):
        return (
            f"{host!r} is not a host name: {example}; each part has 1 to 63 letters, digits"
            " or hyphens and neither starts nor ends with a hyphen."
        )
    return ""


class HostnameExtension(Extension):
    """Registers the filter `hostname_error`."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters["hostname_error"] = hostname_error
