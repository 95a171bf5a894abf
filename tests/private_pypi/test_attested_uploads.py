"""Uploads with attestations: kept and served whole, or refused as a whole in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kit import attestation, wheel
from kit.forms import form
from kit.http import basic
from kit.template import PASSWORD
from kit.wsgi import Answer, call
from private_pypi import accounts
from private_pypi.app import create_app
from private_pypi.settings import Settings

FILE = "my_lib-1.0-py3-none-any.whl"


class Site:
    """The application, and a wheel that can be sent to it."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.data = settings.data
        self.content = wheel.build(folder, "my-lib", "1.0", origin="us").read_bytes()
        self._app = create_app(settings)
        self._app.index.refresh()

    def upload(
        self, attestations: str | None = None, user: str = "alice", agent: str = "uv/0.13"
    ) -> Answer:
        """Send the wheel."""
        fields = {":action": "file_upload"}
        if attestations is not None:
            fields["attestations"] = attestations
        body, content_type = form(fields, {"content": (FILE, self.content)})
        environ = {"CONTENT_TYPE": content_type, "HTTP_USER_AGENT": agent}
        return call(self._app, "POST", "/", body=body, headers=basic(user, PASSWORD), **environ)

    def get(self, path: str) -> Answer:
        return call(self._app, "GET", path, headers=basic("bob", PASSWORD))

    def field(self, **more: str) -> str:
        """Return attestations of the wheel."""
        return attestation.field(attestation.of(FILE, self.content) | more)

    def files(self) -> list[str]:
        """Return the names of all that lies in the data folder, but for the journal."""
        names = [str(path.relative_to(self.data)) for path in self.data.rglob("*")]
        return sorted(set(names) - {".journal.jsonl", ".uploads"})


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Site:
    """An index of nothing, with the publishers alice and carol."""
    accounts.add(settings.auth, "carol", "publisher", PASSWORD)
    return Site(settings, tmp_path)


def test_attestations_are_kept_as_they_came_and_served_with_who_sent_them(site: Site) -> None:
    sent = [
        attestation.of(FILE, site.content),
        attestation.of(FILE, site.content, attestation.SLSA),
    ]

    assert site.upload(attestation.field(*sent)).status == 200

    assert site.files() == [FILE, f"{FILE}.provenance"]
    answer = site.get(f"/packages/{FILE}.provenance")
    assert json.loads(answer.content) == {
        "version": 1,
        "attestation_bundles": [
            {
                "publisher": {"kind": "Account", "claims": {}, "name": "alice"},
                "attestations": sent,
            }
        ],
    }
    mode = (site.data / f"{FILE}.provenance").stat().st_mode
    assert mode & 0o777 == 0o644


def test_the_same_may_be_sent_again_and_others_are_refused(site: Site) -> None:
    site.upload(site.field())
    kept = site.get(f"/packages/{FILE}.provenance").content

    assert site.upload(site.field()).status == 200
    assert site.upload().status == 200
    others = site.upload(site.field(more="others"))

    assert (others.status, others.body) == (
        409,
        f"{FILE} already exists, with other attestations: publish a new version\n",
    )
    # twine takes a 400 with these words for a file that exists.
    to_twine = site.upload(site.field(more="others"), agent="twine/7.0.0")
    assert (to_twine.status, to_twine.body) == (400, others.body)
    assert site.get(f"/packages/{FILE}.provenance").content == kept


def test_attestations_may_come_later_from_the_account_that_published(site: Site) -> None:
    assert site.upload().status == 200

    refused = site.upload(site.field(), "carol")
    assert (refused.status, refused.body) == (
        403,
        f"{FILE} was published by another account, which alone can attest it\n",
    )
    assert site.files() == [FILE]
    assert site.upload(site.field()).status == 200
    assert site.files() == [FILE, f"{FILE}.provenance"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the field attestations is not JSON that can be read"),
        ("[]", "the field attestations is no JSON array of attestations"),
        (
            attestation.field(attestation.of("other-1.0.tar.gz", b"")),
            f"attestation 1 is of 'other-1.0.tar.gz', not of {FILE}",
        ),
        (
            attestation.field(attestation.of(FILE, b"other")),
            "attestation 1 is of a file with the sha256 "
            "'d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa', and",
        ),
    ],
)
def test_malformed_attestations_are_refused_with_their_file(
    site: Site, text: str, reason: str
) -> None:
    answer = site.upload(text)

    assert answer.status == 400
    assert answer.body.startswith(f"Nothing was published, as {reason}")
    assert answer.body.endswith(
        ": make the attestations anew, or send none (uv publish --no-attestations).\n"
    )
    assert answer.body == f"{answer.reason}\n"
    assert site.files() == []


def test_a_file_that_is_refused_leaves_no_attestations(site: Site) -> None:
    site.upload()
    sent, site.content = site.content, site.content + b"\0"

    assert site.upload(site.field()).status in (400, 409)

    site.content = sent
    assert site.files() == [FILE]
    assert site.upload(user="bob", attestations=site.field()).status == 403
    assert site.files() == [FILE]
