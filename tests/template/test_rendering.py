"""What holds for every rendered repository, whatever the answers."""

from __future__ import annotations

import os
import re
import stat
import sys
import tempfile
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import copier
import pytest
import yaml
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from kit.authority import Authority
from kit.commands import run
from kit.git import git
from kit.rendered_files import File, holding, ignored, recorded, tracked
from kit.template import PASSWORD, QUESTIONS, ROOT, Answers, Render, check_names
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SECRETS = [name for name, details in QUESTIONS.items() if details.get("secret")]

# STRATEGIES

slugs = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
labels = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?", fullmatch=True)
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join)
urls = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["http", "https"]),
    hosts,
    st.sampled_from(["", ":1", ":8443", ":65535"]),
    st.sampled_from(["", "/", "/simple/", "/a.b/~c", "/pypi/simple", "/My%20Team/feed@v1"]),
)
emails = st.just("") | st.from_regex(
    r"[A-Za-z0-9_%+-]{1,10}(\.[A-Za-z0-9_%+-]{1,10})?@([A-Za-z0-9]{1,10}\.){1,3}[A-Za-z0-9]{1,10}",
    fullmatch=True,
)
users = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", fullmatch=True)
packages = st.from_regex(
    r"My[-._][A-Za-z0-9]{1,18}([-_.]{1,2}[A-Za-z0-9]{1,18}){0,2}", fullmatch=True
)
requirements = st.builds(
    "{}{}{}".format,
    st.from_regex(r"lib-[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True),
    st.sampled_from(["", "[extra]", "[a,b-c]"]),
    st.sampled_from(["", "==1.*", ">=1,<2", "~=2.0.1", "!=3.1", " (>=1,<2)"]),
)
MARKUP = [
    *"\"'\\#$%&<>`{}[]:*|@!-",
    '"""',
    "'''",
    "\\n",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "{# gone",
    "$HOME",
    "${HOME}",
    "$(id)",
    "`id`",
    "]]>",
    ": ",
    " #",
    "é李\u202e\U0001f40d",
]
one_line_texts = st.lists(
    st.sampled_from(MARKUP) | st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])),
    max_size=8,
).map(lambda parts: "".join(parts).strip())
visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="'\\")
secrets = (
    st.just("")
    | st.just(PASSWORD)
    | st.text(visible, min_size=3, max_size=63).map("S3cr3t-%@".__add__)
)

TEXTS: dict[str, st.SearchStrategy[Any]] = {
    "project_name": slugs,
    "pypi_url": hosts,
    "letsencrypt_email": emails,
    "traefik_network": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    "traefik_certresolver": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True),
    "http_port": st.integers(1, 65535),
    "publisher": users.filter(lambda name: name != "import"),
    "publisher_password": secrets,
    "max_upload_mb": st.integers(1, 102400),
    "package_name": packages,
    "description": one_line_texts,
    "author_name": one_line_texts.map(lambda text: re.sub("[<>]", "", text)),
    "author_email": emails,
    "index_name": st.from_regex(r"[a-z]{1,10}(-[a-z]{1,10}){0,3}", fullmatch=True),
    "ca_certificate": st.just("")
    | st.from_regex(r"(certs/)?[A-Za-z0-9]{1,9}\.(crt|pem)", fullmatch=True),
    "private_packages": st.lists(
        requirements, min_size=1, max_size=4, unique_by=lambda text: canonical(text)
    ),
    "private_prefixes": st.lists(st.sampled_from(["acme-", "Corp_"]), max_size=2),
    "cooldown_days": st.just(0) | st.integers(1, 365),
    "index_user": st.just("") | users,
    "index_password": secrets,
}
"""What may be typed; what may be chosen stands in copier.yml."""


WORDS_OF_YAML: Answers = {
    "template": "server",
    "project_name": "1e3",
    "pypi_url": "0x7f.1",
    "https": "traefik",
    "traefik_network": "null",
    "traefik_certresolver": "no",
    "publisher": "on",
    "publisher_password": PASSWORD,
    "max_upload_mb": 1,
}
"""Names that YAML takes for numbers, truth values and nothing when they stand without quotes."""

QUOTES: Answers = {
    "template": "client",
    "project_name": "0",
    "package_name": "My.App_2",
    "description": """'one' "two" \"\"\" three \\ {{ 7 * 7 }} {% raw %} {# $HOME ${x} # all""",
    "author_name": "Mr. O'Keefe \\",
    "index_user": "ada@example.com",
    "index_password": PASSWORD,
}


