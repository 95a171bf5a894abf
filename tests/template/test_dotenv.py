"""A client's .env: whoever wrote it, nothing but `make login` changes a line there, and its own."""

from __future__ import annotations

import functools
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kit.copier_command import succeed
from kit.git import commit, git
from kit.rendered_files import File, not_ignored, read, tracked
from kit.template import PASSWORD, Render
from tools.credentials import read as read_credentials
from tools.credentials import with_line

ANSWERS = {"template": "client", "index_user": "ada", "index_password": PASSWORD}
ENCODED = "p%40%3A%2F%23%3F%25%24%26%21%22%3B%60x%60%24HOME%2541"
URL = f"https://ada:{ENCODED}@pypi.example.com/simple/"
LINE = f"PIP_EXTRA_INDEX_URL={URL}".encode()
OURS = b"# Ours\r\nGREETING='hello world'\nname=Andr\xe9\n\nPIP_EXTRA_INDEX_URL=https://mine/"


def login(folder: Path, *, user: str = "ada") -> subprocess.CompletedProcess[str]:
    """Log in to an index that nobody asks."""
    done = subprocess.run(
        ["make", "login", "ARGS=--no-check"],
        cwd=folder,
        env={**os.environ, "INDEX_USER": user},
        input=f"{PASSWORD}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert ENCODED not in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done


# A line of its own --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"N=new\n"),
        (b"\n", b"\nN=new\n"),
        (b"A=1\n", b"A=1\nN=new\n"),
        (b"A=1", b"A=1\nN=new\n"),
        (b"A=1\r\nB=2\r\n", b"A=1\r\nB=2\r\nN=new\r\n"),
        (b"A=1\r\nB=2", b"A=1\r\nB=2\r\nN=new\r\n"),
        (b"A=1\nN=old\nB=2\n", b"A=1\nN=new\nB=2\n"),
        (b"A=1\nN=old", b"A=1\nN=new"),
        (b"N=old\r\nB=2\r\n", b"N=new\r\nB=2\r\n"),
        (b"N=\nB=2\n", b"N=new\nB=2\n"),
        (b"N=\r\nB=2\r\n", b"N=new\r\nB=2\r\n"),
        (b"N='old'\nB=2\n", b"N=new\nB=2\n"),
        (b'N="old" # why\nB=2\n', b"N=new\nB=2\n"),
        (b"  N = old\nB=2\n", b"N=new\nB=2\n"),
        (b"N: old\nB=2\n", b"N=new\nB=2\n"),
        (b"export N=old\nexport B=2\n", b"export N=new\nexport B=2\n"),
        (b"N=one\nA=1\nN=two\n", b"N=new\nA=1\nN=new\n"),
        (b"N='one\ntwo'\nB=2\n", b"N=new\nB=2\n"),
        (b"#N=old\n# N=old\n", b"#N=old\n# N=old\nN=new\n"),
        (b"NN=1\nAN=2\nN_=3\nn=4\n", b"NN=1\nAN=2\nN_=3\nn=4\nN=new\n"),
        (b"A=\\N=1\nB=N=1\n", b"A=\\N=1\nB=N=1\nN=new\n"),
        (b"A='one\nN=two\n'\n", b"A='one\nN=two\n'\nN=new\n"),
        (b'A="one\\"\nN=two\n"\n', b'A="one\\"\nN=two\n"\nN=new\n'),
        (b"A='one\nN=old\n", b"A='one\nN=new\n"),
        (b"\xef\xbb\xbfN=old\nB=2\n", b"\xef\xbb\xbfN=new\nB=2\n"),
        (b"\xef\xbb\xbf", b"\xef\xbb\xbfN=new\n"),
        (
            b"A=\xe9\xff\nB=\xc3\xa9\xe2\x80\xa8N=x\n",
            b"A=\xe9\xff\nB=\xc3\xa9\xe2\x80\xa8N=x\nN=new\n",
        ),
        (b"A=1\x0bN=2\x0cN=3\n", b"A=1\x0bN=2\x0cN=3\nN=new\n"),
        (b"export\nnonsense here\n=\n", b"export\nnonsense here\n=\nN=new\n"),
    ],
)
def test_one_line_is_set_and_all_others_stay_byte_for_byte(before: bytes, after: bytes) -> None:
    assert with_line(before, "N", "new") == after
    assert with_line(after, "N", "new") == after


