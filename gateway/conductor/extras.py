"""What a request may ask for that costs the operator more than the tokens of its model, and that no list has a price
for: other models, faster service, tools of the provider that are priced by the call.

An agent offers such tools beside its own, in case they help (Codex: web search, in each request). An offer may be left
out, as a translation does with tools that the provider has not got; what the answer hangs on never is: then the
request is refused. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from gateway import jsonlib
from gateway.conductor.ask import Ask
from gateway.conductor.estimate import HOLDERS, LENGTHS, NUMBERS, OTHER_LENGTHS, OVERRIDING
from gateway.errors import RequestError

FURTHER_MODELS = ("models", "fallbacks")
"""Fields in which OpenRouter and Anthropic take models beside the one that is asked for."""

VERCELS = ("providerOptions", "gateway", "models")
"""Where Vercel takes them. https://vercel.com/docs/ai-gateway/models-and-providers/model-fallbacks"""

AS_LISTED: Mapping[str, tuple[str, ...]] = {
    "service_tier": ("auto", "default", "flex", "standard", "standard_only", "on_demand", "unspecified"),
    "serviceTier": ("auto", "default", "flex", "standard", "standard_only", "on_demand", "unspecified"),
    "speed": ("standard",),
    "inference_geo": ("global",),
}
"""Fields that choose a way of service, and the ways that cost no more than the list says. "auto" is the operator's own
choice. https://platform.openai.com/docs/guides/priority-processing, https://console.groq.com/docs/service-tiers,
https://platform.claude.com/docs/en/build-with-claude/fast-mode, …/manage-claude/data-residency"""

SEARCHES = ("web_search_options", "search_parameters", "plugins")
"""Fields that order what is priced by the call: of OpenAI and Perplexity, xAI, OpenRouter."""

ONLINE = ":online"
"""The end of a model's name that does the same. https://openrouter.ai/docs/features/web-search"""

ASKING = frozenset({*AS_LISTED, *SEARCHES, "tools"})
"""All fields that may ask for something."""

EXTENSIONS = frozenset({"extra_body", "google", "providerOptions", "provider_options"})
"""Fields in which providers take what belongs to another dialect, one that they speak below this: of Google and Vercel.
LiteLLM's `extra_body` may have anything. https://ai.google.dev/gemini-api/docs/openai,
https://vercel.com/docs/ai-gateway/openai-compat"""

SAID_ONCE = frozenset(
    {
        "model", *FURTHER_MODELS, *ASKING, *HOLDERS, *NUMBERS, *OTHER_LENGTHS, OVERRIDING,
        *(name for names in LENGTHS.values() for name in names), "prompt", "background", "stream_options",
        "include_usage", "previous_response_id", "conversation", "cachedContent", "cached_content",
        *EXTENSIONS,
    }
)  # fmt: skip
"""All fields that say what a request may cost, and those that see to it that its usage is heard of."""

HELD_APART = SAID_ONCE - EXTENSIONS
"""What must not stand in an `extra_body`, where nobody reads it here."""

HOLDING = (*HOLDERS, "stream_options")
"""Those that hold others of them."""

TOOLS = (
    "web_search", "file_search", "code_interpreter", "image_generation",  # OpenAI
    "code_execution", "advisor",  # Anthropic; its search is called like OpenAI's
    "x_search", "collections_search", "attachment_search",  # xAI
    "browser_search", "document_library", "builtin_function", "openrouter:",  # Groq, Mistral, Moonshot
)  # fmt: skip
"""How the types of tools begin that are priced by the call, the container, the picture or another model's tokens.
https://platform.openai.com/docs/pricing#built-in-tools, https://platform.claude.com/docs/en/about-claude/pricing"""

GOOGLES = frozenset(
    {
        "googleSearch", "google_search", "googleSearchRetrieval", "google_search_retrieval", "googleMaps",
        "google_maps", "enterpriseWebSearch", "enterprise_web_search", "parallelAiSearch", "parallel_ai_search",
        "exaAiSearch", "exa_ai_search",
    }
)  # fmt: skip
"""The same, by the field that a tool of Gemini stands in. https://ai.google.dev/gemini-api/docs/pricing"""


class Extras(NamedTuple):
    """What was found: the first that the request insists on, "" if there is none, and tools that it merely offers."""

    demanded: str = ""
    offered: tuple[str, ...] = ()


NONE = Extras()


