"""`losses.toml`: all that translation loses, with a sentence each. It is the single list.

    [request.NAME]      what a provider's dialect (`to`) cannot be told of what a client's (`from`) asks
    [answer.NAME]       what a client's dialect (`to`) cannot be shown of what a provider's (`from`) answers

`[[KIND.NAME]]` has `from` and `to`, each one dialect or several ("*" for all), and `why`.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from gateway.dialects.losses import Losses
from tests.dialects.pairs import PAIRS

Kind = Literal["request", "answer"]


class Known(NamedTuple):
    kind: str
    origin: str
    target: str
    name: str


@cache
def known() -> dict[Known, str]:
    """Each known loss, and why."""
    listed: dict[Known, str] = {}
    text = (Path(__file__).parent / "losses.toml").read_text("utf-8")
    for kind, names in tomllib.loads(text).items():
        for name, entries in names.items():
            for entry in entries:
                for origin, target in PAIRS:
                    if origin in _names(entry["from"]) and target in _names(entry["to"]):
                        loss = Known(kind, origin, target, name)
                        assert loss not in listed, f"{loss} is listed twice"
                        listed[loss] = entry["why"]
    return listed


def _names(said: str | list[str]) -> set[str]:
    if said == "*":
        return {origin for origin, _ in PAIRS}
    return {said} if isinstance(said, str) else set(said)


def unlisted(kind: Kind, origin: str, target: str, losses: Losses) -> list[str]:
    names = {loss.name for loss in losses.entries}
    return [
        f"{name} is lost from {origin} to {target}, which losses.toml does not list"
        for name in sorted(names)
        if Known(kind, origin, target, name) not in known()
    ]
