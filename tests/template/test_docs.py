"""The pages of this repository lead where they say, and say what is."""

from __future__ import annotations

import importlib
import re

import pytest
from kit.git import git
from kit.template import ROOT

PAGES = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "*.md").splitlines()
PACKAGE = ROOT / "template/server/private_pypi/private_pypi"
RESULTS = (ROOT / "bench/RESULTS.md").read_text()


def text(page: str) -> str:
    """Return a page without its code, in which a # begins a comment."""
    return re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.M | re.S)


def section(page: str, heading: str) -> str:
    """Return what stands under a heading, up to the next one."""
    (found,) = re.findall(rf"^#+ {heading}$(.*?)(?=^#|\Z)", text(page), re.M | re.S)
    return str(found)


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings."""
    found = re.findall(r"^#+ (.+)$", text(page), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    links = re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", text(page))
    for link in links:
        # From an issue or a pull request of GitHub, files are elsewhere than from the file itself.
        path, _, anchor = link.replace("../blob/HEAD/", "../").partition("#")
        target = ((ROOT / page).parent / path if path else ROOT / page).resolve()
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.relative_to(ROOT).as_posix()), link


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_exists(page: str) -> None:
    files = re.findall(
        r"`(?:tests/)?((?:template|private_pypi|e2e)/[\w/]*test_\w+\.py)(?:::(\w+))?`", text(page)
    )
    for file, name in files:
        assert (ROOT / "tests" / file).exists(), file
        if name:
            assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text(), re.M), name
    defined = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", file.read_text(), re.M)
    }
    assert not set(re.findall(r"`(test_\w+)`", text(page))) - defined


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_every_path_of_this_repository_that_a_page_names_exists(page: str) -> None:
    # Those in git alone: another test may be making its own in build/ right now.
    tracked = {name.partition("/")[0] for name in git(ROOT, "ls-files", "*/*").splitlines()}
    folders = "|".join(map(re.escape, tracked))
    for path in re.findall(rf"`((?:{folders})/[\w./-]*)`", text(page)):
        assert (ROOT / path).exists() or (ROOT / "tests" / path).exists(), path


def test_both_lists_of_the_servers_modules_are_whole() -> None:
    modules = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if path.stem != "__init__"
    }
    cells = re.findall(r"^\| (`.*?`) \|", section("docs/server.md", "The package"), re.M)
    blocks = re.findall(
        r"^    ([a-z_. ]+?)  +\S", section("CONTRIBUTING.md", "Where is what"), re.M
    )

    assert sorted(re.findall(r"`([\w.]+)`", " ".join(cells))) == sorted(modules)
    assert sorted(" ".join(blocks).split()) == sorted(modules)


def test_the_pages_quote_figures_that_were_measured() -> None:
    said = section("docs/life-of-a-package.md", "Measured")

    figures = re.findall(r"\b[0-9][0-9.,]*\b", said)

    assert "times faster" in said
    assert not [figure for figure in figures if not re.search(rf"\b{figure}\b", RESULTS)]


def test_a_ratio_that_two_decimals_would_hide_is_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "bench")
    results = importlib.import_module("results")
    ours, classic = (
        [float(cell.replace(",", "")) for cell in re.findall(r"[0-9][0-9,.]*", row)]
        for row in re.findall(r"^\| (?:ours|classic stack): upload, ms \|(.*)$", RESULTS, re.M)
    )

    measured = re.findall(
        r"^\| upload time with .* files: ours / classic stack \| (.*?) \|", RESULTS, re.M
    )

    assert ["times faster" in cell for cell in measured] == [
        a / b < 0.1 for a, b in zip(ours, classic, strict=True)
    ]
    assert "times faster" in measured[-1]
    assert results.Row("time", "", 0.00471).measured() == "210 times faster"
    assert results.Row("rate", "", 0.0834).measured() == "12 times slower"
    assert results.Row("plain", "", 0.05).measured() == "0.05"
    assert "| 0.00 |" not in RESULTS
