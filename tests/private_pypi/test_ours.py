"""The commands that keep our names from PyPI, as their owner and the other container meet them."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.an_index import age, copy
from private_pypi.__main__ import main
from private_pypi.index import Index
from private_pypi.public.requirements import Wanted, loaded
from private_pypi.public.settings import default_index

Captured = pytest.CaptureFixture[str]
Type = Callable[[str | bytes], None]

END = "# end\n"
PUBLIC_NAMES = "".join(f"name-{number}\n" for number in range(1000))


@pytest.fixture(autouse=True)
def index(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """An index that has `my-lib` and had `old-lib`, in the working directory."""
    data = repository / "pypi_data"
    copy(data, "my-lib")
    old = copy(data, "old-lib")
    age(data)
    made = Index(data, repository / "pypi_index")
    made.refresh()
    old.unlink()
    age(data)
    made.refresh()
    monkeypatch.setenv("PYPI_PRIVATE_PREFIXES", "acme corp-tools")
    return made


@pytest.fixture
def type_in(monkeypatch: pytest.MonkeyPatch) -> Type:
    """Have the next command read this from its standard input."""

    def type_in(typed: str | bytes) -> None:
        content = typed.encode() if isinstance(typed, str) else typed
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))

    return type_in


# What may be fetched ------------------------------------------------------------------------------


def test_what_is_ours_is_left_out_with_a_sentence(type_in: Type, capsys: Captured) -> None:
    type_in("My_Lib==1\nnumpy==2\nold.lib\nAcme\nacme-x\nacmex\n-r base.txt\n")

    assert main(["public-requirements", "path/requirements.txt"]) == 0

    printed = capsys.readouterr()
    *rows, end = printed.out.splitlines(keepends=True)
    assert [loaded(row) for row in rows] == [
        Wanted("numpy", "==2", where="requirements.txt line 2"),
        Wanted("acmex", where="requirements.txt line 6"),
    ]
    assert end == END
    assert printed.err.splitlines() == [
        "requirements.txt line 7: -r is not followed: fetch what that file names, too.",
        "acme is ours: it is not fetched from PyPI.",
        "acme-x is ours: it is not fetched from PyPI.",
        "my-lib is ours: it is not fetched from PyPI.",
        "old-lib is ours: it is not fetched from PyPI.",
        "requirements.txt is no lock file: what its packages need is fetched only if it names"
        " that, too.",
    ]


def test_no_name_of_ours_passes_in_whatever_form(type_in: Type, capsys: Captured) -> None:
    wheel = "my_lib-1.0-py3-none-any.whl"
    lock = f"[[package]]\nname = 'My.Lib'\nfiles = [{{ file = '{wheel}', hash = 'sha256:00' }}]\n"
    for name, text in (("poetry.lock", lock), ("uv.lock", lock), ("r.txt", "MY--LIB[a]==1")):
        type_in(text)
        assert main(["public-requirements", name]) == 0
        assert capsys.readouterr().out == END


def test_what_a_lock_file_has_from_another_index_is_left_out(
    type_in: Type, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYPI_URL", "https://pypi.example.com/team")
    indexes = {
        "through-us": "https://pypi.example.com/team/simple",
        "past-us": default_index(),
        "their-secret": "https://other.example/team/simple",
    }
    type_in(
        "".join(
            f"[[package]]\nname = '{name}'\nsource = {{ registry = '{url}' }}\n"
            f"sdist = {{ url = 'https://files.example/{name}-1.zip' }}\n"
            for name, url in indexes.items()
        )
    )

    assert main(["public-requirements", "uv.lock"]) == 0

    printed = capsys.readouterr()
    *rows, _ = printed.out.splitlines()
    assert [loaded(row).project for row in rows] == ["through-us", "past-us"]
    assert printed.err == (
        "uv.lock: their-secret comes from other.example, not from PyPI or this index: it is left"
        " out.\n"
    )


def test_a_lock_file_needs_no_sentence(type_in: Type, capsys: Captured) -> None:
    type_in("[[package]]\nname = 'a'\nfiles = [{ file = 'a-1.zip', hash = 'sha256:00' }]\n")

    assert main(["public-requirements", "poetry.lock"]) == 0

    printed = capsys.readouterr()
    assert json.loads(printed.out.splitlines()[0])["files"] == [["a-1.zip", "sha256:00"]]
    assert printed.err == ""


@pytest.mark.parametrize(
    ("name", "typed", "message"),
    [
        ("uv.lock", b"a = 1 2", "uv.lock is no TOML: "),
        ("r.txt", b"\xff", "r.txt is no text in UTF-8: save it as such"),
        ("r.txt", b"numpy\na b", "r.txt line 2: 'a b' is no requirement: "),
        ("Pipfile", b"", "Pipfile is none of the files that are read: "),
    ],
)
def test_a_file_that_cannot_be_read_gives_nothing_to_fetch(
    type_in: Type, capsys: Captured, name: str, typed: bytes, message: str
) -> None:
    type_in(typed)

    assert main(["public-requirements", name]) == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {message}")


def test_a_file_with_a_byte_order_mark_is_read(type_in: Type, capsys: Captured) -> None:
    type_in(b"\xef\xbb\xbfnumpy\n")

    assert main(["public-requirements", "r.txt"]) == 0
    assert loaded(capsys.readouterr().out.splitlines()[0]).project == "numpy"


@pytest.mark.parametrize(
    ("name", "code", "out", "err"),
    [
        ("NumPy", 0, "numpy\n", ""),
        ("My_Lib", 1, "", "error: my-lib is ours: none of its releases comes from PyPI\n"),
        ("acme-x", 1, "", "error: acme-x is ours: none of its releases comes from PyPI\n"),
        ("a/b", 1, "", "error: 'a/b' is no name of a package: give one\n"),
    ],
)
def test_a_name_is_printed_unless_it_is_ours(
    capsys: Captured, name: str, code: int, out: str, err: str
) -> None:
    assert main(["public-name", name]) == code
    assert capsys.readouterr() == (out, err)


# Names that are not all known ---------------------------------------------------------------------

COMMANDS = pytest.mark.parametrize(
    ("command", "typed"),
    [
        (["public-requirements", "r.txt"], "new-lib\n"),
        (["public-name", "new-lib"], ""),
        (["names-on-pypi"], f"{PUBLIC_NAMES}new-lib\n{END}"),
    ],
)


@COMMANDS
@pytest.mark.parametrize("folder", ["", "sub"])
def test_a_name_that_was_just_copied_in_is_ours(
    repository: Path,
    type_in: Type,
    capsys: Captured,
    command: list[str],
    typed: str,
    folder: str,
) -> None:
    copy(repository / "pypi_data" / folder, "new-lib")
    type_in(typed)

    main(command)

    printed = capsys.readouterr()
    assert "new-lib is " in printed.out + printed.err
    assert "new-lib" not in printed.out.replace("new-lib is yours", "")


@COMMANDS
def test_a_name_of_a_file_that_is_not_served_is_ours(
    repository: Path, type_in: Type, capsys: Captured, command: list[str], typed: str
) -> None:
    (repository / "pypi_data/new_lib-1.0-py3.8.egg").touch()
    type_in(typed)

    main(command)

    printed = capsys.readouterr()
    assert "new-lib is " in printed.out + printed.err


@COMMANDS
def test_what_cannot_be_read_may_have_any_name_so_that_nothing_is_said_of_any(
    repository: Path, type_in: Type, capsys: Captured, command: list[str], typed: str
) -> None:
    (repository / "pypi_data/link").symlink_to("nowhere")
    type_in(typed)

    assert main(command) == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: not all names of the index can be known: ")
    assert "link" in printed.err
    assert printed.err.endswith(": mend that\n")


# Names on PyPI ------------------------------------------------------------------------------------


def test_names_of_ours_on_pypi_are_listed(type_in: Type, capsys: Captured) -> None:
    type_in(f"{PUBLIC_NAMES}My_Lib\nACME.Evil\nacmex\n{END}")

    assert main(["names-on-pypi"]) == 1

    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "acme-evil is on PyPI, and lies in your prefix acme.",
        "my-lib is yours, and is on PyPI, too.",
    ]
    assert printed.err == (
        "error: PyPI has 2 names of yours: a client that asks PyPI, too, may get them from there\n"
    )


def test_a_single_name_is_told_as_one(type_in: Type, capsys: Captured) -> None:
    type_in(f"{PUBLIC_NAMES}old-lib\n{END}")

    assert main(["names-on-pypi"]) == 1
    assert capsys.readouterr().err == (
        "error: PyPI has a name of yours: a client that asks PyPI, too, may get it from there\n"
    )


def test_without_any_there_is_a_sentence(type_in: Type, capsys: Captured) -> None:
    type_in(f"{PUBLIC_NAMES}acmex\n{END}")

    assert main(["names-on-pypi"]) == 0
    assert capsys.readouterr() == (
        "None of your 2 names is among the 1001 on PyPI, nor any in your prefixes.\n",
        "",
    )


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", "public names did not finish: "),
        (PUBLIC_NAMES, "public names did not finish: "),
        (END, "PyPI's list has only 0 names, so it is not PyPI's: "),
        (f"name\n{END}", "PyPI's list has only 1 names, so it is not PyPI's: "),
    ],
)
def test_a_list_that_is_not_whole_says_nothing_of_our_names(
    type_in: Type, capsys: Captured, typed: str, message: str
) -> None:
    type_in(typed)

    assert main(["names-on-pypi"]) == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {message}")
