"""What stands between a client and a provider that is not asked as the client has asked."""

from __future__ import annotations

from typing import Protocol

from gateway.dialects.names import DialectName
from gateway.upstream.reading import Reading
from gateway.usage import Usage
from gateway.wire.output_tap import OutputTap


class Crossing(Reading, Protocol):
    """One call's, both ways: a conversation in another dialect (`Translation`), vectors (`Embedding`), a count
    (`Counting`), or a stream that is made of a whole answer (`Unstreamed`).

    `place` is path after the version, with `{model}` as in an ask, and query; `streamed`: the provider is asked for a
    stream. `usage` is what the last answer that was
    read reported, `output` the text that came in it, if it came as a stream.
    """

    body: bytes
    streamed: bool
    usage: Usage | None
    output: OutputTap

    @property
    def dialect(self) -> DialectName:
        """The provider's."""
        ...

    @property
    def shape(self) -> str: ...

    @property
    def place(self) -> tuple[str, str]: ...

    @property
    def dropped(self) -> str:
        """What the header x-llmgateway-dropped says; empty: nothing is lost."""
        ...

    def written(self) -> bytes:
        """What was read, as the client gets it. Raises RequestError for what it must not get."""
        ...

    def failure(self, status: int, said: object) -> tuple[int, bytes, float | None]:
        """A provider's error in the client's shape: status, body, seconds after which to try again, if it said."""
        ...
