"""The mirror over a real socket: what clients get, and what they are told when they do not."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest
from kit.pypi import PyPI
from kit.served_mirror import Served
from kit.waiting import wait_until
from private_pypi.negotiation import HTML, JSON
from private_pypi.public.files import Files
from private_pypi.public.kept_pages import KeptPages
from private_pypi.public.watched_policy import WatchedPolicy

PAGE = "/simple/a-lib/"
WHEEL = "a_lib-1.0-py3-none-any.whl"
FILE = f"/public/a-lib/{WHEEL}"
BIG = {"a_lib/big.txt": "".join(hashlib.sha256(b"%d" % n).hexdigest() for n in range(40_000))}


def files(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [file["filename"] for file in answer.json()["files"]]


def keep_two(mirror: Served, pypi: PyPI) -> None:
    """Have a file of a-lib and one of b-lib kept."""
    pypi.release("b-lib", "1.0")
    for name in ("a-lib", "b-lib"):
        path = f"/public/{name}/{name.replace('-', '_')}-1.0-py3-none-any.whl"
        assert mirror.ask(path).status_code == 200
    wait_until(lambda: len(mirror.kept()) == 2)


def refused(answer: httpx.Response, status: int) -> str:
    """Return the sentence of a refusal, which is one line that a terminal can show."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    line = answer.text.removesuffix("\n")
    assert line.isprintable()
    assert line.endswith(".")
    return line


# Pages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "sent"),
    [
        (JSON, JSON),
        (f"{JSON}, {HTML}; q=0.1, text/html; q=0.01", JSON),
        (HTML, HTML),
        ("text/html", "text/html; charset=utf-8"),
        ("*/*", "text/html; charset=utf-8"),
    ],
)
def test_a_page_comes_in_the_form_that_the_client_likes_best(
    mirror: Served, accept: str, sent: str
) -> None:
    answer = mirror.ask(PAGE, accept=accept)

    assert answer.headers["content-type"] == sent
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert "warning" not in answer.headers
    if sent == JSON:
        (file,) = answer.json()["files"]
        assert file["url"] == f"../../public/a-lib/{WHEEL}"
    else:
        assert f'<a href="../../public/a-lib/{WHEEL}#sha256=' in answer.text


def test_the_form_may_stand_in_the_url(mirror: Served) -> None:
    assert mirror.ask(f"{PAGE}?format={JSON}").headers["content-type"] == JSON


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP ; q=0.5", True),
        ("identity", False),
        ("", False),
        ("gzip;q=0", False),
        ("gzip;q=0.0, identity", False),
        ("x-gzip", False),
    ],
)
def test_a_page_is_compressed_for_clients_that_take_gzip(
    mirror: Served, accepted: str, is_compressed: bool
) -> None:
    plain = mirror.ask(PAGE, accept=JSON, accept_encoding="identity")

    answer = mirror.ask(PAGE, accept=JSON, accept_encoding=accepted)

    assert ("content-encoding" in answer.headers) == is_compressed
    assert (int(answer.headers["content-length"]) < len(plain.content)) == is_compressed
    assert answer.content == plain.content
    # Only a weak one may be that of both.
    assert answer.headers["etag"] == plain.headers["etag"]
    assert plain.headers["etag"].startswith('W/"')


def test_head_says_what_get_would(mirror: Served) -> None:
    get, head = (mirror.ask(PAGE, method, accept_encoding="identity") for method in ("GET", "HEAD"))

    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}
    assert (head.content, head.headers["content-length"]) == (b"", str(len(get.content)))


def test_a_client_that_has_the_page_is_not_sent_it_again(mirror: Served, pypi: PyPI) -> None:
    etag = mirror.ask(PAGE, accept=JSON).headers["etag"]

    for condition in (etag, etag.removeprefix("W/"), f'"other", {etag}', "*"):
        answer = mirror.ask(PAGE, accept=JSON, if_none_match=condition)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
        assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert mirror.ask(PAGE, accept=HTML, if_none_match=etag).status_code == 200
    pypi.release("a-lib", "2.0")
    mirror.age()
    assert len(files(mirror.ask(PAGE, accept=JSON, if_none_match=etag))) == 2


