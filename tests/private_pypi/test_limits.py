"""The page of limits says what the code does, and so do the sentences that refuse."""

from __future__ import annotations

import inspect
import re

import pytest
from gunicorn.config import Config
from kit.template import QUESTIONS, ROOT
from private_pypi import (
    accounts,
    app,
    archive,
    attestations,
    body,
    distribution,
    metadata,
    statuses,
    uploads,
    wheel,
)
from private_pypi.hosting import ARCHIVES
from private_pypi.public import document, kept, kept_pages, watched_policy
from private_pypi.public.download import Pace
from private_pypi.public.files import Files
from private_pypi.public.settings import GIGABYTE, PublicSettings
from private_pypi.public.upstream import Upstream
from private_pypi.settings import Settings
from private_pypi.trust import documents as trust_documents
from private_pypi.trust import entries, issuers, minted, publishers, refused, routes, tokens
from private_pypi.web import description, details, project, render

PAGE = (ROOT / "docs/limits.md").read_text()
CADDYFILE = (ROOT / "template/server/gateway/Caddyfile.jinja").read_text()
COMPOSE = (ROOT / "template/server/docker-compose.pypi.yml.jinja").read_text()


def megabytes(size: int) -> str:
    """Return bytes as the page has them."""
    assert size % 2**20 == 0
    return f"{size // 2**20} MB"


def configured(name: str, text: str = CADDYFILE) -> str:
    """Return a setting of the gateway."""
    (value,) = re.findall(rf"^\s*{name} (\S+)$", text, re.M)
    return str(value)


def headers() -> str:
    """Return how much Caddy reads of headers: 4 KiB more than its setting."""
    return f"{int(configured('max_header_size').removesuffix('KiB')) + 4} kB"


def time_for_a_body() -> str:
    """Return how long one with an account may send: so many minutes, and bytes for each second."""
    (minutes, rate) = re.findall(r"^\s*read_timeout ([0-9]+)m ([0-9]+)$", CADDYFILE, re.M)[0]
    assert minutes == "1"
    return f"a minute, and one more for each {60 * int(rate) // 1000} kB that came"


def asked_of_pypi(name: str) -> int:
    """Return a limit of what the mirror asks of PyPI."""
    return int(inspect.signature(Upstream).parameters[name].default)


def slots(name: str) -> tuple[int, int]:
    """Return how many files the mirror fetches at a time, and how many it passes on unkept."""
    ((most, passed_on),) = re.findall(
        rf"self\.{name} = Slots\(([0-9]+|self\._most), ([0-9]+)\)", inspect.getsource(Files)
    )
    usual = inspect.signature(Files).parameters["most"].default
    return usual if most == "self._most" else int(most), int(passed_on)


def slowest() -> str:
    """Return how slowly a file may come to the mirror."""
    assert Pace().seconds == 60
    return f"{Pace().size // 1000} kB a minute"


