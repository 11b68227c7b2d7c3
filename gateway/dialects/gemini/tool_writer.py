"""Tools, and which of them may be called: `tools` and `toolConfig`.

All functions stand in one list: several lists are not merged by Google, the last one counts. A custom tool, which takes
free text, is written as a function of one text (`custom_tools.py`).

Source: https://ai.google.dev/api/caching#Tool, https://ai.google.dev/api/caching#FunctionCallingConfig
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.dialects import custom_tools
from gateway.dialects.builtin_tools import is_dispensable
from gateway.dialects.conversation import Request, Tool
from gateway.dialects.gemini.models import Traits
from gateway.dialects.gemini.schema_writer import write_json_schema
from gateway.dialects.json_schema import for_gemini
from gateway.dialects.losses import OTHERS_TOOL, Losses
from gateway.dialects.names import Json


def write_tools(request: Request, traits: Traits, names: Mapping[str, str], losses: Losses) -> list[Json]:
    """One entry with all functions, in the place of the first, and Google's own tools as they came."""
    functions: list[Json] = []
    written: list[Json] = []
    for place, tool in enumerate(request.tools):
        path = f"tools.{place}"
        if isinstance(tool, Tool) and not traits.functions:
            losses.content(path, "functions", "this model calls no functions.")
        elif isinstance(tool, Tool):
            if not functions:
                written.append({"functionDeclarations": functions})
            functions.append(_write_function(tool, path, request, traits, names, losses))
        elif tool.dialect == "gemini":
            written.append(tool.value)
        else:
            note = losses.hint if is_dispensable(tool, request) else losses.content
            note(path, "opaque_tool", OTHERS_TOOL)
    return written


def write_schema(schema: Json, request: Request, traits: Traits) -> tuple[str, Json, list[str]]:
    """A schema as the model takes it, the name of its kind, and the paths of what it cannot say. Google's own clients
    are taken at their word."""
    if not traits.json_schema:
        return "Schema", *for_gemini(schema)
    if request.dialect == "gemini":
        return "JsonSchema", schema, []
    return "JsonSchema", *write_json_schema(schema)


def _write_function(
    tool: Tool, path: str, request: Request, traits: Traits, names: Mapping[str, str], losses: Losses
) -> Json:
    written: Json = {"name": names.get(tool.name, tool.name)}
    if description := custom_tools.describe(tool):
        written["description"] = description
    schema = custom_tools.SCHEMA if tool.custom else tool.parameters
    # Older models refuse an object without properties.
    if schema is not None and (traits.json_schema or schema.get("properties")):
        name, said, lost = write_schema(schema, request, traits)
        written["parametersJsonSchema" if name == "JsonSchema" else "parameters"] = said
        for where in lost:
            losses.hint(f"{path}.parameters.{where}", "schema_keyword", "this model's schemas have none.")
    if custom_tools.has_grammar(tool):
        losses.hint(f"{path}.grammar", "tool_grammar", "Gemini reads the grammar, but is not held to it.")
    if tool.strict:
        losses.hint(f"{path}.strict", "tool_strict", "Gemini's functions are not strict one by one.")
    if tool.cache is not None:
        losses.hint(f"{path}.cache", "cache_control", "Gemini caches by itself.")
    return written


def write_tool_config(request: Request, traits: Traits, names: Mapping[str, str], losses: Losses) -> Json:
    """Which functions may or must be called; nothing where there are none. VALIDATED is "auto" among some of them."""
    choice = request.tool_choice
    declared = {tool.name for tool in request.tools if isinstance(tool, Tool) and traits.functions}
    if request.parallel_tool_calls is False and declared:
        losses.hint("parallel_tool_calls", "parallel_tool_calls", "Gemini calls as many as it likes.")
    if choice is None or not declared:
        return {}
    only = [names.get(name, name) for name in choice.only if name in declared]
    modes = {"required": "ANY", "none": "NONE", "auto": "VALIDATED" if only else "AUTO"}
    calling: Json = {"mode": modes[choice.mode]}
    if only and choice.mode != "none":
        calling["allowedFunctionNames"] = only
    return {"functionCallingConfig": calling}
