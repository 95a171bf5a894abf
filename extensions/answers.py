"""What an earlier run of Copier recorded in the destination."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment
from jinja2.ext import Extension


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


class AnswersExtension(Extension):
    """Registers the filter `recorded_template`."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters["recorded_template"] = recorded_template
