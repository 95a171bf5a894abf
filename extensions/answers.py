"""The answers that Copier records in the destination, and those that an earlier run recorded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from copier.errors import UserMessageError
from jinja2 import Environment
from jinja2.ext import Extension

_ACCOUNT = re.compile(
    r"(git\+)?(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<account>[^/?#]*)@", re.IGNORECASE
)


def recorded_template(copier_conf: Any) -> str:
    """Return the `template` that the destination was rendered from, or an empty string.

    Args:
        copier_conf: Copier's `_copier_conf`, of which `dst_path` and `answers_file` are read.
    """
    answers_file = Path(copier_conf["dst_path"], copier_conf["answers_file"])
    try:
        answers = yaml.safe_load(answers_file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return ""
    return str(answers.get("template", "")) if isinstance(answers, dict) else ""


def to_record(copier_answers: dict[str, Any]) -> dict[str, Any]:
    """Return the answers to record, with a template that an update finds from any folder.

    A relative path of the template becomes absolute; one that starts with `~` is kept, since it
    means the same everywhere.

    Args:
        copier_answers: Copier's `_copier_answers`.

    Raises:
        UserMessageError: if the address of the template holds a user with a password, or a token.
            The message does not repeat it.
    """
    source = copier_answers["_src_path"]
    found = _ACCOUNT.match(source)
    query = "://" in source and "?" in source
    if query or (found and (found["scheme"].lower() != "ssh" or ":" in found["account"])):
        raise UserMessageError(
            "The address of the template holds a user, a password or a token, and everybody who may"
            " read this repository could read it in .copier-answers.yml: leave it out, and let git"
            " ask for it or find it with a credential helper. If it is recorded there already,"
            " correct `_src_path`, commit that, and have the token revoked."
        )
    prefix, path = ("git+", source[4:]) if source.startswith("git+") else ("", source)
    if not path.startswith("~") and not Path(path).is_absolute() and Path(path).exists():
        source = f"{prefix}{Path(path).resolve()}"
    return {**copier_answers, "_src_path": source}


class AnswersExtension(Extension):
    """Registers the filters `recorded_template` and `to_record`."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters["recorded_template"] = recorded_template
        environment.filters["to_record"] = to_record
