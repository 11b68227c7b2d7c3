"""The schema of a tool's arguments as Anthropic takes it: an object that says its members itself.

"input_schema does not support oneOf, allOf, or anyOf at the top level" (claude-code#5973, huly-mcp#66) refuses a whole
request. Below the top they are taken. So what stands in the branches becomes the object's own: the members of all, and
of alternatives as required only what each of them requires. The model may then mix alternatives, which is noted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.dialects.losses import Losses
from gateway.dialects.names import Json

_BRANCHES = ("allOf", "anyOf", "oneOf")

DEPTH = 8
"""Branches within branches that are looked into. Schemas that people make have one or two."""


def write_input_schema(parameters: Json | None, path: str, losses: Losses) -> Json:
    """`path` is the tool's, for the note of what is lost."""
    schema = parameters or {"properties": {}}
    if "type" not in schema:
        schema = {"type": "object", **schema}
    if not any(word in schema for word in _BRANCHES):
        return schema
    losses.hint(f"{path}.parameters", "schema_keyword", "Claude takes no alternatives at the top of a tool's schema.")
    flat = {name: value for name, value in schema.items() if name not in (*_BRANCHES, "properties", "required")}
    properties, required = _Flattening(schema).members(schema, DEPTH)
    flat["properties"] = {name: _any_of(schemas) for name, schemas in properties.items()}
    return {**flat, "required": required} if required else flat


class _Flattening:
    """Of one schema. A definition is gone into once, so that one which is named again and again costs nothing."""

    def __init__(self, root: Json) -> None:
        self._root = root
        self._seen: set[str] = set()

    def members(self, node: Json, depth: int) -> tuple[dict[str, list[Any]], list[str]]:
        """What an object and its branches say of each property, and which of them it must have."""
        properties = {name: [schema] for name, schema in _object(node.get("properties")).items()}
        required = dict.fromkeys(_names(node.get("required")))
        for word in _BRANCHES if depth else ():
            parts = [self.members(branch, depth - 1) for branch in self._branches(node.get(word))]
            for more, _ in parts:
                for name, schemas in more.items():
                    properties.setdefault(name, []).extend(schemas)
            sets = [set(names) for _, names in parts]
            common = set().union(*sets) if word == "allOf" else set.intersection(*sets) if sets else set()
            required.update(dict.fromkeys(name for _, names in parts for name in names if name in common))
        return properties, list(required)

    def _branches(self, given: object) -> Iterator[Json]:
        for branch in given if isinstance(given, list) else []:
            if isinstance(branch, dict) and branch.get("type") != "null":
                yield {**self._definition(branch.get("$ref")), **branch}

    def _definition(self, ref: object) -> Json:
        """What a reference within the schema leads to."""
        if not isinstance(ref, str) or not ref.startswith("#/") or ref in self._seen:
            return {}
        self._seen.add(ref)
        found: Any = self._root
        for name in ref[2:].split("/"):
            found = _object(found).get(name.replace("~1", "/").replace("~0", "~"))
        return _object(found)


def _any_of(schemas: list[Any]) -> Any:
    different = list({repr(schema): schema for schema in schemas}.values())
    return different[0] if len(different) == 1 else {"anyOf": different}


def _names(value: object) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
