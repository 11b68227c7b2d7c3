"""The `response` object that clients get, whole or at the beginning and the end of a stream, and the items in it.

It has every field that OpenAI's has: what the client said comes back, the rest says its default. `store` is false,
whatever was asked: nobody could fetch the answer again. Ids are made from the scene's, one for each item by its number.

Source: https://platform.openai.com/docs/api-reference/responses/object, the SDK's `types/responses/response.py`
"""

from __future__ import annotations

from gateway.dialects.continuity import bind, show_signature, unsigned
from gateway.dialects.conversation import (
    Answer,
    Ending,
    Finish,
    Image,
    Message,
    RedactedThinking,
    Refusal,
    Request,
    Text,
    Thinking,
    Tool,
    ToolCall,
)
from gateway.dialects.deltas import Begin
from gateway.dialects.dialect import Scene
from gateway.dialects.losses import Losses, has_address
from gateway.dialects.names import Json
from gateway.dialects.openai_responses import DIALECT
from gateway.dialects.openai_responses.content import write_text
from gateway.dialects.openai_responses.item_writer import write_generated_image
from gateway.dialects.openai_responses.request_writer import SERVICE_TIERS, write_format
from gateway.dialects.openai_responses.tools import Namespaces, write_tool_choice, write_tools
from gateway.dialects.openai_responses.usage import write_usage
from gateway.usage import Usage


def write_response(head: Answer | Begin, scene: Scene) -> Json:
    """A response that has just begun: `in_progress`, without output."""
    request = scene.request
    return {
        "id": head.id if head.id.startswith("resp_") else f"resp_{scene.id}",
        "object": "response",
        "created_at": head.created or scene.created,
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": _instructions(request),
        "max_output_tokens": request.max_tokens,
        "max_tool_calls": _extra(request, "max_tool_calls"),
        "metadata": dict(request.metadata),
        "model": scene.model,
        "output": [],
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt_cache_key": request.cache_key or None,
        "prompt_cache_retention": request.cache_retention or None,
        "reasoning": _reasoning(request),
        "safety_identifier": request.safety_identifier or None,
        "service_tier": head.service_tier if head.service_tier in SERVICE_TIERS else "default",
        "store": False,
        "temperature": 1.0 if request.sampling.temperature is None else request.sampling.temperature,
        "text": _text_config(request),
        **_tools(request),
        "top_logprobs": request.sampling.top_logprobs or 0,
        "top_p": 1.0 if request.sampling.top_p is None else request.sampling.top_p,
        "truncation": _extra(request, "truncation") or "disabled",
        "usage": None,
        "user": request.user or None,
    }


_REASONS = {Finish.LENGTH: "max_output_tokens", Finish.CONTENT_FILTER: "content_filter"}


def end_response(response: Json, output: list[Json], ending: Ending, usage: Usage | None, now: int) -> Json:
    """The same response when it has ended. A model's refusal without a text of its own is a content filter's here."""
    reason = _REASONS.get(ending.finish)
    if ending.finish is Finish.REFUSAL and not _has_refusal(output):
        reason = "content_filter"
    ended = {**response, "output": output, "usage": None if usage is None else write_usage(usage)}
    if ending.finish is Finish.ERROR:
        message = ending.message or f"the model's answer could not be read ({ending.native or 'error'})"
        return {**ended, "status": "failed", "error": {"code": "server_error", "message": message}}
    if reason is not None:
        return {**ended, "status": "incomplete", "incomplete_details": {"reason": reason}}
    return {**ended, "status": "completed", "completed_at": now}


def is_incomplete(ending: Ending) -> bool:
    """Whether the answer's last message was cut off."""
    return ending.finish in _REASONS


def _has_refusal(output: list[Json]) -> bool:
    return any(part.get("type") == "refusal" for item in output for part in item.get("content") or ())


def _instructions(request: Request) -> str | None:
    match request.messages[:1]:
        case (Message("system", (Text(text),)),):
            return text
        case _:
            return None


def _extra(request: Request, name: str) -> object:
    return next((extra.value for extra in request.extra if extra.dialect == DIALECT and extra.name == name), None)


def _reasoning(request: Request) -> Json:
    reasoning = request.reasoning
    effort, summary = ("", "") if reasoning is None else (reasoning.effort, reasoning.summary)
    return {"effort": effort or None, "summary": summary or None}


def _text_config(request: Request) -> Json:
    form = {"type": "text"} if request.response_format is None else write_format(request.response_format)
    return {"format": form, **({"verbosity": request.verbosity} if request.verbosity else {})}


def _tools(request: Request) -> Json:
    """`tools` and `tool_choice`, as they came."""
    custom = {tool.name: tool.custom for tool in request.tools if isinstance(tool, Tool)}
    choice = _extra(request, "tool_choice") or "auto"
    if request.tool_choice is not None:
        choice = write_tool_choice(request.tool_choice, custom, str)
    return {"tool_choice": choice, "tools": write_tools(request.tools, Namespaces.of(request), str, None)}


# --- items -----------------------------------------------------------------------------------------------------------


class ItemMaker:
    """Makes the items of one answer. An item that is made without its contents is the one a stream begins with."""

    def __init__(self, scene: Scene, losses: Losses) -> None:
        self._scene = scene
        self._losses = losses
        self._namespaces = Namespaces.of(scene.request)
        self._made = 0

    def _id(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}_{self._scene.id}{self._made - 1:02d}"

    def message(self) -> Json:
        return {
            "type": "message",
            "id": self._id("msg"),
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }

    def reasoning(self) -> Json:
        return {"type": "reasoning", "id": self._id("rs"), "summary": []}

    def signature(self, part: ToolCall) -> Json | None:
        """The item before a call that was signed: thoughts without a word, which clients send back as they are."""
        if part.signature is None:
            return None
        return {**self.reasoning(), "encrypted_content": bind(part.signature, part.id, self._scene.provider)}

    def call(self, part: ToolCall) -> Json:
        """Without its arguments."""
        namespace, name = self._namespaces.split(part.name)
        named = {"name": name, "namespace": namespace} if namespace else {"name": name}
        if part.custom:
            return {
                "type": "custom_tool_call",
                "id": self._id("ctc"),
                "status": "in_progress",
                "call_id": part.id,
                **named,
                "input": "",
            }
        return {
            "type": "function_call",
            "id": self._id("fc"),
            "status": "in_progress",
            "call_id": part.id,
            **named,
            "arguments": "",
        }

    def image(self, part: Image) -> Json | None:
        """None where the data is elsewhere."""
        return write_generated_image(part, self._id("ig")) if part.source.kind == "base64" else None

    def thoughts(self, part: Thinking | RedactedThinking) -> tuple[str | None, str]:
        """What stands in the summary (None: not even an empty text) and in `encrypted_content` ("" for nothing).

        Foreign thoughts of which only the signature was shown have an empty text, redacted ones have none: a reader
        tells them apart by it.
        """
        signature = part.signature
        if signature is None and isinstance(part, Thinking) and part.text:
            signature = unsigned(self._scene.provider)
        shown = "" if signature is None else show_signature(signature, DIALECT, self._scene.provider)
        if isinstance(part, RedactedThinking):
            return None, shown
        foreign = signature is not None and signature.dialect != DIALECT
        return (part.text if part.text or foreign else None), shown

    def output_part(self, part: Text | Refusal) -> Json:
        if isinstance(part, Refusal):
            return {"type": "refusal", "refusal": part.text}
        for citation in part.citations:
            has_address(citation, self._losses)
        return {"annotations": [], "logprobs": [], **write_text(part, output=True, breakpoints=False)}
