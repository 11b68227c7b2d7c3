"""A secret that cannot be printed by accident.

Provider keys and API tokens travel through the program as `Secret`. Formatting one in any way gives
`****`; only hashing and `net` (writing a header) call `reveal()`.
"""

from __future__ import annotations

import hashlib
import hmac

LONG = 21
"""Characters: seven are a third of it."""


class Secret:
    """One secret text. `str()` and `repr()` never show it.

    `fingerprint` is what people see (`sk-…a1b2`), `digest` (SHA-256, 32 bytes) is what databases keep.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self._value.encode()).digest()

    @property
    def fingerprint(self) -> str:
        return fingerprint(self._value)

    def __repr__(self) -> str:
        return "Secret(****)"

    def __str__(self) -> str:
        return "****"

    def __format__(self, spec: str) -> str:
        return "****"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")


def fingerprint(value: str) -> str:
    """Enough of a secret to recognise it, too little to use it: `sk-…a1b2`.

    At most seven characters are shown, and never more than a third of the secret.
    """
    if len(value) >= LONG:
        return f"{value[:3]}…{value[-4:]}"
    if len(value) < 12:
        return "…" + value[-(len(value) // 4) :] if len(value) >= 4 else "…"
    tail = min(4, len(value) // 4)
    head = min(3, len(value) // 3 - tail)
    return f"{value[: max(head, 0)]}…{value[-tail:]}"
