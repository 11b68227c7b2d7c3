"""A request as Google gets it: the body of generateContent and streamGenerateContent, whose model and way of answering
stand in the path.

What the model can be asked depends on its name (`models.py`); a client of this very dialect is taken at its word.

Source: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from dataclasses import replace

from gateway.dialects.conversation import Request, Sampling, Tool
from gateway.dialects.dialect import Plan, Target, Written
from gateway.dialects.gemini.content_writer import write_contents
from gateway.dialects.gemini.models import Traits, traits_of
from gateway.dialects.gemini.thinking_writer import write_thinking
from gateway.dialects.gemini.tiers import write_tier
from gateway.dialects.gemini.tool_writer import write_schema, write_tool_config, write_tools
from gateway.dialects.json_prompt import ask_for_json
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.dialects.toolnames import rewritten_names

MAX_SEED = 2**31 - 1
"""Google's seeds are int32, OpenAI's int64."""

MAX_STOPS = 5
"""https://ai.google.dev/api/generate-content#v1beta.GenerationConfig: "up to 5 character sequences"."""

_UNKNOWN = {
    "verbosity": "Gemini has no verbosity.",
    "user": "Gemini does not ask for the end user.",
    "safety_identifier": "Gemini does not ask for the end user.",
    "metadata": "Gemini keeps no metadata.",
    "cache_key": "Gemini caches by itself.",
    "cache_retention": "Gemini caches by itself.",
}
"""Fields of a request that only tune or label, and why they end here."""


def write_request(request: Request, target: Target, losses: Losses) -> Written:
    """Raises RequestError 400 with `param` for a conversation without a message, arguments that are no object, and
    results of unknown calls."""
    traits = traits_of(target.model)
    if request.dialect == "gemini":
        traits = replace(traits, instructions=True, functions=True, json_mode=True)
    names = rewritten_names(request, "gemini")
    system, contents = write_contents(
        request.messages, target, traits, names, losses, _ask_for_format(request, traits, losses)
    )
    body: Json = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    if tools := write_tools(request, traits, names, losses):
        body["tools"] = tools
    if tool_config := write_tool_config(request, traits, names, losses):
        body["toolConfig"] = tool_config
    if config := _write_config(request, traits, losses):
        body["generationConfig"] = config
    if tier := write_tier(request.service_tier):
        body["serviceTier"] = tier
    elif request.service_tier not in ("", "auto"):
        losses.hint("service_tier", "service_tier", "Gemini has no tier of that name.")
    if request.dialect == "gemini" and request.store is not None:
        body["store"] = request.store  # it means logs here, and answers to be asked for again elsewhere
    elif request.store:
        losses.hint("store", "store", "Gemini keeps no answers.")
    _write_extra(request, body, losses)
    if traits.images and request.dialect == "anthropic":
        losses.content("model", "image_model", "it answers in images, for which the client's API has no place.")
    for name, why in _UNKNOWN.items():
        if getattr(request, name):
            losses.hint(name, name, why)
    custom = (tool.name for tool in request.tools if isinstance(tool, Tool) and tool.custom)
    functions = frozenset(names.get(name, name) for name in custom)
    return Written(body, Plan(target.provider, {theirs: ours for ours, theirs in names.items()}, custom=functions))


def _write_config(request: Request, traits: Traits, losses: Losses) -> Json:
    config: Json = {**_write_sampling(request, traits, losses), **_write_format(request, traits, losses)}
    if request.max_tokens is not None:
        config["maxOutputTokens"] = request.max_tokens
    if request.n is not None:
        config["candidateCount"] = request.n
    native = request.dialect == "gemini"
    if request.stop:
        config["stopSequences"] = list(request.stop if native else request.stop[:MAX_STOPS])
    for place in range(MAX_STOPS, 0 if native else len(request.stop)):
        losses.hint(f"stop.{place}", "stop", f"Gemini stops at up to {MAX_STOPS} texts.")
    if thinking := write_thinking(request, None if native else traits, losses):
        config["thinkingConfig"] = thinking
    return config


def _write_sampling(request: Request, traits: Traits, losses: Losses) -> Json:
    sampling = request.sampling
    if sampling.logit_bias:
        losses.hint("sampling.logit_bias", "logit_bias", "Gemini has none.")
    if request.dialect != "gemini":
        sampling = _fitting(sampling, traits, losses)
    fields = {
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "seed": sampling.seed,
        "presencePenalty": sampling.presence_penalty,
        "frequencyPenalty": sampling.frequency_penalty,
        "responseLogprobs": sampling.logprobs,
        "logprobs": sampling.top_logprobs,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _fitting(sampling: Sampling, traits: Traits, losses: Losses) -> Sampling:
    """What the model takes. A penalty of zero is none; a seed is folded, and stays the same for the same."""
    for name in ("presence_penalty", "frequency_penalty"):
        if getattr(sampling, name) and not traits.penalties:
            losses.hint(f"sampling.{name}", name, "the model does not take it.")
            sampling = replace(sampling, **{name: None})
    if sampling.seed is not None and abs(sampling.seed) > MAX_SEED:
        sampling = replace(sampling, seed=sampling.seed & MAX_SEED)
    return sampling


def _ask_for_format(request: Request, traits: Traits, losses: Losses) -> str:
    """The sentence that stands for a response format, "" where the model has one."""
    wanted = request.response_format
    if wanted is None or wanted.kind == "text" or traits.json_mode:
        return ""
    losses.hint("response_format", "response_format", "this model has no such format; it is asked for JSON.")
    return ask_for_json(wanted)


def _write_format(request: Request, traits: Traits, losses: Losses) -> Json:
    wanted = request.response_format
    if wanted is None or not traits.json_mode:
        return {}
    if wanted.kind == "text":
        return {"responseMimeType": "text/plain"}
    beside_tools = request.dialect != "gemini" and any(isinstance(tool, Tool) for tool in request.tools)
    if beside_tools and not traits.json_with_tools:
        losses.content("response_format", "format_with_tools", "this model takes no response format beside functions.")
        return {}
    config: Json = {"responseMimeType": "application/json"}
    if wanted.description:
        losses.hint("response_format.description", "format_description", "Gemini's formats have none.")
    if wanted.kind == "schema" and wanted.schema is not None:
        name, written, lost = write_schema(wanted.schema, request, traits)
        config[f"response{name}"] = written
        for where in lost:
            losses.hint(f"response_format.schema.{where}", "schema_keyword", "this model's schemas have none.")
    return config


def _write_extra(request: Request, body: Json, losses: Losses) -> None:
    """Puts back what only Gemini has a word for, where it stood."""
    for extra in request.extra:
        if extra.dialect != "gemini":
            losses.unknown_field(extra)
            continue
        place, _, name = extra.name.rpartition(".")
        (body.setdefault(place, {}) if place else body)[name] = extra.value
