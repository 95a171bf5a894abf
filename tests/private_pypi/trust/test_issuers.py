"""The keys of issuers: how they are fetched, written, and read by a process that distrusts them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kit import documents
from kit.authority import Authority
from kit.documents import Documents
from kit.waiting import wait_until
from private_pypi import gateway
from private_pypi.disk import stamp
from private_pypi.trust import documents as fetched_documents
from private_pypi.trust import fetch, issuers, publishers
from private_pypi.trust.documents import DocumentError
from private_pypi.trust.issuers import KeysMissingError
from private_pypi.trust.publishers import Publisher

CONFIGURATION = "/.well-known/openid-configuration"
RSA = {"kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256", "n": "abc", "e": "AQAB"}
EC = {"kty": "EC", "kid": "two", "crv": "P-256", "x": "abc", "y": "def"}
ISSUER = "https://token.actions.githubusercontent.com"


@pytest.fixture(scope="module")
def authority() -> Authority:
    """An authority that no client knows by itself."""
    return Authority()


@pytest.fixture
def server(authority: Authority) -> Iterator[Documents]:
    """An issuer with two keys, over TLS."""
    with documents.running(authority.pair("127.0.0.1")) as server:
        server.put(CONFIGURATION, {"issuer": server.url, "jwks_uri": f"{server.url}/keys"})
        server.put("/keys", {"keys": [RSA, EC]})
        yield server


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The folder of the files of keys."""
    folder = tmp_path / "keys"
    folder.mkdir()
    return folder


@pytest.fixture
def listed(tmp_path: Path, server: Documents, authority: Authority) -> Path:
    """The folder with the list of issuers, and the authority of the one."""
    folder = tmp_path / "issuers"
    folder.mkdir()
    (folder / issuers.LIST).write_text(f"{server.url}\n")
    (folder / issuers.AUTHORITIES).write_bytes(authority.certificate)
    return folder


def asked(server: Documents, folder: Path) -> list[dict[str, str]]:
    """Return the keys that an issuer has, or raise DocumentError."""

    async def ask() -> list[dict[str, str]]:
        async with fetched_documents.client(folder / issuers.AUTHORITIES) as opened:
            return await fetch.keys_from(opened, server.url)

    return asyncio.run(ask())


def refusal(server: Documents, folder: Path) -> str:
    """Return why an issuer's keys are not taken."""
    with pytest.raises(DocumentError) as caught:
        asked(server, folder)
    return str(caught.value)


# Fetching -----------------------------------------------------------------------------------------


def test_the_keys_are_where_the_configuration_says(server: Documents, listed: Path) -> None:
    assert asked(server, listed) == [RSA, EC]
    assert server.paths() == [CONFIGURATION, "/keys"]


def test_an_issuer_is_told_nothing_of_this_server(server: Documents, listed: Path) -> None:
    server.headers["Set-Cookie"] = "a=b; Path=/"

    asked(server, listed)

    for _, headers in server.asked:
        assert headers.keys() == {
            *("Host", "Accept", "Accept-Encoding", "Connection", "User-Agent")
        }
        assert headers["User-Agent"] == "private_pypi (trusted publishing)"


def test_a_slash_at_the_end_of_an_issuer_is_part_of_its_name(
    server: Documents, listed: Path
) -> None:
    server.url += "/"
    assert "is not of the issuer" in refusal(server, listed)

    server.put(CONFIGURATION, {"issuer": server.url, "jwks_uri": f"{server.url}keys"})
    assert asked(server, listed) == [RSA, EC]


def test_only_what_verifies_a_signature_is_taken(server: Documents, listed: Path) -> None:
    more = {**RSA, "x5c": ["MII"], "x5u": "http://acme.com/", "kid": "more"}
    server.put("/keys", {"keys": [more, EC], "of": "others"})

    assert asked(server, listed) == [{**RSA, "kid": "more"}, EC]


