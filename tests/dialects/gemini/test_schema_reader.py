"""Google's Schema as JSON Schema."""

from __future__ import annotations

import pytest

from gateway.dialects.gemini.schema_reader import read_schema
from gateway.dialects.names import Json


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "STRING"}, {"type": "string"}),
        ({"type": 6}, {"type": "object"}),
        ({"type": "TYPE_UNSPECIFIED"}, {}),
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "STRING", "nullable": False}, {"type": "string"}),
        (
            {"type": "STRING", "format": "enum", "enum": ["a"], "nullable": True},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        ({"any_of": [{"type": "STRING"}], "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (
            {"type": "ARRAY", "items": {"type": "INTEGER"}, "maxItems": "3"},
            {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
        ),
        ({"type": "STRING", "example": "a"}, {"type": "string", "examples": ["a"]}),
        (
            {
                "type": "OBJECT",
                "properties": {"a_b": {"type": "STRING"}, "c": {"type": "NUMBER"}},
                "propertyOrdering": ["c"],
                "required": ["a_b"],
            },
            {"type": "object", "properties": {"c": {"type": "number"}, "a_b": {"type": "string"}}, "required": ["a_b"]},
        ),
        (
            {
                "type": "object",
                "additionalProperties": False,
                "properties": {"a": {"$ref": "#/$defs/A"}},
                "$defs": {"A": {"type": "string"}},
            },
            {
                "type": "object",
                "additionalProperties": False,
                "properties": {"a": {"$ref": "#/$defs/A"}},
                "$defs": {"A": {"type": "string"}},
            },
        ),
        (
            {"type": ["string", "null"], "properties": [], "items": True},
            {"type": ["string", "null"], "properties": [], "items": True},
        ),
    ],
)
def test_a_schema_becomes_json_schema(schema: Json, expected: Json) -> None:
    read = read_schema(schema, "s")
    assert read == expected
    assert list(read.get("properties", ())) == list(expected.get("properties", ()))
