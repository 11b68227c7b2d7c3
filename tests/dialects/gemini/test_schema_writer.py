"""JSON Schemas for models that take them: what counts there, and what does not."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.gemini.schema_writer import KEPT, write_json_schema
from gateway.dialects.names import Json

CITY: Json = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
TREE: Json = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Tree"}}}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": ["string", "null"], "enum": ["a", "b"], "format": "date", "title": "A", "default": "a"},
        {"type": "array", "prefixItems": [{"type": "number", "minimum": 1}], "items": False, "maxItems": 2},
        {"oneOf": [{"type": "string"}, {"type": "integer"}], "description": "either"},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/City"}}, "$defs": {"City": CITY}},
        {"$ref": "#/$defs/Tree", "$defs": {"Tree": TREE}},
        {"type": "object", "properties": {"const": {"type": "array", "items": {"$ref": "#"}}}},
    ],
)
def test_what_google_takes_stays_as_it_is(schema: Json) -> None:
    assert write_json_schema(schema) == (schema, [])


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": "a"}, {"enum": ["a"], "type": "string"}),
        ({"type": "integer", "const": 3, "enum": [3, 4]}, {"type": "integer", "enum": [3]}),
        ({"const": None}, {"type": "null"}),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"nullable": True, "type": "string"}, {"type": ["string", "null"]}),
        ({"allOf": [CITY, {"description": "where"}]}, {**CITY, "description": "where"}),
        ({"items": [{"const": 1}]}, {"prefixItems": [{"enum": [1], "type": "integer"}]}),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "null"}, {"type": "null"}),
    ],
)
def test_what_has_another_word_gets_it(schema: Json, expected: Json) -> None:
    assert write_json_schema(schema) == (expected, [])


def test_what_says_more_than_a_reference_gets_its_target_in_place() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/City", "description": "from"}}, "$defs": {"City": CITY}}
    written, lost = write_json_schema(schema)
    assert (written["properties"]["a"], lost) == ({**CITY, "description": "from"}, [])


def test_definitions_of_older_drafts_move_to_where_google_looks() -> None:
    schema = {"properties": {"a": {"$ref": "#/definitions/City"}}, "definitions": {"City": CITY}}
    expected = {"properties": {"a": {"$ref": "#/$defs/City"}}, "$defs": {"City": CITY}}
    assert write_json_schema(schema) == (expected, [])


def test_references_to_other_places_are_put_in_place() -> None:
    schema = {"properties": {"a": CITY, "b": {"$ref": "#/properties/a"}}}
    assert write_json_schema(schema) == ({"properties": {"a": CITY, "b": CITY}}, [])


def test_a_circle_closes_with_the_reference_alone() -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Tree", "title": "N"}}}
    written, lost = write_json_schema({"$ref": "#/$defs/Tree", "title": "T", "$defs": {"Tree": tree}})
    assert written["properties"]["next"] == {"$ref": "#/$defs/Tree"}
    assert written["title"] == "T"
    assert "properties.next.title" in lost


@pytest.mark.parametrize(
    ("schema", "lost"),
    [
        ({"type": "string", "pattern": "x", "minLength": 1}, ["pattern", "minLength"]),
        (
            {"properties": {"a": {"not": {}, "exclusiveMinimum": 0}}},
            ["properties.a.not", "properties.a.exclusiveMinimum"],
        ),
        ({"const": True}, ["const"]),
        ({"enum": [True, False]}, ["enum"]),
        ({"$ref": "https://example.com/a"}, ["$ref"]),
        ({"anyOf": [{"uniqueItems": True}]}, ["anyOf.0.uniqueItems"]),
    ],
)
def test_rules_that_do_not_count_are_told(schema: Json, lost: list[str]) -> None:
    written, told = write_json_schema(schema)
    assert told == lost
    assert not {"pattern", "minLength", "const", "$ref"} & written.keys()


names = st.sampled_from(sorted(KEPT | {"$ref", "allOf", "anyOf", "const", "items", "properties", "$defs", "not", "A"}))
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["string", "#", "#/$defs/A", "#/$defs/A/items"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(names, values, max_size=5))
def test_nothing_that_is_given_is_changed_or_too_much(schema: dict[str, Any]) -> None:
    before = copy.deepcopy(schema)
    write_json_schema(schema)
    assert schema == before


@given(st.dictionaries(names, values, max_size=5))
def test_beside_a_reference_stands_nothing(schema: dict[str, Any]) -> None:
    pending: list[Any] = [write_json_schema(schema)[0]]
    while pending:
        node = pending.pop()
        if not isinstance(node, dict):
            continue
        assert "$ref" not in node or all(name.startswith("$") for name in node)
        inner = [node.get("items"), node.get("additionalProperties")]
        inner += node["anyOf"] if isinstance(node.get("anyOf"), list) else []
        for place in ("properties", "$defs"):
            inner += node[place].values() if isinstance(node.get(place), dict) else []
        pending += inner
