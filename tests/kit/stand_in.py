"""An index with trusted publishing, and the CI that tells it who a job is, both as stand-ins."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kit.http import basic
from kit.processes import in_background

AUDIENCE = "pypi.our company.example&x"
"""Whom this index wants tokens to be meant for: a text that has to be encoded in a URL."""

BEARER = "what-github-gives-a-job"
IDENTITY = "identity-token-for:"
"""The start of what stands in for a signed token; the audience follows."""

MINTED = "A-minted%25password_of-this.job"
"""With a percent sign, which GitHub's runner decodes where it is told what to hide."""

AUDIENCE_PATH, MINT_PATH, CI_PATH = "/_/oidc/audience", "/_/oidc/mint-token", "/ci/token"


@dataclass
class StandIn:
    """Answers by path, as an index and a CI would that trust each other.

    Attributes:
        url: the base URL of the index, with a slash at its end.
        answers: status and body, or target of a redirect, of paths that answer otherwise; with the
            status 0 there is no answer.
        asked: method and path of each request, in order.
        authorizations: the header of each upload.
        uploads: the names of the files that were uploaded.
    """

    url: str
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)

    def on_github(self) -> dict[str, str]:
        """Return the variables of a job of GitHub that has the permission `id-token: write`."""
        return {
            "GITHUB_ACTIONS": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}ci/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": BEARER,
        }

    def on_gitlab(self, audience: str = AUDIENCE) -> dict[str, str]:
        """Return the variables of a job of GitLab that has an identity token for an audience."""
        return {"GITLAB_CI": "true", "PYPI_ID_TOKEN": IDENTITY + audience}

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, bytes]:
        """Return status and body of the answer to a request."""
        where = urlsplit(path)
        self.asked.append(f"{method} {where.path}")
        if method == "POST" and where.path == "/":
            self.authorizations.append(headers["Authorization"])
        if where.path in self.answers:
            return self.answers[where.path]
        match method, where.path:
            case "GET", "/_/oidc/audience":
                return 200, json.dumps({"audience": AUDIENCE}).encode()
            case "GET", "/ci/token" if headers["Authorization"] == f"Bearer {BEARER}":
                query = parse_qs(where.query)
                assert query["api-version"] == ["2.0"]
                return 200, json.dumps({"value": IDENTITY + query["audience"][0]}).encode()
            case "POST", "/_/oidc/mint-token" if json.loads(body) == {"token": IDENTITY + AUDIENCE}:
                return 200, json.dumps({"success": True, "token": MINTED, "expires": 0}).encode()
            case "POST", "/" if (
                headers["Authorization"] == basic("__token__", MINTED)["Authorization"]
            ):
                self.uploads += re.findall(r'filename="(.+?)"', body.decode("latin-1"))
                return 200, b""
        return 404, b""


@contextmanager
def running() -> Iterator[StandIn]:
    """Run both on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, said = index.answer(self.command, self.path, self.headers, body)
            if not status:
                self.close_connection = True
                return
            self.send_response_only(status)
            if 300 <= status < 400:
                self.send_header("Location", said.decode())
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        index = StandIn(f"http://127.0.0.1:{server.server_port}/")
        with in_background(server):
            yield index
