"""JSON Schemas in `responseJsonSchema` and `parametersJsonSchema`, which Gemini 2.5 and later take beside `Schema`.

Google takes the whole language, but only the keywords of `KEPT` count, and beside a `$ref` there may be none. So what
refers and says more gets what it refers to in its place, `allOf` is merged, and a constant is an enum of one. Rules
that do not count are left out and told. References alone stay, recursive ones too.

Nothing that is given is changed. The result is bounded as that of `json_schema.py`.

Source: https://ai.google.dev/api/generate-content#GenerationConfig (responseJsonSchema)
"""

from __future__ import annotations

from typing import Any

from gateway.dialects.json_schema import MAX_ADDED, MAX_DEPTH, MAX_LOST
from gateway.dialects.names import Json
from gateway.dialects.schema_merge import merge
from gateway.dialects.schema_refs import References, pointer

KEPT = frozenset(
    {"type", "format", "title", "description", "enum", "minItems", "maxItems", "minimum", "maximum", "required"}
    | {"$id", "$anchor", "propertyOrdering", "default", "example", "examples", "deprecated", "readOnly", "writeOnly"}
)
"""Keywords whose value is no schema. The last six judge no value, so that nothing is lost where nobody reads them."""

_SILENT = frozenset({"$schema", "$comment", "$vocabulary", "$defs", "definitions", "discriminator", "strict"})
"""About the document; the definitions are written by themselves. `strict` belongs to a tool."""

_BRANCHES = ("anyOf", "oneOf", "prefixItems")

Path = tuple[str, ...]


def write_json_schema(schema: Json) -> tuple[Json, list[str]]:
    """A copy as Google takes it, and the dotted paths of the rules that do not count there."""
    walk = _Walk(schema)
    written = walk.node(schema, (), (), 0)
    if definitions := walk.definitions():
        written["$defs"] = definitions
    return written, walk.lost


class _Walk:
    """One schema on its way. `refs` in what follows are the references that a node was put in place of."""

    def __init__(self, schema: Json) -> None:
        self.lost: list[str] = []
        self._references = References(schema)
        self._homes = {"#": "#"}
        self._left = MAX_ADDED
        for place, name, _ in self._references.definitions():
            home = pointer("$defs", name)
            if home not in self._homes.values():
                self._homes[pointer(place, name)] = home

    def lose(self, *path: str) -> None:
        if len(self.lost) < MAX_LOST and (dotted := ".".join(path)) not in self.lost:
            self.lost.append(dotted)

    def definitions(self) -> Json:
        """All that references can stay to, in one place: Google knows no other."""
        return {
            name: self.node(schema, (place, name), (), 1)
            for place, name, schema in self._references.definitions()
            if pointer(place, name) in self._homes
        }

    def node(self, schema: Any, path: Path, refs: tuple[str, ...], depth: int) -> Any:
        if not isinstance(schema, dict):
            return schema
        if depth > MAX_DEPTH:
            self.lose(*path)
            return {"type": schema["type"]} if isinstance(schema.get("type"), str) else {}
        bare = all(keyword.startswith("$") for keyword in schema)
        if bare and (home := self._home(schema.get("$ref"))) is not None:
            return {"$ref": home}
        flat = schema
        if "$ref" in schema or "allOf" in schema:
            flat, refs = self._flat(schema, path, refs)
        if "$ref" in flat:
            return flat
        written: Json = {}
        for keyword, value in flat.items():
            self._write(written, flat, keyword, value, path, refs, depth + 1)
        return written

    def _home(self, ref: Any) -> str | None:
        return self._homes.get(ref) if isinstance(ref, str) else None

    def _flat(self, schema: Json, path: Path, refs: tuple[str, ...]) -> tuple[Json, tuple[str, ...]]:
        """A node's keywords with what it refers to and its `allOf` merged in. Where a circle closes: the reference
        alone."""
        flat: Json = {}
        pending: list[Any] = [schema]
        while pending:
            part = pending.pop()
            if not isinstance(part, dict):
                continue
            pending += reversed(part["allOf"]) if isinstance(part.get("allOf"), list) else ()
            ref = part.get("$ref")
            if ref is not None:
                target = self._references.find(ref)
                size = self._references.weight(ref, target) if target is not None else 0
                if target is not None and ref not in refs and size <= self._left:
                    self._left -= size
                    refs = (*refs, ref)
                    pending.append(target)
                elif target is not None and (home := self._home(ref)) is not None:
                    for keyword in schema:
                        if not keyword.startswith("$"):
                            self.lose(*path, keyword)
                    return {"$ref": home}, refs
                else:
                    self.lose(*path, "$ref")
            for keyword in merge(flat, part):
                self.lose(*path, keyword)
        return flat, refs

    def _write(
        self, written: Json, flat: Json, keyword: str, value: Any, path: Path, refs: tuple[str, ...], depth: int
    ) -> None:
        """One keyword, with the schemas inside of it."""
        here = (*path, keyword)
        if keyword == "properties" and isinstance(value, dict):
            written[keyword] = {name: self.node(each, (*here, name), refs, depth) for name, each in value.items()}
        elif keyword in _BRANCHES and isinstance(value, list):
            written[keyword] = [self.node(each, (*here, str(place)), refs, depth) for place, each in enumerate(value)]
        elif keyword == "items" and isinstance(value, list):
            self._write(written, flat, "prefixItems", value, path, refs, depth)
        elif keyword in ("items", "additionalProperties"):
            written[keyword] = self.node(value, here, refs, depth)
        elif keyword == "const":
            self._write_constant(written, flat, value, path)
        elif keyword == "nullable" and isinstance(flat.get("type"), str):
            written["type"] = [flat["type"], "null"] if value is True else flat["type"]
        elif keyword in KEPT:
            written.setdefault(keyword, value)
            if keyword == "enum" and isinstance(value, list) and any(isinstance(each, _UNLISTED) for each in value):
                self.lose(*here)
        elif keyword not in _SILENT:
            self.lose(*here)

    def _write_constant(self, written: Json, flat: Json, value: Any, path: Path) -> None:
        """Google has enums of texts and numbers; of other constants the type is what can be said."""
        if isinstance(value, _UNLISTED):
            self.lose(*path, "const")
        elif value is not None:
            written["enum"] = [value]
        if "type" not in flat and (kind := _KINDS.get(type(value))):
            written["type"] = kind


_UNLISTED = (bool, dict, list)
_KINDS = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
