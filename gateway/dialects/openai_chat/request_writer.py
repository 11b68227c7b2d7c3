"""A Chat Completions request for a provider.

Usage of a stream is always asked for. Sampling that a model refuses is left out, effort becomes the nearest word that
it takes, and the limit of tokens has the name that it knows (`models.py`, `quirks.py`).

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway import jsonlib
from gateway.dialects import custom_tools
from gateway.dialects.builtin_tools import is_dispensable
from gateway.dialects.conversation import (
    Extra,
    Opaque,
    Reasoning,
    Request,
    ResponseFormat,
    Text,
    Tool,
    ToolChoice,
)
from gateway.dialects.dialect import Plan, Target, Written
from gateway.dialects.efforts import nearest_effort, wanted_effort
from gateway.dialects.losses import OTHERS_TOOL, Losses
from gateway.dialects.names import Json
from gateway.dialects.openai_chat import DIALECT, quirks
from gateway.dialects.openai_chat.content_writer import Wants, write_cache
from gateway.dialects.openai_chat.message_writer import MessageWriter
from gateway.dialects.openai_chat.models import MAX_STOP, short_user, traits_of
from gateway.dialects.toolnames import rewritten_names

_OPENAI = (DIALECT, "openai_responses")
_TIERS = ("auto", "default", "flex", "priority", "scale", "fast")


def write_request(request: Request, target: Target, losses: Losses) -> Written:
    """The request as `target` takes it. Raises RequestError 400 for one without messages."""
    wants = Wants(target.quirks, traits_of(target.model))
    names = rewritten_names(request, DIALECT)
    tools = [
        tool
        for place, each in enumerate(request.tools)
        for tool in _tool(f"tools.{place}", each, request, names, wants, losses)
    ]
    effort = _effort(request, bool(tools), wants, losses)
    messages = MessageWriter(target, wants, names, losses, request.dialect == DIALECT).write(request)
    if not messages:
        losses.refuse("messages", "must have at least one message for this model.")
    body: Json = {"model": target.model, "messages": messages}
    body |= _tool_fields(request, tools, names, wants, losses)
    body |= _format(request, messages, wants, losses)
    body |= _sampling(request, effort, wants, losses)
    body |= _reasoning(request.reasoning, effort, wants, losses)
    body |= _limits(request, wants, losses)
    body |= _openai_fields(request, wants, losses)
    if request.stream:
        body["stream"] = True
    _add_extra(body, request.extra, losses)
    if request.stream and quirks.NO_STREAM_OPTIONS not in wants:
        body["stream_options"] = {**body.get("stream_options", {}), "include_usage": True}
    custom = (tool.name for tool in request.tools if isinstance(tool, Tool) and tool.custom)
    functions = frozenset(names.get(name, name) for name in custom) if quirks.NO_CUSTOM_TOOLS in wants else frozenset()
    return Written(body, Plan(target.provider, {new: old for old, new in names.items()}, custom=functions))


# --- tools -----------------------------------------------------------------------------------------------------------


def _tool(
    path: str, tool: Tool | Opaque, request: Request, names: Mapping[str, str], wants: Wants, losses: Losses
) -> Iterable[Json]:
    if isinstance(tool, Opaque):
        if tool.dialect == DIALECT:
            yield tool.value
        else:
            note = losses.hint if is_dispensable(tool, request) else losses.content
            note(path, "opaque_tool", OTHERS_TOOL)
        return
    cache = write_cache(path, tool, wants, losses)
    named: Json = {"name": names.get(tool.name, tool.name)}
    as_function = tool.custom and quirks.NO_CUSTOM_TOOLS in wants
    if description := custom_tools.describe(tool) if as_function else tool.description:
        named["description"] = description
    if tool.custom and not as_function:
        form = {"format": tool.grammar} if tool.grammar is not None else {}
        yield {"type": "custom", "custom": {**named, **form}, **cache}
        return
    if tool.custom:
        if custom_tools.has_grammar(tool):
            losses.hint(f"{path}.grammar", "tool_grammar", "the model reads the grammar, but is not held to it.")
        named["parameters"] = custom_tools.SCHEMA
    elif tool.parameters is not None:
        named["parameters"] = tool.parameters
    if tool.strict is not None:
        named["strict"] = tool.strict
    yield {"type": "function", "function": named, **cache}


def _tool_fields(request: Request, tools: list[Json], names: Mapping[str, str], wants: Wants, losses: Losses) -> Json:
    """Without tools a choice of them is refused, and means nothing."""
    if not tools:
        return {}
    fields: Json = {"tools": tools}
    choice = request.tool_choice
    some = choice is not None and choice.only and not (choice.mode == "required" and len(choice.only) == 1)
    if choice is not None and some and quirks.NO_CUSTOM_TOOLS in wants:
        only = {names.get(name, name) for name in choice.only}
        fields = {"tools": [tool for tool in tools if _tool_name(tool) in only], "tool_choice": choice.mode}
    elif choice is not None:
        fields["tool_choice"] = _choice(choice, tools, names)
    if request.parallel_tool_calls is not None:
        fields["parallel_tool_calls"] = request.parallel_tool_calls
    return fields


def _tool_name(tool: Json) -> str:
    """Of a function or a custom tool; "" for a provider's own."""
    inside = tool.get(tool.get("type", ""))
    return str(inside.get("name", "")) if isinstance(inside, dict) else ""


