"""A neutral answer as a message for a client of Anthropic's.

- Signatures of other providers stand sealed where Claude's would: in `thinking` and `redacted_thinking` blocks. A tool
  call has no place of its own: its signature is a `redacted_thinking` block before it, which names the call, where the
  client lets the model think, and so must send such blocks back; elsewhere it goes behind the call's id. Claude Code
  names files by ids, and cannot save a result whose file would have more than 255 bytes (anthropics/claude-code#23948).
- Arguments that are no JSON object are wrapped as Anthropic tells clients to wrap what they cannot parse:
  `{"INVALID_JSON": "…"}`.
- Empty texts leave no block: the client would send them back, and Anthropic's form does not allow them.
- Tokens that the provider has not counted are estimated, as in a stream: clients size their context by them.

Source: https://platform.claude.com/docs/en/api/messages,
https://platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming
"""

from __future__ import annotations

from gateway import jsonlib
from gateway.dialects import custom_tools
from gateway.dialects.anthropic.answer_reader import FINISHES, any_calls
from gateway.dialects.anthropic.block_reader import DIALECT
from gateway.dialects.anthropic.count_tokens import estimate_tokens
from gateway.dialects.anthropic.usage import write_usage
from gateway.dialects.continuity import bind, show_signature, with_seal
from gateway.dialects.conversation import (
    Answer,
    Choice,
    Citation,
    Ending,
    Finish,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Request,
    Signature,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.dialect import Scene
from gateway.dialects.losses import Losses, has_address
from gateway.dialects.names import Json
from gateway.usage import Usage, tokens_of

_REASONS = {
    Finish.STOP: "end_turn",
    Finish.STOP_SEQUENCE: "stop_sequence",
    Finish.LENGTH: "max_tokens",
    Finish.TOOL_CALLS: "tool_use",
    Finish.CONTENT_FILTER: "refusal",
    Finish.REFUSAL: "refusal",
    Finish.PAUSE: "pause_turn",
    Finish.ERROR: "end_turn",
}


def write_answer(answer: Answer, scene: Scene, losses: Losses) -> Json:
    """The message. A client of this dialect asks for one answer; if there are more, the first is it."""
    choice = answer.choices[0] if answer.choices else Choice((), Ending(Finish.STOP))
    if len(answer.choices) > 1:
        losses.content("answer.choices", "choices", "the client's API gives one answer.")
    content: list[Json] = []
    for part in choice.parts:
        if isinstance(part, ToolCall):
            content += _write_call(part, scene, len(content))
        elif (block := write_block(part, scene, losses)) is not None:
            content.append(block)
    refused = any(isinstance(part, Refusal) for part in choice.parts)
    return {
        "id": answer.id or f"msg_{scene.id}",
        "type": "message",
        "role": "assistant",
        "model": scene.model,
        "content": content,
        **write_ending(choice.ending, called=any_calls(choice.parts), refused=refused),
        "usage": write_usage(_usage(answer.usage, choice, scene), answer.service_tier),
    }


def _usage(known: Usage | None, choice: Choice, scene: Scene) -> Usage:
    usage = known or Usage()
    if usage.input_uncached is None:
        usage = usage._replace(input_uncached=estimate_tokens(scene.request))
    if usage.output_text is None:
        usage = usage._replace(output_text=tokens_of(sum(_length(part) for part in choice.parts)))
    return usage


def _length(part: Part) -> int:
    """Characters."""
    match part:
        case Text() | Refusal() | Thinking():
            return len(part.text)
        case ToolCall():
            return len(part.arguments)
        case _:
            return 0


def write_ending(ending: Ending, *, called: bool, refused: bool) -> Json:
    """`stop_reason` and what belongs to it. `called`, `refused`: the answer has tool calls, or a refusal, whatever
    its provider says of its end."""
    finish = ending.finish
    if finish is Finish.STOP:
        finish = Finish.TOOL_CALLS if called else Finish.REFUSAL if refused else finish
    reason = ending.native if FINISHES.get(ending.native) is finish else _REASONS[finish]
    written: Json = {"stop_reason": reason, "stop_sequence": ending.stop_sequence}
    if ending.message:
        written["stop_details"] = {"type": "refusal", "category": None, "explanation": ending.message}
    return written


def _write_call(part: ToolCall, scene: Scene, place: int) -> list[Json]:
    name, signature = sign_call(part, part.signature, scene, place)
    use = {"id": name, "name": part.name, "input": arguments_object(part.arguments, custom=part.custom)}
    return [*([signature] if signature else []), {"type": "tool_use", **use}]


def write_block(part: Part, scene: Scene, losses: Losses) -> Json | None:
    """A part that is no call as a block, or None where it leaves none."""
    match part:
        case Text():
            if part.signature is not None:
                losses.hint("answer.signature", "text_signature", "texts are not signed.")
            block: Json = {"type": "text", "text": part.text}
            if cited := [write_citation(each) for each in part.citations if has_address(each, losses)]:
                block["citations"] = cited
            return block if part.text else None
        case Refusal(text):
            return {"type": "text", "text": text} if text else None
        case Thinking(text, signature):
            return {"type": "thinking", "thinking": text, "signature": shown(signature, scene)}
        case RedactedThinking(signature):
            return {"type": "redacted_thinking", "data": shown(signature, scene)}
        case Opaque(dialect, value) if dialect == DIALECT:
            return value
        case _:
            losses.unshown(part)
            return None


def write_citation(citation: Citation) -> Json:
    """The form for pages found on the web. Its encrypted index is Anthropic's own and stays empty."""
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title or None,
        "cited_text": citation.quote,
        "encrypted_index": "",
    }


def shown(signature: Signature | None, scene: Scene) -> str:
    return "" if signature is None else show_signature(signature, DIALECT, scene.provider)


def sign_call(part: ToolCall, signature: Signature | None, scene: Scene, place: int) -> tuple[str, Json | None]:
    """A call's id, and the block that stands before the call. `place` tells calls without an id apart."""
    name = part.id or f"toolu_{scene.id}{place}"
    if signature is None or not _sends_thoughts_back(scene.request):
        return with_seal(name, signature, scene.provider), None
    return name, {"type": "redacted_thinking", "data": bind(signature, name, scene.provider)}


def _sends_thoughts_back(request: Request) -> bool:
    """Anthropic refuses a loop of tools without them, where the request has `thinking`."""
    reasoning = request.reasoning
    return reasoning is not None and (reasoning.adaptive or reasoning.budget is not None)


def arguments_object(arguments: str, *, custom: bool) -> Json:
    """A call's arguments as Anthropic's `input`, whatever the model wrote."""
    if custom:
        return custom_tools.wrap(arguments)
    try:
        value = jsonlib.loads(arguments) if arguments.strip() else {}
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"INVALID_JSON": arguments}
