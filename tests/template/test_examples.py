"""The answer files that the docs show."""

from __future__ import annotations

from pathlib import Path

import copier
import pytest
import yaml
from kit.template import ROOT, check_names

EXAMPLES = sorted((ROOT / "examples").glob("*.yml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_renders_and_is_recorded_as_it_stands(
    example: Path, template: Path, tmp_path: Path
) -> None:
    answers = yaml.safe_load(example.read_text())
    check_names(answers)
    copier.run_copy(
        str(template), tmp_path / "out", answers, defaults=True, unsafe=True, quiet=True
    )
    recorded = yaml.safe_load((tmp_path / "out/.copier-answers.yml").read_text())
    assert answers.items() <= recorded.items()


def test_there_is_an_example_of_each_template() -> None:
    assert {path.stem.split("-")[0] for path in EXAMPLES} == {"server", "client"}
