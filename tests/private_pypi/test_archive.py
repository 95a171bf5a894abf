"""Only those archives are accepted from which all installers unpack the same files."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import re
import stat
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from kit import wheel
from kit.archives import tarred
from private_pypi import distribution
from private_pypi.archive import MEMBERS as MEMBERS_LIMIT
from private_pypi.distribution import Distribution, DistributionError

WHEEL = "my_lib-1.0-py3-none-any.whl"
ZIP = "my_lib-1.0.zip"
SDIST = "my_lib-1.0.tar.gz"
INFO = "my_lib-1.0.dist-info"
METADATA = b"Metadata-Version: 2.1\nName: my-lib\nVersion: 1.0\n"
MODULE = "my_lib/__init__.py"
FILES = {MODULE: b"X = 1\n", f"{INFO}/METADATA": METADATA}
MEMBERS = wheel.complete(FILES)
SOURCES = {"my_lib-1.0/PKG-INFO": METADATA, "my_lib-1.0/setup.py": b"X = 1\n"}

Members = Iterable[tuple[str | zipfile.ZipInfo, bytes]]


def packed(members: Members, compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return a ZIP file of such members, of which several may have one name."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", compression) as archive:
        warnings.simplefilter("ignore")  # of the names
        for member, content in members:
            archive.writestr(member, content)
    return file.getvalue()


def tar(*members: tarfile.TarInfo) -> bytes:
    """Return an sdist with such members beside its metadata."""
    return tarred(SOURCES, *members)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """Return an empty member of a tar file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def read(folder: Path, content: bytes, name: str = WHEEL) -> Distribution:
    """Return what a distribution of such bytes is."""
    (folder / name).write_bytes(content)
    return distribution.read(folder / name)


def refused(folder: Path, content: bytes, name: str = WHEEL) -> str:
    """Return the sentence with which a distribution of such bytes is refused."""
    with pytest.raises(DistributionError) as error:
        read(folder, content, name)
    sentence = str(error.value)
    assert sentence.startswith(name)
    assert sentence.isprintable()
    assert len(sentence) < 300
    return sentence


def with_record(record: str, **more: bytes) -> bytes:
    """Return a wheel with such a RECORD and more members at its top."""
    return packed(
        [*FILES.items(), *more.items(), wheel_file(), (f"{INFO}/RECORD", record.encode())]
    )


def wheel_file(content: str = "Wheel-Version: 1.0\n") -> tuple[str, bytes]:
    """Return a member that is the file WHEEL."""
    return f"{INFO}/WHEEL", content.encode()


def lines(**different: str) -> dict[str, str]:
    """Return the lines of RECORD, by path, of which some are different."""
    record = MEMBERS[f"{INFO}/RECORD"].decode()
    made = {line.partition(",")[0]: line for line in record.splitlines()}
    return {**made, f"{INFO}/WHEEL": f"{INFO}/WHEEL,,", **different}


def recorded(line: str, path: str = MODULE) -> str:
    """Return a RECORD in which a file has another line, or none."""
    return "".join(f"{one}\n" for one in {**lines(), path: line}.values() if one)


def hashed(algorithm: str, content: bytes = FILES[MODULE]) -> str:
    """Return a hash as RECORD writes it."""
    digest = hashlib.new(algorithm, content).digest()
    return f"{algorithm}={base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def test_what_the_other_tests_change_is_taken_as_it_is(tmp_path: Path) -> None:
    assert read(tmp_path, packed(MEMBERS.items())).metadata == METADATA
    assert read(tmp_path, packed(SOURCES.items()), ZIP).project == "my-lib"
    assert read(tmp_path, tar(), SDIST).project == "my-lib"
    assert read(tmp_path, with_record(recorded(lines()[MODULE]))).project == "my-lib"


# One archive, from its first byte to its last -----------------------------------------------------

