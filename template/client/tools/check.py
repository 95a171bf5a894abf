"""Asks the private index, before pip does, whether it takes the credentials in PIP_EXTRA_INDEX_URL.

pip would only say that it finds no version or, where it knows a second index, say nothing and
install the package of that name from there. It would do the same with credentials for another
server.
"""

import os
import sys

from .credentials import PIP_URL, split
from .index import access_error
from .settings import Settings


def main(settings: Settings, arguments: list[str]) -> None:
    """Check, and say in one sentence what is wrong."""
    if not os.environ.get(PIP_URL):
        sys.exit("No credentials for the private index: run `make login` first.")
    try:
        url, user, password = split(os.environ[PIP_URL])
    except ValueError:
        sys.exit(f"{PIP_URL} is not the URL of an index: run `make login`.")
    if url != settings.url:
        sys.exit(f"{PIP_URL} is for {url}, this repository for {settings.url}: run `make login`.")
    if refusal := access_error(url, user, password, settings.projects):
        sys.exit(refusal)
