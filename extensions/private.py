"""Files of secrets, which only their owner can read at any moment."""

from __future__ import annotations

import os
from pathlib import Path

from jinja2 import Environment, pass_context
from jinja2.ext import Extension
from jinja2.runtime import Context


@pass_context
def private(context: Context, content: str, path: str) -> str:
    """Write a file for its owner alone, where there is none yet, and return its content.

    Copier would create the file with the umask's mode and then give it the mode of the template's
    file: with either, other users may read it. It leaves a file alone that already has the content
    it would write, so the filter must enclose the whole template, and `_skip_if_exists` in
    copier.yml must list the file.

    Args:
        context: of the template, where Copier's `_copier_conf` is.
        content: of the file.
        path: of the file, below the folder that Copier renders into.

    Raises:
        OSError: if the file cannot be written.
    """
    if context["_copier_conf"]["pretend"]:
        return content
    file = Path(context["_copier_conf"]["dst_path"], path)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return content
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content.encode())
    return content


class PrivateExtension(Extension):
    """Registers the filter `private`."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters["private"] = private