WHOLE = {WHEEL: packed(MEMBERS.items()), ZIP: packed(SOURCES.items())}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("junk", [b"#!/bin/sh\n", b"\0", b"PK\3\4", packed(SOURCES.items())])
def test_bytes_before_a_zip_file_are_refused(tmp_path: Path, name: str, junk: bytes) -> None:
    assert "bytes before" in refused(tmp_path, junk + WHOLE[name], name)


@pytest.mark.parametrize("name", WHOLE)
def test_bytes_before_a_zip_file_that_counts_them_are_refused(tmp_path: Path, name: str) -> None:
    file = io.BytesIO(b"#!/bin/sh\n")
    with zipfile.ZipFile(file, "a") as archive:
        for path, content in (MEMBERS if name == WHEEL else SOURCES).items():
            archive.writestr(path, content)

    assert "bytes before" in refused(tmp_path, file.getvalue(), name)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("junk", [b"\n", b"\0" * 3, b"PK\3\4" + bytes(30), b"<html>" * 3000])
def test_bytes_behind_a_zip_file_are_refused(tmp_path: Path, name: str, junk: bytes) -> None:
    assert "bytes behind" in refused(tmp_path, WHOLE[name] + junk, name)


@pytest.mark.parametrize("name", WHOLE)
def test_two_zip_files_behind_each_other_are_refused(tmp_path: Path, name: str) -> None:
    for first, second in ((ZIP, WHEEL), (WHEEL, ZIP), (WHEEL, WHEEL)):
        assert "bytes before" in refused(tmp_path, WHOLE[first] + WHOLE[second], name)


@pytest.mark.parametrize("name", WHOLE)
def test_a_zip_file_in_the_comment_of_another_is_refused(tmp_path: Path, name: str) -> None:
    outer, inner = WHOLE[name], WHOLE[ZIP]

    refused(tmp_path, outer[:-2] + struct.pack("<H", len(inner)) + inner, name)
    # Behind so much that nobody looks for its end.
    inner += bytes(65_535 - len(inner))
    refused(tmp_path, outer[:-2] + struct.pack("<H", len(inner)) + inner, name)


@pytest.mark.parametrize("comment", [b"changed", "Größe\n".encode(), b" " * 65_535])
def test_a_comment_is_no_reason_to_refuse(tmp_path: Path, comment: bytes) -> None:
    content = WHOLE[WHEEL][:-2] + struct.pack("<H", len(comment)) + comment

    assert read(tmp_path, content).project == "my-lib"


@pytest.mark.parametrize("name", WHOLE)
def test_a_member_that_the_list_denies_is_refused(tmp_path: Path, name: str) -> None:
    """uv, which reads from the start, would install it; pip would not see it."""
    members = MEMBERS if name == WHEEL else SOURCES
    for place in (0, 1, len(members)):
        hidden = list(members.items())
        hidden.insert(place, ("hidden.py", b"evil = True\n"))
        content = packed(hidden)
        start = content.index(b"PK\1\2")
        directory = content[start : content.index(b"PK\5\6")]
        entries = [b"PK\1\2" + entry for entry in directory.split(b"PK\1\2")[1:]]
        kept = b"".join(entry for entry in entries if b"hidden.py" not in entry)
        number = len(members)
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, number, number, len(kept), start, 0)

        refused(tmp_path, content[:start] + kept + end, name)
        # The number alone would not tell.
        wrong = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, number, number, len(directory), start, 0)
        refused(tmp_path, content[:start] + directory + wrong, name)


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        pytest.param(8, b"\x08\0", id="method"),
        pytest.param(14, b"abcd", id="checksum"),
        pytest.param(18, b"\1\0\0\0", id="packed size"),
        pytest.param(22, b"\1\0\0\0", id="size"),
        pytest.param(6, b"\x08\0", id="no descriptor"),
        pytest.param(30, b"x", id="name"),
        pytest.param(28, b"\4\0", id="length of what is between"),
    ],
)
@pytest.mark.parametrize("name", WHOLE)
def test_a_member_that_says_otherwise_than_the_list_is_refused(
    tmp_path: Path, name: str, offset: int, value: bytes
) -> None:
    content = bytearray(WHOLE[name])
    content[offset : offset + len(value)] = value

    refused(tmp_path, bytes(content), name)


