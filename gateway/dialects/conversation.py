"""One conversation in nobody's words: what all four dialects are translated through.

A dialect reads its own JSON into these values and writes its own JSON from them, so that four dialects need eight
converters and not sixteen. Everything here is frozen and compares by value; nothing here decides anything.

- A request is a list of messages of parts. The order of messages and parts is the client's. Results of tools are parts
  of a user's message, as with Anthropic and Gemini.
- What only one dialect knows stays as it came: a part as `Opaque`, a field of the request as `Extra`. The writer of the
  same dialect puts it back, any other notes a loss (`losses.py`).
- `None` is "not said"; a zero, an empty text and `False` were said.
- What a provider has signed (`Signature`) goes back to that provider alone; see `continuity.py`.
- `where` is the path in the client's body that a message, part or tool was read from ("messages.3.content.0"), "" where
  it was made by a provider. It says nothing of what is meant: two parts that differ in it are the same.

Sources: https://platform.openai.com/docs/api-reference/chat, https://platform.openai.com/docs/api-reference/responses,
https://platform.claude.com/docs/en/api/messages, https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any, Literal

from gateway.dialects.names import DialectName, Json
from gateway.quick import dataclass
from gateway.usage import Usage

Role = Literal["system", "developer", "user", "assistant"]


# --- parts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cache:
    """A mark that the prompt is to be cached up to here. `ttl` is "5m", "1h", or "" where it was not said."""

    ttl: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes of a medium are.

    "base64": `value` is the data without a data: prefix. "url": an address that anybody can fetch. "file": a name
    that only the provider behind `dialect` knows. "text": `value` is the text itself (documents only). `media_type`
    is "" where nobody said.
    """

    kind: Literal["base64", "url", "file", "text"]
    value: str
    media_type: str = ""
    dialect: str = ""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a provider has signed or encrypted. `dialect` is whose form it has; `provider` the gateway's name for who
    made it, "" where the client got it elsewhere or does not say."""

    data: str
    dialect: str
    provider: str = ""

    def is_for(self, dialect: str, provider: str) -> bool:
        """Whether this provider can read it."""
        return self.dialect == dialect and self.provider in ("", provider)


@dataclass(frozen=True, slots=True)
class Citation:
    """What a piece of an answer's text rests on. `start` and `end` are characters of that text, None where unknown."""

    url: str
    title: str = ""
    quote: str = ""
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    cache: Cache | None = None
    citations: tuple[Citation, ...] = ()
    signature: Signature | None = None  # Gemini signs texts, too
    where: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A text in which the model says that it will not."""

    text: str
    where: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Image:
    """`detail` is OpenAI's "low", "high", "auto" or "original"; "" where not said."""

    source: Source
    detail: str = ""
    cache: Cache | None = None
    signature: Signature | None = None
    where: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Document:
    """A PDF or a text that is given as a file. `name` is its file name or title."""

    source: Source
    name: str = ""
    context: str = ""
    citations: bool | None = None
    cache: Cache | None = None
    where: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Audio:
    source: Source
    where: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model wants a tool to be called. `arguments` is JSON text of an object as the model wrote it, "{}" for none;
    with `custom` it is free text. It may be malformed: who needs an object must say so, not guess."""

    id: str
    name: str
    arguments: str = "{}"
    custom: bool = False
    signature: Signature | None = None
    cache: Cache | None = None
    where: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gave. `parts` are Text, Image, Document, Audio or Opaque. `name` is "" where the dialect has
    none; `turns.py` finds it by the call."""

    call_id: str
    parts: tuple[Part, ...] = ()
    is_error: bool | None = None
    name: str = ""
    custom: bool = False
    cache: Cache | None = None
    where: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Thinking:
    """What the model thought, or a summary of it. `text` may be empty where only the signature was shown."""

    text: str
    signature: Signature | None = None
    where: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class RedactedThinking:
    """Thoughts that nobody but their provider can read."""

    signature: Signature
    where: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something that only `dialect` has a word for, as it came."""

    dialect: str
    value: Json = field(hash=False)
    where: str = field(default="", compare=False, repr=False)


Part = Text | Refusal | Image | Document | Audio | ToolCall | ToolResult | Thinking | RedactedThinking | Opaque


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `name` tells participants of the same role apart (OpenAI)."""

    role: Role
    parts: tuple[Part, ...]
    name: str = ""
    where: str = field(default="", compare=False, repr=False)


