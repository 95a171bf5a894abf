"""Runs a tool: `python tools login`, as make does."""

import importlib.util
import os
import sys
from pathlib import Path

COMMANDS = (
    *("check", "checkout", "doctor", "install", "lock", "login", "private", "publish", "run"),
    "upgrade",
)
"""The tools, each a module here with a function main."""


def import_tools() -> None:
    """Make this folder the package `tools`, without the folder above on Python's path.

    There, a module of the repository could take the place of one of Python's own.
    """
    package = Path(__file__).resolve().parent / "__init__.py"
    spec = importlib.util.spec_from_file_location("tools", package)
    assert spec
    assert spec.loader
    sys.modules["tools"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def main() -> int:
    """Run a tool with its arguments; return its exit code."""
    name, *arguments = sys.argv[1:] or [""]
    if name not in COMMANDS:
        sys.exit(f"error: name one of {', '.join(COMMANDS)}")
    if not importlib.util.find_spec("tomllib"):
        python = Path(sys.executable).name
        sys.exit(f"error: {python} is older than Python 3.11: say which to use with PYTHON=")
    import_tools()
    from tools import run
    from tools.settings import Settings

    settings = Settings.load()
    if name not in ("install", "private", "run"):
        credentials = name in ("check", "lock", "publish", "upgrade")
        docker = name == "upgrade" and not settings.locked
        surroundings = run.environment(settings, credentials=credentials, docker=docker)
        os.environ.clear()
        os.environ.update(surroundings)
    try:
        return importlib.import_module(f"tools.{name}").main(settings, arguments) or 0
    except KeyboardInterrupt:
        sys.exit(f"\n{'Nothing was written' if name == 'login' else 'Interrupted: run it again'}.")
    except OSError as error:
        sys.exit(f"{error.filename or name} cannot be used: {error.strerror or error}.")


if __name__ == "__main__":
    sys.exit(main())
