"""A rendered repository's life with updates: what its people wrote and keep there stays.

Updates run through Copier's own command, since pytest-copie gives an update the secrets again.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from kit.copier_command import converse, run, succeed
from kit.git import commit, git
from kit.rendered_files import holding, ignored, not_ignored, recorded, tracked
from kit.template import PASSWORD, QUESTIONNAIRE, QUESTIONS, Answers, Render
from passlib.apache import HtpasswdFile
from pathspec import GitIgnoreSpec

NEW_PASSWORD = "another-password-of-mine"
CHANGE = "# New in v0.2.0."
EDIT = "# Ours: ask Ada before you change this.\n"

CADDY = "image: caddy:2.11.7-alpine\n"
NEWER_CADDY = "image: caddy:2.99.0-alpine\n"

ANSWERS: dict[str, Answers] = {
    "server": {
        "template": "server",
        "https": "certificate",
        "publisher": "ada",
        "publisher_password": PASSWORD,
    },
    "client": {"template": "client", "index_user": "ada", "index_password": PASSWORD},
}
SECRET = {"server": "publisher_password", "client": "index_password"}

QUESTIONS_ASKED = {
    "server": [
        "What is the repository called?",
        "Which DNS name will the server answer to?",
        "Who gives the server its HTTPS certificate?",
        "What is the first account called?",
        "What is the first account's password?",
        "What should the server answer for a package",
        "How many megabytes may an uploaded file have?",
        "How do the names of your private packages begin?",
        "Where does continuous integration run?",
    ],
    "client": [
        "What is the repository called?",
        "Where is the private index?",
        "Under which name is the app published?",
        "What does the app do, in one line?",
        "Who writes it?",
        "Which e-mail address belongs in the package's metadata?",
        "Which Python does the app run on?",
        "Which tool should build and publish the app?",
        "Which releases should the app and its image get?",
        "What should Poetry and uv call the private index?",
        "Which file of this repository holds the certificate",
        "Which private packages does the app install?",
        "How do the names of your private packages begin?",
        "How should the app use the private index?",
        "How many days old must a release on PyPI be",
        "How should the Docker build get the credentials?",
        "Your account on the private index?",
        "Its password?",
        "Where does continuous integration run?",
        "How should CI prove to the index that it may publish?",
    ],
}
"""Of an update; which template it was is settled."""

PRIVATE = {
    "server": {
        ".pypi.env": "pypi_url=pypi.our-company.example\n# by hand\n",
        "pypi_auth/.htpasswd-readers": "bob:$2y$12$" + "a" * 53 + "\n",
        "pypi_data/my_private_lib-0.1.0-py3-none-any.whl": "a wheel",
        "pypi_data/.journal.jsonl": "{}\n",
        "pypi_index/simple/my-private-lib/index.html": "a page",
        "gateway/accounts/accounts.caddy": "ada $2y$12$" + "b" * 53 + "\n",
        "gateway_data/caddy/certificates/local/key.pem": "a key",
        "certs/privkey.pem": "another key",
    },
    "client": {".pypi.env": f"UV_INDEX_PRIVATE_PASSWORD='{PASSWORD}'\n# by hand\n"},
}
"""Files the repositories' people keep there beside what Copier rendered, and edited ones."""

MORE_PRIVATE = {"server": ["pypi_auth/.htpasswd"], "client": [".pypi.env.bak"]}

both_templates = pytest.mark.parametrize("template_name", ["server", "client"])


