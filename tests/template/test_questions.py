"""The questionnaire: what each question takes, what it refuses, and what it says then."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import copier
import jinja2.meta
import pytest
import yaml
from kit.copier_command import converse, run, succeed
from kit.git import commit, git
from kit.template import PASSWORD, QUESTIONNAIRE, QUESTIONS, ROOT, Answers

SERVER: Answers = {"template": "server"}
CLIENT: Answers = {"template": "client"}
ANSWERS_TEMPLATE = "{{ _copier_conf.answers_file }}.jinja"

ASKED = {
    "server": [
        "template",
        "project_name",
        "pypi_url",
        "https",
        "letsencrypt_email",
        "traefik_network",
        "traefik_certresolver",
        "http_port",
        "publisher",
        "publisher_password",
        "unknown_packages",
        "max_upload_mb",
        "private_prefixes",
        "cooldown_days",
        "ci",
    ],
    "client": [
        "template",
        "project_name",
        "pypi_url",
        "package_name",
        "description",
        "author_name",
        "author_email",
        "python_version",
        "package_manager",
        "locked",
        "index_name",
        "ca_certificate",
        "private_packages",
        "private_prefixes",
        "index_strategy",
        "cooldown_days",
        "build_credentials",
        "index_user",
        "index_password",
        "ci",
        "trusted_publishing",
    ],
}
"""What the questions are called is an interface: people keep these names in their answer files."""

BEFORE: dict[str, Answers] = {
    "letsencrypt_email": {"https": "letsencrypt"},
    "traefik_network": {"https": "traefik"},
    "traefik_certresolver": {"https": "traefik"},
    "http_port": {"https": "none"},
    "cooldown_days": {"unknown_packages": "mirror"},
    "index_password": {"index_user": "ada"},
}
"""Answers without which a question does not come up."""

USER_NAME = "Type 1 to 64 letters, digits or any of . _ @ + -, starting with a letter or digit"
EMAIL = "is not an e-mail address: type one such as you@example.com, or nothing."
ONE_LINE = "Type one line of text, without control characters and line separators."
LINE_SEPARATORS = [
    *("two\nlines", "two\rlines", "two\x0blines", "two\x0clines", "two\x1clines", "two\x1dlines"),
    *("two\x1elines", "two\x85lines", "two\u2028lines", "two\u2029lines"),
]
SLUG = "Type 1 to 63 lower-case letters, digits and hyphens"
PIN = "type a name or a pin such as other-lib==2.*."
INDEX_NAME = "Type lower-case letters, with single hyphens between them"
ASCII = "Type 12 to 72 printable ASCII characters"

GOOD: dict[str, dict[str, list[Any]]] = {
    "server": {
        "project_name": ["a", "0", "private-pypi", "a--b", "a" * 63],
        "pypi_url": [
            "pypi.example.com",
            "PyPI.Example.COM",
            "localhost",
            "10.0.0.1",
            "xn--bcher-kva.example",
            "3com.example",
            "a" * 63 + ".example",
            ".".join(["a" * 63] * 3 + ["a" * 61]),
        ],
        "letsencrypt_email": ["", "you@example.com", "first.last+pypi@mail.example.co.uk"],
        "traefik_network": ["t", "traefik-network", "my_net.1", "0"],
        "traefik_certresolver": ["le", "my-resolver_2"],
        "http_port": [1, 8080, 65535],
        "publisher": ["a", "ada@example.com", "A.b_c+d-e", "0" * 64, "importer"],
        "publisher_password": ["", PASSWORD, "x" * 12, "x" * 72],
        "cooldown_days": [0, 7, 365],
        "max_upload_mb": [1, 512, 102400],
        "private_prefixes": [[], ["acme-"], ["Acme_", "corp.tools", "x"]],
    },
    "client": {
        "project_name": ["a", "my-app", "a" * 63],
        "pypi_url": [
            "pypi.example.com",
            "http://localhost:8080",
            "https://example.com/pypi",
            "https://example.com:8443/a/b.c/~d/",
            "https://pypi.example.com/simple/",
            "https://devpi.example.com/team/dev/+simple/",
            "http://10.0.0.1:65535",
            "https://pkgs.dev.azure.com/acme/My%20Project/_packaging/feed@Local/pypi/simple/",
            "https://gitlab.example.com/api/v4/projects/our%2Fproject/packages/pypi/simple",
        ],
        "package_name": ["app", "My.App_2-x", "django", "pytest-helpers", "my-scripts"],
        "description": [
            "",
            "Ünïcode, \"quotes\", 'more', \\ and {{ braces }} # $HOME",
            "a family \U0001f469\u200d\U0001f467, \u202aleft\u202c and \ufeff",
        ],
        "author_name": ["", "Mr. O'Keefe", 'Ada "the first" Lovelace', "李"],
        "author_email": ["", "you@example.com"],
        "index_name": ["private", "a", "my-company-index"],
        "ca_certificate": ["", "ca.crt", "certs/ca.pem", "Our_CA-2.v1.crt", "testsuite/ca.pem"],
        "private_packages": [
            ["my-private-lib"],
            ["a", "b==1.*", "c>=1,<2", "d[extra]~=2.0"],
            ["requests (>=2,<3)", "e[x] (==1!2.0+local)"],
        ],
        "private_prefixes": [[], ["acme-"]],
        "cooldown_days": [0, 1, 7, 365],
        "index_user": ["", "ada", "ada@example.com", "__token__", "_json_key_base64"],
        "index_password": ["", PASSWORD, "x", "x" * 4095],
    },
}

REFUSED_HOSTS = {
    "": "The host name is empty: type a name such as pypi.example.com.",
    "pypi.example.com ": "has a space in it",
    "my pypi.example.com": "has a space in it",
    "my_pypi.example.com": "has an underscore, which host names cannot have: use hyphens.",
    "bücher.example": "is not ASCII: type its punycode form, which starts with xn--.",
    "-pypi.example.com": "neither starts nor ends with a hyphen",
    "pypi-.example.com": "neither starts nor ends with a hyphen",
    "pypi..example.com": "is not a host name: type a name such as pypi.example.com",
    "pypi.example.com.": "is not a host name: type a name such as pypi.example.com",
    "pypi;example.com": "is not a host name",
    "a" * 64 + ".example": "each part has 1 to 63 letters",
    ".".join(["a" * 63] * 3 + ["a" * 62]): "The host name has 254 characters: 253 is the most",
}

REFUSED_EMAILS = {
    "you": f"you {EMAIL}",
    "you@localhost": EMAIL,
    "@example.com": EMAIL,
    "two people@example.com": EMAIL,
    "you@my_company.example": EMAIL,
    "you@example.com\n": EMAIL,
    "you@example.com}": EMAIL,
    ".you@example.com": EMAIL,
    "you.@example.com": EMAIL,
    "y..ou@example.com": EMAIL,
    "you@-example.com": EMAIL,
    "you@example-.com": EMAIL,
}

REFUSED_PASSWORDS = {
    "x": "Type 12 to 72 characters; this password has 1.",
    "x" * 11: "Type 12 to 72 characters; this password has 11.",
    "x" * 73: "Type 12 to 72 characters; this password has 73.",
    "it's-a-password": "The password holds a single quote, which .env files cannot keep",
    "a\\password-of-mine": "The password holds a backslash, which .env files cannot keep",
    "correct horse battery": "The password holds a space, which .env files cannot keep",
    "correct-horse-bättery": ASCII,
    "two-lines-of\ntext": ASCII,
    "with-a\ttabulator": ASCII,
    "with-a-\x7fdelete": ASCII,
}

REFUSED_TOKENS = {
    **dict.fromkeys(
        [text for text in REFUSED_PASSWORDS if not text.isascii() or not text.isprintable()],
        "Type 1 to 4095 printable ASCII characters",
    ),
    **{text: REFUSED_PASSWORDS[text] for text in REFUSED_PASSWORDS if set(text) & set("'\\ ")},
    "x" * 4096: "Type 1 to 4095 characters; this password has 4096.",
}

REFUSED_USERS = dict.fromkeys(["ada lovelace", "a:b", "-a", "ada\n", "ädä", "a" * 65], USER_NAME)

BAD: dict[str, dict[str, dict[Any, str]]] = {
    "server": {
        "project_name": {
            **dict.fromkeys(["", "My-App", "-a", "a-", "a_b", "a.b", "a b", "a\n", "ä"], SLUG),
            "a" * 64: "starting and ending with a letter or digit, such as private-pypi.",
        },
        "pypi_url": {
            **REFUSED_HOSTS,
            "pypi.example.com\n": "has a space in it",
            "https://pypi.example.com": "starts with a scheme: type the host name alone",
            "pypi.example.com:8080": "has a port: type the host name alone",
            "pypi.example.com/simple": "has a path: type the host name alone",
            "[::1]": "is an IPv6 address: type a name such as pypi.example.com",
            "[2001:db8::1]:8080": "is an IPv6 address: type a name such as pypi.example.com",
            "2001:db8::1": "is an IPv6 address: type a name such as pypi.example.com",
            "ada:secret@pypi.example.com": "Leave user and password out: type the host name alone.",
        },
        "letsencrypt_email": REFUSED_EMAILS,
        "traefik_network": {
            **dict.fromkeys(
                ["", "my net", "-net", "net\n", "net:x", "réseau"],
                "Type the name that `docker network ls` shows",
            ),
            **dict.fromkeys(["bridge", "default", "host", "none"], "which are Docker's own"),
        },
        "traefik_certresolver": dict.fromkeys(
            ["", "l e", "-le", "le\n", "l.e"], "Type the resolver's name from Traefik's"
        ),
        "http_port": dict.fromkeys([0, -1, 65536], "Type a port number from 1 to 65535."),
        "publisher": {
            **REFUSED_USERS,
            "": USER_NAME,
            "import": "but not import: the gateway would take that for a command.",
        },
        "publisher_password": REFUSED_PASSWORDS,
        "cooldown_days": dict.fromkeys(
            [-1, 366], "Type a whole number of days from 0 to 365, such as 7."
        ),
        "max_upload_mb": dict.fromkeys(
            [0, -1, 102401], "Type a whole number of megabytes from 1 to 102400, such as 512."
        ),
        "private_prefixes": {
            "acme-": "Type a YAML list of prefixes such as [acme-], or [] for none.",
            "{a: b}": "Type a YAML list of prefixes such as [acme-], or [] for none.",
            "[1]": "1 is not the start of a package name",
            "[-acme]": "'-acme' is not the start of a package name",
            "['acme*']": "'acme*' is not the start of a package name",
            '["acme\\n"]': "is not the start of a package name",
            "['']": "'' is not the start of a package name",
        },
    },
    "client": {
        "project_name": {"My App": "starting and ending with a letter or digit, such as my-app."},
        "pypi_url": {
            **REFUSED_HOSTS,
            "pypi.example.com\n": "is not a base URL: type scheme, host, port and path",
            "https://ada:secret@pypi.example.com": "Leave user and password out of the URL",
            "ftp://pypi.example.com": "is neither http:// nor https://",
            "pypi.example.com:8080": "type a full URL that starts with http:// or https://.",
            "pypi.example.com/pypi": "type a full URL that starts with http:// or https://.",
            "https://pypi.example.com:0": "has port 0: type a number from 1 to 65535",
            "https://pypi.example.com:65536": "has a port that is not 1 to 65535",
            "https://pypi.example.com:http": "has a port that is not 1 to 65535",
            "https://pypi.example.com/?a=b": "is not a base URL: type scheme, host, port and path",
            "https://pypi.example.com/pypi?": "is not a base URL: type scheme, host, port and path",
            "https://pypi.example.com/a\nb": "is not a base URL: type scheme, host, port and path",
            "https://pypi.example.com/#a": "is not a base URL: type scheme, host, port and path",
            **dict.fromkeys(
                [
                    *('https://pypi.example.com/"', "https://pypi.example.com/a b"),
                    *("https://pypi.example.com/$(id)", "https://pypi.example.com/ä"),
                    *("https://pypi.example.com/a%2", "https://pypi.example.com/a%zz"),
                    *("https://pypi.example.com/a//b", "https://pypi.example.com/a/../b"),
                    *("https://pypi.example.com/./a", "https://pypi.example.com/a/%2e%2E/b"),
                ],
                "in its path, or a character that has to be percent-encoded",
            ),
            "https://pypi.example.com:/a": "has an empty port: leave the colon out.",
            "https://": "The host name is empty",
            "https://my_pypi.example.com": "has an underscore",
            "https://bücher.example": "type its punycode form",
            **dict.fromkeys(
                [
                    *("https://[::1]:8080", "https://[::1]", "http://[2001:db8::1]/simple/"),
                    *("[::1]", "::1", "[2001:db8::1]:8443", "https://[::1", "https://2001:db8::1"),
                ],
                "has an IPv6 address: type a DNS name that leads to it.",
            ),
            # Passwords as people paste them.
            **dict.fromkeys(
                ["ada@pypi.example.com", "https://ada:p/w@pypi.example.com", "ada:p@ss@x.org"],
                "Leave user and password out of the URL",
            ),
        },
        "package_name": {
            **dict.fromkeys(
                ["", "-app", "app-", "my app", "app\n", "äpp"], "is not a package name"
            ),
            "a" * 65: "The package name has 65 characters: type 64 at most.",
            "2fast": "would be imported as '2fast'",
            "class": "start with a letter.",
            **{
                name: f"{name!r} is a module of Python's standard library: choose another name."
                for name in ("json", "test", "tomllib", "imp", "compression", "sitecustomize")
            },
            "Json": "'json' is a module of Python's standard library: choose another name.",
            **{
                name: f"{name!r} is a folder of this repository: choose another name."
                for name in ("dist", "scripts", "src", "tests")
            },
            **dict.fromkeys(
                ["test-app", "Test.Lock", "test_requirements", "conftest"],
                "is a module of the app's tests: choose another name.",
            ),
            **dict.fromkeys(
                ["pip", "Poetry", "poetry-core", "uv", "uv_build", "twine", "pytest", "setuptools"],
                "is a tool that this repository uses, or a part of one: choose another name.",
            ),
        },
        "description": dict.fromkeys(
            [*LINE_SEPARATORS, "a\x00b", "a\tb", "a\x7fb", "a\x80b", "a\udcffb"], ONE_LINE
        ),
        "author_name": dict.fromkeys(
            [*LINE_SEPARATORS, "a\x1bb", "a\udcffb", "Ada <ada@x.org>"], "Type a name alone"
        ),
        "author_email": REFUSED_EMAILS,
        "index_name": dict.fromkeys(
            ["", "acme2", "my_repo", "my.repo", "My", "a--b", "-a", "a-", "a\n", "PyPI"], INDEX_NAME
        )
        | {"pypi": "To Poetry, pypi is PyPI and nothing else: type another name, such as private."},
        "ca_certificate": dict.fromkeys(
            [
                *("ca", "ca.key", ".crt", ".ca.crt", "ca.crt\n", "my ca.crt", "$ca.crt", "cä.crt"),
                *("/etc/ca.crt", "../ca.crt", "./ca.crt", "a/b/ca.crt", "certs/", "-ca.crt"),
                # Where git, Docker or the image would take it for something else.
                *("src/ca.crt", "dist/ca.crt", "tests/ca.pem", "scripts/ca.pem", "Src/ca.crt"),
                *("Makefile/ca.crt", "dockerfile/ca.pem"),
            ],
            "Type a file name such as ca.crt or certs/ca.pem: letters, digits and any of . _ -,",
        ),
        "private_packages": {
            "[]": "Type a YAML list of at least one package",
            "my-private-lib": "Type a YAML list of at least one package",
            "{a: b}": "Type a YAML list of at least one package",
            "[a, 1]": "1 is not a package name: type a name or a pin",
            "[a, null]": "None is not a package name: type a name or a pin",
            "[a, {b: c}]": "{'b': 'c'} is not a package name: type a name or a pin",
            "['']": "pip cannot read ''",
            "[lib_]": "'lib_' is not a package name: end it with a letter or a digit.",
            "[lib===1.0]": "Poetry cannot read the === of 'lib===1.0': type ==.",
            # YAML takes the comma for the list's.
            "[lib>=1,<2]": "'<2' is half a pin: type quotes around a pin that has a comma in it.",
            "[requests (>=2,<3)]": "'requests (>=2' is half a pin: type quotes around a pin",
            "[name==]": PIN,
            "[-r other.txt]": PIN,
            "['lib>=1 and more']": PIN,
            "['--index-url=https://example.com']": PIN,
            "['lib @ https://example.com/lib-1.0.zip']": "publish the package to the index",
            '["a\\nb"]': "has more than one line",
            "['lib; python_version > \"3\"']": "leave out all from the semicolon on",
            "[lib, Lib]": "is listed twice: keep one of them.",
            "[My_App]": "'My_App' is this app itself: leave it out.",
        },
        "private_prefixes": {"acme-": "Type a YAML list of prefixes such as [acme-]"},
        "cooldown_days": dict.fromkeys(
            [-1, 366], "Type a whole number of days from 0 to 365, such as 7."
        ),
        "index_user": dict.fromkeys(REFUSED_USERS, "starting with a letter, a digit or _"),
        "index_password": REFUSED_TOKENS,
    },
}


def cases(table: dict[str, dict[str, Any]]) -> list[Any]:
    """Return template, question, answer and, if there is one, message of each row of a table."""
    return [
        pytest.param(
            template_name,
            name,
            given,
            *([answers[given]] if isinstance(answers, dict) else []),
            id=f"{template_name}-{name}-{given!a}",
        )
        for template_name, questions in table.items()
        for name, answers in questions.items()
        for given in answers
    ]


@pytest.fixture(scope="session")
def questionnaire(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template that asks what ours asks, and does nothing but record what was answered."""
    folder = tmp_path_factory.mktemp("questionnaire")
    (folder / "tasks").mkdir()
    for program in (ROOT / "tasks").glob("*.py"):
        (folder / "tasks" / program.name).touch()
    shutil.copy(ROOT / "copier.yml", folder)
    shutil.copytree(
        ROOT / "extensions", folder / "extensions", ignore=shutil.ignore_patterns("__pycache__")
    )
    for template_name in ASKED:
        answers_file = folder / "template" / template_name / ANSWERS_TEMPLATE
        answers_file.parent.mkdir(parents=True)
        shutil.copy(ROOT / "template" / template_name / ANSWERS_TEMPLATE, answers_file)
    return folder


