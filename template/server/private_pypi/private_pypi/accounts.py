"""The accounts of the index: htpasswd files, one for each role, and the file of rights.

The files are the interface: `make pypi-user-*` edits them, and a person may do so, too. Only bcrypt
hashes are accepted, since the gateway verifies nothing else.
"""

from __future__ import annotations

import codecs
import re
import secrets
import string
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from passlib.hash import bcrypt

from . import rights as rights_file
from .disk import locked, stamp, write_atomically
from .rights import ALL, Rights

FILES = {"publisher": ".htpasswd", "reader": ".htpasswd-readers"}
"""Role to file: a publisher may publish and install, a reader may install."""

COST = 10
"""bcrypt's work factor for a chosen password: 60 ms for each guess.

An attacker who steals the file can guess chosen passwords, so their hash is slow. But each wrong
password that a client sends costs the gateway as much. 10 is the least that OWASP recommends.
"""

GENERATED_COST = 4
"""The work factor for a generated password: 1 ms, the lowest there is.

190 random bits cannot be guessed, however cheap a guess is. A slow hash would only help an attacker
to keep the server busy with wrong passwords.
"""

DECOY = f"$2y${GENERATED_COST:02}$a.decoy.for.strangers.nobody.knows.a.password.for.it."
"""A hash that was written, not computed, so that no password is known to fit it. The password of an
unknown user is compared with it, which takes as long as a wrong password of an account whose
password was generated."""

SHORTEST, LONGEST = 12, 72

SAVED_AFTER = 0.2
"""Seconds for which a file of rights is missing or empty while an editor saves it, at most."""

READINGS = 10
"""How often the files are read at most, while they change."""

# The gateway takes `import` at the start of a line for a directive of its own.
_NAME = re.compile(r"(?!import$)[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_SCHEMES = {
    "$2": "bcrypt",
    "{SHA}": "SHA-1",
    "{SSHA}": "SHA-1",
    "$apr1$": "MD5",
    "$1$": "MD5",
    "$5$": "SHA-256",
    "$6$": "SHA-512",
    "$7$": "scrypt",
    "$y$": "yescrypt",
    "$gy$": "yescrypt",
    "$argon2": "argon2",
}
_VOWELS = ("MD5", "scrypt", "argon2")  # as they are said


class AccountError(Exception):
    """An account cannot be made, changed or removed; the message says why and what to do."""


@dataclass(frozen=True)
class Account:
    """One line of an htpasswd file, and the rights that the account has."""

    name: str
    role: str
    hash: str
    line: int
    rights: Rights = ALL

    @property
    def file(self) -> str:
        """The file's name as its owner knows it."""
        return f"pypi_auth/{FILES[self.role]}"

    @property
    def scheme(self) -> str:
        """The hash scheme by its common name; a hash without a known mark counts as plaintext."""
        for mark, scheme in _SCHEMES.items():
            if self.hash.startswith(mark):
                return scheme
        return "plaintext"

    @property
    def complaint(self) -> str:
        """Why this account is refused and the command that fixes it; empty if it is let in."""
        where = f"{self.file} line {self.line}"
        if not _NAME.fullmatch(self.name):
            return f"{where}: that user name cannot be used; delete the line"
        fix = f"run make pypi-user-passwd USER={self.name}"
        if self.scheme == "plaintext":
            return (
                f"{where}: {self.name} has a plaintext password, which the gateway refuses; {fix}"
            )
        if self.scheme != "bcrypt":
            hashed = f"{'an' if self.scheme in _VOWELS else 'a'} {self.scheme} hash"
            return f"{where}: {self.name} has {hashed}, which the gateway refuses; {fix}"
        if not _BCRYPT.fullmatch(self.hash):
            return f"{where}: the bcrypt hash of {self.name} is damaged; {fix}"
        return ""


