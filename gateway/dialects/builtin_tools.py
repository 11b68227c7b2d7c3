"""Built-in tools, which one provider runs itself, in a request for another that has none like them.

An agent offers such tools beside its own in case they help (Codex: web search). That offer may be left out like any
hint: the model does without. It is content where the answer hangs on it: nothing else is offered, the model is made to
call it, or it reaches into what is the client's own (files, MCP servers, a computer).
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.dialects.conversation import Opaque, Request, Tool

_GENERAL: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("web_search", "web_fetch", "code_execution", "tool_search_tool", "advisor"),
    "gemini": ("googleSearch", "googleSearchRetrieval", "googleMaps", "urlContext", "codeExecution"),
    "openai_responses": ("web_search", "code_interpreter", "image_generation", "tool_search"),
}
"""How the types of tools begin that only widen what a model can do; versions follow. With Gemini it is the
name of the field that a tool stands in."""


def is_dispensable(tool: Opaque, request: Request) -> bool:
    """Whether a built-in tool that gets lost was a mere offer."""
    kind = tool.value.get("type") or next(iter(tool.value), "")
    if not isinstance(kind, str) or not kind.startswith(_GENERAL.get(tool.dialect, ())):
        return False
    own = {each.name for each in request.tools if isinstance(each, Tool)}
    choice = request.tool_choice
    return bool(own) and (choice is None or own.issuperset(choice.only))
