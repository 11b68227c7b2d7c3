"""What one provider's keys may do by our own limits (`key_limits`): requests are counted, used-up keys pause.

What a key has used is counted in `policy/key_limits.py`. The limit of requests at once is the rotation's to keep; here
it is only told that a key has come to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from gateway.config.provider import KeyLimitsConfig
from gateway.policy.key_limits import KeyMeter
from gateway.upstream.key import Key, Lease
from gateway.upstream.standings import Standings

FITTING = 16
"""Keys looked at for one whose token limit has room for a large request."""


class Metering:
    """One provider's, as long as its limits stay what they are. `clock` gives unix seconds."""

    __slots__ = ("_clock", "_concurrency", "_counts", "_limits", "_rotation", "_standings")

    def __init__(self, limits: KeyLimitsConfig, standings: Standings, clock: Callable[[], float]) -> None:
        self._counts = any(counted(limits))  # else there is only a limit of requests at once
        self._limits = limits
        self._concurrency = limits.concurrency
        self._standings = standings
        self._rotation = standings.rotation
        self._clock = clock

    def take(self, lease: Lease) -> None:
        """Count the request, and take the key out until another one fits."""
        key = lease.key
        if self._counts:
            now = self._clock()
            if key.meter is None:
                key.meter = KeyMeter(self._limits)
            key.meter.take(now, lease.tokens)
            lease.meter, lease.taken_at = key.meter, now
            free_at = key.meter.free_at(now, 1)
            if free_at > now:
                self._standings.pause(key, free_at)
        if key.paused_until is not None or 0 < self._concurrency <= key.in_flight:
            self._rotation.place(key)

    def fitting(self, key: Key, model: str, excluded: Collection[Key], retry: bool, tokens: int) -> Key | None:
        """A key with room for so many tokens, from `key` on in turn."""
        if not self._limits.tpm:
            return key
        now, passed = self._clock(), set(excluded)
        for _ in range(FITTING):
            if key.meter is None or key.meter.free_at(now, tokens) <= now:
                return key
            passed.add(key)
            following = self._rotation.next(model, passed, retry=retry)
            if following is None:
                return None
            key = following
        return None


def counted(limits: KeyLimitsConfig) -> tuple[int, ...]:
    """The limits for which a key's use is counted over time."""
    return limits.rpm, limits.tpm, limits.rpd