@pytest.mark.parametrize(
    "key",
    [
        {**RSA, "d": "secret"},
        {**EC, "d": "secret"},
        {"kty": "oct", "kid": "one", "k": "c2VjcmV0"},
        {"kty": "OKP", "kid": "one", "crv": "Ed25519", "x": "abc"},
        {**RSA, "kid": 1},
        {**RSA, "n": "a b"},
        {**RSA, "n": "a" * 3001},
        {**RSA, "n": ""},
        {name: value for name, value in RSA.items() if name != "kid"},
        {name: value for name, value in EC.items() if name != "y"},
        {**RSA, "kty": ["RSA"]},
        "RSA",
        None,
    ],
)
def test_a_key_that_is_secret_unknown_or_malformed_is_left_out(
    server: Documents, listed: Path, key: object
) -> None:
    server.put("/keys", {"keys": [key, EC]})
    assert asked(server, listed) == [EC]

    server.put("/keys", {"keys": [key]})
    assert "sends no public key that could verify a token" in refusal(server, listed)


@pytest.mark.parametrize("told", [[], {}, {"keys": {}}, {"keys": []}, "x", None, 1])
def test_what_is_no_set_of_keys_is_refused(server: Documents, listed: Path, told: object) -> None:
    server.put("/keys", told)

    assert "sends no public key that could verify a token" in refusal(server, listed)


@pytest.mark.parametrize("told", [[], {}, "x", None, {"issuer": "https://acme.com"}])
def test_a_configuration_of_another_issuer_is_refused(
    server: Documents, listed: Path, told: object
) -> None:
    server.put(CONFIGURATION, told)

    assert refusal(server, listed).startswith(f"{server.url}{CONFIGURATION} is not of the issuer")
    assert server.paths() == [CONFIGURATION]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/keys",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "https://me:secret@acme.com/",
        "//acme.com/keys",
        "https://localhost:99999/keys",
        "",
        None,
        1,
    ],
)
def test_keys_are_asked_for_over_tls_alone(server: Documents, listed: Path, url: object) -> None:
    server.put(CONFIGURATION, {"issuer": server.url, "jwks_uri": url})

    assert refusal(server, listed) == f"{server.url} has its keys at no address with HTTPS"


@pytest.mark.parametrize("path", [CONFIGURATION, "/keys"])
@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (302, b"", "redirects, which is not followed"),
        (404, b"", "answers 404"),
        (500, b"{}", "answers 500"),
        (200, b"[" * 100_000, "sends no JSON"),
        (200, b"<html>", "sends no JSON"),
        (200, b"\xff\xfe\xfd", "sends no JSON"),
        (200, b" " * (2**18 + 1), "sends more than 256 kB"),
    ],
)
def test_an_answer_that_is_none_is_refused(
    server: Documents, listed: Path, path: str, status: int, body: bytes, said: str
) -> None:
    server.headers["Location"] = f"{server.url}/elsewhere"
    server.answers[path] = status, body

    assert refusal(server, listed) == f"{server.url}{path} {said}"
    assert "/elsewhere" not in server.paths()


def test_compression_is_not_believed(server: Documents, listed: Path) -> None:
    server.headers["Content-Encoding"] = "gzip"

    assert asked(server, listed) == [RSA, EC]


def test_an_issuer_that_hangs_is_given_up(
    server: Documents, listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetched_documents, "SECONDS", 0.2)
    server.held.add("/keys")

    assert refusal(server, listed) == f"{server.url}/keys took more than 0.2 seconds"


def test_an_issuer_that_is_slow_without_end_is_given_up(
    server: Documents, listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetched_documents, "SECONDS", 1)
    server.dripping.add("/keys")

    assert refusal(server, listed) == f"{server.url}/keys took more than 1 seconds"


def test_an_issuer_whose_authority_is_unknown_is_refused(server: Documents, listed: Path) -> None:
    (listed / issuers.AUTHORITIES).unlink()

    assert "certificate verify failed" in refusal(server, listed)
    assert server.paths() == []


def test_a_file_without_authorities_says_so(server: Documents, listed: Path) -> None:
    (listed / issuers.AUTHORITIES).write_text("hello")

    assert "pypi_auth/.issuers.pem has no certificate of an authority" in refusal(server, listed)


