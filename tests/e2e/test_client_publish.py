"""What `make publish` refuses, and how it explains what the index refuses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from kit import foreign_index, wheel
from kit.client import MakeClient
from kit.git import commit, git
from kit.public_index import PublicIndex, digest
from kit.server import Server

managers = pytest.mark.parametrize("manager", ["poetry", "uv"])


@contextmanager
def answering(status: int) -> Iterator[str]:
    """Run a server that answers every upload with a status; yield its base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200 if self.path == "/simple/" else 404)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(status)

        def answer(self, code: int) -> None:
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def move(folder: Path, old: str, new: str) -> None:
    """Let a client have its index elsewhere."""
    for name in ("pyproject.toml", "poetry.toml"):
        if (folder / name).exists():
            text = (folder / name).read_text()
            assert old in text
            (folder / name).write_text(text.replace(old, new))


@managers
def test_a_refused_upload_is_explained_in_a_sentence_with_the_remedy(
    client: MakeClient, server: Server, manager: str
) -> None:
    app = client({"package_manager": manager})
    app.make("package")
    url = server.url().rstrip("/")
    remedies = {
        400: "The index takes the file for a bad one: read its answer above.",
        401: "refuses the user name or password: run `make login`.",
        403: "This account may not publish, or its password is wrong: ask the index's owner",
        409: "The index has or had this version and replaces none: run `make bump PART=patch`",
        413: "The file is larger than the index takes: make it smaller",
    }
    for status, sentence in remedies.items():
        with answering(status) as broken:
            move(app.folder, url, broken)
            assert sentence in app.make("upload", ok=False)
            move(app.folder, broken, url)
    unreachable = {
        "http://no-such-host.invalid": "no-such-host.invalid does not resolve: check its spelling",
        url.replace("http:", "https:"): "does not speak TLS as it should: check port and scheme",
    }
    for other, sentence in unreachable.items():
        move(app.folder, url, other)
        assert sentence in app.make("upload", ok=False)
        move(app.folder, other, url)


@managers
def test_what_must_not_be_published_is_refused_before_it_is_sent(
    client: MakeClient, server: Server, manager: str
) -> None:
    name = f"guarded-with-{manager}"
    app = client({"package_manager": manager, "package_name": name})

    def sent() -> list[str]:
        return [file for file in server.files() if file.startswith(name.replace("-", "_"))]

    (app.folder / "notes.txt").write_text("mine\n")
    said = app.make("publish", ok=False)
    assert "Not everything is committed: commit it, or say 'make publish FORCE=1'." in said
    assert not (app.folder / "dist").exists()
    (app.folder / "notes.txt").unlink()

    assert "dist/ lacks a wheel or an sdist: run `make package`." in app.make("upload", ok=False)
    app.make("package")
    app.make("bump", "PART=minor")
    said = app.make("upload", ok=False)
    assert "has version 0.1.0, but pyproject.toml says 0.2.0: run `make package`." in said

    commit(app.folder, "Bump")
    git(app.folder, "tag", "v0.3.0")
    said = app.make("publish", ok=False)
    assert "This commit is tagged v0.3.0, but pyproject.toml says 0.2.0" in said
    git(app.folder, "tag", "--delete", "v0.3.0")

    (app.folder / "README.rst").write_text("Title\n==\n\n.. nonsense::\n")
    project = (app.folder / "pyproject.toml").read_text()
    (app.folder / "pyproject.toml").write_text(project.replace("README.md", "README.rst"))
    said = app.make("publish", "FORCE=1", ok=False)
    assert "correct pyproject.toml or the readme it names." in said
    assert sent() == []

    (app.folder / "README.rst").write_text("Title\n=====\n")
    git(app.folder, "tag", "v0.2.0")
    (app.folder / ".git/refs/tags/v0.2.0").write_text("garbage\n")
    said = app.make("publish", "FORCE=1", ok=False)
    assert "ignoring broken ref refs/tags/v0.2.0\ngit does not tell what is committed" in said
    (app.folder / ".git/refs/tags/v0.2.0").unlink()
    head = (app.folder / ".git/HEAD").read_text()
    (app.folder / ".git/HEAD").write_text("garbage\n")
    said = app.make("upload", ok=False)
    assert "fatal: not a git repository" in said
    assert f"git does not tell what is committed in {app.folder}: do what it says" in said
    (app.folder / ".git/HEAD").write_text(head)
    for path in (app.folder / "dist").glob("*.whl"):
        wheel.build(path.parent, "another-name", "0.2.0", origin="us").rename(path)
    said = app.make("upload", ok=False)
    assert f"is of another-name, but pyproject.toml says {name}: run `make package`." in said
    assert sent() == []

    app.make("publish", "FORCE=1")
    assert len(sent()) == 2