class Pipe(io.RawIOBase):
    """A file in which nothing can be written again."""

    def __init__(self) -> None:
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, content: bytes) -> int:  # type: ignore[override]
        self.written += bytes(content)
        return len(content)


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_file_that_was_written_to_a_pipe_is_taken(
    tmp_path: Path, large: bool, compression: int
) -> None:
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", compression) as archive:
        for name, text in MEMBERS.items():
            with archive.open(name, "w", force_zip64=large) as file:
                file.write(text)

    assert read(tmp_path, pipe.written).project == "my-lib"
    for place in (4, 8, 12):
        damaged = bytearray(pipe.written)
        damaged[damaged.index(b"PK\7\x08") + place] ^= 1
        refused(tmp_path, bytes(damaged))


def test_a_zip_file_with_the_numbers_of_zip64_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in MEMBERS.items():
            with archive.open(name, "w", force_zip64=True) as unpacked:
                unpacked.write(text)
    content = file.getvalue()
    at_64 = content.index(b"PK\6\6")

    assert read(tmp_path, content).project == "my-lib"
    # Bytes between the list and its end, numbers of disks and members, and their places.
    for place in (4, 16, 20, 24, 32, 40, 48, 56 + 8, 56 + 20 + 8, 56 + 20 + 12, 56 + 20 + 16):
        damaged = bytearray(content)
        damaged[at_64 + place] ^= 1
        refused(tmp_path, bytes(damaged))


@pytest.mark.parametrize("junk", [b"\n", b"\0" * 511 + b"x", b"x" * 512, b"\0" * 20_000 + b"x"])
def test_bytes_behind_a_tar_file_are_refused(tmp_path: Path, junk: bytes) -> None:
    whole = gzip.decompress(tar())

    assert "bytes behind" in refused(tmp_path, gzip.compress(whole + junk), SDIST)
    assert "bytes behind" in refused(tmp_path, gzip.compress(whole) + gzip.compress(junk), SDIST)
    assert "bytes behind" in refused(tmp_path, gzip.compress(whole + whole), SDIST)
    assert read(tmp_path, gzip.compress(whole + bytes(20_000)), SDIST).project == "my-lib"


# Names --------------------------------------------------------------------------------------------

OUTSIDE = [
    "../x.py",
    "..",
    "my_lib/../../x.py",
    "my_lib/..",
    "/x.py",
    "//x.py",
    "/",
    "C:x.py",
    "c:/x.py",
    "./C:/x.py",
    "..\\x.py",
    "\\x.py",
    "my_lib\\..\\..\\x.py",
    "C:\\x.py",
    "\\\\server\\share\\x.py",
]


def zip_with(name: str | zipfile.ZipInfo, content: bytes = b"x", *, sdist: bool) -> bytes:
    """Return a ZIP file with one more member, which a wheel's RECORD names."""
    if sdist:
        return packed([*SOURCES.items(), (name, content)])
    path = name.filename if isinstance(name, zipfile.ZipInfo) else name
    members = wheel.complete({**FILES, path: content})
    return packed((name if one == path else one, text) for one, text in members.items())


@pytest.mark.parametrize("sdist", [False, True])
@pytest.mark.parametrize("name", OUTSIDE)
def test_a_member_of_a_zip_file_that_leaves_its_folder_is_refused(
    tmp_path: Path, name: str, sdist: bool
) -> None:
    said = refused(tmp_path, zip_with(name, sdist=sdist), ZIP if sdist else WHEEL)

    assert "leaves its folder" in said or "backslash" in said


