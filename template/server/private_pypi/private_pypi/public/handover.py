"""Lines that a command in one container hands to a command in another.

A pipe between them ends in the same way whether the first command came to its end or failed. So its
last line says that it did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..settings import SettingError

END = "# end"


def whole(lines: Iterable[str], origin: str) -> Iterator[str]:
    """Yield all lines, without their ends, up to the last one.

    Args:
        origin: the command that they come from.

    Raises:
        SettingError: after the lines, if the last one is missing.
    """
    for line in lines:
        if (text := line.rstrip("\r\n")) == END:
            return
        yield text
    raise SettingError(f"{origin} did not finish: its own error says why")
