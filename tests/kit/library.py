"""Projects of private libraries, as their publishers have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Library = Callable[..., Path]
