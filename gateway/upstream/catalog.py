"""Which models there are, and who serves them.

A provider with configured models serves exactly those. Any other is asked for its list, page by page, unless that has
other names than requests use (Azure's deployments). A list is believed for `models_ttl` seconds; while it cannot be
had, the last one stands. One question at a time per provider,
each bounded, and never because of a request that can be routed without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from gateway.policy.verdict import Verdict
from gateway.providers.questions import ListedModel, next_page, read_models
from gateway.quick import dataclass
from gateway.upstream.exchange import Exchange
from gateway.upstream.key import Lease
from gateway.upstream.provider import Provider
from gateway.upstream.questions import listing_call

ASK_SECONDS = 10.0
"""How long a provider may take over its list; a client that wants the merged list waits at most this long."""

RETIRE_SECONDS = 2 * ASK_SECONDS
"""After a reload, until no request that began before it waits for the models of the old configuration."""

ASK_AGAIN = 60.0
"""Seconds before a provider that did not answer is asked again."""

MODELS_LIMIT = 20_000
"""Models kept per provider."""


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of a list. `provider` is whose list it is in, `created` in unix seconds, 0 if unknown, `providers` are
    all who may serve it, in the order in which they are asked."""

    id: str
    provider: str
    created: int = 0
    providers: tuple[str, ...] = ()


class Catalog:
    """The models of the enabled providers, by provider and by name."""

    def __init__(self, providers: Mapping[str, Provider], exchange: Exchange, clock: Callable[[], float]) -> None:
        self._providers = providers
        self._exchange = exchange
        self._clock = clock
        self._lists: dict[str, tuple[Model, ...]] = {}
        self._ask_at: dict[str, float] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._serving: dict[str, list[Provider]] = {}
        for provider in providers.values():
            if provider.models:
                self._lists[provider.name] = tuple(Model(name, provider.name) for name in provider.models)
        self._index()

    def serving(self, model: str) -> list[Provider]:
        """Providers that list the model, those of the highest priority first."""
        return self._serving.get(model, [])

    def knows(self, provider: str) -> bool:
        """Whether the provider's list is known, by configuration or because it was asked."""
        return provider in self._lists

    def names(self) -> Iterable[str]:
        return self._serving

    async def learn(self) -> bool:
        """Ask every provider whose list is missing or old. True if anybody was asked."""
        now = self._clock()
        due = [
            provider
            for provider in self._providers.values()
            if not provider.models and provider.type.lists_models and self._ask_at.get(provider.name, 0.0) <= now
        ]
        if due:
            await asyncio.gather(*(asyncio.shield(self._ask_once(provider)) for provider in due))
        return bool(due)

    async def models(self) -> list[Model]:
        """Every model once per provider that lists it, merged: the first provider by priority owns a name."""
        await self.learn()
        owned = {model: providers[0].name for model, providers in self._serving.items()}
        return [model for models in self._lists.values() for model in models if owned.get(model.id) == model.provider]

    async def close(self) -> None:
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def retire(self) -> None:
        """After a reload made another: let go of it when nobody can be asking for its lists any more."""
        await asyncio.sleep(RETIRE_SECONDS)
        await self.close()

    def _ask_once(self, provider: Provider) -> asyncio.Task[None]:
        task = self._asking.get(provider.name)
        if task is None:
            task = asyncio.create_task(self._ask(provider), name=f"models of {provider.name}")
            self._asking[provider.name] = task
            task.add_done_callback(lambda _: self._asking.pop(provider.name, None))
        return task

    async def _ask(self, provider: Provider) -> None:
        models = await self._fetch(provider)
        if models is None:
            self._ask_at[provider.name] = self._clock() + ASK_AGAIN
            return
        self._ask_at[provider.name] = self._clock() + provider.config.models_ttl
        self._lists[provider.name] = models
        self._index()

    async def _fetch(self, provider: Provider) -> tuple[Model, ...] | None:
        lease = provider.pool.lease("")
        if lease is None:
            return None
        verdict = None
        try:
            verdict, models = await self._fetch_pages(provider, lease)
        finally:
            if verdict is None:
                provider.pool.release(lease)  # listing models says nothing about quota
        if verdict is not None:
            told = provider.pool.unlisted if verdict.blames_provider else provider.pool.report
            told(lease, verdict)
        return models

    async def _fetch_pages(self, provider: Provider, lease: Lease) -> tuple[Verdict | None, tuple[Model, ...] | None]:
        """The whole list, or None, and the verdict that was in its way."""
        deadline = asyncio.get_running_loop().time() + ASK_SECONDS
        listed: list[ListedModel] = []
        query = ""
        while len(listed) < MODELS_LIMIT:
            outcome = await self._exchange.call(provider, lease.key, listing_call(provider, query), deadline)
            lease.way = outcome.way
            outcome.close()
            page = read_models(outcome.decoded) if outcome.verdict is None else None
            if page is None:
                return outcome.verdict, None
            listed.extend(page)
            query = next_page(provider.dialect, outcome.decoded) if page else ""
            if not query:
                break
        models = {name: Model(name, provider.name, created) for name, created in listed[:MODELS_LIMIT]}
        return None, tuple(models.values())

    def _index(self) -> None:
        serving: dict[str, list[Provider]] = {}
        for name, models in self._lists.items():
            for model in models:
                serving.setdefault(model.id, []).append(self._providers[name])
        for providers in serving.values():
            providers.sort(key=lambda provider: -provider.config.priority)
        self._serving = serving
