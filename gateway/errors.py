"""The exception tree.

    GatewayError
    ├── ConfigError            the configuration is wrong: every problem at once         (exit 3)
    ├── StartError             cannot start for now: port taken, database away           (exit 4)
    │   └── AddressTaken       somebody else listens there
    ├── StoreError
    │   ├── StoreCorrupt       not a database, or a damaged one: nothing was overwritten (exit 3)
    │   ├── StoreTooNew        written by a newer version                                (exit 3)
    │   └── StoreUnavailable   locked, full or away; heals by itself                     (exit 4, HTTP 503)
    ├── RequestError           our answer to a client's request, with status and code
    └── UpstreamError          the provider's side failed without an answer
        ├── ConnectError       nothing was sent: refused, DNS, TLS. Safe to try elsewhere
        │   └── ProxyError     the proxy could not be reached or passed
        ├── Disconnect         closed or reset after the request was written
        ├── ProtocolError      what came back was not HTTP
        ├── Withheld           no fault of theirs: the end of an answer that could not be charged for
        ├── IncompleteStream   ended in order, but before its answer did
        ├── FailedStream       ended with an error of the provider's own, which the client has
        └── UpstreamTimeout    a deadline of ours passed; `phase` says which

Local faults and remote faults differ in type, so nobody has to guess who is to blame.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.quick import dataclass


class GatewayError(Exception):
    """A failure with words for the reader: what happened, the detail, and what to do about it."""

    exit_code = 1

    def __init__(self, message: str, *, detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}: {self.detail}" if self.detail else self.message


def sentence(text: str) -> str:
    """With its full stop. A hint may end as a question."""
    return text if text.endswith("?") else f"{text}."


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration: where, what, and what to do."""

    where: str  # file, or the environment variable
    key: str  # "providers.main.base_url"
    message: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        key = f"{self.key}: " if self.key else ""  # a file that is no TOML has none
        return f"{self.where}: {key}{self.message}{hint}"


class ConfigError(GatewayError):
    """The configuration cannot be used. `problems` has all of them."""

    exit_code = 3

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("the configuration has problems", detail="; ".join(map(str, problems)))
        self.problems = tuple(problems)


class StartError(GatewayError):
    """The daemon could not start for now; trying again later may help."""

    exit_code = 4


class AddressTaken(StartError):
    """Another process listens where we were to."""


class StoreError(GatewayError):
    """The database refused."""


class StoreCorrupt(StoreError):
    exit_code = 3


class StoreTooNew(StoreError):
    exit_code = 3


class StoreUnavailable(StoreError):
    exit_code = 4


class RequestError(GatewayError):
    """An answer of our own to a client: HTTP status, stable code, OpenAI error type, the field at fault.

    `retry_after` is in seconds and becomes Retry-After (rounded up). `extra` is merged into the error object.
    `close` asks the server to end the connection after the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        kind: str = "",
        param: str | None = None,
        retry_after: float | None = None,
        extra: dict[str, object] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.kind = kind or KIND_OF_STATUS.get(status, "api_error" if status >= 500 else "invalid_request_error")
        self.param = param
        self.retry_after = retry_after
        self.extra = extra
        self.close = close


KIND_OF_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    431: "invalid_request_error",
    504: "timeout_error",
}
"""The `type` of an OpenAI error object by status, where nothing more particular is known."""


class UpstreamError(GatewayError):
    """The provider's side failed without a usable answer. `sent`: the request was written, wholly or in part. `code` is
    the stable word for it that a client gets."""

    code = "upstream_error"
    sent = True

    def __init__(self, message: str, *, detail: str = "", sent: bool | None = None) -> None:
        super().__init__(message, detail=detail)
        if sent is not None:
            self.sent = sent

    @property
    def told(self) -> str:
        """What a client hears of it after the commit point."""
        return f"The provider broke off: {self.message}."


class ConnectError(UpstreamError):
    sent = False


class ProxyError(ConnectError):
    """There was no way through the proxy.

    `beyond`: the proxy is there, but nothing came back from behind it. That may be the origin's fault, and the same
    through every proxy.
    """

    def __init__(self, message: str, *, detail: str = "", beyond: bool = False) -> None:
        super().__init__(message, detail=detail)
        self.beyond = beyond


class Disconnect(UpstreamError):
    pass


class ProtocolError(UpstreamError):
    pass


class IncompleteStream(UpstreamError):
    code = "stream_incomplete"


class Withheld(UpstreamError):
    code = "store_unavailable"

    @property
    def told(self) -> str:
        return f"The answer is not given to its end: {self.message}."


class FailedStream(UpstreamError):
    """`theirs`: by its own words it was the provider that failed, and not that it would not say more."""

    code = "stream_failed"

    def __init__(self, message: str, *, theirs: bool) -> None:
        super().__init__(message)
        self.theirs = theirs


class UpstreamTimeout(UpstreamError):
    """`phase` is connect, write, first_byte, idle or total."""

    code = "upstream_timeout"

    def __init__(self, phase: str, seconds: float) -> None:
        super().__init__(f"no progress within {seconds:g} s ({phase})", sent=phase != "connect")
        self.phase = phase
