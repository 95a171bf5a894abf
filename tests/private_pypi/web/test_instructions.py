"""The lines that a person copies: right for this index, and without a secret."""

from __future__ import annotations

import itertools

import pytest
from private_pypi.web.instructions import Block, Instruction, Instructions

URL = "https://pypi.example:8443/team/"


def instructions(url: str = URL, *, asks_pypi: bool = True) -> list[Instruction]:
    """Return all instructions there are."""
    made = Instructions(url, asks_pypi=asks_pypi)
    return [made.login(), *made.for_all(), *made.for_project("my-lib")]


def lines(block: Block) -> str:
    """Return the lines of a block as they are copied."""
    return "".join(text for _, text in block.code)


def blocks(found: list[Instruction]) -> list[Block]:
    """Return the blocks of all these instructions."""
    return list(itertools.chain.from_iterable(one.blocks for one in found))


def of(found: list[Instruction], name: str) -> list[str]:
    """Return the lines of each block for one tool."""
    return [lines(block) for one in found if one.name == name for block in one.blocks]


def test_each_tool_has_its_instruction() -> None:
    made = Instructions(URL, asks_pypi=True)

    tools = ["pip", "uv", "Poetry", "twine", "Dockerfile", "GitHub", "GitLab"]
    assert [one.name for one in made.for_all()] == tools
    assert [one.name for one in made.for_project("my-lib")] == ["pip", "uv", "Poetry"]
    for one in made.for_all():
        assert one.id == one.name.lower()
        assert all(block.text and block.code for block in one.blocks)


@pytest.mark.parametrize("asks_pypi", [True, False])
def test_no_line_has_a_password(asks_pypi: bool) -> None:
    for block in blocks(instructions(asks_pypi=asks_pypi)):
        for kind, text in block.code:
            if "PASSWORD" in text.replace("INDEX_PASSWORD", ""):
                assert (kind, text) == ("placeholder", "PASSWORD")
        assert "://USER" not in lines(block)
        assert "@pypi.example" not in lines(block)
        assert "--password" not in lines(block)


@pytest.mark.parametrize("asks_pypi", [True, False])
def test_all_that_differs_between_servers_is_a_part_of_its_own(asks_pypi: bool) -> None:
    # A script sets these parts to the URL as the browser sees it.
    for block in blocks(instructions(asks_pypi=asks_pypi)):
        for kind, text in block.code:
            assert kind in ("", "url", "host", "placeholder")
            assert (kind == "url") == ("https://pypi.example" in text)
            assert (kind == "host") == (text == "pypi.example")
            if kind == "url":
                assert text == URL.rstrip("/")
            if kind == "placeholder":
                assert text in ("USER", "PASSWORD", "PACKAGE")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://pypi.example/", "pypi.example"),
        ("http://127.0.0.1:8080/", "127.0.0.1"),
        ("https://pypi.example:8443/a/b/", "pypi.example"),
        ("https://[2001:db8::1]:8443/", "2001:db8::1"),
    ],
)
def test_the_account_is_for_the_host_alone(url: str, host: str) -> None:
    (netrc, closed) = of(instructions(url), "Log in")

    assert netrc == f"machine {host}\nlogin USER\npassword PASSWORD"
    assert closed == "chmod 600 ~/.netrc"


def test_no_line_has_a_variable_that_was_not_filled_in() -> None:
    for block in blocks(instructions()):
        for name in ("{url}", "{host}", "{user}", "{password}", "{package}"):
            assert name not in lines(block)


def test_the_lines_are_for_the_url_of_the_index() -> None:
    made = Instructions(URL, asks_pypi=True).for_all()

    simple = "https://pypi.example:8443/team/simple/"
    assert of(made, "pip") == [f"pip install --index-url {simple} PACKAGE"]
    assert of(made, "twine") == [
        "twine upload --repository-url https://pypi.example:8443/team/ --username USER dist/*"
    ]
    (action,) = of(made, "GitHub")
    assert f"--index-url {simple} PACKAGE" in action
    assert "${{ secrets.INDEX_PASSWORD }}" in action
    assert f"pip install --index-url {simple} PACKAGE" in of(made, "GitLab")[0]
    assert "--mount=type=secret,id=netrc" in of(made, "Dockerfile")[0]


def test_for_a_project_the_lines_name_it() -> None:
    made = Instructions(URL, asks_pypi=True).for_project("my-lib")

    assert of(made, "pip") == [
        "pip install --index-url https://pypi.example:8443/team/simple/ my-lib"
    ]
    assert "PACKAGE" not in "".join(map(lines, blocks(made)))


def test_an_index_that_redirects_to_pypi_is_the_only_one_of_a_project() -> None:
    made = instructions(asks_pypi=True)

    assert {line.split("=")[0] for line in of(made, "uv") if "add" in line} == {
        "uv add --default-index private"
    }
    assert all("--priority=primary" in line for line in of(made, "Poetry") if "source" in line)


def test_beside_an_index_that_does_not_all_else_comes_from_pypi() -> None:
    made = instructions(asks_pypi=False)

    assert {line.split("=")[0] for line in of(made, "uv") if "add" in line} == {
        "uv add --index private"
    }
    for line in (line for line in of(made, "Poetry") if "source" in line):
        assert "--priority=explicit" in line
        assert "poetry add --source private " in line
