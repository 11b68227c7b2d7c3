"""An answer as a client of the Responses API gets it, not streamed: a `response` object.

Source: https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

from gateway.dialects.conversation import (
    Answer,
    Choice,
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
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.dialects.openai_responses import DIALECT
from gateway.dialects.openai_responses.response import ItemMaker, end_response, is_incomplete, write_response


def write_answer(answer: Answer, scene: Scene, losses: Losses) -> Json:
    if len(answer.choices) > 1:
        losses.content("answer.choices", "choices", "the client's API gives one answer.")
    choice = answer.choices[0] if answer.choices else Choice((), Ending(Finish.STOP))
    output = _output(choice, ItemMaker(scene, losses), losses)
    return end_response(write_response(answer, scene), output, choice.ending, answer.usage, scene.created)


def _output(choice: Choice, maker: ItemMaker, losses: Losses) -> list[Json]:
    """Texts that follow each other are contents of one message."""
    output: list[Json] = []
    logprobs = (choice.logprobs or {}).get("content")
    for part in choice.parts:
        if isinstance(part, Text | Refusal):
            if not output or output[-1].get("type") != "message":
                output.append({**maker.message(), "status": "completed"})
            content = maker.output_part(part)
            if isinstance(part, Text) and logprobs:
                content["logprobs"], logprobs = logprobs, None
            output[-1]["content"].append(content)
        elif items := _items(part, maker):
            output += items
        elif not isinstance(part, Thinking):
            losses.unshown(part)
    if is_incomplete(choice.ending) and output and output[-1].get("type") == "message":
        output[-1]["status"] = "incomplete"
    return output


def _items(part: Part, maker: ItemMaker) -> list[Json]:
    """What a part is: an item, and the signature of a call before it; nothing where it cannot be shown."""
    signature = maker.signature(part) if isinstance(part, ToolCall) else None
    return [item for item in (signature, _item(part, maker)) if item is not None]


def _item(part: Part, maker: ItemMaker) -> Json | None:
    match part:
        case Thinking() | RedactedThinking():
            text, shown = maker.thoughts(part)
            if text is None and not shown:
                return None
            summary = [] if text is None else [{"type": "summary_text", "text": text}]
            return {**maker.reasoning(), "summary": summary, **({"encrypted_content": shown} if shown else {})}
        case ToolCall():
            said = {"input": part.arguments} if part.custom else {"arguments": part.arguments or "{}"}
            return {**maker.call(part), "status": "completed", **said}
        case Image():
            return maker.image(part)
        case Opaque(dialect, value) if dialect == DIALECT:
            return value
        case _:
            return None
