"""Curves on logarithmic axes, as an SVG picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

Curves = Mapping[str, Sequence[tuple[int, float]]]
"""Points, of x and y, of each line by its name."""

_COLOURS = ("#0b6e99", "#d1495b")
_WIDTH, _HEIGHT = 330, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 34, 44


def svg(panels: Mapping[str, Curves]) -> str:
    """Return a picture with a panel for each title, two side by side."""
    columns = 2
    rows = math.ceil(len(panels) / columns)
    width, height = columns * _WIDTH, rows * _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for place, (title, curves) in enumerate(panels.items()):
        row, column = divmod(place, columns)
        parts.append(f'<g transform="translate({column * _WIDTH} {row * _HEIGHT})">')
        parts += _panel(title, curves)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(title: str, curves: Curves) -> list[str]:
    parts = [f'<text x="{_LEFT}" y="18" font-size="13">{escape(title)}</text>']
    points = [point for line in curves.values() for point in line]
    if not points:
        return [*parts, f'<text x="{_LEFT}" y="60">not measured</text>']
    across = _decades(x for x, _ in points)
    up = _decades(y for _, y in points)
    for exponent in across:
        x = _place(10**exponent, across, _LEFT, _WIDTH - _RIGHT)
        parts.append(_line(x, _TOP, x, _HEIGHT - _BOTTOM))
        parts.append(_text(x, _HEIGHT - _BOTTOM + 15, f"{10**exponent:,}", "middle"))
    for exponent in up:
        y = _place(10**exponent, up, _HEIGHT - _BOTTOM, _TOP)
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y))
        parts.append(_text(_LEFT - 5, y + 4, f"{10.0**exponent:,.4g}", "end"))
    for place, (name, line) in enumerate(curves.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        spots = [
            (
                _place(x, across, _LEFT, _WIDTH - _RIGHT),
                _place(y, up, _HEIGHT - _BOTTOM, _TOP),
            )
            for x, y in line
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in spots]
        x = _LEFT + 95 * place
        parts.append(f'<circle cx="{x + 4}" cy="{_HEIGHT - 12}" r="4" fill="{colour}"/>')
        parts.append(_text(x + 13, _HEIGHT - 8, name, "start"))
    parts.append(_text(_WIDTH - _RIGHT, _HEIGHT - 8, "files", "end"))
    return parts


def _decades(values: Iterable[float]) -> range:
    exponents = [math.log10(value) for value in values]
    least, most = math.floor(min(exponents)), math.ceil(max(exponents))
    return range(least, max(most, least + 1) + 1)


def _place(value: float, decades: range, start: float, end: float) -> float:
    share = (math.log10(value) - decades[0]) / (decades[-1] - decades[0])
    return start + share * (end - start)


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
