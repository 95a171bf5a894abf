"""fail2ban of Debian, which need not be installed: unpacked and asked what it would ban."""

from __future__ import annotations

import shutil
from pathlib import Path

from kit.commands import run
from kit.debian import unpack_debian


class Fail2ban:
    """fail2ban with the filter and the jail of a rendered server.

    Args:
        repository: the rendered server, installed as its README.md says.
        folder: where it is unpacked.
        log: of the refused logins.
    """

    def __init__(self, repository: Path, folder: Path, log: Path) -> None:
        folder.mkdir()
        self._root, self._configuration = unpacked(folder), folder / "etc"
        shutil.copytree(self._root / "etc/fail2ban", self._configuration)
        for file in (self._configuration / "jail.d").iterdir():
            file.unlink()
        for part in ("filter.d", "jail.d"):
            for file in (repository / "gateway/fail2ban" / part).iterdir():
                text = file.read_text().replace("/repository/gateway_data/refused.log", str(log))
                (self._configuration / part / file.name).write_text(text)

    def addresses(self, log: Path, name: str) -> list[str]:
        """Return the address of each line that a filter matches, in the order of the lines."""
        said = self._run("fail2ban-regex", "--out", "ip", str(log), name)
        return [line for line in said.splitlines() if line]

    def settings(self) -> str:
        """Return what the server would be told at its start."""
        return self._run("fail2ban-client", "-d")

    def _run(self, program: str, *arguments: str) -> str:
        return run(
            *("/usr/bin/python3", self._root / "usr/bin" / program, "-c", self._configuration),
            *arguments,
            environment={"PYTHONPATH": str(self._root / "usr/lib/python3/dist-packages")},
        )


def unpacked(folder: Path) -> Path:
    """Return the root of the machine's fail2ban, or of the package's content in a folder."""
    return Path("/") if shutil.which("fail2ban-regex") else unpack_debian("fail2ban", folder)
