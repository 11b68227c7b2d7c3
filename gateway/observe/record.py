"""One request as a record: what every stage learned, for one log line and the metrics.

The server makes it, each stage of the request's way fills in its part, and `logs` and `metrics` read it once
at the end. It holds primitives and `Usage` only, so that no layer has to know another one. Never in it: a
secret (`key` is a fingerprint), a prompt, an answer, a query string.
"""

from __future__ import annotations

from gateway.money import NANO
from gateway.usage import Usage


def decimal(amount: int) -> str:
    """Nano-units in the currency, exactly: "0.0125", "-3", "0"."""
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    whole, part = divmod(amount, NANO)
    return f"{sign}{whole}" if not part else f"{sign}{whole}.{part:09d}".rstrip("0")


class RequestRecord:
    """One request from its head to the last byte of its answer. Times are those of `loop.time()`, in seconds."""

    __slots__ = (
        "attempts",
        "bytes_in",
        "bytes_out",
        "cache",
        "client",
        "cost",
        "dropped",
        "error",
        "first_byte_at",
        "instead_of",
        "key",
        "method",
        "model",
        "outcome",
        "path",
        "phase",
        "provider",
        "proxy",
        "queued_seconds",
        "request_id",
        "sent",
        "started",
        "status",
        "streamed",
        "surface",
        "token_name",
        "upstream_model",
        "upstream_seconds",
        "usage",
        "user",
    )

    def __init__(self, request_id: str, started: float, method: str = "", path: str = "", client: str = "") -> None:
        self.request_id = request_id
        self.started = started
        self.method = method
        self.path = path
        self.client = client  # address of the client
        self.surface = ""  # openai, passthrough, health, metrics, admin
        self.model = ""  # as the client asked for it
        self.provider = ""  # name of the provider that answered, or was tried last
        self.instead_of = ""  # the provider that would have been asked first, had it not been away
        self.upstream_model = ""  # as the provider was asked for it
        self.key = ""  # fingerprint of the key that was used last
        self.proxy = ""  # the proxy that was used last, without its password
        self.attempts = 0  # upstream calls made
        self.sent = False  # whether the one under way has been written to the provider, and has not failed
        self.status = 0  # HTTP status that the client saw; 0: none was sent
        self.user = ""
        self.token_name = ""  # name of the API token, never the token
        self.streamed = False
        self.first_byte_at = 0.0  # when the first byte of the answer's body went out; 0: not yet
        self.upstream_seconds = 0.0  # spent waiting for others: the client's body, a key, the provider, before a retry
        self.queued_seconds = 0.0  # the part of it that was spent waiting for a key
        self.usage: Usage | None = None
        self.cost: int | None = None  # what its user was charged, in nano-units; None: nothing
        self.outcome = "ok"  # ok, client_gone, error
        self.phase = ""  # where the request was when its client left: queued, waiting (from the connect on), streaming
        self.error = ""  # stable code or reason of the failure
        self.cache = ""  # hit or miss, where the response cache was asked
        self.dropped = ""  # paths of what a translation could not say
        self.bytes_in = 0  # of the request's body
        self.bytes_out = 0  # of the answer's body

    def note_sent(self) -> None:
        self.sent = True

    def overhead(self, duration: float) -> float:
        """Seconds of `duration` that were the gateway's own: all but the waiting for others."""
        own = duration - self.upstream_seconds
        return own if own > 0.0 else 0.0

    def __repr__(self) -> str:
        return f"RequestRecord({self.request_id} {self.surface} {self.status} {self.outcome})"
