"""How much is measured, and the figures found."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass

from stacks import Stack


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        sizes: numbers of distributions, for the curves.
        compared: distributions with which all stacks are compared.
        installed: distributions with which installs are timed.
        seconds: duration of each load.
        more_turns: turns after the first, for the stacks whose figures are close to each other.
        uploads: uploads in each turn.
        installs: how often each program installs through the mirror, and past it.
    """

    sizes: tuple[int, ...]
    compared: int
    installed: int
    seconds: int
    more_turns: int
    uploads: int
    installs: int


SCALES = {
    "small": Scale(
        (100, 1_000, 10_000), 10_000, 1_000, seconds=1, more_turns=0, uploads=10, installs=1
    ),
    "full": Scale(
        (100, 1_000, 10_000, 100_000),
        10_000,
        10_000,
        seconds=3,
        more_turns=2,
        uploads=100,
        installs=7,
    ),
}


class Measurements:
    """Every figure by stack, number of distributions and what was measured."""

    def __init__(self) -> None:
        self._figures: dict[tuple[str, int, str], list[float]] = defaultdict(list)
        self.skipped: list[str] = []

    def note(self, stack: Stack, what: str, figure: float) -> None:
        """Keep and print a figure."""
        self._figures[stack.name, stack.size, what].append(figure)
        size = f"{stack.size:,} files" if stack.size else ""
        print(f"  {stack.name:18} {size:>14}  {what:22} {figure:12,.2f}", flush=True)

    def skip(self, why: str) -> None:
        """Keep and print why something is left out."""
        self.skipped.append(why)
        print(f"  skipped: {why}", flush=True)

    def median(self, stack: str, size: int, what: str) -> float | None:
        """Return the median of all turns, None if it was not measured."""
        figures = self._figures.get((stack, size, what))
        return statistics.median(figures) if figures else None
