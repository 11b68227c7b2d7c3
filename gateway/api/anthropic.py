"""The Anthropic surface: Messages, the count of their tokens, and models where a client speaks Anthropic's dialect.

https://platform.claude.com/docs/en/api/messages. A body is parsed once; where the provider speaks the dialect, what is
sent on are the client's own bytes.
"""

from __future__ import annotations

from functools import partial

from gateway import jsonlib
from gateway.api.bodies import read_model, read_object, read_stream, require
from gateway.api.inbound import Inbound
from gateway.conductor.ask import Ask
from gateway.conductor.auth import without_credential
from gateway.conductor.conductor import Conductor
from gateway.conductor.rename import replace_model
from gateway.errors import UpstreamError
from gateway.net.connection import Reply
from gateway.providers.openai import ADDED_TO_REQUEST

FORWARDED = (b"content-type", b"accept", b"user-agent", b"idempotency-key", b"anthropic-version", b"anthropic-beta")

PING = b'event: ping\ndata: {"type": "ping"}\n\n'
"""What Anthropic itself sends in a quiet stream."""


class AnthropicSurface:
    """Reads what Anthropic's SDKs send into asks."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    async def messages(self, inbound: Inbound, reply: Reply) -> None:
        """`POST /v1/messages`"""
        ask = self._ask(inbound, "/messages", "messages")
        assert ask.fields is not None
        ask.stream = read_stream(dict(ask.fields))
        ask.error_event, ask.keepalive = _error_event, PING
        await self._conductor.serve(ask, reply, inbound.record)

    async def count_tokens(self, inbound: Inbound, reply: Reply) -> None:
        """`POST /v1/messages/count_tokens`: the provider's count, or an estimate that says so in a header."""
        ask = self._ask(inbound, "/messages/count_tokens", "count_tokens")
        await self._conductor.serve(ask, reply, inbound.record)

    def _ask(self, inbound: Inbound, path: str, shape: str) -> Ask:
        body, fields = inbound.request.body, inbound.fields
        decoded = read_object(body)
        model = read_model(decoded, body, inbound.identity)
        require(decoded, "messages", list)
        headers = [(name, fields[name]) for name in FORWARDED if name in fields]
        session = fields.get(b"x-session-id")
        return Ask(
            b"POST",
            "anthropic",
            path,
            without_credential(inbound.request.query),
            (*headers, *ADDED_TO_REQUEST),
            body,
            model,
            shape,
            inbound.identity,
            with_model=partial(replace_model, body, decoded),
            fields=decoded,
            session="" if session is None else session.decode("latin-1"),
            cache_control=fields.get(b"cache-control", b""),
        )


def _error_event(error: UpstreamError) -> bytes:
    """The last event of a stream that broke. https://platform.claude.com/docs/en/build-with-claude/streaming"""
    from gateway.conductor.stream_ends import broken_off
    from gateway.dialects.anthropic.errors import write_failure

    return b"event: error\ndata: %b\n\n" % jsonlib.dumps(write_failure(broken_off(error)))
