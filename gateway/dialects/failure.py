"""An error in nobody's words: what a provider said, or the gateway, so that each dialect can say it."""

from __future__ import annotations

from enum import StrEnum

from gateway.quick import dataclass


class FailureKind(StrEnum):
    """What went wrong, in one word that each dialect has its own for."""

    INVALID_REQUEST = "invalid_request"
    CONTEXT_LENGTH = "context_length"
    CONTENT_FILTER = "content_filter"
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    BILLING = "billing"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    RATE_LIMIT = "rate_limit"
    QUOTA = "quota"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of a provider or of the gateway. `status` is HTTP's, 0 inside a stream. `code` is the stable word of who
    made it ("" if none), `param` the field at fault. `retry_after` is in seconds."""

    status: int
    kind: FailureKind
    message: str
    code: str = ""
    param: str = ""
    retry_after: float | None = None
