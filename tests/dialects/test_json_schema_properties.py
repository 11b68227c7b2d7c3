"""What holds for every JSON that is given as a schema, and the bounds of what comes out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.json_schema import MAX_ADDED, MAX_DEPTH, MAX_LOST, for_anthropic_output, for_gemini
from gateway.dialects.schema_refs import weight

Json = dict[str, Any]


def words(text: str) -> list[str]:
    return text.split()


KEYWORDS = words(
    """type properties required items anyOf oneOf allOf enum const $ref $defs definitions additionalProperties nullable
    format title description default minimum minItems minLength pattern prefixItems propertyOrdering not if x-y"""
)
NAMES = ["a", "b", "A", "B"]
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0]) | st.sampled_from(["", *NAMES])
TYPES = st.sampled_from(["string", "number", "integer", "boolean", "array", "object", "null", "STRING", "any"])
REFS = st.sampled_from(["#", "#/$defs/A", "#/$defs/B", "#/definitions/A", "#/properties/a", "#/anyOf/0", "#/x", "y"])


def json_values(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, *KEYWORDS]), inner, max_size=4)


ANYTHING = st.recursive(SCALARS | TYPES | REFS, json_values, max_leaves=12)


def nodes(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly schemas as they should be, now and then something else in any place."""
    inner = inner | ANYTHING
    named = st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, max_size=3),
            "properties": named,
            "required": st.lists(st.sampled_from(NAMES), max_size=3),
            "items": inner,
            **{word: st.lists(inner, max_size=3) for word in ("anyOf", "oneOf", "allOf", "prefixItems")},
            "enum": st.lists(SCALARS, max_size=3),
            "const": SCALARS,
            "$ref": REFS,
            **dict.fromkeys(("$defs", "definitions"), named),
            "additionalProperties": inner,
            "nullable": st.booleans(),
            "format": st.sampled_from(["date-time", "enum", "email", "int32", "float", "uint8"]),
            **dict.fromkeys(("title", "default", "minimum", "minItems", "pattern"), SCALARS),
            "not": inner,
        },
    )


SCHEMAS: st.SearchStrategy[Any] = st.recursive(st.just({}) | st.booleans(), nodes, max_leaves=20) | ANYTHING
BOTH = pytest.mark.parametrize("write", [for_gemini, for_anthropic_output])
Write = Callable[[Any], tuple[Json, list[str]]]


def walk(node: Json) -> Iterator[Json]:
    """All schemas of a result."""
    yield node
    for place in ("properties", "$defs", "definitions"):
        for each in node.get(place, {}).values():
            yield from walk(each)
    for each in [*node.get("anyOf", []), *([node["items"]] if "items" in node else [])]:
        yield from walk(each)


GOOGLE = set(
    words(
        """type format title description nullable default items minItems maxItems enum properties propertyOrdering
        required minProperties maxProperties minimum maximum minLength maxLength pattern example anyOf"""
    )
)


@given(SCHEMAS)
def test_gemini_gets_nothing_that_it_refuses(schema: Any) -> None:
    written, _ = for_gemini(schema)
    for node in walk(written):
        assert node.keys() <= GOOGLE
        if "anyOf" in node:
            assert node.keys() == {"anyOf"}
            assert len(node["anyOf"]) > 1
            continue
        kind = node["type"].lower()
        assert kind in ("string", "number", "integer", "boolean", "array", "object", "null")
        assert ("items" in node) == (kind == "array")
        assert kind == "string" or not node.keys() & {"enum", "pattern"}
        assert all(isinstance(value, str) and value for value in node.get("enum", []))
        assert kind == "object" or not node.keys() & {"properties", "required"}
        assert set(node.get("required", [])) <= node.get("properties", {}).keys()
        assert node.get("format") != "enum" or node["enum"]


ANTHROPIC_TAKES = set(
    words(
        """type format title description default items minItems enum const properties required additionalProperties
        pattern anyOf $ref $defs definitions"""
    )
)


@given(SCHEMAS)
def test_anthropic_gets_nothing_that_it_refuses(schema: Any) -> None:
    written, _ = for_anthropic_output(schema)
    pointers = {f"#/{place}/{name}" for place in ("$defs", "definitions") for name in written.get(place, {})}
    for node in walk(written):
        assert node.keys() <= ANTHROPIC_TAKES
        if "$ref" in node:
            assert node.keys() == {"$ref"}
            assert node["$ref"] in pointers
            continue
        if "anyOf" in node:
            assert "type" not in node
            continue
        types = node["type"] if isinstance(node["type"], list) else [node["type"]]
        assert set(types) <= {"string", "number", "integer", "boolean", "array", "object", "null"}
        assert ("object" in types) == (node.get("additionalProperties") is False)
        assert ("items" in node) == ("array" in types)
        assert node.get("minItems", 0) in (0, 1)


@BOTH
@given(schema=SCHEMAS)
def test_a_result_is_fine_already_and_no_input_is_changed(write: Write, schema: Any) -> None:
    before = copy.deepcopy(schema)
    written, lost = write(schema)
    assert schema == before
    assert len(lost) == len(set(lost))
    assert write(written)[0] == written


@BOTH
@given(schema=SCHEMAS)
def test_what_was_lost_once_is_not_lost_again(write: Write, schema: Any) -> None:
    written, _ = write(schema)
    assert write(written)[1] == []


# --- bounds -----------------------------------------------------------------------------------------------------------


@BOTH
def test_definitions_that_double_do_not_explode(write: Write) -> None:
    definitions = {
        f"D{n}": {"type": "object", "properties": {side: {"$ref": f"#/$defs/D{n + 1}", "title": "t"} for side in "ab"}}
        for n in range(60)
    }
    schema = {"$ref": "#/$defs/D0", "$defs": {**definitions, "D60": {"type": "string"}}}
    written, lost = write(schema)
    assert weight(written) < 10 * MAX_ADDED
    assert 0 < len(lost) <= MAX_LOST


@BOTH
def test_what_stands_beside_many_branches_is_not_copied_without_bound(write: Write) -> None:
    wide = {f"p{n}": {"type": "string", "description": "x" * 100} for n in range(1000)}
    schema = {"type": "object", "properties": wide, "anyOf": [{"required": [name]} for name in wide]}
    written, lost = write(schema)
    assert written["properties"].keys() == wide.keys()
    assert lost == ["anyOf"]


@BOTH
def test_words_beside_many_branches_are_not_copied_without_bound(write: Write) -> None:
    schema = {"description": "x" * 100_000, "anyOf": [{"type": "string", "title": str(n)} for n in range(1000)]}
    written, _ = write(schema)
    assert len(written["anyOf"]) == 1000
    assert weight(written) < 2 * MAX_ADDED


@pytest.mark.parametrize("word", ["anyOf", "items", "properties"])
@BOTH
def test_what_is_too_deep_is_cut(write: Write, word: str) -> None:
    schema: Any = {"type": "string"}
    for _ in range(5000):
        inner = {"a": schema} if word == "properties" else [schema, {"title": "t"}] if word.endswith("Of") else schema
        schema = {word: inner, "type": "object"} if word == "properties" else {word: inner}
    written, lost = write(schema)
    assert weight(written) < 100 * MAX_DEPTH
    assert lost
