"""A provider's Chat Completions answer.

Servers vary: content is a text, a list of parts (Mistral), an object (Cloudflare's JSON mode) or missing; thoughts have
the names of `thoughts.py`; calls come without ids (Google) or as 2023's `function_call`; `finish_reason` is "", null or
a word of the server's own. Tools that were renamed get their names back, calls without an id get one that is theirs
alone.

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gateway import jsonlib
from gateway.dialects import custom_tools
from gateway.dialects.conversation import (
    Answer,
    Choice,
    Citation,
    Ending,
    Finish,
    Image,
    Opaque,
    Part,
    Refusal,
    Signature,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.dialect import MalformedAnswerError, Plan
from gateway.dialects.media import read_url
from gateway.dialects.names import Json
from gateway.dialects.openai_chat import DIALECT
from gateway.dialects.openai_chat.message_reader import read_arguments
from gateway.dialects.openai_chat.thoughts import Sign, read_extra, read_thoughts
from gateway.dialects.openai_chat.usage import read_usage

FINISHES: Mapping[str, Finish] = {
    "stop": Finish.STOP,
    "eos": Finish.STOP,  # Together
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP_SEQUENCE,
    "length": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
    "model_length": Finish.LENGTH,  # Mistral: the context is full
    "tool_calls": Finish.TOOL_CALLS,
    "tool_use": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "content_filter": Finish.CONTENT_FILTER,
    "sensitive": Finish.CONTENT_FILTER,  # Z.ai
    "error": Finish.ERROR,  # OpenRouter, Mistral
    "network_error": Finish.ERROR,  # Z.ai
    "insufficient_system_resource": Finish.ERROR,  # DeepSeek
}


def read_answer(body: object, plan: Plan) -> Answer:
    """Raises MalformedAnswerError where there are no choices, and for a call of a tool that it does not name."""
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(choices, list) or not choices:
        raise MalformedAnswerError("the answer has no choices")
    cited = list(top_citations(body))
    seed = (text_of(body, "id"), created_of(body))
    read = tuple(_read_choice(choice, plan, cited, *seed, number) for number, choice in enumerate(_ordered(choices)))
    return Answer(
        text_of(body, "id"),
        text_of(body, "model"),
        read,
        read_usage(body),
        created_of(body),
        text_of(body, "service_tier"),
    )


def _ordered(choices: list[Any]) -> list[Json]:
    for choice in choices:
        if not isinstance(choice, dict):
            raise MalformedAnswerError("a choice is no object")
    return sorted(choices, key=lambda choice: choice["index"] if type(choice.get("index")) is int else 0)


def created_of(body: Mapping[str, Any]) -> int:
    """Unix seconds, 0 for what is none."""
    created = body.get("created")
    return int(created) if isinstance(created, int | float) and 0 <= created < 1 << 53 else 0


def _read_choice(choice: Json, plan: Plan, cited: list[Citation], *seed: object) -> Choice:
    message = choice.get("message")
    if not isinstance(message, dict):
        raise MalformedAnswerError("a choice has no message")
    parts: list[Part] = [*read_thoughts(message, signer(plan)), *_read_content(message, cited)]
    if refusal := text_of(message, "refusal"):
        parts.append(Refusal(refusal))
    parts += read_images(message)
    parts += _read_opaque(message)
    calls = message.get("tool_calls")
    real = [call for call in (calls if isinstance(calls, list) else []) if _is_call(call)]
    parts += [read_call(call, plan, *seed, place) for place, call in enumerate(real)]
    if function := _function_call(message):
        parts.append(read_call({"function": function}, plan, *seed))
    ending = read_ending(
        choice, any(isinstance(part, ToolCall) for part in parts), any(isinstance(part, Refusal) for part in parts)
    )
    return Choice(tuple(parts), ending, read_logprobs(choice.get("logprobs")))


def signer(plan: Plan) -> Sign:
    return lambda data: Signature(data, DIALECT, plan.provider)


def read_ending(choice: Mapping[str, Any], calls: bool, refused: bool) -> Ending:
    """`finish_reason` in our words. A call is one whatever the reason says: Google's endpoint says "stop"."""
    reason, native = text_of(choice, "finish_reason"), text_of(choice, "native_finish_reason")
    finish = FINISHES.get(reason, Finish.STOP)
    if finish is Finish.TOOL_CALLS and not calls:
        finish = Finish.STOP  # a client would wait for what nobody asked it
    stopped_at = text_of(choice, "stop_reason")  # vLLM: the text that it stopped at, or a token's number
    if finish is Finish.STOP and calls:
        finish = Finish.TOOL_CALLS
    elif finish is Finish.STOP and refused:
        finish = Finish.REFUSAL
    elif finish is Finish.STOP and stopped_at:
        return Ending(Finish.STOP_SEQUENCE, native or reason, stopped_at)
    return Ending(finish, native or reason)


# --- content ---------------------------------------------------------------------------------------------------------


def _read_content(message: Json, cited: list[Citation]) -> list[Part]:
    parts = list(content_parts(message.get("content")))
    citations = [*read_annotations(message)]
    known = {citation.url for citation in citations}
    citations += [citation for citation in cited if citation.url not in known]
    for place, part in enumerate(parts):
        if isinstance(part, Text):
            parts[place] = replace(part, citations=tuple(citations))
            break
    return parts


def content_parts(content: Any) -> Iterator[Part]:
    """Text and thoughts, from a text or a list; what is neither is written down."""
    if isinstance(content, str):
        if content:
            yield Text(content)
    elif isinstance(content, list):
        for item in content:
            yield from _content_part(item)
    elif content is not None:
        yield Text(jsonlib.dumps(content).decode())


