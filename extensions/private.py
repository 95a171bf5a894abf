"""Files of secrets, which nobody else can read at any moment."""

from __future__ import annotations

import os
from pathlib import Path

from jinja2 import Environment, pass_context
from jinja2.ext import Extension
from jinja2.runtime import Context


@pass_context
def private(context: Context, content: str, path: str) -> str:
    """Write a file for its owner alone, where there is none yet, and return its content.

    Copier itself would create the file with the mode that the umask leaves and give it the mode of
    the template's checkout, both of which everybody may read. It writes nothing any more once it
    finds the file with what it would write: so the whole template is to stand in this filter, and
    the file's name in copier.yml's `_skip_if_exists`.

    Args:
        context: Of the template, where Copier's `_copier_conf` is.
        content: Of the file.
        path: Of the file, below the folder that Copier renders into.

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
