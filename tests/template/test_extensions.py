"""The functions that the questionnaire and the templates call."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urljoin, urlsplit

import pytest
import tomli
from copier.errors import UserMessageError
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from kit.template import PASSWORD, ROOT, Render
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from passlib.apache import HtpasswdFile
from private_pypi import accounts

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def load(path: str) -> ModuleType:
    """Import a file that belongs to no package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Not imported by name: it is for a newer Python than the extensions are.
login = importlib.import_module("tools.login")
answers = load("extensions/answers.py")
distribution = load("extensions/distribution.py")
hostname = load("extensions/hostname.py")
htpasswd = load("extensions/htpasswd.py")
index_url = load("extensions/index_url.py")
password = load("extensions/password.py")
text = load("extensions/text.py")

VISIBLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
users = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", fullmatch=True)
passwords = st.text(VISIBLE, min_size=10, max_size=75).filter(
    lambda text: not password.password_error(text)
)
maybe_passwords = st.text(max_size=80) | st.text(
    st.characters(min_codepoint=0x1F, max_codepoint=0x80), max_size=80
)
distribution_names = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True)
specifiers = st.lists(
    st.builds(
        "{}{}.{}".format,
        st.sampled_from(["==", "!=", ">=", "<=", "<", ">", "~="]),
        st.integers(0, 99),
        st.integers(0, 99),
    ),
    max_size=3,
    unique=True,
).map(",".join)
almost_urls = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["https://", "http://", "HTTPS://"]),
    st.from_regex(r"[a-z0-9]{1,8}(\.[A-Z0-9]{1,8})?", fullmatch=True),
    st.sampled_from(["", ":1", ":65535", ":65536", "/simple", "/a.b/~c"]),
    st.just("") | st.text("/.~-a2E\\?#%:@[] \n\xa0", max_size=4),
)
almost_requirements = st.builds(
    "{}{}{}{}".format,
    distribution_names,
    st.sampled_from(["", "[extra]", "[a,b]"]),
    specifiers,
    st.just("") | st.sampled_from(["; os_name == '\r'", " @ file:///x"]) | st.text(max_size=1),
)


class TestHostname:
    @given(st.lists(st.integers(0, 70), min_size=1, max_size=8))
    @example([63, 63, 63, 61])
    @example([63, 63, 63, 62])
    @example([64])
    def test_is_right_about_every_length(self, lengths: list[int]) -> None:
        host = ".".join("a" * length for length in lengths)

        right = all(1 <= length <= 63 for length in lengths) and len(host) <= 253

        assert (hostname.hostname_error(host) == "") == right

    @given(st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9.-]{1,40}", fullmatch=True))
    def test_lets_nothing_through_that_a_url_cannot_name(self, host: str) -> None:
        assume(hostname.hostname_error(host) == "")

        assert host.encode("idna").decode() == host
        assert urlsplit(f"https://{host}/").hostname == host.lower()

    @pytest.mark.parametrize(
        ("host", "problem"),
        [
            ("", "is empty"),
            ("a b", "has a space"),
            ("https://a", "starts with a scheme"),
            ("a@b", "user and password"),
            ("a/b", "has a path"),
            ("a:1", "has a port"),
            ("ä", "punycode"),
            ("a_b", "underscore"),
            ("-a", "hyphen"),
        ],
    )
    def test_says_what_is_wrong(self, host: str, problem: str) -> None:
        assert problem in hostname.hostname_error(host)


REGISTRIES = [
    pytest.param(
        *(cell.strip("` ") for cell in row.strip("|").split("|")[:3]), id=row.split("|")[1]
    )
    for row in (ROOT / "docs/registries.md").read_text(encoding="utf-8").splitlines()
    if row.startswith("|") and "://" in row
]
"""Name, answer to `pypi_url` and the URL for uploads of each index in the documentation."""


