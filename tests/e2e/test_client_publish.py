"""What `make publish` refuses, and how it explains what the index refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from conftest import commit, git

from e2e.conftest import MakeClient
from e2e.server import Server

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
    for name in ("Makefile", "pyproject.toml", "poetry.toml"):
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
        409: "The index has this version and replaces none: run `make bump PART=patch`",
        413: "The file is larger than the index takes: make it smaller",
    }
    for status, sentence in remedies.items():
        if (manager, status) != ("poetry", 409):  # That, Poetry skips by itself.
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
    app.make("publish", "FORCE=1")
    assert len(sent()) == 2