def _choice(choice: ToolChoice, tools: list[Json], names: Mapping[str, str]) -> Any:
    if not choice.only or choice.mode == "none":
        return choice.mode
    kinds = {_tool_name(tool): tool["type"] for tool in tools if _tool_name(tool)}
    only = [names.get(name, name) for name in choice.only]
    listed = [{"type": kinds.get(name, "function"), kinds.get(name, "function"): {"name": name}} for name in only]
    if choice.mode == "required" and len(listed) == 1:
        return listed[0]
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": listed}}


# --- forms -----------------------------------------------------------------------------------------------------------


def _format(request: Request, messages: list[Json], wants: Wants, losses: Losses) -> Json:
    form = request.response_format
    if form is None:
        return {}
    if form.kind == "text":
        return {"response_format": {"type": "text"}}
    if form.kind == "schema" and quirks.NO_JSON_SCHEMA not in wants:
        return {"response_format": {"type": "json_schema", "json_schema": _schema(form)}}
    if form.kind == "schema":
        losses.hint("response_format.schema", "schema_in_prompt", "the provider is asked for the form in the prompt.")
        schema = jsonlib.dumps(form.schema or {}).decode()
        _instruct(messages, f"Answer with one JSON object that matches this JSON Schema:\n{schema}")
    elif request.dialect != DIALECT and not _says_json(request):
        _instruct(messages, "Answer with one JSON object.")
    return {"response_format": {"type": "json_object"}}


def _schema(form: ResponseFormat) -> Json:
    written: Json = {"name": form.name or "response"}
    if form.description:
        written["description"] = form.description
    if form.schema is not None:
        written["schema"] = form.schema
    if form.strict is not None:
        written["strict"] = form.strict
    return written


def _says_json(request: Request) -> bool:
    """OpenAI and DeepSeek refuse JSON mode unless the word stands in the messages."""
    texts = (part.text for message in request.messages for part in message.parts if isinstance(part, Text))
    return any("json" in text.lower() for text in texts)


def _instruct(messages: list[Json], text: str) -> None:
    """One more system message, or more of the first one."""
    if messages and messages[0]["role"] in ("system", "developer") and isinstance(messages[0]["content"], str):
        messages[0] = {**messages[0], "content": f"{messages[0]['content']}\n{text}"}
    else:
        messages.insert(0, {"role": "system", "content": text})


# --- thoughts and sampling -------------------------------------------------------------------------------------------


def _effort(request: Request, tools: bool, wants: Wants, losses: Losses) -> str:
    """The word for effort that goes out; "" for none."""
    traits, reasoning = wants.traits, request.reasoning or Reasoning()
    wanted = wanted_effort(reasoning, request.dialect)
    if not wanted and reasoning.adaptive and traits.efforts:
        wanted = nearest_effort("medium", traits.efforts)
    if tools and traits.tools_at_none and quirks.REASONING_OBJECT not in wants:
        if wanted not in ("", "none"):
            losses.hint("reasoning.effort", "effort_with_tools", "the model does not think beside tools here.")
        return "none"
    effort = nearest_effort(wanted, traits.efforts) if wanted else ""
    if effort != wanted:
        losses.hint(
            "reasoning.effort", "reasoning_effort", f"the model knows {effort or 'no words for effort'} instead."
        )
    return effort


def _reasoning(reasoning: Reasoning | None, effort: str, wants: Wants, losses: Losses) -> Json:
    if reasoning is not None and reasoning.summary:
        losses.hint("reasoning.summary", "reasoning_summary", "Chat Completions cannot be asked for summaries.")
    if quirks.REASONING_OBJECT in wants:
        return _reasoning_object(reasoning, effort)
    if reasoning is not None and reasoning.budget is not None and reasoning.budget > 0:
        losses.hint("reasoning.budget", "reasoning_budget", "Chat Completions knows words for effort alone.")
    fields: Json = {}
    if quirks.THINKING_SWITCH in wants and (effort or (reasoning is not None and reasoning.adaptive)):
        fields["thinking"] = {"type": "disabled" if effort == "none" else "enabled"}
    spoken = effort and quirks.NO_REASONING_EFFORT not in wants
    if spoken and not (fields and effort == "none"):
        fields["reasoning_effort"] = effort
    return fields