def refuse_models(ask: Ask) -> None:
    """A request may name one model, and what it costs by once: that is what it is charged for. Raises RequestError 400,
    402."""
    fields = ask.fields
    if fields is None:
        return
    name = further_models(fields) if ask.dialect != "gemini" else ""  # Gemini's is named in the path
    if name:
        raise RequestError(
            402, "unpriced_model", f"'{name}' names more models, and what they cost is not known here.", param=name
        )
    apart = fields.get("extra_body")
    if isinstance(apart, dict) and (costly := HELD_APART.intersection(apart)):
        what = f"extra_body.{min(costly)}"
        raise RequestError(402, "unpriced_model", f"'{what}' may change what this costs: say it outside.", param=what)
    twice = said_twice(fields, ask.body, SAID_ONCE, HOLDING)
    if twice:
        raise RequestError(
            400,
            "invalid_request_error",
            f"The body has '{twice}' twice, or in other letters: which one costs is not clear.",
            param=twice,
        )


def further_models(fields: Mapping[str, Any]) -> str:
    """The field that names models beside the one that is asked for, "" if none does."""
    for name in FURTHER_MODELS:
        if fields.get(name):
            return name
    if VERCELS[0] not in fields:  # most requests
        return ""
    value: object = fields
    for name in VERCELS:
        value = value.get(name) if isinstance(value, dict) else None
    return ".".join(VERCELS) if value else ""


def said_twice(fields: Mapping[str, Any], body: bytes, names: frozenset[str], within: Collection[str] = ()) -> str:
    """Which of `names` a JSON object, `fields` of `body`, or one of those `within` has more than once, "" for none: as
    it is, or in letters that are other ones only to who minds their case. Readers in Go do not, and take the last of
    all. https://pkg.go.dev/encoding/json#Unmarshal"""
    members = list(fields)
    for name in within:
        if isinstance(held := fields.get(name), dict):
            members += held
    said = names.intersection(members)
    if jsonlib.repeats(body, fields, *said, within=within):
        return next(name for name in said if jsonlib.repeats(body, fields, name, within=within))
    written = "".join(members)
    if written.isascii() and written.islower():  # nearly always; of `names` only Google's have capitals
        return ""
    plain = _folded(names)
    return next((plain[name.casefold()] for name in members if name not in names and name.casefold() in plain), "")


@lru_cache(maxsize=4)
def _folded(names: frozenset[str]) -> Mapping[str, str]:
    return {name.casefold(): name for name in names}


def find_extras(fields: Mapping[str, Any], model: str, *, calls_priced: bool) -> Extras:
    """`calls_priced`: tools are paid for, by the model's price of a request."""
    if ASKING.isdisjoint(fields) and not model.endswith(ONLINE):  # most requests
        return NONE
    for name, free in AS_LISTED.items():
        value = fields.get(name)
        if value is not None and not (isinstance(value, str) and value.lower() in free):
            return Extras(name)
    if calls_priced:
        return NONE
    for name in SEARCHES:
        if fields.get(name) not in (None, []):
            return Extras(name)
    if model.endswith(ONLINE):
        return Extras(f"model{ONLINE}")
    if not fields.get("tools"):
        return NONE
    rest, gone = _part(fields["tools"])
    if not gone:
        return NONE
    names = tuple(dict.fromkeys(name for name, _ in gone))
    if not rest or not _chosen(fields.get("tool_choice")).isdisjoint([*names, *(called for _, called in gone)]):
        return Extras(names[0])
    return Extras(offered=names)


def without_extras(body: bytes) -> bytes:
    """A request for a provider without the tools that it merely offers. Raises RequestError 400."""
    decoded = jsonlib.loads(body)
    rest, gone = _part(decoded.get("tools"))
    if not gone:  # a translation has left them out
        return body
    try:
        return jsonlib.dumps({**decoded, "tools": rest})
    except (RecursionError, TypeError):  # JSON can be read deeper than it can be written
        raise RequestError(400, "invalid_request_error", "The body is nested too deeply.") from None


def _part(tools: object) -> tuple[list[Any], list[tuple[str, str]]]:
    """The tools that cost nothing but tokens; and of the others the type and the name."""
    rest: list[Any] = []
    gone: list[tuple[str, str]] = []
    for tool in tools if isinstance(tools, list) else [tools]:  # Google takes one without its array
        kind, name = (tool.get("type"), tool.get("name")) if isinstance(tool, dict) else (None, None)
        if isinstance(kind, str) and kind.startswith(TOOLS):
            gone.append((kind, name if isinstance(name, str) else kind))
        elif isinstance(tool, dict) and not GOOGLES.isdisjoint(tool):
            gone.extend((field, field) for field in tool if field in GOOGLES)
            left = {field: value for field, value in tool.items() if field not in GOOGLES}
            rest.extend([left] if left else [])
        else:
            rest.append(tool)
    return rest, gone


def _chosen(choice: object) -> set[str]:
    """What a choice of tools names: one tool, or several that are allowed."""
    if not isinstance(choice, dict):
        return set()
    allowed = choice.get("tools")
    chosen = [choice, *(allowed if isinstance(allowed, list) else ())]
    return {each for tool in chosen if isinstance(tool, dict) for each in tool.values() if isinstance(each, str)}
