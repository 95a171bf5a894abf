"""What the name of a distribution and its archive say, and how little an archive can do to us."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import signal
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kit import heavy, wheel
from kit.archives import zipped
from packaging.version import InvalidVersion, Version
from private_pypi import distribution
from private_pypi.distribution import Distribution, DistributionError
from private_pypi.hosting import ARCHIVES

METADATA = "Metadata-Version: 2.1\nName: my.Lib\nVersion: 1.0.0\n\nA description.\n"
WHEEL = "my_lib-1.0.0-py3-none-any.whl"
SDIST = "my_lib-1.0.0.tar.gz"
ZIP = "my_lib-1.0.0.zip"
MB = 2**20

Write = Callable[..., Path]

# More than this an archive may not take, whatever is in it.
BOUND = 48 * MB


def headers(*more: str, version: str = "2.1") -> str:
    """Return metadata of my.Lib 1.0.0 with more lines."""
    lines = [f"Metadata-Version: {version}", "Name: my.Lib", "Version: 1.0.0", *more]
    return "".join(f"{line}\n" for line in lines) + "\n"


def write_wheel(folder: Path, metadata: bytes | str = METADATA, name: str = WHEEL) -> Path:
    """Write a wheel of my.Lib 1.0.0."""
    info = "-".join(name.split("-")[:2]) + ".dist-info"
    members = {"my_lib/__init__.py": "X = 1\n" * 100, f"{info}/METADATA": metadata}
    wheel.write(folder / name, members, zipfile.ZIP_DEFLATED)
    return folder / name


def write_zip(folder: Path, metadata: str = METADATA) -> Path:
    """Write a .zip sdist of my.Lib 1.0.0."""
    members = {
        "my_lib-1.0.0/PKG-INFO": metadata,
        "my_lib-1.0.0/my_lib.egg-info/PKG-INFO": "not this one",
    }
    (folder / ZIP).write_bytes(zipped(members, zipfile.ZIP_DEFLATED))
    return folder / ZIP


def write_sdist(folder: Path, metadata: bytes | str = METADATA, name: str = SDIST) -> Path:
    """Write a .tar.gz sdist of my.Lib 1.0.0, as setuptools would: with a second PKG-INFO below."""
    members = [
        ("my_lib-1.0.0/PKG-INFO", metadata),
        ("my_lib-1.0.0/setup.py", "x = 1\n" * 1000),
        ("my_lib-1.0.0/src/my_lib.egg-info/PKG-INFO", "not this one"),
    ]
    return write_tar(folder / name, b"".join(member(path, text) for path, text in members))


def member(name: str, content: bytes | str = b"", kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return a member of a tar file as it stands in it."""
    content = content.encode() if isinstance(content, str) else content
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def write_tar(path: Path, members: bytes) -> Path:
    """Write a .tar.gz of such members."""
    path.write_bytes(gzip.compress(members + bytes(1024), compresslevel=1, mtime=0))
    return path


def pax(number: int) -> bytes:
    """Return the records of a pax header of 200 KB whose keys no other has."""
    keys = (f"{number}.{key}".ljust(993, "k") for key in range(200))
    return b"".join(f"1001 {key}=x\n".encode() for key in keys)


def refused(path: Path) -> str:
    """Return the sentence with which a file is refused."""
    with pytest.raises(DistributionError) as error:
        distribution.read(path)
    sentence = str(error.value)
    assert sentence.startswith(path.name)
    assert "\n" not in sentence
    assert sentence.isprintable()
    assert len(sentence) < 400
    return sentence


def read_or_refused(path: Path) -> Distribution | None:
    """Return what a file is, or None if it is refused in a printable sentence."""
    try:
        return distribution.read(path)
    except DistributionError as error:
        sentence = str(error)
    assert sentence.isprintable()
    return None


