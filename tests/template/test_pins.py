"""What the rendered repositories pin is kept fresh by a bot, and CI scans their images."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kit.template import ROOT, Render

# Which files each of Dependabot's ecosystems reads in its directory.
DEPENDABOT = {
    "docker": r"(?i)^[^/]*dockerfile[^/]*$",
    "docker-compose": r"(?i)^(docker-)?compose(-\w+)?(\.[\w-]+)?\.ya?ml$",
    "pip": r"^[^/]*\.(txt|in)$",
    "github-actions": r"^\.github/workflows/[^/]+\.ya?ml$",
}
# Which files each of Renovate's managers reads by itself.
RENOVATE = {
    "dockerfile": r"(^|/|\.)([Dd]ocker|[Cc]ontainer)file$",
    "docker-compose": r"(^|/)(?:docker-)?compose[^/]*\.ya?ml$",
    "pip_requirements": r"(^|/)[\w-]*requirements([-._]\w+)?\.(txt|pip)$",
    "gitlabci": r"\.gitlab-ci\.ya?ml$",
}
PINS = {
    "image": r"^\s*(?:FROM|-?\s*image:|services:)\s.*?\b([\w./-]+:[\w.-]*\d[\w.-]*)",
    "requirement": r"^([A-Za-z0-9][\w.-]*(?:\[\w+\])?==\d+(?:\.\d+)*)(?![.\w*])",
    "action": r"uses:\s*(\S+@[0-9a-f]{40})",
}


def pins(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the file and the text of each image, requirement and action that is pinned."""
    for path in sorted(folder.rglob("*")):
        file = path.relative_to(folder).as_posix()
        if path.is_file() and re.search(r"file$|\.(ya?ml|txt|in)$", file, re.I):
            for line in path.read_text().splitlines():
                for pattern in PINS.values():
                    if (found := re.match(pattern, line)) or (found := re.search(pattern, line)):
                        yield file, found[1]


def test_the_pins_that_this_looks_for_are_found(render: Render) -> None:
    found = {pin for _, pin in pins(render({"template": "server", "ci": "gitlab"}))}

    assert {"caddy:2.11.7-alpine", "pypiserver==2.4.2", "docker:28.5-dind"} <= found
    assert any(pin.startswith("python:3.") for pin in found)
    actions = {pin for _, pin in pins(render({"template": "server", "ci": "github"}))}
    assert any(pin.startswith("actions/checkout@") for pin in actions)


def test_the_pip_that_knows_the_cooldown_is_the_one_that_the_tests_run() -> None:
    text = (ROOT / "template/client/tools/install.py").read_text()
    found = re.search(r'"(pip==[\d.]+)"', text)

    assert found
    assert f"\n{found[1]} " in (ROOT / "requirements/test.txt").read_text()


@pytest.mark.parametrize("kind", ["server", "client"])
def test_dependabot_reads_every_file_that_pins_something(render: Render, kind: str) -> None:
    folder = render({"template": kind, "ci": "github"})
    updates = yaml.safe_load((folder / ".github/dependabot.yml").read_text())["updates"]
    assert {update["package-ecosystem"] for update in updates} <= DEPENDABOT.keys()

    def covered(file: str) -> bool:
        return any(
            re.search(DEPENDABOT[update["package-ecosystem"]], below)
            for update in updates
            if (below := relative(file, update["directory"]))
        )

    found = list(pins(folder))
    assert found
    assert [pin for pin in found if not covered(pin[0])] == []


def relative(file: str, directory: str) -> str:
    """Return a file's path below one of Dependabot's directories, empty if it is not in there."""
    start = directory.strip("/")
    if start and not file.startswith(f"{start}/"):
        return ""
    below = file.removeprefix(f"{start}/")
    return below if below.startswith(".github/") or "/" not in below else ""


@pytest.mark.parametrize("kind", ["server", "client"])
def test_renovate_reads_every_file_that_pins_something(render: Render, kind: str) -> None:
    folder = render({"template": kind, "ci": "gitlab"})
    config: dict[str, Any] = json.loads((folder / "renovate.json").read_text())
    patterns = [
        pattern
        for manager, usual in RENOVATE.items()
        if config.get(manager, {}).get("enabled", True)
        for pattern in [usual, *map(bare, config.get(manager, {}).get("managerFilePatterns", []))]
    ]

    found = list(pins(folder))
    assert found
    assert [pin for pin in found if not any(re.search(p, pin[0]) for p in patterns)] == []


