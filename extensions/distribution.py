"""Names of Python distributions and requirements on them."""

from __future__ import annotations

import keyword
import re
import sys
from typing import Any

from jinja2 import Environment
from jinja2.ext import Extension
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")

_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

LONGEST = 64
"""Characters of the app's own name, which names a folder and appears in lines of code."""

_STANDARD_LIBRARY = sys.stdlib_module_names | {
    *("annotationlib", "compression", "tomllib"),
    *("aifc", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk", "crypt", "distutils"),
    *("imghdr", "imp", "lib2to3", "mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes"),
    *("smtpd", "sndhdr", "spwd", "sunau", "telnetlib", "uu", "xdrlib"),
    *("sitecustomize", "test", "usercustomize"),
}
"""Modules of the standard library of Python 3.11 to 3.14, on which an app may run: those of the
Python that runs Copier, those that came or went between versions, and some that `sys` omits."""

_TAKEN = {
    **dict.fromkeys(["dist", "scripts", "src", "tests", "tools"], "a folder of this repository"),
    **dict.fromkeys(
        ["conftest", "test_app", "test_lock", "test_requirements"], "a module of the app's tests"
    ),
    **dict.fromkeys(
        [
            *("pip", "pkg_resources", "setuptools", "wheel"),
            *("poetry", "poetry_core", "poetry_plugin_export", "uv", "uv_build"),
            *("copier", "twine"),
            *("pytest", "colorama", "exceptiongroup", "iniconfig", "packaging", "pluggy", "py"),
            *("pygments", "tomli", "typing_extensions"),
        ],
        "a tool that this repository uses, or a part of one",
    ),
}
"""Modules that an app's own would hide or be hidden by, and what each of them is."""

DEFAULT_PIN = "==0.*"
"""The pin of a bare name: any release before 1.0, none from 1.0 on."""


def module_name(name: str) -> str:
    """Return the name a distribution is imported by: `My-App` gives `my_app`."""
    return canonicalize_name(name).replace("-", "_")


def distribution_name_error(name: str) -> str:
    """Return why a text cannot name the app's distribution, or an empty string (PEP 508 names).

    A name is also refused if its module could not be imported, or would clash with a module of the
    standard library, of the repository, or of a tool that the repository uses.
    """
    if not _NAME.fullmatch(name):
        return (
            f"{name!r} is not a package name: type letters, digits, '.', '-' or '_',"
            " with a letter or digit at both ends."
        )
    if len(name) > LONGEST:
        return f"The package name has {len(name)} characters: type {LONGEST} at most."
    module = module_name(name)
    if not module.isidentifier() or keyword.iskeyword(module):
        return (
            f"{name!r} would be imported as {module!r}, which is no Python name:"
            " start with a letter."
        )
    if module in _STANDARD_LIBRARY:
        return f"{module!r} is a module of Python's standard library: choose another name."
    if module in _TAKEN:
        return f"{module!r} is {_TAKEN[module]}: choose another name."
    return ""


def requirements_error(requirements: Any, own_name: str, package_manager: str) -> str:
    """Return why a list of requirements cannot be used, or an empty string.

    Args:
        requirements: the answer, which should be a list of PEP 508 texts without URL and marker.
        own_name: the distribution that will have these requirements; it cannot be one of them.
        package_manager: `poetry`, which cannot read `===`, or `uv`.
    """
    if not isinstance(requirements, list) or not requirements:
        return "Type a YAML list of at least one package, such as [my-private-lib, other-lib==2.*]."
    seen = set()
    for text in requirements:
        if not isinstance(text, str):
            return f"{text!r} is not a package name: type a name or a pin such as other-lib==2.*."
        if "\n" in text:
            return f"{text!r} has more than one line: type one requirement for each item."
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            if re.search(r"^\s*[<>=!~]|\([^)]*$", text):
                return f"{text!r} is half a pin: type quotes around a pin that has a comma in it."
            return f"pip cannot read {text!r}: type a name or a pin such as other-lib==2.*."
        if not _NAME.fullmatch(requirement.name):
            return f"{requirement.name!r} is not a package name: end it with a letter or a digit."
        if requirement.url:
            return f"{text!r} names a URL: publish the package to the index and type its name."
        if requirement.marker:
            return f"{text!r} applies to some machines only: leave out all from the semicolon on."
        if package_manager == "poetry" and any(
            specifier.operator == "===" for specifier in requirement.specifier
        ):
            return f"Poetry cannot read the === of {text!r}: type ==."
        name = canonicalize_name(requirement.name)
        if name == canonicalize_name(own_name):
            return f"{requirement.name!r} is this app itself: leave it out."
        if name in seen:
            return f"{requirement.name!r} is listed twice: keep one of them."
        seen.add(name)
    return ""


def prefixes_error(prefixes: Any) -> str:
    """Return why a list of reserved prefixes cannot be used, or an empty string."""
    if not isinstance(prefixes, list):
        return "Type a YAML list of prefixes such as [acme-], or [] for none."
    for text in prefixes:
        if not isinstance(text, str) or not _PREFIX.fullmatch(text):
            return (
                f"{text!r} is not the start of a package name: type letters, digits, '.', '-' or"
                " '_', with a letter or digit first, such as acme-."
            )
    return ""


def reserved(prefix: str) -> str:
    """Return the namespace that a prefix reserves (PEP 752): `Acme_` gives `acme`.

    It is normalised, and holds the project of that name and all that go on with a hyphen.
    """
    return canonicalize_name(prefix).rstrip("-")


def pinned(requirement: str) -> str:
    """Return a requirement with a version: a bare name gets `==0.*`, any other pin is kept."""
    parsed = Requirement(requirement)
    if not parsed.specifier:
        parsed.specifier = Requirement(f"x{DEFAULT_PIN}").specifier
    return str(parsed)


def required_name(requirement: str) -> str:
    """Return the normalized name (PEP 503) of the distribution a requirement asks for."""
    return canonicalize_name(Requirement(requirement).name)


def uncovered(requirements: list[str], namespaces: list[str]) -> list[str]:
    """Return the normalized names of required distributions that lie in no reserved namespace.

    Without a namespace there are none: nobody wants names to begin in a certain way then.
    """
    names = map(required_name, requirements if namespaces else [])
    starts = tuple(f"{namespace}-" for namespace in namespaces)
    return [name for name in names if not f"{name}-".startswith(starts)]


class DistributionExtension(Extension):
    """Registers the filters of this module by their names."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        for function in (
            distribution_name_error,
            module_name,
            pinned,
            prefixes_error,
            required_name,
            requirements_error,
            reserved,
            uncovered,
        ):
            environment.filters[function.__name__] = function