# A tar file has no name for the folder of all folders: "/" is the one it is unpacked to.
@pytest.mark.parametrize("name", [name for name in OUTSIDE if name != "/"])
def test_a_member_of_a_tar_file_that_leaves_its_folder_is_refused(
    tmp_path: Path, name: str
) -> None:
    for kind in (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE):
        content = tar(member(name, kind, "my_lib-1.0/PKG-INFO"))

        assert "leaves its folder" in refused(tmp_path, content, SDIST)


@pytest.mark.parametrize("name", [".", "./", "././"])
def test_a_member_may_be_the_folder_that_all_are_in_but_no_file(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, tar(member(name, tarfile.DIRTYPE)), SDIST).project == "my-lib"
    for kind in (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE):
        if kind != tarfile.REGTYPE or not name.endswith("/"):
            assert "without a name" in refused(tmp_path, tar(member(name, kind, "x")), SDIST)
    for sdist in (False, True):
        content = zip_with(name, b"", sdist=sdist)
        if name.endswith("/"):
            assert read(tmp_path, content, ZIP if sdist else WHEEL).project == "my-lib"
        else:
            assert "without a name" in refused(tmp_path, content, ZIP if sdist else WHEEL)


@pytest.mark.parametrize("sdist", [False, True])
@pytest.mark.parametrize("letter", ["\0", "\1", "\t", "\n", "\r", "\x1b", "\x7f", "\x85", "\u202e"])
def test_a_name_with_control_characters_is_refused(
    tmp_path: Path, letter: str, sdist: bool
) -> None:
    content = zip_with("my_lib/a_b.py", sdist=sdist)
    utf_8 = letter.encode()
    if len(utf_8) == 1:
        content = content.replace(b"my_lib/a_b.py", b"my_lib/a" + utf_8 + b"b.py")
    else:
        content = zip_with(f"my_lib/a{letter}b.py", sdist=sdist)

    assert "control characters" in refused(tmp_path, content, ZIP if sdist else WHEEL)


@pytest.mark.parametrize("sdist", [False, True])
@pytest.mark.parametrize(
    "name",
    ["my_lib/a b.py", "my_lib/größe.py", "my_lib/🌈.py", "my_lib/...py", "my_lib/a:b", "a..b/c"],
)
def test_other_names_are_taken(tmp_path: Path, name: str, sdist: bool) -> None:
    name_of_file = ZIP if sdist else WHEEL

    assert read(tmp_path, zip_with(name, sdist=sdist), name_of_file).project == "my-lib"


@pytest.mark.parametrize("sdist", [False, True])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x.py", "x.py"),
        ("x.py", "./x.py"),
        ("a/x.py", "a//x.py"),
        ("a/x.py", "./a/./x.py"),
        ("a", "a/x.py"),
        ("a/b", "a//b/c/d.py"),
        ("a", "a/"),
        ("a/", "./a"),
    ],
)
def test_two_members_that_would_be_one_file_are_refused(
    tmp_path: Path, first: str, second: str, sdist: bool
) -> None:
    start = list((SOURCES if sdist else MEMBERS).items())
    for pair in ((first, second), (second, first)):
        # What is between them in the alphabet does not hide them from each other.
        extra = [(pair[0], b""), ("a.b", b""), ("a-b", b""), ("x.py-", b""), (pair[1], b"")]
        said = refused(tmp_path, packed([*start, *extra]), ZIP if sdist else WHEEL)
        assert "more than one member" in said


@pytest.mark.parametrize("sdist", [False, True])
def test_folders_and_names_that_differ_in_case_are_taken(tmp_path: Path, sdist: bool) -> None:
    start = list((SOURCES if sdist else FILES).items())
    names = ["a/", "a/", "a/b/", "a/b/x", "a/b/X", "A", "./y", "z//z"]
    members = [*start, *((name, b"") for name in names)]
    if not sdist:
        record = "".join(f"{name},,\n" for name, _ in members) + f"{INFO}/WHEEL,,\n"
        members += [wheel_file(), (f"{INFO}/RECORD", record.encode())]

    assert read(tmp_path, packed(members), ZIP if sdist else WHEEL).project == "my-lib"