ROWS = {
    "the distribution": "`max_upload_mb`,"
    f" {QUESTIONS['max_upload_mb']['default']} MB unless answered otherwise",
    "its signature": f"{uploads.SIGNATURE // 1024} kB",
    "its attestations": f"{attestations.FORM // 1024} kB",
    "how many attestations": f"{attestations.MOST}",
    "how deep one is nested": f"{attestations.DEPTH}",
    "text in the form": megabytes(uploads.FORM),
    "fields of the form": f"{uploads.FIELDS:,}",
    "the name of a field": f"{uploads.FIELD_NAME} letters",
    "the file name": "240 letters",
    "time for the next 128 kB, or for the rest": f"{body.PATIENCE} seconds",
    "uploads at once": f"{app.SLOTS}",
    "what it unpacks to": f"{megabytes(distribution._UNPACKED_LIMIT)} plus"
    f" {distribution._UNPACKED_RATIO} times its size",
    "members, and lines of a wheel's RECORD": f"{archive.MEMBERS:,}",
    "the name of a member, with its folders": f"{archive.MEMBER_NAME:,} bytes",
    "the list of members of a ZIP or wheel": megabytes(archive.DIRECTORY),
    "the headers of one member of a `.tar.gz`": f"{distribution._HEADER_LIMIT // 1024} kB",
    "combinations of tags in the name of a wheel": f"{distribution.TAGS}",
    "its metadata": megabytes(metadata.METADATA_LIMIT),
    "the fields of it that are read: Name, Version, Requires-Dist and the like": (
        f"{metadata.FIELDS_LIMIT // 1024} kB"
    ),
    "one Requires-Dist": f"{metadata.FIELDS['requires-dist']:,} bytes",
    "any other of these fields": f"{max(sorted(metadata.FIELDS.values())[:-1]):,} bytes",
    "the file RECORD of a wheel": megabytes(wheel.RECORD),
    "a line of RECORD": f"{wheel.RECORD_LINE:,} letters",
    "the file WHEEL of a wheel": f"{wheel.FORMAT // 1024} kB",
    "the file entry_points.txt of a wheel": f"{wheel.SCRIPTS // 1024} kB",
    "a line of entry_points.txt": f"{wheel.SCRIPTS_LINE:,} letters",
    "distributions read at once, each of another account": f"{ARCHIVES}",
    "the headers, at the gateway": headers(),
    "time for the headers, at the gateway": configured("read_header").replace("s", " seconds"),
    "one header, at private_pypi": f"{round(Config().limit_request_field_size / 1024)} kB",
    "time for a body without an account, after the answer": configured(
        "read_timeout", CADDYFILE.partition("(hang_up)")[2].partition("\n}\n")[0]
    ).replace("s", " seconds"),
    "time for a body with an account": time_for_a_body(),
    "time that a connection with an account may idle": configured("idle").replace("m", " minutes"),
    "connections, at the gateway": f"{int(configured('nofile:', COMPOSE)) // 1000},000",
    "HTTP": {"h1": "1.0 and 1.1"}[configured("protocols")],
    "time to render a description": f"{description.SECONDS} seconds of a processor",
    "the HTML that a description becomes": f"{description.LIMIT:,} letters",
    "memory of the process that renders it": megabytes(description.MEMORY),
    "values of a field such as Classifier": f"{details.MOST_VALUES}",
    "such a value": f"{details.LONGEST_VALUE:,} bytes",
    "releases of a project": f"the newest {project.RELEASES}",
    "history of a project": f"the last {project.HISTORY} records",
    "releases in a feed": f"{render.FEED_LENGTH}",
    "a request to mint a password": f"{routes.MOST_BYTES // 1024} kB",
    "time for that request": f"{routes.SECONDS} seconds",
    "such requests at once, at private_pypi, and as many questions whether a password works": (
        f"{routes.AT_ONCE}"
    ),
    "time that a token counts, from when it was issued": f"{tokens.LIFE // 60} minutes",
    "difference between the clocks of its issuer and of the server": f"{tokens.LEEWAY} seconds",
    "its `jti`": f"{tokens.LONGEST_ID} letters",
    "time that a minted password works": f"{minted.LIFE // 60} minutes",
    "minted passwords that work at once": f"{minted.MOST:,}",
    "such passwords, of one publisher": f"{minted.OF_ONE:,}",
    "used tokens that are remembered until they end": f"{minted.MOST_USED:,}",
    "such tokens, of one publisher": f"{minted.USED_OF_ONE:,}",
    "lines of refused tokens in the audit, and as many of tokens of strangers": (
        f"{refused.MOST_LINES} a minute"
    ),
    "the log of refused tokens, and the one before it": megabytes(refused.MOST_BYTES),
    "a page of PyPI, as JSON": megabytes(asked_of_pypi("max_page")),
    "a page of PyPI, as HTML": megabytes(document._HTML_LIMIT),
    "time for a page": f"{asked_of_pypi('total')} seconds",
    "files that come from PyPI at once": f"{slots('_slots')[0]}",
    "the same of their metadata, apart from them": f"{slots('_metadata_slots')[0]}",
    "files that are not kept, as the disk is full, and come at once": f"{slots('_slots')[1]}",
    "time for PyPI's next bytes of a file": f"{asked_of_pypi('read')} seconds",
    "how slowly a file of PyPI may come": slowest(),
    "time for the rest of a file of PyPI, once all clients have left": (
        f"{Pace().deserted / 60:g} minutes"
    ),
    "the name of a project": f"{kept_pages._LONGEST} letters",
    "what is kept of PyPI": "`public_max_gb`,"
    f" {PublicSettings.from_environment({}).max_bytes // GIGABYTE} GB unless set",
    "space on the disk that is left free": f"{kept.RESERVE // GIGABYTE} GB",
    "`public_policy.toml`": megabytes(watched_policy._MOST_BYTES),
    "the reason of `make pypi-mark`": f"{statuses.REASON} letters",
    "publishers that are read": f"{publishers.MOST_PUBLISHERS}",
    "their issuers": f"{publishers.MOST_ISSUERS}",
    "`pypi_auth/.publishers.toml`": f"{entries.MOST_BYTES // 1024} kB",
    "the name of a publisher": f"{publishers.LONGEST} letters",
    "claims of a publisher": f"{publishers.MOST_CLAIMS}",
    "the value of a claim": f"{publishers.LONGEST_VALUE} letters",
    "a document of an issuer": f"{issuers.MOST_BYTES // 1024} kB",
    "time for that document": f"{trust_documents.SECONDS} seconds",
    "keys of an issuer": f"{issuers.MOST_KEYS}",
    "age of keys that could not be fetched again": f"{issuers.OLDEST // 3600} hours",
    "its name": "64 letters",
    "its password": f"{accounts.LONGEST} letters, and {accounts.SHORTEST} at least",
}


def test_the_page_has_the_limits_of_the_code_and_no_others() -> None:
    rows = re.findall(r"^\| (.*?) \| (.*?) \|", PAGE, re.M)

    assert {row: limit for row, limit in rows if row != "what"} == ROWS
    assert body.CHUNK == 128 * 1024


def test_the_default_of_the_question_is_that_of_the_server() -> None:
    assert Settings.from_environment({}).max_upload == 512 * 2**20
    assert QUESTIONS["max_upload_mb"]["default"] == 512


def test_the_page_says_how_much_of_a_refused_upload_is_read() -> None:
    assert f"up to {app.READ_ON} times" in PAGE
    assert f"at least {app.READ_ON_LEAST // 2**30} GB" in PAGE
    assert f"for {app.REFUSED_SLOTS} at once, shared out in the same way" in PAGE


def test_the_page_says_how_the_places_are_shared() -> None:
    assert f"another of these {app.SLOTS} places" in PAGE
    assert f"one account alone gets\n{app.SLOTS // 2}, and" in PAGE


@pytest.mark.parametrize(("length", "fits"), [(240, True), (241, False)])
def test_a_file_name_may_be_as_long_as_the_page_says(length: int, fits: bool) -> None:
    name = f"{'a' * (length - len('-1.0.tar.gz'))}-1.0.tar.gz"

    assert bool(distribution._FILE_NAME.fullmatch(name)) is fits


@pytest.mark.parametrize(("length", "fits"), [(64, True), (65, False)])
def test_a_user_name_may_be_as_long_as_the_page_says(length: int, fits: bool) -> None:
    assert bool(accounts._NAME.fullmatch("a" * length)) is fits
