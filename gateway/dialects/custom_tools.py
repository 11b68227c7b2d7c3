"""Custom tools, which take free text, for providers that know functions alone: the text is the function's one argument.

What a grammar would have held the model to, it is at least told.
"""

from __future__ import annotations

from gateway import jsonlib
from gateway.dialects.conversation import Tool
from gateway.dialects.names import Json

ARGUMENT = "input"
"""The function's one argument."""

SCHEMA: Json = {"type": "object", "properties": {ARGUMENT: {"type": "string"}}, "required": [ARGUMENT]}
"""The function's parameters."""


def wrap(text: str) -> Json:
    """A call's text as the function's arguments."""
    return {ARGUMENT: text}


def unwrap(arguments: str) -> str:
    """The text in a call's arguments, which are JSON text. Where the model wrote something else than that one argument,
    all of it is the text."""
    try:
        value = jsonlib.loads(arguments)
    except ValueError:
        return arguments
    text = value.get(ARGUMENT) if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments


def describe(tool: Tool) -> str:
    """The tool's description, with its grammar."""
    if not has_grammar(tool):
        return tool.description
    assert tool.grammar is not None
    inner = tool.grammar.get("grammar")
    definition = inner.get("definition") if isinstance(inner, dict) else None
    if isinstance(inner, dict) and isinstance(definition, str):
        syntax = f"{inner['syntax']} " if isinstance(inner.get("syntax"), str) else ""
        return f"{tool.description}\n\n`{ARGUMENT}` must match this {syntax}grammar:\n{definition}".strip()
    form = jsonlib.dumps(tool.grammar).decode()
    return f"{tool.description}\n\nFormat of `{ARGUMENT}`: {form}".strip()


def has_grammar(tool: Tool) -> bool:
    """Whether not any text will do."""
    return bool(tool.grammar) and tool.grammar != {"type": "text"}
