"""A client's call as its surface has read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.conductor.auth import Identity
from gateway.dialects.names import DialectName
from gateway.errors import UpstreamError
from gateway.quick import dataclass

Header = tuple[bytes, bytes]

COMMENT = b": keepalive\n\n"
"""What keeps a quiet stream alive: a comment, which every SSE reader ignores.
https://html.spec.whatwg.org/multipage/server-sent-events.html"""


SHAPES: dict[DialectName, str] = {
    "openai_chat": "chat",
    "openai_responses": "responses",
    "anthropic": "messages",
    "gemini": "generate",
}
"""How answers of a conversation are read, by dialect."""


FREE = frozenset({"count_tokens", "count", "stored"})
"""Shapes of calls that use no tokens, and that providers do not charge for: they count some, or ask for what there is
already."""


@dataclass(slots=True)
class Ask:
    """`path` is the dialect's own, after the version; with Gemini it has `{model}` where the model stands. On `/p/…`,
    which has no dialect, it is the path at the provider's origin. `headers` go with it.

    `shape` says what is asked and how its answers are read, as in `upstream.exchange.Call`. `fields` is the JSON
    object in the body, `with_model` makes the same body with another model. `provider` is set where the path names
    one, `continues` is the id of an answer that this call builds on, `session` the client's own word for its
    conversation. `metered`: tokens are limited, so that a stream has to report them. `error_event` says in a stream
    that it broke, `keepalive` that it goes on (empty: nothing does).
    """

    method: bytes
    dialect: DialectName | None
    path: str
    query: str
    headers: tuple[Header, ...]
    body: bytes
    model: str
    shape: str
    identity: Identity
    stream: bool = False
    with_model: Callable[[str], bytes] | None = None
    provider: str = ""
    continues: str = ""
    fields: Mapping[str, Any] | None = None
    session: str = ""
    error_event: Callable[[UpstreamError], bytes] | None = None
    keepalive: bytes = COMMENT
    metered: bool = False
    array: bool = False  # a stream is wanted as one JSON array (Gemini without alt=sse)
    cache_control: bytes = b""  # the header, for the response cache alone
    form_n: str | None = None  # how many pictures a form asks for; of JSON `fields` has it

    def forget_body(self) -> None:
        """Nobody asks any more what it said."""
        self.body, self.fields, self.with_model = b"", None, None


REPORTS_IF_ASKED = frozenset({"chat", "completions"})
"""Shapes whose streams report usage to those alone who ask for it."""


def may_ask_for_usage(ask: Ask) -> bool:
    """Whether a stream would report its usage, but has not been asked to.
    https://platform.openai.com/docs/api-reference/chat/create#chat_create-stream_options"""
    if not ask.stream or ask.fields is None or ask.shape not in REPORTS_IF_ASKED:
        return False
    options = ask.fields.get("stream_options")
    return not (isinstance(options, dict) and options.get("include_usage") is True)


def has_several(ask: Ask) -> bool:
    """Whether more than one answer was asked for."""
    fields = ask.fields or {}
    if ask.shape != "generate":
        return fields.get("n") not in (None, 1) or isinstance(fields.get("prompt"), list)
    config = fields.get("generationConfig") or fields.get("generation_config")
    if not isinstance(config, dict):
        return False
    return (config.get("candidateCount") or config.get("candidate_count")) not in (None, 0, 1, "1")


def conversation(ask: Ask) -> str:
    """What tells the conversation a request belongs to: the body's own word, the header x-session-id, or the user."""
    fields = ask.fields or {}
    metadata = fields.get("metadata")
    user = fields.get("user") or (metadata.get("user_id") if isinstance(metadata, dict) else None)
    for said in (fields.get("prompt_cache_key"), ask.session, fields.get("safety_identifier"), user):
        if isinstance(said, str) and said:
            return said
    return ""