class TestIndexUrl:
    @pytest.mark.parametrize(
        ("typed", "base"),
        [
            ("pypi.example.com", "https://pypi.example.com"),
            ("pypi.example.com/", "https://pypi.example.com"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("https://pypi.example.com/simple", "https://pypi.example.com"),
            ("https://pypi.example.com/simple/", "https://pypi.example.com"),
            ("https://example.com/pypi/simple//", "https://example.com/pypi"),
            ("https://example.com/simpler", "https://example.com/simpler"),
            ("HTTPS://Pypi.Example.com", "https://Pypi.Example.com"),
            ("https://simple", "https://simple"),
            ("https://example.com/user/index/+simple/", "https://example.com/user/index"),
            ("https://example.com/simple/+simple", "https://example.com/simple"),
            ("", "https://"),
            ("https://", "https://"),
        ],
    )
    def test_the_base_has_a_scheme_and_no_simple(self, typed: str, base: str) -> None:
        assert index_url.base_url(typed) == base

    @pytest.mark.parametrize(("name", "typed", "publish"), REGISTRIES)
    def test_the_urls_of_each_registry_derive_as_documented(
        self, name: str, typed: str, publish: str
    ) -> None:
        assert index_url.base_url_error(typed) == ""
        assert hostname.hostname_error(index_url.index_host(typed)) == ""
        pages = "+simple" if name == "devpi" else "simple"
        for variant in (typed, f"{typed.rstrip('/')}/", typed.rstrip("/")):
            assert index_url.publish_url(variant) == publish
            simple = index_url.simple_url(variant)
            assert simple.endswith(f"/{pages}/")
            assert simple.count("simple") == 1
            assert simple.startswith(index_url.base_url(typed))

    @pytest.mark.parametrize(
        ("typed", "publish"),
        [
            ("https://example.com/_packaging/pypi", "https://example.com/_packaging/pypi/"),
            ("https://example.com/_packaging/f/pypi/x", "https://example.com/_packaging/f/pypi/x/"),
            ("https://tfs.example.com/t/_packaging/f/pypi", None),
            ("https://DL.cloudsmith.io/basic/o/r/python", "https://python.cloudsmith.io/o/r/"),
            ("https://dl.cloudsmith.io/o/r/python", "https://dl.cloudsmith.io/o/r/python/"),
        ],
    )
    def test_exceptions_are_told_from_what_looks_like_them(
        self, typed: str, publish: str | None
    ) -> None:
        assert index_url.publish_url(typed) == (publish or f"{typed}/upload/")

    @given(almost_urls)
    def test_pages_and_uploads_have_the_scheme_and_a_slash_at_the_end(self, typed: str) -> None:
        assume(index_url.base_url_error(typed) == "")
        assume(hostname.hostname_error(index_url.index_host(typed)) == "")

        simple, base = index_url.simple_url(typed), index_url.base_url(typed)

        assert simple in (f"{base}/simple/", f"{base}/+simple/")
        assert index_url.simple_url(simple) == simple
        assert urlsplit(index_url.publish_url(typed)).scheme == urlsplit(base).scheme
        assert index_url.publish_url(typed).endswith("/")

    @given(almost_urls)
    @example("https://pypi.example.com/pypi?")
    @example("https://pypi.example.com/#")
    @example("https://pypi.example.com/a\nb")
    def test_what_has_no_error_is_one_host_and_a_path(self, typed: str) -> None:
        assume(index_url.base_url_error(typed) == "")
        assume(hostname.hostname_error(index_url.index_host(typed)) == "")
        base = index_url.base_url(typed)

        parts = urlsplit(base)

        assert base == f"{parts.scheme}://{parts.netloc}{parts.path}"
        assert parts.scheme in ("http", "https")
        assert parts.hostname == index_url.index_host(typed).lower()
        assert parts.username is None
        assert not base.endswith("/")
        assert urljoin(f"{base}/", ".") == f"{base}/"

    @given(st.text(max_size=60) | almost_urls)
    def test_every_text_has_an_error_or_a_base(self, typed: str) -> None:
        error = index_url.base_url_error(typed)
        error = error or hostname.hostname_error(index_url.index_host(typed))

        assert error or urlsplit(index_url.base_url(typed)).hostname

    @given(
        st.sampled_from(
            ["https://pypi.example.com", "http://localhost:8080", "https://example.com:1/a/b"]
        ),
        users,
        passwords,
    )
    @example("https://pypi.example.com", "ada@example.com", PASSWORD)
    def test_credentials_come_out_of_the_url_as_they_went_in(
        self, base: str, user: str, secret: str
    ) -> None:
        with_credentials = urlsplit(index_url.with_credentials(base, user, secret))
        without = urlsplit(base)

        assert unquote(with_credentials.username or "") == user
        assert unquote(with_credentials.password or "") == secret
        assert with_credentials.hostname == without.hostname
        assert with_credentials.port == without.port
        assert with_credentials.path == without.path
        assert not with_credentials.query + with_credentials.fragment


class TestHtpasswd:
    @settings(max_examples=2)
    @given(users, passwords)
    @example("ada@example.com", PASSWORD)
    @example("ada", "x" * 72)
    def test_the_line_lets_that_password_in_and_no_other(self, user: str, secret: str) -> None:
        line = htpasswd.htpasswd(secret, user)
        file = HtpasswdFile.from_string(f"{line}\n")

        assert line.startswith(f"{user}:$2y$10$")
        assert line.splitlines() == [line]
        assert file.users() == [user]
        assert file.check_password(user, secret) is True
        assert file.check_password(user, secret[:-1]) is False

    @pytest.mark.parametrize(("secret", "user"), [("", "ada"), (PASSWORD, ""), ("", "")])
    def test_nothing_empty_makes_an_account(self, secret: str, user: str) -> None:
        with pytest.raises(ValueError, match="neither of them empty"):
            htpasswd.htpasswd(secret, user)

    def test_a_password_that_bcrypt_would_cut_short_makes_no_account(self) -> None:
        with pytest.raises(ValueError, match="72"):
            htpasswd.htpasswd("x" * 73, "ada")


class TestPassword:
    @given(maybe_passwords)
    @example("x" * 11)
    @example("x" * 12)
    @example("x" * 72)
    @example("x" * 73)
    @example("x" * 12 + "\n")
    @example("")
    def test_the_server_has_the_same_rule(self, text: str) -> None:
        try:
            accounts.check_password(text)
        except accounts.AccountError:
            taken = False
        else:
            taken = True

        assert (password.password_error(text) == "") == taken

    @given(text=maybe_passwords)
    @example(text="x")
    @example(text="x" * 4095)
    @example(text="x" * 4096)
    @example(text="")
    def test_the_client_has_the_same_rule(self, text: str) -> None:
        assert (password.token_error(text) == "") == (login.error_of("ada", text) == "")

    @given(passwords)
    def test_the_client_takes_whatever_the_server_takes(self, text: str) -> None:
        assert password.token_error(text) == ""

    @given(passwords)
    def test_what_passes_can_stand_in_single_quotes_on_one_line(self, text: str) -> None:
        assert text.splitlines() == [text]
        assert text.isascii()
        assert text.isprintable()
        assert not set(text) & set("'\\ ")


class TestText:
    @given(
        st.text(max_size=20) | st.text("a \r\n\t\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029", max_size=3)
    )
    def test_what_has_no_error_can_be_a_summary(self, line: str) -> None:
        # Not by assume(): most lines of the second kind have an error, and too few would be left.
        if text.line_error(line):
            return

        assert line.encode().decode().splitlines() in ([line], [])
        raw = {"metadata_version": "2.4", "name": "app", "version": "1", "summary": line}
        assert Metadata.from_raw(raw).summary == line  # type: ignore[arg-type]

    @given(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]))
    def test_every_other_character_is_taken(self, character: str) -> None:
        assert text.line_error(f"a{character}b") == ""

    @given(st.emails(domains=st.just("example.com")) | st.text(".-@ax%+_", max_size=9))
    def test_an_address_without_error_is_one_to_poetry(self, address: str) -> None:
        # Most of what is made up is none, too much to assume() that it is.
        if address == "" or text.email_error(address):
            return

        assert re.fullmatch(r"(?!.*\.\..*@)[^@.][^@]*(?<!\.)@[^@]+\.[^@]+", address)
        assert address.isascii()


