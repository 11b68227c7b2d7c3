"""The words of a JSON Schema: what each is about, and which of them Gemini and Anthropic take with which values.

Sources: https://json-schema.org/draft/2020-12/json-schema-validation, and those that `json_schema.py` names. What a
provider says in its errors is quoted beside the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.dialects.names import Json
from gateway.quick import dataclass

Check = Callable[[Any], Any]
"""A keyword's value as the target takes it, or None where it takes none of it."""


# --- what each keyword is about ---------------------------------------------------------------------------------------

_ABOUT = {
    "object": (
        "properties", "required", "additionalProperties", "patternProperties", "propertyNames", "minProperties",
        "maxProperties", "propertyOrdering", "dependentRequired", "dependentSchemas", "unevaluatedProperties",
    ),
    "array": (
        "items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains",
        "additionalItems", "unevaluatedItems",
    ),
    "string": ("minLength", "maxLength", "pattern", "contentEncoding", "contentMediaType", "contentSchema"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}  # fmt: skip
_TYPE_OF = {keyword: kind for kind, keywords in _ABOUT.items() for keyword in keywords}

TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")

OWN = frozenset(
    {"type", "nullable", "enum", "const", "anyOf", "format", "properties", "required", "propertyOrdering", "items"}
    | {"prefixItems", "additionalProperties"}
)
"""Keywords that code of their own writes."""


def is_about(keyword: str, types: tuple[str, ...]) -> bool:
    about = _TYPE_OF.get(keyword)
    return about is None or about in types or (about == "number" and "integer" in types)


# --- what each target takes -------------------------------------------------------------------------------------------


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    return value if type(value) in (int, float) else None


def _count(value: Any) -> int | str | None:
    """Google's int64 is text in its JSON and may be a number in ours."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str):
        return value if value.isascii() and value.isdigit() else None
    return value if type(value) is int and value >= 0 else None


def _one_at_most(value: Any) -> int | None:
    return int(value) if type(value) in (int, float) and value in (0, 1) else None


_NO_GRAMMAR = ("(?=", "(?!", "(?<", "\\b", "\\B", *(f"\\{group}" for group in range(1, 10)))
"""Looking around, word boundaries and references to groups, which no grammar of Anthropic has."""


def _simple_pattern(value: Any) -> str | None:
    return value if isinstance(value, str) and not any(part in value for part in _NO_GRAMMAR) else None


def as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Target:
    """`keywords`: those that need no code of their own, and how their values are checked. `formats` by type. `strict`
    is Anthropic: objects are closed, types may be arrays, enums may hold any scalar, references may stay."""

    strict: bool
    formats: Mapping[str, frozenset[str]]
    keywords: Mapping[str, Check]


GEMINI = Target(
    strict=False,
    # The API: "only 'enum' and 'date-time' are supported for STRING type".
    formats={
        "string": frozenset({"date-time", "enum"}),
        "number": frozenset({"float", "double"}),
        "integer": frozenset({"int32", "int64"}),
    },
    keywords={
        "title": _text, "description": _text, "default": as_it_is, "example": as_it_is, "pattern": _text,
        "minimum": _number, "maximum": _number, "minLength": _count, "maxLength": _count, "minItems": _count,
        "maxItems": _count, "minProperties": _count, "maxProperties": _count,
    },
)  # fmt: skip

ANTHROPIC = Target(
    strict=True,
    formats={
        "string": frozenset(
            {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
        )
    },
    keywords={
        "title": _text, "description": _text, "default": as_it_is, "pattern": _simple_pattern,
        "minItems": _one_at_most,
    },
)  # fmt: skip


def format_is_about(name: str, types: tuple[str, ...]) -> bool:
    return not {"number", "integer"}.isdisjoint(types) if _is_numeric(name) else "string" in types


def _is_numeric(name: str) -> bool:
    """JSON Schema has formats of texts alone; OpenAPI and generators of schemas have int32, double, uint8."""
    return name.startswith(("int", "uint", "float", "double", "decimal"))


def listed_values(flat: Json) -> list[Any]:
    """All values that a node may have, none where they are not listed."""
    if "const" in flat:
        return [flat["const"]]
    values = flat.get("enum")
    return values if isinstance(values, list) else []


_KINDS: dict[type, tuple[str, ...]] = {
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number",),
    str: ("string",),
    dict: ("object",),
    list: ("array",),
    type(None): ("null",),
}


def has_type(value: Any, kind: str) -> bool:
    return kind in _KINDS[type(value)] or (kind == "integer" and isinstance(value, float) and value.is_integer())


def guess_types(flat: Json) -> list[str]:
    """The types of a node that does not say them: those of its values, or the one that its keywords are about."""
    if values := listed_values(flat):
        kinds = dict.fromkeys(_KINDS[type(value)][0] for value in values)
        return [kind for kind in kinds if kind != "integer" or "number" not in kinds]
    for kind, keywords in _ABOUT.items():
        if not flat.keys().isdisjoint(keywords):
            return [kind]
    name = flat.get("format")
    if isinstance(name, str):
        return ["integer" if "int" in name[:4] else "number"] if _is_numeric(name) else ["string"]
    return []
