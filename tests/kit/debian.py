"""Packages of this machine's Debian release, unpacked without installing them.

.ci/stand_ins.py uses this too, with whatever Python a machine has: nothing but its own library is
imported here.
"""

from __future__ import annotations

import functools
from pathlib import Path

from kit.commands import output


@functools.cache
def update_package_lists() -> None:
    """Ask the machine's Debian archive what there is, once."""
    output("apt-get", "-qq", "update")


def unpack_debian(package: str, folder: Path) -> Path:
    """Unpack a package of this machine's Debian release without installing it."""
    update_package_lists()
    debs = folder / f"{package}-deb"
    debs.mkdir()
    # apt downloads as its own user, which may not write here.
    output(
        "sh", "-c", 'cd "$0" && apt-get download -qq -o APT::Sandbox::User=root "$1"', debs, package
    )
    output("dpkg", "-x", next(debs.glob("*.deb")), folder / package)
    return folder / package
