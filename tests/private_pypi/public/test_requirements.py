"""What requirements files and lock files ask of PyPI, and what of them is not followed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from private_pypi.public import requirements
from private_pypi.public.requirements import Found, RequirementsError, Wanted, dumped, loaded

A, B = "a" * 64, "b" * 64
WHEEL, SDIST = "my_lib-1.0-py3-none-any.whl", "my_lib-1.0.tar.gz"
BOTH = (("my_lib-1.0-py3-none-any.whl", f"sha256:{A}"), ("my_lib-1.0.tar.gz", f"sha256:{B}"))
INDEXES = ("https://public.example/simple/", "https://pypi.example.com/simple/")


def read(text: str, name: str) -> Found:
    return requirements.read(text, name, INDEXES)


def lines(text: str) -> Found:
    return read(text, "requirements.txt")


def shown(found: Found) -> list[tuple[str, str]]:
    return [(wanted.project, wanted.specifier) for wanted in found.wanted]


# Requirements -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "project", "specifier"),
    [
        ("My_Lib==1.0", "my-lib", "==1.0"),
        ("my.lib", "my-lib", ""),
        ("  my-lib [socks, http2] >= 1 , < 2  # why", "my-lib", "<2,>=1"),
        ("my-lib==1.0; python_version < '3' and sys_platform == 'win32'", "my-lib", "==1.0"),
        ("my-lib==1.0 \\\n    ; python_version < '3'", "my-lib", "==1.0"),
        ("my-lib==1.0 --config-settings=a=b", "my-lib", "==1.0"),
        ("\n# A comment.\nmy-lib==1.0\n", "my-lib", "==1.0"),
    ],
)
def test_a_line_names_a_project_and_versions(line: str, project: str, specifier: str) -> None:
    found = lines(line)

    assert shown(found) == [(project, specifier)]
    assert (found.remarks, found.is_complete) == ([], False)


def test_hashes_are_read_however_they_are_written() -> None:
    found = lines(
        f"my-lib==1.0 \\\n    --hash=sha256:{A} \\\n    --hash sha512:{B.upper()}\n"
        f"    # via other\nother==2 --hash='sha256:{B}'  # comment\n"
    )

    assert found.wanted == [
        Wanted("my-lib", "==1.0", (f"sha256:{A}", f"sha512:{B}"), where="requirements.txt line 1"),
        Wanted("other", "==2", (f"sha256:{B}",), where="requirements.txt line 5"),
    ]
    assert found.is_complete


def test_a_comment_ends_a_line_that_goes_on_as_it_does_for_pip() -> None:
    assert shown(lines("my-lib \\\n# ==1.0 \\\nother\n")) == [("my-lib", ""), ("other", "")]
    assert shown(lines("my-lib\\\n# A comment.\nother\n")) == [("my-lib", ""), ("other", "")]
    assert shown(lines("my-lib \\")) == [("my-lib", "")]


@pytest.mark.parametrize(
    ("line", "remark"),
    [
        ("-r base.txt", "-r is not followed: fetch what that file names, too"),
        ("-rbase.txt", "-r is not followed: fetch what that file names, too"),
        ("--requirement=base.txt", "--requirement is not followed: fetch what that file names,"),
        ("-c constraints.txt", "-c is not followed"),
        ("-e .", "-e names no package of PyPI"),
        ("--editable ./app", "--editable names no package of PyPI"),
        ("--index-url https://bob:secret@host/simple/", "--index-url is not followed"),
        ("-i https://bob:secret@host/simple/", "-i is not followed"),
        ("--extra-index-url=https://bob:secret@host/", "--extra-index-url is not followed"),
        ("--pre", "--pre is not followed"),
        ("./app", "a path or a URL is not fetched from PyPI"),
        (".", "a path or a URL is not fetched from PyPI"),
        ("dist/my_lib-1.0.tar.gz", "a path or a URL is not fetched from PyPI"),
        ("my_lib-1.0-py3-none-any.whl", "a path or a URL is not fetched from PyPI"),
        ("https://bob:secret@host/my_lib.zip", "a path or a URL is not fetched from PyPI"),
        ("git+ssh://git@host/my-lib", "a path or a URL is not fetched from PyPI"),
        (
            "my-lib @ https://bob:secret@host/my_lib.zip",
            "my-lib has a URL, and is not fetched from PyPI",
        ),
    ],
)
def test_what_is_not_followed_has_a_sentence_that_tells_no_secret(line: str, remark: str) -> None:
    found = lines(f"\n{line}\nother==1\n")

    (said,) = found.remarks
    assert said.startswith(f"requirements.txt line 2: {remark}")
    assert "secret" not in said
    assert shown(found) == [("other", "==1")]


def test_that_hashes_are_required_needs_no_sentence() -> None:
    assert lines("--require-hashes\n") == Found()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "my lib==1",
            "'my lib==1' is no requirement: write one such as 'numpy==2.3.1'",
        ),
        ("my-lib==newest", "'my-lib==newest' is no requirement: write one such as 'numpy==2.3.1'"),
        ("@ https://bob:secret@host", "this line is no requirement: write one such as"),
        ("my-lib --hash=sha256:xyz", "'sha256:xyz' is no hash: write --hash=sha256: and its"),
        ("my-lib --hash", "'' is no hash: write --hash=sha256: and its digits"),
        ("my-lib --hash='sha256:ab", "a quotation mark is not closed: close it"),
    ],
)
def test_a_line_that_nobody_can_read_is_named(line: str, message: str) -> None:
    with pytest.raises(RequirementsError) as caught:
        lines(f"other\n{line}")

    assert str(caught.value).startswith(f"requirements.txt line 2: {message}")


# Lock files ---------------------------------------------------------------------------------------

UV = f"""
version = 1
[[package]]
name = "app"
version = "1"
source = {{ virtual = "." }}
[[package]]
name = "my-lib"
version = "1.0"
source = {{ registry = "https://pypi.example.com/simple/" }}
sdist = {{ url = "https://pypi.example.com/public/my-lib/{SDIST}", hash = "sha256:{B}", size = 1 }}
wheels = [
    {{ url = "https://pypi.example.com/public/my-lib/{WHEEL}#x", hash = "sha256:{A}", size = 1 }},
]
[[package]]
name = "other"
version = "1"
source = {{ git = "https://bob:secret@host/other" }}
"""
POETRY = f"""
[[package]]
name = "My.Lib"
version = "1.0"
files = [
    {{ file = "{WHEEL}", hash = "sha256:{A}" }}, {{ file = "{SDIST}", hash = "sha256:{B}" }},
]
[package.source]
type = "legacy"
url = "https://pypi.example.com/simple"
reference = "private"
[[package]]
name = "other"
version = "1"
files = []
[package.source]
type = "git"
url = "https://bob:secret@host/other"
"""
OLD_POETRY = f"""
[[package]]
name = "my-lib"
version = "1.0"
[[package]]
name = "other"
version = "1"
[package.source]
type = "directory"
url = "../other"
[metadata.files]
my-lib = [
    {{ file = "{WHEEL}", hash = "sha256:{A}" }}, {{ file = "{SDIST}", hash = "sha256:{B}" }},
]
other = []
"""
PDM = f"""
[[package]]
name = "my-lib"
version = "1.0"
files = [
    {{ file = "{WHEEL}", hash = "sha256:{A}" }},
    {{ url = "https://pypi.example.com/public/my-lib/{SDIST}", hash = "sha256:{B}" }},
]
[[package]]
name = "other"
version = "1"
path = "./other"
"""
PYLOCK = f"""
lock-version = "1.0"
created-by = "uv"
[[packages]]
name = "my-lib"
version = "1.0"
marker = "sys_platform == 'win32'"
sdist = {{ url = "https://pypi.example.com/public/my-lib/{SDIST}", hashes = {{ sha256 = "{B}" }} }}
[[packages.wheels]]
url = "https://pypi.example.com/public/my-lib/{WHEEL}"
upload-time = 2026-01-02T03:04:05Z
hashes = {{ md5 = "00", sha256 = "{A}" }}
[[packages]]
name = "other"
vcs = {{ type = "git", url = "https://bob:secret@host/other", commit-id = "0" }}
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", UV),
        ("poetry.lock", POETRY),
        ("poetry.lock", OLD_POETRY),
        ("pdm.lock", PDM),
        ("pylock.toml", PYLOCK),
        ("pylock.dev.toml", PYLOCK),
    ],
)
def test_a_lock_file_names_files_for_all_platforms(name: str, text: str) -> None:
    found = read(text, name)

    assert found.wanted == [Wanted("my-lib", files=BOTH, where=name)]
    assert found.remarks == [f"{name}: other does not come from an index"]
    assert found.is_complete


