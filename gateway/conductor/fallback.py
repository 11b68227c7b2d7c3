"""When one target could not serve a request: why, whether another one is asked, and what the client hears in the end.

A target's failure is kept, not told, while there are others. If none of them does better, the client hears of the
failure that is worth most to it: what a provider answered last; else when a key or a circuit is expected back, of all
targets the soonest for which that is known; else why no target can take such a request.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway import jsonlib
from gateway.conductor.attempts import NO_RECOVERY_KNOWN
from gateway.conductor.delivery import Delivery
from gateway.conductor.routes import Target
from gateway.dialects.names import DialectName
from gateway.errors import RequestError
from gateway.policy.fallback import OF_REFUSAL, cause_of
from gateway.quick import dataclass
from gateway.upstream.exchange import Outcome
from gateway.wire.sse import EventReader

LOOKED_INTO = frozenset({"context_length", "content_filter"})
"""Causes that only the provider's words tell."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A target that did not serve. `error` is what to tell of it, `delivery` brings the answer that says no. `asked`:
    the provider has answered or failed. `passed_over`: the target cannot take such a request at all, though another
    one may."""

    target: Target
    cause: str
    error: RequestError | None = None
    delivery: Delivery | None = None
    asked: bool = False
    passed_over: bool = False

    @property
    def retry_after(self) -> float | None:
        """Seconds after which a key or the circuit is expected back, where that is why nobody was asked."""
        return self.error.retry_after if self.error is not None and self.cause else None


def refused(target: Target, error: RequestError) -> Failed:
    """Nobody was asked: there is no key, the circuit is open, the request cannot be said to this target, or has no
    price there."""
    passed_over = error.status in (400, 404) or error.code == "unpriced_model"
    return Failed(target, OF_REFUSAL.get(error.code, ""), error, passed_over=passed_over)


def unserved(delivery: Delivery, causes: frozenset[str]) -> Failed | None:
    """Why an answer is none to be content with; None: it is, or it is not worth asking anybody else."""
    outcome, target = delivery.outcome, delivery.target
    if outcome.verdict is None:
        if "content_filter" not in causes or not _is_filtered(outcome, delivery.shape):
            return None
        message = f"The content filter of the provider {target.provider.name!r} took the answer."
        return Failed(target, "content_filter", RequestError(400, "content_filter", message), asked=True)
    cause = cause_of(outcome.verdict)
    if not cause and not LOOKED_INTO.isdisjoint(causes):
        cause = _cause_told(outcome, delivery.dialect)
    return Failed(target, cause, delivery=delivery, asked=True) if cause in causes else None


def worth_most(failures: list[Failed]) -> Failed:
    """Whose failure the client hears of."""
    asked = [failed for failed in failures if failed.asked]
    if asked:
        return asked[-1]
    waiting = [failed for failed in failures if failed.retry_after is not None]
    if waiting:
        return min(waiting, key=lambda failed: (failed.retry_after == NO_RECOVERY_KNOWN, failed.retry_after or 0.0))
    return failures[0]


def _cause_told(outcome: Outcome, dialect: DialectName | None) -> str:
    """What the provider says about the request."""
    if dialect is None:
        return ""
    from gateway.dialects.failure import FailureKind
    from gateway.dialects.registry import failure_reader

    said = outcome.decoded
    if said is None:
        try:
            said = jsonlib.loads(outcome.body)
        except ValueError:
            said = outcome.body.decode("utf-8", "replace")
    match failure_reader(dialect)(outcome.status if outcome.status >= 400 else 0, said).kind:
        case FailureKind.CONTEXT_LENGTH | FailureKind.TOO_LARGE:
            return "context_length"
        case FailureKind.CONTENT_FILTER:
            return "content_filter"
    return ""


def _is_filtered(outcome: Outcome, shape: str) -> bool:
    """Whether the answer ends, by a filter, before it has said anything."""
    from gateway.dialects.filtered import is_filtered
    from gateway.wire.output_tap import OutputTap

    tap = OutputTap(shape)
    tap.feed(outcome.body)
    payloads = _payloads(outcome.body) if outcome.streamed else (outcome.decoded,)
    return not tap.seen and any(is_filtered(shape, payload) for payload in payloads)


def _payloads(held: bytes) -> Iterator[object]:
    reader = EventReader(len(held) + 1)
    for event in (*reader.feed(held), reader.rest()):
        try:
            yield None if event is None else jsonlib.loads(event.data)
        except ValueError:
            continue
