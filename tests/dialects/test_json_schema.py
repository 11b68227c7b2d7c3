"""JSON Schemas for Gemini and Anthropic: a table of what becomes of what, and what holds for every JSON."""

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


# --- every JSON -------------------------------------------------------------------------------------------------------


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


SCHEMAS = st.recursive(st.just({}) | st.booleans(), nodes, max_leaves=20) | ANYTHING
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