def test_more_keys_than_any_issuer_has_are_refused(server: Documents, listed: Path) -> None:
    server.put("/keys", {"keys": [{**EC, "kid": str(number)} for number in range(51)]})

    assert refusal(server, listed) == f"{server.url} sends more than 50 keys"


# Keeping them current -----------------------------------------------------------------------------


@contextmanager
def following(listed: Path, keys: Path) -> Iterator[None]:
    """Follow as the container does, as long as the block runs."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(fetch.follow(listed, keys, look=0.02))

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


def test_the_keys_of_a_list_are_written_once(server: Documents, listed: Path, keys: Path) -> None:
    before = int(time.time())

    asyncio.run(fetch.follow(listed, keys, once=True))

    (path,) = keys.iterdir()
    told = json.loads(path.read_text())
    assert path == issuers.path_of(keys, server.url)
    assert before <= told.pop("fetched") <= time.time()
    assert told == {"issuer": server.url, "keys": [RSA, EC]}
    assert issuers.keys_of(keys, server.url) == [RSA, EC]


def test_an_issuer_that_is_added_is_asked_at_once_and_one_that_goes_is_forgotten(
    server: Documents, listed: Path, keys: Path
) -> None:
    (listed / issuers.LIST).write_text("")
    with following(listed, keys):
        (listed / issuers.LIST).write_text(f"{server.url}\n")
        wait_until(lambda: issuers.path_of(keys, server.url).exists())

        (listed / issuers.LIST).write_text("\n")
        wait_until(lambda: not issuers.path_of(keys, server.url).exists())


def test_a_list_that_comes_later_is_followed(server: Documents, listed: Path, keys: Path) -> None:
    text = (listed / issuers.LIST).read_text()
    (listed / issuers.LIST).unlink()
    with following(listed, keys):
        (listed / issuers.LIST).write_text(text)
        wait_until(lambda: issuers.path_of(keys, server.url).exists())


def test_new_keys_replace_old_ones_in_time(
    server: Documents, listed: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "EVERY", 0.05)
    with following(listed, keys):
        wait_until(lambda: issuers.path_of(keys, server.url).exists())
        server.put("/keys", {"keys": [EC]})
        wait_until(lambda: issuers.keys_of(keys, server.url) == [EC])


def test_an_issuer_that_fails_keeps_its_old_keys_and_is_asked_ever_less_often(
    server: Documents,
    listed: Path,
    keys: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(fetch, "EVERY", 0.05)
    monkeypatch.setattr(fetch, "SOONEST", 0.01)
    with following(listed, keys):
        wait_until(lambda: issuers.path_of(keys, server.url).exists())
        server.answers["/keys"] = 503, b""
        wait_until(lambda: len(server.asked) > 20)
        assert issuers.keys_of(keys, server.url) == [RSA, EC]
        server.put("/keys", {"keys": [EC]})
        wait_until(lambda: issuers.keys_of(keys, server.url) == [EC])
        wait_until(lambda: caplog.text.count("were fetched: 1") == 1)

    failed = f"the keys of {server.url} could not be fetched: {server.url}/keys answers 503"
    assert caplog.text.count(failed) == 1


def test_a_turn_waits_twice_as_long_after_each_failure_up_to_ten_minutes() -> None:
    turn, waits = fetch._Turn(), []
    for _ in range(8):
        before = time.monotonic()
        fetch._fail("https://acme.com", turn, DocumentError("it is away"))
        waits.append(round(turn.at - before))

    assert waits == [10, 20, 40, 80, 160, 320, 600, 600]


def test_an_issuer_that_hangs_keeps_no_other_waiting(
    server: Documents, listed: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than this test waits.
    monkeypatch.setattr(fetched_documents, "SECONDS", 600)
    with documents.running() as other:
        other.put(CONFIGURATION, {"issuer": other.url, "jwks_uri": f"{other.url}/keys"})
        other.put("/keys", {"keys": [EC]})
        server.held.add(CONFIGURATION)
        (listed / issuers.LIST).write_text(f"{server.url}\n{other.url}\n")
        with following(listed, keys):
            wait_until(lambda: issuers.path_of(keys, other.url).exists())
            assert not issuers.path_of(keys, server.url).exists()
            server.let_go.set()


def test_an_issuer_with_an_address_that_is_none_keeps_no_other_from_its_keys(
    server: Documents, listed: Path, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = ["https://xn--a", "https://localhost:99999", "https://a..b", f"https://{'a' * 64}.com"]
    (listed / issuers.LIST).write_text("".join(f"{url}\n" for url in [*odd, server.url]))
    with following(listed, keys):
        wait_until(lambda: issuers.path_of(keys, server.url).exists())
        wait_until(lambda: "https://xn--a could not be fetched" in caplog.text)
        (listed / issuers.LIST).write_text("https://xn--a\n")
        wait_until(lambda: not issuers.path_of(keys, server.url).exists())


@pytest.mark.parametrize("url", ["https://localhost:99999", "https://xn--a", "https://a..b"])
def test_whatever_an_address_does_to_the_library_is_an_error_in_a_sentence(url: str) -> None:
    async def ask() -> None:
        async with fetched_documents.client() as opened:
            await fetched_documents.fetch(opened, url)

    with pytest.raises(DocumentError, match="cannot be fetched: "):
        asyncio.run(ask())


def test_an_authority_that_is_added_later_is_believed(
    server: Documents,
    listed: Path,
    keys: Path,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (listed / issuers.AUTHORITIES).unlink()
    with following(listed, keys):
        wait_until(lambda: "certificate verify failed" in caplog.text)
        (listed / issuers.AUTHORITIES).write_bytes(authority.certificate)
        wait_until(lambda: issuers.path_of(keys, server.url).exists())


# Reading with suspicion ---------------------------------------------------------------------------


def written(keys: Path, told: object, issuer: str = ISSUER) -> Path:
    """Write a file of keys as a container could that an attacker took over."""
    path = issuers.path_of(keys, issuer)
    path.write_text(json.dumps(told))
    return path


def said(keys: Path) -> str:
    """Return why there are no keys."""
    with pytest.raises(KeysMissingError) as caught:
        issuers.keys_of(keys, ISSUER)
    return str(caught.value)


def test_keys_that_were_never_fetched_are_missing(keys: Path) -> None:
    assert said(keys).startswith(f"The keys of {ISSUER} were never fetched: run make pypi-launch")
    assert issuers.fetched(keys, ISSUER) == ""


def test_keys_older_than_a_day_count_as_none(keys: Path) -> None:
    now = int(time.time())
    written(keys, {"issuer": ISSUER, "fetched": now - issuers.OLDEST + 60, "keys": [RSA]})
    assert issuers.keys_of(keys, ISSUER) == [RSA]

    written(keys, {"issuer": ISSUER, "fetched": 1_700_000_000, "keys": [RSA]})
    assert "were fetched last at 2023-11-14 22:13 UTC" in said(keys)
    assert issuers.fetched(keys, ISSUER) == "2023-11-14 22:13 UTC"


def test_keys_of_a_time_to_come_count_as_none(keys: Path) -> None:
    written(keys, {"issuer": ISSUER, "fetched": int(time.time()) + 3600, "keys": [RSA]})

    assert "which is not within a day" in said(keys)


@pytest.mark.parametrize(
    "told",
    [
        {"issuer": "https://acme.com", "fetched": 0, "keys": [RSA]},
        {"issuer": ISSUER, "fetched": "now", "keys": [RSA]},
        {"issuer": ISSUER, "fetched": True, "keys": [RSA]},
        {"issuer": ISSUER, "fetched": 10**20, "keys": [RSA]},
        {"issuer": ISSUER, "fetched": -1, "keys": [RSA]},
        {"issuer": ISSUER, "keys": [RSA]},
        {"issuer": ISSUER, "fetched": 0, "keys": []},
        {"issuer": ISSUER, "fetched": 0, "keys": ["x"]},
        {"issuer": ISSUER, "fetched": 0, "keys": {"x": {}}},
        {"issuer": ISSUER, "fetched": 0, "keys": [RSA] * 51},
        [],
        None,
    ],
)
def test_a_file_that_says_something_else_counts_as_none(keys: Path, told: object) -> None:
    written(keys, told)

    assert said(keys).startswith(f"The file of the keys of '{ISSUER}' is damaged")


def test_a_file_that_is_too_long_is_not_read(keys: Path) -> None:
    path = written(keys, {"issuer": ISSUER, "fetched": int(time.time()), "keys": [RSA]})
    with path.open("a") as file:
        file.write(" " * 2**18)

    assert "is damaged" in said(keys)


def test_brackets_without_end_count_as_none(keys: Path) -> None:
    issuers.path_of(keys, ISSUER).write_text("[" * 100_000)

    assert "is damaged" in said(keys)


def test_a_link_is_not_followed(keys: Path, tmp_path: Path) -> None:
    good = {"issuer": ISSUER, "fetched": int(time.time()), "keys": [RSA]}
    (tmp_path / "secret").write_text(json.dumps(good))
    issuers.path_of(keys, ISSUER).symlink_to(tmp_path / "secret")

    assert "is damaged" in said(keys)


@pytest.mark.timeout(20)
def test_a_pipe_holds_nobody_up(keys: Path) -> None:
    os.mkfifo(issuers.path_of(keys, ISSUER))

    assert "is damaged" in said(keys)


# The list -----------------------------------------------------------------------------------------


def add(auth: Path, name: str, issuer: str) -> None:
    """Trust one more publisher."""
    publishers.add(auth, Publisher(name, issuer, ("billing",), {"sub": name}))


def test_the_gateway_writes_each_issuer_once(auth: Path, tmp_path: Path) -> None:
    for name, issuer in (
        ("a b", "https://b.acme.com"),
        ("a c", "https://a.acme.com"),
        ("a d", "https://b.acme.com"),
    ):
        add(auth, name, issuer)

    gateway.write(auth, tmp_path)

    folder = tmp_path / issuers.FOLDER
    assert issuers.listed(folder) == ["https://b.acme.com", "https://a.acme.com"]
    assert [path.name for path in folder.iterdir()] == [issuers.LIST]


def test_without_publishers_there_is_no_such_folder(auth: Path, tmp_path: Path) -> None:
    gateway.write(auth, tmp_path)
    assert not (tmp_path / issuers.FOLDER).exists()
    assert issuers.listed(tmp_path / issuers.FOLDER) == []

    add(auth, "a b", "https://a.acme.com")
    gateway.write(auth, tmp_path)
    publishers.remove(auth, "a b")
    gateway.write(auth, tmp_path)
    assert issuers.listed(tmp_path / issuers.FOLDER) == []
    assert (tmp_path / issuers.FOLDER / issuers.LIST).read_bytes() == b""


def test_a_list_that_stays_the_same_stays_the_same_file(auth: Path, tmp_path: Path) -> None:
    add(auth, "a b", "https://a.acme.com")
    gateway.write(auth, tmp_path)
    before = stamp(tmp_path / issuers.FOLDER / issuers.LIST)

    gateway.write(auth, tmp_path)

    assert stamp(tmp_path / issuers.FOLDER / issuers.LIST) == before


def test_own_authorities_are_handed_over_and_taken_back(auth: Path, tmp_path: Path) -> None:
    add(auth, "a b", "https://a.acme.com")
    (auth / ".issuers.pem").write_text("certificates")
    gateway.write(auth, tmp_path)
    copy = tmp_path / issuers.FOLDER / issuers.AUTHORITIES
    assert copy.read_text() == "certificates"

    (auth / ".issuers.pem").unlink()
    gateway.write(auth, tmp_path)
    assert not copy.exists()


def test_an_entry_that_is_left_out_is_complained_about_and_not_asked(
    auth: Path, tmp_path: Path
) -> None:
    (auth / ".publishers.toml").write_text("[[publisher]]\nname = 'ci'\n")

    (complaint,) = gateway.write(auth, tmp_path)

    assert complaint.startswith("pypi_auth/.publishers.toml: publisher 1 ('ci') is not trusted")


@pytest.mark.parametrize("content", [b"file:///etc/passwd\nhttp://acme.com\n", b"\xff\n\0\n"])
def test_a_list_with_anything_else_asks_nobody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / issuers.LIST).write_bytes(content)

    assert issuers.listed(tmp_path) == []
