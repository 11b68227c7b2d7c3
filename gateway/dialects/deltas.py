"""A streamed answer in nobody's words: what the stream readers make and the stream writers take.

The grammar, which every reader keeps and every writer may rely on:

    stream  = Begin *(block | Finished | Used) (End | Broken)
    block   = Open *(More | Signed) Close        all with the same `block`

- A block is one part of the answer. `Open.part` is its beginning: `Text("")`, `Thinking("")`, `Refusal("")`, a
  `ToolCall` with `arguments=""`, or a whole part that nothing follows (an Image, RedactedThinking, Opaque).
- `block` numbers count up from 0 over all choices; blocks may be open beside each other (parallel calls in Chat
  Completions). `blocks.py` puts them one after the other for dialects that want that.
- All blocks of a choice are closed before its `Finished`. `Used` is cumulative, the last one counts; it may come first,
  last, or after `Finished`. After `End` or `Broken` nothing comes.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.dialects.conversation import Citation, Ending, Part, Signature
from gateway.dialects.failure import Failure
from gateway.dialects.names import Json
from gateway.usage import Usage


class Begin(NamedTuple):
    """`id`, `model` and `created` as in `Answer`; `usage` what is known of the input already."""

    id: str
    model: str
    created: int = 0
    usage: Usage | None = None
    service_tier: str = ""


class Open(NamedTuple):
    block: int
    part: Part
    choice: int = 0


class More(NamedTuple):
    """More of a text, of thoughts, or of a call's arguments."""

    block: int
    text: str
    logprobs: Json | None = None


class Signed(NamedTuple):
    """The signature of a block, which may come at any time before its `Close`."""

    block: int
    signature: Signature


class Cited(NamedTuple):
    block: int
    citation: Citation


class Close(NamedTuple):
    block: int


class Finished(NamedTuple):
    ending: Ending
    choice: int = 0


class Used(NamedTuple):
    usage: Usage


class End(NamedTuple):
    """The stream ended as its dialect says that streams end."""


class Broken(NamedTuple):
    """The provider failed inside its stream, or ended it before its end."""

    failure: Failure


Delta = Begin | Open | More | Signed | Cited | Close | Finished | Used | End | Broken
