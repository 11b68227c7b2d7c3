"""Standings that changed and that the database does not know of yet, one entry per key and model, oldest first."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.policy.health import ALL_MODELS, VALID
from gateway.upstream.key import Change, Key


class Changes:
    """What the Keeper's write-behind takes. Bounded by the keys there are, times the models with a view."""

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        self._keys: dict[tuple[bytes, str], Key] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def note(self, key: Key, model: str | None) -> None:
        self._keys[(key.digest, ALL_MODELS if model is None else model)] = key

    def take(self, limit: int) -> list[Change]:
        """Those that changed first, as they are now, at most `limit`."""
        taken: list[Change] = []
        while self._keys and len(taken) < limit:
            (digest, name), key = next(iter(self._keys.items()))
            del self._keys[(digest, name)]
            standing = key.standing if name == ALL_MODELS else (key.models or {}).get(name, VALID)
            taken.append(Change(digest, key.fingerprint, name, standing, key.checked_at))
        return taken

    def take_over(self, key: Key, models: Iterable[str]) -> None:
        """What a key that left and came back has not yet had written is newer than what it was restored with."""
        for name in (ALL_MODELS, *models):
            before = self._keys.get((key.digest, name))
            if before is None:
                continue
            self._keys[(key.digest, name)] = key
            if name == ALL_MODELS:
                key.standing, key.checked_at = before.standing, before.checked_at
                continue
            own = dict(key.models or {})
            own.pop(name, None)
            if before.models is not None and name in before.models:
                own[name] = before.models[name]
            key.models = own or None
