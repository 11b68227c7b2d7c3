"""One JSON file for each case: what clients of the dialects ask, and what a provider of each gets for it.

    about   what the case is about
    models  the model of a provider's dialect where it is not the first of `pairs.MODELS`
    asks    the client's body, by its dialect
    gets    the provider's body, by its dialect, whatever dialect the client speaks
    but     the same where it differs, by "client->provider"
    loses   names of losses, by "client->provider"

The last three are written by `python -m tests.dialects.cases`; what it changes is read before it is committed.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.dialects.losses import Losses
from tests.dialects.pairs import MODELS, NAMES, PAIRS, read, write

Json = dict[str, Any]

FOLDER = Path(__file__).parent
WIDTH = 116


@dataclass(frozen=True, slots=True)
class Case:
    about: str
    asks: dict[str, Json]
    gets: dict[str, Json] = field(default_factory=dict)
    but: dict[str, Json] = field(default_factory=dict)
    loses: dict[str, list[str]] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)

    def wanted(self, client: str, provider: str) -> Json:
        return self.but.get(f"{client}->{provider}") or self.gets[provider]

    def got(self, client: str, provider: str) -> tuple[Json, list[str]]:
        """What the code makes of it: the provider's body, and the names of what is lost."""
        losses = Losses()
        request = read(client, self.asks[client], losses)
        written = write(provider, request, losses, model=self.models.get(provider, MODELS[provider][0]))
        return written.body, sorted({loss.name for loss in losses.entries})


CASES: dict[str, Case] = {
    path.stem: Case(**json.loads(path.read_text("utf-8"))) for path in sorted(FOLDER.glob("*.json"))
}

TRIPS = [(name, *pair) for name, case in CASES.items() for pair in PAIRS if pair[0] in case.asks]


def rewritten(case: Case) -> Case:
    gets: dict[str, Json] = {}
    but: dict[str, Json] = {}
    loses: dict[str, list[str]] = {}
    for provider in NAMES:
        got = {client: case.got(client, provider) for client in case.asks if client != provider}
        if not got:
            continue
        bodies = Counter(json.dumps(body) for body, _ in got.values())
        gets[provider] = json.loads(bodies.most_common(1)[0][0])
        for client, (body, names) in got.items():
            if body != gets[provider]:
                but[f"{client}->{provider}"] = body
            if names:
                loses[f"{client}->{provider}"] = names
    return Case(case.about, case.asks, gets, but, loses, case.models)


def text_of(case: Case) -> str:
    return _pretty({name: value for name in case.__slots__ if (value := getattr(case, name))}) + "\n"


def _pretty(value: Any, indent: str = "") -> str:
    """JSON with as much on a line as fits."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= WIDTH or not isinstance(value, dict | list) or not value:
        return line
    inner = indent + "  "
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + _pretty(each, inner) for each in value) + f"\n{indent}]"
    rows = [f"{inner}{json.dumps(name)}: {_pretty(each, inner)}" for name, each in value.items()]
    return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