@pytest.mark.parametrize("tool", ["poetry", "uv"])
def test_renovate_finds_the_versions_of_the_tools(render: Render, tool: str) -> None:
    folder = render({"template": "client", "ci": "gitlab", "package_manager": tool})
    pinned = re.findall(
        r'^  ([A-Z]+)_VERSION: "(\d+(?:\.\d+)+)"$', (folder / ".gitlab-ci.yml").read_text(), re.M
    )

    found = [
        (manager["depNameTemplate"].upper(), match["currentValue"])
        for manager, match in found_by_custom_managers(folder, "pypi")
    ]
    assert sorted(found) == sorted(pinned)
    assert {name for name, _ in found} == {tool.upper(), "TWINE", "UV"}


@pytest.mark.parametrize("digest", ["", f"@sha256:{'0' * 64}"], ids=["tag", "digest"])
@pytest.mark.parametrize("kind", ["server", "client"])
def test_renovate_finds_the_images_of_the_scanners_and_pins_their_digests(
    repository: Render, kind: str, digest: str
) -> None:
    folder = repository({"template": kind, "ci": "gitlab"})
    ci = folder / ".gitlab-ci.yml"
    ci.write_text(re.sub(r"(_IMAGE: \S+)", rf"\g<1>{digest}", ci.read_text()))
    pinned = re.findall(r"^  [A-Z]+_IMAGE: (\S+)$", ci.read_text(), re.M)
    assert [re.sub(":.*", "", image) for image in pinned] == ["anchore/syft", "anchore/grype"]

    found = found_by_custom_managers(folder, "docker")

    assert pinned == [f"{match['depName']}:{match['currentValue']}{digest}" for _, match in found]
    for manager, match in found:
        assert match["currentDigest"] == (digest.removeprefix("@") or None)
        # What it writes in place of what it found.
        assert match[0] == f"_IMAGE: {match['depName']}:{match['currentValue']}{digest}"
        assert manager["autoReplaceStringTemplate"] == (
            "_IMAGE: {{{depName}}}:{{{newValue}}}{{#if newDigest}}@{{{newDigest}}}{{/if}}"
        )
    assert "docker:pinDigests" in json.loads((folder / "renovate.json").read_text())["extends"]


def found_by_custom_managers(
    folder: Path, datasource: str
) -> list[tuple[dict[str, Any], re.Match[str]]]:
    """Return each of Renovate's custom managers for one source, with each pin that it finds."""
    text = (folder / ".gitlab-ci.yml").read_text()
    found = []
    for manager in json.loads((folder / "renovate.json").read_text())["customManagers"]:
        assert re.search(bare(manager["managerFilePatterns"][0]), ".gitlab-ci.yml")
        if manager["datasourceTemplate"] == datasource:
            (pattern,) = manager["matchStrings"]
            matches = re.finditer(pattern.replace("(?<", "(?P<"), text)
            found += [(manager, match) for match in matches]
    return found


IMAGES = {"server": ["gateway", "private_pypi", "attestations"], "client": [""]}
"""Of which services an SBOM is made; where there is one alone, it has no name."""


@pytest.mark.parametrize("kind", ["server", "client"])
def test_github_scans_the_images_each_week_in_a_job_that_knows_no_secret(
    render: Render, kind: str
) -> None:
    folder = render({"template": kind, "ci": "github"})
    (path,) = (folder / ".github/workflows").iterdir()
    workflow = yaml.safe_load(path.read_text())
    jobs = workflow["jobs"]
    builder = {"server": "check", "client": "image"}[kind]
    files = [f"{service or 'sbom'}.spdx.json" for service in IMAGES[kind]]

    made = [step["with"] for step in jobs[builder]["steps"] if "sbom-action@" in str(step)]
    (kept,) = (step for step in jobs[builder]["steps"] if "upload-artifact@" in str(step))
    assert [each["output-file"] for each in made] == files
    assert all(Path(file).match(kept["with"]["path"]) for file in files)
    assert kept["with"]["if-no-files-found"] == "error"

    scan = jobs["scan"]
    (scanner,) = (step["with"] for step in scan["steps"] if "scan-action@" in str(step))
    assert scan["needs"] == builder
    assert scan["permissions"] == {"contents": "read"}
    assert "secrets." not in str(scan)
    assert "environment" not in scan
    services = scan["strategy"]["matrix"]["service"] if kind == "server" else [""]
    assert services == IMAGES[kind]
    assert [scanner["sbom"].replace("${{ matrix.service }}", name) for name in services] == files
    assert (scanner["severity-cutoff"], scanner["only-fixed"]) == ("high", True)
    assert scanner.get("fail-build", True) is True
    assert not any("scan" in str(job.get("needs")) for job in jobs.values())
    # YAML takes the key `on` for a truth value.
    assert re.fullmatch(r"\d+ \d+ \* \* \d", workflow[True]["schedule"][0]["cron"])


