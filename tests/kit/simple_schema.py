"""The JSON of the Simple API, version 1.4, as a schema written from PyPA's specification.

It is stricter than that in one thing: a key that the specification does not name is an error, so
that a misspelled one is found.
"""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

_HEX = {"type": "string", "pattern": "^([0-9a-f]{2})+$"}
_HASHES = {
    "type": "object",
    "properties": {"sha256": {**_HEX, "minLength": 64, "maxLength": 64}},
    "additionalProperties": _HEX,
    "propertyNames": {"pattern": "^[a-z0-9_]+$"},
}
# It must not be empty: what has a secure hash should say it.
_SECURE_HASHES = {**_HASHES, "required": ["sha256"]}
_NAME = {"type": "string", "pattern": "^([a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9])$"}
_META = {
    "type": "object",
    "properties": {"api-version": {"const": "1.4"}},
    "required": ["api-version"],
    "additionalProperties": False,
}
# Whole, and of a secure origin: TLS, or this very machine.
_PROVENANCE = "^(https://[^/]+/|http://(localhost|127\\.[0-9.]+|\\[::1\\])(:[0-9]+)?/)[!-~]+$"

_FILE = {
    "type": "object",
    "properties": {
        "filename": {"type": "string", "pattern": "^[^/]+$"},
        "url": {"type": "string", "format": "uri-reference", "pattern": "^[!-~]+$"},
        "hashes": _SECURE_HASHES,
        "requires-python": {"type": "string", "minLength": 1},
        "core-metadata": {"oneOf": [{"type": "boolean"}, _SECURE_HASHES]},
        "dist-info-metadata": {"oneOf": [{"type": "boolean"}, _SECURE_HASHES]},
        "gpg-sig": {"type": "boolean"},
        "yanked": {"oneOf": [{"type": "boolean"}, {"type": "string", "minLength": 1}]},
        "size": {"type": "integer", "minimum": 0},
        "upload-time": {
            "type": "string",
            "pattern": "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d{1,6})?Z$",
        },
        "provenance": {"oneOf": [{"type": "null"}, {"type": "string", "pattern": _PROVENANCE}]},
    },
    # All else is optional.
    "required": ["filename", "url", "hashes", "size"],
    "additionalProperties": False,
}

PROJECT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "meta": _META,
        "name": _NAME,
        "project-status": {
            "type": "object",
            "properties": {
                "status": {"enum": ["active", "archived", "deprecated", "quarantined"]},
                "reason": {"type": "string"},
            },
            "additionalProperties": False,
        },
        "versions": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "files": {"type": "array", "items": _FILE},
    },
    "required": ["meta", "name", "versions", "files"],
    "additionalProperties": False,
    # A quarantined project offers nothing.
    "if": {
        "properties": {
            "project-status": {
                "type": "object",
                "properties": {"status": {"const": "quarantined"}},
                "required": ["status"],
            }
        },
        "required": ["project-status"],
    },
    "then": {"properties": {"files": {"maxItems": 0}}},
}
"""The page of a project."""

LIST: dict[str, Any] = {
    "type": "object",
    "properties": {
        "meta": _META,
        "projects": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": _NAME},
                "required": ["name"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["meta", "projects"],
    "additionalProperties": False,
}
"""The list of all projects."""


def problems(page: object, schema: dict[str, Any]) -> list[str]:
    """Return what is wrong with a page, one sentence for each place."""
    Draft202012Validator.check_schema(schema)
    found = Draft202012Validator(schema).iter_errors(page)
    return [f"{one.json_path}: {one.message}" for one in found]
