"""Answers that are kept in memory: which, for how long, and how much room they take. Pure: `now` is an argument.

Invariants:
- The answers and what is claimed for those on their way never take more than the limit together.
- When room is short, the answer goes that nobody has asked for longest. Those on their way get half at most, so that
  a flood of long ones does not empty the cache.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from gateway import jsonlib
from gateway.conductor.ask import Header
from gateway.quick import dataclass

OVERHEAD = 1024
"""Bytes of an answer beside its body and headers: key, objects, its place in the table. Measured: 0.9 KB."""

FORM = 1
"""Of an answer in bytes; another one cannot be read."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """`made_at` in unix seconds. `provider` and `model` are who gave it, `cost` what that cost in nano-units."""

    made_at: float
    headers: tuple[Header, ...]
    body: bytes
    streamed: bool
    provider: str
    model: str
    cost: int

    @property
    def size(self) -> int:
        return OVERHEAD + len(self.body) + sum(len(name) + len(value) for name, value in self.headers)

    def age(self, now: float) -> float:
        """Seconds. Negative where a clock was put back, or two differ."""
        return now - self.made_at

    def to_bytes(self) -> bytes:
        facts = {
            "form": FORM,
            "made_at": self.made_at,
            "headers": [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers],
            "streamed": self.streamed,
            "provider": self.provider,
            "model": self.model,
            "cost": self.cost,
        }
        return b"%b\n%b" % (jsonlib.dumps(facts), self.body)


def read_answer(data: bytes) -> KeptAnswer | None:
    """What `to_bytes` has written; None for anything else."""
    head, _, body = data.partition(b"\n")
    try:
        facts: Any = jsonlib.loads(head)
        if facts["form"] != FORM:
            return None
        return KeptAnswer(
            float(facts["made_at"]),
            tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in facts["headers"]),
            body,
            bool(facts["streamed"]),
            str(facts["provider"]),
            str(facts["model"]),
            int(facts["cost"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


class Answers:
    """`limit` in bytes, `ttl` in seconds."""

    def __init__(self, limit: int, ttl: float) -> None:
        self.limit = limit
        self.ttl = ttl
        self.used = 0  # bytes of the answers
        self.claimed = 0  # bytes of those on their way
        self._of: OrderedDict[bytes, KeptAnswer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._of)

    def find(self, key: bytes, now: float) -> KeptAnswer | None:
        """One that is not too old, or from a time to come: then a clock was put back, and its age is not known."""
        answer = self._of.get(key)
        if answer is None:
            return None
        if not 0 <= answer.age(now) < self.ttl:
            self._drop(key)
            return None
        self._of.move_to_end(key)
        return answer

    def keep(self, key: bytes, answer: KeptAnswer, now: float) -> None:
        """Instead of an older one, if there is any. What is larger than the limit is not kept."""
        self._drop(key)
        while self._of and next(iter(self._of.values())).age(now) >= self.ttl:
            self._drop_oldest()
        if self._make_room(answer.size):
            self._of[key] = answer
            self.used += answer.size

    def claim(self, size: int) -> bool:
        """Room for an answer that is on its way; it is given back before the answer is kept."""
        if self.claimed + size > self.limit // 2 or not self._make_room(size):
            return False
        self.claimed += size
        return True

    def release(self, size: int) -> None:
        self.claimed -= size

    def clear(self) -> None:
        self._of.clear()
        self.used = 0

    def _make_room(self, size: int) -> bool:
        if size > self.limit - self.claimed:
            return False
        while self.used + self.claimed + size > self.limit:
            self._drop_oldest()
        return True

    def _drop_oldest(self) -> None:
        _, answer = self._of.popitem(last=False)
        self.used -= answer.size

    def _drop(self, key: bytes) -> None:
        answer = self._of.pop(key, None)
        if answer is not None:
            self.used -= answer.size
