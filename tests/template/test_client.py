"""The rendered client, parsed, linted and run as far as that goes without a server."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli
import yaml
from kit.commands import output
from kit.git import commit, git
from kit.template import PASSWORD, QUESTIONS, ROOT, Answers, Render
from kit.ways import WAYS, name_of
from packaging.specifiers import SpecifierSet
from tools.doctor.here import allows, numbers
from tools.publish import release_of
from tools.settings import Settings

ACCOUNT = {"index_user": "ci@acme", "index_password": PASSWORD}


@pytest.fixture(params=WAYS, ids=name_of)
def way(request: pytest.FixtureRequest) -> Answers:
    """Each way to answer, once."""
    answers: Answers = request.param
    return answers


def refused(*command: str, cwd: Path, **settings: str) -> str:
    """Run a program that must fail, without a traceback, and return its errors."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


def stages(folder: Path) -> list[str]:
    """Return the text of each stage of the Dockerfile."""
    return re.split(r"^(?=FROM )", (folder / "Dockerfile").read_text(), flags=re.M)[1:]


def project(folder: Path) -> dict[str, Any]:
    """Return the parsed pyproject.toml."""
    return tomli.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def test_credentials_are_known_to_the_build_stage_alone(render: Render, way: Answers) -> None:
    *first, build, final = stages(render(way))
    assert len(first) == (not way["locked"])
    assert ("ARG PIP_EXTRA_INDEX_URL" in build) is (way["build_credentials"] == "arg")
    assert ("type=secret,id=pypi_env,required=true" in build) is (
        way["build_credentials"] == "secret"
    )
    for word in ("ARG", "INDEX", "secret", "pypi.env", "COPY . "):
        assert all(word not in stage for stage in (*first, final))
    # BuildKit prints a RUN line with the values of the variables that it names.
    assert not re.search(r"\$\{?PIP_", build)


def test_the_app_does_not_run_as_root(render: Render, way: Answers) -> None:
    final = stages(render(way))[-1]
    assert re.findall(r"^USER (.+)$", final, re.M) == ["10001"]


def test_compose_hands_credentials_to_the_build_and_not_to_the_container(
    render: Render, way: Answers
) -> None:
    parsed = yaml.safe_load((render(way) / "docker-compose.yml").read_text())
    app = parsed["services"]["app"]
    assert "env_file" not in app
    assert "environment" not in app
    assert app["read_only"] is True
    assert app["cap_drop"] == ["ALL"]
    if way["build_credentials"] == "arg":
        assert app["build"]["args"] == {"PIP_EXTRA_INDEX_URL": "${PIP_EXTRA_INDEX_URL:-}"}
        assert "secrets" not in parsed
    else:
        assert app["build"]["secrets"] == ["pypi_env"]
        assert parsed["secrets"] == {"pypi_env": {"file": "./.pypi.env"}}
        assert "args" not in app["build"]


def test_what_docker_must_not_see_is_ignored(render: Render) -> None:
    ignored = (render({"template": "client"}) / ".dockerignore").read_text().split()
    for name in (".pypi.env", ".env", ".git", ".venv"):
        assert any(line.lstrip("*/").rstrip("*") == name for line in ignored), name


def test_the_env_file_reads_the_same_in_a_shell_and_holds_one_account(render: Render) -> None:
    folder = render({"template": "client", "index_name": "acme-py", **ACCOUNT})
    assert (folder / ".pypi.env").stat().st_mode & 0o777 == 0o600
    script = """. ./.pypi.env; printf '%s\\n' "$PIP_EXTRA_INDEX_URL" \
        "$POETRY_HTTP_BASIC_ACME_PY_USERNAME" "$POETRY_HTTP_BASIC_ACME_PY_PASSWORD" \
        "$UV_INDEX_ACME_PY_USERNAME" "$UV_INDEX_ACME_PY_PASSWORD" """
    url, *accounts = output("sh", "-euc", script, cwd=folder).splitlines()
    assert accounts == ["ci@acme", PASSWORD] * 2
    encoded = "p%40%3A%2F%23%3F%25%24%26%21%22%3B%60x%60%24HOME%2541"
    assert url == f"https://ci%40acme:{encoded}@pypi.example.com/simple/"


