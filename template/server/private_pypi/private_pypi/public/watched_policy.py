"""The policy as it is now: read again while the mirror runs, so that a change needs no restart."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .. import disk
from ..settings import SettingError
from .policy import Policy, PolicyError

log = logging.getLogger(__name__)

_EVERY = 1.0
"""Seconds between two looks at the file."""
_MOST_BYTES = 2**20


class WatchedPolicy:
    """The policy in a file that its owner edits, replaces and may break.

    A broken file changes nothing: the last good policy applies, also after a restart, and the log
    says so once. Before there was a good one, nothing is offered, and each refusal says why.

    Args:
        path: of that file.
        last_good: path of a file of the mirror's own, for the text that was good last.
        clock: tells seconds that never go back.

    Attributes:
        number: grows whenever `current` becomes another policy.
    """

    def __init__(
        self, path: Path, last_good: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.number = 0
        self._path = path
        self._last_good = last_good
        self._kept_text: str | None = None
        self._is_complaining = False
        self._clock = clock
        self._policy: Policy | None = None
        self._text: str | None = None
        self._problem = ""
        self._next_look = -1.0

    @property
    def current(self) -> Policy:
        """The policy that applies; the file is read if that was not done in the last second."""
        if (now := self._clock()) >= self._next_look:
            self._next_look = now + _EVERY
            self._look()
        return self._policy or Policy.refusing(
            f"nothing from PyPI is offered until its policy is mended: {self._problem}"
        )

    def _look(self) -> None:
        try:
            text = _read(self._path)
            # The text, not the time of the file: an editor may save twice within a tick of it.
            if text != self._text or self._problem:
                policy = Policy.parse(text, self._path.name)
                is_new, is_first = policy != self._policy, self._policy is None
                self._policy, self._text, self._problem = policy, text, ""
                if is_new:
                    self.number += 1
                if not is_first:
                    log.info("%s applies as it is now", self._path.name)
            if text != self._kept_text:
                self._keep(text)
        except SettingError as error:
            self._complain(str(error))
        except OSError as error:
            self._complain(f"{self._path.name} cannot be read: {error.strerror}")
        except ValueError as error:
            self._complain(f"{self._path.name} cannot be understood: {error}")

    def _complain(self, problem: str) -> None:
        if problem == self._problem:
            return
        self._problem = problem
        if self._policy is None:
            self.number += 1
            self._recall()
        if self._policy is None:
            log.error("%s: nothing from PyPI is offered until that is mended", problem)
        else:
            log.error("%s: the last good policy applies", problem)

    def _keep(self, text: str) -> None:
        """Keep a good text for a start at which the file is broken."""
        try:
            if not _has(self._last_good, text):
                self._last_good.parent.mkdir(parents=True, exist_ok=True)
                # What was unfinished when the server was killed.
                for path in self._last_good.parent.glob(f"{self._last_good.name}.*"):
                    disk.delete(path)
                disk.write_atomically(self._last_good, text.encode())
            self._kept_text, self._is_complaining = text, False
        except OSError as error:
            # It is tried again with each look: one line says it.
            if not self._is_complaining:
                log.error(
                    "%s cannot be written, so that a mistake in %s would hide everything after a"
                    " restart: %s: free some space on its disk, and let this user write there",
                    self._last_good,
                    self._path.name,
                    error.strerror,
                )
            self._is_complaining = True

    def _recall(self) -> None:
        """Go on with the policy that was good before this process began, if there was one."""
        with suppress(SettingError, OSError, ValueError):
            self._policy = Policy.parse(_read(self._last_good), self._path.name)


def _has(path: Path, text: str) -> bool:
    try:
        return _read(path) == text
    except (OSError, PolicyError):
        return False


def _read(path: Path) -> str:
    """Return the text of a policy.

    Raises:
        OSError: if it cannot be read.
        PolicyError: if it is too long, or no text.
    """
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise PolicyError(f"{path.name} is larger than {_MOST_BYTES} bytes: shorten it")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise PolicyError(f"{path.name} is no TOML: it is not UTF-8") from None
