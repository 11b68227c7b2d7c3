"""What a translation could not say, and what is done about it.

Readers note what is inside a part that they know and has no place in `conversation.py`, by its path in the client's
body ("messages.3.content.0.foo"). Writers note what their dialect cannot say, by its path in the neutral request
("sampling.top_k", "messages.3.parts.1"). Neither decides: `refuse_losses` does, once, when the request has been
written.

Source of the policy: content (a text, image, document, tool call or its result, a field without which the answer would
be to another question) is never dropped in silence; hints only tune.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import NamedTuple

from gateway.errors import RequestError
from gateway.quick import dataclass

NOTICE_LIMIT = 20
"""Losses that are named in a header; a request can have thousands of the same kind."""

PATH_LIMIT = 100
"""Characters of a path in a header. Paths have the client's own words in them, such as the names of its properties."""

_NOT_IN_A_HEADER = re.compile(r"[^!-+\--~]")  # all but printable ASCII; a comma would look like two paths


class Loss(NamedTuple):
    """`path` is where, see above; `name` what kind of thing, a stable word that `tests/dialects/losses.toml`
    lists; `why` a sentence for the client."""

    path: str
    name: str
    why: str
    content: bool


@dataclass(slots=True)
class Losses:
    """All losses of one translation, in order."""

    entries: list[Loss] = field(default_factory=list)

    def content(self, path: str, name: str, why: str) -> None:
        """Something that the answer depends on."""
        self.entries.append(Loss(path, name, why, True))

    def hint(self, path: str, name: str, why: str) -> None:
        """Something that only tunes."""
        self.entries.append(Loss(path, name, why, False))


def refuse_losses(losses: Losses, on_loss: str) -> None:
    """Raises RequestError 400 for what may not be dropped: all losses with "reject", those of content with "warn", none
    with "drop"."""
    for loss in losses.entries:
        if on_loss == "reject" or (loss.content and on_loss == "warn"):
            raise RequestError(
                400,
                "invalid_request_error",
                f"'{loss.path}' cannot be passed on to the provider of this model: {loss.why}",
                param=loss.path,
            )


def notice(losses: Losses) -> str:
    """The value of `x-llmgateway-dropped`: the paths, each once, with "?" for what no header may have; empty if nothing
    is lost."""
    paths = list(dict.fromkeys(_NOT_IN_A_HEADER.sub("?", loss.path[:PATH_LIMIT]) for loss in losses.entries))
    more = [f"and {len(paths) - NOTICE_LIMIT} more"] if len(paths) > NOTICE_LIMIT else []
    return ", ".join(paths[:NOTICE_LIMIT] + more)