def test_a_stale_page_says_since_when(mirror: Served, pypi: PyPI) -> None:
    etag = mirror.ask(PAGE, accept=JSON).headers["etag"]
    confirmed = formatdate(mirror.age(), usegmt=True)

    with pypi.away():
        stale = mirror.ask(PAGE, accept=JSON)
        known = mirror.ask(PAGE, accept=JSON, if_none_match=etag)

    assert files(stale) == [WHEEL]
    warning = f'110 - "PyPI cannot be reached; this page is from {confirmed}"'
    assert stale.headers["warning"] == known.headers["warning"] == warning
    assert known.status_code == 304
    assert "warning" not in mirror.ask(PAGE, accept=JSON).headers


def test_without_a_kept_page_the_client_is_told_to_come_again(mirror: Served, pypi: PyPI) -> None:
    with pypi.away():
        away = mirror.ask(PAGE)
    with pypi.failing("html"):
        wrong = mirror.ask(PAGE)

    assert "PyPI cannot be reached" in refused(away, 503)
    assert away.headers["retry-after"] == "30"
    assert "not the page of a project" in refused(wrong, 502)
    assert mirror.ask(PAGE).status_code == 200


def test_a_name_that_pypi_does_not_have_is_404(mirror: Served) -> None:
    for name in ("b-lib", "%2e%2e", "a%0Ab", "%ff", "a%20b", "a" * 300, "..%5ca"):
        refused(mirror.ask(f"/simple/{name}/"), 404)
        refused(mirror.ask(f"/public/{name}/{WHEEL}"), 404)
        refused(mirror.ask(f"/policy/{name}"), 404)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/simple/a-lib", "a-lib/"),
        ("/simple/A_.Lib", "a-lib/"),
        ("/simple/A_.Lib/", "../a-lib/"),
    ],
)
def test_other_spellings_of_a_name_lead_to_its_page(
    mirror: Served, pypi: PyPI, path: str, place: str
) -> None:
    answer = mirror.ask(path)

    assert (answer.status_code, answer.headers["location"]) == (301, place)
    assert pypi.requests == []


def test_there_is_nothing_elsewhere(mirror: Served) -> None:
    for path in ("/", "/simple/", "/public/a-lib/", "/a-lib/", "/simple/a-lib/b"):
        assert "There is nothing here" in refused(mirror.ask(path), 404)


def test_nothing_can_be_changed(mirror: Served, pypi: PyPI) -> None:
    for path in (PAGE, "/simple/a-lib", FILE, "/policy/a-lib", "/health"):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            answer = mirror.ask(path, method)
            refused(answer, 405)
            assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert pypi.requests == []


def test_many_clients_cause_one_request(mirror: Served, pypi: PyPI) -> None:
    def client(_: int) -> bytes:
        with mirror.client() as own:
            return own.get(PAGE, headers={"Accept": JSON}).raise_for_status().content

    with ThreadPoolExecutor(20) as pool:
        with pypi.failing("held"):
            answers = [pool.submit(client, number) for number in range(20)]
            wait_until(lambda: pypi.times_asked(PAGE))
        assert len({answer.result() for answer in answers}) == 1

    assert pypi.times_asked(PAGE) == 1


def test_a_project_that_pypi_does_not_answer_for_holds_up_no_other(
    mirror: Served, pypi: PyPI
) -> None:
    pypi.release("b-lib", "1.0")

    with ThreadPoolExecutor() as pool, mirror.client() as own:
        with pypi.failing("held", project="a-lib"):
            waiting = pool.submit(own.get, PAGE)
            wait_until(lambda: pypi.times_asked(PAGE))
            assert mirror.ask("/simple/b-lib/").status_code == 200
            assert mirror.ask("/health").text == "ok\n"
            assert not waiting.done()
        assert waiting.result().status_code == 200


