"""The check of your own certificate: what it lets pass, what it names, and how."""

from __future__ import annotations

import re
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from kit.authority import Authority, Pair
from private_pypi import filesystem
from private_pypi.__main__ import main
from private_pypi.certificate import CertificateError, check_pair, copy_pair

HOST = "pypi.test"


@pytest.fixture(scope="module")
def authority() -> Authority:
    """One that nobody knows."""
    return Authority()


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    """An empty folder."""
    folder = tmp_path / "certs"
    folder.mkdir()
    return folder


def put(certs: Path, chain: bytes, key: bytes) -> None:
    """Write both files as they are."""
    (certs / "fullchain.pem").write_bytes(chain)
    (certs / "privkey.pem").write_bytes(key)


@pytest.mark.parametrize(
    ("names", "host"),
    [
        ([HOST], HOST),
        (["other.test", HOST], HOST),
        (["*.corp.test"], "pypi.corp.test"),
        (["192.0.2.7"], "192.0.2.7"),
    ],
)
def test_a_pair_for_the_name_passes_without_a_word(
    certs: Path, authority: Authority, names: list[str], host: str
) -> None:
    made = authority.pair(*names)
    put(certs, made.chain, made.key)

    assert check_pair(certs, host) == ""


def test_neither_the_root_nor_any_other_signer_must_be_in_the_chain(
    certs: Path, authority: Authority
) -> None:
    made = authority.pair(HOST)
    end = b"-----END CERTIFICATE-----\n"
    put(certs, made.chain.split(end)[0] + end, made.key)

    assert check_pair(certs, HOST) == ""


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["other.test", "192.0.2.7"], "other.test, 192.0.2.7"),
        (["*.pypi.test"], re.escape("*.pypi.test")),
        (["*.sub.test", "pypi.test.example"], r"\*\.sub\.test, pypi\.test\.example"),
        ([], "no name at all"),
    ],
)
def test_a_certificate_for_other_names_is_refused_with_those(
    certs: Path, authority: Authority, names: list[str], told: str
) -> None:
    made = authority.pair(*names)
    put(certs, made.chain, made.key)

    with pytest.raises(
        CertificateError, match=rf"^certs/fullchain.pem is not for pypi.test but for {told}: get"
    ):
        check_pair(certs, HOST)


@pytest.mark.parametrize(
    ("days", "begins", "why"),
    [(-0.001, -1, "certificate has expired"), (90, 2, "certificate is not yet valid")],
)
def test_a_certificate_is_refused_outside_its_dates(
    certs: Path, authority: Authority, days: float, begins: float, why: str
) -> None:
    made = authority.pair(HOST, days=days, begins=begins)
    put(certs, made.chain, made.key)

    with pytest.raises(
        CertificateError, match=rf"^clients would refuse certs/fullchain.pem \({why}\): put"
    ):
        check_pair(certs, HOST)


