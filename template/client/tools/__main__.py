"""Runs a tool: `python tools login`, as make does."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

COMMANDS = {
    "check": "Interrupted.",
    "doctor": "Interrupted.",
    "lock": "Interrupted: run `make lock` again.",
    "login": "Nothing was written.",
    "publish": "Interrupted: publish again, what has arrived is skipped.",
    "run": "Interrupted.",
    "upgrade": "Interrupted: run `make upgrade` again.",
}
"""The tools, each a module with a function main, and what one that is interrupted says."""

# This file is the package `tools`: so none of the repository's own modules is on Python's path,
# where it could take the place of one of Python's.
__path__ = [str(Path(__file__).resolve().parent)]
sys.modules["tools"] = sys.modules[__name__]


def main() -> int:
    """Run the tool that is named first with the other arguments; return its exit code."""
    if sys.version_info < (3, 11):
        python = Path(sys.executable).name
        sys.exit(f"error: {python} is older than Python 3.11: say which to use with PYTHON=")
    name, *arguments = sys.argv[1:] or [""]
    if name not in COMMANDS:
        sys.exit(f"error: python tools takes one of {', '.join(COMMANDS)}")
    try:
        code: int = importlib.import_module(f"tools.{name}").main(arguments)
    except KeyboardInterrupt:
        sys.exit(f"\n{COMMANDS[name]}")
    return code


if __name__ == "__main__":
    sys.exit(main())