def test_nothing_that_a_client_says_reaches_pypi(mirror: Served, pypi: PyPI) -> None:
    said = {
        "authorization": "Basic c2VjcmV0",
        "cookie": "secret=1",
        "user_agent": "secret",
        "x_secret": "secret",
        "if_none_match": '"secret"',
        "range": "bytes=1-2",
        "referer": "http://secret/",
    }
    for path in (PAGE, FILE, f"{FILE}.metadata"):
        assert mirror.ask(f"{path}?secret=1", **said).status_code == 200

    assert len(pypi.requests) == 3
    for path, headers in pypi.requests:
        text = f"{path} {headers}".lower()
        assert "secret" not in text
        assert "c2vjcmv0" not in text
        assert "range" not in headers.keys() | {""}


# Files --------------------------------------------------------------------------------------------


def test_a_file_and_its_metadata_come_from_pypi_once(mirror: Served, pypi: PyPI) -> None:
    (upload,) = pypi.uploads["a-lib"]
    content = upload.path.read_bytes()

    for _ in range(2):
        file, metadata = mirror.ask(FILE), mirror.ask(f"{FILE}.metadata")
        assert (file.status_code, file.content) == (200, content)
        assert file.headers["content-length"] == str(len(content))
        assert file.headers["content-type"] == "application/octet-stream"
        assert file.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert metadata.content == upload.metadata
        assert metadata.headers["content-type"] == "text/plain; charset=utf-8"
        wait_until(lambda: mirror.kept() == [f"a-lib/{WHEEL}", f"a-lib/{WHEEL}.metadata"])

    assert pypi.times_asked(".whl") == 1
    assert pypi.times_asked(".metadata") == 1


def test_head_of_a_file_fetches_nothing(mirror: Served, pypi: PyPI) -> None:
    answer = mirror.ask(FILE, "HEAD")

    assert answer.status_code == 200
    size = pypi.uploads["a-lib"][0].path.stat().st_size
    assert answer.headers["content-length"] == str(size)
    assert pypi.times_asked(".whl") == 0
    assert mirror.kept() == []


def test_a_file_that_the_page_does_not_list_is_404(mirror: Served) -> None:
    unknown = WHEEL.replace("1.0", "2.0")
    for name in (unknown, ".metadata", "..", "%2e%2e%2fa.json", f"{WHEEL}.asc", "x%0a"):
        refused(mirror.ask(f"/public/a-lib/{name}"), 404)


def test_metadata_that_pypi_does_not_have_are_404(mirror: Served, pypi: PyPI) -> None:
    pypi.release("b-lib", "1.0", has_metadata=False)
    name = "b_lib-1.0-py3-none-any.whl"

    assert "PyPI lists no file" in refused(mirror.ask(f"/public/b-lib/{name}.metadata"), 404)
    assert mirror.ask(f"/public/b-lib/{name}").status_code == 200


def test_a_file_that_pypi_lists_but_does_not_have_is_404(mirror: Served, pypi: PyPI) -> None:
    mirror.ask(PAGE)
    pypi.uploads["a-lib"].clear()

    assert "cannot be had" in refused(mirror.ask(FILE), 404)


@pytest.mark.parametrize("how", ["wrong-hash", "altered", "busy", "dies"])
def test_a_file_that_is_not_what_its_page_says_is_refused(
    mirror: Served, pypi: PyPI, how: Any
) -> None:
    with pypi.failing(how, where="files"):
        answer = mirror.ask(FILE)

    assert "cannot be had" in refused(answer, 502)
    assert mirror.kept() == []


def test_a_large_file_that_turns_out_wrong_is_cut(mirror: Served, pypi: PyPI) -> None:
    pypi.release("a-lib", "2.0", contents=BIG)
    path = FILE.replace("1.0", "2.0")

    with pypi.failing("altered", where="files"), pytest.raises(httpx.RemoteProtocolError):
        mirror.ask(path)

    assert mirror.kept() == []
    assert mirror.ask(path).status_code == 200


