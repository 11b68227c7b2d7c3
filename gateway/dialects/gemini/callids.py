"""Ids for calls that came without one: Google's are optional, everybody else's are not.

In a client's request a call is named by its place, which stays the same while the conversation grows; such an id is
not written to Google again. In an answer the id comes from the answer's own, so that it is unique in a conversation
of many answers.
"""

from __future__ import annotations

import re
import zlib

_PLACE = "place_"
_ODD = re.compile(r"[^A-Za-z0-9-]")

# OpenAI takes ids of up to 40 characters, Anthropic letters, digits, `_` and `-`.
_MAX_SEED = 28


def place_id(number: int) -> str:
    """The id of the `number`th call of a request that gave it none."""
    return f"{_PLACE}{number}"


def is_place_id(call_id: str) -> bool:
    return call_id.startswith(_PLACE)


def answer_seed(response_id: str, data: bytes) -> str:
    """What the ids of an answer's calls begin with. `data` stands in where the answer has no id: its usage alone makes
    it differ from the answer before."""
    return _ODD.sub("-", response_id)[:_MAX_SEED] or f"{zlib.crc32(data):08x}"


def answer_id(seed: str, number: int) -> str:
    """The id of the `number`th call of an answer, over all of its candidates."""
    return f"call_{seed}_{number}"
