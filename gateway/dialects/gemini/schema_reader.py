"""Google's Schema as JSON Schema: the client's `parameters` and `responseSchema` for all other dialects.

A Schema is OpenAPI's: types in capitals, `nullable`, int64 as text, `propertyOrdering`. What is JSON Schema already
stays as it is; many clients write that here, and Google takes it.

Source: https://ai.google.dev/api/caching#Schema
"""

from __future__ import annotations

from typing import Any

from gateway.dialects.gemini.protojson import camel
from gateway.dialects.names import Json
from gateway.dialects.reading import refuse

MAX_DEPTH = 64
"""Google itself takes no more than 32 levels."""

_TYPES = ("type_unspecified", "string", "number", "integer", "boolean", "array", "object", "null")
"""In the order of the protobuf enum, for clients that write its numbers."""

_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")


def read_schema(schema: Json, path: str, depth: int = 0) -> Json:
    """The same schema as JSON Schema. Raises RequestError for one nested too deeply."""
    if depth > MAX_DEPTH:
        refuse(path, "is nested too deeply.")
    node = dict(camel(schema))
    for name in ("items", "additionalProperties"):
        if isinstance(node.get(name), dict):
            node[name] = read_schema(node[name], path, depth + 1)
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if isinstance(node.get(name), list):
            node[name] = [_read_node(each, path, depth) for each in node[name]]
    for name in ("properties", "$defs", "definitions"):
        if isinstance(node.get(name), dict):
            node[name] = {key: _read_node(each, path, depth) for key, each in node[name].items()}
    _order(node)
    for name in _COUNTS:
        value = node.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            node[name] = int(value)
    if "example" in node:
        node["examples"] = [node.pop("example")]
    if node.get("format") == "enum":
        del node["format"]
    return _read_type(node)


def _read_node(node: Any, path: str, depth: int) -> Any:
    return read_schema(node, path, depth + 1) if isinstance(node, dict) else node


def _order(node: Json) -> None:
    """`propertyOrdering` is the order of the properties themselves."""
    order, properties = node.get("propertyOrdering"), node.get("properties")
    if isinstance(order, list):
        del node["propertyOrdering"]
        if isinstance(properties, dict):
            first = [name for name in order if isinstance(name, str) and name in properties]
            node["properties"] = {name: properties[name] for name in [*first, *properties]}


def _read_type(node: Json) -> Json:
    kind = node.get("type")
    if type(kind) is int and 0 <= kind < len(_TYPES):
        kind = _TYPES[kind]
    if isinstance(kind, str):
        node["type"] = kind = kind.lower()
        if kind == "type_unspecified":
            del node["type"]
    if node.pop("nullable", None) is True:
        if isinstance(kind, str) and "type" in node:
            node["type"] = [kind, "null"]
            if isinstance(node.get("enum"), list) and None not in node["enum"]:
                node["enum"] = [*node["enum"], None]
        elif isinstance(node.get("anyOf"), list):
            node["anyOf"] = [*node["anyOf"], {"type": "null"}]
    return node