def test_a_file_that_is_slow_holds_up_no_page_and_no_other_file(mirror: Served, pypi: PyPI) -> None:
    pypi.release("b-lib", "1.0")

    with ThreadPoolExecutor() as pool, mirror.client() as own:
        with pypi.failing("held", project="a-lib", where="files"):
            waiting = pool.submit(own.get, FILE)
            wait_until(lambda: pypi.times_asked(".whl"))
            assert mirror.ask(PAGE).status_code == 200
            assert mirror.ask("/public/b-lib/b_lib-1.0-py3-none-any.whl").status_code == 200
        assert waiting.result().status_code == 200


# The policy ---------------------------------------------------------------------------------------


def test_a_release_in_its_cooldown_is_on_no_page_and_a_lock_file_is_told_why(
    mirror: Served, pypi: PyPI
) -> None:
    pypi.release("a-lib", "2.0", days=3)

    page = mirror.ask(PAGE, accept=JSON)
    refusal = mirror.ask(FILE.replace("1.0", "2.0"))
    metadata = mirror.ask(f"{FILE.replace('1.0', '2.0')}.metadata")

    assert (files(page), page.json()["versions"]) == ([WHEEL], ["1.0"])
    sentence = refused(refusal, 403)
    assert "2.0" in sentence
    assert "cooldown_days is 7" in sentence
    assert refused(metadata, 403) == sentence
    assert pypi.times_asked("2.0-py3-none-any.whl") == 0


def test_a_change_of_the_policy_applies_within_seconds_also_to_kept_files(
    mirror: Served, pypi: PyPI
) -> None:
    keep_two(mirror, pypi)

    mirror.policy.write_text(
        'cooldown_days = 7\n[[block]]\nname = "a-lib"\nreason = "it is \u202emalware"\n'.replace(
            "\u202e", ""
        )
    )

    wait_until(lambda: mirror.kept() == ["b-lib/b_lib-1.0-py3-none-any.whl"], 10)
    assert files(mirror.ask(PAGE, accept=JSON)) == []
    assert "it is malware" in refused(mirror.ask(FILE), 403)


def test_a_policy_that_changed_while_the_mirror_was_down_applies_at_its_start(
    served: Served, pypi: PyPI
) -> None:
    served.start()
    assert served.ask(FILE).status_code == 200
    wait_until(served.kept)
    served.stop()
    served.policy.write_text("cooldown_days = 365\n")

    served.start()

    wait_until(lambda: served.kept() == [], 10)


def test_a_broken_policy_offers_nothing_and_says_so(served: Served) -> None:
    served.policy.write_text("cooldown_days = many\n")
    served.start()

    assert files(served.ask(PAGE, accept=JSON)) == []
    assert "public_policy.toml" in refused(served.ask(FILE), 403)