@pytest.mark.parametrize("sdist", [False, True])
@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK])
def test_a_member_of_a_zip_file_that_is_no_file_is_refused(
    tmp_path: Path, kind: int, sdist: bool
) -> None:
    info = zipfile.ZipInfo("my_lib/x")
    info.external_attr = (kind | 0o777) << 16

    said = refused(tmp_path, zip_with(info, MODULE.encode(), sdist=sdist), ZIP if sdist else WHEEL)

    assert "no file or folder: 'my_lib/x'" in said


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, b"Z"])
def test_a_member_of_a_tar_file_that_is_no_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    assert "no file or folder" in refused(tmp_path, tar(member("my_lib-1.0/x", kind)), SDIST)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("my_lib-1.0/x", "/etc/passwd"),
        ("my_lib-1.0/x", "../other"),
        ("my_lib-1.0/x", ".."),
        ("my_lib-1.0/a/x", "../../other"),
        ("my_lib-1.0/a/x", "b/../../../my_lib-1.0/x"),
        ("my_lib-1.0/x", "..\\other"),
        ("my_lib-1.0/x", "C:/other"),
        ("x", "../other"),
    ],
)
def test_a_symbolic_link_that_leaves_its_folder_is_refused(
    tmp_path: Path, name: str, target: str
) -> None:
    content = tar(member(name, tarfile.SYMTYPE, target))

    assert "link that leaves its folder" in refused(tmp_path, content, SDIST)


@pytest.mark.parametrize("target", ["/etc/passwd", "../x", "my_lib-1.0/../../x", "C:\\x"])
def test_a_hard_link_that_leaves_its_folder_is_refused(tmp_path: Path, target: str) -> None:
    content = tar(member("my_lib-1.0/x", tarfile.LNKTYPE, target))

    assert "link that leaves its folder" in refused(tmp_path, content, SDIST)


def test_links_within_an_sdist_are_taken(tmp_path: Path) -> None:
    content = tar(
        member("my_lib-1.0/a/LICENSE", tarfile.SYMTYPE, "../PKG-INFO"),
        member("my_lib-1.0/a/b/c", tarfile.SYMTYPE, "../.././a/../gone"),
        member("my_lib-1.0/d", tarfile.SYMTYPE, "."),
        member("my_lib-1.0/e", tarfile.LNKTYPE, "my_lib-1.0/PKG-INFO"),
    )

    assert read(tmp_path, content, SDIST).project == "my-lib"


# WHEEL, RECORD and the folder of both -------------------------------------------------------------


@pytest.mark.parametrize("name", ["WHEEL", "RECORD"])
def test_a_wheel_without_what_installers_want_is_refused(tmp_path: Path, name: str) -> None:
    rest = {path: text for path, text in MEMBERS.items() if path != f"{INFO}/{name}"}
    elsewhere = {**rest, f"my_lib/{INFO}/{name}": MEMBERS[f"{INFO}/{name}"]}

    for members in (rest, elsewhere):
        assert f"no file '{INFO}/{name}'" in refused(tmp_path, packed(members.items()))


@pytest.mark.parametrize(
    "folder",
    [
        "other-1.0.dist-info",
        "my_lib-1.1.dist-info",
        "my_lib-2.0-1.0.dist-info",
        "my_library-1.0.dist-info",
        "my_lib-1.0.post1.dist-info",
        "my_lib-latest.dist-info",
        f"my_lib-{'9' * 900}.dist-info",
        "my_lib.dist-info",
    ],
)
def test_a_wheel_with_the_folder_of_another_release_is_refused(tmp_path: Path, folder: str) -> None:
    members = wheel.complete({MODULE: b"", f"{folder}/METADATA": METADATA})

    assert "the file name says my-lib 1.0" in refused(tmp_path, packed(members.items()))