def of_uv(registry: str) -> str:
    source = f"source = {{ registry = '{registry}' }}"
    return f"[[package]]\nname = 'my-lib'\n{source}\nwheels = [{{ url = 'https://h/{WHEEL}' }}]\n"


def of_poetry(url: str) -> str:
    files = f"files = [{{ file = '{WHEEL}' }}]"
    source = f"source = {{ type = 'legacy', url = '{url}', reference = 'private' }}"
    return f"[[package]]\nname = 'my-lib'\n{files}\n{source}\n"


def of_pylock(index: str) -> str:
    wheels = f"wheels = [{{ url = 'https://h/{WHEEL}', hashes = {{ sha256 = '{A}' }} }}]"
    package = f"[[packages]]\nname = 'my-lib'\nindex = '{index}'\n{wheels}\n"
    return f"lock-version = '1.0'\ncreated-by = 'uv'\n{package}"


LOCKS = pytest.mark.parametrize(
    ("name", "lock"), [("uv.lock", of_uv), ("poetry.lock", of_poetry), ("pylock.toml", of_pylock)]
)


@LOCKS
@pytest.mark.parametrize(
    "index",
    [
        *INDEXES,
        "https://pypi.example.com/simple",
        "https://bob:secret@PyPI.example.com:443/simple/",
        # Where another proxy has the certificate, the gateway speaks HTTP.
        "http://pypi.example.com/simple/",
    ],
)
def test_what_comes_from_pypi_or_this_index_is_wanted(
    name: str, lock: Callable[[str], str], index: str
) -> None:
    found = read(lock(index), name)

    assert [wanted.project for wanted in found.wanted] == ["my-lib"]
    assert found.remarks == []


