"""A server rendered with unknown_packages=mirror: one container more, and all that surrounds it."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kit.commands import ask, output, run
from kit.copier_command import succeed
from kit.git import commit, git
from kit.template import QUESTIONS, Answers, Render
from packaging.requirements import Requirement

MODES = list(QUESTIONS["https"]["choices"].values())
MIRROR: Answers = {"template": "server", "unknown_packages": "mirror"}
TARGETS = ["pypi-policy", "pypi-fetch", "pypi-names"]


def services(folder: Path) -> dict[str, Any]:
    """Return the services of the compose file."""
    parsed = yaml.safe_load((folder / "docker-compose.pypi.yml").read_text())
    assert isinstance(parsed["services"], dict)
    return parsed["services"]


def mounted(service: dict[str, Any]) -> dict[str, str]:
    """Return what a container has, and where; read-only things end in `:ro`."""
    return dict(volume.split(":", 1) for volume in service.get("volumes", []))


@pytest.mark.parametrize("mode", MODES)
def test_public_is_confined_and_alone(render: Render, mode: str) -> None:
    found = services(render({**MIRROR, "https": mode}))
    public = found.pop("public")

    assert public["read_only"] is True
    assert public["cap_drop"] == ["ALL"]
    assert "cap_add" not in public
    assert public["security_opt"] == ["no-new-privileges:true"]
    assert public["user"] == "${PYPI_UID:-1000}:${PYPI_GID:-1000}"
    assert public["mem_limit"] == "512m"
    assert public["pids_limit"] <= 128
    assert public["networks"] == ["public"]
    assert "ports" not in public
    for name, service in found.items():
        if name not in ("gateway", "keys", "ids", "attestations"):
            assert service["network_mode"] == "none"
        assert "public" not in service.get("networks", [])
        assert "public" not in service.get("depends_on", [])
        shared = mounted(service).keys() & mounted(public).keys()
        assert shared == {"gateway": {"public_socket"}, "ownership": {"./public_data"}}.get(
            name, set()
        )
    assert mounted(public) == {
        "./public": "/etc/public:ro",
        "./public_data": "/srv/public_data",
        "public_socket": "/run/public",
    }
    assert mounted(found["gateway"])["public_socket"] == "/run/public:ro"
    assert mounted(found["gateway"])["./public_data/public"] == "/srv/public_data/public"


def test_what_sorts_out_private_names_knows_the_url_of_the_index(render: Render) -> None:
    found = services(render({**MIRROR, "pypi_url": "pypi.acme.test"}))

    theirs = found["private_pypi"]["environment"]["PYPI_URL"]
    assert theirs == "https://${pypi_url:-pypi.acme.test}"
    assert theirs == found["web"]["environment"]["PYPI_URL"]


@pytest.mark.parametrize("mode", MODES)
def test_the_checkers_find_nothing(render: Render, mode: str) -> None:
    folder = render({**MIRROR, "https": mode})

    lint = ("compose-lint", "check", "--strict-config", "--fail-on", "low")
    output(*lint, "docker-compose.pypi.yml", cwd=folder)
    output("hadolint", "private_pypi/Dockerfile", cwd=folder)
    command = ("caddy", "adapt", "--config", "gateway/Caddyfile", "--adapter", "caddyfile")
    assert "/run/public/http.sock" in output(*command, cwd=folder)


@pytest.mark.parametrize("answer", ["redirect", "refuse"])
def test_a_server_without_a_mirror_has_nothing_of_it(render: Render, answer: str) -> None:
    folder = render({**MIRROR, "unknown_packages": answer})

    assert "public" not in services(folder)
    assert "public" not in (folder / "docker-compose.pypi.yml").read_text()
    assert "run/public" not in (folder / "gateway/Caddyfile").read_text()
    assert not [target for target in TARGETS if target in (folder / "Makefile").read_text()]
    environment = {**os.environ, "PYTHONPATH": "private_pypi", "PYTHONDONTWRITEBYTECODE": "1"}
    for command in (["public", "serve"], ["names-on-pypi"]):
        program = (sys.executable, "-m", "private_pypi", *command)
        said = run(*program, cwd=folder, environment=environment, ok=False)
        assert "invalid choice" in said


def test_make_lists_the_commands_of_a_mirror_and_the_readme_names_them(render: Render) -> None:
    folder = render(MIRROR)

    listed = output("make", cwd=folder)
    readme = (folder / "README.md").read_text()

    for target in TARGETS:
        assert f"  {target} " in listed
        assert f"make {target}" in readme
    for target in set(re.findall(r"make ((?:pypi|template)-[a-z-]+)", readme)):
        assert f"  {target} " in listed
    for path in re.findall(r"^\| `([^`]+/|\.pypi\.env)` \|", readme, re.M):
        assert (folder / path).exists(), path


@pytest.mark.parametrize(
    ("target", "said"),
    [("pypi-policy", "PKG=name"), ("pypi-fetch", "REQUIREMENTS=requirements.txt")],
)
def test_a_command_without_its_argument_says_which(
    render: Render, target: str, said: str, tmp_path: Path
) -> None:
    folder = tmp_path / "server"
    shutil.copytree(render(MIRROR), folder)
    # Only the argument is looked at.
    with (folder / "Makefile").open("a") as makefile:
        makefile.write("\nimage: ;\n")

    done = ask("make", target, cwd=folder)

    assert done.returncode != 0
    assert f"make {target} {said}" in done.stderr


def test_the_requirements_of_public_are_pinned_with_hashes(render: Render) -> None:
    folder = render(MIRROR) / "private_pypi"
    lines = (folder / "requirements-public.txt").read_text().replace("\\\n", "").splitlines()
    asked_for = [
        line
        for line in (folder / "requirements-public.in").read_text().splitlines()
        if not line.startswith(("#", "-c "))
    ]

    assert all("==" in line and "--hash=sha256:" in line for line in lines)
    pinned = {Requirement(line.split(" --hash")[0]).name for line in lines}
    assert pinned > {Requirement(line).name for line in asked_for} >= {"starlette", "uvicorn"}
    dockerfile = (folder / "Dockerfile").read_text()
    assert "--requirement requirements-public.txt" in dockerfile
    assert "!requirements-public.txt" in (folder / ".dockerignore").read_text()


def test_an_update_merges_the_policy_and_brings_the_mirror_when_it_is_chosen(
    template: Path, tmp_path: Path
) -> None:
    versions, ours = tmp_path / "versions", tmp_path / "ours"
    shutil.copytree(template, versions, symlinks=True)
    commit(versions, "First")
    git(versions, "tag", "v0.1.0")
    (policy,) = versions.rglob("public_policy.toml.jinja")
    policy.write_text(f"# New in v0.2.0.\n{policy.read_text()}")
    commit(versions, "Second")
    git(versions, "tag", "v0.2.0")
    copy = ["copy", "--trust", "--defaults", "--vcs-ref=v0.1.0", "--data", "template=server"]
    succeed(*copy, versions, ours, cwd=tmp_path)
    commit(ours, "Render")
    update = ["update", "--trust", "--defaults"]
    mirror = ["--data", "unknown_packages=mirror", "--data", "cooldown_days=3"]
    succeed(*update, "--vcs-ref=v0.1.0", *mirror, cwd=ours)
    edited = ours / "public/public_policy.toml"
    assert "\ncooldown_days = 3\n" in edited.read_text()
    block = '\n[[block]]\nname = "colourama"\nreason = "imitates colorama"\n'
    edited.write_text(edited.read_text() + block)
    git(ours, "add", "--all")
    commit(ours, "Mirror, and block")
    kept = ours / "public_data/public/their-lib/x.whl"
    kept.parent.mkdir(parents=True)
    kept.write_text("a wheel")
    assert git(ours, "status", "--porcelain") == ""

    succeed(*update, cwd=ours)

    text = edited.read_text()
    assert text.startswith("# New in v0.2.0.\n")
    assert text.endswith(block)
    assert "\ncooldown_days = 3\n" in text
    assert kept.read_text() == "a wheel"
