"""Which keys an admin call means, and the export of keys.

An export is a JSON object a line, written as it is made: a hundred thousand keys are never in memory as text. Keys
themselves are only given on the admin socket, to whom the file permissions let in; no token gets them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from gateway import jsonlib
from gateway.api.bodies import read_object
from gateway.api.inbound import Inbound
from gateway.config.problems import did_you_mean
from gateway.errors import RequestError, sentence
from gateway.net.connection import Reply
from gateway.policy.verdict import Status
from gateway.secret import Secret
from gateway.upstream.key import Key
from gateway.upstream.keypool import KeyPool
from gateway.upstream.listing import describe, with_secret
from gateway.upstream.provider import Provider

BATCH = 500
"""Keys looked at in one turn of the loop, which takes up to 5 ms. There may be a hundred thousand."""

KEY_STATUSES = tuple(
    status.value
    for status in (
        Status.UNTESTED, Status.VALID, Status.SUSPECT, Status.INVALID_KEY, Status.NO_ACCESS, Status.NO_QUOTA,
        Status.NO_MODEL, Status.RATE_LIMITED, Status.SERVER_ERROR, Status.OVERLOADED, Status.TIMEOUT, Status.DISABLED,
    )
)  # fmt: skip
"""What a key can be, in the order of the documentation. The other statuses are those of attempts or proxies."""

NDJSON = (b"content-type", b"application/x-ndjson")


async def each_key(pool: KeyPool) -> AsyncIterator[Key]:
    """The keys that are there, without holding up the loop for all of them."""
    for n, key in enumerate(list(pool.standings.keys.values())):
        if n % BATCH == BATCH - 1:
            await asyncio.sleep(0)
        if not key.removed:
            yield key


async def matching(
    providers: Mapping[str, Provider], provider_name: str, pattern: str
) -> AsyncIterator[tuple[Provider, Key]]:
    """Keys by fingerprint (`…` may be typed as `...`), by the beginning of their digest, by a `*` pattern, or the
    one that is the pattern itself. Raises RequestError 404 for an unknown provider."""
    refuse_unknown(provider_name, providers)
    wanted, digest = pattern.replace("...", "…"), Secret(pattern).digest
    for provider in providers.values():
        if provider_name in ("", provider.name):
            async for key in each_key(provider.pool):
                if wanted == "*" or key.digest == digest or _looks_like(key, wanted):
                    yield provider, key


async def meant(
    providers: Mapping[str, Provider], provider_name: str, pattern: str
) -> AsyncIterator[tuple[Provider, Key]]:
    """As `matching`, for what is done to keys: raises RequestError 400 for a name without wildcards that several keys
    have, before any of them is given."""
    found = matching(providers, provider_name, pattern)
    if has_wildcard(pattern):
        async for each in found:
            yield each
        return
    named = [each async for each in found]  # of any number of keys these are few: they look alike
    refuse_ambiguous("keys", len({key.digest for _, key in named}))
    for each in named:
        yield each


def refuse_unknown(provider_name: str, providers: Mapping[str, Provider]) -> None:
    """Raises RequestError 404 for a name that no provider has; the empty one means all of them."""
    if provider_name and provider_name not in providers:
        hint = did_you_mean(provider_name, providers) or f"there are: {', '.join(providers) or 'none'}"
        message = sentence(f"There is no provider {provider_name[:100]!r}; {hint}")
        raise RequestError(404, "not_found", message, param="provider")


def has_wildcard(pattern: str) -> bool:
    """Whether several may be meant (`fnmatch`)."""
    return not {"*", "?", "["}.isdisjoint(pattern)


def refuse_ambiguous(noun: str, number: int) -> None:
    """Raises RequestError 400 when a name fits more than one."""
    if number > 1:
        raise RequestError(
            400,
            "invalid_request_error",
            f"{number} {noun} have that name; give the digest of one, which the list shows, or the whole "
            f"{'key' if noun == 'keys' else 'URL'}; or say with a * that several are meant.",
            param="pattern",
        )


def _looks_like(key: Key, wanted: str) -> bool:
    return fnmatchcase(key.fingerprint, wanted) or (len(wanted) >= 8 and key.digest.hex().startswith(wanted))


def parse_statuses(text: str, known: Iterable[str] = KEY_STATUSES) -> set[str]:
    """Of "valid,suspect"; empty for all. Raises RequestError 400 for a word that is no status."""
    statuses = set(text.split(",")) - {""}
    unknown = statuses.difference(known)
    if unknown:
        message = f"There is no status {sorted(unknown)[0][:100]!r}; there are: {', '.join(known)}."
        raise RequestError(400, "invalid_request_error", message, param="status")
    return statuses


def parse_limit(query: Mapping[str, list[str]], default: int) -> int:
    """The rows that a listing may have. Raises RequestError 400."""
    text = query.get("limit", [str(default)])[0]
    if not text.isdigit() or len(text) > 9:
        raise RequestError(400, "invalid_request_error", "'limit' must be a number.", param="limit")
    return int(text)


def asked(body: Mapping[str, Any]) -> tuple[str, str]:
    """The provider ("" for all) and the pattern that a body names. Raises RequestError 400."""
    pattern, provider = body.get("pattern"), body.get("provider") or ""
    if not isinstance(pattern, str) or not pattern:
        raise RequestError(400, "invalid_request_error", "'pattern' must name keys.", param="pattern")
    if not isinstance(provider, str):
        raise RequestError(400, "invalid_request_error", "'provider' must be a name.", param="provider")
    return provider, pattern


async def export_keys(providers: Mapping[str, Provider], inbound: Inbound, reply: Reply) -> None:
    """POST {"pattern"?, "provider"?, "status"?: "valid,…", "full"?}: a line for each key of which that is the status
    for all models. With `full` each line begins with the key itself."""
    if inbound.request.method != "POST":
        method = inbound.request.method[:20]
        raise RequestError(405, "method_not_allowed", f"{method} is not for this path.", extra={"allow": "POST"})
    body = read_object(inbound.request.body)
    provider_name, pattern = asked({"pattern": "*", **body})
    statuses = parse_statuses(str(body.get("status") or ""))
    full = body.get("full") is True
    if full and not inbound.identity.operator:
        raise RequestError(403, "permission_denied", "The keys themselves are only given on the admin socket.")
    rows = _rows(providers, provider_name, pattern, statuses, full)
    first = await anext(rows, b"")  # what is wrong with the question becomes an error, not half an answer
    await reply.start(200, [NDJSON, (b"cache-control", b"no-store"), *inbound.own_headers()])
    await reply.write(first)
    async for lines in rows:
        await reply.write(lines)
    await reply.end()


async def _rows(
    providers: Mapping[str, Provider], provider_name: str, pattern: str, statuses: set[str], full: bool
) -> AsyncIterator[bytes]:
    """Lines, some hundred at a time."""
    lines: list[bytes] = []
    async for provider, key in matching(providers, provider_name, pattern):
        if statuses and key.standing.status not in statuses:
            continue
        row = describe(provider.name, key, None, key.standing)
        lines.append(jsonlib.dumps(with_secret(row, key) if full else row) + b"\n")
        if len(lines) == BATCH:
            yield b"".join(lines)
            lines.clear()
    if lines:
        yield b"".join(lines)
