"""Which CI jobs may publish which projects: the trusted publishers.

    pypi_auth/.publishers.toml

    [[publisher]]
    name = "acme/billing publish.yml"
    issuer = "https://token.actions.githubusercontent.com"
    projects = ["billing", "acme-*"]

    [publisher.claims]
    repository = "acme/billing"
    repository_id = "123"
    repository_owner_id = "45"
    job_workflow_ref = "acme/billing/.github/workflows/publish.yml@*"

A job is this publisher if all claims of its token are as they stand here; a value that ends in `*`
is the start of one. At least one of them is an id that its issuer gives to no other repository,
because the name of a deleted or renamed repository may be taken by anybody. The file is edited by
`make pypi-trust` and by hand. An entry that cannot be read is left out: a slip of the pen trusts
nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import rights
from ..disk import locked, stamp, write_atomically
from ..rights import RightsError
from ..terminal import listed, quoted
from . import entries
from .entries import FILE, SHOWN
from .entries import PublishersError as PublishersError

GITHUB = "https://token.actions.githubusercontent.com"
GITLAB = "https://gitlab.com"

MOST_PUBLISHERS = 200
MOST_ISSUERS = 20
MOST_CLAIMS = 20
LONGEST = 200
"""Letters of a name."""
LONGEST_VALUE = 500
"""Letters of a claim that is expected."""
SHORTEST_START = 3
"""Letters before a `*`."""

IDS = {
    GITHUB: ("repository_id", "repository_owner_id"),
    GITLAB: ("project_id", "namespace_id"),
}
"""The claims that an issuer never gives to another repository."""

_KEYS = ("name", "issuer", "projects", "claims")
_NAMES_OF_IDS = tuple(name for names in IDS.values() for name in names)
_URL = re.compile(
    r"(?:https://[a-z0-9.-]+|http://(?:127\.0\.0\.1|localhost))"
    r"(?::([0-9]{1,5}))?(?:/[A-Za-z0-9._~/-]*)?"
)
_LAST_PORT = 65535
_SERVER = "/_services/token"
_CLAIM = re.compile(r"[A-Za-z0-9_.:/-]{1,100}")
# They say whether a token counts at all, and are compared elsewhere.
_NOT_PINNED = ("iss", "aud", "exp", "nbf", "iat", "jti")
# GitHub takes these names in any case: the first words of a value, or all of it.
_ANY_CASE = {
    "repository": None,
    "repository_owner": None,
    "environment": None,
    "job_workflow_ref": 2,
    "workflow_ref": 2,
}


def is_issuer(text: object) -> bool:
    """Return whether a text is a URL to fetch keys from: over TLS, or from this machine."""
    found = _URL.fullmatch(text) if isinstance(text, str) else None
    return found is not None and int(found[1] or 0) <= _LAST_PORT


def is_github(issuer: str) -> bool:
    """Return whether an issuer is GitHub, one of its enterprises, or a GitHub Enterprise Server."""
    return issuer == GITHUB or issuer.startswith(f"{GITHUB}/") or issuer.endswith(_SERVER)


@dataclass(frozen=True)
class Publisher:
    """A kind of CI job that may publish.

    Attributes:
        name: unlike that of any account.
        issuer: the URL of the server that signs the tokens of these jobs (OpenID Connect Core 1.0).
        projects: as Rights has them, never empty.
        claims: what a token must say beside its issuer; a value that ends in `*` is a start.
    """

    name: str
    issuer: str
    projects: tuple[str, ...]
    claims: Mapping[str, str]

    def mismatch(self, claims: Mapping[str, object]) -> str:
        """Say why a token, whose signature was verified, is not of this publisher.

        Args:
            claims: all claims of the token.

        Returns:
            a sentence that names the claim, what was sent and what was expected; empty if the token
            is of this publisher.
        """
        wrong = [name for name in self.claims if not self._fits(name, claims.get(name))]
        if not wrong:
            # As PyPI does: such a job runs with the rights of the repository, and may run the code
            # of anybody who opens a pull request.
            if self._is_github and claims.get("event_name") == "pull_request_target":
                return "event_name is 'pull_request_target': such a job may run a stranger's code."
            return ""
        ids = [name for name in _NAMES_OF_IDS if name in self.claims]
        # The id tells most: a token of another repository differs in all.
        name = next((name for name in wrong if name in ids), wrong[0])
        sent, expected = self._sent(claims.get(name)), quoted(self.claims[name])
        said = f"{name} is {sent}, not {expected}"
        named = next((one for one in ("repository", "project_path") if one in self.claims), "")
        if ids and name not in ids and named in wrong:
            return (
                f"The repository was renamed or moved: {named} is {self._sent(claims.get(named))},"
                f" not {quoted(self.claims[named])}, and its id is the same. If that is right, run"
                " make pypi-trust-remove and make pypi-trust with the new name, or correct"
                f" {SHOWN}."
            )
        if name in ids and isinstance(claims.get(name), str) and named and named not in wrong:
            return f"{said}: another repository has this name now, or another owner."
        return f"{said}."

    @property
    def _is_github(self) -> bool:
        return "repository_id" in self.claims

    def _fits(self, name: str, sent: object) -> bool:
        # Some issuers write ids as numbers.
        if type(sent) is int and -(10**20) < sent < 10**20:
            sent = str(sent)
        if not isinstance(sent, str):
            return False
        expected = self.claims[name]
        if self._is_github and name in _ANY_CASE:
            words = _ANY_CASE[name]
            sent, expected = _lowered(sent, words), _lowered(expected, words)
        if expected.endswith("*"):
            return sent.startswith(expected[:-1])
        return sent == expected

    @staticmethod
    def _sent(value: object) -> str:
        if value is None:
            return "missing"
        if isinstance(value, str):
            return quoted(value)
        return quoted(str(value)) if type(value) is int and abs(value) < 10**20 else "no text"


def _lowered(value: str, words: int | None) -> str:
    """Return a value with its first words between slashes, or all, in lower case."""
    if words is None:
        return value.lower()
    parts = value.split("/")
    return "/".join([*(part.lower() for part in parts[:words]), *parts[words:]])


def read(folder: Path) -> tuple[list[Publisher], list[str]]:
    """Return the publishers that are trusted, and a complaint for each entry that is left out.

    A missing file counts as an empty one. If the file is no TOML, nobody is trusted.

    Args:
        folder: pypi_auth.

    Raises:
        OSError: if the file is there and cannot be read.
    """
    try:
        return _read(entries.text_of(folder))
    except PublishersError as error:
        return [], [str(error)]


def add(folder: Path, publisher: Publisher) -> None:
    """Add a publisher at the end of the file; what is there stays as it is.

    Raises:
        PublishersError: if its job or its name has an entry, or it cannot be read back, and nothing
            was written.
    """
    entry = {
        "name": publisher.name,
        "issuer": publisher.issuer,
        "projects": list(publisher.projects),
        "claims": dict(publisher.claims),
    }
    checked = _publisher(entry)
    with locked(folder):
        text = entries.text_of(folder)
        told = entries.entries_of(text)
        # The first entry that fits a job counts, and no other.
        job = (checked.issuer, checked.claims)
        for other in told:
            if (other.get("issuer"), other.get("claims")) == job:
                raise PublishersError(
                    f"{SHOWN} trusts this job already, as {quoted(str(other.get('name')))}: add the"
                    " projects there"
                )
        if any(other.get("name") == checked.name for other in told):
            raise PublishersError(
                f"{SHOWN} has a publisher {quoted(checked.name)} already: edit its projects there,"
                " or run make pypi-trust-remove first"
            )
        if len(told) >= MOST_PUBLISHERS:
            raise PublishersError(
                f"{SHOWN} has {len(told)} publishers, and no more are read: remove one first"
            )
        new = entries.appended(text, {**entry, "projects": list(checked.projects)})
        if not _reads_back(new, [*told, checked]):
            raise PublishersError(
                f"{SHOWN} is written in a way that no entry can be added to: begin each entry there"
                " with a line [[publisher]], or add this one by hand"
            )
        write_atomically(folder / FILE, new.encode())


def remove(folder: Path, name: str) -> None:
    """Take out each entry of this name, with the lines from its `[[publisher]]` to its last key.

    Comments before that line, and after that key, stay.

    Raises:
        PublishersError: if there is none, or it can only be taken out by hand.
    """
    with locked(folder):
        text = entries.text_of(folder)
        left = entries.without(text, name)
        if left == text:
            raise PublishersError(
                f"{SHOWN} has no publisher {quoted(name)}: make pypi-trust-list shows all"
            )
        write_atomically(folder / FILE, left.encode())


def fingerprint(folder: Path) -> object:
    """Return a value that differs after the file was written, replaced or deleted."""
    return stamp(folder / FILE)


def _read(text: str) -> tuple[list[Publisher], list[str]]:
    publishers: dict[str, Publisher] = {}
    complaints = []
    for number, entry in enumerate(entries.entries_of(text), start=1):
        try:
            if number > MOST_PUBLISHERS:
                raise PublishersError(f"only {MOST_PUBLISHERS} publishers are read: remove some")
            publisher = _publisher(entry)
            if publisher.name in publishers:
                raise PublishersError("another entry above has this name: rename one of the two")
            known = {other.issuer for other in publishers.values()} | {publisher.issuer}
            if len(known) > MOST_ISSUERS:
                raise PublishersError(f"only {MOST_ISSUERS} issuers are asked: remove some")
            publishers[publisher.name] = publisher
        except PublishersError as error:
            name = entry.get("name")
            which = f" ({quoted(name)})" if isinstance(name, str) and name else ""
            complaints.append(f"{SHOWN}: publisher {number}{which} is not trusted: {error}")
    return list(publishers.values()), complaints


def _reads_back(text: str, expected: list[Any]) -> bool:
    """Return whether a text has the entries that were there, and the new publisher as the last."""
    *others, new = expected
    try:
        told = entries.entries_of(text)
    except PublishersError:
        return False
    return told[:-1] == others and len(told) > len(others) and _publisher(told[-1]) == new


def _publisher(entry: Mapping[str, Any]) -> Publisher:
    for key in entry:
        if key not in _KEYS:
            raise PublishersError(f"the key {quoted(key)} is not known: there are {listed(_KEYS)}")
    for key in _KEYS:
        if key not in entry:
            raise PublishersError(f"it has no {key}")
    projects = entry["projects"]
    if not isinstance(projects, list) or not all(isinstance(one, str) for one in projects):
        raise PublishersError('projects is no list of names: write ["billing", "acme-*"]')
    claims = entry["claims"]
    if not isinstance(claims, dict):
        raise PublishersError("claims is no table: write [publisher.claims] and a claim a line")
    for key, value in claims.items():
        if not isinstance(value, str):
            raise PublishersError(f"the claim {quoted(key)} is no text: put it in quotes")
    for key in ("name", "issuer"):
        if not isinstance(entry[key], str):
            raise PublishersError(f"{key} is no text: put it in quotes")
    try:
        patterns = rights.parse_projects(",".join(projects)) if projects else ()
    except RightsError as error:
        raise PublishersError(str(error)) from None
    publisher = Publisher(entry["name"], entry["issuer"], patterns, claims)
    _check(publisher)
    return publisher


def _check(publisher: Publisher) -> None:
    """Refuse a publisher that would trust more than was meant, or could not be told from others."""
    name, issuer, claims = publisher.name, publisher.issuer, publisher.claims
    if not (name.isprintable() and name == name.strip() and 0 < len(name) <= LONGEST):
        raise PublishersError(f"the name {quoted(name)} is not 1 to {LONGEST} printable letters")
    if "/" not in name and " " not in name:
        raise PublishersError(
            f"the name {quoted(name)} could be that of an account: write one with a / or a space,"
            ' such as "acme/billing publish.yml"'
        )
    if not is_issuer(issuer):
        raise PublishersError(
            f"the issuer {quoted(issuer)} is not the URL of one: write it as its tokens have it in"
            f" iss, such as {GITHUB} or https://gitlab.acme.com"
        )
    if not publisher.projects:
        raise PublishersError('projects is empty: write the names, such as ["billing", "acme-*"]')
    if len(claims) > MOST_CLAIMS:
        raise PublishersError(f"it has more than {MOST_CLAIMS} claims")
    for claim, value in claims.items():
        _check_claim(claim, value)
    _check_ids(issuer, claims)


def _check_claim(claim: str, value: str) -> None:
    if not _CLAIM.fullmatch(claim):
        raise PublishersError(f"{quoted(claim)} is not the name of a claim")
    if claim in _NOT_PINNED:
        raise PublishersError(f"the claim {claim} is checked in every token: leave it out")
    if not (value.isprintable() and 0 < len(value) <= LONGEST_VALUE):
        raise PublishersError(f"the claim {claim} is not 1 to {LONGEST_VALUE} printable letters")
    if claim in _NAMES_OF_IDS and not re.fullmatch("[0-9]{1,20}", value):
        raise PublishersError(f"the claim {claim} is {quoted(value)}: write the number of its id")
    if "*" in value and (not value.endswith("*") or value.count("*") > 1):
        raise PublishersError(f"the claim {claim} has a * that is not at its end alone: write that")
    if value.endswith("*") and len(value) <= SHORTEST_START:
        raise PublishersError(
            f"the claim {claim} is {quoted(value)}, which fits too much: write at least"
            f" {SHORTEST_START} letters before the *"
        )


def _check_ids(issuer: str, claims: Mapping[str, str]) -> None:
    if issuer in IDS:
        wanted: Iterable[tuple[str, ...]] = [IDS[issuer]]
    else:
        wanted = [*IDS.values(), ("sub",)]
    if not any(all(name in claims for name in names) for names in wanted):
        either = ", or ".join(listed(names) for names in wanted)
        raise PublishersError(
            f"its claims lack {either}: a name alone may belong to somebody else tomorrow;"
            " make pypi-trust looks them up"
        )