class TestDistribution:
    @given(distribution_names)
    @example("class")
    @example("Json")
    @example("2fast")
    def test_a_name_is_taken_if_and_only_if_its_module_can_be_imported(self, name: str) -> None:
        module = distribution.module_name(name)
        importable = module.isidentifier() and not keyword.iskeyword(module)
        taken = distribution._STANDARD_LIBRARY | distribution._TAKEN.keys()

        error = distribution.distribution_name_error(name)

        assert (error == "") == (importable and module not in taken)

    def test_no_name_hides_what_the_tests_import_or_the_makefile_runs(self, render: Render) -> None:
        requirements = [Requirement(line) for line in metadata.requires("pytest") or []]
        needed = [each.name for each in requirements if "extra" not in str(each.marker)]
        for manager in ("poetry", "uv"):
            folder = render({"template": "client", "package_manager": manager})
            makefile = (folder / "Makefile").read_text(encoding="utf-8")
            needed += re.findall(r"^[A-Z]+ \?= (\w+)$", makefile, re.M)
            needed += [path.name for path in folder.glob("[!.]*") if path.is_dir()]
            needed += [path.stem for path in folder.glob("tests/*.py")]
            project = tomli.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
            needed += [Requirement(line).name for line in project["build-system"]["requires"]]

        assert {"pluggy", "twine", "poetry", "uv", "uv_build", "src", "test_app"} <= {*needed}
        for name in [*needed, *filter(str.islower, sys.stdlib_module_names)]:
            assert distribution.distribution_name_error(name) != "", name

    @given(distribution_names)
    def test_a_module_means_the_same_as_its_distribution(self, name: str) -> None:
        module = distribution.module_name(name)

        assert canonicalize_name(module) == canonicalize_name(name)
        assert distribution.module_name(module) == module

    @given(distribution_names, specifiers)
    def test_a_pin_is_kept_and_a_bare_name_gets_one(self, name: str, specifier: str) -> None:
        before = Requirement(name + specifier)

        after = Requirement(distribution.pinned(name + specifier))

        assert after.name == before.name
        assert after.specifier == (before.specifier or Requirement("x==0.*").specifier)
        assert distribution.pinned(str(after)) == str(after)

    @pytest.mark.parametrize(
        ("typed", "pinned"),
        [
            ("my-private-lib", "my-private-lib==0.*"),
            ("lib==2.*", "lib==2.*"),
            ("lib[extra]", "lib[extra]==0.*"),
            ("requests (>=2,<3)", "requests<3,>=2"),
            ("lib [b,a] ( ~= 1.0 )", "lib[a,b]~=1.0"),
        ],
    )
    def test_extras_are_kept(self, typed: str, pinned: str) -> None:
        assert distribution.pinned(typed) == pinned

    @given(distribution_names, specifiers)
    def test_a_requirement_is_for_the_normalized_name(self, name: str, specifier: str) -> None:
        assert distribution.required_name(name + specifier) == canonicalize_name(name)

    @given(st.lists(distribution_names.flatmap(lambda x: specifiers.map(x.__add__)), min_size=1))
    def test_a_list_is_refused_if_and_only_if_a_name_is_twice_in_it(self, typed: list[str]) -> None:
        names = [distribution.required_name(text) for text in typed]
        assume("my-app" not in names)

        error = distribution.requirements_error(typed, "My.App", "poetry")

        assert (error == "") == (len(set(names)) == len(names))

    @given(st.lists(almost_requirements, min_size=1, max_size=2))
    def test_a_list_without_error_is_one_requirement_a_line(self, typed: list[str]) -> None:
        assume(distribution.requirements_error(typed, "my-app", "poetry") == "")

        for text in map(distribution.pinned, typed):
            assert text.splitlines() == [text]
            assert Requirement(text).specifier
            assert Requirement(text).url is None