@managers
def test_other_content_under_a_published_version_is_refused_and_the_same_is_not(
    client: MakeClient, server: Server, manager: str
) -> None:
    name = f"changed-with-{manager}"
    app = client({"package_manager": manager, "package_name": name})
    assert f"Published {name} 0.1.0 to {server.url()}\n" in app.make("publish")
    held = [file for file in server.files() if file.startswith(name.replace("-", "_"))]
    before = [(server.data / file).read_bytes() for file in held]

    (app.folder / "README.md").write_text("Something else.\n")
    said = app.make("publish", "FORCE=1", ok=False)
    assert "The index has or had this version and replaces none: run `make bump PART=patch`" in said
    assert "Published" not in said

    git(app.folder, "checkout", "--quiet", ".")
    assert "The index had this version already: `make bump PART=patch`" in app.make("publish")
    assert [(server.data / file).read_bytes() for file in held] == before


@managers
def test_a_version_is_the_same_however_it_is_written(
    client: MakeClient, server: Server, manager: str
) -> None:
    name = f"written-with-{manager}"
    app = client({"package_manager": manager, "package_name": name})
    project = app.folder / "pyproject.toml"
    project.write_text(project.read_text().replace('"0.1.0"', '"1.0.0-alpha.1"', 1))
    commit(app.folder, "Write it as semantic versioning does")
    git(app.folder, "tag", "v1.0.0-alpha.1")

    assert f"Published {name} 1.0.0a1 to {server.url()}\n" in app.make("publish")


@managers
def test_neither_settings_nor_variables_have_publishing_ask_another_index(
    client: MakeClient, server: Server, public: PublicIndex, tmp_path: Path, manager: str
) -> None:
    name = f"unasked-with-{manager}"
    wheel.build(public.folder, name, "0.1.0", origin="a stranger")
    app = client({"package_manager": manager, "package_name": name})
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv/uv.toml").write_text(f'check-url = "{public.url}"\n')
    asked = len(public.requests)

    said = app.make("publish", XDG_CONFIG_HOME=str(tmp_path), UV_PUBLISH_CHECK_URL=public.url)

    assert f"Published {name} 0.1.0" in said
    assert public.requests[asked:] == []


@managers
def test_an_index_that_refuses_what_it_has_is_sent_what_is_missing_and_no_more(
    client: MakeClient, server: Server, manager: str
) -> None:
    app = client({"package_manager": manager, "package_name": "half-published"})
    app.make("package")
    (sdist,) = (app.folder / "dist").glob("*.tar.gz")
    (whl,) = (app.folder / "dist").glob("*.whl")
    with foreign_index.running() as other:
        move(app.folder, server.url().rstrip("/"), other.url.removesuffix("/simple/"))

        other.post_status = 200
        hashes = {"sha256": digest(whl), "md5": hashlib.md5(whl.read_bytes()).hexdigest()}
        other.has("half-published", {"filename": whl.name, "hashes": hashes, "yanked": True})
        assert "Published half-published 0.1.0" in app.make("upload")
        (sent,) = other.posts
        assert sdist.name.encode() in sent

        # Without a hash nobody knows which content the index has, and with another one it is other.
        link = '<a href="/{0}{1}">{0}</a>'
        other.has_html("half-published", link.format(whl.name, ""))
        app.make("upload")
        assert len(other.posts) == 3
        other.has_html("half-published", link.format(whl.name, f"#md5={'0' * 32}"))
        app.make("upload")
        assert len(other.posts) == 5

        # GitLab's words; the page cannot be read, as with an account for publishing alone.
        other.pages["/simple/half-published/"] = (403, "text/html", b"")
        other.post_status = 400
        other.post_body = b"Validation failed: File name has already been taken"
        said = app.make("upload", ok=False)
        assert "The index has or had this version and replaces none" in said