def _reasoning_object(reasoning: Reasoning | None, effort: str) -> Json:
    inside: Json = {}
    if reasoning is not None and reasoning.budget and not reasoning.effort:
        inside["max_tokens"] = reasoning.budget
    elif effort:
        inside["effort"] = effort
    elif reasoning is not None and reasoning.adaptive:
        inside["enabled"] = True
    if reasoning is not None and reasoning.shown is not None:
        inside["exclude"] = not reasoning.shown
    return {"reasoning": inside} if inside else {}


def _sampling(request: Request, effort: str, wants: Wants, losses: Losses) -> Json:
    sampling, traits = request.sampling, wants.traits
    free = traits.sampling or (traits.sampling_at_none and effort == "none")
    biased = traits.penalties and quirks.NO_OPENAI_FIELDS not in wants
    seed = "random_seed" if quirks.RANDOM_SEED in wants else "seed"
    rows: tuple[tuple[str, str, Any, bool], ...] = (
        ("temperature", "temperature", sampling.temperature, free or sampling.temperature == 1),
        ("top_p", "top_p", sampling.top_p, free or sampling.top_p == 1),
        ("top_k", "top_k", sampling.top_k, quirks.TOP_K in wants),
        (seed, "seed", sampling.seed, True),
        ("presence_penalty", "presence_penalty", sampling.presence_penalty, traits.penalties),
        ("frequency_penalty", "frequency_penalty", sampling.frequency_penalty, traits.penalties),
        ("logit_bias", "logit_bias", sampling.logit_bias and dict(sampling.logit_bias), biased),
        ("logprobs", "logprobs", sampling.logprobs, free or not sampling.logprobs),
        ("top_logprobs", "top_logprobs", sampling.top_logprobs, free),
    )
    fields: Json = {}
    for name, field, value, taken in rows:
        if value is not None and taken:
            fields[name] = value
        elif value is not None:
            losses.hint(f"sampling.{field}", field, "the model does not take it.")
    return fields


def _limits(request: Request, wants: Wants, losses: Losses) -> Json:
    fields: Json = {}
    if request.max_tokens is not None:
        long_name = wants.traits.max_completion_tokens and quirks.MAX_TOKENS not in wants
        fields["max_completion_tokens" if long_name else "max_tokens"] = request.max_tokens
    most = MAX_STOP if wants.traits.openai else len(request.stop)
    if wants.traits.stop and request.stop:
        fields["stop"] = list(request.stop[:most])
    if request.stop and not (wants.traits.stop and len(request.stop) <= most):
        losses.hint("stop", "stop", "the model does not take so many texts to stop at.")
    if request.n is not None:
        fields["n"] = request.n
    return fields


def _openai_fields(request: Request, wants: Wants, losses: Losses) -> Json:
    """What OpenAI has words for and few others. What other dialects mean by the same fields is not always what OpenAI
    takes: metadata is refused without `store` (langchaingo#1484), tiers have names of their own."""
    own = request.dialect in _OPENAI
    known = quirks.NO_OPENAI_FIELDS not in wants
    hints = known and (request.dialect == DIALECT or quirks.NO_OPENAI_HINTS not in wants)
    rows: tuple[tuple[str, Any, bool], ...] = (
        ("verbosity", request.verbosity, hints),
        ("user", short_user(request.user), known),
        ("safety_identifier", request.safety_identifier, hints),
        ("metadata", dict(request.metadata), hints and (request.dialect == DIALECT or request.store is True)),
        ("service_tier", request.service_tier, hints and (own or request.service_tier in _TIERS)),
        ("prompt_cache_key", request.cache_key, hints),
        ("prompt_cache_retention", request.cache_retention, hints),
    )
    fields: Json = {}
    for name, value, taken in rows:
        if value and taken:
            fields[name] = value
        elif value:
            neutral = name.removeprefix("prompt_")
            losses.hint(neutral, neutral, "the provider does not take it.")
    if hints and (request.store or (request.store is not None and request.dialect == DIALECT)):
        fields["store"] = request.store  # elsewhere "false" only denies what is the default here
    elif request.store:
        losses.hint("store", "store", "the provider does not take it.")
    return fields


def _add_extra(body: Json, extra: Iterable[Extra], losses: Losses) -> None:
    """Fields of the dialect's own, where the writer has not said the same already."""
    for field in extra:
        if field.dialect == DIALECT:
            body.setdefault(field.name, field.value)
        else:
            losses.unknown_field(field)