@pytest.mark.parametrize("folder", ["My.Lib-1.0", "my-lib-1.0.0", "MY_LIB-v1", "my__lib-01.0"])
def test_the_folder_of_a_wheel_may_spell_its_release_otherwise(tmp_path: Path, folder: str) -> None:
    members = wheel.complete({MODULE: b"", f"{folder}.dist-info/METADATA": METADATA})

    assert read(tmp_path, packed(members.items())).version == "1.0"


@pytest.mark.parametrize("name", ["METADATA", "WHEEL", "x"])
def test_a_wheel_with_two_such_folders_is_refused(tmp_path: Path, name: str) -> None:
    members = wheel.complete({**FILES, f"other-1.0.dist-info/{name}": METADATA})

    assert refused(tmp_path, packed(members.items())).endswith("instead of one")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Wheel-Version:\n",
        "Wheel-Version: 2.0\n",
        "Wheel-Version: 1\n",
        "Wheel-Version: 0.1\n",
        "Wheel-Version: 10.0\n",
        "Wheel-Version: one\n",
        "Wheel-Version: \x1b[2J\n",
        "Wheel-Version: 2.0\nWheel-Version: 1.0\n",
        "Generator: x\n\nWheel-Version: 1.0\n",
        "X-Wheel-Version: 1.0\n",
    ],
)
def test_a_wheel_of_a_format_that_installers_do_not_know_is_refused(
    tmp_path: Path, text: str
) -> None:
    members = dict([*MEMBERS.items(), wheel_file(text)])
    del members[f"{INFO}/RECORD"]

    assert "Wheel-Version is" in refused(tmp_path, packed(wheel.complete(members).items()))


@pytest.mark.parametrize(
    "text",
    [
        "Wheel-Version: 1.0\r\nTag: x\r\n",
        "Generator: x\nwheel-version:1.9",
        "Wheel-Version:  1.0 \n\n",
    ],
)
def test_what_installers_read_is_read_in_wheel(tmp_path: Path, text: str) -> None:
    members = dict([*MEMBERS.items(), wheel_file(text)])
    del members[f"{INFO}/RECORD"]

    assert read(tmp_path, packed(wheel.complete(members).items())).project == "my-lib"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", f"has {MODULE!r}, which its RECORD does not name"),
        (f"{MODULE},{hashed('sha256', b'other')},6", f"another {MODULE!r} than its RECORD says"),
        (f"{MODULE},{hashed('sha512', b'other')},6", f"another {MODULE!r} than its RECORD says"),
        (f"{MODULE},sha256=,6", f"another {MODULE!r} than its RECORD says"),
        (f"{MODULE},{hashed('sha256')},7", f"another {MODULE!r} than its RECORD says"),
        (f"{MODULE},,7", f"another {MODULE!r} than its RECORD says"),
        (f"{MODULE},{hashed('sha256').upper()},6", "unknown kind of hash"),
        (f"{MODULE},crc32=12345678,6", "unknown kind of hash"),
        (f"{MODULE},sha256,6", f"another {MODULE!r} than its RECORD says"),
        (f"{MODULE},,six", "RECORD that cannot be read"),
        (f"{MODULE},{'9' * 1900},", "unknown kind of hash"),
        (f"{MODULE},,{'9' * 1900}", f"another {MODULE!r} than its RECORD says"),
        (f"{MODULE},", "RECORD that cannot be read"),
        (f"{MODULE},,,", "RECORD that cannot be read"),
        (f"{MODULE},,\n", "RECORD that cannot be read"),
        (f"{MODULE},,\ngone.py,,", "lacks 'gone.py', which its RECORD names"),
        (f"{MODULE},,\n../../bin/x,,", "leaves its folder"),
        (f"{MODULE},{hashed('sha256')},\n{MODULE},{hashed('sha512')},", "than its RECORD says"),
        (f"{MODULE},{'ü' * 20},6", "RECORD that cannot be read"),
        (f'"{MODULE}",,\n"{("x" * 1000 + chr(10)) * 200}",,', "RECORD that cannot be read"),
    ],
)
def test_a_wheel_of_which_record_says_otherwise_is_refused(
    tmp_path: Path, line: str, said: str
) -> None:
    assert said in refused(tmp_path, with_record(recorded(line)))


