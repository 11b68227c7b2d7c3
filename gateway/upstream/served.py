"""Which models the keys of a provider have answered for: that tells a model's 404 from a key's."""

from __future__ import annotations

from collections.abc import Container, Iterable

from gateway.upstream.key import Key

SERVED_LIMIT = 1024
"""Models remembered, the oldest forgotten first."""

NAME_LIMIT = 200
"""Characters of a model's name that may have a standing of its own: clients choose them, and each is a row."""

STRANGERS_UP_TO = 10_000
"""Keys of a pool in which a model that nobody lists or has served may have a view, which takes O(keys) to make."""


class Served:
    """By model, the last two keys that answered: one of them may be the one that is asked about."""

    __slots__ = ("_keys", "_listed")

    def __init__(self) -> None:
        self._keys: dict[str, tuple[Key, Key | None]] = {}
        self._listed: frozenset[str] = frozenset()

    def list_models(self, models: Iterable[str]) -> None:
        """The models that the configuration names, `ours=theirs` or theirs alone."""
        self._listed = frozenset(entry.partition("=")[2] or entry for entry in models)

    def note(self, model: str, key: Key) -> None:
        before = self._keys.get(model)
        if before is not None and before[0] is key:
            return
        if before is None and len(self._keys) >= SERVED_LIMIT:
            del self._keys[next(iter(self._keys))]
        self._keys[model] = (key, before[0] if before is not None else None)

    def by_another(self, model: str, key: Key, ring: Container[Key]) -> bool:
        """Whether another key of the ring has answered for the model."""
        return any(other is not None and other is not key and other in ring for other in self._keys.get(model, ()))

    def may_have_view(self, model: str, keys: int) -> bool:
        """Whether a model may have standings of its own among so many keys, given that clients name models as they
        like."""
        if not model or model in self._keys or model in self._listed:
            return True
        return len(model) <= NAME_LIMIT and keys <= STRANGERS_UP_TO

    def models(self) -> list[str]:
        return [model for model in self._keys if model]