def test_a_policy_reaches_kept_files_although_the_first_attempt_fails(
    mirror: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert mirror.ask(FILE).status_code == 200
    wait_until(mirror.kept)
    discard, failures = Files.discard, iter([RuntimeError("odd"), OSError("full")])

    async def failing(files: Files, hidden: Any) -> int:
        for error in failures:
            raise error
        return await discard(files, hidden)

    monkeypatch.setattr(Files, "discard", failing)
    mirror.policy.write_text("cooldown_days = 365\n")

    wait_until(lambda: mirror.kept() == [], 20)
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert errors == [
        f"files that the policy hides cannot be deleted: {e}" for e in ("odd", "full")
    ]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Wait until the mirror has looked often enough whether it has to delete kept files."""
    count = [0]
    current = WatchedPolicy.current.fget  # type: ignore[attr-defined]

    def counting(policy: WatchedPolicy) -> Any:
        count[0] += 1
        return current(policy)

    def wait() -> None:
        enough = count[0] + 3
        wait_until(lambda: count[0] >= enough, 10)

    monkeypatch.setattr(WatchedPolicy, "current", property(counting))
    monkeypatch.setattr("private_pypi.public.app._LOOK_EVERY", 0.02)
    return wait


def test_a_policy_that_is_broken_at_a_start_deletes_nothing(
    served: Served, pypi: PyPI, looks: Callable[[], None]
) -> None:
    served.start()
    assert served.ask(FILE).status_code == 200
    wait_until(served.kept)
    served.stop()
    served.policy.write_text("cooldown_days = many\n")

    for is_known in (True, False):
        if not is_known:
            (served.folder / "policy.toml").unlink()
        served.start()
        page = served.ask(PAGE, accept=JSON)
        assert files(page) == ([WHEEL] if is_known else [])
        looks()
        assert served.kept() == [f"a-lib/{WHEEL}"]
        served.stop()


def test_files_that_arrive_at_one_time_are_judged_by_one_page_at_a_time(
    mirror: Served, pypi: PyPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get(path: str) -> int:
        with mirror.client() as own:
            return own.get(path).status_code

    names = [f"lib-{number}" for number in range(8)]
    paths = [f"/public/{name}/{name.replace('-', '_')}-1.0-py3-none-any.whl" for name in names]
    for name in names:
        pypi.release(name, "1.0")
        assert mirror.ask(f"/simple/{name}/").status_code == 200
    read, reading, most = KeptPages.read, [0], [0]
    lock = threading.Lock()

    def noting(pages: KeptPages, project: str) -> Any:
        # These have two threads of their own.
        if threading.current_thread().name.startswith("pages"):
            return read(pages, project)
        with lock:
            reading[0] += 1
            most[0] = max(most[0], reading[0])
        time.sleep(0.05)
        with lock:
            reading[0] -= 1
        return read(pages, project)

    monkeypatch.setattr(KeptPages, "read", noting)
    with ThreadPoolExecutor(8) as pool:
        with pypi.failing("held", where="files"):
            answers = [pool.submit(get, path) for path in paths]
            wait_until(lambda: pypi.times_asked(".whl") == 8)
        assert {answer.result() for answer in answers} == {200}
    wait_until(lambda: len(mirror.kept()) == 8)

    assert most == [1]


def test_a_quarantined_project_of_which_nothing_is_kept_causes_no_sweep(
    mirror: Served, pypi: PyPI, monkeypatch: pytest.MonkeyPatch, looks: Callable[[], None]
) -> None:
    assert mirror.ask(FILE).status_code == 200
    wait_until(mirror.kept)
    sweeps = []
    discard = Files.discard

    async def noting(files: Files, hidden: Any) -> int:
        sweeps.append(1)
        return await discard(files, hidden)

    monkeypatch.setattr(Files, "discard", noting)
    pypi.status["a-lib"] = {"status": "quarantined"}
    mirror.age()
    assert files(mirror.ask(PAGE, accept=JSON)) == []
    wait_until(lambda: mirror.kept() == [], 10)

    for _ in range(3):
        assert files(mirror.ask(PAGE, accept=JSON)) == []
        looks()
    assert sweeps == [1]


def test_a_file_that_pypi_replaces_is_fetched_again(mirror: Served, pypi: PyPI) -> None:
    pypi.release("b-lib", "1.0")
    (other,) = pypi.uploads["b-lib"]
    assert mirror.ask(FILE).status_code == 200
    wait_until(mirror.kept)
    (upload,) = pypi.uploads["a-lib"]
    upload.path.write_bytes(other.path.read_bytes())
    mirror.age()

    assert mirror.ask(PAGE).status_code == 200
    assert mirror.kept() == []
    assert mirror.ask(FILE).content == upload.path.read_bytes()


def test_the_page_of_a_file_is_on_the_disk_before_the_file_has_its_name(
    mirror: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noting_fsync(descriptor: int) -> None:
        done.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def noting_replace(path: Path, name: Path) -> Path:
        done.append(f"rename {name.name}")
        return replace(path, name)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    assert mirror.ask(PAGE).status_code == 200
    assert done == ["rename a-lib.json"]
    assert mirror.ask(FILE).status_code == 200
    wait_until(mirror.kept)

    page = [done.index(f"fsync {name}") for name in ("a-lib.json", "pages")]
    assert max(page) < done.index(f"rename {WHEEL}")


def test_a_quarantined_project_is_offered_no_longer(mirror: Served, pypi: PyPI) -> None:
    assert mirror.ask(FILE).status_code == 200
    wait_until(mirror.kept)
    pypi.status["a-lib"] = {"status": "quarantined"}
    mirror.age()

    page = mirror.ask(PAGE, accept=JSON)

    assert (files(page), page.json()["project-status"]) == ([], {"status": "quarantined"})
    wait_until(lambda: mirror.kept() == [], 10)
    assert "quarantined" in refused(mirror.ask(FILE), 403)


def test_a_kept_file_that_pypi_has_deleted_outlives_a_change_of_the_policy(
    mirror: Served, pypi: PyPI
) -> None:
    keep_two(mirror, pypi)
    pypi.delete("a-lib", WHEEL)
    mirror.age()
    assert files(mirror.ask(PAGE, accept=JSON)) == []

    mirror.policy.write_text('cooldown_days = 8\n[[block]]\nname = "b-lib"\nreason = "no"\n')

    wait_until(lambda: mirror.kept() == [f"a-lib/{WHEEL}"], 10)
    assert mirror.ask(FILE).status_code == 200
    mirror.policy.write_text("cooldown_days = 365\n")
    wait_until(lambda: mirror.kept() == [], 10)


def test_a_download_that_the_policy_forbids_meanwhile_is_not_kept(
    mirror: Served, pypi: PyPI
) -> None:
    with ThreadPoolExecutor() as pool, mirror.client() as own:
        with pypi.failing("held", where="files"):
            waiting = pool.submit(own.get, FILE)
            wait_until(lambda: pypi.times_asked(".whl"))
            mirror.policy.write_text("cooldown_days = 365\n")
            wait_until(lambda: files(mirror.ask(PAGE, accept=JSON)) == [], 10)
        waiting.result()

    wait_until(lambda: not list((mirror.folder / ".unfinished").iterdir()))
    assert mirror.kept() == []


def test_people_are_told_what_is_offered_and_why(mirror: Served, pypi: PyPI) -> None:
    pypi.release("a-lib", "2.0", days=3)

    answer = mirror.ask("/policy/A_Lib")
    mirror.age()
    with pypi.away():
        stale = mirror.ask("/policy/a-lib")

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    text = answer.text.splitlines()
    assert any(line.startswith("2.0") and "1 hidden" in line for line in text)
    assert any(line.startswith("1.0") and "1 offered" in line for line in text)
    assert stale.text.startswith("PyPI cannot be reached: this is its page from ")
    assert stale.text.splitlines()[1:] == text


def test_a_page_that_cannot_be_loaded_is_unavailable_not_an_error(
    mirror: Served, pypi: PyPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("private_pypi.public.kept_pages.KeptPages.read", lambda *_: None)

    for path in (PAGE, FILE, "/policy/a-lib"):
        refused(mirror.ask(path), 503)


def test_no_thread_is_left_behind(served: Served) -> None:
    # Another test may have left some.
    before = {*threading.enumerate()}
    served.start()
    served.ask(FILE)
    served.stop()

    assert not [one for one in {*threading.enumerate()} - before if "AnyIO" in one.name]


def test_a_page_is_json_that_everybody_reads(mirror: Served, pypi: PyPI) -> None:
    pypi.uploads["a-lib"][0].more["yanked"] = "\x1b[2J\ud800"

    (file,) = json.loads(mirror.ask(PAGE, accept=JSON).content)["files"]

    assert file["yanked"] == "\x1b[2J\ud800"
    assert mirror.ask(PAGE).status_code == 200
