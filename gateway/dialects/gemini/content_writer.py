"""Messages as Google wants them: `systemInstruction`, and `contents` of users and models in turn.

- Messages of the system go to the front, whatever their place was; where there are no others, or the model takes no
  instructions, they are the user's.
- Neighbours of the same role are one turn. Results of a turn come first, in the order of their calls, in a content of
  their own: Gemini 3 refuses other parts beside them.
- A thoughtSignature goes back to the provider that made it. Gemini 3 refuses a current turn whose steps do not begin
  with a signed call; one without a signature, from another provider or an older model, gets the sentinel that Google
  documents for this. The current turn begins at the last words of the user; earlier ones are not checked.

Sources: https://ai.google.dev/gemini-api/docs/thought-signatures,
https://ai.google.dev/gemini-api/docs/function-calling#multimodal
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import NamedTuple

from gateway import jsonlib
from gateway.dialects import custom_tools
from gateway.dialects.conversation import (
    Audio,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Signature,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.dialects.dialect import Target
from gateway.dialects.gemini.callids import is_place_id
from gateway.dialects.gemini.media import write_medium
from gateway.dialects.gemini.models import Traits
from gateway.dialects.gemini.results import write_response
from gateway.dialects.losses import OTHERS_PART, OTHERS_THOUGHTS, Losses
from gateway.dialects.names import Json
from gateway.dialects.turns import tool_names
from gateway.quick import dataclass

SENTINEL = "skip_thought_signature_validator"
"""https://ai.google.dev/gemini-api/docs/thought-signatures#faqs; Vertex AI documents the same."""


class _Result(NamedTuple):
    call_id: str
    part: Json


@dataclass(slots=True)
class _Turn:
    """What one side says until the other does. `calls` are the ids of its calls, in order; `moved` media of results
    that the model does not take inside them."""

    role: str
    parts: list[Json] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    results: list[_Result] = field(default_factory=list)
    moved: list[Json] = field(default_factory=list)


def write_contents(
    messages: Sequence[Message],
    target: Target,
    traits: Traits,
    names: Mapping[str, str],
    losses: Losses,
    instruction: str = "",
) -> tuple[list[Json], list[Json]]:
    """The parts of `systemInstruction`, and `contents`. `names`: those of functions that Google would refuse, and what
    it gets. `instruction` is one more, the last."""
    writer = _Writer(target, traits, names, tool_names(messages), losses)
    turns: list[_Turn] = []
    for place, message in enumerate(messages):
        if message.name:
            losses.hint(f"messages.{place}.name", "message_name", "Gemini does not tell participants apart.")
        if message.role in ("system", "developer"):
            writer.write_system(message, place, late=bool(turns))
            continue
        role = "model" if message.role == "assistant" else "user"
        if not turns or turns[-1].role != role:
            turns.append(_Turn(role))
        writer.write_message(message, place, turns[-1])
    if traits.signed_calls:
        _sign_current(turns)
    contents = _contents_of(turns)
    if not contents and not writer.system:
        losses.refuse("messages", "must have content.")
    if writer.system and not contents:
        losses.hint("messages.0.role", "system_role", "Gemini needs a user's message; the instructions are it.")
    elif writer.system and not traits.instructions:
        losses.hint(
            "messages.0.role", "system_role", "this model has no instructions; they are the user's first words."
        )
    system = writer.system + ([{"text": instruction}] if instruction else [])
    if contents and traits.instructions:
        return system, contents
    return [], _said_first(system, contents)


def _said_first(system: list[Json], contents: list[Json]) -> list[Json]:
    """Instructions as the user's first words."""
    if not system:
        return contents
    first = contents[0] if contents else {}
    if first.get("role") != "user" or any("functionResponse" in part for part in first["parts"]):
        return [{"role": "user", "parts": system}, *contents]
    return [{"role": "user", "parts": [*system, *first["parts"]]}, *contents[1:]]


def _sign_current(turns: Sequence[_Turn]) -> None:
    begin = max((place for place, turn in enumerate(turns) if turn.role == "user" and turn.parts), default=0)
    for turn in turns[begin:]:
        call = next((part for part in turn.parts if "functionCall" in part), None)
        if call is not None:
            call.setdefault("thoughtSignature", SENTINEL)


def _contents_of(turns: Iterable[_Turn]) -> list[Json]:
    contents: list[Json] = []
    calls: list[str] = []
    for turn in turns:
        if turn.results:
            order = {call_id: place for place, call_id in enumerate(calls)}
            results = sorted(turn.results, key=lambda result: order.get(result.call_id, len(order)))
            contents.append({"role": turn.role, "parts": [result.part for result in results]})
        if turn.moved or turn.parts:
            contents.append({"role": turn.role, "parts": turn.moved + turn.parts})
        calls = turn.calls
    return contents


