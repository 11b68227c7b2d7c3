"""Tools, which of them to call, and the shape of the answer: they depend on each other.

- A response format goes into `output_config.format` where the model has it. Elsewhere a tool stands for it that the
  model is forced to call, or, where no tool can be forced, a sentence in the system prompt. "Any JSON object" has no
  schema that Anthropic would take (its objects name all their members), so that it always goes one of these ways.
- "One of these tools" becomes a shorter list of tools: Anthropic can force one tool or any.
- A model that cannot be forced is asked to call the tool, as Anthropic's migration guide advises.

A client of this dialect is taken at its word.
Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools,
https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace

from gateway.dialects import custom_tools
from gateway.dialects.anthropic.block_reader import DIALECT
from gateway.dialects.anthropic.block_writer import write_cache
from gateway.dialects.anthropic.input_schema import write_input_schema
from gateway.dialects.anthropic.models import Traits
from gateway.dialects.builtin_tools import is_dispensable
from gateway.dialects.conversation import Opaque, Request, ResponseFormat, Tool, ToolChoice
from gateway.dialects.dialect import Plan
from gateway.dialects.json_prompt import ask_for_json
from gateway.dialects.json_schema import for_anthropic_output
from gateway.dialects.losses import OTHERS_TOOL, Losses
from gateway.dialects.names import Json
from gateway.dialects.toolnames import free_name
from gateway.quick import dataclass

ANSWER_TOOL = "json_answer"
_ANSWER = "Gives the answer: call this tool with the members of the answer's JSON object as its arguments."


@dataclass(frozen=True, slots=True)
class ToolSet:
    """`format` is that of `output_config`; `instruction` a sentence for the end of the system prompt."""

    tools: list[Json] = field(default_factory=list)
    choice: Json | None = None
    format: Json | None = None
    instruction: str = ""
    plan: Plan = field(default_factory=Plan)

    @property
    def forced(self) -> bool:
        return self.choice is not None and self.choice["type"] in ("any", "tool")


def write_tools(request: Request, traits: Traits, provider: str, names: Mapping[str, str], losses: Losses) -> ToolSet:
    custom = frozenset(
        names.get(tool.name, tool.name) for tool in request.tools if isinstance(tool, Tool) and tool.custom
    )
    plan = Plan(provider, {theirs: ours for ours, theirs in names.items()}, custom=custom)
    native = request.dialect == DIALECT
    tools = [_tool(tool, f"tools.{n}", request, names, losses) for n, tool in enumerate(request.tools)]
    written = ToolSet([tool for tool in tools if tool is not None], plan=plan)
    if native:
        choice = _choice(request.tool_choice, request.parallel_tool_calls, {})
        return replace(written, choice=choice, format=_format(request.response_format, losses, native=True))
    if written.tools:
        written = _with_choice(written, request, traits, names, losses)
    return _with_format(written, request, traits, losses)


def _tool(tool: Tool | Opaque, path: str, request: Request, names: Mapping[str, str], losses: Losses) -> Json | None:
    native = request.dialect == DIALECT
    if isinstance(tool, Opaque):
        if tool.dialect == DIALECT:
            return tool.value
        note = losses.hint if is_dispensable(tool, request) else losses.content
        note(path, "opaque_tool", OTHERS_TOOL)
        return None
    written: Json = {"name": names.get(tool.name, tool.name)}
    description = custom_tools.describe(tool)
    if custom_tools.has_grammar(tool):
        losses.hint(f"{path}.grammar", "tool_grammar", "the model reads the grammar, but is not held to it.")
    if tool.strict and not native:
        # Anthropic bounds the number and the shapes of strict tools, and refuses what OpenAI would take.
        losses.hint(f"{path}.strict", "tool_strict", "its arguments are not held to the schema.")
    if description:
        written["description"] = description
    if tool.custom:
        written["input_schema"] = custom_tools.SCHEMA
    elif native and tool.parameters is not None:
        written["input_schema"] = tool.parameters
    else:
        written["input_schema"] = write_input_schema(tool.parameters, path, losses)
    if tool.strict is not None and native:
        written["strict"] = tool.strict
    if tool.cache is not None:
        written["cache_control"] = write_cache(tool.cache)
    return written


def _choice(choice: ToolChoice | None, parallel: bool | None, names: Mapping[str, str]) -> Json | None:
    if choice is None and parallel is not False:
        return None
    if choice is not None and choice.mode == "none":
        return {"type": "none"}
    written: Json = {"type": "auto"}
    if choice is not None and choice.mode == "required":
        one = len(choice.only) == 1
        written = {"type": "tool", "name": names.get(choice.only[0], choice.only[0])} if one else {"type": "any"}
    if parallel is not None:
        written["disable_parallel_tool_use"] = not parallel
    return written


def _with_choice(
    written: ToolSet, request: Request, traits: Traits, names: Mapping[str, str], losses: Losses
) -> ToolSet:
    asked = request.tool_choice
    if asked is not None and asked.only and (asked.mode == "auto" or len(asked.only) > 1):
        allowed = {names.get(name, name) for name in asked.only}
        written = replace(written, tools=[tool for tool in written.tools if tool.get("name") in allowed])
    choice = _choice(asked, request.parallel_tool_calls, names) if written.tools else None
    if choice is None or choice["type"] not in ("any", "tool") or traits.forced:
        return replace(written, choice=choice)
    losses.hint("tool_choice", "tool_choice", "this model cannot be forced to call a tool; it is asked to.")
    tool = f"the `{choice['name']}` tool" if choice["type"] == "tool" else "one of the tools"
    auto = {"type": "auto", **{name: value for name, value in choice.items() if name not in ("type", "name")}}
    return replace(written, choice=auto, instruction=f"Call {tool} rather than replying in text.")


def _with_format(written: ToolSet, request: Request, traits: Traits, losses: Losses) -> ToolSet:
    wanted = request.response_format
    if wanted is None or wanted.kind == "text":
        return written
    if wanted.kind == "schema" and traits.structured:
        return replace(written, format=_format(wanted, losses))
    schema = wanted.schema if wanted.kind == "schema" and wanted.schema else {"type": "object"}
    by_tool = traits.forced and schema.get("type") == "object" and (written.choice or {}).get("type") != "tool"
    if wanted.kind == "schema" or not by_tool:  # a tool's arguments are a JSON object in any case
        losses.hint("response_format", "response_format", "this model is asked for such JSON, but not held to it.")
    if not by_tool:
        return replace(written, instruction=f"{written.instruction}\n{ask_for_json(wanted)}".strip())
    return _with_answer_tool(written, schema, wanted.description)


def _with_answer_tool(written: ToolSet, schema: Json, description: str) -> ToolSet:
    """The model calls one of the client's tools, or the one that stands for the answer."""
    callable_tools = [] if (written.choice or {}).get("type") == "none" else written.tools
    name = free_name(ANSWER_TOOL, {str(tool.get("name")) for tool in callable_tools})
    described = f"{_ANSWER}\n{description}" if description else _ANSWER
    answer = {"name": name, "description": described, "input_schema": schema}
    choice = {"type": "any"} if callable_tools else {"type": "tool", "name": name}
    return replace(
        written,
        tools=[*callable_tools, answer],
        choice={**choice, "disable_parallel_tool_use": True},
        plan=replace(written.plan, forced_tool=name),
    )


def _format(wanted: ResponseFormat | None, losses: Losses, *, native: bool = False) -> Json | None:
    if wanted is None or wanted.kind != "schema" or wanted.schema is None:
        return None
    schema, lost = (wanted.schema, []) if native else for_anthropic_output(wanted.schema)
    for place in lost:
        losses.hint(f"response_format.schema.{place}", "schema_keyword", "this model's schemas have none.")
    return {"type": "json_schema", "schema": schema}
