"""Lines of an htpasswd file, the accounts of the generated server."""

from __future__ import annotations

from jinja2 import Environment
from jinja2.ext import Extension
from passlib.hash import bcrypt

COST = 10
"""bcrypt's work factor (2**10 rounds): 60 ms for each guess at a chosen password, as in the
server's own accounts.py, which says why not more."""


def htpasswd(password: str, user: str) -> str:
    """Return the htpasswd line of one account, without a line end.

    The hash is bcrypt in its `$2y$` form, which Apache's htpasswd, passlib and Caddy all read.
    Its salt is random: the same password gives another line each time.

    Raises:
        ValueError: if the user or the password is empty, or the password exceeds 72 bytes.
    """
    if not user or not password:
        raise ValueError("an account needs a user name and a password, neither of them empty")
    return f"{user}:{bcrypt.using(rounds=COST, ident='2y').hash(password)}"


class HtpasswdExtension(Extension):
    """Registers the filter `htpasswd`."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters["htpasswd"] = htpasswd
