"""Refusals as pages, for a person in a browser; a tool gets the sentence alone."""

from __future__ import annotations

import base64
import re
from hashlib import sha256
from http import HTTPStatus

from ..answers import Answer, Environ


def is_person(environ: Environ) -> bool:
    """Return whether a request is of a browser, which alone asks for XHTML."""
    return "application/xhtml+xml" in environ.get("HTTP_ACCEPT", "")


def as_page(answer: Answer, environ: Environ) -> Answer:
    """Return a refusal as a page that says the same, and leads to the start page."""
    from .render import environment  # Few requests need it, and it takes its time and memory.

    depth = environ.get("PATH_INFO", "").count("/") - 1
    page = environment().get_template("error.html")
    text = page.render(
        status=answer.status,
        title=HTTPStatus(answer.status).phrase,
        sentence=b"".join(answer.body).decode().strip(),
        root="../" * depth or "./",
    )
    content = text.encode()
    replaced = {"content-type": "text/html; charset=utf-8", "content-length": str(len(content))}
    headers = [(name, replaced.get(name.lower(), value)) for name, value in answer.headers]
    headers.append(("Content-Security-Policy", _policy(text)))
    return Answer(answer.status, tuple(headers), (content,), answer.reason)


def _policy(page: str) -> str:
    """Return the policy that allows the style of a page, which cannot load one, and nothing else.

    A person who is not logged in could not load it, and a page of any depth does not know where.
    """
    style = re.findall("<style>(.*?)</style>", page, re.DOTALL)[0]
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'"
