"""The three Makefiles: one dialect, whichever of them is read first."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from kit.template import ROOT, Render

MAKEFILES = ("Makefile", "template/server/Makefile.jinja", "template/client/Makefile.jinja")
ANSWERS = ({"template": "server"}, {"template": "client"})
EVERY_ANSWER = (
    {"template": "server", "https": "internal"},
    {"template": "client", "package_manager": "uv", "locked": True},
    {"template": "client", "package_manager": "poetry", "locked": False},
)


def help_recipe(makefile: Path) -> str:
    """Return the rule of `help`, as it is written."""
    (rule,) = re.findall(r"^help:.*\n(?:\t.*\n)+", makefile.read_text(encoding="utf-8"), re.M)
    return str(rule)


def listed(folder: Path, *arguments: str) -> list[str]:
    """Return the targets that make lists."""
    done = subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return re.findall(r"^  ([a-z-]+) +[A-Z]", done.stdout, re.M)


def documented(makefile: Path) -> list[str]:
    """Return the targets that have a line of help."""
    return re.findall(r"^([a-z-]+):.*## ", makefile.read_text(encoding="utf-8"), re.M)


def test_the_three_write_the_help_letter_for_letter_the_same() -> None:
    assert len({help_recipe(ROOT / name) for name in MAKEFILES}) == 1


def test_the_template_repository_lists_each_target() -> None:
    assert "help" in documented(ROOT / "Makefile")
    assert listed(ROOT) == documented(ROOT / "Makefile")


@pytest.mark.parametrize("answers", EVERY_ANSWER)
def test_a_rendered_repository_lists_each_target(
    render: Render, answers: dict[str, object]
) -> None:
    folder = render(answers)

    assert "help" in documented(folder / "Makefile")
    assert listed(folder) == documented(folder / "Makefile")


@pytest.mark.parametrize("answers", ANSWERS)
def test_the_help_is_of_the_makefile_that_make_was_given(
    render: Render, answers: dict[str, object], tmp_path: Path
) -> None:
    shutil.copy(render(answers) / "Makefile", tmp_path / "index.mk")

    assert listed(tmp_path, "-f", "index.mk") == documented(tmp_path / "index.mk")


@pytest.mark.parametrize("name", MAKEFILES)
def test_a_line_of_help_starts_after_the_longest_name(name: str) -> None:
    (width,) = re.findall(r"%-(\d+)s", help_recipe(ROOT / name))

    assert max(map(len, documented(ROOT / name))) <= int(width)


@pytest.mark.parametrize("name", MAKEFILES)
def test_a_recipe_is_indented_by_tabs(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if re.match("\t* ", line)] == []


@pytest.mark.parametrize("name", MAKEFILES)
def test_make_computes_once_what_does_not_have_to_wait(name: str) -> None:
    """Only what reads the target, an argument or a later variable is computed at each use."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", "")
    computed_at_each_use = re.findall(r"^(?:export )?(\w+) = (.*)$", text, re.M)

    assert [name for name, value in computed_at_each_use if not re.search(r"\$[1@]", value)] == []


@pytest.mark.parametrize("name", MAKEFILES)
def test_a_complaint_begins_as_those_of_all_other_programs(name: str) -> None:
    said = re.findall(r"""echo (["'].*)""", (ROOT / name).read_text(encoding="utf-8"))

    assert [line for line in said if ">&2" in line and not line[1:].startswith("error: ")] == []
