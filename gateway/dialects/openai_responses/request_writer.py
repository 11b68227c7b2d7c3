"""A neutral request for a provider of the Responses API, which keeps nothing of it.

Requests of other dialects are written stateless: `store: false` unless the client wants it stored, and thoughts come
encrypted so that the client can send them back. A leading system message of one text is `instructions`, other ones stay
in their places. Functions that do not say are not `strict`, which here would be the default and change their schemas.
What a model refuses (sampling while it thinks, words of effort) is known by `openai_chat/models.py`.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from typing import Any

from gateway.dialects.builtin_tools import is_dispensable
from gateway.dialects.conversation import Extra, Message, Opaque, Request, ResponseFormat, Text, Tool
from gateway.dialects.dialect import Plan, Target, Written
from gateway.dialects.efforts import nearest_effort, wanted_effort
from gateway.dialects.losses import OTHERS_TOOL, Losses
from gateway.dialects.names import Json
from gateway.dialects.openai_chat.models import short_user, traits_of
from gateway.dialects.openai_chat.quirks import NO_INCLUDE, NO_OPENAI_FIELDS, NO_OPENAI_HINTS
from gateway.dialects.openai_responses import DIALECT
from gateway.dialects.openai_responses.item_writer import ItemWriter
from gateway.dialects.openai_responses.request_reader import INCLUDE_LOGPROBS, INCLUDE_THOUGHTS
from gateway.dialects.openai_responses.tools import NAMESPACES, Namespaces, write_tool_choice, write_tools
from gateway.dialects.toolnames import rewritten_names

MIN_OUTPUT_TOKENS = 16
"""OpenAI: "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16". Others allow 1, with
which clients ask whether a key works."""

SERVICE_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})

_WITHOUT_INCLUDE = frozenset({NO_INCLUDE, NO_OPENAI_FIELDS})

_SHARED_EXTRAS = frozenset({"prompt_cache_options", "moderation"})
"""Fields that mean the same in both of OpenAI's APIs."""


def write_request(request: Request, target: Target, losses: Losses) -> Written:
    names = rewritten_names(request, DIALECT)
    body: Json = {"model": target.model}
    _write_messages(body, request, target, names, losses)
    _write_tools(body, request, names, losses)
    effort = _write_reasoning(body, request, target, losses)
    _write_sampling(body, request, target, effort, losses)
    _write_limits(body, request, losses)
    _write_text(body, request)
    _write_account(body, request, target, losses)
    _write_extras(body, request, losses)
    _write_include(body, request, target)
    if request.stream:
        body["stream"] = True
    return Written(body, Plan(target.provider, {theirs: ours for ours, theirs in names.items()}))


def _write_messages(body: Json, request: Request, target: Target, names: dict[str, str], losses: Losses) -> None:
    items = ItemWriter(request, target, lambda name: names.get(name, name), losses)
    for number, message in enumerate(request.messages):
        alone = len(request.messages) == 1 and request.dialect != DIALECT  # OpenAI refuses an empty input
        instructions = _instructions(message) if number == 0 and not alone else None
        if instructions is not None:
            body["instructions"] = instructions
        else:
            items.write(message, f"messages.{number}")
    body["input"] = items.items


def _instructions(message: Message) -> str | None:
    match message:
        case Message("system", (Text(text, cache=None),), name=""):
            return text
        case _:
            return None


def _write_tools(body: Json, request: Request, names: dict[str, str], losses: Losses) -> None:
    def rename(name: str) -> str:
        return names.get(name, name)

    for number, tool in enumerate(request.tools):
        if isinstance(tool, Opaque) and tool.dialect != DIALECT:
            note = losses.hint if is_dispensable(tool, request) else losses.content
            note(f"tools.{number}", "opaque_tool", OTHERS_TOOL)
        elif isinstance(tool, Tool) and tool.cache is not None:
            losses.hint(f"tools.{number}.cache", "cache_control", "tools cannot be marked for the cache.")
    namespaces = Namespaces.of(request)
    strict = None if request.dialect == DIALECT else False
    tools = write_tools(request.tools, namespaces, rename, strict)
    if tools:
        body["tools"] = tools
    if request.tool_choice is not None and (tools or request.dialect == DIALECT):
        custom = {tool.name: tool.custom for tool in request.tools if isinstance(tool, Tool)}
        body["tool_choice"] = write_tool_choice(request.tool_choice, custom, rename)
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls


def _write_reasoning(body: Json, request: Request, target: Target, losses: Losses) -> str:
    """Gives the effort that was written, "" for none."""
    reasoning = request.reasoning
    if reasoning is None:
        return ""
    efforts = None if request.dialect == DIALECT else traits_of(target.model).efforts
    wanted = wanted_effort(reasoning, request.dialect)
    effort = nearest_effort(wanted, efforts) if wanted else ""
    if reasoning.budget is not None and not reasoning.effort:
        losses.hint("reasoning.budget", "reasoning_budget", "the Responses API knows words for effort alone.")
    elif effort != wanted and (efforts or wanted != "none"):
        losses.hint("reasoning.effort", "reasoning_effort", "the model does not know this word for effort.")
    if efforts == ():
        return ""  # the model does not think, and refuses the whole field
    summary = reasoning.summary or ("auto" if request.thoughts_shown else "")
    said = {name: value for name, value in (("effort", effort), ("summary", summary)) if value}
    if said:
        body["reasoning"] = said
    return effort


