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
        sizes: numbers of distributions held, for the curves.
        compared: number at which all stacks are compared.
        installed: number at which installs are timed.
        seconds: of each load.
        more_turns: after the first, of the stacks whose figures are close to each other.
        uploads: in each turn.
    """

    sizes: tuple[int, ...]
    compared: int
    installed: int
    seconds: int
    more_turns: int
    uploads: int


SCALES = {
    "small": Scale((100, 1_000, 10_000), 10_000, 1_000, seconds=1, more_turns=0, uploads=10),
    "full": Scale(
        (100, 1_000, 10_000, 100_000), 10_000, 10_000, seconds=3, more_turns=2, uploads=40
    ),
}


class Measurements:
    """Every figure by stack, distributions held and what was measured."""

    def __init__(self) -> None:
        self._figures: dict[tuple[str, int, str], list[float]] = defaultdict(list)
        self.skipped: list[str] = []

    def note(self, stack: Stack, what: str, figure: float) -> None:
        """Keep and print a figure."""
        self._figures[stack.name, stack.held, what].append(figure)
        held = f"{stack.held:,} files" if stack.held else ""
        print(f"  {stack.name:18} {held:>14}  {what:22} {figure:12,.2f}", flush=True)

    def skip(self, why: str) -> None:
        """Leave something out and say so."""
        self.skipped.append(why)
        print(f"  skipped: {why}", flush=True)

    def median(self, stack: str, held: int, what: str) -> float | None:
        """Return the median of all turns, None if it was not measured."""
        figures = self._figures.get((stack, held, what))
        return statistics.median(figures) if figures else None