class _Writer:
    """One part after the other, with its path in the neutral request."""

    __slots__ = ("_losses", "_names", "_target", "_tools", "_traits", "system")

    def __init__(
        self, target: Target, traits: Traits, names: Mapping[str, str], tools: Mapping[str, str], losses: Losses
    ) -> None:
        self._target = target
        self._traits = traits
        self._names = names
        self._tools = tools
        self._losses = losses
        self.system: list[Json] = []

    def write_system(self, message: Message, place: int, *, late: bool) -> None:
        if late:
            self._losses.hint(f"messages.{place}", "system_position", "Gemini has its instructions at the front.")
        for number, part in enumerate(message.parts):
            path = f"messages.{place}.parts.{number}"
            if not isinstance(part, Text | Opaque):
                self._losses.content(path, "system_media", "Gemini's instructions are text.")
            elif (written := self._write_part(part, path)) is not None:
                self.system.append(written)

    def write_message(self, message: Message, place: int, turn: _Turn) -> None:
        for number, part in enumerate(message.parts):
            path = f"messages.{place}.parts.{number}"
            if isinstance(part, ToolResult):
                turn.results.append(_Result(part.call_id, self._write_result(part, path, turn)))
            elif (written := self._write_part(part, path)) is not None:
                turn.parts.append(written)
            if isinstance(part, ToolCall):
                turn.calls.append(part.id)

    def _write_part(self, part: Part, path: str) -> Json | None:
        if getattr(part, "cache", None) is not None:
            self._losses.hint(f"{path}.cache", "cache_control", "Gemini caches by itself.")
        match part:
            case Text():
                return self._write_text(part, path)
            case Refusal(text):
                return {"text": text}
            case Thinking(text, signature):
                return self._write_thought(text, signature, path)
            case ToolCall():
                return self._write_call(part, path)
            case Image() | Document() | Audio():
                written = write_medium(part, path, self._traits, self._losses)
                return written and {**written, **self._signed(getattr(part, "signature", None))}
            case Opaque(dialect, value):
                if dialect != "gemini":
                    self._losses.content(path, "opaque_part", OTHERS_PART)
                return value if dialect == "gemini" else None
            case RedactedThinking():
                self._losses.hint(path, "thinking", OTHERS_THOUGHTS)
                return None
            case ToolResult():
                return None  # results are written by themselves

    def _signed(self, signature: Signature | None) -> Json:
        """A signature, for whoever made it."""
        usable = signature is not None and signature.is_for("gemini", self._target.provider)
        return {"thoughtSignature": signature.data} if usable and signature is not None else {}

    def _write_text(self, part: Text, path: str) -> Json | None:
        signed = self._signed(part.signature)
        if part.citations:
            self._losses.hint(f"{path}.citations", "citations", "it has no place for what an earlier answer rests on.")
        if not part.text and not signed:
            self._losses.hint(path, "blank_text", "Gemini refuses empty texts.")
            return None
        return {"text": part.text, **signed}

    def _write_thought(self, text: str, signature: Signature | None, path: str) -> Json | None:
        signed = self._signed(signature)
        if signature is not None and signature.data and not signed:
            self._losses.hint(path, "thinking", OTHERS_THOUGHTS)
        return {"text": text, "thought": True, **signed} if text or signed else None

    def _write_call(self, call: ToolCall, path: str) -> Json:
        function: Json = {"name": self._names.get(call.name, call.name), "args": self._arguments(call, path)}
        return {"functionCall": {**self._id(call.id), **function}, **self._signed(call.signature)}

    def _arguments(self, call: ToolCall, path: str) -> Json:
        if call.custom:
            return custom_tools.wrap(call.arguments)
        if not call.arguments.strip():
            return {}
        try:
            args = jsonlib.loads(call.arguments)
        except ValueError:
            args = None
        if not isinstance(args, dict):
            self._losses.refuse(f"{path}.arguments", "must be the JSON text of an object for this model.")
        return args

    def _id(self, call_id: str) -> Json:
        bare = not call_id or is_place_id(call_id)
        return {} if bare else {"id": call_id}

    def _write_result(self, result: ToolResult, path: str, turn: _Turn) -> Json:
        name = self._tools.get(result.call_id) or result.name
        if not name:
            self._losses.refuse(
                f"{path}.call_id", "is that of no call before it, and Gemini wants the name of what was called."
            )
        if result.cache is not None:
            self._losses.hint(f"{path}.cache", "cache_control", "Gemini caches by itself.")
        texts = [part.text for part in result.parts if isinstance(part, Text)]
        inside: list[Json] = []
        for number, part in enumerate(result.parts):
            if not isinstance(part, Text):
                self._write_inside(part, f"{path}.parts.{number}", inside, turn)
        response = write_response("\n".join(texts), result.is_error)
        function: Json = {**self._id(result.call_id), "name": self._names.get(name, name), "response": response}
        return {"functionResponse": {**function, "parts": inside} if inside else function}

    def _write_inside(self, part: Part, path: str, inside: list[Json], turn: _Turn) -> None:
        """A medium of a result: inside of it where the model takes it there, behind it otherwise."""
        written = self._write_part(part, path)
        if written is None:
            return
        if self._traits.media_results and not isinstance(part, Audio):
            inside.append(written)
        else:
            self._losses.hint(path, "result_media", "this model sees it behind the result, not inside.")
            turn.moved.append(written)