def test_login_writes_what_the_template_renders(render: Render, tmp_path: Path) -> None:
    answers = {"template": "client", "index_name": "acme-py", "pypi_url": "http://127.0.0.1:1/x"}
    rendered = render({**answers, **ACCOUNT})
    folder = tmp_path / "client"
    shutil.copytree(render(answers), folder, symlinks=True)
    assert not (folder / ".pypi.env").exists()
    said = subprocess.run(
        ["make", "login", "ARGS=--no-check"],
        cwd=folder,
        env={**os.environ, "INDEX_USER": ACCOUNT["index_user"]},
        input=f"{PASSWORD}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert PASSWORD not in said.stdout + said.stderr
    assert (folder / ".pypi.env").read_bytes() == (rendered / ".pypi.env").read_bytes()
    assert (folder / ".pypi.env").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("user", "password", "sentence"),
    [
        ("ci", "", "Type 1 to 4095 characters; this password has 0. Nothing was written."),
        ("a:b", PASSWORD, "The user name needs 1 to 64 letters"),
        ("ci", PASSWORD, "Nothing listens on 127.0.0.1:1: check the port"),
    ],
    ids=["password", "user", "server"],
)
def test_login_refuses_what_cannot_work_and_writes_nothing(
    repository: Render, user: str, password: str, sentence: str
) -> None:
    folder = repository({"template": "client", "pypi_url": "http://127.0.0.1:1"})
    done = subprocess.run(
        ["make", "login"],
        cwd=folder,
        env={**os.environ, "INDEX_USER": user},
        input=f"{password}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert git(folder, "status", "--short", "--ignored") == ""


@pytest.mark.parametrize("target", ["login", "install", "build", "publish", "upload"])
def test_a_missing_certificate_is_named_with_the_command_that_prints_it(
    repository: Render, target: str
) -> None:
    folder = repository({"template": "client", "ca_certificate": "certs/ca.pem", **ACCOUNT})
    done = subprocess.run(
        ["make", target], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    sentence, *rest = done.stderr.splitlines()
    assert sentence == (
        "error: there is no certs/ca.pem: 'make -s pypi-ca' in the server's repository prints it."
    )
    assert all(line.startswith("make: ") for line in rest)
    assert done.stdout == ""
    assert git(folder, "status", "--short") == ""


@pytest.mark.parametrize("certificate", ["ca.crt", "certs/ca.pem"])
def test_the_certificate_is_in_git_and_in_the_build_stage_alone(
    repository: Render, certificate: str
) -> None:
    folder = repository({"template": "client", "ca_certificate": certificate})
    (folder / certificate).parent.mkdir(exist_ok=True)
    (folder / certificate).write_text("PEM\n")
    (folder / ".ca-bundle.pem").write_text("PEM\n")
    assert git(folder, "status", "--short", "--untracked-files=all") == f"?? {certificate}\n"
    *_, build, final = stages(folder)
    assert f"COPY {certificate} .\n" in build
    for word in ("PIP_CERT", ".crt", ".pem"):
        assert word not in final
    output("hadolint", "Dockerfile", cwd=folder)


def test_without_an_authority_nobody_is_bothered_with_one(
    render: Render, way: dict[str, str]
) -> None:
    folder = render({**way, **ACCOUNT})
    for path in folder.rglob("*"):
        # tools/ is the same for everybody.
        if path.is_file() and path.name != ".copier-answers.yml" and path.parent.name != "tools":
            text = path.read_text()
            for word in ("ca-bundle", "need-trust", "ca_certificate", "ca-certificate", "pypi-ca"):
                assert word not in text, path


def test_pins_are_the_same_wherever_they_stand(render: Render) -> None:
    asked = ["my-private-lib", "other==2.*", "third[x]>=1,<3"]
    folder = render({"template": "client", "private_packages": asked})
    listed = (folder / "requirements.txt").read_text().splitlines()
    pins = [line for line in listed if not line.startswith("#")]
    assert pins == ["my-private-lib==0.*", "other==2.*", "third[x]<3,>=1"]
    assert project(folder)["project"]["dependencies"] == pins


def test_the_tools_take_what_is_private_and_required_from_pyproject(repository: Render) -> None:
    folder = repository({"template": "client", "private_packages": ["B_c.d", "my-private-lib"]})
    text = (folder / "pyproject.toml").read_text()
    more = ["requests (>=2,<3)", "a[x] ( == 1.* ) ; os_name == 'posix'", "D", "e@ https://f/g.whl"]
    required = "".join(f'    "{requirement}",\n' for requirement in more)
    (folder / "pyproject.toml").write_text(
        text.replace("dependencies = [\n", f"dependencies = [\n{required}")
    )
    program = "from tools.settings import Settings as s; print(*s.load().projects)"

    read = output(sys.executable, "-c", program, cwd=folder).split()

    assert read == ["b-c-d", "my-private-lib", "requests", "a", "d", "e"]


TABLE = "[tool.private-index] in pyproject.toml"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name = "private"\n', "", f"{TABLE} lacks name, or"),
        ("[tool.private-index]", "[tool.private-indexes]", f"{TABLE} lacks credentials, locked, "),
        ('strategy = "single"', 'strategie = "single"', f"{TABLE} lacks strategy, or"),
        ("locked = false", 'locked = "false"', f"{TABLE} lacks locked, or"),
        ("packages = [", "packages = true # [", f"{TABLE} lacks packages, or"),
        ('strategy = "single"', "strategy = single", "pyproject.toml cannot be read: Invalid"),
    ],
    ids=["lacking", "no table", "misspelled", "wrong type", "no list", "no TOML"],
)
def test_a_table_that_cannot_be_read_is_named_with_the_reason(
    repository: Render, old: str, new: str, reason: str
) -> None:
    folder = repository({"template": "client"})
    head, table, tail = (folder / "pyproject.toml").read_text().partition("[tool.private-index]")
    (folder / "pyproject.toml").write_text(head + (table + tail).replace(old, new, 1))

    said = refused("make", "need-credentials", cwd=folder)

    assert said.startswith(reason)


@pytest.mark.parametrize(
    ("name", "version", "files", "asked"),
    [
        ("app", "1.0", "app-1.0-py3-none-any.whl app-1.0.tar.gz", False),
        ("app", "1.0", "", False),
        ("app", "1.0-alpha.1", "app-1.0a1-py3-none-any.whl app-1.0a1.tar.gz", True),
        ("app", "1.0", "app-1.0-py3-none-any.whl app-1.0.1.tar.gz", True),
        ("app", "", "app-1.0.tar.gz", True),
        ("", "1.0", "app-1.0.tar.gz", True),
    ],
)
def test_the_tool_is_asked_for_a_release_where_it_may_write_it_in_another_way(
    name: str, version: str, files: str, asked: bool
) -> None:
    settings = Settings(
        name="private",
        url="",
        publish_url="",
        packages=(),
        prefixes=(),
        strategy="single",
        manager="poetry",
        locked=False,
        cooldown_days=0,
        credentials="arg",
        ca_certificate="",
        project=name,
        version=version,
        python="",
        required=(),
        trusted_publishing=False,
    )
    tool = [sys.executable, "-c", "print('told 9.9')"]

    found = release_of(settings, tool, [Path(file) for file in files.split()])

    assert found == (["told", "9.9"] if asked else [name, version])