@pytest.mark.parametrize("credentials", ["arg", "secret"])
def test_login_changes_its_own_line_and_only_where_the_build_takes_it_from_there(
    repository: Render, credentials: str
) -> None:
    folder = repository({"template": "client", "build_credentials": credentials})
    (folder / ".env").write_bytes(OURS)
    (folder / ".env").chmod(0o644)

    assert login(folder).returncode == 0

    whole = OURS.replace(b"PIP_EXTRA_INDEX_URL=https://mine/", LINE)
    assert (folder / ".env").read_bytes() == (whole if credentials == "arg" else OURS)
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == (
        0o600 if credentials == "arg" else 0o644
    )
    assert git(folder, "status", "--short") == ""


def test_login_makes_a_file_only_where_the_build_takes_its_line_from_there(
    repository: Render,
) -> None:
    for credentials in ("arg", "secret"):
        folder = repository({"template": "client", "build_credentials": credentials})
        assert login(folder).returncode == 0
        if credentials == "arg":
            assert (folder / ".env").read_bytes() == LINE + b"\n"
            assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
        else:
            assert not (folder / ".env").exists()
        shutil.rmtree(folder)


def test_login_keeps_what_else_stands_in_the_credentials_file(repository: Render) -> None:
    folder = repository(ANSWERS)
    ours = b"GREETING='hello\nworld'\nUV_INDEX_OTHER_PASSWORD=x\n"
    (folder / ".pypi.env").write_bytes(ours + (folder / ".pypi.env").read_bytes())

    assert login(folder, user="bob").returncode == 0

    text = (folder / ".pypi.env").read_bytes()
    assert text.endswith(ours)
    assert text.count(b"TWINE_USERNAME='bob'\n") == 1
    assert b"ada" not in text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("TWINE_PASSWORD", ""),
        ("TWINE_PASSWORD+=x", ""),
        ("PIP_EXTRA_INDEX_URL https://x/", ""),
        ('UV_INDEX_OTHER_PASSWORD="x"', ""),
        ("export UV_INDEX_OTHER_USERNAME='x'", ""),
        ('POETRY_HTTP_BASIC_OLD_PASSWORD="a b"', ""),
        ("UV_INDEX_OTHER_PASSWORD='a\nb'\nA=1", "b'\nA=1\n"),
        ("A='\nUV_INDEX_OTHER_PASSWORD=\"x\"\n'", "A='\n'\n"),
        ("A='\nTWINE_PASSWORD=x\n'", "A='\n'\n"),
        (
            "UV_INDEX_OTHER_PASSWORD=x\r\nB=caf\xe9\x85",
            "UV_INDEX_OTHER_PASSWORD=x\r\nB=caf\xe9\x85\n",
        ),
    ],
)
def test_login_heals_what_make_stops_at(repository: Render, before: str, after: str) -> None:
    folder = repository(ANSWERS)
    path = folder / ".pypi.env"
    rendered = path.read_bytes()
    path.write_bytes(rendered + before.encode("latin-1"))

    assert login(folder).returncode == 0

    assert path.read_bytes() == rendered + after.encode("latin-1")
    assert read_credentials(path)["TWINE_PASSWORD"] == PASSWORD


def to_link(folder: Path) -> None:
    (folder / "settings").write_bytes(OURS)
    (folder / ".env").symlink_to("settings")


def to_read_only(folder: Path) -> None:
    (folder / ".env").write_bytes(OURS)
    (folder / ".env").chmod(0o444)


def to_folder(folder: Path) -> None:
    (folder / ".env").mkdir()


def to_pipe(folder: Path) -> None:
    os.mkfifo(folder / ".env")


def to_tracked(folder: Path) -> None:
    (folder / ".env").write_bytes(OURS)
    git(folder, "add", "--force", ".env")


def to_not_ignored(folder: Path) -> None:
    (folder / ".env").write_bytes(OURS)
    ignore = folder / ".gitignore"
    ignore.write_text(ignore.read_text().replace("/.env\n", "", 1))


