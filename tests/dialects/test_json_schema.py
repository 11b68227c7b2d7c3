"""JSON Schemas for Gemini and Anthropic: a table of what becomes of what."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.json_schema import for_anthropic_output, for_gemini

Json = dict[str, Any]

PET = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
CLOSED_PET = {**PET, "additionalProperties": False}

GEMINI: list[tuple[str, Json, Json, list[str]]] = [
    ("nothing said is an object", {}, {"type": "object"}, []),
    ("null counts as not said", {"type": "string", "description": None}, {"type": "string"}, []),
    (
        "words about the document go",
        {"$schema": "x", "$id": "y", "type": "string", "strict": True},
        {"type": "string"},
        [],
    ),
    ("capitals stay", {"type": "STRING", "format": "date-time"}, {"type": "STRING", "format": "date-time"}, []),
    (
        "references are put in place, their neighbours win",
        {
            "type": "object",
            "properties": {"pet": {"$ref": "#/$defs/Pet", "description": "mine"}},
            "$defs": {"Pet": {**PET, "description": "any"}},
        },
        {"type": "object", "properties": {"pet": {**PET, "description": "mine"}}},
        [],
    ),
    (
        "the old place of definitions, escapes and all",
        {"type": "array", "items": {"$ref": "#/definitions/a~1b%20c"}, "definitions": {"a/b c": PET}},
        {"type": "array", "items": PET},
        [],
    ),
    (
        "a circle is cut",
        {"$ref": "#/$defs/Node", "$defs": {"Node": {"properties": {"next": {"$ref": "#/$defs/Node"}}}}},
        {"type": "object", "properties": {"next": {"type": "string"}}},
        ["properties.next.$ref", "properties.next"],
    ),
    (
        "a circle to the root is cut, with its type left",
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
        {"type": "object", "properties": {"next": {"type": "object"}}},
        ["properties.next.$ref"],
    ),
    (
        "a reference to nothing",
        {"type": "object", "properties": {"a": {"$ref": "http://x/y"}}},
        {"type": "object", "properties": {"a": {"type": "string"}}},
        ["properties.a.$ref", "properties.a"],
    ),
    (
        "allOf is merged",
        {
            "allOf": [
                {"properties": {"a": {"type": "number", "minimum": 1}}, "required": ["a"]},
                {"properties": {"a": {"type": "integer", "minimum": 3}, "b": PET}, "required": ["b", "a"]},
            ]
        },
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}, "b": PET}, "required": ["a", "b"]},
        [],
    ),
    (
        "what cannot hold at once: the first holds",
        {"allOf": [{"type": "string", "pattern": "a"}, {"type": "integer", "pattern": "b"}]},
        {"type": "string", "pattern": "a"},
        ["type", "pattern"],
    ),
    (
        "a null beside a type is nullable",
        {"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}], "default": None, "title": "T"},
        {"type": "string", "minLength": 1, "nullable": True, "default": None, "title": "T"},
        [],
    ),
    ("types in an array", {"type": ["string", "null"]}, {"type": "string", "nullable": True}, []),
    ("null alone", {"type": "null"}, {"type": "null"}, []),
    (
        "several types are split, each with what is about it",
        {"type": ["string", "integer", "null"], "maxLength": 3, "maximum": 7, "description": "D"},
        {
            "anyOf": [
                {"type": "string", "maxLength": 3, "nullable": True, "description": "D"},
                {"type": "integer", "maximum": 7, "nullable": True, "description": "D"},
            ]
        },
        [],
    ),
    (
        "what stands beside a union goes into its branches",
        {"type": "object", "properties": {"a": PET}, "oneOf": [{"required": ["a"]}, {"properties": {"b": PET}}]},
        {
            "anyOf": [
                {"type": "object", "properties": {"a": PET}, "required": ["a"]},
                {"type": "object", "properties": {"a": PET, "b": PET}},
            ]
        },
        [],
    ),
    (
        "unions in unions are one, a default has no room",
        {"anyOf": [{"anyOf": [{"type": "string"}, {"type": "integer"}]}, {"type": "boolean"}], "default": 1},
        {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}]},
        ["default"],
    ),
    ("a constant is an enum of one", {"const": "a"}, {"type": "string", "enum": ["a"]}, []),
    ("a number cannot be an enum", {"const": 5}, {"type": "integer"}, ["enum"]),
    (
        "values of two types",
        {"enum": ["a", 1, 2, None]},
        {"anyOf": [{"type": "string", "enum": ["a"], "nullable": True}, {"type": "integer", "nullable": True}]},
        ["enum"],
    ),
    ("an empty text in an enum", {"enum": ["", "a"]}, {"type": "string", "enum": ["a"]}, ["enum"]),
    (
        "the format of an enum needs one",
        {"type": "string", "format": "enum", "enum": []},
        {"type": "string"},
        ["enum"],
    ),
    ("values of another type", {"type": "boolean", "enum": ["a"]}, {"type": "boolean"}, ["enum"]),
    ("formats", {"type": "string", "format": "email"}, {"type": "string"}, ["format"]),
    ("a format about texts says nothing of objects", {"type": "object", "format": "int32"}, {"type": "object"}, []),
    ("arrays need items", {"type": "array"}, {"type": "array", "items": {"type": "string"}}, ["items"]),
    (
        "tuples",
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}], "items": False},
        {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}},
        ["prefixItems"],
    ),
    (
        "what must not be there is not offered, what may be anything is a text",
        {"type": "object", "properties": {"a": False, "b": True}, "required": ["a", "b"]},
        {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]},
        ["properties.b", "required"],
    ),
    (
        "closed objects are no loss, patterns of names are",
        {**PET, "additionalProperties": False, "patternProperties": {"x": {}}},
        PET,
        ["patternProperties"],
    ),
    ("typed further properties", {**PET, "additionalProperties": PET}, PET, ["additionalProperties"]),
    (
        "keywords of other types say nothing",
        {"type": "integer", "minLength": 3, "properties": {}},
        {"type": "integer"},
        [],
    ),
    (
        "unknown words",
        {"type": "string", "if": {}, "x-y": 1, "minLength": "a"},
        {"type": "string"},
        ["if", "x-y", "minLength"],
    ),
    ("type by keyword", {"minimum": 3}, {"type": "number", "minimum": 3}, []),
    (
        "counts",
        {"type": "string", "minLength": 3.0, "maxLength": "7"},
        {"type": "string", "minLength": 3, "maxLength": "7"},
        [],
    ),
]

ANTHROPIC: list[tuple[str, Json, Json, list[str]]] = [
    ("objects are closed", PET, CLOSED_PET, []),
    (
        "open objects are closed, which is a loss",
        {**PET, "additionalProperties": True},
        CLOSED_PET,
        ["additionalProperties"],
    ),
    (
        "references stay",
        {"type": "array", "items": {"$ref": "#/$defs/Pet"}, "$defs": {"Pet": PET}},
        {"type": "array", "items": {"$ref": "#/$defs/Pet"}, "$defs": {"Pet": CLOSED_PET}},
        [],
    ),
    (
        "a reference with neighbours is put in place",
        {"type": "array", "items": {"$ref": "#/$defs/Pet", "title": "T"}, "$defs": {"Pet": PET}},
        {"type": "array", "items": {**CLOSED_PET, "title": "T"}, "$defs": {"Pet": CLOSED_PET}},
        [],
    ),
    (
        "recursion is cut",
        {
            "$ref": "#/$defs/Node",
            "$defs": {
                "Node": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/Node"}}}}
            },
        },
        {
            "type": "object",
            "properties": {"kids": {"type": "array", "items": {"type": "object", "additionalProperties": False}}},
            "additionalProperties": False,
        },
        ["properties.kids.items.$ref"],
    ),
    ("types in an array stay", {"type": ["string", "null"]}, {"type": ["string", "null"]}, []),
    (
        "oneOf becomes anyOf, annotations stay",
        {"oneOf": [{"type": "string"}, {"type": "null"}], "default": None, "description": "D"},
        {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "description": "D"},
        [],
    ),
    (
        "nullable",
        {"type": "STRING", "enum": ["a"], "nullable": True},
        {"type": ["string", "null"], "enum": ["a", None]},
        [],
    ),
    (
        "enums of all scalars",
        {"enum": [1, "a", None]},
        {"type": ["integer", "string", "null"], "enum": [1, "a", None]},
        [],
    ),
    ("enums of objects", {"enum": [{"a": 1}]}, {"type": "object", "additionalProperties": False}, ["enum"]),
    ("constants", {"const": 5}, {"type": "integer", "const": 5}, []),
    ("bounds", {"type": "integer", "minimum": 1, "multipleOf": 2}, {"type": "integer"}, ["minimum", "multipleOf"]),
    ("lengths", {"type": "string", "minLength": 1}, {"type": "string"}, ["minLength"]),
    (
        "one item at least, and not more",
        {"anyOf": [{"type": "array", "minItems": n, "items": PET} for n in (0, 1, 2)]},
        {
            "anyOf": [
                {"type": "array", "minItems": 0, "items": CLOSED_PET},
                {"type": "array", "minItems": 1, "items": CLOSED_PET},
                {"type": "array", "items": CLOSED_PET},
            ]
        },
        ["anyOf.2.minItems"],
    ),
    ("formats", {"type": "string", "format": "email"}, {"type": "string", "format": "email"}, []),
    ("other formats", {"type": "string", "format": "binary"}, {"type": "string"}, ["format"]),
    ("patterns", {"type": "string", "pattern": "^a+$"}, {"type": "string", "pattern": "^a+$"}, []),
    ("patterns that look around", {"type": "string", "pattern": "(?=a)"}, {"type": "string"}, ["pattern"]),
]


@pytest.mark.parametrize(("schema", "wanted", "lost"), [case[1:] for case in GEMINI], ids=[case[0] for case in GEMINI])
def test_a_schema_for_gemini(schema: Json, wanted: Json, lost: list[str]) -> None:
    assert for_gemini(schema) == (wanted, lost)


@pytest.mark.parametrize(
    ("schema", "wanted", "lost"), [case[1:] for case in ANTHROPIC], ids=[case[0] for case in ANTHROPIC]
)
def test_a_schema_for_anthropic(schema: Json, wanted: Json, lost: list[str]) -> None:
    assert for_anthropic_output(schema) == (wanted, lost)
