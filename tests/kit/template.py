"""The template as it stands: its folder, its questions, and answers to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
QUESTIONNAIRE: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
QUESTIONS = {name: details for name, details in QUESTIONNAIRE.items() if not name.startswith("_")}

PASSWORD = """p@:/#?%$&!";`x`$HOME%41"""
"""A password that breaks whatever quotes, expands or encodes it wrongly."""

Answers = dict[str, Any]
Render = Callable[[Answers], Path]


def check_names(answers: Answers) -> None:
    """Refuse answers to questions that do not exist: Copier and pytest-copie ignore them."""
    unknown = answers.keys() - QUESTIONS.keys()
    assert not unknown, f"copier.yml has no question {', '.join(sorted(unknown))}"