def answer(questionnaire: Path, folder: Path, answers: Answers) -> Answers:
    """Answer questions as `--data` does, the others by default; return what Copier recorded."""
    copier.run_copy(
        str(questionnaire), folder, data=answers, defaults=True, unsafe=True, quiet=True
    )
    recorded: Answers = yaml.safe_load((folder / ".copier-answers.yml").read_text())
    return recorded


@pytest.mark.parametrize(("template_name", "name", "good"), cases(GOOD))
def test_takes(
    template_name: str, name: str, good: Any, questionnaire: Path, tmp_path: Path
) -> None:
    answers = {"template": template_name, **BEFORE.get(name, {}), name: good}

    recorded = answer(questionnaire, tmp_path / "out", answers)

    if QUESTIONS[name].get("secret"):
        assert name not in recorded
    else:
        assert recorded[name] == good


@pytest.mark.parametrize(("template_name", "name", "bad", "message"), cases(BAD))
def test_refuses(
    template_name: str, name: str, bad: Any, message: str, questionnaire: Path, tmp_path: Path
) -> None:
    answers = {"template": template_name, **BEFORE.get(name, {}), name: bad}

    with pytest.raises(ValueError, match=f"^Validation error for question '{name}': ") as error:
        answer(questionnaire, tmp_path / "out", answers)

    assert message in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "given"), [("index_name", "pypi"), ("private_packages", ["lib===1.0"])]
)
def test_takes_with_uv_what_only_poetry_cannot_read(
    name: str, given: Any, questionnaire: Path, tmp_path: Path
) -> None:
    recorded = answer(questionnaire, tmp_path, {**CLIENT, "package_manager": "uv", name: given})

    assert recorded[name] == given