@LOCKS
@pytest.mark.parametrize(
    ("index", "shown"),
    [
        ("https://bob:secret@other.example/simple/", "comes from other.example, "),
        ("https://pypi.example.com:8443/simple/", "comes from pypi.example.com:8443, "),
        # Some registries have a token in the path.
        ("https://pypi.example.com/secret/simple/", "comes from pypi.example.com, "),
        ("https://pypi.example.com.evil/simple/", "comes from pypi.example.com.evil, "),
        ("../wheels", "does not come from an index"),
        ("https://[secret/simple/", "does not come from an index"),
    ],
)
def test_what_comes_from_another_index_is_left_out_as_its_name_may_be_private(
    name: str, lock: Callable[[str], str], index: str, shown: str
) -> None:
    found = read(lock(index), name)

    assert found.wanted == []
    (said,) = found.remarks
    assert said.startswith(f"{name}: my-lib {shown}")
    assert "secret" not in said


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("uv.lock", "package = 1 2", r"uv.lock is no TOML: .*line 1.*: have the tool that wrote"),
        ("uv.lock", "[[package]]\nname = 1", "uv.lock: package number 1 has no name: have the"),
        ("uv.lock", "[[package]]\nname = '../a'\nwheels = []", r"'\.\./a' is no name of a package"),
        (
            "uv.lock",
            "[[package]]\nname = 'a'\nwheels = [{ url = 'https://h/..%2Fb' }]",
            r"uv.lock: '\.\./b', of a, is no name of a file",
        ),
        (
            "uv.lock",
            "[[package]]\nname = 'a'\nwheels = [{ url = 'https://h/.hidden' }]",
            r"uv.lock: '\.hidden', of a, is no name of a file",
        ),
        ("poetry.lock", "[[package]]\nname = 'a'\nfiles = [1]", "poetry.lock: a file is no table"),
        ("pylock.toml", "lock-version = '1.0'", "pylock.toml: Missing required value in 'created"),
        ("pylock.toml", "lock-version = '2.0'\ncreated-by = 'a'\npackages = []", "not supported"),
        ("Pipfile.lock", "{}", "Pipfile.lock is none of the files that are read: give pylock.toml"),
        ("pyproject.toml", "", "pyproject.toml is none of the files that are read: give pylock"),
    ],
)
def test_a_lock_file_that_is_none_is_refused(name: str, text: str, message: str) -> None:
    with pytest.raises(RequirementsError, match=message):
        read(text, name)


@pytest.mark.parametrize("value", ["1", "'a'", "[1]", "[[]]", "[{}]", "{ a = 1 }"])
@pytest.mark.parametrize("key", ["source", "files", "wheels", "sdist", "name"])
@pytest.mark.parametrize("name", ["uv.lock", "poetry.lock", "pdm.lock"])
def test_odd_values_are_read_or_refused_and_never_a_fault(name: str, key: str, value: str) -> None:
    start = "" if key == "name" else "name = 'a'\n"
    with suppress(RequirementsError):
        read(f"[[package]]\n{start}{key} = {value}\n", name)


def test_a_package_without_files_has_a_sentence() -> None:
    assert read("[[package]]\nname = 'a'\n", "uv.lock").remarks == ["uv.lock: a has no files"]


# The way between containers -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted("my-lib", "==1.0", (f"sha256:{A}",), where="requirements.txt line 1"),
        Wanted("my-lib", files=BOTH, where="uv.lock"),
        Wanted("my-lib", ">1", where="a\nb"),
    ],
)
def test_what_is_wanted_passes_through_a_line(wanted: Wanted) -> None:
    line = dumped(wanted)

    assert "\n" not in line
    assert loaded(line) == wanted


@pytest.mark.parametrize(
    "line", ["", "my-lib", "[]", "{}", '{"project": "a"}', dumped(Wanted("a", "newest"))]
)
def test_any_other_line_is_refused(line: str) -> None:
    with pytest.raises(RequirementsError, match="is no line of public-requirements: give its"):
        loaded(line)