def canonical(requirement: str) -> str:
    """Return a name that is equal for requirements on the same distribution."""
    return re.sub(r"[-._]+", "-", Requirement(requirement).name).lower()


def choices(name: str) -> list[Any]:
    """Return the choices of a question, none if it takes what is typed."""
    listed = QUESTIONS[name].get("choices", [])
    return list(listed.values()) if isinstance(listed, dict) else listed


def asked(template_name: str) -> list[str]:
    """Return the questions of a template, also those that other answers make unnecessary."""
    other = {"server": "client", "client": "server"}[template_name]
    return [
        name
        for name, details in QUESTIONS.items()
        if name != "template"
        and details.get("when") is not False
        and f"template == '{other}'" not in str(details.get("when", ""))
    ]


def answers_to(template_name: str) -> st.SearchStrategy[Answers]:
    """Return every way to answer the questions of a template."""
    strategies: dict[str, st.SearchStrategy[Any]] = {"template": st.just(template_name)}
    for name in asked(template_name):
        strategies[name] = st.sampled_from(choices(name)) if choices(name) else TEXTS[name]
    strategies["pypi_url"] = hosts if template_name == "server" else hosts | urls
    return st.fixed_dictionaries(strategies)


def every_choice(template_name: str) -> list[Answers]:
    """Return sets of answers in which every choice of the template stands at least once."""
    names = [name for name in asked(template_name) if choices(name)]
    rows = zip_longest(*(choices(name) for name in names))
    return [
        {"template": template_name}
        | {name: choice for name, choice in zip(names, row, strict=True) if choice is not None}
        for row in rows
    ]


# CHECKS


def check(folder: Path, answers: Answers, certificates: Path) -> None:
    """Refuse a rendered repository that breaks any of the rules."""
    files = tracked(folder)
    check_names_of_files(files)
    check_text(files)
    if not any("{" in str(answer) for answer in answers.values()):
        check_no_jinja_is_left(files, ROOT / "template" / answers["template"])
    check_secrets(folder, files, answers)
    check_yaml(files, answers)
    check_recorded(folder, answers)
    if answers["template"] == "server":
        check_compose(folder, answers)
        check_policy(folder, answers)
        check_caddyfile(folder, certificates)
    else:
        check_toml(folder, answers)
    check_python(folder)


def check_names_of_files(files: dict[str, File]) -> None:
    """Refuse names that Windows cannot have or that belong to the template."""
    for name in files:
        assert not re.search(r'[<>:"|?*\\\x00-\x1f{}]|[. ](/|$)', name), name
        assert not name.endswith((".jinja", ".pyc"))
    ours = {"copier.yml", "extensions", "tasks", "template"}
    assert not {name.split("/")[0] for name in files} & ours


def check_text(files: dict[str, File]) -> None:
    """Refuse what an editor would tidy up: ends of lines and of files, rows of blank lines."""
    for name, file in files.items():
        text = file.content.decode()
        if stat.S_ISLNK(file.mode) or not text:
            continue
        assert "\r" not in text, name
        assert text.endswith("\n"), f"{name} does not end in a line end"
        assert not text.endswith("\n\n"), f"{name} ends in a blank line"
        assert not text.startswith("\n"), f"{name} starts with a blank line"
        for number, line in enumerate(text.split("\n"), start=1):
            assert line == line.rstrip(" \t"), f"{name}:{number} has trailing spaces"
        if not name.endswith(".py"):
            assert "\n\n\n" not in text, f"{name} has two blank lines in a row"


def check_no_jinja_is_left(files: dict[str, File], source: Path) -> None:
    """Refuse Jinja's marks, but in verbatim copies and expressions of GitHub's and Renovate's."""
    for name, file in files.items():
        if (source / name).is_file() and (source / name).read_bytes() == file.content:
            continue
        text = file.content.decode()
        if name.startswith(".github/workflows/"):
            text = re.sub(r"\$\{\{ [^{}]* \}\}", "", text)
        if name == "renovate.json":
            text = re.sub(r"\{\{(\{\w+\}|#if \w+|/if)\}\}", "", text)
        assert not re.search(r"\{[{%#]", text), name


