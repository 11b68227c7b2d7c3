"""Which tools may be called, and the shape of the answer."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.anthropic.answer_reader import read_answer
from gateway.dialects.conversation import Finish, ResponseFormat, Text, Tool, ToolCall, ToolChoice
from tests.dialects.anthropic.making import MIDDLE, NEW, NEWEST, OLD, ask, assistant, user, write

TOOLS = (Tool("f"), Tool("g"))
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("choice", "parallel", "written", "names"),
    [
        (None, None, None, ["f", "g"]),
        (None, True, None, ["f", "g"]),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}, ["f", "g"]),
        (ToolChoice("auto"), None, {"type": "auto"}, ["f", "g"]),
        (ToolChoice("auto"), True, {"type": "auto", "disable_parallel_tool_use": False}, ["f", "g"]),
        (ToolChoice("required"), False, {"type": "any", "disable_parallel_tool_use": True}, ["f", "g"]),
        (ToolChoice("required", ("g",)), None, {"type": "tool", "name": "g"}, ["f", "g"]),
        (ToolChoice("none"), False, {"type": "none"}, ["f", "g"]),
        (ToolChoice("auto", ("g",)), None, {"type": "auto"}, ["g"]),
        (ToolChoice("required", ("g", "x")), None, {"type": "any"}, ["g"]),
        (ToolChoice("auto", ("x",)), None, None, []),
    ],
)
def test_which_tools_to_call(choice: ToolChoice | None, parallel: bool | None, written: Any, names: list[str]) -> None:
    body, lost, _ = write(ask(tools=TOOLS, tool_choice=choice, parallel_tool_calls=parallel))
    assert body.get("tool_choice") == written
    assert [tool["name"] for tool in body.get("tools", [])] == names
    assert lost == []


def test_without_tools_there_is_nothing_to_choose() -> None:
    body, lost, _ = write(ask(tool_choice=ToolChoice("auto"), parallel_tool_calls=False))
    assert ("tool_choice" in body, "tools" in body, lost) == (False, False, [])


def test_a_model_that_cannot_be_forced_is_asked() -> None:
    choice = ToolChoice("required", ("g",))
    body, lost, _ = write(ask(tools=TOOLS, tool_choice=choice, parallel_tool_calls=False), NEWEST)
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert body["system"] == "Call the `g` tool rather than replying in text."
    assert lost == ["tool_choice"]


def test_names_that_anthropic_refuses_are_replaced_and_come_back() -> None:
    long = "x" * 70
    tools = (Tool("a.b"), Tool("a_b"), Tool("a:b"), Tool(long), Tool("plain"))
    request = ask(
        user("Hi"), assistant(ToolCall("c", "a.b")), tools=tools, tool_choice=ToolChoice("required", ("a:b",))
    )
    body, _, written = write(request)
    names = [tool["name"] for tool in body["tools"]]
    assert names == ["a_b_2", "a_b", "a_b_3", "x" * 64, "plain"]
    assert body["messages"][1]["content"][0]["name"] == "a_b_2"
    assert body["tool_choice"]["name"] == "a_b_3"
    content = [{"type": "tool_use", "id": "c", "name": name, "input": {}} for name in names]
    answer = read_answer({"content": content, "stop_reason": "tool_use"}, written.plan)
    assert [part.name for part in answer.choices[0].parts if isinstance(part, ToolCall)] == [
        tool.name for tool in tools
    ]


def test_a_tool_that_was_called_before_and_is_gone_is_renamed_too() -> None:
    body, _, written = write(ask(user("Hi"), assistant(ToolCall("c", "gone.by"))))
    assert body["messages"][1]["content"][0]["name"] == "gone_by"
    assert written.plan.names == {"gone_by": "gone.by"}


@pytest.mark.parametrize("model", [MIDDLE, NEW, NEWEST])
def test_a_schema_is_the_models_own_format(model: str) -> None:
    body, lost, written = write(ask(response_format=ResponseFormat("schema", "n", SCHEMA, True)), model)
    assert body["output_config"]["format"] == {"type": "json_schema", "schema": SCHEMA}
    assert (written.plan.forced_tool, lost) == ("", [])


def test_what_the_format_cannot_say_is_lost_by_its_path() -> None:
    open_schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}}
    body, lost, _ = write(ask(response_format=ResponseFormat("schema", schema=open_schema)), NEW)
    written = body["output_config"]["format"]["schema"]
    assert written["additionalProperties"] is False
    assert "minimum" not in written["properties"]["a"]
    assert "schema_keyword" in lost


@pytest.mark.parametrize("kind", ["schema", "json"])
def test_a_tool_stands_for_the_answer_and_is_read_as_text(kind: Any) -> None:
    wanted = ResponseFormat(kind, "n", SCHEMA if kind == "schema" else None)
    body, lost, written = write(ask(response_format=wanted), OLD)
    (tool,) = body["tools"]
    assert tool["input_schema"] == (SCHEMA if kind == "schema" else {"type": "object"})
    assert body["tool_choice"] == {"type": "tool", "name": tool["name"], "disable_parallel_tool_use": True}
    assert lost == (["response_format"] if kind == "schema" else [])
    block = {"type": "tool_use", "id": "t", "name": tool["name"], "input": {"a": "ü"}}
    (choice,) = read_answer({"content": [block], "stop_reason": "tool_use"}, written.plan).choices
    assert choice.parts == (Text('{"a":"ü"}'),)
    assert (choice.ending.finish, choice.ending.native) == (Finish.STOP, "tool_use")


def test_the_answers_tool_stands_beside_the_clients() -> None:
    wanted = ResponseFormat("schema", schema=SCHEMA)
    tools = (Tool("json_answer"),)
    body, _, written = write(ask(tools=tools, response_format=wanted), OLD)
    assert [tool["name"] for tool in body["tools"]] == ["json_answer", "json_answer_2"]
    assert body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert written.plan.forced_tool == "json_answer_2"
    call = {"type": "tool_use", "id": "t", "name": "json_answer", "input": {}}
    (choice,) = read_answer({"content": [call], "stop_reason": "tool_use"}, written.plan).choices
    assert (choice.parts, choice.ending.finish) == ((ToolCall("t", "json_answer"),), Finish.TOOL_CALLS)


def test_tools_that_may_not_be_called_make_room_for_the_answers() -> None:
    body, _, _ = write(ask(tools=TOOLS, tool_choice=ToolChoice("none"), response_format=ResponseFormat("json")), OLD)
    assert [tool["name"] for tool in body["tools"]] == ["json_answer"]


@pytest.mark.parametrize(
    ("wanted", "choice", "model", "system"),
    [
        (ResponseFormat("json"), None, NEWEST, "Answer with one JSON object and nothing else"),
        (ResponseFormat("schema", schema={"type": "array"}), None, OLD, 'match this JSON Schema: {"type":"array"}'),
        (ResponseFormat("json"), ToolChoice("required", ("g",)), OLD, "Answer with one JSON object"),
    ],
)
def test_where_no_tool_can_stand_for_the_answer_it_is_asked_for(
    wanted: ResponseFormat, choice: ToolChoice | None, model: str, system: str
) -> None:
    body, lost, written = write(ask(tools=TOOLS, tool_choice=choice, response_format=wanted), model)
    assert system in body["system"]
    assert (written.plan.forced_tool, lost) == ("", ["response_format"])
    assert [tool["name"] for tool in body["tools"]] == ["f", "g"]


def test_plain_text_is_no_format() -> None:
    body, lost, _ = write(ask(response_format=ResponseFormat("text")), NEW)
    assert ("output_config" in body, lost) == (False, [])