# --- requests --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the client runs. `parameters` is a JSON Schema, None where it takes none. `custom`: it takes free
    text instead, in the format that `grammar` gives (OpenAI's custom tools)."""

    name: str
    description: str = ""
    parameters: Json | None = field(default=None, hash=False)
    strict: bool | None = None
    custom: bool = False
    grammar: Json | None = field(default=None, hash=False)
    cache: Cache | None = None
    where: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """May ("auto"), must ("required") or must not ("none") the model call a tool. `only` names those it may call;
    "required" with one name is that very tool."""

    mode: Literal["auto", "required", "none"]
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """ "json": any JSON object. "schema": what `schema` describes."""

    kind: Literal["text", "json", "schema"]
    name: str = ""
    schema: Json | None = field(default=None, hash=False)
    strict: bool | None = None
    description: str = ""


EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""All words for how much to think, least first."""


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How much to think, in the words the client used: one of EFFORTS, or `budget` tokens, or `adaptive` (the model
    decides). `shown`: whether the client wants to see thoughts or their summary; `summary` is OpenAI's "auto",
    "concise" or "detailed"."""

    effort: str = ""
    budget: int | None = None
    adaptive: bool = False
    shown: bool | None = None
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Sampling:
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = field(default=None, hash=False)
    logprobs: bool | None = None
    top_logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class Extra:
    """A field of a request that only `dialect` knows. `content`: without it the answer would be to another question, so
    that it counts as content when it is lost. `internal`: the reader's own note for the writer of its dialect."""

    dialect: str
    name: str
    value: Any = field(hash=False)
    content: bool = False
    internal: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """A client's call, whatever dialect it came in.

    `max_tokens` bounds the answer, thoughts included. `stream_usage`: the client wants to see usage in its stream
    (always so but with Chat Completions). `user` is the client's word for its end user, `metadata` are OpenAI's pairs
    of texts. `cache_key` and `cache_retention` are OpenAI's hints for its prompt cache. `legacy_calls`: the client
    knows tools as Chat Completions had them before November 2023, as functions without ids, one call at a time.
    """

    dialect: DialectName
    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool | Opaque, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    sampling: Sampling = Sampling()
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    n: int | None = None
    reasoning: Reasoning | None = None
    verbosity: str = ""
    user: str = ""
    safety_identifier: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    service_tier: str = ""
    store: bool | None = None
    cache_key: str = ""
    cache_retention: str = ""
    stream: bool = False
    stream_usage: bool = True
    legacy_calls: bool = False
    extra: tuple[Extra, ...] = ()

    @property
    def thoughts_shown(self) -> bool | None:
        """Whether the client wants to see thoughts: as it says, or as its own dialect would have it where it says
        nothing. A summary is asked for to be seen, and Anthropic shows the thoughts of models that have a budget."""
        if self.reasoning is None or self.reasoning.shown is not None:
            return None if self.reasoning is None else self.reasoning.shown
        budgeted = self.dialect == "anthropic" and self.reasoning.budget is not None
        return True if self.reasoning.summary or budgeted else None


# --- answers ---------------------------------------------------------------------------------------------------------


class Finish(StrEnum):
    """Why the model stopped. STOP_SEQUENCE: at one of the client's texts. PAUSE: the provider wants to go on in another
    call. ERROR: the model wrote what the provider could not read."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    PAUSE = "pause"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Ending:
    """`native` is the provider's own word, "" where it said none; `stop_sequence` the text it stopped at."""

    finish: Finish
    native: str = ""
    stop_sequence: str | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers. `logprobs` is OpenAI's `{"content": […], "refusal": …}`."""

    parts: tuple[Part, ...]
    ending: Ending
    logprobs: Json | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """`id` is the provider's, "" where it gave none. `model` is what it says it is. `created` is in unix seconds, 0
    where not said. `usage` is None where not reported."""

    id: str
    model: str
    choices: tuple[Choice, ...]
    usage: Usage | None = None
    created: int = 0
    service_tier: str = ""
