"""JSON Schemas as Gemini and Anthropic take them: clients write the whole language, either provider reads a part of it.

`for_gemini` writes Google's `Schema` object, `for_anthropic_output` what a structured output of Anthropic may say. Both
give a copy and the dotted paths of what it cannot say, and never change what they are given. Whether a loss is refused
is for `losses.py`; JSON Schema's own rules are not checked, a keyword with a value it cannot have is lost like others.

- References are put in place, `allOf` is merged into its node, `oneOf` becomes `anyOf`, what stands beside an `anyOf`
  goes into each of its branches. So a node has either a type or branches.
- A keyword that is about other types than its node's says nothing (JSON Schema, 7.6.1) and leaves without being a loss.
- A node of any type becomes an object at the root and a text elsewhere, which is a loss there.
- The result is bounded: `MAX_DEPTH` levels, and `MAX_ADDED` beyond the size of the input. Whatever is cut, cycles too,
  leaves its type behind.
- A schema that is fine already comes out equal, and so does every result.

Sources: https://ai.google.dev/api/caching#Schema, https://cloud.google.com/vertex-ai/docs/reference/rest/v1/Schema,
https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations,
https://json-schema.org/draft/2020-12/json-schema-validation
"""

from __future__ import annotations

from typing import Any

from gateway.dialects.names import Json
from gateway.dialects.schema_merge import ANNOTATIONS, merge
from gateway.dialects.schema_refs import References, pointer, weight
from gateway.dialects.schema_words import (
    ANTHROPIC,
    GEMINI,
    OWN,
    TYPES,
    Target,
    as_it_is,
    format_is_about,
    guess_types,
    has_type,
    is_about,
    listed_values,
)

MAX_DEPTH = 64
"""Levels of schemas in schemas. Providers refuse far fewer (OpenAI takes ten); each level costs frames of the stack."""

MAX_ADDED = 1_000_000
"""Characters that copies of shared parts may add. Twenty definitions that each name the next one twice are a million
copies of the last one."""

MAX_LOST = 200
"""Paths that are told. A notice names twenty."""

Path = tuple[str, ...]


def for_gemini(schema: Json) -> tuple[Json, list[str]]:
    """Google's Schema object: every node typed or an `anyOf` alone ("when using any_of, it must be the only field
    set"), arrays with items, enums of texts, `nullable` for null, and only keywords that Google lists.

    `additionalProperties: false` is no loss: Gemini writes the properties that it is given.
    """
    walk = _Walk(schema, GEMINI)
    return walk.node(schema, (), ("#",)), walk.lost


def for_anthropic_output(schema: Json) -> tuple[Json, list[str]]:
    """A schema for `output_config.format`: every object closed, no recursion, no bounds of numbers and texts.

    References to definitions without cycles stay.
    """
    walk = _Walk(schema, ANTHROPIC)
    return {**walk.node(schema, (), ("#",)), **walk.definitions()}, walk.lost


# --- the walk ---------------------------------------------------------------------------------------------------------


