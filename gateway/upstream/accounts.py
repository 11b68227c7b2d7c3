"""Keys that share a quota, by the label `account=`."""

from __future__ import annotations

from gateway.upstream.key import Key

SIBLINGS = 1000
"""Keys of one account that follow each other at once; of more, the rest learn by themselves."""


class Accounts:
    """Which keys belong to which account. Keys without the label belong to none."""

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        self._keys: dict[str, dict[Key, None]] = {}

    def join(self, key: Key) -> None:
        if key.account:
            self._keys.setdefault(key.account, {})[key] = None

    def leave(self, key: Key) -> None:
        """Before the key's labels change, and when it goes."""
        members = self._keys.get(key.account)
        if members is not None:
            members.pop(key, None)
            if not members:
                del self._keys[key.account]

    def siblings(self, key: Key) -> list[Key]:
        """The other keys of its account, `SIBLINGS` at the most."""
        members = self._keys.get(key.account, {})
        return [other for other, _ in zip(members, range(SIBLINGS), strict=False) if other is not key]