@pytest.fixture(scope="session")
def versions(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository of the template: v0.1.0 as it stands, v0.2.0 with a line more in files.

    On the branch newer-caddy, an image has another tag.
    """
    folder = tmp_path_factory.mktemp("versions") / "template"
    shutil.copytree(template, folder, symlinks=True)
    commit(folder, "First")
    git(folder, "tag", "v0.1.0")
    changed = [
        path
        for path in (folder / "template").rglob("*.jinja")
        if any(name in path.name for name in ("Makefile", ".pypi.env", ".htpasswd"))
    ]
    assert len(changed) >= 7
    for path in changed:
        text, end, _ = path.read_text().partition("{% endfilter %}\n")
        path.write_text(f"{text}{CHANGE}\n{end}")
    commit(folder, "Second")
    git(folder, "tag", "v0.2.0")
    git(folder, "switch", "--quiet", "--create", "newer-caddy")
    compose = folder / "template/server/docker-compose.pypi.yml.jinja"
    compose.write_text(compose.read_text().replace(CADDY, NEWER_CADDY))
    commit(folder, "Third")
    git(folder, "switch", "--quiet", "main")
    return folder


@pytest.fixture(scope="session")
def at_first(versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that renders a template at v0.1.0 and commits that, once."""

    @functools.cache
    def make(template_name: str) -> Path:
        folder = tmp_path_factory.mktemp("at-first") / template_name
        copy(versions, folder, ANSWERS[template_name], version="v0.1.0")
        commit(folder, "Render")
        return folder

    return make


@pytest.fixture
def ours(at_first: Callable[[str], Path], tmp_path: Path, template_name: str) -> Path:
    """A repository at v0.1.0 that people worked in."""
    folder = tmp_path / "ours"
    shutil.copytree(at_first(template_name), folder, symlinks=True)
    (folder / "Makefile").write_text(EDIT + (folder / "Makefile").read_text())
    (folder / "README.md").write_text((folder / "README.md").read_text() + EDIT)
    (folder / "NOTES.md").write_text(EDIT)
    commit(folder, "Work")
    for path, text in PRIVATE[template_name].items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
        (folder / path).chmod(0o400 if path == ".pypi.env" else 0o600)
    return folder


def copy(versions: Path, folder: Path, answers: Answers, *, version: str = "v0.2.0") -> None:
    """Render answers into a folder; they go through a file, where nobody sees the password."""
    data = folder.with_name(f"{folder.name}.answers.yml")
    data.write_text(yaml.safe_dump(answers))
    arguments = ["--trust", "--defaults", f"--vcs-ref={version}", f"--data-file={data}"]
    succeed("copy", *arguments, versions, folder, cwd=folder.parent)


def update(*options: str) -> Callable[[Path, str], None]:
    """Return a way to update: without a question."""

    def way(folder: Path, template_name: str) -> None:
        filled = [option.format(secret=SECRET[template_name]) for option in options]
        succeed("update", "--trust", "--defaults", *filled, cwd=folder)

    return way


def update_at_a_terminal(typed_password: str) -> Callable[[Path, str], None]:
    """Return a way to update: all answers accepted as they are offered, except the password."""

    def way(folder: Path, template_name: str) -> None:
        answers = [
            (question, typed_password if "password?" in question else "")
            for question in QUESTIONS_ASKED[template_name]
        ]
        code, screen = converse("update", "--trust", cwd=folder, answers=answers)
        assert code == 0, screen
        assert "What do you want to make?" not in screen
        assert typed_password == "" or typed_password not in screen

    return way


WAYS = {
    "defaults": update(),
    "a password as data": update("--data", f"{{secret}}={NEW_PASSWORD}"),
    "at a terminal": update_at_a_terminal(""),
    "at a terminal with a new password": update_at_a_terminal(NEW_PASSWORD),
}


@both_templates
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_an_update_brings_the_change_and_keeps_edits_and_private_files(
    way: Callable[[Path, str], None], ours: Path, template_name: str
) -> None:
    before, private = tracked(ours), ignored(ours)
    assert private.keys() >= PRIVATE[template_name].keys()

    way(ours, template_name)

    assert ignored(ours) == private
    assert_no_conflict(ours)
    assert (ours / "NOTES.md").read_text() == EDIT
    assert (ours / "README.md").read_text().endswith(EDIT)
    assert (ours / "Makefile").read_text().startswith(EDIT)
    assert (ours / "Makefile").read_text().endswith(f"{CHANGE}\n")
    assert recorded(ours)["_commit"] == "v0.2.0"
    assert_no_secret(ours)
    changed = {name for name, file in tracked(ours).items() if before.get(name) != file}
    assert changed == {"Makefile", ".pypi.env.example", ".copier-answers.yml"}


@both_templates
def test_a_recopy_keeps_private_files(ours: Path, template_name: str) -> None:
    private = ignored(ours)

    succeed("recopy", "--trust", "--defaults", "--overwrite", cwd=ours)

    assert ignored(ours) == private
    assert (ours / "NOTES.md").read_text() == EDIT
    assert EDIT not in (ours / "Makefile").read_text()
    assert_no_secret(ours)


@both_templates
def test_an_update_in_a_fresh_clone_makes_no_account_and_no_credentials(
    ours: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(ours), str(clone))

    succeed("update", "--trust", "--defaults", cwd=clone)

    assert ignored(clone).keys() <= {".pypi.env"}
    assert not holding(ignored(clone), ["$2y$", "PASSWORD"])
    assert_no_secret(clone)


@pytest.mark.parametrize("template_name", ["server"])
def test_an_update_in_a_fresh_clone_makes_the_account_whose_password_is_given(
    ours: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(ours), str(clone))

    succeed("update", "--trust", "--data", f"publisher_password={NEW_PASSWORD}", "-l", cwd=clone)

    htpasswd = clone / "pypi_auth/.htpasswd"
    assert HtpasswdFile(htpasswd).check_password("ada", NEW_PASSWORD)
    assert htpasswd.stat().st_mode & 0o777 == 0o600
    assert_no_secret(clone)


@pytest.mark.parametrize("template_name", ["server"])
def test_another_https_mode_keeps_the_certificate_and_keeps_it_out_of_git(ours: Path) -> None:
    private = ignored(ours)

    succeed("update", "--trust", "--defaults", "--data", "https=internal", cwd=ours)

    assert ignored(ours) == private


@both_templates
@pytest.mark.parametrize(
    "command",
    [["update"], ["recopy", "--overwrite"], ["copy", "--overwrite", "{versions}", "."]],
    ids=lambda command: command[0],
)
def test_another_template_is_refused_and_changes_nothing(
    command: list[str], ours: Path, template_name: str, versions: Path
) -> None:
    before = tracked(ours) | ignored(ours)
    other = {"server": "client", "client": "server"}[template_name]
    arguments = [argument.format(versions=versions) for argument in command]

    done = run(*arguments, "--trust", "--defaults", "--data", f"template={other}", cwd=ours)

    assert done.returncode != 0
    assert f"made from template={template_name}" in done.stderr
    assert f"render template={other} into another folder" in " ".join(done.stderr.split())
    assert tracked(ours) | ignored(ours) == before


@both_templates
def test_after_the_update_that_check_update_tells_of_all_is_as_freshly_rendered(
    at_first: Callable[[str], Path], versions: Path, tmp_path: Path, template_name: str
) -> None:
    updated, fresh = tmp_path / "updated", tmp_path / "fresh"
    shutil.copytree(at_first(template_name), updated, symlinks=True)
    copy(versions, fresh, ANSWERS[template_name])

    assert run("check-update", "--quiet", cwd=updated).returncode == 2
    succeed("update", "--trust", "--defaults", cwd=updated)
    commit(updated)
    assert run("check-update", "--quiet", cwd=updated).returncode == 0

    assert tracked(updated) == tracked(fresh)


@both_templates
def test_private_files_are_ignored_by_git_whatever_the_answers(
    render: Render, template_name: str
) -> None:
    question = {"server": "https", "client": "build_credentials"}[template_name]
    for choice in QUESTIONS[question]["choices"].values():
        answers = {"template": template_name, question: choice}
        private = [*PRIVATE[template_name], *MORE_PRIVATE[template_name]]
        assert not_ignored(render(answers), private) == [], answers


@both_templates
def test_no_update_writes_to_a_rendered_file_that_git_ignores(
    render: Render, template_name: str
) -> None:
    private = ignored(render(ANSWERS[template_name]))

    assert private
    assert set(GitIgnoreSpec.from_lines(QUESTIONNAIRE["_skip_if_exists"]).match_files(private)) == (
        private.keys()
    )


NEIGHBOUR = """
import os, sys

looking, written = False, set()

def may_read(path):
    try:
        if not os.path.getsize(path) or not os.stat(path).st_mode & 0o044:
            return False
    except OSError:
        return False
    folder = os.path.dirname(path)
    while folder != os.environ["SHARED"]:
        if not os.stat(folder).st_mode & 0o011:
            return False
        folder = os.path.dirname(folder)
    return True

def look(event, arguments):
    global looking
    if looking:
        return
    looking = True
    try:
        if event == "open" and str(arguments[0]).endswith((".pypi.env", ".htpasswd")):
            written.add(os.path.abspath(arguments[0]))
        for path in sorted(filter(may_read, written)):
            os.write(seen, f"{path}\\n".encode())
    finally:
        looking = False

seen = os.open(os.environ["SEEN"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
sys.addaudithook(look)
"""
"""Somebody else on the machine, who looks at every private file before each step that any Python
program takes: as `sitecustomize`, it is part of Copier and of its tasks.
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that lists what a neighbour could read of the private files, at any moment.

    Copier's temporary folders stand in the folder that all share, as in /tmp.
    """
    hook, shared = tmp_path / "hook", tmp_path / "shared"
    (shared / "tmp").mkdir(parents=True)
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(NEIGHBOUR)
    monkeypatch.setenv("PYTHONPATH", str(hook))
    monkeypatch.setenv("SHARED", str(shared))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    monkeypatch.setenv("TMPDIR", str(shared / "tmp"))
    return tmp_path / "seen"


@pytest.fixture
def _umask() -> Iterator[None]:
    """Give a test that changes the umask the usual one to begin with."""
    umask = os.umask(0o022)
    yield
    os.umask(umask)


@both_templates
@pytest.mark.usefixtures("_umask")
def test_nobody_else_can_read_a_secret_while_copier_renders_and_updates(
    versions: Path, tmp_path: Path, seen: Path, template_name: str
) -> None:
    folder = tmp_path / "shared" / template_name
    copy(versions, folder, ANSWERS[template_name], version="v0.1.0")

    rendered = ignored(folder)
    assert holding(rendered, [PASSWORD, "$2y$"])
    assert {oct(file.mode & 0o777) for file in rendered.values()} == {"0o600"}
    assert folder.stat().st_mode & 0o777 == 0o755
    assert seen.read_text() == ""

    # As in a fresh clone, where an update makes them again.
    commit(folder, "Render")
    for name in rendered:
        (folder / name).unlink()
    os.umask(0)
    new_secret = f"{SECRET[template_name]}={NEW_PASSWORD}"
    succeed("update", "--trust", "--defaults", "--data", new_secret, cwd=folder)

    again = ignored(folder)
    assert holding(again, [NEW_PASSWORD, "$2y$"])
    assert {oct(file.mode & 0o777) for file in again.values()} == {"0o600"}
    assert seen.read_text() == ""


@pytest.mark.parametrize("template_name", ["server"])
def test_an_update_keeps_digests_and_marks_the_tag_that_the_template_raised(ours: Path) -> None:
    compose, dockerfile = ours / "docker-compose.pypi.yml", ours / "private_pypi/Dockerfile"
    digest = f"@sha256:{'0' * 64}"
    pinned = CADDY.replace("\n", f"{digest}\n")
    compose.write_text(compose.read_text().replace(CADDY, pinned))
    dockerfile.write_text(
        re.sub("^(FROM .*-trixie)", rf"\1{digest}", dockerfile.read_text(), flags=re.M)
    )
    commit(ours, "Pin")

    succeed("update", "--trust", "--defaults", "--vcs-ref=newer-caddy", cwd=ours)

    assert dockerfile.read_text() == git(ours, "show", "HEAD:private_pypi/Dockerfile")
    assert dockerfile.read_text().count(digest) == 3
    text = compose.read_text()
    assert text.count("<<<<<<<") == 1
    assert f"    {pinned}=======\n    {NEWER_CADDY}>>>>>>>" in text


LOCKED = {
    "poetry.lock": "# @generated by Poetry\n",
    "uv.lock": "version = 1\n",
    "requirements.txt": "my-private-lib==0.2.0 \\\n    --hash=sha256:00\n",
}
"""Files that nobody renders for `locked`, and that its people commit."""


@pytest.fixture
def locked(versions: Path, tmp_path: Path) -> Path:
    """A repository at v0.1.0 whose lock is made."""
    folder = tmp_path / "locked"
    copy(versions, folder, {**ANSWERS["client"], "locked": True}, version="v0.1.0")
    assert not LOCKED.keys() & tracked(folder).keys()
    for name, text in LOCKED.items():
        (folder / name).write_text(text)
    commit(folder, "Lock")
    return folder


@pytest.mark.parametrize(
    "command",
    [["update"], ["recopy", "--overwrite"], ["update", "--data", "package_manager=uv"]],
    ids=["update", "recopy", "another package manager"],
)
def test_an_update_never_touches_the_locks_and_what_was_exported(
    locked: Path, command: list[str]
) -> None:
    succeed(*command, "--trust", "--defaults", cwd=locked)

    assert {name: (locked / name).read_text() for name in LOCKED} == LOCKED
    commit(locked)
    assert_no_conflict(locked)


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_an_app_can_do_without_a_stored_publisher_later_and_go_back(
    versions: Path, tmp_path: Path, ci: str
) -> None:
    folder, file = (
        tmp_path / "app",
        {"github": ".github/workflows/ci.yml"}.get(ci, ".gitlab-ci.yml"),
    )
    copy(versions, folder, {**ANSWERS["client"], "ci": ci})
    (folder / file).write_text(EDIT + (folder / file).read_text())
    commit(folder, "Render")
    before = tracked(folder)

    answer = ("--data", "trusted_publishing=true")
    succeed("update", "--trust", "--defaults", *answer, cwd=folder)

    assert_no_conflict(folder)
    changed = {name for name, found in tracked(folder).items() if before.get(name) != found}
    assert changed == {file, "README.md", "pyproject.toml", ".copier-answers.yml"}
    text = (folder / file).read_text()
    assert text.startswith(EDIT)
    assert "PUBLISH_PASSWORD" not in text
    assert {"github": "id-token: write", "gitlab": "PYPI_ID_TOKEN:"}[ci] in text
    assert "make pypi-trust" in (folder / "README.md").read_text()
    assert "trusted-publishing = true" in (folder / "pyproject.toml").read_text()

    commit(folder, "Trust")
    succeed("update", "--trust", "--defaults", "--data", "trusted_publishing=false", cwd=folder)
    assert tracked(folder) == before


def test_a_repository_can_be_locked_later_and_unlocked_again(
    at_first: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "client"
    shutil.copytree(at_first("client"), folder, symlinks=True)
    floating = (folder / "requirements.txt").read_text()

    succeed("update", "--trust", "--defaults", "--data", "locked=true", cwd=folder)
    # It said no release: `make lock` writes another.
    assert not (folder / "requirements.txt").exists()
    for name, text in LOCKED.items():
        (folder / name).write_text(text)
    commit(folder, "Lock")

    succeed("update", "--trust", "--defaults", "--data", "locked=false", cwd=folder)
    # Copier marks the conflict between what was exported and what is rendered; nothing is lost.
    text = (folder / "requirements.txt").read_text()
    assert text.startswith("<<<<<<<")
    assert LOCKED["requirements.txt"] in text
    assert floating in text
    assert (folder / "poetry.lock").read_text() == LOCKED["poetry.lock"]


SCRIPTS = "template/client/scripts"
OLD_SCRIPTS = ("login.py", "run.py", "doctor.py")
"""Some of what a client had in scripts/ before tools/ took its place."""


@pytest.fixture(scope="session")
def before_the_tools(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template in git: v0.1.0 with scripts/ in place of tools/, v0.2.0 as it stands."""
    folder = tmp_path_factory.mktemp("before-the-tools") / "template"
    shutil.copytree(template, folder, symlinks=True)
    tools = folder / "template/client/tools"
    tools.rename(folder.parent / "tools")
    for name in OLD_SCRIPTS:
        (folder / SCRIPTS / name).write_text(f'"""{name} of old."""\n')
    # What the update's own task takes from there.
    shutil.copytree(folder.parent / "tools", tools)
    questionnaire = (folder / "copier.yml").read_text()
    (folder / "copier.yml").write_text(
        questionnaire.replace("  - /.env\n", "  - /.env\n  - /tools\n", 1)
    )
    commit(folder, "Scripts")
    git(folder, "tag", "v0.1.0")
    (folder / "copier.yml").write_text(questionnaire)
    for name in OLD_SCRIPTS:
        (folder / SCRIPTS / name).unlink()
    commit(folder, "Tools")
    git(folder, "tag", "v0.2.0")
    return folder


def test_an_update_replaces_the_scripts_of_earlier_versions_by_the_tools(
    before_the_tools: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "client"
    copy(before_the_tools, folder, ANSWERS["client"], version="v0.1.0")
    edited, *others = OLD_SCRIPTS
    (folder / "scripts" / edited).write_text(EDIT)
    commit(folder, "Render")
    assert not (folder / "tools").exists()
    secrets = [(folder / name).read_bytes() for name in (".pypi.env", ".env")]

    said = succeed("update", "--trust", "--defaults", cwd=folder)

    assert f"scripts/{edited} stays, with your changes" in said
    assert (folder / "scripts" / edited).read_text() == EDIT
    assert not [name for name in others if (folder / "scripts" / name).exists()]
    assert (folder / "tools/__main__.py").is_file()
    assert [(folder / name).read_bytes() for name in (".pypi.env", ".env")] == secrets
    assert git(folder, "status", "--short", "--", ".pypi.env", ".env") == ""


LEFT_BEHIND = [
    ("client", "package_name=Our.App", "src/my_app/app.py", "src/my_app/__main__.py"),
    ("client", "ci=gitlab", ".github/workflows/ci.yml", ".github/dependabot.yml"),
    ("client", "locked=true", "requirements.txt", "tests/test_requirements.py"),
    ("server", "https=internal", "certs/.gitignore", ""),
    ("server", "ci=none", ".github/dependabot.yml", ".github/workflows/check.yml"),
]
"""Template, changed answer, and two files that it renders no more: one is edited, one is not."""


@pytest.fixture
def edited(at_first: Callable[[str], Path], tmp_path: Path, template_name: str, path: str) -> Path:
    """A repository at v0.1.0, a folder of a greater one, where somebody edited a file."""
    folder = tmp_path / "all of ours" / template_name
    shutil.copytree(
        at_first(template_name), folder, symlinks=True, ignore=shutil.ignore_patterns(".git")
    )
    (folder / path).write_text((folder / path).read_text() + EDIT)
    commit(folder.parent, "Edit")
    return folder


@pytest.mark.parametrize(("template_name", "answer", "path", "untouched"), LEFT_BEHIND)
def test_edits_in_what_changed_answers_render_no_more_stay_and_are_named(
    edited: Path, answer: str, path: str, untouched: str
) -> None:
    before = (edited / path).read_bytes()

    said = succeed("update", "--trust", "--defaults", "--data", answer, cwd=edited)

    assert (edited / path).read_bytes() == before
    assert said.count(" stays, with your changes: ") == 1
    assert f"\n{path} stays, with your changes: " in said
    assert untouched == "" or not (edited / untouched).exists()
    commit(edited.parent)
    assert_no_conflict(edited.parent)


@pytest.mark.parametrize(
    ("template_name", "path", "hidden", "answers"),
    [
        ("client", ".github/workflows/ci.yml", "ignored", ["--data", "ci=gitlab"]),
        ("client", "src/my_app/app.py", "--skip-worktree", ["--data", "package_name=our-app"]),
        ("server", "Makefile", "--assume-unchanged", []),
    ],
    ids=["ignored and deleted", "skipped and deleted", "written over"],
)
def test_an_update_that_would_lose_edits_that_git_does_not_keep_changes_nothing(
    edited: Path, path: str, hidden: str, answers: list[str]
) -> None:
    if hidden == "ignored":
        git(edited, "rm", "--quiet", "--cached", path)
        git(edited, "config", "core.excludesFile", str(edited.parent.parent / "mine"))
        (edited.parent.parent / "mine").write_text(f"{Path(path).name}\n")
    else:
        git(edited, "update-index", hidden, path)
        (edited / path).write_text("Mine alone.\n")
    git(edited, "commit", "--quiet", "--allow-empty", "--message", "Hide")
    before = {file: file.read_bytes() for file in edited.rglob("*") if file.is_file()}

    done = run("update", "--trust", "--defaults", *answers, cwd=edited)

    assert done.returncode == 1
    assert f"Nothing was updated: git does not keep your changes in {path}, and" in done.stderr
    assert "Traceback" not in done.stderr
    assert {file: file.read_bytes() for file in edited.rglob("*") if file.is_file()} == before


def test_an_update_does_not_write_over_an_ignored_file_where_it_brings_one_for_the_first_time(
    versions: Path, at_first: Callable[[str], Path], tmp_path: Path
) -> None:
    template = tmp_path / "template"
    shutil.copytree(versions, template, symlinks=True)
    (template / "template/client/NEWS.md").write_text("The template's\n")
    commit(template, "Third")
    git(template, "tag", "v0.3.0")
    folder = tmp_path / "client"
    shutil.copytree(at_first("client"), folder, symlinks=True)
    answers = folder / ".copier-answers.yml"
    answers.write_text(answers.read_text().replace(str(versions), str(template)))
    commit(folder, "Another place")
    (folder / ".git/info/exclude").write_text("NEWS.md\n")
    (folder / "NEWS.md").write_text("Mine alone\n")

    done = run("update", "--trust", "--defaults", cwd=folder)

    assert done.returncode == 1
    assert "Nothing was updated: git does not keep your changes in NEWS.md, and" in done.stderr
    assert (folder / "NEWS.md").read_text() == "Mine alone\n"
    (folder / "NEWS.md").unlink()
    succeed("update", "--trust", "--defaults", cwd=folder)
    assert (folder / "NEWS.md").read_text() == "The template's\n"


@pytest.mark.parametrize(("template_name", "path"), [("client", "src/my_app/app.py")])
def test_a_module_that_was_moved_first_keeps_its_edits_and_its_history(edited: Path) -> None:
    git(edited, "mv", "src/my_app", "src/our_app")
    git(edited, "commit", "--quiet", "--all", "--message", "Move")

    said = succeed("update", "--trust", "--defaults", "--data", "package_name=our-app", cwd=edited)

    assert " stays" not in said
    assert not (edited / "src/my_app").exists()
    app = (edited / "src/our_app/app.py").read_text()
    # What differs from the new rendering stands there as a conflict.
    assert EDIT in app
    assert 'NAME = "my-app"\n' in app
    assert 'NAME = "our-app"\n' in app
    assert git(edited, "diff", "--name-only", "--diff-filter=U") == "client/src/our_app/app.py\n"


@pytest.mark.parametrize(
    ("template_name", "source"),
    [("client", "../versions/template"), ("server", "git+../versions/template")],
)
def test_a_template_that_was_given_by_a_relative_path_is_found_from_anywhere(
    versions: Path, tmp_path: Path, template_name: str, source: str
) -> None:
    (tmp_path / "versions").symlink_to(versions.parent)
    (tmp_path / "work").mkdir()
    options = ["--trust", "--defaults", "--vcs-ref=v0.1.0", "--data", f"template={template_name}"]
    succeed("copy", *options, source, "ours/deeper", cwd=tmp_path / "work")
    ours = tmp_path / "work/ours/deeper"
    commit(ours)

    succeed("update", "--trust", "--defaults", cwd=ours)

    assert recorded(ours)["_src_path"].removeprefix("git+") == str(versions.resolve())
    assert recorded(ours)["_commit"] == "v0.2.0"


TOKEN = "s3cr3t-token"


@pytest.mark.parametrize("command", ["copy", "update"])
def test_a_token_in_the_templates_address_is_refused_and_recorded_nowhere(
    versions: Path,
    at_first: Callable[[str], Path],
    tmp_path: Path,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = f"https://oauth2:{TOKEN}@git.example.com/t.git"
    # git reads this repository where it is told to ask that host.
    settings = tmp_path / "gitconfig"
    settings.write_text(
        f'[user]\nname = T\nemail = t@example.com\n[url "file://{versions}"]\n'
        f"insteadOf = {address}\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("COPIER_CACHE_DIR", str(tmp_path / "cache"))
    ours = tmp_path / "ours"
    options = ["--trust", "--defaults"]
    if command == "copy":
        options += ["--data", "template=client", address, "ours"]
    else:
        shutil.copytree(at_first("client"), ours, symlinks=True)
        answers = ours / ".copier-answers.yml"
        text = answers.read_text().replace(f"_src_path: {versions}", f"_src_path: {address}")
        answers.write_text(text)
        commit(ours)

    done = run(command, *options, cwd=tmp_path if command == "copy" else ours)

    assert done.returncode == 1
    assert "The address of the template holds a user, a password or a token" in done.stderr
    assert "Traceback" not in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert not ours.exists() or git(ours, "status", "--short") == ""


def assert_no_conflict(folder: Path) -> None:
    """Refuse conflict markers, rejected hunks and unmerged files."""
    assert not git(folder, "diff", "--name-only", "--diff-filter=U")
    assert not [*folder.rglob("*.rej"), *folder.rglob("*.orig")]
    assert not holding(tracked(folder), ["<<<<<<< ", ">>>>>>> "])


def assert_no_secret(folder: Path) -> None:
    """Refuse passwords and hashes where `git add --all` would take them."""
    assert not holding(tracked(folder), [PASSWORD, NEW_PASSWORD, "$2y$10$"])
    assert not recorded(folder).keys() & set(SECRET.values())
