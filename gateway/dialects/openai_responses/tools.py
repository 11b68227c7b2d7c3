"""Tools and the choice between them, both ways.

A function and a custom tool are neutral; tools that the provider runs are Opaque. A `namespace` groups tools under a
name that calls repeat. Elsewhere there are none, so its tools get flat names (`Namespaces`); what was flattened stays
with the request as the Extra `tools.namespaces`, by which calls get their namespace back.

Source: https://platform.openai.com/docs/api-reference/responses/create (tools, tool_choice), the SDK's
`types/responses/{function,custom,namespace}_tool_param.py`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from gateway.dialects import reading
from gateway.dialects.conversation import Extra, Opaque, Request, Tool, ToolChoice
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.dialects.openai_responses import DIALECT
from gateway.dialects.openai_responses.content import note_unknown

NAMESPACES = "tools.namespaces"


class Namespaces:
    """Flat names for tools in namespaces, and the way back."""

    def __init__(self) -> None:
        self.members: dict[str, list[str]] = {}
        """By flat name: the namespace, and the tool's own name in it."""
        self.descriptions: dict[str, str] = {}

    @classmethod
    def of(cls, request: Request) -> Namespaces:
        """Those that a request of this dialect was read with."""
        self = cls()
        for extra in request.extra:
            if extra.name == NAMESPACES and extra.dialect == DIALECT:
                self.members, self.descriptions = extra.value["members"], extra.value["descriptions"]
        return self

    def flatten(self, namespace: str, name: str) -> str:
        """The flat name of a tool, different from all others. One outside of namespaces keeps its name; so does one
        whose namespace only repeats it, as calls of deferred tools do."""
        namespace = "" if namespace == name else namespace
        flat = name if not namespace else f"{namespace}{'' if namespace.endswith('_') else '__'}{name}"
        while self.members.setdefault(flat, [namespace, name]) != [namespace, name]:
            flat += "_"
        return flat

    def split(self, flat: str) -> tuple[str, str]:
        """The namespace ("" if none) and the name in it."""
        namespace, name = self.members.get(flat, ("", flat))
        return namespace, name

    def extra(self) -> tuple[Extra, ...]:
        members = {flat: member for flat, member in self.members.items() if member != ["", flat]}
        if not members:
            return ()
        return (Extra(DIALECT, NAMESPACES, {"members": members, "descriptions": self.descriptions}, internal=True),)


# --- reading ---------------------------------------------------------------------------------------------------------


def read_tools(obj: Json, at: str, namespaces: Namespaces, losses: Losses) -> list[Tool | Opaque]:
    """The tools of an object, `at` its path: the request, or an item that adds some."""
    tools: list[Tool | Opaque] = []
    for path, tool in reading.objects(obj, "tools", at):
        kind = reading.required_text(tool, "type", path)
        if kind == "namespace":
            tools += _read_namespace(tool, path, namespaces, losses)
        elif kind in ("function", "custom"):
            tools.append(_read_tool(tool, path, "", namespaces, losses))
        else:
            tools.append(Opaque(DIALECT, tool, where=path))
    return tools


def _read_namespace(tool: Json, path: str, namespaces: Namespaces, losses: Losses) -> list[Tool]:
    note_unknown(tool, frozenset({"name", "description", "tools"}), path, "tool_field", losses)
    name = reading.required_text(tool, "name", path)
    namespaces.descriptions[name] = reading.text(tool, "description", path)
    return [_read_tool(each, here, name, namespaces, losses) for here, each in reading.objects(tool, "tools", path)]


_TOOL_FIELDS = frozenset({"name", "description", "parameters", "strict", "format"})


def _read_tool(tool: Json, path: str, namespace: str, namespaces: Namespaces, losses: Losses) -> Tool:
    note_unknown(tool, _TOOL_FIELDS, path, "tool_field", losses)
    name = namespaces.flatten(namespace, reading.required_text(tool, "name", path))
    description = reading.text(tool, "description", path)
    if tool.get("type") == "custom":
        return Tool(name, description, custom=True, grammar=_read_grammar(tool, path), where=path)
    parameters = reading.mapping(tool, "parameters", path)
    return Tool(name, description, parameters, reading.boolean(tool, "strict", path), where=path)


