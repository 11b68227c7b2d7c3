"""What all connections of a server share, and what a server asks of whoever it works for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.config.model import ServerConfig
from gateway.errors import RequestError
from gateway.net.head import Header
from gateway.net.reply import Reply
from gateway.net.request import Request
from gateway.policy.room import Room
from gateway.quick import dataclass

Handler = Callable[[Request, Reply], Awaitable[None]]

Admission = Callable[[Request], Awaitable[object]]
"""A look at a request of which only the head is there. What it returns is the request's `context`. Raises RequestError
for what is refused, whatever the body. It has a deadline of its own: the connection sets none."""


class Refusal(Protocol):
    """Renders an error in the surface's shape, and keeps a record of it, unless a handler did (`handled`)."""

    def __call__(
        self, request: Request | None, error: RequestError, peer: str, *, handled: bool
    ) -> tuple[int, list[Header], bytes]:
        """The request is None if its head could not be read."""
        ...


async def admit_all(request: Request) -> None:
    """Whoever comes is heard."""


@dataclass(slots=True, eq=False)
class Door:
    """A listener, as the connections that came in by it know it."""

    closed: bool = False


@dataclass(slots=True, eq=False)
class Service:
    """See the module's text."""

    handler: Handler
    admit: Admission
    refuse: Refusal
    limits: ServerConfig
    on_error: Callable[[BaseException], None]
    room: Room
    lasting: frozenset[str] = frozenset()  # paths that are answered in a drain, too
    draining: bool = False
    in_flight: int = 0


def leaving() -> RequestError:
    message = "The gateway is shutting down, or leaves this address."
    return RequestError(503, "draining", message, retry_after=1, close=True)
