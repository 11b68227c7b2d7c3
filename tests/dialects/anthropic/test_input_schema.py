"""Schemas of tools on the left, what Anthropic takes at the top of one on the right."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.anthropic.input_schema import write_input_schema
from gateway.dialects.conversation import Tool
from gateway.dialects.losses import Losses
from tests.dialects.anthropic.making import ask, write

TEXT, NUMBER = {"type": "string"}, {"type": "number"}


def flat(parameters: dict[str, Any] | None) -> tuple[dict[str, Any], list[str]]:
    losses = Losses()
    return write_input_schema(parameters, "tools.0", losses), [loss.path for loss in losses.entries]


@pytest.mark.parametrize(
    ("parameters", "written"),
    [
        (None, {"type": "object", "properties": {}}),
        ({"properties": {"a": {"anyOf": [TEXT]}}}, {"type": "object", "properties": {"a": {"anyOf": [TEXT]}}}),
        ({"type": "object", "minProperties": 1}, {"type": "object", "minProperties": 1}),
    ],
)
def test_a_plain_object_stays_as_it_is(parameters: dict[str, Any] | None, written: dict[str, Any]) -> None:
    assert flat(parameters) == (written, [])


@pytest.mark.parametrize(
    ("parameters", "properties", "required"),
    [
        (  # "one of these must be there"
            {
                "properties": {"a": TEXT, "b": TEXT, "c": TEXT},
                "required": ["c"],
                "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
            },
            {"a": TEXT, "b": TEXT, "c": TEXT},
            ["c"],
        ),
        (
            {
                "oneOf": [
                    {"properties": {"kind": {"const": "a"}, "x": TEXT}, "required": ["kind", "x"]},
                    {"properties": {"kind": {"const": "b"}, "x": TEXT, "y": NUMBER}, "required": ["y", "kind"]},
                    {"type": "null"},
                ]
            },
            {"kind": {"anyOf": [{"const": "a"}, {"const": "b"}]}, "x": TEXT, "y": NUMBER},
            ["kind"],
        ),
        (
            {
                "allOf": [{"$ref": "#/$defs/A"}, {"properties": {"b": NUMBER}, "required": ["b"]}],
                "$defs": {"A": {"properties": {"a": TEXT}, "required": ["a"]}},
            },
            {"a": TEXT, "b": NUMBER},
            ["a", "b"],
        ),
        ({"allOf": [{"anyOf": [{"properties": {"a": TEXT}}]}]}, {"a": TEXT}, None),
        ({"anyOf": [{"$ref": "#"}, {"$ref": "#/nowhere"}, {"$ref": 7}, True]}, {}, None),
        ({"anyOf": "broken", "properties": [], "required": "a"}, {}, None),
    ],
)
def test_branches_at_the_top_become_members(
    parameters: dict[str, Any], properties: dict[str, Any], required: list[str] | None
) -> None:
    written, lost = flat(parameters)
    assert (written["type"], written["properties"], written.get("required")) == ("object", properties, required)
    assert not {"anyOf", "oneOf", "allOf"} & written.keys()
    assert written.get("$defs") == parameters.get("$defs")
    assert lost == ["tools.0.parameters"]


def test_a_schema_that_refers_to_itself_many_times_comes_to_an_end() -> None:
    itself = [{"$ref": "#/$defs/A"}] * 100
    written, _ = flat({"anyOf": itself, "$defs": {"A": {"properties": {"a": TEXT}, "allOf": itself}}})
    assert written["properties"] == {"a": TEXT}


def test_a_client_of_this_dialect_keeps_its_schema() -> None:
    tool = Tool("f", parameters={"anyOf": []})
    assert write(ask(tools=(tool,), dialect="anthropic"))[0]["tools"][0]["input_schema"] == {"anyOf": []}
    assert write(ask(tools=(tool,)))[0]["tools"][0]["input_schema"] == {"type": "object", "properties": {}}
