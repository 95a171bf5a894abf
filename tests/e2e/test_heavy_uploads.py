"""Distributions made to do harm, twelve at once, against the rendered server in its 512 MB.

What they cost, they cost the account that sends them. tests/private_pypi has each limit's edge.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import pytest
import requests
from kit import heavy
from kit.accounts import ALICE, ANNA
from kit.forms import upload_form
from kit.recorded_server import RecordedServer, launched
from kit.template import Render

pytestmark = pytest.mark.docker

ANSWERS = {
    "template": "server",
    "project_name": "heavy",
    "https": "none",
    "unknown_packages": "refuse",
    "publisher": ALICE[0],
    "publisher_password": ALICE[1],
}
AT_ONCE = 12
"""Uploads of one account that are let in at once."""

TYPICALLY, NEVER = 1.0, 5.0
"""Seconds that they may cost an upload of another account, most often and ever."""

MANY = ".".join("abcdefghijklmnopqrstuvwxyz0123456789")
REQUIREMENTS = (b"Requires-Dist: a".ljust(400, b"a") + b"\n") * 9_990
REFUSED: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "a version of 4,000,000 letters": (
        heavy.WHEEL,
        lambda: heavy.of_metadata(heavy.METADATA.replace(b"1.0", b"1.0" + b".0" * 2_000_000)),
        "has a Version of more than 1,000 bytes",
    ),
    "4 MB of metadata in 10,000 lines": (
        heavy.WHEEL,
        lambda: heavy.of_metadata(heavy.METADATA + REQUIREMENTS),
        "Requires-Dist and the like have more than 512 kB",
    ),
    "a list of members of 8 MB": (
        heavy.WHEEL,
        lambda: heavy.of_a_list(2**23 // 53, 7, zip64=True),
        "has more than 100,000 members",
    ),
    "520,000 members": (
        heavy.WHEEL,
        lambda: heavy.of_a_list(520_000, 7, zip64=True),
        "has more than 100,000 members",
    ),
    "a tar of 1,000,000 members": (
        heavy.SDIST,
        lambda: heavy.of_tar_members(1_000_000),
        "has more than 100,000 members",
    ),
    "a name of 46,656 combinations of tags": (
        f"heavy-1.0-{MANY}-{MANY}-{MANY}.whl",
        lambda: heavy.of_metadata(heavy.METADATA),
        "stands for more than 500 combinations of tags",
    ),
}


@pytest.fixture(scope="module")
def kept(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedServer]:
    """A running server with two publishers."""
    wheels = tmp_path_factory.mktemp("wheels")
    # What lies in a file system in memory, as a folder of pytest's may, counts as the container's.
    with (
        tempfile.TemporaryDirectory(prefix="heavy-", dir="/var/tmp") as folder,
        launched(render(ANSWERS), Path(folder) / "server", wheels) as kept,
    ):
        yield kept


def publish(
    kept: RecordedServer, account: tuple[str, str], form: tuple[bytes, str]
) -> tuple[int, str]:
    """Send a form; return status and sentence."""
    body, kind = form
    answer = requests.post(
        f"{kept.server.url}/", body, headers={"Content-Type": kind}, auth=account, timeout=300
    )
    return answer.status_code, answer.text.strip()


def ordinary(kept: RecordedServer) -> float:
    """Return the seconds that an ordinary upload by anna takes."""
    form = upload_form(*kept.new())
    start = time.monotonic()
    assert publish(kept, ANNA, form) == (200, "")
    return time.monotonic() - start


def test_what_one_account_sends_twelve_times_at_once_delays_no_other_by_a_second(
    kept: RecordedServer,
) -> None:
    first = kept.process("private_pypi")
    usual = median(ordinary(kept) for _ in range(5))
    for what, (file, make, sentence) in REFUSED.items():
        form = upload_form(file, make())
        amid: list[float] = []
        # The server reads one after the other, and two seconds in each tar file.
        at_once = 4 if file == heavy.SDIST else AT_ONCE
        with ThreadPoolExecutor(at_once) as pool:
            sent = [pool.submit(publish, kept, ALICE, form) for _ in range(at_once)]
            while len(amid) < 5 or not all(one.done() for one in sent):
                amid.append(ordinary(kept))
        for one in sent:
            status, said = one.result()
            assert (status, sentence in said) == (400, True), (what, status, said)
        assert median(amid) < usual + TYPICALLY, what
        assert max(amid) < usual + NEVER, what
    # Neither the container nor gunicorn's worker was killed.
    assert kept.process("private_pypi") == first
    container = kept.server.inspect("private_pypi")
    assert (container["RestartCount"], container["State"]["OOMKilled"]) == (0, False)
    logged = kept.server.logs()
    assert "SIGKILL" not in logged
    assert logged.count("Booting worker") == 1