def test_every_free_text_is_tested_with_good_and_bad_answers() -> None:
    for template_name, names in ASKED.items():
        texts = {name for name in names if "choices" not in QUESTIONS[name]}
        assert GOOD[template_name].keys() == texts
        assert BAD[template_name].keys() == texts


def test_the_names_of_the_questions_stay() -> None:
    asked = {name for name, details in QUESTIONS.items() if details.get("when") is not False}

    assert asked == {name for names in ASKED.values() for name in names}


@pytest.mark.parametrize("template_name", ASKED)
def test_a_template_records_its_own_questions_only(
    template_name: str, questionnaire: Path, tmp_path: Path
) -> None:
    given = {
        name: value
        for table in GOOD.values()
        for name, values in table.items()
        for value in values[-1:]
        if name not in GOOD[template_name]
    }
    for number, before in enumerate([{}, *BEFORE.values()]):
        recorded = answer(
            questionnaire, tmp_path / str(number), {**given, **before, "template": template_name}
        )
        names = {name for name in recorded if not name.startswith("_")}
        assert names <= set(ASKED[template_name])
        assert names >= {"template", "project_name", "pypi_url", "ci"}


@pytest.mark.parametrize(
    "answers",
    [
        {**SERVER, "publisher_password": PASSWORD},
        {**CLIENT, "index_user": "ada", "index_password": PASSWORD},
    ],
    ids=["server", "client"],
)
def test_secret_answers_are_not_recorded(
    answers: Answers, questionnaire: Path, tmp_path: Path
) -> None:
    recorded = answer(questionnaire, tmp_path, answers)

    assert not {name for name in recorded if QUESTIONS.get(name, {}).get("secret")}
    assert PASSWORD not in str(recorded)


