"""A streamed answer for a client of this dialect: events with `alt=sse`, one JSON array without.

Every event is a GenerateContentResponse with what is new. Calls go out whole, since Google's have no pieces; a
signature that comes behind its words goes out with an empty text of their kind. Usage and the reason of the end stand
in the last event, whose text may be empty but is there: Google's SDK takes a turn with an empty event out of its
history.

Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent; the array's line ends are those
of Google's servers.
"""

from __future__ import annotations

from dataclasses import field, replace

from gateway import jsonlib
from gateway.dialects.conversation import Citation, Ending, Part, Refusal, Signature, Text, Thinking, ToolCall
from gateway.dialects.deltas import Begin, Broken, Cited, Delta, End, Finished, More, Open, Signed, Used
from gateway.dialects.dialect import Scene
from gateway.dialects.gemini.answer_writer import write_frame
from gateway.dialects.gemini.citations import write_citations
from gateway.dialects.gemini.errors import write_failure
from gateway.dialects.gemini.finish import write_ending
from gateway.dialects.gemini.logprobs import write_logprobs
from gateway.dialects.gemini.part_writer import write_call, write_part, write_signature
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.quick import dataclass
from gateway.usage import Usage


@dataclass(slots=True)
class _Block:
    """An open block. `words` are its text, or a call's arguments."""

    part: Part
    choice: int
    words: list[str] = field(default_factory=list)
    signature: Signature | None = None
    citations: list[Citation] = field(default_factory=list)


@dataclass(slots=True)
class _Choice:
    """What is to be said of a choice with the next event, and with the last one. `texts` are all that it said, which
    citations count in, so many `characters`."""

    parts: list[Json] = field(default_factory=list)
    logprobs: list[Json] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    characters: int = 0
    citations: list[Citation] = field(default_factory=list)
    ending: Ending | None = None


class StreamWriter:
    """One stream. `array`: the client did not ask for `alt=sse`."""

    __slots__ = ("_array", "_blocks", "_choices", "_ended", "_id", "_losses", "_scene", "_started", "_tier", "_usage")

    def __init__(self, scene: Scene, losses: Losses, *, array: bool = False) -> None:
        self._scene = scene
        self._losses = losses
        self._array = array
        self._blocks: dict[int, _Block] = {}
        self._choices: dict[int, _Choice] = {}
        self._usage: Usage | None = None
        self._id = ""
        self._tier = ""
        self._started = False
        self._ended = False

    def write(self, deltas: list[Delta]) -> bytes:
        """Whole events; empty where nothing is to be said yet."""
        events: list[bytes] = []
        for delta in deltas:
            if self._ended:
                break
            if isinstance(delta, End):
                self._ended = True
                events += [self._event(self._last()), self._tail()]
            elif isinstance(delta, Broken):
                self._ended = True
                events += [self._flush(), self._event(write_failure(delta.failure)), self._tail()]
            else:
                self._take(delta)
        return b"".join(events if self._ended else [self._flush()])

    def _take(self, delta: Delta) -> None:
        match delta:
            case Begin():
                self._id, self._tier, self._usage = delta.id, delta.service_tier, delta.usage
            case Open(block, part, choice):
                self._open(block, part, choice)
            case More(block, text, logprobs):
                self._more(self._blocks[block], text, logprobs)
            case Signed(block, signature):
                self._sign(self._blocks[block], signature)
            case Cited(block, citation):
                self._blocks[block].citations.append(citation)
            case Finished(ending, choice):
                self._choice(choice).ending = ending
            case Used(usage):
                self._usage = usage
            case _:
                self._close(delta.block)  # type: ignore[union-attr]

    def _choice(self, number: int) -> _Choice:
        return self._choices.setdefault(number, _Choice())

    def _open(self, number: int, part: Part, choice: int) -> None:
        block = self._blocks[number] = _Block(part, choice)
        if isinstance(part, ToolCall):
            block.words.append(part.arguments)
            block.signature = part.signature
        elif isinstance(part, Text | Refusal | Thinking):
            if part.text:
                self._more(block, part.text, None)
            if not isinstance(part, Refusal) and part.signature is not None:
                self._sign(block, part.signature)
        else:
            written = write_part(part, self._scene.provider, self._losses)
            if written is not None:
                self._choice(choice).parts.append(written)

    def _more(self, block: _Block, text: str, logprobs: Json | None) -> None:
        block.words.append(text)
        choice = self._choice(block.choice)
        if logprobs is not None:
            choice.logprobs.append(logprobs)
        if not isinstance(block.part, ToolCall) and text:
            choice.parts.append({"text": text, **_thought(block)})

    def _sign(self, block: _Block, signature: Signature) -> None:
        if isinstance(block.part, ToolCall):
            block.signature = signature
        else:
            signed = write_signature(signature, self._scene.provider)
            self._choice(block.choice).parts.append({"text": "", **_thought(block), **signed})

    def _close(self, number: int) -> None:
        block = self._blocks.pop(number)
        choice = self._choice(block.choice)
        text = "".join(block.words)
        if isinstance(block.part, ToolCall):
            call = replace(block.part, arguments=text, signature=block.signature)
            choice.parts.append(write_call(call, self._scene.provider))
        elif not isinstance(block.part, Thinking):
            choice.citations += [_moved(citation, choice.characters) for citation in block.citations]
            choice.texts.append(text)
            choice.characters += len(text)

    # --- events ------------------------------------------------------------------------------------------------------

    def _flush(self) -> bytes:
        """The event with all parts that are new; nothing if there are none."""
        candidates = [_candidate(number, choice) for number, choice in sorted(self._choices.items()) if choice.parts]
        return self._event({"candidates": candidates, **self._frame(None)}) if candidates else b""

    def _last(self) -> Json:
        candidates = []
        for number, choice in sorted(self._choices.items()):
            choice.parts = choice.parts or [{"text": ""}]
            candidate = _candidate(number, choice)
            if choice.ending is not None:
                candidate.update(write_ending(choice.ending))
            if choice.citations:
                text = "".join(choice.texts)
                cited = [(0, text, citation) for citation in choice.citations]
                candidate["groundingMetadata"] = write_citations(cited)
            candidates.append(candidate)
        return {"candidates": candidates, **self._frame(self._usage)}

    def _frame(self, usage: Usage | None) -> Json:
        return write_frame(self._id, usage, self._tier if usage is not None else "", self._scene)

    def _event(self, payload: Json) -> bytes:
        if not self._array:
            return b"data: " + jsonlib.dumps(payload) + b"\r\n\r\n"
        separator = b"\n,\r\n" if self._started else b"["
        self._started = True
        return separator + jsonlib.dumps_pretty(payload)

    def _tail(self) -> bytes:
        return b"\n]" if self._array else b""


def _moved(citation: Citation, begin: int) -> Citation:
    if citation.start is None or citation.end is None:
        return citation
    return replace(citation, start=citation.start + begin, end=citation.end + begin)


def _thought(block: _Block) -> Json:
    return {"thought": True} if isinstance(block.part, Thinking) else {}


def _candidate(number: int, choice: _Choice) -> Json:
    """What is new of a choice; it is said then."""
    candidate: Json = {"content": {"parts": choice.parts, "role": "model"}, "index": number}
    if choice.logprobs:
        content = [token for logprobs in choice.logprobs for token in logprobs.get("content") or ()]
        candidate["logprobsResult"] = write_logprobs({"content": content})
    choice.parts, choice.logprobs = [], []
    return candidate