def test_a_tool_whose_python_is_gone_is_named(repository: Render) -> None:
    folder = repository({"template": "client", **ACCOUNT})
    script = folder / "poetry"
    script.write_text("#!/nowhere/python\n")
    script.chmod(0o755)
    (folder / "dist").mkdir()
    (folder / "dist/other-1.0.tar.gz").touch()

    said = refused("make", "upload", f"POETRY={script}", cwd=folder)

    assert f"{script} cannot be used: No such file or directory." in said


@pytest.mark.parametrize("version", ["3.11.0", "3.12.4", "3.13.0", "3.13.1"])
@pytest.mark.parametrize(
    "bounds",
    [
        *("", "<4", ">=3.12", ">= 3.12.4, <3.13", ">3.12", ">3.13.0", "<=3.12", "<=3.13"),
        *("<3.13.1", "~=3.12", "~=3.12.4", "==3.12.*", "==3.12.4", "==3.13", "!=3.12.*"),
        *("!=3.13", "!=3.13.1,>=3.11"),
    ],
)
def test_the_doctor_reads_bounds_of_python_as_packaging_does(bounds: str, version: str) -> None:
    assert allows(bounds, numbers(version)) is SpecifierSet(bounds).contains(version)


def test_a_python_without_tomllib_is_named_with_what_to_do(
    repository: Render, tmp_path: Path
) -> None:
    folder = repository({"template": "client"})
    hides = "import sys; sys.modules['tomllib'] = None; sys.path.insert(0, sys.argv[1]); "
    runs = "import runpy; sys.argv = sys.argv[1:]; runpy.run_path('tools', run_name='__main__')"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{hides}{runs}" "$@"\n')
    python.chmod(0o755)

    said = refused("make", "login", f"PYTHON={python}", cwd=folder)

    assert re.match(
        r"error: python\S* is older than Python 3\.11: say which to use with PYTHON=\n", said
    )


def test_no_module_of_the_app_takes_the_place_of_one_of_pythons(repository: Render) -> None:
    folder = repository({"template": "client"})
    for name in ("json.py", "email.py", "tools.py", "index.py", "src/json.py"):
        (folder / name).write_text("raise SystemExit('The app was run.')\n")

    said = refused("make", "need-credentials", cwd=folder)

    assert said.startswith("No credentials for the private index: run `make login` first.")


TOOLS = ROOT / "template/client/tools"
LONGEST = 2400


def test_the_tools_stay_small_and_are_the_same_in_every_repository() -> None:
    names = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", str(TOOLS))
    files = [ROOT / name for name in names.split("\0") if name]

    assert sum(len(path.read_text().splitlines()) for path in files) <= LONGEST
    assert not [path for path in files if path.suffix == ".jinja" or "{" in str(path)]
    assert (TOOLS / "README.md") in files


def test_the_tools_are_out_of_the_owners_linter_and_of_the_statistics(repository: Render) -> None:
    folder = repository({"template": "client"})
    (folder / "tools/bad.py").write_text("import os, sys\nx = {  }\n")
    output("ruff", "check", "--no-cache", ".", cwd=folder)
    output("ruff", "format", "--no-cache", "--check", ".", cwd=folder)
    said = git(folder, "check-attr", "linguist-vendored", "tools/bad.py", "tools/doctor/here.py")
    assert said.count("linguist-vendored: set") == 2
    # What the owners call so is their own.
    (folder / "src/my_app/tools").mkdir()
    (folder / "tools/bad.py").rename(folder / "src/my_app/tools/bad.py")
    refused("ruff", "check", "--no-cache", ".", cwd=folder)


def test_every_tool_knows_the_index_by_one_name(render: Render, way: Answers) -> None:
    answers = {"index_name": "acme", "pypi_url": "https://pypi.acme.test:8443/team/simple/"}
    folder = render({**way, **answers})
    tool = project(folder)["tool"]
    base = "https://pypi.acme.test:8443/team"
    alone = way["index_strategy"] == "single"
    assert tool["private-index"]["name"] == "acme"
    assert tool["private-index"]["url"] == f"{base}/simple/"
    assert tool["private-index"]["publish-url"] == f"{base}/"
    if way["package_manager"] == "poetry":
        assert "uv" not in tool
        assert tool["poetry"]["source"] == [
            {
                "name": "acme",
                "url": f"{base}/simple/",
                "priority": "primary" if alone else "explicit",
            }
        ]
        poetry = tomli.loads((folder / "poetry.toml").read_text())
        assert poetry["repositories"]["acme"]["url"] == f"{base}/"
        pins = tool["poetry"].get("dependencies")
        assert pins == (None if alone else {"my-private-lib": {"source": "acme"}})
        return
    assert "poetry" not in tool
    assert not (folder / "poetry.toml").exists()
    assert tool["uv"]["index"] == [
        {
            "name": "acme",
            "url": f"{base}/simple/",
            "authenticate": "always",
            "default" if alone else "explicit": True,
        }
    ]
    assert tool["uv"]["sources"] == {"my-private-lib": {"index": "acme"}}


