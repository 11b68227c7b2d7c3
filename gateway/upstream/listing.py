"""Keys as rows for people and scripts: what listings, exports and inventories say of a key.

A key is named by its fingerprint and the beginning of its digest; its secret is in a row only where somebody has asked
for it in so many words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.policy.health import Standing
from gateway.upstream.key import Key

DIGEST_DIGITS = 16
"""Hex digits of a digest that are shown: enough to tell a hundred thousand keys apart."""


def standings(key: Key) -> Iterator[tuple[str | None, Standing]]:
    """By model; None: what counts for all models. Safe in a thread."""
    yield None, key.standing
    yield from list((key.models or {}).items())


def named(provider: str, key: Key) -> dict[str, Any]:
    """{"provider", "key", "digest"}"""
    return {"provider": provider, "key": key.fingerprint, "digest": key.digest.hex()[:DIGEST_DIGITS]}


def describe(provider: str, key: Key, model: str | None, standing: Standing) -> dict[str, Any]:
    """Everything that is known of a key for a model, but for its secret. Times are unix seconds."""
    return {
        **named(provider, key),
        "model": model,
        "status": standing.status.value,
        "reason": standing.reason,
        "until": standing.until,
        "provenance": standing.provenance.value,
        "last_error": standing.evidence,
        "failing_since": standing.failing_since,
        "checked_at": key.checked_at or None,
        "labels": dict(key.labels),
    }


def with_secret(row: dict[str, Any], key: Key) -> dict[str, Any]:
    """The row with the key itself as "value", as key files have it. For callers who were asked to show secrets."""
    return {"value": key.secret.reveal(), **row}
