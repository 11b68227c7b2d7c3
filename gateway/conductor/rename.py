"""The client's name for a model and the provider's, exchanged in JSON and in streamed events. Pure.

The other bytes stay as they are: spacing, escapes, the order of fields, numbers that no float can hold. So the name is
replaced where it stands. Only where that place is not certain (a second field of the same name and value further in,
a field name written with escapes) is the JSON written anew.
"""

from __future__ import annotations

import re
from typing import Any

from gateway import jsonlib

_MODEL = re.compile(rb'"(?:model|modelVersion)"\s*:\s*("(?:[^"\\]++|\\.)*+")')

FIELDS = ("model", "modelVersion")
"""What a dialect calls it: Gemini has the latter."""

HOLDERS = ("response", "message")
"""Where an event names the model, if it does not itself: those of Responses and of Messages."""


def replace_model(body: bytes, decoded: dict[str, Any], model: str) -> bytes:
    """The request `body`, whose JSON is `decoded`, with this model; it may have named none."""
    if "model" not in decoded:
        return insert_field(body, decoded, "model", model)
    return _in_place(body, decoded["model"], model) or jsonlib.dumps({**decoded, "model": model})


def insert_field(body: bytes, decoded: dict[str, Any], name: str, value: object) -> bytes:
    """A JSON object with one field more, which it did not have, in front of the others."""
    if not decoded:
        return jsonlib.dumps({name: value})
    at = body.index(b"{") + 1
    return b"%b%b:%b,%b" % (body[:at], jsonlib.dumps(name), jsonlib.dumps(value), body[at:])


def rename_model(body: bytes, model: str) -> bytes | None:
    """An answer or an event's data with its model replaced, wherever its dialect has it; None if it names none."""
    try:
        decoded = jsonlib.loads(body)
    except ValueError:
        return None
    if not isinstance(decoded, dict):
        return None
    for holder in (decoded, *(decoded.get(name) for name in HOLDERS)):
        if not isinstance(holder, dict):
            continue
        for field in FIELDS:
            if field in holder:
                renamed = _in_place(body, holder[field], model)
                if renamed is not None:
                    return renamed
                holder[field] = model
                return jsonlib.dumps(decoded)
    return None


def rename_in_events(events: bytes, model: str) -> bytes:
    """Whole events of a stream with the model replaced in each that names it."""
    if b'"model' not in events:
        return events
    return b"".join([_rename_line(line, model) for line in events.splitlines(keepends=True)])


def _rename_line(line: bytes, model: str) -> bytes:
    if not line.startswith(b"data:") or b'"model' not in line:
        return line
    text = line[5:].strip()
    renamed = rename_model(text, model)
    return line if renamed is None else line.replace(text, renamed, 1)


def _in_place(body: bytes, present: object, model: str) -> bytes | None:
    """`present` replaced by `model` where it is the value of such a field; None unless there is exactly one."""
    places = [match.span(1) for match in _MODEL.finditer(body) if jsonlib.loads(match[1]) == present]
    if len(places) != 1:
        return None
    start, end = places[0]
    return b"%b%b%b" % (body[:start], jsonlib.dumps(model), body[end:])
