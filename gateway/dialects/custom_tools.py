"""Custom tools, which take free text, for providers that know functions alone: the text is the function's one argument.

What a grammar would have held the model to, it is at least told.
"""

from __future__ import annotations

from gateway import jsonlib
from gateway.dialects.conversation import Tool


def describe(tool: Tool, argument: str) -> str:
    """The tool's description, with its grammar for the argument that holds the text."""
    if not has_grammar(tool):
        return tool.description
    assert tool.grammar is not None
    inner = tool.grammar.get("grammar")
    definition = inner.get("definition") if isinstance(inner, dict) else None
    if isinstance(inner, dict) and isinstance(definition, str):
        syntax = f"{inner['syntax']} " if isinstance(inner.get("syntax"), str) else ""
        return f"{tool.description}\n\n`{argument}` must match this {syntax}grammar:\n{definition}".strip()
    form = jsonlib.dumps(tool.grammar).decode()
    return f"{tool.description}\n\nFormat of `{argument}`: {form}".strip()


def has_grammar(tool: Tool) -> bool:
    """Whether not any text will do."""
    return bool(tool.grammar) and tool.grammar != {"type": "text"}
