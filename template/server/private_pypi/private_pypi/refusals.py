"""Why a request is refused, in one sentence that says what to do."""

from __future__ import annotations

import errno
import logging
import sqlite3

from .answers import Answer, Environ, plain, refusal
from .attestations import AttestationError
from .body import PATIENCE
from .database import is_damage
from .distribution import DistributionError
from .index import NameTakenError, NotReadyError, NotYoursError
from .statuses import ClosedError
from .uploads import FormError, StalledError, TooLargeError

log = logging.getLogger(__name__)


def explain(error: Exception, environ: Environ, max_upload: int) -> Answer:
    """Return the answer to a request that failed; log the error unless it is the client's."""
    if isinstance(error, FormError | DistributionError):
        return refusal(400, str(error))
    if isinstance(error, AttestationError):
        return refusal(
            400,
            f"Nothing was published, as {error}: make the attestations anew, or send none (uv"
            " publish --no-attestations).",
        )
    if isinstance(error, NameTakenError):
        # twine takes only this status for a file that exists, with the words "already exists".
        is_twine = "twine" in environ.get("HTTP_USER_AGENT", "")
        return refusal(400 if is_twine else 409, str(error))
    if isinstance(error, NotYoursError):
        return refusal(403, str(error))
    if isinstance(error, ClosedError):
        return refusal(403, f"{error}.")
    if isinstance(error, TooLargeError):
        return too_large(max_upload)
    if isinstance(error, StalledError):
        text = f"Too little of the upload arrived in {PATIENCE} seconds: send it again."
        return refusal(408, text)
    if isinstance(error, NotReadyError):
        return not_ready()
    if isinstance(error, OSError | sqlite3.DatabaseError):
        log.error("a request failed: %s", error)
        return _of_disk(error, environ["REQUEST_METHOD"])
    log.error("a request failed", exc_info=error)
    return plain(500, "Internal Server Error")


def not_ready() -> Answer:
    """Return the answer to a request that has to wait until the index is current."""
    text = "The index is being brought up to date: try again."
    return refusal(503, text, ("Retry-After", "5"))


def too_large(max_upload: int) -> Answer:
    """Return the answer to a distribution of more than so many bytes."""
    return refusal(
        413,
        f"The upload is larger than the {max_upload // 2**20} MB this index accepts: make it"
        " smaller, or have max_upload_mb of the server raised.",
    )


def _of_disk(error: OSError | sqlite3.DatabaseError, method: str) -> Answer:
    if isinstance(error, sqlite3.DatabaseError) and is_damage(error):
        return not_ready()
    is_full = (
        error.errno in (errno.ENOSPC, errno.EDQUOT)
        if isinstance(error, OSError)
        else "full" in str(error)
    )
    again = "send the file again" if method == "POST" else "ask again"
    if is_full:
        text = f"The disk of the index is full: free some space on the server, then {again}."
        return refusal(507, text)
    # Without the path, which is in the log.
    reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
    return refusal(
        500,
        f"The disk of the index is not usable ({reason}): make pypi-logs on the server says more;"
        f" have it mended, then {again}.",
    )
