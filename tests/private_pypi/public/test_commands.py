"""The commands of the container that reaches PyPI, as they are run."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from kit.mirror import PublicServer
from kit.pypi import PyPI
from private_pypi.__main__ import main
from private_pypi.public.requirements import Wanted, dumped
from private_pypi.public.settings import PublicSettings

Captured = pytest.CaptureFixture[str]
END = "# end\n"


@pytest.fixture(autouse=True)
def environment(public_settings: PublicSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that the container has."""
    monkeypatch.setenv("PUBLIC_DATA", str(public_settings.data))
    monkeypatch.setenv("PYPI_SOCKET", str(public_settings.socket))
    monkeypatch.setenv("public_index", public_settings.index)


def type_in(monkeypatch: pytest.MonkeyPatch, *wanted: Wanted, end: str = END) -> None:
    typed = "".join(f"{dumped(one)}\n" for one in wanted) + end
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))


def test_fetch_prints_a_line_for_each_project_and_a_sum(
    pypi: PyPI, public: PublicServer, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    pypi.release("a", "1.0")
    pypi.release("b", "1.0", has_metadata=False)
    type_in(monkeypatch, Wanted("b"), Wanted("a"))

    assert main(["public", "fetch"]) == 0
    assert capsys.readouterr() == (
        "b: one file, 0.0 MB\na: 2 files, 0.0 MB\n3 files of 2 projects, 0.0 MB\n",
        "",
    )


def test_fetch_lists_what_is_missing_and_fails(
    pypi: PyPI, public: PublicServer, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    pypi.release("a", "1.0")
    type_in(monkeypatch, Wanted("a"), Wanted("other"))

    assert main(["public", "fetch"]) == 1

    printed = capsys.readouterr()
    assert printed.out.splitlines()[-2:] == [
        "2 files of 2 projects, 0.0 MB",
        "other: PyPI has no project other.",
    ]
    assert printed.err == (
        "error: not everything can be installed from the mirror: one is named above\n"
    )


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", "public-requirements did not finish: "),
        (f"{dumped(Wanted('a'))}\n", "public-requirements did not finish: "),
        (f"numpy==2\n{END}", "'numpy==2' is no line of public-requirements: "),
    ],
)
def test_fetch_asks_for_nothing_unless_its_list_is_whole(
    pypi: PyPI,
    public: PublicServer,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    message: str,
) -> None:
    type_in(monkeypatch, end=typed)

    assert main(["public", "fetch"]) == 1
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert pypi.requests == []


def test_fetch_of_nothing_is_no_failure(
    public: PublicServer, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(monkeypatch)

    assert main(["public", "fetch"]) == 0
    assert capsys.readouterr().out == "0 files of 0 projects, 0.0 MB\n"


@pytest.mark.parametrize("command", [["fetch"], ["policy", "a"]])
def test_without_a_mirror_that_runs_a_command_says_so(
    command: list[str], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(monkeypatch)

    assert main(["public", *command]) == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: nothing answers on ")


def test_policy_prints_the_table_of_a_name_however_it_is_spelled(
    pypi: PyPI, public: PublicServer, capsys: Captured
) -> None:
    pypi.release("my-lib", "1.0")

    assert main(["public", "policy", "My_Lib"]) == 0
    assert capsys.readouterr().out == (
        "RELEASE  FILES      RULE\n"
        "1.0      1 offered  published 100 days ago, and cooldown_days is 7\n"
    )


def test_names_prints_the_list_and_that_it_is_whole(
    pypi: PyPI, capsys: Captured, tmp_path: Path
) -> None:
    pypi.names = {"a", "b"}

    assert main(["public", "names"]) == 0
    assert capsys.readouterr() == (f"a\na-lib\nb\n{END}", "")
    with pypi.failing("dies"):
        assert main(["public", "names"]) == 1
    printed = capsys.readouterr()
    assert END not in printed.out
    assert printed.err.startswith("error: PyPI's list of names cannot be had: ")