def _read_grammar(tool: Json, path: str) -> Json | None:
    """The format of a custom tool as Chat Completions has it, one level deeper, which is the neutral form."""
    form = reading.mapping(tool, "format", path)
    if form is None or form.get("type") != "grammar":
        return form
    return {"type": "grammar", "grammar": {name: value for name, value in form.items() if name != "type"}}


def read_tool_choice(body: Json, namespaces: Namespaces) -> ToolChoice | Extra | None:
    """An Extra where it forces a tool that the provider runs. Raises RequestError."""
    value = body.get("tool_choice")
    if value is None:
        return None
    if isinstance(value, str):
        mode = reading.one_of(body, "tool_choice", ("auto", "required", "none"))
        return ToolChoice(mode)  # type: ignore[arg-type]  # one_of has looked
    choice = reading.mapping(body, "tool_choice") or {}
    kind = reading.required_text(choice, "type", "tool_choice")
    if kind in ("function", "custom"):
        return ToolChoice("required", (_chosen(choice, "tool_choice", namespaces),))
    if kind != "allowed_tools":
        return Extra(DIALECT, "tool_choice", choice, content=True)
    allowed = list(reading.objects(choice, "tools", "tool_choice"))
    if not all(tool.get("type") in ("function", "custom") for _, tool in allowed):
        return Extra(DIALECT, "tool_choice", choice, content=True)
    only = tuple(_chosen(tool, path, namespaces) for path, tool in allowed)
    required = reading.one_of(choice, "mode", ("auto", "required"), "tool_choice") == "required"
    return ToolChoice("required" if required else "auto", only)


def _chosen(choice: Json, path: str, namespaces: Namespaces) -> str:
    namespace = reading.text(choice, "namespace", path)
    return namespaces.flatten(namespace, reading.required_text(choice, "name", path))


# --- writing ---------------------------------------------------------------------------------------------------------

EMPTY_SCHEMA: Json = {"type": "object", "properties": {}, "additionalProperties": False}
"""The parameters of a function that takes none: what both strict and other functions may have."""


def write_tools(
    tools: Iterable[Tool | Opaque], namespaces: Namespaces, rename: Callable[[str], str], strict: bool | None
) -> list[Json]:
    """`strict` is for functions that do not say. Opaque tools of other dialects are left out; who calls notes them."""
    written: list[Json] = []
    groups: dict[str, list[Json]] = {}
    for tool in tools:
        if isinstance(tool, Opaque):
            if tool.dialect == DIALECT:
                written.append(tool.value)
            continue
        namespace, name = namespaces.split(tool.name)
        one = _write_tool(tool, rename(tool.name) if not namespace else name, strict)
        if not namespace:
            written.append(one)
        elif namespace in groups:
            groups[namespace].append(one)
        else:
            groups[namespace] = [one]
            description = namespaces.descriptions.get(namespace, "")
            written.append(
                {"type": "namespace", "name": namespace, "description": description, "tools": groups[namespace]}
            )
    return written


def _write_tool(tool: Tool, name: str, strict: bool | None) -> Json:
    described = {"description": tool.description} if tool.description else {}
    if tool.custom:
        form = {"format": _write_grammar(tool.grammar)} if tool.grammar is not None else {}
        return {"type": "custom", "name": name, **described, **form}
    said = strict if tool.strict is None else tool.strict
    parameters = EMPTY_SCHEMA if tool.parameters is None else tool.parameters
    exact = {} if said is None else {"strict": said}
    return {"type": "function", "name": name, **described, "parameters": parameters, **exact}


def _write_grammar(grammar: Json) -> Json:
    inner = grammar.get("grammar")
    return {"type": "grammar", **inner} if isinstance(inner, dict) else grammar


def write_tool_choice(choice: ToolChoice, custom: Mapping[str, bool], rename: Callable[[str], str]) -> str | Json:
    """`custom` says of each tool whether it is one."""

    def chosen(name: str) -> Json:
        return {"type": "custom" if custom.get(name) else "function", "name": rename(name)}

    if not choice.only:
        return choice.mode
    if choice.mode == "required" and len(choice.only) == 1:
        return chosen(choice.only[0])
    return {"type": "allowed_tools", "mode": choice.mode, "tools": [chosen(name) for name in choice.only]}