@pytest.mark.parametrize("kind", ["server", "client"])
def test_gitlab_scans_the_images_in_a_job_that_knows_no_secret(render: Render, kind: str) -> None:
    pipeline = yaml.safe_load(
        (render({"template": kind, "ci": "gitlab"}) / ".gitlab-ci.yml").read_text()
    )
    builder = {"server": "check", "client": "build"}[kind]

    (made,) = (line for line in pipeline[builder]["script"] if '"$SYFT_IMAGE"' in line)
    assert re.search(r'--output spdx-json > "?(\$service|sbom)\.spdx\.json"?', made)
    (kept,) = pipeline[builder]["artifacts"]["paths"]
    assert Path("sbom.spdx.json").match(kept)

    scan = pipeline["scan"]
    (scanner,) = scan["script"]
    assert '"$GRYPE_IMAGE"' in scanner
    assert re.search(r'\.spdx\.json"? --fail-on high --only-fixed$', scanner)
    assert scan["needs"] == [builder]
    assert not scan.keys() & {"environment", "extends", "allow_failure"}
    assert "PASSWORD" not in str(scan)
    if kind == "server":
        assert scan["parallel"]["matrix"] == [{"SERVICE": IMAGES[kind]}]
    else:
        # Later than what publishes, so that a release does not wait for it.
        assert pipeline["stages"][-1] == scan["stage"] == "scan"
        assert pipeline["publish"]["stage"] != "scan"


@pytest.mark.docker
def test_ci_scans_the_images_that_compose_runs(render: Render) -> None:
    for ci, file in (("gitlab", ".gitlab-ci.yml"), ("github", ".github/workflows/ci.yml")):
        client = render({"template": "client", "project_name": "ours", "ci": ci})
        command = ["docker", "compose", "config", "--images"]
        done = subprocess.run(command, cwd=client, capture_output=True, text=True, check=True)
        assert f"docker:{done.stdout.strip()}" in (client / file).read_text().split()

    server = render({"template": "server", "project_name": "ours", "ci": "github"})
    steps = yaml.safe_load((server / ".github/workflows/check.yml").read_text())["jobs"]["check"]
    (step,) = (step for step in steps["steps"] if step.get("id") == "images")
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]],
        cwd=server,
        env={**os.environ, "GITHUB_OUTPUT": "/dev/stdout"},
        capture_output=True,
        text=True,
        check=True,
    )
    image = yaml.safe_load((server / "docker-compose.pypi.yml").read_text())["services"]["gateway"]
    assert done.stdout.splitlines() == [
        f"gateway={image['image']}",
        "private_pypi=ours/private_pypi",
        "attestations=ours/attestations",
    ]


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_ci_lists_and_scans_every_image_of_the_server_and_builds_all_that_it_scans(
    render: Render, ci: str
) -> None:
    server = render({"template": "server", "unknown_packages": "mirror", "ci": ci})
    services = yaml.safe_load((server / "docker-compose.pypi.yml").read_text())["services"]
    file = {"github": ".github/workflows/check.yml", "gitlab": ".gitlab-ci.yml"}[ci]
    text = yaml.safe_load((server / file).read_text())
    if ci == "github":
        lines = [step.get("run", "") for step in text["jobs"]["check"]["steps"]]
    else:
        lines = text["check"]["script"]

    (listed,) = re.findall(r"for service in (.+); do", "\n".join(lines))
    images = {services[name]["image"] for name in listed.split()}
    assert listed.split() == IMAGES["server"]
    assert images == {service["image"] for service in services.values()}
    # Without its profile, Compose neither builds nor knows a service that no launch starts.
    (built,) = (line for line in lines if line.endswith(" build"))
    profiles = {one for name in listed.split() for one in services[name].get("profiles", [])}
    assert {*re.findall(r"--profile (\S+)", built)} == profiles


def bare(pattern: str) -> str:
    """Return a pattern without the slashes that Renovate puts around regular expressions."""
    assert pattern.startswith("/")
    assert pattern.endswith("/")
    return pattern[1:-1]
