"""A Chat Completions answer for a client.

Thoughts are shown as LiteLLM shows them (`thoughts.py`), signatures of calls behind their ids, images as OpenRouter has
them, the provider's own word for why it stopped as `native_finish_reason`, and the text that it stopped at as vLLM's
`stop_reason`. A client of 2023's functions gets its one `function_call`.

Source: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.dialects.continuity import show_signature, with_seal
from gateway.dialects.conversation import (
    Answer,
    Choice,
    Citation,
    Ending,
    Finish,
    Image,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.dialect import Scene
from gateway.dialects.losses import Losses, has_address
from gateway.dialects.media import write_url
from gateway.dialects.names import Json
from gateway.dialects.openai_chat import DIALECT
from gateway.dialects.openai_chat.thoughts import plain_text, write_extra, write_thoughts
from gateway.dialects.openai_chat.usage import write_usage

_REASONS: Mapping[Finish, str] = {
    Finish.STOP: "stop",
    Finish.STOP_SEQUENCE: "stop",
    Finish.LENGTH: "length",
    Finish.TOOL_CALLS: "tool_calls",
    Finish.CONTENT_FILTER: "content_filter",
    Finish.REFUSAL: "content_filter",
    Finish.PAUSE: "stop",
    Finish.ERROR: "stop",
}


def write_answer(answer: Answer, scene: Scene, losses: Losses) -> Json:
    """The answer as a body. `losses` notes parts that the dialect has no place for."""
    choices = [_write_choice(number, choice, scene, losses) for number, choice in enumerate(answer.choices)]
    body: Json = {
        "id": answer.id or f"chatcmpl-{scene.id}",
        "object": "chat.completion",
        "created": answer.created or scene.created,
        "model": scene.model,
        "choices": choices,
    }
    if answer.usage is not None:
        body["usage"] = write_usage(answer.usage)
    if answer.service_tier:
        body["service_tier"] = answer.service_tier
    return body


def _write_choice(number: int, choice: Choice, scene: Scene, losses: Losses) -> Json:
    message = _write_message(choice.parts, scene, losses)
    refused = message["refusal"] is not None
    return {
        "index": number,
        "message": message,
        "logprobs": choice.logprobs,
        **write_ending(choice.ending, refused, scene.request.legacy_calls),
    }


def write_ending(ending: Ending, refused: bool, legacy: bool) -> Json:
    """`finish_reason` and what else is known of the end. A refusal in words is an answer that stopped."""
    reason = "stop" if refused and ending.finish is Finish.REFUSAL else _REASONS[ending.finish]
    if reason == "tool_calls" and legacy:
        reason = "function_call"
    fields: Json = {"finish_reason": reason}
    if ending.native and ending.native != reason:
        fields["native_finish_reason"] = ending.native
    if ending.stop_sequence is not None:
        fields["stop_reason"] = ending.stop_sequence
    return fields


def _write_message(parts: tuple[Part, ...], scene: Scene, losses: Losses) -> Json:
    text = "".join(part.text for part in parts if isinstance(part, Text))
    refusal = "".join(part.text for part in parts if isinstance(part, Refusal))
    message: Json = {"role": "assistant", "content": text or None, "refusal": refusal or None}
    if not (text or refusal or any(isinstance(part, ToolCall) for part in parts)):
        message["content"] = ""
    if thought := plain_text(parts):
        message["reasoning_content"] = thought
    message |= write_thoughts(_signed(parts), lambda signature: show_signature(signature, DIALECT, scene.provider))
    if annotations := list(_annotations(parts, losses)):
        message["annotations"] = annotations
    if images := [write_image(part) for part in parts if isinstance(part, Image) and part.source.kind in _SHOWN]:
        message["images"] = images
    calls = [part for part in parts if isinstance(part, ToolCall)]
    if calls and scene.request.legacy_calls:
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments}
        for call in calls[1:]:
            note_call(call.name, losses)
    elif calls:
        message["tool_calls"] = [write_call(call, number, scene) for number, call in enumerate(calls)]
    for part in parts:
        if isinstance(part, Opaque) and part.dialect == DIALECT and "type" not in part.value:
            message |= part.value
        elif not can_show(part):
            losses.unshown(part)
    return message


_SHOWN = ("base64", "url")


def can_show(part: Part) -> bool:
    """Whether a message of the assistant has a place for it."""
    if isinstance(part, Image):
        return part.source.kind in _SHOWN
    return isinstance(part, Text | Refusal | ToolCall | Thinking | RedactedThinking)


def note_call(name: str, losses: Losses) -> None:
    """A further call for a client of 2023's functions."""
    losses.content(
        "answer.function_call", "parallel_call", f"'{name}' is called, too, which a function_call cannot say."
    )


def write_call(call: ToolCall, number: int, scene: Scene) -> Json:
    """One of `tool_calls`. Its own dialect's signature has a place there, any other goes behind the id."""
    call_id, signature = call.id or f"call_{scene.id}_{number}", call.signature
    own = signature is not None and signature.dialect == DIALECT
    written: Json = {"id": call_id if own else with_seal(call_id, signature, scene.provider)}
    if call.custom:
        written |= {"type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    else:
        written |= {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
    if signature is not None and own:
        written["extra_content"] = write_extra(signature.data)
    return written


def write_image(image: Image) -> Json:
    return {"type": "image_url", "image_url": {"url": write_url(image.source, "image/png")}}


def write_citation(citation: Citation, offset: int = 0) -> Json:
    """`offset`: characters before the text whose places the citation counts. Unknown places are 0, as with OpenRouter:
    SDKs want numbers."""
    known = citation.start is not None and citation.end is not None
    inner: Json = {
        "url": citation.url,
        "title": citation.title,
        "start_index": (citation.start or 0) + offset if known else 0,
        "end_index": (citation.end or 0) + offset if known else 0,
    }
    if citation.quote:
        inner["content"] = citation.quote
    return {"type": "url_citation", "url_citation": inner}


def _annotations(parts: Iterable[Part], losses: Losses) -> Iterable[Json]:
    offset = 0
    for part in parts:
        if isinstance(part, Text):
            yield from (write_citation(each, offset) for each in part.citations if has_address(each, losses))
            offset += len(part.text)


def _signed(parts: Iterable[Part]) -> Iterable[Part]:
    """Thoughts, and the signatures of texts and images as blocks without text: there is no other place."""
    for part in parts:
        if isinstance(part, Text | Image) and part.signature is not None:
            yield Thinking("", part.signature)
        elif isinstance(part, Thinking | RedactedThinking):
            yield part