def check_secrets(folder: Path, files: dict[str, File], answers: Answers) -> None:
    """Refuse passwords and their hashes in any file for git; they belong in those it ignores."""
    given_secrets = [answers[name] for name in SECRETS if answers.get(name)]
    assert holding(files, [*given_secrets, "$2y$10$"]) == []
    if answers.get("publisher_password"):
        assert holding(ignored(folder), ["$2y$10$"]) == ["pypi_auth/.htpasswd"]
    if answers.get("index_user") and answers.get("index_password"):
        assert holding(ignored(folder), given_secrets) == [".pypi.env"]


def check_yaml(files: dict[str, File], answers: Answers) -> None:
    """Refuse YAML that does not parse."""
    names = [name for name in files if name.endswith((".yml", ".yaml"))]
    assert len(names) >= 2
    for name in names:
        assert isinstance(yaml.safe_load(files[name].content), dict), name
    if "ci" in answers:
        assert any(name.startswith(".github/workflows/") for name in names) == (
            answers["ci"] == "github"
        )
        assert (".gitlab-ci.yml" in names) == (answers["ci"] == "gitlab")


def check_recorded(folder: Path, answers: Answers) -> None:
    """Refuse recorded answers that are not, letter for letter, those given."""
    found = recorded(folder)
    given_too = found.keys() & answers.keys()
    assert given_too >= {"template"}
    assert {name: found[name] for name in given_too} == {name: answers[name] for name in given_too}


def check_compose(folder: Path, answers: Answers) -> None:
    """Refuse a compose file that understands an answer otherwise than as it was typed."""
    model = yaml.safe_load((folder / "docker-compose.pypi.yml").read_text())
    gateway, server = model["services"]["gateway"], model["services"]["private_pypi"]
    if name := answers.get("project_name"):
        assert model["name"] == name
        assert server["image"] == f"{name}/private_pypi"
    if unknown := answers.get("unknown_packages"):
        assert server["environment"]["PYPI_UNKNOWN_PACKAGES"] == unknown
    if megabytes := answers.get("max_upload_mb"):
        assert server["environment"]["PYPI_MAX_UPLOAD_MB"] == str(megabytes)
    if answers["https"] == "traefik" and "traefik_network" in answers:
        network = answers["traefik_network"]
        assert gateway["networks"] == [network]
        assert model["networks"][network] == {"external": True}
        assert gateway["labels"]["traefik.docker.network"] == network
        assert answers["traefik_certresolver"] in gateway["labels"].values()
    if answers["https"] == "none" and "http_port" in answers:
        assert gateway["ports"] == [f"127.0.0.1:${{http_port:-{answers['http_port']}}}:80"]


def check_policy(folder: Path, answers: Answers) -> None:
    """Refuse a policy that is not the one asked for, and parts of a mirror where there is none."""
    parts = [*folder.glob("public*"), *folder.glob("private_pypi/**/*public*")]
    if answers.get("unknown_packages") != "mirror":
        assert parts == []
        return
    assert len(parts) == 5
    policy = tomllib.loads((folder / "public/public_policy.toml").read_text(encoding="utf-8"))
    assert policy == {"cooldown_days": answers.get("cooldown_days", 7)}


def check_caddyfile(folder: Path, certificates: Path) -> None:
    """Refuse a Caddyfile that Caddy refuses or would format otherwise."""
    run("caddy", "fmt", "--diff", "gateway/Caddyfile", cwd=folder)
    text = (folder / "gateway/Caddyfile").read_text()
    with tempfile.TemporaryDirectory() as scratch:
        config, accounts = Path(scratch, "Caddyfile"), Path(scratch, "accounts/accounts.caddy")
        config.write_text(text.replace(" /data/certs/", f" {certificates}/"))
        accounts.parent.mkdir()
        accounts.write_text(f"ada $2y$12${'a' * 53}\n")
        environment = {**os.environ, "XDG_DATA_HOME": scratch, "XDG_CONFIG_HOME": scratch}
        options = ["--config", str(config), "--adapter", "caddyfile"]
        run("caddy", "validate", *options, cwd=Path(scratch), environment=environment)