_SAMPLING = ("temperature", "top_p", "top_logprobs")
_NO_SAMPLING = ("top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias")


def _write_sampling(body: Json, request: Request, target: Target, effort: str, losses: Losses) -> None:
    sampling, traits = request.sampling, traits_of(target.model)
    takes = traits.sampling or (traits.sampling_at_none and effort == "none") or request.dialect == DIALECT
    for name in _SAMPLING:
        value = getattr(sampling, name)
        if value is None:
            continue
        if takes:
            body[name] = value
        else:
            losses.hint(f"sampling.{name}", name, "the model refuses it while it thinks.")
    for name in _NO_SAMPLING:
        if getattr(sampling, name) is not None:
            losses.hint(f"sampling.{name}", name, "the Responses API has no such field.")
    if sampling.logprobs:
        if takes and not target.quirks & _WITHOUT_INCLUDE:
            body["include"] = [INCLUDE_LOGPROBS]
        else:
            losses.hint("sampling.logprobs", "logprobs", "the model refuses it, while it thinks or always.")


def _write_limits(body: Json, request: Request, losses: Losses) -> None:
    limit = request.max_tokens
    if limit is not None and limit < MIN_OUTPUT_TOKENS and request.dialect != DIALECT:
        losses.hint("max_tokens", "max_tokens", f"the least that the provider takes is {MIN_OUTPUT_TOKENS}.")
        limit = MIN_OUTPUT_TOKENS
    if limit is not None:
        body["max_output_tokens"] = limit
    if request.stop:
        losses.hint("stop", "stop", "the Responses API has no such field.")
    if request.n not in (None, 1):
        losses.content("n", "n", "the Responses API gives one answer.")


def _write_text(body: Json, request: Request) -> None:
    text: Json = {}
    if request.response_format is not None:
        text["format"] = write_format(request.response_format)
    if request.verbosity:
        text["verbosity"] = request.verbosity
    if text:
        body["text"] = text


def write_format(response_format: ResponseFormat) -> Json:
    if response_format.kind != "schema":
        return {"type": "json_object" if response_format.kind == "json" else "text"}
    said = {
        "description": response_format.description or None,
        "schema": response_format.schema or {},
        "strict": response_format.strict,
    }
    given = {name: value for name, value in said.items() if value is not None}
    return {"type": "json_schema", "name": response_format.name or "answer", **given}


def _write_account(body: Json, request: Request, target: Target, losses: Losses) -> None:
    """Who asks, and how it is counted, cached and kept. That nothing is kept is always said: most keep it otherwise."""
    own, hints = request.dialect == DIALECT, not target.quirks & {NO_OPENAI_FIELDS, NO_OPENAI_HINTS}
    tier = request.service_tier
    if tier and not own and tier not in SERVICE_TIERS:
        losses.hint("service_tier", "service_tier", "the provider does not know this tier.")
        tier = ""
    fields: dict[str, Any] = {
        "safety_identifier": request.safety_identifier,
        "metadata": dict(request.metadata),
        "service_tier": tier,
        "prompt_cache_key": request.cache_key,
        "prompt_cache_retention": request.cache_retention,
        "store": request.store,
    }
    for name, value in fields.items():
        if value and hints:
            body[name] = value
        elif value:
            losses.hint(name, name, "the provider does not take it.")
    if user := request.user if own else short_user(request.user):
        body["user"] = user
    if NO_OPENAI_FIELDS not in target.quirks and (request.store is not None or not own):
        body.setdefault("store", False)


def _write_extras(body: Json, request: Request, losses: Losses) -> None:
    for extra in request.extra:
        if extra.dialect == DIALECT:
            _write_extra(body, extra)
        elif extra.dialect == "openai_chat" and extra.name in _SHARED_EXTRAS:
            body[extra.name] = extra.value
        else:
            losses.unknown_field(extra)


def _write_extra(body: Json, extra: Extra) -> None:
    holder, _, name = extra.name.partition(".")
    if extra.name == NAMESPACES:
        return  # was written with the tools
    if holder == "include":
        body["include"] = [*extra.value, *body.get("include", [])]
    elif name:
        body[holder] = {**body.get(holder, {}), name: extra.value}
    else:
        body[holder] = extra.value


def _write_include(body: Json, request: Request, target: Target) -> None:
    """Asks for encrypted thoughts where there are any: a model that does not think refuses ("Encrypted content is not
    supported with this model")."""
    efforts = traits_of(target.model).efforts
    if not target.quirks & _WITHOUT_INCLUDE and (efforts or (efforts is None and request.reasoning is not None)):
        body["include"] = [*body.get("include", []), INCLUDE_THOUGHTS]
