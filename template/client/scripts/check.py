"""Asks the private index, before pip does, whether it takes the credentials in PIP_EXTRA_INDEX_URL.

pip would only say that it finds no version or, where it knows a second index, say nothing and
install the package of that name from there. So it would with credentials for another server.
"""

from __future__ import annotations

import argparse
import os
import sys

from index import access_error, split_credentials


def main() -> None:
    """Check, and say in one sentence what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="of its pages, such as https://pypi.example.com/simple/")
    parser.add_argument("private", nargs="*", help="the private packages")
    arguments = parser.parse_args()
    url = os.environ.get("PIP_EXTRA_INDEX_URL", "")
    if not url:
        sys.exit("No credentials for the private index: run `make login` first.")
    try:
        index, user, password = split_credentials(url)
    except ValueError:
        sys.exit("PIP_EXTRA_INDEX_URL is not the URL of an index: run `make login`.")
    if index != arguments.url:
        sys.exit(
            f"PIP_EXTRA_INDEX_URL is for {index}, this repository for {arguments.url}:"
            " run `make login`."
        )
    if refusal := access_error(index, user, password, arguments.private):
        sys.exit(refusal)


if __name__ == "__main__":
    main()