@pytest.mark.parametrize(
    "name",
    # To Copier any word is a yes or a no.
    [
        name
        for name, details in QUESTIONS.items()
        if "choices" in details and details["type"] != "bool"
    ],
)
def test_a_choice_that_does_not_exist_is_refused_with_those_that_do(
    name: str, questionnaire: Path, tmp_path: Path
) -> None:
    template_name = "server" if name in ASKED["server"] else "client"
    choices = QUESTIONS[name]["choices"]

    with pytest.raises(ValueError, match=f"^Invalid choice for '{name}': 'neither' is not in") as e:
        answer(questionnaire, tmp_path / "out", {"template": template_name, name: "neither"})

    for choice in choices if isinstance(choices, list) else choices.values():
        assert repr(choice) in str(e.value)
    assert not (tmp_path / "out").exists()


REFUSALS = [
    (SERVER, "project_name", "My Index", "Type 1 to 63 lower-case letters"),
    (SERVER, "publisher_password", "eleven-char", "this password has 11."),
    ({**CLIENT, "index_user": "ada"}, "index_password", "it's-a-password", "a single quote"),
    (CLIENT, "private_packages", "[lib==]", "pip cannot read 'lib=='"),
]


@pytest.mark.parametrize("way", ["--data", "--data-file"])
@pytest.mark.parametrize(("answers", "name", "bad", "message"), REFUSALS)
def test_the_command_refuses_bad_data_and_leaves_nothing(
    way: str,
    answers: Answers,
    name: str,
    bad: str,
    message: str,
    questionnaire: Path,
    tmp_path: Path,
) -> None:
    data = {**answers, name: bad}
    if way == "--data":
        options = [word for key, value in data.items() for word in ("--data", f"{key}={value}")]
    else:
        (tmp_path / "answers.yml").write_text(yaml.safe_dump(data))
        options = ["--data-file", "answers.yml"]

    done = run("copy", "--trust", "--defaults", *options, questionnaire, "out", cwd=tmp_path)

    assert done.returncode == 1
    *_, last_line = done.stderr.splitlines()
    assert f"Validation error for question '{name}': " in last_line
    assert message in last_line
    if QUESTIONS[name].get("secret"):
        assert bad not in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("template_name", ASKED)
