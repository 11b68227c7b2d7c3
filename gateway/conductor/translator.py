"""Whether a call has to be translated. Only then are dialects and the neutral conversation loaded, in a thread, so that
the first such call does not hold up the others."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from gateway.conductor.ask import SHAPES, Ask
from gateway.dialects.names import LEAST_SIGNATURE, SEALED, DialectName
from gateway.errors import RequestError
from gateway.upstream.provider import Provider

if TYPE_CHECKING:
    from gateway.conductor.crossing import Crossing
    from gateway.dialects.registry import Dialect

EMBEDDINGS = frozenset({"embeddings", "embed"})
"""Shapes of calls for vectors, OpenAI's and Gemini's."""

CONVERSATIONS = frozenset(SHAPES.values()) | {"completions"}
"""Shapes whose streams can be made of a whole answer."""

SEAL = SEALED.encode()

FOREIGN_SIGNATURE = re.compile(rb'"signature":\s*"[^"]{0,%d}"' % (LEAST_SIGNATURE - 1))
"""Of thoughts in a request of Anthropic's dialect: none, as this gateway shows the thoughts of most providers, or
another server's. Claude answers 400 "Invalid `signature` in `thinking` block" (GoModel#964, claude-code-hub#518). An
argument of a tool may look like it, which does no harm."""

LOAD_SECONDS = 30.0
"""For loading a dialect from the disk: a tenth of a second, unless the disk hangs."""


class Translator:
    """Makes translations. `clock` gives unix seconds, `new_id` a random text for ids that an answer lacks."""

    def __init__(self, on_loss: str, clock: Callable[[], float], new_id: Callable[[], str]) -> None:
        self._on_loss = on_loss
        self._clock = clock
        self._new_id = new_id
        self._dialects: dict[DialectName, Dialect] = {}

    async def translate(self, ask: Ask, provider: Provider, model: str) -> Crossing | None:
        """None: the provider takes the call as it is. Raises RequestError 400 for what cannot be said to it."""
        dialect = ask.dialect
        if dialect is None:
            return None
        native = dialect in provider.endpoints
        whole = ask.stream and ask.shape in CONVERSATIONS and provider.config.streaming.mode == "disabled"
        if ask.shape in EMBEDDINGS:
            other: DialectName = "gemini" if dialect == "openai_chat" else "openai_chat"
            if native or other not in provider.endpoints:
                return None
            client, upstream = await self._dialect(dialect), await self._dialect(other)
            from gateway.conductor.translation import translate_embedding

            return translate_embedding(ask, client, upstream, model, self._on_loss)
        conversation = ask.shape == SHAPES[dialect]
        if native and not (conversation and _is_foreign(ask, model)):
            return await self._unstreamed(ask, dialect, model) if whole else None
        if not conversation:
            return None
        client = await self._dialect(dialect)
        upstream = client if native else await self._upstream(ask, provider, model)
        from gateway.conductor.translation import translate

        now, new_id = self._clock(), self._new_id()
        return translate(ask, client, upstream, provider, model, self._on_loss, now, new_id, whole=whole)

    async def _unstreamed(self, ask: Ask, dialect: DialectName, model: str) -> Crossing:
        own = await self._dialect(dialect)
        from gateway.conductor.unstreamed import Unstreamed

        if model == ask.model or ask.with_model is None:
            return Unstreamed(ask, own, ask.body, "")
        return Unstreamed(ask, own, ask.with_model(model), ask.model)

    async def count(self, ask: Ask, provider: Provider, model: str) -> Crossing | None:
        """For a call for a count in a dialect that the provider does not speak. None: there is nothing that counts in
        its own either, or it cannot be said there."""
        assert ask.dialect is not None
        other: DialectName = "anthropic" if ask.dialect == "gemini" else "gemini"
        if provider.type.name != other or other not in provider.endpoints:
            return None
        client, upstream = await self._dialect(ask.dialect), await self._dialect(other)
        from gateway.conductor.counting import Counting

        try:
            return Counting(ask, client, upstream, provider, model)
        except RequestError:
            return None

    async def _upstream(self, ask: Ask, provider: Provider, model: str) -> Dialect:
        """The dialect that a provider is asked in: the first of its own, but Responses where OpenAI's models do not
        think beside tools in Chat Completions (https://developers.openai.com/api/docs/guides/latest-model,
        openai-openapi#541). Servers with quirks are not OpenAI's, and know no such rule."""
        first = await self._dialect(cast(DialectName, provider.dialect))
        tools = ask.fields is not None and ask.fields.get("tools")
        if not tools or provider.quirks or first.name != "openai_chat" or "openai_responses" not in provider.endpoints:
            return first
        from gateway.dialects.openai_chat.models import traits_of  # loaded with its dialect

        return await self._dialect("openai_responses") if traits_of(model).tools_at_none else first

    async def estimate(self, ask: Ask) -> int:
        """About how many input tokens a request has. Raises RequestError 400 for one that cannot be read."""
        assert ask.dialect is not None
        dialect = await self._dialect(ask.dialect)
        from gateway.conductor.translation import estimate

        return estimate(ask, dialect)

    async def _dialect(self, name: DialectName) -> Dialect:
        dialect = self._dialects.get(name)
        if dialect is None:
            async with asyncio.timeout(LOAD_SECONDS):
                dialect = await asyncio.to_thread(_load, name)
            self._dialects[name] = dialect
        return dialect


def _is_foreign(ask: Ask, model: str) -> bool:
    """Whether a request has what the provider refuses, though it is in the provider's dialect: what another one has
    signed, or for a Claude, what it cannot have. Searches bytes only: this is done for every call."""
    if ask.body.find(SEAL) >= 0:
        return True
    return ask.dialect == "anthropic" and "claude" in model.lower() and FOREIGN_SIGNATURE.search(ask.body) is not None


def _load(name: DialectName) -> Dialect:
    from gateway.dialects.registry import load_dialect

    return load_dialect(name)
