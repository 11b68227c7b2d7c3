"""Lists of models, in the shape of whoever asks: OpenAI's, Anthropic's, Gemini's.

https://platform.openai.com/docs/api-reference/models, https://platform.claude.com/docs/en/api/models,
https://ai.google.dev/api/models. The list is always whole: there is no second page.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from gateway import jsonlib
from gateway.api.errors import JSON, surface_of
from gateway.api.inbound import Inbound
from gateway.conductor.auth import Identity
from gateway.conductor.routes import Route
from gateway.errors import RequestError
from gateway.net.connection import Reply
from gateway.upstream.catalog import Catalog, Model

OURS = "llmgateway"
"""Whose a route is."""


class ModelsSurface:
    def __init__(self, catalog: Catalog, routes: Mapping[str, Route]) -> None:
        self._catalog = catalog
        self._routes = routes

    async def all(self, inbound: Inbound, reply: Reply) -> None:
        """`GET /v1/models`, `GET /v1beta/models`: the routes, and the models of all providers, merged."""
        _, write_list = SHAPES[surface_of("GET", inbound.path, inbound.fields)]
        await _send(inbound, reply, write_list(await self._listed(inbound.identity)))

    async def one(self, inbound: Inbound, reply: Reply) -> None:
        """`GET /v1/models/ID`, `GET /v1beta/models/ID`"""
        write, _ = SHAPES[surface_of("GET", inbound.path, inbound.fields)]
        await _send(inbound, reply, write(await self._find(inbound)))

    async def _find(self, inbound: Inbound) -> Model:
        """An id may have slashes, and a provider's name in front. Raises RequestError 404."""
        wanted = unquote(inbound.path.partition("/models/")[2])
        listed = await self._listed(inbound.identity)
        for model in listed:
            if wanted == model.id:
                return model
        for model in listed:
            if model.provider != OURS and wanted in [f"{provider}/{model.id}" for provider in model.providers]:
                return model
        raise RequestError(404, "model_not_found", f"The model {wanted[:200]!r} does not exist.", param="model")

    async def _listed(self, identity: Identity) -> list[Model]:
        """What an identity may use, each with the providers that it would get."""
        models = [
            Model(name, OURS, 0, tuple(dict.fromkeys(target.provider.name for target in route.targets)))
            for name, route in self._routes.items()
        ]
        for model in await self._catalog.models():
            if model.id not in self._routes:
                serving = (provider.name for provider in self._catalog.serving(model.id))
                models.append(replace(model, providers=tuple(serving)))
        if identity.models:
            models = [model for model in models if model.id in identity.models]
        if not identity.providers:
            return models
        return [mine for model in models if (mine := _of(model, identity.providers)) is not None]


def _of(model: Model, allowed: Container[str]) -> Model | None:
    """A model as it is for somebody who may use these providers; None: it is not."""
    mine = tuple(name for name in model.providers if name in allowed)
    if not mine:
        return None
    return replace(model, provider=model.provider if model.provider == OURS else mine[0], providers=mine)


async def _send(inbound: Inbound, reply: Reply, body: dict[str, Any]) -> None:
    await reply.send(200, [JSON, *inbound.own_headers()], jsonlib.dumps(body))


def openai_list(models: list[Model]) -> dict[str, Any]:
    return {"object": "list", "data": [openai_entry(model) for model in models]}


def openai_entry(model: Model) -> dict[str, Any]:
    """`providers` is not OpenAI's."""
    entry = {"id": model.id, "object": "model", "created": model.created, "owned_by": model.provider}
    return {**entry, "providers": list(model.providers)}


def anthropic_list(models: list[Model]) -> dict[str, Any]:
    entries = [anthropic_entry(model) for model in models]
    ends = {"first_id": entries[0]["id"], "last_id": entries[-1]["id"]} if entries else {}
    return {"data": entries, "has_more": False, "first_id": None, "last_id": None, **ends}


def anthropic_entry(model: Model) -> dict[str, Any]:
    """`created_at` is the epoch where it is not known, as Anthropic itself does."""
    created = datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": model.id, "display_name": model.id, "created_at": created}


def gemini_entry(model: Model) -> dict[str, Any]:
    """Whether a model can do what all of them are said to is its provider's to say."""
    from gateway.dialects.gemini.listing import EMBEDS, GENERATES, write_model

    return write_model(model.id, methods=(*GENERATES, *EMBEDS))


def gemini_list(models: list[Model]) -> dict[str, Any]:
    return {"models": [gemini_entry(model) for model in models]}


SHAPES = {
    "openai": (openai_entry, openai_list),
    "anthropic": (anthropic_entry, anthropic_list),
    "gemini": (gemini_entry, gemini_list),
}