def to_utf_16(folder: Path) -> None:
    (folder / ".env").write_bytes("GREETING=hello\n".encode("utf-16"))


def to_broken_git(folder: Path) -> None:
    (folder / ".git/HEAD").write_text("nonsense\n")


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (to_link, ".env is no file of its own: make it one"),
        (to_folder, ".env is no file of its own: make it one"),
        (to_pipe, ".env is no file of its own: make it one"),
        (to_read_only, ".env is read-only: `chmod u+w .env`"),
        (to_tracked, "git would commit .env: `git rm --cached .env`"),
        (to_not_ignored, "git would commit .env: `git rm --cached .env`"),
        (to_utf_16, ".env is no text that Compose can read: save it as UTF-8."),
        (to_broken_git, "git does not tell whether it ignores .env: fatal: "),
    ],
)
def test_what_login_must_not_write_to_it_leaves_alone_and_says_so(
    repository: Render, prepare: Callable[[Path], None], sentence: str
) -> None:
    folder = repository({"template": "client"})
    prepare(folder)
    before = seen(folder)

    done = login(folder)

    assert sentence in done.stderr
    assert "plain `docker compose build` needs PIP_EXTRA_INDEX_URL." in done.stderr
    assert seen(folder) == before
    # make goes by .pypi.env alone, and that is written.
    assert done.returncode == 0
    assert LINE in (folder / ".pypi.env").read_bytes()


def seen(folder: Path) -> dict[str, object]:
    """Return what stands under the names that login could write to."""
    return {
        name: (folder / name).lstat().st_mode
        if (folder / name).is_dir() or (folder / name).is_fifo()
        else read(folder / name)
        for name in (".env", "settings")
        if os.path.lexists(folder / name)
    }


def test_login_works_outside_of_git(repository: Render) -> None:
    folder = repository({"template": "client"})
    shutil.rmtree(folder / ".git")

    assert "Wrote PIP_EXTRA_INDEX_URL in .env" in login(folder).stdout


@pytest.mark.parametrize("ignored", [True, False])
def test_login_asks_the_repository_that_the_file_is_in_and_no_other(
    repository: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ignored: bool
) -> None:
    folder = repository({"template": "client"})
    other = tmp_path / "other"
    other.mkdir()
    (other / ".gitignore").write_text("" if ignored else ".env\n")
    commit(other)
    if not ignored:
        to_not_ignored(folder)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(folder if ignored else other))

    done = login(folder)

    assert ("git would commit .env" in done.stderr) is not ignored
    assert (LINE in (folder / ".env").read_bytes()) is ignored


def test_a_write_that_is_killed_leaves_nothing_that_git_or_docker_would_take(
    repository: Render,
) -> None:
    folder = repository({"template": "client"})
    leftover = ".pypi.env.x7_killed"
    assert not_ignored(folder, [".env", ".pypi.env", leftover]) == []
    assert {".env", "**/.pypi.env*"} <= set((folder / ".dockerignore").read_text().split())


def test_other_files_of_that_name_are_their_owners(repository: Render) -> None:
    folder = repository({"template": "client"})
    others = [".env.example", ".env.test", "src/.env", "src/my_app/.env.local", ".pypi.env.example"]
    assert not_ignored(folder, others) == others
    patterns = (folder / ".dockerignore").read_text().split()
    assert [pattern for pattern in patterns if ".env" in pattern] == [".env", "**/.pypi.env*"]


# What the template does ---------------------------------------------------------------------------


@pytest.mark.parametrize("credentials", ["arg", "secret"])
def test_credentials_among_the_answers_reach_a_plain_build(
    render: Render, credentials: str
) -> None:
    folder = render({**ANSWERS, "build_credentials": credentials})

    if credentials == "arg":
        assert (folder / ".env").read_bytes() == LINE + b"\n"
        assert stat.S_IMODE((folder / ".env").lstat().st_mode) == 0o600
    else:
        assert not os.path.lexists(folder / ".env")
    assert ".env" not in tracked(folder)
    assert not os.path.lexists(render({"template": "client"}) / ".env")