def read(folder: Path) -> tuple[list[Account], list[str]]:
    """Return the accounts that are let in, and a complaint for each line that is refused.

    A name counts once, where it stands first; publishers are read before readers. A missing file
    counts as an empty one. An account that has ended is let in: a refusal can then say so, and only
    to a client that has its password.

    The files are read again while they change, since an account that is added after its rights were
    read would have all rights.
    """
    for _ in range(READINGS):
        before = fingerprint(folder)
        found = _read(folder)
        if fingerprint(folder) == before:
            break
    return found


def _read(folder: Path) -> tuple[list[Account], list[str]]:
    accounts: dict[str, Account] = {}
    rights, complaints = rights_file.read(_lines(folder, rights_file.FILE))
    without_account = {*rights}
    for role in FILES:
        for number, line in enumerate(_lines(folder, FILES[role]), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            name, colon, digest = line.strip().partition(":")
            without_account.discard(name)
            account = Account(name, role, digest, number, rights.get(name, ALL) or ALL)
            where = f"{account.file} line {number}"
            # The line is not repeated: without a colon, it may be a password.
            if not colon:
                complaints.append(f"{where}: not a line user:hash; delete it")
            elif name in accounts:
                first = accounts[name]
                complaints.append(
                    f"{where}: {name} is already in {first.file} line {first.line};"
                    " delete one of the two lines"
                )
            elif account.complaint:
                complaints.append(account.complaint)
            elif rights.get(name, ALL) is not None:
                accounts[name] = account
    # The account that is meant may have more rights than its owner believes.
    complaints += [
        f"pypi_auth/{rights_file.FILE} has a line for {name[:80]!a}, which is no account: correct"
        " the name or delete the line"
        for name in rights
        if name in without_account
    ]
    return list(accounts.values()), complaints


def fingerprint(folder: Path) -> tuple[object, ...]:
    """Return a value that differs after a file was written, replaced or deleted, and each day."""
    files = (*FILES.values(), rights_file.FILE)
    return rights_file.today(), *(stamp(folder / file) for file in files)


def is_being_saved(folder: Path) -> bool:
    """Return whether an editor may just be saving the file of rights.

    Some delete or empty a file before they write it. Without that file, every account has all
    rights, so whoever knew of one waits until this is over.
    """
    try:
        stat = (folder / rights_file.FILE).stat()
    except FileNotFoundError:
        stat = folder.stat()
    else:
        if stat.st_size:
            return False
    return abs(time.time() - stat.st_mtime) < SAVED_AFTER


def new_password() -> str:
    """Generate a password of 32 random ASCII letters and digits, 190 bits."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(32))


def check_password(password: str) -> None:
    """Refuse a password that some client, shell or .env file cannot carry.

    Raises:
        AccountError: saying what to use instead; the message repeats no part of the password.
    """
    if any(character in password for character in "'\\ "):
        raise AccountError("leave single quotes, backslashes and spaces out of the password")
    if not all("!" <= character <= "~" for character in password):
        raise AccountError("use printable ASCII characters only in the password")
    if not SHORTEST <= len(password) <= LONGEST:
        raise AccountError(f"use a password of {SHORTEST} to {LONGEST} characters")


def add(
    folder: Path,
    name: str,
    role: str,
    password: str,
    *,
    generated: bool = False,
    rights: Rights = ALL,
) -> Rights:
    """Add an account.

    Args:
        generated: whether the password is of `new_password`; a chosen one is hashed more slowly.
        rights: what it may do of what its role may. What they leave open, a line has that was
            written beforehand.

    Returns:
        the rights that it has now.

    Raises:
        AccountError: if the name, role or password cannot be used or the name is taken.
    """
    if role not in FILES:
        raise AccountError(f"role {role!r} does not exist: use {' or '.join(FILES)}")
    if not _NAME.fullmatch(name):
        raise AccountError(
            f"{name!r} cannot be a user name: use 1 to 64 letters, digits or any of . _ @ + -,"
            " starting with a letter or digit, but not import"
        )
    check_password(password)
    with locked(folder):
        for other in FILES:
            if name in map(_name, _lines(folder, FILES[other])):
                raise AccountError(
                    f"{name} already exists as {other}: run make pypi-user-passwd USER={name}"
                    f" for a new password, or make pypi-user-remove USER={name} first"
                )
        # First: a crash never leaves an account that has more rights than it should.
        rights = _give(folder, name, rights)
        lines = _lines(folder, FILES[role])
        _write(folder, FILES[role], [*lines, _line(name, password, generated)])
        return rights


def change_password(
    folder: Path,
    name: str,
    password: str,
    *,
    generated: bool = False,
    until: date | None = None,
) -> Rights:
    """Give an account a new password, whatever hash its line has now.

    Args:
        generated: as in `add`.
        until: the new last day of the account; None: its last day stays as it is.

    Returns:
        the rights that it has now; all if their line shuts it out.

    Raises:
        AccountError: if there is no such account or the password cannot be used.
    """
    check_password(password)
    with locked(folder):
        file = FILES[_role_of(folder, name)]
        if until:
            _give(folder, name, Rights(until=until))
        new = _line(name, password, generated)
        _write(folder, file, [new if _name(x) == name else x for x in _lines(folder, file)])
        rights, _ = rights_file.read(_lines(folder, rights_file.FILE))
        return rights.get(name) or ALL


def remove(folder: Path, name: str) -> None:
    """Remove an account, wherever its name stands.

    Raises:
        AccountError: if there is no such account.
    """
    with locked(folder):
        _role_of(folder, name)
        for file in FILES.values():
            lines = _lines(folder, file)
            kept = [line for line in lines if _name(line) != name]
            if kept != lines:
                _write(folder, file, kept)
        _write_rights(folder, name, ALL)


def listed(folder: Path) -> list[Account]:
    """Return every account by file and line, refused ones, too."""
    rights, _ = rights_file.read(_lines(folder, rights_file.FILE))
    return [
        Account(
            (name := _name(line)),
            role,
            line.strip().partition(":")[2],
            number,
            rights.get(name) or ALL,
        )
        for role in FILES
        for number, line in enumerate(_lines(folder, FILES[role]), start=1)
        if _name(line)
    ]


def _name(line: str) -> str:
    name, colon, _ = line.strip().partition(":")
    return name if colon and not line.startswith("#") else ""


def _line(name: str, password: str, generated: bool) -> str:
    cost = GENERATED_COST if generated else COST
    return f"{name}:{bcrypt.using(rounds=cost, ident='2y').hash(password)}"


def _role_of(folder: Path, name: str) -> str:
    for role in FILES:
        if name and name in map(_name, _lines(folder, FILES[role])):
            return role
    raise AccountError(f"{name!r} has no account: make pypi-user-list shows all")


def _give(folder: Path, name: str, rights: Rights) -> Rights:
    """Change what an account may do, and leave the rest of its line as it is."""
    known, complaints = rights_file.read(_lines(folder, rights_file.FILE))
    old = known.get(name, ALL)
    if old is None:
        raise AccountError("; ".join(complaints))
    new = Rights(rights.projects or old.projects, rights.until or old.until)
    if new != old:
        _write_rights(folder, name, new)
    return new


def _write_rights(folder: Path, name: str, rights: Rights) -> None:
    """Write what an account may do; the lines of other accounts stay as they are."""
    lines = _lines(folder, rights_file.FILE)
    new = [line for line in lines if rights_file.name_of(line) != name]
    if rights != ALL:
        new.append(f"{name} {rights}")
    if new != lines:
        _write(folder, rights_file.FILE, new)


def _lines(folder: Path, file: str) -> list[str]:
    try:
        content = (folder / file).read_bytes()
    except FileNotFoundError:
        return []
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = content.decode("utf-16", "replace")
    else:
        # Lossless, whatever bytes a comment holds: lines that are not edited stay as they were.
        text = content.decode("utf-8", "surrogateescape")
    # Editors on Windows begin a file with a byte order mark, which they do not show.
    lines = text.removesuffix("\n").split("\n") if text else []
    return [line.removeprefix("\ufeff") for line in lines]


def _write(folder: Path, file: str, lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    write_atomically(folder / file, text.encode(errors="surrogateescape"))
