"""One call for a count of tokens whose client and provider speak different dialects, of Anthropic's and Gemini's.

What is counted is the request as the provider would get it. Nothing here is imported before a call needs it.
"""

from __future__ import annotations

from functools import partial

from gateway import jsonlib
from gateway.conductor.ask import Ask
from gateway.conductor.translation import counted_fields, read_counted, too_deep, translate_failure
from gateway.dialects.client_names import client_name
from gateway.dialects.dialect import MalformedAnswerError, Target
from gateway.dialects.losses import Losses, notice
from gateway.dialects.names import DialectName, Json
from gateway.dialects.registry import Dialect
from gateway.upstream.provider import Provider
from gateway.usage import Usage
from gateway.wire.output_tap import OutputTap

MESSAGES_FIELDS = frozenset({"messages", "model", "output_config", "system", "thinking", "tool_choice", "tools"})
"""What Anthropic's endpoint takes of a request; others are a 400 (`message_count_tokens_params.py` of its SDK)."""

FIELDS: dict[DialectName, str] = {"anthropic": "input_tokens", "gemini": "totalTokens"}


class Counting:
    """What `Translation` is for conversations. Raises RequestError 400 for what cannot be said to the provider."""

    def __init__(self, ask: Ask, client: Dialect, upstream: Dialect, provider: Provider, model: str) -> None:
        self._client = client
        self._upstream = upstream
        self._count = 0
        self.streamed = False
        self.usage: Usage | None = None  # it takes none
        self.output = OutputTap("")
        target = Target(provider.name, model, provider.quirks)
        losses = Losses()
        try:
            request = read_counted(ask, client, losses)
            losses.name = partial(client_name, request=request, body=counted_fields(ask), names=client.client_names)
            written = upstream.write_request(request, target, losses).body
            self.body = jsonlib.dumps(_asked(upstream.name, written, model))
        except (RecursionError, TypeError):
            raise too_deep() from None
        self.dropped = notice(losses)

    @property
    def dialect(self) -> DialectName:
        return self._upstream.name

    @property
    def shape(self) -> str:
        return "count" if self._upstream.name == "gemini" else "count_tokens"

    @property
    def place(self) -> tuple[str, str]:
        return ("/models/{model}:countTokens" if self._upstream.name == "gemini" else "/messages/count_tokens"), ""

    def read(self, decoded: object) -> None:
        """The count. See `upstream.reading.Reading`."""
        count = decoded.get(FIELDS[self._upstream.name]) if isinstance(decoded, dict) else None
        if type(count) is not int:
            raise MalformedAnswerError("it has no count of tokens")
        self._count = count

    def read_stream(self, body: bytes) -> None:
        raise MalformedAnswerError("a count does not come as a stream")

    def written(self) -> bytes:
        return jsonlib.dumps({FIELDS[self._client.name]: self._count})

    def failure(self, status: int, said: object) -> tuple[int, bytes, float | None]:
        return translate_failure(self._client, self._upstream, status, said)


def _asked(dialect: DialectName, written: Json, model: str) -> Json:
    if dialect == "gemini":
        return {"generateContentRequest": {**written, "model": f"models/{model}"}}
    return {name: value for name, value in written.items() if name in MESSAGES_FIELDS}