@pytest.fixture(scope="session")
def versions(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository of the template: v0.1.0 with the link of old, v0.2.0 as it stands."""
    folder = tmp_path_factory.mktemp("versions-of-dotenv") / "template"
    shutil.copytree(template, folder, symlinks=True)
    commit(folder, "First")
    questionnaire = (folder / "copier.yml").read_text()
    new = {path: (folder / path).read_bytes() for path in ("copier.yml", GITIGNORE)}
    old = questionnaire.replace("  - /.env\n", "")
    task = 'build_credentials }}"\n    when: "{{ '
    old = old.replace(f"{task}template == 'client' }}}}", f"{task}false }}}}")
    assert len(old) < len(questionnaire) - 30
    (folder / "copier.yml").write_text(f"_preserve_symlinks: true\n{old}")
    gitignore = (folder / GITIGNORE).read_text()
    (folder / GITIGNORE).write_text(gitignore.replace("/.env\n", "", 1))
    assert (folder / GITIGNORE).read_text() != gitignore
    (folder / "template/client/.env").symlink_to(".pypi.env")
    commit(folder, "Old")
    git(folder, "tag", "v0.1.0")
    (folder / "template/client/.env").unlink()
    for path, content in new.items():
        (folder / path).write_bytes(content)
    makefile = folder / "template/client/Makefile.jinja"
    makefile.write_text(f"{makefile.read_text()}# New\n")
    commit(folder, "New")
    git(folder, "tag", "v0.2.0")
    return folder


GITIGNORE = "template/client/.gitignore.jinja"


@pytest.fixture(scope="session")
def old(versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that renders v0.1.0 for a `build_credentials` and commits that, once."""

    @functools.cache
    def make(credentials: str) -> Path:
        folder = tmp_path_factory.mktemp("old") / "client"
        data = folder.with_name("answers.yml")
        data.write_text(yaml.safe_dump({**ANSWERS, "build_credentials": credentials}))
        options = ("--trust", "--defaults", "--vcs-ref=v0.1.0", f"--data-file={data}")
        succeed("copy", *options, versions, folder, cwd=folder.parent)
        assert (folder / ".env").readlink() == Path(".pypi.env")
        commit(folder, "Render")
        assert ".env" in git(folder, "ls-files").splitlines()
        return folder

    return make


UPDATE = ("update", "--trust", "--defaults")
RECOPY = ("recopy", "--trust", "--defaults", "--overwrite")
commands = pytest.mark.parametrize("command", [UPDATE, RECOPY], ids=["update", "recopy"])


@commands
@pytest.mark.parametrize(("credentials", "conflict"), [("arg", True), ("secret", False)])
def test_the_old_link_goes_and_what_compose_read_through_it_stays(
    old: Callable[[str], Path],
    tmp_path: Path,
    command: tuple[str, ...],
    credentials: str,
    conflict: bool,
) -> None:
    folder = copied(old(credentials), tmp_path)
    more = b"GREETING='hello world'\nexport LEVEL=3\n"
    (folder / ".pypi.env").write_bytes((folder / ".pypi.env").read_bytes() + more)
    before = read(folder / ".pypi.env")
    if conflict:
        with (folder / "Makefile").open("a") as makefile:
            makefile.write("# Mine\n")
        commit(folder, "Work")

    said = succeed(*command, cwd=folder)

    assert "git no longer tracks the link .env: commit that." in said
    assert ENCODED not in said
    assert read(folder / ".pypi.env") == before
    line = LINE + b"\n" if credentials == "arg" else b""
    assert read(folder / ".env") == File(0o100600, more + line)
    assert ("<<<<<<<" in (folder / "Makefile").read_text()) is (conflict and command is UPDATE)
    assert_nothing_is_published(folder)
    assert not list(folder.glob("*.rej"))


@commands
def test_what_a_checkout_without_links_has_in_place_of_it_goes_as_well(
    old: Callable[[str], Path], tmp_path: Path, command: tuple[str, ...]
) -> None:
    folder = copied(old("arg"), tmp_path)
    git(folder, "config", "core.symlinks", "false")
    (folder / ".env").unlink()
    (folder / ".env").write_text(".pypi.env")
    assert git(folder, "status", "--short") == ""

    succeed(*command, cwd=folder)

    assert read(folder / ".env") == File(0o100600, LINE + b"\n")
    assert_nothing_is_published(folder)


def test_where_git_does_not_answer_the_old_link_stays(
    old: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copied(old("arg"), tmp_path)
    (folder / ".git/HEAD").write_text("nonsense\n")

    said = succeed(*RECOPY, cwd=folder)

    assert "git does not tell whether it ignores .env: fatal: " in said
    assert (folder / ".env").readlink() == Path(".pypi.env")


@commands
def test_without_credentials_the_old_link_just_goes(
    old: Callable[[str], Path], tmp_path: Path, command: tuple[str, ...]
) -> None:
    folder = copied(old("arg"), tmp_path)
    (folder / ".pypi.env").unlink()

    succeed(*command, cwd=folder)

    assert not os.path.lexists(folder / ".env")
    assert ".env" not in tracked(folder)


@commands
@pytest.mark.parametrize("kept", ["committed", "unnoticed", "on top"])
def test_a_file_of_somebodys_own_in_place_of_the_link_survives(
    old: Callable[[str], Path], tmp_path: Path, command: tuple[str, ...], kept: str
) -> None:
    folder = copied(old("arg"), tmp_path)
    (folder / ".env").unlink()
    (folder / ".env").write_bytes(OURS)
    (folder / ".env").chmod(0o640)
    if kept == "committed":
        commit(folder, "Mine")
    elif kept == "unnoticed":
        git(folder, "update-index", "--assume-unchanged", ".env")
    elif command is UPDATE:
        # Copier refuses to update what is not committed.
        git(folder, "update-index", "--skip-worktree", ".env")
    before = read(folder / ".env")

    said = succeed(*command, cwd=folder)

    assert read(folder / ".env") == before
    if kept == "committed":
        assert "git tracks .env, your own file, which was left as it is." in said
        assert "`git rm --cached .env`, commit, and have that changed" in said
        assert git(folder, "status", "--short", ".env") == ""
    else:
        assert "git no longer tracks the link .env: commit that." in said
        assert_nothing_is_published(folder)
    assert LINE not in read(folder / ".env").content


@commands
def test_a_link_that_was_deleted_or_leads_elsewhere_is_its_owners_business(
    old: Callable[[str], Path], tmp_path: Path, command: tuple[str, ...]
) -> None:
    folder = copied(old("arg"), tmp_path / "deleted")
    (folder / ".env").unlink()
    commit(folder, "Without")
    succeed(*command, cwd=folder)
    if command is UPDATE:
        assert not os.path.lexists(folder / ".env")
    assert ".env" not in git(folder, "ls-files").splitlines()

    folder = copied(old("arg"), tmp_path / "elsewhere")
    (folder / ".env").unlink()
    (folder / ".env").symlink_to(".env.development")
    (folder / ".env.development").write_bytes(OURS)
    commit(folder, "Mine")
    before = tracked(folder)[".env"], read(folder / ".env.development")
    succeed(*command, cwd=folder)
    assert (tracked(folder)[".env"], read(folder / ".env.development")) == before


@commands
def test_an_own_file_is_never_touched_again(
    old: Callable[[str], Path], tmp_path: Path, command: tuple[str, ...]
) -> None:
    folder = copied(old("arg"), tmp_path)
    succeed(*UPDATE, cwd=folder)
    commit(folder, "Update")
    (folder / ".env").write_bytes(OURS)
    before = read(folder / ".env")

    said = succeed(*command, cwd=folder)

    assert read(folder / ".env") == before
    assert "git tracks" not in said


def copied(folder: Path, parent: Path) -> Path:
    """Return a copy of a repository."""
    return Path(shutil.copytree(folder, parent / "client", symlinks=True))


def assert_nothing_is_published(folder: Path) -> None:
    """Refuse that the next commit would hold .env, or anything that stands in .pypi.env."""
    git(folder, "add", "--all")
    assert ".env" not in git(folder, "ls-files").splitlines()
    assert "D  .env" in git(folder, "status", "--short")
    assert ENCODED not in git(folder, "diff", "--cached")