def test_hostile_texts_arrive_in_the_metadata_as_they_are(render: Render) -> None:
    texts = {
        "description": """It's "quoted" \\ and {{ braced }} # $HOME ünïcode 🐍""",
        "author_name": """Mr. O'Keefe "Q" \\""",
        "author_email": "okeefe@example.com",
    }
    rendered = project(render({"template": "client", **texts}))["project"]
    assert rendered["description"] == texts["description"]
    assert rendered["authors"] == [{"name": texts["author_name"], "email": texts["author_email"]}]


def test_an_author_nobody_named_is_not_made_up(render: Render) -> None:
    assert "authors" not in project(render({"template": "client"}))["project"]


@pytest.mark.parametrize("manager", ["poetry", "uv"])
def test_the_package_manager_builds_what_is_rendered(repository: Render, manager: str) -> None:
    answers = {"package_name": "Acme.My-App", "author_name": "A", "python_version": "3.11"}
    folder = repository({"template": "client", "package_manager": manager, **answers})
    if manager == "poetry":
        output("poetry", "check", "--strict", cwd=folder)
    said = output("make", "package", cwd=folder)
    assert {path.name for path in (folder / "dist").glob("acme*")} == {
        "acme_my_app-0.1.0-py3-none-any.whl",
        "acme_my_app-0.1.0.tar.gz",
    }
    assert PASSWORD not in said


@pytest.mark.parametrize("manager", ["poetry", "uv"])
@pytest.mark.parametrize(
    ("part", "version"), [("patch", "0.1.1"), ("minor", "0.2.0"), ("major", "1.0.0")]
)
def test_bump_raises_the_version_and_asks_nobody(
    repository: Render, manager: str, part: str, version: str
) -> None:
    folder = repository(
        {"template": "client", "package_manager": manager, "python_version": "3.11"}
    )
    output("make", "bump", f"PART={part}", cwd=folder)
    assert project(folder)["project"]["version"] == version
    assert git(folder, "status", "--short") == " M pyproject.toml\n"


def test_bump_wants_to_know_which_part(repository: Render) -> None:
    for manager in ("poetry", "uv"):
        folder = repository({"template": "client", "package_manager": manager})
        for part in ((), ("PART=1.2.3",)):
            said = refused("make", "bump", *part, cwd=folder)
            assert "error: say which part: 'make bump PART=patch'" in said
        shutil.rmtree(folder)