class TooSlowError(BaseException):
    """Something took too long; `except Exception` does not hide it."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Stop what takes more of the processor's time, such as an endless loop."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def bounded(limit: int = BOUND) -> Iterator[None]:
    """Fail if more memory was taken at once, and stop soon after it was."""
    tracemalloc.start()

    def look(number: int, frame: FrameType | None) -> None:
        if tracemalloc.get_traced_memory()[1] > limit:
            raise TooSlowError

    before = signal.signal(signal.SIGVTALRM, look)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.05, 0.05)
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    except TooSlowError:
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        tracemalloc.stop()
    assert peak < limit, f"it took {peak // MB} MB"


# Names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "project", "version"),
    [
        ("my_lib-1.0.0-py3-none-any.whl", "my-lib", "1.0.0"),
        ("My.Lib-1.0.0-py3-none-any.whl", "my-lib", "1.0.0"),
        ("my_lib-1.0.0-1build-cp313-cp313-manylinux_2_28_x86_64.whl", "my-lib", "1.0.0"),
        ("my_lib-1.0.0-py2.py3-none-any.whl", "my-lib", "1.0.0"),
        ("my_lib-1.0+ubuntu.1-py3-none-any.whl", "my-lib", "1.0+ubuntu.1"),
        ("my_lib-1.0+Ubuntu_1-py3-none-any.whl", "my-lib", "1.0+ubuntu.1"),
        ("my_lib-1!2.0-py3-none-any.whl", "my-lib", "1!2.0"),
        ("my_lib-1.0.dev1-py3-none-any.whl", "my-lib", "1.0.dev1"),
        ("my_lib-1.0RC1-py3-none-any.whl", "my-lib", "1.0rc1"),
        ("my_lib-v1.0.alpha.1-py3-none-any.whl", "my-lib", "1.0a1"),
        ("my_lib-1.0.tar.gz", "my-lib", "1.0"),
        ("my_lib-01.00.tar.gz", "my-lib", "1.0"),
        ("my_lib-1.0.zip", "my-lib", "1.0"),
        ("my-lib-1.0.tar.gz", "my-lib", "1.0"),
        ("My.Private-Lib_x-1.0.tar.gz", "my-private-lib-x", "1.0"),
        ("lib-3d-tools-1.0.tar.gz", "lib-3d-tools", "1.0"),
        ("lib-3-1.0.tar.gz", "lib-3", "1.0"),
        ("2captcha-1.0.tar.gz", "2captcha", "1.0"),
        ("my_lib-1.0+local.5.tar.gz", "my-lib", "1.0+local.5"),
        ("my_lib-1.0.post1.tar.gz", "my-lib", "1.0.post1"),
        (f"{'a' * 228}-1.0.tar.gz", "a" * 228, "1.0"),
    ],
)
def test_a_name_says_project_and_version_in_their_normalised_forms(
    file: str, project: str, version: str
) -> None:
    assert distribution.parse_name(file) == (project, version)


ONE = [
    "replib-1.0.0-py3-none-any.whl Replib-1.0-py3-none-any.whl REPLIB-1-PY3-NONE-ANY.whl",
    "replib-2.0-py3-none-any.whl replib-v2.0-py3-none-any.whl replib-0!2.0.0.0-py3-none-any.whl",
    "rep_lib-1.0.tar.gz rep-lib-1.0.tar.gz Rep.Lib-1.0.0.zip rep--_.lib-1.tar.gz",
    "rep_lib-1.0-py3-none-any.whl rep.lib-1.0-py3-none-any.whl",
    "lib-1.0-py2.py3-none-any.whl lib-1.0-py3.py2-none-any.whl lib-1-py3.py3.py2-none.none-any.whl",
    "lib-1.0-cp313-cp313-linux_x86_64.any.whl lib-1.0-CP313-cp313-any.linux_x86_64.whl",
    "lib-1.0-1-py3-none-any.whl lib-1.0-01-py3-none-any.whl",
    "lib-1.0-1Local-py3-none-any.whl lib-1.0-1local-py3-none-any.whl",
    "lib-1.0.post1.tar.gz lib-1.0.0post1.zip lib-1.r1.tar.gz",
    "lib-1.0.post1-py3-none-any.whl lib-1.0.rev.1-py3-none-any.whl",
    "lib-1.0rc1.tar.gz lib-1.0.0.c1.tar.gz lib-1.0PRE1.zip",
    "lib-1.0a0.tar.gz lib-1.0.alpha.tar.gz",
    "lib-1.0.dev0.tar.gz lib-1.0dev.tar.gz",
    "lib-1.0+Ubuntu_1.tar.gz lib-1.0.0+ubuntu.1.tar.gz lib-1.0+ubuntu.01.tar.gz",
    "lib-1!2.0-py3-none-any.whl lib-1!2-py3-none-any.whl",
]


@pytest.mark.parametrize("files", ONE)
def test_all_spellings_of_a_name_are_one_identity(files: str) -> None:
    assert len({distribution.identity(file) for file in files.split()}) == 1


def test_names_that_say_different_things_are_different_identities() -> None:
    more = [
        "lib-1.0.tar.gz",
        "lib-1.0.1.tar.gz",
        "lib-10.tar.gz",
        "lib-1.0.post0.tar.gz",
        "lib-1.0+local.tar.gz",
        "lib-1.0+local.0.tar.gz",
        "lib-1!1.0.tar.gz",
        "li-b-1.0.tar.gz",
        "lib-1-2.tar.gz",
        "lib-1-2-py3-none-any.whl",
        "lib-2-py3-none-any.whl",
        "lib-1.0-py3-none-any.whl",
        "lib-1.0-py2-none-any.whl",
        "lib-1.0-1a-py3-none-any.whl",
        "lib-1.0-py3-abi3-any.whl",
        "lib-1.0-py3-none-linux_x86_64.whl",
    ]
    files = [*more, *(spellings.split()[0] for spellings in ONE)]

    assert len({distribution.identity(file) for file in files}) == len(files)


@given(st.from_regex(r"[0-9]{1,2}(!0)?(\.0{1,2})*(a|rc|\.dev|\.post)?0?(\+0)?", fullmatch=True))
def test_versions_have_one_identity_exactly_if_they_are_equal(version: str) -> None:
    def same(other: str) -> bool:
        names = f"lib-{version}.tar.gz", f"lib-{other}.zip"
        return len(set(map(distribution.identity, names))) == 1

    for other in (version.replace(".0", ""), f"v{version}", version.upper(), f"{version}.0"):
        try:
            expected = Version(version) == Version(other)
        except InvalidVersion:
            continue
        assert same(other) is expected


@pytest.mark.parametrize(
    "file",
    [
        "",
        "README.txt",
        "my_lib.whl",
        "my_lib-1.0.whl",
        "my_lib-1.0-py3-none.whl",
        "my_lib-1.0-x-py3-none-any.whl",
        "my_lib-1.0-1-2-py3-none-any.whl",
        "my_lib-latest-py3-none-any.whl",
        "my__lib-1.0-py3-none-any.whl",
        "my_lib-1.0-py3-none-any.WHL",
        "my_lib-1.0-py3.11.egg",
        "my_lib-1.0.egg",
        "my_lib-1.0.tar.bz2",
        "my_lib-1.0.tar.xz",
        "my_lib-1.0.tgz",
        "my_lib-1.0.exe",
        "my_lib-1.0.tar.gz.asc",
        "my_lib-1.0-py3-none-any.whl.metadata",
        "my_lib-1.0-2.tar.gz.part",
        "my_lib-latest.tar.gz",
        "my_lib.tar.gz",
        "-1.0.tar.gz",
        "_lib-1.0.tar.gz",
        "lib_-1.0.tar.gz",
        ".my_lib-1.0.tar.gz",
        "my lib-1.0.tar.gz",
        "my_lib-1.0.tar.gz\n",
        "my_lib-1.0-py3-none-any.whl\n",
        "../my_lib-1.0.tar.gz",
        "a/my_lib-1.0.tar.gz",
        "a\\my_lib-1.0.tar.gz",
        "mÿ_lib-1.0.tar.gz",
        "my_lib-1.0²-py3-none-any.whl",
        "my_lib-٣.0-py3-none-any.whl",
        'my_lib-1.0"><script>-py3-none-any.whl',
        "my_lib-1.0-py3-none-any\0.whl",
        f"{'a' * 230}-1.0.tar.gz",
    ],
)
def test_what_is_no_name_of_a_wheel_or_an_sdist_is_refused_in_a_printable_sentence(
    file: str,
) -> None:
    with pytest.raises(DistributionError) as error:
        distribution.parse_name(file)

    assert str(error.value).isprintable()
    assert str(error.value).isascii()
    assert len(str(error.value)) < 400


@given(
    st.one_of(
        st.text(max_size=60),
        st.from_regex(r"[A-Za-z0-9_.+!-]{1,40}\.(whl|tar\.gz|zip)", fullmatch=True),
        st.from_regex(r"[a-z_.-]{1,9}-[0-9a-z!+.-]{1,12}(-py3-none-any)?\.whl", fullmatch=True),
    )
)
def test_any_name_is_refused_or_says_a_project_and_version_that_fit_into_a_url(file: str) -> None:
    try:
        project, version = distribution.parse_name(file)
    except DistributionError as error:
        sentence = str(error)
    else:
        sentence = ""
        assert distribution.is_normalised(project)
        assert re.fullmatch(r"[a-z0-9.!+]+", version)
        assert "/" not in file
    assert not sentence or sentence.isprintable()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my-lib", True),
        ("3d", True),
        ("my.lib", False),
        ("My-lib", False),
        ("my--lib", False),
        ("-my", False),
        ("my-", False),
        ("", False),
        ("..", False),
        ("my-lib\n", False),
        ("m²", False),
    ],
)
def test_only_normalised_names_are_names_in_a_url(name: str, expected: bool) -> None:
    assert distribution.is_normalised(name) is expected


# Reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [write_wheel, write_zip, write_sdist])
def test_every_kind_of_distribution_is_read(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path)

    read = distribution.read(path)

    assert (read.file, read.project, read.version) == (path.name, "my-lib", "1.0.0")
    assert read.size == len(path.read_bytes())
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read.requires_python is None


def test_an_unfinished_upload_is_read_under_the_name_it_will_have(tmp_path: Path) -> None:
    unfinished = write_wheel(tmp_path).rename(tmp_path / "tmp1234")

    assert distribution.read(unfinished, WHEEL).file == WHEEL


def test_an_old_sdist_with_dots_at_the_start_of_its_members_is_read(tmp_path: Path) -> None:
    path = write_tar(tmp_path / SDIST, member("./my_lib-1.0.0/PKG-INFO", METADATA))

    assert distribution.read(path).project == "my-lib"


def test_an_sdist_with_long_names_of_every_kind_is_read(tmp_path: Path) -> None:
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / SDIST, "w:gz", format=kind) as archive:
            for name in ("my_lib-1.0.0/PKG-INFO", f"my_lib-1.0.0/{'ü/' * 320}x.py"):
                info = tarfile.TarInfo(name)
                info.size = len(METADATA)
                archive.addfile(info, io.BytesIO(METADATA.encode()))

        assert distribution.read(tmp_path / SDIST).version == "1.0.0"


@pytest.mark.parametrize("write", [write_wheel, write_sdist])
@pytest.mark.parametrize("size", [1, 100_000, 3 * MB])
def test_a_long_description_is_no_reason_to_refuse(tmp_path: Path, write: Write, size: int) -> None:
    path = write(tmp_path, headers(version="2.2") + "x" * size)

    assert distribution.read(path).metadata == (headers(version="2.2") + "x" * size).encode()


@pytest.mark.parametrize("name", ["my.Lib", "my-lib", "My_Lib", "MY.LIB", "my__lib", "my-_.lib"])
def test_the_name_in_the_metadata_may_be_written_otherwise(tmp_path: Path, name: str) -> None:
    path = write_wheel(tmp_path, METADATA.replace("my.Lib", name))

    assert distribution.read(path).project == "my-lib"


def test_the_version_in_the_metadata_may_be_written_otherwise(tmp_path: Path) -> None:
    text = METADATA.replace("1.0.0", "1.0.0+Ubuntu-1")
    path = write_wheel(tmp_path, text, "my_lib-1.0.0+ubuntu.1-py3-none-any.whl")

    assert distribution.read(path).version == "1.0.0+ubuntu.1"


@pytest.mark.parametrize("write", [write_wheel, write_zip, write_sdist])
@pytest.mark.parametrize("spelling", ["1.0", "1", "v1.0.0", "1.0.0.0", "0!1.0", "01.00"])
def test_the_version_in_the_metadata_is_compared_as_a_version(
    tmp_path: Path, write: Write, spelling: str
) -> None:
    path = write(tmp_path, METADATA.replace("1.0.0", spelling))

    # The file name is what clients go by.
    assert distribution.read(path).version == "1.0.0"


@pytest.mark.parametrize("write", [write_wheel, write_zip, write_sdist])
@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("Name: other", "Name is 'other', the file name says my-lib"),
        ("Version: 1.0.1", "Version is '1.0.1', the file name says 1.0.0"),
        ("Version: 1.0.0.dev0", "Version is '1.0.0.dev0', the file name says 1.0.0"),
        ("Version: latest", "Version is 'latest', the file name says 1.0.0"),
        ("Nome: my.Lib", "Name is missing, the file name says my-lib"),
    ],
)
def test_metadata_of_another_name_or_version_is_refused_with_both(
    tmp_path: Path, write: Write, line: str, field: str
) -> None:
    first = "Version" if line.startswith("Version") else "Name"
    text = re.sub(f"(?m)^{first}: .*$", line, METADATA)

    assert field in refused(write(tmp_path, text))


@pytest.mark.parametrize(
    "value", ["x" * 900, "\x1b[2Jy", "y\xa0\u202e", "=?utf8?q?y=00?=", "9" * 900, "1." * 450]
)
@pytest.mark.parametrize("field", ["Name", "Version"])
def test_a_value_made_to_do_harm_is_shown_short_and_without_control_characters(
    tmp_path: Path, field: str, value: str
) -> None:
    text = re.sub(f"(?m)^{field}: .*$", f"{field}: {value}", METADATA)

    assert f"another {field.lower()}" in refused(write_wheel(tmp_path, text))


@pytest.mark.parametrize("field", ["Name", "Version"])
def test_a_field_that_stands_there_twice_is_refused(tmp_path: Path, field: str) -> None:
    more = {"Name": "Name: other", "Version": "Version: 1.0.0"}[field]

    assert f"another {field.lower()}" in refused(write_wheel(tmp_path, headers(more)))


@given(st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)), st.booleans())
@example(b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\n--x--\n", True)
@example(b"Content-Transfer-Encoding: base64\n\n!", True)
@example(b"Name: =?utf-8?b?\xff?=\n", True)
@example(b"Requires-Python: >=" + b"9" * 5000 + b"\n", True)
@example(b"Metadata-Version: \xff\n", False)
def test_no_metadata_brings_anything_but_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, continued: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    start = headers().strip().encode() + b"\n" if continued else b""
    path = write_wheel(folder, start + content)

    read_or_refused(path)


# Static metadata ----------------------------------------------------------------------------------


def test_the_metadata_of_a_wheel_is_served_byte_for_byte(tmp_path: Path) -> None:
    text = METADATA.replace("\n", "\r\n").encode() + b"\xff\0"

    assert distribution.read(write_wheel(tmp_path, text)).metadata == text


@pytest.mark.parametrize("write", [write_sdist, write_zip])
@pytest.mark.parametrize("version", ["2.2", "2.3", "2.4", "2.10", "3.0"])
def test_an_sdist_with_static_metadata_has_it_served(
    tmp_path: Path, write: Write, version: str
) -> None:
    path = write(tmp_path, headers(version=version))

    assert distribution.read(path).metadata == headers(version=version).encode()


@pytest.mark.parametrize("write", [write_sdist, write_zip])
@pytest.mark.parametrize(
    "text",
    [
        headers(),
        headers(version="1.2"),
        headers(version="2.1"),
        headers(version="two"),
        headers(version="2.2x"),
        headers(version="٢.٢"),
        headers("Dynamic: Requires-Dist", version="2.2"),
        headers("dynamic: Version", "Dynamic: Requires-Python", version="2.4"),
        headers("DYNAMIC:", version="2.4"),
        headers("Metadata-Version: 2.4", version="2.4"),
        headers(version="2.4").removeprefix("Metadata-Version: 2.4\n"),
    ],
)
def test_metadata_of_an_sdist_that_a_build_could_change_is_not_served(
    tmp_path: Path, write: Write, text: str
) -> None:
    assert distribution.read(write(tmp_path, text)).metadata is None


def test_a_dynamic_field_that_cannot_be_decoded_is_dynamic_all_the_same(tmp_path: Path) -> None:
    text = headers("Dynamic: Requires-Dist", version="2.2").encode()
    path = write_sdist(tmp_path, text.replace(b"Dynamic: ", b"Dynamic: \xff"))

    assert distribution.read(path).metadata is None


# Requires-Python ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (">=3.10", {">=3.10"}),
        ("  >= 3.10 , <4 ", {">=3.10", "<4"}),
        ("!=3.0.*,>=2.7", {"!=3.0.*", ">=2.7"}),
        ("~=3.10", {"~=3.10"}),
    ],
)
@pytest.mark.parametrize("write", [write_wheel, write_sdist])
def test_a_specifier_is_taken_from_the_metadata(
    tmp_path: Path, write: Write, line: str, expected: set[str]
) -> None:
    read = distribution.read(write(tmp_path, headers(f"Requires-Python: {line}")))

    assert read.requires_python is not None
    assert set(read.requires_python.split(",")) == expected


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Requires-Python:"],
        ["Requires-Python: 3.10 or newer"],
        ["Requires-Python: >=3.10.x"],
        ['Requires-Python: >=3"><script>'],
        ["Requires-Python: >=3.10", "Requires-Python: >=3.11"],
        [f"Requires-Python: >={'9' * 900}x"],
    ],
)
def test_a_specifier_that_cannot_be_read_is_left_out(tmp_path: Path, lines: list[str]) -> None:
    read = distribution.read(write_wheel(tmp_path, headers(*lines)))

    assert read.requires_python is None
    assert read.project == "my-lib"


# Damage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [write_wheel, write_zip, write_sdist])
def test_what_is_truncated_anywhere_is_refused(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()

    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(path)


def test_a_tar_that_ends_early_inside_of_whole_gzip_is_refused(tmp_path: Path) -> None:
    members = member("my_lib-1.0.0/PKG-INFO", METADATA) + member("my_lib-1.0.0/x", bytes(5000))

    for length in (100, 600, 2000, 4000):
        (tmp_path / SDIST).write_bytes(gzip.compress(members[:length]))
        refused(tmp_path / SDIST)


@pytest.mark.parametrize("write", [write_wheel, write_sdist])
@pytest.mark.parametrize(
    "junk", [b"<html>an error page</html>", b"\0" * 5000, b"PK\5\6", b"\x1f\x8b"]
)
def test_what_is_no_archive_is_refused(tmp_path: Path, write: Write, junk: bytes) -> None:
    path = write(tmp_path)
    path.write_bytes(junk)

    refused(path)


@pytest.mark.parametrize("write", [write_wheel, write_zip, write_sdist])
def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path, headers(version="2.2"))
    whole = path.read_bytes()
    before = distribution.read(path)
    found = 0

    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        read = read_or_refused(path)
        found += read is None
        assert read is None or read.metadata == before.metadata

    assert found > len(whole) / 3 * 0.4


def test_a_wrong_checksum_is_refused_in_whatever_member_it_is(tmp_path: Path) -> None:
    for name in ("my_lib/__init__.py", "my_lib-1.0.0.dist-info/METADATA"):
        path = write_wheel(tmp_path)
        with zipfile.ZipFile(path) as archive:
            good = struct.pack("<L", archive.getinfo(name).CRC)
        path.write_bytes(path.read_bytes().replace(good, bytes(byte ^ 255 for byte in good)))

        assert "damaged" in refused(path)


def test_a_wrong_checksum_of_gzip_is_refused(tmp_path: Path) -> None:
    path = write_sdist(tmp_path)
    whole = bytearray(path.read_bytes())
    whole[-8] ^= 1
    path.write_bytes(whole)

    assert "damaged" in refused(path)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = write_wheel(tmp_path)
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = content.find(signature)
        while place >= 0:
            content[place + flags] |= 1
            place = content.find(signature, place + 4)
    path.write_bytes(content)

    refused(path)


@pytest.mark.parametrize("count", [0, 2])
def test_an_archive_without_metadata_or_with_two_is_refused(tmp_path: Path, count: int) -> None:
    names = [f"my_lib-1.0.{number}" for number in range(count)]
    with zipfile.ZipFile(tmp_path / WHEEL, "w") as archive:
        archive.writestr("x/y.dist-info/METADATA", METADATA)
        for name in names:
            archive.writestr(f"{name}.dist-info/METADATA", METADATA)
    with zipfile.ZipFile(tmp_path / ZIP, "w") as archive:
        archive.writestr("PKG-INFO", METADATA)
        for name in names:
            archive.writestr(f"{name}/PKG-INFO", METADATA)
    write_tar(
        tmp_path / SDIST,
        member("PKG-INFO", METADATA)
        + b"".join(member(f"{name}/PKG-INFO", METADATA) for name in names),
    )

    assert "METADATA" in refused(tmp_path / WHEEL)
    assert "PKG-INFO" in refused(tmp_path / ZIP)
    assert "PKG-INFO" in refused(tmp_path / SDIST)


def test_two_members_of_one_name_are_two_metadata_files(tmp_path: Path) -> None:
    name = "my_lib-1.0.0.dist-info/METADATA"
    with zipfile.ZipFile(tmp_path / WHEEL, "w") as archive:
        archive.writestr(name, METADATA)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(name, METADATA)

    refused(tmp_path / WHEEL)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_a_pkg_info_that_is_no_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    link = tarfile.TarInfo("my_lib-1.0.0/PKG-INFO")
    link.type, link.linkname = kind, "x"
    many = member("my_lib-1.0.0/y") * 6_000
    path = write_tar(
        tmp_path / SDIST,
        member("my_lib-1.0.0/x", METADATA) + link.tobuf() + member("x", METADATA) + many,
    )

    with bounded(2 * MB):
        refused(path)


def test_a_file_that_is_not_there_is_not_said_to_be_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        distribution.read(tmp_path / WHEEL)


def test_a_disk_that_does_not_give_a_file_is_no_reason_to_refuse_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_wheel(tmp_path)

    def deny(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)

    with pytest.raises(PermissionError):
        distribution.read(path)


# Archives made to do harm -------------------------------------------------------------------------


def test_a_zip_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / WHEEL
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("my_lib-1.0.0.dist-info/METADATA", METADATA)
        with archive.open("zeros", "w") as zeros:
            for _ in range(300):
                zeros.write(bytes(MB))

    with bounded(), within(1):
        assert "unpacks to more than 256 MB plus 20 times its size" in refused(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_lies_about_what_it_unpacks_to_takes_little_memory(
    tmp_path: Path, method: int
) -> None:
    path = tmp_path / WHEEL
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as archive:
        archive.writestr("my_lib-1.0.0.dist-info/METADATA", METADATA, zipfile.ZIP_DEFLATED)
        with archive.open("zeros", "w") as zeros:
            for _ in range(40):
                zeros.write(bytes(MB))
    size = struct.pack("<L", 40 * MB)
    path.write_bytes(path.read_bytes().replace(size, struct.pack("<L", 1000)))

    with bounded(16 * MB):
        refused(path)


def test_a_gzip_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path: Path) -> None:
    zeros = gzip.compress(bytes(64 * MB), compresslevel=1)
    info = tarfile.TarInfo("my_lib-1.0.0/zeros")
    info.size = 16 * 64 * MB
    start = member("my_lib-1.0.0/PKG-INFO", METADATA) + info.tobuf()

    for before in (start, member("my_lib-1.0.0/PKG-INFO", METADATA) + bytes(1024)):
        # gzip takes several streams behind each other for one.
        (tmp_path / SDIST).write_bytes(gzip.compress(before) + zeros * 16)

        with bounded(), within(10):
            assert refused(tmp_path / SDIST).endswith(
                (
                    "unpacks to more than 256 MB plus 20 times its size",
                    "has a member with more than 8 kB of headers",
                )
            )


@pytest.mark.parametrize("write", [write_wheel, write_sdist])
def test_50_mb_of_metadata_are_refused_before_they_are_read(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path, headers() + "x" * 50 * MB)

    with bounded(8 * MB):
        assert "more than 4 MB of metadata" in refused(path)


def test_metadata_with_very_many_fields_does_not_keep_us_busy(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, headers(*(f"X{number}:" for number in range(30_000))))

    with within(2):
        read_or_refused(path)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_tar_with_a_huge_header_is_refused(tmp_path: Path, kind: bytes) -> None:
    header = member("x", bytes(50 * MB), kind)
    path = write_tar(tmp_path / SDIST, header + member("my_lib-1.0.0/PKG-INFO", METADATA))

    with bounded():
        assert "more than 8 kB of headers" in refused(path)


@pytest.mark.parametrize(
    ("kind", "between"),
    [
        pytest.param(tarfile.XHDTYPE, b"", id="pax"),
        pytest.param(tarfile.XGLTYPE, b"", id="global pax"),
        pytest.param(tarfile.XGLTYPE, member("my_lib-1.0.0/x"), id="global pax of each"),
        pytest.param(tarfile.GNUTYPE_LONGNAME, b"", id="GNU"),
    ],
)
def test_a_tar_with_very_many_large_headers_takes_little_memory(
    tmp_path: Path, kind: bytes, between: bytes
) -> None:
    large = b"".join(
        member("x", pax(number) if kind != tarfile.GNUTYPE_LONGNAME else b"x" * 200_000, kind)
        + between
        for number in range(50)
    )
    path = write_tar(tmp_path / SDIST, large + member("my_lib-1.0.0/PKG-INFO", METADATA))

    with bounded(8 * MB):
        read_or_refused(path)


def test_a_tar_with_very_many_pkg_info_files_takes_little_memory(tmp_path: Path) -> None:
    members = b"".join(
        member(f"{number}/PKG-INFO", METADATA.encode() + bytes(MB // 2)) for number in range(40)
    )
    path = write_tar(tmp_path / SDIST, members)

    with bounded(12 * MB):
        assert "PKG-INFO" in refused(path)


def test_a_sparse_member_with_a_huge_map_takes_little_memory(tmp_path: Path) -> None:
    sparse = bytearray(member("x", b"", tarfile.GNUTYPE_SPARSE))
    sparse[482] = 1
    more = (b"00000000001\0" * 42).ljust(504, b"\0") + b"\1" + bytes(7)
    sparse[148:156] = b" " * 8
    sparse[148:156] = b"%06o\0 " % sum(sparse)
    path = write_tar(
        tmp_path / SDIST,
        bytes(sparse) + more * 6000 + bytes(512) + member("my_lib-1.0.0/PKG-INFO", METADATA),
    )

    with bounded(7 * MB):
        read_or_refused(path)


def test_a_tar_whose_member_has_less_than_no_bytes_ends(tmp_path: Path) -> None:
    info = bytearray(tarfile.TarInfo("my_lib-1.0.0/x").tobuf())
    # Minus 1024 in the form GNU tar has for large numbers: back to the member before.
    info[124:136] = b"\xff" * 10 + b"\xfc\0"
    info[148:156] = b" " * 8
    info[148:156] = b"%06o\0 " % sum(info)
    first = member("my_lib-1.0.0/y")
    path = write_tar(
        tmp_path / SDIST, member("my_lib-1.0.0/PKG-INFO", METADATA) + first * 3 + bytes(info)
    )

    with within(3):
        refused(path)


def test_many_members_take_little_memory(tmp_path: Path) -> None:
    members = member("my_lib-1.0.0/PKG-INFO", METADATA) + member("my_lib-1.0.0/x") * 6_000
    path = write_tar(tmp_path / SDIST, members)

    with bounded(2 * MB):
        assert distribution.read(path).project == "my-lib"


@pytest.mark.parametrize("zip64", [False, True])
def test_a_zip_with_a_huge_list_of_members_is_refused_unread(tmp_path: Path, zip64: bool) -> None:
    (tmp_path / WHEEL).write_bytes(heavy.of_a_list(40_000, 250, zip64=zip64))

    with bounded(8 * MB):
        assert "list of its members of more than 8 MB" in refused(tmp_path / WHEEL)


def test_a_wheel_of_many_members_is_read(tmp_path: Path) -> None:
    members = {f"my_lib/{number}.py": b"" for number in range(5000)}
    wheel.write(tmp_path / WHEEL, {**members, "my_lib-1.0.0.dist-info/METADATA": METADATA})

    assert distribution.read(tmp_path / WHEEL).project == "my-lib"


# Limits -------------------------------------------------------------------------------------------

LIMITS = {
    "Metadata-Version": 1000,
    "Name": 1000,
    "Version": 1000,
    "Requires-Python": 1000,
    "Requires-Dist": 10_000,
    "Dynamic": 1000,
}


@pytest.mark.parametrize("write", [write_wheel, write_zip, write_sdist])
@pytest.mark.parametrize("field", LIMITS)
@pytest.mark.parametrize("spell", [str, str.lower, str.upper])
def test_a_field_of_metadata_may_be_so_long(
    tmp_path: Path, write: Write, field: str, spell: Callable[[str], str]
) -> None:
    values = {"Metadata-Version": "2.2", "Name": "my.Lib", "Version": "1.0.0"}
    limit = LIMITS[field]

    def text(length: int) -> str:
        lines = [f"{name}: {value}" for name, value in values.items() if name != field]
        lines.append(f"{spell(field)}: {values.get(field, 'x>=1')}".ljust(length - 1))
        return "".join(f"{line}\n" for line in lines)

    assert distribution.read(write(tmp_path, text(limit))).project == "my-lib"
    for longer in (text(limit + 1), text(limit) + " \n", text(limit).replace("\n", "\r") + "\t"):
        sentence = refused(write(tmp_path, longer))
        assert f"has a {field} of more than {limit:,} bytes in its metadata" in sentence


@pytest.mark.parametrize("write", [write_wheel, write_sdist])
def test_the_fields_that_are_read_may_have_512_kb_altogether(tmp_path: Path, write: Write) -> None:
    lines = headers("Requires-Dist: x".ljust(9999), version="2.2").split("\n")[:-2]
    text = "\n".join([*lines, *[lines[-1]] * 51, ""])
    rest = 2**19 - len(text)
    fits = text + "Requires-Dist: y".ljust(rest - 1) + "\n"
    assert len(fits) == 2**19

    assert distribution.read(write(tmp_path, fits)).project == "my-lib"
    assert "and the like have more than 512 kB" in refused(write(tmp_path, fits + "Dynamic:\n"))


@pytest.mark.parametrize(
    "line",
    [
        "Classifier: x\n",
        "Description: x\n",
        "a:\n",
        " x\n",
        "Description: " + "x" * 1000 + "\n" + "        x\n" * 1000,
        "Summary: =?utf-8?b?eA==?=\n",
    ],
)
def test_what_is_not_read_of_metadata_costs_nothing(tmp_path: Path, line: str) -> None:
    text = headers().strip() + "\nSummary: x\n" + line * (4_190_000 // len(line))
    path = write_wheel(tmp_path, f"{text}Requires-Python: >=3.9\n")

    with within(1), bounded(24 * MB):
        assert distribution.read(path).requires_python == ">=3.9"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("junk", ["no field", "No Field: x", "", "ü: x"])
def test_fields_end_where_pip_takes_them_to_end(tmp_path: Path, end: str, junk: str) -> None:
    lines = [*headers().split("\n")[:3], "Requires-Python: >=3.9", junk, "Requires-Dist: !"]
    path = write_wheel(tmp_path, end.join(lines).encode())

    assert distribution.read(path).requires_python == ">=3.9"
    parsed = BytesParser().parsebytes(end.join(lines).encode())
    assert (parsed["Requires-Python"], parsed["Requires-Dist"]) == (">=3.9", None)


@pytest.mark.parametrize(
    ("part", "count"),
    [
        ("Requires-Dist:a\n", 16_000),
        ("Requires-Dist: a " + ",".join(["==1"] * 2400) + "\n", 20),
        ("Requires-Dist: a; " + " or ".join(["os_name<'3'"] * 600) + "\n", 20),
        ("Requires-Dist: a; " + "(" * 150 + "os_name<'3'" + ")" * 150 + "\n", 250),
        ("Requires-Dist: a==" + "1." * 4900 + "1\n", 50),
        ("Requires-Dist: a[" + ",".join("b" * 4900) + "]\n", 10),
    ],
)
def test_requirements_made_to_keep_a_parser_busy_are_read_in_seconds(
    tmp_path: Path, part: str, count: int
) -> None:
    path = write_wheel(tmp_path, headers().strip() + "\n" + part * count)

    with within(5):
        read_or_refused(path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("WHEEL", "Wheel-Version: x" + " " * 65_000 + "x"),
        ("entry_points.txt", "[console_scripts]\n" + "a" + " " * 200_000 + "b\n"),
        ("entry_points.txt", "[console_scripts]\na=b:c\n" + " x\n" * 80_000),
    ],
)
def test_files_made_to_keep_a_parser_busy_are_read_in_seconds(
    tmp_path: Path, file: str, content: str
) -> None:
    info = "my_lib-1.0.0.dist-info"
    wheel.write(tmp_path / WHEEL, {f"{info}/METADATA": METADATA, f"{info}/{file}": content})

    with within(5):
        refused(tmp_path / WHEEL)


def test_a_name_may_stand_for_500_combinations_of_tags(tmp_path: Path) -> None:
    def name(*counts: int) -> str:
        sets = (".".join("abcdefghijklmnopqrstuvwxyz0123456789"[:count]) for count in counts)
        return f"lib-1.0-{'-'.join(sets)}.whl"

    assert distribution.parse_name(name(10, 10, 5)) == ("lib", "1.0")
    for counts in ((9, 8, 7), (36, 36, 36)):
        for ask in (distribution.parse_name, distribution.identity):
            with (
                bounded(MB // 2),
                pytest.raises(DistributionError, match="more than 500 combinations of tags"),
            ):
                ask(name(*counts))


def test_a_list_of_members_may_have_8_mb(tmp_path: Path) -> None:
    # What is read of it is refused for other reasons.
    (tmp_path / WHEEL).write_bytes(heavy.of_a_list(2**16, 2**7 - 46, zip64=True))
    assert "different ways" in refused(tmp_path / WHEEL)

    (tmp_path / WHEEL).write_bytes(heavy.of_a_list(2**16 + 1, 2**7 - 46, zip64=True))
    with bounded(3 * MB):
        assert "list of its members of more than 8 MB" in refused(tmp_path / WHEEL)


@pytest.mark.parametrize("count", [100_001, 520_000])
def test_a_list_of_more_than_100_000_members_is_refused_unread(tmp_path: Path, count: int) -> None:
    (tmp_path / WHEEL).write_bytes(heavy.of_a_list(count, 7, zip64=True))

    with bounded(3 * MB):
        assert "more than 100,000 members" in refused(tmp_path / WHEEL)


def test_a_list_of_more_members_than_it_says_is_refused_before_they_are_held(
    tmp_path: Path,
) -> None:
    content = heavy.of_a_list(150_000, 7, zip64=True)
    count, fewer = (struct.pack("<2Q", number, number) for number in (150_000, 100_000))
    (tmp_path / WHEEL).write_bytes(content.replace(count, fewer))

    # What the list itself takes.
    with bounded(10 * MB):
        assert "different ways" in refused(tmp_path / WHEEL)


def test_the_largest_that_are_read_at_once_fit_into_the_memory_of_the_container(
    tmp_path: Path,
) -> None:
    # As many members as may be, and so long a list of them that it just fits.
    (tmp_path / heavy.WHEEL).write_bytes(heavy.of_members(100_000, "x" * 25))
    program = (
        "import sys; from pathlib import Path; from private_pypi import distribution\n"
        # Not resource.ru_maxrss, which begins with what the parent has.
        "def most(): return int(status.read_text().partition('VmHWM:')[2].split()[0])\n"
        "status = Path('/proc/self/status'); before = most()\n"
        "distribution.read(Path(sys.argv[1])); print(most() - before)"
    )
    code = Path(distribution.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / heavy.WHEEL],
        env={**os.environ, "PYTHONPATH": str(code)},
        stdout=subprocess.PIPE,
        check=True,
    )

    one = int(done.stdout) * 1024
    # Beside them, the server itself takes 75 MB.
    assert ARCHIVES * one + 75 * MB < 400 * MB


def test_an_sdist_may_have_as_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "MEMBERS", 1000)
    (tmp_path / heavy.SDIST).write_bytes(heavy.of_tar_members(1000))
    assert distribution.read(tmp_path / heavy.SDIST).project == "heavy"

    (tmp_path / heavy.SDIST).write_bytes(heavy.of_tar_members(1001))
    assert "more than 100,000 members" in refused(tmp_path / heavy.SDIST)


def test_a_member_of_an_sdist_may_have_8_kb_of_headers(tmp_path: Path) -> None:
    info = member("my_lib-1.0.0/PKG-INFO", METADATA)

    for size, fits in ((6656, True), (7168, False)):
        record = f"{size} comment=".encode().ljust(size - 1, b"x") + b"\n"
        path = write_tar(tmp_path / SDIST, info + member("x", record, tarfile.XHDTYPE) + info[:512])
        if not fits:
            assert "more than 8 kB of headers" in refused(path)
        else:
            assert "more than one file" in refused(path)


def test_no_other_file_of_an_sdist_is_held_in_memory(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / ZIP, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("my_lib-1.0.0/PKG-INFO", METADATA)
        for name in ("WHEEL", "entry_points.txt", "RECORD"):
            archive.writestr(f"my_lib-1.0.0/{name}", bytes(30 * MB))

    with bounded(8 * MB):
        assert distribution.read(tmp_path / ZIP).project == "my-lib"