def check_toml(folder: Path, answers: Answers) -> None:
    """Refuse TOML that understands an answer otherwise than as it was typed."""
    pyproject = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    project, manager = pyproject["project"], answers.get("package_manager", "poetry")
    assert {"poetry", "uv"} & pyproject["tool"].keys() == {manager}
    if manager == "poetry":
        (index,) = pyproject["tool"]["poetry"]["source"]
        pinned = pyproject["tool"]["poetry"].get("dependencies")
        poetry = tomllib.loads((folder / "poetry.toml").read_text(encoding="utf-8"))
        ((target, repository),) = poetry["repositories"].items()
        uploads = repository["url"]
    else:
        (index,) = pyproject["tool"]["uv"]["index"]
        pinned = pyproject["tool"]["uv"].get("sources")
        target = index["name"]
        uploads = pyproject["tool"]["private-index"]["publish-url"]
    for key, name in {"name": "package_name", "description": "description"}.items():
        assert project[key] == answers.get(name, project[key])
    author = {"name": answers.get("author_name"), "email": answers.get("author_email")}
    given_author = {key: value for key, value in author.items() if value}
    assert project.get("authors", []) == ([given_author] if given_author else [])
    if python := answers.get("python_version"):
        assert project["requires-python"] == f">={python}"
    if packages := answers.get("private_packages"):
        assert list(map(canonical, project["dependencies"])) == list(map(canonical, packages))
        assert all(Requirement(text).specifier for text in project["dependencies"])
        if manager == "uv" or answers.get("index_strategy") == "extra":
            assert pinned is not None
            assert set(pinned) == set(map(canonical, packages))
        else:
            assert pinned is None
    if index_name := answers.get("index_name"):
        assert {index["name"], target} == {index_name}
    if url := answers.get("pypi_url"):
        host = url.split("://")[-1].split("/")[0].split(":")[0]
        for found in (index["url"], uploads):
            assert urlsplit(found).hostname == host.lower()
            assert "/simple/simple" not in found


def check_python(folder: Path) -> None:
    """Refuse Python that ruff finds fault with, by the repository's own settings."""
    run("ruff", "check", "--no-cache", "--output-format=concise", ".", cwd=folder)
    run("ruff", "format", "--no-cache", "--check", "--output-format=concise", ".", cwd=folder)


# TESTS


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate that no client trusts and its key, in one file."""
    folder = tmp_path_factory.mktemp("certificates")
    pair = Authority().pair("pypi.example.com")
    (folder / "pair.pem").write_bytes(pair.chain + pair.key)
    return folder


def render_anew(template: Path, folder: Path, answers: Answers) -> Path:
    """Render answers as `--data` gives them, into a folder of their own."""
    check_names(answers)
    copier.run_copy(
        str(template),
        folder,
        data=answers,
        defaults=True,
        unsafe=True,
        quiet=True,
        skip_tasks=True,
    )
    return folder


def check_any_answers(template: Path, certificates: Path, answers: Answers) -> None:
    """Render twice; refuse what breaks a rule and what differs."""
    with tempfile.TemporaryDirectory() as scratch:
        once = render_anew(template, Path(scratch, "once"), answers)
        again = render_anew(template, Path(scratch, "again"), answers)
        check(once, answers, certificates)
        assert tracked(once) == tracked(again)


a_few_examples = settings(
    max_examples=12,
    deadline=None,
    # Each example takes a second: to shrink one that fails would take minutes.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


@a_few_examples
@given(answers=answers_to("server"))
@example(answers=WORDS_OF_YAML)
def test_any_server(template: Path, certificates: Path, answers: Answers) -> None:
    check_any_answers(template, certificates, answers)


@a_few_examples
@given(answers=answers_to("client"))
@example(answers=QUOTES)
def test_any_client(template: Path, certificates: Path, answers: Answers) -> None:
    check_any_answers(template, certificates, answers)


@pytest.mark.parametrize(
    "answers",
    [*every_choice("server"), *every_choice("client")],
    ids=lambda x: "-".join(map(str, x.values())),
)
def test_every_choice(answers: Answers, render: Render, template: Path, certificates: Path) -> None:
    folder = render(answers)

    check(folder, answers, certificates)

    files = tracked(folder)
    assert holding(files, [str(ROOT)]) == []
    assert holding(files, [str(template)]) == [".copier-answers.yml"]
    assert recorded(folder)["_src_path"] == str(template)


def test_the_choices_above_are_all_there_are() -> None:
    for template_name in choices("template"):
        sets = every_choice(template_name)
        for name in asked(template_name):
            assert {answers[name] for answers in sets if name in answers} == set(choices(name))


def test_names_in_the_template_are_possible_on_windows() -> None:
    names = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")

    assert [name for name in names if re.search(r'[<>:"|?*\\]|[. ](/|$)', name)] == []
