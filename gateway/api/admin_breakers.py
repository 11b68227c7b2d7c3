"""What is shut and why: `/admin/breakers…` and `/health/circuit-breakers`, and the operator's word on it.

Two things shut a provider off: its circuits (`upstream/breakers.py`) and the guard, for keys that are rejected alike
(`upstream/guard.py`). Here they are rows of one list, told apart by `of`: "provider", "proxy" or "keys".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from gateway.api.admin_keys import asked, refuse_unknown
from gateway.api.bodies import read_object
from gateway.api.inbound import Inbound
from gateway.policy.breaker import State
from gateway.upstream.breakers import Circuit
from gateway.upstream.provider import Provider


class BreakerAdmin:
    """`providers` by name."""

    def __init__(self, providers: Mapping[str, Provider]) -> None:
        self._providers = providers

    async def list(self, inbound: Inbound) -> dict[str, Any]:
        """GET ?provider: {"breakers": [row]}. Raises RequestError 404 for an unknown provider."""
        name = parse_qs(inbound.request.query).get("provider", [""])[0]
        return {"breakers": [row for provider in self._named(name) for row in breaker_rows(provider)]}

    async def reset(self, inbound: Inbound) -> dict[str, Any]:
        """POST {"provider"?}: close all circuits and open what the guard keeps shut. {"reset": [provider]}: where
        anything was shut."""
        done = []
        for provider in self._meant(inbound):
            tripped = provider.pool.guard.tripped
            provider.pool.reset_guard()
            provider.pool.forget_outage()
            if provider.pool.breakers.reset() or tripped:
                done.append(provider.name)
        return {"reset": done}

    async def reset_guard(self, inbound: Inbound) -> dict[str, Any]:
        """POST {"provider"?}: the common cause of many rejections is gone. {"reset": [provider]}."""
        tripped = [provider for provider in self._meant(inbound) if provider.pool.guard.tripped]
        for provider in tripped:
            provider.pool.reset_guard()
        return {"reset": [provider.name for provider in tripped]}

    def _meant(self, inbound: Inbound) -> Sequence[Provider]:
        name, _ = asked({"pattern": "*", **read_object(inbound.request.body)})
        return self._named(name)

    def _named(self, name: str) -> Sequence[Provider]:
        refuse_unknown(name, self._providers)
        return [provider for provider in self._providers.values() if name in ("", provider.name)]


def health_of_breakers(providers: Mapping[str, Provider], *, detailed: bool) -> dict[str, Any]:
    """{"status": "ok" or "degraded", "closed", "half_open", "open": numbers of providers} by what their requests meet;
    `detailed`: and "breakers", the rows."""
    counts = Counter(provider.pool.breakers.state() for provider in providers.values())
    guarded = any(provider.pool.guard.tripped for provider in providers.values())
    whole = not guarded and counts[State.CLOSED] == len(providers)
    answer: dict[str, Any] = {"status": "ok" if whole else "degraded"}
    answer |= {state.value: counts[state] for state in State}
    if detailed:
        answer["breakers"] = [row for provider in providers.values() for row in breaker_rows(provider)]
    return answer


def breaker_rows(provider: Provider) -> Iterator[dict[str, Any]]:
    """The provider's circuit, and whatever else is not closed. Times are unix seconds: `since` the present state,
    `until` it may be looked at, each null where there is none."""
    for circuit in provider.pool.breakers.circuits():
        if circuit.way is None or circuit.breaker.state is not State.CLOSED:
            yield _circuit_row(provider, circuit)
    guard = provider.pool.guard
    if guard.tripped:
        yield {
            "provider": provider.name,
            "of": "keys",
            "proxy": None if guard.way is None else guard.way.proxy.url.fingerprint,
            "state": State.OPEN.value,
            "mode": "auto_recovery",
            "since": guard.since,
            "until": guard.canary_at,
            "failures": len(guard.suspects()),
            "trials": int(guard.canary is not None),
            "openings": 1,
            "last_error": guard.evidence,
        }


def _circuit_row(provider: Provider, circuit: Circuit) -> dict[str, Any]:
    breaker, config = circuit.breaker, provider.pool.breakers.config
    return {
        "provider": provider.name,
        "of": "provider" if circuit.way is None else "proxy",
        "proxy": None if circuit.way is None else circuit.way.proxy.url.fingerprint,
        "state": breaker.state.value,
        "mode": config.mode if config.enabled else "off",
        "since": breaker.since or None,
        "until": breaker.until,
        "failures": breaker.failures_in_row,
        "trials": breaker.trials,
        "openings": breaker.openings,
        "last_error": circuit.last_error,
    }
