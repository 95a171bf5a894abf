"""Keeps what people wrote into files of the template that an update would delete or write over.

Copier deletes what the new version and answers do not render any more, edited or not, and writes
over what git does not track. It runs this program twice at each update, in the repository:

    edits.py before SOURCE ANSWERS_FILE   refuses the update if git does not have an edit
    edits.py after SOURCE ANSWERS_FILE    brings edited files back that were deleted, and says so

SOURCE is where the template is, ANSWERS_FILE what the last run of Copier recorded.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import copier
import yaml

TEMPLATE = Path(__file__).resolve().parent.parent
SETTINGS = yaml.safe_load((TEMPLATE / "copier.yml").read_text(encoding="utf-8"))


def git(*arguments: str) -> bytes:
    """Run git and return what it printed."""
    command = ["git", "--literal-pathspecs", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def names(*arguments: str) -> list[str]:
    """Return what git lists with these arguments, which end each name in a null byte."""
    return [os.fsdecode(name) for name in git(*arguments).split(b"\0") if name]


def is_file(path: Path) -> bool:
    """Tell whether a path is what git keeps: a file, or a link to anything or nothing."""
    return path.is_symlink() or path.is_file()


def content(path: Path) -> bytes:
    """Return what git would keep of a file, or of a link."""
    return os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()


def render(source: str, answers_file: str, folder: str) -> dict[str, bytes]:
    """Render what is committed once more; return the content of each file by its name.

    What an update never touches is left out.
    """
    try:
        recorded = yaml.safe_load(git("show", f"HEAD:./{answers_file}"))
    except subprocess.CalledProcessError:
        sys.exit(f"{answers_file} is not committed: commit it, with `git add --force`.")
    copier.run_copy(
        source,
        folder,
        data={name: value for name, value in recorded.items() if not name.startswith("_")},
        answers_file=answers_file,
        vcs_ref=recorded["_commit"],
        exclude=[*SETTINGS["_exclude"], *SETTINGS["_skip_if_exists"]],
        defaults=True,
        quiet=True,
        skip_tasks=True,
        unsafe=True,
    )
    files = filter(is_file, Path(folder).rglob("*"))
    return {path.relative_to(folder).as_posix(): content(path) for path in files}


def first_rendered(rendered: dict[str, bytes], answers_file: str) -> set[str]:
    """Return the names of files that this version has and the last rendering has not.

    Those whose names depend on answers are left out.
    """
    folder = TEMPLATE / "template" / yaml.safe_load(rendered[answers_file])["template"]
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if is_file(path))
    found = {path.removesuffix(".jinja") for path in paths if "{" not in path}
    return found - {*rendered, *SETTINGS["_skip_if_exists"]}


def check(rendered: dict[str, bytes], answers_file: str) -> None:
    """Refuse the update if it would lose edits that git does not have."""
    # H: tracked, and watched for changes. Copier has seen that these are all committed.
    kept = {name[2:] for name in names("ls-files", "-v", "-z") if name.startswith("H ")}
    lost = [
        name
        for name, text in rendered.items()
        if name not in kept and is_file(Path(name)) and content(Path(name)) != text
    ]
    new = first_rendered(rendered, answers_file)
    lost += [name for name in new if name not in kept and is_file(Path(name))]
    if lost:
        sys.exit(
            f"Nothing was updated: git does not keep your changes in {', '.join(sorted(lost))}, and"
            " an update would lose them. Commit them (`git add --force` takes what git ignores,"
            " `git update-index --no-skip-worktree --no-assume-unchanged` has it look again), or"
            " move the files away."
        )


def restore(rendered: dict[str, bytes], deleted: list[str]) -> None:
    """Bring back what the update deleted although it had been edited, and say so."""
    for name in deleted:
        if name in rendered and git("show", f"HEAD:./{name}") != rendered[name]:
            git("restore", "--source=HEAD", "--", name)
            print(
                f"{name} stays, with your changes: the template does not render it any more. Move"
                " them to where they belong now, and delete it.",
                file=sys.stderr,
            )


def main() -> None:
    """Do what is to be done at this stage of an update."""
    stage, source, answers_file = sys.argv[1:]
    deleted = names("diff", "--name-only", "-z", "--diff-filter=D", "--relative", "HEAD", "--", ".")
    if stage == "after" and not deleted:
        return
    with tempfile.TemporaryDirectory() as folder:
        rendered = render(source, answers_file, folder)
    if stage == "before":
        check(rendered, answers_file)
    else:
        restore(rendered, deleted)


if __name__ == "__main__":
    main()
