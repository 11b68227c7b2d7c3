"""One choice of a provider's stream: its chunks' deltas as blocks.

Text, refusals and thoughts are open one at a time: what comes next ends what came before. Calls stay open beside them
and each other until the choice ends, since their arguments may alternate. Numbering varies: OpenAI numbers calls,
Google and Mistral send whole ones without a number, others give all the same number and ids of their own.

What was said of the end is kept until the stream's end: OpenRouter says it twice, others before the last text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field, replace
from typing import Any

from gateway import jsonlib
from gateway.dialects import custom_tools
from gateway.dialects.conversation import (
    Citation,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Signature,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.deltas import Cited, Close, Delta, Finished, More, Open, Signed
from gateway.dialects.dialect import Plan
from gateway.dialects.names import Json
from gateway.dialects.openai_chat import DIALECT
from gateway.dialects.openai_chat.answer_reader import (
    content_parts,
    is_meant,
    made_id,
    read_annotations,
    read_ending,
    read_images,
    read_logprobs,
    restored,
    signer,
    text_of,
)
from gateway.dialects.openai_chat.thoughts import read_blocks, read_detail, read_extra, thought_text
from gateway.quick import dataclass

_PLAIN = "thought"
"""The key of thoughts that are a text, signed or not; those of `reasoning_details` have a key by their number."""


@dataclass(slots=True)
class _Said:
    """The open block of text or thoughts. `texts`: the thoughts so far; `rest`: what a detail has beside its text."""

    block: int
    kind: object
    texts: list[str] = field(default_factory=list)
    rest: Json = field(default_factory=dict)
    offset: int = 0


@dataclass(slots=True)
class _Call:
    """`block` is -1 until its name is known. `texts`: arguments that cannot go out yet. `meant`: an id or arguments
    came, so that it is a call."""

    id: str
    block: int = -1
    custom: bool = False
    wrapped: bool = False
    argued: bool = False
    meant: bool = False
    texts: list[str] = field(default_factory=list)
    signature: Signature | None = None


class ChoiceReader:
    """`blocks` gives the numbers of blocks, which all choices of a stream share."""

    __slots__ = (
        "_audio", "_blocks", "_calls", "_characters", "_cited", "_cited_urls", "_ending", "_found", "_heard", "_last",
        "_number", "_plan", "_refused", "_said", "_sign",
    )  # fmt: skip

    def __init__(self, number: int, plan: Plan, blocks: Iterator[int]) -> None:
        self._number = number
        self._plan = plan
        self._sign = signer(plan)
        self._blocks = blocks
        self._said: _Said | None = None
        self._calls: list[_Call] = []
        self._found: dict[object, _Call] = {}  # by number and by id
        self._last: _Call | None = None
        self._characters = 0
        self._cited: dict[Citation, bool] = {}  # whether it was told
        self._cited_urls: set[str] = set()
        self._audio: Json = {}
        self._heard: dict[str, list[str]] = {}  # pieces of audio and of what it says
        self._refused = False
        self._ending: Json = {}

    @property
    def finished(self) -> bool:
        """Whether the provider said why it stopped."""
        return bool(self._ending)

    def feed(self, choice: Json, seed: str) -> list[Delta]:
        """What a chunk says of this choice. `seed`: what tells the chunk from all others."""
        deltas: list[Delta] = []
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = choice.get("message")  # beside a delta it is what was said so far (Perplexity)
        if isinstance(delta, dict):
            self._think(delta, deltas)
            self._talk(delta, choice.get("logprobs"), deltas)
            calls = delta.get("tool_calls")
            for place, call in enumerate(calls if isinstance(calls, list) else ()):
                if isinstance(call, dict):
                    self._take_call(call, f"{seed}{place}", deltas)
            if isinstance(function := delta.get("function_call"), dict) and any(function.values()):
                self._take_call({"index": 0, "function": function}, seed, deltas)
            if isinstance(audio := delta.get("audio"), dict):
                self._hear(audio)
        if text_of(choice, "finish_reason"):
            self._ending = choice
        return deltas

    def cite(self, citation: Citation) -> None:
        """A source of the text that stands beside the choices, each once. Every chunk may repeat all of them."""
        if citation.url not in self._cited_urls:
            self._cite(citation)

    def _cite(self, citation: Citation) -> None:
        self._cited.setdefault(citation, False)
        self._cited_urls.add(citation.url)

    @property
    def nameless(self) -> bool:
        """Whether a tool was called and nobody knows which."""
        return any(call.block < 0 and call.meant for call in self._found.values())

    def finish(self) -> list[Delta]:
        """Ends all blocks and the choice."""
        deltas: list[Delta] = []
        if self._characters and not all(self._cited.values()):
            self._say(Text(""), "", deltas)  # what its sources belong to
        self._shut(deltas)
        self._audio |= {name: "".join(pieces) for name, pieces in self._heard.items()}
        if any(self._audio.values()):
            self._whole(Opaque(DIALECT, {"audio": self._audio}), deltas)
        for call in self._calls:
            if call.wrapped:
                deltas.append(More(call.block, custom_tools.unwrap("".join(call.texts))))
            elif not call.argued and not call.custom:
                deltas.append(More(call.block, "{}"))
            deltas.append(Close(call.block))
        ending = read_ending(self._ending, bool(self._calls), self._refused)
        deltas.append(Finished(ending, self._number))
        return deltas

    # --- text and thoughts -------------------------------------------------------------------------------------------

    def _talk(self, delta: Json, logprobs: Any, deltas: list[Delta]) -> None:
        known = read_logprobs(logprobs)
        for part in content_parts(delta.get("content")):
            match part:
                case Text():
                    self._say(Text(""), part.text, deltas, known)
                    self._characters += len(part.text)
                case Thinking():
                    self._say(Thinking(""), part.text, deltas)
                case _:
                    self._whole(part, deltas)
        if refusal := text_of(delta, "refusal"):
            self._refused = True
            self._say(Refusal(""), refusal, deltas, known)
        for image in read_images(delta):
            self._whole(image, deltas)
        for citation in read_annotations(delta):
            self._cite(citation)

    def _think(self, delta: Json, deltas: list[Delta]) -> None:
        """Thoughts in the richest form that the chunk has them in."""
        blocks = read_blocks(delta, self._sign)
        for part in blocks:
            self._take_block(part, deltas)
        details = delta.get("reasoning_details")
        thought = False
        for detail in details if isinstance(details, list) and not blocks else ():
            if isinstance(detail, dict):
                thought = self._take_detail(detail, deltas) or thought
        if not blocks and not thought and (text := thought_text(delta)):
            self._say(Thinking(""), text, deltas)
        if signature := read_extra(delta, self._sign):
            self._whole(RedactedThinking(signature), deltas)

    def _take_block(self, part: Part, deltas: list[Delta]) -> None:
        """One of `thinking_blocks`: a piece, or with its signature the whole of what came piece by piece."""
        if not isinstance(part, Thinking):
            self._whole(part, deltas)
            return
        if part.signature is None:
            self._say(Thinking(""), part.text, deltas)
            return
        said = self._said
        if said is None or said.kind != _PLAIN or "".join(said.texts) != part.text:
            said = self._say(Thinking(""), part.text, deltas)
        deltas.append(Signed(said.block, part.signature))
        self._shut(deltas)

    def _take_detail(self, detail: Json, deltas: list[Delta]) -> bool:
        """One of `reasoning_details`, or a piece of it. Gives whether it had text."""
        part = read_detail(detail, self._sign)
        if not isinstance(part, Thinking):
            self._whole(part, deltas)
            return False
        key = ("detail", detail.get("type"), repr(detail.get("index")))
        said = self._said
        if said is not None and said.kind == _PLAIN and part.text == "".join(said.texts):
            said.kind = key  # the whole of what came piece by piece
        else:
            said = self._say(part, part.text, deltas, kind=key)
        said.rest |= {name: value for name, value in detail.items() if name not in _DETAIL_TEXTS and value is not None}
        return bool(part.text)

    def _say(
        self, part: Part, text: str, deltas: list[Delta], logprobs: Json | None = None, kind: object = ""
    ) -> _Said:
        """More of a text or of thoughts, in the open block or a new one."""
        kind = kind or (_PLAIN if isinstance(part, Thinking) else type(part).__name__)
        said = self._said
        if said is None or said.kind != kind:
            self._shut(deltas)
            said = self._said = _Said(next(self._blocks), kind, offset=self._characters)
            beginning = Thinking("") if isinstance(part, Thinking) else part
            deltas.append(Open(said.block, beginning, self._number))
        if text or logprobs:
            deltas.append(More(said.block, text, logprobs))
        if isinstance(part, Thinking):
            said.texts.append(text)
        return said

    def _shut(self, deltas: list[Delta]) -> None:
        """Ends the open block of text or thoughts."""
        said, self._said = self._said, None
        if said is None:
            return
        if said.kind == "Text":
            self._tell_citations(said, deltas)
        if said.rest:
            deltas.append(Signed(said.block, self._sign(jsonlib.dumps(said.rest).decode())))
        deltas.append(Close(said.block))

    def _whole(self, part: Part, deltas: list[Delta]) -> None:
        """A part that comes at once."""
        self._shut(deltas)
        block = next(self._blocks)
        deltas += (Open(block, part, self._number), Close(block))

    def _tell_citations(self, said: _Said, deltas: list[Delta]) -> None:
        """Sources of the text, when it ends: their places are known by then."""
        for citation, told in self._cited.items():
            if told:
                continue
            self._cited[citation] = True
            if citation.start is not None and citation.end is not None:
                start, end = max(citation.start - said.offset, 0), max(citation.end - said.offset, 0)
                citation = replace(citation, start=start, end=end)
            deltas.append(Cited(said.block, citation))

    def _hear(self, audio: Json) -> None:
        """Audio comes in pieces, of which its data and its transcript are continued."""
        for name, value in audio.items():
            if name in _CONTINUED and isinstance(value, str):
                self._heard.setdefault(name, []).append(value)
            else:
                self._audio[name] = value

    # --- calls -------------------------------------------------------------------------------------------------------

    def _take_call(self, item: Json, seed: str, deltas: list[Delta]) -> None:
        function, custom = item.get("function"), item.get("custom")
        inside = custom if isinstance(custom, dict) and any(custom.values()) else function
        inside = inside if isinstance(inside, dict) else {}
        name = text_of(inside, "name")
        call = self._find_call(item, name, seed)
        call.meant = call.meant or is_meant(item, inside)
        if signature := read_extra(item, self._sign):
            call.signature = signature
            if call.block >= 0:
                deltas.append(Signed(call.block, signature))
        if name and call.block < 0:
            self._open_call(call, name, inside is custom, deltas)
        arguments = inside.get("input" if inside is custom else "arguments")
        if arguments is None or arguments == "":
            return
        text = arguments if isinstance(arguments, str) else jsonlib.dumps(arguments).decode()
        call.argued = True
        if call.block < 0 or call.wrapped:
            call.texts.append(text)
        else:
            deltas.append(More(call.block, text))

    def _find_call(self, item: Json, name: str, seed: str) -> _Call:
        """The call that a piece belongs to, or a new one."""
        index, call_id = item.get("index"), text_of(item, "id")
        if type(index) is int:
            key: object = index
        elif call_id or name or self._last is None:
            key = call_id or seed
        else:
            return self._last
        call = self._found.get(key)
        if call is None or (name and call_id and call_id != call.id):  # all may have the same number
            call = self._found[key] = _Call(call_id or made_id(seed))
            self._found.setdefault(call.id, call)
        self._last = call
        return call

    def _open_call(self, call: _Call, name: str, custom: bool, deltas: list[Delta]) -> None:
        self._shut(deltas)
        self._calls.append(call)
        call.block = next(self._blocks)
        call.wrapped = name in self._plan.custom
        call.custom = custom or call.wrapped
        part = ToolCall(call.id, restored({"name": name}, self._plan), "", call.custom)
        deltas.append(Open(call.block, part, self._number))
        if call.signature is not None:
            deltas.append(Signed(call.block, call.signature))
        if call.texts and not call.wrapped:
            deltas.append(More(call.block, "".join(call.texts)))


_DETAIL_TEXTS = ("text", "summary")
_CONTINUED = ("data", "transcript")