def seen_by_tools(folder: Path, how: str, **exported: str) -> dict[str, str]:
    """Return the environment of what the Makefile runs in some way."""
    done = subprocess.run(
        ["make", "-f", "-", "probe"],
        cwd=folder,
        input=f"{(folder / 'Makefile').read_text()}\nprobe:\n\t@{how} env -0\n",
        env={**os.environ, **exported},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(pair.split("=", 1) for pair in done.stdout.split("\0") if pair)


def test_poetry_asks_no_keyring(render: Render) -> None:
    seen = seen_by_tools(render({"template": "client"}), "$(run)", POETRY_KEYRING_ENABLED="true")
    assert seen["POETRY_KEYRING_ENABLED"] == "false"


HARMLESS = dict.fromkeys(
    (
        *("PIP_CACHE_DIR", "PIP_CERT", "PIP_NO_INPUT", "PIP_PROXY", "PIP_RETRIES", "PIP_TIMEOUT"),
        *("POETRY_CACHE_DIR", "POETRY_REQUESTS_TIMEOUT", "UV_CACHE_DIR", "UV_HTTP_TIMEOUT"),
        *("UV_LINK_MODE", "UV_NATIVE_TLS", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"),
        *("REQUESTS_CA_BUNDLE", "DOCKER_HOST", "SSH_AUTH_SOCK", "OURS"),
    ),
    "7",
)
MIRRORS = {
    "PIP_INDEX_URL": "https://mirror/",
    "UV_DEFAULT_INDEX": "https://mirror/",
    "UV_INDEX_URL": "https://mirror/",
    "POETRY_PYPI_MIRROR_URL": "https://mirror/",
}
SHELLS_ACCOUNT = {
    "PIP_EXTRA_INDEX_URL": "https://ci:pw@pypi.example.com/simple/",
    "POETRY_HTTP_BASIC_PRIVATE_PASSWORD": "pw",
    "UV_INDEX_PRIVATE_USERNAME": "ci",
}


@pytest.mark.parametrize("strategy", ["single", "extra"])
def test_tools_see_what_is_harmless_and_the_credentials_of_ci(
    render: Render, strategy: str
) -> None:
    folder = render({"template": "client", "index_strategy": strategy})
    exported = {**HARMLESS, **MIRRORS, **SHELLS_ACCOUNT, "UV_NEW_SETTING": "1", "PIP_NEW": "1"}
    seen = seen_by_tools(folder, "$(with_credentials)", **exported)
    passing = {**HARMLESS, **SHELLS_ACCOUNT}
    if strategy == "single":
        passing["PIP_INDEX_URL"] = SHELLS_ACCOUNT["PIP_EXTRA_INDEX_URL"]
    else:
        passing |= MIRRORS
    assert {name: seen[name] for name in exported if name in seen} == passing


def test_no_environment_and_no_code_of_the_shells_reaches_the_tools(render: Render) -> None:
    exported = dict.fromkeys(
        (
            *("CONDA_PREFIX", "VIRTUAL_ENV", "VIRTUALENV_SYSTEM_SITE_PACKAGES", "PYTHONHOME"),
            *("PYTHONPATH", "PYTHONPLATLIBDIR", "PYTHONUSERBASE", "PYTHONEXECUTABLE"),
        ),
        "/elsewhere",
    )
    seen = seen_by_tools(render({"template": "client"}), "$(run)", **exported)
    assert not seen.keys() & exported


def test_the_credentials_file_wins_over_the_shell(render: Render) -> None:
    seen = seen_by_tools(
        render({"template": "client", **ACCOUNT}), "$(with_credentials)", **SHELLS_ACCOUNT
    )
    assert seen["UV_INDEX_PRIVATE_USERNAME"] == ACCOUNT["index_user"]
    assert seen["POETRY_HTTP_BASIC_PRIVATE_PASSWORD"] == PASSWORD
    assert "ci:pw" not in seen["PIP_EXTRA_INDEX_URL"]


def test_docker_sees_the_shell_as_it_is_and_the_credentials(render: Render) -> None:
    exported = {**HARMLESS, **MIRRORS, "UV_VERSION": "1", "VIRTUAL_ENV": "/somewhere"}
    folder = render({"template": "client", **ACCOUNT})
    seen = seen_by_tools(folder, "$(with_credentials) --docker", **exported)
    assert {name: seen[name] for name in exported} == exported
    assert "pypi.example.com" in seen["PIP_EXTRA_INDEX_URL"]


def test_the_readme_fits_on_two_screens(render: Render, way: Answers) -> None:
    assert len((render({**way, "ci": "github"}) / "README.md").read_text().splitlines()) < 108


def test_the_apps_own_tests_pass(repository: Render) -> None:
    folder = repository({"template": "client", "python_version": "3.11"})
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "3 passed" in output(*command, cwd=folder)


def test_the_checkers_find_nothing(render: Render) -> None:
    ways = [*WAYS, *({**way, "trusted_publishing": True} for way in WAYS[::4])]
    on_github = [render({**way, "ci": "github"}) for way in ways]
    on_gitlab = [render({**way, "ci": "gitlab"}) for way in ways]

    def check(folders: list[Path], name: str, *command: str) -> None:
        output(*command, *(folder / name for folder in folders))

    check(on_github, "Dockerfile", "hadolint")
    check(on_github, ".github", "zizmor", "--offline", "--quiet")
    check(on_github, "docker-compose.yml", "compose-lint", "check", "--fail-on", "low")
    workflow = ".github/workflows/ci.yml"
    check(on_github, workflow, "actionlint")
    schema = ("check-jsonschema", "--builtin-schema")
    check(on_github, workflow, *schema, "vendor.github-workflows")
    check(on_github, ".github/dependabot.yml", *schema, "vendor.dependabot")
    pipeline = (*schema, "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
    check(on_gitlab, ".gitlab-ci.yml", *pipeline)
    check(on_gitlab, "renovate.json", *schema, "vendor.renovate")


@pytest.mark.parametrize(("choice", "path"), [("github", ".github"), ("gitlab", ".gitlab-ci.yml")])
def test_ci_is_rendered_where_it_was_asked_for(render: Render, choice: str, path: str) -> None:
    for ci in QUESTIONS["ci"]["choices"].values():
        folder = render({"template": "client", "ci": ci})
        assert (folder / path).exists() is (ci == choice)


def test_ci_gives_the_publishers_account_to_the_job_that_publishes_alone(render: Render) -> None:
    workflow = (render({"template": "client"}) / ".github/workflows/ci.yml").read_text()
    jobs = yaml.safe_load(workflow)["jobs"]
    secrets = {name: set(re.findall(r"secrets\.(\w+)", str(job))) for name, job in jobs.items()}
    reader, publisher = {"INDEX_USER", "INDEX_PASSWORD"}, {"PUBLISH_USER", "PUBLISH_PASSWORD"}
    assert {name: found for name, found in secrets.items() if found} == {
        "test": reader,
        "image": reader,
        "publish": publisher,
    }
    assert {name for name, job in jobs.items() if "environment" in job} == {"publish"}
    assert jobs["publish"]["needs"] == "package"
    for action in re.findall(r"uses: (\S+)", workflow):
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)


TRUSTED = {"template": "client", "trusted_publishing": True, "package_name": "Acme.Billing"}


def test_with_trusted_publishing_the_job_that_publishes_proves_who_it_is_and_has_no_secret(
    render: Render,
) -> None:
    workflow = (render(TRUSTED) / ".github/workflows/ci.yml").read_text()
    jobs = yaml.safe_load(workflow)["jobs"]
    assert {name for name, job in jobs.items() if "secrets." in str(job)} == {"test", "image"}
    assert {name for name, job in jobs.items() if "id-token" in job["permissions"]} == {"publish"}
    assert jobs["publish"]["permissions"] == {"contents": "read", "id-token": "write"}
    assert jobs["publish"]["environment"] == "publish"
    assert "PUBLISH_" not in workflow

    folder = render({**TRUSTED, "ci": "gitlab", "pypi_url": "https://PyPI.Acme.com:8443/"})
    pipeline = yaml.safe_load((folder / ".gitlab-ci.yml").read_text())
    jobs = {name: job for name, job in pipeline.items() if "script" in job}
    assert {name for name, job in jobs.items() if "id_tokens" in job} == {"publish"}
    publish = jobs["publish"]
    assert publish["id_tokens"] == {"PYPI_ID_TOKEN": {"aud": "pypi.acme.com"}}
    # A token of GitLab's lasts as long as its job may.
    assert publish["environment"]["name"] == "publish"
    assert "PUBLISH_" not in (folder / ".gitlab-ci.yml").read_text()


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_the_readme_has_the_line_that_has_the_server_trust_this_repository(
    render: Render, ci: str
) -> None:
    packages = ["acme-lib", "Other_Lib[x]==2.*"]
    folder = render({**TRUSTED, "ci": ci, "private_packages": packages})
    readme = (folder / "README.md").read_text()
    lines = re.findall(r"^    make (pypi-(?:.*\\\n)*.*)$", readme, re.M)
    (trust, *values), (account, *rights) = [
        shlex.split(line.replace("\\\n", " ")) for line in lines
    ]
    assert (trust, account) == ("pypi-trust", "pypi-user-add")
    given = dict(value.split("=", 1) for value in values)
    owner, file = {"github": ("OWNER", "ci.yml"), "gitlab": ("GROUP", ".gitlab-ci.yml")}[ci]
    assert given == {
        "ISSUER": ci,
        "REPOSITORY": f"{owner}/my-app",
        "WORKFLOW": file,
        "ENVIRONMENT": "publish",
        "PROJECTS": "Acme.Billing",
    }
    where = folder / (".github/workflows" if ci == "github" else ".") / file
    assert where.is_file()
    assert rights == ["USER=ci-my-app", "ROLE=reader", "PROJECTS=acme-lib,other-lib"]
    assert ("Protect the tags `v*`" in readme) is (ci == "gitlab")
    assert ("Let the environment `publish` take tags `v*` alone" in readme) is (ci == "github")
    assert len(readme.splitlines()) < 120


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_without_trusted_publishing_nobody_is_bothered_with_it(
    render: Render, way: Answers, ci: str
) -> None:
    folder = render({**way, "ci": ci})
    for path in folder.rglob("*"):
        # tools/ is the same for everybody.
        if path.is_file() and path.name != ".copier-answers.yml" and path.parent.name != "tools":
            text = path.read_text().lower()
            for word in ("id-token", "id_token", "trust this", "trusted-publishing", "pypi-trust"):
                assert word not in text, path


def test_help_lists_every_documented_target_without_colour_in_a_pipe(render: Render) -> None:
    said = output("make", cwd=render({"template": "client"}))
    asked = {"help", "login", "install", "build", "run", "publish", "bump", "test"}
    asked |= {"template-check", "template-update", "package", "upload", "upgrade"}
    assert asked <= set(re.findall(r"^  ([a-z-]+) ", said, re.M))
    assert "\033" not in said


def test_make_can_plan_every_target(repository: Render, way: Answers) -> None:
    folder = repository({**way, **ACCOUNT})
    makefile = (folder / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):.*## ", makefile, re.M)
    output("make", "--dry-run", *targets, "PART=patch", cwd=folder)


def test_only_what_make_lock_wrote_counts_as_locked(repository: Render) -> None:
    folder = repository({"template": "client", "locked": True})
    header = re.search(r'^HEADER = "(.*)\\n"$', (folder / "tools/lock.py").read_text(), re.M)
    guard = re.search(r"if (! grep .*); then", (folder / "Dockerfile").read_text())
    assert header
    assert guard
    for text in ("", "my-private-lib\n", "# By hand\nmy-private-lib==1.0\n"):
        said = refused("make", "need-lock", cwd=folder)
        assert "error: nothing is locked yet: run 'make lock', and commit what it writes." in said
        output("sh", "-c", guard[1], cwd=folder)
        (folder / "requirements.txt").write_text(text)
    (folder / "requirements.txt").write_text(f"{header[1]}\nmy-private-lib==1.0\n")
    output("make", "need-lock", cwd=folder)
    refused("sh", "-c", guard[1], cwd=folder)


@pytest.mark.parametrize(
    ("target", "lacking", "sentence"),
    [
        ("build", "docker", "error: Docker is not installed"),
        ("publish", "poetry", "error: Poetry is not installed: run 'pipx install poetry'."),
        ("publish", "uv", "error: uv is not installed: run 'pipx install uv'."),
        ("package", "twine", "error: twine is not installed: run 'pipx install twine'."),
        ("template-check", "uvx", "error: neither uv nor Copier is installed"),
    ],
)
def test_make_says_which_program_is_missing(
    repository: Render, tmp_path: Path, target: str, lacking: str, sentence: str
) -> None:
    manager = "uv" if lacking == "uv" else "poetry"
    folder = repository({"template": "client", "package_manager": manager, **ACCOUNT})
    programs = tmp_path / "bin"
    programs.mkdir()
    others = ("poetry",) if lacking == "twine" else ()
    for program in ("sh", "make", "awk", "python3", "env", "git", *others):
        (programs / program).symlink_to(str(shutil.which(program)))
    done = subprocess.run(
        ["make", target],
        cwd=folder,
        env={**os.environ, "PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert sentence in done.stderr
    assert lacking not in {path.name for path in programs.iterdir()}


def test_install_and_publish_stop_without_credentials(repository: Render) -> None:
    folder = repository({"template": "client"})
    for target in ("install", "publish"):
        done = subprocess.run(
            ["make", target], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode != 0
        assert "No credentials for the private index: run `make login` first." in done.stderr
    assert not (folder / ".venv").exists()


# A git that does not answer ----------------------------------------------------------------------

NOT_COMMITTED = "Not everything is committed: commit it, or say 'make publish FORCE=1'."
NO_ANSWER = "git does not tell what is committed in"


def is_clean(folder: Path, **settings: str) -> str:
    """Ask the Makefile whether all is committed; return what it complains of."""
    done = subprocess.run(
        ["make", "--silent", "need-clean", f"PYTHON={sys.executable}"],
        cwd=folder,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert (done.returncode == 0) is (done.stderr == ""), done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("HEAD", "garbage"),
        ("index", "garbage"),
        ("config", "[bro"),
        ("objects", ""),
        ("refs", ""),
        ("", "gitdir: /nowhere"),
    ],
    ids=["HEAD", "index", "config", "objects", "refs", "link"],
)
def test_a_broken_repository_is_not_clean_and_git_says_why(
    repository: Render, name: str, content: str
) -> None:
    folder = repository({"template": "client"})
    assert is_clean(folder) == ""

    broken = folder / ".git" / name
    if broken.is_dir():
        shutil.rmtree(broken)
    if content:
        broken.write_text(content)
    elif name == "objects":
        broken.mkdir()

    said = is_clean(folder)
    assert said.startswith("fatal: ")
    assert f"\n{NO_ANSWER} {folder}: do what it says above." in said


def test_a_git_that_distrusts_the_owner_or_is_missing_does_not_say_clean(
    repository: Render, tmp_path: Path
) -> None:
    folder = repository({"template": "client"})
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in ("sh", "make"):
        (programs / program).symlink_to(str(shutil.which(program)))
    said = is_clean(folder, PATH=str(programs))
    assert f"{folder} is a git repository, but git is missing: install it." in said

    fatal = f"fatal: detected dubious ownership in repository at '{folder}'"
    (programs / "git").write_text(f'#!/bin/sh\necho "{fatal}" >&2\nexit 128\n')
    (programs / "git").chmod(0o755)
    said = is_clean(folder, PATH=f"{programs}:{os.environ['PATH']}")
    assert said.startswith(f"{fatal}\n{NO_ANSWER} {folder}")


def test_a_folder_without_a_repository_is_clean(render: Render, tmp_path: Path) -> None:
    folder = tmp_path / "client"
    shutil.copytree(render({"template": "client"}), folder, symlinks=True)
    assert is_clean(folder) == ""
    assert is_clean(folder, PATH=f"{Path(sys.executable).parent}:/bin:/usr/bin") == ""


def test_neither_a_setting_nor_another_repository_makes_changes_look_committed(
    repository: Render, tmp_path: Path
) -> None:
    folder = repository({"template": "client"})
    other = tmp_path / "other"
    other.mkdir()
    commit(other)
    elsewhere = {
        "GIT_DIR": str(other / ".git"),
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": str(other / ".git/index"),
        "GIT_CEILING_DIRECTORIES": str(tmp_path),
    }
    nowhere = {"GIT_DIR": str(tmp_path / "nowhere")}
    for settings in ({}, elsewhere, nowhere):
        assert is_clean(folder, **settings) == ""

    (folder / "notes.txt").write_text("mine\n")
    git(folder, "config", "status.showUntrackedFiles", "no")
    for settings in ({}, elsewhere, nowhere):
        assert NOT_COMMITTED in is_clean(folder, **settings)
    assert is_clean(folder, FORCE="1") == ""


def test_a_file_that_git_was_told_not_to_look_at_is_not_clean(repository: Render) -> None:
    folder = repository({"template": "client"})
    names = ["an app's caf\xe9.py", "README.md"]
    (folder / names[0]).touch()
    commit(folder)
    git(folder, "update-index", "--assume-unchanged", names[0])
    git(folder, "update-index", "--skip-worktree", names[1])
    for name in names:
        (folder / name).write_text("changed = True\n")

    said = is_clean(folder)

    shown = shlex.join(reversed(names))
    assert said.startswith(f"git was told not to look at {shown}: `git update-index ")
    output("sh", "-euc", said.split("`")[1], cwd=folder)
    assert NOT_COMMITTED in is_clean(folder)
    # What a sparse checkout leaves out is not published either.
    git(folder, "checkout", ".")
    git(folder, "update-index", "--skip-worktree", "README.md")
    (folder / "README.md").unlink()
    assert is_clean(folder) == ""


def tags(folder: Path, **settings: str) -> str:
    """Return what the client's own tools take for the tags of the commit."""
    done = subprocess.run(
        [sys.executable, "tools", "run", sys.executable, "-Bc", PRINT_TAGS],
        cwd=folder,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


PRINT_TAGS = "from tools import checkout; print(*checkout.tags())"


def test_a_repository_without_a_commit_has_no_tags(render: Render, tmp_path: Path) -> None:
    folder = tmp_path / "client"
    shutil.copytree(render({"template": "client"}), folder, symlinks=True)
    git(folder, "init", "--quiet")
    assert tags(folder) == "\n"

    commit(folder)
    git(folder, "tag", "v0.1.0")
    assert tags(folder) == "v0.1.0\n"


@pytest.mark.parametrize("variable", ["HOME", "XDG_CONFIG_HOME"])
def test_git_goes_by_its_own_settings_where_uv_must_not(
    repository: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    folder = repository({"template": "client"})
    git(folder, "tag", "v0.1.0")
    monkeypatch.delenv("GIT_CONFIG_GLOBAL", raising=False)
    settings = tmp_path / ".config" if variable == "HOME" else tmp_path
    for name, text in {"git/config": "[bro", "uv/uv.toml": ""}.items():
        (settings / name).parent.mkdir(parents=True)
        (settings / name).write_text(text)
    surroundings = {"HOME": str(tmp_path / "none"), "XDG_CONFIG_HOME": ""}
    surroundings[variable] = str(tmp_path)

    with pytest.raises(subprocess.CalledProcessError) as refused_by:
        tags(folder, **surroundings)
    assert f"{settings}/git/config" in refused_by.value.stderr

    (settings / "git/config").write_text("[user]\nname = Ada\n")
    assert tags(folder, **surroundings) == "v0.1.0\n"


def test_a_changed_submodule_is_not_clean_whatever_its_settings_say(
    repository: Render, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "lib.py").touch()
    commit(library)
    folder = repository({"template": "client"})
    add = ("submodule", "add", "--quiet", str(library), "library")
    git(folder, "-c", "protocol.file.allow=always", *add)
    git(folder, "config", "--file", ".gitmodules", "submodule.library.ignore", "all")
    commit(folder)
    assert is_clean(folder) == ""

    (folder / "library/lib.py").write_text("changed = True\n")

    assert NOT_COMMITTED in is_clean(folder)


def test_in_a_larger_repository_the_apps_own_folder_counts(render: Render, tmp_path: Path) -> None:
    folder = tmp_path / "apps/client"
    shutil.copytree(render({"template": "client"}), folder, symlinks=True)
    commit(tmp_path)
    (tmp_path / "apps/elsewhere.txt").touch()
    assert is_clean(folder) == ""

    (folder / "notes.txt").touch()

    assert NOT_COMMITTED in is_clean(folder)


# What pip would refuse in the image's build ------------------------------------------------------

FAKE_UV = """#!/bin/sh
for word; do :; done
case "$1" in
  lock) printf '%s\\n' "$LOCK" > uv.lock ;;
  export) printf '%s\\n' "$EXPORTED" > "${word#--output-file=}" ;;
esac
"""
"""Locks and exports what it is told."""

SHA256, SHA384 = f"--hash=sha256:{'0' * 64}", f"--hash=sha384:{'0' * 96}"
GIVES = "https://pypi.example.com/simple/ gives {} for lib, and pip takes sha256, sha384 or sha512"
NO_FILE = "{} is neither a release nor a file at a URL: publish it to the index"


@pytest.fixture
def lock(repository: Render, tmp_path: Path) -> Callable[[str], str]:
    """Lock what is exported then; return what that complains of, which leaves all as it was."""
    folder = repository({"template": "client", "package_manager": "uv", "locked": True})
    (tmp_path / "uv").write_text(FAKE_UV)
    (tmp_path / "uv").chmod(0o755)
    package = (
        '[[package]]\nname = "lib"\nsource = { registry = "https://pypi.example.com/simple/" }'
    )

    def run_lock(exported: str, *upgrade: str) -> str:
        files = [folder / "uv.lock", folder / "requirements.txt"]
        before = [path.read_bytes() if path.exists() else None for path in files]
        done = subprocess.run(
            [sys.executable, "tools", "lock", str(tmp_path / "uv"), *upgrade],
            cwd=folder,
            env={**os.environ, "LOCK": f"{package}\n# {exported}", "EXPORTED": exported},
            capture_output=True,
            text=True,
            check=False,
        )
        after = [path.read_bytes() if path.exists() else None for path in files]
        assert "Traceback" not in done.stderr
        assert (before == after) is (done.returncode != 0)
        return done.stderr

    return run_lock


@pytest.mark.parametrize(
    ("requirement", "sentence"),
    [
        ("lib==1.0", GIVES.format("no hash")),
        ("lib[extra]==1.0 ; python_version >= '3.11'", GIVES.format("no hash")),
        (f"lib==1.0 \\\n    --hash=md5:{'0' * 32}", GIVES.format("md5")),
        (f"lib==1.0 \\\n    {SHA256} \\\n    --hash=md5:{'0' * 32}", GIVES.format("md5")),
        (f"lib==1.0 --hash=sha1:{'0' * 40}", GIVES.format("sha1")),
        (f"lib==1.0 --hash=blake2b:{'0' * 64}", GIVES.format("blake2b")),
        ("lib @ https://example.com/lib-1.0.tar.gz", GIVES.format("no hash")),
        (f"lib>=1.0 {SHA256}", NO_FILE.format("lib>=1.0")),
        (f"lib==1.* {SHA256}", NO_FILE.format("lib==1.*")),
        (
            "lib @ git+https://u:p@example.com/lib@0",
            NO_FILE.format("lib @ git+https://example.com/lib@0"),
        ),
        ("lib @ file:///lib", NO_FILE.format("lib @ file:///lib")),
        ("../lib", NO_FILE.format("../lib")),
        ("-e ../lib", NO_FILE.format("-e ../lib")),
        ("--editable ../lib", NO_FILE.format("--editable ../lib")),
    ],
)
def test_what_pip_would_refuse_in_the_build_is_not_locked(
    lock: Callable[[str], str], requirement: str, sentence: str
) -> None:
    assert sentence in lock(f"other==1.0 \\\n    {SHA256}\n{requirement}")

    assert lock(f"lib==1.0 \\\n    {SHA256}") == ""
    said = lock(f"other==1.0 \\\n    {SHA256}\n{requirement}")
    assert sentence in said
    assert said.endswith("Nothing is locked: uv.lock and requirements.txt are as they were.\n")


def test_what_pip_takes_in_the_build_is_locked(lock: Callable[[str], str]) -> None:
    requirements = (
        f"lib==1.0 ; python_version >= '3.11' \\\n    {SHA256} \\\n    {SHA384}",
        f"other[extra]==1!2.0.post1+local {SHA384}",
        f"third @ https://example.com/third-1.0.tar.gz \\\n    {SHA256}",
        "# a comment",
        "--extra-index-url https://example.com/simple/",
    )
    assert lock("\n".join(requirements)) == ""
