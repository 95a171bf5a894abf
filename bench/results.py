"""Writes the results: a table of what is promised and what was measured, and the curves."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import files
import mirror
import plot
from load import CONNECTIONS
from measurements import SCALES, Measurements, Scale
from stacks import COST

FOLDER = Path(__file__).parent

DEVPI = 100
DEVPI_TREE = files.TREE * files.VERSIONS
"""Distributions that devpi-server has: for reads, and for installs, which need the whole tree."""

Kind = Literal["rate", "time", "plain"]
"""What a row is about: a ratio of rates, a ratio of times, or a plain figure."""

_CURVES = {
    "page": "simple page, requests a second",
    "download": "download, requests a second",
    "unknown": "unknown name, requests a second",
    "upload": "upload, ms",
}
_HEAD = ["what", "measured", "target", "met"]
_DRAWN = {"ours": "ours", "classic": "classic stack"}
_STACKS = {
    "ours": "ours",
    "ours, TLS": "ours, over TLS",
    "Caddy file_server": "Caddy file_server, no accounts, the same bytes",
    "nginx": "nginx, no accounts, the same bytes",
    "nginx, TLS": "nginx over TLS, no accounts, the same bytes",
    "gunicorn": "pypiserver under gunicorn with gevent, SHA-1",
    "classic": "classic stack: pypiserver's default server, SHA-1",
    "devpi": f"devpi-server with {DEVPI} files, no accounts",
}


@dataclass(frozen=True)
class Row:
    """One promise.

    Attributes:
        kind: whether figure is a ratio of rates, a ratio of times, or plain.
        what: names the two that are compared.
        figure: the ratio, the seconds or the like; None if it was not measured.
        target: the figure that is promised; None if none is.
        at_least: whether the figure may be more, rather than less, than the target.
    """

    kind: Kind
    what: str
    figure: float | None
    target: float | None = None
    at_least: bool = True

    def cells(self) -> list[str]:
        """Return the row of the table."""
        if self.target is None:
            bound, met = "", ""
        else:
            bound = f"{'at least' if self.at_least else 'at most'} {self.target:g}"
            met = "yes" if self.met() else "**no**"
        if self.figure is None:
            return [self.what, "not measured", bound, ""]
        return [self.what, self.measured(), bound, met]

    def measured(self) -> str:
        """Return the figure; in words if it is a ratio below a tenth, which would read as 0.00."""
        if not self.figure or self.kind == "plain" or self.figure >= 0.1:
            return number(self.figure)
        times = float(f"{1 / self.figure:.2g}")
        return f"{times:,.0f} times {'slower' if self.kind == 'rate' else 'faster'}"

    def met(self) -> bool:
        """Return whether the target is reached."""
        if self.figure is None or self.target is None:
            return False
        return self.figure >= self.target if self.at_least else self.figure <= self.target


def rows(found: Measurements, scale: Scale) -> list[Row]:
    """Return every promise with its figure."""

    def ratio(
        what: str, ours: tuple[str, int], peer: tuple[str, int], *, turned: bool = False
    ) -> float | None:
        a, b = found.median(*ours, what), found.median(*peer, what)
        if not a or not b:
            return None
        return b / a if turned else a / b

    least, most = scale.sizes[0], scale.sizes[-1]
    ours = ("ours", scale.compared)
    promised: list[Row] = []
    for name, peer, targets in (
        ("Caddy's own file_server, no accounts", ("Caddy file_server", 0), (0.8, 0.8)),
        ("classic stack", ("classic", scale.compared), (500, 500)),
        ("pypiserver under gunicorn", ("gunicorn", scale.compared), (50, 10)),
        (f"devpi-server with {DEVPI} files, no accounts", ("devpi", DEVPI), (15, 15)),
    ):
        for what, target in zip(("page", "download"), targets, strict=True):
            faster = ratio(what, ours, peer)
            promised.append(Row("rate", f"{what} rate: ours / {name}", faster, target))
    for what in ("page", "download"):
        over_tls = ratio(what, ("ours, TLS", scale.compared), ("nginx, TLS", 0))
        name = f"{what} rate over TLS: ours / nginx, no accounts"
        promised.append(Row("rate", name, over_tls, 0.5))
    for size in scale.sizes:
        known, unknown = (found.median("ours", size, what) for what in ("page", "unknown"))
        name = f"rate with {size:,} files: unknown name / simple page"
        shown = unknown / known if known and unknown else None
        promised.append(Row("rate", name, shown, 0.7))
    for what in _CURVES:
        slower = ratio(what, ("ours", least), ("ours", most), turned=what == "upload")
        name = f"{what}: time with {most:,} files / time with {least:,}"
        promised.append(Row("time", f"{name}, ours", slower, 1.2, at_least=False))
    for what in ("download", "upload"):
        slower = ratio(what, ("classic", least), ("classic", most), turned=what == "upload")
        name = f"{what}: time with {most:,} files / time with {least:,}"
        promised.append(Row("time", f"{name}, classic stack", slower))
    for size in scale.sizes:
        longer = ratio("upload", ("ours", size), ("classic", size))
        name = f"upload time with {size:,} files: ours / classic stack"
        target = 1.5 if size == least else 1
        promised.append(Row("time", name, longer, target, at_least=False))
    for what, name, size, target in (
        ("seconds to start", f"to start with an index of {most:,} files", most, 5),
        ("by hand", f"until a copied file is listed, with {most:,} files", most, 3),
        (
            "seconds to rebuild",
            "to rebuild a client's image after a change of its code",
            scale.installed,
            3,
        ),
    ):
        seconds = found.median("ours", size, what)
        promised.append(Row("plain", f"seconds {name}", seconds, target, at_least=False))
    promised += _for_people(found, scale.compared)
    for program in ("uv", "pip"):
        for name, peer in (
            ("classic stack", ("classic", scale.installed)),
            ("pypiserver under gunicorn", ("gunicorn", scale.installed)),
            (f"devpi-server with {DEVPI_TREE} files, no accounts", ("devpi", DEVPI_TREE)),
        ):
            faster = ratio(program, ("ours", scale.installed), peer, turned=True)
            promised.append(Row("time", f"{program} install time: {name} / ours", faster))
    return promised + of_mirror(found)


def of_mirror(found: Measurements) -> list[Row]:
    """Return the promises about the mirror of PyPI.

    They are made for pip, which installs in a client's image, and of the first install through a
    mirror for a PyPI that is some way off, as it is. What such an install costs without that way is
    the work of the mirror alone.
    """
    promised: list[Row] = []
    for program in ("pip", "uv"):
        for state, away, peer, target in (
            ("warm", "", "a bare nginx", 1.15),
            ("cold", mirror.AWAY, f"the stand-in of PyPI{mirror.AWAY}", 1.3),
            ("warm", mirror.AWAY, f"the stand-in of PyPI{mirror.AWAY}", None),
            ("cold", "", "a bare nginx", None),
        ):
            name = f"a {state} mirror / from {peer}"
            direct = found.median(f"nginx as PyPI{away}", 0, program)
            through = found.median(f"mirror{away}", mirror.PRIVATE, f"{program}, {state}")
            longer = through / direct if through and direct else None
            promised.append(
                Row(
                    "time",
                    f"{program} install time of {files.TREE} public packages: through {name}",
                    longer,
                    target if program == "pip" else None,
                    at_least=False,
                )
            )
    memory = found.median("mirror", mirror.PRIVATE, "MB of public")
    name = f"MB of memory of public with {mirror.PAGES:,} kept pages"
    return [*promised, Row("plain", name, memory, 150, at_least=False)]


def _for_people(found: Measurements, size: int) -> list[Row]:
    """Return the promises about the pages for people."""

    def figure(what: str, of: str = "") -> float | None:
        measured = found.median("ours", size, what)
        if not of or not measured:
            return measured
        other = found.median("ours", size, of)
        return measured / other if other else None

    shown = figure("web page", "page")
    written = figure("upload with pages", "upload without pages")
    projects = size // files.VERSIONS
    name = f"kB of the start page with {projects:,} projects, compressed, search included"
    return [
        Row("rate", "page rate: page of a project for people / its simple page", shown, 0.9),
        Row("time", "upload time: with / without pages for people", written, 1.05, at_least=False),
        Row("plain", name, figure("kB of the start page"), 100, at_least=False),
    ]


def write(found: Measurements, scale_name: str, minutes: float) -> None:
    """Write RESULTS.md and the plot."""
    scale = SCALES[scale_name]
    promised = [row.cells() for row in rows(found, scale)]
    curves = {
        title: {name: _curve(found, scale, stack, what) for stack, name in _DRAWN.items()}
        for what, title in _CURVES.items()
    }
    (FOLDER / "results.svg").write_text(plot.svg(curves))
    sections = [
        "# Results of `make bench`",
        f"Scale {scale_name}, {minutes:.0f} minutes, {_today()}, {os.cpu_count()} cores,"
        f" Python {platform.python_version()}. Ratios are what counts: absolute figures belong to"
        " the machine they were measured on.",
        *(f"Left out: {why}." for why in found.skipped),
        "## What is promised",
        f"Page and download: ten pages and ten wheels of 20 kB, asked for by wrk on {CONNECTIONS}"
        f" connections, from an index of {scale.compared:,} files. Ours asks for an account whose"
        f" password has a bcrypt hash of cost {COST}.",
        _table(_HEAD, promised),
        "## Against the number of files",
        "![Curves of pages, downloads and uploads](results.svg)",
        _table(["", *(f"{size:,} files" for size in scale.sizes)], _growth(found, scale)),
        f"## All stacks, with {scale.compared:,} files",
        _table(["requests a second", "page", "download"], _reads(found, scale)),
        f"## Installing {files.TREE} packages that depend on each other, nothing cached",
        _table(["seconds", "uv", "pip"], _installs(found, scale)),
    ]
    (FOLDER / "RESULTS.md").write_text("\n\n".join(sections) + "\n")


def table(promised: Sequence[Row]) -> str:
    """Return a table of promises for the terminal."""
    return "\n" + _aligned([_HEAD, *(row.cells() for row in promised)])


def number(figure: float | None) -> str:
    """Return a figure with about three digits; `-` if it was not measured."""
    if figure is None:
        return "-"
    if figure >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}"


def _curve(found: Measurements, scale: Scale, stack: str, what: str) -> list[tuple[int, float]]:
    points = [(size, found.median(stack, size, what)) for size in scale.sizes]
    return [(size, figure) for size, figure in points if figure]


def _growth(found: Measurements, scale: Scale) -> list[list[str]]:
    lines = [
        (f"{name}: {title}", stack, what)
        for what, title in _CURVES.items()
        for stack, name in _DRAWN.items()
    ]
    lines += [
        ("ours: memory of private_pypi, MB", "ours", "MB of private_pypi"),
        ("ours: memory of Caddy, MB", "ours", "MB of caddy"),
        ("classic stack: memory, MB", "classic", "MB of pypiserver"),
        ("ours: index rebuilt, files a second", "ours", "indexed a second"),
    ]
    return [
        [name, *(number(found.median(stack, size, what)) for size in scale.sizes)]
        for name, stack, what in lines
    ]


def _reads(found: Measurements, scale: Scale) -> list[list[str]]:
    alone = {"Caddy file_server": 0, "nginx": 0, "nginx, TLS": 0, "devpi": DEVPI}
    return [
        [name]
        + [
            number(found.median(stack, alone.get(stack, scale.compared), what))
            for what in ("page", "download")
        ]
        for stack, name in _STACKS.items()
    ]


def _installs(found: Measurements, scale: Scale) -> list[list[str]]:
    stacks = [(name, stack, scale.installed) for stack, name in _STACKS.items()]
    stacks = [line for line in stacks if line[1] in ("ours", "gunicorn", "classic")]
    stacks = [(f"{name}, {size:,} files", stack, size) for name, stack, size in stacks]
    stacks.append((f"devpi-server, {DEVPI_TREE} files, no accounts", "devpi", DEVPI_TREE))
    return [
        [name, *(number(found.median(stack, size, program)) for program in ("uv", "pip"))]
        for name, stack, size in stacks
    ]


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *body))


def _aligned(table: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    )


def _today() -> str:
    return datetime.datetime.now(tz=datetime.timezone.utc).strftime("%B %Y")
