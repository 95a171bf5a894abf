"""Filling a running mirror with what a file names: which files, and what is said of the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kit import wheel
from kit.mirror import PublicServer
from kit.public_index import digest
from kit.pypi import How, PyPI
from private_pypi.public import fetch as fetching
from private_pypi.public.fetch import Result, explained, fetch
from private_pypi.public.requirements import Wanted
from private_pypi.public.settings import PublicSettings
from private_pypi.settings import SettingError

PLATFORMS = ("cp311-cp311-win_amd64", "cp311-cp311-macosx_11_0_arm64")


def lib(version: str, tag: str = "py3-none-any") -> str:
    return f"my_lib-{version}-{tag}.whl"


def platforms(pypi: PyPI, version: str = "1.0") -> None:
    """Upload a release with a wheel for each of two platforms."""
    for tag in PLATFORMS:
        path = wheel.described(pypi.folder, "my-lib", version, "", tag, tag=tag)
        pypi.add(path, "my-lib")


def one(settings: PublicSettings, *wanted: Wanted) -> Result:
    (result,) = fetch(settings, wanted)
    return result


def kept(public: PublicServer) -> set[str]:
    return {Path(path).name for path in public.kept() if not path.endswith(".metadata")}


# Which files --------------------------------------------------------------------------------------


def test_of_a_lock_file_exactly_its_files_are_fetched_with_their_metadata(
    pypi: PyPI, public: PublicServer, public_settings: PublicSettings
) -> None:
    pypi.release("my-lib", "1.0")
    platforms(pypi)
    files = [
        (lib("1.0", tag), f"sha256:{digest(pypi.folder / lib('1.0', tag))}") for tag in PLATFORMS
    ]

    result = one(public_settings, Wanted("my-lib", files=tuple(files), where="uv.lock"))

    names = [name for file, _ in files for name in (file, f"{file}.metadata")]
    assert result.problems == []
    assert sorted(result.paths) == sorted(f"public/my-lib/{name}" for name in names)
    assert public.kept() == sorted(result.paths)
    assert result.size == sum((public.data / path).stat().st_size for path in result.paths)


def test_of_a_line_with_hashes_all_files_with_one_of_these_are_fetched(
    pypi: PyPI, public: PublicServer, public_settings: PublicSettings
) -> None:
    pypi.release("my-lib", "1.0")
    platforms(pypi)
    chosen = [lib("1.0"), lib("1.0", PLATFORMS[0])]
    hashes = tuple(f"sha256:{digest(pypi.folder / file)}" for file in chosen)

    assert one(public_settings, Wanted("my-lib", "==1.0", hashes)).problems == []

    assert kept(public) == {*chosen}


@pytest.mark.parametrize(
    ("specifier", "version"),
    [
        ("", "1.10"),
        (">=1,<1.10", "1.9"),
        ("==1.9", "1.9"),
        ("~=2.0.0rc1", "2.0rc1"),
        # A pin gets what was yanked, and nothing else does.
        ("==1.11", "1.11"),
        ("==1.*", "1.10"),
    ],
)
def test_of_a_bare_requirement_the_newest_release_that_is_offered_is_fetched(
    pypi: PyPI,
    public: PublicServer,
    public_settings: PublicSettings,
    specifier: str,
    version: str,
) -> None:
    for old in ("1.9", "1.10", "2.0rc1"):
        pypi.release("my-lib", old)
        platforms(pypi, old)
    pypi.release("my-lib", "1.11", yanked="broken")
    pypi.release("my-lib", "1.12", days=1)

    assert one(public_settings, Wanted("my-lib", specifier)).problems == []

    more = [] if version == "1.11" else [lib(version, tag) for tag in PLATFORMS]
    assert kept(public) == {lib(version), *more}


def test_what_several_lines_say_of_a_project_is_fetched_together(
    pypi: PyPI, public: PublicServer, public_settings: PublicSettings
) -> None:
    for version in ("1.0", "2.0"):
        pypi.release("my-lib", version)

    result = one(public_settings, Wanted("my-lib", "==1.0"), Wanted("my-lib", ">=2"))

    assert result.problems == []
    assert kept(public) == {lib("1.0"), lib("2.0")}
    assert pypi.times_asked("/simple/my-lib/") == 1


# What does not come -------------------------------------------------------------------------------


def test_a_hidden_file_is_missing_for_the_reason_that_the_policy_tells(
    pypi: PyPI, public: PublicServer, public_settings: PublicSettings
) -> None:
    path = pypi.release("my-lib", "2.0", days=1).path
    pypi.release("my-lib", "1.0")
    sha256 = f"sha256:{digest(path)}"
    rule = "my-lib 2.0 was published 1 day ago, and cooldown_days is 7: it is offered from "

    named = one(public_settings, Wanted("my-lib", files=((lib("2.0"), sha256),)))
    hashed = one(public_settings, Wanted("my-lib", "==2.0", (sha256,), where="r.txt line 1"))
    pinned = one(public_settings, Wanted("my-lib", "==2.0", where="r.txt line 1"))
    bare = one(public_settings, Wanted("my-lib", ">=2", where="r.txt line 1"))

    assert named.problems[0].startswith(
        f"{lib('2.0')}: {lib('2.0')} is hidden by the policy: {rule}"
    )
    what = "my-lib==2.0 (r.txt line 1): "
    assert hashed.problems[0].startswith(
        f"{what}no file that is offered has 1 of its 1 hashes: {rule}"
    )
    assert pinned.problems[0].startswith(f"{what}no release that fits is offered: {rule}")
    assert bare.problems == [
        "my-lib>=2 (r.txt line 1): no release that fits is offered: make pypi-policy PKG=my-lib"
        " says what is offered, and why"
    ]
    assert [len(each.problems) for each in (named, hashed, pinned)] == [1, 1, 1]
    assert public.kept() == []


def test_what_pypi_does_not_have_is_missing(
    pypi: PyPI, public: PublicServer, public_settings: PublicSettings
) -> None:
    pypi.release("my-lib", "1.0")

    unknown = one(public_settings, Wanted("other", ">=2"))
    file = one(public_settings, Wanted("my-lib", files=((lib("9.0"), ""), (lib("1.0"), ""))))
    other = one(
        public_settings,
        Wanted("my-lib", files=((lib("1.0"), f"sha256:{'0' * 64}"),), where="uv.lock"),
    )

    assert unknown.problems == ["PyPI has no project other"]
    assert file.problems == [f"{lib('9.0')}: PyPI lists no file {lib('9.0')} of my-lib"]
    assert f"public/my-lib/{lib('1.0')}" in file.paths
    assert other.problems == [f"{lib('1.0')} has another hash on PyPI than in uv.lock"]
    assert other.paths == []


def test_a_file_that_pypi_deleted_is_no_problem_if_it_is_kept(
    pypi: PyPI, public: PublicServer, public_settings: PublicSettings
) -> None:
    pypi.release("my-lib", "1.0")
    pypi.release("my-lib", "2.0")
    wanted = Wanted("my-lib", files=((lib("1.0"), ""),))
    assert one(public_settings, wanted).problems == []
    pypi.delete("my-lib", lib("1.0"))
    public.age("my-lib")

    assert one(public_settings, wanted).problems == []


@pytest.mark.parametrize("how", ["dies", "altered", "wrong-hash", "busy"])
def test_a_file_that_does_not_come_whole_is_missing_and_the_others_come(
    pypi: PyPI, public: PublicServer, public_settings: PublicSettings, how: How
) -> None:
    for name in ("my-lib", "other"):
        pypi.release(name, "1.0", contents={"big": "x" * 100_000})

    with pypi.failing(how, "my-lib", "files" if how != "wrong-hash" else "everything"):
        bad, good = fetch(public_settings, [Wanted("my-lib"), Wanted("other")])

    assert [lib("1.0") in problem for problem in bad.problems][:1] == [True], bad
    assert good.problems == []
    assert kept(public) == {"other-1.0-py3-none-any.whl"}


def test_a_file_that_came_but_is_not_kept_is_missing(
    pypi: PyPI,
    public: PublicServer,
    public_settings: PublicSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pypi.release("my-lib", "1.0", has_metadata=False)
    # Where the disk is full, a file passes through.
    folder = public.data / "public"
    folder.mkdir(exist_ok=True)
    (folder / "my-lib").write_text("in the way of a folder")
    monkeypatch.setattr(fetching, "_SECONDS_UNTIL_KEPT", 0.1)

    came, missing = fetch(public_settings, [Wanted("my-lib")])

    assert came.problems == []
    assert missing.problems == [
        f"{lib('1.0')} came, but is not kept: the disk is full, or public_max_gb, which is 20, is"
        " too small"
    ]


def test_what_was_fetched_outlives_a_power_failure_right_after(
    pypi: PyPI,
    public: PublicServer,
    public_settings: PublicSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pypi.release("my-lib", "1.0")
    synced: list[set[str]] = []
    monkeypatch.setattr(os, "sync", lambda: synced.append(kept(public)))

    assert one(public_settings, Wanted("my-lib")).problems == []

    assert synced == [{lib("1.0")}]


def test_without_a_mirror_that_runs_there_is_one_sentence(public_settings: PublicSettings) -> None:
    for ask in (lambda: [*fetch(public_settings, [])], lambda: explained(public_settings, "a")):
        with pytest.raises(SettingError, match=r"^nothing answers on .*public\.sock \("):
            ask()


# The table ----------------------------------------------------------------------------------------


def test_the_running_mirror_explains_its_policy(
    pypi: PyPI, public: PublicServer, public_settings: PublicSettings
) -> None:
    pypi.release("my-lib", "1.0")
    pypi.release("my-lib", "2.0", days=1)

    table = explained(public_settings, "my-lib").splitlines()

    assert [line.split()[:3] for line in table] == [
        ["RELEASE", "FILES", "RULE"],
        ["2.0", "1", "hidden"],
        ["1.0", "1", "offered"],
    ]
    with pytest.raises(SettingError, match=r"^PyPI has no project other$"):
        explained(public_settings, "other")
