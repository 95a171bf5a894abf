"""The two files that list what the app requires."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_requirements_txt_and_pyproject_list_the_same() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()

    listed = [line for line in lines if line and not line.startswith("#")]

    assert listed == project["dependencies"]
