"""The `copier` command, as people run it: with options, or answering its questions."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterable
from io import StringIO
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
from pexpect.fdpexpect import fdspawn  # type: ignore[import-untyped]

from kit import commands

COPIER = str(Path(sys.executable).with_name("copier"))
SCREEN = struct.pack("HHHH", 50, 250, 0, 0)
"""Rows and columns; wide enough that no question is broken into two lines."""

SECONDS = 60
"""How long to wait for a question."""


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of Copier's that asks nothing, whatever it returns."""
    return commands.ask(COPIER, *arguments, cwd=cwd, timeout=SECONDS)


def succeed(*arguments: str | Path, cwd: Path) -> str:
    """Run a command of Copier's that must succeed; return what it printed, errors included."""
    return commands.run(COPIER, *arguments, cwd=cwd, timeout=SECONDS)


def converse(
    *arguments: str | Path, cwd: Path, answers: Iterable[tuple[str, str]]
) -> tuple[int, str]:
    """Run a command of Copier's at a terminal; return its exit code and what the screen showed.

    Args:
        arguments: of the command.
        cwd: folder to run it in.
        answers: pairs of a text that must appear and what is then typed, before Enter.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, SCREEN)
    process = subprocess.Popen(
        [COPIER, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    screen = StringIO()
    terminal = fdspawn(master, timeout=SECONDS, encoding="utf-8")
    terminal.logfile_read = screen
    try:
        for question, answer in answers:
            terminal.expect_exact(question)
            terminal.send(f"{answer}\r")
        terminal.expect(pexpect.EOF)
        return process.wait(SECONDS), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    finally:
        process.kill()
        process.wait()
        terminal.close()