def test_defaults_give_a_repository_whose_make_lists_its_targets(
    template_name: str, template: Path, tmp_path: Path
) -> None:
    options = ["--trust", "--defaults", "--data", f"template={template_name}"]

    succeed("copy", *options, template, "out", cwd=tmp_path)

    listed = subprocess.run(["make"], cwd=tmp_path / "out", capture_output=True, text=True)
    assert listed.returncode == 0, listed.stderr
    assert "template-update" in listed.stdout


def test_which_template_has_no_default(questionnaire: Path, tmp_path: Path) -> None:
    done = run("copy", "--trust", "--defaults", questionnaire, "out", cwd=tmp_path)

    assert done.returncode == 1
    assert 'Question "template" is required' in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_copy_without_trust_is_refused(questionnaire: Path, tmp_path: Path) -> None:
    done = run(
        "copy", "--defaults", "--data", "template=server", questionnaire, "out", cwd=tmp_path
    )

    assert done.returncode == 4
    assert "--trust" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (
            {**SERVER, "publisher": "ada"},
            ["make pypi-user-add USER=ada ROLE=publisher", "make pypi-launch"],
        ),
        (
            {**SERVER, "publisher": "ada", "publisher_password": PASSWORD},
            [
                "make pypi-launch",
                "make pypi-user-passwd USER=ada"
                "  # replaces the password you typed with a generated one",
                "make pypi-user-add USER=ci ROLE=reader",
            ],
        ),
        (CLIENT, ["make login", "make build"]),
        ({**CLIENT, "index_user": "ada"}, ["make login", "make build"]),
        ({**CLIENT, "index_password": PASSWORD}, ["make login", "make build"]),
        (
            {**CLIENT, "index_user": "ada", "index_password": PASSWORD},
            ["make build", "make run"],
        ),
        ({**CLIENT, "locked": True}, ["make login", "make lock", "make build"]),
        (
            {**CLIENT, "locked": True, "index_user": "ada", "index_password": PASSWORD},
            ["make lock", "make build"],
        ),
    ],
    ids=[
        "server without password",
        "server with password",
        "client without account",
        "client without password",
        "client without user",
        "client with account",
        "locked client without account",
        "locked client with account",
    ],
)
def test_the_message_after_a_copy_names_the_next_three_commands(
    answers: Answers,
    expected: list[str],
    questionnaire: Path,
    template: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "a folder of mine"

    copier.run_copy(str(questionnaire), folder, data=answers, defaults=True, unsafe=True)

    message = capfd.readouterr().err.split("is ready. Next:")[1]
    change_folder, *commands = [line.strip() for line in message.splitlines() if line.strip()]
    assert shlex.split(change_folder) == ["cd", str(folder)]
    assert commands == expected
    assert PASSWORD not in message
    makefile = (template / "template" / answers["template"] / "Makefile.jinja").read_text()
    for command in commands:
        assert re.search(rf"^{shlex.split(command)[1]}:.*## ", makefile, re.MULTILINE)


@pytest.mark.parametrize(
    ("prefixes", "uncovered"),
    [
        ([], ""),
        (["acme-", "Corp.Tools"], "my-acme, corp"),
        (["acme-", "corp", "my"], ""),
    ],
)
@pytest.mark.parametrize("step", ["copy", "update"])
def test_private_packages_that_no_prefix_covers_are_pointed_out(
    prefixes: list[str],
    uncovered: str,
    step: str,
    questionnaire: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    packages = ["acme", "Acme_Lib", "my-acme==1.*", "corp"]
    answers = {**CLIENT, "private_packages": packages, "private_prefixes": prefixes}
    source, folder = tmp_path / "template", tmp_path / "app"
    shutil.copytree(questionnaire, source)
    commit(source, "A template")
    git(source, "tag", "v1")
    copier.run_copy(str(source), folder, data=answers, defaults=True, unsafe=True)
    message = capfd.readouterr().err
    if step == "update":
        commit(folder, "An app")
        copier.run_update(folder, defaults=True, overwrite=True, unsafe=True)
        message = capfd.readouterr().err

    said = re.findall(r"No prefix in private_prefixes covers (.*?):", message)
    assert said == ([uncovered] if uncovered else [])


def test_at_a_terminal_a_bad_answer_is_explained_and_can_be_corrected(
    questionnaire: Path, tmp_path: Path
) -> None:
    clear = "\x15"
    answers = [
        ("What do you want to make?", ""),
        ("What is the repository called?", f"{clear}My Index"),
        ("Type 1 to 63 lower-case letters, digits and hyphens", f"{clear}my-index"),
        ("Which DNS name will the server answer to?", f"{clear}https://pypi.our.example"),
        ("starts with a scheme: type the host name alone", f"{clear}pypi.our.example"),
        ("Who gives the server its HTTPS certificate?", ""),
        ("Which e-mail address may Let's Encrypt write to?", ""),
        ("What is the first account called?", ""),
        ("What is the first account's password?", "too-short"),
        ("Type 12 to 72 characters; this password has 9.", clear + PASSWORD),
        ("What should the server answer for a package that it does not have?", ""),
        ("How many megabytes may an uploaded file have?", f"{clear}0"),
        ("Type a whole number of megabytes from 1 to 102400", f"{clear}100"),
        ("How do the names of your private packages begin?", ""),
        ("Where does continuous integration run?", ""),
    ]

    code, screen = converse("copy", "--trust", questionnaire, "out", cwd=tmp_path, answers=answers)

    assert code == 0, screen
    recorded = yaml.safe_load((tmp_path / "out/.copier-answers.yml").read_text())
    assert recorded["project_name"] == "my-index"
    assert recorded["pypi_url"] == "pypi.our.example"
    assert recorded["max_upload_mb"] == 100
    assert PASSWORD not in screen


def test_at_a_terminal_a_default_that_would_be_refused_is_not_offered(
    questionnaire: Path, tmp_path: Path
) -> None:
    clear = "\x15"
    answers = [
        ("What is the repository called?", f"{clear}test"),
        ("Where is the private index?", ""),
        ("Under which name is the app published?", "test"),
        ("'test' is a module of Python's standard library", f"{clear}my-private-lib"),
        *[
            (question, "")
            for question in ("What does the app do", "Who writes it?", "Which e-mail")
        ],
        *[(question, "") for question in ("Which Python", "Which tool", "Which releases")],
        *[(question, "") for question in ("What should Poetry and uv call", "Which file of this")],
        ("Which private packages does the app install?", "[my-private-lib]"),
        ("'my-private-lib' is this app itself: leave it out.", f"{clear}[other-lib]"),
        ("How do the names of your private packages begin?", ""),
        *[(question, "") for question in ("How should the app use", "How many days old")],
        ("How should the Docker build", ""),
        *[(question, "") for question in ("Your account on", "Where does continuous")],
        ("How should CI prove to the index that it may publish?", ""),
    ]
    options = ["--trust", "--data", "template=client"]

    code, screen = converse("copy", *options, questionnaire, "out", cwd=tmp_path, answers=answers)

    assert code == 0, screen
    recorded = yaml.safe_load((tmp_path / "out/.copier-answers.yml").read_text())
    assert recorded["package_name"] == "my-private-lib"
    assert recorded["private_packages"] == ["other-lib"]


@pytest.mark.parametrize(
    ("name", "details"),
    [(name, QUESTIONS[name]) for name in QUESTIONS if QUESTIONS[name].get("when") is not False],
)
def test_every_question_is_explained_and_every_text_checked(
    name: str, details: dict[str, Any]
) -> None:
    assert "?" in details["help"]
    assert "choices" in details or details["validator"]
    assert details.get("default") == "" or not details.get("secret")


def test_every_answer_is_used() -> None:
    environment = runpy.run_path(str(ROOT / "scripts/questions.py"))["environment"]
    settings = {name: str(value) for name, value in QUESTIONNAIRE.items() if name.startswith("_")}
    questions = {
        name: "".join(str(value) for key, value in details.items() if key != "validator")
        for name, details in QUESTIONS.items()
    }
    paths = [path for path in (ROOT / "template").rglob("*.jinja") if path.is_file()]
    files = {str(path): path.read_text(encoding="utf-8") + str(path) for path in paths}

    used: set[str] = set()
    for text in {**settings, **questions, **files}.values():
        used |= jinja2.meta.find_undeclared_variables(environment.parse(text))

    assert QUESTIONS.keys() <= used


def test_the_page_of_questions_is_current() -> None:
    page = runpy.run_path(str(ROOT / "scripts/questions.py"))["page"]()

    assert (ROOT / "docs/questions.md").read_text(encoding="utf-8") == f"{page}\n", "run make docs"
