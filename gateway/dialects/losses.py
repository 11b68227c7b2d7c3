"""What a translation could not say, and what is done about it.

Each loss has a path that the client knows. Readers note theirs by the path in the client's body. Writers of requests
note the path in the neutral request ("sampling.top_k", "messages.3.parts.1"), and `Losses.name` makes the client's of
it; see `client_names.py`. Writers of answers note "answer.KIND": the client has no path for what it cannot be shown.

Neither decides: `refuse_losses` does, once, when the request has been written. An answer is another matter. It has
been paid for, and a part of it may be with the client already: only with `strict` does content that is lost end it.

Source of the policy: content (a text, image, document, tool call or its result, a field without which the answer would
be to another question) is never dropped in silence; hints only tune. What is said in other words and means the same (a
tool's name that is changed back) is no loss.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import field
from typing import NamedTuple, NoReturn

from gateway.dialects import reading
from gateway.dialects.conversation import Citation, Extra, Opaque, Part
from gateway.errors import RequestError
from gateway.quick import dataclass

NOTICE_LIMIT = 20
"""Losses that are named in a header; a request can have thousands of the same kind."""

PATH_LIMIT = 100
"""Characters of a path in a header. Paths have the client's own words in them, such as the names of its properties."""

_NOT_IN_A_HEADER = re.compile(r"[^!-+\--~]")  # all but printable ASCII; a comma would look like two paths


# What several writers say of the same loss.
OTHERS_PART = "no other provider's API has a part of this type."
OTHERS_TOOL = "it is a tool that another provider runs."
OTHERS_FILE = "it is a file that another provider keeps; send its data instead."
OTHERS_THOUGHTS = "only the provider that had these thoughts takes them back."


class Loss(NamedTuple):
    """`path` is where, see above; `name` what kind of thing, a stable word that `tests/dialects/losses.toml`
    lists; `why` the end of a sentence for the client, which begins in lower case."""

    path: str
    name: str
    why: str
    content: bool


class ContentLostError(Exception):
    """An answer has what its client cannot be shown, and must not be shown without it."""

    def __init__(self, loss: Loss) -> None:
        super().__init__(loss.why)
        self.loss = loss


def _same(path: str) -> str:
    return path


@dataclass(slots=True)
class Losses:
    """All losses of one translation, in order. `name` gives the client's path for one that a writer notes. `strict`:
    lost content raises ContentLostError at once."""

    entries: list[Loss] = field(default_factory=list)
    name: Callable[[str], str] = _same
    strict: bool = False

    def content(self, path: str, name: str, why: str) -> None:
        """Something that the answer depends on, or is."""
        loss = Loss(self.name(path), name, why, True)
        self.entries.append(loss)
        if self.strict:
            raise ContentLostError(loss)

    def hint(self, path: str, name: str, why: str) -> None:
        """Something that only tunes."""
        self.entries.append(Loss(self.name(path), name, why, False))

    def unknown_field(self, extra: Extra) -> None:
        """A field that only the client's dialect has. Its name is the client's."""
        if not extra.internal:
            why = "no other provider's API has such a field."
            self.entries.append(Loss(extra.name, "extra_field", why, extra.content))

    def unshown(self, part: Part) -> None:
        """A part of an answer that the client's dialect has no place for."""
        kind = type(part).__name__.lower()
        called = part.value.get("type") or next(iter(part.value), kind) if isinstance(part, Opaque) else kind
        self.content(f"answer.{called}", f"{kind}_part", "the client's API has no place for it in an answer.")

    def refuse(self, path: str, message: str) -> NoReturn:
        """Raises RequestError 400 for what no request of the provider's dialect can be made of; see `reading.refuse`.
        `path` is the neutral one."""
        reading.refuse(self.name(path), message)


def has_address(citation: Citation, losses: Losses) -> bool:
    """Whether a citation of an answer has what clients of most dialects must be given; noted if not."""
    if not citation.url:
        losses.hint("answer.citations", "citations", "only citations of addresses can be passed on.")
    return bool(citation.url)


def refuse_losses(losses: Losses, on_loss: str, other: str = "") -> None:
    """Raises RequestError 400 for what may not be dropped: all losses with "reject", those of content with "warn", none
    with "drop". `other` is the type of provider that could be told everything, "" where there is none."""
    for loss in losses.entries:
        if on_loss == "reject" or (loss.content and on_loss == "warn"):
            raise RequestError(
                400,
                "invalid_request_error",
                f"'{loss.path}' cannot be passed on to the provider of this model: {loss.why} {_way_out(loss, other)}",
                param=loss.path,
            )


def _way_out(loss: Loss, other: str) -> str:
    elsewhere = f", use a model of a provider of type {other}" if other else ""
    setting = "drop" if loss.content else "warn"
    return f'Leave it out{elsewhere}, or have it dropped by translation.on_loss = "{setting}".'


def notice(losses: Losses) -> str:
    """The value of `x-llmgateway-dropped`: the paths, each once, with "?" for what no header may have; empty if nothing
    is lost."""
    paths = list(dict.fromkeys(_NOT_IN_A_HEADER.sub("?", loss.path[:PATH_LIMIT]) for loss in losses.entries))
    more = [f"and {len(paths) - NOTICE_LIMIT} more"] if len(paths) > NOTICE_LIMIT else []
    return ", ".join(paths[:NOTICE_LIMIT] + more)
