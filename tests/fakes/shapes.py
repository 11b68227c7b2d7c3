"""What an API takes, as its own SDK has it: validators made of the SDKs' type files, with nothing beside them allowed.

OpenAI's and Anthropic's SDKs are generated from their APIs' descriptions; their parameters are TypedDicts, which
pydantic can check. Here every field that is not in them is a mistake, and no value is taken for one of another type.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator


class Mistake(NamedTuple):
    """`kind` is pydantic's word, such as "missing" or "extra_forbidden"; `path` without the names of union members."""

    kind: str
    path: tuple[str | int, ...]
    message: str


TAGS = ("type", "role")
"""The fields that tell the members of a union apart."""


def find_mistake(shape: Any, value: object) -> Mistake | None:
    """The deepest one, in the member of a union that was meant."""
    try:
        _validator(shape).validate_python(value, strict=True)
    except ValidationError as error:
        found = error.errors()
        others = [each["loc"][:-1] for each in found if each["type"] == "literal_error" and each["loc"][-1] in TAGS]
        meant = [each for each in found if not any(each["loc"][: len(other)] == other for other in others)]
        mistakes = [Mistake(each["type"], _path(each["loc"], value), each["msg"]) for each in meant or found]
        return max(mistakes, key=lambda mistake: len(mistake.path))
    return None


def dotted(path: tuple[str | int, ...]) -> str:
    """`messages.0.content`, as Anthropic has it."""
    return ".".join(str(step) for step in path)


def bracketed(path: tuple[str | int, ...]) -> str:
    """`messages[0].content`, as OpenAI has it."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


@cache
def _validator(shape: Any) -> SchemaValidator:
    return SchemaValidator(_closed(TypeAdapter(shape).core_schema))


def _closed(schema: Any) -> Any:
    """A core schema whose objects have no other fields, and whose iterables are looked into at once."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if isinstance(schema, tuple):
        return tuple(_closed(each) for each in schema)
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "model":  # the SDKs take what they gave themselves; no JSON is an instance of it
        return {"type": "is-instance", "cls": Mistake, **({"ref": schema["ref"]} if "ref" in schema else {})}
    dropped = ("serialization", "metadata") if isinstance(schema.get("type"), str) else ()  # else: fields by name
    closed = {name: _closed(each) for name, each in schema.items() if name not in dropped}
    if closed.get("type") == "typed-dict" and "extras_schema" not in closed:
        closed["extra_behavior"] = "forbid"
        closed.pop("config", None)
    elif closed.get("type") == "generator":
        closed["type"] = "list"
    return closed


def _path(location: tuple[str | int, ...], value: object) -> tuple[str | int, ...]:
    """A location without the steps that are no steps in the value: pydantic names the union's member, too."""
    path: list[str | int] = []
    for number, step in enumerate(location):
        inside = step in value if isinstance(value, dict) else isinstance(value, list) and isinstance(step, int)
        if inside:
            value = value[step]  # type: ignore[index]
        elif number < len(location) - 1 or not isinstance(value, dict) or not isinstance(step, str):
            continue
        path.append(step)
    return tuple(path)