def _content_part(item: Any) -> Iterator[Part]:
    if isinstance(item, str):
        yield Text(item)
    elif not isinstance(item, dict):
        return
    elif item.get("type") == "thinking":
        thinking = item.get("thinking")
        pieces = thinking if isinstance(thinking, list) else [{"text": thinking}]
        yield Thinking("".join(text_of(piece, "text") for piece in pieces if isinstance(piece, dict)))
    elif item.get("type") == "image_url":
        yield from read_images({"images": [item]})
    elif isinstance(item.get("text"), str):
        yield Text(item["text"])
    else:
        yield Opaque(DIALECT, item)


def read_images(message: Mapping[str, Any]) -> Iterator[Image]:
    """OpenRouter's `images`: `[{"type": "image_url", "image_url": {"url"}}]`."""
    images = message.get("images")
    for image in images if isinstance(images, list) else ():
        inner = image.get("image_url") if isinstance(image, dict) else None
        if isinstance(inner, dict) and (url := text_of(inner, "url")):
            yield Image(read_url(url))


def _read_opaque(message: Json) -> Iterator[Opaque]:
    """Audio; Snowflake has an empty one in every answer."""
    audio = message.get("audio")
    if isinstance(audio, dict) and any(audio.values()):
        yield Opaque(DIALECT, {"audio": audio})


def read_annotations(message: Mapping[str, Any]) -> Iterator[Citation]:
    """`[{"type": "url_citation", "url_citation": {"url", "title", "start_index", "end_index", "content"}}]`."""
    annotations = message.get("annotations")
    for annotation in annotations if isinstance(annotations, list) else ():
        inner = annotation.get("url_citation") if isinstance(annotation, dict) else None
        if isinstance(inner, dict) and (url := text_of(inner, "url")):
            start, end = inner.get("start_index"), inner.get("end_index")
            whole = type(start) is int and type(end) is int and start < end  # OpenRouter: 0 and 0 for unknown
            yield Citation(
                url,
                text_of(inner, "title"),
                text_of(inner, "content"),
                start if whole else None,
                end if whole else None,
            )


def top_citations(body: Mapping[str, Any]) -> Iterator[Citation]:
    """`citations` beside the choices, addresses alone (xAI, Perplexity, OpenRouter), with the titles of Perplexity's
    `search_results`."""
    results = body.get("search_results")
    titles = {
        text_of(result, "url"): text_of(result, "title")
        for result in (results if isinstance(results, list) else ())
        if isinstance(result, dict)
    }
    citations = body.get("citations")
    for url in citations if isinstance(citations, list) else ():
        if isinstance(url, str) and url:
            yield Citation(url, titles.get(url, ""))


# --- calls -----------------------------------------------------------------------------------------------------------


NAMELESS = "the provider called a tool without its name"


def _is_call(call: object) -> bool:
    """Whether it is a call: Snowflake sends empty ones. Raises MalformedAnswerError for one of nobody knows what."""
    if _inside(call):
        return True
    function = call.get("function") if isinstance(call, dict) else None
    if isinstance(call, dict) and is_meant(call, function if isinstance(function, dict) else {}):
        raise MalformedAnswerError(NAMELESS)
    return False


def is_meant(call: Mapping[str, Any], inside: Mapping[str, Any]) -> bool:
    """Whether something is called, be its name known or not. `inside` is the function or the custom tool."""
    return bool(text_of(call, "id") or inside.get("arguments") or inside.get("input"))


def read_call(call: Json, plan: Plan, *seed: object) -> ToolCall:
    """`seed`: what tells this call from all others, if it has no id."""
    inside = _inside(call)
    call_id, name = text_of(call, "id") or made_id(*seed, call), restored(inside, plan)
    signature = read_extra(call, signer(plan))
    if "input" in inside and "arguments" not in inside:
        return ToolCall(call_id, name, text_of(inside, "input"), True, signature)
    arguments = read_arguments(inside)
    if text_of(inside, "name") in plan.custom:
        return ToolCall(call_id, name, custom_tools.unwrap(arguments), True, signature)
    return ToolCall(call_id, name, arguments, False, signature)


def made_id(*seed: object) -> str:
    """An id for a call without one: the same for the same call, so that it needs no chance."""
    return f"call_{hashlib.blake2b(repr(seed).encode('utf-8', 'surrogatepass'), digest_size=12).hexdigest()}"


def restored(function: Mapping[str, Any], plan: Plan) -> str:
    name = text_of(function, "name")
    return plan.names.get(name, name)


def _inside(call: object) -> Json:
    """The function or the custom tool of a call, whichever has a name."""
    if isinstance(call, dict):
        for kind in ("function", "custom"):
            inside = call.get(kind)
            if isinstance(inside, dict) and text_of(inside, "name"):
                return inside
    return {}


def _function_call(message: Json) -> Json | None:
    function = message.get("function_call")
    return function if isinstance(function, dict) and text_of(function, "name") else None


def read_logprobs(value: object) -> Json | None:
    """Log probabilities as they came, but for lists that are none: other dialects put theirs behind each other."""
    fields = value if isinstance(value, dict) else {}
    lists = ("content", "refusal")
    kept = {name: said for name, said in fields.items() if name not in lists or said is None or isinstance(said, list)}
    return kept or None


def text_of(obj: Mapping[str, Any], name: str) -> str:
    """A text in what a stranger sent; "" for anything else."""
    value = obj.get(name)
    return value if isinstance(value, str) else ""
