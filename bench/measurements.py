"""How much is measured, and the figures found."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from stacks import Stack

SLOW = 20
"""What takes more seconds is measured in the first round only."""


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        sizes: numbers of distributions held, for the curves.
        compared: number at which all stacks are compared.
        installed: number at which installs are timed.
        seconds: of each load.
        rounds: of everything.
        uploads: in each round.
    """

    sizes: tuple[int, ...]
    compared: int
    installed: int
    seconds: int
    rounds: int
    uploads: int


SCALES = {
    "small": Scale((100, 1_000, 10_000), 10_000, 1_000, seconds=1, rounds=1, uploads=10),
    "full": Scale((100, 1_000, 10_000, 100_000), 10_000, 10_000, seconds=5, rounds=1, uploads=40),
}


class Measurements:
    """Every figure by stack, distributions held and what was measured."""

    def __init__(self) -> None:
        self._figures: dict[tuple[str, int, str], list[float]] = defaultdict(list)
        self._slow: set[tuple[str, int, str]] = set()
        self.skipped: list[str] = []

    def take(self, stack: Stack, what: str, measure: Callable[[], float]) -> None:
        """Measure one thing, unless it was slow the last time."""
        key = (stack.name, stack.held, what)
        if key not in self._slow:
            started = time.monotonic()
            self.note(stack, what, measure())
            if time.monotonic() - started > SLOW:
                self._slow.add(key)

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
        """Return the median of all rounds, None if it was not measured."""
        figures = self._figures.get((stack, held, what))
        return statistics.median(figures) if figures else None
