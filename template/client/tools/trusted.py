"""Trusted publishing: a job of CI gets a password for minutes, in exchange for its identity token.

CI signs such a token, which says in which repository, workflow and environment the job runs, and
which index it is meant for. The index trusts some of these workflows, and answers as PyPI does at
`/_/oidc/audience` and `/_/oidc/mint-token`.
"""

import json
import os
import re
import sys
import urllib.error
from collections.abc import Mapping, MutableMapping
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from .index import NO_ANSWER, connection_error, open_page
from .settings import Settings

USER = "__token__"
"""The account that a minted password belongs to."""

REQUEST_URL, REQUEST_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
"""With these a job of GitHub, or of what works alike, asks for its token."""

ID_TOKEN = "PYPI_ID_TOKEN"
"""In this a job of GitLab, or of any other CI, has its token, as for PyPI."""

HINTS = {
    "GITHUB_ACTIONS": "let the job's `permissions` in the workflow have `id-token: write`",
    "GITLAB_CI": f"let the job in .gitlab-ci.yml have {ID_TOKEN} in `id_tokens`",
}
"""What a job lacks that has no identity token, by the variable that tells where it runs."""

TRUST = "have its owner run `make pypi-trust` on the server, as README.md says"

REMEDIES = {
    401: "The index takes the minted password no more: run the job again.",
    403: f"The index lets this workflow not publish that: read its answer above, and {TRUST}.",
}
"""What to do about the HTTP status of an upload that was refused, where an account has others."""

LARGEST_ANSWER = 64 * 2**10
LONGEST_SENTENCE = 1000


class Job(NamedTuple):
    """How a job comes to its identity token: it has one, or knows whom to ask with what."""

    token: str
    request_url: str
    request_token: str

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str]) -> "Job | None":
        """Take out of an environment what proves who this job is; None outside of CI.

        No program that is run later finds it there: it would do for other services, too. Stops if
        the job has no token, and says what it lacks.
        """
        job = cls(*(environment.pop(name, "") for name in (ID_TOKEN, REQUEST_URL, REQUEST_TOKEN)))
        if job.token or (job.request_url and job.request_token):
            return job
        lacking = [hint for name, hint in HINTS.items() if environment.get(name) == "true"]
        if lacking:
            sys.exit(f"This job cannot prove who it is: {lacking[0]}.")
        return None

    def mint(self, settings: Settings) -> str:
        """Return a password that the index mints for this job, or stop and say why there is none.

        GitHub is told to hide it in logs.
        """
        token = self.token or self._ask_for_token(_audience(settings))
        host, body = urlsplit(settings.publish_url).netloc, json.dumps({"token": token}).encode()
        try:
            password = _ask(
                urljoin(settings.publish_url, "/_/oidc/mint-token"),
                "token",
                data=body,
                more={"Content-Type": "application/json"},
            )
        except urllib.error.HTTPError as error:
            said = _sentences(error) or f"it answers {error.code}."
            remedy = f"If it does not trust this workflow yet, {TRUST}."
            if error.code >= 500:
                remedy = "If that goes on, look into the server's log."
            sys.exit(f"{host} mints no password for this job: {said} {remedy}")
        if not re.fullmatch("[!-~]{1,4095}", password):
            sys.exit(f"{host} answered without a password: look into the server's log.")
        if os.environ.get("GITHUB_ACTIONS") == "true":
            # GitHub reads %25 here as %.
            print(f"::add-mask::{password.replace('%', '%25')}", flush=True)
        return password

    def _ask_for_token(self, audience: str) -> str:
        """Have CI sign a token for an audience."""
        sign = "&" if urlsplit(self.request_url).query else "?"
        url = f"{self.request_url}{sign}audience={quote(audience, safe='')}"
        try:
            token = _ask(url, "value", more={"Authorization": f"Bearer {self.request_token}"})
        except urllib.error.HTTPError as error:
            sys.exit(f"CI gives this job no identity token ({error.code}): run the job again.")
        if not token:
            sys.exit("CI answered without an identity token: run the job again.")
        return token


def _audience(settings: Settings) -> str:
    """Return whom the index wants a token to be meant for."""
    host = urlsplit(settings.publish_url).netloc
    try:
        audience = _ask(urljoin(settings.publish_url, "/_/oidc/audience"), "audience")
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            sys.exit(f"{host} fails with {error.code}: look into the server's log.")
        sys.exit(f"{host} knows no trusted publishing ({error.code}): {TRUST}.")
    if not audience:
        sys.exit(f"{host} knows no trusted publishing: {TRUST}.")
    return audience


def _ask(
    url: str, key: str, *, data: bytes | None = None, more: Mapping[str, str] | None = None
) -> str:
    """Return the text that is answered under a key in JSON, an empty one if there is none.

    Raises urllib.error.HTTPError for an error and a redirect, which is not followed: what is sent
    is for one server only. Stops if there is no answer.
    """
    try:
        with open_page(url, accept="application/json", data=data, more=more) as response:
            found = json.loads(response.read(LARGEST_ANSWER))
    except urllib.error.HTTPError:
        raise
    except NO_ANSWER as error:
        sys.exit(connection_error(url, error))
    except ValueError:
        found = None
    text = found.get(key) if isinstance(found, dict) else None
    return text if isinstance(text, str) else ""


def _sentences(error: urllib.error.HTTPError) -> str:
    """Return why an index mints no password, as it says it, in one printable line.

    On a line of its own, GitHub might take it for a command.
    """
    try:
        found = json.loads(error.read(LARGEST_ANSWER))
        said = [one["description"] for one in found.get("errors") or ()] or [found["message"]]
        text = " ".join(map(str, said))
    except (*NO_ANSWER, ValueError, TypeError, LookupError, AttributeError):
        return ""
    line = "".join(one if one.isprintable() else " " for one in text)
    return " ".join(line.split())[:LONGEST_SENTENCE]