def test_a_certificate_for_clients_is_refused(certs: Path, authority: Authority) -> None:
    made = authority.pair(HOST, usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    put(certs, made.chain, made.key)

    with pytest.raises(CertificateError, match=r"certs/fullchain.pem \(\S+ certificate purpose\)"):
        check_pair(certs, HOST)


@pytest.mark.parametrize(
    ("lifetime", "days", "left"),
    [
        (365, 21.1, ""),
        (365, 20.9, "20 days"),
        (90, 21.1, ""),
        (90, 20.9, "20 days"),
        (90, 1.9, "45 hours"),
        (90, 0.01, "0 hours"),
        (47, 12, ""),
        (47, 11.5, "11 days"),
        (7, 1.8, ""),
        (7, 1.7, "40 hours"),
        # An ACME server's for six days, renewed every three, and an authority's for twelve hours.
        (160 / 24, 3, ""),
        (160 / 24, 1.5, "36 hours"),
        (0.5, 0.5, ""),
        (0.5, 4 / 24, ""),
        (0.5, 2.5 / 24, "2 hours"),
    ],
)
def test_a_certificate_is_warned_of_in_the_last_quarter_of_its_lifetime_and_three_weeks(
    certs: Path, authority: Authority, lifetime: float, days: float, left: str
) -> None:
    # Some time goes by until it is looked at.
    made = authority.pair(HOST, days=days + 1e-3, begins=days - lifetime)
    put(certs, made.chain, made.key)

    said = check_pair(certs, HOST)

    assert bool(said) is bool(left)
    if left:
        assert re.fullmatch(
            rf"certs/fullchain.pem expires on 20\d\d-\d\d-\d\d, in {left}: replace both"
            " files and run make pypi-reload",
            said,
        )


@pytest.mark.parametrize("missing", ["fullchain.pem", "privkey.pem"])
def test_a_missing_file_is_named(certs: Path, authority: Authority, missing: str) -> None:
    made = authority.pair(HOST)
    put(certs, made.chain, made.key)
    (certs / missing).unlink()

    with pytest.raises(CertificateError, match=rf"^certs/{missing} is missing: put .* there$"):
        check_pair(certs, HOST)

    # As with certbot's links, seen from a container.
    (certs / missing).symlink_to("/etc/letsencrypt/live/none.pem")
    with pytest.raises(CertificateError, match=rf"^certs/{missing} is a link that leads out of"):
        check_pair(certs, HOST)


def test_a_folder_in_place_of_a_file_is_named(certs: Path) -> None:
    (certs / "fullchain.pem").mkdir()

    with pytest.raises(CertificateError, match=r"^certs/fullchain.pem cannot be read \(Is a dir"):
        check_pair(certs, HOST)


def test_a_key_of_another_certificate_is_refused(certs: Path, authority: Authority) -> None:
    put(certs, authority.pair(HOST).chain, authority.pair(HOST).key)

    with pytest.raises(CertificateError, match=r"^certs/privkey.pem is not the key of the first"):
        check_pair(certs, HOST)


def test_a_chain_in_the_wrong_order_is_refused(certs: Path, authority: Authority) -> None:
    made = authority.pair(HOST)
    put(certs, authority.certificate + made.chain, made.key)

    with pytest.raises(CertificateError, match=r"in the chain your own one first$"):
        check_pair(certs, HOST)


@pytest.mark.parametrize("content", [b"", b"no PEM", b"\0\xff", b"-----BEGIN CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(
    certs: Path, authority: Authority, content: bytes
) -> None:
    put(certs, content, authority.pair(HOST).key)

    with pytest.raises(
        CertificateError, match=r"^certs/fullchain.pem is no certificate in PEM \([a-z0-9 ]+\): put"
    ):
        check_pair(certs, HOST)


@pytest.mark.parametrize("content", [b"", b"no PEM", b"\0\xff", b"-----BEGIN PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused(certs: Path, authority: Authority, content: bytes) -> None:
    put(certs, authority.pair(HOST).chain, content)

    with pytest.raises(
        CertificateError, match=r"^certs/fullchain.pem and certs/privkey.pem are no certificate and"
    ):
        check_pair(certs, HOST)


def test_an_encrypted_key_is_refused_and_nobody_asked_for_its_password(
    certs: Path, authority: Authority
) -> None:
    made = encrypted(authority.pair(HOST))
    put(certs, made.chain, made.key)

    with pytest.raises(
        CertificateError, match=r"^certs/privkey.pem is encrypted, .* openssl pkey$"
    ):
        check_pair(certs, HOST)


def encrypted(made: Pair) -> Pair:
    """Put a password on a key."""
    key = load_pem_private_key(made.key, None)
    return Pair(
        made.chain,
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")),
    )


def test_what_passes_is_copied_into_one_file_that_only_its_owner_reads(
    certs: Path, authority: Authority
) -> None:
    copy = certs.parent / "gateway_data/pair.pem"
    for _ in range(2):
        made = authority.pair(HOST)
        # An editor may have left out the end of the last line.
        put(certs, made.chain.rstrip(), made.key)
        copy_pair(certs, HOST, copy)

        assert made.chain.rstrip() in copy.read_bytes()
        assert made.key in copy.read_bytes()
        SSLContext(PROTOCOL_TLS_SERVER).load_cert_chain(copy)
        assert list(copy.parent.iterdir()) == [copy]
        assert (copy.parent.stat().st_mode & 0o777, copy.stat().st_mode & 0o777) == (0o700, 0o600)


def test_what_is_refused_leaves_the_copy_as_it_is(certs: Path, authority: Authority) -> None:
    made, other = authority.pair(HOST), authority.pair("other.test")
    copy = certs.parent / "pair.pem"
    put(certs, made.chain, made.key)
    copy_pair(certs, HOST, copy)
    content = copy.read_bytes()

    for chain, key in ((other.chain, made.key), (other.chain, other.key), (b"", b"")):
        put(certs, chain, key)
        with pytest.raises(CertificateError):
            copy_pair(certs, HOST, copy)
        assert copy.read_bytes() == content
    assert sorted(file.name for file in copy.parent.iterdir()) == ["certs", "pair.pem"]


def test_what_was_not_checked_is_not_copied(
    certs: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, later = authority.pair(HOST), authority.pair("other.test")
    put(certs, made.chain, made.key)

    def check_and_be_overtaken(folder: Path, host: str) -> str:
        said = check_pair(folder, host)
        put(certs, later.chain, later.key)
        return said

    monkeypatch.setattr("private_pypi.certificate.check_pair", check_and_be_overtaken)
    with pytest.raises(CertificateError, match=r"^certs/ changed while it was checked: try again$"):
        copy_pair(certs, HOST, certs.parent / "pair.pem")
    assert not (certs.parent / "pair.pem").exists()


def test_a_copy_that_cannot_be_written_is_named_with_the_remedy(
    certs: Path, authority: Authority
) -> None:
    made = authority.pair(HOST)
    put(certs, made.chain, made.key)
    (certs.parent / "file").touch()

    with pytest.raises(
        CertificateError, match=r"^no copy .* \((Not a directory|File exists)\): give"
    ):
        copy_pair(certs, HOST, certs.parent / "file/pair.pem")


def test_no_key_is_copied_to_a_disk_where_everybody_may_read_it(
    certs: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = authority.pair(HOST)
    put(certs, made.chain, made.key)
    monkeypatch.setattr(
        "private_pypi.filesystem.PRIVATE",
        filesystem.Need("keeps nobody out", lambda _: "mode 0777"),
    )

    with pytest.raises(CertificateError, match=r"^gateway_data keeps nobody out \(mode 0777\):"):
        copy_pair(certs, HOST, certs.parent / "gateway_data/pair.pem")
    assert list((certs.parent / "gateway_data").iterdir()) == []


def test_the_command_says_error_or_warning_and_ends_with_1_or_0(
    certs: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["certificate", str(certs), HOST, str(certs.parent / "pair.pem")]
    assert main(command) == 1
    assert re.fullmatch(r"error: certs/fullchain.pem is missing: .*\n", capsys.readouterr().err)

    made = authority.pair(HOST, days=3.5, begins=-80)
    put(certs, made.chain, made.key)
    assert main(command) == 0
    printed = capsys.readouterr()
    assert re.fullmatch(r"warning: certs/fullchain.pem expires .* in 3 days: .*\n", printed.err)
    assert printed.out == ""