def test_a_record_that_is_no_text_is_refused(tmp_path: Path) -> None:
    members = {**MEMBERS, f"{INFO}/RECORD": MEMBERS[f"{INFO}/RECORD"] + b"\xff,,\n"}

    assert "RECORD that cannot be read" in refused(tmp_path, packed(members.items()))


def test_a_giant_record_is_refused_unread(tmp_path: Path) -> None:
    record = recorded(f"{MODULE},,\n" * 1_000_000)
    assert len(record) > 17 * 2**20

    assert "RECORD of more than 16,384 kB" in refused(tmp_path, with_record(record))


def test_a_record_may_have_a_line_for_each_member_there_can_be(tmp_path: Path) -> None:
    rest = recorded("")
    most = f"{MODULE},,\n" * (MEMBERS_LIMIT - rest.count("\n"))

    assert read(tmp_path, with_record(most + rest)).project == "my-lib"
    sentence = refused(tmp_path, with_record(f"{MODULE},,\n" + most + rest))
    assert "RECORD of more than 100,000 lines" in sentence


def test_a_line_of_record_may_have_2000_letters(tmp_path: Path) -> None:
    line = f"{MODULE},{'x' * (1999 - len(MODULE) - 2)},"

    assert "unknown kind of hash" in refused(tmp_path, with_record(recorded(line)))
    sentence = refused(tmp_path, with_record(recorded(line.replace("x,", "xx,"))))
    assert "RECORD with a line of more than 2,000 letters" in sentence


@pytest.mark.parametrize(
    ("name", "limit", "said"),
    [("WHEEL", 2**16, "a WHEEL of more than 64"), ("entry_points.txt", 2**18, "more than 256")],
)
def test_other_files_beside_the_metadata_of_a_wheel_may_be_so_large(
    tmp_path: Path, name: str, limit: int, said: str
) -> None:
    def of(size: int) -> bytes:
        content = b"Wheel-Version: 1.0\n" if name == "WHEEL" else b"[console_scripts]\n"
        files = {**FILES, f"{INFO}/{name}": content + b"\n" * (size - len(content))}
        return packed(wheel.complete(files).items())

    assert read(tmp_path, of(limit)).project == "my-lib"
    assert f"{said} kB" in refused(tmp_path, of(limit + 1))


def test_a_line_of_entry_points_may_have_1000_letters(tmp_path: Path) -> None:
    def of(length: int) -> bytes:
        line = "a=b:c".ljust(length)
        text = f"[console_scripts]\r\n{line}\r\n".replace("\r\n", "\n").encode()
        files = {**FILES, f"{INFO}/entry_points.txt": text}
        return packed(wheel.complete(files).items())

    assert read(tmp_path, of(1000)).project == "my-lib"
    sentence = refused(tmp_path, of(1001))
    assert "entry_points.txt with a line of more than 1,000 letters" in sentence


@pytest.mark.parametrize("number", [1000, 1001])
def test_the_name_of_a_member_may_have_1000_bytes(tmp_path: Path, number: int) -> None:
    name = "my_lib-1.0/".ljust(number, "x")
    files = packed([*SOURCES.items(), (name, b"")])
    link = member("my_lib-1.0/y", tarfile.LNKTYPE, name.replace("xx", "ü"))
    archives = [(ZIP, files), (SDIST, tar(member(name))), (SDIST, tar(link))]

    for file, content in archives:
        if number == 1000:
            assert read(tmp_path, content, file).project == "my-lib"
        else:
            assert "name has more than 1,000 bytes" in refused(tmp_path, content, file)


