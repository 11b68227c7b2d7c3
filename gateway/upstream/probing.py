"""Which keys of one provider want a probe, and about which statuses probes decide.

Here is only said what wants a probe, in the order it came up; the Keeper makes them, at its own pace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.config.provider import HealthConfig
from gateway.policy.health import LIFTED_BY_PROBE, LIFTED_FOR_MODEL, Standing
from gateway.policy.verdict import Status
from gateway.upstream.key import Key, Rest
from gateway.upstream.rotation import Rotation


class Probing:
    """`kind` is that of the probes, see `LIFTED_BY_PROBE`; `clock` gives unix seconds."""

    __slots__ = ("_clock", "_health", "_rotation", "came_up", "kind", "wanted")

    def __init__(self, health: HealthConfig, rotation: Rotation, clock: Callable[[], float]) -> None:
        self.kind = "none"
        self.wanted: dict[Rest, None] = {}  # in the order it came up; bounded by the keys and their models
        self.came_up = asyncio.Event()
        self._health = health
        self._rotation = rotation
        self._clock = clock

    def configure(self, kind: str, health: HealthConfig) -> None:
        """Take over what a reload may have changed. Of another kind, every key is to be placed and noted anew."""
        self.kind, self._health = kind, health
        rotation = self._rotation
        rotation.probed, rotation.probed_for_model = LIFTED_BY_PROBE[kind], LIFTED_FOR_MODEL[kind]
        if kind == "none":
            self.wanted.clear()

    def ask(self, key: Key, checked_before: float) -> None:
        """Let the Keeper look at a key, if a probe is to decide about it, or it was proven good before that time."""
        if key.standing.status is Status.VALID:
            ahead = key.checked_at > self._clock()  # the clock was set back
            if (ahead or key.checked_at <= checked_before) and self.kind != "none":
                self._want(Rest(key, None))
        else:
            self.note(Rest(key, None), key.standing)
        for model, standing in (key.models or {}).items():
            self.note(Rest(key, model), standing)

    def note(self, rest: Rest, standing: Standing) -> None:
        """Let the Keeper look at what only a probe decides about."""
        if self._decides(rest, standing):
            self._want(rest)

    def wants(self, rest: Rest) -> bool:
        """Whether a probe would still tell anything. A key that is being used tells by itself."""
        standing, key = rest.standing, rest.key
        if standing is None or key.removed or key.in_flight or key.paused_until is not None:
            return False
        if standing.status is Status.VALID:
            return not 0 <= self._clock() - key.checked_at < self._health.success / 2
        return self._decides(rest, standing)

    def awaits(self, rest: Rest, standing: Standing) -> str:
        """What is to decide about a key whose rest is over: a "probe", or a "try" by a request. Else "": it rests."""
        if not standing.due:
            return ""
        return "probe" if standing.status in self._rotation.probed_of(rest.key, rest.model) else "try"

    def confirmations(self, key: Key, model: str | None) -> int:
        """Rejections after the first one that make it certain: that many probes, or one live try where none decides."""
        probed = Status.SUSPECT in self._rotation.probed_of(key, model)
        return self._health.verification_attempts if probed else 1

    def _want(self, rest: Rest) -> None:
        self.wanted[rest] = None
        self.came_up.set()

    def _decides(self, rest: Rest, standing: Standing) -> bool:
        probed = self._rotation.probed_of(rest.key, rest.model)
        return standing.status in probed and (standing.due or standing.status is Status.UNTESTED)
