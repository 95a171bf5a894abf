"""Real pip and uv processes that install in the background."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from kit.accounts import ALICE
from kit.recorded_server import PROJECTS, RecordedServer
from kit.waiting import SECONDS


@dataclass
class BackgroundInstalls:
    """Real pip and uv processes that install while something happens."""

    server: RecordedServer
    folder: Path
    processes: list[tuple[subprocess.Popen[str], Path]] = field(default_factory=list)

    def start(self, *, pip: int = 2, uv: int = 3, retries: int = 0) -> None:
        """Begin to install one project with each.

        Args:
            retries: how often each asks again for what it did not get.
        """
        scheme, _, host = self.server.server.url.partition("://")
        index = f"{scheme}://{ALICE[0]}:{quote(ALICE[1], safe='')}@{host}/simple/"
        environment = {**os.environ, "PIP_INDEX_URL": index, "UV_DEFAULT_INDEX": index}
        environment |= {"PIP_NO_CACHE_DIR": "1", "UV_NO_CACHE": "1", "HOME": str(self.folder)}
        environment |= {"PIP_RETRIES": str(retries), "UV_HTTP_RETRIES": str(retries)}
        commands = [[sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]] * pip
        commands += [["uv", "pip", "install", "--quiet", "--python", sys.executable]] * uv
        for command in commands:
            target = Path(tempfile.mkdtemp(dir=self.folder))
            process = subprocess.Popen(
                [*command, "--target", str(target), f"seed-{len(self.processes) % PROJECTS}"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            self.processes.append((process, target))

    def finish(self) -> None:
        """Wait for all and check that each has installed its project."""
        for number, (process, target) in enumerate(self.processes):
            said, _ = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, f"{process.args!r}: {said}"
            assert (target / f"seed_{number % PROJECTS}" / "__init__.py").exists()
        self.processes.clear()

    def fail(self) -> None:
        """Wait for all and check that none has installed its project."""
        for process, target in self.processes:
            said, _ = process.communicate(timeout=SECONDS)
            assert process.returncode != 0, f"{process.args!r}: {said}"
            assert not list(target.glob("seed_*"))
        self.processes.clear()
