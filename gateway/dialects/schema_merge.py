"""Several JSON Schemas that hold at once as one: for `allOf`, and for what stands beside a reference.

Only what both targets of `json_schema.py` can say is joined; of anything else the first is kept and the second lost.
Nothing that is given is changed, but parts of it are shared with the result.

Source: https://json-schema.org/draft/2020-12/json-schema-core#section-10.2.1.1
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.dialects.names import Json

ANNOTATIONS = ("title", "description", "default", "example")
"""They describe a node and judge no value; the one nearest to the node counts."""

SILENT = frozenset({"$schema", "$id", "id", "$anchor", "$comment", "$defs", "definitions", "$vocabulary"} | {"strict"})
"""About the document and not about values. `strict` belongs to a tool; some clients write it into its schema, too."""

_NEAREST = frozenset({*ANNOTATIONS, "nullable"})
_SAYS_NULL = frozenset({"default", "example", "const"})


def merge(flat: Json, part: Json) -> list[str]:
    """Adds a part's own keywords to `flat`, which the caller made; gives those that could not be added. References and
    `allOf` are the caller's. A keyword that is null says nothing."""
    lost = []
    for said, value in part.items():
        keyword = "anyOf" if said == "oneOf" else said
        if keyword in ("$ref", "allOf") or keyword in SILENT or (value is None and keyword not in _SAYS_NULL):
            continue
        if keyword not in flat:
            flat[keyword] = value.copy() if keyword in ("properties", "required") and _copies(value) else value
        elif keyword in _NEAREST:
            continue
        elif (join := _JOINS.get(keyword)) is not None and (joined := join(flat[keyword], value)) is not None:
            flat[keyword] = joined
        elif not _same(flat[keyword], value):
            lost.append(said)
    return lost


def _copies(value: Any) -> bool:
    return isinstance(value, dict | list)


def _same(one: Any, other: Any) -> bool:
    """Scalars alone are compared: comparing deep values costs stack."""
    return isinstance(one, str | int | float) and type(one) is type(other) and bool(one == other)


def _texts(values: list[Any]) -> list[str]:
    return [value for value in values if isinstance(value, str)]


def _join_types(one: Any, other: Any) -> Any:
    mine, yours = (_texts(value if isinstance(value, list) else [value]) for value in (one, other))
    both = [kind for kind in mine if kind in yours or (kind == "integer" and "number" in yours)]
    if "integer" in yours and "number" in mine and "integer" not in both:
        both.append("integer")
    return (both[0] if len(both) == 1 else both) if both else None


def _join_properties(one: Any, other: Any) -> Any:
    """In place: many parts with a property each must not cost their square."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return None
    for name, schema in other.items():
        one[name] = {"allOf": [one[name], schema]} if name in one else schema
    return one


def _join_names(one: Any, other: Any) -> Any:
    if not (isinstance(one, list) and isinstance(other, list)):
        return None
    one += other
    return one


def _join_enums(one: Any, other: Any) -> Any:
    if not (isinstance(one, list) and isinstance(other, list)):
        return None
    allowed = {(type(value), value) for value in other if not isinstance(value, dict | list)}
    return [value for value in one if not isinstance(value, dict | list) and (type(value), value) in allowed] or None


def _join_items(one: Any, other: Any) -> Any:
    return {"allOf": [one, other]} if isinstance(one, dict | bool) and isinstance(other, dict | bool) else None


def _join_additional(one: Any, other: Any) -> Any:
    return False if one is False or other is False else other if one is True else one if other is True else None


def _narrower(choose: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def join(one: Any, other: Any) -> Any:
        return choose(one, other) if type(one) in (int, float) and type(other) in (int, float) else None

    return join


_JOINS: dict[str, Callable[[Any, Any], Any]] = {
    "type": _join_types,
    "properties": _join_properties,
    "required": _join_names,
    "enum": _join_enums,
    "items": _join_items,
    "additionalProperties": _join_additional,
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), _narrower(max)),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), _narrower(min)),
}