class _Walk:
    """One schema on its way to one target. `refs` in what follows are the references a node stands inside of."""

    def __init__(self, schema: Json, target: Target) -> None:
        self.lost: list[str] = []
        self._target = target
        self._references = References(schema)
        self._left = MAX_ADDED

    def lose(self, *path: str) -> None:
        if len(self.lost) < MAX_LOST and (dotted := ".".join(path)) not in self.lost:
            self.lost.append(dotted)

    def node(self, schema: Any, path: Path, refs: tuple[str, ...], depth: int = 0) -> Json:
        if depth > MAX_DEPTH:
            self.lose(*path)
            return self._bare(schema)
        if self._target.strict and isinstance(schema, dict) and self._stays(schema):
            return dict(schema)
        flat, refs = self._flat(schema, path, refs)
        branches = flat.pop("anyOf", None)
        if isinstance(branches, list) and branches:
            return self._union(flat, branches, path, refs, depth)
        if branches is not None:
            self.lose(*path, "anyOf")
        return self._plain(flat, path, refs, depth)

    def definitions(self) -> Json:
        """Those of the root that references may stay to."""
        written: Json = {}
        for place, name, schema in self._references.definitions():
            if pointer(place, name) in self._references.acyclic:
                written.setdefault(place, {})[name] = self.node(schema, (place, name), ("#",))
        return written

    def _stays(self, schema: Json) -> bool:
        ref = schema.get("$ref")
        return len(schema) == 1 and isinstance(ref, str) and ref in self._references.acyclic

    def _flat(self, schema: Any, path: Path, refs: tuple[str, ...]) -> tuple[Json, tuple[str, ...]]:
        """A node's keywords with what it refers to and its `allOf` merged in. The nearest annotation wins."""
        flat: Json = {}
        pending = [schema]
        while pending:
            part = pending.pop()
            if not isinstance(part, dict):
                if part is not True:
                    self.lose(*path)
                continue
            further = part.get("allOf")
            if isinstance(further, list):
                pending += reversed(further)
            elif further is not None:
                self.lose(*path, "allOf")
            if "$ref" in part:
                found, refs = self._follow(part["$ref"], path, refs)
                pending.append(found)
            for keyword in merge(flat, part):
                self.lose(*path, keyword)
        if not self._target.strict and "const" in flat:
            flat["enum"] = [flat.pop("const")]
        return flat, refs

    def _follow(self, ref: Any, path: Path, refs: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
        """What a reference names; only its type where it leads in a circle or the result would grow too big."""
        target = self._references.find(ref)
        if target is None:
            self.lose(*path, "$ref")
            return True, refs
        size = self._references.weight(ref, target)
        if ref in refs or size > self._left:
            self.lose(*path, "$ref")
            kind = target.get("type") if isinstance(target, dict) else None
            return {"type": kind} if kind is not None else True, refs
        self._left -= size
        return target, (*refs, ref)

    # --- unions ---

    def _union(self, flat: Json, branches: list[Any], path: Path, refs: tuple[str, ...], depth: int) -> Json:
        """What is no annotation goes into each branch. A branch that is false allows nothing."""
        base = {keyword: value for keyword, value in flat.items() if keyword not in ANNOTATIONS}
        nullable = base.pop("nullable", None) is True
        possible = [(place, branch) for place, branch in enumerate(branches) if branch is not False]
        copies = weight(base) * (len(possible) - 1) if base else 0
        if not possible or copies > self._left:
            self.lose(*path, "anyOf")
            return self._plain(flat, path, refs, depth)
        self._left -= copies
        written: list[Json] = []
        for place, branch in possible:
            whole = {"allOf": [branch, base]} if base else branch
            written += _alternatives(self.node(whole, (*path, "anyOf", str(place)), refs, depth + 1))
        return self._join(written, {name: flat[name] for name in ANNOTATIONS if name in flat}, nullable, path)

    def _join(self, written: list[Json], notes: Json, nullable: bool, path: Path) -> Json:
        """Alternatives as one node."""
        notes = self._checked(notes, path)
        if self._target.strict:
            if nullable and not any(_is_null(each) for each in written):
                written = [*written, {"type": "null"}]
            single = len(written) == 1 and not (notes and "$ref" in written[0])
            return {**written[0], **notes} if single else {"anyOf": written, **notes}
        some = [each for each in written if not _is_null(each)]
        if not some:
            return {"type": "null", **notes}
        if nullable or len(some) < len(written):
            some = [{**each, "nullable": True} for each in some]
        if len(some) == 1:
            return {**some[0], **notes}
        return {"anyOf": self._noted(some, notes, path)}

    def _noted(self, some: list[Json], notes: Json, path: Path) -> list[Json]:
        """Gemini has no room for annotations beside an `anyOf`: the words go to its branches, other notes are lost."""
        words: Json = {keyword: notes.pop(keyword) for keyword in ("title", "description") if keyword in notes}
        for keyword, value in notes.items():
            if value is not None:
                self.lose(*path, keyword)
        copies = weight(words) * len(some)
        if copies > self._left:
            for keyword in words:
                self.lose(*path, keyword)
            return some
        self._left -= copies
        return [{**words, **each} for each in some]

    # --- nodes with a type ---

    def _plain(self, flat: Json, path: Path, refs: tuple[str, ...], depth: int) -> Json:
        types = self._types(flat, path)
        real = tuple(kind for kind in types if kind != "null")
        if self._target.strict or len(real) <= 1:
            kinds = types if self._target.strict else real or types
            return self._typed(flat, kinds, len(real) < len(types), path, refs, depth)
        notes = {keyword: flat.pop(keyword) for keyword in ANNOTATIONS if keyword in flat}
        flat.pop("nullable", None)
        written = [self._typed(flat, (kind,), False, path, refs, depth + 1) for kind in real]
        return self._join(written, notes, len(real) < len(types), path)

    def _types(self, flat: Json, path: Path) -> tuple[str, ...]:
        """The types a node may have, "null" among them; those that no value of its enum has are left out."""
        said = flat.get("type")
        names = said if isinstance(said, list) else [said] if said is not None else []
        types = [kind for name in names if isinstance(name, str) and (kind := name.lower()) in TYPES]
        if len(types) < len(names):
            self.lose(*path, "type")
        types = list(dict.fromkeys(types)) or guess_types(flat)
        if values := listed_values(flat):
            fitting = [kind for kind in types if kind == "null" or any(has_type(value, kind) for value in values)]
            if not any(has_type(value, kind) for value in values for kind in fitting):
                self.lose(*path, "enum")
            types = fitting or types
        if not types:
            types = ["string" if path else "object"]
            if path:
                self.lose(*path)
        if flat.get("nullable") is True and "null" not in types:
            types.append("null")
        return tuple(types)

    def _typed(
        self, flat: Json, types: tuple[str, ...], nullable: bool, path: Path, refs: tuple[str, ...], depth: int
    ) -> Json:
        written: Json = {"type": _spelled(flat.get("type"), types, self._target.strict)}
        if not self._target.strict and isinstance(flat.get("nullable"), bool):
            written["nullable"] = flat["nullable"]
        if not self._target.strict and nullable and types != ("null",):
            written["nullable"] = True
        written |= self._checked({name: flat[name] for name in flat if is_about(name, types)}, path)
        self._write_format(written, flat, types, path)
        self._write_enum(written, flat, types, path)
        if "object" in types:
            self._write_object(written, flat, path, refs, depth)
        if "array" in types:
            self._write_array(written, flat, path, refs, depth)
        return written

    def _checked(self, flat: Json, path: Path) -> Json:
        """Keywords that need no code of their own."""
        written: Json = {}
        for keyword, value in flat.items():
            if keyword in OWN:
                continue
            check = self._target.keywords.get(keyword)
            kept = check(value) if check else None
            if kept is not None or (check is as_it_is and value is None):
                written[keyword] = kept
            else:
                self.lose(*path, keyword)
        return written

    def _write_format(self, written: Json, flat: Json, types: tuple[str, ...], path: Path) -> None:
        name = flat.get("format")
        if name is None or (isinstance(name, str) and not format_is_about(name, types)):
            return
        if isinstance(name, str) and any(name in self._target.formats.get(kind, ()) for kind in types):
            written["format"] = name
        else:
            self.lose(*path, "format")

    def _write_enum(self, written: Json, flat: Json, types: tuple[str, ...], path: Path) -> None:
        """Gemini has enums of texts that are not empty ("enum[0]: cannot be empty")."""
        if self._target.strict:
            self._write_scalars(written, flat, types, path)
            return
        values = listed_values(flat)
        texts = [value for value in values if isinstance(value, str) and value] if types == ("string",) else []
        if texts:
            written["enum"] = texts
        elif written.get("format") == "enum":
            del written["format"]  # "should be non-empty for STRING type with enum format"
        mine = sum(has_type(value, types[0]) for value in values)
        if mine > len(texts) or ("enum" in flat and not values):
            self.lose(*path, "enum")

    def _write_scalars(self, written: Json, flat: Json, types: tuple[str, ...], path: Path) -> None:
        """Anthropic has enums and constants of all scalars. Values of other types than the node's say nothing."""
        if "const" in flat and any(has_type(flat["const"], kind) for kind in types):
            if isinstance(flat["const"], dict | list):
                self.lose(*path, "const")
            else:
                written["const"] = flat["const"]
        if "enum" in flat:
            said = flat["enum"] if isinstance(flat["enum"], list) else []
            values = [value for value in said if any(has_type(value, kind) for kind in types)]
            scalars = [value for value in values if not isinstance(value, dict | list)]
            if len(scalars) < len(values) or not scalars:
                self.lose(*path, "enum")
            if scalars:
                missing = [None] if flat.get("nullable") is True and None not in scalars else []
                written["enum"] = scalars + missing

    def _write_object(self, written: Json, flat: Json, path: Path, refs: tuple[str, ...], depth: int) -> None:
        if self._target.strict:
            written["additionalProperties"] = False
        if flat.get("additionalProperties", False) not in (False, None if self._target.strict else True):
            self.lose(*path, "additionalProperties")
        said = flat.get("properties")
        if isinstance(said, dict):
            written["properties"] = {
                name: self.node(schema, (*path, "properties", name), refs, depth + 1)
                for name, schema in said.items()
                if schema is not False  # a property that must not be there
            }
        elif said is not None:
            self.lose(*path, "properties")
        if not self._target.strict and not written.get("properties", True):
            del written["properties"]  # "should be non-empty for OBJECT type"
        for keyword in ("required",) if self._target.strict else ("required", "propertyOrdering"):
            self._write_names(written, flat, keyword, path)

    def _write_names(self, written: Json, flat: Json, keyword: str, path: Path) -> None:
        """Names of properties that exist: "required[0]: property is not defined"."""
        names = flat.get(keyword)
        if names is None:
            return
        known = written.get("properties", {})
        said = dict.fromkeys(name for name in names if isinstance(name, str)) if isinstance(names, list) else {}
        kept = [name for name in said if name in known]
        if kept:
            written[keyword] = kept
        if not isinstance(names, list) or not known.keys() >= set(names if len(said) else ()):
            self.lose(*path, keyword)

    def _write_array(self, written: Json, flat: Json, path: Path, refs: tuple[str, ...], depth: int) -> None:
        """Neither target has tuples: their places become alternatives of every place."""
        items = flat.get("items")
        places = [each for name in ("prefixItems", "items") if isinstance(flat.get(name), list) for each in flat[name]]
        if places:
            self.lose(*path, "prefixItems" if "prefixItems" in flat else "items")
            items = {"anyOf": [*places, items] if isinstance(items, dict) else places}
        if isinstance(items, bool | None):
            items = {}  # nothing may follow, or anything: neither can be said
        written["items"] = self.node(items, (*path, "items"), refs, depth + 1)

    def _bare(self, schema: Any) -> Json:
        """A node's type alone, where its insides are cut off."""
        said = schema.get("type") if isinstance(schema, dict) else None
        kind = said if isinstance(said, str) and said.lower() in TYPES else "object"
        if kind.lower() == "array":
            return {"type": kind, "items": {"type": "string"}}
        if kind.lower() == "object" and self._target.strict:
            return {"type": kind, "additionalProperties": False}
        return {"type": kind}


def _is_null(node: Json) -> bool:
    return node.get("type") in ("null", "NULL")


def _alternatives(node: Json) -> list[Json]:
    return node["anyOf"] if node.keys() == {"anyOf"} else [node]


def _spelled(said: Any, types: tuple[str, ...], strict: bool) -> Any:
    """Google takes its type names in capitals, too; where a client wrote them so, they stay."""
    if len(types) > 1:
        return list(types)
    return said if not strict and isinstance(said, str) and said.lower() == types[0] else types[0]