@pytest.mark.parametrize(
    "line",
    [
        f"{MODULE},,",
        f"{MODULE},{hashed('sha256')},",
        f'"{MODULE}","{hashed("sha256")}","6"',
        f"{MODULE},{hashed('sha256')}=,6",
        f"{MODULE},{hashed('sha384')},6",
        f"{MODULE},{hashed('sha512')},6",
        f"{MODULE},{hashed('blake2b')},6",
        f"{MODULE},{hashed('md5')},6",
        f"{MODULE},{hashed('sha1')},6",
        f"./{MODULE},{hashed('sha256')},6",
        f"{MODULE.replace('/', chr(92))},{hashed('sha256')},6",
        f"my_lib/,,\n{MODULE},{hashed('sha256')},6",
        f"{MODULE},{hashed('sha256')},6\n{MODULE},{hashed('sha256')},6",
        f"{MODULE},{hashed('sha256')},6\r",
    ],
)
def test_what_build_tools_wrote_into_record_is_taken(tmp_path: Path, line: str) -> None:
    assert read(tmp_path, with_record(recorded(line))).project == "my-lib"


def test_record_and_its_signatures_need_not_be_in_record(tmp_path: Path) -> None:
    record = recorded("", f"{INFO}/RECORD")
    more = {f"{INFO}/RECORD.jws": b"x", f"{INFO}/RECORD.p7s": b"x"}

    assert read(tmp_path, with_record(record, **more)).project == "my-lib"
    assert "does not name" in refused(tmp_path, with_record(record, **{"RECORD.jws": b"x"}))


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("my_lib-1.0.data/bogus/a", "", "which installers put nowhere"),
        ("my_lib-1.0.data/a", "", "which installers put nowhere"),
        ("a.data", "", "where installers want a folder"),
        ("my_lib-1.0.dist-info/entry_points.txt", "garbage", "that cannot be read"),
        (
            "my_lib-1.0.dist-info/entry_points.txt",
            "[console_scripts]\nrun = my_lib\n",
            "a script 'run' that calls 'my_lib': name module:function",
        ),
    ],
)
def test_a_wheel_with_what_installers_refuse_to_install_is_refused(
    tmp_path: Path, path: str, content: str, said: str
) -> None:
    wheel_file = wheel.build(tmp_path, "my-lib", "1.0", origin="us", more={path: content})

    with pytest.raises(DistributionError, match=re.escape(said)):
        distribution.read(wheel_file)


def test_scripts_and_files_elsewhere_may_be_in_a_wheel(tmp_path: Path) -> None:
    scripts = "[console_scripts]\nrun = my_lib.main:run [fast]\n[gui_scripts]\nshow=my_lib:a.b\n"
    more = {
        "my_lib-1.0.data/scripts/run.sh": "",
        "my_lib-1.0.data/data/share/x": "",
        "my_lib-1.0.dist-info/entry_points.txt": f"{scripts}[plugins]\nany = thing\n",
    }
    wheel_file = wheel.build(tmp_path, "my-lib", "1.0", "six (>=1)", origin="us", more=more)

    assert distribution.read(wheel_file).project == "my-lib"


def test_a_wheel_that_requires_what_nobody_can_read_is_refused(tmp_path: Path) -> None:
    for requirement in ("foo >= bar!!", f"foo ; {'(' * 2000}"):
        wheel_file = wheel.build(tmp_path, "my-lib", "1.0", requirement, origin="us")
        with pytest.raises(DistributionError, match="Requires-Dist that installers cannot read"):
            distribution.read(wheel_file)
