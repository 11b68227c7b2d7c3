"""Which requests the response cache is for, and what makes two of them the same. Pure.

Two requests are the same if nobody who reads them can tell them apart: the order of names in JSON objects, spacing and
escapes mean nothing, everything else does. A body that two readers may understand differently, since it says a name
twice, is the same as the very same bytes alone; or whoever shares the cache could have others given an answer to a
question that they have not asked.

The model is the provider's and its name there, as resolved for this client, beside the name in the body: a token that
may not use a provider gets no answer of its, another target of an alias gives other answers, and the name in the answer
is the one that was asked for. Of several targets all count, whichever has answered: those who may use the same ones
share.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from gateway import jsonlib
from gateway.conductor.ask import Ask

SHAPES = frozenset({"chat", "completions", "responses", "messages", "generate", "embeddings", "embed"})
"""Calls that ask for something and leave nothing behind."""

VERSIONS = frozenset({b"anthropic-version", b"anthropic-beta", b"openai-beta"})
"""A client's headers that change what is answered."""

STATEFUL = ("previous_response_id", "conversation", "background", "container", "mcp_servers")
"""Fields of requests that go on from what the provider keeps, or that act beyond their answer."""

CANONICAL_LIMIT = 128 * 1024
"""Bytes of a body that is read for its key, at 15 ms a megabyte. A longer one must come again byte for byte."""

NUMBER = "\ud800"
"""Stands before a number, to tell it from every text: half a surrogate pair, which no JSON that comes here has."""


class Wishes(NamedTuple):
    """What a client's Cache-Control asks for. https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1"""

    read: bool = True
    store: bool = True
    max_age: float | None = None


def read_wishes(field: bytes) -> Wishes:
    """`no-cache`, `no-store` and `max-age`; a max-age that is no number is none at all, so nothing is fresh enough."""
    read, store, max_age = True, True, None
    for directive in field.lower().split(b","):
        name, _, value = directive.strip().partition(b"=")
        if name == b"no-cache":
            read = False
        elif name == b"no-store":
            read = store = False
        elif name == b"max-age":
            value = value.strip(b'"')
            max_age = min(float(value), 1e9) if value.isdigit() else 0.0
    return Wishes(read, store, max_age)


def is_cacheable(ask: Ask) -> bool:
    """Whether the same answer may be given again. A stored one is no such: its id can be continued, changed and
    deleted. OpenAI stores every Responses answer unless it is told not to, and no other."""
    fields = ask.fields
    if fields is None or ask.shape not in SHAPES or ask.continues:
        return False
    if fields.get("store") is not False and (ask.shape == "responses" or fields.get("store")):
        return False
    return not any(fields.get(name) for name in STATEFUL) and not _acts(fields.get("tools"))


def _acts(tools: object) -> bool:
    """Whether the provider may call MCP servers, which do things."""
    return isinstance(tools, list) and any(
        isinstance(tool, dict) and str(tool.get("type", "")).startswith("mcp") for tool in tools
    )


def key_of(ask: Ask, provider: str, model: str, *, shared: bool) -> bytes:
    """32 bytes. `provider` and `model` are those that may be asked (`Plan.place`)."""
    identity = ask.identity
    parts = [
        None if shared else [bool(identity.token), identity.user],
        ask.dialect,
        ask.shape,
        ask.path,
        ask.query,
        ask.model,
        provider,
        model,
        sorted((name.decode("latin-1"), value.decode("latin-1")) for name, value in ask.headers if name in VERSIONS),
    ]
    digest = hashlib.sha256(jsonlib.dumps(parts))
    digest.update(canonical(ask.body))
    return digest.digest()


def canonical(body: bytes) -> bytes:
    """The same for JSON that says the same; numbers stay as they are written. What cannot be read for certain stays as
    it is, behind a mark."""
    if len(body) > CANONICAL_LIMIT:
        return b"\0" + body
    try:
        return _ENCODER.encode(_DECODER.decode(body.decode())).encode()
    except (ValueError, RecursionError):
        return b"\0" + body


def _unique(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name is said twice")
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=NUMBER.__add__, parse_int=NUMBER.__add__)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
