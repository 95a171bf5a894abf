"""Answers that refuse: a status and one sentence that says why and what to do."""

from __future__ import annotations

import errno
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from pypiserver.bottle_wrapper import HTTPError, request

from .database import is_damage
from .distribution import DistributionError
from .index import NameTakenError, NotReadyError, NotYoursError
from .uploads import PATIENCE, FormError, StalledError, TooLargeError

log = logging.getLogger(__name__)


@contextmanager
def refusals(max_upload: int) -> Iterator[None]:
    """Turn whatever stops an upload into an answer of one sentence."""
    try:
        yield
    except (FormError, DistributionError) as error:
        raise refusal(400, str(error)) from None
    except NameTakenError as error:
        # twine takes only this one for a file that exists, with the words "already exists".
        is_twine = "twine" in request.headers.get("User-Agent", "")
        raise refusal(400 if is_twine else 409, str(error)) from None
    except NotYoursError as error:
        raise refusal(403, str(error)) from None
    except TooLargeError:
        raise refusal(413, too_large(max_upload)) from None
    except StalledError:
        text = f"Too little of the upload arrived in {PATIENCE} seconds: send it again."
        raise refusal(408, text) from None
    except NotReadyError:
        raise not_ready() from None
    except (OSError, sqlite3.DatabaseError) as error:
        log.error("a request failed: %s", error)
        if isinstance(error, sqlite3.DatabaseError) and is_damage(error):
            raise not_ready() from None
        full = (
            error.errno in (errno.ENOSPC, errno.EDQUOT)
            if isinstance(error, OSError)
            else "full" in str(error)
        )
        again = "send the file again" if request.method == "POST" else "ask again"
        if full:
            text = f"The disk of the index is full: free some space on the server, then {again}."
            raise refusal(507, text) from None
        # Without the path, which is in the log.
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        text = (
            f"The disk of the index is not usable ({reason}): whoever runs the server finds more in"
            f" make pypi-logs and has to mend it, then {again}."
        )
        raise refusal(500, text) from None


def refusal(status: int, sentence: str, **headers: str) -> HTTPError:
    """Return an answer that says why in its body and, for twine, in its status line."""
    return HTTPError(f"{status} {sentence}", sentence, **headers)


def not_ready() -> HTTPError:
    """Return the answer to what cannot be told as long as the index is being made."""
    return refusal(503, "The index is being brought up to date: try again.", **{"Retry-After": "5"})


def too_large(max_upload: int) -> str:
    """Return the sentence for a distribution of more than so many bytes."""
    return (
        f"The upload is larger than the {max_upload // 2**20} MB this index accepts: make it"
        " smaller, or have max_upload_mb of the server raised."
    )
