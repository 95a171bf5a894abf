"""Accounts of servers that tests run: names, passwords and lines of htpasswd files."""

from __future__ import annotations

from passlib.hash import bcrypt

from kit.template import PASSWORD

Account = tuple[str, str]
"""Name and password."""

ALICE: Account = ("alice", PASSWORD)
ANNA: Account = ("anna", "annas-password")


def htpasswd_line(name: str, password: str) -> str:
    """Return an account's line in an htpasswd file; to check the password takes a millisecond."""
    return f"{name}:{bcrypt.using(rounds=4, ident='2y').hash(password)}\n"
