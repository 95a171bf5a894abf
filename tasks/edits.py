"""Keeps edits of rendered files that an update would delete or overwrite.

Copier deletes files that the new version and answers no longer render, edited or not, and
overwrites files that git does not track. It runs this program twice at each update, in the
repository:

    edits.py before SOURCE ANSWERS_FILE   refuses the update if git does not have an edit
    edits.py after SOURCE ANSWERS_FILE    restores edited files that were deleted, and says so

SOURCE is the address of the template, ANSWERS_FILE the file with the answers of the last run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

TEMPLATE = Path(__file__).resolve().parent.parent
SETTINGS = yaml.safe_load((TEMPLATE / "copier.yml").read_text(encoding="utf-8"))


def git(*arguments: str) -> bytes:
    """Run git and return what it printed."""
    command = ["git", "--literal-pathspecs", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def listed(*arguments: str) -> list[str]:
    """Return the names that git lists; the arguments make it end each in a null byte."""
    return [os.fsdecode(name) for name in git(*arguments).split(b"\0") if name]


def is_file_or_link(path: Path) -> bool:
    """Tell whether git can keep a path: a file, or a link, wherever it leads."""
    return path.is_symlink() or path.is_file()


def content(path: Path) -> bytes:
    """Return the content that git would keep of a file or a link."""
    return os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()


def render(source: str, answers_file: str, folder: str) -> dict[str, bytes]:
    """Render the committed answers once more; return the content of each file by its name.

    Files that an update never touches are left out.
    """
    # Imported here, so that nobody waits for it after an update that deleted nothing.
    import copier

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
    files = filter(is_file_or_link, Path(folder).rglob("*"))
    return {path.relative_to(folder).as_posix(): content(path) for path in files}


def first_rendered(rendered: dict[str, bytes], answers_file: str) -> set[str]:
    """Return the names of files that this version renders for the first time.

    Files whose names depend on answers are left out.
    """
    folder = TEMPLATE / "template" / yaml.safe_load(rendered[answers_file])["template"]
    paths = (
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if is_file_or_link(path)
    )
    found = {path.removesuffix(".jinja") for path in paths if "{" not in path}
    return found - {*rendered, *SETTINGS["_skip_if_exists"]}


def check(rendered: dict[str, bytes], answers_file: str) -> None:
    """Refuse the update if it would lose edits that git does not have."""
    # H: tracked, and watched for changes. Copier has checked that all of these are committed.
    committed = {name[2:] for name in listed("ls-files", "-v", "-z") if name.startswith("H ")}
    lost = [
        name
        for name, text in rendered.items()
        if name not in committed and is_file_or_link(Path(name)) and content(Path(name)) != text
    ]
    new = first_rendered(rendered, answers_file)
    lost += [name for name in new if name not in committed and is_file_or_link(Path(name))]
    if lost:
        sys.exit(
            f"Nothing was updated: git does not keep your changes in {', '.join(sorted(lost))}, and"
            " an update would lose them. Commit them (`git add --force` takes what git ignores,"
            " `git update-index --no-skip-worktree --no-assume-unchanged` makes it look again), or"
            " move the files away."
        )


def restore(rendered: dict[str, bytes], deleted: list[str]) -> None:
    """Restore edited files that the update deleted, and name them."""
    for name in deleted:
        if name in rendered and git("show", f"HEAD:./{name}") != rendered[name]:
            git("restore", "--source=HEAD", "--", name)
            print(
                f"{name} stays, with your changes: the template no longer renders it. Move them to"
                " where they belong now, and delete it.",
                file=sys.stderr,
            )


def main() -> None:
    """Check before an update, restore after it."""
    stage, source, answers_file = sys.argv[1:]
    deleted = listed(
        "diff", "--name-only", "-z", "--diff-filter=D", "--relative", "HEAD", "--", "."
    )
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