class TestAnswers:
    @pytest.mark.parametrize(
        ("content", "recorded"),
        [
            (b"template: server\n_commit: v1\n", "server"),
            (b"# written by Copier\ntemplate: client\n", "client"),
            (b"ci: github\n", ""),
            (b"- a list\n", ""),
            (b"broken: [\n", ""),
            (b"\xff\xfe", ""),
            (b"", ""),
            (None, ""),
        ],
    )
    def test_tells_what_the_folder_was_made_from(
        self, content: bytes | None, recorded: str, tmp_path: Path
    ) -> None:
        if content is not None:
            (tmp_path / "answers.yml").write_bytes(content)

        found = answers.recorded_template({"dst_path": tmp_path, "answers_file": "answers.yml"})

        assert found == recorded

    @pytest.mark.parametrize(
        "source",
        [
            *("gh:acme/templates", "gl:acme/templates.git", "~/templates", "/opt/templates"),
            *("git@example.com:acme/t.git", "ssh://git@example.com/t.git", "file:///opt/t.git"),
            *("git+ssh://git@example.com/t", "https://example.com/t@v1.git", "git+https://x.org/t"),
            *("no-such-folder", "git+no-such-folder", "git@here/t.git"),
        ],
    )
    def test_records_the_address_of_the_template_as_it_was_typed(self, source: str) -> None:
        recorded = {"_src_path": source, "ci": "none"}

        assert answers.to_record(recorded) == recorded

    @pytest.mark.parametrize(
        ("typed", "found"), [(".", "."), ("../t", "../t"), ("git+../t", "../t"), ("./a/../b", "b")]
    )
    def test_records_a_relative_path_as_an_absolute_one(
        self, typed: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for folder in ("here/a", "here/b", "t"):
            (tmp_path / folder).mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "here")

        recorded = answers.to_record({"_src_path": typed})["_src_path"]

        prefix = "git+" if typed.startswith("git+") else ""
        assert recorded == f"{prefix}{(tmp_path / 'here' / found).resolve()}"

    @pytest.mark.parametrize(
        "source",
        [
            *("https://s3cr3t@example.com/t.git", "git+https://ada:s3cr3t@example.com/t"),
            *("HTTPS://ada:s3cr3t@example.com:8443/t.git", "http://@s3cr3t@example.com/t.git"),
            *("ssh://git:s3cr3t@example.com/t.git", "git+ssh://git:s3cr3t@example.com/t"),
            *("git+https://example.com/t?private_token=s3cr3t", "git+https://@:s3cr3t@x.org/t"),
        ],
    )
    def test_refuses_to_record_a_token_and_does_not_repeat_it(self, source: str) -> None:
        with pytest.raises(UserMessageError, match="holds a user, a password or a token") as error:
            answers.to_record({"_src_path": source})

        assert "s3cr3t" not in str(error.value)
