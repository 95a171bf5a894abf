"""Asks the private index, before pip does, whether it takes the credentials in PIP_EXTRA_INDEX_URL.

pip would only say that it finds no version or, where it knows a second index, say nothing and
install the package of that name from there.
"""

from __future__ import annotations

import os
import sys

from index import access_error, split_credentials


def main() -> None:
    """Check, and say in one sentence what is wrong."""
    url = os.environ.get("PIP_EXTRA_INDEX_URL", "")
    if not url:
        sys.exit("No credentials for the private index: run `make login` first.")
    try:
        index, user, password = split_credentials(url)
    except ValueError:
        sys.exit("PIP_EXTRA_INDEX_URL is not the URL of an index: run `make login`.")
    if refusal := access_error(index, user, password):
        sys.exit(refusal)


if __name__ == "__main__":
    main()
