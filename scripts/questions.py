"""Prints docs/questions.md, the questions of copier.yml in a table for each template.

`make docs` writes the page with it; `make lint` compares the two with `--check`.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import yaml

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "questions.md"
QUESTIONNAIRE: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
QUESTIONS = {
    name: details
    for name, details in QUESTIONNAIRE.items()
    if not name.startswith("_") and details.get("when") is not False
}

INTRODUCTION = """\
# The questions

Made from copier.yml by `make docs`: edit that file, not this one.

Each answer can be given in advance, with `--data name=value` or in a YAML file with `--data-file`.
With `--defaults` nothing more is asked. The answers are recorded in `.copier-answers.yml`, except
secret ones, and are offered again at an update.\
"""

Answers = dict[str, Any]

environment = jinja2.Environment(
    autoescape=False,
    loader=jinja2.FileSystemLoader(ROOT),  # where copier.yml's extensions are looked up
    extensions=[
        "jinja2_ansible_filters.AnsibleCoreFiltersExtension",  # which Copier always loads
        *QUESTIONNAIRE["_jinja_extensions"],
    ],
    **{**QUESTIONNAIRE["_envops"], "undefined": jinja2.StrictUndefined},
)


def rendered(setting: Any, answers: Answers) -> str:
    """Return a setting of a question, rendered with these answers, on one line."""
    return " ".join(environment.from_string(str(setting)).render(answers).split())


def choices(name: str) -> dict[str, str]:
    """Return a question's choices and what each means; nothing if any text may be typed."""
    listed = QUESTIONS[name].get("choices", {})
    if isinstance(listed, list):
        return dict.fromkeys(listed, "")
    return {typed(choice): meaning for meaning, choice in listed.items()}


def typed(value: Any) -> str:
    """Return an answer as it is typed: a truth value in YAML's words."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def defaults(template: str) -> Answers:
    """Return the default answers to the questions of a template."""
    answers: Answers = {"template": template}
    for name, details in QUESTIONS.items():
        if name != "template":
            value = details["default"]
            answers[name] = rendered(value, answers) if isinstance(value, str) else value
    return answers


def asked(name: str, answers: Answers) -> bool:
    """Tell whether a question comes up after these answers."""
    return rendered(QUESTIONS[name].get("when", True), answers) == "True"


def condition(name: str, answers: Answers) -> str | None:
    """Return the other answer on which a question depends, as a sentence; None if never asked."""
    for other in QUESTIONS:
        if other not in ("template", name):
            values = list(choices(other)) or ["", "something"]
            found = [value for value in values if asked(name, {**answers, other: value})]
            if found and found != values:
                given = " or ".join(f"`{value}`" for value in found) if choices(other) else "given"
                return f"Only if `{other}` is {given}."
    return "" if asked(name, answers) else None


def default(name: str, template: str) -> str:
    """Return the cell with the default answer, which may be the answer to another question."""
    references = {other: f"the-answer-to-{other}" for other in QUESTIONS}
    text = rendered(typed(QUESTIONS[name]["default"]), {**references, "template": template})
    if not text:
        return "empty"
    if text in references.values():
        return f"the answer to `{text.removeprefix('the-answer-to-')}`"
    return f"`{text}`"


def allowed(name: str, answers: Answers) -> str:
    """Return the cell with the choices or, for a typed answer, the validator's own words."""
    if meanings := choices(name):
        return "<br>".join(
            f"`{choice}`: {meaning}" if meaning else f"`{choice}`"
            for choice, meaning in meanings.items()
        )
    refused = -1 if QUESTIONS[name]["type"] == "int" else "\0"
    message = rendered(QUESTIONS[name]["validator"], {**answers, name: refused})
    wanted = message[message.lower().index("type ") + len("type ") :]
    return wanted[0].upper() + wanted[1:]


def rows(template: str) -> Iterator[tuple[str, ...]]:
    """Yield name, help, default and allowed answers of each question that a template asks."""
    answers = defaults(template)
    for name, details in QUESTIONS.items():
        depends = condition(name, answers)
        if name != "template" and depends is not None:
            secret = "Secret: recorded nowhere." if details.get("secret") else ""
            text = " ".join(filter(None, [rendered(details["help"], answers), depends, secret]))
            yield f"`{name}`", text, default(name, template), allowed(name, answers)


def page() -> str:
    """Return the whole page."""
    lines = [INTRODUCTION]
    for template, meaning in choices("template").items():
        lines += ["", f"## {meaning}: `template={template}`", ""]
        lines += ["| Name | What it asks | Default | What to answer |", "|---|---|---|---|"]
        for row in rows(template):
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return "\n".join(lines)


def outdated() -> str:
    """Return how docs/questions.md differs from copier.yml, or an empty string."""
    written = PAGE.read_text(encoding="utf-8").splitlines(keepends=True)
    wanted = f"{page()}\n".splitlines(keepends=True)
    return "".join(difflib.unified_diff(written, wanted, "docs/questions.md", "copier.yml"))


if __name__ == "__main__":
    if "--check" not in sys.argv:
        print(page())
    elif difference := outdated():
        sys.exit(f"{difference}error: docs/questions.md is not what copier.yml says: run make docs")
