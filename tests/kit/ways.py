"""Every way to answer the questions that say how a client gets and publishes packages."""

from __future__ import annotations

import itertools

from kit.template import Answers

WAYS: list[Answers] = [
    {
        "template": "client",
        "package_manager": manager,
        "locked": locked,
        "index_strategy": strategy,
        "build_credentials": credentials,
    }
    for manager, locked, strategy, credentials in itertools.product(
        ("poetry", "uv"), (False, True), ("single", "extra"), ("arg", "secret")
    )
]

COVERING = [
    way
    for way in WAYS
    if [
        way["package_manager"] == "uv",
        way["locked"],
        way["index_strategy"] == "single",
        way["build_credentials"] == "secret",
    ].count(True)
    in (1, 3)
]
"""Eight, the default among them, in which any three answers meet: for tests that take long."""

FEW = [way for way in COVERING if way["build_credentials"] == "arg"]
"""Four, in which any two of the other answers meet: for tests that build no image."""


def name_of(way: Answers) -> str:
    """Return what a way to answer is called."""
    words = {True: "locked", False: "floating"}
    answers = (value for question, value in way.items() if question != "template")
    return "-".join(words.get(value, value) for value in answers)
